//! Putting a damaged store in order: as little as can be, said beforehand, nothing deleted.
//!
//! ```text
//! plan ─→ people read it ─→ apply: parts written anew · files moved to quarantine/ · one new commit log in the old one's place
//! ```
//! * A part that cannot be opened, or is not what the log names, is moved aside and no longer named; one that is missing is no longer
//!   named.
//! * Where the log itself is damaged, lost, torn inside, or older than its parts, those that it does not name any more are taken in by
//!   what their footers and lineage say, each row once: what two parts have both is left out of one of them. Of two generations of a record the later counts.
//! * Asked for it, parts with damaged chunks are written anew without them, so that merges take them again.
//!
//! What it cannot know it says: [`Plan::unknown`].
//! Crash story: new parts first, then files move, then one checkpoint of the log; then nothing is in doubt any more. A repair that was cut off is done again.
//! Memory: the offsets of a topic's rows, as bitmaps.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use roaring::RoaringTreemap;

use super::Look;
use super::verify::Progress;
use crate::base::disk::Disk;
use crate::base::ids::{Generation, Offset, PartitionId, TopicId};
use crate::base::time;
use crate::store::StoreError;
use crate::store::commits::{self, CommitLog, GenerationEntry, PartMeta, TopicState};
use crate::store::doubt::Doubt;
use crate::store::keyed;
use crate::store::mask::Mask;
use crate::store::open::part_path;
use crate::store::part::directory::DIRECTORY_BYTES;
use crate::store::part::job::{Input, Job, Piece};
use crate::store::part::read::PartSource;
use crate::store::part::survey::newer_version;
use crate::store::part::write::write;
use crate::store::source::Source;

/// Where files go that are moved aside, in the data directory.
pub const QUARANTINE: &str = "quarantine";

/// What a repair would do.
#[derive(Debug, Default)]
pub struct Plan {
    /// In words, in order.
    pub steps: Vec<String>,
    /// What nobody can know afterwards.
    pub unknown: Vec<String>,
    topics: BTreeMap<TopicId, TopicState>,
    aside: Vec<PathBuf>,
    rewrite: Vec<Rewrite>,
    log_aside: bool,
}

/// A part that is to be written anew.
#[derive(Debug)]
struct Rewrite {
    topic: TopicId,
    meta: PartMeta,
    /// Of each group, the rows that are kept; all where nothing else has them.
    only: Option<Vec<Vec<u16>>>,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

/// Offsets of rows, by partition, generation and which of the record's rows.
type Held = BTreeMap<(PartitionId, Generation, u16), RoaringTreemap>;

impl Look {
    /// What a repair would do; `rewrite`: parts with damaged chunks are written anew without them.
    ///
    /// # Errors
    /// The disk's; [`StoreError::Newer`] where a newer Sawbox wrote a part.
    pub fn plan_repair(&self, rewrite: bool, now_ns: i64, progress: &mut dyn FnMut(Progress)) -> Result<Plan, StoreError> {
        let mut plan = Plan { topics: self.topics.clone(), ..Plan::default() };
        let files = self.part_files()?;
        let adopts = !self.log.is_whole() && (self.log.is_there || !files.is_empty());
        let but = if adopts { ", but for those that a part has which is taken in" } else { "" };
        for part in self.check_parts(progress) {
            let path = part.path.display().to_string();
            if let Some(version) = part.newer {
                return Err(StoreError::Newer { path, version: u32::from(version) });
            }
            let Some(topic) = plan.topics.get_mut(&part.topic) else { continue };
            let is_lost = !part.is_there || part.damages.iter().any(|damage| damage.is_whole_part);
            if is_lost {
                topic.parts.remove(&part.meta.id);
                topic.staged.remove(&part.meta.id);
                let rows = part.meta.rows;
                if part.is_there {
                    plan.aside.push(part.path.clone());
                    plan.steps.push(format!("move {path} to {QUARANTINE}/: it cannot be read, its {rows} rows are lost{but}"));
                } else {
                    plan.steps.push(format!("forget {path}: it is not there, its {rows} rows are lost{but}"));
                }
            } else if rewrite && topic.parts.contains_key(&part.meta.id) {
                let lost: u64 = part.damages.iter().filter(|damage| damage.field.is_none()).map(|damage| damage.rows).sum();
                let rows = match lost {
                    0 => String::new(),
                    lost => format!(
                        ", and without up to {} rows of which nobody knows when they were, or where they came from",
                        lost.min(part.meta.rows)
                    ),
                };
                plan.steps.push(format!(
                    "write {path} anew without {} damaged pieces{rows}; the old file moves to {QUARANTINE}/",
                    part.damages.len()
                ));
                plan.rewrite.push(Rewrite { topic: part.topic, meta: part.meta, only: None });
            }
        }
        if adopts {
            self.adopt(&mut plan, files, now_ns)?;
        }
        Ok(plan)
    }

    /// Takes in what the log does not name any more.
    fn adopt(&self, plan: &mut Plan, files: BTreeMap<PathBuf, (Option<TopicId>, u64)>, now_ns: i64) -> Result<(), StoreError> {
        plan.log_aside = self.log.is_there;
        plan.steps.push(match self.log.is_there {
            true => format!("copy {} to {QUARANTINE}/ and write a new one", commits::PATH),
            false => format!("write a new {}", commits::PATH),
        });
        let named: BTreeSet<PathBuf> = self
            .topics
            .iter()
            .flat_map(|(id, topic)| {
                let staged = topic.staged.values().map(|(_, meta)| meta);
                topic.parts.values().chain(staged).map(|meta| part_path(*id, meta.day, meta.id))
            })
            .collect();
        let mut found = BTreeMap::<TopicId, Vec<PartSource>>::new();
        // What the start removes is what a crash left after the log was whole again: its rows come from the queue.
        let is_doubtful = |path: &PathBuf, number: u64| !named.contains(path) && self.doubt.keeps(number);
        for (path, (folder, number)) in files.into_iter().filter(|(path, (_, number))| is_doubtful(path, *number)) {
            if let Some(version) = newer_version(&*self.disk, &path) {
                return Err(StoreError::Newer { path: path.display().to_string(), version: u32::from(version) });
            }
            match self.candidate(&path, folder, number, now_ns) {
                Ok(source) => found.entry(folder.unwrap_or_default()).or_default().push(source),
                Err(why) => {
                    plan.steps.push(format!("move {} to {QUARANTINE}/: {why}", path.display()));
                    plan.aside.push(path);
                }
            }
        }
        let pieces = |(id, topic): (&TopicId, &TopicState)| {
            let id = *id;
            let named = topic.keyed.values().flatten().filter_map(|piece| piece.file);
            named.map(|number| keyed::path(id, number)).collect::<Vec<_>>()
        };
        let pieces: BTreeSet<PathBuf> = self.topics.iter().flat_map(pieces).collect();
        for path in self.files(".state")?.into_keys().filter(|path| !pieces.contains(path)) {
            plan.steps.push(format!("move {} to {QUARANTINE}/: whose keyed state it is, is not known", path.display()));
            plan.aside.push(path);
        }
        let known: BTreeSet<TopicId> = plan.topics.keys().chain(found.keys()).copied().collect();
        for id in known {
            self.adopt_topic(plan, id, found.remove(&id).unwrap_or_default());
        }
        plan.unknown.extend(
            [
                "deletions and replays that only the lost entries named: rows that were deleted come back where no merge had swept \
                 them; delete them again",
                "next offsets of partitions go on behind the last row that a part has: records behind it come again from the queue; \
                 if the box ended within a flush, rows of its other parts do not, and a replay makes them",
                "chains of generations that only the lost entries named: their rows stay, but explain cannot run them again",
                "when rows arrived: retention counts from today for the parts that are taken in",
                "keyed state of filters, and replays under way, that only the lost entries named",
            ]
            .map(str::to_owned),
        );
        Ok(())
    }

    /// A part that may be taken in.
    fn candidate(&self, path: &Path, folder: Option<TopicId>, number: u64, now_ns: i64) -> Result<PartSource, String> {
        let bytes = self.disk.open(path, false).and_then(|file| file.len()).map_err(|error| error.to_string())?;
        let open = |meta| self.part(folder.unwrap_or_default(), "", meta, path.to_owned());
        let blank = open(PartMeta { id: number, bytes, ..PartMeta::default() });
        let footer = blank.footer().map_err(|error| format!("it cannot be read ({error})"))?;
        if Some(footer.topic) != folder || footer.part != number {
            return Err(format!("it says that it is part {:016x} of topic {}", footer.part, footer.topic));
        }
        let (from, to) = (time::day(footer.time.0), time::day(footer.time.1));
        let in_late = path.parent().and_then(Path::file_name).is_some_and(|name| name == "late");
        let meta = PartMeta {
            id: number,
            day: (!in_late).then_some(from),
            keep_day: to.max(time::day(now_ns)),
            rows: footer.rows,
            bytes,
            raw_bytes: blank.all_unpacked().unwrap_or(0),
            from_ns: footer.time.0,
            to_ns: footer.time.1,
            offsets: blank.offsets().map_err(|error| error.to_string())?,
            swept: 0,
        };
        if part_path(footer.topic, meta.day, number) != path {
            return Err("it lies in the folder of another day".into());
        }
        Ok(PartSource::new(Arc::new(blank.file.as_meant(meta)), footer.topic, footer.topic_name))
    }

    fn adopt_topic(&self, plan: &mut Plan, id: TopicId, sources: Vec<PartSource>) {
        let topic = plan.topics.entry(id).or_default();
        // What the log names comes first, and of each the largest: what a merge made, before what it was made of.
        let mut all: Vec<(bool, PartSource)> = sources.into_iter().map(|source| (false, source)).collect();
        for meta in topic.parts.values() {
            all.push((true, self.part(id, &topic.name, meta.clone(), part_path(id, meta.day, meta.id))));
        }
        all.sort_by_key(|(is_named, source)| (!is_named, std::cmp::Reverse(source.file.meta.rows), source.file.meta.id));
        let mut held = Held::new();
        for (is_named, source) in all {
            let meta = source.file.meta.clone();
            let path = source.file.path.clone();
            let news = match news_of(&source, &mut held) {
                Ok(news) => news,
                // Damaged in places: it was reported before, and its other rows count.
                Err(_) if is_named => {
                    hold_readable(&source, &mut held);
                    continue;
                }
                Err(error) => {
                    plan.steps.push(format!(
                        "move {} to {QUARANTINE}/: where its rows came from cannot be read ({error})",
                        path.display()
                    ));
                    plan.aside.push(path);
                    continue;
                }
            };
            let kept: u64 = news.iter().map(|rows| rows.len() as u64).sum();
            if kept == 0 {
                plan.steps.push(format!("move {} to {QUARANTINE}/: all of its rows are in other parts", path.display()));
                plan.aside.push(path);
                topic.parts.remove(&meta.id);
                plan.rewrite.retain(|own| own.topic != id || own.meta.id != meta.id);
                continue;
            }
            if !is_named {
                plan.steps.push(format!("take in {}: {} rows{}", path.display(), meta.rows, shown(&meta)));
            }
            if kept < meta.rows {
                let twice = meta.rows - kept;
                plan.steps.push(format!("write {} anew without {twice} rows that other parts have", path.display()));
                let own = plan.rewrite.iter_mut().find(|own| own.topic == id && own.meta.id == meta.id);
                match own {
                    Some(own) => own.only = Some(news),
                    None => plan.rewrite.push(Rewrite { topic: id, meta: meta.clone(), only: Some(news) }),
                }
            }
            if topic.name.is_empty() {
                topic.name = source.topic_name().to_string();
            }
            for (partition, _, last) in &meta.offsets {
                let next = topic.cursors.entry(*partition).or_default();
                *next = last.saturating_add(1).max(*next);
            }
            topic.parts.insert(meta.id, meta);
        }
        let known: BTreeSet<Generation> = topic.generations.iter().map(|entry| entry.generation).collect();
        let unknown: BTreeSet<Generation> = held.keys().map(|(_, generation, _)| *generation).collect();
        for generation in unknown.into_iter().filter(|generation| *generation > 0 && !known.contains(generation)) {
            let (chain, from, ranges) = (Arc::from(&b""[..]), BTreeMap::new(), Vec::new());
            topic.generations.push(GenerationEntry { generation, chain, from, ranges });
        }
        topic.generations.sort_by_key(|entry| entry.generation);
        later_generations_count(plan, id, &held);
    }
}

fn shown(meta: &PartMeta) -> String {
    let one = |(partition, first, last): &(PartitionId, Offset, Offset)| format!(", partition {partition} {first} to {last}");
    meta.offsets.iter().take(4).map(one).collect()
}

/// Of each group of a part, the rows that nobody holds yet, and holds them.
fn news_of(source: &PartSource, held: &mut Held) -> Result<Vec<Vec<u16>>, StoreError> {
    let groups = (0..source.groups()).map(|group| source.lineage(group)).collect::<Result<Vec<_>, _>>()?;
    let mut all = Vec::with_capacity(groups.len());
    for lineage in groups {
        let mut rows = Vec::new();
        let of = lineage.partitions.iter().zip(&lineage.generations).zip(&lineage.ns).zip(&lineage.offsets);
        for (row, (((partition, generation), n), offset)) in (0u16..).zip(of) {
            if held.entry((*partition, *generation, *n)).or_default().insert(*offset) {
                rows.push(row);
            }
        }
        all.push(rows);
    }
    Ok(all)
}

fn hold_readable(source: &PartSource, held: &mut Held) {
    for lineage in (0..source.groups()).filter_map(|group| source.lineage(group).ok()) {
        let of = lineage.partitions.iter().zip(&lineage.generations).zip(&lineage.ns).zip(&lineage.offsets);
        for (((partition, generation), n), offset) in of {
            held.entry((*partition, *generation, *n)).or_default().insert(*offset);
        }
    }
}

/// Masks the rows of records that a later generation has too.
fn later_generations_count(plan: &mut Plan, id: TopicId, held: &Held) {
    let Some(topic) = plan.topics.get_mut(&id) else { return };
    let mut offsets = BTreeMap::<PartitionId, BTreeMap<Generation, RoaringTreemap>>::new();
    for ((partition, generation, _), own) in held {
        *offsets.entry(*partition).or_default().entry(*generation).or_default() |= own;
    }
    let mut seq = topic.next_mask();
    for (partition, by_generation) in offsets {
        let mut earlier = RoaringTreemap::new();
        for (generation, own) in by_generation {
            let stretches = stretches(&own & &earlier);
            // What a mask says already stays: it knows more than this does.
            let masks = topic.masks.all();
            let is_said = |first: Offset, end: Offset| {
                masks.iter().any(|mask| {
                    mask.partition == partition
                        && mask.first <= first
                        && end <= mask.end
                        && mask.keep.is_none_or(|keep| keep >= generation)
                })
            };
            let news: Vec<(Offset, Offset)> = stretches.into_iter().filter(|(first, end)| !is_said(*first, *end)).collect();
            if !news.is_empty() {
                let records: u64 = news.iter().map(|(first, end)| end - first).sum();
                plan.steps.push(format!(
                    "of {records} records of partition {partition} of `{}` show the rows of generation {generation} alone",
                    topic.name
                ));
            }
            for (first, end) in news {
                let mask = Mask { seq, partition, first, end, keep: Some(generation) };
                Arc::make_mut(&mut topic.masks).add(&mask);
            }
            seq += 1;
            earlier |= own;
        }
    }
}

/// Offsets as stretches.
fn stretches(offsets: RoaringTreemap) -> Vec<(Offset, Offset)> {
    let mut all: Vec<(Offset, Offset)> = Vec::new();
    for offset in offsets {
        match all.last_mut() {
            Some((_, end)) if *end == offset => *end += 1,
            _ => all.push((offset, offset + 1)),
        }
    }
    all
}

/// Does what a plan says. The caller holds the data directory's lock.
///
/// # Errors
/// The disk's. Then it is to be planned and done again.
pub fn apply(look: &Look, mut plan: Plan) -> Result<(), StoreError> {
    let disk = look.disk();
    let named = |topics: &BTreeMap<TopicId, TopicState>| {
        topics.values().flat_map(|topic| topic.parts.keys().chain(topic.staged.keys()).copied()).max().unwrap_or(0)
    };
    let files = look.part_files()?;
    let mut next = named(&plan.topics).max(files.values().map(|(_, number)| *number).max().unwrap_or(0)) + 1;
    for Rewrite { topic: id, meta, only } in std::mem::take(&mut plan.rewrite) {
        let Some(topic) = plan.topics.get_mut(&id) else { continue };
        let old = part_path(id, meta.day, meta.id);
        topic.parts.remove(&meta.id);
        if let Some(fresh) = written_anew(look, disk, (id, &topic.name), &meta, only, next)? {
            topic.parts.insert(fresh.id, fresh);
        }
        next += 1;
        plan.aside.push(old);
    }
    for path in &plan.aside {
        move_aside(disk, path)?;
    }
    if plan.log_aside {
        copy_aside(disk, Path::new(commits::PATH))?;
    }
    CommitLog::replace(disk.clone(), plan.topics)?;
    // Only a damaged log is put in order: otherwise nothing was in doubt.
    Doubt::remove(&**disk)
}

fn written_anew(
    look: &Look,
    disk: &Arc<dyn Disk>,
    (id, name): (TopicId, &str),
    meta: &PartMeta,
    only: Option<Vec<Vec<u16>>>,
    number: u64,
) -> Result<Option<PartMeta>, StoreError> {
    let source = Arc::new(look.part(id, name, meta.clone(), part_path(id, meta.day, meta.id)).skipping_damage());
    let is_sound = |group: &usize| source.times(*group).is_ok() && source.lineage(*group).is_ok();
    let piece = |group: usize| {
        let rows = only.as_ref().map(|only| only.get(group).cloned().unwrap_or_default());
        (rows.as_ref() != Some(&Vec::new())).then(|| vec![Piece { input: 0, group, rows }])
    };
    let groups: Vec<Vec<Piece>> = (0..source.groups()).filter(is_sound).filter_map(piece).collect();
    if groups.is_empty() {
        return Ok(None);
    }
    let inputs = [Input::Part(source)];
    let stop = AtomicBool::new(false);
    let (topic_name, directory_bytes) = (Arc::from(name), DIRECTORY_BYTES);
    let job = Job { inputs: &inputs, groups: &groups, topic: id, topic_name, part: number, directory_bytes, stop: &stop };
    let path = part_path(id, meta.day, number);
    let written = write(disk, &path, &job)?;
    sync_parent(disk, &path)?;
    let offsets = if meta.offsets.is_empty() { Vec::new() } else { written.offsets };
    let (from_ns, to_ns) = written.time;
    Ok(Some(PartMeta { id: number, rows: written.rows, bytes: written.bytes, from_ns, to_ns, offsets, ..meta.clone() }))
}

fn refused(path: &Path, error: std::io::Error) -> StoreError {
    StoreError::Disk { path: path.display().to_string(), error }
}

fn sync_parent(disk: &Arc<dyn Disk>, path: &Path) -> Result<(), StoreError> {
    let parent = path.parent().unwrap_or(Path::new(""));
    disk.sync_dir(parent).map_err(|error| refused(parent, error))
}

fn place_aside(disk: &Arc<dyn Disk>, path: &Path) -> Result<PathBuf, StoreError> {
    let aside = Path::new(QUARANTINE).join(path);
    let parent = aside.parent().unwrap_or(Path::new(QUARANTINE));
    disk.create_dir_all(parent).map_err(|error| refused(parent, error))?;
    // An earlier repair may have put one of the same name there.
    let taken = |name: &Path| disk.open(name, false).is_ok();
    let free = (0..u32::MAX).map(|n| if n == 0 { aside.clone() } else { aside.with_added_extension(n.to_string()) });
    Ok({ free }.find(|name| !taken(name)).unwrap_or(aside))
}

fn move_aside(disk: &Arc<dyn Disk>, path: &Path) -> Result<(), StoreError> {
    let aside = place_aside(disk, path)?;
    disk.rename(path, &aside).map_err(|error| refused(path, error))?;
    sync_parent(disk, &aside)?;
    sync_parent(disk, path)
}

fn copy_aside(disk: &Arc<dyn Disk>, path: &Path) -> Result<(), StoreError> {
    let aside = place_aside(disk, path)?;
    let copy = || {
        let from = disk.open(path, false)?;
        let mut bytes = vec![0; usize::try_from(from.len()?).map_err(std::io::Error::other)?];
        let got = from.read_at(&mut bytes, 0)?;
        bytes.truncate(got);
        let to = disk.open(&aside, true)?;
        to.set_len(0)?;
        to.write_at(&bytes, 0)?;
        to.sync_data()
    };
    copy().map_err(|error| refused(&aside, error))?;
    sync_parent(disk, &aside)
}
