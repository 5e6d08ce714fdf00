//! Cargo's requests, by method and path. Pure.

use axum::http::Method;

use crate::{domain::name::Owner, ecosystem::cargo::index_path};

/// The packages that an endpoint serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The swarm's: names resolve as on this node.
    Swarm,
    /// Those attested from upstream, in place of the default registry.
    Mirror,
    /// One publisher's: `~PUBLISHER-ID`, or `~handle` for a pinned one.
    Of(Owner),
}

impl Scope {
    /// Returns the path of the endpoint.
    pub fn path(&self) -> String {
        match self {
            Self::Swarm => "/cargo".to_owned(),
            Self::Mirror => "/cargo-mirror".to_owned(),
            Self::Of(Owner::Publisher(owner)) => format!("/cargo/~{owner}"),
            Self::Of(Owner::Handle(handle)) => format!("/cargo/~{handle}"),
        }
    }
}

/// A request to a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    Config,
    /// The index file of a crate, by its name in lower case.
    Index(String),
    Search,
    Download {
        name: String,
        version: String,
    },
    Publish,
    Yank {
        name: String,
        version: String,
        yanked: bool,
    },
    Owners {
        name: String,
    },
    ChangeOwners {
        name: String,
    },
}

/// Parses a request to the mirror; `None` if cargo never sends it to one.
pub fn of_mirror(method: &Method, parts: &[String]) -> Option<(Scope, Route)> {
    match of(method, parts)? {
        (Scope::Swarm, route @ (Route::Config | Route::Index(_) | Route::Download { .. })) => {
            Some((Scope::Mirror, route))
        }
        _ => None,
    }
}

/// Parses a request and its scope; `None` if cargo never sends it.
pub fn of(method: &Method, parts: &[String]) -> Option<(Scope, Route)> {
    let mut parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let scope = match parts.first().and_then(|first| first.strip_prefix('~')) {
        Some(owner) => {
            let owner = match owner.parse() {
                Ok(handle) => Owner::Handle(handle),
                Err(_) => Owner::Publisher(owner.parse().ok()?),
            };
            parts.remove(0);
            Scope::Of(owner)
        }
        None => Scope::Swarm,
    };
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    let text = |text: &str| text.to_owned();
    let route = match parts.as_slice() {
        ["config.json"] if is_read => Route::Config,
        ["api", "v1", "crates"] if is_read => Route::Search,
        ["api", "v1", "crates", "new"] if *method == Method::PUT => Route::Publish,
        ["api", "v1", "crates", name, "owners"] => match *method {
            Method::GET | Method::HEAD => Route::Owners { name: text(name) },
            Method::PUT | Method::DELETE => Route::ChangeOwners { name: text(name) },
            _ => return None,
        },
        ["api", "v1", "crates", name, version, what] => match (*what, method) {
            ("download", _) if is_read => Route::Download {
                name: text(name),
                version: text(version),
            },
            ("yank", &Method::DELETE) => Route::Yank {
                name: text(name),
                version: text(version),
                yanked: true,
            },
            ("unyank", &Method::PUT) => Route::Yank {
                name: text(name),
                version: text(version),
                yanked: false,
            },
            _ => return None,
        },
        [.., name] if is_read && index_path(name).is_some_and(|path| path == parts.join("/")) => {
            Route::Index(text(name))
        }
        _ => return None,
    };
    Some((scope, route))
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::identity::Keypair;
    use proptest::prelude::*;

    use crate::{domain::name::PublisherId, gateway::path};

    fn asked(method: Method, path: &str) -> Option<(Scope, Route)> {
        of(&method, &path::parts(path).unwrap())
    }

    #[test]
    fn what_cargo_asks_is_known() {
        let swarm = |method, path| match asked(method, path) {
            Some((Scope::Swarm, route)) => Some(route),
            other => other.map(|other| panic!("{other:?}")),
        };
        let (name, version) = ("Inflector".to_owned(), "1.0.0+build".to_owned());
        assert_eq!(swarm(Method::GET, "config.json"), Some(Route::Config));
        for (path, name) in [
            ("1/a", "a"),
            ("2/ab", "ab"),
            ("3/a/abc", "abc"),
            ("se/rd/serde", "serde"),
        ] {
            assert_eq!(
                swarm(Method::GET, path),
                Some(Route::Index(name.to_owned()))
            );
        }
        assert_eq!(
            swarm(Method::GET, "api/v1/crates/Inflector/1.0.0+build/download"),
            Some(Route::Download {
                name: name.clone(),
                version: version.clone()
            })
        );
        let yank = |yanked| {
            Some(Route::Yank {
                name: name.clone(),
                version: version.clone(),
                yanked,
            })
        };
        assert_eq!(
            swarm(Method::DELETE, "api/v1/crates/Inflector/1.0.0%2bbuild/yank"),
            yank(true)
        );
        assert_eq!(
            swarm(Method::PUT, "api/v1/crates/Inflector/1.0.0+build/unyank"),
            yank(false)
        );
        assert_eq!(
            swarm(Method::PUT, "api/v1/crates/new"),
            Some(Route::Publish)
        );
        assert_eq!(swarm(Method::GET, "api/v1/crates"), Some(Route::Search));
        assert_eq!(
            swarm(Method::GET, "api/v1/crates/a/owners"),
            Some(Route::Owners { name: "a".into() })
        );
        assert_eq!(
            swarm(Method::DELETE, "api/v1/crates/a/owners"),
            Some(Route::ChangeOwners { name: "a".into() })
        );
        for (method, path) in [
            (Method::GET, "se/rd/Serde"),
            (Method::GET, "rd/se/serde"),
            (Method::GET, "serde"),
            (Method::GET, "../../config.json"),
            (Method::POST, "api/v1/crates/new"),
            (Method::DELETE, "config.json"),
            (Method::GET, "api/v1/crates/a/1.0.0/yank"),
            (Method::GET, ""),
        ] {
            assert_eq!(asked(method, path), None, "{path}");
        }
    }

    #[test]
    fn an_endpoint_may_be_one_publishers() {
        let key = PublisherId::of(&Keypair::generate_ed25519().public());
        let (scope, route) = asked(Method::GET, &format!("~{key}/se/rd/serde")).unwrap();
        assert_eq!(
            (scope.path(), route),
            (format!("/cargo/~{key}"), Route::Index("serde".into()))
        );
        let (scope, _) = asked(Method::GET, "~alice/config.json").unwrap();
        assert_eq!(scope, Scope::Of(Owner::Handle("alice".parse().unwrap())));
        assert_eq!(asked(Method::GET, "~12D3KooWnobody/config.json"), None);
    }

    proptest! {
        #[test]
        fn every_name_has_one_index_file(name in "[a-z][a-z0-9_-]{0,20}") {
            let path = index_path(&name).unwrap();
            prop_assert_eq!(asked(Method::GET, &path), Some((Scope::Swarm, Route::Index(name))));
        }

        #[test]
        fn any_path_is_a_request_or_none(path in "[a-zA-Z0-9~/._+-]{0,40}") {
            let _ = asked(Method::GET, &path);
        }
    }
}
