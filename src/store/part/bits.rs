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

/// Numbers that [`unpack`] gives at a time.
pub const BLOCK: usize = 128;
/// Widest numbers that one load of eight bytes holds wherever they begin in a byte.
const ONE_LOAD: usize = 56;

/// Gives `count` numbers of `width` bits to `each`, up to [`BLOCK`] at a time; `None` where the bytes do not hold them.
pub fn unpack(bytes: &[u8], count: usize, width: u8, mut each: impl FnMut(&[u64])) -> Option<()> {
    if width > 64 || packed_len(count, width) > bytes.len() {
        return None;
    }
    let mut block = [0u64; BLOCK];
    let mut left = count;
    let mut rest = bytes;
    // A block takes whole bytes, so that the next begins with one.
    let step = packed_len(BLOCK, width);
    while left > 0 {
        let out = block.get_mut(..left.min(BLOCK))?;
        unpack_block(rest, usize::from(width), out)?;
        each(out);
        left -= out.len();
        rest = rest.get(step..).unwrap_or(&[]);
    }
    Some(())
}

/// Gives `count` numbers of `width` bits, at most 32; `None` where the bytes do not hold them.
pub fn unpack_u32(bytes: &[u8], count: usize, width: u8) -> Option<Vec<u32>> {
    if width > 32 || packed_len(count, width) > bytes.len() {
        return None;
    }
    let mut all = vec![0; count];
    let step = packed_len(BLOCK, width);
    let mut rest = bytes;
    for block in all.chunks_mut(BLOCK) {
        unpack_block(rest, usize::from(width), block)?;
        rest = rest.get(step..).unwrap_or(&[]);
    }
    Some(all)
}

/// Which of `count` numbers of `width` bits, at most 32, are this one, as set bits; `None` where the bytes do not hold them.
pub fn equal(bytes: &[u8], count: usize, width: u8, wanted: u32) -> Option<Vec<u64>> {
    if width > 32 || packed_len(count, width) > bytes.len() {
        return None;
    }
    let mut block = [0u32; BLOCK];
    let mut words = Vec::with_capacity(count.div_ceil(64));
    let step = packed_len(BLOCK, width);
    let (mut left, mut rest) = (count, bytes);
    while left > 0 {
        let out = block.get_mut(..left.min(BLOCK))?;
        unpack_block(rest, usize::from(width), out)?;
        for numbers in out.chunks(64) {
            // Without a branch for each: most words have none.
            let any = numbers.iter().fold(false, |any, number| any | (*number == wanted));
            let bits = |numbers: &[u32]| {
                numbers.iter().enumerate().fold(0, |bits, (bit, number)| bits | u64::from(*number == wanted) << bit)
            };
            words.push(if any { bits(numbers) } else { 0 });
        }
        left -= out.len();
        rest = rest.get(step..).unwrap_or(&[]);
    }
    Some(words)
}

/// A number that others of some bits are unpacked to.
trait Unpacked: Copy + Default {
    fn of(value: u64) -> Self;
}

impl Unpacked for u64 {
    fn of(value: u64) -> Self {
        value
    }
}

impl Unpacked for u32 {
    #[allow(clippy::cast_possible_truncation)] // it has at most 32 bits
    fn of(value: u64) -> Self {
        value as Self
    }
}

/// Calls the loop that is compiled for a width.
macro_rules! of_width {
    ($width:expr, $bytes:expr, $out:expr, [$($w:literal)*]) => {
        match $width {
            $($w => unpack_eights::<$w, _>($bytes, $out),)*
            _ => 0,
        }
    };
}

/// Unpacks numbers that begin with the first bit of `bytes`.
fn unpack_block<N: Unpacked>(bytes: &[u8], width: usize, out: &mut [N]) -> Option<()> {
    if width == 0 {
        out.fill(N::default());
        return Some(());
    }
    let done = of_width!(width, bytes, out, [1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
        33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56]);
    let mask = u64::MAX >> (64 - width);
    for (index, number) in out.iter_mut().enumerate().skip(done) {
        let (byte, shift) = (index * width / 8, index * width % 8);
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
        *number = N::of(value & mask);
    }
    Some(())
}

/// Unpacks eight numbers at a time, which take `W` whole bytes, while eight bytes more can be read; says how many it did.
fn unpack_eights<const W: usize, N: Unpacked>(bytes: &[u8], out: &mut [N]) -> usize {
    const { assert!(W > 0 && W <= ONE_LOAD) };
    let mask = u64::MAX >> (64 - W);
    let mut done = 0;
    for (index, eight) in out.chunks_exact_mut(8).enumerate() {
        let Some(window) = bytes.get(index * W..index * W + W + 8) else { break };
        for (at, number) in eight.iter_mut().enumerate() {
            let byte = at * W / 8;
            let word = window.get(byte..byte + 8).and_then(|word| word.try_into().ok()).map_or(0, u64::from_le_bytes);
            *number = N::of(word >> (at * W % 8) & mask);
        }
        done += 8;
    }
    done
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
            for count in [0usize, 1, 2, 7, 63, 64, 65, 127, 128, 129, 1000] {
                let mask = if width == 0 { 0 } else { u64::MAX >> (64 - width) };
                let values: Vec<u64> = (0..count as u64).map(|i| (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) & mask).collect();
                let mut out = Vec::new();
                pack(&mut out, values.iter().copied(), width);
                assert_eq!(out.len(), packed_len(count, width));
                let mut back = Vec::new();
                assert_eq!(unpack(&out, count, width, |values| back.extend_from_slice(values)), Some(()));
                let small = unpack_u32(&out, count, width).map(|all| all.into_iter().map(u64::from).collect());
                assert_eq!(small, (width <= 32).then(|| back.clone()));
                for wanted in values.iter().copied().take(3).chain([0, 1]).filter_map(|wanted| u32::try_from(wanted).ok()) {
                    let words = equal(&out, count, width, wanted);
                    let rows =
                        |words: Vec<u64>| (0..count).filter(|row| words[row / 64] >> (row % 64) & 1 == 1).collect::<Vec<_>>();
                    let model = (0..count).filter(|row| values[*row] == u64::from(wanted)).collect();
                    assert_eq!(words.map(rows), (width <= 32).then_some(model), "{wanted} in {width} bits");
                }
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
