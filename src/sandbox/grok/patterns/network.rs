//! Firewalls and network monitors other than Cisco's: netfilter, NetScreen, Junos, Zeek (once Bro).

use super::Entry;

pub(super) const PATTERNS: &[Entry] = &[
    // NetScreen
    (
        "NETSCREENSESSIONLOG",
        concat!(
            r"%{SYSLOGTIMESTAMP:date} %{IPORHOST:device} %{NOTSPACE}: NetScreen device_id=%{WORD:device_id} .*?",
            r"\(\w+\): start_time=%{QS:start_time} duration=%{INT:duration} policy_id=%{INT:policy_id} ",
            r"service=%{DATA:service} proto=%{INT:proto} src zone=%{WORD:src_zone} dst zone=%{WORD:dst_zone} ",
            r"action=%{WORD:action} sent=%{INT:sent} rcvd=%{INT:rcvd} src=%{IPORHOST:src_ip} dst=%{IPORHOST:dst_ip} ",
            r"src_port=%{INT:src_port} dst_port=%{INT:dst_port} src-xlated ip=%{IPORHOST:src_xlated_ip} ",
            r"port=%{INT:src_xlated_port} dst-xlated ip=%{IPORHOST:dst_xlated_ip} port=%{INT:dst_xlated_port} ",
            r"session_id=%{INT:session_id} reason=%{GREEDYDATA:reason}"
        ),
    ),
    // netfilter, as Shorewall and SuSE's firewall log it
    ("NETFILTERMAC", r"MAC=(?:%{COMMONMAC:nf_dst_mac}:%{COMMONMAC:nf_src_mac}(?::[0-9A-Fa-f]{2}){2})?"),
    (
        "SHOREWALL",
        concat!(
            r"%{SYSLOGTIMESTAMP:timestamp} %{IPORHOST:nf_host} .*?Shorewall:%{WORD:nf_action1}:%{WORD:nf_action2}:",
            r"IN=(?:%{USERNAME:nf_in_interface})? OUT=(?:%{USERNAME:nf_out_interface})? (?:%{NETFILTERMAC} )?",
            r"SRC=%{IP:nf_src_ip} DST=%{IP:nf_dst_ip} LEN=%{INT:nf_len} TOS=%{BASE16NUM:nf_tos} PREC=%{BASE16NUM:nf_prec} ",
            r"TTL=%{INT:nf_ttl} ID=%{INT:nf_id} (?:[A-Z]+ )*PROTO=%{WORD:nf_protocol}",
            r"(?: SPT=%{INT:nf_src_port} DPT=%{INT:nf_dst_port})?"
        ),
    ),
    (
        "SFW2",
        concat!(
            r"%{SYSLOGTIMESTAMP:timestamp} %{HOSTNAME} kernel: (?:\[ *%{NUMBER:nagios_epoch}\] )?SFW2-INext-%{NOTSPACE:nf_action} ",
            r"IN=(?:%{USERNAME:nf_in_interface})? OUT=(?:%{USERNAME:nf_out_interface})? (?:%{NETFILTERMAC} )?",
            r"SRC=%{IP:nf_src_ip} DST=%{IP:nf_dst_ip} .*?PROTO=%{WORD:nf_protocol}",
            r"(?: SPT=%{INT:nf_src_port} DPT=%{INT:nf_dst_port})?"
        ),
    ),
    // Junos
    ("RT_FLOW_TAG", "(?:RT_FLOW_SESSION_CREATE|RT_FLOW_SESSION_CLOSE|RT_FLOW_SESSION_DENY)"),
    ("RT_FLOW_EVENT", "(?:RT_FLOW_SESSION_CREATE|RT_FLOW_SESSION_CLOSE|RT_FLOW_SESSION_DENY)"),
    ("RT_FLOW_ADDRESSES", "%{IP:src-ip}/%{INT:src-port}->%{IP:dst-ip}/%{INT:dst-port} %{DATA:service}"),
    (
        "RT_FLOW_NAT",
        concat!(
            r"%{IP:nat-src-ip}/%{INT:nat-src-port}->%{IP:nat-dst-ip}/%{INT:nat-dst-port} ",
            r"(?:\S+ )??%{NOTSPACE:src-nat-rule-name} (?:\S+ )??%{NOTSPACE:dst-nat-rule-name} %{INT:protocol-id} ",
            r"%{NOTSPACE:policy-name} %{NOTSPACE:from-zone} %{NOTSPACE:to-zone} %{INT:session-id}"
        ),
    ),
    (
        "RT_FLOW1",
        concat!(
            r"%{RT_FLOW_EVENT:event}: %{DATA:close-reason}: %{RT_FLOW_ADDRESSES} %{RT_FLOW_NAT} ",
            r"[0-9]+\(%{INT:sent}\) [0-9]+\(%{INT:received}\) %{INT:elapsed-time}"
        ),
    ),
    ("RT_FLOW2", r"%{RT_FLOW_EVENT:event}: session created %{RT_FLOW_ADDRESSES} %{RT_FLOW_NAT}"),
    (
        "RT_FLOW3",
        concat!(
            r"%{RT_FLOW_EVENT:event}: session denied %{RT_FLOW_ADDRESSES} %{INT:protocol-id}\([0-9]+\) ",
            r"%{NOTSPACE:policy-name} %{NOTSPACE:from-zone} %{NOTSPACE:to-zone}"
        ),
    ),
    // Zeek: columns between tabs, a dash for nothing. Zeek has added columns over the years; as everybody's configuration
    // expects of these names, one wide column takes those that are too many.
    ("BRO_COLUMN", r"[^\t\n]+"),
    ("BRO_COLUMNS", r"[^\n]+"),
    (
        "BRO_HTTP",
        concat!(
            r"%{NUMBER:ts}\t%{BRO_COLUMN:uid}\t%{IP:orig_h}\t%{INT:orig_p}\t%{IP:resp_h}\t%{INT:resp_p}\t%{INT:trans_depth}\t",
            r"%{BRO_COLUMNS:method}\t%{BRO_COLUMN:domain}\t%{BRO_COLUMN:uri}\t%{BRO_COLUMN:referrer}\t%{BRO_COLUMN:user_agent}\t",
            r"%{BRO_COLUMN:request_body_len}\t%{BRO_COLUMN:response_body_len}\t%{BRO_COLUMN:status_code}\t%{BRO_COLUMN:status_msg}\t",
            r"%{BRO_COLUMN:info_code}\t%{BRO_COLUMN:info_msg}\t%{BRO_COLUMN:filename}\t%{BRO_COLUMN:bro_tags}\t%{BRO_COLUMN:username}\t",
            r"%{BRO_COLUMN:password}\t%{BRO_COLUMN:proxied}\t%{BRO_COLUMN:orig_fuids}\t%{BRO_COLUMN:orig_mime_types}\t",
            r"%{BRO_COLUMN:resp_fuids}\t%{BRO_COLUMN:resp_mime_types}"
        ),
    ),
    (
        "BRO_DNS",
        concat!(
            r"%{NUMBER:ts}\t%{BRO_COLUMN:uid}\t%{IP:orig_h}\t%{INT:orig_p}\t%{IP:resp_h}\t%{INT:resp_p}\t%{WORD:proto}\t",
            r"%{INT:trans_id}\t%{BRO_COLUMNS:query}\t%{BRO_COLUMN:qclass}\t%{BRO_COLUMN:qclass_name}\t%{BRO_COLUMN:qtype}\t",
            r"%{BRO_COLUMN:qtype_name}\t%{BRO_COLUMN:rcode}\t%{BRO_COLUMN:rcode_name}\t%{BRO_COLUMN:AA}\t%{BRO_COLUMN:TC}\t",
            r"%{BRO_COLUMN:RD}\t%{BRO_COLUMN:RA}\t%{BRO_COLUMN:Z}\t%{BRO_COLUMN:answers}\t%{BRO_COLUMN:TTLs}\t%{BRO_COLUMN:rejected}"
        ),
    ),
    (
        "BRO_CONN",
        concat!(
            r"%{NUMBER:ts}\t%{BRO_COLUMN:uid}\t%{IP:orig_h}\t%{INT:orig_p}\t%{IP:resp_h}\t%{INT:resp_p}\t%{WORD:proto}\t",
            r"%{BRO_COLUMN:service}\t%{BRO_COLUMN:duration}\t%{BRO_COLUMN:orig_bytes}\t%{BRO_COLUMN:resp_bytes}\t",
            r"%{BRO_COLUMNS:conn_state}\t%{BRO_COLUMN:local_orig}\t%{INT:missed_bytes}\t%{BRO_COLUMN:history}\t",
            r"%{INT:orig_pkts}\t%{INT:orig_ip_bytes}\t%{INT:resp_pkts}\t%{INT:resp_ip_bytes}\t%{BRO_COLUMN:tunnel_parents}"
        ),
    ),
    (
        "BRO_FILES",
        concat!(
            r"%{NUMBER:ts}\t%{BRO_COLUMN:fuid}\t%{IP:tx_hosts}\t%{IP:rx_hosts}\t%{BRO_COLUMN:conn_uids}\t%{BRO_COLUMNS:source}\t",
            r"%{BRO_COLUMN:depth}\t%{BRO_COLUMN:analyzers}\t%{BRO_COLUMN:mime_type}\t%{BRO_COLUMN:filename}\t%{BRO_COLUMN:duration}\t",
            r"%{BRO_COLUMN:local_orig}\t%{BRO_COLUMN:is_orig}\t%{BRO_COLUMN:seen_bytes}\t%{BRO_COLUMN:total_bytes}\t",
            r"%{BRO_COLUMN:missing_bytes}\t%{BRO_COLUMN:overflow_bytes}\t%{BRO_COLUMN:timedout}\t%{BRO_COLUMN:parent_fuid}\t",
            r"%{BRO_COLUMN:md5}\t%{BRO_COLUMN:sha1}\t%{BRO_COLUMN:sha256}\t%{BRO_COLUMN:extracted}"
        ),
    ),
];
