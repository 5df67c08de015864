//! `store export`: rows as a file, from a running box or a stopped one's directory.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};

use super::{Place, stopped};
use crate::base::clock::{Clock, RealClock};
use crate::base::time;
use crate::cli::client::Client;
use crate::cli::outlet::Tame;
use crate::store::export::{Format, export as write_rows};
use crate::store::query::{Cancel, Request, parse_at};

#[derive(Debug, clap::Args)]
pub struct ExportArguments {
    /// The query, as in the page; without one, everything
    #[arg(default_value = "*")]
    query: String,
    /// ndjson, csv or parquet [default: as the file is called, else ndjson]
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// The file; standard output without one
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only of this topic
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// From this time on: 2026-11-20T08:00:00Z, an epoch, or back from now: -90s, -15m, -24h, -7d [default: the oldest row]
    #[arg(long, allow_hyphen_values = true, value_name = "TIME")]
    from: Option<String>,
    /// Before this time; written as --from [default: no end]
    #[arg(long, allow_hyphen_values = true, value_name = "TIME")]
    to: Option<String>,
    /// At most this many rows [default: all]
    #[arg(long, short = 'n', value_name = "ROWS")]
    limit: Option<usize>,
    /// Take what there is where rows are missing, because of damage or a restart
    #[arg(long)]
    partial: bool,
    #[command(flatten)]
    place: Place,
}

impl ExportArguments {
    fn chosen(&self) -> anyhow::Result<Format> {
        let extension = self.output.as_deref().and_then(|path| path.extension()).and_then(|name| name.to_str());
        match (&self.format, extension) {
            (Some(name), _) => {
                Format::named(name).with_context(|| format!("there is no format `{name}`: ndjson, csv or parquet"))
            }
            (None, Some(name)) => Ok(Format::named(name).unwrap_or(Format::Ndjson)),
            (None, None) => Ok(Format::Ndjson),
        }
    }
}

/// `sawbox store export`
pub fn export(arguments: &ExportArguments) -> anyhow::Result<()> {
    let format = arguments.chosen()?;
    ensure!(
        format != Format::Parquet || arguments.output.is_some() || !io::stdout().is_terminal(),
        "Parquet is nothing for a terminal; name a file with -o"
    );
    // Whole or not at all: half a file under its name is taken for a whole one.
    let (mut out, rename): (Box<dyn Write + Send>, _) = match &arguments.output {
        Some(path) => {
            let mut part = path.clone().into_os_string();
            part.push(".part");
            let part = PathBuf::from(part);
            let file = File::create(&part).with_context(|| part.display().to_string())?;
            (Box::new(BufWriter::new(file)), Some((part, path)))
        }
        // Who looks at it gets it tamed; who keeps it gets the bytes.
        None if io::stdout().is_terminal() => (Box::new(Tame::new(BufWriter::new(io::stdout()))), None),
        None => (Box::new(BufWriter::new(io::stdout())), None),
    };
    let written = match &arguments.place.data_dir {
        Some(_) => from_directory(arguments, format, &mut out),
        None => from_box(arguments, format, &mut out),
    };
    let flushed = written.and_then(|()| Ok(out.flush()?));
    drop(out);
    match (flushed, rename) {
        (Ok(()), Some((part, path))) => std::fs::rename(&part, path).with_context(|| path.display().to_string()),
        (Err(error), Some((part, _))) => {
            let _ = std::fs::remove_file(part);
            Err(error)
        }
        (done, None) => done,
    }
}

fn from_box(arguments: &ExportArguments, format: Format, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let limit = arguments.limit.map(|limit| limit.to_string());
    let mut pairs = vec![("q", arguments.query.as_str()), ("format", format.extension())];
    pairs.extend(arguments.from.as_deref().map(|from| ("from", from)));
    pairs.extend(arguments.to.as_deref().map(|to| ("to", to)));
    pairs.extend(arguments.topic.as_deref().map(|topic| ("topic", topic)));
    pairs.extend(limit.as_deref().map(|limit| ("limit", limit)));
    pairs.extend(arguments.partial.then_some(("partial", "true")));
    let mut rows = Client::new(&arguments.place.remote.url)
        .stream("/api/v1/export", &pairs)
        .map_err(|error| crate::cli::search::pointed(error, &arguments.query))?;
    let broke_off = match arguments.partial {
        true => "the answer broke off; the box's log says why",
        false => "the answer broke off; the box's log says why. If rows are missing, --partial takes what there is",
    };
    io::copy(&mut rows, out).context(broke_off)?;
    Ok(())
}

fn from_directory(arguments: &ExportArguments, format: Format, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let Some(dir) = &arguments.place.data_dir else { bail!("no data directory") };
    let (look, _lock) = stopped(dir)?;
    let clock = Arc::new(RealClock::new());
    let now = clock.now_ns();
    let query = parse_at(&arguments.query, now).map_err(|error| {
        let before = arguments.query.get(..error.position).unwrap_or(&arguments.query).chars().count();
        anyhow::anyhow!("{}\n  {}\n  {:before$}^", error.message, arguments.query, "")
    })?;
    let instant = |name: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => time::parse_relative(text, now).map(Some).map_err(|why| anyhow::anyhow!("--{name}: {why}")),
    };
    let request = Request {
        from_ns: instant("from", &arguments.from)?,
        to_ns: instant("to", &arguments.to)?,
        limit: arguments.limit.unwrap_or(usize::MAX),
        topics: arguments.topic.clone().map(|topic| vec![topic]),
        newest_first: false,
        ..Request::new(query)
    };
    let sources = look.sources((request.from_ns, request.to_ns), request.topics.as_deref());
    let done = write_rows(&sources, &request, &Cancel::new(clock), format, out)?;
    eprintln!("{} rows; what the box had not stored yet when it ended is in its queue, and not here", done.rows);
    if done.stats.partial || done.stats.damaged > 0 || !look.log().is_whole() {
        let why = done.stats.note.unwrap_or("something is damaged (`sawbox store verify` says what)");
        ensure!(arguments.partial, "rows are missing: {why}; --partial takes what there is");
        eprintln!("rows are missing: {why}");
    }
    Ok(())
}
