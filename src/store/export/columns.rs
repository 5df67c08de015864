//! Which columns an answer has, and of what type each is: seen by running it once.

use std::sync::Arc;

use hashbrown::HashMap;

use super::{COLUMNS, ExportError, each};
use crate::store::query::{Cancel, OutRow, OutValue, Pipe, Request, virtual_field};
use crate::store::source::Source;

/// Past this a decimal does not hold every whole number.
const EXACT: u64 = 1 << 53;

/// What a column's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Whole numbers.
    Int,
    /// Decimals, or both in one.
    Float,
    /// Yes or no.
    Bool,
    /// Instants.
    Time,
    /// UTF-8.
    Text,
    /// Any bytes.
    Bytes,
    /// Lists of UTF-8.
    Texts,
    /// Lists of bytes.
    BytesList,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: Arc<str>,
    /// What its values are.
    pub kind: Type,
}

/// The columns of an answer.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// In the order in which they are written.
    pub all: Vec<Column>,
    by_name: HashMap<Arc<str>, usize>,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    ints: bool,
    large: bool,
    floats: bool,
    bools: bool,
    times: bool,
    strings: bool,
    lists: bool,
    broken: bool,
}

impl Seen {
    fn note(&mut self, value: &OutValue) {
        let broken = |bytes: &[u8]| simdutf8::basic::from_utf8(bytes).is_err();
        match value {
            OutValue::Null => {}
            OutValue::Int(int) => {
                self.ints = true;
                self.large |= int.unsigned_abs() > EXACT;
            }
            OutValue::Float(_) => self.floats = true,
            OutValue::Bool(_) => self.bools = true,
            OutValue::Time(_) => self.times = true,
            OutValue::Str(bytes) => {
                self.strings = true;
                self.broken |= !self.broken && broken(bytes);
            }
            OutValue::List(items) => {
                self.lists = true;
                self.broken |= !self.broken && items.iter().any(|item| broken(item));
            }
        }
    }

    fn kind(self) -> Type {
        let (text, list) = if self.broken { (Type::Bytes, Type::BytesList) } else { (Type::Text, Type::Texts) };
        if self.lists {
            return list;
        }
        match (self.ints, self.floats, self.bools, self.times, self.strings) {
            (true, false, false, false, false) => Type::Int,
            (false, true, false, false, false) => Type::Float,
            (true, true, false, false, false) if !self.large => Type::Float,
            (false, false, true, false, false) => Type::Bool,
            (false, false, false, true, false) => Type::Time,
            _ => text,
        }
    }
}

impl Columns {
    /// Runs a query for its columns.
    ///
    /// # Errors
    /// The query's, and more columns than [`COLUMNS`].
    pub fn of(sources: &[Arc<dyn Source>], request: &Request, cancel: &Cancel) -> Result<Self, ExportError> {
        let mut order: Vec<Arc<str>> = Vec::new();
        let mut seen = HashMap::<Arc<str>, Seen>::new();
        each(sources, request, cancel, |row: OutRow| {
            for (name, value) in &row.fields {
                if let Some(seen) = seen.get_mut(name) {
                    seen.note(value);
                    continue;
                }
                if order.len() == COLUMNS {
                    return Err(ExportError::Refused(format!(
                        "there are more than {COLUMNS} fields; say which with `| fields a, b`, or take NDJSON"
                    )));
                }
                order.push(name.clone());
                let mut first = Seen::default();
                first.note(value);
                seen.insert(name.clone(), first);
            }
            Ok(())
        })?;
        // Rows as they are begin with what each of them has; where pipes made the columns, theirs is the order.
        let shaped = |pipe: &Pipe| !matches!(pipe, Pipe::Where(_) | Pipe::Sort(_) | Pipe::Limit(_));
        if !request.query.pipes.iter().any(shaped) {
            let place = |name: &str| virtual_field::ALL.iter().position(|own| *own == name).unwrap_or(usize::MAX);
            order.sort_by(|a, b| place(a).cmp(&place(b)).then_with(|| a.cmp(b)));
        }
        let column = |name: Arc<str>| Column { kind: seen.get(&name).copied().unwrap_or_default().kind(), name };
        let all: Vec<Column> = order.into_iter().map(column).collect();
        let by_name = all.iter().enumerate().map(|(at, column)| (column.name.clone(), at)).collect();
        Ok(Self { all, by_name })
    }

    /// Where a column stands.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }
}
