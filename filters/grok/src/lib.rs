//! `grok`: fields by patterns, as Logstash's filter of that name.
//!
//! ```toml
//! [[topics.mail.chain]]
//! filter = "grok"
//! [topics.mail.chain.config]
//! match = { message = ["%{SYSLOGBASE} %{QUEUEID:queue_id}: %{GREEDYDATA:rest}", "%{SYSLOGLINE}"] }
//! pattern_definitions = { QUEUEID = "[0-9A-F]{10,11}" }
//! overwrite = ["message"]
//! ```
//! * `match`: for each field its patterns, one or a list. Short for `message`: `pattern = "…"` or `patterns = ["…", …]`.
//!   `message` is the field of that name, or the payload where there is none. Of a list every value is tried; numbers and
//!   booleans are read as they would be written.
//! * `pattern_definitions`: names of your own; they come before the standard ones.
//! * `ecs_compatibility`: `"disabled"` (field names like `clientip`; the default) or `"v1"`, `"v8"` (like `source.address`).
//! * `break_on_match` (default true): stop at the first pattern that matches; false tries them all.
//! * `target`: the field that captures go under: with `target = "http"` what is captured as `verb` is `http.verb`.
//! * `overwrite`: fields, as the patterns name them, that a capture replaces. Any other field that has a value already becomes a list.
//! * `tag_on_failure` (default `_grokparsefailure`; one or a list): when no pattern matched.
//! * `tag_on_timeout` (default `_groktimeout`): when a pattern with look-around was given up on this text. That is never the
//!   same as no match.
//! * `add_field`, `remove_field`, `add_tag`, `remove_tag`: where a pattern matched ([`sawbox_guest::common`]).
//!
//! Captures of nothing set nothing. `%{NUMBER:bytes:int}` and `:float` make numbers. Patterns are compiled once, in the host,
//! on a linear-time engine where that is possible.

use sawbox_guest::common::tags_on_failure;
use sawbox_guest::field::{name, target as target_name};
use sawbox_guest::template::write_value;
use sawbox_guest::{
    Field as Known, Filter, Json, Match, Name, OnSuccess, Pattern, PatternKind, Read, Record, Setup, Value, Verdict,
};

/// The filter.
#[derive(Debug)]
pub struct Grok {
    fields: Vec<Field>,
    break_on_match: bool,
    tag_on_failure: Vec<String>,
    tag_on_timeout: String,
    message: Known,
    /// A value that is no text, as text.
    written: Vec<u8>,
    on_success: OnSuccess,
}

/// A field and what is tried on it.
#[derive(Debug)]
struct Field {
    read: Read,
    is_message: bool,
    patterns: Vec<(Pattern, Vec<Option<Group>>)>,
}

/// What a named group of a pattern sets, by group number.
#[derive(Clone, Copy, Debug)]
struct Group {
    name: Name,
    kind: Kind,
    is_message: bool,
    overwrite: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Int,
    Float,
}

impl Filter for Grok {
    fn init(setup: &mut Setup<'_>) -> Result<Self, String> {
        let config = setup.config();
        let own = [
            "match",
            "pattern",
            "patterns",
            "pattern_definitions",
            "ecs_compatibility",
            "break_on_match",
            "overwrite",
            "target",
            "tag_on_failure",
            "tag_on_timeout",
        ];
        config.only(&[&own[..], &OnSuccess::KEYS].concat())?;
        let kind = match config.str_or("ecs_compatibility", "disabled")? {
            "disabled" => PatternKind::Grok,
            "v1" | "v8" => PatternKind::GrokEcs,
            other => return Err(format!("`ecs_compatibility` is \"disabled\", \"v1\" or \"v8\", not \"{other}\"")),
        };
        let definitions = definitions(config)?;
        let overwrite: Vec<String> = config.strings("overwrite")?.into_iter().map(name).collect::<Result<_, _>>()?;
        let under = match config.str_or("target", "")? {
            "" => String::new(),
            target => target_name(target)? + ".",
        };
        let mut fields = Vec::new();
        for (field, expressions) in wanted(config)? {
            let field = name(field)?;
            let mut patterns = Vec::new();
            for expression in expressions {
                let pattern = setup.pattern(kind, expression, &definitions);
                let pattern = pattern.map_err(|error| format!("`{expression}`: {error}"))?;
                let groups = groups(setup, &pattern, &under, &overwrite);
                patterns.push((pattern, groups));
            }
            fields.push(Field { read: setup.reads(&field), is_message: field == "message", patterns });
        }
        setup.needs_payload(fields.iter().any(|field| field.is_message));
        Ok(Self {
            fields,
            break_on_match: config.bool_or("break_on_match", true)?,
            tag_on_failure: tags_on_failure(config, "_grokparsefailure")?,
            tag_on_timeout: config.str_or("tag_on_timeout", "_groktimeout")?.to_owned(),
            message: setup.field("message")?,
            written: Vec::new(),
            on_success: OnSuccess::new(setup)?,
        })
    }

    fn process(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>) {
        let (mut matched, mut gave_up) = (false, false);
        for field in &mut self.fields {
            let payload = (field.is_message && record.get(field.read).is_none()).then_some(Value::Str(record.payload()));
            // Of a list each by itself; what is no text, as it would be written.
            for value in record.all(field.read).chain(payload) {
                let text = match value {
                    Value::Str(text) => text,
                    other => {
                        self.written.clear();
                        write_value(other, &mut self.written);
                        &self.written
                    }
                };
                for (pattern, groups) in &mut field.patterns {
                    match pattern.find(text) {
                        Match::NotFound => continue,
                        Match::GaveUp => {
                            gave_up = true;
                            continue;
                        }
                        Match::Found(spans) => {
                            let captures = spans.filter_map(|(group, start, end)| {
                                let group = (*groups.get(usize::from(group))?)?;
                                Some((group, text.get(start..end).filter(|text| !text.is_empty())?))
                            });
                            set(captures, self.message, verdict);
                        }
                    }
                    matched = true;
                    if self.break_on_match {
                        break;
                    }
                }
            }
            if matched && self.break_on_match {
                break;
            }
        }
        if gave_up && !(matched && self.break_on_match) {
            verdict.tag(&self.tag_on_timeout);
        } else if !matched {
            self.tag_on_failure.iter().for_each(|tag| verdict.tag(tag));
        }
        if matched {
            self.on_success.apply(record, verdict);
        }
    }
}

fn set<'a>(captures: impl Iterator<Item = (Group, &'a [u8])>, message: Known, verdict: &mut Verdict<'_>) {
    for (group, text) in captures {
        let value = group.kind.value(text);
        if group.overwrite {
            verdict.set(group.name, value);
            continue;
        }
        if group.is_message {
            // The line is the message already, also where it is so only for want of another.
            verdict.keep_message(message);
        }
        verdict.add(group.name, value);
    }
}

/// Fields and their expressions.
fn wanted(config: &Json) -> Result<Vec<(&str, Vec<&str>)>, String> {
    let mut wanted = Vec::new();
    match config.get("match") {
        None => {}
        Some(table @ Json::Object(_)) => {
            for (field, _) in table.members() {
                wanted.push((field.as_str(), table.strings(field).map_err(|error| format!("`match`: {error}"))?));
            }
        }
        Some(_) => return Err("`match` must be a table of fields and their patterns".into()),
    }
    let mut short = config.strings("pattern")?;
    short.extend(config.strings("patterns")?);
    if !short.is_empty() {
        wanted.push(("message", short));
    }
    if wanted.iter().any(|(field, expressions)| field.is_empty() || expressions.is_empty()) || wanted.is_empty() {
        return Err("give `match`, `pattern` or `patterns`, with at least one pattern for each field".into());
    }
    Ok(wanted)
}

fn definitions(config: &Json) -> Result<Vec<(&str, &str)>, String> {
    let table = config.get("pattern_definitions");
    if table.is_some_and(|table| !matches!(table, Json::Object(_))) {
        return Err("`pattern_definitions` must be a table of names and patterns".into());
    }
    let mut definitions = Vec::new();
    for (name, definition) in table.map_or(&[][..], Json::members) {
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let definition = definition.as_str().filter(|_| is_name);
        let definition = definition
            .ok_or_else(|| format!("`pattern_definitions.{name}`: a name of letters, digits and `_`, and a string"))?;
        definitions.push((name.as_str(), definition));
    }
    Ok(definitions)
}

fn groups(setup: &mut Setup<'_>, pattern: &Pattern, under: &str, overwrite: &[String]) -> Vec<Option<Group>> {
    let mut groups = Vec::new();
    for (number, typed) in pattern.groups() {
        let (name, kind) = match typed.rsplit_once(':') {
            Some((name, "int")) => (name, Kind::Int),
            Some((name, "float")) => (name, Kind::Float),
            _ => (typed.as_str(), Kind::Text),
        };
        let overwrite = overwrite.iter().any(|own| own == name);
        let name = format!("{under}{name}");
        let group = Group { name: setup.name(&name), kind, is_message: name == "message", overwrite };
        let number = usize::from(*number);
        groups.resize(groups.len().max(number + 1), None);
        groups[number] = Some(group);
    }
    groups
}

impl Kind {
    /// A number as far as its digits go, as Ruby's `to_i` and `to_f` read it; what has no digits, or too many, stays a text.
    fn value(self, text: &[u8]) -> Value<'_> {
        let number = match self {
            Kind::Text => None,
            Kind::Int => prefix(text, false).and_then(|text| text.parse().ok()).map(Value::Int),
            Kind::Float => prefix(text, true)
                .and_then(|text| text.parse().ok())
                .filter(|number: &f64| number.is_finite())
                .map(Value::Float),
        };
        number.unwrap_or(Value::Str(text))
    }
}

/// The front of a text that is a number.
fn prefix(text: &[u8], is_decimal: bool) -> Option<&str> {
    let digits = |from: usize| text.get(from..).map_or(0, |rest| rest.iter().take_while(|byte| byte.is_ascii_digit()).count());
    let sign = |at: usize| usize::from(matches!(text.get(at), Some(b'+' | b'-')));
    let mut end = sign(0) + digits(sign(0));
    if is_decimal {
        if text.get(end) == Some(&b'.') && digits(end + 1) > 0 {
            end += 1 + digits(end + 1);
        }
        if matches!(text.get(end), Some(b'e' | b'E')) && digits(end + 1 + sign(end + 1)) > 0 {
            end += 1 + sign(end + 1);
            end += digits(end);
        }
    }
    core::str::from_utf8(&text[..end]).ok()
}

sawbox_guest::filter!(Grok);

#[cfg(test)]
mod tests;
