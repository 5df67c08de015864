//! `extract "…"`: named pieces of a text, by a regular expression or by the text around them.
//!
//! * With named groups, `(?<name>…)`, it is a regular expression, found anywhere in the text.
//! * Else `<name>` stands for any text up to what follows it, `<_>` for text that nobody wants: `"user=<user> took <ms>ms"`. What
//!   stands before the first is found anywhere, a name at the very beginning begins where the text does, and one at the very end
//!   takes the rest.

use memchr::memmem::Finder;
use regex::bytes::{Regex, RegexBuilder};

use crate::base::predicate::REGEX_BYTES;

/// Most names of one pattern.
const NAMES: usize = 64;

/// A pattern with names.
#[derive(Clone, Debug)]
pub struct Extractor {
    text: String,
    names: Vec<String>,
    how: How,
}

#[derive(Clone, Debug)]
enum How {
    /// The group of each name.
    Regex(Regex, Vec<usize>),
    /// What stands before the first gap, and the gaps.
    Gaps(Box<Finder<'static>>, Vec<Gap>),
}

/// A place of any text: which name it has, and what ends it (nothing: the text's end).
#[derive(Clone, Debug)]
struct Gap {
    name: Option<usize>,
    end: Box<Finder<'static>>,
}

impl PartialEq for Extractor {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

fn finder(text: &str) -> Box<Finder<'static>> {
    Box::new(Finder::new(text.as_bytes()).into_owned())
}

fn check(name: &str, names: &[String]) -> Result<(), String> {
    if name.starts_with('_') {
        return Err(format!("`{name}` cannot be the name of a new field: those with `_` before them are the box's own"));
    }
    if names.iter().any(|other| other == name) {
        return Err(format!("the name `{name}` stands there twice"));
    }
    if names.len() == NAMES {
        return Err(format!("at most {NAMES} names may stand in one pattern"));
    }
    Ok(())
}

impl Extractor {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.contains("(?<") || text.contains("(?P<") {
            return Self::regex(text);
        }
        let mut names = Vec::new();
        let mut gaps: Vec<Gap> = Vec::new();
        let (mut before, mut literal) = (None, String::new());
        let mut rest = text;
        while !rest.is_empty() {
            let Some((name, after)) = placeholder(rest) else {
                let c = rest.chars().next().unwrap_or_default();
                literal.push(c);
                rest = &rest[c.len_utf8()..];
                continue;
            };
            let name = match name {
                "_" => None,
                name => {
                    check(name, &names)?;
                    names.push(name.to_owned());
                    Some(names.len() - 1)
                }
            };
            let between = std::mem::take(&mut literal);
            match gaps.last_mut() {
                None => before = Some(finder(&between)),
                Some(_) if between.is_empty() => {
                    return Err("between two names some text must stand, so that it is plain where the first ends".into());
                }
                Some(last) => last.end = finder(&between),
            }
            gaps.push(Gap { name, end: finder("") });
            rest = after;
        }
        if let Some(last) = gaps.last_mut() {
            last.end = finder(&literal);
        }
        match before {
            Some(before) if !names.is_empty() => Ok(Self { text: text.to_owned(), names, how: How::Gaps(before, gaps) }),
            _ => {
                Err("a pattern names what it takes, as in `\"user=<user> took <ms>ms\"`; a regular expression by `(?<user>…)`"
                    .into())
            }
        }
    }

    fn regex(text: &str) -> Result<Self, String> {
        let regex = RegexBuilder::new(text).size_limit(REGEX_BYTES).nest_limit(64).build().map_err(|error| {
            let report = error.to_string();
            let last = report.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            format!("this regular expression does not compile: {last}")
        })?;
        let (mut names, mut groups) = (Vec::new(), Vec::new());
        for (group, name) in regex.capture_names().enumerate() {
            if let Some(name) = name {
                check(name, &names)?;
                names.push(name.to_owned());
                groups.push(group);
            }
        }
        if names.is_empty() {
            return Err("this regular expression has no named group, `(?<name>…)`".into());
        }
        Ok(Self { text: text.to_owned(), names, how: How::Regex(regex, groups) })
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The names, in their order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Hands out the pieces by the numbers of their names; nothing where the text is not like the pattern.
    pub fn find<'v>(&self, text: &'v [u8], mut take: impl FnMut(usize, &'v [u8])) {
        match &self.how {
            How::Regex(regex, groups) => {
                let Some(found) = regex.captures(text) else { return };
                for (name, group) in groups.iter().enumerate() {
                    if let Some(piece) = found.get(*group) {
                        take(name, &text[piece.range()]);
                    }
                }
            }
            How::Gaps(before, gaps) => {
                let begin = |text: &[u8]| {
                    if before.needle().is_empty() { Some(0) } else { Some(before.find(text)? + before.needle().len()) }
                };
                let Some(mut at) = begin(text) else { return };
                // Where all of it is like the pattern is known at the end only.
                let mut pieces = Vec::with_capacity(gaps.len());
                for gap in gaps {
                    let rest = text.get(at..).unwrap_or(&[]);
                    let length = if gap.end.needle().is_empty() { Some(rest.len()) } else { gap.end.find(rest) };
                    let Some(length) = length else { return };
                    if let Some(name) = gap.name {
                        pieces.push((name, at..at + length));
                    }
                    at += length + gap.end.needle().len();
                }
                for (name, piece) in pieces {
                    take(name, &text[piece]);
                }
            }
        }
    }
}

/// `<name>` at the beginning of a text, and what follows it.
fn placeholder(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('<')?;
    let end = inside.find('>')?;
    let name = &inside[..end];
    let first = name.bytes().next()?;
    let plain = (first.is_ascii_alphabetic() || first == b'_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    plain.then(|| (name, &inside[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, expected: &str) {
        let extractor = Extractor::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        let mut found = Vec::new();
        extractor.find(text.as_bytes(), |name, piece| {
            found.push(format!("{}={}", extractor.names()[name], String::from_utf8_lossy(piece)));
        });
        assert_eq!(found.join(" "), expected, "{pattern} in {text}");
    }

    #[test]
    fn pieces_are_found() {
        check("user=<user> took <ms>ms", "at 5: user=ann took 12ms.", "user=ann ms=12");
        check("user=<user> took <ms>ms", "user=ann took 12s", "");
        check("<ip> - <_> [<when>]", "10.0.0.1 - bob [now] x", "ip=10.0.0.1 when=now");
        check("rest=<rest>", "a rest=b c", "rest=b c");
        check("rest=<rest>", "a rest=", "rest=");
        check("a < b <c>", "a < b 5", "c=5");
        check("<a.b>:", "5:", "a.b=5");
        check("(?<verb>[A-Z]+) (?P<path>/[^ ]*)", "x GET /a?b HTTP", "verb=GET path=/a?b");
        check("(?<a>x)|(?<b>y)", "y", "b=y");
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for (pattern, says) in [
            ("plain", "names what it takes"),
            ("a <_> b", "names what it takes"),
            ("<a><b>", "between two names"),
            ("<a> <a>", "twice"),
            ("<_x>", "box's own"),
            ("(?<a>", "does not compile"),
            ("(?<_time>x)", "box's own"),
        ] {
            let error = Extractor::new(pattern).unwrap_err();
            assert!(error.contains(says), "{pattern}: {error}");
        }
    }
}
