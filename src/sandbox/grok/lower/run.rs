//! Runs a program on a text.
//!
//! Ways that are left to try are frames on a stack, the preferred one on top; what was noted on a way that fails is put back by
//! frames of the same stack. Nothing is allocated but the stack's growth, and that memory is kept.

use super::Outcome;
use super::program::{At, Op, Program};

/// No place was noted.
const NONE: u32 = u32::MAX;
/// What a search may cost whatever its text.
const BASE: usize = 512;
/// What it may cost for each byte besides: going back once from every byte, to several alternatives.
const PER_BYTE: usize = 8;
/// Bytes that are looked at for the price of one step back.
const LOOKED: usize = 16;
/// Most frames: 1 MiB of memory.
const MOST_FRAMES: usize = 1 << 16;

/// What a search of a text may cost, in steps back and in bytes that ways which failed had looked at.
pub(super) fn budget(bytes: usize) -> usize {
    BASE.saturating_add(bytes.saturating_mul(PER_BYTE))
}

/// A way that is left to try.
#[derive(Clone, Copy, Debug)]
enum Frame {
    /// Go on elsewhere.
    Branch { op: u32, at: u32 },
    /// A shorter run: the step that took it, its shortest end, its end now.
    Shorter { op: u32, floor: u32, end: u32 },
    /// A longer run: the step that took it, its end now.
    Longer { op: u32, end: u32 },
    /// A note as it was.
    Note { slot: u32, was: u32 },
}

/// What a search works with.
#[derive(Debug)]
pub(in super::super) struct Memory {
    frames: Vec<Frame>,
    notes: Vec<u32>,
    searches: u32,
    gave_up: u32,
}

impl Memory {
    pub(super) fn new(slots: usize) -> Self {
        Self { frames: Vec::new(), notes: vec![NONE; slots], searches: 0, gave_up: 0 }
    }

    /// A capture of the last match.
    pub(in super::super) fn get(&self, group: usize) -> Option<(usize, usize)> {
        match (self.notes.get(2 * group), self.notes.get(2 * group + 1)) {
            (Some(&start), Some(&end)) if start != NONE && end != NONE => Some((start as usize, end as usize)),
            _ => None,
        }
    }

    /// Whether texts here are such that searching them is in vain. That changes how fast an answer is, never the answer.
    pub(super) fn is_unlucky(&self) -> bool {
        self.gave_up > 64 && self.gave_up > self.searches / 4
    }

    /// Frames that there is room for.
    #[cfg(test)]
    pub(super) fn frames(&self) -> usize {
        self.frames.capacity()
    }

    /// Forgets how searches went so far.
    pub(in super::super) fn begin(&mut self) {
        (self.searches, self.gave_up) = (0, 0);
    }

    pub(super) fn note(&mut self, outcome: Outcome) {
        self.searches = self.searches.saturating_add(1);
        self.gave_up = self.gave_up.saturating_add(u32::from(outcome == Outcome::GaveUp));
    }
}

/// Which bytes are of words.
static WORD: [bool; 256] = {
    let (mut table, mut byte) = ([false; 256], 0u8);
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'_';
        byte += 1;
    }
    table
};

/// Notes a place; what was noted before is put back if this way fails.
#[inline]
#[allow(clippy::cast_possible_truncation)] // places are within the text
fn note(frames: &mut Vec<Frame>, notes: &mut [u32], slot: u16, at: usize) {
    if let Some(note) = notes.get_mut(usize::from(slot)) {
        if !frames.is_empty() {
            frames.push(Frame::Note { slot: u32::from(slot), was: *note });
        }
        *note = at as u32;
    }
}

fn is_word(byte: Option<&u8>) -> bool {
    byte.is_some_and(|byte| WORD[usize::from(*byte)])
}

impl At {
    #[inline]
    fn holds(self, text: &[u8], at: usize) -> bool {
        let before = || at.checked_sub(1).and_then(|before| text.get(before));
        let (word_before, word_after) = (|| is_word(before()), || is_word(text.get(at)));
        match self {
            Self::TextStart => at == 0,
            Self::TextEnd => at == text.len(),
            Self::LineStart => before().is_none_or(|byte| *byte == b'\n'),
            Self::LineEnd => text.get(at).is_none_or(|byte| *byte == b'\n'),
            Self::WordEdge => word_before() != word_after(),
            Self::NoWordEdge => word_before() == word_after(),
            Self::WordStart => !word_before() && word_after(),
            Self::WordEnd => word_before() && !word_after(),
            Self::NoWordBefore => !word_before(),
            Self::NoWordAfter => !word_after(),
        }
    }
}

impl Program {
    /// Tries to match at `start`. The text is shorter than 4 GiB.
    #[allow(clippy::cast_possible_truncation)] // places are within the text
    pub(super) fn run(&self, text: &[u8], start: usize, memory: &mut Memory, budget: &mut usize) -> Outcome {
        let sets = &self.sets;
        let Memory { frames, notes, .. } = memory;
        frames.clear();
        notes.fill(NONE);
        let mut at = start;
        // Where the way that is being tried began.
        let mut since = start;
        let mut place = 0u32;
        loop {
            let went_on = match self.ops[place as usize] {
                Op::Byte(byte) => {
                    let is = text.get(at) == Some(&byte);
                    at += 1;
                    place += 1;
                    is
                }
                Op::Literal { at: from, len } => {
                    let is = self.has_literal(text, at, from as usize, len as usize);
                    at += len as usize;
                    place += 1;
                    is
                }
                Op::Set(set) => {
                    let is = text.get(at).is_some_and(|byte| sets.has(set, *byte));
                    at += 1;
                    place += 1;
                    is
                }
                Op::Span { set, min, max, after } => {
                    let end = if max == 1 {
                        at + usize::from(text.get(at).is_some_and(|byte| sets.has(set, *byte)))
                    } else {
                        sets.run(set, text, at, text.len().min(at.saturating_add(max as usize)))
                    };
                    let floor = at + min as usize;
                    let enough = end >= floor;
                    if enough && let Some(after) = after {
                        if end > floor {
                            frames.push(Frame::Shorter { op: place, floor: floor as u32, end: end as u32 });
                        }
                        at = end;
                        place += 1;
                        sets.allows(after, text, end)
                    } else {
                        at = end;
                        place += 1;
                        enough
                    }
                }
                Op::Lazy { set, after, again } => match self.longer(text, at, set, after) {
                    Some(end) => {
                        if again && end < text.len() {
                            frames.push(Frame::Longer { op: place, end: end as u32 });
                        }
                        at = end;
                        place += 1;
                        true
                    }
                    None => {
                        // It may have looked as far as that.
                        at = text.len();
                        false
                    }
                },
                Op::Text { at: from, len, before, after, to } => {
                    note(frames, notes, before, at);
                    let is = self.has_literal(text, at, from as usize, usize::from(len));
                    at += usize::from(len);
                    if is {
                        note(frames, notes, after, at);
                    }
                    place = to;
                    is
                }
                Op::Row { at: from, len, before, after, to } => {
                    note(frames, notes, before, at);
                    let bytes = text.get(at..).and_then(|rest| rest.get(..usize::from(len)));
                    let row = &self.rows[from as usize..][..usize::from(len)];
                    let is = bytes.is_some_and(|bytes| bytes.iter().zip(row).all(|(byte, set)| sets.has(*set, *byte)));
                    at += usize::from(len);
                    if is {
                        note(frames, notes, after, at);
                    }
                    place = to;
                    is
                }
                Op::Words { list, to } => {
                    let (end, is) = self.words[list as usize].read(text, at);
                    at = end;
                    place = to;
                    is
                }
                Op::Save(slot) => {
                    note(frames, notes, slot, at);
                    place += 1;
                    true
                }
                Op::Split { first, second, on_first, on_second } => {
                    let (one, other) = (sets.allows(on_first, text, at), sets.allows(on_second, text, at));
                    if frames.len() >= MOST_FRAMES {
                        return Outcome::GaveUp;
                    }
                    if one && other {
                        frames.push(Frame::Branch { op: second, at: at as u32 });
                    }
                    place = if one { first } else { second };
                    one || other
                }
                Op::Ahead { set, min, max, byte, other } => {
                    let limit = text.len().min(at.saturating_add(usize::from(max)));
                    let end = sets.run(set, text, at, limit);
                    let is = end - at >= usize::from(min) && text.get(end) == Some(&byte);
                    let Some(left) = budget.checked_sub((end - at) / LOOKED) else { return Outcome::GaveUp };
                    *budget = left;
                    place = if is { place + 1 } else { other };
                    true
                }
                Op::Jump(to) => {
                    place = to;
                    true
                }
                Op::Look(condition) => {
                    place += 1;
                    condition.holds(text, at)
                }
                Op::Match => return Outcome::Found,
            };
            if went_on {
                continue;
            }
            let Some(left) = budget.checked_sub(at.saturating_sub(since) / LOOKED) else { return Outcome::GaveUp };
            *budget = left;
            match self.back(text, frames, notes, budget) {
                Ok((next_place, next_at)) => (place, at, since) = (next_place, next_at, next_at),
                Err(outcome) => return outcome,
            }
        }
    }

    /// Whether a literal stands there. A short one is compared as one word, where the text goes on for so long.
    #[inline]
    fn has_literal(&self, text: &[u8], at: usize, from: usize, len: usize) -> bool {
        let (Some(text), Some(literal)) = (text.get(at..), self.literals.get(from..)) else { return false };
        match (text.first_chunk(), literal.first_chunk()) {
            (Some(text), Some(literal)) if len <= 8 => {
                let differs = u64::from_le_bytes(*text) ^ u64::from_le_bytes(*literal);
                differs << (64 - 8 * len) == 0
            }
            _ => text.starts_with(&literal[..len]),
        }
    }

    /// The next way to try: a step and a place in the text.
    #[inline(never)]
    #[allow(clippy::cast_possible_truncation)]
    fn back(
        &self,
        text: &[u8],
        frames: &mut Vec<Frame>,
        notes: &mut [u32],
        budget: &mut usize,
    ) -> Result<(u32, usize), Outcome> {
        loop {
            let Some(frame) = frames.pop() else { return Err(Outcome::NotFound) };
            *budget = budget.checked_sub(1).ok_or(Outcome::GaveUp)?;
            match frame {
                Frame::Note { slot, was } => notes[slot as usize] = was,
                Frame::Branch { op, at } => return Ok((op, at as usize)),
                Frame::Shorter { op, floor, end } => {
                    let Op::Span { after: Some(after), .. } = self.ops[op as usize] else { continue };
                    let shorter = self.sets.last(after, text, floor as usize, end as usize);
                    let looked = end as usize - shorter.unwrap_or(floor as usize);
                    *budget = budget.checked_sub(looked / LOOKED).ok_or(Outcome::GaveUp)?;
                    if let Some(shorter) = shorter {
                        if shorter > floor as usize {
                            frames.push(Frame::Shorter { op, floor, end: shorter as u32 });
                        }
                        return Ok((op + 1, shorter));
                    }
                }
                Frame::Longer { op, end } => {
                    let Op::Lazy { set, after, .. } = self.ops[op as usize] else { continue };
                    let end = end as usize;
                    if !text.get(end).is_some_and(|byte| self.sets.has(set, *byte)) {
                        continue;
                    }
                    let longer = self.longer(text, end + 1, set, after);
                    let looked = longer.unwrap_or(text.len()) - end;
                    *budget = budget.checked_sub(looked / LOOKED).ok_or(Outcome::GaveUp)?;
                    if let Some(longer) = longer {
                        if longer < text.len() {
                            frames.push(Frame::Longer { op, end: longer as u32 });
                        }
                        return Ok((op + 1, longer));
                    }
                }
            }
        }
    }

    /// The shortest run of a set's bytes from `at` on, behind which what follows may begin.
    #[inline(never)]
    fn longer(&self, text: &[u8], at: usize, set: u16, after: u16) -> Option<usize> {
        let sets = &self.sets;
        match sets.next(after, text, at, text.len()) {
            Some(found) => (sets.run(set, text, at, found) == found).then_some(found),
            None => (sets.allows(after, text, text.len()) && sets.run(set, text, at, text.len()) == text.len())
                .then_some(text.len()),
        }
    }
}
