//! Lumberjack, v1 and v2 on one port: what logstash-forwarder, Beats and Logstash speak.
//!
//! What comes in: frames ([`decode`]), in windows ([`window`]). What goes out: records to the queue, and one answer a window,
//! after all its records are durable.
//!
//! Invariants: reading and answering are two halves of one connection. The reader gathers a window's records and hands the
//! flight on; the answerer waits for it to land. So the next window is read while the last one is being synced, and when
//! [`WINDOWS`] are on their way, or the door is closed, nothing is read: the client's socket fills. A v2 client that waits for
//! the queue is told to keep waiting; a v1 client is never told anything but the end, because logstash-forwarder takes any six
//! bytes for it.
//! Records: v1's `line` is the payload and its other pairs are headers; v2's document is the payload as it came.
//! Limits: `ingest.beats`. Crash story: an unanswered window is sent again by the client.
//! Why records of a broken window are not kept: the client sends them all again, and they would be there twice.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use super::config::Beats;
use super::counters::Counters;
use super::door::{Door, Flight, Gather};
use super::listener::{self, Stop, Wire};
use super::room::{self, Room};
use super::route::Route;
use crate::base::limits::{HEADERS, RECORD_BYTES};
use crate::base::record::header;
use crate::queue::QueueError;
use decode::{Decoder, Frame, Limits, Next, Pairs};
use window::{Ack, Window};

pub mod decode;
pub mod window;

#[cfg(test)]
mod tests;

/// Windows of one connection that may be on their way to the disk.
const WINDOWS: usize = 4;
/// How long an unfinished window may take to end when the box stops.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Marks a payload that was cut, with the length it had.
const TRUNCATED: &[u8] = b"_truncated";
const RECEIVER: &[u8] = b"lumberjack";

/// What all connections of one port share.
pub struct Port {
    /// The door.
    pub door: Arc<Door>,
    /// The port's counters.
    pub counters: Arc<Counters>,
    /// Where records go.
    pub route: Route,
    /// Limits of the frames.
    pub limits: Limits,
    /// How often v2 clients hear from us while they wait.
    pub keepalive: Duration,
    /// How long a client may say nothing.
    pub idle: Duration,
}

impl Port {
    /// As configured.
    pub fn new(config: &Beats, door: Arc<Door>, counters: Arc<Counters>) -> Arc<Self> {
        let route =
            Route { topic: config.topic.clone(), topic_field: config.topic_field.clone(), key_field: config.key_field.clone() };
        let limits =
            Limits { window: config.max_window, compressed: config.max_compressed.as_usize(), inflated: config.max_inflated.0 };
        Arc::new(Self { door, counters, route, limits, keepalive: config.keepalive.0, idle: config.idle.0 })
    }

    /// Serves one connection to its end.
    ///
    /// # Errors
    /// What was wrong with it.
    pub async fn serve(self: Arc<Self>, wire: Wire, peer: SocketAddr, stop: Stop) -> Result<(), String> {
        let (read, mut write) = tokio::io::split(wire);
        let (due, dues) = mpsc::channel(WINDOWS);
        let waiting = AtomicBool::new(false);
        let outcome = {
            let reader = self.take(read, peer, due, &waiting, stop);
            let answerer = self.answer(&mut write, dues, &waiting);
            tokio::pin!(reader, answerer);
            tokio::select! {
                // What was taken is answered even if what followed was nonsense.
                taken = &mut reader => answerer.await.and(taken),
                answered = &mut answerer => answered,
            }
        };
        let _ = write.shutdown().await;
        outcome
    }

    async fn take(
        &self,
        mut read: ReadHalf<Wire>,
        peer: SocketAddr,
        due: mpsc::Sender<Due>,
        waiting: &AtomicBool,
        mut stop: Stop,
    ) -> Result<(), String> {
        let mut decoder = Decoder::new(self.limits);
        let mut window = Window::default();
        let mut gather = self.door.gather(&self.counters, None);
        let peer = peer.ip().to_string();
        let mut now_ms = self.door.now_ms();
        let mut room: Option<Room> = None;
        let mut stopping = false;
        loop {
            let next = decoder.next().map_err(|error| error.to_string())?;
            let is_record = matches!(next, Next::Frame(_));
            let answer = match next {
                Next::Frame(Frame::Window(version, count)) => window.begin(version, count),
                Next::Frame(Frame::Line { version, sequence, pairs }) => {
                    let answer = window.record(version, sequence).map_err(|error| error.to_string())?;
                    self.line(&mut gather, pairs, &peer, now_ms)?;
                    answer
                }
                Next::Frame(Frame::Json { version, sequence, document, length }) => {
                    let answer = window.record(version, sequence).map_err(|error| error.to_string())?;
                    self.document(&mut gather, document, length, &peer, now_ms)?;
                    answer
                }
                Next::Room(size) => {
                    waiting.store(window.is_v2(), Ordering::Relaxed);
                    room = Some(self.door.large().exchange(room.take(), size).await);
                    waiting.store(false, Ordering::Relaxed);
                    decoder.grant(size);
                    None
                }
                Next::Input => {
                    if stop.is_stopped() && !window.is_open() {
                        return Ok(());
                    }
                    let input = decoder.input();
                    let patience = if stopping { LAST_WORDS } else { self.idle };
                    let got = tokio::select! {
                        got = room::in_time(room.as_ref(), tokio::time::timeout(patience, read.read_buf(input))) => {
                            got.map_err(|late| late.to_string())?
                        }
                        () = stop.stopped(), if !stopping => {
                            stopping = true;
                            continue;
                        }
                    };
                    match got {
                        Ok(Ok(0)) if decoder.is_clean() && !window.is_open() => return Ok(()),
                        Ok(Ok(0)) => return Err("the connection ended inside a window".into()),
                        Ok(Ok(_)) => {}
                        // Many clients leave without TLS's goodbye.
                        Ok(Err(error)) if listener::is_gone(&error) && decoder.is_clean() && !window.is_open() => return Ok(()),
                        Ok(Err(error)) => return Err(format!("reading: {error}")),
                        Err(_) if stopping => return self.part(gather, &window, &due).await,
                        Err(_) if !window.is_open() && decoder.is_clean() => return Ok(()),
                        Err(_) => return Err(format!("silent for {patience:?} inside a window")),
                    }
                    now_ms = self.door.now_ms();
                    None
                }
            };
            if room.is_some() && is_record {
                // The decoder gives its memory back, and room is there for the next who asks.
                decoder.rest();
                room = None;
            }
            if answer.is_none() && !gather.is_ripe() {
                continue;
            }
            let v2 = window.is_v2() || answer.is_some_and(|ack| ack.version == decode::Version::V2);
            waiting.store(v2, Ordering::Relaxed);
            gather.send().await;
            if let Some(ack) = answer {
                decoder.rest();
                // The answerer is gone only if the connection is.
                if due.send(Due { ack, flight: gather.flight() }).await.is_err() {
                    return Ok(());
                }
            }
            tokio::select! {
                () = gather.rest() => {}
                () = stop.stopped() => {}
            }
            waiting.store(false, Ordering::Relaxed);
        }
    }

    /// The box stops inside a window: what came of it is kept if the client can be told how much that is.
    async fn part(&self, mut gather: Gather, window: &Window, due: &mpsc::Sender<Due>) -> Result<(), String> {
        if let Some(ack) = window.partial() {
            gather.send().await;
            let _ = due.send(Due { ack, flight: gather.flight() }).await;
        }
        Ok(())
    }

    fn line(&self, gather: &mut Gather, pairs: Pairs<'_>, peer: &str, now_ms: i64) -> Result<(), String> {
        let mut headers: Vec<(&[u8], &[u8])> = Vec::with_capacity(16);
        headers.push((header::PEER.as_bytes(), peer.as_bytes()));
        headers.push((header::RECEIVER.as_bytes(), RECEIVER));
        let mut payload: &[u8] = b"";
        for (name, value) in pairs {
            if name == b"line" {
                payload = value;
                continue;
            }
            // Names that begin with `_` are the box's own.
            let name = &name[name.iter().take_while(|byte| **byte == b'_').count()..];
            if !name.is_empty() && headers.len() < HEADERS - 1 {
                headers.push((name, value));
            }
        }
        let length = payload.len().to_string();
        if payload.len() > RECORD_BYTES {
            headers.push((TRUNCATED, length.as_bytes()));
            payload = &payload[..RECORD_BYTES];
        }
        let place = self.route.by_headers(&headers);
        self.push(gather, &place.topic, place.key.as_deref(), now_ms, payload, &headers)
    }

    fn document(&self, gather: &mut Gather, document: &[u8], length: usize, peer: &str, now_ms: i64) -> Result<(), String> {
        let text = length.to_string();
        let headers: [(&[u8], &[u8]); 3] =
            [(header::PEER.as_bytes(), peer.as_bytes()), (header::RECEIVER.as_bytes(), RECEIVER), (TRUNCATED, text.as_bytes())];
        let headers = if length > document.len() { &headers[..] } else { &headers[..2] };
        if self.route.is_fixed() {
            return self.push(gather, &self.route.topic, None, now_ms, document, headers);
        }
        let place = self.route.by_document(document);
        self.push(gather, &place.topic, place.key.as_deref(), now_ms, document, headers)
    }

    fn push(
        &self,
        gather: &mut Gather,
        topic: &str,
        key: Option<&[u8]>,
        now_ms: i64,
        payload: &[u8],
        headers: &[(&[u8], &[u8])],
    ) -> Result<(), String> {
        match gather.push(topic, key, now_ms, payload, headers) {
            // No more topics can be made: what the record says is advice, it goes where the rest goes.
            Err(QueueError::Refused(_)) if topic != self.route.topic => {
                gather.push(&self.route.topic, key, now_ms, payload, headers).map(drop).map_err(|error| error.to_string())
            }
            pushed => pushed.map(drop).map_err(|error| error.to_string()),
        }
    }

    async fn answer(
        &self,
        write: &mut WriteHalf<Wire>,
        mut dues: mpsc::Receiver<Due>,
        waiting: &AtomicBool,
    ) -> Result<(), String> {
        loop {
            let Due { ack, flight } = match tokio::time::timeout(self.keepalive, dues.recv()).await {
                Ok(Some(due)) => due,
                Ok(None) => return Ok(()),
                Err(_) => {
                    if waiting.load(Ordering::Relaxed) {
                        say(write, &Ack::KEEPALIVE).await?;
                    }
                    continue;
                }
            };
            let landing = flight.land();
            tokio::pin!(landing);
            loop {
                match tokio::time::timeout(self.keepalive, &mut landing).await {
                    Ok(Ok(())) => break,
                    Ok(Err(error)) => return Err(format!("not acknowledged: {error}")),
                    Err(_) if ack.version == decode::Version::V2 => say(write, &Ack::KEEPALIVE).await?,
                    Err(_) => {}
                }
            }
            say(write, &ack.frame()).await?;
        }
    }
}

struct Due {
    ack: Ack,
    flight: Flight,
}

async fn say(write: &mut WriteHalf<Wire>, frame: &[u8]) -> Result<(), String> {
    // TLS buffers: only a flush sends.
    let sent = async {
        write.write_all(frame).await?;
        write.flush().await
    };
    match tokio::time::timeout(Duration::from_secs(30), sent).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("answering: {error}")),
        Err(_) => Err("the client does not read its answers".into()),
    }
}
