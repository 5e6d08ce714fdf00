//! Replays requests of package managers that are newer than those on this machine. The files in
//! `tests/clients/recorded` were recorded with `tests/clients/run --record`.

use std::path::Path;

use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::gateway::{Site, field};

#[derive(Deserialize)]
struct Recorded {
    method: String,
    path: String,
    /// Status of the answer at that time.
    status: u16,
    headers: Vec<(String, String)>,
    body: Option<Body>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Body {
    Text(String),
    Bytes { base64: String },
}

impl Recorded {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }

    fn bytes(&self) -> Vec<u8> {
        match &self.body {
            None => Vec::new(),
            Some(Body::Text(text)) => text.clone().into_bytes(),
            Some(Body::Bytes { base64 }) => BASE64.decode(base64.as_bytes()).unwrap(),
        }
    }

    fn is_document(&self) -> bool {
        self.path.starts_with("/npm/")
            && !self.path.contains("/-/")
            && matches!(&*self.method, "GET" | "HEAD")
    }
}

/// Returns every file, with its client.
fn recordings() -> Vec<(String, Vec<Recorded>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/recorded");
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        let mut lines = text.lines();
        let about: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
        let requests = lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        (about["client"].as_str().unwrap().to_owned(), requests)
    };
    files.iter().map(|path| read(path)).collect()
}

impl Site {
    /// Sends a recorded request to this gateway, with its token.
    fn replays(&self, one: &Recorded) -> (u16, String, Vec<u8>) {
        let token = self.token();
        let basic = BASE64.encode(format!("__token__:{token}").as_bytes());
        let now = |text: &str| {
            text.replace("HOST", self.host())
                .replace("TOKEN", &token)
                .replace("BASIC", &basic)
        };
        let body = match &one.body {
            Some(Body::Text(text)) => now(text).into_bytes(),
            _ => one.bytes(),
        };
        let mut head = format!("{} {} HTTP/1.1\r\n", one.method, now(&one.path));
        for (name, value) in &one.headers {
            head.push_str(&format!("{name}: {}\r\n", now(value)));
        }
        if one.body.is_some() {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("connection: close\r\n\r\n");
        self.sends(&[head.as_bytes(), &body].concat())
    }
}

/// Checks that an answer has what these clients need besides the status.
fn is_fit(site: &Site, one: &Recorded, (status, head, body): &(u16, String, Vec<u8>)) {
    let what = format!("{} {}: {head}", one.method, one.path);
    assert_eq!(
        field(head, "last-modified"),
        None,
        "npm and uv would not ask again: {what}"
    );
    assert!(
        *status == 304 || field(head, "content-length").is_some(),
        "{what}"
    );
    let is_file = [".tgz", ".whl", ".tar.gz", "/download"]
        .iter()
        .any(|end| one.path.ends_with(end));
    if is_file {
        assert_eq!(field(head, "content-encoding"), None, "{what}");
    }
    if one.method == "HEAD" {
        assert!(
            body.is_empty() && field(head, "content-length") != Some("0"),
            "{what}"
        );
    }
    if *status == 206 {
        let range = one.header("range").unwrap().strip_prefix("bytes=").unwrap();
        assert!(
            field(head, "content-range")
                .unwrap()
                .starts_with(&format!("bytes {range}/")),
            "{what}"
        );
        assert_eq!(
            field(head, "content-length"),
            Some(&*body.len().to_string()),
            "{what}"
        );
    }
    if one.is_document() && one.method == "GET" && *status == 200 {
        let document: Value = serde_json::from_slice(body).unwrap();
        let is_whole = field(head, "content-type") == Some("application/json");
        for (version, said) in document["versions"].as_object().unwrap() {
            let name = document["name"].as_str().unwrap();
            let short = name.rsplit('/').next().unwrap();
            // npm 12 accepts a tarball only if its address begins with the registry's.
            let address = format!("{}{name}/-/{short}-{version}.tgz", site.registry());
            assert_eq!(said["dist"]["tarball"], address.as_str(), "{what}");
            // yarn 4 accepts a version only with its time.
            assert!(!is_whole || document["time"][version].is_string(), "{what}");
        }
    }
}

#[test]
fn requests_of_newer_clients_are_answered_as_when_they_were_recorded() {
    let recordings = recordings();
    for (client, requests) in &recordings {
        let site = Site::start(&["--handle", "alice"]);
        for one in requests {
            let answer = site.replays(one);
            let said = String::from_utf8_lossy(&answer.2);
            // An npm client's ETag belonged to another address, so the full answer is sent.
            let is_as_then = answer.0 == one.status || (one.status, answer.0) == (304, 200);
            assert!(
                is_as_then,
                "{client}: {} {}: {} {said}",
                one.method, one.path, answer.1
            );
            is_fit(&site, one, &answer);
        }
    }
    // A recording without the request that its client is known for was made in the wrong way, and
    // must be made again.
    let of = |client: &str, is_it: &dyn Fn(&Recorded) -> bool| {
        let recorded = recordings
            .iter()
            .filter(|(name, _)| name.starts_with(client));
        assert!(
            recorded.flat_map(|(_, requests)| requests).any(is_it),
            "{client} is not recorded as it is"
        );
    };
    let is_in = |one: &Recorded, text: &str| String::from_utf8_lossy(&one.bytes()).contains(text);
    of("cargo", &|one| one.path == "/cargo/api/v1/crates/new");
    of("pip", &|one| one.path.ends_with(".metadata"));
    of("uv", &|one| one.header("range").is_some());
    of("twine 7", &|one| {
        is_in(one, "\"blake2_256_digest\"") && !is_in(one, "\"md5_digest\"")
    });
    of("poetry", &|one| one.path.starts_with("/pypi/legacy/"));
    of("npm 12", &|one| {
        one.is_document() && one.header("accept") == Some("application/json")
    });
    of("pnpm", &|one| one.is_document() && one.method == "HEAD");
    of("yarn 1", &|one| one.method == "PUT");
    of("yarn 4", &|one| {
        one.is_document() && one.header("accept").is_none()
    });
    of("bun", &|one| one.path.ends_with("/advisories/bulk"));
}
