//! What an administrator may say about topics, lanes and outputs.
//!
//! Everything has a default; what parses but makes no sense is refused by [`Config::check`] before anything starts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::disk::Disk;
use crate::base::limits;
use crate::base::predicate;
use crate::base::row::KeepPayload;
use crate::base::units::{Bytes, Span};
use crate::queue::settings::Key;
use crate::queue::{Durability, Priority, QueueError, TopicCompression, TopicSettings};
pub use crate::relay::codec::registry::RegistryConfig;
use crate::relay::codec::spec::{self, AvroSpec, CodecName, CodecRecord, CodecSpec};
use crate::relay::output::template::Template;
pub use crate::relay::slots::AtOnce;
use crate::sandbox::ChainSpec;

/// The relay's part of the configuration.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Threads that lanes share; 0 is one per core.
    pub workers: usize,
    /// How many lanes an emission may come through before it is a dead letter: what stops a cycle of topics.
    pub hops: u32,
    /// What happens to a topic whose filter keeps failing.
    pub quarantine: Quarantine,
    /// How many explanations and trials may go on at a time.
    pub at_once: AtOnce,
    /// What is kept of records that no filter could handle.
    pub dead_letters: DeadLetters,
    /// Topics with settings or a chain of their own; all others work with defaults.
    pub topics: BTreeMap<String, TopicConfig>,
    /// Where matching rows are also sent.
    pub outputs: Vec<OutputConfig>,
    /// What schema registries want to be asked with; others are asked with the defaults.
    pub schema_registries: Vec<RegistryConfig>,
    /// The folder people drop filters into (`<data>/filters`); the wiring sets it, not the file.
    #[serde(skip)]
    pub filters_dir: Option<PathBuf>,
    /// Where answers of schema registries are kept; the wiring sets it, not the file.
    #[serde(skip)]
    pub disk: Option<Arc<dyn Disk>>,
    /// How long a topic that is to grow waits for the lanes that route to it.
    #[serde(skip)]
    pub growth_wait: Span,
    /// Offsets of a range that one thread of a replay takes at a time.
    #[serde(skip)]
    pub replay_piece: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            workers: 0,
            hops: 8,
            quarantine: Quarantine::default(),
            at_once: AtOnce::default(),
            dead_letters: DeadLetters::default(),
            topics: BTreeMap::new(),
            outputs: Vec::new(),
            schema_registries: Vec::new(),
            filters_dir: None,
            disk: None,
            growth_wait: Span(Duration::from_secs(15)),
            replay_piece: 256 * 1024,
        }
    }
}

/// One topic. What is set here holds again at every start; what is not stays as it was set while the box ran.
#[derive(Deserialize, Serialize, Clone, Debug, Default)]
#[serde(deny_unknown_fields, default)]
pub struct TopicConfig {
    /// How many partitions it is made with, or grows to; without it the queue's default.
    pub partitions: Option<u32>,
    /// How long the queue keeps its records; without it the queue's default.
    pub retention: Option<Span>,
    /// How much the queue keeps of it; without it the queue's default.
    pub retention_bytes: Option<Bytes>,
    /// When an append is acknowledged; without it the queue's default.
    pub durability: Option<Durability>,
    /// Largest record batch of Kafka's clients.
    pub max_record_bytes: Option<Bytes>,
    /// How batches from Kafka's clients are compressed before they are kept.
    pub compression: Option<TopicCompression>,
    /// Whose lanes go first.
    pub priority: Option<Priority>,
    /// Whether a lane takes its records into the store.
    pub store: Option<bool>,
    /// What its records are; without it JSON objects become fields and all else messages.
    pub codec: Option<CodecName>,
    /// Avro's schema, or who knows it.
    pub avro: Option<AvroSpec>,
    /// Whether rows keep the bytes that came; `derived` does not of chains with `redact`.
    pub keep_payload: Option<KeepPayload>,
    /// Its filters, in order; without it as `codec` says.
    pub chain: Option<ChainSpec>,
    /// What to do when its filters fail too often; without it what `relay.quarantine` says.
    pub quarantine: Option<Then>,
}

impl TopicConfig {
    /// Which settings stand in the file, and all settings that a topic made by it gets.
    pub fn explicit(&self, defaults: &TopicSettings) -> (Vec<Key>, TopicSettings) {
        let mut settings = defaults.clone();
        let mut keys = Vec::new();
        settings.partitions = self.partitions.unwrap_or(defaults.partitions);
        if self.retention.is_some() {
            keys.push(Key::Retention);
            settings.retention = self.retention;
        }
        if self.retention_bytes.is_some() {
            keys.push(Key::RetentionBytes);
            settings.retention_bytes = self.retention_bytes;
        }
        if let Some(durability) = self.durability {
            keys.push(Key::Durability);
            settings.durability = durability;
        }
        if self.max_record_bytes.is_some() {
            keys.push(Key::MaxRecordBytes);
            settings.max_record_bytes = self.max_record_bytes;
        }
        if let Some(compression) = self.compression {
            keys.push(Key::Compression);
            settings.compression = compression;
        }
        if let Some(priority) = self.priority {
            keys.push(Key::Priority);
            settings.priority = priority;
        }
        if let Some(store) = self.store {
            keys.push(Key::Store);
            settings.store = store;
        }
        (keys, settings)
    }

    /// What its records are, with the content of its schema's file.
    ///
    /// # Errors
    /// What is wrong, beginning with the key.
    pub fn codec(&self) -> Result<Option<CodecRecord>, String> {
        match (self.codec, &self.avro) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err("avro: is for `codec = \"avro\"`".into()),
            (Some(codec), avro) => CodecSpec { codec, avro: avro.clone() }.resolve().map(Some),
        }
    }
}

/// More than `traps` failures among `of` records in a row of one generation is too many.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(deny_unknown_fields, default)]
pub struct Quarantine {
    /// How many failures are still bearable.
    pub traps: u32,
    /// Among how many records.
    pub of: u32,
    /// What to do beyond.
    pub then: Then,
}

impl Default for Quarantine {
    fn default() -> Self {
        Self { traps: 900, of: 1000, then: Then::DeadLetter }
    }
}

/// The ring of dead letters that each topic has: a bad filter cannot fill the disk.
#[derive(Deserialize, Serialize, Clone, Copy, Debug)]
#[serde(deny_unknown_fields, default)]
pub struct DeadLetters {
    /// Most bytes of them; the oldest go first.
    pub bytes: Bytes,
    /// How long they wait for somebody to look at them.
    pub keep: Span,
}

impl Default for DeadLetters {
    fn default() -> Self {
        Self { bytes: Bytes(256 * 1024 * 1024), keep: Span(Duration::from_secs(14 * 24 * 3600)) }
    }
}

/// What a lane does about a filter that fails too often.
#[derive(Deserialize, Serialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// Go on: every failing record is a dead letter, the count is shown.
    DeadLetter,
    /// Promote the default chain, so that records pass as they are.
    Pass,
    /// Go back to the last generation with another chain; once: if that fails too often as well, go on.
    Previous,
    /// Stop until a person promotes a chain, over restarts too.
    Hold,
}

/// One output.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum OutputConfig {
    /// A Zabbix server or proxy, by the trapper protocol.
    Zabbix(ZabbixConfig),
    /// Anything that takes JSON by HTTP.
    Webhook(WebhookConfig),
}

impl OutputConfig {
    /// Its name; its topic is `_out.<name>`.
    pub fn name(&self) -> &str {
        self.select().name
    }

    /// `zabbix` or `webhook`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Zabbix(_) => "zabbix",
            Self::Webhook(_) => "webhook",
        }
    }

    /// Which rows it wants.
    pub fn select(&self) -> Select<'_> {
        match self {
            Self::Zabbix(c) => {
                Select { name: &c.name, topics: c.topics.as_deref(), when: c.when.as_deref(), hold_bytes: c.hold_bytes }
            }
            Self::Webhook(c) => {
                Select { name: &c.name, topics: c.topics.as_deref(), when: c.when.as_deref(), hold_bytes: c.hold_bytes }
            }
        }
    }
}

/// What all outputs have in common.
#[derive(Clone, Copy, Debug)]
pub struct Select<'a> {
    /// Its name.
    pub name: &'a str,
    /// Only rows of these topics; without it all but the box's own.
    pub topics: Option<&'a [String]>,
    /// Only rows that this predicate keeps.
    pub when: Option<&'a str>,
    /// How much may wait for it.
    pub hold_bytes: Bytes,
}

/// An output of type `zabbix`.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(deny_unknown_fields, default)]
pub struct ZabbixConfig {
    /// Its name.
    pub name: String,
    /// Only rows of these topics; without it all but the box's own.
    pub topics: Option<Vec<String>>,
    /// Only rows that this predicate keeps: `tags:zabbix-sender`.
    pub when: Option<String>,
    /// How much may wait for it before lanes that feed it wait too.
    pub hold_bytes: Bytes,
    /// Server or proxy, `host:port`.
    pub address: String,
    /// Name of the host in Zabbix; `{field}` stands for a field of the row.
    pub host: String,
    /// Key of its trapper item.
    pub key: String,
    /// What is sent.
    pub value: String,
    /// Most items of one request.
    pub batch: usize,
    /// How long to wait for a connection or an answer.
    pub timeout: Span,
}

impl Default for ZabbixConfig {
    fn default() -> Self {
        Self {
            name: "zabbix".into(),
            topics: None,
            when: None,
            hold_bytes: Bytes(1 << 30),
            address: "127.0.0.1:10051".into(),
            host: "{host}".into(),
            key: "sawbox".into(),
            value: "{message}".into(),
            batch: 250,
            timeout: Span(Duration::from_secs(10)),
        }
    }
}

/// How a webhook's body is written.
#[derive(Deserialize, Serialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON array of rows.
    Json,
    /// One row a line.
    Ndjson,
}

/// An output of type `webhook`.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookConfig {
    /// Its name.
    pub name: String,
    /// Only rows of these topics; without it all but the box's own.
    pub topics: Option<Vec<String>>,
    /// Only rows that this predicate keeps.
    pub when: Option<String>,
    /// How much may wait for it before lanes that feed it wait too.
    pub hold_bytes: Bytes,
    /// Where rows are POSTed to.
    pub url: String,
    /// Headers sent along, such as `authorization`.
    pub headers: BTreeMap<String, String>,
    /// How the body is written.
    pub format: Format,
    /// Most rows of one request.
    pub batch: usize,
    /// How long one request may take.
    pub timeout: Span,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            name: "webhook".into(),
            topics: None,
            when: None,
            hold_bytes: Bytes(1 << 30),
            url: String::new(),
            headers: BTreeMap::new(),
            format: Format::Json,
            batch: 100,
            timeout: Span(Duration::from_secs(10)),
        }
    }
}

impl Config {
    /// Refuses what parses but makes no sense.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn check(&self) -> Result<(), String> {
        if self.hops == 0 || self.hops > 64 {
            return Err("relay.hops: between 1 and 64".into());
        }
        if self.workers > 1024 {
            return Err("relay.workers: at most 1024; 0 is one per core".into());
        }
        if self.quarantine.of == 0 || self.quarantine.traps >= self.quarantine.of {
            return Err("relay.quarantine: `traps` must be below `of`, else it never acts".into());
        }
        self.at_once.check()?;
        if self.dead_letters.bytes.0 < 1 << 20 || self.dead_letters.keep.0 < Duration::from_secs(60) {
            return Err("relay.dead_letters: at least `bytes = \"1MiB\"` and `keep = \"1m\"`".into());
        }
        for (name, topic) in &self.topics {
            if !limits::is_topic_name(name) {
                return Err(format!("topics.{name}: a topic's name is made of letters, digits, `.`, `_` and `-`"));
            }
            if name.starts_with('_') {
                return Err(format!("topics.{name}: names that begin with `_` are the box's own"));
            }
            if topic.store == Some(false) && topic.chain.is_some() {
                return Err(format!("topics.{name}: with `store = false` no filter runs; take its chain out, or the `store`"));
            }
            topic.explicit(&TopicSettings::default()).1.check().map_err(|error| match error {
                QueueError::Refused(why) => format!("topics.{name}: {why}"),
                other => format!("topics.{name}: {other}"),
            })?;
            let spec = topic.codec.map(|codec| CodecSpec { codec, avro: topic.avro.clone() });
            match spec {
                Some(spec) => spec.check().map_err(|why| format!("topics.{name}.{why}"))?,
                None if topic.avro.is_some() => {
                    return Err(format!("topics.{name}.avro: is for `codec = \"avro\"`"));
                }
                None => {}
            }
        }
        for registry in &self.schema_registries {
            let at = |what: &str| format!("schema_registries.{}.{what}", registry.url);
            spec::check_url(&registry.url).map_err(|why| format!("schema_registries: url: {why}"))?;
            check_timeout(registry.timeout).map_err(|e| format!("{}: {e}", at("timeout")))?;
            if registry.password.is_some() && registry.user.is_none() {
                return Err(format!("{}: a password needs a `user`", at("password")));
            }
        }
        let mut seen = BTreeSet::new();
        for output in &self.outputs {
            let select = output.select();
            let at = |what: &str| format!("outputs.{}.{what}", select.name);
            if !limits::is_topic_name(&format!("_out.{}", select.name)) {
                return Err(format!("outputs: `{}` is no name; use letters, digits, `.`, `_` and `-`", select.name));
            }
            if !seen.insert(select.name.to_owned()) {
                return Err(format!("outputs: `{}` stands there twice", select.name));
            }
            if let Some(when) = select.when {
                predicate::parse(when).map_err(|e| format!("{}: at byte {}: {}", at("when"), e.position, e.message))?;
            }
            if select.hold_bytes.0 < 1 << 20 {
                return Err(format!("{}: at least 1MiB", at("hold_bytes")));
            }
            match output {
                OutputConfig::Zabbix(zabbix) => {
                    for (what, text) in [("host", &zabbix.host), ("key", &zabbix.key), ("value", &zabbix.value)] {
                        Template::parse(text).map_err(|e| format!("{}: {e}", at(what)))?;
                    }
                    if zabbix.batch == 0 || zabbix.batch > 10_000 {
                        return Err(format!("{}: between 1 and 10000", at("batch")));
                    }
                    if zabbix.address.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
                        return Err(format!("{}: write it as host:port", at("address")));
                    }
                    check_timeout(zabbix.timeout).map_err(|e| format!("{}: {e}", at("timeout")))?;
                }
                OutputConfig::Webhook(webhook) => {
                    if !webhook.url.starts_with("http://") && !webhook.url.starts_with("https://") {
                        return Err(format!("{}: must begin with http:// or https://", at("url")));
                    }
                    if webhook.batch == 0 || webhook.batch > 10_000 {
                        return Err(format!("{}: between 1 and 10000", at("batch")));
                    }
                    check_timeout(webhook.timeout).map_err(|e| format!("{}: {e}", at("timeout")))?;
                }
            }
        }
        Ok(())
    }
}

fn check_timeout(timeout: Span) -> Result<(), &'static str> {
    let fits = timeout.0 >= Duration::from_millis(10) && timeout.0 <= Duration::from_secs(3600);
    fits.then_some(()).ok_or("between 10ms and 1h")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<(), String> {
        toml::from_str::<Config>(text).map_err(|e| e.to_string()).and_then(|config| config.check())
    }

    #[test]
    fn what_makes_no_sense_is_refused_where_it_stands() {
        for (text, wrong) in [
            ("hops = 0", "hops"),
            ("workers = 1025", "workers"),
            ("colour = 1", "colour"),
            ("[topics.\"a b\"]", "topics.a b"),
            ("[topics._x]", "topics._x"),
            ("[topics.a]\nstore = false\nchain = []", "topics.a: with `store = false`"),
            ("[topics.a]\npartitions = 0", "topics.a: a topic has 1 to 256 partitions"),
            ("[topics.a]\ncodec = \"xml\"", "xml"),
            ("[topics.a]\ncodec = \"avro\"", "topics.a.codec"),
            ("[topics.a]\ncodec = \"avro\"\navro = { schema = \"{\" }", "topics.a.avro.schema"),
            ("[topics.a]\navro = { schema = \"{}\" }", "topics.a.avro"),
            ("[[schema_registries]]\nurl = \"registry\"", "schema_registries"),
            ("[[schema_registries]]\nurl = \"http://r\"\npassword = \"p\"", "password"),
            ("[[outputs]]\ntype = \"fax\"", "fax"),
            ("[[outputs]]\ntype = \"zabbix\"\ncolour = 1", "colour"),
            ("[[outputs]]\ntype = \"zabbix\"\nkey = \"{\"", "outputs.zabbix.key"),
            ("[[outputs]]\ntype = \"zabbix\"\naddress = \"here\"", "outputs.zabbix.address"),
            ("[[outputs]]\ntype = \"zabbix\"\nwhen = \"a:(\"", "outputs.zabbix.when"),
            ("[[outputs]]\ntype = \"webhook\"", "outputs.webhook.url"),
            ("[[outputs]]\ntype = \"zabbix\"\n[[outputs]]\ntype = \"zabbix\"", "twice"),
        ] {
            let error = checked(text).expect_err(text);
            assert!(error.contains(wrong), "{text}: {error}");
        }
        let good = "[[outputs]]\ntype = \"zabbix\"\nwhen = \"tags:zabbix-sender\"\nkey = \"apache.error[{app}]\"\n\
                    [[outputs]]\ntype = \"webhook\"\nurl = \"https://example.org/in\"\n[outputs.headers]\nauthorization = \"x\"";
        assert_eq!(checked(good), Ok(()));
        assert_eq!(Config::default().check(), Ok(()));
    }
}
