//! The Elastic Common Schema's names for what standard patterns capture: `clientip` is `source.address`, `response` is
//! `http.response.status_code`.
//!
//! A pattern's ECS form is one of three, looked for in this order: a definition of its own ([`own`]), where it captures more than
//! the legacy one, or leaves out dashes and quotes; columns between tabs ([`columns`]); the legacy expression with its fields
//! renamed ([`names`]). Names that are in none of them capture nothing, or the same in both flavours.
//! Fields that the schema does not know stand under the name of what wrote them (`apache.access.…`, `haproxy.…`).

mod columns;
mod names;
mod own;

use std::borrow::Cow;

use super::Entry;

/// The form of a name whose legacy expression is this one, if it has any.
pub(super) fn form(name: &str, legacy: Option<&'static str>) -> Option<Cow<'static, str>> {
    let own = own::PATTERNS.iter().find(|entry| entry.0 == name).map(|entry| Cow::Borrowed(entry.1));
    own.or_else(|| columns::expression(name).map(Cow::Owned)).or_else(|| {
        let legacy = legacy?;
        let (own, family) = names::of(name);
        let new = |field: &str| own.iter().chain(family).find(|(old, _)| *old == field).map(|(_, new)| *new);
        Some(if own.is_empty() && family.is_empty() { Cow::Borrowed(legacy) } else { Cow::Owned(renamed(legacy, new)) })
    })
}

/// Names that only this flavour has, and such that both have.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    own::PATTERNS.iter().map(|entry| entry.0).chain(columns::NAMES)
}

/// An expression with its captures renamed: `%{IP:clientip}`, `(?<took:int>…)`. A capture whose new name is empty is none any more.
fn renamed(expression: &str, new: impl Fn(&str) -> Option<&'static str>) -> String {
    let mut made = String::with_capacity(expression.len() * 2);
    let mut rest = expression;
    while let Some(at) = ["%{", "(?<"].iter().filter_map(|mark| rest.find(mark)).min() {
        let (before, from) = rest.split_at(at);
        made.push_str(before);
        rest = from;
        let is_name = from.starts_with("%{");
        let (open, close) = if is_name { ("%{", '}') } else { ("(?<", '>') };
        let Some((inside, after)) = from.strip_prefix(open).and_then(|from| from.split_once(close)) else { break };
        let (kept, field) = match inside.split_once(':') {
            Some((pattern, field)) if is_name => (Some(pattern), Some(field)),
            None if is_name => (Some(inside), None),
            _ => (None, Some(inside)),
        };
        // With its type, which the new one brings too.
        let bare = field.map(|field| field.split_once(':').map_or(field, |(bare, _)| bare));
        match (bare.and_then(&new), kept) {
            (Some(""), Some(pattern)) => made.push_str(&format!("%{{{pattern}}}")),
            (Some(""), None) => made.push_str("(?:"),
            (Some(field), Some(pattern)) => made.push_str(&format!("%{{{pattern}:{field}}}")),
            (Some(field), None) => made.push_str(&format!("(?<{field}>")),
            (None, _) => {
                made.push_str(open);
                made.push_str(inside);
                made.push(close);
            }
        }
        rest = after;
    }
    made.push_str(rest);
    made
}

#[cfg(test)]
mod tests {
    use super::renamed;

    #[test]
    fn captures_are_renamed_wherever_they_stand() {
        let new = |field: &str| match field {
            "ip" => Some("[source][ip]"),
            "took" => Some("[a][took]:float"),
            "no" => Some(""),
            _ => None,
        };
        let made =
            renamed(r"%{IP:ip} %{WORD} (?<took:int>%{INT}\{2\}) %{A:no}(?<no>x)(?!y) %{B:took:int} %{C:other:int} %{", new);
        assert_eq!(
            made,
            r"%{IP:[source][ip]} %{WORD} (?<[a][took]:float>%{INT}\{2\}) %{A}(?:x)(?!y) %{B:[a][took]:float} %{C:other:int} %{"
        );
    }
}
