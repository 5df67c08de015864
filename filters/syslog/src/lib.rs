//! `syslog`: lines of RFC 3164 and RFC 5424 that came another way than through the box's own port: from Kafka, HTTP or files.
//!
//! ```toml
//! [[topics.network.chain]]
//! filter = "syslog"
//! config = { timezone = "Europe/Berlin" }   # all optional
//! ```
//! | option | default | what |
//! | --- | --- | --- |
//! | `source` | `message` | the field to read; `message` is the payload while no filter made another |
//! | `target` | none | put before all names but the message's, with a dot |
//! | `timezone` | `UTC` | of times that say no offset: a name (`Europe/Berlin`) or an offset (`+02:00`) |
//! | `use_labels` | `true` | names of facility and severity; without, their numbers alone |
//! | `codes` | `false` | `priority`, `facility_code` and `severity_code` too |
//! | `facility_labels`, `severity_labels` | the usual | names by number |
//! | `ecs_compatibility` | `disabled` | `v1` or `v8`: the names of the Elastic Common Schema |
//! | `tag_on_failure` | `_syslogparsefailure` | tags of a line that is none; it stays as it was |
//! | `add_field`, `remove_field`, `add_tag`, `remove_tag` | | as everywhere ([`sawbox_guest::common`]) |
//!
//! | field | with ECS | what |
//! | --- | --- | --- |
//! | `facility`, `severity` | `log.syslog.facility.name`, `log.syslog.severity.name` | `auth`, `crit`, as the port names them |
//! | `priority`, `facility_code`, `severity_code` | `log.syslog.priority`, `….facility.code`, `….severity.code` | numbers; with ECS always |
//! | `_time`, `timestamp` | `_time` | the line's own time, as the row's, and as text |
//! | `host` | `host.hostname` | |
//! | `app`, `pid` | `process.name`, `process.pid` | `sshd`, `230`; of routers `%ASA-6-302013` |
//! | `msgid` | `log.syslog.msgid` | RFC 5424's |
//! | `sequence` | `event.sequence` | a router's count |
//! | `sd.<id>.<name>` | `log.syslog.structured_data.<id>.<name>` | RFC 5424's structured data, at most 128 |
//! | `message` | `message` | the rest of the line |
//!
//! These are the names of the box's own syslog port, so one search finds both. Understood besides the two standards: lines
//! without a priority but with a time in front (files), RFC 3339 times in old lines (rsyslog), a year before or behind the time,
//! Cisco's sequence numbers, `*` before the time and `%FAC-5-NAME`, a frame's length before the line. A line with a priority and
//! nothing else that is known is a message with facility and severity. Times without a year are of the one nearest to the record's
//! arrival. Structured data that is broken stays in the message.
//!
//! `<34>Oct 11 22:14:15 mymachine su[230]: 'su root' failed for lonvick` → `facility = "auth"`, `severity = "crit"`, `timestamp =
//! "2026-10-11T22:14:15Z"`, `host = "mymachine"`, `app = "su"`, `pid = "230"`, `message = "'su root' failed for lonvick"`.

pub mod line;
pub mod time;

use sawbox_guest::common::{is_ecs, strings_or, tags_on_failure};
use sawbox_guest::time::Zone;
use sawbox_guest::{Field, Filter, Name, OnSuccess, Record, Setup, Value, Verdict, field};

use line::{Line, Params};

/// Most parameters that become fields.
const PARAMETERS: usize = 128;

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp", "audit",
    "alert", "clockd", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];
const SEVERITIES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// The filter.
#[derive(Debug)]
pub struct Syslog {
    source: Field,
    zone: Zone,
    facilities: Vec<String>,
    severities: Vec<String>,
    names: Names,
    tags: Vec<String>,
    success: OnSuccess,
    /// What stands before a parameter's name, and room to write the name.
    structured: String,
    name: Vec<u8>,
    value: Vec<u8>,
}

#[derive(Debug)]
struct Names {
    labels: Option<(Name, Name)>,
    codes: Option<(Name, Name, Name)>,
    timestamp: Option<Name>,
    time: Name,
    host: Name,
    app: Name,
    pid: Name,
    /// With ECS a process has a number.
    is_pid_number: bool,
    msgid: Name,
    sequence: Name,
    message: Name,
}

impl Filter for Syslog {
    fn init(setup: &mut Setup<'_>) -> Result<Self, String> {
        let config = setup.config();
        let own = [
            "source",
            "target",
            "timezone",
            "use_labels",
            "codes",
            "facility_labels",
            "severity_labels",
            "ecs_compatibility",
            "tag_on_failure",
        ];
        config.only(&[&own[..], &OnSuccess::KEYS].concat())?;
        let is_ecs = is_ecs(config)?;
        let zone = config.str_or("timezone", "UTC")?;
        let zone = Zone::by_name(zone).ok_or_else(|| {
            format!("`timezone`: there is no zone \"{zone}\"; write one like \"Europe/Berlin\" or \"+02:00\"")
        })?;
        let stem = match config.str_or("target", "")? {
            "" => String::new(),
            target => format!("{}.", field::target(target)?),
        };
        let has_labels = config.bool_or("use_labels", true)?;
        let has_codes = config.bool_or("codes", false)? || is_ecs || !has_labels;
        let facilities = strings_or(config, "facility_labels", &FACILITIES)?;
        let severities = strings_or(config, "severity_labels", &SEVERITIES)?;
        let tags = tags_on_failure(config, "_syslogparsefailure")?;
        let source = field::name(config.str_or("source", "message")?)?;
        let mut named = |plain: &str, ecs: &str| {
            field::target(&format!("{stem}{}", if is_ecs { ecs } else { plain })).map(|name| setup.name(&name))
        };
        let labels = (named("facility", "log.syslog.facility.name")?, named("severity", "log.syslog.severity.name")?);
        let codes = (
            named("priority", "log.syslog.priority")?,
            named("facility_code", "log.syslog.facility.code")?,
            named("severity_code", "log.syslog.severity.code")?,
        );
        let timestamp = named("timestamp", "timestamp")?;
        let names = Names {
            labels: has_labels.then_some(labels),
            codes: has_codes.then_some(codes),
            timestamp: (!is_ecs).then_some(timestamp),
            host: named("host", "host.hostname")?,
            app: named("app", "process.name")?,
            pid: named("pid", "process.pid")?,
            is_pid_number: is_ecs,
            msgid: named("msgid", "log.syslog.msgid")?,
            sequence: named("sequence", "event.sequence")?,
            time: setup.name("_time"),
            message: setup.name("message"),
        };
        setup.needs_payload(false);
        let source = setup.field(&source)?;
        let structured = format!("{stem}{}", if is_ecs { "log.syslog.structured_data." } else { "sd." });
        let success = OnSuccess::new(setup)?;
        let (name, value) = (Vec::new(), Vec::new());
        Ok(Self { source, zone, facilities, severities, names, tags, success, structured, name, value })
    }

    fn process(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>) {
        let Some(text) = record.text(self.source) else { return };
        let Some(line) = line::parse(text, &mut self.zone, record.arrival_ns()) else {
            self.tags.iter().for_each(|tag| verdict.tag(tag));
            return;
        };
        self.write(&line, verdict);
        self.success.apply(record, verdict);
    }
}

impl Syslog {
    fn write(&mut self, line: &Line<'_>, verdict: &mut Verdict<'_>) {
        let names = &self.names;
        if let Some(priority) = line.priority {
            let (facility, severity) = (priority >> 3, priority & 7);
            if let Some((facility_name, severity_name)) = names.labels {
                // A number that no label was given for stays without.
                if let Some(label) = self.facilities.get(usize::from(facility)) {
                    verdict.set(facility_name, label);
                }
                if let Some(label) = self.severities.get(usize::from(severity)) {
                    verdict.set(severity_name, label);
                }
            }
            if let Some((all, facility_code, severity_code)) = names.codes {
                verdict.set(all, i64::from(priority));
                verdict.set(facility_code, i64::from(facility));
                verdict.set(severity_code, i64::from(severity));
            }
        }
        if let Some(ns) = line.time_ns {
            verdict.set(names.time, ns);
            if let Some(timestamp) = names.timestamp {
                verdict.set_built(timestamp, |out| sawbox_guest::time::write(ns, out));
            }
        }
        set(verdict, names.host, line.host);
        set(verdict, names.app, line.app);
        match line.pid.filter(|_| names.is_pid_number).and_then(sawbox_guest::number::int) {
            Some(number) => verdict.set(names.pid, number),
            None => set(verdict, names.pid, line.pid),
        }
        set(verdict, names.msgid, line.msgid);
        set(verdict, names.sequence, line.sequence);
        for (id, param, value) in Params::new(line.structured).take(PARAMETERS) {
            self.name.clear();
            self.name.extend_from_slice(self.structured.as_bytes());
            self.name.extend_from_slice(id);
            self.name.push(b'.');
            self.name.extend_from_slice(param);
            if value.contains(&b'\\') {
                unescape(value, &mut self.value);
                verdict.set(self.name.as_slice(), self.value.as_slice());
            } else {
                verdict.set(self.name.as_slice(), value);
            }
        }
        verdict.set(names.message, line.message);
    }
}

fn set<'a>(verdict: &mut Verdict<'_>, name: Name, value: Option<impl Into<Value<'a>>>) {
    if let Some(value) = value {
        verdict.set(name, value);
    }
}

/// RFC 5424 escapes three characters; a backslash before any other stands for itself.
fn unescape(value: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let mut bytes = value.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match bytes.peek() {
            Some(next @ (b'"' | b'\\' | b']')) if byte == b'\\' => {
                out.push(*next);
                bytes.next();
            }
            _ => out.push(byte),
        }
    }
}

sawbox_guest::filter!(Syslog);

#[cfg(test)]
mod tests;
