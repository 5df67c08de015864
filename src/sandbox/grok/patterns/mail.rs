//! Mail: Exim's main log. (Postfix has no standard names; its lines are syslog's.)

use super::Entry;

pub(super) const PATTERNS: &[Entry] = &[
    ("EXIM_MSGID", r"[0-9A-Za-z]{6}-[0-9A-Za-z]{6,11}-[0-9A-Za-z]{2,4}"),
    ("EXIM_FLAGS", r"(?:<=|=>|->|>>|\*>|\*\*|==|\(=|<>)"),
    ("EXIM_DATE", "%{YEAR:exim_year}-%{MONTHNUM:exim_month}-%{MONTHDAY:exim_day} %{TIME:exim_time}"),
    ("EXIM_PID", r"\[%{POSINT:pid}\]"),
    ("EXIM_QT", r"(?:[0-9]+[ywdhms])+"),
    (
        "EXIM_EXCLUDE_TERMS",
        "(?:Message is frozen|(?:Start|End) queue run|Warning:|retry time not reached|no (?:IP address|host name) found for|unexpected disconnection while reading SMTP command|no immediate delivery:|another process is handling this message)",
    ),
    (
        "EXIM_REMOTE_HOST",
        r"H=(?:%{NOTSPACE:remote_hostname} )?(?:\(%{NOTSPACE:remote_heloname}\) )?\[%{IP:remote_host}\](?::%{POSINT:remote_port})?",
    ),
    ("EXIM_INTERFACE", r"I=\[%{IP:exim_interface}\](?::%{NUMBER:exim_interface_port})?"),
    ("EXIM_PROTOCOL", "P=%{NOTSPACE:protocol}"),
    ("EXIM_MSG_SIZE", "S=%{NUMBER:exim_msg_size}"),
    ("EXIM_HEADER_ID", "id=%{NOTSPACE:exim_header_id}"),
    ("EXIM_QUOTED_CONTENT", r#"(?:\\.|[^\\"])*"#),
    ("EXIM_SUBJECT", "T=%{QS:exim_subject}"),
    // What stands between the fields that are named.
    ("EXIM_OTHER_FIELD", r"(?:U|X|CV|A|PRX|DN|SNI|K|M8S|PRDR|DS|F|Q)(?:=\S+)?"),
    ("EXIM_UNKNOWN_FIELD", r"(?:[A-Za-z0-9]{1,4}=(?:%{QUOTEDSTRING}|%{NOTSPACE}))"),
    (
        "EXIM_NAMED_FIELDS",
        concat!(
            r"(?: (?:%{EXIM_REMOTE_HOST}|%{EXIM_INTERFACE}|%{EXIM_PROTOCOL}|%{EXIM_MSG_SIZE}|%{EXIM_HEADER_ID}|%{EXIM_SUBJECT}",
            r"|%{EXIM_OTHER_FIELD}|%{EXIM_UNKNOWN_FIELD}))*"
        ),
    ),
    (
        "EXIM_MESSAGE_ARRIVAL",
        concat!(
            r"%{EXIM_DATE:timestamp} (?:%{EXIM_PID} )?%{EXIM_MSGID:exim_msgid} (?<exim_flags><=) ",
            r"(?:<>|%{EMAILADDRESS:exim_sender_email})%{EXIM_NAMED_FIELDS}(?: for %{EMAILADDRESS:exim_recipient_email})?"
        ),
    ),
    ("EXIM", "%{EXIM_MESSAGE_ARRIVAL}"),
];
