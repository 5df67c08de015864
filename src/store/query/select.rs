//! Which rows of a group a predicate keeps, with as little decoding as it takes.
//!
//! 1. Time bounds, bounds of numbers, absent columns and dictionaries without a match rule whole groups out ([`Selector::may_match`]).
//! 2. A dictionary's entries are tried once for the source; rows then only look their code up.
//! 3. Text is searched as one run of bytes for what a match must hold, and only rows that are hit are looked at.
//!    Texts that are split are asked by their shapes first, and messages by the fields that they are made of.
//! 4. `and` asks its cheap parts first, and asks the others only about rows that are left.

mod column;
mod count;
mod why;

use std::sync::Arc;

use self::column::ColumnPlan;
use super::bits::Bits;
use super::derived;
use super::mapped::is_equal;
use super::out::virtual_field;
use super::search::{is_same, judge, select_text};
use super::shaped;
use super::typed;
use super::view::{FieldReader, GroupView, virtual_reader};
use crate::base::predicate::{Field, Leaf, Number, Predicate, Test, Wanted};
use crate::store::source::{Chunk, Dict, Kind, Present, Source};

/// A predicate whose tests are numbered.
#[derive(Debug)]
enum Node {
    All,
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Leaf(usize),
}

/// A predicate, prepared for any source.
#[derive(Debug)]
pub struct Selector {
    root: Node,
    leaves: Vec<Asked>,
}

/// A test, and what every string that passes it holds.
#[derive(Debug)]
struct Asked {
    leaf: Leaf,
    wanted: Wanted,
}

/// A predicate, prepared for one source: which columns each test is about, and what it said of their dictionaries.
#[derive(Debug)]
pub struct SourceSelector {
    leaves: Vec<LeafPlan>,
}

#[derive(Debug)]
enum LeafPlan {
    /// The same for all rows of the source.
    Fixed(bool),
    Virtual(PerRow),
    Columns(Vec<ColumnPlan>),
}

/// The virtual fields that differ by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PerRow {
    Time,
    Partition,
    Offset,
    N,
    Generation,
}

/// What is known of a group before its rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Foresight {
    None,
    All,
    Some,
}

impl Selector {
    /// Prepares a predicate.
    pub fn new(predicate: &Predicate) -> Self {
        let mut leaves = Vec::new();
        let root = number(predicate, &mut leaves);
        let asked = |leaf: Leaf| Asked { wanted: leaf.test.wanted(), leaf };
        Self { root, leaves: leaves.into_iter().map(asked).collect() }
    }

    /// Whether bounds of time and names of topics are all it asks about, so that looking ahead reads nothing.
    pub fn is_plain(&self) -> bool {
        let virtual_names = [crate::base::row::TIME, super::out::virtual_field::TOPIC];
        self.leaves.iter().all(|asked| matches!(&asked.leaf.field, Field::Named(name) if virtual_names.contains(&&**name)))
    }

    /// Prepares it for a source.
    pub fn for_source(&self, source: &dyn Source) -> SourceSelector {
        SourceSelector { leaves: self.leaves.iter().map(|asked| plan(&asked.leaf, source)).collect() }
    }

    /// Whether some row of the group may be kept.
    pub fn may_match(&self, own: &SourceSelector, source: &dyn Source, group: usize) -> bool {
        self.foresee(&self.root, own, source, group) != Foresight::None
    }

    /// Whether every row of the group is sure to be kept.
    pub fn keeps_all(&self, own: &SourceSelector, source: &dyn Source, group: usize) -> bool {
        self.foresee(&self.root, own, source, group) == Foresight::All
    }

    fn foresee(&self, node: &Node, own: &SourceSelector, source: &dyn Source, group: usize) -> Foresight {
        match node {
            Node::All => Foresight::All,
            Node::Not(one) => match self.foresee(one, own, source, group) {
                Foresight::None => Foresight::All,
                Foresight::All => Foresight::None,
                Foresight::Some => Foresight::Some,
            },
            Node::And(all) => {
                let mut verdict = Foresight::All;
                for one in all {
                    match self.foresee(one, own, source, group) {
                        Foresight::None => return Foresight::None,
                        Foresight::Some => verdict = Foresight::Some,
                        Foresight::All => {}
                    }
                }
                verdict
            }
            Node::Or(any) => {
                let mut verdict = Foresight::None;
                for one in any {
                    match self.foresee(one, own, source, group) {
                        Foresight::All => return Foresight::All,
                        Foresight::Some => verdict = Foresight::Some,
                        Foresight::None => {}
                    }
                }
                verdict
            }
            Node::Leaf(index) => {
                let (Some(asked), Some(plan)) = (self.leaves.get(*index), own.leaves.get(*index)) else {
                    return Foresight::Some;
                };
                foresee_leaf(asked, plan, source, group)
            }
        }
    }

    /// The rows of `among` that are kept.
    pub fn select(&self, own: &SourceSelector, view: &GroupView<'_>, among: Bits) -> Bits {
        self.walk(&self.root, own, view, among)
    }

    fn walk(&self, node: &Node, own: &SourceSelector, view: &GroupView<'_>, among: Bits) -> Bits {
        if among.is_empty() {
            return among;
        }
        match node {
            Node::All => among,
            Node::And(all) => {
                let mut left = among;
                for one in all {
                    left = self.walk(one, own, view, left);
                    if left.is_empty() {
                        break;
                    }
                }
                left
            }
            Node::Or(any) => {
                let mut kept = Bits::none(among.rows());
                let mut left = among;
                for one in any {
                    let more = self.walk(one, own, view, left.clone());
                    left.and_not(&more);
                    kept.or(&more);
                    if left.is_empty() {
                        break;
                    }
                }
                kept
            }
            Node::Not(one) => {
                let dropped = self.walk(one, own, view, among.clone());
                let mut kept = among;
                kept.and_not(&dropped);
                kept
            }
            Node::Leaf(index) => match (self.leaves.get(*index), own.leaves.get(*index)) {
                (Some(asked), Some(plan)) => select_leaf(asked, plan, view, among),
                _ => Bits::none(among.rows()),
            },
        }
    }
}

fn number(predicate: &Predicate, leaves: &mut Vec<Leaf>) -> Node {
    match predicate {
        Predicate::All => Node::All,
        Predicate::And(all) => {
            let mut parts: Vec<(u32, Node)> = all.iter().map(|one| (cost(one), number(one, leaves))).collect();
            parts.sort_by_key(|(cost, _)| *cost);
            Node::And(parts.into_iter().map(|(_, node)| node).collect())
        }
        Predicate::Or(any) => Node::Or(any.iter().map(|one| number(one, leaves)).collect()),
        Predicate::Not(one) => Node::Not(Box::new(number(one, leaves))),
        Predicate::Leaf(leaf) => {
            let mut add = |field: Field| {
                leaves.push(Leaf { field, ..leaf.clone() });
                Node::Leaf(leaves.len() - 1)
            };
            let own = match &leaf.field {
                Field::Named(_) => Vec::new(),
                // The box's own fields are no columns.
                like => {
                    virtual_field::ALL.into_iter().filter(|name| like.is(name)).map(|name| Field::Named(name.into())).collect()
                }
            };
            let field = add(leaf.field.clone());
            if own.is_empty() { field } else { Node::Or(own.into_iter().map(add).chain([field]).collect()) }
        }
    }
}

/// What a part is likely to cost; only the order matters.
fn cost(predicate: &Predicate) -> u32 {
    match predicate {
        Predicate::All => 0,
        Predicate::And(all) | Predicate::Or(all) => all.iter().map(cost).fold(0, u32::saturating_add),
        Predicate::Not(one) => cost(one),
        Predicate::Leaf(leaf) => {
            let field = match &leaf.field {
                Field::Named(name) if virtual_reader(name).is_some() => return 1,
                Field::Named(name) if **name == *crate::base::row::MESSAGE => 20,
                Field::Named(_) => 4,
                Field::Like(_) => 100,
            };
            field + if matches!(leaf.test, Test::Regex(_) | Test::Like(_)) { 10 } else { 0 }
        }
    }
}

fn plan(leaf: &Leaf, source: &dyn Source) -> LeafPlan {
    if let Field::Named(name) = &leaf.field {
        match virtual_reader(name) {
            Some(FieldReader::Topic) => return LeafPlan::Fixed(leaf.test.matches_str(source.topic_name().as_bytes())),
            Some(FieldReader::Time) => return LeafPlan::Virtual(PerRow::Time),
            Some(FieldReader::Partition) => return LeafPlan::Virtual(PerRow::Partition),
            Some(FieldReader::Offset) => return LeafPlan::Virtual(PerRow::Offset),
            Some(FieldReader::N) => return LeafPlan::Virtual(PerRow::N),
            Some(FieldReader::Generation) => return LeafPlan::Virtual(PerRow::Generation),
            Some(FieldReader::Chunks(_)) | None => {}
        }
    }
    let columns = source.columns().iter().enumerate().filter(|(_, column)| leaf.field.is(&column.name));
    let columns: Vec<ColumnPlan> = columns.map(|(column, own)| ColumnPlan::new(column, own.kind)).collect();
    if columns.is_empty() { LeafPlan::Fixed(false) } else { LeafPlan::Columns(columns) }
}

fn foresee_leaf(asked: &Asked, plan: &LeafPlan, source: &dyn Source, group: usize) -> Foresight {
    let test = &asked.leaf.test;
    match plan {
        LeafPlan::Fixed(true) => Foresight::All,
        LeafPlan::Fixed(false) => Foresight::None,
        LeafPlan::Virtual(PerRow::Time) => match test {
            Test::Exists => Foresight::All,
            Test::Time(range) => {
                let (least, greatest) = source.time_bounds(group);
                if range.from <= least && greatest <= range.to {
                    Foresight::All
                } else if greatest < range.from || range.to < least {
                    Foresight::None
                } else {
                    Foresight::Some
                }
            }
            _ => Foresight::None,
        },
        LeafPlan::Virtual(which) => {
            let Ok(runs) = source.runs(group) else { return Foresight::Some };
            let whole = |offset: u64| i64::try_from(offset).unwrap_or(i64::MAX);
            let may = runs.iter().filter(|run| run.rows > 0).any(|run| match which {
                PerRow::Offset => test.may_match_numbers(Number::Int(whole(run.first)), Number::Int(whole(run.last))),
                PerRow::Partition => test.matches_number(Number::Int(run.partition.into())),
                PerRow::Generation => test.matches_number(Number::Int(run.generation.into())),
                PerRow::N | PerRow::Time => true,
            });
            if may { Foresight::Some } else { Foresight::None }
        }
        LeafPlan::Columns(columns) => {
            let may = |column: &ColumnPlan| match column.kind {
                Kind::Int | Kind::Float => {
                    source.bounds(group, column.column).is_none_or(|(least, greatest)| test.may_match_numbers(least, greatest))
                        && column.whole(asked, source).is_none_or(|verdict| verdict.matching > 0)
                }
                Kind::Str | Kind::List => {
                    column.may_be_in(asked, source, group)
                        && column.whole(asked, source).is_none_or(|verdict| verdict.matching > 0)
                        && source.number_bounds(group, column.column).is_none_or(|bounds| typed::may_match(test, bounds))
                }
                Kind::Bool => column.whole(asked, source).is_none_or(|verdict| verdict.matching > 0),
            };
            if columns.iter().any(may) { Foresight::Some } else { Foresight::None }
        }
    }
}

fn select_leaf(asked: &Asked, plan: &LeafPlan, view: &GroupView<'_>, among: Bits) -> Bits {
    let test = &asked.leaf.test;
    let rows = among.rows();
    let columns = match plan {
        LeafPlan::Fixed(true) => return among,
        LeafPlan::Fixed(false) => return Bits::none(rows),
        LeafPlan::Virtual(which) => return select_virtual(test, *which, view, &among),
        LeafPlan::Columns(columns) => columns,
    };
    let mut kept = Bits::none(rows);
    for column in columns {
        if let Some(own) = select_column(asked, column, view, &among) {
            column.note(asked, view, &own, &among);
            kept.or(&own);
        }
    }
    kept
}

/// The rows of `among` that pass by one column; none where it has nothing to say.
fn select_column(asked: &Asked, column: &ColumnPlan, view: &GroupView<'_>, among: &Bits) -> Option<Bits> {
    let test = &asked.leaf.test;
    if column.whole.get().is_some_and(|verdict| verdict.as_ref().is_some_and(|verdict| verdict.matching == 0)) {
        return None;
    }
    if matches!(column.kind, Kind::Str | Kind::List) && !column.may_be_in(asked, view.source, view.group) {
        return None;
    }
    if let Some(own) = column.of_code(view, among) {
        return Some(own);
    }
    let shapes = column.shapes.get_or_init(|| shaped::Verdicts::of(test, view.source, column.column));
    if let Some((mut sure, rest)) = shapes.as_ref().and_then(|shapes| shapes.select(test, view, column.column, among)) {
        if let Some(chunk) = rest {
            sure.or(&select_chunk(asked, column, &chunk, view, among));
        }
        return Some(sure);
    }
    let fields = column.fields.get_or_init(|| derived::Fields::of(test, view.source, column.column));
    let narrowed = fields.as_ref().and_then(|fields| fields.narrowed(view, column.column, among));
    match narrowed {
        Some(chunk) => Some(select_chunk(asked, column, &chunk, view, among)),
        None => Some(select_chunk(asked, column, &*view.chunk(column.column)?, view, among)),
    }
}

fn select_virtual(test: &Test, which: PerRow, view: &GroupView<'_>, among: &Bits) -> Bits {
    if which == PerRow::Time {
        return match test {
            Test::Exists => among.clone(),
            Test::Time(range) => {
                let (least, greatest) = view.source.time_bounds(view.group);
                if range.from <= least && greatest <= range.to {
                    return among.clone();
                }
                let times = view.times();
                Bits::fill(among, |row| times.get(row).is_some_and(|ns| range.from <= *ns && *ns <= range.to))
            }
            _ => Bits::none(among.rows()),
        };
    }
    let Some(lineage) = view.lineage() else { return Bits::none(among.rows()) };
    let int = |value: Option<i64>| value.is_some_and(|value| test.matches_number(Number::Int(value)));
    Bits::pick(among, |row| match which {
        PerRow::Partition => int(lineage.partitions.get(row).map(|&n| i64::from(n))),
        PerRow::Offset => int(lineage.offsets.get(row).and_then(|&n| i64::try_from(n).ok())),
        PerRow::N => int(lineage.ns.get(row).map(|&n| i64::from(n))),
        PerRow::Generation | PerRow::Time => int(lineage.generations.get(row).map(|&n| i64::from(n))),
    })
}

fn only_present(mut bits: Bits, present: &Present) -> Bits {
    if let Present::Some(words) = present {
        bits.and_words(words);
    }
    bits
}

/// The rows whose number passes: by comparing, where what passes is a range.
fn select_numbers<T: Copy + PartialOrd>(
    test: &Test,
    values: &[T],
    range: Option<(T, T)>,
    number: fn(T) -> Number,
    present: &Present,
    among: &Bits,
) -> Bits {
    let passes = |row: usize| values.get(row).is_some_and(|&value| test.matches_number(number(value)));
    match range {
        Some((least, greatest)) => {
            let lies = |row: usize| values.get(row).is_some_and(|value| least <= *value && *value <= greatest);
            only_present(Bits::fill(among, lies), present)
        }
        None => Bits::pick(&only_present(among.clone(), present), passes),
    }
}

fn select_chunk(asked: &Asked, column: &ColumnPlan, chunk: &Chunk, view: &GroupView<'_>, among: &Bits) -> Bits {
    let test = &asked.leaf.test;
    match chunk {
        Chunk::Dict { codes, dict } => {
            // One that is in order is known by its looks; one that was computed again may have the same texts in another order.
            let same = |whole: &Arc<Dict>| if dict.sorted { is_same(whole, dict) } else { is_equal(whole, dict) };
            let whole = column.whole(asked, view.source).filter(|verdict| same(&verdict.dict));
            let verdict = whole.cloned().unwrap_or_else(|| Arc::new(judge(test, column.kind, Arc::clone(dict))));
            verdict.rows(codes, among)
        }
        Chunk::Text { ends, bytes, present } => {
            let asked = only_present(among.clone(), present);
            if matches!(test, Test::Exists) { asked } else { select_text(test, column.kind, ends, bytes, &asked) }
        }
        Chunk::Number { values, digits, present } => {
            let asked = only_present(among.clone(), present);
            typed::select_numbers(test, values, *digits, &asked).unwrap_or_else(|| typed::select_written(test, chunk, &asked))
        }
        Chunk::Fixed { form, bytes, present } => {
            let asked = only_present(among.clone(), present);
            typed::select_fixed(test, *form, bytes, &asked).unwrap_or_else(|| typed::select_written(test, chunk, &asked))
        }
        Chunk::Int { values, present } => select_numbers(test, values, test.int_range(), Number::Int, present, among),
        Chunk::Float { values, present } => select_numbers(test, values, test.float_range(), Number::Float, present, among),
        Chunk::Bool { values, present } => {
            let (yes, no) = (test.matches_bool(true), test.matches_bool(false));
            only_present(Bits::fill(among, |row| values.get(row).is_some_and(|&value| if value { yes } else { no })), present)
        }
    }
}
