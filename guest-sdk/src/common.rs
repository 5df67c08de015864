//! What every filter of Logstash can do to a record that it handled: `add_field`, `remove_field`, `add_tag`, `remove_tag`.
//!
//! In this order, after what the filter itself set, and only where it succeeded; so `%{name}` sees what was just parsed. A filter
//! names [`OnSuccess::KEYS`] among its options, makes an [`OnSuccess`] in `init`, and applies it.
//!
//! * `add_field`: names and values; a field that is there becomes a list. Names and texts may hold `%{field}`.
//! * `remove_field`, `add_tag`, `remove_tag`: one or a list; they may hold `%{field}` too.
//!
//! And other options that many of them have, each read in one place: [`tags_on_failure`], [`is_ecs`], [`strings_or`].

use crate::field::{self, Field};
use crate::guest::Setup;
use crate::json::Json;
use crate::names::Name;
use crate::record::{Record, Value};
use crate::template::Template;
use crate::verdict::Verdict;

/// What is done where a filter succeeded.
#[derive(Clone, Debug, Default)]
pub struct OnSuccess {
    add: Vec<(Text, Vec<Constant>)>,
    remove: Vec<Text>,
    add_tag: Vec<Template>,
    remove_tag: Vec<Template>,
    tags: Option<Field>,
    message: Option<Field>,
    built: Vec<u8>,
    name: Vec<u8>,
}

/// A field's name, with or without fields in it.
#[derive(Clone, Debug)]
enum Text {
    Name(Name, bool),
    Built(Template),
}

/// A value that configuration gives.
#[derive(Clone, Debug)]
pub enum Constant {
    /// A text, perhaps with fields in it.
    Text(Template),
    /// A whole number.
    Int(i64),
    /// A decimal number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
}

impl Constant {
    /// The values of an option: one or a list.
    ///
    /// # Errors
    /// It holds something else.
    pub fn list(setup: &mut Setup<'_>, option: &str, value: &Json) -> Result<Vec<Self>, String> {
        let many = value.as_array().unwrap_or(core::slice::from_ref(value));
        let mut list = Vec::new();
        for value in many {
            list.push(match value {
                Json::Str(text) => Self::Text(Template::new(setup, text)?),
                Json::Bool(yes) => Self::Bool(*yes),
                Json::Number(_) if value.as_i64().is_some() => Self::Int(value.as_i64().unwrap_or(0)),
                Json::Number(_) if value.as_f64().is_some() => Self::Float(value.as_f64().unwrap_or(0.0)),
                _ => return Err(format!("`{option}` must be a string, a number, a boolean, or a list of those")),
            });
        }
        if list.is_empty() { Err(format!("`{option}` has no value")) } else { Ok(list) }
    }
}

impl OnSuccess {
    /// The options.
    pub const KEYS: [&'static str; 4] = ["add_field", "remove_field", "add_tag", "remove_tag"];

    /// Reads the options and declares their fields.
    ///
    /// # Errors
    /// An option that makes no sense.
    pub fn new(setup: &mut Setup<'_>) -> Result<Self, String> {
        let config = setup.config();
        let mut made = Self::default();
        for (name, value) in config.table("add_field")? {
            let values = Constant::list(setup, &format!("add_field.{name}"), value)?;
            made.add.push((Text::new(setup, name)?, values));
        }
        for name in config.strings("remove_field")? {
            made.remove.push(Text::new(setup, name)?);
        }
        for tag in config.strings("add_tag")? {
            made.add_tag.push(Template::new(setup, tag)?);
        }
        for tag in config.strings("remove_tag")? {
            made.remove_tag.push(Template::new(setup, tag)?);
        }
        if !made.remove_tag.is_empty() {
            made.tags = Some(setup.field("tags")?);
        }
        if made.add.iter().any(|(name, _)| !matches!(name, Text::Name(_, false))) {
            made.message = Some(setup.field("message")?);
        }
        Ok(made)
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty() && self.add_tag.is_empty() && self.remove_tag.is_empty()
    }

    /// Does it.
    pub fn apply(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>) {
        if self.is_empty() {
            return;
        }
        let Self { add, remove, add_tag, remove_tag, tags, message, built, name } = self;
        for (text, values) in add {
            let is_message = text.render(record, verdict, name);
            if is_message && let Some(message) = *message {
                verdict.keep_message(message);
            }
            for value in values {
                let value = match value {
                    Constant::Text(template) => {
                        built.clear();
                        template.render_now(record, verdict, built);
                        Value::Str(built)
                    }
                    Constant::Int(number) => Value::Int(*number),
                    Constant::Float(number) => Value::Float(*number),
                    Constant::Bool(yes) => Value::Bool(*yes),
                };
                match text {
                    Text::Name(name, _) => verdict.add(*name, value),
                    Text::Built(_) if field::is_reserved(name) => {}
                    Text::Built(_) => verdict.add(name.as_slice(), value),
                }
            }
        }
        for text in remove {
            text.render(record, verdict, name);
            match text {
                Text::Name(name, _) => verdict.remove(*name),
                Text::Built(_) if field::is_reserved(name) => {}
                Text::Built(_) => verdict.remove(name.as_slice()),
            }
        }
        for tag in add_tag {
            built.clear();
            tag.render_now(record, verdict, built);
            verdict.tag_bytes(built);
        }
        if let Some(tags) = *tags {
            let mut unwanted = Vec::new();
            for tag in remove_tag {
                built.clear();
                tag.render_now(record, verdict, built);
                unwanted.push(core::mem::take(built));
            }
            verdict.retain(tags, |value| !unwanted.iter().any(|tag| value.as_bytes() == Some(tag)));
        }
    }
}

impl Text {
    fn new(setup: &mut Setup<'_>, written: &str) -> Result<Self, String> {
        if written.contains("%{") {
            return Ok(Self::Built(Template::new(setup, written)?));
        }
        let name = field::target(written)?;
        Ok(Self::Name(setup.name(&name), name == "message"))
    }

    /// Builds the name, where it has to be; whether it is the message's.
    fn render(&self, record: &Record<'_>, verdict: &Verdict<'_>, name: &mut Vec<u8>) -> bool {
        match self {
            Self::Name(_, is_message) => *is_message,
            Self::Built(template) => {
                name.clear();
                template.render_now(record, verdict, name);
                // Written with brackets, or as it is stored.
                if name.first() == Some(&b'[')
                    && let Ok(dotted) = core::str::from_utf8(name).map_err(|_| String::new()).and_then(field::name)
                {
                    *name = dotted.into_bytes();
                }
                name == b"message"
            }
        }
    }
}

/// Whether fields are called as in the Elastic Common Schema, by the option that Logstash's plugins have for it.
///
/// # Errors
/// The option is something else.
pub fn is_ecs(config: &Json) -> Result<bool, String> {
    match config.str_or("ecs_compatibility", "disabled")? {
        "disabled" => Ok(false),
        "v1" | "v8" => Ok(true),
        other => Err(format!("`ecs_compatibility` is \"disabled\", \"v1\" or \"v8\", not \"{other}\"")),
    }
}

/// The texts of an option; where there are none, the usual ones.
///
/// # Errors
/// The option is something else.
pub fn strings_or(config: &Json, key: &str, usual: &[&str]) -> Result<Vec<String>, String> {
    let given = config.strings(key)?;
    let texts = if given.is_empty() { usual } else { &given };
    Ok(texts.iter().map(|text| (*text).to_owned()).collect())
}

/// The tags that say that a filter failed: one or a list.
///
/// # Errors
/// The option is something else.
pub fn tags_on_failure(config: &Json, default: &str) -> Result<Vec<String>, String> {
    match config.get("tag_on_failure") {
        None => Ok(vec![default.to_owned()]),
        Some(_) => Ok(config.strings("tag_on_failure")?.into_iter().map(str::to_owned).collect()),
    }
}
