//! The dialect's query DSL, turned into the one predicate that everything else uses.
//!
//! What is not understood is refused by name; nothing is silently ignored, since a query that quietly means something else is worse
//! than an error. Scores do not exist here: `must` and `filter` are the same, and `should` only decides whether a row is kept.

use serde_json::{Map, Value};

use crate::base::predicate::{self, Field, Glob, Piece, Predicate};
use crate::base::row::{MESSAGE, TIME};
use crate::base::time;

/// Deepest nesting of `bool`.
const DEPTH: usize = 32;

/// What the DSL calls a field, as the store knows it.
pub fn field_name(name: &str) -> &str {
    match name {
        "@timestamp" => TIME,
        "_index" => "_topic",
        other => other.strip_suffix(".keyword").unwrap_or(other),
    }
}

/// A pattern of `*` and `?` over a whole value.
pub fn glob(pattern: &str) -> Glob {
    let mut pieces = Vec::new();
    for piece in pattern.split_inclusive(['*', '?']) {
        let text = piece.trim_end_matches(['*', '?']);
        if !text.is_empty() {
            pieces.push(Piece::Text(text.into()));
        }
        match piece.as_bytes().last() {
            Some(b'*') => pieces.push(Piece::Run),
            Some(b'?') => pieces.push(Piece::One),
            _ => {}
        }
    }
    Glob::whole(pieces)
}

/// Turns a `query` into a predicate.
///
/// # Errors
/// What is not understood, by name.
pub fn predicate(query: &Value, now_ns: i64) -> Result<Predicate, String> {
    clause(query, now_ns, 0)
}

fn clause(query: &Value, now_ns: i64, depth: usize) -> Result<Predicate, String> {
    if depth > DEPTH {
        return Err(format!("queries nest at most {DEPTH} deep"));
    }
    let (kind, body) = single(query, "a query")?;
    match kind {
        "match_all" => Ok(Predicate::All),
        "match_none" => Ok(Predicate::none()),
        "bool" => boolean(object(body, kind)?, now_ns, depth),
        "constant_score" => {
            let body = object(body, kind)?;
            only(body, kind, &["filter", "boost"])?;
            clause(body.get("filter").ok_or("constant_score wants `filter`")?, now_ns, depth + 1)
        }
        "exists" => {
            let body = object(body, kind)?;
            only(body, kind, &["field", "boost"])?;
            Ok(Predicate::exists(field_name(text(body.get("field"), "exists.field")?.as_str())))
        }
        "ids" => Err("`ids` is not supported; rows are found by _topic, _partition and _offset".to_owned()),
        "query_string" | "simple_query_string" => query_string(kind, object(body, kind)?, now_ns),
        "term" => {
            one_field(body, kind, &["value", "boost", "case_insensitive"], "value").map(|(field, value)| equals(&field, &value))
        }
        "terms" => terms(object(body, kind)?),
        "match" | "match_phrase" => {
            one_field(body, kind, &["query", "operator", "boost", "lenient", "slop"], "query").map(|(field, value)| {
                let phrase = kind == "match_phrase"
                    || body[&field]["operator"].as_str().is_some_and(|operator| operator.eq_ignore_ascii_case("and"));
                words(&field, &value, phrase)
            })
        }
        "prefix" => one_field(body, kind, &["value", "boost", "case_insensitive"], "value")
            .map(|(field, value)| Predicate::prefix(field_name(&field), &value)),
        "wildcard" => {
            let (field, value) = one_field(body, kind, &["value", "wildcard", "boost", "case_insensitive"], "value")?;
            Ok(Predicate::leaf(field_name(&field), predicate::Test::Like(glob(&value))))
        }
        "regexp" => {
            let (field, value) = one_field(body, kind, &["value", "flags", "boost", "max_determinized_states"], "value")?;
            // The dialect's expressions match the whole value.
            Predicate::regex(field_name(&field), &format!("^(?:{value})$"))
        }
        "range" => range(object(body, kind)?, now_ns),
        other => Err(format!("the query `{other}` is not supported")),
    }
}

fn boolean(body: &Map<String, Value>, now_ns: i64, depth: usize) -> Result<Predicate, String> {
    only(body, "bool", &["must", "filter", "should", "must_not", "minimum_should_match", "boost", "adjust_pure_negative"])?;
    let clauses = |name: &str| -> Result<Vec<Predicate>, String> {
        match body.get(name) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(all)) => all.iter().map(|one| clause(one, now_ns, depth + 1)).collect(),
            Some(one) => Ok(vec![clause(one, now_ns, depth + 1)?]),
        }
    };
    let mut all = clauses("must")?;
    all.extend(clauses("filter")?);
    all.extend(clauses("must_not")?.into_iter().map(Predicate::negate));
    let should = clauses("should")?;
    if !should.is_empty() {
        let needed = match body.get("minimum_should_match") {
            None => u64::from(all.is_empty()),
            Some(Value::Number(number)) => number.as_u64().ok_or("minimum_should_match: a whole number")?,
            Some(Value::String(text)) => {
                text.parse().map_err(|_| format!("minimum_should_match `{text}` is not supported; a whole number is"))?
            }
            Some(_) => return Err("minimum_should_match: a whole number".to_owned()),
        };
        match usize::try_from(needed).unwrap_or(usize::MAX) {
            0 => {}
            1 => all.push(Predicate::or(should)),
            needed if needed == should.len() => all.extend(should),
            needed => return Err(format!("minimum_should_match {needed} is not supported; 0, 1 or all are")),
        }
    }
    Ok(Predicate::and(all))
}

fn query_string(kind: &str, body: &Map<String, Value>, now_ns: i64) -> Result<Predicate, String> {
    let known = [
        "query",
        "default_field",
        "fields",
        "default_operator",
        "analyze_wildcard",
        "lenient",
        "boost",
        "allow_leading_wildcard",
        "time_zone",
    ];
    only(body, kind, &known)?;
    let written = text(body.get("query"), "query_string.query")?;
    let asked = body.get("default_field").and_then(Value::as_str).filter(|field| *field != "*" && field_name(field) != MESSAGE);
    if asked.is_some() || body.get("fields").is_some_and(|fields| fields != &serde_json::json!(["*"])) {
        return Err(format!("`{kind}` searches `message` by default; name other fields in the query itself, as in field:word"));
    }
    predicate::parse_at(&written, now_ns).map_err(|error| format!("{kind}: {error}"))
}

fn terms(body: &Map<String, Value>) -> Result<Predicate, String> {
    let mut fields = body.iter().filter(|(name, _)| *name != "boost");
    let (Some((field, values)), None) = (fields.next(), fields.next()) else {
        return Err("`terms` wants one field".to_owned());
    };
    let values = values.as_array().ok_or("`terms` wants a list of values")?;
    let any = values.iter().map(|value| Ok(equals(field, &scalar(value, "terms")?))).collect::<Result<_, String>>()?;
    Ok(Predicate::or(any))
}

fn equals(field: &str, value: &str) -> Predicate {
    let field = field_name(field);
    // A message is analysed text in the dialect: a term of it is a word.
    if field == MESSAGE { Predicate::words(field, value) } else { Predicate::exact(field, value) }
}

fn words(field: &str, value: &str, phrase: bool) -> Predicate {
    let field = field_name(field);
    if phrase {
        return Predicate::words(field, value);
    }
    Predicate::or(value.split_whitespace().map(|word| Predicate::words(field, word)).collect())
}

fn range(body: &Map<String, Value>, now_ns: i64) -> Result<Predicate, String> {
    let mut fields = body.iter().filter(|(name, _)| *name != "boost");
    let (Some((field, ends)), None) = (fields.next(), fields.next()) else { return Err("`range` wants one field".to_owned()) };
    let ends = object(ends, "range")?;
    only(ends, "range", &["gt", "gte", "lt", "lte", "from", "to", "format", "boost", "time_zone", "relation"])?;
    let end = |names: [&str; 2]| -> Result<Option<(String, bool)>, String> {
        for (name, inclusive) in [(names[0], true), (names[1], false)] {
            match ends.get(name) {
                None | Some(Value::Null) => {}
                Some(value) => return Ok(Some((scalar(value, name)?, inclusive))),
            }
        }
        Ok(None)
    };
    let (lower, upper) = (end(["gte", "gt"])?, end(["lte", "lt"])?);
    let name = field_name(field);
    if name != TIME {
        let borrowed = |end: &Option<(String, bool)>| end.as_ref().map(|(text, inclusive)| (text.clone(), *inclusive));
        let (lower, upper) = (borrowed(&lower), borrowed(&upper));
        return Ok(Predicate::range(
            Field::named(name),
            lower.as_ref().map(|(text, inclusive)| (text.as_str(), *inclusive)),
            upper.as_ref().map(|(text, inclusive)| (text.as_str(), *inclusive)),
        ));
    }
    let from = match lower {
        None => i64::MIN,
        Some((text, inclusive)) => instant(&text, now_ns)?.saturating_add(i64::from(!inclusive)),
    };
    let to = match upper {
        None => i64::MAX,
        Some((text, inclusive)) => instant(&text, now_ns)?.saturating_sub(i64::from(!inclusive)),
    };
    Ok(Predicate::time(from, to))
}

/// An instant of the dialect: an epoch in milliseconds, a date, or date maths (`now-1h`, `now-1d/d`, `2026-11-20||-1d`).
pub fn instant(text: &str, now_ns: i64) -> Result<i64, String> {
    if let Ok(ms) = text.parse::<i64>() {
        return ms.checked_mul(1_000_000).ok_or_else(|| format!("`{text}` is no time"));
    }
    let (anchor, maths) = match (text.strip_prefix("now"), text.split_once("||")) {
        (Some(rest), _) => (now_ns, rest),
        (None, Some((date, rest))) => (time::parse_relative(date, now_ns)?, rest),
        (None, None) => return time::parse_relative(text, now_ns),
    };
    let (shift, rounding) = maths.split_once('/').unwrap_or((maths, ""));
    let shifted = if shift.is_empty() { anchor } else { time::parse_relative(&format!("now{shift}"), anchor)? };
    let unit = match rounding {
        "" => 1,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => time::DAY_NS,
        other => return Err(format!("rounding to `{other}` is not supported; s, m, h and d are")),
    };
    Ok(shifted.div_euclid(unit) * unit)
}

/// `{field: value}` or `{field: {inner: value, …}}`.
fn one_field(body: &Value, kind: &str, known: &[&str], inner: &str) -> Result<(String, String), String> {
    let (field, value) = single(body, kind)?;
    let value = match value {
        Value::Object(options) => {
            only(options, kind, known)?;
            if options.get("case_insensitive") == Some(&Value::Bool(true)) {
                return Err(format!("`{kind}` with case_insensitive is not supported; words and phrases ignore case"));
            }
            options.get(inner).or_else(|| options.get("wildcard")).ok_or_else(|| format!("`{kind}` wants `{inner}`"))?
        }
        value => value,
    };
    Ok((field.to_owned(), scalar(value, kind)?))
}

fn single<'a>(value: &'a Value, what: &str) -> Result<(&'a str, &'a Value), String> {
    let fields = object(value, what)?;
    let mut fields = fields.iter();
    match (fields.next(), fields.next()) {
        (Some((name, value)), None) => Ok((name, value)),
        _ => Err(format!("{what} is an object with one member")),
    }
}

pub(super) fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("{what} is an object"))
}

/// Refuses members that would otherwise be ignored.
pub(super) fn only(body: &Map<String, Value>, what: &str, known: &[&str]) -> Result<(), String> {
    match body.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(format!("`{name}` of `{what}` is not supported")),
    }
}

fn text(value: Option<&Value>, what: &str) -> Result<String, String> {
    value.and_then(Value::as_str).map(str::to_owned).ok_or_else(|| format!("{what} is a string"))
}

fn scalar(value: &Value, what: &str) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(yes) => Ok(yes.to_string()),
        _ => Err(format!("`{what}` wants a string, a number or a boolean")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(query: Value, expected: &str) {
        let got = predicate(&query, 0).map(|predicate| predicate.to_string());
        let expected = predicate::parse(expected).map(|predicate| predicate.to_string()).map_err(|error| error.to_string());
        assert_eq!(got, expected, "{query}");
    }

    #[test]
    fn the_dsl_is_the_native_language_in_other_clothes() {
        check(json!({ "match_all": {} }), "*");
        check(json!({ "term": { "response": 503 } }), "response:=503");
        check(json!({ "term": { "verb.keyword": { "value": "GET" } } }), "verb:=GET");
        check(json!({ "terms": { "app": ["shop", "api"] } }), "app:=shop or app:=api");
        check(json!({ "match_phrase": { "message": "connection reset" } }), "message:\"connection reset\"");
        check(json!({ "match": { "message": "connection reset" } }), "message:connection or message:reset");
        check(json!({ "range": { "bytes": { "gte": 10, "lt": 20 } } }), "bytes:[10 TO 20}");
        check(json!({ "exists": { "field": "auth" } }), "auth:*");
        check(
            json!({ "bool": { "must": [{ "term": { "a": 1 } }], "must_not": { "term": { "b": 2 } }, "should": [{ "term": { "c": 3 } }] } }),
            "a:=1 -b:=2",
        );
        check(json!({ "bool": { "should": [{ "term": { "c": 3 } }, { "term": { "d": 4 } }] } }), "c:=3 or d:=4");
        check(
            json!({ "query_string": { "query": "app:shop AND response:>=500", "analyze_wildcard": true } }),
            "app:shop and response:>=500",
        );
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (query, name) in [
            (json!({ "fuzzy": { "a": "b" } }), "fuzzy"),
            (json!({ "bool": { "musst": [] } }), "musst"),
            (json!({ "range": { "a": { "geq": 1 } } }), "geq"),
            (json!({ "term": { "a": { "value": "b", "boots": 2 } } }), "boots"),
        ] {
            assert!(predicate(&query, 0).is_err_and(|why| why.contains(name)), "{query}");
        }
    }

    #[test]
    fn instants_are_milliseconds_dates_or_date_maths() {
        let now = 1_431_857_103_000_000_000;
        assert_eq!(instant("1431857103000", now), Ok(now));
        assert_eq!(instant("2015-05-17T10:05:03Z", now), Ok(now));
        assert_eq!(instant("now-1h", now), Ok(now - 3_600_000_000_000));
        assert_eq!(instant("now/d", now), Ok(time::day(now) * time::DAY_NS));
        assert!(instant("soon", now).is_err());
    }
}
