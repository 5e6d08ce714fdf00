//! The log filter, which can be changed while the node runs.

use std::sync::OnceLock;

use parking_lot::Mutex;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::{RegistryError, Result};

/// The filter of one layer.
type Handle = reload::Handle<EnvFilter, Registry>;

/// The filters of this process's log, once it has started. A process has one log, as it has one
/// stderr.
static IN_FORCE: OnceLock<Filters> = OnceLock::new();

/// The error for changing the filter of a process without a log.
const NO_LOG: &str = "this process has no log to filter; start it where a log can be written";

/// The filters of all layers that use `log_level`, and its text.
pub(super) struct Filters {
    layers: Vec<Handle>,
    text: Mutex<String>,
}

impl Filters {
    pub fn new(text: &str) -> Self {
        Self {
            layers: Vec::new(),
            text: Mutex::new(text.to_owned()),
        }
    }

    /// Returns a filter for another layer.
    pub fn another(&mut self) -> Result<reload::Layer<EnvFilter, Registry>> {
        let (layer, handle) = reload::Layer::new(parsed(&self.text())?);
        self.layers.push(handle);
        Ok(layer)
    }

    pub fn text(&self) -> String {
        self.text.lock().clone()
    }

    pub fn set(&self, text: &str) -> Result<()> {
        let text = text.trim();
        // Each layer needs its own filter; parse them all before changing any.
        let filters = self
            .layers
            .iter()
            .map(|_| parsed(text))
            .collect::<Result<Vec<_>>>()?;
        let mut told = self.text.lock();
        for (layer, filter) in self.layers.iter().zip(filters) {
            layer
                .reload(filter)
                .map_err(|_| RegistryError::Usage(NO_LOG.to_owned()))?;
        }
        text.clone_into(&mut told);
        Ok(())
    }

    /// Makes these the filters that [`set_filter`] changes.
    pub fn put_in_force(self) {
        // Starting a second log fails earlier.
        let _ = IN_FORCE.set(self);
    }
}

/// Parses a `log_level`: a level for our own modules, or directives as they are. The error says
/// what to write.
pub fn parse_filter(level: &str) -> Result<EnvFilter, String> {
    let wrong = || {
        "write off, error, warn, info, debug or trace, or targets such as \
         swarmdex=debug,libp2p_kad=info"
            .to_owned()
    };
    let directives = match level.to_lowercase().as_str() {
        "off" => "off".to_owned(),
        "error" => "error".to_owned(),
        level @ ("warn" | "info" | "debug" | "trace") => format!("warn,swarmdex={level}"),
        // A single word that is no level would be taken for a target, and nothing would be logged.
        _ if level.contains('=') => format!("warn,{level}"),
        _ => return Err(wrong()),
    };
    EnvFilter::builder().parse(directives).map_err(|_| wrong())
}

fn parsed(text: &str) -> Result<EnvFilter> {
    parse_filter(text).map_err(|remedy| {
        let given = crate::domain::text::fit(&crate::domain::text::printable(text), 80);
        RegistryError::Usage(format!("the log filter \"{given}\" is invalid: {remedy}"))
    })
}

/// Changes the log filter of this process to a `log_level`. The settings stay the same.
///
/// # Errors
/// [`RegistryError::Usage`] if it is invalid, with what to write, or if there is no log; the filter
/// then stays the same.
pub fn set_filter(text: &str) -> Result<()> {
    let filters = IN_FORCE
        .get()
        .ok_or_else(|| RegistryError::Usage(NO_LOG.to_owned()))?;
    let before = filters.text();
    filters.set(text)?;
    tracing::info!(%before, now = %filters.text(), "changed the log filter");
    Ok(())
}

/// Returns the log filter of this process as a `log_level`; `off` if there is no log.
pub fn filter() -> String {
    IN_FORCE
        .get()
        .map_or_else(|| "off".to_owned(), Filters::text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_filters_and_other_words_are_not() {
        for good in [
            "off",
            "info",
            "TRACE",
            "swarmdex=debug",
            "swarmdex::net=trace,libp2p_kad=info",
        ] {
            assert!(parse_filter(good).is_ok(), "{good}");
        }
        for bad in ["", "loud", "swarmdex=loud", "a=b=c"] {
            assert!(parse_filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn without_a_log_there_is_nothing_to_change() {
        // No test of the library starts the log of the process.
        assert_eq!(filter(), "off");
        let error = set_filter("debug").unwrap_err();
        assert!(
            error.is_usage() && error.to_string().contains("no log"),
            "{error}"
        );
    }
}
