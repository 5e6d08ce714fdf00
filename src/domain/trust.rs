//! Whom this node believes: pins, which only a person's act sets, and what a handle may mean without one.

use serde::{Deserialize, Serialize};

use super::name::{Handle, PublisherId};

/// What this node's person has said about a publisher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// Nothing: the publisher is known by its records only.
    #[default]
    Unknown,
    /// A handle is bound to this key on this node.
    Pinned,
    /// A person asked not to see this publisher's releases.
    Distrusted,
}

impl Trust {
    /// The word and the glyph a table shows; never colour alone.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unpinned",
            Self::Pinned => "pinned",
            Self::Distrusted => "distrusted",
        }
    }
}

/// What a handle means on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Bound by a pin, or claimed by one key only.
    One(PublisherId),
    /// No pin, and several keys claim it: a person has to choose.
    Several(Vec<PublisherId>),
    /// Nobody known claims it.
    Nobody,
}

/// Resolves `handle`: a pin wins over any number of claims; without one, a single claimant is taken.
pub fn resolve(pin: Option<PublisherId>, claimants: &[PublisherId]) -> Meaning {
    if let Some(publisher) = pin {
        return Meaning::One(publisher);
    }
    let mut keys = claimants.to_vec();
    keys.sort_unstable();
    keys.dedup();
    match keys.as_slice() {
        [] => Meaning::Nobody,
        [one] => Meaning::One(*one),
        _ => Meaning::Several(keys),
    }
}

/// A handle bound to a key by a person's act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    pub handle: Handle,
    pub publisher: PublisherId,
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::identity::Keypair;

    #[test]
    fn a_pin_beats_claims_and_several_claims_are_left_to_a_person() {
        let key = || PublisherId::of(&Keypair::generate_ed25519().public());
        let (a, b) = (key(), key());
        assert_eq!(resolve(None, &[]), Meaning::Nobody);
        assert_eq!(resolve(None, &[a, a]), Meaning::One(a));
        assert!(matches!(resolve(None, &[a, b]), Meaning::Several(keys) if keys.len() == 2));
        assert_eq!(resolve(Some(a), &[b]), Meaning::One(a));
    }
}
