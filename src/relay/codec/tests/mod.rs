//! MessagePack and Avro against other people's encoders, and against whatever bytes there are.

mod avro;
mod msgpack;

use super::document::Writer;

/// A string or number as JSON, by another writer than ours.
fn text(value: impl serde::Serialize) -> String {
    serde_json::to_string(&value).unwrap()
}

/// A list or object of parts that are JSON already.
fn joined(open: char, parts: impl IntoIterator<Item = String>, close: char) -> String {
    format!("{open}{}{close}", parts.into_iter().collect::<Vec<_>>().join(","))
}

/// A float as JSON; what JSON does not have is a string.
fn float(value: f64, shortest: String) -> String {
    match value {
        value if value.is_nan() => text("NaN"),
        f64::INFINITY => text("Infinity"),
        f64::NEG_INFINITY => text("-Infinity"),
        _ => shortest,
    }
}

/// What a reader makes of a payload: its document, or the message that it is.
fn document(
    payload: &[u8],
    read: impl for<'p> FnOnce(&'p [u8], &mut Writer<'_>) -> Result<Option<&'p [u8]>, super::Wrong>,
) -> Result<String, String> {
    let mut out = Vec::new();
    let read = read(payload, &mut Writer::new(&mut out, payload.len())).map_err(|wrong| wrong.0)?;
    let bytes = read.map_or(out, <[u8]>::to_vec);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
