//! Tests of the whole library, in one binary.

mod lineage_model;
mod relay_box;
mod relay_folder;
mod relay_guest;
mod relay_outputs;
mod relay_swap;
