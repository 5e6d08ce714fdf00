//! Being told to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{RegistryError, Result};

/// Ctrl-C and SIGTERM. While one of these exists, neither ends the process by itself; one that came
/// meanwhile is told of by the next [`Stop::told`].
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
