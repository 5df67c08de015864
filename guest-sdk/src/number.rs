//! Numbers in texts, as Ruby's `to_i` and `to_f` find them: what stands in front counts.

/// The whole number at the front of a text; `None` where there is none, or one that an `i64` cannot hold.
pub fn int_prefix(text: &[u8]) -> Option<i64> {
    prefix(text.trim_ascii_start(), false)?.parse().ok()
}

/// The decimal number at the front of a text; `None` where there is none, or one that is not finite.
pub fn float_prefix(text: &[u8]) -> Option<f64> {
    prefix(text.trim_ascii_start(), true)?.parse().ok().filter(|number: &f64| number.is_finite())
}

/// A text that is a whole number and nothing else.
pub fn int(text: &[u8]) -> Option<i64> {
    let text = text.trim_ascii();
    prefix(text, false).filter(|number| number.len() == text.len())?.parse().ok()
}

/// A text that is a decimal number and nothing else.
pub fn float(text: &[u8]) -> Option<f64> {
    let text = text.trim_ascii();
    let number = prefix(text, true).filter(|number| number.len() == text.len())?;
    number.parse().ok().filter(|number: &f64| number.is_finite())
}

/// A decimal number without what is behind its point; `None` where an `i64` cannot hold it.
pub fn truncated(number: f64) -> Option<i64> {
    // The greatest i64 is no f64; its neighbour below is.
    #[allow(clippy::cast_possible_truncation)]
    (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number).then_some(number as i64)
}

/// The front of a text that is a number.
fn prefix(text: &[u8], is_decimal: bool) -> Option<&str> {
    let digits = |from: usize| text.get(from..).map_or(0, |rest| rest.iter().take_while(|byte| byte.is_ascii_digit()).count());
    let sign = |at: usize| usize::from(matches!(text.get(at), Some(b'+' | b'-')));
    let mut end = sign(0) + digits(sign(0));
    if end == sign(0) && !is_decimal {
        return None;
    }
    if is_decimal {
        if text.get(end) == Some(&b'.') && digits(end + 1) > 0 {
            end += 1 + digits(end + 1);
        }
        if end == sign(0) {
            return None;
        }
        if matches!(text.get(end), Some(b'e' | b'E')) && digits(end + 1 + sign(end + 1)) > 0 {
            end += 1 + sign(end + 1);
            end += digits(end);
        }
    }
    core::str::from_utf8(text.get(..end)?).ok()
}

#[cfg(test)]
mod tests {
    use super::{float, float_prefix, int, int_prefix, truncated};

    #[test]
    fn numbers_at_the_front() {
        for (text, whole, decimal) in [
            ("12", Some(12), Some(12.0)),
            (" -12.5kB", Some(-12), Some(-12.5)),
            ("1e3x", Some(1), Some(1000.0)),
            (".5", None, Some(0.5)),
            ("+7", Some(7), Some(7.0)),
            ("-", None, None),
            ("e5", None, None),
            ("", None, None),
            ("abc", None, None),
            ("99999999999999999999", None, Some(1e20)),
            ("1e999", Some(1), None),
        ] {
            assert_eq!((int_prefix(text.as_bytes()), float_prefix(text.as_bytes())), (whole, decimal), "{text}");
        }
        assert_eq!(
            (int(b" 5 "), int(b"5x"), float(b"5.5"), float(b"5.5."), float(b"")),
            (Some(5), None, Some(5.5), None, None)
        );
        assert_eq!((truncated(-1.9), truncated(9.3e18), truncated(f64::NAN)), (Some(-1), None, None));
    }
}
