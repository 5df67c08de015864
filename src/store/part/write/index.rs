//! Writing the pairs of a column behind it.

use super::Writer;
use crate::store::StoreError;
use crate::store::part::FIRST_FIELD;
use crate::store::part::chunk::encoding;
use crate::store::part::dictionary::BLOCK_ENTRIES;
use crate::store::part::job::Mapping;
use crate::store::part::pairs::build;
use crate::store::source::Kind;

/// Dictionaries of fewer entries are looked through without pairs.
const LEAST_INDEXED: usize = 256;

impl Writer<'_> {
    /// Writes the pairs of a field of strings whose columns, from this one on, were written last.
    pub(super) fn index(&mut self, at: usize, kind: Kind, mapping: &Mapping) -> Result<(), StoreError> {
        let place = u32::try_from(at).unwrap_or(u32::MAX - FIRST_FIELD);
        let groups = &self.groups;
        // What is all in a dictionary is found by that.
        let wanted = |group: usize| {
            let chunks = groups.get(group).map_or(&[][..], |group| &group.chunks);
            let mut own = chunks.iter().rev().take_while(|chunk| chunk.column >= place + FIRST_FIELD);
            own.any(|chunk| !matches!(chunk.encoding, encoding::CODES | encoding::RANKED))
        };
        if matches!(kind, Kind::Str | Kind::List) && (0..groups.len()).any(wanted) {
            let mut segments = build::groups(self.job, mapping, (place, kind), wanted, &mut self.out)?;
            self.pairs.append(&mut segments);
        }
        Ok(())
    }

    /// Writes the pairs of a dictionary's blocks.
    pub(super) fn index_entries(&mut self, number: u32, kind: Kind, entries: &[(&[u8], u64)]) -> Result<(), StoreError> {
        if entries.len() >= LEAST_INDEXED {
            let blocks = entries.chunks(BLOCK_ENTRIES).map(|some| some.iter().map(|entry| entry.0));
            let mut segments = build::dictionary((number - FIRST_FIELD, kind), blocks, &mut self.out)?;
            self.pairs.append(&mut segments);
        }
        Ok(())
    }
}
