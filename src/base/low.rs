//! Who gives way to whom on a busy core: who waits for an answer goes first, then the lanes and who writes their rows, then what
//! history wants.
//!
//! Compiling a filter, trying one on old records and the like take whole seconds of a core. At the lowest priority such a thread
//! gets some hundredths of a busy core, and all of an idle one.
//! Where the system has no priorities for threads, the work is done all the same.

use std::num::NonZero;
use std::sync::OnceLock;

use tokio::runtime::RuntimeFlavor;

/// How far lanes step back, and what writes their rows: a third of what a thread gets that answers somebody. Queries are asked
/// while records come in as fast as they can, and have milliseconds to do.
pub const LANES: i32 = 5;
/// How far replays and trials step back: a tenth of what lanes get.
pub const HISTORY: i32 = 15;
/// How far compiling steps back: the most there is.
const NICE: i32 = 19;
/// Bytes of what the kernel is told of a thread.
#[cfg(target_os = "linux")]
const SIZE: u32 = 48;
#[cfg(target_os = "linux")]
const _: () = assert!(size_of::<libc::sched_attr>() == SIZE as usize);

/// Lowers the priority of the thread that calls it, for good.
pub fn lower(nice: i32) {
    // On Linux this is the thread's own. Elsewhere it is the process's: better to leave that alone.
    #[cfg(target_os = "linux")]
    {
        if let Err(error) = rustix::process::setpriority_process(None, nice) {
            tracing::debug!(%error, "the priority of a thread stays as it is");
        }
        // Who was begun by a prompt thread has its slices, and would go before others when woken.
        slice(0);
    }
}

/// Has the thread that calls it, and those that it begins, run as soon as they are woken, before those that are at work, as far as
/// they had less of the core. Others run for milliseconds before the system asks who is next, several times while a query of one
/// millisecond is answered.
///
/// Linux since 6.12; elsewhere it changes nothing.
pub fn prompt() {
    #[cfg(target_os = "linux")]
    slice(100_000);
}

/// How long the thread that calls it runs before the system asks who is next, ns, or 0 for as long as usual; who has shorter slices
/// goes first when woken.
#[cfg(target_os = "linux")]
fn slice(ns: u64) {
    let set = attributes().and_then(|own| match i32::try_from(own.sched_policy) {
        Ok(libc::SCHED_OTHER | libc::SCHED_BATCH) => set_attributes(&libc::sched_attr { sched_runtime: ns, ..own }),
        // Whoever runs the box chose another policy, in which the figure means something else.
        _ => Ok(()),
    });
    if let Err(error) = set {
        tracing::debug!(%error, "the slices of a thread stay as they are");
    }
}

/// How the system shares cores out to the thread that calls it.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)] // no dependency that is built here has a safe form of it
fn attributes() -> std::io::Result<libc::sched_attr> {
    let mut own = libc::sched_attr {
        size: SIZE,
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: sched_getattr(2) writes at most the bytes that it is told are there; the first 0 is this thread.
    match unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut own, SIZE, 0) } {
        0 => Ok(own),
        _ => Err(std::io::Error::last_os_error()),
    }
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)] // as above
fn set_attributes(own: &libc::sched_attr) -> std::io::Result<()> {
    let wanted = libc::sched_attr { size: SIZE, ..*own };
    // SAFETY: sched_setattr(2) reads as many bytes of `wanted` as its first field says, and writes nothing; the first 0 is this thread.
    match unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Works on a thread of the network while another takes over what else that has to do; it must not be kept otherwise for as long as a
/// request takes. Handing over costs some microseconds.
pub fn aside<T>(work: impl FnOnce() -> T) -> T {
    let others = tokio::runtime::Handle::try_current().is_ok_and(|own| own.runtime_flavor() == RuntimeFlavor::MultiThread);
    if others { tokio::task::block_in_place(work) } else { work() }
}

/// Whether a core has nothing to do just now: a thread that is begun then begins at once. Yes where the system does not say.
pub fn has_idle_core() -> bool {
    static CORES: OnceLock<usize> = OnceLock::new();
    let cores = *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, NonZero::get));
    #[allow(clippy::disallowed_methods)] // not a file
    let load = std::fs::read("/proc/loadavg").unwrap_or_default();
    running(&load).is_none_or(|running| running < cores)
}

/// How many threads have a core or wait for one, as in `0.20 0.18 0.12 1/80 11206`.
fn running(load: &[u8]) -> Option<usize> {
    std::str::from_utf8(load).ok()?.split(' ').nth(3)?.split_once('/')?.0.parse().ok()
}

/// Does the work on a thread of low priority and waits for it; here, if there is no thread left.
///
/// # Panics
/// As the work does.
pub fn scoped<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let work = parking_lot::Mutex::new(Some(work));
    let take = || work.lock().take();
    let done = std::thread::scope(|scope| {
        let begun = std::thread::Builder::new().name("low".to_owned()).spawn_scoped(scope, || {
            lower(NICE);
            take().map(|work| work())
        });
        match begun {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => None,
        }
    });
    match done {
        Some(done) => done,
        None => match take() {
            Some(work) => work(),
            None => unreachable!("the work is done once"),
        },
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_line_of_the_load_is_read() {
        assert_eq!(super::running(b"0.20 0.18 0.12 3/80 11206\n"), Some(3));
        assert_eq!([&b""[..], b"0.20 0.18 0.12", b"\xff 1 2 3/4"].map(super::running), [None; 3]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn slices_are_short_until_a_thread_steps_back() {
        let own = || super::attributes().map(|own| (own.sched_policy, own.sched_nice, own.sched_runtime));
        // Some sandboxes have none of it, and Linux before 6.12 says 0 of every slice.
        let Ok((policy, nice, usual)) = own() else { return };
        let short = usual.min(100_000);
        super::prompt();
        assert_eq!(own().unwrap(), (policy, nice, short));
        let begun = std::thread::spawn(move || (own().unwrap().2, super::lower(super::HISTORY), own().unwrap()));
        let (inherited, (), lowered) = begun.join().unwrap();
        assert_eq!((inherited, lowered), (short, (policy, super::HISTORY, usual)));
    }

    #[test]
    fn the_caller_keeps_its_priority() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        let within = super::scoped(nice);
        assert_eq!(nice(), before);
        if cfg!(target_os = "linux") {
            assert_eq!(within, super::NICE);
        }
    }
}
