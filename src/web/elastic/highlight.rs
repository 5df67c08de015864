//! Marks in strings what a query looked for: words, phrases, patterns and expressions that were asked of the field.
//!
//! What a query excludes marks nothing. A string in which nothing is marked is left out.

use std::ops::Range;

use regex::bytes::Regex;
use serde_json::{Map, Value};

use super::dsl::names::{names_like, shown_name};
use super::dsl::read::{count, each, flag, maybe_text, object, only, text};
use crate::base::predicate::{Field, Glob, Leaf, Piece, Predicate, Test, Words, is_word_byte};
use crate::store::query::{OutRow, OutValue};

/// Most marks in a string.
const MARKS: usize = 1000;
/// Options that choose between ways to do it, of which we have one.
const HARMLESS: [&str; 13] = [
    "type",
    "order",
    "no_match_size",
    "boundary_chars",
    "boundary_max_scan",
    "boundary_scanner",
    "boundary_scanner_locale",
    "force_source",
    "fragmenter",
    "fragment_offset",
    "matched_fields",
    "phrase_limit",
    "tags_schema",
];

/// What is marked, and how.
#[derive(Clone, Debug)]
pub struct Highlight {
    fields: Vec<(Glob, How)>,
    marks: Vec<Mark>,
}

#[derive(Clone, Debug)]
struct How {
    before: String,
    after: String,
    /// About how many bytes a fragment has.
    size: usize,
    /// How many fragments; none: the whole string.
    fragments: usize,
    same_field: bool,
    html: bool,
    /// Marks end before that byte, if it is said.
    upto: Option<usize>,
}

/// Something that was looked for.
#[derive(Clone, Debug)]
struct Mark {
    field: Field,
    find: Find,
}

#[derive(Clone, Debug)]
enum Find {
    Words(Words),
    Regex(Regex),
    Whole(Box<str>),
}

/// Options that would change what is shown, and do not.
fn refuse_some(options: &Map<String, Value>) -> Result<(), String> {
    for name in ["no_match_size", "fragment_offset"] {
        if count(options, name)?.is_some_and(|number| number > 0) {
            return Err(format!("`{name}` of `highlight` is not supported"));
        }
    }
    if options.get("matched_fields").map(each).is_some_and(|fields| !fields.is_empty()) {
        return Err("`matched_fields` of `highlight` is not supported".to_owned());
    }
    match maybe_text(options, "tags_schema")? {
        None | Some("default") => Ok(()),
        Some(other) => Err(format!("the `tags_schema` {other} of `highlight` is not supported; pre_tags and post_tags are")),
    }
}

fn how(options: &Map<String, Value>, outer: Option<&How>) -> Result<How, String> {
    refuse_some(options)?;
    let tag = |name: &str, outer: Option<&String>, usual: &str| -> Result<String, String> {
        match options.get(name).map(each).and_then(<[Value]>::first) {
            Some(tag) => text(Some(tag), name).map(str::to_owned),
            None => Ok(outer.map_or(usual, String::as_str).to_owned()),
        }
    };
    let html = match maybe_text(options, "encoder")? {
        None => outer.is_some_and(|outer| outer.html),
        Some("default") => false,
        Some("html") => true,
        Some(other) => return Err(format!("the encoder `{other}` of `highlight` is not supported")),
    };
    Ok(How {
        before: tag("pre_tags", outer.map(|outer| &outer.before), "<em>")?,
        after: tag("post_tags", outer.map(|outer| &outer.after), "</em>")?,
        size: count(options, "fragment_size")?.unwrap_or(outer.map_or(100, |outer| outer.size)),
        fragments: count(options, "number_of_fragments")?.unwrap_or(outer.map_or(5, |outer| outer.fragments)),
        same_field: flag(options, "require_field_match")?.unwrap_or(outer.is_none_or(|outer| outer.same_field)),
        html,
        upto: count(options, "max_analyzed_offset")?.or(outer.and_then(|outer| outer.upto)),
    })
}

impl Highlight {
    /// Reads `highlight`.
    ///
    /// # Errors
    /// What is not supported, by name.
    pub fn read(written: &Value) -> Result<Self, String> {
        let own = [
            "fields",
            "pre_tags",
            "post_tags",
            "fragment_size",
            "number_of_fragments",
            "require_field_match",
            "encoder",
            "max_analyzed_offset",
        ];
        let known: Vec<&str> = own.into_iter().chain(HARMLESS).collect();
        let body = object(written, "highlight")?;
        only(body, "highlight", &known)?;
        let outer = how(body, None)?;
        let mut fields = Vec::new();
        for one in body.get("fields").map_or(&[][..], each) {
            for (name, options) in object(one, "highlight.fields")? {
                let options = object(options, "highlight.fields")?;
                only(options, "highlight.fields", &known[1..])?;
                fields.push((names_like(name), how(options, Some(&outer))?));
            }
        }
        Ok(Self { fields, marks: Vec::new() })
    }

    /// What the query looks for.
    pub fn look_for(&mut self, predicate: &Predicate) {
        match predicate {
            Predicate::All | Predicate::Not(_) => {}
            Predicate::And(all) | Predicate::Or(all) => all.iter().for_each(|one| self.look_for(one)),
            Predicate::Leaf(leaf) if self.marks.len() < MARKS => self.marks.extend(mark(leaf)),
            Predicate::Leaf(_) => {}
        }
    }

    /// The marked strings of a row.
    pub fn row(&self, row: &OutRow) -> Map<String, Value> {
        let mut marked = Map::new();
        for (stored, value) in row.fields.iter().filter(|(name, _)| !name.starts_with('_')) {
            let name = shown_name(stored);
            let Some((_, how)) = self.fields.iter().find(|(names, _)| names.matches(name.as_bytes())) else { continue };
            let own = self.marks.iter().filter(|mark| !how.same_field || mark.field.is(stored));
            let own: Vec<&Mark> = own.collect();
            let mut fragments = Vec::new();
            match value {
                OutValue::Str(bytes) => show(bytes, &own, how, &mut fragments),
                OutValue::List(items) => items.iter().for_each(|item| show(item, &own, how, &mut fragments)),
                _ => {}
            }
            if how.fragments > 0 {
                fragments.truncate(how.fragments);
            }
            if !fragments.is_empty() {
                marked.insert(name.to_owned(), fragments.into());
            }
        }
        marked
    }
}

fn mark(leaf: &Leaf) -> Option<Mark> {
    let find = match &leaf.test {
        Test::Words(words, _) => Find::Words(words.clone()),
        Test::Exact(exact) => Find::Whole(exact.text.clone()),
        Test::Regex(pattern) => Find::Regex(Regex::new(pattern.text()).ok()?),
        Test::Like(glob) => Find::Regex(like(glob)?),
        Test::Exists | Test::Range(_) | Test::Net(_) | Test::Time(_) => return None,
    };
    Some(Mark { field: leaf.field.clone(), find })
}

/// What a pattern finds: of one within words, to the end of the word.
fn like(glob: &Glob) -> Option<Regex> {
    let mut expression = if glob.is_whole() { r"(?s-u)\A".to_owned() } else { r"(?i-u)".to_owned() };
    for piece in glob.pieces() {
        match piece {
            Piece::Text(text) => expression.push_str(&regex::escape(text)),
            Piece::Run if glob.is_whole() => expression.push_str(".*"),
            Piece::Run => expression.push_str(r"[^\s]*"),
            Piece::One => expression.push('.'),
        }
    }
    if glob.is_whole() {
        expression.push_str(r"\z");
    }
    Regex::new(&expression).ok()
}

/// Where marks lie in a string: in order, none within another.
fn found(bytes: &[u8], marks: &[&Mark]) -> Vec<Range<usize>> {
    let mut all = Vec::new();
    for mark in marks {
        match &mark.find {
            Find::Whole(text) if text.as_bytes() == bytes => all.push(0..bytes.len()),
            Find::Whole(_) => {}
            Find::Regex(regex) => all.extend(regex.find_iter(bytes).take(MARKS).map(|hit| hit.range())),
            Find::Words(words) => {
                let mut from = 0;
                while let Some(hit) = words.needle().find(bytes, from).filter(|_| all.len() < MARKS) {
                    from = hit.end.max(from + 1);
                    if words.is_whole(bytes, &hit) {
                        all.push(hit);
                    }
                }
            }
        }
    }
    all.retain(|range| !range.is_empty());
    all.sort_unstable_by_key(|range| (range.start, range.end));
    let mut apart: Vec<Range<usize>> = Vec::new();
    for range in all {
        match apart.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => apart.push(range),
        }
    }
    apart.truncate(MARKS);
    apart
}

fn show(bytes: &[u8], marks: &[&Mark], how: &How, out: &mut Vec<Value>) {
    let mut hits = found(bytes, marks);
    hits.retain(|hit| how.upto.is_none_or(|upto| hit.end <= upto));
    if hits.is_empty() {
        return;
    }
    if how.fragments == 0 || how.size >= bytes.len() || how.size == 0 {
        out.push(marked(bytes, 0..bytes.len(), &hits, how).into());
        return;
    }
    let mut from = 0;
    while let Some(first) = hits.get(from) {
        // As many marks as fit, and words around them.
        let count = hits[from..].iter().take_while(|hit| hit.end <= first.start + how.size).count().max(1);
        let end = hits[from + count - 1].end;
        let room = how.size.saturating_sub(end - first.start) / 2;
        let before = if from == 0 { 0 } else { hits[from - 1].end };
        let after = hits.get(from + count).map_or(bytes.len(), |next| next.start);
        let start = edge(bytes, first.start.saturating_sub(room).max(before), first.start, true);
        let stop = edge(bytes, end.saturating_add(room).min(after), end, false);
        out.push(marked(bytes, start..stop, &hits[from..from + count], how).into());
        from += count;
    }
}

/// A place near `wanted`, towards `hit`, where no word is cut.
fn edge(bytes: &[u8], wanted: usize, hit: usize, is_start: bool) -> usize {
    let cuts = |at: usize| at > 0 && at < bytes.len() && is_word_byte(bytes[at - 1]) && is_word_byte(bytes[at]);
    let mut at = wanted;
    while at != hit && cuts(at) {
        at = if is_start { at + 1 } else { at - 1 };
    }
    at
}

fn marked(bytes: &[u8], part: Range<usize>, hits: &[Range<usize>], how: &How) -> String {
    let piece = |range: Range<usize>| {
        let text = String::from_utf8_lossy(bytes.get(range).unwrap_or_default());
        if how.html {
            text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
        } else {
            text.into_owned()
        }
    };
    let mut out = String::new();
    let mut from = part.start;
    for hit in hits {
        out.push_str(&piece(from..hit.start));
        out.push_str(&how.before);
        out.push_str(&piece(hit.clone()));
        out.push_str(&how.after);
        from = hit.end;
    }
    out.push_str(&piece(from..part.end));
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::web::elastic::dsl;

    fn check(query: Value, options: Value, text: &str, expected: Value) {
        let mut highlight = Highlight::read(&options).unwrap();
        highlight.look_for(&dsl::predicate(&query, 0).unwrap());
        let row = OutRow { fields: vec![("message".into(), OutValue::Str(text.as_bytes().into()))] };
        assert_eq!(Value::from(highlight.row(&row)).get("message").cloned().unwrap_or(Value::Null), expected, "{query}");
    }

    #[test]
    fn what_was_looked_for_is_marked() {
        let all = || json!({ "fields": { "*": {} }, "pre_tags": ["["], "post_tags": ["]"], "fragment_size": 2147483647 });
        let text = "GET /cart failed: connection reset, Reset again";
        check(
            json!({ "match": { "message": "reset" } }),
            all(),
            text,
            json!(["GET /cart failed: connection [reset], [Reset] again"]),
        );
        check(
            json!({ "match_phrase": { "message": "connection reset" } }),
            all(),
            text,
            json!(["GET /cart failed: [connection reset], Reset again"]),
        );
        check(
            json!({ "query_string": { "query": "conn* AND NOT absent" } }),
            all(),
            text,
            json!(["GET /cart failed: [connection] reset, Reset again"]),
        );
        check(
            json!({ "query_string": { "query": "/c[a-z]rt/" } }),
            all(),
            text,
            json!(["GET /[cart] failed: connection reset, Reset again"]),
        );
        check(json!({ "bool": { "must_not": { "match": { "message": "absent" } } } }), all(), text, Value::Null);
        check(json!({ "term": { "app": "cart" } }), all(), text, Value::Null);
        let any = json!({ "fields": { "message": { "require_field_match": false } }, "encoder": "html" });
        check(json!({ "match": { "app": "cart" } }), any, "<cart>", json!(["&lt;<em>cart</em>&gt;"]));
    }

    #[test]
    fn what_would_be_shown_otherwise_is_refused() {
        for (name, value) in [
            ("no_match_size", json!(150)),
            ("fragment_offset", json!("3")),
            ("matched_fields", json!(["a"])),
            ("tags_schema", json!("styled")),
        ] {
            let own = json!({ "fields": { "*": { name: value } } });
            assert!(Highlight::read(&own).is_err_and(|why| why.contains(name)), "{own}");
        }
        let none = json!({ "no_match_size": 0, "tags_schema": "default", "type": "plain", "fields": { "*": {} } });
        assert!(Highlight::read(&none).is_ok());
    }

    #[test]
    fn fragments_are_cut_between_words() {
        let options = json!({ "fields": { "message": {} }, "fragment_size": 20, "number_of_fragments": 2 });
        let text = "first needle here and a long way to go until the second needle is there, then a third needle ends it";
        check(
            json!({ "match": { "message": "needle" } }),
            options,
            text,
            json!(["first <em>needle</em> here ", "second <em>needle</em> is "]),
        );
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_lost_or_cut_amiss(text in "\\PC{0,60}( needle \\PC{0,20}){0,4}", size in 0usize..80, many in 0usize..4) {
            let options = json!({ "fields": { "*": {} }, "pre_tags": [""], "post_tags": [""], "fragment_size": size, "number_of_fragments": many });
            let mut highlight = Highlight::read(&options).unwrap();
            highlight.look_for(&dsl::predicate(&json!({ "match": { "message": "needle" } }), 0).unwrap());
            let row = OutRow { fields: vec![("message".into(), OutValue::Str(text.as_bytes().into()))] };
            for fragment in highlight.row(&row).values().flat_map(|all| all.as_array().unwrap()) {
                let fragment = fragment.as_str().unwrap().trim_matches('\u{fffd}');
                let is_part = text.contains(fragment);
                proptest::prop_assert!(is_part);
            }
        }
    }
}
