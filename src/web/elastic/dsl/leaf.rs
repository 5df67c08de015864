//! Tests of one field, as both the DSL's clauses and query strings ask them.
//!
//! Every field is text and keyword at once: `match` asks for words in any case, `term` for the whole value. Of the message, which
//! is text alone, a term is a word, and patterns begin and end where words do.

use crate::base::dated::without_date;
use crate::base::predicate::{Field, Glob, Net, Piece, Predicate, Test};
use crate::base::row::TIME;
use crate::web::elastic::dates::{Dates, Stretch, is_maths};
use crate::web::elastic::dsl::names::{ID, field, field_name, is_keyword, is_text, pieces, row_of};
use crate::web::elastic::dsl::spend;

/// The time lies within a date.
fn within(stretch: &Stretch) -> Predicate {
    Predicate::time(*stretch.start(), *stretch.end())
}

/// `term`: the whole value; of the message, a word.
pub fn term(name: &str, value: &str, any_case: bool, dates: &mut Dates) -> Result<Predicate, String> {
    let own = field_name(name);
    if own == TIME {
        return dates.read(value).map(|stretch| within(&stretch));
    }
    if name == ID {
        return Ok(row_of(value));
    }
    if is_text(own) && !is_keyword(name) {
        return Ok(Predicate::words(own, value));
    }
    if any_case {
        return Predicate::regex(field(name), &format!("(?is)^(?:{})$", regex::escape(value)));
    }
    let exact = Predicate::exact(field(name), value);
    // As in an index that is asked for by its name, a date behind it says nothing.
    if own == "_topic"
        && let Some(bare) = without_date(value)
    {
        return Ok(Predicate::Or(vec![exact, Predicate::exact(field(name), bare)]));
    }
    Ok(match Net::parse(value) {
        // Of addresses, a network is a term.
        Some(net) => Predicate::Or(vec![exact, Predicate::leaf(field(name), Test::Net(net))]),
        None => exact,
    })
}

/// Words beside one another; where whole values are meant, the value.
pub fn phrase(name: &str, text: &str, dates: &mut Dates) -> Result<Predicate, String> {
    if field_name(name) == TIME || name == ID || is_keyword(name) {
        return term(name, text, false, dates);
    }
    let words = Predicate::words(field(name), text);
    Ok(match Net::parse(text).filter(|_| !is_text(field_name(name))) {
        Some(net) => Predicate::Or(vec![words, Predicate::leaf(field(name), Test::Net(net))]),
        None => words,
    })
}

/// A phrase whose last word goes on.
pub fn phrase_prefix(name: &str, text: &str) -> Predicate {
    let pieces = vec![Piece::Text(text.into()), Piece::Run];
    let glob = if is_keyword(name) { Glob::whole(pieces) } else { Glob::within(pieces) };
    Predicate::leaf(field(name), Test::Like(glob))
}

/// The words of a text.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
}

/// The field is there, or a field of the object of this name.
pub fn exists(name: &str) -> Predicate {
    match field_name(name) {
        TIME | "_topic" | ID | "_source" => Predicate::All,
        own => {
            let within = Glob::whole(vec![Piece::Text(format!("{own}.").into()), Piece::Run]);
            Predicate::or(vec![Predicate::exists(field(name)), Predicate::exists(Field::Like(within))])
        }
    }
}

/// `*` and `?`.
pub fn wildcard(name: &str, pattern: &str, any_case: bool) -> Result<Predicate, String> {
    like(name, pieces(pattern, true), any_case)
}

/// Values, or words of the message, that are like this.
pub fn like(name: &str, pieces: Vec<Piece>, any_case: bool) -> Result<Predicate, String> {
    if field_name(name) == TIME {
        return Err(format!("patterns over `{name}` are not supported; ranges are"));
    }
    let whole = is_keyword(name) || !is_text(field_name(name));
    if whole && any_case {
        let mut expression = "(?is)^".to_owned();
        for piece in &pieces {
            match piece {
                Piece::Text(text) => expression.push_str(&regex::escape(text)),
                Piece::Run => expression.push_str(".*"),
                Piece::One => expression.push('.'),
            }
        }
        expression.push('$');
        return Predicate::regex(field(name), &expression);
    }
    let glob = if whole { Glob::whole(pieces) } else { Glob::within(pieces) };
    Ok(Predicate::leaf(field(name), Test::Like(glob)))
}

/// Words that are like this, in any case; where whole values are meant, values.
pub fn like_words(name: &str, pieces: Vec<Piece>) -> Result<Predicate, String> {
    if field_name(name) == TIME || is_keyword(name) {
        return like(name, pieces, false);
    }
    Ok(Predicate::leaf(field(name), Test::Like(Glob::within(pieces))))
}

/// A regular expression in Lucene's grammar over a whole value, or over a word of the message.
pub fn regexp(name: &str, expression: &str, any_case: bool) -> Result<Predicate, String> {
    if field_name(name) == TIME {
        return Err(format!("expressions over `{name}` are not supported; ranges are"));
    }
    let inner = from_lucene(expression)?;
    let whole = is_keyword(name) || !(is_text(field_name(name)) || name.contains('*'));
    let expression = match (whole, any_case) {
        (true, false) => format!("(?s)^(?:{inner})$"),
        (true, true) => format!("(?is)^(?:{inner})$"),
        (false, _) => format!(r"(?i)\b(?:{inner})\b"),
    };
    Predicate::regex(field(name), &expression)
}

/// Lucene's expressions as ours: without anchors, and with operators of its own, which are refused.
pub fn from_lucene(expression: &str) -> Result<String, String> {
    let mut out = String::with_capacity(expression.len() + 8);
    let mut letters = expression.chars().peekable();
    let (mut class, mut open) = (false, 0usize);
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => {
                let Some(next) = letters.next() else { return Err("an expression does not end with `\\`".to_owned()) };
                if "dDsSwW".contains(next) {
                    out.push('\\');
                    out.push(next);
                } else {
                    out.push_str(&regex::escape(next.encode_utf8(&mut [0; 4])));
                }
            }
            '[' if !class => {
                class = true;
                out.push('[');
                if letters.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
            }
            ']' if class => {
                class = false;
                out.push(']');
            }
            // Two of them would take what follows from the class.
            '-' if class && out.ends_with('-') => out.push_str("\\-"),
            // What our classes would read as more than themselves.
            '[' | '&' | '~' | '^' if class => {
                out.push('\\');
                out.push(letter);
            }
            _ if class => out.push(letter),
            '^' | '$' => {
                out.push('\\');
                out.push(letter);
            }
            '@' => out.push_str(".*"),
            '(' if letters.peek() == Some(&'?') => return Err("`(?` of an expression is not supported".to_owned()),
            '(' => {
                open += 1;
                out.push('(');
            }
            // It would end what the expression is wrapped in.
            ')' if open == 0 => return Err("a `)` of an expression ends nothing".to_owned()),
            ')' => {
                open -= 1;
                out.push(')');
            }
            '~' | '&' | '<' | '#' | '"' => {
                return Err(format!("the operator `{letter}` of an expression is not supported; `\\{letter}` is the letter"));
            }
            _ => out.push(letter),
        }
    }
    Ok(out)
}

/// An end of a range: as it is written, and whether it belongs to the range.
pub type End<'a> = Option<(&'a str, bool)>;

/// A range. Dates are as long as they say: `lte` a day ends with the day.
pub fn range(name: &str, lower: End<'_>, upper: End<'_>, dates: &mut Dates) -> Result<Predicate, String> {
    if lower.is_none() && upper.is_none() {
        return Ok(exists(name));
    }
    if field_name(name) != TIME {
        if let Some((text, _)) = [lower, upper].into_iter().flatten().find(|(text, _)| is_maths(text)) {
            return Err(format!(
                "date maths (`{text}`) in a range is supported on @timestamp, not on `{name}`, which has no dates; write the date as \
                 the field has it"
            ));
        }
        return Ok(Predicate::range(field(name), lower, upper));
    }
    let from = match lower {
        None => i64::MIN,
        Some((text, true)) => *dates.read(text)?.start(),
        Some((text, false)) => dates.read(text)?.end().saturating_add(1),
    };
    let to = match upper {
        None => i64::MAX,
        Some((text, true)) => *dates.read(text)?.end(),
        Some((text, false)) => dates.read(text)?.start().saturating_sub(1),
    };
    Ok(Predicate::time(from, to))
}

/// Rows that at least so many of these keep. To choose some of several repeats each many times; every repetition counts as a test,
/// since within one another they would multiply.
pub fn at_least(needed: usize, all: Vec<Predicate>, left: &mut usize) -> Result<Predicate, String> {
    /// Most ways to choose.
    const WAYS: usize = 120;
    match needed {
        0 => Ok(Predicate::All),
        1 => Ok(Predicate::or(all)),
        needed if needed > all.len() => Ok(Predicate::none()),
        needed if needed == all.len() => Ok(Predicate::and(all)),
        needed => {
            let mut ways = 1usize;
            for at in 0..needed.min(all.len() - needed) {
                ways = ways.saturating_mul(all.len() - at) / (at + 1);
            }
            if ways > WAYS {
                return Err(format!(
                    "minimum_should_match: {needed} of {} clauses is not supported; it is {ways} combinations",
                    all.len()
                ));
            }
            let sizes: Vec<usize> = all.iter().map(size).collect();
            spend(left, chosen(needed, &sizes))?;
            Ok(choose(needed, &all))
        }
    }
}

/// How many tests there are, each counted as often as it stands there.
fn size(predicate: &Predicate) -> usize {
    let mut leaves = Vec::new();
    predicate.leaves(&mut leaves);
    leaves.len().max(1)
}

/// How many tests [`choose`] makes of clauses that have so many.
fn chosen(needed: usize, sizes: &[usize]) -> usize {
    match sizes.split_first() {
        Some((first, rest)) if needed > 1 && needed < sizes.len() => {
            first.saturating_add(chosen(needed - 1, rest)).saturating_add(chosen(needed, rest))
        }
        _ => sizes.iter().copied().fold(0, usize::saturating_add),
    }
}

fn choose(needed: usize, all: &[Predicate]) -> Predicate {
    match all.split_first() {
        _ if needed == 1 => Predicate::or(all.to_vec()),
        Some((first, rest)) if needed < all.len() => {
            let with = Predicate::And(vec![first.clone(), choose(needed - 1, rest)]);
            Predicate::Or(vec![with, choose(needed, rest)])
        }
        _ => Predicate::and(all.to_vec()),
    }
}

/// How many of so many clauses `minimum_should_match` asks for: `2`, `-1`, `75%`, `-25%`, `2<75%`.
pub fn needed(written: &str, clauses: usize) -> Result<usize, String> {
    let wrong = || format!("minimum_should_match `{written}` is not understood");
    let one = |text: &str| -> Result<usize, String> {
        let (digits, percent) = text.strip_suffix('%').map_or((text, false), |digits| (digits, true));
        let number: i64 = digits.trim().parse().map_err(|_| wrong())?;
        let of = i64::try_from(clauses).unwrap_or(i64::MAX);
        let part = if percent { of.saturating_mul(number.abs()) / 100 } else { number.abs() };
        let wanted = if number < 0 { of.saturating_sub(part) } else { part };
        Ok(usize::try_from(wanted.max(0)).unwrap_or(usize::MAX))
    };
    if !written.contains('<') {
        return one(written.trim());
    }
    // `2<75% 9<-3`: up to so many all, beyond them the last that fits.
    let mut found = clauses;
    for condition in written.split_whitespace() {
        let (above, rule) = condition.split_once('<').ok_or_else(wrong)?;
        if clauses > above.parse::<usize>().map_err(|_| wrong())? {
            found = one(rule)?;
        }
    }
    Ok(found)
}
