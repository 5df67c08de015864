//! Answers made of chance: nothing a guest says may make the host panic, or put a value where none may be.

use proptest::prelude::*;
use sawbox_guest::abi::answer::{Answer, EmissionEntry, Head, HeaderEntry, Kind, VerdictEntry};
use sawbox_guest::abi::input::Reader;
use sawbox_guest::abi::{Body, InitAnswer, Operation, ValueEntry};

use super::guests::parrot;
use super::{Arena, Bench, bench, plain};

thread_local! {
    static BENCH: Bench = {
        let bench = bench();
        bench.put("parrot", &parrot());
        bench
    };
}

/// Mostly small, sometimes anything.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![6 => 0u32..4, 3 => 0u32..200, 1 => any::<u32>()]
}

fn value() -> impl Strategy<Value = [u8; 16]> {
    let operation = prop_oneof![Just(Operation::Set), Just(Operation::Add), Just(Operation::Remove), Just(Operation::AddNew)];
    let body = prop_oneof![
        Just(Body::None),
        (number(), number(), number()).prop_map(|(slot, at, len)| Body::Str { slot, at, len }),
        any::<i64>().prop_map(Body::Int),
        any::<u64>().prop_map(|bits| Body::Float(f64::from_bits(bits))),
        any::<bool>().prop_map(Body::Bool),
    ];
    (0u32..5, operation, body).prop_map(|(name, operation, body)| ValueEntry { name, operation, body }.encode())
}

/// An answer to `records` records whose sections lie behind one another, as they would in a payload at `base`.
fn answer(base: u32, records: u32) -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![4 => Just(Kind::Store), 1 => Just(Kind::Drop), 1 => Just(Kind::Fail)];
    let verdict = (kind, any::<bool>(), 0u32..4, (number(), number()), 0u32..2).prop_map(
        |(kind, consumed, values, reason, emissions)| VerdictEntry { kind, consumed, values, reason, emissions, joined: None },
    );
    let emission = ((number(), number()), (number(), number(), number()), 0u32..2, any::<bool>())
        .prop_map(|(topic, payload, headers, with_headers)| EmissionEntry { topic, payload, headers, with_headers });
    let header = ((number(), number()), (number(), number(), number())).prop_map(|(name, value)| HeaderEntry { name, value });
    (
        proptest::collection::vec(verdict, records as usize),
        proptest::collection::vec(value(), 12),
        proptest::collection::vec(emission, 4),
        proptest::collection::vec(header, 4),
        proptest::collection::vec("(_time|message|tags|[a-c]|)", 0..5),
        "[a-z]{0,40}",
        any::<bool>(),
        proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..2),
    )
        .prop_map(move |(verdicts, values, emissions, headers, names, arena, counts, flips)| {
            // Half of the answers say as many values, emissions and headers as there are: they get further.
            let (mut values, mut emissions, mut headers) = (values, emissions, headers);
            if counts {
                values.truncate(verdicts.iter().map(|verdict| verdict.values as usize).sum());
                emissions.truncate(verdicts.iter().map(|verdict| verdict.emissions as usize).sum());
                headers.truncate(emissions.iter().map(|emission| emission.headers as usize).sum());
            }
            let names: Vec<u8> =
                names.iter().flat_map(|name| [&(name.len() as u16).to_le_bytes(), name.as_bytes()].concat()).collect();
            let sections = [
                verdicts.iter().flat_map(VerdictEntry::encode).collect(),
                values.as_flattened().to_vec(),
                names,
                emissions.iter().flat_map(EmissionEntry::encode).collect(),
                headers.iter().flat_map(HeaderEntry::encode).collect(),
                arena.into_bytes(),
            ];
            let mut bytes = vec![0; 64];
            let [verdicts, values, names, emissions, headers, arena] = sections.map(|section: Vec<u8>| {
                let place = (base + bytes.len() as u32, section.len() as u32);
                bytes.extend(section);
                place
            });
            let head = Head { records, verdicts, values, names, emissions, headers, arena };
            bytes[..64].copy_from_slice(&head.encode());
            for (at, byte) in flips {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_guest_answers_rows_stay_rows(bytes in answer(0x10_0000 + 24 + 3 * 48, 3)) {
        BENCH.with(|bench| {
            let chain = bench.chain(r#"[{"filter": "parrot"}]"#);
            let payloads: [&[u8]; 3] = [&bytes, b"second", b"third"];
            let records = plain(&payloads);
            let arena = Arena::new();
            let output = chain.run(&records, &arena, &mut crate::sandbox::State::default());
            prop_assert_eq!(output.verdicts.len(), 3);
            for index in 0..3 {
                let line = super::line(&output, index);
                let cells = output.cells_of(&output.verdicts[index]);
                prop_assert!(cells.iter().all(|cell| (cell.name as usize) < output.names.len()), "{}", line);
                prop_assert!(cells.len() <= 1 + 12 + 1);
            }
            Ok(())
        })?;
    }

    #[test]
    fn decoders_take_anything(memory in proptest::collection::vec(any::<u8>(), 0..300), packed in any::<u64>(), records in 0usize..4) {
        let _ = Answer::decode(&memory, packed, records, 1000);
        let _ = Answer::decode(&memory, u64::from(memory.len() as u32) << 32, records, 1000);
        let _ = InitAnswer::decode(&memory);
        if let Ok(frame) = Reader::new(&memory) {
            for index in 0..frame.len() {
                let record = frame.record(index).unwrap();
                let _ = (frame.bytes(record.payload.0, record.payload.1), frame.values(&record), frame.name(index as u32));
            }
        }
    }

    #[test]
    fn value_entries_come_back(bytes in value()) {
        let entry = ValueEntry::decode(&bytes).unwrap();
        prop_assert_eq!(entry.encode(), bytes);
    }
}
