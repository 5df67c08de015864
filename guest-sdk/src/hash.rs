//! Shares of records that are always the same ones: a hash of what a record is, never of chance.

use crate::record::Record;

/// A share of all hashes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(f64);

impl Share {
    /// From 0 to 1.
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    /// Whether a hash is of it.
    pub fn has(self, hash: u64) -> bool {
        // 53 bits make every f64 below one.
        #[allow(clippy::cast_precision_loss)]
        let place = (hash >> 11) as f64 / (1_u64 << 53) as f64;
        place < self.0
    }
}

/// A hash of some bytes.
pub fn of_bytes(seed: u64, bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ seed;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    mixed(hash)
}

/// A hash of where a record stands and when it arrived.
pub fn of_origin(seed: u64, record: &Record<'_>) -> u64 {
    mixed(mixed(record.offset() ^ seed) ^ record.arrival_ns().cast_unsigned())
}

/// Every bit of the outcome depends on every bit given (the end of SplitMix64).
fn mixed(mut hash: u64) -> u64 {
    hash = hash.wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}
