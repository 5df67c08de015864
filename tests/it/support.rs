//! A whole box in this process, on ports of its own, for tests that look at it from outside.

use std::io::Read;
use std::path::Path;

use sawbox::Running;
use sawbox::config::Loaded;
use serde_json::Value;

/// A box, its runtime and its data directory; stops cleanly when dropped.
pub struct TestBox {
    running: Option<Running>,
    runtime: tokio::runtime::Runtime,
    agent: ureq::Agent,
    page: String,
}

impl TestBox {
    /// Starts a box with data below `dir`; `extra` is TOML behind the listeners.
    pub fn start(dir: &Path, extra: &str) -> Self {
        Self::start_with(dir, "", extra)
    }

    /// As [`TestBox::start`], with keys that stand before every table.
    pub fn start_with(dir: &Path, head: &str, extra: &str) -> Self {
        let text = format!(
            r#"data_dir = {:?}
{head}
web.listen = "127.0.0.1:0"
ingest.elastic.listen = "127.0.0.1:0"
[[ingest.syslog]]
listen = "127.0.0.1:0"
{}
{}
{extra}
"#,
            dir.join("data"),
            if extra.contains("[[ingest.kafka]]") { "" } else { "[[ingest.kafka]]\nlisten = \"127.0.0.1:0\"" },
            if extra.contains("[[ingest.beats]]") { "" } else { "[[ingest.beats]]\nlisten = \"127.0.0.1:0\"\ntopic = \"web\"" },
        );
        let loaded = Loaded::from_text(Path::new("test.toml"), text).unwrap_or_else(|problem| panic!("{problem}"));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let running = runtime.block_on(sawbox::start(&loaded)).unwrap_or_else(|error| panic!("{error:#}"));
        let page = running.listeners()[0].url().trim_end_matches('/').to_owned();
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        Self { running: Some(running), runtime, agent, page }
    }

    /// Address of a listener whose name contains this.
    pub fn address(&self, name: &str) -> String {
        let listeners = self.running.as_ref().unwrap().listeners();
        listeners
            .iter()
            .find(|listener| listener.name.contains(name))
            .unwrap_or_else(|| panic!("no {name}: {listeners:?}"))
            .address
            .to_string()
    }

    /// GET on the page's port: status and text.
    pub fn get(&self, path: &str, query: &[(&str, &str)]) -> (u16, String) {
        Self::text(self.agent.get(format!("{}{path}", self.page)).query_pairs(query.iter().copied()).call().unwrap())
    }

    /// POST or PUT on any port: status and text.
    pub fn send(&self, method: &str, url: &str, kind: &str, body: &[u8]) -> (u16, String) {
        let url = if url.starts_with('/') { format!("{}{url}", self.page) } else { url.to_owned() };
        let request = if method == "PUT" { self.agent.put(url) } else { self.agent.post(url) };
        Self::text(request.content_type(kind).send(body).unwrap())
    }

    /// DELETE on the page's port: status and text.
    pub fn delete(&self, path: &str) -> (u16, String) {
        Self::text(self.agent.delete(format!("{}{path}", self.page)).call().unwrap())
    }

    fn text(answer: ureq::http::Response<ureq::Body>) -> (u16, String) {
        let status = answer.status().as_u16();
        let mut text = String::new();
        answer.into_body().into_reader().read_to_string(&mut text).unwrap();
        (status, text)
    }

    /// Rows of a query.
    pub fn query(&self, q: &str) -> Vec<Value> {
        let (status, text) = self.get("/api/v1/query", &[("q", q), ("limit", "100000")]);
        assert_eq!(status, 200, "{q}: {text}");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Sends lines over HTTP and waits until they are rows.
    pub fn ingest(&self, topic: &str, lines: &str) {
        let (status, text) = self.send("POST", &format!("/api/v1/ingest/{topic}"), "text/plain", lines.as_bytes());
        assert_eq!(status, 200, "{text}");
        self.settle();
    }

    /// Waits until every lane has handled what is durable.
    pub fn settle(&self) {
        for _ in 0..1000 {
            let (_, text) = self.get("/api/v1/topics", &[]);
            let topics: Value = serde_json::from_str(&text).unwrap();
            let lag: u64 = topics["topics"]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|topic| topic["partitions"].as_array().unwrap())
                .filter_map(|partition| partition["lag_records"].as_u64())
                .sum();
            if lag == 0 {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("lanes still lag");
    }
}

impl Drop for TestBox {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.shutdown());
        }
    }
}
