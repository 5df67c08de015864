//! Texts with fields in them, as in Logstash: `%{host}: %{[http][status]} on %{+yyyy.MM.dd}`.
//!
//! * `%{field}`: its value; a list's values with commas between; left as it is written where the record has no such field.
//! * `%{@timestamp}`: the row's time, else when the record arrived, as `2015-05-17T10:05:03Z`.
//! * `%{+format}`, `%{{format}}`: the same time in UTC, in Joda's letters; `%{+%s}`: seconds since 1970.

use core::fmt::Write as _;

use crate::field::Field;
use crate::guest::Setup;
use crate::record::{Record, Value};
use crate::time::{self, Format, Zone};
use crate::verdict::Verdict;

/// A text with fields in it.
#[derive(Clone, Debug)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Field { field: Field, written: String },
    Time(Format),
}

impl Template {
    /// Reads it and declares its fields.
    ///
    /// # Errors
    /// A format of times that is none.
    pub fn new(setup: &mut Setup<'_>, text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find("%{") {
            let inner = &rest[at + 2..];
            // `%{{yyyy}}` ends with two braces.
            let is_double = inner.starts_with('{');
            let Some(end) = inner.find(if is_double { "}}" } else { "}" }).filter(|end| *end > usize::from(is_double)) else {
                break;
            };
            let whole = at + 2 + end + if is_double { 2 } else { 1 };
            if at > 0 {
                pieces.push(Piece::Text(rest[..at].to_owned()));
            }
            let written = &rest[at..whole];
            let inner = &inner[usize::from(is_double)..end];
            pieces.push(match inner.strip_prefix('+').or(is_double.then_some(inner)) {
                Some(format) => Piece::Time(Format::new(format).map_err(|error| format!("`{written}`: {error}"))?),
                None => match setup.field(inner) {
                    Ok(field) if field.is_time() => Piece::Time(Format::new("ISO8601")?),
                    Ok(field) => Piece::Field { field, written: written.to_owned() },
                    // No field can be meant.
                    Err(_) => Piece::Text(written.to_owned()),
                },
            });
            rest = &rest[whole..];
        }
        if !rest.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self { pieces })
    }

    /// The text, where there is no field in it.
    pub fn literal(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Appends the text for a record as it came to this filter.
    pub fn render(&self, record: &Record<'_>, out: &mut Vec<u8>) {
        self.render_by(time_of(record), out, |field, out| write_list(record.list(field), out));
    }

    /// Appends the text for a record as it is with what the filter set so far.
    pub fn render_now(&self, record: &Record<'_>, verdict: &Verdict<'_>, out: &mut Vec<u8>) {
        let time = verdict.time_now().unwrap_or_else(|| time_of(record));
        self.render_by(time, out, |field, out| write_list(verdict.now(field).into_iter(), out));
    }

    /// Appends the text; `write` appends a field's value, and says whether there is one.
    pub fn render_by(&self, time_ns: i64, out: &mut Vec<u8>, mut write: impl FnMut(Field, &mut Vec<u8>) -> bool) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Field { field, written } => {
                    if !write(*field, out) {
                        out.extend_from_slice(written.as_bytes());
                    }
                }
                Piece::Time(format) => format.write(time_ns, &mut Zone::utc(), out),
            }
        }
    }
}

/// The row's time so far, else when the record arrived.
pub fn time_of(record: &Record<'_>) -> i64 {
    record.time_ns().unwrap_or_else(|| record.arrival_ns())
}

/// Appends values with commas between; false where there are none.
pub fn write_list<'a>(values: impl Iterator<Item = Value<'a>>, out: &mut Vec<u8>) -> bool {
    let mut is_first = true;
    for value in values {
        if !core::mem::take(&mut is_first) {
            out.push(b',');
        }
        write_value(value, out);
    }
    !is_first
}

/// Appends a value as text.
pub fn write_value(value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Str(bytes) => out.extend_from_slice(bytes),
        Value::Int(number) => write(out, format_args!("{number}")),
        Value::Float(number) => write(out, format_args!("{number:?}")),
        Value::Bool(yes) => out.extend_from_slice(if yes { b"true" } else { b"false" }),
    }
}

fn write(out: &mut Vec<u8>, arguments: core::fmt::Arguments<'_>) {
    struct Text<'a>(&'a mut Vec<u8>);
    impl core::fmt::Write for Text<'_> {
        fn write_str(&mut self, text: &str) -> core::fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
    // Memory does not fail.
    let _ = Text(out).write_fmt(arguments);
}

/// Appends a time as text.
pub fn write_time(ns: i64, out: &mut Vec<u8>) {
    time::write(ns, out);
}
