//! What a replay would do: which offsets it makes anew, and why not others.
//!
//! Of what the queue has, ranges of whole rows ([`Whole`]); of what it has no longer, stretches of rows that kept their records
//! ([`past`](super::past)). Nothing of it is durable; a replay that begins makes its own.

use crate::base::ids::Offset;
use crate::queue::Topic;
use crate::relay::circle::targets;
use crate::relay::generations::{Generations, Promoted, Ready};
use crate::relay::history::{Range, Reach, Which, ranges};
use crate::relay::replay::past::{Past, look};
use crate::relay::replay::whole::{Joining, Whole};
use crate::relay::replay::{PIECES, ReplayRequest};
use crate::relay::{Relay, RelayError};
use crate::store::StoreError;

/// What a replay would do.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct ReplayPlan {
    /// What it would make anew of the queue's records: whole rows, so it may be more than was asked for where rows are made of
    /// several records.
    pub ranges: Vec<Range>,
    /// Records in them and past the queue's retention, about.
    pub records: u64,
    /// What it would make anew of what the queue has no longer.
    pub past: Past,
    /// What was asked for but is past the queue's retention, and rows did not keep it: they stay as they are.
    pub out_of_reach: Vec<Range>,
    /// What was asked for but has been made by this chain already.
    pub same: Vec<Range>,
    /// The filters of its chain.
    pub chain: Vec<String>,
    /// Topics that the chain sends records to, as far as its configuration says: the replay sends them nothing.
    pub sends_to: Vec<String>,
}

impl ReplayPlan {
    /// All ranges, those past the queue's retention first.
    pub(super) fn all(&self) -> impl Iterator<Item = Range> + '_ {
        self.past.ranges.iter().chain(&self.ranges).copied()
    }

    /// Why there is nothing to replay, if so.
    pub(super) fn nothing(&self) -> Option<String> {
        if self.all().next().is_some() {
            return None;
        }
        Some(if !self.same.is_empty() {
            "nothing to replay: these records were handled by the same chain already; promote another one first, or name one"
                .to_owned()
        } else if !self.out_of_reach.is_empty() {
            let why = self.past.notes.join("; ");
            format!("nothing to replay: the queue has none of these records any more (its retention is over); {why}")
        } else {
            "nothing to replay: there are no records there".to_owned()
        })
    }
}

impl Relay {
    pub(super) fn plan(
        &self,
        topic: &Topic,
        generations: &Generations,
        request: &ReplayRequest,
        promoted: &Promoted,
        ready: &Ready,
    ) -> Result<ReplayPlan, RelayError> {
        let partitions = topic.partitions();
        if let Some(some) = &request.partitions
            && let Some(wrong) = some.iter().find(|number| partitions.iter().all(|one| one.id() != **number))
        {
            return Err(RelayError::Config(format!(
                "topic `{}` has no partition {wrong}: it has {}, counted from 0",
                topic.name(),
                partitions.len()
            )));
        }
        let chain = promoted.chain.entries.iter().map(|entry| entry.filter.to_string()).collect();
        let mut plan = ReplayPlan { chain, sends_to: targets(&promoted.chain), ..ReplayPlan::default() };
        let joining = Joining::default();
        let mut asked = ranges(topic, &request.which, request.partitions.as_deref(), Reach::Past);
        asked.sort_by_key(|range| (range.partition, range.first));
        if let Some(pair) = asked.windows(2).find(|pair| pair[0].partition == pair[1].partition && pair[0].end > pair[1].first)
        {
            let why = format!("two of the ranges of partition {} overlap, at offset {}", pair[0].partition, pair[1].first);
            return Err(RelayError::Config(why));
        }
        for range in asked {
            let Some(partition) = partitions.iter().find(|one| one.id() == range.partition) else { continue };
            let number = range.partition;
            let start = partition.log_start();
            // What the newest generation has begun with may change hands by a promotion; what lies below never does.
            let committed = self.shared().store.cursor(topic.id(), number).unwrap_or(0);
            let settled = committed.max(generations.newest_from(number).unwrap_or(0));
            if range.first < start {
                let gone = Range { end: range.end.min(start), ..range };
                self.past(&mut plan, generations, &joining, (gone, settled), request, (promoted, ready))?;
            }
            let first = range.first.max(start);
            let end = range.end.min(settled).min(partition.high_watermark());
            if first >= end {
                continue;
            }
            let settled = settled.min(partition.high_watermark());
            let whole = Whole { shared: self.shared(), generations, joining: &joining, partition, settled };
            let Range { first, end, .. } = whole.range(Range { partition: number, first, end }, ready)?;
            if first >= end {
                continue;
            }
            let from = generations.same_from(number, first, end, promoted);
            if from < end {
                plan.same.push(Range { partition: number, first: from, end });
            }
            if first < from {
                plan.ranges.push(Range { partition: number, first, end: from });
            }
        }
        // Two that lie in one row have become the same.
        plan.ranges.dedup_by(|next, last| {
            let overlap = next.partition == last.partition && next.first < last.end;
            last.end = if overlap { last.end.max(next.end) } else { last.end };
            overlap
        });
        // What the same chain made is out of nobody's reach.
        if !plan.past.ranges.is_empty() || !plan.out_of_reach.is_empty() {
            plan.past.end();
        }
        plan.records = plan.ranges.iter().map(Range::len).sum::<u64>() + plan.past.records;
        Ok(plan)
    }

    /// Adds what can be made anew of a range of which the queue has nothing.
    fn past(
        &self,
        plan: &mut ReplayPlan,
        generations: &Generations,
        joining: &Joining,
        (range, settled): (Range, Offset),
        request: &ReplayRequest,
        (promoted, ready): (&Promoted, &Ready),
    ) -> Result<(), RelayError> {
        if ready.chain.remembers() {
            plan.out_of_reach.push(range);
            let note = "filters of the chain remember, and would miss what was dropped: they are given only what the queue has";
            if !plan.past.notes.iter().any(|known| known == note) {
                plan.past.notes.push(note.to_owned());
            }
            return Ok(());
        }
        let from = generations.same_from(range.partition, range.first, range.end, promoted);
        if from < range.end {
            plan.same.push(Range { first: from, ..range });
        }
        let end = range.end.min(from).min(settled);
        let arrived = match &request.which {
            Which::Arrived(from, to) => (*from, *to),
            _ => (None, None),
        };
        if range.first >= end {
            return Ok(());
        }
        let (looked, reach) = match look(self.shared(), generations, joining, Range { end, ..range }, arrived) {
            Err(RelayError::Store(error @ StoreError::Damaged { .. })) => {
                plan.past
                    .notes
                    .push(format!("rows of partition {} stay as they are: {error} (`sawbox store repair`)", range.partition));
                plan.out_of_reach.push(Range { end, ..range });
                return Ok(());
            }
            looked => looked?,
        };
        let known = plan.past.ranges.len();
        plan.past.add(range.partition, &looked);
        let mut at = reach.first;
        for made in plan.past.ranges.iter().skip(known) {
            plan.out_of_reach.extend((at < made.first).then_some(Range { first: at, end: made.first, ..range }));
            at = made.end;
        }
        plan.out_of_reach.extend((at < reach.end).then_some(Range { first: at, end: reach.end, ..range }));
        Ok(())
    }
}

/// Long ranges in pieces of about so many offsets that threads may work on at the same time, cut between batches where the queue has
/// any: within one, calls are cut from its beginning. A range whose pieces would be too many stays with fewer.
pub(super) fn split(topic: &Topic, plan: &ReplayPlan, piece: u64) -> Vec<Range> {
    let mut pieces = Vec::new();
    let most = PIECES as u64;
    let past: u64 = plan.past.ranges.iter().map(Range::len).sum();
    let of_past = piece.max(past / most).max(1);
    for range in &plan.past.ranges {
        let mut at = range.first;
        while range.end - at > of_past.saturating_add(of_past / 2) {
            pieces.push(Range { first: at, end: at + of_past, ..*range });
            at += of_past;
        }
        pieces.push(Range { first: at, ..*range });
    }
    for range in &plan.ranges {
        let piece = piece.max(range.len() / most).max(1);
        let mut at = range.first;
        let partition = topic.partition(range.partition);
        // A rest of less than half a piece is not worth one.
        while let Some(partition) = partition.as_ref().filter(|_| range.end - at > piece.saturating_add(piece / 2)) {
            let batch = partition.read(at + piece, 1).ok().and_then(|batches| batches.first().map(|batch| batch.base_offset));
            let Some(end) = batch.filter(|end| at < *end && *end < range.end) else { break };
            pieces.push(Range { first: at, end, ..*range });
            at = end;
        }
        pieces.push(Range { first: at, ..*range });
    }
    pieces
}
