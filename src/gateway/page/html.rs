//! The HTML of the pages. Pure: takes values, returns HTML, and escapes everything.

use maud::{DOCTYPE, Markup, html};

use super::{PackagePage, readme};
use crate::{
    control::Status,
    domain::{
        name::PackageId,
        release,
        size::Size,
        text::printable,
        time::{Ago, Timestamp},
        trust::Trust,
    },
    ecosystem::Ecosystem,
    registry::{Hit, Package, Release, ReleaseState, SearchResults},
};

/// Returns the frame of every page.
fn page(title: &str, words: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " - Swarmdex" }
                link rel="stylesheet" href="/style.css";
            }
            body {
                header { a href="/" { "Swarmdex" } }
                form action="/search" method="get" role="search" {
                    label for="q" { "Search packages " }
                    input type="search" id="q" name="q" value=(words) maxlength="200";
                    " "
                    button type="submit" { "Search" }
                }
                main { (body) }
            }
        }
    }
}

/// Formats a number of things.
fn count(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Returns the path of an owner's package.
fn path(id: &PackageId, version: Option<&str>) -> String {
    let coded =
        |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let version = version.map_or_else(String::new, |version| {
        format!("?version={}", coded(version))
    });
    // In a path, a plus must not become a space.
    let name = coded(id.name.as_str()).replace('+', "%20");
    format!("/package/{}/{name}{version}", id.owner)
}

/// Returns the page of an error.
pub fn refused(base: &str, why: &str) -> Markup {
    let body = html! {
        h1 { "Not found" }
        p { (printable(why)) }
        p { "This is the gateway at " code { (base) } "." }
    };
    page("Not found", "", &body)
}

/// Returns the first page: the node, and the setup of each client.
pub fn home(base: &str, status: &Status) -> Markup {
    let node = &status.node;
    let authority = base.split_once("://").map_or(base, |(_, rest)| rest);
    let body = html! {
        h1 { "Packages of the network " (node.network) }
        p {
            "This node knows " (count(node.packages, "package")) " and is connected to " (count(node.connected as u64, "peer")) ". This is the gateway of the node "
            code { (node.peer_id) } " (Swarmdex " (status.version) ")."
        }
        h2 { "How package managers use it" }
        p {
            code { "swarmdex setup cargo" } ", " code { "pip" } ", " code { "uv" } ", " code { "npm" } ", " code { "pnpm" } ", "
            code { "yarn" } " or " code { "bun" } " prints these lines with the token for publishing, and with " code { "--write" }
            " writes them. A bare name is the package of a publisher that this node trusts: "
            code { "swarmdex trust KEY --for 'cargo:*'" } " says so, and " code { "swarmdex why cargo:NAME" }
            " says why a name is found, or is not."
        }
        h3 { "cargo" }
        pre { "# .cargo/config.toml\n[registries.swarm]\nindex = \"sparse+" (base) "/cargo/\"" }
        p { "To build a project whose lock file has crates of the default registry, from what publishers here attest of it:" }
        pre {
            "CARGO_HOME=$(mktemp -d) cargo build --locked \\\n  --config \
             'source.crates-io.replace-with=\"swarm\"' \\\n  "
            "--config 'registries.swarm.index=\"sparse+" (base) "/cargo-mirror/\"'"
        }
        h3 { "pip and uv" }
        pre { "pip install --index-url " (base) "/pypi/simple/ NAME\nuv pip install --index-url " (base) "/pypi/simple/ NAME" }
        h3 { "npm, pnpm, yarn and bun" }
        pre { "# .npmrc\n@scope:registry=" (base) "/npm/\n//" (authority) "/npm/:_authToken=TOKEN" }
    };
    page(&format!("network {}", node.network), "", &body)
}

/// Returns the page of search results.
pub fn found(base: &str, words: &str, found: &SearchResults) -> Markup {
    let body = html! {
        h1 { (count(found.total, "package")) }
        @if let Some(instead) = &found.instead { p { "Searched for " b { (printable(instead)) } " instead." } }
        @if found.hits.is_empty() { p { "Nothing was found by " code { (base) } "; fewer words find more." } }
        @for hit in &found.hits { (row(hit)) }
    };
    page("Search", words, &body)
}

fn row(hit: &Hit) -> Markup {
    html! {
        p {
            a href=(path(&hit.package, None)) { b { (printable(&hit.title())) } } " " (hit.version)
            @if hit.yanked { " (yanked)" }
            @if hit.deprecated { " (deprecated)" }
            @if let Some(other) = &hit.looks_like { " (it looks like " (printable(&other.to_string())) ")" }
            br;
            (printable(&hit.summary))
        }
    }
}

/// Returns the page of a package and one of its releases.
pub fn package(base: &str, shown: &PackagePage, now: Timestamp) -> Markup {
    let PackagePage {
        package,
        release,
        holders,
        readme,
        ..
    } = shown;
    let title = printable(&package.title());
    let body = html! {
        h1 { (title) @if let Some(release) = release { " " (release.manifest.version) } }
        (owner(shown))
        @if let Some(release) = release { (of_release(release, *holders, now)) }
        @else { p .warning { "There is no release to choose: all are yanked, or none could be had." } }
        (install(base, shown))
        (versions(package))
        @if let Some(text) = readme {
            h2 { "Readme" }
            article { (readme::rendered(text)) }
        }
    };
    page(&title, "", &body)
}

fn owner(shown: &PackagePage) -> Markup {
    let package = &shown.package;
    let trust = match package.trust {
        Trust::Own => "this node's own key",
        Trust::Pinned => "pinned here: the handle means this key",
        Trust::Unknown => "known by its signatures only; anybody may claim a handle",
        Trust::Distrusted => "distrusted here",
    };
    let meant = match shown.is_meant {
        Some(owner) if owner == package.id.owner => {
            "package managers get this one by its bare name here"
        }
        Some(_) => "package managers get another publisher's package by this name here",
        None => "package managers get nothing by this name here, until somebody says whose it is",
    };
    html! {
        table {
            tr { th { "publisher" } td {
                @if let Some(handle) = &package.handle { (handle.as_str()) " " }
                code { (package.id.owner) } " (" (package.id.owner.fingerprint()) ")"
            } }
            tr { th { "trust" } td { (trust) } }
            tr { th { "bare name" } td { (meant) } }
        }
    }
}

fn of_release(release: &Release, holders: Option<usize>, now: Timestamp) -> Markup {
    let manifest = &release.manifest;
    let said = [
        ("description", manifest.description.clone()),
        ("license", manifest.license.clone().unwrap_or_default()),
        ("authors", manifest.authors.join(", ")),
        ("tags", manifest.tags.join(", ")),
    ];
    let links = [
        ("homepage", &manifest.homepage),
        ("repository", &manifest.repository),
    ];
    html! {
        @for warning in release.state.warnings() { p .warning { (warning) } }
        table {
            @for (label, text) in said.iter().filter(|(_, text)| !text.is_empty()) {
                tr { th { (label) } td { (printable(text)) } }
            }
            @for (label, link) in links {
                @if let Some(link) = link { tr { th { (label) } td { (linked(link)) } } }
            }
            tr { th { "signed" } td { (Ago(now.since(manifest.signed_at))) " ago" } }
            tr { th { "state" } td { (release.freshness.describe(now)) } }
            tr { th { "bytes on" } td {
                @match holders {
                    None => { "not known: nobody answered in time" }
                    Some(nodes) => { (count(nodes as u64, "node")) }
                }
            } }
        }
        h2 { "Files" }
        table {
            @for one in &release.files {
                tr {
                    td {
                        (printable(&one.file.name)) br;
                        span .digest { "SHA-256 " (one.file.sha256) }
                        @if let Some(why) = &one.yanked { br; "yanked " (printable(why)) }
                    }
                    td { (Size(one.file.size)) }
                    td { "signed " (Ago(now.since(one.signed_at))) " ago" }
                }
            }
        }
        @if release.missing > 0 { p .warning { (release.missing) " manifests could not be had: files may be missing." } }
    }
}

/// Returns a signed link as HTML, if it is a web address.
fn linked(link: &str) -> Markup {
    let is_web = url::Url::parse(link).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    html! {
        @if is_web { a href=(link) rel="noopener noreferrer nofollow" { (printable(link)) } } @else { (printable(link)) }
    }
}

fn install(base: &str, shown: &PackagePage) -> Markup {
    let id = &shown.package.id;
    let command = match id.name.ecosystem() {
        Ecosystem::Cargo => format!("cargo add {} --registry swarm", id.name.bare()),
        Ecosystem::Pypi => format!(
            "pip install --index-url {base}/pypi/simple/ {}",
            id.name.bare()
        ),
        Ecosystem::Npm => format!("npm install --registry {base}/npm/ {}", id.name.bare()),
        _ => format!("swarmdex get {id}"),
    };
    html! { h2 { "Get it" } pre { (command) } }
}

fn versions(package: &Package) -> Markup {
    let mut releases = release::read(package.id.name.ecosystem(), &package.releases);
    releases.sort_by(|(a, _), (b, _)| b.cmp(a));
    html! {
        h2 { "Versions (" (releases.len()) ")" }
        ul {
            @for (_, entry) in releases {
                @let state = ReleaseState::of(entry);
                li {
                    a href=(path(&package.id, Some(entry.version.as_str()))) { (entry.version) }
                    @if state.yanked { " yanked" }
                    @if state.deprecated.is_some() { " deprecated" }
                    @for tag in package.tags_of(&entry.version) { " " i { (printable(&tag)) } }
                }
            }
        }
        @if !package.complete { p { "Older ones could not be had." } }
    }
}
