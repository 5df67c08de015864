//! A record as the houses hand it on: borrowed from the batch it lies in.
//!
//! [`Records`] is one decoded record batch, cut into views. Nothing is copied: payloads, keys and headers are slices of the
//! batch's (decompressed) bytes. Sandbox and relay read it; the queue makes it.

use crate::base::ids::Offset;

/// One record of a batch.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    /// Its place in the partition.
    pub offset: Offset,
    /// When it became the queue's, nanoseconds since 1970. Durable, the same at every reading.
    pub arrival_ns: i64,
    /// The producer's own time, milliseconds since 1970.
    pub timestamp_ms: i64,
    /// The key, if the producer gave one.
    pub key: Option<&'a [u8]>,
    /// The bytes that arrived.
    pub payload: &'a [u8],
    /// Range of this record's headers in [`Records::headers`].
    pub headers: (u32, u32),
}

/// The records of one batch, or a run of them, in offset order.
#[derive(Clone, Debug, Default)]
pub struct Records<'a> {
    /// The records.
    pub records: Vec<RecordView<'a>>,
    /// All their headers (name, value), back to back in the records' order.
    pub headers: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Records<'a> {
    /// The headers of one of these records.
    pub fn headers_of(&self, record: &RecordView<'a>) -> &[(&'a [u8], &'a [u8])] {
        &self.headers[record.headers.0 as usize..record.headers.1 as usize]
    }
}

/// Names of headers that the box itself writes. All begin with `_`, which no shipper's field may.
pub mod header {
    /// Address of the sending host, without port.
    pub const PEER: &str = "_peer";
    /// Which receiver took it: `lumberjack`, `syslog`, `http`, `elastic`, `kafka`.
    pub const RECEIVER: &str = "_receiver";
    /// On emissions: origin of the record that caused it, `<topic id>/<partition>@<offset>#<n>`.
    pub const ORIGIN: &str = "_origin";
    /// On emissions: how many lanes it has come through, decimal.
    pub const HOPS: &str = "_hops";
    /// On dead letters: why no filter could handle it.
    pub const REASON: &str = "_reason";
    /// On dead letters: the filter that failed.
    pub const FILTER: &str = "_filter";
    /// On dead letters and outputs: the generation that handled the record, decimal. Not `_generation`: that is the row's own.
    pub const GENERATION: &str = "_origin_generation";
    /// On dead letters: when the record arrived, nanoseconds since 1970, decimal.
    pub const ARRIVAL: &str = "_origin_arrival";
    /// On dead letters: what its sender took for its time, milliseconds since 1970, decimal.
    pub const TIMESTAMP: &str = "_origin_timestamp";
}
