//! Rolling log files, bounded in age and total size.
//!
//! The first file of a day is `swarmdex.2026-11-23.log`; once it is full,
//! `swarmdex.2026-11-23.1.log` follows, and so on. Days are UTC days, like the times in the lines.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use jiff::{Span, civil::Date, tz::TimeZone};
use parking_lot::Mutex;

use crate::{clock, domain::time::Timestamp};

/// A file may take this fraction of the total size, so that deleting the oldest keeps most of the
/// log.
const FILES: u64 = 8;
const PREFIX: &str = "swarmdex.";
const SUFFIX: &str = ".log";

/// The limits of all files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Days kept, including today.
    pub days: usize,
    /// Most bytes of all files together.
    pub bytes: u64,
}

impl Bounds {
    fn file(self) -> u64 {
        self.bytes / FILES
    }
}

/// The state of the file, shared with the thread that writes it.
#[derive(Debug, Default)]
pub(super) struct WrittenLog {
    path: Mutex<PathBuf>,
    failed: AtomicUsize,
}

impl WrittenLog {
    /// Returns the path of the current file.
    pub fn path(&self) -> PathBuf {
        self.path.lock().clone()
    }

    /// Returns the number of lines that could not be written.
    pub fn failed(&self) -> usize {
        self.failed.load(Ordering::Relaxed)
    }
}

/// The name of a log file: its day and part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    day: Date,
    /// 0 for the first file of a day.
    part: u32,
}

impl Name {
    fn file(self) -> String {
        match self.part {
            0 => format!("{PREFIX}{}{SUFFIX}", self.day),
            part => format!("{PREFIX}{}.{part}{SUFFIX}", self.day),
        }
    }

    /// Parses a name; `None` for any other file, which is left alone.
    fn parse(file: &str) -> Option<Self> {
        let inner = file.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
        let (day, part) = inner
            .split_once('.')
            .map_or((inner, Some(0)), |(day, part)| (day, part.parse().ok()));
        let name = Self {
            day: day.parse().ok()?,
            part: part?,
        };
        (name.file() == file).then_some(name)
    }
}

/// Returns the old files to delete, oldest first: those older than `days`, and then as many as
/// needed to fit the rest into `bytes`.
fn superfluous(files: &[(Name, u64)], today: Date, days: usize, bytes: u64) -> Vec<Name> {
    let mut newest_first = files.to_vec();
    newest_first.sort_unstable_by_key(|(name, _)| std::cmp::Reverse(*name));
    let days = i64::try_from(days).unwrap_or(i64::MAX);
    let oldest = Span::new()
        .try_days(days)
        .ok()
        .and_then(|days| today.checked_sub(days).ok())
        .unwrap_or(Date::MIN);
    let mut sum = 0u64;
    let mut superfluous: Vec<Name> = newest_first
        .into_iter()
        .filter(|(name, size)| {
            sum = sum.saturating_add(*size);
            name.day <= oldest || sum > bytes
        })
        .map(|(name, _)| name)
        .collect();
    superfluous.reverse();
    superfluous
}

/// Writes whole lines, one for each call of [`Write::write`], as the non-blocking writer makes
/// them.
pub(super) struct RollingFile {
    dir: PathBuf,
    bounds: Bounds,
    clock: fn() -> Timestamp,
    written: Arc<WrittenLog>,
    open: OpenFile,
}

struct OpenFile {
    file: File,
    name: Name,
    size: u64,
}

impl RollingFile {
    /// Opens today's newest file in `dir`. Fails if it is not writable.
    pub fn open(dir: &Path, bounds: Bounds) -> io::Result<Self> {
        Self::with_clock(dir, bounds, clock::now)
    }

    fn with_clock(dir: &Path, bounds: Bounds, clock: fn() -> Timestamp) -> io::Result<Self> {
        let day = day(clock());
        let open = open(
            dir,
            Name {
                day,
                part: newest_part(dir, day)?,
            },
        )?;
        let mut this = Self {
            dir: dir.to_owned(),
            bounds,
            clock,
            written: Arc::default(),
            open,
        };
        this.shown();
        this.delete_superfluous();
        Ok(this)
    }

    pub fn written(&self) -> Arc<WrittenLog> {
        self.written.clone()
    }

    /// Starts another file if the day has changed or the current file is full.
    fn make_room(&mut self, line: u64) -> io::Result<()> {
        let day = day((self.clock)());
        let full = self.open.size > 0 && self.open.size.saturating_add(line) > self.bounds.file();
        if day == self.open.name.day && !full {
            return Ok(());
        }
        fs::create_dir_all(&self.dir)?;
        let newest = newest_part(&self.dir, day)?;
        let part = if day == self.open.name.day {
            newest.max(self.open.name.part).saturating_add(1)
        } else {
            newest
        };
        self.open = open(&self.dir, Name { day, part })?;
        self.shown();
        self.delete_superfluous();
        Ok(())
    }

    fn shown(&mut self) {
        let path = self.dir.join(self.open.name.file());
        *self.written.path.lock() = path;
    }

    /// Deletes old files, so that the current one can grow to its limit. If that fails, it is tried
    /// again with the next file.
    fn delete_superfluous(&self) {
        let Ok(files) = files(&self.dir) else { return };
        let others: Vec<_> = files
            .into_iter()
            .filter(|(name, _)| *name != self.open.name)
            .collect();
        let room = self
            .bounds
            .bytes
            .saturating_sub(self.bounds.file().max(self.open.size));
        for name in superfluous(&others, day((self.clock)()), self.bounds.days, room) {
            let _ = fs::remove_file(self.dir.join(name.file()));
        }
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        self.make_room(length)?;
        self.open.file.write_all(line)?;
        self.open.size = self.open.size.saturating_add(length);
        Ok(())
    }
}

impl Write for RollingFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let done = self.append(line);
        if done.is_err() {
            self.written.failed.fetch_add(1, Ordering::Relaxed);
        }
        done.map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.open.file.flush()
    }
}

fn open(dir: &Path, name: Name) -> io::Result<OpenFile> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(dir.join(name.file()))?;
    let size = file.metadata()?.len();
    Ok(OpenFile { file, name, size })
}

/// Makes existing log files readable by their owner only: they name peers, addresses and packages.
pub(super) fn tighten(dir: &Path) -> io::Result<()> {
    files(dir)?
        .into_iter()
        .try_for_each(|(name, _)| crate::disk::tighten_ours(&dir.join(name.file())))
}

/// Returns our files in `dir` with their sizes.
fn files(dir: &Path) -> io::Result<Vec<(Name, u64)>> {
    let mut files = Vec::new();
    for file in fs::read_dir(dir)? {
        let file = file?;
        let Some(name) = file.file_name().to_str().and_then(Name::parse) else {
            continue;
        };
        // If another node has deleted the file meanwhile, it takes no space.
        files.push((name, file.metadata().map_or(0, |file| file.len())));
    }
    Ok(files)
}

fn newest_part(dir: &Path, day: Date) -> io::Result<u32> {
    let parts = files(dir)?
        .into_iter()
        .filter(|(name, _)| name.day == day)
        .map(|(name, _)| name.part);
    Ok(parts.max().unwrap_or(0))
}

fn day(at: Timestamp) -> Date {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis)
        .unwrap_or(jiff::Timestamp::MAX)
        .to_zoned(TimeZone::UTC)
        .date()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MONDAY: Timestamp = Timestamp(1_795_392_000_000);
    const TUESDAY: Timestamp = Timestamp(1_795_392_000_000 + 86_400_000);

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn name(day: &str, part: u32) -> Name {
        Name {
            day: date(day),
            part,
        }
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn names_tell_the_day_and_the_part_and_other_files_are_nobodys() {
        assert_eq!(name("2026-11-23", 0).file(), "swarmdex.2026-11-23.log");
        assert_eq!(name("2026-11-23", 12).file(), "swarmdex.2026-11-23.12.log");
        for part in [0, 1, 12] {
            let name = name("2026-11-23", part);
            assert_eq!(Name::parse(&name.file()), Some(name));
        }
        for other in [
            "swarmdex.log",
            "swarmdex.2026-11-23.log.gz",
            "swarmdex.2026-11-23.01.log",
            "swarmdex.2026-11-23.0.log",
            "swarmdex.2026-11-31.log",
            "notes.2026-11-23.log",
        ] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_too_old_goes_and_then_the_oldest_until_the_rest_fits() {
        let today = date("2026-11-23");
        let files = [
            (name("2026-11-23", 0), 10),
            (name("2026-11-22", 1), 10),
            (name("2026-11-22", 0), 10),
            (name("2026-11-20", 0), 1),
        ];
        assert_eq!(superfluous(&files, today, 7, 100), []);
        assert_eq!(
            superfluous(&files, today, 3, 100),
            [name("2026-11-20", 0)],
            "today and two days before it"
        );
        assert_eq!(
            superfluous(&files, today, 7, 20),
            [name("2026-11-20", 0), name("2026-11-22", 0)]
        );
        assert_eq!(superfluous(&files, today, 7, 0).len(), 4);
    }

    #[test]
    fn a_full_file_is_followed_by_another_and_a_new_day_by_its_first() {
        let dir = tempfile::tempdir().unwrap();
        let bounds = Bounds { days: 7, bytes: 80 };
        let mut log = RollingFile::with_clock(dir.path(), bounds, || MONDAY).unwrap();
        let first = log.written().path();
        for line in ["12345\n", "1234\n", "12345678901234567890\n", "1\n"] {
            log.write_all(line.as_bytes()).unwrap();
        }
        let day = day(MONDAY);
        let parts: Vec<_> = (0..4).map(|part| Name { day, part }.file()).collect();
        assert_eq!(names(dir.path()).len(), 4, "{:?}", names(dir.path()));
        assert!(parts.iter().all(|part| names(dir.path()).contains(part)));
        assert!(first.ends_with(&parts[0]) && log.written().path().ends_with(&parts[3]));

        drop(log);
        let mut again = RollingFile::with_clock(dir.path(), bounds, || MONDAY).unwrap();
        again.write_all(b"2\n").unwrap();
        assert_eq!(
            fs::read_to_string(dir.path().join(&parts[3])).unwrap(),
            "1\n2\n",
            "it goes on where it was"
        );
        again.clock = || TUESDAY;
        again.write_all(b"3\n").unwrap();
        assert!(
            again.written().path().ends_with(
                Name {
                    day: self::day(TUESDAY),
                    part: 0
                }
                .file()
            )
        );
    }

    #[test]
    fn all_files_together_stay_within_the_bound_and_others_files_stay() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("notes.txt"), vec![0; 5_000]).unwrap();
        fs::write(dir.path().join("swarmdex.2001-01-01.log"), "old").unwrap();
        let bounds = Bounds {
            days: 7,
            bytes: 1_000,
        };
        let mut log = RollingFile::with_clock(dir.path(), bounds, || MONDAY).unwrap();
        assert!(!dir.path().join("swarmdex.2001-01-01.log").exists());
        for number in 0..1_000 {
            log.write_all(format!("line {number}\n").as_bytes())
                .unwrap();
            let sum: u64 = files(dir.path())
                .unwrap()
                .iter()
                .map(|(_, size)| size)
                .sum();
            assert!(sum <= bounds.bytes, "{sum} bytes after line {number}");
        }
        assert!(
            fs::read_to_string(log.written().path())
                .unwrap()
                .contains("line 999")
        );
        assert!(dir.path().join("notes.txt").exists());
        assert_eq!(log.written().failed(), 0);
    }

    #[test]
    fn a_line_that_the_disk_does_not_take_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let logs = dir.path().join("logs");
        fs::create_dir(&logs).unwrap();
        let mut log = RollingFile::with_clock(
            &logs,
            Bounds {
                days: 7,
                bytes: 1_000,
            },
            || MONDAY,
        )
        .unwrap();
        fs::remove_dir_all(&logs).unwrap();
        fs::write(&logs, "in the way").unwrap();
        log.clock = || TUESDAY;
        assert!(log.write_all(b"line\n").is_err());
        assert_eq!(log.written().failed(), 1);
        fs::remove_file(&logs).unwrap();
        log.write_all(b"line\n").unwrap();
        assert_eq!(
            names(&logs).len(),
            1,
            "and once the disk is back, so is the log"
        );
    }

    proptest! {
        #[test]
        fn what_is_left_is_the_newest_that_fits(sizes in prop::collection::vec(0u64..50, 0..30), days in 1usize..20, bytes in 0u64..300) {
            let today = date("2026-11-23");
            let at = |n: usize| Name { day: today.checked_sub(Span::new().days(i64::try_from(n / 2).unwrap())).unwrap(), part: 1 - u32::try_from(n % 2).unwrap() };
            let files: Vec<_> = sizes.iter().enumerate().map(|(n, size)| (at(n), *size)).collect();
            let gone = superfluous(&files, today, days, bytes);
            prop_assert!(gone.is_sorted());
            let left: Vec<_> = files.iter().filter(|(name, _)| !gone.contains(name)).collect();
            prop_assert_eq!(&left, &files.iter().take(left.len()).collect::<Vec<_>>(), "a newer one never goes before an older one");
            prop_assert!(left.iter().map(|(_, size)| size).sum::<u64>() <= bytes);
            prop_assert!(left.len() <= days * 2);
            // No file may be deleted that could have stayed.
            if let Some((_, size)) = files.get(left.len()) {
                let sum: u64 = left.iter().map(|(_, size)| size).sum();
                prop_assert!(left.len() >= days * 2 || sum + size > bytes);
            }
        }
    }
}
