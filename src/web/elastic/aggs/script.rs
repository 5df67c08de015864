//! Small expressions over numbers of buckets: `params.a / params.b * 100`, `params.count > 10 && params.p99 < 1.5`.
//!
//! ```text
//! expression = or ["?" expression ":" expression]
//! or = and { "||" and }     and = comparison { "&&" comparison }     comparison = sum [("<"|"<="|">"|">="|"=="|"!=") sum]
//! sum = product { ("+"|"-") product }     product = sign { ("*"|"/"|"%") sign }     sign = ["-"|"!"] sign | atom
//! atom = number | "params." name | "params['" name "']" | "(" expression ")"
//! ```
//! True is 1. Anything else is refused: this is no scripting language.

/// Longest expression.
const BYTES: usize = 4096;
/// Deepest nesting.
const DEPTH: usize = 64;

/// An expression, understood.
#[derive(Clone, Debug, PartialEq)]
pub enum Script {
    Number(f64),
    Param(String),
    Not(Box<Script>),
    Minus(Box<Script>),
    Two(Operator, Box<Script>, Box<Script>),
    Choice(Box<(Script, Script, Script)>),
}

/// An operator between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Plus,
    Minus,
    Times,
    Over,
    Rest,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
    And,
    Or,
}

/// By how tightly they bind; longer ones stand before those they begin with.
const LEVELS: [&[(&str, Operator)]; 5] = [
    &[("||", Operator::Or)],
    &[("&&", Operator::And)],
    &[
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ],
    &[("+", Operator::Plus), ("-", Operator::Minus)],
    &[("*", Operator::Times), ("/", Operator::Over), ("%", Operator::Rest)],
];

impl Script {
    /// Reads one.
    pub fn read(written: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!("the script `{written}` is not supported: {why}; numbers, params.x, + - * / % and comparisons are")
        };
        if written.len() > BYTES {
            return Err(format!("a script has at most {BYTES} bytes"));
        }
        let text = written.trim().trim_end_matches(';').trim();
        let text = text.strip_prefix("return ").unwrap_or(text);
        let mut parser = Parser { rest: text, depth: 0 };
        let script = parser.expression().map_err(|why| wrong(&why))?;
        parser.blanks();
        if parser.rest.is_empty() { Ok(script) } else { Err(wrong(&format!("`{}` is not understood", parser.next_word()))) }
    }

    /// Its value; a parameter that is not there is none.
    pub fn value(&self, param: &dyn Fn(&str) -> f64) -> f64 {
        let truth = |yes: bool| if yes { 1.0 } else { 0.0 };
        match self {
            Self::Number(number) => *number,
            Self::Param(name) => param(name),
            Self::Not(one) => truth(one.value(param) == 0.0),
            Self::Minus(one) => -one.value(param),
            Self::Choice(choice) => {
                let (condition, yes, no) = &**choice;
                if condition.value(param) == 0.0 { no.value(param) } else { yes.value(param) }
            }
            Self::Two(operator, a, b) => {
                let (a, b) = (a.value(param), b.value(param));
                match operator {
                    Operator::Plus => a + b,
                    Operator::Minus => a - b,
                    Operator::Times => a * b,
                    Operator::Over => a / b,
                    Operator::Rest => a % b,
                    Operator::Less => truth(a < b),
                    Operator::LessOrEqual => truth(a <= b),
                    Operator::Greater => truth(a > b),
                    Operator::GreaterOrEqual => truth(a >= b),
                    Operator::Equal => truth(a == b),
                    Operator::NotEqual => truth(a != b),
                    Operator::And => truth(a != 0.0 && b != 0.0),
                    Operator::Or => truth(a != 0.0 || b != 0.0),
                }
            }
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl Parser<'_> {
    fn blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn next_word(&self) -> String {
        self.rest.chars().take(20).collect()
    }

    fn take(&mut self, sign: &str) -> bool {
        self.blanks();
        let rest = self.rest.strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expression(&mut self) -> Result<Script, String> {
        self.deeper(|parser| {
            let first = parser.level(0)?;
            if !parser.take("?") {
                return Ok(first);
            }
            let yes = parser.expression()?;
            if !parser.take(":") {
                return Err("a `:` is missing".to_owned());
            }
            let no = parser.expression()?;
            Ok(Script::Choice(Box::new((first, yes, no))))
        })
    }

    fn deeper(&mut self, read: impl FnOnce(&mut Self) -> Result<Script, String>) -> Result<Script, String> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err("it is too deep".to_owned());
        }
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn level(&mut self, at: usize) -> Result<Script, String> {
        let Some(operators) = LEVELS.get(at) else { return self.sign() };
        let mut left = self.level(at + 1)?;
        let mut length = 0;
        while let Some((_, operator)) = operators.iter().find(|(sign, _)| self.take(sign)) {
            // The tree leans left as deep as this.
            length += 1;
            if length > DEPTH {
                return Err("it is too long".to_owned());
            }
            left = Script::Two(*operator, Box::new(left), Box::new(self.level(at + 1)?));
        }
        Ok(left)
    }

    fn sign(&mut self) -> Result<Script, String> {
        if self.take("-") {
            return self.deeper(Self::sign).map(|one| Script::Minus(Box::new(one)));
        }
        if self.take("!") {
            return self.deeper(Self::sign).map(|one| Script::Not(Box::new(one)));
        }
        self.atom()
    }

    fn atom(&mut self) -> Result<Script, String> {
        if self.take("(") {
            let inner = self.expression()?;
            return if self.take(")") { Ok(inner) } else { Err("a `)` is missing".to_owned()) };
        }
        if self.take("params") {
            let name = if self.take(".") {
                let end = self.rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(self.rest.len());
                let (name, rest) = self.rest.split_at(end);
                self.rest = rest;
                name.to_owned()
            } else if self.take("['") || self.take("[\"") {
                let end = self.rest.find(['\'', '"']).unwrap_or(self.rest.len());
                let (name, rest) = self.rest.split_at(end);
                self.rest = rest.get(1..).unwrap_or("");
                if !self.take("]") {
                    return Err("a `]` is missing".to_owned());
                }
                name.to_owned()
            } else {
                String::new()
            };
            return if name.is_empty() { Err("`params` wants a name".to_owned()) } else { Ok(Script::Param(name)) };
        }
        for (word, value) in [("true", 1.0), ("false", 0.0)] {
            if self.take(word) {
                return Ok(Script::Number(value));
            }
        }
        self.blanks();
        let bytes = self.rest.as_bytes();
        let mut end = 0;
        while let Some(byte) = bytes.get(end) {
            let exponent = matches!(byte, b'+' | b'-') && end > 0 && matches!(bytes[end - 1], b'e' | b'E');
            if !(byte.is_ascii_digit() || *byte == b'.' || (matches!(byte, b'e' | b'E') && end > 0) || exponent) {
                break;
            }
            end += 1;
        }
        let (number, rest) = self.rest.split_at(end);
        // Java's ways to say of what size a number is.
        let number: f64 = number.parse().map_err(|_| format!("`{}` is not understood", self.next_word()))?;
        self.rest = rest.strip_prefix(['f', 'd', 'L', 'F', 'D']).unwrap_or(rest);
        Ok(Script::Number(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(written: &str, expected: f64) {
        let script = Script::read(written).unwrap_or_else(|why| panic!("{why}"));
        let found = script.value(&|name| match name {
            "a" => 6.0,
            "b" => 4.0,
            _ => f64::NAN,
        });
        assert_eq!(found, expected, "{written}");
    }

    #[test]
    fn arithmetic_is_as_everywhere() {
        check("params.a / params.b * 100", 150.0);
        check("params.a - params.b - 1", 1.0);
        check("2 + 3 * -params.b", -10.0);
        check("(2 + 3) * params['b'] % 3", 2.0);
        check("params.a > params.b && !(params.b >= 5)", 1.0);
        check("params.a < 5 || params.b == 4 ? 1.5e1 : 0", 15.0);
        check("return params.a;", 6.0);
    }

    #[test]
    fn anything_more_is_refused() {
        for script in
            ["Math.max(params.a, 1)", "params", "params.a +", "doc['x'].value", "1 2", "", "x", "params.a = 3", "(1", "1.2.3"]
        {
            assert!(Script::read(script).is_err(), "{script}");
        }
        assert!(Script::read(&"(".repeat(5000)).is_err());
        assert!(Script::read(&"-".repeat(4000)).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_harms(text in "(params[.a]{0,3}|[-+*/%()<>=!&|?:. 0-9e'\\[\\]]){0,60}|\\PC{0,40}") {
            if let Ok(script) = Script::read(&text) {
                script.value(&|_| 1.0);
            }
        }
    }
}
