//! Dictionary codes in fewer bits where a few of them are most: a chunk of encoding 31.
//!
//! ```text
//! body: count varint of distinct codes, these codes varints, the most frequent first; encoding u8 (1-4), its body: k whole
//!       numbers, each value's place among them
//! ```
//! Codes are in the order of their entries' bytes, so those that come often lie anywhere; their ranks are small, and the others
//! patches. `200` of a column of status codes then takes a bit, not four.

use super::bits::{Reader, equal, packed_len, put_varint, width_of};
use super::chunk::{self, encoding};
use crate::store::source::Present;

/// Fewer codes are not ranked.
const FEW_CODES: usize = 256;
/// Codes that lie further apart are not ranked.
const MOST_RANKED: usize = 4096;

/// Appends dictionary codes, ranked by how often they come if that is a tenth smaller.
pub fn put(out: &mut Vec<u8>, codes: &[u32]) -> u8 {
    let (start, least) = (out.len(), codes.iter().min().copied().unwrap_or(0));
    let span = (codes.iter().max().copied().unwrap_or(0) - least) as usize;
    let encoded = chunk::put_codes(out, codes);
    if codes.len() < FEW_CODES || span == 0 || span >= MOST_RANKED {
        return encoded;
    }
    let place = |code: &u32| (code - least) as usize;
    let mut counts = vec![0u32; span + 1];
    codes.iter().for_each(|code| counts[place(code)] += 1);
    let mut order: Vec<u32> = (least..).zip(&counts).filter(|(_, count)| **count > 0).map(|(code, _)| code).collect();
    order.sort_by_key(|code| std::cmp::Reverse(counts[place(code)]));
    let mut ranks = vec![0i64; span + 1];
    for (rank, code) in (0i64..).zip(&order) {
        ranks[place(code)] = rank;
    }
    let mut ranked = Vec::new();
    put_varint(&mut ranked, order.len() as u64);
    order.iter().for_each(|code| put_varint(&mut ranked, u64::from(*code)));
    let tag = ranked.len();
    ranked.push(0);
    let values: Vec<i64> = codes.iter().map(|code| ranks[place(code)]).collect();
    ranked[tag] = chunk::put_ints(&mut ranked, &values);
    let plain = out.len() - start;
    if ranked.len() + plain / 10 >= plain {
        return encoded;
    }
    out.truncate(start);
    out.extend_from_slice(&ranked);
    encoding::RANKED
}

/// Reads what [`put`] wrote, as [`chunk::codes`] does.
pub fn codes(reader: &mut Reader<'_>, encoded: u8, count: usize, entries: usize) -> Option<Vec<u32>> {
    if encoded != encoding::RANKED {
        return chunk::codes(reader, encoded, count, entries);
    }
    let distinct = reader.size()?;
    let mut order = Vec::with_capacity(reader.at_most(distinct, 1)?);
    for _ in 0..distinct {
        order.push(reader.number().filter(|code| (*code as usize) < entries)? + 1);
    }
    let inner = reader.u8()?;
    let ranks = chunk::ints(reader, inner, count)?;
    ranks.into_iter().map(|rank| order.get(usize::try_from(rank).ok()?).copied()).collect()
}

/// Which of `total` rows have a code of [`codes`], as set bits: `Some(None)` where only all codes tell. Reads a chunk from its presence on.
pub fn having(reader: &mut Reader<'_>, encoded: u8, total: usize, code: u32) -> Option<Option<Vec<u64>>> {
    let (present, count) = chunk::presence(reader, total)?;
    let none = || Some(Some(vec![0; total.div_ceil(64)]));
    let entry = code.checked_sub(1)?;
    if encoded == encoding::RANKED {
        let distinct = reader.size()?;
        for _ in 0..distinct {
            if reader.number()? == entry {
                return Some(None);
            }
        }
        return none();
    }
    let base = reader.varint()?;
    let width = reader.u8().filter(|width| *width <= 32)?;
    match u64::from(entry).checked_sub(base).and_then(|wanted| u32::try_from(wanted).ok()) {
        Some(wanted) if width_of(u64::from(wanted)) <= width => {
            let found = equal(reader.take(packed_len(count, width))?, count, width, wanted)?;
            Some(Some(spread(found, &present)))
        }
        _ => none(),
    }
}

/// Puts the bits of `k` values where they belong among all rows.
fn spread(values: Vec<u64>, present: &Present) -> Vec<u64> {
    let Present::Some(words) = present else { return values };
    let mut all = vec![0; words.len()];
    let mut before = 0;
    for (out, word) in all.iter_mut().zip(words) {
        let mut rest = *word;
        while rest != 0 {
            let bit = values.get(before / 64).map_or(0, |value| value >> (before % 64) & 1);
            *out |= bit << rest.trailing_zeros();
            rest &= rest - 1;
            before += 1;
        }
    }
    all
}
