//! What a node says about itself: which publisher it belongs to, and where it is.

use std::time::Duration;

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use super::super::{geo::GeoLocation, name::Handle, time::Timestamp};
use super::{Payload, Refusal, check_time, decode, encode};

/// Signed by a publisher's key: this node is mine. Only such a claim puts a handle beside a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeClaim {
    pub node: PeerId,
    pub handle: Handle,
    pub signed_at: Timestamp,
    pub expires: Timestamp,
}

impl NodeClaim {
    /// Longest life of a claim; nodes renew theirs at every start.
    pub const MAX_LIFE: Duration = Duration::from_secs(30 * 24 * 3_600);
}

impl Payload for NodeClaim {
    const DOMAIN: &'static str = "swarmdex-node-claim";
    const TYPE: &'static str = "/swarmdex/node-claim";
    const MAX_ENVELOPE: usize = 1024;

    fn check(&self) -> Result<(), Refusal> {
        check_time(self.expires)?;
        let lives =
            self.expires > self.signed_at && self.expires <= self.signed_at.after(Self::MAX_LIFE);
        if lives {
            Ok(())
        } else {
            Err(Refusal::BadField)
        }
    }
}

/// Where a node says it is; gossiped, and signed as a gossip message by the node itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Presence {
    pub at: Timestamp,
    /// `None` withdraws an earlier declaration.
    pub location: Option<GeoLocation>,
}

impl Presence {
    /// How long a declared location is believed without being said again.
    pub const LIFE: Duration = Duration::from_secs(3_600);
    /// How often a node that opted in says it again.
    pub const INTERVAL: Duration = Duration::from_secs(600);
    const MAX: usize = 512;

    pub fn encode(&self) -> Result<Vec<u8>, Refusal> {
        encode(self)
    }

    pub fn verify(bytes: &[u8], now: Timestamp) -> Result<Self, Refusal> {
        if bytes.len() > Self::MAX {
            return Err(Refusal::TooLarge);
        }
        let presence: Self = decode(bytes)?;
        if presence
            .location
            .as_ref()
            .is_some_and(|location| !location.is_valid())
        {
            return Err(Refusal::BadField);
        }
        if presence.at.after(Self::LIFE) < now || now.after(super::VALIDITY) < presence.at {
            return Err(Refusal::OutOfTime);
        }
        Ok(presence)
    }
}
