//! Takes TCP connections: caps, TLS handshake, one task each, and an orderly end.
//!
//! Invariants: a connection over the port's cap, or over what all ports may have together ([`places`]), is closed at once and counted; a client that does not finish its TLS handshake in
//! [`HANDSHAKE`] is closed. A failed connection costs one log line, and a flood of them one a second. When told to stop the
//! listener takes no more, its connections finish what they received, and after [`GRACE`] the rest are cut.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::warn;

use super::counters::{Counters, Quiet};
use crate::base::clock::Clock;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long connections may take to finish what they received.
const GRACE: Duration = Duration::from_secs(10);
/// Of the files that the process may open, this part is for connections: queue and store open theirs whoever connects.
const SHARE: u64 = 4;
/// How long to wait when the machine has no more sockets.
const NO_SOCKETS: Duration = Duration::from_millis(200);

/// A connection, plain or TLS.
#[derive(Debug)]
pub enum Wire {
    /// As it comes.
    Plain(TcpStream),
    /// Behind TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    /// The address that the client connected to.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Plain(stream) => stream.local_addr(),
            Self::Tls(stream) => stream.get_ref().0.local_addr(),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Whether this only says that the other side has left, politely or not.
pub fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// Told to all tasks when the box stops.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// The other end of the switch.
    pub fn new() -> (watch::Sender<bool>, Self) {
        let (switch, stop) = watch::channel(false);
        (switch, Self(stop))
    }

    /// Comes back when the box stops.
    pub async fn stopped(&mut self) {
        // A switch that is gone has stopped the box, too.
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }

    /// Whether the box stops.
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow()
    }
}

/// As many places for connections as the limit of open files leaves to them, on all ports together.
pub fn places() -> Arc<Semaphore> {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let places = files.and_then(|files| usize::try_from(files / SHARE).ok()).unwrap_or(Semaphore::MAX_PERMITS);
    Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)))
}

/// A bound port and what it takes to serve it.
pub struct Listener {
    /// What is spoken here, for log lines.
    pub receiver: &'static str,
    /// The port.
    pub socket: TcpListener,
    /// Most connections at a time.
    pub max_connections: u32,
    /// Places that all ports share.
    pub places: Arc<Semaphore>,
    /// TLS, if it is spoken here.
    pub tls: Option<TlsAcceptor>,
    /// The receiver's counters.
    pub counters: Arc<Counters>,
    /// For quiet log lines.
    pub clock: Arc<dyn Clock>,
    /// The end.
    pub stop: Stop,
}

impl Listener {
    /// Serves connections until told to stop, and a while longer those that are in the middle of something.
    /// `serve` says at the end what was wrong with the connection, if anything.
    pub async fn run<F, Served>(self, serve: F)
    where
        F: Fn(Wire, SocketAddr, Stop) -> Served + Clone + Send + 'static,
        Served: Future<Output = Result<(), String>> + Send + 'static,
    {
        let Self { receiver, socket, max_connections, places, tls, counters, clock, mut stop } = self;
        let quiet = Arc::new(Quiet::default());
        let own = Arc::new(Semaphore::new(max_connections as usize));
        let mut tasks = JoinSet::new();
        loop {
            let taken = tokio::select! {
                () = stop.stopped() => break,
                Some(_) = tasks.join_next() => continue,
                taken = socket.accept() => taken,
            };
            let (stream, peer) = match taken {
                Ok(taken) => taken,
                Err(error) => {
                    if let Some(held) = quiet.may_speak(&*clock) {
                        warn!(receiver, %error, held_back = held, "cannot take a connection");
                    }
                    tokio::time::sleep(NO_SOCKETS).await;
                    continue;
                }
            };
            let place = own.clone().try_acquire_owned().and_then(|own| Ok((own, places.clone().try_acquire_owned()?)));
            let Ok(place) = place else {
                Counters::add(&counters.refused, 1);
                if let Some(held) = quiet.may_speak(&*clock) {
                    let why = match own.available_permits() {
                        0 => "connection refused: too many",
                        _ => "connection refused: too many on all ports together; raise the limit of open files",
                    };
                    warn!(receiver, %peer, max_connections, held_back = held, "{why}");
                }
                continue;
            };
            let (tls, serve, stop) = (tls.clone(), serve.clone(), stop.clone());
            let (counters, clock, quiet) = (counters.clone(), clock.clone(), quiet.clone());
            tasks.spawn(async move {
                let _place = place;
                let _open = counters.open();
                let outcome = match secure(stream, tls).await {
                    Ok(wire) => serve(wire, peer, stop).await.inspect_err(|_| Counters::add(&counters.errors, 1)),
                    Err(error) => {
                        Counters::add(&counters.refused, 1);
                        Err(error)
                    }
                };
                if let Err(error) = outcome
                    && let Some(held) = quiet.may_speak(&*clock)
                {
                    warn!(receiver, %peer, error, held_back = held, "connection closed");
                }
            });
        }
        drop(socket);
        let finish = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, finish).await.is_err() {
            warn!(receiver, connections = tasks.len(), "connections cut: they did not end in time");
        }
    }
}

async fn secure(stream: TcpStream, tls: Option<TlsAcceptor>) -> Result<Wire, String> {
    // Answers are small and waited for.
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(&stream).set_keepalive(true);
    let Some(tls) = tls else { return Ok(Wire::Plain(stream)) };
    match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => Ok(Wire::Tls(Box::new(stream))),
        Ok(Err(error)) => Err(format!("TLS: {error}")),
        Err(_) => Err("TLS: the handshake took too long".into()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::base::clock::RealClock;

    #[tokio::test]
    async fn all_ports_share_places() {
        let (switch, stop) = Stop::new();
        let places = Arc::new(Semaphore::new(2));
        let (counters, clock) = (Arc::new(Counters::default()), Arc::new(RealClock::new()));
        let mut ports = Vec::new();
        let mut tasks = Vec::new();
        for max_connections in [1, 10] {
            let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
            ports.push(socket.local_addr().unwrap());
            let (counters, clock, stop, places) = (counters.clone(), clock.clone(), stop.clone(), places.clone());
            let listener = Listener { receiver: "test", socket, max_connections, places, tls: None, counters, clock, stop };
            tasks.push(tokio::spawn(listener.run(|wire, _, mut stop| async move {
                let mut wire = wire;
                wire.write_all(b"x").await.map_err(|error| error.to_string())?;
                // Until the client leaves.
                tokio::select! {
                    _ = wire.read_u8() => {}
                    () = stop.stopped() => {}
                }
                Ok(())
            })));
        }
        let taken = async |port: usize| {
            let mut stream = TcpStream::connect(ports[port]).await.unwrap();
            let taken = stream.read_u8().await.is_ok();
            (taken, stream)
        };
        let (first, held) = taken(0).await;
        let (again, _) = taken(0).await;
        assert_eq!((first, again), (true, false), "the port's own cap");
        let (second, _other) = taken(1).await;
        let (third, _) = taken(1).await;
        assert_eq!((second, third), (true, false), "what is left for both");
        assert_eq!(counters.refused.load(std::sync::atomic::Ordering::Relaxed), 2);
        drop(held);
        while places.available_permits() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(taken(1).await.0, "a place that is free is for any port");
        switch.send_replace(true);
        for task in tasks {
            task.await.unwrap();
        }
    }
}
