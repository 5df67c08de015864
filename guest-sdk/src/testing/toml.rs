//! As much of TOML as fixtures need, so that a filter's own tests need no crate: tables, arrays of tables, dotted and quoted keys,
//! strings of all four kinds, numbers, booleans, dates (as text), arrays, inline tables.
//!
//! Left out: escapes but `\n \r \t \" \\` and `\u` with four digits; hexadecimal and other special numbers. `sawbox filter test`
//! reads all of TOML; what this does not read is an error here, never something else.

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Toml {
    Str(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    Array(Vec<Toml>),
    Table(Vec<(String, Toml)>),
}

impl Toml {
    pub(crate) fn get(&self, name: &str) -> Option<&Toml> {
        self.members().iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub(crate) fn members(&self) -> &[(String, Toml)] {
        match self {
            Toml::Table(members) => members,
            Toml::Str(_) | Toml::Int(_) | Toml::Float(_) | Toml::Bool(_) | Toml::Array(_) => &[],
        }
    }

    pub(crate) fn items(&self) -> &[Toml] {
        match self {
            Toml::Array(items) => items,
            Toml::Str(_) | Toml::Int(_) | Toml::Float(_) | Toml::Bool(_) | Toml::Table(_) => &[],
        }
    }

    pub(crate) fn str(&self) -> Option<&str> {
        match self {
            Toml::Str(text) => Some(text),
            Toml::Int(_) | Toml::Float(_) | Toml::Bool(_) | Toml::Array(_) | Toml::Table(_) => None,
        }
    }

    /// As JSON text: what a configuration is.
    pub(crate) fn json(&self) -> String {
        match self {
            Toml::Str(text) => quoted(text),
            Toml::Int(value) => value.to_string(),
            Toml::Float(value) => format!("{value:?}"),
            Toml::Bool(value) => value.to_string(),
            Toml::Array(items) => format!("[{}]", items.iter().map(Toml::json).collect::<Vec<_>>().join(",")),
            Toml::Table(members) => {
                let members: Vec<String> =
                    members.iter().map(|(name, value)| format!("{}:{}", quoted(name), value.json())).collect();
                format!("{{{}}}", members.join(","))
            }
        }
    }

    /// The member of this name, made as a table (or as one more table of an array) where it is not there.
    fn enter(&mut self, name: &str, another: bool) -> Result<&mut Toml, String> {
        let Toml::Table(members) = self else { return Err(format!("`{name}` is in something that is no table")) };
        let at = match members.iter().position(|(known, _)| known == name) {
            Some(at) => at,
            None => {
                let empty = if another { Toml::Array(Vec::new()) } else { Toml::Table(Vec::new()) };
                members.push((name.to_owned(), empty));
                members.len() - 1
            }
        };
        match &mut members[at].1 {
            Toml::Array(items) => {
                if another {
                    items.push(Toml::Table(Vec::new()));
                }
                items.last_mut().ok_or_else(|| format!("`{name}` is an empty array"))
            }
            _ if another => Err(format!("`{name}` is no array of tables")),
            value => Ok(value),
        }
    }

    fn insert(&mut self, keys: &[String], value: Toml) -> Result<(), String> {
        let Some((last, first)) = keys.split_last() else { return Err("a key is missing".into()) };
        let mut table = self;
        for key in first {
            table = table.enter(key, false)?;
        }
        match table {
            Toml::Table(members) if members.iter().all(|(known, _)| known != last) => {
                members.push((last.clone(), value));
                Ok(())
            }
            _ => Err(format!("`{last}` is there twice, or in something that is no table")),
        }
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\0'..='\u{1f}' => out.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}

/// Reads a file.
///
/// # Errors
/// What is wrong, and in which line.
pub(crate) fn parse(text: &str) -> Result<Toml, String> {
    let mut parser = Parser { rest: text };
    let mut root = Toml::Table(Vec::new());
    let mut at: Vec<(String, bool)> = Vec::new();
    let line = |parser: &Parser<'_>| text[..text.len() - parser.rest.len()].lines().count().max(1);
    loop {
        parser.space(true);
        if parser.rest.is_empty() {
            return Ok(root);
        }
        let step = (|| {
            if parser.eat("[[") {
                let keys = parser.keys()?;
                parser.expect("]]")?;
                let last = keys.len() - 1;
                at = keys.into_iter().enumerate().map(|(index, key)| (key, index == last)).collect();
                enter(&mut root, &at, true).map(|_| ())
            } else if parser.eat("[") {
                at = parser.keys()?.into_iter().map(|key| (key, false)).collect();
                parser.expect("]")?;
                enter(&mut root, &at, true).map(|_| ())
            } else {
                let keys = parser.keys()?;
                parser.expect("=")?;
                let value = parser.value(0)?;
                enter(&mut root, &at, false)?.insert(&keys, value)
            }
        })();
        step.map_err(|why: String| format!("line {}: {why}", line(&parser)))?;
        parser.space(false);
        if !parser.rest.is_empty() && !parser.rest.starts_with(['\n', '\r']) {
            return Err(format!("line {}: something behind the value", line(&parser)));
        }
    }
}

/// Goes to a table from the root; `new` where its header is being read.
fn enter<'t>(root: &'t mut Toml, at: &[(String, bool)], new: bool) -> Result<&'t mut Toml, String> {
    at.iter().try_fold(root, |table, (key, another)| table.enter(key, *another && new))
}

struct Parser<'t> {
    rest: &'t str,
}

impl Parser<'_> {
    fn space(&mut self, lines: bool) {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t']);
            if self.rest.starts_with('#') {
                self.rest = &self.rest[self.rest.find('\n').unwrap_or(self.rest.len())..];
            }
            if !lines || !self.rest.starts_with(['\n', '\r']) {
                return;
            }
            self.rest = self.rest.trim_start_matches(['\n', '\r']);
        }
    }

    fn eat(&mut self, what: &str) -> bool {
        let rest = self.rest.strip_prefix(what);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, what: &str) -> Result<(), String> {
        self.space(false);
        if self.eat(what) { Ok(()) } else { Err(format!("expected `{what}`")) }
    }

    fn take(&mut self, end: usize) -> String {
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken.to_owned()
    }

    fn keys(&mut self) -> Result<Vec<String>, String> {
        let mut keys = Vec::new();
        loop {
            self.space(false);
            if self.rest.starts_with(['"', '\'']) {
                keys.push(self.string()?);
            } else {
                let bare = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
                let end = self.rest.find(|character| !bare(character)).unwrap_or(self.rest.len());
                if end == 0 {
                    return Err("expected a key".into());
                }
                keys.push(self.take(end));
            }
            self.space(false);
            if !self.eat(".") {
                return Ok(keys);
            }
        }
    }

    fn string(&mut self) -> Result<String, String> {
        let until = |parser: &mut Self, end: &str| -> Result<String, String> {
            let at = parser.rest.find(end).ok_or("a string has no end")?;
            let text = parser.take(at);
            parser.eat(end);
            Ok(text)
        };
        if self.eat("'''") {
            let _ = self.eat("\r\n") || self.eat("\n");
            return until(self, "'''");
        }
        if self.eat("'") {
            return until(self, "'");
        }
        let end = if self.eat("\"\"\"") { "\"\"\"" } else { "\"" };
        let _ = end.len() == 3 && (self.eat("\r\n") || self.eat("\n")) || end.len() == 1 && self.eat("\"");
        let mut text = String::new();
        while !self.eat(end) {
            let mut characters = self.rest.chars();
            let character = characters.next().ok_or("a string has no end")?;
            self.rest = characters.as_str();
            if character != '\\' {
                text.push(character);
                continue;
            }
            let escape = characters.next().ok_or("a string has no end")?;
            self.rest = characters.as_str();
            text.push(match escape {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                '"' | '\\' => escape,
                'u' => {
                    let digits = self.rest.get(..4).ok_or("a string has half an escape")?;
                    let code = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32).ok_or("an escape is none")?;
                    self.rest = &self.rest[4..];
                    code
                }
                _ => return Err(format!("`\\{escape}` is not read here")),
            });
        }
        Ok(text)
    }

    fn value(&mut self, depth: u32) -> Result<Toml, String> {
        self.space(false);
        if depth > 32 {
            return Err("nested too deeply".into());
        }
        if self.rest.starts_with(['"', '\'']) {
            return self.string().map(Toml::Str);
        }
        if self.eat("[") {
            let mut items = Vec::new();
            loop {
                self.space(true);
                if self.eat("]") {
                    return Ok(Toml::Array(items));
                }
                items.push(self.value(depth + 1)?);
                self.space(true);
                if !self.eat(",") && !self.rest.starts_with(']') {
                    return Err("expected `,` or `]`".into());
                }
            }
        }
        if self.eat("{") {
            let mut table = Toml::Table(Vec::new());
            loop {
                self.space(true);
                if self.eat("}") {
                    return Ok(table);
                }
                let keys = self.keys()?;
                self.expect("=")?;
                let value = self.value(depth + 1)?;
                table.insert(&keys, value)?;
                self.space(true);
                if !self.eat(",") && !self.rest.starts_with('}') {
                    return Err("expected `,` or `}`".into());
                }
            }
        }
        let end = self.rest.find([',', ']', '}', '#', '\n', '\r']).unwrap_or(self.rest.len());
        let word = self.take(end);
        let word = word.trim();
        let number = word.replace('_', "");
        Ok(match word {
            "true" => Toml::Bool(true),
            "false" => Toml::Bool(false),
            _ if number.parse::<i64>().is_ok() => Toml::Int(number.parse().unwrap_or(0)),
            _ if number.contains(['.', 'e']) && number.parse::<f64>().is_ok() => Toml::Float(number.parse().unwrap_or(0.0)),
            // A date.
            _ if word.len() >= 10 && word.as_bytes()[4] == b'-' => Toml::Str(word.to_owned()),
            _ => return Err(format!("`{word}` is no value that is read here")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn what_fixtures_are_made_of() {
        for (text, json) in [
            ("", "{}"),
            ("# only this\n\n", "{}"),
            ("a = 1 # one\nb.c = -2.5\n'd e' = true", r#"{"a":1,"b":{"c":-2.5},"d e":true}"#),
            ("s = \"a\\tb\\u00e4\\\"\"\nl = 'a\\tb'\ne = \"\"", r#"{"s":"a\u0009bä\"","l":"a\\tb","e":""}"#),
            ("m = '''\none\n'two' '''", r#"{"m":"one\u000a'two' "}"#),
            ("a = [1, 'x', # two\n  [2],\n]", r#"{"a":[1,"x",[2]]}"#),
            ("t = { a = 1, b.c = [] }", r#"{"t":{"a":1,"b":{"c":[]}}}"#),
            (
                "[[case]]\nx = 1\n[case.expect]\ny = 2\n[[case]]\nexpect.z = 3",
                r#"{"case":[{"x":1,"expect":{"y":2}},{"expect":{"z":3}}]}"#,
            ),
            ("[[case]]\n[[case.record]]\na=1\n[[case.record]]\na=2", r#"{"case":[{"record":[{"a":1},{"a":2}]}]}"#),
            ("d = 2026-01-01T00:00:00Z", r#"{"d":"2026-01-01T00:00:00Z"}"#),
        ] {
            assert_eq!(parse(text).map(|toml| toml.json()).as_deref(), Ok(json), "{text}");
        }
        for (text, why) in [
            ("a", "line 1: expected `=`"),
            ("a = 1\n\nb = \"x", "line 3: a string has no end"),
            ("a = 1\na = 2", "line 2: `a` is there twice, or in something that is no table"),
            ("a = 1 b = 2", "line 1: `1 b = 2` is no value that is read here"),
            ("a = yes", "line 1: `yes` is no value that is read here"),
            ("a = \"x\" y", "line 1: something behind the value"),
            ("a = [1", "line 1: expected `,` or `]`"),
        ] {
            assert_eq!(parse(text).map(|toml| toml.json()), Err(why.to_owned()), "{text}");
        }
    }
}
