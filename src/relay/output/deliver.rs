//! The thread of an output: from its topic to its receiver.
//!
//! Invariant: the group's committed offset passes a record only when the receiver took it, or refused it for good and it lies
//! durably in `_dead._out.<name>`.
//! Limits: one read (1 MiB of batches) and one request are in memory.
//! Crash story: starts at the committed offset and sends again what was under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::base::clock::Clock;
use crate::base::ids::{Offset, Origin};
use crate::base::record::{RecordView, Records, header};
use crate::queue::batch::{self, BatchBuilder, Compression, Scratch};
use crate::queue::{Partition, Queue, QueueError, Source, Topic};
use crate::relay::RelayError;
use crate::relay::output::row::origin_text;
use crate::relay::output::{Item, SendError, Sender};
use crate::relay::status::OutputStatus;

/// Prefix of outputs' topics and groups.
pub(crate) const GROUP_PREFIX: &str = "_out.";
const READ_BYTES: usize = 1024 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Shown {
    failing: Option<String>,
    last_error: Option<String>,
}

/// One output's topic, cursor and counters.
pub(crate) struct Delivery {
    name: String,
    kind: &'static str,
    group: String,
    queue: Arc<Queue>,
    clock: Arc<dyn Clock>,
    topic: Arc<Topic>,
    partition: Arc<Partition>,
    next: AtomicU64,
    sent: AtomicU64,
    failed: AtomicU64,
    shown: Mutex<Shown>,
    stop: AtomicBool,
    // Whether something may be there to read; waited for with the condition.
    news: Mutex<bool>,
    changed: Condvar,
}

impl Delivery {
    /// The output `name` over its topic.
    pub(crate) fn new(
        name: &str,
        kind: &'static str,
        queue: &Arc<Queue>,
        clock: &Arc<dyn Clock>,
        topic: Arc<Topic>,
    ) -> Result<Self, RelayError> {
        let partition = topic.partition(0).ok_or_else(|| RelayError::NoTopic(topic.name().to_string()))?;
        let group = format!("{GROUP_PREFIX}{name}");
        let next = match queue.groups().committed(&group, topic.id(), 0) {
            Some(next) => next,
            None => {
                // Committing the beginning is what makes the queue hold records from the first one on.
                let start = partition.log_start();
                queue.groups().commit(&group, topic.id(), 0, start)?;
                start
            }
        };
        Ok(Self {
            name: name.to_owned(),
            kind,
            group,
            queue: queue.clone(),
            clock: clock.clone(),
            topic,
            partition,
            next: AtomicU64::new(next),
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            shown: Mutex::default(),
            stop: AtomicBool::new(false),
            news: Mutex::new(true),
            changed: Condvar::new(),
        })
    }

    /// The topic that it consumes.
    pub(crate) fn topic(&self) -> &Arc<Topic> {
        &self.topic
    }

    /// Says that there may be something to read.
    pub(crate) fn notify(&self) {
        *self.news.lock() = true;
        self.changed.notify_one();
    }

    /// Ends [`Delivery::run`] soon; a request under way is finished or times out.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.notify();
    }

    /// How many records wait for it.
    pub(crate) fn lag(&self) -> u64 {
        self.partition.high_watermark().saturating_sub(self.next.load(Ordering::Relaxed))
    }

    /// What people see of it.
    pub(crate) fn status(&self) -> OutputStatus {
        let shown = self.shown.lock();
        OutputStatus {
            name: self.name.clone(),
            kind: self.kind,
            lag_records: self.lag(),
            sent: self.sent.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            state: if shown.failing.is_some() { "failing" } else { "running" },
            last_error: shown.last_error.clone(),
        }
    }

    /// Delivers until [`Delivery::stop`].
    pub(crate) fn run(&self, mut sender: Box<dyn Sender>) {
        let mut pause = FIRST_PAUSE;
        while !self.stop.load(Ordering::SeqCst) {
            *self.news.lock() = false;
            match self.step(sender.as_mut()) {
                Ok(0) => {
                    self.wait(None);
                    continue;
                }
                Ok(_) => {
                    pause = FIRST_PAUSE;
                    if self.shown.lock().failing.take().is_some() {
                        tracing::info!(output = self.name, "output works again");
                    }
                }
                Err((reason, after)) => {
                    let first = {
                        let mut shown = self.shown.lock();
                        shown.last_error = Some(reason.clone());
                        shown.failing.replace(reason.clone()).is_none()
                    };
                    if first {
                        tracing::warn!(output = self.name, reason, "output fails; its rows wait in the queue");
                    }
                    self.wait(Some(after.unwrap_or(pause)));
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Waits for news, or (with a pause) for its end; for the stop always.
    fn wait(&self, pause: Option<Duration>) {
        let mut news = self.news.lock();
        match pause {
            None => {
                // Asked too: a stop may come between the last look at it and taking the old news away.
                while !*news && !self.stop.load(Ordering::SeqCst) {
                    self.changed.wait(&mut news);
                }
            }
            Some(pause) => {
                let end = self.clock.monotonic() + pause;
                while !self.stop.load(Ordering::SeqCst) {
                    let left = end.saturating_sub(self.clock.monotonic());
                    if left.is_zero() {
                        break;
                    }
                    self.changed.wait_for(&mut news, left);
                }
            }
        }
    }

    /// Sends what one read gives; how many records that was.
    fn step(&self, sender: &mut dyn Sender) -> Result<usize, (String, Option<Duration>)> {
        let local = |e: QueueError| (e.to_string(), None);
        let mut next = self.next.load(Ordering::Relaxed).max(self.partition.log_start());
        let mut done = 0;
        let mut scratch = Scratch::new();
        let (start, end) = (self.partition.log_start(), self.partition.high_watermark());
        let batches = self.partition.read(next, READ_BYTES).map_err(local)?;
        if batches.is_empty() && next < end && self.partition.log_start() == start {
            // The queue has said what is damaged. Behind the cursor it would hold the topic's bytes for ever.
            self.failed.fetch_add(end - next, Ordering::Relaxed);
            self.commit(end).map_err(local)?;
            return Ok(1);
        }
        for stored in batches {
            match batch::decode(&stored, &mut scratch) {
                Ok(records) => {
                    let from = records.records.partition_point(|record| record.offset < next);
                    for some in records.records[from..].chunks(sender.batch().max(1)) {
                        if self.stop.load(Ordering::SeqCst) {
                            return Ok(done);
                        }
                        self.send(sender, &records, some)?;
                        next = some.last().map_or(next, |record| record.offset + 1);
                        self.commit(next).map_err(local)?;
                        done += some.len();
                    }
                }
                Err(error) => {
                    let lost = stored.next_offset.saturating_sub(next);
                    self.failed.fetch_add(lost, Ordering::Relaxed);
                    tracing::error!(output = self.name, offset = stored.base_offset, lost, %error, "damaged batch left out");
                    done += 1;
                }
            }
            if next < stored.next_offset {
                next = stored.next_offset;
                self.commit(next).map_err(local)?;
                done += 1;
            }
        }
        Ok(done)
    }

    fn commit(&self, next: Offset) -> Result<(), QueueError> {
        self.queue.groups().commit(&self.group, self.topic.id(), 0, next)?;
        self.next.store(next, Ordering::Relaxed);
        Ok(())
    }

    fn send(
        &self,
        sender: &mut dyn Sender,
        records: &Records<'_>,
        some: &[RecordView<'_>],
    ) -> Result<(), (String, Option<Duration>)> {
        let items: Vec<Item<'_>> =
            some.iter().map(|record| Item { arrival_ns: record.arrival_ns, json: record.payload }).collect();
        let refused = match sender.send(&items, self.clock.now_ns()) {
            Ok(refused) => refused,
            Err(SendError::Later { reason, after }) => return Err((reason, after)),
        };
        if let Some(first) = refused.first() {
            tracing::warn!(output = self.name, rows = refused.len(), reason = first.reason, "rows refused for good");
            self.shown.lock().last_error = Some(first.reason.clone());
            let dead: Vec<(&RecordView<'_>, &str)> =
                refused.iter().filter_map(|no| Some((some.get(no.index)?, no.reason.as_str()))).collect();
            self.bury(records, &dead).map_err(|e| (e.to_string(), None))?;
        }
        let failed = refused.len() as u64;
        self.failed.fetch_add(failed, Ordering::Relaxed);
        self.sent.fetch_add(some.len() as u64 - failed, Ordering::Relaxed);
        Ok(())
    }

    /// Puts refused rows into `_dead._out.<name>`, each once whatever crashes: as emissions of the output's topic.
    fn bury(&self, records: &Records<'_>, dead: &[(&RecordView<'_>, &str)]) -> Result<(), RelayError> {
        let topic = self.queue.ensure_topic(&format!("_dead.{}", self.topic.name()))?;
        let target = topic.partition(0).ok_or_else(|| RelayError::NoTopic(topic.name().to_string()))?;
        let source = Source { topic: self.topic.id(), partition: 0, run: 0 };
        let mut batch = BatchBuilder::new();
        let mut last = None;
        let mut ordered: Vec<_> = dead.to_vec();
        ordered.sort_by_key(|(record, _)| record.offset);
        for (record, reason) in ordered {
            if target.emitted_upto(source).is_some_and(|upto| record.offset <= upto) {
                continue;
            }
            let origin = origin_text(&Origin { topic: self.topic.id(), partition: 0, offset: record.offset, n: 0 });
            let mut headers: Vec<(&[u8], &[u8])> = records
                .headers_of(record)
                .iter()
                .copied()
                .filter(|(name, _)| *name != header::ORIGIN.as_bytes() && *name != header::REASON.as_bytes())
                .collect();
            headers.push((header::REASON.as_bytes(), reason.as_bytes()));
            headers.push((header::ORIGIN.as_bytes(), origin.as_bytes()));
            batch.push(record.arrival_ns.div_euclid(1_000_000), record.key, record.payload, &headers)?;
            last = Some(record.offset);
        }
        if let Some(last) = last {
            target.append_emissions(source, last, batch.finish(Compression::Lz4)).wait()?;
        }
        Ok(())
    }
}
