//! `csv`: rows of separated values become fields, as with Logstash's filter of that name.
//!
//! ```toml
//! [[topics.sales.chain]]
//! filter = "csv"
//! [topics.sales.chain.config]
//! columns = ["at", "item", "price", "paid"]
//! convert = { price = "float", paid = "boolean" }
//! skip_header = true
//! ```
//! makes of `2015-05-17,"Saw, large",12.50,true` the fields `at` = `2015-05-17`, `item` = `Saw, large`, `price` = 12.5, `paid` = true.
//!
//! | option | default | what |
//! | --- | --- | --- |
//! | `source` | `message` | the field with the row |
//! | `target` | | put before all names, with a dot |
//! | `columns` | | names, in their order |
//! | `autogenerate_column_names` | true | further columns are `column5` …; false: they are left out |
//! | `separator` | `,` | one or more characters; a tab is `"\t"` |
//! | `quote_char` | `"` | empty: quotes mean nothing |
//! | `convert` | | for each column `integer`, `float`, `boolean`, `date` or `date_time` |
//! | `skip_empty_columns` | false | true: `""` sets nothing either |
//! | `skip_empty_rows` | false | true: a row of nothing is tagged `_csvskippedemptyfield` and not `_csvparsefailure` |
//! | `skip_header` | false | true: a row that equals `columns` is dropped |
//! | `tag_on_failure` | `_csvparsefailure` | one or a list: it is no row, and nothing is set |
//! | `add_field`, `remove_field`, `add_tag`, `remove_tag` | | where it is a row ([`sawbox_guest::common`]) |
//!
//! A column with nothing in it sets nothing (Logstash: null, which there is not here); with `""`, an empty text. What cannot be
//! converted stays as it is. `date` and `date_time` read ISO 8601, and store the time as text in UTC: the row's own time is set
//! with the filter `date`. `"\t"` in TOML is a tab.
//!
//! `autodetect_column_names` is refused: the header is a record of its own, so what the other records say would depend on it, and
//! a replay that begins behind it would give other rows. Name the columns.

pub mod row;

use sawbox_guest::common::tags_on_failure;
use sawbox_guest::field;
use sawbox_guest::time::{self, Zone};
use sawbox_guest::{Field, Filter, Name, OnSuccess, Record, Setup, Value, Verdict, number};

use row::{CELLS, Reader};

const OPTIONS: [&str; 12] = [
    "source",
    "target",
    "columns",
    "autogenerate_column_names",
    "autodetect_column_names",
    "separator",
    "quote_char",
    "convert",
    "skip_empty_columns",
    "skip_empty_rows",
    "skip_header",
    "tag_on_failure",
];

/// The filter.
#[derive(Debug)]
pub struct Csv {
    source: Field,
    /// With its dot; empty for none.
    target: String,
    reader: Reader,
    columns: Vec<Column>,
    header: Option<Vec<String>>,
    autogenerate: bool,
    skip_empty_columns: bool,
    skip_empty_rows: bool,
    tag_on_failure: Vec<String>,
    on_success: OnSuccess,
}

#[derive(Clone, Copy, Debug)]
struct Column {
    name: Name,
    kind: Kind,
    /// Whether `columns` names it, or `convert`.
    is_kept: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
    Float,
    Boolean,
    Time,
}

impl Filter for Csv {
    fn init(setup: &mut Setup<'_>) -> Result<Self, String> {
        let config = setup.config();
        config.only(&[&OPTIONS[..], &OnSuccess::KEYS].concat())?;
        if config.bool_or("autodetect_column_names", false)? {
            return Err("`autodetect_column_names` is not supported: what records say would depend on one that came before. \
                 Give `columns`, and `skip_header = true`"
                .into());
        }
        let target = match config.str_or("target", "")? {
            "" => String::new(),
            written => format!("{}.", field::target(written)?),
        };
        let names = config.strings("columns")?;
        if names.len() > CELLS {
            return Err(format!("`columns` has more than {CELLS} names"));
        }
        let autogenerate = config.bool_or("autogenerate_column_names", true)?;
        let mut columns = Vec::new();
        for name in &names {
            let name = field::target(&format!("{target}{}", field::name(name)?))?;
            columns.push(Column { name: setup.name(&name), kind: Kind::Text, is_kept: true });
        }
        for (written, kind) in config.table("convert")? {
            let kind = match kind.as_str() {
                Some("integer") => Kind::Integer,
                Some("float") => Kind::Float,
                Some("boolean") => Kind::Boolean,
                Some("date" | "date_time") => Kind::Time,
                _ => {
                    return Err(format!(
                        "`convert.{written}` is \"integer\", \"float\", \"boolean\", \"date\" or \"date_time\""
                    ));
                }
            };
            let generated = || {
                let at = written.strip_prefix("column")?.parse::<usize>().ok()?.checked_sub(1)?;
                (autogenerate && (names.len()..CELLS).contains(&at)).then_some(at)
            };
            let at = names.iter().position(|name| name == written).or_else(generated);
            let at = at.ok_or_else(|| format!("`convert.{written}`: there is no column of that name"))?;
            while columns.len() <= at {
                let name = format!("{target}column{}", columns.len() + 1);
                columns.push(Column { name: setup.name(&name), kind: Kind::Text, is_kept: autogenerate });
            }
            columns[at].kind = kind;
        }
        let header = config.bool_or("skip_header", false)?;
        if header && names.is_empty() {
            return Err("`skip_header` needs `columns`: a row that equals them is the header".into());
        }
        let separator = config.str_or("separator", ",")?;
        let quote = config.str_or("quote_char", "\"")?;
        if separator.is_empty() || separator.contains(['\n', '\r']) || quote.chars().count() > 1 || quote == separator {
            return Err("`separator` must have a character, and `quote_char` one or none that is another".into());
        }
        let source = setup.field(config.str_or("source", "message")?)?;
        let on_success = OnSuccess::new(setup)?;
        setup.needs_payload(false);
        Ok(Self {
            source,
            target,
            reader: Reader::new(separator, quote),
            columns,
            header: header.then(|| names.iter().map(|name| (*name).to_owned()).collect()),
            autogenerate,
            skip_empty_columns: config.bool_or("skip_empty_columns", false)?,
            skip_empty_rows: config.bool_or("skip_empty_rows", false)?,
            tag_on_failure: tags_on_failure(config, "_csvparsefailure")?,
            on_success,
        })
    }

    fn process(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>) {
        let Some(text) = record.text(self.source) else { return };
        if text.trim_ascii().is_empty() {
            if self.skip_empty_rows {
                verdict.tag("_csvskippedemptyfield");
            } else {
                self.tag_on_failure.iter().for_each(|tag| verdict.tag(tag));
            }
            return;
        }
        if self.reader.read(text).is_err() {
            self.tag_on_failure.iter().for_each(|tag| verdict.tag(tag));
            return;
        }
        let Self { reader, columns, .. } = self;
        if let Some(header) = &self.header
            && header.len() == reader.cells.len()
            && header.iter().zip(&reader.cells).all(|(name, cell)| reader.text(text, cell) == name.as_bytes())
        {
            verdict.drop("header of a CSV file");
            return;
        }
        for (index, cell) in reader.cells.iter().enumerate() {
            let text = reader.text(text, cell);
            if text.is_empty() && (self.skip_empty_columns || !cell.is_quoted) {
                continue;
            }
            match columns.get(index) {
                Some(column) if column.is_kept => match column.kind.value(text) {
                    Converted::Value(value) => verdict.set(column.name, value),
                    Converted::Time(ns) => verdict.set_built(column.name, |out| time::write(ns, out)),
                },
                None if self.autogenerate => verdict.set(format!("{}column{}", self.target, index + 1).as_str(), text),
                Some(_) | None => {}
            }
        }
        self.on_success.apply(record, verdict);
    }
}

enum Converted<'a> {
    Value(Value<'a>),
    Time(i64),
}

impl Kind {
    fn value(self, text: &[u8]) -> Converted<'_> {
        let value = match self {
            Kind::Text => None,
            Kind::Integer => number::int(text).map(Value::Int),
            Kind::Float => number::float(text).map(Value::Float),
            Kind::Boolean => {
                let text = text.trim_ascii();
                let is = |word: &str| text.eq_ignore_ascii_case(word.as_bytes());
                if is("true") { Some(Value::Bool(true)) } else { is("false").then_some(Value::Bool(false)) }
            }
            Kind::Time => match time::iso8601(text.trim_ascii(), &mut Zone::utc()) {
                Some(ns) => return Converted::Time(ns),
                None => None,
            },
        };
        Converted::Value(value.unwrap_or(Value::Str(text)))
    }
}

sawbox_guest::filter!(Csv);

#[cfg(test)]
mod tests;
