//! The two brokers: a box, and librdkafka's mock. Each is a process of its own, so that its CPU time is its own.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rdkafka::mocking::MockCluster;
use serde_json::Value;

/// A process that ends with the benchmark.
pub struct Process(Child);

impl Process {
    /// Of the process.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// kill -9, and its end.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A box, its configuration and ports.
pub struct Sawbox {
    binary: PathBuf,
    folder: PathBuf,
    page: u16,
    kafka: u16,
    process: Option<Process>,
}

impl Sawbox {
    /// Writes the configuration; `more` is TOML that goes behind the listeners.
    pub fn new(binary: &Path, folder: &Path, more: &str) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let ports: Vec<TcpListener> = (0..5).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
        let port = |n: usize| ports[n].local_addr().map(|address| address.port());
        let (page, kafka) = (port(0)?, port(1)?);
        let text = format!(
            r#"data_dir = {:?}
web.listen = "127.0.0.1:{page}"
ingest.elastic.listen = "127.0.0.1:{}"
[[ingest.kafka]]
listen = "127.0.0.1:{kafka}"
[[ingest.beats]]
listen = "127.0.0.1:{}"
[[ingest.syslog]]
listen = "127.0.0.1:{}"
{more}
"#,
            folder.join("data"),
            port(2)?,
            port(3)?,
            port(4)?
        );
        fs::write(folder.join("sawbox.toml"), text)?;
        Ok(Self { binary: binary.to_owned(), folder: folder.to_owned(), page, kafka, process: None })
    }

    /// Starts the process; it may not answer yet.
    pub fn spawn(&mut self) -> anyhow::Result<()> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log"))?;
        let child = Command::new(&self.binary)
            .arg("run")
            .arg("--config")
            .arg(self.folder.join("sawbox.toml"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.binary.display()))?;
        self.process = Some(Process(child));
        Ok(())
    }

    /// Starts it and waits until it is ready.
    pub fn start(&mut self) -> anyhow::Result<()> {
        self.spawn()?;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            if self.get("/health/ready").is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("the box did not start; {} says why", self.folder.join("log").display())
    }

    /// Address of its Kafka listener.
    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.kafka)
    }

    /// Of the running process.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().map_or(0, Process::pid)
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// The body of a GET that was answered 200.
    pub fn get(&self, path: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.page))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        write!(stream, "GET {path} HTTP/1.0\r\nhost: box\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let (head, body) = text.split_once("\r\n\r\n").context("no answer")?;
        ensure!(head.split(' ').nth(1) == Some("200"), "{path}: {}", head.lines().next().unwrap_or_default());
        Ok(body.to_owned())
    }

    /// Records that lanes have not handled, of every topic.
    pub fn lag(&self) -> anyhow::Result<u64> {
        let topics: Value = serde_json::from_str(&self.get("/api/v1/topics")?)?;
        let partitions = topics["topics"].as_array().into_iter().flatten().flat_map(|topic| topic["partitions"].as_array());
        Ok(partitions.flatten().filter_map(|partition| partition["lag_records"].as_u64()).sum())
    }

    /// Waits until the lanes have handled everything.
    pub fn settle(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while self.lag()? > 0 {
            ensure!(begun.elapsed() < Duration::from_secs(900), "the lanes did not catch up");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Bytes of its queue on the disk.
    pub fn queue_bytes(&self) -> u64 {
        folder_bytes(&self.folder.join("data/queue"))
    }
}

fn folder_bytes(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => folder_bytes(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.filter_map(Result::ok).map(size).sum()
}

/// librdkafka's mock broker, in this program started a second time.
pub struct Mock {
    process: Process,
    brokers: String,
}

impl Mock {
    /// Starts it.
    pub fn start() -> anyhow::Result<Self> {
        let mut child =
            Command::new(std::env::current_exe()?).arg("mock").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no standard output")?).read_line(&mut line)?;
        ensure!(!line.trim().is_empty(), "the mock did not start");
        Ok(Self { process: Process(child), brokers: line.trim().to_owned() })
    }

    /// Where it listens.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Of the process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}

/// What the second process does: a broker, until standard input ends.
pub fn serve_mock() -> anyhow::Result<()> {
    let cluster = MockCluster::new(1)?;
    cluster.create_topic("bench", 1, 1)?;
    println!("{}", cluster.bootstrap_servers());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
