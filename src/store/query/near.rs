//! What somebody may have meant: the nearest of the words that would have been understood.

/// Longest word that is compared.
const LONGEST: usize = 40;

/// The nearest word, if one is near.
pub fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<u8> = word.to_ascii_lowercase().into_bytes();
    if word.is_empty() || word.len() > LONGEST {
        return None;
    }
    let most = if word.len() < 4 { 1 } else { 2 };
    let near = words.into_iter().map(|other| (distance(&word, other.to_ascii_lowercase().as_bytes()), other));
    near.filter(|(distance, _)| *distance <= most).min().map(|(_, other)| other)
}

/// ` (did you mean …?)`, if something is near.
pub fn meant<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, words).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

/// How many letters are to be changed, added, taken away or exchanged with their neighbour.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let mut least = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && a[i - 1] == y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_others_not() {
        let words = ["stats", "sort", "limit", "fields", "top"];
        for (word, expected) in [
            ("stat", Some("stats")),
            ("sotr", Some("sort")),
            ("LIMT", Some("limit")),
            ("field", Some("fields")),
            ("frob", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, words), expected, "{word}");
        }
        assert_eq!(meant("tpo", words), "; did you mean `top`?");
    }
}
