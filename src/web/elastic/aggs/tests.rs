//! What is refused, by name, and what the calendar makes of steps. What aggregations answer is tested over a box.

use proptest::prelude::*;
use sawbox_guest::time::Zone;
use serde_json::{Value, json};

use super::bins::{Dates, Step};
use super::parse;
use crate::base::time;
use crate::store::query::Rounding;
use crate::web::elastic::calendar::{SECOND, Unit};

#[test]
fn what_is_not_supported_is_named() {
    let refused = |aggs: Value, name: &str| {
        let why = parse(&aggs, 0).unwrap_err();
        assert!(why.contains(name), "{aggs}: {why}");
    };
    refused(json!({ "a": { "significant_terms": { "field": "x" } } }), "significant_terms");
    refused(json!({ "a": { "nested": { "path": "x" } } }), "nested");
    refused(json!({ "a": { "terms": { "field": "x", "sizzle": 1 } } }), "sizzle");
    refused(json!({ "a": { "terms": { "field": "x", "order": { "_count": "up" } } } }), "up");
    refused(json!({ "a": { "terms": { "field": "x", "size": 0 } } }), "size");
    let histogram = json!({ "field": "@timestamp", "fixed_interval": "1d", "order": { "_key": "up" } });
    refused(json!({ "a": { "date_histogram": histogram } }), "`order`");
    refused(json!({ "a": { "terms": { "script": "doc.x" } } }), "script");
    refused(json!({ "a": { "terms": { "field": "x", "include": "~(web)" } } }), "operator `~`");
    refused(json!({ "a": { "terms": { "field": "x", "exclude": "a|<1-9>" } } }), "`exclude`: the operator `<`");
    refused(json!({ "a": { "date_histogram": { "field": "@timestamp", "calendar_interval": "2M" } } }), "2M");
    refused(json!({ "a": { "date_histogram": { "field": "born", "fixed_interval": "1d" } } }), "@timestamp");
    refused(
        json!({ "a": { "date_histogram": { "field": "@timestamp", "fixed_interval": "1d", "time_zone": "Mars" } } }),
        "Mars",
    );
    let narrow =
        json!({ "field": "@timestamp", "fixed_interval": "1ms", "extended_bounds": { "min": 0, "max": 1_000_000_000 } });
    refused(json!({ "a": { "date_histogram": narrow } }), "buckets");
    let wide = json!({ "min": -9_223_372_036_854i64, "max": 9_223_372_036_854i64 });
    let all = json!({ "field": "@timestamp", "fixed_interval": "1h", "extended_bounds": wide });
    refused(json!({ "a": { "date_histogram": all } }), "buckets");
    refused(json!({ "a": { "avg": { "field": "x" }, "max": { "field": "x" } } }), "one aggregation");
    refused(json!({ "a": { "avg": { "field": "x" }, "aggs": { "b": { "max": { "field": "x" } } } } }), "figure");
    refused(json!({ "a": { "avg": { "field": "x", "script": "_value * 2" } } }), "script");
    refused(json!({ "a": { "derivative": { "buckets_path": "b" } } }), "within buckets");
    refused(json!({ "a": { "rate": { "unit": "hour" } } }), "date_histogram");
    let script = |script: &str| json!({ "h": { "histogram": { "field": "x", "interval": 1 }, "aggs": { "s": { "bucket_script": { "buckets_path": { "a": "_count" }, "script": script } } } } });
    refused(script("Math.log(params.a)"), "Math.log");
    assert!(parse(&script("params.a * 2"), 0).is_ok());
    refused(json!({ "a>b": { "avg": { "field": "x" } } }), "a>b");
    let sums = |first: &str, second: &str| {
        json!({ "h": { "histogram": { "field": "x", "interval": 1 }, "aggs": {
        "a": { "cumulative_sum": { "buckets_path": first } }, "b": { "cumulative_sum": { "buckets_path": second } } } } })
    };
    refused(sums("b", "a"), "circle");
    refused(sums("_count", "c"), "`c`");
    assert!(parse(&sums("b", "_count"), 0).is_ok());
}

#[test]
fn paths_lead_to_figures() {
    let figures = json!({
        "c": { "avg": { "field": "x" } },
        "a.b": { "max": { "field": "x" } },
        "s": { "extended_stats": { "field": "x" } },
        "p": { "percentiles": { "field": "x", "percents": [95, 99.9] } },
        "r": { "percentile_ranks": { "field": "x", "values": [10], "keyed": false } },
        "m": { "top_metrics": { "metrics": [{ "field": "x" }], "sort": "x" } },
        "h": { "top_hits": {} },
        "t": { "terms": { "field": "y" }, "aggs": { "c": { "sum": { "field": "x" } } } },
        "f": { "filter": { "match_all": {} }, "aggs": { "c": { "sum": { "field": "x" } } } },
    });
    let with = |kind: &str, body: Value, pipelines: Value| {
        let mut inside = figures.clone();
        inside.as_object_mut().unwrap().extend(pipelines.as_object().unwrap().clone());
        parse(&json!({ "a": { kind: body, "aggs": inside } }), 0).map(|_| ())
    };
    let order = |path: &str| with("terms", json!({ "field": "y", "order": { path: "asc" } }), json!({}));
    let sum = |path: &str| {
        let more = json!({ "o": { "cumulative_sum": { "buckets_path": path } }, "d": { "derivative": { "buckets_path": "c", "unit": "1s" } } });
        with("histogram", json!({ "field": "y", "interval": 1 }), more)
    };
    let select = |path: &str| {
        let script = json!({ "buckets_path": { "v": path }, "script": "params.v > 1" });
        with("terms", json!({ "field": "y" }), json!({ "o": { "bucket_selector": script } }))
    };
    let sort =
        |path: &str| with("terms", json!({ "field": "y" }), json!({ "o": { "bucket_sort": { "sort": [{ path: "desc" }] } } }));
    let beside = |path: &str| {
        let inside = json!({ "a": { "terms": { "field": "y" }, "aggs": figures }, "o": { "avg_bucket": { "buckets_path": format!("a>{path}") } } });
        parse(&inside, 0).map(|_| ())
    };
    type Check<'c> = &'c dyn Fn(&str) -> Result<(), String>;
    let all: [(&str, Check<'_>); 5] =
        [("order", &order), ("sum", &sum), ("select", &select), ("sort", &sort), ("beside", &beside)];
    for (what, check) in all {
        for path in [
            "_count",
            "c",
            "c.value",
            "a.b",
            "s.max",
            "s[std_deviation]",
            "s.std_upper",
            "s.std_deviation_bounds.lower",
            "p[95]",
            "p.99.9",
            "p[95.0]",
            "r.10",
            "m[x]",
            "f",
            "f>c",
            "f>_count",
            "f._count",
            "t._bucket_count",
            "t['one']>c",
        ] {
            assert_eq!(check(path), Ok(()), "{what} {path}");
        }
        for path in [
            "nosuch",
            "_kount",
            "c.foo",
            "c>d",
            "c>_count",
            "s",
            "s.foo",
            "p",
            "p[98]",
            "m",
            "m[y]",
            "h",
            "h.hits",
            "t",
            "t>c",
            "f>d",
            "f['one']>c",
            "d.nosuch",
            "o",
        ] {
            assert!(check(path).is_err(), "{what} {path}");
        }
    }
    assert!(order("nosuch").is_err_and(|why| why.contains("`a`") && why.contains("`nosuch`")));
    assert!(sum("c.foo").is_err_and(|why| why.contains("`o`") && why.contains("`c.foo`")));
    assert!(sort("_key").is_ok() && sum("d").is_ok() && sum("d.normalized_value").is_ok() && order("d").is_err());
    let alone =
        |path: &str| parse(&json!({ "c": { "avg": { "field": "x" } }, "o": { "sum_bucket": { "buckets_path": path } } }), 0);
    assert!(alone("c").is_err() && alone("nosuch>c").is_err());
}

const HOUR: i64 = 3600 * SECOND;

fn steps(step: Step, zone: &str, offset: i64) -> Dates {
    Dates { step, zone: Zone::by_name(zone).unwrap(), offset }
}

/// Where the engine has steps begin, from one instant to another, and as each is found by itself.
fn check_steps(dates: &Dates, from: &str, to: &str, expected: &[&str]) {
    let at = |text: &str| time::parse(text).unwrap();
    let key = dates.key("k", (at(from), at(to))).unwrap();
    let Some(Rounding::Edges(edges)) = key.rounding else { panic!("{dates:?} has steps of equal length") };
    let expected: Vec<i64> = expected.iter().map(|start| at(start)).collect();
    let shown = |edges: &[i64]| edges.iter().map(|ns| time::format(*ns)).collect::<Vec<_>>();
    assert_eq!(shown(&edges), shown(&expected), "{dates:?}");
    for pair in edges.windows(2) {
        assert_eq!([dates.floor(pair[0]), dates.floor(pair[1] - 1), dates.next(pair[0])], [pair[0], pair[0], pair[1]]);
    }
}

#[test]
fn steps_follow_the_clocks_of_a_zone() {
    let day = steps(Step::of(Unit::Day), "Africa/Cairo", 0);
    let days = [
        "2024-04-24T22:00:00Z",
        "2024-04-25T22:00:00Z",
        "2024-04-26T21:00:00Z",
        "2024-04-27T21:00:00Z",
        "2024-04-28T21:00:00Z",
    ];
    check_steps(&day, "2024-04-25T10:00:00Z", "2024-04-28T21:30:00Z", &days);
    // A day of 25 hours is one step, of 24 hours or of the calendar.
    for step in [Step::Fixed(24 * HOUR), Step::of(Unit::Day)] {
        let days = ["2024-10-25T22:00:00Z", "2024-10-26T22:00:00Z", "2024-10-27T23:00:00Z", "2024-10-28T23:00:00Z"];
        check_steps(&steps(step, "Europe/Berlin", 0), "2024-10-26T00:00:00Z", "2024-10-29T00:00:00Z", &days);
        let days = ["2024-10-26T04:00:00Z", "2024-10-27T04:00:00Z", "2024-10-28T05:00:00Z"];
        check_steps(&steps(step, "Europe/Berlin", 6 * HOUR), "2024-10-26T04:00:00Z", "2024-10-28T06:00:00Z", &days);
    }
    let halves = ["2024-10-26T10:00:00Z", "2024-10-26T22:00:00Z", "2024-10-27T11:00:00Z", "2024-10-27T23:00:00Z"];
    let berlin = |step: Step| steps(step, "Europe/Berlin", 0);
    check_steps(&berlin(Step::Fixed(12 * HOUR)), "2024-10-26T11:00:00Z", "2024-10-28T00:00:00Z", &halves);
    let halves = ["2024-03-30T11:00:00Z", "2024-03-30T23:00:00Z", "2024-03-31T10:00:00Z", "2024-03-31T22:00:00Z"];
    check_steps(&berlin(Step::Fixed(12 * HOUR)), "2024-03-30T11:00:00Z", "2024-03-31T23:00:00Z", &halves);
    // The hour that occurs twice is two, of both kinds.
    for step in [Step::Fixed(HOUR), Step::of(Unit::Hour)] {
        let hours = ["2024-10-26T23:00:00Z", "2024-10-27T00:00:00Z", "2024-10-27T01:00:00Z", "2024-10-27T02:00:00Z"];
        check_steps(&berlin(step), "2024-10-26T23:10:00Z", "2024-10-27T02:10:00Z", &hours);
    }
    // A change by half an hour makes an hour of one and a half.
    let hours = ["2024-04-06T13:00:00Z", "2024-04-06T14:00:00Z", "2024-04-06T15:30:00Z", "2024-04-06T16:30:00Z"];
    check_steps(&steps(Step::of(Unit::Hour), "Australia/Lord_Howe", 0), "2024-04-06T13:10:00Z", "2024-04-06T17:00:00Z", &hours);
    // Two steps that the change makes short: 01:30 to 02:00, which is 03:00, and from there to 03:20.
    let short = ["2024-03-31T00:30:00Z", "2024-03-31T01:00:00Z", "2024-03-31T01:20:00Z"];
    check_steps(&berlin(Step::Fixed(55 * 60 * SECOND)), "2024-03-31T00:40:00Z", "2024-03-31T02:00:00Z", &short);
}

#[test]
fn steps_without_rows_are_no_buckets() {
    let year = (time::parse("2024-01-01T00:00:00Z").unwrap(), time::parse("2025-01-01T00:00:00Z").unwrap());
    let minutes = steps(Step::of(Unit::Minute), "Europe/Berlin", 0);
    let Some(Rounding::Edges(edges)) = minutes.key("k", year).unwrap().rounding else { panic!("equal") };
    assert_eq!(edges.len(), 366 * 24 * 60 + 1);
    let seconds = steps(Step::of(Unit::Second), "Europe/Berlin", 0);
    assert!(seconds.key("k", year).is_err_and(|why| why.contains("interval")));
}

proptest! {
    #[test]
    fn steps_lie_beside_one_another(
        ns in proptest::num::i64::ANY,
        zone in proptest::sample::select(&["Europe/Berlin", "Africa/Cairo", "Australia/Lord_Howe", "Pacific/Apia"][..]),
        step in proptest::sample::select(vec![Step::Fixed(30 * 60 * SECOND), Step::Fixed(HOUR), Step::Fixed(24 * HOUR), Step::of(Unit::Week)]),
        offset in -100 * HOUR..100 * HOUR,
    ) {
        let dates = steps(step, zone, offset);
        let start = dates.floor(ns);
        let next = dates.next(start);
        // At the ends of time there is no next.
        if ns.checked_add(1000 * HOUR).is_some() && ns.checked_sub(1000 * HOUR).is_some() {
            prop_assert!(start <= ns && ns < next, "{dates:?} {start} {ns} {next}");
            prop_assert_eq!((dates.floor(start), dates.floor(next - 1), dates.floor(next)), (start, start, next));
        }
    }
}
