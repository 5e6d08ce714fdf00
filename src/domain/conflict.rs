//! What does not go together: a handle that several keys claim, a version with two manifests, two
//! states with one number.
//!
//! A [`Case`] is one of them as a node knows it; [`Evidence`] is what can be handed on of it, and
//! proves itself.

mod evidence;
#[cfg(test)]
mod tests;

pub use evidence::{
    Envelope, Evidence, Flaw, MAX_EVIDENCE, Proof, Proven, ProvenManifest, Stated, Statement,
};

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{
    hash::Hash,
    name::{Handle, PackageName, PublisherId},
    text::printable,
    time::Timestamp,
    trust::Trust,
    version::VersionText,
};

/// Most keys that are told of one handle.
pub const MAX_SIDES: usize = 8;

/// What does not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A publisher listed a version with two different manifests. A version never changes: that is
    /// a misdeed, or a mistake.
    Version,
    /// A publisher signed a file of a version twice, with different bytes.
    File,
    /// A publisher signed a state that lacks a manifest which the state before it lists.
    Removed,
    /// A publisher signed two states of a package with one number, as two machines that publish at
    /// once do.
    Fork,
    /// Several keys call themselves by one handle. A handle is a claim, and anybody may make it.
    Handle,
}

impl Kind {
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

/// Names a case, on whichever node it is seen: a hash over what does not go together. 32
/// hexadecimal characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConflictId(pub [u8; 16]);

impl ConflictId {
    fn of(parts: &[&[u8]]) -> Self {
        let Hash(hash) = Hash::of_parts(parts);
        let (half, _) = hash.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
        Self(*half)
    }

    /// Which of the two was seen first makes no difference.
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

    /// Which of the two was seen first makes no difference.
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

    /// Of a manifest that the state `head` took away.
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

    /// Of all keys that claim the handle, however many.
    pub fn of_handle(handle: &Handle) -> Self {
        Self::of(&[b"handle", handle.as_str().as_bytes()])
    }

    /// Twelve characters, for eyes.
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

/// One of the things that do not go together, and who said it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    pub publisher: PublisherId,
    /// What this node's person has said about that key.
    pub trust: Trust,
    /// Of a changed version the manifest's hash, else that of the head that says it.
    pub hash: Hash,
    /// Of the head that says it; `None` for a page of older releases, and where neither is held any
    /// more.
    pub seq: Option<u64>,
    /// When that was signed, by the signer's own word.
    pub signed_at: Option<Timestamp>,
    /// When this node first saw the key claim the handle that others claim too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// A package of the key's under a handle that others claim too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<PackageName>,
    /// What was signed is held, so that others can be shown it.
    pub held: bool,
    /// And the manifest too.
    pub manifest: bool,
}

/// Which side counts on this node, and why. Where one does, it is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InForce {
    /// A person's act bound the handle to the key.
    Pinned,
    /// The handle is this node's own publisher's.
    Own,
    /// The first manifest seen of a version counts for good.
    FirstSeen,
    /// Of two heads with one number every node prefers the same: the one that has not expired, then
    /// the lower hash.
    Preferred,
    /// The publisher has signed a later state since, which counts.
    Superseded,
    /// Neither: scripts fail until a person has chosen.
    Nobody,
}

/// Something that does not go together, as this node knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    pub id: ConflictId,
    pub kind: Kind,
    /// What the publisher of the package calls itself, or the handle that several keys claim.
    pub handle: Option<Handle>,
    /// None where it is about a handle.
    pub package: Option<PackageName>,
    pub version: Option<VersionText>,
    /// Where it is about one file of a version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Two, or as many as keys claim the handle, [`MAX_SIDES`] at most.
    pub sides: Vec<Side>,
    /// Further keys that claim the handle.
    pub more: usize,
    pub in_force: InForce,
    /// When this node first saw that it does not go together.
    pub seen_at: Timestamp,
}

/// Every case a node knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflicts {
    /// The one seen last comes first.
    pub cases: Vec<Case>,
    /// Older ones that had to make room, since the database was made.
    pub forgotten: u64,
}

impl Case {
    /// Names what it is about: `alice/web 1.2.0`, `alice/web` or `alice`. A handle of a package
    /// that is not bound to its key here has the key's fingerprint with it.
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

    /// Every key, once.
    pub fn keys(&self) -> Vec<&Side> {
        let mut keys: Vec<&Side> = Vec::new();
        for side in &self.sides {
            if keys.iter().all(|known| known.publisher != side.publisher) {
                keys.push(side);
            }
        }
        keys
    }

    /// Both sides are held as they were signed, so that others can verify it.
    pub fn is_provable(&self) -> bool {
        self.sides.iter().filter(|side| side.held).count() >= 2
    }

    /// Nobody has to do anything about it any more: a person has chosen, or the publisher went on.
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

    /// In a word what a person has said of the keys.
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

    /// In a few words what counts here, for a table.
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

    /// What counts on this node, and why, as a sentence.
    pub fn why_in_force(&self) -> String {
        let first = self
            .sides
            .first()
            .map_or(String::new(), |side| side.publisher.fingerprint());
        match self.in_force {
            InForce::Pinned => format!("the handle means the key {first} on this node, because it is pinned to it"),
            InForce::Own => format!("the handle means the key {first} on this node, because it is your own"),
            InForce::FirstSeen => "what was seen first counts, for good".to_owned(),
            InForce::Preferred => {
                "the first of the two counts on every node: it has not expired, or has the lower hash".to_owned()
            }
            InForce::Superseded => "the publisher has signed a later state since, and that counts".to_owned(),
            InForce::Nobody => "neither: the handle alone names nobody here until a key is pinned".to_owned(),
        }
    }

    /// What it means, as sentences.
    pub fn meaning(&self) -> String {
        match self.kind {
            Kind::Version => "One key signed two different manifests for this version. A release never changes, so either its \
                              owner made a mistake, or somebody else has the key and wants other bytes to be installed. What \
                              was seen first counts here; what was offered later was refused."
                .to_owned(),
            Kind::File => "One key signed two manifests of this version that list a file of this name with different bytes. A file \
                           of a release never changes, so either its owner made a mistake, or somebody else has the key and \
                           wants other bytes to be installed. What was seen first counts here."
                .to_owned(),
            Kind::Removed => "One key signed a state of the package that lacks what its state before listed. A release may be \
                              yanked, and is never taken away, so either its owner made a mistake, or somebody else has the key."
                .to_owned(),
            Kind::Fork => "One key signed two states of the package with the same number. That happens when a publisher \
                           publishes from two machines at once, and its next state joins them. It is no misdeed by itself."
                .to_owned(),
            Kind::Handle => format!(
                "{} keys call themselves {}. Anybody may claim a handle, so that is no misdeed by itself; only one of them may \
                 be whom you mean, and the fingerprints are what tells them apart. \
                 The one that was seen here first comes first, which proves nothing by itself.",
                self.sides.len() + self.more,
                self.handle.as_ref().map_or("so", Handle::as_str),
            ),
        }
    }

    /// What a person can do, as sentences.
    pub fn remedy(&self) -> &'static str {
        match (self.kind, self.is_settled()) {
            (Kind::Version | Kind::File | Kind::Removed, false) => {
                "Ask the publisher, over another channel, which one is meant. Export the evidence to show it to others; \
                 distrust the key if it is not in good hands."
            }
            (Kind::Version | Kind::File | Kind::Removed, true) => {
                "The key is distrusted, and nothing more has to be done here."
            }
            (Kind::Fork, false) => {
                "Nothing, as a rule: the publisher's next state settles it. Where that does not come, ask the publisher."
            }
            (Kind::Fork, true) => "Nothing: the publisher has gone on.",
            (Kind::Handle, false) => {
                "Compare the fingerprints with what the publisher told you, then trust the one you mean. publisher-id/name \
                 always works."
            }
            (Kind::Handle, true) => "Nothing: it is clear here whom the handle means.",
        }
    }

    /// The one sentence that is told when it is seen first. What happened comes first, because a
    /// narrow row cuts the end.
    pub fn news(&self) -> String {
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
