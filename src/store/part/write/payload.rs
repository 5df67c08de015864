//! Writing the payloads that rows bring with them: `part/payload.rs` draws them.

use std::sync::Arc;

use super::Writer;
use crate::base::row::PAYLOAD;
use crate::store::StoreError;
use crate::store::part::chunk::encoding;
use crate::store::part::derive::Known;
use crate::store::part::directory::{ChunkRef, Holds};
use crate::store::part::payload::Payloads;
use crate::store::source::{Column, Kind};

impl Writer<'_> {
    /// Writes the payloads of all rows, if any has one. Nothing may be written behind it.
    pub(super) fn payloads(&mut self, known: &[Known<'_>]) -> Result<(), StoreError> {
        let job = self.job;
        let payloads = Payloads::of(job, known)?;
        let mut number = None;
        for (group, pieces) in job.groups.iter().enumerate() {
            let kept = payloads.group(job, pieces)?;
            if kept.is_empty() {
                continue;
            }
            let column = *number.get_or_insert_with(|| self.begin(&Column { name: Arc::from(PAYLOAD), kind: Kind::Str }));
            let bytes = kept.encode(&job.times(pieces)?, &mut self.text);
            let chunk = ChunkRef { column, encoding: encoding::KEPT, offset: 0, length: 0, bounds: None };
            self.add_chunk(group, chunk, &bytes)?;
        }
        if let (Some(_), Some(dir)) = (number, self.columns.last_mut()) {
            dir.holds = Holds::Payloads;
            self.templates.payloads = payloads.templates;
        }
        Ok(())
    }
}
