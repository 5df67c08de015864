//! Java: stack traces, Tomcat, and the tools around it.

use super::Entry;

pub(super) const PATTERNS: &[Entry] = &[
    ("JAVACLASS", r"(?:[A-Za-z_$][\w$]*\.)*[A-Za-z_$][\w$]*"),
    ("JAVAFILE", r"[\w$. -]+"),
    ("JAVAMETHOD", r"(?:<(?:cl)?init>|[A-Za-z_$][\w$]*)"),
    ("JAVATHREAD", r"(?:[A-Z]{2}-Processor[0-9]+)"),
    ("JAVASTACKTRACEPART", r"%{SPACE}at %{JAVACLASS:class}\.%{JAVAMETHOD:method}\(%{JAVAFILE:file}(?::%{INT:line})?\)"),
    ("JAVALOGMESSAGE", ".*"),
    ("CATALINA_DATESTAMP", "%{CATALINA7_DATESTAMP}|%{CATALINA8_DATESTAMP}"),
    ("CATALINA7_DATESTAMP", "%{MONTH} %{MONTHDAY}, %{YEAR} %{HOUR}:%{MINUTE}:%{SECOND} (?:AM|PM)"),
    ("CATALINA8_DATESTAMP", "%{MONTHDAY}-%{MONTH}-%{YEAR} %{HOUR}:%{MINUTE}:%{SECOND}"),
    ("CATALINALOG", "(?:%{CATALINA7_LOG}|%{CATALINA8_LOG})"),
    ("CATALINA7_LOG", "%{CATALINA7_DATESTAMP:timestamp} %{JAVACLASS:class}(?: %{JAVALOGMESSAGE:logmessage})?"),
    (
        "CATALINA8_LOG",
        r"%{CATALINA8_DATESTAMP:timestamp} %{LOGLEVEL:level} \[%{DATA:thread}\] %{JAVACLASS:class}\.%{JAVAMETHOD:method} %{JAVALOGMESSAGE:logmessage}",
    ),
    ("TOMCAT_DATESTAMP", "(?:%{TOMCATLEGACY_DATESTAMP}|%{CATALINA_DATESTAMP})"),
    ("TOMCATLEGACY_DATESTAMP", "%{YEAR}-%{MONTHNUM}-%{MONTHDAY} %{HOUR}:%{MINUTE}:%{SECOND} %{ISO8601_TIMEZONE}"),
    ("TOMCATLOG", r"(?:%{TOMCATLEGACY_LOG}|%{CATALINALOG})"),
    (
        "TOMCATLEGACY_LOG",
        r"%{TOMCATLEGACY_DATESTAMP:timestamp} \| %{LOGLEVEL:level} \| %{JAVACLASS:class} - %{JAVALOGMESSAGE:logmessage}",
    ),
    ("MAVEN_VERSION", r"[0-9]+(?:\.[0-9]+){0,2}(?:[.-](?:RELEASE|SNAPSHOT))?"),
];
