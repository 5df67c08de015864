//! Lists: where they are one value, and where they stay whole.

use super::memory::{MemorySource, Style, TestRow};
use super::*;
use crate::store::query::OutValue;

#[test]
fn a_list_is_no_string_of_the_same_bytes() {
    let value = |at: i64, tags: OutValue| TestRow {
        time: TEN + at,
        partition: 0,
        offset: at.unsigned_abs(),
        n: 0,
        fields: vec![("tags", tags)],
    };
    let list = OutValue::List(vec![(*b"x").into()]);
    let text = OutValue::Str((*b"\x01x").into());
    let rows = vec![value(0, list.clone()), value(1, text.clone()), value(2, list), value(3, text)];
    for style in [Style::Sorted, Style::PerGroup, Style::Text] {
        for group_rows in [1, 4] {
            let sources: Vec<Arc<dyn Source>> = vec![Arc::new(MemorySource::new("one", rows.clone(), group_rows, style))];
            for query in ["* | dedup tags | fields tags", "* | limit 9 | dedup tags | fields tags"] {
                let found: Vec<String> = rows_of(&sources, &request(query)).0.iter().map(OutRow::to_json).collect();
                assert_eq!(found, [r#"{"tags":"\u0001x"}"#, r#"{"tags":["x"]}"#], "{query} {style:?}");
            }
        }
    }
}
