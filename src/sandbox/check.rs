//! Looks at a module without keeping it: is it a filter, what does it ask for, does it say the same in any company.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use super::instance::StartError;
use super::{Arena, ChainRecord, EntryRecord, FilterError, Sandbox, State, VerdictKind, engine};
use crate::base::ids::Offset;
use crate::base::record::{RecordView, Records};

/// What is known of a filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FilterReport {
    /// Its module, in hexadecimal digits.
    pub sha256: String,
    /// Length of its module.
    pub bytes: usize,
    /// The version of the frame it speaks.
    pub abi: u32,
    /// Which functions of the host it uses.
    pub imports: Vec<String>,
    /// What it says to the configuration it was checked with: nothing, or why it refuses it.
    pub refuses_config: Option<String>,
    /// Whether it looks at payloads.
    pub needs_payload: bool,
    /// Whether it looks at every field.
    pub reads_all: bool,
    /// The fields it looks at, otherwise.
    pub reads: Vec<String>,
}

impl Sandbox {
    /// Checks a module, with an empty configuration.
    ///
    /// # Errors
    /// [`FilterError::Refused`] says why it is no filter.
    pub fn check(&self, wasm: &[u8]) -> Result<FilterReport, FilterError> {
        self.check_with(wasm, &Map::new())
    }

    /// Checks a module with a configuration.
    ///
    /// # Errors
    /// [`FilterError::Refused`] says why it is no filter.
    pub fn check_with(&self, wasm: &[u8], config: &Map<String, Value>) -> Result<FilterReport, FilterError> {
        let loaded = self.load_bytes(wasm)?;
        let imports = loaded.imports.clone();
        let mut report = FilterReport {
            sha256: loaded.sha256.to_string(),
            bytes: wasm.len(),
            abi: sawbox_guest::abi::VERSION,
            imports,
            refuses_config: None,
            needs_payload: false,
            reads_all: false,
            reads: Vec::new(),
        };
        let config = Value::Object(config.clone()).to_string().into();
        match self.pool.guest(&CHECKED.into(), &loaded, config, None, &Arc::default()) {
            Ok(guest) => {
                report.needs_payload = guest.needs.payload;
                report.reads_all = guest.needs.all;
                report.reads = guest.needs.reads.iter().map(|name| name.to_string()).collect();
            }
            Err(StartError::Refused(why)) => report.refuses_config = Some(why),
            Err(StartError::Broken(why)) => return Err(FilterError::Refused(format!("the filter does not start: it {why}"))),
        }
        Ok(report)
    }

    /// Runs a module over records in calls of 1, 7 and 1,024, in instances that have worked before and in fresh ones: a filter
    /// whose verdicts differ would make history depend on how batches were cut, and on crashes.
    ///
    /// # Errors
    /// [`FilterError::Refused`] names the first record on which it is not steady, and says how.
    pub fn check_steady(&self, wasm: &[u8], config: &Map<String, Value>, records: &Records<'_>) -> Result<(), FilterError> {
        let loaded = self.load_bytes(wasm)?;
        // It may be of no catalog: kept in memory, it is found by its hash while `loaded` lives.
        let (filter, text) = (CHECKED.into(), Value::Object(config.clone()).to_string().into());
        let lookups = self.pool.lookups(&filter, &loaded, &text).map_err(|error| match error {
            StartError::Refused(why) | StartError::Broken(why) => FilterError::Refused(why),
        })?;
        let entry = EntryRecord {
            filter,
            sha256: Arc::clone(&loaded.sha256),
            abi: sawbox_guest::abi::VERSION,
            when: None,
            config: config.clone(),
            lookups,
        };
        let record = ChainRecord { entries: vec![entry], engine: engine::ENGINE.to_owned() };
        match self.unsteady(&record, records)? {
            None => Ok(()),
            Some(found) => Err(FilterError::Refused(format!("the filter is not steady: {found}"))),
        }
    }

    /// Runs a chain as [`Sandbox::check_steady`] does a module; the first record whose verdict depends on the company it is in.
    ///
    /// # Errors
    /// As [`Sandbox::chain`].
    pub fn unsteady(&self, record: &ChainRecord, records: &Records<'_>) -> Result<Option<Unsteady>, FilterError> {
        let kept = self.apart(record, true)?;
        let mut first: Option<Vec<String>> = None;
        // The first round's instances are fresh but for their start, the later ones' are used.
        for (call_records, fresh) in [(1024, false), (1024, false), (7, false), (1, false), (7, true), (1, true)] {
            let mut said = Vec::with_capacity(records.records.len());
            if fresh {
                // With no instance kept, a run of its own is a fresh one.
                let chain = self.apart(record, false)?;
                let mut state = State::default();
                for call in records.records.chunks(call_records).take(FRESH) {
                    let call = part(records, call);
                    let arena = Arena::new();
                    let output = chain.run(&call, &arena, &mut state);
                    said.extend(output.verdicts.iter().map(|verdict| say(&output, verdict)));
                }
            } else {
                let arena = Arena::new();
                let mut state = State::default();
                let output = kept.run_cut(records, &arena, &mut state, call_records);
                said.extend(output.verdicts.iter().map(|verdict| say(&output, verdict)));
                // What still waits is part of what it says.
                while let Some(expired) = kept.expire(i64::MAX, &arena, &mut state) {
                    said.extend(expired.output.verdicts.iter().map(|verdict| say(&expired.output, verdict)));
                }
            }
            let expected = first.get_or_insert_with(|| said.clone());
            let differs = expected.iter().zip(&said).enumerate().find(|(_, (a, b))| a != b);
            if let Some((index, (before, now))) = differs {
                let offset = records.records.get(index).map_or(0, |record| record.offset);
                let (before, now) = (before.clone(), now.clone());
                return Ok(Some(Unsteady { index, offset, call_records, fresh, before, now }));
            }
        }
        Ok(None)
    }
}

/// A record on which a filter does not always say the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unsteady {
    /// Which of the records, from 0.
    pub index: usize,
    /// Its offset.
    pub offset: Offset,
    /// Most records of the calls in which it said something else.
    pub call_records: usize,
    /// Whether each of these calls had a fresh instance.
    pub fresh: bool,
    /// What it says in calls of 1,024.
    pub before: String,
    /// What it said then.
    pub now: String,
}

impl fmt::Display for Unsteady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, call_records, before, now, .. } = self;
        let fresh = if self.fresh { ", each in a fresh instance" } else { "" };
        write!(
            f,
            "of record {index} it says {before} in a call of 1024 records, but {now} in calls of {call_records}{fresh}; what it \
             remembers from one record to the next must be in its keyed state"
        )
    }
}

/// Some of the records, as a batch of their own.
fn part<'b>(all: &Records<'b>, some: &[RecordView<'b>]) -> Records<'b> {
    let (Some(first), Some(last)) = (some.first(), some.last()) else { return Records::default() };
    let (from, to) = (first.headers.0, last.headers.1);
    let view = |record: &RecordView<'b>| RecordView { headers: (record.headers.0 - from, record.headers.1 - from), ..*record };
    let headers = all.headers.get(from as usize..to as usize).unwrap_or_default().to_vec();
    Records { records: some.iter().map(view).collect(), headers }
}

/// Fresh instances that are tried of each length of calls: those of interpreters take their time to start.
const FRESH: usize = 32;
/// Name of a filter that has none.
const CHECKED: &str = "(checked)";

/// A verdict as text, with fields in alphabetical order.
fn say(output: &super::Output<'_>, verdict: &super::Verdict<'_>) -> String {
    let of = verdict.joined.map_or(String::new(), |joined| format!(" for offset {}", joined.offset));
    match &verdict.kind {
        VerdictKind::Store { time_ns, .. } => {
            let name = |number: u32| output.names.get(number as usize).map_or("?", |name| name);
            let mut cells: Vec<String> = output
                .cells_of(verdict)
                .iter()
                .map(|cell| match cell.value {
                    crate::base::row::Value::Str(bytes) => format!("{}={:?}", name(cell.name), String::from_utf8_lossy(bytes)),
                    value => format!("{}={value:?}", name(cell.name)),
                })
                .collect();
            cells.sort();
            format!("store{of} at {time_ns:?} {} {:?}", cells.join(" "), verdict.emissions)
        }
        VerdictKind::Hold => format!("hold {:?}", verdict.emissions),
        VerdictKind::Drop { reason } => format!("drop ({reason}) {:?}", verdict.emissions),
        VerdictKind::Fail { reason, .. } => format!("fail ({reason})"),
    }
}
