//! Statements about a node: its publisher, and its location.

use std::time::Duration;

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use super::super::{geo::GeoLocation, name::Handle, time::Timestamp};
use super::{Payload, Refusal, check_time, decode, encode};

/// A publisher's signed claim that a node is its own. Only such a claim links a handle to a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeClaim {
    /// The node.
    pub node: PeerId,
    /// The publisher's handle.
    pub handle: Handle,
    /// The time of signing, by the publisher's clock.
    pub signed_at: Timestamp,
    /// The end of the claim.
    pub expires: Timestamp,
}

impl NodeClaim {
    /// Longest life of a claim. Nodes renew theirs at every start.
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

/// A node's declared location, sent by gossip and signed as a gossip message by the node itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Presence {
    /// The time of the declaration, by the node's clock.
    pub at: Timestamp,
    /// `None` withdraws an earlier declaration.
    pub location: Option<GeoLocation>,
}

impl Presence {
    /// A declared location expires after this long.
    pub const LIFE: Duration = Duration::from_secs(3_600);
    /// A node that opted in declares its location this often.
    pub const INTERVAL: Duration = Duration::from_secs(600);
    const MAX: usize = 512;

    /// Encodes the declaration for gossip.
    ///
    /// # Errors
    /// It cannot be encoded.
    pub fn encode(&self) -> Result<Vec<u8>, Refusal> {
        encode(self)
    }

    /// Verifies gossip data.
    ///
    /// # Errors
    /// The first check that fails.
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
