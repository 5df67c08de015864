//! What the command line shows, on either output: records, names and reasons that others sent must not act on the terminal of
//! who looks at them.
//!
//! Invariants: no control character (C0, DEL, C1) but tab and newline reaches an output; it is written as JSON writes it, like
//! `\u001b`, so that JSON stays the same value. [`line`] is for a value that must not begin a line of its own, either: whoever
//! chooses a group's name does not write the table's next row. In this house `println!` and its like are those of `mod.rs`, which
//! go through here. Only [`redraw`] tells the terminal anything.
//! Limits: characters that only look like others are let through. What `store export` writes into a file or a pipe is left as it is.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::sync::OnceLock;

/// Why standard output took no more.
static FAILED: OnceLock<io::Error> = OnceLock::new();

/// Lets control characters through in writing only.
#[derive(Debug)]
pub struct Tame<W> {
    to: W,
    /// The first of the two bytes of which a C1 character is made was written, and is held back.
    is_half: bool,
}

impl<W: Write> Tame<W> {
    /// What is written to this goes on to `to`.
    pub fn new(to: W) -> Self {
        Self { to, is_half: false }
    }
}

impl<W: Write> Write for Tame<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut fine = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            let is_second = std::mem::take(&mut self.is_half);
            let is_held = byte == 0xc2;
            let is_control = match byte {
                b'\n' | b'\t' => false,
                0x80..=0x9f => is_second,
                _ => byte < b' ' || byte == 0x7f,
            };
            if is_second && !is_control {
                self.to.write_all(&[0xc2])?;
            }
            if is_control || is_held {
                self.to.write_all(bytes.get(fine..at).unwrap_or_default())?;
                fine = at + 1;
            }
            if is_control {
                write!(self.to, "\\u{byte:04x}")?;
            }
            self.is_half = is_held;
        }
        self.to.write_all(bytes.get(fine..).unwrap_or_default())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// A text of others within a line.
pub fn line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push('\t'),
            // Writing to a string does not fail.
            _ if character.is_control() => drop(write!(line, "\\u{:04x}", u32::from(character))),
            _ => line.push(character),
        }
    }
    line
}

/// Standard output, for who writes much.
pub fn stdout() -> impl Write {
    Tame::new(io::BufWriter::new(io::stdout().lock()))
}

/// What `println!` does here. Where nobody takes it, [`finish`] says so.
pub fn say(text: fmt::Arguments<'_>) {
    if let Err(error) = Tame::new(io::stdout().lock()).write_fmt(text) {
        let _ = FAILED.set(error);
    }
}

/// What `eprintln!` does here.
pub fn tell(text: fmt::Arguments<'_>) {
    // There is nowhere else to tell it.
    let _ = Tame::new(io::stderr().lock()).write_fmt(text);
}

/// Puts this in place of the line of standard error, which is a terminal, that was drawn before.
pub fn redraw(text: &str) {
    let mut terminal = io::stderr().lock();
    let _ = write!(terminal, "\r\x1b[K{}", line(text)).and_then(|()| terminal.flush());
}

/// Whether all that was said has reached standard output.
///
/// # Errors
/// The first that did not.
pub fn finish() -> io::Result<()> {
    io::stdout().flush()?;
    FAILED.get().map_or(Ok(()), |error| Err(io::Error::new(error.kind(), error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::{Tame, line};
    use std::io::Write;

    #[test]
    fn control_characters_are_written_not_sent() {
        let text = "a\x1b]0;pwn\x07\tß\u{9b}31m\u{7f}\u{80}\u{a0}Â\r\nend\0";
        let tamed = "a\\u001b]0;pwn\\u0007\tß\\u009b31m\\u007f\\u0080\u{a0}Â\\u000d\nend\\u0000";
        // However it is cut.
        for length in 1..=text.len() {
            let mut out = Tame::new(Vec::new());
            text.as_bytes().chunks(length).for_each(|chunk| out.write_all(chunk).unwrap());
            assert_eq!(String::from_utf8(out.to).unwrap(), tamed, "{length}");
        }
        assert_eq!(line(text), tamed.replace("\\u000d", "\\r").replace('\n', "\\n"));
    }

    #[test]
    fn json_stays_the_same_value() {
        let value = serde_json::json!({ "message\u{85}": "\u{7f}\u{9b}31m\x1b Â\u{a0}" });
        let mut out = Tame::new(Vec::new());
        write!(out, "{value:#}").unwrap();
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&out.to).unwrap(), value);
        assert!(!String::from_utf8(out.to).unwrap().chars().any(|c| c.is_control() && c != '\n'));
    }
}
