//! Runs a filter natively, over real frames, so that `cargo test` tests it without any Wasm.
//!
//! The [`Harness`] does in a small way what the host does: writes input frames with only what the filter reads, and applies the
//! answers. What the host would do besides comes from what [`set_patterns`] and [`set_lookup`] were given, a set a thread, and
//! keyed state is a map of the thread's.

pub mod fixtures;
mod host;
mod toml;

pub use host::{Answer as LookupAnswer, Patterns, clear_state, set_lookup, set_patterns};
pub(crate) use host::{last_error, lookup_get, lookup_open, state_get, state_put, state_remove, state_wait, with_patterns};

use crate::abi::answer::{Answer, EmissionEntry, HeaderEntry, Kind, VerdictEntry, WHOLE};
use crate::abi::input::{RecordEntry, Size, Writer};
use crate::abi::{Body, InitAnswer, Names, Operation, ValueEntry, pack, slice};
use crate::guest::{Filter, Guest};

/// A value that is its own.
#[derive(Clone, Debug, PartialEq)]
pub enum Owned {
    /// A string.
    Str(Vec<u8>),
    /// A whole number.
    Int(i64),
    /// A decimal number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
}

impl From<&str> for Owned {
    fn from(text: &str) -> Self {
        Owned::Str(text.into())
    }
}

impl From<i64> for Owned {
    fn from(value: i64) -> Self {
        Owned::Int(value)
    }
}

impl From<f64> for Owned {
    fn from(value: f64) -> Self {
        Owned::Float(value)
    }
}

impl From<bool> for Owned {
    fn from(value: bool) -> Self {
        Owned::Bool(value)
    }
}

/// A record to try a filter on.
#[derive(Clone, Debug, Default)]
pub struct Input {
    payload: Vec<u8>,
    arrival_ns: i64,
    fields: Vec<(String, Owned)>,
    /// Its offset, where it is not its place in the call.
    offset: Option<u64>,
    /// Whether it is an expired entry of the state.
    expired: bool,
}

impl Input {
    /// A record with this payload and no fields.
    pub fn new(payload: impl AsRef<[u8]>) -> Self {
        Self { payload: payload.as_ref().to_vec(), ..Self::default() }
    }

    /// With a field that a receiver or a filter before set.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Into<Owned>) -> Self {
        self.fields.push((name.to_owned(), value.into()));
        self
    }

    /// With an offset; else it is the place in the call.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// With an arrival time.
    #[must_use]
    pub fn arrived(mut self, ns: i64) -> Self {
        self.arrival_ns = ns;
        self
    }
}

/// What the filter decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It goes on.
    Store,
    /// Left out.
    Drop,
    /// Not handled.
    Fail,
    /// Kept in the filter's state.
    Hold,
}

/// An emission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emitted {
    /// To which topic.
    pub topic: String,
    /// What it carries.
    pub payload: Vec<u8>,
    /// Whether the record's own headers go with it.
    pub with_headers: bool,
    /// The headers it was given.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// A record after the filter.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What became of it.
    pub decision: Decision,
    /// Why, where it was dropped or failed.
    pub reason: String,
    /// Whether the fields say all that the payload says.
    pub consumed: bool,
    /// All fields: those it came with, as the filter changed them. Lists are several of one name.
    pub fields: Vec<(String, Owned)>,
    /// The row's time.
    pub time_ns: Option<i64>,
    /// Emissions.
    pub emissions: Vec<Emitted>,
    /// Where the row is made of records that were held: the offset of the last of them, and the payload.
    pub joined: Option<(u64, Vec<u8>)>,
    /// Bytes of the answer's arena that this call used: 0 when everything was cut.
    pub built_bytes: usize,
}

impl Outcome {
    /// The first value of a field.
    pub fn get(&self, name: &str) -> Option<&Owned> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// All values of a field.
    pub fn all(&self, name: &str) -> Vec<&Owned> {
        self.fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value).collect()
    }

    /// A string field as text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Owned::Str(bytes) => std::str::from_utf8(bytes).ok(),
            Owned::Int(_) | Owned::Float(_) | Owned::Bool(_) => None,
        }
    }

    /// A whole-number field.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Owned::Int(value) => Some(*value),
            Owned::Str(_) | Owned::Float(_) | Owned::Bool(_) => None,
        }
    }
}

/// A filter that was made from a configuration.
#[derive(Debug)]
pub struct Harness<F> {
    guest: Guest<F>,
    reads: Vec<String>,
    reads_all: bool,
    needs_payload: bool,
}

impl<F: Filter> Harness<F> {
    /// Makes the filter.
    ///
    /// # Errors
    /// What the filter says against its configuration.
    pub fn new(config: &str) -> Result<Self, String> {
        let mut guest = Guest::default();
        guest.configure(config.as_bytes());
        let answer = guest.answer().0.to_vec();
        match InitAnswer::decode(&answer).map_err(|error| error.to_string())? {
            InitAnswer::Refused(reason) => Err(String::from_utf8_lossy(reason).into_owned()),
            InitAnswer::Ready { needs_payload, reads_all, reads, .. } => {
                let reads = Names(reads).flatten().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
                Ok(Self { guest, reads, reads_all, needs_payload })
            }
        }
    }

    /// Runs it on one payload without fields.
    pub fn one(&mut self, payload: impl AsRef<[u8]>) -> Outcome {
        self.run(&[Input::new(payload)]).remove(0)
    }

    /// Gives it what waited in its state until this time ([`crate::State::wait`]), as the host would before the first record that
    /// arrived then.
    pub fn expire(&mut self, now_ns: i64) -> Vec<Outcome> {
        let input = |(deadline, offset, value): (i64, u64, Vec<u8>)| Input {
            expired: true,
            ..Input::new(value).at(offset).arrived(deadline)
        };
        let inputs: Vec<Input> = host::expired(now_ns).into_iter().map(input).collect();
        if inputs.is_empty() { Vec::new() } else { self.run(&inputs) }
    }

    /// Runs it on records, in one call.
    ///
    /// # Panics
    /// When a frame is not as it should be: a defect of the SDK.
    #[allow(clippy::unwrap_used, clippy::expect_used)]
    pub fn run(&mut self, inputs: &[Input]) -> Vec<Outcome> {
        let seen: Vec<Input> = inputs.iter().map(|input| self.with_message(input)).collect();
        let frame = self.frame(&seen);
        self.guest.run(&frame);
        let (_, sections, _) = self.guest.answer();
        // Natively an address means nothing: lay the sections back to back behind a head that says where.
        let mut memory = vec![0; crate::abi::answer::HEAD_BYTES];
        let mut next = memory.len();
        let head = sections.head(|section| {
            let at = next;
            next += section.len();
            u32::try_from(at).expect("a small answer")
        });
        memory.copy_from_slice(&head.encode());
        for section in sections.all() {
            memory.extend_from_slice(section);
        }
        let answer = Answer::decode(&memory, pack(0, 64), inputs.len(), usize::MAX).unwrap();
        let names: Vec<String> = Names(answer.names).map(|name| String::from_utf8_lossy(name.unwrap()).into_owned()).collect();
        let (mut values, mut emissions, mut headers) = (answer.values, answer.emissions, answer.headers);
        let mut outcomes = Vec::new();
        for ((place, (input, given)), verdict) in (0u64..).zip(seen.iter().zip(inputs)).zip(answer.verdicts) {
            let verdict = VerdictEntry::decode(verdict).unwrap();
            let seen = self.seen(input);
            let find = |(slot, at, len): (u32, u32, u32)| -> Vec<u8> {
                match slot {
                    0 if len == WHOLE => input.payload.clone(),
                    0 => slice(&input.payload, at, len).unwrap().to_vec(),
                    1 => slice(answer.arena, at, len).unwrap().to_vec(),
                    value => match &input.fields[seen[value as usize - 2].1].1 {
                        Owned::Str(bytes) => slice(bytes, at, len).unwrap().to_vec(),
                        other => panic!("a span of {other:?}"),
                    },
                }
            };
            let mut outcome = Outcome {
                decision: match verdict.kind {
                    Kind::Store => Decision::Store,
                    Kind::Drop => Decision::Drop,
                    Kind::Fail => Decision::Fail,
                    Kind::Hold => Decision::Hold,
                },
                reason: String::new(),
                consumed: verdict.consumed,
                fields: given.fields.clone(),
                time_ns: None,
                emissions: Vec::new(),
                joined: None,
                built_bytes: answer.arena.len(),
            };
            let reason = find((1, verdict.reason.0, verdict.reason.1));
            match verdict.joined {
                Some(back) => {
                    outcome.fields.clear();
                    outcome.joined = Some((input.offset.unwrap_or(place) - u64::from(back), reason));
                }
                None => outcome.reason = String::from_utf8(reason).unwrap(),
            }
            let (mine, rest) = values.split_at(verdict.values as usize);
            values = rest;
            for value in mine {
                let value = ValueEntry::decode(value).unwrap();
                let body = match value.body {
                    Body::None => None,
                    Body::Str { slot, at, len } => Some(Owned::Str(find((slot, at, len)))),
                    Body::Int(value) => Some(Owned::Int(value)),
                    Body::Float(value) => Some(Owned::Float(value)),
                    Body::Bool(value) => Some(Owned::Bool(value)),
                };
                outcome.apply(&names[value.name as usize], value.operation, body);
            }
            let (mine, rest) = emissions.split_at(verdict.emissions as usize);
            emissions = rest;
            for emission in mine {
                let emission = EmissionEntry::decode(emission);
                let text = |(at, len)| String::from_utf8(find((1, at, len))).unwrap();
                let (mine, rest) = headers.split_at(emission.headers as usize);
                headers = rest;
                let headers = mine.iter().map(HeaderEntry::decode).map(|entry| (text(entry.name), find(entry.value)));
                outcome.emissions.push(Emitted {
                    topic: text(emission.topic),
                    payload: find(emission.payload),
                    with_headers: emission.with_headers,
                    headers: headers.collect(),
                });
            }
            outcomes.push(outcome);
        }
        outcomes
    }

    /// As the host does: where a filter asks for the message, the payload is it until there is one.
    fn with_message(&self, input: &Input) -> Input {
        let mut input = input.clone();
        let asks = self.reads_all || self.reads.iter().any(|name| name == "message");
        if asks && !input.fields.iter().any(|(name, _)| name == "message") {
            input.fields.push(("message".to_owned(), Owned::Str(input.payload.clone())));
        }
        input
    }

    /// Which of a record's fields the filter is given: (number of the name, index of the field).
    fn seen(&self, input: &Input) -> Vec<(usize, usize)> {
        let number = |name: &String| {
            if self.reads_all {
                input.fields.iter().position(|(field, _)| field == name)
            } else {
                self.reads.iter().position(|read| read == name)
            }
        };
        input.fields.iter().enumerate().filter_map(|(index, (name, _))| Some((number(name)?, index))).collect()
    }

    #[allow(clippy::unwrap_used)]
    fn frame(&self, inputs: &[Input]) -> Vec<u8> {
        // The names of all records' fields, where the filter reads all of them.
        let mut names: Vec<&str> = Vec::new();
        let expired = inputs.iter().filter(|input| input.expired).count();
        let mut size = Size { records: inputs.len(), expired, ..Size::default() };
        for input in inputs {
            size.bytes += input.payload.len();
            for (_, field) in self.seen(input) {
                let (name, value) = &input.fields[field];
                size.values += 1;
                if let Owned::Str(bytes) = value {
                    size.bytes += bytes.len();
                }
                if self.reads_all && !names.contains(&name.as_str()) {
                    names.push(name);
                    size.names += 1;
                    size.bytes += name.len();
                }
            }
        }
        let mut frame = vec![0; size.frame_bytes().unwrap() as usize];
        let mut writer = Writer::new(&mut frame, size).unwrap();
        for name in &names {
            writer.name(name.as_bytes());
        }
        for (offset, input) in (0u64..).zip(inputs) {
            let payload: &[u8] = if self.needs_payload || input.expired { &input.payload } else { &[] };
            let payload = (writer.bytes(payload), u32::try_from(payload.len()).unwrap());
            let first = writer.values();
            for (number, field) in self.seen(input) {
                let (name, value) = &input.fields[field];
                let number = if self.reads_all { names.iter().position(|known| known == name).unwrap() } else { number };
                let body = match value {
                    Owned::Str(bytes) => {
                        Body::Str { slot: 0, at: writer.bytes(bytes), len: u32::try_from(bytes.len()).unwrap() }
                    }
                    Owned::Int(value) => Body::Int(*value),
                    Owned::Float(value) => Body::Float(*value),
                    Owned::Bool(value) => Body::Bool(*value),
                };
                writer.value(&ValueEntry { name: u32::try_from(number).unwrap(), operation: Operation::Set, body });
            }
            let values = (first, writer.values() - first);
            let arrival_ns = input.arrival_ns;
            let timestamp_ms = arrival_ns / 1_000_000;
            let offset = input.offset.unwrap_or(offset);
            writer.record(&RecordEntry { offset, arrival_ns, timestamp_ms, time_ns: None, payload, values });
        }
        let len = writer.finish().unwrap() as usize;
        frame.truncate(len);
        frame
    }
}

impl Outcome {
    fn apply(&mut self, name: &str, operation: Operation, value: Option<Owned>) {
        if name == "_time" {
            self.time_ns = match value {
                Some(Owned::Int(ns)) => Some(ns),
                _ => self.time_ns,
            };
            return;
        }
        if matches!(operation, Operation::Set | Operation::Remove) {
            self.fields.retain(|(field, _)| field != name);
        }
        if let Some(value) = value {
            let there = operation == Operation::AddNew && self.all(name).contains(&&value);
            if !there {
                self.fields.push((name.to_owned(), value));
            }
        }
    }
}
