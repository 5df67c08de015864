//! `simple_query_string`: words, `"phrases"`, `begin*`, `+`, `|`, `-` and parentheses. No text is wrong; signs that make no sense are
//! passed over. Operators bind from left to right.

use super::lex::Letters;
use super::{Defaults, TEXT_BYTES};
use crate::base::predicate::Predicate;
use crate::web::elastic::dsl::{DEPTH, PATTERN, leaf};

/// Reads a query.
///
/// # Errors
/// It is too long or too deep.
pub fn query(written: &str, defaults: &mut Defaults) -> Result<Predicate, String> {
    if written.len() > TEXT_BYTES {
        return Err(format!("a query has at most {TEXT_BYTES} bytes"));
    }
    let mut letters = Letters::new(written);
    let mut found = Vec::new();
    let least = defaults.least.take();
    while letters.peek().is_some() {
        // A `)` that closes nothing is passed over.
        found.extend(clauses(&mut letters, defaults, 0)?);
        letters.take(")");
    }
    // Of alternatives at the top, as many as are asked for.
    if let (Some(least), [Predicate::Or(may)]) = (&least, found.as_slice()) {
        let needed = leaf::needed(least, may.len())?.max(1);
        return leaf::at_least(needed, may.clone(), &mut defaults.left);
    }
    Ok(if found.is_empty() {
        Predicate::none()
    } else if defaults.all {
        Predicate::and(found)
    } else {
        Predicate::or(found)
    })
}

fn clauses(letters: &mut Letters<'_>, defaults: &mut Defaults, depth: usize) -> Result<Option<Predicate>, String> {
    if depth > DEPTH {
        return Err(format!("parentheses stand at most {DEPTH} deep"));
    }
    let mut found: Option<Predicate> = None;
    // Neighbours of one operator lie side by side, so that a long text makes no deep tree.
    let mut last: Option<bool> = None;
    loop {
        letters.blanks();
        let mut all = defaults.all;
        let mut not = false;
        while let Some(sign) = letters.peek().filter(|sign| "+|-".contains(*sign)) {
            letters.next();
            letters.blanks();
            match sign {
                '+' => all = true,
                '|' => all = false,
                _ => not = !not,
            }
        }
        let clause = match letters.peek() {
            None | Some(')') => return Ok(found),
            Some('(') => {
                letters.next();
                let inner = clauses(letters, defaults, depth + 1)?;
                letters.take(")");
                inner
            }
            Some('"') => {
                let start = letters.at;
                let text = letters.enclosed('"').unwrap_or_else(|| {
                    letters.at = start + 1;
                    word(letters)
                });
                near(letters)?;
                asked(defaults, &text, false)?
            }
            Some(_) => {
                let text = word(letters);
                near(letters)?;
                let begins = text.strip_suffix('*').filter(|text| !text.is_empty());
                if text == "*" { Some(Predicate::All) } else { asked(defaults, begins.unwrap_or(&text), begins.is_some())? }
            }
        };
        let Some(clause) = clause else { continue };
        let clause = if not { clause.negate() } else { clause };
        found = Some(match found {
            None => clause,
            Some(Predicate::And(mut side)) if all && last == Some(true) => {
                side.push(clause);
                Predicate::And(side)
            }
            Some(Predicate::Or(mut side)) if !all && last == Some(false) => {
                side.push(clause);
                Predicate::Or(side)
            }
            Some(before) if last.is_some() && last != Some(all) && nesting(&before) > DEPTH => {
                return Err(format!("operators alternate at most {DEPTH} times"));
            }
            Some(before) if all => Predicate::And(vec![before, clause]),
            Some(before) => Predicate::Or(vec![before, clause]),
        });
        last = found.as_ref().and_then(|found| match found {
            Predicate::And(_) => Some(true),
            Predicate::Or(_) => Some(false),
            _ => None,
        });
    }
}

/// How deep a tree is on its left side, which grows.
fn nesting(predicate: &Predicate) -> usize {
    let mut depth = 0;
    let mut at = predicate;
    while let Predicate::And(side) | Predicate::Or(side) = at {
        depth += 1;
        let Some(first) = side.first() else { break };
        at = first;
    }
    depth
}

fn word(letters: &mut Letters<'_>) -> String {
    let mut text = String::new();
    while let Some(letter) = letters.peek().filter(|letter| !letter.is_whitespace() && !"()|\"~".contains(*letter)) {
        letters.next();
        if letter == '\\' {
            text.extend(letters.next());
        } else {
            text.push(letter);
        }
    }
    text
}

fn near(letters: &mut Letters<'_>) -> Result<(), String> {
    if letters.take("~") { Err("`~` (fuzzy or near) is not supported".to_owned()) } else { Ok(()) }
}

fn asked(defaults: &mut Defaults, text: &str, begins: bool) -> Result<Option<Predicate>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let test = |field: &str, dates: &mut crate::web::elastic::dates::Dates| {
        if begins { Ok(leaf::phrase_prefix(field, text)) } else { leaf::phrase(field, text, dates) }
    };
    defaults.any_field(if begins { PATTERN } else { 1 }, test).map(Some)
}
