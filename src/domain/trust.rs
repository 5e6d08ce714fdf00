//! Trust in publishers: pins, which only a person sets, and the meaning of a handle without one.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{
    name::{Handle, PublisherId},
    time::Timestamp,
};

/// Different peers that must report a handle's claimants before it is pinned; all of them if fewer
/// are connected.
pub const CLAIMS_QUORUM: usize = 3;
/// The most handles that one key may claim. People have one, and some a second for an organisation;
/// without a bound, one key could make every handle unusable.
pub const MAX_HANDLES: usize = 8;
/// The most claimants listed for a handle, first seen first.
pub const MAX_CLAIMANTS: usize = 50;

/// The trust that this node's person has given a publisher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// None: the publisher is known by its records only.
    #[default]
    Unknown,
    /// A handle is bound to this key on this node.
    Pinned,
    /// The key is this node's own.
    Own,
    /// The person does not want to see this publisher's releases.
    Distrusted,
}

impl Trust {
    /// Returns the word for a table.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unpinned",
            Self::Pinned => "pinned",
            Self::Own => "own",
            Self::Distrusted => "distrusted",
        }
    }

    /// Returns true if the publisher's handle names it on this node. Any other is shown with the
    /// key's fingerprint.
    pub fn is_bound(self) -> bool {
        matches!(self, Self::Pinned | Self::Own)
    }
}

/// The reason why a handle means a key on this node, whatever others claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// This node's own publisher uses it.
    Own,
    /// A person pinned it.
    Pinned,
}

/// A key that claims a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claimant {
    /// The key.
    pub publisher: PublisherId,
    /// The time at which this node first saw the claim.
    pub since: Timestamp,
}

/// The facts about a handle on this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The handle.
    pub handle: Handle,
    /// The key that it is bound to, with the reason; other claims count for nothing then.
    pub bound: Option<(PublisherId, Bound)>,
    /// This node's own key, and true if it has published under the handle.
    pub own: Option<PublisherId>,
    /// This node's own key has published under the handle.
    pub published: bool,
    /// Keys that claim it, first seen first, at most [`MAX_CLAIMANTS`]. Distrusted ones are left
    /// out.
    pub claimants: Vec<Claimant>,
    /// The number of peers that reported its claimants.
    pub answered: usize,
    /// The number of peers required; 0 if nobody is connected or was asked.
    pub needed: usize,
}

/// The meaning of a handle on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandleMeaning {
    /// It is bound to this key.
    Bound(PublisherId),
    /// Only this key claims it, as far as is known.
    One(PublisherId),
    /// Several keys claim it, and a person has to choose.
    Several(Vec<Claimant>),
    /// No known key claims it.
    Nobody,
}

/// The reason why a handle stands for no key here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandleError {
    /// No known key claims it.
    Unknown(Handle),
    /// Several keys claim it, and none of them is bound here.
    Ambiguous {
        /// The handle.
        handle: Handle,
        /// The keys, first seen first.
        claimants: Vec<Claimant>,
    },
    /// One key claims it, and a person must agree to it first.
    Unpinned {
        /// The handle.
        handle: Handle,
        /// The key.
        publisher: PublisherId,
    },
}

/// The reason why a handle claimed by a single key is not pinned to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsure {
    /// No peer reported claimants.
    Unanswered,
    /// Too few peers reported claimants.
    TooFew {
        /// The number of peers that did.
        answered: usize,
        /// The number required.
        needed: usize,
    },
}

impl fmt::Display for Unsure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unanswered => f.write_str("no peer reported who else claims it"),
            Self::TooFew { answered, needed } => {
                write!(
                    f,
                    "{answered} of {needed} peers reported who else claims it"
                )
            }
        }
    }
}

impl Claims {
    /// Returns the meaning of the handle.
    pub fn meaning(&self) -> HandleMeaning {
        match (self.bound, self.claimants.as_slice()) {
            (Some((publisher, _)), _) => HandleMeaning::Bound(publisher),
            (None, []) => HandleMeaning::Nobody,
            (None, [one]) => HandleMeaning::One(one.publisher),
            (None, several) => HandleMeaning::Several(several.to_vec()),
        }
    }

    /// Returns the only key that claims the handle, bound or not.
    ///
    /// # Errors
    /// [`HandleError::Unknown`] and [`HandleError::Ambiguous`].
    pub fn only_key(&self) -> Result<PublisherId, HandleError> {
        match self.bound_key() {
            Err(HandleError::Unpinned { publisher, .. }) => Ok(publisher),
            bound => bound,
        }
    }

    /// Returns the key that the handle is bound to.
    ///
    /// # Errors
    /// All of [`HandleError`].
    pub fn bound_key(&self) -> Result<PublisherId, HandleError> {
        let handle = self.handle.clone();
        match self.meaning() {
            HandleMeaning::Bound(publisher) => Ok(publisher),
            HandleMeaning::One(publisher) => Err(HandleError::Unpinned { handle, publisher }),
            HandleMeaning::Several(claimants) => Err(HandleError::Ambiguous { handle, claimants }),
            HandleMeaning::Nobody => Err(HandleError::Unknown(handle)),
        }
    }

    /// Checks that enough peers have answered for the handle to be pinned to the one key that
    /// claims it.
    ///
    /// # Errors
    /// None has answered, or too few have.
    pub fn is_sure(&self) -> Result<(), Unsure> {
        let Self {
            answered, needed, ..
        } = *self;
        match answered {
            0 => Err(Unsure::Unanswered),
            answered if answered < needed => Err(Unsure::TooFew { answered, needed }),
            _ => Ok(()),
        }
    }

    /// Returns the claimants other than this node's own key.
    pub fn others(&self) -> impl Iterator<Item = &Claimant> {
        self.claimants
            .iter()
            .filter(|claimant| Some(claimant.publisher) != self.own)
    }
}

/// The most handles whose claims a reader remembers.
const MAX_SEEN: usize = 20_000;

/// The keys that a reader has seen claim each handle, by which it marks a handle that several keys
/// claim. Bounded.
#[derive(Clone, Debug, Default)]
pub struct SeenClaims(BTreeMap<Handle, Vec<(PublisherId, Trust)>>);

impl SeenClaims {
    /// Notes that a key claims a handle. `trust` is `None` if the source says nothing about it.
    pub fn saw(&mut self, handle: &Handle, publisher: PublisherId, trust: Option<Trust>) {
        if self.0.len() >= MAX_SEEN && !self.0.contains_key(handle) {
            // Most handles have one key, and are seen again soon.
            self.0.retain(|_, keys| keys.len() > 1);
            if self.0.len() >= MAX_SEEN {
                return;
            }
        }
        let keys = self.0.entry(handle.clone()).or_default();
        let full = keys.len() >= MAX_CLAIMANTS;
        match keys.iter_mut().find(|(key, _)| *key == publisher) {
            Some((_, before)) => *before = trust.unwrap_or(*before),
            None if full => {}
            None => keys.push((publisher, trust.unwrap_or_default())),
        }
    }

    /// Notes a person's decision about a key: `handle` is what it was pinned to.
    pub fn decided(&mut self, publisher: PublisherId, handle: Option<&Handle>, to: Trust) {
        for (claimed, keys) in &mut self.0 {
            for (key, trust) in keys {
                match to {
                    Trust::Pinned if handle == Some(claimed) => {
                        if *key == publisher {
                            *trust = Trust::Pinned;
                        } else if *trust == Trust::Pinned {
                            *trust = Trust::Unknown;
                        }
                    }
                    Trust::Distrusted | Trust::Unknown if *key == publisher => *trust = to,
                    _ => {}
                }
            }
        }
    }

    /// Returns the number of other keys that claim the handle. Distrusted ones do not count.
    pub fn others(&self, handle: &Handle, publisher: &PublisherId) -> usize {
        let keys = self.0.get(handle).into_iter().flatten();
        keys.filter(|(key, trust)| key != publisher && *trust != Trust::Distrusted)
            .count()
    }

    /// Returns true if a key with another fingerprint claims the handle.
    pub fn others_than(&self, handle: &Handle, fingerprint: &str) -> bool {
        let keys = self.0.get(handle).into_iter().flatten();
        keys.filter(|(_, trust)| *trust != Trust::Distrusted)
            .any(|(key, _)| key.fingerprint() != fingerprint)
    }

    /// Returns true if the handle must not be taken for this key: others claim it too, and it is
    /// not bound to this one.
    pub fn is_contested(&self, handle: &Handle, publisher: &PublisherId) -> bool {
        let keys = self.0.get(handle).into_iter().flatten();
        let own = keys.clone().find(|(key, _)| key == publisher);
        !own.is_some_and(|(_, trust)| trust.is_bound()) && self.others(handle, publisher) > 0
    }
}

/// Returns the number of peers that must report a handle's claimants, given the number connected.
pub fn needed(connected: usize) -> usize {
    connected.min(CLAIMS_QUORUM)
}

/// A handle that a person has bound to a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The handle.
    pub handle: Handle,
    /// The key.
    pub publisher: PublisherId,
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::identity::Keypair;
    use proptest::prelude::*;

    fn claims(
        bound: Option<PublisherId>,
        claimants: &[PublisherId],
        answered: usize,
        needed: usize,
    ) -> Claims {
        let claimant = |(at, publisher): (usize, &PublisherId)| Claimant {
            publisher: *publisher,
            since: Timestamp(at as u64),
        };
        Claims {
            handle: "alice".parse().unwrap(),
            bound: bound.map(|publisher| (publisher, Bound::Pinned)),
            own: None,
            published: false,
            claimants: claimants.iter().enumerate().map(claimant).collect(),
            answered,
            needed,
        }
    }

    #[test]
    fn a_pin_beats_claims_and_several_claims_are_left_to_a_person() {
        let key = || PublisherId::of(&Keypair::generate_ed25519().public());
        let (a, b) = (key(), key());
        let meaning = |bound, keys: &[PublisherId]| claims(bound, keys, 0, 0).meaning();
        assert_eq!(meaning(None, &[]), HandleMeaning::Nobody);
        assert_eq!(meaning(None, &[a]), HandleMeaning::One(a));
        let HandleMeaning::Several(several) = meaning(None, &[b, a]) else {
            panic!()
        };
        assert_eq!(
            several.iter().map(|one| one.publisher).collect::<Vec<_>>(),
            [b, a],
            "first seen first"
        );
        assert_eq!(meaning(Some(a), &[b]), HandleMeaning::Bound(a));
        assert_eq!(meaning(Some(a), &[]), HandleMeaning::Bound(a));
    }

    #[test]
    fn a_handle_of_several_keys_is_contested_except_for_the_key_that_it_is_bound_to() {
        let key = || PublisherId::of(&Keypair::generate_ed25519().public());
        let (carol, other): (Handle, Handle) = ("carol".parse().unwrap(), "bob".parse().unwrap());
        let (a, b) = (key(), key());
        let mut seen = SeenClaims::default();
        seen.saw(&carol, a, Some(Trust::Unknown));
        assert!(!seen.is_contested(&carol, &a), "nobody else claims it");
        seen.saw(&carol, b, None);
        seen.saw(&other, b, None);
        assert!(seen.is_contested(&carol, &a) && seen.is_contested(&carol, &b));
        assert!(!seen.is_contested(&other, &b));
        seen.decided(a, Some(&carol), Trust::Pinned);
        assert!(!seen.is_contested(&carol, &a) && seen.is_contested(&carol, &b));
        seen.saw(&carol, a, None);
        assert!(
            !seen.is_contested(&carol, &a),
            "a source without trust changes none"
        );
        assert_eq!(seen.others(&carol, &a), 1);
        seen.decided(b, None, Trust::Distrusted);
        assert_eq!(
            seen.others(&carol, &a),
            0,
            "a distrusted key does not count"
        );
        seen.saw(&carol, b, Some(Trust::Unknown));
        seen.decided(b, Some(&carol), Trust::Pinned);
        assert!(seen.is_contested(&carol, &a) && !seen.is_contested(&carol, &b));
    }

    proptest! {
        #[test]
        fn nothing_is_sure_before_three_different_peers_answered_or_all_there_are(connected in 0..100usize, answered in 0..100usize) {
            let answered = answered.min(connected);
            let sure = claims(None, &[], answered, needed(connected)).is_sure().is_ok();
            prop_assert_eq!(sure, answered > 0 && (answered >= CLAIMS_QUORUM || answered == connected));
        }
    }
}
