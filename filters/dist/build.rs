//! Packs the stock filters into one archive: the modules have most of their code in common, so that together they shrink to a ninth.
//!
//! Reads `BUILT` and the modules it lists; writes `stock.zst`, the modules one behind the other, and `stock.rs`, a table of their names,
//! hashes (as `BUILT` has them; `filters/build.sh --check` compares) and lengths.
#![allow(clippy::disallowed_methods, reason = "what the build reads and writes, not the box's data")]

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

/// Packs almost as well as the highest, in a tenth of its time.
const LEVEL: i32 = 9;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=BUILT");
    let built = fs::read_to_string("BUILT")?;
    let (mut table, mut all) = (String::new(), Vec::new());
    let mut count = 0;
    for line in built.lines() {
        let Some((hash, file)) = line.split_once("  ").filter(|(_, file)| file.ends_with(".wasm")) else { continue };
        println!("cargo::rerun-if-changed={file}");
        let module = fs::read(file)?;
        writeln!(table, "    ({:?}, {hash:?}, {}),", file.trim_end_matches(".wasm"), module.len())?;
        all.extend_from_slice(&module);
        count += 1;
    }
    let out = env::var("OUT_DIR")?;
    let head = "/// Name, SHA-256 and length of every stock filter, in the order of the archive.";
    fs::write(
        Path::new(&out).join("stock.rs"),
        format!("{head}\npub const STOCK: [(&str, &str, usize); {count}] = [\n{table}];\n"),
    )?;
    fs::write(Path::new(&out).join("stock.zst"), zstd::bulk::compress(&all, LEVEL)?)?;
    Ok(())
}
