//! Strings as JSON writes them between quotes: the shortest way, which is how nearly everybody does.

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Whether JSON writes a string as it is.
pub fn plain_in_json(text: &[u8]) -> bool {
    // No early end: eight or more bytes are looked at in one step.
    !text.iter().fold(false, |odd, byte| odd | (*byte < 0x20) | (*byte == b'"') | (*byte == b'\\'))
}

/// Appends a string as JSON writes it.
pub fn put_json(out: &mut Vec<u8>, text: &[u8]) {
    if plain_in_json(text) {
        out.extend_from_slice(text);
        return;
    }
    for byte in text {
        let short = match byte {
            b'"' | b'\\' => *byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            8 => b'b',
            12 => b'f',
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.extend([byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]));
                continue;
            }
            _ => {
                out.push(*byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn what_is_written_is_read_as_it_was(text in any::<String>()) {
            let mut out = vec![b'"'];
            put_json(&mut out, text.as_bytes());
            out.push(b'"');
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text.clone());
            prop_assert_eq!(plain_in_json(text.as_bytes()), out.len() == text.len() + 2);
        }
    }
}
