//! Where bytes stand in a text: 32 at a time where the module is built with `simd128`, as the stock filters are; else eight at
//! a time, or one by one.
//!
//! Every function looks from a place on and gives a place in the whole text. A place past the end is as the end: nothing is found.

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
use narrow as lanes;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use wide as lanes;

/// Where `byte` first stands.
#[inline]
pub fn byte(text: &[u8], from: usize, byte: u8) -> Option<usize> {
    somewhere(lanes::byte(text, from, byte))
}

/// Where `one` or `other` first stands.
#[inline]
pub fn either(text: &[u8], from: usize, one: u8, other: u8) -> Option<usize> {
    somewhere(lanes::either(text, from, one, other))
}

/// Where a space of any kind first stands: of ASCII, `\v` among them.
#[inline]
pub fn space(text: &[u8], from: usize) -> Option<usize> {
    somewhere(lanes::space(text, from))
}

/// The places of `byte` among the first 32 bytes, the first as the lowest bit; nothing where there are fewer.
#[inline]
pub fn among_first(text: &[u8], byte: u8) -> Option<u32> {
    let block: &[u8; 32] = text.first_chunk()?;
    Some(lanes::places(block, byte))
}

/// No place. A number and no `None`: that a function in Wasm would give back by way of memory, which takes as long as looking.
const NOWHERE: usize = usize::MAX;

#[inline]
fn somewhere(at: usize) -> Option<usize> {
    (at != NOWHERE).then_some(at)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Where a byte first stands for which `is` says so, looked at one by one.
#[inline]
fn each(text: &[u8], from: usize, is: impl Fn(u8) -> bool) -> usize {
    let found = text.get(from..).and_then(|rest| rest.iter().position(|byte| is(*byte)));
    found.map_or(NOWHERE, |at| from + at)
}

/// With vectors.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wide {
    use super::NOWHERE;
    use core::arch::wasm32::{u8x16_bitmask, u8x16_eq, u8x16_le, u8x16_splat, u8x16_sub, u64x2, v128, v128_or};

    #[inline]
    pub(super) fn byte(text: &[u8], from: usize, byte: u8) -> usize {
        find(text, from, |block| u8x16_eq(block, u8x16_splat(byte)), |other| other == byte)
    }

    #[inline]
    pub(super) fn either(text: &[u8], from: usize, one: u8, other: u8) -> usize {
        let hits = |block| v128_or(u8x16_eq(block, u8x16_splat(one)), u8x16_eq(block, u8x16_splat(other)));
        find(text, from, hits, |byte| byte == one || byte == other)
    }

    #[inline]
    pub(super) fn space(text: &[u8], from: usize) -> usize {
        let hits = |block| {
            let controls = u8x16_le(u8x16_sub(block, u8x16_splat(b'\t')), u8x16_splat(b'\r' - b'\t'));
            v128_or(u8x16_eq(block, u8x16_splat(b' ')), controls)
        };
        find(text, from, hits, super::is_space)
    }

    #[inline]
    pub(super) fn places(block: &[u8; BLOCK], byte: u8) -> u32 {
        mask(block, |block| u8x16_eq(block, u8x16_splat(byte)))
    }

    /// Two vectors: most of what is looked for stands so near, and then how near takes no guess of the processor's.
    const BLOCK: usize = 32;

    /// Which of a block's bytes are hit, the first as the lowest bit.
    #[inline]
    fn mask(block: &[u8; BLOCK], hits: impl Fn(v128) -> v128) -> u32 {
        let (words, _) = block.as_chunks::<8>();
        let word = |index: usize| words.get(index).map_or(0, |word| u64::from_le_bytes(*word));
        let half = |first: usize| u32::from(u8x16_bitmask(hits(u64x2(word(first), word(first + 1)))));
        half(0) | half(2) << 16
    }

    #[inline]
    fn find(text: &[u8], from: usize, hits: impl Fn(v128) -> v128, is: impl Fn(u8) -> bool) -> usize {
        let mut at = from;
        while let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk) {
            let mask = mask(block, &hits);
            if mask != 0 {
                return at + mask.trailing_zeros() as usize;
            }
            at += BLOCK;
        }
        // What is left is the end of the text's last block, if it has one.
        match text.last_chunk() {
            Some(block) if at < text.len() => {
                let left = text.len() - at;
                let mask = mask(block, &hits) >> (BLOCK - left);
                if mask == 0 { NOWHERE } else { at + mask.trailing_zeros() as usize }
            }
            Some(_) => NOWHERE,
            None => super::each(text, at, is),
        }
    }
}

/// With words.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod narrow {
    use super::{each, is_space};

    #[inline]
    pub(super) fn byte(text: &[u8], from: usize, byte: u8) -> usize {
        each(text, from, |other| other == byte)
    }

    #[inline]
    pub(super) fn either(text: &[u8], from: usize, one: u8, other: u8) -> usize {
        let hits = |word: u64| below(word ^ eight(one), 1) | below(word ^ eight(other), 1);
        find(text, from, hits, |byte| byte == one || byte == other)
    }

    #[inline]
    pub(super) fn space(text: &[u8], from: usize) -> usize {
        find(text, from, |word| below(word, b' ' + 1), is_space)
    }

    pub(super) fn places(block: &[u8; 32], byte: u8) -> u32 {
        block.iter().enumerate().fold(0, |places, (at, other)| places | u32::from(*other == byte) << at)
    }

    const fn eight(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }

    /// The top bit of every byte that is below `bound`, and perhaps of bytes above such a one; the lowest is exact.
    fn below(word: u64, bound: u8) -> u64 {
        word.wrapping_sub(eight(bound)) & !word & eight(0x80)
    }

    /// `hits` says of eight bytes at once, by their top bits, what `is` says, and may say it of some that it is not true of.
    #[inline]
    fn find(text: &[u8], from: usize, hits: impl Fn(u64) -> u64, is: impl Fn(u8) -> bool) -> usize {
        let (words, _) = text.get(from..).unwrap_or_default().as_chunks::<8>();
        for (index, word) in words.iter().enumerate() {
            let mut hits = hits(u64::from_le_bytes(*word));
            while hits != 0 {
                let at = hits.trailing_zeros() as usize / 8;
                if word.get(at).is_some_and(|byte| is(*byte)) {
                    return from + index * 8 + at;
                }
                hits &= hits - 1;
            }
        }
        each(text, from + words.len() * 8, is)
    }
}

#[cfg(test)]
mod tests {
    use super::{among_first, byte, either, space};

    #[test]
    fn places_among_the_first() {
        let mut text = *b" [a] bcd [[ ]e f ghi   jklm nopq ] [rst";
        assert_eq!(among_first(&text, b'['), Some(0b110_0000_0010));
        assert_eq!(among_first(&text[31..], b'['), None, "fewer than 32");
        text[31] = b'[';
        assert_eq!(among_first(&text, b'['), Some(1 << 31 | 0b110_0000_0010));
        assert_eq!(among_first(&text, b'x'), Some(0));
    }

    #[test]
    fn the_first_is_found_from_every_place() {
        // Every length around a block, and every place of a hit in it.
        for length in 0..70 {
            for hit in 0..=length {
                for wanted in *b"\" \t\r\\\x80" {
                    let mut text = vec![b'!'; length];
                    if let Some(place) = text.get_mut(hit) {
                        *place = wanted;
                    }
                    for from in 0..length + 20 {
                        let is = |found: &[u8]| (hit < length && from <= hit && found.contains(&wanted)).then_some(hit);
                        assert_eq!(byte(&text, from, wanted), is(&[wanted]));
                        assert_eq!(either(&text, from, b'"', b'\\'), is(b"\"\\"));
                        assert_eq!(space(&text, from), is(b" \t\r"));
                    }
                }
            }
        }
    }
}
