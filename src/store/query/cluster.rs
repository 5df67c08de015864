//! The last step of `patterns`: shapes of as many words, most of them the same, become one.
//!
//! Words are numbered, since a shape is compared with up to [`COMPARED`] others. It ends early if nobody listens any more.

use std::cmp::Ordering;

use rustc_hash::FxHashMap;

use super::patterns::Seen;
use super::shape::words;
use super::{Cancel, QueryError};

/// Clusters that a shape is compared with.
const COMPARED: usize = 1000;
/// Of so many words ...
const OF: usize = 10;
/// ... so many must be the same.
const SAME: usize = 6;

/// The most frequent first.
pub fn by_count(a: &Shaped, b: &Shaped) -> Ordering {
    b.1.count.cmp(&a.1.count).then_with(|| a.0.cmp(&b.0))
}

/// Words, numbered: shapes are compared with a thousand others, word by word.
#[derive(Debug, Default)]
struct Words {
    numbers: FxHashMap<Box<[u8]>, u32>,
    words: Vec<Box<[u8]>>,
}

impl Words {
    fn number(&mut self, word: &[u8]) -> u32 {
        if let Some(&number) = self.numbers.get(word) {
            return number;
        }
        let number = u32::try_from(self.words.len()).unwrap_or(u32::MAX);
        self.numbers.insert(word.into(), number);
        self.words.push(word.into());
        number
    }

    fn word(&self, number: u32) -> &[u8] {
        self.words.get(number as usize).map_or(&[], |word| word)
    }
}

/// A shape, and what was seen of it.
pub type Shaped = (Box<[u8]>, Seen);

/// Makes one of shapes that are much alike.
pub fn clustered(mut shapes: Vec<Shaped>, cancel: &Cancel) -> Result<Vec<Shaped>, QueryError> {
    shapes.sort_unstable_by(by_count);
    let mut all_words = Words::default();
    let mut clusters: Vec<(Vec<u32>, Seen)> = Vec::new();
    let mut by_length: FxHashMap<usize, Vec<usize>> = FxHashMap::default();
    for (step, (shape, seen)) in shapes.into_iter().enumerate() {
        cancel.go_on(step)?;
        let own: Vec<u32> = words(&shape).map(|word| all_words.number(word)).collect();
        let same_length = by_length.entry(own.len()).or_default();
        let alike = |&at: &usize| {
            let same = clusters[at].0.iter().zip(&own).filter(|(a, b)| a == b).count();
            (same * OF >= own.len() * SAME).then_some((same, at))
        };
        let compared = if own.len() > 2 { same_length.iter().take(COMPARED) } else { [].iter().take(0) };
        // The most alike; of those the first.
        let best = compared.filter_map(alike).max_by_key(|&(same, at)| (same, std::cmp::Reverse(at)));
        match best {
            Some((_, at)) => {
                let (words, all) = &mut clusters[at];
                for (word, other) in words.iter_mut().zip(&own).filter(|(word, other)| word != other) {
                    let both = common(all_words.word(*word), all_words.word(*other));
                    *word = all_words.number(&both);
                }
                all.add(&seen);
            }
            None => {
                same_length.push(clusters.len());
                clusters.push((own, seen));
            }
        }
    }
    // Two clusters may have become the same.
    let mut joined: FxHashMap<Box<[u8]>, Seen> = FxHashMap::default();
    for (words, seen) in clusters {
        let words: Vec<&[u8]> = words.into_iter().map(|number| all_words.word(number)).collect();
        let shape: Box<[u8]> = words.join(&b' ').into();
        match joined.get_mut(&shape) {
            Some(own) => own.add(&seen),
            None => {
                joined.insert(shape, seen);
            }
        }
    }
    Ok(joined.into_iter().collect())
}

/// What two words have in common, up to a separator, at both ends.
fn common(a: &[u8], b: &[u8]) -> Box<[u8]> {
    let is_edge = |byte: u8| !byte.is_ascii_alphanumeric() && byte < 0x80 && !matches!(byte, b'<' | b'>' | b'*');
    let alike = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let head = a[..alike].iter().rposition(|&byte| is_edge(byte)).map_or(0, |at| at + 1);
    let (a_rest, b_rest) = (&a[head..], &b[head..]);
    let alike = a_rest.iter().rev().zip(b_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let tail = a_rest[a_rest.len() - alike..].iter().position(|&byte| is_edge(byte)).map_or(0, |at| alike - at);
    [&a[..head], b"<*>", &a[a.len() - tail..]].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_their_ends_in_common() {
        assert_eq!(&*common(b"/a/b.png", b"/a/c.png"), b"/a/<*>.png");
        assert_eq!(&*common(b"x", b"y"), b"<*>");
        assert_eq!(&*common(b"a-", b"a-"), b"a-<*>");
    }
}
