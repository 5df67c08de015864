//! Numbers, whole or decimal, compared as what they are and not as what fits a double.
//!
//! A string counts as a number if all of it reads as one: an optional sign, digits, at most one point, an optional exponent.
//! `inf`, `nan`, hexadecimal and surrounding blanks do not.

use std::cmp::Ordering;

/// A number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A whole one.
    Int(i64),
    /// A decimal one.
    Float(f64),
}

/// Longest string that is tried as a number.
const LONGEST: usize = 40;

impl Number {
    /// Reads a number.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (&first, rest) = text.split_first()?;
        if text.len() > LONGEST || !(first.is_ascii_digit() || matches!(first, b'-' | b'+' | b'.')) {
            return None;
        }
        let mut whole = true;
        for &byte in rest {
            match byte {
                b'0'..=b'9' => {}
                b'.' | b'e' | b'E' | b'-' | b'+' => whole = false,
                _ => return None,
            }
        }
        let text = std::str::from_utf8(text).ok()?;
        if whole && let Ok(int) = text.parse() {
            return Some(Self::Int(int));
        }
        text.parse::<f64>().ok().filter(|float| float.is_finite()).map(Self::Float)
    }

    /// A decimal as text: in digits, or with an exponent where those are too many to be read as a number again.
    pub fn text_of(float: f64) -> String {
        let digits = float.to_string();
        if digits.len() <= LONGEST { digits } else { format!("{float:e}") }
    }

    /// Compares two numbers; `None` with NaN.
    pub fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(&b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b),
            (Self::Int(a), Self::Float(b)) => int_to_float(a, b),
            (Self::Float(a), Self::Int(b)) => int_to_float(b, a).map(Ordering::reverse),
        }
    }

    /// Orders any two numbers; NaN comes last.
    pub fn order(self, other: Self) -> Ordering {
        self.compare(other).unwrap_or_else(|| self.is_nan().cmp(&other.is_nan()))
    }

    fn is_nan(self) -> bool {
        matches!(self, Self::Float(float) if float.is_nan())
    }

    /// The nearest double.
    #[allow(clippy::cast_precision_loss)]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Int(int) => int as f64,
            Self::Float(float) => float,
        }
    }
}

/// Exact: the double is compared by its whole part as an integer, then by its fraction.
#[allow(clippy::cast_possible_truncation)]
fn int_to_float(int: i64, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    if float >= 9_223_372_036_854_775_808.0 {
        return Some(Ordering::Less);
    }
    if float < -9_223_372_036_854_775_808.0 {
        return Some(Ordering::Greater);
    }
    let whole = float.trunc();
    Some(int.cmp(&(whole as i64)).then_with(|| 0.0f64.total_cmp(&(float - whole + 0.0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_and_compare_exactly() {
        for (text, number) in [
            ("503", Some(Number::Int(503))),
            ("-7", Some(Number::Int(-7))),
            ("0.25", Some(Number::Float(0.25))),
            ("1e3", Some(Number::Float(1000.0))),
            ("9223372036854775808", Some(Number::Float(9_223_372_036_854_775_808.0))),
            ("", None),
            ("-", None),
            ("inf", None),
            ("1e999", None),
            ("5 ", None),
            ("0x10", None),
        ] {
            assert_eq!(Number::parse(text.as_bytes()), number, "{text}");
        }
        for float in
            [0.0, -0.0, 5.0, 0.1, 1e39, 1e40, -1e300, 1e-38, 1e-40, 1.000_000_000_000_000_2e-25, f64::MAX, f64::MIN_POSITIVE]
        {
            let text = Number::text_of(float);
            let back = Number::parse(text.as_bytes()).map(|number| number.compare(Number::Float(float)));
            assert_eq!(back, Some(Some(Ordering::Equal)), "{text}");
        }
        assert_eq!([5.0, 1e20, 1e300, -1e-40].map(Number::text_of), ["5", "100000000000000000000", "1e300", "-1e-40"]);
        let big = (1i64 << 53) + 1;
        assert_eq!(Number::Int(big).compare(Number::Float(9_007_199_254_740_992.0)), Some(Ordering::Greater));
        assert_eq!(Number::Int(-1).compare(Number::Float(-1.5)), Some(Ordering::Greater));
        assert_eq!(Number::Int(0).compare(Number::Float(-0.0)), Some(Ordering::Equal));
        assert_eq!(Number::Float(2.0).compare(Number::Int(2)), Some(Ordering::Equal));
        assert_eq!(Number::Int(i64::MAX).compare(Number::Float(9.3e18)), Some(Ordering::Less));
        assert_eq!(Number::Float(f64::NAN).compare(Number::Int(2)), None);
    }
}
