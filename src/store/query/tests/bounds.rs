//! What queries may take, and how they end: memory for keys and figures, computed texts, and nobody listening any more.

use super::memory::{MemorySource, Style, TestRow};
use super::tables::{check, eight, every_way};
use super::*;
use crate::store::query::figures::Moment;
use crate::store::query::layers::Layers;
use crate::store::query::scan::Scan;
use crate::store::query::split::split;
use crate::store::query::stats::Grouping;
use crate::store::query::{Limits, OutValue, Pipe, table};

fn row(at: u64, field: &'static str, value: OutValue) -> TestRow {
    TestRow { time: TEN + at.cast_signed(), partition: 0, offset: at, n: 0, fields: vec![(field, value)] }
}

fn text(length: usize, letter: u8) -> OutValue {
    OutValue::Str(vec![letter; length].into())
}

fn length(value: Option<&OutValue>) -> Option<usize> {
    if let Some(OutValue::Str(text)) = value { Some(text.len()) } else { None }
}

#[test]
fn first_and_last_keep_long_values_or_say_that_they_do_not() {
    let rows = vec![row(0, "m", text(100_000, b'a')), row(1, "m", text(5, b'b')), row(2, "m", text(200_000, b'c'))];
    for style in [Style::Sorted, Style::PerGroup, Style::Text] {
        for query in ["* | stats first(m) as f, last(m) as l", "* | limit 9 | stats first(m) as f, last(m) as l"] {
            let sources: Vec<Arc<dyn Source>> = vec![Arc::new(MemorySource::new("one", rows.clone(), 1, style))];
            let mut asked = request(query);
            let (found, stats) = rows_of(&sources, &asked);
            assert_eq!((length(found[0].get("f")), length(found[0].get("l"))), (Some(100_000), Some(200_000)), "{query}");
            assert!(!stats.partial, "{query}: {stats:?}");
            // Without memory the answer is not another row's value, and says that it is not whole.
            asked.limits = Limits { bytes: 160_000, threads: 1, ..Limits::default() };
            let (found, stats) = rows_of(&sources, &asked);
            assert!(stats.partial && found.iter().all(|row| length(row.get("l")) != Some(5)), "{query}: {stats:?}");
        }
    }
}

#[test]
fn keys_and_figures_share_one_budget() {
    let parsed = request("* | stats values(v), count_distinct(v), first(v), p50(n) by k, v").query;
    let Some(Pipe::Stats(aggs, by)) = parsed.pipes.first() else { panic!("{parsed}") };
    const BYTES: usize = 1 << 20;
    let whole = |rows: u64| {
        let mut grouping = Grouping::new(aggs, by, &Limits::default(), BYTES);
        for at in 0..rows {
            let value = |name: &str, value: String| (Arc::from(name), OutValue::Str(value.into_bytes().into()));
            let fields = vec![value("k", format!("key {at}")), value("v", format!("a value of some length, {at}"))];
            grouping.add_row(&OutRow { fields }, Moment::default(), by);
        }
        grouping
    };
    let (few, many) = (whole(500), whole(20_000));
    assert!(!few.lost && few.held() < BYTES);
    // Arrays grow by doubling.
    assert!(many.lost && many.held() < 2 * BYTES, "{}", many.held());
}

#[test]
fn figures_of_the_same_numbers_are_made_once() {
    let parsed = request("* | stats p50(n), median(n), p99(n), sum(n), avg(n), rate(n), sum(m), count(), count() as c").query;
    let Some(Pipe::Stats(aggs, by)) = parsed.pipes.first() else { panic!("{parsed}") };
    // Percentiles, sums, sums of another field, counts.
    assert_eq!(Grouping::new(aggs, by, &Limits::default(), 1 << 20).figures.len(), 4);
    check(
        "app:shop | stats p0(reqtime) as least, p100(reqtime) as most, sum(status), avg(status) as mean, count() as n, count() as m",
        &[r#"{"least":0.01,"most":2.5,"sum(status)":1606,"mean":321.2,"n":5,"m":5}"#],
    );
}

#[test]
fn dictionaries_tell_how_many_values_there_are() {
    let sources: Vec<Arc<dyn Source>> = vec![Arc::new(MemorySource::new("one", eight(), 3, Style::Sorted))];
    let (rows, stats) = rows_of(&sources, &request("* | stats count_distinct(app), count(ip), count() as n"));
    let expected = [r#"{"count_distinct(app)":3,"count(ip)":6,"n":8}"#];
    let found: Vec<String> = rows.iter().map(OutRow::to_json).collect();
    assert_eq!((found.as_slice(), stats.groups_scanned), (expected.map(str::to_owned).as_slice(), 3));
    let (rows, stats) =
        rows_of(&sources, &request("* | stats count_distinct(app), count(app), count_values(app), count() as n"));
    let expected = [r#"{"count_distinct(app)":3,"count(app)":8,"count_values(app)":8,"n":8}"#];
    let found: Vec<String> = rows.iter().map(OutRow::to_json).collect();
    assert_eq!((found.as_slice(), stats.groups_scanned), (expected.map(str::to_owned).as_slice(), 0));
    let (rows, stats) = rows_of(&sources, &request("* | stats values(app), min(app), max(app)"));
    assert_eq!(
        (rows[0].to_json().as_str(), stats.groups_scanned),
        (r#"{"values(app)":["blog","proxy","shop"],"min(app)":null,"max(app)":null}"#, 0)
    );
    let (_, stats) = rows_of(&sources, &request("* | stats count_distinct(ip), count(ip), count() as n"));
    assert_eq!((stats.groups_scanned, stats.rows_matched), (0, 8));
    check("* | stats count_distinct(ip), count(ip), count() as n", &[r#"{"count_distinct(ip)":4,"count(ip)":6,"n":8}"#]);
    check(
        "* | stats count_distinct(ip) as d by app",
        &[r#"{"app":"blog","d":1}"#, r#"{"app":"proxy","d":0}"#, r#"{"app":"shop","d":3}"#],
    );
    check(
        "* | stats count_distinct(app) as d by bin(4m)",
        &[r#"{"bin(4m)":"2015-05-17T10:00:00Z","d":2}"#, r#"{"bin(4m)":"2015-05-17T10:04:00Z","d":3}"#],
    );
}

#[test]
fn texts_computed_of_a_dictionary_are_bounded() {
    let rows: Vec<TestRow> =
        (0..100u64).map(|at| row(at, "m", OutValue::Str(format!("{at:0>1000}").into_bytes().into()))).collect();
    let doubled = " | eval m = concat(m, m)".repeat(9);
    for style in [Style::Sorted, Style::Text] {
        let sources: Vec<Arc<dyn Source>> = vec![Arc::new(MemorySource::new("one", rows.clone(), 50, style))];
        let ask = |pipes: &str| rows_of(&sources, &request(&format!("*{doubled}{pipes} | stats count(m) as n")));
        // 50 MB fit, of a group and of all.
        let (found, stats) = ask("");
        assert_eq!((found[0].to_json().as_str(), stats.partial), (r#"{"n":100}"#, false), "{style:?}");
        // 100 MB do not together, but group by group.
        let (found, stats) = ask(" | eval m = concat(m, \"!\", m)");
        assert_eq!((found[0].to_json().as_str(), stats.partial), (r#"{"n":100}"#, false), "{style:?}");
    }
    let sources: Vec<Arc<dyn Source>> = vec![Arc::new(MemorySource::new("one", rows, 100, Style::Sorted))];
    let query = format!("*{doubled} | eval m = concat(m, \"!\", m) | stats count(m) as n");
    let (found, stats) = rows_of(&sources, &request(&query));
    assert!(stats.partial && found[0].to_json() != r#"{"n":100}"#, "{stats:?} {found:?}");
}

#[test]
fn no_pipe_goes_on_once_nobody_listens() {
    let pipes = [
        "where app:shop",
        "stats count() by app",
        "timeseries count() by app",
        "top 3 app",
        "rare 3 app, ip",
        "dedup app",
        "patterns of message",
        "eval x = status + 1",
        "extract \"GET <path> \"",
        "sort -status",
    ];
    for pipe in pipes {
        let asked = request(&format!("* | limit 9 | {pipe}"));
        let rows = rows_of(&every_way()[0], &request("*")).0;
        let tail = &asked.query.pipes[1..];
        let cancel = cancel();
        assert!(table::run(rows.clone(), tail, &asked, &mut Stats::default(), &cancel).is_ok(), "{pipe}");
        cancel.cancel();
        let found = table::run(rows, tail, &asked, &mut Stats::default(), &cancel);
        assert_eq!(found, Err(QueryError::Cancelled), "{pipe}");
    }
}

#[test]
fn another_thread_is_begun_only_where_reading_takes_a_while() {
    let sources: Vec<Arc<dyn Source>> = vec![Arc::new(MemorySource::new("one", eight(), 3, Style::Sorted))];
    // The clock stands still: what takes a while here is nothing, or anything.
    for (alone, threads) in [(Duration::ZERO, 2), (Limits::default().alone, 1)] {
        let mut asked = request("*");
        asked.limits.alone = alone;
        let layers = Layers::new(&sources, &split(&asked).unwrap(), &asked);
        let cancel = cancel();
        let scan = Scan::new(&layers, &asked, &cancel);
        let order: Vec<usize> = (0..scan.work.len()).collect();
        let groups = scan.each_of_all(&order, || 0, |groups, _| *groups += 1).unwrap();
        assert_eq!((groups.len(), groups.iter().sum::<usize>()), (threads, 3));
    }
}
