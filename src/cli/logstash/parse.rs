//! Reads Logstash's configuration language.
//!
//! In: the text of a pipeline. Out: the plugins and branches of its `filter` sections ([`super::tree`]), with their lines; plugins of
//! `input` and `output` sections are named, and of inputs what they give their events. The grammar is small (Logstash's own is a
//! hundred lines), so this is a recursive descent over bytes; it never panics and nests at most [`DEPTH`] deep.
//!
//! A string keeps its backslashes: Logstash reads escapes only with `config.support_escapes`, but for the quote itself.

use super::inputs;
use super::tree::{Comparison, Condition, Item, Operand, Pipeline, Plugin, Value, not};

/// Deepest nesting of branches, values and parentheses.
const DEPTH: usize = 64;
/// Most `xor` and `nand` in a row: an `xor` says what stands before it twice.
const CHAINED: usize = 8;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub(super) struct SyntaxError {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) message: String,
}

/// Reads a pipeline.
///
/// # Errors
/// The first place that is not understood.
pub(super) fn parse(text: &str) -> Result<Pipeline, SyntaxError> {
    let mut reader = Reader { text, at: 0, depth: 0 };
    let mut pipeline = Pipeline::default();
    reader.blanks();
    while !reader.rest().is_empty() {
        let section = reader.name("`input`, `filter` or `output`")?;
        if !matches!(section.as_str(), "input" | "filter" | "output") {
            return Err(reader.wrong(format!("a section is `input`, `filter` or `output`, not `{section}`")));
        }
        let items = reader.block()?;
        if section == "filter" {
            pipeline.filters.extend(items);
        } else {
            note_plugins(&section, items, &mut pipeline);
        }
        reader.blanks();
    }
    Ok(pipeline)
}

fn note_plugins(section: &str, items: Vec<Item>, pipeline: &mut Pipeline) {
    for item in items {
        match item {
            Item::Plugin(mut plugin) => {
                pipeline.others.push((section.to_owned(), plugin.name.clone(), plugin.line));
                if section == "input" {
                    plugin.options.retain(|(name, _)| inputs::OPTIONS.contains(&name.as_str()));
                    pipeline.inputs.push(plugin);
                }
            }
            Item::Branch(arms) => arms.into_iter().for_each(|(_, items)| note_plugins(section, items, pipeline)),
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

type Read<T> = Result<T, SyntaxError>;

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn wrong(&self, message: impl Into<String>) -> SyntaxError {
        let before = self.text.get(..self.at).unwrap_or(self.text);
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        SyntaxError { line: self.line(), column, message: message.into() }
    }

    fn line(&self) -> usize {
        self.text.get(..self.at).unwrap_or(self.text).matches('\n').count() + 1
    }

    /// Passes over blanks and comments.
    fn blanks(&mut self) {
        loop {
            let rest = self.rest();
            let left = rest.trim_start();
            self.at += rest.len() - left.len();
            if !left.starts_with('#') {
                return;
            }
            self.at += left.find('\n').unwrap_or(left.len());
        }
    }

    /// Takes a sign, and the blanks before it.
    fn take(&mut self, sign: &str) -> bool {
        self.blanks();
        let found = self.rest().starts_with(sign);
        self.at += if found { sign.len() } else { 0 };
        found
    }

    fn expect(&mut self, sign: &str) -> Read<()> {
        if self.take(sign) { Ok(()) } else { Err(self.wrong(format!("here `{sign}` is expected"))) }
    }

    /// Takes a word, if it ends there.
    fn word(&mut self, word: &str) -> bool {
        self.blanks();
        let found = self.rest().strip_prefix(word).is_some_and(|after| !after.starts_with(is_name));
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        if self.depth >= DEPTH {
            return Err(self.wrong(format!("this nests more than {DEPTH} deep")));
        }
        self.depth += 1;
        let got = read(self);
        self.depth -= 1;
        got
    }

    fn bare(&mut self) -> Option<&'a str> {
        self.blanks();
        let rest = self.rest();
        let len = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        self.at += len;
        rest.get(..len).filter(|name| !name.is_empty())
    }

    fn name(&mut self, expected: &str) -> Read<String> {
        self.blanks();
        if let Some(text) = self.string()? {
            return Ok(text);
        }
        match self.bare() {
            Some(name) => Ok(name.to_owned()),
            None => Err(self.wrong(format!("here {expected} is expected"))),
        }
    }

    fn string(&mut self) -> Read<Option<String>> {
        self.blanks();
        let Some(quote @ ('"' | '\'')) = self.peek() else { return Ok(None) };
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        while let Some(c) = self.peek() {
            self.at += c.len_utf8();
            if c == quote {
                return Ok(Some(text));
            }
            if c == '\\' && self.peek() == Some(quote) {
                self.at += 1;
                text.push(quote);
            } else {
                text.push(c);
            }
        }
        self.at = start;
        Err(self.wrong("this string is never closed"))
    }

    /// `{ plugins and branches }`
    fn block(&mut self) -> Read<Vec<Item>> {
        self.deeper(|reader| {
            reader.expect("{")?;
            let mut items = Vec::new();
            while !reader.take("}") {
                if reader.rest().is_empty() {
                    return Err(reader.wrong("a `}` is missing before the end"));
                }
                items.push(if reader.word("if") { reader.branch()? } else { Item::Plugin(reader.plugin()?) });
            }
            Ok(items)
        })
    }

    /// After `if`.
    fn branch(&mut self) -> Read<Item> {
        let mut arms = vec![(Some(self.condition()?), self.block()?)];
        while self.word("else") {
            if self.word("if") {
                arms.push((Some(self.condition()?), self.block()?));
            } else {
                arms.push((None, self.block()?));
                break;
            }
        }
        Ok(Item::Branch(arms))
    }

    fn plugin(&mut self) -> Read<Plugin> {
        self.blanks();
        let line = self.line();
        let name = self.name("the name of a plugin, `if` or `}`")?;
        self.expect("{")?;
        let mut options = Vec::new();
        while !self.take("}") {
            let option = self.name("an option or `}`")?;
            self.expect("=>")?;
            options.push((option, self.value()?));
            // Not in the grammar, but people write it, and a comma here can mean nothing else.
            self.take(",");
        }
        Ok(Plugin { name, line, options })
    }

    fn value(&mut self) -> Read<Value> {
        if let Some(text) = self.string()? {
            return Ok(Value::Text(text));
        }
        if let Some(number) = self.number() {
            return Ok(Value::Number(number));
        }
        if self.take("[") {
            return self.deeper(|reader| Ok(Value::List(reader.list(Self::value)?)));
        }
        if self.take("{") {
            return self.deeper(|reader| {
                let mut table = Vec::new();
                while !reader.take("}") {
                    let key = match reader.number() {
                        Some(number) => number,
                        None => reader.name("a name or `}`")?,
                    };
                    reader.expect("=>")?;
                    table.push((key, reader.value()?));
                    reader.take(",");
                }
                Ok(Value::Table(table))
            });
        }
        self.blanks();
        let start = self.at;
        let Some(word) = self.bare() else { return Err(self.wrong("here a value is expected")) };
        self.blanks();
        if self.rest().starts_with('{') {
            self.at = start;
            return self.deeper(|reader| Ok(Value::Plugin(reader.plugin()?)));
        }
        Ok(Value::Text(word.to_owned()))
    }

    /// After `[`.
    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let mut list = Vec::new();
        while !self.take("]") {
            list.push(one(self)?);
            if !self.take(",") {
                self.expect("]")?;
                break;
            }
        }
        Ok(list)
    }

    fn number(&mut self) -> Option<String> {
        self.blanks();
        let rest = self.rest();
        let sign = usize::from(rest.starts_with('-'));
        let digits = |from: usize| rest.bytes().skip(from).take_while(u8::is_ascii_digit).count();
        let mut end = sign + digits(sign);
        if end == sign {
            return None;
        }
        if rest[end..].starts_with('.') {
            end += 1 + digits(end + 1);
        }
        if rest[end..].starts_with(is_name) {
            return None;
        }
        self.at += end;
        Some(rest[..end].to_owned())
    }

    /// `or`, `xor` and `nand` bind less than `and`, as in the Ruby that Logstash makes of them.
    fn condition(&mut self) -> Read<Condition> {
        let mut left = self.all()?;
        let mut chained = 0;
        loop {
            if chained > CHAINED {
                return Err(self.wrong(format!("more than {CHAINED} `xor` and `nand` in a row")));
            }
            if self.word("or") {
                let right = self.all()?;
                left = match left {
                    Condition::Any(mut any) => {
                        any.push(right);
                        Condition::Any(any)
                    }
                    left => Condition::Any(vec![left, right]),
                };
            } else if self.word("xor") {
                chained += 1;
                let right = self.all()?;
                let either = Condition::Any(vec![left.clone(), right.clone()]);
                left = Condition::All(vec![either, not(Condition::All(vec![left, right]))]);
            } else if self.word("nand") {
                chained += 1;
                left = not(Condition::All(vec![left, self.all()?]));
            } else {
                return Ok(left);
            }
        }
    }

    fn all(&mut self) -> Read<Condition> {
        let mut all = vec![self.expression()?];
        while self.word("and") {
            all.push(self.expression()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Condition::All(all) })
    }

    fn expression(&mut self) -> Read<Condition> {
        self.deeper(|reader| {
            if reader.take("!") {
                return Ok(not(reader.expression()?));
            }
            if reader.take("(") {
                let inner = reader.condition()?;
                reader.expect(")")?;
                return Ok(inner);
            }
            reader.comparison()
        })
    }

    fn comparison(&mut self) -> Read<Condition> {
        const SIGNS: [(&str, Comparison); 6] = [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        let left = self.operand()?;
        if self.take("=~") {
            return Ok(Condition::Matches(left, self.pattern()?));
        }
        if self.take("!~") {
            return Ok(not(Condition::Matches(left, self.pattern()?)));
        }
        if self.word("in") {
            return Ok(Condition::In(left, self.operand()?));
        }
        if self.word("not") {
            if !self.word("in") {
                return Err(self.wrong("here `in` is expected"));
            }
            return Ok(not(Condition::In(left, self.operand()?)));
        }
        match SIGNS.iter().find(|(sign, _)| self.take(sign)) {
            Some((_, comparison)) => Ok(Condition::Compare(left, *comparison, self.operand()?)),
            None => Ok(Condition::Truth(left)),
        }
    }

    fn pattern(&mut self) -> Read<String> {
        if let Some(text) = self.string()? {
            return Ok(text);
        }
        self.expect("/")?;
        let mut text = String::new();
        while let Some(c) = self.peek() {
            self.at += c.len_utf8();
            match c {
                '/' => return Ok(text),
                '\\' if self.peek() == Some('/') => {
                    self.at += 1;
                    text.push('/');
                }
                '\\' => {
                    text.push('\\');
                    if let Some(next) = self.peek() {
                        self.at += next.len_utf8();
                        text.push(next);
                    }
                }
                c => text.push(c),
            }
        }
        Err(self.wrong("this regular expression is never closed"))
    }

    fn operand(&mut self) -> Read<Operand> {
        if let Some(text) = self.string()? {
            return Ok(Operand::Text(text));
        }
        if let Some(number) = self.number() {
            return Ok(Operand::Number(number));
        }
        self.blanks();
        if !self.rest().starts_with('[') {
            return match self.bare() {
                Some(word) => Ok(Operand::Text(word.to_owned())),
                None => Err(self.wrong("here a field, a string or a number is expected")),
            };
        }
        if let Some(field) = self.field() {
            return Ok(Operand::Field(field));
        }
        self.expect("[")?;
        self.deeper(|reader| Ok(Operand::List(reader.list(Self::operand)?)))
    }

    /// `[a][b]`, if that is what stands here and not a list.
    fn field(&mut self) -> Option<String> {
        let mut rest = self.rest();
        let mut parts = Vec::new();
        while let Some(inside) = rest.strip_prefix('[') {
            let (part, after) = inside.split_once(']')?;
            let part = part.trim();
            if part.is_empty() || part.contains(['"', '\'', ',', '[', '\n']) {
                return None;
            }
            parts.push(part);
            rest = after;
        }
        self.at = self.text.len() - rest.len();
        (!parts.is_empty()).then(|| parts.join("."))
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}
