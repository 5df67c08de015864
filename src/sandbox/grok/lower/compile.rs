//! From the tree of an expression, as `regex-syntax` reads it, to steps.
//!
//! One rule is not plain: `(?:A|S)*`, S one byte of a set that no A begins with, becomes `S*(?:A S*)*`: the same matches in the
//! same order, but runs of S are taken as runs. Quoted strings are written so: `"(?:\\.|[^\\"])*"`.
//! And where several ways in a row begin alike, with a run and a byte that ends it, one look ahead tells whether any of them can
//! succeed: the ways to write an IPv6 address, where there mostly is none.

use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};

use super::program::{At, Choice, Draft, Op, Program};
use super::sets::{ByteSet, SetId};
use super::words::Texts;

/// Not worked out yet.
const LATER: u16 = 0;
/// Most copies that `{n,m}` may make of something that is more than a byte.
const COPIES: u32 = 64;

/// The program of an expression, where it can be lowered.
pub(super) fn compile(hir: &Hir) -> Option<Program> {
    let mut draft = Draft { slots: 2 * (hir.properties().explicit_captures_len() + 1), ..Draft::default() };
    emit(&mut draft, hir)?;
    draft.push(Op::Match)?;
    Program::new(draft, hir.properties().look_set_prefix().contains(Look::Start))
}

/// The longest bytes that every match has, where they are worth looking for.
pub(super) fn required(hir: &Hir) -> Option<Vec<u8>> {
    let longest = |parts: &[Hir]| parts.iter().filter_map(required).max_by_key(Vec::len);
    match hir.kind() {
        HirKind::Literal(literal) if literal.0.len() > 1 => Some(literal.0.to_vec()),
        HirKind::Capture(capture) => required(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => required(&repetition.sub),
        HirKind::Concat(parts) => longest(parts),
        _ => None,
    }
}

/// The set of an expression that is one byte.
pub(super) fn single(hir: &Hir) -> Option<ByteSet> {
    match hir.kind() {
        HirKind::Literal(literal) => match &*literal.0 {
            [byte] => Some(ByteSet::one(*byte)),
            _ => None,
        },
        HirKind::Class(class) => bytes_of(class),
        _ => None,
    }
}

fn bytes_of(class: &Class) -> Option<ByteSet> {
    let ascii;
    let class = match class {
        Class::Bytes(bytes) => bytes,
        Class::Unicode(unicode) => {
            ascii = unicode.to_byte_class()?;
            &ascii
        }
    };
    let mut set = ByteSet::default();
    class.iter().for_each(|range| (range.start()..=range.end()).for_each(|byte| set.add(byte)));
    Some(set)
}

/// What an expression that consumes something may begin with; none where it may consume nothing or that is not clear.
fn begins(hir: &Hir) -> Option<ByteSet> {
    if hir.properties().minimum_len() == Some(0) {
        return None;
    }
    match hir.kind() {
        HirKind::Literal(literal) => literal.0.first().map(|byte| ByteSet::one(*byte)),
        HirKind::Class(class) => bytes_of(class),
        HirKind::Capture(capture) => begins(&capture.sub),
        HirKind::Repetition(repetition) => begins(&repetition.sub),
        HirKind::Concat(parts) => begins(parts.first()?),
        HirKind::Alternation(parts) => parts.iter().try_fold(ByteSet::default(), |mut all, part| {
            all.join(&begins(part)?);
            Some(all)
        }),
        HirKind::Empty | HirKind::Look(_) => None,
    }
}

fn emit(draft: &mut Draft, hir: &Hir) -> Option<()> {
    if let Some(set) = single(hir) {
        return emit_single(draft, hir, &set);
    }
    match hir.kind() {
        HirKind::Empty => {}
        HirKind::Literal(literal) => {
            let at = u32::try_from(draft.literals.len()).ok()?;
            draft.literals.extend_from_slice(&literal.0);
            draft.push(Op::Literal { at, len: u32::try_from(literal.0.len()).ok()? })?;
        }
        // Of more than a byte: Unicode's.
        HirKind::Class(_) => return None,
        HirKind::Look(look) => {
            draft.push(Op::Look(condition(*look)?))?;
        }
        HirKind::Capture(capture) => {
            let slot = u16::try_from(capture.index.checked_mul(2)?).ok()?;
            draft.push(Op::Save(slot))?;
            emit(draft, &capture.sub)?;
            draft.push(Op::Save(slot.checked_add(1)?))?;
        }
        HirKind::Concat(parts) => parts.iter().try_for_each(|part| emit(draft, part))?,
        HirKind::Alternation(parts) => {
            let (texts, from) = (Texts::of(hir), draft.here());
            alternation(draft, parts)?;
            draft.choices.extend(texts.map(|texts| Choice { texts, from, to: draft.here() }));
        }
        HirKind::Repetition(repetition) => repeat(draft, repetition)?,
    }
    Some(())
}

fn emit_single(draft: &mut Draft, hir: &Hir, set: &ByteSet) -> Option<()> {
    let op = match hir.kind() {
        HirKind::Literal(literal) => Op::Byte(*literal.0.first()?),
        _ => Op::Set(draft.set(set)?),
    };
    draft.push(op).map(drop)
}

fn condition(look: Look) -> Option<At> {
    Some(match look {
        Look::Start => At::TextStart,
        Look::End => At::TextEnd,
        Look::StartLF => At::LineStart,
        Look::EndLF => At::LineEnd,
        Look::WordAscii => At::WordEdge,
        Look::WordAsciiNegate => At::NoWordEdge,
        Look::WordStartAscii => At::WordStart,
        Look::WordEndAscii => At::WordEnd,
        Look::WordStartHalfAscii => At::NoWordBefore,
        Look::WordEndHalfAscii => At::NoWordAfter,
        _ => return None,
    })
}

fn alternation(draft: &mut Draft, parts: &[Hir]) -> Option<()> {
    let mut jumps = Vec::new();
    let mut looks: Vec<(u32, usize)> = Vec::new();
    let mut starts = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        starts.push(draft.here());
        if looks.last().is_none_or(|(_, until)| *until <= index)
            && let Some((head, until)) = alike(parts, index)
        {
            let set = draft.set(&head.set)?;
            looks.push((draft.push(head.ahead(set))?, until));
        }
        if index + 1 == parts.len() {
            emit(draft, part)?;
            break;
        }
        let split = open(draft)?;
        emit(draft, part)?;
        jumps.push(draft.push(Op::Jump(0))?);
        let next = draft.here();
        close(draft, split, true, next)?;
    }
    let end = draft.here();
    for jump in jumps {
        *draft.ops.get_mut(jump as usize)? = Op::Jump(end);
    }
    for (look, until) in looks {
        if let Op::Ahead { other, .. } = draft.ops.get_mut(look as usize)? {
            *other = *starts.get(until)?;
        }
    }
    Some(())
}

/// How a way begins: a run, and the byte that ends it.
#[derive(PartialEq, Eq)]
struct Head {
    set: ByteSet,
    min: u16,
    max: u16,
    byte: u8,
}

impl Head {
    fn of(part: &Hir) -> Option<Self> {
        let mut atoms = Vec::new();
        leading(part, &mut atoms);
        let (run, then) = (atoms.first()?, atoms.get(1)?);
        let HirKind::Repetition(Repetition { min, max, sub, .. }) = run.kind() else { return None };
        let HirKind::Literal(literal) = then.kind() else { return None };
        let (set, byte) = (single(sub)?, *literal.0.first()?);
        let (min, max) = (u16::try_from(*min).ok()?, u16::try_from((*max)?).ok()?);
        (min > 0 && !set.has(byte)).then_some(Self { set, min, max, byte })
    }

    fn ahead(&self, set: SetId) -> Op {
        Op::Ahead { set, min: self.min, max: self.max, byte: self.byte, other: 0 }
    }
}

/// The first two things that something consumes in any case, as far as that is plain.
fn leading<'h>(hir: &'h Hir, atoms: &mut Vec<&'h Hir>) {
    match hir.kind() {
        HirKind::Concat(parts) => {
            for part in parts {
                let before = atoms.len();
                leading(part, atoms);
                let plain = matches!(part.kind(), HirKind::Literal(_)) || single_run(part);
                if atoms.len() >= 2 || atoms.len() == before || !plain {
                    return;
                }
            }
        }
        HirKind::Capture(capture) => leading(&capture.sub, atoms),
        HirKind::Repetition(repetition) if repetition.min > 0 && !single_run(hir) => leading(&repetition.sub, atoms),
        _ => atoms.push(hir),
    }
}

/// Whether it is a run of one set.
fn single_run(hir: &Hir) -> bool {
    matches!(hir.kind(), HirKind::Repetition(repetition) if single(&repetition.sub).is_some())
}

/// The head that this way and those after it up to another one share: at least two do, and there is another one.
fn alike(parts: &[Hir], index: usize) -> Option<(Head, usize)> {
    let head = Head::of(parts.get(index)?)?;
    let same = parts[index..].iter().take_while(|part| Head::of(part).as_ref() == Some(&head)).count();
    let until = index + same;
    (same > 1 && until < parts.len()).then_some((head, until))
}

/// A choice between what comes next and something else, said by [`close`].
fn open(draft: &mut Draft) -> Option<u32> {
    draft.push(Op::Split { first: 0, second: 0, on_first: LATER, on_second: LATER })
}

fn close(draft: &mut Draft, split: u32, greedy: bool, other: u32) -> Option<()> {
    let next = split + 1;
    let (first, second) = if greedy { (next, other) } else { (other, next) };
    *draft.ops.get_mut(split as usize)? = Op::Split { first, second, on_first: LATER, on_second: LATER };
    Some(())
}

fn repeat(draft: &mut Draft, repetition: &Repetition) -> Option<()> {
    let Repetition { min, max, greedy, sub } = repetition;
    let (min, greedy) = (*min, *greedy);
    if let Some(set) = single(sub) {
        if greedy || *max == Some(min) {
            let set = draft.set(&set)?;
            return draft.push(Op::Span { set, min, max: max.unwrap_or(u32::MAX), after: None }).map(drop);
        }
        if max.is_none() {
            let set = draft.set(&set)?;
            if min > 0 {
                draft.push(Op::Span { set, min, max: min, after: None })?;
            }
            return draft.push(Op::Lazy { set, after: LATER, again: true }).map(drop);
        }
    }
    // Going round over nothing would never end, and what engines then capture is subtle.
    let nothing = sub.properties().minimum_len() == Some(0);
    if min > COPIES || max.is_some_and(|max| max > COPIES) || (nothing && *max != Some(1) && *max != Some(0)) {
        return None;
    }
    let Some(max) = *max else {
        if min == 0
            && greedy
            && let Some((runs, others)) = runs(sub)
        {
            return runs_and_others(draft, &runs, &others);
        }
        for _ in 1..min {
            emit(draft, sub)?;
        }
        let again = draft.here();
        if min > 0 {
            emit(draft, sub)?;
            let split = open(draft)?;
            let exit = draft.here();
            let (first, second) = if greedy { (again, exit) } else { (exit, again) };
            *draft.ops.get_mut(split as usize)? = Op::Split { first, second, on_first: LATER, on_second: LATER };
            return Some(());
        }
        let split = open(draft)?;
        emit(draft, sub)?;
        draft.push(Op::Jump(again))?;
        let exit = draft.here();
        return close(draft, split, greedy, exit);
    };
    for _ in 0..min {
        emit(draft, sub)?;
    }
    let mut splits = Vec::new();
    for _ in min..max {
        splits.push(open(draft)?);
        emit(draft, sub)?;
    }
    let exit = draft.here();
    splits.into_iter().try_for_each(|split| close(draft, split, greedy, exit))
}

/// The parts of `(?:A|S)*`: S, and the As.
fn runs(sub: &Hir) -> Option<(ByteSet, Vec<&Hir>)> {
    let HirKind::Alternation(parts) = sub.kind() else { return None };
    let mut runs = None;
    let mut others = Vec::new();
    for part in parts {
        match single(part) {
            Some(set) if runs.is_none() => runs = Some(set),
            _ => others.push(part),
        }
    }
    let runs = runs?;
    let apart = others.iter().all(|other| begins(other).is_some_and(|begins| begins.is_apart(&runs)));
    (apart && !others.is_empty()).then_some((runs, others))
}

fn runs_and_others(draft: &mut Draft, runs: &ByteSet, others: &[&Hir]) -> Option<()> {
    let span = Op::Span { set: draft.set(runs)?, min: 0, max: u32::MAX, after: None };
    draft.push(span)?;
    let again = open(draft)?;
    let owned: Vec<Hir> = others.iter().map(|other| (*other).clone()).collect();
    alternation(draft, &owned)?;
    draft.push(span)?;
    draft.push(Op::Jump(again))?;
    let exit = draft.here();
    close(draft, again, true, exit)
}
