//! Avro schemas, made into a plan that data can be read by without looking at names again.
//!
//! What comes in: the JSON text of a schema and of those it refers to. What goes out: [`Plan`], a list of nodes that name each
//! other by number, so that a type that holds itself is no special case, with field names and symbols already written as JSON.
//! `apache-avro` reads the text (names, namespaces, logical types); data is read by [`super::datum`].
//!
//! What a type becomes:
//! * record and map: an object, fields in the schema's order; array: an array; union: its value as if there were no union;
//! * enum: its symbol; bytes and fixed: base64; string: as it is;
//! * `date`, `time-*`, `timestamp-*`, `local-timestamp-*`: text ([`super::document`] says which), local ones without `Z`;
//! * `decimal` of up to 15 digits: a number; of more: a string, because no digit may be lost; `big-decimal`: a string;
//! * `uuid`: its usual text; `duration`: `{"months":1,"days":2,"millis":3}`;
//! * a logical type that does not fit its type is ignored, as the standard says.
//!
//! Limits: [`SCHEMA_BYTES`] a text, [`NODES`] nodes. A schema past them, or that does not parse, is refused with the reason.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;

use apache_avro::Schema;
use apache_avro::schema::{InnerDecimalSchema, Name, UuidSchema};

use super::document::Writer;

/// Largest text of one schema.
pub(crate) const SCHEMA_BYTES: usize = 1024 * 1024;
/// Most nodes of a plan.
const NODES: usize = 100_000;
/// Decimals of so many digits are the same number again after a detour through 64-bit floats.
const EXACT_DIGITS: usize = 15;

/// A type, and the numbers of those within.
#[derive(Debug)]
pub(super) enum Node {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Array(u32),
    Map(u32),
    Union(Box<[u32]>),
    /// Each field with what stands before its value: `"name":`, from the second on with the comma.
    Record(Box<[(Box<[u8]>, u32)]>),
    /// Symbols, quoted.
    Enum(Box<[Box<[u8]>]>),
    Fixed(usize),
    Decimal {
        size: Option<usize>,
        scale: usize,
        number: bool,
    },
    BigDecimal,
    UuidBytes {
        size: Option<usize>,
    },
    Date,
    /// Units of a second; of the first the data is an int.
    Time(i64),
    Timestamp(i64),
    LocalTimestamp(i64),
    Duration,
}

/// A schema, ready to read data by.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(super) nodes: Vec<Node>,
    pub(super) root: u32,
}

impl Plan {
    /// Reads a schema and those it refers to by name.
    pub(super) fn new(schema: &str, references: &[String]) -> Result<Self, String> {
        if let Some(long) = [schema].into_iter().chain(references.iter().map(String::as_str)).find(|s| s.len() > SCHEMA_BYTES) {
            return Err(format!("a schema of {} bytes; at most {SCHEMA_BYTES}", long.len()));
        }
        // The crate has assertions about schemas, and schemas come from elsewhere.
        let parsed = std::panic::catch_unwind(AssertUnwindSafe(|| Schema::parse_str_with_list(schema, references)));
        let (schema, others) = match parsed {
            Ok(Ok(parsed)) => parsed,
            Ok(Err(error)) => return Err(format!("the schema is none: {error}")),
            Err(_) => return Err("the schema is none that can be read".to_owned()),
        };
        let mut maker = Maker::default();
        for one in others.iter().chain([&schema]) {
            maker.define(one, "");
        }
        let root = maker.make(&schema, "")?;
        Ok(Self { nodes: maker.nodes, root })
    }
}

#[derive(Default)]
struct Maker<'s> {
    nodes: Vec<Node>,
    made: HashMap<String, u32>,
    /// Every named type with its namespace.
    defined: HashMap<String, (&'s Schema, String)>,
}

/// The name of a type that has one.
fn named(schema: &Schema) -> Option<&Name> {
    match schema {
        Schema::Record(record) => Some(&record.name),
        Schema::Enum(symbols) => Some(&symbols.name),
        Schema::Fixed(fixed) | Schema::Duration(fixed) | Schema::Uuid(UuidSchema::Fixed(fixed)) => Some(&fixed.name),
        Schema::Decimal(decimal) => match &decimal.inner {
            InnerDecimalSchema::Fixed(fixed) => Some(&fixed.name),
            InnerDecimalSchema::Bytes => None,
        },
        _ => None,
    }
}

fn full(name: &Name, namespace: &str) -> String {
    name.fullname(Some(namespace))
}

fn namespace_of(full: &str) -> &str {
    full.rsplit_once('.').map_or("", |(namespace, _)| namespace)
}

impl<'s> Maker<'s> {
    /// Notes every type that has a name, wherever it stands.
    fn define(&mut self, schema: &'s Schema, namespace: &str) {
        let mut inner = namespace.to_owned();
        if let Some(name) = named(schema) {
            let full = full(name, namespace);
            namespace_of(&full).clone_into(&mut inner);
            if !full.is_empty() {
                self.defined.entry(full).or_insert_with(|| (schema, namespace.to_owned()));
            }
        }
        match schema {
            Schema::Array(array) => self.define(&array.items, namespace),
            Schema::Map(map) => self.define(&map.types, namespace),
            Schema::Union(union) => union.variants().iter().for_each(|one| self.define(one, namespace)),
            Schema::Record(record) => record.fields.iter().for_each(|field| self.define(&field.schema, &inner)),
            _ => {}
        }
    }

    fn make(&mut self, schema: &'s Schema, namespace: &str) -> Result<u32, String> {
        if let Schema::Ref { name } = schema {
            let full = full(name, namespace);
            if let Some(&made) = self.made.get(&full) {
                return Ok(made);
            }
            let Some((schema, namespace)) = self.defined.get(&full).cloned() else {
                return Err(format!("the schema refers to `{full}`, which is nowhere"));
            };
            return self.make(schema, &namespace);
        }
        let mut inner = namespace.to_owned();
        let place = u32::try_from(self.nodes.len()).ok().filter(|_| self.nodes.len() < NODES);
        let place = place.ok_or_else(|| format!("the schema has more than {NODES} types"))?;
        if let Some(name) = named(schema) {
            let full = full(name, namespace);
            if let Some(&made) = self.made.get(&full).filter(|_| !full.is_empty()) {
                return Ok(made);
            }
            namespace_of(&full).clone_into(&mut inner);
            self.made.insert(full, place);
        }
        // Its place is taken before those within: they may name it.
        self.nodes.push(Node::Null);
        let node = self.node(schema, &inner)?;
        if let Some(slot) = self.nodes.get_mut(place as usize) {
            *slot = node;
        }
        Ok(place)
    }

    fn node(&mut self, schema: &'s Schema, namespace: &str) -> Result<Node, String> {
        Ok(match schema {
            // The reference was followed.
            Schema::Null | Schema::Ref { .. } => Node::Null,
            Schema::Boolean => Node::Boolean,
            Schema::Int => Node::Int,
            Schema::Long => Node::Long,
            Schema::Float => Node::Float,
            Schema::Double => Node::Double,
            Schema::Bytes => Node::Bytes,
            Schema::String | Schema::Uuid(UuidSchema::String) => Node::String,
            Schema::Array(array) => Node::Array(self.make(&array.items, namespace)?),
            Schema::Map(map) => Node::Map(self.make(&map.types, namespace)?),
            Schema::Union(union) => {
                let made: Result<_, _> = union.variants().iter().map(|one| self.make(one, namespace)).collect();
                Node::Union(made?)
            }
            Schema::Record(record) => {
                let mut fields = Vec::with_capacity(record.fields.len());
                for field in &record.fields {
                    let mut before = if fields.is_empty() { Vec::new() } else { b",".to_vec() };
                    before.extend_from_slice(&quoted(&field.name)?);
                    before.push(b':');
                    fields.push((before.into(), self.make(&field.schema, namespace)?));
                }
                Node::Record(fields.into())
            }
            Schema::Enum(symbols) => {
                let quoted: Result<_, String> = symbols.symbols.iter().map(|symbol| quoted(symbol)).collect();
                Node::Enum(quoted?)
            }
            Schema::Fixed(fixed) => Node::Fixed(fixed.size),
            Schema::Decimal(decimal) => Node::Decimal {
                size: match &decimal.inner {
                    InnerDecimalSchema::Bytes => None,
                    InnerDecimalSchema::Fixed(fixed) => Some(fixed.size),
                },
                scale: decimal.scale,
                number: decimal.precision <= EXACT_DIGITS,
            },
            Schema::BigDecimal => Node::BigDecimal,
            Schema::Uuid(UuidSchema::Bytes) => Node::UuidBytes { size: None },
            Schema::Uuid(UuidSchema::Fixed(fixed)) => Node::UuidBytes { size: Some(fixed.size) },
            Schema::Date => Node::Date,
            Schema::TimeMillis => Node::Time(1000),
            Schema::TimeMicros => Node::Time(1_000_000),
            Schema::TimestampMillis => Node::Timestamp(1000),
            Schema::TimestampMicros => Node::Timestamp(1_000_000),
            Schema::TimestampNanos => Node::Timestamp(1_000_000_000),
            Schema::LocalTimestampMillis => Node::LocalTimestamp(1000),
            Schema::LocalTimestampMicros => Node::LocalTimestamp(1_000_000),
            Schema::LocalTimestampNanos => Node::LocalTimestamp(1_000_000_000),
            Schema::Duration(_) => Node::Duration,
        })
    }
}

fn quoted(name: &str) -> Result<Box<[u8]>, String> {
    let mut out = Vec::new();
    Writer::new(&mut out, SCHEMA_BYTES).string(name.as_bytes()).map_err(|wrong| wrong.0)?;
    Ok(out.into())
}
