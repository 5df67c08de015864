//! How large the automaton of an expression is, which is what a byte of text may cost it at worst.
//!
//! Limits: an estimate, at most some times too large or too small. What is refused for its size is refused by the engine.

use regex_syntax::hir::{Class, Hir, HirKind};

/// About how many states the expression has, with its repetitions written out.
pub(super) fn states(pattern: &str, unicode: bool) -> u64 {
    let parsed = regex_syntax::ParserBuilder::new()
        .utf8(false)
        .unicode(unicode)
        .multi_line(true)
        .dot_matches_new_line(true)
        .build()
        .parse(pattern);
    // What does not parse is not searched with.
    parsed.map_or(1, |hir| of(&hir))
}

fn of(hir: &Hir) -> u64 {
    let all = |parts: &[Hir]| parts.iter().map(of).fold(1, u64::saturating_add);
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Class(Class::Bytes(_)) => 1,
        HirKind::Literal(literal) => literal.0.len() as u64,
        // Characters of several bytes take a state a byte; neighbours share most of them.
        HirKind::Class(Class::Unicode(class)) => 1 + 2 * class.ranges().len() as u64,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(1);
            of(&repetition.sub).saturating_mul(u64::from(times)).saturating_add(1)
        }
        HirKind::Capture(capture) => of(&capture.sub).saturating_add(2),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => all(parts),
    }
}

#[cfg(test)]
mod tests {
    use super::states;

    #[test]
    fn repetitions_are_written_out() {
        assert_eq!(states("abc", false), 3);
        assert!(states("(?:a?){3000}b", false) > 3000);
        assert!(states("(?:(?:a{100}){100}){100}", false) >= 1_000_000);
        assert!(states(r"\p{L}", true) > 500);
        assert!((2..10).contains(&states("[a-z]*x", false)));
    }
}
