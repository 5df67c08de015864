//! From `%{NAME:field:type}` to one flat expression.
//!
//! In: an expression in which names stand for patterns. Out: the same with every name replaced by its definition, in a group:
//! plain where no field was named, and where one was, a named group whose name [`mark`] packs field and type into, for
//! [`super::syntax`] to unpack. Text after the name and the field that begins with a space or `;` is a remark, as in Logstash,
//! and of several types the first counts.
//! Limits: [`super::DEPTH`], [`super::EXPANDED_BYTES`]. No file is read, and nothing is compiled here.

use std::borrow::Cow;

use super::patterns::{Flavour, standard};
use super::{Custom, DEPTH, EXPANDED_BYTES, Field, Kind};

/// Begins the group names that this module makes: no person's expression holds it.
pub(super) const MARK: char = '\u{1}';

/// One reference, taken apart.
struct Reference<'a> {
    name: &'a str,
    field: Option<Field>,
    /// Bytes of the whole, braces included.
    length: usize,
}

/// Replaces all names.
pub(super) fn expand(expression: &str, custom: &Custom, flavour: Flavour) -> Result<String, String> {
    let mut out = String::with_capacity(expression.len() * 4);
    into(expression, custom, flavour, DEPTH, &mut out)?;
    Ok(out)
}

fn into(expression: &str, custom: &Custom, flavour: Flavour, depth: usize, out: &mut String) -> Result<(), String> {
    let mut rest = expression;
    while let Some(at) = rest.find("%{") {
        out.push_str(&rest[..at]);
        let reference = reference(&rest[at..])?;
        let name = reference.name;
        let own = custom.get(name).map(|own| Cow::Borrowed(own.as_str()));
        let definition = own.or_else(|| standard(name, flavour));
        let definition = definition.ok_or_else(|| format!("no pattern is called `{name}`"))?;
        let depth = depth.checked_sub(1).ok_or_else(|| format!("`{name}` stands for itself, or names nest too deep"))?;
        match &reference.field {
            None => out.push_str("(?:"),
            Some(field) => mark(field, out),
        }
        into(&definition, custom, flavour, depth, out)?;
        out.push(')');
        rest = &rest[at + reference.length..];
        if out.len() > EXPANDED_BYTES {
            return Err(format!("the expression grows beyond {EXPANDED_BYTES} bytes when its names are replaced"));
        }
    }
    out.push_str(rest);
    Ok(())
}

/// Opens a group that captures `field`.
fn mark(field: &Field, out: &mut String) {
    out.push_str("(?<");
    out.push(MARK);
    out.push(match field.kind {
        Kind::Text => 't',
        Kind::Int => 'i',
        Kind::Float => 'f',
    });
    out.push_str(&field.name);
    out.push('>');
}

fn reference(text: &str) -> Result<Reference<'_>, String> {
    let end = text.find('}').ok_or_else(|| format!("`{}` has no closing brace", shorten(text)))?;
    let inside = &text[2..end];
    let length = end + 1;
    let name_end = inside.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inside.len());
    let (name, rest) = inside.split_at(name_end);
    if name.is_empty() {
        return Err(format!("`{}` names no pattern", &text[..length]));
    }
    let rest = rest.split(|c: char| c.is_whitespace() || c == ';').next().unwrap_or("");
    if rest.is_empty() {
        return Ok(Reference { name, field: None, length });
    }
    let Some(field) = rest.strip_prefix(':') else {
        return Err(format!("`{}`: write it as %{{NAME}}, %{{NAME:field}} or %{{NAME:field:int}}", &text[..length]));
    };
    let mut parts = field.split(':');
    let field = parts.next().unwrap_or("");
    let kind = match parts.next() {
        None | Some("string") => Kind::Text,
        Some("int" | "integer" | "long") => Kind::Int,
        Some("float" | "double") => Kind::Float,
        Some(other) => return Err(format!("`{}`: `{other}` is no type; there are int, float, string", &text[..length])),
    };
    let field = dotted(field).ok_or_else(|| format!("`{}`: `{field}` is no field name", &text[..length]))?;
    Ok(Reference { name, field: Some(Field { name: field, kind }), length })
}

/// A field name as rows have it: `[a][b]` is `a.b`.
pub(super) fn dotted(name: &str) -> Option<String> {
    let usable = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '@' | '/')) && part != "."
    };
    let Some(inner) = name.strip_prefix('[') else {
        return usable(name).then(|| name.to_owned());
    };
    let inner = inner.strip_suffix(']')?;
    let parts: Vec<&str> = inner.split("][").collect();
    parts.iter().all(|part| usable(part)).then(|| parts.join("."))
}

fn shorten(text: &str) -> &str {
    let end = text.char_indices().nth(40).map_or(text.len(), |(at, _)| at);
    &text[..end]
}
