//! Logs: rolling files in the state directory, never the explorer's screen; the last of it in memory, for a screen that
//! asks.

mod recent;
mod rolling;

use std::{fs, io, path::PathBuf, sync::Arc};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt, LevelFilter, Targets},
    layer::SubscriberExt,
    registry::LookupSpan,
};

use recent::Feed;
pub use recent::{Entry, LogRing, MOST_CHARACTERS, RECENT};
use rolling::{Bounds, RollingFile, Written};

use crate::{RegistryError, Result, config::Settings};

/// Lines waiting for the disk. A disk that stalls costs log lines, which are counted, and not the swarm's time.
const BACKLOG: usize = 16_384;

/// Who else hears of what happens, besides the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// The explorer has it: nobody.
    Taken,
    /// Nothing draws on it: warnings and errors go to stderr too.
    Free,
}

/// Keeps the log going; what is buffered is written when it is dropped.
pub struct Logs {
    _worker: WorkerGuard,
    lost: ErrorCounter,
    written: Arc<Written>,
    recent: Arc<LogRing>,
}

impl Logs {
    /// Lines that were dropped because the disk was slower than they came, or did not take them.
    pub fn lost(&self) -> usize {
        self.lost.dropped_lines() + self.written.failed()
    }

    /// The file being written now.
    pub fn path(&self) -> PathBuf {
        self.written.path()
    }

    /// The last of the log, in memory: what is in the file, and what a person should see whatever `log_level` says.
    pub fn recent(&self) -> Arc<LogRing> {
        self.recent.clone()
    }
}

/// The filter that a `log_level` describes: a level, which is ours, or directives, which are taken as they stand.
/// The error says what to write.
pub fn filter(level: &str) -> Result<EnvFilter, String> {
    let wrong =
        || "write off, error, warn, info, debug or trace, or targets such as swarmdex=debug,libp2p_kad=info".to_owned();
    let directives = match level.to_lowercase().as_str() {
        "off" => "off".to_owned(),
        "error" => "error".to_owned(),
        level @ ("warn" | "info" | "debug" | "trace") => format!("warn,swarmdex={level}"),
        // A lone word that is no level would be taken for a target, and then nothing would be logged at all.
        _ if level.contains('=') => format!("warn,{level}"),
        _ => return Err(wrong()),
    };
    EnvFilter::builder().parse(directives).map_err(|_| wrong())
}

/// Starts logging for the whole process, once. Fails when the directory cannot be written to.
pub fn start(settings: &Settings, screen: Screen) -> Result<Logs> {
    let (subscriber, logs) = subscriber(settings, screen)?;
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|error| RegistryError::Internal { what: "starting the log", why: error.to_string() })?;
    Ok(logs)
}

fn subscriber(settings: &Settings, screen: Screen) -> Result<(impl tracing::Subscriber + Send + Sync, Logs)> {
    let dir = settings.paths.logs();
    fs::create_dir_all(&dir).map_err(RegistryError::file(&dir, "created"))?;
    let bounds = Bounds { days: settings.log_days, bytes: settings.log_mb as u64 * 1_048_576 };
    let file = RollingFile::open(&dir, bounds).map_err(RegistryError::file(&dir, "written to"))?;
    let written = file.written();
    let (writer, worker) = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(BACKLOG).finish(file);
    let recent = Arc::new(LogRing::new(written.clone()));
    let logs = Logs { lost: writer.error_counter(), _worker: worker, written, recent: recent.clone() };
    let filter = || filter(&settings.log_level).map_err(RegistryError::Usage);
    let to_file = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer).with_filter(filter()?);
    let worth_showing = Targets::new().with_default(LevelFilter::WARN).with_target("swarmdex", LevelFilter::INFO);
    let to_memory = Feed(recent).with_filter(worth_showing.or(filter()?));
    let to_screen = (screen == Screen::Free).then(warnings);
    Ok((Registry::default().with(to_file).with(to_memory).with(to_screen), logs))
}

/// Our own warnings for a person; the libraries' are in the file, where there is room to explain them.
fn warnings<S: tracing::Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> {
    tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .with_filter(Targets::new().with_target("swarmdex", LevelFilter::WARN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Layers, Paths};

    fn settings(dir: &std::path::Path, level: &str) -> Settings {
        let paths = Paths { config: dir.join("none.toml"), data: dir.into(), state: dir.into(), runtime: dir.into() };
        Settings::load(paths, Layers { flags: vec![("log_level", level.to_owned())], ..Layers::default() }).unwrap()
    }

    fn written(dir: &std::path::Path) -> String {
        let files = fs::read_dir(dir.join("logs")).unwrap();
        files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect()
    }

    #[test]
    fn what_the_level_asks_for_is_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let (subscriber, logs) = subscriber(&settings(dir.path(), "info"), Screen::Taken).unwrap();
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
        assert!(!text.contains("too much") && !text.contains("theirs"), "{text}");
    }

    #[test]
    fn memory_has_what_a_person_should_see_whatever_the_file_has() {
        let heard = |level: &str| {
            let dir = tempfile::tempdir().unwrap();
            let (subscriber, logs) = subscriber(&settings(dir.path(), level), Screen::Taken).unwrap();
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
            let heard: Vec<_> = recent.since(0).0.into_iter().map(|entry| entry.message).collect();
            (heard.join(" "), file)
        };
        assert_eq!(heard("off"), ("ours serious".to_owned(), 0));
        assert_eq!(heard("info"), ("ours serious".to_owned(), 2));
        assert_eq!(heard("debug"), ("ours detail serious".to_owned(), 3));
        assert_eq!(heard("libp2p_kad=info"), ("ours theirs serious".to_owned(), 2));
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_an_error_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = subscriber(&settings(&file, "info"), Screen::Free).err().unwrap();
        assert!(matches!(&error, RegistryError::File { path, .. } if path.starts_with(&file)), "{error}");
    }

    #[test]
    fn levels_and_directives_are_filters_and_other_words_are_not() {
        for good in ["off", "info", "TRACE", "swarmdex=debug", "swarmdex::net=trace,libp2p_kad=info"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["", "loud", "swarmdex=loud", "a=b=c"] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }
}
