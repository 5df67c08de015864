//! Rows as documents: what of them is shown, and how.
//!
//! `_source` is the object that a record was: a name with dots is a way through objects, as filters made it of them. Where one
//! field is named like an object of others (`a` beside `a.b`), or a part of a name is empty, names keep their dots. `tags` is
//! always a list; of other fields a list of one value was told as a value by the filters, and is shown as that. `fields`,
//! `docvalue_fields` and `stored_fields` are flat, and show values as lists.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::aggs::format::Format;
use super::ask::Params;
use super::calendar::iso;
use super::dsl::names::{KEYWORD, TIMESTAMP, names_like, shown_name};
use super::dsl::read::{each, maybe_text, object, only, text};
use super::highlight::Highlight;
use super::order::Order;
use crate::base::predicate::Glob;
use crate::base::row::TAGS;
use crate::store::query::{OutRow, OutValue};
use crate::web::rows::plain;

/// Most fields that `fields` and its kin name.
const NAMES: usize = 1000;
/// Deepest objects of `_source`, as in Elasticsearch.
const DEPTH: usize = 20;

/// What is shown of a document.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    source: Source,
    fields: Vec<Wanted>,
    no_id: bool,
    version: bool,
    sequence: bool,
    /// Marks what matched.
    pub highlight: Option<Highlight>,
}

/// Which fields `_source` has.
#[derive(Clone, Debug)]
enum Source {
    None,
    Like { include: Vec<Glob>, exclude: Vec<Glob> },
}

impl Default for Source {
    fn default() -> Self {
        Self::Like { include: Vec::new(), exclude: Vec::new() }
    }
}

/// A name of `fields`.
#[derive(Clone, Debug)]
struct Wanted {
    names: Glob,
    format: Option<Format>,
    /// Whether `.keyword` was behind the names: it is in the answer too.
    keyword: bool,
}

impl Wanted {
    fn new(names: &str, format: Option<Format>) -> Self {
        Self { names: names_like(names), format, keyword: names.ends_with(KEYWORD) }
    }
}

impl Shown {
    /// What a request says.
    ///
    /// # Errors
    /// What is not supported, by name.
    pub fn read(body: &Map<String, Value>, params: &Params, now_ns: i64) -> Result<Self, String> {
        let mut shown = Self { source: source(body.get("_source"), params)?, ..Self::default() };
        for name in ["fields", "docvalue_fields"] {
            shown.fields.extend(wanted(body.get(name), name, now_ns)?);
        }
        if let Some(names) = params.get("docvalue_fields") {
            shown.fields.extend(names.split(',').map(|name| Wanted::new(name, None)));
        }
        let stored: Option<Vec<String>> = match (body.get("stored_fields"), params.get("stored_fields")) {
            (Some(names), _) => Some(
                each(names).iter().map(|one| text(Some(one), "stored_fields").map(str::to_owned)).collect::<Result<_, _>>()?,
            ),
            (None, Some(names)) => Some(names.split(',').map(str::to_owned).collect()),
            (None, None) => None,
        };
        if let Some(stored) = stored {
            let source_too = body.contains_key("_source") || stored.iter().any(|name| name == "_source");
            if !source_too {
                shown.source = Source::None;
            }
            shown.no_id = stored.iter().any(|name| name == "_none_");
            let named = stored.iter().filter(|name| !name.starts_with('_') && **name != "*");
            shown.fields.extend(named.map(|name| Wanted::new(name, None)));
        }
        if shown.fields.len() > NAMES {
            return Err(format!("at most {NAMES} fields can be named"));
        }
        let flag = |name: &str| super::dsl::read::flag(body, name);
        shown.version = flag("version")?.unwrap_or_else(|| super::ask::param_flag(params, "version"));
        shown.sequence = flag("seq_no_primary_term")?.unwrap_or_else(|| super::ask::param_flag(params, "seq_no_primary_term"));
        shown.highlight = body.get("highlight").map(Highlight::read).transpose()?;
        Ok(shown)
    }

    /// Whether `_source` is shown.
    pub fn has_source(&self) -> bool {
        !matches!(self.source, Source::None)
    }

    /// `_source` of a row.
    pub fn source(&self, row: &OutRow) -> Map<String, Value> {
        let Source::Like { include, exclude } = &self.source else { return Map::new() };
        let wanted = |name: &str| (include.is_empty() || within(include, name)) && !within(exclude, name);
        let members = row.fields.iter().map(|(name, value)| (shown_name(name), value));
        let shown: Vec<(&str, &OutValue)> = members.filter(|(name, _)| !name.starts_with('_') && wanted(name)).collect();
        let has_objects = shown.iter().any(|(name, _)| name.contains('.'));
        let fields: HashSet<&str> = if has_objects { shown.iter().map(|(name, _)| *name).collect() } else { HashSet::new() };
        let mut source = Map::new();
        for (name, value) in shown {
            put(&mut source, way(name, &fields), name, member(name, value));
        }
        source
    }

    /// A hit.
    pub fn hit(&self, row: &OutRow, order: &Order) -> Value {
        let mut hit = Map::new();
        hit.insert("_index".to_owned(), row.get("_topic").map(plain).unwrap_or_default());
        if !self.no_id {
            hit.insert("_id".to_owned(), id(row).into());
        }
        if self.version {
            hit.insert("_version".to_owned(), 1.into());
        }
        if self.sequence {
            hit.insert("_seq_no".to_owned(), row.get("_offset").map(plain).unwrap_or_default());
            hit.insert("_primary_term".to_owned(), 1.into());
        }
        hit.insert("_score".to_owned(), Value::Null);
        if self.has_source() {
            hit.insert("_source".to_owned(), self.source(row).into());
        }
        let fields = self.fields(row);
        if !fields.is_empty() {
            hit.insert("fields".to_owned(), fields.into());
        }
        if let Some(marked) = self.highlight.as_ref().map(|highlight| highlight.row(row)).filter(|marked| !marked.is_empty()) {
            hit.insert("highlight".to_owned(), marked.into());
        }
        if !order.is_default() {
            hit.insert("sort".to_owned(), order.values(row).into());
        }
        hit.into()
    }

    fn fields(&self, row: &OutRow) -> Map<String, Value> {
        let mut fields = Map::new();
        for wanted in &self.fields {
            for (name, value) in row.fields.iter().map(|(name, value)| (shown_name(name), value)) {
                if name.starts_with('_') || !wanted.names.matches(name.as_bytes()) {
                    continue;
                }
                let values = match value {
                    OutValue::Time(ns) => match &wanted.format {
                        Some(Format::Date(dates)) => vec![dates.clone().write(*ns).into()],
                        _ => vec![iso(*ns, &mut sawbox_guest::time::Zone::utc(), true).into()],
                    },
                    OutValue::List(items) => items.iter().map(|item| plain(&OutValue::Str(item.clone()))).collect(),
                    value => {
                        let value = plain(value);
                        let number = wanted.format.as_ref().filter(|format| matches!(format, Format::Number(_)));
                        vec![number.and_then(|format| format.text(&value)).unwrap_or(value)]
                    }
                };
                fields.insert(if wanted.keyword { format!("{name}{KEYWORD}") } else { name.to_owned() }, values.into());
            }
        }
        fields
    }
}

/// How many of the dots of a name, from the first on, lead through objects.
fn way(name: &str, fields: &HashSet<&str>) -> usize {
    let dots = || name.match_indices('.').map(|(at, _)| at);
    let is_whole = || name.split('.').all(|part| !part.is_empty());
    if name.contains('.') && is_whole() {
        dots().take(DEPTH).take_while(|at| !fields.contains(&name[..*at])).count()
    } else {
        0
    }
}

/// Puts a value behind so many of the dots of its name. No field is named like an object, so that there always is one.
fn put(object: &mut Map<String, Value>, dots: usize, name: &str, value: Value) {
    match name.split_once('.').filter(|_| dots > 0) {
        None => drop(object.insert(name.to_owned(), value)),
        Some((first, rest)) => {
            if let Value::Object(inner) = object.entry(first).or_insert_with(|| Map::new().into()) {
                put(inner, dots - 1, rest, value);
            }
        }
    }
}

/// A member of `_source`.
fn member(name: &str, value: &OutValue) -> Value {
    match value {
        OutValue::Str(_) if name == TAGS => json!([plain(value)]),
        value => plain(value),
    }
}

/// A pattern names a field, or an object that it is in.
fn within(patterns: &[Glob], name: &str) -> bool {
    let objects = name.match_indices('.').map(|(at, _)| &name[..at]);
    objects.chain([name]).any(|name| patterns.iter().any(|glob| glob.matches(name.as_bytes())))
}

/// What a row is known by.
pub fn id(row: &OutRow) -> String {
    let part = |name: &str| row.get(name).map(plain).unwrap_or_default();
    let topic = part("_topic");
    format!("{}-{}-{}-{}", topic.as_str().unwrap_or_default(), part("_partition"), part("_offset"), part("_n"))
}

fn source(written: Option<&Value>, params: &Params) -> Result<Source, String> {
    let globs = |names: &Value| -> Result<Vec<Glob>, String> {
        each(names).iter().map(|one| text(Some(one), "_source").map(names_like)).collect()
    };
    let listed = |name: &str| -> Vec<Glob> {
        params
            .get(name)
            .into_iter()
            .flat_map(|names| names.split(','))
            .filter(|name| !name.is_empty())
            .map(names_like)
            .collect()
    };
    // What the URL says counts, whatever the body does.
    let by_url = ["_source", "_source_includes", "_source_excludes"].iter().any(|name| params.contains_key(*name));
    let written = written.filter(|_| !by_url);
    let (mut include, mut exclude) = (listed("_source_includes"), listed("_source_excludes"));
    match (written, params.get("_source").map(String::as_str)) {
        (Some(Value::Bool(false)), _) | (None, Some("false")) => return Ok(Source::None),
        (None | Some(Value::Null | Value::Bool(true)), Some("true") | None) | (Some(Value::Bool(true)), _) => {}
        (Some(Value::Object(how)), _) => {
            only(how, "_source", &["includes", "include", "excludes", "exclude"])?;
            for names in ["includes", "include"] {
                include.extend(how.get(names).map(globs).transpose()?.unwrap_or_default());
            }
            for names in ["excludes", "exclude"] {
                exclude.extend(how.get(names).map(globs).transpose()?.unwrap_or_default());
            }
        }
        (Some(names @ (Value::String(_) | Value::Array(_))), _) => include.extend(globs(names)?),
        (None | Some(Value::Null), Some(names)) => include.extend(names.split(',').map(names_like)),
        (Some(_), _) => return Err("`_source` is true, false, or names".to_owned()),
    }
    if include.len() + exclude.len() > NAMES {
        return Err(format!("at most {NAMES} fields can be named"));
    }
    Ok(Source::Like { include, exclude })
}

/// `fields`: names, or objects with `field` and `format`.
fn wanted(written: Option<&Value>, what: &str, now_ns: i64) -> Result<Vec<Wanted>, String> {
    let one = |one: &Value| -> Result<Wanted, String> {
        if let Value::String(name) = one {
            return Ok(Wanted::new(name, None));
        }
        let how = object(one, what)?;
        only(how, what, &["field", "format", "include_unmapped"])?;
        let format = maybe_text(how, "format")?.filter(|format| *format != "use_field_mapping");
        let name = text(how.get("field"), what)?;
        let is_date = (name == TIMESTAMP).then_some(true);
        Ok(Wanted::new(name, format.map(|format| Format::read(format, is_date, now_ns)).transpose()?))
    };
    written.map_or(&[][..], each).iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &[&str], options: Value, expected: Value) {
        check_with(names, options, &[], expected);
    }

    fn check_with(names: &[&str], options: Value, url: &[(&str, &str)], expected: Value) {
        let Value::Object(options) = options else { panic!("{options}") };
        let params: Params = url.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let shown = Shown::read(&options, &params, 0).unwrap();
        for names in [names.to_vec(), names.iter().rev().copied().collect()] {
            let fields = names.iter().map(|name| ((*name).into(), OutValue::Bool(true))).collect();
            assert_eq!(Value::Object(shown.source(&OutRow { fields })), expected, "{names:?} {options:?}");
        }
    }

    #[test]
    fn dots_lead_through_objects() {
        check(&["a", "b.c", "b.d.e"], json!({}), json!({ "a": true, "b": { "c": true, "d": { "e": true } } }));
        check(&["a", "a.b", "a.b.c", "a.d"], json!({}), json!({ "a": true, "a.b": true, "a.b.c": true, "a.d": true }));
        check(&["o.a", "o.a.b"], json!({}), json!({ "o": { "a": true, "a.b": true } }));
        check(&["a..b", ".c", "d.", "."], json!({}), json!({ "a..b": true, ".c": true, "d.": true, ".": true }));
        check(&["_topic", "_time", "x.y"], json!({}), json!({ "@timestamp": true, "x": { "y": true } }));
        let deep = "a.".repeat(3000) + "a";
        let fields = vec![(deep.as_str().into(), OutValue::Null)];
        let text = Value::Object(Shown::default().source(&OutRow { fields })).to_string();
        assert_eq!(text.matches('{').count(), DEPTH + 1);
    }

    #[test]
    fn what_is_shown_is_named_by_its_way() {
        let names = ["host.name", "host.os.kind", "hosts", "app"];
        check(&names, json!({ "_source": "host" }), json!({ "host": { "name": true, "os": { "kind": true } } }));
        check(
            &names,
            json!({ "_source": ["host.*", "ap?"] }),
            json!({ "host": { "name": true, "os": { "kind": true } }, "app": true }),
        );
        check(
            &names,
            json!({ "_source": { "includes": "h*", "excludes": ["*.kind"] } }),
            json!({ "host": { "name": true }, "hosts": true }),
        );
        check(&names, json!({ "_source": { "excludes": "host" } }), json!({ "hosts": true, "app": true }));
        check_with(&names, json!({ "_source": false }), &[("_source_includes", "ap*")], json!({ "app": true }));
        check_with(&names, json!({ "_source": "host" }), &[("_source", "app,hosts")], json!({ "app": true, "hosts": true }));
        // A value that is not shown is in nobody's way.
        check(&["a", "a.b"], json!({ "_source": ["a.*"] }), json!({ "a": { "b": true } }));
    }
}
