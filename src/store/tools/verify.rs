//! Reading everything a store has and saying what is not as it was written, and what that costs.
//!
//! The commit log: every entry's checksum, its sequence without gaps, its sense. Every part that it names: its file, its identity, the
//! checksum of every section, dictionary and chunk, and that each can be decoded. Every file of keyed state. And what lies there
//! without being named.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::Look;
use crate::base::ids::TopicId;
use crate::store::StoreError;
use crate::store::commits::{self, PartMeta};
use crate::store::keyed;
use crate::store::open::part_path;
use crate::store::part::survey::{Damage, newer_version};

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file.
    pub path: String,
    /// The topic, where it is known.
    pub topic: String,
    /// The byte where it begins; 0 where it is the file as a whole.
    pub at: u64,
    /// What is wrong.
    pub what: String,
    /// What is lost by it.
    pub costs: String,
    /// Whether anything is lost: leftovers cost nothing.
    pub is_damage: bool,
    /// Rows that are lost as a whole, at most.
    pub rows_lost: u64,
    /// The field whose values are lost, in so many rows at most.
    pub field: Option<(Arc<str>, u64)>,
}

/// What was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Parts.
    pub parts: u64,
    /// Their bytes that were read.
    pub bytes: u64,
    /// Entries of the log.
    pub entries: u64,
    /// What is wrong, part after part.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Findings that cost something.
    pub fn damages(&self) -> usize {
        self.findings.iter().filter(|finding| finding.is_damage).count()
    }
}

/// How far it is: parts done and in all, bytes done and in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Parts that were read.
    pub parts: (u64, u64),
    /// Bytes that were read.
    pub bytes: (u64, u64),
}

/// One part as the log names it, and what is wrong with it.
#[derive(Clone, Debug)]
pub struct PartDamage {
    /// The topic.
    pub topic: TopicId,
    /// What the log says of it.
    pub meta: PartMeta,
    /// Where it lies.
    pub path: PathBuf,
    /// Whether its file is there.
    pub is_there: bool,
    /// The version, if a newer Sawbox wrote it.
    pub newer: Option<u16>,
    /// What is wrong.
    pub damages: Vec<Damage>,
}

impl Look {
    /// Reads every part, live and staged, and gives those that are damaged, missing or not for this version.
    pub fn check_parts(&self, progress: &mut dyn FnMut(Progress)) -> Vec<PartDamage> {
        let all: Vec<(TopicId, &str, &PartMeta)> = self
            .topics
            .iter()
            .flat_map(|(id, topic)| {
                let staged = topic.staged.values().map(|(_, meta)| meta);
                topic.parts.values().chain(staged).map(|meta| (*id, topic.name.as_str(), meta))
            })
            .collect();
        let mut done = Progress { parts: (0, all.len() as u64), bytes: (0, all.iter().map(|(.., meta)| meta.bytes).sum()) };
        let mut found = Vec::new();
        for (topic, name, meta) in all {
            let path = part_path(topic, meta.day, meta.id);
            let is_there = self.disk.open(&path, false).is_ok();
            let newer = newer_version(&*self.disk, &path);
            let mut damages = Vec::new();
            if is_there && newer.is_none() {
                let source = self.part(topic, name, meta.clone(), path.clone());
                damages = source.check_all(&mut |bytes| {
                    done.bytes.0 = done.bytes.0.saturating_add(bytes);
                    progress(done);
                });
                if let (true, Ok(footer)) = (damages.is_empty(), source.footer())
                    && (footer.topic, footer.part) != (topic, meta.id)
                {
                    let what = format!("it is part {:016x} of topic {}, not what the log names", footer.part, footer.topic);
                    damages.push(Damage { at: 0, what, field: None, rows: meta.rows, is_whole_part: true });
                }
            }
            done.parts.0 += 1;
            progress(done);
            if !is_there || newer.is_some() || !damages.is_empty() {
                found.push(PartDamage { topic, meta: meta.clone(), path, is_there, newer, damages });
            }
        }
        found
    }

    /// Reads everything.
    ///
    /// # Errors
    /// The disk's. Damage is none: it is what is reported.
    pub fn verify(&self, progress: &mut dyn FnMut(Progress)) -> Result<Report, StoreError> {
        let mut report = Report { entries: self.log.entries, ..Report::default() };
        self.judge_log(&mut report)?;
        let mut last = Progress::default();
        for part in self.check_parts(&mut |now| {
            last = now;
            progress(now);
        }) {
            self.judge(&part, &mut report);
        }
        (report.parts, report.bytes) = (last.parts.1, last.bytes.0);
        for (id, topic) in &self.topics {
            for (partition, pieces) in &topic.keyed {
                for number in pieces.iter().filter_map(|piece| piece.file) {
                    let path = keyed::path(*id, number);
                    if !keyed::is_sound(&*self.disk, &path) {
                        report.findings.push(Finding {
                            path: path.display().to_string(),
                            topic: topic.name.clone(),
                            at: 0,
                            what: "a piece of keyed state cannot be read".into(),
                            costs: format!("what filters remember of partition {partition}"),
                            is_damage: true,
                            rows_lost: 0,
                            field: None,
                        });
                    }
                }
            }
        }
        Ok(report)
    }

    fn judge(&self, part: &PartDamage, report: &mut Report) {
        let rows = part.meta.rows;
        let topic = self.topics.get(&part.topic).map(|topic| topic.name.clone()).unwrap_or_default();
        let whole = |what: String| Finding {
            path: part.path.display().to_string(),
            topic: topic.clone(),
            at: 0,
            what,
            costs: format!("all of its {rows} rows{}", offsets(&part.meta)),
            is_damage: true,
            rows_lost: rows,
            field: None,
        };
        if !part.is_there {
            report.findings.push(whole("the log names it, and it is not there".into()));
        } else if let Some(version) = part.newer {
            let costs = "nothing, but only a newer Sawbox can read it".into();
            let what = format!("it has version {version}, which this Sawbox does not know");
            report.findings.push(Finding { costs, rows_lost: 0, ..whole(what) });
        }
        for damage in &part.damages {
            let costs = match &damage.field {
                _ if damage.is_whole_part => whole(String::new()).costs,
                Some(field) if damage.rows == 0 => format!("no rows: what is counted of `{field}` is counted by reading them"),
                Some(field) => format!("the values of `{field}` in up to {} rows", damage.rows),
                None if damage.rows == 0 => "no rows: searches read what its pairs would have let them leave out".to_owned(),
                None => format!("{} rows: when they were, or where they came from", damage.rows),
            };
            let rows_lost = if damage.field.is_none() { damage.rows } else { 0 };
            let field = damage.field.clone().filter(|_| damage.rows > 0).map(|field| (field, damage.rows));
            report.findings.push(Finding { at: damage.at, costs, rows_lost, field, ..whole(damage.what.clone()) });
        }
    }

    fn judge_log(&self, report: &mut Report) -> Result<(), StoreError> {
        let log = &self.log;
        let mut note = |path: &str, what: String, costs: String, is_damage: bool| {
            let (path, topic) = (path.to_owned(), String::new());
            report.findings.push(Finding { path, topic, at: 0, what, costs, is_damage, rows_lost: 0, field: None });
        };
        let lost = "each may name parts, next offsets, generations, deletions; `store repair` finds what parts say of it";
        if !log.is_there && !self.part_files()?.is_empty() {
            note(commits::PATH, "the commit log is not there".into(), "no part is seen, and lanes begin anew".into(), true);
        }
        if log.is_there && log.entries == 0 && log.in_doubt {
            note(commits::PATH, "the commit log is empty".into(), "no part is seen, and lanes begin anew".into(), true);
        }
        if log.damaged + log.unreadable > 0 {
            note(commits::PATH, format!("{} places are damaged", log.damaged + log.unreadable), lost.into(), true);
        }
        if log.lost > 0 {
            note(commits::PATH, format!("{} entries are missing", log.lost), lost.into(), true);
        }
        if log.torn_bytes > 0 {
            let (what, costs) = match log.in_doubt {
                true => {
                    ("at the end are no whole entry", "rows, perhaps, if it was one; `store repair` finds what parts say of it")
                }
                false => ("of an entry that was never whole", "nothing: nobody was told that it is durable"),
            };
            note(commits::PATH, format!("{} bytes {what}", log.torn_bytes), costs.into(), log.in_doubt);
        }
        let mut left = self.part_files()?;
        for (id, topic) in &self.topics {
            for meta in topic.parts.values().chain(topic.staged.values().map(|(_, meta)| meta)) {
                left.remove(&part_path(*id, meta.day, meta.id));
            }
        }
        for (path, (_, number)) in &left {
            let (what, costs) = match self.doubt.keeps(*number) {
                false => ("it is not named by the log", "nothing: it was never committed, and the next start removes it"),
                true => ("it is not named by what is left of the log", "its rows, perhaps; `store repair` finds out"),
            };
            note(&path.display().to_string(), what.into(), costs.into(), false);
        }
        Ok(())
    }
}

fn offsets(meta: &PartMeta) -> String {
    let one = |(partition, first, last): &(u32, u64, u64)| format!("partition {partition}: {first} to {last}");
    match meta.offsets.as_slice() {
        [] => String::new(),
        some => format!(
            " ({}); a replay makes those anew that the queue still has",
            some.iter().map(one).collect::<Vec<_>>().join(", ")
        ),
    }
}
