//! A predicate bound to a table of names, to be tried on the cells of one row after the other.
//!
//! Names are looked up once per table, not per row. A cell's name may occur several times in a row (a list): any of them may pass.

use std::sync::Arc;

use super::test::Test;
use super::{Leaf, Predicate};
use crate::base::row::Cell;

/// A predicate, ready for rows of one table of names.
#[derive(Clone, Debug)]
pub struct Bound(Node);

#[derive(Clone, Debug)]
enum Node {
    Always(bool),
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Time(Test),
    Cells { names: Vec<u32>, test: Test },
}

impl Bound {
    pub(super) fn new(predicate: &Predicate, names: &[Arc<str>]) -> Self {
        Self(bind(predicate, names))
    }

    /// Whether a row of these cells and this time is kept.
    pub fn matches(&self, cells: &[Cell<'_>], time_ns: i64) -> bool {
        try_on(&self.0, cells, time_ns)
    }
}

fn bind(predicate: &Predicate, names: &[Arc<str>]) -> Node {
    match predicate {
        Predicate::All => Node::Always(true),
        Predicate::And(all) => Node::And(all.iter().map(|one| bind(one, names)).collect()),
        Predicate::Or(any) => Node::Or(any.iter().map(|one| bind(one, names)).collect()),
        Predicate::Not(one) => Node::Not(Box::new(bind(one, names))),
        Predicate::Leaf(leaf) => bind_leaf(leaf, names),
    }
}

fn bind_leaf(leaf: &Leaf, names: &[Arc<str>]) -> Node {
    if leaf.field.is_time() {
        return Node::Time(leaf.test.clone());
    }
    let names: Vec<u32> = (0u32..).zip(names).filter(|(_, name)| leaf.field.is(name)).map(|(index, _)| index).collect();
    if names.is_empty() { Node::Always(false) } else { Node::Cells { names, test: leaf.test.clone() } }
}

fn try_on(node: &Node, cells: &[Cell<'_>], time_ns: i64) -> bool {
    match node {
        Node::Always(verdict) => *verdict,
        Node::And(all) => all.iter().all(|one| try_on(one, cells, time_ns)),
        Node::Or(any) => any.iter().any(|one| try_on(one, cells, time_ns)),
        Node::Not(one) => !try_on(one, cells, time_ns),
        Node::Time(test) => test.matches_time(time_ns),
        Node::Cells { names, test } => cells.iter().any(|cell| names.contains(&cell.name) && test.matches(&cell.value)),
    }
}
