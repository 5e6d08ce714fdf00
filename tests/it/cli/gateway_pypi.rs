//! Python's tools on nodes of their own: a real pip if there is one, and recorded requests of
//! others.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use data_encoding::BASE64;
use serde_json::Value;

use crate::cli::{
    distributions::{BOUNDARY, form, sdist, sha256, wheel, wheel_of},
    gateway::{Site, field, two},
    program::{PATIENCE, Ran, ran},
};

const JSON: &str = "Accept: application/vnd.pypi.simple.v1+json\r\n";

impl Site {
    /// Sends an upload as twine 7.0.0 does.
    fn uploads(&self, path: &str, token: Option<&str>, body: &[u8]) -> (u16, String, String) {
        let said = token.map(|token| {
            format!(
                "Authorization: Basic {}\r\n",
                BASE64.encode(format!("__token__:{token}").as_bytes())
            )
        });
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: twine/7.0.0 CPython/3.11.7\r\n\
             Accept-Encoding: gzip, deflate, zstd\r\nAccept: */*\r\nConnection: close\r\n\
             Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {}\r\n{}\r\n",
            self.host(),
            body.len(),
            said.unwrap_or_default(),
        );
        let (status, head, body) = self.sends(&[head.as_bytes(), body].concat());
        (status, head, String::from_utf8(body).unwrap())
    }

    /// Uploads a distribution with twine's fields.
    fn uploaded(
        &self,
        name: &str,
        version: &str,
        (file, bytes): &(String, Vec<u8>),
    ) -> (u16, String, String) {
        let kind = if file.ends_with(".whl") {
            "bdist_wheel"
        } else {
            "sdist"
        };
        let digest = sha256(bytes);
        let fields = [
            ("summary", "a text"),
            ("name", name),
            ("metadata_version", "2.1"),
            ("version", version),
            ("description", "read me\n"),
            ("filetype", kind),
            ("sha256_digest", &*digest),
            (":action", "file_upload"),
            ("protocol_version", "1"),
        ];
        self.uploads(
            "/pypi/legacy/",
            Some(&self.token()),
            &form(&fields, file, bytes),
        )
    }

    #[track_caller]
    fn has_uploaded(&self, name: &str, version: &str, distribution: &(String, Vec<u8>)) {
        let (status, _, said) = self.uploaded(name, version, distribution);
        assert_eq!(status, 200, "{said}");
    }

    /// Returns a project's page; `Null` if there is none.
    fn page(&self, name: &str) -> Value {
        let (status, _, page) = self.gets(&format!("/pypi/simple/{name}/"), JSON);
        if status == 200 {
            serde_json::from_slice(&page).unwrap()
        } else {
            Value::Null
        }
    }

    /// Waits until a project's page is as expected.
    fn waits_for_page(&self, name: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let page = self.page(name);
            if is_it(&page) {
                return page;
            }
            assert!(std::time::Instant::now() < deadline, "{page}");
        }
    }

    /// Returns the path of a file from its project's page.
    fn file_path(&self, page: &Value, file: &str) -> String {
        let files = page["files"].as_array().unwrap();
        let url = files.iter().find(|one| one["filename"] == file).unwrap()["url"]
            .as_str()
            .unwrap();
        format!("/pypi/{}", url.strip_prefix("../../").unwrap())
    }

    /// Runs a pip without a cache, whose only index is this node.
    pub fn pip(&self, python: &Path, words: &[&str]) -> Ran {
        let mut pip = self.program(python);
        pip.args([
            "-m",
            "pip",
            "--isolated",
            "--disable-pip-version-check",
            "--no-input",
            "--no-cache-dir",
        ])
        .args(words);
        pip.env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path("."));
        // Tests must not connect to anything else.
        pip.env("https_proxy", "http://127.0.0.1:1")
            .current_dir(self.home.path("."));
        pip.stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        ran(pip)
    }

    pub fn index(&self) -> String {
        format!("{}/pypi/simple/", self.gateway)
    }
}

/// Creates a virtual environment and returns its Python, if possible.
pub fn python(site: &Site) -> Option<PathBuf> {
    let dir = site.home.path("environment");
    let made = Command::new("python3")
        .args(["-m", "venv"])
        .arg(&dir)
        .stdin(Stdio::null())
        .output();
    let python = dir.join("bin/python");
    let version = match made {
        Ok(made) if made.status.success() => site.pip(&python, &["--version"]),
        Ok(made) => {
            println!(
                "skipped: python3 -m venv says {}",
                String::from_utf8_lossy(&made.stderr)
            );
            return None;
        }
        Err(error) => {
            println!("skipped: there is no python3 ({error})");
            return None;
        }
    };
    println!("{}", version.stdout);
    Some(python)
}

fn trust(alice: &Site, bob: &Site) {
    assert_eq!(
        bob.home
            .alone(&["trust", &alice.publisher(), "--for", "pypi:*"])
            .code,
        Some(0)
    );
}

#[test]
fn what_is_uploaded_here_pip_installs_elsewhere() {
    let (alice, bob) = two();
    let source = sdist("Demo.Pkg", "1!0.5");
    let first = wheel("Demo.Pkg", "1!0.5");
    alice.has_uploaded("Demo.Pkg", "1!0.5", &source);
    alice.has_uploaded("Demo.Pkg", "1!0.5", &first);
    let needs = wheel_of("top", "top", "2.0", "Requires-Dist: demo_pkg >=1!0.1\n");
    alice.has_uploaded("top", "2.0", &needs);
    // A new node trusts nobody, and says what to do.
    bob.waits_for(&format!("{}/pypi:top", alice.publisher()));
    let (status, _, said) = bob.gets("/pypi/simple/top/", "");
    let said = String::from_utf8(said).unwrap();
    assert!(
        status == 404 && said.contains("swarmdex names set pypi:top"),
        "{said}"
    );
    trust(&alice, &bob);
    bob.waits_for_page("demo-pkg", |page| {
        page["files"]
            .as_array()
            .is_some_and(|files| files.len() == 2)
    });
    let (_, _, list) = bob.gets("/pypi/simple/", "Accept: text/html\r\n");
    assert!(
        String::from_utf8(list)
            .unwrap()
            .contains("<a href=\"demo-pkg/\">demo-pkg</a>")
    );
    let Some(python) = python(&bob) else { return };
    let index = bob.index();

    let installed = bob.pip(&python, &["install", "--index-url", &index, "Top"]);
    assert_eq!(installed.code, Some(0), "{}", installed.stderr);
    assert!(
        installed.stdout.contains("Successfully installed") && installed.stdout.contains("1!0.5"),
        "{}",
        installed.stdout
    );
    let downloaded = bob.pip(
        &python,
        &[
            "download",
            "-d",
            "got",
            "--no-deps",
            "--no-build-isolation",
            "--no-binary",
            ":all:",
            "--index-url",
            &index,
            "demo-pkg",
        ],
    );
    assert_eq!(
        downloaded.code,
        Some(0),
        "{} {}",
        downloaded.stdout,
        downloaded.stderr
    );
    assert_eq!(
        std::fs::read(bob.home.path("got").join(&source.0)).unwrap(),
        source.1
    );
    bob.gets(&bob.file_path(&bob.page("top"), &needs.0), "");

    // The publisher has left, but content that is required by its digest is here.
    let Site { node, .. } = alice;
    node.stop("TERM");
    let pinned = format!(
        "top==2.0 --hash=sha256:{}\ndemo-pkg==1!0.5 --hash=sha256:{}\n",
        sha256(&needs.1),
        sha256(&first.1)
    );
    bob.home.file("pinned.txt", &pinned);
    let words = [
        "install",
        "--target",
        "again",
        "--require-hashes",
        "-r",
        "pinned.txt",
        "--index-url",
        &index,
    ];
    let again = bob.pip(&python, &words);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_eq!(
        std::fs::read_to_string(bob.home.path("again/demo_pkg/__init__.py")).unwrap(),
        "V = '1!0.5'\n"
    );
    bob.home.file(
        "pinned.txt",
        &pinned.replace(&sha256(&first.1), &"00".repeat(32)),
    );
    let other = bob.pip(&python, &[&words[..], &["--upgrade"]].concat());
    assert!(
        other.code != Some(0) && other.stderr.contains("DO NOT MATCH"),
        "{}",
        other.stderr
    );
}

#[test]
fn a_yank_is_told_with_its_reason_and_files_are_added_to_a_release() {
    let (alice, bob) = two();
    for version in ["1.0", "1.1"] {
        alice.has_uploaded("tiny", version, &wheel("tiny", version));
    }
    trust(&alice, &bob);
    let all = |count: usize| {
        move |page: &Value| {
            page["files"]
                .as_array()
                .is_some_and(|files| files.len() == count)
        }
    };
    bob.waits_for_page("tiny", all(2));
    let own = format!("{}/pypi:tiny", alice.publisher());
    alice.home.alone(&[
        "yank",
        &format!("{own}@1.1"),
        "--why",
        "broken \"on\" <old> machines",
    ]);
    let is_yanked = |page: &Value| page["files"][1]["yanked"].is_string();
    let page = bob.waits_for_page("tiny", is_yanked);
    assert_eq!(
        (&page["files"][0]["yanked"], &page["files"][1]["yanked"]),
        (&false.into(), &"broken \"on\" <old> machines".into())
    );
    let (_, _, html) = bob.gets("/pypi/simple/tiny/", "");
    let html = String::from_utf8(html).unwrap();
    assert!(
        html.contains("data-yanked=\"broken &quot;on&quot; &lt;old&gt; machines\""),
        "{html}"
    );
    // The release gets another file, and only that file is yanked, without a reason.
    let source = sdist("tiny", "1.0");
    alice.has_uploaded("tiny", "1.0", &source);
    let page = bob.waits_for_page("tiny", all(3));
    assert_eq!(page["versions"], serde_json::json!(["1.0", "1.1"]));
    alice
        .home
        .alone(&["yank", &format!("{own}@1.0"), "--file", &source.0]);
    let page = bob.waits_for_page("tiny", |page| {
        page["files"]
            .as_array()
            .is_some_and(|files| files.iter().any(|file| file["yanked"] == true))
    });
    let yanked: Vec<&Value> = page["files"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|file| file["yanked"] == true)
        .collect();
    assert_eq!(
        (yanked.len(), &yanked[0]["filename"]),
        (1, &source.0.clone().into())
    );

    let Some(python) = python(&bob) else { return };
    let index = bob.index();
    let chosen = bob.pip(&python, &["install", "--index-url", &index, "tiny"]);
    assert!(
        chosen.stdout.contains("Successfully installed tiny-1.0"),
        "{} {}",
        chosen.stdout,
        chosen.stderr
    );
    let pinned = bob.pip(&python, &["install", "--index-url", &index, "tiny==1.1"]);
    assert!(
        pinned.stdout.contains("Successfully installed tiny-1.1"),
        "{} {}",
        pinned.stdout,
        pinned.stderr
    );
    assert!(
        pinned.stderr.contains("broken \"on\" <old> machines"),
        "{}",
        pinned.stderr
    );
}

#[test]
fn pages_and_files_are_answered_as_recorded_clients_ask() {
    let site = Site::start(&["--handle", "alice"]);
    let (file, bytes) = wheel("Some.Thing", "1.0+local.1");
    site.has_uploaded("Some.Thing", "1.0+local.1", &(file.clone(), bytes.clone()));
    let ask =
        |request: &str| site.asks(&format!("{request}Host: HOST\r\nConnection: close\r\n\r\n"));
    // uv 0.13.9, pip 26.3, and a browser.
    let uv = "Accept: application/vnd.pypi.simple.v1+json, \
              application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01\r\n\
              Accept-Encoding: gzip, br, zstd, deflate\r\nUser-Agent: uv/0.13.9\r\n";
    let pip = "Accept: application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; \
               q=0.1, text/html; q=0.01\r\n\
               Cache-Control: max-age=0\r\nAccept-Encoding: gzip, deflate\r\n";
    for (client, kind) in [
        (uv, "application/vnd.pypi.simple.v1+json"),
        (pip, "application/vnd.pypi.simple.v1+json"),
        ("", "text/html; charset=utf-8"),
    ] {
        let (status, head, page) = ask(&format!(
            "GET /pypi/simple/some-thing/ HTTP/1.1\r\n{client}"
        ));
        assert_eq!((status, field(&head, "content-type")), (200, Some(kind)));
        assert_eq!(
            (field(&head, "cache-control"), field(&head, "vary")),
            (Some("no-cache"), Some("accept"))
        );
        assert!(
            field(&head, "last-modified").is_none() && field(&head, "content-encoding").is_none(),
            "{head}"
        );
        assert_eq!(
            field(&head, "content-length"),
            Some(&*page.len().to_string())
        );
        let etag = field(&head, "etag").unwrap();
        let (status, _, body) = ask(&format!(
            "GET /pypi/simple/some-thing/ HTTP/1.1\r\n{client}If-None-Match: {etag}\r\n"
        ));
        assert_eq!((status, body.len()), (304, 0));
        let (status, again, body) = ask(&format!(
            "HEAD /pypi/simple/some-thing/ HTTP/1.1\r\n{client}"
        ));
        assert_eq!(
            (status, field(&again, "content-length"), body.len()),
            (200, field(&head, "content-length"), 0)
        );
    }
    for spelt in [
        "Some.Thing/",
        "some_thing",
        "some-thing",
        "SOME--thing/",
        "%73ome.thing/",
    ] {
        for method in ["GET", "HEAD"] {
            let (status, head, _) = ask(&format!("{method} /pypi/simple/{spelt} HTTP/1.1\r\n"));
            let place = format!("{}/pypi/simple/some-thing/", site.gateway);
            assert_eq!(
                (status, field(&head, "location")),
                (301, Some(&*place)),
                "{spelt}"
            );
        }
    }
    for missing in [
        "/pypi/simple/nothing/",
        "/pypi/simple/pip/",
        "/pypi/simple/-/",
        "/pypi/legacy/",
        "/pypi/files/",
        "/pypi/",
    ] {
        assert_eq!(site.gets(missing, JSON).0, 404, "{missing}");
    }

    let page = site.page("some-thing");
    let one = &page["files"][0];
    assert_eq!(
        (&one["filename"], &one["requires-python"], &one["size"]),
        (&file.clone().into(), &">=3.7".into(), &bytes.len().into())
    );
    let path = site.file_path(&page, &file);
    let said = site.gets(&format!("{path}.metadata"), "");
    assert_eq!(
        (said.0, sha256(&said.2)),
        (
            200,
            one["core-metadata"]["sha256"].as_str().unwrap().to_owned()
        )
    );
    assert!(
        field(&said.1, "cache-control")
            .unwrap()
            .contains("immutable"),
        "{}",
        said.1
    );
    // pip escapes characters that uv leaves alone.
    for path in [
        path.clone(),
        path.replace('+', "%2B"),
        path.replace('+', "%2b"),
    ] {
        let (status, head, body) = ask(&format!(
            "GET {path} HTTP/1.1\r\nAccept-Encoding: identity\r\n"
        ));
        assert_eq!(
            (status, field(&head, "cache-control"), &body),
            (200, Some("max-age=31536000, immutable"), &bytes)
        );
        assert_eq!(
            field(&head, "etag"),
            Some(&*format!("\"{}\"", sha256(&bytes)))
        );
    }
    // uv asks for the length of a wheel and for its end; pip 26.3 resumes an interrupted download.
    let (status, head, body) = ask(&format!(
        "HEAD {path} HTTP/1.1\r\nAccept-Encoding: identity\r\n"
    ));
    assert_eq!(
        (status, field(&head, "accept-ranges"), body.len()),
        (200, Some("bytes"), 0)
    );
    assert_eq!(
        field(&head, "content-length"),
        Some(&*bytes.len().to_string())
    );
    let (status, head, body) = ask(&format!(
        "GET {path} HTTP/1.1\r\nRange: bytes=-10\r\nAccept-Encoding: identity\r\n"
    ));
    assert_eq!((status, &body[..]), (206, &bytes[bytes.len() - 10..]));
    assert!(field(&head, "content-range").is_some());
    let resumed = |etag: &str| {
        ask(&format!(
            "GET {path} HTTP/1.1\r\nRange: bytes=10-\r\nIf-Range: {etag}\r\n"
        ))
    };
    let etag = format!("\"{}\"", sha256(&bytes));
    assert_eq!(
        (resumed(&etag).0, &resumed(&etag).2[..]),
        (206, &bytes[10..])
    );
    assert_eq!(
        (resumed("\"other\"").0, resumed("\"other\"").2.len()),
        (200, bytes.len())
    );
    // A file is at the path of its own digest and nowhere else.
    let elsewhere = path.replace(&sha256(&bytes), &"00".repeat(32));
    assert_eq!(
        (
            site.gets(&elsewhere, "").0,
            site.gets(&format!("{elsewhere}.metadata"), "").0
        ),
        (404, 404)
    );
    assert_eq!(
        site.gets(&path.replace("some_thing", "other_thing"), "").0,
        404
    );
    let (source, bytes) = sdist("Some.Thing", "1.0+local.1");
    site.has_uploaded("Some.Thing", "1.0+local.1", &(source.clone(), bytes));
    let page = site.page("some-thing");
    assert_eq!(
        page["files"][1]["core-metadata"], false,
        "what a source distribution says may change when it is built"
    );
    assert_eq!(
        site.gets(&format!("{}.metadata", site.file_path(&page, &source)), "")
            .0,
        404
    );
}

#[test]
fn what_is_imported_is_on_a_page_and_what_is_no_distribution_is_not() {
    let site = Site::start(&["--handle", "alice"]);
    let dir = site.home.path("dist");
    std::fs::create_dir(&dir).unwrap();
    let files = [wheel("tiny", "1.0"), sdist("tiny", "1.0")];
    files
        .iter()
        .for_each(|(name, bytes)| std::fs::write(dir.join(name), bytes).unwrap());
    let imported = site.home.alone(&["import", dir.to_str().unwrap()]);
    assert_eq!(
        imported.code,
        Some(0),
        "{} {}",
        imported.stdout,
        imported.stderr
    );
    let page = site.page("tiny");
    for (name, bytes) in &files {
        let path = site.file_path(&page, name);
        assert_eq!(&site.gets(&path, "").2, bytes);
        assert_eq!(
            site.gets(&format!("{path}.metadata"), "").0,
            if name.ends_with(".whl") { 200 } else { 404 }
        );
    }
    // Uploading an imported file again finds it published already.
    site.has_uploaded("tiny", "1.0", &files[0]);
    assert_eq!(site.page("tiny"), page);
    let other = site.home.file("notes.txt", "no wheel");
    let manifest = site.home.file(
        "swarmdex.toml",
        "name = \"notes\"\nversion = \"1.0\"\necosystem = \"pypi\"",
    );
    site.home
        .alone(&["publish", &other, "--manifest", &manifest, "--json"])
        .json();
    let (status, _, said) = site.gets("/pypi/simple/notes/", JSON);
    let said = String::from_utf8(said).unwrap();
    assert!(
        status == 404 && said.contains("no wheel and no source distribution"),
        "{said}"
    );
}

#[test]
fn uploads_want_the_token_and_the_same_file_again_is_no_other() {
    let site = Site::start(&["--handle", "alice"]);
    let tiny = wheel("tiny", "1.0");
    let fields = [
        (":action", "file_upload"),
        ("protocol_version", "1"),
        ("name", "tiny"),
        ("version", "1.0"),
        ("filetype", "bdist_wheel"),
    ];
    let body = form(&fields, &tiny.0, &tiny.1);
    let (status, head, said) = site.uploads("/pypi/legacy/", None, &body);
    assert!(
        status == 401 && field(&head, "www-authenticate") == Some("basic realm=\"swarmdex\""),
        "{head} {said}"
    );
    let (status, head, said) = site.uploads("/pypi/legacy/", Some("wrong"), &body);
    assert!(
        status == 403
            && said.contains("setup pip")
            && head.starts_with("http/1.1 403 publishing needs the token"),
        "{head} {said}"
    );
    assert_eq!(site.page("tiny"), Value::Null);
    // It works without the trailing slash too, and without a redirect.
    for path in ["/pypi/legacy", "/pypi/legacy/", "/pypi/legacy/"] {
        let (status, _, said) = site.uploads(path, Some(&site.token()), &body);
        assert_eq!(status, 200, "{said}");
    }
    // uv 0.13.9 sends the fields in another order, without the file type, and some of them twice.
    let digest = sha256(&tiny.1);
    let uv = [
        (":action", "file_upload"),
        ("sha256_digest", &*digest),
        ("protocol_version", "1"),
        ("name", "tiny"),
        ("version", "1"),
        ("classifiers", "a"),
        ("classifiers", "b"),
    ];
    assert_eq!(
        site.uploads(
            "/pypi/legacy/",
            Some(&site.token()),
            &form(&uv, &tiny.0, &tiny.1)
        )
        .0,
        200
    );
    let other = (
        tiny.0.clone(),
        wheel_of("tiny", "tiny", "1.0", "Home-page: https://example.org\n").1,
    );
    let (status, head, said) = site.uploaded("tiny", "1.0", &other);
    assert!(
        status == 400
            && said.contains("already exists")
            && head.lines().next().unwrap().contains("already exists"),
        "{head} {said}"
    );
    assert_eq!(site.page("tiny")["files"].as_array().unwrap().len(), 1);
    let page = site.asks(&format!(
        "POST /pypi/legacy/ HTTP/1.1\r\nHost: HOST\r\nOrigin: \
                                   https://example.org\r\nConnection: close\r\nContent-Length: \
                                   0\r\nAuthorization: Bearer {}\r\n\r\n",
        site.token()
    ));
    assert_eq!(page.0, 403, "a page of somebody else's");
}

#[test]
fn bad_uploads_are_refused_with_nothing_left() {
    let home = Site::start(&["--handle", "alice"]);
    let tiny = wheel("tiny", "1.0");
    let token = home.token();
    let fields = [
        ("name", "tiny"),
        ("version", "1.0"),
        (":action", "file_upload"),
    ];
    let whole = form(&fields, &tiny.0, &tiny.1);
    let with = |more: (&'static str, &'static str)| {
        form(&[&fields[..], &[more]].concat(), &tiny.0, &tiny.1)
    };
    let zeros = "0".repeat(64);
    let cases: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        (
            "cut off",
            whole[..whole.len() - 60].to_vec(),
            400,
            "broke off",
        ),
        ("no form", b"hello".to_vec(), 400, "broke off"),
        ("no file", whole[..200].to_vec(), 400, "broke off"),
        (
            "no archive",
            form(&fields, &tiny.0, b"not a wheel"),
            400,
            "cannot be taken",
        ),
        (
            "cut archive",
            form(&fields, &tiny.0, &tiny.1[..tiny.1.len() / 2]),
            400,
            "cannot be taken",
        ),
        (
            "another name inside",
            form(&fields, &tiny.0, &wheel_of("tiny", "other", "1.0", "").1),
            400,
            "other",
        ),
        (
            "another version inside",
            form(&fields, &tiny.0, &wheel("tiny", "2.0").1),
            400,
            "2.0",
        ),
        (
            "another name said",
            form(&[("name", "other"), ("version", "1.0")], &tiny.0, &tiny.1),
            400,
            "is sent as other 1.0",
        ),
        (
            "another version said",
            form(&[("name", "tiny"), ("version", "1.0.1")], &tiny.0, &tiny.1),
            400,
            "is sent as tiny 1.0.1",
        ),
        (
            "another kind",
            with(("filetype", "sdist")),
            400,
            "bdist_wheel",
        ),
        (
            "another protocol",
            with(("protocol_version", "2")),
            400,
            "protocol",
        ),
        (
            "a wrong MD5",
            with(("md5_digest", "d41d8cd98f00b204e9800998ecf8427e")),
            400,
            "md5_digest",
        ),
        (
            "a wrong BLAKE2",
            with(("blake2_256_digest", "00")),
            400,
            "blake2_256_digest",
        ),
        (
            "a path",
            form(&fields, "../tiny-1.0-py3-none-any.whl", &tiny.1),
            400,
            "name of the file",
        ),
        (
            "no name",
            form(&fields, "", &tiny.1),
            400,
            "name of the file",
        ),
        (
            "an egg",
            form(&fields, "tiny-1.0.egg", &tiny.1),
            400,
            "name of the file",
        ),
        (
            "a registration",
            form(&[(":action", "submit")], &tiny.0, &tiny.1),
            400,
            "need not be registered",
        ),
    ];
    for (what, body, expected, part) in cases {
        let (status, head, said) = home.uploads("/pypi/legacy/", Some(&token), &body);
        assert!(
            status == expected && said.contains(part),
            "{what}: {status} {said}"
        );
        assert!(
            !head.lines().next().unwrap().ends_with("bad request"),
            "{what}: the phrase says why: {head}"
        );
    }
    let wrong = form(&[("sha256_digest", &*zeros)], &tiny.0, &tiny.1);
    assert!(
        home.uploads("/pypi/legacy/", Some(&token), &wrong)
            .2
            .contains("sha256_digest")
    );
    // A body is shorter than announced, because the sender has gone.
    let head = format!(
        "POST /pypi/legacy/ HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer \
         {token}\r\nContent-Length: {}\r\n\
         Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n",
        home.host(),
        whole.len() + 1_000
    );
    let mut gone = std::net::TcpStream::connect(home.host()).unwrap();
    gone.write_all(&[head.as_bytes(), &whole[..whole.len() - 60]].concat())
        .unwrap();
    drop(gone);
    home.keeps_nothing();
    // The complete upload is accepted, so the others left nothing in its way and nothing on disk.
    assert_eq!(home.page("tiny"), Value::Null);
    assert_eq!(home.page("other"), Value::Null);
    home.has_uploaded("tiny", "1.0", &tiny);
    home.keeps_no_upload();
    assert_eq!(home.page("tiny")["files"].as_array().unwrap().len(), 1);
}

#[test]
fn a_gateway_that_is_read_only_takes_no_upload() {
    let read_only = Site::start_with(
        &["--handle", "bob"],
        &[("SWARMDEX_GATEWAY_PUBLISH", "false")],
    );
    let tiny = wheel("tiny", "1.0");
    let (status, _, said) = read_only.uploaded("tiny", "1.0", &tiny);
    assert!(status == 403 && said.contains("read-only"), "{said}");
}

#[test]
fn setup_prints_or_writes_and_takes_out_again() {
    let site = Site::start(&["--handle", "alice"]);
    let (home, token) = (&site.home, site.token());
    let printed = home.alone(&["setup", "pip"]);
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    for part in [
        &*format!("pip install --index-url {}", site.index()),
        "[swarm]",
        "username = __token__",
        &format!("password = {token}"),
    ] {
        assert!(printed.stdout.contains(part), "{part}: {}", printed.stdout);
    }
    assert!(
        home.alone(&["setup", "pip", "--mirror"])
            .stdout
            .contains(&format!("index-url = {}", site.index()))
    );
    let uv = home.alone(&["setup", "uv"]).stdout;
    assert!(
        uv.contains("explicit = true") && uv.contains(&token) && uv.parse::<toml::Table>().is_ok(),
        "{uv}"
    );
    assert!(
        home.alone(&["setup", "uv", "--mirror"])
            .stdout
            .contains("default = true")
    );

    let theirs =
        "[distutils]\nindex-servers =\n    work\n\n[work]\nrepository = https://work.example/\n";
    home.file(".pypirc", theirs);
    let project = home.file(
        "pyproject.toml",
        "[project] # mine\nname = \"a\"\nversion = \"1\"\n",
    );
    let before = std::fs::read_to_string(&project).unwrap();
    for _ in 0..2 {
        for words in [
            &["setup", "pip", "--write", "--mirror", "--global"][..],
            &["setup", "uv", "--write"],
        ] {
            let written = home.alone(words);
            assert_eq!(
                (written.code, &*written.stdout),
                (Some(0), ""),
                "{}",
                written.stderr
            );
        }
    }
    let read = |name: &str| std::fs::read_to_string(home.path(name)).unwrap();
    assert!(
        read(".pypirc").contains(&token) && read(".config/pip/pip.conf").contains(&site.index())
    );
    assert!(read("pyproject.toml").contains("[[tool.uv.index]]"));
    let nowhere = home.alone(&["setup", "pip", "--write", "--mirror"]);
    nowhere.complains(2, &["virtual environment", "--global"]);
    for client in ["pip", "uv"] {
        assert_eq!(home.alone(&["setup", client, "--undo"]).code, Some(0));
    }
    assert_eq!(
        (
            read(".pypirc").contains("swarm"),
            read(".config/pip/pip.conf")
        ),
        (false, String::new())
    );
    assert_eq!(read("pyproject.toml"), before);
}
