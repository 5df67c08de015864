//! Where pairs and their halves end: classes of characters, or patterns of the host.

use sawbox_guest::{Match, Pattern, PatternKind, Setup};

/// ASCII characters, as a regular expression's class in brackets has them.
#[derive(Clone, Debug)]
pub struct Class([bool; 256]);

impl Class {
    /// Reads what stands between the brackets: characters, `\t`, `\]`, ranges, and `^` in front for all others.
    ///
    /// # Errors
    /// It has a character that is not ASCII.
    pub fn new(option: &str, written: &str) -> Result<Self, String> {
        if !written.is_ascii() {
            return Err(format!(
                "`{option}` may have ASCII characters only; for others there are the options that end in `_pattern`"
            ));
        }
        let (negated, written) =
            written.strip_prefix('^').filter(|rest| !rest.is_empty()).map_or((false, written), |rest| (true, rest));
        let mut class = [false; 256];
        let mut bytes = written.bytes().peekable();
        let mut before: Option<u8> = None;
        while let Some(byte) = bytes.next() {
            let byte = match byte {
                b'\\' => match bytes.next() {
                    Some(b't') => b'\t',
                    Some(b'n') => b'\n',
                    Some(b'r') => b'\r',
                    Some(b's') => {
                        b" \t\n\r\x0b\x0c".iter().for_each(|space| class[usize::from(*space)] = true);
                        before = None;
                        continue;
                    }
                    Some(other) => other,
                    None => b'\\',
                },
                b'-' if before.is_some() && bytes.peek().is_some() => {
                    let (from, to) = (before.take().unwrap_or(0), bytes.next().unwrap_or(0));
                    (from..=to).for_each(|byte| class[usize::from(byte)] = true);
                    continue;
                }
                other => other,
            };
            class[usize::from(byte)] = true;
            before = Some(byte);
        }
        if negated {
            class.iter_mut().for_each(|is| *is = !*is);
        }
        Ok(Self(class))
    }

    /// Whether a byte is of it.
    #[inline]
    pub fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte)]
    }

    /// A text without those at its ends.
    pub fn trim<'a>(&self, mut text: &'a [u8]) -> &'a [u8] {
        while let Some((first, rest)) = text.split_first().filter(|(first, _)| self.has(**first)) {
            let _ = first;
            text = rest;
        }
        while let Some((_, rest)) = text.split_last().filter(|(last, _)| self.has(**last)) {
            text = rest;
        }
        text
    }
}

/// What ends a key or a value.
#[derive(Debug)]
pub enum Splitter {
    /// One character.
    Class(Class),
    /// What matches.
    Pattern(Pattern),
}

/// The host gave up on the text.
#[derive(Debug)]
pub struct GaveUp;

impl Splitter {
    /// Of the options `NAME` and `NAME_pattern`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new(setup: &mut Setup<'_>, option: &str, default: &str) -> Result<Self, String> {
        let config = setup.config();
        let pattern = format!("{option}_pattern");
        if config.get(&pattern).is_some() {
            let written = config.str(&pattern)?;
            if written.is_empty() {
                return Err(format!("`{pattern}` is empty"));
            }
            let compiled = setup.pattern(PatternKind::Regex, &format!("(?<split>{written})"), &[]);
            return compiled.map(Self::Pattern).map_err(|error| format!("`{pattern}`: {error}"));
        }
        let written = config.str_or(option, default)?;
        if written.is_empty() {
            return Err(format!("`{option}` is empty"));
        }
        Class::new(option, written).map(Self::Class)
    }

    /// Where it next stands, from a place on, but for where a backslash escapes it.
    ///
    /// # Errors
    /// The host gave up.
    #[inline]
    pub fn find(&mut self, text: &[u8], mut from: usize) -> Result<Option<(usize, usize)>, GaveUp> {
        match self {
            Self::Class(class) => {
                while let Some(byte) = text.get(from) {
                    if class.has(*byte) {
                        return Ok(Some((from, from + 1)));
                    }
                    from += if *byte == b'\\' { 2 } else { 1 };
                }
                Ok(None)
            }
            Self::Pattern(pattern) => loop {
                let Some(rest) = text.get(from..) else { return Ok(None) };
                let found = match pattern.find(rest) {
                    Match::NotFound => return Ok(None),
                    Match::GaveUp => return Err(GaveUp),
                    Match::Found(mut spans) => spans.next(),
                };
                // A match of nothing splits nothing.
                let Some((_, start, end)) = found.filter(|(_, start, end)| start < end) else { return Ok(None) };
                let escapes = rest[..start].iter().rev().take_while(|byte| **byte == b'\\').count();
                if escapes.is_multiple_of(2) {
                    return Ok(Some((from + start, from + end)));
                }
                from += start + 1;
            },
        }
    }
}
