//! The sources of a query as each of its stages sees them: as they are stored, or through a program of computed columns.

use std::sync::Arc;

use super::computed::Computed;
use super::made::Shared;
use super::split::{Stage, Steps};
use super::{Request, Stats};
use crate::base::predicate::Predicate;
use crate::store::source::Source;

/// Sources, seen by stages.
#[derive(Debug)]
pub struct Layers {
    /// As the head sees them.
    pub sources: Vec<Arc<dyn Source>>,
    /// The same, where columns are computed; else empty.
    pub computed: Vec<Arc<Computed>>,
    /// The predicates, in order.
    pub stages: Vec<Layer>,
    shared: Vec<Arc<Shared>>,
}

/// A predicate and the sources that it is asked of.
#[derive(Debug)]
pub struct Layer {
    /// Which rows.
    pub predicate: Predicate,
    /// Whether it asks for what is computed.
    pub computed: bool,
    /// Of what; none: of what the head sees.
    pub sources: Option<Vec<Arc<dyn Source>>>,
}

impl Layers {
    /// The sources as the steps see them.
    pub fn new(sources: &[Arc<dyn Source>], steps: &Steps, request: &Request) -> Self {
        let mut all = Vec::new();
        let mut through = |program: usize| -> Vec<Arc<Computed>> {
            let shared = Arc::new(Shared::default());
            all.push(Arc::clone(&shared));
            let program = steps.programs.get(program).filter(|program| !program.is_empty());
            let computed = |program: &Arc<_>| {
                let one = |(own, source): (usize, &Arc<dyn Source>)| {
                    Arc::new(Computed::new(Arc::clone(source), own, Arc::clone(program), Arc::clone(&shared)))
                };
                sources.iter().enumerate().map(one).collect()
            };
            program.map_or_else(Vec::new, computed)
        };
        let seen = |computed: &[Arc<Computed>]| -> Vec<Arc<dyn Source>> {
            if computed.is_empty() {
                return sources.to_vec();
            }
            computed.iter().map(|own| Arc::clone(own) as Arc<dyn Source>).collect()
        };
        let last = steps.programs.len().saturating_sub(1);
        let computed = through(last);
        let mut layer = |(index, stage): (usize, &Stage)| {
            let predicate = stage.predicate.clone();
            Layer {
                predicate: if index == 0 { within(predicate, request.from_ns, request.to_ns) } else { predicate },
                computed: stage.computed,
                sources: (stage.program != last).then(|| seen(&through(stage.program))),
            }
        };
        let stages = steps.stages.iter().enumerate().map(&mut layer).collect();
        Self { sources: seen(&computed), stages, computed, shared: all }
    }

    /// Says what had no room.
    pub fn finish(&self, stats: &mut Stats) {
        if self.shared.iter().any(|shared| shared.is_cut()) {
            stats.miss("some computed texts did not fit into memory; they are left out");
        }
    }
}

/// A predicate and a range of time `[from, to)`.
fn within(predicate: Predicate, from: Option<i64>, to: Option<i64>) -> Predicate {
    let range = match (from, to) {
        (None, None) => return predicate,
        (_, Some(i64::MIN)) => return Predicate::none(),
        (from, to) => Predicate::time(from.unwrap_or(i64::MIN), to.map_or(i64::MAX, |to| to - 1)),
    };
    if predicate == Predicate::All { range } else { Predicate::And(vec![range, predicate]) }
}
