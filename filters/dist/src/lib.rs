//! The stock filters as `filters/build.sh` built them, embedded.
//!
//! A crate because every folder of `filters/` is one, and so that whoever embeds them depends on bytes and not on a Wasm
//! toolchain. `BUILT` beside them says which compiler made them, and their hashes.

/// Name and module of every stock filter.
pub const STOCK: [(&str, &[u8]); 9] = [
    ("access-log", include_bytes!("../access-log.wasm")),
    ("dedup", include_bytes!("../dedup.wasm")),
    ("drop", include_bytes!("../drop.wasm")),
    ("grok", include_bytes!("../grok.wasm")),
    ("json", include_bytes!("../json.wasm")),
    ("multiline", include_bytes!("../multiline.wasm")),
    ("route", include_bytes!("../route.wasm")),
    ("tag", include_bytes!("../tag.wasm")),
    ("throttle", include_bytes!("../throttle.wasm")),
];

#[cfg(test)]
mod tests {
    use super::STOCK;

    #[test]
    fn each_is_a_module_that_was_recorded() {
        let built = include_str!("../BUILT");
        assert_eq!(built.lines().filter(|line| line.ends_with(".wasm")).count(), STOCK.len());
        for (name, module) in STOCK {
            assert_eq!(module.get(..8), Some(&b"\0asm\x01\0\0\0"[..]), "{name}");
            assert!(built.contains(&format!(" {name}.wasm")), "{name} is not in BUILT");
            assert!(module.len() < 256 * 1024, "{name} has grown to {} bytes", module.len());
        }
    }
}
