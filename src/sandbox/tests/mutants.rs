//! Modules made of chance: stock modules and guests of these tests with some bytes changed. Most are refused. Those that are
//! filters by all we can see are run, under limits: whatever they say, the host stands, and their memory and fuel stay bounded.
//! And frames made of chance, from the test vectors.

use std::panic::AssertUnwindSafe;
use std::sync::Mutex;

use bolero::TypeGenerator;
use sawbox_guest::abi::answer::{Answer, EmissionEntry, HeaderEntry, VerdictEntry};
use sawbox_guest::abi::input::Reader;
use sawbox_guest::abi::{InitAnswer, Names, ValueEntry, pack};

use super::guests::{choosy, guest, parrot};
use super::{Arena, Bench, bench_with, plain};
use crate::base::units::Bytes;
use crate::sandbox::{ChainSpec, Config, EntrySpec, FilterError, stock};

/// A change to bytes; the places are parts of the whole.
#[derive(Clone, Debug, TypeGenerator)]
enum Edit {
    Set(u16, u8),
    Flip(u16, u8),
    Insert(u16, u8),
    Remove(u16),
    Copy(u16, u16, u8),
}

fn edit(bytes: &mut Vec<u8>, edits: &[Edit]) {
    for edit in edits {
        if bytes.is_empty() {
            return;
        }
        let len = bytes.len();
        let place = |part: u16| usize::from(part) * len / 65_536;
        match *edit {
            Edit::Set(at, byte) => bytes[place(at)] = byte,
            Edit::Flip(at, bit) => bytes[place(at)] ^= 1 << (bit % 8),
            Edit::Insert(at, byte) => bytes.insert(place(at), byte),
            Edit::Remove(at) => {
                bytes.remove(place(at));
            }
            Edit::Copy(from, to, count) => {
                let (from, to) = (place(from), place(to));
                let count = usize::from(count).min(len - from).min(len - to);
                bytes.copy_within(from..from + count, to);
            }
        }
    }
}

const MEMORY: u64 = 8 << 20;

fn a_bench() -> Bench {
    bench_with(Config {
        fuel_per_record: 100_000,
        fuel_to_start: 2_000_000,
        memory: Bytes(MEMORY),
        memory_interpreter: Bytes(MEMORY),
        ..Config::default()
    })
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = [guest(""), choosy(), parrot()].iter().map(|wat| wat::parse_str(wat).unwrap()).collect();
    // The smallest of the stock filters: a compilation for each that validates.
    let smallest = stock::FILTERS.iter().min_by_key(|(.., bytes)| bytes).unwrap().0;
    seeds.push(stock::module(smallest).unwrap());
    seeds
}

#[test]
fn fuzz_mutated_modules() {
    // A panic ends the test: nobody looks at the bench after it.
    let bench = AssertUnwindSafe(a_bench());
    let seeds = seeds();
    let seen = Mutex::new([0_u32; 3]);
    bolero::check!().with_iterations(300).with_type::<(u8, [Edit; 3], u8)>().for_each(|(seed, edits, count)| {
        let whole = &*bench;
        let mut wasm = seeds[usize::from(*seed) % seeds.len()].clone();
        // Behind the head, so that it stays a module; one or two edits more often than three.
        let mut body = wasm.split_off(8);
        edit(&mut body, &edits[..1 + usize::from(*count) * 3 / 256]);
        wasm.extend(body);
        let ran = match whole.sandbox.put("mutant", &wasm) {
            Err(FilterError::Refused(_)) => 0,
            Err(other) => panic!("{other}"),
            Ok(_) => 1 + u32::from(runs(whole)),
        };
        seen.lock().unwrap()[ran as usize] += 1;
    });
    let seen = seen.into_inner().unwrap();
    assert!(seen[0] > 0 && seen[2] > 0, "refused, not started, run: {seen:?}");
    let counters = bench.sandbox.counters();
    let mutant = counters.iter().find(|counters| counters.filter == "mutant").unwrap();
    assert!(mutant.memory_bytes <= MEMORY, "{mutant:?}");
}

/// Runs the mutant, if it starts, in a chain before an honest filter.
fn runs(bench: &Bench) -> bool {
    let entry = |filter: &str| EntrySpec { filter: filter.into(), ..EntrySpec::default() };
    let Ok(record) = bench.sandbox.resolve(&ChainSpec(vec![entry("mutant"), entry("json")])) else { return false };
    let Ok(chain) = bench.sandbox.chain(&record) else { return false };
    for round in 0..2 {
        let arena = Arena::new();
        let records = plain(&[b"{\"a\": 1}", b"Loop", b"", &[0xff; 300]]);
        let output = chain.run(&records, &arena, &mut crate::sandbox::State::default());
        assert_eq!(output.verdicts.len(), 4, "round {round}");
        for index in 0..4 {
            let cells = output.cells_of(&output.verdicts[index]);
            assert!(cells.iter().all(|cell| (cell.name as usize) < output.names.len()));
            let _told = super::line(&output, index);
        }
        // Three tries of each record at most, and what a call is given for its bytes.
        assert!(output.stats.fuel <= 4 * 3 * 200_000, "{}", output.stats.fuel);
    }
    true
}

/// The vectors of the ABI.
const VECTORS: [&[u8]; 12] = [
    include_bytes!("../../../guest-sdk/vectors/init-ready.bin"),
    include_bytes!("../../../guest-sdk/vectors/init-state.bin"),
    include_bytes!("../../../guest-sdk/vectors/init-refused.bin"),
    include_bytes!("../../../guest-sdk/vectors/input-empty.bin"),
    include_bytes!("../../../guest-sdk/vectors/input-reads.bin"),
    include_bytes!("../../../guest-sdk/vectors/input-all.bin"),
    include_bytes!("../../../guest-sdk/vectors/answer-values.bin"),
    include_bytes!("../../../guest-sdk/vectors/answer-reasons.bin"),
    include_bytes!("../../../guest-sdk/vectors/answer-emissions.bin"),
    include_bytes!("../../../guest-sdk/vectors/refused-half.bin"),
    include_bytes!("../../../guest-sdk/vectors/refused-outside.bin"),
    include_bytes!("../../../guest-sdk/vectors/refused-verdict.bin"),
];

#[test]
fn fuzz_frames() {
    let read = Mutex::new([0_u32; 2]);
    bolero::check!().with_iterations(10_000).with_type::<(u8, Vec<Edit>, u64, u8)>().for_each(
        |(seed, edits, packed, records)| {
            let mut bytes = VECTORS[usize::from(*seed) % VECTORS.len()].to_vec();
            edit(&mut bytes, &edits[..edits.len().min(4)]);
            let whole = pack(0, u32::try_from(bytes.len()).unwrap());
            for packed in [whole, *packed] {
                let Ok(answer) = Answer::decode(&bytes, packed, usize::from(*records % 4), 1000) else { continue };
                let sections = [answer.names, answer.arena, answer.values.as_flattened(), answer.verdicts.as_flattened()];
                assert!(sections.iter().map(|section| section.len()).sum::<usize>() <= 1000);
                let _verdicts: Vec<_> = answer.verdicts.iter().map(VerdictEntry::decode).collect();
                let _values: Vec<_> = answer.values.iter().map(ValueEntry::decode).collect();
                let _emissions: Vec<_> = answer.emissions.iter().map(EmissionEntry::decode).collect();
                let _headers: Vec<_> = answer.headers.iter().map(HeaderEntry::decode).collect();
                let _names: Vec<_> = Names(answer.names).collect();
                read.lock().unwrap()[0] += 1;
            }
            let _init = InitAnswer::decode(&bytes);
            let Ok(frame) = Reader::new(&bytes) else { return };
            for index in 0..frame.len() {
                let Some(record) = frame.record(index) else { panic!("a record that is counted is there") };
                let payload = frame.bytes(record.payload.0, record.payload.1);
                assert!(payload.len() <= bytes.len());
                let _values: Vec<_> = frame.values(&record).iter().map(ValueEntry::decode).collect();
            }
            let _names: Vec<_> = (0..frame.names().min(100)).map(|name| frame.name(name as u32)).collect();
            read.lock().unwrap()[1] += 1;
        },
    );
    let read = read.into_inner().unwrap();
    assert!(read.iter().all(|count| *count > 0), "{read:?}");
}
