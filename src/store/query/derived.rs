//! Searching messages that templates make, without making those that cannot match.
//!
//! What a test needs of every match ([`Test::needle`]) lies within a literal, within a field's value, or over a joint of two
//! pieces. Where no literal holds it and none of the joints can, it is looked for in the fields' dictionaries and columns, and
//! only the rows that have it there are made and asked. Else nothing is gained, and all messages of the group are made.

use std::sync::{Arc, OnceLock};

use super::bits::Bits;
use super::search::{DictVerdict, is_same};
use super::view::GroupView;
use crate::base::predicate::{Needle, Test};
use crate::store::source::{Chunk, Made, Source};

/// A shorter part of a needle is in too many rows.
const SHORTEST: usize = 3;
/// Of a longer one all messages are made: every way to cut it at a joint is tried beforehand.
const LONGEST: usize = 256;
const MONTHS: &str = "jan feb mar apr may jun jul aug sep oct nov dec";

/// Which columns a needle may be in, of a source.
#[derive(Debug)]
pub struct Fields {
    /// The test's, or the longest part of it that no joint can cut.
    needle: Needle,
    /// With the entries of their dictionaries that hold it.
    columns: Vec<(usize, OnceLock<DictVerdict>)>,
}

impl Fields {
    /// Where the needle of a test may be in the messages of a column; `None` where it may be elsewhere than in one field.
    pub fn of(test: &Test, source: &dyn Source, column: usize) -> Option<Self> {
        let needle = test.needle()?;
        let folded = needle.text().to_ascii_lowercase().into_bytes();
        // Beyond ASCII a needle has more forms than one.
        if folded.is_empty() || folded.len() > LONGEST || !folded.is_ascii() {
            return None;
        }
        let templates = source.made_of(column)?;
        let crosses = |part: &[u8]| {
            let mut joints = templates.iter().flat_map(|pieces| pieces.windows(2));
            joints.any(|two| may_cross(&two[0], &two[1], part))
        };
        let (needle, folded) = if crosses(&folded) {
            // What joints are made of, mostly: spaces, quotes, brackets.
            let parts = folded.split(|byte| byte.is_ascii_punctuation() && !b"/._-".contains(byte) || *byte == b' ');
            let part = parts.filter(|part| part.len() >= SHORTEST && !crosses(part)).max_by_key(|part| part.len())?;
            (Needle::any_case(std::str::from_utf8(part).ok()?), part.to_vec())
        } else {
            (needle.clone(), folded.clone())
        };
        let mut columns: Vec<usize> = Vec::new();
        for pieces in &templates {
            for piece in pieces {
                match piece {
                    Made::Text(text) if holds(&text.to_ascii_lowercase(), &folded) => return None,
                    Made::Time if may_be_time(&folded) => return None,
                    Made::Columns(own) => columns.extend(own.clone()),
                    Made::Text(_) | Made::Time => {}
                }
            }
        }
        columns.sort_unstable();
        columns.dedup();
        Some(Self { needle, columns: columns.into_iter().map(|column| (column, OnceLock::new())).collect() })
    }

    /// The messages of those rows of `among` that may pass, the others absent; `None` where all have to be made.
    pub fn narrowed(&self, view: &GroupView<'_>, column: usize, among: &Bits) -> Option<Chunk> {
        let mut rows = Bits::none(among.rows());
        for (field, held) in &self.columns {
            if let Some(chunk) = view.chunk(*field) {
                rows.or(&holding(&self.needle, &chunk, held, view.rows));
            }
        }
        rows.and(among);
        let mut get = |field: usize| view.chunk(field).as_deref().cloned();
        view.source.made(view.group, column, rows.words(), &mut get).ok().flatten()
    }
}

fn holds(text: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(text, needle).is_some()
}

/// Whether a needle may begin in one piece and go on in the next.
fn may_cross(left: &Made, right: &Made, needle: &[u8]) -> bool {
    (1..needle.len()).any(|at| {
        let (head, tail) = needle.split_at(at);
        let ends = match left {
            Made::Text(text) => {
                let text = text.to_ascii_lowercase();
                text.ends_with(head) || head.ends_with(&text)
            }
            Made::Time => may_be_time(head),
            Made::Columns(_) => true,
        };
        let begins = match right {
            Made::Text(text) => {
                let text = text.to_ascii_lowercase();
                text.starts_with(tail) || tail.starts_with(&text)
            }
            // It may go on behind the time.
            Made::Time => may_be_time(&tail[..tail.len().min(4)]),
            Made::Columns(_) => true,
        };
        ends && begins
    })
}

/// Whether a text (small letters) may stand in a time: no letters but of a month, or the `T` and `Z` of ISO 8601.
fn may_be_time(text: &[u8]) -> bool {
    text.split(|byte| !byte.is_ascii_lowercase())
        .all(|run| run.is_empty() || holds(MONTHS.as_bytes(), run) || matches!(run, b"t" | b"z"))
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b" /:+-.,".contains(byte))
}

/// The rows of a chunk whose value holds a needle, as a message shows it.
fn holding(needle: &Needle, chunk: &Chunk, known: &OnceLock<DictVerdict>, rows: usize) -> Bits {
    match chunk {
        Chunk::Dict { codes, dict } => {
            let judge = || DictVerdict::of_entries(Arc::clone(dict), &find_in(needle, &dict.ends, &dict.bytes));
            let held = known.get_or_init(judge);
            let other = if is_same(&held.dict, dict) { None } else { Some(judge()) };
            other.as_ref().unwrap_or(held).rows(codes, &Bits::all(rows))
        }
        Chunk::Text { ends, bytes, .. } => find_in(needle, ends, bytes),
        Chunk::Int { .. } | Chunk::Float { .. } => {
            // Digits, a sign, a point; `e`, `inf` and `NaN` of decimals.
            let plain = |byte: u8| byte.is_ascii_digit() || b"-+.einfa".contains(&byte.to_ascii_lowercase());
            if needle.text().bytes().all(plain) { Bits::all(rows) } else { Bits::none(rows) }
        }
        Chunk::Bool { .. } => Bits::all(rows),
        other => match other.to_text() {
            Some(Chunk::Text { ends, bytes, .. }) => find_in(needle, &ends, &bytes),
            _ => Bits::all(rows),
        },
    }
}

/// The values, lying back to back, that hold a needle.
fn find_in(needle: &Needle, ends: &[u32], bytes: &[u8]) -> Bits {
    let mut found = Bits::none(ends.len());
    let (mut at, mut row) = (0, 0);
    while let Some(hit) = needle.find(bytes, at) {
        row += ends.get(row..).map_or(0, |ends| ends.partition_point(|end| *end as usize <= hit.start));
        let Some(end) = ends.get(row).map(|end| *end as usize) else { break };
        if hit.end <= end {
            found.set(row);
            at = end;
        } else {
            at = hit.start + 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joints_and_times() {
        let text = |text: &str| Made::Text(text.as_bytes().into());
        let field = || Made::Columns(0..1);
        assert!(may_cross(&field(), &text(" "), b"get /x"));
        assert!(!may_cross(&field(), &text(" "), b"favicon"));
        assert!(may_cross(&text("id="), &field(), b"d=7"));
        assert!(may_cross(&text("="), &field(), b"d=7"), "over three pieces");
        assert!(!may_cross(&text("id="), &field(), b"x=7"));
        assert!(may_cross(&field(), &field(), b"ab"));
        for (text, yes) in
            [("2026", true), ("nov/2026:0", true), ("png", false), (".png", false), ("t10:00", true), ("gstash-mon", false)]
        {
            assert_eq!(may_be_time(text.as_bytes()), yes, "{text}");
        }
    }
}
