//! `date`: a field becomes the row's time, as with Logstash's filter of that name.
//!
//! ```toml
//! [[topics.app.chain]]
//! filter = "date"
//! [topics.app.chain.config]
//! match = ["logdate", "MMM dd yyyy HH:mm:ss", "dd/MMM/yyyy:HH:mm:ss Z", "ISO8601"]
//! timezone = "Europe/Berlin"
//! remove_field = ["logdate"]
//! ```
//! makes of `logdate` = `Aug 13 2010 00:03:44` the time 2010-08-12T22:03:44Z of the row.
//!
//! | option | default | what |
//! | --- | --- | --- |
//! | `match` | | a field and its formats, tried in order; or a table of fields with theirs |
//! | `target` | `@timestamp` | `@timestamp` is the row's time; any other field gets the time as text in UTC |
//! | `timezone` | UTC | of texts that name none: a name of the IANA database, or an offset like `+02:00`; may hold `%{field}` |
//! | `locale` | `en` | names of months and days are English: any other is refused |
//! | `tag_on_failure` | `_dateparsefailure` | one or a list: no format fits |
//! | `add_field`, `remove_field`, `add_tag`, `remove_tag` | | where one fits ([`sawbox_guest::common`]) |
//!
//! | format | reads |
//! | --- | --- |
//! | `ISO8601` | `2011-04-19T03:44:01.103Z`, with a space, a comma, without seconds, offset or time of day; `20110419T034401Z` |
//! | `UNIX`, `UNIX_MS` | seconds, with or without a fraction, or milliseconds since 1970; numbers too |
//! | `TAI64N` | `@4000000055586919075bcd15` |
//! | Joda's letters | `y Y u x M L w e E d D a h H k K m s S n Z X z`, text in single quotes: `yyyy-MM-dd'T'HH:mm:ss.SSSZ` |
//! | strftime's directives, where there is a `%` | `%d/%b/%Y:%H:%M:%S %z`, `%F %T%.f`, `%s`, `%j`, `%I %p` … |
//!
//! Fractions keep nine digits (Logstash: three). `z` and `ZZZ` read offsets, names like `Europe/Berlin`, and `UTC GMT EST EDT CST
//! CDT MST MDT PST PDT WET WEST CET CEST EET EEST`. A space in a format is one or more in the text, so `MMM d` reads both `Jun 10` and
//! `Jun  1`.
//!
//! What a text does not say comes from the record's arrival, never from a clock, so a replay gives the same: a December that
//! arrives in January is last year's, and a January that arrives in December is next year's; a time of day alone is on the day
//! that brings it nearest. Local times that a change of clocks skips are read as if it had not happened (Logstash: failure);
//! those that occur twice are the first of the two.
//!
//! Time zones are all of the IANA database from 1970 on ([`sawbox_guest::time`]), inside of the module.

use std::collections::HashMap;

use sawbox_guest::common::tags_on_failure;
use sawbox_guest::time::{self, Format, Zone};
use sawbox_guest::{Field, Filter, Json, OnSuccess, Record, Setup, Template, Verdict};

/// Zones that a field named and that are kept.
const KEPT: usize = 64;

/// The filter.
#[derive(Debug)]
pub struct Date {
    fields: Vec<(Field, Vec<Format>)>,
    target: Field,
    zone: ZoneOf,
    tag_on_failure: Vec<String>,
    on_success: OnSuccess,
}

/// The zone of texts that name none.
#[derive(Debug)]
enum ZoneOf {
    All(Zone),
    /// Zones by name: a cache.
    Record(Template, HashMap<Vec<u8>, Option<Zone>>, Vec<u8>),
}

impl ZoneOf {
    fn new(setup: &mut Setup<'_>, written: &str) -> Result<Self, String> {
        if written.contains("%{") {
            return Ok(Self::Record(Template::new(setup, written)?, HashMap::new(), Vec::new()));
        }
        let zone = Zone::by_name(written);
        zone.map(Self::All).ok_or_else(|| {
            format!("`timezone`: \"{written}\" is no time zone; write \"Europe/Berlin\", \"America/New_York\", \"+02:00\" …")
        })
    }

    /// The zone of a record; `None` where its field names none.
    fn of(&mut self, record: &Record<'_>) -> Option<&mut Zone> {
        match self {
            Self::All(zone) => Some(zone),
            Self::Record(template, known, name) => {
                name.clear();
                template.render(record, name);
                if !known.contains_key(name.as_slice()) {
                    if known.len() >= KEPT {
                        known.clear();
                    }
                    let zone = core::str::from_utf8(name).ok().and_then(|name| Zone::by_name(name.trim()));
                    known.insert(name.clone(), zone);
                }
                known.get_mut(name.as_slice())?.as_mut()
            }
        }
    }
}

impl Filter for Date {
    fn init(setup: &mut Setup<'_>) -> Result<Self, String> {
        let config = setup.config();
        config.only(&[&["match", "target", "timezone", "locale", "tag_on_failure"][..], &OnSuccess::KEYS].concat())?;
        let locale = config.str_or("locale", "en")?;
        let language = locale.split(['-', '_', '.']).next().unwrap_or("");
        if !["en", "c", "posix"].contains(&language.to_ascii_lowercase().as_str()) {
            return Err(format!("`locale`: only English names of months and days are known, not those of \"{locale}\""));
        }
        let mut fields = Vec::new();
        for (field, formats) in wanted(config)? {
            let formats = formats.into_iter().map(Format::new).collect::<Result<Vec<_>, _>>()?;
            if formats.is_empty() {
                return Err(format!("`match`: the field `{field}` has no format"));
            }
            fields.push((setup.field(field)?, formats));
        }
        let target = setup.target(config.str_or("target", "@timestamp")?)?;
        let zone = ZoneOf::new(setup, config.str_or("timezone", "UTC")?)?;
        let tag_on_failure = tags_on_failure(config, "_dateparsefailure")?;
        let on_success = OnSuccess::new(setup)?;
        setup.needs_payload(false);
        Ok(Self { fields, target, zone, tag_on_failure, on_success })
    }

    fn process(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>) {
        let mut values = self.fields.iter().filter_map(|(field, formats)| Some((record.value(*field)?, formats))).peekable();
        if values.peek().is_none() {
            return;
        }
        let arrival = record.arrival_ns();
        let ns = self.zone.of(record).and_then(|zone| {
            values.find_map(|(value, formats)| formats.iter().find_map(|format| format.parse_value(value, zone, arrival)))
        });
        let Some(ns) = ns else {
            self.tag_on_failure.iter().for_each(|tag| verdict.tag(tag));
            return;
        };
        if self.target.is_time() {
            verdict.set_time(ns);
        } else {
            verdict.set_built(self.target.name(), |out| time::write(ns, out));
        }
        self.on_success.apply(record, verdict);
    }
}

/// Fields and their formats.
fn wanted(config: &Json) -> Result<Vec<(&str, Vec<&str>)>, String> {
    let wrong = || "`match` must be a list: a field, then its formats".to_owned();
    match config.get("match") {
        Some(table @ Json::Object(members)) if !members.is_empty() => {
            let each = members.iter().map(|(field, _)| Ok((field.as_str(), table.strings(field)?)));
            each.collect::<Result<_, String>>().map_err(|error| format!("`match`: {error}"))
        }
        Some(Json::Array(_)) => {
            let list = config.strings("match").map_err(|_| wrong())?;
            let (field, formats) = list.split_first().ok_or_else(wrong)?;
            Ok(vec![(*field, formats.to_vec())])
        }
        _ => Err(wrong()),
    }
}

sawbox_guest::filter!(Date);

#[cfg(test)]
mod tests;
