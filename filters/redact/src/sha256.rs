//! HMAC-SHA-256 (FIPS 180-4, RFC 2104): the keyed hash that may stand for what is redacted.
//!
//! Here and not a crate: guests are built without registry crates. Not for anything but short texts, a few a record.

const K: [u32; 64] = constants();

/// The first 32 bits of the fractions of the cube roots of the first 64 primes, made when compiling.
const fn constants() -> [u32; 64] {
    let (mut k, mut count, mut prime) = ([0; 64], 0, 2_u128);
    while count < 64 {
        let (mut divisor, mut is_prime) = (2, true);
        while divisor * divisor <= prime {
            if prime.is_multiple_of(divisor) {
                is_prime = false;
            }
            divisor += 1;
        }
        if is_prime {
            k[count] = fraction(prime, 3);
            count += 1;
        }
        prime += 1;
    }
    k
}

/// The first 32 bits of the fraction of a root of a small number.
#[allow(clippy::cast_possible_truncation)]
const fn fraction(number: u128, root: u32) -> u32 {
    // floor(root(number) · 2³²), bit by bit: at most 2³⁷, whose cube fits.
    let (mut low, mut high) = (0_u128, 1 << 37);
    while low + 1 < high {
        let middle = (low + high) / 2;
        let (power, scaled) =
            if root == 3 { (middle * middle * middle, number << 96) } else { (middle * middle, number << 64) };
        if power <= scaled {
            low = middle;
        } else {
            high = middle;
        }
    }
    low as u32
}

/// The same of the square roots of the first eight primes.
const START: [u32; 8] = [
    fraction(2, 2),
    fraction(3, 2),
    fraction(5, 2),
    fraction(7, 2),
    fraction(11, 2),
    fraction(13, 2),
    fraction(17, 2),
    fraction(19, 2),
];

fn block(state: &mut [u32; 8], bytes: &[u8; 64]) {
    let mut w = [0_u32; 64];
    for (word, four) in w.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*four);
    }
    for at in 16..64 {
        let (a, b) = (w[at - 15], w[at - 2]);
        let small = a.rotate_right(7) ^ a.rotate_right(18) ^ a >> 3;
        let large = b.rotate_right(17) ^ b.rotate_right(19) ^ b >> 10;
        w[at] = w[at - 16].wrapping_add(small).wrapping_add(w[at - 7]).wrapping_add(large);
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for at in 0..64 {
        let sum = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = e & f ^ !e & g;
        let first = h.wrapping_add(sum).wrapping_add(choice).wrapping_add(K[at]).wrapping_add(w[at]);
        let sum = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let second = sum.wrapping_add(a & b ^ a & c ^ b & c);
        (h, g, f, e, d, c, b, a) = (g, f, e, d.wrapping_add(first), c, b, a, first.wrapping_add(second));
    }
    for (word, new) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *word = word.wrapping_add(new);
    }
}

/// SHA-256 of several pieces.
pub fn sha256(pieces: &[&[u8]]) -> [u8; 32] {
    let (mut state, mut buffer, mut filled, mut total) = (START, [0_u8; 64], 0, 0_u64);
    let mut push = |byte: u8, state: &mut [u32; 8]| {
        buffer[filled] = byte;
        filled += 1;
        if filled == 64 {
            block(state, &buffer);
            filled = 0;
        }
        filled
    };
    for byte in pieces.iter().copied().flatten() {
        push(*byte, &mut state);
        total += 8;
    }
    let mut filled = push(0x80, &mut state);
    while filled != 56 {
        filled = push(0, &mut state);
    }
    for byte in total.to_be_bytes() {
        push(byte, &mut state);
    }
    let mut out = [0; 32];
    for (four, word) in out.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *four = word.to_be_bytes();
    }
    out
}

/// HMAC-SHA-256 of a text.
pub fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut padded = [0_u8; 64];
    if key.len() > 64 {
        padded[..32].copy_from_slice(&sha256(&[key]));
    } else {
        padded[..key.len()].copy_from_slice(key);
    }
    let inner = sha256(&[&padded.map(|byte| byte ^ 0x36), text]);
    sha256(&[&padded.map(|byte| byte ^ 0x5c), &inner])
}

#[cfg(test)]
mod tests {
    use super::{hmac, sha256};

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn published_vectors() {
        for (text, hash) in [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
        ] {
            assert_eq!(hex(&sha256(&[text.as_bytes()])), hash, "{text}");
        }
        let long = vec![b'a'; 1_000_000];
        assert_eq!(hex(&sha256(&[&long])), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
        // RFC 4231, cases 2 and 6
        let short = hmac(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(hex(&short), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let long = hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(hex(&long), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }
}
