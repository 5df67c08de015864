//! Rounding down for keys of `stats` that steps of whole numbers can't do: calendar months, days of a clock that changes, decimals.
//! Built by code alone; the language has `bin()`.

use std::sync::Arc;

/// Rounding down that a [`super::Bin`] can't do.
#[derive(Clone, Debug, PartialEq)]
pub enum Rounding {
    /// To the greatest of these instants, which ascend; what lies before the first is missing. For `_time`: months, years and
    /// days of a clock that changes.
    Edges(Arc<[i64]>),
    /// To multiples of a decimal step (greater than 0), counted from an offset.
    Decimal {
        /// Distance of multiples.
        step: f64,
        /// Where a multiple lies.
        offset: f64,
    },
}

impl Rounding {
    /// An instant, rounded.
    pub fn time(&self, ns: i64) -> Option<i64> {
        match self {
            Self::Edges(edges) => edges.partition_point(|edge| *edge <= ns).checked_sub(1).map(|at| edges[at]),
            Self::Decimal { .. } => None,
        }
    }

    /// A number, rounded.
    pub fn number(&self, number: f64) -> Option<f64> {
        match self {
            Self::Decimal { step, offset } => {
                // Zero has one sign, or it would be two groups.
                let floor = ((number - offset) / step).floor() * step + offset + 0.0;
                floor.is_finite().then_some(floor)
            }
            Self::Edges(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn down_to_an_edge_or_a_decimal() {
        let edges = Rounding::Edges([10, 20, 40].into());
        let rounded: Vec<_> = [9, 10, 19, 39, 40, 1000].map(|ns| edges.time(ns)).into();
        assert_eq!(rounded, [None, Some(10), Some(10), Some(20), Some(40), Some(40)]);
        assert_eq!(Rounding::Edges([].into()).time(5), None);
        let halves = Rounding::Decimal { step: 0.5, offset: 0.25 };
        assert_eq!([0.2, 0.25, 0.74, -0.1].map(|n| halves.number(n)), [-0.25, 0.25, 0.25, -0.25].map(Some));
        assert_eq!(halves.number(f64::NAN), None);
        assert!(Rounding::Decimal { step: 1.0, offset: 0.0 }.number(-0.0).is_some_and(f64::is_sign_positive));
    }
}
