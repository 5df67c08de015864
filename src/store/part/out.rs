//! A file that is written once, front to back.
//!
//! Small pieces are gathered to writes of half a MiB; nothing is durable before [`Out::finish`].

use std::path::Path;
use std::sync::Arc;

use super::directory::Span;
use crate::base::disk::{Disk, DiskFile};
use crate::store::StoreError;

/// Bytes that are written at a time.
const BUFFER: usize = 512 << 10;

/// A file that is written front to back, a buffer at a time.
pub struct Out<'a> {
    file: Arc<dyn DiskFile>,
    path: &'a Path,
    buffer: Vec<u8>,
    flushed: u64,
}

impl<'a> Out<'a> {
    /// An empty file at `path`, whatever was there.
    pub fn create(disk: &Arc<dyn Disk>, path: &'a Path) -> Result<Self, StoreError> {
        let file = disk.open(path, true).map_err(|error| refused(path, error))?;
        file.set_len(0).map_err(|error| refused(path, error))?;
        Ok(Self { file, path, buffer: Vec::with_capacity(BUFFER + (64 << 10)), flushed: 0 })
    }

    /// Its path.
    pub fn path(&self) -> &'a Path {
        self.path
    }

    /// Writes what is left and makes it durable; the file's length.
    pub fn finish(&mut self) -> Result<u64, StoreError> {
        self.flush()?;
        self.file.sync_data().map_err(|error| refused(self.path, error))?;
        Ok(self.flushed)
    }

    /// Where the next byte goes.
    pub fn at(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    /// Appends bytes.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    /// Writes what is buffered.
    fn flush(&mut self) -> Result<(), StoreError> {
        self.file.write_at(&self.buffer, self.flushed).map_err(|error| refused(self.path, error))?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Bytes and their checksum; where they lie.
    pub fn put_checked(&mut self, bytes: &[u8]) -> Result<Span, StoreError> {
        let span = Span { offset: self.at(), length: bytes.len() as u64, crc: crc32c::crc32c(bytes) };
        self.put(bytes)?;
        self.put(&span.crc.to_le_bytes())?;
        Ok(span)
    }
}

/// The disk's refusal, with the path.
pub fn refused(path: &Path, error: std::io::Error) -> StoreError {
    StoreError::Disk { path: path.display().to_string(), error }
}
