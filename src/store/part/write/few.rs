//! The dictionary of a column of numbers, where its values are few.

use super::Writer;
use crate::store::StoreError;
use crate::store::few::Few;
use crate::store::part::job::{Mapping, each_chunk};

/// So many rows there are at least for each value: a dictionary is small beside what it saves from being read.
const ROWS_A_VALUE: u64 = 64;

impl Writer<'_> {
    /// Counts the values of a column that was written, and keeps the counts where they are few.
    pub(super) fn few(&mut self, at: usize, mapping: &Mapping) -> Result<(), StoreError> {
        let job = self.job;
        let mut few = Few::default();
        for pieces in job.groups {
            let mut are_few = true;
            each_chunk(job, pieces, mapping, |_, piece, rows, chunk| {
                are_few = are_few
                    && match &piece.rows {
                        None => few.add_chunk(&chunk, 0..rows),
                        Some(some) => few.add_chunk(&chunk, some.iter().map(|row| usize::from(*row))),
                    };
            })?;
            if !are_few {
                return Ok(());
            }
        }
        let rows = few.rows();
        let (dict, counts) = few.into_entries();
        if dict.is_empty() || (dict.len() as u64).saturating_mul(ROWS_A_VALUE) > rows {
            return Ok(());
        }
        let entries: Vec<_> = counts.iter().enumerate().map(|(entry, &count)| (dict.entry(entry), count)).collect();
        self.dictionary(at, &entries)
    }
}
