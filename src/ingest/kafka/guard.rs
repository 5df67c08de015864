//! Looks over a request before `kafka-protocol` decodes it: that crate makes room for as many elements as a request claims to
//! have, so that six bytes can ask for 154 GB.
//!
//! Invariants: a request that [`check`] let pass has, behind every length and count, the bytes that it promises; it has at most
//! [`ELEMENTS`] array elements and tagged fields. No bytes make this file panic, and it allocates nothing.
//! What is looked at is drawn in `schema.rs`: one line per API. An API without a line is not served at all.
//! Lengths are read exactly as the crate reads them (a varint of five bytes loses its upper bits), or the two would not agree on
//! where a field ends.
//!
//! Why not a decoder of our own for all requests: forty APIs in a hundred versions, kept up to date by that crate.

use super::schema::{Field, Kind, SCHEMAS};
use kafka_protocol::messages::ApiKey;

/// Most array elements and tagged fields of one request: what bounds the memory of its decoded form.
pub(super) const ELEMENTS: usize = 64 * 1024;
/// More bytes than any element takes when it is decoded.
pub(super) const ELEMENT_BYTES: usize = 256;

/// Whether a request's body may be decoded, and how many elements it has.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(key: ApiKey, version: i16, body: &[u8]) -> Result<usize, &'static str> {
    let schema = SCHEMAS.iter().find(|schema| schema.key == key).ok_or("an API that is not known here")?;
    let mut walk = Walk { rest: body, version, flexible: version >= schema.flexible, elements: 0 };
    walk.fields(schema.fields)?;
    Ok(walk.elements)
}

struct Walk<'a> {
    rest: &'a [u8],
    version: i16,
    flexible: bool,
    elements: usize,
}

impl Walk<'_> {
    fn fields(&mut self, fields: &[Field]) -> Result<(), &'static str> {
        for field in fields {
            if field.tag.is_none() && (field.since..=field.until).contains(&self.version) {
                self.kind(field.kind)?;
            }
        }
        if self.flexible { self.tagged(fields) } else { Ok(()) }
    }

    fn tagged(&mut self, fields: &[Field]) -> Result<(), &'static str> {
        let count = self.varint()?;
        self.count(count)?;
        for _ in 0..count {
            let (tag, size) = (self.varint()?, self.varint()? as usize);
            if size > self.rest.len() {
                return Err("a tagged field is longer than the request");
            }
            match fields.iter().find(|field| field.tag == Some(tag)) {
                None => self.skip(size)?,
                Some(field) => {
                    let before = self.rest.len();
                    self.kind(field.kind)?;
                    if before - self.rest.len() != size {
                        return Err("a tagged field is not as long as it says");
                    }
                }
            }
        }
        Ok(())
    }

    fn kind(&mut self, kind: Kind) -> Result<(), &'static str> {
        match kind {
            Kind::Fixed(size) => self.skip(size),
            Kind::Text => {
                let length = if self.flexible { self.compact()? } else { i64::from(i16::from_be_bytes(self.take()?)) };
                self.skip(usize::try_from(length.max(0)).unwrap_or(usize::MAX))
            }
            Kind::Octets => {
                let length = if self.flexible { self.compact()? } else { i64::from(i32::from_be_bytes(self.take()?)) };
                self.skip(usize::try_from(length.max(0)).unwrap_or(usize::MAX))
            }
            Kind::Array(element) => {
                let count = if self.flexible { self.compact()? } else { i64::from(i32::from_be_bytes(self.take()?)) };
                let count = u32::try_from(count.max(0)).unwrap_or(u32::MAX);
                self.count(count)?;
                for _ in 0..count {
                    self.kind(*element)?;
                }
                Ok(())
            }
            Kind::Struct(fields) => self.fields(fields),
        }
    }

    /// Each element takes a byte at least, so there cannot be more of them than bytes.
    fn count(&mut self, count: u32) -> Result<(), &'static str> {
        if count as usize > self.rest.len() {
            return Err("more elements than bytes");
        }
        self.elements += count as usize;
        if self.elements > ELEMENTS { Err("too many elements") } else { Ok(()) }
    }

    /// A compact length: one more than it says, nothing at 0.
    fn compact(&mut self) -> Result<i64, &'static str> {
        Ok(i64::from(self.varint()?) - 1)
    }

    fn varint(&mut self) -> Result<u32, &'static str> {
        let mut value = 0;
        for nth in 0..5 {
            let [byte] = self.take()?;
            value |= u32::from(byte & 0x7f) << (nth * 7);
            if byte < 0x80 {
                break;
            }
        }
        Ok(value)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or("it ends too soon")?;
        self.rest = rest;
        Ok(*taken)
    }

    fn skip(&mut self, size: usize) -> Result<(), &'static str> {
        self.rest = self.rest.get(size..).ok_or("a length is more than what is left")?;
        Ok(())
    }
}
