//! The swarm as an npm registry, at `/npm/`: npm, pnpm, yarn and bun install from it and publish to
//! it.
//!
//! The protocol: <https://github.com/npm/registry/blob/main/docs/REGISTRY-API.md> and
//! <https://github.com/npm/registry/blob/main/docs/responses/package-metadata.md>. The tests show
//! what the clients do beyond it.

mod attachment;
mod change;
mod document;
mod publish;
mod read;
mod route;
mod search;
mod tags;
mod version;

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde_json::json;
use tokio::io::AsyncRead;

use super::{
    answer,
    policy::{self, Refused, may_change},
    service::{Asked, ChangePermission, Service},
    upload,
};
use crate::{RegistryError, domain::name::PackageName, ecosystem::Ecosystem};
pub use read::ParsedDocuments;
use route::Route;

/// Tells a person how to give npm the publish token.
const LOGIN: &str = "`swarmdex setup npm` prints the line with it";
/// Most bytes of a request whose answer does not depend on its body.
const MAX_UNREAD: u64 = 4 << 20;
/// The header for messages to a person, which npm prints beside its own.
const NOTICE: &str = "npm-notice";

/// Returns an error in the form that every client displays.
fn error(status: StatusCode, text: &str) -> Response {
    answer::json(status, &json!({ "error": text }))
}

fn shown(refused: Refused) -> Response {
    refused.shown(error)
}

pub async fn answer(service: &Arc<Service>, asked: Asked, body: Body) -> Response {
    let Some(route) = route::of(&asked.method, &asked.parts) else {
        return error(StatusCode::NOT_FOUND, "this registry has no such request");
    };
    let answered = match route {
        Route::Document { name } => read::document(service, &asked, &name).await,
        Route::Version { name, version } => read::version(service, &asked, &name, &version).await,
        Route::Tarball { name, file } => read::tarball(service, &asked, &name, &file).await,
        Route::Tags { name } => tags::list(service, &asked, &name).await,
        Route::Search => search::answer(service, &asked).await,
        Route::Ping => Ok(answer::json(StatusCode::OK, &json!({}))),
        Route::Whoami => whoami(service, &asked).await,
        Route::Advisories => Ok(unread(body, &json!({})).await),
        Route::Audit => Ok(unread(body, &no_findings()).await),
        Route::Account => Err(Refused::Because(StatusCode::NOT_FOUND, no_accounts())),
        change => return changed(service, &asked, body, change).await,
    };
    answered.unwrap_or_else(shown)
}

/// Handles a change if the token allows it. The body of a refused request is still read.
async fn changed(service: &Arc<Service>, asked: &Asked, body: Body, route: Route) -> Response {
    // Base64 takes four characters for three bytes.
    let most = service.options.upload.saturating_add(2).saturating_mul(4) / 3;
    let most = most.saturating_add(attachment::MAX_WORDS as u64);
    let mut bytes = match upload::coming(&asked.headers, body, most) {
        Ok(bytes) => bytes,
        Err(_) => return shown(upload::too_large(service.options.upload)),
    };
    let answered = match allowed(asked) {
        Ok(()) => change_by(service, asked, &mut bytes, route).await,
        Err(refused) => Err(refused),
    };
    if answered.is_err() {
        upload::hear_out(bytes, most).await;
    }
    answered.unwrap_or_else(shown)
}

async fn change_by(
    service: &Arc<Service>,
    asked: &Asked,
    bytes: &mut (impl AsyncRead + Unpin),
    route: Route,
) -> Result<Response, Refused> {
    match route {
        Route::Put { name, rev } => {
            publish::take(service, asked, bytes, &name, rev.as_deref()).await
        }
        Route::Unpublish { name, rev } => change::unpublish(service, &name, &rev).await,
        Route::UnpublishFile { name, file } => change::unpublish_file(service, &name, &file).await,
        Route::SetTag { name, tag } => tags::set(service, bytes, &name, tag).await,
        Route::RemoveTag { name, tag } => tags::remove(service, &name, tag).await,
        _ => Err(Refused::Because(
            StatusCode::NOT_FOUND,
            "this registry has no such request".to_owned(),
        )),
    }
}

/// Refuses a request that may not change anything, with 401 if it has no token at all, as npm's
/// registry does. The answer names no scheme, because npm would then ask people to log in and hide
/// the message.
fn allowed(asked: &Asked) -> Result<(), Refused> {
    let said_nothing = !asked.headers.contains_key(header::AUTHORIZATION);
    match may_change(asked.change, LOGIN) {
        Err(Refused::Because(_, text))
            if said_nothing && asked.change == ChangePermission::NoToken =>
        {
            Err(Refused::Because(StatusCode::UNAUTHORIZED, text))
        }
        other => other,
    }
}

fn no_accounts() -> String {
    format!("there are no accounts here: packages belong to the key that signs them; {LOGIN}")
}

async fn whoami(service: &Service, asked: &Asked) -> Result<Response, Refused> {
    allowed(asked)?;
    let own = service.registry().own().await?;
    let handle = own
        .packages
        .iter()
        .find_map(|package| package.handle.as_ref())
        .map(ToString::to_string);
    let username = handle.or(own.publisher.map(|publisher| publisher.to_string()));
    let username =
        username.unwrap_or_else(|| "nobody yet: the first publish makes a key".to_owned());
    Ok(answer::json(
        StatusCode::OK,
        &json!({ "username": username }),
    ))
}

/// A report for old clients: no known vulnerabilities.
fn no_findings() -> serde_json::Value {
    let none = json!({ "info": 0, "low": 0, "moderate": 0, "high": 0, "critical": 0 });
    let counts = json!({ "vulnerabilities": none, "dependencies": 0, "devDependencies": 0, "totalDependencies": 0 });
    json!({ "actions": [], "advisories": {}, "muted": [], "metadata": counts })
}

/// Reads the body and sends a fixed answer.
async fn unread(body: Body, answer: &serde_json::Value) -> Response {
    if let Ok(rest) = upload::coming(&Default::default(), body, MAX_UNREAD) {
        upload::hear_out(rest, MAX_UNREAD).await;
    }
    answer::json(StatusCode::OK, answer)
}

/// Returns the answer to a change, with messages for a person.
fn done(status: StatusCode, notices: &[String]) -> Response {
    let mut response = answer::json(status, &json!({ "ok": true, "success": true }));
    // A single line of characters that a header may contain.
    let text: String = notices
        .join("; ")
        .chars()
        .map(|c| if (' '..='~').contains(&c) { c } else { '?' })
        .collect();
    if let Ok(value) = HeaderValue::from_str(&text)
        && !text.is_empty()
    {
        response.headers_mut().insert(NOTICE, value);
    }
    response
}

fn name_of(name: &str) -> Result<PackageName, Refused> {
    policy::name_of(&Ecosystem::Npm, name)
}

fn reference(
    id: &crate::domain::name::PackageId,
) -> Result<crate::domain::name::PackageRef, Refused> {
    Ok(id.to_string().parse().map_err(RegistryError::from)?)
}
