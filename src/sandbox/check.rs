//! Looks at a module without keeping it: is it a filter, what does it ask for, does it say the same in any company.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use super::instance::StartError;
use super::{Arena, Chain, ChainRecord, EntryRecord, FilterError, Sandbox, State, VerdictKind, engine};
use crate::base::record::Records;

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

    /// Runs a module over records in calls of 1, 7 and 1,024, in fresh instances and in used ones: a filter whose verdicts
    /// differ would make history depend on how batches were cut.
    ///
    /// # Errors
    /// [`FilterError::Refused`] names the first record on which it is not steady.
    pub fn check_steady(&self, wasm: &[u8], config: &Map<String, Value>, records: &Records<'_>) -> Result<(), FilterError> {
        let loaded = self.load_bytes(wasm)?;
        let text = Value::Object(config.clone()).to_string().into();
        let counters = Arc::default();
        let guest = self.pool.guest(&CHECKED.into(), &loaded, text, None, &counters).map_err(|error| match error {
            StartError::Refused(why) | StartError::Broken(why) => FilterError::Refused(why),
        })?;
        let record = ChainRecord {
            entries: vec![EntryRecord {
                filter: CHECKED.into(),
                sha256: Arc::clone(&loaded.sha256),
                abi: sawbox_guest::abi::VERSION,
                when: None,
                config: config.clone(),
                lookups: Vec::new(),
            }],
            engine: engine::ENGINE.to_owned(),
        };
        let step = super::chain::Step { guest, when: None };
        let chain = Chain::new(record, vec![step], Arc::clone(&self.pool), Arc::clone(&self.clock));
        let mut first: Option<Vec<String>> = None;
        // The first round's instances are fresh, the others' are used.
        for call_records in [1024, 7, 1, 1024] {
            let arena = Arena::new();
            let mut state = State::default();
            let output = chain.run_cut(records, &arena, &mut state, call_records);
            let mut all: Vec<String> = output.verdicts.iter().map(|verdict| said(&output, verdict)).collect();
            // What still waits is part of what it says.
            while let Some(expired) = chain.expire(i64::MAX, &arena, &mut state) {
                all.extend(expired.output.verdicts.iter().map(|verdict| said(&expired.output, verdict)));
            }
            let said = all;
            let expected = first.get_or_insert_with(|| said.clone());
            if let Some((index, (before, now))) = expected.iter().zip(&said).enumerate().find(|(_, (a, b))| a != b) {
                return Err(FilterError::Refused(format!(
                    "the filter is not steady: of record {index} it says {before} in a call of 1024 records, but {now} in calls of \
                     {call_records}; what it remembers from one record to the next must be in its keyed state"
                )));
            }
        }
        Ok(())
    }
}

/// Name of a filter that has none.
const CHECKED: &str = "(checked)";

/// A verdict as text, with fields in alphabetical order.
fn said(output: &super::Output<'_>, verdict: &super::Verdict<'_>) -> String {
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
