//! Names that the schema has a definition of its own for: it captures more than the legacy one, or other things; a dash is no value and
//! quotes are not part of one.

use super::Entry;

pub(super) const PATTERNS: &[Entry] = &[
    ("URIHOST", "%{IPORHOST}(?::%{POSINT})?"),
    // An address of the web, cut up; what `%{URI}` finds is not.
    ("ECS_URI_HOST", "%{IPORHOST:[url][domain]}(?::%{POSINT:[url][port]:int})?"),
    ("ECS_URI_PATH", r"%{URIPATH:[url][path]}(?:\?%{URIQUERY:[url][query]})?"),
    ("ECS_URI_USER", "(?:%{USER:[url][username]}(?::[^@]*)?@)?"),
    // No person's name is longer; a user's, which most lines have none of, is not counted.
    ("EMAILLOCALPART", r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,64}(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+){0,63}"),
    ("HTTPDUSER", r"(?:[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@%{HOSTNAME}|%{USER})"),
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
        "(?:%{SYSLOGTIMESTAMP:timestamp}|%{TIMESTAMP_ISO8601:timestamp})(?: %{SYSLOGFACILITY})?(?: %{SYSLOGHOST:[host][hostname]})?(?: %{SYSLOGPROG}:)?",
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
    ("HAPROXYTIME", "%{HOUR}:%{MINUTE}:%{SECOND}"),
    ("HAPROXYDATE", r"%{MONTHDAY}/%{MONTH}/%{YEAR}:%{HOUR}:%{MINUTE}:(?:60|[0-5]?[0-9])\.%{INT}"),
    ("HAPROXYCAPTUREDREQUESTHEADERS", "%{DATA:[haproxy][http][request][captured_headers]}"),
    ("HAPROXYCAPTUREDRESPONSEHEADERS", "%{DATA:[haproxy][http][response][captured_headers]}"),
    ("HAPROXYURI", r"(?:%{URIPROTO:[url][scheme]}://)?%{ECS_URI_USER}(?:%{ECS_URI_HOST})?(?:%{ECS_URI_PATH})?"),
    (
        "HAPROXYHTTPREQUESTLINE",
        r"(?:<BADREQ>|%{WORD:[http][request][method]} %{HAPROXYURI:[url][original]}(?: HTTP/%{NUMBER:[http][version]})?)",
    ),
    (
        "HAPROXYHTTPBASE",
        concat!(
            r"%{IP:[source][address]}:%{INT:[source][port]:int} \[%{HAPROXYDATE:[haproxy][request_date]}\] ",
            r"%{NOTSPACE:[haproxy][frontend_name]} %{NOTSPACE:[haproxy][backend_name]}/(?:<NOSRV>|%{NOTSPACE:[haproxy][server_name]}) ",
            r"(?:-1|%{INT:[haproxy][http][request][time_wait_ms]:int})/(?:-1|%{INT:[haproxy][total_waiting_time_ms]:int})",
            r"/(?:-1|%{INT:[haproxy][connection_wait_time_ms]:int})/(?:-1|%{INT:[haproxy][http][request][time_wait_without_data_ms]:int})",
            r"/%{NOTSPACE:[haproxy][total_time_ms]} (?:-1|%{INT:[http][response][status_code]:int}) %{INT:[source][bytes]:int} ",
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
            r"/%{NOTSPACE:[haproxy][total_time_ms]} %{INT:[source][bytes]:int} %{NOTSPACE:[haproxy][termination_state]} ",
            r"%{INT:[haproxy][connections][active]:int}/%{INT:[haproxy][connections][frontend]:int}",
            r"/%{INT:[haproxy][connections][backend]:int}/%{INT:[haproxy][connections][server]:int}",
            r"/%{INT:[haproxy][connections][retries]:int} %{INT:[haproxy][server_queue]:int}/%{INT:[haproxy][backend_queue]:int}"
        ),
    ),
    // Squid
    ("SQUID3_STATUS", "(?:%{POSINT:[http][response][status_code]:int}|0|000)"),
    (
        "SQUID3",
        concat!(
            r"%{NUMBER:timestamp} +%{INT:[squid][request][duration]:int} %{IP:[source][ip]} %{WORD:[event][action]}",
            r"/%{SQUID3_STATUS} %{INT:[http][response][bytes]:int} %{WORD:[http][request][method]} ",
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
            r"(?:-|%{NOTSPACE:[aws][s3access][version_id]})",
            // What was added since.
            r"(?: (?:-|%{NOTSPACE:[aws][s3access][host_id]}) (?:-|%{NOTSPACE:[aws][s3access][signature_version]}) ",
            r"(?:-|%{NOTSPACE:[tls][cipher]}) (?:-|%{NOTSPACE:[aws][s3access][authentication_type]}) ",
            r"(?:-|%{NOTSPACE:[aws][s3access][host_header]}) (?:-|%{NOTSPACE:[aws][s3access][tls_version]}))?"
        ),
    ),
    ("ELB_URIHOST", "%{ECS_URI_HOST}"),
    ("ELB_URIPATHQUERY", "%{ECS_URI_PATH}"),
    ("ELB_URIPATHPARAM", "%{ECS_URI_PATH}"),
    ("ELB_URI", "%{URIPROTO:[url][scheme]}://%{ECS_URI_USER}(?:%{ECS_URI_HOST})?(?:%{ECS_URI_PATH})?"),
    ("ELB_REQUEST_LINE", "%{WORD:[http][request][method]} %{ELB_URI:[url][original]}(?: HTTP/%{NUMBER:[http][version]})?"),
    (
        "ELB_V1_HTTP_LOG",
        concat!(
            "%{TIMESTAMP_ISO8601:timestamp} %{NOTSPACE:[aws][elb][name]} %{IP:[source][ip]}:%{INT:[source][port]:int} ",
            "(?:-|%{IP:[aws][elb][backend][ip]}:%{INT:[aws][elb][backend][port]:int}) ",
            "(?:-1|%{NUMBER:[aws][elb][request_processing_time][sec]:float}) ",
            "(?:-1|%{NUMBER:[aws][elb][backend_processing_time][sec]:float}) ",
            "(?:-1|%{NUMBER:[aws][elb][response_processing_time][sec]:float}) ",
            "%{INT:[http][response][status_code]:int} (?:-|%{INT:[aws][elb][backend][http][response][status_code]:int}) ",
            "%{INT:[http][request][body][bytes]:int} %{INT:[http][response][body][bytes]:int} ",
            r#""%{ELB_REQUEST_LINE}"(?: "(?:-|%{ECS_QUOTED:[user_agent][original]})" "#,
            "(?:-|%{NOTSPACE:[tls][cipher]}) (?:-|%{NOTSPACE:[aws][elb][ssl_protocol]}))?"
        ),
    ),
    (
        "CLOUDFRONT_ACCESS_LOG",
        concat!(
            r"(?<timestamp>%{YEAR}[/-]%{MONTHNUM}[/-]%{MONTHDAY}\t%{TIME})\t%{WORD:[aws][cloudfront][x_edge_location]}\t",
            r"(?:-|%{INT:[destination][bytes]:int})\t%{IPORHOST:[source][ip]}\t%{WORD:[http][request][method]}\t",
            r"%{HOSTNAME:[url][domain]}\t%{NOTSPACE:[url][path]}\t(?:-|000|%{INT:[http][response][status_code]:int})\t",
            r"(?:-|%{ECS_COLUMN:[http][request][referrer]})\t%{ECS_COLUMN:[user_agent][original]}\t",
            r"(?:-|%{ECS_COLUMN:[url][query]})\t(?:-|%{ECS_COLUMN:[aws][cloudfront][http][request][cookie]})\t",
            r"%{WORD:[aws][cloudfront][x_edge_result_type]}\t%{NOTSPACE:[aws][cloudfront][x_edge_request_id]}\t",
            r"%{HOSTNAME:[aws][cloudfront][http][request][host]}\t%{URIPROTO:[network][protocol]}\t",
            r"(?:-|%{INT:[source][bytes]:int})\t%{NUMBER:[aws][cloudfront][time_taken]:float}\t",
            r"(?:-|%{IP:[network][forwarded_ip]})\t(?:-|%{ECS_COLUMN:[aws][cloudfront][ssl_protocol]})\t",
            r"(?:-|%{NOTSPACE:[tls][cipher]})\t%{WORD:[aws][cloudfront][x_edge_response_result_type]}",
            // What was added since.
            r"(?:\t(?:-|HTTP/%{NUMBER:[http][version]})\t(?:-|%{ECS_COLUMN:[aws][cloudfront][fle_status]})\t",
            r"(?:-|%{ECS_COLUMN:[aws][cloudfront][fle_encrypted_fields]})\t%{INT:[source][port]:int}\t",
            r"%{NUMBER:[aws][cloudfront][time_to_first_byte]:float}\t",
            r"(?:-|%{ECS_COLUMN:[aws][cloudfront][x_edge_detailed_result_type]})\t",
            r"(?:-|%{NOTSPACE:[http][request][mime_type]})\t(?:-|%{INT:[aws][cloudfront][http][request][size]:int})\t",
            r"(?:-|%{INT:[aws][cloudfront][http][request][range][start]:int})\t",
            r"(?:-|%{INT:[aws][cloudfront][http][request][range][end]:int}))?"
        ),
    ),
    ("ECS_COLUMN", r"[^\t\n]*"),
    // Java
    (
        "JAVASTACKTRACEPART",
        r"%{SPACE}at %{JAVACLASS:[java][log][origin][class][name]}\.%{JAVAMETHOD:[log][origin][function]}\(%{JAVAFILE:[log][origin][file][name]}(?::%{INT:[log][origin][file][line]:int})?\)",
    ),
    (
        "CATALINA7_LOG",
        concat!(
            "%{CATALINA7_DATESTAMP:timestamp} %{JAVACLASS:[java][log][origin][class][name]}",
            r"(?: %{JAVAMETHOD:[log][origin][function]})?\s*(?:%{LOGLEVEL:[log][level]}:)? %{JAVALOGMESSAGE:message}"
        ),
    ),
    ("TOMCAT7_LOG", "%{CATALINA7_LOG}"),
    ("TOMCAT8_LOG", "%{CATALINA8_LOG}"),
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
            r"query: %{NOTSPACE:[dns][question][name]} (?<[dns][question][class]>IN) %{BIND9_DNSTYPE:[dns][question][type]}",
            r"(?: %{DATA:[bind][log][question][flags]})?(?: \(%{IP:[server][ip]}\)|$)"
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
    (
        "MONGO_SLOWQUERY",
        concat!(
            r"%{WORD:[mongodb][profile][op]} %{MONGO_WORDDASH:[mongodb][database]}\.%{MONGO_WORDDASH:[mongodb][collection]} %{WORD}: ",
            r"%{MONGO_QUERY:[mongodb][query][original]} (?:%{WORD}:%{NONNEGINT} )??ntoreturn:%{NONNEGINT:[mongodb][profile][ntoreturn]:int} ",
            r"ntoskip:%{NONNEGINT:[mongodb][profile][ntoskip]:int} nscanned:%{NONNEGINT:[mongodb][profile][nscanned]:int}.*? ",
            r"nreturned:%{NONNEGINT:[mongodb][profile][nreturned]:int}.*? %{INT:[mongodb][profile][duration]:int}ms"
        ),
    ),
    (
        "POSTGRESQL",
        "%{DATESTAMP:timestamp} %{TZ:[event][timezone]} %{DATA:[user][name]} %{GREEDYDATA:[postgresql][log][connection_id]} %{POSINT:[process][pid]:int}",
    ),
    // Exim
    (
        "EXIM_MESSAGE_ARRIVAL",
        concat!(
            r"%{EXIM_DATE:timestamp} (?:%{EXIM_PID} )?%{EXIM_MSGID:[exim][log][message][id]} (?<[exim][log][flags]><=) ",
            r"(?<[exim][log][status]>[a-z:] )?(?:<>|%{EMAILADDRESS:[exim][log][sender][email]})%{EXIM_NAMED_FIELDS}",
            r"(?:(?: from <?%{DATA:[exim][log][sender][original]}>?)? for %{EMAILADDRESS:[exim][log][recipient][email]})?"
        ),
    ),
    ("EXIM_SUBJECT", r#"T="%{EXIM_QUOTED_CONTENT:[exim][log][message][subject]}""#),
    // Bacula
    ("BACULA_HOST", r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*"),
    (
        "BACULA_LOG_DUPLICATE",
        r"Fatal [eE]rror: JobId %{INT:[bacula][job][other_id]} already running\. Duplicate job not allowed\.",
    ),
    ("BACULA_LOG", "%{BACULA_LOGLINE}"),
    (
        "BACULA_LOG_MAX_CAPACITY",
        r#"User defined maximum volume capacity %{BACULA_CAPACITY:[bacula][volume][max_capacity]} exceeded on device %{ECS_BACULA_DEVICE}\."#,
    ),
    (
        "BACULA_LOG_END_VOLUME",
        concat!(
            r#"End of medium on Volume "%{BACULA_VOLUME:[bacula][volume][name]}" Bytes=%{BACULA_CAPACITY:[bacula][volume][bytes]} "#,
            r"Blocks=%{BACULA_CAPACITY:[bacula][volume][blocks]} at %{BACULA_TIMESTAMP:[bacula][timestamp]}\."
        ),
    ),
    ("ECS_BACULA_DEVICE", r#""%{BACULA_DEVICE:[bacula][volume][device]}" \(%{BACULA_DEVICEPATH:[bacula][volume][path]}\)"#),
    (
        "BACULA_LOG_NEW_LABEL",
        r#"Labeled new Volume "%{BACULA_VOLUME:[bacula][volume][name]}" on (?:file )?device %{ECS_BACULA_DEVICE}\."#,
    ),
    (
        "BACULA_LOG_WROTE_LABEL",
        r#"Wrote label to prelabeled Volume "%{BACULA_VOLUME:[bacula][volume][name]}" on device %{ECS_BACULA_DEVICE}"#,
    ),
    (
        "BACULA_LOG_NEW_MOUNT",
        r#"New volume "%{BACULA_VOLUME:[bacula][volume][name]}" mounted on device %{ECS_BACULA_DEVICE} at %{BACULA_TIMESTAMP:[bacula][timestamp]}\."#,
    ),
    ("BACULA_LOG_NOOPENDIR", r#"\s*Could not open directory "?%{DATA:[file][path]}"?: ERR=%{GREEDYDATA:[error][message]}"#),
    ("BACULA_LOG_NOSTAT", r"\s*Could not stat %{DATA:[file][path]}: ERR=%{GREEDYDATA:[error][message]}"),
    (
        "BACULA_LOG_READYAPPEND",
        r#"Ready to append to end of Volume "%{BACULA_VOLUME:[bacula][volume][name]}" size=%{INT:[bacula][volume][size]:int}"#,
    ),
    ("BACULA_LOG_CANCELLING", r"Cancelling duplicate JobId=%{INT:[bacula][job][other_id]}\."),
    ("BACULA_LOG_MARKCANCEL", r"JobId %{INT:[bacula][job][id]}, Job %{BACULA_JOB:[bacula][job][name]} marked to be canceled\."),
    (
        "ECS_BACULA_PEER",
        r"(?:Client: %{BACULA_HOST:[bacula][client][name]}|Storage daemon) on %{IPORHOST:[client][address]}:%{POSINT:[client][port]:int}\. ERR=%{GREEDYDATA:[error][message]}",
    ),
    ("BACULA_LOG_FATAL_CONN", r"Fatal [eE]rror: bsock\.c:[0-9]+ Unable to connect to %{ECS_BACULA_PEER}"),
    ("BACULA_LOG_NO_CONNECT", r"Warning: bsock\.c:[0-9]+ Could not connect to %{ECS_BACULA_PEER}"),
    (
        "BACULA_LOG_NO_AUTH",
        r#"Fatal error: Unable to authenticate with File daemon at "?%{IPORHOST:[client][address]}(?::%{POSINT:[client][port]:int})?"?\. Possible causes:"#,
    ),
    // Cisco's firewalls
    (
        "CISCO_HITCOUNT",
        "hit-cnt %{INT:[cisco][asa][hit_count]:int} (?:first hit|%{INT:[cisco][asa][interval]:int}-second interval)",
    ),
    ("CISCO_HITCOUNT_INTERVAL", "%{CISCO_HITCOUNT}"),
    ("CISCO_SRC_IP_USER", r"%{NOTSPACE:[observer][ingress][interface][name]}:%{IP:[source][ip]}%{CISCO_SRC_USER}"),
    ("CISCO_DST_IP_USER", r"%{NOTSPACE:[observer][egress][interface][name]}:%{IP:[destination][ip]}%{CISCO_DST_USER}"),
    (
        "CISCO_SRC_HOST_PORT_USER",
        r"%{NOTSPACE:[observer][ingress][interface][name]}:(?:%{IP:[source][ip]}|%{HOSTNAME:[source][address]})(?:/%{INT:[source][port]:int})?%{CISCO_SRC_USER}",
    ),
    (
        "CISCO_DST_HOST_PORT_USER",
        r"%{NOTSPACE:[observer][egress][interface][name]}:(?:%{IP:[destination][ip]}|%{HOSTNAME:[destination][address]})(?:/%{INT:[destination][port]:int})?%{CISCO_DST_USER}",
    ),
    (
        "CISCOFW106014",
        concat!(
            r"%{CISCO_ACTION:[cisco][asa][outcome]} %{CISCO_DIRECTION:[cisco][asa][network][direction]} ",
            r"%{WORD:[cisco][asa][network][transport]} src %{CISCO_SRC_IP_USER} dst %{CISCO_DST_IP_USER} ?",
            r"\(type %{INT:[cisco][asa][icmp_type]:int}, code %{INT:[cisco][asa][icmp_code]:int}\)"
        ),
    ),
    (
        "CISCOFW106023",
        concat!(
            r"%{CISCO_ACTION:[cisco][asa][outcome]}(?: protocol)? %{WORD:[cisco][asa][network][transport]} ",
            r"src %{CISCO_SRC_HOST_PORT_USER} dst %{CISCO_DST_HOST_PORT_USER}",
            r"(?: \(type %{INT:[cisco][asa][icmp_type]:int}, code %{INT:[cisco][asa][icmp_code]:int}\))? ",
            r#"by access-group "?%{DATA:[cisco][asa][rule_name]}"? %{CISCO_HASHES}"#
        ),
    ),
    (
        "CISCOFW313005",
        concat!(
            r"%{CISCO_REASON:[event][reason]} for %{WORD:[cisco][asa][network][transport]} error message: %{WORD} ",
            r"src %{CISCO_SRC_IP_USER} dst %{CISCO_DST_IP_USER} ",
            r"\(type %{INT:[cisco][asa][icmp_type]:int}, code %{INT:[cisco][asa][icmp_code]:int}\) on %{NOTSPACE} interface\.  ?",
            r"Original IP payload: %{WORD:[cisco][asa][original_ip_payload][network][transport]} ",
            r"src %{IP:[cisco][asa][original_ip_payload][source][ip]}/%{INT:[cisco][asa][original_ip_payload][source][port]:int}",
            r"(?:\(%{DATA:[cisco][asa][original_ip_payload][source][user][name]}\))? ",
            r"dst %{IP:[cisco][asa][original_ip_payload][destination][ip]}/%{INT:[cisco][asa][original_ip_payload][destination][port]:int}",
            r"(?:\(%{DATA:[cisco][asa][original_ip_payload][destination][user][name]}\))?"
        ),
    ),
    // Other firewalls
    (
        "RT_FLOW_NAT",
        concat!(
            r"%{IP:[source][nat][ip]}/%{INT:[source][nat][port]:int}->%{IP:[destination][nat][ip]}/%{INT:[destination][nat][port]:int} ",
            r"(?:\S+ )??(?:None|%{NOTSPACE:[juniper][srx][src_nat_rule_name]}) ",
            r"(?:\S+ )??(?:None|%{NOTSPACE:[juniper][srx][dst_nat_rule_name]}) %{INT:[network][iana_number]} ",
            r"%{NOTSPACE:[rule][name]} %{NOTSPACE:[observer][ingress][zone]} %{NOTSPACE:[observer][egress][zone]} %{INT:[juniper][srx][session_id]}"
        ),
    ),
    (
        "NETSCREENSESSIONLOG",
        concat!(
            r"%{SYSLOGTIMESTAMP:timestamp} %{IPORHOST:[observer][hostname]} %{NOTSPACE:[observer][name]}: ",
            r"(?<[observer][product]>NetScreen) device_id=%{WORD:[netscreen][device_id]} .*?",
            r"(?:system-\w+-%{NONNEGINT:[event][code]}\(%{WORD:[netscreen][session][type]}\))?: ",
            r#"start_time="%{DATA:[netscreen][session][start_time]}" duration=%{INT:[netscreen][session][duration]:int} "#,
            r"policy_id=%{INT:[netscreen][policy_id]} service=%{DATA:[netscreen][service]} proto=%{INT:[netscreen][protocol_number]:int} ",
            r"src zone=%{WORD:[observer][ingress][zone]} dst zone=%{WORD:[observer][egress][zone]} action=%{WORD:[event][action]} ",
            r"sent=%{INT:[source][bytes]:int} rcvd=%{INT:[destination][bytes]:int} ",
            r"src=%{IPORHOST:[source][address]} dst=%{IPORHOST:[destination][address]}",
            r"(?: src_port=%{INT:[source][port]:int} dst_port=%{INT:[destination][port]:int})?",
            r"(?: src-xlated ip=%{IP:[source][nat][ip]} port=%{INT:[source][nat][port]:int}",
            r" dst-xlated ip=%{IP:[destination][nat][ip]} port=%{INT:[destination][nat][port]:int})?",
            r"(?: session_id=%{INT:[netscreen][session][id]} reason=%{GREEDYDATA:[netscreen][session][reason]})?"
        ),
    ),
    ("IPTABLES_TCP_FLAGS", "(?:(?:CWR|ECE|URG|ACK|PSH|RST|SYN|FIN) )*"),
    (
        "IPTABLES_TCP_PART",
        concat!(
            r"(?:SEQ=%{INT:[iptables][tcp][seq]:int} +)?(?:ACK=%{INT:[iptables][tcp][ack]:int} +)?WINDOW=%{INT:[iptables][tcp][window]:int} +",
            r"RES=0x%{BASE16NUM:[iptables][tcp_reserved_bits]} +%{IPTABLES_TCP_FLAGS:[iptables][tcp][flags]}"
        ),
    ),
    ("IPTABLES4_FRAG", "(?:(?:CE|DF|MF) ?)*"),
    (
        "IPTABLES4_PART",
        concat!(
            r"SRC=%{IPV4:[source][ip]} +DST=%{IPV4:[destination][ip]} +LEN=(?:%{INT:[iptables][length]:int})? +",
            r"TOS=(?:0x%{BASE16NUM:[iptables][tos]}|0)? +PREC=(?:0x%{BASE16NUM:[iptables][precedence_bits]})? +",
            r"TTL=(?:%{INT:[iptables][ttl]:int})? +ID=(?:%{INT:[iptables][id]})?",
            r"(?: +(?<[iptables][fragment_flags]>(?:CE|DF|MF)(?: (?:CE|DF|MF))*))?(?: +FRAG:? ?%{INT:[iptables][fragment_offset]:int})?"
        ),
    ),
    (
        "IPTABLES6_PART",
        concat!(
            r"SRC=%{IPV6:[source][ip]} +DST=%{IPV6:[destination][ip]} +LEN=(?:%{INT:[iptables][length]:int})? +",
            r"TC=(?:0x%{BASE16NUM:[iptables][tos]}|0)? +HOPLIMIT=(?:%{INT:[iptables][ttl]:int})? +FLOWLBL=(?:%{INT:[iptables][flow_label]})?"
        ),
    ),
    (
        "IPTABLES",
        concat!(
            r"IN=(?:%{NOTSPACE:[observer][ingress][interface][name]})? +OUT=(?:%{NOTSPACE:[observer][egress][interface][name]})? +",
            r"(?:MAC=(?:%{COMMONMAC:[destination][mac]})?(?::%{COMMONMAC:[source][mac]})?(?::[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2})? +)?",
            r"(?:%{IPTABLES4_PART}|%{IPTABLES6_PART}).*?PROTO=(?:%{WORD:[network][transport]})?",
            r"(?: +SPT=(?:%{INT:[source][port]:int})? +DPT=(?:%{INT:[destination][port]:int})?)?(?: +%{IPTABLES_TCP_PART})?"
        ),
    ),
    (
        "SHOREWALL",
        r"%{SYSLOGTIMESTAMP:timestamp} %{WORD:[observer][hostname]} .*?Shorewall:(?:%{WORD:[shorewall][firewall][type]})?:(?:%{WORD:[shorewall][firewall][action]})?.*?%{IPTABLES}",
    ),
    ("SFW2_LOG_PREFIX", "SFW2-INext-%{NOTSPACE:[suse][firewall][action]}"),
    (
        "SFW2",
        r"(?:%{SYSLOGTIMESTAMP:timestamp}|%{TIMESTAMP_ISO8601:timestamp}) *%{HOSTNAME:[observer][hostname]}.*?%{SFW2_LOG_PREFIX:[suse][firewall][log_prefix]} *%{IPTABLES}",
    ),
    // Zeek: what columns hold
    ("ZEEK_BOOL", "[TF]"),
    ("ZEEK_DATA", r"[^\t\n]+"),
    ("BRO_BOOL", "[TF]"),
    ("BRO_DATA", r"[^\t\n]+"),
    ("ZEEK_FILES_TX_HOSTS", r"(?:-|(?<[zeek][files][tx_hosts]>%{IP:[server][ip]}(?:[ ,]%{IP})+)|%{IP:[server][ip]})"),
    ("ZEEK_FILES_RX_HOSTS", r"(?:-|(?<[zeek][files][rx_hosts]>%{IP:[client][ip]}(?:[ ,]%{IP})+)|%{IP:[client][ip]})"),
];
