//! English names of months, days and the few zone abbreviations that mean one thing.

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
/// Monday is 1.
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Joda's abbreviations, and those of Europe's mainland; hours east. `IST`, `BST` and their like are of several countries.
const ABBREVIATIONS: [(&str, i64); 18] = [
    ("UTC", 0),
    ("GMT", 0),
    ("UT", 0),
    ("Z", 0),
    ("EST", -5),
    ("EDT", -4),
    ("CST", -6),
    ("CDT", -5),
    ("MST", -7),
    ("MDT", -6),
    ("PST", -8),
    ("PDT", -7),
    ("WET", 0),
    ("WEST", 1),
    ("CET", 1),
    ("CEST", 2),
    ("EET", 2),
    ("EEST", 3),
];

pub(super) fn month(number: i64) -> &'static str {
    usize::try_from(number - 1).ok().and_then(|at| MONTHS.get(at)).copied().unwrap_or("")
}

pub(super) fn weekday(number: i64) -> &'static str {
    usize::try_from(number - 1).ok().and_then(|at| WEEKDAYS.get(at)).copied().unwrap_or("")
}

/// A month's name, whole or its first three letters, at the front; its number and length.
pub(super) fn find_month(text: &[u8]) -> Option<(i64, usize)> {
    find(text, &MONTHS)
}

/// The same of a day of the week.
pub(super) fn find_weekday(text: &[u8]) -> Option<(i64, usize)> {
    find(text, &WEEKDAYS)
}

/// Seconds east of Greenwich.
pub(super) fn abbreviation(name: &[u8]) -> Option<i64> {
    let found = ABBREVIATIONS.iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()));
    found.map(|(_, hours)| hours * 3600)
}

fn find(text: &[u8], names: &[&str]) -> Option<(i64, usize)> {
    let starts = |name: &str| text.get(..name.len()).is_some_and(|front| front.eq_ignore_ascii_case(name.as_bytes()));
    let (number, name) = (1..).zip(names).find(|(_, name)| starts(&name[..3]))?;
    Some((number, if starts(name) { name.len() } else { 3 }))
}
