//! Reading the payloads of a part's rows (`part/payload.rs`).

use super::PartSource;
use crate::store::StoreError;
use crate::store::part::FIRST_FIELD;
use crate::store::part::bits::Reader;
use crate::store::part::chunk::{self, encoding};
use crate::store::part::directory::Holds;
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
        let Some(at) = directory.dirs.iter().rposition(|dir| dir.holds == Holds::Payloads) else { return Ok(None) };
        let number = u32::try_from(at).unwrap_or(u32::MAX).saturating_add(FIRST_FIELD);
        let Some((chunk, bytes)) = self.raw_chunk(group, number)? else { return Ok(None) };
        let rows = self.rows(group);
        let read = || {
            let mut reader = Reader(bytes);
            let (present, count) = chunk::presence(&mut reader, rows)?;
            let codes =
                chunk::codes(&mut Reader(reader.bytes()?), encoding::CODES, count, directory.templates.payloads.len() + 1)?;
            let stored = codes.iter().filter(|code| **code == 1).count();
            let codes: Option<Vec<u8>> = codes.into_iter().map(|code| u8::try_from(code).ok()).collect();
            let encoded = reader.u8()?;
            let (ends, bytes) = chunk::text(&mut reader, encoded, stored)?;
            Some(Kept { codes: chunk::spread(codes?, &present, rows), ends, bytes })
        };
        match read() {
            // What they are made of may be lost, and with it what they were.
            Some(kept) if self.skips_damage && self.rendered(group, &kept).is_err() => Ok(None),
            None if self.skips_damage => Ok(None),
            read => read.map(Some).ok_or_else(|| self.file.damaged(chunk.offset, "payloads that make no sense")),
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
