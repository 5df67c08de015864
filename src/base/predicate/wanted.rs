//! What every string that passes a test holds: whole words, by which an index rules values out unread.
//!
//! Wrong in one direction only: a test may want less than it could, and never a word that a match can lack. Case is folded in
//! ASCII alone, so that a word has one form; a phrase beyond ASCII is found in any Unicode case, and some of its ASCII letters
//! then stand for others too (`k` for the Kelvin sign, `s` for the long s): words with them are left out there.

use super::test::Test;
use super::text::{Piece, is_word_byte};

/// Most words that are asked for; more would rule out no more.
const WORDS: usize = 16;

/// What a string must hold to pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Words (runs of bytes that belong to words, whole), ASCII letters small.
    pub words: Vec<Box<[u8]>>,
    /// Text, ASCII letters small.
    pub text: Option<Box<[u8]>>,
}

impl Wanted {
    /// One word.
    pub fn word(word: &[u8]) -> Self {
        Self { words: vec![word.to_ascii_lowercase().into()], text: Some(word.to_ascii_lowercase().into()) }
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Adds the words of a text; `first` and `last` say whether words that touch its ends end there in the value too.
    fn add(&mut self, text: &[u8], first: bool, last: bool, any_case: bool) {
        let folds = |byte: u8| !byte.is_ascii() || matches!(byte, b'k' | b'K' | b's' | b'S');
        let unsure = any_case && !text.is_ascii();
        for word in words(text) {
            let touches = (word.start == 0 && !first) || (word.end == text.len() && !last);
            let word = text.get(word).unwrap_or(&[]);
            let folded: Box<[u8]> = word.to_ascii_lowercase().into();
            let skip = touches || (unsure && word.iter().any(|byte| folds(*byte))) || self.words.contains(&folded);
            if !skip && self.words.len() < WORDS {
                self.words.push(folded);
            }
        }
    }
}

/// Where the words of a text are.
pub fn words(text: &[u8]) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + text.get(at..)?.iter().position(|byte| is_word_byte(*byte))?;
        let length = text[start..].iter().position(|byte| !is_word_byte(*byte)).unwrap_or(text.len() - start);
        at = start + length;
        Some(start..at)
    })
}

impl Test {
    /// What every string that passes holds.
    pub fn wanted(&self) -> Wanted {
        let mut wanted = Wanted::default();
        match self {
            Self::Words(words, _) => {
                let text = words.needle().text().as_bytes();
                wanted.add(text, true, true, true);
                wanted.text = text.is_ascii().then(|| text.to_ascii_lowercase().into());
            }
            Self::Exact(exact) => {
                let text = exact.text.as_bytes();
                wanted.add(text, true, true, false);
                wanted.text = Some(text.to_ascii_lowercase().into());
            }
            Self::Like(glob) => {
                let pieces = glob.pieces();
                for (at, piece) in pieces.iter().enumerate() {
                    if let Piece::Text(text) = piece {
                        wanted.add(text.as_bytes(), at == 0, at + 1 == pieces.len(), !glob.is_whole());
                    }
                }
            }
            Self::Regex(pattern) => {
                if let Some(needle) = pattern.needle() {
                    wanted.add(needle.text().as_bytes(), false, false, false);
                }
            }
            Self::Exists | Self::Range(_) | Self::Net(_) | Self::Time(_) => {}
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Predicate, parse};
    use super::*;

    fn of(query: &str) -> Vec<String> {
        let predicate = parse(query).unwrap();
        let Predicate::Leaf(leaf) = predicate else { panic!("{query} is one test") };
        leaf.test.wanted().words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    }

    #[test]
    fn only_whole_words() {
        for (query, words) in [
            ("Timeout", &["timeout"][..]),
            (r#""GET /favicon.ico""#, &["get", "favicon", "ico"]),
            (r#""/f5.txt""#, &["f5", "txt"]),
            ("path:=/a/B_c.png", &["a", "b_c", "png"]),
            ("path:/health*", &[]),
            ("path:/health/*", &["health"]),
            ("conn?ct", &[]),
            ("path:=*.png", &["png"]),
            ("path:=*png", &[]),
            (r"path:=a\ b*c\ d", &["a", "d"]),
            (r#"path:~"/presentations/.*[.]png""#, &["presentations"]),
            (r#"path:~"gstash-mon""#, &[]),
            ("straße", &[]),
            (r#""disk straße 7""#, &["7"]),
            ("path:=straße", &["straße"]),
            ("path:*", &[]),
            ("status>5", &[]),
        ] {
            assert_eq!(of(query), words, "{query}");
        }
    }

    fn text() -> impl Strategy<Value = String> {
        prop::collection::vec(
            prop::sample::select(vec!["k", "K", "s", "a1", "B", "/", " ", ".", "-", "_", "é", "É", "\u{212a}"]),
            0..9,
        )
        .prop_map(|parts| parts.concat())
    }

    proptest! {
        /// What passes holds each of the words that are wanted, and the text.
        #[test]
        fn no_match_lacks_a_word(value in text(), asked in text(), kind in 0..5) {
            let asked_pieces = || vec![Piece::Run, Piece::Text(asked.clone().into()), Piece::One];
            let test = match kind {
                0 => Test::words(&asked),
                1 => Test::exact(&asked),
                2 => Test::Like(super::super::Glob::within(asked_pieces())),
                3 => Test::Like(super::super::Glob::whole(asked_pieces())),
                _ => match super::super::Pattern::new(&regex::escape(&asked)) {
                    Ok(pattern) => Test::Regex(pattern),
                    Err(_) => return Ok(()),
                },
            };
            if test.matches_str(value.as_bytes()) {
                let folded = value.as_bytes().to_ascii_lowercase();
                let has: Vec<&[u8]> = words(&folded).map(|word| &folded[word]).collect();
                let wanted = test.wanted();
                for word in &wanted.words {
                    prop_assert!(has.contains(&&**word), "{test:?} {value:?}");
                }
                if let Some(text) = &wanted.text {
                    prop_assert!(text.is_empty() || memchr::memmem::find(&folded, text).is_some());
                }
            }
        }
    }
}
