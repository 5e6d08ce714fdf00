//! The requests of npm and compatible clients, by method and path. Pure.

use axum::http::Method;

/// A request to the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    Ping,
    Whoami,
    Search,
    /// A bulk query for vulnerabilities; old clients request a report instead.
    Advisories,
    Audit,
    /// A request about accounts, which do not exist here.
    Account,
    /// All versions of a package.
    Document {
        name: String,
    },
    /// One version, by its number or a tag.
    Version {
        name: String,
        version: String,
    },
    Tarball {
        name: String,
        file: String,
    },
    Tags {
        name: String,
    },
    /// A publish, or a document with changes to its versions. If it names a revision, versions that
    /// it lacks are unpublished.
    Put {
        name: String,
        rev: Option<String>,
    },
    Unpublish {
        name: String,
        rev: String,
    },
    UnpublishFile {
        name: String,
        file: String,
    },
    SetTag {
        name: String,
        tag: String,
    },
    RemoveTag {
        name: String,
        tag: String,
    },
}

/// Parses a request; `None` if no client sends it. A package name has one part or two:
/// `@scope%2fname` or `@scope/name`.
pub fn of(method: &Method, parts: &[String]) -> Option<Route> {
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let parts = parts.strip_suffix(&[""]).unwrap_or(&parts);
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    match parts {
        ["-", service @ ..] => of_service(method, is_read, service),
        [scope, own, rest @ ..] if scope.starts_with('@') && !scope.contains('/') => {
            of_package(method, is_read, format!("{scope}/{own}"), rest)
        }
        [name, rest @ ..] => of_package(method, is_read, (*name).to_owned(), rest),
        [] => None,
    }
}

fn of_service(method: &Method, is_read: bool, parts: &[&str]) -> Option<Route> {
    match parts {
        ["ping"] if is_read => Some(Route::Ping),
        ["whoami"] if is_read => Some(Route::Whoami),
        ["v1", "search"] if is_read => Some(Route::Search),
        ["npm", "v1", "security", "advisories", "bulk"] if *method == Method::POST => {
            Some(Route::Advisories)
        }
        ["npm", "v1", "security", "audits"] | ["npm", "v1", "security", "audits", "quick"]
            if *method == Method::POST =>
        {
            Some(Route::Audit)
        }
        ["v1", "login"] | ["user", ..] | ["npm", "v1", "tokens" | "user", ..] => {
            Some(Route::Account)
        }
        ["package", rest @ ..] => of_tags(method, is_read, rest),
        _ => None,
    }
}

fn of_tags(method: &Method, is_read: bool, parts: &[&str]) -> Option<Route> {
    let (name, rest) = match parts {
        [scope, own, rest @ ..] if scope.starts_with('@') && !scope.contains('/') => {
            (format!("{scope}/{own}"), rest)
        }
        [name, rest @ ..] => ((*name).to_owned(), rest),
        [] => return None,
    };
    match rest {
        ["dist-tags"] if is_read => Some(Route::Tags { name }),
        ["dist-tags", tag] => match *method {
            Method::PUT | Method::POST => Some(Route::SetTag {
                name,
                tag: (*tag).to_owned(),
            }),
            Method::DELETE => Some(Route::RemoveTag {
                name,
                tag: (*tag).to_owned(),
            }),
            _ => None,
        },
        _ => None,
    }
}

fn of_package(method: &Method, is_read: bool, name: String, rest: &[&str]) -> Option<Route> {
    let text = |text: &&str| (*text).to_owned();
    match rest {
        [] if is_read => Some(Route::Document { name }),
        [] if *method == Method::PUT => Some(Route::Put { name, rev: None }),
        [version] if is_read => Some(Route::Version {
            name,
            version: text(version),
        }),
        ["-rev", rev] => match *method {
            Method::PUT => Some(Route::Put {
                name,
                rev: Some(text(rev)),
            }),
            Method::DELETE => Some(Route::Unpublish {
                name,
                rev: text(rev),
            }),
            _ => None,
        },
        ["-", file] if is_read => Some(Route::Tarball {
            name,
            file: text(file),
        }),
        ["-", file, "-rev", _] if *method == Method::DELETE => Some(Route::UnpublishFile {
            name,
            file: text(file),
        }),
        _ => None,
    }
}

/// Returns the version in the name of a package's file: `name-1.0.0.tgz`, without the scope.
pub fn version_of<'a>(name: &str, file: &'a str) -> Option<&'a str> {
    file.strip_prefix(short(name))?
        .strip_prefix('-')?
        .strip_suffix(".tgz")
}

/// Returns a name without its scope.
pub fn short(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use crate::gateway::path;

    fn asked(method: Method, path: &str) -> Option<Route> {
        of(&method, &path::parts(path).unwrap())
    }

    #[test]
    fn a_name_is_one_in_each_way_of_writing_it() {
        for (path, name) in [
            ("left-pad", "left-pad"),
            ("left-pad/", "left-pad"),
            ("@a/b", "@a/b"),
            ("@a%2fb", "@a/b"),
            ("@a%2Fb", "@a/b"),
            ("%40a%2Fb", "@a/b"),
        ] {
            let name = name.to_owned();
            assert_eq!(
                asked(Method::GET, path),
                Some(Route::Document { name: name.clone() }),
                "{path}"
            );
            assert_eq!(
                asked(Method::PUT, path),
                Some(Route::Put {
                    name: name.clone(),
                    rev: None
                }),
                "{path}"
            );
            let below = |rest: &str| format!("{}/{rest}", path.trim_end_matches('/'));
            let file = "b-1.0.0.tgz".to_owned();
            assert_eq!(
                asked(Method::GET, &below("-/b-1.0.0.tgz")),
                Some(Route::Tarball {
                    name: name.clone(),
                    file: file.clone()
                })
            );
            assert_eq!(
                asked(Method::DELETE, &below("-/b-1.0.0.tgz/-rev/3-7")),
                Some(Route::UnpublishFile {
                    name: name.clone(),
                    file
                })
            );
            assert_eq!(
                asked(Method::GET, &below("1.0.0")),
                Some(Route::Version {
                    name: name.clone(),
                    version: "1.0.0".into()
                })
            );
            assert_eq!(
                asked(Method::DELETE, &below("-rev/3-7")),
                Some(Route::Unpublish {
                    name: name.clone(),
                    rev: "3-7".into()
                })
            );
            assert_eq!(
                asked(Method::PUT, &below("-rev/3-7")),
                Some(Route::Put {
                    name: name.clone(),
                    rev: Some("3-7".into())
                })
            );
            let tags = format!("-/package/{}/dist-tags", path.trim_end_matches('/'));
            assert_eq!(
                asked(Method::GET, &tags),
                Some(Route::Tags { name: name.clone() })
            );
            let set = Some(Route::SetTag {
                name: name.clone(),
                tag: "next".into(),
            });
            assert_eq!(asked(Method::PUT, &format!("{tags}/next")), set);
            assert_eq!(
                asked(Method::DELETE, &format!("{tags}/next")),
                Some(Route::RemoveTag {
                    name,
                    tag: "next".into()
                })
            );
        }
    }

    #[test]
    fn what_is_no_package_is_a_service_or_nothing() {
        for (method, path, route) in [
            (Method::GET, "-/ping", Route::Ping),
            (Method::GET, "-/whoami", Route::Whoami),
            (Method::GET, "-/v1/search", Route::Search),
            (
                Method::POST,
                "-/npm/v1/security/advisories/bulk",
                Route::Advisories,
            ),
            (Method::POST, "-/npm/v1/security/audits/quick", Route::Audit),
            (Method::PUT, "-/user/org.couchdb.user:me", Route::Account),
            (Method::POST, "-/v1/login", Route::Account),
        ] {
            assert_eq!(asked(method, path), Some(route), "{path}");
        }
        for (method, path) in [
            (Method::GET, ""),
            (Method::GET, "-/npm/v1/attestations/a@1.0.0"),
            (Method::GET, "-/npm/v1/security/advisories/bulk"),
            (Method::DELETE, "a"),
            (Method::POST, "a"),
            (Method::PUT, "a/-/a-1.0.0.tgz"),
            (Method::GET, "a/-/a-1.0.0.tgz/more"),
            (Method::GET, "a/b/c"),
        ] {
            assert_eq!(asked(method, path), None, "{path}");
        }
    }

    #[test]
    fn a_files_name_says_its_version() {
        assert_eq!(version_of("a", "a-1.0.0.tgz"), Some("1.0.0"));
        assert_eq!(
            version_of("@s/a-b", "a-b-1.0.0-rc.1.tgz"),
            Some("1.0.0-rc.1")
        );
        for file in ["b-1.0.0.tgz", "a1.0.0.tgz", "a-1.0.0.tar", "@s/a-1.0.0.tgz"] {
            assert_eq!(version_of("a", file), None, "{file}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_a_request_or_none(path in "[a-z@/._%2f-]{0,40}") {
            if let Some(parts) = path::parts(&path) {
                for method in [Method::GET, Method::PUT, Method::DELETE, Method::POST] {
                    let _ = of(&method, &parts);
                }
            }
        }
    }
}
