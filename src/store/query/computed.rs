//! A source with computed columns: what `eval`, `extract`, `rename` and `lookup` make looks like any other column, so that
//! predicates, figures, orders and rows need not know where it comes from.
//!
//! A group's values are computed when somebody first asks for one of them, all outputs of a step at once. A step whose only input
//! in a group is a dictionary is computed once an entry; for the whole dictionary once as many rows as it has entries were read,
//! so that later groups, `stats` and predicates go on working with codes. Where it is known which rows matter ([`Computed::narrow`])
//! others are left out.
//!
//! Limits: the columns of the last few groups are kept; a group's texts past [`GROUP_BYTES`] are left out, which is said.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::bits::Bits;
use super::builder::Builder;
use super::expr::Val;
use super::program::{Binding, Program, Step};
use super::search::is_same;
use super::view::{FieldReader, GroupView, virtual_reader};
use crate::base::ids::TopicId;
use crate::store::StoreError;
use crate::store::source::{Chunk, Column, Dict, Kind, Lineage, Run, Source};

/// Groups' columns kept, for each step.
const KEPT: usize = 4;
/// Groups of which is known which rows matter.
const NARROWED: usize = 64;
/// Largest dictionary that is computed as a whole.
const ENTRIES: usize = 1 << 17;
/// The kinds that a computed column may have.
const KINDS: [Kind; 4] = [Kind::Str, Kind::Int, Kind::Float, Kind::Bool];

/// A source and what is computed from it.
#[derive(Debug)]
pub struct Computed {
    inner: Arc<dyn Source>,
    program: Arc<Program>,
    topic: Arc<str>,
    layout: OnceLock<Layout>,
    state: Mutex<State>,
    /// Whether some text had no room.
    cut: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Layout {
    columns: Vec<Column>,
    slots: Vec<Slot>,
}

/// Where a column comes from.
#[derive(Clone, Copy, Debug)]
enum Slot {
    Inner(usize),
    Made(usize, Kind),
}

/// The chunks of each output of a step.
type Made = Arc<Vec<Vec<(Kind, Chunk)>>>;

#[derive(Debug, Default)]
struct State {
    recent: VecDeque<(usize, usize, Made)>,
    narrowed: VecDeque<(usize, Bits)>,
    mapped: Vec<(usize, Uses)>,
}

/// A dictionary that is a step's only input, and how many rows were looked up in it.
#[derive(Debug)]
struct Uses {
    dict: Arc<Dict>,
    rows: usize,
    whole: Option<Arc<Mapped>>,
}

/// What a step makes of a dictionary's entries.
#[derive(Debug)]
struct Mapped {
    outputs: Vec<MappedOutput>,
}

#[derive(Debug)]
struct MappedOutput {
    /// From the code of an entry (0: no value) to that of a text; 0 where it is none.
    codes: Vec<u32>,
    texts: Arc<Dict>,
    /// What is no text, by code.
    others: FxHashMap<u32, Val<'static>>,
}

/// The only input that has values: which, its codes and its dictionary.
type OnlyDict<'c> = (usize, &'c [u32], &'c Arc<Dict>);

impl Computed {
    /// A source seen through a program. `cut` is set where something had no room.
    pub fn new(inner: Arc<dyn Source>, program: Arc<Program>, cut: Arc<AtomicBool>) -> Self {
        let topic = inner.topic_name();
        Self { inner, program, topic, layout: OnceLock::new(), state: Mutex::default(), cut }
    }

    /// Says that of this group only these rows matter.
    pub fn narrow(&self, group: usize, rows: &Bits) {
        let mut state = self.state.lock();
        state.narrowed.retain(|(own, _)| *own != group);
        state.recent.retain(|(own, ..)| *own != group);
        if state.narrowed.len() == NARROWED {
            state.narrowed.pop_front();
        }
        state.narrowed.push_back((group, rows.clone()));
    }

    fn layout(&self) -> &Layout {
        self.layout.get_or_init(|| {
            let (mut columns, mut slots) = (Vec::new(), Vec::new());
            let inner = self.inner.columns();
            for (index, column) in inner.iter().enumerate().filter(|(_, column)| !self.program.hides(&column.name)) {
                columns.push(column.clone());
                slots.push(Slot::Inner(index));
            }
            for (name, binding) in self.program.shown() {
                let name: Arc<str> = Arc::from(name.as_str());
                match binding {
                    Binding::Base(base) => {
                        for (index, column) in inner.iter().enumerate().filter(|(_, column)| *column.name == **base) {
                            columns.push(Column { name: Arc::clone(&name), kind: column.kind });
                            slots.push(Slot::Inner(index));
                        }
                    }
                    Binding::Made(output) => {
                        columns.extend(KINDS.map(|kind| Column { name: Arc::clone(&name), kind }));
                        slots.extend(KINDS.map(|kind| Slot::Made(*output, kind)));
                    }
                    Binding::Nothing => {}
                }
            }
            Layout { columns, slots }
        })
    }

    fn step_of(&self, output: usize) -> Option<(usize, &Step)> {
        self.program.steps.iter().enumerate().find(|(_, step)| step.outputs.contains(&output))
    }

    /// The columns of a step in a group.
    fn made(&self, group: usize, index: usize, step: &Step) -> Result<Made, StoreError> {
        let rows = {
            let state = self.state.lock();
            if let Some((.., made)) = state.recent.iter().find(|(own, own_step, _)| (*own, *own_step) == (group, index)) {
                return Ok(Arc::clone(made));
            }
            let narrowed = state.narrowed.iter().find(|(own, _)| *own == group);
            narrowed.map_or_else(|| Bits::all(self.inner.rows(group)), |(_, rows)| rows.clone())
        };
        let view = GroupView::new(&*self.inner, Arc::clone(&self.topic), group);
        let mut readers = Vec::with_capacity(step.inputs.len());
        for input in &step.inputs {
            readers.push(match input {
                Binding::Base(name) => view.field(name),
                Binding::Nothing => FieldReader::Chunks(Vec::new()),
                Binding::Made(output) => {
                    let chunks = match self.step_of(*output) {
                        // Steps read what steps before them made: this ends.
                        Some((before, own)) if before < index => {
                            let made = self.made(group, before, own)?;
                            made.get(output - own.outputs.start).cloned().unwrap_or_default()
                        }
                        _ => Vec::new(),
                    };
                    FieldReader::Chunks(chunks.into_iter().map(|(kind, chunk)| (kind, Rc::new(chunk))).collect())
                }
            });
        }
        if view.damaged.get() > 0 {
            let what = "what a column is computed from".to_owned();
            return Err(StoreError::Damaged { path: self.topic.to_string(), at: 0, what });
        }
        let made = Arc::new(match only_dict(&readers) {
            Some((input, codes, dict)) => {
                let mapped = self.mapped(index, step, (input, codes, dict), &rows);
                self.by_codes(&mapped, codes, &rows)
            }
            None => self.by_rows(step, &view, &readers, &rows),
        });
        let mut state = self.state.lock();
        if state.recent.len() >= KEPT * self.program.steps.len() {
            state.recent.pop_front();
        }
        state.recent.push_back((group, index, Arc::clone(&made)));
        Ok(made)
    }

    fn by_rows(&self, step: &Step, view: &GroupView<'_>, readers: &[FieldReader], rows: &Bits) -> Vec<Vec<(Kind, Chunk)>> {
        let mut builders: Vec<Builder> = step.outputs.clone().map(|_| Builder::new(view.rows)).collect();
        let (mut inputs, mut out) = (Vec::with_capacity(readers.len()), Vec::new());
        for row in rows.iter() {
            inputs.clear();
            inputs.extend(readers.iter().map(|reader| Val::from(view.get(reader, row))));
            step.maker.run(&inputs, &mut out);
            for (builder, value) in builders.iter_mut().zip(out.drain(..)) {
                builder.push(row, value);
            }
        }
        self.finish(builders)
    }

    fn finish(&self, builders: Vec<Builder>) -> Vec<Vec<(Kind, Chunk)>> {
        if builders.iter().any(Builder::is_cut) {
            self.cut.store(true, Ordering::Relaxed);
        }
        builders.into_iter().map(Builder::finish).collect()
    }

    fn by_codes(&self, mapped: &Mapped, codes: &[u32], rows: &Bits) -> Vec<Vec<(Kind, Chunk)>> {
        let output = |output: &MappedOutput| {
            let mut chunks = Vec::new();
            if !output.others.is_empty() {
                let mut builder = Builder::new(codes.len());
                for row in rows.iter() {
                    if let Some(value) = codes.get(row).and_then(|code| output.others.get(code)) {
                        builder.push(row, value.clone());
                    }
                }
                chunks = builder.finish();
            }
            if !output.texts.is_empty() {
                let code = |code: &u32| output.codes.get(*code as usize).copied().unwrap_or(0);
                let codes: Vec<u32> = codes.iter().map(code).collect();
                if codes.iter().any(|&code| code != 0) {
                    chunks.push((Kind::Str, Chunk::Dict { codes, dict: Arc::clone(&output.texts) }));
                }
            }
            chunks
        };
        mapped.outputs.iter().map(output).collect()
    }

    /// What a step makes of the entries of a dictionary: of all, where that is likely to be less work, else of those in use.
    fn mapped(&self, index: usize, step: &Step, (input, codes, dict): OnlyDict<'_>, rows: &Bits) -> Arc<Mapped> {
        let known = {
            let mut state = self.state.lock();
            let at = state.mapped.iter().position(|(own, uses)| *own == index && is_equal(&uses.dict, dict));
            let at = at.unwrap_or_else(|| {
                if state.mapped.len() >= KEPT * self.program.steps.len() {
                    state.mapped.remove(0);
                }
                state.mapped.push((index, Uses { dict: Arc::clone(dict), rows: 0, whole: None }));
                state.mapped.len() - 1
            });
            let uses = &mut state.mapped[at].1;
            uses.rows += rows.count();
            (uses.whole.clone(), uses.rows >= dict.len() && dict.len() <= ENTRIES)
        };
        match known {
            (Some(whole), _) => whole,
            (None, true) => {
                let whole = Arc::new(Mapped::new(step, input, dict, 0..=u32::try_from(dict.len()).unwrap_or(u32::MAX)));
                let mut state = self.state.lock();
                if let Some((_, uses)) = state.mapped.iter_mut().find(|(own, uses)| *own == index && is_equal(&uses.dict, dict))
                {
                    // Two threads may have made it; all are to use the same.
                    return Arc::clone(uses.whole.get_or_insert(whole));
                }
                whole
            }
            (None, false) => {
                let mut used: Vec<u32> = rows.iter().filter_map(|row| codes.get(row).copied()).collect();
                used.sort_unstable();
                used.dedup();
                Arc::new(Mapped::new(step, input, dict, used))
            }
        }
    }

    /// The dictionary of an output for the whole source, where its step has one input that has a dictionary for the whole source.
    fn whole_dict(&self, output: usize) -> Result<Option<Arc<Dict>>, StoreError> {
        let Some((index, step)) = self.step_of(output) else { return Ok(None) };
        let mut only = None;
        for (input, binding) in step.inputs.iter().enumerate() {
            let name = match binding {
                Binding::Nothing => continue,
                Binding::Made(_) => return Ok(None),
                Binding::Base(name) => name,
            };
            if virtual_reader(name).is_some() {
                return Ok(None);
            }
            for (column, own) in self.inner.columns().iter().enumerate().filter(|(_, column)| *column.name == **name) {
                if own.kind != Kind::Str || only.is_some() {
                    return Ok(None);
                }
                only = Some((input, column));
            }
        }
        let Some((input, column)) = only else { return Ok(None) };
        let Some(dict) = self.inner.dict(column)?.filter(|dict| dict.len() <= ENTRIES) else { return Ok(None) };
        // As if all had been read: a predicate asks every entry anyway.
        let everything = Bits::all(dict.len());
        let mapped = self.mapped(index, step, (input, &[], &dict), &everything);
        Ok(mapped.outputs.get(output - step.outputs.start).map(|output| Arc::clone(&output.texts)))
    }
}

/// Whether two dictionaries are one: a source may unpack its own twice.
fn is_equal(a: &Arc<Dict>, b: &Arc<Dict>) -> bool {
    Arc::ptr_eq(a, b) || (is_same(a, b) && a.ends == b.ends && a.bytes == b.bytes)
}

/// The only input with values in a group, if that is a dictionary of texts.
fn only_dict(readers: &[FieldReader]) -> Option<OnlyDict<'_>> {
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
    fn new(step: &Step, input: usize, dict: &Dict, codes: impl IntoIterator<Item = u32>) -> Self {
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

impl Source for Computed {
    fn topic(&self) -> TopicId {
        self.inner.topic()
    }

    fn topic_name(&self) -> Arc<str> {
        Arc::clone(&self.topic)
    }

    fn columns(&self) -> &[Column] {
        &self.layout().columns
    }

    fn groups(&self) -> usize {
        self.inner.groups()
    }

    fn rows(&self, group: usize) -> usize {
        self.inner.rows(group)
    }

    fn time_bounds(&self, group: usize) -> (i64, i64) {
        self.inner.time_bounds(group)
    }

    fn times(&self, group: usize) -> Result<Vec<i64>, StoreError> {
        self.inner.times(group)
    }

    fn column(&self, group: usize, column: usize) -> Result<Option<Chunk>, StoreError> {
        match self.layout().slots.get(column) {
            None => Ok(None),
            Some(Slot::Inner(inner)) => self.inner.column(group, *inner),
            Some(Slot::Made(output, kind)) => {
                let Some((index, step)) = self.step_of(*output) else { return Ok(None) };
                let made = self.made(group, index, step)?;
                let chunks = made.get(output - step.outputs.start);
                let chunk = chunks.and_then(|chunks| chunks.iter().find(|(own, _)| own == kind));
                Ok(chunk.map(|(_, chunk)| chunk.clone()))
            }
        }
    }

    fn int_bounds(&self, group: usize, column: usize) -> Option<(i64, i64)> {
        match self.layout().slots.get(column)? {
            Slot::Inner(inner) => self.inner.int_bounds(group, *inner),
            Slot::Made(..) => None,
        }
    }

    fn dict(&self, column: usize) -> Result<Option<Arc<Dict>>, StoreError> {
        match self.layout().slots.get(column) {
            Some(Slot::Inner(inner)) => self.inner.dict(*inner),
            Some(Slot::Made(output, Kind::Str)) => self.whole_dict(*output),
            _ => Ok(None),
        }
    }

    fn dict_counts(&self, column: usize) -> Result<Option<Vec<u64>>, StoreError> {
        match self.layout().slots.get(column) {
            Some(Slot::Inner(inner)) => self.inner.dict_counts(*inner),
            _ => Ok(None),
        }
    }

    fn lineage(&self, group: usize) -> Result<Lineage, StoreError> {
        self.inner.lineage(group)
    }

    fn runs(&self, group: usize) -> Result<Vec<Run>, StoreError> {
        self.inner.runs(group)
    }

    fn deleted(&self, group: usize) -> Option<Arc<[u64]>> {
        self.inner.deleted(group)
    }
}
