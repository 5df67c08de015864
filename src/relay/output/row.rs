//! A row as an output's record: one JSON object a row.
//!
//! `{"id":"<origin>","_time":RFC 3339,"_topic":…,"_partition":…,"_offset":…,"_n":…,"_generation":…, fields…}`
//! A name that occurs twice gives a list. Bytes that are no UTF-8 are shown with U+FFFD: JSON has no other way, and the row
//! itself keeps them. A field never hides one of the leading names.

use std::sync::Arc;

use crate::base::ids::{Generation, Origin};
use crate::base::row::{Cell, Value};
use crate::base::time;

/// Names that say where a row is from; the box writes them.
const LINEAGE: [&str; 7] = ["id", "_time", "_topic", "_partition", "_offset", "_n", "_generation"];

/// What a row has beside its cells.
pub(crate) struct Lineage<'a> {
    /// Where its record lies.
    pub origin: Origin,
    /// The topic's name.
    pub topic: &'a str,
    /// What made it.
    pub generation: Generation,
    /// Its time.
    pub time_ns: i64,
}

/// Writes an origin as headers and ids have it.
pub(crate) fn origin_text(origin: &Origin) -> String {
    format!("{}/{}@{}#{}", origin.topic, origin.partition, origin.offset, origin.n)
}

/// Appends the row to `out`.
pub(crate) fn write_json(out: &mut Vec<u8>, lineage: &Lineage<'_>, names: &[Arc<str>], cells: &[Cell<'_>]) {
    let origin = &lineage.origin;
    out.extend_from_slice(b"{\"id\":");
    write_string(out, &origin_text(origin));
    out.extend_from_slice(b",\"_time\":");
    write_string(out, &time::format(lineage.time_ns));
    out.extend_from_slice(b",\"_topic\":");
    write_string(out, lineage.topic);
    out.extend_from_slice(
        format!(
            ",\"_partition\":{},\"_offset\":{},\"_n\":{},\"_generation\":{}",
            origin.partition, origin.offset, origin.n, lineage.generation
        )
        .as_bytes(),
    );
    for (at, cell) in cells.iter().enumerate() {
        let Some(name) = names.get(cell.name as usize) else { continue };
        if LINEAGE.contains(&&**name) || cells[..at].iter().any(|before| before.name == cell.name) {
            continue;
        }
        out.push(b',');
        write_string(out, name);
        out.push(b':');
        let mut same = cells[at..].iter().filter(|other| other.name == cell.name).peekable();
        let first = same.next();
        if same.peek().is_none() {
            write_value(out, &cell.value);
            continue;
        }
        for (place, item) in first.into_iter().chain(same).enumerate() {
            out.push(if place == 0 { b'[' } else { b',' });
            write_value(out, &item.value);
        }
        out.push(b']');
    }
    out.push(b'}');
}

fn write_value(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Str(bytes) => write_string(out, &String::from_utf8_lossy(bytes)),
        Value::Int(whole) => out.extend_from_slice(whole.to_string().as_bytes()),
        Value::Float(float) if float.is_finite() => out.extend_from_slice(float.to_string().as_bytes()),
        Value::Float(_) => out.extend_from_slice(b"null"),
        Value::Bool(yes) => out.extend_from_slice(if *yes { b"true" } else { b"false" }),
    }
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    // Writing to memory does not fail, and every string is JSON's.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::TopicId;

    #[test]
    fn rows_are_json_with_lists_and_lossy_bytes() {
        let topic = TopicId::from_bytes([7; 16]);
        let lineage = Lineage {
            origin: Origin { topic, partition: 1, offset: 42, n: 0 },
            topic: "web",
            generation: 3,
            time_ns: 1_500_000_000_000_000_000,
        };
        let names: Vec<Arc<str>> = ["a", "tags", "_offset", "f"].map(Arc::from).to_vec();
        let cells = [
            Cell { name: 0, value: Value::Str(b"x\"\xff") },
            Cell { name: 1, value: Value::Str(b"p") },
            Cell { name: 2, value: Value::Int(9) },
            Cell { name: 1, value: Value::Str(b"q") },
            Cell { name: 3, value: Value::Float(1.5) },
        ];
        let mut out = Vec::new();
        write_json(&mut out, &lineage, &names, &cells);
        let row: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        let expected = serde_json::json!({
            "id": format!("{topic}/1@42#0"), "_time": "2017-07-14T02:40:00Z", "_topic": "web", "_partition": 1, "_offset": 42,
            "_n": 0, "_generation": 3, "a": "x\"\u{fffd}", "tags": ["p", "q"], "f": 1.5,
        });
        assert_eq!(row, expected);
    }
}
