//! Fixtures: what a filter is expected to say to which record, as a TOML file beside its source.
//!
//! ```toml
//! config = { separator = "=" }            # for every case that has none of its own
//!
//! [[case]]
//! name = "pairs become fields"
//! payload = "level=warn took=12"          # or payload_base64
//! headers = { host = "web-1" }            # what a receiver gave: fields too, always strings
//! fields = { weight = 3 }                 # what a filter before set
//! arrival = "2026-01-01T00:00:00Z"        # the only clock
//!
//! [case.expect]
//! verdict = "store"                       # store (without a word), drop, fail, hold
//! reason = "no colon"                     # a part of it; for drop and fail
//! fields = { level = "warn", took = 12 }  # everything that the filter changed, and nothing else
//! absent = ["message"]                    # what must not be there
//! time = "2026-01-01T00:00:00Z"           # the row's, where the filter sets it
//! emissions = [{ topic = "alerts", payload = "level=warn took=12", headers = { why = "level" } }]
//!
//! [[case]]                                # several records, one after the other: for filters that keep state
//! [[case.record]]
//! payload = "one"
//! expect = { fields = { seen = 1 } }
//!
//! [[case.expired]]                        # what the filter lets wait, given back after the last record, in order
//! fields = { message = "one\ntwo" }
//!
//! [[case]]
//! config = { separator = 3 }
//! refused = "separator"                   # the filter must refuse the configuration, with this in its sentence
//! ```
//! Each case starts with nothing before it. Its records are run in one call, and again in calls of one: who says something else
//! then would make history depend on how batches were cut.
//!
//! Limits: [`CASES`], and the sandbox's own; a fixture can do no more harm than a record.

mod format;

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use serde_json::{Map, Value};

use format::{Case, Decision, Emitted, File, Input};

use super::{Lone, LoneError};
use crate::base::record::{RecordView, Records};
use crate::base::{row, time};
use crate::sandbox::{Arena, FilterError, Output, Sandbox, State, Verdict, VerdictKind};

/// Most cases of a file.
const CASES: usize = 10_000;

/// What came of a file of fixtures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Its cases, in order.
    pub cases: Vec<CaseReport>,
}

/// What came of one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CaseReport {
    /// Its name, or its number.
    pub name: String,
    /// What was not as expected, a line each; none = it passed.
    pub differences: Vec<String>,
    /// Fuel that it took.
    pub fuel: u64,
}

impl Report {
    /// Whether every case is as it should be.
    pub fn passed(&self) -> bool {
        self.cases.iter().all(|case| case.differences.is_empty())
    }

    /// How many cases are not.
    pub fn failures(&self) -> usize {
        self.cases.iter().filter(|case| !case.differences.is_empty()).count()
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for case in &self.cases {
            let word = if case.differences.is_empty() { "ok  " } else { "FAIL" };
            writeln!(f, "{word} {}", case.name)?;
            for difference in &case.differences {
                writeln!(f, "       {difference}")?;
            }
        }
        match self.failures() {
            0 => write!(f, "{} fixtures, all as expected", self.cases.len()),
            failures => write!(f, "{failures} of {} fixtures are not as expected", self.cases.len()),
        }
    }
}

/// Runs a filter over its fixtures.
///
/// # Errors
/// [`FilterError::Refused`] where the module is no filter or the file holds no fixtures: why, and where in it.
pub fn run(sandbox: &Sandbox, wasm: &[u8], fixtures: &str) -> Result<Report, FilterError> {
    let file: File = toml::from_str(fixtures).map_err(|error| FilterError::Refused(format!("the fixtures: {error}")))?;
    if file.cases.is_empty() || file.cases.len() > CASES {
        let why = format!("the fixtures have {} cases; give 1 to {CASES}, each a `[[case]]`", file.cases.len());
        return Err(FilterError::Refused(why));
    }
    // Whatever the cases say: what is no filter at all is refused once.
    sandbox.check_with(wasm, &file.config)?;
    let mut report = Report::default();
    for (number, case) in (1..).zip(&file.cases) {
        let name = case.name.clone().unwrap_or_else(|| format!("case {number}"));
        let (differences, fuel) = check(sandbox, wasm, case, &file.config)
            .map_err(|why| FilterError::Refused(format!("the fixtures, {name}: {why}")))?;
        report.cases.push(CaseReport { name, differences, fuel });
    }
    Ok(report)
}

/// A configuration, and payloads for it.
pub type Payloads = (Map<String, Value>, Vec<Vec<u8>>);

/// The payloads of a file of fixtures: something to measure a filter on that has no records.
///
/// # Errors
/// Why it is no such file.
pub fn payloads(fixtures: &str) -> Result<Payloads, FilterError> {
    let refused = |why: String| FilterError::Refused(format!("the fixtures: {why}"));
    let file: File = toml::from_str(fixtures).map_err(|error| refused(error.to_string()))?;
    let mut payloads = Vec::new();
    for case in &file.cases {
        for input in case.inputs().map_err(refused)? {
            payloads.push(input.payload);
        }
    }
    Ok((file.config, payloads))
}

/// What is different, and the fuel it took. `Err`: the case itself is wrong.
fn check(sandbox: &Sandbox, wasm: &[u8], case: &Case, config: &Map<String, Value>) -> Result<(Vec<String>, u64), String> {
    let inputs = case.inputs()?;
    let lone = match (Lone::new(sandbox, wasm, case.config.as_ref().unwrap_or(config), &case.fields), &case.refused) {
        (Ok(_), Some(_)) => return Ok((vec!["it takes the configuration, but should refuse it".into()], 0)),
        (Err(LoneError::Config(why)), Some(wanted)) if why.contains(wanted) => return Ok((Vec::new(), 0)),
        (Err(LoneError::Config(why)), Some(wanted)) => {
            return Ok((vec![format!("the configuration is refused, but not because of {wanted:?}: {why}")], 0));
        }
        (Err(error), _) => return Ok((vec![error.to_string()], 0)),
        (Ok(lone), None) => lone,
    };
    let records = records(&inputs);
    let arena = Arena::new();
    let mut state = State::default();
    let output = lone.run(&records, &arena, &mut state, usize::MAX);
    let mut differences = Vec::new();
    for (number, (input, verdict)) in (1..).zip(inputs.iter().zip(&output.verdicts)) {
        let before = differences.len();
        compare(case, input, &output, verdict, &mut differences)?;
        if inputs.len() > 1 {
            for difference in &mut differences[before..] {
                *difference = format!("record {number}: {difference}");
            }
        }
    }
    expired(case, &lone, &mut state, &arena, &mut differences)?;
    // Again one by one, from nothing: the same must come of it.
    let again = Arena::new();
    let one_by_one = lone.run(&records, &again, &mut State::default(), 1);
    for (number, (one, all)) in (1..).zip(one_by_one.verdicts.iter().zip(&output.verdicts)) {
        if differences.is_empty() && row(&one_by_one, one) != row(&output, all) {
            differences.push(format!(
                "record {number}: alone in a call it becomes {}, with the others {}; a filter must not remember anything itself",
                show(&row(&one_by_one, one)),
                show(&row(&output, all))
            ));
        }
    }
    Ok((differences, output.stats.fuel))
}

/// What waits is given back, as after a long silence.
fn expired(case: &Case, lone: &Lone, state: &mut State, arena: &Arena, differences: &mut Vec<String>) -> Result<(), String> {
    let mut given = 0;
    while let Some(back) = lone.expire(i64::MAX - 1, arena, state) {
        for (record, verdict) in back.records.records.iter().zip(&back.output.verdicts) {
            given += 1;
            let Some(expect) = case.expired.get(given - 1) else { continue };
            let headers = BTreeMap::new();
            let (payload, arrival_ns) = (record.payload.to_vec(), record.arrival_ns);
            let before = differences.len();
            compare(case, &Input { payload, headers: &headers, arrival_ns, expect }, &back.output, verdict, differences)?;
            for difference in &mut differences[before..] {
                *difference = format!("expired {given}: {difference}");
            }
        }
    }
    if given != case.expired.len() {
        differences.push(format!("expired: expected {} of what waits to be given back, are {given}", case.expired.len()));
    }
    Ok(())
}

fn records<'i>(inputs: &'i [Input<'_>]) -> Records<'i> {
    let mut records = Records::default();
    for (offset, input) in (0..).zip(inputs) {
        let from = u32::try_from(records.headers.len()).unwrap_or(u32::MAX);
        records.headers.extend(input.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        let to = u32::try_from(records.headers.len()).unwrap_or(u32::MAX);
        records.records.push(RecordView {
            offset,
            arrival_ns: input.arrival_ns,
            timestamp_ms: input.arrival_ns / 1_000_000,
            key: None,
            payload: &input.payload,
            headers: (from, to),
        });
    }
    records
}

/// Fields by name, each a value or a list.
type Fields = BTreeMap<String, Value>;

/// The row of a verdict; none where there is none.
fn row(output: &Output<'_>, verdict: &Verdict<'_>) -> Fields {
    let mut fields = Fields::new();
    for cell in output.cells_of(verdict) {
        let name = output.names.get(cell.name as usize).map_or("?", |name| name);
        let value = match cell.value {
            row::Value::Str(bytes) => Value::String(String::from_utf8_lossy(bytes).into_owned()),
            row::Value::Int(value) => value.into(),
            row::Value::Float(value) => {
                serde_json::Number::from_f64(value).map_or_else(|| value.to_string().into(), Value::Number)
            }
            row::Value::Bool(value) => value.into(),
        };
        match fields.get_mut(name) {
            None => {
                fields.insert(name.to_owned(), value);
            }
            Some(Value::Array(list)) => list.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    fields
}

/// Says what is not as the case expects.
fn compare(
    case: &Case,
    input: &Input<'_>,
    output: &Output<'_>,
    verdict: &Verdict<'_>,
    differences: &mut Vec<String>,
) -> Result<(), String> {
    let expect = input.expect;
    let (decision, reason) = match &verdict.kind {
        VerdictKind::Store { .. } => (Decision::Store, None),
        VerdictKind::Drop { reason } => (Decision::Drop, Some(reason)),
        VerdictKind::Fail { reason, .. } => (Decision::Fail, Some(reason)),
        VerdictKind::Hold => (Decision::Hold, None),
    };
    if decision != expect.verdict {
        let because = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        differences.push(format!("verdict: expected {}, is {}{because}", expect.verdict.word(), decision.word()));
        return Ok(());
    }
    if let Some(wanted) = &expect.reason {
        match reason {
            Some(reason) if reason.contains(wanted.as_str()) => {}
            Some(reason) => differences.push(format!("reason: expected {wanted:?} in it, is {reason:?}")),
            None => differences.push(format!("reason: expected {wanted:?}, but a record that is stored has none")),
        }
    }
    let is = row(output, verdict);
    if let (Some(wanted), Decision::Store) = (&expect.fields, decision) {
        let mut before: Fields = Fields::from_iter([(row::MESSAGE.to_owned(), text(&input.payload))]);
        before.extend(input.headers.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))));
        before.extend(case.fields.iter().map(|(name, value)| (name.clone(), value.clone())));
        for (name, wanted) in wanted {
            match is.get(name) {
                Some(value) if value == wanted => {}
                Some(value) => differences.push(format!("field {name}: expected {wanted}, is {value}")),
                None => differences.push(format!("field {name}: expected {wanted}, is not there")),
            }
        }
        for (name, value) in &is {
            if !wanted.contains_key(name) && before.get(name) != Some(value) {
                differences.push(format!("field {name}: not expected, is {value}"));
            }
        }
    }
    for name in &expect.absent {
        if let Some(value) = is.get(name) {
            differences.push(format!("field {name}: expected not to be there, is {value}"));
        }
    }
    if let Some(wanted) = &expect.time {
        let wanted = wanted.ns()?;
        match verdict.kind {
            VerdictKind::Store { time_ns: Some(ns), .. } if ns == wanted => {}
            VerdictKind::Store { time_ns, .. } => differences.push(format!(
                "time: expected {}, is {}",
                time::format(wanted),
                time_ns.map_or_else(|| "not set".to_owned(), time::format)
            )),
            VerdictKind::Drop { .. } | VerdictKind::Fail { .. } | VerdictKind::Hold => {}
        }
    }
    emissions(&expect.emissions, verdict, differences);
    Ok(())
}

fn emissions(wanted: &[Emitted], verdict: &Verdict<'_>, differences: &mut Vec<String>) {
    if wanted.len() != verdict.emissions.len() {
        let topics: Vec<&str> = verdict.emissions.iter().map(|emission| emission.topic).collect();
        differences.push(format!("emissions: expected {}, are {} ({})", wanted.len(), topics.len(), topics.join(", ")));
        return;
    }
    for (number, (wanted, is)) in (1..).zip(wanted.iter().zip(&verdict.emissions)) {
        if wanted.topic != is.topic {
            differences.push(format!("emission {number}: expected to topic {:?}, is to {:?}", wanted.topic, is.topic));
        }
        let payload = String::from_utf8_lossy(is.payload);
        if wanted.payload.as_ref().is_some_and(|wanted| *wanted != payload) {
            differences.push(format!("emission {number}: expected payload {:?}, is {payload:?}", wanted.payload));
        }
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers: BTreeMap<_, _> = is.headers.iter().map(|(name, value)| (lossy(name), lossy(value))).collect();
        if wanted.headers.as_ref().is_some_and(|wanted| *wanted != headers) {
            differences.push(format!("emission {number}: expected headers {:?}, are {headers:?}", wanted.headers));
        }
    }
}

fn text(bytes: &[u8]) -> Value {
    Value::String(String::from_utf8_lossy(bytes).into_owned())
}

/// Fields on one line.
fn show(fields: &Fields) -> String {
    let mut line = String::from("{");
    for (name, value) in fields {
        let _ = write!(line, "{}{name}={value}", if line.len() > 1 { " " } else { "" });
    }
    line.push('}');
    line
}

#[cfg(test)]
mod tests;
