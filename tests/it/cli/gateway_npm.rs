//! A real npm on nodes of its own, and requests of newer clients of its kind.

use std::process::{Command, Stdio};

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::cli::{
    distributions::gzipped,
    gateway::{Site, field, two},
    program::{PATIENCE, Ran, ran},
};

/// Returns true if npm is installed; otherwise prints that it is not.
pub fn has_npm() -> bool {
    let version = Command::new("npm")
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    match version {
        Ok(version) if version.status.success() => {
            println!("npm {}", String::from_utf8_lossy(&version.stdout).trim());
            true
        }
        _ => {
            println!(
                "skipped: there is no npm on this machine; install nodejs and npm to run this test"
            );
            false
        }
    }
}

impl Site {
    pub fn registry(&self) -> String {
        format!("{}/npm/", self.gateway)
    }

    /// Returns the line of a configuration with the publish token.
    pub fn token_line(&self) -> String {
        format!(
            "{}/npm/:_authToken={}\n",
            self.gateway.trim_start_matches("http:"),
            self.token()
        )
    }

    /// Runs an npm whose registry is this node and that has the token.
    fn npm(&self, dir: &str, words: &[&str]) -> Ran {
        let config = format!("registry={}\n{}", self.registry(), self.token_line());
        std::fs::write(self.home.path("npmrc"), config).unwrap();
        self.npm_by(dir, "npmrc", words)
    }

    pub fn npm_by(&self, dir: &str, config: &str, words: &[&str]) -> Ran {
        let mut npm = self.program("npm");
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().to_lowercase();
            if name.starts_with("npm_") || name.contains("_proxy") {
                npm.env_remove(name);
            }
        }
        npm.args(words)
            .current_dir(self.home.path(dir))
            .env("HOME", self.home.path(""));
        npm.env("NPM_CONFIG_USERCONFIG", self.home.path(config))
            .env("NPM_CONFIG_CACHE", self.home.path("npm-cache"));
        npm.env("NPM_CONFIG_GLOBALCONFIG", self.home.path("none"))
            .env("NPM_CONFIG_FETCH_RETRIES", "0");
        // Tests must not connect to anything else.
        npm.env("https_proxy", "http://127.0.0.1:1")
            .env("no_proxy", "127.0.0.1")
            .env("NPM_CONFIG_FUND", "false");
        npm.stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        ran(npm)
    }

    #[track_caller]
    pub fn npm_does(&self, dir: &str, words: &[&str]) -> Ran {
        let ran = self.npm(dir, words);
        assert_eq!(
            ran.code,
            Some(0),
            "{words:?}: {} {}",
            ran.stdout,
            ran.stderr
        );
        ran
    }

    /// Creates a package in a directory of its own.
    pub fn module(&self, dir: &str, name: &str, version: &str, more: Value) {
        std::fs::create_dir_all(self.home.path(dir)).unwrap();
        let mut package = json!({ "name": name, "version": version, "description": format!("A {dir}"), "license": "MIT" });
        package
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        std::fs::write(
            self.home.path(dir).join("package.json"),
            package.to_string(),
        )
        .unwrap();
        std::fs::write(
            self.home.path(dir).join("index.js"),
            format!("module.exports = '{name} {version}'\n"),
        )
        .unwrap();
    }

    pub fn npm_publishes(&self, dir: &str, name: &str, version: &str, more: Value) {
        self.module(dir, name, version, more);
        self.npm_does(dir, &["publish", "--access", "public"]);
    }

    pub fn document(&self, path: &str) -> Value {
        let (status, _, body) = self.gets(path, "");
        let text = String::from_utf8(body).unwrap();
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Waits until a package's document is as expected.
    fn sees(&self, name: &str, is_so: impl Fn(&Value) -> bool) {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let (_, _, body) = self.gets(&format!("/npm/{name}"), "");
            let value = serde_json::from_slice(&body).unwrap_or_default();
            if is_so(&value) {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "{name}: {value}");
        }
    }

    fn trusts(&self, publisher: &str) {
        assert_eq!(
            self.home
                .alone(&["trust", publisher, "--for", "npm:*"])
                .code,
            Some(0)
        );
    }

    /// Sends a request with a body, and with the publish token unless `fields` has another.
    fn requests(
        &self,
        method: &str,
        path: &str,
        fields: &str,
        body: &[u8],
    ) -> (u16, String, Value) {
        let token = match fields.contains("Authorization") {
            true => String::new(),
            false => format!("Authorization: Bearer {}\r\n", self.token()),
        };
        let text = std::str::from_utf8(body).unwrap();
        let (status, head, body) = self.asks(&format!(
            "{method} {path} HTTP/1.1\r\nHost: HOST\r\nConnection: \
             close\r\n{token}{fields}Content-Length: {}\r\n\r\n{text}",
            text.len()
        ));
        (
            status,
            head,
            serde_json::from_slice(&body).unwrap_or_default(),
        )
    }

    fn puts(&self, path: &str, body: &Value) -> (u16, String, Value) {
        self.requests("PUT", path, "", body.to_string().as_bytes())
    }
}

/// Returns a tarball as npm packs it, with this `package.json`.
pub fn tarball(package: &Value) -> Vec<u8> {
    tarball_with(package, None)
}

/// Returns a tarball with one more file in it.
fn tarball_with(package: &Value, other: Option<(&str, &str)>) -> Vec<u8> {
    let package = package.to_string();
    let files: Vec<_> = [("package.json", &*package)]
        .into_iter()
        .chain(other)
        .collect();
    gzipped("package", &files)
}

/// Returns a document as a client sends it to publish.
pub fn publication(name: &str, version: &str, tarball: &[u8]) -> Value {
    json!({
        "_id": name,
        "name": name,
        "dist-tags": { "latest": version },
        "versions": { version: { "name": name, "version": version } },
        "access": null,
        "_attachments": { format!("{name}-{version}.tgz"): {
            "content_type": "application/octet-stream", "data": BASE64.encode(tarball), "length": tarball.len(),
        }},
    })
}

#[test]
fn what_npm_publishes_here_npm_installs_elsewhere() {
    if !has_npm() {
        return;
    }
    let (alice, bob) = two();
    alice.npm_publishes(
        "tiny",
        "tiny-one",
        "1.0.0",
        json!({ "bin": "index.js", "keywords": ["small"] }),
    );
    let needs = json!({ "dependencies": { "tiny-one": "^1.0.0" }, "scripts": { "postinstall": "node index.js" } });
    alice.npm_publishes("wide", "@Team/wide_x", "0.2.0", needs);
    assert_eq!(alice.npm_does("wide", &["whoami"]).stdout.trim(), "alice");
    let again = alice.npm("wide", &["publish"]);
    assert!(
        again.code != Some(0) && again.stderr.contains("previously published versions"),
        "{}",
        again.stderr
    );

    // A new node trusts nobody, and npm shows what to do.
    let publisher = alice.publisher();
    bob.waits_for(&format!("{publisher}/npm:tiny-one"));
    bob.waits_for(&format!("{publisher}/npm:@Team/wide_x"));
    bob.module("app", "app", "1.0.0", json!({}));
    let refused = bob.npm("app", &["install", "tiny-one"]);
    assert!(
        refused
            .stderr
            .contains(&format!("swarmdex names set npm:tiny-one {publisher}")),
        "{}",
        refused.stderr
    );
    bob.trusts(&publisher);
    bob.npm_does("app", &["install", "@Team/wide_x"]);
    let installed =
        std::fs::read_to_string(bob.home.path("app/node_modules/tiny-one/index.js")).unwrap();
    assert_eq!(installed, "module.exports = 'tiny-one 1.0.0'\n");
    let lock_path = bob.home.path("app/package-lock.json");
    let lock: Value = serde_json::from_str(&std::fs::read_to_string(&lock_path).unwrap()).unwrap();
    let wide = &lock["packages"]["node_modules/@Team/wide_x"];
    assert_eq!(
        wide["resolved"],
        format!("{}@Team/wide_x/-/wide_x-0.2.0.tgz", bob.registry()),
        "{lock}"
    );
    assert!(
        wide["integrity"].as_str().unwrap().starts_with("sha512-"),
        "{lock}"
    );
    assert_eq!(wide["hasInstallScript"], true, "{lock}");

    let viewed = bob.npm_does("app", &["view", "@Team/wide_x", "--json"]);
    let viewed: Value = serde_json::from_str(&viewed.stdout).unwrap();
    assert_eq!(
        (&viewed["description"], &viewed["dist-tags"]["latest"]),
        (&"A wide".into(), &"0.2.0".into()),
        "{viewed}"
    );
    let found: Value =
        serde_json::from_str(&bob.npm_does("app", &["search", "tiny", "--json"]).stdout).unwrap();
    assert_eq!(
        (&found[0]["name"], &found[0]["keywords"][0]),
        (&"tiny-one".into(), &"small".into()),
        "{found}"
    );
    assert!(
        bob.npm_does("app", &["audit"])
            .stdout
            .contains("found 0 vulnerabilities")
    );
    bob.npm_does("app", &["ping"]);

    // A version is added, and clients get it.
    alice.npm_publishes("tiny", "tiny-one", "1.1.0", json!({}));
    bob.sees("tiny-one", |value| value["dist-tags"]["latest"] == "1.1.0");
    bob.npm_does("app", &["update"]);
    let installed =
        || std::fs::read_to_string(bob.home.path("app/node_modules/tiny-one/index.js")).unwrap();
    assert_eq!(installed(), "module.exports = 'tiny-one 1.1.0'\n");
    let outdated = bob.npm("app", &["outdated"]);
    assert_eq!(
        (outdated.code, outdated.stdout.as_str()),
        (Some(0), ""),
        "{}",
        outdated.stderr
    );

    // The publisher has left and the cache is empty, but everything is still on this node.
    let lock = std::fs::read_to_string(&lock_path).unwrap();
    let Site { node, .. } = alice;
    node.stop("TERM");
    std::fs::remove_dir_all(bob.home.path("npm-cache")).unwrap();
    std::fs::remove_dir_all(bob.home.path("app/node_modules")).unwrap();
    bob.npm_does("app", &["ci"]);
    assert_eq!(installed(), "module.exports = 'tiny-one 1.1.0'\n");
    assert_eq!(std::fs::read_to_string(&lock_path).unwrap(), lock);
}

#[test]
fn tags_deprecations_and_unpublishing_are_said_of_what_stays() {
    if !has_npm() {
        return;
    }
    let site = Site::start(&["--handle", "alice"]);
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        site.npm_publishes("tiny", "@team/tiny", version, json!({}));
    }
    site.module("app", "app", "1.0.0", json!({}));
    site.npm_does("app", &["install", "@team/tiny@1.2.0"]);
    site.npm_does("tiny", &["dist-tag", "add", "@team/tiny@1.0.0", "old"]);
    assert_eq!(
        site.npm_does("tiny", &["dist-tag", "ls"]).stdout,
        "latest: 1.2.0\nold: 1.0.0\n"
    );
    assert_eq!(site.document("/npm/@team%2ftiny/old")["version"], "1.0.0");
    site.npm_does("tiny", &["dist-tag", "rm", "@team/tiny", "old"]);
    assert_eq!(
        site.document("/npm/-/package/@team%2Ftiny/dist-tags"),
        json!({ "latest": "1.2.0" })
    );

    let message = "use \"1.1\" — it is better";
    site.npm_does("tiny", &["deprecate", "@team/tiny@1.0.0", message]);
    let document = site.document("/npm/@team/tiny");
    assert_eq!(document["versions"]["1.0.0"]["deprecated"], message);
    assert_eq!(document["versions"]["1.1.0"]["deprecated"], Value::Null);
    site.npm_does("tiny", &["deprecate", "@team/tiny@1.0.0", ""]);
    assert_eq!(
        site.document("/npm/@team/tiny")["versions"]["1.0.0"]["deprecated"],
        Value::Null
    );

    // An unpublished version is no longer chosen, but lock files still get it.
    let gone = site.npm_does("tiny", &["unpublish", "@team/tiny@1.2.0"]);
    assert!(
        gone.stderr.contains("@team/tiny 1.2.0 is yanked"),
        "{}",
        gone.stderr
    );
    let document = site.document("/npm/@team/tiny");
    let versions: Vec<&String> = document["versions"].as_object().unwrap().keys().collect();
    assert_eq!(versions, ["1.0.0", "1.1.0"]);
    assert_eq!(document["dist-tags"], json!({ "latest": "1.1.0" }));
    assert_eq!(document["time"]["1.2.0"], Value::Null);
    std::fs::remove_dir_all(site.home.path("npm-cache")).unwrap();
    site.npm_does("app", &["ci"]);
    let again = site.npm("tiny", &["publish"]);
    assert!(
        again.code != Some(0) && again.stderr.contains("swarmdex unyank"),
        "{}",
        again.stderr
    );
    site.npm_does("tiny", &["unpublish", "@team/tiny", "--force"]);
    let (status, _, said) = site.gets("/npm/@team/tiny", "");
    assert!(status == 404 && String::from_utf8_lossy(&said).contains("are yanked"));
    assert_eq!(site.gets("/npm/@team/tiny/-/tiny-1.0.0.tgz", "").0, 200);

    // An unknown package has not been unpublished; owners cannot be changed.
    let unknown = site.npm("tiny", &["unpublish", "nobodys", "--force"]);
    assert!(
        unknown.code != Some(0) && unknown.stderr.contains("nobody known"),
        "{}",
        unknown.stderr
    );
    site.npm_publishes("mine", "mine", "1.0.0", json!({}));
    let owners = site.npm_does("mine", &["owner", "ls"]);
    assert_eq!(owners.stdout.trim(), "alice <>");
    let added = site.npm("mine", &["owner", "add", "bob"]);
    assert!(
        added.stderr.contains("belong to the key"),
        "{}",
        added.stderr
    );
    let rev = site.document("/npm/mine?write=true")["_rev"]
        .as_str()
        .unwrap()
        .to_owned();
    let sent =
        json!({ "_id": "mine", "_rev": rev, "maintainers": [{ "name": "bob", "email": "" }] });
    let (status, _, said) = site.puts(&format!("/npm/mine/-rev/{rev}"), &sent);
    assert!(
        status == 403
            && said["error"]
                .as_str()
                .unwrap()
                .contains("belongs to the key"),
        "{said}"
    );
    assert_eq!(
        site.document("/npm/mine")["versions"]
            .as_object()
            .unwrap()
            .len(),
        1
    );
    // A document that was read before another change does not undo that change.
    site.npm_does("mine", &["dist-tag", "add", "mine@1.0.0", "next"]);
    let (status, _, said) = site.puts(
        &format!("/npm/mine/-rev/{rev}"),
        &json!({ "name": "mine", "versions": {} }),
    );
    assert!(
        status == 409 && said["error"].as_str().unwrap().contains("has changed"),
        "{said}"
    );
}

#[test]
fn what_newer_clients_ask_for_is_answered() {
    let site = Site::start(&["--handle", "alice"]);
    let bytes = tarball(
        &json!({ "name": "@team/a", "version": "1.0.0", "scripts": { "install": "true" }, "author": "me" }),
    );
    let (status, _, said) = site.puts("/npm/@team%2fa", &publication("@team/a", "1.0.0", &bytes));
    assert_eq!(status, 201, "{said}");

    // yarn 4 does not say what it accepts and needs the times; npm 12 and pnpm 12 request the full
    // document in their own way.
    let (_, whole_head, whole) = site.gets(
        "/npm/@team%2fa",
        "user-agent: got (https://github.com/sindresorhus/got)\r\n",
    );
    let pnpm =
        "user-agent: pnpm/12.21.0 npm/? node/? linux x64\r\naccept-encoding: zstd,gzip,deflate\r\n";
    for (path, fields) in [
        (
            "/npm/@team%2fa",
            "accept: application/json\r\nnpm-command: install\r\npacote-req-type: packument\r\n",
        ),
        (
            "/npm/@team%2Fa",
            &format!("{pnpm}accept: application/json; q=1.0, */*\r\n"),
        ),
        ("/npm/@team/a", "accept: \r\n"),
    ] {
        let (status, head, body) = site.gets(path, fields);
        assert_eq!(
            (status, field(&head, "vary"), body == whole),
            (200, Some("accept"), true),
            "{path} {head}"
        );
    }
    let value: Value = serde_json::from_slice(&whole).unwrap();
    assert!(
        value["time"]["1.0.0"].is_string() && value["time"]["modified"].is_string(),
        "{value}"
    );
    assert_eq!(
        value["versions"]["1.0.0"]["dist"]["tarball"],
        format!("{}@team/a/-/a-1.0.0.tgz", site.registry())
    );
    let short =
        "accept: application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*\r\n";
    let (_, head, body) = site.gets("/npm/@team%2Fa", &format!("{pnpm}{short}"));
    assert_eq!(
        field(&head, "content-type"),
        Some("application/vnd.npm.install-v1+json")
    );
    let value: Value = serde_json::from_slice(&body).unwrap();
    let version = &value["versions"]["1.0.0"];
    assert_eq!(
        (
            &version["hasInstallScript"],
            &version["scripts"],
            &version["author"]
        ),
        (&true.into(), &Value::Null, &Value::Null)
    );
    assert!(
        value["modified"].is_string() && value["time"].is_null(),
        "{value}"
    );

    // ETags depend on form and address: yarn 4 sends one that it got from another port of the same
    // host.
    let (etag, other) = (
        field(&whole_head, "etag").unwrap(),
        field(&head, "etag").unwrap(),
    );
    assert_ne!(etag, other);
    let with = |etag: &str, more: &str| {
        site.gets(
            "/npm/@team%2fa",
            &format!("if-none-match: {etag}\r\n{more}"),
        )
        .0
    };
    assert_eq!(
        (
            with(etag, ""),
            with(other, short),
            with(other, ""),
            with(etag, short)
        ),
        (304, 304, 200, 200)
    );
    let renamed = site.asks(&format!(
        "GET /npm/@team%2fa HTTP/1.1\r\nHost: localhost:1\r\nConnection: close\r\nif-none-match: \
         {etag}\r\n\r\n"
    ));
    assert!(
        renamed.0 == 200
            && String::from_utf8_lossy(&renamed.2)
                .contains("http://localhost:1/npm/@team/a/-/a-1.0.0.tgz")
    );
    assert_eq!(field(&whole_head, "cache-control"), Some("no-cache"));

    // pnpm sends HEAD requests, yarn 4 requests files below an escaped name, and all of them ask
    // for missing packages.
    let head_of = |path: &str| {
        site.asks(&format!(
            "HEAD {path} HTTP/1.1\r\nHost: HOST\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        ))
    };
    let (status, head, none) = head_of("/npm/@team%2Fa");
    assert_eq!(
        (status, none.len(), field(&head, "content-length")),
        (200, 0, Some(&*whole.len().to_string()))
    );
    for path in [
        "/npm/@team%2fa/-/a-1.0.0.tgz",
        "/npm/@team%2Fa/-/a-1.0.0.tgz",
        "/npm/@team/a/-/a-1.0.0.tgz",
    ] {
        let (status, head, file) = site.gets(path, "accept-encoding: zstd, gzip\r\n");
        assert_eq!((status, &file), (200, &bytes), "{head}");
        assert_eq!(
            (
                field(&head, "content-length"),
                field(&head, "content-encoding")
            ),
            (Some(&*bytes.len().to_string()), None)
        );
        let (status, _, part) = site.gets(path, "Range: bytes=5-9\r\n");
        assert_eq!((status, &part[..]), (206, &bytes[5..10]));
        let known = format!("If-None-Match: {}\r\n", field(&head, "etag").unwrap());
        assert_eq!(site.gets(path, &known).0, 304);
    }
    for path in [
        "/npm/npm",
        "/npm/pnpm",
        "/npm/-/npm/v1/attestations/@team%2fa@1.0.0",
        "/npm/@team%2fa/2.0.0",
        "/npm/@team%2fa/-/a-2.0.0.tgz",
        "/npm/-/npm/v1/keys",
    ] {
        let (status, head, said) = site.gets(path, "");
        assert_eq!(
            (status, field(&head, "content-type")),
            (404, Some("application/json")),
            "{path}"
        );
        assert!(
            serde_json::from_slice::<Value>(&said).unwrap()["error"].is_string(),
            "{path}"
        );
    }
    // Audits are empty; clients may compress the request or not.
    let none = "Authorization: none\r\n";
    let bulk = "/npm/-/npm/v1/security/advisories/bulk";
    let (status, _, said) = site.requests(
        "POST",
        bulk,
        &format!("{none}content-encoding: gzip\r\n"),
        b"\x1f\x08\x00",
    );
    assert_eq!((status, said), (200, json!({})));
    assert_eq!(
        site.requests("POST", bulk, none, b"{\"a\":[\"1.0.0\"]}").0,
        200
    );
    let (_, _, report) = site.requests("POST", "/npm/-/npm/v1/security/audits/quick", none, b"{}");
    assert_eq!(report["metadata"]["vulnerabilities"]["high"], 0);
}

#[test]
fn whatever_changes_something_needs_the_token() {
    let site = Site::start(&["--handle", "alice"]);
    let bytes = tarball(&json!({ "name": "a", "version": "1.0.0" }));
    let body = publication("a", "1.0.0", &bytes).to_string();
    let wrong = "Authorization: Bearer something-else\r\n";
    for (method, path) in [
        ("PUT", "/npm/a"),
        ("PUT", "/npm/a/-rev/1-1"),
        ("DELETE", "/npm/a/-rev/1-1"),
        ("DELETE", "/npm/a/-/a-1.0.0.tgz/-rev/1-1"),
        ("PUT", "/npm/-/package/a/dist-tags/next"),
        ("DELETE", "/npm/-/package/a/dist-tags/next"),
    ] {
        let (status, _, said) = site.requests(method, path, wrong, body.as_bytes());
        assert!(
            status == 403 && said["error"].as_str().unwrap().contains("gateway.token"),
            "{method} {path}: {said}"
        );
        // If no login scheme is offered, npm shows the message.
        let (status, head, said) = site.asks(&format!(
            "{method} {path} HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nContent-Length: \
             {}\r\n\r\n{body}",
            body.len()
        ));
        assert!(
            status == 401 && String::from_utf8_lossy(&said).contains("setup npm"),
            "{method} {path}"
        );
        assert_eq!(field(&head, "www-authenticate"), None);
        let (status, _, _) = site.requests(
            method,
            path,
            "Origin: https://evil.example\r\n",
            body.as_bytes(),
        );
        assert_eq!(status, 403);
    }
    assert_eq!(site.gets("/npm/-/whoami", "").0, 401);
    assert_eq!(site.gets("/npm/a", "").0, 404, "nothing of it was taken");
    assert_eq!(site.requests("PUT", "/npm/a", "", body.as_bytes()).0, 201);
}

#[test]
fn bad_uploads_are_refused_in_npms_form_and_leave_nothing() {
    let site = Site::start(&["--handle", "alice"]);
    let good = tarball(&json!({ "name": "a", "version": "1.0.0" }));
    let changed = |change: fn(&mut Value)| {
        let mut body = publication("a", "1.0.0", &good);
        change(&mut body);
        body.to_string()
    };
    let cut =
        tarball(&json!({ "name": "a", "version": "1.0.0", "description": "x".repeat(5_000) }));
    let other = |name: &str, version: &str| {
        publication(
            "a",
            "1.0.0",
            &tarball(&json!({ "name": name, "version": version })),
        )
        .to_string()
    };
    for (body, said) in [
        (
            publication("a", "1.0.0", b"no tarball").to_string(),
            "cannot be taken: it ",
        ),
        (
            publication("a", "1.0.0", &cut[..cut.len() / 2]).to_string(),
            "cannot be taken: it ",
        ),
        (
            publication("a", "1.0.0", b"").to_string(),
            "cannot be taken",
        ),
        (other("b", "1.0.0"), "is sent as a"),
        (other("a", "1.0.1"), "is sent as a 1.0.0"),
        (other("../a", "1.0.0"), "cannot be taken"),
        (changed(|body| body["name"] = "b".into()), "is for b"),
        (changed(|body| body["versions"] = json!({})), "is sent as"),
        (
            changed(|body| body["_attachments"]["a-1.0.0.tgz"]["length"] = 7.into()),
            "7 are announced",
        ),
        (
            changed(|body| {
                body["versions"]["1.0.0"]["dist"] = json!({ "shasum": "00".repeat(20) })
            }),
            "another digest",
        ),
        (
            changed(|body| {
                body["versions"]["1.0.0"]["dist"] = json!({ "integrity": "sha512-AAAA" })
            }),
            "another digest",
        ),
        (
            changed(|body| body["dist-tags"] = json!({ "^1": "1.0.0" })),
            "the tag ^1",
        ),
        (
            changed(|body| body["_attachments"]["a-1.0.0.tgz"]["data"] = "%%%%".into()),
            "no base64",
        ),
        (
            changed(|body| body["_attachments"] = json!({})),
            "nobody known",
        ),
        ("7".to_owned(), "cannot be read"),
        (changed(|_| ())[..200].to_owned(), "cannot be read"),
        (
            format!("{{\"readme\":\"{}\"}}", "x".repeat(5 << 20)),
            "more than 4 MiB",
        ),
    ] {
        let (status, head, answer) = site.requests("PUT", "/npm/a", "", body.as_bytes());
        assert!((400..500).contains(&status), "{said}: {head} {answer}");
        let error = answer["error"]
            .as_str()
            .unwrap_or_else(|| panic!("{said}: {head} {answer}"));
        assert!(error.contains(said), "{said}: {error}");
    }
    let (status, _, said) = site.asks(&format!(
        "PUT /npm/a HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer {}\r\nConnection: \
         close\r\nContent-Length: {}\r\n\r\n{{",
        site.token(),
        2u64 << 30
    ));
    assert!(
        status == 413 && String::from_utf8_lossy(&said).contains("gateway_upload_mb"),
        "{status}"
    );
    assert_eq!(site.gets("/npm/a", "").0, 404);
    site.keeps_nothing();

    // The same bytes again succeed, as when npm repeats a request whose answer was lost; other
    // bytes are refused.
    let body = publication("a", "1.0.0", &good);
    for _ in 0..2 {
        let (status, _, said) = site.puts("/npm/a", &body);
        assert_eq!(status, 201, "{said}");
    }
    let different = tarball(&json!({ "name": "a", "version": "1.0.0", "description": "another" }));
    let (status, _, said) = site.puts("/npm/a", &publication("a", "1.0.0", &different));
    let error = said["error"].as_str().unwrap();
    assert!(
        status == 403 && error.contains("You cannot publish over the previously published version"),
        "{error}"
    );
    // If a document and tarball repeat an existing version, the tarball says which version is
    // meant.
    let mut more = publication(
        "a",
        "1.1.0",
        &tarball(&json!({ "name": "a", "version": "1.1.0" })),
    );
    more["versions"]["1.0.0"] = json!({ "name": "a", "version": "1.0.0" });
    more["dist-tags"] = json!({ "latest": "1.0.0", "next": "1.1.0" });
    assert_eq!(site.puts("/npm/a", &more).0, 201);
    assert_eq!(
        site.document("/npm/a")["dist-tags"],
        json!({ "latest": "1.0.0", "next": "1.1.0" })
    );
    // A file that looks like a key is accepted, and npm shows the warning.
    let key = tarball_with(
        &json!({ "name": "k", "version": "1.0.0" }),
        Some((".env", "PASSWORD=1")),
    );
    let (status, head, _) = site.puts("/npm/k", &publication("k", "1.0.0", &key));
    let notice = field(&head, "npm-notice").unwrap();
    assert!(status == 201 && notice.contains(".env"), "{notice}");
    site.keeps_no_upload();
}
