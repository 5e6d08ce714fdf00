//! Tags: `npm dist-tag`.

use axum::{http::StatusCode, response::Response};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{document::LATEST, done, name_of, read::listed, reference};
use crate::{
    domain::{release, version::VersionText},
    ecosystem::Ecosystem,
    gateway::{
        answer,
        policy::{Refused, own, package, whose},
        service::{Asked, Service},
        upload::cut,
    },
    registry::Change,
};

/// More than enough bytes for a version as JSON.
const MAX_BODY: u64 = 1_024;

pub(super) async fn list(
    service: &Service,
    asked: &Asked,
    name: &str,
) -> Result<Response, Refused> {
    let id = whose(service, None, &name_of(name)?, false).await?;
    let (document, _) = listed(service, asked, &package(service, &id).await?).await;
    Ok(answer::json(StatusCode::OK, &json!(document.tags())))
}

/// Sets a tag on a version; the version is the body, as JSON.
pub(super) async fn set(
    service: &Service,
    bytes: &mut (impl AsyncRead + Unpin),
    name: &str,
    tag: String,
) -> Result<Response, Refused> {
    let mut body = Vec::new();
    bytes
        .take(MAX_BODY)
        .read_to_end(&mut body)
        .await
        .map_err(|error| cut(&error))?;
    let version: VersionText = serde_json::from_slice(&body).map_err(|error| {
        Refused::wrong(format!(
            "the version that {tag} is to name cannot be read: {error}"
        ))
    })?;
    let id = own(service, None, &name_of(name)?).await?;
    let package = package(service, &id).await?;
    let entry = release::find(&Ecosystem::Npm, &package.releases, &version)
        .filter(|entry| !entry.is_yanked());
    let Some(entry) = entry else {
        let text = format!("{name} has no version {version} that {tag} could name");
        return Err(Refused::Because(StatusCode::NOT_FOUND, text));
    };
    let change = Change::Tag {
        tag,
        version: Some(entry.version.clone()),
    };
    service.registry().change(&reference(&id)?, change).await?;
    Ok(done(StatusCode::CREATED, &[]))
}

pub(super) async fn remove(
    service: &Service,
    name: &str,
    tag: String,
) -> Result<Response, Refused> {
    let id = own(service, None, &name_of(name)?).await?;
    let package = package(service, &id).await?;
    if !package.tags.contains_key(&tag) {
        let text = match tag.as_str() {
            LATEST => format!("{name} has no tag {LATEST} to remove: it names the highest version"),
            _ => format!("{name} has no tag {tag}"),
        };
        return Err(Refused::Because(StatusCode::NOT_FOUND, text));
    }
    service
        .registry()
        .change(&reference(&id)?, Change::Tag { tag, version: None })
        .await?;
    Ok(done(StatusCode::OK, &[]))
}
