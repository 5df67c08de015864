//! `bench`: a whole box, driven over real sockets, measured from outside.
//!
//! The box runs as a process of its own, so that its CPU time and memory are its own and not the generator's; both come from the
//! kernel (`/proc/<pid>`). What is measured is the whole way: Lumberjack over TCP, fsync before every acknowledgement, the
//! `access-log` filter in its sandbox, the store. It ends when every record is a row, and the disk is measured after a clean stop,
//! which flushes.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use sawbox_appliance::lumberjack::Client as Shipper;
use sawbox_appliance::window::Window;
use sawbox_appliance::workload::Shop;

use crate::base::clock::{Clock, RealClock};
use crate::base::units::Bytes;
use crate::cli::client::Client;

#[derive(Debug, clap::Args)]
pub struct BenchArguments {
    /// How much to send, in access lines: 100MB, 1GB, 2GiB
    #[arg(long, default_value = "1GB", value_name = "SIZE")]
    bytes: Bytes,
    /// Shippers that send at the same time
    #[arg(long, default_value_t = 2, value_name = "SHIPPERS")]
    connections: usize,
    /// Records of a window, acknowledged together
    #[arg(long, default_value_t = 2048, value_name = "RECORDS")]
    window: usize,
    /// Where the box keeps its data meanwhile; must not exist, and is removed afterwards
    #[arg(long, default_value = "./sawbox-bench-data", value_name = "DIR")]
    data_dir: PathBuf,
    /// Leave the data directory there
    #[arg(long)]
    keep: bool,
    /// Machine-readable, one JSON object
    #[arg(long)]
    json: bool,
}

/// A box in a process of its own; killed if the benchmark fails.
struct BoxProcess {
    child: Child,
}

impl Drop for BoxProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `sawbox bench`
pub fn bench(arguments: &BenchArguments) -> anyhow::Result<()> {
    ensure!(arguments.connections > 0 && arguments.window > 0, "at least one connection and one record a window");
    ensure!(!arguments.data_dir.exists(), "{} exists; `--data-dir` names another", arguments.data_dir.display());
    let done = drive(arguments);
    if !arguments.keep {
        let _ = std::fs::remove_dir_all(&arguments.data_dir);
    }
    done
}

fn drive(arguments: &BenchArguments) -> anyhow::Result<()> {
    let (page, beats, others) = (free_port()?, free_port()?, [free_port()?, free_port()?, free_port()?]);
    std::fs::create_dir_all(&arguments.data_dir)?;
    let config = arguments.data_dir.join("bench.toml");
    let data = arguments.data_dir.join("data");
    let text = format!(
        r#"data_dir = {data:?}
web.listen = "127.0.0.1:{page}"
ingest.elastic.listen = "127.0.0.1:{}"
[[ingest.beats]]
listen = "127.0.0.1:{beats}"
topic = "web"
[[ingest.syslog]]
listen = "127.0.0.1:{}"
[[ingest.kafka]]
listen = "127.0.0.1:{}"
[[topics.web.chain]]
filter = "access-log"
[[topics.web.chain]]
filter = "drop"
when = 'request:"/f5.txt"'
[[topics.web.chain]]
filter = "tag"
when = 'response:503'
config = {{ add = ["zabbix-sender"] }}
"#,
        others[0], others[1], others[2]
    );
    #[allow(clippy::disallowed_methods)] // not the box's data: what a person would write
    std::fs::write(&config, text)?;
    let mut running = start_box(&config)?;
    let pid = running.child.id();
    let client = Client::new(&format!("http://127.0.0.1:{page}"));

    let clock = RealClock::new();
    let (sent_records, sent_bytes, peak, over) =
        (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let idle = anonymous_memory(pid).unwrap_or(0);
    let cpu_before = cpu_seconds(pid)?;
    let begun = clock.monotonic();
    let share = arguments.bytes.0 / arguments.connections as u64;
    std::thread::scope(|scope| -> anyhow::Result<()> {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                peak.fetch_max(anonymous_memory(pid).unwrap_or(0), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let shippers: Vec<_> = (0..arguments.connections)
            .map(|n| {
                scope.spawn({
                    let (sent_records, sent_bytes, clock) = (&sent_records, &sent_bytes, &clock);
                    move || ship(n as u64, beats, share, arguments.window, clock, sent_records, sent_bytes)
                })
            })
            .collect();
        let results: Vec<_> = shippers.into_iter().map(|shipper| shipper.join()).collect();
        let ended = results.into_iter().try_for_each(|result| result.unwrap_or_else(|_| bail!("a shipper panicked")));
        let caught_up = ended.and_then(|()| wait_until_stored(&client, sent_records.load(Ordering::Relaxed)));
        over.store(true, Ordering::Relaxed);
        caught_up
    })?;
    let seconds = (clock.monotonic() - begun).as_secs_f64();
    let cpu = cpu_seconds(pid)? - cpu_before;
    stop_box(&mut running)?;
    let cpu_flushed = cpu; // the flush at the end belongs to stopping, not to the rate
    let records = sent_records.load(Ordering::Relaxed);
    let raw = sent_bytes.load(Ordering::Relaxed);
    let (queue, store) = (folder_bytes(&data.join("queue")), folder_bytes(&data.join("store")));
    #[allow(clippy::cast_precision_loss)]
    let report = serde_json::json!({
        "records": records,
        "raw_bytes": raw,
        "seconds": seconds,
        "records_per_second": records as f64 / seconds,
        "mb_per_second": raw as f64 / 1e6 / seconds,
        "cpu_seconds_per_raw_gb": cpu_flushed / (raw as f64 / 1e9),
        "cpu_us_per_record": cpu_flushed * 1e6 / records as f64,
        "rss_anon_idle_mib": idle as f64 / 1048576.0,
        "rss_anon_peak_mib": peak.load(Ordering::Relaxed) as f64 / 1048576.0,
        "queue_bytes": queue,
        "store_bytes": store,
        "raw_to_store_ratio": raw as f64 / store.max(1) as f64,
        "raw_to_disk_ratio": raw as f64 / (queue + store).max(1) as f64,
    });
    if arguments.json {
        println!("{report}");
    } else {
        for (name, value) in report.as_object().into_iter().flatten() {
            match value.as_f64() {
                Some(number) if value.is_f64() => println!("{name:<24} {number:>16.2}"),
                _ => println!("{name:<24} {value:>16}"),
            }
        }
    }
    Ok(())
}

/// One shipper: full windows, one after another, each acknowledged before the next.
fn ship(
    seed: u64,
    port: u16,
    bytes: u64,
    window: usize,
    clock: &RealClock,
    sent_records: &AtomicU64,
    sent_bytes: &AtomicU64,
) -> anyhow::Result<()> {
    let mut shop = Shop::new(seed + 1);
    let mut shipper = Shipper::connect(("127.0.0.1", port))?;
    let mut requests = Window::default();
    let mut sent = 0;
    while sent < bytes {
        let now_ms = clock.now_ns() / 1_000_000;
        for _ in 0..window {
            requests.push(&shop.request(now_ms));
        }
        let raw = requests.send(&mut shipper)?;
        sent += raw;
        sent_records.fetch_add(window as u64, Ordering::Relaxed);
        sent_bytes.fetch_add(raw, Ordering::Relaxed);
    }
    Ok(())
}

/// Waits until the lanes have handled every record.
fn wait_until_stored(client: &Client, records: u64) -> anyhow::Result<()> {
    for _ in 0..6_000 {
        let topics = client.get("/api/v1/topics", &[])?;
        let web = topics["topics"].as_array().into_iter().flatten().find(|topic| topic["name"] == "web");
        let handled = web.and_then(|web| web["counters"]["records"].as_u64()).unwrap_or(0);
        if handled >= records {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("the lanes did not catch up within two minutes")
}

fn start_box(config: &Path) -> anyhow::Result<BoxProcess> {
    let exe = std::env::current_exe().context("cannot find this program")?;
    let child = Command::new(exe)
        .arg("run")
        .arg("--config")
        .arg(config)
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start a box")?;
    let mut running = BoxProcess { child };
    let stderr = running.child.stderr.take().context("no standard error")?;
    let mut said = String::new();
    let mut lines = BufReader::new(stderr).lines();
    for line in &mut lines {
        let line = line?;
        if line.contains("is ready") {
            // What it says from here on is not wanted, but must not block it.
            std::thread::spawn(move || lines.for_each(drop));
            return Ok(running);
        }
        said.push_str(&line);
        said.push('\n');
    }
    bail!("the box did not start:\n{said}")
}

fn stop_box(running: &mut BoxProcess) -> anyhow::Result<()> {
    let pid = i32::try_from(running.child.id()).ok().and_then(rustix::process::Pid::from_raw).context("no process")?;
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    let status = running.child.wait()?;
    ensure!(status.success(), "the box ended with {status}");
    Ok(())
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// User and system time of a process, from the kernel.
#[allow(clippy::disallowed_methods)]
fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let text = String::from_utf8(std::fs::read(format!("/proc/{pid}/stat"))?)?;
    let fields: Vec<&str> = text.rsplit_once(')').context("no stat")?.1.split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    // utime and stime, in ticks of 1/100 s on Linux.
    Ok((ticks(11) + ticks(12)) / 100.0)
}

#[allow(clippy::disallowed_methods)]
fn anonymous_memory(pid: u32) -> Option<u64> {
    let text = String::from_utf8(std::fs::read(format!("/proc/{pid}/status")).ok()?).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

fn folder_bytes(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    entries
        .filter_map(Result::ok)
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => folder_bytes(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}
