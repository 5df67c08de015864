//! `mutate`: changes fields, with the operations of Logstash's filter of that name, in its order.
//!
//! ```toml
//! [[topics.web.chain]]
//! filter = "mutate"
//! [topics.web.chain.config]
//! rename = { HOSTORIP = "client.ip" }
//! convert = { bytes = "integer", took = "float" }
//! gsub = ["request", "\\?.*", "", "agent", "[\\\\;]", "_"]
//! lowercase = ["verb"]
//! split = { tags_text = "," }
//! replace = { message = "%{verb} %{request} took %{took}" }
//! ```
//! makes of `verb` = `GET`, `request` = `/a?b=1`, `took` = `0.25` the fields `verb` = `get`, `request` = `/a`, `took` = 0.25 and the
//! message `GET /a?b=1 took 0.25`: `replace` comes before `gsub` and `lowercase`.
//!
//! | option, in the order of their work | what |
//! | --- | --- |
//! | `coerce = { field = value }` | sets a field that is missing (nothing is null here; Logstash: that is null) |
//! | `rename = { old = "new" }` | with all its values; what `new` held is gone |
//! | `update = { field = value }` | sets a field that is there |
//! | `replace = { field = value }` | sets a field |
//! | `convert = { field = type }` | `integer`, `float`, `integer_eu`, `float_eu` (`1.234,56`), `string`, `boolean`; of a list every value |
//! | `gsub = [field, pattern, text, …]` | replaces every match; `\\1`, `\\0`, `\\k<name>` in the text are groups; `\\\\` is a backslash |
//! | `uppercase`, `capitalize`, `lowercase` = fields | letters of strings |
//! | `strip = fields` | without white space at the ends |
//! | `split = { field = separator }` | a string becomes a list; empty ones at its end go; `" "` is any white space |
//! | `join = { field = separator }` | a list becomes a string |
//! | `merge = { into = from }` | `from`'s values (one field or a list of them) are added to those of `into` |
//! | `copy = { from = "to" }` | |
//! | `add_field`, `remove_field`, `add_tag`, `remove_tag` | where nothing failed ([`sawbox_guest::common`]) |
//!
//! Values are strings (which may hold `%{field}`, see [`sawbox_guest::template`]), numbers, booleans or lists of them. Fields are
//! `a.b` or `[a][b]`; `@timestamp` is the row's time: as a text in UTC where it is read; what it is given must be a time.
//!
//! Within one option that is a table, fields have their turn in the order of their names: a table has no other order that lasts.
//! Where the order matters, write two filters.
//!
//! | tag | when |
//! | --- | --- |
//! | `tag_on_failure` (`_mutate_error`) | a text that is no number was to be one, or a pattern was given up: the value stays, the other operations go on |
//!
//! Unlike Logstash, what is no number stays what it is and is tagged (there, `integer` makes it 0), other operations go on
//! after one fails, and names of fields and patterns of `gsub` hold no `%{field}`.

pub mod convert;
pub mod held;

use sawbox_guest::case::Case;
use sawbox_guest::common::{Constant, tags_on_failure};
use sawbox_guest::{Field, Filter, Json, Needle, OnSuccess, Record, Setup, Template, Verdict};

use convert::Type;
use held::{Fields, Held, Text};

const OPTIONS: [&str; 15] = [
    "coerce",
    "rename",
    "update",
    "replace",
    "convert",
    "gsub",
    "uppercase",
    "capitalize",
    "lowercase",
    "strip",
    "split",
    "join",
    "merge",
    "copy",
    "tag_on_failure",
];

/// The filter.
#[derive(Debug)]
pub struct Mutate {
    fields: Vec<Field>,
    operations: Vec<(usize, Operation)>,
    tag_on_failure: Vec<String>,
    on_success: OnSuccess,
    built: Vec<u8>,
    scratch: Vec<u8>,
}

/// What is done to a field. Other fields by their number.
#[derive(Debug)]
enum Operation {
    /// When it is missing, when it is there, in any case.
    Set(Vec<Constant>, Option<bool>),
    Rename(usize),
    Convert(Type),
    Gsub(Box<Needle>, Vec<Part>),
    Case(Case),
    Strip,
    Split(Vec<u8>),
    Join(Vec<u8>),
    Merge(Vec<usize>),
    Copy(usize),
}

/// A piece of what a match is replaced with.
#[derive(Debug)]
enum Part {
    Text(Template),
    Group(usize),
}

/// Makes the operations.
struct Maker<'s, 'm> {
    setup: &'m mut Setup<'s>,
    fields: Vec<Field>,
    operations: Vec<(usize, Operation)>,
}

impl Maker<'_, '_> {
    fn field(&mut self, written: &str) -> Result<usize, String> {
        if written.contains("%{") {
            return Err(format!("`{written}`: a field's name cannot hold `%{{…}}` here"));
        }
        let field = self.setup.target(written)?;
        Ok(self.fields.iter().position(|known| *known == field).unwrap_or_else(|| {
            self.fields.push(field);
            self.fields.len() - 1
        }))
    }

    /// An option that is a table: an operation of each member.
    fn table(
        &mut self,
        option: &str,
        make: impl Fn(&mut Self, &str, &Json) -> Result<Operation, String>,
    ) -> Result<(), String> {
        for (field, value) in self.setup.config().table(option)? {
            let field_number = self.field(field)?;
            let operation = make(self, &format!("{option}.{field}"), value)?;
            self.operations.push((field_number, operation));
        }
        Ok(())
    }

    /// An option that is a list of fields.
    fn list(&mut self, option: &str, make: impl Fn() -> Operation) -> Result<(), String> {
        for field in self.setup.config().strings(option)? {
            let field = self.field(field)?;
            self.operations.push((field, make()));
        }
        Ok(())
    }

    fn values(&mut self, option: &str, only_if: Option<bool>) -> Result<(), String> {
        self.table(option, |maker, name, value| Ok(Operation::Set(Constant::list(maker.setup, name, value)?, only_if)))
    }

    fn gsub(&mut self) -> Result<(), String> {
        let list = self.setup.config().strings("gsub")?;
        if list.len() % 3 != 0 {
            return Err("`gsub` must be a list of three each: field, pattern, replacement".into());
        }
        for each in list.chunks(3) {
            let [field, pattern, replacement] = each else { continue };
            if pattern.contains("%{") {
                return Err(format!("`gsub`: the pattern `{pattern}` cannot hold `%{{…}}`: patterns are compiled once"));
            }
            let field = self.field(field)?;
            let needle = Needle::new(self.setup, pattern).map_err(|error| format!("`gsub`: `{pattern}`: {error}"))?;
            let parts = parts(self.setup, replacement, &needle)?;
            self.operations.push((field, Operation::Gsub(Box::new(needle), parts)));
        }
        Ok(())
    }
}

fn text_of<'j>(option: &str, value: &'j Json) -> Result<&'j str, String> {
    value.as_str().ok_or_else(|| format!("`{option}` must be a string"))
}

/// A replacement, cut at its groups.
fn parts(setup: &mut Setup<'_>, replacement: &str, needle: &Needle) -> Result<Vec<Part>, String> {
    let (mut parts, mut text) = (Vec::new(), String::new());
    let mut letters = replacement.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            text.push(letter);
            continue;
        }
        let rest = letters.as_str();
        let group = match rest.chars().next() {
            Some(digit @ '0'..='9') => Some((digit.to_digit(10).unwrap_or(0) as usize, 1)),
            Some('&') => Some((0, 1)),
            Some('k') => rest
                .strip_prefix("k<")
                .and_then(|name| name.split_once('>'))
                .and_then(|(name, _)| Some((needle.group(name)?, name.len() + 3))),
            Some('\\') => {
                text.push('\\');
                letters.next();
                continue;
            }
            _ => None,
        };
        match group {
            None => text.push('\\'),
            Some((group, len)) => {
                if !text.is_empty() {
                    parts.push(Part::Text(Template::new(setup, &core::mem::take(&mut text))?));
                }
                parts.push(Part::Group(group));
                letters = rest[len..].chars();
            }
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(Template::new(setup, &text)?));
    }
    Ok(parts)
}

impl Filter for Mutate {
    fn init(setup: &mut Setup<'_>) -> Result<Self, String> {
        let config = setup.config();
        config.only(&[&OPTIONS[..], &OnSuccess::KEYS].concat())?;
        let mut maker = Maker { setup, fields: Vec::new(), operations: Vec::new() };
        maker.values("coerce", Some(false))?;
        maker.table("rename", |maker, option, value| Ok(Operation::Rename(maker.field(text_of(option, value)?)?)))?;
        maker.values("update", Some(true))?;
        maker.values("replace", None)?;
        maker.table("convert", |_, option, value| {
            let kind = text_of(option, value)?;
            Type::by_name(kind).map(Operation::Convert).ok_or_else(|| {
                format!("`{option}` is \"integer\", \"float\", \"integer_eu\", \"float_eu\", \"string\" or \"boolean\", not \"{kind}\"")
            })
        })?;
        maker.gsub()?;
        maker.list("uppercase", || Operation::Case(Case::Upper))?;
        maker.list("capitalize", || Operation::Case(Case::Capital))?;
        maker.list("lowercase", || Operation::Case(Case::Lower))?;
        maker.list("strip", || Operation::Strip)?;
        maker.table("split", |_, option, value| Ok(Operation::Split(text_of(option, value)?.into())))?;
        maker.table("join", |_, option, value| Ok(Operation::Join(text_of(option, value)?.into())))?;
        maker.table("merge", |maker, option, value| {
            let many = value.as_array().unwrap_or(core::slice::from_ref(value));
            let from = many.iter().map(|from| maker.field(text_of(option, from)?)).collect::<Result<_, _>>()?;
            Ok(Operation::Merge(from))
        })?;
        maker.table("copy", |maker, option, value| Ok(Operation::Copy(maker.field(text_of(option, value)?)?)))?;
        let Maker { fields, operations, .. } = maker;
        let tag_on_failure = tags_on_failure(config, "_mutate_error")?;
        let on_success = OnSuccess::new(setup)?;
        if operations.is_empty() && on_success.is_empty() {
            return Err("give an operation, like `rename` or `replace`: without one it does nothing".into());
        }
        setup.needs_payload(false);
        Ok(Self { fields, operations, tag_on_failure, on_success, built: Vec::new(), scratch: Vec::new() })
    }

    fn process(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>) {
        let Self { fields: names, operations, tag_on_failure, on_success, built, scratch } = self;
        let mut fields = Fields::new(record, names, built);
        let mut succeeded = true;
        for (at, operation) in operations {
            succeeded &= operation.run(*at, &mut fields, scratch);
        }
        fields.finish(verdict);
        if succeeded {
            on_success.apply(record, verdict);
        } else {
            tag_on_failure.iter().for_each(|tag| verdict.tag(tag));
        }
    }
}

impl Operation {
    /// Does it; whether it could.
    fn run(&mut self, at: usize, fields: &mut Fields<'_, '_>, scratch: &mut Vec<u8>) -> bool {
        let mut succeeded = true;
        match self {
            Self::Set(values, only_if) => {
                if only_if.is_some_and(|wanted| wanted != (fields.len(at) > 0)) {
                    return true;
                }
                let mut held = Vec::with_capacity(values.len());
                for value in values {
                    held.push(match value {
                        Constant::Text(template) => {
                            scratch.clear();
                            fields.render(template, scratch);
                            fields.keep(scratch)
                        }
                        Constant::Int(number) => Held::Int(*number),
                        Constant::Float(number) => Held::Float(*number),
                        Constant::Bool(yes) => Held::Bool(*yes),
                    });
                }
                fields.set(at, held);
            }
            Self::Rename(to) => {
                if *to != at && fields.len(at) > 0 {
                    let values = fields.take(at);
                    fields.set(*to, values);
                }
            }
            Self::Copy(to) => {
                if *to != at && fields.len(at) > 0 {
                    let values = fields.all(at);
                    fields.set(*to, values);
                }
            }
            Self::Merge(from) => {
                let mut values = fields.all(at);
                let before = values.len();
                from.iter().for_each(|from| values.extend(fields.all(*from)));
                if values.len() > before {
                    fields.set(at, values);
                }
            }
            Self::Join(separator) => {
                if fields.len(at) > 1 {
                    scratch.clear();
                    fields.write(at, separator, scratch);
                    let joined = fields.keep(scratch);
                    fields.set(at, vec![joined]);
                }
            }
            Self::Split(separator) => {
                let Some(text) = fields.get(at, 0).and_then(|value| fields.string(value)) else { return true };
                if fields.len(at) == 1 {
                    let pieces = split(fields.text(text), separator);
                    let pieces = pieces.into_iter().map(|(start, end)| text.part(start, end)).collect();
                    fields.set(at, pieces);
                }
            }
            Self::Convert(kind) => {
                for index in 0..fields.len(at) {
                    let Some(value) = fields.get(at, index) else { continue };
                    let converted = match fields.string(value) {
                        None if *kind == Type::String => {
                            scratch.clear();
                            fields.write_one(value, scratch);
                            Some(fields.keep(scratch))
                        }
                        None => kind.of_value(value),
                        Some(_) if *kind == Type::String => None,
                        Some(text) => {
                            let converted = kind.of_text(fields.text(text), scratch);
                            succeeded &= converted.is_some() || *kind == Type::Boolean;
                            converted
                        }
                    };
                    if let Some(converted) = converted {
                        fields.put(at, index, converted);
                    }
                }
            }
            Self::Strip => {
                for index in 0..fields.len(at) {
                    let Some(text) = fields.get(at, index).and_then(|value| fields.string(value)) else { continue };
                    let whole = fields.text(text);
                    // Ruby's idea of space has the zero byte in it.
                    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r' | 0);
                    let start = whole.iter().position(|byte| !is_space(byte)).unwrap_or(whole.len());
                    let end = whole.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
                    if end - start < whole.len() {
                        fields.put(at, index, text.part(start, end));
                    }
                }
            }
            Self::Case(case) => {
                for index in 0..fields.len(at) {
                    let Some(text) = fields.get(at, index).and_then(|value| fields.string(value)) else { continue };
                    if !case.is_already(fields.text(text)) {
                        scratch.clear();
                        case.write(fields.text(text), scratch);
                        let changed = fields.keep(scratch);
                        fields.put(at, index, changed);
                    }
                }
            }
            Self::Gsub(needle, parts) => {
                for index in 0..fields.len(at) {
                    let Some(text) = fields.get(at, index).and_then(|value| fields.string(value)) else { continue };
                    scratch.clear();
                    // The text may lie in the buffer that a replacement reads too.
                    let copied;
                    let whole = match text {
                        Text::Given(text) => text,
                        Text::Built(..) => {
                            copied = fields.text(text).to_vec();
                            &copied
                        }
                    };
                    match gsub(whole, needle, parts, fields, scratch) {
                        Some(false) => {}
                        Some(true) => {
                            let changed = fields.keep(scratch);
                            fields.put(at, index, changed);
                        }
                        None => succeeded = false,
                    }
                }
            }
        }
        succeeded
    }
}

/// Appends the text with its matches replaced; whether there were any; `None` where the host gave up.
fn gsub(text: &[u8], needle: &mut Needle, parts: &[Part], fields: &mut Fields<'_, '_>, out: &mut Vec<u8>) -> Option<bool> {
    // Up to where it is written, and where the next match may begin.
    let (mut written, mut from, mut is_any) = (0, 0, false);
    while let Some(captures) = needle.find_or_gap(text, from).ok()? {
        let (start, end) = captures.span();
        out.extend_from_slice(&text[written..start]);
        for part in parts {
            match part {
                Part::Text(template) => fields.render(template, out),
                Part::Group(group) => {
                    if let Some((start, end)) = captures.get(*group) {
                        out.extend_from_slice(text.get(start..end).unwrap_or(&[]));
                    }
                }
            }
        }
        (written, is_any) = (end, true);
        // Behind a match of nothing one character stays as it is.
        from = if start < end { end } else { end + 1 };
    }
    out.extend_from_slice(&text[written..]);
    Some(is_any)
}

/// The pieces of a text, without empty ones at its end, as Ruby splits.
fn split(text: &[u8], separator: &[u8]) -> Vec<(usize, usize)> {
    let mut pieces = Vec::new();
    let mut start = 0;
    if separator == b" " {
        for word in text.split(u8::is_ascii_whitespace) {
            if !word.is_empty() {
                pieces.push((start, start + word.len()));
            }
            start += word.len() + 1;
        }
        return pieces;
    }
    for at in 0..text.len() {
        if at < start {
            continue;
        }
        if separator.is_empty() {
            // Between characters.
            if at > start && text[at] & 0xc0 != 0x80 {
                pieces.push((start, at));
                start = at;
            }
        } else if text[at..].starts_with(separator) {
            pieces.push((start, at));
            start = at + separator.len();
        }
    }
    pieces.push((start, text.len()));
    while pieces.last().is_some_and(|(start, end)| start == end) {
        pieces.pop();
    }
    pieces
}

sawbox_guest::filter!(Mutate);

#[cfg(test)]
mod tests;
