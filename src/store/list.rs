//! Lists as columns hold them: each item is a LEB128 length and its bytes, one behind the other.
//!
//! What is read may be damage: a list ends early where its bytes are none.

/// Reads a list entry: each item is a LEB128 length and its bytes.
pub fn list_items(entry: &[u8]) -> ListItems<'_> {
    ListItems(entry)
}

/// Adds an item to a list entry.
#[allow(clippy::cast_possible_truncation)] // seven bits at a time
pub fn push_list_item(entry: &mut Vec<u8>, item: &[u8]) {
    let mut length = item.len();
    loop {
        let low = u8::try_from(length & 0x7f).unwrap_or(0);
        length >>= 7;
        if length == 0 {
            entry.push(low);
            break;
        }
        entry.push(low | 0x80);
    }
    entry.extend_from_slice(item);
}

/// The items of a list entry; ends early where the bytes are not a list.
#[derive(Clone, Debug)]
pub struct ListItems<'a>(&'a [u8]);

impl<'a> Iterator for ListItems<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let mut length = 0usize;
        for shift in (0..35).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            length |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                let item = self.0.get(..length)?;
                self.0 = &self.0[length..];
                return Some(item);
            }
        }
        None
    }
}
