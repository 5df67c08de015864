//! Rows as programs write them, rows that are none, and a second reading of both.

use proptest::prelude::*;
use sawbox_guest::testing::{Decision, Harness, Input, Outcome, Owned};

use crate::Csv;
use crate::row::Reader;

fn show(outcome: &Outcome) -> String {
    let value = |value: &Owned| match value {
        Owned::Str(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => format!("{other:?}"),
    };
    outcome.fields.iter().map(|(name, field)| format!("{name}={}", value(field))).collect::<Vec<_>>().join("|")
}

fn run(config: &str, text: impl AsRef<[u8]>) -> Outcome {
    Harness::<Csv>::new(config).unwrap().one(text)
}

#[test]
fn rows() {
    for (config, text, expected) in [
        ("{}", "a,b,c", "column1=a|column2=b|column3=c"),
        ("{}", "a,,c", "column1=a|column3=c"),
        ("{}", "a,\"\",", "column1=a|column2="),
        (r#"{"skip_empty_columns": true}"#, "a,\"\",c", "column1=a|column3=c"),
        (r#"{"columns": ["x", "[y][z]"]}"#, "1,2,3", "x=1|y.z=2|column3=3"),
        (r#"{"columns": ["x"], "autogenerate_column_names": false}"#, "1,2,3", "x=1"),
        (r#"{"columns": ["x"], "target": "[row]"}"#, "1,2", "row.x=1|row.column2=2"),
        ("{}", "\"a,b\",\"say \"\"x\"\"\",c d", "column1=a,b|column2=say \"x\"|column3=c d"),
        ("{}", "\"two\nlines\",x\r\nnext row", "column1=two\nlines|column2=x"),
        ("{}", " a , b ", "column1= a |column2= b "),
        (r#"{"separator": ";"}"#, "a,b;c", "column1=a,b|column2=c"),
        (r#"{"separator": "\t"}"#, "a\tb", "column1=a|column2=b"),
        (r#"{"separator": "||"}"#, "a|b||\"c||d\"", "column1=a|b|column2=c||d"),
        (r#"{"quote_char": "'"}"#, "'a,b',\"c", "column1=a,b|column2=\"c"),
        (r#"{"quote_char": ""}"#, "\"a,b\"", "column1=\"a|column2=b\""),
        ("{}", "a\"b,c", "tags=_csvparsefailure"),
        ("{}", "\"a\"b,c", "tags=_csvparsefailure"),
        ("{}", "\"open", "tags=_csvparsefailure"),
        ("{}", "", "tags=_csvparsefailure"),
        (r#"{"skip_empty_rows": true}"#, " \n", "tags=_csvskippedemptyfield"),
        (r#"{"tag_on_failure": ["x", "y"]}"#, "\"", "tags=x|tags=y"),
        (r#"{"add_tag": "%{column2}", "remove_field": "column1"}"#, "a,b", "column2=b|tags=b"),
        (
            r#"{"columns": ["i", "f", "b", "d"], "convert": {"i": "integer", "f": "float", "b": "boolean", "d": "date", "column5": "integer"}}"#,
            "12,1.5,TRUE,2015-05-17,7",
            "i=Int(12)|f=Float(1.5)|b=Bool(true)|d=2015-05-17T00:00:00Z|column5=Int(7)",
        ),
        (
            r#"{"columns": ["i", "f", "b", "d"], "convert": {"i": "integer", "f": "float", "b": "boolean", "d": "date_time"}}"#,
            "12.5,x,yes,2015-05-17 10:05:03+02:00",
            "i=12.5|f=x|b=yes|d=2015-05-17T08:05:03Z",
        ),
    ] {
        assert_eq!(show(&run(config, text)), expected, "{config} {text}");
    }
}

#[test]
fn headers_are_dropped_where_they_are_wanted_gone() {
    let config = r#"{"columns": ["at", "item"], "skip_header": true}"#;
    assert_eq!(run(config, "at,item").decision, Decision::Drop);
    assert_eq!(run(config, "\"at\",item\r\n").decision, Decision::Drop);
    assert_eq!(run(config, "at,item,more").decision, Decision::Store);
    assert_eq!(show(&run(config, "1,2")), "at=1|item=2");
    let mut filter = Harness::<Csv>::new(r#"{"source": "row"}"#).unwrap();
    assert_eq!(show(&filter.one("a,b")), "");
    assert_eq!(show(&filter.run(&[Input::new("a").field("row", "x,y")])[0]), "row=x,y|column1=x|column2=y");
}

#[test]
fn slices_are_not_copied() {
    let config = r#"{"columns": ["a", "b"]}"#;
    assert_eq!(run(config, "x,\"y,z\"").built_bytes, 0);
    assert_eq!(run(config, "x,\"y\"\"z\"").built_bytes, 3);
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (config, says) in [
        (r#"{"autodetect_column_names": true}"#, "Give `columns`"),
        (r#"{"skip_header": true}"#, "columns"),
        (r#"{"separator": ""}"#, "separator"),
        (r#"{"separator": "\""}"#, "separator"),
        (r#"{"quote_char": "ab"}"#, "quote_char"),
        (r#"{"convert": {"x": "integer"}}"#, "no column"),
        (r#"{"columns": ["x"], "convert": {"x": "int"}}"#, "integer"),
        (r#"{"columns": ["_offset"]}"#, "_offset"),
        (r#"{"column": ["x"]}"#, "column"),
    ] {
        let error = Harness::<Csv>::new(config).unwrap_err();
        assert!(error.contains(says), "{config}: {error}");
    }
    assert!(Harness::<Csv>::new(r#"{"autodetect_column_names": false}"#).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// What a writer of RFC 4180 writes is read as it was.
    #[test]
    fn what_is_written_is_read(cells in proptest::collection::vec(("[a-z,\"\n ]{0,6}", any::<bool>()), 1..8)) {
        let written: Vec<String> = cells.iter().map(|(cell, quote)| {
            let needs = *quote || cell.contains([',', '"', '\n']);
            if needs { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.clone() }
        }).collect();
        let text = written.join(",");
        let mut reader = Reader::new(",", "\"");
        prop_assert!(reader.read(text.as_bytes()).is_ok());
        let got: Vec<_> = reader.cells.iter().map(|cell| String::from_utf8(reader.text(text.as_bytes(), cell).to_vec()).unwrap()).collect();
        let expected: Vec<_> = cells.into_iter().map(|(cell, _)| cell).collect();
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn no_bytes_panic(text in "[a,\"\r\n;|é]{0,40}", tail in proptest::collection::vec(any::<u8>(), 0..10)) {
        let mut bytes = text.into_bytes();
        bytes.extend(tail);
        for config in ["{}", r#"{"separator": "||", "quote_char": "é"}"#, r#"{"quote_char": "", "convert": {"column2": "date"}}"#] {
            run(config, &bytes);
        }
    }
}
