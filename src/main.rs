//! Arguments in, exit code out; nothing else.

use std::process::ExitCode;

/// Log records are many small, short-lived strings: the system's allocator keeps too much of what they leave behind.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sawbox::cli::main()
}
