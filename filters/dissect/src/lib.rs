//! `dissect`: cuts lines of a fixed shape at their delimiters, as Logstash's filter of that name; no regular expressions.
//!
//! ```toml
//! [[topics.app.chain]]
//! filter = "dissect"
//! [topics.app.chain.config]
//! mapping = { message = "%{ts} %{+ts} %{+ts} %{host} %{program}[%{pid}]: %{msg}" }
//! convert_datatype = { pid = "int" }
//! remove_field = ["message"]
//! ```
//! makes of `Mar 16 00:01:25 evita postfix/smtpd[1713]: connect from camomile` the fields `ts` = `Mar 16 00:01:25`, `host` = `evita`,
//! `program` = `postfix/smtpd`, `pid` = 1713, `msg` = `connect from camomile`.
//!
//! | option | default | what |
//! | --- | --- | --- |
//! | `mapping` | | for each field the shape of its text; one may cut what another sets, in whatever order they are written |
//! | `convert_datatype` | | for each field `int` or `float`, after all mappings; also of fields that no mapping sets |
//! | `tag_on_failure` | `_dissectfailure` | one or a list: a text was not of the shape, and nothing of it was set |
//! | `add_field`, `remove_field`, `add_tag`, `remove_tag` | | where all mappings succeeded ([`sawbox_guest::common`]) |
//!
//! | in a mapping | means |
//! | --- | --- |
//! | `%{a}`, `%{[a][b]}` | a field; the last one of a mapping gets the rest of the text |
//! | `%{}`, `%{?a}`, `%{*a}` | skipped; the name is for `%{&a}` |
//! | `%{+a}`, `%{+a/2}` | appended to `a` (also to what the record has), with the delimiter before it between; in order of the numbers |
//! | `%{&a}` | the value of the field that is called what `a` holds: `%{?k}=%{&k}` |
//! | `%{a->}` | the delimiter behind may be repeated: padding |
//!
//! Empty texts between delimiters are empty fields. A record without the field of a mapping is not looked at. What cannot be
//! converted stays a string and is tagged `_dataconversionuncoercible_NAME_TYPE`; a field that is missing,
//! `_dataconversionnullvalue_NAME_TYPE`. A name out of `%{&a}` that only the box may write goes under `dissect.`.
//!
//! Unlike Logstash, the text before the first key must be there, as must that behind the last.

pub mod pattern;

use sawbox_guest::common::tags_on_failure;
use sawbox_guest::field::{is_reserved, name};
use sawbox_guest::{Field, Filter, Name, OnSuccess, Record, Setup, Value, Verdict, number};

use pattern::{KEYS, Pattern, Use};

/// The filter.
#[derive(Debug)]
pub struct Dissect {
    mappings: Vec<Mapping>,
    conversions: Vec<Conversion>,
    tag_on_failure: Vec<String>,
    on_success: OnSuccess,
    built: Vec<u8>,
}

#[derive(Debug)]
struct Mapping {
    source: Field,
    /// An earlier mapping sets it.
    is_chained: bool,
    pattern: Pattern,
    /// Fields that one key sets, by its number.
    sets: Vec<(usize, Name, Option<usize>)>,
    appends: Vec<Append>,
    indirect: Vec<Indirect>,
}

/// A field that is made of several keys' texts.
#[derive(Debug)]
struct Append {
    field: Field,
    keys: Vec<usize>,
    conversion: Option<usize>,
    /// Whether what the record has goes before.
    to_existing: bool,
}

/// A key whose field is named by another's text, or by a field of the record.
#[derive(Debug)]
struct Indirect {
    key: usize,
    by: Result<usize, Field>,
}

#[derive(Debug)]
struct Conversion {
    field: Field,
    name: String,
    to_int: bool,
    tag: String,
    tag_missing: String,
}

impl Conversion {
    fn value<'a>(&self, text: &'a [u8], verdict: &mut Verdict<'_>) -> Value<'a> {
        let float = || number::float(text);
        let value = if self.to_int {
            number::int(text).or_else(|| number::truncated(float()?)).map(Value::Int)
        } else {
            float().map(Value::Float)
        };
        value.unwrap_or_else(|| {
            verdict.tag(&self.tag);
            Value::Str(text)
        })
    }
}

/// Conversions, and which were done to this record.
struct Converter<'c> {
    conversions: &'c [Conversion],
    done: u64,
}

impl Converter<'_> {
    fn value<'a>(&mut self, at: Option<usize>, text: &'a [u8], verdict: &mut Verdict<'_>) -> Value<'a> {
        match at.and_then(|at| Some((at, self.conversions.get(at)?))) {
            None => Value::Str(text),
            Some((at, conversion)) => {
                self.done |= 1 << at;
                conversion.value(text, verdict)
            }
        }
    }
}

impl Filter for Dissect {
    fn init(setup: &mut Setup<'_>) -> Result<Self, String> {
        let config = setup.config();
        config.only(&[&["mapping", "convert_datatype", "tag_on_failure"][..], &OnSuccess::KEYS].concat())?;
        let mut conversions = Vec::new();
        for (written, kind) in config.table("convert_datatype")? {
            let to_int = match kind.as_str() {
                Some("int") => true,
                Some("float") => false,
                _ => return Err(format!("`convert_datatype.{written}` is \"int\" or \"float\"")),
            };
            let kind = if to_int { "int" } else { "float" };
            conversions.push(Conversion {
                field: setup.target(written)?,
                name: name(written)?,
                to_int,
                tag: format!("_dataconversionuncoercible_{written}_{kind}"),
                tag_missing: format!("_dataconversionnullvalue_{written}_{kind}"),
            });
        }
        if conversions.len() > 64 {
            return Err("`convert_datatype` has more than 64 fields".into());
        }
        let mut wanted = Vec::new();
        for (source, text) in config.table("mapping")? {
            let text = text.as_str().ok_or_else(|| format!("`mapping.{source}` must be a string"))?;
            wanted.push((source.as_str(), name(source)?, Pattern::new(text)?));
        }
        let mut mappings: Vec<Mapping> = Vec::new();
        while !wanted.is_empty() {
            // A table has no order that lasts: one that cuts what another sets comes after it.
            let sets = |pattern: &Pattern, field: &str| pattern.keys.iter().any(|key| key.name == field);
            let waits = |at: usize, field: &str| {
                wanted.iter().enumerate().any(|(other, (_, _, pattern))| other != at && sets(pattern, field))
            };
            let next = wanted.iter().enumerate().position(|(at, (_, field, _))| !waits(at, field)).unwrap_or(0);
            let (source, field, pattern) = wanted.remove(next);
            let is_chained = mappings.iter().any(|mapping| sets(&mapping.pattern, &field));
            let source = setup.field(source)?;
            mappings.push(Mapping::new(setup, source, is_chained, pattern, &conversions)?);
        }
        if mappings.is_empty() && conversions.is_empty() {
            return Err("give `mapping`: for each field the shape of its text".into());
        }
        let tag_on_failure = tags_on_failure(config, "_dissectfailure")?;
        let on_success = OnSuccess::new(setup)?;
        setup.needs_payload(false);
        Ok(Self { mappings, conversions, tag_on_failure, on_success, built: Vec::new() })
    }

    fn process(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>) {
        let Self { mappings, conversions, tag_on_failure, on_success, built } = self;
        let (mut succeeded, mut seen) = (true, mappings.is_empty());
        let mut converter = Converter { conversions, done: 0 };
        for mapping in mappings {
            let copied;
            let text = if mapping.is_chained {
                copied = verdict.now(mapping.source).first().and_then(Value::as_bytes).map(<[u8]>::to_vec);
                copied.as_deref()
            } else {
                record.text(mapping.source)
            };
            let Some(text) = text else { continue };
            seen = true;
            let mut found = [&[] as &[u8]; KEYS];
            match mapping.pattern.find(text, &mut found) {
                Some(()) => mapping.set(text, &found, record, verdict, &mut converter, built),
                None => {
                    succeeded = false;
                    tag_on_failure.iter().for_each(|tag| verdict.tag(tag));
                }
            }
        }
        let done = converter.done;
        for (at, conversion) in conversions.iter().enumerate() {
            if done & 1 << at != 0 {
                continue;
            }
            match record.value(conversion.field) {
                Some(Value::Str(text)) => {
                    let value = conversion.value(text, verdict);
                    verdict.set(conversion.field.name(), value);
                }
                Some(Value::Int(whole)) if !conversion.to_int => {
                    #[allow(clippy::cast_precision_loss)]
                    verdict.set(conversion.field.name(), whole as f64);
                }
                Some(Value::Float(decimal)) if conversion.to_int => match number::truncated(decimal) {
                    Some(whole) => verdict.set(conversion.field.name(), whole),
                    None => verdict.tag(&conversion.tag),
                },
                Some(Value::Bool(_)) => verdict.tag(&conversion.tag),
                Some(_) => {}
                None if succeeded && seen => verdict.tag(&conversion.tag_missing),
                None => {}
            }
        }
        if seen && succeeded {
            on_success.apply(record, verdict);
        }
    }
}

impl Mapping {
    fn new(
        setup: &mut Setup<'_>,
        source: Field,
        is_chained: bool,
        pattern: Pattern,
        conversions: &[Conversion],
    ) -> Result<Self, String> {
        let (mut sets, mut appends, mut indirect) = (Vec::new(), Vec::<Append>::new(), Vec::new());
        let is_appended = |name: &str| pattern.keys.iter().any(|key| key.name == name && matches!(key.use_, Use::Append(_)));
        for (at, key) in pattern.keys.iter().enumerate() {
            let conversion = conversions.iter().position(|conversion| conversion.name == key.name);
            match key.use_ {
                Use::Skip => {}
                Use::Indirect => {
                    let by = pattern.keys.iter().position(|other| other.name == key.name && other.use_ != Use::Indirect);
                    let by = match by {
                        Some(by) => Ok(by),
                        None => Err(setup.field(&key.name)?),
                    };
                    indirect.push(Indirect { key: at, by });
                }
                Use::Set | Use::Append(_) => {
                    if !is_appended(&key.name) {
                        sets.push((at, setup.name(&key.name), conversion));
                        continue;
                    }
                    let field = setup.target(&key.name)?;
                    match appends.iter_mut().find(|append| append.field == field) {
                        Some(append) => append.keys.push(at),
                        None => appends.push(Append { field, keys: vec![at], conversion, to_existing: true }),
                    }
                }
            }
        }
        for append in &mut appends {
            // What is not appended comes first; then by number, then as declared.
            append.keys.sort_by_key(|key| match pattern.keys[*key].use_ {
                Use::Append(order) => (1, order),
                _ => (0, 0),
            });
            append.to_existing = append.keys.iter().all(|key| pattern.keys[*key].use_ != Use::Set);
        }
        Ok(Self { source, is_chained, pattern, sets, appends, indirect })
    }

    fn set(
        &self,
        text: &[u8],
        found: &[&[u8]; KEYS],
        record: &Record<'_>,
        verdict: &mut Verdict<'_>,
        converter: &mut Converter<'_>,
        built: &mut Vec<u8>,
    ) {
        for (key, name, conversion) in &self.sets {
            let value = converter.value(*conversion, found[*key], verdict);
            verdict.set(*name, value);
        }
        for append in &self.appends {
            let existing = if append.to_existing { record.text(append.field) } else { None };
            let text = match existing.is_none().then(|| self.joined(append, text, found)).flatten() {
                Some(text) => text,
                None => {
                    built.clear();
                    built.extend_from_slice(existing.unwrap_or(&[]));
                    for (index, key) in append.keys.iter().enumerate() {
                        if index > 0 || existing.is_some() {
                            built.extend_from_slice(&self.pattern.keys[*key].before);
                        }
                        built.extend_from_slice(found[*key]);
                    }
                    built.as_slice()
                }
            };
            let value = converter.value(append.conversion, text, verdict);
            verdict.set(append.field.name(), value);
        }
        for Indirect { key, by } in &self.indirect {
            let name = match by {
                Ok(by) => Some(found[*by]),
                Err(field) => record.text(*field),
            };
            let Some(name) = name.filter(|name| !name.is_empty()) else { continue };
            let conversion = converter.conversions.iter().position(|conversion| conversion.name.as_bytes() == name);
            let value = converter.value(conversion, found[*key], verdict);
            if is_reserved(name) {
                built.clear();
                built.extend_from_slice(b"dissect.");
                built.extend_from_slice(name);
                verdict.set(built.as_slice(), value);
            } else {
                verdict.set(name, value);
            }
        }
    }

    /// The text of an append as one slice, where its parts stand in the text just so.
    fn joined<'a>(&self, append: &Append, text: &'a [u8], found: &[&'a [u8]; KEYS]) -> Option<&'a [u8]> {
        let first = *append.keys.first()?;
        let follows = append.keys.windows(2).all(|pair| pair[1] == pair[0] + 1 && !self.pattern.keys[pair[0]].is_padded);
        follows.then_some(())?;
        let len = append.keys.iter().map(|key| found[*key].len()).sum::<usize>()
            + append.keys[1..].iter().map(|key| self.pattern.keys[*key].before.len()).sum::<usize>();
        let start = found[first].as_ptr().addr().checked_sub(text.as_ptr().addr())?;
        text.get(start..start.checked_add(len)?)
    }
}

sawbox_guest::filter!(Dissect);

#[cfg(test)]
mod tests;
