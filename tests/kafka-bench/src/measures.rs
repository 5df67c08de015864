//! What is measured, each by one function that gives rows for the table.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::broker::{Mock, Sawbox};
use crate::machine::{self, fdatasyncs, median, percentile};
use crate::native::{Consumer, Producer};
use crate::table::Table;

/// Size of a record's value in bytes.
pub const RECORD: usize = 200;

/// What one producer reached.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    records_per_second: f64,
    broker_cpu_us: f64,
    /// Seconds that a GB of memory took to touch before.
    touched: f64,
}

/// How the producer is set.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// librdkafka's own names and values.
    pub settings: &'a [(&'a str, String)],
    /// Whether it hands over many records at a time.
    pub batches: bool,
    /// GB of memory that are touched before; all that is free, where nothing is said.
    pub touch_gb: Option<u64>,
}

/// One producer, one partition, acks=all, as fast as it can.
pub fn produce(brokers: &str, pid: u32, topic: &str, records: u64, load: &Load<'_>) -> anyhow::Result<Rate> {
    let touched = machine::touch(load.touch_gb)?;
    let mut producer = Producer::new(brokers, topic, RECORD, false, load.settings)?;
    producer.batches = load.batches;
    // Connections, metadata and the topic's first file are made before the clock starts.
    let mut sent = u64::try_from(producer.produce(0, 1000)?)?;
    producer.drain(sent);
    ensure!(producer.deliveries().failed == 0, "{topic}: the first records were not delivered");
    let (cpu, begun, warm) = (machine::cpu_seconds(pid)?, Instant::now(), sent);
    while sent < warm + records {
        let taken = producer.produce(0, usize::try_from((warm + records - sent).min(1000))?)?;
        sent += taken as u64;
        producer.poll(i32::from(taken == 0));
    }
    producer.drain(sent);
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), machine::cpu_seconds(pid)? - cpu);
    ensure!(producer.deliveries().failed == 0, "{topic}: {} records failed", producer.deliveries().failed);
    #[allow(clippy::cast_precision_loss)]
    let records = records as f64;
    Ok(Rate { records_per_second: records / seconds, broker_cpu_us: cpu * 1e6 / records, touched })
}

/// The box and the mock in turns, so that what else happens on the machine happens to both.
pub fn throughput(table: &mut Table, sawbox: &Sawbox, records: u64, rounds: usize, load: &Load<'_>) -> anyhow::Result<()> {
    let mock = Mock::start()?;
    let (mut bare, mut steady, mut normal, mut memory) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        memory.push(produce(mock.brokers(), mock.pid(), "bench", records, load)?);
        bare.push(produce(&sawbox.brokers(), sawbox.pid(), "bare", records, load)?);
        steady.push(produce(&sawbox.brokers(), sawbox.pid(), "steady", records, load)?);
        normal.push(produce(&sawbox.brokers(), sawbox.pid(), "normal", records, load)?);
        // What its lane has not handled yet is no load of the next round.
        sawbox.settle()?;
    }
    if load.touch_gb != Some(0) {
        let all = [&memory, &bare, &steady, &normal].into_iter().flatten();
        let touched = all.map(|rate| rate.touched);
        let (least, most) = touched.fold((f64::INFINITY, 0.0_f64), |(least, most), one| (least.min(one), most.max(one)));
        table.row("memory, touched before each producer", &format!("{least:.2} to {most:.2} s a GB"), "", None);
    }
    let rate = |rates: &[Rate]| median(&rates.iter().map(|rate| rate.records_per_second).collect::<Vec<_>>());
    let cpu = |rates: &[Rate]| median(&rates.iter().map(|rate| rate.broker_cpu_us).collect::<Vec<_>>());
    for (name, rates, target) in [
        ("librdkafka's mock", &memory, None),
        ("box, store = false", &bare, Some(0.9)),
        ("box, store = false, deleting", &steady, Some(0.9)),
        ("box, with its lane", &normal, None),
    ] {
        let ratio = rate(rates) / rate(&memory);
        table.row(
            &format!("produce, {name}"),
            &format!("{:.0} records/s, {:.0} MB/s", rate(rates), rate(rates) * 200.0 / 1e6),
            &format!("ratio {ratio:.2}"),
            target.map(|least| (format!("at least {least} of the mock"), ratio >= least)),
        );
        table.row(
            &format!("broker CPU, {name}"),
            &format!("{:.3} µs a record", cpu(rates)),
            "",
            target.map(|_| ("at most 0.25 µs".to_owned(), cpu(rates) <= 0.25)),
        );
    }
    Ok(())
}

/// One consumer, one partition, from the first record on.
pub fn consume(table: &mut Table, sawbox: &Sawbox, records: u64, rounds: usize) -> anyhow::Result<()> {
    let (mut rates, mut cpus) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let mut consumer = Consumer::new(&sawbox.brokers(), "bare", 0, -2)?;
        let (mut got, mut bytes, cpu) = (0, 0, machine::cpu_seconds(sawbox.pid())?);
        // From the first batch on: a client's start is not what is measured.
        while got == 0 {
            got += consumer.take(1000)?.0;
        }
        let (begun, warm) = (Instant::now(), got);
        while got < records {
            let (some, more) = consumer.take(1000)?;
            ensure!(some > 0 || begun.elapsed() < Duration::from_secs(60), "the consumer stands still after {got} records");
            (got, bytes) = (got + some, bytes + more);
        }
        #[allow(clippy::cast_precision_loss)]
        let (bytes, taken) = (bytes as f64, (got - warm) as f64);
        rates.push(bytes / 1e6 / begun.elapsed().as_secs_f64());
        cpus.push((machine::cpu_seconds(sawbox.pid())? - cpu) * 1e6 / taken);
    }
    let rate = median(&rates);
    table.row(
        "consume, one partition",
        &format!("{rate:.0} MB/s, {:.2} M records/s", rate / 200.0),
        &format!("broker CPU {:.3} µs a record", median(&cpus)),
        Some(("at least 600 MB/s".to_owned(), rate >= 600.0)),
    );
    Ok(())
}

/// 2,000 records a second, each sent at once; beside it what the disk alone takes, before and after.
pub fn latency(table: &mut Table, sawbox: &Sawbox, folder: &Path, seconds: u64) -> anyhow::Result<()> {
    let (pause, probe) = (Duration::from_micros(500), Duration::from_secs(seconds.div_ceil(4)));
    let disk = |grows| fdatasyncs(folder, 4096, grows, pause, probe);
    let (mut growing, mut filled) = (disk(true)?, disk(false)?);
    let more = [("linger.ms", "0".to_owned())];
    let mut producer = Producer::new(&sawbox.brokers(), "calm", RECORD, true, &more)?;
    let mut sent = u64::try_from(producer.produce(0, 1)?)?;
    producer.drain(sent);
    let begun = Instant::now();
    let cpu = machine::cpu_seconds(sawbox.pid())?;
    while begun.elapsed() < Duration::from_secs(seconds) {
        sent += u64::try_from(producer.produce(0, 1)?)?;
        let next = begun + pause * u32::try_from(sent - 1)?;
        loop {
            producer.poll(0);
            let left = next.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(Duration::from_micros(100)));
        }
    }
    producer.drain(sent);
    let cpu = (machine::cpu_seconds(sawbox.pid())? - cpu) / begun.elapsed().as_secs_f64() * 100.0;
    ensure!(producer.deliveries().failed == 0, "records failed");
    let mut acks = producer.deliveries().latencies.clone().context("no latencies")?.split_off(1);
    growing.extend(disk(true)?);
    filled.extend(disk(false)?);
    let ms = |values: &mut [i64], share| percentile(values, share) / 1000.0;
    table.row(
        "fdatasync of 4 KiB, growing file",
        &format!("p50 {:.2} ms, p99 {:.2} ms", ms(&mut growing, 0.5), ms(&mut growing, 0.99)),
        "",
        None,
    );
    table.row(
        "fdatasync of 4 KiB, zero-filled file",
        &format!("p50 {:.2} ms, p99 {:.2} ms", ms(&mut filled, 0.5), ms(&mut filled, 0.99)),
        "",
        None,
    );
    // The stricter of the two: the box fills its segments with zeros.
    let (p99, most) = (ms(&mut acks, 0.99), 2.0 * ms(&mut filled, 0.99) + 1.0);
    table.row(
        "ack at 2,000 records/s",
        &format!("p50 {:.2} ms, p99 {p99:.2} ms", ms(&mut acks, 0.5)),
        &format!("{} records, box CPU {cpu:.0} %", acks.len()),
        Some((format!("p99 at most {most:.2} ms"), p99 <= most)),
    );
    Ok(())
}

/// Whether the listener answers an ApiVersions request.
fn answers(address: &str) -> bool {
    let ask = || -> anyhow::Result<()> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        // Length 10; ApiVersions 18 in version 0, correlation 7, no client id.
        stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff])?;
        let mut head = [0; 10];
        stream.read_exact(&mut head)?;
        ensure!(head[4..10] == [0, 0, 0, 7, 0, 0], "not an answer");
        Ok(())
    };
    ask().is_ok()
}

/// Kill -9 amid writes with so much retained, and a start: when it accepts, and when everything is there.
pub fn startup(table: &mut Table, sawbox: &mut Sawbox, bytes: u64) -> anyhow::Result<()> {
    // Most of it in a topic without a lane, and as much with one as a short while of filling takes.
    let mut producer = Producer::new(&sawbox.brokers(), "bare", RECORD, false, &[])?;
    let mut sent = 0;
    while sawbox.queue_bytes() < bytes {
        let goal = sent + 1_000_000;
        while sent < goal {
            let taken = producer.produce(0, 1000)? as u64;
            sent += taken;
            producer.poll(i32::from(taken == 0));
        }
        producer.drain(sent);
        ensure!(producer.deliveries().failed == 0, "records failed");
    }
    let mut lane = Producer::new(&sawbox.brokers(), "normal", RECORD, false, &[])?;
    let begun = Instant::now();
    let (mut bare_sent, mut lane_sent) = (sent, 0);
    while begun.elapsed() < Duration::from_secs(2) {
        bare_sent += producer.produce(0, 1000)? as u64;
        lane_sent += lane.produce(0, 1000)? as u64;
        producer.poll(0);
        lane.poll(0);
    }
    let acknowledged = (producer.deliveries().delivered, lane.deliveries().delivered);
    sawbox.kill();
    drop((producer, lane));
    let retained = sawbox.queue_bytes();
    let _ = (bare_sent, lane_sent);

    let begun = Instant::now();
    sawbox.spawn()?;
    let address = sawbox.brokers();
    while !answers(&address) {
        ensure!(begun.elapsed() < Duration::from_secs(120), "the box does not come back");
        std::thread::sleep(Duration::from_millis(2));
    }
    let accepts = begun.elapsed().as_secs_f64();
    let mut producer = Producer::new(&address, "bare", RECORD, false, &[("linger.ms", "0".to_owned())])?;
    let sent = producer.produce(0, 1)? as u64;
    producer.drain(sent);
    let written = begun.elapsed().as_secs_f64();
    while sawbox.get("/health/ready").is_err() {
        ensure!(begun.elapsed() < Duration::from_secs(120), "the box does not become ready");
        std::thread::sleep(Duration::from_millis(2));
    }
    let ready = begun.elapsed().as_secs_f64();
    sawbox.settle()?;
    let complete = begun.elapsed().as_secs_f64();
    // Readable from its first record on.
    let mut consumer = Consumer::new(&address, "bare", 0, -2)?;
    ensure!(consumer.take(10_000)?.0 > 0, "the first records are not readable");
    #[allow(clippy::cast_precision_loss)]
    let retained = retained as f64 / 1e9;
    table.row(
        "start after kill -9",
        &format!("accepts after {accepts:.2} s, first ack after {written:.2} s"),
        &format!("{retained:.1} GB retained, {acknowledged:?} acknowledged"),
        Some(("accepts in 1 s".to_owned(), accepts <= 1.0)),
    );
    table.row(
        "… complete, lanes caught up",
        &format!("ready after {ready:.2} s, complete after {complete:.2} s"),
        "",
        Some(("complete in 10 s".to_owned(), complete <= 10.0)),
    );
    Ok(())
}

/// So many topics of four partitions, each with a record, and nothing to do.
pub fn idle(table: &mut Table, sawbox: &mut Sawbox, topics: usize, seconds: u64) -> anyhow::Result<()> {
    let empty = machine::anonymous_mib(sawbox.pid())?;
    for n in 0..topics {
        let name = format!("idle-{n:04}");
        let mut producer = Producer::new(&sawbox.brokers(), &name, RECORD, false, &[("linger.ms", "0".to_owned())])?;
        let mut sent = 0;
        for partition in 0..4 {
            sent += producer.produce(partition, 1)? as u64;
        }
        producer.drain(sent);
        ensure!(producer.deliveries().delivered == 4, "{name}: {} of 4 delivered", producer.deliveries().delivered);
    }
    sawbox.settle()?;
    let after_load = machine::anonymous_mib(sawbox.pid())?;
    std::thread::sleep(Duration::from_secs(2));
    let cpu = machine::cpu_seconds(sawbox.pid())?;
    std::thread::sleep(Duration::from_secs(seconds));
    #[allow(clippy::cast_precision_loss)]
    let cpu = (machine::cpu_seconds(sawbox.pid())? - cpu) / seconds as f64 * 100.0;
    let rss = machine::anonymous_mib(sawbox.pid())?;
    table.row(
        &format!("{topics} topics × 4 partitions, idle"),
        &format!("RssAnon {rss:.0} MiB, CPU {cpu:.2} %"),
        &format!("empty box {empty:.0} MiB, just after the records {after_load:.0} MiB"),
        Some(("under 100 MiB, no CPU".to_owned(), rss < 100.0 && cpu < 0.5)),
    );
    Ok(())
}
