//! The rules of `CONTRIBUTING.md` that a machine can check: arrows between houses, file length, module docs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Longest file in lines. A file that wants more has two purposes.
const LINES: usize = 500;

/// Files longer than that, to be split: this list may only shrink.
const LONG: [&str; 0] = [];

/// What each house may import beside itself and `base`. `lib.rs`, `main.rs` and `cli` wire and may see all.
fn allowed(house: &str) -> Option<&'static [&'static str]> {
    Some(match house {
        "access" | "base" => &[],
        "ingest" => &["access", "queue"],
        "queue" | "sandbox" | "store" => &[],
        "relay" => &["queue", "sandbox", "store"],
        "web" => &["access", "queue", "sandbox", "store", "relay"],
        _ => return None,
    })
}

fn rust_files(dir: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if name != "target" && name != "node_modules" && name != "build" {
                rust_files(&path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn sources() -> BTreeMap<String, String> {
    let mut files = Vec::new();
    for folder in ["src", "guest-sdk", "filters", "appliance", "tests"] {
        rust_files(Path::new(folder), &mut files);
    }
    let text = |path: &PathBuf| fs::read_to_string(path).unwrap_or_default();
    let sources: BTreeMap<_, _> = files.iter().map(|path| (path.to_string_lossy().into_owned(), text(path))).collect();
    assert!(sources.len() > 10, "found only {} files", sources.len());
    sources
}

#[test]
fn houses_import_only_what_the_map_allows() {
    let houses = ["access", "base", "cli", "config", "ingest", "queue", "relay", "sandbox", "store", "web"];
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let Some(house) = path.strip_prefix("src/").and_then(|rest| rest.split(['/', '.']).next()) else { continue };
        let Some(allowed) = allowed(house) else { continue };
        for (number, line) in text.lines().enumerate() {
            for (at, _) in line.match_indices("crate::") {
                let target: String = line[at + 7..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let fine = target == house || target == "base" || allowed.contains(&target.as_str());
                if houses.contains(&target.as_str()) && !fine {
                    wrong.push(format!("{path}:{}: {house} may not import {target}", number + 1));
                }
            }
            if line.contains("use crate::{") {
                wrong.push(format!("{path}:{}: name each house in a `use` of its own", number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_stay_short() {
    let long: Vec<_> = sources()
        .into_iter()
        .map(|(path, text)| (text.lines().count(), path))
        .filter(|(lines, path)| *lines > LINES && !LONG.contains(&path.as_str()))
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "over {LINES} lines:\n{}", long.join("\n"));
}

#[test]
fn every_file_opens_with_its_purpose() {
    let silent: Vec<_> = sources().into_iter().filter(|(_, text)| !text.starts_with("//! ")).map(|(path, _)| path).collect();
    assert!(silent.is_empty(), "these do not begin with `//!`:\n{}", silent.join("\n"));
}

#[test]
fn nothing_is_left_for_later_in_the_code() {
    let mut left = Vec::new();
    for (path, text) in sources() {
        if path.ends_with("tidy.rs") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            if ["FIXME", "XXX", "HACK", "#[ignore"].iter().any(|word| line.contains(word)) {
                left.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(left.is_empty(), "{}", left.join("\n"));
}
