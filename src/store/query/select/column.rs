//! What a test knows of one column of a source: asked for when it is needed, and shared by the threads that read groups.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::{Asked, judge};
use crate::store::query::bits::Bits;
use crate::store::query::derived;
use crate::store::query::search::DictVerdict;
use crate::store::query::shaped;
use crate::store::query::view::GroupView;
use crate::store::source::{Kind, Source};

/// Entries of a dictionary that pass are few up to this many.
const FEW: usize = 16;

/// A column that a test is about.
#[derive(Debug)]
pub struct ColumnPlan {
    pub column: usize,
    pub kind: Kind,
    pub whole: OnceLock<Option<Arc<DictVerdict>>>,
    /// Which of its entries pass, and how many rows have each.
    passing: OnceLock<Option<Vec<(u32, u64)>>>,
    /// Where matches are looked for first in strings that are made of other columns.
    pub fields: OnceLock<Option<derived::Fields>>,
    /// What the test says of the shapes of texts that are split.
    pub shapes: OnceLock<Option<shaped::Verdicts>>,
    /// Groups that may hold a match; `None`: any.
    groups: OnceLock<Option<Vec<u64>>>,
    /// How many rows pass, where that is known and worth knowing.
    known: OnceLock<Option<u64>>,
    /// What was found of them.
    found: Mutex<Found>,
    /// The groups that hold them, once all are found.
    all_found: OnceLock<Vec<u64>>,
}

/// Groups that were searched whole, and those of them that have rows which pass.
#[derive(Debug, Default)]
struct Found {
    searched: Vec<u64>,
    groups: Vec<u64>,
    rows: u64,
}

/// Sets a bit; whether it was unset.
fn set(words: &mut Vec<u64>, bit: usize) -> bool {
    if words.len() <= bit / 64 {
        words.resize(bit / 64 + 1, 0);
    }
    let (word, mask) = (&mut words[bit / 64], 1 << (bit % 64));
    let is_news = *word & mask == 0;
    *word |= mask;
    is_news
}

fn has(words: &[u64], bit: usize) -> bool {
    words.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
}

impl ColumnPlan {
    /// Of a column of which nothing is known.
    pub fn new(column: usize, kind: Kind) -> Self {
        Self {
            column,
            kind,
            whole: OnceLock::new(),
            passing: OnceLock::new(),
            fields: OnceLock::new(),
            shapes: OnceLock::new(),
            groups: OnceLock::new(),
            known: OnceLock::new(),
            found: Mutex::default(),
            all_found: OnceLock::new(),
        }
    }

    /// The entries of the dictionary of the whole source that pass, where an index tells.
    pub fn passing(&self, asked: &Asked, source: &dyn Source) -> Option<&[(u32, u64)]> {
        let ask = || source.dict_passing(self.column, &asked.leaf.test, &asked.wanted).ok().flatten();
        self.passing.get_or_init(ask).as_deref()
    }

    /// The verdict over the dictionary of the whole source, if the column has one.
    pub fn whole(&self, asked: &Asked, source: &dyn Source) -> Option<&Arc<DictVerdict>> {
        let judge = || {
            let passing = self.passing(asked, source);
            if passing.is_some_and(<[_]>::is_empty) {
                return Some(Arc::new(DictVerdict::of(Arc::default(), &[])));
            }
            // A damaged dictionary is found (and counted) again when its chunks are read; those of numbers do without.
            let dict = source.dict(self.column).ok().flatten()?;
            Some(Arc::new(match passing {
                Some(passing) => DictVerdict::of(dict, passing),
                None => judge(&asked.leaf.test, self.kind, dict),
            }))
        };
        self.whole.get_or_init(judge).as_ref()
    }

    /// Whether a group may hold a match, as far as an index tells, and what was found already.
    pub fn may_be_in(&self, asked: &Asked, source: &dyn Source, group: usize) -> bool {
        if let Some(groups) = self.all_found.get() {
            return has(groups, group);
        }
        // A damaged index rules nothing out, and no answer is the poorer for it.
        let ask = || source.groups_with(self.column, &asked.leaf.test, &asked.wanted).ok().flatten();
        let groups = self.groups.get_or_init(ask).as_ref();
        groups.is_none_or(|words| has(words, group))
    }

    /// The rows of `among` that pass where one entry alone does, which most groups do not have.
    pub fn of_code(&self, view: &GroupView<'_>, among: &Bits) -> Option<Bits> {
        let code = self.whole.get()?.as_ref()?.only?;
        let words = view.source.rows_of_code(view.group, self.column, code)?;
        let mut kept = among.clone();
        kept.and_words(&words);
        Some(kept)
    }

    /// Notes which rows of a group pass, if all were asked: when those are found that the dictionary counts, no other group has any.
    pub fn note(&self, asked: &Asked, view: &GroupView<'_>, kept: &Bits, among: &Bits) {
        if self.all_found.get().is_some() || among.count() < among.rows() {
            return;
        }
        let Some(all) = *self.known.get_or_init(|| self.few(asked, view.source)) else { return };
        let group = view.group;
        let mut found = self.found.lock();
        if !set(&mut found.searched, group) || kept.is_empty() {
            return;
        }
        set(&mut found.groups, group);
        found.rows += kept.count() as u64;
        if found.rows >= all {
            self.all_found.get_or_init(|| std::mem::take(&mut found.groups));
        }
    }

    /// How many rows of the source pass, where its dictionary tells and few of its entries do: what many have is in every group.
    fn few(&self, asked: &Asked, source: &dyn Source) -> Option<u64> {
        let matching = self.whole.get()?.as_ref()?.matching;
        if matching > FEW { None } else { u64::try_from(self.count(asked, source)?).ok() }
    }
}
