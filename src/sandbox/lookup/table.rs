//! A table of keys and values, from a file or out of a filter's configuration.
//!
//! Formats, by the file's extension:
//! * `.json`: one object. A string is the value as it is, anything else as JSON text.
//! * `.csv`: lines of two columns, key and value, as RFC 4180 quotes them. No line of names. Empty lines and lines that begin with
//!   `#` are left out.
//! * `.yml`, `.yaml`: `key: value` lines, as Logstash's dictionaries are: plain or quoted, with comments. No nesting, no lists:
//!   who needs these writes JSON.
//!
//! A key that stands there twice has its last value. Limits: [`TABLE_BYTES`].

use std::collections::HashMap;

use serde_json::{Map, Value};

/// Largest table as text: in memory it is about three times that.
pub(super) const TABLE_BYTES: usize = 16 << 20;

/// Keys and values.
#[derive(Debug, Default)]
pub(super) struct Table(HashMap<Box<[u8]>, Box<[u8]>>);

impl Table {
    /// A JSON object.
    pub(super) fn inline(text: &str) -> Result<Self, String> {
        let members: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| format!("the table is no JSON object: {error}"))?;
        let pairs = members.into_iter().map(|(key, value)| {
            let value = match value {
                Value::String(text) => text,
                other => other.to_string(),
            };
            (key.into_bytes().into(), value.into_bytes().into())
        });
        Ok(Self(pairs.collect()))
    }

    /// A file of this name.
    pub(super) fn file(name: &str, bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > TABLE_BYTES {
            return Err(format!("it has {} bytes; a table may have {TABLE_BYTES}", bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
        match extension.as_str() {
            "json" => Self::inline(text),
            "csv" => csv(text),
            "yml" | "yaml" => yaml(text),
            _ => Err("a table is a .csv, .json or .yml file".to_owned()),
        }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.0.get(key).map(|value| &**value)
    }

    fn put(&mut self, key: &str, value: &str) {
        self.0.insert(key.as_bytes().into(), value.as_bytes().into());
    }
}

fn csv(text: &str) -> Result<Table, String> {
    let mut table = Table::default();
    let mut rest = text;
    let mut line = 0;
    while !rest.is_empty() {
        line += 1;
        if let Some(after) = blank(rest) {
            rest = after;
            continue;
        }
        let mut columns = Vec::new();
        let at = line;
        loop {
            let (column, end) = csv_column(rest, &mut line).map_err(|why| format!("line {at}: {why}"))?;
            columns.push(column);
            rest = &rest[end..];
            match rest.strip_prefix(',') {
                Some(after) => rest = after,
                None => break,
            }
        }
        rest = rest.strip_prefix('\r').unwrap_or(rest);
        rest = rest.strip_prefix('\n').unwrap_or(rest);
        match columns.as_slice() {
            [key, value] => table.put(key, value),
            _ => return Err(format!("line {at} has {} columns; a table has two, key and value", columns.len())),
        }
    }
    Ok(table)
}

/// What follows after an empty line or a comment.
fn blank(text: &str) -> Option<&str> {
    let (line, after) = text.split_once('\n').unwrap_or((text, ""));
    (line.trim().is_empty() || line.starts_with('#')).then_some(after)
}

/// A column, and where it ends; counts lines inside of quotes.
fn csv_column(text: &str, line: &mut usize) -> Result<(String, usize), String> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', '\n']).unwrap_or(text.len());
        return Ok((text[..end].trim_end_matches('\r').to_owned(), end));
    };
    let mut column = String::new();
    let mut at = 0;
    loop {
        let quote = quoted[at..].find('"').ok_or("a quote is never closed")? + at;
        column.push_str(&quoted[at..quote]);
        at = quote + 1;
        if quoted[at..].starts_with('"') {
            column.push('"');
            at += 1;
            continue;
        }
        *line += column.matches('\n').count();
        return match quoted[at..].chars().next() {
            None | Some(',' | '\n' | '\r') => Ok((column, at + 1)),
            Some(_) => Err("something follows a closing quote".to_owned()),
        };
    }
}

fn yaml(text: &str) -> Result<Table, String> {
    let mut table = Table::default();
    for (index, line) in text.lines().enumerate() {
        let wrong = |why: &str| Err(format!("line {}: {why}; write it as JSON instead", index + 1));
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') || content == "---" || content == "..." {
            continue;
        }
        if line.starts_with([' ', '\t']) {
            return wrong("nested values are not read here");
        }
        if content.starts_with("- ") || content.starts_with(['[', '{', '&', '*', '!', '|', '>', '%', '?']) {
            return wrong("only `key: value` is read here");
        }
        let Some((key, after)) = yaml_scalar(content, true) else { return wrong("there is no `key:`") };
        let Some(after) = after.trim_start().strip_prefix(':') else { return wrong("there is no `key:`") };
        let after = after.trim_start();
        if after.starts_with(['[', '{', '&', '*', '!', '|', '>']) {
            return wrong("only plain and quoted values are read here");
        }
        let Some((value, rest)) = yaml_scalar(after, false) else { return wrong("a quote is never closed") };
        if !rest.trim().is_empty() && !rest.trim_start().starts_with('#') {
            return wrong("something follows a closing quote");
        }
        table.put(&key, &value);
    }
    Ok(table)
}

/// A plain or quoted scalar, and what follows it.
fn yaml_scalar(text: &str, key: bool) -> Option<(String, &str)> {
    if let Some(quoted) = text.strip_prefix('\'') {
        let mut value = String::new();
        let mut at = 0;
        loop {
            let quote = quoted[at..].find('\'')? + at;
            value.push_str(&quoted[at..quote]);
            at = quote + 1;
            if !quoted[at..].starts_with('\'') {
                return Some((value, &quoted[at..]));
            }
            value.push('\'');
            at += 1;
        }
    }
    if text.starts_with('"') {
        // Its escapes are JSON's, as far as anybody uses them.
        let mut stream = serde_json::Deserializer::from_str(text).into_iter::<String>();
        let value = stream.next()?.ok()?;
        return Some((value, &text[stream.byte_offset()..]));
    }
    if key {
        // A colon ends a key where a space follows it, or nothing.
        let end = text.match_indices(':').map(|(at, _)| at).find(|at| {
            let after = &text[at + 1..];
            after.is_empty() || after.starts_with([' ', '\t'])
        })?;
        return Some((text[..end].trim_end().to_owned(), &text[end..]));
    }
    let end = text.find(" #").unwrap_or(text.len());
    Some((text[..end].trim_end().to_owned(), ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, text: &str, pairs: &[(&str, &str)]) {
        let table = Table::file(name, text.as_bytes()).unwrap();
        assert_eq!(table.0.len(), pairs.len(), "{text}");
        for (key, value) in pairs {
            assert_eq!(table.get(key.as_bytes()), Some(value.as_bytes()), "{key} in {text}");
        }
    }

    #[test]
    fn tables_are_read() {
        check("a.json", r#"{"a": "x", "b": 1, "c": {"d": [true]}}"#, &[("a", "x"), ("b", "1"), ("c", r#"{"d":[true]}"#)]);
        check(
            "a.csv",
            "\u{feff}a,x\r\n# no\n\n\"b,\"\"\n\",\"two\nlines\"\nc,",
            &[("a", "x"), ("b,\"\n", "two\nlines"), ("c", "")],
        );
        check("a.csv", "a,1\na,2", &[("a", "2")]);
        check(
            "a.YML",
            "---\n# codes\n200: OK\n\"a b\": 'it''s'  # so\nhttp://x: \"y\\n\"\nplain : v # c\nempty:\n",
            &[("200", "OK"), ("a b", "it's"), ("http://x", "y\n"), ("plain", "v"), ("empty", "")],
        );
        check("a.csv", "", &[]);
    }

    #[test]
    fn what_is_no_table_is_refused_with_its_line() {
        for (name, text, expected) in [
            ("a.txt", "", "a table is a .csv"),
            ("a.json", "[]", "no JSON object"),
            ("a.csv", "a,b\nc\n", "line 2 has 1 columns"),
            ("a.csv", "a,b,c", "line 1 has 3 columns"),
            ("a.csv", "a,\"b", "line 1: a quote is never closed"),
            ("a.csv", "\"x\ny\",1\n\"a\"b,c", "line 3: something follows"),
            ("a.yml", "a:\n  b: c", "line 2: nested"),
            ("a.yml", "- a", "line 1: only"),
            ("a.yml", "a: [1]", "line 1: only plain"),
            ("a.yml", "a", "line 1: there is no"),
            ("a.yml", "a: 'b", "line 1: a quote"),
            ("a.yml", "a: 'b' c", "line 1: something"),
        ] {
            let why = Table::file(name, text.as_bytes()).unwrap_err();
            assert!(why.contains(expected), "{why}\nshould say: {expected}");
        }
    }
}
