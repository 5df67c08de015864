//! An agent string as tokens: products (`Chrome/120.0`) and what stands in parentheses, item by item.
//!
//! Places, not slices, so that what is found can be kept apart from the text. At most [`TOKENS`] tokens of the first [`LOOKED_AT`]
//! bytes: what makes an agent stands at its front, and nobody's header may cost more than that.

/// Most tokens.
const TOKENS: usize = 64;
/// Bytes that are looked at.
pub const LOOKED_AT: usize = 1024;

/// A place in the agent: from, to.
pub type Place = (usize, usize);

/// One product, or one item of a comment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Token {
    /// `Chrome`; of an item the whole of it, where it has no slash.
    pub name: Place,
    /// `120.0`, or nothing.
    pub version: Place,
    /// Whether it stands in parentheses.
    pub is_inside: bool,
}

/// All of them.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a> {
    /// What is looked at.
    pub text: &'a [u8],
    tokens: [Token; TOKENS],
    len: usize,
    /// Whether an address of a site or of a person stands in parentheses: robots say whom to blame.
    pub has_address: bool,
}

impl<'a> Tokens<'a> {
    /// Takes an agent apart.
    pub fn new(agent: &'a [u8]) -> Self {
        let text = &agent[..agent.len().min(LOOKED_AT)];
        let mut made = Self { text, tokens: [Token::default(); TOKENS], len: 0, has_address: false };
        let (mut depth, mut start) = (0_usize, 0);
        for (at, byte) in text.iter().enumerate() {
            let next = match byte {
                b'(' | b'[' => depth + 1,
                b')' | b']' => depth.saturating_sub(1),
                b';' => depth,
                b' ' if depth == 0 => 0,
                _ => continue,
            };
            made.push(start, at, depth > 0);
            (depth, start) = (next, at + 1);
        }
        made.push(start, text.len(), depth > 0);
        made
    }

    /// The tokens in their order.
    pub fn all(&self) -> &[Token] {
        &self.tokens[..self.len]
    }

    /// What stands at a place.
    pub fn at(&self, place: Place) -> &'a [u8] {
        self.text.get(place.0..place.1).unwrap_or(&[])
    }

    /// The first token of this name.
    pub fn find(&self, name: &[u8]) -> Option<&Token> {
        self.all().iter().find(|token| self.at(token.name) == name)
    }

    fn push(&mut self, mut start: usize, mut end: usize, is_inside: bool) {
        while start < end && matches!(self.text[start], b' ' | b'\t' | b'"' | b',') {
            start += 1;
        }
        while end > start && matches!(self.text[end - 1], b' ' | b'\t' | b'"' | b',') {
            end -= 1;
        }
        let whole = &self.text[start..end];
        if whole.is_empty() {
            return;
        }
        let address = whole.windows(5).position(|window| window == b"http:" || window == b"https" || window == b"ttp:/");
        let is_address = whole[0] == b'+' || address == Some(0) || whole.starts_with(b"www.");
        if is_address || (is_inside && (address.is_some() || whole.contains(&b'@'))) {
            self.has_address = true;
        }
        if is_address {
            return;
        }
        // `archive.org_bot +http://…`: what stands before the address.
        if let Some(at) = address {
            end = start + at;
            while end > start && matches!(self.text[end - 1], b' ' | b'+' | b'-' | b',') {
                end -= 1;
            }
        }
        // `Instagram 76.0`: a number on its own is the version of the product before it.
        if !is_inside
            && self.text[start].is_ascii_digit()
            && let Some(last) = self.tokens[..self.len].last_mut()
            && !last.is_inside
            && last.version.0 == last.version.1
        {
            last.version = (start, end);
            return;
        }
        if self.len == TOKENS {
            return;
        }
        let slash = self.text[start..end].iter().position(|byte| *byte == b'/').map_or(end, |at| start + at);
        self.tokens[self.len] = Token { name: (start, slash), version: ((slash + 1).min(end), end), is_inside };
        self.len += 1;
    }
}

/// The part of a version that is numbers: `1.4.4` of `v1.4.4-beta`.
pub fn numbers(text: &[u8], place: Place) -> Place {
    let (mut start, limit) = (place.0.min(text.len()), place.1.min(text.len()));
    if start + 1 < limit && matches!(text[start], b'v' | b'V') {
        start += 1;
    }
    let mut end = start;
    while end < limit && (text[end].is_ascii_digit() || (matches!(text[end], b'.' | b'_') && end > start)) {
        end += 1;
    }
    while end > start && !text[end - 1].is_ascii_digit() {
        end -= 1;
    }
    (start, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(agent: &str) -> String {
        let tokens = Tokens::new(agent.as_bytes());
        let text = |place| String::from_utf8_lossy(tokens.at(place)).into_owned();
        let parts: Vec<String> = tokens
            .all()
            .iter()
            .map(|token| format!("{}{}|{}", if token.is_inside { "+" } else { "" }, text(token.name), text(token.version)))
            .collect();
        parts.join(" ")
    }

    #[test]
    fn agents_fall_apart() {
        for (agent, expected) in [
            ("curl/8.5.0", "curl|8.5.0"),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:27.0) Gecko/1", "Mozilla|5.0 +X11| +Linux x86_64| +rv:27.0| Gecko|1"),
            ("Mozilla/5.0 (compatible; Exabot/3.0 (Big); +http://x.y/z)", "Mozilla|5.0 +compatible| +Exabot|3.0 +Big|"),
            ("a (archive.org_bot +http://x/y)", "a| +archive.org_bot|"),
            ("Instagram 76.0.1 Android (28/9; 420dpi)", "Instagram|76.0.1 Android| +28|9 +420dpi|"),
            ("x [FBAN/FBIOS;FBAV/36.0]", "x| +FBAN|FBIOS +FBAV|36.0"),
            ("Sogou web spider/4.0(+http://www.sogou.com/docs)", "Sogou| web| spider|4.0"),
            (")((;;", ""),
            ("", ""),
        ] {
            assert_eq!(show(agent), expected, "{agent}");
        }
        assert!(Tokens::new(b"x (y; +http://z)").has_address && Tokens::new(b"x (y; me@z)").has_address);
        assert!(!Tokens::new(b"x (y) z").has_address);
        assert_eq!(Tokens::new("a ".repeat(10_000).as_bytes()).all().len(), TOKENS);
    }

    #[test]
    fn versions_are_numbers() {
        for (text, expected) in
            [("v1.4.4", "1.4.4"), ("4.2-pre", "4.2"), ("10_9_1", "10_9_1"), ("2.", "2"), ("x", ""), ("v", ""), ("", "")]
        {
            let (start, end) = numbers(text.as_bytes(), (0, text.len()));
            assert_eq!(&text[start..end], expected);
        }
    }
}
