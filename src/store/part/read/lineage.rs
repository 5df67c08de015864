//! Where the rows of a part came from.

use super::super::{N_COLUMN, OFFSET_COLUMN};
use super::PartSource;
use crate::store::StoreError;
use crate::store::source::{Lineage, Run, Source};

impl PartSource {
    pub(super) fn lineage_of(&self, group: usize) -> Result<Lineage, StoreError> {
        let directory = self.directory()?;
        let rows = self.rows(group);
        let offsets = self.system_ints(group, OFFSET_COLUMN)?.into_iter().map(i64::cast_unsigned).collect();
        let ns = self.system_ints(group, N_COLUMN)?.into_iter().map(|n| u16::try_from(n).unwrap_or(u16::MAX)).collect();
        let mut lineage = Lineage { offsets, ns, ..Lineage::default() };
        let start = directory.starts.get(group).copied().unwrap_or(0);
        let mut run = directory.run_ends.partition_point(|end| *end <= start);
        while let (Some(of), Some(end)) = (directory.runs.get(run), directory.run_ends.get(run)) {
            let upto = usize::try_from(end - start).unwrap_or(rows).min(rows);
            lineage.partitions.resize(upto, of.partition);
            lineage.generations.resize(upto, of.generation);
            if upto == rows {
                break;
            }
            run += 1;
        }
        Ok(lineage)
    }

    pub(super) fn runs_of(&self, group: usize) -> Result<Vec<Run>, StoreError> {
        let directory = self.directory()?;
        let start = directory.starts.get(group).copied().unwrap_or(0);
        let end = start + self.rows(group) as u64;
        let mut at = directory.run_ends.partition_point(|run_end| *run_end <= start);
        let mut from = start;
        let mut runs = Vec::new();
        while let (Some(of), Some(run_end)) = (directory.runs.get(at), directory.run_ends.get(at)) {
            let upto = (*run_end).min(end);
            let rows = usize::try_from(upto.saturating_sub(from)).unwrap_or(usize::MAX);
            runs.push(Run { rows, partition: of.partition, generation: of.generation, first: of.first, last: of.last });
            if upto == end {
                break;
            }
            from = upto;
            at += 1;
        }
        Ok(runs)
    }
}
