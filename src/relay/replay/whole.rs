//! Ranges of whole rows.
//!
//! A filter may make one row of several records, multiline of the lines of a stack trace. The row has the last one's offset. A range
//! that began or ended amid them would double some and lose others: its own rows have only those within, and of the old rows those
//! go whose offset lies within. So the beginning of a range goes back, and its end on, until no row is made of records on both
//! sides: no old one, and no new one.
//!
//! Which records a row is made of the chains say themselves: each is run over the records around an edge, one by one, from
//! [`LOOK`] offsets before it or from where its generation begins. An entry that waits in its state is made of the records that
//! wrote it since its filter last gave it back.
//! * Rows that are yet to come, because their records still wait in the live lane's state, are left to it: the range ends below.
//! * A row that may have begun before what the queue has stays as it is: the range begins behind it. That is the first of each
//!   source, if it came before one that was open when the log begins would have waited long enough. (Where the last line alone says
//!   that an event is over, and did not wait itself, it is the first such row of all sources.)
//!
//! The same tells which records to delete with a row, so that none of them comes back in another one ([`Whole::records_of`]).
//!
//! Limits: a row of records that are more than [`LOOK`] offsets apart is taken for one of those that are nearer. Generations whose
//! filters, or files that these look things up in, are not on this box any more are taken for such that make a row of each record.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;

use crate::base::ids::{Generation, Offset};
use crate::queue::Partition;
use crate::queue::batch::Scratch;
use crate::relay::RelayError;
use crate::relay::codec::NotNow;
use crate::relay::generations::{Generations, Handled, Promoted, Ready};
use crate::relay::history::{History, Range, calls, decode, expire, without_gone};
use crate::relay::shared::Shared;
use crate::sandbox::state::{self, Bytes, Changes};
use crate::sandbox::{Arena, FilterError, State};

/// How far before and behind an edge rows are looked for.
const LOOK: u64 = 10_000;

/// An edge that moved may have come to where another generation's rows lie; then it is looked at again, at most so often.
const ROUNDS: usize = 16;

/// The records that one row is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    first: Offset,
    /// None where more may come.
    last: Option<Offset>,
    /// Whether there may have been more before the log begins.
    torn: bool,
}

impl Span {
    /// Whether it has records on both sides of an edge, of which those before may be gone.
    fn may_cross(&self, edge: Offset) -> bool {
        (self.torn || self.first < edge) && self.last.is_none_or(|last| last >= edge)
    }

    /// Whether it has records that are there on both sides of an edge.
    fn crosses(&self, edge: Offset) -> bool {
        self.first < edge && self.may_cross(edge)
    }

    /// The offset after its last record.
    fn end(&self) -> Offset {
        self.last.map_or(Offset::MAX, |last| last.saturating_add(1))
    }
}

/// The greatest beginning at or below `at` that no row crosses; where that would be one whose beginning is gone, the least above.
fn beginning(at: Offset, old: &[Span], new: &[Span]) -> Offset {
    let mut first = at;
    while !old.iter().any(|span| span.torn && span.may_cross(first)) {
        let crossing = old.iter().chain(new).filter(|span| span.crosses(first));
        match crossing.map(|span| span.first).min() {
            Some(before) => first = before,
            None => return first,
        }
    }
    first = at;
    while let Some(behind) = old.iter().filter(|span| span.may_cross(first)).map(Span::end).max() {
        first = behind;
        if first == Offset::MAX {
            break;
        }
    }
    first
}

/// The least end from `at` on that no row crosses, if it is at most `limit`; else the greatest below that no old row crosses.
fn end(at: Offset, limit: Offset, old: &[Span], new: &[Span]) -> Offset {
    for new in [new, &[]] {
        let mut end = at;
        loop {
            match old.iter().chain(new).filter(|span| span.crosses(end)).map(Span::end).max() {
                None => return end,
                Some(behind) if behind <= limit => end = behind,
                Some(_) => break,
            }
        }
    }
    let mut end = at;
    while let Some(before) = old.iter().filter(|span| span.crosses(end)).map(|span| span.first).min() {
        end = before;
    }
    end
}

/// Generations whose rows may be made of several records, by what runs them; none for others. Each is started once.
#[derive(Default)]
pub(super) struct Joining(Mutex<HashMap<Generation, Option<Arc<Ready>>>>);

impl Joining {
    pub(super) fn of(&self, shared: &Shared, handled: &Handled) -> Result<Option<Arc<Ready>>, RelayError> {
        let mut known = self.0.lock();
        if let Some(ready) = known.get(&handled.generation) {
            return Ok(ready.clone());
        }
        let Promoted { codec, chain, .. } = &*handled.promoted;
        let ready = match shared.apart(codec.as_ref(), chain) {
            Err(RelayError::Filter(FilterError::Missing(why) | FilterError::Refused(why))) => {
                let generation = handled.generation;
                tracing::warn!(generation, why, "which rows of it are made of several records is not known");
                None
            }
            ready => Some(Arc::new(ready?)).filter(|ready| ready.chain.waits()),
        };
        known.insert(handled.generation, ready.clone());
        Ok(ready)
    }
}

/// What is known where a range is to be.
pub(super) struct Whole<'s> {
    pub(super) shared: &'s Shared,
    pub(super) generations: &'s Generations,
    pub(super) joining: &'s Joining,
    pub(super) partition: &'s Arc<Partition>,
    /// Nothing from here on may be replayed.
    pub(super) settled: Offset,
}

/// Whether a row of these offsets may be made of several records: by a generation that they had, or by `new`.
pub(super) fn may_join(
    shared: &Shared,
    generations: &Generations,
    joining: &Joining,
    range: Range,
    new: &Ready,
) -> Result<bool, RelayError> {
    if new.chain.waits() {
        return Ok(true);
    }
    let mut at = range.first;
    while at < range.end
        && let Some(handled) = generations.around(range.partition, at)
    {
        if joining.of(shared, &handled)?.is_some() {
            return Ok(true);
        }
        // A replay may lie within what a live one handled: so step by step where there are any.
        at = generations.next_bound(range.partition, at).unwrap_or(range.end);
    }
    Ok(false)
}

impl Whole<'_> {
    /// The range, in whole rows; it may be empty. `new` is what it is to be replayed by.
    pub(super) fn range(&self, range: Range, new: &Ready) -> Result<Range, RelayError> {
        let (mut first, mut made) = (range.first, self.new_rows(range.first, new)?);
        for _ in 0..ROUNDS {
            let now = beginning(first, &self.old_rows(first, true)?, &std::mem::take(&mut made));
            if std::mem::replace(&mut first, now) == now || now >= range.end {
                break;
            }
        }
        let (mut last, mut made) = (range.end, self.new_rows(range.end, new)?);
        for _ in 0..ROUNDS {
            let now = end(last, self.settled, &self.old_rows(last, false)?, &std::mem::take(&mut made));
            if std::mem::replace(&mut last, now) == now || now <= first {
                break;
            }
        }
        Ok(Range { first: first.min(last), end: last, ..range })
    }

    /// All records of the rows that some of these are part of, where rows are made of several; of those that the queue has, and that
    /// are no further apart than [`LOOK`]. `wanted` is ascending.
    ///
    /// # Errors
    /// [`RelayError::Busy`] where such a row is yet to come.
    pub(super) fn records_of(&self, wanted: &[(Offset, Offset)]) -> Result<Vec<Offset>, RelayError> {
        let (Some((mut at, _)), Some((_, end))) = (wanted.first().copied(), wanted.last().copied()) else {
            return Ok(Vec::new());
        };
        let (mut all, number) = (Vec::new(), self.partition.id());
        while at < end
            && let Some(handled) = self.generations.around(number, at)
        {
            let next = self.generations.next_bound(number, at).unwrap_or(end).min(end);
            if let Some(ready) = self.joining.of(self.shared, &handled)? {
                let mut whole = Self { ..*self };
                if wanted.last().is_some_and(|(_, end)| *end > self.settled) {
                    // Which rows are yet to come is known of what is durable.
                    self.shared.store.flush_topic(self.generations.topic)?;
                    whole.settled = self.shared.store.cursor(self.generations.topic, number).unwrap_or(0);
                }
                let within = wanted.iter().map(|(first, last)| ((*first).max(at), (*last).min(next)));
                let own: Vec<_> = within.filter(|(first, last)| first < last).collect();
                for near in own.chunk_by(|one, other| other.0 - one.1 < LOOK) {
                    let (first, last) = (near[0].0, near[near.len() - 1].1);
                    let spans = whole.old(&handled, &ready, (first, last), false, near)?;
                    if last > whole.settled || spans.is_open {
                        return Err(RelayError::Busy(format!(
                            "a row of several records, of which some are to be deleted, is yet to come in partition {number}, \
                             offsets {first} to {last}: try again in a moment"
                        )));
                    }
                    all.extend(spans.found);
                }
            }
            at = next;
        }
        Ok(all)
    }

    /// The rows that are there around an edge, or that the live lane will make.
    fn old_rows(&self, edge: Offset, is_first: bool) -> Result<Vec<Span>, RelayError> {
        let Some(before) = edge.checked_sub(1) else { return Ok(Vec::new()) };
        let Some(handled) = self.generations.around(self.partition.id(), before) else { return Ok(Vec::new()) };
        let Some(ready) = self.joining.of(self.shared, &handled)? else { return Ok(Vec::new()) };
        Ok(self.old(&handled, &ready, (edge, edge), is_first, &[])?.closed)
    }

    /// What rows are made of that a generation has made from `first` up to `edge`, or will make.
    fn old(
        &self,
        handled: &Handled,
        ready: &Ready,
        (first, edge): (Offset, Offset),
        is_first: bool,
        wanted: &[(Offset, Offset)],
    ) -> Result<Spans, RelayError> {
        let (next, entries) = self.shared.store.keyed(self.generations.topic, self.partition.id())?;
        let waiting: Vec<Offset> = State::of(entries).waiting().collect();
        let start = self.partition.log_start();
        let oldest = waiting.iter().copied().min().unwrap_or(first).min(first);
        let from = oldest.saturating_sub(LOOK).max(handled.first).max(start);
        let until = handled.end.min(self.settled);
        let is_over = match until == handled.end {
            // Nothing waits across generations.
            true => waiting.iter().all(|last| *last >= until),
            false => waiting.is_empty() && next == until,
        };
        let is_torn = is_first && from == start && handled.first < start;
        let spans = Spans { edge, wanted: wanted.to_vec(), ..Spans::default() };
        self.spans(ready, (from, until), spans, is_torn, is_over)
    }

    /// The rows that the replay would make around an edge.
    fn new_rows(&self, edge: Offset, ready: &Ready) -> Result<Vec<Span>, RelayError> {
        if !ready.chain.waits() {
            return Ok(Vec::new());
        }
        let from = edge.saturating_sub(LOOK).max(self.partition.log_start());
        Ok(self.spans(ready, (from, self.settled), Spans { edge, ..Spans::default() }, false, false)?.closed)
    }

    /// What rows are made of, of the records `[from, until)` as far as they matter for an edge. `is_torn` says that something may
    /// have waited at `from`, `is_over` that nothing waits at `until`.
    fn spans(
        &self,
        ready: &Ready,
        (from, until): (Offset, Offset),
        mut spans: Spans,
        is_torn: bool,
        is_over: bool,
    ) -> Result<Spans, RelayError> {
        let not_now = |not_now| match not_now {
            NotNow::Pending(pending) => RelayError::Busy(self.shared.registries.said(&pending.place)),
            NotNow::Trouble(why) => RelayError::Schemas(why),
        };
        let edge = spans.edge;
        let (mut arena, mut documents, mut state) = (Arena::new(), Vec::new(), State::default());
        let masks = self.shared.store.masks(self.generations.topic);
        let mut history = History::new(self.partition, from, until);
        let mut began_ns = None;
        let far = edge.saturating_add(LOOK);
        while let Some(stretch) = history.read()? {
            let mut scratch = Scratch::new();
            for stored in &stretch.batches {
                let Some(mut records) = decode(stored, &mut scratch) else { continue };
                // Those that were deleted for good have no rows, and a replay does not see them.
                without_gone(&mut records, (self.partition.id(), masks.as_deref()), (from, until));
                let own = records.records.iter().filter(|record| (from..until).contains(&record.offset));
                for record in own {
                    let since_ns = is_torn.then(|| *began_ns.get_or_insert(record.arrival_ns));
                    let into_ns = since_ns.map(|since_ns| record.arrival_ns.saturating_sub(since_ns));
                    if record.offset >= far || (record.offset >= edge && spans.is_enough(into_ns)) {
                        spans.is_far = record.offset >= far;
                        return Ok(spans.end(false));
                    }
                    expire(record.arrival_ns, ready, &arena, &mut state, |_| true);
                    spans.expire(state.take_changes());
                    let mut joined = None;
                    let one = (record.offset, record.offset + 1);
                    let each = |ran: crate::relay::codec::Ran<'_>, _| {
                        joined = ran.output.verdicts.first().and_then(|verdict| verdict.joined).map(|joined| joined.offset);
                        true
                    };
                    calls(&records, one, ready, &arena, &mut documents, &mut state, each).map_err(not_now)?;
                    spans.record((record.offset, record.arrival_ns), joined, since_ns, state.take_changes());
                }
                arena.reset();
            }
        }
        Ok(spans.end(is_over))
    }
}

/// An entry that waits.
#[derive(Debug)]
struct Open {
    first: Offset,
    last: Offset,
    /// Whether there may have been more before.
    torn: bool,
    /// Its records, if somebody wants to know.
    records: Vec<Offset>,
}

/// Spans as they are found.
#[derive(Default)]
struct Spans {
    edge: Offset,
    open: HashMap<Bytes, Open>,
    closed: Vec<Span>,
    /// Records whose rows are sought, ascending.
    wanted: Vec<(Offset, Offset)>,
    /// All records of these rows.
    found: Vec<Offset>,
    /// Whether one of these rows is yet to come.
    is_open: bool,
    /// Whether it was looked as far as is ever looked.
    is_far: bool,
    /// Keys that ever had an entry.
    known: HashSet<Bytes>,
    /// Whether a row was made of a record that did not wait.
    at_once: bool,
    /// The longest that an entry waited, if no record was added.
    wait_ns: i64,
}

impl Spans {
    fn close(&mut self, first: Offset, last: Offset, torn: bool) {
        if first < last || torn {
            let span = Span { first, last: Some(last), torn };
            if span.may_cross(self.edge) {
                self.edge = span.end();
            }
            self.closed.push(span);
        }
    }

    /// An entry is over; `own` is the record that ended it, where it is part of the row.
    fn over(&mut self, open: Open, own: Option<Offset>) {
        let Open { first, last, torn, mut records } = open;
        if !self.wanted.is_empty() {
            records.extend(own);
            if self.wants(&records) {
                self.found.append(&mut records);
            }
        }
        self.close(first, own.map_or(last, |own| own.max(last)), torn);
    }

    fn wants(&self, records: &[Offset]) -> bool {
        records.iter().any(|record| {
            let behind = self.wanted.partition_point(|(first, _)| first <= record);
            behind.checked_sub(1).and_then(|at| self.wanted.get(at)).is_some_and(|(_, end)| record < end)
        })
    }

    /// Entries were given back.
    fn expire(&mut self, changes: Changes) {
        for (key, _, now) in changes.0 {
            if now.is_none()
                && let Some(open) = self.open.remove(&key)
            {
                self.over(open, None);
            }
        }
    }

    /// A record was handled; `joined` is the last record of the row that came of it. `since_ns` is when the log's first record
    /// arrived, where something may have waited then.
    fn record(&mut self, (offset, arrival_ns): (Offset, i64), joined: Option<Offset>, since_ns: Option<i64>, changes: Changes) {
        if changes.0.is_empty() && joined == Some(offset) && !std::mem::replace(&mut self.at_once, true) {
            self.close(offset, offset, since_ns.is_some());
        }
        for (key, _, now) in changes.0 {
            let before = self.open.remove(&key);
            let Some((deadline_ns, last)) = now.and_then(|now| state::waits(&now)) else {
                if let Some(open) = before {
                    // With the record itself, where it ended the row.
                    let own = joined.filter(|joined| *joined > open.last);
                    self.over(open, own);
                }
                continue;
            };
            let new = |torn| Open { first: offset, last, torn, records: vec![offset] };
            let entry = match before {
                Some(open) if joined == Some(open.last) => {
                    self.over(open, None);
                    new(false)
                }
                Some(mut open) => {
                    open.last = last;
                    if !self.wanted.is_empty() {
                        open.records.push(offset);
                    }
                    open
                }
                None => {
                    let wait_ns = deadline_ns.saturating_sub(arrival_ns);
                    self.wait_ns = wait_ns.max(self.wait_ns);
                    let torn = since_ns.is_some_and(|since_ns| arrival_ns < since_ns.saturating_add(wait_ns));
                    new(torn && !self.known.contains(&key))
                }
            };
            self.known.insert(key.clone());
            self.open.insert(key, entry);
        }
    }

    /// Whether what lies ahead no longer matters. `into_ns` is how long after the log's first record it arrived, where something may
    /// have waited then.
    fn is_enough(&self, into_ns: Option<i64>) -> bool {
        let is_over = self.open.values().all(|open| open.first >= self.edge && !open.torn);
        is_over && into_ns.is_none_or(|into_ns| self.wait_ns > 0 && into_ns >= self.wait_ns)
    }

    /// There is no more.
    fn end(mut self, is_over: bool) -> Self {
        for open in std::mem::take(&mut self.open).into_values() {
            if is_over {
                self.over(open, None);
                continue;
            }
            self.closed.push(Span { first: open.first, last: None, torn: open.torn });
            match self.wants(&open.records) {
                true if self.is_far => self.found.extend(open.records),
                is_wanted => self.is_open |= is_wanted,
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(all: &[(Offset, Option<Offset>, bool)]) -> Vec<Span> {
        all.iter().map(|(first, last, torn)| Span { first: *first, last: *last, torn: *torn }).collect()
    }

    #[test]
    fn a_beginning_goes_back_unless_what_lies_there_is_torn() {
        let old = spans(&[(2, Some(5), false), (4, Some(8), false), (9, Some(12), false), (20, None, false)]);
        for (at, expected) in [(0, 0), (2, 2), (3, 2), (5, 2), (6, 2), (8, 2), (9, 9), (10, 9), (13, 13), (20, 20), (25, 20)] {
            assert_eq!(beginning(at, &old, &[]), expected, "{at}");
        }
        assert_eq!(beginning(10, &old, &spans(&[(7, Some(9), false)])), 2, "a new row leads to an old one");
        let torn = spans(&[(4, Some(6), true), (5, Some(9), false), (11, Some(12), true), (14, Some(15), false)]);
        for (at, expected) in [(4, 13), (7, 13), (10, 13), (13, 13), (15, 14)] {
            assert_eq!(beginning(at, &torn, &[]), expected, "{at}");
        }
    }

    #[test]
    fn an_end_goes_on_unless_what_lies_there_is_not_over() {
        let old = spans(&[(2, Some(5), false), (4, Some(8), false), (9, Some(12), false), (20, None, false)]);
        for (at, expected) in [(2, 2), (3, 9), (5, 9), (9, 9), (10, 13), (20, 20), (21, 20), (30, 20)] {
            assert_eq!(end(at, 30, &old, &[]), expected, "{at}");
        }
        assert_eq!(end(10, 12, &old, &[]), 9, "its end is not settled");
        assert_eq!(end(10, 30, &old, &spans(&[(12, None, false)])), 13, "a new row may be torn, an old one not");
        assert_eq!(end(13, 30, &old, &spans(&[(12, Some(14), false)])), 15);
    }
}
