//! From Ruby's dialect of regular expressions to that of our engines.
//!
//! In: an expanded expression. Out: two forms of it and its fields. The **exact** form, for the backtracking engine, means what
//! Ruby means. The **superset**, for the linear engine, leaves assertions out and makes atomic groups and possessive repeats
//! plain, so it matches every text that the exact form matches; where nothing had to be left out and no atomic group
//! had a choice to give up, both mean the same ([`Parts::needs_exact`] is false).
//! Every capturing group of both forms is named by us and stands for the field of the same number; groups without a name do
//! not capture, as in Ruby when names are present.
//!
//! Text is bytes, but what Ruby's `.`, `[^…]`, `\S`, `\W` and `\D` take is a character: where they stand once or are counted, they take
//! all bytes of one ([`WHOLE`]). In runs (`*`, `+`) and in groups that repeat they go by bytes, which is fast and comes to the same
//! but where what follows may begin within a character; in assertions, too. A single byte is the second choice, for text that is no
//! UTF-8: where no match takes whole characters, one that cuts them is found. An engine that knows Unicode needs none of that.
//!
//! What differs between the dialects and is changed here: `\h`, `\Z`, `\R`, `\<`, `\>` and escapes of letters that mean nothing;
//! `(?m)`, which is our `s`; comments; a `{` that begins no repeat.

use super::expand::{MARK, dotted};
use super::{Field, Kind};

/// The two forms.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub exact: String,
    pub superset: String,
    pub fields: Vec<Field>,
    pub needs_exact: bool,
}

/// A group that is still open.
struct Open {
    kind: Group,
    /// Whether it repeats, or asserts: then what is in it goes by bytes.
    by_bytes: bool,
    /// Length of the superset before it: an assertion is cut back to here.
    superset: usize,
    /// Whether what is in it could match in more than one way.
    choices: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    Plain,
    Atomic,
    Assertion,
}

struct Translator<'a> {
    text: &'a str,
    units: Units,
    /// Where groups begin that repeat, behind the parenthesis, in order.
    repeated: Vec<usize>,
    at: usize,
    parts: Parts,
    open: Vec<Open>,
}

/// What the engine takes for a character.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Units {
    /// A byte.
    Bytes,
    /// A character.
    Characters,
}

/// All bytes of a character beyond ASCII.
const WHOLE: &str = r"[\xC2-\xDF][\x80-\xBF]|[\xE0-\xEF][\x80-\xBF]{2}|[\xF0-\xF4][\x80-\xBF]{3}";
/// Up to so many times; more would be a large program.
const COUNTED: u32 = 64;

/// Translates an expanded expression.
pub(super) fn translate(text: &str, units: Units) -> Result<Parts, String> {
    let repeated = if units == Units::Bytes { repeated(text) } else { Vec::new() };
    let mut translator = Translator { text, units, repeated, at: 0, parts: Parts::default(), open: Vec::new() };
    while let Some(c) = translator.next() {
        match c {
            '\\' => translator.escape(false)?,
            '[' => translator.class()?,
            '(' => translator.group()?,
            ')' => translator.close()?,
            '|' => {
                translator.choice();
                translator.both("|");
            }
            '*' | '+' | '?' => translator.repeat(c.encode_utf8(&mut [0; 4])),
            '{' => translator.brace(),
            '.' => {
                let from = translator.place();
                translator.both(".");
                translator.whole(from);
            }
            c => translator.both(c.encode_utf8(&mut [0; 4])),
        }
    }
    if translator.open.is_empty() { Ok(translator.parts) } else { Err("a parenthesis is not closed".into()) }
}

impl<'a> Translator<'a> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn take(&mut self, prefix: &str) -> bool {
        let found = self.rest().starts_with(prefix);
        self.at += if found { prefix.len() } else { 0 };
        found
    }

    fn both(&mut self, text: &str) {
        self.parts.exact.push_str(text);
        self.parts.superset.push_str(text);
    }

    /// How long both forms are.
    fn place(&self) -> (usize, usize) {
        (self.parts.exact.len(), self.parts.superset.len())
    }

    /// What was written from there on takes one byte, of those beyond ASCII any: makes it take a whole character.
    fn whole(&mut self, from: (usize, usize)) {
        if self.units == Units::Characters || self.open.last().is_some_and(|open| open.by_bytes) || !self.is_counted() {
            return;
        }
        for (form, from) in [(&mut self.parts.exact, from.0), (&mut self.parts.superset, from.1)] {
            form.insert_str(from, &format!("(?:{WHOLE}|"));
            form.push(')');
        }
    }

    /// Whether what follows is no repeat, or one with few rounds.
    fn is_counted(&self) -> bool {
        match self.rest().chars().next() {
            Some('*' | '+') => false,
            Some('{') => {
                let inside = self.rest()[1..].split('}').next().unwrap_or("");
                let most = inside.rsplit(',').next().unwrap_or("");
                // Else it is no repeat, or one without an end.
                most.parse().map_or(!most.is_empty(), |most: u32| most <= COUNTED)
            }
            _ => true,
        }
    }

    fn choice(&mut self) {
        if let Some(open) = self.open.last_mut() {
            open.choices = true;
        }
    }

    /// After a repeat: `?` makes it lazy, `+` possessive.
    fn repeat(&mut self, text: &str) {
        self.choice();
        self.both(text);
        if self.take("?") {
            self.both("?");
        } else if self.take("+") {
            self.parts.exact.push('+');
            self.parts.needs_exact = true;
        }
    }

    fn brace(&mut self) {
        let inside = self.rest().find('}').map(|end| &self.rest()[..end]);
        let bounds = inside.and_then(|inside| {
            let (from, to) = inside.split_once(',').map_or((inside, None), |(from, to)| (from, Some(to)));
            let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            (inside != "," && !inside.is_empty() && digits(from) && digits(to.unwrap_or(""))).then_some((from, to))
        });
        let Some((from, to)) = bounds else {
            self.both("\\{");
            return;
        };
        let from = if from.is_empty() { "0" } else { from };
        let text = to.map_or_else(|| format!("{{{from}}}"), |to| format!("{{{from},{to}}}"));
        self.at += self.rest().find('}').map_or(0, |end| end + 1);
        if to.is_some() {
            self.choice();
        }
        self.both(&text);
        if self.take("?") {
            self.both("?");
        }
        // In Ruby `{n}+` is a repeat of a repeat, not a possessive one; neither of our engines reads it so.
        if self.take("+") {
            self.both("{1,}");
        }
    }

    /// After a backslash.
    fn escape(&mut self, in_class: bool) -> Result<(), String> {
        let c = self.next().ok_or("the expression ends in a backslash")?;
        match c {
            'h' if in_class => self.both("0-9A-Fa-f"),
            'h' => self.both("[0-9A-Fa-f]"),
            'H' if !in_class => self.both("[^0-9A-Fa-f]"),
            'Z' if !in_class => self.both("(?:\\n?\\z)"),
            'R' if !in_class => self.both("(?:\\r\\n|[\\n\\x0B\\x0C\\r])"),
            'e' => self.both("\\x1B"),
            '0' => self.both("\\x00"),
            'b' if in_class => self.both("\\x08"),
            'k' if !in_class => self.back_reference()?,
            '1'..='9' if !in_class => return Err(format!("`\\{c}`: name the group and refer to it by name, as in \\k<name>")),
            'p' | 'P' | 'x' | 'u' if self.rest().starts_with('{') => self.braced(c)?,
            'S' | 'W' | 'D' if !in_class => {
                let from = self.place();
                self.both(&format!("\\{c}"));
                self.whole(from);
            }
            'd' | 'D' | 'w' | 'W' | 's' | 'S' | 'b' | 'B' | 'A' | 'z' | 'n' | 'r' | 't' | 'f' | 'v' | 'a' | 'p' | 'P' | 'x'
            | 'u' => {
                self.both("\\");
                self.both(c.encode_utf8(&mut [0; 4]));
            }
            'G' | 'K' | 'X' | 'g' if !in_class => return Err(format!("`\\{c}` is not supported")),
            c if c.is_ascii_alphanumeric() || matches!(c, '<' | '>' | '_' | '"' | '\'' | '/' | ' ') || !c.is_ascii() => {
                self.both(c.encode_utf8(&mut [0; 4]));
            }
            c => {
                self.both("\\");
                self.both(c.encode_utf8(&mut [0; 4]));
            }
        }
        Ok(())
    }

    /// After `\\p`, `\\P`, `\\x` or `\\u` when a brace follows: a property, where `^` turns it round, or a character by its number.
    fn braced(&mut self, c: char) -> Result<(), String> {
        let end = self.rest().find('}').ok_or_else(|| format!("`\\{c}{{` has no closing brace"))?;
        let inside = &self.rest()[1..end];
        self.at += end + 1;
        let (c, inside) = match (c, inside.strip_prefix('^')) {
            ('p', Some(inside)) => ('P', inside),
            ('P', Some(inside)) => ('p', inside),
            _ => (c, inside),
        };
        self.both(&format!("\\{c}{{{inside}}}"));
        Ok(())
    }

    fn back_reference(&mut self) -> Result<(), String> {
        let wrong = "a back reference is written \\k<name>";
        let end = self.rest().strip_prefix('<').and_then(|rest| rest.find('>')).ok_or(wrong)?;
        let name = self.rest()[1..=end].to_owned();
        self.at += end + 2;
        let dotted = dotted(&name).ok_or(wrong)?;
        let group = self.parts.fields.iter().rposition(|field| field.name == dotted);
        let group = group.ok_or_else(|| format!("\\k<{name}> refers to no group before it"))?;
        self.parts.exact.push_str(&format!("\\k<g{group}>"));
        self.parts.superset.push_str("(?:.*)");
        self.parts.needs_exact = true;
        self.choice();
        Ok(())
    }

    /// After `[`: copied to its end; sets may nest.
    fn class(&mut self) -> Result<(), String> {
        let open = "a character class is not closed";
        let (start, from) = (self.at, self.place());
        self.both("[");
        let mut depth = 1_usize;
        let mut first = true;
        if self.take("^") {
            self.both("^");
        }
        while depth > 0 {
            if self.rest().starts_with("[:") && self.rest().contains(":]") {
                let end = self.rest().find(":]").map_or(0, |end| end + 2);
                let class = self.rest()[..end].to_owned();
                self.at += end;
                self.both(&class);
                first = false;
                continue;
            }
            match self.next().ok_or(open)? {
                ']' if first => self.both("\\]"),
                ']' => {
                    depth -= 1;
                    self.both("]");
                }
                '[' => {
                    depth += 1;
                    self.both("[");
                    if self.take("^") {
                        self.both("^");
                    }
                    first = true;
                    continue;
                }
                '\\' => self.escape(true)?,
                // Our engines would read a doubled one as set arithmetic.
                '~' => self.both("\\~"),
                '-' if self.rest().starts_with('-') => self.both("\\-"),
                c => self.both(c.encode_utf8(&mut [0; 4])),
            }
            first = false;
        }
        if takes_all(&self.text[start..self.at]) {
            self.whole(from);
        }
        Ok(())
    }

    /// After `(`.
    fn group(&mut self) -> Result<(), String> {
        let superset = self.parts.superset.len();
        let by_bytes = self.open.last().is_some_and(|open| open.by_bytes) || self.repeated.binary_search(&self.at).is_ok();
        let mut kind = Group::Plain;
        if !self.take("?") {
            self.both("(?:");
        } else if self.take("#") {
            let end = self.rest().find(')').ok_or("a comment is not closed")?;
            self.at += end + 1;
            return Ok(());
        } else if self.take(">") {
            kind = Group::Atomic;
            self.parts.exact.push_str("(?>");
            self.parts.superset.push_str("(?:");
        } else if let Some(assertion) = ["=", "!", "<=", "<!"].into_iter().find(|sign| self.rest().starts_with(*sign)) {
            self.at += assertion.len();
            kind = Group::Assertion;
            self.parts.exact.push_str("(?");
            self.parts.exact.push_str(assertion);
            self.parts.superset.push_str("(?:");
            self.parts.needs_exact = true;
        } else if self.take("P<") || self.take("<") || self.take("'") {
            let end = self.rest().find(['>', '\'']).ok_or("the name of a group is not closed")?;
            let name = self.rest()[..end].to_owned();
            self.at += end + 1;
            let field = field(&name).ok_or_else(|| format!("`{name}` is no field name"))?;
            let opening = format!("(?P<g{}>", self.parts.fields.len());
            self.parts.fields.push(field);
            self.both(&opening);
        } else {
            return self.flags(superset, by_bytes);
        }
        self.open.push(Open { kind, by_bytes: by_bytes || kind == Group::Assertion, superset, choices: false });
        Ok(())
    }

    /// After `(?` when flags or a colon follow. Ruby's `m` is our `s`; its `^` and `$` always match at lines.
    fn flags(&mut self, superset: usize, by_bytes: bool) -> Result<(), String> {
        self.both("(?");
        loop {
            match self.next().ok_or("a group is not closed")? {
                'm' | 's' => self.both("s"),
                c @ ('i' | 'x' | '-') => self.both(c.encode_utf8(&mut [0; 4])),
                ':' => {
                    self.both(":");
                    self.open.push(Open { kind: Group::Plain, by_bytes, superset, choices: false });
                    return Ok(());
                }
                ')' => {
                    self.both(")");
                    return Ok(());
                }
                c => return Err(format!("`(?{c}` is not supported")),
            }
        }
    }

    fn close(&mut self) -> Result<(), String> {
        let open = self.open.pop().ok_or("a parenthesis is closed that was not opened")?;
        self.both(")");
        match open.kind {
            Group::Plain => {}
            // With one way to match there is nothing to go back to: the plain group means the same.
            Group::Atomic => self.parts.needs_exact |= open.choices,
            Group::Assertion => {
                self.parts.superset.truncate(open.superset);
                // Something must stand here, in case a repeat follows.
                self.parts.superset.push_str("(?:)");
            }
        }
        if open.choices {
            self.choice();
        }
        Ok(())
    }
}

/// Where groups begin that are repeated, behind the parenthesis, in order.
fn repeated(text: &str) -> Vec<usize> {
    let (mut open, mut found, mut class) = (Vec::new(), Vec::new(), 0_usize);
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'\\' => at += 1,
            b'[' => class += 1,
            b']' => class = class.saturating_sub(1),
            b'(' if class == 0 => open.push(at),
            b')' if class == 0 => {
                if let (Some(start), Some(b'*' | b'+' | b'{')) = (open.pop(), bytes.get(at)) {
                    found.push(start);
                }
            }
            _ => {}
        }
    }
    found.sort_unstable();
    found
}

/// Whether a class, told from behind its bracket, has all bytes beyond ASCII.
fn takes_all(class: &str) -> bool {
    let high = |text: &str| text.contains(['8', '9', 'a', 'b', 'c', 'd', 'e', 'f', 'A', 'B', 'C', 'D', 'E', 'F']);
    let names_some = !class.is_ascii()
        || ["\\p", "\\P", "\\u", "\\x{", "&&", "[:^"].iter().any(|part| class.contains(part))
        || class.match_indices("\\x").any(|(at, _)| class.get(at + 2..at + 3).is_none_or(high));
    let has_all = ["\\S", "\\W", "\\D", "\\H"].iter().any(|part| class.contains(part));
    !names_some && class.starts_with('^') != has_all
}

/// The field that a group's name stands for: ours, or one that a person wrote as `(?<name>…)` or `(?<name:int>…)`.
fn field(name: &str) -> Option<Field> {
    let Some(marked) = name.strip_prefix(MARK) else {
        let (name, kind) = match name.rsplit_once(':') {
            None => (name, Kind::Text),
            Some((name, "int")) => (name, Kind::Int),
            Some((name, "float")) => (name, Kind::Float),
            Some(_) => return None,
        };
        return dotted(name).map(|name| Field { name, kind });
    };
    let mut letters = marked.chars();
    let kind = match letters.next()? {
        't' => Kind::Text,
        'i' => Kind::Int,
        'f' => Kind::Float,
        // Whoever wrote the expression wrote the mark, too.
        _ => return None,
    };
    dotted(letters.as_str()).map(|name| Field { name, kind })
}
