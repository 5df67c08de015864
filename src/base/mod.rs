//! What every house stands on: records, rows, ids, limits, the clock, the disk, checksummed journals, the predicate.
//!
//! `base` imports no other house. The disk and the clock are touched through [`disk::Disk`] and [`clock::Clock`] alone,
//! so that a test can put faults under everything above.

pub mod clock;
pub mod dated;
pub mod disk;
pub mod ids;
pub mod journal;
pub mod limits;
pub mod low;
pub mod memory;
pub mod predicate;
pub mod record;
pub mod row;
pub mod time;
pub mod units;
