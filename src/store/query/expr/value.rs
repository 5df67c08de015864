//! Values inside an expression, and how they turn into one another.
//!
//! A string that reads as a number is one wherever a number is wanted, as in predicates. Expressions take of a list its first item;
//! only what passes a step unchanged stays a list ([`Val::whole`]).

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::base::predicate::Number;
use crate::base::time;
use crate::store::query::out::OutValue;
use crate::store::query::view::Datum;
use crate::store::source::{list_items, push_list_item};
use crate::store::typed::put_number;

/// Longest string that an expression makes; what would be longer is null.
pub const TEXT_BYTES: usize = 1 << 20;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Val<'a> {
    /// None.
    Null,
    /// A string, as bytes.
    Str(Cow<'a, [u8]>),
    /// A whole number.
    Int(i64),
    /// A decimal number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
    /// An instant, nanoseconds since 1970. In a column it becomes text.
    Time(i64),
    /// A list as it is stored, on its way from one column to another: nothing computes with it.
    List(Cow<'a, [u8]>),
}

impl<'a> Val<'a> {
    /// A string of its own; null where it is too long.
    pub fn text_of(bytes: Vec<u8>) -> Self {
        if bytes.len() > TEXT_BYTES { Self::Null } else { Self::Str(Cow::Owned(bytes)) }
    }

    /// A decimal number; null where it is none.
    pub fn float(value: f64) -> Self {
        if value.is_finite() { Self::Float(value) } else { Self::Null }
    }

    /// A number.
    pub fn of_number(number: Number) -> Self {
        match number {
            Number::Int(int) => Self::Int(int),
            Number::Float(float) => Self::float(float),
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// As a number; an instant is its seconds since 1970.
    #[allow(clippy::cast_precision_loss)]
    pub fn number(&self) -> Option<Number> {
        match self {
            Self::Int(int) => Some(Number::Int(*int)),
            Self::Float(float) => Some(Number::Float(*float)),
            Self::Str(bytes) => Number::parse(bytes),
            Self::Time(ns) => Some(Number::Float(*ns as f64 / 1e9)),
            Self::Null | Self::Bool(_) | Self::List(_) => None,
        }
    }

    /// As text; none of null.
    pub fn text(&self) -> Option<Cow<'_, [u8]>> {
        Some(match self {
            Self::Null | Self::List(_) => return None,
            Self::Str(bytes) => Cow::Borrowed(bytes),
            Self::Int(int) => Cow::Owned(int.to_string().into_bytes()),
            Self::Float(float) => Cow::Owned(Number::text_of(*float).into_bytes()),
            Self::Bool(bool) => Cow::Borrowed(if *bool { b"true" } else { b"false" }),
            Self::Time(ns) => Cow::Owned(time::format(*ns).into_bytes()),
        })
    }

    /// The same as text that lives as long; null stays null.
    pub fn into_text(self) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::Str(bytes) => Some(bytes),
            other => other.text().map(|text| Cow::Owned(text.into_owned())),
        }
    }

    /// As an instant: text as in `_time`, a number as an epoch.
    pub fn instant(&self) -> Option<i64> {
        match self {
            Self::Time(ns) => Some(*ns),
            Self::Int(int) => time::epoch(*int),
            Self::Float(_) | Self::Str(_) => {
                let text = self.text()?;
                if text.len() > 64 { None } else { time::parse(std::str::from_utf8(&text).ok()?) }
            }
            Self::Null | Self::Bool(_) | Self::List(_) => None,
        }
    }

    /// Whether a condition holds.
    pub fn truth(&self) -> bool {
        match self {
            Self::Bool(bool) => *bool,
            Self::Str(bytes) => &**bytes == b"true",
            _ => false,
        }
    }

    /// Compares two as numbers, as instants where one is an instant, else as text; none with null, and none of a number with what
    /// reads as none, as in predicates.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        let is_number = |value: &Self| matches!(value, Self::Int(_) | Self::Float(_));
        let is_apart = |number: &Self, other: &Self| is_number(number) && other.number().is_none();
        if is_apart(self, other) || is_apart(other, self) { None } else { self.order(other) }
    }

    /// The same, but numbers are in the order of their text among what reads as none.
    pub fn order(&self, other: &Self) -> Option<Ordering> {
        if matches!(self, Self::Time(_)) || matches!(other, Self::Time(_)) {
            return Some(self.instant()?.cmp(&other.instant()?));
        }
        if let (Some(a), Some(b)) = (self.number(), other.number()) {
            return a.compare(b);
        }
        Some(self.text()?.cmp(&other.text()?))
    }

    /// As it lies in a column: instants become text.
    pub fn settled(self) -> Self {
        match self {
            Self::Time(ns) => Self::Str(Cow::Owned(time::format(ns).into_bytes())),
            other => other,
        }
    }

    /// The same, owning its bytes.
    pub fn into_owned(self) -> Val<'static> {
        match self {
            Self::Null => Val::Null,
            Self::Str(bytes) => Val::Str(Cow::Owned(bytes.into_owned())),
            Self::Int(int) => Val::Int(int),
            Self::Float(float) => Val::Float(float),
            Self::Bool(bool) => Val::Bool(bool),
            Self::Time(ns) => Val::Time(ns),
            Self::List(entry) => Val::List(Cow::Owned(entry.into_owned())),
        }
    }

    /// As a value of an answer; none of null.
    pub fn to_out(self) -> Option<OutValue> {
        Some(match self.settled() {
            Self::Null => return None,
            Self::Str(bytes) => OutValue::Str(bytes.into_owned().into()),
            Self::Int(int) => OutValue::Int(int),
            Self::Float(float) => OutValue::Float(float),
            Self::Bool(bool) => OutValue::Bool(bool),
            Self::Time(ns) => OutValue::Time(ns),
            Self::List(entry) => OutValue::List(list_items(&entry).map(Into::into).collect()),
        })
    }

    /// A stored value, a list with all its items.
    pub fn whole(datum: Datum<'a>) -> Self {
        match datum {
            Datum::List(entry) => Self::List(Cow::Borrowed(entry)),
            other => Self::from(other),
        }
    }

    /// A value of an answer, a list with all its items.
    pub fn whole_of(value: &'a OutValue) -> Self {
        let OutValue::List(items) = value else { return Self::from(value) };
        let mut entry = Vec::new();
        items.iter().for_each(|item| push_list_item(&mut entry, item));
        Self::List(Cow::Owned(entry))
    }
}

impl<'a> From<Datum<'a>> for Val<'a> {
    fn from(datum: Datum<'a>) -> Self {
        match datum {
            Datum::Missing => Self::Null,
            Datum::Str(bytes) => Self::Str(Cow::Borrowed(bytes)),
            Datum::List(entry) => list_items(entry).next().map_or(Self::Null, |item| Self::Str(Cow::Borrowed(item))),
            Datum::Number(value, digits) => {
                let mut text = Vec::new();
                put_number(&mut text, value, digits);
                Self::Str(Cow::Owned(text))
            }
            Datum::Int(int) => Self::Int(int),
            Datum::Float(float) => Self::Float(float),
            Datum::Bool(bool) => Self::Bool(bool),
            Datum::Time(ns) => Self::Time(ns),
        }
    }
}

impl<'a> From<&'a OutValue> for Val<'a> {
    fn from(value: &'a OutValue) -> Self {
        match value {
            OutValue::Null => Self::Null,
            OutValue::Str(bytes) => Self::Str(Cow::Borrowed(bytes)),
            OutValue::List(items) => items.first().map_or(Self::Null, |item| Self::Str(Cow::Borrowed(item))),
            OutValue::Int(int) => Self::Int(*int),
            OutValue::Float(float) => Self::Float(*float),
            OutValue::Bool(bool) => Self::Bool(*bool),
            OutValue::Time(ns) => Self::Time(*ns),
        }
    }
}
