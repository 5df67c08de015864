//! What must not be stored: where it is in a text.
//!
//! One pass over the bytes; only at few of them is there anything to look at, and every look is bounded, but for values and keys,
//! which are passed over once found. What is between the finds is not copied.
//!
//! * card numbers: 13 to 19 digits, also in groups, with an issuer's first digits, its length, and a right check digit (Luhn);
//! * e-mail addresses; IPv4 and IPv6 addresses that stand alone;
//! * tokens: `Bearer …`; `Basic …` that holds a user and a password; JSON web tokens; AWS access key ids;
//! * values of `password=`, `"secret": "…"`, `api_key: …` and their like, and the password in `scheme://user:password@host`;
//! * private keys from `-----BEGIN … PRIVATE KEY-----` to its end, or that of the text.

use core::net::Ipv6Addr;

/// A kind of find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
#[allow(missing_docs)]
pub enum Kind {
    Card = 1,
    Email = 2,
    Ipv4 = 4,
    Ipv6 = 8,
    Bearer = 16,
    Basic = 32,
    Password = 64,
    Aws = 128,
    PrivateKey = 256,
    Jwt = 512,
}

impl Kind {
    /// All.
    pub const ALL: [(&'static str, Kind); 10] = [
        ("card", Kind::Card),
        ("email", Kind::Email),
        ("ipv4", Kind::Ipv4),
        ("ipv6", Kind::Ipv6),
        ("bearer", Kind::Bearer),
        ("basic", Kind::Basic),
        ("password", Kind::Password),
        ("aws", Kind::Aws),
        ("private_key", Kind::PrivateKey),
        ("jwt", Kind::Jwt),
    ];
    /// The secrets among them.
    pub const SECRETS: u16 = 16 | 32 | 64 | 128 | 256 | 512;

    /// What it is called.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// Where something is, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// First byte.
    pub start: usize,
    /// One past the last.
    pub end: usize,
    /// What it is.
    pub kind: Kind,
}

/// Names whose values are secret: these, and those that end with them.
const SECRET_NAMES: [&str; 16] = [
    "password",
    "passwd",
    "passwort",
    "pwd",
    "passphrase",
    "secret",
    "secret_key",
    "secret-key",
    "secret_access_key",
    "api_key",
    "api-key",
    "apikey",
    "access_token",
    "auth_token",
    "refresh_token",
    "token",
];

/// Finds one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Finder<'a> {
    text: &'a [u8],
    at: usize,
    /// The end of the last find: nothing is found twice.
    from: usize,
    kinds: u16,
}

impl<'a> Finder<'a> {
    /// Of these kinds.
    pub fn new(text: &'a [u8], kinds: u16) -> Self {
        Self { text, at: 0, from: 0, kinds }
    }

    fn wants(&self, kind: Kind) -> bool {
        self.kinds & kind as u16 != 0
    }

    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    fn rest(&self, at: usize) -> &'a [u8] {
        self.text.get(at..).unwrap_or(&[])
    }

    /// Whether a word begins here.
    fn begins(&self, at: usize) -> bool {
        at == self.from || !self.text[at - 1].is_ascii_alphanumeric()
    }

    fn run(&self, at: usize, is: impl Fn(u8) -> bool) -> usize {
        at + self.rest(at).iter().take_while(|byte| is(**byte)).count()
    }

    fn found(&self, kind: Kind, start: usize, end: usize) -> Option<Found> {
        (self.wants(kind) && start >= self.from && start < end).then_some(Found { start, end, kind })
    }

    fn look(&mut self) -> Option<Found> {
        let at = self.at;
        match self.byte(at) {
            b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' | b':' if self.begins(at) => {
                let number = if self.byte(at).is_ascii_digit() { self.number(at) } else { None };
                number.or_else(|| self.ipv6(at)).or_else(|| self.word(at)).or_else(|| self.value(at))
            }
            b'@' => self.email(at),
            b'=' | b':' => self.value(at),
            b'-' => self.private_key(at),
            b'e' | b'b' | b'B' | b'A' if self.begins(at) => self.word(at),
            _ => None,
        }
    }

    fn word(&self, at: usize) -> Option<Found> {
        match self.byte(at) {
            b'b' | b'B' => self.authorization(at),
            b'A' => self.aws(at),
            b'e' => self.jwt(at),
            _ => None,
        }
    }

    fn number(&mut self, at: usize) -> Option<Found> {
        if self.wants(Kind::Ipv4)
            && let Some(end) = ipv4(self.text, at)
        {
            return self.found(Kind::Ipv4, at, end);
        }
        if self.wants(Kind::Card)
            && (at == 0 || self.text[at - 1] != b'.')
            && let Some(end) = card(self.text, at)
        {
            return self.found(Kind::Card, at, end);
        }
        None
    }

    fn email(&self, at: usize) -> Option<Found> {
        if !self.wants(Kind::Email) {
            return None;
        }
        let is_local = |byte: &u8| byte.is_ascii_alphanumeric() || b"._%+-".contains(byte) || *byte >= 128;
        let before = &self.text[self.from..at];
        let local = before.iter().rev().take(64).take_while(|byte| is_local(byte)).count();
        let mut start = at - local;
        while start < at && matches!(self.byte(start), b'.' | b'-') {
            start += 1;
        }
        let host = self.rest(at + 1);
        let mut len = host
            .iter()
            .take(255)
            .take_while(|byte| byte.is_ascii_alphanumeric() || b".-".contains(byte) || **byte >= 128)
            .count();
        while len > 0 && matches!(host[len - 1], b'.' | b'-') {
            len -= 1;
        }
        let host = &host[..len];
        let dot = host.iter().rposition(|byte| *byte == b'.')?;
        let top = &host[dot + 1..];
        let is_name = top.len() >= 2 && !top.iter().any(u8::is_ascii_digit) && dot > 0;
        if is_name { self.found(Kind::Email, start, at + 1 + len) } else { None }
    }

    fn ipv6(&self, at: usize) -> Option<Found> {
        if !self.wants(Kind::Ipv6) {
            return None;
        }
        let is_part = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b':' || *byte == b'.';
        let mut end = at + self.rest(at).iter().take(46).take_while(|byte| is_part(byte)).count();
        if end - at > 45 || self.byte(end).is_ascii_alphanumeric() {
            return None;
        }
        while end > at && matches!(self.byte(end - 1), b'.')
            || end > at + 2 && self.byte(end - 1) == b':' && self.byte(end - 2) != b':'
        {
            end -= 1;
        }
        let text = core::str::from_utf8(&self.text[at..end]).ok()?;
        // `::` alone is more often C++ than nowhere.
        if text.len() < 3 || !text.contains(':') {
            return None;
        }
        text.parse::<Ipv6Addr>().ok()?;
        self.found(Kind::Ipv6, at, end)
    }

    fn authorization(&self, at: usize) -> Option<Found> {
        let rest = self.rest(at);
        let scheme = |name: &str| rest.get(..name.len()).is_some_and(|front| front.eq_ignore_ascii_case(name.as_bytes()));
        let kind = if scheme("bearer ") {
            Kind::Bearer
        } else if scheme("basic ") {
            Kind::Basic
        } else {
            return None;
        };
        let start = self.run(at + if kind == Kind::Bearer { 6 } else { 5 }, |byte| byte == b' ');
        let end = self.run(start, |byte| byte.is_ascii_alphanumeric() || b"._~+/=-".contains(&byte));
        let token = &self.text[start..end];
        let is_token = match kind {
            Kind::Bearer => token.len() >= 20 || token.len() >= 8 && token.iter().any(u8::is_ascii_digit),
            _ => base64_has_colon(token),
        };
        if is_token { self.found(kind, start, end) } else { None }
    }

    fn aws(&self, at: usize) -> Option<Found> {
        let rest = self.rest(at);
        let is_id = ["AKIA", "ASIA", "AROA", "AIDA", "AGPA"].iter().any(|front| rest.starts_with(front.as_bytes()));
        let end = self.run(at, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        if is_id && end - at == 20 && !self.byte(end).is_ascii_alphanumeric() { self.found(Kind::Aws, at, end) } else { None }
    }

    fn jwt(&self, at: usize) -> Option<Found> {
        if !self.wants(Kind::Jwt) || !self.rest(at).starts_with(b"eyJ") || at > self.from && b"-_".contains(&self.text[at - 1])
        {
            return None;
        }
        let part = |from| self.run(from, |byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        let head = part(at);
        let body = part(head + 1);
        if self.byte(head) != b'.' || self.byte(body) != b'.' || body - head < 3 || !self.rest(head + 1).starts_with(b"eyJ") {
            return None;
        }
        self.found(Kind::Jwt, at, part(body + 1))
    }

    fn private_key(&self, at: usize) -> Option<Found> {
        const FRONT: &[u8] = b"-----BEGIN ";
        if !self.wants(Kind::PrivateKey) || !self.rest(at).starts_with(FRONT) {
            return None;
        }
        let name = self.run(at + FRONT.len(), |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ');
        if !self.text[at + FRONT.len()..name].ends_with(b"PRIVATE KEY") {
            return None;
        }
        let mut end = name;
        while end < self.text.len() {
            if self.rest(end).starts_with(b"-----END ") {
                let dashes = self.run(end + 9, |byte| byte != b'-' && byte != b'\n');
                return self.found(Kind::PrivateKey, at, self.run(dashes, |byte| byte == b'-'));
            }
            end += 1;
        }
        self.found(Kind::PrivateKey, at, self.text.len())
    }

    /// What stands behind a secret's name, at its `=` or `:`.
    fn value(&self, at: usize) -> Option<Found> {
        if !self.wants(Kind::Password) || !matches!(self.byte(at), b'=' | b':') {
            return None;
        }
        if self.rest(at).starts_with(b"://") {
            return self.url(at);
        }
        let mut end = at;
        let before = |end: usize| if end > self.from { self.text[end - 1] } else { 0 };
        while end + 2 > at && before(end) == b' ' {
            end -= 1;
        }
        // "password", 'password', \"password\"
        let is_quoted = matches!(before(end), b'"' | b'\'');
        if is_quoted {
            end -= 1;
            if before(end) == b'\\' {
                end -= 1;
            }
        }
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'-';
        let len = self.text[self.from..end].iter().rev().take(40).take_while(|byte| is_name(byte)).count();
        let name = &self.text[end - len..end];
        let is_secret = |secret: &str| {
            name.len().checked_sub(secret.len()).is_some_and(|at| name[at..].eq_ignore_ascii_case(secret.as_bytes()))
        };
        if !SECRET_NAMES.iter().any(|secret| is_secret(secret)) {
            return None;
        }
        let mut start = self.run(at + 1, |byte| byte == b' ');
        // `password==x` and `=>` are written too.
        while matches!(self.byte(start), b'=' | b'>') {
            start += 1;
        }
        start = self.run(start, |byte| byte == b' ');
        let escaped = self.byte(start) == b'\\' && matches!(self.byte(start + 1), b'"' | b'\'');
        let quote = self.byte(start + usize::from(escaped));
        if matches!(quote, b'"' | b'\'') {
            start += 1 + usize::from(escaped);
            let end = self.quoted(start, quote, escaped);
            return self.found(Kind::Password, start, end);
        }
        let mut end = self.run(start, |byte| !byte.is_ascii_whitespace() && !b"&,;\"'}])".contains(&byte));
        // `token: Bearer abc`
        let word = &self.text[start..end];
        if word.eq_ignore_ascii_case(b"bearer") || word.eq_ignore_ascii_case(b"basic") {
            start = self.run(end, |byte| byte == b' ');
            end = self.run(start, |byte| !byte.is_ascii_whitespace() && !b"&,;\"'}])".contains(&byte));
        }
        self.found(Kind::Password, start, end)
    }

    /// Where a quoted value ends: before its quote, or with the text.
    fn quoted(&self, start: usize, quote: u8, escaped: bool) -> usize {
        let mut end = start;
        while end < self.text.len() {
            match self.byte(end) {
                b'\\' if escaped && self.byte(end + 1) == quote => return end,
                b'\\' => end += 2,
                byte if byte == quote => return end,
                _ => end += 1,
            }
        }
        self.text.len()
    }

    /// The password in `scheme://user:password@host`.
    fn url(&self, at: usize) -> Option<Found> {
        let is_user = |byte: u8| byte.is_ascii_graphic() && !b":@/?#\"'<>".contains(&byte);
        let colon = self.run(at + 3, is_user);
        if self.byte(colon) != b':' {
            return None;
        }
        let end = self.run(colon + 1, |byte| byte.is_ascii_graphic() && !b"@/\"'<>".contains(&byte));
        if self.byte(end) == b'@' { self.found(Kind::Password, colon + 1, end) } else { None }
    }
}

impl Iterator for Finder<'_> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        while self.at < self.text.len() {
            let found = self.look();
            if let Some(found) = found {
                self.at = found.end;
                self.from = found.end;
                return Some(found);
            }
            self.at += 1;
        }
        None
    }
}

/// Four numbers to 255 with dots between, and nothing like them around.
fn ipv4(text: &[u8], at: usize) -> Option<usize> {
    if at > 0 && text[at - 1] == b'.' {
        return None;
    }
    let mut end = at;
    for part in 0..4 {
        if part > 0 {
            (text.get(end) == Some(&b'.')).then_some(())?;
            end += 1;
        }
        let digits = text[end..].iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
        let value = text[end..end + digits].iter().fold(0_u32, |sum, byte| sum * 10 + u32::from(byte - b'0'));
        if !(1..=3).contains(&digits) || value > 255 {
            return None;
        }
        end += digits;
    }
    let next = text.get(end).copied().unwrap_or(b' ');
    let goes_on = next == b'.' && text.get(end + 1).is_some_and(u8::is_ascii_digit);
    (!next.is_ascii_alphanumeric() && !goes_on).then_some(end)
}

/// A card's number from here, with its end.
fn card(text: &[u8], at: usize) -> Option<usize> {
    let mut digits = [0_u8; 19];
    let (mut count, mut end, mut separator) = (0, at, None);
    while let Some(byte) = text.get(end) {
        if byte.is_ascii_digit() {
            *digits.get_mut(count)? = byte - b'0';
            count += 1;
            end += 1;
            let next = text.get(end).copied().unwrap_or(0);
            if !next.is_ascii_alphanumeric() && is_card(&digits[..count]) {
                return Some(end);
            }
        } else if (*byte == b' ' || *byte == b'-')
            && separator.is_none_or(|known| known == *byte)
            && text.get(end + 1).is_some_and(u8::is_ascii_digit)
        {
            separator = Some(*byte);
            end += 1;
        } else {
            return None;
        }
    }
    None
}

fn is_card(digits: &[u8]) -> bool {
    let number = |len: usize| digits.iter().take(len).fold(0_u32, |sum, digit| sum * 10 + u32::from(*digit));
    let (one, two, three, four) = (number(1), number(2), number(3), number(4));
    let lengths = match (one, two, three, four) {
        (4, ..) => digits.len() == 13 || digits.len() == 16 || digits.len() == 19,
        (_, 51..=55, ..) | (_, _, _, 2221..=2720) => digits.len() == 16,
        (_, 34 | 37, ..) => digits.len() == 15,
        (_, 36 | 38, ..) | (_, _, 300..=305, _) => digits.len() == 14,
        (_, 35 | 62 | 65, ..) | (_, _, 644..=649, _) | (_, _, _, 6011) => (16..=19).contains(&digits.len()),
        (_, 50 | 56..=58 | 67, ..) => (16..=19).contains(&digits.len()),
        _ => false,
    };
    lengths && luhn(digits)
}

/// Whether the last digit is the right one.
pub fn luhn(digits: &[u8]) -> bool {
    let sum = digits.iter().rev().enumerate().fold(0_u32, |sum, (index, digit)| {
        let doubled = u32::from(*digit) * if index % 2 == 1 { 2 } else { 1 };
        sum + if doubled > 9 { doubled - 9 } else { doubled }
    });
    sum.is_multiple_of(10)
}

/// Whether this is base64 of `user:password`.
fn base64_has_colon(text: &[u8]) -> bool {
    let (mut bits, mut count) = (0_u32, 0);
    let mut has = false;
    if text.len() < 4 {
        return false;
    }
    for byte in text.iter().filter(|byte| **byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return false,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            let decoded = bits >> count & 0xff;
            if decoded < 0x20 || decoded == 0x7f {
                return false;
            }
            has |= decoded == u32::from(b':');
        }
    }
    has
}
