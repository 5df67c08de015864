//! Reading JSON objects of requests: what is not known is refused by name.

use serde_json::{Map, Value};

/// The one member of an object.
pub fn single<'a>(value: &'a Value, what: &str) -> Result<(&'a str, &'a Value), String> {
    let mut fields = object(value, what)?.iter();
    match (fields.next(), fields.next()) {
        (Some((name, value)), None) => Ok((name, value)),
        _ => Err(format!("{what} is an object with one member")),
    }
}

/// An object.
pub fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("`{what}` is an object"))
}

/// Refuses members that would otherwise be ignored.
pub fn only(body: &Map<String, Value>, what: &str, known: &[&str]) -> Result<(), String> {
    match body.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(format!("`{name}` of `{what}` is not supported")),
    }
}

/// Refuses an object of several keys where their order counts, which is kept of a body's own `sort` only.
pub fn one_key(order: &Map<String, Value>, what: &str) -> Result<(), String> {
    match order.len() {
        0 | 1 => Ok(()),
        _ => Err(format!("`{what}` of several keys is a list, of an object for each: which is first counts")),
    }
}

/// A string.
pub fn text<'a>(value: Option<&'a Value>, what: &str) -> Result<&'a str, String> {
    value.and_then(Value::as_str).ok_or_else(|| format!("`{what}` is a string"))
}

/// A string, if it is there.
pub fn maybe_text<'a>(body: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        value => text(value, name).map(Some),
    }
}

/// A value as text.
pub fn scalar(value: &Value, what: &str) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(yes) => Ok(yes.to_string()),
        _ => Err(format!("`{what}` wants a string, a number or a boolean")),
    }
}

/// A whole number, perhaps as a string, if it is there.
pub fn whole(body: &Map<String, Value>, name: &str) -> Result<Option<i64>, String> {
    let wrong = || format!("`{name}` is a whole number");
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => text.trim().parse().map(Some).map_err(|_| wrong()),
        Some(value) => match (value.as_i64(), value.as_f64()) {
            (Some(number), _) => Ok(Some(number)),
            // `5.0`, as some encoders write it.
            #[allow(clippy::cast_possible_truncation)]
            (None, Some(number)) if number.fract() == 0.0 && number.abs() < 9e15 => Ok(Some(number as i64)),
            _ => Err(wrong()),
        },
    }
}

/// How many, if it is said.
pub fn count(body: &Map<String, Value>, name: &str) -> Result<Option<usize>, String> {
    whole(body, name)?.map(|number| usize::try_from(number).map_err(|_| format!("`{name}` is not negative"))).transpose()
}

/// A number, perhaps as a string, if it is there.
pub fn number(body: &Map<String, Value>, name: &str) -> Result<Option<f64>, String> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => as_number(value, name).map(Some),
    }
}

/// A number, perhaps as a string.
pub fn as_number(value: &Value, what: &str) -> Result<f64, String> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite()).ok_or_else(|| format!("`{what}` is a number"))
}

/// Yes or no, perhaps as a string, if it is there.
pub fn flag(body: &Map<String, Value>, name: &str) -> Result<Option<bool>, String> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(yes)) => Ok(Some(*yes)),
        Some(Value::String(text)) if text == "true" || text == "false" => Ok(Some(text == "true")),
        Some(_) => Err(format!("`{name}` is true or false")),
    }
}

/// One thing, or a list of them.
pub fn each(value: &Value) -> &[Value] {
    match value {
        Value::Array(all) => all,
        Value::Null => &[],
        one => std::slice::from_ref(one),
    }
}
