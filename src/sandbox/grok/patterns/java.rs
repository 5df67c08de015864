//! Written next.

use super::Entry;

pub(super) const PATTERNS: &[Entry] = &[];
