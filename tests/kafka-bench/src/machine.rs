//! What the kernel knows: CPU time and memory of a process, how fast the disk syncs, and what memory costs that nobody used before.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

/// User and system time of a process in seconds. Linux counts it in ticks of 1/100 s.
pub fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = text.rsplit_once(')').context("no stat")?.1.split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    Ok((ticks(11) + ticks(12)) / 100.0)
}

/// Anonymous memory of a process in MiB.
pub fn anonymous_mib(pid: u32) -> anyhow::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("no RssAnon")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<f64>()? / 1024.0)
}

/// Writes to so many GB of memory and gives them back; without a number, to all that is free but for one. Seconds a GB.
///
/// A virtual machine's host may take away what its guest does not use, and gives it again page by page when it is first written to. Where
/// that costs two seconds a GB, as on some clouds, it is most of what a producer of new bytes costs, and says nothing of the broker: the
/// kernel's copy into the page cache waits for it. What was touched just before is there. It has to be all, since nobody can tell
/// which of the free pages the page cache will take.
pub fn touch(gigabytes: Option<u64>) -> anyhow::Result<f64> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let free = meminfo.lines().find_map(|line| line.strip_prefix("MemFree:")).context("no MemFree")?;
    let free = free.trim().trim_end_matches("kB").trim().parse::<u64>()? << 10;
    let bytes = gigabytes.map_or(free.saturating_sub(1 << 30), |own| own << 30);
    if bytes == 0 {
        return Ok(0.0);
    }
    let begun = Instant::now();
    let mut memory = vec![0_u8; usize::try_from(bytes)?];
    memory.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    std::hint::black_box(&memory);
    #[allow(clippy::cast_precision_loss)]
    let gigabytes = bytes as f64 / 1e9;
    Ok(begun.elapsed().as_secs_f64() / gigabytes)
}

/// How long an fdatasync of so many bytes takes, in µs, once every `pause`, for so long.
///
/// Two ways of writing the same: into a file that grows, and into one that was filled with zeros before. The second needs no change of the
/// file's length, hence no commit of the file system's journal.
pub fn fdatasyncs(folder: &Path, bytes: usize, grows: bool, pause: Duration, long: Duration) -> anyhow::Result<Vec<i64>> {
    let path = folder.join("fdatasync-probe");
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
    if !grows {
        let zeros = vec![0_u8; 1 << 20];
        for n in 0..64 {
            file.write_all_at(&zeros, n << 20)?;
        }
        file.sync_all()?;
    }
    let block = vec![7_u8; bytes];
    let (begun, mut position, mut times) = (Instant::now(), 0, Vec::new());
    while begun.elapsed() < long {
        let next = begun + pause * u32::try_from(times.len() + 1)?;
        file.write_all_at(&block, position)?;
        position += bytes as u64;
        if !grows && position + bytes as u64 > 64 << 20 {
            position = 0;
        }
        let start = Instant::now();
        file.sync_data()?;
        times.push(i64::try_from(start.elapsed().as_micros())?);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    drop::<File>(file);
    fs::remove_file(path)?;
    Ok(times)
}

/// The value below which this share of all lies.
pub fn percentile(values: &mut [i64], share: f64) -> f64 {
    values.sort_unstable();
    if values.is_empty() {
        return f64::NAN;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let at = ((values.len() - 1) as f64 * share).round() as usize;
    #[allow(clippy::cast_precision_loss)]
    let value = values[at] as f64;
    value
}

/// The middle one.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
