//! The least and the greatest of decimals: by them groups are left out that can hold nothing of what is asked.
//!
//! The group table has them as the doubles' bits, in the place of whole numbers.

use crate::base::predicate::Number;

/// Those of a group in which no row has a number: the least is the greater, and nothing lies between them.
pub const NOWHERE: (Number, Number) = (Number::Float(f64::INFINITY), Number::Float(f64::NEG_INFINITY));

/// Least and greatest; `None` of no values, or where one is NaN, which is neither.
pub fn of_floats(values: &[f64]) -> Option<(f64, f64)> {
    let (mut least, mut greatest) = (f64::INFINITY, f64::NEG_INFINITY);
    let mut is_number = !values.is_empty();
    for &value in values {
        least = if value < least { value } else { least };
        greatest = if value > greatest { value } else { greatest };
        is_number &= !value.is_nan();
    }
    is_number.then_some((least, greatest))
}

/// As it is written.
pub fn to_bits((least, greatest): (f64, f64)) -> (i64, i64) {
    (least.to_bits().cast_signed(), greatest.to_bits().cast_signed())
}

/// What was written; `None` if that is not least and greatest.
pub fn from_bits((least, greatest): (i64, i64)) -> Option<(Number, Number)> {
    let (least, greatest) = (f64::from_bits(least.cast_unsigned()), f64::from_bits(greatest.cast_unsigned()));
    (least <= greatest).then_some((Number::Float(least), Number::Float(greatest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_come_back_and_what_is_no_number_has_none() {
        for (values, bounds) in [
            (&[0.5, -1.5, 3.0][..], Some((-1.5, 3.0))),
            (&[-0.0], Some((-0.0, -0.0))),
            (&[f64::INFINITY], Some((f64::INFINITY, f64::INFINITY))),
            (&[f64::NEG_INFINITY, f64::MAX], Some((f64::NEG_INFINITY, f64::MAX))),
            (&[1.0, f64::NAN], None),
            (&[f64::NAN], None),
            (&[], None),
        ] {
            assert_eq!(of_floats(values), bounds, "{values:?}");
            let numbers = bounds.map(|(least, greatest)| (Number::Float(least), Number::Float(greatest)));
            assert_eq!(bounds.map(to_bits).and_then(from_bits), numbers, "{values:?}");
        }
        assert_eq!(from_bits(to_bits((1.0, f64::NAN))), None);
        assert_eq!(from_bits(to_bits((2.0, 1.0))), None);
    }
}
