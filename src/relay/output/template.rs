//! Text with places for a row's fields: `apache.error[{app}]`.
//!
//! `{name}` is replaced by the field, `{name|other}` by `other` where the row has no such field, `{{` and `}}` are braces.
//! A field that is a list gives its items with commas between. Nothing else: logic belongs into filters.

use serde_json::Value;

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field { name: String, otherwise: Option<String> },
}

impl Template {
    /// Parses it.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if from.starts_with("{{") || from.starts_with("}}") {
                plain.push_str(&from[..1]);
                rest = &from[2..];
                continue;
            }
            let inner =
                from.strip_prefix('{').ok_or_else(|| format!("`{text}`: a `}}` without `{{`; write `}}}}` for a brace"))?;
            let (field, after) = inner.split_once('}').ok_or_else(|| format!("`{text}`: a `{{` without `}}`"))?;
            let (name, otherwise) = match field.split_once('|') {
                Some((name, otherwise)) => (name, Some(otherwise.to_owned())),
                None => (field, None),
            };
            if name.is_empty() || name.contains('{') {
                return Err(format!("`{text}`: `{{{field}}}` names no field"));
            }
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Field { name: name.to_owned(), otherwise });
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    /// Fills it from a row.
    ///
    /// # Errors
    /// The name of a field that the row has not.
    pub fn fill<'t>(&'t self, row: &serde_json::Map<String, Value>) -> Result<String, &'t str> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Field { name, otherwise } => match (row.get(name), otherwise) {
                    (Some(value), _) => push(&mut text, value),
                    (None, Some(otherwise)) => text.push_str(otherwise),
                    (None, None) => return Err(name),
                },
            }
        }
        Ok(text)
    }
}

fn push(text: &mut String, value: &Value) {
    match value {
        Value::String(string) => text.push_str(string),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                push(text, item);
            }
        }
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => text.push_str(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_defaults_lists_and_braces() {
        let row = serde_json::json!({"app": "shop", "status": 503, "tags": ["a", "b"], "a.b": true});
        let row = row.as_object().cloned().unwrap_or_default();
        for (text, filled) in [
            ("", Ok("")),
            ("plain", Ok("plain")),
            ("apache.error[{app}]", Ok("apache.error[shop]")),
            ("{status}/{tags}/{a.b}", Ok("503/a,b/true")),
            ("{{{app}}}", Ok("{shop}")),
            ("{host|unknown}", Ok("unknown")),
            ("{host|}", Ok("")),
            ("x{host}", Err("host")),
        ] {
            assert_eq!(Template::parse(text).expect(text).fill(&row).as_deref(), filled.as_deref(), "{text}");
        }
        for wrong in ["{", "}", "{}", "{a", "a}b", "{|x}", "{a{b}"] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }
}
