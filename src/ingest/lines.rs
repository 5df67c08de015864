//! Cuts a stream of bytes into lines, whatever pieces it comes in.
//!
//! Invariants: no byte is searched twice; a line over the cap is passed over, not kept, and said to be too long once; line
//! ends are `\n` or `\r\n`. The last line needs no end.

use super::buffer::Roll;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line without its end. May be empty.
    Whole(&'a [u8]),
    /// A line that was too long; it is gone.
    TooLong,
}

/// A stream being cut into lines.
#[derive(Debug)]
pub struct Lines {
    roll: Roll,
    cap: usize,
    searched: usize,
    taken: usize,
    skipping: bool,
    number: u64,
}

impl Lines {
    /// Lines of at most `cap` bytes.
    pub fn new(cap: usize) -> Self {
        Self { roll: Roll::default(), cap, searched: 0, taken: 0, skipping: false, number: 0 }
    }

    /// Where to append `count` bytes that came.
    pub fn space(&mut self, count: usize) -> &mut Vec<u8> {
        self.settle();
        self.roll.space(count)
    }

    /// What is there of a line that has not ended.
    pub fn pending(&self) -> &[u8] {
        &self.roll.data()[self.taken.min(self.roll.data().len())..]
    }

    /// The number of the line given last, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Gives back memory that what is pending does not need.
    pub fn rest(&mut self) {
        self.settle();
        self.roll.rest();
    }

    fn settle(&mut self) {
        self.roll.consume(std::mem::take(&mut self.taken));
    }

    /// The next line; `end` says that no more will come.
    #[allow(clippy::should_implement_trait)] // it lends
    pub fn next(&mut self, end: bool) -> Option<Line<'_>> {
        self.settle();
        let found = memchr::memchr(b'\n', &self.roll.data()[self.searched..]).map(|at| self.searched + at);
        let held = self.roll.data().len();
        let Some(length) = found.or((end && (held > 0 || self.skipping)).then_some(held)) else {
            self.searched = held;
            // Two more for the line's end: only the line itself counts.
            if held > self.cap + 2 || self.skipping {
                self.roll.consume(held);
                (self.searched, self.skipping) = (0, true);
            }
            return None;
        };
        self.searched = 0;
        self.taken = length + usize::from(found.is_some());
        self.number += 1;
        let line = &self.roll.data()[..length];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if std::mem::take(&mut self.skipping) || line.len() > self.cap {
            return Some(Line::TooLong);
        }
        Some(Line::Whole(line))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(pieces: &[&[u8]], cap: usize) -> Vec<Option<Vec<u8>>> {
        let mut lines = Lines::new(cap);
        let mut out = Vec::new();
        let mut drain = |lines: &mut Lines, end| {
            while let Some(line) = lines.next(end) {
                out.push(match line {
                    Line::Whole(line) => Some(line.to_vec()),
                    Line::TooLong => None,
                });
            }
        };
        for piece in pieces {
            lines.space(piece.len()).extend_from_slice(piece);
            drain(&mut lines, false);
            assert!(lines.pending().len() <= cap + 2);
        }
        drain(&mut lines, true);
        out
    }

    #[test]
    fn lines_end_where_people_end_them() {
        let some = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(cut(&[b"a\nbb\r\n\nc"], 9), [some("a"), some("bb"), some(""), some("c")]);
        assert_eq!(cut(&[b"a\r", b"\n"], 9), [some("a")]);
        assert_eq!(cut(&[b""], 9), []);
        assert_eq!(cut(&[b"12345\n123456\n1", b"23456789", b"0\n5\n"], 5), [some("12345"), None, None, some("5")]);
        assert_eq!(cut(&[b"1234567890", b"1234567890"], 5), [None]);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "[ab\n\r]{0,60}", cuts in prop::collection::vec(0usize..60, 0..6)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|at| at.min(bytes.len())).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(cut(&pieces, 7), cut(&[bytes], 7));
        }
    }
}
