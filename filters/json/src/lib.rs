//! `json`: a JSON object becomes fields. The chain of every topic that has none.
//!
//! ```toml
//! [[topics.shop.chain]]
//! filter = "json"
//! config = { source = "message", target = "app", mode = "strict" }   # all optional
//! ```
//! * `source`: the field to read; without it the payload.
//! * `target`: put before all names, with a dot; then time and message are not looked for. Where it is the source itself, the
//!   object takes the text's place.
//! * `mode`: `lenient` (what is no object is a message, and only what began with `{` is tagged) or `strict` (tagged in any
//!   case); nothing is lost, the text stays the message.
//! * `tag_on_failure` (default `_jsonparsefailure`; one or a list): the tags.
//! * `add_field`, `remove_field`, `add_tag`, `remove_tag`: where it was an object ([`sawbox_guest::common`]).
//!
//! Objects are flattened to dotted names with their types, lists of scalars are lists, lists of objects their JSON text
//! ([`scan`] has the rules). Two members of one name make a list. A document with too many or too long names keeps what fits
//! and is tagged `_jsoncut`.
//!
//! Of the document itself, not of objects in it:
//! * the first of `@timestamp`, `_time`, `timestamp`, `time`, `ts` that is a time ([`sawbox_guest::time::parse`]) is the row's time;
//! * the first of `message`, `_msg`, `msg`, `log` that is a string is the message (of `log`, without the line feed that
//!   container runtimes leave on it); a `message` that is a number or a boolean is one too, as it was written;
//! * the items of `tags` are added to those that the record has; a tag is there once;
//! * `@metadata` is for the shipper's own use and is left out;
//! * a name that the box itself uses (`_topic`, `_offset`, `_peer` …) goes under `json.`, so nobody forges an origin.
//!
//! When the payload was read, it is consumed: the row has a message only if the document has.

pub mod scan;
pub mod shape;

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, DefaultHasher};

use sawbox_guest::common::tags_on_failure;
use sawbox_guest::field::{self, is_reserved};
use sawbox_guest::{Filter, Name, OnSuccess, Read, Record, Setup, Value, Verdict, time};

use scan::{Cell, Doc, Scalar};
use shape::{Act, Shapes};

const CUT: &str = "_jsoncut";
const TIMES: [&[u8]; 5] = [b"@timestamp", b"_time", b"timestamp", b"time", b"ts"];
const MESSAGES: [&[u8]; 4] = [b"message", b"_msg", b"msg", b"log"];
/// The filter.
#[derive(Debug)]
pub struct JsonFilter {
    source: Option<Read>,
    /// With its dot; empty for none.
    target: String,
    /// The source, where the object takes its place.
    replaced: Option<Name>,
    is_strict: bool,
    tag_on_failure: Vec<String>,
    doc: Doc,
    seen: Seen,
    name: Vec<u8>,
    shapes: Shapes,
    message: Name,
    /// What became of the document's cells, where that may be learned.
    acts: Vec<Act>,
    on_success: OnSuccess,
}

impl Filter for JsonFilter {
    fn init(setup: &mut Setup<'_>) -> Result<Self, String> {
        let config = setup.config();
        config.only(&[&["source", "target", "mode", "tag_on_failure"][..], &OnSuccess::KEYS].concat())?;
        let is_strict = match config.str_or("mode", "lenient")? {
            "lenient" => false,
            "strict" => true,
            other => return Err(format!("`mode` is \"lenient\" or \"strict\", not \"{other}\"")),
        };
        let target = match config.str_or("target", "")? {
            "" => String::new(),
            target => format!("{}.", field::target(target)?),
        };
        let tag_on_failure = tags_on_failure(config, "_jsonparsefailure")?;
        let (source, replaced) = match config.str_or("source", "")? {
            "" => (None, None),
            source => {
                let source = field::name(source)?;
                let is_target = target.strip_suffix('.') == Some(source.as_str());
                (Some(setup.reads(&source)), is_target.then(|| setup.name(&source)))
            }
        };
        let on_success = OnSuccess::new(setup)?;
        setup.needs_payload(source.is_none());
        let message = setup.name("message");
        let (doc, seen, shapes) = (Doc::default(), Seen::default(), Shapes::default());
        let (name, acts) = (Vec::new(), Vec::new());
        Ok(Self { source, target, replaced, is_strict, tag_on_failure, doc, seen, name, shapes, message, acts, on_success })
    }

    fn process(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>) {
        let text = match self.source {
            None => record.payload(),
            Some(source) => match record.bytes(source) {
                Some(text) => text,
                None => return,
            },
        };
        if self.write_known(text, verdict) {
            self.done(record, verdict);
            return;
        }
        let begins = text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        if !begins || self.doc.scan(text).is_err() {
            if begins || self.is_strict {
                self.tag_on_failure.iter().for_each(|tag| verdict.tag(tag));
            }
            return;
        }
        self.write(text, verdict);
        if self.doc.is_cut {
            verdict.tag(CUT);
        }
        self.done(record, verdict);
    }
}

impl JsonFilter {
    fn done(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>) {
        if self.source.is_none() {
            verdict.payload_consumed();
        }
        if let Some(source) = self.replaced {
            verdict.remove(source);
        }
        self.on_success.apply(record, verdict);
    }

    /// Writes a document that is like one before; whether it is.
    fn write_known(&mut self, text: &[u8], verdict: &mut Verdict<'_>) -> bool {
        let Self { shapes, doc, message: message_name, .. } = self;
        let Some((shape, found)) = shapes.fit(text, &mut doc.decoded) else { return false };
        let decoded = doc.decoded.as_slice();
        let (mut time, mut message) = (None, None);
        for (step, (value, raw)) in shape.steps.iter().zip(found) {
            match (&step.act, value) {
                (Act::Time, Scalar::Str(place)) => time = Some(time::parse(shape::bytes(text, decoded, *place))),
                (Act::Time, _) => time = Some(time::parse(&text[raw.0..raw.1])),
                (Act::Message(is_log), Scalar::Str(place)) => {
                    message = Some(line(shape::bytes(text, decoded, *place), *is_log));
                }
                // One that is no string may be the message or not: for the rules to tell.
                (Act::Message(_), _) => return false,
                (Act::Skip | Act::Put(..), _) => {}
            }
        }
        match time {
            Some(None) => return false, // another member may be the time then
            Some(Some(ns)) => verdict.set_time(ns),
            None => {}
        }
        if let Some(message) = message {
            verdict.set(*message_name, message);
        }
        for (step, (value, _)) in shape.steps.iter_mut().zip(found) {
            let Act::Put(name, is_first) = &step.act else { continue };
            let name = verdict.remember(&mut step.name, name);
            match *value {
                Scalar::Str(place) => put(verdict, name, *is_first, Value::Str(shape::bytes(text, decoded, place))),
                Scalar::Int(number) => put(verdict, name, *is_first, Value::Int(number)),
                Scalar::Float(number) => put(verdict, name, *is_first, Value::Float(number)),
                Scalar::Bool(yes) => put(verdict, name, *is_first, Value::Bool(yes)),
            }
        }
        true
    }

    fn write(&mut self, text: &[u8], verdict: &mut Verdict<'_>) {
        let is_curious = self.shapes.is_curious();
        let Self { doc, seen, name, target, acts, shapes, .. } = self;
        seen.clear();
        acts.clear();
        // Whether the next document of the same names would be written alike, whatever its values.
        let mut is_plain = is_curious;
        let (mut time, mut message) = (None, None);
        if target.is_empty() {
            (time, message) = (time_of(doc, text), message_of(doc, text));
            is_plain &= is_sole(doc, &TIMES, time.map(|(cell, _)| cell));
            is_plain &= is_sole(doc, &MESSAGES, message.map(|(cell, _)| cell));
        }
        if let Some((_, ns)) = time {
            verdict.set_time(ns);
        }
        if let Some((_, message)) = message {
            verdict.set(self.message, message);
            seen.is_new(b"message");
        }
        let used = [time.map(|(cell, _)| cell), message.map(|(cell, _)| cell)];
        for (index, cell) in doc.cells.iter().enumerate() {
            let plain = doc.name(cell);
            if let Some(is) = used.iter().position(|used| *used == Some(index)) {
                acts.push(if is == 0 { Act::Time } else { Act::Message(plain == b"log") });
                continue;
            }
            let value = match cell.value {
                Scalar::Str(place) => Value::Str(doc.text(text, place)),
                Scalar::Int(number) => Value::Int(number),
                Scalar::Float(number) => Value::Float(number),
                Scalar::Bool(yes) => Value::Bool(yes),
            };
            let full = if !target.is_empty() {
                prefixed(name, target.as_bytes(), plain)
            } else if plain.starts_with(b"@metadata") && matches!(plain.get(9), None | Some(b'.')) {
                acts.push(Act::Skip);
                continue;
            } else if plain == b"tags" {
                is_plain = false;
                // Others may have tagged the record: a tag is added, not put in place of theirs.
                match value {
                    Value::Str(tag) if let Ok(tag) = core::str::from_utf8(tag) => verdict.tag(tag),
                    _ => verdict.add(plain, value),
                }
                continue;
            } else if is_reserved(plain) {
                prefixed(name, b"json.", plain)
            } else {
                plain
            };
            let is_first = seen.is_new(full);
            if is_first {
                verdict.set(full, value);
            } else {
                verdict.add(full, value);
            }
            if is_plain {
                acts.push(Act::Put(full.to_vec(), is_first));
            }
        }
        if is_plain {
            shapes.learn(text, doc, acts);
        }
    }
}

/// Sets or adds a value. Of each kind by itself, so that none is put together in memory first.
#[inline]
fn put(verdict: &mut Verdict<'_>, name: Name, is_first: bool, value: Value<'_>) {
    if is_first {
        verdict.set(name, value);
    } else {
        verdict.add(name, value);
    }
}

/// Whether no other member could be what this one is, whatever their values.
fn is_sole(doc: &Doc, names: &[&[u8]], chosen: Option<usize>) -> bool {
    let name = chosen.and_then(|cell| doc.cells.get(cell)).map(|cell| doc.name(cell));
    let rank = names.iter().position(|candidate| Some(*candidate) == name).map_or(names.len(), |rank| rank + 1);
    let is_rival = |(index, cell): (usize, &Cell)| cell.top && Some(index) != chosen && names[..rank].contains(&doc.name(cell));
    !doc.cells.iter().enumerate().any(is_rival)
}

/// The line of a container's log, without its end.
fn line(text: &[u8], is_log: bool) -> &[u8] {
    if is_log { text.strip_suffix(b"\n").unwrap_or(text) } else { text }
}

fn prefixed<'n>(name: &'n mut Vec<u8>, prefix: &[u8], plain: &[u8]) -> &'n [u8] {
    name.clear();
    name.extend_from_slice(prefix);
    name.extend_from_slice(plain);
    name
}

/// The cell that is the row's time.
fn time_of(doc: &Doc, text: &[u8]) -> Option<(usize, i64)> {
    best(doc, &TIMES, |cell| match cell.value {
        Scalar::Str(place) => time::parse(doc.text(text, place)),
        Scalar::Int(_) | Scalar::Float(_) => time::parse(&text[cell.raw.0..cell.raw.1]),
        Scalar::Bool(_) => None,
    })
}

/// The cell that is the message.
fn message_of<'a>(doc: &'a Doc, text: &'a [u8]) -> Option<(usize, &'a [u8])> {
    best(doc, &MESSAGES, |cell| match (cell.value, doc.name(cell)) {
        (Scalar::Str(place), name) => Some(line(doc.text(text, place), name == b"log")),
        (_, b"message") => Some(&text[cell.raw.0..cell.raw.1]),
        _ => None,
    })
}

/// Of the document's own members, the one whose name comes first in `names` and which `read` can use.
fn best<T>(doc: &Doc, names: &[&[u8]], read: impl Fn(&Cell) -> Option<T>) -> Option<(usize, T)> {
    let mut found: Option<(usize, usize, T)> = None;
    for (index, cell) in doc.cells.iter().enumerate().filter(|(_, cell)| cell.top) {
        let rank = found.as_ref().map_or(names.len(), |(rank, ..)| *rank);
        let name = doc.name(cell);
        if let Some(better) = names[..rank].iter().position(|candidate| *candidate == name)
            && let Some(value) = read(cell)
        {
            found = Some((better, index, value));
        }
    }
    found.map(|(_, index, value)| (index, value))
}

/// Which names this record has had.
#[derive(Debug, Default)]
struct Seen {
    few: Vec<u64>,
    many: HashSet<u64, BuildHasherDefault<DefaultHasher>>,
}

/// Up to this many names are compared one by one.
const FEW: usize = 32;

impl Seen {
    fn clear(&mut self) {
        self.few.clear();
        self.many.clear();
    }

    /// Two names with one 64-bit hash would make a list of two fields: with at most a thousand names that nobody can aim at
    /// more than their own row, that is as good as never.
    fn is_new(&mut self, name: &[u8]) -> bool {
        let hash = hash(name);
        if self.few.contains(&hash) {
            return false;
        }
        if self.few.len() < FEW {
            self.few.push(hash);
            return true;
        }
        self.many.insert(hash)
    }
}

/// Eight bytes at a time: multiply and fold.
fn hash(name: &[u8]) -> u64 {
    let (words, tail) = name.as_chunks::<8>();
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    let mix = |hash: u64, word: [u8; 8]| {
        let mixed = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed ^ mixed >> 29
    };
    let seed = (name.len() as u64).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    mix(words.iter().fold(seed, |hash, word| mix(hash, *word)), last)
}

sawbox_guest::filter!(JsonFilter);

#[cfg(test)]
mod tests;
