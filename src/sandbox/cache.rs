//! Compiled modules on disk, so that a start costs no compilation.
//!
//! On disk, `sandbox/cache/<module sha256>-<first 16 digits of the engine's fingerprint>`:
//! ```text
//! magic "SWBM" | version u32 = 1 | HMAC-SHA256 (32 bytes) over (module sha256, fingerprint, code) | code
//! ```
//! `sandbox/key` holds the 32 random bytes of the HMAC's key. Files are made with mode 0600 in the box's own directory.
//!
//! Invariants: code is loaded only when its HMAC is right, that is, when this box compiled it with this engine for this module.
//! Loading code that somebody else wrote would run it outside of any sandbox.
//! Crash story: files are written beside and renamed; one that is torn, damaged or foreign has a wrong HMAC and is compiled anew.
//! A cache that cannot be written costs time, nothing else. Files of other engines are removed at start,
//! those whose module is gone by a sweep ([`super::sweep`]).

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use ring::hmac;
use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use super::FilterError;
use super::engine::fingerprint;
use super::sweep::Swept;
use crate::base::disk::Disk;

const MAGIC: [u8; 4] = *b"SWBM";
const VERSION: u32 = 1;
const HEAD: usize = 40;
const KEY_BYTES: usize = 32;

/// A compiled filter.
#[derive(Clone)]
pub(super) enum Compiled {
    /// A core module.
    Module(Module),
    /// A component.
    Component(Component),
}

/// Compiles modules, or finds them compiled.
#[derive(Debug)]
pub(super) struct Cache {
    disk: Arc<dyn Disk>,
    engine: Engine,
    fingerprint: String,
    key: [u8; KEY_BYTES],
    /// Two who compiled the same module write the same file: one after the other.
    writing: Mutex<()>,
}

impl Cache {
    /// Opens the cache below `sandbox/`, which must exist.
    pub(super) fn open(disk: Arc<dyn Disk>, engine: Engine) -> Result<Self, FilterError> {
        let key = key(&disk)?;
        let fingerprint = fingerprint(&engine);
        let directory = Path::new("sandbox/cache");
        disk.create_dir_all(directory)?;
        let ours = format!("-{}", &fingerprint[..16]);
        for entry in disk.list(directory)? {
            if !entry.name.ends_with(&ours) {
                // Another engine's, or left over from a crash. If it cannot be removed it is only in the way.
                let _ = disk.remove_file(&directory.join(&entry.name));
            }
        }
        Ok(Self { disk, engine, fingerprint, key, writing: Mutex::new(()) })
    }

    /// The module, compiled; and whether it had to be compiled now.
    pub(super) fn module(&self, sha256: &str, wasm: &[u8]) -> Result<(Compiled, bool), FilterError> {
        let path = PathBuf::from(format!("sandbox/cache/{sha256}-{}", &self.fingerprint[..16]));
        let component = is_component(wasm);
        if let Some(compiled) = self.load(&path, sha256, component) {
            return Ok((compiled, false));
        }
        let compiled = if component {
            Component::from_binary(&self.engine, wasm).map(Compiled::Component)
        } else {
            Module::from_binary(&self.engine, wasm).map(Compiled::Module)
        };
        let compiled = compiled.map_err(|error| FilterError::Refused(format!("{error:#}")))?;
        if let Err(error) = self.save(&path, sha256, &compiled) {
            tracing::warn!(%error, path = %path.display(), "a compiled filter could not be kept; it will be compiled again");
        }
        Ok((compiled, true))
    }

    /// Removes what was compiled of modules other than these.
    pub(super) fn sweep(&self, modules: &HashSet<String>, swept: &mut Swept) -> Result<(), FilterError> {
        let directory = Path::new("sandbox/cache");
        for entry in self.disk.list(directory)? {
            // Another name is one that is being written.
            let sha256 = entry.name.strip_suffix(&self.fingerprint[..16]).and_then(|name| name.strip_suffix('-'));
            if sha256.is_some_and(|sha256| !modules.contains(sha256)) {
                self.disk.remove_file(&directory.join(&entry.name))?;
                swept.add(entry.len);
            }
        }
        Ok(())
    }

    #[allow(unsafe_code)]
    fn load(&self, path: &Path, sha256: &str, component: bool) -> Option<Compiled> {
        let file = self.disk.open(path, false).ok()?;
        let mut bytes = vec![0; usize::try_from(file.len().ok()?).ok()?];
        let got = file.read_at(&mut bytes, 0).ok()?;
        let (head, code) = bytes.get(..got)?.split_at_checked(HEAD)?;
        let right = head.starts_with(&MAGIC) && head[4..8] == VERSION.to_le_bytes() && head[8..] == self.seal(sha256, code);
        if !right {
            tracing::warn!(path = %path.display(), "a compiled filter is not as this box wrote it; it is compiled again");
            return None;
        }
        // SAFETY: `deserialize` asks for bytes that `serialize` of a compatible engine made. The HMAC shows that they are exactly
        // what `save` wrote on this box for this module and an engine of this fingerprint: nobody else has the key.
        unsafe {
            if component {
                Component::deserialize(&self.engine, code).ok().map(Compiled::Component)
            } else {
                Module::deserialize(&self.engine, code).ok().map(Compiled::Module)
            }
        }
    }

    fn save(&self, path: &Path, sha256: &str, compiled: &Compiled) -> io::Result<()> {
        let code = match compiled {
            Compiled::Module(module) => module.serialize(),
            Compiled::Component(component) => component.serialize(),
        };
        let code = code.map_err(|error| io::Error::other(format!("{error:#}")))?;
        let mut bytes = Vec::with_capacity(HEAD + code.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.seal(sha256, &code));
        bytes.extend_from_slice(&code);
        let _writing = self.writing.lock();
        write_whole(&self.disk, path, &bytes)
    }

    /// HMAC-SHA256 over the module's hash, the engine's fingerprint and the code.
    fn seal(&self, sha256: &str, code: &[u8]) -> [u8; 32] {
        let mut sealed = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.key));
        [sha256.as_bytes(), self.fingerprint.as_bytes(), code].iter().for_each(|piece| sealed.update(piece));
        let mut seal = [0; 32];
        seal.copy_from_slice(sealed.sign().as_ref());
        seal
    }
}

/// Whether these bytes are a component, by the layer in their head.
pub(super) fn is_component(wasm: &[u8]) -> bool {
    wasm.get(6..8) == Some(&[1, 0])
}

/// This box's key; made when it is not there, or not whole.
fn key(disk: &Arc<dyn Disk>) -> Result<[u8; KEY_BYTES], FilterError> {
    let path = Path::new("sandbox/key");
    let mut key = [0; KEY_BYTES];
    if let Ok(file) = disk.open(path, false)
        && file.len()? == KEY_BYTES as u64
        && file.read_at(&mut key, 0)? == KEY_BYTES
    {
        return Ok(key);
    }
    // Two random UUIDs have 244 random bits, from the operating system.
    let random = Sha256::new().chain_update(uuid::Uuid::new_v4()).chain_update(uuid::Uuid::new_v4());
    key = random.finalize().into();
    write_whole(disk, path, &key)?;
    Ok(key)
}

/// Writes a file so that it is there whole or not at all.
pub(super) fn write_whole(disk: &Arc<dyn Disk>, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let fresh = path.with_file_name(name);
    let file = disk.open(&fresh, true)?;
    file.set_len(0)?;
    file.write_at(bytes, 0)?;
    file.sync_data()?;
    disk.rename(&fresh, path)?;
    disk.sync_dir(path.parent().unwrap_or(Path::new("")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::disk::RealDisk;
    use crate::sandbox::engine::engine;

    const WASM: &str = "(module (func (export \"f\") (result i32) i32.const 7))";

    #[test]
    fn only_what_this_box_wrote_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(directory.path()).unwrap());
        disk.create_dir_all(Path::new("sandbox")).unwrap();
        let engine = engine().unwrap();
        let wasm = wat::parse_str(WASM).unwrap();
        let open = || Cache::open(Arc::clone(&disk), engine.clone()).unwrap();
        assert!(open().module("aa", &wasm).unwrap().1, "compiled");
        assert!(!open().module("aa", &wasm).unwrap().1, "found");

        let entries = disk.list(Path::new("sandbox/cache")).unwrap();
        let path = Path::new("sandbox/cache").join(&entries[0].name);
        let len = entries[0].len;
        for at in [0, 5, 20, HEAD as u64, len / 2, len - 1] {
            let file = disk.open(&path, false).unwrap();
            let mut byte = [0];
            file.read_at(&mut byte, at).unwrap();
            file.write_at(&[byte[0] ^ 1], at).unwrap();
            assert!(open().module("aa", &wasm).unwrap().1, "a flipped bit at {at} is compiled, not loaded");
        }
        // Another module's code under this one's name; another box's key; a torn file.
        let other = PathBuf::from(format!("sandbox/cache/bb-{}", &fingerprint(&engine)[..16]));
        disk.rename(&path, &other).unwrap();
        assert!(open().module("bb", &wasm).unwrap().1);
        disk.open(Path::new("sandbox/key"), false).unwrap().write_at(&[1; 32], 0).unwrap();
        assert!(open().module("bb", &wasm).unwrap().1);
        disk.open(&other, false).unwrap().set_len(100).unwrap();
        assert!(open().module("bb", &wasm).unwrap().1);
        assert!(!open().module("bb", &wasm).unwrap().1);
    }

    #[test]
    fn many_at_once_leave_one_whole_file() {
        let directory = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(directory.path()).unwrap());
        disk.create_dir_all(Path::new("sandbox")).unwrap();
        let cache = Cache::open(Arc::clone(&disk), engine().unwrap()).unwrap();
        let (wasm, compiled) = (wat::parse_str(WASM).unwrap(), cache.module("aa", &wat::parse_str(WASM).unwrap()).unwrap().0);
        let path = Path::new("sandbox/cache").join(&disk.list(Path::new("sandbox/cache")).unwrap()[0].name);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..50).for_each(|_| cache.save(&path, "aa", &compiled).unwrap()));
            }
        });
        assert_eq!(disk.list(Path::new("sandbox/cache")).unwrap().len(), 1);
        assert!(!cache.module("aa", &wasm).unwrap().1, "found");
    }

    #[test]
    fn code_of_other_engines_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(directory.path()).unwrap());
        disk.create_dir_all(Path::new("sandbox/cache")).unwrap();
        disk.open(Path::new("sandbox/cache/aa-0123456789abcdef"), true).unwrap();
        Cache::open(Arc::clone(&disk), engine().unwrap()).unwrap();
        assert!(disk.list(Path::new("sandbox/cache")).unwrap().is_empty());
    }
}
