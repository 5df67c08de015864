//! A buffer that is filled at its end and used up from its front.
//!
//! Invariant: using up costs nothing; bytes move only when room is made, and then only the unused ones. Whoever is
//! done for now, or with something large, gives the memory back.

/// What any connection may hold without asking; more needs room at the door.
pub const SMALL: usize = 64 * 1024;

/// Filled at the end, used up from the front.
#[derive(Debug, Default)]
pub struct Roll {
    bytes: Vec<u8>,
    start: usize,
}

impl Roll {
    /// What is not used up.
    pub fn data(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Uses up the first `count` bytes.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.bytes.len());
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// Makes room for `count` more bytes and hands out the buffer, to append to. Do not do anything else to it.
    pub fn space(&mut self, count: usize) -> &mut Vec<u8> {
        if self.bytes.capacity() - self.bytes.len() < count && self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        // Exact: a record of a mebibyte shall not cost two.
        if self.bytes.capacity() - self.bytes.len() < count {
            self.bytes.reserve_exact(count);
        }
        &mut self.bytes
    }

    /// Gives back memory: all if there is nothing in it, for a connection that went quiet costs none, and else what is more than
    /// [`SMALL`] and not needed for what is in it.
    pub fn rest(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        } else if self.bytes.capacity() > SMALL {
            self.bytes = self.data().to_vec();
            self.start = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_and_no_byte_lost() {
        let mut roll = Roll::default();
        roll.space(1 << 20).extend_from_slice(&vec![1; 1 << 20]);
        roll.space(3).extend_from_slice(&[2, 3, 4]);
        roll.consume(1 << 20);
        roll.rest();
        assert_eq!(roll.data(), [2, 3, 4]);
        assert!(roll.bytes.capacity() <= SMALL, "{}", roll.bytes.capacity());
        roll.space(1).push(5);
        roll.rest();
        assert_eq!(roll.data(), [2, 3, 4, 5]);
        roll.consume(4);
        roll.rest();
        assert_eq!((roll.data(), roll.bytes.capacity()), (&[][..], 0));
    }
}
