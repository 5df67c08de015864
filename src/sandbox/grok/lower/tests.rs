//! The lowered form answers as the automaton does: on random expressions and texts, and on the standard names.

use proptest::prelude::*;

use super::super::{Custom, Flavour, automaton, expand, patterns, syntax};
use super::program::Op;
use super::{Lowered, Outcome};

/// All captures of a search, the whole match first.
type Captures = Option<Vec<Option<(usize, usize)>>>;

fn by_automaton(regex: &regex::bytes::Regex, text: &[u8]) -> Captures {
    let captures = regex.captures(text)?;
    Some((1..captures.len()).map(|group| captures.get(group).map(|found| (found.start(), found.end()))).collect())
}

/// As the automaton, if it gives an answer at all.
fn lowered_agrees(lowered: &Lowered, regex: &regex::bytes::Regex, text: &[u8]) -> Result<Outcome, String> {
    let mut memory = lowered.memory();
    let outcome = lowered.search(text, &mut memory);
    let ours: Captures = match outcome {
        Outcome::GaveUp => return Ok(outcome),
        Outcome::NotFound => None,
        Outcome::Found => Some((1..regex.captures_len()).map(|group| memory.get(group)).collect()),
    };
    let theirs = by_automaton(regex, text);
    if ours == theirs { Ok(outcome) } else { Err(format!("{regex} on {text:?}: {ours:?}, the automaton says {theirs:?}")) }
}

/// The automaton finds what is not there where a crate makes the regex crate's `dfa-build` part of the program (0.4.19).
#[test]
fn one_colon_is_not_two() {
    for (expression, text, found) in [
        (r"[ab]:(?:\\.|[^:\\])*:", "\naa:", false),
        (r"[ab]:(?:\\.|[^:\\])*:", "\naa::", true),
        (r"[ab]:[^:]*:", "\naa:", false),
        (r"(?s-u)(?:^|[^0-9A-Za-z_])?5.*?5", "10.0.0.5", false),
    ] {
        assert_eq!(automaton(expression, false).unwrap().is_match(text.as_bytes()), found, "{expression} in {text:?}");
    }
}

/// Expressions over a small alphabet, with everything that can be lowered, and some that cannot.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => "[abc:]",
        2 => prop::sample::select(vec!["ab", "a:b", "[ab]", "[^a]", "[^:a]", r"\w", r"\W", ".", r"(?:\\.|[^:\\])*", "[bc:]"]).prop_map(String::from),
        1 => prop::sample::select(vec!["(?:(?:[ab]{1,2}:){2}c|[ab]{1,2}:b|:|a)", "(?:([ab]{1,3}):a|[ab]{1,3}:c|b?)"]).prop_map(String::from),
        1 => prop::sample::select(vec!["(?:ab|abc|c[ab]?|b{2})", "(?:[ab]{2}|[ab])", "(?:a?b?c|a)", r"\S", r"\S+ ", "(abc):(?:a|bb)"]).prop_map(String::from),
        1 => prop::sample::select(vec![r"\b", r"\B", "^", "$", r"\A", r"\z", "", "(?i:aB)", r"\b{start}", r"\b{end}"]).prop_map(String::from),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        let repeat = prop::sample::select(vec!["*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{0,2}?", "{2,}", "{1,}?"]);
        prop_oneof![
            4 => prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            2 => prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("(?:{})", parts.join("|"))),
            3 => (inner.clone(), repeat).prop_map(|(part, repeat)| format!("(?:{part}){repeat}")),
            3 => inner.prop_map(|part| format!("({part})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn random_expressions_mean_what_the_automaton_says(
        expression in expression(),
        texts in prop::collection::vec("[abc:\\\\\n é]{0,12}|[abc:]{12,40} ?a?", 1..6),
    ) {
        let Ok(regex) = automaton(&expression, false) else { return Ok(()) };
        let Some(lowered) = Lowered::new(&expression) else { return Ok(()) };
        for text in texts {
            lowered_agrees(&lowered, &regex, text.as_bytes()).map_err(TestCaseError::fail)?;
        }
    }
}

/// More with `SAWBOX_SEEDS`.
fn cases() -> u32 {
    std::env::var("SAWBOX_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(2_000)
}

fn both(expression: &str) -> (regex::bytes::Regex, Option<Lowered>) {
    let expanded = expand::expand(expression, &Custom::new(), Flavour::Legacy).unwrap();
    let parts = syntax::translate(&expanded, syntax::Units::Bytes).unwrap();
    (automaton(&parts.superset, false).unwrap(), Lowered::new(&parts.superset))
}

const LINES: [&str; 6] = [
    r#"83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /presentations/logstash/kibana-search.png HTTP/1.1" 200 203023 "http://semicomplete.com/" "Mozilla/5.0 (\"x\" Intel) Safari/537.36""#,
    "Dec 23 14:30:01 louis CRON[619]: (www-data) CMD (php /usr/share/cacti/site/poller.php >/dev/null 2>/var/log/cacti/poller-error.log)",
    "2013-08-22T14:03:30.123+02:00 host app[12]: key=value other=\"quoted text\" 10.1.2.3:443 fe80::1%eth0 user@example.org",
    "2016-11-10 16:34:21,123 ERROR [main] org.example.App - failed\n\tat org.example.App.run(App.java:12)",
    "%ASA-4-106023: Deny tcp src inside:10.0.0.1/1234 dst outside:203.0.113.9/80 by access-group \"acl\" [0x0, 0x0]",
    "",
];

#[test]
fn standard_names_mean_what_the_automaton_says() {
    let (mut lowered_names, mut answers, mut gave_up) = (0, 0, 0);
    let names = patterns::names(Flavour::Legacy);
    for name in &names {
        let (regex, lowered) = both(&format!("%{{{name}:x}}"));
        let Some(lowered) = lowered else { continue };
        lowered_names += 1;
        for line in LINES {
            // Cut and changed in places, so that most of an expression matches and then something does not.
            for cut in (0..=line.len()).step_by(7) {
                let mut text = line.as_bytes().to_vec();
                text.truncate(line.len() - cut);
                if let Some(byte) = text.get_mut(cut / 2) {
                    *byte ^= 1;
                }
                answers += 1;
                match lowered_agrees(&lowered, &regex, &text) {
                    Ok(Outcome::GaveUp) => gave_up += 1,
                    Ok(_) => {}
                    Err(why) => panic!("{name}: {why}"),
                }
            }
        }
    }
    assert!(lowered_names * 10 > names.len() * 9, "{lowered_names} of {} names are lowered", names.len());
    assert!(gave_up * 50 < answers, "{gave_up} of {answers} searches gave up");
}

#[test]
fn what_everybody_uses_is_lowered_and_finds() {
    for name in
        ["COMBINEDAPACHELOG", "COMMONAPACHELOG", "SYSLOGBASE", "SYSLOGLINE", "HAPROXYHTTP", "ELB_ACCESS_LOG", "S3_ACCESS_LOG"]
    {
        assert!(both(&format!("%{{{name}}}")).1.is_some(), "{name}");
    }
    let (regex, lowered) = both("%{COMBINEDAPACHELOG}");
    assert_eq!(lowered_agrees(&lowered.unwrap(), &regex, LINES[0].as_bytes()), Ok(Outcome::Found));
}

#[test]
fn a_choice_is_read_at_once_where_what_follows_tells_its_length() {
    let words = |expression: &str| {
        let program = both(expression).1.unwrap().program;
        let steps = program.ops.iter().filter(|op| matches!(op, Op::Words { .. }));
        (steps.count(), program.words.len())
    };
    assert_eq!(words("%{IPV4}:"), (4, 1), "an octet is an octet");
    assert!(words("%{HTTPDATE}").0 >= 5, "day, month, year, hour, second");
    assert_eq!(words("(?:a|ab)b").0, 0, "the first way may be too short");
    assert_eq!(words("(?:a|ab)+").0, 0, "it may follow itself");
    assert_eq!(words("(?:a|ab)").0, 0, "nothing says where it ends");
    for (expression, text) in [("(a|ab)b", "ab"), ("(?:a|ab)(c)", "abc"), ("(?:(?:[ab]|b[ab]c)d|x)(:)", "xbacdbd:")] {
        let (regex, lowered) = both(expression);
        assert_eq!(lowered_agrees(&lowered.unwrap(), &regex, text.as_bytes()), Ok(Outcome::Found), "{expression}");
    }
}

#[test]
fn what_goes_round_over_nothing_is_left_to_the_automaton() {
    for expression in ["(?:a*)*", "(?:a|b?)+x"] {
        assert!(Lowered::new(expression).is_none(), "{expression}");
    }
}

#[test]
fn a_text_made_to_go_back_and_forth_is_given_up_soon() {
    let lowered = Lowered::new("(?:[ab]+[ab]+)+c").unwrap();
    let mut memory = lowered.memory();
    let text = [b"ab".repeat(2_000), b"c".to_vec(), b"d".to_vec()].concat();
    assert_eq!(lowered.search(&text, &mut memory), Outcome::Found);
    let text = [b"ab".repeat(200), b"d".to_vec(), b"ab".repeat(200)].concat();
    assert_eq!(lowered.search(&text, &mut memory), Outcome::GaveUp);
    for _ in 0..100 {
        lowered.search(&text, &mut memory);
    }
    assert!(memory.is_unlucky(), "it stops trying what it always gives up");
}

#[test]
fn a_run_that_is_looked_at_again_from_every_byte_is_given_up_soon() {
    let text = "a".repeat(1 << 20);
    for expression in ["[a-z]+:", "[^:]*:", ".*?:", r"(?:[a-z]{1,60000}:x|[a-z]{1,60000}:y|a)+b"] {
        let lowered = Lowered::new(expression).unwrap();
        assert_eq!(lowered.search(text.as_bytes(), &mut lowered.memory()), Outcome::GaveUp, "{expression}");
    }
}

#[test]
fn a_text_with_a_way_back_from_every_byte_takes_little_memory() {
    let lowered = Lowered::new("(?:(a)|ab|b)*c").unwrap();
    let mut memory = lowered.memory();
    let text = [b"ab".repeat(1 << 20), b"c".to_vec()].concat();
    assert_eq!(lowered.search(&text, &mut memory), Outcome::GaveUp);
    assert!(memory.frames() <= 1 << 17, "{}", memory.frames());
    let text = [b"ab".repeat(1 << 10), b"c".to_vec()].concat();
    assert_eq!(lowered.search(&text, &mut memory), Outcome::Found);
}
