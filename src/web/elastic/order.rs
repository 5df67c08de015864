//! In which order rows are shown, what each row's place in it is (`sort` of a hit), and what comes after a place (`search_after`).
//!
//! `_doc` and `_shard_doc` are the order in which rows lie: by time, topic, partition, offset and n. Their value in `sort` is an
//! opaque text that names the row, so that paging neither skips nor repeats one. Every order ends with it, asked for or not, as
//! that of a point in time does in Elasticsearch; a `search_after` without it goes on behind all rows of the same values. What a
//! row lacks comes last.
//!
//! `@timestamp` is in milliseconds, as a `date` of Elasticsearch: with a key behind it rows of one millisecond are in that key's
//! order (unless its format tells nanoseconds), else in that of their nanoseconds.
//!
//! A list stands where its least value does ascending, and its greatest descending, or as `mode` says. Limits: a list that has both
//! numbers and words is not paged exactly; sums, means and medians of lists are not paged at all.

use serde_json::{Map, Value};

use super::ask::Asked;
use super::beyond;
use super::dates::{Dates, Stretch};
use super::dsl::names::field_name;
use super::dsl::read::{each, maybe_text, object, one_key, only, text};
use crate::base::predicate::{Literal, Predicate, Range, Sense, Test};
use crate::base::row::TIME;
use crate::store::query::{Bin, OutRow, OutValue, Pick, Pipe, Query, SortKey, SortView};
use crate::web::rows::plain;

const MS: i64 = 1_000_000;
/// Most keys.
const KEYS: usize = 16;

/// One key.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "few, and short-lived")]
enum Key {
    Field {
        name: String,
        descending: bool,
        format: Option<Dates>,
        missing_first: bool,
        pick: Pick,
    },
    /// The order in which rows lie.
    Row,
    /// There are no scores: all rows are equal.
    Score,
}

/// The order.
#[derive(Clone, Debug)]
pub struct Order {
    keys: Vec<Key>,
    /// Whether the last key was not asked for.
    implied: bool,
    /// Among rows that are equal.
    newest_first: bool,
}

impl Order {
    /// `sort` of the body, and behind it that of the URL.
    ///
    /// # Errors
    /// What is not supported, by name.
    pub fn of(asked: &Asked) -> Result<Self, String> {
        let mut written: Vec<(String, Value)> = Vec::new();
        if let Some(sort) = asked.body.get("sort") {
            for one in each(sort) {
                match one {
                    Value::String(name) => written.push((name.clone(), Value::Null)),
                    Value::Object(one) => {
                        one_key(one, "sort")?;
                        written.extend(one.iter().map(|(name, how)| (name.clone(), how.clone())));
                    }
                    _ => return Err("`sort` is names, or objects of names".to_owned()),
                }
            }
        }
        for one in asked.params.get("sort").into_iter().flat_map(|text| text.split(',')) {
            let (name, order) = one.rsplit_once(':').unwrap_or((one, "asc"));
            written.push((name.to_owned(), order.into()));
        }
        let mut order = Self::read(&written, asked.now_ns)?;
        if asked.body.contains_key("pit") || !order.is_default() {
            order.whole();
        }
        Ok(order)
    }

    /// Keys and how each is sorted.
    ///
    /// # Errors
    /// What is not supported, by name.
    pub fn read(written: &[(String, Value)], now_ns: i64) -> Result<Self, String> {
        if written.len() > KEYS {
            return Err(format!("`sort` has at most {KEYS} keys"));
        }
        let (mut keys, mut newest_first) = (Vec::new(), None);
        for (name, how) in written {
            let empty = Map::new();
            let options = match how {
                Value::Object(how) => how,
                _ => &empty,
            };
            only(options, "sort", &["order", "unmapped_type", "missing", "format", "numeric_type", "mode"])?;
            let order = match how {
                Value::String(order) => Some(order.as_str()),
                Value::Null => None,
                _ => maybe_text(options, "order")?,
            };
            let format = maybe_text(options, "format")?;
            match maybe_text(options, "numeric_type")? {
                None | Some("double" | "date") => {}
                // It asks for another value beside each hit; where that is written out it is the same.
                Some("date_nanos") if format.is_some() => {}
                Some(other) => return Err(format!("`numeric_type` {other} of `sort` is not supported; double and date are")),
            }
            let descending = match order {
                None => name == "_score",
                Some(order) if order.eq_ignore_ascii_case("asc") => false,
                Some(order) if order.eq_ignore_ascii_case("desc") => true,
                Some(other) => return Err(format!("the order `{other}` is not supported")),
            };
            let pick = match maybe_text(options, "mode")? {
                None if descending => Pick::Greatest,
                None | Some("min") => Pick::Least,
                Some("max") => Pick::Greatest,
                Some("sum") => Pick::Sum,
                Some("avg") => Pick::Mean,
                Some("median") => Pick::Median,
                Some(mode) => return Err(format!("`mode` {mode} of `sort` is not supported")),
            };
            match name.as_str() {
                "_score" => keys.push(Key::Score),
                "_doc" | "_shard_doc" | "_id" => {
                    newest_first.get_or_insert(descending);
                    keys.push(Key::Row);
                }
                _ => {
                    let missing_first = match maybe_text(options, "missing")? {
                        None | Some("_last") => false,
                        Some("_first") => true,
                        Some(other) => {
                            return Err(format!("`missing` {other} of `sort` is not supported; _first and _last are"));
                        }
                    };
                    let format = format.map(|format| Dates::new(now_ns).format(Some(format))).transpose()?;
                    let name = field_name(name).to_owned();
                    if name == TIME {
                        newest_first.get_or_insert(descending);
                    }
                    keys.push(Key::Field { name, descending, format, missing_first, pick });
                }
            }
        }
        let later = keys.iter().skip(1).any(|key| matches!(key, Key::Field { missing_first: true, .. }));
        if later {
            return Err("`missing` _first is supported for the first key of `sort`".to_owned());
        }
        Ok(Self { keys, implied: false, newest_first: newest_first.unwrap_or(true) })
    }

    /// Refuses `missing: _first`, which takes two queries.
    ///
    /// # Errors
    /// It is there.
    pub fn refuse_missing_first(&self) -> Result<(), String> {
        let is_first = |key: &Key| matches!(key, Key::Field { missing_first: true, .. });
        if self.keys.iter().any(is_first) { Err("`missing` _first is not supported here".to_owned()) } else { Ok(()) }
    }

    /// Refuses sums and their like of lists: no predicate says which rows come after one.
    ///
    /// # Errors
    /// They are there.
    pub fn refuse_sums(&self) -> Result<(), String> {
        let is_sum = |key: &&Key| matches!(key, Key::Field { pick, .. } if !pick.is_item());
        if self.keys.iter().any(|key| is_sum(&key)) {
            return Err("`mode` sum, avg and median of `sort` are not supported beside `search_after` and `scroll`".to_owned());
        }
        Ok(())
    }

    /// By the order in which rows lie, the first of them first: what scrolls do.
    pub fn by_row() -> Self {
        Self { keys: vec![Key::Row], implied: false, newest_first: false }
    }

    /// Whether anything was said.
    pub fn is_default(&self) -> bool {
        self.keys.is_empty()
    }

    /// Adds the order in which rows lie, so that each place is one row's.
    pub fn whole(&mut self) {
        if !self.keys.iter().any(|key| matches!(key, Key::Row)) {
            self.keys.push(Key::Row);
            self.implied = true;
        }
    }

    /// The keys for the engine, up to where only rows differ.
    pub fn sort_keys(&self) -> Vec<SortKey> {
        let keys = self.keys.iter().enumerate().take_while(|(_, key)| !matches!(key, Key::Row));
        let fields = keys.filter_map(|(at, key)| match key {
            Key::Field { name, descending, pick, .. } => {
                Some(SortKey { pick: *pick, bin: self.bin(at), ..SortKey::new(name, *descending) })
            }
            Key::Row | Key::Score => None,
        });
        fields.collect()
    }

    /// To what a key's values are rounded before they are compared.
    fn bin(&self, at: usize) -> Option<Bin> {
        let (key, later) = self.keys.get(at..)?.split_first()?;
        let Key::Field { name, format, .. } = key else { return None };
        let is_exact = format.as_ref().is_some_and(Dates::is_exact);
        // Without another key the rows' own order tells those of a millisecond apart.
        let decides = later.iter().take_while(|key| !matches!(key, Key::Row)).any(|key| matches!(key, Key::Field { .. }));
        (name == TIME && decides && !is_exact).then_some(Bin { step: MS, offset: 0 })
    }

    /// Among equals, whether the newest comes first.
    pub fn newest_first(&self) -> bool {
        self.newest_first
    }

    /// The queries that give rows in this order, one after the other, and whether the newest come first.
    pub fn queries(&self, predicate: &Predicate) -> (Vec<Query>, bool) {
        let keys = self.sort_keys();
        if let [key] = keys.as_slice()
            && key.field == TIME
        {
            return (vec![Query::new(predicate.clone())], key.descending);
        }
        if keys.is_empty() {
            return (vec![Query::new(predicate.clone())], self.newest_first);
        }
        let sorted = |predicate: Predicate, keys: &[SortKey]| {
            let query = Query::new(predicate);
            if keys.is_empty() { query } else { query.pipe(Pipe::Sort(keys.to_vec())) }
        };
        let first = self.keys.iter().find_map(|key| match key {
            Key::Field { name, missing_first: true, .. } => Some(Predicate::exists(name.as_str())),
            _ => None,
        });
        let queries = match first {
            None => vec![sorted(predicate.clone(), &keys)],
            Some(has) => {
                let and = |own: Predicate| Predicate::And(vec![predicate.clone(), own]);
                vec![sorted(and(has.clone().negate()), &keys[1..]), sorted(and(has), &keys)]
            }
        };
        (queries, self.newest_first)
    }

    /// The place of a row.
    pub fn values(&self, row: &OutRow) -> Vec<Value> {
        let value = |key: &Key| match key {
            Key::Score => Value::Null,
            Key::Row => place(row).into(),
            Key::Field { name, format, pick, .. } => match (row.get(name), format) {
                (Some(OutValue::Time(ns)), Some(dates)) => dates.clone().write(*ns).into(),
                (Some(OutValue::Time(ns)), None) => ns.div_euclid(MS).into(),
                (Some(value @ OutValue::List(items)), _) => match pick.of_value(value) {
                    own if pick.is_item() => items
                        .iter()
                        .find(|item| SortView::of_bytes(item).order(&own).is_eq())
                        .map_or(Value::Null, |item| plain(&OutValue::Str(item.clone()))),
                    SortView::Number(number) => plain(&OutValue::Float(number.as_f64())),
                    _ => Value::Null,
                },
                (Some(value), _) => plain(value),
                (None, _) => Value::Null,
            },
        };
        self.keys.iter().map(value).collect()
    }

    /// Rows that come after a place.
    ///
    /// # Errors
    /// It is no place of this order.
    pub fn after(&self, place: &[Value], now_ns: i64) -> Result<Predicate, String> {
        if self.keys.is_empty() {
            return Err("`search_after` wants `sort`".to_owned());
        }
        let is_whole = place.len() == self.keys.len() || (self.implied && place.len() + 1 == self.keys.len());
        if !is_whole {
            return Err(format!(
                "`search_after` has {} values, and `sort` {} keys",
                place.len(),
                self.keys.len() - usize::from(self.implied)
            ));
        }
        self.refuse_sums()?;
        let row = self.keys.iter().zip(place).find(|(key, _)| matches!(key, Key::Row));
        let row = row.map(|(_, place)| RowPlace::read(text(Some(place), "search_after")?)).transpose()?;
        let (mut ways, mut equal) = (Vec::new(), Vec::new());
        for (at, (key, value)) in self.keys.iter().zip(place).enumerate() {
            let (beyond, same) = match key {
                Key::Score => continue,
                Key::Row => match &row {
                    Some(row) => (row.beyond(self.newest_first), Predicate::none()),
                    None => continue,
                },
                Key::Field { name, descending, format, .. } if name == TIME => {
                    let mut stretch = stretch(value, format.clone(), now_ns)?;
                    // What is written may say less than what rows are sorted by.
                    if let Some(row) = &row {
                        stretch = row.ns..=row.ns;
                    }
                    beyond_time(&stretch, self.bin(at), *descending)
                }
                Key::Field { name, descending, missing_first, pick, .. } => {
                    let view = beyond::view(value).map_err(|why| format!("`search_after`: {why}"))?;
                    let (beyond, same) = beyond::beyond(name, view, *descending, *pick);
                    match (missing_first, value.is_null()) {
                        (false, _) => (beyond, same),
                        (true, true) => (Predicate::exists(name.as_str()), same),
                        (true, false) => (Predicate::And(vec![beyond, Predicate::exists(name.as_str())]), same),
                    }
                }
            };
            let mut way = equal.clone();
            way.push(beyond);
            ways.push(Predicate::and(way));
            equal.push(same);
            if matches!(key, Key::Row) {
                break;
            }
        }
        Ok(Predicate::or(ways))
    }
}

/// The stretch of time that a value is.
fn stretch(value: &Value, format: Option<Dates>, now_ns: i64) -> Result<Stretch, String> {
    let stretch = match (value, format) {
        (Value::Number(_), None) => value.as_i64().and_then(|ms| ms.checked_mul(MS)).map(|ns| ns..=ns.saturating_add(MS - 1)),
        (Value::String(text), format) => {
            let mut dates = format.unwrap_or_else(|| Dates::new(now_ns));
            let stretch = dates.read(text)?;
            Some(if dates.is_exact() { *stretch.start()..=*stretch.start() } else { stretch })
        }
        _ => None,
    };
    stretch.ok_or_else(|| format!("`search_after`: {value} is no date"))
}

/// Rows of later (earlier) time than a stretch, and those of the same, as far as rounding tells them apart.
fn beyond_time(stretch: &Stretch, bin: Option<Bin>, descending: bool) -> (Predicate, Predicate) {
    let bin = bin.unwrap_or(Bin { step: 1, offset: 0 });
    let (first, behind) = (bin.floor(*stretch.start()), bin.around(*stretch.end()).1);
    let last = behind.saturating_sub(1).max(*stretch.end());
    let beyond = if descending {
        Predicate::time(i64::MIN, first.saturating_sub(1))
    } else {
        Predicate::time(last.saturating_add(1), i64::MAX)
    };
    (beyond, Predicate::time(first, last))
}

/// A row's place among all, as text: `time.partition.offset.n.topic`.
fn place(row: &OutRow) -> String {
    let number = |name: &str| match row.get(name) {
        Some(OutValue::Int(number) | OutValue::Time(number)) => *number,
        _ => 0,
    };
    let topic = row.get("_topic").map(plain).unwrap_or_default();
    format!(
        "{}.{}.{}.{}.{}",
        number(TIME),
        number("_partition"),
        number("_offset"),
        number("_n"),
        topic.as_str().unwrap_or_default()
    )
}

/// The same, read.
struct RowPlace<'a> {
    ns: i64,
    partition: i64,
    offset: i64,
    n: i64,
    topic: &'a str,
}

impl<'a> RowPlace<'a> {
    fn read(place: &'a str) -> Result<Self, String> {
        let mut parts = place.splitn(5, '.');
        let mut number = || parts.next().and_then(|part| part.parse::<i64>().ok());
        let numbers = (number(), number(), number(), number());
        let ((Some(ns), Some(partition), Some(offset), Some(n)), Some(topic)) = (numbers, parts.next()) else {
            return Err(format!("`search_after`: `{place}` is no place of a row"));
        };
        Ok(Self { ns, partition, offset, n, topic })
    }

    /// Rows that come after it.
    fn beyond(&self, newest_first: bool) -> Predicate {
        let side = |name: &str, end: Literal| {
            let open = Some((end, false));
            let range = if newest_first { Range { lower: None, upper: open } } else { Range { lower: open, upper: None } };
            Predicate::leaf(name, Test::Range(range))
        };
        let or =
            |beyond: Predicate, same: Predicate, rest: Predicate| Predicate::Or(vec![beyond, Predicate::And(vec![same, rest])]);
        let numbered = |name: &str, number: i64, rest: Predicate| {
            let text = number.to_string();
            or(side(name, Literal::new(&text)), Predicate::exact(name, &text), rest)
        };
        let rest = side("_n", Literal::new(&self.n.to_string()));
        let rest = numbered("_offset", self.offset, rest);
        let rest = numbered("_partition", self.partition, rest);
        let bytes = Literal { text: self.topic.into(), sense: Sense::Bytes };
        let rest = or(side("_topic", bytes), Predicate::exact("_topic", self.topic), rest);
        let (time, same) = beyond_time(&(self.ns..=self.ns), None, newest_first);
        or(time, same, rest)
    }
}

/// `sort` of `top_hits` and `top_metrics`, for which URLs have no word.
pub fn of_value(sort: &Value, now_ns: i64) -> Result<Order, String> {
    let mut written = Vec::new();
    for one in each(sort) {
        match one {
            Value::String(name) => written.push((name.clone(), Value::Null)),
            one => written.extend(object(one, "sort")?.iter().map(|(name, how)| (name.clone(), how.clone()))),
        }
    }
    Order::read(&written, now_ns)
}
