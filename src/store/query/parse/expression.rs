//! The parser of expressions: one function a level of binding, never deeper than [`DEPTH`].

use super::cursor::Cursor;
use super::figures::is_figure;
use crate::base::predicate::{Net, ParseError, Pattern, Test};
use crate::base::{time, units::Span};
use crate::store::query::expr::{DEPTH, Expr, FUNCTIONS, Function, NODES, Op, Val, find};
use crate::store::query::near::meant;

/// Functions that need more than values.
pub const SPECIAL: [(&str, &str); 3] =
    [("match", "match(path, \"[.](png|jpg)$\")"), ("in_net", "in_net(ip, \"10.0.0.0/8\")"), ("now", "now()")];

/// Longer signs stand before those they begin with.
const COMPARISONS: [(&str, Op); 8] = [
    ("==", Op::Is),
    ("!=", Op::IsNot),
    ("<>", Op::IsNot),
    ("<=", Op::AtMost),
    (">=", Op::AtLeast),
    ("=", Op::Is),
    ("<", Op::Less),
    (">", Op::More),
];

/// Reads an expression.
pub fn expression(cursor: &mut Cursor<'_>) -> Result<Expr, ParseError> {
    Parser { cursor, depth: 0, nodes: 0 }.or()
}

struct Parser<'c, 'a> {
    cursor: &'c mut Cursor<'a>,
    depth: usize,
    nodes: usize,
}

impl Parser<'_, '_> {
    fn node(&mut self) -> Result<(), ParseError> {
        self.nodes += 1;
        if self.nodes > NODES {
            return Err(self
                .cursor
                .error(self.cursor.at, format!("at most {NODES} values and operations may stand in one expression")));
        }
        Ok(())
    }

    /// Goes one deeper.
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, ParseError>) -> Result<T, ParseError> {
        self.depth += 1;
        if self.depth > DEPTH {
            let message = format!("at most {DEPTH} parentheses and functions may stand in one another");
            return Err(self.cursor.error(self.cursor.at, message));
        }
        let read = read(self);
        self.depth -= 1;
        read
    }

    /// A chain of operations that bind alike, from left to right.
    fn chain(
        &mut self,
        operator: impl Fn(&mut Cursor<'_>) -> Option<Op>,
        operand: impl Fn(&mut Self) -> Result<Expr, ParseError>,
    ) -> Result<Expr, ParseError> {
        let mut left = operand(self)?;
        let mut length = 0;
        while let Some(op) = operator(self.cursor) {
            self.node()?;
            // A chain becomes a tree as deep as it is long.
            length += 1;
            if self.depth + length > DEPTH {
                let message = format!("at most {DEPTH} operations may follow one another; put some into parentheses");
                return Err(self.cursor.error(self.cursor.at, message));
            }
            left = Expr::Binary(op, Box::new(left), Box::new(operand(self)?));
        }
        Ok(left)
    }

    fn or(&mut self) -> Result<Expr, ParseError> {
        self.deeper(|parser| parser.chain(|cursor| cursor.keyword("or").then_some(Op::Or), Self::and))
    }

    fn and(&mut self) -> Result<Expr, ParseError> {
        self.chain(|cursor| cursor.keyword("and").then_some(Op::And), Self::not)
    }

    fn not(&mut self) -> Result<Expr, ParseError> {
        if self.cursor.keyword("not") {
            self.node()?;
            return self.deeper(|parser| Ok(Expr::Not(Box::new(parser.not()?))));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Expr, ParseError> {
        let left = self.sum()?;
        let Some((_, op)) = COMPARISONS.iter().find(|(sign, _)| self.cursor.take(sign)) else { return Ok(left) };
        self.node()?;
        Ok(Expr::Binary(*op, Box::new(left), Box::new(self.sum()?)))
    }

    fn sum(&mut self) -> Result<Expr, ParseError> {
        let operator = |cursor: &mut Cursor<'_>| {
            if cursor.take("+") { Some(Op::Add) } else { cursor.take("-").then_some(Op::Subtract) }
        };
        self.chain(operator, Self::product)
    }

    fn product(&mut self) -> Result<Expr, ParseError> {
        let signs = [("*", Op::Multiply), ("/", Op::Divide), ("%", Op::Remainder)];
        let operator = move |cursor: &mut Cursor<'_>| signs.iter().find(|(sign, _)| cursor.take(sign)).map(|(_, op)| *op);
        self.chain(operator, Self::signed)
    }

    fn signed(&mut self) -> Result<Expr, ParseError> {
        if !self.cursor.take("-") {
            return self.primary();
        }
        self.node()?;
        if self.cursor.rest().starts_with(|next: char| next.is_ascii_digit()) {
            return self.number(true);
        }
        self.deeper(|parser| Ok(Expr::Neg(Box::new(parser.signed()?))))
    }

    fn primary(&mut self) -> Result<Expr, ParseError> {
        self.node()?;
        if self.cursor.take("(") {
            let start = self.cursor.at - 1;
            let inner = self.or()?;
            return if self.cursor.take(")") { Ok(inner) } else { Err(self.cursor.error(start, "this `(` is never closed")) };
        }
        if let Some(text) = self.cursor.quoted('"')? {
            return Ok(Expr::Const(Val::text_of(text.into_bytes())));
        }
        if let Some(name) = self.cursor.quoted('\'')? {
            return Ok(Expr::Field(name));
        }
        if self.cursor.at_digit() || self.cursor.rest().starts_with('.') {
            return self.number(false);
        }
        let start = self.cursor.at;
        let rest = self.cursor.rest();
        let length = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '@'))).unwrap_or(rest.len());
        let word = &rest[..length];
        if word.is_empty() {
            let message = "here a value is expected: a field, a number, a \"text\", a function or a parenthesis; a field with other \
                           signs stands in single quotes";
            return Err(self.cursor.error(start, message));
        }
        self.cursor.at += length;
        if rest[length..].starts_with('(') {
            return self.call(start, word);
        }
        for (keyword, value) in [("true", Val::Bool(true)), ("false", Val::Bool(false)), ("null", Val::Null)] {
            if word.eq_ignore_ascii_case(keyword) {
                return Ok(Expr::Const(value));
            }
        }
        if ["and", "or", "not"].iter().any(|keyword| word.eq_ignore_ascii_case(keyword)) {
            return Err(self
                .cursor
                .error(start, format!("`{word}` needs something on both sides; a field of that name stands in '…'")));
        }
        Ok(Expr::Field(word.to_owned()))
    }

    /// A number, or a span of time, which is its seconds.
    fn number(&mut self, negative: bool) -> Result<Expr, ParseError> {
        let start = self.cursor.at;
        let rest = self.cursor.rest();
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let mut length = digits(rest);
        if rest[length..].starts_with('.') {
            length += 1 + digits(&rest[length + 1..]);
        }
        if rest[length..].starts_with(['e', 'E']) {
            let sign = usize::from(rest[length + 1..].starts_with(['-', '+']));
            let power = digits(&rest[length + 1 + sign..]);
            length += if power > 0 { 1 + sign + power } else { 0 };
        }
        let unit = rest[length..].find(|next: char| !next.is_alphanumeric()).unwrap_or(rest.len() - length);
        self.cursor.at += length + unit;
        let text = if negative { format!("-{}", &rest[..length]) } else { rest[..length].to_owned() };
        let wrong = || self.cursor.error(start, format!("`{}` is no number", &rest[..length + unit]));
        if unit == 0 {
            let number = crate::base::predicate::Number::parse(text.as_bytes()).ok_or_else(wrong)?;
            return Ok(Expr::Const(Val::of_number(number)));
        }
        let span: Span = rest[..length + unit].parse().map_err(|_| {
            let message = format!("`{}` is neither a number nor a span of time like `30s`, `5m`, `1h`", &rest[..length + unit]);
            self.cursor.error(start, message)
        })?;
        let ns = if negative { -span.as_ns() } else { span.as_ns() };
        #[allow(clippy::cast_precision_loss)]
        let seconds = if ns % 1_000_000_000 == 0 { Val::Int(ns / 1_000_000_000) } else { Val::float(ns as f64 / 1e9) };
        Ok(Expr::Const(seconds))
    }

    fn call(&mut self, start: usize, word: &str) -> Result<Expr, ParseError> {
        let open = self.cursor.at;
        let name = word.to_ascii_lowercase();
        let arguments = |parser: &mut Self| {
            parser.cursor.expect("(")?;
            if parser.cursor.take(")") {
                return Ok(Vec::new());
            }
            let all = parser.cursor_list()?;
            if parser.cursor.take(")") {
                Ok(all)
            } else {
                Err(parser.cursor.error(parser.cursor.at, "here `,` or `)` is expected"))
            }
        };
        if let Some(info) = find(&name) {
            let read = self.deeper(arguments)?;
            // A figure of `stats` that has a function's name.
            if read.len() == 1 && matches!(info.function, Function::Min | Function::Max) {
                return Ok(Expr::Field(self.cursor.text[start..self.cursor.at].to_owned()));
            }
            if read.len() < info.least || read.len() > info.most {
                let many = match (info.least, info.most) {
                    (1, 1) => "one argument".to_owned(),
                    (least, most) if least == most => format!("{least} arguments"),
                    (least, most) => format!("{least} to {most} arguments"),
                };
                return Err(self.cursor.error(start, format!("`{name}` takes {many}, as in `{}`", info.usage)));
            }
            return Ok(Expr::Call(info.function, read));
        }
        match name.as_str() {
            "now" => {
                self.cursor.expect("(")?;
                self.cursor.expect(")")?;
                let now = self.cursor.now_ns.ok_or_else(|| self.cursor.error(start, "there is no now here; write a time"))?;
                let text = Val::text_of(time::format(now).into_bytes());
                Ok(Expr::Call(Function::Time, vec![Expr::Const(text)]))
            }
            "match" | "in_net" => {
                self.cursor.expect("(")?;
                let one = Box::new(self.or()?);
                self.cursor.expect(",")?;
                self.cursor.blanks();
                let at = self.cursor.at;
                let text =
                    self.cursor.quoted('"')?.ok_or_else(|| self.cursor.error(at, "here a text in quotes is expected"))?;
                self.cursor.expect(")")?;
                if name == "match" {
                    let pattern = Pattern::new(&text).map_err(|message| self.cursor.error(at, message))?;
                    return Ok(Expr::Match(one, pattern));
                }
                let net = Net::parse(&text)
                    .ok_or_else(|| self.cursor.error(at, "here a network is expected, like \"10.0.0.0/8\""))?;
                Ok(Expr::InNet(one, Test::Net(net)))
            }
            figure if is_figure(figure) || figure == "count" => {
                let length = self.cursor.rest().find(')').ok_or_else(|| self.cursor.error(open, "this `(` is never closed"))?;
                self.cursor.at += length + 1;
                Ok(Expr::Field(self.cursor.text[start..self.cursor.at].to_owned()))
            }
            _ => {
                let names = FUNCTIONS.iter().map(|info| info.name).chain(SPECIAL.map(|(name, _)| name));
                Err(self.cursor.error(start, format!("there is no function `{word}`{}", meant(word, names))))
            }
        }
    }

    fn cursor_list(&mut self) -> Result<Vec<Expr>, ParseError> {
        let mut all = vec![self.or()?];
        while self.cursor.take(",") {
            all.push(self.or()?);
        }
        Ok(all)
    }
}
