//! The stock filters as `filters/build.sh` built them, embedded in one compressed archive (`build.rs`).
//!
//! A crate because every folder of `filters/` is one, and so that whoever embeds them depends on bytes and not on a Wasm
//! toolchain. `BUILT` beside them says which compiler made them, and their hashes.

include!(concat!(env!("OUT_DIR"), "/stock.rs"));

static ARCHIVE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/stock.zst"));

/// The module of a stock filter. All of them are unpacked for it, some milliseconds: for those who load filters, not for those who run them.
pub fn module(name: &str) -> Option<Vec<u8>> {
    let at = STOCK.iter().position(|(stock, ..)| *stock == name)?;
    let length = |part: &[(&str, &str, usize)]| part.iter().map(|(.., length)| length).sum::<usize>();
    let all = zstd::bulk::decompress(ARCHIVE, length(&STOCK)).ok()?;
    let start = length(STOCK.get(..at)?);
    Some(all.get(start..start + STOCK.get(at)?.2)?.to_vec())
}

#[cfg(test)]
mod tests {
    use super::{ARCHIVE, STOCK, module};

    #[test]
    fn each_is_a_module_that_was_recorded() {
        let built = include_str!("../BUILT");
        assert_eq!(built.lines().filter(|line| line.ends_with(".wasm")).count(), STOCK.len());
        for (name, hash, length) in STOCK {
            let module = module(name).unwrap();
            assert_eq!(module.get(..8), Some(&b"\0asm\x01\0\0\0"[..]), "{name}");
            assert_eq!(module.len(), length, "{name}");
            assert!(built.contains(&format!("{hash}  {name}.wasm")), "{name} is not in BUILT");
            assert!(module.len() < 256 * 1024, "{name} has grown to {} bytes", module.len());
        }
        assert_eq!(module("none"), None);
        assert!(ARCHIVE.len() < 640 * 1024, "the archive has grown to {} bytes", ARCHIVE.len());
    }
}
