//! Counting without reading rows: where one test decides of a source, and it is known how many rows have what passes.

use std::sync::Arc;

use super::{Asked, ColumnPlan, Foresight, LeafPlan, Node, Selector, SourceSelector, judge};
use crate::base::predicate::Field;
use crate::store::source::{Counted, Source};

impl Selector {
    /// How many rows of a whole source are kept, where the counts of its values tell it.
    pub fn count(&self, own: &SourceSelector, source: &dyn Source) -> Option<usize> {
        let index = self.deciding(own, source)?;
        let LeafPlan::Columns(columns) = own.leaves.get(index)? else { return None };
        let asked = self.leaves.get(index)?;
        // Of several fields a row may have what passes in more than one; of one field's columns it has a value in one at most.
        if columns.len() > 1 && !matches!(asked.leaf.field, Field::Named(_)) {
            return None;
        }
        let rows: usize = (0..source.groups()).map(|group| source.rows(group)).sum();
        // More than there are: then what was read is not what was counted.
        columns.iter().map(|column| column.count(asked, source)).sum::<Option<usize>>().filter(|kept| *kept <= rows)
    }

    /// The one test that tells which rows of a source are kept; all others say yes to every row, as a time does of what is within it.
    fn deciding(&self, own: &SourceSelector, source: &dyn Source) -> Option<usize> {
        let says_yes =
            |node: &&Node| (0..source.groups()).all(|group| self.foresee(node, own, source, group) == Foresight::All);
        match &self.root {
            Node::Leaf(index) => Some(*index),
            Node::And(all) => {
                let mut deciding = all.iter().filter(|node| !says_yes(node));
                match (deciding.next(), deciding.next()) {
                    (Some(Node::Leaf(index)), None) => Some(*index),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

impl ColumnPlan {
    /// How many rows of a whole source have a value that passes.
    pub fn count(&self, asked: &Asked, source: &dyn Source) -> Option<usize> {
        if let Some(passing) = self.passing(asked, source) {
            return usize::try_from(passing.iter().map(|(_, rows)| rows).sum::<u64>()).ok();
        }
        let (verdict, counts) = match self.whole(asked, source) {
            Some(verdict) => {
                let counts = source.dict_counts(self.column).ok().flatten();
                (Arc::clone(verdict), counts.filter(|counts| counts.len() == verdict.dict.len())?)
            }
            None => {
                let Counted { dict, counts } = source.value_counts(self.column).ok().flatten()?;
                (Arc::new(judge(&asked.leaf.test, self.kind, dict)), counts)
            }
        };
        let kept = counts.iter().zip(verdict.by_code.iter().skip(1)).filter(|(_, yes)| **yes != 0);
        usize::try_from(kept.map(|(count, _)| count).sum::<u64>()).ok()
    }
}
