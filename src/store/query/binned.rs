//! Values of keys, rounded down to their bins.

use super::plan::Key;
use super::view::Datum;
use crate::base::predicate::Number;
use crate::store::typed::as_number;

/// A value, rounded down to its bin if the key has one; what is no number is then missing.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
pub fn binned<'a>(datum: Datum<'a>, key: &Key) -> Datum<'a> {
    if let Some(rounding) = &key.rounding {
        let number = match datum {
            Datum::Time(ns) => return rounding.time(ns).map_or(Datum::Missing, Datum::Time),
            Datum::Int(int) => Some(Number::Int(int)),
            Datum::Float(float) => Some(Number::Float(float)),
            Datum::Number(value, digits) => Some(as_number(value, digits)),
            Datum::Str(bytes) => Number::parse(bytes),
            Datum::Missing | Datum::List(_) | Datum::Bool(_) => None,
        };
        let rounded = number.and_then(|number| rounding.number(number.as_f64()));
        return rounded.map_or(Datum::Missing, Datum::Float);
    }
    let Some(bin) = &key.bin else { return datum };
    let of_number = |number| match number {
        Number::Int(int) => Datum::Int(bin.floor(int)),
        // Saturates; a bin that wide holds all.
        Number::Float(float) => Datum::Int(bin.floor(float.floor() as i64)),
    };
    match datum {
        Datum::Time(ns) => Datum::Time(bin.floor(ns)),
        Datum::Int(int) => of_number(Number::Int(int)),
        Datum::Number(value, digits) => of_number(as_number(value, digits)),
        Datum::Float(float) if float.is_finite() => of_number(Number::Float(float)),
        Datum::Str(bytes) => Number::parse(bytes).map_or(Datum::Missing, of_number),
        _ => Datum::Missing,
    }
}
