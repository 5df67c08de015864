//! What schema registries have answered, durable before it is used.
//!
//! Purpose: what a record decodes to must not depend on when a registry was asked, or on whether it can still be asked.
//! On disk: `relay/SCHEMAS`, a [`Journal`] of JSON objects, made when the first registry is asked:
//! ```text
//! {"registry":"http://r","id":7,"schema":"…","references":["…"]}        the schema, and those it refers to
//! {"registry":"http://r","id":8,"refused":"…","until_ns":1763625600…}   there is none, for records that arrived until then
//! ```
//! Invariants: a schema under a number never changes: the first answer counts. A refusal counts for records that arrived until
//! its time, whatever is known later; for others the registry is asked again, so that a schema which is registered later is
//! found, and a record gives the same row or dead letter at every run.
//! Limits: [`REFUSALS`] refusals, the oldest go first (a producer may make up numbers); schemas are as many as registries give.
//! Crash story: the journal's. A damaged entry is asked for again.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use super::avro::Plan;
use crate::base::disk::Disk;
use crate::base::journal::Journal;

/// Most refusals that are remembered.
const REFUSALS: usize = 10_000;
/// The journal is written anew when it has so many entries more than are still worth something.
const STALE: usize = 1000;

/// A registry's address and a schema's number in it.
pub(super) type Place = (Arc<str>, u32);

/// What a registry says of a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Answer {
    /// The schema's text, and the texts of those it refers to.
    Schema {
        schema: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        references: Vec<String>,
    },
    /// There is none, and why; for records that arrived until this time.
    Refused { refused: String, until_ns: i64 },
}

#[derive(Serialize, Deserialize)]
struct Entry {
    registry: Arc<str>,
    id: u32,
    #[serde(flatten)]
    answer: Answer,
}

/// What is known for a record.
#[derive(Clone, Debug)]
pub(super) enum Known {
    /// Its schema, ready, or why it cannot be used. For records that arrived after this time.
    Schema(Arc<Result<Plan, String>>, i64),
    /// Why there is none.
    Refused(Arc<str>),
    /// Nothing yet: ask.
    Nothing,
}

#[derive(Default)]
struct Of {
    schema: Option<Schema>,
    refused: Option<(Arc<str>, i64)>,
}

struct Schema {
    text: String,
    references: Vec<String>,
    plan: OnceLock<Arc<Result<Plan, String>>>,
}

#[derive(Default)]
struct Kept {
    of: HashMap<Place, Of>,
    /// In the order they came.
    refusals: VecDeque<Place>,
}

impl Kept {
    fn take(&mut self, place: Place, answer: Answer) {
        let of = self.of.entry(place.clone()).or_default();
        match answer {
            Answer::Schema { schema: text, references } => {
                of.schema.get_or_insert(Schema { text, references, plan: OnceLock::new() });
            }
            Answer::Refused { refused, until_ns } => {
                match &mut of.refused {
                    // The reason stays the one that dead letters have.
                    Some((_, until)) => *until = until_ns.max(*until),
                    None => {
                        of.refused = Some((refused.into(), until_ns));
                        self.refusals.push_back(place);
                    }
                }
                while self.refusals.len() > REFUSALS {
                    let Some(oldest) = self.refusals.pop_front() else { break };
                    if let Some(of) = self.of.get_mut(&oldest) {
                        of.refused = None;
                        if of.schema.is_none() {
                            self.of.remove(&oldest);
                        }
                    }
                }
            }
        }
    }

    fn entries(&self) -> io::Result<Vec<Vec<u8>>> {
        let refused = self.refusals.iter().filter_map(|place| {
            let (refused, until_ns) = self.of.get(place)?.refused.clone()?;
            Some((place, Answer::Refused { refused: refused.to_string(), until_ns }))
        });
        let schemas = self.of.iter().filter_map(|(place, of)| {
            let Schema { text, references, .. } = of.schema.as_ref()?;
            Some((place, Answer::Schema { schema: text.clone(), references: references.clone() }))
        });
        refused.chain(schemas).map(|(place, answer)| encode(place, answer)).collect()
    }
}

fn encode(place: &Place, answer: Answer) -> io::Result<Vec<u8>> {
    let entry = Entry { registry: place.0.clone(), id: place.1, answer };
    serde_json::to_vec(&entry).map_err(io::Error::other)
}

/// See the module.
pub(super) struct Answers {
    kept: RwLock<Kept>,
    journal: Mutex<(Journal, usize)>,
}

impl Answers {
    pub(super) fn open(disk: Arc<dyn Disk>) -> io::Result<Self> {
        disk.create_dir_all(Path::new("relay"))?;
        let (journal, entries, found) = Journal::open(disk, Path::new("relay/SCHEMAS"))?;
        if found.damaged > 0 {
            tracing::error!(places = found.damaged, "damage in relay/SCHEMAS: some schemas are asked for again");
        }
        let mut kept = Kept::default();
        for entry in &entries {
            match serde_json::from_slice::<Entry>(entry) {
                Ok(Entry { registry, id, answer }) => kept.take((registry, id), answer),
                Err(error) => tracing::error!(%error, "an entry of relay/SCHEMAS cannot be read"),
            }
        }
        Ok(Self { kept: RwLock::new(kept), journal: Mutex::new((journal, entries.len())) })
    }

    /// Makes an answer durable, and then known. Blocks for the disk.
    pub(super) fn keep(&self, place: Place, answer: Answer) -> io::Result<()> {
        // Held over both, so that what is known is in the order of the journal.
        let mut held = self.journal.lock();
        if self.kept.read().of.get(&place).is_some_and(|of| of.schema.is_some()) {
            // Asked twice at once. Whatever is said now, records may have been handled by what is known.
            return Ok(());
        }
        let (journal, entries) = &mut *held;
        let entry = encode(&place, answer.clone())?;
        match journal.append(&entry) {
            Ok(()) => *entries += 1,
            // A poisoned journal is healed by a new file that says all.
            Err(_) => {
                let mut all = self.kept.read().entries()?;
                all.push(entry);
                journal.checkpoint(&all.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
                *entries = all.len();
            }
        }
        let mut kept = self.kept.write();
        kept.take(place, answer);
        if *entries > kept.of.len() * 2 + STALE {
            let all = kept.entries()?;
            drop(kept);
            // A failure leaves the old entries: next time.
            if journal.checkpoint(&all.iter().map(Vec::as_slice).collect::<Vec<_>>()).is_ok() {
                *entries = all.len();
            }
        }
        Ok(())
    }

    /// What is known for a record that arrived then.
    pub(super) fn of(&self, place: &Place, arrival_ns: i64) -> Known {
        let kept = self.kept.read();
        let Some(of) = kept.of.get(place) else { return Known::Nothing };
        let until_ns = of.refused.as_ref().map_or(i64::MIN, |(_, until_ns)| *until_ns);
        match (&of.refused, &of.schema) {
            (Some((why, _)), _) if arrival_ns <= until_ns => Known::Refused(why.clone()),
            (_, Some(schema)) => {
                let plan = schema.plan.get_or_init(|| Arc::new(Plan::new(&schema.text, &schema.references)));
                Known::Schema(plan.clone(), until_ns)
            }
            _ => Known::Nothing,
        }
    }

    /// How many schemas there are.
    pub(super) fn schemas(&self) -> usize {
        self.kept.read().of.values().filter(|of| of.schema.is_some()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::disk::sim::SimDisk;

    fn schema(text: &str) -> Answer {
        Answer::Schema { schema: text.to_owned(), references: Vec::new() }
    }

    fn refused(why: &str, until_ns: i64) -> Answer {
        Answer::Refused { refused: why.to_owned(), until_ns }
    }

    fn shown(known: &Known) -> String {
        match known {
            Known::Schema(plan, _) => format!("{:?}", plan.as_ref().as_ref().map(|plan| &plan.nodes)),
            Known::Refused(why) => why.to_string(),
            Known::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn the_first_schema_and_every_refusal_count_for_ever() {
        let answers = Answers::open(SimDisk::new(1)).unwrap();
        let place: Place = ("http://r".into(), 7);
        assert_eq!(shown(&answers.of(&place, 0)), "nothing");
        answers.keep(place.clone(), refused("none", 100)).unwrap();
        assert_eq!(shown(&answers.of(&place, 100)), "none");
        assert_eq!(shown(&answers.of(&place, 101)), "nothing");
        answers.keep(place.clone(), schema("\"int\"")).unwrap();
        answers.keep(place.clone(), schema("\"string\"")).unwrap();
        answers.keep(place.clone(), refused("gone", 1000)).unwrap();
        assert_eq!(shown(&answers.of(&place, 100)), "none");
        assert_eq!(shown(&answers.of(&place, 101)), "Ok([Int])");
        assert_eq!(shown(&answers.of(&("http://other".into(), 7), 101)), "nothing");
        answers.keep(("http://r".into(), 9), schema("{")).unwrap();
        assert!(shown(&answers.of(&("http://r".into(), 9), 0)).starts_with("Err"));
        assert_eq!(answers.schemas(), 2);
    }

    #[test]
    fn made_up_numbers_do_not_fill_memory_or_disk() {
        let disk = SimDisk::new(1);
        let answers = Answers::open(disk.clone()).unwrap();
        answers.keep(("http://r".into(), 0), schema("\"int\"")).unwrap();
        for id in 1..40_000 {
            answers.keep(("http://r".into(), id), refused("none", 1)).unwrap();
        }
        assert!(answers.kept.read().of.len() <= REFUSALS + 1);
        assert!(disk.files()[0].1 < 4_000_000, "{:?}", disk.files());
        let again = Answers::open(disk.crash()).unwrap();
        assert_eq!(shown(&again.of(&("http://r".into(), 39_999), 0)), "none");
        assert_eq!(shown(&again.of(&("http://r".into(), 1), 0)), "nothing");
        assert_eq!(again.schemas(), 1);
    }

    /// A registry that says something else each time it is asked; the power fails anywhere. What was ever said of a record that
    /// arrived at a time must be said of it for ever.
    #[test]
    fn what_was_used_once_is_said_again_after_every_crash() {
        let mut used_again = 0;
        for seed in 0..300_u64 {
            let mut disk = SimDisk::new(seed);
            let mut said: HashMap<(u32, i64), String> = HashMap::new();
            let mut turn = 0;
            for life in 0..4_u64 {
                let answers = Answers::open(disk.clone()).unwrap();
                for ((id, arrival_ns), before) in &said {
                    assert_eq!(&shown(&answers.of(&("http://r".into(), *id), *arrival_ns)), before, "seed {seed}, life {life}");
                    used_again += 1;
                }
                disk.power_off_after((seed * 11 + life * 3) % 29);
                if seed % 3 == 0 {
                    disk.fail_sync_after((seed + life) % 4);
                }
                for _ in 0..12 {
                    turn += 1;
                    let (id, arrival_ns) = (u32::try_from((seed + turn * 5) % 3).unwrap(), i64::try_from(turn % 4).unwrap());
                    let place: Place = ("http://r".into(), id);
                    if matches!(answers.of(&place, arrival_ns), Known::Nothing) {
                        let answer = match turn % 3 {
                            0 => schema(&format!("{{\"type\":\"fixed\",\"name\":\"f\",\"size\":{turn}}}")),
                            _ => refused(&format!("none at {turn}"), arrival_ns),
                        };
                        // A disk that is off refuses, and nothing may be used.
                        let _ = answers.keep(place.clone(), answer);
                    }
                    match answers.of(&place, arrival_ns) {
                        Known::Nothing => {}
                        known => {
                            let now = shown(&known);
                            assert_eq!(said.entry((id, arrival_ns)).or_insert_with(|| now.clone()), &now, "seed {seed}");
                        }
                    }
                }
                disk = disk.crash();
            }
        }
        assert!(used_again > 1000, "{used_again}");
    }
}
