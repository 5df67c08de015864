//! What of a list orders its row.

use std::cmp::Ordering;

use super::out::{OutValue, SortView};
use super::view::Datum;
use crate::base::predicate::Number;
use crate::store::source::list_items;

/// What of a list orders its row; a single value is itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pick {
    /// Its first item.
    #[default]
    First,
    /// The least.
    Least,
    /// The greatest.
    Greatest,
    /// The sum of the items that are numbers.
    Sum,
    /// Their mean.
    Mean,
    /// The one in the middle, or the mean of the two there.
    Median,
}

impl Pick {
    /// Whether it is one of the items.
    pub fn is_item(self) -> bool {
        matches!(self, Self::First | Self::Least | Self::Greatest)
    }

    /// The value of items.
    #[allow(clippy::cast_precision_loss)]
    fn of<'a>(self, mut items: impl Iterator<Item = &'a [u8]>) -> SortView<'a> {
        let better =
            |wanted: Ordering| move |own: SortView<'a>, item: SortView<'a>| if item.order(&own) == wanted { item } else { own };
        let found = match self {
            Self::First => items.next().map(SortView::of_bytes),
            Self::Least => items.map(SortView::of_bytes).reduce(better(Ordering::Less)),
            Self::Greatest => items.map(SortView::of_bytes).reduce(better(Ordering::Greater)),
            Self::Sum | Self::Mean | Self::Median => {
                let mut numbers: Vec<f64> = items.filter_map(Number::parse).map(|number| number.as_f64()).collect();
                numbers.sort_unstable_by(f64::total_cmp);
                let middle = numbers.len() / 2;
                let number = match (self, numbers.get(middle)) {
                    (_, None) => None,
                    (Self::Sum, _) => Some(numbers.iter().sum()),
                    (Self::Mean, _) => Some(numbers.iter().sum::<f64>() / numbers.len() as f64),
                    (_, Some(own)) if numbers.len() % 2 == 1 => Some(*own),
                    (_, Some(own)) => numbers.get(middle.saturating_sub(1)).map(|before| f64::midpoint(*before, *own)),
                };
                number.map(|number| SortView::Number(Number::Float(number)))
            }
        };
        found.unwrap_or(SortView::Missing)
    }

    /// How a stored value orders its row.
    pub fn of_datum(self, datum: Datum<'_>) -> SortView<'_> {
        match datum {
            Datum::List(entry) => self.of(list_items(entry)),
            other => other.sort_view(),
        }
    }

    /// How a value of an answer orders its row.
    pub fn of_value(self, value: &OutValue) -> SortView<'_> {
        match value {
            OutValue::List(items) => self.of(items.iter().map(|item| &**item)),
            other => other.sort_view(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_ordered_by_what_is_picked() {
        let list = |items: &[&str]| OutValue::List(items.iter().map(|item| item.as_bytes().into()).collect());
        let all = [Pick::First, Pick::Least, Pick::Greatest, Pick::Sum, Pick::Mean, Pick::Median];
        let number = |number: f64| SortView::Number(Number::Float(number));
        for (items, expected) in [
            (list(&["7", "10", "1"]), [7.0, 1.0, 10.0, 18.0, 6.0, 7.0].map(number)),
            (list(&["2", "-1"]), [2.0, -1.0, 2.0, 1.0, 0.5, 0.5].map(number)),
        ] {
            for (pick, expected) in all.into_iter().zip(expected) {
                assert_eq!(pick.of_value(&items).order(&expected), Ordering::Equal, "{items:?} {pick:?}");
            }
        }
        let words = list(&["b", "5", "c"]);
        assert_eq!(Pick::Least.of_value(&words), SortView::of_bytes(b"5"));
        assert_eq!(Pick::Greatest.of_value(&words), SortView::Bytes(b"c"));
        assert_eq!(Pick::Mean.of_value(&list(&["b"])), SortView::Missing);
        assert_eq!(Pick::Least.of_value(&OutValue::Int(3)), SortView::Number(Number::Int(3)));
    }
}
