//! Who gives way to whom on a busy core: who waits for an answer goes first, then the lanes and who writes their rows, then what
//! history wants.
//!
//! Compiling a filter, trying one on old records and the like take whole seconds of a core. At the lowest priority such a thread
//! gets some hundredths of a busy core, and all of an idle one.
//! Where the system has no priorities for threads, the work is done all the same.

/// How far lanes step back, and what writes their rows: a third of what a thread gets that answers somebody. Queries are asked
/// while records come in as fast as they can, and have milliseconds to do.
pub const LANES: i32 = 5;
/// How far replays and trials step back: a tenth of what lanes get.
pub const HISTORY: i32 = 15;
/// How far compiling steps back: the most there is.
const NICE: i32 = 19;

/// Lowers the priority of the thread that calls it, for good.
pub fn lower(nice: i32) {
    // On Linux this is the thread's own. Elsewhere it is the process's: better to leave that alone.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, nice) {
        tracing::debug!(%error, "the priority of a thread stays as it is");
    }
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
