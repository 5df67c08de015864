//! What a step computes of a dictionary's entries: once an entry, however many rows have it.
//!
//! Limits: an output's texts take [`GROUP_BYTES`]; what has no room is left out, and whoever asked is told.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::builder::GROUP_BYTES;
use super::expr::Val;
use super::program::Step;
use super::search::is_same;
use super::view::FieldReader;
use crate::store::source::{Chunk, Dict, Kind};

/// What a step makes of a dictionary's entries.
#[derive(Debug)]
pub struct Mapped {
    /// Output by output.
    pub outputs: Vec<MappedOutput>,
}

/// What one of its outputs is.
#[derive(Debug)]
pub struct MappedOutput {
    /// From the code of an entry (0: no value) to that of a text; 0 where it is none.
    pub codes: Vec<u32>,
    /// The texts.
    pub texts: Arc<Dict>,
    /// What is no text, by code.
    pub others: FxHashMap<u32, Val<'static>>,
    /// Whether some text had no room.
    pub cut: bool,
}

/// The only input that has values: which, its codes and its dictionary.
pub type OnlyDict<'c> = (usize, &'c [u32], &'c Arc<Dict>);

/// An output that is being made: beside its parts, which text has which code.
#[derive(Default)]
struct Making {
    codes: Vec<u32>,
    texts: Dict,
    known: FxHashMap<Box<[u8]>, u32>,
    others: FxHashMap<u32, Val<'static>>,
    cut: bool,
}

impl Making {
    /// The code of a text; 0 if there is no room for it.
    fn code_of(&mut self, text: &[u8]) -> u32 {
        if let Some(&code) = self.known.get(text) {
            return code;
        }
        let end = self.texts.bytes.len() + text.len();
        let (Ok(code), Ok(small)) = (u32::try_from(self.texts.len() + 1), u32::try_from(end)) else { return 0 };
        if end > GROUP_BYTES {
            self.cut = true;
            return 0;
        }
        self.texts.bytes.extend_from_slice(text);
        self.texts.ends.push(small);
        self.known.insert(text.into(), code);
        code
    }
}

/// Whether two dictionaries are one: a source may unpack its own twice.
pub fn is_equal(a: &Arc<Dict>, b: &Arc<Dict>) -> bool {
    Arc::ptr_eq(a, b) || (is_same(a, b) && a.ends == b.ends && a.bytes == b.bytes)
}

/// The only input with values in a group, if that is a dictionary of texts.
pub fn only_dict(readers: &[FieldReader]) -> Option<OnlyDict<'_>> {
    let mut only = None;
    for (input, reader) in readers.iter().enumerate() {
        match reader {
            FieldReader::Chunks(chunks) => match chunks.as_slice() {
                [] => {}
                [(Kind::Str, chunk)] if only.is_none() => match &**chunk {
                    Chunk::Dict { codes, dict } => only = Some((input, codes.as_slice(), dict)),
                    _ => return None,
                },
                _ => return None,
            },
            _ => return None,
        }
    }
    only
}

impl Mapped {
    /// Of all codes, where `input` is the step's input that has values; `None` if the texts have no room.
    pub fn all(step: &Step, input: usize, dict: &Dict) -> Option<Self> {
        let all = 0..=u32::try_from(dict.len()).unwrap_or(u32::MAX);
        Some(Self::make(step, input, dict, all, true)).filter(|made| !made.is_cut())
    }

    /// Of these codes.
    pub fn of(step: &Step, input: usize, dict: &Dict, codes: impl IntoIterator<Item = u32>) -> Self {
        Self::make(step, input, dict, codes, false)
    }

    /// `whole`: no more once a text has no room.
    fn make(step: &Step, input: usize, dict: &Dict, codes: impl IntoIterator<Item = u32>, whole: bool) -> Self {
        let count = step.outputs.len();
        let fresh = || Making { codes: vec![0; dict.len() + 1], ..Making::default() };
        let mut made: Vec<Making> = (0..count).map(|_| fresh()).collect();
        let mut out = Vec::new();
        for code in codes {
            if whole && made.iter().any(|made| made.cut) {
                break;
            }
            let mut inputs = vec![Val::Null; step.inputs.len()];
            if code > 0 {
                inputs[input] = Val::Str(dict.entry(code as usize - 1).into());
            }
            step.maker.run(&inputs, &mut out);
            for (made, value) in made.iter_mut().zip(out.drain(..)) {
                match value.settled() {
                    Val::Null => {}
                    Val::Str(text) => {
                        let number = made.code_of(&text);
                        if let Some(slot) = made.codes.get_mut(code as usize) {
                            *slot = number;
                        }
                    }
                    other => {
                        made.others.insert(code, other.into_owned());
                    }
                }
            }
        }
        let output = |Making { codes, texts, others, cut, .. }: Making| {
            let texts = Arc::new(texts);
            MappedOutput { codes, texts, others, cut }
        };
        Self { outputs: made.into_iter().map(output).collect() }
    }
    /// Whether some text had no room.
    pub fn is_cut(&self) -> bool {
        self.outputs.iter().any(|output| output.cut)
    }

    /// Bytes of memory, about.
    pub fn bytes(&self) -> usize {
        self.outputs.iter().map(|output| output.codes.len() * 4 + output.texts.bytes.len() + output.others.len() * 64).sum()
    }
}
