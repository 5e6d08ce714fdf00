//! Pages for people, served by the gateway.

use crate::cli::gateway::{Site, field};

/// A stranger's readme is shown, but nothing in it runs; every page tells the browser so.
#[test]
fn the_pages_show_a_package_to_a_person_and_run_nothing() {
    let site = Site::start(&["--handle", "alice"]);
    site.package("shown", "1.0.0", "", "");
    let readme =
        "# Shown\n\nSays *hello*. <script>alert(1)</script> ![spy](https://spy.example/x.png)\n";
    std::fs::write(site.home.path("shown").join("README.md"), readme).unwrap();
    let manifest = site.home.path("shown").join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest)
        .unwrap()
        .replace("[workspace]", "readme = \"README.md\"\n[workspace]");
    std::fs::write(&manifest, text).unwrap();
    site.publishes("shown");
    let page = |path: &str| {
        let (status, head, body) = site.gets(path, "");
        (status, head, String::from_utf8(body).unwrap())
    };

    let (status, head, home) = page("/");
    assert_eq!(status, 200);
    let policy = field(&head, "content-security-policy").unwrap();
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    let url = &site.gateway;
    assert!(
        home.contains(&format!("sparse+{url}/cargo/"))
            && home.contains(&format!("{url}/pypi/simple/")),
        "{home}"
    );

    let (_, _, found) = page("/search?q=shown");
    let path = format!("/package/{}/cargo%3Ashown", site.publisher());
    assert!(
        found.contains("1 package<") && found.contains(&format!("href=\"{path}\"")),
        "{found}"
    );
    let (status, _, shown) = page(&path);
    assert_eq!(status, 200);
    for there in [
        "<em>hello</em>",
        "shown-1.0.0.crate",
        "SHA-256",
        "cargo add shown",
        "this node's own key",
    ] {
        assert!(shown.contains(there), "{there}: {shown}");
    }
    assert!(
        !shown.contains("alert") && !shown.contains("spy.example"),
        "{shown}"
    );
    assert_eq!(page(&format!("{path}?version=9.0.0")).0, 404);
    assert_eq!(page("/package/alice/no.such").0, 404);
    let (status, _, said) = page("/search?q=%3Cb%3Eshown");
    assert!(status == 200 && !said.contains("<b>shown"), "{said}");

    let (status, head, body) =
        site.asks("HEAD / HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n");
    assert_eq!((status, body.len()), (200, 0));
    assert_eq!(
        field(&head, "content-length"),
        Some(home.len().to_string().as_str())
    );
    assert_eq!(
        site.asks(
            "POST / HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
        .0,
        405
    );
}
