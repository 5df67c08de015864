//! The steps of a lowered expression, and what is worked out about them before they run.
//!
//! A program is a list of [`Op`]s; control goes from one to the next unless it says otherwise. [`Program::new`] works out, for
//! every step that chooses, the bytes that each way may begin with: the bytes of all consuming steps that can be reached from it
//! without consuming one. Assertions count as passed, so a set may be too large, never too small.

use super::fuse;
use super::sets::{ByteSet, SetId, Sets};
use super::words::{Texts, Words};

/// Most steps of a program.
pub(super) const MAX_OPS: usize = 4096;
/// No note is made.
pub(super) const NO_NOTE: u16 = u16::MAX;
/// Most choices that are read as [`Words`]: some KiB each.
const MAX_WORDS: usize = 64;
/// Most steps that working out the sets may take: a guard, real expressions take some thousands.
const MAX_WORK: usize = 4 << 20;

/// A condition on a place in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    TextStart,
    TextEnd,
    LineStart,
    LineEnd,
    WordEdge,
    NoWordEdge,
    WordStart,
    WordEnd,
    NoWordBefore,
    NoWordAfter,
}

/// A step.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    /// This byte.
    Byte(u8),
    /// These bytes of the program's literals.
    Literal { at: u32, len: u32 },
    /// A byte of this set.
    Set(SetId),
    /// As many bytes of a set as there are, `min` to `max`. `after`: what may follow; none where a shorter run cannot succeed.
    Span { set: SetId, min: u32, max: u32, after: Option<SetId> },
    /// As few bytes of a set as will do. `again`: whether a longer run can succeed where a shorter one ended.
    Lazy { set: SetId, after: SetId, again: bool },
    /// Notes the place.
    Save(u16),
    /// `first` is preferred.
    Split { first: u32, second: u32, on_first: SetId, on_second: SetId },
    /// Looks ahead for `min` to `max` bytes of a set and then this byte, which is not in it; goes on elsewhere where they are not there.
    Ahead { set: SetId, min: u16, max: u16, byte: u8, other: u32 },
    /// Goes on elsewhere.
    Jump(u32),
    /// A note ([`NO_NOTE`] for none), up to eight bytes of the program's literals, a note, a jump.
    Text { at: u32, len: u8, before: u16, after: u16, to: u32 },
    /// The same with bytes of sets, of [`Program::rows`].
    Row { at: u32, len: u8, before: u16, after: u16, to: u32 },
    /// One of the texts of a choice, all that stands there of it; then on elsewhere.
    Words { list: u32, to: u32 },
    /// A condition.
    Look(At),
    /// The end.
    Match,
}

/// A program.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) ops: Vec<Op>,
    /// Eight bytes more than there are, so that a short one can be read as one word.
    pub(super) literals: Vec<u8>,
    pub(super) sets: Sets,
    /// Sets of bytes that follow each other.
    pub(super) rows: Vec<SetId>,
    /// Texts of choices.
    pub(super) words: Vec<Words>,
    /// How many places it may note.
    pub(super) slots: usize,
    /// What a match may begin with.
    pub(super) begins: SetId,
    /// Whether a match can only begin where the text does.
    pub(super) only_at_start: bool,
}

/// A program whose steps do not know yet what follows them.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) ops: Vec<Op>,
    pub(super) literals: Vec<u8>,
    pub(super) sets: Sets,
    /// The sets by number.
    pub(super) of: Vec<ByteSet>,
    pub(super) rows: Vec<SetId>,
    pub(super) choices: Vec<Choice>,
    /// Texts of choices whose steps were replaced.
    pub(super) texts: Vec<Texts>,
    pub(super) slots: usize,
}

/// A choice between texts: its steps, and where it goes on behind them.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) texts: Texts,
    pub(super) from: u32,
    pub(super) to: u32,
}

impl Draft {
    /// Has the texts of a choice read as [`Words`] where that means the same.
    fn read_words(&mut self, work: &mut usize) -> Option<()> {
        for Choice { texts, from, to } in std::mem::take(&mut self.choices) {
            if !self.begins(to, work)?.is_apart(&texts.bytes()) {
                continue;
            }
            let list = self.texts.iter().position(|known| *known == texts).unwrap_or(self.texts.len());
            if list >= MAX_WORDS {
                continue;
            }
            *self.ops.get_mut(from as usize)? = Op::Words { list: u32::try_from(list).ok()?, to };
            if list == self.texts.len() {
                self.texts.push(texts);
            }
        }
        Some(())
    }

    pub(super) fn set(&mut self, set: &ByteSet) -> Option<SetId> {
        let id = self.sets.id(set)?;
        if usize::from(id) == self.of.len() {
            self.of.push(*set);
        }
        Some(id)
    }

    /// Adds a step; gives its place.
    pub(super) fn push(&mut self, op: Op) -> Option<u32> {
        if self.ops.len() >= MAX_OPS {
            return None;
        }
        self.ops.push(op);
        u32::try_from(self.ops.len() - 1).ok()
    }

    pub(super) fn here(&self) -> u32 {
        u32::try_from(self.ops.len()).unwrap_or(u32::MAX)
    }

    /// What may be consumed next from a place on.
    fn begins(&self, from: u32, work: &mut usize) -> Option<ByteSet> {
        let mut set = ByteSet::default();
        let mut seen = vec![false; self.ops.len()];
        let mut left = vec![from];
        while let Some(place) = left.pop() {
            let place = place as usize;
            if std::mem::replace(seen.get_mut(place)?, true) {
                continue;
            }
            *work = work.checked_sub(1)?;
            let next = u32::try_from(place + 1).ok()?;
            match *self.ops.get(place)? {
                Op::Byte(byte) => set.add(byte),
                Op::Literal { at, .. } | Op::Text { at, .. } => set.add(*self.literals.get(at as usize)?),
                Op::Row { at, .. } => set.join(self.of.get(usize::from(*self.rows.get(at as usize)?))?),
                Op::Set(id) => set.join(self.of.get(usize::from(id))?),
                Op::Words { list, .. } => set.join(&self.texts.get(list as usize)?.begins()),
                Op::Span { set: id, min, .. } => {
                    set.join(self.of.get(usize::from(id))?);
                    if min == 0 {
                        left.push(next);
                    }
                }
                Op::Lazy { set: id, .. } => {
                    set.join(self.of.get(usize::from(id))?);
                    left.push(next);
                }
                Op::Save(_) | Op::Look(_) => left.push(next),
                Op::Split { first, second, .. } => left.extend([first, second]),
                Op::Ahead { other, .. } => left.extend([next, other]),
                Op::Jump(to) => left.push(to),
                Op::Match => return Some(ByteSet::ALL),
            }
        }
        Some(set)
    }
}

impl Program {
    /// Works out what follows each step; `None` where that is too much.
    pub(super) fn new(mut draft: Draft, only_at_start: bool) -> Option<Self> {
        let mut work = MAX_WORK;
        draft.read_words(&mut work)?;
        for place in 0..draft.ops.len() {
            let next = u32::try_from(place + 1).ok()?;
            let op = match *draft.ops.get(place)? {
                Op::Span { set, min, max, .. } => {
                    let follows = draft.begins(next, &mut work)?;
                    // Where a run is cut short, a byte of its set comes next.
                    let apart = follows.is_apart(draft.of.get(usize::from(set))?);
                    let after = if apart || min == max { None } else { Some(draft.set(&follows)?) };
                    Op::Span { set, min, max, after }
                }
                Op::Lazy { set, .. } => {
                    let follows = draft.begins(next, &mut work)?;
                    let again = !follows.is_apart(draft.of.get(usize::from(set))?);
                    Op::Lazy { set, after: draft.set(&follows)?, again }
                }
                Op::Split { first, second, .. } => {
                    let (one, other) = (draft.begins(first, &mut work)?, draft.begins(second, &mut work)?);
                    Op::Split { first, second, on_first: draft.set(&one)?, on_second: draft.set(&other)? }
                }
                other => other,
            };
            *draft.ops.get_mut(place)? = op;
        }
        let begins = draft.begins(0, &mut work)?;
        let begins = draft.set(&begins)?;
        fuse::fuse(&mut draft)?;
        let Draft { ops, mut literals, sets, rows, texts, slots, .. } = draft;
        let words = texts.iter().map(Words::new).collect();
        literals.extend_from_slice(&[0; 8]);
        Some(Self { ops, literals, sets, rows, words, slots, begins, only_at_start })
    }
}
