//! What can be set about the receivers. Every default works as it is: loopback, plain, one topic per listener.
//!
//! Limits stand here because they are what bounds memory: [`Config::memory`] for records on their way to the queue,
//! connections times their small buffers for the rest. [`Config::check`] refuses what parses but makes no sense.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::limits;
use crate::base::units::{Bytes, Span};

/// The receivers.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Memory for records on their way from all receivers to the queue.
    pub memory: Bytes,
    /// What is larger than connections may hold without asking arrives in this time, and in as much again for each 2 MiB of it.
    pub arrival: Span,
    /// Lumberjack v1 (logstash-forwarder) and v2 (Beats, Logstash), both on each of these ports.
    pub beats: Vec<Beats>,
    /// Syslog, RFC 3164 and RFC 5424.
    pub syslog: Vec<Syslog>,
    /// Kafka's wire.
    pub kafka: Vec<Kafka>,
    /// The write half of the Elasticsearch dialect.
    pub elastic: Elastic,
    /// `POST /api/v1/ingest/{topic}`.
    pub http: Http,
}

/// One Lumberjack port.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(deny_unknown_fields, default)]
pub struct Beats {
    /// Address and port.
    pub listen: SocketAddr,
    /// The topic of records that no `topic_field` sends elsewhere.
    pub topic: String,
    /// A pair of the record (v1) or a dotted field of its document (v2) that names the topic.
    pub topic_field: Option<String>,
    /// The same for the record's key: records of one key keep their order.
    pub key_field: Option<String>,
    /// With it the port speaks TLS alone, without it plaintext alone.
    pub tls: Option<Tls>,
    /// Most connections at a time.
    pub max_connections: u32,
    /// Most records a window may announce.
    pub max_window: u32,
    /// Largest compressed frame.
    pub max_compressed: Bytes,
    /// Most that the compressed frames of one window may inflate to.
    pub max_inflated: Bytes,
    /// How often v2 clients are told that their window is still on its way to the disk.
    pub keepalive: Span,
    /// A connection that says nothing for so long is closed.
    pub idle: Span,
}

/// Who may speak TLS to a port.
#[derive(Deserialize, Serialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Certificate chain, PEM.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Authorities that client certificates must come from, PEM.
    pub client_ca: Option<PathBuf>,
    /// Whether clients need a certificate.
    pub client_auth: ClientAuth,
}

/// Whether clients need a certificate.
#[derive(Deserialize, Serialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// They are not asked for one.
    #[default]
    None,
    /// A certificate is checked if there is one.
    Optional,
    /// No certificate, no connection.
    Required,
}

/// What a syslog port listens with.
#[derive(Deserialize, Serialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// One datagram, one record.
    Udp,
    /// Newline or octet-counted framing, told apart by itself.
    Tcp,
}

/// One syslog port.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(deny_unknown_fields, default)]
pub struct Syslog {
    /// Address and port.
    pub listen: SocketAddr,
    /// UDP, TCP or both.
    pub transports: Vec<Transport>,
    /// The topic of records that no `topic_field` sends elsewhere.
    pub topic: String,
    /// A header (`app`, `host`, `facility`, `sd.<id>.<name>` …) that names the topic.
    pub topic_field: Option<String>,
    /// The same for the record's key: records of one key keep their order.
    pub key_field: Option<String>,
    /// TLS for the TCP side.
    pub tls: Option<Tls>,
    /// Most TCP connections at a time.
    pub max_connections: u32,
    /// Longest line; longer ones are skipped and counted.
    pub max_line: Bytes,
    /// How long a record may wait for others to share its batch.
    pub linger: Span,
    /// What the kernel may hold of datagrams that were not read yet.
    pub udp_buffer: Bytes,
    /// A TCP connection that says nothing for so long is closed.
    pub idle: Span,
}

/// One Kafka port.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(deny_unknown_fields, default)]
pub struct Kafka {
    /// Address and port.
    pub listen: SocketAddr,
    /// `host:port` that clients are told to use; by default the address they reached us at.
    pub advertise: Option<String>,
    /// With it the port speaks TLS alone, without it plaintext alone.
    pub tls: Option<Tls>,
    /// Whether clients must sign in; by default they must, unless the port is on loopback.
    pub sign_in: Option<bool>,
    /// Most connections at a time.
    pub max_connections: u32,
    /// Longest request.
    pub max_request: Bytes,
    /// A connection that says nothing for so long is closed.
    pub idle: Span,
    /// Whether a topic is made when a client first asks for it.
    pub auto_create: bool,
}

/// The write half of the Elasticsearch dialect.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(deny_unknown_fields, default)]
pub struct Elastic {
    /// Address and port of both halves of the dialect; whoever wires the box binds it.
    pub listen: SocketAddr,
    /// Takes all records, whatever index they name.
    pub topic: Option<String>,
    /// A dotted field of the document that is the record's key: records of one key keep their order.
    pub key_field: Option<String>,
    /// Most connections at a time, of both halves.
    pub max_connections: u32,
    /// Largest body, inflated.
    pub max_body: Bytes,
    /// Most records of one request.
    pub max_items: u32,
    /// Memory for templates, policies and pipelines that clients set up and expect back.
    pub setup_memory: Bytes,
}

/// `POST /api/v1/ingest/{topic}`.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Largest body, inflated. Bodies are streamed: this bounds time, not memory.
    pub max_body: Bytes,
    /// How long a request waits for a full queue before it is told to come back.
    pub patience: Span,
}

const fn span(seconds: u64) -> Span {
    Span(Duration::from_secs(seconds))
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

impl Default for Config {
    fn default() -> Self {
        Self {
            memory: Bytes(64 << 20),
            arrival: span(30),
            beats: vec![Beats::default()],
            syslog: vec![Syslog::default()],
            kafka: vec![Kafka::default()],
            elastic: Elastic::default(),
            http: Http::default(),
        }
    }
}

impl Default for Beats {
    fn default() -> Self {
        Self {
            listen: loopback(5044),
            topic: "beats".into(),
            topic_field: None,
            key_field: None,
            tls: None,
            max_connections: 1000,
            max_window: 131_072,
            max_compressed: Bytes(16 << 20),
            max_inflated: Bytes(128 << 20),
            keepalive: span(5),
            idle: span(600),
        }
    }
}

impl Default for Syslog {
    fn default() -> Self {
        Self {
            listen: loopback(5514),
            transports: vec![Transport::Udp, Transport::Tcp],
            topic: "syslog".into(),
            topic_field: None,
            key_field: None,
            tls: None,
            max_connections: 1000,
            max_line: Bytes(256 << 10),
            linger: Span(Duration::from_millis(10)),
            udp_buffer: Bytes(4 << 20),
            idle: span(3600),
        }
    }
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            listen: loopback(9092),
            advertise: None,
            tls: None,
            sign_in: None,
            max_connections: 1000,
            max_request: Bytes(20 << 20),
            idle: span(600),
            auto_create: true,
        }
    }
}

impl Default for Elastic {
    fn default() -> Self {
        Self {
            listen: loopback(9200),
            topic: None,
            key_field: None,
            max_connections: 1000,
            max_body: Bytes(128 << 20),
            max_items: 250_000,
            setup_memory: Bytes(16 << 20),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self { max_body: Bytes(1 << 30), patience: span(5) }
    }
}

impl Config {
    /// What parses but makes no sense.
    ///
    /// # Errors
    /// A sentence that names the key and says what to write.
    pub fn check(&self) -> Result<(), String> {
        if self.memory.0 < 1 << 20 || self.memory.0 > 1 << 40 {
            return Err(format!("ingest.memory = \"{}\": write at least \"1MiB\"", self.memory));
        }
        time("ingest", "arrival", self.arrival)?;
        for (at, beats) in self.beats.iter().enumerate() {
            let key = format!("ingest.beats[{at}]");
            topic(&key, &beats.topic)?;
            tls(&key, beats.tls.as_ref())?;
            at_least_one(&key, "max_connections", beats.max_connections)?;
            at_least_one(&key, "max_window", beats.max_window)?;
            time(&key, "keepalive", beats.keepalive)?;
            time(&key, "idle", beats.idle)?;
            if beats.keepalive.0 >= Duration::from_secs(30) {
                return Err(format!("{key}.keepalive: clients give up after 30 s; write less, like \"5s\""));
            }
        }
        for (at, syslog) in self.syslog.iter().enumerate() {
            let key = format!("ingest.syslog[{at}]");
            topic(&key, &syslog.topic)?;
            tls(&key, syslog.tls.as_ref())?;
            at_least_one(&key, "max_connections", syslog.max_connections)?;
            time(&key, "idle", syslog.idle)?;
            if syslog.transports.is_empty() {
                return Err(format!("{key}.transports is empty: write [\"udp\", \"tcp\"] or leave the listener out"));
            }
            if syslog.tls.is_some() && syslog.transports != [Transport::Tcp] {
                return Err(format!("{key}.tls: TLS needs transports = [\"tcp\"]"));
            }
            if syslog.max_line.as_usize() > limits::RECORD_BYTES || syslog.max_line.0 < 480 {
                return Err(format!("{key}.max_line: between 480 and {} bytes", limits::RECORD_BYTES));
            }
        }
        for (at, kafka) in self.kafka.iter().enumerate() {
            kafka.check(&format!("ingest.kafka[{at}]"))?;
        }
        if let Some(name) = &self.elastic.topic {
            topic("ingest.elastic", name)?;
        }
        at_least_one("ingest.elastic", "max_connections", self.elastic.max_connections)?;
        at_least_one("ingest.elastic", "max_items", self.elastic.max_items)?;
        self.one_port_each()
    }

    /// Every address that will be bound, with what listens there: for the banner, and for the loopback rule.
    pub fn listeners(&self) -> Vec<(&'static str, SocketAddr)> {
        let beats = self.beats.iter().map(|beats| ("beats", beats.listen));
        let syslog = self.syslog.iter().flat_map(|syslog| {
            syslog.transports.iter().map(|transport| match transport {
                Transport::Udp => ("syslog/udp", syslog.listen),
                Transport::Tcp => ("syslog/tcp", syslog.listen),
            })
        });
        let kafka = self.kafka.iter().map(|kafka| ("kafka", kafka.listen));
        beats.chain(syslog).chain(kafka).chain([("elastic", self.elastic.listen)]).collect()
    }

    fn one_port_each(&self) -> Result<(), String> {
        let all = self.listeners();
        for (at, (name, address)) in all.iter().enumerate() {
            let udp = *name == "syslog/udp";
            let same = |other: &&(&str, SocketAddr)| other.1 == *address && (other.0 == "syslog/udp") == udp;
            if let Some((other, _)) = all[..at].iter().find(same).filter(|_| address.port() != 0) {
                return Err(format!("ingest: `{other}` and `{name}` both listen on {address}; give one of them another port"));
            }
        }
        Ok(())
    }
}

impl Kafka {
    /// Whether clients must sign in.
    pub fn signs_in(&self) -> bool {
        self.sign_in.unwrap_or(!self.listen.ip().is_loopback())
    }

    fn check(&self, key: &str) -> Result<(), String> {
        tls(key, self.tls.as_ref())?;
        at_least_one(key, "max_connections", self.max_connections)?;
        time(key, "idle", self.idle)?;
        if !(1 << 20..=1 << 30).contains(&self.max_request.0) {
            return Err(format!("{key}.max_request = \"{}\": between \"1MiB\" and \"1GiB\"", self.max_request));
        }
        let Some(advertise) = &self.advertise else { return Ok(()) };
        let port = advertise.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(1..))) {
            return Err(format!("{key}.advertise = \"{advertise}\": write host and port, like \"logs.example.org:9092\""));
        }
        Ok(())
    }
}

fn topic(key: &str, name: &str) -> Result<(), String> {
    if limits::is_topic_name(name) && !name.starts_with('_') {
        return Ok(());
    }
    Err(format!("{key}.topic = \"{name}\": a topic is letters, digits, `.`, `_` and `-`, and does not begin with `_`"))
}

fn tls(key: &str, tls: Option<&Tls>) -> Result<(), String> {
    let Some(tls) = tls else { return Ok(()) };
    if tls.cert.as_os_str().is_empty() || tls.key.as_os_str().is_empty() {
        return Err(format!("{key}.tls: write both `cert` and `key`, paths of PEM files"));
    }
    if (tls.client_auth == ClientAuth::None) != tls.client_ca.is_none() {
        return Err(format!("{key}.tls: `client_ca` and `client_auth` (\"optional\" or \"required\") go together"));
    }
    Ok(())
}

fn at_least_one(key: &str, what: &str, number: u32) -> Result<(), String> {
    if number == 0 { Err(format!("{key}.{what}: at least 1")) } else { Ok(()) }
}

fn time(key: &str, what: &str, span: Span) -> Result<(), String> {
    if span.0.is_zero() { Err(format!("{key}.{what}: more than nothing, like \"5s\"")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_make_sense_and_survive_toml() {
        let config = Config::default();
        assert_eq!(config.check(), Ok(()));
        let text = toml::to_string(&config).unwrap();
        let back: Config = toml::from_str(&text).unwrap();
        assert_eq!(format!("{back:?}"), format!("{config:?}"));
        assert_eq!(config.listeners().len(), 5);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for (text, word) in [
            ("memory = \"1KiB\"", "memory"),
            ("arrival = \"0s\"", "ingest.arrival"),
            ("[[beats]]\ntopic = \"_own\"", "beats[0].topic"),
            ("[[beats]]\nmax_window = 0", "max_window"),
            ("[[beats]]\nkeepalive = \"40s\"", "keepalive"),
            ("[[beats]]\n[[beats]]\ntopic = \"b\"", "both listen"),
            ("[[beats]]\ntls = { cert = \"a.pem\" }", "key"),
            ("[[beats]]\ntls = { cert = \"a.pem\", key = \"b.pem\", client_auth = \"required\" }", "client_ca"),
            ("[[syslog]]\ntransports = []", "transports"),
            ("[[syslog]]\ntls = { cert = \"a.pem\", key = \"b.pem\" }", "TLS needs"),
            ("[[syslog]]\nmax_line = \"2MiB\"", "max_line"),
            ("[elastic]\ntopic = \"a b\"", "elastic.topic"),
            ("[[kafka]]\nmax_request = \"1KiB\"", "kafka[0].max_request"),
            ("[[kafka]]\nadvertise = \"logs.example.org\"", "kafka[0].advertise"),
        ] {
            let config: Config = toml::from_str(text).unwrap();
            let reason = config.check().unwrap_err();
            assert!(reason.contains(word), "{text}: {reason}");
        }
        for text in ["[[beats]]\ntopics = 1", "[http]\nmax = 1", "[[syslog]]\ntransports = [\"quic\"]"] {
            assert!(toml::from_str::<Config>(text).is_err(), "{text}");
        }
        // The same port over UDP and TCP is how syslog is meant.
        let both = "[[syslog]]\ntransports = [\"udp\"]\n[[syslog]]\ntransports = [\"tcp\"]";
        assert_eq!(toml::from_str::<Config>(both).unwrap().check(), Ok(()));
    }
}
