//! One version as documents list it: the `package.json` of its tarball, and its owner's current
//! statements. Pure.
//!
//! A `package.json` comes from a stranger. It counts only if it belongs to its release, and the URL
//! and digests of the file are never taken from it.

use data_encoding::BASE64;
use serde_json::{Map, Value, json};

use crate::domain::{
    manifest::{File, Manifest},
    time::Timestamp,
    version::VersionText,
};

/// Fields that an install needs: those of the abbreviated form.
const SHORT: [&str; 18] = [
    "name",
    "version",
    "dependencies",
    "optionalDependencies",
    "devDependencies",
    "bundleDependencies",
    "bundledDependencies",
    "peerDependencies",
    "peerDependenciesMeta",
    "acceptDependencies",
    "bin",
    "directories",
    "engines",
    "cpu",
    "os",
    "libc",
    "funding",
    "hasInstallScript",
];
/// Fields of the latest version that the document also has for the whole package.
const OF_PACKAGE: [&str; 8] = [
    "description",
    "license",
    "keywords",
    "homepage",
    "repository",
    "bugs",
    "author",
    "contributors",
];

/// A version of a package.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionDocument {
    /// As in the tarball: without build metadata.
    pub version: String,
    /// The publication time as stated by its upstream or its tarball, or else its signing time.
    pub time: Timestamp,
    /// The deprecation message in its own `package.json`.
    deprecated: Option<String>,
    /// Its full form as JSON, without the end, to which the file and the deprecation are added.
    full: String,
    short: String,
    /// The digests of its file, in the same way.
    digests: String,
}

/// Parses the `package.json` that came with a release.
///
/// # Errors
/// The reason why npm could not use it, or why it belongs to another release.
pub fn read(manifest: &Manifest, text: &[u8]) -> Result<VersionDocument, String> {
    let mut fields: Map<String, Value> =
        serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let field = |key: &str| {
        fields
            .get(key)
            .and_then(Value::as_str)
            .ok_or_else(|| format!("it has no {key}"))
    };
    let (name, version) = (field("name")?, field("version")?.to_owned());
    let key = |version: &VersionText| version.key(&manifest.ecosystem);
    let parsed: Option<VersionText> = version.parse().ok();
    if name != manifest.name.as_str() || parsed.as_ref().map(key) != Some(key(&manifest.version)) {
        return Err(format!("it is of {name} {version}"));
    }
    let file = manifest.first().ok_or("it has no file")?;
    let digests = digests(file)?;
    let deprecated = fields.remove("deprecated");
    let deprecated = deprecated.and_then(|text| {
        text.as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    });
    // Fields that begin with an underscore belong to a registry, and so does the file.
    fields.retain(|key, _| {
        !key.starts_with('_') && !matches!(key.as_str(), "dist" | "hasInstallScript")
    });
    let has_script = |name: &&str| {
        fields
            .get("scripts")
            .is_some_and(|scripts| scripts.get(*name).is_some())
    };
    if ["preinstall", "install", "postinstall"]
        .iter()
        .any(has_script)
    {
        fields.insert("hasInstallScript".to_owned(), true.into());
    }
    let short = |(key, value): (&String, &Value)| {
        SHORT
            .contains(&key.as_str())
            .then(|| (key.clone(), value.clone()))
    };
    let short: Map<String, Value> = fields.iter().filter_map(short).collect();
    let time = file.published_at.unwrap_or(manifest.signed_at);
    Ok(VersionDocument {
        version,
        time,
        deprecated,
        full: open(&fields),
        short: open(&short),
        digests,
    })
}

/// Returns an object's text without its closing brace. The object has at least a name.
fn open(fields: &Map<String, Value>) -> String {
    let mut text = serde_json::to_string(fields).unwrap_or_default();
    text.pop();
    text
}

fn digests(file: &File) -> Result<String, String> {
    let sha512 = file
        .sha512
        .ok_or("its signer gives no SHA-512 of its file, which npm needs to verify it")?;
    let mut digests = format!("\"integrity\":\"sha512-{}\"", BASE64.encode(&sha512.0));
    if let Some(sha1) = file.sha1 {
        digests.push_str(&format!(",\"shasum\":\"{sha1}\""));
    }
    Ok(digests)
}

impl VersionDocument {
    /// Returns the memory that it takes, in bytes.
    pub fn weight(&self) -> usize {
        self.full.len() + self.short.len() + self.digests.len() + 256
    }

    /// Returns its deprecation message: the owner's current one, or the one in its own
    /// `package.json`.
    pub fn deprecated<'a>(&'a self, now: Option<&'a str>) -> Option<&'a str> {
        now.filter(|now| !now.is_empty())
            .or(self.deprecated.as_deref())
    }

    /// Appends it as JSON. `tarball` is the URL of its file, and `now` the owner's current
    /// deprecation message.
    pub fn write(&self, into: &mut String, form: Form, tarball: &str, now: Option<&str>) {
        into.push_str(match form {
            Form::Full => &self.full,
            Form::Short => &self.short,
        });
        into.push_str(",\"dist\":{");
        into.push_str(&self.digests);
        into.push_str(",\"tarball\":");
        into.push_str(&quoted(tarball));
        into.push('}');
        if let Some(message) = self.deprecated(now) {
            into.push_str(",\"deprecated\":");
            into.push_str(&quoted(message));
        }
        into.push('}');
    }

    /// Returns the fields that also describe the package.
    pub fn of_package(&self) -> Map<String, Value> {
        let fields: Map<String, Value> =
            serde_json::from_str(&format!("{}}}", self.full)).unwrap_or_default();
        fields
            .into_iter()
            .filter(|(key, _)| OF_PACKAGE.contains(&key.as_str()))
            .collect()
    }
}

/// The two forms of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Full,
    /// Only the fields that an install needs.
    Short,
}

/// Returns a text as a JSON string.
pub fn quoted(text: &str) -> String {
    json!(text).to_string()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use proptest::prelude::*;

    use crate::domain::{manifest::Draft, name::PublisherId};

    pub fn manifest(name: &str, version: &str) -> Manifest {
        let draft: Draft = toml::from_str(&format!(
            "name = \"{name}\"\nversion = \"{version}\"\necosystem = \"npm\""
        ))
        .unwrap();
        let file = File::of(&draft.ecosystem, "x.tgz", b"x");
        draft
            .into_manifest(PublisherId::nobody(), file, Timestamp(7))
            .unwrap()
    }

    fn written(version: &VersionDocument, form: Form, now: Option<&str>) -> Value {
        let mut text = String::new();
        version.write(&mut text, form, "http://h/npm/@s/a/-/a-1.0.0.tgz", now);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_package_json_counts_for_its_own_release_only() {
        let of = |text: &str| read(&manifest("@s/a", "1.0.0"), text.as_bytes());
        assert_eq!(
            of(r#"{"name":"@s/a","version":"1.0.0"}"#).unwrap().version,
            "1.0.0"
        );
        for bad in [
            r#"{"name":"@s/b","version":"1.0.0"}"#,
            r#"{"name":"@s/a","version":"1.0.1"}"#,
            r#"{"name":"@s/a"}"#,
            "[]",
            "{",
        ] {
            assert!(of(bad).is_err(), "{bad}");
        }
        let mut none = manifest("@s/a", "1.0.0");
        none.files[0].sha512 = None;
        assert!(read(&none, br#"{"name":"@s/a","version":"1.0.0"}"#).is_err());
    }

    #[test]
    fn where_its_file_is_and_what_that_must_be_is_not_its_own_word() {
        let text = r#"{"name":"@s/a","version":"1.0.0","dist":{"tarball":"http://evil/"},"_resolved":"http://evil/",
            "deprecated":"its own","scripts":{"postinstall":"node x"},"dependencies":{"b":"^1"},"bin":{"a":"a.js"},
            "description":"An a","keywords":["k"],"readme":"long"}"#;
        let version = read(&manifest("@s/a", "1.0.0"), text.as_bytes()).unwrap();
        let (full, short) = (
            written(&version, Form::Full, None),
            written(&version, Form::Short, Some("use b")),
        );
        assert!(
            !full.to_string().contains("evil") && full["scripts"].is_object(),
            "{full}"
        );
        assert_eq!(full["dist"]["tarball"], "http://h/npm/@s/a/-/a-1.0.0.tgz");
        let integrity = "sha512-pKvUKYLK7fkiCxwK+D5Z+3Lv4ewJ9WyqlYyIhHTf80uG1EGiITwH99vP2b+F4x61+BxrHgOQ1CHn32/wwhgJHQ==";
        assert!(full["dist"]["integrity"].as_str().unwrap().len() == integrity.len());
        assert_eq!(
            full["dist"]["shasum"],
            "11f6ad8ec52a2984abaafd7c3b516503785c2072"
        );
        assert_eq!(
            (&full["deprecated"], &short["deprecated"]),
            (&"its own".into(), &"use b".into())
        );
        assert_eq!(
            (&short["hasInstallScript"], &short["scripts"]),
            (&true.into(), &Value::Null)
        );
        assert_eq!(
            (&short["dependencies"]["b"], &short["bin"]["a"]),
            (&"^1".into(), &"a.js".into())
        );
        let said = version.of_package();
        assert_eq!(
            (&said["description"], said.get("bin")),
            (&"An a".into(), None)
        );
        assert_eq!(version.time, Timestamp(7));
    }

    proptest! {
        #[test]
        fn any_text_is_a_version_or_a_reason(text in ".{0,200}") {
            let _ = read(&manifest("a", "1.0.0"), text.as_bytes());
        }

        #[test]
        fn whatever_is_said_against_it_comes_through(message in ".{1,80}", tarball in ".{0,40}") {
            let version = read(&manifest("a", "1.0.0"), br#"{"name":"a","version":"1.0.0"}"#).unwrap();
            let mut text = String::new();
            version.write(&mut text, Form::Short, &tarball, Some(&message));
            let value: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!((value["deprecated"].as_str(), value["dist"]["tarball"].as_str()), (Some(&*message), Some(&*tarball)));
        }
    }
}
