//! `npm search`, restricted to packages that this node would install.

use axum::{http::StatusCode, response::Response};
use serde_json::{Value, json};

use super::read::registry;
use crate::{
    clock,
    domain::query::{MAX_HITS, Query},
    ecosystem::Ecosystem,
    gateway::{
        answer,
        policy::{Refused, is_installable},
        service::{Asked, Service},
    },
    registry::Hit,
};

/// Packages in an answer unless the client sets a number, and the largest such number, as in npm's
/// own registry.
const USUAL: usize = 20;
const MOST: usize = 250;

/// The parameters of a search.
#[derive(Debug, PartialEq, Eq)]
struct SearchParameters {
    text: String,
    size: usize,
    from: usize,
}

fn wanted(query: &str) -> SearchParameters {
    let mut wanted = SearchParameters {
        text: String::new(),
        size: USUAL,
        from: 0,
    };
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "text" => wanted.text = value.into_owned(),
            "size" => wanted.size = value.parse().unwrap_or(USUAL).clamp(1, MOST),
            "from" => wanted.from = value.parse().unwrap_or_default(),
            _ => {}
        }
    }
    wanted
}

pub(super) async fn answer(service: &Service, asked: &Asked) -> Result<Response, Refused> {
    let SearchParameters { text, size, from } = wanted(&asked.query);
    let text = format!("{text} eco:npm");
    let found = service
        .registry()
        .search(&Query {
            limit: MAX_HITS,
            ..Query::text(text)
        })
        .await?;
    let (mut objects, mut total) = (Vec::new(), 0);
    for hit in &found.hits {
        let is_one = hit.package.name.ecosystem() == &Ecosystem::Npm && !hit.yanked;
        if !is_one || !is_installable(service, None, hit).await? {
            continue;
        }
        total += 1;
        if total > from && objects.len() < size {
            objects.push(object(hit, &registry(asked)));
        }
    }
    let answer =
        json!({ "objects": objects, "total": total, "time": clock::universal(clock::now()) });
    Ok(answer::json(StatusCode::OK, &answer))
}

fn object(hit: &Hit, registry: &str) -> Value {
    let Hit {
        package,
        handle,
        version,
        summary,
        tags,
        signed_at,
        score,
        ..
    } = hit;
    let username = handle
        .as_ref()
        .map_or_else(|| package.owner.fingerprint(), ToString::to_string);
    let name = package.name.bare();
    let publisher = json!({ "username": username, "email": "" });
    json!({
        "package": {
            "name": name,
            "version": version,
            "description": summary,
            "keywords": tags,
            "date": clock::universal(*signed_at),
            "links": { "npm": format!("{registry}/{name}") },
            "publisher": publisher,
            "maintainers": [publisher],
        },
        "score": { "final": score, "detail": { "quality": score, "popularity": score, "maintenance": score } },
        "searchScore": score,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_bounded() {
        let of = |text: &str, size, from| SearchParameters {
            text: text.to_owned(),
            size,
            from,
        };
        assert_eq!(wanted(""), of("", 20, 0));
        assert_eq!(
            wanted("text=left%20pad&size=5&from=10&quality=0.65"),
            of("left pad", 5, 10)
        );
        assert_eq!(wanted("size=9999&from=x"), of("", 250, 0));
        assert_eq!(wanted("size=0"), of("", 1, 0));
    }
}
