//! `run`, `check` and `config`: a box in this process, from its configuration to its clean end.

use std::io::IsTerminal;
use std::path::Path;

use anyhow::Context;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::base::low;
use crate::cli::Source;
use crate::config::{Config, Loaded, Problem};

/// Every key with its meaning and its default; a test holds it equal to `Config::default()`, but for where the data lies.
const DEFAULTS: &str = include_str!("../../appliance/sawbox.toml");

#[derive(Debug, Default, clap::Args)]
pub struct RunArguments {
    #[command(flatten)]
    source: Source,
}

#[derive(Debug, clap::Args)]
pub struct CheckArguments {
    #[command(flatten)]
    source: Source,
}

impl Default for Source {
    fn default() -> Self {
        Self { config: std::env::var_os("SAWBOX_CONFIG").map(Into::into), data_dir: None }
    }
}

/// The configuration cannot be used, however often it is tried.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Misconfigured(Problem);

impl Misconfigured {
    /// What the program ends with: `EX_CONFIG` of `sysexits.h`, by which systemd knows that starting it again is of no use.
    pub const EXIT: u8 = 78;
}

impl Source {
    /// Reads and checks the configuration.
    pub fn load(&self) -> anyhow::Result<Loaded> {
        let mut loaded = match &self.config {
            Some(path) => Loaded::from_file(path).map_err(Misconfigured)?,
            None => Loaded::defaults(),
        };
        if let Some(dir) = &self.data_dir {
            loaded.config.data_dir.clone_from(dir);
        }
        Ok(loaded)
    }
}

/// `sawbox run`
pub fn run(arguments: &RunArguments) -> anyhow::Result<()> {
    start_logging();
    let loaded = arguments.source.load()?;
    if let Some(warning) = loaded.exposed_secret() {
        tracing::warn!("{warning}");
    }
    block_on(async {
        let running = crate::start(&loaded).await?;
        // Who collects logs wants lines of one kind; who sits before it wants to read.
        if std::io::stderr().is_terminal() {
            banner(&loaded.config, &running);
        }
        say_ready(&loaded.config, &running);
        stopped().await?;
        running.shutdown().await;
        Ok(())
    })
}

/// `sawbox check`
pub fn check(arguments: &CheckArguments) -> anyhow::Result<()> {
    let loaded = arguments.source.load()?;
    crate::check(&loaded)?;
    if let Some(warning) = loaded.exposed_secret() {
        eprintln!("warning: {warning}");
    }
    match &loaded.path {
        Some(path) => println!("{}: fine", path.display()),
        None => println!("the defaults are fine"),
    }
    Ok(())
}

/// `sawbox config`
pub fn print_default() -> anyhow::Result<()> {
    print!("{}", DEFAULTS.replacen("\"/var/lib/sawbox\"", "\"./sawbox-data\"", 1));
    Ok(())
}

/// A thousand topics and as many connections want more open files than a shell's default; take what the machine allows.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, ?current, "cannot raise the limit of open files");
    }
}

/// Runs the network side: two threads are enough, since everything that computes has threads of its own.
pub fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("network")
        .on_thread_start(low::prompt)
        .enable_all()
        .build()
        .context("cannot start the network threads")?;
    let done = runtime.block_on(future);
    // Whatever still hangs (a reader that never reads) must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    done
}

/// Waits for SIGTERM or SIGINT.
pub async fn stopped() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Human on a terminal, JSON otherwise; `SAWBOX_LOG` sets what is said (`info`, `debug`, `info,sawbox::relay=debug` …).
pub fn start_logging() {
    let asked = std::env::var("SAWBOX_LOG").unwrap_or_default();
    let (shown, mistake) = match shown(&asked) {
        Ok(shown) => (shown, None),
        Err(error) => (Targets::new().with_default(LevelFilter::INFO), Some(error)),
    };
    let lines = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        lines.compact().with_target(false).finish().with(shown).init();
    } else {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).finish().with(shown).init();
    }
    if let Some(error) = mistake {
        tracing::warn!(%error, "SAWBOX_LOG is not understood: what is said is `info`");
    }
}

/// What is said, as `SAWBOX_LOG` asks for it; `info` where it asks for nothing.
fn shown(asked: &str) -> Result<Targets, ParseError> {
    /// Below `info` the compiler of filters says ten thousand lines: only where it is asked for by name.
    const COMPILER: [&str; 2] = ["cranelift", "wasmtime"];
    let asked: Targets = if asked.is_empty() { "info" } else { asked }.parse()?;
    let level = asked.default_level().unwrap_or(LevelFilter::OFF);
    let compiler = COMPILER.map(|target| (target, level.min(LevelFilter::INFO)));
    Ok(Targets::new().with_default(level).with_targets(compiler).with_targets(asked))
}

/// Why the command failed. Where JSON was logged this is a line of it, too, however many lines the sentence has.
pub fn say_failed(error: &anyhow::Error) {
    if tracing::enabled!(tracing::Level::ERROR) && !std::io::stderr().is_terminal() {
        tracing::error!(error = format!("{error:#}"), "Sawbox cannot go on");
    } else {
        eprintln!("sawbox: {error:#}");
    }
}

/// The last line of a start: for those who read logs, not banners.
pub fn say_ready(config: &Config, running: &crate::Running) {
    if !std::io::stderr().is_terminal() {
        let page = running.listeners().first().map(crate::web::Listener::url).unwrap_or_default();
        tracing::info!(version = env!("CARGO_PKG_VERSION"), page, data = absolute(&config.data_dir), "Sawbox is ready");
        if config.listens_beyond_loopback() {
            tracing::warn!("listens beyond loopback and has no sign-in: whoever reaches this box may read and write");
        }
        if config.speaks_plainly() {
            tracing::warn!("a Kafka port beyond loopback has no TLS: whoever is on the way can read the records");
        }
    }
}

/// Where everything is: the first thing a newcomer looks for.
pub fn banner(config: &Config, running: &crate::Running) {
    let data = absolute(&config.data_dir);
    let page = running.listeners().first().map(crate::web::Listener::url).unwrap_or_default();
    let (program, url) = (super::program(), super::url_argument(&page));
    eprintln!("\nSawbox {} is ready.\n", env!("CARGO_PKG_VERSION"));
    for listener in running.listeners() {
        eprintln!("  {:<22} {}", listener.name, listener.url());
    }
    eprintln!("  {:<22} {}", "data", data);
    eprintln!("\n  Try it:   echo hello | {program} send first{url} && {program} query hello{url}");
    eprintln!("  Stop it:  Ctrl-C; what was acknowledged stays.\n");
    if config.listens_beyond_loopback() {
        eprintln!("  Warning: this box listens beyond loopback and has no sign-in: whoever reaches it may read and write.\n");
    }
    if config.speaks_plainly() {
        eprintln!("  Warning: a Kafka port beyond loopback has no TLS: whoever is on the way can read the records.\n");
    }
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::filter::LevelFilter;

    #[test]
    fn what_is_said_goes_by_name_and_level() {
        for (asked, own, relay, compiler) in [
            ("", "info", "info", "info"),
            ("debug", "debug", "debug", "info"),
            ("warn", "warn", "warn", "warn"),
            ("off", "off", "off", "off"),
            ("sawbox::relay=trace", "off", "trace", "off"),
            ("info,sawbox::relay=debug", "info", "debug", "info"),
            ("debug,cranelift=trace", "debug", "debug", "trace"),
        ] {
            let shown = super::shown(asked).unwrap();
            for (target, least) in [("sawbox", own), ("sawbox::relay::lane", relay), ("cranelift_codegen::context", compiler)] {
                let least: LevelFilter = least.parse().unwrap();
                let levels = [
                    tracing::Level::ERROR,
                    tracing::Level::WARN,
                    tracing::Level::INFO,
                    tracing::Level::DEBUG,
                    tracing::Level::TRACE,
                ];
                for level in levels {
                    assert_eq!(shown.would_enable(target, &level), level <= least, "{asked}: {target} {level}");
                }
            }
        }
        assert!(super::shown("sawbox=zz").is_err());
    }
}
