//! What of the queue can be configured, with its defaults.

use serde::{Deserialize, Serialize};

use crate::base::units::{Bytes, Span};

/// When an append counts as done.
#[derive(Deserialize, Serialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// After fdatasync: it survives a power failure.
    #[default]
    Fsync,
    /// After write: it survives a crash of the process, not of the machine. For those who ask for it.
    Written,
}

/// What happens when there is no room.
#[derive(Deserialize, Serialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// Receivers stop reading, HTTP answers 429; nothing is lost.
    #[default]
    PushBack,
    /// The oldest segments go, even what no lane has handled yet. The loss is counted.
    DropOldest,
}

/// Smaller ones would be more files than records.
const LEAST_SEGMENT: Bytes = Bytes(64 << 10);

/// The queue's part of the configuration.
#[derive(Deserialize, Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long records are kept.
    pub retention: Span,
    /// How many bytes a topic keeps, if limited.
    pub retention_bytes: Option<Bytes>,
    /// How many bytes the whole queue may take, if limited: what is stored yields first, then the door pushes back.
    pub max_bytes: Option<Bytes>,
    /// How many bytes one topic may hold that nobody has taken yet; past it that topic alone pushes back.
    pub hold_bytes: Bytes,
    /// Free disk space that the queue leaves to the store and the machine (at most a twentieth of the disk).
    pub disk_reserve: Bytes,
    /// What happens when there is no room.
    pub when_full: WhenFull,
    /// When an append counts as done, unless the topic says otherwise.
    pub durability: Durability,
    /// Partitions of a topic that nobody configured.
    pub partitions: u32,
    /// Most topics; a sender that makes up names must not fill the disk with directories.
    pub max_topics: usize,
    /// Size at which a segment is sealed; at most a 64th of the disk ([`Config::segment_bytes_on`]).
    pub segment_bytes: Bytes,
    /// Writer threads of the whole box: how many files are synced at the same time.
    pub writers: usize,
    /// Bytes of appends that wait for the disk, in the whole box.
    pub pending_bytes: Bytes,
    /// Most segment files held open at a time.
    pub open_files: usize,
    /// Consumer groups.
    pub groups: super::coordinator::Config,
}

impl Default for Config {
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        Self {
            retention: Span(std::time::Duration::from_secs(24 * 3600)),
            retention_bytes: None,
            max_bytes: None,
            hold_bytes: Bytes(8 * 1024 * MIB),
            disk_reserve: Bytes(512 * MIB),
            when_full: WhenFull::PushBack,
            durability: Durability::Fsync,
            partitions: 1,
            max_topics: 10_000,
            segment_bytes: Bytes(64 * MIB),
            writers: 8,
            pending_bytes: Bytes(64 * MIB),
            open_files: 512,
            groups: super::coordinator::Config::default(),
        }
    }
}

impl Config {
    /// The size at which a segment is sealed on a disk of so many bytes: segments go whole, so where these are a good part of the
    /// disk, nothing goes until much of it is in the store.
    pub fn segment_bytes_on(&self, total: u64) -> Bytes {
        self.segment_bytes.min(Bytes(total / 64).max(LEAST_SEGMENT))
    }

    /// How often what is appended needs its room: here and, before it may go from here, in the store. Once where it goes even so.
    pub(super) const fn copies(&self) -> u64 {
        match self.when_full {
            WhenFull::PushBack => 2,
            WhenFull::DropOldest => 1,
        }
    }

    /// Values that parse but make no sense.
    ///
    /// # Errors
    /// A sentence that names the key and what to write instead.
    pub fn check(&self) -> Result<(), String> {
        let whole = |name: &str, value: usize, low: usize, high: usize| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(format!("{name} must be from {low} to {high}, not {value}"))
            }
        };
        let bytes = |name: &str, value: Bytes, low: Bytes, high: Bytes| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(format!("{name} must be from {low} to {high}, not {value}"))
            }
        };
        whole("writers", self.writers, 1, 64)?;
        whole("open_files", self.open_files, 8, 1 << 20)?;
        whole("max_topics", self.max_topics, 1, 1_000_000)?;
        whole("partitions", self.partitions as usize, 1, super::settings::PARTITIONS as usize)?;
        bytes("segment_bytes", self.segment_bytes, LEAST_SEGMENT, Bytes(1 << 30))?;
        bytes("pending_bytes", self.pending_bytes, Bytes(16 << 20), Bytes(1 << 30))?;
        self.groups.check()?;
        if self.retention.0.is_zero() {
            return Err("retention must not be zero; write it like \"24h\"".into());
        }
        if let Some(max) = self.max_bytes
            && max < Bytes(self.segment_bytes.0.saturating_mul(2))
        {
            return Err(format!("max_bytes ({max}) must be at least twice segment_bytes ({})", self.segment_bytes));
        }
        Ok(())
    }
}
