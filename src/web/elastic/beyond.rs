//! Which rows come after a value in the store's order of values, said as predicates: what every next page begins with.
//!
//! The order is that of [`SortView`], and what is equal there is equal here: numbers by size, however they are spelt; then words by
//! their first [`KEY_CHARACTERS`] characters, among them booleans as the words `true` and `false`; last what is missing, in both
//! directions.
//!
//! Limits: numbers that are none (NaN) have no place. Of a list that has both numbers and words, and of bytes that are no UTF-8, a
//! page may miss some.

use serde_json::Value;

use crate::base::predicate::{Field, Literal, Number, Predicate, Range, Sense, Test};
use crate::store::query::{KEY_CHARACTERS, Pick, SortView};

/// A value of a request as it is sorted.
///
/// # Errors
/// It is no single value.
pub fn view(value: &Value) -> Result<SortView<'_>, String> {
    Ok(match value {
        Value::Null => SortView::Missing,
        Value::Bool(yes) => SortView::Bytes(if *yes { b"true" } else { b"false" }),
        Value::Number(number) => Number::parse(number.to_string().as_bytes()).map_or(SortView::Missing, SortView::Number),
        Value::String(text) => SortView::of_bytes(text.as_bytes()),
        Value::Array(_) | Value::Object(_) => return Err(format!("{value} is no single value")),
    })
}

/// Rows whose field comes after a value, and those where it is equal.
pub fn beyond(name: &str, value: SortView<'_>, descending: bool, pick: Pick) -> (Predicate, Predicate) {
    let missing = || Predicate::exists(name).negate();
    if matches!(value, SortView::Missing) {
        return (Predicate::none(), missing());
    }
    let (equal, beyond) = (some_equal(name, value), some_beyond(name, value, descending, false));
    // A list is where one of its items is, and no other one comes before (or behind) that.
    let is_nearest = descending == (pick == Pick::Greatest);
    let before = |or_equal: bool| some_beyond(name, value, !descending, or_equal).negate();
    let (after, same) = if is_nearest {
        (Predicate::And(vec![beyond, before(true)]), Predicate::And(vec![equal, before(false)]))
    } else {
        (beyond.clone(), Predicate::And(vec![equal, beyond.negate()]))
    };
    (Predicate::Or(vec![after, missing()]), same)
}

/// Rows of which some value lies below (above) one, or is equal to it.
fn some_beyond(name: &str, value: SortView<'_>, below: bool, or_equal: bool) -> Predicate {
    match value {
        SortView::Missing => Predicate::none(),
        SortView::Number(number) => {
            let further = further(name, (literal(number), or_equal), below);
            if below { further } else { Predicate::Or(vec![further, words(name)]) }
        }
        SortView::Bytes(word) => {
            let (strings, mut ways) = texts_beyond(name, word, below, or_equal);
            ways.push(Predicate::And(vec![words(name), strings]));
            ways.extend(below.then(|| numbers(name)));
            Predicate::Or(ways)
        }
    }
}

/// Rows that may have a value at or beyond one, be it an item of a list; none, if that says little: words lie beyond all numbers.
pub fn may_reach(name: &str, value: SortView<'_>, descending: bool) -> Option<Predicate> {
    match (value, descending) {
        (SortView::Number(_), true) => Some(some_beyond(name, value, true, true)),
        (SortView::Bytes(word), false) => {
            let (strings, mut ways) = texts_beyond(name, word, false, true);
            ways.push(strings);
            Some(Predicate::Or(ways))
        }
        _ => None,
    }
}

/// Strings that lie below (above) a word by their bytes, also those that read as numbers, and booleans, which no range holds.
fn texts_beyond(name: &str, word: &[u8], below: bool, or_equal: bool) -> (Predicate, Vec<Predicate>) {
    let (first, behind) = stretch(word);
    // Above it is from the first equal word on, or behind the last; below it the other way round.
    let strings = match if below == or_equal { behind } else { Some(first) } {
        Some(end) => further(name, (end, !below), below),
        None if below => Predicate::exists(name),
        None => Predicate::none(),
    };
    let booleans = ["false", "true"].into_iter().filter_map(|own| {
        let order = if below { word.cmp(own.as_bytes()) } else { own.as_bytes().cmp(word) };
        (order.is_gt() || (or_equal && order.is_eq())).then(|| Predicate::exact(Field::named(name), own))
    });
    (strings, booleans.collect())
}

/// Rows of which some value is equal to one.
fn some_equal(name: &str, value: SortView<'_>) -> Predicate {
    match value {
        SortView::Missing => Predicate::exists(name).negate(),
        SortView::Number(number) => {
            let end = Some((literal(number), true));
            between(name, Range { lower: end.clone(), upper: end })
        }
        SortView::Bytes(word) => {
            let text = String::from_utf8_lossy(word);
            if text.chars().count() < KEY_CHARACTERS {
                return Predicate::exact(Field::named(name), &text);
            }
            let (first, behind) = stretch(word);
            between(name, Range { lower: Some((first, true)), upper: behind.map(|end| (end, false)) })
        }
    }
}

fn further(name: &str, end: (Literal, bool), below: bool) -> Predicate {
    let end = Some(end);
    between(name, if below { Range { lower: None, upper: end } } else { Range { lower: end, upper: None } })
}

fn between(name: &str, range: Range) -> Predicate {
    Predicate::leaf(Field::named(name), Test::Range(range))
}

/// Rows that have a number.
fn numbers(name: &str) -> Predicate {
    between(name, Range { lower: Some((literal(Number::Float(f64::MIN)), true)), upper: None })
}

/// Rows that have a value, and no number.
fn words(name: &str) -> Predicate {
    Predicate::And(vec![Predicate::exists(name), numbers(name).negate()])
}

fn literal(number: Number) -> Literal {
    let text = match number {
        Number::Int(int) => int.to_string(),
        Number::Float(float) => format!("{float:?}"),
    };
    Literal { text: text.into(), sense: Sense::Number(number) }
}

/// The first of the words that are equal to one, and the first behind them, if there is any.
fn stretch(word: &[u8]) -> (Literal, Option<Literal>) {
    let bytes = |text: String| Literal { text: text.into(), sense: Sense::Bytes };
    let text = String::from_utf8_lossy(word);
    let first: String = text.chars().take(KEY_CHARACTERS).collect();
    if first.chars().count() < KEY_CHARACTERS {
        let behind = format!("{first}\0");
        return (bytes(first), Some(bytes(behind)));
    }
    let mut front: Vec<char> = first.chars().collect();
    let mut behind = None;
    while let Some(last) = front.pop() {
        // The order of UTF-8 is that of characters.
        if let Some(next) = (last..=char::MAX).nth(1) {
            front.push(next);
            behind = Some(bytes(front.into_iter().collect()));
            break;
        }
    }
    (bytes(first), behind)
}
