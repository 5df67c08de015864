//! Which answer a window gets, and when.
//!
//! Invariants: a window is answered once its count is reached, with the highest sequence it held; a window of 0 is answered
//! with 0. logstash-forwarder numbers its records on and on, Filebeat from 1 in each window: both come out right, and so does
//! a number that wraps. Old v1 clients announce a window once and mean it for all that follow; Beats announce each.

use super::decode::{Malformed, Version};

/// An answer that is due once the records are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The window's version.
    pub version: Version,
    /// The sequence to answer with.
    pub sequence: u32,
}

impl Ack {
    /// The frame.
    pub fn frame(self) -> [u8; 6] {
        let [a, b, c, d] = self.sequence.to_be_bytes();
        [self.version.byte(), b'A', a, b, c, d]
    }

    /// What tells a v2 client to keep waiting.
    pub const KEEPALIVE: [u8; 6] = [b'2', b'A', 0, 0, 0, 0];
}

/// The window a connection is in.
#[derive(Debug, Default)]
pub struct Window {
    now: Option<(Version, u32)>,
    seen: u32,
    highest: Option<u32>,
}

impl Window {
    /// A window begins. Some answer is due at once if it is empty.
    pub fn begin(&mut self, version: Version, count: u32) -> Option<Ack> {
        // A window that begins before the last one was full: what came is kept and answered with this one's end.
        *self = Self { now: Some((version, count)), seen: 0, highest: None };
        if count == 0 {
            self.now = None;
            return Some(Ack { version, sequence: 0 });
        }
        None
    }

    /// A record came. Some answer is due if it was the window's last.
    ///
    /// # Errors
    /// If no window announced it, or one of the other version.
    pub fn record(&mut self, version: Version, sequence: u32) -> Result<Option<Ack>, Malformed> {
        let (of, count) = self.now.ok_or(Malformed::NoWindow)?;
        if of != version {
            return Err(Malformed::Mixed);
        }
        self.seen += 1;
        // Higher, even if the number has wrapped.
        if self.highest.is_none_or(|highest| sequence.wrapping_sub(highest) < 1 << 31) {
            self.highest = Some(sequence);
        }
        if self.seen < count {
            return Ok(None);
        }
        let ack = Ack { version, sequence: self.highest.unwrap_or(sequence) };
        self.seen = 0;
        self.highest = None;
        if version == Version::V2 {
            self.now = None;
        }
        Ok(Some(ack))
    }

    /// The answer for what came of an unfinished window, which only v2 clients understand.
    pub fn partial(&self) -> Option<Ack> {
        match (self.now, self.highest) {
            (Some((Version::V2, _)), Some(sequence)) => Some(Ack { version: Version::V2, sequence }),
            _ => None,
        }
    }

    /// Whether a window is unfinished.
    pub fn is_open(&self) -> bool {
        self.now.is_some() && self.seen > 0 || matches!(self.now, Some((Version::V2, _)))
    }

    /// Whether the client understands keep-alives.
    pub fn is_v2(&self) -> bool {
        matches!(self.now, Some((Version::V2, _)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_answered_once_with_its_highest_sequence() {
        let mut window = Window::default();
        assert_eq!(window.record(Version::V2, 1), Err(Malformed::NoWindow));
        assert_eq!(window.begin(Version::V2, 0), Some(Ack { version: Version::V2, sequence: 0 }));
        assert_eq!(window.record(Version::V2, 1), Err(Malformed::NoWindow));
        for round in 0..2 {
            assert_eq!(window.begin(Version::V2, 3), None);
            assert_eq!(window.record(Version::V2, 1), Ok(None));
            assert_eq!(window.partial(), Some(Ack { version: Version::V2, sequence: 1 }));
            assert_eq!(window.record(Version::V2, 3), Ok(None));
            assert_eq!(window.record(Version::V2, 2), Ok(Some(Ack { version: Version::V2, sequence: 3 })), "round {round}");
            assert!(!window.is_open());
        }
        assert_eq!(window.record(Version::V2, 4), Err(Malformed::NoWindow), "v2 announces each window");
    }

    #[test]
    fn v1_goes_on_counting_wraps_and_is_never_answered_in_part() {
        let mut window = Window::default();
        window.begin(Version::V1, 2);
        for (sequence, due) in
            [(u32::MAX - 1, None), (u32::MAX, Some(u32::MAX)), (0, None), (1, Some(1)), (u32::MAX, None), (0, Some(0))]
        {
            let due = due.map(|sequence| Ack { version: Version::V1, sequence });
            assert_eq!(window.record(Version::V1, sequence), Ok(due));
            assert_eq!(window.partial(), None);
        }
        assert_eq!(window.record(Version::V2, 7), Err(Malformed::Mixed));
    }
}
