//! The receivers' ports, had before there is anything behind them: a start that cannot have one fails before it recovers anything.
//!
//! Invariants: between [`Ports::bind`] and [`super::Ingest::start`] nothing is taken or acknowledged; who connects meanwhile waits in the
//! machine's backlog, and a datagram in the socket's buffer. Dropped, the ports are free again.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{Semaphore, watch};

use super::config::{self, Config, Transport};
use super::counters::Counters;
use super::listener::{self, Listener, Stop};
use super::{IngestError, acceptor};
use crate::base::clock::Clock;

/// Ports that are bound, each beside the configuration it was bound for.
pub struct Ports {
    pub(super) beats: Vec<(config::Beats, Listener)>,
    pub(super) streams: Vec<(config::Syslog, Listener)>,
    pub(super) datagrams: Vec<(config::Syslog, UdpSocket, Arc<Counters>)>,
    pub(super) brokers: Vec<(config::Kafka, Listener)>,
    pub(super) readings: Vec<(&'static str, String, Arc<Counters>)>,
    pub(super) addresses: Vec<(&'static str, SocketAddr)>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) places: Arc<Semaphore>,
    pub(super) switch: watch::Sender<bool>,
    pub(super) stop: Stop,
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ports").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Ports {
    /// Binds every port, and reads the certificates they speak with. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// What the operator has to mend; then nothing is bound any more.
    pub async fn bind(clock: Arc<dyn Clock>, config: &Config) -> Result<Self, IngestError> {
        config.check().map_err(IngestError::Config)?;
        let (switch, stop) = Stop::new();
        let (beats, streams, datagrams, brokers) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (readings, addresses, places) = (Vec::new(), Vec::new(), listener::places());
        let mut ports = Self { beats, streams, datagrams, brokers, readings, addresses, clock, places, switch, stop };
        for beats in &config.beats {
            let listener = ports.tcp("beats", beats.listen, beats.max_connections, beats.tls.as_ref()).await?;
            ports.beats.push((beats.clone(), listener));
        }
        for syslog in &config.syslog {
            for transport in &syslog.transports {
                match transport {
                    Transport::Tcp => {
                        let (address, tls) = (syslog.listen, syslog.tls.as_ref());
                        let listener = ports.tcp("syslog/tcp", address, syslog.max_connections, tls).await?;
                        ports.streams.push((syslog.clone(), listener));
                    }
                    Transport::Udp => {
                        let (socket, counters) = ports.udp(syslog).await?;
                        ports.datagrams.push((syslog.clone(), socket, counters));
                    }
                }
            }
        }
        for kafka in &config.kafka {
            let listener = ports.tcp("kafka", kafka.listen, kafka.max_connections, kafka.tls.as_ref()).await?;
            ports.brokers.push((kafka.clone(), listener));
        }
        Ok(ports)
    }

    async fn tcp(
        &mut self,
        receiver: &'static str,
        address: SocketAddr,
        max_connections: u32,
        tls: Option<&config::Tls>,
    ) -> Result<Listener, IngestError> {
        let tls = acceptor(receiver, address, tls)?;
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

    /// The counters of a receiver that has no port of its own.
    pub(super) fn shared(&mut self, receiver: &'static str) -> Arc<Counters> {
        let counters = Arc::new(Counters::default());
        self.readings.push((receiver, "-".into(), counters.clone()));
        counters
    }
}
