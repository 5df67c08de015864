//! `translate`: a field's value is looked up in a table, as with Logstash's filter of that name.
//!
//! ```toml
//! [[topics.web.chain]]
//! filter = "translate"
//! config = { source = "response", target = "outcome", dictionary = { 200 = "OK", 404 = "not found" }, fallback = "?" }
//! ```
//! | option | default | what |
//! | --- | --- | --- |
//! | `source` (or `field`) | must be given | the field to look up; of a list the first value; a number as it is written |
//! | `target` (or `destination`) | `translation`; with ECS the source | where to put the translation |
//! | `dictionary` | | keys and values; or a list, key and value by turns, which keeps its order |
//! | `dictionary_path` | | instead: the name of a file in the box's folder `lookups`: `.csv`, `.json`, `.yml` |
//! | `exact` | `true` | the whole value is a key; without, keys are replaced wherever they stand in the value |
//! | `regex` | `false` | keys are regular expressions, of which the first that is found somewhere in the value counts; with `exact` |
//! | `fallback` | none | what is put where no key fits; may hold `%{field}` |
//! | `override` | `true` where source and target are one, else `false` | whether a target that is there is replaced |
//! | `iterate_on` | none | the source again: then every value of the list is translated |
//! | `ecs_compatibility` | `disabled` | `v1` or `v8`: only the default of `target` |
//! | `tag_on_failure` | none | tags of a record whose value no key fits and that has no fallback |
//! | `add_field`, `remove_field`, `add_tag`, `remove_tag` | | as everywhere ([`sawbox_guest::common`]), where something was put |
//!
//! Fields: the target alone. Values of `dictionary` keep their type (number, boolean), those of files are strings. Without a list
//! to keep an order, regular expressions and parts are tried in the order of their spelling. A record without the source is left
//! alone. At most 128 regular expressions.
//!
//! A file belongs to the chain as it was when the chain was made, so that a replay gives what live gave: change the chain (or
//! apply it again) to have a changed file take part. Therefore there is no `refresh_interval` and no `refresh_behaviour`.
//!
//! `response = 404` → `outcome = "not found"`.

mod parts;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

use sawbox_guest::common::{is_ecs, tags_on_failure};
use sawbox_guest::template::write_value;
use sawbox_guest::{
    Field, Filter, Json, Known, Lookup, Match, OnSuccess, Pattern, PatternKind, Record, Setup, Template, Value, Verdict, field,
};

use parts::Parts;

/// Most expressions: each is tried on each record.
const EXPRESSIONS: usize = 128;

/// The filter.
#[derive(Debug)]
pub struct Translate {
    source: Field,
    target: Field,
    is_each: bool,
    may_override: bool,
    dictionary: Dictionary,
    fallback: Option<Template>,
    tags: Vec<String>,
    success: OnSuccess,
    key: Vec<u8>,
    built: Vec<u8>,
}

/// A value of a dictionary.
#[derive(Clone, Debug)]
enum Constant {
    Str(Vec<u8>),
    Int(i64),
    Float(f64),
    Bool(bool),
}

impl Constant {
    fn new(value: &Json) -> Option<Self> {
        Some(match value {
            Json::Str(text) => Self::Str(text.clone().into_bytes()),
            Json::Bool(yes) => Self::Bool(*yes),
            Json::Number(_) => value.as_i64().map(Self::Int).or_else(|| value.as_f64().map(Self::Float))?,
            Json::Null | Json::Array(_) | Json::Object(_) => return None,
        })
    }

    fn value(&self) -> Value<'_> {
        match self {
            Self::Str(text) => Value::Str(text),
            Self::Int(number) => Value::Int(*number),
            Self::Float(number) => Value::Float(*number),
            Self::Bool(yes) => Value::Bool(*yes),
        }
    }
}

#[derive(Debug)]
enum Dictionary {
    Inline(HashMap<Vec<u8>, Constant, BuildHasherDefault<DefaultHasher>>),
    File(Lookup),
    Expressions(Vec<(Pattern, Constant)>),
    Parts(Parts),
}

/// What a dictionary says.
enum Found<'d> {
    Value(Value<'d>),
    Nothing,
}

impl Filter for Translate {
    fn init(setup: &mut Setup<'_>) -> Result<Self, String> {
        let config = setup.config();
        let own = [
            "source",
            "field",
            "target",
            "destination",
            "dictionary",
            "dictionary_path",
            "exact",
            "regex",
            "fallback",
            "override",
            "iterate_on",
            "ecs_compatibility",
            "tag_on_failure",
        ];
        if config.get("refresh_interval").is_some() || config.get("refresh_behaviour").is_some() {
            return Err("a file belongs to the chain as it was when the chain was made, so there is no refreshing: leave \
                        `refresh_interval` and `refresh_behaviour` out, and apply the chain again after changing the file"
                .into());
        }
        config.only(&[&own[..], &OnSuccess::KEYS].concat())?;
        let is_ecs = is_ecs(config)?;
        let source = either(config, "source", "field")?.ok_or("`source` must be given: the field to look up")?;
        let target = either(config, "target", "destination")?.unwrap_or(if is_ecs { source } else { "translation" });
        let (source, target) = (field::name(source)?, field::target(target)?);
        let is_each = match config.str_or("iterate_on", "")? {
            "" => false,
            name if field::name(name)? == source => true,
            _ => return Err("`iterate_on` must be the source: a list's values are translated one by one".into()),
        };
        let may_override = config.bool_or("override", source == target)?;
        let dictionary = dictionary(setup)?;
        let fallback = match setup.config().get("fallback") {
            None => None,
            Some(Json::Str(text)) => Some(Template::new(setup, text)?),
            Some(_) => return Err("`fallback` must be a string".into()),
        };
        let tags = match config.get("tag_on_failure") {
            Some(_) => tags_on_failure(config, "")?,
            None => Vec::new(),
        };
        setup.needs_payload(false);
        let (source, target) = (setup.field(&source)?, setup.target(&target)?);
        let success = OnSuccess::new(setup)?;
        let (key, built) = (Vec::new(), Vec::new());
        Ok(Self { source, target, is_each, may_override, dictionary, fallback, tags, success, key, built })
    }

    fn process(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>) {
        let is_in_place = self.source == self.target;
        if !self.may_override && record.value(self.target).is_some() {
            return;
        }
        let (mut is_any, mut is_found) = (false, false);
        let count = if self.is_each { usize::MAX } else { 1 };
        for value in record.list(self.source).take(count) {
            let key = match value {
                Value::Str(bytes) => bytes,
                other => {
                    self.key.clear();
                    write_value(other, &mut self.key);
                    &self.key
                }
            };
            let mut put = |verdict: &mut Verdict<'_>, value: Value<'_>| {
                if is_any {
                    verdict.add(self.target.name(), value);
                } else {
                    verdict.set(self.target.name(), value);
                }
                is_any = true;
            };
            match self.dictionary.get(record, key, &mut self.built) {
                Found::Value(value) => {
                    is_found = true;
                    put(verdict, value);
                }
                Found::Nothing => match &self.fallback {
                    Some(fallback) => {
                        is_found = true;
                        self.built.clear();
                        fallback.render(record, &mut self.built);
                        put(verdict, Value::Str(&self.built));
                    }
                    None if self.is_each && is_in_place => put(verdict, value),
                    None => {}
                },
            }
        }
        if record.value(self.source).is_none() {
            return;
        }
        if is_found {
            self.success.apply(record, verdict);
        } else {
            self.tags.iter().for_each(|tag| verdict.tag(tag));
        }
    }
}

impl Dictionary {
    fn get<'d>(&'d mut self, record: &Record<'_>, key: &[u8], built: &'d mut Vec<u8>) -> Found<'d> {
        match self {
            Self::Inline(table) => table.get(key).map_or(Found::Nothing, |value| Found::Value(value.value())),
            Self::File(lookup) => match lookup.get(record, key) {
                Known::Value(value) => Found::Value(Value::Str(value)),
                Known::Nothing | Known::NoAnswer => Found::Nothing,
            },
            Self::Expressions(list) => {
                let found = list.iter_mut().find_map(|(pattern, value)| match pattern.find(key) {
                    Match::Found(_) => Some(&*value),
                    Match::NotFound | Match::GaveUp => None,
                });
                found.map_or(Found::Nothing, |value| Found::Value(value.value()))
            }
            Self::Parts(parts) => {
                built.clear();
                if parts.replace(key, built) && key != built.as_slice() {
                    Found::Value(Value::Str(built))
                } else {
                    Found::Nothing
                }
            }
        }
    }
}

/// An option that has two names.
fn either<'c>(config: &'c Json, name: &str, old: &str) -> Result<Option<&'c str>, String> {
    match (config.get(name), config.get(old)) {
        (Some(_), Some(_)) => Err(format!("`{name}` and `{old}` mean the same: give one of them")),
        (Some(_), None) => config.str(name).map(Some),
        (None, Some(_)) => config.str(old).map(Some),
        (None, None) => Ok(None),
    }
}

fn dictionary(setup: &mut Setup<'_>) -> Result<Dictionary, String> {
    let config = setup.config();
    let (is_exact, is_regex) = (config.bool_or("exact", true)?, config.bool_or("regex", false)?);
    let path = config.str_or("dictionary_path", "")?;
    let given = config.get("dictionary");
    if path.is_empty() == given.is_none() {
        return Err("give `dictionary` or `dictionary_path`, and not both".into());
    }
    if !path.is_empty() && is_exact && !is_regex {
        return Ok(Dictionary::File(setup.lookup("table", path)?));
    }
    let pairs = match given {
        Some(given) => pairs(given)?,
        None => {
            let mut table = setup.lookup("table", path)?.table()?;
            table.sort_by(|(a, _), (b, _)| a.cmp(b));
            table.into_iter().map(|(key, value)| (key, Constant::Str(value.into_bytes()))).collect()
        }
    };
    if !is_exact {
        return Ok(Dictionary::Parts(Parts::new(pairs.into_iter().map(|(key, value)| {
            let mut text = Vec::new();
            write_value(value.value(), &mut text);
            (key.into_bytes(), text)
        }))));
    }
    if !is_regex {
        return Ok(Dictionary::Inline(pairs.into_iter().map(|(key, value)| (key.into_bytes(), value)).collect()));
    }
    if pairs.len() > EXPRESSIONS {
        return Err(format!(
            "there are {} expressions, and each would be tried on each record; {EXPRESSIONS} are allowed",
            pairs.len()
        ));
    }
    let mut expressions = Vec::new();
    for (key, value) in pairs {
        let pattern = setup.pattern(PatternKind::Regex, &key, &[]).map_err(|error| format!("`{key}`: {error}"))?;
        expressions.push((pattern, value));
    }
    Ok(Dictionary::Expressions(expressions))
}

fn pairs(given: &Json) -> Result<Vec<(String, Constant)>, String> {
    let wrong = |key: &str| format!("`dictionary.{key}` must be a string, a number or a boolean");
    match given {
        Json::Object(members) => {
            let mut pairs = Vec::new();
            for (key, value) in members {
                pairs.push((key.clone(), Constant::new(value).ok_or_else(|| wrong(key))?));
            }
            pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
            Ok(pairs)
        }
        Json::Array(elements) => {
            let (couples, rest) = elements.as_chunks::<2>();
            if !rest.is_empty() {
                return Err("`dictionary` as a list is key and value by turns: the last key has no value".into());
            }
            let mut pairs = Vec::new();
            for [key, value] in couples {
                let key = match key {
                    Json::Str(text) | Json::Number(text) => text.clone(),
                    _ => return Err("`dictionary` as a list is key and value by turns: a key must be a string".into()),
                };
                let value = Constant::new(value).ok_or_else(|| wrong(&key))?;
                pairs.push((key, value));
            }
            Ok(pairs)
        }
        _ => Err("`dictionary` must be a table, or a list of keys and values by turns".into()),
    }
}

sawbox_guest::filter!(Translate);

#[cfg(test)]
mod tests;
