//! Field names as numbers: told to the host once a call, referred to by number after that.
//!
//! Names declared in `init` keep their numbers; names first used in a call are numbered after them and forgotten with it, so a
//! filter that makes names of data (JSON keys) does not grow.

/// A field name that was declared in `init`; see [`crate::Setup::name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name(pub(crate) u32);

/// What a field can be named with: a declared [`Name`] (fastest), or text.
pub trait ToName {
    /// Its number in this call.
    #[doc(hidden)]
    fn number(self, names: &mut Table) -> u32;
}

impl ToName for Name {
    #[inline]
    fn number(self, _: &mut Table) -> u32 {
        self.0
    }
}

impl ToName for &str {
    #[inline]
    fn number(self, names: &mut Table) -> u32 {
        names.number(self.as_bytes())
    }
}

impl ToName for &[u8] {
    #[inline]
    fn number(self, names: &mut Table) -> u32 {
        names.number(self)
    }
}

/// The number of a name that is no declared one, found once a call; see [`crate::Verdict::remember`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Remembered {
    /// 0: not yet.
    call: u64,
    number: u32,
}

/// Names by number, and numbers by name.
#[doc(hidden)]
#[derive(Debug)]
pub struct Table {
    /// The section of the answer: each `u16 length, bytes`.
    pub(crate) section: Vec<u8>,
    /// Where each name's bytes begin and end in it.
    places: Vec<(usize, usize)>,
    /// Open addressing: 0 is empty, else number + 1. A power of two, at most half full.
    slots: Vec<u32>,
    declared: usize,
    declared_section: usize,
    /// Calls so far, from 1: numbers of one call mean nothing in the next.
    call: u64,
}

impl Default for Table {
    fn default() -> Self {
        Self { section: Vec::new(), places: Vec::new(), slots: vec![0; 64], declared: 0, declared_section: 0, call: 1 }
    }
}

impl Table {
    /// Numbers so far are kept from call to call.
    pub(crate) fn declare_all(&mut self) {
        self.declared = self.places.len();
        self.declared_section = self.section.len();
    }

    /// Forgets what the last call added.
    pub(crate) fn begin_call(&mut self) {
        self.call += 1;
        if self.places.len() > self.declared {
            self.places.truncate(self.declared);
            self.section.truncate(self.declared_section);
            let slots = (self.declared * 4).next_power_of_two().max(64);
            self.rebuild(slots);
        }
    }

    pub(crate) fn number(&mut self, name: &[u8]) -> u32 {
        // Longer ones are no field names; the host leaves them out and says so, by their first 300 bytes.
        let name = &name[..name.len().min(300)];
        let mut slot = hash(name) & (self.slots.len() - 1);
        loop {
            match self.slots[slot] {
                0 => break,
                taken => {
                    let (start, end) = self.places[taken as usize - 1];
                    if self.section[start..end] == *name {
                        return taken - 1;
                    }
                }
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        let number = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
        self.section.extend_from_slice(&length.to_le_bytes());
        let start = self.section.len();
        self.section.extend_from_slice(name);
        self.places.push((start, self.section.len()));
        self.slots[slot] = number + 1;
        if self.places.len() * 2 > self.slots.len() {
            self.rebuild(self.slots.len() * 2);
        }
        number
    }

    #[inline]
    pub(crate) fn remember(&mut self, remembered: &mut Remembered, name: &[u8]) -> Name {
        if remembered.call != self.call {
            *remembered = Remembered { call: self.call, number: self.number(name) };
        }
        Name(remembered.number)
    }

    /// Whether this is the number of that name.
    pub(crate) fn is(&self, number: u32, name: &[u8]) -> bool {
        self.places.get(number as usize).is_some_and(|&(start, end)| self.section[start..end] == *name)
    }

    fn rebuild(&mut self, slots: usize) {
        self.slots.clear();
        self.slots.resize(slots, 0);
        for (number, &(start, end)) in (1u32..).zip(&self.places) {
            let mut slot = hash(&self.section[start..end]) & (slots - 1);
            while self.slots[slot] != 0 {
                slot = (slot + 1) & (slots - 1);
            }
            self.slots[slot] = number;
        }
    }
}

/// FNV-1a over 32 bits: names are short.
fn hash(name: &[u8]) -> usize {
    let mut hash = 0x811c_9dc5_u32;
    for &byte in name {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    (hash ^ hash >> 15) as usize
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn declared_names_stay_and_others_go() {
        let mut table = Table::default();
        let verb = table.number(b"verb");
        table.declare_all();
        for round in 0..3 {
            table.begin_call();
            assert_eq!(table.number(b"verb"), verb);
            for index in 0..500u32 {
                let name = format!("field-{round}-{index}");
                assert_eq!(table.number(name.as_bytes()), index + 1);
                assert_eq!(table.number(name.as_bytes()), index + 1);
            }
        }
        table.begin_call();
        assert_eq!(table.section, b"\x04\0verb");
    }
}
