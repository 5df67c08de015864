//! `syslog_pri`: a syslog line's priority, which another filter cut out, becomes facility and severity.
//!
//! ```toml
//! [[topics.network.chain]]
//! filter = "grok"
//! config = { match = { message = "^<%{POSINT:syslog_pri}>%{GREEDYDATA:rest}" } }
//!
//! [[topics.network.chain]]
//! filter = "syslog_pri"
//! ```
//! | option | default | what |
//! | --- | --- | --- |
//! | `syslog_pri_field_name` | `syslog_pri`; with ECS `log.syslog.priority` | the field with the number; of a list the first; of a text the digits in front |
//! | `use_labels` | `true` | names beside the numbers |
//! | `facility_labels`, `severity_labels` | Logstash's | names by number |
//! | `ecs_compatibility` | `disabled` | `v1` or `v8`: the names of the Elastic Common Schema |
//! | `tag_on_failure` | `_syslogpriparsefailure` | tags where there is no facility of that number, or no number |
//! | `add_field`, `remove_field`, `add_tag`, `remove_tag` | | as everywhere ([`sawbox_guest::common`]), where there is a number |
//!
//! | field | with ECS | what |
//! | --- | --- | --- |
//! | `syslog_facility_code`, `syslog_severity_code` | `log.syslog.facility.code`, `log.syslog.severity.code` | the priority by eight, and the rest |
//! | `syslog_facility`, `syslog_severity` | `log.syslog.facility.name`, `log.syslog.severity.name` | `security/authorization`, `critical` |
//!
//! A record without the field has priority 13, as RFC 3164 says: `user-level`, `notice`. A priority above 191 has codes, and instead
//! of names the tag. What is no number has the tag alone; to Logstash it is 0, an emergency of the kernel.
//!
//! For Logstash's configurations and old searches. The filter `syslog` reads whole lines, and calls things as the box's port does.
//!
//! `syslog_pri = "34"` → `syslog_facility_code = 4`, `syslog_severity_code = 2`, `syslog_facility = "security/authorization"`,
//! `syslog_severity = "critical"`.

use sawbox_guest::common::{is_ecs, strings_or, tags_on_failure};
use sawbox_guest::{Field, Filter, Name, OnSuccess, Record, Setup, Value, Verdict, field, number};

const FACILITIES: [&str; 24] = [
    "kernel",
    "user-level",
    "mail",
    "daemon",
    "security/authorization",
    "syslogd",
    "line printer",
    "network news",
    "uucp",
    "clock",
    "security/authorization",
    "ftp",
    "ntp",
    "log audit",
    "log alert",
    "clock",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
];
const SEVERITIES: [&str; 8] = ["emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug"];
/// Of a record that says none.
const USER_NOTICE: i64 = 13;

/// The filter.
#[derive(Debug)]
pub struct SyslogPri {
    source: Field,
    facility: Part,
    severity: Part,
    has_labels: bool,
    tags: Vec<String>,
    success: OnSuccess,
}

/// A half of the priority.
#[derive(Debug)]
struct Part {
    code: Name,
    name: Name,
    labels: Vec<String>,
}

impl Part {
    fn new(setup: &mut Setup<'_>, what: &str, is_ecs: bool, usual: &[&str]) -> Result<Self, String> {
        let labels = strings_or(setup.config(), &format!("{what}_labels"), usual)?;
        let (code, name) = if is_ecs {
            (format!("log.syslog.{what}.code"), format!("log.syslog.{what}.name"))
        } else {
            (format!("syslog_{what}_code"), format!("syslog_{what}"))
        };
        Ok(Self { code: setup.name(&code), name: setup.name(&name), labels })
    }

    fn label(&self, code: i64) -> Option<&str> {
        self.labels.get(usize::try_from(code).ok()?).map(String::as_str)
    }
}

impl Filter for SyslogPri {
    fn init(setup: &mut Setup<'_>) -> Result<Self, String> {
        let config = setup.config();
        let own = [
            "syslog_pri_field_name",
            "use_labels",
            "facility_labels",
            "severity_labels",
            "ecs_compatibility",
            "tag_on_failure",
        ];
        config.only(&[&own[..], &OnSuccess::KEYS].concat())?;
        let is_ecs = is_ecs(config)?;
        let usual = if is_ecs { "log.syslog.priority" } else { "syslog_pri" };
        let source = field::name(config.str_or("syslog_pri_field_name", usual)?)?;
        let has_labels = config.bool_or("use_labels", true)?;
        let tags = tags_on_failure(config, "_syslogpriparsefailure")?;
        setup.needs_payload(false);
        let facility = Part::new(setup, "facility", is_ecs, &FACILITIES)?;
        let severity = Part::new(setup, "severity", is_ecs, &SEVERITIES)?;
        let source = setup.field(&source)?;
        Ok(Self { source, facility, severity, has_labels, tags, success: OnSuccess::new(setup)? })
    }

    fn process(&mut self, record: &Record<'_>, verdict: &mut Verdict<'_>) {
        let priority = match record.list(self.source).next() {
            None => Some(USER_NOTICE),
            Some(Value::Int(number)) => Some(number),
            Some(Value::Float(number)) => number::truncated(number),
            Some(Value::Str(text)) => number::int_prefix(text),
            Some(Value::Bool(_)) => None,
        };
        let Some(priority) = priority.filter(|priority| *priority >= 0) else {
            self.tags.iter().for_each(|tag| verdict.tag(tag));
            return;
        };
        let (facility, severity) = (priority >> 3, priority & 7);
        verdict.set(self.facility.code, facility);
        verdict.set(self.severity.code, severity);
        if self.has_labels {
            if let Some(label) = self.facility.label(facility) {
                verdict.set(self.facility.name, label);
                // There may be fewer names than numbers, where some are given.
                if let Some(label) = self.severity.label(severity) {
                    verdict.set(self.severity.name, label);
                }
            } else {
                self.tags.iter().for_each(|tag| verdict.tag(tag));
            }
        }
        self.success.apply(record, verdict);
    }
}

sawbox_guest::filter!(SyslogPri);

#[cfg(test)]
mod tests;
