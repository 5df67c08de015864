//! What a query keeps of its computed columns: those of the groups read last, and what steps made of dictionaries.
//!
//! Limits, for all sources together: [`KEPT_BYTES`] of columns; of dictionaries [`KEPT_ENTRIES`], [`KEPT_MAPPED`] bytes of what was
//! made of them, and [`KEPT_DICTIONARIES`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::bits::Bits;
use super::mapped::{Mapped, is_equal};
use super::view::chunk_bytes;
use crate::store::source::{Chunk, Dict, Kind};

/// Bytes of columns that are kept: those of a group that is being read are asked for one by one.
const KEPT_BYTES: u64 = 64 << 20;
/// Entries of dictionaries whose results are kept.
const KEPT_ENTRIES: usize = 1 << 20;
/// Bytes of these results.
const KEPT_MAPPED: usize = 64 << 20;
/// Dictionaries whose results are kept.
const KEPT_DICTIONARIES: usize = 128;

/// What all sources of a query have together, seen through one program.
#[derive(Debug, Default)]
pub struct Shared {
    /// What is kept.
    pub state: Mutex<State>,
    /// Whether some text had no room.
    pub cut: AtomicBool,
}

impl Shared {
    /// Whether some text had no room.
    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }
}

/// The chunks of each output of a step.
pub type Made = Arc<Vec<Vec<(Kind, Chunk)>>>;

/// What is kept.
#[derive(Debug, Default)]
pub struct State {
    /// Columns by source, group and step.
    pub recent: VecDeque<((usize, usize, usize), Made)>,
    bytes: u64,
    /// Which rows matter, by source and group.
    pub narrowed: VecDeque<((usize, usize), Bits)>,
    /// By step and which of its inputs it is: columns may have equal dictionaries.
    mapped: VecDeque<((usize, usize), Uses)>,
    entries: usize,
    mapped_bytes: usize,
}

impl State {
    /// Keeps the columns of a step in a group.
    pub fn keep(&mut self, key: (usize, usize, usize), made: Made) {
        self.bytes += size(&made);
        self.recent.push_back((key, made));
        while self.bytes > KEPT_BYTES && self.recent.len() > 1 {
            if let Some((_, old)) = self.recent.pop_front() {
                self.bytes -= size(&old);
            }
        }
    }

    /// Forgets the columns of a group.
    pub fn forget(&mut self, group: (usize, usize)) {
        let mut freed = 0;
        self.recent.retain(|((source, own, _), made)| {
            let kept = (*source, *own) != group;
            freed += if kept { 0 } else { size(made) };
            kept
        });
        self.bytes -= freed;
    }

    fn evict(&mut self) {
        let full = |own: &Self| own.entries > KEPT_ENTRIES || own.mapped_bytes > KEPT_MAPPED;
        while (full(self) && self.mapped.len() > 1) || self.mapped.len() > KEPT_DICTIONARIES {
            if let Some((_, old)) = self.mapped.pop_front() {
                self.entries -= old.dict.len();
                self.mapped_bytes -= old.whole.bytes();
            }
        }
    }

    /// Keeps what a step made of a whole dictionary, and gives what all are to use: two threads may have made it.
    pub fn keep_whole(&mut self, step: (usize, usize), dict: &Arc<Dict>, made: Option<Mapped>) -> Option<Arc<Mapped>> {
        let whole = made.map_or(Whole::TooLarge, |made| Whole::Made(Arc::new(made)));
        let bytes = whole.bytes();
        let Some(uses) = self.uses(step, dict) else { return whole.made() };
        if !matches!(uses.whole, Whole::Unmade) {
            return uses.whole.made();
        }
        uses.whole = whole;
        let made = uses.whole.made();
        self.mapped_bytes += bytes;
        self.evict();
        made
    }

    /// What is known of a dictionary.
    pub fn uses(&mut self, step: (usize, usize), dict: &Arc<Dict>) -> Option<&mut Uses> {
        if !self.mapped.iter().any(|(own, uses)| *own == step && is_equal(&uses.dict, dict)) {
            self.entries += dict.len();
            self.mapped.push_back((step, Uses { dict: Arc::clone(dict), rows: 0, whole: Whole::Unmade }));
            self.evict();
        }
        // Mostly the one that was met last.
        self.mapped.iter_mut().rev().find(|(own, uses)| *own == step && is_equal(&uses.dict, dict)).map(|(_, uses)| uses)
    }
}

fn size(made: &Made) -> u64 {
    made.iter().flatten().map(|(_, chunk)| chunk_bytes(chunk)).sum()
}

/// A dictionary that is a step's only input, and how many rows were looked up in it.
#[derive(Debug)]
pub struct Uses {
    dict: Arc<Dict>,
    /// How many.
    pub rows: usize,
    /// What became of the whole.
    pub whole: Whole,
}

/// What a step made of a whole dictionary.
#[derive(Debug)]
pub enum Whole {
    /// Not yet.
    Unmade,
    /// This.
    Made(Arc<Mapped>),
    /// It does not fit into memory.
    TooLarge,
}

impl Whole {
    /// It, if it was made.
    pub fn made(&self) -> Option<Arc<Mapped>> {
        if let Self::Made(whole) = self { Some(Arc::clone(whole)) } else { None }
    }

    fn bytes(&self) -> usize {
        if let Self::Made(whole) = self { whole.bytes() } else { 0 }
    }
}
