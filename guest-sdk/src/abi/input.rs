//! The input frame: the records of one call, and of each only what the filter reads.
//!
//! ```text
//!  0  u32  version, 1
//!  4  u32  records
//!  8  u32  values
//! 12  u32  names; 0 unless the filter reads every field: else a value's name is its number among the declared `reads`
//! 16  u32  length of the frame
//! 20  u32  expired: how many of the first records are no records, but entries of the filter's state that waited (`state_wait`)
//! 24  records, 48 bytes each:
//!       0  u64  offset
//!       8  i64  arrival time, ns since 1970
//!      16  i64  the producer's time, ms since 1970
//!      24  i64  the row's time as set by a filter before, ns since 1970; i64::MIN where none did
//!      32  u32  address, 36 u32 length of the payload (0, 0 where it is not needed)
//!      40  u32  first value, 44 u32 number of values
//!     values, 16 bytes each (see [`super`])
//!     names, 8 bytes each: u32 address, u32 length
//!     bytes that the addresses point at
//! ```
//! An expired entry stands as a record: its payload is the entry's value (whether or not the filter needs payloads), its offset that
//! of the record that put it last, its arrival time the end of its wait; it has no fields.
//! Addresses count from the frame's start. A value that was cut from the payload points into it.

use super::{FrameError, VALUE_BYTES, VERSION, ValueEntry, pack, slice, u32_at, u64_at};

/// Bytes before the records.
pub const HEAD_BYTES: usize = 24;
/// Bytes of a record entry.
pub const RECORD_BYTES: usize = 48;
/// Bytes of a name entry.
pub const NAME_BYTES: usize = 8;

/// A record entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordEntry {
    /// Its place in the partition.
    pub offset: u64,
    /// When it arrived, ns.
    pub arrival_ns: i64,
    /// The producer's time, ms.
    pub timestamp_ms: i64,
    /// The row's time so far.
    pub time_ns: Option<i64>,
    /// Address and length of the payload.
    pub payload: (u32, u32),
    /// First value and number of values.
    pub values: (u32, u32),
}

/// How much a frame will hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Records.
    pub records: usize,
    /// Values.
    pub values: usize,
    /// Names.
    pub names: usize,
    /// Bytes that addresses point at, at most.
    pub bytes: usize,
    /// How many of the first records are expired entries.
    pub expired: usize,
}

impl Size {
    fn bytes_at(&self) -> Option<usize> {
        let records = self.records.checked_mul(RECORD_BYTES)?;
        let values = self.values.checked_mul(VALUE_BYTES)?;
        let names = self.names.checked_mul(NAME_BYTES)?;
        HEAD_BYTES.checked_add(records)?.checked_add(values)?.checked_add(names)
    }

    /// Length of the frame at most; `None` past 32 bits.
    pub fn frame_bytes(&self) -> Option<u32> {
        u32::try_from(self.bytes_at()?.checked_add(self.bytes)?).ok()
    }
}

/// Writes a frame into place.
#[derive(Debug)]
pub struct Writer<'m> {
    frame: &'m mut [u8],
    size: Size,
    records: usize,
    values: u32,
    names: usize,
    end: usize,
    full: bool,
}

impl<'m> Writer<'m> {
    /// A writer of a frame of this size; `None` where `frame` is too short for it.
    pub fn new(frame: &'m mut [u8], size: Size) -> Option<Self> {
        if (size.frame_bytes()? as usize) > frame.len() {
            return None;
        }
        let end = size.bytes_at()?;
        Some(Self { frame, size, records: 0, values: 0, names: 0, end, full: false })
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        match self.frame.get_mut(at..at + bytes.len()) {
            Some(place) => place.copy_from_slice(bytes),
            None => self.full = true,
        }
    }

    /// Copies bytes into the frame; gives their address.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) -> u32 {
        let at = self.end;
        self.put(at, bytes);
        self.end += bytes.len();
        // Never past 32 bits: the whole frame is not, and past the frame `full` is set.
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// Adds a value to the record that comes next.
    #[inline]
    pub fn value(&mut self, value: &ValueEntry) {
        let index = self.values as usize;
        if index >= self.size.values {
            self.full = true;
            return;
        }
        self.put(HEAD_BYTES + self.size.records * RECORD_BYTES + index * VALUE_BYTES, &value.encode());
        self.values += 1;
    }

    /// How many values there are.
    pub fn values(&self) -> u32 {
        self.values
    }

    /// Adds a record.
    #[inline]
    pub fn record(&mut self, record: &RecordEntry) {
        if self.records >= self.size.records {
            self.full = true;
            return;
        }
        let words = [
            record.offset,
            record.arrival_ns.cast_unsigned(),
            record.timestamp_ms.cast_unsigned(),
            record.time_ns.unwrap_or(i64::MIN).cast_unsigned(),
            pack(record.payload.0, record.payload.1),
            pack(record.values.0, record.values.1),
        ];
        let at = HEAD_BYTES + self.records * RECORD_BYTES;
        let place = self.frame.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<RECORD_BYTES>);
        match place {
            // Word by word where it stays: what is put together elsewhere first is waited for when it is copied.
            Some(place) => {
                for (place, word) in place.as_chunks_mut().0.iter_mut().zip(words) {
                    *place = word.to_le_bytes();
                }
            }
            None => self.full = true,
        }
        self.records += 1;
    }

    /// Adds a name.
    pub fn name(&mut self, name: &[u8]) {
        if self.names >= self.size.names {
            self.full = true;
            return;
        }
        let at = self.bytes(name);
        let place = HEAD_BYTES + self.size.records * RECORD_BYTES + self.size.values * VALUE_BYTES + self.names * NAME_BYTES;
        self.put(place, &at.to_le_bytes());
        self.put(place + 4, &u32::try_from(name.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.names += 1;
    }

    /// Ends the frame; gives its length.
    ///
    /// # Errors
    /// When more or less was added than [`Size`] said.
    pub fn finish(mut self) -> Result<u32, FrameError> {
        let whole = self.records == self.size.records && self.values as usize == self.size.values;
        if self.full || !whole || self.names != self.size.names {
            return Err(FrameError("was given more or less than its size said"));
        }
        let counts = [self.records, self.size.values, self.names, self.end];
        self.put(0, &VERSION.to_le_bytes());
        for (index, count) in counts.into_iter().enumerate() {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            self.put(4 + index * 4, &count.to_le_bytes());
        }
        self.put(20, &u32::try_from(self.size.expired).unwrap_or(u32::MAX).to_le_bytes());
        u32::try_from(self.end).map_err(|_| FrameError("is longer than 32 bits"))
    }
}

/// Reads a frame.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    frame: &'a [u8],
    records: &'a [[u8; RECORD_BYTES]],
    values: &'a [[u8; VALUE_BYTES]],
    names: &'a [[u8; NAME_BYTES]],
}

impl<'a> Reader<'a> {
    /// Checks the head and the tables.
    ///
    /// # Errors
    /// Where they do not fit.
    pub fn new(frame: &'a [u8]) -> Result<Self, FrameError> {
        let early = FrameError("ends early");
        if frame.len() < HEAD_BYTES {
            return Err(early);
        }
        if u32_at(frame, 0) != VERSION {
            return Err(FrameError("is of another version"));
        }
        let table = |at: usize, count: u32, each: usize| -> Option<(&'a [u8], usize)> {
            let end = at.checked_add((count as usize).checked_mul(each)?)?;
            Some((frame.get(at..end)?, end))
        };
        let (records, at) = table(HEAD_BYTES, u32_at(frame, 4), RECORD_BYTES).ok_or(early)?;
        let (values, at) = table(at, u32_at(frame, 8), VALUE_BYTES).ok_or(early)?;
        let (names, _) = table(at, u32_at(frame, 12), NAME_BYTES).ok_or(early)?;
        Ok(Self { frame, records: records.as_chunks().0, values: values.as_chunks().0, names: names.as_chunks().0 })
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How many of the first records are expired entries of the filter's state.
    pub fn expired(&self) -> u32 {
        u32_at(self.frame, 20)
    }

    /// One of the records.
    #[inline]
    pub fn record(&self, index: usize) -> Option<RecordEntry> {
        let bytes = self.records.get(index)?;
        let time_ns = u64_at(bytes, 24).cast_signed();
        Some(RecordEntry {
            offset: u64_at(bytes, 0),
            arrival_ns: u64_at(bytes, 8).cast_signed(),
            timestamp_ms: u64_at(bytes, 16).cast_signed(),
            time_ns: (time_ns != i64::MIN).then_some(time_ns),
            payload: (u32_at(bytes, 32), u32_at(bytes, 36)),
            values: (u32_at(bytes, 40), u32_at(bytes, 44)),
        })
    }

    /// The value entries of a record; empty where they are not inside.
    #[inline]
    pub fn values(&self, record: &RecordEntry) -> &'a [[u8; VALUE_BYTES]] {
        let first = record.values.0 as usize;
        first.checked_add(record.values.1 as usize).and_then(|end| self.values.get(first..end)).unwrap_or(&[])
    }

    /// A name; empty where there is none.
    pub fn name(&self, number: u32) -> &'a [u8] {
        self.names.get(number as usize).map_or(&[], |name| self.bytes(u32_at(name, 0), u32_at(name, 4)))
    }

    /// How many names.
    pub fn names(&self) -> usize {
        self.names.len()
    }

    /// Bytes of the frame; empty where they are not inside.
    #[inline]
    pub fn bytes(&self, at: u32, len: u32) -> &'a [u8] {
        slice(self.frame, at, len).unwrap_or(&[])
    }

    /// The frame.
    #[inline]
    pub fn frame(&self) -> &'a [u8] {
        self.frame
    }
}
