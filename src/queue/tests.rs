//! Tests of the whole house: against a model on a disk with faults, against another implementation of the batch, against
//! hostile bytes. `SAWBOX_SEEDS` says how many histories the model test runs, and how long the threads of `stress.rs`.

mod behaviour;
mod clients;
mod damage;
mod fuzz;
mod hostile;
mod lifecycle;
mod measure;
mod model;
mod oracle;
mod producers;
mod room;
mod strays;
mod stress;
mod trim;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::batch::{BatchBuilder, Compression, Scratch, check, decode};
use super::{Config, Partition, Queue, QueueError, RecoveryReport, Ticket};
use crate::base::clock::SimClock;
use crate::base::disk::Disk;
use crate::base::ids::Offset;

/// 2026-01-01.
const START_NS: i64 = 1_767_225_600_000_000_000;

fn seeds(default: u64) -> u64 {
    std::env::var("SAWBOX_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// splitmix64: a history follows from its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

fn config() -> Config {
    Config { segment_bytes: "64KiB".parse().unwrap(), writers: 2, ..Config::default() }
}

fn clock() -> Arc<SimClock> {
    Arc::new(SimClock::at(START_NS))
}

fn open(disk: &Arc<impl Disk + 'static>, clock: &Arc<SimClock>, config: Config) -> (Arc<Queue>, RecoveryReport) {
    Queue::open(disk.clone(), clock.clone(), config).expect("opening always succeeds")
}

fn batch(payloads: &[Vec<u8>], compression: Compression) -> Bytes {
    let mut builder = BatchBuilder::new();
    for payload in payloads {
        builder.push(START_NS / 1_000_000, None, payload, &[(b"host", b"web1")]).unwrap();
    }
    builder.finish(compression)
}

fn one(payload: &str) -> Bytes {
    batch(&[payload.as_bytes().to_vec()], Compression::None)
}

/// The batch, as an idempotent producer sends it.
fn stamped(batch: &Bytes, id: i64, epoch: i16, sequence: i32) -> Bytes {
    let mut bytes = batch.to_vec();
    bytes[43..51].copy_from_slice(&id.to_be_bytes());
    bytes[51..53].copy_from_slice(&epoch.to_be_bytes());
    bytes[53..57].copy_from_slice(&sequence.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

/// Appends what was meant for `home` to another partition, as a rule has it.
fn via(home: &Arc<Partition>, to: &Arc<Partition>, batch: Bytes) -> Ticket {
    home.append_via(to, check(&batch).unwrap(), batch)
}

/// All records of a partition, from a random reader's view: small and large reads.
fn read_all(partition: &Partition, max_bytes: usize) -> Vec<(Offset, Vec<u8>)> {
    try_read_all(partition, max_bytes).unwrap()
}

fn try_read_all(partition: &Partition, max_bytes: usize) -> Result<Vec<(Offset, Vec<u8>)>, QueueError> {
    let mut all = Vec::new();
    let (mut from, start) = (0, partition.log_start());
    let mut scratch = Scratch::new();
    loop {
        let batches = partition.read(from, max_bytes)?;
        let Some(last) = batches.last() else { return Ok(all) };
        assert!(last.next_offset > from);
        from = last.next_offset;
        for batch in &batches {
            for record in decode(batch, &mut scratch).unwrap().records {
                // A deletion may lie inside a batch; who reads drops what is below.
                if record.offset >= start {
                    all.push((record.offset, record.payload.to_vec()));
                }
            }
        }
    }
}

fn text(records: &[(Offset, Vec<u8>)]) -> Vec<(Offset, String)> {
    records.iter().map(|(offset, payload)| (*offset, String::from_utf8_lossy(payload).into_owned())).collect()
}

fn by_offset(records: &[(Offset, Vec<u8>)]) -> HashMap<Offset, &[u8]> {
    records.iter().map(|(offset, payload)| (*offset, payload.as_slice())).collect()
}

fn by_payload(records: &[(Offset, Vec<u8>)]) -> HashMap<Vec<u8>, Offset> {
    records.iter().map(|(offset, payload)| (payload.clone(), *offset)).collect()
}
