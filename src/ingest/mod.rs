//! Receivers: what shippers speak, turned into record batches, appended, and acknowledged once durable.
//!
//! What comes in: Lumberjack ([`lumberjack`]), syslog ([`syslog`]), HTTP ([`http`]), Elasticsearch's dialect ([`elastic`]),
//! Kafka ([`kafka`]).
//! What goes out: batches to the queue, through one [`door`] that bounds the memory of all of them.
//!
//! Invariants: nothing is acknowledged before the fsync that covers it. Broken or hostile bytes cost the connection that sent
//! them, a counter and at most one log line a second. Where a protocol cannot wait ([`syslog`] over UDP) losses are counted.
//! Limits: [`config`]. Crash story: what was not acknowledged is sent again by the shipper, or was lost by its protocol.
//! This house knows nothing of filters, rows or search: a record is bytes and headers here, and its topic is a name.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::access::Access;
use crate::queue::Queue;
use config::Config;
use counters::{Counters, Reading};
use door::Door;
use ports::Ports;
use room::Arrival;

pub mod body;
pub mod buffer;
pub mod config;
pub mod counters;
pub mod door;
pub mod elastic;
pub mod elements;
pub mod gate;
pub mod http;
pub mod inflate;
pub mod kafka;
pub mod lines;
pub mod listener;
pub mod lumberjack;
pub mod pieces;
pub mod ports;
pub mod query;
pub mod room;
pub mod route;
pub mod syslog;
pub mod tls;

/// Why the receivers cannot start. All of it is for the operator to mend.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The configuration makes no sense.
    #[error("{0}")]
    Config(String),
    /// A certificate or key cannot be used.
    #[error("{receiver} on {address}: {reason}")]
    Tls {
        /// Which receiver.
        receiver: &'static str,
        /// Where.
        address: SocketAddr,
        /// Which file, and what is wrong with it.
        reason: String,
    },
    /// The port cannot be had.
    #[error("{receiver} cannot listen on {address}: {error}; stop what uses the port, or choose another")]
    Bind {
        /// Which receiver.
        receiver: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the machine says.
        error: std::io::Error,
    },
}

/// The running receivers.
pub struct Ingest {
    http: Arc<http::Http>,
    elastic: Arc<elastic::Elastic>,
    readings: Vec<(&'static str, String, Arc<Counters>)>,
    kafka: Vec<(String, Arc<kafka::KafkaCounters>)>,
    addresses: Vec<(&'static str, SocketAddr)>,
    switch: watch::Sender<bool>,
    places: Arc<Semaphore>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// What `sawbox check` asks: the configuration and the files it names.
///
/// # Errors
/// What is wrong, before anything is bound.
pub fn check(config: &Config) -> Result<(), IngestError> {
    config.check().map_err(IngestError::Config)?;
    for beats in &config.beats {
        acceptor("beats", beats.listen, beats.tls.as_ref())?;
    }
    for syslog in &config.syslog {
        acceptor("syslog", syslog.listen, syslog.tls.as_ref())?;
    }
    for kafka in &config.kafka {
        acceptor("kafka", kafka.listen, kafka.tls.as_ref())?;
    }
    Ok(())
}

fn acceptor(
    receiver: &'static str,
    address: SocketAddr,
    tls: Option<&config::Tls>,
) -> Result<Option<tokio_rustls::TlsAcceptor>, IngestError> {
    tls.map(tls::acceptor).transpose().map_err(|reason| IngestError::Tls { receiver, address, reason })
}

impl Ingest {
    /// Serves what comes to these ports, which were bound for this configuration. Call it inside a tokio runtime.
    pub fn start(queue: Arc<Queue>, access: Arc<Access>, config: &Config, mut ports: Ports) -> Arc<Self> {
        let door = Door::new(queue.clone(), ports.clock.clone(), config.memory.as_usize(), Arrival(config.arrival.0));
        let http = Arc::new(http::Http { door: door.clone(), counters: ports.shared("http"), config: config.http.clone() });
        let setup = elastic::setup::Setup::new(config.elastic.setup_memory);
        let counters = ports.shared("elastic");
        let elastic = elastic::Elastic { door: door.clone(), counters, config: config.elastic.clone(), setup };
        let Ports { beats, streams, datagrams, brokers, readings, addresses, clock, places, switch, stop } = ports;
        let server = kafka::Server::new(queue, access, clock, door.clone(), config.memory.as_usize() / 2);
        let mut kafka = Vec::new();
        let mut tasks = Vec::new();
        for (config, listener) in beats {
            let port = lumberjack::Port::new(&config, door.clone(), listener.counters.clone());
            tasks.push(tokio::spawn(listener.run(move |wire, peer, stop| port.clone().serve(wire, peer, stop))));
        }
        for (config, listener) in streams {
            let port = syslog::Port::new(&config, door.clone(), listener.counters.clone());
            tasks.push(tokio::spawn(listener.run(move |wire, peer, stop| port.clone().serve(wire, peer, stop))));
        }
        if !brokers.is_empty() {
            tasks.push(tokio::spawn(kafka::tick_groups(server.queue.clone(), server.clock.clone(), stop.clone())));
        }
        for (config, listener) in brokers {
            let (counters, own) = (listener.counters.clone(), Arc::new(kafka::KafkaCounters::default()));
            kafka.push((listener.socket.local_addr().unwrap_or(config.listen).to_string(), own.clone()));
            let port = Arc::new(kafka::Port { server: server.clone(), config, counters, kafka: own });
            tasks.push(tokio::spawn(listener.run(move |wire, peer, stop| port.clone().serve(wire, peer, stop))));
        }
        for (config, socket, counters) in datagrams {
            let port = syslog::Port::new(&config, door.clone(), counters);
            tasks.push(tokio::spawn(port.datagrams(socket, stop.clone())));
        }
        for (receiver, address) in &addresses {
            info!(receiver, %address, "listening");
        }
        let (elastic, tasks) = (Arc::new(elastic), Mutex::new(tasks));
        Arc::new(Self { http, elastic, readings, kafka, addresses, switch, places, tasks })
    }

    /// What the routes of [`http::router`] need.
    pub fn http(&self) -> Arc<http::Http> {
        self.http.clone()
    }

    /// What the routes of [`elastic::router`] need.
    pub fn elastic(&self) -> Arc<elastic::Elastic> {
        self.elastic.clone()
    }

    /// Where the receivers listen: for the banner, and for tests that asked for any port.
    pub fn addresses(&self) -> &[(&'static str, SocketAddr)] {
        &self.addresses
    }

    /// The places that connections to all ports share: the HTTP servers, too, take theirs from here.
    pub fn places(&self) -> Arc<Semaphore> {
        self.places.clone()
    }

    /// The counters of every receiver, for `/metrics`.
    pub fn counters(&self) -> Vec<Reading> {
        self.readings.iter().map(|(receiver, listen, counters)| counters.read(receiver, listen.clone())).collect()
    }

    /// What the Kafka listeners count besides.
    pub fn kafka_counters(&self) -> Vec<kafka::KafkaReading> {
        self.kafka.iter().map(|(listen, counters)| counters.read(listen.clone())).collect()
    }

    /// Takes no more, finishes and acknowledges what was received, closes. Comes back when all of it is done, within some ten
    /// seconds. The queue must still be open; the HTTP servers are stopped by who started them.
    pub async fn shutdown(&self) {
        self.switch.send_replace(true);
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            if let Err(error) = task.await {
                warn!(%error, "a receiver did not end well");
            }
        }
    }
}
