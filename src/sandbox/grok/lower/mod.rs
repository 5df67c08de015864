//! Grok at hand-written speed: an expression lowered to a few kinds of plain steps.
//!
//! **Purpose.** A log line is mostly literals, runs of a class of bytes, and choices that the next byte decides. A program of such
//! steps ([`program`]) cuts a line as a hand-written parser does, some ten times faster than an automaton with captures.
//!
//! **Meaning** is that of the linear engine, exactly: the leftmost match, and of all matches there the one that the expression
//! prefers. The program is a backtracking search in the order of preference, and what is left out of it is only what cannot
//! succeed: from every choice and after every run it is known which bytes can follow (`ByteSet`), so most of them have one way
//! to go and nothing to come back to. Choices between a few short texts are read as one step where what follows tells their length
//! ([`words`]), and steps that always follow each other are one ([`fuse`]). `tests` holds the two engines equal on random
//! expressions and texts.
//!
//! **Limits.** An expression that would need a loop over nothing, Unicode's classes or more than [`program::MAX_OPS`] steps is not lowered
//! ([`Lowered::new`] gives none). A search has a budget linear in the text, for ways that fail and the bytes they looked at, and a
//! bound on the ways it keeps in mind; past either, it gives up and the caller asks the linear engine, so a text that makes the
//! search go back and forth costs a bounded part more, never more than linear time.
//!
//! **Why not** a one-pass automaton (`regex-automata`): real expressions are not one-pass (`%{IPORHOST}` begins with three ways to
//! read `1`), and the meaning here needs only that most *choices* are decided, not all.

mod compile;
mod fuse;
mod program;
mod run;
mod sets;
#[cfg(test)]
mod tests;
mod words;

use memchr::memmem::Finder;

use program::Program;
pub(super) use run::Memory;

/// What came of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The captures are in the memory.
    Found,
    /// There is no match.
    NotFound,
    /// Too many ways were tried: ask another engine.
    GaveUp,
}

/// A lowered expression.
#[derive(Debug)]
pub(super) struct Lowered {
    program: Program,
    /// Bytes that every match has: texts without them are told at once.
    required: Option<Finder<'static>>,
}

impl Lowered {
    /// Lowers what the linear engine was given, if it can be.
    pub(super) fn new(pattern: &str) -> Option<Self> {
        let hir = regex_syntax::ParserBuilder::new()
            .utf8(false)
            .unicode(false)
            .multi_line(true)
            .dot_matches_new_line(true)
            .build()
            .parse(pattern)
            .ok()?;
        let program = compile::compile(&hir)?;
        let required = compile::required(&hir).map(|bytes| Finder::new(&bytes).into_owned());
        Some(Self { program, required })
    }

    /// Memory for searches with it.
    pub(super) fn memory(&self) -> Memory {
        Memory::new(self.program.slots)
    }

    /// Searches a text.
    pub(super) fn search(&self, text: &[u8], memory: &mut Memory) -> Outcome {
        if memory.is_unlucky() || u32::try_from(text.len()).is_err() {
            return Outcome::GaveUp;
        }
        let outcome = self.search_from_each(text, memory);
        memory.note(outcome);
        outcome
    }

    fn search_from_each(&self, text: &[u8], memory: &mut Memory) -> Outcome {
        let Program { sets, begins, only_at_start, .. } = &self.program;
        let mut budget = run::budget(text.len());
        let mut at = 0;
        let mut tried = false;
        loop {
            if !sets.allows(*begins, text, at) {
                match sets.next(*begins, text, at, text.len()) {
                    Some(next) if !only_at_start => at = next,
                    None if !only_at_start && sets.allows(*begins, text, text.len()) => at = text.len(),
                    _ => return Outcome::NotFound,
                }
            }
            match self.program.run(text, at, memory, &mut budget) {
                Outcome::NotFound => {}
                other => return other,
            }
            if !tried && self.required.as_ref().is_some_and(|required| required.find(text).is_none()) {
                return Outcome::NotFound;
            }
            tried = true;
            at += 1;
            if *only_at_start || at > text.len() {
                return Outcome::NotFound;
            }
        }
    }
}
