//! Making generations: what people, the configuration, a replaced filter or a quarantine want a topic's records handled by.
//!
//! A generation is a codec and a chain. Everything that can fail (filters that are not there, a schema that is none, a file that
//! cannot be read) fails before the running one is touched.

use std::sync::Arc;

use crate::base::ids::{Generation, TopicId};
use crate::relay::codec::spec::CodecSpec;
use crate::relay::generations::{After, Generations, Listed, MadeBy, Promoted};
use crate::relay::output::GROUP_PREFIX;
use crate::relay::{Relay, RelayError};
use crate::sandbox::{ChainRecord, ChainSpec, FilterInfo};

/// Begins the reason of a generation that a quarantine went back to.
const WENT_BACK: &str = "quarantined: ";

/// What is to be another; `None` stays as it is, `Some(None)` is as nobody had said anything.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// The filters.
    pub chain: Option<Option<ChainSpec>>,
    /// What the records are.
    pub codec: Option<Option<CodecSpec>>,
}

impl Relay {
    /// Gives a topic another chain, from a batch boundary on. Durable when it returns; on an error the running chain stays.
    ///
    /// # Errors
    /// [`RelayError::Filter`] where the chain does not hold.
    pub fn promote(&self, topic: &str, spec: ChainSpec) -> Result<Generation, RelayError> {
        self.change(topic, Change { chain: Some(Some(spec)), codec: None })
    }

    /// As [`Relay::promote`], with what its records are.
    ///
    /// # Errors
    /// [`RelayError::Config`] where the codec does not hold; else as [`Relay::promote`].
    pub fn change(&self, topic: &str, change: Change) -> Result<Generation, RelayError> {
        self.change_because(topic, change, None)
    }

    /// As [`Relay::change`], with the reason for the list of generations.
    pub(super) fn change_because(&self, topic: &str, change: Change, why: Option<String>) -> Result<Generation, RelayError> {
        let generations = self.topic(topic)?;
        let promoted = Promoted { why, ..self.changed(topic, generations.newest(), change)? };
        self.promote_resolved(&generations, promoted)
    }

    /// Whether a topic that is not there could be made with this: as [`Relay::change`] would say, and nothing comes of it.
    ///
    /// # Errors
    /// As there.
    pub fn check_change(&self, topic: &str, change: Change) -> Result<(), RelayError> {
        let promoted = self.changed(topic, None, change)?;
        self.refuse_circle(topic, &promoted.chain)?;
        self.shared.ready(promoted.codec.as_ref(), &promoted.chain).map(drop)
    }

    /// What a topic has with this changed. What it had is what its newest generation is, or the configuration says.
    fn changed(
        &self,
        topic: &str,
        newest: Option<(Generation, Arc<Promoted>)>,
        change: Change,
    ) -> Result<Promoted, RelayError> {
        let (spec, codec) = match newest {
            Some((_, newest)) => (newest.spec.clone(), newest.codec.clone()),
            None => self.shared.configured(topic)?,
        };
        let codec = match change.codec {
            Some(Some(spec)) if spec.avro.as_ref().is_some_and(|avro| avro.schema_file.is_some()) => {
                let why = "avro.schema_file: is for the configuration file; write the schema's text as `schema`";
                return Err(RelayError::Config(why.to_owned()));
            }
            Some(spec) => spec.map(|spec| spec.resolve()).transpose().map_err(RelayError::Config)?,
            None => codec,
        };
        let spec = change.chain.unwrap_or(spec);
        let record = match &spec {
            Some(spec) => self.shared.sandbox.resolve(spec)?,
            None => self.shared.default_chain(codec.as_ref())?,
        };
        Ok(Promoted::new(MadeBy::Hot, spec, record, codec))
    }

    /// Opens a new generation in every topic whose chain names this filter, if that makes a difference. A topic where it
    /// fails keeps its chain; that is logged.
    pub fn filter_replaced(&self, name: &str) -> Vec<(String, Generation)> {
        self.replace(name, |_| true)
    }

    /// [`Relay::filter_replaced`] for some topics.
    pub(crate) fn replace(&self, name: &str, wanted: impl Fn(&Generations) -> bool) -> Vec<(String, Generation)> {
        self.shared.forget_default();
        let mut made = Vec::new();
        for generations in self.shared.all_generations() {
            let Some((_, newest)) = generations.newest() else { continue };
            if !newest.chain.uses(name) || !wanted(&generations) {
                continue;
            }
            match self.again(&generations, &newest, MadeBy::Hot) {
                Ok(Some(generation)) => made.push((generations.name.to_string(), generation)),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(topic = %generations.name, filter = name, %error, "the topic keeps the chain it has");
                }
            }
        }
        made
    }

    /// Resolves what a topic has anew; promotes it if that is something else now.
    fn again(&self, generations: &Arc<Generations>, newest: &Promoted, by: MadeBy) -> Result<Option<Generation>, RelayError> {
        let record = match &newest.spec {
            Some(spec) => self.shared.sandbox.resolve(spec)?,
            None => self.shared.default_chain(newest.codec.as_ref())?,
        };
        if record == newest.chain {
            return Ok(None);
        }
        let made = Promoted::new(by, newest.spec.clone(), record, newest.codec.clone());
        let why = "the chain is the same, but what its filters' names stand for is not".to_owned();
        self.promote_resolved(generations, Promoted { why: Some(why), ..made }).map(Some)
    }

    pub(super) fn topic(&self, name: &str) -> Result<Arc<Generations>, RelayError> {
        let topic = self.shared.queue.topic(name).ok_or_else(|| RelayError::NoTopic(name.to_owned()))?;
        if name.starts_with(GROUP_PREFIX) {
            return Err(RelayError::Config(format!("`{name}` belongs to an output and has no chain")));
        }
        Ok(self.shared.generations(&topic))
    }

    pub(super) fn promote_resolved(
        &self,
        generations: &Arc<Generations>,
        promoted: Promoted,
    ) -> Result<Generation, RelayError> {
        self.promote_after(generations, promoted, After::Any)
    }

    fn promote_after(
        &self,
        generations: &Arc<Generations>,
        mut promoted: Promoted,
        after: After,
    ) -> Result<Generation, RelayError> {
        promoted.at_ns = Some(self.shared.clock.now_ns());
        promoted.held = None;
        // Off the lanes: compiling takes as long as it takes.
        let ready = self.shared.ready(promoted.codec.as_ref(), &promoted.chain)?;
        let (made_by, codec) = (promoted.made_by.name(), promoted.codec.as_ref().map(|codec| codec.name().name()));
        let emitted = |partition| self.shared.emitted(generations.topic, partition);
        // Of two chains that send to each other's topic, one must see the other.
        let one = self.shared.promotions.lock();
        self.refuse_circle(&generations.name, &promoted.chain)?;
        let made = generations.promote(&self.shared.store, emitted, promoted, ready, after);
        drop(one);
        self.shared.wake_topic(generations.topic);
        let generation = made?;
        tracing::info!(topic = %generations.name, generation, by = made_by, codec, "generation promoted");
        Ok(generation)
    }

    /// At the start: chains of the configuration that are not the ones recorded.
    pub(super) fn promote_configured(&self) -> Result<(), RelayError> {
        let all = self.shared.all_generations();
        let is_used = |filter: &FilterInfo| all.iter().any(|topic| topic.made_of(&filter.name, &filter.sha256));
        let filters = self.shared.sandbox.filters().into_iter();
        let unused: Vec<String> = filters.filter(|f| !f.stock && !is_used(f)).map(|f| f.name).collect();
        for generations in self.shared.all_generations() {
            let (wanted, codec) = self.shared.configured(&generations.name)?;
            let made_by = if wanted.is_some() || codec.is_some() { MadeBy::Config } else { MadeBy::Default };
            let changed = match generations.newest_configured() {
                Some(recorded) => recorded.spec != wanted || recorded.codec != codec,
                None => wanted.is_some() || codec.is_some(),
            };
            if changed {
                let record = match &wanted {
                    Some(spec) => self
                        .shared
                        .sandbox
                        .resolve(spec)
                        .map_err(|error| RelayError::Config(format!("topics.{}.chain: {error}", generations.name)))?,
                    None => self.shared.default_chain(codec.as_ref())?,
                };
                self.promote_resolved(&generations, Promoted::new(made_by, wanted, record, codec))?;
                continue;
            }
            // The box ended between keeping a filter that was put and using it: nobody was told that it is in use.
            if let Some((_, newest)) = generations.newest()
                && unused.iter().any(|name| newest.chain.uses(name))
                && let Err(error) = self.again(&generations, &newest, MadeBy::Hot)
            {
                tracing::warn!(topic = %generations.name, %error, "the topic keeps the chain it has");
            }
            // The same words, but another box: its own filters may be newer ones. A person's replacement stays.
            if let Some((_, newest)) = generations.newest()
                && newest.made_by != MadeBy::Hot
                && self.is_all_stock(&newest.chain)
                && let Err(error) = self.again(&generations, &newest, made_by)
            {
                tracing::warn!(topic = %generations.name, %error, "the topic keeps the chain it has");
            }
        }
        Ok(())
    }

    fn is_all_stock(&self, chain: &ChainRecord) -> bool {
        let filters = self.shared.sandbox.filters();
        chain.entries.iter().all(|entry| filters.iter().any(|filter| filter.stock && *filter.name == *entry.filter))
    }

    /// Makes it durable that a quarantined topic is held.
    pub(crate) fn keep_held(&self, topic: TopicId, generation: Generation) {
        let Some(generations) = self.shared.all_generations().into_iter().find(|g| g.topic == topic) else { return };
        if let Err(error) = generations.keep_held(&self.shared.store, generation) {
            tracing::error!(topic = %generations.name, %error, "held, but a restart will not know; it finds out anew");
        }
    }

    /// A quarantined topic goes back to the chain before, unless its chain was replaced meanwhile, or is such a one already.
    pub(crate) fn previous(&self, topic: TopicId, generation: Generation) {
        let Some(generations) = self.shared.all_generations().into_iter().find(|g| g.topic == topic) else { return };
        let Some((_, live)) = generations.newest().filter(|(newest, _)| *newest == generation) else { return };
        if live.why.as_deref().is_some_and(|why| why.starts_with(WENT_BACK)) {
            tracing::error!(topic = %generations.name, generation, "the chain before fails too often as well; it stays");
            return;
        }
        let is_other =
            |one: &Listed| one.ranges.is_empty() && (one.promoted.chain != live.chain || one.promoted.codec != live.codec);
        let Some(before) = generations.list().into_iter().rev().find(is_other) else {
            tracing::error!(topic = %generations.name, generation, "there is no chain before to go back to; it stays");
            return;
        };
        let why = Some(format!(
            "{WENT_BACK}a filter of generation {generation} failed too often; generation {} again",
            before.generation
        ));
        let promoted = Promoted { made_by: MadeBy::Hot, why, ..Promoted::clone(&before.promoted) };
        if let Err(error) = self.promote_after(&generations, promoted, After::This(generation)) {
            tracing::error!(topic = %generations.name, %error, "cannot go back to the chain before");
        }
    }

    /// A quarantined topic's records pass without its chain, unless that was replaced meanwhile. What they are stays.
    pub(crate) fn pass(&self, topic: TopicId, generation: Generation) {
        let Some(generations) = self.shared.all_generations().into_iter().find(|g| g.topic == topic) else { return };
        if generations.newest().is_none_or(|(newest, _)| newest != generation) {
            return;
        }
        let codec = generations.newest().and_then(|(_, newest)| newest.codec.clone());
        let outcome = self.shared.default_chain(codec.as_ref()).and_then(|record| {
            if generations.newest().is_some_and(|(_, newest)| newest.chain == record) {
                return Ok(generation);
            }
            let why = "a filter failed too often: records pass without the chain".to_owned();
            let promoted = Promoted { why: Some(why), ..Promoted::new(MadeBy::Hot, None, record, codec) };
            self.promote_after(&generations, promoted, After::This(generation))
        });
        if let Err(error) = outcome {
            tracing::error!(topic = %generations.name, %error, "cannot let records pass");
        }
    }
}
