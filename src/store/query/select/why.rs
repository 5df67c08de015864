//! What a selector tells of itself: the order in which it asks, and why it left a group out.

use super::super::explain::Why;
use super::super::out::virtual_field;
use super::super::typed;
use super::{ColumnPlan, Foresight, LeafPlan, Node, PerRow, Selector, SourceSelector};
use crate::base::predicate::{Field, Predicate};
use crate::store::source::Source;

impl Selector {
    /// Why [`Selector::may_match`] said no.
    pub fn why_not(&self, own: &SourceSelector, source: &dyn Source, group: usize) -> Why {
        self.why(&self.root, own, source, group)
    }

    fn why(&self, node: &Node, own: &SourceSelector, source: &dyn Source, group: usize) -> Why {
        let is_none = |one: &&Node| self.foresee(one, own, source, group) == Foresight::None;
        match node {
            Node::And(all) => all.iter().find(is_none).map_or(Why::Index, |one| self.why(one, own, source, group)),
            Node::Or(any) => any.last().map_or(Why::Absent, |one| self.why(one, own, source, group)),
            Node::All | Node::Not(_) => Why::Absent,
            Node::Leaf(index) => match own.leaves.get(*index) {
                Some(LeafPlan::Fixed(_)) | None => match self.leaves.get(*index).map(|asked| &asked.leaf.field) {
                    Some(Field::Named(name)) if **name == *virtual_field::TOPIC => Why::Topic,
                    _ => Why::Absent,
                },
                Some(LeafPlan::Virtual(PerRow::Time)) => Why::Time,
                Some(LeafPlan::Virtual(_)) => Why::Bounds,
                Some(LeafPlan::Columns(columns)) => {
                    let test = self.leaves.get(*index).map(|asked| &asked.leaf.test);
                    let beyond = |bounds| test.is_some_and(|test| !typed::may_match(test, bounds));
                    let bounded = |column: &ColumnPlan| {
                        source
                            .bounds(group, column.column)
                            .is_some_and(|(least, greatest)| test.is_some_and(|test| !test.may_match_numbers(least, greatest)))
                            || source.number_bounds(group, column.column).is_some_and(beyond)
                    };
                    let texts = !columns.iter().any(bounded);
                    let barren =
                        |column: &ColumnPlan| matches!(column.whole.get(), Some(Some(verdict)) if verdict.matching == 0);
                    match texts {
                        false => Why::Bounds,
                        true if columns.iter().any(barren) => Why::Dictionary,
                        true => Why::Index,
                    }
                }
            },
        }
    }

    /// The parts of the predicate in the order in which they are asked.
    pub fn order(&self) -> Vec<String> {
        fn flat<'n>(node: &'n Node, into: &mut Vec<&'n Node>) {
            match node {
                Node::All => {}
                Node::And(all) => all.iter().for_each(|one| flat(one, into)),
                one => into.push(one),
            }
        }
        let mut parts = Vec::new();
        flat(&self.root, &mut parts);
        parts.into_iter().map(|one| self.shown(one).to_string()).collect()
    }

    fn shown(&self, node: &Node) -> Predicate {
        match node {
            Node::All => Predicate::All,
            Node::And(all) => Predicate::And(all.iter().map(|one| self.shown(one)).collect()),
            Node::Or(any) => Predicate::Or(any.iter().map(|one| self.shown(one)).collect()),
            Node::Not(one) => self.shown(one).negate(),
            Node::Leaf(index) => self.leaves.get(*index).map_or(Predicate::All, |asked| Predicate::Leaf(asked.leaf.clone())),
        }
    }
}
