//! The sandbox: runs filters, which are WebAssembly modules that strangers wrote, over batches of records.
//!
//! In: [`crate::base::record::Records`]. Out: [`Output`], a verdict and a row a record. The houses above see [`Sandbox`]
//! (which filters there are, which chains can be made of them) and [`Chain`] (runs). It knows nothing of topics, queue or store.
//!
//! **Invariants.** A filter harms no record but those it was given, and of these only the ones it fails on. What it says depends
//! on the records, its module and its configuration, and on nothing else: no clock, no randomness, no load. Host memory is
//! reached only through checked slices of a guest's memory; there is no pointer of a guest's that the host follows.
//!
//! **The way of a call**: [`chain`] selects rows and cuts calls; `frame` writes what the filter reads into the guest's
//! memory and checks the answer; `instance` runs it under fuel and memory limits; `rows` keeps the rows so that a failed
//! call can be undone. The bytes of the frame are described in `sawbox_guest::abi`.
//!
//! **On disk** (all below `sandbox/`): `modules/`, `CATALOG` (see `catalog`), `cache/`, `key` (see `cache`).
//!
//! **Limits**: [`Config`]; [`crate::base::limits::CALL_RECORDS`]; an answer is at most 8 times its input and 64 KiB,
//! and what it stands for is bounded likewise (`frame`).
//!
//! Why core modules beside components: the same frame costs the same through both, but core modules can be made by any language
//! without further tools, and components are all that some languages make.

pub mod chain;
pub mod grok;
pub mod lab;
pub mod state;

mod arena;
mod cache;
mod catalog;
mod check;
mod config;
mod counters;
mod engine;
mod frame;
mod host;
mod instance;
mod lookup;
mod names;
mod output;
mod pool;
mod rows;
mod spec;
mod stock;
mod sweep;
mod trace;
mod validate;
mod versions;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;
use wasmtime::Linker;

pub use arena::Arena;
pub use catalog::PutBy;
pub use chain::Chain;
pub use check::{FilterReport, Unsteady};
pub use config::Config;
pub use counters::FilterCounters;
pub use lookup::{LookupRecord, LookupTable};
pub use output::{Emission, Expired, Joined, Output, Stats, Verdict, VerdictKind};
pub use rows::TAG_LEFT_OUT;
pub use spec::{ChainRecord, ChainSpec, EntryRecord, EntrySpec};
pub use state::State;
pub use sweep::{Referred, Swept};
pub use trace::{Ended, LogLine, Look, Trace, TraceStep};
pub use versions::FilterVersion;

use crate::base::clock::Clock;
use crate::base::disk::Disk;
use crate::base::predicate;
use counters::Counters;
use instance::{Pre, StartError};
use pool::{Loaded, Pool};

/// Most filters of one chain.
pub(crate) const CHAIN_ENTRIES: usize = 64;

/// What can go wrong in the sandbox; a variant is the caller's reaction.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// The module, its configuration or the chain is not right; the sentence is for its author. Nothing has changed.
    #[error("{0}")]
    Refused(String),
    /// No such filter, or its module is gone. Nothing has changed.
    #[error("{0}")]
    Missing(String),
    /// The disk refused; trying again later may help.
    #[error("the sandbox cannot use its disk: {0}")]
    Disk(#[from] std::io::Error),
    /// The engine does not work on this machine.
    #[error("the WebAssembly engine does not work here: {0}")]
    Engine(String),
}

/// A filter as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FilterInfo {
    /// Its name.
    pub name: String,
    /// The version that the name stands for; 0 is the box's own.
    pub version: u32,
    /// Its module, in hexadecimal digits.
    pub sha256: String,
    /// Whether it came with the box.
    pub stock: bool,
    /// Length of its module.
    pub bytes: usize,
    /// The version of the frame it speaks.
    pub abi: u32,
}

/// The filters of the box.
pub struct Sandbox {
    cache: cache::Cache,
    catalog: catalog::Catalog,
    linker: Linker<host::Host>,
    pool: Arc<Pool>,
    clock: Arc<dyn Clock>,
    loaded: Mutex<HashMap<Arc<str>, Weak<Loaded>>>,
    counters: Mutex<HashMap<Arc<str>, Arc<Counters>>>,
    /// Those that somebody may still run.
    chains: Mutex<Vec<Weak<Chain>>>,
    swept: Mutex<Swept>,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Opens the sandbox. Nothing is compiled before it is used.
    ///
    /// # Errors
    /// [`FilterError::Disk`], [`FilterError::Engine`]; [`FilterError::Refused`] for a configuration that makes no sense.
    pub fn open(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, config: Config) -> Result<Arc<Self>, FilterError> {
        config.check().map_err(FilterError::Refused)?;
        disk.create_dir_all(Path::new("sandbox"))?;
        let engine = engine::engine()?;
        Ok(Arc::new(Self {
            linker: host::linker(&engine)?,
            pool: Arc::new(Pool::new(
                config.clone(),
                Arc::new(lookup::Lookups::new(Arc::clone(&disk), Arc::clone(&clock), config.lookup)),
            )),
            cache: cache::Cache::open(Arc::clone(&disk), engine)?,
            catalog: catalog::Catalog::open(disk, Arc::clone(&clock))?,
            clock,
            loaded: Mutex::default(),
            counters: Mutex::default(),
            chains: Mutex::default(),
            swept: Mutex::default(),
        }))
    }

    /// Validates, compiles and durably keeps a filter; chains made from now on use it. Chains that exist stay as they are.
    ///
    /// # Errors
    /// [`FilterError::Refused`] says why it is no filter; [`FilterError::Disk`].
    pub fn put(&self, name: &str, wasm: &[u8]) -> Result<FilterInfo, FilterError> {
        let put = self.put_version(name, wasm, PutBy::Api, true)?;
        Ok(FilterInfo {
            name: name.to_owned(),
            version: put.version,
            sha256: put.sha256,
            stock: false,
            bytes: wasm.len(),
            abi: sawbox_guest::abi::VERSION,
        })
    }

    /// All filters, by name.
    pub fn filters(&self) -> Vec<FilterInfo> {
        let info = |(name, known): (Arc<str>, catalog::Known)| FilterInfo {
            name: name.to_string(),
            version: known.version,
            sha256: known.sha256.to_string(),
            stock: known.stock,
            bytes: known.bytes,
            abi: sawbox_guest::abi::VERSION,
        };
        self.catalog.all().into_iter().map(info).collect()
    }

    /// Checks everything that can be known of a chain before its first record: filters exist, conditions parse, filters accept
    /// their configuration. The modules it uses are kept durably when this returns.
    ///
    /// # Errors
    /// [`FilterError::Refused`] and [`FilterError::Missing`] say which entry and why; [`FilterError::Disk`].
    pub fn resolve(&self, spec: &ChainSpec) -> Result<ChainRecord, FilterError> {
        let mut entries = Vec::new();
        for entry in &spec.0 {
            let (name, pinned) = versions::split(&entry.filter)?;
            let known = match pinned {
                None => self.catalog.get(name).ok_or_else(|| self.no_such(name))?,
                Some(number) => match self.catalog.version(name, number) {
                    Some(known) => known,
                    None => {
                        let version = self.version(name, number)?;
                        return Err(FilterError::Missing(format!(
                            "the module of `{name}@{number}` ({}) is not on this box any more; put it again",
                            version.sha256
                        )));
                    }
                },
            };
            if known.stock {
                self.catalog.keep(&known.sha256, &self.catalog.module(&known.sha256)?)?;
            }
            let filter: Arc<str> = name.into();
            let loaded = self.load_hash(&known.sha256)?;
            let config = Value::Object(entry.config.clone()).to_string().into();
            let lookups =
                self.pool.lookups(&filter, &loaded, &config).map_err(|error| refused(entries.len(), &filter, error))?;
            entries.push(EntryRecord {
                filter,
                sha256: known.sha256,
                abi: sawbox_guest::abi::VERSION,
                when: entry.when.clone(),
                config: entry.config.clone(),
                lookups,
            });
        }
        let record = ChainRecord { entries, engine: engine::ENGINE.to_owned() };
        self.chain(&record)?;
        Ok(record)
    }

    /// Makes a chain of what [`Sandbox::resolve`] gave, now or before a restart.
    ///
    /// # Errors
    /// As [`Sandbox::resolve`].
    pub fn chain(&self, record: &ChainRecord) -> Result<Arc<Chain>, FilterError> {
        self.chain_in(record, &self.pool, &|filter| self.counters_of(filter))
    }

    /// As [`Sandbox::chain`], with instances of this pool and counters of the caller's.
    fn chain_in(
        &self,
        record: &ChainRecord,
        pool: &Arc<Pool>,
        counters: &dyn Fn(&Arc<str>) -> Arc<Counters>,
    ) -> Result<Arc<Chain>, FilterError> {
        if record.entries.len() > CHAIN_ENTRIES {
            return Err(FilterError::Refused(format!("a chain may have at most {CHAIN_ENTRIES} filters")));
        }
        let mut steps = Vec::new();
        for (index, entry) in record.entries.iter().enumerate() {
            let when = match &entry.when {
                Some(text) => Some(predicate::parse(text).map_err(|error| {
                    FilterError::Refused(format!("{}: its `when` is wrong {error}", place(index, &entry.filter)))
                })?),
                None => None,
            };
            let loaded = self.load_hash(&entry.sha256)?;
            let config = Value::Object(entry.config.clone()).to_string().into();
            let guest = pool
                .guest(&entry.filter, &loaded, config, Some(entry.lookups.as_slice().into()), &counters(&entry.filter))
                .map_err(|error| refused(index, &entry.filter, error))?;
            steps.push(chain::Step { guest, when });
        }
        let chain = Arc::new(Chain::new(record.clone(), steps, Arc::clone(pool), Arc::clone(&self.clock)));
        let mut chains = self.chains.lock();
        if chains.len() == chains.capacity() {
            chains.retain(|chain| chain.strong_count() > 0);
        }
        chains.push(Arc::downgrade(&chain));
        Ok(chain)
    }

    /// A table of the folder of lookups as it is now, for queries.
    ///
    /// # Errors
    /// [`FilterError::Refused`] says why there is none.
    pub fn lookup_table(&self, name: &str) -> Result<LookupTable, FilterError> {
        self.pool.table(name).map_err(FilterError::Refused)
    }

    /// The chain of topics that have none of their own.
    ///
    /// # Errors
    /// As [`Sandbox::resolve`].
    pub fn unconfigured(&self) -> Result<ChainRecord, FilterError> {
        self.resolve(&ChainSpec::unconfigured())
    }

    /// What every filter that ran did, by name.
    pub fn counters(&self) -> Vec<FilterCounters> {
        let mut all: Vec<_> = self.counters.lock().iter().map(|(name, counters)| counters.snapshot(name)).collect();
        all.sort_by(|a, b| a.filter.cmp(&b.filter));
        all
    }

    fn counters_of(&self, filter: &Arc<str>) -> Arc<Counters> {
        Arc::clone(self.counters.lock().entry(Arc::clone(filter)).or_default())
    }

    fn no_such(&self, name: &str) -> FilterError {
        let names: Vec<String> = self.catalog.all().iter().map(|(name, _)| name.to_string()).collect();
        if let (versions, 0) = self.catalog.versions(name)
            && let Some(last) = versions.last()
        {
            let number = last.number;
            return FilterError::Missing(format!("`{name}` waits to be promoted; until then a chain says `{name}@{number}`"));
        }
        FilterError::Missing(format!("there is no filter `{name}`; there is: {}", names.join(", ")))
    }

    fn load_bytes(&self, wasm: &[u8]) -> Result<Arc<Loaded>, FilterError> {
        let sha256 = catalog::sha256(wasm);
        if let Some(loaded) = self.loaded.lock().get(&*sha256).and_then(Weak::upgrade) {
            return Ok(loaded);
        }
        validate::bytes(wasm, self.pool.limits().module.as_usize())?;
        let (compiled, now) = self.cache.module(&sha256, wasm)?;
        if now {
            tracing::debug!(sha256, bytes = wasm.len(), "filter compiled");
        }
        let loaded = Arc::new(self.link(sha256.into(), &compiled)?);
        let mut all = self.loaded.lock();
        all.retain(|_, loaded| loaded.strong_count() > 0);
        all.insert(Arc::clone(&loaded.sha256), Arc::downgrade(&loaded));
        Ok(loaded)
    }

    /// Checks what a compiled filter imports and exports, and gives it the former.
    fn link(&self, sha256: Arc<str>, compiled: &cache::Compiled) -> Result<Loaded, FilterError> {
        let refused = |error: wasmtime::Error| FilterError::Refused(format!("{error:#}"));
        match compiled {
            cache::Compiled::Module(module) => {
                validate::module(module)?;
                let pre = self.linker.instantiate_pre(module).map_err(refused)?;
                let imports: Vec<String> = module.imports().map(|import| import.name().to_owned()).collect();
                Ok(Loaded {
                    sha256,
                    pre: Pre::Module(pre),
                    interpreter: validate::interpreter(module),
                    looks_up: imports.iter().any(|import| import == sawbox_guest::abi::import::LOOKUP_OPEN),
                    imports,
                })
            }
            cache::Compiled::Component(component) => {
                validate::component(component)?;
                let pre = host::component_linker(component)?.instantiate_pre(component).map_err(refused)?;
                let imports = host::component_imports(component);
                let looks_up = imports.iter().any(|import| import == sawbox_guest::abi::import::LOOKUP_OPEN);
                Ok(Loaded { sha256, pre: Pre::Component(pre), imports, interpreter: true, looks_up })
            }
        }
    }

    fn load_hash(&self, sha256: &str) -> Result<Arc<Loaded>, FilterError> {
        if let Some(loaded) = self.loaded.lock().get(sha256).and_then(Weak::upgrade) {
            return Ok(loaded);
        }
        self.load_bytes(&self.catalog.module(sha256)?)
    }
}

/// An entry of a chain, for people.
fn place(index: usize, filter: &str) -> String {
    format!("filter {} of the chain, `{filter}`", index + 1)
}

fn refused(index: usize, filter: &str, error: StartError) -> FilterError {
    FilterError::Refused(match error {
        StartError::Refused(why) => format!("{}: {why}", place(index, filter)),
        StartError::Broken(why) => format!("{} does not start: {why}", place(index, filter)),
    })
}
