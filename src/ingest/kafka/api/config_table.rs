//! Topic and broker configurations as Kafka's clients name them: which there are, what they are now, what may be set.
//!
//! Settings of ours (`queue::settings`) may be set; what Kafka's tools ask for besides is shown with the value that holds here and
//! may be "set" to that value only: who wants two replicas must hear that there are none, not be let believe it.

use kafka_protocol::error::ResponseError;

use crate::queue::settings::{Key, TopicSettings};
use crate::queue::{Config, QueueError};

/// Kinds of values, by Kafka's numbers.
const BOOLEAN: i8 = 1;
const STRING: i8 = 2;
const INT: i8 = 3;
const LONG: i8 = 5;
const LIST: i8 = 7;

/// Where a value comes from, by Kafka's numbers.
pub(super) const OF_TOPIC: i8 = 1;
const OF_BROKER: i8 = 4;
const DEFAULT: i8 = 5;

/// One configuration.
pub(super) struct Entry {
    pub name: &'static str,
    pub value: String,
    pub read_only: bool,
    pub source: i8,
    pub kind: i8,
    pub about: &'static str,
    /// What the value would be without its first source: name, value, source.
    pub synonyms: Vec<(&'static str, String, i8)>,
}

/// Why something cannot be set.
pub(super) struct Refusal {
    pub code: i16,
    pub message: String,
}

impl Refusal {
    /// A refusal with a sentence.
    pub(super) fn new(error: ResponseError, message: impl Into<String>) -> Self {
        Self { code: error.code(), message: message.into() }
    }
}

/// What is the same for every topic here: name, value, kind, why.
const FIXED: [(&str, &str, i8, &str); 6] = [
    ("cleanup.policy", "delete", LIST, "Old records are deleted; topics are not compacted."),
    ("min.insync.replicas", "1", INT, "There is one node; every acknowledged record is synced to its disk."),
    ("message.timestamp.type", "CreateTime", STRING, "Records keep the time that their producers gave them."),
    ("unclean.leader.election.enable", "false", BOOLEAN, "There is one node, which is the leader."),
    ("preallocate", "true", BOOLEAN, "Segments are filled with zeros ahead of what is written."),
    ("remote.storage.enable", "false", BOOLEAN, "Everything lies on this box."),
];

/// The name that a broker's configuration has for a topic's.
fn broker_name(key: Key) -> Option<&'static str> {
    Some(match key {
        Key::Retention => "log.retention.ms",
        Key::RetentionBytes => "log.retention.bytes",
        Key::MaxRecordBytes => "message.max.bytes",
        Key::Compression => return None,
        Key::Durability => "sawbox.durability",
        Key::Priority | Key::Store => return None,
    })
}

fn kind(key: Key) -> i8 {
    match key {
        Key::Retention | Key::RetentionBytes => LONG,
        Key::MaxRecordBytes => INT,
        Key::Compression | Key::Durability | Key::Priority => STRING,
        Key::Store => BOOLEAN,
    }
}

/// All configurations of a topic.
pub(super) fn of_topic(settings: &TopicSettings, config: &Config) -> Vec<Entry> {
    let defaults = TopicSettings::of(config);
    let mut entries: Vec<Entry> = Key::ALL
        .into_iter()
        .map(|key| {
            let own = settings.get(key) != defaults.get(key);
            let below = (broker_name(key).unwrap_or(key.kafka_name()), defaults.kafka_value(key, config), DEFAULT);
            let value = settings.kafka_value(key, config);
            let mut synonyms = vec![below];
            if own {
                synonyms.insert(0, (key.kafka_name(), value.clone(), OF_TOPIC));
            }
            let source = if own { OF_TOPIC } else { DEFAULT };
            Entry { name: key.kafka_name(), value, read_only: false, source, kind: kind(key), about: key.about(), synonyms }
        })
        .collect();
    entries.extend(FIXED.iter().map(|(name, value, kind, about)| fixed(name, (*value).to_owned(), *kind, about, DEFAULT)));
    let segment = config.segment_bytes.0.to_string();
    entries.push(fixed("segment.bytes", segment, INT, "Size at which a segment is sealed; `queue.segment_bytes`.", OF_BROKER));
    entries
}

/// All configurations of the node. They are set in its file.
pub(super) fn of_broker(config: &Config, auto_create: bool, listener: String) -> Vec<Entry> {
    let defaults = TopicSettings::of(config);
    let mut entries: Vec<Entry> = Key::ALL
        .into_iter()
        .filter_map(|key| Some(fixed(broker_name(key)?, defaults.kafka_value(key, config), kind(key), key.about(), OF_BROKER)))
        .collect();
    entries.extend([
        fixed("broker.id", super::super::NODE.to_string(), INT, "There is one node.", DEFAULT),
        fixed("advertised.listeners", listener, STRING, "Where clients find this box; `advertise` in its file.", OF_BROKER),
        fixed(
            "auto.create.topics.enable",
            auto_create.to_string(),
            BOOLEAN,
            "Whether topics are made on first use.",
            OF_BROKER,
        ),
        fixed("num.partitions", config.partitions.to_string(), INT, "Partitions of topics made on first use.", OF_BROKER),
        fixed("default.replication.factor", "1".into(), INT, "There is one node.", DEFAULT),
        fixed("min.insync.replicas", "1".into(), INT, "There is one node.", DEFAULT),
        fixed("log.cleanup.policy", "delete".into(), LIST, "Old records are deleted; topics are not compacted.", DEFAULT),
        fixed("log.segment.bytes", config.segment_bytes.0.to_string(), INT, "Size at which a segment is sealed.", OF_BROKER),
        fixed("compression.type", "producer".into(), STRING, "Batches are kept as producers made them.", DEFAULT),
        fixed("delete.topic.enable", "true".into(), BOOLEAN, "Topics can be deleted.", DEFAULT),
    ]);
    entries
}

fn fixed(name: &'static str, value: String, kind: i8, about: &'static str, source: i8) -> Entry {
    let synonyms = vec![(name, value.clone(), source)];
    Entry { name, value, read_only: true, source, kind, about, synonyms }
}

/// Sets one configuration of a topic; without a value it goes back to the default.
pub(super) fn set(settings: &mut TopicSettings, name: &str, value: Option<&str>, config: &Config) -> Result<(), Refusal> {
    let wrong = |message: String| Refusal::new(ResponseError::InvalidConfig, message);
    if Key::ALL.into_iter().any(|key| key.kafka_name() == name) {
        return settings.set(name, value, &TopicSettings::of(config)).map_err(|error| match error {
            QueueError::Refused(why) => wrong(why),
            other => wrong(other.to_string()),
        });
    }
    let known = of_topic(settings, config).into_iter().find(|entry| entry.name == name);
    let Some(entry) = known else {
        return Err(wrong(format!("`{name}` is not known here; DescribeConfigs tells what is")));
    };
    match value {
        None => Ok(()),
        Some(value) if value == entry.value => Ok(()),
        Some(value) => Err(wrong(format!("`{name}` is `{}` here and cannot be `{value}`: {}", entry.value, entry.about))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_may_be_said_again_and_nothing_else_be_believed() {
        let config = Config::default();
        for (name, value, fine) in [
            ("retention.ms", Some("1000"), true),
            ("retention.ms", None, true),
            ("retention.ms", Some("x"), false),
            ("cleanup.policy", Some("delete"), true),
            ("cleanup.policy", Some("compact"), false),
            ("cleanup.policy", Some("compact,delete"), false),
            ("cleanup.policy", None, true),
            ("min.insync.replicas", Some("1"), true),
            ("min.insync.replicas", Some("2"), false),
            ("segment.bytes", Some("1"), false),
            // Ours is not theirs.
            ("retention", Some("7d"), false),
            ("no.such.thing", Some("1"), false),
        ] {
            let mut settings = TopicSettings::default();
            let done = set(&mut settings, name, value, &config);
            assert_eq!(done.is_ok(), fine, "{name}={value:?}");
            if let Err(refusal) = done {
                assert_eq!(refusal.code, ResponseError::InvalidConfig.code());
                assert!(refusal.message.contains(name), "{}", refusal.message);
                assert_eq!(settings, TopicSettings::default());
            }
        }
    }

    #[test]
    fn a_value_says_where_it_comes_from() {
        let config = Config::default();
        let mut settings = TopicSettings::default();
        let of = |settings: &TopicSettings| {
            let entry = of_topic(settings, &config).into_iter().find(|entry| entry.name == "retention.ms").unwrap();
            (entry.value, entry.source, entry.synonyms.len())
        };
        assert_eq!(of(&settings), ("86400000".to_owned(), DEFAULT, 1));
        set(&mut settings, "retention.ms", Some("5000"), &config).ok().unwrap();
        assert_eq!(of(&settings), ("5000".to_owned(), OF_TOPIC, 2));
        assert!(of_broker(&config, true, "h:1".into()).iter().all(|entry| entry.read_only));
    }
}
