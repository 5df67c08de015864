//! What the dialect calls fields, and its patterns.

use crate::base::predicate::{Field, Glob, Piece, Predicate};
use crate::base::row::{MESSAGE, TIME};

/// What the dialect calls the row's time.
pub const TIMESTAMP: &str = "@timestamp";
/// What the dialect calls the row's origin.
pub const ID: &str = "_id";
/// What it appends to the name of a text to mean the whole value.
pub const KEYWORD: &str = ".keyword";

/// What the dialect calls a field, as the store knows it.
pub fn field_name(name: &str) -> &str {
    match name {
        TIMESTAMP => TIME,
        "_index" => "_topic",
        other => other.strip_suffix(KEYWORD).unwrap_or(other),
    }
}

/// A field of the store, as the dialect shows it.
pub fn shown_name(name: &str) -> &str {
    if name == TIME { TIMESTAMP } else { name }
}

/// Whether a field is asked as analysed text: by its words, in any case. The message is; others are both.
pub fn is_text(name: &str) -> bool {
    name == MESSAGE
}

/// Whether whole values are meant.
pub fn is_keyword(name: &str) -> bool {
    name.ends_with(KEYWORD)
}

/// One field, or with `*` in its name all that are like it.
pub fn field(name: &str) -> Field {
    if name.contains('*') { Field::Like(names_like(name)) } else { Field::named(field_name(name)) }
}

/// Fields whose names are like this, as the dialect names them.
pub fn names_like(pattern: &str) -> Glob {
    glob(pattern.strip_suffix(KEYWORD).unwrap_or(pattern))
}

/// A pattern of `*` and `?` over a whole value.
pub fn glob(pattern: &str) -> Glob {
    Glob::whole(pieces(pattern, false))
}

/// The pieces of a pattern of `*` and `?`; with `escapes`, `\` takes their meaning away.
pub fn pieces(pattern: &str, escapes: bool) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = pattern.chars();
    while let Some(letter) = rest.next() {
        let piece = match letter {
            '*' => Piece::Run,
            '?' => Piece::One,
            '\\' if escapes => {
                text.push(rest.next().unwrap_or('\\'));
                continue;
            }
            letter => {
                text.push(letter);
                continue;
            }
        };
        pieces.extend((!text.is_empty()).then(|| Piece::Text(std::mem::take(&mut text).into())));
        pieces.push(piece);
    }
    pieces.extend((!text.is_empty()).then(|| Piece::Text(text.into())));
    pieces
}

/// The row of an `_id`: `topic-partition-offset-n`; none if it is no id of ours.
pub fn row_of(id: &str) -> Predicate {
    let mut parts = id.rsplitn(4, '-');
    let mut number = || parts.next().and_then(|part| part.parse::<u64>().ok());
    let (Some(n), Some(offset), Some(partition)) = (number(), number(), number()) else { return Predicate::none() };
    let Some(topic) = parts.next().filter(|topic| !topic.is_empty()) else { return Predicate::none() };
    Predicate::And(vec![
        Predicate::exact("_topic", topic),
        Predicate::exact("_partition", &partition.to_string()),
        Predicate::exact("_offset", &offset.to_string()),
        Predicate::exact("_n", &n.to_string()),
    ])
}
