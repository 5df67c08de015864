//! Avro's binary data to JSON, by a [`Plan`], in one pass, without a tree between.
//!
//! Invariants: a length is believed only as far as there are bytes, and nothing is allocated by it; a count of items is believed
//! only as far as the document may grow, for items may have no bytes at all ([`super::document`] bounds both, and the depth).
//! A datum is one value and nothing behind it.
//!
//! Why not the crate's own reader: it makes a tree with a name at every field of every record, and takes memory by what the
//! data says.

use super::avro::{Node, Plan};
use super::document::{DEPTH, Writer, Wrong, decimal};

/// Writes a datum's document. A string or binary that stands alone is not written: it is given back, for it is a message as it is.
pub(super) fn read<'p>(plan: &Plan, data: &'p [u8], out: &mut Writer<'_>) -> Result<Option<&'p [u8]>, Wrong> {
    let mut input = Input { plan, rest: data };
    let alone = match input.node(plan.root)? {
        Node::String | Node::Bytes => Some(input.bytes()?),
        _ => {
            input.value(plan.root, out, 0)?;
            None
        }
    };
    match input.rest.len() {
        0 => Ok(alone),
        left => Err(Wrong::new(format!("{left} bytes stand behind the value: it was written with another schema"))),
    }
}

struct Input<'s, 'p> {
    plan: &'s Plan,
    rest: &'p [u8],
}

fn cut_off() -> Wrong {
    Wrong::new("is cut off")
}

impl<'s, 'p> Input<'s, 'p> {
    fn node(&self, number: u32) -> Result<&'s Node, Wrong> {
        // Numbers come from the plan itself.
        self.plan.nodes.get(number as usize).ok_or_else(|| Wrong::new("the schema is broken"))
    }

    fn take(&mut self, count: usize) -> Result<&'p [u8], Wrong> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(cut_off)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Wrong> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or_else(cut_off)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn long(&mut self) -> Result<i64, Wrong> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            if shift == 63 && byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
            }
        }
        Err(Wrong::new("has a number of more than 64 bits"))
    }

    fn int(&mut self) -> Result<i32, Wrong> {
        i32::try_from(self.long()?).map_err(|_| Wrong::new("has an int of more than 32 bits"))
    }

    fn bytes(&mut self) -> Result<&'p [u8], Wrong> {
        let length = self.long()?;
        self.take(usize::try_from(length).map_err(|_| Wrong::new(format!("has a length of {length}")))?)
    }

    fn sized(&mut self, size: Option<usize>) -> Result<&'p [u8], Wrong> {
        match size {
            Some(size) => self.take(size),
            None => self.bytes(),
        }
    }

    /// How many items the next block of an array or map has; 0 is the end.
    fn block(&mut self) -> Result<u64, Wrong> {
        let count = self.long()?;
        if count < 0 {
            // The block's size in bytes, for those who want to skip it.
            self.long()?;
        }
        Ok(count.unsigned_abs())
    }

    fn value(&mut self, number: u32, out: &mut Writer<'_>, depth: usize) -> Result<(), Wrong> {
        if depth > DEPTH {
            return Err(Wrong::new(format!("is nested deeper than {DEPTH}")));
        }
        match self.node(number)? {
            Node::Null => out.null(),
            Node::Boolean => match self.array()? {
                [0] => out.bool(false),
                [1] => out.bool(true),
                [other] => Err(Wrong::new(format!("has the byte {other} where a boolean should be"))),
            },
            Node::Int => out.int(self.int()?.into()),
            Node::Long => out.int(self.long()?),
            Node::Float => out.float(f32::from_le_bytes(self.array()?)),
            Node::Double => out.double(f64::from_le_bytes(self.array()?)),
            Node::Bytes => out.base64(self.bytes()?),
            Node::String => out.string(self.bytes()?),
            Node::Fixed(size) => out.base64(self.take(*size)?),
            Node::Array(item) => {
                out.raw(b"[")?;
                let mut first = true;
                loop {
                    match self.block()? {
                        0 => return out.raw(b"]"),
                        count => {
                            for _ in 0..count {
                                if !std::mem::take(&mut first) {
                                    out.raw(b",")?;
                                }
                                self.value(*item, out, depth + 1)?;
                            }
                        }
                    }
                }
            }
            Node::Map(value) => {
                out.raw(b"{")?;
                let mut first = true;
                loop {
                    match self.block()? {
                        0 => return out.raw(b"}"),
                        count => {
                            for _ in 0..count {
                                if !std::mem::take(&mut first) {
                                    out.raw(b",")?;
                                }
                                out.string(self.bytes()?)?;
                                out.raw(b":")?;
                                self.value(*value, out, depth + 1)?;
                            }
                        }
                    }
                }
            }
            Node::Union(variants) => {
                let at = self.long()?;
                let chosen = usize::try_from(at).ok().and_then(|at| variants.get(at));
                let chosen = chosen.ok_or_else(|| Wrong::new(format!("is of type {at} of a union of {}", variants.len())))?;
                self.value(*chosen, out, depth + 1)
            }
            Node::Record(fields) => {
                out.raw(b"{")?;
                for (before, field) in fields {
                    out.raw(before)?;
                    self.value(*field, out, depth + 1)?;
                }
                out.raw(b"}")
            }
            Node::Enum(symbols) => {
                let at = self.int()?;
                let symbol = usize::try_from(at).ok().and_then(|at| symbols.get(at));
                out.raw(symbol.ok_or_else(|| Wrong::new(format!("has symbol {at} of an enum of {}", symbols.len())))?)
            }
            Node::Decimal { size, scale, number } => {
                let digits = decimal(self.sized(*size)?, *scale)?;
                if *number { out.raw(&digits) } else { out.string(&digits) }
            }
            Node::BigDecimal => {
                let mut own = Input { plan: self.plan, rest: self.bytes()? };
                let (unscaled, scale) = (own.bytes()?, own.long()?);
                let scale = usize::try_from(scale).map_err(|_| Wrong::new(format!("has a decimal of {scale} places")))?;
                out.string(&decimal(unscaled, scale)?)
            }
            Node::UuidBytes { size } => match self.sized(*size)?.first_chunk::<16>() {
                Some(bytes) => out.string(uuid::Uuid::from_bytes(*bytes).hyphenated().to_string().as_bytes()),
                None => Err(Wrong::new("has a UUID of fewer than 16 bytes")),
            },
            Node::Date => out.date(self.int()?),
            Node::Time(1000) => out.time(self.int()?.into(), 1000),
            Node::Time(per_second) => out.time(self.long()?, *per_second),
            Node::Timestamp(per_second) => out.instant(self.long()?, *per_second, "Z"),
            Node::LocalTimestamp(per_second) => out.instant(self.long()?, *per_second, ""),
            Node::Duration => {
                for before in [&b"{\"months\":"[..], b",\"days\":", b",\"millis\":"] {
                    out.raw(before)?;
                    out.uint(u32::from_le_bytes(self.array()?).into())?;
                }
                out.raw(b"}")
            }
        }
    }
}
