//! Uploads over the limit, and pages that would have a browser upload: refused by every client's route, with nothing left.

use data_encoding::BASE64;

use crate::{
    distributions::{BOUNDARY, form},
    gateway::{Site, upload},
    gateway_npm::publication,
};

/// The method, path and kind of each client's upload, and its body with so large a file.
fn uploads(size: usize) -> [(&'static str, &'static str, String, Vec<u8>); 3] {
    let file = vec![0; size];
    let words = r#"{"name":"big","vers":"1.0.0","deps":[]}"#;
    let form = form(&[("name", "big"), ("version", "1.0"), (":action", "file_upload")], "big-1.0.tar.gz", &file);
    [
        ("PUT", "/cargo/api/v1/crates/new", "application/octet-stream".to_owned(), upload(words, &file)),
        ("PUT", "/npm/big", "application/json".to_owned(), publication("big", "1.0.0", &file).to_string().into_bytes()),
        ("POST", "/pypi/legacy/", format!("multipart/form-data; boundary={BOUNDARY}"), form),
    ]
}

impl Site {
    fn is_sent(&self, (method, path, kind, body): &(&str, &str, String, Vec<u8>), fields: &str) -> (u16, String) {
        let token = BASE64.encode(format!("__token__:{}", self.token()).as_bytes());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Basic {token}\r\nContent-Type: \
             {kind}\r\n{fields}\r\n",
            self.host()
        );
        let (status, _, said) = self.sends(&[head.as_bytes(), body].concat());
        (status, String::from_utf8(said).unwrap())
    }
}

#[test]
fn an_upload_over_the_limit_is_refused_whatever_it_says_of_its_length() {
    let site = Site::start_with(&["--handle", "alice"], &[("SWARMDEX_GATEWAY_UPLOAD_MB", "1")]);
    for mut upload in uploads(2 << 20) {
        let path = upload.1;
        let fields = format!("Content-Length: {}\r\n", upload.3.len());
        let (status, said) = site.is_sent(&upload, &fields);
        assert!(status == 413 && said.contains("gateway_upload_mb"), "{path}: {status} {said}");
        upload.3 = [format!("{:x}\r\n", upload.3.len()).as_bytes(), &upload.3, b"\r\n0\r\n\r\n"].concat();
        let (status, said) = site.is_sent(&upload, "Transfer-Encoding: chunked\r\n");
        assert!(status == 413 && said.contains("gateway_upload_mb"), "{path}, in pieces: {status} {said}");
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
            assert!(status == 403 && said.contains("no business here"), "{}: {origin}: {status} {said}", upload.1);
        }
    }
    site.keeps_nothing();
}
