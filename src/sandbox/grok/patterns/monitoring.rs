//! Nagios and its kin (Icinga, Naemon): `[epoch] TYPE: field;field;…`.
//!
//! A `NAGIOS_TYPE_…` is the word before the colon, a `NAGIOS_EC_…` the command of an external command; the names without
//! either prefix find the whole line after its time.

use super::Entry;

/// A line whose type is `$kind` and whose rest is `$rest`.
macro_rules! line {
    ($kind:literal, $rest:literal) => {
        concat!("(?<nagios_type>", $kind, "): ", $rest)
    };
}

/// An external command.
macro_rules! command {
    ($command:literal, $rest:literal) => {
        concat!("(?<nagios_type>EXTERNAL COMMAND): (?<nagios_command>", $command, ");", $rest)
    };
}

pub(super) const PATTERNS: &[Entry] = &[
    ("NAGIOSTIME", r"\[%{NUMBER:nagios_epoch}\]"),
    ("NAGIOS_TYPE_CURRENT_SERVICE_STATE", "CURRENT SERVICE STATE"),
    ("NAGIOS_TYPE_CURRENT_HOST_STATE", "CURRENT HOST STATE"),
    ("NAGIOS_TYPE_SERVICE_NOTIFICATION", "SERVICE NOTIFICATION"),
    ("NAGIOS_TYPE_HOST_NOTIFICATION", "HOST NOTIFICATION"),
    ("NAGIOS_TYPE_SERVICE_ALERT", "SERVICE ALERT"),
    ("NAGIOS_TYPE_HOST_ALERT", "HOST ALERT"),
    ("NAGIOS_TYPE_SERVICE_FLAPPING_ALERT", "SERVICE FLAPPING ALERT"),
    ("NAGIOS_TYPE_HOST_FLAPPING_ALERT", "HOST FLAPPING ALERT"),
    ("NAGIOS_TYPE_SERVICE_DOWNTIME_ALERT", "SERVICE DOWNTIME ALERT"),
    ("NAGIOS_TYPE_HOST_DOWNTIME_ALERT", "HOST DOWNTIME ALERT"),
    ("NAGIOS_TYPE_PASSIVE_SERVICE_CHECK", "PASSIVE SERVICE CHECK"),
    ("NAGIOS_TYPE_PASSIVE_HOST_CHECK", "PASSIVE HOST CHECK"),
    ("NAGIOS_TYPE_SERVICE_EVENT_HANDLER", "SERVICE EVENT HANDLER"),
    ("NAGIOS_TYPE_HOST_EVENT_HANDLER", "HOST EVENT HANDLER"),
    ("NAGIOS_TYPE_EXTERNAL_COMMAND", "EXTERNAL COMMAND"),
    ("NAGIOS_TYPE_TIMEPERIOD_TRANSITION", "TIMEPERIOD TRANSITION"),
    ("NAGIOS_EC_DISABLE_SVC_CHECK", "DISABLE_SVC_CHECK"),
    ("NAGIOS_EC_ENABLE_SVC_CHECK", "ENABLE_SVC_CHECK"),
    ("NAGIOS_EC_DISABLE_HOST_CHECK", "DISABLE_HOST_CHECK"),
    ("NAGIOS_EC_ENABLE_HOST_CHECK", "ENABLE_HOST_CHECK"),
    ("NAGIOS_EC_PROCESS_SERVICE_CHECK_RESULT", "PROCESS_SERVICE_CHECK_RESULT"),
    ("NAGIOS_EC_PROCESS_HOST_CHECK_RESULT", "PROCESS_HOST_CHECK_RESULT"),
    ("NAGIOS_EC_SCHEDULE_SERVICE_DOWNTIME", "SCHEDULE_SERVICE_DOWNTIME"),
    ("NAGIOS_EC_SCHEDULE_HOST_DOWNTIME", "SCHEDULE_HOST_DOWNTIME"),
    ("NAGIOS_EC_DISABLE_HOST_SVC_NOTIFICATIONS", "DISABLE_HOST_SVC_NOTIFICATIONS"),
    ("NAGIOS_EC_ENABLE_HOST_SVC_NOTIFICATIONS", "ENABLE_HOST_SVC_NOTIFICATIONS"),
    ("NAGIOS_EC_DISABLE_HOST_NOTIFICATIONS", "DISABLE_HOST_NOTIFICATIONS"),
    ("NAGIOS_EC_ENABLE_HOST_NOTIFICATIONS", "ENABLE_HOST_NOTIFICATIONS"),
    ("NAGIOS_EC_DISABLE_SVC_NOTIFICATIONS", "DISABLE_SVC_NOTIFICATIONS"),
    ("NAGIOS_EC_ENABLE_SVC_NOTIFICATIONS", "ENABLE_SVC_NOTIFICATIONS"),
    ("NAGIOS_WARNING", r"Warning:%{SPACE}%{GREEDYDATA:nagios_message}"),
    (
        "NAGIOS_CURRENT_SERVICE_STATE",
        line!(
            "CURRENT SERVICE STATE",
            "%{DATA:nagios_hostname};%{DATA:nagios_service};%{DATA:nagios_state};%{DATA:nagios_statetype};%{DATA:nagios_statecode};%{GREEDYDATA:nagios_message}"
        ),
    ),
    (
        "NAGIOS_CURRENT_HOST_STATE",
        line!(
            "CURRENT HOST STATE",
            "%{DATA:nagios_hostname};%{DATA:nagios_state};%{DATA:nagios_statetype};%{DATA:nagios_statecode};%{GREEDYDATA:nagios_message}"
        ),
    ),
    (
        "NAGIOS_SERVICE_NOTIFICATION",
        line!(
            "SERVICE NOTIFICATION",
            "%{DATA:nagios_notifyname};%{DATA:nagios_hostname};%{DATA:nagios_service};%{DATA:nagios_state};%{DATA:nagios_contact};%{GREEDYDATA:nagios_message}"
        ),
    ),
    (
        "NAGIOS_HOST_NOTIFICATION",
        line!(
            "HOST NOTIFICATION",
            "%{DATA:nagios_notifyname};%{DATA:nagios_hostname};%{DATA:nagios_state};%{DATA:nagios_contact};%{GREEDYDATA:nagios_message}"
        ),
    ),
    (
        "NAGIOS_SERVICE_ALERT",
        line!(
            "SERVICE ALERT",
            "%{DATA:nagios_hostname};%{DATA:nagios_service};%{DATA:nagios_state};%{DATA:nagios_statelevel};%{NUMBER:nagios_attempt};%{GREEDYDATA:nagios_message}"
        ),
    ),
    (
        "NAGIOS_HOST_ALERT",
        line!(
            "HOST ALERT",
            "%{DATA:nagios_hostname};%{DATA:nagios_state};%{DATA:nagios_statelevel};%{NUMBER:nagios_attempt};%{GREEDYDATA:nagios_message}"
        ),
    ),
    (
        "NAGIOS_SERVICE_FLAPPING_ALERT",
        line!(
            "SERVICE FLAPPING ALERT",
            "%{DATA:nagios_hostname};%{DATA:nagios_service};%{DATA:nagios_state};%{GREEDYDATA:nagios_message}"
        ),
    ),
    (
        "NAGIOS_HOST_FLAPPING_ALERT",
        line!("HOST FLAPPING ALERT", "%{DATA:nagios_hostname};%{DATA:nagios_state};%{GREEDYDATA:nagios_message}"),
    ),
    (
        "NAGIOS_SERVICE_DOWNTIME_ALERT",
        line!(
            "SERVICE DOWNTIME ALERT",
            "%{DATA:nagios_hostname};%{DATA:nagios_service};%{DATA:nagios_state};%{GREEDYDATA:nagios_comment}"
        ),
    ),
    (
        "NAGIOS_HOST_DOWNTIME_ALERT",
        line!("HOST DOWNTIME ALERT", "%{DATA:nagios_hostname};%{DATA:nagios_state};%{GREEDYDATA:nagios_comment}"),
    ),
    (
        "NAGIOS_PASSIVE_SERVICE_CHECK",
        line!(
            "PASSIVE SERVICE CHECK",
            "%{DATA:nagios_hostname};%{DATA:nagios_service};%{DATA:nagios_state};%{GREEDYDATA:nagios_comment}"
        ),
    ),
    (
        "NAGIOS_PASSIVE_HOST_CHECK",
        line!("PASSIVE HOST CHECK", "%{DATA:nagios_hostname};%{DATA:nagios_state};%{GREEDYDATA:nagios_comment}"),
    ),
    (
        "NAGIOS_SERVICE_EVENT_HANDLER",
        line!(
            "SERVICE EVENT HANDLER",
            "%{DATA:nagios_hostname};%{DATA:nagios_service};%{DATA:nagios_state};%{DATA:nagios_statelevel};%{NUMBER:nagios_attempt};%{GREEDYDATA:nagios_event_handler_name}"
        ),
    ),
    (
        "NAGIOS_HOST_EVENT_HANDLER",
        line!(
            "HOST EVENT HANDLER",
            "%{DATA:nagios_hostname};%{DATA:nagios_state};%{DATA:nagios_statelevel};%{NUMBER:nagios_attempt};%{GREEDYDATA:nagios_event_handler_name}"
        ),
    ),
    (
        "NAGIOS_TIMEPERIOD_TRANSITION",
        line!("TIMEPERIOD TRANSITION", "%{DATA:nagios_service};%{NUMBER:nagios_unknown1};%{NUMBER:nagios_unknown2}"),
    ),
    ("NAGIOS_EC_LINE_DISABLE_SVC_CHECK", command!("DISABLE_SVC_CHECK", "%{DATA:nagios_hostname};%{GREEDYDATA:nagios_service}")),
    ("NAGIOS_EC_LINE_ENABLE_SVC_CHECK", command!("ENABLE_SVC_CHECK", "%{DATA:nagios_hostname};%{GREEDYDATA:nagios_service}")),
    ("NAGIOS_EC_LINE_DISABLE_HOST_CHECK", command!("DISABLE_HOST_CHECK", "%{GREEDYDATA:nagios_hostname}")),
    ("NAGIOS_EC_LINE_ENABLE_HOST_CHECK", command!("ENABLE_HOST_CHECK", "%{GREEDYDATA:nagios_hostname}")),
    (
        "NAGIOS_EC_LINE_PROCESS_SERVICE_CHECK_RESULT",
        command!(
            "PROCESS_SERVICE_CHECK_RESULT",
            "%{DATA:nagios_hostname};%{DATA:nagios_service};%{DATA:nagios_state};%{GREEDYDATA:nagios_check_result}"
        ),
    ),
    (
        "NAGIOS_EC_LINE_PROCESS_HOST_CHECK_RESULT",
        command!("PROCESS_HOST_CHECK_RESULT", "%{DATA:nagios_hostname};%{DATA:nagios_state};%{GREEDYDATA:nagios_check_result}"),
    ),
    (
        "NAGIOS_EC_LINE_DISABLE_HOST_SVC_NOTIFICATIONS",
        command!("DISABLE_HOST_SVC_NOTIFICATIONS", "%{GREEDYDATA:nagios_hostname}"),
    ),
    (
        "NAGIOS_EC_LINE_ENABLE_HOST_SVC_NOTIFICATIONS",
        command!("ENABLE_HOST_SVC_NOTIFICATIONS", "%{GREEDYDATA:nagios_hostname}"),
    ),
    ("NAGIOS_EC_LINE_DISABLE_HOST_NOTIFICATIONS", command!("DISABLE_HOST_NOTIFICATIONS", "%{GREEDYDATA:nagios_hostname}")),
    ("NAGIOS_EC_LINE_ENABLE_HOST_NOTIFICATIONS", command!("ENABLE_HOST_NOTIFICATIONS", "%{GREEDYDATA:nagios_hostname}")),
    (
        "NAGIOS_EC_LINE_DISABLE_SVC_NOTIFICATIONS",
        command!("DISABLE_SVC_NOTIFICATIONS", "%{DATA:nagios_hostname};%{GREEDYDATA:nagios_service}"),
    ),
    (
        "NAGIOS_EC_LINE_ENABLE_SVC_NOTIFICATIONS",
        command!("ENABLE_SVC_NOTIFICATIONS", "%{DATA:nagios_hostname};%{GREEDYDATA:nagios_service}"),
    ),
    (
        "NAGIOS_EC_LINE_SCHEDULE_HOST_DOWNTIME",
        command!(
            "SCHEDULE_HOST_DOWNTIME",
            "%{DATA:nagios_hostname};%{NUMBER:nagios_start_time};%{NUMBER:nagios_end_time};%{NUMBER:nagios_fixed};%{NUMBER:nagios_trigger_id};%{NUMBER:nagios_duration};%{DATA:author};%{DATA:comment}"
        ),
    ),
    (
        "NAGIOS_EC_LINE",
        concat!(
            "(?:%{NAGIOS_EC_LINE_DISABLE_SVC_CHECK}|%{NAGIOS_EC_LINE_ENABLE_SVC_CHECK}|%{NAGIOS_EC_LINE_DISABLE_HOST_CHECK}",
            "|%{NAGIOS_EC_LINE_ENABLE_HOST_CHECK}|%{NAGIOS_EC_LINE_PROCESS_SERVICE_CHECK_RESULT}",
            "|%{NAGIOS_EC_LINE_PROCESS_HOST_CHECK_RESULT}|%{NAGIOS_EC_LINE_DISABLE_HOST_SVC_NOTIFICATIONS}",
            "|%{NAGIOS_EC_LINE_ENABLE_HOST_SVC_NOTIFICATIONS}|%{NAGIOS_EC_LINE_DISABLE_HOST_NOTIFICATIONS}",
            "|%{NAGIOS_EC_LINE_ENABLE_HOST_NOTIFICATIONS}|%{NAGIOS_EC_LINE_DISABLE_SVC_NOTIFICATIONS}",
            "|%{NAGIOS_EC_LINE_ENABLE_SVC_NOTIFICATIONS}|%{NAGIOS_EC_LINE_SCHEDULE_HOST_DOWNTIME})"
        ),
    ),
    (
        "NAGIOSLOGLINE",
        concat!(
            "%{NAGIOSTIME} (?:%{NAGIOS_WARNING}|%{NAGIOS_CURRENT_SERVICE_STATE}|%{NAGIOS_CURRENT_HOST_STATE}",
            "|%{NAGIOS_SERVICE_NOTIFICATION}|%{NAGIOS_HOST_NOTIFICATION}|%{NAGIOS_SERVICE_ALERT}|%{NAGIOS_HOST_ALERT}",
            "|%{NAGIOS_SERVICE_FLAPPING_ALERT}|%{NAGIOS_HOST_FLAPPING_ALERT}|%{NAGIOS_SERVICE_DOWNTIME_ALERT}",
            "|%{NAGIOS_HOST_DOWNTIME_ALERT}|%{NAGIOS_PASSIVE_SERVICE_CHECK}|%{NAGIOS_PASSIVE_HOST_CHECK}",
            "|%{NAGIOS_SERVICE_EVENT_HANDLER}|%{NAGIOS_HOST_EVENT_HANDLER}|%{NAGIOS_TIMEPERIOD_TRANSITION}|%{NAGIOS_EC_LINE})"
        ),
    ),
];
