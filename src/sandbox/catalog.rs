//! Which filters there are: names, and the modules they stand for now.
//!
//! Stock filters are part of the binary. A filter that is put keeps its name from then on, even if a stock filter has it.
//! Modules are kept by their hash for good, because a generation may refer to any that was ever in a chain; that is also why a
//! stock module is written down once a chain uses it: the next release may have another.
//!
//! On disk: `sandbox/modules/<sha256>.wasm`, and `sandbox/CATALOG`, a [`Journal`] whose entries are JSON
//! `{"name": …, "sha256": …}`; the last one of a name counts.
//! Crash story: a module is durable before its name is; an entry without its module cannot be, and if the disk lost it, the name
//! falls back to the stock filter or is missing, with a warning.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::FilterError;
use super::cache::write_whole;
use super::engine::hex;
use super::stock;
use crate::base::disk::Disk;
use crate::base::journal::Journal;

/// Longest name of a filter.
const NAME_BYTES: usize = 64;
/// Size past which the journal is written anew.
const CHECKPOINT_BYTES: u64 = 1 << 20;

/// A filter of the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) sha256: Arc<str>,
    pub(super) bytes: usize,
    pub(super) stock: bool,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    name: String,
    sha256: String,
}

struct State {
    journal: Journal,
    names: BTreeMap<Arc<str>, Known>,
}

/// The catalog.
pub(super) struct Catalog {
    disk: Arc<dyn Disk>,
    stock: BTreeMap<Arc<str>, &'static [u8]>,
    state: Mutex<State>,
}

impl Catalog {
    /// Opens the catalog below `sandbox/`, which must exist.
    pub(super) fn open(disk: Arc<dyn Disk>) -> Result<Self, FilterError> {
        disk.create_dir_all(Path::new("sandbox/modules"))?;
        let mut names = BTreeMap::new();
        let mut by_hash = BTreeMap::new();
        for (name, wasm) in stock::FILTERS {
            let sha256: Arc<str> = sha256(wasm).into();
            by_hash.insert(Arc::clone(&sha256), *wasm);
            names.insert(Arc::from(*name), Known { sha256, bytes: wasm.len(), stock: true });
        }
        let (journal, entries, _) = Journal::open(Arc::clone(&disk), Path::new("sandbox/CATALOG"))?;
        let sizes: BTreeMap<String, u64> =
            disk.list(Path::new("sandbox/modules"))?.into_iter().map(|entry| (entry.name, entry.len)).collect();
        let mut latest = BTreeMap::new();
        for entry in entries {
            match serde_json::from_slice(&entry) {
                Ok(Entry { name, sha256 }) => {
                    latest.insert(name, sha256);
                }
                Err(error) => tracing::warn!(%error, "an entry of the catalog of filters cannot be read; it is left out"),
            }
        }
        for (name, sha256) in latest {
            let Some(bytes) = sizes.get(&format!("{sha256}.wasm")) else {
                tracing::warn!(filter = name, sha256, "the module of a filter is missing; the name is left out");
                continue;
            };
            let bytes = usize::try_from(*bytes).unwrap_or(usize::MAX);
            names.insert(name.into(), Known { sha256: sha256.into(), bytes, stock: false });
        }
        Ok(Self { disk, stock: by_hash, state: Mutex::new(State { journal, names }) })
    }

    /// All filters by name.
    pub(super) fn all(&self) -> Vec<(Arc<str>, Known)> {
        self.state.lock().names.iter().map(|(name, known)| (Arc::clone(name), known.clone())).collect()
    }

    /// The filter of this name.
    pub(super) fn get(&self, name: &str) -> Option<Known> {
        self.state.lock().names.get(name).cloned()
    }

    /// The bytes of a module.
    pub(super) fn module(&self, sha256_wanted: &str) -> Result<Vec<u8>, FilterError> {
        match self.stock.get(sha256_wanted) {
            Some(wasm) => Ok(wasm.to_vec()),
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

    /// Keeps a module for good.
    pub(super) fn keep(&self, sha256: &str, wasm: &[u8]) -> Result<(), FilterError> {
        let path = module_path(sha256);
        // By its bytes: a damaged module must become whole again when it is put again.
        if self.module_on_disk(sha256).is_ok() {
            // Its name may be from a life that ended before it was durable.
            self.disk.sync_dir(path.parent().unwrap_or(Path::new("")))?;
        } else {
            write_whole(&self.disk, &path, wasm)?;
        }
        Ok(())
    }

    /// Lets a name stand for a module that is kept.
    pub(super) fn name(&self, name: &str, sha256: &str, bytes: usize) -> Result<(), FilterError> {
        let mut state = self.state.lock();
        let known = Known { sha256: sha256.into(), bytes, stock: false };
        if state.names.get(name) == Some(&known) {
            return Ok(());
        }
        let appended = state.journal.append(&entry(name, sha256)?);
        if appended.is_ok() && state.journal.len() <= CHECKPOINT_BYTES {
            state.names.insert(name.into(), known);
            return Ok(());
        }
        // A failed write poisons the journal, and only a new file with all that is known heals it.
        let put = state.names.iter().filter(|(other, known)| !known.stock && ***other != *name);
        let mut entries = put.map(|(name, known)| entry(name, &known.sha256)).collect::<Result<Vec<_>, _>>()?;
        entries.push(entry(name, sha256)?);
        let slices: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        let anew = state.journal.checkpoint(&slices);
        if appended.is_err() {
            anew?;
        } else if let Err(error) = anew {
            tracing::warn!(%error, "the catalog of filters was not written anew");
        }
        state.names.insert(name.into(), known);
        Ok(())
    }
}

fn entry(name: &str, sha256: &str) -> Result<Vec<u8>, FilterError> {
    let entry = Entry { name: name.to_owned(), sha256: sha256.to_owned() };
    serde_json::to_vec(&entry).map_err(|error| FilterError::Engine(error.to_string()))
}

fn module_path(sha256: &str) -> PathBuf {
    PathBuf::from(format!("sandbox/modules/{sha256}.wasm"))
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
    use crate::base::disk::sim::SimDisk;

    #[test]
    fn a_full_disk_and_a_damaged_module_are_got_over_by_putting_again() {
        let disk = SimDisk::new(1);
        let catalog = Catalog::open(disk.clone()).unwrap();
        let put = |wasm: &[u8]| {
            let hash = sha256(wasm);
            catalog.keep(&hash, wasm).and_then(|()| catalog.name("f", &hash, wasm.len()))
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
        assert_eq!(Catalog::open(disk.crash()).unwrap().get("f").map(|known| known.sha256), Some(hash.as_str().into()));

        let disk = SimDisk::new(2);
        let catalog = Catalog::open(disk.clone()).unwrap();
        catalog.keep(&hash, b"three").unwrap();
        disk.flip_bit(&module_path(&hash), 3);
        assert!(catalog.module(&hash).is_err());
        catalog.keep(&hash, b"three").unwrap();
        assert_eq!(catalog.module(&hash).unwrap(), b"three");
    }
}
