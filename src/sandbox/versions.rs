//! Versions of filters: what was ever put under a name, what the name stands for, and what a chain means by it.
//!
//! **What a chain's entry means.** `filter = "name"` is whatever the name stands for when the chain is resolved, and follows: once
//! another version is promoted, every chain that says the plain name gets a new generation. `filter = "name@3"` is version 3 and
//! never follows; `name@0` is the box's own filter of that name. A generation keeps the module's hash, so neither changes what
//! was handled.
//!
//! **What waits.** A version that was put without being promoted is validated, compiled and kept, and is in no chain but those
//! that name its number; a trial runs it.
//!
//! Compiling happens on a thread of low priority: lanes go first.

use serde::Serialize;

use super::catalog::{self, Coming, PutBy, Version};
use super::lab::fixtures;
use super::{FilterError, Sandbox};
use crate::base::low;

/// A version of a filter, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FilterVersion {
    /// Its number, from 1 within its name; 0 is the box's own.
    pub version: u32,
    /// Its module, in hexadecimal digits.
    pub sha256: String,
    /// Length of its module; none where the disk lost it, or it was swept because nothing used it for long.
    pub bytes: Option<usize>,
    /// Whether it came with the box.
    pub stock: bool,
    /// Whether the name stands for it now.
    pub current: bool,
    /// When it was put, nanoseconds since 1970; unknown of those from before there were versions.
    pub at_ns: Option<i64>,
    /// Who put it.
    pub by: Option<PutBy>,
    /// How long compiling it took; none where it was compiled already.
    pub compile_ns: Option<u64>,
}

/// The name and, if there is one, the version that a chain's entry pins.
///
/// # Errors
/// A version that is no number.
pub(super) fn split(entry: &str) -> Result<(&str, Option<u32>), FilterError> {
    let Some((name, version)) = entry.split_once('@') else { return Ok((entry, None)) };
    let wrong = || FilterError::Refused(format!("`{entry}`: behind the `@` stands a version's number, as in `{name}@3`"));
    Ok((name, Some(version.parse().map_err(|_| wrong())?)))
}

impl Sandbox {
    /// Validates, compiles and durably keeps a module as a version of a name. With `current` the name stands for it from now on;
    /// else it waits. Chains that exist stay as they are. The same bytes again are the same version.
    ///
    /// # Errors
    /// [`FilterError::Refused`] says why it is no filter; [`FilterError::Disk`].
    pub fn put_version(&self, name: &str, wasm: &[u8], by: PutBy, current: bool) -> Result<FilterVersion, FilterError> {
        catalog::check_name(name)?;
        let before = self.clock.monotonic();
        let loaded = low::scoped(|| self.load_bytes(wasm))?;
        let took = self.clock.monotonic().saturating_sub(before);
        self.catalog.keep(&loaded.sha256, wasm)?;
        let compile_ns = u64::try_from(took.as_nanos()).ok();
        let coming = Coming { at_ns: Some(self.clock.now_ns()), by: Some(by), compile_ns };
        let number = self.catalog.note(name, (&loaded.sha256, wasm.len()), coming, current)?;
        tracing::info!(filter = name, version = number, sha256 = &*loaded.sha256, bytes = wasm.len(), current, "filter put");
        self.version(name, number)
    }

    /// Every version of a name, the oldest first, beginning with the box's own if it has one. Empty if there is no such filter.
    pub fn versions(&self, name: &str) -> Vec<FilterVersion> {
        let (versions, current) = self.catalog.versions(name);
        let stock = self.catalog.version(name, 0).map(|known| Version {
            number: 0,
            sha256: known.sha256,
            bytes: Some(known.bytes),
            coming: Coming::default(),
        });
        let shown = |version: Version| FilterVersion {
            version: version.number,
            sha256: version.sha256.to_string(),
            bytes: version.bytes,
            stock: version.number == 0,
            current: version.number == current,
            at_ns: version.coming.at_ns,
            by: version.coming.by,
            compile_ns: version.coming.compile_ns,
        };
        stock.into_iter().chain(versions).map(shown).collect()
    }

    /// One version of a name.
    ///
    /// # Errors
    /// [`FilterError::Missing`] says which there are.
    pub fn version(&self, name: &str, number: u32) -> Result<FilterVersion, FilterError> {
        let versions = self.versions(name);
        if versions.is_empty() {
            return Err(self.no_such(name));
        }
        let known: Vec<String> = versions.iter().map(|version| version.version.to_string()).collect();
        versions.into_iter().find(|version| version.version == number).ok_or_else(|| {
            FilterError::Missing(format!("there is no version {number} of `{name}`; there is: {}", known.join(", ")))
        })
    }

    /// Lets a name stand for another of its versions; 0 is the box's own again. Chains that exist stay as they are. Durable when
    /// it returns.
    ///
    /// # Errors
    /// [`FilterError::Missing`]; [`FilterError::Disk`].
    pub fn choose_version(&self, name: &str, number: u32) -> Result<FilterVersion, FilterError> {
        self.version(name, number)?;
        self.catalog.choose(name, number)?;
        tracing::info!(filter = name, version = number, "the filter's name stands for this version now");
        self.version(name, number)
    }

    /// Runs a version (without a number, the newest) over fixtures, at low priority. The version's number comes back, too.
    ///
    /// # Errors
    /// [`FilterError::Missing`]; [`FilterError::Refused`] where the fixtures are none.
    pub fn run_fixtures(&self, name: &str, number: Option<u32>, text: &str) -> Result<(u32, fixtures::Report), FilterError> {
        let newest = self.versions(name).iter().map(|version| version.version).max();
        let version = self.version(name, number.or(newest).unwrap_or(0))?;
        let wasm = self.catalog.module(&version.sha256)?;
        Ok((version.version, low::scoped(|| fixtures::run(self, &wasm, text))?))
    }

    /// The version of a name that this module is.
    pub fn version_of(&self, name: &str, sha256: &str) -> Option<u32> {
        self.versions(name).into_iter().rev().find(|version| version.sha256 == sha256).map(|version| version.version)
    }

    /// Names under which something was put that they do not stand for, and never stood for anything: `filters` has them not.
    pub fn waiting(&self) -> Vec<String> {
        self.catalog.waiting()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bench, open};
    use super::*;
    use crate::sandbox::{ChainSpec, Config};

    fn wat(mark: u32) -> Vec<u8> {
        let text = format!(
            r#"(module (memory (export "memory") 1) (global i32 (i32.const {mark})) (data (i32.const 512) "\00\00\00\00")
            (func (export "sawbox_abi") (result i32) (i32.const 1)) (func (export "alloc") (param i32) (result i32) (i32.const 1024))
            (func (export "init") (param i32 i32) (result i64) (i64.const 0x400000200))
            (func (export "process") (param i32 i32) (result i64) (i64.const 0)))"#
        );
        wat::parse_str(text).unwrap()
    }

    fn resolved(sandbox: &Sandbox, filter: &str) -> Result<String, String> {
        let spec: ChainSpec = serde_json::from_value(serde_json::json!([{ "filter": filter }])).unwrap();
        let record = sandbox.resolve(&spec).map_err(|error| error.to_string())?;
        assert_eq!(&*record.entries[0].filter, filter.split('@').next().unwrap());
        Ok(record.entries[0].sha256.to_string())
    }

    #[test]
    fn names_follow_and_pins_stay_over_a_restart() {
        let bench = bench();
        let hashes: Vec<String> = (1..=3).map(|mark| catalog::sha256(&wat(mark))).collect();
        let put = |sandbox: &Sandbox, mark, current| {
            sandbox.put_version("f", &wat(mark), PutBy::Cli, current).map(|version| version.version).unwrap()
        };
        let sandbox = &*bench.sandbox;
        assert_eq!((put(sandbox, 1, true), put(sandbox, 2, false), put(sandbox, 1, true)), (1, 2, 1), "the same is the same");
        assert_eq!(resolved(sandbox, "f"), Ok(hashes[0].clone()), "version 2 waits");
        assert_eq!(resolved(sandbox, "f@2"), Ok(hashes[1].clone()));
        let wrong = resolved(sandbox, "f@9").unwrap_err();
        assert!(wrong.contains("no version 9 of `f`; there is: 1, 2"), "{wrong}");
        assert!(resolved(sandbox, "f@x").unwrap_err().contains("`f@3`"));
        sandbox.choose_version("f", 2).unwrap();
        assert!(sandbox.choose_version("f", 3).is_err());
        // The stock filter's own name, and back.
        let stock = resolved(sandbox, "json").unwrap();
        sandbox.put_version("json", &wat(3), PutBy::Folder, true).unwrap();
        assert_eq!(resolved(sandbox, "json"), Ok(hashes[2].clone()));
        assert_eq!(resolved(sandbox, "json@0"), Ok(stock.clone()));
        sandbox.choose_version("json", 0).unwrap();
        put(sandbox, 3, false);

        let before = sandbox.versions("f");
        let again = open(bench.directory.path(), Config::default());
        assert_eq!(again.versions("f"), before);
        let seen: Vec<_> = before.iter().map(|v| (v.version, v.current, v.by, v.at_ns.is_some())).collect();
        assert_eq!(
            seen,
            [(1, false, Some(PutBy::Cli), true), (2, true, Some(PutBy::Cli), true), (3, false, Some(PutBy::Cli), true)]
        );
        assert_eq!(resolved(&again, "f"), Ok(hashes[1].clone()));
        assert_eq!(resolved(&again, "json"), Ok(stock));
        assert_eq!(again.version_of("json", &hashes[2]), Some(1));
    }

    #[test]
    fn what_only_waits_is_in_no_list_of_filters() {
        let bench = bench();
        bench.sandbox.put_version("new", &wat(1), PutBy::Api, false).unwrap();
        assert!(bench.sandbox.filters().iter().all(|filter| filter.name != "new"));
        assert_eq!(bench.sandbox.waiting(), ["new"]);
        let why = resolved(&bench.sandbox, "new").unwrap_err();
        assert!(why.contains("`new` waits"), "{why}");
        assert!(resolved(&bench.sandbox, "new@1").is_ok());
        bench.sandbox.choose_version("new", 1).unwrap();
        assert!(bench.sandbox.waiting().is_empty() && resolved(&bench.sandbox, "new").is_ok());
    }
}
