//! Takes TCP connections: cap, TLS handshake, one task each, and an orderly end.
//!
//! Invariants: a connection over the cap is closed at once and counted; a client that does not finish its TLS handshake in
//! [`HANDSHAKE`] is closed. A failed connection costs one log line, and a flood of them one a second. When told to stop the
//! listener takes no more, its connections finish what they received, and after [`GRACE`] the rest are cut.

use std::future::Future;
use std::io;
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

/// A bound port and what it takes to serve it.
pub struct Listener {
    /// What is spoken here, for log lines.
    pub receiver: &'static str,
    /// The port.
    pub socket: TcpListener,
    /// Most connections at a time.
    pub max_connections: u32,
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
        let Self { receiver, socket, max_connections, tls, counters, clock, mut stop } = self;
        let quiet = Arc::new(Quiet::default());
        let places = Arc::new(Semaphore::new(max_connections as usize));
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
            let Ok(place) = places.clone().try_acquire_owned() else {
                Counters::add(&counters.refused, 1);
                if let Some(held) = quiet.may_speak(&*clock) {
                    warn!(receiver, %peer, max_connections, held_back = held, "connection refused: too many");
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
