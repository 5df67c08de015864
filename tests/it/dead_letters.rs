//! Dead letters tried again: rows once, letters gone, in one instant, through a power cut at any operation of the disk; and what a
//! quarantine does. Step by step, without threads, but for the quarantine.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use sawbox::base::clock::{Clock, RealClock, SimClock};
use sawbox::base::disk::sim::SimDisk;
use sawbox::base::row::KeepPayload;
use sawbox::queue::batch::{self, BatchBuilder, Compression, Scratch};
use sawbox::queue::{self, Queue, Topic};
use sawbox::relay::config::{Quarantine, Then};
use sawbox::relay::dead::{RetryReport, RetryRequest};
use sawbox::relay::{Config, Range, Relay, Step, TopicConfig};
use sawbox::sandbox::lab::bundle;
use sawbox::sandbox::{self, ChainSpec, Sandbox};
use sawbox::store::query::{self, Cancel, OutValue, Request};
use sawbox::store::{self, Store};
use serde_json::json;

use crate::lineage_model::{Visible, visible};
use crate::relay_box::{eventually, spec};
use crate::relay_guest;

const START_NS: i64 = 1_700_000_000_000_000_000;

/// `mark-a` traps on `t`, loops on `l` and fails on `f`; `mended` does not trap.
fn sandbox() -> Arc<Sandbox> {
    static ONE: OnceLock<Arc<Sandbox>> = OnceLock::new();
    let open = || {
        let clock: Arc<dyn Clock> = Arc::new(SimClock::at(START_NS));
        let sandbox = Sandbox::open(SimDisk::new(1), clock, sandbox::Config::default()).expect("sandbox");
        sandbox.put("mark-a", &relay_guest::wasm('a')).expect("guest");
        sandbox.put("mended", &relay_guest::mended('b')).expect("guest");
        sandbox
    };
    ONE.get_or_init(open).clone()
}

struct Life {
    queue: Arc<Queue>,
    store: Arc<Store>,
    relay: Arc<Relay>,
    clock: Arc<SimClock>,
}

impl Life {
    fn start(disk: &Arc<SimDisk>) -> Self {
        Self::start_with(disk, Config::default())
    }

    fn start_with(disk: &Arc<SimDisk>, other: Config) -> Self {
        let sim = Arc::new(SimClock::at(START_NS));
        let clock: Arc<dyn Clock> = sim.clone();
        let config = queue::Config { writers: 1, ..queue::Config::default() };
        let (queue, _) = Queue::open(disk.clone(), clock.clone(), config).expect("queue");
        let (store, _) = Store::open_idle(disk.clone(), clock.clone(), store::Config::default()).expect("store");
        let keep_payload = Some(KeepPayload::Always);
        let web = TopicConfig { partitions: Some(2), keep_payload, chain: Some(spec("mark-a")), ..TopicConfig::default() };
        let config = Config { topics: [("web".to_owned(), web)].into(), ..other };
        let relay = Relay::open(queue.clone(), store.clone(), sandbox(), clock, config).expect("relay");
        Self { queue, store, relay, clock: sim }
    }

    fn topic(&self, name: &str) -> Arc<Topic> {
        self.queue.topic(name).expect("there")
    }

    fn append(&self, partition: u32, payloads: &[&str]) {
        let mut builder = BatchBuilder::new();
        for payload in payloads {
            builder.push(5, Some(b"key"), payload.as_bytes(), &[(b"host", b"web1")]).expect("small");
        }
        let partition = self.topic("web").partition(partition).expect("configured");
        partition.append(builder.finish(Compression::None)).wait().expect("acknowledged");
    }

    fn drain(&self) {
        for name in ["web", "_dead.web"] {
            let Some(topic) = self.queue.topic(name) else { continue };
            for partition in topic.partitions() {
                let mut steps = 0;
                loop {
                    match self.relay.step(topic.id(), partition.id()) {
                        Some(Step::Idle) => break,
                        Some(Step::After(pause)) => self.clock.advance(pause),
                        Some(Step::Waiting) => std::thread::sleep(std::time::Duration::from_millis(1)),
                        _ => {}
                    }
                    steps += 1;
                    assert!(steps < 1000, "never idle: {:?}", self.relay.lanes());
                }
            }
        }
    }

    fn retry(&self, request: &RetryRequest) -> RetryReport {
        self.relay.retry("web", request).expect("the disk is fine")
    }

    /// Payloads of the letters that are not resolved.
    fn letters(&self) -> Vec<String> {
        let letters = self.relay.dead_letters("web", 100).expect("readable");
        letters.iter().map(|letter| letter.payload["text"].as_str().expect("text").to_owned()).collect()
    }
}

fn messages(rows: &Visible, topic: &str) -> Vec<String> {
    let own = rows.iter().filter(|((name, ..), _)| name == topic);
    own.map(|(_, (.., message))| String::from_utf8_lossy(message).into_owned()).collect()
}

/// Payloads that rows of `web` kept.
fn payloads(life: &Life) -> Vec<String> {
    let request = Request::new(query::parse("_topic:=web | fields _payload").expect("a query"));
    let mut found = Vec::new();
    let stats = query::run(&life.store, &request, &Cancel::new(life.clock.clone()), &mut |row| {
        if let Some(OutValue::Str(payload)) = row.get("_payload") {
            found.push(String::from_utf8_lossy(payload).into_owned());
        }
        std::ops::ControlFlow::Continue(())
    });
    assert!(stats.is_ok_and(|stats| !stats.partial));
    found.sort();
    found
}

/// Five records over two partitions, two of which trap and one that fails.
fn with_letters(seed: u64) -> (Arc<SimDisk>, Life) {
    let disk = SimDisk::new(seed);
    let life = Life::start(&disk);
    life.append(0, &["x one", "t two", "f three", "d four"]);
    life.append(1, &["t five", "x six"]);
    life.drain();
    (disk, life)
}

#[test]
fn letters_become_rows_where_their_records_were() {
    let (_, life) = with_letters(3);
    assert_eq!(life.letters(), ["t two", "f three", "t five"]);
    let overview = life.relay.dead().expect("readable");
    assert_eq!((overview.len(), overview[0].letters, overview[0].reasons.len()), (1, 3, 2), "{overview:?}");

    // Before the filter is mended nothing comes of it, and nothing changes.
    let before = visible(&life.store).expect("each once");
    let again = life.retry(&RetryRequest::default());
    assert_eq!((again.tried, again.stored, again.failed, again.generation), (3, 0, 3, None), "{again:?}");
    assert_eq!(visible(&life.store).expect("each once"), before);

    life.relay.promote("web", spec("mended")).expect("a good chain");
    let dry = life.retry(&RetryRequest { dry_run: true, ..RetryRequest::default() });
    assert_eq!((dry.stored, dry.failed, dry.generation), (2, 1, None), "{dry:?}");
    assert_eq!(visible(&life.store).expect("each once"), before);
    let letter = life.relay.dead_letters("web", 100).expect("readable").remove(0);
    let only = Range { partition: letter.partition, first: letter.offset, end: letter.offset + 1 };
    let one = life.retry(&RetryRequest { offsets: Some(vec![only]), ..RetryRequest::default() });
    assert_eq!((one.tried, one.stored), (1, 1));
    assert_eq!(life.letters(), ["f three", "t five"]);
    let none = life.retry(&RetryRequest { filter: Some("another".to_owned()), ..RetryRequest::default() });
    assert_eq!(none.tried, 0);
    let rest = life.retry(&RetryRequest::default());
    assert_eq!((rest.stored, rest.failed), (1, 1), "{rest:?}");
    assert_eq!(rest.failures[0].reason, "asked to fail");

    let rows = visible(&life.store).expect("each once");
    let (generation, mark, message) = &rows[&("web".to_owned(), 0, 1)];
    assert_eq!((Some(*generation), mark.as_str(), &message[..]), (one.generation, "b", &b"t two"[..]));
    assert!(rows.contains_key(&("web".to_owned(), 1, 0)));
    assert_eq!(messages(&rows, "web"), ["x one", "t two", "t five", "x six"]);
    assert_eq!(payloads(&life), ["t five", "t two", "x one", "x six"], "rows keep them whoever made the rows");
    assert_eq!(messages(&rows, "_dead.web"), ["f three"], "what is resolved is not found any more");
    assert_eq!(life.letters(), ["f three"]);
    assert!(life.relay.dead_letter("web", letter.partition, letter.offset).is_err());
    let explained = life.relay.explain("web", 0, 1).expect("readable");
    assert_eq!(explained.generation, one.generation);
}

#[test]
fn a_deleted_row_does_not_come_back() {
    let (_, life) = with_letters(4);
    life.relay.delete_rows("web", &[Range { partition: 0, first: 1, end: 2 }]).expect("durable");
    life.relay.promote("web", spec("mended")).expect("a good chain");
    let report = life.retry(&RetryRequest::default());
    assert_eq!((report.stored, report.deleted, report.failed), (1, 1, 1), "{report:?}");
    let rows = visible(&life.store).expect("each once");
    assert_eq!(messages(&rows, "web"), ["x one", "t five", "x six"]);
    assert_eq!(life.letters(), ["f three"]);
}

#[test]
fn a_power_cut_leaves_all_of_a_retry_or_nothing() {
    let mut outcomes = BTreeMap::<&str, u32>::new();
    for operations in 0..200 {
        let (disk, life) = with_letters(100 + operations);
        life.relay.promote("web", spec("mended")).expect("a good chain");
        disk.power_off_after(operations);
        let answered = life.relay.retry("web", &RetryRequest::default()).is_ok();
        let over = !disk.is_off();
        let disk = disk.crash();
        drop(life);
        for _ in 0..2 {
            let life = Life::start(&disk);
            life.drain();
            let rows = visible(&life.store).expect("each once");
            match &life.letters()[..] {
                [failed] => {
                    assert_eq!(failed, "f three");
                    assert_eq!(messages(&rows, "web"), ["x one", "t two", "t five", "x six"]);
                    assert_eq!(messages(&rows, "_dead.web"), ["f three"]);
                    *outcomes.entry("all").or_default() += 1;
                }
                all => {
                    assert!(!answered, "what was answered is durable");
                    assert_eq!(all, ["t two", "f three", "t five"]);
                    assert_eq!(messages(&rows, "web"), ["x one", "x six"]);
                    assert_eq!(messages(&rows, "_dead.web"), ["t two", "f three", "t five"]);
                    *outcomes.entry("nothing").or_default() += 1;
                }
            }
            // Once more, whatever became of the first.
            life.retry(&RetryRequest::default());
            let rows = visible(&life.store).expect("each once");
            assert_eq!(messages(&rows, "web"), ["x one", "t two", "t five", "x six"]);
            assert_eq!(life.letters(), ["f three"]);
        }
        if over {
            assert!(answered && operations > 5 && outcomes["nothing"] > 3 && outcomes["all"] > 3, "{outcomes:?}");
            return;
        }
    }
    panic!("a retry takes more operations than anybody thought: {outcomes:?}");
}

#[test]
fn a_bundle_fails_elsewhere_as_it_did_here() {
    let (_, life) = with_letters(5);
    for letter in life.relay.dead_letters("web", 100).expect("readable") {
        let bytes = life.relay.bundle("web", letter.partition, letter.offset).expect("everything is there");
        let made = bundle::read(&bytes).expect("whole");
        assert_eq!((made.topic.as_str(), &made.said.filter, &made.said.reason), ("web", &letter.filter, &letter.reason));
        assert_eq!((made.record.timestamp_ms, made.record.arrival_ns), (5, letter.arrival_ns));
        assert_eq!(made.record.key, Some(bundle::Blob(b"key".to_vec())));
        assert_eq!(made.record.headers.len(), 1, "the sender's own");
        let report = bundle::run(&bytes, SimDisk::new(8), Arc::new(SimClock::at(0))).expect("a sandbox of its own");
        assert!(report.same && report.notes.is_empty(), "{report:?}");
        assert_eq!((report.now.reason, report.now.verdict.as_str()), (letter.reason, "fail"));
    }
}

/// Records of `side`: payload and origin.
fn sent(life: &Life) -> Vec<(String, String)> {
    let Some(side) = life.queue.topic("side") else { return Vec::new() };
    let mut all = Vec::new();
    for partition in side.partitions() {
        for stored in partition.read(0, 1 << 20).expect("readable") {
            let mut scratch = Scratch::new();
            let records = batch::decode(&stored, &mut scratch).expect("whole");
            for record in &records.records {
                let origin = records.headers_of(record).iter().find(|(name, _)| *name == b"_origin").expect("the box's").1;
                let place = String::from_utf8_lossy(origin).split_once('/').expect("an origin").1.to_owned();
                all.push((String::from_utf8_lossy(record.payload).into_owned(), place));
            }
        }
    }
    all.sort();
    all
}

/// What does not trap, sent to `side` and left out here.
fn routed() -> ChainSpec {
    let chain = json!([{ "filter": "mended" }, { "filter": "route", "config": { "to": "side", "keep": false } }]);
    serde_json::from_value(chain).expect("a chain")
}

fn pair(payload: &str, place: &str) -> (String, String) {
    (payload.to_owned(), place.to_owned())
}

#[test]
fn what_a_chain_sends_elsewhere_is_sent() {
    let (_, life) = with_letters(9);
    life.relay.promote("web", routed()).expect("a good chain");
    let expected = [pair("t five", "1@0#0"), pair("t two", "0@1#0")];
    let dry = life.retry(&RetryRequest { dry_run: true, ..RetryRequest::default() });
    assert_eq!((dry.dropped, dry.emissions, sent(&life).len()), (2, 2, 0), "{dry:?}");
    // One now, the one before it later: a retry is a run of its own.
    let letter = life.relay.dead_letters("web", 100).expect("readable").pop().expect("three");
    let last = Range { partition: letter.partition, first: letter.offset, end: letter.offset + 1 };
    let one = life.retry(&RetryRequest { offsets: Some(vec![last]), ..RetryRequest::default() });
    assert_eq!((one.stored, one.dropped, one.emissions), (0, 1, 1), "{one:?}");
    assert_eq!(sent(&life), expected[..1]);
    let rest = life.retry(&RetryRequest::default());
    assert_eq!((rest.dropped, rest.emissions, rest.failed), (1, 1, 1), "{rest:?}");
    assert_eq!(sent(&life), expected);
    assert_eq!(life.letters(), ["f three"]);
    assert_eq!(life.retry(&RetryRequest::default()).emissions, 0);
}

#[test]
fn what_cannot_be_sent_is_a_letter_again() {
    // It came through as many lanes as may be.
    let life = Life::start_with(&SimDisk::new(10), Config { hops: 1, ..Config::default() });
    travelled(&life.queue, "t one");
    life.drain();
    let kept = json!([{ "filter": "mended" }, { "filter": "route", "config": { "to": "side" } }]);
    life.relay.promote("web", serde_json::from_value(kept).expect("a chain")).expect("a good chain");
    let report = life.retry(&RetryRequest::default());
    assert_eq!((report.stored, report.emissions, report.unsent, report.failed), (1, 1, 1, 0), "{report:?}");
    let letters = life.relay.dead_letters("web", 100).expect("readable");
    assert_eq!((letters.len(), letters[0].filter.as_str()), (1, ""), "{letters:?}");
    assert!(letters[0].reason.contains("came through 2 lanes"), "{letters:?}");
    assert_eq!(letters[0].origin.as_ref().and_then(|origin| origin.split_once('/')).map(|(_, place)| place), Some("0@0"));
    // Its record has its row: it is not tried again.
    let again = life.retry(&RetryRequest::default());
    assert_eq!((again.tried, again.of_emissions), (0, 1), "{again:?}");
}

#[test]
fn a_power_cut_loses_nothing_of_what_a_retry_sends() {
    let mut resolved = 0;
    for operations in 0..200 {
        let (disk, life) = with_letters(400 + operations);
        life.relay.promote("web", routed()).expect("a good chain");
        disk.power_off_after(operations);
        let answered = life.relay.retry("web", &RetryRequest::default()).is_ok();
        let over = !disk.is_off();
        let disk = disk.crash();
        drop(life);
        let life = Life::start(&disk);
        life.drain();
        let is_resolved = life.letters() == ["f three"];
        assert!(is_resolved || !answered, "what was answered is durable");
        let once = [pair("t five", "1@0#0"), pair("t two", "0@1#0")];
        if is_resolved {
            resolved += 1;
            assert_eq!(sent(&life), once, "durable before the letters go");
        }
        // Once more: a run of its own, of whatever was left.
        life.retry(&RetryRequest::default());
        assert_eq!(life.letters(), ["f three"]);
        let mut all = sent(&life);
        all.dedup();
        assert_eq!(all, once);
        if over {
            assert!(answered && resolved > 0 && operations > 5);
            return;
        }
    }
    panic!("a retry takes more operations than anybody thought");
}

/// Houses with their threads, on this disk.
fn threaded(disk: &Arc<SimDisk>, config: Config) -> (Arc<Queue>, Arc<Store>, Arc<Relay>) {
    let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
    let (queue, _) =
        Queue::open(disk.clone(), clock.clone(), queue::Config { writers: 1, ..queue::Config::default() }).expect("queue");
    let (store, _) = Store::open(disk.clone(), clock.clone(), store::Config::default()).expect("store");
    let relay = Relay::start(queue.clone(), store.clone(), sandbox(), clock, config).expect("relay");
    (queue, store, relay)
}

fn push(queue: &Queue, payloads: &[String]) {
    let mut builder = BatchBuilder::new();
    payloads.iter().for_each(|payload| builder.push(0, None, payload.as_bytes(), &[]).expect("small"));
    let partition = queue.topic("web").expect("configured").partition(0).expect("one");
    partition.append(builder.finish(Compression::None)).wait().expect("acknowledged");
}

/// Appends a record that came through a lane.
fn travelled(queue: &Queue, payload: &str) {
    let mut builder = BatchBuilder::new();
    builder.push(0, None, payload.as_bytes(), &[(b"_hops", b"1")]).expect("small");
    let partition = queue.topic("web").expect("configured").partition(0).expect("one");
    partition.append(builder.finish(Compression::None)).wait().expect("acknowledged");
}

fn bad(count: u32) -> Vec<String> {
    (0..count).map(|n| format!("f {n}")).collect()
}

fn state(relay: &Relay) -> (String, u64, Option<String>) {
    let lane = relay.lanes().into_iter().find(|lane| &*lane.topic == "web").expect("a lane");
    (lane.state.to_owned(), lane.lag_records, lane.last_error)
}

#[test]
fn a_held_topic_stays_held_over_a_crash_until_a_chain_is_promoted() {
    let disk = SimDisk::new(6);
    // The topic's own choice counts.
    let web = TopicConfig { chain: Some(spec("mark-a")), quarantine: Some(Then::Hold), ..TopicConfig::default() };
    let quarantine = Quarantine { traps: 5, of: 10, then: Then::DeadLetter };
    let config = Config { topics: [("web".to_owned(), web)].into(), quarantine, ..Config::default() };
    let (queue, store, relay) = threaded(&disk, config.clone());
    push(&queue, &bad(20));
    push(&queue, &["x later".to_owned()]);
    let web = queue.topic("web").expect("configured").id();
    let is_durable = |store: &Store| {
        store.generations(web).last().is_some_and(|entry| String::from_utf8_lossy(&entry.chain).contains("\"held\""))
    };
    eventually("it is held, durably", || state(&relay).0 == "held" && is_durable(&store));
    let why = state(&relay).2.expect("said");
    assert!(why.contains("generation") && why.contains("promote"), "{why}");
    let disk = disk.crash();
    relay.shutdown();
    store.shutdown().ok();
    queue.shutdown();

    let (queue, store, relay) = threaded(&disk, config.clone());
    push(&queue, &["x much later".to_owned()]);
    eventually("held still", || state(&relay).0 == "held");
    assert!(state(&relay).1 > 0);
    relay.promote("web", spec("mended")).expect("a good chain");
    eventually("it goes on", || state(&relay).1 == 0);
    assert!(!is_durable(&store), "the newest is not held");
    relay.shutdown();
    store.shutdown().expect("the disk is fine");
    queue.shutdown();
}

#[test]
fn a_quarantine_goes_back_to_the_chain_before_once() {
    let disk = SimDisk::new(7);
    let web = TopicConfig { chain: Some(spec("mark-a")), ..TopicConfig::default() };
    let quarantine = Quarantine { traps: 5, of: 10, then: Then::Previous };
    let config = Config { topics: [("web".to_owned(), web)].into(), quarantine, ..Config::default() };
    let (queue, store, relay) = threaded(&disk, config);
    push(&queue, &["x first".to_owned()]);
    eventually("handled", || state(&relay).1 == 0);
    relay.promote("web", spec("mended")).expect("a good chain");
    let live = |relay: &Relay| {
        let live = relay.generations("web").expect("there").into_iter().find(|one| one.live).expect("one");
        (live.generation, live.chain[0].filter.clone(), live.why)
    };
    let (bad_one, ..) = live(&relay);
    push(&queue, &bad(20));
    eventually("the chain before takes over", || live(&relay).0 > bad_one);
    let (back, filter, why) = live(&relay);
    assert_eq!(filter, "mark-a");
    assert!(why.is_some_and(|why| why.contains(&format!("generation {bad_one}"))));
    // It fails as often: nothing flips to and fro.
    let times = relay.quarantines();
    push(&queue, &bad(20));
    eventually("noticed", || state(&relay).1 == 0 && relay.quarantines() > times);
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(live(&relay).0, back);
    relay.shutdown();
    store.shutdown().expect("the disk is fine");
    queue.shutdown();
}

#[test]
fn a_generation_does_not_answer_for_the_one_before() {
    let disk = SimDisk::new(8);
    let web = TopicConfig { chain: Some(spec("mark-a")), ..TopicConfig::default() };
    let quarantine = Quarantine { traps: 5, of: 10, then: Then::Previous };
    let config = Config { topics: [("web".to_owned(), web)].into(), quarantine, hops: 1, ..Config::default() };
    let (queue, store, relay) = threaded(&disk, config);
    push(&queue, &bad(9));
    eventually("they failed", || state(&relay).1 == 0);
    let mended = relay.promote("web", spec("mended")).expect("a good chain");
    push(&queue, &["x the tenth".to_owned()]);
    push(&queue, &["x and the next".to_owned()]);
    eventually("handled", || state(&relay).1 == 0);
    std::thread::sleep(std::time::Duration::from_millis(100));
    let live = relay.generations("web").expect("there").into_iter().find(|one| one.live).expect("one");
    assert_eq!((live.generation, relay.quarantines()), (mended, 0), "{live:?}");

    // A record of which nothing can be sent has failed once, however often it says so.
    let lane = || relay.lanes().into_iter().find(|lane| &*lane.topic == "web").expect("a lane");
    let before = lane();
    let to = |name: &str| serde_json::json!({ "filter": "route", "config": { "to": name, "keep": true } });
    let chain = serde_json::json!([to("one"), to("two"), to("three")]);
    relay.promote("web", serde_json::from_value(chain).expect("a chain")).expect("a good chain");
    travelled(&queue, "x routed");
    eventually("handled", || state(&relay).1 == 0);
    assert_eq!((lane().records - before.records, lane().failed - before.failed), (1, 1));
    relay.shutdown();
    store.shutdown().expect("the disk is fine");
    queue.shutdown();
}
