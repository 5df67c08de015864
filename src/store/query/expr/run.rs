//! What an expression is for one row.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::Write;

use chrono::{DateTime, Datelike, Timelike, Utc};
use memchr::memmem;

use super::value::TEXT_BYTES;
use super::{Expr, Function, Op, Val};
use crate::base::predicate::Number;
use crate::store::query::plan::Bin;

impl Expr<usize> {
    /// Its value, given the fields'.
    pub fn run<'v>(&'v self, inputs: &[Val<'v>]) -> Val<'v> {
        match self {
            Self::Const(value) => borrowed(value),
            Self::Field(index) => inputs.get(*index).cloned().unwrap_or(Val::Null),
            Self::Not(one) => Val::Bool(!one.run(inputs).truth()),
            Self::Neg(one) => match one.run(inputs).number() {
                Some(Number::Int(int)) => int.checked_neg().map_or(Val::Null, Val::Int),
                Some(Number::Float(float)) => Val::float(-float),
                None => Val::Null,
            },
            Self::Binary(Op::And, a, b) => Val::Bool(a.run(inputs).truth() && b.run(inputs).truth()),
            Self::Binary(Op::Or, a, b) => Val::Bool(a.run(inputs).truth() || b.run(inputs).truth()),
            Self::Binary(op, a, b) => binary(*op, &a.run(inputs), &b.run(inputs)),
            Self::Call(function, arguments) => call(*function, arguments, inputs),
            Self::Match(one, pattern) => Val::Bool(one.run(inputs).text().is_some_and(|text| pattern.matches(&text))),
            Self::InNet(one, net) => Val::Bool(one.run(inputs).text().is_some_and(|text| net.matches_str(&text))),
        }
    }
}

fn borrowed<'v>(value: &'v Val<'static>) -> Val<'v> {
    match value {
        Val::Str(bytes) => Val::Str(Cow::Borrowed(bytes)),
        other => other.clone(),
    }
}

fn binary(op: Op, a: &Val<'_>, b: &Val<'_>) -> Val<'static> {
    let order = |holds: fn(Ordering) -> bool| Val::Bool(a.compare(b).is_some_and(holds));
    match op {
        Op::Is => order(Ordering::is_eq),
        Op::IsNot => Val::Bool(a.compare(b) != Some(Ordering::Equal)),
        Op::Less => order(Ordering::is_lt),
        Op::AtMost => order(Ordering::is_le),
        Op::More => order(Ordering::is_gt),
        Op::AtLeast => order(Ordering::is_ge),
        Op::Add | Op::Subtract | Op::Multiply | Op::Divide | Op::Remainder => arithmetic(op, a, b),
        Op::And | Op::Or => Val::Null,
    }
}

#[allow(clippy::cast_precision_loss)]
fn arithmetic(op: Op, a: &Val<'_>, b: &Val<'_>) -> Val<'static> {
    match (op, a, b) {
        (Op::Subtract, Val::Time(a), Val::Time(b)) => return Val::float((i128::from(*a) - i128::from(*b)) as f64 / 1e9),
        (Op::Add, Val::Time(_), Val::Time(_)) => return Val::Null,
        (Op::Add, Val::Time(ns), seconds) | (Op::Add, seconds, Val::Time(ns)) => return later(*ns, seconds, 1),
        (Op::Subtract, Val::Time(ns), seconds) => return later(*ns, seconds, -1),
        (_, Val::Time(_), _) | (_, _, Val::Time(_)) => return Val::Null,
        _ => {}
    }
    let (Some(a), Some(b)) = (a.number(), b.number()) else { return Val::Null };
    if let (Number::Int(a), Number::Int(b)) = (a, b) {
        let whole = match op {
            Op::Add => a.checked_add(b),
            Op::Subtract => a.checked_sub(b),
            Op::Multiply => a.checked_mul(b),
            Op::Remainder => return a.checked_rem(b).map_or(Val::Null, Val::Int),
            _ => None,
        };
        if let Some(whole) = whole {
            return Val::Int(whole);
        }
    }
    let (a, b) = (a.as_f64(), b.as_f64());
    Val::float(match op {
        Op::Add => a + b,
        Op::Subtract => a - b,
        Op::Multiply => a * b,
        Op::Divide if b != 0.0 => a / b,
        Op::Remainder if b != 0.0 => a % b,
        _ => f64::NAN,
    })
}

/// An instant so many seconds later.
fn later(ns: i64, seconds: &Val<'_>, sign: i64) -> Val<'static> {
    nanoseconds(seconds).and_then(|more| ns.checked_add(more.checked_mul(sign)?)).map_or(Val::Null, Val::Time)
}

/// Seconds as nanoseconds.
#[allow(clippy::cast_possible_truncation)]
fn nanoseconds(seconds: &Val<'_>) -> Option<i64> {
    match seconds.number()? {
        Number::Int(int) => int.checked_mul(1_000_000_000),
        Number::Float(float) => {
            let ns = (float * 1e9).round();
            (ns.abs() < 9.2e18).then_some(ns as i64)
        }
    }
}

/// A decimal number as a whole one, if it fits.
#[allow(clippy::cast_possible_truncation)]
fn whole(float: f64) -> Val<'static> {
    if float.abs() < 9.2e18 { Val::Int(float as i64) } else { Val::float(float) }
}

fn call<'v>(function: Function, arguments: &'v [Expr<usize>], inputs: &[Val<'v>]) -> Val<'v> {
    let get = |index: usize| arguments.get(index).map_or(Val::Null, |argument| argument.run(inputs));
    let float = |of: fn(f64) -> f64| get(0).number().map_or(Val::Null, |number| Val::float(of(number.as_f64())));
    let rounded = |of: fn(f64) -> f64| match get(0).number() {
        Some(Number::Int(int)) => Val::Int(int),
        Some(Number::Float(float)) => whole(of(float)),
        None => Val::Null,
    };
    let two = |of: fn(&[u8], &[u8]) -> bool| match (get(0).text(), get(1).text()) {
        (Some(text), Some(part)) => Val::Bool(of(&text, &part)),
        _ => Val::Bool(false),
    };
    match function {
        Function::If => {
            if get(0).truth() {
                get(1)
            } else {
                get(2)
            }
        }
        Function::Case => {
            let mut at = 0;
            while at + 1 < arguments.len() {
                if get(at).truth() {
                    return get(at + 1);
                }
                at += 2;
            }
            // An odd one out stands for all others.
            get(at)
        }
        Function::Coalesce => (0..arguments.len()).map(get).find(|value| !value.is_null()).unwrap_or(Val::Null),
        Function::Exists => Val::Bool(!get(0).is_null()),
        Function::Concat => {
            let mut text = Vec::new();
            for index in 0..arguments.len() {
                text.extend_from_slice(&get(index).text().unwrap_or_default());
                if text.len() > TEXT_BYTES {
                    return Val::Null;
                }
            }
            Val::text_of(text)
        }
        Function::Lower => cased(get(0), str::to_lowercase, |bytes| bytes.make_ascii_lowercase()),
        Function::Upper => cased(get(0), str::to_uppercase, |bytes| bytes.make_ascii_uppercase()),
        Function::Trim => get(0).into_text().map_or(Val::Null, |text| match text {
            Cow::Borrowed(text) => Val::Str(Cow::Borrowed(text.trim_ascii())),
            Cow::Owned(text) => Val::text_of(text.trim_ascii().to_vec()),
        }),
        Function::Substr => substr(&get(0), &get(1), arguments.get(2).map(|argument| argument.run(inputs))),
        Function::Len => get(0).text().map_or(Val::Null, |text| int(String::from_utf8_lossy(&text).chars().count())),
        Function::Replace => replace(&get(0), &get(1), &get(2)),
        Function::Split => split(&get(0), &get(1), &get(2)),
        Function::Contains => two(|text, part| memmem::find(text, part).is_some()),
        Function::StartsWith => two(|text, part| text.starts_with(part)),
        Function::EndsWith => two(|text, part| text.ends_with(part)),
        Function::String => get(0).into_text().map_or(Val::Null, Val::Str),
        Function::Number => get(0).number().map_or(Val::Null, Val::of_number),
        Function::Int => rounded(f64::trunc),
        Function::Round => round(&get(0), &get(1)),
        Function::Floor => rounded(f64::floor),
        Function::Ceil => rounded(f64::ceil),
        Function::Abs => match get(0).number() {
            Some(Number::Int(int)) => int.checked_abs().map_or(Val::Null, Val::Int),
            Some(Number::Float(float)) => Val::float(float.abs()),
            None => Val::Null,
        },
        Function::Sqrt => float(f64::sqrt),
        Function::Ln => float(f64::ln),
        Function::Log10 => float(f64::log10),
        Function::Pow => match (get(0).number(), get(1).number()) {
            (Some(base), Some(power)) => Val::float(base.as_f64().powf(power.as_f64())),
            _ => Val::Null,
        },
        Function::Min | Function::Max => {
            let wanted = if function == Function::Min { Ordering::Less } else { Ordering::Greater };
            let all = (0..arguments.len()).map(get).filter(|value| !value.is_null());
            all.reduce(|best, value| if value.order(&best) == Some(wanted) { value } else { best }).unwrap_or(Val::Null)
        }
        Function::Bin => bin(&get(0), &get(1)),
        Function::Time => get(0).instant().map_or(Val::Null, Val::Time),
        Function::Epoch => match get(0).instant() {
            Some(ns) if ns % 1_000_000_000 == 0 => Val::Int(ns / 1_000_000_000),
            Some(ns) => Val::Time(ns).number().map_or(Val::Null, Val::of_number),
            None => Val::Null,
        },
        Function::FormatTime => match (date(&get(0)), get(1).text()) {
            (Some(date), Some(pattern)) => {
                let mut text = String::new();
                match write!(text, "{}", date.format(&String::from_utf8_lossy(&pattern))) {
                    Ok(()) => Val::text_of(text.into_bytes()),
                    Err(_) => Val::Null,
                }
            }
            _ => Val::Null,
        },
        Function::Year
        | Function::Month
        | Function::Day
        | Function::Hour
        | Function::Minute
        | Function::Second
        | Function::Weekday => date(&get(0)).map_or(Val::Null, |date| part_of(function, &date)),
    }
}

fn part_of(function: Function, date: &DateTime<Utc>) -> Val<'static> {
    Val::Int(i64::from(match function {
        Function::Year => return Val::Int(i64::from(date.year())),
        Function::Month => date.month(),
        Function::Day => date.day(),
        Function::Hour => date.hour(),
        Function::Minute => date.minute(),
        Function::Second => date.second(),
        _ => date.weekday().number_from_monday(),
    }))
}

fn date(value: &Val<'_>) -> Option<DateTime<Utc>> {
    value.instant().map(DateTime::from_timestamp_nanos)
}

fn int(length: usize) -> Val<'static> {
    i64::try_from(length).map_or(Val::Null, Val::Int)
}

fn cased<'v>(value: Val<'v>, of_text: fn(&str) -> String, of_ascii: fn(&mut [u8])) -> Val<'v> {
    let Some(text) = value.into_text() else { return Val::Null };
    if text.is_ascii() {
        let mut text = text.into_owned();
        of_ascii(&mut text);
        return Val::text_of(text);
    }
    match std::str::from_utf8(&text) {
        Ok(text) => Val::text_of(of_text(text).into_bytes()),
        Err(_) => {
            let mut text = text.into_owned();
            of_ascii(&mut text);
            Val::text_of(text)
        }
    }
}

/// A place among so many, counted from the end if negative; at most their number.
fn place(value: &Val<'_>, length: usize) -> Option<usize> {
    let index = match value.number()? {
        Number::Int(int) => int,
        Number::Float(_) => return None,
    };
    let length = i64::try_from(length).ok()?;
    let index = if index < 0 { (length + index.max(-length)).max(0) } else { index.min(length) };
    usize::try_from(index).ok()
}

fn substr(text: &Val<'_>, start: &Val<'_>, length: Option<Val<'_>>) -> Val<'static> {
    let Some(bytes) = text.text() else { return Val::Null };
    let text = String::from_utf8_lossy(&bytes);
    let characters = text.chars().count();
    let Some(start) = place(start, characters) else { return Val::Null };
    let count = match length.map(|length| length.number()) {
        None => characters,
        Some(Some(Number::Int(int))) => usize::try_from(int).unwrap_or(0),
        Some(_) => return Val::Null,
    };
    Val::text_of(text.chars().skip(start).take(count).collect::<String>().into_bytes())
}

fn replace(text: &Val<'_>, from: &Val<'_>, to: &Val<'_>) -> Val<'static> {
    let (Some(text), Some(from), Some(to)) = (text.text(), from.text(), to.text()) else { return Val::Null };
    if from.is_empty() {
        return Val::text_of(text.into_owned());
    }
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), 0);
    for at in memmem::find_iter(&text, &*from) {
        out.extend_from_slice(&text[rest..at]);
        out.extend_from_slice(&to);
        rest = at + from.len();
        if out.len() > TEXT_BYTES {
            return Val::Null;
        }
    }
    out.extend_from_slice(&text[rest..]);
    Val::text_of(out)
}

fn split(text: &Val<'_>, separator: &Val<'_>, index: &Val<'_>) -> Val<'static> {
    let (Some(text), Some(separator), Some(Number::Int(index))) = (text.text(), separator.text(), index.number()) else {
        return Val::Null;
    };
    let mut pieces = Vec::new();
    let mut rest = 0;
    if !separator.is_empty() {
        for at in memmem::find_iter(&text, &*separator) {
            pieces.push(&text[rest..at]);
            rest = at + separator.len();
        }
    }
    pieces.push(&text[rest..]);
    let count = i64::try_from(pieces.len()).unwrap_or(i64::MAX);
    let index = if index < 0 { index + count } else { index };
    let piece = usize::try_from(index).ok().and_then(|index| pieces.get(index));
    piece.map_or(Val::Null, |piece| Val::text_of(piece.to_vec()))
}

#[allow(clippy::cast_possible_truncation)]
fn round(value: &Val<'_>, places: &Val<'_>) -> Val<'static> {
    let places = match places.number() {
        None => 0,
        Some(number) => number.as_f64().clamp(-15.0, 15.0) as i32,
    };
    match value.number() {
        Some(Number::Int(int)) if places >= 0 => Val::Int(int),
        Some(number) if places <= 0 => {
            let scale = 10f64.powi(-places);
            whole((number.as_f64() / scale).round() * scale)
        }
        Some(number) => {
            let (number, scale) = (number.as_f64(), 10f64.powi(places));
            let scaled = number * scale;
            // What is too great to be scaled has no places.
            Val::float(if scaled.is_finite() { scaled.round() / scale } else { number })
        }
        None => Val::Null,
    }
}

/// Rounds down to multiples of a step: instants of its seconds.
fn bin(value: &Val<'_>, step: &Val<'_>) -> Val<'static> {
    if let Val::Time(ns) = value {
        let step = nanoseconds(step).filter(|step| *step > 0);
        return step.map_or(Val::Null, |step| Val::Time(Bin { step, offset: 0 }.floor(*ns)));
    }
    match (value.number(), step.number()) {
        (Some(Number::Int(int)), Some(Number::Int(step))) if step > 0 => Val::Int(Bin { step, offset: 0 }.floor(int)),
        (Some(number), Some(step)) if step.as_f64() > 0.0 => {
            Val::float((number.as_f64() / step.as_f64()).floor() * step.as_f64())
        }
        _ => Val::Null,
    }
}
