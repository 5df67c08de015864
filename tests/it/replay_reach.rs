//! What the model of replays says of records that the queue has no longer.

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use sawbox::relay::{Progress, Range};

use crate::lineage_model::visible;
use crate::replay_world::World;

impl World {
    /// Whether no row is left of what a range did not make.
    pub fn rowless(&self, part: &Progress) -> bool {
        let is_unread = |offset| part.unread.iter().any(|(first, end)| (*first..*end).contains(&offset));
        let rows = visible(&self.life().store).unwrap_or_default();
        !rows
            .keys()
            .any(|(topic, partition, offset)| topic == "web" && *partition == part.range.partition && is_unread(*offset))
    }

    /// A replay of everything reaches the rows of what the queue has no longer where these kept their records, and only there.
    pub fn check_reach(&self, ranges: &[Range], mark: char) -> Result<(), TestCaseError> {
        let reaches = self.keeps && !self.joins;
        for ((topic, partition, offset), _) in visible(&self.life().store)? {
            let start = self.web().partition(partition).map_or(0, |partition| partition.log_start());
            if topic != "web" || offset >= start {
                continue;
            }
            let is_in = ranges.iter().any(|one| one.partition == partition && (one.first..one.end).contains(&offset));
            // What the same chain made already is left alone where nothing else lies behind it.
            let is_same = self.at(partition, offset).1 == mark;
            prop_assert!(is_in == reaches || (reaches && is_same), "{}@{} of {:?}, from {}", partition, offset, ranges, start);
        }
        Ok(())
    }
}
