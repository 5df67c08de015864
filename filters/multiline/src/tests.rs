//! The filter over a host that takes patterns as plain regular expressions: what grok's names mean is tested where they are defined.

use regex::bytes::Regex;
use sawbox_guest::testing::{Decision, Harness, Input, Outcome, Owned, Patterns, clear_state, set_patterns};

use crate::Multiline;

const SECOND: i64 = 1_000_000_000;

#[derive(Default)]
struct Host(Vec<Regex>);

impl Patterns for Host {
    fn compile(&mut self, _: u32, text: &str) -> i32 {
        let Ok(regex) = Regex::new(text) else { return -1 };
        self.0.push(regex);
        i32::try_from(self.0.len()).unwrap() - 1
    }

    fn describe(&mut self, handle: i32, out: &mut [u8]) -> i32 {
        let text: &[u8] = if handle < 0 { b"it is no expression" } else { b"" };
        out[..text.len()].copy_from_slice(text);
        i32::try_from(text.len()).unwrap()
    }

    fn find(&mut self, handle: i32, bytes: &[u8], _: &mut [u8]) -> i32 {
        if self.0[usize::try_from(handle).unwrap()].is_match(bytes) { 0 } else { -1 }
    }
}

fn harness(config: &str) -> Harness<Multiline> {
    clear_state();
    set_patterns(Box::<Host>::default());
    Harness::new(config).unwrap()
}

/// What each record gives: `-` where it is held, else the row's lines with `|` between and its origin.
fn shown(outcomes: &[Outcome]) -> Vec<String> {
    let line = |outcome: &Outcome| match (&outcome.decision, &outcome.joined) {
        (Decision::Hold, _) => "-".to_owned(),
        (Decision::Store, Some((origin, payload))) => {
            format!("{}@{origin}", String::from_utf8_lossy(payload).replace('\n', "|"))
        }
        other => format!("{other:?}"),
    };
    outcomes.iter().map(line).collect()
}

fn lines(lines: &[&str]) -> Vec<Input> {
    (0u64..).zip(lines).map(|(offset, line)| Input::new(line).at(offset).arrived(SECOND)).collect()
}

#[test]
fn lines_belong_together_as_logstash_and_filebeat_say() {
    let given = lines(&["b 1", " c", " c", "b 2", "b 3", " c"]);
    let previous = ["-", "-", "-", "b 1| c| c@2", "b 2@3", "-"];
    for config in [
        r#"{"starts": "^b"}"#,
        r#"{"continues": "^\\s"}"#,
        r#"{"preset": "indent"}"#,
        r#"{"pattern": "^b", "negate": true, "what": "previous"}"#,
        r#"{"pattern": "^b", "negate": true, "match": "after"}"#,
    ] {
        let mut harness = harness(config);
        assert_eq!(shown(&harness.run(&given)), previous, "{config}");
        assert_eq!(shown(&harness.expire(6 * SECOND - 1)), [""; 0], "{config}");
        assert_eq!(shown(&harness.expire(6 * SECOND)), ["b 3| c@5"], "{config}");
    }
    let given = lines(&["a \\", "b \\", "c", "d", "e \\"]);
    let next = ["-", "-", "a \\|b \\|c@2", "d@3", "-"];
    for config in
        [r#"{"pattern": "\\\\$", "what": "next"}"#, r#"{"pattern": "\\\\$", "match": "before"}"#, r#"{"ends": "[^\\\\]$"}"#]
    {
        let mut harness = harness(config);
        assert_eq!(shown(&harness.run(&given)), next, "{config}");
        assert_eq!(shown(&harness.expire(i64::MAX - 1)), ["e \\@4"], "{config}");
    }
}

#[test]
fn a_row_has_the_first_lines_fields_and_time_and_tells_what_it_is_made_of() {
    let mut harness = harness(r#"{"preset": "indent", "timeout": "2s"}"#);
    let with = |line: &str, offset: u64, seconds: i64, level: &str| {
        Input::new(line).at(offset).arrived(seconds * SECOND).field("host", "h").field("level", level).field("tags", "x")
    };
    let mut outcomes = harness.run(&[with("a", 10, 1, "error"), with(" b", 11, 2, "info"), with("c", 12, 3, "info")]);
    let row = outcomes.remove(2);
    assert_eq!(row.joined, Some((11, b"a\n b".to_vec())));
    assert_eq!((row.text("level"), row.text("host"), row.time_ns), (Some("error"), Some("h"), Some(SECOND)));
    assert_eq!((row.int("multiline.lines"), row.int("multiline.first_offset")), (Some(2), Some(10)));
    assert_eq!(row.all("tags"), [&Owned::from("x"), &Owned::from("multiline")]);
    // A line of its own is as it was.
    let single = harness.expire(5 * SECOND).remove(0);
    assert_eq!(single.joined, Some((12, b"c".to_vec())));
    assert_eq!((single.int("multiline.lines"), single.all("tags")), (None, vec![&Owned::from("x")]));
}

#[test]
fn sources_do_not_mix() {
    let mut harness = harness(r#"{"preset": "indent", "key": ["host", "file"]}"#);
    let of =
        |line: &str, host: &str, file: &str, offset: u64| Input::new(line).at(offset).field("host", host).field("file", file);
    let given =
        [of("a", "x", "1", 0), of("b", "x", "2", 1), of(" a", "x", "1", 2), of(" b", "x", "2", 3), of("c", "x", "1", 4)];
    assert_eq!(shown(&harness.run(&given)), ["-", "-", "-", "-", "a| a@2"]);
    // Of one deadline they come in the order of their keys.
    assert_eq!(shown(&harness.expire(5 * SECOND)), ["c@4", "b| b@3"]);
}

#[test]
fn limits_end_an_event() {
    let mut few = harness(r#"{"preset": "indent", "max_lines": 3}"#);
    let outcomes = few.run(&lines(&["a", " b", " c", " d", "e"]));
    assert_eq!(shown(&outcomes), ["-", "-", "a| b| c@2", "-", " d@3"]);
    assert!(outcomes[2].all("tags").contains(&&Owned::from("_multiline_max_lines")));
    let mut short = harness(r#"{"preset": "indent", "max_bytes": 64}"#);
    let long = format!(" {}", "x".repeat(80));
    let outcomes = short.run(&lines(&["a", &long, "b"]));
    assert_eq!(shown(&outcomes), ["-".to_owned(), format!("a|{long}@1"), "-".to_owned()]);
    assert!(outcomes[1].all("tags").contains(&&Owned::from("_multiline_max_bytes")));
}

#[test]
fn presets_know_stack_traces() {
    let java = [
        "2024-05-01 10:00:00 ERROR request failed",
        "java.lang.IllegalStateException: no pool",
        "\tat com.example.Pool.get(Pool.java:7)",
        "\t... 3 more",
        "Caused by: java.io.IOException",
        "\tat com.example.Net.open(Net.java:9)",
        "2024-05-01 10:00:01 INFO next",
    ];
    let python = [
        "ERROR:root:it broke",
        "Traceback (most recent call last):",
        "  File \"a.py\", line 1, in <module>",
        "    1 / 0",
        "ZeroDivisionError: division by zero",
        "",
        "During handling of the above exception, another exception occurred:",
        "",
        "Traceback (most recent call last):",
        "  File \"a.py\", line 3, in <module>",
        "app.errors.BadError",
        "INFO:root:next",
    ];
    for (preset, trace) in [("java", &java[..]), ("python", &python[..])] {
        let outcomes = harness(&format!(r#"{{"preset": "{preset}"}}"#)).run(&lines(trace));
        let (last, held) = outcomes.split_last().unwrap();
        assert!(held.iter().all(|outcome| outcome.decision == Decision::Hold), "{preset}: {:?}", shown(held));
        let whole = trace[..trace.len() - 1].join("\n").into_bytes();
        assert_eq!(last.joined, Some((trace.len() as u64 - 2, whole)), "{preset}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    set_patterns(Box::<Host>::default());
    for (config, says) in [
        ("{}", "preset"),
        (r#"{"preset": "cobol"}"#, "cobol"),
        (r#"{"starts": "a", "ends": "b"}"#, "only one"),
        (r#"{"starts": "a", "negate": true}"#, "negate"),
        (r#"{"pattern": "a", "what": "after", "match": "after"}"#, "give one"),
        (r#"{"pattern": "a", "what": "both"}"#, "neighbour"),
        (r#"{"pattern": "("}"#, "no expression"),
        (r#"{"pattern": "a", "timeout": "5 parsecs"}"#, "timeout"),
        (r#"{"pattern": "a", "timeout": 0}"#, "timeout"),
        (r#"{"pattern": "a", "max_lines": 1}"#, "max_lines"),
        (r#"{"pattern": "a", "max_bytes": 1}"#, "max_bytes"),
        (r#"{"pattern": "a", "flush": 1}"#, "flush"),
    ] {
        let error = Harness::<Multiline>::new(config).unwrap_err();
        assert!(error.contains(says), "{config}: {error}");
    }
}
