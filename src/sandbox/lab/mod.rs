//! The lab: a filter looked at by itself, by its author. Does it what its fixtures say ([`fixtures`]), what does it cost
//! ([`bench`]), what does it say to one record ([`Lone`]).
//!
//! In: a module's bytes, a configuration, records. Out: reports. Nothing is read, written or kept: the catalog does not learn of
//! the module. No clock either; who measures brings one.
//!
//! Invariant: what runs here is a chain like any other, on the same engine with the same limits, so what the lab says is what a
//! topic would get.
//!
//! Why no small host of its own: it would drift from the real one, and an author's tests would pass on what the box refuses.

pub mod bench;
pub mod bundle;
pub mod fixtures;

use std::sync::Arc;

use serde_json::{Map, Value};

use super::chain::Step;
use super::instance::StartError;
use super::{Arena, Chain, ChainRecord, ChainSpec, EntryRecord, Expired, FilterError, Output, Sandbox, State, engine, stock};
use crate::base::record::Records;

/// Name of a filter that has none.
pub const NAME: &str = "(candidate)";
/// The stock filter that sets fields before the candidate.
const SETS_FIELDS: &str = "tag";

/// A filter in a chain of its own.
#[derive(Debug)]
pub struct Lone {
    chain: Arc<Chain>,
}

/// Why there is no [`Lone`].
#[derive(Debug, thiserror::Error)]
pub enum LoneError {
    /// The filter does not like its configuration.
    #[error("it refuses the configuration: {0}")]
    Config(String),
    /// The module is no filter, or does not start.
    #[error("{0}")]
    Broken(#[from] FilterError),
}

impl Lone {
    /// Makes a chain of a module and its configuration. `fields` are set on every record before, as an earlier filter would.
    ///
    /// # Errors
    /// See [`LoneError`].
    pub fn new(
        sandbox: &Sandbox,
        wasm: &[u8],
        config: &Map<String, Value>,
        fields: &Map<String, Value>,
    ) -> Result<Self, LoneError> {
        let mut steps = Vec::new();
        let mut entries = Vec::new();
        let mut add = |name: &str, wasm: &[u8], config: &Map<String, Value>| {
            let loaded = sandbox.load_bytes(wasm)?;
            let text = Value::Object(config.clone()).to_string().into();
            let guest =
                sandbox.pool.guest(&name.into(), &loaded, text, None, &Arc::default()).map_err(|error| match error {
                    StartError::Refused(why) => LoneError::Config(why),
                    StartError::Broken(why) => FilterError::Refused(format!("the filter does not start: it {why}")).into(),
                })?;
            entries.push(EntryRecord {
                filter: name.into(),
                sha256: Arc::clone(&loaded.sha256),
                abi: sawbox_guest::abi::VERSION,
                when: None,
                config: config.clone(),
                lookups: Vec::new(),
            });
            steps.push(Step { guest, when: None });
            Ok::<_, LoneError>(())
        };
        if !fields.is_empty() {
            // From the box's own, whatever the catalog calls by this name.
            add(
                SETS_FIELDS,
                &stock::module(SETS_FIELDS)?,
                &Map::from_iter([("fields".to_owned(), Value::Object(fields.clone()))]),
            )?;
        }
        add(NAME, wasm, config)?;
        let record = ChainRecord { entries, engine: engine::ENGINE.to_owned() };
        let chain = Chain::new(record, steps, Arc::clone(&sandbox.pool), Arc::clone(&sandbox.clock));
        Ok(Self { chain: Arc::new(chain) })
    }

    /// A whole chain of filters that the sandbox knows.
    ///
    /// # Errors
    /// [`LoneError::Broken`]: which entry is not right, and why.
    pub fn of(sandbox: &Sandbox, chain: &ChainSpec) -> Result<Self, LoneError> {
        Ok(Self { chain: sandbox.chain(&sandbox.resolve(chain)?)? })
    }

    /// Runs it over records, at most `call_records` a call. The records of a partition begin with an empty state.
    pub fn run<'b>(&self, records: &Records<'b>, arena: &'b Arena, state: &mut State, call_records: usize) -> Output<'b> {
        self.chain.run_cut(records, arena, state, call_records)
    }

    /// Gives back what waits, until some time; to be called until nothing comes. See [`Chain::expire`].
    pub fn expire<'b>(&self, now_ns: i64, arena: &'b Arena, state: &mut State) -> Option<Expired<'b>> {
        self.chain.expire(now_ns, arena, state)
    }
}
