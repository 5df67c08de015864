//! Fuzz target: any text is parsed or refused at a place in it, and what was parsed runs over a store that has everything.

use std::sync::atomic::{AtomicU32, Ordering};

use bolero::TypeGenerator;

use super::fuzz::{Edit, QUERIES, ask, disk_of, edit, everything, open};
use crate::store::query::parse;

/// Pieces that queries are made of.
const WORDS: [&str; 64] = [
    "*",
    "a",
    "app",
    ":",
    "=",
    ":=",
    ">=",
    "<",
    "(",
    ")",
    "[",
    " TO ",
    "]",
    "\"",
    "\\",
    "~",
    "~\"",
    "/",
    "10.0.0.0/8",
    "-",
    "not ",
    " and ",
    " or ",
    "|",
    " stats ",
    "count()",
    "sum(",
    "p99(size)",
    " by ",
    "bin(",
    "5m",
    ")",
    ",",
    " sort ",
    "-size",
    " limit ",
    "10",
    " fields ",
    " where ",
    " top ",
    "status",
    "size",
    "message",
    "_time",
    "_topic",
    "ü",
    "\u{0}",
    "\u{feff}",
    "1e999",
    "-9223372036854775809",
    "*?*?*",
    " as ",
    "x.y.z",
    "'",
    "%",
    "#",
    " dedup ",
    " extract ",
    " eval ",
    " rare ",
    "\n",
    "\t",
    "{",
    "𝄞",
];

#[derive(Clone, Debug, TypeGenerator)]
enum Text {
    Words(Vec<u8>),
    Deep(u8, u16),
    Any(String),
    Known(u8, Vec<Edit>),
}

impl Text {
    fn text(&self) -> String {
        match self {
            Self::Words(words) => words.iter().take(60).map(|at| WORDS[usize::from(*at) % WORDS.len()]).collect(),
            Self::Deep(word, count) => WORDS[usize::from(*word) % WORDS.len()].repeat(usize::from(*count) % 20_000),
            Self::Any(any) => any.clone(),
            Self::Known(which, edits) => {
                let mut bytes = QUERIES[usize::from(*which) % QUERIES.len()].as_bytes().to_vec();
                edit(&mut bytes, edits);
                String::from_utf8_lossy(&bytes).into_owned()
            }
        }
    }
}

#[test]
fn fuzz_queries() {
    let disk = disk_of(everything());
    let store = std::panic::AssertUnwindSafe(open(&disk));
    let ran = AtomicU32::new(0);
    bolero::check!().with_iterations(3_000).with_type::<Text>().for_each(|fuzz| {
        let text = fuzz.text();
        match parse(&text) {
            Err(error) => {
                assert!(text.is_char_boundary(error.position), "{text:?}: {error:?}");
                assert!(!error.message.is_empty());
            }
            Ok(_) => {
                ask(&store, &text);
                ran.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let ran = ran.into_inner();
    assert!(ran > 50, "only {ran} were queries");
}
