//! `sawbox logstash import`: a Logstash pipeline's filters as a chain.
//!
//! [`parse`] reads the language, [`variables`] are put in, [`inputs`] makes entries of what inputs give their events, [`chain`] of plugins
//! and branches, [`options`] configuration of their options, [`condition`] says a condition in the search language. Standard output
//! gets configuration that `sawbox check` accepts; standard error what a person must know, in words, each with its file and line.
//! Nothing of Logstash runs here, and no box is asked.
#![allow(clippy::disallowed_methods)] // the files of the person who types, not of the box

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::{Map, Value};

use self::chain::{Common, Entry, Knows, Note, Translation};
use self::inputs::Given;
use self::tree::Item;
use crate::base::predicate;
use crate::sandbox::grok::{self, Custom};
use crate::sandbox::lab::Lone;
use crate::sandbox::{CHAIN_ENTRIES, Config, Sandbox};

mod chain;
mod condition;
mod inputs;
mod options;
mod parse;
#[cfg(test)]
mod tests;
mod tree;
mod variables;

/// Longest pipeline that is read.
const PIPELINE_BYTES: u64 = 8 << 20;

#[derive(Debug, clap::Subcommand)]
pub enum LogstashCommand {
    /// Turn the `filter { … }` blocks of a pipeline into a chain
    #[command(after_help = "Example:
  sawbox logstash import /etc/logstash/conf.d/*.conf --topic web > web.toml
  sawbox check --config web.toml

The chain goes to standard output, what could not be translated to standard error, in words, with its line.
Of inputs only what they give their events is translated (type, tags, add_field), and of outputs nothing: point the shippers that you
have at the box, it speaks their protocols.")]
    Import {
        /// Files of one pipeline, in Logstash's order; `-` is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The topic whose chain it becomes
        #[arg(long, default_value = "logstash")]
        topic: String,
        /// The chain as JSON, as `PUT /api/v1/topics/TOPIC/chain` takes it
        #[arg(long)]
        json: bool,
    },
}

pub fn run(command: LogstashCommand) -> anyhow::Result<()> {
    let LogstashCommand::Import { files, topic, json } = command;
    if !crate::base::limits::is_topic_name(&topic) || topic.starts_with('_') {
        bail!("`{topic}` is no name for a topic: letters, digits, `.`, `_` and `-`, not beginning with `_`");
    }
    let sandbox = crate::sandbox_in_memory(&Config::default(), None)?;
    let (mut pipelines, mut inputs) = (Vec::new(), Vec::new());
    for file in &files {
        let name = file.display().to_string();
        let text = read(file)?;
        let mut pipeline = parse::parse(&text).map_err(|error| anyhow::anyhow!("{name}: {error}"))?;
        let resolved = variables::resolve(&mut pipeline, &|name| std::env::var(name).ok());
        let notes = resolved.into_iter().map(|(line, text)| Note { line, text }).collect();
        inputs.extend(std::mem::take(&mut pipeline.inputs).into_iter().map(|input| (name.clone(), input)));
        pipelines.push((name, file.parent(), pipeline, notes));
    }
    let (mut entries, mut plugins, mut translated, mut others) = (Vec::new(), 0, 0, Vec::new());
    let mut common = Common::default();
    let mut add = |file: &str, beside: Option<&Path>, filters: &[Item], mut notes: Vec<Note>| {
        let knows = Here { sandbox: &sandbox, beside };
        let Translation { entries: more, notes: said, plugins, translated } = chain::translate(filters, &knows, &mut common);
        notes.extend(said);
        let more = sound(more, &mut notes);
        notes.sort_by_key(|note| note.line);
        for note in notes {
            eprintln!("{file}:{}: {}", note.line, note.text);
        }
        entries.extend(more.into_iter().map(|entry| (file.to_owned(), entry)));
        (plugins, translated)
    };
    match inputs::given(&inputs) {
        // No plugins of a `filter` section: they do not count.
        Given::Items(file, items) => _ = add(&file, None, &items, Vec::new()),
        Given::Notes(notes) => notes.iter().for_each(|(file, note)| eprintln!("{file}:{}: {}", note.line, note.text)),
    }
    for (file, beside, pipeline, notes) in pipelines {
        let (seen, done) = add(&file, beside, &pipeline.filters, notes);
        plugins += seen;
        translated += done;
        others.extend(pipeline.others.into_iter().map(|(section, plugin, _)| format!("{section} {plugin}")));
    }
    entries.extend(common.end().map(|entry| (String::new(), entry)));
    if !others.is_empty() {
        others.sort_unstable();
        others.dedup();
        eprintln!("not translated, for the box takes what your shippers send and keeps it: {}", others.join(", "));
    }
    eprintln!("{translated} of {plugins} plugins became entries of the chain of `{topic}`");
    if translated == 0 || entries.is_empty() {
        bail!("nothing became an entry: there is no chain to print");
    }
    if let Some(said) = too_long(entries.len(), &topic) {
        eprintln!("{said}");
    }
    if json {
        let chain: Vec<Written> = entries.iter().map(|(_, entry)| Written::of(entry)).collect();
        println!("{}", serde_json::to_string_pretty(&chain)?);
        return Ok(());
    }
    for (file, entry) in &entries {
        let from = if entry.line == 0 { "@metadata goes no further".to_owned() } else { format!("{file}:{}", entry.line) };
        println!("# {from}\n{}", toml_of(&topic, entry)?);
    }
    Ok(())
}

/// What to do with a chain that no topic may have.
fn too_long(entries: usize, topic: &str) -> Option<String> {
    (entries > CHAIN_ENTRIES).then(|| {
        format!(
            "the chain of `{topic}` has {entries} entries, and a topic's may have {CHAIN_ENTRIES}: `sawbox check` refuses it as it is. \
             Cut it: end the first part with the filter `route` to another topic, and give the rest to that one"
        )
    })
}

fn read(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let what = || format!("cannot read {}", file.display());
    let mut from: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(file).with_context(what)?)
    };
    from.by_ref().take(PIPELINE_BYTES).read_to_string(&mut text).with_context(what)?;
    if from.read(&mut [0])? > 0 {
        bail!("{} is longer than {PIPELINE_BYTES} bytes", file.display());
    }
    Ok(text)
}

/// Leaves out entries whose condition the search language does not take: a regular expression of Ruby's with look-around, say.
fn sound(entries: Vec<Entry>, notes: &mut Vec<Note>) -> Vec<Entry> {
    let mut kept = Vec::new();
    for entry in entries {
        match entry.when.as_deref().map(predicate::parse).transpose() {
            Ok(_) => kept.push(entry),
            Err(error) => {
                let text = format!("`{}` is left out, for its condition cannot be said here: {}", entry.filter, error.message);
                notes.push(Note { line: entry.line, text });
            }
        }
    }
    kept
}

/// An entry as configuration has it.
#[derive(Serialize)]
struct Written<'e> {
    filter: &'e str,
    #[serde(skip_serializing_if = "Option::is_none")]
    when: Option<&'e str>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    config: &'e Map<String, Value>,
}

impl<'e> Written<'e> {
    fn of(entry: &'e Entry) -> Self {
        Self { filter: &entry.filter, when: entry.when.as_deref(), config: &entry.config }
    }
}

fn toml_of(topic: &str, entry: &Entry) -> anyhow::Result<String> {
    #[derive(Serialize)]
    struct Topic<'e> {
        chain: [Written<'e>; 1],
    }
    #[derive(Serialize)]
    struct File<'e> {
        topics: BTreeMap<&'e str, Topic<'e>>,
    }
    let topics = BTreeMap::from([(topic, Topic { chain: [Written::of(entry)] })]);
    toml::to_string(&File { topics }).context("an entry is no TOML")
}

/// What this program knows, with the stock filters it has.
struct Here<'f> {
    sandbox: &'f Arc<Sandbox>,
    /// Directories in a pipeline are meant from here, where they are relative.
    beside: Option<&'f Path>,
}

impl Knows for Here<'_> {
    fn accepts(&self, filter: &str, config: &Map<String, Value>) -> Result<(), String> {
        let module = filter_dist::module(filter).ok_or_else(|| format!("there is no filter `{filter}`"))?;
        match Lone::new(self.sandbox, &module, config, &Map::new()) {
            Ok(_) => Ok(()),
            Err(crate::sandbox::lab::LoneError::Config(why)) => Err(why),
            Err(error) => Err(error.to_string()),
        }
    }

    fn captures(&self, expression: &str, definitions: &Map<String, Value>) -> Option<Vec<String>> {
        let own: Custom =
            definitions.iter().filter_map(|(name, text)| Some((name.clone(), text.as_str()?.to_owned()))).collect();
        let grok = grok::compile(expression, &own).ok()?;
        Some(grok.fields().iter().map(|field| field.name.clone()).collect())
    }

    fn patterns(&self, directory: &str) -> Result<Vec<(String, String)>, String> {
        let path = self.beside.map_or_else(|| PathBuf::from(directory), |beside| beside.join(directory));
        let mut patterns = Vec::new();
        let mut files: Vec<PathBuf> = match std::fs::read_dir(&path) {
            Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()).collect(),
            Err(error) => return Err(error.to_string()),
        };
        files.sort_unstable();
        for file in files {
            let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            patterns.extend(
                lines
                    .filter_map(|line| line.split_once(char::is_whitespace))
                    .map(|(name, text)| (name.into(), text.trim().into())),
            );
        }
        Ok(patterns)
    }
}
