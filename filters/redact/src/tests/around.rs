//! A host whose groups lie beside their match, as look-arounds make them.

use sawbox_guest::testing::Patterns;

/// A host of one expression whose group stands outside of its match: `k(?=(.))`, or `(?<=(k)).`.
pub struct Around {
    /// The second of the two.
    pub is_behind: bool,
    /// How many were compiled: the expression itself, and the one that goes on behind a character.
    pub compiled: i32,
}

impl Patterns for Around {
    fn compile(&mut self, _: u32, _: &str) -> i32 {
        self.compiled += 1;
        self.compiled - 1
    }

    fn describe(&mut self, _: i32, out: &mut [u8]) -> i32 {
        let text = b"\x01\0\x02\0g0\x02\0\x02\0g1";
        out[..text.len()].copy_from_slice(text);
        i32::try_from(text.len()).unwrap()
    }

    fn find(&mut self, handle: i32, bytes: &[u8], out: &mut [u8]) -> i32 {
        let begins_at = if handle > 0 { 1 } else { 0 };
        let keys = (0..bytes.len().saturating_sub(1)).filter(|at| bytes[*at] == b'k');
        let mut matches = keys.map(|at| if self.is_behind { (at + 1, at) } else { (at, at + 1) });
        let Some((matched, group)) = matches.find(|(matched, _)| *matched >= begins_at) else { return -1 };
        let numbers = [1, matched, matched + 1, 2, group, group + 1];
        for (number, out) in numbers.into_iter().zip(out.chunks_mut(4)) {
            out.copy_from_slice(&u32::try_from(number).unwrap().to_le_bytes());
        }
        2
    }
}
