//! A failure in one file: everything that a chain needs to fail in the same way on another machine, and what it said.
//!
//! In: a record, a chain that this box can run. Out: bytes, which [`run`] makes the same outcome of anywhere: the same trap after
//! the same fuel, because an outcome depends on nothing that is not in the file.
//!
//! The file is JSON (`"sawbox_bundle": 1`; who reads refuses what is newer):
//! ```text
//! {"sawbox_bundle":1, "sawbox":"<version>", "topic", "generation",
//!  "record":{"payload":"<base64>", "key":"<base64>"|null, "headers":[["<base64>","<base64>"],…], "arrival_ns", "timestamp_ms",
//!            "topic_id", "partition", "offset"},
//!  "codec":{…}|null, "document":"<base64>"|null,     what the codec made of the payload, where that is something else
//!  "chain":{"entries":[{"filter","sha256","abi","when","config","lookups"}…], "engine"}, "modules":{"<sha256>":"<base64>"},
//!  "lookups":{"<sha256>":"<base64>"}, "limits":{…},
//!  "said":{"filter","reason"},                       what the dead letter says
//!  "outcome":{"verdict","entry","filter","reason","fuel","fuel_limit","log":[…]}, "notes":[…]}
//! ```
//! Invariants: modules and lookups are checked by their hashes. A record is alone in its call, as it was when it failed.
//! Limits: [`LOOKUP_BYTES`] for each lookup's content (else only its hash is there, and a note); [`BUNDLE_BYTES`] for a file.
//! Keyed state and what DNS answered are not in it: `notes` says where a filter of the chain has any.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::base::clock::Clock;
use crate::base::disk::Disk;
use crate::base::ids::{Generation, Offset, PartitionId};
use crate::base::record::{RecordView, Records};
use crate::sandbox::{Arena, ChainRecord, Config, Ended, FilterError, Sandbox, State, cache, catalog, engine, lookup};

/// The newest version of the format.
pub const VERSION: u32 = 1;
/// Largest file that is read.
pub const BUNDLE_BYTES: usize = 1 << 30;
/// Largest lookup whose content goes along.
pub const LOOKUP_BYTES: u64 = 8 << 20;

/// Bytes, as base64 in JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blob(pub Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A record as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its bytes.
    pub payload: Blob,
    /// Its key.
    pub key: Option<Blob>,
    /// Its headers, without the box's own.
    pub headers: Vec<(Blob, Blob)>,
    /// When it arrived.
    pub arrival_ns: i64,
    /// What its sender said.
    pub timestamp_ms: i64,
    /// The topic's id.
    pub topic_id: String,
    /// Where it stood.
    pub partition: PartitionId,
    /// Likewise.
    pub offset: Offset,
}

/// What a filter and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The filter that failed.
    pub filter: String,
    /// Why.
    pub reason: String,
}

/// What a chain made of the record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// `store`, `drop`, `hold` or `fail`; `none` where it was not run: the codec failed already.
    pub verdict: String,
    /// Which entry of the chain ended it, counted from 0.
    pub entry: Option<usize>,
    /// Its filter.
    pub filter: String,
    /// What it said.
    pub reason: String,
    /// Fuel that this entry used; where none ended it, the whole chain.
    pub fuel: u64,
    /// Fuel that its call might use.
    pub fuel_limit: u64,
    /// What it logged, a trap's backtrace last.
    #[serde(default)]
    pub log: Vec<String>,
}

/// See the module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bundle {
    /// The version of the format.
    pub sawbox_bundle: u32,
    /// The box's.
    pub sawbox: String,
    /// The topic.
    pub topic: String,
    /// The generation that failed.
    pub generation: Generation,
    /// The record.
    pub record: Record,
    /// What the topic's records are, as its configuration says it.
    #[serde(default)]
    pub codec: Option<serde_json::Value>,
    /// What the codec made of the payload.
    #[serde(default)]
    pub document: Option<Blob>,
    /// Whether the codec failed: then no filter was run.
    #[serde(default)]
    pub undecoded: bool,
    /// The chain.
    pub chain: ChainRecord,
    /// Its modules by hash.
    #[serde(default)]
    pub modules: BTreeMap<String, Blob>,
    /// Contents of its lookups by hash.
    #[serde(default)]
    pub lookups: BTreeMap<String, Blob>,
    /// What a filter may use.
    pub limits: Config,
    /// What the dead letter says.
    pub said: Said,
    /// What came of it when the bundle was made.
    #[serde(default)]
    pub outcome: Outcome,
    /// What one must know of it.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// What came of running a bundle again.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether it is the same: verdict, entry, reason and fuel.
    pub same: bool,
    /// When the bundle was made.
    pub before: Outcome,
    /// Now.
    pub now: Outcome,
    /// What the dead letter says.
    pub said: Said,
    /// What may explain a difference.
    pub notes: Vec<String>,
}

fn wrong(why: impl Into<String>) -> FilterError {
    FilterError::Refused(why.into())
}

/// Reads a file.
///
/// # Errors
/// [`FilterError::Refused`] says why it is no bundle.
pub fn read(bytes: &[u8]) -> Result<Bundle, FilterError> {
    #[derive(Deserialize)]
    struct Version {
        sawbox_bundle: u32,
    }
    if bytes.len() > BUNDLE_BYTES {
        return Err(wrong(format!("{} bytes are too many for a bundle", bytes.len())));
    }
    let version: Version = serde_json::from_slice(bytes).map_err(|error| wrong(format!("this is no bundle: {error}")))?;
    if version.sawbox_bundle > VERSION {
        let newer = version.sawbox_bundle;
        return Err(wrong(format!("a newer Sawbox made this bundle (version {newer}; this one reads {VERSION})")));
    }
    serde_json::from_slice(bytes).map_err(|error| wrong(format!("this bundle is damaged: {error}")))
}

/// Runs a bundle on an empty disk, with its own limits, and compares.
///
/// # Errors
/// [`FilterError::Refused`]: what is wrong with it, or missing from it.
pub fn run(bytes: &[u8], disk: Arc<dyn Disk>, clock: Arc<dyn Clock>) -> Result<Report, FilterError> {
    let bundle = read(bytes)?;
    let sandbox = Sandbox::open(disk.clone(), clock, bundle.limits.clone())?;
    for (sha256, module) in &bundle.modules {
        if catalog::sha256(&module.0) != *sha256 {
            return Err(wrong(format!("the module {sha256} in the bundle is damaged")));
        }
        sandbox.catalog.keep(sha256, &module.0)?;
    }
    for (sha256, content) in &bundle.lookups {
        if catalog::sha256(&content.0) != *sha256 {
            return Err(wrong(format!("the lookup {sha256} in the bundle is damaged")));
        }
        let folder = Path::new(lookup::COPIES);
        disk.create_dir_all(folder)?;
        cache::write_whole(&disk, &folder.join(sha256), &content.0)?;
    }
    let now = sandbox.outcome(&bundle)?;
    let before = bundle.outcome.clone();
    let key = |one: &Outcome| (one.verdict.clone(), one.entry, one.reason.clone(), one.fuel, one.fuel_limit);
    let mut notes = bundle.notes.clone();
    let engine = engine::ENGINE;
    if bundle.chain.engine != engine {
        notes.push(format!("the engine is another: {} made the chain, this is {engine}", bundle.chain.engine));
    }
    Ok(Report { same: key(&now) == key(&before), before, now, said: bundle.said, notes })
}

impl Sandbox {
    /// Completes a bundle: modules, lookups, limits, and what comes of it here and now.
    ///
    /// # Errors
    /// [`FilterError::Missing`] where a module is gone; [`FilterError::Disk`].
    pub fn complete(&self, mut bundle: Bundle) -> Result<Vec<u8>, FilterError> {
        bundle.limits = self.pool.limits().clone();
        for entry in &bundle.chain.entries {
            if !bundle.modules.contains_key(&*entry.sha256) {
                bundle.modules.insert(entry.sha256.to_string(), Blob(self.catalog.module(&entry.sha256)?));
            }
            for lookup in &entry.lookups {
                if bundle.lookups.contains_key(&lookup.sha256) {
                    continue;
                }
                match self.pool.lookup_bytes(&lookup.sha256, LOOKUP_BYTES) {
                    Some(content) => drop(bundle.lookups.insert(lookup.sha256.clone(), Blob(content))),
                    None => bundle.notes.push(format!(
                        "the file `{}` that `{}` looks things up in is not in the bundle (it is gone, or larger than {LOOKUP_BYTES} bytes): put it on a box to try this",
                        lookup.file, entry.filter
                    )),
                }
            }
        }
        let chain = self.apart(&bundle.chain, false)?;
        if chain.remembers() {
            let note = "a filter of the chain remembers what came before; here it begins with nothing, so it may say something else";
            bundle.notes.push(note.to_owned());
        }
        bundle.outcome = self.outcome(&bundle)?;
        let outcome = &bundle.outcome;
        if !bundle.undecoded && (outcome.filter != bundle.said.filter || outcome.reason != bundle.said.reason) {
            let note = format!(
                "alone, with an empty state, the chain says something else than the letter: {} {}",
                outcome.verdict, outcome.reason
            );
            bundle.notes.push(note);
        }
        serde_json::to_vec(&bundle).map_err(|error| wrong(error.to_string()))
    }

    /// What the chain of a bundle makes of its record.
    fn outcome(&self, bundle: &Bundle) -> Result<Outcome, FilterError> {
        if bundle.undecoded {
            let Said { filter, reason } = bundle.said.clone();
            return Ok(Outcome { verdict: "none".to_owned(), filter, reason, ..Outcome::default() });
        }
        let chain = self.apart(&bundle.chain, false)?;
        let record = &bundle.record;
        let headers: Vec<(&[u8], &[u8])> = record.headers.iter().map(|(name, value)| (&*name.0, &*value.0)).collect();
        let view = RecordView {
            offset: record.offset,
            arrival_ns: record.arrival_ns,
            timestamp_ms: record.timestamp_ms,
            key: record.key.as_ref().map(|key| &*key.0),
            payload: &bundle.document.as_ref().unwrap_or(&record.payload).0,
            headers: (0, u32::try_from(headers.len()).unwrap_or(0)),
        };
        let records = Records { records: vec![view], headers };
        let arena = Arena::new();
        let trace = chain.trace(&records, &arena, &mut State::default(), 0);
        let fuel_limit = trace.output.stats.limit;
        let ended = trace.steps.iter().position(|step| step.after.ended.is_some());
        let Some((entry, step)) = ended.and_then(|entry| Some((entry, trace.steps.get(entry)?))) else {
            let fuel = trace.steps.iter().map(|step| step.fuel).sum();
            return Ok(Outcome { verdict: "store".to_owned(), fuel, fuel_limit, ..Outcome::default() });
        };
        let (verdict, reason) = match &step.after.ended {
            Some(Ended::Failed(reason)) => ("fail", reason.to_string()),
            Some(Ended::Dropped(reason)) => ("drop", reason.to_string()),
            _ => ("hold", String::new()),
        };
        let filter = bundle.chain.entries.get(entry).map(|entry| entry.filter.to_string()).unwrap_or_default();
        let log = step.log.iter().map(|line| format!("{}: {}", line.level, line.text)).collect();
        Ok(Outcome { verdict: verdict.to_owned(), entry: Some(entry), filter, reason, fuel: step.fuel, fuel_limit, log })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::Map;

    use super::*;
    use crate::base::clock::SimClock;
    use crate::base::disk::sim::SimDisk;
    use crate::sandbox::ChainSpec;

    /// A bundle of what `choosy` says of a record.
    fn bundle(payload: &[u8]) -> Vec<u8> {
        let bench = crate::sandbox::tests::bench();
        bench.put("choosy", &crate::sandbox::tests::guests::choosy());
        let spec: ChainSpec = serde_json::from_value(serde_json::json!([
            { "filter": "tag", "config": { "add": ["seen"] } },
            { "filter": "choosy" },
        ]))
        .unwrap();
        let chain = bench.sandbox.resolve(&spec).unwrap();
        let record = Record { payload: Blob(payload.to_vec()), headers: vec![(Blob(b"host".to_vec()), Blob(b"web1".to_vec()))], ..Record::default() };
        let bundle = Bundle {
            sawbox_bundle: VERSION,
            sawbox: "test".to_owned(),
            topic: "web".to_owned(),
            generation: 3,
            record,
            codec: None,
            document: None,
            undecoded: false,
            chain,
            modules: BTreeMap::new(),
            lookups: BTreeMap::new(),
            limits: Config::default(),
            said: Said::default(),
            outcome: Outcome::default(),
            notes: Vec::new(),
        };
        bench.sandbox.complete(bundle).unwrap()
    }

    fn elsewhere(bytes: &[u8]) -> Result<Report, FilterError> {
        run(bytes, SimDisk::new(9), Arc::new(SimClock::at(77)))
    }

    #[test]
    fn a_failure_is_the_same_anywhere() {
        for payload in [&b"U"[..], b"L", b"M", b"Z", b"nothing of the kind"] {
            let bytes = bundle(payload);
            let report = elsewhere(&bytes).unwrap();
            assert!(report.same, "{report:?}");
            assert!(report.now.fuel > 0 && report.now.fuel_limit > 0, "{report:?}");
            match payload {
                b"U" | b"L" | b"M" | b"Z" => {
                    assert_eq!((report.now.verdict.as_str(), report.now.entry), ("fail", Some(1)), "{report:?}");
                }
                _ => assert_eq!(report.now.verdict, "store"),
            }
        }
    }

    #[test]
    fn a_difference_is_told_and_damage_is_refused() {
        let whole: serde_json::Value = serde_json::from_slice(&bundle(b"U")).unwrap();
        let with = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut other = whole.clone();
            change(&mut other);
            elsewhere(&serde_json::to_vec(&other).unwrap())
        };
        assert!(!with(&|one| one["outcome"]["fuel"] = 1.into()).unwrap().same);
        assert!(!with(&|one| one["record"]["payload"] = STANDARD.encode(b"fine").into()).unwrap().same);
        assert!(with(&|one| one["sawbox_bundle"] = 2.into()).unwrap_err().to_string().contains("newer"));
        let damaged = with(&|one| {
            let modules: &mut Map<_, _> = one["modules"].as_object_mut().unwrap();
            modules.values_mut().for_each(|module| *module = "AAAA".into());
        });
        assert!(damaged.unwrap_err().to_string().contains("damaged"));
        assert!(with(&|one| one["modules"] = serde_json::json!({})).is_err(), "a module is missing");
        assert!(read(b"{}").is_err() && read(b"\xff").is_err());
    }
}
