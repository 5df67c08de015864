//! Fields as configurations name them.
//!
//! A field is written `a.b` or, as in Logstash, `[a][b]`; `@timestamp` is the row's time, `_time`. `message` is the payload while no
//! filter made another, and nothing once a filter said that its fields say all of it: the host sees to that, so a filter that
//! reads `message` needs no payload.
//!
//! Names that begin with `_` and are listed here are written by the box alone: nobody forges an origin.

use crate::guest::Setup;
use crate::names::Name;
use crate::record::{Read, Record, Value};

/// Names of columns and headers that only the box writes. (`_time` is the row's time, which a filter may set.)
pub const RESERVED: [&str; 14] = [
    "_time",
    "_topic",
    "_partition",
    "_offset",
    "_n",
    "_generation",
    "_peer",
    "_receiver",
    "_origin",
    "_hops",
    "_reason",
    "_filter",
    "_time_claimed",
    "_payload",
];

/// Whether only the box writes a field of this name.
pub fn is_reserved(name: &[u8]) -> bool {
    name.first() == Some(&b'_') && RESERVED.iter().any(|reserved| reserved.as_bytes() == name)
}

/// The name of a field as it is stored: dots, not brackets.
///
/// # Errors
/// It is none.
pub fn name(written: &str) -> Result<String, String> {
    let inner = written.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    let dotted = match inner {
        Some(inner) => {
            let parts: Vec<&str> = inner.split("][").collect();
            if parts.iter().any(|part| part.is_empty() || part.contains(['[', ']'])) {
                return Err(format!("`{written}` is no field: write `a.b` or `[a][b]`"));
            }
            parts.join(".")
        }
        None => written.to_owned(),
    };
    match dotted.as_str() {
        "" => Err("a field's name is empty".to_owned()),
        "@timestamp" => Ok("_time".to_owned()),
        _ if dotted.len() > 256 => Err(format!("the field name `{dotted}` has more than 256 bytes")),
        _ => Ok(dotted),
    }
}

/// The name of a field that a filter is going to set.
///
/// # Errors
/// It is none, or only the box writes it.
pub fn target(written: &str) -> Result<String, String> {
    let name = name(written)?;
    if is_reserved(name.as_bytes()) && name != "_time" {
        return Err(format!("`{name}` cannot be set: the box writes it"));
    }
    Ok(name)
}

/// A field that a filter reads and may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    pub(crate) name: Name,
    pub(crate) read: Read,
    pub(crate) is_message: bool,
    pub(crate) is_time: bool,
}

impl Field {
    /// To set it by.
    pub fn name(&self) -> Name {
        self.name
    }

    /// Whether it is the row's time, which is no value of a record: see [`Record::time_ns`].
    pub fn is_time(&self) -> bool {
        self.is_time
    }

    /// Whether it is the message.
    pub fn is_message(&self) -> bool {
        self.is_message
    }
}

impl Setup<'_> {
    /// Declares a field that the filter looks at, as the configuration names it.
    ///
    /// # Errors
    /// It is no field's name.
    pub fn field(&mut self, written: &str) -> Result<Field, String> {
        let name = name(written)?;
        let (is_message, is_time) = (name == "message", name == "_time");
        Ok(Field { name: self.name(&name), read: self.reads(&name), is_message, is_time })
    }

    /// The same of a field that the filter sets.
    ///
    /// # Errors
    /// It is no field's name, or only the box writes it.
    pub fn target(&mut self, written: &str) -> Result<Field, String> {
        let name = target(written)?;
        self.field(&name)
    }
}

impl<'a> Record<'a> {
    /// The (first) value of a field.
    #[inline]
    pub fn value(&self, field: Field) -> Option<Value<'a>> {
        self.get(field.read)
    }

    /// The bytes of [`Record::value`], where it is a string.
    #[inline]
    pub fn text(&self, field: Field) -> Option<&'a [u8]> {
        self.bytes(field.read)
    }

    /// All values of a field.
    pub fn list(&self, field: Field) -> impl Iterator<Item = Value<'a>> + use<'a> {
        self.all(field.read)
    }
}

#[cfg(test)]
mod tests {
    use super::{name, target};

    #[test]
    fn names_as_people_write_them() {
        for (written, expected) in [
            ("a", Ok("a")),
            ("a.b", Ok("a.b")),
            ("[a]", Ok("a")),
            ("[a][b][c]", Ok("a.b.c")),
            ("@timestamp", Ok("_time")),
            ("[@timestamp]", Ok("_time")),
            ("[a][]", Err("no field")),
            ("[a[b]]", Err("no field")),
            ("", Err("empty")),
        ] {
            match (name(written), expected) {
                (Ok(name), Ok(expected)) => assert_eq!(name, expected),
                (Err(error), Err(says)) => assert!(error.contains(says), "{error}"),
                (got, _) => panic!("{written}: {got:?}"),
            }
        }
        for own in super::RESERVED.iter().filter(|own| **own != "_time") {
            assert!(target(own).unwrap_err().contains(own));
        }
        assert_eq!(target("@timestamp").as_deref(), Ok("_time"));
    }
}
