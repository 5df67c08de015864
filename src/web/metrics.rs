//! `/metrics`, in OpenMetrics text: what a monitoring system scrapes.
//!
//! Values are read when they are asked for; nothing is counted twice. Houses that this one does not know (the receivers) add a
//! [`Source`] when the box is wired.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::web::{Web, groups, replay, status, topics, traffic, trial};

/// One value of one metric.
#[derive(Clone, Debug)]
pub struct Metric {
    /// Name without the `sawbox_` before and the `_total` behind.
    pub name: &'static str,
    /// What it counts, in a sentence.
    pub help: &'static str,
    /// Whether it only grows.
    pub counter: bool,
    /// Labels, name and value.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: u64,
}

impl Metric {
    /// A counter.
    pub fn counter(name: &'static str, help: &'static str, labels: Vec<(&'static str, String)>, value: u64) -> Self {
        Self { name, help, counter: true, labels, value }
    }

    /// A gauge.
    pub fn gauge(name: &'static str, help: &'static str, labels: Vec<(&'static str, String)>, value: u64) -> Self {
        Self { counter: false, ..Self::counter(name, help, labels, value) }
    }
}

/// Tells values when they are asked for.
pub struct Source(Box<dyn Fn() -> Vec<Metric> + Send + Sync>);

impl Source {
    /// A source that asks this function.
    pub fn new(ask: impl Fn() -> Vec<Metric> + Send + Sync + 'static) -> Self {
        Self(Box::new(ask))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

#[derive(Debug)]
struct Scrape(BTreeMap<&'static str, Vec<Metric>>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, metrics) in &self.0 {
            let Some(first) = metrics.first() else { continue };
            let kind = if first.counter { MetricType::Counter } else { MetricType::Gauge };
            let mut family = encoder.encode_descriptor(name, first.help, None, kind)?;
            if let ([only], true) = (metrics.as_slice(), first.labels.is_empty()) {
                // Without labels there are no braces either.
                if only.counter {
                    ConstCounter::new(only.value).encode(family)?;
                } else {
                    ConstGauge::new(i64::try_from(only.value).unwrap_or(i64::MAX)).encode(family)?;
                }
                continue;
            }
            for metric in metrics {
                let encoder = family.encode_family(&metric.labels)?;
                if metric.counter {
                    ConstCounter::new(metric.value).encode(encoder)?;
                } else {
                    ConstGauge::new(i64::try_from(metric.value).unwrap_or(i64::MAX)).encode(encoder)?;
                }
            }
        }
        Ok(())
    }
}

/// `GET /metrics`
pub async fn metrics(State(web): State<Arc<Web>>) -> Response {
    let mut families: BTreeMap<&'static str, Vec<Metric>> = BTreeMap::new();
    // How far groups are behind takes reads of the queue, which a network thread must not wait for.
    let own = web.clone();
    let lag = tokio::task::spawn_blocking(move || groups::metrics(&own)).await.unwrap_or_default();
    for metric in collect(&web).into_iter().chain(lag) {
        families.entry(metric.name).or_default().push(metric);
    }
    let mut registry = Registry::with_prefix("sawbox");
    registry.register_collector(Box::new(Scrape(families)));
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &registry) {
        Ok(()) => {
            ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn collect(web: &Web) -> Vec<Metric> {
    let mut metrics = Vec::new();
    let uptime = u64::try_from((web.clock.now_ns() - web.started_ns) / 1_000_000_000).unwrap_or(0);
    metrics.push(Metric::gauge("uptime_seconds", "Since the box started", vec![], uptime));
    if let Some(bytes) = status::memory_bytes() {
        metrics.push(Metric::gauge("memory_bytes", "Anonymous resident memory", vec![], bytes));
    }
    if let Ok(space) = web.disk.space() {
        metrics.push(Metric::gauge("disk_available_bytes", "Free bytes below the data directory", vec![], space.available));
    }
    let queue = web.queue.stats();
    metrics.push(Metric::counter("queue_commits", "Group commits", vec![], queue.commits));
    metrics.push(Metric::counter("queue_syncs", "Times that a segment was made durable", vec![], queue.syncs));
    metrics.push(Metric::counter("queue_lost_records", "Records deleted before anybody took them", vec![], queue.lost_records));
    metrics.push(Metric::counter("queue_damaged", "Broken places found while reading", vec![], queue.damaged));
    metrics.push(Metric::gauge("queue_pending_bytes", "Bytes that wait for the disk", vec![], queue.pending_bytes));
    metrics.push(Metric::gauge("queue_full", "1 while receivers are pushed back for want of room", vec![], queue.full.into()));
    for topic in web.queue.topics() {
        for partition in topic.partitions() {
            let labels = || vec![("topic", topic.name().to_string()), ("partition", partition.id().to_string())];
            let taken = partition.high_watermark();
            metrics.push(Metric::counter("queue_records", "Records acknowledged into the queue", labels(), taken));
            metrics.push(Metric::gauge("queue_bytes", "Bytes the queue retains", labels(), partition.size_bytes()));
        }
    }
    metrics.extend(topics::metrics(web));
    for lane in web.relay.lanes() {
        let labels = || vec![("topic", lane.topic.to_string()), ("partition", lane.partition.to_string())];
        metrics.push(Metric::gauge(
            "lane_lag_records",
            "Durable records that the lane has not handled",
            labels(),
            lane.lag_records,
        ));
        let awaits = lane.state == "schema";
        metrics.push(Metric::gauge("lane_awaits_schema", "1 while it waits for a schema registry", labels(), awaits.into()));
        metrics.push(Metric::counter("lane_records", "Records handled since the start", labels(), lane.records));
        metrics.push(Metric::counter("lane_stored", "Rows stored since the start", labels(), lane.stored));
        metrics.push(Metric::counter("lane_dropped", "Records that filters dropped since the start", labels(), lane.dropped));
        metrics.push(Metric::counter(
            "lane_held",
            "Records that filters kept to make rows of later, since the start",
            labels(),
            lane.held,
        ));
        let is_held = lane.state == "held";
        metrics.push(Metric::gauge("lane_quarantined", "1 while a quarantine holds it", labels(), is_held.into()));
        metrics.push(Metric::counter("lane_failed", "Records sent to the dead letters since the start", labels(), lane.failed));
    }
    metrics.push(Metric::counter(
        "quarantines",
        "Times that a topic's filters failed too often",
        vec![],
        web.relay.quarantines(),
    ));
    metrics.push(Metric::counter("dead_letters_resolved", "Dead letters that retries resolved", vec![], web.relay.retried()));
    for filter in web.sandbox.counters() {
        let labels = || vec![("filter", filter.filter.clone())];
        metrics.push(Metric::counter("filter_starts", "Instances started", labels(), filter.starts));
        let help = "Instances not kept ready because others take all of `sandbox.idle_memory`";
        metrics.push(Metric::counter("filter_crowded", help, labels(), filter.crowded));
    }
    let swept = web.sandbox.swept();
    metrics.push(Metric::counter(
        "filters_swept_files",
        "Modules, compiled filters and looked-up files removed because nothing refers to them",
        vec![],
        swept.files,
    ));
    metrics.push(Metric::counter("filters_swept_bytes", "Their bytes", vec![], swept.bytes));
    for registry in web.relay.registries() {
        let labels = || vec![("registry", registry.url.to_string())];
        metrics.push(Metric::gauge("schema_registry_up", "1 while the registry answers", labels(), registry.is_up.into()));
        metrics.push(Metric::gauge("schema_registry_waiting", "Schemas that lanes wait for", labels(), registry.waiting));
        metrics.push(Metric::counter("schema_registry_asked", "Questions to the registry", labels(), registry.asked));
        metrics.push(Metric::counter("schema_registry_failed", "Questions that were not answered", labels(), registry.failed));
    }
    for output in web.relay.outputs() {
        let labels = || vec![("output", output.name.clone())];
        metrics.push(Metric::gauge("output_lag_records", "Rows that wait for the output", labels(), output.lag_records));
        metrics.push(Metric::counter("output_sent", "Rows that the output took", labels(), output.sent));
        metrics.push(Metric::counter("output_failed", "Rows that the output refused", labels(), output.failed));
    }
    metrics.push(Metric::gauge("store_limit_bytes", "Bytes of parts past which the oldest go", vec![], web.store.room().limit));
    let dropped = web.store.counters().parts_dropped.load(Ordering::Relaxed);
    metrics.push(Metric::counter("store_parts_dropped", "Parts that went for age or want of room", vec![], dropped));
    for stats in web.store.stats() {
        let labels = || vec![("topic", stats.name.clone())];
        metrics.push(Metric::gauge("store_rows", "Rows that can be searched", labels(), stats.rows));
        metrics.push(Metric::gauge("store_bytes", "Bytes of parts", labels(), stats.disk_bytes));
        metrics.push(Metric::gauge("store_parts", "Parts", labels(), stats.parts));
        metrics.push(Metric::gauge("store_memtable_bytes", "Bytes of rows not yet in a part", labels(), stats.memtable_bytes));
    }
    metrics.extend(replay::metrics(web));
    traffic::metrics(web, &mut metrics);
    metrics.extend(trial::metrics(web));
    for source in web.extra_metrics.read().iter() {
        metrics.extend(source.0());
    }
    metrics
}
