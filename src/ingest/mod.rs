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
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::access::Access;
use crate::base::clock::Clock;
use crate::queue::Queue;
use config::{Config, Transport};
use counters::{Counters, Reading};
use door::Door;
use listener::{Listener, Stop};
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
    /// Binds every port, then serves them all. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// What the operator has to mend; then nothing is bound any more.
    pub async fn start(
        queue: Arc<Queue>,
        access: Arc<Access>,
        clock: Arc<dyn Clock>,
        config: &Config,
    ) -> Result<Arc<Self>, IngestError> {
        config.check().map_err(IngestError::Config)?;
        let door = Door::new(queue.clone(), clock.clone(), config.memory.as_usize(), Arrival(config.arrival.0));
        let (switch, stop) = Stop::new();
        let places = listener::places();
        let mut starting = Starting { readings: Vec::new(), addresses: Vec::new(), clock, places: places.clone(), stop };
        let mut beats = Vec::new();
        for config in &config.beats {
            let tls = acceptor("beats", config.listen, config.tls.as_ref())?;
            let listener = starting.tcp("beats", config.listen, config.max_connections, tls).await?;
            beats.push((lumberjack::Port::new(config, door.clone(), listener.counters.clone()), listener));
        }
        let (mut streams, mut datagrams) = (Vec::new(), Vec::new());
        for config in &config.syslog {
            for transport in &config.transports {
                match transport {
                    Transport::Tcp => {
                        let tls = acceptor("syslog/tcp", config.listen, config.tls.as_ref())?;
                        let listener = starting.tcp("syslog/tcp", config.listen, config.max_connections, tls).await?;
                        streams.push((syslog::Port::new(config, door.clone(), listener.counters.clone()), listener));
                    }
                    Transport::Udp => {
                        let (socket, counters) = starting.udp(config).await?;
                        datagrams.push((syslog::Port::new(config, door.clone(), counters), socket));
                    }
                }
            }
        }
        let server = kafka::Server::new(queue, access, starting.clock.clone(), door.clone(), config.memory.as_usize() / 2);
        let (mut brokers, mut kafka) = (Vec::new(), Vec::new());
        for config in &config.kafka {
            let tls = acceptor("kafka", config.listen, config.tls.as_ref())?;
            let listener = starting.tcp("kafka", config.listen, config.max_connections, tls).await?;
            let (counters, own) = (listener.counters.clone(), Arc::new(kafka::KafkaCounters::default()));
            kafka.push((listener.socket.local_addr().unwrap_or(config.listen).to_string(), own.clone()));
            brokers.push((
                Arc::new(kafka::Port { server: server.clone(), config: config.clone(), counters, kafka: own }),
                listener,
            ));
        }
        let http = Arc::new(http::Http { door: door.clone(), counters: starting.shared("http"), config: config.http.clone() });
        let setup = elastic::setup::Setup::new(config.elastic.setup_memory);
        let counters = starting.shared("elastic");
        let elastic = Arc::new(elastic::Elastic { door, counters, config: config.elastic.clone(), setup });
        // Everything is bound: from here on nothing can fail.
        let mut tasks = Vec::new();
        for (port, listener) in beats {
            tasks.push(tokio::spawn(listener.run(move |wire, peer, stop| port.clone().serve(wire, peer, stop))));
        }
        for (port, listener) in streams {
            tasks.push(tokio::spawn(listener.run(move |wire, peer, stop| port.clone().serve(wire, peer, stop))));
        }
        if !brokers.is_empty() {
            let queue = server.queue.clone();
            tasks.push(tokio::spawn(kafka::tick_groups(queue, server.clock.clone(), starting.stop.clone())));
        }
        for (port, listener) in brokers {
            tasks.push(tokio::spawn(listener.run(move |wire, peer, stop| port.clone().serve(wire, peer, stop))));
        }
        for (port, socket) in datagrams {
            tasks.push(tokio::spawn(port.datagrams(socket, starting.stop.clone())));
        }
        for (receiver, address) in &starting.addresses {
            info!(receiver, %address, "listening");
        }
        let Starting { readings, addresses, .. } = starting;
        Ok(Arc::new(Self { http, elastic, readings, kafka, addresses, switch, places, tasks: Mutex::new(tasks) }))
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

/// Ports that are being bound.
struct Starting {
    readings: Vec<(&'static str, String, Arc<Counters>)>,
    addresses: Vec<(&'static str, SocketAddr)>,
    clock: Arc<dyn Clock>,
    places: Arc<Semaphore>,
    stop: Stop,
}

impl Starting {
    async fn tcp(
        &mut self,
        receiver: &'static str,
        address: SocketAddr,
        max_connections: u32,
        tls: Option<tokio_rustls::TlsAcceptor>,
    ) -> Result<Listener, IngestError> {
        let bind = |error| IngestError::Bind { receiver, address, error };
        let socket = TcpListener::bind(address).await.map_err(bind)?;
        let counters = self.count(receiver, socket.local_addr().map_err(bind)?);
        let (places, clock, stop) = (self.places.clone(), self.clock.clone(), self.stop.clone());
        Ok(Listener { receiver, socket, max_connections, places, tls, counters, clock, stop })
    }

    async fn udp(&mut self, config: &config::Syslog) -> Result<(UdpSocket, Arc<Counters>), IngestError> {
        let (receiver, address) = ("syslog/udp", config.listen);
        let bind = |error| IngestError::Bind { receiver, address, error };
        let socket = UdpSocket::bind(address).await.map_err(bind)?;
        // The machine may allow less; a burst is then lost sooner.
        let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(config.udp_buffer.as_usize());
        let counters = self.count(receiver, socket.local_addr().map_err(bind)?);
        Ok((socket, counters))
    }

    fn count(&mut self, receiver: &'static str, address: SocketAddr) -> Arc<Counters> {
        let counters = Arc::new(Counters::default());
        self.readings.push((receiver, address.to_string(), counters.clone()));
        self.addresses.push((receiver, address));
        counters
    }

    fn shared(&mut self, receiver: &'static str) -> Arc<Counters> {
        let counters = Arc::new(Counters::default());
        self.readings.push((receiver, "-".into(), counters.clone()));
        counters
    }
}
