//! `access-log`: cuts the lines of web servers into fields, by hand and fast.
//!
//! ```toml
//! [[topics.web.chain]]
//! filter = "access-log"
//! config = { field = "message", tag_on_failure = "_accesslogparsefailure" }   # all optional
//! ```
//! * `field`: the field to read. Without it, `message` where an earlier filter or the receiver made one, else the payload.
//! * `tag_on_failure`: the tag of a line that is none of these formats; the line stays the message.
//!
//! Understood: Apache's common, combined and `vhost_combined`, nginx's default, and combined with the time that the request
//! took at the end, `"agent" 0/12345` or `**0/12345**` (`%T/%D`). Other things after the agent are no fields.
//!
//! | field | type | what |
//! | --- | --- | --- |
//! | `clientip`, `ident`, `auth`, `vhost` | string | client address or name, identd's word, user, virtual host |
//! | `_time` | time | the line's own time, as the row's |
//! | `verb`, `request`, `httpversion` | string | `GET`, `/path?query`, `1.1` |
//! | `rawrequest` | string | the request line, where it is not of that shape |
//! | `response`, `bytes` | integer | status, size of the answer |
//! | `referrer`, `agent` | string | without quotes, escapes as they stand |
//! | `reqsec`, `reqms` | integer | the two numbers at the end (Apache's `%D` counts microseconds: stored as it stands) |
//!
//! What the server writes as `-`, or as nothing, is no field.

pub mod line;
pub mod time;

use sawbox_guest::{Filter, Name, Read, Record, Setup, Value, Verdict};

use line::Request;

/// The filter.
#[derive(Debug)]
pub struct AccessLog {
    source: Read,
    /// Whether the payload is read where the field is missing.
    or_payload: bool,
    tag_on_failure: String,
    names: Names,
}

#[derive(Debug)]
struct Names {
    vhost: Name,
    clientip: Name,
    ident: Name,
    auth: Name,
    time: Name,
    verb: Name,
    request: Name,
    httpversion: Name,
    rawrequest: Name,
    response: Name,
    bytes: Name,
    referrer: Name,
    agent: Name,
    reqsec: Name,
    reqms: Name,
}

impl Filter for AccessLog {
    fn init(setup: &mut Setup<'_>) -> Result<Self, String> {
        let config = setup.config();
        config.only(&["field", "tag_on_failure"])?;
        let field = config.str_or("field", "")?;
        let or_payload = field.is_empty();
        let source = setup.reads(if or_payload { "message" } else { field });
        setup.needs_payload(or_payload);
        let tag_on_failure = config.str_or("tag_on_failure", "_accesslogparsefailure")?.to_owned();
        let names = Names {
            vhost: setup.name("vhost"),
            clientip: setup.name("clientip"),
            ident: setup.name("ident"),
            auth: setup.name("auth"),
            time: setup.name("_time"),
            verb: setup.name("verb"),
            request: setup.name("request"),
            httpversion: setup.name("httpversion"),
            rawrequest: setup.name("rawrequest"),
            response: setup.name("response"),
            bytes: setup.name("bytes"),
            referrer: setup.name("referrer"),
            agent: setup.name("agent"),
            reqsec: setup.name("reqsec"),
            reqms: setup.name("reqms"),
        };
        Ok(Self { source, or_payload, tag_on_failure, names })
    }

    fn process(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>) {
        let text = match record.bytes(self.source) {
            Some(text) => text,
            None if self.or_payload => record.payload(),
            None => return,
        };
        let Some(line) = line::parse(text) else {
            verdict.tag(&self.tag_on_failure);
            return;
        };
        let names = &self.names;
        verdict.set(names.clientip, line.clientip);
        set(verdict, names.vhost, line.vhost);
        set(verdict, names.ident, line.ident);
        set(verdict, names.auth, line.auth);
        verdict.set(names.time, line.time_ns);
        match line.request {
            Request::Good { verb, target, version } => {
                verdict.set(names.verb, verb);
                verdict.set(names.request, target);
                set(verdict, names.httpversion, version);
            }
            Request::Raw(raw) => set(verdict, names.rawrequest, (!raw.is_empty()).then_some(raw)),
        }
        set(verdict, names.response, line.response);
        set(verdict, names.bytes, line.bytes);
        set(verdict, names.referrer, line.referrer);
        set(verdict, names.agent, line.agent);
        set(verdict, names.reqsec, line.reqsec);
        set(verdict, names.reqms, line.reqms);
    }
}

fn set<'a>(verdict: &mut Verdict<'_>, name: Name, value: Option<impl Into<Value<'a>>>) {
    if let Some(value) = value {
        verdict.set(name, value);
    }
}

sawbox_guest::filter!(AccessLog);

#[cfg(test)]
mod tests;
