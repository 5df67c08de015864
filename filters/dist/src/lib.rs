//! The stock filters as `filters/build.sh` built them, embedded.
//!
//! A crate because every folder of `filters/` is one, and so that whoever embeds them depends on bytes and not on a Wasm
//! toolchain. `BUILT` beside them says which compiler made them, and their hashes.

/// Name and module of every stock filter.
pub const STOCK: [(&str, &[u8]); 21] = [
    ("access-log", include_bytes!("../access-log.wasm")),
    ("csv", include_bytes!("../csv.wasm")),
    ("date", include_bytes!("../date.wasm")),
    ("dedup", include_bytes!("../dedup.wasm")),
    ("dissect", include_bytes!("../dissect.wasm")),
    ("dns", include_bytes!("../dns.wasm")),
    ("drop", include_bytes!("../drop.wasm")),
    ("geoip", include_bytes!("../geoip.wasm")),
    ("grok", include_bytes!("../grok.wasm")),
    ("json", include_bytes!("../json.wasm")),
    ("kv", include_bytes!("../kv.wasm")),
    ("multiline", include_bytes!("../multiline.wasm")),
    ("mutate", include_bytes!("../mutate.wasm")),
    ("redact", include_bytes!("../redact.wasm")),
    ("route", include_bytes!("../route.wasm")),
    ("sample", include_bytes!("../sample.wasm")),
    ("syslog", include_bytes!("../syslog.wasm")),
    ("tag", include_bytes!("../tag.wasm")),
    ("throttle", include_bytes!("../throttle.wasm")),
    ("translate", include_bytes!("../translate.wasm")),
    ("useragent", include_bytes!("../useragent.wasm")),
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
