//! `format` of figures and pipelines: what numbers and dates are shown as beside themselves (`value_as_string`).
//!
//! Dates have the dialect's formats, numbers those of Java's `DecimalFormat`: `0.00`, `#,##0.0`, `0.#%`, `'about '0`. Exponents and
//! a pattern of its own for negative numbers are not supported.

use serde_json::{Map, Value};

use crate::web::elastic::dates::Dates;

const MS: i64 = 1_000_000;
/// Most digits on one side of the point.
const DIGITS: usize = 100;

/// How values are shown.
#[derive(Clone, Debug)]
pub enum Format {
    /// Milliseconds since 1970 as dates.
    Date(Dates),
    /// Numbers.
    Number(Decimal),
}

/// A pattern for numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decimal {
    before: String,
    after: String,
    times: f64,
    /// Least digits before the point.
    whole: usize,
    /// Least and most behind it.
    fraction: (usize, usize),
    /// Digits between separators; 0: there are none.
    group: usize,
}

impl Format {
    /// A pattern of dates or numbers; where that is not known, the latter if it has a place for a digit.
    ///
    /// # Errors
    /// It is not supported.
    pub fn read(pattern: &str, is_date: Option<bool>, now_ns: i64) -> Result<Self, String> {
        if is_date.unwrap_or(!pattern.contains(['0', '#'])) {
            return Dates::new(now_ns).format(Some(pattern)).map(Self::Date);
        }
        Decimal::read(pattern).map(Self::Number)
    }

    /// A number as text.
    pub fn text(&self, value: &Value) -> Option<Value> {
        let number = value.as_f64()?;
        Some(match self {
            #[allow(clippy::cast_possible_truncation)]
            Self::Date(dates) => dates.clone().write((number as i64).saturating_mul(MS)).into(),
            Self::Number(decimal) => decimal.write(number).into(),
        })
    }

    /// Puts texts beside what a figure or a pipeline says.
    pub fn add(&self, out: &mut Map<String, Value>) {
        match out.get_mut("values") {
            Some(Value::Object(values)) => return self.beside(values, &[]),
            Some(Value::Array(values)) => {
                values.iter_mut().filter_map(Value::as_object_mut).for_each(|one| self.beside(one, &["key"]));
                return;
            }
            _ => {}
        }
        if let Some(Value::Object(bounds)) = out.get("std_deviation_bounds") {
            let texts = bounds.iter().filter_map(|(name, value)| Some((name.clone(), self.text(value)?)));
            let texts: Map<String, Value> = texts.collect();
            if !texts.is_empty() {
                out.insert("std_deviation_bounds_as_string".to_owned(), texts.into());
            }
        }
        self.beside(out, &["count", "normalized_value"]);
    }

    fn beside(&self, out: &mut Map<String, Value>, but: &[&str]) {
        let wanted = |name: &str| !but.contains(&name) && !name.ends_with("_as_string");
        let numbers = out.iter().filter(|(name, _)| wanted(name));
        let texts = numbers.filter_map(|(name, value)| Some((format!("{name}_as_string"), self.text(value)?)));
        let texts: Vec<(String, Value)> = texts.collect();
        out.extend(texts);
    }
}

impl Decimal {
    fn read(pattern: &str) -> Result<Self, String> {
        let wrong = || format!("the format `{pattern}` of numbers is not supported; `0.00`, `#,##0` and `0.#%` are");
        let mut own = Self { times: 1.0, ..Self::default() };
        let (mut digits, mut quoted, mut ended) = (String::new(), false, false);
        let mut letters = pattern.chars().peekable();
        while let Some(letter) = letters.next() {
            let literal = if digits.is_empty() { &mut own.before } else { &mut own.after };
            match letter {
                '\'' if letters.peek() == Some(&'\'') => {
                    letters.next();
                    literal.push('\'');
                }
                '\'' => quoted = !quoted,
                _ if quoted => literal.push(letter),
                '0' | '#' | ',' | '.' if !ended => {
                    digits.push(letter);
                    continue;
                }
                '0' | '#' | ',' | '.' | ';' | 'E' => return Err(wrong()),
                '%' | '\u{2030}' => {
                    own.times *= if letter == '%' { 100.0 } else { 1000.0 };
                    literal.push(letter);
                }
                other => literal.push(other),
            }
            ended = !digits.is_empty();
        }
        let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
        let count = |text: &str, digit: char| text.chars().filter(|own| *own == digit).count();
        // Zeros stand next to the point, separators before it.
        let in_order =
            !whole.trim_start_matches(['#', ',']).contains('#') && !fraction.trim_start_matches('0').contains(['0', ',', '.']);
        if quoted || count(&digits, '0') + count(&digits, '#') == 0 || digits.len() > DIGITS || !in_order {
            return Err(wrong());
        }
        own.group = whole.rsplit_once(',').map_or(0, |(_, last)| last.len());
        if whole.contains(',') && own.group == 0 {
            return Err(wrong());
        }
        own.whole = count(whole, '0');
        own.fraction = (count(fraction, '0'), fraction.len());
        // Without any zero there is one before the point, or else behind it.
        if digits.contains('.') && count(&digits, '0') == 0 {
            if whole.is_empty() { own.fraction.0 = 1 } else { own.whole = 1 }
        }
        Ok(own)
    }

    fn write(&self, number: f64) -> String {
        let (least, most) = self.fraction;
        // Halves go to the even digit, as in Java.
        let text = format!("{:.most$}", (number * self.times).abs());
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let fraction = fraction.get(..least).map_or("", |kept| {
            let rest = fraction.trim_end_matches('0');
            if rest.len() > kept.len() { rest } else { kept }
        });
        let whole = whole.trim_start_matches('0');
        let mut whole = format!("{whole:0>width$}", width = self.whole);
        if whole.is_empty() && fraction.is_empty() {
            whole.push('0');
        }
        let sign = if number < 0.0 && text.bytes().any(|byte| matches!(byte, b'1'..=b'9')) { "-" } else { "" };
        let mut out = format!("{sign}{}", self.before);
        for (at, digit) in whole.chars().enumerate() {
            if at > 0 && self.group > 0 && (whole.len() - at).is_multiple_of(self.group) {
                out.push(',');
            }
            out.push(digit);
        }
        if !fraction.is_empty() {
            out.push('.');
            out.push_str(fraction);
        }
        out.push_str(&self.after);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_patterns_say() {
        for (pattern, number, expected) in [
            ("0.00", 1.0, "1.00"),
            ("0.00", 2.345, "2.35"),
            ("0.0", 0.25, "0.2"),
            ("0", 2.5, "2"),
            ("0", -0.4, "0"),
            ("000", -7.0, "-007"),
            ("#,##0", 1_234_567.0, "1,234,567"),
            ("#,##0.##", 1234.5, "1,234.5"),
            ("#.##", 0.25, "0.25"),
            (".##", 0.25, ".25"),
            ("#", 0.0, "0"),
            ("0.#%", 0.1234, "12.3%"),
            ("$0.00", -3.0, "-$3.00"),
            ("'0 to '0 ms", 12.0, "0 to 12 ms"),
            ("0''", 1.0, "1'"),
        ] {
            assert_eq!(Decimal::read(pattern).unwrap().write(number), expected, "{pattern} {number}");
        }
        for pattern in ["", "x", "0.0;-0", "0E0", "0#", "0.#0", "0,", "0.0.0", "0 0", "'0"] {
            assert!(Decimal::read(pattern).is_err(), "{pattern}");
        }
    }
}
