//! Databases, caches and other servers: MongoDB, PostgreSQL, Redis, BIND, MCollective.

use super::Entry;

pub(super) const PATTERNS: &[Entry] = &[
    // MongoDB
    ("MONGO_LOG", r"%{SYSLOGTIMESTAMP:timestamp} \[%{WORD:component}\] %{GREEDYDATA:message}"),
    ("MONGO_QUERY", r"\{ .*? \}"),
    ("MONGO_WORDDASH", r"\b[\w-]+\b"),
    (
        "MONGO_SLOWQUERY",
        concat!(
            r"%{WORD} %{MONGO_WORDDASH:database}\.%{MONGO_WORDDASH:collection} %{WORD}: %{MONGO_QUERY:query} ",
            r"(?:%{WORD}:%{NONNEGINT} )??ntoreturn:%{NONNEGINT:ntoreturn} ntoskip:%{NONNEGINT:ntoskip} ",
            r"nscanned:%{NONNEGINT:nscanned}.*? nreturned:%{NONNEGINT:nreturned}.*? (?<duration>[0-9]+)ms"
        ),
    ),
    ("MONGO3_SEVERITY", r"\w"),
    ("MONGO3_COMPONENT", r"(?:\w+|-)"),
    (
        "MONGO3_LOG",
        concat!(
            r"%{TIMESTAMP_ISO8601:timestamp} %{MONGO3_SEVERITY:severity} %{MONGO3_COMPONENT:component} +",
            r"(?:\[%{DATA:context}\] )?%{GREEDYDATA:message}"
        ),
    ),
    // PostgreSQL, with the prefix '%t %u %c %p'
    ("POSTGRESQL", "%{DATESTAMP:timestamp} %{TZ} %{DATA:user_id} %{GREEDYDATA:connection_id} %{POSINT:pid}"),
    // Redis
    ("REDISTIMESTAMP", "%{MONTHDAY} %{MONTH}(?: %{YEAR})? %{TIME}"),
    ("REDISLOG", r"\[%{POSINT:pid}\] %{REDISTIMESTAMP:timestamp} [*#.-] "),
    (
        "REDISMONLOG",
        r#"%{NUMBER:timestamp} \[%{INT:database} %{IP:client}:%{NUMBER:port}\] "%{WORD:command}"(?: %{GREEDYDATA:params})?"#,
    ),
    // BIND's query log
    ("BIND9_TIMESTAMP", "%{MONTHDAY}-%{MONTH}-%{YEAR} %{TIME}"),
    (
        "BIND9_DNSTYPE",
        "(?:AAAA|A|ANY|CAA|CDNSKEY|CDS|CERT|CNAME|DNAME|DNSKEY|DS|HINFO|HTTPS|KEY|LOC|MX|NAPTR|NSEC3?|NS|OPT|PTR|RRSIG|SOA|SPF|SRV|SSHFP|SVCB|TLSA|TXT|URI)",
    ),
    ("BIND9_CATEGORY", "(?:queries)"),
    (
        "BIND9_QUERYLOGBASE",
        concat!(
            r"client(?: @0x[0-9A-Fa-f]+)? %{IP:clientip}#%{POSINT:clientport} \(%{NOTSPACE:query}\): ",
            r"query: %{NOTSPACE:query} IN (?<querytype>%{BIND9_DNSTYPE} \S+)(?: \(%{IP:dns}\))?"
        ),
    ),
    ("BIND9_QUERYLOG", "%{BIND9_TIMESTAMP:timestamp} %{BIND9_CATEGORY}: %{LOGLEVEL:loglevel}: %{BIND9_QUERYLOGBASE}"),
    ("BIND9", "%{BIND9_QUERYLOG}"),
    // MCollective
    ("MCOLLECTIVEAUDIT", "%{TIMESTAMP_ISO8601:timestamp}:"),
    ("MCOLLECTIVE", r"., \[%{TIMESTAMP_ISO8601:timestamp} #%{POSINT:pid}\] +%{LOGLEVEL:event_level}"),
];
