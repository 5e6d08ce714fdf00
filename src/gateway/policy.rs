//! Decides which owner's package a request is about and what it may do. Every endpoint asks here,
//! so that no path bypasses the rules.

use std::collections::BTreeMap;

use axum::{http::StatusCode, response::Response};

use super::{
    answer::{self, sentence},
    request_log,
    service::{ChangePermission, Service},
};
use crate::{
    RegistryError, Result,
    domain::{
        name::{PackageId, PackageName, PublisherId},
        names::{By, NameBlock, NameDecision, NameMeaning},
        trust::Trust,
        version::VersionText,
    },
    ecosystem::Ecosystem,
    registry::{Hit, OwnPublisher, Package},
};

/// The reason why a request is refused.
pub enum Refused {
    /// A message for a person, in the client's form.
    Because(StatusCode, String),
    /// The node has no peers yet and cannot know.
    TooEarly,
}

impl From<RegistryError> for Refused {
    fn from(error: RegistryError) -> Self {
        Self::Because(answer::status_of(&error), error.to_string())
    }
}

impl Refused {
    /// Refuses an invalid request.
    pub fn wrong(text: impl Into<String>) -> Self {
        Self::Because(StatusCode::BAD_REQUEST, text.into())
    }

    /// Returns the answer for requests whose answer the client does not display.
    pub fn plain(self) -> Response {
        match self {
            Self::Because(status, text) => sentence(status, &text),
            Self::TooEarly => answer::too_early(),
        }
    }

    /// Returns the answer in the form in which the client displays the message.
    pub fn shown(self, form: impl FnOnce(StatusCode, &str) -> Response) -> Response {
        match self {
            Self::Because(status, text) => {
                request_log::refusal(status, &text);
                form(status, &text)
            }
            Self::TooEarly => answer::too_early(),
        }
    }
}

/// Refuses a change without the publish token; `how` explains how to give it to the client.
pub fn may_change(change: ChangePermission, how: &str) -> Result<(), Refused> {
    request_log::change();
    let text = match change {
        ChangePermission::Allowed => return Ok(()),
        ChangePermission::Off => {
            "this gateway is read-only; set gateway_publish = true at its node to publish here"
                .to_owned()
        }
        ChangePermission::NoToken => format!(
            "publishing needs the token in gateway.token in the node's data directory, and another \
             one was sent; {how}"
        ),
    };
    Err(Refused::Because(StatusCode::FORBIDDEN, text))
}

/// Returns the name of a package in its ecosystem, in whatever spelling.
pub fn name_of(ecosystem: &Ecosystem, name: &str) -> Result<PackageName, Refused> {
    let written = name.parse().map_err(RegistryError::from)?;
    PackageName::of(ecosystem, &written)
        .map_err(|error| Refused::Because(StatusCode::NOT_FOUND, error.to_string()))
}

/// Resolves a name to a package, among all owners or for `only` one publisher. `served` is true if
/// it is about to be served and not just displayed.
pub async fn whose(
    service: &Service,
    only: Option<PublisherId>,
    name: &PackageName,
    served: bool,
) -> Result<PackageId, Refused> {
    request_log::name(name);
    let names = service.node().names();
    let decided = match only {
        None if served => names.serve(name).await?,
        _ => names.why(name).await?,
    };
    let owner = match (only, &decided.meaning) {
        // A block applies to the name, whoever owns it.
        (Some(owner), NameMeaning::Blocked(_)) if !is_blocked(service, name).await? => owner,
        (_, NameMeaning::Blocked(_)) => return Err(refused(&decided)),
        (Some(owner), _) => owner,
        (None, NameMeaning::Owner { owner, .. }) => *owner,
        (None, NameMeaning::Nobody(keys)) if keys.is_empty() && service.is_too_early().await? => {
            return Err(Refused::TooEarly);
        }
        (None, _) => return Err(refused(&decided)),
    };
    let id = PackageId {
        owner,
        name: name.clone(),
    };
    request_log::package(&id);
    Ok(id)
}

async fn is_blocked(service: &Service, name: &PackageName) -> Result<bool> {
    Ok(service
        .node()
        .names()
        .blocks(name)
        .await?
        .iter()
        .any(|block| block.version.is_none()))
}

fn refused(decided: &NameDecision) -> Refused {
    Refused::Because(StatusCode::NOT_FOUND, decided.refusal().unwrap_or_default())
}

/// Returns the package as this node knows it, without blocked releases.
pub async fn package(service: &Service, id: &PackageId) -> Result<Package, Refused> {
    let reference = id.to_string().parse().map_err(RegistryError::from)?;
    let mut package = match service.registry().get_package(&reference).await {
        Ok(package) if package.trust == Trust::Distrusted => {
            let text = format!(
                "{} is distrusted here; `swarmdex trust {}` takes that back",
                id.owner, id.owner
            );
            return Err(Refused::Because(StatusCode::NOT_FOUND, text));
        }
        Ok(package) => package,
        Err(error) if error.is_missing() && service.is_too_early().await? => {
            return Err(Refused::TooEarly);
        }
        Err(error) => return Err(error.into()),
    };
    let blocks = service.node().names().blocks(&id.name).await?;
    package.releases = package
        .releases
        .only(|entry| blocks.iter().all(|block| !is_of(block, &entry.version)));
    Ok(package)
}

/// Returns true if a block covers all of this version, in whatever spelling.
fn is_of(block: &NameBlock, version: &VersionText) -> bool {
    let ecosystem = block.name.ecosystem();
    block.file.is_none()
        && block
            .version
            .as_ref()
            .is_some_and(|blocked| blocked.key(ecosystem) == version.key(ecosystem))
}

/// Returns true if a search hit is the package that its name belongs to here.
pub async fn is_installable(
    service: &Service,
    only: Option<PublisherId>,
    hit: &Hit,
) -> Result<bool> {
    let decided = service.node().names().known(&hit.package.name).await?;
    Ok(only.or(decided.owner()) == Some(hit.package.owner))
}

/// Refuses a blocked release.
pub async fn may_serve(
    service: &Service,
    name: &PackageName,
    version: &VersionText,
) -> Result<(), Refused> {
    request_log::version(version);
    let blocks = service.node().names().blocks(name).await?;
    match blocks.iter().find(|block| is_of(block, version)) {
        None => Ok(()),
        Some(block) => {
            let text = format!("{name} {version} is blocked on this node: {}", block.why);
            Err(Refused::Because(StatusCode::NOT_FOUND, text))
        }
    }
}

/// Returns the blocked files of a name, with the reasons. In an ecosystem whose versions have
/// several files, a file's name contains its version.
pub async fn blocked_files(
    service: &Service,
    name: &PackageName,
) -> Result<BTreeMap<String, String>> {
    let blocks = service.node().names().blocks(name).await?;
    Ok(blocks
        .into_iter()
        .filter_map(|block| Some((block.file?, block.why)))
        .collect())
}

/// Returns this node's own package of a name; others cannot be changed here.
pub async fn own(
    service: &Service,
    only: Option<PublisherId>,
    name: &PackageName,
) -> Result<PackageId, Refused> {
    let own = service.registry().own().await?.publisher;
    let id = whose(service, only, name, false).await?;
    match own {
        Some(own) if own == id.owner => Ok(id),
        _ => Err(not_yours(name, &id.owner)),
    }
}

fn not_yours(name: &PackageName, owner: &PublisherId) -> Refused {
    let text = format!(
        "{name} is {owner} ({}) here, and only that key can change it",
        owner.fingerprint()
    );
    Refused::Because(StatusCode::FORBIDDEN, text)
}

/// Returns the package that a publish under a name would create, if it is allowed.
pub async fn may_publish(
    service: &Service,
    only: Option<PublisherId>,
    name: &PackageName,
) -> Result<PackageId, Refused> {
    request_log::name(name);
    let decided = service.node().names().why(name).await?;
    if is_blocked(service, name).await? {
        return Err(Refused::Because(
            StatusCode::FORBIDDEN,
            decided.refusal().unwrap_or_default(),
        ));
    }
    let OwnPublisher { id: own, new_key } = service.registry().publisher().await?;
    if let Some(path) = new_key {
        tracing::warn!(path = %path.display(), "a publisher's key was made; back it up, because nobody else can publish your packages");
    }
    if let Some(only) = only.filter(|only| *only != own) {
        return Err(not_yours(name, &only));
    }
    // A person's rule for the name takes precedence, so that nobody would get the own package.
    match &decided.meaning {
        NameMeaning::Owner {
            owner,
            by: By::Rule(rule),
        } if *owner != own && only.is_none() => {
            let (reason, fingerprint, pattern) =
                (decided.reason(), owner.fingerprint(), &rule.pattern);
            let elsewhere = match name.ecosystem() {
                Ecosystem::Cargo => format!(", or publish at /cargo/~{own}/"),
                _ => String::new(),
            };
            let text = format!(
                "{name} is {owner} ({fingerprint}) on this node, because {reason}; `swarmdex \
                 names unset {pattern}` takes \
                 that back{elsewhere}"
            );
            Err(Refused::Because(StatusCode::FORBIDDEN, text))
        }
        _ => {
            let id = PackageId {
                owner: own,
                name: name.clone(),
            };
            request_log::package(&id);
            Ok(id)
        }
    }
}
