//! Keyed state against a model that is a plain map, copied whole wherever something may be undone.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::sandbox::state::{Bytes, ENTRY_BYTES, Scope, State};

const LIMIT: usize = 2500;
const KEYS: [&[u8]; 5] = [b"", b"a", b"b", b"ab", b"\0"];

#[derive(Clone, Debug)]
enum Op {
    Put {
        scope: usize,
        key: usize,
        len: usize,
        ttl: i64,
        waits: bool,
    },
    Remove {
        scope: usize,
        key: usize,
    },
    /// A call of these, which goes well or fails.
    Call(Vec<Op>, bool),
    Advance(i64),
    Sweep,
    Expire {
        alone: bool,
    },
    /// What changed is given to the store.
    Given,
    /// It cannot be given: back to what was.
    Undo,
    KeepOnly(usize),
    /// A copy is made and written to.
    Copy,
    /// The box starts again from what it was given.
    Restart,
}

fn write() -> impl Strategy<Value = Op> {
    let put = (0usize..3, 0..KEYS.len(), 0usize..400, prop_oneof![Just(-1i64), 0i64..20], any::<bool>());
    prop_oneof![
        4 => put.prop_map(|(scope, key, len, ttl, waits)| Op::Put { scope, key, len, ttl, waits }),
        1 => (0usize..3, 0..KEYS.len()).prop_map(|(scope, key)| Op::Remove { scope, key }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => write(),
        4 => (proptest::collection::vec(write(), 1..6), any::<bool>()).prop_map(|(ops, well)| Op::Call(ops, well)),
        3 => (0i64..15).prop_map(Op::Advance),
        1 => Just(Op::Sweep),
        2 => any::<bool>().prop_map(|alone| Op::Expire { alone }),
        2 => Just(Op::Given),
        2 => Just(Op::Undo),
        1 => (0usize..3).prop_map(Op::KeepOnly),
        1 => Just(Op::Copy),
        1 => Just(Op::Restart),
    ]
}

/// (scope, key) → (value, deadline, offset where it waits). The deadline of what has none is `i64::MAX`.
type Entries = BTreeMap<(usize, usize), (Vec<u8>, i64, Option<u64>)>;

#[derive(Clone, Debug, Default)]
struct Model {
    entries: Entries,
    /// As it was when something was given last.
    given: Entries,
    numbers: (u64, u64),
    now: i64,
    offset: u64,
}

fn scopes() -> [Scope; 3] {
    [Scope::new("one", 0, 0), Scope::new("one", 1, 0), Scope::new("one", 0, 7)]
}

impl Model {
    fn bytes(&self) -> usize {
        let mut sum = 0;
        for ((_, key), (value, _, waits)) in &self.entries {
            sum += 9 + KEYS[*key].len() + 9 + value.len() + if waits.is_some() { 8 } else { 0 } + ENTRY_BYTES;
        }
        sum
    }

    fn write(&mut self, state: &mut State, op: &Op) -> Result<(), TestCaseError> {
        let scopes = scopes();
        self.offset += 1;
        match *op {
            Op::Put { scope, key, len, ttl, waits } => {
                let value = vec![u8::try_from(self.offset % 251).unwrap(); len];
                let deadline = if ttl < 0 { i64::MAX } else { self.now + ttl };
                let waits = waits.then_some(self.offset);
                let fitted = state.put(&scopes[scope], KEYS[key], &value, (self.now, deadline), waits, LIMIT);
                // Near the limit the state's own entry and what a wait adds decide; a put that fits by far must not be refused.
                if !fitted {
                    self.entries.retain(|_, (_, deadline, waits)| waits.is_some() || *deadline > self.now);
                    let more = value.len() + 300 + ENTRY_BYTES * 2;
                    prop_assert!(self.bytes() + more > LIMIT, "refused although there is room: {} + {more}", self.bytes());
                } else {
                    self.entries.insert((scope, key), (value, deadline, waits));
                }
            }
            Op::Remove { scope, key } => {
                state.remove(&scopes[scope], KEYS[key]);
                self.entries.remove(&(scope, key));
            }
            _ => {}
        }
        Ok(())
    }

    /// What anybody can see must be the same; what is past its time is seen by nobody.
    fn check(&self, state: &State) -> Result<(), TestCaseError> {
        let scopes = scopes();
        for (scope, of) in scopes.iter().enumerate() {
            for (key, bytes) in KEYS.iter().enumerate() {
                let expected = self.entries.get(&(scope, key));
                let expected = expected.filter(|(_, deadline, waits)| waits.is_some() || *deadline > self.now);
                let expected = expected.map(|(value, _, _)| value.as_slice());
                prop_assert_eq!(state.get(of, bytes, self.now), expected, "scope {} key {}", scope, key);
            }
        }
        prop_assert!(state.bytes() <= LIMIT + 2 * ENTRY_BYTES, "{} bytes", state.bytes());
        let next = self.entries.values().filter(|(_, _, waits)| waits.is_some()).map(|(_, deadline, _)| *deadline).min();
        prop_assert_eq!(state.next_deadline(), next);
        prop_assert_eq!(state.next_number(), self.numbers.0);
        Ok(())
    }
}

fn run(ops: &[Op]) -> Result<(), TestCaseError> {
    let mut state = State::default();
    let mut model = Model { now: 1000, ..Model::default() };
    let mut kept: BTreeMap<Bytes, Bytes> = BTreeMap::new();
    for op in ops {
        match op {
            Op::Put { .. } | Op::Remove { .. } => model.write(&mut state, op)?,
            Op::Call(writes, well) => {
                let before = model.entries.clone();
                state.begin_call();
                for write in writes {
                    model.write(&mut state, write)?;
                    model.check(&state)?;
                }
                state.end_call(*well);
                if !well {
                    model.entries = before;
                }
            }
            Op::Advance(by) => model.now += by,
            Op::Sweep => state.sweep(model.now),
            Op::Expire { alone } => {
                let expired = state.take_expired(model.now, 3, usize::MAX, *alone);
                // The earliest, of one scope, in the order of their keys.
                let scopes = scopes();
                let mut due: Vec<_> = model
                    .entries
                    .iter()
                    .filter(|(_, (_, deadline, waits))| waits.is_some() && *deadline <= model.now)
                    .collect();
                due.sort_by_key(|((scope, key), (_, deadline, _))| (*deadline, [0usize, 2, 1][*scope], KEYS[*key]));
                let mut expected = Vec::new();
                for ((scope, key), (value, deadline, waits)) in due {
                    let first: Option<&(usize, usize, Vec<u8>, i64, u64)> = expected.first();
                    if expected.len() == 3 || first.is_some_and(|first| first.0 != *scope || (!alone && first.3 != *deadline)) {
                        break;
                    }
                    expected.push((*scope, *key, value.clone(), *deadline, waits.unwrap()));
                }
                prop_assert_eq!(expired.len(), expected.len());
                for (one, (scope, key, value, deadline, offset)) in expired.iter().zip(expected) {
                    prop_assert_eq!(&one.scope, &scopes[scope]);
                    prop_assert_eq!((&one.value, one.deadline_ns, one.offset), (&value, deadline, offset));
                    prop_assert_eq!(one.number, model.numbers.0);
                    model.numbers.0 += 1;
                    model.entries.remove(&(scope, key));
                }
            }
            Op::Given => {
                for (key, _, now) in state.take_changes().0 {
                    match now {
                        Some(bytes) => kept.insert(key, bytes),
                        None => kept.remove(&key),
                    };
                }
                model.given = model.entries.clone();
                model.numbers.1 = model.numbers.0;
            }
            Op::Undo => {
                // Half of it was taken already.
                let taken = state.take_changes();
                state.set_generation(9);
                state.undo(taken);
                model.entries = model.given.clone();
                model.numbers.0 = model.numbers.1;
            }
            Op::KeepOnly(scope) => {
                state.keep_only(&scopes()[*scope..*scope + 1]);
                model.entries.retain(|(of, _), _| of == scope);
            }
            Op::Copy => {
                let mut copy = state.clone();
                let mut of_copy = model.clone();
                of_copy.write(&mut copy, &Op::Put { scope: 0, key: 1, len: 1, ttl: -1, waits: false })?;
                of_copy.check(&copy)?;
            }
            Op::Restart => {
                state = State::of(kept.clone());
                model.entries = model.given.clone();
                model.numbers.0 = model.numbers.1;
            }
        }
        model.check(&state)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn state_is_a_map_with_deadlines_that_can_be_undone(ops in proptest::collection::vec(op(), 1..60)) {
        run(&ops)?;
    }
}

#[test]
fn a_full_state_forgets_what_is_past_its_time_and_then_refuses() {
    let scope = Scope::new("f", 0, 0);
    let mut state = State::default();
    assert!(state.put(&scope, b"old", &[1; 800], (0, 10), None, LIMIT));
    assert!(state.put(&scope, b"kept", &[2; 800], (0, i64::MAX), None, LIMIT));
    assert!(!state.put(&scope, b"new", &[3; 800], (9, i64::MAX), None, LIMIT), "all of it is in use");
    assert!(state.get(&scope, b"old", 9).is_some());
    assert!(state.put(&scope, b"new", &[3; 800], (10, i64::MAX), None, LIMIT));
    assert!(!state.put(&scope, b"more", &[3; 800], (10, i64::MAX), None, LIMIT));
    assert!(state.put(&scope, b"new", &[4; 900], (10, i64::MAX), None, LIMIT), "what it replaces makes room");
}

#[test]
fn what_is_no_state_is_left_out() {
    let bytes = |bytes: &[u8]| -> Bytes { bytes.into() };
    let state = State::of([
        (bytes(b""), bytes(b"\0")),
        (bytes(b"\x05on"), bytes(b"\0\0\0\0\0\0\0\0\0")),
        (bytes(b"\x01a\0\0\0\0\0k"), bytes(b"\0short")),
        (bytes(b"\x01a\0\0\0\0\0k"), bytes(b"\x01\0\0\0\0\0\0\0\0short")),
    ]);
    assert!(state.is_empty() && state.next_deadline().is_none(), "{state:?}");
}

#[test]
fn what_a_call_can_undo_is_no_larger_than_the_state() {
    let scope = Scope::new("f", 0, 0);
    let mut state = State::default();
    assert!(state.put(&scope, b"kept", &[1; 100], (0, i64::MAX), None, LIMIT));
    state.take_changes();
    state.begin_call();
    for round in 0..1000u32 {
        assert!(state.put(&scope, b"kept", &round.to_le_bytes(), (0, i64::MAX), None, LIMIT));
        assert!(state.put(&scope, &round.to_le_bytes(), &[2; 100], (0, i64::MAX), None, LIMIT));
        state.remove(&scope, &round.to_le_bytes());
        assert_eq!(state.undo_len(), 1, "round {round}");
    }
    state.remove(&scope, b"kept");
    state.end_call(false);
    assert_eq!(state.get(&scope, b"kept", 0), Some(&[1; 100][..]));
    assert!(state.take_changes().0.is_empty());
}
