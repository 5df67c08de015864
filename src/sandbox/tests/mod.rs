//! The sandbox against filters that mean well, and against filters that do not.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod chains;
mod components;
mod fuzz;
mod guests;
mod hostile;
mod imports;
mod keyed;
mod measure;
mod mutants;
mod remember;
