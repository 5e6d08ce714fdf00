//! Measurements of this process by the system; none where it gives none.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// The figures of the process are read at most once in this time, however many nodes it runs.
const AGE: Duration = Duration::from_secs(10);

/// The memory and the descriptors of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessFigures {
    pub memory: Option<u64>,
    pub descriptors: Option<(u64, u64)>,
}

/// Returns the figures of this process, at most ten seconds old. Counting the descriptors of a
/// process that has many takes a while, so that its nodes share one reading.
pub fn figures() -> ProcessFigures {
    static LATEST: Mutex<Option<(Instant, ProcessFigures)>> = Mutex::new(None);
    shared(&LATEST, || ProcessFigures {
        memory: memory(),
        descriptors: descriptors(),
    })
}

/// Returns the latest reading, or another one if it is older than [`AGE`]. Others wait meanwhile.
fn shared<T: Copy>(latest: &Mutex<Option<(Instant, T)>>, read: impl FnOnce() -> T) -> T {
    let mut latest = latest.lock();
    match *latest {
        Some((at, seen)) if at.elapsed() < AGE => seen,
        _ => {
            let seen = read();
            *latest = Some((Instant::now(), seen));
            seen
        }
    }
}

/// Bytes in memory: the second field of `/proc/self/statm` counts pages (proc_pid_statm(5)), which
/// have 4 KiB on the machines we know.
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
    Some((
        stat.f_bavail.checked_mul(stat.f_frsize)?,
        stat.f_blocks.checked_mul(stat.f_frsize)?,
    ))
}

/// The moment at which a process started, as a text that no other process of this number has: the
/// boot of the machine (`/proc/sys/kernel/random/boot_id`) and the clock ticks since (field 22 of
/// `/proc/PID/stat`, proc_pid_stat(5)).
pub fn started(pid: u32) -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses and may have any character; the third comes after
    // the last of them.
    let (_, fields) = stat.rsplit_once(')')?;
    Some(format!(
        "{}/{}",
        boot.trim(),
        fields.split_whitespace().nth(19)?
    ))
}

/// Tells a process to end, if it is the one that started then, runs as the same user, and has this
/// file open. The handle that is taken first means one process, whoever gets its number afterwards.
#[cfg(target_os = "linux")]
pub fn terminate(pid: u32, started_at: &str, file: &Path) -> bool {
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
    use std::os::unix::fs::MetadataExt;
    let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    let Ok(process) = pidfd_open(number, PidfdFlags::empty()) else {
        return false;
    };
    let owner = |pid: &str| {
        fs::metadata(format!("/proc/{pid}"))
            .map(|about| about.uid())
            .ok()
    };
    let ours = owner("self").is_some() && owner("self") == owner(&pid.to_string());
    let Ok(wanted) = fs::metadata(file).map(|about| (about.dev(), about.ino())) else {
        return false;
    };
    let has_it = || {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let same = |entry: fs::DirEntry| {
            fs::metadata(entry.path()).is_ok_and(|it| (it.dev(), it.ino()) == wanted)
        };
        Some(open.flatten().any(same))
    };
    ours && started(pid).as_deref() == Some(started_at)
        && has_it() == Some(true)
        && pidfd_send_signal(process, Signal::TERM).is_ok()
}

/// Nothing is known here of a process beyond its number, which another one may have by now.
#[cfg(not(target_os = "linux"))]
pub fn terminate(_pid: u32, _started_at: &str, _file: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_a_process_share_one_reading_until_it_is_old() {
        let latest = Mutex::new(None);
        assert_eq!(shared(&latest, || 1), 1);
        assert_eq!(shared(&latest, || 2), 1);
        *latest.lock() = Instant::now().checked_sub(AGE).map(|at| (at, 1));
        assert_eq!(shared(&latest, || 3), 3);
    }

    #[test]
    fn the_system_says_what_this_process_has() {
        assert!(memory().is_none_or(|bytes| bytes > 1 << 20));
        assert!(disk(Path::new("/")).is_none_or(|(free, all)| free <= all && all > 0));
        assert!(descriptors().is_none_or(|(open, most)| open > 0 && open <= most));
    }
}
