//! The folder people drop filters into: `<data>/filters`.
//!
//! ```text
//! <topic>/<name>.wasm        replaces the filter of that name in the topic's chain, or comes last in it
//! <topic>/<name>.toml        beside it, if wanted: when = "…", [config] …
//! <name>.wasm                goes into the catalog; every chain that names it gets a new generation
//! <…>/<name>.error.txt       written by the box: why the file beside it was not taken
//! ```
//! A file is taken when length and time have stayed the same between two looks, so a copy under way is not. What the system
//! reports is only a reason to look; what is there is the truth. A file that lies there at a start, and that a generation was made
//! of before, is not taken again: whoever rolled back meanwhile meant it. One that comes or changes later is wanted, an older one too.
//! What is dropped here is promoted at once; a version that is to be tried first is put through the API or by
//! `sawbox filter put --no-promote`.
//!
//! Before the first chain is made at a start, [`provide`] takes the filters that the catalog does not know by name yet: a box that is
//! set up with a configuration and a folder has all that the configuration names.
//!
//! Why `std::fs` here: it is the user's folder, with the user's files; nothing durable of the box lies in it.
#![allow(clippy::disallowed_methods, reason = "the user's folder, not the box's: no crash story to simulate")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crossbeam_channel::Sender;
use notify::Watcher;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::relay::control::Control;
use crate::relay::generations::Promoted;
use crate::relay::{Relay, RelayError};
use crate::sandbox::{ChainSpec, EntrySpec, PutBy, Sandbox};

/// Longest file looked at: above what the sandbox takes, so that it is the one to say no.
const MODULE_BYTES: u64 = 64 * 1024 * 1024;
/// Most files looked at in one folder.
const FILES: usize = 10_000;

type Stamp = (u64, Option<SystemTime>);

#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    wasm: Stamp,
    toml: Option<Stamp>,
    /// Whether somebody put it there in this life of the box.
    is_news: bool,
    taken: bool,
}

/// What became of a file.
enum Outcome {
    Taken,
    /// What runs was made of it already.
    Same,
    /// It was used before, and is not any more.
    Left,
}

/// What a `.toml` beside a filter may say.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Beside {
    when: Option<String>,
    config: serde_json::Map<String, serde_json::Value>,
}

/// The folder as it was when last looked at.
pub(crate) struct Watch {
    folder: PathBuf,
    seen: BTreeMap<PathBuf, Seen>,
    /// Whether it was ever looked at.
    looked: bool,
}

impl Watch {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, seen: BTreeMap::new(), looked: false }
    }

    /// Makes the folder and asks the system to report what happens in it. Without reports, files are found at the next start.
    pub(crate) fn start(&self, control: Sender<Control>) -> Option<notify::RecommendedWatcher> {
        let started = std::fs::create_dir_all(&self.folder).map_err(notify::Error::io).and_then(|()| {
            let mut watcher = notify::recommended_watcher(move |report: notify::Result<notify::Event>| {
                if report.is_ok_and(|report| !report.kind.is_access()) {
                    // The relay is closing if nobody listens.
                    let _ = control.send(Control::Look);
                }
            })?;
            watcher.watch(&self.folder, notify::RecursiveMode::Recursive)?;
            Ok(watcher)
        });
        match started {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                tracing::warn!(folder = %self.folder.display(), %error, "cannot watch the filters' folder");
                None
            }
        }
    }

    /// Looks at every file and takes those that are new and have settled. Whether some have not yet.
    pub(crate) fn look(&mut self, relay: &Relay) -> bool {
        let mut unsettled = false;
        let mut found = modules(&self.folder);
        for topic in folders(&self.folder) {
            found.extend(modules(&topic));
        }
        self.seen.retain(|path, _| found.contains_key(path));
        let is_news = std::mem::replace(&mut self.looked, true);
        for (path, (wasm, toml)) in found {
            match self.seen.get_mut(&path) {
                Some(seen) if (seen.wasm, seen.toml) == (wasm, toml) => {
                    if seen.taken {
                        continue;
                    }
                    seen.taken = true;
                    let is_news = seen.is_news;
                    self.report(&path, self.take(relay, &path, is_news));
                }
                _ => {
                    self.seen.insert(path, Seen { wasm, toml, is_news, taken: false });
                    unsettled = true;
                }
            }
        }
        unsettled
    }

    fn take(&self, relay: &Relay, path: &Path, is_news: bool) -> Result<Outcome, RelayError> {
        let bytes = read(path)?;
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let shared = relay.shared();
        let topic = path.parent().filter(|parent| *parent != self.folder).and_then(|parent| parent.file_name());
        let known = shared.sandbox.filters().iter().any(|filter| filter.name == name && filter.sha256 == sha256);
        let Some(topic) = topic else {
            let before = shared.all_generations().iter().any(|topic| topic.made_of(name, &sha256));
            if before && !known && !is_news {
                return Ok(Outcome::Left);
            }
            if !known {
                shared.sandbox.put_version(name, &bytes, PutBy::Folder, true)?;
            }
            // Also what a box that ended meanwhile had put and not promoted everywhere.
            let made = relay.replace(name, |topic| is_news || !topic.made_of(name, &sha256));
            return Ok(if known && made.is_empty() { Outcome::Same } else { Outcome::Taken });
        };
        let topic = topic.to_str().ok_or_else(|| RelayError::Config("the folder's name is no topic's".into()))?;
        // Without a .toml what the chain says of the filter stays.
        let beside = match std::fs::read_to_string(path.with_extension("toml")) {
            Ok(text) => Some(toml::from_str::<Beside>(&text).map_err(|e| RelayError::Config(format!("{name}.toml: {e}")))?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(RelayError::Config(format!("{name}.toml: {error}"))),
        };
        if shared.queue.topic(topic).is_none() {
            // Before it is made.
            shared.sandbox.check(&bytes)?;
        }
        let generations = relay.ensure_topic(topic)?;
        let has = |made: &Promoted| {
            made.chain.entries.iter().any(|entry| {
                let same = |beside: &Beside| entry.when == beside.when && entry.config == beside.config;
                *entry.filter == *name && *entry.sha256 == *sha256 && beside.as_ref().is_none_or(same)
            })
        };
        let (_, live) = relay.live(&generations)?;
        if has(&live) {
            return Ok(Outcome::Same);
        }
        if !is_news && generations.any(has) {
            return Ok(Outcome::Left);
        }
        // Checked before the catalog changes: what does not hold leaves no trace.
        shared.sandbox.check(&bytes)?;
        let mut entries = relay.written(&live);
        // Whatever version was pinned: the file is what is wanted now.
        let mut own: Vec<&mut EntrySpec> = entries.iter_mut().filter(|entry| entry.name() == name).collect();
        own.iter_mut().for_each(|entry| name.clone_into(&mut entry.filter));
        match (&mut own[..], beside) {
            ([_, ..], None) => {}
            ([old], Some(beside)) => (old.when, old.config) = (beside.when, beside.config),
            ([], beside) => {
                let Beside { when, config } = beside.unwrap_or_default();
                entries.push(EntrySpec { filter: name.to_owned(), when, config });
            }
            (several, Some(_)) => {
                let count = several.len();
                return Err(RelayError::Config(format!(
                    "the chain of `{topic}` has `{name}` {count} times, and {name}.toml cannot say which is meant: \
                     `sawbox filter promote {name}#1 --topic {topic}` can"
                )));
            }
        }
        if !known {
            shared.sandbox.put_version(name, &bytes, PutBy::Folder, true)?;
        }
        relay.promote(&generations.name, ChainSpec(entries)).map(|_| Outcome::Taken)
    }

    /// Says beside the file why it was not taken, or takes an older such word away.
    fn report(&self, path: &Path, outcome: Result<Outcome, RelayError>) {
        let beside = path.with_extension("error.txt");
        match outcome {
            Ok(outcome) => {
                match outcome {
                    Outcome::Taken => tracing::info!(file = %path.display(), "filter taken from the folder"),
                    Outcome::Same => tracing::debug!(file = %path.display(), "filter of the folder is in use"),
                    Outcome::Left => {
                        let todo = "copy it there again to use it, or take it away";
                        tracing::info!(file = %path.display(), todo, "filter left in the folder: another was promoted since it was used");
                    }
                }
                // Mostly there is none.
                let _ = std::fs::remove_file(beside);
            }
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "filter not taken; what runs stays");
                if let Err(error) = std::fs::write(&beside, format!("{error}\n")) {
                    tracing::warn!(file = %beside.display(), %error, "cannot say so beside the file");
                }
            }
        }
    }
}

/// Puts the folder's filters whose names nobody knows yet, so that chains can name them. What cannot be taken is said by the look
/// that follows every start.
pub fn provide(folder: &Path, sandbox: &Sandbox) {
    let known: BTreeSet<String> = sandbox.filters().into_iter().map(|filter| filter.name).collect();
    for path in modules(folder).into_keys() {
        let Some(name) = path.file_stem().and_then(|name| name.to_str()).filter(|name| !known.contains(*name)) else {
            continue;
        };
        let put = read(&path).and_then(|bytes| Ok(sandbox.put_version(name, &bytes, PutBy::Folder, true)?));
        if let Err(error) = put {
            tracing::debug!(file = %path.display(), %error, "filter not provided");
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, RelayError> {
    let wrong = |error: std::io::Error| RelayError::Config(format!("{}: {error}", path.display()));
    let length = std::fs::metadata(path).map_err(wrong)?.len();
    if length > MODULE_BYTES {
        return Err(RelayError::Config(format!("{}: {length} bytes; at most {MODULE_BYTES}", path.display())));
    }
    std::fs::read(path).map_err(wrong)
}

/// Folders in a folder.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().take(FILES).filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path()).collect()
}

/// Modules in a folder with their stamps, and their `.toml`'s.
fn modules(folder: &Path) -> BTreeMap<PathBuf, (Stamp, Option<Stamp>)> {
    let stamp = |path: &Path| {
        let found = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
        Some((found.len(), found.modified().ok()))
    };
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeMap::new() };
    let paths = entries.flatten().take(FILES).map(|entry| entry.path());
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .filter_map(|path| Some((stamp(&path)?, stamp(&path.with_extension("toml")), path)))
        .map(|(wasm, toml, path)| (path, (wasm, toml)))
        .collect()
}
