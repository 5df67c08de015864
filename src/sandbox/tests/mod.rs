//! The sandbox against filters that mean well, and against filters that do not.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod chains;
mod components;
mod fuzz;
pub(super) mod guests;
mod hostile;
mod imports;
mod keyed;
mod measure;
mod mutants;
mod remember;
mod stock;
mod stock_b;
mod sweep;

use std::sync::Arc;

use super::*;
use crate::base::clock::SimClock;
use crate::base::disk::RealDisk;
use crate::base::record::{RecordView, Records};
use crate::base::row::Value;

/// A sandbox in a directory that goes with it.
pub(super) struct Bench {
    pub(super) sandbox: Arc<Sandbox>,
    pub(super) directory: tempfile::TempDir,
}

/// A sandbox whose filters get little fuel, so that endless loops end soon.
pub(super) fn bench() -> Bench {
    bench_with(Config { fuel_per_record: 300_000, ..Config::default() })
}

pub(super) fn bench_with(config: Config) -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let sandbox = open(directory.path(), config);
    Bench { sandbox, directory }
}

pub(super) fn open(directory: &Path, config: Config) -> Arc<Sandbox> {
    let disk = Arc::new(RealDisk::open(directory).unwrap());
    Sandbox::open(disk, Arc::new(SimClock::at(0)), config).unwrap()
}

impl Bench {
    pub(super) fn put(&self, name: &str, wat: &str) {
        self.sandbox.put(name, &wat::parse_str(wat).unwrap()).unwrap();
    }

    /// A chain written in JSON.
    pub(super) fn chain(&self, spec: &str) -> Arc<Chain> {
        let spec: ChainSpec = serde_json::from_str(spec).unwrap();
        let record = self.sandbox.resolve(&spec).unwrap();
        self.sandbox.chain(&record).unwrap()
    }

    /// Why a chain is refused.
    pub(super) fn refused(&self, spec: &str) -> String {
        let spec: ChainSpec = serde_json::from_str(spec).unwrap();
        self.sandbox.resolve(&spec).unwrap_err().to_string()
    }
}

/// A record's headers: name, value.
pub(super) type Headers = &'static [(&'static str, &'static str)];

/// Records of these payloads and headers.
pub(super) fn records<'a>(all: &[(&'a [u8], Headers)]) -> Records<'a> {
    let mut records = Records::default();
    for (offset, (payload, headers)) in (100u64..).zip(all) {
        let from = records.headers.len() as u32;
        records.headers.extend(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        let arrival_ns = 1_700_000_000_000_000_000 + offset as i64;
        let timestamp_ms = arrival_ns / 1_000_000;
        let headers = (from, records.headers.len() as u32);
        records.records.push(RecordView { offset, arrival_ns, timestamp_ms, key: None, payload, headers });
    }
    records
}

/// Records of these payloads.
pub(super) fn plain<'a>(payloads: &[&'a [u8]]) -> Records<'a> {
    let all: Vec<(&[u8], Headers)> = payloads.iter().map(|payload| (*payload, &[] as Headers)).collect();
    records(&all)
}

/// A verdict as one line: `store a=1 b="x"`, with the fields in order.
pub(super) fn line(output: &Output<'_>, index: usize) -> String {
    let verdict = &output.verdicts[index];
    let mut text = match &verdict.kind {
        VerdictKind::Store { time_ns, .. } => {
            let mut text = "store".to_owned();
            if let Some(time) = time_ns {
                text.push_str(&format!(" @{}", crate::base::time::format(*time)));
            }
            for cell in output.cells_of(verdict) {
                let value = match cell.value {
                    Value::Str(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
                    Value::Int(value) => value.to_string(),
                    Value::Float(value) => format!("{value:?}"),
                    Value::Bool(value) => value.to_string(),
                };
                text.push_str(&format!(" {}={value}", output.names[cell.name as usize]));
            }
            text
        }
        VerdictKind::Hold => "hold".to_owned(),
        VerdictKind::Drop { reason } => format!("drop {reason:?}"),
        VerdictKind::Fail { filter, reason } => format!("fail {filter}: {reason}"),
    };
    for emission in &verdict.emissions {
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers: Vec<_> =
            emission.headers.iter().map(|(name, value)| format!("{}={}", lossy(name), lossy(value))).collect();
        text.push_str(&format!(" -> {} {:?} [{}]", emission.topic, lossy(emission.payload), headers.join(" ")));
    }
    text
}

/// Runs a chain and gives back a line a record.
pub(super) fn run(chain: &Chain, records: &Records<'_>) -> Vec<String> {
    let arena = Arena::new();
    let output = chain.run(records, &arena, &mut State::default());
    assert_eq!(output.verdicts.len(), records.records.len());
    (0..output.verdicts.len()).map(|index| line(&output, index)).collect()
}
