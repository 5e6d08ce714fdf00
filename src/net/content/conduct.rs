//! How a node serves content. All but the first are for a demo, which shows what becomes of bad actors, and for tests.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conduct {
    #[default]
    Honest,
    /// Flips a byte in each answer.
    Corrupt,
    /// Sends so many bytes a second on each stream.
    Paced(u64),
    /// Falls silent in the middle of an answer, after so many bytes of it.
    Stalling(usize),
}

impl Conduct {
    pub(super) fn spoil(self, body: &mut [u8]) {
        if self == Self::Corrupt
            && let Some(byte) = body.last_mut()
        {
            *byte ^= 1;
        }
    }

    /// Bytes that are sent at once.
    pub(super) fn piece(self) -> usize {
        match self {
            Self::Honest | Self::Corrupt => usize::MAX,
            // Fifty times a second looks even.
            Self::Paced(rate) => usize::try_from(rate / 50).unwrap_or(usize::MAX).max(1),
            Self::Stalling(after) => after,
        }
    }

    /// Waits after `sent` bytes, which are due at `due`.
    pub(super) async fn wait(self, due: &mut Instant, sent: usize) {
        match self {
            Self::Honest | Self::Corrupt => {}
            Self::Paced(rate) => {
                let now = Instant::now();
                *due =
                    (*due).max(now - Duration::from_millis(100)) + Duration::from_secs_f64(sent as f64 / rate as f64);
                sleep_until(*due).await;
            }
            Self::Stalling(after) if sent < after => {}
            Self::Stalling(_) => std::future::pending().await,
        }
    }
}
