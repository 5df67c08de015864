//! What the box calls itself as a cluster: sixteen bytes, drawn once and kept for ever in the data directory.
//!
//! Clients that find another cluster behind the address they know forget what they knew of topics and offsets; so it must neither
//! change with a restart nor be the same for two boxes.
//! On disk: `queue/CLUSTER`, a journal (see `base/journal.rs`) of one entry, the bytes.
//! Crash story: without the entry another id is drawn. A disk that does not take it costs the id with the next start.

use std::path::Path;

use uuid::Uuid;

use super::Queue;
use crate::base::journal::Journal;

const FILE: &str = "queue/CLUSTER";

impl Queue {
    /// The cluster's id. Waits for the disk: ask once.
    pub fn cluster_id(&self) -> [u8; 16] {
        let fresh = *Uuid::new_v4().as_bytes();
        match Journal::open(self.shared.disk.clone(), Path::new(FILE)) {
            Ok((mut journal, entries, _)) => {
                if let Some(known) = entries.iter().rev().find_map(|entry| <[u8; 16]>::try_from(entry.as_slice()).ok()) {
                    return known;
                }
                if let Err(error) = journal.append(&fresh) {
                    tracing::warn!(%error, file = FILE, "cannot keep the cluster's id; the next start draws another");
                }
            }
            Err(error) => tracing::warn!(%error, file = FILE, "cannot read the cluster's id"),
        }
        fresh
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use crate::base::clock::SimClock;
    use crate::base::disk::sim::SimDisk;
    use crate::queue::{Config, Queue};

    #[test]
    fn an_id_is_kept_and_no_two_boxes_share_one() {
        let id = |disk: &Arc<SimDisk>| {
            let (queue, _) = Queue::open(disk.clone(), Arc::new(SimClock::at(1)), Config::default()).unwrap();
            queue.cluster_id()
        };
        let (one, other) = (SimDisk::new(1), SimDisk::new(2));
        assert_eq!(id(&one), id(&one));
        assert_ne!(id(&one), id(&other));
    }
}
