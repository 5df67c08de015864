//! CSV as RFC 4180 says: names first; a field is quoted if it has a comma, a quote or a line's end, or is an empty string, so that it
//! differs from an absent value, which is nothing at all. Bytes stay as they are.

use super::columns::Columns;
use crate::store::query::{OutRow, OutValue};

/// The line of names.
pub fn head(columns: &Columns, out: &mut Vec<u8>) {
    for (at, column) in columns.all.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        put(out, column.name.as_bytes());
    }
}

/// Writes rows.
pub struct Rows<'c> {
    columns: &'c Columns,
    /// Where the values of a row begin and end in `text`, by column.
    places: Vec<Option<(usize, usize)>>,
    text: Vec<u8>,
}

impl<'c> Rows<'c> {
    /// Rows of these columns.
    pub fn new(columns: &'c Columns) -> Self {
        Self { columns, places: vec![None; columns.all.len()], text: Vec::new() }
    }

    /// A row without its line's end.
    pub fn write(&mut self, row: &OutRow, out: &mut Vec<u8>) {
        self.text.clear();
        self.places.fill(None);
        for (name, value) in &row.fields {
            let start = self.text.len();
            match value {
                OutValue::Null => continue,
                OutValue::Str(bytes) => put(&mut self.text, bytes),
                OutValue::List(_) => {
                    let mut json = Vec::new();
                    value.write_json(&mut json);
                    put(&mut self.text, &json);
                }
                OutValue::Time(ns) => crate::store::query::write_time(&mut self.text, *ns),
                // JSON has no such numbers.
                OutValue::Float(float) if !float.is_finite() => self.text.extend_from_slice(float.to_string().as_bytes()),
                plain => plain.write_json(&mut self.text),
            }
            if let Some(place) = self.columns.place(name).and_then(|at| self.places.get_mut(at)) {
                *place = Some((start, self.text.len()));
            }
        }
        for (at, place) in self.places.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            if let Some((start, end)) = place {
                out.extend_from_slice(&self.text[*start..*end]);
            }
        }
        // One column without a value would be an empty line, which readers skip.
        if self.places.as_slice() == [None] {
            out.extend_from_slice(b"\"\"");
        }
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    if !bytes.is_empty() && !bytes.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r')) {
        out.extend_from_slice(bytes);
        return;
    }
    out.push(b'"');
    for byte in bytes {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}
