//! `tag`: adds tags, takes tags away, sets fields; on what its `when` selects.
//!
//! ```toml
//! [[topics.web.chain]]
//! filter = "tag"
//! when = 'response:503'
//! config = { add = ["zabbix-sender"], remove = ["new"], fields = { severity = "high", weight = 3 } }
//! ```
//! * `add`: tags for the list `tags`; one that is there is not added twice.
//! * `remove`: tags to take away, before any are added.
//! * `fields`: names and values (string, number, boolean, or a list of those); what a field held is replaced.
//!
//! * `add_field`, `remove_field`, `add_tag`, `remove_tag`: as in any filter of Logstash, after the others; they may hold `%{field}`
//!   ([`sawbox_guest::common`]). `add_field` makes a list of a field that is there, where `fields` replaces it.
//!
//! At least one must be there. Records are never dropped here; see the filter `drop`.

use sawbox_guest::{Filter, Json, Name, OnSuccess, Read, Record, Setup, Value, Verdict};

/// The filter.
#[derive(Debug)]
pub struct Tag {
    /// Only where some are to be removed.
    tags: Option<Read>,
    add: Vec<String>,
    remove: Vec<String>,
    fields: Vec<(Name, Vec<Constant>)>,
    more: OnSuccess,
}

/// A value that configuration gives.
#[derive(Debug)]
enum Constant {
    Str(String),
    Int(i64),
    Float(f64),
    Bool(bool),
}

impl Constant {
    fn new(value: &Json) -> Option<Self> {
        Some(match value {
            Json::Str(text) => Self::Str(text.clone()),
            Json::Bool(yes) => Self::Bool(*yes),
            Json::Number(_) => value.as_i64().map(Self::Int).or_else(|| value.as_f64().map(Self::Float))?,
            Json::Null | Json::Array(_) | Json::Object(_) => return None,
        })
    }

    fn value(&self) -> Value<'_> {
        match self {
            Self::Str(text) => Value::Str(text.as_bytes()),
            Self::Int(number) => Value::Int(*number),
            Self::Float(number) => Value::Float(*number),
            Self::Bool(yes) => Value::Bool(*yes),
        }
    }
}

fn constants(name: &str, value: &Json) -> Result<Vec<Constant>, String> {
    let many = value.as_array().unwrap_or(core::slice::from_ref(value));
    let constants: Option<Vec<_>> = many.iter().map(Constant::new).collect();
    constants
        .filter(|constants| !constants.is_empty())
        .ok_or_else(|| format!("`fields.{name}` must be a string, a number, a boolean, or a list of those"))
}

impl Filter for Tag {
    fn init(setup: &mut Setup<'_>) -> Result<Self, String> {
        let config = setup.config();
        config.only(&[&["add", "remove", "fields"][..], &OnSuccess::KEYS].concat())?;
        let owned = |key| Ok::<_, String>(config.strings(key)?.into_iter().map(str::to_owned).collect::<Vec<_>>());
        let (add, remove) = (owned("add")?, owned("remove")?);
        let given = config.get("fields");
        if given.is_some_and(|fields| !matches!(fields, Json::Object(_))) {
            return Err("`fields` must be a table of names and values".into());
        }
        let mut fields = Vec::new();
        for (name, value) in given.map_or(&[][..], Json::members) {
            if name.is_empty() || name.starts_with('_') {
                return Err(format!("`fields.{name}`: names that begin with `_` are the box's own"));
            }
            fields.push((setup.name(name), constants(name, value)?));
        }
        let more = OnSuccess::new(setup)?;
        if add.is_empty() && remove.is_empty() && fields.is_empty() && more.is_empty() {
            return Err("give `add`, `remove` or `fields`: without them it does nothing".into());
        }
        setup.needs_payload(false);
        let tags = (!remove.is_empty()).then(|| setup.reads("tags"));
        Ok(Self { tags, add, remove, fields, more })
    }

    fn process(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>) {
        if let Some(tags) = self.tags {
            let removed = |tag: &Value<'_>| self.remove.iter().any(|name| tag.as_bytes() == Some(name.as_bytes()));
            if record.all(tags).any(|tag| removed(&tag)) {
                verdict.remove("tags");
                for tag in record.all(tags).filter(|tag| !removed(tag)) {
                    verdict.add("tags", tag);
                }
            }
        }
        for tag in &self.add {
            verdict.tag(tag);
        }
        for (name, values) in &self.fields {
            for (index, value) in values.iter().enumerate() {
                if index == 0 {
                    verdict.set(*name, value.value());
                } else {
                    verdict.add(*name, value.value());
                }
            }
        }
        self.more.apply(record, verdict);
    }
}

sawbox_guest::filter!(Tag);

#[cfg(test)]
mod tests {
    use super::Tag;
    use sawbox_guest::testing::{Harness, Input, Outcome, Owned};

    fn run(config: &str, input: Input) -> Outcome {
        Harness::<Tag>::new(config).unwrap().run(&[input]).remove(0)
    }

    #[test]
    fn tags_are_added_once_and_taken_away() {
        let tagged = |names: &[&str]| names.iter().fold(Input::new("x"), |input, name| input.field("tags", *name));
        let config = r#"{"add": ["zabbix-sender", "web"], "remove": "new"}"#;
        for (before, after) in [
            (&[][..], &["zabbix-sender", "web"][..]),
            (&["new"], &["zabbix-sender", "web"]),
            (&["old", "new", "web"], &["old", "web", "zabbix-sender"]),
            (&["web", "old"], &["web", "old", "zabbix-sender"]),
        ] {
            let outcome = run(config, tagged(before));
            let expected: Vec<Owned> = after.iter().map(|name| Owned::from(*name)).collect();
            assert_eq!(outcome.all("tags"), expected.iter().collect::<Vec<_>>(), "{before:?}");
        }
    }

    #[test]
    fn fields_are_set_with_their_types() {
        let config = r#"{"fields": {"severity": "high", "weight": 3, "share": 0.5, "on": true, "teams": ["a", "b"]}}"#;
        let outcome = run(config, Input::new("x").field("severity", "low"));
        assert_eq!((outcome.text("severity"), outcome.int("weight")), (Some("high"), Some(3)));
        assert_eq!((outcome.get("share"), outcome.get("on")), (Some(&0.5.into()), Some(&true.into())));
        assert_eq!(outcome.all("teams"), [&"a".into(), &"b".into()]);
    }

    #[test]
    fn what_every_filter_can_do() {
        let config =
            r#"{"add_field": {"%{k}_x": "%{v}!", "v": 2}, "remove_field": ["gone"], "add_tag": ["%{v}"], "remove_tag": "old"}"#;
        let input =
            Input::new("x").field("k", "key").field("v", "1").field("gone", "y").field("tags", "old").field("tags", "new");
        let outcome = run(config, input);
        assert_eq!((outcome.text("key_x"), outcome.get("gone")), (Some("1!"), None));
        assert_eq!(outcome.all("v"), [&"1".into(), &2.into()]);
        assert_eq!(outcome.all("tags"), [&"new".into(), &"1,2".into()]);
        // what is forged goes nowhere
        let outcome = run(r#"{"add_field": {"%{k}": "x"}}"#, Input::new("x").field("k", "_topic"));
        assert_eq!(outcome.get("_topic"), None);
        // the payload stays the message's first value
        let outcome = run(r#"{"add_field": {"message": "more"}}"#, Input::new("payload"));
        assert_eq!(outcome.all("message"), [&"payload".into(), &"more".into()]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (config, says) in [
            ("{}", "nothing"),
            (r#"{"add": 1}"#, "add"),
            (r#"{"fields": ["a"]}"#, "table"),
            (r#"{"fields": {"a": {}}}"#, "fields.a"),
            (r#"{"fields": {"a": []}}"#, "fields.a"),
            (r#"{"fields": {"_time": 1}}"#, "_time"),
            (r#"{"tags": []}"#, "tags"),
        ] {
            let error = Harness::<Tag>::new(config).unwrap_err();
            assert!(error.contains(says), "{config}: {error}");
        }
    }
}
