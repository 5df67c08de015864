//! From Logstash's plugins to the entries of a chain.
//!
//! The stock filters keep the meaning and the options of Logstash's plugins of their names, so most of a configuration goes over as
//! it is. What differs is done here:
//! * Branches become conditions: the plugins of an `else` get the negation of what stands before. Where a plugin of a branch may
//!   change what a condition of it looks at, the decision is taken once, kept as a tag, and the tag removed at the end, because
//!   Logstash too decides before it begins.
//! * Lists of pairs (`rename => ["a", "b"]`) become tables, files of patterns are read in, and options that speak of Logstash's own
//!   workings (`id`, `enable_metric` …) are left out without a word.
//! * What a filter does only on success (`add_tag` and its like) and a filter here does not know becomes a `mutate` behind it.
//!
//! Every entry is tried on the filter itself ([`Knows::accepts`]): what it refuses is left out and said, in words, with the line.

use serde_json::{Map, Value as Json};

use super::condition;
use super::options::{adapted, config, dotted, elements, failure_tag, json, metadata, strings};
use super::tree::{Condition, Item, Plugin, Value, not};

/// What must be known of the box to translate for it.
pub(super) trait Knows {
    /// Whether a filter takes a configuration.
    ///
    /// # Errors
    /// The filter's own words.
    fn accepts(&self, filter: &str, config: &Map<String, Json>) -> Result<(), String>;
    /// The fields that a grok expression may set; `None` where it cannot be compiled.
    fn captures(&self, expression: &str, definitions: &Map<String, Json>) -> Option<Vec<String>>;
    /// The patterns in the files of a directory: names and what they stand for.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn patterns(&self, directory: &str) -> Result<Vec<(String, String)>, String>;
}

/// An entry of a chain.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) filter: String,
    pub(super) when: Option<String>,
    pub(super) config: Map<String, Json>,
    /// Line of the plugin it comes from.
    pub(super) line: usize,
}

/// Something that a person must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) line: usize,
    pub(super) text: String,
}

/// What became of a pipeline.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Translation {
    pub(super) entries: Vec<Entry>,
    pub(super) notes: Vec<Note>,
    /// Plugins of `filter` sections, and how many of them made an entry.
    pub(super) plugins: usize,
    pub(super) translated: usize,
}

/// Plugins that have a filter of the same name.
const SAME: [&str; 18] = [
    "csv",
    "date",
    "dissect",
    "dns",
    "drop",
    "geoip",
    "grok",
    "json",
    "kv",
    "multiline",
    "mutate",
    "redact",
    "sample",
    "syslog",
    "syslog_pri",
    "throttle",
    "translate",
    "useragent",
];
/// What to do where there is no filter of a name.
const ADVICE: [(&str, &str); 11] = [
    ("aggregate", "a filter of your own can keep state between records: `sawbox filter new`"),
    ("clone", "the filter `route` passes records on to another topic"),
    ("elasticsearch", "filters have no network; load the table into a file and use `translate`"),
    (
        "fingerprint",
        "every row has an identity: topic, partition and offset. For another one write a filter: `sawbox filter new`",
    ),
    ("jdbc_static", "filters have no network; load the table into a file and use `translate`"),
    ("jdbc_streaming", "filters have no network; load the table into a file and use `translate`"),
    ("metrics", "a query counts: `sawbox query '* | stats count() by bin(1m)'`"),
    ("ruby", "write it as a filter, in a language of your choice: `sawbox filter new`"),
    ("split", "one record makes one row here; `route` can emit"),
    ("urldecode", "write a filter: `sawbox filter new`"),
    ("uuid", "every row has an identity: topic, partition and offset"),
];
/// Options that hold regular expressions, in which brackets are no fields.
const EXPRESSIONS: [&str; 6] =
    ["field_split_pattern", "gsub", "match", "pattern", "pattern_definitions", "value_split_pattern"];
/// What every plugin does where it succeeded.
const ON_SUCCESS: [&str; 4] = ["add_field", "add_tag", "remove_field", "remove_tag"];

/// What the files of one pipeline have in common.
#[derive(Debug, Default)]
pub(super) struct Common {
    metadata: Vec<String>,
    /// Arms whose decision is kept as a tag: each has its own, also those of a branch at the same line, within the other.
    decisions: usize,
}

impl Common {
    /// The end of the chain: Logstash keeps `@metadata` from its outputs; here such fields are fields like others, and are removed.
    pub(super) fn end(mut self) -> Option<Entry> {
        if self.metadata.is_empty() {
            return None;
        }
        self.metadata.sort_unstable();
        self.metadata.dedup();
        let config = Map::from_iter([("remove_field".to_owned(), Json::from(self.metadata))]);
        Some(Entry { filter: "mutate".into(), when: None, config, line: 0 })
    }
}

/// Translates filters of a pipeline: those of one file.
pub(super) fn translate(filters: &[Item], knows: &dyn Knows, common: &mut Common) -> Translation {
    let mut translator = Translator { knows, done: Translation::default(), common };
    translator.items(filters, None);
    translator.done
}

struct Translator<'k> {
    knows: &'k dyn Knows,
    done: Translation,
    common: &'k mut Common,
}

impl Translator<'_> {
    fn note(&mut self, line: usize, text: impl Into<String>) {
        self.done.notes.push(Note { line, text: text.into() });
    }

    fn items(&mut self, items: &[Item], when: Option<&str>) {
        for item in items {
            match item {
                Item::Plugin(plugin) => self.plugin(plugin, when),
                Item::Branch(arms) => self.branch(arms, when),
            }
        }
    }

    fn branch(&mut self, arms: &[(Option<Condition>, Vec<Item>)], outer: Option<&str>) {
        let mut plugins = Vec::new();
        arms.iter().for_each(|(_, items)| flatten(items, &mut plugins));
        let line = plugins.first().map_or(0, |plugin| plugin.line);
        let mut conditions = Vec::new();
        let mut negated: Vec<String> = Vec::new();
        for (condition, items) in arms {
            let said = condition.as_ref().map(|condition| {
                // A branch within puts its own condition behind this one.
                let is_alone =
                    outer.is_none() && negated.is_empty() && items.iter().all(|item| matches!(item, Item::Plugin(_)));
                let own = if is_alone { condition::when(condition) } else { condition::in_parentheses(condition) };
                Ok::<_, String>((own?, condition::in_parentheses(&not(condition.clone()))?))
            });
            let (mut parts, mut fields) = (Vec::new(), Vec::new());
            condition.iter().for_each(|condition| condition::fields(condition, &mut fields));
            for field in fields.into_iter().filter(|field| field.split('.').any(|part| part.parse::<i64>().is_ok())) {
                self.note(line, format!("`{field}` is no field here: elements of lists have no names of their own"));
            }
            condition.iter().for_each(|condition| condition::parts(condition, &mut parts));
            for (field, part) in parts {
                let element = format!("{field}:={}", condition::quoted(part));
                self.note(line, format!("`{part}` is looked for as a part of `{field}`; if that is a list, write `{element}`"));
            }
            let (own, not) = match said.transpose() {
                Ok(Some((own, not))) => (Some(own), not),
                Ok(None) => (None, String::new()),
                Err(why) => {
                    self.done.plugins += plugins.len();
                    self.note(line, format!("the branch around this is left out: {why} cannot be a condition here"));
                    return;
                }
            };
            let parts = outer.map(str::to_owned).into_iter().chain(negated.iter().cloned()).chain(own);
            conditions.push(parts.collect::<Vec<_>>().join(" and "));
            negated.push(not);
        }
        if !self.may_change_its_mind(arms, &plugins) {
            for ((_, items), when) in arms.iter().zip(&conditions) {
                self.items(items, Some(when));
            }
            return;
        }
        let first = self.common.decisions + 1;
        self.common.decisions += arms.len();
        let tag = |index: usize| format!("_if_{line}_{}", first + index);
        for (index, when) in conditions.into_iter().enumerate() {
            let config = Map::from_iter([("add".to_owned(), Json::from(vec![tag(index)]))]);
            self.done.entries.push(Entry { filter: "tag".into(), when: Some(when), config, line });
        }
        for (index, (_, items)) in arms.iter().enumerate() {
            self.items(items, Some(&format!("tags:={}", condition::quoted(&tag(index)))));
        }
        let tags: Vec<String> = (0..arms.len()).map(tag).collect();
        let any: Vec<String> = tags.iter().map(|tag| format!("tags:={}", condition::quoted(tag))).collect();
        let config = Map::from_iter([("remove_tag".to_owned(), Json::from(tags))]);
        self.done.entries.push(Entry { filter: "mutate".into(), when: Some(any.join(" or ")), config, line });
    }

    /// Whether a plugin of a branch, other than the last, may change what its conditions look at.
    fn may_change_its_mind(&self, arms: &[(Option<Condition>, Vec<Item>)], plugins: &[&Plugin]) -> bool {
        let mut looked_at = Vec::new();
        arms.iter().filter_map(|(condition, _)| condition.as_ref()).for_each(|c| condition::fields(c, &mut looked_at));
        let Some((_, before)) = plugins.split_last() else { return false };
        before.iter().any(|plugin| match self.writes(plugin) {
            None => true,
            Some(written) => written.iter().any(|field| looked_at.iter().any(|looked_at| overlap(field, looked_at))),
        })
    }

    /// The fields that a plugin may change; `None` is any.
    fn writes(&self, plugin: &Plugin) -> Option<Vec<String>> {
        let mut written = vec!["tags".to_owned()];
        let option = |name: &str| plugin.options.iter().find(|(option, _)| option == name).map(|(_, value)| value);
        let text = |name: &str, default: &str| match option(name) {
            Some(Value::Text(text)) => dotted(text),
            _ => default.to_owned(),
        };
        match plugin.name.as_str() {
            "drop" => return Some(Vec::new()),
            "mutate" => {}
            "date" => written.push(text("target", "@timestamp")),
            "json" | "kv" | "csv" | "useragent" | "geoip" => written.push(text("target", "")),
            "translate" => written.push(text("target", &text("destination", ""))),
            "syslog_pri" => {
                let names =
                    ["syslog_facility", "syslog_facility_code", "syslog_severity", "syslog_severity_code", "log.syslog"];
                written.extend(names.map(str::to_owned));
            }
            "grok" => {
                let config = config(plugin);
                let definitions = match config.get("pattern_definitions") {
                    Some(Json::Object(definitions)) => definitions.clone(),
                    _ => Map::new(),
                };
                let Some(Json::Object(wanted)) = config.get("match") else { return None };
                let target = text("target", "");
                let under = if target.is_empty() { target } else { target + "." };
                for expression in wanted.values().flat_map(strings) {
                    let captures = self.knows.captures(&expression, &definitions)?;
                    written.extend(captures.into_iter().map(|name| format!("{under}{name}")));
                }
            }
            "dissect" => match option("mapping").map(json) {
                Some(Json::Object(mapping)) => {
                    let names = mapping.values().filter_map(Json::as_str).flat_map(|text| text.split("%{").skip(1));
                    let names = names.filter_map(|rest| rest.split('}').next());
                    written.extend(names.map(|name| dotted(name.trim_matches(['+', '?', '&', '*', '-', '>']))));
                }
                _ => return None,
            },
            _ => return None,
        }
        if written.iter().any(String::is_empty) {
            return None;
        }
        for (name, value) in &plugin.options {
            if plugin.name == "mutate" || ON_SUCCESS.contains(&name.as_str()) {
                match json(value) {
                    Json::Object(table) => {
                        written.extend(
                            table.iter().flat_map(|(from, to)| [dotted(from), to.as_str().map_or_else(String::new, dotted)]),
                        );
                    }
                    other => written.extend(strings(&other).iter().map(|name| dotted(name))),
                }
            }
        }
        written.retain(|name| !name.is_empty());
        Some(written)
    }

    fn plugin(&mut self, plugin: &Plugin, when: Option<&str>) {
        self.done.plugins += 1;
        let Plugin { name, line, .. } = plugin;
        if !SAME.contains(&name.as_str()) {
            let advice =
                ADVICE.iter().find(|(plugin, _)| plugin == name).map_or("write a filter: `sawbox filter new`", |(_, a)| a);
            self.note(*line, format!("`{name}` is left out: there is no filter for it; {advice}"));
            return;
        }
        let mut config = config(plugin);
        if name == "mutate" && config.is_empty() {
            // It does nothing, and nothing is lost.
            self.done.plugins -= 1;
            return;
        }
        for said in adapted(name, &mut config) {
            self.note(*line, said);
        }
        self.common.metadata.extend(plugin.options.iter().flat_map(|(_, value)| metadata(&json(value))));
        let fields = plugin.options.iter().filter(|(option, _)| !EXPRESSIONS.contains(&option.as_str()));
        for element in fields.flat_map(|(_, value)| elements(&json(value))) {
            self.note(*line, format!("`{name}`: `{element}` is no field here: elements of lists have no names of their own"));
        }
        if let Some(directories) = config.remove("patterns_dir") {
            self.read_patterns(&strings(&directories), &mut config, *line);
        }
        let mut behind = Map::new();
        while let Err(why) = self.knows.accepts(name, &config) {
            if why.contains("there is no file `") {
                // It will be when it is put there.
                self.note(*line, format!("`{name}`: {why}"));
                break;
            }
            // A filter names what it does not know first, in backticks.
            let unknown =
                why.strip_prefix('`').and_then(|rest| rest.split_once("` is unknown")).map(|(option, _)| option.to_owned());
            let Some((option, value)) = unknown.and_then(|option| config.remove_entry(&option)) else {
                self.note(*line, format!("`{name}` is left out, since the filter says: {why}"));
                return;
            };
            if ON_SUCCESS.contains(&option.as_str()) {
                behind.insert(option, value);
            } else {
                self.note(*line, format!("`{name}`: the option `{option}` is left out; the filter here does not have it"));
            }
        }
        let failure = failure_tag(name, &config);
        let own = when.map(str::to_owned);
        self.done.entries.push(Entry { filter: name.clone(), when: own.clone(), config, line: *line });
        self.done.translated += 1;
        if !behind.is_empty() {
            let ok = failure.map(|tag| format!("not tags:={}", condition::quoted(&tag)));
            let parts: Vec<String> = own.map(|own| format!("({own})")).into_iter().chain(ok).collect();
            let when = (!parts.is_empty()).then(|| parts.join(" and "));
            self.done.entries.push(Entry { filter: "mutate".into(), when, config: behind, line: *line });
        }
    }

    fn read_patterns(&mut self, directories: &[String], config: &mut Map<String, Json>, line: usize) {
        let mut definitions = Map::new();
        for directory in directories {
            match self.knows.patterns(directory) {
                Ok(patterns) => definitions.extend(patterns.into_iter().map(|(name, pattern)| (name, Json::from(pattern)))),
                Err(why) => self.note(line, format!("the patterns in {directory} are missing: {why}")),
            }
        }
        if let Some(Json::Object(own)) = config.remove("pattern_definitions") {
            definitions.extend(own);
        }
        if !definitions.is_empty() {
            config.insert("pattern_definitions".into(), Json::Object(definitions));
        }
    }
}

fn flatten<'a>(items: &'a [Item], plugins: &mut Vec<&'a Plugin>) {
    for item in items {
        match item {
            Item::Plugin(plugin) => plugins.push(plugin),
            Item::Branch(arms) => arms.iter().for_each(|(_, items)| flatten(items, plugins)),
        }
    }
}

/// Whether two fields are the same, or one is inside the other.
fn overlap(one: &str, other: &str) -> bool {
    let inside = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'));
    one == other || inside(one, other) || inside(other, one)
}
