//! A Logstash condition as a `when` of the search language.
//!
//! What Logstash means: a field alone is true where it is there; `"a" in [tags]` looks for an element, `"a" in [message]` for a
//! part of the text; a regular expression is Ruby's, whose `^` and `$` stand at lines; `==` compares bytes or numbers and `!=` also holds where the field is missing. Two fields cannot be compared.

use std::fmt::Write;

use super::tree::{Comparison, Condition, Operand};
use crate::sandbox::grok;

/// Fields that hold lists, where `in` asks for an element.
const LISTS: [&str; 1] = ["tags"];

/// The `when` of a condition.
///
/// # Errors
/// What cannot be said, in words.
pub(super) fn when(condition: &Condition) -> Result<String, String> {
    Ok(match condition {
        Condition::All(all) => joined(all, " and ")?,
        Condition::Any(any) => joined(any, " or ")?,
        Condition::Not(inner) => format!("not {}", in_parentheses(inner)?),
        Condition::Truth(Operand::Field(field)) => format!("{}:*", name(field)),
        Condition::Truth(_) => return Err("a condition that is only a string or a number".into()),
        Condition::Compare(Operand::Field(field), comparison, value) => compare(field, *comparison, value)?,
        Condition::Compare(value, comparison, Operand::Field(field)) => compare(field, turned(*comparison), value)?,
        Condition::Compare(..) => return Err("a comparison without a field".into()),
        Condition::In(Operand::Text(text), Operand::Field(field)) if LISTS.contains(&field.as_str()) => {
            format!("{}:={}", name(field), quoted(text))
        }
        Condition::In(Operand::Text(text), Operand::Field(field)) => format!("{}:=*{}*", name(field), escaped(text)),
        Condition::In(Operand::Field(field), Operand::List(list)) => {
            let mut any = Vec::new();
            for value in list {
                any.push(compare(field, Comparison::Equal, value)?);
            }
            if any.is_empty() {
                return Err("`in` an empty list".into());
            }
            format!("({})", any.join(" or "))
        }
        Condition::In(..) => return Err("`in` between two fields".into()),
        Condition::Matches(Operand::Field(field), pattern) => format!("{}:~{}", name(field), quoted(&expression(pattern)?)),
        Condition::Matches(..) => return Err("`=~` without a field on its left".into()),
    })
}

/// A regular expression of Ruby's, as the search language reads it.
fn expression(pattern: &str) -> Result<String, String> {
    let plain = grok::linear_form(pattern).map_err(|error| error.to_string())?;
    Ok(if plain.contains(['^', '$']) { format!("(?m){plain}") } else { plain })
}

/// A condition where an operator stands before or after it.
pub(super) fn in_parentheses(condition: &Condition) -> Result<String, String> {
    let text = when(condition)?;
    Ok(match condition {
        Condition::All(_) | Condition::Any(_) => format!("({text})"),
        _ => text,
    })
}

fn joined(conditions: &[Condition], operator: &str) -> Result<String, String> {
    let parts: Result<Vec<String>, String> = conditions.iter().map(in_parentheses).collect();
    Ok(parts?.join(operator))
}

fn turned(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Less => Comparison::Greater,
        Comparison::LessOrEqual => Comparison::GreaterOrEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterOrEqual => Comparison::LessOrEqual,
        same => same,
    }
}

fn compare(field: &str, comparison: Comparison, value: &Operand) -> Result<String, String> {
    let value = match value {
        Operand::Text(text) if text == "true" || text == "false" => text.clone(),
        Operand::Text(text) => quoted(text),
        Operand::Number(number) => number.clone(),
        Operand::Field(_) => return Err("a comparison of two fields".into()),
        Operand::List(_) => return Err("a comparison with a list".into()),
    };
    let sign = match comparison {
        Comparison::Equal => ":=",
        Comparison::NotEqual => "!=",
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
    };
    Ok(format!("{}{sign}{value}", name(field)))
}

/// A field's name as the search language reads it.
fn name(field: &str) -> String {
    let field = if field == "@timestamp" { "_time" } else { field };
    let plain = field.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '@'));
    if plain && !field.starts_with('-') { field.to_owned() } else { quoted(field) }
}

/// A text in quotes.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A text without quotes, so that stars can stand around it.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        let plain = c.is_alphanumeric() || c == '_';
        let _ = if plain { write!(escaped, "{c}") } else { write!(escaped, "\\{c}") };
    }
    escaped
}

/// The fields of which a condition asks for a part of the text, and the part: of a list it may mean an element.
pub(super) fn parts<'a>(condition: &'a Condition, all: &mut Vec<(&'a str, &'a str)>) {
    match condition {
        Condition::All(inner) | Condition::Any(inner) => inner.iter().for_each(|inner| parts(inner, all)),
        Condition::Not(inner) => parts(inner, all),
        Condition::In(Operand::Text(text), Operand::Field(field)) if !LISTS.contains(&field.as_str()) && field != "message" => {
            all.push((field, text));
        }
        _ => {}
    }
}

/// Every field that a condition looks at.
pub(super) fn fields<'a>(condition: &'a Condition, all: &mut Vec<&'a str>) {
    let mut operand = |operand: &'a Operand| {
        if let Operand::Field(field) = operand {
            all.push(field);
        }
    };
    match condition {
        Condition::All(inner) | Condition::Any(inner) => inner.iter().for_each(|inner| fields(inner, all)),
        Condition::Not(inner) => fields(inner, all),
        Condition::Truth(one) | Condition::Matches(one, _) => operand(one),
        Condition::Compare(one, _, other) | Condition::In(one, other) => {
            operand(one);
            operand(other);
        }
    }
}
