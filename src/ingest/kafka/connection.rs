//! One connection: frames in, answers out, in order.
//!
//! Two halves of one task. The reader takes frames, starts produce requests (so that their batches reach the log in order, many
//! at a time) and puts every request's answer, started or not, into a bounded queue. The writer takes them out in order, runs what
//! was not started, and writes several answers with one call where they are ready together.
//!
//! Invariants: answers leave in the order of their requests. A frame longer than `max_request` ends the connection before memory
//! is taken for it; one longer than [`SMALL`] waits for room first, in the receivers' memory if it brings records and else in that
//! of large requests, and must then arrive in its time ([`Arrival`](crate::ingest::room::Arrival)), or who sends a byte an hour would
//! hold what all others need.
//! Limits: [`PIPELINE`] requests of one connection at a time; an idle connection holds a buffer of [`BUFFER`].
//! Crash story: none; unanswered requests are sent again.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::Instant;

use super::dispatch::{self, Answer};
use super::frame::{Head, Reply};
use super::sasl::{STRANGERS_FRAME, STRANGERS_TIME, SignIn};
use super::{Caller, Port, api};
use crate::ingest::listener::{Stop, Wire, is_gone};

/// Requests that one connection may have under way.
const PIPELINE: usize = 32;
/// What a connection's buffer is made with,
const BUFFER: usize = 8 * 1024;
/// and what must be left of it to read into it: frames are handed on as its slices, and the rest of it serves the next ones.
const ENOUGH: usize = 512;
/// Frames up to this size are read through that buffer, without asking for room.
const SMALL: usize = 32 * 1024;
/// Answers are gathered up to this before they are written.
const GATHER: usize = 256 * 1024;
/// Slices of one write.
const SLICES: usize = 256;
/// How long answers under way may take when the client has hung up or the box stops.
const GRACE: Duration = Duration::from_secs(8);

/// What ends the connections of a user who was deleted.
const REVOKED: &str = "its user was deleted";
/// What ends those of strangers.
const LATE: &str = "it did not sign in in time";

/// An answer in its place.
struct Queued {
    correlation: i32,
    flexible: bool,
    answer: Answer,
    /// For the body, while the request is not handled yet.
    _room: Option<OwnedSemaphorePermit>,
}

struct Connection {
    port: Arc<Port>,
    peer: SocketAddr,
    local: SocketAddr,
    sign_in: SignIn,
    ending: watch::Receiver<bool>,
    /// The last request's caller: most requests have the same.
    caller: Option<Arc<Caller>>,
    /// Until when nothing is read, because the client was told to wait.
    muted: Arc<Mutex<Option<Instant>>>,
}

/// Serves a connection until it ends.
pub(super) async fn serve(port: Arc<Port>, wire: Wire, peer: SocketAddr, stop: Stop) -> Result<(), String> {
    let local = wire.local_addr().map_err(|error| format!("socket: {error}"))?;
    let (end, ending) = watch::channel(false);
    let (access, hashes) = (port.server.access.clone(), port.server.hashes.clone());
    let sign_in = SignIn::new(access, hashes, peer.ip(), port.enforces(), matches!(wire, Wire::Tls(_)));
    let connection = Connection { port, peer, local, sign_in, ending, caller: None, muted: Arc::default() };
    match wire {
        Wire::Plain(mut stream) => {
            let (read, write) = stream.split();
            connection.run(read, write, end, stop).await
        }
        Wire::Tls(stream) => {
            let (read, write) = tokio::io::split(stream);
            connection.run(read, write, end, stop).await
        }
    }
}

impl Connection {
    async fn run<R, W>(self, read: R, write: W, end: watch::Sender<bool>, stop: Stop) -> Result<(), String>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let (answers, queue) = mpsc::channel(PIPELINE);
        let (port, muted) = (self.port.clone(), self.muted.clone());
        let mut writing = Box::pin(write_answers(&port, queue, write, &muted));
        let mut reading = Box::pin(self.read_requests(read, answers, stop));
        tokio::select! {
            written = &mut writing => written,
            read = &mut reading => {
                drop(reading);
                // Who is no user any more gets nothing more, not even what is ready.
                if read.as_ref().is_err_and(|why| why == REVOKED) {
                    return read;
                }
                // What was asked before is still answered; who waits for news is told that there is no time left.
                end.send_replace(true);
                let written = tokio::time::timeout(GRACE, &mut writing).await.unwrap_or(Ok(()));
                read.and(written)
            }
        }
    }

    async fn read_requests<R>(mut self, read: R, answers: mpsc::Sender<Queued>, mut stop: Stop) -> Result<(), String>
    where
        R: AsyncRead + Unpin,
    {
        let mut frames = Frames { read, buffer: BytesMut::new(), port: self.port.clone() };
        let mut users = self.port.server.access.changed();
        let strangers_end = Instant::now() + STRANGERS_TIME;
        let muted = self.muted.clone();
        loop {
            if stop.is_stopped() {
                return Ok(());
            }
            if self.sign_in.is_over() {
                return Err("it did not sign in".to_owned());
            }
            let stranger = !self.sign_in.is_open();
            let most = if stranger { STRANGERS_FRAME } else { self.port.config.max_request.as_usize() };
            let mut next = std::pin::pin!(async {
                // The writer is gone: the socket is broken, which it tells itself.
                let Ok(place) = answers.reserve().await else { return Ok(None) };
                let Some((frame, room)) = frames.next(most).await? else { return Ok(None) };
                // Here, where the next request is in hand: the answer that says how long may have left while it was waited for.
                let until = muted.lock().take();
                if let Some(until) = until {
                    tokio::time::sleep_until(until).await;
                }
                Ok::<_, String>(Some((place, frame, room)))
            });
            let taken = loop {
                tokio::select! {
                    biased;
                    Ok(()) = users.changed() => if self.sign_in.is_revoked() {
                        return Err(REVOKED.to_owned());
                    },
                    taken = &mut next => break taken?,
                    () = stop.stopped() => return Ok(()),
                    () = tokio::time::sleep_until(strangers_end), if stranger => return Err(LATE.to_owned()),
                }
            };
            let Some((place, frame, room)) = taken else { return Ok(()) };
            let started = self.start(frame, room);
            let queued = match stranger {
                true => tokio::time::timeout_at(strangers_end, started).await.map_err(|_| LATE)?,
                false => started.await,
            };
            place.send(queued?);
        }
    }

    /// Takes a request as far as its order demands.
    async fn start(&mut self, mut frame: Bytes, room: Option<OwnedSemaphorePermit>) -> Result<Queued, String> {
        let kafka = self.port.kafka.clone();
        let malformed = |why: String| {
            kafka.malformed.fetch_add(1, Ordering::Relaxed);
            why
        };
        let at_once = |correlation, flexible, reply| Queued {
            correlation,
            flexible,
            answer: Box::pin(std::future::ready(reply)),
            _room: None,
        };
        if self.sign_in.is_raw() {
            let reply = self.sign_in.raw(&frame).await;
            self.caller = None;
            return Ok(at_once(0, false, Ok(reply)));
        }
        let head = Head::take(&mut frame).map_err(|why| malformed(format!("broken request: {why}")))?;
        let (correlation, flexible) = (head.correlation, head.flexible_answer());
        let api = ApiKey::try_from(head.key).ok();
        let for_strangers = matches!(api, Some(ApiKey::ApiVersions | ApiKey::SaslHandshake | ApiKey::SaslAuthenticate));
        if !for_strangers && !self.sign_in.is_open() {
            return Err("it asked for something before it signed in".to_owned());
        }
        let row = dispatch::find(head.key).filter(|(_, row)| (row.min..=row.max).contains(&head.version));
        let Some((number, row)) = row else {
            kafka.unsupported.fetch_add(1, Ordering::Relaxed);
            let reply = dispatch::unsupported(&head);
            return Ok(at_once(correlation, flexible, reply));
        };
        kafka.request(number);
        if row.key == ApiKey::SaslHandshake {
            let request = dispatch::decode(row.key, head.version, frame).map_err(malformed)?;
            let response = self.sign_in.handshake(head.version, &request);
            return Ok(at_once(correlation, flexible, Reply::of(&response, head.version)));
        }
        if row.key == ApiKey::SaslAuthenticate {
            let request = dispatch::decode(row.key, head.version, frame).map_err(malformed)?;
            let response = self.sign_in.authenticate(request).await;
            // The next request may be somebody else's.
            self.caller = None;
            return Ok(at_once(correlation, flexible, Reply::of(&response, head.version)));
        }
        let caller = self.caller(head.client_id);
        if row.key == ApiKey::Produce {
            // Small ones did not wait for room yet, and their batches will be held by the queue.
            let room = match room {
                Some(room) => Some(room),
                None => self.port.server.door.in_flight(frame.len()).await,
            };
            let answer = api::produce::produce(&caller, head.version, frame, room).await.map_err(malformed)?;
            return Ok(Queued { correlation, flexible, answer, _room: None });
        }
        let answer = (row.run)(caller, head.version, frame);
        Ok(Queued { correlation, flexible, answer, _room: room })
    }

    fn caller(&mut self, client_id: Option<String>) -> Arc<Caller> {
        match &self.caller {
            Some(caller) if caller.client_id == client_id => caller.clone(),
            _ => {
                let caller = Arc::new(Caller {
                    server: self.port.server.clone(),
                    port: self.port.clone(),
                    principal: self.sign_in.principal().clone(),
                    client_id,
                    peer: self.peer.ip(),
                    local: self.local,
                    ending: self.ending.clone(),
                });
                self.caller = Some(caller.clone());
                caller
            }
        }
    }
}

/// The frames of a connection.
struct Frames<R> {
    read: R,
    buffer: BytesMut,
    port: Arc<Port>,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    /// The next frame, and the room it takes if it is large; nothing at the end.
    async fn next(&mut self, most: usize) -> Result<Option<(Bytes, Option<OwnedSemaphorePermit>)>, String> {
        let idle = self.port.config.idle.0;
        while self.buffer.len() < 4 {
            if self.buffer.capacity() - self.buffer.len() < ENOUGH {
                self.buffer.reserve(BUFFER);
            }
            match tokio::time::timeout(idle, self.read.read_buf(&mut self.buffer)).await {
                Ok(Ok(0)) if self.buffer.is_empty() => return Ok(None),
                Ok(Ok(0)) => return Err("it ended in the middle of a request".to_owned()),
                Ok(Ok(_)) => {}
                Ok(Err(error)) if is_gone(&error) => return Ok(None),
                Ok(Err(error)) => return Err(error.to_string()),
                // Kafka closes idle connections without a word, and clients know it.
                Err(_) if self.buffer.is_empty() => return Ok(None),
                Err(_) => return Err("it stopped in the middle of a request".to_owned()),
            }
        }
        let size = self.buffer.get_i32();
        let size = match usize::try_from(size) {
            Ok(size) if size <= most => size,
            _ => {
                self.port.kafka.malformed.fetch_add(1, Ordering::Relaxed);
                return Err(format!(
                    "a request of {size} bytes; at most {most} are taken now (`max_request`, or less before signing in)"
                ));
            }
        };
        let time = self.port.server.door.large().arrival().of(size);
        if size <= SMALL {
            self.buffer.reserve(size.saturating_sub(self.buffer.len()));
            let whole = async {
                while self.buffer.len() < size {
                    some(self.read.read_buf(&mut self.buffer).await)?;
                }
                Ok(())
            };
            in_time(time, whole).await?;
            return Ok(Some((self.buffer.split_to(size).freeze(), None)));
        }
        let begun = async {
            loop {
                if let Some(key) = self.buffer.first_chunk() {
                    return Ok(i16::from_be_bytes(*key));
                }
                some(self.read.read_buf(&mut self.buffer).await)?;
            }
        };
        let key = in_time(time, begun).await?;
        let room = self.port.server.room_to_read(key, size).await;
        let mut frame = self.port.server.pool.take(size);
        // The buffer is smaller than the frame, but for what a shared allocation may have left of it.
        let have = self.buffer.len().min(size);
        frame.extend_from_slice(&self.buffer[..have]);
        self.buffer.advance(have);
        let whole = async {
            while frame.len() < size {
                let rest = size - frame.len();
                some(self.read.read_buf(&mut (&mut frame).limit(rest)).await)?;
            }
            Ok(())
        };
        in_time(time, whole).await?;
        Ok(Some((self.port.server.pool.lend(frame), room)))
    }
}

fn some(read: io::Result<usize>) -> Result<(), String> {
    match read {
        Ok(0) => Err("it ended in the middle of a request".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

async fn in_time<T>(time: Duration, whole: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::time::timeout(time, whole).await.unwrap_or_else(|_| Err("a request that took too long to arrive".to_owned()))
}

/// Runs and writes answers in order, until there are no more.
async fn write_answers<W>(
    port: &Port,
    mut queue: mpsc::Receiver<Queued>,
    mut write: W,
    muted: &Mutex<Option<Instant>>,
) -> Result<(), String>
where
    W: AsyncWrite + Unpin,
{
    let idle = port.config.idle.0;
    let mut out = Out::default();
    loop {
        let mut next = match queue.try_recv() {
            Ok(next) => next,
            Err(_) => {
                out.write(&mut write, idle).await?;
                let Some(next) = queue.recv().await else { break };
                next
            }
        };
        let ready = std::future::poll_fn(|context| Poll::Ready(next.answer.as_mut().poll(context))).await;
        let reply = match ready {
            Poll::Ready(reply) => reply,
            Poll::Pending => {
                out.write(&mut write, idle).await?;
                next.answer.await
            }
        };
        let reply = match reply {
            Ok(reply) => reply,
            Err(why) => {
                out.write(&mut write, idle).await?;
                return Err(why);
            }
        };
        if reply.mute_ms > 0 {
            let time = Duration::from_millis(u64::try_from(reply.mute_ms).unwrap_or(0));
            port.kafka.throttled_ms.fetch_add(u64::try_from(reply.mute_ms).unwrap_or(0), Ordering::Relaxed);
            *muted.lock() = Some(Instant::now() + time);
        }
        if !reply.parts.is_empty() {
            out.push(next.correlation, next.flexible, reply)?;
        }
        if out.bytes >= GATHER {
            out.write(&mut write, idle).await?;
        }
    }
    let _ = write.shutdown().await;
    Ok(())
}

/// Answers that wait to be written together.
#[derive(Default)]
struct Out {
    parts: VecDeque<Bytes>,
    bytes: usize,
    shares: Vec<super::waiters::Share>,
}

impl Out {
    fn push(&mut self, correlation: i32, flexible: bool, reply: Reply) -> Result<(), String> {
        self.parts.push_back(reply.head(correlation, flexible)?);
        self.bytes += reply.len();
        self.shares.extend(reply.share);
        self.parts.extend(reply.parts.into_iter().filter(|part| !part.is_empty()));
        Ok(())
    }

    /// Writes all; a client that takes nothing for so long is cut off.
    async fn write<W: AsyncWrite + Unpin>(&mut self, write: &mut W, idle: Duration) -> Result<(), String> {
        if self.parts.is_empty() {
            return Ok(());
        }
        while !self.parts.is_empty() {
            let slices: Vec<IoSlice<'_>> = self.parts.iter().take(SLICES).map(|part| IoSlice::new(part)).collect();
            let written = match tokio::time::timeout(idle, write.write_vectored(&slices)).await {
                Ok(Ok(0)) => return Err("the client takes no more bytes".to_owned()),
                Ok(Ok(written)) => written,
                Ok(Err(error)) if is_gone(&error) => return Err("the client left before its answer".to_owned()),
                Ok(Err(error)) => return Err(error.to_string()),
                Err(_) => return Err("the client takes no answers".to_owned()),
            };
            self.advance(written);
        }
        self.bytes = 0;
        self.shares.clear();
        // TLS keeps the end of what it took until now.
        let flushed = tokio::time::timeout(idle, write.flush()).await;
        flushed.map_err(|_| "the client takes no answers")?.map_err(|error| error.to_string())
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(part) = self.parts.front_mut() {
            if written < part.len() {
                part.advance(written);
                return;
            }
            written -= part.len();
            self.parts.pop_front();
        }
    }
}
