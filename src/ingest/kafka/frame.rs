//! Requests and answers as they lie on the wire.
//!
//! ```text
//! request:  length i32 (of what follows) | api key i16 | version i16 | correlation id i32 | client id: string or null
//!           | tagged fields, in flexible versions | body
//! answer:   length i32 | correlation id i32 | tagged fields (none: one zero byte), in flexible versions | body
//! ```
//! Invariants: no bytes make this panic. ApiVersions' answer never has tagged fields in its header, in no version: a client reads
//! it before it knows what the broker speaks. SaslHandshake has no flexible version.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::Encodable;

use super::dispatch;
use super::waiters::Share;

/// The header of a request, as far as it was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// What is asked.
    pub key: i16,
    /// In which version.
    pub version: i16,
    /// What the answer is told apart by.
    pub correlation: i32,
    /// What the client calls itself.
    pub client_id: Option<String>,
}

/// Longest client id that is kept.
const CLIENT_ID: usize = 255;

impl Head {
    /// Takes the header off a request and leaves its body. Of what is not served it ends behind the client id.
    pub(super) fn take(frame: &mut Bytes) -> Result<Self, &'static str> {
        const SHORT: &str = "shorter than a request header";
        let key = frame.try_get_i16().map_err(|_| SHORT)?;
        let version = frame.try_get_i16().map_err(|_| SHORT)?;
        let correlation = frame.try_get_i32().map_err(|_| SHORT)?;
        let length = frame.try_get_i16().map_err(|_| SHORT)?;
        let client_id = match usize::try_from(length) {
            Err(_) => None,
            Ok(length) if length > frame.remaining() => return Err("a client id longer than its request"),
            Ok(length) => {
                let text = frame.split_to(length);
                let text = std::str::from_utf8(&text).map_err(|_| "a client id that is no text")?;
                Some(text.chars().take(CLIENT_ID).collect())
            }
        };
        // Of what is not served nothing more needs to be understood.
        let flexible = |api: ApiKey| is_served(key, version) && api.request_header_version(version) >= 2;
        if ApiKey::try_from(key).is_ok_and(flexible) {
            skip_tagged(frame)?;
        }
        Ok(Self { key, version, correlation, client_id })
    }

    /// Whether the answer's header has tagged fields.
    pub(super) fn flexible_answer(&self) -> bool {
        ApiKey::try_from(self.key)
            .is_ok_and(|api| is_served(self.key, self.version) && api.response_header_version(self.version) >= 1)
    }
}

fn is_served(key: i16, version: i16) -> bool {
    dispatch::find(key).is_some_and(|(_, row)| (row.min..=row.max).contains(&version))
}

fn skip_tagged(frame: &mut Bytes) -> Result<(), &'static str> {
    let count = varint(frame)?;
    for _ in 0..count {
        let _tag = varint(frame)?;
        let size = varint(frame)? as usize;
        if size > frame.remaining() {
            return Err("a tagged field longer than its request");
        }
        frame.advance(size);
    }
    Ok(())
}

fn varint(frame: &mut Bytes) -> Result<u32, &'static str> {
    let mut value = 0;
    for nth in 0..5 {
        let byte = frame.try_get_u8().map_err(|_| "a header that ends too soon")?;
        value |= u32::from(byte & 0x7f) << (nth * 7);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("a header with a number that does not end")
}

/// The body of an answer, and what goes with it.
#[derive(Default)]
pub(super) struct Reply {
    /// Slices to be written one behind the other, copied as little as can be. Nothing: the request is not answered at all.
    pub parts: Vec<Bytes>,
    /// What the answer's memory is counted by until it is written.
    pub share: Option<Share>,
    /// Whether it goes without a header: a message of a SASL mechanism.
    pub raw: bool,
    /// How long nothing more is read from this client, which was told so.
    pub mute_ms: i32,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("bytes", &self.len()).field("mute_ms", &self.mute_ms).finish_non_exhaustive()
    }
}

impl Reply {
    /// An answer that `kafka-protocol` encodes.
    ///
    /// # Errors
    /// A handler set what this version has no place for: a fault of ours.
    pub(super) fn of<M: Encodable>(message: &M, version: i16) -> Result<Self, String> {
        let wrong = |error| format!("cannot encode an answer in version {version}: {error}");
        let mut body = BytesMut::with_capacity(message.compute_size(version).map_err(wrong)?);
        message.encode(&mut body, version).map_err(wrong)?;
        Ok(Self { parts: vec![body.freeze()], ..Self::default() })
    }

    /// Bytes of the body.
    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }

    /// Length and header, to go in front of the parts.
    pub(super) fn head(&self, correlation: i32, flexible: bool) -> Result<Bytes, String> {
        let length = if self.raw { self.len() } else { 4 + usize::from(flexible) + self.len() };
        let mut head = BytesMut::with_capacity(9);
        head.put_i32(i32::try_from(length).map_err(|_| "an answer of more than 2 GiB".to_owned())?);
        if self.raw {
            return Ok(head.freeze());
        }
        head.put_i32(correlation);
        if flexible {
            head.put_u8(0);
        }
        Ok(head.freeze())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_old_and_flexible_versions() {
        let mut old = Bytes::from_static(b"\0\x03\0\x01\0\0\0\x07\0\x02meBODY");
        let head = Head::take(&mut old).unwrap();
        assert_eq!(head, Head { key: 3, version: 1, correlation: 7, client_id: Some("me".into()) });
        assert_eq!(old.as_ref(), b"BODY");
        assert!(!head.flexible_answer());
        // Flexible, no client id, one tagged field of two bytes.
        let mut flexible = Bytes::from_static(b"\0\x03\0\x0c\0\0\0\x07\xff\xff\x01\x05\x02xyBODY");
        let head = Head::take(&mut flexible).unwrap();
        assert_eq!((head.client_id.as_deref(), flexible.as_ref()), (None, &b"BODY"[..]));
        assert!(head.flexible_answer());
        // ApiVersions: flexible to ask, never to answer.
        let mut versions = Bytes::from_static(b"\0\x12\0\x03\0\0\0\x07\xff\xff\0");
        assert!(!Head::take(&mut versions).unwrap().flexible_answer());
    }

    #[test]
    fn broken_headers_are_told() {
        for broken in [&b"\0\x03\0"[..], b"\0\x03\0\x01\0\0\0\x07\0\x09me", b"\0\x03\0\x0c\0\0\0\x07\xff\xff\x01\x05\x7fxy"] {
            assert!(Head::take(&mut Bytes::from_static(broken)).is_err(), "{broken:?}");
        }
    }
}
