//! The answer to a bulk: one item a record, in order, as much of it as `filter_path` wants.
//!
//! Invariants: an item says 201 only for a record that is durable. A record that a full queue did not take says 429, which
//! makes shippers send that one again; one that is wrong says 400, which makes them drop it. If nothing was taken because the
//! queue is full the whole answer is 429.
//! Why written by hand: a bulk has thousands of items, and shippers want two fields of each.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::bulk::Op;
use crate::ingest::query;

/// Which fields of an answer are wanted: Elasticsearch's `filter_path`, `*` and `**` and `-` and all.
#[derive(Debug, Default)]
pub struct FilterPath {
    keep: Vec<Vec<String>>,
    leave: Vec<Vec<String>>,
}

impl FilterPath {
    /// As the query string says.
    pub fn of(query: Option<&str>) -> Self {
        let mut own = Self::default();
        for (_, value) in query::pairs(query.unwrap_or_default()).into_iter().filter(|(name, _)| name == "filter_path") {
            for pattern in value.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()).take(64) {
                let (list, pattern) = pattern.strip_prefix('-').map_or((&mut own.keep, pattern), |rest| (&mut own.leave, rest));
                list.push(pattern.split('.').take(16).map(str::to_owned).collect());
            }
        }
        own
    }

    /// Whether the value at this path is wanted.
    pub fn wants(&self, path: &[&str]) -> bool {
        (self.keep.is_empty() || self.keep.iter().any(|pattern| covers(pattern, path)))
            && !self.leave.iter().any(|pattern| covers(pattern, path))
    }

    fn wants_at(&self, path: &[String]) -> bool {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        self.wants(&path)
    }

    /// Leaves out of a value what is not wanted.
    pub fn prune(&self, value: Value) -> Value {
        if self.is_empty() {
            return value;
        }
        self.part(value, &mut Vec::new()).unwrap_or_else(|| json!({}))
    }

    /// Whether everything is wanted.
    pub fn is_empty(&self) -> bool {
        self.keep.is_empty() && self.leave.is_empty()
    }

    /// Leaves out of a JSON text what is not wanted. What stays is written as it came, numbers to the last digit.
    ///
    /// # Errors
    /// It is no JSON.
    pub fn prune_text(&self, text: &[u8]) -> serde_json::Result<Vec<u8>> {
        let mut out = Vec::new();
        if !self.text_part(serde_json::from_slice(text)?, &mut Vec::new(), &mut out)? {
            out.extend_from_slice(b"{}");
        }
        Ok(out)
    }

    /// Appends what is wanted of a value; whether that is anything.
    fn text_part(&self, value: &RawValue, path: &mut Vec<String>, out: &mut Vec<u8>) -> serde_json::Result<bool> {
        let text = value.get();
        let before = out.len();
        // Where nothing is left out, what is below a wanted value is wanted too.
        let is_whole = self.leave.is_empty() && self.wants_at(path);
        match text.as_bytes() {
            [b'{', ..] if !is_whole && text != "{}" => {
                for (name, value) in serde_json::from_str::<BTreeMap<String, &RawValue>>(text)? {
                    let at = out.len();
                    out.push(if at == before { b'{' } else { b',' });
                    serde_json::to_writer(&mut *out, &name)?;
                    out.push(b':');
                    path.push(name);
                    let is_wanted = self.text_part(value, path, out)?;
                    path.pop();
                    if !is_wanted {
                        out.truncate(at);
                    }
                }
                out.extend_from_slice(if out.len() > before { b"}" } else { b"" });
            }
            [b'[', ..] if !is_whole && text != "[]" => {
                for value in serde_json::from_str::<Vec<&RawValue>>(text)? {
                    let at = out.len();
                    out.push(if at == before { b'[' } else { b',' });
                    if !self.text_part(value, path, out)? {
                        out.truncate(at);
                    }
                }
                out.extend_from_slice(if out.len() > before { b"]" } else { b"" });
            }
            _ if is_whole || self.wants_at(path) => out.extend_from_slice(text.as_bytes()),
            _ => {}
        }
        Ok(out.len() > before)
    }

    fn part(&self, value: Value, path: &mut Vec<String>) -> Option<Value> {
        match value {
            Value::Object(map) if !map.is_empty() => {
                let mut kept = serde_json::Map::new();
                for (name, value) in map {
                    path.push(name);
                    let part = self.part(value, path);
                    let name = path.pop().unwrap_or_default();
                    kept.extend(part.map(|part| (name, part)));
                }
                (!kept.is_empty()).then_some(Value::Object(kept))
            }
            Value::Array(all) if !all.is_empty() => {
                let kept: Vec<Value> = all.into_iter().filter_map(|value| self.part(value, path)).collect();
                (!kept.is_empty()).then_some(Value::Array(kept))
            }
            leaf => self.wants_at(path).then_some(leaf),
        }
    }
}

/// Whether a pattern names the path or something above it. `**` stands for any way, also none; as with `*` in a name, only the last
/// one met is ever tried further on, so that many of them do not take longer.
fn covers(pattern: &[String], path: &[&str]) -> bool {
    let (mut next, mut at) = (0, 0);
    let mut last: Option<(usize, usize)> = None;
    loop {
        let Some(part) = pattern.get(next) else { return true };
        let Some(name) = path.get(at) else { return false };
        if part == "**" {
            next += 1;
            last = Some((next, at));
        } else if globs(part, name) {
            (next, at) = (next + 1, at + 1);
        } else if let Some((behind, from)) = &mut last {
            *from += 1;
            (next, at) = (*behind, *from);
        } else {
            return false;
        }
    }
}

/// Whether a name matches a pattern with `*`.
pub fn globs(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut last = None;
    for piece in pieces {
        if let Some(before) = last.replace(piece) {
            let Some(at) = rest.find(before) else { return false };
            rest = &rest[at + before.len()..];
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is durable, at this offset.
    Created(u64),
    /// It is not, and why.
    Wrong(u16, &'static str, Box<str>),
}

/// One item of the answer.
#[derive(Clone, Debug)]
pub struct Item {
    /// What was asked.
    pub op: Op,
    /// The index that was named: a number in [`Items::indices`].
    pub index: u32,
    /// Its id: the one that was given, or the record's origin.
    pub id: Box<str>,
    /// What became of it.
    pub outcome: Outcome,
}

/// The items of an answer.
#[derive(Debug, Default)]
pub struct Items {
    /// In the order of the request.
    pub items: Vec<Item>,
    /// Names of the indices.
    pub indices: Vec<Box<str>>,
    /// When records that were not taken may come again, seconds.
    pub after: Option<u64>,
}

/// Fields of an item that are wanted.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    index: bool,
    id: bool,
    version: bool,
    result: bool,
    shards: bool,
    seq_no: bool,
    primary_term: bool,
    status: bool,
    error_type: bool,
    error_reason: bool,
}

impl Wanted {
    fn of(op: Op, filter: &FilterPath) -> Self {
        let wants = |path: &[&str]| filter.wants(&[&["items", op.name()], path].concat());
        Self {
            index: wants(&["_index"]),
            id: wants(&["_id"]),
            version: wants(&["_version"]),
            result: wants(&["result"]),
            shards: wants(&["_shards", "total"]),
            seq_no: wants(&["_seq_no"]),
            primary_term: wants(&["_primary_term"]),
            status: wants(&["status"]),
            error_type: wants(&["error", "type"]),
            error_reason: wants(&["error", "reason"]),
        }
    }
}

impl Items {
    /// Records that will never be taken.
    pub fn rejected(&self) -> u64 {
        self.items.iter().filter(|item| matches!(item.outcome, Outcome::Wrong(400, ..))).count() as u64
    }

    /// What the whole answer says, if it is not 200: no record was taken, and some may be sent again.
    pub fn status(&self) -> StatusCode {
        let wrong =
            |wanted: u16| self.items.iter().any(|item| matches!(item.outcome, Outcome::Wrong(status, ..) if status == wanted));
        if self.items.iter().any(|item| matches!(item.outcome, Outcome::Created(_))) {
            return StatusCode::OK;
        }
        match (wrong(429), wrong(503)) {
            (true, _) => StatusCode::TOO_MANY_REQUESTS,
            (_, true) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::OK,
        }
    }

    /// The answer to `_doc`: the only item.
    pub fn only(&self) -> Option<(StatusCode, Value)> {
        let item = self.items.first()?;
        let index = self.indices.get(item.index as usize)?;
        Some(match &item.outcome {
            Outcome::Created(offset) => {
                let shards = json!({ "total": 1, "successful": 1, "failed": 0 });
                let mut value = json!({ "_index": index, "_id": item.id, "_version": 1, "result": "created" });
                value["_shards"] = shards;
                value["_seq_no"] = json!(offset);
                value["_primary_term"] = json!(1);
                (StatusCode::CREATED, value)
            }
            Outcome::Wrong(status, kind, reason) => {
                let cause = json!({ "type": kind, "reason": reason });
                let value = json!({ "error": { "root_cause": [cause], "type": kind, "reason": reason }, "status": status });
                (StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_REQUEST), value)
            }
        })
    }

    /// The answer to `_bulk`.
    pub fn write(&self, took_ms: u128, filter: &FilterPath) -> Vec<u8> {
        let errors = self.items.iter().any(|item| matches!(item.outcome, Outcome::Wrong(..)));
        let wanted = [Op::Create, Op::Index, Op::Update, Op::Delete].map(|op| Wanted::of(op, filter));
        let indices: Vec<String> = self.indices.iter().map(|name| json!(name).to_string()).collect();
        let mut out = Vec::with_capacity(64 + self.items.len() * 48);
        out.push(b'{');
        if filter.wants(&["errors"]) {
            out.extend_from_slice(if errors { b"\"errors\":true" } else { b"\"errors\":false" });
        }
        if filter.wants(&["took"]) {
            comma(&mut out);
            out.extend_from_slice(format!("\"took\":{took_ms}").as_bytes());
        }
        let before = out.len();
        comma(&mut out);
        out.extend_from_slice(b"\"items\":[");
        let empty = out.len();
        for item in &self.items {
            let start = out.len();
            comma(&mut out);
            out.extend_from_slice(b"{\"");
            out.extend_from_slice(item.op.name().as_bytes());
            out.extend_from_slice(b"\":{");
            let open = out.len();
            let index = indices.get(item.index as usize).map_or("\"\"", String::as_str);
            item_fields(&mut out, item, index, &wanted[item.op as usize]);
            if out.len() == open {
                // Nothing of it is wanted: as Elasticsearch does, it is not there.
                out.truncate(start);
            } else {
                out.extend_from_slice(b"}}");
            }
        }
        if out.len() == empty && !(self.items.is_empty() && filter.wants(&["items"])) {
            out.truncate(before);
        } else {
            out.push(b']');
        }
        out.push(b'}');
        out
    }
}

fn comma(out: &mut Vec<u8>) {
    if !matches!(out.last(), Some(b'{' | b'[')) {
        out.push(b',');
    }
}

fn item_fields(out: &mut Vec<u8>, item: &Item, index: &str, wanted: &Wanted) {
    let mut put = |is: bool, name: &str, value: &str| {
        if is {
            comma(out);
            out.push(b'"');
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            out.extend_from_slice(value.as_bytes());
        }
    };
    put(wanted.index, "_index", index);
    if wanted.id {
        put(true, "_id", &json!(item.id).to_string());
    }
    match &item.outcome {
        Outcome::Created(offset) => {
            put(wanted.version, "_version", "1");
            put(wanted.result, "result", "\"created\"");
            put(wanted.shards, "_shards", "{\"total\":1,\"successful\":1,\"failed\":0}");
            if wanted.seq_no {
                put(true, "_seq_no", &offset.to_string());
            }
            put(wanted.primary_term, "_primary_term", "1");
            put(wanted.status, "status", "201");
        }
        Outcome::Wrong(status, kind, reason) => {
            let mut error = serde_json::Map::new();
            if wanted.error_type {
                error.insert("type".into(), json!(kind));
            }
            if wanted.error_reason {
                error.insert("reason".into(), json!(reason));
            }
            if !error.is_empty() {
                put(true, "error", &Value::Object(error).to_string());
            }
            put(wanted.status, "status", &status.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items() -> Items {
        let item = |op, id: &str, outcome| Item { op, index: 0, id: id.into(), outcome };
        Items {
            items: vec![
                item(Op::Create, "a", Outcome::Created(7)),
                item(Op::Update, "b", Outcome::Wrong(400, "illegal_argument_exception", "no".into())),
            ],
            indices: vec!["logs".into()],
            after: None,
        }
    }

    #[test]
    fn an_answer_has_what_is_wanted() {
        for (query, answer) in [
            (
                Some("filter_path=errors,items.*.error,items.*.status"),
                r#"{"errors":true,"items":[{"create":{"status":201}},{"update":{"error":{"reason":"no","type":"illegal_argument_exception"},"status":400}}]}"#,
            ),
            (Some("filter_path=errors"), r#"{"errors":true}"#),
            (Some("filter_path=items.*.error.reason"), r#"{"items":[{"update":{"error":{"reason":"no"}}}]}"#),
            (Some("filter_path=-items,-took"), r#"{"errors":true}"#),
            (Some("filter_path=took"), r#"{"took":3}"#),
            (Some("filter_path=**._id"), r#"{"items":[{"create":{"_id":"a"}},{"update":{"_id":"b"}}]}"#),
            (
                None,
                r#"{"errors":true,"took":3,"items":[{"create":{"_index":"logs","_id":"a","_version":1,"result":"created","_shards":{"total":1,"successful":1,"failed":0},"_seq_no":7,"_primary_term":1,"status":201}},{"update":{"_index":"logs","_id":"b","error":{"reason":"no","type":"illegal_argument_exception"},"status":400}}]}"#,
            ),
        ] {
            let written = String::from_utf8(items().write(3, &FilterPath::of(query))).unwrap();
            let (written, wanted): (Value, Value) =
                (serde_json::from_str(&written).unwrap(), serde_json::from_str(answer).unwrap());
            assert_eq!(written, wanted, "{query:?}");
        }
    }

    #[test]
    fn the_whole_is_429_only_if_nothing_was_taken() {
        let mut all = items();
        assert_eq!(all.status(), StatusCode::OK);
        all.items[0].outcome = Outcome::Wrong(429, "es_rejected_execution_exception", "full".into());
        assert_eq!(all.status(), StatusCode::TOO_MANY_REQUESTS);
        all.items[0].outcome = Outcome::Wrong(400, "x", "x".into());
        assert_eq!((all.status(), all.rejected()), (StatusCode::OK, 2));
    }

    #[test]
    fn values_are_pruned_and_names_globbed() {
        let value = json!({ "a": { "b": 1, "c": 2 }, "d": [{ "b": 3 }, { "c": 4 }], "e": {} });
        let prune = |filter: &str| FilterPath::of(Some(&format!("filter_path={filter}"))).prune(value.clone());
        assert_eq!(prune("a.b"), json!({ "a": { "b": 1 } }));
        assert_eq!(prune("**.b"), json!({ "a": { "b": 1 }, "d": [{ "b": 3 }] }));
        assert_eq!(prune("-a,-e"), json!({ "d": [{ "b": 3 }, { "c": 4 }] }));
        assert_eq!(prune("nope"), json!({}));
        assert_eq!(prune("**.**.**.b"), json!({ "a": { "b": 1 }, "d": [{ "b": 3 }] }));
        assert_eq!(prune("**.c,-a"), json!({ "d": [{ "c": 4 }] }));
        let long = "**.*.".repeat(8) + "x";
        let deep = ["a"; 4000];
        assert!(!covers(&long.split('.').map(str::to_owned).collect::<Vec<_>>(), &deep));
        // As text it is the same, and numbers are not read.
        let text = r#"{ "a": {"b":0.10000000000000000001, "c":[] }, "d": [{"b":1e400},{"c":"ö\u00e9"}, 7], "e":{} }"#;
        for (filter, expected) in [
            ("a.b", r#"{"a":{"b":0.10000000000000000001}}"#),
            ("**.b", r#"{"a":{"b":0.10000000000000000001},"d":[{"b":1e400}]}"#),
            ("a,-**.b", r#"{"a":{"c":[]}}"#),
            ("d", r#"{"d":[{"b":1e400},{"c":"ö\u00e9"}, 7]}"#),
            ("-a,-d.b", r#"{"d":[{"c":"ö\u00e9"},7],"e":{}}"#),
            ("nope", "{}"),
        ] {
            let pruned = FilterPath::of(Some(&format!("filter_path={filter}"))).prune_text(text.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(pruned).unwrap(), expected, "{filter}");
        }
        for (pattern, name, matches) in [
            ("*", "x", true),
            ("a*c", "abc", true),
            ("a*c", "ab", false),
            ("a*b*c", "axbxc", true),
            ("ab", "abc", false),
            ("a*a", "a", false),
            ("", "", true),
        ] {
            assert_eq!(globs(pattern, name), matches, "{pattern} {name}");
        }
    }
}
