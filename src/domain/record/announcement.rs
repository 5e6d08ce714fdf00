//! Announcements carry a new head over gossip.

use std::time::Duration;

use bytes::Bytes;
use libp2p::identity::Keypair;
use serde::{Deserialize, Serialize};

use super::super::{hash::Hash, manifest::Manifest, name::PublisherId, time::Timestamp};
use super::{
    Authorised, Head, Payload, Refusal, Signed, check_time, consistent, decode, encode,
    peek::signer,
};

/// Largest announcement, in bytes.
pub const MAX_ANNOUNCEMENT: usize = 24 * 1024;
/// An announcement is accepted for this long after `announced_at`, which may be this far ahead of
/// our clock.
pub const VALIDITY: Duration = Duration::from_secs(600);

/// A publisher's signed statement that a head was its current one at a given time. Without the
/// signature, anybody could send an old announcement again with a new time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadNotice {
    /// The hash of the head.
    pub head: Hash,
    /// The time, by the publisher's clock.
    pub at: Timestamp,
}

impl Payload for HeadNotice {
    const DOMAIN: &'static str = "swarmdex-notice";
    const TYPE: &'static str = "/swarmdex/notice";
    const MAX_ENVELOPE: usize = 512;

    fn check(&self) -> Result<(), Refusal> {
        check_time(self.at)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnnouncementFields {
    #[serde(with = "serde_bytes")]
    notice: Vec<u8>,
    #[serde(with = "serde_bytes")]
    head: Vec<u8>,
    #[serde(with = "serde_bytes")]
    manifest: Vec<u8>,
}

/// A verified head with the manifest of the release that it announces, and the publisher's time of
/// announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The publisher's statement.
    pub notice: Signed<HeadNotice>,
    /// The head.
    pub head: Authorised<Head>,
    /// The manifest of the release.
    pub manifest: Authorised<Manifest>,
}

impl Announcement {
    /// Signs an announcement of a head with the publisher's own key.
    ///
    /// # Errors
    /// The key is not the head's signer, or the notice breaks a rule.
    pub fn sign(
        key: &Keypair,
        at: Timestamp,
        head: Authorised<Head>,
        manifest: Authorised<Manifest>,
    ) -> Result<Self, Refusal> {
        let notice = Signed::sign(
            key,
            HeadNotice {
                head: head.hash(),
                at,
            },
        )?;
        if notice.signer() != head.signer() {
            return Err(Refusal::Mismatch);
        }
        Ok(Self {
            notice,
            head,
            manifest,
        })
    }

    /// Returns the time of the announcement, by the publisher's clock.
    pub fn announced_at(&self) -> Timestamp {
        self.notice.at
    }

    /// Encodes the announcement for gossip.
    ///
    /// # Errors
    /// It is larger than [`MAX_ANNOUNCEMENT`].
    pub fn encode(&self) -> Result<Bytes, Refusal> {
        let bytes = encode(&AnnouncementFields {
            notice: self.notice.envelope().to_vec(),
            head: self.head.envelope().to_vec(),
            manifest: self.manifest.envelope().to_vec(),
        })?;
        if bytes.len() > MAX_ANNOUNCEMENT {
            Err(Refusal::TooLarge)
        } else {
            Ok(bytes.into())
        }
    }

    /// Returns the publisher that unverified gossip data names: enough to prioritise messages.
    pub fn claimed_publisher(bytes: &[u8]) -> Option<PublisherId> {
        if bytes.len() > MAX_ANNOUNCEMENT {
            return None;
        }
        signer(&decode::<AnnouncementFields>(bytes).ok()?.head)
    }

    /// Verifies gossip data. Clock and expiry are checked after everything for which the sender is
    /// penalised, so that a forged message is a fault whatever its time.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn verify(bytes: &[u8], now: Timestamp) -> Result<Self, Refusal> {
        if bytes.len() > MAX_ANNOUNCEMENT {
            return Err(Refusal::TooLarge);
        }
        let wire: AnnouncementFields = decode(bytes)?;
        let notice = Signed::<HeadNotice>::verify(&wire.notice)?;
        let head = Authorised::<Head>::verify(&wire.head)?;
        let manifest = Authorised::<Manifest>::verify(&wire.manifest)?;
        consistent(&head, &manifest)?;
        if notice.signer() != head.signer() || notice.head != head.hash() {
            return Err(Refusal::Mismatch);
        }
        if notice.at.after(VALIDITY) < now || now.after(VALIDITY) < notice.at {
            return Err(Refusal::OutOfTime);
        }
        if head.is_expired(now) {
            return Err(Refusal::Expired);
        }
        Ok(Self {
            notice,
            head,
            manifest,
        })
    }
}
