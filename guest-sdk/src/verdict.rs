//! What a filter decides: fields, store or not, emissions. Collected into the sections of an answer frame.

use crate::abi::answer::{
    EMISSION_BYTES, EmissionEntry, HEADER_BYTES, Head, HeaderEntry, Kind, VERDICT_BYTES, VerdictEntry, WHOLE,
};
use crate::abi::{Body, Operation, SLOT_ARENA, SLOT_PAYLOAD, SLOT_VALUES, VALUE_BYTES, ValueEntry, high, low, pack, slice};
use crate::field::Field;
use crate::names::{Name, Remembered, Table, ToName};
use crate::record::{Record, Value};

/// The sections of an answer, reused from call to call.
#[derive(Debug, Default)]
pub(crate) struct Sections {
    pub(crate) names: Table,
    time: Remembered,
    verdicts: Vec<[u8; VERDICT_BYTES]>,
    values: Vec<[u8; VALUE_BYTES]>,
    emissions: Vec<[u8; EMISSION_BYTES]>,
    headers: Vec<[u8; HEADER_BYTES]>,
    arena: Vec<u8>,
}

impl Sections {
    pub(crate) fn begin_call(&mut self) {
        self.names.begin_call();
        self.verdicts.clear();
        self.values.clear();
        self.emissions.clear();
        self.headers.clear();
        self.arena.clear();
    }

    /// In the order in which they stand in the head.
    pub(crate) fn all(&self) -> [&[u8]; 6] {
        [
            self.verdicts.as_flattened(),
            self.values.as_flattened(),
            &self.names.section,
            self.emissions.as_flattened(),
            self.headers.as_flattened(),
            &self.arena,
        ]
    }

    /// The head, where `address` tells where a section lies.
    pub(crate) fn head(&self, mut address: impl FnMut(&[u8]) -> u32) -> Head {
        let [verdicts, values, names, emissions, headers, arena] =
            self.all().map(|section| (address(section), small(section.len())));
        Head { records: small(self.verdicts.len()), verdicts, values, names, emissions, headers, arena }
    }
}

/// Lengths within a guest's memory fit 32 bits.
fn small(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// What an emission carries.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// The record's own payload, as it arrived.
    Original,
    /// These bytes: a slice of the payload or of a field, or built.
    Bytes(&'a [u8]),
}

/// The verdict on one record. Left alone it means: store, with the fields as they were.
#[derive(Debug)]
pub struct Verdict<'v> {
    sections: &'v mut Sections,
    record: &'v Record<'v>,
    entry: VerdictEntry,
    values_before: usize,
    emissions_before: usize,
}

impl<'v> Verdict<'v> {
    pub(crate) fn new(sections: &'v mut Sections, record: &'v Record<'v>) -> Self {
        let (values_before, emissions_before) = (sections.values.len(), sections.emissions.len());
        let entry = VerdictEntry { kind: Kind::Store, consumed: false, values: 0, reason: (0, 0), emissions: 0, joined: None };
        Self { sections, record, entry, values_before, emissions_before }
    }

    #[inline]
    pub(crate) fn finish(self) {
        let values = small(self.sections.values.len() - self.values_before);
        let emissions = small(self.sections.emissions.len() - self.emissions_before);
        self.sections.verdicts.push(VerdictEntry { values, emissions, ..self.entry }.encode());
    }

    /// Sets a field; whatever it held is replaced.
    #[inline]
    pub fn set<'x>(&mut self, name: impl ToName, value: impl Into<Value<'x>>) {
        self.push(name, Operation::Set, value.into());
    }

    /// Adds a value to a field: a second one makes it a list.
    #[inline]
    pub fn add<'x>(&mut self, name: impl ToName, value: impl Into<Value<'x>>) {
        self.push(name, Operation::Add, value.into());
    }

    /// Adds a tag to the list `tags`, unless it has it.
    pub fn tag(&mut self, tag: &str) {
        self.push("tags", Operation::AddNew, Value::Str(tag.as_bytes()));
    }

    /// The name, to set it by, looked up once a call only: for names that a filter makes of data and meets again and again. What is
    /// remembered must always be asked with the same name.
    #[inline]
    pub fn remember(&mut self, remembered: &mut Remembered, name: &[u8]) -> Name {
        self.sections.names.remember(remembered, name)
    }

    /// Takes a field away.
    pub fn remove(&mut self, name: impl ToName) {
        let name = name.number(&mut self.sections.names);
        self.sections.values.push(ValueEntry { name, operation: Operation::Remove, body: Body::None }.encode());
    }

    /// Sets a string field to what `build` appends to the buffer: for values that have to be built, without a copy in between.
    /// (What `build` finds in the buffer belongs to others: append only.)
    pub fn set_built(&mut self, name: impl ToName, build: impl FnOnce(&mut Vec<u8>)) {
        let name = name.number(&mut self.sections.names);
        let start = self.sections.arena.len();
        build(&mut self.sections.arena);
        let body =
            Body::Str { slot: SLOT_ARENA, at: small(start), len: small(self.sections.arena.len().saturating_sub(start)) };
        self.sections.values.push(ValueEntry { name, operation: Operation::Set, body }.encode());
    }

    /// Sets the row's time, nanoseconds since 1970.
    pub fn set_time(&mut self, ns: i64) {
        let name = self.sections.names.remember(&mut self.sections.time, b"_time");
        self.set(name, ns);
    }

    /// Leaves the record out.
    pub fn drop(&mut self, reason: &str) {
        self.end(Kind::Drop, reason);
    }

    /// The record could not be handled: it goes to the topic's dead letters, with the reason.
    pub fn fail(&mut self, reason: &str) {
        self.end(Kind::Fail, reason);
    }

    /// The record is in the filter's state now: no row is made of it, and it is no drop.
    pub fn hold(&mut self) {
        self.entry.kind = Kind::Hold;
        self.entry.joined = None;
    }

    /// The row that goes on is not this record's: it is made of records that were held, the last of which has the offset `last`.
    /// Its payload is these bytes; it has no fields but those that are set from here on. This record is among them, or is held.
    pub fn join(&mut self, last: u64, payload: &[u8]) {
        let back = self.record.offset().saturating_sub(last);
        self.entry.kind = Kind::Store;
        self.entry.reason = self.built(payload);
        self.entry.joined = Some(u32::try_from(back).unwrap_or(u32::MAX));
    }

    /// The fields say all that the payload says: no `message` is made of it.
    pub fn payload_consumed(&mut self) {
        self.entry.consumed = true;
    }

    /// Appends a record to another topic. With `with_headers`, the record's own headers go before `headers`.
    pub fn emit(&mut self, topic: &str, payload: Payload<'_>, with_headers: bool, headers: &[(&str, &[u8])]) {
        let topic = self.built(topic.as_bytes());
        let payload = match payload {
            Payload::Original => (SLOT_PAYLOAD, 0, WHOLE),
            Payload::Bytes(bytes) => self.span(bytes),
        };
        for (name, value) in headers {
            let entry = HeaderEntry { name: self.built(name.as_bytes()), value: self.span(value) };
            self.sections.headers.push(entry.encode());
        }
        let entry = EmissionEntry { topic, payload, headers: small(headers.len()), with_headers };
        self.sections.emissions.push(entry.encode());
    }

    /// Adds a tag that is not always text, unless the record has it.
    pub fn tag_bytes(&mut self, tag: &[u8]) {
        self.push("tags", Operation::AddNew, Value::Str(tag));
    }

    /// What a field holds now: as the record came, with what was set since.
    pub fn now(&self, field: Field) -> Vec<Value<'_>> {
        let mut values: Vec<Value<'_>> = self.record.list(field).collect();
        for entry in self.edits(field) {
            if matches!(entry.operation, Operation::Set | Operation::Remove) {
                values.clear();
            }
            let value = match entry.body {
                Body::None => continue,
                Body::Str { slot, at, len } => Value::Str(self.resolve(slot, at, len)),
                Body::Int(value) => Value::Int(value),
                Body::Float(value) => Value::Float(value),
                Body::Bool(value) => Value::Bool(value),
            };
            if entry.operation != Operation::AddNew || !values.contains(&value) {
                values.push(value);
            }
        }
        values
    }

    /// The row's time, where this filter set it as a number.
    pub fn time_now(&self) -> Option<i64> {
        let entries = self.sections.values.get(self.values_before..)?.iter().rev();
        let mut set = entries.flat_map(ValueEntry::decode).filter(|entry| self.sections.names.is(entry.name, b"_time"));
        match set.next()?.body {
            Body::Int(ns) => Some(ns),
            _ => None,
        }
    }

    /// Makes the message one of its own, which it may be only for want of another: before something is added to it, for what is
    /// added to a message that is merely the payload would replace it.
    pub fn keep_message(&mut self, message: Field) {
        if self.edits(message).next().is_none()
            && let Some(value) = self.record.value(message)
            && self.record.list(message).nth(1).is_none()
        {
            self.push(message.name, Operation::Set, value);
        }
    }

    /// Takes away the values of a field that `keep` is against.
    pub fn retain(&mut self, field: Field, mut keep: impl FnMut(&Value<'_>) -> bool) {
        let now = self.now(field);
        let kept: Vec<(Option<Vec<u8>>, Value<'static>)> = now
            .iter()
            .filter(|value| keep(value))
            .map(|value| match *value {
                Value::Str(bytes) => (Some(bytes.to_vec()), Value::Bool(false)),
                Value::Int(value) => (None, Value::Int(value)),
                Value::Float(value) => (None, Value::Float(value)),
                Value::Bool(value) => (None, Value::Bool(value)),
            })
            .collect();
        if kept.len() == now.len() {
            return;
        }
        self.remove(field.name);
        for (bytes, value) in &kept {
            self.push(field.name, Operation::Add, bytes.as_ref().map_or(*value, |bytes| Value::Str(bytes)));
        }
    }

    /// What was done to a field since the record came.
    fn edits(&self, field: Field) -> impl Iterator<Item = ValueEntry> + '_ {
        let entries = self.sections.values.get(self.values_before..).unwrap_or(&[]);
        entries.iter().flat_map(ValueEntry::decode).filter(move |entry| entry.name == field.name.0)
    }

    fn resolve(&self, slot: u32, at: u32, len: u32) -> &[u8] {
        let whole = match slot {
            SLOT_PAYLOAD => self.record.payload,
            SLOT_ARENA => &self.sections.arena,
            value => self.record.str_at((value - SLOT_VALUES) as usize).unwrap_or(&[]),
        };
        slice(whole, at, len).unwrap_or(&[])
    }

    fn end(&mut self, kind: Kind, reason: &str) {
        self.entry.kind = kind;
        self.entry.joined = None;
        self.entry.reason = self.built(reason.as_bytes());
    }

    #[inline]
    fn push(&mut self, name: impl ToName, operation: Operation, value: Value<'_>) {
        let name = name.number(&mut self.sections.names);
        // Of each kind by itself, so that none is put together in memory first.
        let entry = match value {
            Value::Str(bytes) => ValueEntry::encode_str(name, operation, self.place(bytes), small(bytes.len())),
            Value::Int(value) => ValueEntry { name, operation, body: Body::Int(value) }.encode(),
            Value::Float(value) => ValueEntry { name, operation, body: Body::Float(value) }.encode(),
            Value::Bool(value) => ValueEntry { name, operation, body: Body::Bool(value) }.encode(),
        };
        self.sections.values.push(entry);
    }

    /// Where these bytes are, seen from the host: slot, offset and length in the payload, in a field that was read, or (a copy) in
    /// the arena.
    fn span(&mut self, bytes: &[u8]) -> (u32, u32, u32) {
        let place = self.place(bytes);
        (low(place), high(place), small(bytes.len()))
    }

    /// Slot and offset of [`Verdict::span`], packed: in a number they stay in a register.
    #[inline]
    fn place(&mut self, bytes: &[u8]) -> u64 {
        match within(self.record.payload, bytes) {
            Some(at) => pack(SLOT_PAYLOAD, at),
            None => self.place_elsewhere(bytes),
        }
    }

    #[inline(never)]
    fn place_elsewhere(&mut self, bytes: &[u8]) -> u64 {
        if within(self.record.frame.frame(), bytes).is_some() {
            for (number, index) in (0u32..).zip(0..self.record.values.len()) {
                if let Some(at) = self.record.str_at(index).and_then(|value| within(value, bytes)) {
                    return pack(SLOT_VALUES + number, at);
                }
            }
        }
        pack(SLOT_ARENA, self.built(bytes).0)
    }

    fn built(&mut self, bytes: &[u8]) -> (u32, u32) {
        let at = small(self.sections.arena.len());
        self.sections.arena.extend_from_slice(bytes);
        (at, small(bytes.len()))
    }
}

/// Where in `whole` the slice `part` lies, if it is a part of it (the same memory, not merely equal).
#[inline]
fn within(whole: &[u8], part: &[u8]) -> Option<u32> {
    // Of what begins before, `at` is past any end.
    let at = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
    (at <= whole.len() && part.len() <= whole.len() - at).then(|| small(at))
}
