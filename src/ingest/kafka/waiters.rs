//! Who waits for new records of a partition, and who holds answers in memory.
//!
//! One hook of the queue wakes those who wait for the partition that moved: nobody polls. A waiter is woken once and looks for
//! itself; one that came too late to be woken has not looked yet (it registers before it looks), so no wake-up is lost.
//! Limits: one entry per partition and waiting fetch, gone with the fetch.
//!
//! Answers with records share a budget: the more fetches hold one, the less each may hold. A slow reader therefore makes others'
//! answers smaller, never late.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::base::ids::{PartitionId, TopicId};
use crate::queue::Partition;

type Place = (TopicId, PartitionId);

/// Fetches that wait.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    places: Mutex<HashMap<Place, Vec<Arc<Notify>>>>,
    count: AtomicUsize,
}

impl Waiters {
    /// Wakes who waits for this partition.
    pub(super) fn wake(&self, partition: &Partition) {
        // What moved is seen by who is not counted here: this fence and that of `register` are in some order.
        fence(Ordering::SeqCst);
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        if let Some(waiting) = self.places.lock().get(&(partition.topic_id(), partition.id())) {
            for one in waiting {
                one.notify_one();
            }
        }
    }

    /// Registers with these partitions, until the guard is dropped.
    pub(super) fn register(self: &Arc<Self>, partitions: impl Iterator<Item = Place>) -> Waiting {
        let (own, notify) = (self.clone(), Arc::new(Notify::new()));
        let places: Vec<Place> = partitions.collect();
        self.count.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let mut all = self.places.lock();
        for place in &places {
            all.entry(*place).or_default().push(notify.clone());
        }
        drop(all);
        Waiting { own, places, notify }
    }
}

/// One that waits.
pub(super) struct Waiting {
    own: Arc<Waiters>,
    places: Vec<Place>,
    notify: Arc<Notify>,
}

impl Waiting {
    /// Comes back when a partition moved since the last time.
    pub(super) async fn moved(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut all = self.own.places.lock();
        for place in &self.places {
            if let Some(waiting) = all.get_mut(place) {
                waiting.retain(|one| !Arc::ptr_eq(one, &self.notify));
                if waiting.is_empty() {
                    all.remove(place);
                }
            }
        }
        drop(all);
        self.own.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The budget for answers with records.
#[derive(Debug)]
pub(super) struct Answers {
    held: AtomicUsize,
    budget: usize,
}

/// An answer may be this large whatever others hold,
const LEAST: usize = 64 * 1024;
/// and no larger than this when nobody holds any.
const MOST: usize = 8 * 1024 * 1024;

impl Answers {
    /// So many bytes in all.
    pub(super) fn new(budget: usize) -> Arc<Self> {
        Arc::new(Self { held: AtomicUsize::new(0), budget })
    }

    /// A share of the budget, and how many bytes it is.
    pub(super) fn share(self: &Arc<Self>) -> (Share, usize) {
        let held = self.held.fetch_add(1, Ordering::Relaxed) + 1;
        (Share(self.clone()), (self.budget / held).clamp(LEAST, MOST))
    }
}

/// Held as long as the answer.
pub(super) struct Share(Arc<Answers>);

impl Drop for Share {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}
