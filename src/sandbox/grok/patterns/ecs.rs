//! The names whose fields the Elastic Common Schema calls otherwise: `clientip` is `source.address`, `response` is
//! `http.response.status_code`, a dash is no value and quotes are not part of one. Fields that the schema does not know stand
//! under the name of what wrote them (`apache.access.…`, `haproxy.…`). Names that are not here are as in the other tables.

use super::Entry;

pub(super) const PATTERNS: &[Entry] = &[
    ("URIHOST", "%{IPORHOST:[url][domain]}(?::%{POSINT:[url][port]:int})?"),
    ("URIPATHPARAM", r"%{URIPATH:[url][path]}(?:\?%{URIQUERY:[url][query]})?"),
    ("URI", r"%{URIPROTO:[url][scheme]}://(?:%{USER:[url][username]}(?::[^@]*)?@)?(?:%{URIHOST})?(?:%{URIPATHPARAM})?"),
    // Apache httpd
    (
        "HTTPD_COMMONLOG",
        concat!(
            r"%{IPORHOST:[source][address]} (?:-|%{HTTPDUSER:[apache][access][user][identity]}) (?:-|%{HTTPDUSER:[user][name]}) ",
            r"\[%{HTTPDATE:timestamp}\] ",
            r#""(?:%{WORD:[http][request][method]} %{NOTSPACE:[url][original]}(?: HTTP/%{NUMBER:[http][version]})?|%{DATA})" "#,
            r"(?:-|%{INT:[http][response][status_code]:int}) (?:-|%{INT:[http][response][body][bytes]:int})"
        ),
    ),
    (
        "HTTPD_COMBINEDLOG",
        r#"%{HTTPD_COMMONLOG} "(?:-|%{ECS_QUOTED:[http][request][referrer]})" "(?:-|%{ECS_QUOTED:[user_agent][original]})""#,
    ),
    ("ECS_QUOTED", r#"(?:\\.|[^\\"])*"#),
    (
        "HTTPD20_ERRORLOG",
        r"\[%{HTTPDERROR_DATE:timestamp}\] \[%{LOGLEVEL:[log][level]}\] (?:\[client %{IPORHOST:[source][address]}\] )?%{GREEDYDATA:message}",
    ),
    (
        "HTTPD24_ERRORLOG",
        concat!(
            r"\[%{HTTPDERROR_DATE:timestamp}\] \[(?:%{WORD:[apache][error][module]})?:%{LOGLEVEL:[log][level]}\] ",
            r"\[pid %{POSINT:[process][pid]:int}(?::tid %{INT:[process][thread][id]:int})?\]",
            r"(?: \(%{POSINT:[apache][error][proxy][error][code]}\)%{DATA:[apache][error][proxy][error][message]}:)?",
            r"(?: \[client %{IPORHOST:[source][address]}(?::%{POSINT:[source][port]:int})?\])?(?: %{DATA:[error][code]}:)? %{GREEDYDATA:message}"
        ),
    ),
    // Syslog
    ("SYSLOGPROG", r"%{PROG:[process][name]}(?:\[%{POSINT:[process][pid]:int}\])?"),
    ("SYSLOGFACILITY", r"<%{NONNEGINT:[log][syslog][facility][code]:int}\.%{NONNEGINT:[log][syslog][priority]:int}>"),
    ("SYSLOGBASE", "%{SYSLOGTIMESTAMP:timestamp} (?:%{SYSLOGFACILITY} )?%{SYSLOGHOST:[host][hostname]} %{SYSLOGPROG}:"),
    (
        "SYSLOGBASE2",
        "(?:%{SYSLOGTIMESTAMP:timestamp}|%{TIMESTAMP_ISO8601:timestamp}) (?:%{SYSLOGFACILITY} )?%{SYSLOGHOST:[host][hostname]}(?: %{SYSLOGPROG}:)?",
    ),
    (
        "SYSLOGPAMSESSION",
        concat!(
            r"%{SYSLOGBASE} (?<message>%{WORD:[system][auth][pam][module]}\(%{DATA:[system][auth][pam][origin]}\): ",
            r"session %{WORD:[system][auth][pam][session_state]} for user %{USERNAME:[user][name]}(?: by %{GREEDYDATA})?.*)"
        ),
    ),
    ("CRONLOG", r"%{SYSLOGBASE} \(%{USER:[user][name]}\) %{CRON_ACTION:[system][cron][action]} \(%{DATA:message}\)"),
    ("SYSLOG5424PRI", "<%{NONNEGINT:[log][syslog][priority]:int}>"),
    (
        "SYSLOG5424BASE",
        concat!(
            "%{SYSLOG5424PRI}%{NONNEGINT:[system][syslog][version]} +(?:-|%{TIMESTAMP_ISO8601:timestamp}) +",
            "(?:-|%{IPORHOST:[host][hostname]}) +(?:-|%{SYSLOG5424PRINTASCII:[process][name]}) +",
            "(?:-|%{POSINT:[process][pid]:int}|%{SYSLOG5424PRINTASCII}) +(?:-|%{SYSLOG5424PRINTASCII:[event][code]}) +",
            "(?:-|%{SYSLOG5424SD:[system][syslog][structured_data]})?"
        ),
    ),
    ("SYSLOG5424LINE", "%{SYSLOG5424BASE} +%{GREEDYDATA:message}"),
    // HAProxy
    ("HAPROXYDATE", r"%{MONTHDAY}/%{MONTH}/%{YEAR}:%{HOUR}:%{MINUTE}:(?:60|[0-5]?[0-9])\.%{INT}"),
    ("HAPROXYCAPTUREDREQUESTHEADERS", "%{DATA:[haproxy][http][request][captured_headers]}"),
    ("HAPROXYCAPTUREDRESPONSEHEADERS", "%{DATA:[haproxy][http][response][captured_headers]}"),
    (
        "HAPROXYURI",
        r"(?:%{URIPROTO:[url][scheme]}://)?(?:%{USER:[url][username]}(?::[^@]*)?@)?(?:%{URIHOST})?(?:%{URIPATHPARAM})?",
    ),
    (
        "HAPROXYHTTPREQUESTLINE",
        r"(?:<BADREQ>|%{WORD:[http][request][method]} %{HAPROXYURI}(?: HTTP/%{NUMBER:[http][version]})?)",
    ),
    (
        "HAPROXYHTTPBASE",
        concat!(
            r"%{IP:[source][address]}:%{INT:[source][port]:int} \[%{HAPROXYDATE:[haproxy][request_date]}\] ",
            r"%{NOTSPACE:[haproxy][frontend_name]} %{NOTSPACE:[haproxy][backend_name]}/(?:<NOSRV>|%{NOTSPACE:[haproxy][server_name]}) ",
            r"(?:-1|%{INT:[haproxy][http][request][time_wait_ms]:int})/(?:-1|%{INT:[haproxy][total_waiting_time_ms]:int})",
            r"/(?:-1|%{INT:[haproxy][connection_wait_time_ms]:int})/(?:-1|%{INT:[haproxy][http][request][time_wait_without_data_ms]:int})",
            r"/%{NOTSPACE:[temp][duration]} (?:-1|%{INT:[http][response][status_code]:int}) %{INT:[source][bytes]:int} ",
            r"(?:-|%{DATA:[haproxy][http][request][captured_cookie]}) (?:-|%{DATA:[haproxy][http][response][captured_cookie]}) ",
            r"%{NOTSPACE:[haproxy][termination_state]} %{INT:[haproxy][connections][active]:int}",
            r"/%{INT:[haproxy][connections][frontend]:int}/%{INT:[haproxy][connections][backend]:int}",
            r"/%{INT:[haproxy][connections][server]:int}/%{INT:[haproxy][connections][retries]:int} ",
            r"%{INT:[haproxy][server_queue]:int}/%{INT:[haproxy][backend_queue]:int} ",
            r"(?:\{%{HAPROXYCAPTUREDREQUESTHEADERS}\} )?(?:\{%{HAPROXYCAPTUREDRESPONSEHEADERS}\} )?",
            r#""%{HAPROXYHTTPREQUESTLINE}"?"#
        ),
    ),
    (
        "HAPROXYHTTP",
        "(?:%{SYSLOGTIMESTAMP:timestamp}|%{TIMESTAMP_ISO8601:timestamp}) %{IPORHOST:[host][hostname]} %{SYSLOGPROG}: %{HAPROXYHTTPBASE}",
    ),
    (
        "HAPROXYTCP",
        concat!(
            "(?:%{SYSLOGTIMESTAMP:timestamp}|%{TIMESTAMP_ISO8601:timestamp}) %{IPORHOST:[host][hostname]} %{SYSLOGPROG}: ",
            r"%{IP:[source][address]}:%{INT:[source][port]:int} \[%{HAPROXYDATE:[haproxy][request_date]}\] ",
            r"%{NOTSPACE:[haproxy][frontend_name]} %{NOTSPACE:[haproxy][backend_name]}/(?:<NOSRV>|%{NOTSPACE:[haproxy][server_name]}) ",
            r"(?:-1|%{INT:[haproxy][total_waiting_time_ms]:int})/(?:-1|%{INT:[haproxy][connection_wait_time_ms]:int})",
            r"/%{NOTSPACE:[temp][duration]} %{INT:[source][bytes]:int} %{NOTSPACE:[haproxy][termination_state]} ",
            r"%{INT:[haproxy][connections][active]:int}/%{INT:[haproxy][connections][frontend]:int}",
            r"/%{INT:[haproxy][connections][backend]:int}/%{INT:[haproxy][connections][server]:int}",
            r"/%{INT:[haproxy][connections][retries]:int} %{INT:[haproxy][server_queue]:int}/%{INT:[haproxy][backend_queue]:int}"
        ),
    ),
    // Squid
    (
        "SQUID3",
        concat!(
            r"%{NUMBER:timestamp} +%{INT:[squid][request][duration]:int} %{IP:[source][ip]} %{WORD:[event][action]}",
            r"/%{INT:[http][response][status_code]:int} %{INT:[http][response][bytes]:int} %{WORD:[http][request][method]} ",
            r"%{NOTSPACE:[url][original]} (?:-|%{NOTSPACE:[user][name]}) %{WORD:[squid][hierarchy_code]}",
            r"/(?:-|%{IPORHOST:[destination][address]}) (?:-|%{NOTSPACE:[http][response][mime_type]})"
        ),
    ),
    // Amazon
    ("S3_REQUEST_LINE", "(?:%{WORD:[http][request][method]} %{NOTSPACE:[url][original]}(?: HTTP/%{NUMBER:[http][version]})?)"),
    (
        "S3_ACCESS_LOG",
        concat!(
            r"%{WORD:[aws][s3access][bucket_owner]} %{NOTSPACE:[aws][s3access][bucket]} \[%{HTTPDATE:timestamp}\] ",
            r"(?:-|%{IP:[client][ip]}) (?:-|%{NOTSPACE:[client][user][id]}) %{NOTSPACE:[aws][s3access][request_id]} ",
            r#"%{NOTSPACE:[aws][s3access][operation]} (?:-|%{NOTSPACE:[aws][s3access][key]}) (?:-|"%{S3_REQUEST_LINE:[aws][s3access][request_uri]}") "#,
            r"(?:-|%{INT:[http][response][status_code]:int}) (?:-|%{NOTSPACE:[aws][s3access][error_code]}) ",
            r"(?:-|%{INT:[aws][s3access][bytes_sent]:int}) (?:-|%{INT:[aws][s3access][object_size]:int}) ",
            r"(?:-|%{INT:[aws][s3access][total_time]:int}) (?:-|%{INT:[aws][s3access][turn_around_time]:int}) ",
            r#""(?:-|%{ECS_QUOTED:[http][request][referrer]})" "(?:-|%{ECS_QUOTED:[user_agent][original]})" "#,
            r"(?:-|%{NOTSPACE:[aws][s3access][version_id]})"
        ),
    ),
    // Java
    (
        "JAVASTACKTRACEPART",
        r"%{SPACE}at %{JAVACLASS:[java][log][origin][class][name]}\.%{JAVAMETHOD:[log][origin][function]}\(%{JAVAFILE:[log][origin][file][name]}(?::%{INT:[log][origin][file][line]:int})?\)",
    ),
    (
        "CATALINA7_LOG",
        "%{CATALINA7_DATESTAMP:timestamp} %{JAVACLASS:[java][log][origin][class][name]}(?: %{JAVALOGMESSAGE:message})?",
    ),
    (
        "CATALINA8_LOG",
        r"%{CATALINA8_DATESTAMP:timestamp} %{LOGLEVEL:[log][level]} \[%{DATA:[java][log][origin][thread][name]}\] %{JAVACLASS:[java][log][origin][class][name]}\.(?:%{JAVAMETHOD:[log][origin][function]}) %{JAVALOGMESSAGE:message}",
    ),
    (
        "TOMCATLEGACY_LOG",
        r"%{TOMCATLEGACY_DATESTAMP:timestamp} \| %{LOGLEVEL:[log][level]} \| %{JAVACLASS:[java][log][origin][class][name]} - %{JAVALOGMESSAGE:message}",
    ),
    // Redis, MongoDB, BIND, Ruby, MCollective
    ("REDISLOG", r"\[%{POSINT:[process][pid]:int}\] %{REDISTIMESTAMP:timestamp} [*#.-] "),
    (
        "REDISMONLOG",
        r#"%{NUMBER:timestamp} \[%{INT:[redis][database][id]} %{IP:[client][ip]}:%{POSINT:[client][port]:int}\] "%{WORD:[redis][command][name]}"(?: %{GREEDYDATA:[redis][command][args]})?"#,
    ),
    (
        "MONGO3_LOG",
        r"%{TIMESTAMP_ISO8601:timestamp} %{MONGO3_SEVERITY:[log][level]} (?:-|%{MONGO3_COMPONENT:[mongodb][component]}) +(?:\[%{DATA:[mongodb][context]}\] )?%{GREEDYDATA:message}",
    ),
    (
        "BIND9_QUERYLOGBASE",
        concat!(
            r"client(?: @0x[0-9A-Fa-f]+)? %{IP:[client][ip]}#%{POSINT:[client][port]:int} \(%{NOTSPACE:[bind][log][question][name]}\): ",
            r"query: %{NOTSPACE:[dns][question][name]} IN %{BIND9_DNSTYPE:[dns][question][type]} \S+(?: \(%{IP:[server][ip]}\))?"
        ),
    ),
    (
        "BIND9_QUERYLOG",
        "%{BIND9_TIMESTAMP:timestamp} %{BIND9_CATEGORY:[bind][log][category]}: %{LOGLEVEL:[log][level]}: %{BIND9_QUERYLOGBASE}",
    ),
    (
        "RUBY_LOGGER",
        r"[DFEWI], \[%{TIMESTAMP_ISO8601:timestamp} #%{POSINT:[process][pid]:int}\] *%{RUBY_LOGLEVEL:[log][level]} -- +%{DATA:[process][name]}: %{GREEDYDATA:message}",
    ),
    ("MCOLLECTIVE", r"., \[%{TIMESTAMP_ISO8601:timestamp} #%{POSINT:[process][pid]:int}\] +%{LOGLEVEL:[log][level]}"),
    // Rails
    ("RCONTROLLER", r"(?<[rails][controller][class]>[^#]+)#(?<[rails][controller][action]>\w+)"),
    (
        "RAILS3HEAD",
        r#"Started %{WORD:[http][request][method]} "%{URIPATHPARAM:[url][original]}" for %{IPORHOST:[source][address]} at (?<timestamp>%{YEAR}-%{MONTHNUM}-%{MONTHDAY} %{HOUR}:%{MINUTE}:%{SECOND} %{ISO8601_TIMEZONE})"#,
    ),
];
