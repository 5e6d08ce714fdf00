//! Logging: rolling files in the state directory, never the explorer's screen, and recent entries
//! in memory.

mod filter;
mod recent;
mod rolling;

use std::{io, path::PathBuf, sync::Arc};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    Layer, Registry,
    filter::{FilterExt, LevelFilter, Targets},
    fmt::{self, MakeWriter, format::FmtSpan},
    layer::SubscriberExt,
};

use filter::Filters;
pub use filter::{filter, parse_filter, set_filter};
use recent::Feed;
pub use recent::{LogEvent, LogRing, MOST_CHARACTERS, RECENT};
use rolling::{Bounds, RollingFile, WrittenLog};

use crate::{RegistryError, Result, disk};

/// Lines waiting for the disk. If it stalls, lines are dropped and counted: the swarm must not
/// wait.
const BACKLOG: usize = 16_384;

/// The other destination of the log, besides the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StderrUse {
    /// None: the explorer uses the terminal.
    Taken,
    /// Warnings and errors go to stderr too, for a user.
    Free,
    /// Warnings and errors go to stderr too, in the format of the log.
    Service,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    #[default]
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// Options of the log.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Directory of the log files.
    pub dir: PathBuf,
    /// Directories that are made private if `dir` is inside of them.
    pub private: Vec<PathBuf>,
    /// A filter as in `RUST_LOG`, such as `swarmdex=debug,warn`.
    pub level: String,
    pub format: LogFormat,
    /// Days for which files are kept.
    pub days: usize,
    /// Most bytes of all files together.
    pub bytes: u64,
}

/// A layer of the log, for any format and destination.
type LogLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// A running log; dropping it writes what is buffered.
pub struct Logs {
    _worker: WorkerGuard,
    lost: ErrorCounter,
    written: Arc<WrittenLog>,
    recent: Arc<LogRing>,
}

impl Logs {
    /// Returns the number of lines dropped because the disk was too slow or failed.
    pub fn lost(&self) -> usize {
        self.lost.dropped_lines() + self.written.failed()
    }

    /// Returns the path of the current file.
    pub fn path(&self) -> PathBuf {
        self.written.path()
    }

    /// Returns the recent entries in memory: those in the file, and warnings and errors whatever
    /// the `log_level`.
    pub fn recent(&self) -> Arc<LogRing> {
        self.recent.clone()
    }
}

/// Starts logging for the whole process. Fails if the directory is not writable or if a log has
/// been started before.
pub fn start(options: &LogOptions, screen: StderrUse) -> Result<Logs> {
    let (subscriber, logs, filters) = subscriber(options, screen)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|error| {
        RegistryError::Internal {
            what: "starting the log",
            why: error.to_string(),
        }
    })?;
    filters.put_in_force();
    // Log it once the log works.
    let dir = &options.dir;
    disk::tighten_ours(dir)
        .and_then(|()| rolling::tighten(dir))
        .map_err(RegistryError::file(dir, "made private"))?;
    Ok(logs)
}

fn subscriber(
    options: &LogOptions,
    screen: StderrUse,
) -> Result<(impl tracing::Subscriber + Send + Sync, Logs, Filters)> {
    let dir = &options.dir;
    // If one directory holds everything, create it as a private one.
    for above in options
        .private
        .iter()
        .filter(|above| dir.starts_with(above))
        .chain([dir])
    {
        disk::private_dir(above).map_err(RegistryError::file(above, "created"))?;
    }
    let bounds = Bounds {
        days: options.days,
        bytes: options.bytes,
    };
    let file = RollingFile::open(dir, bounds).map_err(RegistryError::file(dir, "written to"))?;
    let written = file.written();
    let (writer, worker) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(BACKLOG)
        .finish(file);
    let recent = Arc::new(LogRing::new(written.clone()));
    let logs = Logs {
        lost: writer.error_counter(),
        _worker: worker,
        written,
        recent: recent.clone(),
    };
    let mut filters = Filters::new(&options.level);
    let to_file = lines(options.format, writer).with_filter(filters.another()?);
    let worth_showing = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("swarmdex", LevelFilter::INFO);
    let to_memory = Feed(recent).with_filter(worth_showing.or(filters.another()?));
    let to_screen = match (screen, options.format) {
        (StderrUse::Taken, _) => None,
        (StderrUse::Service, LogFormat::Json) => Some(lines(LogFormat::Json, io::stderr)),
        (StderrUse::Free, _) | (StderrUse::Service, LogFormat::Text) => {
            Some(for_a_person(io::stderr))
        }
    };
    // Only our own warnings; those of libraries need more explanation and are in the file.
    let warnings = Targets::new().with_target("swarmdex", LevelFilter::WARN);
    let mut layers: Vec<LogLayer> = vec![to_file.boxed(), to_memory.boxed()];
    layers.extend(to_screen.map(|screen| screen.with_filter(warnings).boxed()));
    Ok((Registry::default().with(layers), logs, filters))
}

/// Returns a layer that writes events with all fields, and spans when they end, because only then
/// their outcome and duration are known.
fn lines<W: for<'a> MakeWriter<'a> + Send + Sync + 'static>(
    format: LogFormat,
    writer: W,
) -> LogLayer {
    let lines = fmt::layer()
        .with_ansi(false)
        .with_writer(writer)
        .with_span_events(FmtSpan::CLOSE);
    match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    }
}

fn for_a_person<W: for<'a> MakeWriter<'a> + Send + Sync + 'static>(writer: W) -> LogLayer {
    fmt::layer()
        .with_writer(writer)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .boxed()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn options(dir: &std::path::Path, level: &str) -> LogOptions {
        let (dir, private, level) = (dir.join("logs"), vec![dir.to_owned()], level.to_owned());
        LogOptions {
            dir,
            private,
            level,
            format: LogFormat::Text,
            days: 7,
            bytes: 1 << 20,
        }
    }

    fn written(dir: &std::path::Path) -> String {
        let files = fs::read_dir(dir.join("logs")).unwrap();
        files
            .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
            .collect()
    }

    #[test]
    fn what_the_level_asks_for_is_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let (subscriber, logs, _) =
            subscriber(&options(dir.path(), "info"), StderrUse::Taken).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "swarmdex::net", "ours");
            tracing::debug!(target: "swarmdex::net", "too much");
            tracing::info!(target: "libp2p_kad", "theirs");
            tracing::warn!(target: "libp2p_kad", "serious");
        });
        assert_eq!(logs.lost(), 0);
        drop(logs);
        let text = written(dir.path());
        assert!(text.contains("ours") && text.contains("serious"), "{text}");
        assert!(
            !text.contains("too much") && !text.contains("theirs"),
            "{text}"
        );
    }

    #[test]
    fn memory_has_what_a_person_should_see_whatever_the_file_has() {
        let heard = |level: &str| {
            let dir = tempfile::tempdir().unwrap();
            let (subscriber, logs, _) =
                subscriber(&options(dir.path(), level), StderrUse::Taken).unwrap();
            tracing::subscriber::with_default(subscriber, || {
                tracing::info!(target: "swarmdex::net", "ours");
                tracing::debug!(target: "swarmdex::net", "detail");
                tracing::info!(target: "libp2p_kad", "theirs");
                tracing::warn!(target: "libp2p_kad", "serious");
            });
            let recent = logs.recent();
            assert_eq!(recent.path(), logs.path());
            drop(logs);
            let file = fs::read_to_string(recent.path()).unwrap().lines().count();
            let heard: Vec<_> = recent
                .since(0)
                .0
                .into_iter()
                .map(|entry| entry.message)
                .collect();
            (heard.join(" "), file)
        };
        assert_eq!(heard("off"), ("ours serious".to_owned(), 0));
        assert_eq!(heard("info"), ("ours serious".to_owned(), 2));
        assert_eq!(heard("debug"), ("ours detail serious".to_owned(), 3));
        assert_eq!(
            heard("libp2p_kad=info"),
            ("ours theirs serious".to_owned(), 2)
        );
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_an_error_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = subscriber(&options(&file, "info"), StderrUse::Free)
            .err()
            .unwrap();
        assert!(
            matches!(&error, RegistryError::File { path, .. } if path.starts_with(&file)),
            "{error}"
        );
    }

    #[test]
    fn the_filter_is_changed_while_the_log_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let (subscriber, logs, filters) =
            subscriber(&options(dir.path(), "info"), StderrUse::Taken).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            // The filter's decision is cached for each call site, so log from a single one.
            let detail = |n: u32| tracing::debug!(target: "swarmdex::net", n, "detail");
            detail(1);
            filters.set("swarmdex::net=debug").unwrap();
            assert_eq!(filters.text(), "swarmdex::net=debug");
            detail(2);
            let error = filters.set("loud").unwrap_err();
            assert!(error.is_usage(), "{error}");
            let said = error.to_string();
            assert!(
                said.contains("\"loud\"") && said.contains("info, debug or trace"),
                "{said}"
            );
            assert_eq!(
                filters.text(),
                "swarmdex::net=debug",
                "the one in force stays"
            );
            detail(3);
            filters.set(" off ").unwrap();
            assert_eq!(filters.text(), "off");
            detail(4);
        });
        let heard: Vec<_> = logs
            .recent()
            .since(0)
            .0
            .into_iter()
            .map(|entry| entry.message)
            .collect();
        assert_eq!(heard, ["detail n=2", "detail n=3"], "in memory too");
        drop(logs);
        let text = written(dir.path());
        assert!(text.contains("n=2") && text.contains("n=3"), "{text}");
        assert!(!text.contains("n=1") && !text.contains("n=4"), "{text}");
    }

    #[test]
    fn json_is_one_object_a_line_with_the_span_it_happened_in() {
        let dir = tempfile::tempdir().unwrap();
        let options = LogOptions {
            format: LogFormat::Json,
            ..options(dir.path(), "info")
        };
        let (subscriber, logs, _) = subscriber(&options, StderrUse::Taken).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!(target: "swarmdex::net", "get", package = "a/b", outcome = tracing::field::Empty);
            span.in_scope(
                || tracing::warn!(target: "swarmdex::net", peer = 7, "a \"quoted\"\nline"),
            );
            span.record("outcome", "found");
        });
        drop(logs);
        let lines: Vec<serde_json::Value> = written(dir.path())
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["level"], "WARN");
        assert_eq!(lines[0]["fields"]["message"], "a \"quoted\"\nline");
        assert_eq!(
            (&lines[0]["fields"]["peer"], &lines[0]["span"]["package"]),
            (&7.into(), &"a/b".into())
        );
        assert_eq!(
            (&lines[1]["span"]["name"], &lines[1]["span"]["outcome"]),
            (&"get".into(), &"found".into())
        );
        assert_eq!(
            lines[1]["fields"]["message"], "close",
            "a span says how it ended"
        );
    }
}
