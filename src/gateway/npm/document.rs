//! The document of a package: its versions, tags and times. Pure.

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use serde_json::{Map, Value, json};

use super::{
    route::short,
    version::{Form, VersionDocument, quoted},
};
use crate::{
    clock,
    domain::{
        release::{self, ReleaseEntry},
        time::Timestamp,
        version::VersionText,
    },
    ecosystem::Ecosystem,
};

/// A listed version, with its owner's current statements about it.
pub struct Listed {
    pub entry: ReleaseEntry,
    pub version: Arc<VersionDocument>,
}

/// The contents of a document.
pub struct Document {
    pub name: String,
    /// The signer, for display.
    pub owner: String,
    /// The beginning of URLs, including the registry's path.
    pub registry: String,
    /// The revision of the package's state.
    pub rev: String,
    /// The signing time of that state.
    pub modified: Timestamp,
    /// The owner's tags.
    pub tags: BTreeMap<String, VersionText>,
    /// In the order of publication.
    pub versions: Vec<Listed>,
}

impl Document {
    /// Returns the tags: the owner's, if their versions are listed, and always `latest`, which is
    /// the highest version that is no pre-release unless the owner sets it.
    pub fn tags(&self) -> BTreeMap<&str, &str> {
        let listed = |version: &VersionText| {
            self.find(version)
                .map(|listed| listed.version.version.as_str())
        };
        let told = self
            .tags
            .iter()
            .filter_map(|(tag, version)| Some((tag.as_str(), listed(version)?)));
        let mut tags: BTreeMap<&str, &str> = told.collect();
        if !tags.contains_key(LATEST)
            && let Some(latest) = self.highest()
        {
            tags.insert(LATEST, &latest.version.version);
        }
        tags
    }

    fn highest(&self) -> Option<&Listed> {
        let entries: Vec<ReleaseEntry> = self
            .versions
            .iter()
            .map(|listed| listed.entry.clone())
            .collect();
        let highest = release::resolve(&Ecosystem::Npm, &entries, None)?;
        self.find(&highest.version)
    }

    /// Returns the version, in whatever spelling.
    pub fn find(&self, version: &VersionText) -> Option<&Listed> {
        let key = version.key(&Ecosystem::Npm);
        self.versions
            .iter()
            .find(|listed| listed.entry.version.key(&Ecosystem::Npm) == key)
    }

    /// Returns the version with this number or tag.
    pub fn choose(&self, wanted: &str) -> Option<&Listed> {
        let wanted = self.tags().get(wanted).copied().unwrap_or(wanted);
        self.find(&wanted.parse().ok()?)
    }

    /// Returns one version as JSON.
    pub fn version(&self, listed: &Listed) -> String {
        let mut text = String::new();
        self.write(&mut text, Form::Full, listed);
        text
    }

    fn write(&self, text: &mut String, form: Form, Listed { entry, version }: &Listed) {
        let Self { name, registry, .. } = self;
        let tarball = format!(
            "{registry}/{name}/-/{}-{}.tgz",
            short(name),
            version.version
        );
        version.write(text, form, &tarball, entry.deprecated.as_deref());
    }

    /// Returns the document as JSON. `for_change` is true if the client reads it to send it back
    /// changed.
    pub fn text(&self, form: Form, for_change: bool) -> String {
        let tags = self.tags();
        let mut head = match form {
            Form::Full => self.said_of_package(tags.get(LATEST).copied()),
            Form::Short => Map::new(),
        };
        head.insert("name".to_owned(), self.name.clone().into());
        head.insert(
            "modified".to_owned(),
            clock::universal(self.modified()).into(),
        );
        head.insert("dist-tags".to_owned(), json!(tags));
        if for_change {
            head.insert("_rev".to_owned(), self.rev.clone().into());
        }
        if form == Form::Full {
            head.insert("time".to_owned(), self.times());
        }
        let mut text = Value::Object(head).to_string();
        text.pop();
        text.push_str(",\"versions\":{");
        for (n, listed) in self.versions.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            // Writing to a string cannot fail.
            let _ = write!(text, "{comma}{}:", quoted(&listed.version.version));
            self.write(&mut text, form, listed);
        }
        text.push_str("}}");
        text
    }

    fn said_of_package(&self, latest: Option<&str>) -> Map<String, Value> {
        let latest = latest.and_then(|latest| self.choose(latest));
        let mut head = latest
            .map(|latest| latest.version.of_package())
            .unwrap_or_default();
        head.insert("_id".to_owned(), self.name.clone().into());
        head.insert("maintainers".to_owned(), self.maintainers());
        head
    }

    /// Returns the signer as the only maintainer.
    pub fn maintainers(&self) -> Value {
        json!([{ "name": self.owner, "email": "" }])
    }

    /// Returns the time of the last change: changes to a version may be newer than all versions.
    fn modified(&self) -> Timestamp {
        let times = self.versions.iter().map(|listed| listed.version.time);
        times.chain([self.modified]).max().unwrap_or_default()
    }

    fn times(&self) -> Value {
        let times = self.versions.iter().map(|listed| listed.version.time);
        let created = times.min().unwrap_or(self.modified);
        let mut all = Map::new();
        all.insert("created".to_owned(), clock::universal(created).into());
        all.insert(
            "modified".to_owned(),
            clock::universal(self.modified()).into(),
        );
        for Listed { version, .. } in &self.versions {
            all.insert(
                version.version.clone(),
                clock::universal(version.time).into(),
            );
        }
        Value::Object(all)
    }
}

/// The tag that an install without a version uses.
pub const LATEST: &str = "latest";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use crate::{
        domain::hash::Hash,
        gateway::npm::version::{read, tests::manifest},
    };

    fn document(versions: &[&str], tags: &[(&str, &str)]) -> Document {
        let listed = |version: &&str| {
            let text = json!({ "name": "@s/a", "version": version, "description": format!("An a {version}") });
            let entry = ReleaseEntry::new(version.parse().unwrap(), Hash::of(version.as_bytes()));
            let version = read(&manifest("@s/a", version), text.to_string().as_bytes()).unwrap();
            Listed {
                entry,
                version: Arc::new(version),
            }
        };
        Document {
            name: "@s/a".to_owned(),
            owner: "alice".to_owned(),
            registry: "http://127.0.0.1:4810/npm".to_owned(),
            rev: "3-9".to_owned(),
            modified: Timestamp(1_700_000_000_123),
            tags: tags
                .iter()
                .map(|(tag, version)| ((*tag).to_owned(), version.parse().unwrap()))
                .collect(),
            versions: versions.iter().map(listed).collect(),
        }
    }

    fn parsed(document: &Document, form: Form, for_change: bool) -> Value {
        serde_json::from_str(&document.text(form, for_change)).unwrap()
    }

    #[test]
    fn latest_is_the_owners_word_or_the_highest_that_is_no_pre_release() {
        let latest = |versions: &[&str], tags: &[(&str, &str)]| {
            let document = document(versions, tags);
            document.tags().get("latest").map(ToString::to_string)
        };
        let versions = ["1.0.0", "1.10.0", "1.9.0", "2.0.0-rc.1"];
        assert_eq!(latest(&versions, &[]).as_deref(), Some("1.10.0"));
        assert_eq!(
            latest(&versions, &[("latest", "1.9.0")]).as_deref(),
            Some("1.9.0")
        );
        assert_eq!(
            latest(&versions, &[("latest", "1.8.0")]).as_deref(),
            Some("1.10.0"),
            "one that is not listed"
        );
        assert_eq!(latest(&["2.0.0-rc.1"], &[]).as_deref(), Some("2.0.0-rc.1"));
        let next = document(&versions, &[("next", "2.0.0-rc.1"), ("gone", "3.0.0")]);
        assert_eq!(
            next.tags().into_iter().collect::<Vec<_>>(),
            [("latest", "1.10.0"), ("next", "2.0.0-rc.1")]
        );
        let chosen = |wanted| {
            next.choose(wanted)
                .map(|listed| listed.version.version.as_str())
        };
        assert_eq!(chosen("next"), Some("2.0.0-rc.1"));
        assert_eq!(
            (chosen("1.9.0"), chosen("gone"), chosen("x y")),
            (Some("1.9.0"), None, None)
        );
    }

    #[test]
    fn both_forms_say_where_the_files_are_and_one_when_they_came() {
        let document = document(&["1.0.0", "1.1.0"], &[]);
        let (full, brief) = (
            parsed(&document, Form::Full, true),
            parsed(&document, Form::Short, false),
        );
        for value in [&full, &brief] {
            let tarball = &value["versions"]["1.1.0"]["dist"]["tarball"];
            assert_eq!(tarball, "http://127.0.0.1:4810/npm/@s/a/-/a-1.1.0.tgz");
            assert_eq!(
                (&value["name"], &value["modified"]),
                (&"@s/a".into(), &"2023-11-14T22:13:20.123000Z".into())
            );
        }
        assert_eq!(full["time"]["1.0.0"], "1970-01-01T00:00:00.007000Z");
        assert_eq!(full["time"].as_object().unwrap().len(), 4);
        assert_eq!(
            (&full["_rev"], &full["_id"]),
            (&"3-9".into(), &"@s/a".into())
        );
        assert_eq!(
            (&full["description"], &full["maintainers"][0]["name"]),
            (&"An a 1.1.0".into(), &"alice".into())
        );
        assert_eq!(
            (&brief["time"], &brief["_rev"], &brief["description"]),
            (&Value::Null, &Value::Null, &Value::Null)
        );
        assert_eq!(
            serde_json::from_str::<Value>(&document.version(&document.versions[1])).unwrap(),
            full["versions"]["1.1.0"]
        );
    }

    proptest! {
        #[test]
        fn every_document_is_json_with_its_versions(minors in prop::collection::btree_set(0u8..30, 0..8)) {
            let versions: Vec<String> = minors.iter().map(|minor| format!("1.{minor}.0")).collect();
            let versions: Vec<&str> = versions.iter().map(String::as_str).collect();
            let document = document(&versions, &[]);
            for form in [Form::Full, Form::Short] {
                let value = parsed(&document, form, false);
                let listed: Vec<&str> = value["versions"].as_object().unwrap().keys().map(String::as_str).collect();
                prop_assert_eq!(listed.len(), versions.len());
                prop_assert!(versions.iter().all(|version| listed.contains(version)));
            }
        }
    }
}
