//! Kafka's wire: any Kafka client's broker.
//!
//! Comes in: requests over TCP, plain or TLS. Goes out: record batches to the queue, verbatim, and durable ones back to
//! consumers, as slices of the log. The box is a cluster of one: node 1, leader of everything, epoch 0.
//!
//! Invariants: acks=1 and acks=all both mean fsynced; nothing is fetched before it is durable; requests of one connection are
//! answered in their order. Whatever bytes a client sends cost that client its connection, a counter and at most one log line a
//! second. No request makes the box allocate more than a multiple of its size, and sizes are bounded by the configuration.
//! The way of a request: `connection.rs` (frames, order, memory) → `frame.rs` (header) → `dispatch.rs` (table, `guard.rs`) →
//! `api/` (handlers) → back through `connection.rs`. Fetches wait in `waiters.rs`.
//! Crash story: none of its own; what was not answered is sent again.
//!
//! Why a hand-made server around a message crate: the crates that offer a broker bring their own storage and their own copies of
//! every batch; here a batch is received once, checked once, and handed on as the slice it arrived in.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kafka_protocol::messages::ApiKey;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::access::{Access, Principal};
pub(crate) use crate::access::{Operation, Resource};
use crate::base::clock::Clock;
use crate::base::limits::is_topic_name;
use crate::queue::{Queue, QueueError, Scratch, Topic};

use super::config::Kafka;
use super::counters::{Counters, Quiet};
use super::door::{Door, KIB, permits};
use super::listener::{Stop, Wire};
pub use counters::{KafkaCounters, KafkaReading};
use pool::Pool;
use waiters::{Answers, Waiters};

mod api;
mod connection;
mod counters;
mod dispatch;
mod frame;
mod gate;
mod guard;
mod judge;
mod permit;
mod pool;
mod sasl;
mod schema;
mod waiters;

/// The node's number, in every answer that has one.
pub(crate) const NODE: i32 = 1;
/// The epoch of every leader: there is one, for ever.
pub(crate) const LEADER_EPOCH: i32 = 0;

/// What all Kafka listeners of the box share.
pub(crate) struct Server {
    pub queue: Arc<Queue>,
    pub access: Arc<Access>,
    pub clock: Arc<dyn Clock>,
    /// What the cluster calls itself, for ever.
    pub cluster_id: String,
    pub(super) door: Arc<Door>,
    /// For quiet log lines of what was denied.
    denials: Quiet,
    /// Passwords that are hashed at a time.
    hashes: Arc<Semaphore>,
    waiters: Arc<Waiters>,
    answers: Arc<Answers>,
    /// Buffers for large requests.
    pool: Arc<Pool>,
    /// KiB of large requests that bring no records.
    bodies: Arc<Semaphore>,
    bodies_kib: usize,
    /// Elements of large requests that are being handled.
    elements: Arc<Semaphore>,
    most_elements: usize,
    /// Room for decompressing batches that are judged.
    scratches: Mutex<Vec<Scratch>>,
}

impl Server {
    /// A server before this queue; `memory` bounds the answers that carry records, as much again large requests that bring none,
    /// and as much their decoded forms. Those that bring records have room at the door.
    pub(crate) fn new(
        queue: Arc<Queue>,
        access: Arc<Access>,
        clock: Arc<dyn Clock>,
        door: Arc<Door>,
        memory: usize,
    ) -> Arc<Self> {
        let waiters = Arc::new(Waiters::default());
        let woken = Arc::downgrade(&waiters);
        queue.on_durable(Box::new(move |partition| {
            if let Some(waiters) = woken.upgrade() {
                waiters.wake(partition);
            }
        }));
        let cluster_id = URL_SAFE_NO_PAD.encode(queue.cluster_id());
        let pool = Arc::new(Pool::default());
        let most_elements = (memory / guard::ELEMENT_BYTES).max(1);
        let elements = Arc::new(Semaphore::new(most_elements));
        let bodies_kib = (memory / KIB).max(1);
        let bodies = Arc::new(Semaphore::new(bodies_kib));
        let hashes = Arc::new(Semaphore::new(sasl::HASHES));
        let (denials, answers, scratches) = (Quiet::default(), Answers::new(memory), Mutex::default());
        Arc::new(Self {
            queue,
            access,
            clock,
            cluster_id,
            door,
            denials,
            hashes,
            waiters,
            answers,
            pool,
            bodies,
            bodies_kib,
            elements,
            most_elements,
            scratches,
        })
    }
}

impl Server {
    /// Waits until a large request may be read: who brings records shares with all receivers, everybody else only with their like,
    /// for a request may wait long for its answer, and its bytes with it. Hold what comes back as long as these.
    async fn room_to_read(&self, key: i16, size: usize) -> Option<OwnedSemaphorePermit> {
        match key == ApiKey::Produce as i16 {
            true => self.door.in_flight(size).await,
            false => permits(&self.bodies, size, self.bodies_kib).await,
        }
    }

    /// Waits until a request of so many elements may be decoded; hold what comes back as long as the request.
    async fn room_for(&self, elements: usize) -> Option<OwnedSemaphorePermit> {
        let elements = u32::try_from(elements.min(self.most_elements)).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        self.elements.clone().acquire_many_owned(elements).await.ok()
    }
}

/// How often groups look who has fallen silent.
const TICK: Duration = Duration::from_millis(100);

/// Lets time pass for consumer groups, while there are any.
pub(crate) async fn tick_groups(queue: Arc<Queue>, clock: Arc<dyn Clock>, mut stop: Stop) {
    let coordinator = queue.coordinator().clone();
    drop(queue);
    loop {
        tokio::select! {
            () = stop.stopped() => return,
            () = coordinator.awake() => {}
        }
        tokio::select! {
            () = stop.stopped() => return,
            () = tokio::time::sleep(TICK) => {}
        }
        let now = u64::try_from(clock.monotonic().as_millis()).unwrap_or(u64::MAX);
        coordinator.tick(now, clock.now_ns() / 1_000_000);
    }
}

/// One Kafka listener.
pub(crate) struct Port {
    pub server: Arc<Server>,
    pub config: Kafka,
    pub counters: Arc<Counters>,
    pub kafka: Arc<KafkaCounters>,
}

/// Who asks, and by which way: what every handler is given.
pub(crate) struct Caller {
    pub server: Arc<Server>,
    pub port: Arc<Port>,
    pub principal: Principal,
    /// What the client calls itself.
    pub client_id: Option<String>,
    pub peer: IpAddr,
    /// What the client connected to.
    pub local: SocketAddr,
    ending: watch::Receiver<bool>,
}

impl Caller {
    /// Comes back when the client has hung up or the box stops: a handler that waits for something should answer then.
    pub(crate) async fn ended(&self) {
        let mut ending = self.ending.clone();
        // A sender that is gone has ended the connection, too.
        let _ = ending.wait_for(|ended| *ended).await;
    }

    /// The address that clients shall use: host and port.
    pub(crate) fn advertised(&self) -> (String, u16) {
        match &self.port.config.advertise {
            Some(address) => match address.rsplit_once(':') {
                Some((host, port)) => {
                    (host.trim_matches(['[', ']']).to_owned(), port.parse().unwrap_or_else(|_| self.local.port()))
                }
                None => (address.clone(), self.local.port()),
            },
            None => (self.local.ip().to_canonical().to_string(), self.local.port()),
        }
    }

    /// The topic of this name, made if that is allowed; nothing if there is none. Making one takes an fsync, which a network
    /// thread must not wait for.
    pub(crate) async fn ensure_topic(&self, name: &str) -> Result<Option<Arc<Topic>>, QueueError> {
        if let Some(topic) = self.server.queue.topic(name) {
            return Ok(Some(topic));
        }
        let may = self.port.config.auto_create && !is_internal(name) && is_topic_name(name) && self.may_create(name);
        if !may {
            return Ok(None);
        }
        let (queue, name) = (self.server.queue.clone(), name.to_owned());
        let made = tokio::task::spawn_blocking(move || queue.ensure_topic(&name)).await;
        made.unwrap_or(Err(QueueError::Closed)).map(Some)
    }
}

/// Whether a topic is the box's own: to be read, not to be written.
pub(crate) fn is_internal(name: &str) -> bool {
    name.starts_with('_')
}

impl Port {
    /// Whether clients must sign in here, and need permissions.
    pub(crate) fn enforces(&self) -> bool {
        self.config.signs_in()
    }

    /// Serves one connection until it ends; its error is what was wrong with it.
    pub(crate) async fn serve(self: Arc<Self>, wire: Wire, peer: SocketAddr, stop: Stop) -> Result<(), String> {
        connection::serve(self, wire, peer, stop).await
    }
}
