//! The smallest pieces of the part format: variable-length numbers, bit-packed numbers, a reader that never reads past its end.
//!
//! ```text
//! varint   LEB128, at most 10 bytes
//! zigzag   (n << 1) ^ (n >> 63) as a varint: small negative numbers stay small
//! packed   n numbers of w bits, the first in the lowest bits of the first byte, padded with zeros to whole bytes
//! ```
//! Everything read may be damage or malice: a reader gives `None` where bytes do not fit, and nothing here panics.

/// Appends a varint.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// Appends a signed number as a zigzag varint.
pub fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, zigzag(value));
}

/// Appends a length and the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// Bits that the greatest of some numbers needs.
pub fn width_of(greatest: u64) -> u8 {
    #[allow(clippy::cast_possible_truncation)] // at most 64
    let width = (64 - greatest.leading_zeros()) as u8;
    width
}

/// Bytes that `count` numbers of `width` bits take.
pub fn packed_len(count: usize, width: u8) -> usize {
    (count * usize::from(width)).div_ceil(8)
}

/// Appends numbers, each below 2^`width`.
pub fn pack(out: &mut Vec<u8>, values: impl Iterator<Item = u64>, width: u8) {
    if width == 0 {
        return;
    }
    let width = u32::from(width);
    let mut word = 0u64;
    let mut filled = 0;
    for value in values {
        word |= value << filled;
        filled += width;
        if filled >= 64 {
            out.extend_from_slice(&word.to_le_bytes());
            filled -= 64;
            word = if filled == 0 { 0 } else { value >> (width - filled) };
        }
    }
    let rest = word.to_le_bytes();
    out.extend_from_slice(&rest[..(filled as usize).div_ceil(8)]);
}

/// Gives `count` numbers of `width` bits to `each`; `None` where the bytes do not hold them.
pub fn unpack(bytes: &[u8], count: usize, width: u8, mut each: impl FnMut(u64)) -> Option<()> {
    if width > 64 || packed_len(count, width) > bytes.len() {
        return None;
    }
    if width == 0 {
        for _ in 0..count {
            each(0);
        }
        return Some(());
    }
    let mask = u64::MAX >> (64 - width);
    let width = usize::from(width);
    for bit in (0..count).map(|index| index * width) {
        let (byte, shift) = (bit / 8, bit % 8);
        let value = if let Some(word) = bytes.get(byte..byte + 8).and_then(|word| word.try_into().ok()) {
            let low = u64::from_le_bytes(word) >> shift;
            let high = bytes.get(byte + 8).copied().unwrap_or(0);
            if shift + width > 64 { low | u64::from(high) << (64 - shift) } else { low }
        } else {
            let mut word = [0; 8];
            let rest = bytes.get(byte..)?;
            word[..rest.len()].copy_from_slice(rest);
            u64::from_le_bytes(word) >> shift
        };
        each(value & mask);
    }
    Some(())
}

/// Reads from the front of a slice.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    /// One byte.
    pub fn u8(&mut self) -> Option<u8> {
        let (head, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*head)
    }

    /// Two bytes, little-endian.
    pub fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    /// Eight bytes, little-endian.
    pub fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    /// A varint.
    pub fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// A varint that must fit memory.
    pub fn size(&mut self) -> Option<usize> {
        usize::try_from(self.varint()?).ok()
    }

    /// A varint of 32 bits.
    pub fn number(&mut self) -> Option<u32> {
        u32::try_from(self.varint()?).ok()
    }

    /// A zigzag varint.
    pub fn zigzag(&mut self) -> Option<i64> {
        self.varint().map(unzigzag)
    }

    /// A length and that many bytes.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.size()?;
        self.take(len)
    }

    /// How many things of at least `least` bytes each can still follow: a cap for allocations.
    pub fn at_most(&self, count: usize, least: usize) -> Option<usize> {
        (count <= self.0.len() / least.max(1)).then_some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_width_come_back() {
        for width in 0..=64u8 {
            for count in [0usize, 1, 2, 7, 63, 64, 65, 129] {
                let mask = if width == 0 { 0 } else { u64::MAX >> (64 - width) };
                let values: Vec<u64> = (0..count as u64).map(|i| (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) & mask).collect();
                let mut out = Vec::new();
                pack(&mut out, values.iter().copied(), width);
                assert_eq!(out.len(), packed_len(count, width));
                let mut back = Vec::new();
                assert_eq!(unpack(&out, count, width, |value| back.push(value)), Some(()));
                assert_eq!(back, values, "{width} bits");
                if !out.is_empty() {
                    assert_eq!(unpack(&out[1..], count, width, |_| ()), None);
                }
            }
        }
    }

    #[test]
    fn signed_numbers_come_back() {
        for value in [0, 1, -1, 63, -64, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            put_zigzag(&mut out, value);
            assert_eq!(Reader(&out).zigzag(), Some(value));
        }
        assert_eq!(Reader(&[0x80; 12]).varint(), None);
    }
}
