//! Host-owned memory for values that filters built: append-only, at addresses that never move.
//!
//! One [`Arena`] belongs to one lane and is reset between batches. What a call built is copied here in one piece, so there are
//! as many pieces as calls, not as values. [`Arena::reset`] keeps up to [`KEPT_BYTES`] for the next batch.
//!
//! Why not one growing buffer: growing moves it, and rows borrow from it. Why not a crate: the pieces fit into cells that are
//! written once, which needs no unsafe code.

use std::cell::{Cell, OnceCell, RefCell};

/// Memory that a reset keeps.
const KEPT_BYTES: usize = 2 << 20;
/// Row k of the table has 2^k places.
const ROWS: usize = 32;

type Pieces = Box<[OnceCell<Vec<u8>>]>;

/// Append-only memory.
#[derive(Debug, Default)]
pub struct Arena {
    pieces: [OnceCell<Pieces>; ROWS],
    count: Cell<usize>,
    bytes: Cell<usize>,
    spare: RefCell<Vec<Vec<u8>>>,
}

impl Arena {
    /// An empty one; it takes memory with the first piece.
    pub fn new() -> Self {
        Self::default()
    }

    /// Copies bytes in; they stay where they are until [`Arena::reset`].
    pub fn push(&self, bytes: &[u8]) -> &[u8] {
        if bytes.is_empty() {
            return &[];
        }
        let index = self.count.get();
        self.count.set(index + 1);
        self.bytes.set(self.bytes.get() + bytes.len());
        // Place 0 is in row 0, places 1 and 2 in row 1, 3 to 6 in row 2 …
        let row = (index + 1).ilog2() as usize;
        let pieces = self.pieces[row].get_or_init(|| (0..1usize << row).map(|_| OnceCell::new()).collect());
        pieces[index + 1 - (1 << row)].get_or_init(|| {
            let mut piece = self.spare.borrow_mut().pop().unwrap_or_default();
            piece.clear();
            piece.extend_from_slice(bytes);
            piece
        })
    }

    /// Bytes that are held for the rows of this batch.
    pub fn len(&self) -> usize {
        self.bytes.get()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets everything; nobody can borrow from it any more.
    pub fn reset(&mut self) {
        let spare = self.spare.get_mut();
        let mut kept: usize = spare.iter().map(Vec::capacity).sum();
        for pieces in &mut self.pieces {
            for piece in pieces.get_mut().into_iter().flatten() {
                if let Some(piece) = piece.take().filter(|piece| kept + piece.capacity() <= KEPT_BYTES) {
                    kept += piece.capacity();
                    spare.push(piece);
                }
            }
        }
        self.count.set(0);
        self.bytes.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_stay_where_they_are() {
        let mut arena = Arena::new();
        for round in 0..3u32 {
            let expected: Vec<Vec<u8>> =
                (0..500u32).map(|index| vec![u8::try_from(round % 251).unwrap(); index as usize]).collect();
            let held: Vec<&[u8]> = expected.iter().map(|bytes| arena.push(bytes)).collect();
            let addresses: Vec<*const u8> = held.iter().map(|bytes| bytes.as_ptr()).collect();
            assert!(held.iter().zip(&expected).all(|(held, expected)| held == expected));
            assert!(held.iter().zip(addresses).all(|(held, address)| held.as_ptr() == address));
            assert_eq!(arena.len(), expected.iter().map(Vec::len).sum::<usize>());
            arena.reset();
            assert!(arena.is_empty());
        }
    }

    #[test]
    fn a_reset_keeps_little() {
        let mut arena = Arena::new();
        for _ in 0..8 {
            arena.push(&vec![1; 1 << 20]);
        }
        arena.reset();
        assert!(arena.spare.get_mut().iter().map(Vec::capacity).sum::<usize>() <= KEPT_BYTES);
        assert!(!arena.spare.get_mut().is_empty());
    }
}
