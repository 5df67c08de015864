//! Lookups: what the box knows of a key, for filters that ask.
//!
//! A file belongs to the box's operator, who changes it when he likes; a generation must give the same rows for ever. So when a
//! chain is resolved, a file that its filters open is copied beside the modules under its own hash, and the chain's record names
//! that ([`LookupRecord`]). From then on the chain opens the copy. A changed file takes part when the chain is resolved anew,
//! which is a new generation.
//!
//! On disk: `lookups/<name>` are the operator's files, only read; `sandbox/lookups/<sha256>` are the copies, as they were.
//! Limits: [`super::Config::lookup`] for a file; [`table::TABLE_BYTES`] for one that is held in memory. MaxMind files are mapped.
//! A copy goes when nobody refers to it any more ([`super::sweep`]).
//! Crash story: a copy is written beside and renamed; one that is damaged has another hash, and the chain says so.
//!
//! Why copies and not hashes alone: a hash can only say that yesterday's rows cannot be made again.

pub(super) mod dns;
mod geoip;
mod table;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use sawbox_guest::abi::import::{WHOLE_TABLE, lookup_kind};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cache::write_whole;
use super::engine::hex;
use super::sweep::{Recent, Referred, Swept};
use crate::base::clock::Clock;
use crate::base::disk::Disk;
use crate::base::limits::is_topic_name;
use crate::base::units::Bytes;

/// Where the operator's files are.
const FILES: &str = "lookups";
/// Where the copies are.
pub(super) const COPIES: &str = "sandbox/lookups";

/// What a generation keeps of a lookup.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LookupRecord {
    /// `table` or `geoip`.
    pub kind: String,
    /// The file's name.
    pub file: String,
    /// What was in it.
    pub sha256: String,
}

/// An open lookup.
pub(super) enum Lookup {
    Table(table::Table),
    Geoip(geoip::Geoip),
    Dns(dns::Dns),
}

/// A table of the operator's.
#[derive(Debug)]
pub struct LookupTable(table::Table);

impl LookupTable {
    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.0.get(key)
    }
}

/// What a lookup knows of a key.
pub(super) enum Got<'l> {
    Value(&'l [u8]),
    Nothing,
    Late,
}

impl Lookup {
    /// Asks, for a record that arrived at `now_ns`. `room` is for a value that is made, `left` how long the call may still wait.
    pub(super) fn get<'l>(&'l self, key: &[u8], now_ns: i64, left: &mut Duration, room: &'l mut Vec<u8>) -> Got<'l> {
        let value = match self {
            Self::Dns(dns) => return dns.get(key, now_ns, left, room),
            Self::Table(table) if key == WHOLE_TABLE => table.whole(room).then_some(&**room),
            Self::Table(table) => table.get(key),
            Self::Geoip(geoip) => geoip.get(key, room).then_some(&**room),
        };
        value.map_or(Got::Nothing, Got::Value)
    }

    /// Whether its answers belong to arrival times.
    pub(super) fn is_dns(&self) -> bool {
        matches!(self, Self::Dns(_))
    }

    /// Makes durable what was answered: before the rows of a call that asked are taken.
    pub(super) fn settle(&self) {
        if let Self::Dns(dns) = self {
            dns.settle();
        }
    }
}

/// Names an open file: (kind, sha256).
type Key = (&'static str, String);

/// The lookups of the box.
pub(super) struct Lookups {
    disk: Arc<dyn Disk>,
    limit: Bytes,
    open: Mutex<HashMap<Key, Weak<Lookup>>>,
    /// Two that copy the same file at once would write the same file beside it.
    keeping: Mutex<()>,
    clock: Arc<dyn Clock>,
    recent: Recent,
    /// Started when the first filter asks for it.
    resolver: Mutex<Option<Arc<dns::Resolver>>>,
}

impl Lookups {
    pub(super) fn new(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, limit: Bytes) -> Self {
        let recent = Recent::new(Arc::clone(&clock));
        Self { disk, limit, open: Mutex::default(), keeping: Mutex::default(), clock, recent, resolver: Mutex::default() }
    }

    /// The box's clock.
    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    fn resolver(&self) -> Result<Arc<dns::Resolver>, String> {
        let mut resolver = self.resolver.lock();
        if let Some(resolver) = &*resolver {
            return Ok(Arc::clone(resolver));
        }
        let started = dns::Resolver::start(Arc::clone(&self.disk), Arc::clone(&self.clock))?;
        *resolver = Some(Arc::clone(&started));
        Ok(started)
    }

    /// Opens a lookup: of the records, where there are some, else of the files as they are now. Gives what a generation keeps.
    pub(super) fn open(
        &self,
        kind: &str,
        argument: &str,
        pinned: Option<&[LookupRecord]>,
    ) -> Result<(Arc<Lookup>, Option<LookupRecord>), String> {
        let kind = match kind {
            lookup_kind::TABLE => lookup_kind::TABLE,
            lookup_kind::GEOIP => lookup_kind::GEOIP,
            lookup_kind::DNS => return Ok((Arc::new(Lookup::Dns(self.resolver()?.open(argument)?)), None)),
            _ => return Err(format!("there is no lookup of kind `{kind}`; there is `table`, `geoip` and `dns`")),
        };
        if kind == lookup_kind::TABLE && argument.trim_start().starts_with('{') {
            return Ok((Arc::new(Lookup::Table(table::Table::inline(argument)?)), None));
        }
        // Topics' rule suits file names: no separators, no way up.
        if !is_topic_name(argument) {
            return Err(format!("`{argument}` is no name of a file in the folder `{FILES}` of the data directory"));
        }
        let sha256 = match pinned {
            Some(pinned) => {
                let record = pinned.iter().find(|record| record.kind == kind && record.file == argument);
                let record = record.ok_or_else(|| format!("the chain was resolved without the lookup `{argument}`"))?;
                self.recent.touch(&record.sha256);
                record.sha256.clone()
            }
            None => self.keep(argument)?,
        };
        let record = LookupRecord { kind: kind.to_owned(), file: argument.to_owned(), sha256: sha256.clone() };
        let key = (kind, sha256);
        if let Some(lookup) = self.open.lock().get(&key).and_then(Weak::upgrade) {
            return Ok((lookup, Some(record)));
        }
        let lookup = Arc::new(self.copy(key.0, argument, &key.1)?);
        let mut open = self.open.lock();
        open.retain(|_, lookup| lookup.strong_count() > 0);
        open.insert(key, Arc::downgrade(&lookup));
        Ok((lookup, Some(record)))
    }

    /// A table of the operator's as it is now, for whoever makes nothing that lasts of it.
    pub(super) fn table(&self, name: &str) -> Result<LookupTable, String> {
        if !is_topic_name(name) {
            return Err(format!("`{name}` is no name of a file in the folder `{FILES}` of the data directory"));
        }
        let table = table::Table::file(name, &self.read(name)?).map_err(|error| format!("the file `{name}`: {error}"))?;
        Ok(LookupTable(table))
    }

    /// The operator's file as it is now.
    fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        let path = Path::new(FILES).join(name);
        let failed = |error: io::Error| format!("the file `{name}` of the folder `{FILES}` cannot be read: {error}");
        let file = self.disk.open(&path, false).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                format!("there is no file `{name}` in the folder `{FILES}` of the data directory; put it there")
            }
            _ => failed(error),
        })?;
        let len = file.len().map_err(failed)?;
        if len > self.limit.0 {
            return Err(format!("the file `{name}` has {len} bytes; at most {} are allowed (`lookup`)", self.limit));
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        let got = file.read_at(&mut bytes, 0).map_err(failed)?;
        bytes.truncate(got);
        Ok(bytes)
    }

    /// Copies the operator's file as it is now; gives its hash.
    fn keep(&self, name: &str) -> Result<String, String> {
        let bytes = self.read(name)?;
        let sha256 = hex(&Sha256::digest(&bytes));
        let copy = Path::new(COPIES).join(&sha256);
        let _one = self.keeping.lock();
        self.recent.touch(&sha256);
        let same = |map: &[u8]| map.len() == bytes.len() && hex(&Sha256::digest(map)) == sha256;
        if !self.disk.map(&copy).is_ok_and(|map| same(&map)) {
            let kept = self.disk.create_dir_all(Path::new(COPIES)).and_then(|()| write_whole(&self.disk, &copy, &bytes));
            kept.map_err(|error| format!("the file `{name}` cannot be kept for the chain: {error}"))?;
        }
        Ok(sha256)
    }

    /// Removes copies that nobody refers to.
    pub(super) fn sweep(&self, referred: &Referred, swept: &mut Swept) -> io::Result<()> {
        let _one = self.keeping.lock();
        let recent = self.recent.all();
        for entry in self.disk.list(Path::new(COPIES))? {
            // One that is half written a crash left behind: nobody writes now.
            let sha256 = entry.name.strip_suffix(".new").unwrap_or(&entry.name);
            let is_copy = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
            let needed = sha256 == entry.name && (referred.has_lookup(sha256) || recent.contains(sha256));
            if is_copy && !needed {
                self.disk.remove_file(&Path::new(COPIES).join(&entry.name))?;
                swept.add(entry.len);
            }
        }
        Ok(())
    }

    /// A copy's bytes, where it is here and not too large.
    pub(super) fn bytes(&self, sha256: &str, most: u64) -> Option<Vec<u8>> {
        if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let map = self.disk.map(&PathBuf::from(COPIES).join(sha256)).ok()?;
        (map.len() as u64 <= most && hex(&Sha256::digest(&*map)) == sha256).then(|| map.to_vec())
    }

    /// Opens a copy.
    fn copy(&self, kind: &str, name: &str, sha256: &str) -> Result<Lookup, String> {
        let lost = || format!("what the file `{name}` held when the chain was made ({sha256}) is no longer on this box");
        // A hash comes out of records; it must not become another path.
        if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(lost());
        }
        let map = self.disk.map(&PathBuf::from(COPIES).join(sha256)).map_err(|_| lost())?;
        if hex(&Sha256::digest(&*map)) != sha256 {
            return Err(lost());
        }
        let opened = match kind {
            lookup_kind::GEOIP => geoip::Geoip::open(map).map(Lookup::Geoip),
            _ => table::Table::file(name, &map).map(Lookup::Table),
        };
        opened.map_err(|error| format!("the file `{name}`: {error}"))
    }
}

#[cfg(test)]
mod tests;
