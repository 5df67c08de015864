//! Envelopes: what a record had beside its payload, kept with the rows whose payload is, so that the record can be handed to a chain
//! once more when the queue has it no longer: key, headers, its sender's time, its arrival.
//!
//! ```text
//! in a chunk of payloads of encoding 52 (`payload.rs`); P rows whose payload is kept, Q of these with an envelope:
//!   nothing, where no row has one; else
//!   wraps     count, encoding u8, length, strings: key and headers of records, each different one once
//!   which     runs of P: 0 no envelope, n wrap n - 1
//!   arrivals  base u8: 0 nanoseconds since 1970, 1 since the row's time; runs of Q
//!   stamps    base u8: 0 milliseconds since the arrival, 1 since the row's time; runs of Q
//! wrap = 0 | key's length + 1, key; then to its end each header: name's length, name, value's length, value
//! runs = count, encoding u8, length, how long each is; encoding u8, length, value of each          (varints but where said)
//! ```
//! Records come in batches: their arrival is the batch's, their headers mostly say who sent it, and hardly one has a key. So what is
//! kept are runs, in memory and on the disk: a batch costs some bytes, a record of it none. What differs in every record (a key, a
//! trace's number in a header) costs what it takes.
//! Invariants: an envelope comes back exactly or not at all. It is there only with the row's payload: who keeps nothing of that keeps
//! nothing of this. A group has wraps of its own, so that of rows which are swept none stays.
//! Limits: those of a group's strings.
//! What it costs: where times are told by the row's, damage to these is damage to it too.

use std::hash::BuildHasherDefault;
use std::sync::Arc;

use hashbrown::HashMap;
use rustc_hash::FxHasher;

use super::bits::{Reader, put_bytes, put_varint};
use super::chunk;
use crate::base::record::RecordView;
use crate::store::group::GROUP_ROWS;

const MS_NS: i64 = 1_000_000;

/// What a record had beside its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// When it became the queue's, nanoseconds since 1970.
    pub arrival_ns: i64,
    /// Its producer's time, milliseconds since 1970.
    pub timestamp_ms: i64,
    wrap: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Its key, and its headers in their order. Ends early where the bytes are none.
    pub fn open(&self) -> (Option<&'a [u8]>, Headers<'a>) {
        let mut reader = Reader(self.wrap);
        let key = reader.size().and_then(|length| reader.take(length.checked_sub(1)?));
        (key, Headers(reader))
    }
}

/// Names and values of a wrap.
#[derive(Clone, Debug)]
pub struct Headers<'a>(Reader<'a>);

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.0.bytes()?, self.0.bytes()?))
    }
}

/// A wrap's bytes.
fn put_wrap<'h>(out: &mut Vec<u8>, key: Option<&[u8]>, headers: impl Iterator<Item = &'h (&'h [u8], &'h [u8])>) {
    match key {
        None => out.push(0),
        Some(key) => {
            put_varint(out, key.len() as u64 + 1);
            out.extend_from_slice(key);
        }
    }
    for (name, value) in headers {
        put_bytes(out, name);
        put_bytes(out, value);
    }
}

/// Whether bytes are a wrap.
fn is_wrap(bytes: &[u8]) -> bool {
    let mut reader = Reader(bytes);
    let Some(length) = reader.size() else { return false };
    if length > 0 && reader.take(length - 1).is_none() {
        return false;
    }
    while !reader.0.is_empty() {
        if reader.bytes().and_then(|_| reader.bytes()).is_none() {
            return false;
        }
    }
    true
}

/// Rows that follow each other with the same envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// The first of them.
    row: usize,
    /// 0: they have none; else its number + 1.
    wrap: u32,
    arrival_ns: i64,
    timestamp_ms: i64,
}

/// Envelopes of a group's rows.
#[derive(Clone, Debug, Default)]
pub struct Envelopes {
    wraps: Vec<Arc<[u8]>>,
    numbers: HashMap<Arc<[u8]>, u32, BuildHasherDefault<FxHasher>>,
    runs: Vec<Run>,
    /// Rows that were noted; those behind have none.
    rows: usize,
    bytes: usize,
    scratch: Vec<u8>,
}

impl Envelopes {
    /// Whether no row has one.
    pub fn is_empty(&self) -> bool {
        self.wraps.is_empty()
    }

    /// Memory it takes, about.
    pub fn size(&self) -> usize {
        self.bytes + self.runs.len() * size_of::<Run>()
    }

    /// That of a row.
    pub fn at(&self, row: usize) -> Option<Envelope<'_>> {
        self.envelope(self.run(row)?)
    }

    /// Each row that has one, with it, as tests compare it.
    #[cfg(test)]
    pub fn listed(&self, rows: usize) -> Vec<(usize, i64, i64, usize)> {
        let one = |row| self.at(row).map(|of| (row, of.arrival_ns, of.timestamp_ms, of.wrap.len() + of.open().1.count()));
        (0..rows).filter_map(one).collect()
    }

    fn run(&self, row: usize) -> Option<&Run> {
        if row >= self.rows {
            return None;
        }
        let behind = self.runs.partition_point(|run| run.row <= row);
        self.runs.get(behind.checked_sub(1)?)
    }

    fn envelope(&self, run: &Run) -> Option<Envelope<'_>> {
        let wrap = self.wraps.get(usize::try_from(run.wrap.checked_sub(1)?).ok()?)?;
        Some(Envelope { arrival_ns: run.arrival_ns, timestamp_ms: run.timestamp_ms, wrap })
    }

    /// Notes that of a row behind all others.
    pub fn note(&mut self, row: usize, record: &RecordView<'_>, headers: &[(&[u8], &[u8])]) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        put_wrap(&mut scratch, record.key, headers.iter());
        let wrap = self.number(&scratch);
        self.scratch = scratch;
        self.push(Run { row, wrap, arrival_ns: record.arrival_ns, timestamp_ms: record.timestamp_ms });
    }

    /// The number of a wrap, from 1 on.
    fn number(&mut self, wrap: &[u8]) -> u32 {
        // Mostly it is that of the row before.
        if let Some(last) = self.runs.last()
            && last.wrap > 0
            && self.wraps.get(last.wrap as usize - 1).is_some_and(|last| **last == *wrap)
        {
            return last.wrap;
        }
        if let Some(known) = self.numbers.get(wrap) {
            return *known;
        }
        let wrap: Arc<[u8]> = Arc::from(wrap);
        self.bytes += wrap.len() + 64;
        self.wraps.push(wrap.clone());
        // There are no more than rows.
        let number = u32::try_from(self.wraps.len()).unwrap_or(u32::MAX);
        self.numbers.insert(wrap, number);
        number
    }

    fn push(&mut self, run: Run) {
        if run.row > self.rows && self.runs.last().is_none_or(|last| last.wrap > 0) {
            self.runs.push(Run { row: self.rows, wrap: 0, arrival_ns: 0, timestamp_ms: 0 });
        }
        self.rows = run.row + 1;
        let is_same =
            |last: &Run| (last.wrap, last.arrival_ns, last.timestamp_ms) == (run.wrap, run.arrival_ns, run.timestamp_ms);
        if !self.runs.last().is_some_and(is_same) {
            self.runs.push(run);
        }
    }

    /// Notes that of a row as another group has it. `numbers` is what came of that group's wraps so far.
    pub fn copy(&mut self, row: usize, from: &Self, from_row: usize, numbers: &mut Vec<u32>) {
        let Some(run) = from.run(from_row) else { return };
        let Some(wrap) = (run.wrap as usize).checked_sub(1).and_then(|at| from.wraps.get(at)) else { return };
        numbers.resize(from.wraps.len(), 0);
        let Some(number) = numbers.get_mut(run.wrap as usize - 1) else { return };
        if *number == 0 {
            *number = self.number(wrap);
        }
        self.push(Run { row, wrap: *number, ..*run });
    }

    /// Only those of these rows.
    #[must_use]
    pub fn only(&self, is_kept: impl Fn(usize) -> bool) -> Self {
        let (mut kept, mut numbers) = (Self::default(), Vec::new());
        for row in (0..self.rows).filter(|row| is_kept(*row)) {
            kept.copy(row, self, row, &mut numbers);
        }
        kept
    }

    /// Those of the rows whose payload is kept, ascending, of a group whose rows have these times.
    pub fn encode(&self, rows: &[u16], times: &[i64], zstd: &mut zstd::bulk::Compressor<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        let mut used: Vec<Option<i64>> = vec![None; self.wraps.len()];
        let (mut ends, mut bytes) = (Vec::new(), Vec::new());
        let mut which = Vec::with_capacity(rows.len());
        let (mut arrivals, mut since_row) = (Vec::new(), Vec::new());
        let (mut stamps, mut stamps_since_row) = (Vec::new(), Vec::new());
        for row in rows.iter().map(|row| usize::from(*row)) {
            let run = self.run(row).filter(|run| run.wrap > 0);
            let found = run.and_then(|run| Some((run, self.wraps.get(run.wrap as usize - 1)?, times.get(row)?)));
            let Some((run, wrap, time_ns)) = found else {
                which.push(0);
                continue;
            };
            let number = used[run.wrap as usize - 1].get_or_insert_with(|| {
                bytes.extend_from_slice(wrap);
                // A group is sealed long before.
                ends.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
                i64::try_from(ends.len()).unwrap_or(i64::MAX)
            });
            which.push(*number);
            arrivals.push(run.arrival_ns);
            since_row.push(run.arrival_ns.wrapping_sub(*time_ns));
            stamps.push(run.timestamp_ms.wrapping_sub(run.arrival_ns.div_euclid(MS_NS)));
            stamps_since_row.push(run.timestamp_ms.wrapping_sub(time_ns.div_euclid(MS_NS)));
        }
        if ends.is_empty() {
            return out;
        }
        put_varint(&mut out, ends.len() as u64);
        let mut text = Vec::new();
        out.push(chunk::put_text(&mut text, &ends, &bytes, zstd));
        put_bytes(&mut out, &text);
        put_runs(&mut out, &which);
        put_shorter(&mut out, &arrivals, &since_row);
        put_shorter(&mut out, &stamps, &stamps_since_row);
        out
    }

    /// Reads those of the rows whose payload is kept, ascending; `times` gives the times of the group's rows, where they are asked.
    /// `None` where the bytes are none.
    pub fn decode<E>(bytes: &[u8], rows: &[u16], times: impl FnOnce() -> Result<Vec<i64>, E>) -> Result<Option<Self>, E> {
        if bytes.is_empty() {
            return Ok(Some(Self::default()));
        }
        let Some(told) = Told::read(bytes, rows.len()) else { return Ok(None) };
        let times = if told.arrivals.0 || told.stamps.0 { times()? } else { Vec::new() };
        Ok(told.of_rows(rows, &times))
    }
}

/// As it is written.
struct Told {
    wraps: Vec<Arc<[u8]>>,
    which: Vec<i64>,
    /// Whether they are told by the row's time.
    arrivals: (bool, Vec<i64>),
    stamps: (bool, Vec<i64>),
}

impl Told {
    fn read(bytes: &[u8], rows: usize) -> Option<Self> {
        let mut reader = Reader(bytes);
        let count = reader.size().filter(|count| *count <= rows.min(GROUP_ROWS))?;
        let encoding = reader.u8()?;
        let (ends, bytes) = chunk::text(&mut Reader(reader.bytes()?), encoding, count)?;
        let mut from = 0;
        let mut wraps = Vec::with_capacity(count);
        for end in ends {
            let wrap = bytes.get(from..end as usize).filter(|wrap| is_wrap(wrap))?;
            wraps.push(Arc::from(wrap));
            from = end as usize;
        }
        let which = runs(&mut reader, rows)?;
        let with = which.iter().filter(|which| **which > 0).count();
        let mut times = || {
            let since_row = reader.u8().filter(|base| *base <= 1)? == 1;
            Some((since_row, runs(&mut reader, with)?))
        };
        let (arrivals, stamps) = (times()?, times()?);
        reader.0.is_empty().then_some(Self { wraps, which, arrivals, stamps })
    }

    fn of_rows(self, rows: &[u16], times: &[i64]) -> Option<Envelopes> {
        let mut all = Envelopes { bytes: self.wraps.iter().map(|wrap| wrap.len() + 64).sum(), ..Envelopes::default() };
        let count = self.wraps.len() as u64;
        let mut both = self.arrivals.1.into_iter().zip(self.stamps.1);
        for (row, which) in rows.iter().zip(&self.which) {
            let wrap = u32::try_from(*which).ok().filter(|wrap| u64::from(*wrap) <= count)?;
            if wrap == 0 {
                continue;
            }
            let row = usize::from(*row);
            let (arrival, stamp) = both.next()?;
            let time_ns = times.get(row).copied().unwrap_or(0);
            let arrival_ns = if self.arrivals.0 { arrival.wrapping_add(time_ns) } else { arrival };
            let base_ns = if self.stamps.0 { time_ns } else { arrival_ns };
            let timestamp_ms = stamp.wrapping_add(base_ns.div_euclid(MS_NS));
            all.push(Run { row, wrap, arrival_ns, timestamp_ms });
        }
        all.wraps = self.wraps;
        Some(all)
    }
}

/// How long runs of the same value are.
fn lengths(values: &[i64]) -> Vec<i64> {
    values.chunk_by(|a, b| a == b).map(|run| i64::try_from(run.len()).unwrap_or(i64::MAX)).collect()
}

fn put_runs(out: &mut Vec<u8>, values: &[i64]) {
    let lengths = lengths(values);
    let firsts: Vec<i64> = values.chunk_by(|a, b| a == b).filter_map(|run| run.first().copied()).collect();
    put_varint(out, lengths.len() as u64);
    for numbers in [&lengths, &firsts] {
        let mut body = Vec::new();
        out.push(chunk::put_ints(&mut body, numbers));
        put_bytes(out, &body);
    }
}

/// The one of two ways to tell the same that has fewer runs.
fn put_shorter(out: &mut Vec<u8>, first: &[i64], second: &[i64]) {
    let runs = |values: &[i64]| values.chunk_by(|a, b| a == b).count();
    let is_second = runs(second) < runs(first);
    out.push(u8::from(is_second));
    put_runs(out, if is_second { second } else { first });
}

/// Reads the runs of so many values.
fn runs(reader: &mut Reader<'_>, count: usize) -> Option<Vec<i64>> {
    let runs = reader.size().filter(|runs| *runs <= count)?;
    let mut ints = || {
        let encoding = reader.u8()?;
        chunk::ints(&mut Reader(reader.bytes()?), encoding, runs)
    };
    let (lengths, firsts) = (ints()?, ints()?);
    let mut values = Vec::with_capacity(count);
    for (length, first) in lengths.into_iter().zip(firsts) {
        let length = usize::try_from(length).ok().filter(|length| (1..=count - values.len()).contains(length))?;
        values.resize(values.len() + length, first);
    }
    (values.len() == count).then_some(values)
}
