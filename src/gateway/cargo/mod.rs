//! The swarm as a cargo registry: `/cargo/`, where names resolve as on this node, and
//! `/cargo/~PUBLISHER-ID/`, which has one publisher's packages.
//!
//! The protocol: <https://doc.rust-lang.org/cargo/reference/registry-index.html#sparse-protocol>
//! and <https://doc.rust-lang.org/cargo/reference/registry-web-api.html>.

mod ahead;
mod change;
mod index;
mod line;
mod publish;
mod route;
mod search;

use std::sync::Arc;

use axum::{body::Body, http::StatusCode, response::Response};
use serde_json::json;

use super::{
    answer::{self, document, sentence},
    policy::{self, Refused, may_change},
    service::{Asked, Service},
};
use crate::{
    domain::name::{Owner, PackageName, PublisherId},
    ecosystem::Ecosystem,
};
pub use ahead::LookingAhead;
pub use line::CrateLine;
use route::{Route, Scope};

/// An endpoint with its publisher resolved.
struct Endpoint {
    /// The publisher, if it serves only the packages of one.
    only: Option<PublisherId>,
    /// True if it stands in for the default registry.
    mirror: bool,
    /// The beginning of its URLs.
    url: String,
}

fn errors(status: StatusCode, text: &str) -> Response {
    answer::json(status, &json!({ "errors": [{ "detail": text }] }))
}

/// Returns an error of the web API, whose message cargo displays.
fn shown(refused: Refused) -> Response {
    refused.shown(errors)
}

pub async fn answer(service: &Arc<Service>, asked: Asked, body: Body) -> Response {
    answer_to(service, route::of(&asked.method, &asked.parts), asked, body).await
}

/// Answers at the endpoint that may replace the default registry.
pub async fn answer_as_mirror(service: &Arc<Service>, asked: Asked, body: Body) -> Response {
    answer_to(
        service,
        route::of_mirror(&asked.method, &asked.parts),
        asked,
        body,
    )
    .await
}

async fn answer_to(
    service: &Arc<Service>,
    request: Option<(Scope, Route)>,
    asked: Asked,
    body: Body,
) -> Response {
    let Some((scope, route)) = request else {
        return sentence(
            StatusCode::NOT_FOUND,
            "cargo has no such request; its registry is at /cargo/",
        );
    };
    let endpoint = match endpoint(service, scope, &asked.base).await {
        Ok(endpoint) => endpoint,
        Err(refused) => return refused.plain(),
    };
    match route {
        Route::Config => config(&endpoint, &asked),
        Route::Index(name) => index::file(service, &endpoint, &asked, &name)
            .await
            .unwrap_or_else(Refused::plain),
        Route::Download { name, version } => {
            index::download(service, &endpoint, &asked, &name, &version)
                .await
                .unwrap_or_else(Refused::plain)
        }
        Route::Search => search::answer(service, &endpoint, &asked.query)
            .await
            .unwrap_or_else(shown),
        Route::Owners { name } => change::owners(service, &endpoint, &name)
            .await
            .unwrap_or_else(shown),
        Route::Publish => {
            let allowed = may_change(asked.change, LOGIN);
            publish::take(service, &endpoint, &asked, body, allowed)
                .await
                .unwrap_or_else(shown)
        }
        Route::Yank {
            name,
            version,
            yanked,
        } => match may_change(asked.change, LOGIN) {
            Ok(()) => change::yank(service, &endpoint, &name, &version, yanked)
                .await
                .unwrap_or_else(shown),
            Err(refused) => shown(refused),
        },
        Route::ChangeOwners { name } => match may_change(asked.change, LOGIN) {
            Ok(()) => shown(change::owners_stay(&name)),
            Err(refused) => shown(refused),
        },
    }
}

/// Tells a person how to give cargo the publish token.
const LOGIN: &str = "`cargo login --registry NAME` takes it";

async fn endpoint(service: &Service, scope: Scope, base: &str) -> Result<Endpoint, Refused> {
    let only = match &scope {
        Scope::Swarm | Scope::Mirror => None,
        Scope::Of(Owner::Publisher(owner)) => Some(*owner),
        // Only a pinned handle counts: any key can claim one.
        Scope::Of(Owner::Handle(handle)) => {
            match service.registry().claims(handle, false).await?.bound {
                Some((owner, _)) => Some(owner),
                None => {
                    let text = format!(
                        "{handle} is pinned to no key here; `swarmdex trust {handle}` pins it, or \
                         write ~ and the id"
                    );
                    return Err(Refused::Because(StatusCode::NOT_FOUND, text));
                }
            }
        }
    };
    let url = format!("{base}{}", scope.path());
    Ok(Endpoint {
        only,
        mirror: scope == Scope::Mirror,
        url,
    })
}

fn config(endpoint: &Endpoint, asked: &Asked) -> Response {
    let Endpoint { url, mirror, .. } = endpoint;
    let mut config = match mirror {
        // The mirror has no API: it supports neither publishing nor searching.
        true => json!({ "dl": format!("{url}/api/v1/crates") }),
        false => json!({ "dl": format!("{url}/api/v1/crates"), "api": url }),
    };
    if asked.closed
        && let Some(config) = config.as_object_mut()
    {
        config.insert("auth-required".to_owned(), true.into());
    }
    document(&asked.headers, "application/json", config.to_string())
}

/// Returns the name of a crate, in whatever spelling.
fn name_of(name: &str) -> Result<PackageName, Refused> {
    policy::name_of(&Ecosystem::Cargo, name)
}
