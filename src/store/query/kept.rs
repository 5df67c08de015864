//! Values as `first`, `last` and `values` keep them, and what they take.
//!
//! Limits: the memory that a figure is given ([`Room`]); what has none is not kept, and the answer says so. `values` passes over
//! what is longer than [`LONGEST`], and is then marked as not exact.

use std::collections::BTreeSet;

use super::figures::Moment;
use super::out::OutValue;
use super::view::Datum;
use crate::base::predicate::Number;
use crate::base::time;
use crate::store::source::list_items;
use crate::store::typed::put_number;

/// What a value kept by `first`, `last` or `values` costs beside its bytes.
const BESIDE: usize = 64;
/// Longest value of `values`, in bytes.
pub const LONGEST: usize = 64 * 1024;

/// The value of the first or last row.
#[derive(Debug)]
pub enum Kept {
    Value(OutValue),
    /// There was no memory for it.
    TooLong,
}

impl Kept {
    /// Bytes beside its place.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Value(OutValue::Str(bytes)) => bytes.len(),
            Self::Value(OutValue::List(items)) => items.iter().map(|item| item.len() + BESIDE).sum(),
            _ => 0,
        }
    }
}

/// A value as `values` shows it; its text tells it from others.
pub fn texts(datum: Datum<'_>, mut take: impl FnMut(&[u8])) {
    match datum {
        Datum::Missing => {}
        Datum::Str(bytes) => take(bytes),
        Datum::List(entry) => list_items(entry).for_each(take),
        Datum::Number(value, digits) => {
            let mut text = Vec::new();
            put_number(&mut text, value, digits);
            take(&text);
        }
        Datum::Int(int) => take(int.to_string().as_bytes()),
        Datum::Float(float) => take(Number::text_of(float).as_bytes()),
        Datum::Bool(bool) => take(if bool { b"true" } else { b"false" }),
        Datum::Time(ns) => take(time::format(ns).as_bytes()),
    }
}

/// Memory for what a figure's groups hold beside their places.
#[derive(Debug)]
pub struct Room {
    /// Bytes in use, about.
    pub held: usize,
    /// How many there may be.
    pub most: usize,
    /// Whether something was not kept for want of it.
    pub cut: bool,
}

impl Room {
    /// For so many bytes.
    pub fn new(most: usize) -> Self {
        Self { held: 0, most, cut: false }
    }

    /// Takes so many, if there are as many.
    fn take(&mut self, bytes: usize) -> bool {
        let fits = self.held.saturating_add(bytes) <= self.most;
        self.held += if fits { bytes } else { 0 };
        fits
    }

    fn give(&mut self, bytes: usize) {
        self.held = self.held.saturating_sub(bytes);
    }

    /// Does something to what may grow or shrink by it.
    pub fn grown<T>(&mut self, own: &mut T, bytes: impl Fn(&T) -> usize, act: impl FnOnce(&mut T)) {
        let before = bytes(own);
        act(own);
        self.held = (self.held + bytes(own)).saturating_sub(before);
    }
}

/// Keeps the least texts of a set, so that which are kept does not depend on their order of arrival.
pub fn keep(set: &mut BTreeSet<Box<[u8]>>, text: &[u8], most: usize, more: &mut bool, room: &mut Room) {
    if set.contains(text) {
        return;
    }
    if text.len() > LONGEST || (set.len() >= most && set.last().is_some_and(|last| **last < *text)) {
        *more = true;
        return;
    }
    if !room.take(text.len() + BESIDE) {
        room.cut = true;
        return;
    }
    set.insert(text.into());
    if set.len() > most {
        *more = true;
        room.give(set.pop_last().map_or(0, |last| last.len() + BESIDE));
    }
}

/// Keeps the better of two rows' values. One that there is no memory for is known to be the better all the same.
pub fn keep_one(
    own: &mut Option<(Moment, Kept)>,
    moment: Moment,
    latest: bool,
    room: &mut Room,
    value: impl FnOnce() -> Option<Kept>,
) {
    let better = |own: &Moment| if latest { moment > *own } else { moment < *own };
    if !own.as_ref().is_none_or(|(own, _)| better(own)) {
        return;
    }
    let Some(value) = value() else { return };
    room.give(own.as_ref().map_or(0, |(_, before)| before.bytes()));
    let value = if room.take(value.bytes()) { value } else { Kept::TooLong };
    *own = Some((moment, value));
}
