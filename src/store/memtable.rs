//! The memtable of a topic: rows that are not in a part yet, as columns, searchable as soon as they are added.
//!
//! There is no write-ahead log: the queue has the records and gives them again after a crash.
//! Rows go into the open group of their partition; full groups are sealed and shared. A look at the memtable seals open groups
//! that are worth it (a flush joins small groups again) and copies the rest, at most [`COPY_BYTES`] a partition: a search over a
//! thousand topics must not double their memory. Looks at the same state share one copy while anybody holds it.
//!
//! A column is a (name, kind): a field that is a number here and a string there has two, and at most one of them has a value
//! in any row. A name that occurs twice in a row is one list; its items are then all strings. What a row brings under a name that
//! the store alone writes is left out: it is in no column, and no payload is made of it.

use std::collections::BTreeMap;
use std::hash::BuildHasherDefault;
use std::sync::{Arc, Weak};

use hashbrown::HashMap;
use rustc_hash::FxHasher;

use super::column::Hint;
use super::group::{Groups, OpenGroup};
use super::look::MemSource;
use super::payload::{self, Finder};
use super::source::{Column, Kind, push_list_item};
use crate::base::ids::{Generation, PartitionId, TopicId};
use crate::base::predicate::Number;
use crate::base::record::RecordView;
use crate::base::row::{Cell, KeepPayload, MESSAGE, Rows, TIME_CLAIMED, Value, is_stores_own};
use crate::base::time::{self, DAY_NS};

/// Longest string that is kept whole; no record is near it.
const VALUE_BYTES: usize = 16 << 20;
/// Open groups up to this size are copied for a look, larger ones sealed.
const COPY_BYTES: usize = 32 << 10;
/// What a name takes beyond its bytes: counts of who shares it, and what an allocation costs.
const NAME_BYTES: usize = 32;
const NONE: u32 = u32::MAX;
const KINDS: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
enum Slot {
    Str,
    List,
    Int,
    Float,
    Bool,
}

/// A field name that the memtable has met.
#[derive(Debug)]
struct Name {
    name: Arc<str>,
    /// Its columns by [`Slot`].
    columns: [u32; KINDS],
    /// The last row that had it: how a second value in one row is seen.
    last_row: u64,
}

/// Rows of one topic that are not in a part yet.
#[derive(Debug, Default)]
pub struct Memtable {
    sealed: Groups,
    sealed_bytes: usize,
    open: BTreeMap<PartitionId, OpenGroup>,
    numbers: HashMap<Arc<str>, u32, BuildHasherDefault<FxHasher>>,
    names: Vec<Name>,
    /// What the names themselves take.
    name_bytes: usize,
    columns: Vec<Column>,
    /// By column.
    hints: Vec<Hint>,
    rows: u64,
    look: Weak<MemSource>,
    /// By index into `Rows::names` of the call at hand.
    scratch: Vec<u32>,
    twice: Vec<u32>,
    /// How payloads are made of rows.
    finder: Finder,
    /// By cell of the row at hand.
    cell_columns: Vec<u32>,
}

impl Memtable {
    /// Rows in it.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Memory it holds, about.
    pub fn bytes(&self) -> usize {
        let open: usize = self.open.values().map(OpenGroup::held).sum();
        let names = self.names.capacity() * size_of::<Name>() + self.numbers.capacity() * size_of::<(Arc<str>, u32, u8)>();
        let columns = self.columns.capacity() * size_of::<Column>() + self.hints.capacity() * size_of::<Hint>();
        self.sealed_bytes + open + self.name_bytes + names + columns + self.finder.bytes()
    }

    /// Columns that its open groups have.
    #[cfg(test)]
    pub fn open_columns(&self) -> usize {
        self.open.values().map(|group| group.columns().len()).sum()
    }

    /// Adds rows of one partition from number `skip` on.
    pub fn append(&mut self, partition: PartitionId, generation: Generation, rows: &Rows<'_>, skip: usize) {
        let Some(heads) = rows.heads.get(skip..).filter(|heads| !heads.is_empty()) else { return };
        self.look = Weak::new();
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.resize(rows.names.len(), NONE);
        let message = rows.names.iter().position(|name| **name == *MESSAGE).and_then(|at| u32::try_from(at).ok());
        let is_own = |cell: &Cell<'_>| rows.names.get(cell.name as usize).is_some_and(|name| is_stores_own(name));
        let has_own = rows.names.iter().any(|name| is_stores_own(name));
        let mut others: Vec<Cell<'_>> = Vec::new();
        let mut group = self.open.remove(&partition).unwrap_or_else(|| OpenGroup::new(partition, 0, 0));
        let mut records = rows.records.records.iter().peekable();
        for (at, head) in (skip..).zip(heads) {
            if group.is_full() {
                let fresh = OpenGroup::new(partition, group.rows(), group.columns().len());
                let full = std::mem::replace(&mut group, fresh);
                self.seal(full);
            }
            self.rows += 1;
            let ahead = head.time_ns > head.arrival_ns.saturating_add(DAY_NS);
            let time_ns = if ahead { head.arrival_ns } else { head.time_ns };
            let row = group.begin_row(time_ns, head.arrival_ns, head.offset, head.n, generation);
            let mut cells = rows.cells.get(head.cells.0 as usize..head.cells.1 as usize).unwrap_or(&[]);
            if has_own {
                others.clear();
                others.extend(cells.iter().filter(|cell| !is_own(cell)));
                cells = &others;
            }
            for cell in cells {
                let Some(number) = scratch.get(cell.name as usize).copied() else { continue };
                let number = if number == NONE {
                    let Some(name) = rows.names.get(cell.name as usize) else { continue };
                    let number = self.number(name);
                    scratch[cell.name as usize] = number;
                    number
                } else {
                    number
                };
                let name = &mut self.names[number as usize];
                if name.last_row == self.rows {
                    self.twice.push(number);
                    continue;
                }
                name.last_row = self.rows;
                self.push(&mut group, row, number, cell.value);
            }
            if rows.keep != KeepPayload::Never
                && let Some(Some(payload)) = rows.payloads.get(at)
            {
                while records.next_if(|record| record.offset < head.offset).is_some() {}
                let record = records.peek().copied().filter(|record| record.offset == head.offset);
                self.keep(&mut group, row, (payload, record), rows, (cells, &scratch), time_ns);
            }
            if !self.twice.is_empty() {
                self.lists(&mut group, row, cells, &scratch);
            }
            if ahead {
                let number = self.number(TIME_CLAIMED);
                self.push(&mut group, row, number, Value::Str(time::format(head.time_ns).as_bytes()));
            }
            let payload = rows.payloads.get(at).copied().flatten();
            group.add_raw(payload.map_or_else(|| raw_bytes(message, cells), <[u8]>::len));
        }
        self.open.insert(partition, group);
        self.scratch = scratch;
    }

    /// Keeps a row's payload, if its fields give it or it is to be kept whatever it costs.
    fn keep(
        &mut self,
        group: &mut OpenGroup,
        row: u16,
        (payload, record): (&[u8], Option<&RecordView<'_>>),
        rows: &Rows<'_>,
        (cells, numbers): (&[Cell<'_>], &[u32]),
        time_ns: i64,
    ) {
        let mut columns = std::mem::take(&mut self.cell_columns);
        columns.clear();
        columns.extend(cells.iter().map(|cell| {
            let number = numbers.get(cell.name as usize).copied().unwrap_or(NONE);
            self.names.get(number as usize).map_or(NONE, |name| name.columns[slot(cell.value) as usize])
        }));
        let of = payload::Row { cells, columns: &columns, time_ns, names: &rows.names };
        // A name that comes twice is a list, and how its items were written is not known.
        let mut is_kept = true;
        let code = if self.twice.is_empty() { self.finder.code(payload, &of) } else { None };
        match code {
            Some(code) if rows.keep == KeepPayload::Derived || !self.finder.is_unsure(code) => {
                group.payloads.note(usize::from(row), code);
                group.bytes += 1;
                group.text += payload.len();
            }
            _ if rows.keep == KeepPayload::Always => {
                group.payloads.store(usize::from(row), payload.get(..VALUE_BYTES).unwrap_or(payload));
                group.bytes += payload.len() + 5;
            }
            _ => is_kept = false,
        }
        // Of one that is cut no record can be made again.
        if let Some(record) = record.filter(|_| is_kept && payload.len() <= VALUE_BYTES) {
            let before = group.payloads.envelopes.size();
            group.payloads.envelopes.note(usize::from(row), record, rows.records.headers_of(record));
            group.bytes += group.payloads.envelopes.size() - before;
        }
        self.cell_columns = columns;
    }

    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(NONE - 1);
        self.name_bytes += name.len() + NAME_BYTES;
        let name: Arc<str> = Arc::from(name);
        self.numbers.insert(name.clone(), number);
        self.names.push(Name { name, columns: [NONE; KINDS], last_row: 0 });
        number
    }

    #[cold]
    fn add_column(&mut self, number: u32, slot: Slot) -> usize {
        let kind = match slot {
            Slot::Str => Kind::Str,
            Slot::List => Kind::List,
            Slot::Int => Kind::Int,
            Slot::Float => Kind::Float,
            Slot::Bool => Kind::Bool,
        };
        let name = &mut self.names[number as usize];
        let column = self.columns.len();
        name.columns[slot as usize] = u32::try_from(column).unwrap_or(NONE - 1);
        self.columns.push(Column { name: name.name.clone(), kind });
        self.hints.push(Hint::default());
        column
    }

    #[inline]
    fn column(&mut self, number: u32, slot: Slot) -> usize {
        match self.names[number as usize].columns[slot as usize] {
            NONE => self.add_column(number, slot),
            column => column as usize,
        }
    }

    #[inline]
    fn push(&mut self, group: &mut OpenGroup, row: u16, number: u32, value: Value<'_>) {
        let slot = slot(value);
        let column = self.column(number, slot);
        let open = group.column(column);
        group.bytes += match value {
            Value::Str(bytes) => {
                let bytes = bytes.get(..VALUE_BYTES).unwrap_or(bytes);
                let cost = open.push_bytes(row, bytes, &mut self.hints[column]);
                group.text += bytes.len();
                cost
            }
            Value::Int(value) => open.push_int(row, value),
            Value::Float(value) => open.push_float(row, value),
            Value::Bool(value) => open.push_bool(row, value),
        };
    }

    /// Makes lists of the names that this row has more than once.
    #[cold]
    fn lists(&mut self, group: &mut OpenGroup, row: u16, cells: &[Cell<'_>], numbers: &[u32]) {
        let mut twice = std::mem::take(&mut self.twice);
        twice.sort_unstable();
        twice.dedup();
        for number in twice.drain(..) {
            let mut entry = Vec::new();
            let mut first = true;
            for cell in cells.iter().filter(|cell| numbers.get(cell.name as usize) == Some(&number)) {
                if first {
                    let column = self.column(number, slot(cell.value));
                    group.column(column).pop(row);
                    first = false;
                }
                match cell.value {
                    Value::Str(bytes) => push_list_item(&mut entry, bytes.get(..VALUE_BYTES).unwrap_or(bytes)),
                    Value::Int(value) => push_list_item(&mut entry, value.to_string().as_bytes()),
                    Value::Float(value) => push_list_item(&mut entry, Number::text_of(value).as_bytes()),
                    Value::Bool(value) => push_list_item(&mut entry, if value { b"true" } else { b"false" }),
                }
            }
            let column = self.column(number, Slot::List);
            group.text += entry.len();
            group.bytes += group.column(column).push_bytes(row, &entry, &mut self.hints[column]);
        }
        self.twice = twice;
    }

    fn seal(&mut self, group: OpenGroup) {
        let full = group.is_full();
        if full {
            self.hints.iter_mut().for_each(Hint::forget_room);
        }
        for (number, column) in group.columns() {
            if let Some(hint) = self.hints.get_mut(*number) {
                column.note(hint, full);
            }
        }
        let group = Arc::new(group.sealed());
        self.sealed_bytes += group.bytes();
        self.sealed.push(group);
    }

    /// A look at it as it stands, which later rows do not change.
    pub fn look(&mut self, topic: TopicId, topic_name: &Arc<str>) -> Option<Arc<MemSource>> {
        if self.rows == 0 {
            return None;
        }
        if let Some(look) = self.look.upgrade() {
            return Some(look);
        }
        let large: Vec<_> = self.open.extract_if(.., |_, group| group.bytes > COPY_BYTES).collect();
        for (_, group) in large {
            self.seal(group);
        }
        let mut groups = self.sealed.clone();
        groups.extend(self.open.values().filter(|group| group.rows() > 0).map(|group| Arc::new(group.frozen())));
        let look = Arc::new(MemSource::new(topic, topic_name.clone(), self.columns.clone(), groups, self.finder.shared()));
        self.look = Arc::downgrade(&look);
        Some(look)
    }

    /// Everything in it, finished; the memtable is used up.
    pub fn into_source(mut self, topic: TopicId, topic_name: &Arc<str>) -> MemSource {
        for group in std::mem::take(&mut self.open).into_values() {
            if group.rows() > 0 {
                self.seal(group);
            }
        }
        MemSource::new(topic, topic_name.clone(), self.columns, self.sealed, self.finder.shared())
    }
}

fn slot(value: Value<'_>) -> Slot {
    match value {
        Value::Str(_) => Slot::Str,
        Value::Int(_) => Slot::Int,
        Value::Float(_) => Slot::Float,
        Value::Bool(_) => Slot::Bool,
    }
}

/// What a row was made of where its payload is not at hand: its message where it has one, else its values.
fn raw_bytes(message: Option<u32>, cells: &[Cell<'_>]) -> usize {
    let size = |cell: &Cell<'_>| match cell.value {
        Value::Str(bytes) => bytes.len(),
        Value::Int(_) | Value::Float(_) => 8,
        Value::Bool(_) => 1,
    };
    let message = message.and_then(|message| cells.iter().rev().find(|cell| cell.name == message));
    message.map_or_else(|| cells.iter().map(size).sum(), size)
}
