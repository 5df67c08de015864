//! What a pipeline of Logstash's says, as a tree.

/// A pipeline.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Pipeline {
    /// What its `filter` sections hold, in order.
    pub(super) filters: Vec<Item>,
    /// What its `input` sections hold, with those options only that say what events are given.
    pub(super) inputs: Vec<Plugin>,
    /// Plugins of other sections: section, plugin, line.
    pub(super) others: Vec<(String, String, usize)>,
}

/// A plugin, or a choice between lists of them.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    Plugin(Plugin),
    /// `if`, `else if`, `else`; the last has no condition.
    Branch(Vec<(Option<Condition>, Vec<Item>)>),
}

/// A plugin and its options.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plugin {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) options: Vec<(String, Value)>,
}

/// A value of an option.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Number(String),
    List(Vec<Value>),
    Table(Vec<(String, Value)>),
    /// A codec with options of its own.
    Plugin(Plugin),
}

/// What an `if` asks.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    /// A field that is there and not false.
    Truth(Operand),
    Compare(Operand, Comparison, Operand),
    /// `in`
    In(Operand, Operand),
    /// `=~`
    Matches(Operand, String),
}

/// `==` and its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// One side of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    /// `[a][b]`, as `a.b`.
    Field(String),
    Text(String),
    Number(String),
    List(Vec<Operand>),
}

/// The opposite.
pub(super) fn not(condition: Condition) -> Condition {
    match condition {
        Condition::Not(inner) => *inner,
        other => Condition::Not(Box::new(other)),
    }
}
