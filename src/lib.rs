//! Sawbox: receivers, a durable queue, sandboxed filters, a log store, search and a page, in one binary.
//!
//! This file is the wiring: the only place that knows every house. Start-up binds every port, which costs nothing and may fail,
//! then opens what is behind before what is in front of it (store, users, queue, sandbox, relay, then what serves the ports), so
//! that nothing is taken that could not be kept; shutdown goes the other way: stop taking, finish, flush. See `ARCHITECTURE.md`
//! for the map.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub mod access;
pub mod base;
pub mod cli;
pub mod config;
pub mod ingest;
pub mod queue;
pub mod relay;
pub mod sandbox;
pub mod store;
pub mod web;

use base::clock::{Clock, RealClock};
use base::disk::{Disk, RealDisk};
use config::Loaded;
use ingest::counters::Counters;
use ingest::listener::{self, Stop, Wire};
use web::Listener;

/// Longest head of a request, and how much of its body is read at a time: each connection may hold it.
const HEAD_BYTES: usize = 64 * 1024;
/// How long a head may take to arrive.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// How long lanes may take to end their slices when the box stops.
const LAST_SLICES: Duration = Duration::from_secs(10);

/// A box that runs.
pub struct Running {
    queue: Arc<queue::Queue>,
    store: Arc<store::Store>,
    relay: Arc<relay::Relay>,
    ingest: Arc<ingest::Ingest>,
    web: Arc<web::Web>,
    listeners: Vec<Listener>,
    servers: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
    _lock: base::disk::DirLock,
}

/// Opens and starts everything.
///
/// # Errors
/// What could not be opened or bound, where the configuration says it, and what to do.
pub async fn start(loaded: &Loaded) -> anyhow::Result<Running> {
    let config = &loaded.config;
    let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
    let real = RealDisk::open(&config.data_dir).context("cannot use the data directory; `data_dir` names another")?;
    let lock =
        real.lock().context("the data directory is in use by another box; stop it, or give this one another `data_dir`")?;
    let disk: Arc<dyn Disk> = Arc::new(real);

    // Ports first, though nothing is served yet: a busy one must not cost a recovery.
    let page = bind(loaded, "web.listen", config.web.listen).await?;
    let dialect = bind(loaded, "ingest.elastic.listen", config.ingest.elastic.listen).await?;
    let ports =
        ingest::ports::Ports::bind(clock.clone(), &config.ingest).await.map_err(|error| loaded.ingest_problem(&error))?;

    let (store, opened) = store::Store::open(disk.clone(), clock.clone(), config.store()).context("cannot open the store")?;
    let store::OpenReport { topics, parts, rows, .. } = opened;
    tracing::info!(topics, parts, rows, "store open");
    let orphans = opened.orphans_kept + opened.orphans_removed;
    if opened.torn_bytes + opened.damaged_commits + orphans + opened.parts_missing > 0 {
        tracing::warn!(report = ?opened, "the store was not closed cleanly, or its disk lost something");
    }
    if opened.log_lost {
        tracing::error!(
            "store/COMMITS was lost: chains, deletions and replays that it knew are gone, and records are handled again as far as the \
             queue has them; delete again what was deleted"
        );
    }
    if opened.orphans_kept > 0 {
        tracing::error!(
            files = opened.orphans_kept,
            "store/COMMITS lost entries, which may have named files that are not seen now; they are kept as long as rows are: stop \
             the box, and `sawbox store repair` takes in the rows that nothing else has"
        );
    }
    let access = access::Access::open(disk.clone(), clock.clone()).context("cannot open the users and permissions")?;
    let (queue, recovered) =
        queue::Queue::open(disk.clone(), clock.clone(), config.queue.clone()).context("cannot open the queue")?;
    tracing::info!(topics = recovered.topics, partitions = recovered.partitions, "queue open");
    if recovered.torn_bytes + recovered.damaged_entries > 0 || !recovered.damage.is_empty() || !recovered.adopted.is_empty() {
        tracing::warn!(report = ?recovered, "the queue was not closed cleanly, or its disk lost something");
    }
    let (quotas, routes) = queue::traffic::check_file(&config.quotas, &config.routes).map_err(|why| loaded.problem("", why))?;
    queue.traffic().configure(quotas, routes);
    let sandbox =
        sandbox::Sandbox::open(disk.clone(), clock.clone(), config.sandbox.clone()).context("cannot open the sandbox")?;
    let lanes = relay::Config { disk: Some(disk.clone()), ..config.relay() };
    let relay = relay::Relay::start(queue.clone(), store.clone(), sandbox.clone(), clock.clone(), lanes)
        .map_err(|error| wrong_chain(loaded, &sandbox).unwrap_or_else(|| loaded.problem("", error.to_string())))?;
    warm(sandbox.clone());
    let ingest = ingest::Ingest::start(queue.clone(), access.clone(), &config.ingest, ports);

    let web_clock = clock.clone();
    let counted = access.clone();
    let houses = web::Houses { access, queue: queue.clone(), store: store.clone(), sandbox, relay: relay.clone(), disk, clock };
    let web = web::Web::new(houses, config.web.clone(), config.data_dir.clone());
    web.add_metrics(web::MetricSource::new(move || access_metrics(&counted.counters())));
    let counted = ingest.clone();
    web.add_metrics(web::MetricSource::new(move || counted.kafka_counters().iter().flat_map(kafka_metrics).collect()));
    let counted = ingest.clone();
    web.add_metrics(web::MetricSource::new(move || counted.counters().iter().flat_map(metrics).collect()));

    let mut listeners = vec![
        Listener { name: "page and API", scheme: "http", address: page.local_addr()? },
        Listener { name: "Elasticsearch dialect", scheme: "http", address: dialect.local_addr()? },
    ];
    listeners.extend(ingest.addresses().iter().map(|(receiver, address)| {
        let (name, scheme) = match *receiver {
            "beats" => ("Lumberjack (Beats)", "tcp"),
            "kafka" => ("Kafka", "tcp"),
            "syslog/udp" => ("syslog", "udp"),
            "syslog/tcp" => ("syslog", "tcp"),
            other => (other, "tcp"),
        };
        Listener { name, scheme, address: *address }
    }));
    web.set_listeners(listeners.clone());

    let (stop, stopping) = Stop::new();
    let reading = web::elastic::router(web.clone())
        .route_layer(axum::middleware::from_fn(ingest::elastic::plain))
        .route_layer(axum::middleware::from_fn(ingest::elastic::filtered));
    let both_halves = reading
        .merge(
            ingest::elastic::router(&ingest)
                .route_layer(axum::middleware::from_fn_with_state(web.clone(), web::elastic::refreshed)),
        )
        .fallback(web::elastic::no_such_path)
        .method_not_allowed_fallback(web::elastic::no_such_path);
    let dialect_paths = web::elastic::without_last_slash(web::elastic::guarded(&web, both_halves));
    let page_and_api = web
        .router()
        .merge(ingest::http::router(&ingest))
        .fallback(web::error::no_such_path)
        .method_not_allowed_fallback(web::error::no_such_method);
    let ports = [
        ("page", page, config.web.max_connections, web.guarded(page_and_api)),
        (
            "dialect",
            dialect,
            config.ingest.elastic.max_connections,
            dialect_paths.layer(axum::middleware::from_fn(ingest::elastic::stamp)),
        ),
    ];
    let mut servers = Vec::new();
    for (receiver, socket, max_connections, router) in ports {
        let (counters, listen) = (Arc::new(Counters::default()), socket.local_addr()?.to_string());
        let counted = counters.clone();
        web.add_metrics(web::MetricSource::new(move || metrics(&counted.read(receiver, listen.clone()))));
        let (places, clock, stop) = (ingest.places(), web_clock.clone(), stopping.clone());
        let listener = listener::Listener { receiver, socket, max_connections, places, tls: None, counters, clock, stop };
        servers.push(tokio::spawn(listener.run(move |wire, peer, stop| serve(wire, peer, stop, router.clone()))));
    }
    web.set_ready(true);
    Ok(Running { queue, store, relay, ingest, web, listeners, servers, stop, _lock: lock })
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

impl Running {
    /// Every address that was bound.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Stops taking, finishes what was taken, makes rows durable.
    pub async fn shutdown(self) {
        tracing::info!("stopping");
        self.web.set_ready(false);
        self.ingest.shutdown().await;
        // Its receiver side ends with the servers below.
        let _ = self.stop.send(true);
        for server in self.servers {
            let _ = server.await;
        }
        let (relay, queue, store) = (self.relay, self.queue, self.store);
        let mut lanes = tokio::task::spawn_blocking(move || relay.shutdown());
        if tokio::time::timeout(LAST_SLICES, &mut lanes).await.is_err() {
            // A lane that waits for memory while the disk takes no rows would wait for ever; the queue still has its records.
            tracing::warn!("lanes did not end in time; what they hold is made again at the next start");
            store.close();
            let _ = lanes.await;
        }
        let closed = tokio::task::spawn_blocking(move || {
            let flushed = store.shutdown();
            queue.shutdown();
            flushed
        })
        .await;
        match closed {
            Ok(Ok(())) => tracing::info!("stopped"),
            // Nothing is lost: the queue holds what the store could not write, and the next start makes it again.
            Ok(Err(error)) => {
                tracing::error!(%error, "stopped without flushing the store; the next start does it from the queue")
            }
            Err(error) => tracing::error!(%error, "a house failed while stopping"),
        }
    }
}

/// Topics that nobody configured get their filter with the first record; compiled by then, that record is not kept waiting.
fn warm(sandbox: Arc<sandbox::Sandbox>) {
    let compile = move || {
        // Who asks something just after a start does not wait for it.
        base::low::lower(base::low::LANES);
        if let Err(error) = sandbox.unconfigured() {
            tracing::warn!(%error, "cannot make the chain of topics that have none");
        }
    };
    // Without the thread the first record compiles it.
    let _ = std::thread::Builder::new().name("warm".to_owned()).spawn(compile);
}

/// Which codec or chain of the configuration does not hold up, and at which key of it.
fn wrong_chain(loaded: &Loaded, engine: &sandbox::Sandbox) -> Option<config::Problem> {
    for (name, topic) in &loaded.config.topics {
        if let Err(why) = topic.codec() {
            return Some(loaded.problem(&format!("topics.{name}"), format!("topics.{name}.{why}")));
        }
        let Some(spec) = &topic.chain else { continue };
        let Err(error) = engine.resolve(spec) else { continue };
        let alone = |entry: &sandbox::EntrySpec| engine.resolve(&sandbox::ChainSpec(vec![entry.clone()]));
        let found = spec.0.iter().enumerate().find_map(|(n, entry)| Some((n, entry, alone(entry).err()?)));
        let key = match found {
            Some((n, entry, why)) => {
                let condition = entry.when.as_deref().is_some_and(|when| base::predicate::parse(when).is_err());
                let part = match why {
                    sandbox::FilterError::Missing(_) => "filter",
                    _ if condition => "when",
                    _ if entry.config.is_empty() => "filter",
                    _ => "config",
                };
                format!("topics.{name}.chain.{n}.{part}")
            }
            None => format!("topics.{name}.chain"),
        };
        return Some(loaded.problem(&key, error.to_string()));
    }
    None
}

/// Reads everything a start would read, and changes nothing.
///
/// # Errors
/// What is wrong, and where.
pub fn check(loaded: &Loaded) -> anyhow::Result<()> {
    ingest::check(&loaded.config.ingest).map_err(|error| loaded.ingest_problem(&error))?;
    let engine = sandbox_in_memory(&loaded.config.sandbox, Some(&loaded.config.data_dir))?;
    if let Some(folder) = &loaded.config.relay().filters_dir {
        relay::provide(folder, &engine);
    }
    wrong_chain(loaded, &engine).map_or(Ok(()), |problem| Err(problem.into()))
}

/// Says what a module is, as a filter.
///
/// # Errors
/// Why it is none.
pub fn check_filter(wasm: &[u8], config: &serde_json::Map<String, serde_json::Value>) -> anyhow::Result<sandbox::FilterReport> {
    Ok(sandbox_in_memory(&sandbox::Config::default(), None)?.check_with(wasm, config)?)
}

/// Whether a filter says the same of the same records however they are cut into calls, fresh or not. Without lines, of some that
/// are made up.
///
/// # Errors
/// Which record differs, and how; why it is no filter.
pub fn check_steady(
    wasm: &[u8],
    config: &serde_json::Map<String, serde_json::Value>,
    lines: &[&[u8]],
) -> anyhow::Result<usize> {
    /// What logs look like: of each kind that filters expect, and some that none does.
    const LINES: [&[u8]; 8] = [
        br#"203.0.113.9 - ann [17/May/2015:10:05:03 +0000] "GET /a?b=1 HTTP/1.1" 200 512 "http://x.example/" "curl/8.0""#,
        br#"{"level":"error","message":"disk full","took_ms":12.5,"tags":["a","b"],"host":{"name":"web-1"}}"#,
        br"<34>1 2026-05-17T10:05:03.003Z web-1 su 77 ID47 - 'su root' failed on /dev/pts/8",
        br#"level=warn took=12 msg="slow query" user=ann"#,
        br#"a,b,"c, d",4"#,
        b"\tat com.example.Main.run(Main.java:17)",
        b"not utf-8: \xff\xfe",
        b"",
    ];
    /// More than two calls of the longest.
    const RECORDS: usize = 2100;
    let payloads: Vec<&[u8]> = match lines {
        [] => LINES.iter().copied().cycle().take(RECORDS).collect(),
        lines => lines.to_vec(),
    };
    let mut records = base::record::Records::default();
    for (offset, payload) in (0u64..).zip(payloads) {
        let arrival_ns = 1_767_225_600_000_000_000 + i64::try_from(offset).unwrap_or(0) * 1_000_000;
        let timestamp_ms = arrival_ns / 1_000_000;
        let (key, headers) = (None, (0, 0));
        records.records.push(base::record::RecordView { offset, arrival_ns, timestamp_ms, key, payload, headers });
    }
    sandbox_in_memory(&sandbox::Config::default(), None)?.check_steady(wasm, config, &records)?;
    Ok(records.records.len())
}

/// A sandbox that keeps nothing: for looking at filters and chains without a box. It knows the filters that were put into a box
/// with this data directory, of which it has a copy, so that the box may run meanwhile.
fn sandbox_in_memory(config: &sandbox::Config, data_dir: Option<&Path>) -> anyhow::Result<Arc<sandbox::Sandbox>> {
    let disk = base::disk::sim::SimDisk::new(0);
    if let Some(data_dir) = data_dir {
        copy(&data_dir.join("sandbox"), Path::new("sandbox"), &*disk)
            .context("cannot read the filters in the data directory")?;
    }
    Ok(sandbox::Sandbox::open(disk, Arc::new(RealClock::new()), config.clone())?)
}

/// Copies the catalog and its modules; what is not there is no problem.
#[allow(clippy::disallowed_methods)] // only looked at, and perhaps in use by a box: nothing of it may be opened for writing
fn copy(from: &Path, to: &Path, disk: &dyn Disk) -> std::io::Result<()> {
    let Ok(entries) = std::fs::read_dir(from) else { return Ok(()) };
    disk.create_dir_all(to)?;
    for entry in entries {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_name() == "modules" {
            copy(&source, &target, disk)?;
        } else if entry.file_name() == "CATALOG" || source.extension().is_some_and(|extension| extension == "wasm") {
            disk.open(&target, true)?.write_at(&std::fs::read(&source)?, 0)?;
        }
    }
    Ok(())
}

/// A receiver's counters as metrics.
fn metrics(reading: &ingest::counters::Reading) -> Vec<web::Metric> {
    let labels = || vec![("receiver", reading.receiver.to_owned()), ("listen", reading.listen.clone())];
    let one = |(name, value): &(&'static str, u64)| match *name {
        "connections_open" => web::Metric::gauge("ingest_connections_open", "Connections now", labels(), *value),
        "connections" => web::Metric::counter("ingest_connections", "Connections taken", labels(), *value),
        "refused" => web::Metric::counter("ingest_refused", "Connections refused", labels(), *value),
        "records" => web::Metric::counter("ingest_records", "Records acknowledged", labels(), *value),
        "bytes" => web::Metric::counter("ingest_bytes", "Bytes of records acknowledged", labels(), *value),
        "batches" => web::Metric::counter("ingest_batches", "Batches appended", labels(), *value),
        "rejected" => web::Metric::counter("ingest_rejected", "Records refused", labels(), *value),
        "dropped" => web::Metric::counter("ingest_dropped", "Datagrams lost for want of room", labels(), *value),
        _ => web::Metric::counter("ingest_errors", "Connections ended by broken bytes or a failure", labels(), *value),
    };
    reading.values.iter().map(one).collect()
}

/// Who signed in, and who was denied what.
fn access_metrics(counters: &access::Counters) -> Vec<web::Metric> {
    let sign_ins = |outcome: &str, value| {
        web::Metric::counter("access_sign_ins", "Sign-ins by outcome", vec![("outcome", outcome.to_owned())], value)
    };
    vec![
        sign_ins("ok", counters.signed_in),
        sign_ins("failed", counters.failed),
        web::Metric::counter("access_denials", "Requests, or parts of them, that were denied", vec![], counters.denied),
        web::Metric::gauge("access_users", "Users", vec![], counters.users),
        web::Metric::gauge("access_permissions", "Permissions, granted or denied", vec![], counters.bindings),
        web::Metric::gauge("access_damaged", "Damaged places in the journal of users", vec![], counters.damaged),
    ]
}

/// What a Kafka listener counts besides.
fn kafka_metrics(reading: &ingest::kafka::KafkaReading) -> Vec<web::Metric> {
    let listen = || ("listen", reading.listen.clone());
    let one = |name, help, value| web::Metric::counter(name, help, vec![listen()], value);
    let request = |(api, count): &(String, u64)| {
        web::Metric::counter("kafka_requests", "Kafka requests taken", vec![listen(), ("api", api.clone())], *count)
    };
    let mut all: Vec<_> = reading.requests.iter().filter(|(_, count)| *count > 0).map(request).collect();
    all.push(one("kafka_unsupported", "Kafka requests for APIs or versions that are not served", reading.unsupported));
    all.push(one("kafka_malformed", "Kafka requests that could not be read", reading.malformed));
    all.push(one("kafka_throttled_ms", "Milliseconds that Kafka clients were told to wait", reading.throttled_ms));
    all.push(one("kafka_fetched_records", "Records handed to Kafka clients", reading.fetched_records));
    all.push(one("kafka_fetched_bytes", "Bytes of records handed to Kafka clients", reading.fetched_bytes));
    all
}

async fn bind(loaded: &Loaded, key: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let why = format!("cannot listen on {address}: {error}. Stop what listens there, or set `{key}` to another address");
        loaded.problem(key, why).into()
    })
}

/// Serves HTTP/1 until the connection ends or the box stops, then finishes the request under way.
async fn serve(wire: Wire, peer: SocketAddr, mut stop: Stop, router: Router) -> Result<(), String> {
    let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
        tower::ServiceExt::oneshot(router.clone(), request)
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_BYTES);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(wire), service));
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stop.stopped() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    // Browsers leave as they like, and silence ends a connection, too: nobody wants to read of it.
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
    Ok(())
}
