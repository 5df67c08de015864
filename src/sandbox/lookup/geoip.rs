//! Where an address is: MaxMind's format, from a file that the operator brings (GeoLite2, or any other of that format).
//!
//! A key is an address as text; a value is what the file says of it, as one JSON object.
//! Limits: the reader's own, 65,536 values and 4 MiB an answer; a file that is damaged answers "nothing", never wrongly typed.

use std::net::IpAddr;

use maxminddb::Reader;

use crate::base::disk::Mapped;

/// An open file.
pub(super) struct Geoip(Reader<Mapped>);

impl Geoip {
    /// Opens it.
    pub(super) fn open(file: Mapped) -> Result<Self, String> {
        Reader::from_source(file).map(Self).map_err(|error| format!("this is no MaxMind file: {error}"))
    }

    /// Puts what is known of an address into `room`; false where nothing is.
    pub(super) fn get(&self, key: &[u8], room: &mut Vec<u8>) -> bool {
        let address = std::str::from_utf8(key).ok().and_then(|text| text.trim().parse::<IpAddr>().ok());
        // An IPv4 address in IPv6's clothes is one.
        let Some(address) = address.map(|address| address.to_canonical()) else { return false };
        let found = self.0.lookup(address).and_then(|found| found.decode::<serde_json::Value>());
        let Ok(Some(value)) = found else { return false };
        room.clear();
        serde_json::to_writer(room, &value).is_ok()
    }
}
