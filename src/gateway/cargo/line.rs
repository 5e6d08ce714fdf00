//! Lines of the index: the line that a release brings, adapted to this gateway. Pure.
//!
//! A line comes from a stranger. It counts only if it belongs to its release and has the form that
//! cargo reads.

use serde_json::{Map, Value};

use crate::{
    domain::{
        manifest::{Dependency, Manifest},
        name::{PackageId, PackageName, PublisherId},
    },
    ecosystem::Ecosystem,
};

/// Prefix of a registry of this kind in a signed line, followed by the owner. A signed line never
/// contains the URL of a gateway.
const OWNER: &str = "swarmdex:";

/// The hash that ends the name of the default registry's directory in any cargo home, as of cargo
/// 1.95.
const DEFAULT: &str = "1949cf8c6b5b557f";

/// A line of the index, with the fields that a download needs.
#[derive(Clone, Debug, PartialEq)]
pub struct CrateLine {
    /// The crate's name as its publisher writes it.
    pub name: String,
    /// SHA-256 digest of its file, in lower-case hexadecimal.
    pub digest: String,
    fields: Map<String, Value>,
    /// Length of its text in bytes.
    length: usize,
    /// The registry that the signer's cargo home got it from, by its directory name.
    upstream: Option<String>,
    /// The packages that it depends on, as signed in the manifest.
    needs: Vec<PackageId>,
}

/// Parses the line that came with a release.
///
/// # Errors
/// The reason why cargo could not use the line, or why it belongs to another release.
pub fn read(manifest: &Manifest, text: &[u8]) -> Result<CrateLine, String> {
    let mut fields: Map<String, Value> =
        serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let upstream = fields
        .remove("upstream")
        .and_then(|upstream| upstream.as_str().map(ToOwned::to_owned));
    let field = |key: &str| {
        fields
            .get(key)
            .and_then(Value::as_str)
            .ok_or_else(|| format!("it has no {key}"))
    };
    let (name, version, digest) = (field("name")?, field("vers")?, field("cksum")?);
    if name != manifest.name.as_str() || version != manifest.version.as_str() {
        return Err(format!("it is of {name} {version}"));
    }
    let is_digest = digest.len() == 64
        && digest
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if !is_digest {
        return Err("its cksum is not a SHA-256 in lower-case hexadecimal".to_owned());
    }
    let is_list = |key: &str| fields.get(key).is_some_and(Value::is_array);
    if !is_list("deps") || !fields.get("features").is_some_and(Value::is_object) {
        return Err("it has no list of dependencies, or no features".to_owned());
    }
    let needs =
        |dependency: &Dependency| dependency.id_for_owner(manifest.owner, &manifest.ecosystem);
    let needs = manifest.dependencies.iter().filter_map(needs).collect();
    Ok(CrateLine {
        name: name.to_owned(),
        digest: digest.to_owned(),
        length: text.len(),
        upstream,
        needs,
        fields,
    })
}

impl CrateLine {
    /// Returns true if it may stand in for the default registry: the signer states that it comes
    /// from there, and all its dependencies do, too.
    pub fn is_of_default_registry(&self) -> bool {
        let deps = self
            .fields
            .get("deps")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let is_there = |dep: &Value| dep.get("registry").is_none_or(Value::is_null);
        self.upstream.as_deref() == Some(DEFAULT) && deps.into_iter().all(is_there)
    }

    /// Returns the approximate memory that it takes, in bytes.
    pub fn weight(&self) -> usize {
        // Parsed by serde_json, a text takes several times its length, and more the shorter its
        // strings are.
        self.length * 4 + 512
    }

    /// Returns the line of an index whose URLs begin with `base`. If the index is that of one
    /// publisher, `only`, then dependencies on others name the others' indexes.
    pub fn text(&self, yanked: bool, base: &str, only: Option<&PublisherId>) -> String {
        let mut fields = self.fields.clone();
        fields.insert("yanked".to_owned(), yanked.into());
        for dep in fields
            .get_mut("deps")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            let Some(dep) = dep.as_object_mut() else {
                continue;
            };
            let text = |key: &str| dep.get(key).and_then(Value::as_str);
            let owner = match text("registry") {
                Some(registry) => owner_of(registry),
                None => text("package")
                    .or(text("name"))
                    .and_then(|name| self.elsewhere(name, only?)),
            };
            if let Some(owner) = owner {
                dep.insert(
                    "registry".to_owned(),
                    format!("sparse+{base}/cargo/~{owner}/").into(),
                );
            }
        }
        Value::Object(fields).to_string()
    }

    /// Returns the owner of its dependency of this name, unless that is the publisher of the index.
    fn elsewhere(&self, name: &str, only: &PublisherId) -> Option<PublisherId> {
        let name = PackageName::of(&Ecosystem::Cargo, &name.parse().ok()?).ok()?;
        self.needs
            .iter()
            .find(|need| need.name == name)
            .map(|need| need.owner)
            .filter(|owner| owner != only)
    }
}

/// Returns the registry to sign for a dependency, from the index that cargo gave for it: nothing
/// for a gateway's swarm endpoint, the owner for a publisher's, and any other index unchanged.
pub fn signed_registry(index: Option<&str>, base: &str) -> Option<String> {
    let index = index?;
    match gateway_path(index, base) {
        Some("cargo") => None,
        Some(path) => match path.strip_prefix("cargo/~").map(str::parse::<PublisherId>) {
            Some(Ok(owner)) => Some(format!("{OWNER}{owner}")),
            _ => Some(index.to_owned()),
        },
        None => Some(index.to_owned()),
    }
}

/// Returns the path of an index on this gateway, by whichever name of this machine it was
/// addressed.
fn gateway_path<'a>(index: &'a str, base: &str) -> Option<&'a str> {
    let url = index.strip_prefix("sparse+")?;
    let path = url.strip_prefix(base).or_else(|| {
        let (authority, path) = url.strip_prefix("http://")?.split_once('/')?;
        let host = authority
            .rsplit_once(':')
            .map_or(authority, |(host, _)| host);
        matches!(host, "127.0.0.1" | "localhost" | "[::1]").then_some(path)
    })?;
    Some(path.trim_matches('/'))
}

/// Returns the owner that a signed line names for a dependency.
pub fn owner_of(registry: &str) -> Option<PublisherId> {
    registry.strip_prefix(OWNER)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::identity::Keypair;
    use proptest::prelude::*;
    use serde_json::json;

    use crate::domain::{
        manifest::{Draft, File},
        time::Timestamp,
    };

    fn manifest(name: &str, version: &str) -> Manifest {
        let draft: Draft = toml::from_str(&format!(
            "name = \"{name}\"\nversion = \"{version}\"\necosystem = \"cargo\""
        ))
        .unwrap();
        let file = File::of(&draft.ecosystem, "x.crate", b"x");
        draft
            .into_manifest(PublisherId::nobody(), file, Timestamp(7))
            .unwrap()
    }

    fn line() -> Value {
        json!({"name": "Foo", "vers": "1.0.0", "cksum": "ab".repeat(32), "features": {}, "yanked": false, "deps": [
            {"name": "here", "req": "^1", "registry": null},
            {"name": "renamed", "package": "there", "req": "^1", "registry": null},
            {"name": "far", "req": "^1", "registry": "https://example.org/index"},
        ]})
    }

    #[test]
    fn a_line_counts_for_its_own_release_only() {
        let of = |change: fn(&mut Value)| {
            let mut line = line();
            change(&mut line);
            read(&manifest("Foo", "1.0.0"), line.to_string().as_bytes())
        };
        assert_eq!(of(|_| ()).unwrap().name, "Foo");
        for change in [
            (|line| line["name"] = "foo".into()) as fn(&mut Value),
            |line| line["vers"] = "1.0.1".into(),
            |line| line["cksum"] = "AB".repeat(32).into(),
            |line| line["cksum"] = "ab".into(),
            |line| line["deps"] = Value::Null,
            |line| line["features"] = Value::Null,
            |line| *line = json!([]),
        ] {
            assert!(of(change).is_err());
        }
    }

    #[test]
    fn a_line_is_told_with_the_yank_of_the_head_and_addresses_of_this_gateway() {
        let key = || PublisherId::of(&Keypair::generate_ed25519().public());
        let (owner, other, me) = (key(), key(), key());
        let mut given = line();
        given["deps"][0]["registry"] = format!("swarmdex:{owner}").into();
        let mut manifest = manifest("Foo", "1.0.0");
        manifest.dependencies = vec![Dependency::on(
            format!("{other}/cargo:there"),
            "^1".parse().unwrap(),
        )];
        let read = read(&manifest, given.to_string().as_bytes()).unwrap();
        let base = "http://127.0.0.1:1";
        let told = |only| {
            let text = read.text(true, base, only);
            assert!(!text.contains('\n'));
            serde_json::from_str::<Value>(&text).unwrap()
        };
        let (swarm, theirs, mine) = (told(None), told(Some(&other)), told(Some(&me)));
        assert_eq!(swarm["yanked"], true);
        assert_eq!(
            swarm["deps"][0]["registry"],
            format!("sparse+{base}/cargo/~{owner}/")
        );
        assert_eq!(
            (
                &swarm["deps"][1]["registry"],
                &theirs["deps"][1]["registry"]
            ),
            (&Value::Null, &Value::Null)
        );
        assert_eq!(
            mine["deps"][1]["registry"],
            format!("sparse+{base}/cargo/~{other}/")
        );
        assert_eq!(swarm["deps"][2]["registry"], "https://example.org/index");
    }

    #[test]
    fn only_what_the_default_registry_has_with_all_it_needs_stands_in_for_it() {
        let of = |upstream: Option<&str>, far: bool| {
            let mut given = line();
            if let Some(upstream) = upstream {
                given["upstream"] = upstream.into();
            }
            if !far {
                given["deps"].as_array_mut().unwrap().pop();
            }
            read(&manifest("Foo", "1.0.0"), given.to_string().as_bytes()).unwrap()
        };
        assert!(of(Some("1949cf8c6b5b557f"), false).is_of_default_registry());
        assert!(!of(Some("1949cf8c6b5b557f"), true).is_of_default_registry());
        assert!(!of(Some("index.example.org"), false).is_of_default_registry());
        assert!(!of(None, false).is_of_default_registry());
        assert!(
            !of(Some("1949cf8c6b5b557f"), false)
                .text(false, "", None)
                .contains("upstream"),
            "cargo knows no such field"
        );
    }

    #[test]
    fn no_address_of_a_gateway_is_signed() {
        let owner = PublisherId::of(&Keypair::generate_ed25519().public());
        let base = "http://127.0.0.1:4810";
        let signed = |index: &str| signed_registry(Some(index), base);
        assert_eq!(signed_registry(None, base), None);
        assert_eq!(signed(&format!("sparse+{base}/cargo/")), None);
        let of_owner = signed(&format!("sparse+{base}/cargo/~{owner}/")).unwrap();
        assert_eq!(owner_of(&of_owner), Some(owner));
        assert_eq!(
            signed("sparse+http://localhost:4810/cargo/"),
            None,
            "another name of this machine"
        );
        let other = "sparse+http://127.0.0.1:9000/index/";
        assert_eq!(signed(other).as_deref(), Some(other));
        let far = "https://example.org/index";
        assert_eq!(signed(far).as_deref(), Some(far));
        assert_eq!(owner_of(far), None);
    }

    proptest! {
        #[test]
        fn any_text_is_a_line_or_a_reason(text in ".{0,200}") {
            let _ = read(&manifest("a", "1.0.0"), text.as_bytes());
        }
    }
}
