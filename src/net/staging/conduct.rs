//! The ways a node serves content and answers requests. All but the first are for tests and for
//! demos that show the treatment of misbehaving peers.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::net::query::protocol::Response;

/// Longer than any requester waits for an answer.
const NEVER: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conduct {
    #[default]
    Honest,
    /// Flips a byte in each answer that has content.
    Corrupt,
    /// Sends this many bytes of content a second on each stream.
    Paced(u64),
    /// Stops in the middle of content, after this many bytes.
    Stalling(usize),
    /// As [`Self::Corrupt`], and also flips a byte in each answer to a query.
    Lying,
    /// As [`Self::Paced`], and each answer of either kind begins this much later.
    Late { rate: u64, by: Duration },
    /// Answers pings and hellos only.
    Silent,
}

impl Conduct {
    pub(in crate::net) fn spoil(self, body: &mut [u8]) {
        if matches!(self, Self::Corrupt | Self::Lying)
            && let Some(byte) = body.last_mut()
        {
            *byte ^= 1;
        }
    }

    /// Returns the number of bytes to send at once.
    pub(in crate::net) fn piece(self) -> usize {
        match self {
            Self::Honest | Self::Corrupt | Self::Lying | Self::Silent => usize::MAX,
            // Fifty pieces a second look smooth.
            Self::Paced(rate) | Self::Late { rate, .. } => {
                usize::try_from(rate / 50).unwrap_or(usize::MAX).max(1)
            }
            Self::Stalling(after) => after,
        }
    }

    /// Waits before an answer of either protocol.
    pub(in crate::net) async fn think(self) {
        match self {
            Self::Late { by, .. } => sleep(by).await,
            Self::Silent => sleep(NEVER).await,
            _ => {}
        }
    }

    /// Waits after `sent` bytes, which are due at `due`.
    pub(in crate::net) async fn wait(self, due: &mut Instant, sent: usize) {
        match self {
            Self::Honest | Self::Corrupt | Self::Lying | Self::Silent => {}
            Self::Paced(rate) | Self::Late { rate, .. } => {
                let now = Instant::now();
                *due = (*due).max(now - Duration::from_millis(100))
                    + Duration::from_secs_f64(sent as f64 / rate as f64);
                sleep_until(*due).await;
            }
            Self::Stalling(after) if sent < after => {}
            Self::Stalling(_) => std::future::pending().await,
        }
    }

    /// Changes an answer to a query as this conduct demands.
    pub(in crate::net) fn twist(self, mut response: Response) -> Response {
        if self == Self::Lying {
            let envelopes: Vec<_> = match &mut response {
                Response::Packages { items, .. } => {
                    items.iter_mut().map(|item| &mut item.head).collect()
                }
                Response::Heads(heads) => heads.iter_mut().collect(),
                Response::Objects(objects) => objects.iter_mut().collect(),
                Response::Hello(_) | Response::Keeping(_) | Response::Busy | Response::Refused => {
                    Vec::new()
                }
            };
            for byte in envelopes
                .into_iter()
                .filter_map(|envelope| envelope.last_mut())
            {
                *byte ^= 1;
            }
        }
        response
    }
}
