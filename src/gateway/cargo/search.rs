//! `cargo search`, restricted to crates that this node would install.

use axum::{http::StatusCode, response::Response};
use serde_json::json;

use super::Endpoint;
use crate::{
    domain::query::{MAX_HITS, Query},
    ecosystem::Ecosystem,
    gateway::{
        answer,
        policy::{Refused, is_installable},
        service::Service,
    },
    registry::Hit,
};

/// Crates in an answer unless the client sets a number, and the largest such number, as in cargo's
/// own registry.
const USUAL: usize = 10;
const MOST: usize = 100;
/// Hits examined for them.
const LOOKED_AT: usize = MAX_HITS;

pub(super) async fn answer(
    service: &Service,
    endpoint: &Endpoint,
    query: &str,
) -> Result<Response, Refused> {
    let mut words = String::new();
    let mut most = USUAL;
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "q" => words = value.into_owned(),
            "per_page" => most = value.parse().unwrap_or(USUAL).clamp(1, MOST),
            _ => {}
        }
    }
    let text = format!("{words} eco:cargo");
    let found = service
        .registry()
        .search(&Query {
            limit: LOOKED_AT,
            ..Query::text(text)
        })
        .await?;
    let mut crates = Vec::new();
    let mut total = 0;
    for hit in &found.hits {
        let is_one = hit.package.name.ecosystem() == &Ecosystem::Cargo && !hit.yanked;
        if !is_one || !is_installable(service, endpoint.only, hit).await? {
            continue;
        }
        total += 1;
        if crates.len() < most {
            let Hit {
                package,
                version,
                summary,
                ..
            } = hit;
            crates.push(json!({ "name": package.name.bare(), "max_version": version, "description": summary }));
        }
    }
    Ok(answer::json(
        StatusCode::OK,
        &json!({ "crates": crates, "meta": { "total": total } }),
    ))
}
