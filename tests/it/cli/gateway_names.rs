//! A name has one owner on a node, whatever the route. Every route of cargo, Python's tools and npm
//! is tested with ten spellings of a name that two publishers have: before the user decides,
//! afterwards, and when the name or a version of it is blocked.

use std::collections::BTreeSet;

use serde_json::json;

use crate::cli::{
    distributions::{BOUNDARY, form, krate, sha256, wheel_of},
    gateway::{Site, field, two},
    gateway_npm::{publication, tarball},
    gateway_uploads::upload,
};

/// A kind of client, with the name that two publishers have.
struct Family {
    ecosystem: &'static str,
    name: &'static str,
    spellings: [&'static str; 10],
    /// Paths of other packages, which differ by a letter.
    others: &'static [&'static str],
    /// Source of its router, to check that the rows cover all routes.
    router: &'static str,
    /// Routes that have no package.
    nameless: &'static [&'static str],
    /// Creates the file that a publisher has under the name.
    file: fn(who: &str) -> Vec<u8>,
    /// Returns the request that publishes it under a spelling.
    publishes: fn(spelling: &str, file: &[u8]) -> Row,
    rows: fn(spelling: &str, claims: &[Claim; 2]) -> Vec<Row>,
    /// A text in the answer to a search without results.
    nothing: &'static str,
}

/// A publisher of the name, and its package.
struct Claim {
    key: String,
    file: Vec<u8>,
    /// Texts that only occur in answers about this package.
    marks: [String; 3],
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Column {
    Index,
    Sidecar,
    Download,
    Search,
    Audit,
    /// The registry of one publisher, whose address names the publisher.
    Own,
    Change,
    Publish,
}

use Column::{Audit, Change, Download, Index, Own, Publish, Search, Sidecar};

/// A request about the name.
struct Row {
    /// The route that it takes.
    route: &'static str,
    column: Column,
    method: &'static str,
    path: String,
    fields: String,
    body: Vec<u8>,
    /// The refusal can be shown to the user: the route knows the spelling.
    says: bool,
}

impl Row {
    fn get(route: &'static str, column: Column, path: String) -> Self {
        Self {
            route,
            column,
            method: "GET",
            path,
            fields: String::new(),
            body: Vec::new(),
            says: true,
        }
    }

    fn with(self, fields: &str) -> Self {
        Self {
            fields: fields.to_owned(),
            ..self
        }
    }

    fn says(self, says: bool) -> Self {
        Self { says, ..self }
    }

    fn change(
        route: &'static str,
        method: &'static str,
        path: String,
        body: impl Into<Vec<u8>>,
    ) -> Self {
        Self {
            method,
            body: body.into(),
            ..Self::get(route, Change, path)
        }
    }
}

/// The answer to a row.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Site {
    fn answers(&self, row: &Row) -> Answer {
        let Row {
            method,
            path,
            fields,
            body,
            ..
        } = row;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer \
             {}\r\n{fields}\
             Content-Length: {}\r\n\r\n",
            self.host(),
            self.token(),
            body.len()
        );
        let (status, head, body) = self.sends(&[head.as_bytes(), body].concat());
        Answer { status, head, body }
    }
}

/// Returns a path with its percent-escapes decoded.
fn decoded(path: &str) -> String {
    let mut parts = path.split('%');
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        text.push(char::from(u8::from_str_radix(&part[..2], 16).unwrap()));
        text.push_str(&part[2..]);
    }
    text
}

fn cargo() -> Family {
    Family {
        ecosystem: "cargo",
        name: "clash-it",
        spellings: [
            "clash-it",
            "clash_it",
            "Clash-It",
            "CLASH_IT",
            "cLASH_iT",
            "%63lash-it",
            "clash%2Dit",
            "clash%2dIT",
            "Clash%5Fit",
            "%43LASH%5fIT",
        ],
        others: &[
            "/cargo/cl/as/clashit",
            "/cargo/api/v1/crates/clashit/1.0.0/download",
        ],
        router: include_str!("../../../src/gateway/cargo/route.rs"),
        nameless: &["Config"],
        file: |who| {
            krate(
                "clash-it",
                "1.0.0",
                &format!("description = \"A clash by {who}\"\n"),
            )
        },
        publishes: |spelling, file| {
            let words =
                json!({ "name": decoded(spelling), "vers": "1.0.0", "deps": [] }).to_string();
            let path = "/cargo/api/v1/crates/new".to_owned();
            Row {
                column: Publish,
                ..Row::change("Publish", "PUT", path, upload(&words, file))
            }
        },
        rows: |spelling, claims| {
            let api = |below: &str| format!("/cargo/api/v1/crates/{spelling}/{below}");
            // cargo requests index files in lower case only.
            let is_asked = !decoded(spelling)
                .bytes()
                .any(|byte| byte.is_ascii_uppercase());
            let mut rows = vec![
                Row::get("Index", Index, format!("/cargo/cl/as/{spelling}")).says(is_asked),
                Row::get("Index", Index, format!("/cargo-mirror/cl/as/{spelling}")).says(is_asked),
                Row::get("Owners", Sidecar, api("owners")),
                Row::get("Download", Download, api("1.0.0/download")),
                Row {
                    method: "HEAD",
                    ..Row::get("Download", Download, api("1.0.0/download")).says(false)
                },
                Row::get(
                    "Download",
                    Download,
                    format!("/cargo-mirror/api/v1/crates/{spelling}/1.0.0/download"),
                ),
                Row::get(
                    "Search",
                    Search,
                    format!("/cargo/api/v1/crates?q={spelling}&per_page=100"),
                ),
                Row::change("Yank", "DELETE", api("1.0.0/yank"), ""),
                Row::change("Yank", "PUT", api("1.0.0/unyank"), ""),
                Row::change("ChangeOwners", "PUT", api("owners"), "{\"users\":[\"x\"]}"),
                Row::change(
                    "ChangeOwners",
                    "DELETE",
                    api("owners"),
                    "{\"users\":[\"x\"]}",
                ),
            ];
            for Claim { key, .. } in claims {
                rows.push(Row::get(
                    "Index",
                    Own,
                    format!("/cargo/~{key}/cl/as/{spelling}"),
                ));
                rows.push(Row::get(
                    "Download",
                    Own,
                    format!("/cargo/~{key}/api/v1/crates/{spelling}/1.0.0/download"),
                ));
            }
            rows
        },
        nothing: "\"total\":0",
    }
}

fn pypi() -> Family {
    Family {
        ecosystem: "pypi",
        name: "clash-it",
        spellings: [
            "clash-it",
            "clash_it",
            "Clash.It",
            "CLASH-IT",
            "clash--it",
            "clash-_.it",
            "%63lash_it",
            "clash%2Dit",
            "clash%5FIT",
            "Clash%2e%2Eit",
        ],
        others: &["/pypi/simple/clashit/"],
        router: include_str!("../../../src/gateway/pypi/route.rs"),
        nameless: &[],
        file: |who| {
            wheel_of(
                "Clash.It",
                "Clash.It",
                "1.0",
                &format!("Home-page: https://by-{who}.example\n"),
            )
            .1
        },
        publishes: |spelling, file| {
            let name = decoded(spelling);
            let fields = [
                (":action", "file_upload"),
                ("name", &*name),
                ("version", "1.0"),
            ];
            let body = form(&fields, "clash_it-1.0-py3-none-any.whl", file);
            let fields = format!("Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n");
            Row {
                column: Publish,
                ..Row::change("Upload", "POST", "/pypi/legacy/".to_owned(), body).with(&fields)
            }
        },
        rows: |spelling, claims| {
            let mut rows: Vec<Row> = ["text/html", "application/vnd.pypi.simple.v1+json"]
                .map(|kind| {
                    let page = Row::get("Project", Index, format!("/pypi/simple/{spelling}/"));
                    page.with(&format!("Accept: {kind}\r\n"))
                        .says(spelling == "clash-it")
                })
                .into();
            rows.push(Row::get("Elsewhere", Index, format!("/pypi/simple/{spelling}")).says(false));
            for Claim { file, .. } in claims {
                let path = format!(
                    "/pypi/files/{}/{spelling}-1.0-py3-none-any.whl",
                    sha256(file)
                );
                // A file is requested by its exact name.
                let says = decoded(spelling) == "clash_it";
                rows.push(Row::get("Metadata", Sidecar, format!("{path}.metadata")).says(says));
                rows.push(Row {
                    method: "HEAD",
                    ..Row::get("File", Download, path.clone()).says(false)
                });
                rows.push(Row::get("File", Download, path).says(says));
            }
            rows.push(
                Row::get("List", Search, "/pypi/simple/".to_owned())
                    .with("Accept: application/vnd.pypi.simple.v1+json\r\n"),
            );
            rows
        },
        nothing: "\"projects\":[]",
    }
}

fn npm() -> Family {
    Family {
        ecosystem: "npm",
        name: "@team/clash",
        spellings: [
            "@team/clash",
            "@team%2fclash",
            "@team%2Fclash",
            "%40team/clash",
            "%40team%2fclash",
            "%40team%2Fclash",
            "@%74eam/cl%61sh",
            "@te%61m%2fclash",
            "@team%2f%63lash",
            "%40%74eam%2F%63lash",
        ],
        others: &[
            "/npm/@Team/clash",
            "/npm/@team%2fClash",
            "/npm/@team/Clash/-/Clash-1.0.0.tgz",
            "/npm/clash",
        ],
        router: include_str!("../../../src/gateway/npm/route.rs"),
        nameless: &["Ping", "Whoami", "Account"],
        file: |who| {
            tarball(
                &json!({ "name": "@team/clash", "version": "1.0.0", "description": format!("A clash by {who}") }),
            )
        },
        publishes: |spelling, file| {
            let body = publication("@team/clash", "1.0.0", file).to_string();
            Row {
                column: Publish,
                ..Row::change("Put", "PUT", format!("/npm/{spelling}"), body)
            }
        },
        rows: |spelling, _| {
            let below = |rest: &str| format!("/npm/{spelling}{rest}");
            let tag = format!("/npm/-/package/{spelling}/dist-tags");
            let said =
                json!({ "name": "@team/clash", "versions": { "1.0.0": { "deprecated": "mine now" } } }).to_string();
            let asked = format!("{{\"{}\":[\"1.0.0\"]}}", decoded(spelling));
            let audit = |path: &str| Row {
                column: Audit,
                ..Row::change(
                    if path.ends_with("bulk") {
                        "Advisories"
                    } else {
                        "Audit"
                    },
                    "POST",
                    format!("/npm/-/npm/v1/security/{path}"),
                    asked.clone(),
                )
            };
            vec![
                Row::get("Document", Index, below("")),
                Row::get("Document", Index, below(""))
                    .with("Accept: application/vnd.npm.install-v1+json\r\n"),
                Row::get("Document", Index, below("")).with("If-None-Match: *\r\n"),
                Row::get("Version", Index, below("/latest")),
                Row::get("Version", Index, below("/1.0.0")),
                Row::get("Tags", Sidecar, tag.clone()),
                Row::get("Tarball", Download, below("/-/clash-1.0.0.tgz")),
                Row {
                    method: "HEAD",
                    ..Row::get("Tarball", Download, below("/-/clash-1.0.0.tgz")).says(false)
                },
                Row::get("Tarball", Download, below("/-/clash-1.0.0.tgz"))
                    .with("Range: bytes=0-9\r\n"),
                Row::get("Search", Search, "/npm/-/v1/search?text=clash".to_owned()),
                audit("advisories/bulk"),
                audit("audits/quick"),
                Row::change("Put", "PUT", below(""), said.clone()),
                Row::change("Put", "PUT", below("/-rev/1-1"), said),
                Row::change("Unpublish", "DELETE", below("/-rev/1-1"), ""),
                Row::change(
                    "UnpublishFile",
                    "DELETE",
                    below("/-/clash-1.0.0.tgz/-rev/1-1"),
                    "",
                ),
                Row::change("SetTag", "PUT", format!("{tag}/next"), "\"1.0.0\""),
                Row::change("RemoveTag", "DELETE", format!("{tag}/next"), ""),
            ]
        },
        nothing: "\"total\":0",
    }
}

/// Returns the variants of a router's routes, from its source.
fn variants(router: &str) -> BTreeSet<&str> {
    let routes = router
        .split("pub enum Route {\n")
        .nth(1)
        .unwrap()
        .split("\n}")
        .next()
        .unwrap();
    let own = |line: &&str| {
        line.starts_with("    ") && line[4..].starts_with(|first: char| first.is_ascii_uppercase())
    };
    routes
        .lines()
        .filter(own)
        .map(|line| {
            line[4..]
                .split(|c: char| !c.is_alphanumeric())
                .next()
                .unwrap()
        })
        .collect()
}

/// A state of the node, and what must hold for all answers in it.
enum Phase<'a> {
    /// Nothing is served, and every refusal has these texts.
    Refused { parts: &'a [&'a str], own: bool },
    /// The user chose the first claim.
    First,
}

/// Sends every row in every spelling, and checks the answers.
fn holds(site: &Site, family: &Family, claims: &[Claim; 2], phase: &Phase<'_>) {
    let mut routes: BTreeSet<&str> = family.nameless.iter().copied().collect();
    for spelling in family.spellings {
        let mut rows = (family.rows)(spelling, claims);
        rows.push((family.publishes)(spelling, &(family.file)("carol")));
        for row in rows {
            routes.insert(row.route);
            if row.column == Publish && matches!(phase, Phase::Refused { own: true, .. }) {
                // Anyone may publish a name that nobody has here; that bypasses nothing.
                continue;
            }
            let answer = site.answers(&row);
            let what = format!(
                "{} {}: {} {}",
                row.method,
                row.path,
                answer.status,
                answer.text()
            );
            match phase {
                Phase::Refused { parts, own } => {
                    is_refused(&row, &answer, (family, parts, *own), claims, &what)
                }
                Phase::First => is_of_the_first(&row, &answer, family, claims, &what),
            }
        }
    }
    for path in family.others {
        let answer = site.answers(&Row::get("", Index, (*path).to_owned()));
        assert_eq!(answer.status, 404, "another name: {path}");
    }
    assert_eq!(
        routes,
        variants(family.router),
        "a route of {} that is not in the rows, or the other way",
        family.ecosystem
    );
}

fn is_refused(
    row: &Row,
    answer: &Answer,
    (family, parts, own): (&Family, &[&str], bool),
    claims: &[Claim; 2],
    what: &str,
) {
    let (status, text) = (answer.status, answer.text());
    let gives = |claim: &Claim| {
        claim.marks.iter().any(|mark| text.contains(mark)) || answer.body == claim.file
    };
    match row.column {
        // Its address names the publisher, so that only a block applies.
        Own if own => assert!(
            status == 404 || claims.iter().filter(|claim| gives(claim)).count() == 1,
            "{what}"
        ),
        Search => assert!(status == 200 && text.contains(family.nothing), "{what}"),
        Audit => assert!(status == 200 && !text.contains(family.name), "{what}"),
        Change | Publish => assert!((400..500).contains(&status), "{what}"),
        Index if status == 301 => {
            let there = format!("/pypi/simple/{}/", family.name);
            assert!(
                field(&answer.head, "location").unwrap().ends_with(&there),
                "{what}"
            );
        }
        Index | Sidecar | Download | Own => assert_eq!(status, 404, "{what}"),
    }
    if matches!(row.column, Index | Sidecar | Download) {
        assert!(!claims.iter().any(gives), "{what}");
        assert!(
            !row.says || parts.iter().all(|part| text.contains(part)),
            "{what}"
        );
    }
}

fn is_of_the_first(
    row: &Row,
    answer: &Answer,
    family: &Family,
    [mine, theirs]: &[Claim; 2],
    what: &str,
) {
    let (status, text) = (answer.status, answer.text());
    let of = |claim: &Claim| {
        claim.marks.iter().any(|mark| text.contains(mark)) || answer.body == claim.file
    };
    let is_other = row.path.contains(&sha256(&theirs.file)) || row.path.contains("/cargo-mirror/");
    match row.column {
        Own => assert!(status == 404 || of(mine) != of(theirs), "{what}"),
        Change | Publish => assert_eq!(status, 403, "{what}"),
        _ if is_other => assert!(status == 404 && !of(mine), "{what}"),
        _ => assert!(matches!(status, 200 | 206 | 301 | 304 | 404), "{what}"),
    }
    // An index file exists only in the spelling that was published: cargo tries the others itself.
    let is_there =
        row.route != "Index" || decoded(&row.path).ends_with(&format!("/{}", family.name));
    let is_served = row.says
        && is_there
        && !is_other
        && matches!(row.column, Index | Sidecar | Download | Search);
    assert!(!is_served || matches!(status, 200 | 206 | 304), "{what}");
    assert!(row.column == Own || status == 404 || !of(theirs), "{what}");
    if row.column == Download && status == 200 && row.method == "GET" {
        assert!(answer.body == mine.file, "{what}");
    }
}

/// Runs a verb that must succeed.
#[track_caller]
fn does(site: &Site, words: &[&str]) {
    let ran = site.home.alone(words);
    assert_eq!(ran.code, Some(0), "{words:?}: {}", ran.stderr);
}

#[test]
fn no_path_and_no_spelling_leads_around_whose_a_name_is_or_around_a_block() {
    let (alice, bob) = two();
    let carol = Site::start(&[
        "--bootstrap",
        &alice.node.address,
        "--bootstrap",
        &bob.node.address,
    ]);
    for family in [cargo(), pypi(), npm()] {
        let claims = [("alice", &alice), ("bob", &bob)].map(|(who, site)| {
            let file = (family.file)(who);
            let published = site.answers(&(family.publishes)(family.spellings[0], &file));
            assert!(
                matches!(published.status, 200 | 201),
                "{}",
                published.text()
            );
            let key = site.publisher();
            carol.waits_for(&format!("{key}/{}:{}", family.ecosystem, family.name));
            Claim {
                marks: [sha256(&file), format!("by {who}"), format!("by-{who}")],
                file,
                key,
            }
        });
        let name = format!("{}:{}", family.ecosystem, family.name);
        let [mine, theirs] = [&*claims[0].key, &*claims[1].key];
        let say = format!("names set {name}");
        let nobody = Phase::Refused {
            parts: &[mine, theirs, &say, "does not trust for names"],
            own: true,
        };
        holds(&carol, &family, &claims, &nobody);
        for Claim { key, .. } in &claims {
            does(
                &carol,
                &["trust", key, "--for", &format!("{}:*", family.ecosystem)],
            );
        }
        let several = Phase::Refused {
            parts: &[mine, theirs, &say, "several owners"],
            own: true,
        };
        holds(&carol, &family, &claims, &several);

        does(&carol, &["names", "set", &name, mine]);
        holds(&carol, &family, &claims, &Phase::First);

        does(&carol, &["block", &name, "--why", "nobody needs it"]);
        holds(
            &carol,
            &family,
            &claims,
            &Phase::Refused {
                parts: &["is blocked", "nobody needs it"],
                own: false,
            },
        );
        does(&carol, &["unblock", &name]);
        holds(&carol, &family, &claims, &Phase::First);

        // A version, in a spelling other than the file's if the ecosystem allows that.
        let version = format!("{name}@1.0.0");
        does(&carol, &["block", &version, "--why", "it is broken"]);
        for row in (family.rows)(family.spellings[1], &claims) {
            let answer = carol.answers(&row);
            let (status, text) = (answer.status, answer.text());
            let is_read = matches!(row.column, Index | Download | Own) || row.route == "Metadata";
            assert!(
                !is_read || matches!(status, 301 | 404),
                "{}: {status} {text}",
                row.path
            );
            let is_file = row.says
                && matches!(row.route, "Download" | "File" | "Tarball")
                && row.column == Download;
            assert!(
                !is_file || text.contains("it is broken") || row.path.contains("mirror"),
                "{}: {text}",
                row.path
            );
        }
        does(&carol, &["unblock", &version]);

        // The choice is removed, and the name belongs to what is published here.
        does(&carol, &["names", "unset", &name]);
        holds(&carol, &family, &claims, &several);
        let published = carol.answers(&(family.publishes)(
            family.spellings[0],
            &(family.file)("carol"),
        ));
        assert!(
            matches!(published.status, 200 | 201),
            "{}",
            published.text()
        );
        let why = carol.home.alone(&["why", &name, "--json"]).json();
        assert_eq!(why["owner"], carol.publisher().as_str());
    }
}
