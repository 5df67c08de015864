//! A piece of text that every match of a regular expression must hold, where that is plain to see.
//!
//! Read off the outermost sequence of the pattern: groups, classes and optional characters are passed over; a top-level
//! alternative, a flag, or anything else that changes the meaning of characters ends the search with nothing. Wrong in one
//! direction only: it may miss a literal, and never names one that a match can lack. The regex crate must have accepted the pattern.

/// Shortest text worth searching for.
const SHORTEST: usize = 2;

/// The longest such text.
pub fn required_literal(pattern: &str) -> Option<String> {
    let mut best = String::new();
    let mut run = String::new();
    let mut chars = pattern.chars().peekable();
    let keep = |run: &mut String, best: &mut String| {
        if run.len() > best.len() {
            std::mem::swap(run, best);
        }
        run.clear();
    };
    while let Some(c) = chars.next() {
        let literal = match c {
            '|' | ')' => return None,
            '(' => {
                skip_group(&mut chars)?;
                None
            }
            '[' => skip_class(&mut chars)?,
            '\\' => match chars.next()? {
                escaped if escaped.is_ascii_punctuation() && !matches!(escaped, '<' | '>') => Some(escaped),
                // Classes and assertions of one letter; \x, \u, \p and the rest take more characters: give up.
                'd' | 'D' | 'w' | 'W' | 's' | 'S' | 'b' | 'B' | 'A' | 'z' => None,
                _ => return None,
            },
            '^' | '$' | '.' | '*' | '+' | '?' | '{' => None,
            other => Some(other),
        };
        // What follows a piece may repeat it or leave it out.
        let repeat = chars.peek().copied().filter(|next| matches!(next, '*' | '+' | '?' | '{'));
        match (literal, repeat) {
            (Some(c), None) => run.push(c),
            (Some(c), Some('+')) => {
                run.push(c);
                keep(&mut run, &mut best);
            }
            _ => keep(&mut run, &mut best),
        }
        while let Some(next) = chars.peek().copied().filter(|next| matches!(next, '*' | '+' | '?' | '{')) {
            chars.next();
            if next == '{' {
                chars.by_ref().find(|&c| c == '}')?;
            }
        }
    }
    keep(&mut run, &mut best);
    (best.len() >= SHORTEST).then_some(best)
}

/// Passes over a group; `None` where it sets flags (they may reach beyond it).
fn skip_group(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<()> {
    if chars.peek() == Some(&'?') {
        chars.next();
        if chars.next()? != ':' {
            return None;
        }
    }
    loop {
        match chars.next()? {
            '\\' => {
                chars.next()?;
            }
            '[' => {
                skip_class(chars)?;
            }
            '(' => skip_group(chars)?,
            ')' => return Some(()),
            _ => {}
        }
    }
}

/// Passes over a class; a class of one plain character is that character.
fn skip_class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Option<char>> {
    let mut inside = String::new();
    loop {
        match chars.next()? {
            // Nested classes and escapes: rare; give up.
            '[' | '\\' | '&' | '~' => return None,
            ']' if !inside.is_empty() && inside != "^" => break,
            c => inside.push(c),
        }
    }
    let mut only = inside.chars();
    Some(match (only.next(), only.next()) {
        (Some(c), None) if c != '^' => Some(c),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::required_literal;

    #[test]
    fn only_what_every_match_holds() {
        for (pattern, literal) in [
            ("gstash-mon", Some("gstash-mon")),
            ("/presentations/.*[.](png|jpg)", Some("/presentations/")),
            ("[a-z]+[0-9]{3,}[.]png", Some(".png")),
            (r"^GET /health\.txt$", Some("GET /health.txt")),
            ("abc+def", Some("abc")),
            ("abc?defg*", Some("def")),
            ("ab{0,3}cd", Some("cd")),
            ("foo|bar", None),
            ("(?i)foo", None),
            ("(?i:foo)bar", None),
            ("(?:foo|bar)bazz", Some("bazz")),
            (r"\x41bcd", None),
            (r"\bword", Some("word")),
            (r"\b{start}word\b{end}", Some("word")),
            (r"one\Bword\z", Some("word")),
            (r"\Aword\x41", None),
            (r"\d+ms took", Some("ms took")),
            ("[]a]foo", Some("foo")),
            ("[^]]foo", Some("foo")),
            ("", None),
            ("a", None),
        ] {
            assert_eq!(required_literal(pattern).as_deref(), literal, "{pattern}");
        }
    }
}
