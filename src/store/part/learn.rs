//! Learning the shapes of a column of free text from some of its rows.
//!
//! Both ways to cut are tried on the first groups, then the better one alone. A shape that came twice is kept, and a text that
//! came [`OFTEN`] times with the same values, if its bytes cost less than those values do each time.
//!
//! Limits: rows of [`LEARNED`] groups; [`HASHES`] of 12 bytes and three times [`SHAPE_BYTES`] of memory.

use hashbrown::HashMap;

use super::shape::{Cut, Cutter, bits};
use super::split::{SHAPE_BYTES, SHAPES, Splitter};
use super::tally::Tally;
use crate::store::column::hash;

/// Groups that shapes are learned from.
pub const LEARNED: usize = 32;
/// Texts whose repetitions are counted while learning.
const HASHES: usize = 256 << 10;
/// A text that comes so often is kept whole.
const OFTEN: u32 = 3;
/// Texts that are shorter on average are not worth it.
const LEAST_LENGTH: usize = 12;
/// Bytes beside values that make no text: a UUID has four.
const JOINTS: usize = 4;

/// Counts the shapes of texts.
#[derive(Debug)]
struct Count {
    cutter: Cutter,
    shapes: Tally,
    texts: usize,
    bytes: usize,
    /// Bits that the values take.
    bits: usize,
    /// Texts that are more than values and what joins them: identifiers and numbers are columns of their own kinds.
    free: usize,
}

impl Count {
    fn new(cut: Cut) -> Self {
        Self { cutter: Cutter::new(cut), shapes: Tally::new(SHAPES * 2, SHAPE_BYTES), texts: 0, bytes: 0, bits: 0, free: 0 }
    }

    /// Counts a text; whether it has values.
    fn add(&mut self, text: &[u8]) -> bool {
        self.texts += 1;
        self.bytes += text.len();
        let cut = self.cutter.cut(text);
        self.free += usize::from(!cut || self.cutter.shape.len() > self.cutter.slots.len() * 2 + JOINTS);
        if cut {
            self.shapes.add(&self.cutter.shape);
            self.bits += self.cutter.slots.iter().map(|slot| bits(slot.0, slot.1)).sum::<usize>();
        }
        cut && !self.cutter.slots.is_empty()
    }

    /// About what these texts take when they are split.
    fn size(&self) -> usize {
        let often = |number: &usize| self.shapes.counts.get(*number).is_some_and(|count| *count > 1);
        let known: usize = (0..self.shapes.counts.len()).filter(often).count();
        let rows: usize = self.shapes.counts.iter().filter(|count| **count > 1).map(|count| *count as usize).sum();
        let shapes: usize = (0..self.shapes.counts.len()).filter(often).map(|at| self.shapes.dict.entry(at).len()).sum();
        let code = usize::BITS - known.leading_zeros();
        let values = self.bits / self.texts.max(1) * rows / 8;
        // What has no shape takes a quarter of itself, as does a shape.
        (self.texts - rows.min(self.texts)) * (self.bytes / self.texts.max(1)) / 4
            + rows * code as usize / 8
            + values
            + shapes / 4
    }
}

/// Learns shapes of texts that are given one after the other.
#[derive(Debug)]
pub struct Learner {
    /// Two ways while it is open which is better.
    counts: Vec<Count>,
    repeated: HashMap<u64, u32>,
    often: Tally,
}

impl Default for Learner {
    fn default() -> Self {
        Self {
            counts: vec![Count::new(Cut::Long), Count::new(Cut::Every)],
            repeated: HashMap::new(),
            often: Tally::new(SHAPES / 2, SHAPE_BYTES),
        }
    }
}

impl Learner {
    /// Takes a text in.
    pub fn add(&mut self, text: &[u8]) {
        let mut has_values = false;
        for count in &mut self.counts {
            has_values |= count.add(text);
        }
        if !has_values {
            return;
        }
        let hashed = hash(text);
        let full = self.repeated.len() >= HASHES;
        match self.repeated.get_mut(&hashed) {
            Some(count) => {
                *count = count.saturating_add(1);
                if *count >= OFTEN {
                    self.often.add(text);
                }
            }
            None if !full => {
                self.repeated.insert(hashed, 1);
            }
            None => {}
        }
    }

    /// Whether more texts are worth looking at; chooses how to cut them.
    pub fn choose(&mut self) -> bool {
        self.counts.sort_by_key(Count::size);
        self.counts.truncate(1);
        self.counts.first().is_some_and(|best| {
            best.free * 2 > best.texts && best.bytes / best.texts >= LEAST_LENGTH && best.size() * 5 < best.bytes
        })
    }

    /// What was learned, for a part of `share` times as many texts as were seen.
    pub fn learned(mut self, share: usize) -> Option<Splitter> {
        if self.counts.len() > 1 && !self.choose() {
            return None;
        }
        let Count { cutter, shapes, texts, bits, .. } = self.counts.pop()?;
        // A text that is known whole saves its values, about, and costs a quarter of itself.
        let values = bits / texts.max(1) / 8;
        let worth = |(number, count): &(usize, &u32)| {
            let seen = **count as usize + OFTEN as usize - 1;
            seen * share * values.max(1) > self.often.dict.entry(*number).len() / 4 + 4
        };
        let mut chosen = Tally::new(SHAPES, SHAPE_BYTES);
        for (number, _) in self.often.counts.iter().enumerate().filter(worth) {
            chosen.add(self.often.dict.entry(number));
        }
        for (number, _) in shapes.counts.iter().enumerate().filter(|(_, count)| **count > 1) {
            chosen.add(shapes.dict.entry(number));
        }
        (!chosen.counts.is_empty()).then(|| Splitter::new(cutter, chosen))
    }
}
