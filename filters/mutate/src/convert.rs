//! Values to other types, as Logstash's `convert`.

use sawbox_guest::number;

use crate::held::Held;

/// A type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A whole number; `true` where points group and commas divide.
    Integer(bool),
    /// A decimal number; the same.
    Float(bool),
    /// A string.
    String,
    /// Yes or no.
    Boolean,
}

impl Type {
    /// By its name.
    pub fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "integer" => Self::Integer(false),
            "integer_eu" => Self::Integer(true),
            "float" => Self::Float(false),
            "float_eu" => Self::Float(true),
            "string" => Self::String,
            "boolean" => Self::Boolean,
            _ => return None,
        })
    }

    /// A text as a number or a boolean. `None` where it is none; a boolean is not asked for what is not one.
    pub fn of_text(self, text: &[u8], clean: &mut Vec<u8>) -> Option<Held<'static>> {
        match self {
            Self::String => None,
            Self::Boolean => boolean(text),
            Self::Integer(eu) => {
                let text = cleaned(text, eu, clean);
                let hex = hex(text);
                // An exponent makes it a decimal number first: 1e3 is a thousand.
                let float = || number::float(text).and_then(number::truncated);
                hex.or_else(|| if text.contains(&b'e') || text.contains(&b'E') { float() } else { None })
                    .or_else(|| number::int_prefix(text))
                    .or_else(|| number::float_prefix(text).and_then(number::truncated))
                    .map(Held::Int)
            }
            Self::Float(eu) => {
                let text = cleaned(text, eu, clean);
                #[allow(clippy::cast_precision_loss)] // as everywhere
                hex(text).map(|number| number as f64).or_else(|| number::float(text)).map(Held::Float)
            }
        }
    }

    /// A number or boolean as this type; `None` where it stays as it is or, for strings, has to be written.
    pub fn of_value(self, value: Held<'_>) -> Option<Held<'static>> {
        match (self, value) {
            (Self::Integer(_), Held::Bool(yes)) => Some(Held::Int(yes.into())),
            (Self::Integer(_), Held::Float(number)) => number::truncated(number).map(Held::Int),
            (Self::Float(_), Held::Bool(yes)) => Some(Held::Float(f64::from(u8::from(yes)))),
            #[allow(clippy::cast_precision_loss)]
            (Self::Float(_), Held::Int(number)) => Some(Held::Float(number as f64)),
            (Self::Boolean, Held::Int(0)) => Some(Held::Bool(false)),
            (Self::Boolean, Held::Int(1)) => Some(Held::Bool(true)),
            (Self::Boolean, Held::Float(number)) if number == 0.0 || number == 1.0 => Some(Held::Bool(number == 1.0)),
            _ => None,
        }
    }
}

fn boolean(text: &[u8]) -> Option<Held<'static>> {
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word.as_bytes()));
    if is(&["true", "t", "yes", "y", "1", "1.0"]) {
        return Some(Held::Bool(true));
    }
    is(&["false", "f", "no", "n", "0", "0.0", ""]).then_some(Held::Bool(false))
}

/// Without what groups digits, and with a point.
fn cleaned<'t>(text: &'t [u8], eu: bool, clean: &'t mut Vec<u8>) -> &'t [u8] {
    let text = text.trim_ascii();
    if !(text.contains(&b',') || eu && text.contains(&b'.')) {
        return text;
    }
    let (group, point) = if eu { (b'.', b',') } else { (b',', b'.') };
    clean.clear();
    clean.extend(text.iter().filter(|byte| **byte != group).map(|byte| if *byte == point { b'.' } else { *byte }));
    clean
}

fn hex(text: &[u8]) -> Option<i64> {
    let text = core::str::from_utf8(text).ok()?;
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"))?;
    let is_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| i64::from_str_radix(digits, 16).ok()).flatten().map(|number| sign * number)
}
