//! Cuts a JSON body that begins with an array into the array's elements, whatever pieces it comes in.
//!
//! Bodies are as large as senders like, a batch is not: so an array is taken apart while it comes, and one element, and what is on
//! its way, is all that is held. What stands behind the array is cut likewise: more arrays, or values on their own.
//! Invariants: no byte is looked at twice; only strings, brackets and commas are told apart, so an element may be no JSON: whoever
//! takes it parses it. An element over the cap is passed over, not kept, and said to be too long once. Where commas or brackets
//! do not fit nobody knows what is what from there on: the end.

use super::buffer::Roll;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element<'a> {
    /// An element, without what is around it.
    Whole(&'a [u8]),
    /// One that was too long; it is gone.
    TooLong,
    /// The rest makes no sense, and why.
    Broken(&'static str),
}

/// Where in a value it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before a value.
    Before,
    /// Behind a value of the array.
    Behind,
    /// In a number or a word.
    Word,
    /// In a string, and whether the next byte is escaped.
    Text(bool),
    /// In an object or array.
    Tree,
    /// Behind what makes no sense.
    Lost,
}

/// A stream being cut into elements.
#[derive(Debug)]
pub struct Elements {
    roll: Roll,
    cap: usize,
    place: Place,
    /// Within the array that the body is.
    inside: bool,
    /// A value must follow: a comma stands before.
    due: bool,
    /// Brackets open within the value, and whether a string is open there.
    depth: u32,
    text: Option<bool>,
    /// Bytes of the value so far, or before it what was looked at.
    searched: usize,
    taken: usize,
    skipping: bool,
    number: u64,
}

impl Elements {
    /// Elements of at most `cap` bytes.
    pub fn new(cap: usize) -> Self {
        let (place, text) = (Place::Before, None);
        let (inside, due, skipping) = (false, false, false);
        Self { roll: Roll::default(), cap, place, inside, due, depth: 0, text, searched: 0, taken: 0, skipping, number: 0 }
    }

    /// Where to append `count` bytes that came.
    pub fn space(&mut self, count: usize) -> &mut Vec<u8> {
        self.settle();
        self.roll.space(count)
    }

    /// Bytes of an element that has not ended.
    pub fn pending(&self) -> usize {
        self.roll.data().len().saturating_sub(self.taken)
    }

    /// Gives back memory that what has not ended does not need.
    pub fn rest(&mut self) {
        self.settle();
        self.roll.rest();
    }

    /// Whether all that came was given.
    pub fn is_done(&self) -> bool {
        self.pending() == 0
    }

    /// The number of the element given last, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    fn settle(&mut self) {
        self.roll.consume(std::mem::take(&mut self.taken));
    }

    /// The next element; `end` says that no more will come.
    #[allow(clippy::should_implement_trait)] // it lends
    pub fn next(&mut self, end: bool) -> Option<Element<'_>> {
        self.settle();
        match self.find(end) {
            Found::Nothing => {
                let held = self.roll.data().len();
                let within = !matches!(self.place, Place::Before | Place::Behind | Place::Lost);
                if !within || held > self.cap || self.skipping {
                    self.skipping = within;
                    self.roll.consume(held);
                    self.searched = 0;
                }
                None
            }
            Found::Broken(why) => {
                self.place = Place::Lost;
                self.number += 1;
                Some(Element::Broken(why))
            }
            Found::Value { from, to } => {
                self.number += 1;
                (self.taken, self.searched) = (to, 0);
                self.place = if self.inside { Place::Behind } else { Place::Before };
                self.due = false;
                if std::mem::take(&mut self.skipping) || to - from > self.cap {
                    return Some(Element::TooLong);
                }
                Some(Element::Whole(&self.roll.data()[from..to]))
            }
        }
    }

    /// Goes on to the end of a value.
    fn find(&mut self, end: bool) -> Found {
        let mut from = 0;
        let data = self.roll.data();
        while let Some(byte) = data.get(self.searched).copied() {
            self.searched += 1;
            match self.place {
                Place::Lost => {}
                Place::Before | Place::Behind if byte.is_ascii_whitespace() => {}
                Place::Before if byte == b'[' && !self.inside => self.inside = true,
                Place::Before | Place::Behind if byte == b']' && self.inside && !self.due => {
                    (self.inside, self.place) = (false, Place::Before);
                }
                Place::Behind if byte == b',' => (self.place, self.due) = (Place::Before, true),
                Place::Behind => return Found::Broken("between two elements a comma is missing"),
                Place::Before => {
                    from = self.searched - 1;
                    self.place = match byte {
                        b'"' => Place::Text(false),
                        b'{' | b'[' => {
                            (self.depth, self.text) = (1, None);
                            Place::Tree
                        }
                        b',' | b']' | b'}' | b':' => return Found::Broken("a value is missing"),
                        _ => Place::Word,
                    };
                    // What stands before it is done with: the value begins the buffer.
                    self.roll.consume(from);
                    self.searched = 1;
                    return self.find(end);
                }
                Place::Text(true) => self.place = Place::Text(false),
                Place::Text(false) if byte == b'\\' => self.place = Place::Text(true),
                Place::Text(false) if byte == b'"' => return Found::Value { from, to: self.searched },
                Place::Text(false) => {}
                Place::Word if byte.is_ascii_whitespace() || matches!(byte, b',' | b']' | b'}' | b'[' | b'{' | b'"') => {
                    return Found::Value { from, to: self.searched - 1 };
                }
                Place::Word => {}
                Place::Tree => match (self.text, byte) {
                    (Some(true), _) => self.text = Some(false),
                    (Some(false), b'\\') => self.text = Some(true),
                    (Some(false), b'"') => self.text = None,
                    (Some(false), _) => {}
                    (None, b'"') => self.text = Some(false),
                    (None, b'{' | b'[') => self.depth = self.depth.saturating_add(1),
                    (None, b'}' | b']') => {
                        self.depth -= 1;
                        if self.depth == 0 {
                            return Found::Value { from, to: self.searched };
                        }
                    }
                    (None, _) => {}
                },
            }
        }
        match self.place {
            Place::Word if end && !self.inside => Found::Value { from, to: self.searched },
            Place::Text(_) | Place::Tree | Place::Word if end => Found::Broken("it ends inside a value"),
            Place::Before | Place::Behind if end && self.inside => Found::Broken("the array does not end"),
            _ => Found::Nothing,
        }
    }
}

enum Found {
    Nothing,
    Value { from: usize, to: usize },
    Broken(&'static str),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(pieces: &[&[u8]], cap: usize) -> Vec<String> {
        let mut elements = Elements::new(cap);
        let mut out = Vec::new();
        let mut drain = |elements: &mut Elements, end| {
            while let Some(element) = elements.next(end) {
                out.push(match element {
                    Element::Whole(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                    Element::TooLong => "too long".to_owned(),
                    Element::Broken(why) => format!("broken: {why}"),
                });
            }
        };
        for piece in pieces {
            elements.space(piece.len()).extend_from_slice(piece);
            drain(&mut elements, false);
            assert!(elements.pending() <= cap, "{} bytes held", elements.pending());
        }
        drain(&mut elements, true);
        out
    }

    #[test]
    fn an_array_is_taken_apart() {
        for (body, wanted) in [
            ("[]", &[][..]),
            (" [ ] ", &[]),
            ("[1]", &["1"]),
            ("[1, 2 ,\n3]", &["1", "2", "3"]),
            (r#"[{"a":[1,"]"]},"x,\"]",[2]]"#, &[r#"{"a":[1,"]"]}"#, r#""x,\"]""#, "[2]"]),
            ("[1]\n[2,3]\n{\"a\":4}\n5", &["1", "2", "3", "{\"a\":4}", "5"]),
            ("[true,null", &["true", "broken: it ends inside a value"]),
            ("[true,", &["true", "broken: the array does not end"]),
            ("[1 2]", &["1", "broken: between two elements a comma is missing"]),
            ("[1,,2]", &["1", "broken: a value is missing"]),
            ("[1,]", &["1", "broken: a value is missing"]),
            ("[{]", &["{]", "broken: the array does not end"]),
            ("[\"a", &["broken: it ends inside a value"]),
            ("[}", &["broken: a value is missing"]),
            ("[[1,2,3,4,5,6,7,8,9,10,11],1]", &["too long", "1"]),
            (r#"["\\",1]"#, &[r#""\\""#, "1"]),
        ] {
            assert_eq!(cut(&[body.as_bytes()], 20), wanted, "{body}");
        }
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in r#"\[?[\[\]{},"\\ a1]{0,60}"#, cuts in prop::collection::vec(0usize..60, 0..6)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|at| at.min(bytes.len())).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(cut(&pieces, 64), cut(&[bytes], 64));
        }

        #[test]
        fn what_json_says_is_what_comes(all in prop::collection::vec("[a-z\\[\\],\"\\\\{} ]{0,12}", 0..8)) {
            let values: Vec<String> = all.iter().map(|text| serde_json::json!({ "t": text }).to_string()).collect();
            prop_assert_eq!(cut(&[format!("[{}]", values.join(" ,")).as_bytes()], 200), values);
        }
    }
}
