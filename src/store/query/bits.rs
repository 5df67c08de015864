//! Which rows of a group are selected: one bit a row, bit r % 64 of word r / 64. Bits past the last row are never set.

/// Selected rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bits {
    words: Vec<u64>,
    rows: usize,
}

impl Bits {
    /// None of `rows`.
    pub fn none(rows: usize) -> Self {
        Self { words: vec![0; rows.div_ceil(64)], rows }
    }

    /// All of `rows`.
    pub fn all(rows: usize) -> Self {
        let mut bits = Self { words: vec![u64::MAX; rows.div_ceil(64)], rows };
        bits.trim();
        bits
    }

    fn trim(&mut self) {
        if let (Some(last), over @ 1..) = (self.words.last_mut(), self.rows % 64) {
            *last &= (1 << over) - 1;
        }
    }

    /// The bits.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// How many rows there are, selected or not.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many are selected.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether none is selected.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// Whether this row is selected.
    pub fn has(&self, row: usize) -> bool {
        self.words.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// Selects a row.
    pub fn set(&mut self, row: usize) {
        if row < self.rows
            && let Some(word) = self.words.get_mut(row / 64)
        {
            *word |= 1 << (row % 64);
        }
    }

    /// Keeps those that the other has too.
    pub fn and(&mut self, other: &Self) {
        self.and_words(&other.words);
    }

    /// Keeps those whose bit is set in these words.
    pub fn and_words(&mut self, other: &[u64]) {
        for (index, word) in self.words.iter_mut().enumerate() {
            *word &= other.get(index).copied().unwrap_or(0);
        }
    }

    /// Drops those that the other has.
    pub fn and_not(&mut self, other: &Self) {
        self.and_not_words(&other.words);
    }

    /// Drops those whose bit is set in these words.
    pub fn and_not_words(&mut self, other: &[u64]) {
        for (word, other) in self.words.iter_mut().zip(other) {
            *word &= !other;
        }
    }

    /// Adds those that the other has.
    pub fn or(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    /// Selects those of `among` that this says yes to, 64 at a time and without branches: for tests that cost nothing.
    pub fn fill(among: &Self, yes: impl Fn(usize) -> bool) -> Self {
        let mut out = Self::none(among.rows);
        for (index, (word, among_word)) in out.words.iter_mut().zip(&among.words).enumerate() {
            if *among_word == 0 {
                continue;
            }
            let base = index * 64;
            let mut bits = 0u64;
            for bit in 0..64.min(among.rows - base) {
                bits |= u64::from(yes(base + bit)) << bit;
            }
            *word = bits & among_word;
        }
        out
    }

    /// The same of a value for each row, without looking each one up.
    pub fn fill_by(among: &Self, values: &[u32], yes: impl Fn(u32) -> bool) -> Self {
        let mut out = Self::none(among.rows);
        for ((word, among_word), values) in out.words.iter_mut().zip(&among.words).zip(values.chunks(64)) {
            if *among_word != 0 {
                let bits = values.iter().enumerate().fold(0, |bits, (bit, value)| bits | u64::from(yes(*value)) << bit);
                *word = bits & among_word;
            }
        }
        out
    }

    /// The same of rows that have this value, which few have.
    pub fn fill_equal(among: &Self, values: &[u32], wanted: u32) -> Self {
        let mut out = Self::none(among.rows);
        for ((word, among_word), values) in out.words.iter_mut().zip(&among.words).zip(values.chunks(64)) {
            // Without a branch for each: many are compared at once.
            let any = values.iter().fold(false, |any, value| any | (*value == wanted));
            if any && *among_word != 0 {
                let bits = values.iter().enumerate().fold(0, |bits, (bit, value)| bits | u64::from(*value == wanted) << bit);
                *word = bits & among_word;
            }
        }
        out
    }

    /// Selects those of `among` that this says yes to, asking only about them: for tests that cost something.
    pub fn pick(among: &Self, yes: impl Fn(usize) -> bool) -> Self {
        let mut out = Self::none(among.rows);
        for row in among.iter() {
            if yes(row) {
                out.set(row);
            }
        }
        out
    }

    /// The numbers of the selected rows, in order.
    pub fn to_rows(&self) -> Vec<u32> {
        let mut rows = Vec::with_capacity(self.count());
        for (start, &word) in (0u32..).step_by(64).zip(&self.words) {
            if word == u64::MAX {
                rows.extend(start..start + 64);
                continue;
            }
            let mut left = word;
            while left != 0 {
                rows.push(start + left.trailing_zeros());
                left &= left - 1;
            }
        }
        rows
    }

    /// The selected rows, in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(index, &word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                (left != 0).then(|| {
                    let bit = left.trailing_zeros() as usize;
                    left &= left - 1;
                    index * 64 + bit
                })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Bits;

    #[test]
    fn rows_are_selected_one_by_one() {
        for rows in [0, 1, 63, 64, 65, 200] {
            let all = Bits::all(rows);
            assert_eq!((all.count(), all.iter().count(), Bits::none(rows).is_empty()), (rows, rows, true));
            assert!(all.to_rows().into_iter().map(|row| row as usize).eq(all.iter()));
            let even = Bits::fill(&all, |row| row % 2 == 0);
            assert_eq!(even, Bits::pick(&all, |row| row % 2 == 0));
            assert!(even.to_rows().into_iter().map(|row| row as usize).eq(even.iter()));
            let mut odd = all.clone();
            odd.and_not(&even);
            assert!(odd.iter().all(|row| row % 2 == 1 && odd.has(row) && !even.has(row)));
            let mut both = odd.clone();
            both.or(&even);
            assert_eq!(both, all);
            both.and(&odd);
            assert_eq!(both, odd);
        }
    }

    #[test]
    fn values_are_compared_as_one_by_one() {
        for rows in [0u32, 1, 64, 130, 200] {
            let values: Vec<u32> = (0..rows).map(|row| row * row % 7).collect();
            for among in [Bits::all(values.len()), Bits::fill(&Bits::all(values.len()), |row| row % 3 == 0)] {
                for wanted in 0..8 {
                    let expected = Bits::pick(&among, |row| values[row] == wanted);
                    assert_eq!(Bits::fill_equal(&among, &values, wanted), expected);
                    assert_eq!(Bits::fill_by(&among, &values, |value| value == wanted), expected);
                }
            }
        }
    }
}
