//! What could stand at a place of a query that is being typed: fields, values of a field, pipes, figures, functions.
//!
//! The place is found by reading the text loosely, since it is unfinished. Fields are the names of columns. Values come from
//! dictionaries that carry counts, with nothing else read, newest sources first; where there is none, from the newest few groups.
//! Counts are then of what was looked at, and `partial` says so.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use serde::Serialize;

use super::bits::Bits;
use super::cancel::{Cancel, Go};
use super::expr::FUNCTIONS;
use super::parse::{FIGURES, PIPE_NAMES, SPECIAL};
use super::view::{GroupView, virtual_reader};
use super::{QueryError, Request, virtual_field};
use crate::base::predicate::TEXT_BYTES;
use crate::store::source::{Chunk, Column, Counted, Kind, Source};

/// Most names of fields that are gathered.
const FIELDS: usize = 20_000;
/// Most entries of dictionaries that are looked at.
const ENTRIES: usize = 1 << 20;
/// Most values that are counted.
const VALUES: usize = 100_000;
/// Groups that are read of sources without a dictionary.
const GROUPS: usize = 4;
/// Longest value that is proposed, bytes.
const VALUE_BYTES: usize = 200;

/// Proposals for a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Completion {
    /// What is expected: `field`, `value`, `pipe`, `figure`, `function`.
    pub kind: &'static str,
    /// Of which field the values are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// First byte of what the proposal replaces.
    pub start: usize,
    /// End of it.
    pub end: usize,
    /// Proposals, best first.
    pub items: Vec<Hint>,
    /// Whether more was there than was looked at.
    pub partial: bool,
}

/// A proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hint {
    /// What it is.
    pub text: String,
    /// As it is written in the query.
    pub insert: String,
    /// Rows that have this value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// A word about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub about: String,
}

/// What is being typed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Field { colon: bool },
    Value(String),
    Pipe,
    Figure,
    Expression,
}

/// Finds what is being typed before a byte, and where it begins.
fn place(text: &str) -> Option<(Place, usize)> {
    let (pipe, quote) = last_pipe(text);
    if let Some(from) = quote {
        // In quotes only a value can be proposed.
        let field = field_before(text, from)?;
        return pipe.is_none().then_some((Place::Value(field), from));
    }
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '@' | '/') || c as u32 >= 0x80;
    let word_start = |text: &str, joined: bool| {
        text.char_indices()
            .rev()
            .take_while(|(_, c)| is_word(*c) || (joined && *c == '-'))
            .last()
            .map_or(text.len(), |(at, _)| at)
    };
    let Some(pipe) = pipe else { return Some(in_predicate(text, 0)) };
    let body = &text[pipe..];
    let name = body.trim_start();
    let first: String = name.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    if name.len() == first.len() {
        return Some((Place::Pipe, text.len() - first.len()));
    }
    let rest = &name[first.len()..];
    let by = rest.split_whitespace().any(|word| word.eq_ignore_ascii_case("by"));
    let open = rest.matches('(').count() > rest.matches(')').count();
    let start = word_start(text, true);
    let field = (Place::Field { colon: false }, start);
    Some(match first.to_ascii_lowercase().as_str() {
        "where" | "search" => in_predicate(text, pipe + (body.len() - rest.len())),
        "stats" | "timeseries" if !by && !open => (Place::Figure, start),
        "eval" => {
            let last = rest.rsplit(',').next().unwrap_or(rest);
            // Before the `=` stands a new name.
            if !rest.contains('=') || (!last.contains('=') && !open) {
                return None;
            }
            (Place::Expression, word_start(text, false))
        }
        "limit" | "head" => return None,
        _ => field,
    })
}

/// Where the last pipe's text begins, and where a quote that is open does.
fn last_pipe(text: &str) -> (Option<usize>, Option<usize>) {
    let (mut pipe, mut quote) = (None, None);
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match (c, quote) {
            ('\\', _) => {
                chars.next();
            }
            ('"', None) => quote = Some(at),
            ('"', Some(_)) => quote = None,
            ('|', None) if chars.next_if(|(_, next)| *next == '|').is_none() => pipe = Some(at + 1),
            _ => {}
        }
    }
    (pipe, quote)
}

/// The byte after the character at a byte.
fn after(text: &str, at: usize) -> usize {
    at + text[at..].chars().next().map_or(0, char::len_utf8)
}

/// The field whose value stands at a byte.
fn field_before(text: &str, at: usize) -> Option<String> {
    let head = text[..at].trim_end();
    let head = head.strip_suffix([':', '=', '>', '<'])?;
    let head = head.trim_end_matches([':', '=', '!', '>', '<']).trim_end();
    if let Some(quoted) = head.strip_suffix('"') {
        return Some(quoted[quoted.rfind('"')? + 1..].to_owned());
    }
    let start = head.rfind(|c: char| c.is_whitespace() || matches!(c, '(' | '"' | '!')).map_or(0, |at| after(head, at));
    let name = head[start..].trim_start_matches('-');
    (!name.is_empty()).then(|| name.to_owned())
}

fn in_predicate(text: &str, from: usize) -> (Place, usize) {
    // A value goes on to the last blank, bracket or sign of comparison.
    let stop = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | ':' | '=' | '<' | '>' | '"');
    let start = text.rfind(stop).map_or(0, |at| after(text, at)).max(from);
    if let Some(field) = text[..start].ends_with([':', '=', '>', '<']).then(|| field_before(text, start)).flatten() {
        return (Place::Value(field), start);
    }
    let excluded = usize::from(text[start..].starts_with(['-', '!']));
    (Place::Field { colon: true }, start + excluded)
}

/// A name or value as it is written.
fn written(text: &str) -> String {
    let plain = text.chars().next().is_some_and(|first| first.is_alphanumeric() || first == '_' || first == '@')
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '@'))
        && !["and", "or", "not", "to", "by", "as"].iter().any(|word| text.eq_ignore_ascii_case(word));
    if plain { text.to_owned() } else { format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")) }
}

/// How well a text answers what was typed (in small letters): begins so, holds it, or not.
fn rank(text: &str, typed: &str) -> Option<u8> {
    match text.to_lowercase().find(typed) {
        Some(0) => Some(0),
        Some(_) => Some(1),
        None => None,
    }
}

/// What could stand at byte `at` of a text. Of the request, the span of time, the topics and `limit` count.
///
/// # Errors
/// Cancelled.
pub fn complete_of(
    sources: &[Arc<dyn Source>],
    request: &Request,
    text: &str,
    at: usize,
    cancel: &Cancel,
) -> Result<Completion, QueryError> {
    let mut at = at.min(text.len()).min(TEXT_BYTES);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let nothing = Completion { kind: "field", field: None, start: at, end: at, items: Vec::new(), partial: false };
    let Some((place, start)) = place(&text[..at]) else { return Ok(nothing) };
    let start = start.min(at);
    let typed = text[start..at].trim_start_matches('"').to_lowercase();
    let typed = typed.as_str();
    let goes_on = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '@' | '/');
    let end = at + text[at..].find(|c| !goes_on(c)).unwrap_or(text.len() - at);
    let listed = |kind: &'static str, names: &mut dyn Iterator<Item = (&str, String, String)>| {
        let mut items: Vec<(u8, Hint)> = names
            .filter_map(|(name, insert, about)| {
                Some((rank(name, typed)?, Hint { text: name.to_owned(), insert, count: None, about }))
            })
            .collect();
        items.sort_by_key(|(rank, _)| *rank);
        Completion {
            kind,
            items: items.into_iter().map(|(_, hint)| hint).take(request.limit).collect(),
            start,
            end,
            ..nothing.clone()
        }
    };
    Ok(match place {
        Place::Pipe => {
            listed("pipe", &mut PIPE_NAMES.iter().map(|(name, about)| (*name, format!("{name} "), (*about).to_owned())))
        }
        Place::Figure => {
            let figure = |(name, about): &(&'static str, &'static str)| {
                let call = if matches!(*name, "count" | "rate") { "()" } else { "(" };
                (*name, format!("{name}{call}"), (*about).to_owned())
            };
            let by = std::iter::once(("by", "by ".to_owned(), "group by fields".to_owned()));
            listed("figure", &mut FIGURES.iter().map(figure).chain(by))
        }
        Place::Expression => {
            let functions = FUNCTIONS.iter().map(|info| (info.name, info.usage)).chain(SPECIAL);
            let calls = functions.map(|(name, about)| (name, format!("{name}("), about.to_owned()));
            let names = field_names(sources, request);
            let fields = names.iter().map(|name| (&**name, in_expression(name), "field".to_owned()));
            let mut found = listed("function", &mut fields.chain(calls));
            found.kind = "function";
            found
        }
        Place::Field { colon } => {
            let names = field_names(sources, request);
            let insert = |name: &Arc<str>| if colon { format!("{}:", written(name)) } else { written(name) };
            listed("field", &mut names.iter().map(|name| (&**name, insert(name), String::new())))
        }
        Place::Value(field) => {
            let (values, partial) = values(sources, request, &field, typed, cancel)?;
            let items = values.into_iter().map(|(text, count)| Hint {
                insert: format!("{} ", written(&text)),
                count: Some(count),
                about: String::new(),
                text,
            });
            Completion { kind: "value", field: Some(field), items: items.collect(), partial, start, end }
        }
    })
}

fn in_expression(name: &str) -> String {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'@'));
    if plain { name.to_owned() } else { format!("'{}'", name.replace('\\', "\\\\").replace('\'', "\\'")) }
}

fn wanted<'s>(sources: &'s [Arc<dyn Source>], request: &Request) -> Vec<&'s Arc<dyn Source>> {
    let (from, to) = (request.from_ns.unwrap_or(i64::MIN), request.to_ns.unwrap_or(i64::MAX));
    let latest = |source: &Arc<dyn Source>| (0..source.groups()).map(|group| source.time_bounds(group).1).max();
    let own = |source: &&Arc<dyn Source>| {
        let topic = request.topics.as_ref().is_none_or(|topics| topics.iter().any(|topic| **topic == *source.topic_name()));
        topic
            && (0..source.groups()).any(|group| {
                let (least, greatest) = source.time_bounds(group);
                greatest >= from && (least < to || request.to_ns.is_none())
            })
    };
    let mut sources: Vec<&Arc<dyn Source>> = sources.iter().filter(own).collect();
    sources.sort_by_key(|source| std::cmp::Reverse(latest(source)));
    sources
}

/// Names of fields, by name; the box's own last.
fn field_names(sources: &[Arc<dyn Source>], request: &Request) -> Vec<Arc<str>> {
    let mut names: FxHashSet<Arc<str>> = FxHashSet::default();
    for source in wanted(sources, request) {
        for column in source.columns() {
            if names.len() < FIELDS {
                names.insert(Arc::clone(&column.name));
            }
        }
    }
    let mut names: Vec<Arc<str>> = names.into_iter().collect();
    names.sort_unstable();
    names.extend(virtual_field::ALL.map(Arc::from));
    names
}

/// Values of a field that answer what was typed, the most frequent first.
fn values(
    sources: &[Arc<dyn Source>],
    request: &Request,
    field: &str,
    typed: &str,
    cancel: &Cancel,
) -> Result<(Vec<(String, u64)>, bool), QueryError> {
    let mut counts: FxHashMap<Vec<u8>, u64> = FxHashMap::default();
    let (mut entries, mut groups, mut partial) = (0, 0, false);
    for source in wanted(sources, request) {
        match cancel.go() {
            Go::On => {}
            Go::Late => {
                partial = true;
                break;
            }
            Go::Cancelled => return Err(QueryError::Cancelled),
        }
        partial |= source.is_shut();
        let mut count = |text: &[u8], rows: u64| {
            let fits = text.len() <= VALUE_BYTES && std::str::from_utf8(text).is_ok_and(|text| rank(text, typed).is_some());
            if rows == 0 || !fits {
                return;
            }
            if let Some(own) = counts.get_mut(text) {
                *own += rows;
            } else if counts.len() < VALUES {
                counts.insert(text.to_vec(), rows);
            } else {
                partial = true;
            }
        };
        let columns = source.columns().iter().enumerate().filter(|(_, column)| *column.name == *field);
        let known = |(column, own): (usize, &Column)| match own.kind {
            Kind::Str | Kind::Int | Kind::Bool => source.value_counts(column).ok().flatten(),
            Kind::List | Kind::Float => None,
        };
        let known: Option<Vec<_>> = columns.map(known).collect();
        let known = known.filter(|known| {
            let more: usize = known.iter().map(|own| own.dict.len()).sum();
            let whole = (0..source.groups()).all(|group| source.deleted(group).is_none());
            whole && virtual_reader(field).is_none() && entries + more <= ENTRIES
        });
        let unread = known.is_none();
        for Counted { dict, counts } in known.into_iter().flatten() {
            entries += dict.len();
            counts.iter().enumerate().for_each(|(entry, rows)| count(dict.entry(entry), *rows));
        }
        if unread {
            groups += read_values(&**source, field, GROUPS - groups.min(GROUPS), &mut count);
            partial = true;
        }
    }
    let mut values: Vec<(String, u64)> =
        counts.into_iter().filter_map(|(text, count)| Some((String::from_utf8(text).ok()?, count))).collect();
    values.sort_by_cached_key(|(text, count)| (rank(text, typed), std::cmp::Reverse(*count), text.clone()));
    values.truncate(request.limit);
    Ok((values, partial))
}

/// Counts the values in a source's last groups; gives how many were read.
fn read_values(source: &dyn Source, field: &str, most: usize, count: &mut dyn FnMut(&[u8], u64)) -> usize {
    let groups = source.groups();
    let first = groups.saturating_sub(most);
    for group in (first..groups).rev() {
        let view = GroupView::new(source, source.topic_name(), group);
        let reader = view.field(field);
        let mut alive = Bits::all(view.rows);
        if let Some(deleted) = source.deleted(group) {
            alive.and_not_words(&deleted);
        }
        if let super::view::FieldReader::Chunks(chunks) = &reader
            && let [(Kind::Str, chunk)] = chunks.as_slice()
            && let Chunk::Dict { codes, dict } = &**chunk
        {
            let mut by_code: FxHashMap<u32, u64> = FxHashMap::default();
            let codes = alive.iter().filter_map(|row| codes.get(row));
            codes.filter(|code| **code > 0).for_each(|code| *by_code.entry(*code).or_default() += 1);
            by_code.into_iter().for_each(|(code, rows)| count(dict.entry(code as usize - 1), rows));
            continue;
        }
        for row in alive.iter() {
            let value = super::expr::Val::from(view.get(&reader, row));
            if let Some(text) = value.text() {
                count(&text, 1);
            }
        }
    }
    groups - first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_known() {
        use Place::{Expression, Figure, Pipe};
        let field = |colon| Place::Field { colon };
        let value = |field: &str| Place::Value(field.to_owned());
        for (text, expected) in [
            ("", Some((field(true), 0))),
            ("re", Some((field(true), 0))),
            ("a -re", Some((field(true), 3))),
            ("(re", Some((field(true), 1))),
            ("app:sh", Some((value("app"), 4))),
            ("app:=sh", Some((value("app"), 5))),
            ("-app:", Some((value("app"), 5))),
            ("\"odd name\":x", Some((value("odd name"), 11))),
            ("app:\"sh op", Some((value("app"), 4))),
            ("\"some phrase", None),
            ("status>=5", Some((value("status"), 8))),
            ("a | ", Some((Pipe, 4))),
            ("a || b", Some((field(true), 5))),
            ("a | sta", Some((Pipe, 4))),
            ("a | stats ", Some((Figure, 10))),
            ("a | stats count(), p", Some((Figure, 19))),
            ("a | stats avg(re", Some((field(false), 14))),
            ("a | stats count() by ap", Some((field(false), 21))),
            ("a | where ap", Some((field(true), 10))),
            ("a | where app:s", Some((value("app"), 14))),
            ("a | eval x", None),
            ("a | eval x = lo", Some((Expression, 13))),
            ("a | limit 1", None),
            ("a | dedup us", Some((field(false), 10))),
        ] {
            assert_eq!(place(text), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_can_be_typed(text in ".{0,40}", at in 0usize..60) {
            let request = Request::new(super::super::Query::new(crate::base::predicate::Predicate::All));
            let cancel = Cancel::new(Arc::new(crate::base::clock::SimClock::at(0)));
            let found = complete_of(&[], &request, &text, at, &cancel).unwrap();
            proptest::prop_assert!(found.start <= found.end && found.end <= text.len());
        }
    }
}
