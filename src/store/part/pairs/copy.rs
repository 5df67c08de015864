//! Pairs of groups that a merge takes over whole: the segment is copied, and says which of the new groups its slots are.

use hashbrown::HashMap;

use super::{Run, Segment};
use crate::store::StoreError;
use crate::store::part::chunk::encoding;
use crate::store::part::job::{Input, Job, Mapping};
use crate::store::part::out::Out;

/// Copies what can be copied of a column's pairs; which of the new groups are in it then.
///
/// # Errors
/// The disk's. Damaged pairs are made anew.
pub fn copied(
    job: &Job<'_>,
    mapping: &Mapping,
    column: u32,
    wanted: &impl Fn(usize) -> bool,
    out: &mut Out<'_>,
) -> Result<(Vec<Segment>, Vec<bool>), StoreError> {
    let (mut segments, mut covered) = (Vec::new(), vec![false; job.groups.len()]);
    if job.inputs.iter().all(|input| matches!(input, Input::Mem(_))) {
        return Ok((segments, covered));
    }
    let mut went = HashMap::new();
    for (place, (group, pieces)) in (0u32..).zip(job.groups.iter().enumerate()) {
        if let ([piece], Some((_, from)), true) = (pieces.as_slice(), job.verbatim(pieces), wanted(group)) {
            went.insert((piece.input, from), place);
        }
    }
    for (at, input) in job.inputs.iter().enumerate() {
        let (Input::Part(source), Some(from)) = (input, mapping.get(at).copied().flatten()) else { continue };
        for segment in source.segments(from).unwrap_or(&[]).iter().filter(|segment| !segment.dictionary) {
            let goes_to = |group: u32| {
                let group = usize::try_from(group).ok()?;
                // Of messages that templates make, only those are in that none makes.
                let is_whole = source.encoding(group, from) != Some(encoding::DERIVED);
                went.get(&(at, group)).copied().filter(|_| is_whole)
            };
            let (runs, all) = moved(segment, goes_to);
            let kept: u32 = runs.iter().map(|run| run.groups).sum();
            if kept * 2 < all || kept == 0 {
                continue;
            }
            let Some(bytes) = source.segment_bytes(segment) else { continue };
            let offset = out.at();
            out.put(bytes)?;
            for group in runs.iter().flat_map(|run| run.group..run.group + run.groups) {
                if let Some(place) = covered.get_mut(group as usize) {
                    *place = true;
                }
            }
            segments.push(Segment { column, offset, runs, ..segment.clone() });
        }
    }
    Ok((segments, covered))
}

/// The runs of a segment whose groups have moved, and how many groups it had.
fn moved(segment: &Segment, goes_to: impl Fn(u32) -> Option<u32>) -> (Vec<Run>, u32) {
    let mut runs: Vec<Run> = Vec::new();
    let mut all = 0;
    for (slot, groups) in segment.places() {
        let count = groups.end.saturating_sub(groups.start);
        all += count;
        let Some(first) = goes_to(groups.start) else { continue };
        // A slot of several groups is of use only where they still stand together.
        if !groups.zip(first..).all(|(old, new)| goes_to(old) == Some(new)) {
            continue;
        }
        match runs.last_mut() {
            Some(run)
                if run.slot + run.slots == slot
                    && run.group + run.groups == first
                    && run.groups.is_multiple_of(1 << segment.power) =>
            {
                run.slots += 1;
                run.groups += count;
            }
            _ => runs.push(Run { slot, slots: 1, group: first, groups: count }),
        }
    }
    (runs, all)
}

#[cfg(test)]
mod tests {
    use super::super::Sort;
    use super::super::segment::Shape;
    use super::*;

    #[test]
    fn slots_follow_their_groups() {
        let shape = Shape { slots: 4, hash_bits: 8, bucket_bits: 0, offset_bits: 3, gap_bits: 1, body: 9 };
        let run = |slot, slots, group, groups| Run { slot, slots, group, groups };
        let mut segment = Segment {
            column: 0,
            dictionary: false,
            sort: Sort::Words,
            power: 0,
            shape,
            offset: 0,
            open: Vec::new(),
            runs: vec![run(0, 4, 2, 4)],
        };
        assert_eq!(moved(&segment, |group| Some(group + 10)), (vec![run(0, 4, 12, 4)], 4));
        assert_eq!(moved(&segment, |group| (group != 3).then_some(group)), (vec![run(0, 1, 2, 1), run(2, 2, 4, 2)], 4));
        assert_eq!(moved(&segment, |group| Some(10 - group)).0.len(), 4, "the other way round");
        (segment.power, segment.runs) = (1, vec![run(0, 2, 0, 3), run(2, 2, 8, 4)]);
        assert_eq!(moved(&segment, Some), (vec![run(0, 2, 0, 3), run(2, 2, 8, 4)], 7));
        assert_eq!(moved(&segment, |group| (group != 9).then_some(group)), (vec![run(0, 2, 0, 3), run(3, 1, 10, 2)], 7));
        assert_eq!(moved(&segment, |_| None), (Vec::new(), 7));
    }
}
