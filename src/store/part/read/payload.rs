//! Reading the payloads of a part's rows (`part/payload.rs`).

use super::PartSource;
use crate::store::StoreError;
use crate::store::part::FIRST_FIELD;
use crate::store::part::bits::Reader;
use crate::store::part::chunk::{self, encoding};
use crate::store::part::directory::{ChunkRef, Holds};
use crate::store::part::envelope::Envelopes;
use crate::store::part::payload::Kept;
use crate::store::part::template::Template;
use crate::store::source::{Chunk, Source};

impl PartSource {
    /// How its payloads are made.
    ///
    /// # Errors
    /// Damage.
    pub fn payload_templates(&self) -> Result<&[Template], StoreError> {
        Ok(&self.directory()?.templates.payloads)
    }

    /// How the payload of each row of a group is kept; `None` where no row's is.
    ///
    /// # Errors
    /// Damage.
    pub fn payloads(&self, group: usize) -> Result<Option<Kept>, StoreError> {
        let directory = self.directory()?;
        let Some((chunk, bytes)) = self.payload_chunk(group)? else { return Ok(None) };
        let rows = self.rows(group);
        let read = || {
            let mut reader = Reader(bytes);
            let (present, count) = chunk::presence(&mut reader, rows)?;
            let codes =
                chunk::codes(&mut Reader(reader.bytes()?), encoding::CODES, count, directory.templates.payloads.len() + 1)?;
            let stored = codes.iter().filter(|code| **code == 1).count();
            let codes: Option<Vec<u8>> = codes.into_iter().map(|code| u8::try_from(code).ok()).collect();
            if chunk.encoding == encoding::KEPT {
                reader.bytes()?;
            }
            let encoded = reader.u8()?;
            let (ends, bytes) = chunk::text(&mut reader, encoded, stored)?;
            Some(Kept { codes: chunk::spread(codes?, &present, rows), ends, bytes, ..Kept::default() })
        };
        match read() {
            // What they are made of may be lost, and with it what they were.
            Some(kept) if self.skips_damage && self.rendered(group, &kept).is_err() => Ok(None),
            None if self.skips_damage => Ok(None),
            read => read.map(Some).ok_or_else(|| self.file.damaged(chunk.offset, "payloads that make no sense")),
        }
    }

    fn payload_chunk(&self, group: usize) -> Result<Option<(ChunkRef, &[u8])>, StoreError> {
        let dirs = &self.directory()?.dirs;
        let Some(at) = dirs.iter().rposition(|dir| dir.holds == Holds::Payloads) else { return Ok(None) };
        self.raw_chunk(group, u32::try_from(at).unwrap_or(u32::MAX).saturating_add(FIRST_FIELD))
    }

    /// What the records of a group's rows had beside their payloads.
    pub(super) fn envelopes_of(&self, group: usize) -> Result<Option<Envelopes>, StoreError> {
        let Some((chunk, bytes)) = self.payload_chunk(group)?.filter(|(chunk, _)| chunk.encoding == encoding::KEPT) else {
            return Ok(None);
        };
        let total = self.rows(group);
        let mut reader = Reader(bytes);
        let place = chunk::presence(&mut reader, total).and_then(|(present, _)| {
            reader.bytes()?;
            let rows: Vec<u16> = (0u16..).zip(0..total).filter(|(_, row)| present.has(*row)).map(|(row, _)| row).collect();
            Some((rows, reader.bytes()?))
        });
        let read = match place {
            Some((rows, bytes)) => Envelopes::decode(bytes, &rows, || self.times(group)),
            None => Ok(None),
        };
        match read {
            Err(StoreError::Damaged { .. }) | Ok(None) if self.skips_damage => Ok(None),
            read => read?.map(Some).ok_or_else(|| self.file.damaged(chunk.offset, "payloads whose records make no sense")),
        }
    }

    fn rendered(&self, group: usize, kept: &Kept) -> Result<Chunk, StoreError> {
        let templates = self.payload_templates()?;
        let fields = self.fields(group, templates, false)?;
        let made = kept.render(self.rows(group), templates, &fields);
        made.ok_or_else(|| self.file.damaged(0, "payloads that are made of what is not there"))
    }

    /// The payloads of a group.
    pub(super) fn rendered_payloads(&self, group: usize) -> Result<Option<Chunk>, StoreError> {
        self.payloads(group)?.map(|kept| self.rendered(group, &kept)).transpose()
    }
}
