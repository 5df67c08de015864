//! What a step computes of a dictionary's entries: once an entry, however many rows have it.

use std::sync::Arc;

use rustc_hash::FxHashMap;

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
}

/// The only input that has values: which, its codes and its dictionary.
pub type OnlyDict<'c> = (usize, &'c [u32], &'c Arc<Dict>);

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
    /// Of these codes, where `input` is the step's input that has values.
    pub fn new(step: &Step, input: usize, dict: &Dict, codes: impl IntoIterator<Item = u32>) -> Self {
        let count = step.outputs.len();
        let mut made: Vec<(Vec<u32>, Dict, FxHashMap<Box<[u8]>, u32>, FxHashMap<u32, Val<'static>>)> = (0..count)
            .map(|_| (vec![0; dict.len() + 1], Dict::default(), FxHashMap::default(), FxHashMap::default()))
            .collect();
        let mut out = Vec::new();
        for code in codes {
            let mut inputs = vec![Val::Null; step.inputs.len()];
            if code > 0 {
                inputs[input] = Val::Str(dict.entry(code as usize - 1).into());
            }
            step.maker.run(&inputs, &mut out);
            for ((codes, texts, known, others), value) in made.iter_mut().zip(out.drain(..)) {
                match value.settled() {
                    Val::Null => {}
                    Val::Str(text) => {
                        let next = u32::try_from(texts.len() + 1).unwrap_or(0);
                        let number = match known.get(&*text) {
                            Some(&number) => number,
                            None => match u32::try_from(texts.bytes.len() + text.len()) {
                                Ok(end) => {
                                    texts.bytes.extend_from_slice(&text);
                                    texts.ends.push(end);
                                    known.insert(text.into_owned().into(), next);
                                    next
                                }
                                Err(_) => 0,
                            },
                        };
                        if let Some(slot) = codes.get_mut(code as usize) {
                            *slot = number;
                        }
                    }
                    other => {
                        others.insert(code, other.into_owned());
                    }
                }
            }
        }
        let outputs = made.into_iter().map(|(codes, texts, _, others)| MappedOutput { codes, texts: Arc::new(texts), others });
        Self { outputs: outputs.collect() }
    }
}
