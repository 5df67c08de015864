//! The stock filters, built from `filters/` and committed as `.wasm`, so that building the box needs no Wasm toolchain.

/// Name and module of each.
pub(super) const FILTERS: &[(&str, &[u8])] = &[
    ("access-log", include_bytes!("../../filters/dist/access-log.wasm")),
    ("drop", include_bytes!("../../filters/dist/drop.wasm")),
    ("grok", include_bytes!("../../filters/dist/grok.wasm")),
    ("json", include_bytes!("../../filters/dist/json.wasm")),
    ("tag", include_bytes!("../../filters/dist/tag.wasm")),
];
