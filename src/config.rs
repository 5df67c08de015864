//! The configuration: one TOML file, composed of every house's own `Config`, checked whole before anything binds.
//!
//! Zero configuration is a configuration: `Config::default()` is what a newcomer runs, and `appliance/sawbox.toml` says the same
//! (a test holds them equal). Whatever is wrong is said with file, line, column and the line itself.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::de::{DeTable, DeValue};

use crate::ingest::config::{ClientAuth, Tls};
use crate::relay::config::OutputConfig;
use crate::{ingest, queue, relay, sandbox, store, web};

/// Everything a box can be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where everything is kept; made on the first start.
    pub data_dir: PathBuf,
    /// The explicit word without which no listener that knows no sign-in may leave loopback. The Kafka port knows one; Beats and
    /// syslog do where TLS demands a client's certificate.
    pub allow_network_without_sign_in: bool,
    /// Page and API.
    pub web: web::config::Config,
    /// Receivers.
    pub ingest: ingest::config::Config,
    /// The durable queue.
    pub queue: queue::config::Config,
    /// Limits of filters.
    pub sandbox: sandbox::Config,
    /// Lanes.
    pub relay: Lanes,
    /// The log store.
    pub store: store::config::Config,
    /// Topics that want more than the defaults, by name.
    pub topics: BTreeMap<String, relay::config::TopicConfig>,
    /// Where matching rows are also sent.
    pub outputs: Vec<relay::config::OutputConfig>,
    /// What schema registries want to be asked with.
    pub schema_registries: Vec<relay::config::RegistryConfig>,
    /// How many bytes a second somebody may send or take. These hold before those put at run time.
    pub quotas: Vec<queue::traffic::Quota>,
    /// Records of a topic that go to another one. These hold before those put at run time.
    pub routes: Vec<queue::traffic::Route>,
}

/// What lanes have in common; topics and outputs stand at the top of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lanes {
    /// Threads that lanes share; 0 is one per core.
    pub workers: usize,
    /// How many lanes an emission may come through before it is a dead letter: what stops a cycle of topics.
    pub hops: u32,
    /// What happens to a topic whose filter keeps failing.
    pub quarantine: relay::config::Quarantine,
    /// How much of what people ask of filters may go on at a time.
    pub at_once: relay::config::AtOnce,
    /// What is kept of records that no filter could handle.
    pub dead_letters: relay::config::DeadLetters,
}

impl Default for Lanes {
    fn default() -> Self {
        let relay::Config { workers, hops, quarantine, at_once, dead_letters, .. } = relay::Config::default();
        Self { workers, hops, quarantine, at_once, dead_letters }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./sawbox-data"),
            allow_network_without_sign_in: false,
            web: Default::default(),
            ingest: Default::default(),
            queue: Default::default(),
            sandbox: Default::default(),
            relay: Default::default(),
            store: Default::default(),
            topics: BTreeMap::new(),
            outputs: Vec::new(),
            schema_registries: Vec::new(),
            quotas: Vec::new(),
            routes: Vec::new(),
        }
    }
}

/// A configuration and where it came from, so that whatever turns out wrong later can still be pointed at.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Its file; `None` for the defaults.
    pub path: Option<PathBuf>,
    text: String,
}

/// What is wrong, and where.
#[derive(Debug)]
pub struct Problem {
    place: Option<(PathBuf, usize, usize, String)>,
    message: String,
}

impl std::error::Error for Problem {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((path, line, column, text)) = &self.place else { return f.write_str(&self.message) };
        let margin = line.to_string().len();
        writeln!(f, "{}:{line}:{column}: {}", path.display(), self.message)?;
        writeln!(f, "{:margin$} |", "")?;
        writeln!(f, "{line} | {text}")?;
        write!(f, "{:margin$} | {:>column$}", "", "^")
    }
}

impl Loaded {
    /// What holds without a file.
    pub fn defaults() -> Self {
        Self { config: Config::default(), path: None, text: String::new() }
    }

    /// Reads a file and checks it whole.
    ///
    /// # Errors
    /// What is wrong, with line and column.
    pub fn from_file(path: &Path) -> Result<Self, Problem> {
        // The user's file, read once before there is a disk to read through.
        #[allow(clippy::disallowed_methods)]
        let text =
            std::fs::read(path).map_err(|error| Problem { place: None, message: format!("{}: {error}", path.display()) })?;
        let text = String::from_utf8(text)
            .map_err(|error| Problem { place: None, message: format!("{}: not UTF-8: {error}", path.display()) })?;
        Self::from_text(path, text)
    }

    /// As [`Loaded::from_file`], of a text that is already there.
    ///
    /// # Errors
    /// What is wrong, with line and column.
    pub fn from_text(path: &Path, text: String) -> Result<Self, Problem> {
        let mut loaded = Self { config: Config::default(), path: Some(path.to_owned()), text };
        loaded.config = match toml::from_str(&loaded.text) {
            Ok(config) => config,
            Err(error) => {
                let at = error.span().map(|span| span.start);
                let message = match error.message() {
                    "invalid socket address syntax" => {
                        "this is no address; write IP and port, like \"127.0.0.1:7800\" or \"[::1]:7800\"".to_owned()
                    }
                    message => message.to_owned(),
                };
                return Err(loaded.problem_at(at, message));
            }
        };
        loaded.check()?;
        Ok(loaded)
    }

    fn check(&self) -> Result<(), Problem> {
        let config = &self.config;
        config.web.check().map_err(|why| self.problem("web", why))?;
        config.ingest.check().map_err(|why| self.problem("ingest", why))?;
        config.queue.check().map_err(|why| self.problem("queue", why))?;
        config.sandbox.check().map_err(|why| self.problem("sandbox", why))?;
        config.store.check().map_err(|why| self.problem("store", why))?;
        queue::traffic::check_file(&config.quotas, &config.routes).map_err(|why| self.problem("", why))?;
        config.relay().check().map_err(|why| self.problem("", why))?;
        let mut taken: BTreeMap<(SocketAddr, &str), &str> = BTreeMap::new();
        let listeners = config.listeners();
        for (key, address, transport) in &listeners {
            if !address.ip().is_loopback() && !config.allow_network_without_sign_in && !config.signs_in(key) {
                if let Some(key) = key.strip_suffix(".listen").filter(|key| key.starts_with("ingest.kafka.")) {
                    let why = format!(
                        "{address} is not loopback, and `sign_in = false`: whoever reaches it could read and write. Leave `sign_in` \
                         out, or write `allow_network_without_sign_in = true` at the top if the network is trusted"
                    );
                    return Err(self.problem(&format!("{key}.sign_in"), why));
                }
                let certificates = match key.split('.').nth(1) {
                    Some("beats" | "syslog") => {
                        ", demand certificates (`tls` with `client_ca` and `client_auth = \"required\"`),"
                    }
                    _ => "",
                };
                let why = format!(
                    "{address} is not loopback, and there is no sign-in here yet: whoever reaches it could read and write. \
                     Listen on 127.0.0.1{certificates} or write `allow_network_without_sign_in = true` at the top if the \
                     network is trusted"
                );
                return Err(self.problem(key, why));
            }
            if address.port() != 0
                && let Some(other) = taken.insert((*address, transport), key)
            {
                return Err(self.problem(key, format!("{address} is already taken by `{other}`")));
            }
        }
        Ok(())
    }

    /// A problem of the value under this dotted key (or of the nearest table around it).
    pub fn problem(&self, key: &str, message: String) -> Problem {
        // A house's own sentence may begin with the key it is about, from the top of the file or from its own section.
        let word =
            message.split([' ', ':', '=']).next().unwrap_or_default().trim_matches('`').replace('[', ".").replace(']', "");
        let below = format!("{key}.{word}");
        let named = [word.as_str(), below.as_str()].into_iter().find(|path| self.find(path).is_some());
        if let Some(path) = named {
            return self.problem_at(self.find(path), message);
        }
        // The nearest table around it.
        let mut sought = if word.contains('.') { word.as_str() } else { key };
        let mut at = self.find(sought);
        while let (None, Some((around, _))) = (at, sought.rsplit_once('.')) {
            sought = around;
            at = self.find(sought);
        }
        let names_itself =
            key.is_empty() || message.starts_with(key) || !word.is_empty() && message.starts_with(&format!("{word}:"));
        self.problem_at(at, if names_itself { message } else { format!("`{key}`: {message}") })
    }

    /// A problem of a receiver, which knows its address but not its key.
    pub fn ingest_problem(&self, error: &ingest::IngestError) -> Problem {
        let address = match error {
            ingest::IngestError::Config(_) => None,
            ingest::IngestError::Tls { address, .. } | ingest::IngestError::Bind { address, .. } => Some(*address),
        };
        let key = self.config.listeners().into_iter().find(|(_, own, _)| Some(*own) == address).map(|(key, _, _)| key);
        let key = key.unwrap_or_else(|| "ingest".to_owned());
        let file = match error {
            ingest::IngestError::Tls { reason, .. } => self.tls_file(&key, reason),
            _ => None,
        };
        self.problem(&file.unwrap_or(key), error.to_string())
    }

    /// The key of the file of a listener's TLS that a reason begins with.
    fn tls_file(&self, listener: &str, reason: &str) -> Option<String> {
        let tls = self.config.tls(listener)?;
        let files = [("client_ca", tls.client_ca.as_ref()), ("key", Some(&tls.key)), ("cert", Some(&tls.cert))];
        let named = |path: &PathBuf| {
            let rest = reason.strip_prefix(&path.display().to_string());
            rest.is_some_and(|rest| rest.starts_with([':', ' ']))
        };
        let (name, _) = files.into_iter().find(|(_, path)| path.is_some_and(named))?;
        Some(format!("{}.tls.{name}", listener.trim_end_matches(".listen")))
    }

    /// A warning, where the file says what opens something elsewhere, and everybody on this machine may read it.
    pub fn exposed_secret(&self) -> Option<String> {
        let (path, key) = (self.path.as_ref()?, self.config.secret()?);
        let mode = std::fs::metadata(path).ok()?.permissions().mode();
        let path = path.display();
        (mode & 0o004 != 0).then(|| {
            format!(
                "{path}: `{key}` may be read by everybody on this machine; `chmod o-r {path}` leaves it to its owner and group"
            )
        })
    }

    fn problem_at(&self, at: Option<usize>, message: String) -> Problem {
        let (Some(at), Some(path)) = (at, &self.path) else { return Problem { place: None, message } };
        let before = self.text.get(..at).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let text = self.text.lines().nth(line - 1).unwrap_or_default().to_owned();
        Problem { place: Some((path.clone(), line, column, text)), message }
    }

    /// Byte at which the value under a dotted key stands, or the nearest one around it.
    fn find(&self, key: &str) -> Option<usize> {
        let table = DeTable::parse(&self.text).ok()?;
        let mut value: Option<&DeValue<'_>> = None;
        let mut table: Option<&DeTable<'_>> = Some(table.get_ref());
        let mut at = None;
        for word in key.split('.') {
            let found = match (table, value) {
                (Some(table), _) => {
                    let (name, found) = table.iter().find(|(name, _)| name.get_ref().as_ref() == word)?;
                    at = Some(name.span().start);
                    found
                }
                (None, Some(DeValue::Array(items))) => {
                    // By number, or by the name that the item gives itself.
                    let named = |item: &&toml::Spanned<DeValue<'_>>| match item.get_ref() {
                        DeValue::Table(table) => table.get("name").and_then(|name| name.get_ref().as_str()) == Some(word),
                        _ => false,
                    };
                    let found = match word.parse::<usize>() {
                        Ok(number) => items.get(number),
                        Err(_) => items.iter().find(named),
                    }?;
                    at = Some(found.span().start);
                    found
                }
                _ => break,
            };
            value = Some(found.get_ref());
            table = match found.get_ref() {
                DeValue::Table(table) => Some(table),
                _ => None,
            };
        }
        at
    }
}

impl Config {
    /// What the relay is told.
    pub fn relay(&self) -> relay::Config {
        let Lanes { workers, hops, quarantine, at_once, dead_letters } = self.relay.clone();
        let (topics, outputs) = (self.topics.clone(), self.outputs.clone());
        let filters_dir = Some(self.data_dir.join("filters"));
        let schema_registries = self.schema_registries.clone();
        let defaults = relay::Config::default();
        relay::Config {
            workers,
            hops,
            quarantine,
            at_once,
            dead_letters,
            topics,
            outputs,
            schema_registries,
            filters_dir,
            ..defaults
        }
    }

    /// The store's part. It leaves at least as much of the disk as the queue does: a door that waits for room must see it come.
    pub fn store(&self) -> store::Config {
        let disk_reserve = self.store.disk_reserve.max(self.queue.disk_reserve);
        store::Config { disk_reserve, ..self.store.clone() }
    }

    /// Every listener: its key, its address, and `tcp` or `udp`.
    pub fn listeners(&self) -> Vec<(String, SocketAddr, &'static str)> {
        let mut listeners = vec![
            ("web.listen".to_owned(), self.web.listen, "tcp"),
            ("ingest.elastic.listen".to_owned(), self.ingest.elastic.listen, "tcp"),
        ];
        listeners.extend(
            self.ingest.beats.iter().enumerate().map(|(n, beats)| (format!("ingest.beats.{n}.listen"), beats.listen, "tcp")),
        );
        listeners.extend(
            self.ingest.kafka.iter().enumerate().map(|(n, kafka)| (format!("ingest.kafka.{n}.listen"), kafka.listen, "tcp")),
        );
        for (n, syslog) in self.ingest.syslog.iter().enumerate() {
            for transport in &syslog.transports {
                let transport = if *transport == ingest::config::Transport::Udp { "udp" } else { "tcp" };
                listeners.push((format!("ingest.syslog.{n}.listen"), syslog.listen, transport));
            }
        }
        listeners
    }

    /// With what the listener under this key speaks TLS.
    fn tls(&self, key: &str) -> Option<&Tls> {
        let (receiver, n) = key.strip_prefix("ingest.")?.strip_suffix(".listen")?.split_once('.')?;
        let n: usize = n.parse().ok()?;
        match receiver {
            "beats" => self.ingest.beats.get(n)?.tls.as_ref(),
            "syslog" => self.ingest.syslog.get(n)?.tls.as_ref(),
            "kafka" => self.ingest.kafka.get(n)?.tls.as_ref(),
            _ => None,
        }
    }

    /// Whether who comes to the listener under this key must sign in, or show a certificate. On the Kafka port that is not enough:
    /// it does not say what its holder may read and delete.
    fn signs_in(&self, key: &str) -> bool {
        let own = |(n, kafka): (usize, &ingest::config::Kafka)| kafka.signs_in() && key == format!("ingest.kafka.{n}.listen");
        self.ingest.kafka.iter().enumerate().any(own)
            || !key.starts_with("ingest.kafka.") && self.tls(key).is_some_and(|tls| tls.client_auth == ClientAuth::Required)
    }

    /// The first key whose value opens something elsewhere.
    fn secret(&self) -> Option<String> {
        let registry = self.schema_registries.iter().position(|registry| registry.password.is_some());
        let webhook = self.outputs.iter().position(|output| match output {
            OutputConfig::Webhook(webhook) => !webhook.headers.is_empty(),
            OutputConfig::Zabbix(_) => false,
        });
        let key = |list: &str, n: Option<usize>, key: &str| n.map(|n| format!("{list}[{n}].{key}"));
        key("schema_registries", registry, "password").or_else(|| key("outputs", webhook, "headers"))
    }

    /// Whether anybody else than this machine can reach the box without signing in.
    pub fn listens_beyond_loopback(&self) -> bool {
        self.listeners().iter().any(|(key, address, _)| !address.ip().is_loopback() && !self.signs_in(key))
    }

    /// Whether what is said on a Kafka port beyond loopback can be read on its way.
    pub fn speaks_plainly(&self) -> bool {
        self.ingest.kafka.iter().any(|kafka| !kafka.listen.ip().is_loopback() && kafka.tls.is_none())
    }
}
