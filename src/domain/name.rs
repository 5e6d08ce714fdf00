//! Names: what publishers, packages and networks are called, and how a person writes them.

use std::{fmt, str::FromStr};

use libp2p::{PeerId, identity::PublicKey};
use serde::{Deserialize, Serialize};

use super::requirement::{Requirement, RequirementError};

/// Why a name is not one, in words for the person who typed it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{given}\" is not a {what}: {why}")]
pub struct NameError {
    what: &'static str,
    given: String,
    why: &'static str,
}

/// Longest handle, package or network name, in characters.
pub const MAX_NAME: usize = 64;

/// Checks `[a-z0-9][a-z0-9._-]{0,63}`.
fn check_name(what: &'static str, text: &str) -> Result<(), NameError> {
    let why = if text.is_empty() {
        "it is empty"
    } else if text.len() > MAX_NAME {
        "it is longer than 64 characters"
    } else if !text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()) {
        "it must start with a lower-case letter or a digit"
    } else if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b)) {
        "use lower-case letters, digits, dots, underscores and hyphens only"
    } else {
        return Ok(());
    };
    Err(NameError { what, given: super::text::fit(&super::text::printable(text), 40), why })
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
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
    /// What a publisher calls itself: a claim that anybody can make, not an identity.
    Handle,
    "handle"
);
name!(
    /// A package's name, unique among one publisher's packages only.
    PackageName,
    "package name"
);
name!(
    /// The name of a network: part of every protocol and topic, so that two networks never mix.
    NetworkName,
    "network name"
);

/// A publisher: the PeerId form of its ed25519 key, from which the key itself can be read back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublisherId(PeerId);

impl PublisherId {
    pub fn of(key: &PublicKey) -> Self {
        Self(key.to_peer_id())
    }

    pub fn as_peer_id(&self) -> &PeerId {
        &self.0
    }

    pub fn to_bytes(self) -> Vec<u8> {
        self.0.to_bytes()
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        PeerId::from_bytes(bytes).ok().map(Self)
    }

    /// Twelve characters for eyes only: the end of the id, where two keys differ.
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
        text.parse().map(Self).map_err(|_| NameError {
            what: "publisher id",
            given: super::text::fit(&super::text::printable(text), 60),
            why: "expected a PeerId such as 12D3KooW…",
        })
    }
}

/// The last twelve characters of a peer or publisher id, for eyes only: ids of one key type begin alike.
pub fn short_id(id: &PeerId) -> String {
    let text = id.to_string();
    let skip = text.chars().count().saturating_sub(12);
    text.chars().skip(skip).collect()
}

/// A package's identity: publisher and name. Two publishers may both have a `json`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PackageId {
    pub publisher: PublisherId,
    pub name: PackageName,
}

impl fmt::Display for PackageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.publisher, self.name)
    }
}

impl FromStr for PackageId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.parse()? {
            PackageRef { owner: Owner::Publisher(publisher), name, requirement: None } => Ok(Self { publisher, name }),
            _ => Err(NameError {
                what: "package's id",
                given: super::text::fit(&super::text::printable(text), 60),
                why: "write it as publisher-id/name",
            }),
        }
    }
}

/// The left part of `owner/name` as a person writes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    Handle(Handle),
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

/// `owner/name[@requirement]`: what a person or a dependency asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageRef {
    pub owner: Owner,
    pub name: PackageName,
    pub requirement: Option<Requirement>,
}

impl PackageRef {
    pub fn of(package: &PackageId) -> Self {
        Self { owner: Owner::Publisher(package.publisher), name: package.name.clone(), requirement: None }
    }
}

impl fmt::Display for PackageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)?;
        self.requirement.as_ref().map_or(Ok(()), |requirement| write!(f, "@{requirement}"))
    }
}

impl FromStr for PackageRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong =
            |why| NameError { what: "package", given: super::text::fit(&super::text::printable(text), 60), why };
        let (package, requirement) = match text.split_once('@') {
            Some((package, requirement)) => (package, Some(requirement)),
            None => (text, None),
        };
        let (owner, name) =
            package.split_once('/').ok_or_else(|| wrong("write it as handle/name or publisher-id/name"))?;
        // A handle is lower case only, a PeerId never is.
        let owner = match owner.parse() {
            Ok(handle) => Owner::Handle(handle),
            Err(error) => Owner::Publisher(owner.parse().map_err(|_: NameError| error)?),
        };
        let requirement = requirement
            .map(|text| {
                text.parse().map_err(|error| {
                    wrong(match error {
                        RequirementError::Semver(_) => "after @ goes a version requirement such as 1.2 or ^1",
                        RequirementError::Build(_) => {
                            "a build, which is what stands behind +, can only be asked for exactly, as @=1.2.3+build"
                        }
                    })
                })
            })
            .transpose()?;
        Ok(Self { owner, name: name.parse()?, requirement })
    }
}

impl TryFrom<String> for PackageRef {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::identity::Keypair;
    use proptest::prelude::*;

    #[test]
    fn names_follow_the_grammar() {
        for good in ["a", "0", "serde_json", "a.b-c_d", &"x".repeat(64)] {
            assert!(good.parse::<PackageName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "A", "a b", "a/b", "é", &"x".repeat(65)] {
            assert!(bad.parse::<PackageName>().is_err(), "{bad}");
        }
        let error = "Serde".parse::<Handle>().unwrap_err().to_string();
        assert_eq!(error, "\"Serde\" is not a handle: it must start with a lower-case letter or a digit");
    }

    #[test]
    fn references_name_a_handle_or_a_key() {
        let by_handle: PackageRef = "alice/web@^1.2".parse().unwrap();
        assert_eq!(by_handle.owner, Owner::Handle("alice".parse().unwrap()));
        assert_eq!(by_handle.to_string(), "alice/web@^1.2");
        let publisher = PublisherId::of(&Keypair::generate_ed25519().public());
        let by_key: PackageRef = format!("{publisher}/web").parse().unwrap();
        assert_eq!(by_key.owner, Owner::Publisher(publisher));
        for bad in ["web", "alice/", "alice/web@not", "/web", "Alice/web"] {
            assert!(bad.parse::<PackageRef>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn accepted_names_survive_json(text in "[a-z0-9][a-z0-9._-]{0,63}") {
            let name: PackageName = text.parse().unwrap();
            let json = serde_json::to_string(&name).unwrap();
            prop_assert_eq!(serde_json::from_str::<PackageName>(&json).unwrap(), name);
        }
    }
}
