//! Both sides of the control socket's requests about bare names and their publishers.

use std::sync::Arc;

use async_trait::async_trait;
use axum::{
    Router,
    extract::State,
    response::Response,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};

use super::{
    Remote, Replay,
    answer::{Given, Node, Shared, answer, with},
    wire::Done,
};
use crate::{
    RegistryError, Result,
    domain::{
        name::{PackageName, PublisherId},
        names::{NameBlock, NameDecision, NamePattern},
        version::VersionText,
    },
    registry::{NameTable, Names},
};

#[derive(Debug, Serialize, Deserialize)]
struct OfName {
    name: PackageName,
}

#[derive(Debug, Serialize, Deserialize)]
struct OfPattern {
    pattern: NamePattern,
    #[serde(default)]
    owner: Option<PublisherId>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Trusting {
    publisher: PublisherId,
    names: Vec<NamePattern>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Blocking {
    name: PackageName,
    #[serde(default)]
    version: Option<VersionText>,
    #[serde(default)]
    file: Option<String>,
    #[serde(default)]
    why: String,
}

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route(
            "/names",
            get(async |State(it): Node| answer(it.names().table().await)),
        )
        .route("/names/why", post(why))
        .route("/names/known", post(known))
        .route("/names/serve", post(serve))
        .route("/names/blocks", post(blocks))
        .route("/names/set", post(set))
        .route("/names/unset", post(unset))
        .route("/names/trust", post(trust))
        .route("/names/block", post(block))
        .route("/names/unblock", post(unblock))
}

async fn why(State(it): Node, given: Given<OfName>) -> Response {
    with(given, async |asked| it.names().why(&asked.name).await).await
}

async fn known(State(it): Node, given: Given<OfName>) -> Response {
    with(given, async |asked| it.names().known(&asked.name).await).await
}

async fn serve(State(it): Node, given: Given<OfName>) -> Response {
    with(given, async |asked| it.names().serve(&asked.name).await).await
}

async fn blocks(State(it): Node, given: Given<OfName>) -> Response {
    with(given, async |asked| it.names().blocks(&asked.name).await).await
}

async fn set(State(it): Node, given: Given<OfPattern>) -> Response {
    with(given, async |OfPattern { pattern, owner }| {
        let owner =
            owner.ok_or_else(|| RegistryError::Usage("say whose the name is to be".to_owned()))?;
        it.names().set_name(pattern, owner).await
    })
    .await
}

async fn unset(State(it): Node, given: Given<OfPattern>) -> Response {
    with(given, async |asked| {
        it.names()
            .unset_name(asked.pattern)
            .await
            .map(|done| Done { done })
    })
    .await
}

async fn trust(State(it): Node, given: Given<Trusting>) -> Response {
    with(given, async |asked| {
        it.names()
            .trust_for_names(asked.publisher, asked.names)
            .await
    })
    .await
}

async fn block(State(it): Node, given: Given<Blocking>) -> Response {
    with(
        given,
        async |Blocking {
                   name,
                   version,
                   file,
                   why,
               }| it.names().block(name, version, file, why).await,
    )
    .await
}

async fn unblock(State(it): Node, given: Given<Blocking>) -> Response {
    with(given, async |asked| {
        it.names()
            .unblock(asked.name, asked.version)
            .await
            .map(|done| Done { done })
    })
    .await
}

#[async_trait]
impl Names for Remote {
    async fn why(&self, name: &PackageName) -> Result<NameDecision> {
        self.post("/v1/names/why", &OfName { name: name.clone() })
            .await
    }

    async fn known(&self, name: &PackageName) -> Result<NameDecision> {
        self.post("/v1/names/known", &OfName { name: name.clone() })
            .await
    }

    async fn serve(&self, name: &PackageName) -> Result<NameDecision> {
        self.change(
            "serving a name",
            "/v1/names/serve",
            &OfName { name: name.clone() },
        )
        .await
    }

    async fn table(&self) -> Result<NameTable> {
        self.get("/v1/names").await
    }

    async fn set_name(&self, pattern: NamePattern, owner: PublisherId) -> Result<()> {
        self.change(
            "setting a name",
            "/v1/names/set",
            &OfPattern {
                pattern,
                owner: Some(owner),
            },
        )
        .await
    }

    async fn unset_name(&self, pattern: NamePattern) -> Result<bool> {
        let asked = OfPattern {
            pattern,
            owner: None,
        };
        self.change("unsetting a name", "/v1/names/unset", &asked)
            .await
            .map(|Done { done }| done)
    }

    async fn trust_for_names(&self, publisher: PublisherId, names: Vec<NamePattern>) -> Result<()> {
        self.change(
            "trusting",
            "/v1/names/trust",
            &Trusting { publisher, names },
        )
        .await
    }

    async fn block(
        &self,
        name: PackageName,
        version: Option<VersionText>,
        file: Option<String>,
        why: String,
    ) -> Result<()> {
        self.change(
            "blocking",
            "/v1/names/block",
            &Blocking {
                name,
                version,
                file,
                why,
            },
        )
        .await
    }

    async fn unblock(&self, name: PackageName, version: Option<VersionText>) -> Result<bool> {
        let asked = Blocking {
            name,
            version,
            file: None,
            why: String::new(),
        };
        self.change("unblocking", "/v1/names/unblock", &asked)
            .await
            .map(|Done { done }| done)
    }

    async fn blocks(&self, name: &PackageName) -> Result<Vec<NameBlock>> {
        self.post("/v1/names/blocks", &OfName { name: name.clone() })
            .await
    }
}

fn only_watched<T>() -> Result<T> {
    Err(RegistryError::Recorded {
        what: "asking whose a name is",
    })
}

#[async_trait]
impl Names for Replay {
    async fn why(&self, _: &PackageName) -> Result<NameDecision> {
        only_watched()
    }

    async fn known(&self, _: &PackageName) -> Result<NameDecision> {
        only_watched()
    }

    async fn serve(&self, _: &PackageName) -> Result<NameDecision> {
        only_watched()
    }

    async fn table(&self) -> Result<NameTable> {
        Ok(NameTable::default())
    }

    async fn set_name(&self, _: NamePattern, _: PublisherId) -> Result<()> {
        only_watched()
    }

    async fn unset_name(&self, _: NamePattern) -> Result<bool> {
        only_watched()
    }

    async fn trust_for_names(&self, _: PublisherId, _: Vec<NamePattern>) -> Result<()> {
        only_watched()
    }

    async fn block(
        &self,
        _: PackageName,
        _: Option<VersionText>,
        _: Option<String>,
        _: String,
    ) -> Result<()> {
        only_watched()
    }

    async fn unblock(&self, _: PackageName, _: Option<VersionText>) -> Result<bool> {
        only_watched()
    }

    async fn blocks(&self, _: &PackageName) -> Result<Vec<NameBlock>> {
        Ok(Vec::new())
    }
}
