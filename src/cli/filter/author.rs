//! What an author does before a box is there: make a project, build it, test it, measure it.
//!
//! A project is a folder with `filter.toml`; see [`languages`]. Nothing here speaks to a box, and nothing is kept: each command opens
//! a sandbox of its own, in memory, with the limits that a box has by default.
#![allow(clippy::disallowed_methods)] // the files of the person who types, not of the box

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::cli::program;
use crate::sandbox::{ChainSpec, lab};

mod languages;
mod toolchain;

#[derive(Debug, clap::Subcommand)]
pub enum AuthorCommand {
    /// Make a project in a language: it builds at once, and its fixtures pass
    #[command(after_help = "Example:
  sawbox filter new --lang go mine && cd mine
  sawbox filter build && sawbox filter test && sawbox filter bench")]
    New {
        /// rust, c, zig, go, assemblyscript, javascript or python
        #[arg(long, value_name = "LANG")]
        lang: String,
        /// Its name, which is the folder's too: letters, digits, `_`, `-`
        name: String,
    },
    /// Build a project to NAME.wasm, with the toolchain that is installed
    Build {
        /// The project's folder
        #[arg(default_value = ".")]
        directory: PathBuf,
    },
    /// Run the fixtures of a project, or of a module: does the filter what they say
    Test {
        /// The project's folder, or a `.wasm` file
        #[arg(default_value = ".")]
        what: PathBuf,
        /// The fixtures [default: fixtures.toml beside the module]
        #[arg(long, value_name = "FILE")]
        fixtures: Option<PathBuf>,
        /// The report as JSON
        #[arg(long)]
        json: bool,
    },
    /// Measure a filter: nanoseconds, fuel and megabytes a second, for calls of 1, 64 and 1024 records
    Bench {
        /// The project's folder, or a `.wasm` file
        #[arg(default_value = ".")]
        what: PathBuf,
        /// Records to measure on, one a line [default: those of the fixtures]
        #[arg(long, value_name = "FILE")]
        records: Option<PathBuf>,
        /// The filter's configuration, a JSON object [default: that of the fixtures]
        #[arg(long, value_name = "JSON")]
        config: Option<String>,
        /// Measure a whole chain of stock filters instead: a JSON list of {"filter", "when", "config"}
        #[arg(long, value_name = "FILE", conflicts_with_all = ["what", "config"], requires = "records")]
        chain: Option<PathBuf>,
        /// Milliseconds for each size of call
        #[arg(long, default_value_t = 1000)]
        millis: u64,
        /// The report as JSON
        #[arg(long)]
        json: bool,
    },
    /// Run a dead letter's bundle again (`sawbox dead bundle`): does it fail in the same way, after the same fuel
    Reproduce {
        /// The file
        bundle: PathBuf,
        /// The report as JSON
        #[arg(long)]
        json: bool,
    },
}

/// `filter.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Project {
    name: String,
    language: String,
    /// A command of the shell, instead of what `filter build` does.
    build: Option<String>,
}

/// A module, and what stands beside it.
struct Module {
    path: PathBuf,
    wasm: Vec<u8>,
    fixtures: PathBuf,
}

/// `sawbox filter new`, `build`, `test`, `bench`.
pub fn run(command: &AuthorCommand) -> anyhow::Result<()> {
    match command {
        AuthorCommand::New { lang, name } => new(lang, name),
        AuthorCommand::Reproduce { bundle, json } => crate::cli::dead::reproduce_file(bundle, *json),
        AuthorCommand::Build { directory } => build(directory).map(|_| ()),
        AuthorCommand::Test { what, fixtures, json } => test(what, fixtures.as_deref(), *json),
        AuthorCommand::Bench { what, records, config, chain, millis, json } => {
            let each = Duration::from_millis(*millis);
            match (chain, records) {
                (Some(chain), Some(records)) => bench_chain(chain, records, each, *json),
                _ => bench(what, records.as_deref(), config.as_deref(), each, *json),
            }
        }
    }
}

fn new(lang: &str, name: &str) -> anyhow::Result<()> {
    let Some(language) = languages::find(lang) else {
        let all: Vec<&str> = languages::LANGUAGES.iter().map(|language| language.name).collect();
        bail!("there is no template for `{lang}`; there is: {}", all.join(", "));
    };
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    // No box takes one that begins with `_`.
    if name.is_empty() || name.len() > 64 || !name.bytes().all(fine) || name.starts_with(['-', '_']) {
        bail!(
            "`{name}` is no name for a filter: letters, digits, `_` and `-`, at most 64 of them, the first a letter or a digit"
        );
    }
    let folder = Path::new(name);
    std::fs::create_dir(folder).with_context(|| format!("cannot make the folder {name}"))?;
    for (path, text) in language.project(name) {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        }
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    println!("{name}/ is a filter in {}; {} is the place to begin", language.title, folder.join(language.source).display());
    println!("needed: {}", language.install);
    println!("next:");
    println!("  cd {name}");
    for command in ["build", "test", "bench"] {
        println!("  {} filter {command}", program());
    }
    Ok(())
}

fn project(directory: &Path) -> anyhow::Result<Project> {
    let path = directory.join("filter.toml");
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!(
            "{} is no filter's project ({} cannot be read); `{} filter new` makes one",
            directory.display(),
            path.display(),
            program()
        )
    })?;
    toml::from_str(&text).with_context(|| path.display().to_string())
}

/// Builds a project; the module's path comes back.
fn build(directory: &Path) -> anyhow::Result<PathBuf> {
    let project = project(directory)?;
    let module = format!("{}.wasm", project.name);
    let said = match &project.build {
        Some(command) => toolchain::shell(directory, command)?,
        None => {
            let language = languages::find(&project.language)
                .with_context(|| format!("filter.toml: `{}` is no language that can be built here", project.language))?;
            toolchain::build(language, directory, &module)?
        }
    };
    let path = directory.join(&module);
    let wasm = std::fs::read(&path).with_context(|| format!("{said}\ndid not make {}", path.display()))?;
    println!("{said}");
    println!("{} has {} bytes", path.display(), wasm.len());
    Ok(path)
}

/// The module of a project, built if it is not there yet, or of a file.
fn module(what: &Path) -> anyhow::Result<Module> {
    let path = if what.is_dir() {
        let path = what.join(format!("{}.wasm", project(what)?.name));
        if path.exists() { path } else { build(what)? }
    } else {
        what.to_owned()
    };
    let wasm = std::fs::read(&path).with_context(|| path.display().to_string())?;
    let fixtures = path.with_file_name("fixtures.toml");
    Ok(Module { path, wasm, fixtures })
}

fn sandbox() -> anyhow::Result<std::sync::Arc<crate::sandbox::Sandbox>> {
    crate::sandbox_in_memory(&crate::sandbox::Config::default(), None)
}

fn test(what: &Path, fixtures: Option<&Path>, json: bool) -> anyhow::Result<()> {
    let module = module(what)?;
    let fixtures = fixtures.unwrap_or(&module.fixtures);
    let text = std::fs::read_to_string(fixtures).with_context(|| format!("no fixtures: {}", fixtures.display()))?;
    let report = lab::fixtures::run(&*sandbox()?, &module.wasm, &text)
        .with_context(|| format!("{} with {}", module.path.display(), fixtures.display()))?;
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{report}");
    }
    if !report.passed() {
        bail!("{} does not do what {} says", module.path.display(), fixtures.display());
    }
    Ok(())
}

fn bench(what: &Path, records: Option<&Path>, config: Option<&str>, each: Duration, json: bool) -> anyhow::Result<()> {
    let module = module(what)?;
    let beside = std::fs::read_to_string(&module.fixtures).ok().map(|text| lab::fixtures::payloads(&text)).transpose()?;
    let (of_fixtures, mut payloads) = beside.unwrap_or_default();
    let config: Map<String, Value> = match config {
        Some(text) => serde_json::from_str(text).context("--config must be a JSON object")?,
        None => of_fixtures,
    };
    if let Some(path) = records {
        payloads = lines(path)?;
    }
    let lone = lab::Lone::new(&*sandbox()?, &module.wasm, &config, &Map::new())?;
    measure(&lone, &payloads, each, json)
}

fn bench_chain(chain: &Path, records: &Path, each: Duration, json: bool) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(chain).with_context(|| chain.display().to_string())?;
    let chain: ChainSpec = serde_json::from_str(&text).with_context(|| format!("{} is no chain", chain.display()))?;
    measure(&lab::Lone::of(&*sandbox()?, &chain)?, &lines(records)?, each, json)
}

fn lines(path: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let text = std::fs::read(path).with_context(|| path.display().to_string())?;
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    Ok(lines.take(lab::bench::RECORDS).map(<[u8]>::to_vec).collect())
}

fn measure(lone: &lab::Lone, payloads: &[Vec<u8>], each: Duration, json: bool) -> anyhow::Result<()> {
    if payloads.is_empty() {
        bail!("there are no records to measure on: give --records FILE, with one a line");
    }
    let report = lab::bench::run(lone, payloads, &mut clock(), &[1, 64, 1024], each);
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    let [stored, dropped, failed, held] = report.verdicts;
    println!(
        "{} records of {:.0} bytes; of all that were given to it {stored} stored, {dropped} dropped, {failed} failed, {held} held",
        report.records, report.bytes_a_record
    );
    println!("{:>12} {:>12} {:>12} {:>10}", "RECORDS/CALL", "NS/RECORD", "FUEL/RECORD", "MB/S");
    for measured in &report.calls {
        println!("{:>12} {:>12.0} {:>12} {:>10.1}", measured.call_records, measured.ns, measured.fuel, measured.mb_a_second);
    }
    Ok(())
}

/// Time that this thread has run, nanoseconds, so that other load on the machine does not count; where the system does not tell,
/// the time on the wall.
pub fn clock() -> impl FnMut() -> u64 {
    let begun = Instant::now();
    move || {
        let ran = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
        let ran = ran.and_then(|text| text.split(' ').next()?.parse().ok());
        ran.unwrap_or_else(|| u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}
