//! Logs of Zeek (once Bro): columns between tabs, `-` for nothing and `(empty)` for a list of nothing, neither of which is captured.
//! The `BRO_…` names are the formats of old, the `ZEEK_…` names those of version 3 and later, which has columns more.

/// What a column holds, and its field.
type Column = (&'static str, &'static str);

/// What every record of a connection begins with.
const BEGIN: &[Column] = &[
    ("NUMBER", "timestamp"),
    ("ZEEK_DATA", "[zeek][session_id]"),
    ("IP", "[source][ip]"),
    ("INT", "[source][port]:int"),
    ("IP", "[destination][ip]"),
    ("INT", "[destination][port]:int"),
];
const HTTP_REQUEST: &[Column] = &[
    ("INT", "[zeek][http][trans_depth]:int"),
    ("ZEEK_DATA", "[http][request][method]"),
    ("ZEEK_DATA", "[url][domain]"),
    ("ZEEK_DATA", "[url][original]"),
    ("ZEEK_DATA", "[http][request][referrer]"),
];
const HTTP_ANSWER: &[Column] = &[
    ("NUMBER", "[http][request][body][bytes]:int"),
    ("NUMBER", "[http][response][body][bytes]:int"),
    ("POSINT", "[http][response][status_code]:int"),
    ("ZEEK_DATA", "[zeek][http][status_msg]"),
    ("POSINT", "[zeek][http][info_code]:int"),
    ("ZEEK_DATA", "[zeek][http][info_msg]"),
];
const HTTP_USER: &[Column] = &[
    ("ZEEK_DATA", "[zeek][http][tags]"),
    ("ZEEK_DATA", "[url][username]"),
    ("ZEEK_DATA", "[url][password]"),
    ("ZEEK_DATA", "[zeek][http][proxied]"),
    ("ZEEK_DATA", "[zeek][http][orig_fuids]"),
];
const AGENT: Column = ("ZEEK_DATA", "[user_agent][original]");
const REQUEST_TYPE: Column = ("ZEEK_DATA", "[http][request][mime_type]");
const ANSWER_FILES: Column = ("ZEEK_DATA", "[zeek][http][resp_fuids]");
const ANSWER_TYPE: Column = ("ZEEK_DATA", "[http][response][mime_type]");

const DNS_ID: &[Column] = &[("WORD", "[network][transport]"), ("INT", "[dns][id]:int")];
const DNS: &[Column] = &[
    ("ZEEK_DATA", "[dns][question][name]"),
    ("INT", "[zeek][dns][qclass]:int"),
    ("ZEEK_DATA", "[zeek][dns][qclass_name]"),
    ("INT", "[zeek][dns][qtype]:int"),
    ("ZEEK_DATA", "[dns][question][type]"),
    ("INT", "[zeek][dns][rcode]:int"),
    ("ZEEK_DATA", "[dns][response_code]"),
    ("ZEEK_BOOL", "[zeek][dns][AA]"),
    ("ZEEK_BOOL", "[zeek][dns][TC]"),
    ("ZEEK_BOOL", "[zeek][dns][RD]"),
    ("ZEEK_BOOL", "[zeek][dns][RA]"),
    ("NONNEGINT", "[zeek][dns][Z]:int"),
    ("ZEEK_DATA", "[zeek][dns][answers]"),
    ("ZEEK_DATA", "[zeek][dns][TTLs]"),
    ("ZEEK_BOOL", "[zeek][dns][rejected]"),
];

const CONNECTION: &[Column] = &[
    ("WORD", "[network][transport]"),
    ("ZEEK_DATA", "[network][protocol]"),
    ("NUMBER", "[zeek][connection][duration]:float"),
    ("INT", "[zeek][connection][orig_bytes]:int"),
    ("INT", "[zeek][connection][resp_bytes]:int"),
    ("ZEEK_DATA", "[zeek][connection][state]"),
    ("ZEEK_BOOL", "[zeek][connection][local_orig]"),
];
const LOCAL_ANSWER: Column = ("ZEEK_BOOL", "[zeek][connection][local_resp]");
const CONNECTION_END: &[Column] = &[
    ("INT", "[zeek][connection][missed_bytes]:int"),
    ("ZEEK_DATA", "[zeek][connection][history]"),
    ("INT", "[source][packets]:int"),
    ("INT", "[source][bytes]:int"),
    ("INT", "[destination][packets]:int"),
    ("INT", "[destination][bytes]:int"),
    ("ZEEK_DATA", "[zeek][connection][tunnel_parents]"),
];
const ADDRESSES: &[Column] = &[("COMMONMAC", "[source][mac]"), ("COMMONMAC", "[destination][mac]")];

const FILES_BEGIN: &[Column] = &[("NUMBER", "timestamp"), ("ZEEK_DATA", "[zeek][files][fuid]")];
const FILES: &[Column] = &[
    ("ZEEK_DATA", "[zeek][files][session_ids]"),
    ("ZEEK_DATA", "[zeek][files][source]"),
    ("INT", "[zeek][files][depth]:int"),
    ("ZEEK_DATA", "[zeek][files][analyzers]"),
    ("ZEEK_DATA", "[file][mime_type]"),
    ("ZEEK_DATA", "[file][name]"),
    ("NUMBER", "[zeek][files][duration]:float"),
    ("ZEEK_DATA", "[zeek][files][local_orig]"),
    ("ZEEK_BOOL", "[zeek][files][is_orig]"),
    ("INT", "[zeek][files][seen_bytes]:int"),
    ("INT", "[file][size]:int"),
    ("INT", "[zeek][files][missing_bytes]:int"),
    ("INT", "[zeek][files][overflow_bytes]:int"),
    ("ZEEK_BOOL", "[zeek][files][timedout]"),
    ("ZEEK_DATA", "[zeek][files][parent_fuid]"),
    ("ZEEK_DATA", "[file][hash][md5]"),
    ("ZEEK_DATA", "[file][hash][sha1]"),
    ("ZEEK_DATA", "[file][hash][sha256]"),
    ("ZEEK_DATA", "[zeek][files][extracted]"),
];
const CUT_OFF: &[Column] = &[("ZEEK_BOOL", "[zeek][files][extracted_cutoff]"), ("INT", "[zeek][files][extracted_size]:int")];

/// The names of this table.
pub(super) const NAMES: [&str; 8] =
    ["BRO_HTTP", "BRO_DNS", "BRO_CONN", "BRO_FILES", "ZEEK_HTTP", "ZEEK_DNS", "ZEEK_CONN", "ZEEK_FILES"];

/// The expression of a name: its columns, and those that may come behind them all.
pub(super) fn expression(name: &str) -> Option<String> {
    let write = |(what, field): &Column| match *field {
        "" => format!("%{{{what}}}"),
        field => format!(r"(?:-|\(empty\)|%{{{what}:{field}}})"),
    };
    let joined = |columns: &[Column]| columns.iter().map(write).collect::<Vec<_>>().join(r"\t");
    let (columns, more): (Vec<Column>, &[Column]) = match name {
        "BRO_HTTP" => {
            let end = [("ZEEK_DATA", "[zeek][http][filename]")].into_iter().chain(HTTP_USER.iter().copied());
            let end = end.chain([REQUEST_TYPE, ANSWER_FILES, ANSWER_TYPE]);
            ([BEGIN, HTTP_REQUEST, &[AGENT], HTTP_ANSWER].concat().into_iter().chain(end).collect(), &[])
        }
        "ZEEK_HTTP" => {
            let agent = [("NUMBER", "[http][version]"), AGENT, ("ZEEK_DATA", "[zeek][http][origin]")];
            let asked = [("ZEEK_DATA", "[zeek][http][orig_filenames]"), REQUEST_TYPE];
            let answered = [ANSWER_FILES, ("ZEEK_DATA", "[zeek][http][resp_filenames]"), ANSWER_TYPE];
            ([BEGIN, HTTP_REQUEST, &agent, HTTP_ANSWER, HTTP_USER, &asked, &answered].concat(), &[])
        }
        "BRO_DNS" => ([BEGIN, DNS_ID, DNS].concat(), &[]),
        "ZEEK_DNS" => ([BEGIN, DNS_ID, &[("NUMBER", "[zeek][dns][rtt]:float")], DNS].concat(), &[]),
        // Of old without, then with it.
        "BRO_CONN" => {
            let begin = joined(&[BEGIN, CONNECTION].concat());
            return Some(format!(r"{begin}(?:\t{})?\t{}", write(&LOCAL_ANSWER), joined(CONNECTION_END)));
        }
        "ZEEK_CONN" => ([BEGIN, CONNECTION, &[LOCAL_ANSWER], CONNECTION_END].concat(), ADDRESSES),
        "BRO_FILES" => {
            let hosts = [("IP", "[server][ip]"), ("IP", "[client][ip]")];
            ([FILES_BEGIN, &hosts, FILES].concat(), &[])
        }
        "ZEEK_FILES" => {
            let hosts = [("ZEEK_FILES_TX_HOSTS", ""), ("ZEEK_FILES_RX_HOSTS", "")];
            ([FILES_BEGIN, &hosts, FILES].concat(), CUT_OFF)
        }
        _ => return None,
    };
    let end = if more.is_empty() { String::new() } else { format!(r"(?:\t{})?", joined(more)) };
    Some(joined(&columns) + &end)
}
