//! The one narrow waist to the disk.
//!
//! Queue and store touch files only through [`Disk`] and [`DiskFile`], so that a test can lay a simulated disk with faults
//! (torn writes, lost unsynced writes, flipped bits, full disk, failing fsync) under them. Paths are relative to the disk's
//! root, the data directory. Files are made with mode 0600, directories with 0700.
//!
//! Crash story: a write is durable after [`DiskFile::sync_data`] returned `Ok`; a file's name, or its removal or renaming,
//! after [`Disk::sync_dir`] of its directory did. After a failed sync nothing is known of what was written since the last
//! good one, and asking again proves nothing: the caller must give the file up.

use std::fmt::Debug;
use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

mod real;
pub mod sim;

pub use real::{DirLock, RealDisk};

/// What a directory holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name, without its directory.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Length in bytes (0 for directories).
    pub len: u64,
}

/// Free and total bytes of the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What an ordinary user may still write.
    pub available: u64,
    /// The whole.
    pub total: u64,
}

impl Space {
    /// What is to stay free where `wished` is configured: at most a twentieth of the disk, for on a small one it would be all.
    pub fn reserve(&self, wished: u64) -> u64 {
        wished.min(self.total / 20)
    }
}

/// A file system below one root.
pub trait Disk: Send + Sync + Debug {
    /// Opens a file for reading and writing; makes it if `create` and it is not there.
    ///
    /// # Errors
    /// As the operating system says.
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>>;
    /// Maps a sealed file that is never written again.
    ///
    /// # Errors
    /// As the operating system says.
    fn map(&self, path: &Path) -> io::Result<Mapped>;
    /// Renames, replacing what was there. Durable after `sync_dir` of the target's directory.
    ///
    /// # Errors
    /// As the operating system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file. Durable after `sync_dir`.
    ///
    /// # Errors
    /// As the operating system says.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory and all in it.
    ///
    /// # Errors
    /// As the operating system says.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes a directory and those above it, each durable in its parent.
    ///
    /// # Errors
    /// As the operating system says.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// As the operating system says.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// What a directory holds, sorted by name; empty if it is not there.
    ///
    /// # Errors
    /// As the operating system says.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;
    /// Free and total bytes.
    ///
    /// # Errors
    /// As the operating system says.
    fn space(&self) -> io::Result<Space>;
}

#[allow(clippy::len_without_is_empty)] // a file's length is asked for its end, never for emptiness
/// An open file; positions are explicit, so readers and the writer never disturb each other.
pub trait DiskFile: Send + Sync + Debug {
    /// Reads up to `buf.len()` bytes; fewer only at the end of the file.
    ///
    /// # Errors
    /// As the operating system says.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of it.
    ///
    /// # Errors
    /// As the operating system says; then any part of it may have been written.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    /// Writes all slices back to back.
    ///
    /// # Errors
    /// As [`DiskFile::write_at`].
    fn write_vectored_at(&self, slices: &[io::IoSlice<'_>], offset: u64) -> io::Result<()>;
    /// fdatasync.
    ///
    /// # Errors
    /// Whatever the device said; see the module's crash story.
    fn sync_data(&self) -> io::Result<()>;
    /// Cuts or grows (with zeros).
    ///
    /// # Errors
    /// As the operating system says.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Length in bytes.
    ///
    /// # Errors
    /// As the operating system says.
    fn len(&self) -> io::Result<u64>;
}

/// Bytes of a sealed file.
#[derive(Clone, Debug)]
pub enum Mapped {
    /// Mapped from a real file.
    Map(Arc<memmap2::Mmap>),
    /// Held in memory (simulated disks, empty files).
    Held(Arc<[u8]>),
}

impl Mapped {
    /// Says that it is read here and there: a device's read-ahead (128 KiB, and megabytes on some) brings what nobody asked for.
    /// What is read in a row is then to be named by [`Mapped::will_need`].
    pub fn read_at_random(&self) {
        if let Self::Map(map) = self {
            // Advice: where it is not taken, reads are as right.
            let _ = map.advise(memmap2::Advice::Random);
        }
    }

    /// Has these bytes brought in at once, where they are not in memory; does not wait for them.
    pub fn will_need(&self, offset: u64, length: u64) {
        if let Self::Map(map) = self
            && let (Ok(offset), Ok(length)) = (usize::try_from(offset), usize::try_from(length))
            && offset.checked_add(length).is_some_and(|end| end <= map.len())
        {
            let _ = map.advise_range(memmap2::Advice::WillNeed, offset, length);
        }
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Map(map) => map,
            Self::Held(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        self
    }
}
