//! The requests of pip, uv and upload tools, by method and path. Pure.

use axum::http::Method;

use crate::{domain::hash::Sha256Digest, ecosystem::Ecosystem};

/// The suffix of the path of a wheel's metadata (PEP 658).
const METADATA: &str = ".metadata";

/// A request to an index of Python packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// The list of projects.
    List,
    /// The page of a project, by its normalised name.
    Project(String),
    /// A page that has another path on this gateway.
    Elsewhere(String),
    File {
        sha256: Sha256Digest,
        name: String,
    },
    /// The metadata beside a wheel.
    Metadata {
        sha256: Sha256Digest,
        /// The name of the wheel.
        name: String,
    },
    Upload,
}

/// Parses a request; `None` if no client sends it.
pub fn of(method: &Method, parts: &[String]) -> Option<Route> {
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    match parts.as_slice() {
        ["legacy"] | ["legacy", ""] => (*method == Method::POST).then_some(Route::Upload),
        ["simple"] if is_read => Some(Route::Elsewhere("/pypi/simple/".to_owned())),
        ["simple", ""] if is_read => Some(Route::List),
        ["simple", name] | ["simple", name, ""] if is_read => {
            let normal = Ecosystem::Pypi.normalise(name).ok()?;
            let is_there = parts.len() == 3 && normal == *name;
            Some(if is_there {
                Route::Project(normal)
            } else {
                Route::Elsewhere(page_of(&normal))
            })
        }
        ["files", sha256, name] if is_read => {
            let sha256 = sha256.parse().ok()?;
            Some(match name.strip_suffix(METADATA) {
                Some(wheel) => Route::Metadata {
                    sha256,
                    name: wheel.to_owned(),
                },
                None => Route::File {
                    sha256,
                    name: (*name).to_owned(),
                },
            })
        }
        _ => None,
    }
}

/// Returns the path of a project's page.
fn page_of(normal: &str) -> String {
    format!("/pypi/simple/{normal}/")
}

/// Returns the URL of a file, relative to the project's page: with an absolute one, the page would
/// differ for every name of the host.
pub fn file_from_page(sha256: &str, name: &str) -> String {
    let mut path = format!("../../files/{sha256}/");
    for byte in name.bytes() {
        match byte {
            b'!' | b'+' | b'-' | b'.' | b'_' | b'~' => path.push(byte.into()),
            byte if byte.is_ascii_alphanumeric() => path.push(byte.into()),
            byte => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use crate::gateway::path;

    fn asked(method: Method, path: &str) -> Option<Route> {
        of(&method, &path::parts(path).unwrap())
    }

    fn get(path: &str) -> Option<Route> {
        asked(Method::GET, path)
    }

    #[test]
    fn what_python_clients_ask_is_known() {
        let digest = "ab".repeat(32);
        let sha256: Sha256Digest = digest.parse().unwrap();
        let elsewhere = |path: &str| Some(Route::Elsewhere(path.to_owned()));
        assert_eq!(get("simple/"), Some(Route::List));
        assert_eq!(get("simple"), elsewhere("/pypi/simple/"));
        assert_eq!(
            get("simple/zope-interface/"),
            Some(Route::Project("zope-interface".to_owned()))
        );
        assert_eq!(
            asked(Method::HEAD, "simple/a/"),
            Some(Route::Project("a".to_owned()))
        );
        for path in [
            "simple/Zope.Interface/",
            "simple/zope_interface",
            "simple/zope-interface",
            "simple/zope--interface/",
        ] {
            assert_eq!(
                get(path),
                elsewhere("/pypi/simple/zope-interface/"),
                "{path}"
            );
        }
        let wheel = "ep-1!0.5-py3-none-any.whl";
        let file = Some(Route::File {
            sha256,
            name: wheel.to_owned(),
        });
        assert_eq!(get(&format!("files/{digest}/{wheel}")), file);
        assert_eq!(
            get(&format!("files/{digest}/{}", wheel.replace('!', "%21"))),
            file
        );
        let metadata = Some(Route::Metadata {
            sha256,
            name: wheel.to_owned(),
        });
        assert_eq!(get(&format!("files/{digest}/{wheel}.metadata")), metadata);
        assert_eq!(asked(Method::POST, "legacy/"), Some(Route::Upload));
        assert_eq!(asked(Method::POST, "legacy"), Some(Route::Upload));
        for (method, path) in [
            (Method::GET, "legacy/"),
            (Method::POST, "simple/"),
            (Method::GET, "simple/-a/"),
            (Method::GET, "simple/a%2fb/"),
            (Method::GET, "simple/a/b/"),
            (Method::GET, "files/abc/a-1.tar.gz"),
            (Method::GET, "files"),
            (Method::GET, ""),
        ] {
            assert_eq!(asked(method, path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_file_is_where_its_page_says(name in "[!-.0-~]{1,60}") {
            prop_assume!(!name.ends_with(METADATA));
            let digest = "cd".repeat(32);
            let path = file_from_page(&digest, &name);
            let path = path.strip_prefix("../../").unwrap();
            prop_assert!(!path.contains(['?', '#', '"', '<']));
            prop_assert_eq!(get(path), Some(Route::File { sha256: digest.parse().unwrap(), name }));
        }

        #[test]
        fn any_path_is_a_request_or_none(path in "[a-zA-Z0-9~/._+-]{0,60}") {
            if let Some(Route::Elsewhere(path)) = get(&path) {
                let there = get(path.strip_prefix("/pypi/").unwrap());
                prop_assert!(matches!(there, Some(Route::List | Route::Project(_))), "one redirect is the last: {:?}", there);
            }
        }
    }
}
