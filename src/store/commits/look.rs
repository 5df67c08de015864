//! What the commit log's file says, read before anything is changed: by a start, and by who only looks.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use super::{PATH, TopicState, fold, refused};
use crate::base::disk::Disk;
use crate::base::ids::TopicId;
use crate::base::journal;
use crate::store::StoreError;

/// The log's file, and what its entries add up to.
#[derive(Debug)]
pub struct Look {
    /// Whether there is a file.
    pub is_there: bool,
    /// What it has.
    pub journal: journal::Look,
    /// What that adds up to.
    pub topics: BTreeMap<TopicId, TopicState>,
    /// Entries that are whole and make no sense.
    pub unreadable: u64,
}

impl Look {
    /// Looks at it, and changes nothing.
    ///
    /// # Errors
    /// The disk's, and a log that a newer Sawbox wrote. Damage is none.
    pub fn at(disk: &dyn Disk) -> Result<Self, StoreError> {
        let (is_there, journal) = match journal::Look::at(disk, Path::new(PATH)) {
            Ok(journal) => (true, journal),
            Err(error) if error.kind() == ErrorKind::NotFound => (false, journal::Look::default()),
            Err(error) => return Err(refused(error)),
        };
        let (topics, unreadable) = fold(journal.entries.iter().map(|(_, payload)| payload.as_slice()))?;
        Ok(Self { is_there, journal, topics, unreadable })
    }

    /// Whether it says nothing at all. One that is opened for the first time has an entry: nothing may come to be in an empty one.
    pub fn is_empty(&self) -> bool {
        self.journal.entries.is_empty()
    }

    /// Entries that are lost, by their numbers.
    pub fn lost(&self) -> u64 {
        self.journal.entries.windows(2).map(|two| two[1].0 - two[0].0 - 1).sum()
    }

    /// What is to be seen of entries that it had and has no more: places that are damaged, entries without sense, and gaps.
    pub fn marks(&self) -> u64 {
        self.journal.found.damaged + self.unreadable + self.lost()
    }
}
