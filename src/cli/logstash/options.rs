//! The options of Logstash's plugins as configuration of filters.
//!
//! Lists of pairs become tables, a name that occurs again gets a list, `true` and `false` of an option are switches, and what speaks of
//! Logstash's own workings goes.

use serde_json::{Map, Value as Json};

use super::tree::{Plugin, Value};

/// Options that are about Logstash's own workings.
const ITS_OWN: [&str; 10] = [
    "id",
    "enable_metric",
    "periodic_flush",
    "timeout_millis",
    "timeout_scope",
    "lru_cache_size",
    "cache_size",
    "refresh_interval",
    "refresh_behaviour",
    "max_map_size",
];
/// Options that are tables, and may be written as lists of pairs.
const TABLES: [&str; 16] = [
    "add_field",
    "coerce",
    "convert",
    "convert_datatype",
    "copy",
    "default_keys",
    "dictionary",
    "join",
    "mapping",
    "match",
    "merge",
    "pattern_definitions",
    "rename",
    "replace",
    "split",
    "update",
];
/// Options that are one text: of a list with one, Logstash takes that.
const TEXTS: [&str; 7] = ["destination", "field", "locale", "prefix", "source", "target", "timezone"];

/// Types of grok's fields.
const TYPES: [&str; 6] = ["int", "integer", "long", "float", "double", "string"];

/// `[a][b]` as `a.b`.
pub(super) fn dotted(name: &str) -> String {
    match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(inner) => inner.replace("][", "."),
        None => name.to_owned(),
    }
}

/// The options of a plugin as a filter takes them.
pub(super) fn config(plugin: &Plugin) -> Map<String, Json> {
    let mut config = Map::new();
    for (name, value) in &plugin.options {
        if ITS_OWN.contains(&name.as_str()) {
            continue;
        }
        let value = match json(value) {
            Json::Array(list) if TABLES.contains(&name.as_str()) && plugin.name != "date" && list.len() % 2 == 0 => {
                pairs(&list)
            }
            Json::Array(mut list) if TEXTS.contains(&name.as_str()) && list.len() == 1 => list.remove(0),
            // Only an option itself is a switch; in a table "true" is a text.
            Json::String(text) if text == "true" || text == "false" => Json::Bool(text == "true"),
            other => other,
        };
        match (config.get_mut(name), value) {
            // Logstash lets an option be given again: then it adds to the first.
            (Some(Json::Object(first)), Json::Object(more)) => first.extend(more),
            (Some(Json::Array(first)), Json::Array(more)) => first.extend(more),
            (_, value) => {
                config.insert(name.clone(), value);
            }
        }
    }
    config
}

/// Logstash's throttle adds its tag to what is throttled; the filter here says so in an option of its own, and names fields.
fn renamed(config: &mut Map<String, Json>) {
    if let Some(tag) = config.remove("add_tag").and_then(|tags| strings(&tags).into_iter().next()) {
        config.insert("tag".into(), tag.into());
    }
    if let Some(Json::String(key)) = config.get("key") {
        let fields = key.split("%{").skip(1).filter_map(|rest| rest.split('}').next()).map(dotted);
        let fields: Vec<Json> = fields.map(Json::from).collect();
        config.insert("key".into(), fields.into());
    }
}

/// A list of names and values as a table; a name that occurs again has a list.
fn pairs(list: &[Json]) -> Json {
    let mut table = Map::new();
    for pair in list.chunks_exact(2) {
        let [name, value] = pair else { continue };
        let name = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
        match table.get_mut(&name) {
            Some(Json::Array(values)) => values.push(value.clone()),
            Some(first) => *first = Json::Array(vec![first.clone(), value.clone()]),
            None => {
                table.insert(name, value.clone());
            }
        }
    }
    Json::Object(table)
}

pub(super) fn json(value: &Value) -> Json {
    match value {
        Value::Text(text) => Json::from(text.as_str()),
        Value::Number(number) => serde_json::from_str(number).unwrap_or_else(|_| Json::from(number.as_str())),
        Value::List(list) => list.iter().map(json).collect(),
        Value::Table(table) => {
            let flat: Vec<Json> = table.iter().flat_map(|(name, value)| [Json::from(name.as_str()), json(value)]).collect();
            pairs(&flat)
        }
        Value::Plugin(plugin) => Json::from(plugin.name.as_str()),
    }
}

pub(super) fn strings(value: &Json) -> Vec<String> {
    match value {
        Json::String(text) => vec![text.clone()],
        Json::Array(list) => list.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// Every text in a value.
fn texts<'a>(value: &'a Json, all: &mut Vec<&'a str>) {
    match value {
        Json::String(text) => all.push(text),
        Json::Array(list) => list.iter().for_each(|value| texts(value, all)),
        Json::Object(table) => table.iter().for_each(|(name, value)| {
            all.push(name);
            texts(value, all);
        }),
        _ => {}
    }
}

/// The fields under `@metadata` that a value names.
pub(super) fn metadata(value: &Json) -> Vec<String> {
    let mut all = Vec::new();
    texts(value, &mut all);
    let mut names = Vec::new();
    for text in all {
        for rest in text.split("[@metadata]").skip(1) {
            let inner: String = rest.chars().take_while(|c| !c.is_whitespace() && !matches!(c, '}' | ':' | '"')).collect();
            if inner.starts_with('[') && inner.ends_with(']') {
                names.push(format!("@metadata.{}", dotted(&inner)));
            }
        }
    }
    names
}

/// Says a plugin's options in the words of the filter of its name, where it has others; what a person must know of that.
pub(super) fn adapted(plugin: &str, config: &mut Map<String, Json>) -> Vec<String> {
    let mut notes = Vec::new();
    match plugin {
        "throttle" => renamed(config),
        "json" => {
            // Logstash tags what is no object, or, with this option, passes it on in silence.
            let is_lenient = config.remove("skip_on_invalid_json") == Some(Json::Bool(true));
            config.insert("mode".into(), if is_lenient { "lenient" } else { "strict" }.into());
            if is_lenient {
                config.insert("tag_on_failure".into(), Json::Array(Vec::new()));
            }
        }
        "grok" => {
            match config.remove("named_captures_only") {
                None | Some(Json::Bool(true)) => {}
                Some(_) => {
                    notes.push("`grok`: `named_captures_only => false` is left out: names without a field set none".into())
                }
            }
            match config.remove("patterns_files_glob") {
                None => {}
                Some(Json::String(glob)) if glob == "*" => {}
                Some(glob) => notes.push(format!("`grok`: `patterns_files_glob` {glob} is left out: all files are read")),
            }
            for option in ["match", "pattern_definitions"] {
                config.get_mut(option).into_iter().for_each(|value| untyped(value, &mut notes));
            }
        }
        "useragent" if config.remove("regexes").is_some() => {
            notes.push("`useragent`: `regexes` is left out: the rules are built in".into());
        }
        "translate" | "geoip" => {
            for option in ["dictionary_path", "database"] {
                let Some(Json::String(path)) = config.get_mut(option) else { continue };
                if let Some((_, name)) = path.rsplit_once('/') {
                    notes.push(format!("`{plugin}`: put {path} into the folder `lookups` of the data directory, as `{name}`"));
                    *path = name.to_owned();
                }
            }
        }
        _ => {}
    }
    notes
}

/// Takes types that are none out of grok's references: Logstash leaves such a field the text that it is.
fn untyped(value: &mut Json, notes: &mut Vec<String>) {
    match value {
        Json::String(text) => {
            let (mut plain, mut rest) = (String::new(), text.as_str());
            while let Some(at) = rest.find("%{") {
                let end = rest[at..].find('}').map_or(rest.len(), |end| at + end);
                let reference = &rest[at..end];
                plain.push_str(&rest[..at]);
                rest = &rest[end..];
                match reference.match_indices(':').nth(1) {
                    Some((colon, _)) if !TYPES.contains(&reference[colon + 1..].split(':').next().unwrap_or("")) => {
                        plain.push_str(&reference[..colon]);
                        notes.push(format!(
                            "`grok`: `{reference}}}` has no type that there is, for Logstash either: it stays a text"
                        ));
                    }
                    _ => plain.push_str(reference),
                }
            }
            plain.push_str(rest);
            *text = plain;
        }
        Json::Array(list) => list.iter_mut().for_each(|value| untyped(value, notes)),
        Json::Object(table) => table.values_mut().for_each(|value| untyped(value, notes)),
        _ => {}
    }
}

/// The elements of lists that a value names, like `[a][0]`: fields have names alone here.
pub(super) fn elements(value: &Json) -> Vec<String> {
    let mut all = Vec::new();
    texts(value, &mut all);
    let mut found = Vec::new();
    for text in all {
        for (at, _) in text.match_indices("][") {
            let inside = text[at + 2..].split(']').next().unwrap_or("");
            let is_index = !inside.is_empty() && inside.strip_prefix('-').unwrap_or(inside).bytes().all(|c| c.is_ascii_digit());
            if is_index && text[at + 2..].contains(']') {
                let start = text[..at].rfind(|c: char| c.is_whitespace() || matches!(c, '{' | '}')).map_or(0, |at| at + 1);
                found.push(format!("{}][{inside}]", &text[start..at]));
            }
        }
    }
    found
}

/// The tag that says that a filter did not succeed.
pub(super) fn failure_tag(filter: &str, config: &Map<String, Json>) -> Option<String> {
    if let Some(own) = config.get("tag_on_failure") {
        return strings(own).into_iter().next();
    }
    let tag = match filter {
        "grok" => "_grokparsefailure",
        "json" => "_jsonparsefailure",
        "date" => "_dateparsefailure",
        "csv" => "_csvparsefailure",
        "dissect" => "_dissectfailure",
        "geoip" => "_geoip_lookup_failure",
        _ => return None,
    };
    Some(tag.to_owned())
}
