//! Zigzag varints, as Kafka's records use them.
//!
//! Reading takes any bytes and gives `None` for what is cut off or too long.

/// Appends a signed number.
#[inline]
pub fn put(out: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    #[allow(clippy::cast_possible_truncation)] // below 0x80
    out.push(rest as u8);
}

/// Bytes that [`put`] takes for it.
#[inline]
pub fn len(value: i64) -> usize {
    (70 - (zigzag(value) | 1).leading_zeros() as usize) / 7
}

/// Takes a signed number off the front.
#[inline]
pub fn take(bytes: &mut &[u8]) -> Option<i64> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        *bytes = rest;
        return Some(unzigzag(u64::from(first)));
    }
    // Two bytes reach to 8,191: almost every length and offset.
    if let Some((&second, rest)) = rest.split_first()
        && second < 0x80
    {
        *bytes = rest;
        return Some(unzigzag(u64::from(first & 0x7f) | u64::from(second) << 7));
    }
    take_long(bytes)
}

#[inline(never)]
fn take_long(bytes: &mut &[u8]) -> Option<i64> {
    let (&first, rest) = bytes.split_first()?;
    let mut value = u64::from(first & 0x7f);
    let mut shift = 7;
    for (at, &byte) in rest.iter().enumerate().take(9) {
        if shift == 63 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            *bytes = &rest[at + 1..];
            return Some(unzigzag(value));
        }
        shift += 7;
    }
    None
}

/// Takes a length and so many bytes off the front; a length of -1 is a null, given as `Some(None)`.
#[inline]
pub fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = take(bytes)?;
    if length == -1 {
        return Some(None);
    }
    let (taken, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(Some(taken))
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_overlong_ones_do_not() {
        for value in [0, -1, 1, 63, -64, 64, -65, 8191, 1 << 20, i64::from(i32::MAX), i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            put(&mut out, value);
            assert_eq!(out.len(), len(value), "{value}");
            let mut rest = out.as_slice();
            assert_eq!(take(&mut rest), Some(value));
            assert!(rest.is_empty());
            assert_eq!(take(&mut &out[..out.len() - 1]), None);
        }
        assert_eq!(take(&mut [0x80; 11].as_slice()), None);
        assert_eq!(take(&mut [0xff; 10].as_slice()), None);
        assert_eq!(take_bytes(&mut [1, 7].as_slice()), Some(None));
        assert_eq!(take_bytes(&mut [3, 7].as_slice()), None, "-2 is no length");
        assert_eq!(take_bytes(&mut [4, 7].as_slice()), None);
        assert_eq!(take_bytes(&mut [4, 7, 8].as_slice()), Some(Some([7, 8].as_slice())));
    }
}
