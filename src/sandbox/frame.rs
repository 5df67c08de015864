//! Between rows and frames: writes what a filter reads into its memory, and applies its answer to the rows.
//!
//! Invariants: an answer is checked entry by entry while it is applied; the first thing that does not fit is an error, and the
//! caller undoes what was applied. Values become slices of the payload, of values that were given, or of the host's copy of
//! the answer's arena; never of the guest's memory.
//! Limits: what an answer's values, reasons and emissions stand for, counted as often as they say it: [`Given::room`]. A span costs the
//! guest some bytes, whatever it spans, but whoever stores or sends it pays for all of it.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;

use sawbox_guest::abi::answer::{Answer, EmissionEntry, HeaderEntry, Kind, VerdictEntry, WHOLE};
use sawbox_guest::abi::input::{RecordEntry, Size, Writer};
use sawbox_guest::abi::{self, Body, Operation, SLOT_ARENA, SLOT_PAYLOAD, SLOT_VALUES, StrEntry, ValueEntry};

use super::Arena;
use super::instance::{CallError, Needs};
use super::names::Names;
use super::output::{Emission, Joined};
use super::rows::{Rows, State};
use crate::base::limits::{HEADERS, is_topic_name};
use crate::base::record::Records;
use crate::base::row::Value;

/// How often an answer may say what its records' payloads and headers say.
const TIMES: usize = 8;
/// What it may say of each record besides: the same sentence of all of them costs it nothing.
const RECORD_ROOM: usize = 4096;
/// No filter reads this name.
const UNREAD: u32 = u32::MAX;

/// What a call is given, laid out.
pub(super) struct Given<'r, 'b> {
    records: &'r Records<'b>,
    selected: &'r [usize],
    payload: bool,
    /// How many of the first are expired entries of the state: they are given their payload in any case.
    expired: usize,
    /// By the name's number in the chain: its number in the frame.
    numbers: Vec<u32>,
    /// Names that the frame carries itself, by their number in the frame.
    names: Vec<Arc<str>>,
    /// The values in the frame's order; empty where they are no strings.
    values: Vec<&'b [u8]>,
    /// For each selected record, its first value; one more at the end.
    firsts: Vec<usize>,
    bytes: usize,
    /// Of all their payloads, whether given or not.
    payloads: usize,
}

impl<'r, 'b> Given<'r, 'b> {
    /// Looks at what the filter needs of these records.
    pub(super) fn new(
        needs: &Needs,
        names: &mut Names,
        records: &'r Records<'b>,
        rows: &Rows<'b>,
        selected: &'r [usize],
        expired: usize,
    ) -> Self {
        let mut given = Self {
            records,
            selected,
            payload: needs.payload,
            expired,
            numbers: Vec::new(),
            names: Vec::new(),
            values: Vec::new(),
            firsts: Vec::with_capacity(selected.len() + 1),
            bytes: 0,
            payloads: 0,
        };
        for (number, name) in (0u32..).zip(&needs.reads) {
            if let Some(known) = names.number(name.as_bytes()) {
                let known = known as usize;
                if given.numbers.len() <= known {
                    given.numbers.resize(known + 1, UNREAD);
                }
                given.numbers[known] = number;
            }
        }
        let looks = needs.all || !needs.reads.is_empty();
        if needs.all {
            // The frame has its own table then, of the names that occur.
            given.numbers.clear();
            given.numbers.resize(names.list.len(), UNREAD);
        }
        for (place, &index) in selected.iter().enumerate() {
            given.firsts.push(given.values.len());
            let payload = rows.payload(index, records).len();
            given.payloads += payload;
            if needs.payload || place < expired {
                given.bytes += payload;
            }
            // What waited is no record, and has no fields.
            if !looks || place < expired {
                continue;
            }
            for cell in &rows.cells[rows.rows[index].cells()] {
                let known = cell.name as usize;
                if needs.all && given.numbers[known] == UNREAD {
                    given.numbers[known] = u32::try_from(given.names.len()).unwrap_or(UNREAD);
                    given.bytes += names.list[known].len();
                    given.names.push(Arc::clone(&names.list[known]));
                }
                if given.numbers.get(known).is_none_or(|&number| number == UNREAD) {
                    continue;
                }
                let bytes = match cell.value {
                    Value::Str(bytes) => bytes,
                    Value::Int(_) | Value::Float(_) | Value::Bool(_) => &[],
                };
                given.bytes += bytes.len();
                given.values.push(bytes);
            }
        }
        given.firsts.push(given.values.len());
        given
    }

    /// How large the frame will be at most.
    pub(super) fn size(&self) -> Size {
        Size {
            records: self.selected.len(),
            values: self.values.len(),
            names: self.names.len(),
            bytes: self.bytes,
            expired: self.expired,
        }
    }

    /// Writes the frame.
    pub(super) fn write(&self, rows: &Rows<'b>, writer: &mut Writer<'_>) {
        // Lengths fit: `Size::frame_bytes` refused frames past 32 bits.
        let small = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        for name in &self.names {
            writer.name(name.as_bytes());
        }
        for (place, (&index, window)) in self.selected.iter().zip(self.firsts.windows(2)).enumerate() {
            let record = &self.records.records[index];
            let row = &rows.rows[index];
            let whole = rows.payload(index, self.records);
            let has = self.payload || place < self.expired;
            let payload = if has { (writer.bytes(whole), small(whole.len())) } else { (0, 0) };
            let first = writer.values();
            if window[0] < window[1] {
                for cell in &rows.cells[row.cells()] {
                    let Some(&name) = self.numbers.get(cell.name as usize).filter(|&&number| number != UNREAD) else {
                        continue;
                    };
                    let body = match cell.value {
                        Value::Str(bytes) => {
                            let cut = if self.payload { within(whole, bytes) } else { None };
                            let at = match cut {
                                Some(at) => payload.0 + small(at),
                                None => writer.bytes(bytes),
                            };
                            Body::Str { slot: 0, at, len: small(bytes.len()) }
                        }
                        Value::Int(value) => Body::Int(value),
                        Value::Float(value) => Body::Float(value),
                        Value::Bool(value) => Body::Bool(value),
                    };
                    writer.value(&ValueEntry { name, operation: Operation::Set, body });
                }
            }
            writer.record(&RecordEntry {
                offset: record.offset,
                arrival_ns: record.arrival_ns,
                timestamp_ms: record.timestamp_ms,
                time_ns: row.time_ns,
                payload,
                values: (first, writer.values() - first),
            });
        }
    }

    /// Bytes that an answer to these records may stand for, if it may have `most` bytes itself.
    fn room(&self, answer: &Answer<'_>, most: usize) -> usize {
        let mut told = self.payloads;
        if !answer.emissions.is_empty() {
            let records = self.selected.iter().map(|&index| self.records.headers_of(&self.records.records[index]));
            told += records.map(bytes_of).sum::<usize>();
        }
        told.saturating_mul(TIMES).saturating_add(most).saturating_add(RECORD_ROOM * self.selected.len())
    }

    /// Applies an answer, which might have `most` bytes. On an error some of it may have been applied.
    pub(super) fn apply(
        &self,
        filter: &Arc<str>,
        (answer, most): (&Answer<'_>, usize),
        known: &mut KnownNames,
        names: &mut Names,
        rows: &mut Rows<'b>,
        arena: &'b Arena,
    ) -> Result<Tally, CallError> {
        known.read(answer.names, names)?;
        let built = arena.push(answer.arena);
        let left = Cell::new(self.room(answer, most));
        let mut tally = Tally::default();
        let mut values = answer.values;
        let mut sideways = Sideways { emissions: answer.emissions, headers: answer.headers };
        let each = self.selected.iter().zip(self.firsts.windows(2)).zip(answer.verdicts);
        for (place, ((&index, window), verdict)) in each.enumerate() {
            let verdict = VerdictEntry::decode(verdict).map_err(wrong)?;
            let spans = Spans {
                payload: rows.payload(index, self.records),
                built,
                values: self.values.get(window[0]..window[1]).unwrap_or(&[]),
                left: &left,
            };
            let (mine, rest) = values
                .split_at_checked(verdict.values as usize)
                .ok_or_else(|| CallError("gave an answer with fewer values than its verdicts say".to_owned()))?;
            values = rest;
            if let Some(back) = verdict.joined {
                let offset = self.records.records[index].offset.checked_sub(u64::from(back));
                let offset = offset.ok_or_else(|| CallError("made a row of a record before the first".to_owned()))?;
                rows.join(index, Joined { offset, payload: spans.get(SLOT_ARENA, verdict.reason.0, verdict.reason.1)? });
            }
            if !mine.is_empty() || verdict.consumed {
                let written = rows.rewrite(index, verdict.consumed, names.list.len());
                let mut left_out = false;
                for entry in mine {
                    let number = |name: u32| {
                        let name = known.numbers.get(name as usize).copied();
                        name.ok_or_else(|| CallError("gave an answer with a name it does not tell".to_owned()))
                    };
                    if let Some(StrEntry { name, slot, at, len }) = StrEntry::decode(entry) {
                        let (name, value) = (number(name)?, Value::Str(spans.get(slot, at, len)?));
                        left_out |= !name.is_some_and(|name| rows.put(written, name, Operation::Set, value));
                        continue;
                    }
                    let entry = ValueEntry::decode(entry).map_err(wrong)?;
                    let name = number(entry.name)?;
                    let mut put = |value| name.is_some_and(|name| rows.put(written, name, entry.operation, value));
                    left_out |= !match entry.body {
                        Body::Str { slot, at, len } => put(Value::Str(spans.get(slot, at, len)?)),
                        Body::Int(value) => put(Value::Int(value)),
                        Body::Float(value) => put(Value::Float(if value.is_nan() { f64::NAN } else { value })),
                        Body::Bool(value) => put(Value::Bool(value)),
                        Body::None => name.is_some_and(|name| rows.apply(index, name, entry.operation, None)),
                    };
                }
                rows.finish(index, left_out);
            }
            for _ in 0..verdict.emissions {
                let emission = self.emission(&spans, &mut sideways, index)?;
                rows.emit(index, emission);
                tally.emissions += 1;
            }
            let reason = || -> Result<Cow<'b, str>, CallError> {
                Ok(String::from_utf8_lossy(spans.get(SLOT_ARENA, verdict.reason.0, verdict.reason.1)?))
            };
            match verdict.kind {
                Kind::Store => tally.stored += 1,
                Kind::Hold if place < self.expired => {
                    return Err(CallError("holds on to what it was given back".to_owned()));
                }
                Kind::Hold => {
                    rows.rows[index].state = State::Held;
                    tally.held += 1;
                }
                Kind::Drop => {
                    rows.rows[index].state = State::Dropped(reason()?);
                    tally.dropped += 1;
                }
                Kind::Fail => {
                    rows.rows[index].state = State::Failed(Box::new((Arc::clone(filter), reason()?)));
                    tally.failed += 1;
                }
            }
        }
        if !values.is_empty() || !sideways.emissions.is_empty() || !sideways.headers.is_empty() {
            return Err(CallError("gave an answer with more values than its verdicts say".to_owned()));
        }
        Ok(tally)
    }

    fn emission(&self, spans: &Spans<'_, 'b>, from: &mut Sideways<'_>, index: usize) -> Result<Emission<'b>, CallError> {
        let short = || CallError("gave an answer with fewer emissions than its verdicts say".to_owned());
        let (entry, rest) = from.emissions.split_first().ok_or_else(short)?;
        from.emissions = rest;
        let entry = EmissionEntry::decode(entry);
        let topic = spans.get(SLOT_ARENA, entry.topic.0, entry.topic.1)?;
        let topic = std::str::from_utf8(topic).ok().filter(|topic| is_topic_name(topic) && !topic.starts_with('_'));
        let topic = topic.ok_or_else(|| CallError("emitted to what is no topic's name".to_owned()))?;
        let payload = match entry.payload {
            (SLOT_PAYLOAD, 0, WHOLE) => {
                spans.take(spans.payload.len())?;
                spans.payload
            }
            (slot, at, len) => spans.get(slot, at, len)?,
        };
        let (mine, rest) = from.headers.split_at_checked(entry.headers as usize).ok_or_else(short)?;
        from.headers = rest;
        let record = &self.records.records[index];
        let own = if entry.with_headers { self.records.headers_of(record) } else { &[] };
        if own.len() + mine.len() > HEADERS {
            return Err(CallError(format!("emitted a record with more than {HEADERS} headers")));
        }
        spans.take(bytes_of(own))?;
        let mut headers = own.to_vec();
        for header in mine {
            let header = HeaderEntry::decode(header);
            let (slot, at, len) = header.value;
            headers.push((spans.get(SLOT_ARENA, header.name.0, header.name.1)?, spans.get(slot, at, len)?));
        }
        Ok(Emission { topic, payload, headers })
    }
}

/// What is left of an answer's emissions.
struct Sideways<'a> {
    emissions: &'a [[u8; abi::answer::EMISSION_BYTES]],
    headers: &'a [[u8; abi::answer::HEADER_BYTES]],
}

/// What slots mean for one record.
struct Spans<'s, 'b> {
    payload: &'b [u8],
    built: &'b [u8],
    values: &'s [&'b [u8]],
    /// Bytes that the answer may still stand for.
    left: &'s Cell<usize>,
}

impl<'b> Spans<'_, 'b> {
    #[inline]
    fn take(&self, bytes: usize) -> Result<(), CallError> {
        let left = self.left.get().checked_sub(bytes);
        let left =
            left.ok_or_else(|| CallError("gave an answer that says far more than it was told, over and over".to_owned()))?;
        self.left.set(left);
        Ok(())
    }

    #[inline]
    fn get(&self, slot: u32, at: u32, len: u32) -> Result<&'b [u8], CallError> {
        let bytes = match slot {
            SLOT_PAYLOAD => self.payload,
            SLOT_ARENA => self.built,
            value => self.values.get((value - SLOT_VALUES) as usize).copied().unwrap_or(&[]),
        };
        // Nothing of nothing is good in any slot.
        let span = if len == 0 { bytes.get(..0) } else { abi::slice(bytes, at, len) };
        let span = span.ok_or_else(|| CallError("gave an answer that points outside of its record".to_owned()))?;
        self.take(span.len())?;
        Ok(span)
    }
}

/// How many of which verdicts a call gave.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) stored: u64,
    pub(super) dropped: u64,
    pub(super) held: u64,
    pub(super) failed: u64,
    pub(super) emissions: u64,
}

/// The names of a filter's last answer, by its numbers: mostly the next answer has the same.
#[derive(Debug, Default)]
pub(super) struct KnownNames {
    section: Vec<u8>,
    age: u32,
    numbers: Vec<Option<u32>>,
}

impl KnownNames {
    fn read(&mut self, section: &[u8], names: &mut Names) -> Result<(), CallError> {
        if self.age == names.age && self.section == section {
            return Ok(());
        }
        // Until all of it is read it is nobody's.
        self.age = 0;
        self.numbers.clear();
        for name in abi::Names(section) {
            self.numbers.push(names.number(name.map_err(wrong)?));
        }
        self.section.clear();
        self.section.extend_from_slice(section);
        self.age = names.age;
        Ok(())
    }
}

fn wrong(error: abi::FrameError) -> CallError {
    CallError(format!("gave no answer: {error}"))
}

/// Bytes of a record's headers.
fn bytes_of(headers: &[(&[u8], &[u8])]) -> usize {
    headers.iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// Where in `whole` the slice `part` lies, if it is a part of it.
fn within(whole: &[u8], part: &[u8]) -> Option<usize> {
    let at = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    (at.checked_add(part.len())? <= whole.len()).then_some(at)
}
