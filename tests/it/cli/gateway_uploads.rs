//! Refused uploads leave nothing behind: invalid ones of cargo, and too large or cross-site ones of
//! every client.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use data_encoding::BASE64;

use crate::cli::{
    distributions::{BOUNDARY, form, gzipped, krate},
    gateway::Site,
    gateway_npm::publication,
    program::PATIENCE,
};

/// Returns the bytes of an upload: each part after its length.
pub fn upload(words: &str, file: &[u8]) -> Vec<u8> {
    let part = |bytes: &[u8]| [&(bytes.len() as u32).to_le_bytes()[..], bytes].concat();
    [part(words.as_bytes()), part(file)].concat()
}

#[test]
fn bad_uploads_are_refused_and_leave_nothing() {
    let site = Site::start(&["--handle", "alice"]);
    let token = site.token();
    let put = |body: &[u8], length: usize| {
        let address = site.gateway.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "PUT /cargo/api/v1/crates/new HTTP/1.1\r\nHost: {address}\r\nAuthorization: \
             {token}\r\nConnection: close\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        if body.len() < length && length < 1 << 20 {
            // The client has gone, so there is no answer.
            return String::new();
        }
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    let words = r#"{"name":"tiny","vers":"0.1.0","deps":[]}"#;
    let whole = upload(words, b"no archive");
    let inside = "[package]\nname = \"other\"\nversion = \"0.1.0\"\n";
    for (body, length, said) in [
        (
            whole.clone(),
            whole.len(),
            "cannot be taken: it cannot be read",
        ),
        (
            [&whole[..], b"more"].concat(),
            whole.len() + 4,
            "longer than it says",
        ),
        (
            whole[..whole.len() - 3].to_vec(),
            whole.len() - 3,
            "shorter than it says",
        ),
        (upload("{}", b""), upload("{}", b"").len(), "cannot be read"),
        (b"\xff\xff\xff\xff".to_vec(), 4, "are allowed"),
        (
            upload(&words.replace("tiny", "../tiny"), b""),
            47 + 3,
            "package name",
        ),
        (
            upload(&words.replace("0.1.0", "0.1"), b""),
            45,
            "is no version",
        ),
        (
            upload(words, &krate("other", "0.1.0", "")),
            0,
            "cannot be taken: it has no Cargo.toml",
        ),
        (
            upload(words, &gzipped("tiny-0.1.0", &[("Cargo.toml", inside)])),
            0,
            "holds other 0.1.0",
        ),
        (
            upload(words, &krate("tiny", "0.1.0", "")[..80]),
            0,
            "cannot be taken: it ",
        ),
        (upload(words, b"x"), 2 << 30, "gateway_upload_mb"),
    ] {
        let length = if length < 1 << 20 { body.len() } else { length };
        let answer = put(&body, length);
        assert!(
            answer.starts_with("HTTP/1.1 4") && answer.contains("\"errors\""),
            "{said}: {answer}"
        );
        assert!(answer.contains(said), "{said}: {answer}");
    }
    site.keeps_nothing();
    // Repeating the same bytes succeeds; other bytes for that version are refused.
    site.package("real", "0.1.0", "", "");
    let packed = |code: &str| {
        std::fs::write(site.home.path("real/src/lib.rs"), code).unwrap();
        let ran = site.cargo(
            "real",
            &["package", "--no-verify", "--allow-dirty", "--offline"],
        );
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        upload(
            &words.replace("tiny", "real"),
            &std::fs::read(site.home.path("built/package/real-0.1.0.crate")).unwrap(),
        )
    };
    let real = packed("");
    for _ in 0..2 {
        let answer = put(&real, real.len());
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("\"warnings\""),
            "{answer}"
        );
    }
    let other = packed("// other");
    let answer = put(&other, other.len());
    assert!(
        answer.starts_with("HTTP/1.1 409") && answer.contains("never changes"),
        "{answer}"
    );
    // The upload is cut off in the middle.
    put(&whole[..whole.len() - 3], whole.len());
    site.keeps_no_upload();
    assert!(
        !site
            .home
            .path(".local/share/swarmdex/publisher.key")
            .exists()
            || site.gets("/cargo/ti/ny/tiny", "").0 == 404
    );
}

/// Returns method, path and content type of each client's upload, with a body that has a file of
/// this size.
fn uploads(size: usize) -> [(&'static str, &'static str, String, Vec<u8>); 3] {
    let file = vec![0; size];
    let words = r#"{"name":"big","vers":"1.0.0","deps":[]}"#;
    let form = form(
        &[
            ("name", "big"),
            ("version", "1.0"),
            (":action", "file_upload"),
        ],
        "big-1.0.tar.gz",
        &file,
    );
    [
        (
            "PUT",
            "/cargo/api/v1/crates/new",
            "application/octet-stream".to_owned(),
            upload(words, &file),
        ),
        (
            "PUT",
            "/npm/big",
            "application/json".to_owned(),
            publication("big", "1.0.0", &file).to_string().into_bytes(),
        ),
        (
            "POST",
            "/pypi/legacy/",
            format!("multipart/form-data; boundary={BOUNDARY}"),
            form,
        ),
    ]
}

impl Site {
    fn is_sent(
        &self,
        (method, path, kind, body): &(&str, &str, String, Vec<u8>),
        fields: &str,
    ) -> (u16, String) {
        let token = BASE64.encode(format!("__token__:{}", self.token()).as_bytes());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Basic \
             {token}\r\nContent-Type: \
             {kind}\r\n{fields}\r\n",
            self.host()
        );
        let (status, _, said) = self.sends(&[head.as_bytes(), body].concat());
        (status, String::from_utf8(said).unwrap())
    }
}

#[test]
fn an_upload_over_the_limit_is_refused_whatever_it_says_of_its_length() {
    let site = Site::start_with(
        &["--handle", "alice"],
        &[("SWARMDEX_GATEWAY_UPLOAD_MB", "1")],
    );
    for mut upload in uploads(2 << 20) {
        let path = upload.1;
        let fields = format!("Content-Length: {}\r\n", upload.3.len());
        let (status, said) = site.is_sent(&upload, &fields);
        assert!(
            status == 413 && said.contains("gateway_upload_mb"),
            "{path}: {status} {said}"
        );
        upload.3 = [
            format!("{:x}\r\n", upload.3.len()).as_bytes(),
            &upload.3,
            b"\r\n0\r\n\r\n",
        ]
        .concat();
        let (status, said) = site.is_sent(&upload, "Transfer-Encoding: chunked\r\n");
        assert!(
            status == 413 && said.contains("gateway_upload_mb"),
            "{path}, in pieces: {status} {said}"
        );
    }
    site.keeps_nothing();
}

#[test]
fn a_page_of_another_origin_uploads_nothing_even_if_it_knows_the_token() {
    let site = Site::start(&["--handle", "alice"]);
    for upload in uploads(100) {
        for origin in ["https://evil.example", "null", "http://127.0.0.1:1"] {
            let fields = format!("Origin: {origin}\r\nContent-Length: {}\r\n", upload.3.len());
            let (status, said) = site.is_sent(&upload, &fields);
            assert!(
                status == 403 && said.contains("no business here"),
                "{}: {origin}: {status} {said}",
                upload.1
            );
        }
    }
    site.keeps_nothing();
}
