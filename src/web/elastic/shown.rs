//! Rows as documents: what of them is shown, and how.
//!
//! `_source` has a row's fields under their dotted names, flat. `tags` is always a list; of other fields a list of one value was
//! told as a value by the filters, and is shown as that. `fields`, `docvalue_fields` and `stored_fields` show values as lists.

use serde_json::{Map, Value, json};

use super::ask::Params;
use super::calendar::iso;
use super::dates::Dates;
use super::dsl::names::{names_like, shown_name};
use super::dsl::read::{each, maybe_text, object, only, text};
use super::highlight::Highlight;
use super::order::Order;
use crate::base::predicate::Glob;
use crate::base::row::TAGS;
use crate::store::query::{OutRow, OutValue};
use crate::web::rows::plain;

/// Most fields that `fields` and its kin name.
const NAMES: usize = 1000;

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
    format: Option<Dates>,
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
            shown.fields.extend(names.split(',').map(|name| Wanted { names: names_like(name), format: None }));
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
            shown.fields.extend(named.map(|name| Wanted { names: names_like(name), format: None }));
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
        members
            .filter(|(name, _)| !name.starts_with('_') && wanted(name))
            .map(|(name, value)| (name.to_owned(), member(name, value)))
            .collect()
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
                        Some(dates) => vec![dates.clone().write(*ns).into()],
                        None => vec![iso(*ns, &mut sawbox_guest::time::Zone::utc(), true).into()],
                    },
                    OutValue::List(items) => items.iter().map(|item| plain(&OutValue::Str(item.clone()))).collect(),
                    value => vec![plain(value)],
                };
                fields.insert(name.to_owned(), values.into());
            }
        }
        fields
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
            return Ok(Wanted { names: names_like(name), format: None });
        }
        let how = object(one, what)?;
        only(how, what, &["field", "format", "include_unmapped"])?;
        let format = maybe_text(how, "format")?.filter(|format| *format != "use_field_mapping");
        let format = format.map(|format| Dates::new(now_ns).format(Some(format))).transpose()?;
        Ok(Wanted { names: names_like(text(how.get("field"), what)?), format })
    };
    written.map_or(&[][..], each).iter().map(one).collect()
}
