//! Syslog over TCP: where one line ends and the next begins.
//!
//! On the wire, told apart once per connection by its first bytes (RFC 6587):
//! ```text
//! line LF                          newline framing; the last line needs no LF
//! count SP line                    octet counting; the count covers a trailing LF, if the sender adds one
//! ```
//! A connection is octet-counted if it begins with digits, a space and `<`. Anything else is lines.
//! Invariants: a line over the cap is passed over and counted, because a sender that is cut off sends it again for ever.
//! A count that is no count, or over [`COUNT`], is the end of the connection: nobody knows where the next line begins.

use crate::ingest::buffer::Roll;
use crate::ingest::lines::{Line, Lines};

/// Longest line that is passed over by its count.
pub const COUNT: usize = 64 * 1024 * 1024;

/// Bytes that are no syslog framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// Where a count should stand there is something else.
    #[error("octet counting: no count where one should be")]
    NoCount,
    /// Over [`COUNT`].
    #[error("octet counting: a line of {0} bytes")]
    TooLarge(usize),
    /// The connection ended inside a counted line.
    #[error("octet counting: the connection ended inside a line")]
    Truncated,
}

/// The framing of one connection.
#[derive(Debug)]
pub enum Framing {
    /// Not known yet.
    Unknown(Roll, usize),
    /// Lines.
    Newline(Lines),
    /// Counts.
    Counted(Counted),
}

/// Octet counting.
#[derive(Debug)]
pub struct Counted {
    roll: Roll,
    cap: usize,
    taken: usize,
    skip: usize,
}

impl Framing {
    /// At the beginning of a connection whose lines may have `cap` bytes.
    pub fn new(cap: usize) -> Self {
        Self::Unknown(Roll::default(), cap)
    }

    /// Where to append `count` bytes that came.
    pub fn space(&mut self, count: usize) -> &mut Vec<u8> {
        match self {
            Self::Unknown(roll, _) => roll.space(count),
            Self::Newline(lines) => lines.space(count),
            Self::Counted(counted) => {
                counted.settle();
                counted.roll.space(count)
            }
        }
    }

    /// The next line; `end` says that no more bytes will come.
    ///
    /// # Errors
    /// If the connection is of no more use.
    #[allow(clippy::should_implement_trait)] // it lends
    pub fn next(&mut self, end: bool) -> Result<Option<Line<'_>>, BadFrame> {
        if let Self::Unknown(roll, cap) = self {
            let Some(counted) = is_counted(roll.data(), end) else { return Ok(None) };
            let (roll, cap) = (std::mem::take(roll), *cap);
            if counted {
                *self = Self::Counted(Counted { roll, cap, taken: 0, skip: 0 });
            } else {
                let mut lines = Lines::new(cap);
                lines.space(roll.data().len()).extend_from_slice(roll.data());
                *self = Self::Newline(lines);
            }
        }
        match self {
            Self::Unknown(..) => Ok(None),
            Self::Newline(lines) => Ok(lines.next(end)),
            Self::Counted(counted) => counted.next(end),
        }
    }

    /// Whether a line has begun and not ended.
    pub fn is_inside(&self) -> bool {
        match self {
            Self::Unknown(roll, _) => !roll.data().is_empty(),
            Self::Newline(lines) => !lines.pending().is_empty(),
            Self::Counted(counted) => counted.skip > 0 || counted.roll.data().len() > counted.taken,
        }
    }

    /// Gives back memory if nothing is pending.
    pub fn rest(&mut self) {
        match self {
            Self::Unknown(roll, _) => roll.rest(),
            Self::Newline(lines) => lines.rest(),
            Self::Counted(counted) => {
                counted.settle();
                counted.roll.rest();
            }
        }
    }
}

fn is_counted(bytes: &[u8], end: bool) -> Option<bool> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match bytes.get(digits) {
        _ if bytes.first() == Some(&b'0') || digits > 8 => Some(false),
        None => (end && digits > 0).then_some(false),
        Some(b' ') if digits > 0 => match bytes.get(digits + 1) {
            None => end.then_some(false),
            Some(after) => Some(*after == b'<'),
        },
        Some(_) => Some(false),
    }
}

impl Counted {
    fn settle(&mut self) {
        self.roll.consume(std::mem::take(&mut self.taken));
    }

    fn next(&mut self, end: bool) -> Result<Option<Line<'_>>, BadFrame> {
        self.settle();
        if self.skip == 0 {
            // Some senders end a counted line with an LF that they did not count.
            let ends = self.roll.data().iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
            self.roll.consume(ends);
            let Some((head, count)) = count(self.roll.data())? else {
                return if end && !self.roll.data().is_empty() { Err(BadFrame::Truncated) } else { Ok(None) };
            };
            if count <= self.cap + 2 {
                let Some(line) = self.roll.data().get(head..head + count) else {
                    return if end { Err(BadFrame::Truncated) } else { Ok(None) };
                };
                self.taken = head + count;
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                return Ok(Some(Line::Whole(line.strip_suffix(b"\r").unwrap_or(line))));
            }
            self.roll.consume(head);
            self.skip = count;
        }
        let passed = self.skip.min(self.roll.data().len());
        self.roll.consume(passed);
        self.skip -= passed;
        match (self.skip, end) {
            (0, _) => Ok(Some(Line::TooLong)),
            (_, true) => Err(BadFrame::Truncated),
            (_, false) => Ok(None),
        }
    }
}

/// The count at the beginning of these bytes, and how long it is with its space; nothing if it is not all there.
fn count(bytes: &[u8]) -> Result<Option<(usize, usize)>, BadFrame> {
    let digits = bytes.iter().take(9).take_while(|byte| byte.is_ascii_digit()).count();
    match bytes.get(digits) {
        None => return Ok(None),
        Some(b' ') if digits > 0 => {}
        Some(_) => return Err(BadFrame::NoCount),
    }
    let count = bytes[..digits].iter().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
    if count > COUNT { Err(BadFrame::TooLarge(count)) } else { Ok(Some((digits + 1, count))) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(pieces: &[&[u8]], cap: usize) -> (Vec<String>, Option<BadFrame>) {
        let mut framing = Framing::new(cap);
        let mut out = Vec::new();
        for (piece, end) in pieces.iter().map(|piece| (*piece, false)).chain([(&b""[..], true)]) {
            framing.space(piece.len()).extend_from_slice(piece);
            loop {
                match framing.next(end) {
                    Ok(Some(Line::Whole(line))) => out.push(String::from_utf8_lossy(line).into_owned()),
                    Ok(Some(Line::TooLong)) => out.push("!".into()),
                    Ok(None) => break,
                    Err(error) => return (out, Some(error)),
                }
            }
        }
        (out, None)
    }

    #[test]
    fn both_framings_are_told_apart() {
        for (bytes, lines, error) in [
            (&b"<13>a\n<13>b\n"[..], &["<13>a", "<13>b"][..], None),
            (b"<13>a\n<13>b", &["<13>a", "<13>b"], None),
            (b"5 <13>a5 <13>b", &["<13>a", "<13>b"], None),
            // The count covers the trailing LF.
            (b"6 <13>a\n6 <13>b\n", &["<13>a", "<13>b"], None),
            // Or does not.
            (b"5 <13>a\n5 <13>b\n", &["<13>a", "<13>b"], None),
            // A newline inside a counted line stays.
            (b"7 <13>a\nb5 <13>c", &["<13>a\nb", "<13>c"], None),
            // Lines that begin with digits are lines.
            (b"2026 was a year\n17\n", &["2026 was a year", "17"], None),
            (b"123456789 <13>x\n", &["123456789 <13>x"], None),
            (b"0 <13>x\n", &["0 <13>x"], None),
            (b"42", &["42"], None),
            (b"42 ", &["42 "], None),
            (b"", &[], None),
            (b"5 <13>ax <13>b", &["<13>a"], Some(BadFrame::NoCount)),
            (b"5 <13>a99", &["<13>a"], Some(BadFrame::Truncated)),
            (b"5 <13>a99 <", &["<13>a"], Some(BadFrame::Truncated)),
            (b"99999999 <13>a", &[], Some(BadFrame::TooLarge(99_999_999))),
            (b"14 <13>0123456789 5 <13>b", &["!"], Some(BadFrame::NoCount)),
            (b"14 <13>01234567895 <13>b", &["!", "<13>b"], None),
        ] {
            let text = String::from_utf8_lossy(bytes);
            let (got, wrong) = cut(&[bytes], if text.starts_with("14") { 10 } else { 64 });
            assert_eq!((got.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), wrong), (lines, error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "([0-9]{0,2} ?<1>[ab\n]{0,9}){0,5}", cuts in prop::collection::vec(0usize..60, 0..6)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|at| at.min(bytes.len())).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(cut(&pieces, 7), cut(&[bytes], 7));
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = cut(&[&bytes], 32);
            let _ = cut(&[b"5 <13>a", &bytes], 32);
        }
    }
}
