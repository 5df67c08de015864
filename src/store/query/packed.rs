//! Strings as numbers of fixed width, so that millions of them can be counted in flat tables.
//!
//! Most values that come in millions are short or of a known form. A string is packed in the first way that fits, and unpacked to
//! the same bytes, so two strings are equal where their packed keys are:
//!
//! ```text
//! Hex16   16 lower-case hexadecimal digits         8 bytes
//! Hex32   32 of them, or a lower-case UUID        16 bytes   (Uuid: the same, another class)
//! Short   up to 15 bytes                          16 bytes: the string, zeros, its length
//! long    anything else                           as it is
//! ```
//! Within a class keys are ordered as their strings are, but for those of numbers.

use crate::store::source::Form;

/// Which way a key of 16 bytes was packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Up to 15 bytes.
    Short,
    /// 32 digits.
    Hex32,
    /// 32 digits in five runs.
    Uuid,
}

/// A packed string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packed<'a> {
    /// 16 digits.
    Hex16(u64),
    /// 16 bytes.
    Wide(Class, u128),
    /// Not packed.
    Long(&'a [u8]),
}

/// Most bytes of a string that is packed as it is.
const SHORT: usize = 15;

impl<'a> Packed<'a> {
    /// Packs a string.
    pub fn of(text: &'a [u8]) -> Self {
        match text.len() {
            16 => {
                if let Some(key) = hex16(text) {
                    return Self::Hex16(key);
                }
            }
            32 => {
                if let (Some(high), Some(low)) = (hex16(&text[..16]), hex16(&text[16..])) {
                    return Self::Wide(Class::Hex32, u128::from(high) << 64 | u128::from(low));
                }
            }
            36 => {
                let mut raw = Vec::with_capacity(16);
                if Form::Uuid.put_raw(&mut raw, text)
                    && let Ok(raw) = raw.try_into()
                {
                    return Self::Wide(Class::Uuid, u128::from_be_bytes(raw));
                }
            }
            length @ 0..=SHORT => {
                let mut bytes = [0; 16];
                bytes[..length].copy_from_slice(text);
                bytes[15] = u8::try_from(length).unwrap_or(0);
                return Self::Wide(Class::Short, u128::from_be_bytes(bytes));
            }
            _ => {}
        }
        Self::Long(text)
    }

    /// Packs a value of raw bytes, as its string would be packed; `None` if the string must be made first.
    pub fn of_raw(form: Form, raw: &[u8]) -> Option<Self> {
        Some(match form {
            Form::Hex { width: 8 } => Self::Hex16(u64::from_be_bytes(raw.try_into().ok()?)),
            Form::Hex { width: 16 } => Self::Wide(Class::Hex32, u128::from_be_bytes(raw.try_into().ok()?)),
            Form::Uuid => Self::Wide(Class::Uuid, u128::from_be_bytes(raw.try_into().ok()?)),
            Form::Hex { .. } | Form::Ipv4 => return None,
        })
    }

    /// Whether it is plain at a glance that the string does not read as a number: it has a digit from `a` to `f` but `e`.
    pub fn is_no_number(self) -> bool {
        const ONES: u64 = 0x1111_1111_1111_1111;
        let Self::Hex16(key) = self else { return false };
        let bit = |bit: u32| key >> bit & ONES;
        let letters = bit(3) & (bit(2) | bit(1));
        letters & !(bit(3) & bit(2) & bit(1) & !bit(0)) != 0
    }

    /// The string again.
    pub fn put_text(self, out: &mut Vec<u8>) {
        match self {
            Self::Hex16(key) => Form::Hex { width: 8 }.put_text(out, &key.to_be_bytes()),
            Self::Wide(Class::Hex32, key) => Form::Hex { width: 16 }.put_text(out, &key.to_be_bytes()),
            Self::Wide(Class::Uuid, key) => Form::Uuid.put_text(out, &key.to_be_bytes()),
            Self::Wide(Class::Short, key) => {
                let bytes = key.to_be_bytes();
                out.extend_from_slice(bytes.get(..usize::from(bytes[15]).min(SHORT)).unwrap_or(&[]));
            }
            Self::Long(text) => out.extend_from_slice(text),
        }
    }
}

/// Sixteen lower-case digits.
fn hex16(text: &[u8]) -> Option<u64> {
    let mut key = 0;
    for byte in text {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        key = key << 4 | u64::from(digit);
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_comes_back_and_raw_bytes_are_packed_as_their_string() {
        let uuid = "00112233-4455-6677-8899-aabbccddeeff";
        let texts = [
            "",
            "a",
            "a\0",
            "\0",
            "503",
            "123456789012345",
            "1234567890123456",
            "12345678901234e5",
            "0000000000c00000",
            "00ff00ff00ff00ff",
            "00ff00ff00ff00fF",
            "ffffffffffffffff",
            "0123456789abcdef0123456789abcdef",
            "ffffffffffffffffffffffffffffffff",
            "ffffffffffffffffffffffffffffffffff",
            uuid,
            "00112233-4455-6677-8899-aabbccddeefF",
            "a longer text that is no id",
        ];
        for (at, text) in texts.iter().enumerate() {
            let packed = Packed::of(text.as_bytes());
            let mut back = Vec::new();
            packed.put_text(&mut back);
            assert_eq!(String::from_utf8_lossy(&back), *text);
            let number = crate::base::predicate::Number::parse(text.as_bytes());
            assert!(number.is_none() || !packed.is_no_number(), "{text}");
            assert!(texts[..at].iter().all(|other| Packed::of(other.as_bytes()) != packed), "{text}");
            for form in [Form::Hex { width: 8 }, Form::Hex { width: 16 }, Form::Uuid] {
                let mut raw = Vec::new();
                if form.put_raw(&mut raw, text.as_bytes()) {
                    assert_eq!(Packed::of_raw(form, &raw), Some(packed));
                }
            }
        }
    }
}
