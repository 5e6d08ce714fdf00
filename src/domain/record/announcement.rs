//! Announcements: how a new head travels over gossip.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::super::{manifest::Manifest, time::Timestamp};
use super::{Head, Refusal, Signed, decode, encode};

/// Largest announcement, in bytes.
pub const MAX_ANNOUNCEMENT: usize = 24 * 1024;
/// How long after `announced_at` an announcement is taken, and how far ahead of our clock it may be.
pub const VALIDITY: Duration = Duration::from_secs(600);

#[derive(Serialize, Deserialize)]
struct Wire {
    at: Timestamp,
    #[serde(with = "serde_bytes")]
    head: Vec<u8>,
    #[serde(with = "serde_bytes")]
    manifest: Vec<u8>,
}

/// A head and the manifest of the release it is about, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    pub announced_at: Timestamp,
    pub head: Signed<Head>,
    pub manifest: Signed<Manifest>,
}

impl Announcement {
    pub fn encode(&self) -> Result<Bytes, Refusal> {
        let bytes = encode(&Wire {
            at: self.announced_at,
            head: self.head.envelope().to_vec(),
            manifest: self.manifest.envelope().to_vec(),
        })?;
        if bytes.len() > MAX_ANNOUNCEMENT { Err(Refusal::TooLarge) } else { Ok(bytes.into()) }
    }

    /// Checks gossip data. Clock and expiry come after everything that makes the sender pay, so that a forged
    /// message is a fault however old it says it is.
    pub fn verify(bytes: &[u8], now: Timestamp) -> Result<Self, Refusal> {
        if bytes.len() > MAX_ANNOUNCEMENT {
            return Err(Refusal::TooLarge);
        }
        let wire: Wire = decode(bytes)?;
        let head = Signed::<Head>::verify(&wire.head)?;
        let manifest = Signed::<Manifest>::verify(&wire.manifest)?;
        let listed = head
            .releases
            .iter()
            .any(|release| release.manifest == manifest.hash() && release.version == manifest.version);
        if head.publisher() != manifest.publisher() || head.name != manifest.name || !listed {
            return Err(Refusal::Mismatch);
        }
        let announced_at = wire.at;
        if announced_at.after(VALIDITY) < now || now.after(VALIDITY) < announced_at {
            return Err(Refusal::OutOfTime);
        }
        if head.is_expired(now) {
            return Err(Refusal::Expired);
        }
        Ok(Self { announced_at, head, manifest })
    }
}
