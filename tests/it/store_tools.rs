//! `sawbox store …` and its API: a running box, then the same one stopped, damaged and put in order. And rows that a person asked to be
//! deleted, until they are off the disk.

use std::path::{Path, PathBuf};
use std::process::Command;

use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::Value;

use crate::support::TestBox;

/// Runs a command: whether it went well, what it answered, and what it said beside.
fn sawbox(page: &str, arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_sawbox")).args(arguments).env("SAWBOX_URL", page).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

fn lines(from: u32, count: u32) -> String {
    let line = |n: u32| {
        format!(
            "{{\"@timestamp\":\"2026-11-20T10:{:02}:{:02}Z\",\"message\":\"request {n} of user{}\",\"user\":\"user{}\",\"n\":{n},\
             \"tags\":[\"a\",\"b\"],\"ok\":{}}}\n",
            n / 60 % 60,
            n % 60,
            n % 7,
            n % 7,
            n.is_multiple_of(2)
        )
    };
    (from..from + count).map(line).collect()
}

fn parts_below(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            parts_below(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "part") {
            found.push(path);
        }
    }
}

#[test]
fn a_store_is_listed_measured_written_out_verified_and_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (data, file) = (data.to_str().unwrap(), |name: &str| dir.path().join(name).to_str().unwrap().to_owned());
    {
        let running = TestBox::start(dir.path(), "");
        running.ingest("web", &lines(0, 3000));
        let page = format!("http://{}", running.address("page"));
        let (status, csv) = running.get("/api/v1/export", &[("q", "user:user3 | fields n, user"), ("format", "csv")]);
        assert_eq!((status, csv.lines().count(), csv.lines().next()), (200, 430, Some("n,user")), "{csv}");
        assert!(csv.lines().skip(1).all(|line| line.ends_with(",user3")));
        let first: Vec<u32> =
            csv.lines().skip(1).take(2).map(|line| line.split(',').next().unwrap().parse().unwrap()).collect();
        assert_eq!(first, [3, 10], "the oldest first");
        let (status, text) = running.get("/api/v1/export", &[("q", "*"), ("topic", "web")]);
        assert_eq!((status, text.lines().count()), (200, 3000));
        for (pairs, wanted) in [
            (&[("format", "xml")][..], "ndjson, csv or parquet"),
            (&[("q", "n:>"), ("format", "csv")], "position"),
            (&[("q", "*"), ("from", "yesterday-ish")], "from"),
            (&[("q", "*"), ("color", "red")], "color"),
        ] {
            let (status, text) = running.get("/api/v1/export", pairs);
            assert!(status == 400 && text.contains(wanted), "{status} {text}");
        }
        assert_eq!(running.get("/api/v1/export", &[("topic", "nothing")]).0, 404);
        let (well, _, said) = sawbox(&page, &["store", "export", "user:user3", "-o", &file("three.parquet")]);
        assert!(well, "{said}");
        let reader = SerializedFileReader::new(std::fs::File::open(file("three.parquet")).unwrap()).unwrap();
        assert_eq!(reader.metadata().file_metadata().num_rows(), 429);
        let (well, table, _) = sawbox(&page, &["store", "stats", "web"]);
        assert!(well && table.contains("3000 rows are still in memory"), "{table}");
        let (well, _, said) = sawbox(&page, &["store", "export", "n:>"]);
        assert!(!well && said.contains('^'), "{said}");
        for command in ["ls", "stats"] {
            let (well, _, said) = sawbox(&page, &["store", command, "--data-dir", data]);
            assert!(!well && said.contains("a box is running"), "{said}");
        }
        let (well, _, said) = sawbox(&page, &["store", "verify", "--data-dir", data]);
        assert!(!well && said.contains("a box is running"), "{said}");
    }
    let fine = |arguments: &[&str]| {
        let (well, answer, said) = sawbox("", arguments);
        assert!(well, "{arguments:?}: {answer}{said}");
        answer
    };
    let listed: Value = serde_json::from_str(&fine(&["store", "ls", "web", "--json", "--data-dir", data])).unwrap();
    let part = &listed["parts"][0];
    assert_eq!(
        (part["state"].as_str(), part["rows"].as_u64(), part["day"].as_str()),
        (Some("live"), Some(3000), Some("20261120"))
    );
    let sizes: Value = serde_json::from_str(&fine(&["store", "stats", "web", "--json", "--data-dir", data])).unwrap();
    let columns = sizes["topics"][0]["columns"].as_array().unwrap();
    let user = columns.iter().find(|column| column["name"] == "user").unwrap();
    assert_eq!(
        (user["rows"].as_u64(), user["distinct"].as_u64(), user["kind"].as_str()),
        (Some(3000), Some(7), Some("string"))
    );
    assert!(fine(&["store", "verify", "--data-dir", data]).contains("1 parts"));
    assert!(fine(&["store", "repair", "--data-dir", data]).contains("nothing to repair"));
    fine(&["store", "export", "*", "--topic", "web", "-o", &file("all.parquet"), "--data-dir", data]);
    let reader = SerializedFileReader::new(std::fs::File::open(file("all.parquet")).unwrap()).unwrap();
    assert_eq!(reader.metadata().file_metadata().num_rows(), 3000);
    assert!(!Path::new(&file("all.parquet.part")).exists());

    // A byte of a value goes wrong.
    let mut parts = Vec::new();
    parts_below(&Path::new(data).join("store"), &mut parts);
    let whole = std::fs::read(&parts[0]).unwrap();
    let mut bytes = Vec::new();
    let costs_values_alone = (100..whole.len()).step_by(100).any(|at| {
        bytes.clone_from(&whole);
        bytes[at] ^= 1;
        std::fs::write(&parts[0], &bytes).unwrap();
        let (_, report, _) = sawbox("", &["store", "verify", "--json", "--data-dir", data]);
        let report: Value = serde_json::from_str(&report).unwrap();
        report["findings"].as_array().unwrap().iter().all(|finding| finding["rows_lost"] == 0 && finding["field"].is_array())
    });
    assert!(costs_values_alone);
    let (well, report, said) = sawbox("", &["store", "verify", "--data-dir", data]);
    assert!(!well && report.contains("DAMAGED") && said.contains("store repair"), "{report}{said}");
    let (well, _, said) = sawbox("", &["store", "export", "*", "-o", &file("some.csv"), "--data-dir", data]);
    assert!(!well && said.contains("--partial") && !Path::new(&file("some.csv")).exists(), "{said}");
    let plan = fine(&["store", "repair", "--rewrite-damaged", "--data-dir", data]);
    assert!(plan.contains("would  ") && plan.contains("nothing was done"), "{plan}");
    assert_eq!(std::fs::read(&parts[0]).unwrap(), bytes);
    assert!(fine(&["store", "repair", "--rewrite-damaged", "--yes", "--data-dir", data]).contains("does  "));
    fine(&["store", "verify", "--data-dir", data]);

    // Then the log.
    std::fs::remove_file(Path::new(data).join("store/COMMITS")).unwrap();
    assert!(!sawbox("", &["store", "verify", "--data-dir", data]).0);
    let plan = fine(&["store", "repair", "--data-dir", data]);
    assert!(plan.contains("take in ") && plan.contains("what nobody can know"), "{plan}");
    fine(&["store", "repair", "--yes", "--data-dir", data]);
    fine(&["store", "verify", "--data-dir", data]);
    let running = TestBox::start(dir.path(), "");
    running.settle();
    assert_eq!(running.query("_topic:=web | stats count() as n")[0]["n"], 3000);
    running.ingest("web", &lines(3000, 10));
    assert_eq!(running.query("_topic:=web | stats count() as n")[0]["n"], 3010, "it goes on behind what was there");
}

/// Waits until the store's thread has done something.
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("never: {what}");
}

#[test]
fn what_a_person_asked_to_be_deleted_leaves_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let chain = "[[topics.web.chain]]\nfilter = \"json\"\n";
    let body = |body: &str| body.as_bytes().to_vec();
    let gone = |running: &TestBox| {
        assert_eq!(running.query("user:user3 | stats count() as n")[0]["n"], 0);
        assert!(running.query("\"user3\"").is_empty());
        assert_eq!(running.query("* | stats count() as n")[0]["n"], 600);
        let (_, top) = running.get("/api/v1/top", &[("q", "*"), ("field", "user")]);
        assert!(!top.contains("user3"), "{top}");
        let (_, csv) = running.get("/api/v1/export", &[("q", "*"), ("format", "csv")]);
        assert!(csv.lines().count() == 601 && !csv.contains("user3"));
    };
    let offset;
    {
        let running = TestBox::start(dir.path(), chain);
        running.ingest("web", &lines(0, 700));
        let row = &running.query("user:user3 n:3")[0];
        offset = format!("/api/v1/explain/web/{}/{}", row["_partition"], row["_offset"]);
        assert_eq!(running.get(&offset, &[]).0, 200);
        let path = "/api/v1/topics/web/delete-rows";
        let ask = |text: &str| {
            let (status, text) = running.send("POST", path, "application/json", &body(text));
            (status, serde_json::from_str::<Value>(&text).unwrap())
        };
        assert_eq!(ask(r#"{"query":"user:user3 | limit 1"}"#).0, 400);
        assert_eq!(ask(r#"{"query":"user:user3","offsets":[]}"#).0, 400);
        let (_, tried) = ask(r#"{"query":"user:user3","dry_run":true}"#);
        assert_eq!((tried["offsets"].as_u64(), tried["deleted"].as_bool()), (Some(100), Some(false)), "{tried}");
        assert_eq!(running.query("* | stats count() as n")[0]["n"], 700);
        let (status, answer) = ask(r#"{"query":"user:user3"}"#);
        assert_eq!((status, answer["offsets"].as_u64(), answer["deleted"].as_bool()), (200, Some(100), Some(true)), "{answer}");
        // When their bytes are gone everywhere.
        assert!(answer["queue_keeps_until"].as_str().is_some_and(|until| until.starts_with("20")), "{answer}");
        assert_eq!(answer["has_dead_letters"], false, "{answer}");
        assert!(answer["note"].as_str().is_some_and(|note| note.contains("backups") && note.contains("trim")), "{answer}");
        gone(&running);
        assert_ne!(running.get(&offset, &[]).0, 500);
        assert!(!running.get(&offset, &[]).1.contains("user3"), "explain shows nothing of it");
        // Neither a trial nor a replay brings them back.
        let chain = r#"{"chain":[{"filter":"json"},{"filter":"tag","config":{"add":["again"]}}]}"#;
        let (status, text) = running.send("PUT", "/api/v1/topics/web/chain", "application/json", &body(chain));
        assert_eq!(status, 200, "{text}");
        let (status, text) = running.send("POST", "/api/v1/topics/web/replay", "application/json", &body("{}"));
        let replay: Value = serde_json::from_str(&text).unwrap();
        assert!(status == 202, "{text}");
        let id = replay["id"].as_u64().unwrap();
        eventually("the replay is over", || {
            let (_, text) = running.get(&format!("/api/v1/replays/{id}"), &[]);
            serde_json::from_str::<Value>(&text).unwrap()["state"] == "done"
        });
        gone(&running);
        assert_eq!(running.query("tags:again | stats count() as n")[0]["n"], 600);
    }
    // After a start lanes may make rows again, and parts that have deleted rows are written anew.
    let running = TestBox::start(dir.path(), chain);
    running.settle();
    gone(&running);
    let parts = || -> Vec<Value> {
        let (_, text) = running.get("/api/v1/store/parts", &[("topic", "web")]);
        serde_json::from_str::<Value>(&text).unwrap()["parts"].as_array().unwrap().clone()
    };
    eventually("the parts have no row that is hidden", || {
        let parts = parts();
        !parts.is_empty() && parts.iter().all(|part| part["masked"] == false)
    });
    let rows: u64 = parts().iter().map(|part| part["rows"].as_u64().unwrap()).sum();
    assert_eq!(rows, 600, "{:?}", parts());
    let (_, text) = running.get("/api/v1/store/stats", &[("topic", "web")]);
    let stats: Value = serde_json::from_str(&text).unwrap();
    let user =
        stats["topics"][0]["columns"].as_array().unwrap().iter().find(|column| column["name"] == "user").unwrap().clone();
    assert_eq!((user["rows"].as_u64(), user["distinct"].as_u64()), (Some(600), Some(6)), "its dictionary has no trace of it");
}
