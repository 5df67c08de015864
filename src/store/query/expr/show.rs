//! Expressions as text that parses to the same again.

use std::fmt::{Display, Formatter, Result};

use super::{Expr, FUNCTIONS, Val};
use crate::base::time;

/// Words that are not names of fields.
pub const WORDS: [&str; 6] = ["and", "or", "not", "true", "false", "null"];

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

/// Whether a field's name is read as one without quotes.
fn is_plain(name: &str) -> bool {
    name.bytes().next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_' || first == b'@')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'@'))
        && !WORDS.iter().any(|word| name.eq_ignore_ascii_case(word))
}

impl Display for Val<'static> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            // No list is ever written.
            Self::Null | Self::List(_) => f.write_str("null"),
            Self::Str(bytes) => quoted(&String::from_utf8_lossy(bytes), '"', f),
            Self::Int(int) => write!(f, "{int}"),
            Self::Float(float) => write!(f, "{float:?}"),
            Self::Bool(bool) => write!(f, "{bool}"),
            Self::Time(ns) => write!(f, "time(\"{}\")", time::format(*ns)),
        }
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let inner = |one: &Self, f: &mut Formatter<'_>| match one {
            Self::Binary(..) | Self::Not(_) | Self::Neg(_) => write!(f, "({one})"),
            one => write!(f, "{one}"),
        };
        match self {
            Self::Const(value) => write!(f, "{value}"),
            Self::Field(name) if is_plain(name) => f.write_str(name),
            Self::Field(name) => quoted(name, '\'', f),
            Self::Not(one) => {
                f.write_str("not ")?;
                inner(one, f)
            }
            Self::Neg(one) => {
                // In parentheses even a number: the parser takes `-5` for a constant.
                write!(f, "-({one})")
            }
            Self::Binary(op, a, b) => {
                inner(a, f)?;
                write!(f, " {} ", op.sign())?;
                inner(b, f)
            }
            Self::Call(function, arguments) => {
                let name = FUNCTIONS.iter().find(|info| info.function == *function).map_or("", |info| info.name);
                write!(f, "{name}(")?;
                for (index, argument) in arguments.iter().enumerate() {
                    write!(f, "{}{argument}", if index > 0 { ", " } else { "" })?;
                }
                f.write_str(")")
            }
            Self::Match(one, pattern) => {
                write!(f, "match({one}, ")?;
                quoted(pattern.text(), '"', f)?;
                f.write_str(")")
            }
            Self::InNet(one, net) => {
                write!(f, "in_net({one}, ")?;
                let text = match net {
                    crate::base::predicate::Test::Net(net) => &*net.text,
                    _ => "",
                };
                quoted(text, '"', f)?;
                f.write_str(")")
            }
        }
    }
}
