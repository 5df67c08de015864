//! All matches of a regular expression in a text, one after the other, with its groups by number: what replacing needs.
//!
//! The host's patterns search a text once, from its beginning, and only named groups capture. So groups get names, and a search
//! that goes on behind a match is made with a second pattern that begins one character before: `^`, `\b` and look-behind of one
//! character see what stands before them. `.` does not match a line feed, `^` and `$` match at lines: Ruby's rules, as Logstash's.
//! Matches of nothing (`^`, `$`, `\b`) are for who asks for them ([`Needle::find_or_gap`]): the host captures nothing there, so where
//! they are is told by what stands before, which is captured, too.
//!
//! An expression that is plain text is searched for here, without asking the host.

use crate::guest::Setup;
use crate::host::{Match, Pattern, PatternKind};

/// Most groups of an expression.
const GROUPS: usize = 32;

/// The group of what stands between the character that is skipped and a match.
const GAP: &str = "gap_";

/// A regular expression to be found again and again.
#[derive(Debug)]
pub struct Needle(Kind);

#[derive(Debug)]
enum Kind {
    Text(Vec<u8>),
    Pattern { first: Pattern, next: Pattern, names: Vec<(String, usize)>, fronted: Vec<u8> },
}

/// A match: where it is, and its groups, by number; 0 is all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Captures([Option<(usize, usize)>; GROUPS]);

impl Captures {
    /// A match without groups.
    fn of(start: usize, end: usize) -> Self {
        let mut captures = Self([None; GROUPS]);
        captures.0[0] = Some((start, end));
        captures
    }

    /// The same, `by` bytes before.
    fn back(mut self, by: usize) -> Self {
        for (start, end) in self.0.iter_mut().flatten() {
            (*start, *end) = (start.saturating_sub(by), end.saturating_sub(by));
        }
        self
    }

    /// Where a group matched; `None` where it captured nothing.
    pub fn get(&self, group: usize) -> Option<(usize, usize)> {
        *self.0.get(group)?
    }

    /// Where it begins and ends.
    pub fn span(&self) -> (usize, usize) {
        self.0[0].unwrap_or((0, 0))
    }
}

/// The host gave up on the text: too much backtracking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GaveUp;

impl Needle {
    /// Compiles it. In `init`, please.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(setup: &mut Setup<'_>, expression: &str) -> Result<Self, String> {
        if expression.is_empty() {
            return Err("the expression is empty".into());
        }
        if let Some(text) = plain(expression) {
            return Ok(Self(Kind::Text(text)));
        }
        let (named, names) = name_groups(expression)?;
        let first = setup.pattern(PatternKind::Regex, &format!("(?<g0>(?-m:{named}))"), &[])?;
        let next = setup.pattern(PatternKind::Regex, &format!("\\A.(?<{GAP}>.*?)(?<g0>(?-m:{named}))"), &[])?;
        Ok(Self(Kind::Pattern { first, next, names, fronted: Vec::new() }))
    }

    /// The number of a named group.
    pub fn group(&self, name: &str) -> Option<usize> {
        match &self.0 {
            Kind::Text(_) => None,
            Kind::Pattern { names, .. } => names.iter().find(|(known, _)| known == name).map(|(_, number)| *number),
        }
    }

    /// The first match from a place on that is not empty; none where an empty one comes first.
    ///
    /// # Errors
    /// The host gave up.
    pub fn find(&mut self, text: &[u8], from: usize) -> Result<Option<Captures>, GaveUp> {
        let found = self.search(text, from)?;
        Ok(found.filter(|captures| captures.span().0 < captures.span().1))
    }

    /// The first match from a place on, which may be empty: then it stands between two characters, or at an end.
    ///
    /// # Errors
    /// The host gave up.
    pub fn find_or_gap(&mut self, text: &[u8], mut from: usize) -> Result<Option<Captures>, GaveUp> {
        while let Some(captures) = self.search(text, from)? {
            let (start, end) = captures.span();
            if start < end || !is_inner(text, start) {
                return Ok(Some(captures));
            }
            from = start + 1;
        }
        Ok(None)
    }

    /// The first match that begins at a place or behind it.
    fn search(&mut self, text: &[u8], from: usize) -> Result<Option<Captures>, GaveUp> {
        let (first, next, names, fronted) = match &mut self.0 {
            Kind::Text(needle) => {
                let at = text.get(from..).and_then(|rest| position(rest, needle));
                return Ok(at.map(|at| Captures::of(from + at, from + at + needle.len())));
            }
            Kind::Pattern { first, next, names, fronted } => (first, next, names, fronted),
        };
        if from > text.len() {
            return Ok(None);
        }
        if from == 0 {
            let Some(found) = found(first, names, text, 0)? else { return Ok(None) };
            if found.captures.0[0].is_some() {
                return Ok(Some(found.captures));
            }
            // Of nothing: the other pattern tells where, and needs a character to skip. Behind a line feed a text begins as at its
            // front, but for `\A`.
            fronted.clear();
            fronted.push(b'\n');
            fronted.extend_from_slice(text);
            let found = self::found(next, names, fronted, 0)?;
            return Ok(Some(found.map_or(Captures::of(0, 0), |found| found.placed(1).back(1))));
        }
        // One character before, so that what looks there sees it. Where the host's `.` is one byte, a match may begin in that
        // character, before `from`: then from one byte before.
        let before = from - 1;
        let mut start = before;
        while start > 0 && start + 4 > from && is_inner(text, start) {
            start -= 1;
        }
        let Some(wide) = found(next, names, text, start)? else { return Ok(None) };
        let is_at_once = wide.captures.0[0].is_none() && wide.gap.is_none();
        if start == before || !is_at_once {
            let captures = wide.placed(from);
            if captures.span().0 >= from {
                return Ok(Some(captures));
            }
        }
        Ok(match found(next, names, text, before)? {
            Some(narrow) => Some(narrow.placed(from)),
            // The host's `.` is a whole character.
            None => is_at_once.then(|| wide.placed(from)),
        })
    }
}

/// What the host found: captures, and where what stands before the match ends, if anything does.
#[derive(Clone, Copy)]
struct Found {
    captures: Captures,
    gap: Option<usize>,
}

impl Found {
    /// The match, which is where the gap ends if it is empty; without a gap at `from`.
    fn placed(self, from: usize) -> Captures {
        let Self { mut captures, gap } = self;
        let at = gap.unwrap_or(from);
        captures.0[0] = captures.0[0].or(Some((at, at)));
        captures
    }
}

/// Whether a place lies within a character.
fn is_inner(text: &[u8], at: usize) -> bool {
    text.get(at).is_some_and(|byte| byte & 0xc0 == 0x80)
}

/// Asks the host about what stands from `start` on; places are those of the whole text.
fn found(pattern: &mut Pattern, names: &[(String, usize)], text: &[u8], start: usize) -> Result<Option<Found>, GaveUp> {
    let numbers = numbers(pattern, names);
    let gap_group = pattern.groups().iter().find(|(_, name)| name == GAP).map(|(group, _)| *group);
    let mut found = Found { captures: Captures([None; GROUPS]), gap: None };
    match pattern.find(text.get(start..).unwrap_or(&[])) {
        Match::NotFound => return Ok(None),
        Match::GaveUp => return Err(GaveUp),
        Match::Found(spans) => {
            for (group, from, to) in spans {
                if gap_group == Some(group) {
                    found.gap = Some(start + to);
                } else if let Some(Some(number)) = numbers.get(usize::from(group)) {
                    found.captures.0[*number] = Some((start + from, start + to));
                }
            }
        }
    }
    Ok(Some(found))
}

/// Our numbers of a pattern's groups, by the host's.
fn numbers(pattern: &Pattern, names: &[(String, usize)]) -> [Option<usize>; GROUPS] {
    let mut numbers = [None; GROUPS];
    for (group, name) in pattern.groups() {
        let own = name.strip_prefix('g').and_then(|digits| digits.parse().ok());
        let number = names.iter().find(|(known, _)| known == name).map(|(_, number)| *number).or(own);
        if let (Some(slot), Some(number)) = (numbers.get_mut(usize::from(*group)), number.filter(|number| *number < GROUPS)) {
            *slot = Some(number);
        }
    }
    numbers
}

/// The text that an expression stands for, if that is all it does.
fn plain(expression: &str) -> Option<Vec<u8>> {
    let mut text = String::new();
    let mut letters = expression.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next()? {
                't' => text.push('\t'),
                'n' => text.push('\n'),
                'r' => text.push('\r'),
                escaped if !escaped.is_ascii_alphanumeric() => text.push(escaped),
                _ => return None,
            },
            '.' | '^' | '$' | '|' | '?' | '*' | '+' | '(' | ')' | '[' | ']' | '{' | '}' => return None,
            _ => text.push(letter),
        }
    }
    Some(text.into_bytes())
}

/// Gives each group that captures a name, and tells the numbers of those that had one. As in Ruby, plain groups capture only where
/// none is named.
fn name_groups(expression: &str) -> Result<(String, Vec<(String, usize)>), String> {
    let letters: Vec<char> = expression.chars().collect();
    let is_name = |at: usize| {
        letters.get(at) == Some(&'?')
            && letters.get(at + 1) == Some(&'<')
            && letters.get(at + 2).is_some_and(|letter| letter.is_alphabetic() || *letter == '_')
    };
    let (mut out, mut names, mut count, mut class) = (String::new(), Vec::new(), 0, 0_usize);
    let has_names = (0..letters.len()).any(|at| letters[at] == '(' && is_name(at + 1));
    let mut at = 0;
    while let Some(&letter) = letters.get(at) {
        out.push(letter);
        at += 1;
        match letter {
            '\\' => {
                out.extend(letters.get(at));
                at += 1;
            }
            '[' => {
                class += 1;
                // `]` in front is a character of the class.
                for first in ['^', ']'] {
                    if letters.get(at) == Some(&first) {
                        out.push(first);
                        at += 1;
                    }
                }
            }
            ']' => class = class.saturating_sub(1),
            '(' if class == 0 && is_name(at) => {
                count += 1;
                names.push((letters[at + 2..].iter().take_while(|letter| **letter != '>').collect(), count));
            }
            '(' if class == 0 && letters.get(at) != Some(&'?') && !has_names => {
                count += 1;
                out.push_str(&format!("?<g{count}>"));
            }
            _ => {}
        }
        if count >= GROUPS {
            return Err(format!("the expression has more than {} groups", GROUPS - 1));
        }
    }
    Ok((out, names))
}

/// Where `needle`, which is not empty, first stands.
pub(crate) fn position(text: &[u8], needle: &[u8]) -> Option<usize> {
    let (first, rest) = needle.split_first()?;
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.iter().position(|byte| byte == first)?;
        if text[at + 1..].starts_with(rest) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::{name_groups, plain};

    #[test]
    fn groups_get_names() {
        for (expression, named) in [
            (r"(a)(b(c))", r"(?<g1>a)(?<g2>b(?<g3>c))"),
            (r"(?:a)\(([(]x)", r"(?:a)\((?<g1>[(]x)"),
            (r"(?<y>\d)-(z)[]()]", r"(?<y>\d)-(z)[]()]"),
            (r"(?<=a)(?<!b)(c)", r"(?<=a)(?<!b)(?<g1>c)"),
        ] {
            assert_eq!(name_groups(expression).unwrap().0, named, "{expression}");
        }
        assert_eq!(name_groups(r"(?<y>a)(?<m>b)").unwrap().1, [("y".to_owned(), 1), ("m".to_owned(), 2)]);
        assert!(name_groups(&"(a)".repeat(40)).is_err());
    }

    #[test]
    fn plain_texts_need_no_host() {
        for (expression, text) in
            [("/", Some("/")), (r"a\.b\\", Some(r"a.b\")), (r"\t", Some("\t")), (r"\d", None), ("a+", None)]
        {
            assert_eq!(plain(expression).as_deref(), text.map(str::as_bytes), "{expression}");
        }
    }
}
