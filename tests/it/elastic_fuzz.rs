//! Fuzz target: bodies that are nearly searches of the Elasticsearch dialect, through its port. Whatever they are, they are answered or
//! refused (4xx); the box does not fail (5xx), break off or fall behind.

use bolero::TypeGenerator;
use serde_json::{Map, Value, json};

use crate::support::TestBox;

/// Words of the dialect and of the rows, and some that are neither.
const WORDS: [&str; 76] = [
    "query",
    "bool",
    "must",
    "must_not",
    "should",
    "filter",
    "match_all",
    "match",
    "match_phrase",
    "match_phrase_prefix",
    "multi_match",
    "term",
    "terms",
    "range",
    "exists",
    "prefix",
    "wildcard",
    "regexp",
    "query_string",
    "simple_query_string",
    "ids",
    "nested",
    "constant_score",
    "gte",
    "lt",
    "format",
    "value",
    "fields",
    "field",
    "default_field",
    "default_operator",
    "minimum_should_match",
    "boost",
    "aggs",
    "aggregations",
    "date_histogram",
    "fixed_interval",
    "calendar_interval",
    "histogram",
    "interval",
    "avg",
    "sum",
    "max",
    "cardinality",
    "percentiles",
    "percents",
    "filters",
    "top_hits",
    "size",
    "from",
    "sort",
    "order",
    "_source",
    "search_after",
    "track_total_hits",
    "highlight",
    "message",
    "status",
    "@timestamp",
    "_id",
    "1m",
    "now-1d/d",
    "*",
    "a*",
    "asc",
    "desc",
    "_count",
    "buckets_path",
    "derivative",
    "ö",
    "",
    "missing",
    "script",
    "extended_bounds",
    "min_doc_count",
    "runtime_mappings",
];

/// Pieces of a `query_string`.
const LUCENE: [&str; 30] = [
    "status",
    ":",
    "message",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    " TO ",
    " AND ",
    " OR ",
    " NOT ",
    "\"",
    "\\",
    "*",
    "?",
    "~2",
    "^3",
    "/",
    ">=",
    "-",
    "+",
    "&&",
    "||",
    "a",
    "200",
    " ",
    "_exists_:",
    "ß",
];

#[derive(Clone, Debug, TypeGenerator)]
enum Node {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Word(u8),
    Text(String),
    Lucene(Vec<u8>),
    List(Vec<(u8, u8)>),
    Deep(u8, u8),
}

#[derive(Clone, Debug, TypeGenerator)]
enum Body {
    /// A clause in its place: what people get nearly right.
    Clause(u8, u8, Node, Option<(u8, Node)>),
    /// The like of an aggregation.
    Aggregation(u8, u8, Node, Option<(u8, Node)>),
    /// A key of the body itself.
    Key(u8, Node),
    Lucene(Vec<u8>),
    Tree(Vec<(u8, u8, Node)>),
    Raw(Vec<u8>),
}

fn word(at: u8) -> &'static str {
    WORDS[usize::from(at) % WORDS.len()]
}

fn lucene(words: &[u8]) -> String {
    words.iter().take(40).map(|at| LUCENE[usize::from(*at) % LUCENE.len()]).collect()
}

impl Node {
    fn value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(bool) => json!(bool),
            Self::Int(int) => json!(int),
            Self::Float(float) => json!(float),
            Self::Word(at) => json!(word(*at)),
            Self::Text(text) => json!(text),
            Self::Lucene(words) => json!(lucene(words)),
            Self::List(items) => items.iter().take(20).map(|(key, value)| json!({ word(*key): word(*value) })).collect(),
            Self::Deep(key, depth) => {
                (0..usize::from(*depth) % 200).fold(json!("status"), |inner, _| json!({ word(*key): [inner] }))
            }
        }
    }
}

fn with(kind: u8, field: u8, node: &Node, more: &Option<(u8, Node)>) -> Value {
    let mut body = Map::from_iter([(word(field).to_owned(), node.value())]);
    body.extend(more.iter().map(|(key, node)| (word(*key).to_owned(), node.value())));
    json!({ word(kind): body })
}

impl Body {
    fn bytes(&self) -> Vec<u8> {
        let value = match self {
            Self::Clause(kind, field, node, more) => json!({ "query": with(*kind, *field, node, more) }),
            Self::Aggregation(kind, field, node, more) => {
                json!({ "size": 0, "aggs": { "a": with(*kind, *field, node, more), "b": { "terms": { "field": "status" } } } })
            }
            Self::Key(key, node) => json!({ "query": { "match_all": {} }, word(*key): node.value() }),
            Self::Lucene(words) => json!({ "query": { "query_string": { "query": lucene(words) } } }),
            Self::Tree(nodes) => {
                let clauses: Vec<Value> =
                    nodes.iter().take(8).map(|(kind, field, node)| with(*kind, *field, node, &None)).collect();
                json!({ "query": { "bool": { "must": clauses.clone(), "should": clauses } } })
            }
            Self::Raw(bytes) => return bytes.clone(),
        };
        value.to_string().into_bytes()
    }
}

#[test]
fn fuzz_searches() {
    let dir = tempfile::tempdir().unwrap();
    let running = TestBox::start(dir.path(), "");
    let row = |n: u32| {
        format!("{{\"message\":\"request {n} was a/b ß\",\"status\":{},\"took\":{n}.5,\"tags\":[\"x\",\"y\"]}}\n", 200 + n % 5)
    };
    running.ingest("web", &(0..300).map(row).collect::<String>());
    let url = format!("http://{}/web/_search", running.address("Elasticsearch"));
    let mut counts = [0u32; 2];
    let counted = std::sync::Mutex::new(&mut counts);
    let running = std::panic::AssertUnwindSafe(&running);
    bolero::check!().with_iterations(1_500).with_type::<Body>().for_each(|body| {
        let bytes = body.bytes();
        let (status, text) = running.send("POST", &url, "application/json", &bytes);
        assert!(status == 200 || (400..500).contains(&status), "{status} {text}: {}", String::from_utf8_lossy(&bytes));
        counted.lock().unwrap()[usize::from(status == 200)] += 1;
    });
    assert!(counts.iter().all(|count| *count > 20), "the target does not hit: {counts:?}");
    assert_eq!(running.query("* | stats count() as n")[0]["n"], 300);
}
