//! A source with computed columns: what `eval`, `extract`, `rename` and `lookup` make looks like any other column, so that
//! predicates, figures, orders and rows need not know where it comes from.
//!
//! A group's values are computed when somebody first asks for one of them, all outputs of a step at once. A step whose only input
//! in a group is a dictionary is computed once an entry; for the whole dictionary once as many rows as it has entries were read,
//! so that later groups, `stats` and predicates go on working with codes. Where it is known which rows matter ([`Computed::narrow`])
//! others are left out.
//!
//! Limits: what is kept is bounded ([`super::made`]). A group's texts past [`GROUP_BYTES`](super::builder::GROUP_BYTES) are left
//! out, which is said.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use super::bits::Bits;
use super::builder::Builder;
use super::expr::Val;
use super::made::{Made, Shared, Whole};
use super::mapped::{Mapped, MappedOutput, OnlyDict, only_dict};
use super::program::{Binding, Program, Step};
use super::view::{FieldReader, GroupView, virtual_reader};
use crate::base::ids::TopicId;
use crate::base::predicate::{Number, Test, Wanted};
use crate::store::StoreError;
use crate::store::part::envelope::Envelopes;
use crate::store::part::shape::Shapes;
use crate::store::part::split::Split;
use crate::store::source::{Chunk, Column, Counted, Dict, Kind, Lineage, Made as Piece, Run, Source};

/// Groups of which is known which rows matter.
const NARROWED: usize = 64;
/// Largest dictionary that is computed as a whole.
const ENTRIES: usize = 1 << 17;
/// The kinds that a computed column may have.
const KINDS: [Kind; 5] = [Kind::Str, Kind::List, Kind::Int, Kind::Float, Kind::Bool];

/// A source and what is computed from it.
#[derive(Debug)]
pub struct Computed {
    inner: Arc<dyn Source>,
    program: Arc<Program>,
    topic: Arc<str>,
    layout: OnceLock<Layout>,
    /// Which of the sources it is.
    own: usize,
    shared: Arc<Shared>,
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

impl Computed {
    /// One of several sources, seen through a program.
    pub fn new(inner: Arc<dyn Source>, own: usize, program: Arc<Program>, shared: Arc<Shared>) -> Self {
        let topic = inner.topic_name();
        Self { inner, program, topic, layout: OnceLock::new(), own, shared }
    }

    /// Says that of this group only these rows matter.
    pub fn narrow(&self, group: usize, rows: &Bits) {
        let key = (self.own, group);
        let mut state = self.shared.state.lock();
        state.narrowed.retain(|(own, _)| *own != key);
        state.forget(key);
        if state.narrowed.len() == NARROWED {
            state.narrowed.pop_front();
        }
        state.narrowed.push_back((key, rows.clone()));
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

    /// The column of the inner source that a column is.
    fn inner_of(&self, column: usize) -> Option<usize> {
        match self.layout().slots.get(column)? {
            Slot::Inner(inner) => Some(*inner),
            Slot::Made(..) => None,
        }
    }

    /// Where a column of the inner source is seen.
    fn place_of(&self, inner: usize) -> Option<usize> {
        self.layout().slots.iter().position(|slot| matches!(slot, Slot::Inner(own) if *own == inner))
    }

    fn step_of(&self, output: usize) -> Option<(usize, &Step)> {
        self.program.steps.iter().enumerate().find(|(_, step)| step.outputs.contains(&output))
    }

    /// The columns of a step in a group.
    fn outputs(&self, group: usize, index: usize, step: &Step) -> Result<Made, StoreError> {
        let rows = {
            let state = self.shared.state.lock();
            if let Some((_, made)) = state.recent.iter().rev().find(|(own, _)| *own == (self.own, group, index)) {
                return Ok(Arc::clone(made));
            }
            let narrowed = state.narrowed.iter().rev().find(|(own, _)| *own == (self.own, group));
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
                            let made = self.outputs(group, before, own)?;
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
        self.shared.state.lock().keep((self.own, group, index), Arc::clone(&made));
        Ok(made)
    }

    fn by_rows(&self, step: &Step, view: &GroupView<'_>, readers: &[FieldReader], rows: &Bits) -> Vec<Vec<(Kind, Chunk)>> {
        let mut builders: Vec<Builder> = step.outputs.clone().map(|_| Builder::new(view.rows)).collect();
        let (mut inputs, mut out) = (Vec::with_capacity(readers.len()), Vec::new());
        for row in rows.iter() {
            inputs.clear();
            inputs.extend(readers.iter().enumerate().map(|(input, reader)| match view.get(reader, row) {
                datum if step.maker.passes(input) => Val::whole(datum),
                datum => Val::from(datum),
            }));
            step.maker.run(&inputs, &mut out);
            for (builder, value) in builders.iter_mut().zip(out.drain(..)) {
                builder.push(row, value);
            }
        }
        self.finish(builders)
    }

    fn finish(&self, builders: Vec<Builder>) -> Vec<Vec<(Kind, Chunk)>> {
        if builders.iter().any(Builder::is_cut) {
            self.shared.cut.store(true, Ordering::Relaxed);
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
    fn mapped(&self, index: usize, step: &Step, only: OnlyDict<'_>, rows: &Bits) -> Arc<Mapped> {
        let (input, codes, dict) = only;
        if let Some(whole) = self.mapped_whole(index, step, (input, dict), rows.count()) {
            return whole;
        }
        let mut used: Vec<u32> = rows.iter().filter_map(|row| codes.get(row).copied()).collect();
        used.sort_unstable();
        used.dedup();
        let mapped = Mapped::of(step, input, dict, used);
        if mapped.is_cut() {
            self.shared.cut.store(true, Ordering::Relaxed);
        }
        Arc::new(mapped)
    }

    /// What a step makes of all entries of a dictionary, once so many rows more were looked up in it that it is worth that; `None`
    /// before, or where there is no memory for it.
    fn mapped_whole(&self, index: usize, step: &Step, (input, dict): (usize, &Arc<Dict>), rows: usize) -> Option<Arc<Mapped>> {
        {
            let mut state = self.shared.state.lock();
            let uses = state.uses((index, input), dict)?;
            uses.rows += rows;
            let is_due = uses.rows >= dict.len() && dict.len() <= ENTRIES;
            if !matches!(uses.whole, Whole::Unmade) || !is_due {
                return uses.whole.made();
            }
        }
        let made = Mapped::all(step, input, dict);
        self.shared.state.lock().keep_whole((index, input), dict, made)
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
        let Some(mapped) = self.mapped_whole(index, step, (input, &dict), dict.len()) else { return Ok(None) };
        Ok(mapped.outputs.get(output - step.outputs.start).map(|output| Arc::clone(&output.texts)))
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

    fn is_shut(&self) -> bool {
        self.inner.is_shut()
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
                let made = self.outputs(group, index, step)?;
                let chunks = made.get(output - step.outputs.start);
                let chunk = chunks.and_then(|chunks| chunks.iter().find(|(own, _)| own == kind));
                Ok(chunk.map(|(_, chunk)| chunk.clone()))
            }
        }
    }

    fn bounds(&self, group: usize, column: usize) -> Option<(Number, Number)> {
        self.inner.bounds(group, self.inner_of(column)?)
    }

    fn number_bounds(&self, group: usize, column: usize) -> Option<(i64, i64, u8)> {
        self.inner.number_bounds(group, self.inner_of(column)?)
    }

    fn dict(&self, column: usize) -> Result<Option<Arc<Dict>>, StoreError> {
        match self.layout().slots.get(column) {
            Some(Slot::Inner(inner)) => self.inner.dict(*inner),
            Some(Slot::Made(output, Kind::Str)) => self.whole_dict(*output),
            _ => Ok(None),
        }
    }

    fn dict_counts(&self, column: usize) -> Result<Option<Vec<u64>>, StoreError> {
        self.inner_of(column).map_or(Ok(None), |inner| self.inner.dict_counts(inner))
    }

    fn value_counts(&self, column: usize) -> Result<Option<Counted>, StoreError> {
        self.inner_of(column).map_or(Ok(None), |inner| self.inner.value_counts(inner))
    }

    fn groups_with(&self, column: usize, test: &Test, wanted: &Wanted) -> Result<Option<Vec<u64>>, StoreError> {
        self.inner_of(column).map_or(Ok(None), |inner| self.inner.groups_with(inner, test, wanted))
    }

    fn dict_passing(&self, column: usize, test: &Test, wanted: &Wanted) -> Result<Option<Vec<(u32, u64)>>, StoreError> {
        self.inner_of(column).map_or(Ok(None), |inner| self.inner.dict_passing(inner, test, wanted))
    }

    fn made_of(&self, column: usize) -> Option<Vec<Vec<Piece>>> {
        let mut ways = self.inner.made_of(self.inner_of(column)?)?;
        for piece in ways.iter_mut().flatten() {
            if let Piece::Columns(own) = piece {
                // Columns of one name stand together here as they do there; of what is no longer seen nothing can be told.
                let first = self.place_of(own.start)?;
                let here = first..first + own.len();
                if !own.clone().map(Some).eq(here.clone().map(|column| self.inner_of(column))) {
                    return None;
                }
                *own = here;
            }
        }
        Some(ways)
    }

    fn made(
        &self,
        group: usize,
        column: usize,
        rows: &[u64],
        get: &mut dyn FnMut(usize) -> Option<Chunk>,
    ) -> Result<Option<Chunk>, StoreError> {
        let Some(inner) = self.inner_of(column) else { return Ok(None) };
        let mut of_inner = |own: usize| match self.place_of(own) {
            Some(place) => get(place),
            None => self.inner.column(group, own).ok().flatten(),
        };
        self.inner.made(group, inner, rows, &mut of_inner)
    }

    fn shapes(&self, column: usize) -> Result<Option<Arc<Shapes>>, StoreError> {
        self.inner_of(column).map_or(Ok(None), |inner| self.inner.shapes(inner))
    }

    fn split(&self, group: usize, column: usize) -> Result<Option<Split>, StoreError> {
        self.inner_of(column).map_or(Ok(None), |inner| self.inner.split(group, inner))
    }

    fn split_texts(&self, group: usize, column: usize, rows: &[u64]) -> Result<Option<Chunk>, StoreError> {
        self.inner_of(column).map_or(Ok(None), |inner| self.inner.split_texts(group, inner, rows))
    }

    fn check_index(&self) -> Result<(), StoreError> {
        self.inner.check_index()
    }

    fn lineage(&self, group: usize) -> Result<Lineage, StoreError> {
        self.inner.lineage(group)
    }

    fn runs(&self, group: usize) -> Result<Vec<Run>, StoreError> {
        self.inner.runs(group)
    }

    fn payload(&self, group: usize) -> Result<Option<Chunk>, StoreError> {
        self.inner.payload(group)
    }

    fn envelopes(&self, group: usize) -> Result<Option<Envelopes>, StoreError> {
        self.inner.envelopes(group)
    }

    fn deleted(&self, group: usize) -> Option<Arc<[u64]>> {
        self.inner.deleted(group)
    }
}
