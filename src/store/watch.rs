//! Rows as they are added, for those who follow live.
//!
//! A watcher is called by the lane that adds the rows, after they can be searched and before the next are handled, so it must be
//! quick and must never block: hand over what is wanted, drop the rest. While nobody watches it costs one load per call.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

use crate::base::ids::{Generation, PartitionId};
use crate::base::row::Rows;

/// Rows that were just added.
#[derive(Clone, Copy, Debug)]
pub struct Added<'a> {
    /// Name of their topic.
    pub topic: &'a str,
    /// Their partition.
    pub partition: PartitionId,
    /// The generation that made them.
    pub generation: Generation,
    /// The rows.
    pub rows: &'a Rows<'a>,
}

type Watcher = Arc<dyn Fn(&Added<'_>) + Send + Sync>;

/// Those who follow.
#[derive(Default)]
pub struct Watchers {
    number: AtomicUsize,
    list: RwLock<Vec<(usize, Watcher)>>,
    watching: AtomicUsize,
}

impl fmt::Debug for Watchers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchers").field("watching", &self.watching).finish_non_exhaustive()
    }
}

/// Watches until it is dropped.
#[derive(Debug)]
pub struct Watch {
    watchers: Arc<Watchers>,
    number: usize,
}

impl Watchers {
    /// Calls `watcher` with all rows that are added from now on.
    pub fn watch(self: &Arc<Self>, watcher: impl Fn(&Added<'_>) + Send + Sync + 'static) -> Watch {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let mut list = self.list.write();
        list.push((number, Arc::new(watcher)));
        self.watching.store(list.len(), Ordering::Release);
        Watch { watchers: self.clone(), number }
    }

    /// Tells them.
    pub fn tell(&self, added: &Added<'_>) {
        if self.watching.load(Ordering::Acquire) == 0 || added.rows.heads.is_empty() {
            return;
        }
        // Called outside the lock, so that one may stop watching meanwhile.
        let watchers: Vec<Watcher> = self.list.read().iter().map(|(_, watcher)| watcher.clone()).collect();
        for watcher in watchers {
            watcher(added);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut list = self.watchers.list.write();
        list.retain(|(number, _)| *number != self.number);
        self.watchers.watching.store(list.len(), Ordering::Release);
    }
}
