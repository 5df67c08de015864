//! What needs a running box: a swap under load, and a replay beside the live rate.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::table::Table;

const API: &str = "http://127.0.0.1:17800";
const TOPIC: &str = "web";
/// How long the lane is watched, without swaps and with.
const WATCHED: Duration = Duration::from_secs(10);
/// Raw bytes of `sawbox bench` and of the replayed topic.
const BYTES: &str = "300MB";

/// A box that is killed when it goes out of scope.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn measure(sawbox: &Path, dist: &Path, text: &[u8], table: &mut Table) -> anyhow::Result<()> {
    let live = live_rate(sawbox)?;
    table.row("live rate, `sawbox bench`", &format!("{live:.0} records/s"), "", None);
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("sawbox.toml");
    std::fs::write(
        &config,
        "[web]\nlisten = \"127.0.0.1:17800\"\n[[topics.web.chain]]\nfilter = \"swapped\"\n[[topics.web.chain]]\nfilter = \"drop\"\nwhen = 'request:\"/f5.txt\"'\n",
    )?;
    let module = std::fs::read(dist.join("access-log.wasm"))?;
    let data = folder.path().join("data");
    std::fs::create_dir(&data)?;
    let log = std::fs::File::create(folder.path().join("log"))?;
    // What a chain of the configuration names may lie in the folder.
    let filters = data.join("filters");
    std::fs::create_dir(&filters)?;
    std::fs::write(filters.join("swapped.wasm"), &module)?;
    let mut command = Command::new(sawbox);
    command.args(["run", "--config"]).arg(&config).arg("--data-dir").arg(&data);
    let child = command.stdout(Stdio::null()).stderr(log).spawn()?;
    let mut running = Running(child);
    wait(|| {
        ensure!(running.0.try_wait()?.is_none(), "the box ended: {}", std::fs::read_to_string(folder.path().join("log"))?);
        Ok(ureq::get(format!("{API}/health")).call().is_ok())
    })?;
    swap(&module, text, table)?;
    replay(live, table)
}

fn live_rate(sawbox: &Path) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let output =
        Command::new(sawbox).args(["bench", "--json", "--bytes", BYTES, "--data-dir"]).arg(folder.path().join("b")).output()?;
    ensure!(output.status.success(), "sawbox bench: {}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout)?;
    report["records_per_second"].as_f64().context("sawbox bench gave no rate")
}

fn get(path: &str) -> anyhow::Result<Value> {
    let text = ureq::get(format!("{API}{path}")).call()?.body_mut().read_to_string()?;
    Ok(serde_json::from_str(&text)?)
}

fn wait(mut done: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !done()? {
        ensure!(begun.elapsed() < Duration::from_secs(120), "waited two minutes");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Records that the topic's lanes have come to, and those that there are.
fn lanes() -> anyhow::Result<(u64, u64)> {
    let topics = get("/api/v1/topics")?;
    let web =
        topics["topics"].as_array().and_then(|all| all.iter().find(|topic| topic["name"] == TOPIC)).context("no topic")?;
    let sum = |name: &str| web["partitions"].as_array().into_iter().flatten().filter_map(|one| one[name].as_u64()).sum();
    Ok((sum("next"), sum("high_watermark")))
}

/// The longest time that a lane under full load stood still, without swaps and with one every half second.
fn swap(module: &[u8], text: &[u8], table: &mut Table) -> anyhow::Result<()> {
    let over = AtomicBool::new(false);
    let (quiet, swapped, swaps) = std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let _ = ureq::post(format!("{API}/api/v1/ingest/{TOPIC}")).send(text);
                }
            });
        }
        let watched = || -> anyhow::Result<_> {
            wait(|| Ok(lanes().is_ok_and(|(next, _)| next > 0)))?;
            std::thread::sleep(Duration::from_secs(2));
            let quiet = longest_pause()?;
            let swaps = scope.spawn(|| swap_again_and_again(module));
            let swapped = longest_pause()?;
            over.store(true, Ordering::Relaxed);
            Ok((quiet, swapped, swaps.join().unwrap_or(0)))
        };
        let got = watched();
        over.store(true, Ordering::Relaxed);
        got
    })?;
    table.row(
        "longest pause of a lane under full load",
        &format!("{:.0} ms", quiet.as_secs_f64() * 1e3),
        &format!("{:.0} ms with {swaps} swaps in {} s", swapped.as_secs_f64() * 1e3, WATCHED.as_secs()),
        None,
    );
    Ok(())
}

/// Puts the module with another tail, as often as can be in the time.
fn swap_again_and_again(module: &[u8]) -> u32 {
    let begun = Instant::now();
    let mut swaps = 0;
    while begun.elapsed() < WATCHED {
        // A custom section changes the hash and nothing else.
        let tail = format!("v{swaps:06}");
        let mut other = module.to_vec();
        other.extend([0, 10, 2, b's', b'w']);
        other.extend(tail.as_bytes());
        if ureq::put(format!("{API}/api/v1/filters/swapped")).send(&other[..]).is_ok() {
            swaps += 1;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    swaps
}

fn longest_pause() -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let (mut last, mut moved, mut longest) = (lanes()?.0, Instant::now(), Duration::ZERO);
    while begun.elapsed() < WATCHED {
        let (next, end) = lanes()?;
        // A lane that has nothing to do does not pause.
        if next != last || next >= end {
            longest = longest.max(moved.elapsed());
            (last, moved) = (next, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(longest)
}

/// How fast the whole topic is parsed again, with nothing else to do.
fn replay(live: f64, table: &mut Table) -> anyhow::Result<()> {
    wait(|| lanes().map(|(next, end)| next >= end))?;
    let text = ureq::post(format!("{API}/api/v1/topics/{TOPIC}/replay")).send("{}")?.body_mut().read_to_string()?;
    let job: Value = serde_json::from_str(&text)?;
    let id = job["id"].as_u64().context("a replay without an id")?;
    let begun = Instant::now();
    let mut status = Value::Null;
    wait(|| {
        status = get(&format!("/api/v1/replays/{id}"))?;
        Ok(matches!(status["state"].as_str(), Some("done" | "failed" | "cancelled")))
    })?;
    ensure!(status["state"] == "done", "the replay ended so: {status}");
    let records = status["records"].as_f64().context("a replay without records")?;
    let rate = records / begun.elapsed().as_secs_f64();
    table.row(
        "replay, live idle",
        &format!("{rate:.0} records/s of {records:.0}"),
        &format!("{:.2} x live", rate / live),
        Some(("at least 2 x live".into(), rate >= 2.0 * live)),
    );
    Ok(())
}
