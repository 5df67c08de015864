//! Pipes that compute, dedup, cluster and look up: what they answer about the eight rows, however these are stored.

use super::tables::{check, check_rows, eight, every_way};
use super::*;
use crate::store::query::{OutValue, Table, Tables, parse};

#[test]
fn columns_are_computed() {
    let small = |pipes: &str, expected: &[&str]| check(&format!("_offset<3 | {pipes}"), expected);
    small(
        "eval ms = reqtime * 1000, x = ms + 1 | fields ms, x",
        &[r#"{"ms":2500.0,"x":2501.0}"#, r#"{"ms":300.0,"x":301.0}"#, r#"{"ms":100.0,"x":101.0}"#],
    );
    small(
        "eval class = concat(upper(app), \"-\", status - status % 100) | fields class | sort class",
        &[r#"{"class":"SHOP-200"}"#, r#"{"class":"SHOP-200"}"#, r#"{"class":"SHOP-500"}"#],
    );
    small("eval app = concat(app, \"!\") | dedup app | fields app, _offset", &[r#"{"app":"shop!","_offset":2}"#]);
    // What cannot be computed is not there.
    small("eval a = app + 1, b = status / 0, c = nothing, d = if(nothing > 1, 1, null) | fields a, b, c, d | limit 1", &["{}"]);
    small(
        "extract \"<verb> <path> \" | fields verb, path",
        &[r#"{"verb":"POST","path":"/cart"}"#, r#"{"verb":"GET","path":"/cart"}"#, r#"{"verb":"GET","path":"/"}"#],
    );
    small(
        "extract \"(?<last>[0-9])$\" from ip | eval n = number(last) * 2 | fields last, n",
        &[r#"{"last":"1","n":2}"#, r#"{"last":"2","n":4}"#, r#"{"last":"1","n":2}"#],
    );
    // Where a pattern does not match, what was there stays.
    small(
        "extract \"failed <app>\" | extract \"POST <ip> \" | fields app, ip",
        &[r#"{"app":"shop","ip":"/cart"}"#, r#"{"app":"shop","ip":"10.0.0.2"}"#, r#"{"app":"shop","ip":"10.0.0.1"}"#],
    );
    // So does a list, with all its items; the one that matches is replaced.
    for pipes in [
        "extract \"GET /cart/<tags> \"",
        "extract \"nothing <tags>\" | extract \"GET /cart/<tags> \"",
        "limit 9 | extract \"GET /cart/<tags> \"",
    ] {
        let query = format!("tags:slow | {pipes} | fields tags");
        check(&query, &[r#"{"tags":"2"}"#, r#"{"tags":["slow","zabbix-sender"]}"#]);
    }
    check_rows("* | extract \"GET /cart/<tags> \" | where tags:zabbix-sender", "2");
    small(
        "rename app as service, status as code | where service:shop code:503 | fields service, app, code, status",
        &[r#"{"service":"shop","code":503}"#],
    );
    small("fields app, ip | rename app as a | eval b = 1 | limit 1", &[r#"{"a":"shop","ip":"10.0.0.1","b":1}"#]);
    small("fields app, ip | rename app as ip | limit 1", &[r#"{"ip":"shop"}"#]);
    small(
        "eval t = bin(_time, 1h), h = hour(_time), later = _time + 90, since = _time - time(\"2015-05-17T10:00:00Z\") | fields t, h, later, since | limit 1",
        &[r#"{"t":"2015-05-17T10:00:00Z","h":10,"later":"2015-05-17T10:03:30Z","since":120.0}"#],
    );
    small("eval t = lower(tags), n = len(message) | fields t, n | limit 2", &[r#"{"t":"slow","n":17}"#, r#"{"n":12}"#]);
}

#[test]
fn predicates_ask_columns_as_they_are_where_they_stand() {
    for (query, expected) in [
        ("* | eval slow = reqtime > 1 | where slow:true", "7 2"),
        ("* | eval slow = reqtime > 1 | where -slow:false", "7 2"),
        ("* | eval n = status * 2 | where n>=1000", "7 2"),
        ("app:shop | eval app = \"x\" | where app:x status:503", "7 2"),
        ("app:shop | eval app = \"x\" | where app:shop", ""),
        ("*:shop | eval new = \"shop\" | where new:shop", "7 6 2 1 0"),
        ("* | where status:503 | eval status = 1 | where status:1", "7 2"),
        ("* | rename status as code | where status:*", ""),
        ("* | rename status as code | where code:404", "4"),
        ("* | extract \"GET <path> \" | where path:/cart*", "7 1"),
        ("* | extract \"GET <path> \" | where *:/post*", "3"),
        ("* | eval short = substr(app, 0, 2) | where short=sh _offset>2", "7 6"),
        ("* | eval short = substr(app, 0, 2) | where -short=sh", "5 4 3"),
        ("* | eval a = coalesce(ip, \"none\") | where a:none", "6 5"),
        ("* | sort reqtime | eval reqtime = 0 - _offset | limit 3", "6 4 0"),
        ("* | eval r = reqtime * 2 | sort -r | limit 3", "2 7 1"),
        ("* | dedup app", "7 5 4"),
        ("* | dedup app, status", "7 6 5 4 3"),
        ("* | sort _offset | dedup app", "0 3 5"),
        ("* | sort _offset | dedup app | limit 2", "0 3"),
        ("* | dedup app | where app:blog", "4"),
        ("* | dedup tags", "7 6 2"),
        ("* | limit 6 | dedup app | sort _offset", "4 5 7"),
    ] {
        check_rows(query, expected);
    }
}

#[test]
fn figures_of_computed_columns_and_new_figures() {
    for (query, expected) in [
        ("* | eval up = upper(app) | stats count() by up | sort -count() | limit 1", vec![r#"{"up":"SHOP","count()":5}"#]),
        (
            "* | eval class = floor(status / 100) | stats count() by class",
            vec![
                r#"{"class":2,"count()":4}"#,
                r#"{"class":4,"count()":1}"#,
                r#"{"class":5,"count()":2}"#,
                r#"{"class":null,"count()":1}"#,
            ],
        ),
        (
            "* | stats first(app), last(app), first(_offset), last(tags)",
            vec![r#"{"first(app)":"shop","last(app)":"shop","first(_offset)":0,"last(tags)":["slow"]}"#],
        ),
        (
            "* | stats values(status), values(app, 2), median(reqtime), stddev(_offset)",
            vec![
                r#"{"values(status)":["200","404","503"],"values(app, 2)":["blog","proxy"],"median(reqtime)":0.2,"stddev(_offset)":2.29128784747792}"#,
            ],
        ),
        (
            "app:nothing | stats values(status), stddev(status), first(status)",
            vec![r#"{"values(status)":[],"stddev(status)":null,"first(status)":null}"#],
        ),
        // Seven minutes from the first row to the last.
        ("* | stats rate() as r | eval r = round(r * 420)", vec![r#"{"r":8}"#]),
        (
            "* | stats rate(), rate(status) by bin(10s) | limit 1",
            vec![r#"{"bin(10s)":"2015-05-17T10:00:00Z","rate()":0.1,"rate(status)":20.0}"#],
        ),
        ("* | rare 2 app", vec![r#"{"app":"proxy","count()":1}"#, r#"{"app":"blog","count()":2}"#]),
        (
            "* | top 2 app, status",
            vec![r#"{"app":"shop","status":200,"count()":3}"#, r#"{"app":"shop","status":503,"count()":2}"#],
        ),
        (
            "* | stats count() by app | eval share = round(count() / 8, 2) | where share>0.2 | fields app, share",
            vec![r#"{"app":"blog","share":0.25}"#, r#"{"app":"shop","share":0.63}"#],
        ),
        (
            "app:blog | timeseries span 1m count(), avg(status)",
            vec![
                r#"{"_time":"2015-05-17T10:03:00Z","count()":1,"avg(status)":200.0}"#,
                r#"{"_time":"2015-05-17T10:04:00Z","count()":1,"avg(status)":404.0}"#,
            ],
        ),
        (
            "status:503 | timeseries span 2m by app",
            vec![
                r#"{"_time":"2015-05-17T10:02:00Z","app":"shop","count()":1}"#,
                r#"{"_time":"2015-05-17T10:04:00Z","app":"shop","count()":0}"#,
                r#"{"_time":"2015-05-17T10:06:00Z","app":"shop","count()":1}"#,
            ],
        ),
        (
            "app:(blog or proxy) | timeseries span 1m count() by app | limit 2",
            vec![
                r#"{"_time":"2015-05-17T10:03:00Z","app":"blog","count()":1}"#,
                r#"{"_time":"2015-05-17T10:03:00Z","app":"proxy","count()":0}"#,
            ],
        ),
        (
            "* | patterns 1",
            vec![concat!(
                r#"{"pattern":"GET /<*> ok","count":4,"share":0.5,"example":"GET / ok","#,
                r#""first":"2015-05-17T10:00:00Z","last":"2015-05-17T10:06:00Z"}"#
            )],
        ),
        (
            "app:blog | patterns of ip",
            vec![concat!(
                r#"{"pattern":"<ip>","count":2,"share":1.0,"example":"192.168.1.9","#,
                r#""first":"2015-05-17T10:03:00Z","last":"2015-05-17T10:04:00Z"}"#
            )],
        ),
    ] {
        check(query, &expected);
    }
}

#[derive(Debug)]
struct Owners;

impl Table for Owners {
    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        match key {
            b"shop" => Some(br#"{"owner":"ann","floor":3,"tags":["a"],"up":true}"#),
            b"blog" => Some(b"no object"),
            _ => None,
        }
    }
}

impl Tables for Owners {
    fn table(&self, name: &str) -> Result<Arc<dyn Table>, String> {
        if name == "apps.json" { Ok(Arc::new(Self)) } else { Err("there is no such table".into()) }
    }
}

#[test]
fn tables_are_looked_up() {
    for sources in every_way() {
        for before in ["", "limit 1000 | "] {
            let ask = |pipes: &str| {
                let mut request = request(&format!("_offset:[3 TO 6] | {before}{pipes} | sort _offset"));
                request.tables = Some(Arc::new(Owners));
                rows_of(&sources, &request).0.iter().map(OutRow::to_json).collect::<Vec<_>>()
            };
            assert_eq!(
                ask("lookup apps.json on app fields owner, floor as f, up | fields owner, f, up"),
                ["{}", "{}", "{}", r#"{"owner":"ann","f":3,"up":true}"#,]
            );
            assert_eq!(
                ask("lookup apps.json on app as app | where app:no* | fields app"),
                [r#"{"app":"no object"}"#, r#"{"app":"no object"}"#,]
            );
        }
    }
    let mut wrong = request("* | lookup other.csv on app");
    let ask = |request: &Request| search(&every_way()[0], request, &cancel(), &mut |_| ControlFlow::Continue(()));
    let refused = |why: &str| Err(QueryError::Refused(format!("lookup other.csv: {why}")));
    assert_eq!(ask(&wrong).map(|_| ()), refused("there are no tables here"));
    wrong.tables = Some(Arc::new(Owners));
    assert_eq!(ask(&wrong).map(|_| ()), refused("there is no such table"));
}

#[test]
fn expressions_mean_what_they_say() {
    let sources: Vec<Arc<dyn Source>> =
        vec![Arc::new(super::memory::MemorySource::new("one", eight(), 8, super::memory::Style::Sorted))];
    let none = "nothing";
    for (expression, expected) in [
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("10 / 4", "2.5"),
        ("10 / 5", "2.0"),
        ("7 % 3", "1"),
        ("-7 + -(-1)", "-6"),
        ("9223372036854775807 + 1", "9.223372036854776e18"),
        ("1 / 0", none),
        ("\"a\" * 2", none),
        ("\"4\" * 2", "8"),
        ("5m + 1", "301"),
        ("250ms", "0.25"),
        ("1e3", "1000.0"),
        ("status = 503 and app = \"shop\"", "true"),
        ("status != 503 or not app = \"shop\"", "false"),
        ("nothing = 1", "false"),
        ("nothing != 1", "true"),
        ("app != 500", "true"),
        ("\"503\" >= 500", "true"),
        ("app >= 500 or app < 500 or 500 <= app or app = 500 or true >= 500", "false"),
        ("app >= \"500\"", "true"),
        ("max(app, 3)", "\"shop\""),
        ("\"10\" > \"9\"", "true"),
        ("\"b\" > \"a\"", "true"),
        ("if(status >= 500, \"bad\", \"good\")", "\"bad\""),
        ("case(status < 300, \"fine\", status < 500, \"odd\", \"bad\")", "\"bad\""),
        ("case(false, 1)", none),
        ("coalesce(nothing, null, app)", "\"shop\""),
        ("exists(app) and not exists(nothing)", "true"),
        ("concat(app, \"-\", nothing, 5)", "\"shop-5\""),
        ("lower(\"ÄB\")", "\"äb\""),
        ("trim(\" a \")", "\"a\""),
        ("substr(\"häuser\", 1, 2)", "\"äu\""),
        ("substr(\"abc\", -2)", "\"bc\""),
        ("substr(\"abc\", 9)", "\"\""),
        ("len(\"hä\")", "2"),
        ("replace(\"a//b//c\", \"//\", \"/\")", "\"a/b/c\""),
        ("split(\"/a/b\", \"/\", 2)", "\"b\""),
        ("split(\"/a/b\", \"/\", -1)", "\"b\""),
        ("split(\"/a/b\", \"/\", 9)", none),
        ("contains(app, \"ho\") and starts_with(app, \"sh\") and ends_with(app, \"op\")", "true"),
        ("match(app, \"^s.*p$\")", "true"),
        ("in_net(ip, \"10.0.0.0/8\")", "true"),
        ("string(status)", "\"503\""),
        ("number(\"0x\")", none),
        ("int(-2.7)", "-2"),
        ("round(2.345, 2)", "2.35"),
        ("round(1e300, 9)", "1e300"),
        ("round(1250, -2)", "1300"),
        ("floor(-0.5)", "-1"),
        ("ceil(0.5)", "1"),
        ("abs(-3)", "3"),
        ("sqrt(16)", "4.0"),
        ("sqrt(-1)", none),
        ("pow(2, 10)", "1024.0"),
        ("log10(1000)", "3.0"),
        ("min(3, \"2\", nothing)", "\"2\""),
        ("max(3, 2)", "3"),
        ("bin(17, 5)", "15"),
        ("bin(1.7, 0.5)", "1.5"),
        ("epoch(_time)", "1431857220"),
        ("epoch(time(\"2015-05-17T10:00:00.5Z\"))", "1431856800.5"),
        ("year(_time) * 10000 + month(_time) * 100 + day(_time)", "20150517"),
        ("weekday(_time)", "7"),
        ("format_time(_time, \"%d.%m. %H:%M\")", "\"17.05. 10:07\""),
        ("format_time(_time, \"%\")", none),
        ("_time > \"2015-05-17\"", "true"),
        ("now() - _time > 50m", "true"),
        ("time(1431857220) = _time", "true"),
        ("'app'", "\"shop\""),
    ] {
        let query = request(&format!("_offset:7 | eval x = {expression} | fields x"));
        let expected = if expected == none { "{}".to_owned() } else { format!("{{\"x\":{expected}}}") };
        assert_eq!(rows_of(&sources, &query).0[0].to_json(), expected, "{expression}");
        let shown = query.query.to_string();
        assert_eq!(parse(&shown), Ok(query.query), "{expression} shown as {shown}");
    }
}

#[test]
fn new_pipes_print_as_they_parse_and_say_what_is_wrong() {
    for query in [
        "a | eval x = a * (b + -5) / -(c), 'odd'y = 1",
        "a | eval x = \"q\\\"\\\\\", \"odd name\" = 'odd \\' field' and not (true or b = null)",
        "a | extract \"user=<user> \\\"<x>\\\"\" from \"odd name\" | extract \"(?<a>x)\"",
        "a | rename a as b, \"count()\" as c | lookup \"a b.csv\" on k as v | lookup t.json on k fields a, b as c | lookup codes.csv on x",
        "a | timeseries span 90s count(), values(b, 7), rate(x) as r by c | dedup a, b | patterns 5 of a | patterns",
        "a | top 3 a, b | rare c | stats first(a), last(\"b c\"), median(x), stddev(x), rate()",
    ] {
        match parse(query) {
            Ok(parsed) => assert_eq!(parse(&parsed.to_string()), Ok(parsed.clone()), "{parsed}"),
            Err(error) => assert!(query.contains("'odd'y"), "{query}: {error}"),
        }
    }
    for (query, position, says) in [
        ("a | stat count()", 4, "did you mean `stats`?"),
        ("a | sotr b", 4, "did you mean `sort`?"),
        ("a | stats cuont()", 10, "did you mean `count`?"),
        ("a | eval", 8, "name of a field"),
        ("a | eval x", 10, "`=` and an expression"),
        ("a | eval _x = 1", 9, "name of its own"),
        ("a | eval x = ", 13, "a value is expected"),
        ("a | eval x = lowr(b)", 13, "did you mean `lower`?"),
        ("a | eval x = lower(a, b)", 13, "takes one argument"),
        ("a | eval x = if(a)", 13, "takes 2 to 3 arguments"),
        ("a | eval x = (1", 13, "never closed"),
        ("a | eval x = \"a", 13, "never closed"),
        ("a | eval x = 5 parsecs", 15, "another pipe"),
        ("a | eval x = 5parsecs", 13, "neither a number nor a span"),
        ("a | eval x = match(a, \"(\")", 22, "does not compile"),
        ("a | eval x = in_net(a, \"b\")", 23, "a network"),
        ("a | eval x = now()", 13, "no now here"),
        ("a | extract user", 12, "pattern in quotes"),
        ("a | extract \"user\"", 12, "names what it takes"),
        ("a | rename a", 12, "`as`"),
        ("a | rename _time as t", 11, "box's own"),
        ("a | lookup t.csv", 16, "`on`"),
        ("a | timeseries span 0s", 20, "at least a nanosecond"),
        ("a | stats values(a, 0)", 20, "at least 1"),
    ] {
        match parse(query) {
            Ok(read) => panic!("{query} was read as {read}"),
            Err(error) => {
                assert!(error.message.contains(says), "{query}: {error}");
                assert_eq!(error.position, position, "{query}: {error}");
            }
        }
    }
    for (before, many, after) in [("(", 500, ")"), ("", 5000, "+1"), ("-", 5000, ""), ("not ", 5000, "")] {
        let deep = format!("a | eval x = {}1{}", before.repeat(many), after.repeat(many));
        assert!(parse(&deep).is_err(), "{many} of {before}{after}");
    }
}

#[test]
fn the_plan_says_what_was_not_read() {
    let sources: Vec<Arc<dyn Source>> =
        vec![Arc::new(super::memory::MemorySource::new("access", eight(), 1, super::memory::Style::Sorted))];
    let explain = |query: &str| explain_of(&sources, &request(query), &cancel()).unwrap();
    let found =
        explain("status>=500 app:shop | eval slow = reqtime > 1 | where slow:true | stats count() by app | sort -count()");
    assert_eq!(found.rows, 1);
    assert_eq!(
        found.plan,
        [
            "keep rows where status>=500",
            "of these, where app:shop",
            "of these, where slow:true",
            "compute (1) an expression of reqtime, for the rows that are left; once an entry where that is a dictionary",
            "while reading: stats count() by app",
            "then, on those rows: sort -\"count()\"",
        ]
    );
    assert_eq!((found.sources, found.groups, found.stats.groups_scanned), (1, 8, 4));
    assert_eq!(found.stats.left_out.of(Why::Bounds), 4, "{:?}", found.stats);
    assert!(found.stats.bytes_scanned > 0);
    assert_eq!(explain("app:absent").stats.left_out.of(Why::Dictionary), 8);
    assert_eq!(explain("absent:x").stats.left_out.of(Why::Absent), 8);
    assert_eq!(explain("_topic:other").stats.left_out.of(Why::Topic), 8);
    assert_eq!(explain("_offset:3").stats.left_out.of(Why::Bounds), 7);
    assert_eq!(explain("reqtime>1").stats.left_out.of(Why::Bounds), 5);
    assert_eq!(explain("_time<2015-05-17T10:02:00Z | stats count()").stats.left_out.of(Why::Time), 6);
    let mut few = request("* | limit 2");
    few.limits.threads = 1;
    assert_eq!(explain_of(&sources, &few, &cancel()).unwrap().stats.left_out.of(Why::Enough), 6);
}

#[test]
fn rows_around_a_row_are_found() {
    for sources in every_way() {
        let ask = |offset: u64, before: usize, after: usize, same: &[&str]| {
            let around = Around {
                topic: "access".into(),
                offset,
                before,
                after,
                same: same.iter().map(|field| (*field).to_owned()).collect(),
                ..Around::default()
            };
            let found = context_of(&sources, &request("*"), &around, &cancel()).unwrap();
            let offsets = |rows: &[OutRow]| {
                let offset = |row: &OutRow| match row.get("_offset") {
                    Some(OutValue::Int(offset)) => offset.to_string(),
                    other => panic!("{other:?}"),
                };
                rows.iter().map(offset).collect::<Vec<_>>().join(" ")
            };
            format!("{} | {} | {}", offsets(&found.before), offsets(found.row.as_slice()), offsets(&found.after))
        };
        assert_eq!(ask(3, 2, 2, &[]), "1 2 | 3 | 4 5");
        assert_eq!(ask(0, 2, 1, &[]), " | 0 | 1");
        assert_eq!(ask(7, 1, 9, &[]), "6 | 7 | ");
        assert_eq!(ask(2, 2, 2, &["app"]), "0 1 | 2 | 6 7");
        assert_eq!(ask(2, 2, 2, &["app", "status"]), " | 2 | 7");
        assert_eq!(ask(5, 9, 9, &["status"]), " | 5 | ");
        assert_eq!(ask(99, 2, 2, &[]), "6 7 |  | ");
    }
    // Of more than memory holds, the nearest.
    let mut request = request("*");
    request.limits.bytes = 900;
    let around = Around { topic: "access".into(), offset: 4, before: 3, after: 3, ..Around::default() };
    let found = context_of(&every_way()[0], &request, &around, &cancel()).unwrap();
    let offsets =
        [found.before.as_slice(), &found.after].map(|rows| rows.iter().map(|row| row.get("_offset")).collect::<Vec<_>>());
    assert_eq!(offsets, [vec![Some(&OutValue::Int(3))], vec![Some(&OutValue::Int(5))]]);
    assert!(found.stats.partial);
}

#[test]
fn what_can_be_typed_next_is_known() {
    let sources = &every_way()[4];
    let ask = |text: &str| {
        let found = complete_of(sources, &request("*"), text, text.len(), &cancel()).unwrap();
        let items: Vec<String> = found
            .items
            .iter()
            .take(3)
            .map(|hint| format!("{}{}", hint.insert, hint.count.map_or(String::new(), |count| format!("={count}"))))
            .collect();
        format!("{} {}: {}", found.kind, found.start, items.join(", "))
    };
    assert_eq!(ask("st"), "field 0: status:");
    assert_eq!(ask("app:"), "value 4: shop =5, blog =2, proxy =1");
    assert_eq!(ask("app:B"), "value 4: blog =2");
    assert_eq!(ask("status:"), "value 7: 200 =4, 503 =2, 404 =1");
    assert_eq!(ask("* | to"), "pipe 4: top ");
    assert_eq!(ask("* | stats p9"), "figure 10: p90(, p95(, p99(");
    assert_eq!(ask("* | stats count() by ap"), "field 21: app");
    assert_eq!(ask("* | eval x = low"), "function 13: lower(");
    assert_eq!(ask("* | limit "), "field 10: ");
}

#[test]
fn what_the_readme_shows_is_understood() {
    let readme = include_str!("../../../../README.md");
    let (_, searching) = readme.split_once("\n## Searching").unwrap();
    let (searching, _) = searching.split_once("\n## ").unwrap();
    let mut shown = Vec::new();
    for line in searching.lines() {
        if let Some(query) = line.strip_prefix("sawbox query '").and_then(|rest| rest.split('\'').next()) {
            shown.push(query.to_owned());
        }
        let first = line.strip_prefix("| `").and_then(|rest| rest.split(" | ").next()).unwrap_or_default();
        // The table of pipes; the other is of paths.
        let first = format!("`{first}");
        let pipes = first.split('`').skip(1).step_by(2);
        shown.extend(
            pipes
                .filter(|pipe| pipe.contains(' ') && !pipe.starts_with("GET "))
                .map(|pipe| format!("* | {}", pipe.trim_end_matches(" …"))),
        );
    }
    assert!(shown.len() > 15, "{shown:?}");
    for query in shown {
        if let Err(error) = parse(&query) {
            panic!("{query}: {error}");
        }
    }
}

#[test]
fn columns_with_equal_dictionaries_are_not_taken_for_one_another() {
    let row = |offset: u64, field: &'static str| super::memory::TestRow {
        time: TEN + i64::try_from(offset).unwrap(),
        partition: 0,
        offset,
        n: 0,
        fields: vec![(field, OutValue::Str((*b"x").into()))],
    };
    let rows = vec![row(0, "b"), row(1, "a"), row(2, "b"), row(3, "a")];
    for style in [super::memory::Style::Sorted, super::memory::Style::PerGroup] {
        let sources: Vec<Arc<dyn Source>> = vec![Arc::new(super::memory::MemorySource::new("one", rows.clone(), 1, style))];
        let mut request = request("* | eval c = if(exists(b), \"big\", a) | fields c");
        request.limits.threads = 1;
        let found: Vec<String> = rows_of(&sources, &request).0.iter().map(OutRow::to_json).collect();
        assert_eq!(found, [r#"{"c":"x"}"#, r#"{"c":"big"}"#, r#"{"c":"x"}"#, r#"{"c":"big"}"#]);
    }
}
