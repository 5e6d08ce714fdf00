//! Yanks, and the owners of a crate.

use axum::{http::StatusCode, response::Response};
use serde_json::json;

use super::{Endpoint, name_of};
use crate::{
    RegistryError,
    gateway::{
        answer,
        policy::{Refused, own, whose},
        service::Service,
    },
};

pub(super) async fn yank(
    service: &Service,
    endpoint: &Endpoint,
    name: &str,
    version: &str,
    yanked: bool,
) -> Result<Response, Refused> {
    let id = own(service, endpoint.only, &name_of(name)?).await?;
    let package = id.to_string().parse().map_err(RegistryError::from)?;
    let version = version.parse().map_err(RegistryError::from)?;
    let registry = service.registry();
    match yanked {
        true => registry.yank(&package, &version).await?,
        false => registry.unyank(&package, &version).await?,
    };
    Ok(answer::json(StatusCode::OK, &json!({ "ok": true })))
}

/// Returns the owner of a crate: the key that signs it.
pub(super) async fn owners(
    service: &Service,
    endpoint: &Endpoint,
    name: &str,
) -> Result<Response, Refused> {
    let id = whose(service, endpoint.only, &name_of(name)?, false).await?;
    let reference = id.to_string().parse().map_err(RegistryError::from)?;
    let handle = service.registry().get_package(&reference).await?.handle;
    let name = handle.map(|handle| format!("{handle} ({})", id.owner.fingerprint()));
    let users = json!([{ "id": 1, "login": id.owner.to_string(), "name": name }]);
    Ok(answer::json(StatusCode::OK, &json!({ "users": users })))
}

pub(super) fn owners_stay(name: &str) -> Refused {
    let text = format!(
        "{name} belongs to the key that signs it, and a key cannot be added or removed here"
    );
    Refused::Because(StatusCode::FORBIDDEN, text)
}
