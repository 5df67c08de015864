//! The stock filters, built from `filters/` and committed as `.wasm`, so that building the box needs no Wasm toolchain.

/// Name and module of each.
pub(super) const FILTERS: &[(&str, &[u8])] = &[];
