//! The pages for people: the node, the setup of each client, a search, and a package. Plain HTML
//! without scripts.

mod html;
mod readme;

use std::{sync::Arc, time::Duration};

use axum::{
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use maud::Markup;
use tokio::time::timeout;

use super::{
    answer::{self, document, sentence},
    service::{Asked, Service},
};
use crate::{
    Result, clock,
    domain::{
        manifest::limit,
        name::PackageRef,
        query::Query,
        version::{RequirementText, VersionText},
    },
    registry::{Package, Release, Wanted, read_whole},
};

/// Packages that a search shows.
const HITS: usize = 50;
/// Longest time in which others are asked for the providers of the files.
const ASKED: Duration = Duration::from_secs(2);
/// No scripts run, nothing is loaded from elsewhere, and nothing is sent elsewhere.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors \
     'none'",
);
const STYLE: &str = include_str!("style.css");

/// Returns a page by the first part of its path; `None` if there is no such page.
pub async fn answer(service: &Arc<Service>, asked: &Asked, first: &str) -> Option<Response> {
    let is_page = matches!(
        (first, asked.parts.as_slice()),
        ("" | "search" | "style.css", []) | ("package", [_, _])
    );
    if !is_page {
        return None;
    }
    if !matches!(asked.method, Method::GET | Method::HEAD) {
        return Some(sentence(
            StatusCode::METHOD_NOT_ALLOWED,
            "this page can only be read",
        ));
    }
    if let Some(nonce) = parameter(asked, "nonce").filter(|_| first.is_empty()) {
        return Some(proof(service, &nonce));
    }
    if first == "style.css" {
        return Some(document(
            &asked.headers,
            "text/css; charset=utf-8",
            STYLE.to_owned(),
        ));
    }
    let page = match (first, asked.parts.as_slice()) {
        ("search", _) => searched(service, asked).await,
        ("package", [owner, name]) => package(service, asked, owner, name).await,
        _ => home(service, asked).await,
    };
    Some(match page {
        Ok(page) => of(asked, page),
        Err(error) => {
            let status = answer::status_of(&error);
            super::request_log::refusal(status, &error.to_string());
            let mut response = of(asked, html::refused(&asked.base, &error.to_string()));
            *response.status_mut() = status;
            response
        }
    })
}

fn of(asked: &Asked, page: Markup) -> Response {
    let mut response = document(
        &asked.headers,
        "text/html; charset=utf-8",
        page.into_string(),
    );
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    fields.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    fields.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    response
}

/// Returns the node's proof that it is the one that answers here.
fn proof(service: &Service, nonce: &str) -> Response {
    match service.prover.prove(nonce) {
        Some(proof) => answer::json(StatusCode::OK, &proof).into_response(),
        None => sentence(
            StatusCode::BAD_REQUEST,
            "a nonce has 16 to 128 letters, digits, - and _",
        ),
    }
}

fn parameter(asked: &Asked, name: &str) -> Option<String> {
    let mut all = url::form_urlencoded::parse(asked.query.as_bytes());
    all.find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

async fn home(service: &Service, asked: &Asked) -> Result<Markup> {
    let status = service.node().status().await?;
    Ok(html::home(&asked.base, &status))
}

async fn searched(service: &Service, asked: &Asked) -> Result<Markup> {
    let words = parameter(asked, "q").unwrap_or_default();
    let found = service
        .registry()
        .search(&Query {
            limit: HITS,
            ..Query::text(words.clone())
        })
        .await?;
    Ok(html::found(&asked.base, &words, &found))
}

/// Returns the page of a package and one of its releases.
async fn package(service: &Service, asked: &Asked, owner: &str, name: &str) -> Result<Markup> {
    let reference: PackageRef = format!("{owner}/{name}").parse()?;
    let package = service.registry().get_package(&reference).await?;
    let version = match parameter(asked, "version") {
        Some(version) => Some(version.parse::<VersionText>()?),
        None => package.latest.as_ref().map(|latest| latest.version.clone()),
    };
    let release = match &version {
        None => None,
        Some(version) => {
            let exactly = RequirementText::exactly(package.id.name.ecosystem(), version);
            Some(
                service
                    .registry()
                    .get_package_version(&PackageRef::of(&package.id), &exactly)
                    .await?,
            )
        }
    };
    let decided = service.node().names().why(&package.id.name).await?;
    let holders = match &release {
        Some(release) => holders(service, release).await,
        None => None,
    };
    let readme = match &release {
        Some(release) => readme_of(service, release).await,
        None => None,
    };
    let shown = PackagePage {
        package,
        release,
        holders,
        readme,
        is_meant: decided.owner(),
    };
    Ok(html::package(&asked.base, &shown, clock::now()))
}

/// The values on the page of a package.
struct PackagePage {
    package: Package,
    release: Option<Release>,
    /// Number of nodes with the files, if known.
    holders: Option<usize>,
    readme: Option<String>,
    /// The key that the bare name belongs to on this node.
    is_meant: Option<crate::domain::name::PublisherId>,
}

async fn holders(service: &Service, release: &Release) -> Option<usize> {
    let root = release.manifest.content().root;
    let asked = timeout(ASKED, service.contents().holders(root)).await;
    asked.ok()?.ok().map(|holders| holders.len())
}

async fn readme_of(service: &Service, release: &Release) -> Option<String> {
    let wanted = Wanted::beside(release)
        .into_iter()
        .find(|beside| Some(beside.content) == release.manifest.readme)?;
    let (contents, root) = (service.contents(), wanted.content.root);
    timeout(service.options.wait, contents.fetch(wanted, None))
        .await
        .ok()?
        .ok()?;
    let bytes = read_whole(&*contents, root, limit::BESIDE).await.ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
