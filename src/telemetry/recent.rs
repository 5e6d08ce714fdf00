//! Recent log entries in memory.

use std::{
    collections::VecDeque,
    fmt::{self, Write},
    path::PathBuf,
    sync::Arc,
};

use parking_lot::Mutex;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use super::rolling::WrittenLog;
use crate::{
    clock,
    domain::{name::OTHER_NODES, text::printable, time::Timestamp},
};

/// Entries kept.
pub const RECENT: usize = 2_000;
/// Characters of a message that are kept.
pub const MOST_CHARACTERS: usize = 1_000;

/// One log event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEvent {
    /// Milliseconds since the Unix epoch.
    pub at: Timestamp,
    pub level: Level,
    /// The module, such as `swarmdex::net::task`.
    pub target: String,
    /// At most [`MOST_CHARACTERS`], without control characters; fields follow the text as
    /// `name=value`.
    pub message: String,
}

/// The newest [`RECENT`] entries, numbered from 0. The lock is held only to copy entries out or to
/// push one.
#[derive(Debug, Default)]
pub struct LogRing {
    ring: Mutex<Ring>,
    written: Arc<WrittenLog>,
}

#[derive(Debug, Default)]
struct Ring {
    entries: VecDeque<LogEvent>,
    /// Number of the next entry.
    next: u64,
}

impl LogRing {
    pub(super) fn new(written: Arc<WrittenLog>) -> Self {
        Self {
            ring: Mutex::default(),
            written,
        }
    }

    /// Returns the entries from number `sequence` on, the number to ask for next, and how many from
    /// `sequence` on were overwritten. `since(0)` returns everything.
    pub fn since(&self, sequence: u64) -> (Vec<LogEvent>, u64, u64) {
        let ring = self.ring.lock();
        let oldest = ring.next.saturating_sub(ring.entries.len() as u64);
        let lost = oldest.saturating_sub(sequence);
        let known = usize::try_from(sequence.saturating_sub(oldest)).unwrap_or(usize::MAX);
        (
            ring.entries.iter().skip(known).cloned().collect(),
            ring.next,
            lost,
        )
    }

    /// Returns the path of the current log file, which goes further back.
    pub fn path(&self) -> PathBuf {
        self.written.path()
    }

    fn push(&self, entry: LogEvent) {
        let mut ring = self.ring.lock();
        if ring.entries.len() >= RECENT {
            ring.entries.pop_front();
        }
        ring.entries.push_back(entry);
        ring.next += 1;
    }
}

/// Adds events to the ring.
pub(super) struct Feed(pub Arc<LogRing>);

impl<S: Subscriber> Layer<S> for Feed {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // In a demo, the entries are those of the person's own node.
        if std::thread::current().name() == Some(OTHER_NODES) {
            return;
        }
        let mut text = EventText::default();
        event.record(&mut text);
        let (level, target) = (
            *event.metadata().level(),
            event.metadata().target().to_owned(),
        );
        self.0.push(LogEvent {
            at: clock::now(),
            level,
            target,
            message: text.finish(),
        });
    }
}

/// The text of an event and its fields, cut to a readable length.
#[derive(Default)]
struct EventText {
    message: Cut,
    fields: Cut,
}

impl EventText {
    fn finish(self) -> String {
        let Self { message, fields } = self;
        let cut = message.full || fields.full;
        let text = printable(&format!("{}{}", message.text, fields.text));
        if !cut && text.chars().count() <= MOST_CHARACTERS {
            return text;
        }
        text.chars()
            .take(MOST_CHARACTERS - 1)
            .chain(['…'])
            .collect()
    }
}

impl Visit for EventText {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // An error only means that there is no room left.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = match field.name() {
            "message" => self.message.write_str(value),
            name => write!(self.fields, " {name}={value}"),
        };
    }
}

/// A writer with a limit, so that huge values are not formatted to their end.
#[derive(Default)]
struct Cut {
    text: String,
    full: bool,
}

impl Write for Cut {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        const MOST_BYTES: usize = MOST_CHARACTERS * 4;
        let room = MOST_BYTES.saturating_sub(self.text.len());
        let fits = more.floor_char_boundary(room);
        self.text.push_str(more.get(..fits).unwrap_or_default());
        self.full = fits < more.len();
        if self.full { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn entry(number: u64) -> LogEvent {
        LogEvent {
            at: Timestamp(number),
            level: Level::INFO,
            target: String::new(),
            message: number.to_string(),
        }
    }

    fn recorded(log: impl FnOnce()) -> Vec<LogEvent> {
        let ring = Arc::new(LogRing::default());
        let subscriber = tracing_subscriber::registry().with(Feed(ring.clone()));
        tracing::subscriber::with_default(subscriber, log);
        ring.since(0).0
    }

    #[test]
    fn a_reader_gets_what_is_new_and_is_told_what_it_missed() {
        let ring = LogRing::default();
        assert_eq!(ring.since(0), (vec![], 0, 0));
        (0..3).for_each(|n| ring.push(entry(n)));
        assert_eq!(ring.since(0), (vec![entry(0), entry(1), entry(2)], 3, 0));
        assert_eq!(ring.since(2), (vec![entry(2)], 3, 0));
        assert_eq!(ring.since(3), (vec![], 3, 0));
        (3..RECENT as u64 + 10).for_each(|n| ring.push(entry(n)));
        let (entries, next, lost) = ring.since(3);
        assert_eq!((entries.len(), next, lost), (RECENT, RECENT as u64 + 10, 7));
        assert_eq!(entries[0], entry(10), "the newest are kept");
        assert_eq!(ring.since(next + 5), (vec![], next, 0));
    }

    #[test]
    fn an_entry_says_what_where_how_bad_and_with_which_fields() {
        let entries = recorded(|| {
            tracing::warn!(target: "swarmdex::net", peer = "12D3", tries = 3, why = ?Some(1), "no answer from {}", "it");
            tracing::info!(only = "fields");
        });
        assert_eq!(
            (entries[0].level, entries[0].target.as_str()),
            (Level::WARN, "swarmdex::net")
        );
        assert_eq!(
            entries[0].message,
            "no answer from it peer=12D3 tries=3 why=Some(1)"
        );
        assert_eq!(entries[1].message, "only=fields");
        assert!(entries[0].at > Timestamp(1_700_000_000_000));
    }

    #[test]
    fn a_message_is_bounded_and_has_nothing_unsafe_in_it() {
        let entries = recorded(|| {
            tracing::info!("a\u{1b}[31m\nb{}", "ü".repeat(1_000_000));
            tracing::info!(value = ?vec![1_u8; 1_000_000]);
            tracing::info!("{}", "x".repeat(MOST_CHARACTERS));
            tracing::info!("{}", "x".repeat(MOST_CHARACTERS + 1));
        });
        for entry in &entries {
            assert!(entry.message.chars().count() <= MOST_CHARACTERS);
            assert!(
                !entry
                    .message
                    .chars()
                    .any(crate::domain::text::is_unsafe_char)
            );
        }
        let cut: Vec<_> = entries
            .iter()
            .map(|entry| entry.message.ends_with('…'))
            .collect();
        assert_eq!(cut, [true, true, false, true]);
        assert!(
            entries[0].message.starts_with("a [31m bü"),
            "{}",
            entries[0].message
        );
    }
}
