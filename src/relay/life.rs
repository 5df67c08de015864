//! The life of a version, from the topics' side: what uses it, what a topic's chain would be with it, promoting it, rolling back.
//!
//! Promoting for the whole box lets the filter's name stand for the version; every chain that says the plain name goes over to it.
//! Promoting for one topic writes the version into that topic's chain (`name@3`, or the plain name where that is the same), which
//! from then on stays with it. A roll back is a promote of an older generation's chain, with the very modules it had, as a new
//! generation: history is never rewritten by it. Everything happens at a batch boundary, durable before it is used; the answer
//! names the first offset of each partition.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::base::ids::{Generation, Offset, PartitionId};
use crate::relay::codec::spec::{CodecRecord, CodecSpec};
use crate::relay::generations::{Generations, Listed, Promoted};
use crate::relay::history::Range;
use crate::relay::{ChainEntry, Change, Relay, RelayError};
use crate::sandbox::{ChainRecord, ChainSpec, EntrySpec, FilterVersion};

/// The first offset of a partition that a generation handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct First {
    /// The partition.
    pub partition: PartitionId,
    /// The offset.
    pub offset: Offset,
}

/// A generation that was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Opened {
    /// The topic.
    pub topic: Arc<str>,
    /// The generation.
    pub generation: Generation,
    /// Where it begins.
    pub from: Vec<First>,
}

/// A generation of a topic.
#[derive(Clone, Debug, Serialize)]
pub struct GenerationStatus {
    /// Its number.
    pub generation: Generation,
    /// Whether new records are handled by it.
    pub live: bool,
    /// `default` (nobody configured a chain), `config` (the file), `hot` (while the box ran) or `replay`.
    pub made_by: &'static str,
    /// Why, where somebody said so.
    pub why: Option<String>,
    /// When, nanoseconds since 1970; unknown of those of older boxes.
    pub at_ns: Option<i64>,
    /// Where it begins.
    pub from: Vec<First>,
    /// Of a replay, what it made anew.
    pub ranges: Vec<Range>,
    /// What the records were, if anybody said so.
    pub codec: Option<CodecSpec>,
    /// Its filters, in order.
    pub chain: Vec<ChainEntry>,
}

/// A topic that stays with another version of a filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// The topic.
    pub topic: Arc<str>,
    /// Which version it has.
    pub version: Option<u32>,
}

/// What came of promoting a version.
#[derive(Clone, Debug, Serialize)]
pub struct Promotion {
    /// The filter.
    pub filter: String,
    /// The version.
    pub version: u32,
    /// Topics that go on with it.
    pub generations: Vec<Opened>,
    /// Topics that use the filter but stay with another version: their chain names it, or the new one does not take its
    /// configuration (then the log says why).
    pub kept: Vec<Kept>,
}

/// A chain that somebody wishes a topic to have: a whole one, or the live one with one filter changed.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The whole chain.
    pub chain: Option<ChainSpec>,
    /// The live chain, with this filter in another version; last in it if it is not there. A chain may have several of that name: with
    /// `#` and a number behind it, that one of them alone, counted from 1; the number after the last is another one.
    pub filter: Option<String>,
    /// Which; without it, the newest that was put.
    pub version: Option<u32>,
    /// Which rows the filter is given; without it as it is.
    pub when: Option<String>,
    /// The filter's configuration; without it as it is.
    pub config: Option<Map<String, Value>>,
}

/// A topic, and its generations that use something.
pub type UsedBy = (Arc<str>, Vec<Generation>);

impl Relay {
    /// Every generation of a topic, the oldest first.
    ///
    /// # Errors
    /// [`RelayError::NoTopic`].
    pub fn generations(&self, topic: &str) -> Result<Vec<GenerationStatus>, RelayError> {
        let generations = self.topic(topic)?;
        let newest = generations.newest().map(|(newest, _)| newest);
        let range = |(partition, first, end)| Range { partition, first, end };
        let status = |Listed { generation, from, ranges, promoted }: Listed| GenerationStatus {
            generation,
            live: newest == Some(generation),
            made_by: promoted.made_by.name(),
            why: promoted.why.clone(),
            at_ns: promoted.at_ns,
            from: firsts(&from),
            ranges: ranges.into_iter().map(range).collect(),
            codec: promoted.codec.as_ref().map(CodecRecord::spec),
            chain: self.entries(&promoted.chain),
        };
        Ok(generations.list().into_iter().map(status).collect())
    }

    /// Which generations of which topics were made of each version of a filter: by its hash, topic by topic.
    pub fn users(&self, filter: &str) -> BTreeMap<String, Vec<UsedBy>> {
        let mut users: BTreeMap<String, Vec<UsedBy>> = BTreeMap::new();
        for topic in self.shared().all_generations() {
            let mut of_topic: BTreeMap<String, Vec<Generation>> = BTreeMap::new();
            for Listed { generation, promoted, .. } in topic.list() {
                for entry in promoted.chain.entries.iter().filter(|entry| *entry.filter == *filter) {
                    let known = of_topic.entry(entry.sha256.to_string()).or_default();
                    if known.last() != Some(&generation) {
                        known.push(generation);
                    }
                }
            }
            for (sha256, generations) in of_topic {
                users.entry(sha256).or_default().push((topic.name.clone(), generations));
            }
        }
        users
    }

    /// The filters of a chain as people see them.
    pub(crate) fn entries(&self, record: &ChainRecord) -> Vec<ChainEntry> {
        let entry = |entry: &crate::sandbox::EntryRecord| ChainEntry {
            filter: entry.filter.to_string(),
            version: self.shared().sandbox.version_of(&entry.filter, &entry.sha256),
            when: entry.when.clone(),
            sha256: entry.sha256.to_string(),
            config: entry.config.clone(),
        };
        record.entries.iter().map(entry).collect()
    }

    /// A generation that was opened just now.
    ///
    /// # Errors
    /// [`RelayError::NoTopic`].
    pub fn opened(&self, topic: &str, generation: Generation) -> Result<Opened, RelayError> {
        let generations = self.topic(topic)?;
        let found = generations.list().into_iter().find(|listed| listed.generation == generation);
        Ok(Opened { topic: generations.name.clone(), generation, from: found.map(|one| firsts(&one.from)).unwrap_or_default() })
    }

    /// What a topic's records are handled by now; of a topic without records, what the first would be.
    pub(crate) fn live(&self, generations: &Generations) -> Result<(Generation, Arc<Promoted>), RelayError> {
        match generations.newest() {
            Some(newest) => Ok(newest),
            None => Ok((0, Arc::new(self.shared().first(&generations.name)?))),
        }
    }

    /// The chain that is wished for, as it would be written; and why, in words.
    pub(crate) fn wished(&self, generations: &Generations, wish: Wish) -> Result<(ChainSpec, String), RelayError> {
        let sandbox = &self.shared().sandbox;
        let filter = match (wish.chain, wish.filter) {
            (Some(chain), None) if wish.version.is_none() && wish.when.is_none() && wish.config.is_none() => {
                return Ok((chain, "another chain".to_owned()));
            }
            (None, Some(filter)) => filter,
            _ => {
                let why = "say either `chain`, or `filter` with what shall be other about it (`version`, `when`, `config`)";
                return Err(RelayError::Config(why.to_owned()));
            }
        };
        let (filter, place) = placed(&filter)?;
        let versions = sandbox.versions(filter);
        let newest = versions.iter().map(|version| version.version).max();
        let version = sandbox.version(filter, wish.version.or(newest).unwrap_or(0))?;
        // The plain name where that means the same: it follows later promotions.
        let name = if version.current { filter.to_owned() } else { format!("{filter}@{}", version.version) };
        let (_, live) = self.live(generations)?;
        let mut entries = self.written(&live);
        let own: Vec<usize> = (0..entries.len()).filter(|at| entries[*at].name() == filter).collect();
        let count = entries.len();
        let several = || {
            let each = (1..=own.len()).map(|place| format!("`{filter}#{place}`")).collect::<Vec<_>>().join(", ");
            let places = own.iter().map(|at| (at + 1).to_string()).collect::<Vec<_>>().join(", ");
            format!(
                "the chain of `{}` has `{filter}` {} times (filters {places} of {count}): say {each}, or `{filter}#{}` for another one at its end",
                generations.name,
                own.len(),
                own.len() + 1
            )
        };
        let chosen = match place {
            None if own.len() > 1 && (wish.when.is_some() || wish.config.is_some()) => {
                return Err(RelayError::Config(several()));
            }
            None => &own[..],
            Some(place) if place == own.len() + 1 => &[],
            Some(place) => own.get(place - 1..place).ok_or_else(|| RelayError::Config(several()))?,
        };
        for at in chosen {
            let entry = &mut entries[*at];
            entry.filter.clone_from(&name);
            if wish.when.is_some() {
                entry.when.clone_from(&wish.when);
            }
            if let Some(config) = &wish.config {
                entry.config.clone_from(config);
            }
        }
        let why = format!("version {} of `{filter}`", version.version);
        if chosen.is_empty() {
            entries.push(EntrySpec { filter: name, when: wish.when, config: wish.config.unwrap_or_default() });
        }
        Ok((ChainSpec(entries), why))
    }

    /// A generation's chain as it would be written so that it means the same now: what a plain name no longer stands for is
    /// pinned.
    pub(crate) fn written(&self, live: &Promoted) -> Vec<EntrySpec> {
        let sandbox = &self.shared().sandbox;
        let spec = live.spec.as_ref().map_or(&[][..], |spec| &spec.0[..]);
        let entry = |(index, record): (usize, &crate::sandbox::EntryRecord)| {
            let said = spec.get(index).map_or(&*record.filter, |entry| entry.filter.as_str());
            let versions = sandbox.versions(&record.filter);
            let of = |version: &&FilterVersion| *version.sha256 == *record.sha256;
            let filter = match versions.iter().rev().find(of) {
                Some(version) if !version.current && !said.contains('@') => format!("{}@{}", record.filter, version.version),
                _ => said.to_owned(),
            };
            EntrySpec { filter, when: record.when.clone(), config: record.config.clone() }
        };
        live.chain.entries.iter().enumerate().map(entry).collect()
    }

    /// Gives a topic the chain that is wished for, from a batch boundary on. Durable when it returns.
    ///
    /// # Errors
    /// As [`Relay::promote`].
    pub fn promote_wish(&self, topic: &str, wish: Wish) -> Result<Opened, RelayError> {
        let generations = self.topic(topic)?;
        let (chain, why) = self.wished(&generations, wish)?;
        let change = Change { chain: Some(Some(chain)), codec: None };
        let generation = self.change_because(topic, change, Some(format!("promoted: {why}")))?;
        self.opened(topic, generation)
    }

    /// Lets a filter's name stand for one of its versions (without a number, the newest), and every chain that says the plain name
    /// go over to it.
    ///
    /// # Errors
    /// [`RelayError::Filter`] where there is no such version.
    pub fn promote_version(&self, filter: &str, version: Option<u32>) -> Result<Promotion, RelayError> {
        let sandbox = &self.shared().sandbox;
        let newest = sandbox.versions(filter).iter().map(|version| version.version).max();
        let chosen = sandbox.choose_version(filter, version.or(newest).unwrap_or(0))?;
        let mut generations = Vec::new();
        for (topic, generation) in self.filter_replaced(filter) {
            generations.push(self.opened(&topic, generation)?);
        }
        let mut kept = Vec::new();
        for topic in self.shared().all_generations() {
            let Some((_, newest)) = topic.newest() else { continue };
            let other = newest.chain.entries.iter().find(|e| *e.filter == *filter && *e.sha256 != *chosen.sha256);
            if let Some(other) = other {
                kept.push(Kept { topic: topic.name.clone(), version: sandbox.version_of(filter, &other.sha256) });
            }
        }
        Ok(Promotion { filter: filter.to_owned(), version: chosen.version, generations, kept })
    }

    /// [`Relay::roll_back`] to a generation, or, without a number, to the last live one that had another chain or codec.
    ///
    /// # Errors
    /// [`RelayError::Missing`] where there is no such generation, or none before; else as [`Relay::roll_back`].
    pub fn go_back(&self, topic: &str, to: Option<Generation>) -> Result<Opened, RelayError> {
        let generations = self.topic(topic)?;
        let listed = generations.list();
        let numbers = || listed.iter().map(|one| one.generation.to_string()).collect::<Vec<_>>().join(", ");
        let (newest, live) =
            generations.newest().ok_or_else(|| RelayError::Missing(format!("`{topic}` has no generation yet")))?;
        let target = match to {
            Some(number) => listed.iter().find(|one| one.generation == number),
            None => listed
                .iter()
                .rev()
                .find(|one| one.ranges.is_empty() && (one.promoted.chain != live.chain || one.promoted.codec != live.codec)),
        };
        let Some(target) = target else {
            return Err(RelayError::Missing(match to {
                Some(number) => format!("`{topic}` has no generation {number}; it has: {}", numbers()),
                None => format!("`{topic}` never had another chain than the one it has"),
            }));
        };
        let generation = self.roll_back(topic, target.generation)?;
        if generation == newest {
            let why = format!("`{topic}` has the chain of generation {} already: {newest} is live", target.generation);
            return Err(RelayError::Config(why));
        }
        self.opened(topic, generation)
    }
}

fn firsts(from: &BTreeMap<PartitionId, Offset>) -> Vec<First> {
    from.iter().map(|(&partition, &offset)| First { partition, offset }).collect()
}

/// A filter's name, and which of those of that name is meant.
fn placed(text: &str) -> Result<(&str, Option<usize>), RelayError> {
    let Some((name, place)) = text.split_once('#') else { return Ok((text, None)) };
    let place = place.parse().ok().filter(|place| *place > 0);
    let wrong =
        || RelayError::Config(format!("`{text}`: behind the `#` stands which `{name}` of the chain is meant, from 1 on"));
    Ok((name, Some(place.ok_or_else(wrong)?)))
}
