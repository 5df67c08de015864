//! What a filter or a chain costs: nanoseconds, fuel and bytes a second, at calls of several sizes.
//!
//! In: a filter or a chain, payloads, and whoever measures brings the clock (time of this thread's own work, so that other
//! load on the machine does not count). Out: [`Report`]. What is measured is the whole way of a call: the frame that goes in, the
//! filter under fuel, the checks of the answer, the rows.
//!
//! Limits: [`RECORDS`] records at most; more would only measure the processor's caches.

use std::time::Duration;

use serde::Serialize;

use super::Lone;
use crate::base::limits::CALL_RECORDS;
use crate::base::record::{RecordView, Records};
use crate::sandbox::{Arena, State, VerdictKind};

/// Most records that are taken.
pub const RECORDS: usize = 16_384;
/// Rounds of which the best counts: anything slower was disturbed.
const ROUNDS: u32 = 5;

/// What was measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// How many different records were used.
    pub records: usize,
    /// Their mean length.
    pub bytes_a_record: f64,
    /// Of them, those that were stored, dropped, failed and held.
    pub verdicts: [usize; 4],
    /// One for each size of call.
    pub calls: Vec<Measured>,
}

/// What one size of call costs.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Measured {
    /// Records a call.
    pub call_records: usize,
    /// Nanoseconds a record, of the best round.
    pub ns: f64,
    /// Fuel a record.
    pub fuel: u64,
    /// Megabytes of payload a second.
    pub mb_a_second: f64,
}

/// Measures. `now_ns` is the clock; each size of call is run for about twice `each`. The records come in batches, as to a lane.
pub fn run(lone: &Lone, payloads: &[Vec<u8>], now_ns: &mut dyn FnMut() -> u64, calls: &[usize], each: Duration) -> Report {
    let all: Vec<&Vec<u8>> = payloads.iter().cycle().take(payloads.len().clamp(CALL_RECORDS, RECORDS)).collect();
    // One behind the other, as a batch has them.
    let text: Vec<u8> = all.iter().flat_map(|payload| payload.iter().copied()).collect();
    let mut rest = text.as_slice();
    let all: Vec<&[u8]> = all.iter().map(|payload| rest.split_off(..payload.len()).unwrap_or_default()).collect();
    let batches: Vec<Records<'_>> = all.chunks(CALL_RECORDS).map(batch).collect();
    let count = all.len().max(1);
    let bytes: usize = all.iter().map(|payload| payload.len()).sum();
    #[allow(clippy::cast_precision_loss)]
    let (as_records, as_bytes) = (count as f64, bytes as f64);
    let mut report = Report { records: payloads.len().min(count), bytes_a_record: as_bytes / as_records, ..Report::default() };
    let mut arena = Arena::new();
    for &call_records in calls {
        let mut fuel = 0;
        let mut once = |arena: &mut Arena, verdicts: &mut [usize; 4]| {
            *verdicts = [0; 4];
            fuel = 0;
            let mut state = State::default();
            for batch in &batches {
                let output = lone.run(batch, arena, &mut state, call_records);
                for verdict in &output.verdicts {
                    verdicts[match verdict.kind {
                        VerdictKind::Store { .. } => 0,
                        VerdictKind::Drop { .. } => 1,
                        VerdictKind::Fail { .. } => 2,
                        VerdictKind::Hold => 3,
                    }] += 1;
                }
                fuel += output.stats.fuel;
                drop(output);
                arena.reset();
            }
            fuel /= count as u64;
        };
        // The first run compiles patterns and warms the caches; then as often as the clock can tell: one that counts what a
        // thread ran moves on by milliseconds.
        once(&mut arena, &mut report.verdicts);
        let round_ns = u64::try_from(each.as_nanos()).unwrap_or(u64::MAX) / u64::from(ROUNDS);
        let mut repeat = 1u32;
        let mut best = u64::MAX;
        let mut round = 0;
        while round < ROUNDS {
            let start = now_ns();
            for _ in 0..repeat {
                once(&mut arena, &mut report.verdicts);
            }
            let took = now_ns().saturating_sub(start);
            if took < round_ns && repeat < 1 << 20 {
                repeat *= 2;
                continue;
            }
            best = best.min(took / u64::from(repeat));
            // A slow filter is not run for minutes.
            round += if took > round_ns.saturating_mul(2) { 2 } else { 1 };
        }
        #[allow(clippy::cast_precision_loss)]
        let took = best.max(1) as f64;
        report.calls.push(Measured { call_records, ns: took / as_records, fuel, mb_a_second: as_bytes * 1000.0 / took });
    }
    report
}

/// Records of these payloads, which arrived together.
fn batch<'p>(payloads: &[&'p [u8]]) -> Records<'p> {
    let arrival_ns = 1_767_225_600_000_000_000;
    let record = |(offset, payload): (u64, &&'p [u8])| RecordView {
        offset,
        arrival_ns,
        timestamp_ms: arrival_ns / 1_000_000,
        key: None,
        payload,
        headers: (0, 0),
    };
    Records { records: (0..).zip(payloads).map(record).collect(), ..Records::default() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use serde_json::Map;

    #[test]
    fn every_size_of_call_is_measured() {
        let bench = crate::sandbox::tests::bench();
        let access = crate::sandbox::stock::module("access-log").unwrap();
        let lone = super::Lone::new(&bench.sandbox, &access, &Map::new(), &Map::new()).unwrap();
        let mut now = 0;
        let mut clock = || {
            now += 1_000_000;
            now
        };
        let lines = vec![b"no such line".to_vec(); 3];
        let report = super::run(&lone, &lines, &mut clock, &[1, 64], Duration::ZERO);
        assert_eq!(report.records, 3);
        assert_eq!(report.verdicts.iter().sum::<usize>(), 1024);
        let sizes: Vec<usize> = report.calls.iter().map(|measured| measured.call_records).collect();
        assert_eq!(sizes, [1, 64]);
        assert!(report.calls.iter().all(|measured| measured.fuel > 100 && measured.ns > 0.0 && measured.mb_a_second > 0.0));
    }
}
