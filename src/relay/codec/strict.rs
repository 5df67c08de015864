//! Whether a payload is one JSON value, as the standard says: no more lenient than any other reader.
//!
//! Nothing is made of it: the chain sees the payload itself.

use serde::de::IgnoredAny;

use super::document::{DEPTH, Wrong};

/// Checks a payload.
pub(super) fn check(payload: &[u8]) -> Result<(), Wrong> {
    let wrong = |error: serde_json::Error| Wrong::new(format!("is no JSON: {error}"));
    if simdutf8::basic::from_utf8(payload).is_err() {
        return Err(Wrong::new("is no JSON: it is not UTF-8"));
    }
    serde_json::from_slice::<IgnoredAny>(payload).map_err(wrong)?;
    // Only what has so many brackets can be nested so deep.
    if memchr::memchr2_iter(b'[', b'{', payload).take(DEPTH + 1).count() > DEPTH && depth(payload) > DEPTH {
        return Err(Wrong::new(format!("is nested deeper than {DEPTH}")));
    }
    Ok(())
}

/// How deep a text is nested that is known to be JSON.
fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'\\' => drop(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_is_json() {
        for good in [r#"{"a":[1,2.5e3,"\u00e9",null,true]}"#, "[]", "1", "\"a\"", " {} \n", r#"{"a":1,"a":2}"#] {
            assert_eq!(check(good.as_bytes()), Ok(()), "{good}");
        }
        for bad in ["", "{", "{\"a\":}", "{} {}", "{'a':1}", "NaN", "01", "{\"a\":1,}", "\"\n\"", "hello"] {
            assert!(check(bad.as_bytes()).unwrap_err().0.starts_with("is no JSON"), "{bad}");
        }
        assert!(check(b"{\"a\":\"\xff\"}").is_err(), "strings are UTF-8");
        // A number that no float holds is still a number.
        assert_eq!(check(b"{\"a\":123456789012345678901234567890}"), Ok(()));
    }

    #[test]
    fn depth_is_counted_and_breadth_is_not() {
        let nested = |depth: usize| [b"[".repeat(depth), b"]".repeat(depth)].concat();
        assert_eq!(check(&nested(DEPTH)), Ok(()));
        assert!(check(&nested(DEPTH + 1)).unwrap_err().0.contains("deeper"));
        assert!(check(&nested(500_000)).is_err());
        let wide = format!("[{}{{}}]", "{},".repeat(1000));
        assert_eq!(check(wide.as_bytes()), Ok(()));
        assert_eq!(check(format!("[\"{}\"]", "[".repeat(1000)).as_bytes()), Ok(()));
        let quoted = format!("[{}\"\\\"{}\"]", "[],".repeat(200), "[".repeat(200));
        assert_eq!(check(quoted.as_bytes()), Ok(()), "brackets in strings are no brackets");
    }
}
