//! From what a chain answered to rows, and to what leaves the lane sideways.
//!
//! A record that no filter could handle is a dead letter: topic `_dead.<topic>`, its bytes as they came, its headers, and
//! `_reason`, `_filter`, `_origin_generation`, `_origin` beside them, and what a retry needs: `_origin_arrival`, `_origin_timestamp`. A dead letter that fails again is stored as it is: it never
//! makes another. An emission that cannot be sent as the filter asked (no such name, too large, too many hops) makes a dead
//! letter of its record, while the row is stored all the same.

use std::sync::Arc;

use crate::base::ids::{Generation, Offset, Origin, PartitionId};
use crate::base::limits::HEADERS;
use crate::base::record::{RecordView, Records, header};
use crate::base::row::{Cell, MESSAGE, RowHead, Rows, Value};
use crate::queue::QueueError;
use crate::relay::generations::Generations;
use crate::relay::lane::LaneCore;
use crate::relay::outbox::{GROWING, Outbox, Sending};
use crate::relay::output::row::{Lineage, origin_text, write_json};
use crate::relay::shared::Shared;
use crate::sandbox::{Emission, Output, Verdict, VerdictKind};

/// Prefix of dead letters' topics.
pub(crate) const DEAD_PREFIX: &str = "_dead.";
/// Headers that only the box writes.
pub(crate) const OWN: [&str; 7] =
    [header::ORIGIN, header::HOPS, header::REASON, header::FILTER, header::GENERATION, header::ARRIVAL, header::TIMESTAMP];
/// What is left of the message of a row that is too large for an output's record.
const CUT_MESSAGE_BYTES: usize = 64 * 1024;

/// A call, handled.
pub(crate) struct Handled<'b> {
    pub(crate) rows: Rows<'b>,
    pub(crate) records: u64,
    pub(crate) dropped: u64,
    pub(crate) held: u64,
    pub(crate) failed: u64,
}

/// What targets know emissions by, so that they take each once: it never goes back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Position {
    /// The offsets of the call's records.
    Offsets,
    /// Numbers of what waited in the state, from this one on.
    Numbers(u64),
}

/// Makes rows of a call's output and puts what it emits into the outbox.
pub(crate) fn handle<'b>(
    core: &LaneCore,
    generation: Generation,
    call: &Records<'b>,
    output: Output<'b>,
    outbox: &mut Outbox,
    position: Position,
) -> Result<Handled<'b>, QueueError> {
    let Output { names, cells, verdicts, .. } = output;
    let mut handled = Handled {
        rows: Rows { names, heads: Vec::with_capacity(verdicts.len()), cells, ..Rows::default() },
        records: verdicts.len() as u64,
        dropped: 0,
        held: 0,
        failed: 0,
    };
    let bound = core.shared.bind_outputs(&core.generations.name, &handled.rows.names);
    let masks = core.shared.store.masks(core.generations.topic);
    let mut room = Room {
        shared: &core.shared,
        generations: &core.generations,
        partition: core.partition.id(),
        generation,
        call,
        hops: 0,
        outbox,
        position: 0,
        json: Vec::new(),
    };
    for ((number, record), verdict) in (0u64..).zip(&call.records).zip(&verdicts) {
        let Verdict { kind, emissions, joined } = verdict;
        room.position = match position {
            Position::Offsets => record.offset,
            Position::Numbers(first) => first.wrapping_add(number),
        };
        let whole;
        let record = match joined {
            Some(joined) => {
                whole = RecordView { offset: joined.offset, payload: joined.payload, ..*record };
                &whole
            }
            None => record,
        };
        // A person deleted it: it leaves no trace any more, here or elsewhere.
        if masks.as_ref().is_some_and(|masks| masks.is_gone(core.partition.id(), record.offset)) {
            handled.dropped += 1;
            continue;
        }
        let is_sent = room.send(record, emissions)?;
        handled.failed += u64::from(!is_sent);
        match kind {
            VerdictKind::Store { time_ns, cells } => {
                let time_ns = time_ns.unwrap_or(record.arrival_ns);
                let head = RowHead { time_ns, arrival_ns: record.arrival_ns, offset: record.offset, n: 0, cells: *cells };
                for (output, predicate) in &bound {
                    let own = handled.rows.cells_of(&head);
                    if predicate.as_ref().is_none_or(|predicate| predicate.matches(own, time_ns)) {
                        room.select(record, output, &handled.rows, &head)?;
                    }
                }
                handled.rows.heads.push(head);
                handled.rows.payloads.push(joined.is_none().then_some(record.payload));
            }
            VerdictKind::Hold => handled.held += 1,
            VerdictKind::Drop { .. } => handled.dropped += 1,
            VerdictKind::Fail { filter, reason } => {
                handled.failed += 1;
                if core.generations.name.starts_with(DEAD_PREFIX) {
                    store_as_it_is(&mut handled.rows, record);
                } else {
                    room.bury(record, filter, reason)?;
                }
            }
        }
    }
    Ok(handled)
}

/// A row of nothing but the payload.
pub(crate) fn store_as_it_is<'b>(rows: &mut Rows<'b>, record: &RecordView<'b>) {
    let name = rows.names.iter().position(|name| &**name == MESSAGE).unwrap_or_else(|| {
        rows.names.push(Arc::from(MESSAGE));
        rows.names.len() - 1
    });
    let (Ok(name), Ok(at)) = (u32::try_from(name), u32::try_from(rows.cells.len())) else { return };
    rows.cells.push(Cell { name, value: Value::Str(record.payload) });
    rows.heads.push(RowHead {
        time_ns: record.arrival_ns,
        arrival_ns: record.arrival_ns,
        offset: record.offset,
        n: 0,
        cells: (at, at + 1),
    });
    rows.payloads.push(Some(record.payload));
}

/// Where a record that sends something stands, and where that goes.
pub(crate) struct Room<'r, 'b> {
    pub(crate) shared: &'r Shared,
    pub(crate) generations: &'r Generations,
    pub(crate) partition: PartitionId,
    pub(crate) generation: Generation,
    pub(crate) call: &'r Records<'b>,
    /// Through how many lanes records came that do not say so themselves.
    pub(crate) hops: u32,
    pub(crate) outbox: &'r mut Outbox,
    /// What targets know the emissions of the record at hand by.
    pub(crate) position: Offset,
    pub(crate) json: Vec<u8>,
}

impl<'b> Room<'_, 'b> {
    fn origin(&self, record: &RecordView<'b>, n: usize) -> String {
        origin_text(&Origin {
            topic: self.generations.topic,
            partition: self.partition,
            offset: record.offset,
            n: u16::try_from(n).unwrap_or(u16::MAX),
        })
    }

    fn hops(&self, record: &RecordView<'b>) -> u32 {
        let hops = self.call.headers_of(record).iter().find(|(name, _)| *name == header::HOPS.as_bytes());
        hops.and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse().ok()).unwrap_or(self.hops)
    }

    /// What a filter sends of a record, and dead letters of what cannot be sent. Whether all of it was.
    pub(crate) fn send(&mut self, record: &RecordView<'b>, emissions: &[Emission<'b>]) -> Result<bool, QueueError> {
        let mut is_sent = true;
        for (n, emission) in emissions.iter().enumerate() {
            if let Err(reason) = self.emit(record, n, emission)? {
                is_sent = false;
                if !self.generations.name.starts_with(DEAD_PREFIX) {
                    self.bury(record, "", &reason)?;
                }
            }
        }
        Ok(is_sent)
    }

    /// What a filter sends to another topic; the inner error is why that cannot be.
    fn emit(&mut self, record: &RecordView<'b>, n: usize, emission: &Emission<'b>) -> Result<Result<(), String>, QueueError> {
        let name = emission.topic;
        if name.starts_with('_') {
            return Ok(Err(format!("a filter may not emit to `{name}`: names that begin with `_` are the box's own")));
        }
        let hops = self.hops(record).saturating_add(1);
        if hops > self.shared.config.hops {
            return Ok(Err(format!("came through {hops} lanes: the topics' chains go round in a circle")));
        }
        let topic = match self.shared.target(name) {
            Ok(topic) => topic,
            Err(QueueError::Closed) => return Err(QueueError::Closed),
            Err(error) => return Ok(Err(format!("cannot emit to `{name}`: {error}"))),
        };
        let (origin, hops) = (self.origin(record, n), hops.to_string());
        let mut headers = kept(&emission.headers);
        headers.push((header::ORIGIN.as_bytes(), origin.as_bytes()));
        headers.push((header::HOPS.as_bytes(), hops.as_bytes()));
        match self.outbox.push(&topic, &Sending { headers: &headers, ..sending(self.position, record, emission.payload) }) {
            // It grows; that is no reason for a dead letter.
            Err(QueueError::Full(GROWING)) => Err(QueueError::Full(GROWING)),
            sent => Ok(sent.map_err(|error| format!("cannot emit to `{name}`: {error}"))),
        }
    }

    /// A dead letter.
    fn bury(&mut self, record: &RecordView<'b>, filter: &str, reason: &str) -> Result<(), QueueError> {
        let topic = self.shared.dead_topic(&self.generations.name)?;
        let (origin, generation) = (self.origin(record, 0), self.generation.to_string());
        let hops = self.hops(record).saturating_add(1).to_string();
        let (arrival, timestamp) = (record.arrival_ns.to_string(), record.timestamp_ms.to_string());
        let mut headers = kept(self.call.headers_of(record));
        headers.push((header::REASON.as_bytes(), reason.as_bytes()));
        headers.push((header::FILTER.as_bytes(), filter.as_bytes()));
        headers.push((header::GENERATION.as_bytes(), generation.as_bytes()));
        headers.push((header::ORIGIN.as_bytes(), origin.as_bytes()));
        headers.push((header::HOPS.as_bytes(), hops.as_bytes()));
        headers.push((header::ARRIVAL.as_bytes(), arrival.as_bytes()));
        headers.push((header::TIMESTAMP.as_bytes(), timestamp.as_bytes()));
        let whole = Sending { headers: &headers, ..sending(self.position, record, record.payload) };
        match self.outbox.push(&topic, &whole) {
            // Headers so large that the letter fits no batch: without the sender's own it does.
            Err(QueueError::Refused(_)) => {
                let own = &headers[headers.len() - OWN.len()..];
                self.outbox.push(&topic, &Sending { headers: own, ..sending(self.position, record, record.payload) })
            }
            other => other,
        }
    }

    /// A row that an output wants.
    fn select(&mut self, record: &RecordView<'b>, output: &str, rows: &Rows<'b>, head: &RowHead) -> Result<(), QueueError> {
        let topic = self.shared.output_topic(output)?;
        let origin = Origin { topic: self.generations.topic, partition: self.partition, offset: record.offset, n: head.n };
        let generation = self.generation.to_string();
        let (origin_text, hops) = (origin_text(&origin), self.hops(record).saturating_add(1).to_string());
        let headers: [(&[u8], &[u8]); 3] = [
            (header::ORIGIN.as_bytes(), origin_text.as_bytes()),
            (header::GENERATION.as_bytes(), generation.as_bytes()),
            (header::HOPS.as_bytes(), hops.as_bytes()),
        ];
        let name = self.generations.name.clone();
        let lineage = Lineage { origin, topic: &name, generation: self.generation, time_ns: head.time_ns };
        self.json.clear();
        write_json(&mut self.json, &lineage, &rows.names, rows.cells_of(head));
        match self.outbox.push(&topic, &Sending { headers: &headers, ..sending(self.position, record, &self.json) }) {
            Err(QueueError::Refused(_)) => {
                let message = record.payload.get(..CUT_MESSAGE_BYTES).unwrap_or(record.payload);
                let cells = [Cell { name: 0, value: Value::Str(message) }, Cell { name: 1, value: Value::Bool(true) }];
                self.json.clear();
                write_json(&mut self.json, &lineage, &[Arc::from(MESSAGE), Arc::from("_cut")], &cells);
                self.outbox.push(&topic, &Sending { headers: &headers, ..sending(self.position, record, &self.json) })
            }
            other => other,
        }
    }
}

fn sending<'a>(position: Offset, record: &RecordView<'a>, payload: &'a [u8]) -> Sending<'a> {
    let timestamp_ms = record.arrival_ns.div_euclid(1_000_000);
    Sending { offset: position, timestamp_ms, key: record.key, payload, headers: &[] }
}

/// Headers without the box's own, and with room for them.
fn kept<'a>(headers: &[(&'a [u8], &'a [u8])]) -> Vec<(&'a [u8], &'a [u8])> {
    let others = headers.iter().filter(|(name, _)| !OWN.iter().any(|own| own.as_bytes() == *name));
    others.take(HEADERS - OWN.len()).copied().collect()
}
