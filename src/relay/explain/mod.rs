//! What became of one record, and why: the record as it came, the generation of its offset, each filter's step, where it ended.
//!
//! ```text
//! queue → record → generation of the offset → the call that held it, traced → what should be there → found.rs: what is there
//! ```
//! Nothing is remembered for this: a filter says the same of the same call, so running it again tells what it said then. The whole
//! call is run, cut as the lane cut it; fuel and time of a step are of the record alone, run by itself (`records` in the step
//! says with how many others it ran, and what all of them cost). What the store has is looked up by lineage and compared: if it
//! is something else, the box has a bug, and the answer says so. Where the queue has the record no longer but its row kept it
//! (`keep_payload`), it is explained from that, by itself.
//!
//! **What is approximate**: filters that keep state begin with none; a call whose documents a schema was missing for is tried
//! with what is known now; a record that was emitted and then stored by its target's chain is found only while that chain keeps
//! the `_origin` field. `notes` says which of these holds.
//!
//! Limits: `relay.at_once.explains` at a time, of which each has one call in memory; lookups of [`LOOKUP`] each.

mod answer;
mod found;
mod step;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json};

use crate::base::ids::{Offset, Origin, PartitionId, TopicId};
use crate::base::record::{Records, header};
use crate::queue::batch::Scratch;
use crate::queue::{Partition, Topic};
use crate::relay::codec::NotNow;
use crate::relay::cut::cut;
use crate::relay::generations::{Handled, Ready};
use crate::relay::history::{History, decode};
use crate::relay::output::GROUP_PREFIX;
use crate::relay::output::row::origin_text;
use crate::relay::verdicts::DEAD_PREFIX;
use crate::relay::{Relay, RelayError, shown};
use crate::sandbox::{Arena, Output, State, Trace, Verdict, VerdictKind};
use crate::store::MadeRecords;
pub use answer::{CallShown, EndedShown, Explanation, RecordShown, SentShown};
pub use step::StepShown;

/// How long one lookup in the store may take.
const LOOKUP: Duration = Duration::from_secs(5);
/// What there is to know of chains whose filters keep state.
const REMEMBERS: &str =
    "filters of the chain remember: here they begin with nothing, so they may have said something else then";
/// What there is to know of records that rows kept.
const PAST: &str = "the queue has the record no longer: it is as its row kept it, and is run by itself";
/// Longest string that is shown.
const SHOWN_BYTES: usize = 256 * 1024;

/// A record in its batch.
struct Place<'p> {
    topic: &'p Topic,
    partition: &'p Arc<Partition>,
    offset: Offset,
}

impl Relay {
    /// Explains a record. The topic is a name or an id. To be called where waiting for the disk and for filters hurts nobody.
    ///
    /// # Errors
    /// [`RelayError::Missing`] where there never was such a record; what running its chain can say.
    pub fn explain(&self, topic: &str, partition: PartitionId, offset: Offset) -> Result<Explanation, RelayError> {
        let _one = self.shared().explains.take()?;
        let queue = &self.shared().queue;
        let by_id = || topic.parse::<TopicId>().ok().and_then(|id| queue.topic_by_id(id));
        let topic = queue.topic(topic).or_else(by_id).ok_or_else(|| RelayError::NoTopic(topic.to_owned()))?;
        if let Some(output) = topic.name().strip_prefix(GROUP_PREFIX) {
            let why = format!(
                "`{}` belongs to the output `{output}`: its records are rows already, and no chain handles them",
                topic.name()
            );
            return Err(RelayError::Config(why));
        }
        let partitions = topic.partitions().len();
        let partition = topic
            .partition(partition)
            .ok_or_else(|| RelayError::Missing(format!("`{}` has {partitions} partitions, counted from 0", topic.name())))?;
        let end = partition.high_watermark();
        if offset >= end {
            let (name, number) = (topic.name(), partition.id());
            let mut why = format!("there is no record {offset} yet: partition {number} of `{name}` ends at {end}");
            why.extend(self.of_before(&topic, number, offset).map(|note| format!("; {note}")));
            return Err(RelayError::Missing(why));
        }
        let place = Place { topic: &topic, partition: &partition, offset };
        let mut explanation = self.explain_place(&place)?;
        explanation.notes.extend(self.of_before(&topic, partition.id(), offset));
        Ok(explanation)
    }

    fn explain_place(&self, place: &Place<'_>) -> Result<Explanation, RelayError> {
        let &Place { topic, partition, offset } = place;
        if self.shared().store.masks(topic.id()).is_some_and(|masks| masks.is_gone(partition.id(), offset)) {
            return self.gone(
                place,
                Some(match topic.name().starts_with(DEAD_PREFIX) {
                    true => "the letter was resolved, or deleted for good",
                    false => "its rows were deleted for good, and nothing is shown of it",
                }),
            );
        }
        let mut history = History::new(partition, offset, offset + 1);
        let stretch = history.read()?;
        let stored = stretch.as_ref().filter(|stretch| stretch.gap.is_none()).and_then(|stretch| stretch.batches.first());
        let mut scratch = Scratch::new();
        let records = stored.and_then(|stored| Some((stored, decode(stored, &mut scratch)?)));
        let Some((stored, records)) = records else { return self.of_row(place) };
        let handled = self.handled(place)?;
        let (mut at, until) = (stored.base_offset.max(handled.first), stored.next_offset.min(handled.end));
        let mut call = records;
        while at < until {
            let (cut, next) = cut(&call, at, until);
            if next > offset {
                call = cut;
                break;
            }
            at = next;
        }
        self.explained(place, &handled, call, Vec::new())
    }

    /// What handles an offset.
    fn handled(&self, place: &Place<'_>) -> Result<Handled, RelayError> {
        let known = self.shared().generations(place.topic).around(place.partition.id(), place.offset);
        known.map_or_else(
            || {
                let promoted = Arc::new(self.shared().first(place.topic.name())?);
                Ok(Handled { generation: 0, promoted, first: 0, end: Offset::MAX, is_replay: false })
            },
            Ok,
        )
    }

    /// The queue does not have it; a row may have kept it.
    fn of_row(&self, place: &Place<'_>) -> Result<Explanation, RelayError> {
        let (store, offset) = (&self.shared().store, place.offset);
        let kept = store.kept_records(place.topic.id(), place.partition.id(), (offset, offset + 1));
        // What is damaged is as good as gone.
        let made = kept.ok().flatten().and_then(|mut kept| kept.read(offset, offset + 1).ok());
        let call = made.as_ref().map(MadeRecords::records).unwrap_or_default();
        if call.records.is_empty() {
            return self.gone(place, None);
        }
        self.explained(place, &self.handled(place)?, call, vec![PAST.to_owned()])
    }

    /// The record, in this call.
    fn explained(
        &self,
        place: &Place<'_>,
        handled: &Handled,
        call: Records<'_>,
        mut notes: Vec<String>,
    ) -> Result<Explanation, RelayError> {
        let shared = self.shared();
        let Some(record) = call.records.iter().find(|record| record.offset == place.offset) else {
            // Within a batch from which records are missing.
            return self.gone(place, None);
        };
        let headers: Vec<(String, String)> =
            call.headers_of(record).iter().map(|(name, value)| (lossy(name), lossy(value))).collect();
        let header_of = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
        let record_shown = RecordShown {
            payload: shown::bytes(record.payload, SHOWN_BYTES),
            key: record.key.map_or(Json::Null, |key| shown::bytes(key, SHOWN_BYTES)),
            receiver: header_of(header::RECEIVER),
            peer: header_of(header::PEER),
            headers,
            arrival_ns: record.arrival_ns,
            timestamp_ms: record.timestamp_ms,
        };
        let promoted = &handled.promoted;
        let ready = shared.apart(promoted.codec.as_ref(), &promoted.chain)?;
        let (arena, arena_alone) = (Arena::new(), Arena::new());
        let whole = traced(&ready, call.clone(), place.offset, &arena)?;
        // By itself, with a chain of its own: what the others left behind must not help it.
        let alone_ready = shared.apart(promoted.codec.as_ref(), &promoted.chain)?;
        let (alone_call, _) = cut_one(&call, place.offset);
        let alone = traced(&alone_ready, alone_call, place.offset, &arena_alone)?;

        let chain = self.entries(&promoted.chain);
        let document = whole.document.filter(|document| *document != record.payload);
        let mut explanation = Explanation {
            topic: place.topic.name().clone(),
            topic_id: place.topic.id(),
            partition: place.partition.id(),
            offset: place.offset,
            summary: String::new(),
            record: Some(record_shown),
            generation: Some(handled.generation),
            codec: promoted.codec.as_ref().map(|codec| codec.spec()),
            document: document.map_or(Json::Null, |document| shown::bytes(document, SHOWN_BYTES)),
            call: Some(CallShown {
                first: call.records.first().map_or(0, |first| first.offset),
                last: call.records.last().map_or(0, |last| last.offset),
                records: call.records.len(),
            }),
            before: Map::new(),
            steps: Vec::new(),
            ended: EndedShown::Gone { stored: Vec::new(), payload: Json::Null },
            sent: Vec::new(),
            chain,
            notes: Vec::new(),
        };
        if let Some(trace) = &whole.trace {
            explanation.before = step::look(&trace.before);
            let alone = alone.trace.as_ref().map_or(&[][..], |alone| &alone.steps);
            explanation.steps = step::steps(&explanation.chain, trace, alone);
        }
        if !ready.chain.remembers()
            && let (Some(a), Some(b)) = (&whole.verdict, &alone.verdict)
            && shown::verdict(&a.0, &a.1, record.arrival_ns, SHOWN_BYTES)
                != shown::verdict(&b.0, &b.1, record.arrival_ns, SHOWN_BYTES)
        {
            notes.push(
                "alone, the record gets another verdict than together with its call: a filter remembers something from one record \
                 to the next"
                    .to_owned(),
            );
        }
        if ready.chain.remembers() {
            notes.push(REMEMBERS.to_owned());
        }
        if let Some(joined) = whole.verdict.as_ref().and_then(|(_, verdict)| verdict.joined) {
            let at = joined.offset;
            notes.push(format!(
                "what is said here is of what a filter had held, up to the record at offset {at}, which its row names"
            ));
        }
        let verdict =
            whole.verdict.as_ref().ok_or_else(|| RelayError::Missing("the chain said nothing of the record".into()))?;
        let is_handled =
            shared.known_lane(place.topic.id(), place.partition.id()).is_some_and(|lane| lane.core.next() > place.offset);
        if !is_handled {
            notes.push(match place.topic.settings().store {
                true => "the record is not handled yet; this is what will become of it".to_owned(),
                false => "the topic is not stored (`store = false`): nobody handles its records".to_owned(),
            });
        }
        if handled.is_replay {
            notes.push(
                "a replay or a retry made its row anew; a replay sends nothing: what went to other topics is the live generation's then"
                    .to_owned(),
            );
        }
        explanation.ended = self.ended(place, handled, verdict, record.arrival_ns, is_handled, &mut notes);
        explanation.sent = self.sent(place, &verdict.1, &mut notes);
        if let EndedShown::Dropped { filter, .. } | EndedShown::Held { filter } = &mut explanation.ended
            && let Some(step) = explanation.steps.iter().find(|step| matches!(step.outcome, "dropped" | "held"))
        {
            filter.clone_from(&step.filter);
        }
        explanation.summary = answer::summary(&explanation);
        explanation.notes = notes;
        Ok(explanation)
    }

    /// The queue has it no more.
    fn gone(&self, place: &Place<'_>, why: Option<&str>) -> Result<Explanation, RelayError> {
        let mut notes = Vec::new();
        let rows = self.rows_of(place.topic.id(), place.partition.id(), place.offset, None, &mut notes);
        let stored: Vec<Json> = rows.iter().map(found::json).collect();
        let payload = if rows.is_empty() { Json::Null } else { self.payload_of(place, &mut notes) };
        let start = place.partition.log_start();
        let why = if let Some(why) = why {
            why.to_owned()
        } else if place.offset < start {
            format!("the queue's retention took it: partition {} begins at {start}", place.partition.id())
        } else {
            "it cannot be read: its batch is damaged, or was never there".to_owned()
        };
        let generation = rows.first().and_then(found::generation);
        let listed = self.shared().generations(place.topic).list();
        let promoted = listed.into_iter().find(|one| Some(one.generation) == generation).map(|one| one.promoted);
        let has = match stored.len() {
            0 => "the store has nothing of it either".to_owned(),
            rows => format!("the store has {rows} row(s) of it"),
        };
        Ok(Explanation {
            topic: place.topic.name().clone(),
            topic_id: place.topic.id(),
            partition: place.partition.id(),
            offset: place.offset,
            summary: format!("the record is gone; {why}; {has}"),
            record: None,
            generation,
            chain: promoted.as_ref().map(|promoted| self.entries(&promoted.chain)).unwrap_or_default(),
            codec: promoted.and_then(|promoted| promoted.codec.as_ref().map(|codec| codec.spec())),
            document: Json::Null,
            call: None,
            before: Map::new(),
            steps: Vec::new(),
            ended: EndedShown::Gone { stored, payload },
            sent: Vec::new(),
            notes,
        })
    }

    fn ended(
        &self,
        place: &Place<'_>,
        handled: &Handled,
        (output, verdict): &(Output<'_>, Verdict<'_>),
        arrival_ns: i64,
        is_handled: bool,
        notes: &mut Vec<String>,
    ) -> EndedShown {
        let (topic, partition) = (place.topic.id(), place.partition.id());
        match &verdict.kind {
            VerdictKind::Store { time_ns, .. } => {
                let time_ns = time_ns.unwrap_or(arrival_ns);
                let row = shown::cells(&output.names, output.cells_of(verdict), Some(time_ns), SHOWN_BYTES);
                let of = verdict.joined.map_or(place.offset, |joined| joined.offset);
                let rows = self.rows_of(topic, partition, of, Some(time_ns), notes);
                let expected = found::Expected { output, verdict, time_ns, generation: handled.generation };
                let differences = rows.first().map(|row| expected.differences(row)).unwrap_or_default();
                let is = match (rows.len(), is_handled) {
                    (0, false) => "pending",
                    (0, true) => "missing",
                    (1, _) if differences.is_empty() => "same",
                    _ => "different",
                };
                let remembers = notes.iter().any(|note| note == REMEMBERS);
                match is {
                    "missing" | "different" if remembers => {}
                    "missing" => notes.push(
                        "the store has no row of it: its retention may have dropped the day, or somebody deleted it; if neither, that \
                         is a bug in the box"
                            .to_owned(),
                    ),
                    "different" => notes.push(
                        "the store has something else than the chain makes of the record: that is a bug in the box, or a filter that \
                         is not deterministic"
                            .to_owned(),
                    ),
                    _ => {}
                }
                if rows.len() > 1 {
                    notes.push(format!("the store has {} rows of it instead of one", rows.len()));
                }
                EndedShown::Stored { row, stored: rows.first().map_or(Json::Null, found::json), differences, is }
            }
            VerdictKind::Drop { reason } => {
                let rows = self.rows_of(topic, partition, place.offset, None, notes);
                if !rows.is_empty() && !notes.iter().any(|note| note == REMEMBERS) {
                    notes
                        .push("the chain drops the record, but the store has a row of it: that is a bug in the box".to_owned());
                }
                EndedShown::Dropped {
                    filter: String::new(),
                    reason: reason.to_string(),
                    stored: rows.first().map_or(Json::Null, found::json),
                }
            }
            VerdictKind::Hold => EndedShown::Held { filter: String::new() },
            VerdictKind::Fail { filter, reason } if place.topic.name().starts_with(DEAD_PREFIX) => {
                // It makes no other one: it is stored as it is.
                let rows = self.rows_of(topic, partition, place.offset, Some(arrival_ns), notes);
                let letter = rows.first().map_or(Json::Null, found::json);
                let topic = place.topic.name().to_string();
                EndedShown::Failed { filter: filter.to_string(), reason: reason.to_string(), topic, letter }
            }
            VerdictKind::Fail { filter, reason } => {
                let dead = format!("{DEAD_PREFIX}{}", place.topic.name());
                let letter = self.sent_row(&dead, place, 0, notes);
                EndedShown::Failed { filter: filter.to_string(), reason: reason.to_string(), topic: dead, letter }
            }
        }
    }

    fn sent(&self, place: &Place<'_>, verdict: &Verdict<'_>, notes: &mut Vec<String>) -> Vec<SentShown> {
        let mut sent = Vec::new();
        for (n, emission) in verdict.emissions.iter().enumerate() {
            let row = self.sent_row(emission.topic, place, n, notes);
            sent.push(SentShown {
                topic: emission.topic.to_owned(),
                payload: shown::bytes(emission.payload, SHOWN_BYTES),
                row,
            });
        }
        // What cannot be sent is a dead letter, while the rest goes its way.
        if sent.iter().any(|sent| sent.row.is_null()) {
            let letter = self.sent_row(&format!("{DEAD_PREFIX}{}", place.topic.name()), place, 0, notes);
            if let Some(reason) = letter[header::REASON].as_str() {
                notes.push(format!("a dead letter says of what it sent: {reason}"));
            }
        }
        sent
    }

    /// The row that a target topic made of what it was sent.
    fn sent_row(&self, target: &str, place: &Place<'_>, n: usize, notes: &mut Vec<String>) -> Json {
        let Some(target) = self.shared().queue.topic(target) else { return Json::Null };
        let origin = origin_text(&Origin {
            topic: place.topic.id(),
            partition: place.partition.id(),
            offset: place.offset,
            n: u16::try_from(n).unwrap_or(u16::MAX),
        });
        let rows = self.rows_where(target.id(), &format!("{}:=\"{origin}\"", header::ORIGIN), None, notes);
        rows.first().map_or(Json::Null, found::json)
    }
}

/// A call of the record alone.
fn cut_one<'b>(call: &Records<'b>, offset: Offset) -> (Records<'b>, Offset) {
    cut(call, offset, offset + 1)
}

/// A call, run while the record at `offset` was looked at.
struct Traced<'b> {
    /// What the codec made of the payload; none where it could not.
    document: Option<&'b [u8]>,
    trace: Option<Trace<'b>>,
    verdict: Option<(Output<'b>, Verdict<'b>)>,
}

fn traced<'b>(ready: &Ready, call: Records<'b>, offset: Offset, arena: &'b Arena) -> Result<Traced<'b>, RelayError> {
    let mut traced = Traced { document: None, trace: None, verdict: None };
    let mut rest = call;
    // Nobody knows what the filters remembered then.
    let mut state = State::default();
    // A call ends early where documents are many.
    loop {
        let given = rest.records.len();
        let mut documents = Vec::new();
        let ran = ready.codec.run_by(rest.clone(), arena, &mut documents, |decoded| {
            let Some(index) = decoded.records.iter().position(|record| record.offset == offset) else {
                return ready.chain.run(decoded, arena, &mut state);
            };
            traced.document = decoded.records.get(index).map(|record| record.payload);
            let trace = ready.chain.trace(decoded, arena, &mut state, index);
            let output = trace.output.clone();
            traced.trace = Some(trace);
            output
        });
        let ran = ran.map_err(|not_now| {
            RelayError::Schemas(match not_now {
                NotNow::Pending(pending) => format!("the record's schema {} is not known yet", pending.place.1),
                NotNow::Trouble(why) => why,
            })
        })?;
        if let Some(index) = ran.call.records.iter().position(|record| record.offset == offset) {
            let verdict = ran.output.verdicts.get(index).cloned();
            traced.verdict = verdict.map(|verdict| (ran.output, verdict));
            return Ok(traced);
        }
        let done = ran.call.records.len();
        let next = rest.records.get(done).map(|record| record.offset);
        let (Some(next), true) = (next, done > 0 && done < given) else { return Ok(traced) };
        rest = cut(&rest, next, Offset::MAX).0;
    }
}

fn lossy(bytes: &[u8]) -> String {
    shown::text(bytes, SHOWN_BYTES)
}

/// `TOPIC/PARTITION@OFFSET`, perhaps with `#N` behind it as origins have it.
///
/// # Errors
/// How it is written.
pub fn place(text: &str) -> Result<(String, PartitionId, Offset), String> {
    let wrong = || format!("`{text}` is no record; write it as TOPIC/PARTITION@OFFSET, like web/0@1234");
    let (topic, rest) = text.rsplit_once('/').ok_or_else(wrong)?;
    let rest = rest.split_once('#').map_or(rest, |(place, _)| place);
    let (partition, offset) = rest.split_once('@').ok_or_else(wrong)?;
    match (partition.parse(), offset.parse()) {
        (Ok(partition), Ok(offset)) if !topic.is_empty() => Ok((topic.to_owned(), partition, offset)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn places_are_written_as_origins_are() {
        assert_eq!(place("web/0@12"), Ok(("web".to_owned(), 0, 12)));
        assert_eq!(place("_dead.web/3@0#1"), Ok(("_dead.web".to_owned(), 3, 0)));
        for wrong in ["web", "web/0", "web/0@", "/0@1", "web/x@1", "web/0@-1", ""] {
            assert!(place(wrong).is_err_and(|why| why.contains("TOPIC/PARTITION@OFFSET")), "{wrong}");
        }
    }
}
