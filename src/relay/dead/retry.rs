//! Retry: letters through the chain that their topic has now, after somebody mended it.
//!
//! ```text
//! letters (their bytes) → chain, each alone → rows in parts nobody knows, emissions durable in their targets (`send.rs`)
//!    → ONE commit: parts live, generation, masks of both topics
//! ```
//! What succeeds becomes a row of the original topic with the original origin, or is dropped by its filter; either way the letter is
//! resolved. What fails again stays as it is, with its first reason; the report has the new one. A letter whose row a person had
//! deleted is resolved without a row.
//! Invariants: rows, the generation that they are of, and the letters' going are one entry of the commit log, so a crash leaves all
//! of it or nothing. No letter is taken whose record a lane may still handle, or that a replay under way has: that could take its
//! row away. No replay begins meanwhile.
//! What such records emit is sent, once by each retry; rows for outputs are not: nobody waits for an alert of then. Filters that
//! remember begin with nothing, and what they would hold becomes a row at once.
//! Limits: [`LETTERS`] and [`LETTER_BYTES`] at once, of letters and of what they emit; the report says what is left.
//! Crash story: before the commit, files that nobody names, and perhaps emissions that the next retry sends again; after it, done.
//!
//! Why no job, as a replay has: a retry is seconds, and one that is not there after a crash is asked for again.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use serde::Serialize;

use crate::base::ids::{Generation, Offset, PartitionId};
use crate::base::record::{RecordView, Records};
use crate::base::row::{RowHead, Rows};
use crate::relay::codec::{NotNow, Ran};
use crate::relay::dead::Letter;
use crate::relay::dead::send::Sender;
use crate::relay::generations::{MadeBy, Promoted, Ready};
use crate::relay::history::{Manners, Range, expire, joined};
use crate::relay::{Relay, RelayError};
use crate::sandbox::{Arena, Emission, Output, State, VerdictKind};
use crate::store::{GenerationEntry, Stage, Staged};

/// Most letters of one retry.
const LETTERS: usize = 20_000;
/// Most bytes of them.
const LETTER_BYTES: usize = 64 * 1024 * 1024;
/// Rows in memory before they are written.
const STAGE_BYTES: usize = 24 * 1024 * 1024;
/// Failures that a report tells one by one.
const TOLD: usize = 100;
/// Letters after which live lanes go first.
const STRETCH: usize = 256;

/// Which letters.
#[derive(Clone, Debug, Default)]
pub struct RetryRequest {
    /// Only those of this filter.
    pub filter: Option<String>,
    /// Only those whose reason has this in it.
    pub reason: Option<String>,
    /// Only these, by where they stand among the dead letters.
    pub offsets: Option<Vec<Range>>,
    /// Only say what would come of it.
    pub dry_run: bool,
}

/// A letter that failed again.
#[derive(Clone, Debug, Serialize)]
pub struct Refailed {
    /// Where it stands.
    pub partition: PartitionId,
    /// Likewise.
    pub offset: Offset,
    /// The filter that failed now.
    pub filter: String,
    /// Why.
    pub reason: String,
}

/// What came of a retry.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RetryReport {
    /// The topic.
    pub topic: String,
    /// Whether nothing was changed, because only that was asked.
    pub dry_run: bool,
    /// Letters that were tried.
    pub tried: u64,
    /// Of these, have a row now.
    pub stored: u64,
    /// Of these, were dropped by a filter.
    pub dropped: u64,
    /// Of these, have no row because a person deleted it.
    pub deleted: u64,
    /// Of these, failed again.
    pub failed: u64,
    /// The first failures.
    pub failures: Vec<Refailed>,
    /// Letters of what could not be emitted: their records have rows.
    pub of_emissions: u64,
    /// Letters whose record a lane or a replay is at, or whose topic was deleted and made again.
    pub not_now: u64,
    /// Letters beyond what one retry takes.
    pub left: u64,
    /// What the records emitted: it was sent.
    pub emissions: u64,
    /// Of the records, so many emitted what could not be sent: that is a new letter.
    pub unsent: u64,
    /// The generation that the rows are of.
    pub generation: Option<Generation>,
    /// What there is to know.
    pub notes: Vec<String>,
}

impl Relay {
    /// Tries letters again. Durable when it returns. To be called where waiting for the disk and for filters hurts nobody.
    ///
    /// # Errors
    /// [`RelayError::Missing`] where the topic has no letters; [`RelayError::Filter`] where its chain does not hold; the store's.
    /// Then nothing has changed.
    pub fn retry(&self, topic: &str, request: &RetryRequest) -> Result<RetryReport, RelayError> {
        let shared = self.shared();
        let generations = self.topic(topic)?;
        let dead = self.dead_of(topic)?;
        let (_, newest) = self.live(&generations)?;
        let ready = shared.ready(newest.codec.as_ref(), &newest.chain)?;
        // No replay begins, nor another retry, until this is done.
        let _one = shared.replays.starting.lock();
        shared.store.flush_topic(generations.topic)?;
        let mut report = RetryReport { topic: topic.to_owned(), dry_run: request.dry_run, ..RetryReport::default() };
        let mut chosen: BTreeMap<(PartitionId, Offset), Vec<Letter>> = BTreeMap::new();
        let (mut count, mut bytes) = (0, 0);
        self.letters(&dead, |letter| {
            if !request.wants(&letter) {
                return ControlFlow::Continue(());
            }
            if letter.is_of_emission() {
                report.of_emissions += 1;
                return ControlFlow::Continue(());
            }
            let place =
                letter.origin.filter(|(id, ..)| *id == generations.topic).map(|(_, partition, offset)| (partition, offset));
            let settled = |(partition, offset): (PartitionId, Offset)| {
                shared.store.cursor(generations.topic, partition).is_some_and(|cursor| offset < cursor)
            };
            let Some(place) = place.filter(|place| settled(*place) && !shared.replays.is_at(generations.topic, *place)) else {
                report.not_now += 1;
                return ControlFlow::Continue(());
            };
            if count >= LETTERS || bytes >= LETTER_BYTES {
                report.left += 1;
                return ControlFlow::Continue(());
            }
            count += 1;
            bytes += letter.bytes();
            chosen.entry(place).or_default().push(letter);
            ControlFlow::Continue(())
        })?;
        let generation = if request.dry_run { 0 } else { generations.reserve() };
        let masks = shared.store.masks(generations.topic);
        let manners = Manners::new(shared, &shared.replays.stop);
        let (mut stage, mut staged) = (Stage::new(generations.topic, &generations.name), Vec::<Staged>::new());
        let (mut made, mut resolved) = (Vec::new(), Vec::new());
        let (mut arena, mut documents) = (Arena::new(), Vec::new());
        let keep = shared.keep_payload(&generations.name, &ready);
        let mut sender = Sender::new(shared, &generations, generation);
        for (number, (place, letters)) in chosen.into_iter().enumerate() {
            if number % STRETCH == 0 {
                manners.give_way()?;
            }
            if sender.bytes >= LETTER_BYTES {
                report.left += letters.len() as u64;
                continue;
            }
            // Its bytes are the same in all of them.
            let Some(letter) = letters.first() else { continue };
            let (partition, offset) = place;
            report.tried += 1;
            let own = letters.iter().map(|letter| (letter.partition, letter.offset, letter.offset + 1));
            if masks.as_ref().is_some_and(|masks| masks.is_gone(partition, offset)) {
                report.deleted += 1;
                resolved.extend(own);
                continue;
            }
            arena.reset();
            let tried = match one(letter, offset, &ready, &arena, &mut documents) {
                Ok(tried) => tried,
                Err(NotNow::Pending(pending)) => {
                    report.failed += 1;
                    report.fail(letter, letter.filter.clone(), shared.registries.said(&pending.place));
                    continue;
                }
                Err(NotNow::Trouble(why)) => return Err(RelayError::Schemas(why)),
            };
            if let Some((filter, reason)) = tried.failed {
                report.failed += 1;
                report.fail(letter, filter, reason);
                continue;
            }
            match tried.rows {
                Some(rows) => {
                    report.stored += 1;
                    stage.append(partition, generation, &Rows { keep, ..rows });
                }
                None => report.dropped += 1,
            }
            let mut is_sent = true;
            for (call, emissions) in &tried.sent {
                report.emissions += emissions.len() as u64;
                is_sent &= request.dry_run || sender.send(letter, partition, (call, emissions))?;
            }
            report.unsent += u64::from(!is_sent);
            made.push((partition, offset, offset + 1));
            resolved.extend(own);
            if stage.bytes() >= STAGE_BYTES && !request.dry_run {
                staged.push(shared.store.write_stage(&mut stage)?);
            }
            if request.dry_run {
                stage = Stage::new(generations.topic, &generations.name);
            }
        }
        report.note(&ready);
        if request.dry_run || resolved.is_empty() {
            return Ok(report);
        }
        staged.push(shared.store.write_stage(&mut stage)?);
        sender.flush()?;
        let (made, resolved) = (joined(made), joined(resolved));
        let why = Some(format!("retry of {} dead letters", report.tried));
        let at_ns = Some(shared.clock.now_ns());
        let promoted = Promoted { made_by: MadeBy::Replay, at_ns, why, held: None, ..Promoted::clone(&newest) };
        let chain = serde_json::to_vec(&promoted).map_err(|error| RelayError::Config(error.to_string()))?;
        let entry = (!made.is_empty()).then(|| GenerationEntry {
            generation,
            chain: chain.into(),
            from: BTreeMap::new(),
            ranges: made.clone(),
        });
        let letters = (dead.id(), &**dead.name(), &resolved[..]);
        shared.store.finish_retry(generations.topic, &generations.name, staged, entry, letters)?;
        if !made.is_empty() {
            report.generation = Some(generation);
            generations.replayed(generation, made, promoted);
        }
        shared.retried.fetch_add(report.stored + report.dropped + report.deleted, Ordering::Relaxed);
        let (stored, dropped, failed) = (report.stored, report.dropped, report.failed);
        tracing::info!(topic, generation, stored, dropped, failed, "dead letters were tried again");
        Ok(report)
    }
}

impl RetryRequest {
    fn wants(&self, letter: &Letter) -> bool {
        let within = |range: &Range| range.partition == letter.partition && (range.first..range.end).contains(&letter.offset);
        self.filter.as_ref().is_none_or(|filter| *filter == letter.filter)
            && self.reason.as_ref().is_none_or(|reason| letter.reason.contains(reason.as_str()))
            && self.offsets.as_ref().is_none_or(|ranges| ranges.iter().any(within))
    }
}

impl RetryReport {
    fn fail(&mut self, letter: &Letter, filter: String, reason: String) {
        if self.failures.len() < TOLD {
            self.failures.push(Refailed { partition: letter.partition, offset: letter.offset, filter, reason });
        }
    }

    fn note(&mut self, ready: &Ready) {
        let notes = [
            (self.unsent > 0, "some of what the records emitted could not be sent: new letters say what, and why"),
            (
                self.of_emissions > 0,
                "letters of what could not be emitted stay: their records have rows, and emissions are not sent again",
            ),
            (
                self.not_now > 0,
                "letters whose records a lane or a replay is at stay (or their topic was deleted and made again); try them later",
            ),
            (self.left > 0, "there were more letters than one retry takes; ask again"),
            (ready.chain.remembers(), "filters of the chain remember: each record was tried as if nothing had come before it"),
        ];
        self.notes.extend(notes.iter().filter(|(is_so, _)| *is_so).map(|(_, note)| (*note).to_owned()));
    }
}

/// What the chain says of one letter; neither failed nor a row: it was dropped.
#[derive(Default)]
struct Tried<'b> {
    /// The filter, and why.
    failed: Option<(String, String)>,
    rows: Option<Rows<'b>>,
    /// What it emits, by the calls that it does so in.
    sent: Vec<(Records<'b>, Vec<Emission<'b>>)>,
}

/// One letter through the chain, alone.
fn one<'b>(
    letter: &'b Letter,
    offset: Offset,
    ready: &Ready,
    arena: &'b Arena,
    documents: &mut Vec<u8>,
) -> Result<Tried<'b>, NotNow> {
    let headers: Vec<(&[u8], &[u8])> = letter.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    let view = RecordView {
        offset,
        arrival_ns: letter.arrival_ns,
        timestamp_ms: letter.timestamp_ms,
        key: letter.key.as_deref(),
        payload: &letter.payload,
        headers: (0, u32::try_from(headers.len()).unwrap_or(0)),
    };
    let mut state = State::default();
    let mut tried = Tried::default();
    let ran = ready.codec.run(&ready.chain, Records { records: vec![view], headers }, arena, documents, &mut state)?;
    tried.take(ran, letter, offset);
    // What was held of it comes to this, unless it has its row.
    expire(i64::MAX, ready, arena, &mut state, |ran| {
        if tried.failed.is_none() && tried.rows.is_none() {
            tried.take(ran, letter, offset);
        }
        true
    });
    Ok(tried)
}

impl<'b> Tried<'b> {
    /// Takes in what a call came to.
    fn take(&mut self, ran: Ran<'b>, letter: &'b Letter, offset: Offset) {
        let arrival_ns = letter.arrival_ns;
        let Output { names, cells, verdicts, .. } = ran.output;
        let mut rows = Rows { names, cells, ..Rows::default() };
        let mut emitted = Vec::new();
        for verdict in verdicts {
            match verdict.kind {
                VerdictKind::Store { time_ns, cells } => {
                    rows.heads.push(RowHead { time_ns: time_ns.unwrap_or(arrival_ns), arrival_ns, offset, n: 0, cells });
                    rows.payloads.push(verdict.joined.is_none().then_some(&letter.payload[..]));
                }
                VerdictKind::Drop { .. } | VerdictKind::Hold => {}
                VerdictKind::Fail { filter, reason } => {
                    self.failed = Some((filter.to_string(), reason.into_owned()));
                    return;
                }
            }
            emitted.extend(verdict.emissions);
        }
        // A record has one row.
        rows.heads.truncate(1);
        rows.payloads.truncate(1);
        self.rows = (!rows.heads.is_empty()).then_some(rows);
        if !emitted.is_empty() {
            self.sent.push((ran.call, emitted));
        }
    }
}
