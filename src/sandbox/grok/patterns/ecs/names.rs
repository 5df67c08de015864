//! What fields of the legacy names are called in the schema, for all names of a family, and for some names by themselves.
//! Types are the schema's. An empty name: the schema has no field for it.

/// (legacy field, the schema's).
type Renamed = &'static [(&'static str, &'static str)];

/// The new names of a pattern's fields: those of its own, which come first, and those of its family.
pub(super) fn of(name: &str) -> (Renamed, Renamed) {
    let own = OWN.iter().find(|(own, _)| *own == name).map_or(&[] as Renamed, |(_, renamed)| renamed);
    let family = FAMILIES.iter().find(|(begins, _)| begins.iter().any(|begin| name.starts_with(begin)));
    (own, family.map_or(&[], |(_, renamed)| renamed))
}

/// By what the names of a family begin with.
const FAMILIES: &[(&[&str], Renamed)] = &[
    (&["NAGIOS"], NAGIOS),
    (&["BACULA"], BACULA),
    (&["CISCO"], CISCO),
    (&["RT_FLOW"], JUNOS),
    (&["EXIM"], EXIM),
    (&["RCONTROLLER", "RPROCESSING", "RAILS3"], RAILS),
    (&["MONGO"], MONGO),
];

const NAGIOS: Renamed = &[
    ("nagios_epoch", "timestamp"),
    ("nagios_message", "message"),
    ("nagios_type", "[nagios][log][type]"),
    ("nagios_hostname", "[host][hostname]"),
    ("nagios_service", "[service][name]"),
    ("nagios_state", "[service][state]"),
    ("nagios_statetype", "[nagios][log][state_type]"),
    ("nagios_statelevel", "[nagios][log][state_type]"),
    ("nagios_statecode", "[nagios][log][attempt]:int"),
    ("nagios_attempt", "[nagios][log][attempt]:int"),
    ("nagios_notifyname", "[user][name]"),
    ("nagios_contact", "[nagios][log][notification_command]"),
    ("nagios_comment", "[nagios][log][comment]"),
    ("nagios_event_handler_name", "[nagios][log][event_handler_name]"),
    ("nagios_unknown1", "[nagios][log][period_from]:int"),
    ("nagios_unknown2", "[nagios][log][period_to]:int"),
    ("nagios_command", "[nagios][log][command]"),
    ("nagios_check_result", "[nagios][log][check_result]"),
    ("nagios_start_time", "[nagios][log][start_time]"),
    ("nagios_end_time", "[nagios][log][end_time]"),
    ("nagios_fixed", "[nagios][log][fixed]"),
    ("nagios_trigger_id", "[nagios][log][trigger_id]"),
    ("nagios_duration", "[nagios][log][duration]:int"),
    ("author", "[user][name]"),
    ("comment", "[nagios][log][comment]"),
];

const BACULA: Renamed = &[
    ("volume", "[bacula][volume][name]"),
    ("device", "[bacula][volume][device]"),
    ("client", "[bacula][client][name]"),
    ("job", "[bacula][job][name]"),
    ("jobid", "[bacula][job][id]"),
    ("duplicate", "[bacula][job][other_id]"),
    ("elapsed", "[bacula][job][elapsed_time]"),
    ("runjob", "[bacula][job][client_run_before_command]"),
    ("berror", "[error][message]"),
    ("bts", "timestamp"),
    ("hostname", "[host][hostname]"),
];

const CISCO: Renamed = &[
    ("syslog_pri", "[log][syslog][priority]:int"),
    ("sysloghost", "[host][hostname]"),
    ("ciscotag", "[cisco][asa][tag]"),
    ("switch_reason", "[event][reason]"),
    ("reason", "[event][reason]"),
    ("action", "[cisco][asa][outcome]"),
    ("direction", "[cisco][asa][network][direction]"),
    ("protocol", "[cisco][asa][network][transport]"),
    ("interface_name", "[network][interface][name]"),
    ("interface", "[observer][egress][interface][name]"),
    ("src_interface", "[observer][ingress][interface][name]"),
    ("src_ip", "[source][ip]"),
    ("src_port", "[source][port]:int"),
    ("src_fwuser", "[source][user][name]"),
    ("src_mapped_ip", "[source][nat][ip]"),
    ("src_mapped_port", "[source][nat][port]:int"),
    ("src_xlated_ip", "[source][nat][ip]"),
    ("dst_interface", "[observer][egress][interface][name]"),
    ("dst_ip", "[destination][ip]"),
    ("dst_port", "[destination][port]:int"),
    ("dst_fwuser", "[destination][user][name]"),
    ("dst_mapped_ip", "[destination][nat][ip]"),
    ("dst_mapped_port", "[destination][nat][port]:int"),
    ("dst_url", "[url][original]"),
    ("user", "[source][user][name]"),
    ("policy_id", "[cisco][asa][rule_name]"),
    ("hashcode1", "[@metadata][cisco][asa][hashcode1]"),
    ("hashcode2", "[@metadata][cisco][asa][hashcode2]"),
    ("tcp_flags", "[cisco][asa][tcp_flags]"),
    ("icmp_type", "[cisco][asa][icmp_type]:int"),
    ("icmp_code", "[cisco][asa][icmp_code]:int"),
    ("icmp_seq_num", "[cisco][asa][icmp_seq]:int"),
    ("icmp_code_xlated", "[cisco][asa][icmp_type]:int"),
    ("xlate_type", ""),
    ("connection_id", "[cisco][asa][connection_id]"),
    ("connection_count", "[cisco][asa][connections][in_use]:int"),
    ("connection_count_max", "[cisco][asa][connections][most_used]:int"),
    ("duration", "[cisco][asa][duration]"),
    ("bytes", "[network][bytes]:int"),
    ("resource_name", "[cisco][asa][resource][name]"),
    ("resource_limit", "[cisco][asa][resource][limit]:int"),
    ("spi", "[cisco][asa][ipsec][spi]"),
    ("seq_num", "[cisco][asa][ipsec][seq_num]"),
    ("tunnel_type", "[cisco][asa][ipsec][tunnel_type]"),
    ("group", "[cisco][asa][source][group]"),
    ("is_remote_natted", "[@metadata][cisco][asa][remote_nat]"),
    ("is_local_natted", "[@metadata][cisco][asa][local_nat]"),
    ("drop_type", "[cisco][asa][burst][object]"),
    ("drop_rate_id", "[cisco][asa][burst][id]"),
    ("drop_rate_current_burst", "[cisco][asa][burst][current_rate]:int"),
    ("drop_rate_max_burst", "[cisco][asa][burst][configured_rate]:int"),
    ("drop_rate_current_avg", "[cisco][asa][burst][avg_rate]:int"),
    ("drop_rate_max_avg", "[cisco][asa][burst][configured_avg_rate]:int"),
    ("drop_total_count", "[cisco][asa][burst][cumulative_count]:int"),
];

const JUNOS: Renamed = &[
    ("event", "[juniper][srx][tag]"),
    ("close-reason", "[juniper][srx][reason]"),
    ("src-ip", "[source][ip]"),
    ("src-port", "[source][port]:int"),
    ("dst-ip", "[destination][ip]"),
    ("dst-port", "[destination][port]:int"),
    ("service", "[juniper][srx][service_name]"),
    ("nat-src-ip", "[source][nat][ip]"),
    ("nat-src-port", "[source][nat][port]:int"),
    ("nat-dst-ip", "[destination][nat][ip]"),
    ("nat-dst-port", "[destination][nat][port]:int"),
    ("src-nat-rule-name", "[juniper][srx][src_nat_rule_name]"),
    ("dst-nat-rule-name", "[juniper][srx][dst_nat_rule_name]"),
    ("protocol-id", "[network][iana_number]"),
    ("policy-name", "[rule][name]"),
    ("from-zone", "[observer][ingress][zone]"),
    ("to-zone", "[observer][egress][zone]"),
    ("session-id", "[juniper][srx][session_id]"),
    ("sent", "[source][bytes]:int"),
    ("received", "[destination][bytes]:int"),
    ("elapsed-time", "[juniper][srx][elapsed_time]:int"),
];

const EXIM: Renamed = &[
    ("exim_year", ""),
    ("exim_month", ""),
    ("exim_day", ""),
    ("exim_time", ""),
    ("pid", "[process][pid]:int"),
    ("remote_hostname", "[source][address]"),
    ("remote_heloname", "[exim][log][remote_address]"),
    ("remote_host", "[source][ip]"),
    ("remote_port", "[source][port]:int"),
    ("exim_interface", "[destination][ip]"),
    ("exim_interface_port", "[destination][port]:int"),
    ("protocol", "[network][protocol]"),
    ("exim_msg_size", "[exim][log][message][size]:int"),
    ("exim_header_id", "[exim][log][header_id]"),
    ("exim_subject", "[exim][log][message][subject]"),
    ("exim_msgid", "[exim][log][message][id]"),
    ("exim_flags", "[exim][log][flags]"),
    ("exim_sender_email", "[exim][log][sender][email]"),
    ("exim_recipient_email", "[exim][log][recipient][email]"),
];

const RAILS: Renamed = &[
    ("controller", "[rails][controller][class]"),
    ("action", "[rails][controller][action]"),
    ("verb", "[http][request][method]"),
    ("request", "[url][original]"),
    ("clientip", "[source][address]"),
    ("format", "[rails][request][format]"),
    ("params", "[rails][request][params]"),
    ("response", "[http][response][status_code]:int"),
    ("totalms", "[rails][request][duration][total]:float"),
    ("viewms", "[rails][request][duration][view]:float"),
    ("activerecordms", "[rails][request][duration][active_record]:float"),
    ("context", "[rails][request][explain][original]"),
];

const MONGO: Renamed =
    &[("component", "[mongodb][component]"), ("severity", "[log][level]"), ("context", "[mongodb][context]")];

/// Where a name differs from its family, or has none.
const OWN: &[(&str, Renamed)] = &[
    ("CISCOFW106100_2_3", &[("src_fwuser", "[user][name]")]),
    ("CISCOFW302013_302014_302015_302016", &[("user", "[user][name]")]),
    (
        "CISCOFW305011",
        &[
            ("src_xlated_interface", "[observer][egress][interface][name]"),
            ("src_xlated_ip", "[destination][ip]"),
            ("src_xlated_port", "[destination][port]:int"),
        ],
    ),
    ("CISCOFW302020_302021", &[("icmp_code", "")]),
    ("CISCOFW402117", &[("protocol", "[cisco][asa][network][type]"), ("orig_protocol", "[cisco][asa][network][transport]")]),
    ("CISCOFW402119", &[("protocol", "[cisco][asa][network][type]"), ("orig_protocol", "[cisco][asa][ipsec][protocol]")]),
    ("CISCOFW602303_602304", &[("protocol", "[cisco][asa][network][type]")]),
    ("NETFILTERMAC", &[("nf_dst_mac", "[destination][mac]"), ("nf_src_mac", "[source][mac]")]),
];
