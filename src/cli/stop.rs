//! Signals to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{RegistryError, Result};

/// Catches Ctrl-C and SIGTERM. While a value exists, neither ends the process; [`Stop::told`]
/// returns for a signal that came since.
pub(super) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    pub fn watch() -> Result<Self> {
        let watch = |kind| {
            signal(kind).map_err(|error| RegistryError::Internal {
                what: "watching signals",
                why: error.to_string(),
            })
        };
        Ok(Self {
            interrupt: watch(SignalKind::interrupt())?,
            terminate: watch(SignalKind::terminate())?,
        })
    }

    pub async fn told(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
