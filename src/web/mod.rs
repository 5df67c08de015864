//! The HTTP face: page, API, health and metrics on one port; the Elasticsearch dialect's reading half on another.
//!
//! Comes in: requests of people and programs. Goes out: JSON, NDJSON streams, the page. Writes nothing to the disk itself; control
//! (a new filter, a new chain) goes to the relay.
//!
//! Limits: queries at a time, their time, their rows and uploads are bounded by [`config::Config`]. Queries compute on threads of
//! their own; a reader that goes away cancels its query.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::routing::{get, post, put};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::access::Access;
use crate::base::clock::Clock;
use crate::base::disk::Disk;
use crate::queue::Queue;
use crate::relay::Relay;
use crate::sandbox::Sandbox;
use crate::store::Store;
use error::Refusal;

mod access;
mod around;
mod assets;
pub mod config;
mod control;
mod dead;
pub mod elastic;
pub mod error;
mod explain;
mod fresh;
mod groups;
mod life;
mod metrics;
mod origin;
mod pieces;
mod replay;
mod rows;
mod status;
mod store;
mod tail;
mod topics;
mod traffic;
mod trial;

/// When to come again if too many ask, seconds.
const AGAIN: u64 = 1;

/// An address the box listens on.
#[derive(Clone, Debug)]
pub struct Listener {
    /// What for, in words.
    pub name: &'static str,
    /// URL scheme or transport: `http`, `tcp`, `tls`, `udp`.
    pub scheme: &'static str,
    /// Where, with the port that was really bound.
    pub address: SocketAddr,
}

impl Listener {
    /// What to point a client at.
    pub fn url(&self) -> String {
        match self.scheme {
            "http" => format!("http://{}/", self.address),
            scheme => format!("{scheme} {}", self.address),
        }
    }
}

/// What the handlers stand on.
#[derive(Debug)]
pub struct Web {
    pub(crate) access: Arc<Access>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) store: Arc<Store>,
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) relay: Arc<Relay>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: config::Config,
    pub(crate) data_dir: PathBuf,
    pub(crate) started_ns: i64,
    queries: Arc<Semaphore>,
    exports: Arc<Semaphore>,
    tails: Arc<Semaphore>,
    ready: AtomicBool,
    listeners: parking_lot::RwLock<Vec<Listener>>,
    extra_metrics: parking_lot::RwLock<Vec<metrics::Source>>,
}

/// What [`Web::new`] is made of.
#[derive(Debug)]
pub struct Houses {
    /// Users and permissions.
    pub access: Arc<Access>,
    /// The queue.
    pub queue: Arc<Queue>,
    /// The store.
    pub store: Arc<Store>,
    /// The sandbox.
    pub sandbox: Arc<Sandbox>,
    /// The relay.
    pub relay: Arc<Relay>,
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl Web {
    /// A face for these houses.
    pub fn new(houses: Houses, config: config::Config, data_dir: PathBuf) -> Arc<Self> {
        let started_ns = houses.clock.now_ns();
        Arc::new(Self {
            access: houses.access,
            queue: houses.queue,
            store: houses.store,
            sandbox: houses.sandbox,
            relay: houses.relay,
            disk: houses.disk,
            clock: houses.clock,
            queries: Arc::new(Semaphore::new(config.queries)),
            exports: Arc::new(Semaphore::new(store::EXPORTS)),
            tails: Arc::new(Semaphore::new(tail::TAILS)),
            config,
            data_dir,
            started_ns,
            ready: AtomicBool::new(false),
            listeners: parking_lot::RwLock::new(Vec::new()),
            extra_metrics: parking_lot::RwLock::new(Vec::new()),
        })
    }

    /// A turn among the queries that run. Who would wait longer for it than a query may take is told to come again.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let most = self.config.query_timeout;
        match tokio::time::timeout(most.0, self.queries.clone().acquire_owned()).await {
            Ok(turn) => turn.map_err(|_| Refusal::busy("the box is shutting down")),
            Err(_) => {
                let queries = self.config.queries;
                let why = format!("{queries} queries run (`web.queries`), and none of them ended in {most}: ask again");
                Err(Refusal::crowded(why, AGAIN))
            }
        }
    }

    /// Says that everything is bound (or no longer wanted): what `/health/ready` answers.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// Whether the box takes and answers.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Tells which addresses were bound.
    pub fn set_listeners(&self, listeners: Vec<Listener>) {
        *self.listeners.write() = listeners;
    }

    /// Adds counters of a house that this one does not know.
    pub fn add_metrics(&self, source: metrics::Source) {
        self.extra_metrics.write().push(source);
    }

    /// Page, API, health and metrics.
    pub fn router(self: &Arc<Self>) -> Router {
        let upload = usize::try_from(self.config.filter_bytes.0).unwrap_or(usize::MAX);
        Router::new()
            .route("/", get(assets::index))
            .route("/assets/{file}", get(assets::asset))
            .route("/health", get(status::ready))
            .route("/health/live", get(status::live))
            .route("/health/ready", get(status::ready))
            .route("/metrics", get(metrics::metrics))
            .route("/api/v1/query", get(rows::query).post(rows::query_form))
            .route("/api/v1/histogram", get(rows::histogram))
            .route("/api/v1/top", get(rows::top))
            .route("/api/v1/fields", get(rows::fields))
            .route("/api/v1/complete", get(around::complete))
            .route("/api/v1/context", get(around::context))
            .route("/api/v1/tail", get(tail::tail))
            .route("/api/v1/status", get(status::status))
            .route("/api/v1/topics", get(status::topics))
            .route("/api/v1/outputs", get(status::outputs))
            .route("/api/v1/filters", get(control::filters))
            .route("/api/v1/filters/{name}", put(control::put_filter).layer(axum::extract::DefaultBodyLimit::max(upload)))
            .route(
                "/api/v1/topics/{topic}",
                get(topics::topic).post(topics::create).patch(topics::change).delete(topics::delete),
            )
            .route("/api/v1/topics/{topic}/trim", post(topics::trim))
            .route("/api/v1/topics/{topic}/chain", get(control::chain).put(control::put_chain))
            .route("/api/v1/filters/{name}/versions", get(life::versions))
            .route("/api/v1/filters/{name}/fixtures", post(life::fixtures))
            .route("/api/v1/filters/{name}/promote", post(life::promote_version))
            .route("/api/v1/topics/{topic}/generations", get(life::generations))
            .route("/api/v1/topics/{topic}/promote", post(life::promote))
            .route("/api/v1/topics/{topic}/rollback", post(life::roll_back))
            .route("/api/v1/topics/{topic}/trial", post(trial::begin))
            .route("/api/v1/trials", get(trial::trials))
            .route("/api/v1/trials/{id}", get(trial::trial).delete(trial::cancel))
            .route("/api/v1/explain/{topic}/{partition}/{offset}", get(explain::explain))
            .route("/api/v1/groups", get(groups::groups))
            .route("/api/v1/groups/{group}", get(groups::group).delete(groups::delete))
            .route("/api/v1/groups/{group}/reset", post(groups::reset))
            .merge(access::routes())
            .merge(replay::routes())
            .merge(dead::routes())
            .merge(store::routes())
            .route("/api/v1/quotas", get(traffic::quotas))
            .route("/api/v1/quotas/{name}", put(traffic::put_quota).delete(traffic::remove_quota))
            .route("/api/v1/routes", get(traffic::routes).post(traffic::add_route))
            .route("/api/v1/routes/{name}", put(traffic::put_route).delete(traffic::remove_route))
            .with_state(self.clone())
    }

    /// Lets nobody through to these paths who may not ask ([`origin`]).
    pub fn guarded(self: &Arc<Self>, router: Router) -> Router {
        router.layer(axum::middleware::from_fn_with_state(self.clone(), origin::guard))
    }
}

pub use metrics::{Metric, Source as MetricSource};
