//! What stands for the host when a filter runs natively: patterns, lookups and keyed state, a set a thread.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::abi::import::{NO_ANSWER, NOTHING};

/// A host's patterns, for tests. The meaning of arguments and results is that of the imports in [`crate::abi::import`].
pub trait Patterns {
    /// `pattern_compile`
    fn compile(&mut self, kind: u32, text: &str) -> i32;
    /// `pattern_describe`; for handle -1, the text of the last error.
    fn describe(&mut self, handle: i32, out: &mut [u8]) -> i32;
    /// `pattern_match`; `out` is a whole number of spans.
    fn find(&mut self, handle: i32, bytes: &[u8], out: &mut [u8]) -> i32;
}

/// What a lookup of a test answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This value.
    Value(Vec<u8>),
    /// Nothing is known.
    Nothing,
    /// There was no answer in time.
    NoAnswer,
}

type Ask = Box<dyn Fn(&[u8]) -> Answer>;

#[derive(Default)]
struct Host {
    patterns: Option<Box<dyn Patterns>>,
    lookups: Vec<(String, Ask)>,
    /// Value, and the arrival time after which it is gone.
    state: HashMap<Vec<u8>, (Vec<u8>, Option<i64>)>,
    /// The last error, where it was not one of the patterns'.
    error: Option<String>,
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::default();
}

/// Gives this thread's filters their patterns.
pub fn set_patterns(patterns: Box<dyn Patterns>) {
    HOST.with_borrow_mut(|host| host.patterns = Some(patterns));
}

/// Gives this thread's filters a lookup of this kind and argument.
pub fn set_lookup(kind: &str, argument: &str, ask: impl Fn(&[u8]) -> Answer + 'static) {
    let name = format!("{kind}\0{argument}");
    HOST.with_borrow_mut(|host| match host.lookups.iter_mut().find(|(known, _)| *known == name) {
        Some((_, old)) => *old = Box::new(ask),
        None => host.lookups.push((name, Box::new(ask))),
    });
}

/// Forgets the keyed state of this thread's filters.
pub fn clear_state() {
    HOST.with_borrow_mut(|host| host.state.clear());
}

pub(crate) fn with_patterns(use_them: impl FnOnce(&mut dyn Patterns) -> i32) -> i32 {
    HOST.with_borrow_mut(|host| {
        host.error = None;
        match &mut host.patterns {
            Some(patterns) => use_them(patterns.as_mut()),
            None => NOTHING,
        }
    })
}

fn give(value: &[u8], out: &mut [u8]) -> i32 {
    if let Some(place) = out.get_mut(..value.len()) {
        place.copy_from_slice(value);
    }
    i32::try_from(value.len()).unwrap_or(i32::MAX)
}

pub(crate) fn last_error(out: &mut [u8]) -> i32 {
    HOST.with_borrow_mut(|host| match (&host.error, &mut host.patterns) {
        (Some(error), _) => give(error.as_bytes(), out),
        (None, Some(patterns)) => patterns.describe(-1, out),
        (None, None) => 0,
    })
}

pub(crate) fn lookup_open(text: &[u8]) -> i32 {
    HOST.with_borrow_mut(|host| {
        let found = host.lookups.iter().position(|(name, _)| name.as_bytes() == text);
        if found.is_none() {
            let name = String::from_utf8_lossy(text).replace('\0', " ");
            host.error = Some(format!("this test has no lookup {name}: see testing::set_lookup"));
        }
        found.and_then(|index| i32::try_from(index).ok()).unwrap_or(NOTHING)
    })
}

pub(crate) fn lookup_get(handle: i32, key: &[u8], out: &mut [u8]) -> i32 {
    HOST.with_borrow(|host| {
        let lookup = usize::try_from(handle).ok().and_then(|handle| host.lookups.get(handle));
        match lookup.map_or(Answer::Nothing, |(_, ask)| ask(key)) {
            Answer::Value(value) => give(&value, out),
            Answer::Nothing => NOTHING,
            Answer::NoAnswer => NO_ANSWER,
        }
    })
}

pub(crate) fn state_get(arrival_ns: i64, key: &[u8], out: &mut [u8]) -> i32 {
    HOST.with_borrow(|host| match host.state.get(key) {
        Some((value, end)) if end.is_none_or(|end| arrival_ns < end) => give(value, out),
        Some(_) | None => NOTHING,
    })
}

pub(crate) fn state_put(arrival_ns: i64, key: &[u8], value: &[u8], ttl_ms: i64) -> i32 {
    let end = (ttl_ms >= 0).then(|| arrival_ns.saturating_add(ttl_ms.saturating_mul(1_000_000)));
    HOST.with_borrow_mut(|host| host.state.insert(key.to_vec(), (value.to_vec(), end)));
    0
}

pub(crate) fn state_remove(key: &[u8]) -> i32 {
    HOST.with_borrow_mut(|host| host.state.remove(key));
    0
}
