//! Searching texts that are split into shapes and values (`part/split.rs`): the shapes first.
//!
//! A test is put to every shape, once a source. Where what it looks for lies in what all texts of a shape have in common, they all
//! pass; where it could neither lie there nor reach into a value, none does. Only texts of the other shapes, and those that are
//! stored as they are, are made and asked.

use super::bits::Bits;
use super::search::select_text;
use super::view::GroupView;
use crate::base::predicate::{Needle, Test, Words};
use crate::store::part::shape::{CLASSES, Shapes, spelling};
use crate::store::part::split::Split;
use crate::store::source::{Chunk, Kind, Source};

/// No text passes.
const NONE: u8 = 0;
/// Every text passes.
const ALL: u8 = 1;
/// Texts have to be asked.
const SOME: u8 = 2;
/// Codes that are looked at together; 64 are a multiple.
const TOGETHER: usize = 16;

/// What a test says of the texts of each shape of a column.
#[derive(Debug)]
pub struct Verdicts {
    /// By [`Split::codes`]; nothing of texts that are stored as they are.
    by_code: Vec<u8>,
    /// The least of the codes of which something is said, and how far the greatest is from it.
    said: Option<(u32, u32)>,
}

impl Verdicts {
    /// Puts a test to the shapes of a column, if it has some.
    pub fn of(test: &Test, source: &dyn Source, column: usize) -> Option<Self> {
        let shapes = source.shapes(column).ok().flatten()?;
        let mut by_code = vec![NONE; 2];
        by_code.extend(judge(test, &shapes));
        let mut said = (0u32..).zip(&by_code).filter(|(_, said)| **said != NONE).map(|(code, _)| code);
        let said = said.next().map(|least| (least, said.last().map_or(0, |greatest| greatest - least)));
        Some(Self { by_code, said })
    }

    /// Rows of `among` that pass by their shapes or as they are stored, and the texts of those that have to be asked; `None` where
    /// the texts of the group are not split, or most have to be asked.
    pub fn select(&self, test: &Test, view: &GroupView<'_>, column: usize, among: &Bits) -> Option<(Bits, Option<Chunk>)> {
        let Split { codes, ends, bytes } = view.source.split(view.group, column).ok().flatten()?;
        let said = |code: u32| self.by_code.get(code as usize).copied().unwrap_or(SOME);
        let mut seen = NONE;
        let mut words = vec![0u64; codes.len().div_ceil(64)];
        if let Some((least, span)) = self.said {
            for (at, codes) in codes.chunks(TOGETHER).enumerate() {
                // Without a branch for each: shapes of one beginning have codes beside one another, and most rows have others.
                if !codes.iter().fold(false, |any, code| any | (code.wrapping_sub(least) <= span)) {
                    continue;
                }
                let mut bits = 0;
                for (bit, code) in codes.iter().enumerate() {
                    let said = said(*code);
                    bits |= u64::from(said & ALL) << bit;
                    seen |= said;
                }
                words[at * TOGETHER / 64] |= bits << (at * TOGETHER % 64);
            }
        }
        let stored = select_text(test, Kind::Str, &ends, &bytes, &Bits::all(ends.len()));
        if !stored.is_empty() {
            let rows = codes.iter().enumerate().filter(|(_, code)| **code == 1);
            rows.enumerate().filter(|(at, _)| stored.has(*at)).for_each(|(_, (row, _))| words[row / 64] |= 1 << (row % 64));
        }
        let mut all = among.clone();
        all.and_words(&words);
        if seen & SOME == 0 {
            return Some((all, None));
        }
        let some = Bits::fill(among, |row| codes.get(row).is_some_and(|code| said(*code) == SOME));
        match some.count() {
            0 => Some((all, None)),
            asked if asked * 2 > view.rows => None,
            _ => {
                let texts = view.source.split_texts(view.group, column, some.words()).ok().flatten()?;
                Some((all, Some(texts)))
            }
        }
    }
}

/// What a test says of each shape.
fn judge(test: &Test, shapes: &Shapes) -> Vec<u8> {
    let needle = test.needle();
    let text = match test {
        Test::Exact(exact) => Some(&*exact.text),
        _ => needle.map(Needle::text),
    };
    let reach = text.and_then(Reach::of);
    let held = needle.map(|needle| holding(needle, shapes));
    let mut sample = Sample::default();
    let one = |shape: usize| {
        if matches!(test, Test::Exists) {
            return ALL;
        }
        let holds = held.as_ref().is_none_or(|held| held.get(shape).is_some_and(|held| *held));
        let same = shapes.classes(shape).next().is_none();
        if same || holds {
            sample.write(shapes, shape);
        }
        if same {
            // All its texts are one.
            return if holds && test.matches_str(&sample.text) { ALL } else { NONE };
        }
        // A phrase, or a whole text, that is not in what they have in common reaches into a value.
        let may = match test {
            Test::Words(words, _) if holds && sample.holds(words) => return ALL,
            Test::Regex(pattern) if needle.is_some_and(|needle| needle.text() == pattern.text()) && holds => return ALL,
            Test::Words(..) | Test::Exact(_) => false,
            _ => holds,
        };
        if may || reach.as_ref().is_none_or(|reach| reach.reaches(shapes, shape)) { SOME } else { NONE }
    };
    (0..shapes.len()).map(one).collect()
}

/// Which shapes hold a needle between two values.
fn holding(needle: &Needle, shapes: &Shapes) -> Vec<bool> {
    let mut held = vec![false; shapes.len()];
    let mut hit = needle.find(shapes.text(), 0);
    for (shape, held) in held.iter_mut().enumerate() {
        for (piece, _) in shapes.pieces(shape) {
            while let Some(found) = hit.as_ref().filter(|found| found.start < piece.end) {
                let inside = found.end <= piece.end;
                *held |= inside;
                hit = needle.find(shapes.text(), if inside { piece.end } else { found.start + 1 });
            }
        }
    }
    held
}

/// A text of a shape, a byte for each value.
#[derive(Default)]
struct Sample {
    text: Vec<u8>,
    values: Vec<usize>,
}

impl Sample {
    fn write(&mut self, shapes: &Shapes, shape: usize) {
        self.text.clear();
        self.values.clear();
        for (piece, class) in shapes.pieces(shape) {
            self.text.extend_from_slice(shapes.text().get(piece).unwrap_or(&[]));
            if class != 0 {
                self.values.push(self.text.len());
                // Every value begins and ends with a byte that belongs to a word.
                self.text.push(b'0');
            }
        }
    }

    /// Whether it has a phrase in which no value is.
    fn holds(&self, words: &Words) -> bool {
        let mut at = 0;
        while let Some(hit) = words.needle().find(&self.text, at) {
            at = hit.start + 1;
            let next = self.values.partition_point(|value| *value < hit.start);
            if self.values.get(next).is_none_or(|value| *value >= hit.end) && words.is_whole(&self.text, &hit) {
                return true;
            }
        }
        false
    }
}

/// Tells whether a text may lie over a value: bit n of a state says that its first n + 1 bytes may end here.
struct Reach {
    /// By byte, where in the text it stands, in either case.
    bytes: [u64; 256],
    /// By class of values: where in the text their bytes stand, and how many a value has.
    classes: Vec<(u64, usize, usize)>,
    length: usize,
}

impl Reach {
    /// `None` of texts that are too long, or have more forms than these bytes in either case.
    fn of(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > 64 || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0u64; 256];
        for (at, byte) in text.bytes().enumerate() {
            bytes[usize::from(byte.to_ascii_lowercase())] |= 1 << at;
            bytes[usize::from(byte.to_ascii_uppercase())] |= 1 << at;
        }
        let class = |class: usize| {
            let (spelling, least, most) = spelling(u8::try_from(class).unwrap_or(0));
            (spelling.iter().fold(0, |all, byte| all | bytes[usize::from(*byte)]), least, most)
        };
        let classes = (0..CLASSES).map(class).collect();
        Some(Self { bytes, classes, length: text.len() })
    }

    /// Whether it may lie over a value of a shape.
    fn reaches(&self, shapes: &Shapes, shape: usize) -> bool {
        let whole = 1u64 << (self.length - 1);
        // What has a value in it so far.
        let mut over = 0u64;
        for (piece, class) in shapes.pieces(shape) {
            let text = shapes.text().get(piece).unwrap_or(&[]);
            for byte in text {
                if over == 0 {
                    break;
                }
                over = over << 1 & self.bytes[usize::from(*byte)];
                if over & whole != 0 {
                    return true;
                }
            }
            if class == 0 {
                break;
            }
            let Some((mask, least, most)) = self.classes.get(usize::from(class)) else { return true };
            if *mask == 0 {
                over = 0;
                continue;
            }
            let tail = text.get(text.len().saturating_sub(self.length)..).unwrap_or(&[]);
            let before = tail.iter().fold(0, |state, byte| (state << 1 | 1) & self.bytes[usize::from(*byte)]);
            let mut state = before | over;
            over = 0;
            for length in 1..=*most {
                state = (state << 1 | 1) & mask;
                if state == 0 && mask & 1 == 0 {
                    break;
                }
                if state & whole != 0 {
                    return true;
                }
                if length >= *least {
                    over |= state;
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::predicate::{Predicate, parse};
    use crate::store::part::shape::{Cut, Cutter};

    fn asked(query: &str) -> Test {
        let Ok(Predicate::Leaf(leaf)) = parse(query) else { panic!("{query} is one test") };
        leaf.test
    }

    /// What a test says of the shapes of texts, and whether each text passes.
    fn verdicts(cut: Cut, test: &Test, texts: &[String]) -> Vec<(u8, bool)> {
        let mut cutter = Cutter::new(cut);
        let mut shape = |text: &String| {
            assert!(cutter.cut(text.as_bytes()), "{text}");
            cutter.shape.clone()
        };
        let shapes: Vec<Vec<u8>> = texts.iter().map(&mut shape).collect();
        let said = judge(test, &Shapes::read(shapes.iter().map(Vec::as_slice)).unwrap());
        said.into_iter().zip(texts).map(|(said, text)| (said, test.matches_str(text.as_bytes()))).collect()
    }

    #[test]
    fn what_texts_have_in_common_decides() {
        let texts =
            ["Failed password for root from 10.0.0.1 port 48663 ssh2", "id deadbeef01234567 failed", "Failed 7", "passed"];
        let texts = texts.map(str::to_owned);
        for (query, said) in [
            ("\"failed password\"", [ALL, NONE, NONE, NONE]),
            ("\"Failed pass\"", [NONE, NONE, NONE, NONE]),
            ("failed", [ALL, ALL, ALL, NONE]),
            ("port", [ALL, NONE, NONE, NONE]),
            ("\"port 48663\"", [SOME, NONE, NONE, NONE]),
            ("10.0.0.1", [SOME, NONE, NONE, NONE]),
            ("\"id dea\"", [NONE, SOME, NONE, NONE]),
            ("m:~\"ass\"", [ALL, NONE, NONE, ALL]),
            ("m:~\"assw[o]\"", [SOME, NONE, NONE, NONE]),
            ("m:=passed", [NONE, NONE, NONE, ALL]),
            ("m:=\"Failed 8\"", [NONE, NONE, SOME, NONE]),
            ("m:=pas*", [SOME, NONE, NONE, ALL]),
        ] {
            let own: Vec<u8> = verdicts(Cut::Every, &asked(query), &texts).into_iter().map(|(said, _)| said).collect();
            assert_eq!(own, said, "{query}");
        }
    }

    fn text() -> impl Strategy<Value = String> {
        const WORDS: &[&str] = &["fa", "ad", "Ed", "12", "7", "0x1f", "-", "/", ".", " ", "a1b2c3d4", "10.0.0.1", "é", "_"];
        prop::collection::vec(prop::sample::select(WORDS), 1..8).prop_map(|words| words.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn no_shape_is_judged_wrong(texts in prop::collection::vec(text(), 1..5), phrase in text(), from in 0usize..9, to in 1usize..9) {
            let phrase: String = phrase.chars().skip(from).take(to).collect();
            let escaped = phrase.replace('.', "[.]");
            for query in [format!("m:\"{phrase}\""), format!("m:=\"{phrase}\""), format!("m:~\"{escaped}\""), format!("m:~\"(?i){escaped}\"")] {
                let test = asked(&query);
                for cut in [Cut::Long, Cut::Every] {
                    for (said, passes) in verdicts(cut, &test, &texts) {
                        prop_assert!(said == SOME || passes == (said == ALL), "{query} of {texts:?}: {said}");
                    }
                }
            }
        }
    }
}
