//! Expressions: what `eval name = expression` computes, row by row.
//!
//! | written | is |
//! | --- | --- |
//! | `5` `0.25` `1e3` `5m` | numbers; a span of time is its seconds |
//! | `"text"` `true` `false` `null` | constants |
//! | `reqtime` `sd.id` `'user-agent'` `p99(reqtime)` | fields; in `'…'` with other signs than letters, digits, `_`, `.`, `@`; figures of `stats` as they are named |
//! | `+ - * / %` | arithmetic; whole numbers stay whole but for `/`. An instant less an instant is seconds, an instant and seconds an instant |
//! | `= != < <= > >=` | comparison: numbers as numbers, instants as instants, all else as text; between a number and what reads as none only `!=` holds |
//! | `and or not ( )` | logic: `true` holds, all else does not |
//! | `if(c, a, b)` `lower(s)` … | [`Function`]s |
//!
//! What has no sensible result is null: arithmetic on text, division by zero, a number that is too large, anything but logic,
//! `coalesce`, `concat` and `if` of null. A comparison with null does not hold, `!=` does. A column that would be null is absent.
//!
//! Limits: [`DEPTH`], [`NODES`]; strings of [`value::TEXT_BYTES`].

mod functions;
mod run;
mod show;
pub mod value;

use crate::base::predicate::{Pattern, Test};

pub use functions::{FUNCTIONS, Function, FunctionInfo, find};
pub use value::Val;

/// Deepest nesting.
pub const DEPTH: usize = 40;
/// Most constants, fields and operations of one expression.
pub const NODES: usize = 1000;

/// An expression over fields, which are named, or numbered once it is to run.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr<F = String> {
    /// This.
    Const(Val<'static>),
    /// What the row has.
    Field(F),
    /// Whether it does not hold.
    Not(Box<Expr<F>>),
    /// Less than nothing by as much.
    Neg(Box<Expr<F>>),
    /// An operation on two.
    Binary(Op, Box<Expr<F>>, Box<Expr<F>>),
    /// A function of some.
    Call(Function, Vec<Expr<F>>),
    /// `match(text, "regex")`.
    Match(Box<Expr<F>>, Pattern),
    /// `in_net(address, "10.0.0.0/8")`.
    InNet(Box<Expr<F>>, Test),
}

/// An operation on two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Either holds.
    Or,
    /// Both hold.
    And,
    /// Equal.
    Is,
    /// Not equal.
    IsNot,
    /// Less.
    Less,
    /// Less or equal.
    AtMost,
    /// More.
    More,
    /// More or equal.
    AtLeast,
    /// Sum.
    Add,
    /// Difference.
    Subtract,
    /// Product.
    Multiply,
    /// Quotient.
    Divide,
    /// What is left after division.
    Remainder,
}

impl Op {
    /// As it is written.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Or => "or",
            Self::And => "and",
            Self::Is => "=",
            Self::IsNot => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }
}

impl<F> Expr<F> {
    /// The same over other names of fields.
    pub fn map<G>(&self, name: &mut impl FnMut(&F) -> G) -> Expr<G> {
        let mut boxed = |one: &Self| Box::new(one.map(name));
        match self {
            Self::Const(value) => Expr::Const(value.clone()),
            Self::Not(one) => Expr::Not(boxed(one)),
            Self::Neg(one) => Expr::Neg(boxed(one)),
            Self::Match(one, pattern) => Expr::Match(boxed(one), pattern.clone()),
            Self::InNet(one, net) => Expr::InNet(boxed(one), net.clone()),
            Self::Binary(op, a, b) => {
                let a = boxed(a);
                Expr::Binary(*op, a, boxed(b))
            }
            Self::Field(field) => Expr::Field(name(field)),
            Self::Call(function, arguments) => {
                Expr::Call(*function, arguments.iter().map(|argument| argument.map(name)).collect())
            }
        }
    }
}

impl Expr {
    /// The same over places in a list of names, to which its own are added.
    pub fn numbered(&self, names: &mut Vec<String>) -> Expr<usize> {
        self.map(&mut |field: &String| {
            names.iter().position(|name| name == field).unwrap_or_else(|| {
                names.push(field.clone());
                names.len() - 1
            })
        })
    }
}
