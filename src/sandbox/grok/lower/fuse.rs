//! Steps that always follow each other, made one: what a processor pays for is going from step to step.
//!
//! A note, single bytes and sets in a row, another note and the jump behind them become one [`Op::Text`] or [`Op::Row`]. Every
//! place is fused by itself and the steps behind it stay, so whoever jumps into the middle finds what was there.

use super::program::{Draft, NO_NOTE, Op};

/// Most bytes that one step looks at: a word.
const MOST: usize = 8;

/// Fuses what can be; `None` where there are too many sets.
pub(super) fn fuse(draft: &mut Draft) -> Option<()> {
    let plain = draft.ops.clone();
    for place in 0..plain.len() {
        if let Some(op) = fused(draft, &plain, place)? {
            *draft.ops.get_mut(place)? = op;
        }
    }
    Some(())
}

/// The place where it goes on from here, past jumps.
fn past_jumps(ops: &[Op], mut place: usize) -> usize {
    for _ in 0..ops.len() {
        match ops.get(place) {
            Some(Op::Jump(to)) => place = *to as usize,
            _ => break,
        }
    }
    place
}

/// A note at this place, and where it goes on behind it.
fn note(ops: &[Op], place: usize) -> Option<(u16, usize)> {
    match ops.get(place) {
        Some(Op::Save(slot)) => Some((Some(*slot).filter(|slot| *slot != NO_NOTE)?, past_jumps(ops, place + 1))),
        _ => Some((NO_NOTE, place)),
    }
}

/// The step that does what this one and those behind it do; the inner `None` where there is none.
fn fused(draft: &mut Draft, plain: &[Op], place: usize) -> Option<Option<Op>> {
    let Some((before, mut next)) = note(plain, place) else { return Some(None) };
    let (mut sets, mut bytes) = (Vec::new(), Vec::new());
    loop {
        let literal = match plain.get(next) {
            Some(Op::Byte(byte)) => vec![*byte],
            Some(Op::Literal { at, len }) => draft.literals.get(*at as usize..)?.get(..*len as usize)?.to_vec(),
            Some(Op::Set(set)) if sets.len() < MOST => {
                sets.push(*set);
                next = past_jumps(plain, next + 1);
                continue;
            }
            _ => break,
        };
        if sets.len() + literal.len() > MOST {
            break;
        }
        for byte in literal {
            sets.push(draft.set(&super::sets::ByteSet::one(byte))?);
            bytes.push(byte);
        }
        next = past_jumps(plain, next + 1);
    }
    if sets.is_empty() {
        return Some(None);
    }
    let Some((after, next)) = note(plain, next) else { return Some(None) };
    let (to, len) = (u32::try_from(next).ok()?, u8::try_from(sets.len()).ok()?);
    Some(Some(if bytes.len() == sets.len() {
        let at = u32::try_from(draft.literals.len()).ok()?;
        draft.literals.extend_from_slice(&bytes);
        Op::Text { at, len, before, after, to }
    } else {
        let at = u32::try_from(draft.rows.len()).ok()?;
        draft.rows.extend_from_slice(&sets);
        Op::Row { at, len, before, after, to }
    }))
}
