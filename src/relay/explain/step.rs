//! One filter's step as people see it: what it added, changed and removed.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::SHOWN_BYTES;
use crate::base::row::{TIME, Value};
use crate::relay::{ChainEntry, shown};
use crate::sandbox::{Ended, Look, Trace, TraceStep};

/// What a filter did with the record.
#[derive(Clone, Debug, Serialize)]
pub struct StepShown {
    /// The filter.
    pub filter: String,
    /// Its version; none of a box's own that is gone.
    pub version: Option<u32>,
    /// Which rows it is given.
    pub when: Option<String>,
    /// `passed`, `dropped`, `failed`, `held` (kept in its state), `not_selected` (its `when` left the row out) or `not_reached` (a filter before ended it).
    pub outcome: &'static str,
    /// Why it was dropped, or failed.
    pub reason: Option<String>,
    /// Fields that are new.
    pub added: Map<String, Json>,
    /// Fields that are others: each `{"old": …, "new": …}`.
    pub changed: Map<String, Json>,
    /// Fields that are gone, with what they held.
    pub removed: Map<String, Json>,
    /// What it sent to other topics: `topic`, `payload`, `headers`.
    pub emissions: Vec<Json>,
    /// What it logged about the record: each `{"level": …, "text": …}`.
    pub log: Vec<Json>,
    /// Fuel for this record alone; exact.
    pub fuel: u64,
    /// Time for this record alone, nanoseconds; as this machine had it just now.
    pub time_ns: u64,
    /// Records that it was given together with this one.
    pub records: usize,
    /// Fuel for all of them.
    pub call_fuel: u64,
}

/// All steps; `alone` are those of the record by itself.
pub(super) fn steps(chain: &[ChainEntry], trace: &Trace<'_>, alone: &[TraceStep<'_>]) -> Vec<StepShown> {
    let mut before = &trace.before;
    let mut steps = Vec::new();
    for (index, (entry, step)) in chain.iter().zip(&trace.steps).enumerate() {
        let alone = alone.get(index).unwrap_or(step);
        steps.push(one(entry, before, step, alone));
        before = &step.after;
    }
    steps
}

fn one(entry: &ChainEntry, before: &Look<'_>, step: &TraceStep<'_>, alone: &TraceStep<'_>) -> StepShown {
    let (outcome, reason) = match (step.reached, step.selected, &step.after.ended) {
        (false, ..) => ("not_reached", None),
        (_, false, _) => ("not_selected", None),
        (_, _, Some(Ended::Dropped(why))) => ("dropped", Some(why.to_string())),
        (_, _, Some(Ended::Held)) => ("held", None),
        (_, _, Some(Ended::Failed(why))) => ("failed", Some(why.to_string())),
        _ => ("passed", None),
    };
    let (old, new) = (by_name(before), by_name(&step.after));
    let (mut added, mut changed, mut removed) = (Map::new(), Map::new(), Map::new());
    for (name, after) in &new {
        match old.get(name) {
            None => {
                added.insert((*name).to_owned(), show(name, after));
            }
            Some(before) if !is_same(before, after) => {
                let both = json!({ "old": show(name, before), "new": show(name, after) });
                changed.insert((*name).to_owned(), both);
            }
            Some(_) => {}
        }
    }
    for (name, before) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
        removed.insert((*name).to_owned(), show(name, before));
    }
    let is_given = step.reached && step.selected;
    StepShown {
        filter: entry.filter.clone(),
        version: entry.version,
        when: entry.when.clone(),
        outcome,
        reason,
        added,
        changed,
        removed,
        emissions: step.emissions.iter().map(|one| shown::emission(one, SHOWN_BYTES)).collect(),
        log: alone.log.iter().map(|line| json!({ "level": line.level, "text": line.text })).collect(),
        fuel: if is_given { alone.fuel } else { 0 },
        time_ns: if is_given { u64::try_from(alone.took.as_nanos()).unwrap_or(u64::MAX) } else { 0 },
        records: step.records,
        call_fuel: step.fuel,
    }
}

/// A row as JSON.
pub(super) fn look(look: &Look<'_>) -> Map<String, Json> {
    shown::fields(look.fields.iter().map(|(name, value)| (&**name, value)), look.time_ns, SHOWN_BYTES)
}

fn by_name<'l, 'b>(look: &'l Look<'b>) -> BTreeMap<&'l str, Vec<Value<'b>>> {
    let mut all: BTreeMap<&str, Vec<Value<'_>>> = BTreeMap::new();
    if let Some(time_ns) = look.time_ns {
        all.insert(TIME, vec![Value::Int(time_ns)]);
    }
    for (name, value) in &look.fields {
        all.entry(name).or_default().push(*value);
    }
    all
}

fn show(name: &str, values: &[Value<'_>]) -> Json {
    match values {
        [Value::Int(time_ns)] if name == TIME => crate::base::time::format(*time_ns).into(),
        values => shown::values(values, SHOWN_BYTES),
    }
}

fn is_same(a: &[Value<'_>], b: &[Value<'_>]) -> bool {
    let is_equal = |(a, b): (&Value<'_>, &Value<'_>)| match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
        (a, b) => a == b,
    };
    a.len() == b.len() && a.iter().zip(b).all(is_equal)
}
