//! `dns`: names of addresses and addresses of names, as with Logstash's filter of that name.
//!
//! ```toml
//! [[topics.web.chain]]
//! filter = "dns"
//! config = { reverse = ["clientip"], action = "append" }
//! ```
//! | option | default | what |
//! | --- | --- | --- |
//! | `reverse` | | fields with addresses whose names are wanted: one or a list |
//! | `resolve` | | fields with names whose addresses are wanted: one or a list |
//! | `action` | `append` | `append` (the answer joins the value, which makes a list) or `replace` |
//! | `nameserver` | the machine's | servers to ask, `192.0.2.53` or `[2001:db8::1]:53`; the machine's hosts file comes first in any case |
//! | `timeout` | 0.5 | seconds to wait for a server, at most 5 |
//! | `max_retries` | 2 | how often the servers are asked again |
//! | `hit_cache_ttl` | 60 | seconds that an answer stands |
//! | `failed_cache_ttl` | 5 | seconds that "there is none" stands |
//! | `tag_on_timeout` | `_dnstimeout` | tags where nobody answered in time |
//! | `tag_on_failure` | none | tags where there is no name, or no address |
//! | `add_field`, `remove_field`, `add_tag`, `remove_tag` | | as everywhere ([`sawbox_guest::common`]), where every field was answered |
//!
//! Fields: those that are named, nothing else. A field that is not there, or that is a list already, is left alone; an address is
//! not resolved, and what is none is not reversed. Of a name the IPv4 address is taken, else the IPv6 one.
//!
//! The box asks beside the filter and waits at most 50 ms a call for all of its questions together; an answer that comes later is
//! there for the next record that asks. So the first record with a new address may be tagged `_dnstimeout`, and those a second
//! later are not. Answers, and "nobody answered" too, are kept durably with the arrival times they were given for: a replay says
//! what live said. The box bounds what is kept for all filters, so `hit_cache_size` and `failed_cache_size` are taken but mean
//! nothing.
//!
//! `clientip = "192.0.2.7"` → `clientip = ["192.0.2.7", "host.example.com"]`; with `action = "replace"`: `"host.example.com"`.

use sawbox_guest::{Field, Filter, Json, Known, Lookup, OnSuccess, Record, Setup, Value, Verdict};

/// Most fields of each kind.
const FIELDS: usize = 16;

/// The filter.
#[derive(Debug)]
pub struct Dns {
    asks: Vec<Ask>,
    replaces: bool,
    on_timeout: Vec<String>,
    on_failure: Vec<String>,
    success: OnSuccess,
}

/// What is asked of one lookup.
#[derive(Debug)]
struct Ask {
    lookup: Lookup,
    fields: Vec<Field>,
}

impl Filter for Dns {
    fn init(setup: &mut Setup<'_>) -> Result<Self, String> {
        let config = setup.config();
        let own = [
            "reverse",
            "resolve",
            "action",
            "nameserver",
            "timeout",
            "max_retries",
            "hit_cache_size",
            "hit_cache_ttl",
            "failed_cache_size",
            "failed_cache_ttl",
            "tag_on_timeout",
            "tag_on_failure",
        ];
        if config.get("hostsfile").is_some() {
            return Err("`hostsfile` cannot be chosen: a filter reads no files, and the machine's own hosts file is looked at in any case".into());
        }
        config.only(&[&own[..], &OnSuccess::KEYS].concat())?;
        let replaces = match config.str_or("action", "append")? {
            "append" => false,
            "replace" => true,
            other => return Err(format!("`action` is \"append\" or \"replace\", not \"{other}\"")),
        };
        let tags = |key: &str, usual: &[&str]| -> Result<Vec<String>, String> {
            let given = config.strings(key)?;
            let tags = if config.get(key).is_some() { &given } else { usual };
            Ok(tags.iter().map(|tag| (*tag).to_owned()).collect())
        };
        let (on_timeout, on_failure) = (tags("tag_on_timeout", &["_dnstimeout"])?, tags("tag_on_failure", &[])?);
        for size in ["hit_cache_size", "failed_cache_size"] {
            config.i64_or(size, 0)?;
        }
        let options = options(config)?;
        let mut asks = Vec::new();
        // In Logstash's order.
        for kind in ["resolve", "reverse"] {
            let mut fields = Vec::new();
            for name in setup.config().strings(kind)? {
                fields.push(setup.target(name)?);
            }
            if fields.len() > FIELDS {
                return Err(format!("`{kind}` has {} fields; {FIELDS} are allowed", fields.len()));
            }
            if !fields.is_empty() {
                let lookup = setup.lookup("dns", &format!("{{\"ask\":\"{kind}\"{options}}}"))?;
                asks.push(Ask { lookup, fields });
            }
        }
        if asks.is_empty() {
            return Err("give `reverse` or `resolve`: the fields to ask about".into());
        }
        setup.needs_payload(false);
        Ok(Self { asks, replaces, on_timeout, on_failure, success: OnSuccess::new(setup)? })
    }

    fn process(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>) {
        let (mut is_any, mut is_late, mut is_none) = (false, false, false);
        for ask in &mut self.asks {
            for field in &ask.fields {
                let mut values = record.list(*field);
                let (Some(Value::Str(text)), None) = (values.next(), values.next()) else { continue };
                let text = text.trim_ascii();
                if text.is_empty() {
                    continue;
                }
                is_any = true;
                match ask.lookup.get(record, text) {
                    Known::Value(answer) if self.replaces => verdict.set(field.name(), answer),
                    Known::Value(answer) => {
                        if field.is_message() {
                            verdict.keep_message(*field);
                        }
                        verdict.add(field.name(), answer);
                    }
                    Known::Nothing => is_none = true,
                    Known::NoAnswer => is_late = true,
                }
            }
        }
        if is_late {
            self.on_timeout.iter().for_each(|tag| verdict.tag(tag));
        }
        if is_none {
            self.on_failure.iter().for_each(|tag| verdict.tag(tag));
        }
        if is_any && !is_late && !is_none {
            self.success.apply(record, verdict);
        }
    }
}

/// The options that are the lookup's, as more members of its JSON object.
fn options(config: &Json) -> Result<String, String> {
    let mut options = String::new();
    let servers = match config.get("nameserver") {
        // Logstash's other form: { address = […], … }
        Some(table @ Json::Object(_)) => {
            table.only(&["address"]).map_err(|error| format!("`nameserver`: {error}"))?;
            table.strings("address")?
        }
        _ => config.strings("nameserver")?,
    };
    if let Some(odd) = servers.iter().find(|server| server.contains(['"', '\\']) || server.chars().any(char::is_control)) {
        return Err(format!("`nameserver`: `{odd}` is no address"));
    }
    if !servers.is_empty() {
        options.push_str(&format!(",\"nameserver\":[\"{}\"]", servers.join("\",\"")));
    }
    for key in ["timeout", "max_retries", "hit_cache_ttl", "failed_cache_ttl"] {
        match config.get(key) {
            None => {}
            Some(Json::Number(number)) => options.push_str(&format!(",\"{key}\":{number}")),
            Some(_) => return Err(format!("`{key}` must be a number")),
        }
    }
    Ok(options)
}

sawbox_guest::filter!(Dns);

#[cfg(test)]
mod tests;
