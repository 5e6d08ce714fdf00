//! Conflicts: a handle that several keys claim, a version with two manifests, two states with one
//! number.
//!
//! A [`Case`] is a conflict as one node knows it. [`Evidence`] is the part that can be handed on
//! and proves itself.

mod evidence;
#[cfg(test)]
mod tests;

pub use evidence::{
    Evidence, Flaw, MAX_EVIDENCE, Proven, ProvenManifest, SignedBytes, Stated, Statement,
    VerifiedEvidence,
};

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{
    hash::Hash,
    name::{Handle, PackageName, PublisherId},
    text::printable,
    time::Timestamp,
    trust::{SeenClaims, Trust},
    version::VersionText,
};

/// The most keys listed for one handle.
pub const MAX_SIDES: usize = 8;

/// The kinds of conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A publisher listed a version with two different manifests. A version never changes, so this
    /// is misconduct or a mistake.
    Version,
    /// A publisher signed a file of a version twice, with different bytes.
    File,
    /// A publisher signed a state that lacks a manifest which the state before it lists.
    Removed,
    /// A publisher signed two states of a package with one number, which happens when two machines
    /// publish at once.
    Fork,
    /// Several keys claim one handle. Anybody may claim a handle.
    Handle,
}

impl Kind {
    /// Returns a short name for display.
    pub fn label(self) -> &'static str {
        match self {
            Self::Version => "changed",
            Self::File => "file",
            Self::Removed => "removed",
            Self::Fork => "fork",
            Self::Handle => "handle",
        }
    }
}

/// Identifies a case, and is the same on every node: a hash over the conflicting parts, in 32
/// hexadecimal characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConflictId(pub [u8; 16]);

impl ConflictId {
    fn of(parts: &[&[u8]]) -> Self {
        let Hash(hash) = Hash::of_parts(parts);
        let (half, _) = hash.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
        Self(*half)
    }

    /// Returns the id of a changed version, in whichever order the manifests were seen.
    pub fn of_version(
        publisher: &PublisherId,
        name: &PackageName,
        version: &VersionText,
        manifests: [Hash; 2],
    ) -> Self {
        let [a, b] = sorted(manifests);
        let version = version.key(name.ecosystem());
        Self::of(&[
            b"version",
            &publisher.to_bytes(),
            name.as_str().as_bytes(),
            version.as_bytes(),
            &a.0,
            &b.0,
        ])
    }

    /// Returns the id of a changed file, in whichever order the manifests were seen.
    pub fn of_file(
        publisher: &PublisherId,
        name: &PackageName,
        version: &VersionText,
        file: &str,
        manifests: [Hash; 2],
    ) -> Self {
        let [a, b] = sorted(manifests);
        let (publisher, version) = (publisher.to_bytes(), version.key(name.ecosystem()));
        Self::of(&[
            b"file",
            &publisher,
            name.as_str().as_bytes(),
            version.as_bytes(),
            file.as_bytes(),
            &a.0,
            &b.0,
        ])
    }

    /// Returns the id of a removed manifest, which the state `head` no longer lists.
    pub fn of_removed(
        publisher: &PublisherId,
        name: &PackageName,
        version: &VersionText,
        manifest: &Hash,
        head: &Hash,
    ) -> Self {
        let (publisher, version) = (publisher.to_bytes(), version.key(name.ecosystem()));
        Self::of(&[
            b"removed",
            &publisher,
            name.as_str().as_bytes(),
            version.as_bytes(),
            &manifest.0,
            &head.0,
        ])
    }

    /// Returns the id of a fork, in whichever order the heads were seen.
    pub fn of_fork(
        publisher: &PublisherId,
        name: &PackageName,
        seq: u64,
        heads: [Hash; 2],
    ) -> Self {
        let [a, b] = sorted(heads);
        let seq = seq.to_be_bytes();
        Self::of(&[
            b"fork",
            &publisher.to_bytes(),
            name.as_str().as_bytes(),
            &seq,
            &a.0,
            &b.0,
        ])
    }

    /// Returns the id of a contested handle, whichever keys claim it.
    pub fn of_handle(handle: &Handle) -> Self {
        Self::of(&[b"handle", handle.as_str().as_bytes()])
    }

    /// Returns the first twelve characters, for display.
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

fn sorted([a, b]: [Hash; 2]) -> [Hash; 2] {
    if a <= b { [a, b] } else { [b, a] }
}

impl fmt::Display for ConflictId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ConflictId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConflictId({})", self.short())
    }
}

impl FromStr for ConflictId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "expected 32 hexadecimal characters";
        let bytes = data_encoding::HEXLOWER
            .decode(text.as_bytes())
            .map_err(|_| wrong)?;
        bytes.try_into().map(Self).map_err(|_| wrong)
    }
}

impl Serialize for ConflictId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ConflictId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// One of the conflicting statements and its signer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictSide {
    /// The signer.
    pub publisher: PublisherId,
    /// The trust that this node's person has given that key.
    pub trust: Trust,
    /// The manifest's hash for a changed version, otherwise that of the head.
    pub hash: Hash,
    /// The number of the head; `None` for a page of older releases, and if neither is held any
    /// more.
    pub seq: Option<u64>,
    /// The time of signing, by the signer's own clock.
    pub signed_at: Option<Timestamp>,
    /// The time at which this node first saw the key claim the contested handle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// One of the key's packages under the contested handle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<PackageName>,
    /// The signed record is held, so it can be shown to others.
    pub held: bool,
    /// The manifest is held too.
    pub manifest: bool,
}

/// Says which side counts on this node, and for which reason. The side that counts comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InForce {
    /// A person pinned the handle to the key.
    Pinned,
    /// The handle is the one of this node's own publisher.
    Own,
    /// The first manifest seen of a version counts for good.
    FirstSeen,
    /// Every node prefers the same of two heads with one number: the one that has not expired, then
    /// the lower hash.
    Preferred,
    /// The publisher has since signed a later state, which counts.
    Superseded,
    /// Neither counts: scripts fail until a person chooses.
    Nobody,
}

/// A conflict as this node knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// The case's id.
    pub id: ConflictId,
    /// The kind of conflict.
    pub kind: Kind,
    /// The handle of the package's publisher, or the contested handle.
    pub handle: Option<Handle>,
    /// `None` if the case is about a handle.
    pub package: Option<PackageName>,
    /// The version, if the case is about one.
    pub version: Option<VersionText>,
    /// The file, if the case is about one file of a version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Two sides, or one for each key that claims the handle, at most [`MAX_SIDES`].
    pub sides: Vec<ConflictSide>,
    /// The number of further keys that claim the handle.
    pub more: usize,
    /// The side that counts here.
    pub in_force: InForce,
    /// The time at which this node first saw the conflict.
    pub seen_at: Timestamp,
}

/// Every case that a node knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictList {
    /// The cases, most recently seen first.
    pub cases: Vec<Case>,
    /// The number of older cases dropped for room since the database was made.
    pub forgotten: u64,
}

impl Case {
    /// Returns the subject: `alice/web 1.2.0`, `alice/web` or `alice`. A handle that is not bound
    /// to its key on this node is followed by the key's fingerprint.
    pub fn about(&self) -> String {
        let first = self.sides.first();
        let key = || first.map_or(String::new(), |side| side.publisher.fingerprint());
        let bound = first.is_none_or(|side| side.trust.is_bound());
        let (owner, key) = match &self.handle {
            Some(handle) if bound => (handle.to_string(), String::new()),
            Some(handle) => (handle.to_string(), format!(" ({})", key())),
            None => (key(), String::new()),
        };
        match (&self.package, &self.version) {
            (Some(package), Some(version)) => {
                let file = self
                    .file
                    .as_ref()
                    .map_or(String::new(), |file| format!(", file {}", printable(file)));
                format!("{owner}/{package}{key} {version}{file}")
            }
            (Some(package), None) => format!("{owner}/{package}{key}"),
            (None, _) => owner,
        }
    }

    /// Returns one side for each key.
    pub fn keys(&self) -> Vec<&ConflictSide> {
        let mut keys: Vec<&ConflictSide> = Vec::new();
        for side in &self.sides {
            if keys.iter().all(|known| known.publisher != side.publisher) {
                keys.push(side);
            }
        }
        keys
    }

    /// Returns true if both signed records are held, so that others can verify the conflict.
    pub fn is_provable(&self) -> bool {
        self.sides.iter().filter(|side| side.held).count() >= 2
    }

    /// Returns true if nobody has to act any more: a person has chosen, or the publisher has moved
    /// on.
    pub fn is_settled(&self) -> bool {
        match self.kind {
            Kind::Version | Kind::File | Kind::Removed => self
                .sides
                .iter()
                .any(|side| side.trust == Trust::Distrusted),
            Kind::Fork => self.in_force == InForce::Superseded,
            Kind::Handle => {
                let open = self
                    .sides
                    .iter()
                    .filter(|side| side.trust != Trust::Distrusted)
                    .count();
                matches!(self.in_force, InForce::Own | InForce::Pinned) || open < 2
            }
        }
    }

    /// Adds the claims of a contested handle to those that a reader has seen.
    pub fn note_claims(&self, seen: &mut SeenClaims) {
        let handle = self.handle.as_ref().filter(|_| self.kind == Kind::Handle);
        for (handle, side) in handle.into_iter().flat_map(|handle| {
            let sides = self.sides.iter();
            sides.map(move |side| (handle, side))
        }) {
            seen.saw(handle, side.publisher, Some(side.trust));
        }
    }

    /// Returns one word for a person's trust in the keys.
    pub fn standing(&self) -> &'static str {
        let any = |trust| self.sides.iter().any(|side| side.trust == trust);
        match (
            any(Trust::Distrusted),
            any(Trust::Pinned) || any(Trust::Own),
        ) {
            (true, true) => "both",
            (true, false) => "distrusted",
            (false, true) => "pinned",
            (false, false) => "unpinned",
        }
    }

    /// Returns a few words for the side that counts here, for a table.
    pub fn in_force_label(&self) -> &'static str {
        match self.in_force {
            InForce::Pinned => "pinned key",
            InForce::Own => "your own key",
            InForce::FirstSeen => "first seen",
            InForce::Preferred => "lower hash",
            InForce::Superseded => "later state",
            InForce::Nobody => "nobody",
        }
    }

    /// Returns a sentence about the side that counts on this node, and the reason.
    pub fn why_in_force(&self) -> String {
        let first = self
            .sides
            .first()
            .map_or(String::new(), |side| side.publisher.fingerprint());
        match self.in_force {
            InForce::Pinned => format!(
                "the handle means the key {first} on this node, because it \
                is pinned to it"
            ),
            InForce::Own => format!(
                "the handle means the key {first} on this node, because it is \
                your own"
            ),
            InForce::FirstSeen => "the manifest seen first counts, for good".to_owned(),
            InForce::Preferred => {
                "the first of the two counts on every node: it has not expired, or has the lower \
                hash"
                    .to_owned()
            }
            InForce::Superseded => "the publisher has signed a later state since, and that \
                counts"
                .to_owned(),
            InForce::Nobody => "neither: the handle alone means nobody here until a key is \
                pinned"
                .to_owned(),
        }
    }

    /// Returns sentences that explain the conflict.
    pub fn meaning(&self) -> String {
        match self.kind {
            Kind::Version => "One key signed two different manifests for this version. A release \
                never changes, so either its owner made a mistake, or somebody else has the key \
                and wants other bytes to be installed. What was seen first counts here; what was \
                offered later was refused."
                .to_owned(),
            Kind::File => "One key signed two manifests of this version that list a file of this \
                name with different bytes. A file of a release never changes, so either its owner \
                made a mistake, or somebody else has the key and wants other bytes to be \
                installed. What was seen first counts here."
                .to_owned(),
            Kind::Removed => "One key signed a state of the package that lacks what its state \
                before listed. A release may be yanked, and is never taken away, so either its \
                owner made a mistake, or somebody else has the key."
                .to_owned(),
            Kind::Fork => "One key signed two states of the package with the same number. That \
                happens when a publisher publishes from two machines at once, and its next state \
                joins them. It is no misdeed by itself."
                .to_owned(),
            Kind::Handle => format!(
                "{} keys call themselves {}. Handles are not unique: check the fingerprint with \
                the person you mean. The key that was seen here first comes first, which proves \
                nothing by itself.",
                self.sides.len() + self.more,
                self.handle.as_ref().map_or("so", Handle::as_str),
            ),
        }
    }

    /// Returns sentences that say how a person can settle the conflict.
    pub fn remedy(&self) -> &'static str {
        match (self.kind, self.is_settled()) {
            (Kind::Version | Kind::File | Kind::Removed, false) => {
                "Ask the publisher, over another channel, which one is meant. Export the evidence \
                to show it to others; distrust the key if it is not in good hands."
            }
            (Kind::Version | Kind::File | Kind::Removed, true) => {
                "The key is distrusted, and nothing more has to be done here."
            }
            (Kind::Fork, false) => {
                "Usually nothing: the publisher's next state settles it. If none comes, ask the \
                publisher."
            }
            (Kind::Fork, true) => "Nothing: the publisher has moved on.",
            (Kind::Handle, false) => {
                "Compare the fingerprints with what the publisher told you, then trust the one \
                you mean. publisher-id/name always works."
            }
            (Kind::Handle, true) if self.in_force == InForce::Own => {
                "Somebody else uses your handle too. Tell people your fingerprint; to hide the \
                other key on this node, distrust it."
            }
            (Kind::Handle, true) => "Nothing: this node knows whom the handle means.",
        }
    }

    /// Returns the one sentence shown when the conflict is first seen. It begins with the event,
    /// because a narrow row cuts off the end.
    pub fn headline(&self) -> String {
        let about = self.about();
        match self.kind {
            Kind::Version => format!("changed by its publisher and refused: {about}"),
            Kind::File => format!("a file changed by its publisher and refused: {about}"),
            Kind::Removed => format!("taken away by its publisher: {about}"),
            Kind::Fork => format!("two states of one number: {about}"),
            Kind::Handle => format!("several keys claim the handle {about}"),
        }
    }
}
