//! The rows of one batch while filters work on them.
//!
//! Cells stand in one append-only vector; a row is a range of it. A filter that changes a row gets it written again at the end,
//! so undoing a call is cutting the vector and putting the ranges back. That is what makes a trap harmless: nothing of a call
//! that failed stays.
//!
//! Before the first filter a row has its record's headers as fields, and a `message` that is the payload. That cell comes first
//! and is *implied*: it goes as soon as a filter says that its fields say all that the payload says, and is an ordinary
//! field as soon as one sets it.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::names::{MESSAGE, Names, TAGS, TIME};
use super::output::{Emission, Joined, Output, Stats, Verdict, VerdictKind};
use crate::base::limits::FIELDS;
use crate::base::record::Records;
use crate::base::row::{Cell, Value};
use crate::base::time;
use sawbox_guest::abi::Operation;

/// Tag of a row that had to leave fields out: more than [`FIELDS`], or names that are none.
pub const TAG_LEFT_OUT: &str = "_fields_left_out";

/// What has become of a record so far.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum State<'b> {
    /// It goes on.
    Alive,
    /// A filter left it out.
    Dropped(Cow<'b, str>),
    /// A filter keeps it.
    Held,
    /// A filter, this one, could not handle it.
    Failed(Box<(Arc<str>, Cow<'b, str>)>),
}

/// One row in the making. Every filter's call goes over all rows some times: one is a processor's line of 64 bytes, so what few rows
/// have lies elsewhere.
#[derive(Clone, Debug)]
pub(super) struct Row<'b> {
    cells: (u32, u32),
    pub(super) time_ns: Option<i64>,
    /// Whether the first cell is the message that is made of the payload.
    pub(super) implied: bool,
    pub(super) state: State<'b>,
    emissions: u32,
    /// Where it is made of records that were held.
    joined: Option<Box<Joined<'b>>>,
}

const _: () = assert!(size_of::<Row<'_>>() <= 64);

impl Row<'_> {
    /// Where its cells are.
    pub(super) fn cells(&self) -> Range<usize> {
        self.cells.0 as usize..self.cells.1 as usize
    }
}

/// Cells of a batch are some hundred thousand at most.
fn small(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// What a call may have changed, to undo it.
pub(super) struct Saved<'b> {
    rows: Vec<Before<'b>>,
    cells: usize,
}

/// What a call may have changed of a row that goes on.
struct Before<'b> {
    cells: (u32, u32),
    time_ns: Option<i64>,
    implied: bool,
    emissions: u32,
    joined: Option<Box<Joined<'b>>>,
}

/// A row that is being written anew.
#[derive(Clone, Copy)]
pub(super) struct Written {
    index: usize,
    /// Who has it has a name already.
    stamp: u32,
    /// Where its cells must end.
    full: usize,
}

/// All rows of a batch.
pub(super) struct Rows<'b> {
    pub(super) rows: Vec<Row<'b>>,
    pub(super) cells: Vec<Cell<'b>>,
    pub(super) emissions: Vec<Vec<Emission<'b>>>,
    /// `stamps[name] == stamp` while the row that is being written has that name.
    stamps: Vec<u32>,
    stamp: u32,
    /// Bytes of all payloads.
    pub(super) bytes: usize,
}

impl<'b> Rows<'b> {
    /// The rows as they are before the first filter.
    pub(super) fn new(records: &Records<'b>, names: &mut Names) -> Self {
        let count = records.records.len();
        let mut rows = Vec::with_capacity(count);
        // Room for the headers, and for what one parser cuts out of each record.
        let mut cells = Vec::with_capacity(records.headers.len() * 2 + count * 16);
        // Records of one batch mostly have the same headers in the same order: guess that the next one is the same too.
        let mut guesses: Vec<(&[u8], Option<u32>)> = Vec::new();
        let mut bytes = 0;
        for record in &records.records {
            bytes += record.payload.len();
            let from = cells.len();
            cells.push(Cell { name: MESSAGE, value: Value::Str(record.payload) });
            let (mut time_ns, mut implied) = (None, true);
            for (index, &(name, value)) in records.headers_of(record).iter().enumerate() {
                let number = match guesses.get(index) {
                    Some(&(guess, number)) if guess == name => number,
                    _ => {
                        let number = names.number(name);
                        guesses.truncate(index);
                        guesses.push((name, number));
                        number
                    }
                };
                match number {
                    Some(TIME) => time_ns = instant(Value::Str(value)).or(time_ns),
                    Some(MESSAGE) if implied => {
                        implied = false;
                        cells[from].value = Value::Str(value);
                    }
                    Some(number) => cells.push(Cell { name: number, value: Value::Str(value) }),
                    // A header that can be no field; the payload is what counts.
                    None => {}
                }
            }
            let cells = (small(from), small(cells.len()));
            rows.push(Row { cells, time_ns, implied, state: State::Alive, emissions: 0, joined: None });
        }
        Self { rows, cells, emissions: Vec::new(), stamps: Vec::new(), stamp: 0, bytes }
    }

    /// Remembers the rows that a call is about to work on, all of which go on so far.
    pub(super) fn save(&self, selected: &[usize]) -> Saved<'b> {
        let before = |&index: &usize| {
            let Row { cells, time_ns, implied, emissions, ref joined, .. } = self.rows[index];
            Before { cells, time_ns, implied, emissions, joined: joined.clone() }
        };
        Saved { rows: selected.iter().map(before).collect(), cells: self.cells.len() }
    }

    /// Puts them back.
    pub(super) fn restore(&mut self, selected: &[usize], saved: Saved<'b>) {
        for (&index, before) in selected.iter().zip(saved.rows) {
            let Before { cells, time_ns, implied, emissions, joined } = before;
            if let Some(all) = self.emissions.get_mut(index) {
                all.truncate(emissions as usize);
            }
            self.rows[index] = Row { cells, time_ns, implied, state: State::Alive, emissions, joined };
        }
        self.cells.truncate(saved.cells);
    }

    /// What the row is made of.
    #[inline]
    pub(super) fn payload(&self, index: usize, records: &Records<'b>) -> &'b [u8] {
        match &self.rows[index].joined {
            Some(joined) => joined.payload,
            None => records.records[index].payload,
        }
    }

    /// The row is made of records that were held, and begins anew.
    pub(super) fn join(&mut self, index: usize, joined: Joined<'b>) {
        let from = self.cells.len();
        self.cells.push(Cell { name: MESSAGE, value: Value::Str(joined.payload) });
        self.bytes += joined.payload.len();
        let row = &mut self.rows[index];
        row.cells = (small(from), small(from + 1));
        (row.time_ns, row.implied) = (None, true);
        row.joined = Some(Box::new(joined));
    }

    /// Begins to write a row anew, with the fields it has; `consumed` leaves the implied message out.
    #[inline]
    pub(super) fn rewrite(&mut self, index: usize, consumed: bool, names: usize) -> Written {
        let row = &mut self.rows[index];
        let mut from = row.cells();
        if row.implied && consumed {
            from.start += 1;
            row.implied = false;
        }
        let start = self.cells.len();
        if self.stamps.len() < names {
            self.stamps.resize(names, 0);
        }
        if self.stamp == u32::MAX {
            self.stamps.fill(0);
            self.stamp = 0;
        }
        self.stamp += 1;
        // One by one: mostly they are none or one.
        for at in from {
            let cell = self.cells[at];
            self.cells.push(cell);
            if let Some(stamp) = self.stamps.get_mut(cell.name as usize) {
                *stamp = self.stamp;
            }
        }
        row.cells = (small(start), small(self.cells.len()));
        Written { index, stamp: self.stamp, full: start + FIELDS }
    }

    /// Puts a value into the row that is being written; false where it had to be left out. Mostly the field is a new one: then the
    /// cell is written once, where it stays.
    #[inline(always)] // of each kind of value by itself, or it is put together in memory first
    pub(super) fn put(&mut self, written: Written, name: u32, operation: Operation, value: Value<'b>) -> bool {
        let has_room = self.cells.len() < written.full;
        match self.stamps.get_mut(name as usize) {
            Some(stamp) if *stamp != written.stamp && name != TIME && has_room => {
                *stamp = written.stamp;
                self.cells.push(Cell { name, value });
                true
            }
            _ => self.apply(written.index, name, operation, Some(value)),
        }
    }

    /// Changes a field of the row that is being written; false where it had to be left out.
    #[inline(never)]
    pub(super) fn apply(&mut self, index: usize, name: u32, operation: Operation, value: Option<Value<'b>>) -> bool {
        if name == TIME {
            self.rows[index].time_ns = match value {
                Some(value) => instant(value).or(self.rows[index].time_ns),
                None => None,
            };
            return true;
        }
        let has = self.stamps.get(name as usize).is_some_and(|&stamp| stamp == self.stamp);
        let (Some(value), false) = (value, has) else {
            return self.apply_to_existing(index, name, operation, value);
        };
        let start = self.rows[index].cells().start;
        if self.cells.len() - start >= FIELDS {
            return false;
        }
        self.cells.push(Cell { name, value });
        if let Some(stamp) = self.stamps.get_mut(name as usize) {
            *stamp = self.stamp;
        }
        true
    }

    fn apply_to_existing(&mut self, index: usize, name: u32, operation: Operation, value: Option<Value<'b>>) -> bool {
        let row = &mut self.rows[index];
        let start = row.cells().start;
        // Whatever happens to the message, it is not the payload by default any more.
        let was_implied = name == MESSAGE && std::mem::take(&mut row.implied);
        let same = self.cells[start..].iter().position(|cell| cell.name == name).map(|at| at + start);
        match (value, operation, same) {
            (Some(value), Operation::Set, Some(at)) => {
                self.cells[at].value = value;
                self.remove_from(at + 1, name);
                true
            }
            (Some(value), Operation::Add | Operation::AddNew, Some(at)) => {
                if was_implied {
                    self.cells[at].value = value;
                    return true;
                }
                if operation == Operation::AddNew
                    && self.cells[start..].iter().any(|cell| cell.name == name && cell.value == value)
                {
                    return true;
                }
                if self.cells.len() - start >= FIELDS {
                    return false;
                }
                self.cells.push(Cell { name, value });
                true
            }
            (None, _, Some(_)) | (Some(_), Operation::Remove, Some(_)) => {
                self.remove_from(start, name);
                if let Some(stamp) = self.stamps.get_mut(name as usize) {
                    *stamp = 0;
                }
                true
            }
            (None, _, None) | (Some(_), _, None) => true,
        }
    }

    /// Removes cells of this name from the row that is being written, from a place on.
    fn remove_from(&mut self, from: usize, name: u32) {
        for at in (from..self.cells.len()).rev() {
            if self.cells[at].name == name {
                self.cells.remove(at);
            }
        }
    }

    /// Ends the row that is being written.
    #[inline]
    pub(super) fn finish(&mut self, index: usize, left_out: bool) {
        if left_out {
            let tag = Value::Str(TAG_LEFT_OUT.as_bytes());
            let start = self.rows[index].cells().start;
            // One more than the limit, for once: the limit must not hide that it was reached.
            if !self.cells[start..].iter().any(|cell| cell.name == TAGS && cell.value == tag) {
                self.cells.push(Cell { name: TAGS, value: tag });
            }
        }
        self.rows[index].cells.1 = small(self.cells.len());
    }

    /// Adds an emission to a record.
    pub(super) fn emit(&mut self, index: usize, emission: Emission<'b>) {
        if self.emissions.is_empty() {
            self.emissions.resize_with(self.rows.len(), Vec::new);
        }
        self.emissions[index].push(emission);
        self.rows[index].emissions = small(self.emissions[index].len());
    }

    /// The verdicts.
    pub(super) fn finish_all(mut self, names: &Names, stats: Stats) -> Output<'b> {
        let mut verdicts = Vec::with_capacity(self.rows.len());
        for (index, row) in self.rows.into_iter().enumerate() {
            let mut emitted = || self.emissions.get_mut(index).map(std::mem::take).unwrap_or_default();
            let joined = row.joined.map(|joined| *joined);
            // Of each kind by itself, so that none is put together elsewhere first.
            match row.state {
                State::Alive => {
                    let kind = VerdictKind::Store { time_ns: row.time_ns, cells: row.cells };
                    verdicts.push(Verdict { kind, emissions: emitted(), joined });
                }
                State::Dropped(reason) => {
                    verdicts.push(Verdict { kind: VerdictKind::Drop { reason }, emissions: emitted(), joined });
                }
                State::Held => verdicts.push(Verdict { kind: VerdictKind::Hold, emissions: emitted(), joined }),
                // It will be handled again as a whole, so it emits nothing.
                State::Failed(failed) => {
                    let (filter, reason) = *failed;
                    verdicts.push(Verdict { kind: VerdictKind::Fail { filter, reason }, emissions: Vec::new(), joined });
                }
            }
        }
        Output { names: names.list.clone(), cells: self.cells, verdicts, stats }
    }
}

/// What a filter or a header said is the time, as nanoseconds. A string may be any form that people write.
fn instant(value: Value<'_>) -> Option<i64> {
    match value {
        Value::Int(ns) => Some(ns),
        Value::Str(text) => time::parse(std::str::from_utf8(text).ok()?),
        Value::Float(_) | Value::Bool(_) => None,
    }
}
