//! Payloads, rows and verdicts as JSON, for people who look at single records: trial and explain.
//!
//! `{"message": "…", "tags": ["a", "b"]}`: a name that occurs twice is a list. A string that is not UTF-8 is shown with U+FFFD, and
//! its bytes stand beside it as `<name>_base64`. NaN and infinities are null, as JSON has none.
//! Limits: the caller says how many bytes of a string are shown; what is longer is cut, and says so.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json, json};

use crate::base::row::{Cell, TIME, Value};
use crate::base::time;
use crate::sandbox::{Emission, Output, Verdict, VerdictKind};

/// A string, cut to about `most` bytes.
pub(crate) fn text(bytes: &[u8], most: usize) -> String {
    if bytes.len() <= most {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    // Not within a character.
    let back = bytes[..most].iter().rev().take(4).position(|byte| byte & 0xc0 != 0x80).map_or(0, |at| at + 1);
    let cut = &bytes[..most - back.min(most)];
    format!("{}… ({} bytes in all)", String::from_utf8_lossy(cut), bytes.len())
}

/// Bytes that came: `{"text": …}`, and `"base64"` where they are not UTF-8.
pub(crate) fn bytes(bytes: &[u8], most: usize) -> Json {
    let mut shown = json!({ "text": text(bytes, most), "bytes": bytes.len() });
    if std::str::from_utf8(bytes).is_err() {
        shown["base64"] = STANDARD.encode(&bytes[..bytes.len().min(most)]).into();
    }
    shown
}

/// A value.
pub(crate) fn value(value: &Value<'_>, most: usize) -> Json {
    match value {
        Value::Str(bytes) => text(bytes, most).into(),
        Value::Int(whole) => (*whole).into(),
        Value::Float(float) => serde_json::Number::from_f64(*float).map_or(Json::Null, Json::Number),
        Value::Bool(yes) => (*yes).into(),
    }
}

/// The values of one name: one, or a list; none is null.
pub(crate) fn values(all: &[Value<'_>], most: usize) -> Json {
    match all {
        [] => Json::Null,
        [one] => value(one, most),
        many => many.iter().map(|one| value(one, most)).collect(),
    }
}

/// Fields by name.
pub(crate) fn fields<'v, 'b: 'v>(
    all: impl Iterator<Item = (&'v str, &'v Value<'b>)>,
    time_ns: Option<i64>,
    most: usize,
) -> Map<String, Json> {
    let mut shown = Map::new();
    if let Some(time_ns) = time_ns {
        shown.insert(TIME.to_owned(), time::format(time_ns).into());
    }
    for (name, one) in all {
        let json = value(one, most);
        match shown.get_mut(name) {
            None => {
                shown.insert(name.to_owned(), json);
            }
            Some(Json::Array(list)) => list.push(json),
            Some(first) => *first = vec![first.take(), json].into(),
        }
        if let Value::Str(bytes) = one
            && std::str::from_utf8(bytes).is_err()
        {
            shown.insert(format!("{name}_base64"), STANDARD.encode(&bytes[..bytes.len().min(most)]).into());
        }
    }
    shown
}

/// Cells by name.
pub(crate) fn cells(names: &[Arc<str>], cells: &[Cell<'_>], time_ns: Option<i64>, most: usize) -> Map<String, Json> {
    let named = cells.iter().filter_map(|cell| Some((&**names.get(cell.name as usize)?, &cell.value)));
    fields(named, time_ns, most)
}

/// An emission: where to, and what.
pub(crate) fn emission(emission: &Emission<'_>, most: usize) -> Json {
    let headers = emission.headers.iter().map(|(name, value)| json!([text(name, most), text(value, most)]));
    json!({ "topic": emission.topic, "payload": bytes(emission.payload, most), "headers": headers.collect::<Vec<_>>() })
}

/// What a chain said of a record.
pub(crate) fn verdict(output: &Output<'_>, verdict: &Verdict<'_>, arrival_ns: i64, most: usize) -> Json {
    let mut shown = match &verdict.kind {
        VerdictKind::Store { time_ns, .. } => {
            let time_ns = Some(time_ns.unwrap_or(arrival_ns));
            json!({ "verdict": "store", "fields": cells(&output.names, output.cells_of(verdict), time_ns, most) })
        }
        VerdictKind::Drop { reason } => json!({ "verdict": "drop", "reason": reason }),
        VerdictKind::Hold => json!({ "verdict": "hold" }),
        VerdictKind::Fail { filter, reason } => json!({ "verdict": "fail", "filter": **filter, "reason": reason }),
    };
    if let Some(joined) = &verdict.joined {
        shown["joined"] = json!({ "offset": joined.offset, "payload": bytes(joined.payload, most) });
    }
    if !verdict.emissions.is_empty() {
        shown["emissions"] = verdict.emissions.iter().map(|one| emission(one, most)).collect();
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_shown_as_they_are_and_long_ones_cut() {
        let names: Vec<Arc<str>> = ["a", "tags", "bad"].map(Arc::from).to_vec();
        let row = [
            Cell { name: 0, value: Value::Str("größe".as_bytes()) },
            Cell { name: 1, value: Value::Int(1) },
            Cell { name: 1, value: Value::Bool(true) },
            Cell { name: 1, value: Value::Float(f64::NAN) },
            Cell { name: 2, value: Value::Str(b"\xff") },
        ];
        let shown = Json::from(cells(&names, &row, Some(0), 100));
        let expected = json!({
            "_time": "1970-01-01T00:00:00Z", "a": "größe", "tags": [1, true, null], "bad": "\u{fffd}", "bad_base64": "/w==",
        });
        assert_eq!(shown, expected);
        assert_eq!(text("größe".as_bytes(), 4), "gr… (7 bytes in all)", "not within a character");
        assert_eq!(bytes(b"\xff\xfe", 10)["base64"], "//4=");
    }
}
