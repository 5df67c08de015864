//! `demo`: a box, and a generated web shop that logs to it through a real Lumberjack connection.
//!
//! The last hour is sent at once, so that there is something to look at; then the shop goes on in real time until Ctrl-C.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use sawbox_appliance::lumberjack::Client as Shipper;
use sawbox_appliance::window::Window;
use sawbox_appliance::workload::Shop;

use crate::base::clock::{Clock, RealClock};
use crate::cli::run;
use crate::config::Loaded;

const CONFIG: &str = include_str!("../../appliance/demo.toml");
/// How far back the first lines go.
const BACK_MS: i64 = 3_600_000;

#[derive(Debug, clap::Args)]
pub struct DemoArguments {
    /// Requests a second, from now on
    #[arg(long, default_value_t = 50, value_name = "REQUESTS")]
    rate: u32,
    /// Requests of the hour before, sent at once
    #[arg(long, default_value_t = 60_000, value_name = "REQUESTS")]
    history: u32,
    /// Where the demo's box keeps its data; yours to delete afterwards
    #[arg(long, default_value = "./sawbox-demo-data", value_name = "DIR")]
    data_dir: PathBuf,
    /// Another configuration; its first `ingest.beats` listener must write to a topic with an access-log chain
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// `sawbox demo`
pub fn demo(arguments: &DemoArguments) -> anyhow::Result<()> {
    let mut loaded = match &arguments.config {
        Some(path) => Loaded::from_file(path)?,
        None => Loaded::from_text(Path::new("appliance/demo.toml"), CONFIG.to_owned())?,
    };
    loaded.config.data_dir.clone_from(&arguments.data_dir);
    run::start_logging();
    run::block_on(async {
        let running = crate::start(&loaded).await?;
        run::banner(&loaded.config, &running);
        let beats = running.listeners().iter().find(|listener| listener.name == "Lumberjack (Beats)");
        let address = beats.context("the configuration has no `ingest.beats` listener")?.address.to_string();
        let page = running.listeners().first().map(crate::web::Listener::url).unwrap_or_default();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopping, rate, history) = (stop.clone(), arguments.rate, arguments.history);
        let shop = std::thread::spawn(move || stream(&address, &page, rate, history, &stopping));
        run::stopped().await?;
        stop.store(true, Ordering::Relaxed);
        // Joining waits for the acknowledgement under way, so the box must still be there.
        let ended = tokio::task::spawn_blocking(move || shop.join()).await;
        running.shutdown().await;
        match ended {
            Ok(Ok(result)) => result,
            _ => anyhow::bail!("the shop's thread failed"),
        }
    })
}

fn stream(address: &str, page: &str, rate: u32, history: u32, stop: &AtomicBool) -> anyhow::Result<()> {
    let clock = RealClock::new();
    let mut shop = Shop::new(clock.now_ns().unsigned_abs());
    let mut shipper = Shipper::connect(address).context("cannot reach the box's own Lumberjack port")?;
    let mut window = Window::default();
    let now_ms = clock.now_ns() / 1_000_000;
    for n in 0..i64::from(history) {
        window.push(&shop.request(now_ms - BACK_MS + n * BACK_MS / i64::from(history.max(1))));
        if window.len() == 2048 {
            window.send(&mut shipper)?;
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
    if !window.is_empty() {
        window.send(&mut shipper)?;
    }
    let (program, url) = (super::program(), super::url_argument(page));
    eprintln!("  The shop's last hour is in ({history} requests), and it goes on at {rate} a second.\n");
    eprintln!("  Look at   {page}");
    eprintln!("  or type   {program} query 'tags:zabbix-sender | stats count() by app'{url}");
    eprintln!("            {program} tail 'response>=500' --text{url}\n");
    let begun = clock.monotonic();
    let mut sent = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(200));
        let elapsed = u64::try_from((clock.monotonic() - begun).as_millis()).unwrap_or(0);
        let due = elapsed * u64::from(rate) / 1000;
        for _ in sent..due {
            window.push(&shop.request(clock.now_ns() / 1_000_000));
        }
        if due > sent {
            window.send(&mut shipper)?;
            sent = due;
        }
    }
    Ok(())
}
