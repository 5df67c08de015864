//! The real file system below the data directory.
//!
//! The only file of the box that maps files. A mapped file must never be cut or overwritten; the callers seal what they map.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Disk, DiskFile, Entry, Mapped, Space};

/// Files below a root directory.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
}

impl RealDisk {
    /// Opens the root; makes it, durably, where it is not there.
    ///
    /// # Errors
    /// As the operating system says, with the path.
    pub fn open(root: &Path) -> io::Result<Self> {
        make(root).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", root.display())))?;
        Ok(Self { root: root.to_owned() })
    }

    /// Takes the directory for this process alone, until the lock is dropped or the process ends.
    ///
    /// # Errors
    /// Where another process has it.
    pub fn lock(&self) -> io::Result<DirLock> {
        let path = self.root.join("LOCK");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
        Ok(DirLock { _file: file })
    }

    fn at(&self, path: &Path) -> PathBuf {
        self.root.join(path)
    }
}

/// Makes a directory and those above it, each durable in its parent: nothing below is safer than their names.
fn make(dir: &Path) -> io::Result<()> {
    let parent = dir.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
    let make_this = || DirBuilder::new().mode(0o700).create(dir);
    match (make_this(), parent) {
        (Ok(()), _) => {}
        (Err(_), _) if dir.is_dir() => return Ok(()),
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
            make(parent)?;
            make_this()?;
        }
        (Err(error), _) => return Err(error),
    }
    File::open(parent.unwrap_or(dir))?.sync_all()
}

/// Holds a data directory.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl Disk for RealDisk {
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create(create).truncate(false).mode(0o600).open(self.at(path))?;
        Ok(Arc::new(RealFile(file)))
    }

    #[allow(unsafe_code)]
    fn map(&self, path: &Path) -> io::Result<Mapped> {
        let file = File::open(self.at(path))?;
        if file.metadata()?.len() == 0 {
            return Ok(Mapped::Held(Arc::from([])));
        }
        // SAFETY: the data directory is the box's own (0700) and locked by it; only sealed files are mapped, and sealed files
        // are never written or cut, only unlinked, which leaves the mapping whole.
        let map = unsafe { memmap2::Mmap::map(&file)? };
        Ok(Mapped::Map(Arc::new(map)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(self.at(path))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(self.at(path))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut sofar = PathBuf::new();
        for part in path.components() {
            let parent = sofar.clone();
            sofar.push(part);
            match DirBuilder::new().mode(0o700).create(self.at(&sofar)) {
                Ok(()) => self.sync_dir(&parent)?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(self.at(path))?.sync_all()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let reader = match fs::read_dir(self.at(path)) {
            Ok(reader) => reader,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut entries = Vec::new();
        for entry in reader {
            let entry = entry?;
            let meta = match entry.metadata() {
                Ok(meta) => meta,
                // Removed while we looked.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let is_dir = meta.is_dir();
            let len = if is_dir { 0 } else { meta.len() };
            entries.push(Entry { name: entry.file_name().to_string_lossy().into_owned(), is_dir, len });
        }
        entries.sort();
        Ok(entries)
    }

    fn space(&self) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(&self.root)?;
        Ok(Space { available: stat.f_bavail.saturating_mul(stat.f_frsize), total: stat.f_blocks.saturating_mul(stat.f_frsize) })
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.0.read_at(&mut buf[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(buf, offset)
    }

    fn write_vectored_at(&self, slices: &[io::IoSlice<'_>], offset: u64) -> io::Result<()> {
        // Linux takes at most 1,024 slices a call (UIO_MAXIOV).
        let mut at = offset;
        for some in slices.chunks(1024) {
            let total: u64 = some.iter().map(|slice| slice.len() as u64).sum();
            let written = loop {
                match rustix::io::pwritev(&self.0, some, at) {
                    Err(rustix::io::Errno::INTR) => {}
                    other => break other? as u64,
                }
            };
            // A short write (a signal, a nearly full disk): finish slice by slice, which says why if it cannot.
            if written < total {
                let mut skip = usize::try_from(written).unwrap_or(usize::MAX);
                let mut place = at + written;
                for slice in some {
                    if skip >= slice.len() {
                        skip -= slice.len();
                        continue;
                    }
                    self.0.write_all_at(&slice[skip..], place)?;
                    place += (slice.len() - skip) as u64;
                    skip = 0;
                }
            }
            at += total;
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}
