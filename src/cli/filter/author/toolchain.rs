//! Building a project: finds the language's toolchain, or says what to install.
//!
//! Every compiler is called as its own documentation says, with what the person has on the PATH or in the project's folder
//! (`node_modules`, `.venv`). Nothing is downloaded.
#![allow(clippy::disallowed_methods)] // the files of the person who types, not of the box

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::languages::Language;

/// A program and its first arguments.
type Tool = Vec<String>;

/// Builds to `module`; the commands that were run come back.
pub fn build(language: &Language, directory: &Path, module: &str) -> anyhow::Result<String> {
    let missing = |what: &str| {
        anyhow::anyhow!("{what} is not here, and without it {} cannot be built\nneeded: {}", language.title, language.install)
    };
    let owned = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<String>>();
    let (tool, arguments, environment): (Tool, Vec<String>, Vec<(&str, String)>) = match language.name {
        "c" => {
            let flags = ["-O2", "-mexec-model=reactor", "-Wl,--strip-all", language.source, "-o", module];
            match clang() {
                Some((tool, linker)) => {
                    let mut arguments = owned(&["--target=wasm32-wasi", "-Wno-deprecated"]);
                    arguments.extend(linker.map(|linker| format!("-fuse-ld={}", linker.display())));
                    arguments.extend(owned(&flags));
                    (tool, arguments, vec![])
                }
                None => {
                    let mut tool = zig().ok_or_else(|| missing("clang with wasm-ld"))?;
                    tool.push("cc".to_owned());
                    let mut arguments = owned(&["-target", "wasm32-wasi"]);
                    arguments.extend(owned(&flags));
                    (tool, arguments, vec![])
                }
            }
        }
        "zig" => {
            let mut arguments = owned(&["build-exe", language.source, "-target", "wasm32-freestanding", "-O", "ReleaseFast"]);
            arguments.extend(owned(&["-fstrip", "-fno-entry", "-rdynamic"]));
            arguments.push(format!("-femit-bin={module}"));
            (zig().ok_or_else(|| missing("zig"))?, arguments, vec![])
        }
        "go" => {
            let tool = program(directory, "go").ok_or_else(|| missing("go"))?;
            let arguments = owned(&["build", "-trimpath", "-ldflags=-s -w", "-buildmode=c-shared", "-o", module, "."]);
            (tool, arguments, vec![("GOOS", "wasip1".into()), ("GOARCH", "wasm".into())])
        }
        "assemblyscript" => {
            let tool = program(directory, "asc").ok_or_else(|| missing("asc"))?;
            let arguments = owned(&[language.source, "-o", module, "-O3", "--noAssert", "--use", "abort=sawbox/abort_"]);
            (tool, arguments, vec![])
        }
        "javascript" => {
            let tool = program(directory, "jco").ok_or_else(|| missing("jco"))?;
            let mut arguments = owned(&["componentize", language.source, "--wit", "sawbox.wit", "-n", "filter", "-o", module]);
            arguments.extend(owned(&["--backend", "quickjs", "--backend-qjs-stub-wasi", "--backend-qjs-disable-async"]));
            (tool, arguments, vec![])
        }
        "python" => {
            let tool = program(directory, "componentize-py").ok_or_else(|| missing("componentize-py"))?;
            let mut arguments = owned(&["--wit-path", "sawbox.wit", "--world", "filter", "componentize", "--stub-wasi"]);
            arguments.extend(owned(&["filter", "-o", module]));
            (tool, arguments, vec![])
        }
        _ => return rust(directory, module, &missing),
    };
    run(directory, &tool, &arguments, &environment)
}

/// Runs a command of the project's own.
pub fn shell(directory: &Path, command: &str) -> anyhow::Result<String> {
    run(directory, &["sh".to_owned(), "-c".to_owned()], &[command.to_owned()], &[])
}

fn rust(directory: &Path, module: &str, missing: &dyn Fn(&str) -> anyhow::Error) -> anyhow::Result<String> {
    const TARGET: &str = "wasm32-unknown-unknown";
    let cargo = program(directory, "cargo").ok_or_else(|| missing("cargo"))?;
    let libdir = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    let libdir = libdir.ok().map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let mut environment = Vec::new();
    if !libdir.is_some_and(|libdir| libdir.is_dir()) {
        // Debian's second toolchain, with a standard library that `filters/build.sh` of sawbox's sources makes.
        let (Some(sysroot), true) = (sysroot(), Path::new("/usr/bin/rustc").exists()) else {
            return Err(missing(&format!("Rust's target {TARGET}")));
        };
        environment.push(("RUSTC", "/usr/bin/rustc".to_owned()));
        // In the place of what the project's .cargo/config.toml says.
        let flags = format!("--sysroot {} -Ctarget-feature=+simd128", sysroot.display());
        environment.push(("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", flags));
        environment.push(("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld-22".to_owned()));
        if on_path("wasm-ld-22").is_none() {
            environment.pop();
        }
    }
    // Its own folder, whatever the person's shell says: the module is looked for there.
    environment.push(("CARGO_TARGET_DIR", "target".to_owned()));
    let arguments = ["build", "--release", "--target", TARGET].map(str::to_owned);
    let said = run(directory, &cargo, &arguments, &environment)?;
    let made = directory.join("target").join(TARGET).join("release/filter.wasm");
    std::fs::copy(&made, directory.join(module)).with_context(|| made.display().to_string())?;
    Ok(said)
}

/// A standard library for Wasm that `filters/build.sh` made.
fn sysroot() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("SAWBOX_WASM_SYSROOT") {
        return Some(given.into());
    }
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let found = std::fs::read_dir(cache.join("sawbox")).ok()?.flatten();
    found.map(|entry| entry.path()).find(|path| path.to_string_lossy().contains("wasm-sysroot-"))
}

fn run(directory: &Path, tool: &[String], arguments: &[String], environment: &[(&str, String)]) -> anyhow::Result<String> {
    let (program, first) = tool.split_first().context("no command")?;
    let mut said = String::new();
    for (name, value) in environment {
        said.push_str(&format!("{name}={value:?} "));
    }
    said.push_str(&[tool, arguments].concat().join(" "));
    let mut command = Command::new(program);
    command.args(first).args(arguments).current_dir(directory);
    command.envs(environment.iter().map(|(name, value)| (*name, value)));
    let output = command.output().with_context(|| said.clone())?;
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        bail!("{said}\n{}\nthe build failed", String::from_utf8_lossy(&text).trim_end());
    }
    Ok(said)
}

/// A program of the project's folder or of the PATH.
fn program(directory: &Path, name: &str) -> Option<Tool> {
    let own = ["node_modules/.bin", ".venv/bin"].map(|folder| directory.join(folder).join(name));
    let found = own.into_iter().find(|path| path.exists()).map(|path| path.canonicalize().unwrap_or(path));
    found.or_else(|| on_path(name)).map(|path| vec![path.to_string_lossy().into_owned()])
}

/// A clang that can make Wasm, and the linker to tell it where it would not find one by itself.
fn clang() -> Option<(Tool, Option<PathBuf>)> {
    let plain = on_path("wasm-ld");
    let versions = std::iter::once(String::new()).chain((14..40).rev().map(|version| format!("-{version}")));
    for version in versions {
        let Some(clang) = on_path(&format!("clang{version}")) else { continue };
        let tool = vec![clang.to_string_lossy().into_owned()];
        if plain.is_some() {
            return Some((tool, None));
        }
        if let Some(linker) = on_path(&format!("wasm-ld{version}")) {
            return Some((tool, Some(linker)));
        }
    }
    None
}

fn zig() -> Option<Tool> {
    if let Some(zig) = on_path("zig").or_else(|| on_path("python-zig")) {
        return Some(vec![zig.to_string_lossy().into_owned()]);
    }
    let python = on_path("python3")?;
    let there = Command::new(&python).args(["-c", "import ziglang"]).output().is_ok_and(|output| output.status.success());
    there.then(|| vec![python.to_string_lossy().into_owned(), "-m".into(), "ziglang".into()])
}

fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}
