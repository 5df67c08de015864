//! Predicates as text that parses to the same again.

use std::fmt::{Formatter, Result};

use super::test::{Literal, Net, Test};
use super::text::{Glob, Piece};
use super::{Field, Leaf, Predicate};
use crate::base::{row, time};

/// Characters that a bare word may hold and still be read as nothing else.
fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'/' | b'@' | b'-') || byte >= 0x80)
        && !text.chars().any(char::is_whitespace)
        && !["and", "or", "not", "to"].iter().any(|keyword| text.eq_ignore_ascii_case(keyword))
}

fn scalar(text: &str, f: &mut Formatter<'_>) -> Result {
    if is_plain(text) {
        return f.write_str(text);
    }
    quoted(text, '"', f)
}

fn quoted(text: &str, quote: char, f: &mut Formatter<'_>) -> Result {
    write!(f, "{quote}")?;
    for c in text.chars() {
        if c == quote || c == '\\' {
            f.write_str("\\")?;
        }
        write!(f, "{c}")?;
    }
    write!(f, "{quote}")
}

fn glob(pattern: &Glob, f: &mut Formatter<'_>) -> Result {
    for piece in pattern.pieces() {
        match piece {
            Piece::Run => f.write_str("*")?,
            Piece::One => f.write_str("?")?,
            Piece::Text(text) => {
                for c in text.chars() {
                    let plain = c.is_ascii_alphanumeric()
                        || matches!(c, '_' | '.' | '/' | '@')
                        || (!c.is_ascii() && !c.is_whitespace());
                    if !plain {
                        f.write_str("\\")?;
                    }
                    write!(f, "{c}")?;
                }
            }
        }
    }
    Ok(())
}

/// A field's name as it is written in a query.
pub fn field_name(name: &str, f: &mut Formatter<'_>) -> Result {
    scalar(name, f)
}

/// Writes a predicate.
pub fn predicate(one: &Predicate, f: &mut Formatter<'_>) -> Result {
    let joined = |all: &[Predicate], word: &str, f: &mut Formatter<'_>| {
        for (index, one) in all.iter().enumerate() {
            if index > 0 {
                f.write_str(word)?;
            }
            operand(one, f)?;
        }
        Ok(())
    };
    match one {
        Predicate::All => f.write_str("*"),
        Predicate::And(all) if all.is_empty() => f.write_str("*"),
        Predicate::Or(any) if any.is_empty() => f.write_str("not *"),
        Predicate::And(all) => joined(all, " and ", f),
        Predicate::Or(any) => joined(any, " or ", f),
        Predicate::Not(one) => {
            f.write_str("not ")?;
            operand(one, f)
        }
        Predicate::Leaf(leaf) => self::leaf(leaf, f),
    }
}

fn operand(one: &Predicate, f: &mut Formatter<'_>) -> Result {
    if matches!(one, Predicate::And(_) | Predicate::Or(_)) {
        f.write_str("(")?;
        predicate(one, f)?;
        return f.write_str(")");
    }
    predicate(one, f)
}

fn leaf(leaf: &Leaf, f: &mut Formatter<'_>) -> Result {
    let bare = matches!(&leaf.field, Field::Named(name) if **name == *row::MESSAGE)
        && matches!(&leaf.test, Test::Words(..) | Test::Like(_))
        && !matches!(&leaf.test, Test::Like(pattern) if pattern.is_whole() || matches!(pattern.pieces(), [Piece::Run]));
    if !bare {
        match &leaf.field {
            Field::Named(name) => field_name(name, f)?,
            Field::Like(pattern) => glob(pattern, f)?,
        }
        // A comparison has its own sign.
        if !matches!(&leaf.test, Test::Range(range) if range.lower.is_some() != range.upper.is_some()) {
            f.write_str(":")?;
        }
    }
    match &leaf.test {
        Test::Exists => f.write_str("*"),
        Test::Words(words, _) => {
            let text = words.needle().text();
            if words.is_cased() {
                return quoted(text, '\'', f);
            }
            // Quoted where a bare one would be a network.
            if Net::parse(text).is_some() { write!(f, "\"{text}\"") } else { scalar(text, f) }
        }
        Test::Exact(exact) => {
            f.write_str("=")?;
            scalar(&exact.text, f)
        }
        Test::Like(pattern) => {
            f.write_str(if pattern.is_whole() { "=" } else { "" })?;
            glob(pattern, f)
        }
        Test::Regex(pattern) => {
            f.write_str("~")?;
            scalar(pattern.text(), f)
        }
        Test::Net(net) => f.write_str(&net.text),
        Test::Time(range) => {
            let end = |ns: i64, open: i64| if ns == open { "*".to_owned() } else { time::format(ns) };
            write!(f, "[{} TO {}]", end(range.from, i64::MIN), end(range.to, i64::MAX))
        }
        Test::Range(range) => match (&range.lower, &range.upper) {
            (Some((literal, inclusive)), None) => {
                f.write_str(if *inclusive { ">=" } else { ">" })?;
                scalar(&literal.text, f)
            }
            (None, Some((literal, inclusive))) => {
                f.write_str(if *inclusive { "<=" } else { "<" })?;
                scalar(&literal.text, f)
            }
            (lower, upper) => {
                f.write_str(if matches!(lower, Some((_, false))) { "{" } else { "[" })?;
                range_end(lower.as_ref(), f)?;
                f.write_str(" TO ")?;
                range_end(upper.as_ref(), f)?;
                f.write_str(if matches!(upper, Some((_, false))) { "}" } else { "]" })
            }
        },
    }
}

fn range_end(end: Option<&(Literal, bool)>, f: &mut Formatter<'_>) -> Result {
    match end {
        Some((literal, _)) => scalar(&literal.text, f),
        None => f.write_str("*"),
    }
}
