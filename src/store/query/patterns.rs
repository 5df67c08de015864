//! `patterns`: texts clustered by their shape ([`super::shape`]); how many each has, an example, and when it was seen first and last.
//!
//! 1. Every text's shape is counted, in each thread by itself; of a dictionary once an entry and group.
//! 2. The [`SHAPES`] shapes with the least hashes keep their counts. The others are counted by their first words, of these again
//!    the first so many, and the rest together. Which are kept depends on the shapes alone: not on the order of rows or threads.
//! 3. Shapes of as many words, most of them the same, become one; the words that differ become `<*>`. The most frequent come first.
//!
//! The example is the earliest text. Memory: twice [`SHAPES`] shapes and examples, for each of two levels and each thread.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use rustc_hash::FxHashMap;

use super::cluster::{by_count, clustered};
use super::figures::Moment;
use super::out::{OutRow, OutValue};
use super::scan::{Found, Scan, Want};
use super::shape::{self, words};
use super::sketch::hash;
use super::stats::datum_of;
use super::table::moments;
use super::view::{Datum, FieldReader};
use super::{Cancel, Limits, QueryError, Request};
use crate::store::source::{Chunk, Kind, list_items};

/// Shapes counted by themselves.
const SHAPES: usize = 5000;
/// Longest example.
const EXAMPLE_BYTES: usize = 512;
/// Words of a shape that is not counted by itself.
const FIRST_WORDS: usize = 3;
/// What is known of a shape.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Texts.
    pub count: u64,
    first: i64,
    last: i64,
    moment: Moment,
    example: Box<[u8]>,
}

impl Seen {
    /// Adds what is known of another.
    pub fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        if other.moment < self.moment {
            self.moment = other.moment;
            self.example = other.example.clone();
        }
    }
}

/// Texts of one shape in one group.
#[derive(Clone, Copy, Debug)]
struct Batch<'t> {
    count: u64,
    first: i64,
    last: i64,
    moment: Moment,
    text: &'t [u8],
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    shape: Box<[u8]>,
    seen: Seen,
}

/// Shapes with the least hashes.
#[derive(Debug, Default)]
struct Level {
    hasher: DefaultHashBuilder,
    table: HashTable<u32>,
    entries: Vec<Entry>,
    /// What has a greater hash was left out once.
    bound: Option<u64>,
}

impl Level {
    fn find(&self, shape: &[u8]) -> Option<usize> {
        let own = self.hasher.hash_one(shape);
        self.table.find(own, |&at| *self.entries[at as usize].shape == *shape).map(|&at| at as usize)
    }

    fn takes(&self, hash: u64) -> bool {
        self.bound.is_none_or(|bound| hash <= bound)
    }

    fn insert(&mut self, entry: Entry) {
        let own = self.hasher.hash_one(&*entry.shape);
        let at = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.entries.push(entry);
        let (hasher, entries) = (&self.hasher, &self.entries);
        self.table.insert_unique(own, at, |&at| hasher.hash_one(&*entries[at as usize].shape));
    }

    /// Leaves out all but the first so many.
    fn shrink(&mut self, most: usize) -> Vec<Entry> {
        if self.entries.len() <= most {
            return Vec::new();
        }
        let mut entries = std::mem::take(&mut self.entries);
        self.table.clear();
        entries.sort_unstable_by(|a, b| (a.hash, &a.shape).cmp(&(b.hash, &b.shape)));
        let left = entries.split_off(most);
        self.bound = entries.last().map(|entry| entry.hash);
        entries.into_iter().for_each(|entry| self.insert(entry));
        left
    }
}

/// Shapes that were seen: a thread's own, or all.
#[derive(Debug, Default)]
pub struct Shapes {
    levels: [Level; 2],
    rest: Option<Seen>,
    most: usize,
    buffer: Vec<u8>,
}

impl Shapes {
    fn new() -> Self {
        Self { most: SHAPES, ..Self::default() }
    }

    fn add(&mut self, batch: Batch<'_>) {
        let mut shape = std::mem::take(&mut self.buffer);
        shape::shape(batch.text, &mut shape);
        self.add_shape(&shape, batch);
        self.buffer = shape;
    }

    fn add_shape(&mut self, shape: &[u8], batch: Batch<'_>) {
        if let Some(at) = self.levels[0].find(shape) {
            let own = &mut self.levels[0].entries[at].seen;
            own.count += batch.count;
            own.first = own.first.min(batch.first);
            own.last = own.last.max(batch.last);
            if batch.moment < own.moment {
                own.moment = batch.moment;
                own.example = example(batch.text);
            }
            return;
        }
        let Batch { count, first, last, moment, text } = batch;
        self.put(0, shape.into(), Seen { count, first, last, moment, example: example(text) });
    }

    /// Counts a shape at a level, or at one below it.
    fn put(&mut self, level: usize, shape: Box<[u8]>, seen: Seen) {
        let most = self.most;
        let Some(own) = self.levels.get_mut(level) else {
            match &mut self.rest {
                Some(rest) => rest.add(&seen),
                None => self.rest = Some(seen),
            }
            return;
        };
        if let Some(at) = own.find(&shape) {
            own.entries[at].seen.add(&seen);
            return;
        }
        let hash = hash(&shape);
        if !own.takes(hash) {
            return self.put(level + 1, coarse(&shape), seen);
        }
        own.insert(Entry { hash, shape, seen });
        if own.entries.len() > 2 * most {
            for left in own.shrink(most) {
                self.put(level + 1, coarse(&left.shape), left.seen);
            }
        }
    }

    fn merge(&mut self, other: Self) {
        for (level, own) in other.levels.into_iter().enumerate() {
            // What the other left out must not be counted by itself here.
            if let Some(bound) = own.bound {
                let mine = &mut self.levels[level].bound;
                *mine = Some(mine.map_or(bound, |mine| mine.min(bound)));
            }
            own.entries.into_iter().for_each(|entry| self.put(level, entry.shape, entry.seen));
        }
        if let Some(seen) = other.rest {
            self.put(self.levels.len(), Box::default(), seen);
        }
    }

    /// Leaves the shapes that are counted by themselves, whoever met them first.
    fn settle(&mut self) {
        for level in 0..self.levels.len() {
            let own = &mut self.levels[level];
            let most = own
                .bound
                .map_or(self.most, |bound| self.most.min(own.entries.iter().filter(|entry| entry.hash <= bound).count()));
            for left in own.shrink(most) {
                self.put(level + 1, coarse(&left.shape), left.seen);
            }
        }
    }

    fn finish(mut self, most: usize, cancel: &Cancel) -> Result<Vec<OutRow>, QueryError> {
        self.settle();
        let rest = self.rest.map(|seen| (Box::from("<\u{2026}>".as_bytes()), seen));
        let entries = self.levels.into_iter().flat_map(|level| level.entries).map(|entry| (entry.shape, entry.seen));
        let mut clusters = clustered(entries.chain(rest).collect(), cancel)?;
        let total: u64 = clusters.iter().map(|(_, seen)| seen.count).sum();
        clusters.sort_unstable_by(by_count);
        clusters.truncate(most);
        let row = |(shape, seen): (Box<[u8]>, Seen)| {
            #[allow(clippy::cast_precision_loss)]
            let share = (seen.count as f64 / total.max(1) as f64 * 1e4).round() / 1e4;
            let fields = [
                ("pattern", OutValue::Str(shape)),
                ("count", OutValue::Int(i64::try_from(seen.count).unwrap_or(i64::MAX))),
                ("share", OutValue::Float(share)),
                ("example", OutValue::Str(seen.example)),
                ("first", OutValue::Time(seen.first)),
                ("last", OutValue::Time(seen.last)),
            ];
            OutRow { fields: fields.into_iter().map(|(name, value)| (name.into(), value)).collect() }
        };
        Ok(clusters.into_iter().map(row).collect())
    }
}

fn example(text: &[u8]) -> Box<[u8]> {
    let mut end = text.len().min(EXAMPLE_BYTES);
    // Not in the middle of a character.
    while end > 0 && end < text.len() && text[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    text[..end].into()
}

/// The beginning of a shape.
fn coarse(shape: &[u8]) -> Box<[u8]> {
    let mut out = Vec::new();
    for word in words(shape).take(FIRST_WORDS) {
        out.extend_from_slice(word);
        out.push(b' ');
    }
    out.extend_from_slice("<\u{2026}>".as_bytes());
    out.into()
}

/// The text of a value.
fn with_text(datum: Datum<'_>, see: impl FnOnce(&[u8])) {
    match datum {
        Datum::Missing => {}
        Datum::Str(bytes) => see(bytes),
        Datum::List(entry) => {
            if let Some(item) = list_items(entry).next() {
                see(item);
            }
        }
        other => {
            if let Some(text) = super::expr::Val::from(other).text() {
                see(&text);
            }
        }
    }
}

fn see(shapes: &mut Shapes, found: &Found<'_, '_>, field: &str, topic_ranks: &[u32]) {
    let reader = found.view.field(field);
    let topic = topic_ranks.get(found.work.source).copied().unwrap_or(0);
    let mut batch = |text: &[u8], first: i64, last: i64, moment: Moment, count: u64| {
        shapes.add(Batch { count, first, last, moment, text });
    };
    if let FieldReader::Chunks(chunks) = &reader
        && let [(Kind::Str, chunk)] = chunks.as_slice()
        && let Chunk::Dict { codes, dict } = &**chunk
    {
        let mut by_code: FxHashMap<u32, (u64, i64, i64, Moment)> = FxHashMap::default();
        for row in found.rows.iter() {
            let code = codes.get(row).copied().unwrap_or(0);
            if code == 0 {
                continue;
            }
            let moment = found.moment(row, topic);
            let own = by_code.entry(code).or_insert((0, moment.time, moment.time, moment));
            *own = (own.0 + 1, own.1.min(moment.time), own.2.max(moment.time), own.3.min(moment));
        }
        for (code, (count, first, last, moment)) in by_code {
            batch(dict.entry(code as usize - 1), first, last, moment, count);
        }
        return;
    }
    for row in found.rows.iter() {
        let moment = found.moment(row, topic);
        with_text(found.view.get(&reader, row), |text| batch(text, moment.time, moment.time, moment, 1));
    }
}

/// The shapes of stored rows.
pub fn of_scan(scan: &Scan<'_>, field: &str, most: usize, request: &Request) -> Result<Vec<OutRow>, QueryError> {
    let mut order: Vec<usize> = (0..scan.work.len()).collect();
    // Examples are of the earliest rows: in this order few are replaced.
    order.sort_by_key(|&index| scan.work[index].least);
    let results =
        scan.each(&order, Shapes::new, |_| Want::Read, |shapes, found| see(shapes, found, field, &scan.topic_ranks))?;
    let whole = results.into_iter().reduce(|mut whole, other| {
        whole.merge(other);
        whole
    });
    let most = most.min(request.limits.groups);
    whole.map_or_else(|| Ok(Vec::new()), |whole| whole.finish(most, scan.cancel))
}

/// The shapes of an answer's rows.
pub fn of_rows(rows: &[OutRow], field: &str, most: usize, limits: &Limits, cancel: &Cancel) -> Result<Vec<OutRow>, QueryError> {
    let mut shapes = Shapes::new();
    for (at, (row, moment)) in rows.iter().zip(moments(rows)).enumerate() {
        cancel.go_on(at)?;
        let mut see = |text: &[u8]| {
            shapes.add(Batch { count: 1, first: moment.time, last: moment.time, moment, text });
        };
        match row.get(field) {
            None => {}
            Some(OutValue::List(items)) => items.iter().take(1).for_each(|item| see(item)),
            Some(value) => with_text(datum_of(value), see),
        }
    }
    shapes.finish(most.min(limits.groups), cancel)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening() -> Cancel {
        Cancel::new(std::sync::Arc::new(crate::base::clock::SimClock::at(0)))
    }

    /// A thousand shapes of two hundred words, none like another.
    fn hostile() -> Shapes {
        let word = |at: u32| char::from(b'a' + u8::try_from(at % 26).unwrap());
        let texts = (0..1_000u32).map(|at| {
            let mut random = at.wrapping_mul(2_654_435_761) | 1;
            (0..200)
                .flat_map(|_| {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    [word(random >> 24), ' ']
                })
                .collect::<String>()
        });
        all(&texts.collect::<Vec<_>>(), SHAPES)
    }

    #[test]
    fn hostile_shapes_are_clustered_until_nobody_listens() {
        let cancel = listening();
        let counted = |rows: Vec<OutRow>| {
            let count = |row: &OutRow| row.get("count").and_then(OutValue::number).map_or(0.0, |count| count.as_f64());
            rows.iter().map(count).sum::<f64>()
        };
        assert_eq!(hostile().finish(usize::MAX, &cancel).map(counted), Ok(1_000.0));
        cancel.cancel();
        assert_eq!(hostile().finish(usize::MAX, &cancel), Err(QueryError::Cancelled));
    }

    fn all(texts: &[String], most: usize) -> Shapes {
        let mut shapes = Shapes { most, ..Shapes::default() };
        for (at, text) in (0i64..).zip(texts) {
            let moment = Moment { time: at, ..Moment::default() };
            shapes.add(Batch { count: 1, first: at, last: at, moment, text: text.as_bytes() });
        }
        shapes
    }

    fn shown(shapes: Shapes) -> Vec<String> {
        shapes.finish(usize::MAX, &listening()).unwrap().iter().map(OutRow::to_json).collect()
    }

    #[test]
    fn much_alike_is_one() {
        let texts =
            ["user ann logged in from shop", "user bob logged in from shop", "disk /dev/sda is full", "ok"].map(str::to_owned);
        let found = all(&texts, SHAPES).finish(9, &listening()).unwrap();
        let lines: Vec<String> = found
            .iter()
            .map(|row| {
                row.fields
                    .iter()
                    .take(3)
                    .map(|(_, value)| {
                        let mut text = Vec::new();
                        value.write_json(&mut text);
                        String::from_utf8_lossy(&text).into_owned()
                    })
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect();
        assert_eq!(lines, [r#""user <*> logged in from shop" 2 0.5"#, r#""disk /dev/sda is full" 1 0.25"#, r#""ok" 1 0.25"#,]);
    }

    proptest::proptest! {
        /// Whoever meets what first, and however little is kept, the counts are the same, and all are counted.
        #[test]
        fn shapes_do_not_depend_on_order_or_threads(
            texts in proptest::collection::vec("[a-d]{1,2} [a-f]{1,2} [ab] [a-c]", 1..80),
            most in 1usize..12,
            seed in 0usize..100,
        ) {
            let whole = shown(all(&texts, most));
            let (mut one, mut two) = (Shapes { most, ..Shapes::default() }, Shapes { most, ..Shapes::default() });
            for (at, text) in (0i64..).zip(&texts).collect::<Vec<_>>().into_iter().rev() {
                let own = if (usize::try_from(at).unwrap() * 7 + seed) % 3 == 0 { &mut one } else { &mut two };
                let moment = Moment { time: at, ..Moment::default() };
                own.add(Batch { count: 1, first: at, last: at, moment, text: text.as_bytes() });
            }
            one.merge(two);
            proptest::prop_assert_eq!(shown(one), whole);
        }
    }
}
