//! Many texts replaced in one pass: at each place the first key that stands there.

/// Keys and what stands for them.
#[derive(Debug)]
pub struct Parts {
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Keys by their first byte, in their order.
    by_first: Vec<Vec<u32>>,
}

impl Parts {
    /// Of pairs in their order; an empty key stands nowhere.
    pub fn new(pairs: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Self {
        let pairs: Vec<_> = pairs.filter(|(key, _)| !key.is_empty()).collect();
        let mut by_first = vec![Vec::new(); 256];
        for (number, (key, _)) in (0u32..).zip(&pairs) {
            by_first[usize::from(key[0])].push(number);
        }
        Self { pairs, by_first }
    }

    /// Appends the text with all parts replaced; whether there was one.
    pub fn replace(&self, text: &[u8], out: &mut Vec<u8>) -> bool {
        let (mut at, mut is_any) = (0, false);
        while let Some(byte) = text.get(at) {
            let keys = &self.by_first[usize::from(*byte)];
            let found = keys.iter().map(|number| &self.pairs[*number as usize]).find(|(key, _)| text[at..].starts_with(key));
            match found {
                Some((key, value)) => {
                    is_any = true;
                    out.extend_from_slice(value);
                    at += key.len();
                }
                None => {
                    out.push(*byte);
                    at += 1;
                }
            }
        }
        is_any
    }
}
