//! The swarm as a registry of cargo's: `/cargo/`, where names mean what they mean on this node, and
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
pub use line::Line;
use route::{Route, Scope};

/// An endpoint, with the key that it is of.
struct Endpoint {
    /// The publisher whose packages alone it has.
    only: Option<PublisherId>,
    /// It stands in for the default registry.
    mirror: bool,
    /// What its addresses begin with.
    url: String,
}

fn errors(status: StatusCode, text: &str) -> Response {
    answer::json(status, &json!({ "errors": [{ "detail": text }] }))
}

/// The answer of the web API, of which cargo shows the sentence.
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

/// Tells a person how cargo is given the publish token.
const LOGIN: &str = "`cargo login --registry NAME` takes it";

async fn endpoint(service: &Service, scope: Scope, base: &str) -> Result<Endpoint, Refused> {
    let only = match &scope {
        Scope::Swarm | Scope::Mirror => None,
        Scope::Of(Owner::Publisher(owner)) => Some(*owner),
        // What a handle means is somebody's word, unless a person pinned it.
        Scope::Of(Owner::Handle(handle)) => {
            match service.registry().claims(handle, false).await?.bound {
                Some((owner, _)) => Some(owner),
                None => {
                    let text = format!(
                        "{handle} is pinned to no key here; `swarmdex trust {handle}` pins it, or write ~ and the id"
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
        // Nothing is published there, nor searched for.
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

/// The name of a crate, in whatever spelling.
fn name_of(name: &str) -> Result<PackageName, Refused> {
    policy::name_of(&Ecosystem::Cargo, name)
}
