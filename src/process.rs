//! What the system says of this process; nothing where it does not say.

use std::{fs, path::Path};

/// Bytes in memory: the second field of `/proc/self/statm` counts pages (proc_pid_statm(5)), which have 4 KiB on the
/// machines we know.
pub fn memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    pages.checked_mul(4_096)
}

/// Open descriptors, and how many there may be.
pub fn descriptors() -> Option<(u64, u64)> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    let most = rlimit::Resource::NOFILE.get_soft().ok()?;
    Some((open, most))
}

/// Bytes that are free for us on the disk that has `path`, and how many there are.
pub fn disk(path: &Path) -> Option<(u64, u64)> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some((stat.f_bavail.checked_mul(stat.f_frsize)?, stat.f_blocks.checked_mul(stat.f_frsize)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_says_what_this_process_has() {
        assert!(memory().is_none_or(|bytes| bytes > 1 << 20));
        assert!(disk(Path::new("/")).is_none_or(|(free, all)| free <= all && all > 0));
        assert!(descriptors().is_none_or(|(open, most)| open > 0 && open <= most));
    }
}
