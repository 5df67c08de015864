//! Lookups: what the host knows of a key, from a table, a MaxMind file or a resolver.
//!
//! In Wasm these are imports. Natively (tests) lookups are whatever [`crate::testing::set_lookup`] was given.

use crate::abi::import::{NO_ANSWER, NOTHING};
use crate::host::{last_error, raw};
use crate::record::Record;

/// Room that is tried first for a value.
const FIRST_ROOM: usize = 1024;

/// An open lookup.
#[derive(Debug)]
pub struct Lookup {
    handle: i32,
    room: Vec<u8>,
}

/// What a lookup knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known<'l> {
    /// The value: of a table its bytes, of geoip a JSON object, of dns text.
    Value(&'l [u8]),
    /// Nothing is known of this key.
    Nothing,
    /// There was no answer in time (dns only). Not the same as nothing: tag the record.
    NoAnswer,
}

impl Lookup {
    /// Opens a lookup. In `init`, please: the host traps it anywhere else.
    ///
    /// * `table`: the name of a file in the box's `lookups` folder (.csv, .json, .yml), or a JSON object itself;
    /// * `geoip`: the name of a MaxMind file there;
    /// * `dns`: a JSON object of options.
    ///
    /// # Errors
    /// Why there is none.
    pub fn open(kind: &str, argument: &str) -> Result<Self, String> {
        let handle = raw::lookup_open(format!("{kind}\0{argument}").as_bytes());
        if handle < 0 {
            return Err(last_error());
        }
        Ok(Self { handle, room: vec![0; FIRST_ROOM] })
    }

    /// What is known of a key, for this record.
    pub fn get(&mut self, record: &Record<'_>, key: &[u8]) -> Known<'_> {
        let mut len = raw::lookup_get(self.handle, record.index, key, &mut self.room);
        if let Ok(wanted) = usize::try_from(len)
            && wanted > self.room.len()
        {
            self.room.resize(wanted, 0);
            len = raw::lookup_get(self.handle, record.index, key, &mut self.room);
        }
        match len {
            NOTHING => Known::Nothing,
            NO_ANSWER => Known::NoAnswer,
            len => match usize::try_from(len).ok().and_then(|len| self.room.get(..len)) {
                Some(value) => Known::Value(value),
                None => Known::Nothing,
            },
        }
    }
}
