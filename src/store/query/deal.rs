//! Who reads which row group next.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Deals out places of a list to threads, each once.
#[derive(Debug)]
pub struct Deal {
    places: usize,
    /// Whether every other thread takes them from the end: what is made once a source, such as verdicts on its dictionaries, is then
    /// made of two sources at a time, while who takes the next place waits for who had the one before.
    from_both_ends: bool,
    dealt: AtomicUsize,
    front: AtomicUsize,
    back: AtomicUsize,
}

impl Deal {
    /// Of so many places.
    pub fn new(places: usize, from_both_ends: bool) -> Self {
        Self { places, from_both_ends, dealt: AtomicUsize::new(0), front: AtomicUsize::new(0), back: AtomicUsize::new(0) }
    }

    /// The next place for a thread, of which the first is 0.
    pub fn take(&self, thread: usize) -> Option<usize> {
        if self.dealt.fetch_add(1, Ordering::Relaxed) >= self.places {
            return None;
        }
        // So many are dealt that front and back do not meet.
        if self.from_both_ends && thread % 2 == 1 {
            return self.places.checked_sub(1 + self.back.fetch_add(1, Ordering::Relaxed));
        }
        Some(self.front.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether no more than half is dealt.
    pub fn is_young(&self) -> bool {
        self.dealt.load(Ordering::Relaxed) <= self.places / 2
    }

    /// Deals out no more; how many are left, with the one that was dealt last.
    pub fn stop(&self) -> usize {
        self.places.saturating_sub(self.dealt.swap(usize::MAX / 2, Ordering::Relaxed).max(1) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_dealt_once_from_either_end() {
        let deal = Deal::new(5, true);
        assert_eq!(
            [0, 1, 1, 0, 1, 0, 1].map(|thread| deal.take(thread)),
            [Some(0), Some(4), Some(3), Some(1), Some(2), None, None]
        );
        let deal = Deal::new(5, false);
        assert_eq!([1, 0].map(|thread| deal.take(thread)), [Some(0), Some(1)]);
        // The one that was taken last, and three more.
        assert!(deal.is_young());
        assert_eq!((deal.stop(), deal.take(0), deal.take(1)), (4, None, None));
        assert!(!deal.is_young());
    }
}
