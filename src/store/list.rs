//! Lists as columns hold them: each item is a LEB128 length and its bytes, one behind the other.
//!
//! What is read may be damage: a list ends early where its bytes are none.

use super::part::bits::{Reader, put_bytes};

/// Reads a list entry.
pub fn list_items(entry: &[u8]) -> ListItems<'_> {
    ListItems(Reader(entry))
}

/// Adds an item to a list entry.
pub fn push_list_item(entry: &mut Vec<u8>, item: &[u8]) {
    put_bytes(entry, item);
}

/// The items of a list entry.
#[derive(Clone, Debug)]
pub struct ListItems<'a>(Reader<'a>);

impl<'a> Iterator for ListItems<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.0.bytes()
    }
}
