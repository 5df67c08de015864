//! The folder people drop filters into: `<data>/filters`.
//!
//! ```text
//! <topic>/<name>.wasm        replaces the filter of that name in the topic's chain, or comes last in it
//! <topic>/<name>.toml        beside it, if wanted: when = "…", [config] …
//! <name>.wasm                goes into the catalog; every chain that names it gets a new generation
//! <…>/<name>.error.txt       written by the box: why the file beside it was not taken
//! ```
//! A file is taken when length and time have stayed the same between two looks, so a copy under way is not. What the system
//! reports is only a reason to look; what is there is the truth. A file that a generation was made of before is not taken
//! again after a restart: whoever rolled back meanwhile meant it. What is dropped here is promoted at once; a version that is to
//! be tried first is put through the API or by `sawbox filter put --no-promote`.
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
    taken: bool,
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
}

impl Watch {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, seen: BTreeMap::new() }
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
        for (path, (wasm, toml)) in found {
            let fresh = Seen { wasm, toml, taken: false };
            match self.seen.get_mut(&path) {
                Some(seen) if (seen.wasm, seen.toml) == (wasm, toml) => {
                    if seen.taken {
                        continue;
                    }
                    seen.taken = true;
                    self.report(&path, self.take(relay, &path));
                }
                _ => {
                    self.seen.insert(path, fresh);
                    unsettled = true;
                }
            }
        }
        unsettled
    }

    fn take(&self, relay: &Relay, path: &Path) -> Result<(), RelayError> {
        let bytes = read(path)?;
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let shared = relay.shared();
        let topic = path.parent().filter(|parent| *parent != self.folder).and_then(|parent| parent.file_name());
        let known = shared.sandbox.filters().iter().any(|filter| filter.name == name && filter.sha256 == sha256);
        let Some(topic) = topic else {
            let before = shared.all_generations().iter().any(|topic| topic.made_of(name, &sha256));
            if !known && !before {
                shared.sandbox.put_version(name, &bytes, PutBy::Folder, true)?;
            }
            if known || !before {
                // Also what a box that ended meanwhile had put and not promoted everywhere.
                relay.replace(name, |topic| !topic.made_of(name, &sha256));
            }
            return Ok(());
        };
        let topic = topic.to_str().ok_or_else(|| RelayError::Config("the folder's name is no topic's".into()))?;
        // Without a .toml what the chain says of the filter stays.
        let beside = match std::fs::read_to_string(path.with_extension("toml")) {
            Ok(text) => Some(toml::from_str::<Beside>(&text).map_err(|e| RelayError::Config(format!("{name}.toml: {e}")))?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(RelayError::Config(format!("{name}.toml: {error}"))),
        };
        let generations = relay.ensure_topic(topic)?;
        let before = generations.any(|made| {
            made.chain.entries.iter().any(|entry| {
                let same = |beside: &Beside| entry.when == beside.when && entry.config == beside.config;
                *entry.filter == *name && *entry.sha256 == *sha256 && beside.as_ref().is_none_or(same)
            })
        });
        if before {
            return Ok(());
        }
        // Checked before the catalog changes: what does not hold leaves no trace.
        shared.sandbox.check(&bytes)?;
        if !known {
            shared.sandbox.put_version(name, &bytes, PutBy::Folder, true)?;
        }
        let mut entries = match generations.newest() {
            Some((_, newest)) => newest.spec.clone().map(|spec| spec.0).unwrap_or_default(),
            None => Vec::new(),
        };
        match (entries.iter_mut().find(|old| old.name() == name), beside) {
            // Whatever version was pinned: the file is what is wanted now.
            (Some(old), None) => name.clone_into(&mut old.filter),
            (Some(old), Some(beside)) => (old.filter, old.when, old.config) = (name.to_owned(), beside.when, beside.config),
            (None, beside) => {
                let Beside { when, config } = beside.unwrap_or_default();
                entries.push(EntrySpec { filter: name.to_owned(), when, config });
            }
        }
        let spec = ChainSpec(entries);
        relay.promote(&generations.name, spec).map(drop)
    }

    /// Says beside the file why it was not taken, or takes an older such word away.
    fn report(&self, path: &Path, outcome: Result<(), RelayError>) {
        let beside = path.with_extension("error.txt");
        match outcome {
            Ok(()) => {
                tracing::info!(file = %path.display(), "filter taken from the folder");
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
