//! An open file of the simulated disk: what is written counts only after a sync.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::{SECTOR, State, copy_sector, power};
use crate::base::disk::DiskFile;

#[derive(Debug)]
pub(super) struct SimFile {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) id: u64,
}

impl SimFile {
    fn with<T>(&self, changes: bool, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if changes {
            state.step()?;
        } else if state.off {
            return Err(power());
        }
        work(&mut state)
    }

    fn write(&self, state: &mut State, buf: &[u8], offset: u64) -> io::Result<()> {
        state.done.writes += 1;
        let fails = matches!(state.fail_write_after, Some(0));
        state.fail_write_after = state.fail_write_after.and_then(|left| left.checked_sub(1));
        let half = fails.then(|| state.random(buf.len() + 1));
        let room = state.capacity.map(|capacity| capacity.saturating_sub(state.used()));
        let inode = state.inodes.get_mut(&self.id).ok_or_else(power)?;
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let mut end = start + buf.len();
        let mut full = false;
        if let Some(room) = room
            && end.saturating_sub(inode.live.len()) as u64 > room
        {
            end = inode.live.len() + usize::try_from(room).unwrap_or(0);
            full = true;
        }
        let mut end = end.max(start);
        if let Some(half) = half {
            end = end.min(start + half);
        }
        if !full || end > start {
            if inode.live.len() < end {
                inode.live.resize(end, 0);
            }
            inode.live[start..end].copy_from_slice(&buf[..end - start]);
            inode.dirty.extend(start / SECTOR..end.div_ceil(SECTOR));
        }
        if half.is_some() {
            return Err(io::Error::other("simulated: the device failed in a write"));
        }
        if full { Err(io::Error::new(io::ErrorKind::StorageFull, "simulated: the disk is full")) } else { Ok(()) }
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(false, |state| {
            let inode = state.inodes.get(&self.id).ok_or_else(power)?;
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(inode.live.len());
            let count = buf.len().min(inode.live.len() - start);
            buf[..count].copy_from_slice(&inode.live[start..start + count]);
            Ok(count)
        })
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.with(true, |state| self.write(state, buf, offset))
    }

    fn write_vectored_at(&self, slices: &[io::IoSlice<'_>], offset: u64) -> io::Result<()> {
        let whole: Vec<u8> = slices.iter().map(|slice| &**slice).collect::<Vec<&[u8]>>().concat();
        self.write_at(&whole, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(true, |state| {
            state.done.syncs += 1;
            let fails = match &mut state.fail_sync_after {
                Some(0) => true,
                Some(left) => {
                    *left -= 1;
                    false
                }
                None => false,
            };
            if fails {
                state.fail_sync_after = None;
            }
            let mut inode = state.inodes.remove(&self.id).ok_or_else(power)?;
            if fails {
                // Some of it may be there; all of it counts as clean from now on.
                inode.durable = state.survivor(&inode);
            } else {
                inode.durable.resize(inode.live.len(), 0);
                for sector in &inode.dirty {
                    copy_sector(&inode.live, &mut inode.durable, *sector);
                }
            }
            inode.dirty.clear();
            state.inodes.insert(self.id, inode);
            if fails { Err(io::Error::other("simulated: fsync failed")) } else { Ok(()) }
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(true, |state| {
            let inode = state.inodes.get_mut(&self.id).ok_or_else(power)?;
            let (old, new) = (inode.live.len(), usize::try_from(len).map_err(io::Error::other)?);
            inode.live.resize(new, 0);
            inode.dirty.extend(old.min(new) / SECTOR..new.div_ceil(SECTOR));
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.with(false, |state| Ok(state.inodes.get(&self.id).ok_or_else(power)?.live.len() as u64))
    }
}
