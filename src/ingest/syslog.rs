//! Syslog over UDP and TCP, RFC 3164 and RFC 5424.
//!
//! What comes in: datagrams of one line each, or connections of lines ([`framing`]). What goes out: records whose payload is
//! the line as it came and whose headers are its parts ([`parse`]).
//!
//! Invariants: the protocol has no acknowledgement, so nothing is promised: over TCP a full queue stops the reading, over UDP
//! it costs the datagrams, which are counted (`dropped`). What the kernel drops when its buffer is full only the kernel counts.
//! Records wait for others up to `linger`, so that a thousand small lines are one batch and one fsync.
//! Limits: `ingest.syslog`. Crash story: what was not durable is lost, as with any syslog; RELP is for those who mind.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tracing::warn;

use super::config::Syslog;
use super::counters::{Counters, Quiet};
use super::door::{Door, Flight, Gather};
use super::lines::Line;
use super::listener::{self, Stop, Wire};
use super::route::Route;
use crate::base::record::header;
use crate::queue::QueueError;
use framing::Framing;

pub mod framing;
pub mod parse;

/// How much is read at a time.
const READ: usize = 32 * 1024;
/// Largest datagram there is.
const DATAGRAM: usize = 65_536;
/// Datagrams taken between two looks at the clock and the switch.
const BURST: usize = 1024;
/// Unfinished line of a TCP connection when the box stops.
const LAST_WORDS: Duration = Duration::from_millis(500);
const RECEIVER: &[u8] = b"syslog";

/// What all connections of one port share.
pub struct Port {
    /// The door.
    pub door: Arc<Door>,
    /// The port's counters.
    pub counters: Arc<Counters>,
    /// Where records go.
    pub route: Route,
    max_line: usize,
    linger: Duration,
    idle: Duration,
    quiet: Quiet,
}

impl Port {
    /// As configured.
    pub fn new(config: &Syslog, door: Arc<Door>, counters: Arc<Counters>) -> Arc<Self> {
        let route =
            Route { topic: config.topic.clone(), topic_field: config.topic_field.clone(), key_field: config.key_field.clone() };
        let max_line = config.max_line.as_usize();
        Arc::new(Self {
            door,
            counters,
            route,
            max_line,
            linger: config.linger.0,
            idle: config.idle.0,
            quiet: Quiet::default(),
        })
    }

    /// Serves one TCP connection to its end.
    ///
    /// # Errors
    /// What was wrong with it.
    pub async fn serve(self: Arc<Self>, mut wire: Wire, peer: SocketAddr, mut stop: Stop) -> Result<(), String> {
        let mut framing = Framing::new(self.max_line);
        let mut gather = self.door.gather(&self.counters, None);
        let mut flight = gather.flight();
        let peer = peer.ip().to_string();
        let (mut stopping, mut end) = (false, false);
        let mut outcome = Ok(());
        while !end {
            let space = framing.space(READ);
            let patience = match (gather.is_empty(), stopping) {
                (_, true) => LAST_WORDS,
                (false, _) => self.linger,
                (true, _) => self.idle,
            };
            let got = tokio::select! {
                got = tokio::time::timeout(patience, wire.read_buf(space)) => got,
                () = stop.stopped(), if !stopping => {
                    stopping = true;
                    continue;
                }
            };
            match got {
                Ok(Ok(count)) => end = count == 0,
                Ok(Err(error)) if listener::is_gone(&error) => end = true,
                Ok(Err(error)) => (end, outcome) = (true, Err(format!("reading: {error}"))),
                // Nothing more came to share the batch.
                Err(_) if !gather.is_empty() && !stopping => {
                    if let Err(error) = dispatch(&mut gather, &mut flight).await {
                        (end, outcome) = (true, Err(error));
                    }
                    continue;
                }
                Err(_) => end = true,
            }
            end |= stopping && !framing.is_inside();
            if let Err(error) = self.drain(&mut framing, &mut gather, &mut flight, end, &peer).await {
                (end, outcome) = (true, Err(error));
            }
            framing.rest();
        }
        gather.send().await;
        flight.join(gather.flight());
        let landed = flight.land().await.map_err(|error| format!("not stored: {error}"));
        let _ = wire.shutdown().await;
        outcome.and(landed)
    }

    async fn drain(
        &self,
        framing: &mut Framing,
        gather: &mut Gather,
        flight: &mut Flight,
        end: bool,
        peer: &str,
    ) -> Result<(), String> {
        let now_ns = self.door.clock().now_ns();
        loop {
            match framing.next(end) {
                Ok(None) => return Ok(()),
                Ok(Some(Line::Whole(line))) => match self.push(gather, line, peer, now_ns) {
                    Err(QueueError::Refused(_)) => Counters::add(&self.counters.rejected, 1),
                    pushed => pushed.map_err(|error| error.to_string())?,
                },
                Ok(Some(Line::TooLong)) => Counters::add(&self.counters.rejected, 1),
                Err(error) => return Err(error.to_string()),
            }
            if gather.is_ripe() {
                dispatch(gather, flight).await?;
            }
        }
    }

    fn push(&self, gather: &mut Gather, line: &[u8], peer: &str, now_ns: i64) -> Result<(), QueueError> {
        let line = line.strip_suffix(b"\0").unwrap_or(line);
        if line.is_empty() {
            return Ok(());
        }
        let parts = parse::parse(line, now_ns);
        let mut headers: Vec<(&[u8], &[u8])> = Vec::with_capacity(parts.headers.len() + 2);
        headers.push((header::PEER.as_bytes(), peer.as_bytes()));
        headers.push((header::RECEIVER.as_bytes(), RECEIVER));
        headers.extend(parts.headers.iter().map(|(name, value)| (name.as_ref(), value.as_ref())));
        let timestamp_ms = parts.timestamp_ms.unwrap_or(now_ns / 1_000_000);
        let place = self.route.by_headers(&headers);
        match gather.push(&place.topic, place.key.as_deref(), timestamp_ms, line, &headers) {
            // No more topics can be made: the record goes where the rest goes.
            Err(QueueError::Refused(_)) if place.topic != self.route.topic => {
                gather.push(&self.route.topic, place.key.as_deref(), timestamp_ms, line, &headers).map(drop)
            }
            pushed => pushed.map(drop),
        }
    }

    /// Takes datagrams until told to stop.
    pub async fn datagrams(self: Arc<Self>, socket: UdpSocket, mut stop: Stop) {
        let mut gather = self.door.gather(&self.counters, Some(Duration::ZERO));
        let mut buffer = vec![0; DATAGRAM];
        let mut peer = (None, String::new());
        let mut deadline = None;
        loop {
            // Until the linger ends if there is something to send off; else for ever.
            let ready = async {
                match deadline {
                    Some(at) => tokio::time::timeout_at(at, socket.readable()).await.is_ok(),
                    None => socket.readable().await.is_ok(),
                }
            };
            let readable = tokio::select! {
                readable = ready => readable,
                () = stop.stopped() => break,
            };
            if readable {
                let now_ns = self.door.clock().now_ns();
                for _ in 0..BURST {
                    let Ok((length, from)) = socket.try_recv_from(&mut buffer) else { break };
                    if peer.0 != Some(from.ip()) {
                        peer = (Some(from.ip()), from.ip().to_string());
                    }
                    let line = buffer.get(..length).unwrap_or_default();
                    let line = line.strip_suffix(b"\n").unwrap_or(line);
                    if line.len() > self.max_line {
                        Counters::add(&self.counters.rejected, 1);
                    } else if let Err(error) = self.push(&mut gather, line, &peer.1, now_ns) {
                        self.lost(1, &error);
                    }
                    if gather.is_ripe() {
                        break;
                    }
                }
            }
            let now = tokio::time::Instant::now();
            if gather.is_empty() {
                deadline = None;
            } else if gather.is_ripe() || deadline.is_some_and(|at| at <= now) {
                gather.send().await;
                self.watch(&mut gather);
                deadline = None;
            } else if deadline.is_none() {
                deadline = Some(now + self.linger);
            }
        }
        gather.send().await;
        self.settle(gather.flight()).await;
    }

    /// Nobody waits for a datagram's answer; somebody must count the lost ones.
    fn watch(self: &Arc<Self>, gather: &mut Gather) {
        let (flight, port) = (gather.flight(), self.clone());
        tokio::spawn(async move { port.settle(flight).await });
    }

    async fn settle(&self, flight: Flight) {
        let records = flight.records();
        if let Err(error) = flight.land().await {
            self.lost(records, &error);
        }
    }

    fn lost(&self, records: u64, error: &QueueError) {
        Counters::add(&self.counters.dropped, records);
        if let Some(held) = self.quiet.may_speak(self.door.clock()) {
            warn!(receiver = "syslog", %error, records, held_back = held, "datagrams dropped");
        }
    }
}

/// Sends off what was gathered and waits for what was sent off before: one batch is gathered while another is synced, and a
/// queue that takes nothing stops the sender.
async fn dispatch(gather: &mut Gather, flight: &mut Flight) -> Result<(), String> {
    gather.send().await;
    let before = std::mem::replace(flight, gather.flight());
    before.land().await.map_err(|error| format!("not stored: {error}"))?;
    gather.rest().await;
    Ok(())
}
