//! The swarm as a registry of cargo's: `/cargo/`, where names mean what they mean on this node, and `/cargo/~PUBLISHER-ID/`, which
//! has one publisher's packages.
//!
//! The protocol: <https://doc.rust-lang.org/cargo/reference/registry-index.html#sparse-protocol> and
//! <https://doc.rust-lang.org/cargo/reference/registry-web-api.html>.

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
    service::{Asked, Change, Service},
};
use crate::{
    RegistryError, Result,
    domain::{
        name::{Owner, PackageId, PackageName, PublisherId},
        names::Meaning,
    },
    ecosystem::Ecosystem,
};
pub use index::Lines;
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

/// Why something is not served.
enum Refused {
    /// For a person, in the client's form.
    Because(StatusCode, String),
    /// Nobody is connected yet who could know.
    TooEarly,
}

impl From<RegistryError> for Refused {
    fn from(error: RegistryError) -> Self {
        Self::Because(answer::status_of(&error), error.to_string())
    }
}

impl Refused {
    /// For what cargo shows nothing of: the index and files.
    fn plain(self) -> Response {
        match self {
            Self::Because(status, text) => sentence(status, &text),
            Self::TooEarly => answer::too_early(),
        }
    }

    /// For the web API, of which cargo shows the sentence.
    fn shown(self) -> Response {
        match self {
            Self::Because(status, text) => errors(status, &text),
            Self::TooEarly => answer::too_early(),
        }
    }
}

fn errors(status: StatusCode, text: &str) -> Response {
    answer::json(status, &json!({ "errors": [{ "detail": text }] }))
}

pub async fn answer(service: &Arc<Service>, asked: Asked, body: Body) -> Response {
    answer_to(service, route::of(&asked.method, &asked.parts), asked, body).await
}

/// Answers at the endpoint that may replace the default registry.
pub async fn answer_as_mirror(service: &Arc<Service>, asked: Asked, body: Body) -> Response {
    answer_to(service, route::of_mirror(&asked.method, &asked.parts), asked, body).await
}

async fn answer_to(service: &Arc<Service>, request: Option<(Scope, Route)>, asked: Asked, body: Body) -> Response {
    let Some((scope, route)) = request else {
        return sentence(StatusCode::NOT_FOUND, "cargo has no such request; its registry is at /cargo/");
    };
    let endpoint = match endpoint(service, scope, &asked.base).await {
        Ok(endpoint) => endpoint,
        Err(refused) => return refused.plain(),
    };
    match route {
        Route::Config => config(&endpoint, &asked),
        Route::Index(name) => index::file(service, &endpoint, &asked, &name).await.unwrap_or_else(Refused::plain),
        Route::Download { name, version } => {
            index::download(service, &endpoint, &asked, &name, &version).await.unwrap_or_else(Refused::plain)
        }
        Route::Search => search::answer(service, &endpoint, &asked.query).await.unwrap_or_else(Refused::shown),
        Route::Owners { name } => change::owners(service, &endpoint, &name).await.unwrap_or_else(Refused::shown),
        Route::Publish => {
            let allowed = may_change(asked.change);
            publish::take(service, &endpoint, &asked, body, allowed).await.unwrap_or_else(Refused::shown)
        }
        Route::Yank { name, version, yanked } => match may_change(asked.change) {
            Ok(()) => change::yank(service, &endpoint, &name, &version, yanked).await.unwrap_or_else(Refused::shown),
            Err(refused) => refused.shown(),
        },
        Route::ChangeOwners { name } => match may_change(asked.change) {
            Ok(()) => change::owners_stay(&name).shown(),
            Err(refused) => refused.shown(),
        },
    }
}

fn may_change(change: Change) -> Result<(), Refused> {
    let (status, text) = match change {
        Change::Allowed => return Ok(()),
        Change::Off => {
            (StatusCode::FORBIDDEN, "this gateway is read-only; set gateway_publish = true at its node to publish here")
        }
        Change::NoToken => (
            StatusCode::FORBIDDEN,
            "this changes something, and the token that was sent is not the one in gateway.token in the node's data \
             directory; `cargo login --registry NAME` takes it",
        ),
    };
    Err(Refused::Because(status, text.to_owned()))
}

async fn endpoint(service: &Service, scope: Scope, base: &str) -> Result<Endpoint, Refused> {
    let only = match &scope {
        Scope::Swarm | Scope::Mirror => None,
        Scope::Of(Owner::Publisher(owner)) => Some(*owner),
        // What a handle means is somebody's word, unless a person pinned it.
        Scope::Of(Owner::Handle(handle)) => match service.registry().claims(handle, false).await?.bound {
            Some((owner, _)) => Some(owner),
            None => {
                let text = format!(
                    "{handle} is pinned to no key here; `swarmdex trust {handle}` pins it, or write ~ and the id"
                );
                return Err(Refused::Because(StatusCode::NOT_FOUND, text));
            }
        },
    };
    let url = format!("{base}{}", scope.path());
    Ok(Endpoint { only, mirror: scope == Scope::Mirror, url })
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
    let written = name.parse().map_err(RegistryError::from)?;
    PackageName::of(&Ecosystem::Cargo, &written)
        .map_err(|error| Refused::Because(StatusCode::NOT_FOUND, error.to_string()))
}

/// Whose package a name is at an endpoint; `served` says that it is about to be served, rather than only shown.
async fn whose(service: &Service, endpoint: &Endpoint, name: &PackageName, served: bool) -> Result<PackageId, Refused> {
    let names = service.node().names();
    let decided = match endpoint.only {
        None if served => names.serve(name).await?,
        _ => names.why(name).await?,
    };
    let owner = match (endpoint.only, &decided.meaning) {
        // A block is for the name, whoever has it.
        (Some(owner), Meaning::Blocked(_)) if !is_blocked(service, name).await? => owner,
        (_, Meaning::Blocked(_)) => return Err(refused(&decided)),
        (Some(owner), _) => owner,
        (None, Meaning::Owner { owner, .. }) => *owner,
        (None, Meaning::Nobody(keys)) if keys.is_empty() && service.is_too_early().await? => {
            return Err(Refused::TooEarly);
        }
        (None, _) => return Err(refused(&decided)),
    };
    Ok(PackageId { owner, name: name.clone() })
}

async fn is_blocked(service: &Service, name: &PackageName) -> Result<bool> {
    Ok(service.node().names().blocks(name).await?.iter().any(|block| block.version.is_none()))
}

fn refused(decided: &crate::domain::names::Decided) -> Refused {
    Refused::Because(StatusCode::NOT_FOUND, decided.refusal().unwrap_or_default())
}
