//! One page after the other is the whole list, whatever rows have and whatever they are sorted by.

use std::cmp::Ordering;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::base::predicate::Predicate;
use crate::base::row::TIME;
use crate::store::query::{OutRow, OutValue, Pipe};
use crate::web::elastic::order::{Order, of_value};

const MS: i64 = 1_000_000;
const BEGIN: i64 = 1_704_067_200_000 * MS;

/// Strings that read as numbers in several spellings, that stand around booleans, and others.
const STRINGS: [&str; 22] = [
    "1.1",
    "1.10",
    "1.2",
    "2.0",
    "2",
    "007",
    "7",
    "7.0",
    "1.00",
    "0x",
    "",
    "true",
    "false",
    "timeout",
    "falsehood",
    "trUe",
    "10.0.0.1",
    "-5",
    "1e300",
    "9223372036854775807",
    "Ünï",
    "\u{10ffff}",
];

fn string(text: &str) -> Box<[u8]> {
    text.as_bytes().into()
}

fn value() -> impl Strategy<Value = OutValue> {
    let list = |items: &'static [&'static str]| {
        proptest::collection::vec(select(items), 1..4).prop_map(|items| OutValue::List(items.into_iter().map(string).collect()))
    };
    prop_oneof![
        2 => Just(OutValue::Null),
        2 => any::<bool>().prop_map(OutValue::Bool),
        3 => (-3i64..10).prop_map(OutValue::Int),
        1 => (i64::MAX - 2..=i64::MAX).prop_map(OutValue::Int),
        1 => ((1i64 << 53)..(1 << 53) + 3).prop_map(OutValue::Int),
        3 => select(&[0.1, 0.30000000000000004, 3.9000000000000004, 5.5, 7.0, -0.0, 1.1, 9007199254740992.0, 1e19][..])
            .prop_map(OutValue::Float),
        2 => proptest::num::f64::NORMAL.prop_map(OutValue::Float),
        6 => select(&STRINGS[..]).prop_map(|text| OutValue::Str(string(text))),
        1 => list(&["3", "10", "7.0", "007", "-5"]),
        1 => list(&["true", "timeout", "a", "", "Ünï"]),
    ]
}

fn rows() -> impl Strategy<Value = Vec<OutRow>> {
    let row = (0i64..3 * MS, 0i64..3, value(), value());
    proptest::collection::vec(row, 0..16).prop_map(|rows| {
        let row = |(offset, (ns, some, v, w)): (usize, (i64, i64, OutValue, OutValue))| {
            // Some of one instant, some of one millisecond.
            let time = BEGIN + if some == 0 { ns / MS * MS } else { ns };
            let fields = [
                (TIME, OutValue::Time(time)),
                ("_topic", OutValue::Str(string("t"))),
                ("_partition", OutValue::Int(some)),
                ("_offset", OutValue::Int(i64::try_from(offset).unwrap())),
                ("_n", OutValue::Int(0)),
                ("g", OutValue::Int(some)),
                ("v", v),
                ("w", w),
            ];
            let fields = fields.into_iter().filter(|(_, value)| *value != OutValue::Null);
            OutRow { fields: fields.map(|(name, value)| (name.into(), value)).collect() }
        };
        rows.into_iter().enumerate().map(row).collect()
    })
}

fn sort() -> impl Strategy<Value = Value> {
    let order = || select(&["asc", "desc"][..]);
    let formats = ["strict_date_optional_time_nanos", "epoch_millis", "epoch_second", "yyyy-MM-dd", "HH:mm"];
    let key = prop_oneof![
        3 => (select(&["v", "w", "g"][..]), order()).prop_map(|(name, order)| json!({ name: order })),
        1 => (select(&["v", "w"][..]), order(), select(&["min", "max"][..]))
            .prop_map(|(name, order, mode)| json!({ name: { "order": order, "mode": mode } })),
        2 => order().prop_map(|order| json!({ "@timestamp": order })),
        1 => (order(), select(formats.to_vec()))
            .prop_map(|(order, format)| json!({ "@timestamp": { "order": order, "format": format } })),
        1 => Just(json!("_doc")),
    ];
    (proptest::collection::vec(key, 1..4), any::<bool>()).prop_map(|(mut keys, missing_first)| {
        if missing_first && keys[0].get("v").is_some() {
            keys[0] = json!({ "v": { "order": keys[0]["v"], "missing": "_first" } });
            if !keys[0]["v"]["order"].is_string() {
                keys[0] = json!({ "v": { "missing": "_first" } });
            }
        }
        keys.into()
    })
}

/// Where a row lies among all.
fn place(row: &OutRow) -> Vec<i64> {
    let number = |name: &str| match row.get(name) {
        Some(OutValue::Int(number) | OutValue::Time(number)) => *number,
        _ => 0,
    };
    [TIME, "_partition", "_offset", "_n"].map(number).to_vec()
}

/// What a search finds, as the engine orders it.
fn found(rows: &[OutRow], order: &Order, predicate: &Predicate) -> Vec<OutRow> {
    let (queries, newest_first) = order.queries(predicate);
    let mut all = Vec::new();
    for query in queries {
        let mut some: Vec<&OutRow> = rows.iter().filter(|row| row.passes(&query.predicate)).collect();
        let keys = match query.pipes.as_slice() {
            [Pipe::Sort(keys)] => keys.as_slice(),
            _ => &[],
        };
        some.sort_by(|a, b| {
            let orders = keys.iter().map(|key| {
                let view = |row: &&OutRow| row.get(&key.field).cloned().unwrap_or(OutValue::Null);
                key.of_value(&view(a)).order_in(&key.of_value(&view(b)), key.descending)
            });
            let by_place = place(a).cmp(&place(b));
            orders.fold(Ordering::Equal, Ordering::then).then(if newest_first { by_place.reverse() } else { by_place })
        });
        all.extend(some.into_iter().cloned());
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pages_are_the_whole_list(rows in rows(), sort in sort(), size in 1usize..4) {
        let mut order = of_value(&sort, 0).unwrap();
        order.whole();
        let whole = found(&rows, &order, &Predicate::All);
        prop_assert_eq!(whole.len(), rows.len());
        let (mut paged, mut predicate): (Vec<OutRow>, _) = (Vec::new(), Predicate::All);
        while paged.len() <= rows.len() {
            let page = found(&rows, &order, &predicate);
            let Some(last) = page.iter().take(size).next_back() else { break };
            // As a client reads it and sends it back.
            let last: Vec<Value> = serde_json::from_str(&Value::from(order.values(last)).to_string()).unwrap();
            predicate = order.after(&last, 0).unwrap();
            paged.extend(page.into_iter().take(size));
        }
        prop_assert_eq!(paged, whole, "{}", sort);
    }

    #[test]
    fn numbers_of_requests_are_what_was_written(number in proptest::num::f64::NORMAL) {
        let read: Value = serde_json::from_str(&json!({ "term": { "v": number } }).to_string()).unwrap();
        prop_assert_eq!(read["term"]["v"].as_f64(), Some(number));
    }
}
