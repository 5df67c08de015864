//! The shape of a text: what is likely to differ from one log line to the next becomes a placeholder.
//!
//! `GET /cart/17 took 35ms from 10.0.0.1` has the shape `GET /cart/<num> took <num>ms from <ip>`. Placeholders: `<num>`, `<ip>`,
//! `<uuid>`, `<hex>`, `<time>`, `<id>` (long, letters and digits mixed), `<str>` (quoted, but for the names of JSON members).
//! Blanks are one space. Only the first [`TEXT_BYTES`] of a text count.

/// Longest part of a text that is looked at.
pub const TEXT_BYTES: usize = 1024;
/// Longest shape.
pub const SHAPE_BYTES: usize = 400;
/// Longest text in quotes that is taken for one.
const QUOTED_BYTES: usize = 512;

/// What separates words, beside blanks.
fn is_separator(byte: u8) -> bool {
    matches!(
        byte,
        b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'<' | b'>' | b',' | b';' | b'=' | b'"' | b'\'' | b'|' | b'&' | b'?' | b'/'
    )
}

/// Writes the shape of a text.
pub fn shape(text: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let text = &text[..text.len().min(TEXT_BYTES)];
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        if out.len() >= SHAPE_BYTES {
            out.truncate(SHAPE_BYTES);
            out.extend_from_slice(" <\u{2026}>".as_bytes());
            break;
        }
        if byte.is_ascii_whitespace() {
            if out.last().is_some_and(|last| *last != b' ') {
                out.push(b' ');
            }
            at += 1;
        } else if let Some(end) = quoted(text, at) {
            // The name of a member stays.
            let named = text.get(end..).is_some_and(|rest| rest.trim_ascii_start().starts_with(b":"));
            if named {
                out.extend_from_slice(&text[at..end]);
            } else {
                out.push(byte);
                out.extend_from_slice(if end - at > 2 { b"<str>" } else { b"" });
                out.push(byte);
            }
            at = end;
        } else if is_separator(byte) {
            out.push(byte);
            at += 1;
        } else {
            let end = text[at..].iter().position(|&byte| byte.is_ascii_whitespace() || is_separator(byte));
            let end = end.map_or(text.len(), |end| at + end);
            word(&text[at..end], out);
            at = end;
        }
    }
    if out.last() == Some(&b' ') {
        out.pop();
    }
}

/// The end of a text in quotes that begins here.
fn quoted(text: &[u8], at: usize) -> Option<usize> {
    let quote = *text.get(at).filter(|byte| matches!(byte, b'"' | b'\''))?;
    // An apostrophe is no quote.
    if at > 0 && text[at - 1].is_ascii_alphanumeric() {
        return None;
    }
    let inside = text.get(at + 1..text.len().min(at + 1 + QUOTED_BYTES))?;
    let mut escaped = false;
    let length = inside.iter().position(|&byte| {
        let ends = byte == quote && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    let end = at + length + 2;
    text.get(end).is_none_or(|next| !next.is_ascii_alphanumeric()).then_some(end)
}

fn word(word: &[u8], out: &mut Vec<u8>) {
    // Signs at the end belong to the sentence.
    let signs = word.iter().rev().take_while(|byte| matches!(byte, b'.' | b':' | b'!' | b'-')).count();
    let (body, signs) = word.split_at(word.len() - signs);
    if body.iter().any(u8::is_ascii_digit) {
        digits(body, out);
    } else {
        out.extend_from_slice(body);
    }
    out.extend_from_slice(signs);
}

/// A word that has digits in it.
fn digits(word: &[u8], out: &mut Vec<u8>) {
    let all = |is: fn(&u8) -> bool| word.iter().all(is);
    let count = |is: fn(&u8) -> bool| word.iter().filter(|byte| is(byte)).count();
    let text = std::str::from_utf8(word).unwrap_or("");
    let whole: Option<&str> = if is_address(text) {
        Some("<ip>")
    } else if is_uuid(word) {
        Some("<uuid>")
    } else if (word.len() >= 6 && all(u8::is_ascii_hexdigit) && count(u8::is_ascii_alphabetic) > 0)
        || word.strip_prefix(b"0x").is_some_and(|rest| !rest.is_empty() && rest.iter().all(u8::is_ascii_hexdigit))
    {
        Some("<hex>")
    } else if is_instant(word) {
        Some("<time>")
    } else if word.len() >= 16
        && all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        && count(u8::is_ascii_digit) >= 3
    {
        Some(if all(u8::is_ascii_digit) { "<num>" } else { "<id>" })
    } else {
        None
    };
    if let Some(whole) = whole {
        return out.extend_from_slice(whole.as_bytes());
    }
    let mut at = 0;
    while let Some(&byte) = word.get(at) {
        if !byte.is_ascii_digit() {
            // A sign before a number is the number's.
            let signed = matches!(byte, b'-' | b'+') && word.get(at + 1).is_some_and(u8::is_ascii_digit);
            if !(signed && at == 0) {
                out.push(byte);
            }
            at += 1;
            continue;
        }
        let run = |from: usize| word[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        at += run(at);
        while word.get(at) == Some(&b'.') && run(at + 1) > 0 {
            at += 1 + run(at + 1);
        }
        out.extend_from_slice(b"<num>");
    }
}

/// An address, perhaps with a port.
fn is_address(word: &str) -> bool {
    let numeric = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':');
    word.len() >= 3
        && word.bytes().all(numeric)
        && (word.parse::<std::net::IpAddr>().is_ok() || word.parse::<std::net::SocketAddr>().is_ok())
}

fn is_uuid(word: &[u8]) -> bool {
    word.len() == 36
        && word.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// A date, a time of day, or both.
fn is_instant(word: &[u8]) -> bool {
    let parts = word.iter().filter(|byte| matches!(byte, b':' | b'-' | b'/')).count();
    parts >= 2
        && word.len() >= 5
        && word.first().is_some_and(u8::is_ascii_digit)
        && word.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'-' | b'/' | b'.' | b'+' | b'T' | b'Z'))
}

/// The words of a shape.
pub fn words(shape: &[u8]) -> impl Iterator<Item = &[u8]> {
    shape.split(|byte| *byte == b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_becomes_a_placeholder() {
        for (text, expected) in [
            ("GET /cart/17 took 35ms from 10.0.0.1", "GET /cart/<num> took <num>ms from <ip>"),
            ("2015-05-17T10:05:03Z  WARN  pool-7: -5 of 1.5 left!", "<time> WARN pool-<num>: <num> of <num> left!"),
            ("id 4f5b1f0e-9c1d-4c8e-8f53-0a4b0a3f2c11.", "id <uuid>."),
            ("trace deadbeef01 at 0x7ffe", "trace <hex> at <hex>"),
            ("user \"ann b\" can't log in", "user \"<str>\" can't log in"),
            ("{\"a\": \"x y\", \"n\":5}", "{\"a\": \"<str>\", \"n\":<num>}"),
            ("req=Zk3vT90aaPq1XyLm done", "req=<id> done"),
            ("[::1]:8080 [fe80::1:2]", "[<ip>]:<num> [<ip>]"),
            ("no digits at all", "no digits at all"),
            ("", ""),
            ("  ", ""),
        ] {
            let mut out = Vec::new();
            shape(text.as_bytes(), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_a_short_shape(text in proptest::collection::vec(proptest::num::u8::ANY, 0..3000)) {
            let mut out = Vec::new();
            shape(&text, &mut out);
            proptest::prop_assert!(out.len() <= SHAPE_BYTES + TEXT_BYTES);
        }
    }
}
