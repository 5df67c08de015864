//! Choices between a few short texts, read byte by byte with all of them in mind: the parts of a date, of an address.
//!
//! Where what follows a choice begins with no byte that occurs in its texts, only one length can succeed: that of the run of such
//! bytes. So there is nothing to come back to, and which of the texts it was does not matter, for none captures anything.

use regex_syntax::hir::{Hir, HirKind};

use super::compile::single;
use super::sets::ByteSet;

/// Most texts of a choice: a bit for each.
const TEXTS: usize = 64;
/// Longest of them.
const BYTES: usize = 16;

/// The texts of a choice, each a row of sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Texts(Vec<Vec<ByteSet>>);

impl Texts {
    /// Those of an expression, where they are few, short and captured as a whole only.
    pub(super) fn of(hir: &Hir) -> Option<Self> {
        let texts = texts(hir)?;
        texts.iter().all(|text| !text.is_empty()).then_some(Self(texts))
    }

    /// All bytes that occur in them.
    pub(super) fn bytes(&self) -> ByteSet {
        let mut all = ByteSet::default();
        self.0.iter().flatten().for_each(|set| all.join(set));
        all
    }

    /// What they begin with.
    pub(super) fn begins(&self) -> ByteSet {
        let mut all = ByteSet::default();
        self.0.iter().flat_map(|text| text.first()).for_each(|set| all.join(set));
        all
    }
}

fn texts(hir: &Hir) -> Option<Vec<Vec<ByteSet>>> {
    if let Some(set) = single(hir) {
        return Some(vec![vec![set]]);
    }
    match hir.kind() {
        HirKind::Empty => Some(vec![Vec::new()]),
        HirKind::Literal(literal) => {
            (literal.0.len() <= BYTES).then(|| vec![literal.0.iter().map(|byte| ByteSet::one(*byte)).collect()])
        }
        HirKind::Concat(parts) => parts.iter().try_fold(vec![Vec::new()], |before, part| product(&before, &texts(part)?)),
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(texts(part)?);
                if all.len() > TEXTS {
                    return None;
                }
            }
            Some(all)
        }
        HirKind::Repetition(repetition) => {
            let (most, once) = (repetition.max.filter(|max| *max as usize <= BYTES)?, texts(&repetition.sub)?);
            let (mut all, mut power) = (Vec::new(), vec![Vec::new()]);
            for times in 0..=most {
                if times > 0 {
                    power = product(&power, &once)?;
                }
                if times >= repetition.min {
                    all.extend_from_slice(&power);
                }
            }
            (all.len() <= TEXTS).then_some(all)
        }
        HirKind::Class(_) | HirKind::Look(_) | HirKind::Capture(_) => None,
    }
}

/// Each of some followed by each of others.
fn product(before: &[Vec<ByteSet>], after: &[Vec<ByteSet>]) -> Option<Vec<Vec<ByteSet>>> {
    if before.len() * after.len() > TEXTS {
        return None;
    }
    let all: Vec<Vec<ByteSet>> =
        before.iter().flat_map(|before| after.iter().map(move |after| [before.as_slice(), after].concat())).collect();
    all.iter().all(|text| text.len() <= BYTES).then_some(all)
}

/// Texts, to be read.
#[derive(Debug)]
pub(super) struct Words {
    /// At each place, for each byte: the texts that have it there.
    have: Vec<[u64; 256]>,
    /// For each length: the texts of that length.
    end: Vec<u64>,
}

impl Words {
    pub(super) fn new(texts: &Texts) -> Self {
        let longest = texts.0.iter().map(Vec::len).max().unwrap_or(0);
        let (mut have, mut end) = (vec![[0; 256]; longest], vec![0; longest + 1]);
        for (number, text) in texts.0.iter().enumerate() {
            let bit = 1u64 << (number % TEXTS);
            for (set, bytes) in text.iter().zip(&mut have) {
                (0..=u8::MAX).zip(bytes).filter(|(byte, _)| set.has(*byte)).for_each(|(_, texts)| *texts |= bit);
            }
            end[text.len()] |= bit;
        }
        Self { have, end }
    }

    /// Where the longest front of a text ends that stands there, and whether that is a whole one.
    #[inline]
    pub(super) fn read(&self, text: &[u8], at: usize) -> (usize, bool) {
        let (mut left, mut length) = (u64::MAX, 0);
        for (have, byte) in self.have.iter().zip(text.get(at..).unwrap_or_default()) {
            let next = left & have[usize::from(*byte)];
            if next == 0 {
                break;
            }
            (left, length) = (next, length + 1);
        }
        (at + length, left & self.end[length] != 0)
    }
}
