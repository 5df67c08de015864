//! The parts of a store: which there are, what they have, and in which state they are.

use serde::{Serialize, Serializer};

use super::Look;
use crate::base::ids::{Generation, Offset, PartitionId, TopicId};
use crate::base::time;
use crate::store::StoreError;
use crate::store::commits::PartMeta;
use crate::store::open::part_path;
use crate::store::part::read::PartSource;

/// What a part is to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Queries read it.
    Live,
    /// A replay under way wrote it; nobody sees it yet.
    Staged,
    /// The log does not name it: what a flush or merge left that was never committed. The next start of the box removes it, unless
    /// the log has lost entries that may have named it.
    Orphan,
    /// The box runs, and has not committed it yet, or does not need it any more.
    Uncommitted,
    /// The log names it, and it is not there.
    Missing,
}

/// A part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedPart {
    /// The topic's name.
    pub topic: String,
    /// Its id; none where the folder is none of a topic.
    #[serde(serialize_with = "shown")]
    pub topic_id: Option<TopicId>,
    /// What it is to the store.
    pub state: State,
    /// Its file, in the data directory.
    pub path: String,
    /// Its number.
    pub id: u64,
    /// The day of its rows; none: late rows of many days.
    pub day: Option<String>,
    /// Rows.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes of what its rows were made of.
    pub raw_bytes: u64,
    /// Least time of its rows.
    pub from: String,
    /// Greatest time.
    pub to: String,
    /// Generations that made its rows.
    pub generations: Vec<Generation>,
    /// Each partition with its least and greatest offset.
    pub offsets: Vec<(PartitionId, Offset, Offset)>,
    /// Whether masks hide rows of it.
    pub masked: bool,
    /// The replay that it is staged for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<u64>,
    /// Why it cannot be opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

fn shown<S: Serializer>(id: &Option<TopicId>, serializer: S) -> Result<S::Ok, S::Error> {
    match id {
        Some(id) => serializer.collect_str(id),
        None => serializer.serialize_none(),
    }
}

impl Look {
    /// All parts, by topic, day and number.
    ///
    /// # Errors
    /// The disk's. A part that cannot be opened is listed with the reason.
    pub fn parts(&self) -> Result<Vec<ListedPart>, StoreError> {
        let mut files = self.part_files()?;
        let mut all = Vec::new();
        for (id, topic) in &self.topics {
            let live = topic.parts.values().map(|meta| (meta, None));
            for (meta, replay) in live.chain(topic.staged.values().map(|(job, meta)| (meta, Some(*job)))) {
                let path = part_path(*id, meta.day, meta.id);
                // One that was made since the folders were read is there all the same.
                let is_there = files.remove(&path).is_some() || self.disk.open(&path, false).is_ok();
                let state = match (is_there, replay) {
                    (false, _) if self.is_running => continue,
                    (false, _) => State::Missing,
                    (true, None) => State::Live,
                    (true, Some(_)) => State::Staged,
                };
                let source = self.part(*id, &topic.name, meta.clone(), path);
                let mut one = listed(&source, Some(*id), &topic.name, state);
                one.masked = replay.is_none() && topic.masks.meets(meta);
                one.replay = replay;
                all.push(one);
            }
        }
        for (path, (id, number)) in files {
            let bytes = self.disk.open(&path, false).and_then(|file| file.len()).unwrap_or(0);
            let meta = PartMeta { id: number, bytes, ..PartMeta::default() };
            let source = self.part(id.unwrap_or_else(|| TopicId::from_bytes([0; 16])), "", meta, path);
            let state = if self.is_running { State::Uncommitted } else { State::Orphan };
            let mut one = listed(&source, id, "", state);
            if let Ok(footer) = source.footer() {
                one.topic = footer.topic_name.to_string();
                one.rows = footer.rows;
                (one.from, one.to) = (time::format(footer.time.0), time::format(footer.time.1));
            }
            all.push(one);
        }
        all.sort_by(|a, b| (&a.topic, a.topic_id, &a.day, a.id).cmp(&(&b.topic, b.topic_id, &b.day, b.id)));
        Ok(all)
    }
}

fn listed(source: &PartSource, topic_id: Option<TopicId>, topic: &str, state: State) -> ListedPart {
    let meta = &source.file.meta;
    let opened = if state == State::Missing { Ok(Default::default()) } else { source.generations() };
    let day = source.file.path.parent().and_then(|folder| folder.file_name()).and_then(|name| name.to_str());
    ListedPart {
        topic: topic.to_owned(),
        topic_id,
        state,
        path: source.file.path.display().to_string(),
        id: meta.id,
        day: day.filter(|day| day.starts_with(|c: char| c.is_ascii_digit())).map(str::to_owned),
        rows: meta.rows,
        bytes: meta.bytes,
        raw_bytes: meta.raw_bytes,
        from: time::format(meta.from_ns),
        to: time::format(meta.to_ns),
        offsets: source.offsets().unwrap_or_else(|_| meta.offsets.clone()),
        masked: false,
        replay: None,
        error: match &opened {
            Ok(_) if state == State::Missing => Some("its file is not there".into()),
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        },
        generations: opened.map(|all| all.into_iter().collect()).unwrap_or_default(),
    }
}
