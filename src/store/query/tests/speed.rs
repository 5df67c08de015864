//! How fast rows are scanned: `SAWBOX_MEASURE=1 cargo test --release --lib store::query::tests::speed -- --nocapture`;
//! without the variable it only shows that every query runs.
//!
//! 400 groups (4 without the variable) of 8,192 access rows (16 different ones), columns ready in memory, so that this measures the engine and not the
//! reading of parts; what a part's decoding costs comes on top.

use std::time::Instant;

use super::*;
use crate::base::ids::TopicId;
use crate::base::predicate::Number;
use crate::store::StoreError;
use crate::store::query::histogram_of;
use crate::store::source::{Chunk, Column, Dict, Kind, Lineage, Present};

const DIFFERENT: usize = 16;
const ROWS: usize = 8192;

fn groups() -> usize {
    if std::env::var_os("SAWBOX_MEASURE").is_some() { 400 } else { 4 }
}

#[derive(Debug)]
struct Synthetic {
    columns: Vec<Column>,
    /// By group (modulo [`DIFFERENT`]), then column.
    chunks: Vec<Vec<Chunk>>,
    dicts: Vec<Option<Arc<Dict>>>,
}

fn synthetic() -> Synthetic {
    let dict = |entries: Vec<String>| {
        let mut dict = Dict { sorted: true, ..Dict::default() };
        for entry in entries {
            dict.bytes.extend_from_slice(entry.as_bytes());
            dict.ends.push(u32::try_from(dict.bytes.len()).unwrap());
        }
        Arc::new(dict)
    };
    let apps = dict((0..12).map(|app| format!("app-{app:02}")).collect());
    let paths = dict((0..20_000).map(|path| format!("/section/{path:05}/page.html")).collect());
    let kinds =
        [("status", Kind::Int), ("app", Kind::Str), ("path", Kind::Str), ("reqtime", Kind::Float), ("message", Kind::Str)];
    let columns = kinds.iter().map(|(name, kind)| Column { name: Arc::from(*name), kind: *kind }).collect();
    let mut random = 88_172_645_463_325_252u64;
    let mut next = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let chunks = (0..DIFFERENT)
        .map(|_| {
            let (mut status, mut app, mut path, mut time) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            let (mut ends, mut bytes) = (Vec::new(), Vec::new());
            for _ in 0..ROWS {
                let code = [200, 200, 200, 200, 304, 301, 404, 503][usize::try_from(next(8)).unwrap()];
                let (own_app, own_path) = (u32::try_from(next(12) + 1).unwrap(), u32::try_from(next(20_000) + 1).unwrap());
                status.push(code);
                app.push(own_app);
                path.push(own_path);
                time.push(f64::from(u32::try_from(next(5000)).unwrap()) / 1000.0);
                let request = String::from_utf8_lossy(paths.entry(own_path as usize - 1)).into_owned();
                let agent = if next(50) == 0 { "Googlebot/2.1" } else { "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/32.0.1700.107" };
                let line = format!(
                    "{}.{}.{}.{} - - [17/May/2015:10:05:03 +0000] \"GET {request} HTTP/1.1\" {code} {} \"http://semicomplete.example/{request}\" \"{agent} Safari/537.36\" 0/{}",
                    next(256), next(256), next(256), next(256), next(100_000), next(5000)
                );
                bytes.extend_from_slice(line.as_bytes());
                ends.push(u32::try_from(bytes.len()).unwrap());
            }
            vec![
                Chunk::Int { values: status, present: Present::All },
                Chunk::Dict { codes: app, dict: Arc::clone(&apps) },
                Chunk::Dict { codes: path, dict: Arc::clone(&paths) },
                Chunk::Float { values: time, present: Present::All },
                Chunk::Text { ends, bytes, present: Present::All },
            ]
        })
        .collect();
    Synthetic { columns, chunks, dicts: vec![None, Some(apps), Some(paths), None, None] }
}

impl Source for Synthetic {
    fn topic(&self) -> TopicId {
        TopicId::from_bytes([1; 16])
    }

    fn topic_name(&self) -> Arc<str> {
        "access".into()
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn groups(&self) -> usize {
        groups()
    }

    fn rows(&self, _group: usize) -> usize {
        ROWS
    }

    fn time_bounds(&self, group: usize) -> (i64, i64) {
        let start = TEN + i64::try_from(group * ROWS).unwrap() * SECOND / 100;
        (start, start + i64::try_from(ROWS - 1).unwrap() * SECOND / 100)
    }

    fn times(&self, group: usize) -> Result<Vec<i64>, StoreError> {
        let start = self.time_bounds(group).0;
        Ok((0..i64::try_from(ROWS).unwrap()).map(|row| start + row * SECOND / 100).collect())
    }

    fn column(&self, group: usize, column: usize) -> Result<Option<Chunk>, StoreError> {
        Ok(Some(self.chunks[group % DIFFERENT][column].clone()))
    }

    fn bounds(&self, _group: usize, _column: usize) -> Option<(Number, Number)> {
        Some((Number::Int(200), Number::Int(503)))
    }

    fn dict(&self, column: usize) -> Result<Option<Arc<Dict>>, StoreError> {
        Ok(self.dicts[column].clone())
    }

    fn lineage(&self, group: usize) -> Result<Lineage, StoreError> {
        let first = (group * ROWS) as u64;
        Ok(Lineage {
            partitions: vec![0; ROWS],
            offsets: (first..first + ROWS as u64).collect(),
            ns: vec![0; ROWS],
            generations: vec![1; ROWS],
        })
    }

    fn deleted(&self, _group: usize) -> Option<Arc<[u64]>> {
        None
    }
}

#[test]
#[allow(clippy::disallowed_methods, clippy::print_stdout, clippy::cast_precision_loss)]
fn scan_speed() {
    let sources: Vec<Arc<dyn Source>> = vec![Arc::new(synthetic())];
    let rows = (groups() * ROWS) as f64;
    let report = |name: &str, best: f64, answer: usize| {
        println!("{name:<75} {:>9.2} ms {:>9.0} Mrow/s  {answer} rows", best * 1e3, rows / best / 1e6);
    };
    for threads in [1, 2] {
        println!("{threads} thread(s), {rows} rows");
        for query in [
            "* | stats count()",
            "status=503 | stats count()",
            "* | stats count() by status",
            "* | stats count() by app",
            "* | stats count() by app, bin(5m)",
            "* | stats count(), sum(status), p99(reqtime) by app, bin(5m)",
            "* | top 10 path",
            "path:=/section/01234/page.html | stats count()",
            "path:~\"/section/.*7/page\" | stats count()",
            "* | sort -reqtime | limit 100 | fields _time, reqtime",
            "* | limit 100",
            "googlebot | limit 100",
            "googlebot | stats count()",
            "message:~\"[a-z]+[0-9]{3,}[.]png\" | stats count()",
            "zqxjkv | stats count()",
        ] {
            let mut request = request(query);
            request.limits.threads = threads;
            let mut best = f64::MAX;
            let mut answer = 0;
            for _ in 0..3 {
                let start = Instant::now();
                answer = rows_of(&sources, &request).0.len();
                best = best.min(start.elapsed().as_secs_f64());
            }
            report(query, best, answer);
        }
        let start = Instant::now();
        let histogram = histogram_of(&sources, &request("*"), 60, &cancel()).unwrap();
        report("histogram of all, 60 buckets", start.elapsed().as_secs_f64(), histogram.buckets.len());
    }
}
