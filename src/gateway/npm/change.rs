//! Changes to published versions: deprecating, and unpublishing, which is a yank here because
//! signed releases stay.

use axum::{http::StatusCode, response::Response};
use serde_json::Value;

use super::{
    document::{Document, LATEST},
    done, name_of,
    publish::PublishDocument,
    read::{listed, rev},
    reference,
    route::version_of,
};
use crate::{
    domain::{
        name::PackageId,
        release::{self, ReleaseEntry},
        version::VersionText,
    },
    ecosystem::Ecosystem,
    gateway::{
        policy::{Refused, own, package},
        service::{Asked, Service},
    },
    registry::{Change, Package},
};

/// Most versions named in a notice.
const NAMED: usize = 5;

/// Returns this node's package of a name. If the client gives the revision that it has seen, it
/// must be the current one.
async fn seen(service: &Service, name: &str, rev_seen: Option<&str>) -> Result<Package, Refused> {
    let id = own(service, None, &name_of(name)?)
        .await
        .map_err(not_found_is_forbidden)?;
    let package = package(service, &id).await?;
    if rev_seen.is_some_and(|seen| seen != rev(package.seq, package.signed_at.0)) {
        let text = format!("{name} has changed since it was read; run the command again");
        return Err(Refused::Because(StatusCode::CONFLICT, text));
    }
    Ok(package)
}

/// On 404, npm assumes that the package was unpublished already and reports success.
fn not_found_is_forbidden(refused: Refused) -> Refused {
    match refused {
        Refused::Because(StatusCode::NOT_FOUND, text) => {
            Refused::Because(StatusCode::FORBIDDEN, text)
        }
        other => other,
    }
}

/// Applies a changed document of a package. If the client gives the revision that it has seen,
/// versions and tags that are missing in the document are removed.
pub(super) async fn say(
    service: &Service,
    asked: &Asked,
    name: &str,
    said: &PublishDocument,
    rev_seen: Option<&str>,
) -> Result<Response, Refused> {
    let package = seen(service, name, rev_seen).await?;
    let id = package.id.clone();
    let (document, _) = listed(service, asked, &package).await;
    if said
        .maintainers
        .as_ref()
        .is_some_and(|maintainers| *maintainers != document.maintainers())
    {
        let text =
            format!("{name} belongs to the key that signs it, and nobody can be added or removed");
        return Err(Refused::Because(StatusCode::FORBIDDEN, text));
    }
    let Some(versions) = &said.versions else {
        return Err(Refused::wrong(format!(
            "the document of {name} has no version and no tarball"
        )));
    };
    let mut changes = deprecations(&document, said);
    let gone = |listed: &&super::document::Listed| !versions.contains_key(&listed.version.version);
    let gone: Vec<VersionText> = match rev_seen {
        Some(_) => document
            .versions
            .iter()
            .filter(gone)
            .map(|listed| listed.entry.version.clone())
            .collect(),
        None => Vec::new(),
    };
    changes.extend(gone.iter().cloned().map(yank));
    if rev_seen.is_some() {
        changes.extend(tags(&document, said, &gone));
    }
    for change in changes {
        service.registry().change(&reference(&id)?, change).await?;
    }
    Ok(done(StatusCode::OK, &notice(name, &gone)))
}

/// Returns the changes for the versions whose deprecation message differs.
fn deprecations(document: &Document, said: &PublishDocument) -> Vec<Change> {
    let sent = |version: &str| said.versions.as_ref()?.get(version);
    let change = |listed: &super::document::Listed| {
        let message = match &sent(&listed.version.version)?.deprecated {
            Some(Value::String(message)) => message.trim(),
            _ => "",
        };
        let before = listed
            .version
            .deprecated(listed.entry.deprecated.as_deref())
            .unwrap_or_default();
        let message = Some(message.to_owned()).filter(|message| message != before)?;
        let message = Some(message).filter(|message| !message.is_empty());
        Some(Change::Deprecate {
            version: listed.entry.version.clone(),
            message,
        })
    };
    document.versions.iter().filter_map(change).collect()
}

/// Returns the changes for the tags that name another version. A tag whose version is removed is
/// left, because it no longer names anything.
fn tags(document: &Document, said: &PublishDocument, gone: &[VersionText]) -> Vec<Change> {
    let before = document.tags();
    let is_new =
        |(tag, version): &(&String, &String)| before.get(tag.as_str()) != Some(&version.as_str());
    let set = said
        .tags
        .iter()
        .filter(is_new)
        .filter_map(|(tag, version)| {
            let version = document.find(&version.parse().ok()?)?.entry.version.clone();
            (!gone.contains(&version)).then(|| Change::Tag {
                tag: tag.clone(),
                version: Some(version),
            })
        });
    let names_what_stays = |tag: &&String| {
        document
            .tags
            .get(*tag)
            .is_some_and(|version| !gone.contains(version))
    };
    let removed = document
        .tags
        .keys()
        .filter(|tag| !said.tags.contains_key(*tag) && *tag != LATEST);
    let removed = removed.filter(names_what_stays).map(|tag| Change::Tag {
        tag: tag.clone(),
        version: None,
    });
    set.chain(removed).collect()
}

fn yank(version: VersionText) -> Change {
    Change::Yank {
        version,
        file: None,
        why: String::new(),
    }
}

/// `npm unpublish` of the whole package.
pub(super) async fn unpublish(
    service: &Service,
    name: &str,
    rev: &str,
) -> Result<Response, Refused> {
    let package = seen(service, name, Some(rev)).await?;
    let live = package.releases.iter().filter(|entry| !entry.is_yanked());
    let live: Vec<VersionText> = live.map(|entry| entry.version.clone()).collect();
    yanked(service, &package.id, name, live).await
}

/// Handles the removal of the file of a version that is unpublished, or was just before.
pub(super) async fn unpublish_file(
    service: &Service,
    name: &str,
    file: &str,
) -> Result<Response, Refused> {
    let package = seen(service, name, None).await?;
    let version: Option<VersionText> = version_of(name, file).and_then(|text| text.parse().ok());
    let entry =
        version.and_then(|version| release::find(&Ecosystem::Npm, &package.releases, &version));
    let Some(entry) = entry else {
        let text = format!("{name} has no file {file}");
        return Err(Refused::Because(StatusCode::NOT_FOUND, text));
    };
    let live = Some(entry).filter(|entry: &&ReleaseEntry| !entry.is_yanked());
    yanked(
        service,
        &package.id,
        name,
        live.map(|entry| entry.version.clone())
            .into_iter()
            .collect(),
    )
    .await
}

async fn yanked(
    service: &Service,
    id: &PackageId,
    name: &str,
    versions: Vec<VersionText>,
) -> Result<Response, Refused> {
    for version in &versions {
        service
            .registry()
            .change(&reference(id)?, yank(version.clone()))
            .await?;
    }
    Ok(done(StatusCode::OK, &notice(name, &versions)))
}

/// Tells a person that the unpublished versions are yanked.
fn notice(name: &str, gone: &[VersionText]) -> Vec<String> {
    if gone.is_empty() {
        return Vec::new();
    }
    let named = gone
        .iter()
        .take(NAMED)
        .map(VersionText::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    let more = match gone.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    vec![format!(
        "{name} {named}{more} is yanked, because signed releases stay: new installs do not get it, \
         and lock files that have it still work; `swarmdex unyank` reverts that"
    )]
}
