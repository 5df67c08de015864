//! What may be set for one topic, under our names and under Kafka's.
//!
//! Purpose: one table for the file, the API, the command line and Kafka's configuration requests, so that a setting means the
//! same wherever it is set. Values come as text: `retention = "7d"` is `retention.ms = 604800000`.
//! Invariants: what [`TopicSettings::set`] took is sound; a setting that is not set (`None`) follows the queue's configuration.
//! On disk: the JSON of [`TopicSettings`], in `queue/TOPICS` (`catalog.rs`). Keys that were added later have defaults, so that
//! entries of older boxes are read.
//! Limits: a batch is never larger than [`BATCH_BYTES`], whatever is set.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::config::{Config, Durability};
use super::error::QueueError;
use crate::base::limits::BATCH_BYTES;
use crate::base::units::{Bytes, Span};

/// Most partitions of a topic: each is a lane and a file.
pub const PARTITIONS: u32 = 256;
/// What is kept so long is kept for ever: Kafka's `retention.ms = -1`. A hundred years.
pub const FOREVER: Span = Span(Duration::from_secs(36_500 * 86_400));
/// So many bytes are no limit: Kafka's `retention.bytes = -1`.
pub const NO_LIMIT: Bytes = Bytes(u64::MAX);
/// Smallest `max.message.bytes`: a batch of one short record.
const SMALLEST_BATCH: u64 = 1024;

/// How batches from Kafka's clients are compressed before they are kept.
#[derive(Deserialize, Serialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum TopicCompression {
    /// As the producer made them.
    #[default]
    Producer,
    /// Not at all (Kafka calls it `uncompressed`).
    None,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard.
    Zstd,
}

/// Whose lanes go first when there is more to do than time.
#[derive(Deserialize, Serialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Before others.
    High,
    /// As most.
    #[default]
    Medium,
    /// When others leave time, but never not at all.
    Low,
}

/// What may be set for one topic; what is not set follows the queue's configuration.
#[derive(Deserialize, Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct TopicSettings {
    /// How many partitions; they only grow.
    pub partitions: u32,
    /// How long records are kept.
    pub retention: Option<Span>,
    /// How many bytes are kept, over all partitions.
    pub retention_bytes: Option<Bytes>,
    /// When an append counts as done.
    pub durability: Durability,
    /// Largest record batch that Kafka's clients may send (`max.message.bytes`).
    #[serde(default)]
    pub max_record_bytes: Option<Bytes>,
    /// How batches from Kafka's clients are compressed before they are kept.
    #[serde(default)]
    pub compression: TopicCompression,
    /// Whose lanes go first.
    #[serde(default)]
    pub priority: Priority,
    /// Whether a lane takes the records into the store. Without one the topic is a queue and nothing else: only its retention
    /// and the clients decide how long records stay.
    #[serde(default = "yes")]
    pub store: bool,
}

fn yes() -> bool {
    true
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self {
            partitions: 1,
            retention: None,
            retention_bytes: None,
            durability: Durability::Fsync,
            max_record_bytes: None,
            compression: TopicCompression::default(),
            priority: Priority::default(),
            store: true,
        }
    }
}

/// A setting that has a name; the number of partitions is none of them, for it changes by growth alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// `retention`, `retention.ms`.
    Retention,
    /// `retention_bytes`, `retention.bytes`.
    RetentionBytes,
    /// `max_record_bytes`, `max.message.bytes`.
    MaxRecordBytes,
    /// `compression`, `compression.type`.
    Compression,
    /// `durability`, `sawbox.durability`.
    Durability,
    /// `priority`, `sawbox.priority`.
    Priority,
    /// `store`, `sawbox.store`.
    Store,
}

impl Key {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Retention,
        Self::RetentionBytes,
        Self::MaxRecordBytes,
        Self::Compression,
        Self::Durability,
        Self::Priority,
        Self::Store,
    ];

    /// Its name in our files and API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Retention => "retention",
            Self::RetentionBytes => "retention_bytes",
            Self::MaxRecordBytes => "max_record_bytes",
            Self::Compression => "compression",
            Self::Durability => "durability",
            Self::Priority => "priority",
            Self::Store => "store",
        }
    }

    /// Its name among Kafka's clients.
    pub fn kafka_name(self) -> &'static str {
        match self {
            Self::Retention => "retention.ms",
            Self::RetentionBytes => "retention.bytes",
            Self::MaxRecordBytes => "max.message.bytes",
            Self::Compression => "compression.type",
            Self::Durability => "sawbox.durability",
            Self::Priority => "sawbox.priority",
            Self::Store => "sawbox.store",
        }
    }

    /// What it does, in a sentence.
    pub fn about(self) -> &'static str {
        match self {
            Self::Retention => "How long records are kept; -1 is for ever.",
            Self::RetentionBytes => "How many bytes are kept, over all partitions of the topic together; -1 is no limit.",
            Self::MaxRecordBytes => "Largest record batch that a client may send.",
            Self::Compression => "How batches are compressed before they are kept; `producer` leaves them as they came.",
            Self::Durability => "When an append is acknowledged: `fsync` (it survives a power failure) or `written`.",
            Self::Priority => "Whose lanes go first: high, medium or low.",
            Self::Store => "Whether records are taken through the filters into the store.",
        }
    }

    /// The key of this name, ours or Kafka's, and whether it was Kafka's.
    pub fn find(name: &str) -> Option<(Self, bool)> {
        let by = |of: fn(Self) -> &'static str| Self::ALL.into_iter().find(|key| of(*key) == name);
        by(Self::name).map(|key| (key, false)).or_else(|| by(Self::kafka_name).map(|key| (key, true)))
    }
}

impl TopicSettings {
    /// What a topic gets that nobody configured.
    pub fn of(config: &Config) -> Self {
        Self { partitions: config.partitions, durability: config.durability, ..Self::default() }
    }

    /// Largest record batch that a client may send, bytes.
    pub fn largest_batch(&self) -> usize {
        self.max_record_bytes.map_or(BATCH_BYTES, |most| most.as_usize().min(BATCH_BYTES))
    }

    /// Refuses what cannot be.
    ///
    /// # Errors
    /// [`QueueError::Refused`] with a sentence that says why.
    pub fn check(&self) -> Result<(), QueueError> {
        if !(1..=PARTITIONS).contains(&self.partitions) {
            return Err(QueueError::Refused(format!("a topic has 1 to {PARTITIONS} partitions, not {}", self.partitions)));
        }
        if self.retention.is_some_and(|retention| retention.0.is_zero()) {
            return Err(QueueError::Refused("retention must not be zero; write it like \"24h\"".into()));
        }
        if let Some(most) = self.max_record_bytes.filter(|most| !(SMALLEST_BATCH..=BATCH_BYTES as u64).contains(&most.0)) {
            let name = Key::MaxRecordBytes.kafka_name();
            return Err(QueueError::Refused(format!("{name} must be from {SMALLEST_BATCH} to {BATCH_BYTES}, not {}", most.0)));
        }
        Ok(())
    }

    /// Sets one setting by its name, ours or Kafka's; without a value it goes back to what `defaults` have.
    ///
    /// # Errors
    /// [`QueueError::Refused`] with a sentence that says what to write instead.
    pub fn set(&mut self, name: &str, value: Option<&str>, defaults: &Self) -> Result<(), QueueError> {
        let Some((key, kafka)) = Key::find(name) else {
            let known: Vec<&str> = Key::ALL.into_iter().map(Key::name).collect();
            return Err(QueueError::Refused(format!("there is no setting `{name}`; there are {}", known.join(", "))));
        };
        let Some(value) = value else {
            self.take(key, defaults);
            return Ok(());
        };
        let wrong = |why: &str| QueueError::Refused(format!("`{name}` cannot be `{value}`: {why}"));
        let mut next = self.clone();
        match key {
            Key::Retention => next.retention = Some(span(value, kafka).map_err(|why| wrong(&why))?),
            Key::RetentionBytes => next.retention_bytes = Some(bytes(value).map_err(|why| wrong(&why))?),
            Key::MaxRecordBytes => {
                next.max_record_bytes = Some(value.parse().map_err(|_| wrong("write a number of bytes, like 1048576"))?);
            }
            Key::Compression => {
                // Kafka's name for it.
                let word = if value == "uncompressed" { "none" } else { value };
                next.compression = one_of(word).ok_or_else(|| wrong("write producer, none, gzip, snappy, lz4 or zstd"))?;
            }
            Key::Durability => next.durability = one_of(value).ok_or_else(|| wrong("write fsync or written"))?,
            Key::Priority => next.priority = one_of(value).ok_or_else(|| wrong("write high, medium or low"))?,
            Key::Store => next.store = value.parse().map_err(|_| wrong("write true or false"))?,
        }
        next.check().map_err(|error| match error {
            QueueError::Refused(why) => wrong(&why),
            other => other,
        })?;
        *self = next;
        Ok(())
    }

    /// Takes one setting of another topic's.
    pub fn take(&mut self, key: Key, from: &Self) {
        match key {
            Key::Retention => self.retention = from.retention,
            Key::RetentionBytes => self.retention_bytes = from.retention_bytes,
            Key::MaxRecordBytes => self.max_record_bytes = from.max_record_bytes,
            Key::Compression => self.compression = from.compression,
            Key::Durability => self.durability = from.durability,
            Key::Priority => self.priority = from.priority,
            Key::Store => self.store = from.store,
        }
    }

    /// A setting's value as we write it; `None` where it is not set and follows the queue's configuration.
    pub fn get(&self, key: Key) -> Option<String> {
        match key {
            Key::Retention => self.retention.map(|retention| retention.to_string()),
            Key::RetentionBytes => {
                self.retention_bytes.map(|most| if most == NO_LIMIT { "-1".to_owned() } else { most.to_string() })
            }
            Key::MaxRecordBytes => self.max_record_bytes.map(|most| most.to_string()),
            Key::Compression => Some(word(&self.compression)),
            Key::Durability => Some(word(&self.durability)),
            Key::Priority => Some(word(&self.priority)),
            Key::Store => Some(self.store.to_string()),
        }
    }

    /// A setting's value in force, as we write it.
    pub fn in_force(&self, key: Key, config: &Config) -> String {
        let of_config = || match key {
            Key::Retention => config.retention.to_string(),
            Key::RetentionBytes => config.retention_bytes.map_or_else(|| "-1".to_owned(), |most| most.to_string()),
            _ => Bytes(self.largest_batch() as u64).to_string(),
        };
        self.get(key).unwrap_or_else(of_config)
    }

    /// A setting's value in force, as Kafka's clients want it.
    pub fn kafka_value(&self, key: Key, config: &Config) -> String {
        match key {
            Key::Retention => {
                let retention = self.retention.unwrap_or(config.retention);
                if retention >= FOREVER { "-1".to_owned() } else { retention.0.as_millis().to_string() }
            }
            Key::RetentionBytes => {
                let most = self.retention_bytes.or(config.retention_bytes).filter(|most| *most != NO_LIMIT);
                most.map_or_else(|| "-1".to_owned(), |most| most.0.to_string())
            }
            Key::MaxRecordBytes => self.largest_batch().to_string(),
            Key::Compression if self.compression == TopicCompression::None => "uncompressed".to_owned(),
            Key::Compression | Key::Durability | Key::Priority | Key::Store => self.get(key).unwrap_or_default(),
        }
    }
}

fn span(value: &str, milliseconds: bool) -> Result<Span, String> {
    if value == "-1" {
        return Ok(FOREVER);
    }
    if milliseconds {
        let ms = value.parse().map_err(|_| "write milliseconds, or -1 for ever".to_owned())?;
        return Ok(Span(Duration::from_millis(ms)).min(FOREVER));
    }
    value.parse::<Span>().map(|span| span.min(FOREVER))
}

fn bytes(value: &str) -> Result<Bytes, String> {
    if value == "-1" { Ok(NO_LIMIT) } else { value.parse() }
}

/// The variant of this name, as serde knows it.
fn one_of<T: for<'de> Deserialize<'de>>(word: &str) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(word.to_owned())).ok()
}

fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_means_the_same_under_both_names() {
        let (defaults, config) = (TopicSettings::default(), Config::default());
        for (ours, theirs, shown) in [
            (("retention", "7d"), ("retention.ms", "604800000"), "604800000"),
            (("retention", "-1"), ("retention.ms", "-1"), "-1"),
            (("retention_bytes", "2KiB"), ("retention.bytes", "2048"), "2048"),
            (("retention_bytes", "-1"), ("retention.bytes", "-1"), "-1"),
            (("max_record_bytes", "1MiB"), ("max.message.bytes", "1048576"), "1048576"),
            (("compression", "none"), ("compression.type", "uncompressed"), "uncompressed"),
            (("compression", "zstd"), ("compression.type", "zstd"), "zstd"),
            (("durability", "written"), ("sawbox.durability", "written"), "written"),
            (("priority", "low"), ("sawbox.priority", "low"), "low"),
            (("store", "false"), ("sawbox.store", "false"), "false"),
        ] {
            let (mut a, mut b) = (defaults.clone(), defaults.clone());
            a.set(ours.0, Some(ours.1), &defaults).unwrap();
            b.set(theirs.0, Some(theirs.1), &defaults).unwrap();
            assert_eq!(a, b, "{ours:?} {theirs:?}");
            assert_ne!(a, defaults, "{ours:?}");
            let (key, _) = Key::find(ours.0).unwrap();
            assert_eq!(a.kafka_value(key, &config), shown, "{ours:?}");
            // What is shown can be set again.
            let again = a.get(key).unwrap();
            b.set(ours.0, Some(&again), &defaults).unwrap();
            assert_eq!(a, b, "{again}");
            // What was stored is read again.
            let json = serde_json::to_vec(&a).unwrap();
            assert_eq!(serde_json::from_slice::<TopicSettings>(&json).unwrap(), a);
            a.set(theirs.0, None, &defaults).unwrap();
            assert_eq!(a, defaults, "without a value it is the default again");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_and_nothing_changes() {
        let defaults = TopicSettings::default();
        for (name, value, why) in [
            ("colour", "red", "there is no setting"),
            ("retention", "soon", "span of time"),
            ("retention", "0s", "zero"),
            ("retention.ms", "7d", "milliseconds"),
            ("retention.ms", "-2", "milliseconds"),
            ("retention_bytes", "much", "size"),
            ("max.message.bytes", "1", "must be from"),
            ("max.message.bytes", "999999999999", "must be from"),
            ("compression.type", "rar", "producer, none"),
            ("durability", "often", "fsync or written"),
            ("priority", "urgent", "high, medium"),
            ("store", "perhaps", "true or false"),
        ] {
            let mut settings = defaults.clone();
            let error = settings.set(name, Some(value), &defaults).unwrap_err().to_string();
            assert!(error.contains(why), "{name}={value}: {error}");
            assert_eq!(settings, defaults);
        }
    }

    #[test]
    fn entries_of_older_boxes_are_read() {
        let old = r#"{"partitions":2,"retention":"7d","retention_bytes":null,"durability":"fsync"}"#;
        let settings: TopicSettings = serde_json::from_str(old).unwrap();
        assert_eq!((settings.partitions, settings.store, settings.largest_batch()), (2, true, BATCH_BYTES));
    }
}
