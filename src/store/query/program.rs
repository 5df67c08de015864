//! What `eval`, `extract`, `rename` and `lookup` do, bound to columns: steps from input values to output values, and which name
//! means what after each of them.
//!
//! A name means a stored column, what a step made, or (once it was renamed away) nothing. A [`Program`] knows the names after
//! its last step; a predicate that stood before a step which gave its field another meaning is asked of the program before it.

use std::fmt::Debug;
use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::QueryError;
use super::expr::{Expr, Val};
use super::extract::Extractor;
use super::plan::{Pipe, Take};

/// What names of columns begin with that nobody is to see.
pub const HIDDEN: &str = "_\0";

/// A table of the box: keys and values.
pub trait Table: Debug + Send + Sync {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Option<&[u8]>;
}

/// The tables of the box.
pub trait Tables: Debug + Send + Sync {
    /// Opens one.
    ///
    /// # Errors
    /// A sentence that says why there is none.
    fn table(&self, name: &str) -> Result<Arc<dyn Table>, String>;
}

/// Where an input comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// A field of this name, as it is stored.
    Base(String),
    /// What a step made: the place among all outputs.
    Made(usize),
    /// No column has this name any more.
    Nothing,
}

/// From the values of a row to others.
#[derive(Clone, Debug)]
pub enum Maker {
    /// One value.
    Expr(Expr<usize>),
    /// The pieces of the first input; where it is not like the pattern, the inputs after it.
    Extract(Extractor),
    /// All of a table's value for the first input, or these members of it; where there is none, the inputs after it.
    Lookup(Arc<dyn Table>, Option<Vec<String>>),
}

/// A maker, bound.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it does.
    pub maker: Maker,
    /// What it needs.
    pub inputs: Vec<Binding>,
    /// Its outputs' places among all.
    pub outputs: std::ops::Range<usize>,
}

/// Steps, and what names mean after them.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// In their order.
    pub steps: Vec<Step>,
    shown: Vec<(String, Binding)>,
    hidden: FxHashSet<String>,
    outputs: usize,
    aliases: usize,
}

impl Maker {
    /// How many values it makes.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Expr(_) | Self::Lookup(_, None) => 1,
            Self::Extract(extractor) => extractor.names().len(),
            Self::Lookup(_, Some(members)) => members.len(),
        }
    }

    /// Whether an input may become an output as it is: then a list has all its items.
    pub fn passes(&self, input: usize) -> bool {
        input > 0 && !matches!(self, Self::Expr(_))
    }

    /// Makes them.
    pub fn run<'v>(&'v self, inputs: &[Val<'v>], out: &mut Vec<Val<'v>>) {
        out.clear();
        let before = |index: usize| inputs.get(index + 1).cloned().unwrap_or(Val::Null);
        let first = inputs.first().cloned().unwrap_or(Val::Null);
        match self {
            Self::Expr(expression) => out.push(expression.run(inputs)),
            Self::Extract(extractor) => {
                out.extend((0..extractor.names().len()).map(before));
                match first {
                    Val::Str(std::borrow::Cow::Borrowed(text)) => extractor.find(text, |name, piece| {
                        out[name] = Val::Str(piece.into());
                    }),
                    other => {
                        let text = other.into_text().unwrap_or_default();
                        extractor.find(&text, |name, piece| out[name] = Val::Str(piece.to_vec().into()));
                    }
                }
            }
            Self::Lookup(table, members) => {
                let found = first.text().and_then(|key| table.get(&key));
                let Some(members) = members else {
                    return out.push(found.map_or_else(|| before(0), |value| Val::Str(value.into())));
                };
                let object: serde_json::Value = found.and_then(|value| serde_json::from_slice(value).ok()).unwrap_or_default();
                out.extend(members.iter().enumerate().map(|(index, name)| match object.get(name) {
                    None | Some(serde_json::Value::Null) => before(index),
                    Some(serde_json::Value::String(text)) => Val::text_of(text.clone().into_bytes()),
                    Some(serde_json::Value::Bool(bool)) => Val::Bool(*bool),
                    Some(serde_json::Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
                        (Some(int), _) => Val::Int(int),
                        (None, Some(float)) => Val::float(float),
                        (None, None) => Val::Null,
                    },
                    Some(other) => Val::text_of(other.to_string().into_bytes()),
                }));
            }
        }
    }
}

impl Program {
    /// Whether names mean what is stored.
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty() && self.hidden.is_empty()
    }

    /// How many outputs all steps have.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Names that mean something else than the stored field of that name, and what.
    pub fn shown(&self) -> &[(String, Binding)] {
        &self.shown
    }

    /// Whether the stored field of this name is no longer seen under it.
    pub fn hides(&self, name: &str) -> bool {
        self.hidden.contains(name)
    }

    /// What a name means.
    pub fn bind(&self, name: &str) -> Binding {
        match self.shown.iter().find(|(own, _)| own == name) {
            Some((_, binding)) => binding.clone(),
            None if self.hides(name) => Binding::Nothing,
            None => Binding::Base(name.to_owned()),
        }
    }

    fn assign(&mut self, name: &str, binding: Binding) {
        self.shown.retain(|(own, _)| own != name);
        self.hidden.insert(name.to_owned());
        self.shown.push((name.to_owned(), binding));
    }

    /// Another name for what a name means now, whatever becomes of that.
    pub fn alias(&mut self, name: &str) -> String {
        let alias = format!("{HIDDEN}{}", self.aliases);
        self.aliases += 1;
        let binding = self.bind(name);
        self.assign(&alias, binding);
        alias
    }

    fn step(&mut self, maker: Maker, inputs: &[String], names: &[String]) {
        let inputs = inputs.iter().map(|name| self.bind(name)).collect();
        let outputs = self.outputs..self.outputs + maker.outputs();
        self.outputs = outputs.end;
        for (name, output) in names.iter().zip(outputs.clone()) {
            self.assign(name, Binding::Made(output));
        }
        self.steps.push(Step { maker, inputs, outputs });
    }

    /// The names that a pipe gives another meaning; none of a pipe that is not computed row by row.
    pub fn changed(pipe: &Pipe) -> Option<Vec<String>> {
        Some(match pipe {
            Pipe::Eval(columns) => columns.iter().map(|(name, _)| name.clone()).collect(),
            Pipe::Extract(extractor, _) => extractor.names().to_vec(),
            Pipe::Rename(columns) => columns.iter().flat_map(|(from, to)| [from.clone(), to.clone()]).collect(),
            Pipe::Lookup(lookup) => match &lookup.take {
                Take::Whole(column) => vec![column.clone()],
                Take::Members(members) => members.iter().map(|(_, column)| column.clone()).collect(),
            },
            _ => return None,
        })
    }

    /// Adds a pipe that is computed row by row.
    ///
    /// # Errors
    /// A table that is not there.
    pub fn add(&mut self, pipe: &Pipe, tables: Option<&dyn Tables>) -> Result<(), QueryError> {
        match pipe {
            Pipe::Eval(columns) => {
                for (name, expression) in columns {
                    let mut inputs = Vec::new();
                    let maker = Maker::Expr(expression.numbered(&mut inputs));
                    self.step(maker, &inputs, std::slice::from_ref(name));
                }
            }
            Pipe::Extract(extractor, from) => {
                let inputs: Vec<String> = std::iter::once(from).chain(extractor.names()).cloned().collect();
                self.step(Maker::Extract(extractor.clone()), &inputs, extractor.names());
            }
            Pipe::Rename(columns) => {
                for (from, to) in columns.iter().filter(|(from, to)| from != to) {
                    let binding = self.bind(from);
                    self.shown.retain(|(own, _)| own != from);
                    self.hidden.insert(from.clone());
                    self.assign(to, binding);
                }
            }
            Pipe::Lookup(lookup) => {
                let none = || Err("there are no tables here".to_owned());
                let table = tables.map_or_else(none, |tables| tables.table(&lookup.table));
                let table = table.map_err(|why| QueryError::Refused(format!("lookup {}: {why}", lookup.table)))?;
                let (members, names): (_, Vec<String>) = match &lookup.take {
                    Take::Whole(column) => (None, vec![column.clone()]),
                    Take::Members(members) => {
                        let (members, names) = members.iter().cloned().unzip();
                        (Some(members), names)
                    }
                };
                let inputs: Vec<String> = std::iter::once(&lookup.on).chain(&names).cloned().collect();
                self.step(Maker::Lookup(table, members), &inputs, &names);
            }
            _ => {}
        }
        Ok(())
    }
}
