//! What a predicate asks of one value: the only place that says what a test means.
//!
//! A value is bytes, a whole number, a decimal, a yes/no or (for `_time`) an instant. Text tests see numbers as their decimal text.
//! Nothing here knows of rows: an absent value is never asked, a list is asked item by item.

use std::cmp::Ordering;
use std::net::IpAddr;

use super::number::Number;
use super::text::{Glob, Needle, Pattern, Words};
use crate::base::row::Value;

/// A test of one value.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// It is there.
    Exists,
    /// It holds this word or phrase, or is this number.
    Words(Words, Option<Number>),
    /// It is this.
    Exact(Exact),
    /// It is like this.
    Like(Glob),
    /// The expression is found in it.
    Regex(Pattern),
    /// It lies between these.
    Range(Range),
    /// It is an address in this network.
    Net(Net),
    /// It is an instant of this range.
    Time(TimeRange),
}

/// A whole value.
#[derive(Clone, Debug, PartialEq)]
pub struct Exact {
    /// As text.
    pub text: Box<str>,
    /// As a number, if it reads as one.
    pub number: Option<Number>,
}

/// An end of a range.
#[derive(Clone, Debug, PartialEq)]
pub struct Literal {
    /// As written.
    pub text: Box<str>,
    /// As what it is compared.
    pub sense: Sense,
}

/// As what an end of a range is compared.
#[derive(Clone, Debug, PartialEq)]
pub enum Sense {
    /// With numbers, and strings that read as numbers.
    Number(Number),
    /// With strings that read as addresses of the same kind.
    Address(IpAddr),
    /// With all strings, byte by byte.
    Bytes,
}

/// Two ends, each a literal and whether it belongs to the range itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Range {
    /// The lower end; open if there is none.
    pub lower: Option<(Literal, bool)>,
    /// The upper end; open if there is none.
    pub upper: Option<(Literal, bool)>,
}

/// A network of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Net {
    /// As written.
    pub text: Box<str>,
    base: IpAddr,
    bits: u8,
}

/// A range of instants, both ends included, nanoseconds since 1970. Empty if `from > to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// The first.
    pub from: i64,
    /// The last.
    pub to: i64,
}

impl Literal {
    /// From text: a number, an address, or plain bytes.
    pub fn new(text: &str) -> Self {
        let sense = if let Some(number) = Number::parse(text.as_bytes()) {
            Sense::Number(number)
        } else if let Ok(address) = text.parse() {
            Sense::Address(address)
        } else {
            Sense::Bytes
        };
        Self { text: text.into(), sense }
    }

    fn order_of(&self, value: &[u8]) -> Option<Ordering> {
        match &self.sense {
            Sense::Number(own) => Number::parse(value)?.compare(*own),
            Sense::Address(own) => {
                let address = address(value)?;
                (address.is_ipv4() == own.is_ipv4()).then(|| address.cmp(own))
            }
            Sense::Bytes => Some(value.cmp(self.text.as_bytes())),
        }
    }

    fn order_of_number(&self, value: Number) -> Option<Ordering> {
        match &self.sense {
            Sense::Number(own) => value.compare(*own),
            _ => None,
        }
    }
}

impl Range {
    fn holds(&self, order: impl Fn(&Literal) -> Option<Ordering>) -> bool {
        self.is_above(&order) && self.is_below(&order)
    }

    fn is_above(&self, order: impl Fn(&Literal) -> Option<Ordering>) -> bool {
        self.lower.as_ref().is_none_or(|(literal, inclusive)| {
            order(literal).is_some_and(|order| order == Ordering::Greater || (*inclusive && order == Ordering::Equal))
        })
    }

    fn is_below(&self, order: impl Fn(&Literal) -> Option<Ordering>) -> bool {
        self.upper.as_ref().is_none_or(|(literal, inclusive)| {
            order(literal).is_some_and(|order| order == Ordering::Less || (*inclusive && order == Ordering::Equal))
        })
    }

    /// Whether some number of `[least, greatest]` may lie in it.
    fn overlaps(&self, least: Number, greatest: Number) -> bool {
        self.is_above(|literal| literal.order_of_number(greatest)) && self.is_below(|literal| literal.order_of_number(least))
    }
}

fn address(value: &[u8]) -> Option<IpAddr> {
    // The longest: an IPv4 address inside an IPv6 one.
    if value.len() > 45 {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

impl Net {
    /// Reads `10.0.0.0/8` or `2001:db8::/32`.
    pub fn parse(text: &str) -> Option<Self> {
        let (base, bits) = text.split_once('/')?;
        let base: IpAddr = base.parse().ok()?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let plain = !bits.is_empty() && bits.len() <= 3 && bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits = bits.parse().ok().filter(|&bits| plain && bits <= most)?;
        Some(Self { text: text.into(), base, bits })
    }

    /// Its first and last address, of the fourth version.
    pub fn of_ipv4(&self) -> Option<(u32, u32)> {
        let IpAddr::V4(base) = self.base else { return None };
        let host = u32::MAX.checked_shr(u32::from(self.bits)).unwrap_or(0);
        Some((u32::from(base) & !host, u32::from(base) | host))
    }

    fn holds(&self, value: &[u8]) -> bool {
        match (address(value), self.base) {
            (Some(IpAddr::V4(address)), IpAddr::V4(base)) => {
                (u32::from(address) ^ u32::from(base)).checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (Some(IpAddr::V6(address)), IpAddr::V6(base)) => {
                (u128::from(address) ^ u128::from(base)).checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// The least whole number at or above (above, if not `inclusive`) a number; `None` where there may be none.
#[allow(clippy::cast_possible_truncation)]
fn least_int(number: Number, inclusive: bool) -> Option<i64> {
    match number {
        Number::Int(int) if inclusive => Some(int),
        Number::Int(int) => int.checked_add(1),
        Number::Float(float) if float.abs() < 9.0e15 => {
            let up = float.ceil();
            Some(up as i64 + i64::from(up == float && !inclusive))
        }
        Number::Float(_) => None,
    }
}

/// The greatest whole number at or below (below, if not `inclusive`) a number; `None` where there may be none.
#[allow(clippy::cast_possible_truncation)]
fn greatest_int(number: Number, inclusive: bool) -> Option<i64> {
    match number {
        Number::Int(int) if inclusive => Some(int),
        Number::Int(int) => int.checked_sub(1),
        Number::Float(float) if float.abs() < 9.0e15 => {
            let down = float.floor();
            Some(down as i64 - i64::from(down == float && !inclusive))
        }
        Number::Float(_) => None,
    }
}

/// A number as a double, where it is one.
#[allow(clippy::cast_precision_loss)]
fn exact_float(number: Number) -> Option<f64> {
    match number {
        Number::Int(int) => (int.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS).then_some(int as f64),
        Number::Float(float) => Some(float),
    }
}

impl Test {
    /// Holds this word or phrase; the empty phrase is the empty value.
    pub fn words(text: &str) -> Self {
        if text.is_empty() { Self::exact(text) } else { Self::Words(Words::new(text), Number::parse(text.as_bytes())) }
    }

    /// Holds this word or phrase, byte for byte; the empty phrase is the empty value.
    pub fn cased_words(text: &str) -> Self {
        if text.is_empty() { Self::exact(text) } else { Self::Words(Words::cased(text), Number::parse(text.as_bytes())) }
    }

    /// Is this.
    pub fn exact(text: &str) -> Self {
        Self::Exact(Exact { text: text.into(), number: Number::parse(text.as_bytes()) })
    }

    /// Asks a string.
    pub fn matches_str(&self, value: &[u8]) -> bool {
        match self {
            Self::Exists => true,
            Self::Words(words, _) => words.matches(value),
            Self::Exact(exact) => exact.text.as_bytes() == value,
            Self::Like(glob) => glob.matches(value),
            Self::Regex(pattern) => pattern.matches(value),
            Self::Range(range) => range.holds(|literal| literal.order_of(value)),
            Self::Net(net) => net.holds(value),
            Self::Time(_) => false,
        }
    }

    /// Asks a number.
    pub fn matches_number(&self, value: Number) -> bool {
        let equals = |own: &Option<Number>| own.is_some_and(|own| own.compare(value) == Some(Ordering::Equal));
        match self {
            Self::Exists => true,
            Self::Words(_, number) => equals(number),
            Self::Exact(exact) => equals(&exact.number),
            Self::Range(range) => range.holds(|literal| literal.order_of_number(value)),
            Self::Like(_) | Self::Regex(_) => match value {
                Number::Int(int) => self.matches_str(int.to_string().as_bytes()),
                Number::Float(float) => self.matches_str(Number::text_of(float).as_bytes()),
            },
            Self::Net(_) | Self::Time(_) => false,
        }
    }

    /// Asks a yes/no.
    pub fn matches_bool(&self, value: bool) -> bool {
        let text = if value { "true" } else { "false" };
        match self {
            Self::Exists => true,
            Self::Words(words, _) => words.needle().text().eq_ignore_ascii_case(text),
            Self::Exact(_) | Self::Like(_) | Self::Regex(_) => self.matches_str(text.as_bytes()),
            Self::Range(_) | Self::Net(_) | Self::Time(_) => false,
        }
    }

    /// Asks an instant.
    pub fn matches_time(&self, ns: i64) -> bool {
        match self {
            Self::Exists => true,
            Self::Time(range) => range.from <= ns && ns <= range.to,
            _ => false,
        }
    }

    /// Asks a cell's value.
    pub fn matches(&self, value: &Value<'_>) -> bool {
        match value {
            Value::Str(bytes) => self.matches_str(bytes),
            Value::Int(int) => self.matches_number(Number::Int(*int)),
            Value::Float(float) => self.matches_number(Number::Float(*float)),
            Value::Bool(bool) => self.matches_bool(*bool),
        }
    }

    /// The whole numbers that pass, where they are an unbroken range (both ends included, empty if the first is greater).
    pub fn int_range(&self) -> Option<(i64, i64)> {
        match self {
            Self::Words(_, number) | Self::Exact(Exact { number, .. }) => Some(match number {
                Some(number) => (least_int(*number, true)?, greatest_int(*number, true)?),
                None => (1, 0),
            }),
            Self::Range(range) => {
                let end = |end: &Option<(Literal, bool)>, open: i64, bound: fn(Number, bool) -> Option<i64>| match end {
                    None => Some(open),
                    Some((Literal { sense: Sense::Number(number), .. }, inclusive)) => bound(*number, *inclusive),
                    Some(_) => None,
                };
                Some((end(&range.lower, i64::MIN, least_int)?, end(&range.upper, i64::MAX, greatest_int)?))
            }
            Self::Exists => Some((i64::MIN, i64::MAX)),
            Self::Net(_) | Self::Time(_) => Some((1, 0)),
            Self::Like(_) | Self::Regex(_) => None,
        }
    }

    /// The decimals that pass, both ends included; `None` where there is no such range, or NaN passes.
    pub fn float_range(&self) -> Option<(f64, f64)> {
        const NONE: (f64, f64) = (1.0, 0.0);
        match self {
            Self::Words(_, number) | Self::Exact(Exact { number, .. }) => {
                number.map_or(Some(NONE), |number| exact_float(number).map(|float| (float, float)))
            }
            Self::Range(Range { lower: None, upper: None }) => None,
            Self::Range(range) => {
                let end = |end: &Option<(Literal, bool)>, open: f64, beyond: fn(f64) -> f64| match end {
                    None => Some(open),
                    Some((Literal { sense: Sense::Number(number), .. }, inclusive)) => {
                        let float = exact_float(*number)?;
                        // Nothing is beyond the infinite.
                        if *inclusive { Some(float) } else { Some(beyond(float)).filter(|beyond| *beyond != float) }
                    }
                    Some(_) => None,
                };
                let lower = end(&range.lower, f64::NEG_INFINITY, f64::next_up)?;
                Some((lower, end(&range.upper, f64::INFINITY, f64::next_down)?))
            }
            Self::Net(_) | Self::Time(_) => Some(NONE),
            Self::Exists | Self::Like(_) | Self::Regex(_) => None,
        }
    }

    /// Text without which no string passes.
    pub fn needle(&self) -> Option<&Needle> {
        match self {
            Self::Words(words, _) => Some(words.needle()),
            Self::Like(glob) => glob.needle(),
            Self::Regex(pattern) => pattern.needle(),
            Self::Exists | Self::Exact(_) | Self::Range(_) | Self::Net(_) | Self::Time(_) => None,
        }
    }

    /// Whether some number of `[least, greatest]` may pass.
    pub fn may_match_numbers(&self, least: Number, greatest: Number) -> bool {
        match self {
            Self::Words(_, number) | Self::Exact(Exact { number, .. }) => number.is_some_and(|number| {
                number.compare(least) != Some(Ordering::Less) && number.compare(greatest) != Some(Ordering::Greater)
            }),
            Self::Range(range) => range.overlaps(least, greatest),
            Self::Exists | Self::Like(_) | Self::Regex(_) => true,
            Self::Net(_) | Self::Time(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::predicate::{Leaf, Predicate, parse};

    /// Numbers at the ends of what types can say, and near to each other.
    const ENDS: [&str; 22] = [
        "0",
        "-0.0",
        "1",
        "1.5",
        "-1",
        "5e-324",
        "-5e-324",
        "0.1",
        "200",
        "200.0",
        "9007199254740992",
        "9007199254740993",
        "9007199254740994",
        "-9007199254740993",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "1e19",
        "1.7976931348623157e308",
        "-1.7976931348623157e308",
        "1e400",
        "-1e400",
    ];

    #[test]
    fn ranges_of_numbers_are_what_passes() {
        let ints: Vec<i64> = ENDS.iter().filter_map(|end| end.parse().ok()).chain([2, 199, 201]).collect();
        let odd = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1.000_000_1, 9.3e18];
        let floats: Vec<f64> = ENDS.iter().filter_map(|end| end.parse().ok()).chain(odd).collect();
        let pairs = ENDS.iter().flat_map(|lower| ENDS.iter().map(move |upper| format!("a:[{lower} TO {upper}]")));
        let single = ["inf", "nan", "x", "10.0.0.1"].iter().chain(&ENDS);
        let one = single.flat_map(|end| ["a:", "a:=", "a:>", "a:>=", "a:<", "a:<="].map(|way| format!("{way}{end}")));
        let mut ranges = 0;
        for text in pairs.chain(one).chain(["a:*".into(), "a:10.0.0.0/8".into(), "a:2*".into(), "a:/5/".into()]) {
            let Ok(Predicate::Leaf(Leaf { test, .. })) = parse(&text) else { continue };
            if let Some((least, greatest)) = test.int_range() {
                ranges += 1;
                for &int in &ints {
                    assert_eq!(test.matches_number(Number::Int(int)), (least..=greatest).contains(&int), "{text} of {int}");
                }
            }
            if let Some((least, greatest)) = test.float_range() {
                ranges += 1;
                for &float in &floats {
                    let inside = least <= float && float <= greatest;
                    assert_eq!(test.matches_number(Number::Float(float)), inside, "{text} of {float}");
                }
            }
            let numbers = ints.iter().map(|int| Number::Int(*int)).chain(floats.iter().map(|float| Number::Float(*float)));
            let numbers: Vec<Number> = numbers.filter(|number| !number.as_f64().is_nan()).collect();
            for (least, greatest) in numbers.iter().flat_map(|least| numbers.iter().map(move |greatest| (*least, *greatest))) {
                let within = |number: &&Number| number.order(least).is_ge() && number.order(greatest).is_le();
                let passes = numbers.iter().filter(within).find(|number| test.matches_number(**number));
                assert!(
                    passes.is_none() || test.may_match_numbers(least, greatest),
                    "{text} of {passes:?} in {least:?} to {greatest:?}"
                );
            }
        }
        assert!(ranges > 500, "{ranges}");
    }
}
