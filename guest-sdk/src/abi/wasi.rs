//! The inert part of WASI: what the runtimes of Go and of interpreters import before they run a line of the author's code.
//!
//! A filter gets no WASI by default; a module that imports one of the functions below gets that function, and it does nothing that
//! could be told from one run to another. Any other function of WASI is refused when the module is loaded.
//! ```text
//! of wasi_snapshot_preview1                       (errno: 0 = done, 8 = EBADF, 52 = ENOSYS)
//! args_sizes_get, args_get                        none
//! environ_sizes_get, environ_get                  none
//! clock_time_get, clock_res_get                   2000-01-01T00:00:00Z, always; a nanosecond
//! random_get                                      zeros
//! sched_yield                                     0
//! fd_fdstat_get                                   0, 1 and 2 are character devices, others EBADF
//! fd_write                                        1 and 2 go to the log (levels 3 and 2), others EBADF
//! fd_read                                         0 is at its end, others EBADF
//! fd_close, fd_fdstat_set_flags, fd_filestat_get, fd_pread, fd_prestat_get, fd_prestat_dir_name, fd_pwrite, fd_readdir,
//! fd_seek, fd_sync, fd_tell, path_filestat_get, path_open, path_readlink                         EBADF: there are no files
//! poll_oneoff                                     ENOSYS
//! proc_exit                                       traps
//! ```
//! A module of that kind may export `_initialize` (a reactor); it is called once, before anything else.

/// The module that these functions are in.
pub const MODULE: &str = "wasi_snapshot_preview1";
/// What a reactor exports for its own start.
pub const INITIALIZE: &str = "_initialize";
/// What every clock says, nanoseconds since 1970: 2000-01-01.
pub const CLOCK_NS: u64 = 946_684_800_000_000_000;

/// Every function with its signature.
pub const FUNCTIONS: [(&str, &str); 27] = [
    ("args_get", "(i32 i32) -> i32"),
    ("args_sizes_get", "(i32 i32) -> i32"),
    ("clock_res_get", "(i32 i32) -> i32"),
    ("clock_time_get", "(i32 i64 i32) -> i32"),
    ("environ_get", "(i32 i32) -> i32"),
    ("environ_sizes_get", "(i32 i32) -> i32"),
    ("fd_close", "(i32) -> i32"),
    ("fd_fdstat_get", "(i32 i32) -> i32"),
    ("fd_fdstat_set_flags", "(i32 i32) -> i32"),
    ("fd_filestat_get", "(i32 i32) -> i32"),
    ("fd_pread", "(i32 i32 i32 i64 i32) -> i32"),
    ("fd_prestat_dir_name", "(i32 i32 i32) -> i32"),
    ("fd_prestat_get", "(i32 i32) -> i32"),
    ("fd_pwrite", "(i32 i32 i32 i64 i32) -> i32"),
    ("fd_read", "(i32 i32 i32 i32) -> i32"),
    ("fd_readdir", "(i32 i32 i32 i64 i32) -> i32"),
    ("fd_seek", "(i32 i64 i32 i32) -> i32"),
    ("fd_sync", "(i32) -> i32"),
    ("fd_tell", "(i32 i32) -> i32"),
    ("fd_write", "(i32 i32 i32 i32) -> i32"),
    ("path_filestat_get", "(i32 i32 i32 i32 i32) -> i32"),
    ("path_open", "(i32 i32 i32 i32 i32 i64 i64 i32 i32) -> i32"),
    ("path_readlink", "(i32 i32 i32 i32 i32 i32) -> i32"),
    ("poll_oneoff", "(i32 i32 i32 i32) -> i32"),
    ("proc_exit", "(i32) -> nothing"),
    ("random_get", "(i32 i32) -> i32"),
    ("sched_yield", "() -> i32"),
];
