//! A small JSON reader for configurations. (Not for payloads: it makes a tree and copies strings.)

/// A JSON value. Numbers keep their text, so that nobody pays for floats who does not ask for one.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number, as it was written.
    Number(String),
    /// A string.
    Str(String),
    /// A list.
    Array(Vec<Json>),
    /// An object, in the order it was written.
    Object(Vec<(String, Json)>),
}

/// Deepest nesting.
const DEPTH: usize = 64;

impl Json {
    /// Reads a whole text.
    ///
    /// # Errors
    /// What is wrong, and at which byte.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(DEPTH)?;
        reader.space();
        if reader.at < text.len() { Err(reader.wrong("the end")) } else { Ok(value) }
    }

    /// A member of an object; `None` where it is missing, null, or this is no object.
    pub fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Json::Object(members) => {
                members.iter().rfind(|(name, _)| name == key).map(|(_, value)| value).filter(|value| **value != Json::Null)
            }
            _ => None,
        }
    }

    /// The members of an object; none of anything else.
    pub fn members(&self) -> &[(String, Json)] {
        match self {
            Json::Object(members) => members,
            _ => &[],
        }
    }

    /// The members of a member that is a table; none where it is missing.
    ///
    /// # Errors
    /// It is something else.
    pub fn table(&self, key: &str) -> Result<&[(String, Json)], String> {
        match self.get(key) {
            None => Ok(&[]),
            Some(Json::Object(members)) => Ok(members),
            Some(_) => Err(format!("`{key}` must be a table of names and values")),
        }
    }

    /// Refuses members that are not among these.
    ///
    /// # Errors
    /// Names the first one and what there is.
    pub fn only(&self, keys: &[&str]) -> Result<(), String> {
        match self.members().iter().find(|(name, _)| !keys.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) if keys.is_empty() => Err(format!("`{name}` is unknown: this filter has no configuration")),
            Some((name, _)) => Err(format!("`{name}` is unknown; there is: {}", keys.join(", "))),
        }
    }

    /// This value as a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Json::Str(text) => Some(text),
            _ => None,
        }
    }

    /// This value as a whole number.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Json::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// This value as a decimal number.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Json::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// This value as yes or no.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Json::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The elements of a list.
    pub fn as_array(&self) -> Option<&[Json]> {
        match self {
            Json::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// A string member that must be there.
    ///
    /// # Errors
    /// It is missing, or no string.
    pub fn str(&self, key: &str) -> Result<&str, String> {
        self.get(key).and_then(Json::as_str).ok_or_else(|| format!("`{key}` must be given, a string"))
    }

    /// A string member, or what to take without it.
    ///
    /// # Errors
    /// It is no string.
    pub fn str_or<'a>(&'a self, key: &str, default: &'a str) -> Result<&'a str, String> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_str().ok_or_else(|| format!("`{key}` must be a string")),
        }
    }

    /// A member that is yes or no, or what to take without it.
    ///
    /// # Errors
    /// It is something else.
    pub fn bool_or(&self, key: &str, default: bool) -> Result<bool, String> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| format!("`{key}` must be true or false")),
        }
    }

    /// A whole-number member, or what to take without it.
    ///
    /// # Errors
    /// It is something else.
    pub fn i64_or(&self, key: &str, default: i64) -> Result<i64, String> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_i64().ok_or_else(|| format!("`{key}` must be a whole number")),
        }
    }

    /// A member that is a string or a list of strings; empty where it is missing.
    ///
    /// # Errors
    /// It is something else.
    pub fn strings(&self, key: &str) -> Result<Vec<&str>, String> {
        let wrong = || format!("`{key}` must be a string or a list of strings");
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(Json::Array(elements)) => elements.iter().map(|value| value.as_str().ok_or_else(wrong)).collect(),
            Some(value) => Ok(vec![value.as_str().ok_or_else(wrong)?]),
        }
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn wrong(&self, wanted: &str) -> String {
        format!("not JSON: {wanted} was expected at byte {}", self.at)
    }

    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.text[self.at..].starts_with(word.as_bytes());
        if found {
            self.at += word.len();
        }
        found
    }

    fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth == 0 {
            return Err(format!("nested deeper than {DEPTH} at byte {}", self.at));
        }
        self.space();
        match self.peek() {
            b'{' => {
                let mut members = Vec::new();
                self.list(b'}', |reader| {
                    reader.space();
                    let name = reader.string()?;
                    reader.space();
                    if !reader.take(":") {
                        return Err(reader.wrong("a colon"));
                    }
                    members.push((name, reader.value(depth - 1)?));
                    Ok(())
                })?;
                Ok(Json::Object(members))
            }
            b'[' => {
                let mut elements = Vec::new();
                self.list(b']', |reader| {
                    elements.push(reader.value(depth - 1)?);
                    Ok(())
                })?;
                Ok(Json::Array(elements))
            }
            b'"' => self.string().map(Json::Str),
            b'-' | b'0'..=b'9' => {
                let start = self.at;
                while matches!(self.peek(), b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9') {
                    self.at += 1;
                }
                Ok(Json::Number(String::from_utf8_lossy(&self.text[start..self.at]).into_owned()))
            }
            _ if self.take("true") => Ok(Json::Bool(true)),
            _ if self.take("false") => Ok(Json::Bool(false)),
            _ if self.take("null") => Ok(Json::Null),
            _ => Err(self.wrong("a value")),
        }
    }

    /// Elements between the bracket that is next and `end`.
    fn list(&mut self, end: u8, mut element: impl FnMut(&mut Self) -> Result<(), String>) -> Result<(), String> {
        self.at += 1;
        self.space();
        if self.peek() == end {
            self.at += 1;
            return Ok(());
        }
        loop {
            element(self)?;
            self.space();
            match self.peek() {
                b',' => self.at += 1,
                byte if byte == end => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.wrong("a comma or the end of a list")),
            }
        }
    }

    fn string(&mut self) -> Result<String, String> {
        if self.peek() != b'"' {
            return Err(self.wrong("a string"));
        }
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            let Some(&byte) = self.text.get(self.at) else { return Err(self.wrong("the end of a string")) };
            self.at += 1;
            match byte {
                b'"' => return String::from_utf8(bytes).map_err(|_| self.wrong("UTF-8")),
                b'\\' => {
                    let escape = self.peek();
                    self.at += 1;
                    let character = match escape {
                        b'n' => '\n',
                        b't' => '\t',
                        b'r' => '\r',
                        b'b' => '\u{8}',
                        b'f' => '\u{c}',
                        b'"' | b'\\' | b'/' => char::from(escape),
                        b'u' => self.unicode()?,
                        _ => return Err(self.wrong("an escape")),
                    };
                    bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => bytes.push(byte),
            }
        }
    }

    fn unicode(&mut self) -> Result<char, String> {
        let high = self.hex()?;
        if !(0xd800..0xdc00).contains(&high) {
            return char::from_u32(high).ok_or_else(|| self.wrong("a character"));
        }
        if !self.take("\\u") {
            return Err(self.wrong("the second half of a pair"));
        }
        let low = self.hex()?;
        let pair = 0x10000 + ((high - 0xd800) << 10) + (low.wrapping_sub(0xdc00) & 0x3ff);
        char::from_u32(pair).filter(|_| (0xdc00..0xe000).contains(&low)).ok_or_else(|| self.wrong("the second half of a pair"))
    }

    fn hex(&mut self) -> Result<u32, String> {
        let digits = self.text.get(self.at..self.at + 4).and_then(|four| core::str::from_utf8(four).ok());
        let number = digits.and_then(|four| u32::from_str_radix(four, 16).ok()).ok_or_else(|| self.wrong("four hex digits"))?;
        self.at += 4;
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::Json;

    #[test]
    fn configurations_are_read() {
        let text = br#" {"a": "x\n\u00e9\ud83d\ude00", "n": -12, "f": 1.5e3, "t": true, "z": null, "l": ["p", "q"], "o": {}} "#;
        let json = Json::parse(text).unwrap();
        assert_eq!(json.str("a"), Ok("x\né😀"));
        assert_eq!(json.i64_or("n", 0), Ok(-12));
        assert_eq!(json.get("f").and_then(Json::as_f64), Some(1500.0));
        assert_eq!(json.bool_or("t", false), Ok(true));
        assert_eq!(json.bool_or("z", true), Ok(true), "null is as good as missing");
        assert_eq!(json.strings("l"), Ok(vec!["p", "q"]));
        assert_eq!(json.strings("a"), Ok(vec!["x\né😀"]));
        assert!(json.str("n").is_err() && json.i64_or("f", 0).is_err());
        assert_eq!(json.only(&["a"]), Err("`n` is unknown; there is: a".to_owned()));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let deep = "[".repeat(100_000);
        for text in ["", "{", "[1,]", "{\"a\" 1}", "\"\\ud800x\"", "\"\\u12", "nul", "1 2", "\"a", "{\"a\":1,}", &deep] {
            assert!(Json::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
