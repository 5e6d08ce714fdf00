//! The swarm as an index of Python packages: `/pypi/simple/`, from which pip, uv and poetry
//! install, and `/pypi/legacy/`, to which twine, uv and poetry upload.
//!
//! The protocol: <https://packaging.python.org/en/latest/specifications/simple-repository-api/>;
//! for uploads <https://docs.pypi.org/api/upload/>.

mod form;
mod page;
mod project;
mod route;
mod upload;

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    answer::{self, sentence},
    policy::{Refused, is_installable},
    service::{Asked, Service},
};
use crate::{
    domain::query::{MAX_HITS, Query},
    ecosystem::Ecosystem,
};
use page::Form;
pub use project::{Files, ProjectPages};
use route::Route;

pub async fn answer(service: &Arc<Service>, asked: Asked, body: Body) -> Response {
    let Some(route) = route::of(&asked.method, &asked.parts) else {
        let text =
            "there is nothing here; the index is at /pypi/simple/, and uploads go to /pypi/legacy/";
        return sentence(StatusCode::NOT_FOUND, text);
    };
    match route {
        Route::List => varies(list(service, &asked, form_for(&asked)).await),
        Route::Project(name) => {
            varies(project::page(service, &asked, &name, form_for(&asked)).await)
        }
        Route::Elsewhere(path) => elsewhere(&asked, &path),
        Route::File { sha256, name } => project::file(service, &asked, &sha256, &name)
            .await
            .unwrap_or_else(Refused::plain),
        Route::Metadata { sha256, name } => project::metadata(service, &asked, &sha256, &name)
            .await
            .unwrap_or_else(Refused::plain),
        Route::Upload => upload::take(service, &asked, body)
            .await
            .unwrap_or_else(upload::refused),
    }
}

/// Returns the form that the client prefers.
fn form_for(asked: &Asked) -> Form {
    Form::liked_by(
        asked
            .headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok()),
    )
}

/// Marks a page as one that exists in several forms.
fn varies(page: Result<Response, Refused>) -> Response {
    let mut response = page.unwrap_or_else(Refused::plain);
    response
        .headers_mut()
        .insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

fn elsewhere(asked: &Asked, path: &str) -> Response {
    let place = HeaderValue::from_str(&format!("{}{path}", asked.base));
    let Ok(place) = place else {
        return sentence(StatusCode::BAD_REQUEST, "the host name is invalid");
    };
    (
        StatusCode::MOVED_PERMANENTLY,
        [
            (header::LOCATION, place),
            (header::CACHE_CONTROL, answer::CHANGES),
        ],
    )
        .into_response()
}

/// Returns the known projects that this node would install, as many as a search returns.
async fn list(service: &Service, asked: &Asked, form: Form) -> Result<Response, Refused> {
    let query = Query {
        limit: MAX_HITS,
        local: true,
        ..Query::text("eco:pypi".to_owned())
    };
    let found = service.registry().search(&query).await?;
    let mut names = Vec::new();
    for hit in &found.hits {
        let is_one = hit.package.name.ecosystem() == &Ecosystem::Pypi;
        if is_one && is_installable(service, None, hit).await? {
            names.push(hit.package.name.bare().to_owned());
        }
    }
    names.sort_unstable();
    names.dedup();
    Ok(answer::document(
        &asked.headers,
        form.media_type(),
        page::list(&names, form),
    ))
}
