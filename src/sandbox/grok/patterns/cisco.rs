//! Cisco: the tag of every line, and the messages of its firewalls, by their numbers.
//!
//! `CISCOFW106023` finds message 106023, without the time and tag before it (`CISCO_TAGGED_SYSLOG` finds those). Endpoints are
//! written `interface:address/port`, with a user in parentheses where the firewall knows one; the names that begin with
//! `CISCO_SRC` and `CISCO_DST` are ours, for those.

use super::Entry;

pub(super) const PATTERNS: &[Entry] = &[
    ("CISCOTIMESTAMP", "%{MONTH} +%{MONTHDAY}(?: %{YEAR})? %{TIME}"),
    ("CISCOTAG", "[A-Z0-9]+-%{INT}-(?:[A-Z0-9_]+)"),
    (
        "CISCO_TAGGED_SYSLOG",
        r"^<%{POSINT:syslog_pri}>%{CISCOTIMESTAMP:timestamp}(?: %{SYSLOGHOST:sysloghost})? ?: %%{CISCOTAG:ciscotag}:",
    ),
    (
        "CISCO_ACTION",
        "(?:Built|Teardown|Deny|Denied|denied|requested|permitted|denied by ACL|discarded|est-allowed|Dropping|created|deleted)",
    ),
    (
        "CISCO_REASON",
        concat!(
            r"(?:Duplicate TCP SYN|Failed to locate egress interface|Invalid transport field|No matching connection",
            r"|DNS Response|DNS Query|(?:%{WORD}\s*)*)"
        ),
    ),
    ("CISCO_DIRECTION", "(?:[Ii]nbound|[Oo]utbound)"),
    ("CISCO_INTERVAL", "(?:first hit|%{INT}-second interval)"),
    ("CISCO_XLATE_TYPE", "(?:static|dynamic)"),
    ("CISCO_HITCOUNT", "hit-cnt %{INT:hit_count} %{CISCO_INTERVAL:interval}"),
    ("CISCO_HASHES", r"\[%{DATA:hashcode1}, %{DATA:hashcode2}\]"),
    ("CISCO_SRC_USER", r"(?:\(%{DATA:src_fwuser}\))?"),
    ("CISCO_DST_USER", r"(?:\(%{DATA:dst_fwuser}\))?"),
    ("CISCO_SRC_IP_PORT", "%{IP:src_ip}(?:/%{INT:src_port})?"),
    ("CISCO_DST_IP_PORT", "%{IP:dst_ip}(?:/%{INT:dst_port})?"),
    ("CISCO_SRC", "%{DATA:src_interface}:%{IP:src_ip}(?:/%{INT:src_port})?%{CISCO_SRC_USER}"),
    ("CISCO_DST", "%{DATA:dst_interface}:%{IP:dst_ip}(?:/%{INT:dst_port})?%{CISCO_DST_USER}"),
    // Failover
    ("CISCOFW104001", r"\((?:Primary|Secondary)\) Switching to ACTIVE - %{GREEDYDATA:switch_reason}"),
    ("CISCOFW104002", r"\((?:Primary|Secondary)\) Switching to STANDBY - %{GREEDYDATA:switch_reason}"),
    ("CISCOFW104003", r"\((?:Primary|Secondary)\) Switching to FAILED\."),
    ("CISCOFW104004", r"\((?:Primary|Secondary)\) Switching to OK\."),
    ("CISCOFW105003", r"\((?:Primary|Secondary)\) Monitoring on [Ii]nterface %{NOTSPACE:interface_name} waiting"),
    ("CISCOFW105004", r"\((?:Primary|Secondary)\) Monitoring on [Ii]nterface %{NOTSPACE:interface_name} normal"),
    (
        "CISCOFW105005",
        r"\((?:Primary|Secondary)\) Lost Failover communications with mate on [Ii]nterface %{NOTSPACE:interface_name}",
    ),
    ("CISCOFW105008", r"\((?:Primary|Secondary)\) Testing [Ii]nterface %{NOTSPACE:interface_name}"),
    ("CISCOFW105009", r"\((?:Primary|Secondary)\) Testing on [Ii]nterface %{NOTSPACE:interface_name} (?:Passed|Failed)"),
    // Denied packets
    (
        "CISCOFW106001",
        "%{CISCO_DIRECTION:direction} %{WORD:protocol} connection %{CISCO_ACTION:action} from %{CISCO_SRC_IP_PORT} to %{CISCO_DST_IP_PORT} flags %{DATA:tcp_flags} on interface %{NOTSPACE:interface}",
    ),
    (
        "CISCOFW106006_106007_106010",
        r"%{CISCO_ACTION:action} %{CISCO_DIRECTION:direction} %{WORD:protocol} (?:from|src) %{CISCO_SRC_IP_PORT}%{CISCO_SRC_USER} (?:to|dst) %{CISCO_DST_IP_PORT}%{CISCO_DST_USER} (?:on interface %{NOTSPACE:interface}|due to %{CISCO_REASON:reason})",
    ),
    (
        "CISCOFW106014",
        r"%{CISCO_ACTION:action} %{CISCO_DIRECTION:direction} %{WORD:protocol} src %{DATA:src_interface}:%{IP:src_ip}%{CISCO_SRC_USER} dst %{DATA:dst_interface}:%{IP:dst_ip}%{CISCO_DST_USER} \(type %{INT:icmp_type}, code %{INT:icmp_code}\)",
    ),
    (
        "CISCOFW106015",
        r"%{CISCO_ACTION:action} %{WORD:protocol} \(%{DATA:policy_id}\) from %{CISCO_SRC_IP_PORT} to %{CISCO_DST_IP_PORT} flags %{DATA:tcp_flags} on interface %{NOTSPACE:interface}",
    ),
    (
        "CISCOFW106021",
        "%{CISCO_ACTION:action} %{WORD:protocol} reverse path check from %{IP:src_ip} to %{IP:dst_ip} on interface %{NOTSPACE:interface}",
    ),
    (
        "CISCOFW106023",
        concat!(
            "%{CISCO_ACTION:action}(?: protocol)? %{WORD:protocol} src %{DATA:src_interface}:%{DATA:src_ip}(?:/%{INT:src_port})?%{CISCO_SRC_USER} ",
            "dst %{DATA:dst_interface}:%{DATA:dst_ip}(?:/%{INT:dst_port})?%{CISCO_DST_USER}",
            r#"(?: \(type %{INT:icmp_type}, code %{INT:icmp_code}\))? by access-group "?%{DATA:policy_id}"? %{CISCO_HASHES}"#
        ),
    ),
    (
        "CISCOFW106100_2_3",
        r"access-list %{NOTSPACE:policy_id} %{CISCO_ACTION:action} %{WORD:protocol} for user '%{DATA:src_fwuser}' %{DATA:src_interface}/%{IP:src_ip}\(%{INT:src_port}\) -> %{DATA:dst_interface}/%{IP:dst_ip}\(%{INT:dst_port}\) %{CISCO_HITCOUNT} %{CISCO_HASHES}",
    ),
    (
        "CISCOFW106100",
        r"access-list %{NOTSPACE:policy_id} %{CISCO_ACTION:action} %{WORD:protocol} %{DATA:src_interface}/%{IP:src_ip}\(%{INT:src_port}\)%{CISCO_SRC_USER} -> %{DATA:dst_interface}/%{IP:dst_ip}\(%{INT:dst_port}\)%{CISCO_DST_USER} %{CISCO_HITCOUNT} %{CISCO_HASHES}",
    ),
    (
        "CISCOFW110002",
        "%{CISCO_REASON:reason} for %{WORD:protocol} from %{DATA:src_interface}:%{CISCO_SRC_IP_PORT} to %{CISCO_DST_IP_PORT}",
    ),
    // Connections
    ("CISCOFW302010", "%{INT:connection_count} in use, %{INT:connection_count_max} most used"),
    (
        "CISCOFW302013_302014_302015_302016",
        concat!(
            r"%{CISCO_ACTION:action}(?: %{CISCO_DIRECTION:direction})? %{WORD:protocol} connection %{INT:connection_id} ",
            r"for %{DATA:src_interface}:%{IP:src_ip}/%{INT:src_port}(?: \(%{IP:src_mapped_ip}/%{INT:src_mapped_port}\))?%{CISCO_SRC_USER} ",
            r"to %{DATA:dst_interface}:%{IP:dst_ip}/%{INT:dst_port}(?: \(%{IP:dst_mapped_ip}/%{INT:dst_mapped_port}\))?%{CISCO_DST_USER}",
            r"(?: duration %{TIME:duration} bytes %{INT:bytes})?(?: %{CISCO_REASON:reason})?(?: \(%{DATA:user}\))?"
        ),
    ),
    (
        "CISCOFW302020_302021",
        concat!(
            r"%{CISCO_ACTION:action}(?: %{CISCO_DIRECTION:direction})? %{WORD:protocol} connection for ",
            r"faddr %{IP:dst_ip}/%{INT:icmp_seq_num}%{CISCO_DST_USER} gaddr %{IP:src_xlated_ip}/%{INT:icmp_code_xlated} ",
            r"laddr %{IP:src_ip}/%{INT:icmp_code}(?: *\(%{DATA:user}\))?"
        ),
    ),
    ("CISCOFW304001", r"%{IP:src_ip}%{CISCO_SRC_USER} Accessed URL %{IP:dst_ip}:%{GREEDYDATA:dst_url}"),
    (
        "CISCOFW305011",
        concat!(
            r"%{CISCO_ACTION:action} %{CISCO_XLATE_TYPE:xlate_type} %{WORD:protocol} translation from ",
            r"%{DATA:src_interface}:%{IP:src_ip}(?:/%{INT:src_port})?%{CISCO_SRC_USER} ",
            r"to %{DATA:src_xlated_interface}:%{IP:src_xlated_ip}(?:/%{INT:src_xlated_port})?"
        ),
    ),
    (
        "CISCOFW313001_313004_313008",
        r"%{CISCO_ACTION:action} %{WORD:protocol} type=%{INT:icmp_type}, code=%{INT:icmp_code} from %{IP:src_ip} on interface %{NOTSPACE:interface}(?: to %{IP:dst_ip})?",
    ),
    (
        "CISCOFW313005",
        concat!(
            r"%{CISCO_REASON:reason} for %{WORD:protocol} error message: %{WORD:err_protocol} src %{DATA:err_src_interface}:%{IP:err_src_ip}",
            r"(?:\(%{DATA:err_src_fwuser}\))? dst %{DATA:err_dst_interface}:%{IP:err_dst_ip}(?:\(%{DATA:err_dst_fwuser}\))? ",
            r"\(type %{INT:err_icmp_type}, code %{INT:err_icmp_code}\) on %{DATA:interface} interface\.  ?Original IP payload: ",
            r"%{WORD:protocol} src %{IP:orig_src_ip}/%{INT:orig_src_port}(?:\(%{DATA:orig_src_fwuser}\))? dst %{IP:orig_dst_ip}/%{INT:orig_dst_port}"
        ),
    ),
    ("CISCOFW321001", "Resource '%{WORD:resource_name}' limit of %{POSINT:resource_limit} reached for system"),
    // IPsec
    (
        "CISCOFW402117",
        r"%{WORD:protocol}: Received a non-IPSec packet \(protocol= ?%{WORD:orig_protocol}\) from %{IP:src_ip} to %{IP:dst_ip}\.?",
    ),
    (
        "CISCOFW402119",
        r"%{WORD:protocol}: Received an %{WORD:orig_protocol} packet \(SPI= ?%{DATA:spi}, sequence number= ?%{DATA:seq_num}\) from %{IP:src_ip} \(user= ?%{DATA:user}\) to %{IP:dst_ip} that failed anti-replay checking",
    ),
    (
        "CISCOFW419001",
        "%{CISCO_ACTION:action} %{WORD:protocol} packet from %{DATA:src_interface}:%{CISCO_SRC_IP_PORT} to %{DATA:dst_interface}:%{CISCO_DST_IP_PORT}, reason: %{GREEDYDATA:reason}",
    ),
    (
        "CISCOFW419002",
        "%{CISCO_REASON:reason} from %{DATA:src_interface}:%{CISCO_SRC_IP_PORT} to %{DATA:dst_interface}:%{CISCO_DST_IP_PORT} with different initial sequence number",
    ),
    (
        "CISCOFW500004",
        "%{CISCO_REASON:reason} for protocol=%{WORD:protocol}, from %{CISCO_SRC_IP_PORT} to %{CISCO_DST_IP_PORT}",
    ),
    (
        "CISCOFW602303_602304",
        r"%{WORD:protocol}: An %{CISCO_DIRECTION:direction} %{DATA:tunnel_type} SA \(SPI= ?%{DATA:spi}\) between %{IP:src_ip} and %{IP:dst_ip} \(user= ?%{DATA:user}\) has been %{CISCO_ACTION:action}",
    ),
    (
        "CISCOFW710001_710002_710003_710005_710006",
        "%{WORD:protocol} (?:request|access) %{CISCO_ACTION:action} from %{CISCO_SRC_IP_PORT} to %{DATA:dst_interface}:%{CISCO_DST_IP_PORT}",
    ),
    (
        "CISCOFW713172",
        r"Group = %{DATA:group}, IP = %{IP:src_ip}, Automatic NAT Detection Status:\s+Remote end\s*%{DATA:is_remote_natted}\s*behind a NAT device\s+This\s+end\s*%{DATA:is_local_natted}\s*behind a NAT device",
    ),
    (
        "CISCOFW733100",
        concat!(
            r"\[%{DATA:drop_type}\] drop %{DATA:drop_rate_id} exceeded\. Current burst rate is %{INT:drop_rate_current_burst} per second, ",
            r"max configured rate is %{INT:drop_rate_max_burst}; Current average rate is %{INT:drop_rate_current_avg} per second, ",
            r"max configured rate is %{INT:drop_rate_max_avg}; Cumulative total count is %{INT:drop_total_count}"
        ),
    ),
];
