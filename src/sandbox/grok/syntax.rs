//! From Ruby's dialect of regular expressions to that of our engines.
//!
//! In: an expanded expression. Out: two forms of it and its fields. The **exact** form, for the backtracking engine, means what
//! Ruby means. The **superset**, for the linear engine, leaves assertions out and makes atomic groups and possessive repeats
//! plain, so it matches every text that the exact form matches; where nothing had to be left out and no atomic group
//! had a choice to give up, both mean the same ([`Parts::needs_exact`] is false).
//! Every capturing group of both forms is named by us and stands for the field of the same number; groups without a name do
//! not capture, as in Ruby when names are present.
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
    at: usize,
    parts: Parts,
    open: Vec<Open>,
}

/// Translates an expanded expression.
pub(super) fn translate(text: &str) -> Result<Parts, String> {
    let mut translator = Translator { text, at: 0, parts: Parts::default(), open: Vec::new() };
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
        Ok(())
    }

    /// After `(`.
    fn group(&mut self) -> Result<(), String> {
        let superset = self.parts.superset.len();
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
            return self.flags(superset);
        }
        self.open.push(Open { kind, superset, choices: false });
        Ok(())
    }

    /// After `(?` when flags or a colon follow. Ruby's `m` is our `s`; its `^` and `$` always match at lines.
    fn flags(&mut self, superset: usize) -> Result<(), String> {
        self.both("(?");
        loop {
            match self.next().ok_or("a group is not closed")? {
                'm' | 's' => self.both("s"),
                c @ ('i' | 'x' | '-') => self.both(c.encode_utf8(&mut [0; 4])),
                ':' => {
                    self.both(":");
                    self.open.push(Open { kind: Group::Plain, superset, choices: false });
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
