//! The keeper: one thread that, every second, does what nobody waits for.
//!
//! In order: writes checkpoints (so that a restart scans at most [`UNCHECKED_BYTES`]), seals segments that grew old, deletes
//! whole segments past retention, looks whether there is room, and says to those who append how much until it looks again.
//! Invariants: a segment is deleted only if a checkpoint covers it, the store has committed past it, and no output wants it
//! still; except where the configuration chose `drop_oldest` and the disk forces it, or a user deleted its records (`trim.rs`), and
//! that is counted and logged.
//! Without room the door is shut first; emissions may take half the reserve, or an eighth more than `max_bytes`, so that lanes
//! come to what lets segments go.
//! An output's topic (`_out.`) has no lane: it is held by its groups alone, and by nobody having committed yet. A topic with
//! `store = false` has none either, and nobody holds it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::checkpoint::Mark;
use super::config::{Config, WhenFull};
use super::files::{index_path, log_path};
use super::groups::OUTPUT;
use super::index::NO_MS;
use super::log::Log;
use super::partition::Partition;
use super::shared::{Look, Shared, sub};
use super::topic::Topic;
use super::view::Sealed;
use crate::base::ids::{Offset, PartitionId, TopicId};

/// Bytes appended since the last checkpoint at which a new one is written.
pub const UNCHECKED_BYTES: u64 = 256 << 20;
const EVERY: Duration = Duration::from_secs(1);
const EXPIRE_EVERY: Duration = Duration::from_secs(600);
const RETURN_WITHIN: Duration = Duration::from_secs(24 * 3600);

type Holds = HashMap<(TopicId, PartitionId), Offset>;

/// What the keeper's thread does until `stop` is closed.
pub fn run(shared: &Shared, topics: &dyn Fn() -> Vec<Arc<Topic>>, stop: &Receiver<()>) {
    while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(EVERY) {
        // A bug must not end retention for good.
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| tick(shared, topics))).is_err() {
            tracing::error!("the queue's keeper panicked; it goes on");
        }
    }
}

/// One round.
pub fn tick(shared: &Shared, all: &dyn Fn() -> Vec<Arc<Topic>>) {
    let (holds, topics) = (shared.groups.holds(), &all());
    for topic in topics {
        roll(topic);
    }
    let gauges = &shared.gauges;
    if gauges.unchecked.load(Ordering::Relaxed) > UNCHECKED_BYTES || gauges.sealed.swap(false, Ordering::Relaxed) {
        checkpoint(shared, all, UNCHECKED_BYTES / 4 / (topics.len() as u64 + 1));
    }
    for topic in topics {
        retain(topic, &holds);
    }
    room(shared, topics, &holds);
    let held = || topics.iter().flat_map(|topic| topic.partitions()).any(|partition| partition.held.load(Ordering::Relaxed));
    if gauges.full.load(Ordering::Relaxed) || held() {
        shared.while_full.all().iter().for_each(|hook| hook());
    }
    expire(shared, topics);
}

/// Forgets offsets that nobody wants any more, now and then.
fn expire(shared: &Shared, topics: &[Arc<Topic>]) {
    let now = shared.clock.monotonic();
    let last = Duration::from_millis(shared.gauges.expired_ms.load(Ordering::Relaxed));
    if now.saturating_sub(last) < EXPIRE_EVERY {
        return;
    }
    shared.gauges.expired_ms.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    let retention = shared.config.groups.offsets_retention.as_ns();
    let wall = shared.clock.now_ns();
    // Whoever was a member when the box went down may come back for a day; nothing says when it was last there.
    let returning = now < Duration::from_nanos(retention.unsigned_abs()).min(RETURN_WITHIN);
    let before_ms = if returning { i64::MIN } else { wall.saturating_sub(retention) / 1_000_000 };
    let there: std::collections::HashSet<TopicId> = topics.iter().map(|topic| topic.id()).collect();
    let gone = shared.groups.expire(before_ms, |group| shared.coordinator.is_live(group), |id| there.contains(&id));
    if gone > 0 {
        tracing::info!(partitions = gone, "forgot offsets of groups that were not seen for long, or of topics that are gone");
    }
}

impl Partition {
    /// What a checkpoint says of it.
    pub(super) fn mark(&self, log: &Log) -> Mark {
        // Looked at once: who asks for a second look while a reader waits to note something waits for ever.
        let (sealed, newest_ms) = {
            let view = self.view.read();
            let vouched = view.sealed.iter().filter(|sealed| !log.unvouched.contains(&sealed.base));
            (vouched.copied().collect(), view.tail.as_ref().map_or(NO_MS, |tail| tail.newest_ms))
        };
        Mark {
            topic: self.topic,
            partition: self.number,
            start: self.log_start(),
            sealed,
            active: log.active.map(|active| (active.base, active.position, active.first_ns)),
            next: log.next,
            last_ns: log.last_ns,
            newest_ms,
            producers: log.producers.marked(self.shared.clock.now_ns()),
            guests: log.guests.marked(self.shared.clock.now_ns()),
            sources: log.sources.iter().map(|(source, last)| (source.topic, source.partition, source.run, *last)).collect(),
        }
    }

    /// Takes its mark, durable as it stands; to be written under the lock of the checkpoints that is held already. What cannot be
    /// synced it does not vouch for.
    fn take_mark(&self) -> (Mark, u64) {
        let mut log = self.log.lock();
        if let Err(error) = self.sync_written(&mut log) {
            tracing::error!(topic = %self.topic_name, partition = self.number, %error, "sync failed; going on in a new segment");
        }
        (self.mark(&log), log.unchecked)
    }

    /// A checkpoint covers it up to here, and so many bytes that it had not.
    pub(super) fn covered(&self, next: Offset, bytes: u64) {
        self.checked.fetch_max(next, Ordering::AcqRel);
        let mut log = self.log.lock();
        // Two marks may have counted the same bytes.
        let bytes = bytes.min(log.unchecked);
        log.unchecked -= bytes;
        sub(&self.shared.gauges.unchecked, bytes);
    }

    /// Up to where it may be deleted.
    fn floor(&self, holds: &Holds) -> Offset {
        let hold = holds.get(&(self.topic, self.number)).copied();
        let taken = if self.topic_name.starts_with(OUTPUT) {
            hold.unwrap_or(0)
        } else if self.is_stored() {
            self.committed().min(hold.unwrap_or(Offset::MAX))
        } else {
            // No lane takes it anywhere: its own retention alone decides.
            hold.unwrap_or(Offset::MAX)
        };
        taken.min(self.checked.load(Ordering::Acquire))
    }

    /// Whether a lane takes its records to the store.
    fn is_stored(&self) -> bool {
        !self.topic_name.starts_with(OUTPUT) && self.settings.load().store
    }

    /// Whether a segment may go although somebody wants it: a user deleted its records.
    fn trimmed(&self, segment: &Sealed) -> bool {
        segment.next <= self.log_start().min(self.checked.load(Ordering::Acquire))
    }

    /// Its oldest sealed segment, unless it is the only segment there is: its name is what says, beside the checkpoint, where
    /// offsets go on.
    fn first_sealed(&self) -> Option<Sealed> {
        let view = self.view.read();
        view.sealed.front().copied().filter(|_| view.sealed.len() > 1 || view.tail.is_some())
    }

    /// Deletes its oldest segment, if it is still the one that was judged: two may be at it. The file goes after nobody is led
    /// to it any more.
    fn drop_first(&self, judged: &Sealed) -> u64 {
        let dropped = {
            let mut view = self.view.write();
            let is_it = view.sealed.front().is_some_and(|first| first.base == judged.base);
            let Some(dropped) = is_it.then(|| view.sealed.pop_front()).flatten() else { return 0 };
            let start = view.sealed.front().map(|sealed| sealed.base).or(view.tail.as_ref().map(|tail| tail.base));
            self.start.fetch_max(start.unwrap_or(dropped.next), Ordering::AcqRel);
            dropped
        };
        let removed = self.shared.disk.remove_file(&log_path(&self.dir, dropped.base));
        // It may never have been written.
        let _absent = self.shared.disk.remove_file(&index_path(&self.dir, dropped.base));
        // Last: a reader that was on its way may have opened it again, and its bytes would not come free.
        self.shared.files.forget(&self.key(dropped.base));
        if let Err(error) = removed.and_then(|()| self.shared.disk.sync_dir(&self.dir)) {
            tracing::error!(topic = %self.topic_name, partition = self.number, %error, "could not delete a segment");
        }
        sub(&self.bytes, dropped.len);
        sub(&self.shared.gauges.bytes, dropped.len);
        dropped.len
    }
}

/// Writes the marks of all partitions with more than `over` unchecked bytes, or new sealed segments.
pub fn checkpoint(shared: &Shared, topics: &dyn Fn() -> Vec<Arc<Topic>>, over: u64) {
    let mut marks = Vec::new();
    let mut marked = Vec::new();
    let mut checkpoints = shared.checkpoints.lock();
    // Asked under the lock: a topic that was made since may have a mark already, which a journal written anew must have too.
    let topics = topics();
    for partition in topics.iter().flat_map(|topic| topic.partitions()) {
        let sealed =
            partition.view.read().sealed.back().is_some_and(|last| last.next > partition.checked.load(Ordering::Relaxed));
        if sealed || partition.log.lock().unchecked > over {
            let (mark, unchecked) = partition.take_mark();
            marked.push((partition, mark.next, unchecked));
            marks.push(mark);
        }
    }
    if marks.is_empty() && !checkpoints.is_broken() {
        return;
    }
    let all = || {
        let partitions = topics.iter().flat_map(|topic| topic.partitions());
        partitions.map(|partition| partition.take_mark().0).collect()
    };
    let written = checkpoints.write(&marks, all);
    drop(checkpoints);
    if let Err(error) = written {
        // The next round tries again; until then a restart takes longer.
        shared.gauges.sealed.store(true, Ordering::Relaxed);
        tracing::error!(%error, "checkpoint of the queue failed");
        return;
    }
    for (partition, next, unchecked) in marked {
        partition.covered(next, unchecked);
    }
}

/// Seals segments so old that retention by whole segments would keep them too long; syncs what was only written.
fn roll(topic: &Topic) {
    let settings = topic.settings();
    for partition in topic.partitions() {
        let retention = settings.retention.unwrap_or(partition.shared.config.retention).as_ns();
        // Busy: there is another second.
        let Some(mut log) = partition.log.try_lock() else { continue };
        if let Err(error) = partition.sync_written(&mut log) {
            tracing::error!(topic = %topic.name(), partition = partition.id(), %error, "sync failed; going on in a new segment");
        }
        let now = partition.shared.clock.now_ns();
        let old = log.active.is_some_and(|active| active.position > 0 && now.saturating_sub(active.first_ns) > retention / 8);
        if old && let Err(error) = partition.seal(&mut log).and_then(|()| partition.begin_segment(&mut log)) {
            tracing::error!(topic = %topic.name(), partition = partition.id(), %error, "could not begin a new segment");
        }
    }
}

/// Deletes what is past retention and no longer wanted.
fn retain(topic: &Topic, holds: &Holds) {
    let settings = topic.settings();
    let partitions = topic.partitions();
    let most = settings.retention_bytes.or_else(|| partitions.first()?.shared.config.retention_bytes);
    let mut over = most.map_or(0, |most| {
        let bytes: u64 = partitions.iter().map(|partition| partition.size_bytes()).sum();
        bytes.saturating_sub(most.0)
    });
    let mut held = 0;
    for partition in &partitions {
        let config = &partition.shared.config;
        let oldest = partition.shared.clock.now_ns().saturating_sub(settings.retention.unwrap_or(config.retention).as_ns());
        let floor = partition.floor(holds);
        while let Some(first) = partition.first_sealed() {
            let is_kept = first.last_ns >= oldest || first.next > partition.kept.load(Ordering::Acquire);
            if !partition.trimmed(&first) && (first.next > floor || (is_kept && over == 0)) {
                break;
            }
            over = over.saturating_sub(partition.drop_first(&first));
        }
        let view = partition.view.read();
        let unwanted: u64 =
            view.sealed.iter().filter(|sealed| sealed.next <= floor.max(partition.log_start())).map(|sealed| sealed.len).sum();
        held += partition.size_bytes().saturating_sub(unwanted);
    }
    for partition in &partitions {
        partition.held.store(held > partition.shared.config.hold_bytes.0, Ordering::Relaxed);
    }
}

/// Makes room if there is too little, and tells those who append whether there is.
fn room(shared: &Shared, topics: &[Arc<Topic>], holds: &Holds) {
    let (config, gauges) = (&shared.config, &shared.gauges);
    let wanted = wanted(config, topics);
    gauges.wanted.store(wanted, Ordering::Relaxed);
    let Look { available, reserve, total } = shared.look();
    let most = config.max_bytes.map_or(u64::MAX, |most| most.0);
    let used = gauges.bytes.load(Ordering::Relaxed);
    let spent = available < reserve / 2 || used > most.saturating_add(most / 8);
    gauges.spent.store(spent, Ordering::Relaxed);
    // For what there was no room is room made, unless it is as large as a good part of the disk.
    let refused = Some(gauges.refused.load(Ordering::Relaxed)).filter(|refused| *refused <= total / 4);
    let refused = refused.unwrap_or(0) * config.copies();
    let kept = reserve.saturating_add(wanted);
    let missing = |more: u64| used.saturating_sub(most).max(kept.saturating_add(more).saturating_sub(available));
    let short = missing(refused);
    // What the store has goes before it must: whoever sends as much as in the last second is not to wait for the next look.
    let grown = gauges.grown.load(Ordering::Relaxed);
    // A quarter of the reserve in any case, below which the store lets rows go.
    let ahead = (grown.saturating_sub(gauges.looked.swap(grown, Ordering::Relaxed)) * 4).clamp(reserve / 4, reserve);
    let mut freed = 0;
    for (even_wanted, missing) in [(false, missing(refused.max(ahead))), (true, short)] {
        while freed < missing && (!even_wanted || config.when_full == WhenFull::DropOldest) {
            let Some((partition, segment)) = oldest(topics, holds, even_wanted) else { break };
            if even_wanted {
                let lost = segment.next.saturating_sub(segment.base.max(partition.floor(holds)));
                gauges.lost_records.fetch_add(lost, Ordering::Relaxed);
                tracing::error!(topic = %partition.topic_name, partition = partition.number, records = lost,
                    "the disk is full: deleted records that nobody had taken yet");
            }
            freed += partition.drop_first(&segment);
        }
    }
    if freed > 0 {
        shared.look();
    }
    // Pushing back begins when it is full, and ends when there is room for what was refused.
    let full = short > freed;
    if !full {
        gauges.refused.store(0, Ordering::Relaxed);
    }
    if gauges.full.swap(full, Ordering::Relaxed) != full {
        if full {
            tracing::error!(used, available, "no room: the queue takes nothing until there is");
        } else {
            tracing::info!("there is room again");
        }
    }
}

/// Room that the store needs before segments can go: of each partition about one segment, for lanes take them by turns, and what the
/// store makes of records may be as large. None where segments go even so.
fn wanted(config: &Config, topics: &[Arc<Topic>]) -> u64 {
    if config.when_full == WhenFull::DropOldest {
        return 0;
    }
    let stored = topics.iter().flat_map(|topic| topic.partitions()).filter(|partition| partition.is_stored());
    stored.map(|partition| partition.backlog(partition.committed(), false).bytes.min(config.segment_bytes.0)).sum()
}

/// The partition with the oldest segment that may go.
fn oldest(topics: &[Arc<Topic>], holds: &Holds, even_wanted: bool) -> Option<(Arc<Partition>, Sealed)> {
    let mut oldest: Option<(Arc<Partition>, Sealed)> = None;
    for partition in topics.iter().flat_map(|topic| topic.partitions()) {
        let Some(first) = partition.first_sealed() else { continue };
        let may = even_wanted || first.next <= partition.floor(holds);
        let older = oldest.as_ref().is_none_or(|(_, known)| first.last_ns < known.last_ns);
        if may && older {
            oldest = Some((partition, first));
        }
    }
    oldest
}
