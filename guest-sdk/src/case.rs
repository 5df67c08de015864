//! Letters: upper case, lower case, capitalised; of bytes that are mostly text.
//!
//! ASCII is changed byte by byte; other text by Unicode's rules for no language in particular; bytes that are no UTF-8 keep all
//! but their ASCII letters.

/// What is done to letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// `ABC`
    Upper,
    /// `abc`
    Lower,
    /// `Abc`
    Capital,
}

impl Case {
    /// By the name that options give it: `uppercase`, `lowercase`, `capitalize`.
    pub fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "uppercase" => Self::Upper,
            "lowercase" => Self::Lower,
            "capitalize" => Self::Capital,
            _ => return None,
        })
    }

    /// Whether the text is so already, as far as ASCII goes: then it need not be built.
    pub fn is_already(self, text: &[u8]) -> bool {
        text.is_ascii()
            && match self {
                Self::Upper => !text.iter().any(u8::is_ascii_lowercase),
                Self::Lower => !text.iter().any(u8::is_ascii_uppercase),
                Self::Capital => {
                    let (first, rest) = text.split_first().unwrap_or((&0, &[]));
                    !first.is_ascii_lowercase() && !rest.iter().any(u8::is_ascii_uppercase)
                }
            }
    }

    /// Appends the text with its letters changed.
    pub fn write(self, text: &[u8], out: &mut Vec<u8>) {
        match core::str::from_utf8(text) {
            Ok(text) if !text.is_ascii() => match self {
                Self::Upper => out.extend_from_slice(text.to_uppercase().as_bytes()),
                Self::Lower => out.extend_from_slice(text.to_lowercase().as_bytes()),
                Self::Capital => {
                    let mut letters = text.chars();
                    if let Some(first) = letters.next() {
                        let mut utf8 = [0; 4];
                        first.to_uppercase().for_each(|letter| out.extend_from_slice(letter.encode_utf8(&mut utf8).as_bytes()));
                    }
                    out.extend_from_slice(letters.as_str().to_lowercase().as_bytes());
                }
            },
            _ => {
                let start = out.len();
                out.extend_from_slice(text);
                let written = &mut out[start..];
                match self {
                    Self::Upper => written.make_ascii_uppercase(),
                    Self::Lower => written.make_ascii_lowercase(),
                    Self::Capital => {
                        written.make_ascii_lowercase();
                        if let Some(first) = written.first_mut() {
                            first.make_ascii_uppercase();
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Case;

    #[test]
    fn letters_change() {
        for (text, upper, lower, capital) in [
            ("", "", "", ""),
            ("hELLO wORLD", "HELLO WORLD", "hello world", "Hello world"),
            ("éTÉ", "ÉTÉ", "été", "Été"),
            ("straße", "STRASSE", "straße", "Straße"),
        ] {
            for (case, expected) in [(Case::Upper, upper), (Case::Lower, lower), (Case::Capital, capital)] {
                let mut out = Vec::new();
                case.write(text.as_bytes(), &mut out);
                assert_eq!(out, expected.as_bytes(), "{text}");
                assert!(!case.is_already(text.as_bytes()) || text == expected);
            }
        }
        let mut out = Vec::new();
        Case::Upper.write(b"a\xffb", &mut out);
        assert_eq!(out, b"A\xffB");
    }
}
