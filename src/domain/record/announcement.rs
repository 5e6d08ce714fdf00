//! Announcements: how a new head travels over gossip.

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
/// How long after `announced_at` an announcement is taken, and how far ahead of our clock it may
/// be.
pub const VALIDITY: Duration = Duration::from_secs(600);

/// A publisher's signed word that a head was its current one at a time. Without the signature
/// anybody could give an old announcement a new time and send it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    pub head: Hash,
    pub at: Timestamp,
}

impl Payload for Notice {
    const DOMAIN: &'static str = "swarmdex-notice";
    const TYPE: &'static str = "/swarmdex/notice";
    const MAX_ENVELOPE: usize = 512;

    fn check(&self) -> Result<(), Refusal> {
        check_time(self.at)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(with = "serde_bytes")]
    notice: Vec<u8>,
    #[serde(with = "serde_bytes")]
    head: Vec<u8>,
    #[serde(with = "serde_bytes")]
    manifest: Vec<u8>,
}

/// A head and the manifest of the release it is about, checked, with the time its publisher says it
/// for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    pub notice: Signed<Notice>,
    pub head: Authorised<Head>,
    pub manifest: Authorised<Manifest>,
}

impl Announcement {
    /// Says of a head, with the publisher's own key, that it is the current one.
    pub fn sign(
        key: &Keypair,
        at: Timestamp,
        head: Authorised<Head>,
        manifest: Authorised<Manifest>,
    ) -> Result<Self, Refusal> {
        let notice = Signed::sign(
            key,
            Notice {
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

    /// When its publisher announced it, by the publisher's clock.
    pub fn announced_at(&self) -> Timestamp {
        self.notice.at
    }

    pub fn encode(&self) -> Result<Bytes, Refusal> {
        let bytes = encode(&Wire {
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

    /// The publisher that gossip data names, which nothing has been verified of yet: enough to
    /// decide who is heard first.
    pub fn claimed_publisher(bytes: &[u8]) -> Option<PublisherId> {
        if bytes.len() > MAX_ANNOUNCEMENT {
            return None;
        }
        signer(&decode::<Wire>(bytes).ok()?.head)
    }

    /// Checks gossip data. Clock and expiry come after everything that makes the sender pay, so
    /// that a forged message is a fault however old it says it is.
    pub fn verify(bytes: &[u8], now: Timestamp) -> Result<Self, Refusal> {
        if bytes.len() > MAX_ANNOUNCEMENT {
            return Err(Refusal::TooLarge);
        }
        let wire: Wire = decode(bytes)?;
        let notice = Signed::<Notice>::verify(&wire.notice)?;
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
