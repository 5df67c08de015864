//! Sets of bytes: as bits while a program is made, as columns of one table while it runs.
//!
//! A table of 64 sets is 2 KiB, so the sets of a whole expression stay in the processor's first cache.

use std::collections::HashMap;

/// Bytes that may come next, and whether the text may end instead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct ByteSet {
    words: [u64; 4],
    /// Whether what is looked at may succeed at the end of the text.
    pub(super) at_end: bool,
}

impl ByteSet {
    pub(super) const ALL: Self = Self { words: [u64::MAX; 4], at_end: true };

    pub(super) fn one(byte: u8) -> Self {
        let mut set = Self::default();
        set.add(byte);
        set
    }

    pub(super) fn add(&mut self, byte: u8) {
        self.words[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    pub(super) fn has(&self, byte: u8) -> bool {
        self.words[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }

    pub(super) fn join(&mut self, other: &Self) {
        self.words.iter_mut().zip(other.words).for_each(|(word, more)| *word |= more);
        self.at_end |= other.at_end;
    }

    /// Whether no byte is in both.
    pub(super) fn is_apart(&self, other: &Self) -> bool {
        self.words.iter().zip(other.words).all(|(word, theirs)| word & theirs == 0)
    }

    /// The bytes, or those that are missing, where they are few.
    fn few(&self, missing: bool) -> Option<Vec<u8>> {
        let few: Vec<u8> = (0..=u8::MAX).filter(|byte| self.has(*byte) != missing).take(4).collect();
        (few.len() < 4).then_some(few)
    }
}

/// How the end of a run of a set's bytes is found fastest.
#[derive(Clone, Copy, Debug)]
pub(super) enum Run {
    /// Every byte is in it.
    All,
    /// All but one, two or three.
    Until1(u8),
    Until2(u8, u8),
    Until3(u8, u8, u8),
    /// All that are at least so large, and of the smaller ones perhaps some.
    Below(u8),
    /// Byte by byte.
    Table,
}

/// A set's number.
pub(super) type SetId = u16;

/// The sets of a program.
#[derive(Debug, Default)]
pub(super) struct Sets {
    known: HashMap<ByteSet, SetId>,
    columns: Vec<[u64; 256]>,
    runs: Vec<Run>,
    ends: Vec<bool>,
    ones: Vec<Option<u8>>,
}

/// Bytes looked at one by one before a vector search begins: most runs are short.
const SHORT: usize = 12;

/// Where a byte first stands that `misses`, all of which are below `bound`.
fn below(bytes: &[u8], bound: u8, misses: impl Fn(&u8) -> bool) -> Option<usize> {
    let (blocks, rest) = bytes.as_chunks::<16>();
    for (index, block) in blocks.iter().enumerate() {
        // Without a way out in between, so that the compiler makes vectors of it.
        if block.iter().fold(false, |any, byte| any | (*byte < bound))
            && let Some(at) = block.iter().position(&misses)
        {
            return Some(index * 16 + at);
        }
    }
    rest.iter().position(misses).map(|at| blocks.len() * 16 + at)
}

impl Sets {
    /// The number of a set; `None` where there are too many.
    pub(super) fn id(&mut self, set: &ByteSet) -> Option<SetId> {
        if let Some(id) = self.known.get(set) {
            return Some(*id);
        }
        let number = self.runs.len();
        let id = SetId::try_from(number).ok()?;
        if number.is_multiple_of(64) {
            self.columns.push([0; 256]);
        }
        let column = self.columns.last_mut()?;
        for (byte, bits) in (0..=u8::MAX).zip(column.iter_mut()) {
            *bits |= u64::from(set.has(byte)) << (number % 64);
        }
        self.runs.push(match set.few(true).as_deref() {
            Some([]) => Run::All,
            Some([a]) => Run::Until1(*a),
            Some([a, b]) => Run::Until2(*a, *b),
            Some([a, b, c]) => Run::Until3(*a, *b, *c),
            _ => match (0..=u8::MAX).rev().find(|byte| !set.has(*byte)) {
                // Spaces and controls, which are rare.
                Some(last) if last <= b' ' => Run::Below(last + 1),
                _ => Run::Table,
            },
        });
        self.ends.push(set.at_end);
        self.ones.push(match set.few(false).as_deref() {
            Some([one]) => Some(*one),
            _ => None,
        });
        self.known.insert(*set, id);
        Some(id)
    }

    /// Whether a byte is in a set.
    #[inline]
    pub(super) fn has(&self, set: SetId, byte: u8) -> bool {
        self.columns[usize::from(set >> 6)][usize::from(byte)] >> (set & 63) & 1 == 1
    }

    /// Whether what a set stands for may go on at `at`.
    #[inline]
    pub(super) fn allows(&self, set: SetId, text: &[u8], at: usize) -> bool {
        match text.get(at) {
            Some(byte) => self.has(set, *byte),
            None => self.ends[usize::from(set)],
        }
    }

    /// The end of the run of a set's bytes that begins at `at` and may reach to `limit`.
    #[inline(never)] // the loop over steps stays small, so its jumps are predicted one by one
    pub(super) fn run(&self, set: SetId, text: &[u8], at: usize, limit: usize) -> usize {
        let bytes = &text[at..limit];
        let end = |found: Option<usize>| found.map_or(limit, |found| at + found);
        let run = self.runs[usize::from(set)];
        if let Run::All = run {
            return limit;
        }
        let (column, bit) = (&self.columns[usize::from(set >> 6)], set & 63);
        let misses = |byte: &u8| column[usize::from(*byte)] >> bit & 1 == 0;
        if let Run::Table = run {
            return end(bytes.iter().position(misses));
        }
        let (short, long) = bytes.split_at(bytes.len().min(SHORT));
        if let Some(found) = short.iter().position(misses) {
            return at + found;
        }
        let found = match run {
            Run::Until1(a) => memchr::memchr(a, long),
            Run::Until2(a, b) => memchr::memchr2(a, b, long),
            Run::Until3(a, b, c) => memchr::memchr3(a, b, c, long),
            Run::Below(bound) => below(long, bound, misses),
            Run::All | Run::Table => None,
        };
        end(found.map(|found| found + short.len()))
    }

    /// The first place from `at` on, before `limit`, whose byte is in a set.
    #[inline(never)]
    pub(super) fn next(&self, set: SetId, text: &[u8], at: usize, limit: usize) -> Option<usize> {
        let bytes = text.get(at..limit)?;
        let found = match self.ones[usize::from(set)] {
            Some(one) => memchr::memchr(one, bytes),
            None => {
                let (column, bit) = (&self.columns[usize::from(set >> 6)], set & 63);
                bytes.iter().position(|byte| column[usize::from(*byte)] >> bit & 1 == 1)
            }
        };
        found.map(|found| at + found)
    }

    /// The last place in `from..to` whose byte is in a set.
    #[inline(never)]
    pub(super) fn last(&self, set: SetId, text: &[u8], from: usize, to: usize) -> Option<usize> {
        let bytes = text.get(from..to)?;
        let found = match self.ones[usize::from(set)] {
            Some(one) => memchr::memrchr(one, bytes),
            None => bytes.iter().rposition(|byte| self.has(set, *byte)),
        };
        found.map(|found| from + found)
    }
}
