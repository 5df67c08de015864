//! One record's way through a chain, filter by filter; and chains that run apart from the live ones.
//!
//! A trace runs the whole call that holds the record, as a lane would, and looks at the one row before the first filter and behind
//! each. What a call costs is all its records'; whoever wants one record's share runs it alone.
//! A chain that runs apart ([`Sandbox::apart`]) has instances and counters of its own, and what its filters log is kept for the
//! asker: it takes nothing from the lanes' pool and leaves no trace in their figures.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::chain::Chain;
use super::names::Names;
use super::output::{Emission, Output};
use super::rows::{Rows, State as RowState};
use super::state::State;
use super::{Arena, ChainRecord, Config, FilterError, Sandbox};
use crate::base::limits::CALL_RECORDS;
use crate::base::record::Records;
use crate::base::row::Value;

/// What a filter logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// `error`, `warn`, `info` or `debug`.
    pub level: &'static str,
    /// The text.
    pub text: String,
}

/// Why a record goes no further.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended<'b> {
    /// A filter left it out, and why.
    Dropped(Cow<'b, str>),
    /// A filter keeps it in its state.
    Held,
    /// A filter could not handle it, and why.
    Failed(Cow<'b, str>),
}

/// A row between two filters.
#[derive(Clone, Debug, Default)]
pub struct Look<'b> {
    /// Its time, where a header or filter said it.
    pub time_ns: Option<i64>,
    /// Its fields; a name that occurs twice is a list.
    pub fields: Vec<(Arc<str>, Value<'b>)>,
    /// Whether it ended.
    pub ended: Option<Ended<'b>>,
}

/// One filter's part.
#[derive(Clone, Debug)]
pub struct TraceStep<'b> {
    /// Whether the record came so far: no filter before dropped it or failed on it.
    pub reached: bool,
    /// Whether the filter was given it: it came so far, and the filter's `when` kept it.
    pub selected: bool,
    /// The row behind the filter.
    pub after: Look<'b>,
    /// What the filter emitted for it.
    pub emissions: Vec<Emission<'b>>,
    /// Records that the filter was given together with it.
    pub records: usize,
    /// Fuel, of all of them.
    pub fuel: u64,
    /// Time, of all of them.
    pub took: Duration,
    /// What the filter logged while it worked on them.
    pub log: Vec<LogLine>,
}

/// A record's way through a chain.
#[derive(Clone, Debug)]
pub struct Trace<'b> {
    /// The row before the first filter.
    pub before: Look<'b>,
    /// One a filter of the chain, in order.
    pub steps: Vec<TraceStep<'b>>,
    /// What the chain said of all records.
    pub output: Output<'b>,
}

/// Looks at one row while a chain runs.
pub(super) struct Seen<'b> {
    index: usize,
    before: Look<'b>,
    emissions: usize,
    ended: bool,
    steps: Vec<TraceStep<'b>>,
}

impl<'b> Seen<'b> {
    fn look(&self, rows: &Rows<'b>, names: &Names) -> Look<'b> {
        let Some(row) = rows.rows.get(self.index) else { return Look::default() };
        let cells = rows.cells.get(row.cells()).unwrap_or_default();
        let fields = cells.iter().filter_map(|cell| Some((Arc::clone(names.list.get(cell.name as usize)?), cell.value)));
        let ended = match &row.state {
            RowState::Alive => None,
            RowState::Dropped(reason) => Some(Ended::Dropped(reason.clone())),
            RowState::Held => Some(Ended::Held),
            RowState::Failed(failed) => Some(Ended::Failed(failed.1.clone())),
        };
        Look { time_ns: row.time_ns, fields: fields.collect(), ended }
    }

    /// Before the first filter.
    pub(super) fn begin(&mut self, rows: &Rows<'b>, names: &Names) {
        self.before = self.look(rows, names);
    }

    /// Behind a filter.
    pub(super) fn note(
        &mut self,
        selected: &[usize],
        rows: &Rows<'b>,
        names: &Names,
        (fuel, took): (u64, Duration),
        heard: Vec<(i32, String)>,
    ) {
        let after = self.look(rows, names);
        let emitted = rows.emissions.get(self.index).map_or(&[][..], Vec::as_slice);
        let emissions = emitted.get(self.emissions..).unwrap_or_default().to_vec();
        self.emissions = emitted.len();
        let reached = !self.ended;
        self.ended = after.ended.is_some();
        let line = |(level, text): (i32, String)| {
            let level = match level {
                1 => "error",
                2 => "warn",
                3 => "info",
                _ => "debug",
            };
            LogLine { level, text }
        };
        self.steps.push(TraceStep {
            reached,
            selected: selected.binary_search(&self.index).is_ok(),
            after,
            emissions,
            records: selected.len(),
            fuel,
            took,
            log: heard.into_iter().map(line).collect(),
        });
    }
}

impl Chain {
    /// Runs the chain over records as [`Chain::run`] does, and tells the way of the record at `index` of them.
    pub fn trace<'b>(&self, records: &Records<'b>, arena: &'b Arena, state: &mut State, index: usize) -> Trace<'b> {
        let mut seen = Seen { index, before: Look::default(), emissions: 0, ended: false, steps: Vec::new() };
        let output = self.run_from((0, false), records, arena, state, CALL_RECORDS, Some(&mut seen));
        Trace { before: seen.before, steps: seen.steps, output }
    }
}

impl Sandbox {
    /// A chain with instances and counters of its own, whose filters log to nobody. With `idle` false no instance works twice.
    ///
    /// # Errors
    /// As [`Sandbox::chain`].
    pub fn apart(&self, record: &ChainRecord, idle: bool) -> Result<Arc<Chain>, FilterError> {
        let limits = self.pool.limits().clone();
        let idle_instances = if idle { limits.idle_instances } else { 0 };
        let pool = Arc::new(self.pool.beside(Config { idle_instances, quiet: true, ..limits }));
        self.chain_in(record, &pool, &|_| Arc::default())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bench, records};
    use super::*;
    use crate::sandbox::ChainSpec;

    #[test]
    fn a_record_is_followed_through_every_filter() {
        let bench = bench();
        let spec: ChainSpec = serde_json::from_value(serde_json::json!([
            { "filter": "json", "config": { "mode": "lenient" } },
            { "filter": "tag", "when": "level:error", "config": { "add": ["bad"] } },
            { "filter": "drop", "when": "level:debug" },
        ]))
        .unwrap();
        let chain = bench.sandbox.apart(&bench.sandbox.resolve(&spec).unwrap(), true).unwrap();
        let lines: [&[u8]; 3] = [br#"{"level":"error","n":1}"#, br#"{"level":"debug"}"#, br#"{"level":"info"}"#];
        let all: Vec<_> = lines.iter().map(|line| (*line, &[("host", "web1")][..])).collect();
        let all = records(&all);
        let names = |look: &Look<'_>| look.fields.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>();
        let arena = Arena::new();
        let error = chain.trace(&all, &arena, &mut State::default(), 0);
        assert_eq!(names(&error.before), ["message", "host"]);
        assert_eq!(error.steps.len(), 3);
        assert!(error.steps[0].selected && error.steps[0].fuel > 0 && error.steps[0].records == 3);
        assert_eq!(names(&error.steps[0].after), ["host", "level", "n"]);
        assert!(error.steps[1].selected && error.steps[1].records == 1);
        assert_eq!(names(&error.steps[1].after), ["host", "level", "n", "tags"]);
        assert!(error.steps[2].reached && !error.steps[2].selected && error.steps[2].after.ended.is_none());
        let debug = chain.trace(&all, &arena, &mut State::default(), 1);
        let step = |index: usize| (debug.steps[index].reached, debug.steps[index].selected);
        assert_eq!((step(0), step(1), step(2)), ((true, true), (true, false), (true, true)));
        assert!(matches!(debug.steps[2].after.ended, Some(Ended::Dropped(_))));
        // Not in the figures of the lanes.
        assert!(bench.sandbox.counters().iter().all(|filter| filter.calls == 0));
        assert_eq!(debug.output.verdicts.len(), 3);
    }
}
