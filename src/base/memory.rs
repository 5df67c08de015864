//! How the process takes memory from the system.
//!
//! Buffers here live for a batch. In huge pages each of them costs the kernel two megabytes to clear, whatever of it is used,
//! and what the allocator has given back but for a few kilobytes stays. Measured with `sawbox bench`: an eighth of all processor
//! time and 100 MiB at the peak, for nothing.

/// Has the kernel serve this process with pages of the ordinary size. To be called before threads begin; where it is refused
/// all works, with more memory.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)] // no dependency that is built here has a safe form of it
pub fn decline_huge_pages() {
    use std::ffi::{c_int, c_ulong};
    unsafe extern "C" {
        fn prctl(option: c_int, ...) -> c_int;
    }
    const PR_SET_THP_DISABLE: c_int = 41;
    const YES: c_ulong = 1;
    const UNUSED: c_ulong = 0;
    // SAFETY: prctl(2) takes an int and four longs; with this option it reads no memory and changes a flag of the process.
    let _refused = unsafe { prctl(PR_SET_THP_DISABLE, YES, UNUSED, UNUSED, UNUSED) };
}

/// Other systems are left as they are.
#[cfg(not(target_os = "linux"))]
pub fn decline_huge_pages() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn the_kernel_says_so_too() {
        super::decline_huge_pages();
        #[allow(clippy::disallowed_methods)] // not a file
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        // Kernels before 5.0 do not tell.
        if let Some(line) = status.lines().find_map(|line| line.strip_prefix("THP_enabled:")) {
            assert_eq!(line.trim(), "0");
        }
    }
}
