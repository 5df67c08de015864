//! Runs aggregations, level by level.
//!
//! A level is the aggregations that stand beside one another, in a context: a predicate, and the keys of all buckets they are in.
//! One query gives, for every combination of the keys, the rows and the figures of the level; then each list of buckets is a level
//! of its own, with one key more. What comes back is put under the combination it belongs to.
//!
//! The first terms of the outermost level are chosen by the engine, where nothing but rows, values or a figure orders them; deeper
//! levels are then asked of those terms alone.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;

use serde_json::{Map, Value};

use super::bins::Dates as Bins;
use super::figures::Figure;
use super::keyed::{Bucket, By, Keyed, Terms};
use super::split::Split;
use super::{Agg, BUCKETS, FIGURES, Kind, pipeline};
use crate::base::predicate::Predicate;
use crate::base::row::TIME;
use crate::store::query::{self, Agg as Column, Function, Key, OutValue, Pipe, Query, SortKey};
use crate::web::Web;
use crate::web::elastic::ask::{Asked, No};

/// Most terms that deeper levels are narrowed to.
const NARROW: usize = 1000;
/// Most queries of a request: lists of filters multiply.
const QUERIES: usize = 2000;
/// Most combinations of keys of one query, unless the engine chooses the first of them: each becomes a bucket in memory.
const COMBINATIONS: usize = 100_000;

/// Runs aggregations.
pub struct Runner<'a> {
    web: &'a Web,
    asked: &'a Asked,
    buckets: Cell<usize>,
    figures: Cell<usize>,
    queries: Cell<usize>,
}

/// Where a level stands.
#[derive(Clone)]
struct Context {
    predicate: Predicate,
    keys: Vec<Key>,
    /// Which of the keys is a step of time, and of what steps.
    step: Option<(usize, Bins)>,
}

/// The rows of one combination of keys, and what was found out about them.
#[derive(Clone, Debug, Default)]
struct Node {
    keys: Vec<OutValue>,
    count: u64,
    out: Map<String, Value>,
    /// What all buckets of terms count together, and how many numbers ranks are of: by the number of the aggregation.
    having: HashMap<usize, u64>,
}

/// By combination of keys.
type Tree = HashMap<Vec<u8>, Node>;

/// Which groups the engine is to give: the first so many in an order.
struct First {
    sort: Vec<SortKey>,
    most: usize,
    field: String,
}

fn path(keys: &[OutValue]) -> Vec<u8> {
    let mut text = Vec::new();
    for key in keys {
        key.write_json(&mut text);
        text.push(0x1f);
    }
    text
}

fn column(agg: usize, at: usize) -> String {
    format!("f{agg}_{at}")
}

/// How many figures something written has.
fn figures_in(written: &Value) -> usize {
    match written {
        Value::Object(members) => members.values().map(figures_in).sum(),
        Value::Array(all) => all.iter().map(figures_in).sum(),
        _ => 1,
    }
}

fn whole(value: Option<&OutValue>) -> u64 {
    match value {
        Some(OutValue::Int(count)) => count.unsigned_abs(),
        _ => 0,
    }
}

impl<'a> Runner<'a> {
    /// For one request.
    pub fn new(web: &'a Web, asked: &'a Asked) -> Self {
        let (buckets, figures, queries) = (Cell::new(BUCKETS), Cell::new(FIGURES), Cell::new(QUERIES));
        Self { web, asked, buckets, figures, queries }
    }

    /// The rows of a predicate, and what aggregations say of them.
    pub fn run(&self, aggs: &[Agg], predicate: &Predicate) -> Result<(u64, Map<String, Value>), No> {
        let context = Context { predicate: predicate.clone(), keys: Vec::new(), step: None };
        let mut tree = self.level(aggs, &context, None)?;
        let node = tree.remove(&path(&[])).unwrap_or_default();
        Ok((node.count, node.out))
    }

    fn spend(&self, buckets: usize) -> Result<(), No> {
        let left = self.buckets.get().checked_sub(buckets).ok_or_else(|| {
            let why = format!("there are more than {BUCKETS} buckets");
            No(axum::http::StatusCode::BAD_REQUEST, "too_many_buckets_exception", why)
        })?;
        self.buckets.set(left);
        Ok(())
    }

    /// Takes what is in a bucket without rows: the engine's own bounds know nothing of it.
    fn spend_figures(&self, figures: usize) -> Result<(), String> {
        let left = self.figures.get().checked_sub(figures);
        self.figures.set(left.ok_or_else(|| format!("there are more than {FIGURES} figures in buckets without rows"))?);
        Ok(())
    }

    /// The rows of a query, each a list of values.
    fn rows(&self, query: Query, combinations: usize) -> Result<Vec<Vec<OutValue>>, No> {
        self.spend_query()?;
        let mut request = self.asked.request(query);
        request.limits.groups = combinations.min(request.limits.groups);
        let rows = self.asked.run_request(self.web, &request)?;
        Ok(rows.into_iter().map(|row| row.fields.into_iter().map(|(_, value)| value).collect()).collect())
    }

    fn spend_query(&self) -> Result<(), String> {
        let left = self.queries.get().checked_sub(1);
        self.queries.set(left.ok_or_else(|| format!("these aggregations take more than {QUERIES} queries"))?);
        Ok(())
    }

    fn level(&self, aggs: &[Agg], context: &Context, first: Option<First>) -> Result<Tree, No> {
        let mut tree = self.base(aggs, context, first.as_ref())?;
        let mut context = context.clone();
        if let Some(first) = first {
            narrow(&mut context, &first.field, &tree);
        }
        for (index, agg) in aggs.iter().enumerate() {
            match &agg.kind {
                Kind::Figure(Figure::Ranks { .. }) => self.ranks(index, agg, &context, &mut tree)?,
                Kind::Figure(Figure::Hits { .. } | Figure::Metrics { .. }) => self.tops(agg, &context, &mut tree)?,
                Kind::Figure(_) | Kind::Pipeline(_) => {}
                Kind::Keyed(keyed) => self.keyed(index, agg, keyed, &context, &mut tree)?,
                Kind::Split(split) => self.split(agg, split, &context, &mut tree)?,
            }
        }
        for node in tree.values_mut() {
            self.complete(aggs, &mut node.out)?;
        }
        Ok(tree)
    }

    /// What is said beside what the engine said.
    fn complete(&self, aggs: &[Agg], out: &mut Map<String, Value>) -> Result<(), No> {
        pipeline::beside(aggs, out)?;
        for agg in aggs {
            if let (Some(meta), Some(Value::Object(own))) = (&agg.meta, out.get_mut(&agg.name)) {
                own.insert("meta".to_owned(), meta.clone());
            }
        }
        Ok(())
    }

    /// Rows and figures of every combination of keys.
    fn base(&self, aggs: &[Agg], context: &Context, first: Option<&First>) -> Result<Tree, No> {
        let mut columns = vec![Column::new(Function::Count).named("c")];
        let mut widths = Vec::with_capacity(aggs.len());
        for (index, agg) in aggs.iter().enumerate() {
            let functions = match &agg.kind {
                Kind::Figure(figure) => figure.functions(),
                Kind::Keyed(Keyed::Terms(terms)) if context.keys.is_empty() => terms.functions(),
                _ => Vec::new(),
            };
            widths.push(functions.len());
            let functions = functions.into_iter().enumerate();
            columns.extend(functions.map(|(at, function)| Column::new(function).named(&column(index, at))));
        }
        let mut query = Query::new(context.predicate.clone()).pipe(Pipe::Stats(columns, context.keys.clone()));
        if let Some(first) = first {
            query = query.pipe(Pipe::Sort(first.sort.clone())).pipe(Pipe::Limit(first.most));
        }
        let mut tree = Tree::new();
        let combinations = if first.is_some() { usize::MAX } else { COMBINATIONS };
        for row in self.rows(query, combinations)? {
            let mut values = row.into_iter();
            let keys: Vec<OutValue> = values.by_ref().take(context.keys.len()).collect();
            let columns: Vec<OutValue> = values.collect();
            let mut rest = columns.as_slice();
            let mut take = |many: usize| -> &[OutValue] {
                let (own, after) = rest.split_at(many.min(rest.len()));
                rest = after;
                own
            };
            let count = whole(take(1).first());
            let (mut out, mut having) = (Map::new(), HashMap::new());
            let step = context.step.as_ref().and_then(|(at, bins)| match keys.get(*at) {
                Some(OutValue::Time(start)) => Some((bins, *start)),
                _ => None,
            });
            for (index, (agg, width)) in aggs.iter().zip(&widths).enumerate() {
                let own = take(*width);
                match &agg.kind {
                    // Kept until how many numbers lie below is known, or which terms are shown.
                    Kind::Figure(Figure::Ranks { .. }) => {
                        having.insert(index, whole(own.first()));
                    }
                    Kind::Keyed(Keyed::Terms(_)) => {
                        having.insert(index, Terms::total(own, count));
                    }
                    Kind::Figure(figure) => {
                        out.insert(agg.name.clone(), figure.write(own, count, step));
                    }
                    _ => {}
                }
            }
            tree.insert(path(&keys), Node { keys, count, out, having });
        }
        Ok(tree)
    }

    /// What is in a bucket without rows.
    fn empty(&self, aggs: &[Agg]) -> Result<Map<String, Value>, String> {
        let mut out = Map::new();
        for agg in aggs {
            let value = match &agg.kind {
                Kind::Pipeline(_) => continue,
                Kind::Figure(figure) => figure.empty(),
                Kind::Keyed(keyed) => Value::Object(self.list(agg, keyed, Vec::new(), 0)?),
                Kind::Split(split) => {
                    self.spend(split.parts.len()).map_err(|No(_, _, why)| why)?;
                    let buckets = (0..split.parts.len()).map(|at| self.part(agg, at, None)).collect::<Result<Vec<_>, _>>()?;
                    Value::Object(self.parts(agg, split, buckets)?)
                }
            };
            out.insert(agg.name.clone(), value);
        }
        pipeline::beside(aggs, &mut out)?;
        Ok(out)
    }

    fn keyed(&self, index: usize, agg: &Agg, keyed: &Keyed, context: &Context, tree: &mut Tree) -> Result<(), No> {
        let above = context.keys.len();
        let range = if keyed.needs_range() { self.range(context)? } else { Some((0, 0)) };
        let mut lists: HashMap<Vec<u8>, (Vec<Bucket>, u64)> = HashMap::new();
        if let Some(range) = range {
            let mut inner = context.clone();
            inner.keys.extend(keyed.keys(above, range)?);
            if let Keyed::Terms(terms) = keyed
                && let Some(chosen) = terms.chosen()
            {
                inner.predicate = Predicate::And(vec![inner.predicate, chosen]);
            }
            if let Keyed::Composite(composite) = keyed
                && let Some(rest) = composite.narrowed()
            {
                inner.predicate = Predicate::And(vec![inner.predicate, rest]);
            }
            if let Some(dates) = keyed.dates() {
                inner.step = Some((above, dates.clone()));
            }
            let first = match keyed {
                Keyed::Terms(terms) if above == 0 => first(terms, &agg.inside),
                _ => None,
            };
            for (_, node) in self.level(&agg.inside, &inner, first)? {
                let mut keys = node.keys;
                let own = keys.split_off(above);
                if matches!(keyed, Keyed::Terms(terms) if !own.first().is_some_and(|key| terms.wants(key))) {
                    continue;
                }
                let (list, rows) = lists.entry(path(&keys)).or_default();
                *rows += node.count;
                list.push(Bucket { key: own, count: node.count, out: node.out });
            }
        }
        for (path, node) in tree.iter_mut() {
            let (list, rows) = lists.remove(path).unwrap_or_default();
            let total = node.having.get(&index).copied().unwrap_or(0);
            let value = self.list(agg, keyed, list, rows.max(total))?;
            let shown = value.get("buckets").map_or(0, |buckets| match buckets {
                Value::Array(all) => all.len(),
                Value::Object(named) => named.len(),
                _ => 0,
            });
            self.spend(shown)?;
            node.out.insert(agg.name.clone(), Value::Object(value));
        }
        Ok(())
    }

    /// A list of buckets that all count so many rows together, with those that are not shown.
    fn list(&self, agg: &Agg, keyed: &Keyed, buckets: Vec<Bucket>, rows: u64) -> Result<Map<String, Value>, String> {
        // The same for all of them; what is in it counts each time.
        let (empty, failed) = (OnceCell::new(), RefCell::new(None));
        let nothing = || -> Map<String, Value> {
            let made: &(Result<Map<String, Value>, String>, usize, usize) = empty.get_or_init(|| {
                let before = self.buckets.get();
                let made = self.empty(&agg.inside);
                let figures = made.as_ref().map_or(0, |made| made.values().map(figures_in).sum());
                (made, before - self.buckets.get(), figures)
            });
            let spent = || self.spend(1 + made.1).map_err(|No(_, _, why)| why).and_then(|()| self.spend_figures(made.2));
            let mut failed = failed.borrow_mut();
            if failed.is_none() {
                *failed = spent().err().or_else(|| made.0.as_ref().err().cloned());
            }
            made.0.as_ref().ok().filter(|_| failed.is_none()).cloned().unwrap_or_default()
        };
        let buckets = keyed.arrange(buckets, &nothing)?;
        if let Some(why) = failed.take() {
            return Err(why);
        }
        let shown: u64 = buckets.iter().map(|bucket| bucket.count).sum();
        let after = match keyed {
            Keyed::Composite(composite) => composite.after_key(&buckets),
            _ => None,
        };
        let buckets = pipeline::within(&agg.inside, buckets, || self.asked.goes_on());
        let mut written = keyed.write(buckets, rows.saturating_sub(shown));
        written.extend(after.map(|after| ("after_key".to_owned(), after)));
        Ok(written)
    }

    fn split(&self, agg: &Agg, split: &Split, context: &Context, tree: &mut Tree) -> Result<(), No> {
        let mut trees = Vec::with_capacity(split.parts.len());
        for part in &split.parts {
            let mut inner = context.clone();
            inner.predicate = match (split.global, &context.predicate) {
                (true, _) => Predicate::All,
                (false, Predicate::All) => part.predicate.clone(),
                (false, own) => Predicate::And(vec![own.clone(), part.predicate.clone()]),
            };
            trees.push(self.level(&agg.inside, &inner, None)?);
        }
        for (path, node) in tree.iter_mut() {
            self.spend(split.parts.len())?;
            let found = |tree: &mut Tree| tree.remove(path).map(|inner| (inner.count, inner.out));
            let buckets = trees.iter_mut().enumerate().map(|(at, tree)| self.part(agg, at, found(tree)));
            let buckets = buckets.collect::<Result<Vec<_>, _>>()?;
            node.out.insert(agg.name.clone(), Value::Object(self.parts(agg, split, buckets)?));
        }
        Ok(())
    }

    fn part(&self, agg: &Agg, at: usize, found: Option<(u64, Map<String, Value>)>) -> Result<Bucket, String> {
        let (count, out) = match found {
            Some(found) => found,
            None => {
                let empty = self.empty(&agg.inside)?;
                self.spend_figures(empty.values().map(figures_in).sum())?;
                (0, empty)
            }
        };
        Ok(Bucket { key: vec![OutValue::Int(i64::try_from(at).unwrap_or(0))], count, out })
    }

    fn parts(&self, agg: &Agg, split: &Split, buckets: Vec<Bucket>) -> Result<Map<String, Value>, String> {
        let goes_on = || self.asked.goes_on();
        let buckets = if split.is_multiple() { pipeline::within(&agg.inside, buckets, goes_on) } else { buckets };
        let written = buckets.into_iter().map(|own| {
            let at = usize::try_from(whole(own.key.first())).unwrap_or(0);
            let mut bucket = split.bucket(at);
            bucket.insert("doc_count".to_owned(), own.count.into());
            bucket.extend(own.out);
            (at, bucket)
        });
        Ok(split.write(written.collect()))
    }

    /// How many of the numbers lie at or below each value: a query a value.
    fn ranks(&self, index: usize, agg: &Agg, context: &Context, tree: &mut Tree) -> Result<(), No> {
        let Kind::Figure(figure @ Figure::Ranks { field, values, .. }) = &agg.kind else { return Ok(()) };
        let mut below: HashMap<Vec<u8>, Vec<u64>> = HashMap::new();
        for bound in values.iter().map(f64::to_string) {
            let within = Predicate::range(field.as_str(), None, Some((bound.as_str(), true)));
            let numbers = Column::new(Function::Numbers(field.clone())).named("n");
            let query = Query::new(Predicate::And(vec![context.predicate.clone(), within]));
            let mut found: HashMap<Vec<u8>, u64> = HashMap::new();
            for values in self.rows(query.pipe(Pipe::Stats(vec![numbers], context.keys.clone())), COMBINATIONS)? {
                let (keys, number) = values.split_at(context.keys.len().min(values.len()));
                found.insert(path(keys), whole(number.first()));
            }
            for path in tree.keys() {
                below.entry(path.clone()).or_default().push(found.get(path).copied().unwrap_or(0));
            }
        }
        for (path, node) in tree.iter_mut() {
            let own = below.get(path).map_or(&[][..], Vec::as_slice);
            node.out.insert(agg.name.clone(), figure.write_ranks(node.having.get(&index).copied().unwrap_or(0), own));
        }
        Ok(())
    }

    fn tops(&self, agg: &Agg, context: &Context, tree: &mut Tree) -> Result<(), No> {
        let Kind::Figure(figure) = &agg.kind else { return Ok(()) };
        let Some((top, newest_first)) = figure.tops(&context.keys) else { return Ok(()) };
        let mut found = HashMap::new();
        if top.rows > 0 {
            self.spend_query()?;
            let mut request = self.asked.request(Query::new(context.predicate.clone()));
            request.limits.groups = COMBINATIONS;
            request.newest_first = newest_first;
            let tops = query::tops(&self.web.store, &request, &top, &self.asked.cancel).map_err(|error| error.to_string())?;
            self.asked.note(&tops.stats);
            found = tops.groups.into_iter().map(|(keys, rows)| (path(&keys), rows)).collect();
        }
        for (path, node) in tree.iter_mut() {
            let rows = found.remove(path).filter(|_| self.asked.goes_on()).unwrap_or_default();
            node.out.insert(agg.name.clone(), figure.write_tops(&rows, node.count));
        }
        Ok(())
    }

    /// Where the rows lie in time; none, if there are none.
    fn range(&self, context: &Context) -> Result<Option<(i64, i64)>, No> {
        let (from, to) = context.predicate.time_bounds();
        // Bounds that are far from the rows would make many steps for nothing.
        let ends = [Function::Min(TIME.to_owned()), Function::Max(TIME.to_owned())].map(Column::new).to_vec();
        let query = Query::new(context.predicate.clone()).pipe(Pipe::Stats(ends, Vec::new()));
        Ok(match self.rows(query, 1)?.first().map(Vec::as_slice) {
            Some([OutValue::Time(least), OutValue::Time(greatest)]) => Some(((*least).max(from), (*greatest).min(to))),
            _ => None,
        })
    }
}

/// The engine's choice of the first terms, where it can make it.
fn first(terms: &Terms, inside: &[Agg]) -> Option<First> {
    let [(by, descending)] = terms.order.as_slice() else { return None };
    let field = match by {
        By::Count => "c".to_owned(),
        By::Key => "k0".to_owned(),
        By::Path(path) => {
            let single = |agg: &Agg| matches!(&agg.kind, Kind::Figure(figure) if figure.is_single());
            let index = inside.iter().position(|agg| agg.name == path.first() && single(agg))?;
            if !path.rest().is_empty() {
                return None;
            }
            column(index, 0)
        }
    };
    // Equal ones are chosen by their keys anyway.
    let sort = vec![SortKey::new(&field, *descending)];
    terms.is_plain().then(|| First { sort, most: terms.size, field: terms.field.clone() })
}

/// Leaves rows out that have none of the terms that were chosen.
fn narrow(context: &mut Context, field: &str, tree: &Tree) {
    if tree.len() > NARROW || context.keys.iter().any(|key| key.default.is_some()) {
        return;
    }
    let exact = |node: &Node| match node.keys.first()? {
        OutValue::Str(bytes) => std::str::from_utf8(bytes).ok().map(|text| Predicate::exact(field, text)),
        OutValue::Int(int) => Some(Predicate::exact(field, &int.to_string())),
        _ => None,
    };
    if let Some(any) = tree.values().map(exact).collect::<Option<Vec<_>>>() {
        let own = std::mem::replace(&mut context.predicate, Predicate::All);
        context.predicate = Predicate::And(vec![own, Predicate::or(any)]);
    }
}
