//! The stock filters, built from `filters/` and committed as `.wasm`, so that building the box needs no Wasm toolchain.

use super::FilterError;

/// Name, hash and length of each.
pub(super) const FILTERS: &[(&str, &str, usize)] = &filter_dist::STOCK;

/// The module of one.
pub(super) fn module(name: &str) -> Result<Vec<u8>, FilterError> {
    filter_dist::module(name).ok_or_else(|| FilterError::Missing(format!("there is no stock filter `{name}`")))
}

#[cfg(test)]
mod tests {
    use super::{FILTERS, module};

    #[test]
    fn each_has_the_hash_that_was_recorded() {
        for (name, hash, _) in FILTERS {
            assert_eq!(crate::sandbox::catalog::sha256(&module(name).unwrap()), *hash, "{name}");
        }
    }
}
