//! Dependencies: another package that a release needs, by its owner's key or by its name in the
//! ecosystem.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    manifest::limit,
    name::{Handle, NameRef, Owner, PackageId, PackageName, PackageRef, PublisherId, WrittenName},
    text::has_unsafe,
    version::RequirementText,
};
use crate::ecosystem::{Ecosystem, InvalidText, pypi::marker::Marker};

/// Another package that a release needs. A draft may name it by handle. A manifest names it by key,
/// because anybody may claim a handle and each node knows other claims, or by its bare name, as the
/// ecosystem's own tools do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub struct Dependency {
    /// The package it names.
    pub on: DependencyOn,
    /// The requirement on the package's version.
    pub requirement: RequirementText,
    /// The release also works without it.
    pub optional: bool,
    /// The purpose of the dependency.
    pub kind: DependencyKind,
    /// Optional parts of it that are needed: extras in `pypi`, features in `cargo`.
    pub extras: Vec<String>,
    /// The extra or feature of the dependent that enables it.
    pub under: Option<String>,
    /// The condition under which it is needed, as the ecosystem writes it: a PEP 508 marker.
    pub marker: Option<String>,
    /// The platforms that need it, as the ecosystem writes them: `cfg(unix)` or a target of
    /// `cargo`.
    pub platform: Option<String>,
}

/// The package that a dependency names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DependencyOn {
    /// A package of a certain owner.
    Package {
        /// `handle/name` or `publisher-id/name` in a draft; always the latter in a manifest.
        package: String,
        /// The handle by which the manifest's author knows the key. It is a label for display only.
        handle: Option<Handle>,
    },
    /// A package of the dependent's own ecosystem, whoever owns it. Resolution decides which owner
    /// counts.
    Bare(WrittenName),
}

/// The purpose of a dependency. A word unknown to this version is kept as written.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DependencyKind {
    /// Needed to use the release.
    #[default]
    Runtime,
    /// Needed to build the release.
    Build,
    /// Provided by the package that brings the release along.
    Peer,
    /// Used if it is available.
    Optional,
    /// Needed to work on the release.
    Dev,
    /// A purpose unknown to this version.
    Other(Box<str>),
}

impl DependencyKind {
    /// Returns the word for the purpose.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Runtime => "runtime",
            Self::Build => "build",
            Self::Peer => "peer",
            Self::Optional => "optional",
            Self::Dev => "dev",
            Self::Other(word) => word,
        }
    }

    fn is_runtime(&self) -> bool {
        *self == Self::Runtime
    }
}

impl fmt::Display for DependencyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for DependencyKind {
    type Err = InvalidText;

    fn from_str(word: &str) -> Result<Self, InvalidText> {
        Ok(match word {
            "runtime" => Self::Runtime,
            "build" => Self::Build,
            "peer" => Self::Peer,
            "optional" => Self::Optional,
            "dev" => Self::Dev,
            _ if (1..=20).contains(&word.len())
                && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') =>
            {
                Self::Other(word.into())
            }
            _ => {
                return Err(InvalidText(
                    "the kind must be 1 to 20 letters a to z and hyphens, such as runtime or dev"
                        .into(),
                ));
            }
        })
    }
}

impl TryFrom<String> for DependencyKind {
    type Error = InvalidText;

    fn try_from(word: String) -> Result<Self, InvalidText> {
        word.parse()
    }
}

impl From<DependencyKind> for String {
    fn from(kind: DependencyKind) -> Self {
        kind.as_str().to_owned()
    }
}

/// The serialised form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    package: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    handle: Option<Handle>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<WrittenName>,
    requirement: RequirementText,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    optional: bool,
    #[serde(default, skip_serializing_if = "DependencyKind::is_runtime")]
    kind: DependencyKind,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    extras: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    under: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
}

impl TryFrom<Raw> for Dependency {
    type Error = &'static str;

    fn try_from(raw: Raw) -> Result<Self, &'static str> {
        let Raw {
            package,
            handle,
            name,
            requirement,
            optional,
            kind,
            extras,
            under,
            marker,
            platform,
        } = raw;
        let on = match (package, name) {
            (Some(package), None) => DependencyOn::Package { package, handle },
            (None, Some(name)) if handle.is_none() => DependencyOn::Bare(name),
            (None, Some(_)) => {
                return Err("a dependency by name has no handle; use package to name its owner");
            }
            (Some(_), Some(_)) => return Err("a dependency has a package or a name, not both"),
            (None, None) => {
                return Err("the key package is missing, or name for a bare name of the ecosystem");
            }
        };
        Ok(Self {
            on,
            requirement,
            optional,
            kind,
            extras,
            under,
            marker,
            platform,
        })
    }
}

impl From<Dependency> for Raw {
    fn from(dependency: Dependency) -> Self {
        let Dependency {
            on,
            requirement,
            optional,
            kind,
            extras,
            under,
            marker,
            platform,
        } = dependency;
        let (package, handle, name) = match on {
            DependencyOn::Package { package, handle } => (Some(package), handle, None),
            DependencyOn::Bare(name) => (None, None, Some(name)),
        };
        Self {
            package,
            handle,
            name,
            requirement,
            optional,
            kind,
            extras,
            under,
            marker,
            platform,
        }
    }
}

impl From<DependencyOn> for Dependency {
    /// Creates a dependency on any version, unconditionally.
    fn from(on: DependencyOn) -> Self {
        Self {
            on,
            requirement: RequirementText::any(),
            optional: false,
            kind: DependencyKind::Runtime,
            extras: Vec::new(),
            under: None,
            marker: None,
            platform: None,
        }
    }
}

impl Dependency {
    /// Creates a dependency on a package written as `handle/name` or `publisher-id/name`.
    pub fn on(package: impl Into<String>, requirement: RequirementText) -> Self {
        Self {
            requirement,
            ..DependencyOn::Package {
                package: package.into(),
                handle: None,
            }
            .into()
        }
    }

    /// Creates a dependency on a package of the dependent's ecosystem.
    pub fn bare(name: WrittenName, requirement: RequirementText) -> Self {
        Self {
            requirement,
            ..DependencyOn::Bare(name).into()
        }
    }

    /// Returns the package as written: `publisher-id/name`, or a name.
    pub fn written(&self) -> &str {
        match &self.on {
            DependencyOn::Package { package, .. } => package,
            DependencyOn::Bare(name) => name.as_str(),
        }
    }

    /// Returns the package if it is named by key and in normal form.
    pub fn id(&self) -> Option<PackageId> {
        let DependencyOn::Package { package, .. } = &self.on else {
            return None;
        };
        package
            .parse::<PackageId>()
            .ok()
            .filter(|id| id.to_string() == *package)
    }

    /// Returns true if it means the same on every node: it is named by key or by name.
    pub fn is_settled(&self) -> bool {
        matches!(self.on, DependencyOn::Bare(_)) || self.id().is_some()
    }

    /// Returns the package, taking a bare name to mean one of `owner`.
    pub fn id_for_owner(&self, owner: PublisherId, ecosystem: &Ecosystem) -> Option<PackageId> {
        match &self.on {
            DependencyOn::Package { .. } => self.id(),
            DependencyOn::Bare(name) => Some(PackageId {
                owner,
                name: PackageName::of(ecosystem, name).ok()?,
            }),
        }
    }

    /// Returns the handle that names it, if one does.
    pub fn named_by(&self) -> Option<Handle> {
        let DependencyOn::Package { package, .. } = &self.on else {
            return None;
        };
        match package.parse::<PackageRef>().ok()?.owner {
            Owner::Handle(handle) => Some(handle),
            Owner::Publisher(_) => None,
        }
    }

    /// Returns the handle by which the manifest's author knows the key.
    pub fn label(&self) -> Option<&Handle> {
        match &self.on {
            DependencyOn::Package { handle, .. } => handle.as_ref(),
            DependencyOn::Bare(_) => None,
        }
    }

    /// Resolves a handle to its key. The handle stays as the label, and a requirement within the
    /// reference becomes the dependency's. A name without an ecosystem is taken to be of
    /// `ecosystem`, the draft's. A bare name, a malformed reference and one with two requirements
    /// stay as they are, for later checks.
    ///
    /// # Errors
    /// Those of `meaning`, which resolves a handle.
    pub fn by_key<E>(
        self,
        ecosystem: &Ecosystem,
        meaning: impl FnOnce(&Handle) -> Result<PublisherId, E>,
    ) -> Result<Self, E> {
        let DependencyOn::Package {
            package,
            handle: label,
        } = &self.on
        else {
            return Ok(self);
        };
        let Ok(PackageRef {
            owner,
            name,
            requirement: within,
        }) = package.parse()
        else {
            return Ok(self);
        };
        let Ok(name) = name.within(ecosystem) else {
            return Ok(self);
        };
        let requirement = match within {
            Some(within) if self.requirement == RequirementText::any() => within,
            Some(_) => return Ok(self),
            None => self.requirement.clone(),
        };
        let (owner, handle) = match owner {
            Owner::Publisher(owner) => (owner, label.clone()),
            Owner::Handle(handle) => (meaning(&handle)?, Some(handle)),
        };
        let on = DependencyOn::Package {
            package: PackageId { owner, name }.to_string(),
            handle,
        };
        Ok(Self {
            on,
            requirement,
            ..self
        })
    }

    /// Returns text for display: the label, the fingerprint of the key that counts, and the extras.
    pub fn called(&self) -> String {
        let extras = if self.extras.is_empty() {
            String::new()
        } else {
            format!("[{}]", self.extras.join(", "))
        };
        let called = match (self.id(), self.label()) {
            (Some(PackageId { owner, name }), Some(handle)) => {
                format!("{handle}/{name} ({})", owner.fingerprint())
            }
            (Some(PackageId { owner, name }), None) => format!("{}/{name}", owner.fingerprint()),
            (None, _) => self.written().to_owned(),
        };
        called + &extras
    }

    /// Returns the conditions for display, in parentheses after a space, or nothing if there are
    /// none.
    pub fn circumstances(&self) -> String {
        let kind = (!self.kind.is_runtime()).then(|| self.kind.to_string());
        let optional =
            (self.optional && self.kind != DependencyKind::Optional).then(|| "optional".to_owned());
        let under = self.under.as_ref().map(|under| format!("with {under}"));
        let parts = [
            kind,
            optional,
            under,
            self.platform.clone(),
            self.marker.clone(),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() {
            String::new()
        } else {
            format!(" ({})", parts.join("; "))
        }
    }

    /// Returns the whole dependency on one line, for display.
    pub fn describe(&self) -> String {
        format!(
            "{}@{}{}",
            self.called(),
            self.requirement,
            self.circumstances()
        )
    }

    /// Returns a sentence about the first problem with it as a dependency of a release of
    /// `ecosystem`, naming the field.
    pub fn problem(&self, ecosystem: &Ecosystem) -> Option<String> {
        let of = match &self.on {
            DependencyOn::Package { package, .. } if package.len() > limit::PACKAGE => {
                return Some("an entry is too long".to_owned());
            }
            DependencyOn::Package { package, .. } => match package.parse::<PackageRef>() {
                Err(error) => return Some(error.to_string()),
                Ok(PackageRef {
                    requirement: Some(_),
                    ..
                }) if self.requirement != RequirementText::any() => {
                    return Some("an entry has two requirements; combine them into one".to_owned());
                }
                Ok(PackageRef {
                    name: NameRef::Exactly(name),
                    ..
                }) => Some(name),
                Ok(_) => None,
            },
            DependencyOn::Bare(name) => match PackageName::of(ecosystem, name) {
                Ok(name) => Some(name),
                Err(error) => return Some(error.to_string()),
            },
        };
        if let Some(Err(error)) = of.map(|name| self.requirement.read(name.ecosystem()).map(drop)) {
            return Some(error.to_string());
        }
        let name = self.written();
        if self.extras.len() > limit::EXTRAS {
            return Some(format!(
                "extras of {name} has {} entries, {} at most",
                self.extras.len(),
                limit::EXTRAS
            ));
        }
        let texts = [
            ("under", self.under.iter().collect::<Vec<_>>(), limit::EXTRA),
            ("extras", self.extras.iter().collect(), limit::EXTRA),
            ("marker", self.marker.iter().collect(), limit::MARKER),
            ("platform", self.platform.iter().collect(), limit::PLATFORM),
        ];
        for (field, values, most) in texts {
            for value in values {
                if value.is_empty() || value.len() > most {
                    return Some(format!(
                        "{field} of {name} has {} bytes, and must have 1 to {most}",
                        value.len()
                    ));
                }
                if has_unsafe(value) {
                    return Some(format!(
                        "{field} of {name} has control or invisible characters; remove them"
                    ));
                }
            }
        }
        let marker = self
            .marker
            .as_deref()
            .filter(|_| *ecosystem == Ecosystem::Pypi);
        let wrong = marker.and_then(|marker| Marker::parse(marker).err())?;
        Some(format!("marker of {name} {wrong}"))
    }
}

/// Returns the key that a release's dependencies label with a handle; `None` if they label several
/// keys or none with it.
pub fn labelled(dependencies: &[Dependency], handle: &Handle) -> Option<PublisherId> {
    let called = dependencies
        .iter()
        .filter(|dependency| dependency.label() == Some(handle));
    let mut keys = called.filter_map(|dependency| Some(dependency.id()?.owner));
    let first = keys.next()?;
    keys.all(|key| key == first).then_some(first)
}

#[cfg(test)]
mod tests;
