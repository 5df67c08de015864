//! Caps that hold for the whole box, each with its reason. A house's own caps stand in that house.

/// Largest payload of one record, bytes. Kafka's brokers refuse more than about this by default.
pub const RECORD_BYTES: usize = 1024 * 1024;
/// Largest record batch, bytes, compressed or not: what one append may cost in memory.
pub const BATCH_BYTES: usize = 16 * 1024 * 1024;
/// Most headers of one record: shippers send a dozen.
pub const HEADERS: usize = 256;
/// Most fields of one row. Past it the rest is left out and the row is tagged.
pub const FIELDS: usize = 1024;
/// Longest field name, bytes.
pub const FIELD_NAME_BYTES: usize = 256;
/// Longest topic name, as in Kafka.
pub const TOPIC_NAME_BYTES: usize = 249;
/// Most records of one call into a guest; calls are cut from the log alone.
pub const CALL_RECORDS: usize = 1024;

/// Whether a topic may have this name: Kafka's rule. Names that begin with `_` are the box's own.
pub fn is_topic_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= TOPIC_NAME_BYTES
        && name != "."
        && name != ".."
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}
