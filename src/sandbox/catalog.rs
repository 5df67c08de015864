//! Which filters there are: names, their versions, and which of them a name stands for now.
//!
//! Stock filters are part of the binary. A filter that is put keeps its name from then on, even if a stock filter has it.
//! Every module that was ever put under a name is a version of it, numbered from 1 in the order of their first coming; the box's
//! own is version 0. Putting the same bytes again makes no new one. Modules are kept by their hash for as long as a generation
//! refers to them ([`super::sweep`]), and so are the current version of each name and its newest ones; that is also why a stock
//! module is written down once a chain uses it: the next release may have another.
//!
//! On disk: `sandbox/modules/<sha256>.wasm`, and `sandbox/CATALOG`, a [`Journal`] whose entries are JSON
//! `{"name", "sha256", "version", "at_ns", "by", "compile_ns", "current"}`: a version came, or was chosen; a hash that the name
//! did not have is a new version, and the last entry of a name with `current` (which is the default, as in the journals of
//! boxes that knew no versions) says what it stands for.
//! Crash story: a module is durable before its entry is; an entry without its module cannot be, and if the disk lost it, the
//! version is listed without bytes, and a name that stood for it falls back to the stock filter or is missing, with a warning.
//! Limits: the journal is written anew once it is twice as long as it was when it was last written, and at least
//! [`CHECKPOINT_BYTES`]; a version costs it some 200 bytes.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::FilterError;
use super::cache::write_whole;
use super::engine::hex;
use super::stock;
use super::sweep::{Recent, Referred, Swept};
use crate::base::clock::Clock;
use crate::base::disk::Disk;
use crate::base::journal::Journal;

/// Where modules are.
const MODULES: &str = "sandbox/modules";
/// Longest name of a filter.
const NAME_BYTES: usize = 64;
/// Size past which the journal is written anew.
const CHECKPOINT_BYTES: u64 = 1 << 20;

/// A module that a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) version: u32,
    pub(super) sha256: Arc<str>,
    pub(super) bytes: usize,
    pub(super) stock: bool,
}

/// Who put a version.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum PutBy {
    /// A program, through the API.
    Api,
    /// A file in the watched folder.
    Folder,
    /// A person, with this program's own commands.
    Cli,
}

/// How a version came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Coming {
    /// When, nanoseconds since 1970; versions of older boxes do not say.
    pub(super) at_ns: Option<i64>,
    pub(super) by: Option<PutBy>,
    /// How long compiling took, if it had to be.
    pub(super) compile_ns: Option<u64>,
}

/// A version of a name.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) number: u32,
    pub(super) sha256: Arc<str>,
    /// Length of the module; none where the disk lost it, or a sweep took it.
    pub(super) bytes: Option<usize>,
    pub(super) coming: Coming,
}

/// What was ever put under a name.
#[derive(Clone, Debug, Default)]
struct Name {
    /// In ascending order.
    versions: Vec<Version>,
    /// The number of the one that the name stands for; 0 is the stock filter.
    current: u32,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    name: String,
    sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_ns: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<PutBy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    compile_ns: Option<u64>,
    #[serde(default = "yes")]
    current: bool,
}

fn yes() -> bool {
    true
}

impl Entry {
    fn new(name: &str, version: &Version, current: bool) -> Self {
        Self {
            name: name.to_owned(),
            sha256: version.sha256.to_string(),
            version: Some(version.number),
            at_ns: version.coming.at_ns,
            by: version.coming.by,
            compile_ns: version.coming.compile_ns,
            current,
        }
    }

    fn to_bytes(&self) -> Result<Vec<u8>, FilterError> {
        serde_json::to_vec(self).map_err(|error| FilterError::Engine(error.to_string()))
    }
}

impl Name {
    fn take(&mut self, entry: &Entry, bytes: Option<usize>) {
        let number = if entry.version == Some(0) {
            0
        } else if let Some(known) = self.versions.iter().find(|known| *known.sha256 == *entry.sha256) {
            known.number
        } else {
            let next = self.versions.last().map_or(1, |last| last.number.saturating_add(1));
            let number = entry.version.unwrap_or(next).max(next);
            let coming = Coming { at_ns: entry.at_ns, by: entry.by, compile_ns: entry.compile_ns };
            self.versions.push(Version { number, sha256: entry.sha256.as_str().into(), bytes, coming });
            number
        };
        if entry.current {
            self.current = number;
        }
    }

    fn version(&self, number: u32) -> Option<&Version> {
        self.versions.iter().find(|version| version.number == number)
    }
}

struct State {
    journal: Journal,
    names: BTreeMap<Arc<str>, Name>,
    /// How long the journal was when it was last written anew.
    written: u64,
}

/// The catalog.
pub(super) struct Catalog {
    disk: Arc<dyn Disk>,
    /// By hash: name.
    stock: BTreeMap<&'static str, &'static str>,
    /// By name: hash and length.
    stock_names: BTreeMap<Arc<str>, Known>,
    state: Mutex<State>,
    /// Two that keep the same module at once would write the same file beside it.
    keeping: Mutex<()>,
    recent: Recent,
}

impl Catalog {
    /// Opens the catalog below `sandbox/`, which must exist.
    pub(super) fn open(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>) -> Result<Self, FilterError> {
        disk.create_dir_all(Path::new(MODULES))?;
        let mut stock_names = BTreeMap::new();
        let mut by_hash = BTreeMap::new();
        for &(name, sha256, bytes) in stock::FILTERS {
            by_hash.insert(sha256, name);
            stock_names.insert(Arc::from(name), Known { version: 0, sha256: sha256.into(), bytes, stock: true });
        }
        let (journal, entries, _) = Journal::open(Arc::clone(&disk), Path::new("sandbox/CATALOG"))?;
        let sizes: BTreeMap<String, u64> =
            disk.list(Path::new(MODULES))?.into_iter().map(|entry| (entry.name, entry.len)).collect();
        let mut names: BTreeMap<Arc<str>, Name> = BTreeMap::new();
        for entry in entries {
            match serde_json::from_slice::<Entry>(&entry) {
                Ok(entry) => {
                    let bytes = sizes.get(&format!("{}.wasm", entry.sha256));
                    let bytes = bytes.map(|bytes| usize::try_from(*bytes).unwrap_or(usize::MAX));
                    names.entry(entry.name.as_str().into()).or_default().take(&entry, bytes);
                }
                Err(error) => tracing::warn!(%error, "an entry of the catalog of filters cannot be read; it is left out"),
            }
        }
        for (filter, name) in &mut names {
            if let Some(version) = name.version(name.current).filter(|version| version.bytes.is_none()) {
                let sha256 = &*version.sha256;
                tracing::warn!(filter = &**filter, sha256, "the module of a filter is missing; the name is left out");
                name.current = 0;
            }
        }
        let written = journal.len();
        let state = Mutex::new(State { journal, names, written });
        Ok(Self { disk, stock: by_hash, stock_names, state, keeping: Mutex::default(), recent: Recent::new(clock) })
    }

    /// All filters by name, as they stand now.
    pub(super) fn all(&self) -> Vec<(Arc<str>, Known)> {
        let mut names: Vec<Arc<str>> = self.state.lock().names.keys().cloned().collect();
        names.extend(self.stock_names.keys().cloned());
        names.sort();
        names.dedup();
        names.into_iter().filter_map(|name| Some((Arc::clone(&name), self.get(&name)?))).collect()
    }

    /// What a name stands for now.
    pub(super) fn get(&self, name: &str) -> Option<Known> {
        let current = self.state.lock().names.get(name).map_or(0, |known| known.current);
        self.version(name, current)
    }

    /// A version of a name whose module is there.
    pub(super) fn version(&self, name: &str, number: u32) -> Option<Known> {
        if number == 0 {
            return self.stock_names.get(name).cloned();
        }
        let state = self.state.lock();
        let version = state.names.get(name)?.version(number)?;
        // Who asks is about to use it: a sweep, which takes this lock too, leaves it.
        self.recent.touch(&version.sha256);
        Some(Known { version: number, sha256: Arc::clone(&version.sha256), bytes: version.bytes?, stock: false })
    }

    /// What was ever put under a name, the oldest first, and the number that it stands for; without the box's own.
    pub(super) fn versions(&self, name: &str) -> (Vec<Version>, u32) {
        let state = self.state.lock();
        state.names.get(name).map_or((Vec::new(), 0), |name| (name.versions.clone(), name.current))
    }

    /// Names that stand for nothing yet.
    pub(super) fn waiting(&self) -> Vec<String> {
        let state = self.state.lock();
        let waits = |(name, known): &(&Arc<str>, &Name)| known.current == 0 && !self.stock_names.contains_key(*name);
        state.names.iter().filter(waits).map(|(name, _)| name.to_string()).collect()
    }

    /// The bytes of a module.
    pub(super) fn module(&self, sha256_wanted: &str) -> Result<Vec<u8>, FilterError> {
        match self.stock.get(sha256_wanted) {
            Some(name) => stock::module(name),
            None => self.module_on_disk(sha256_wanted),
        }
    }

    fn module_on_disk(&self, sha256_wanted: &str) -> Result<Vec<u8>, FilterError> {
        let missing = || FilterError::Missing(format!("the module {sha256_wanted} is not on this box"));
        // A hash comes out of records; it must not become another path.
        if sha256_wanted.len() != 64 || !sha256_wanted.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(missing());
        }
        let Ok(file) = self.disk.open(&module_path(sha256_wanted), false) else { return Err(missing()) };
        let mut wasm = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX)];
        let got = file.read_at(&mut wasm, 0)?;
        wasm.truncate(got);
        if sha256(&wasm) == sha256_wanted {
            Ok(wasm)
        } else {
            Err(FilterError::Missing(format!("the module {sha256_wanted} on this box is damaged; put the filter again")))
        }
    }

    /// Keeps a module, until nobody refers to it any more.
    pub(super) fn keep(&self, sha256: &str, wasm: &[u8]) -> Result<(), FilterError> {
        let path = module_path(sha256);
        let _one = self.keeping.lock();
        self.recent.touch(sha256);
        // By its bytes: a damaged module must become whole again when it is put again.
        if self.module_on_disk(sha256).is_ok() {
            // Its name may be from a life that ended before it was durable.
            self.disk.sync_dir(path.parent().unwrap_or(Path::new("")))?;
        } else {
            write_whole(&self.disk, &path, wasm)?;
        }
        Ok(())
    }

    /// Notes a module that is kept as a version of a name; with `current` the name stands for it from now on. Durable when it
    /// returns. The version's number.
    pub(super) fn note(
        &self,
        name: &str,
        (sha256, bytes): (&str, usize),
        coming: Coming,
        current: bool,
    ) -> Result<u32, FilterError> {
        let mut state = self.state.lock();
        let mut known = state.names.get(name).cloned().unwrap_or_default();
        let mut version = match known.versions.iter_mut().find(|version| *version.sha256 == *sha256) {
            Some(version) => {
                version.bytes = Some(bytes);
                version.clone()
            }
            None => Version { number: 0, sha256: sha256.into(), bytes: Some(bytes), coming },
        };
        if version.number > 0 && (known.current == version.number || !current) {
            let number = version.number;
            // Its module may be back.
            state.names.insert(name.into(), known);
            return Ok(number);
        }
        if version.number == 0 {
            version.number = known.versions.last().map_or(1, |last| last.number.saturating_add(1));
        }
        let entry = Entry::new(name, &version, current);
        known.take(&entry, version.bytes);
        state.write(name, &known, &entry)?;
        Ok(version.number)
    }

    /// Lets a name stand for one of its versions. Durable when it returns.
    pub(super) fn choose(&self, name: &str, number: u32) -> Result<(), FilterError> {
        let known = self.version(name, number);
        let known = known.ok_or_else(|| {
            let why = format!("there is no version {number} of the filter `{name}`, or its module is gone; put it again");
            FilterError::Missing(why)
        })?;
        let mut state = self.state.lock();
        let mut versions = state.names.get(name).cloned().unwrap_or_default();
        if versions.current == number {
            return Ok(());
        }
        let coming = Coming::default();
        let version = Version { number, sha256: known.sha256, bytes: Some(known.bytes), coming };
        let entry = Entry::new(name, versions.version(number).unwrap_or(&version), true);
        versions.take(&entry, version.bytes);
        state.write(name, &versions, &entry)
    }

    /// Removes modules that nobody refers to; of each name the current version stays and the `newest` ones. The hashes of those
    /// that are left, the box's own among them.
    pub(super) fn sweep(&self, referred: &Referred, newest: usize, swept: &mut Swept) -> Result<HashSet<String>, FilterError> {
        let _one = self.keeping.lock();
        let mut state = self.state.lock();
        let mut kept = HashSet::new();
        for (name, known) in &state.names {
            let last = known.versions.len().saturating_sub(newest);
            for (index, version) in known.versions.iter().enumerate() {
                if index >= last || version.number == known.current || referred.has_version(name, version.number) {
                    kept.insert(Arc::clone(&version.sha256));
                }
            }
        }
        let recent = self.recent.all();
        let mut left: HashSet<String> = self.stock.keys().map(|sha256| (*sha256).to_owned()).collect();
        for entry in self.disk.list(Path::new(MODULES))? {
            // Nothing else is the sandbox's; what ends in `.new` a crash left behind half written.
            let Some((sha256, rest)) = entry.name.split_once('.') else { continue };
            let needed = referred.has_module(sha256) || kept.contains(sha256) || recent.contains(sha256);
            if rest == "wasm" && needed {
                left.insert(sha256.to_owned());
            } else if matches!(rest, "wasm" | "wasm.new") {
                self.disk.remove_file(&Path::new(MODULES).join(&entry.name))?;
                swept.add(entry.len);
                if rest == "wasm" {
                    let versions = state.names.values_mut().flat_map(|name| &mut name.versions);
                    versions.filter(|version| *version.sha256 == *sha256).for_each(|version| version.bytes = None);
                }
            }
        }
        Ok(left)
    }
}

impl State {
    /// Makes an entry durable, and then known.
    fn write(&mut self, name: &str, known: &Name, entry: &Entry) -> Result<(), FilterError> {
        let appended = self.journal.append(&entry.to_bytes()?);
        if appended.is_ok() && self.journal.len() <= CHECKPOINT_BYTES.max(self.written.saturating_mul(2)) {
            self.names.insert(name.into(), known.clone());
            return Ok(());
        }
        // A failed write poisons the journal, and only a new file with all that is known heals it.
        let others = self.names.iter().filter(|(other, _)| ***other != *name).map(|(name, known)| (&**name, known));
        let mut entries = Vec::new();
        for (name, known) in others.chain(Some((name, known))) {
            for version in &known.versions {
                entries.push(Entry::new(name, version, version.number == known.current).to_bytes()?);
            }
        }
        let slices: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        let anew = self.journal.checkpoint(&slices);
        if appended.is_err() {
            anew?;
        } else if let Err(error) = anew {
            tracing::warn!(%error, "the catalog of filters was not written anew");
        }
        self.written = self.journal.len();
        self.names.insert(name.into(), known.clone());
        Ok(())
    }
}

fn module_path(sha256: &str) -> PathBuf {
    PathBuf::from(format!("{MODULES}/{sha256}.wasm"))
}

/// The hash that a module goes by.
pub(super) fn sha256(wasm: &[u8]) -> String {
    hex(&Sha256::digest(wasm))
}

/// Whether a filter may have this name.
pub(super) fn check_name(name: &str) -> Result<(), FilterError> {
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
    let first = name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if first && name.len() <= NAME_BYTES && name.bytes().all(fine) {
        Ok(())
    } else {
        Err(FilterError::Refused(format!(
            "`{name}` is no name for a filter; use a-z, 0-9, `-`, `_` and `.`, at most {NAME_BYTES}, beginning with a letter or digit"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::SimClock;
    use crate::base::disk::sim::SimDisk;

    #[test]
    fn a_full_disk_and_a_damaged_module_are_got_over_by_putting_again() {
        let disk = SimDisk::new(1);
        let open = |disk: Arc<SimDisk>| Catalog::open(disk, Arc::new(SimClock::at(0))).unwrap();
        let catalog = open(disk.clone());
        let put = |wasm: &[u8]| {
            let hash = sha256(wasm);
            catalog.keep(&hash, wasm).and_then(|()| catalog.note("f", (&hash, wasm.len()), Coming::default(), true))
        };
        put(b"one").unwrap();
        let used: u64 = disk.files().iter().map(|(_, len)| len).sum();
        disk.set_capacity(Some(used + 30));
        assert!(put(b"two").is_err());
        assert_eq!(catalog.get("f").map(|known| known.sha256), Some(sha256(b"one").into()));
        disk.set_capacity(None);
        put(b"two").unwrap();
        put(b"three").unwrap();
        let hash = sha256(b"three");
        // Also what the journal was written anew from.
        let numbered = |catalog: &Catalog| {
            let (versions, current) = catalog.versions("f");
            (versions.into_iter().map(|version| (version.number, version.sha256.to_string())).collect::<Vec<_>>(), current)
        };
        let all = (1..).zip([&b"one"[..], b"two", b"three"]).map(|(number, wasm)| (number, sha256(wasm))).collect();
        assert_eq!(numbered(&catalog), (all, 3));
        let again = open(disk.crash());
        assert_eq!(numbered(&again), numbered(&catalog));
        assert_eq!(again.get("f").map(|known| known.sha256), Some(hash.as_str().into()));

        let disk = SimDisk::new(2);
        let catalog = open(disk.clone());
        catalog.keep(&hash, b"three").unwrap();
        disk.flip_bit(&module_path(&hash), 3);
        assert!(catalog.module(&hash).is_err());
        catalog.keep(&hash, b"three").unwrap();
        assert_eq!(catalog.module(&hash).unwrap(), b"three");
    }
}
