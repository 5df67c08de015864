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

/// About what an element takes when it is decoded.
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
mod tests {
    use super::super::dispatch::TABLE;
    use super::*;
    use bytes::Bytes;
    use kafka_protocol::messages::RequestKind;

    /// Writes a request along its schema, with numbers drawn from `seed`.
    struct Writer {
        seed: u64,
        version: i16,
        flexible: bool,
        out: Vec<u8>,
    }

    impl Writer {
        fn draw(&mut self, below: u64) -> u64 {
            self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.seed >> 33) % below
        }

        fn fields(&mut self, fields: &[Field]) {
            for field in fields {
                if field.tag.is_none() && (field.since..=field.until).contains(&self.version) {
                    self.kind(field.kind);
                }
            }
            if self.flexible {
                // A tagged field that nobody knows.
                let tags = self.draw(2);
                self.out.push(tags as u8);
                for _ in 0..tags {
                    self.out.extend([99, 2, 1, 2]);
                }
            }
        }

        fn length(&mut self, length: u64, wide: bool) {
            match (self.flexible, wide) {
                (true, _) => self.out.push(length as u8 + 1),
                (false, true) => self.out.extend((length as i32).to_be_bytes()),
                (false, false) => self.out.extend((length as i16).to_be_bytes()),
            }
        }

        fn kind(&mut self, kind: Kind) {
            match kind {
                Kind::Fixed(size) => {
                    for _ in 0..size {
                        let byte = self.draw(256);
                        self.out.push(byte as u8);
                    }
                }
                Kind::Text | Kind::Octets => {
                    let length = self.draw(20);
                    self.length(length, matches!(kind, Kind::Octets));
                    for _ in 0..length {
                        let byte = self.draw(26);
                        self.out.push(b'a' + byte as u8);
                    }
                }
                Kind::Array(element) => {
                    let length = self.draw(4);
                    self.length(length, true);
                    for _ in 0..length {
                        self.kind(*element);
                    }
                }
                Kind::Struct(fields) => self.fields(fields),
            }
        }
    }

    /// The versions that are served: some that the crate names beyond them it does not decode.
    fn versions(key: ApiKey) -> std::ops::RangeInclusive<i16> {
        let row = TABLE.iter().find(|row| row.key == key);
        row.map_or(0..=0, |row| row.min..=row.max)
    }

    #[test]
    fn every_schema_says_what_the_crate_decodes() {
        for schema in SCHEMAS {
            for version in versions(schema.key) {
                for seed in 0..40 {
                    let mut writer = Writer { seed, version, flexible: version >= schema.flexible, out: Vec::new() };
                    writer.fields(schema.fields);
                    let what = format!("{:?} {version} {:?}", schema.key, writer.out);
                    check(schema.key, version, &writer.out).unwrap_or_else(|why| panic!("{what}: {why}"));
                    let mut body = Bytes::from(writer.out);
                    RequestKind::decode(schema.key, &mut body, version).unwrap_or_else(|why| panic!("{what}: {why}"));
                    assert!(body.is_empty(), "{what}: {} bytes left", body.len());
                }
            }
        }
    }

    #[test]
    fn every_api_that_is_served_has_a_schema() {
        for row in TABLE {
            let schema = SCHEMAS.iter().find(|schema| schema.key == row.key);
            assert!(schema.is_some(), "{:?} has no schema", row.key);
            let known = row.key.valid_versions();
            assert!(known.min <= row.min && row.max <= known.max, "{:?}: {known}", row.key);
        }
    }

    #[test]
    fn what_is_claimed_must_be_there() {
        // The six bytes that make the crate ask for 154 GB.
        assert_eq!(check(ApiKey::Metadata, 1, b"\x7f\xff\xff\xff\0\0"), Err("more elements than bytes"));
        assert_eq!(check(ApiKey::Metadata, 12, b"\xff\xff\xff\xff\x0f\0"), Err("more elements than bytes"));
        assert_eq!(check(ApiKey::SaslAuthenticate, 0, b"\x7f\xff\xff\xffxx"), Err("a length is more than what is left"));
        assert_eq!(check(ApiKey::ApiVersions, 3, b"\x01\x01\xff\xff\xff\xff\x0f"), Err("more elements than bytes"));
        assert_eq!(check(ApiKey::Fetch, 4, b""), Err("a length is more than what is left"));
        assert_eq!(check(ApiKey::Metadata, 1, b"\0\0"), Err("it ends too soon"));
        // Null is nothing, and so is an empty array.
        assert_eq!(check(ApiKey::Metadata, 1, b"\xff\xff\xff\xff"), Ok(0));
        // Too much of it, although it is all there.
        let mut many = (ELEMENTS as i32 + 1).to_be_bytes().to_vec();
        many.resize(ELEMENTS * 3, 0);
        assert_eq!(check(ApiKey::Metadata, 1, &many), Err("too many elements"));
    }

    #[test]
    fn no_bytes_harm_the_decoder() {
        bolero::check!().with_iterations(20_000).with_type::<(u8, u8, Vec<u8>)>().for_each(|(api, version, body)| {
            let schema = &SCHEMAS[*api as usize % SCHEMAS.len()];
            let known = schema.key.valid_versions();
            let version = known.min + i16::from(*version) % (known.max - known.min + 1);
            if let Ok(elements) = check(schema.key, version, body) {
                assert!(elements <= body.len());
                let _ = RequestKind::decode(schema.key, &mut Bytes::from(body.clone()), version);
            }
        });
    }

    #[test]
    fn no_change_to_a_good_request_harms_the_decoder() {
        bolero::check!().with_iterations(20_000).with_type::<(u8, u8, u64, u16, u8)>().for_each(
            |(api, version, seed, at, byte)| {
                let schema = &SCHEMAS[*api as usize % SCHEMAS.len()];
                let known = schema.key.valid_versions();
                let version = known.min + i16::from(*version) % (known.max - known.min + 1);
                let mut writer = Writer { seed: *seed, version, flexible: version >= schema.flexible, out: Vec::new() };
                writer.fields(schema.fields);
                let mut body = writer.out;
                if !body.is_empty() {
                    let at = *at as usize % body.len();
                    body[at] = *byte;
                }
                if let Ok(elements) = check(schema.key, version, &body) {
                    assert!(elements <= body.len());
                    let _ = RequestKind::decode(schema.key, &mut Bytes::from(body), version);
                }
            },
        );
    }
}
