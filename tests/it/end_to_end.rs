//! From a shipper's socket to a found row, and what a person meets on the way.

use std::path::Path;

use sawbox::config::Loaded;
use sawbox_appliance::lumberjack::Client as Shipper;
use sawbox_appliance::window::Window;
use sawbox_appliance::workload::Shop;

use crate::support::TestBox;

const CHAIN: &str = r#"
[[topics.web.chain]]
filter = "access-log"
[[topics.web.chain]]
filter = "drop"
when = 'request:"/f5.txt"'
[[topics.web.chain]]
filter = "tag"
when = 'response:503'
config = { add = ["zabbix-sender"] }
"#;

#[test]
fn access_lines_over_lumberjack_become_rows_that_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut expected = std::collections::BTreeMap::<String, usize>::new();
    let (mut stored, mut unavailable) = (0, 0);
    {
        let sawbox = TestBox::start(dir.path(), CHAIN);
        let mut shop = Shop::new(3);
        let mut shipper = Shipper::connect(sawbox.address("Lumberjack")).unwrap();
        let mut window = Window::default();
        for n in 0..20_000_i64 {
            let request = shop.request(1_795_000_000_000 + n * 20);
            let status = request.line.split('"').nth(2).unwrap().split_whitespace().next().unwrap().to_owned();
            if !request.line.contains("/f5.txt") {
                stored += 1;
                unavailable += usize::from(status == "503");
                *expected.entry(status).or_default() += 1;
            }
            window.push(&request);
            if n % 500 == 499 {
                window.send(&mut shipper).unwrap();
            }
        }
        sawbox.settle();
        check(&sawbox, stored, unavailable, &expected);
    }
    // The same after a clean stop: rows come from parts now.
    let sawbox = TestBox::start(dir.path(), CHAIN);
    sawbox.settle();
    check(&sawbox, stored, unavailable, &expected);
}

fn check(sawbox: &TestBox, stored: usize, unavailable: usize, expected: &std::collections::BTreeMap<String, usize>) {
    assert_eq!(sawbox.query("_topic:=web | stats count() as n")[0]["n"], stored);
    assert_eq!(sawbox.query("request:\"/f5.txt\" | stats count() as n")[0]["n"], 0, "health checks are dropped");
    assert!(unavailable > 0);
    assert_eq!(sawbox.query("tags:zabbix-sender | stats count() as n")[0]["n"], unavailable);
    let by_status: std::collections::BTreeMap<String, usize> = sawbox
        .query("* | stats count() by response")
        .iter()
        .map(|row| (row["response"].to_string(), usize::try_from(row["count()"].as_u64().unwrap()).unwrap()))
        .collect();
    assert_eq!(&by_status, expected);
    let row = &sawbox.query("app:shop response:200 | limit 1")[0];
    assert!(row["host"].as_str().unwrap().starts_with("shop-"), "{row}");
    assert!(row["message"].as_str().unwrap().contains(row["clientip"].as_str().unwrap()), "{row}");
    assert_eq!((row["_topic"].as_str(), row["_generation"].as_u64()), (Some("web"), Some(1)), "{row}");
    let origin = format!("_topic:=web _partition:{} _offset:{}", row["_partition"], row["_offset"]);
    assert_eq!(sawbox.query(&origin), std::slice::from_ref(row), "an origin names one row");
}

#[test]
fn a_topic_that_nobody_configured_works_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let sawbox = TestBox::start(dir.path(), "");
    sawbox.ingest(
        "fresh",
        "just a line\n{\"@timestamp\":\"2026-11-20T10:00:00Z\",\"message\":\"hot\",\"level\":\"warn\",\"http\":{\"code\":404},\"ok\":true}\n",
    );
    let rows = sawbox.query("_topic:=fresh");
    assert_eq!(rows.len(), 2, "{rows:?}");
    let json = &sawbox.query("level:warn")[0];
    assert_eq!(json["_time"], "2026-11-20T10:00:00Z");
    assert_eq!(json["message"], "hot");
    assert_eq!((json["http.code"].as_i64(), json["ok"].as_bool()), (Some(404), Some(true)));
    assert_eq!(sawbox.query("\"just a line\"")[0]["message"], "just a line");
}

#[test]
fn the_elasticsearch_dialect_takes_and_finds() {
    let dir = tempfile::tempdir().unwrap();
    let sawbox = TestBox::start(dir.path(), "");
    let url = format!("http://{}", sawbox.address("Elasticsearch"));
    let body = "{\"index\":{\"_index\":\"app-2026.11.20\"}}\n{\"message\":\"one\",\"status\":200,\"service\":\"a\"}\n\
                {\"create\":{\"_index\":\"app-2026.11.20\"}}\n{\"message\":\"two\",\"status\":503,\"service\":\"b\"}\n\
                {\"delete\":{\"_index\":\"app\",\"_id\":\"1\"}}\n";
    let (status, text) = sawbox.send("POST", &format!("{url}/_bulk"), "application/x-ndjson", body.as_bytes());
    assert_eq!(status, 200, "{text}");
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["items"].as_array().map(Vec::len), Some(3));
    assert_eq!(
        (answer["errors"].as_bool(), answer["items"][1]["create"]["status"].as_u64()),
        (Some(true), Some(201)),
        "{text}"
    );
    sawbox.settle();
    let search = serde_json::json!({
        "query": { "bool": { "filter": [{ "range": { "status": { "gte": 500 } } }] } },
        "aggs": { "services": { "terms": { "field": "service" } } },
    });
    let (status, text) = sawbox.send("POST", &format!("{url}/app/_search"), "application/json", search.to_string().as_bytes());
    assert_eq!(status, 200, "{text}");
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(found["hits"]["total"]["value"], 1, "{text}");
    assert_eq!(found["hits"]["hits"][0]["_source"]["message"], "two");
    assert_eq!(found["aggregations"]["services"]["buckets"][0], serde_json::json!({ "key": "b", "doc_count": 1 }));
    let (status, text) =
        sawbox.send("POST", &format!("{url}/app/_count"), "application/json", b"{\"query\":{\"match_all\":{}}}");
    assert_eq!((status, serde_json::from_str::<serde_json::Value>(&text).unwrap()["count"].as_u64()), (200, Some(2)));
    let (status, text) = sawbox.send("POST", &format!("{url}/app/_search"), "application/json", b"{\"query\":{\"fuzzy\":{}}}");
    assert_eq!(status, 400);
    assert!(text.contains("fuzzy"), "{text}");
}

#[test]
fn a_query_that_is_wrong_is_a_400_that_points() {
    let dir = tempfile::tempdir().unwrap();
    let sawbox = TestBox::start(dir.path(), "");
    let (status, text) = sawbox.get("/api/v1/query", &[("q", "status:>=500 | stats cuont()")]);
    assert_eq!(status, 400);
    let said: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(said["error"]["position"].as_u64(), Some(21), "{text}");
    assert!(said["error"]["message"].as_str().unwrap().contains("cuont"), "{text}");
    let (status, text) = sawbox.get("/api/v1/query", &[("q", "*"), ("from", "yesterday-ish")]);
    assert_eq!(status, 400, "{text}");
}

#[test]
fn what_is_wrong_in_a_configuration_is_said_with_its_place() {
    for (text, place, word) in [
        ("[web]\nlisen = \"127.0.0.1:1\"\n", "c.toml:2:1", "lisen"),
        ("[web]\nlisten = \"nowhere\"\n", "c.toml:2:10", "no address"),
        ("# x\nweb.listen = \"0.0.0.0:7800\"\n", "c.toml:2:5", "allow_network_without_sign_in"),
        ("[[ingest.kafka]]\nlisten = \"0.0.0.0:9092\"\nsign_in = false\n", "c.toml:3:1", "allow_network_without_sign_in"),
        ("[[ingest.kafka]]\nlisten = \"0.0.0.0:9092\"\ntls = { cert = \"c.pem\", key = \"k.pem\" }\n", "c.toml:3:25", "k.pem"),
        ("[[ingest.beats]]\n[ingest.beats.tls]\ncert = \"c.pem\"\nkey = \"k.pem\"\n", "c.toml:4:1", "k.pem"),
        ("[relay]\nhops = 3\nworkers = 1000000\n", "c.toml:3:1", "at most 1024"),
        ("[relay]\nhops = 3\nquarantine = { traps = 5, of = 5 }\n", "c.toml:3:1", "never acts"),
        ("[relay.dead_letters]\nkeep = \"1s\"\n", "c.toml:1:8", "at least"),
        ("[web]\nquery_timeout = \"10000w\"\n", "c.toml:2:17", "hundred years"),
        ("[[ingest.beats]]\nlisten = \"0.0.0.0:5044\"\n", "c.toml:2:1", "demand certificates"),
        (
            "[[ingest.beats]]\nlisten = \"0.0.0.0:5044\"\n\
             tls = { cert = \"c.pem\", key = \"k.pem\", client_ca = \"a.pem\", client_auth = \"optional\" }\n",
            "c.toml:2:1",
            "no sign-in",
        ),
        ("[[topics.web.chain]]\nfilter = \"drop\"\nwhen = 'a:('\n", "c.toml:", "when"),
        ("[topics.\"not ok\"]\n", "c.toml:1:", "topic"),
        ("[[ingest.beats]]\nlisten = \"127.0.0.1:7800\"\n", "c.toml:", "already taken"),
        ("[[outputs]]\ntype = \"zabix\"\nname = \"x\"\n", "c.toml:", "zabix"),
    ] {
        let problem = Loaded::from_text(Path::new("c.toml"), text.to_owned())
            .map_err(anyhow::Error::new)
            .and_then(|loaded| sawbox::check(&loaded))
            .expect_err(text)
            .to_string();
        assert!(problem.contains(place) && problem.contains(word), "{text}\n=> {problem}");
    }
}

#[test]
fn the_kafka_port_may_leave_loopback_by_itself() {
    for text in [
        "[[ingest.kafka]]\nlisten = \"0.0.0.0:9092\"\n",
        "[[ingest.kafka]]\nlisten = \"0.0.0.0:9092\"\nsign_in = true\n",
        "allow_network_without_sign_in = true\n[[ingest.kafka]]\nlisten = \"0.0.0.0:9092\"\nsign_in = false\n",
    ] {
        let loaded = Loaded::from_text(Path::new("c.toml"), text.to_owned()).unwrap_or_else(|problem| panic!("{problem}"));
        assert_eq!(loaded.config.listens_beyond_loopback(), text.contains("false"), "{text}");
        assert!(loaded.config.speaks_plainly(), "{text}");
    }
    assert!(!Loaded::defaults().config.listens_beyond_loopback() && !Loaded::defaults().config.speaks_plainly());
}

/// Beats and syslog have no users, but may demand certificates.
#[test]
fn who_must_show_a_certificate_may_come_from_the_network() {
    let tls = "tls = { cert = \"c.pem\", key = \"k.pem\", client_ca = \"a.pem\", client_auth = \"required\" }\n";
    for (receiver, rest) in [("beats", ""), ("syslog", "transports = [\"tcp\"]\n")] {
        let text = format!("[[ingest.{receiver}]]\nlisten = \"0.0.0.0:6514\"\n{rest}{tls}");
        let loaded = Loaded::from_text(Path::new("c.toml"), text.clone()).unwrap_or_else(|problem| panic!("{problem}"));
        assert!(!loaded.config.listens_beyond_loopback(), "{text}");
        // Of another one's certificates a listener has nothing.
        let text = format!("{text}[[ingest.{receiver}]]\nlisten = \"0.0.0.0:6515\"\n");
        let problem = Loaded::from_text(Path::new("c.toml"), text).unwrap_err().to_string();
        assert!(problem.contains("0.0.0.0:6515") && problem.contains("no sign-in"), "{problem}");
    }
    let kafka = format!("[[ingest.kafka]]\nlisten = \"0.0.0.0:9092\"\nsign_in = false\n{tls}");
    assert!(Loaded::from_text(Path::new("c.toml"), kafka).is_err(), "who holds a certificate would be an admin");
}

#[test]
fn a_file_with_secrets_that_everybody_reads_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sawbox.toml");
    let registry = "[[schema_registries]]\nurl = \"http://r\"\nuser = \"u\"\npassword = \"p\"\n";
    let webhook = "[[outputs]]\ntype = \"webhook\"\nname = \"alerts\"\nurl = \"https://example.org/in\"\n\
                   headers = { authorization = \"Bearer x\" }\n";
    for (text, mode, key) in [
        (registry, 0o644, Some("schema_registries[0].password")),
        (webhook, 0o604, Some("outputs[0].headers")),
        (registry, 0o640, None),
        (webhook, 0o600, None),
        ("[web]\nqueries = 2\n", 0o644, None),
    ] {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let warning = Loaded::from_file(&file).unwrap_or_else(|problem| panic!("{problem}")).exposed_secret();
        match (&warning, key) {
            (None, None) => {}
            (Some(warning), Some(key)) => assert!(warning.contains(key) && warning.contains("chmod o-r"), "{warning}"),
            _ => panic!("{mode:o} {text}: {warning:?}"),
        }
    }
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&file, registry).unwrap();
    let output =
        std::process::Command::new(env!("CARGO_BIN_EXE_sawbox")).args(["check", "--config"]).arg(&file).output().unwrap();
    let (said, warned) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success() && said.ends_with(": fine\n") && warned.contains("read by everybody"), "{said}{warned}");
}

#[test]
fn a_wrong_configuration_has_an_exit_code_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sawbox.toml");
    std::fs::write(&file, "queue.retention = \"soon\"\n").unwrap();
    for command in ["run", "check"] {
        let output =
            std::process::Command::new(env!("CARGO_BIN_EXE_sawbox")).args([command, "--config"]).arg(&file).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(78) && said.contains("sawbox.toml:1:19"), "{:?}: {said}", output.status);
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!("data_dir = {:?}\nweb.listen = \"{}\"\n", dir.path().join("data"), taken.local_addr().unwrap());
    std::fs::write(&file, text).unwrap();
    let output =
        std::process::Command::new(env!("CARGO_BIN_EXE_sawbox")).args(["run", "--config"]).arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "may be free later");
}

#[test]
fn a_busy_port_is_said_with_its_place_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!("data_dir = {:?}\nweb.listen = \"{}\"\n", dir.path(), taken.local_addr().unwrap());
    let loaded = Loaded::from_text(Path::new("c.toml"), text).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let error = runtime.block_on(sawbox::start(&loaded)).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("c.toml:2:5") && error.contains("cannot listen"), "{error}");
}

/// A port that cannot be had costs neither a recovery nor the form of the log.
#[test]
fn every_port_is_bound_before_anything_is_opened() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_udp = std::net::UdpSocket::bind(taken.local_addr().unwrap()).unwrap();
    let address = taken_udp.local_addr().unwrap();
    for receiver in ["beats", "kafka", "syslog"] {
        let dir = tempfile::tempdir().unwrap();
        let (file, data) = (dir.path().join("sawbox.toml"), dir.path().join("data"));
        let others = ["beats", "kafka", "syslog"].into_iter().filter(|other| *other != receiver);
        let free: String = others.map(|other| format!("[[ingest.{other}]]\nlisten = \"127.0.0.1:0\"\n")).collect();
        let text = format!(
            "data_dir = {data:?}\nweb.listen = \"127.0.0.1:0\"\ningest.elastic.listen = \"127.0.0.1:0\"\n{free}\
             [[ingest.{receiver}]]\nlisten = \"{address}\"\n"
        );
        std::fs::write(&file, text).unwrap();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_sawbox"))
            .args(["run", "--config"])
            .arg(&file)
            .env_remove("SAWBOX_LOG")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let lines: Vec<serde_json::Value> =
            said.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {said}"))).collect();
        let [only] = lines.as_slice() else { panic!("one line, and nothing opened before: {said}") };
        let error = only["error"].as_str().unwrap();
        assert!(error.contains(&format!("listen = \"{address}\"")) && error.contains("cannot listen"), "{said}");
        assert!(!data.join("store").exists() && !data.join("queue").exists(), "{receiver}");
    }
}

#[test]
fn the_default_file_says_what_the_defaults_say() {
    let text = include_str!("../../appliance/sawbox.toml");
    let file: toml::Table = toml::from_str(text).unwrap();
    let mut defaults = toml::Table::try_from(sawbox::config::Config::default()).unwrap();
    // Where a service keeps its data is not where a newcomer does.
    defaults.insert("data_dir".into(), "/var/lib/sawbox".into());
    assert_eq!(file, defaults);
}

/// What stands there as a comment is configuration too: without the `# ` it must be taken.
#[test]
fn the_default_files_comments_are_configuration() {
    let text = include_str!("../../appliance/sawbox.toml");
    // What says that there are none.
    let text = text.lines().filter(|line| !line.ends_with(" = []")).map(|line| format!("{line}\n")).collect::<String>();
    let is_key =
        |line: &str| line.split_once(" = ").is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
    let mut taken = 0;
    let lines = text.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if rest.starts_with('[') || is_key(rest) => {
            taken += 1;
            rest
        }
        _ => line,
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    let loaded = Loaded::from_text(Path::new("sawbox.toml"), text).unwrap();
    assert!(taken > 40, "{taken} lines");
    assert_eq!((loaded.config.outputs.len(), loaded.config.schema_registries.len()), (2, 1));
    assert_eq!(loaded.config.topics["web"].chain.as_ref().unwrap().0.len(), 3);
    assert!(loaded.config.ingest.beats[0].tls.is_some());
}

#[test]
fn page_health_and_metrics_answer() {
    let dir = tempfile::tempdir().unwrap();
    let sawbox = TestBox::start(dir.path(), "");
    sawbox.ingest("one", "a\nb\n");
    assert_eq!(sawbox.get("/health/live", &[]).0, 200);
    assert_eq!(sawbox.get("/health/ready", &[]).0, 200);
    let (status, page) = sawbox.get("/", &[]);
    assert!(status == 200 && page.contains("<html"), "{page}");
    let (status, metrics) = sawbox.get("/metrics", &[]);
    assert_eq!(status, 200);
    assert!(metrics.contains("sawbox_lane_stored_total{topic=\"one\",partition=\"0\"} 2"), "{metrics}");
    assert!(metrics.ends_with("# EOF\n"));
}

#[test]
fn what_the_api_refuses_it_refuses_in_json() {
    let dir = tempfile::tempdir().unwrap();
    let sawbox = TestBox::start(dir.path(), "");
    for (path, query, status, word) in [
        ("/nope", None, 404, "/nope"),
        ("/api/v1/filters/x", None, 405, "GET"),
        ("/api/v1/query", Some(("limit", "x")), 400, "limit"),
        ("/api/v1/query", Some(("bogus", "1")), 400, "bogus"),
        ("/api/v1/query", Some(("from", "yesterday")), 400, "from"),
        ("/api/v1/tail", Some(("q", "a ( b")), 400, "never closed"),
    ] {
        let (code, text) = sawbox.get(path, query.as_slice());
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(
            code == status && answer["error"]["message"].as_str().is_some_and(|said| said.contains(word)),
            "{path}: {text}"
        );
    }
}

#[test]
fn a_wrong_chain_is_found_at_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let chain = "[[topics.a.chain]]\nfilter = \"json\"\n[[topics.a.chain]]\n";
    for (rest, place) in [
        ("filter = \"drop\"\nwhen = \"a ( b\"\n", "c.toml:6:1"),
        ("filter = \"tag\"\nconfig = { ad = 1 }\n", "c.toml:6:1"),
        ("filter = \"jsn\"\n", "c.toml:5:1"),
    ] {
        let text = format!("data_dir = {:?}\n{chain}{rest}", dir.path());
        let loaded = Loaded::from_text(Path::new("c.toml"), text).unwrap();
        let error = sawbox::check(&loaded).unwrap_err().to_string();
        assert!(error.contains(place), "{rest}: {error}");
    }
}

#[test]
fn a_chain_that_is_refused_makes_no_topic() {
    let dir = tempfile::tempdir().unwrap();
    let sawbox = TestBox::start(dir.path(), "");
    let put = |topic: &str, body: &str| {
        sawbox.send("PUT", &format!("/api/v1/topics/{topic}/chain"), "application/json", body.as_bytes())
    };
    for body in [
        r#"[{"filter":"nope"}]"#,
        r#"[{"filter":"drop","when":"a:"}]"#,
        r#"[{"filter":"drop","config":{"no":"such"}}]"#,
        r#"[{"filter":"route","config":{"to":"typo"}}]"#,
        r#"{"codec":"avro"}"#,
    ] {
        let (status, text) = put("typo", body);
        assert_eq!(status, 400, "{body}: {text}");
        assert_eq!(sawbox.get("/api/v1/topics/typo", &[]).0, 404, "{body}");
    }
    assert_eq!(put("good", r#"[{"filter":"drop","when":"a:b"}]"#).0, 200);
    assert_eq!(sawbox.get("/api/v1/topics/good", &[]).0, 200);
}
