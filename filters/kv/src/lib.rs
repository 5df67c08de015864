//! `kv`: pairs like `ip=1.2.3.4 error=REFUSED` become fields, as with Logstash's filter of that name.
//!
//! ```toml
//! [[topics.firewall.chain]]
//! filter = "kv"
//! config = { trim_value = ",", exclude_keys = ["SEQ"], target = "fw" }
//! ```
//! makes of `DROP IN=eth0 SRC=1.2.3.4, note="two words" SEQ=7` the fields `fw.IN` = `eth0`, `fw.SRC` = `1.2.3.4`,
//! `fw.note` = `two words`.
//!
//! | option | default | what |
//! | --- | --- | --- |
//! | `source` | `message` | the field with the pairs; of a list, every text |
//! | `target` | | put before all names, with a dot; where it is the source itself, the pairs take the text's place |
//! | `field_split`, `field_split_pattern` | `" "` | characters between pairs (as in a regular expression's brackets), or a pattern |
//! | `value_split`, `value_split_pattern` | `"="` | the same between key and value |
//! | `whitespace` | `lenient` | spaces around the value split mean nothing; `strict`: they do |
//! | `include_brackets` | true | `(…)`, `[…]`, `<…>` hold a value together, as quotes do, and are taken off |
//! | `prefix` | | put before every key; may hold `%{field}` |
//! | `include_keys`, `exclude_keys` | | only these, all but these; may hold `%{field}`; meant without prefix |
//! | `trim_key`, `trim_value` | | characters taken off the ends |
//! | `remove_char_key`, `remove_char_value` | | characters taken out |
//! | `transform_key`, `transform_value` | | `lowercase`, `uppercase`, `capitalize` |
//! | `allow_duplicate_values` | true | false: of equal pairs one is kept |
//! | `allow_empty_values` | false | true: `a=` sets an empty field |
//! | `default_keys` | | names and values of keys that did not occur |
//! | `recursive` | false | values that hold pairs become `key.inner`, to a depth of 8 |
//! | `tag_on_failure` | | taken, as Logstash has it, and means nothing: no text makes this filter fail otherwise |
//! | `tag_on_timeout` | `_kv_filter_timeout` | a pattern was given up on this text; the pairs before it are kept |
//! | `add_field`, `remove_field`, `add_tag`, `remove_tag` | | where there was a pair ([`sawbox_guest::common`]) |
//!
//! A key that occurs twice makes a list. A key that the record has as a field already replaces it. Values stay strings: `mutate`
//! converts. A name that only the box may write (`_topic` …) goes under `kv.`, so nobody forges an origin.

pub mod scan;
pub mod split;

use std::collections::HashSet;

use sawbox_guest::case::Case;
use sawbox_guest::common::Constant;
use sawbox_guest::field::{self, is_reserved};
use sawbox_guest::{Field, Filter, Name, OnSuccess, Record, Setup, Template, Value, Verdict};

use scan::Scanner;
use split::{Class, GaveUp, Splitter};

const OPTIONS: [&str; 23] = [
    "source",
    "target",
    "field_split",
    "field_split_pattern",
    "value_split",
    "value_split_pattern",
    "whitespace",
    "include_brackets",
    "prefix",
    "include_keys",
    "exclude_keys",
    "trim_key",
    "trim_value",
    "remove_char_key",
    "remove_char_value",
    "transform_key",
    "transform_value",
    "allow_duplicate_values",
    "allow_empty_values",
    "default_keys",
    "recursive",
    "tag_on_failure",
    "tag_on_timeout",
];
/// How deep values in values are looked for.
const DEPTH: usize = 8;

/// The filter.
#[derive(Debug)]
pub struct Kv {
    source: Field,
    /// Whether the pairs take its place.
    is_replaced: bool,
    scanner: Scanner,
    rules: Rules,
    defaults: Vec<(Vec<u8>, Name, Vec<Constant>)>,
    tag_on_timeout: String,
    on_success: OnSuccess,
    work: Work,
}

/// What is done to keys and values.
#[derive(Debug)]
struct Rules {
    /// With its dot; empty for none.
    target: String,
    prefix: Option<Template>,
    include: Vec<Template>,
    exclude: Vec<Template>,
    key: Change,
    value: Change,
    allow_duplicates: bool,
    allow_empty: bool,
    recursive: bool,
}

/// What is done to one half of a pair.
#[derive(Debug)]
struct Change {
    trim: Option<Class>,
    remove: Option<Class>,
    case: Option<Case>,
}

/// Reused from record to record.
#[derive(Debug, Default)]
struct Work {
    seen: Seen,
    prefix: Vec<u8>,
    include: Vec<Vec<u8>>,
    exclude: Vec<Vec<u8>>,
    key: Vec<u8>,
    value: Vec<u8>,
    name: Vec<u8>,
}

impl Change {
    fn new(setup: &Setup<'_>, half: &str) -> Result<Self, String> {
        let config = setup.config();
        let class = |option: String| match config.str_or(&option, "")? {
            "" => Ok(None),
            written => Class::new(&option, written).map(Some),
        };
        let option = format!("transform_{half}");
        let case = match config.str_or(&option, "")? {
            "" => None,
            name => Some(
                Case::by_name(name)
                    .ok_or_else(|| format!("`{option}` is \"lowercase\", \"uppercase\" or \"capitalize\", not \"{name}\""))?,
            ),
        };
        Ok::<_, String>(Self { trim: class(format!("trim_{half}"))?, remove: class(format!("remove_char_{half}"))?, case })
    }

    /// The text as it is to be: a slice of it, or built.
    fn apply<'t>(&self, text: &'t [u8], built: &'t mut Vec<u8>) -> &'t [u8] {
        let text = self.trim.as_ref().map_or(text, |class| class.trim(text));
        let removes = self.remove.as_ref().filter(|class| text.iter().any(|byte| class.has(*byte)));
        let case = self.case.filter(|case| !case.is_already(text));
        if removes.is_none() && case.is_none() {
            return text;
        }
        built.clear();
        match (removes, case) {
            (None, None) => {}
            (None, Some(case)) => case.write(text, built),
            (Some(class), None) => built.extend(text.iter().filter(|byte| !class.has(**byte))),
            (Some(class), Some(case)) => {
                let kept: Vec<u8> = text.iter().copied().filter(|byte| !class.has(*byte)).collect();
                case.write(&kept, built);
            }
        }
        built
    }
}

impl Filter for Kv {
    fn init(setup: &mut Setup<'_>) -> Result<Self, String> {
        let config = setup.config();
        config.only(&[&OPTIONS[..], &OnSuccess::KEYS].concat())?;
        let is_lenient = match config.str_or("whitespace", "lenient")? {
            "lenient" => true,
            "strict" => false,
            other => return Err(format!("`whitespace` is \"lenient\" or \"strict\", not \"{other}\"")),
        };
        let target = match config.str_or("target", "")? {
            "" => String::new(),
            written => format!("{}.", field::target(written)?),
        };
        let mut templates = |option| {
            let written = setup.config().strings(option)?;
            written.into_iter().map(|text| Template::new(setup, text)).collect::<Result<Vec<_>, String>>()
        };
        let (include, exclude) = (templates("include_keys")?, templates("exclude_keys")?);
        let prefix = match config.str_or("prefix", "")? {
            "" => None,
            text => Some(Template::new(setup, text)?),
        };
        let mut defaults = Vec::new();
        for (key, value) in config.table("default_keys")? {
            let name = field::target(&format!("{target}{key}"))?;
            let values = Constant::list(setup, &format!("default_keys.{key}"), value)?;
            defaults.push((name.clone().into_bytes(), setup.name(&name), values));
        }
        let rules = Rules {
            target,
            prefix,
            include,
            exclude,
            key: Change::new(setup, "key")?,
            value: Change::new(setup, "value")?,
            allow_duplicates: config.bool_or("allow_duplicate_values", true)?,
            allow_empty: config.bool_or("allow_empty_values", false)?,
            recursive: config.bool_or("recursive", false)?,
        };
        let scanner = Scanner {
            field_split: Splitter::new(setup, "field_split", " ")?,
            value_split: Splitter::new(setup, "value_split", "=")?,
            is_lenient,
            include_brackets: config.bool_or("include_brackets", true)?,
        };
        let source = setup.field(config.str_or("source", "message")?)?;
        let is_replaced = rules.target.strip_suffix('.') == Some(field::name(config.str_or("source", "message")?)?.as_str());
        let tag_on_timeout = config.str_or("tag_on_timeout", "_kv_filter_timeout")?.to_owned();
        config.strings("tag_on_failure")?;
        let on_success = OnSuccess::new(setup)?;
        setup.needs_payload(false);
        Ok(Self { source, is_replaced, scanner, rules, defaults, tag_on_timeout, on_success, work: Work::default() })
    }

    fn process(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>) {
        let Self { source, is_replaced, scanner, rules, defaults, tag_on_timeout, on_success, work } = self;
        work.seen.clear();
        render(&rules.include, &mut work.include, record);
        render(&rules.exclude, &mut work.exclude, record);
        work.prefix.clear();
        work.prefix.extend_from_slice(rules.target.as_bytes());
        if let Some(prefix) = &rules.prefix {
            prefix.render(record, &mut work.prefix);
        }
        for value in record.list(*source) {
            let Value::Str(text) = value else { continue };
            if pairs(text, scanner, rules, work, verdict, DEPTH).is_err() {
                verdict.tag(tag_on_timeout);
                break;
            }
        }
        let mut text = Vec::new();
        for (key, name, values) in defaults {
            if work.seen.has(&[key]) {
                continue;
            }
            work.seen.is_new(&[key]);
            for (index, value) in values.iter().enumerate() {
                let value = match value {
                    Constant::Text(template) => {
                        text.clear();
                        template.render(record, &mut text);
                        Value::Str(&text)
                    }
                    Constant::Int(number) => Value::Int(*number),
                    Constant::Float(number) => Value::Float(*number),
                    Constant::Bool(yes) => Value::Bool(*yes),
                };
                if index == 0 {
                    verdict.set(*name, value);
                } else {
                    verdict.add(*name, value);
                }
            }
        }
        if !work.seen.is_empty() {
            if *is_replaced {
                verdict.remove(source.name());
            }
            on_success.apply(record, verdict);
        }
    }
}

fn render(templates: &[Template], out: &mut Vec<Vec<u8>>, record: &Record<'_>) {
    out.resize_with(templates.len(), Vec::new);
    for (template, text) in templates.iter().zip(out) {
        text.clear();
        template.render(record, text);
    }
}

/// Sets the fields of a text's pairs.
fn pairs(
    text: &[u8],
    scanner: &mut Scanner,
    rules: &Rules,
    work: &mut Work,
    verdict: &mut Verdict<'_>,
    depth: usize,
) -> Result<(), GaveUp> {
    // Values with pairs in them, with their keys: looked at when the text is done.
    let mut inner: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    scanner.scan(text, |key, value| {
        if value.is_empty() && !rules.allow_empty {
            return;
        }
        let Work { seen, prefix, include, exclude, key: built_key, value: built_value, name } = work;
        let key = rules.key.apply(key, built_key);
        let is_in = |list: &[Vec<u8>]| list.iter().any(|other| other.as_slice() == key);
        if key.is_empty() || !include.is_empty() && !is_in(include) || is_in(exclude) {
            return;
        }
        let value = rules.value.apply(value, built_value);
        let mut field = key;
        if !prefix.is_empty() || is_reserved(key) {
            name.clear();
            if prefix.is_empty() {
                name.extend_from_slice(b"kv.");
            }
            name.extend_from_slice(prefix);
            name.extend_from_slice(key);
            if is_reserved(name) {
                name.splice(0..0, *b"kv.");
            }
            field = name;
        }
        if rules.recursive && depth > 0 {
            inner.push((field.to_vec(), value.to_vec()));
            return;
        }
        set(field, value, rules, seen, verdict);
    })?;
    for (key, value) in inner {
        let before = work.seen.len();
        let outer = core::mem::take(&mut work.prefix);
        work.prefix.clone_from(&key);
        work.prefix.push(b'.');
        let done = pairs(&value, scanner, rules, work, verdict, depth - 1);
        work.prefix = outer;
        done?;
        if work.seen.len() == before {
            set(&key, &value, rules, &mut work.seen, verdict);
        }
    }
    Ok(())
}

fn set(field: &[u8], value: &[u8], rules: &Rules, seen: &mut Seen, verdict: &mut Verdict<'_>) {
    if !rules.allow_duplicates && !seen.is_new(&[field, b"=", value]) {
        return;
    }
    if seen.is_new(&[field]) {
        verdict.set(field, value);
    } else {
        verdict.add(field, value);
    }
}

/// Names that were set in this record, by their hashes. Two names of one hash would make the second a list's element at worst; 64
/// bits see to it that this is nobody's bad luck.
#[derive(Debug, Default)]
struct Seen {
    few: Vec<u64>,
    many: HashSet<u64, std::hash::BuildHasherDefault<std::hash::DefaultHasher>>,
}

impl Seen {
    const FEW: usize = 48;

    fn clear(&mut self) {
        self.few.clear();
        if !self.many.is_empty() {
            self.many.clear();
        }
    }

    fn is_empty(&self) -> bool {
        self.few.is_empty()
    }

    fn len(&self) -> usize {
        self.few.len() + self.many.len()
    }

    fn hash(parts: &[&[u8]]) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in parts.iter().copied().flatten() {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        hash
    }

    fn has(&self, parts: &[&[u8]]) -> bool {
        let hash = Self::hash(parts);
        self.few.contains(&hash) || self.many.contains(&hash)
    }

    fn is_new(&mut self, parts: &[&[u8]]) -> bool {
        let hash = Self::hash(parts);
        if self.few.contains(&hash) {
            return false;
        }
        if self.few.len() < Self::FEW {
            self.few.push(hash);
            return true;
        }
        self.many.insert(hash)
    }
}

sawbox_guest::filter!(Kv);

#[cfg(test)]
mod tests;
