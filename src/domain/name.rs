//! Names of publishers, packages and networks, and their written forms.

use std::{fmt, str::FromStr};

use libp2p::{PeerId, identity::PublicKey};
use serde::{Deserialize, Serialize};

use super::version::RequirementText;
use crate::ecosystem::{self, Ecosystem};

/// An invalid name, with the reason in words for the person who typed it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{given}\" is not a {what}: it {why}")]
pub struct NameError {
    what: &'static str,
    given: String,
    why: String,
}

impl NameError {
    pub(super) fn new(what: &'static str, given: &str, why: impl Into<String>) -> Self {
        Self {
            what,
            given: super::text::fit(&super::text::printable(given), 60),
            why: why.into(),
        }
    }
}

/// Longest handle or network name, in characters.
pub const MAX_NAME: usize = 64;

/// Name of the threads of a demo's other nodes. What they log is not this node's.
pub const OTHER_NODES: &str = "demo-others";

/// Checks `[a-z0-9][a-z0-9._-]{0,63}`.
fn check_name(what: &'static str, text: &str) -> Result<(), NameError> {
    let why = if text.is_empty() {
        "is empty"
    } else if text.len() > MAX_NAME {
        "is longer than 64 characters"
    } else if !text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()) {
        "must start with a lower-case letter or a digit"
    } else if !text
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
    {
        "may only have lower-case letters, digits, dots, underscores and hyphens"
    } else {
        return Ok(());
    };
    Err(NameError::new(what, text, why))
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check_name($what, text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                check_name($what, &text)?;
                Ok(Self(text))
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(
    /// The name that a publisher gives itself: a claim that anybody can make, not an identity.
    Handle,
    "handle"
);
name!(
    /// The name of a network. It is part of every protocol and topic, so two networks never mix.
    NetworkName,
    "network name"
);

/// A publisher: the PeerId form of its ed25519 key, from which the key can be recovered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublisherId(PeerId);

impl PublisherId {
    /// Returns the id of a public key.
    pub fn of(key: &PublicKey) -> Self {
        Self(key.to_peer_id())
    }

    /// Returns a placeholder for the signer of an unsigned draft, as long as any other id.
    pub fn nobody() -> Self {
        /// An ed25519 key of zeros, inlined.
        const ID: [u8; 38] = {
            let mut id = [0; 38];
            let [_, length, kind, is_ed25519, field, bytes, ..] = &mut id;
            (*length, *kind, *is_ed25519, *field, *bytes) = (36, 8, 1, 18, 32);
            id
        };
        Self(PeerId::from_bytes(&ID).unwrap_or_else(|_| PeerId::random()))
    }

    /// Returns the id as a libp2p PeerId.
    pub fn as_peer_id(&self) -> &PeerId {
        &self.0
    }

    /// Returns the bytes of the id.
    pub fn to_bytes(self) -> Vec<u8> {
        self.0.to_bytes()
    }

    /// Reads an id from its bytes; `None` if they are none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        PeerId::from_bytes(bytes).ok().map(Self)
    }

    /// Returns twelve characters for display only: the end of the id, where two keys differ.
    pub fn fingerprint(&self) -> String {
        short_id(&self.0)
    }
}

impl From<PeerId> for PublisherId {
    fn from(id: PeerId) -> Self {
        Self(id)
    }
}

impl fmt::Display for PublisherId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PublisherId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublisherId({})", self.fingerprint())
    }
}

impl FromStr for PublisherId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.parse().map(Self).map_err(|_| {
            NameError::new(
                "publisher id",
                text,
                "is not a PeerId, which looks like 12D3KooW…",
            )
        })
    }
}

/// Returns the last twelve characters of a peer or publisher id, for display only: ids of one key
/// type begin alike.
pub fn short_id(id: &PeerId) -> String {
    let text = id.to_string();
    let skip = text.chars().count().saturating_sub(12);
    text.chars().skip(skip).collect()
}

/// A package name as written: 1 to 214 visible ASCII characters. [`PackageName::of`] gives the
/// package that it means.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WrittenName(String);

impl WrittenName {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WrittenName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let why = if text.is_empty() {
            "is empty".to_owned()
        } else if text.len() > ecosystem::MAX_NAME {
            format!("is longer than {} bytes", ecosystem::MAX_NAME)
        } else if !text.bytes().all(|b| b.is_ascii_graphic()) {
            "may only have visible ASCII characters".to_owned()
        } else {
            return Ok(Self(text.to_owned()));
        };
        Err(NameError::new("package name", text, why))
    }
}

impl TryFrom<String> for WrittenName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<WrittenName> for String {
    fn from(name: WrittenName) -> Self {
        name.0
    }
}

impl fmt::Display for WrittenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The name of a package among one owner's: its ecosystem and its normalised name. Written
/// `cargo:serde-json`; in `generic`, the name alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackageName {
    ecosystem: Ecosystem,
    text: Box<str>,
}

impl PackageName {
    /// Normalises a name.
    ///
    /// # Errors
    /// The ecosystem does not allow the name.
    pub fn of(ecosystem: &Ecosystem, name: &WrittenName) -> Result<Self, NameError> {
        let normal = ecosystem.normalise(name.as_str()).map_err(|refused| {
            NameError::new(
                "package name",
                name.as_str(),
                format!("{refused} (in {ecosystem})"),
            )
        })?;
        let text = if ecosystem.is_generic() {
            normal
        } else {
            format!("{ecosystem}:{normal}")
        };
        Ok(Self {
            ecosystem: ecosystem.clone(),
            text: text.into(),
        })
    }

    /// Returns the ecosystem.
    pub fn ecosystem(&self) -> &Ecosystem {
        &self.ecosystem
    }

    /// Returns the name with its ecosystem as a prefix, except in `generic`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the name within its ecosystem.
    pub fn bare(&self) -> &str {
        match self.text.split_once(':') {
            Some((_, bare)) if !self.ecosystem.is_generic() => bare,
            _ => &self.text,
        }
    }
}

impl FromStr for PackageName {
    type Err = NameError;

    /// Parses a name. Without a prefix it belongs to `generic`.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let (ecosystem, name) = qualified(text)?;
        Self::of(&ecosystem, &name)
    }
}

/// Splits a written name such as `cargo:Inflector` or `web` into its ecosystem and name.
///
/// # Errors
/// The prefix is no ecosystem, or the name is valid in none.
pub fn qualified(text: &str) -> Result<(Ecosystem, WrittenName), NameError> {
    match text.split_once(':') {
        Some((word, name)) => Ok((
            word.parse()
                .map_err(|refused| wrong_ecosystem(text, &refused))?,
            name.parse()?,
        )),
        None => Ok((Ecosystem::Generic, text.parse()?)),
    }
}

fn wrong_ecosystem(text: &str, refused: &ecosystem::InvalidText) -> NameError {
    NameError::new(
        "package name",
        text,
        format!("has an invalid ecosystem before its colon, which {refused}"),
    )
}

impl TryFrom<String> for PackageName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<PackageName> for String {
    fn from(name: PackageName) -> Self {
        name.text.into()
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// A package's identity: owner, ecosystem and normalised name. Two owners may both have a `json`,
/// and one owner a `cargo:json` and an `npm:json`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PackageId {
    /// The owner of the package.
    pub owner: PublisherId,
    /// The ecosystem and normalised name.
    pub name: PackageName,
}

impl fmt::Display for PackageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl FromStr for PackageId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.parse()? {
            PackageRef {
                owner: Owner::Publisher(owner),
                name: NameRef::Exactly(name),
                requirement: None,
            } => Ok(Self { owner, name }),
            _ => Err(NameError::new(
                "package's id",
                text,
                "must be written publisher-id/name",
            )),
        }
    }
}

/// The left part of `owner/name` as written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A handle, which each node resolves itself.
    Handle(Handle),
    /// A key.
    Publisher(PublisherId),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handle(handle) => handle.fmt(f),
            Self::Publisher(publisher) => publisher.fmt(f),
        }
    }
}

/// The right part of `owner/name`: with its ecosystem, or a bare name, which several packages may
/// have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameRef {
    /// A package of a certain ecosystem.
    Exactly(PackageName),
    /// The owner's only package of that name, in whichever ecosystem.
    Bare(WrittenName),
}

impl NameRef {
    /// Returns the package, taking a bare name to be of `ecosystem`.
    ///
    /// # Errors
    /// The ecosystem does not allow the name.
    pub fn within(&self, ecosystem: &Ecosystem) -> Result<PackageName, NameError> {
        match self {
            Self::Exactly(name) => Ok(name.clone()),
            Self::Bare(name) => PackageName::of(ecosystem, name),
        }
    }
}

/// A reference to a package: `owner/name[@requirement]`. After a publisher's id, a name without a
/// prefix is one of `generic`, as in ids; after a handle it is a bare name. `*:` before the name
/// makes it bare after an id too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageRef {
    /// The owner.
    pub owner: Owner,
    /// The name.
    pub name: NameRef,
    /// The requirement on the version, if there is one.
    pub requirement: Option<RequirementText>,
}

impl PackageRef {
    /// Returns the reference to a package in any version.
    pub fn of(package: &PackageId) -> Self {
        Self {
            owner: Owner::Publisher(package.owner),
            name: NameRef::Exactly(package.name.clone()),
            requirement: None,
        }
    }
}

impl fmt::Display for PackageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owner = &self.owner;
        match (owner, &self.name) {
            (Owner::Handle(_), NameRef::Exactly(name)) if name.ecosystem().is_generic() => {
                write!(f, "{owner}/generic:{name}")?;
            }
            (Owner::Publisher(_), NameRef::Bare(name)) => write!(f, "{owner}/*:{name}")?,
            (_, NameRef::Exactly(name)) => write!(f, "{owner}/{name}")?,
            (_, NameRef::Bare(name)) => write!(f, "{owner}/{name}")?,
        }
        self.requirement
            .as_ref()
            .map_or(Ok(()), |requirement| write!(f, "@{requirement}"))
    }
}

impl FromStr for PackageRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = |why: &str| NameError::new("package", text, why);
        let (owner, rest) = text
            .split_once('/')
            .ok_or_else(|| wrong("must be handle/name or publisher-id/name"))?;
        // A handle is lower case only, and a PeerId never is.
        let owner = match owner.parse() {
            Ok(handle) => Owner::Handle(handle),
            Err(error) => Owner::Publisher(owner.parse().map_err(|_: NameError| error)?),
        };
        let is_open = rest.starts_with("*:");
        // A colon after an @ belongs to an epoch.
        let (ecosystem, rest) = match rest.split_once(':').filter(|(word, _)| !word.contains('@')) {
            Some(("*", rest)) => (None, rest),
            Some((word, rest)) => (
                Some(
                    word.parse::<Ecosystem>()
                        .map_err(|refused| wrong_ecosystem(text, &refused))?,
                ),
                rest,
            ),
            None => (None, rest),
        };
        // npm's scopes begin with an @.
        let at = rest
            .char_indices()
            .rev()
            .find(|(at, c)| *c == '@' && *at > 0)
            .map(|(at, _)| at);
        let (name, requirement) = match at.and_then(|at| rest.split_at_checked(at)) {
            Some((name, requirement)) => (name, Some(requirement.trim_start_matches('@'))),
            None => (rest, None),
        };
        let name: WrittenName = name.parse()?;
        let requirement: Option<RequirementText> = requirement.map(str::parse).transpose()?;
        let name = match (ecosystem, &owner) {
            (Some(ecosystem), _) => NameRef::Exactly(PackageName::of(&ecosystem, &name)?),
            (None, Owner::Publisher(_)) if !is_open => {
                NameRef::Exactly(PackageName::of(&Ecosystem::Generic, &name)?)
            }
            (None, _) => NameRef::Bare(name),
        };
        if let Some(requirement) = &requirement {
            match &name {
                NameRef::Exactly(name) => requirement.read(name.ecosystem())?,
                // Refuse a requirement that is valid in no ecosystem.
                NameRef::Bare(_) => match Ecosystem::KNOWN
                    .iter()
                    .find_map(|one| requirement.read(one).ok())
                {
                    Some(read) => read,
                    None => requirement.read(&Ecosystem::Generic)?,
                },
            };
        }
        Ok(Self {
            owner,
            name,
            requirement,
        })
    }
}

impl TryFrom<String> for PackageRef {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests;
