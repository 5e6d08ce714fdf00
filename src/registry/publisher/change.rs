//! Changes the state of existing releases: yanks, deprecations, tags.

use std::{sync::Arc, time::Instant};

use super::{
    ChangeError, Publisher, PublisherError,
    base::Base,
    publish::{Published, detached, ending, traced},
};
use crate::{
    Result,
    domain::{
        change::Change,
        name::{PackageId, PackageRef},
        receipt::{Receipt, Steps},
        record::check_tag,
        release::{self, MAX_YANKED_FILES, ReleaseEntry, YankedFile},
        text::printable,
        version::VersionText,
    },
    ecosystem::Ecosystem,
};

impl Publisher {
    /// Changes the state of an own package, in a task of its own, as [`Self::publish`].
    pub async fn change(self: &Arc<Self>, package: &PackageRef, change: Change) -> Result<Receipt> {
        let (publisher, package) = (self.clone(), package.clone());
        let ending = ending(change.verb(), &package, change.about());
        let change = async move { publisher.change_state(&package, &change).await };
        detached(traced(ending, change)).await
    }

    /// Signs a new state of the package.
    async fn change_state(
        self: &Arc<Self>,
        package: &PackageRef,
        change: &Change,
    ) -> Result<Receipt, PublisherError> {
        change.check().map_err(|why| ChangeError::Text {
            what: change.noun().to_string(),
            why: why.to_string(),
        })?;
        let id = self.packages.resolve(package).await?;
        let key = self
            .core
            .key_of(&id.owner)
            .ok_or_else(|| PublisherError::NotYours {
                package: package.to_string(),
                publisher: id.owner,
            })?;
        // From here on the outbox leaves the delivery to this task.
        let _delivering = self.underway.begin(&id);
        let looked = Instant::now();
        self.refresh(&id).await?;
        let lookup = looked.elapsed();
        let one_at_a_time = self.signing.lock().await;
        let mut base = self.whole_base(&id).await?;
        let files = self.files_meant(&id, change, &base).await?;
        let version = apply(change, package, id.name.ecosystem(), &mut base, &files)?;
        let manifest = release::find(id.name.ecosystem(), &base.entries.all, &version)
            .and_then(|entry| entry.manifests.last().copied());
        let manifest = manifest.ok_or_else(|| unknown(package, &version))?;
        let signing = Instant::now();
        let taken = self
            .take_next(&key, &id, base, None, &version, None)
            .await?;
        // Others need not wait for this one's network requests.
        drop(one_at_a_time);
        let steps = Steps {
            lookup,
            stored: signing.elapsed(),
            ..Steps::default()
        };
        let published = Published {
            id,
            version,
            manifest,
            taken,
        };
        self.finish(published, steps, None, None).await
    }

    /// Returns the names of the release's files if the change yanks one of them.
    async fn files_meant(
        &self,
        id: &PackageId,
        change: &Change,
        base: &Base,
    ) -> Result<Vec<String>, PublisherError> {
        let Change::Yank {
            version,
            file: Some(_),
            ..
        } = change
        else {
            return Ok(Vec::new());
        };
        let entry = release::find(id.name.ecosystem(), &base.entries.all, version);
        let Some(entry) = entry else {
            return Ok(Vec::new());
        };
        let (_, files, _) = self.packages.files_of(id, entry).await?;
        Ok(files.into_iter().map(|one| one.file.name).collect())
    }
}

fn unknown(package: &PackageRef, version: &VersionText) -> ChangeError {
    ChangeError::NoVersion {
        package: package.to_string(),
        version: version.clone(),
    }
}

/// Applies a change to a state and returns the version concerned. `files` are the names of the
/// release's files, if one of them is yanked.
fn apply(
    change: &Change,
    package: &PackageRef,
    ecosystem: &Ecosystem,
    base: &mut Base,
    files: &[String],
) -> Result<VersionText, ChangeError> {
    let change_entry = |base: &mut Base, version: &VersionText, how: &dyn Fn(&mut ReleaseEntry)| {
        let there =
            release::find(ecosystem, &base.entries.all, version).map(|entry| entry.version.clone());
        base.entries.change(ecosystem, version, how);
        there.ok_or_else(|| unknown(package, version))
    };
    match change {
        Change::Yank {
            version,
            file: None,
            why,
        } => change_entry(base, version, &|entry| entry.yanked = Some(why.clone())),
        Change::Unyank {
            version,
            file: None,
        } => change_entry(base, version, &|entry| entry.yanked = None),
        Change::Yank {
            version,
            file: Some(file),
            why,
        } => {
            let entry = release::find(ecosystem, &base.entries.all, version)
                .ok_or_else(|| unknown(package, version))?;
            if !files.contains(file) {
                return Err(ChangeError::NoFile {
                    package: package.to_string(),
                    version: version.clone(),
                    file: file.clone(),
                    files: files.to_vec(),
                });
            }
            if entry.yanked_files.len() >= MAX_YANKED_FILES
                && entry.yanked_files.iter().all(|one| one.name != *file)
            {
                return Err(ChangeError::TooManyYankedFiles {
                    package: package.to_string(),
                    version: version.clone(),
                });
            }
            change_entry(base, version, &|entry| {
                entry.yanked_files.retain(|one| one.name != *file);
                entry.yanked_files.push(YankedFile {
                    name: file.clone(),
                    why: why.clone(),
                });
            })
        }
        Change::Unyank {
            version,
            file: Some(file),
        } => change_entry(base, version, &|entry| {
            entry.yanked_files.retain(|one| one.name != *file)
        }),
        Change::Deprecate { version, message } => {
            change_entry(base, version, &|entry| entry.deprecated.clone_from(message))
        }
        Change::Tag { tag, version } => {
            check_tag(ecosystem, tag).map_err(|why| ChangeError::Text {
                what: format!("tag {}", printable(tag)),
                why: why.to_string(),
            })?;
            match version {
                Some(version) => {
                    let there = release::find(ecosystem, &base.entries.all, version)
                        .ok_or_else(|| unknown(package, version))?;
                    base.tags.insert(tag.clone(), there.version.clone());
                    Ok(there.version.clone())
                }
                None => base.tags.remove(tag).ok_or_else(|| ChangeError::NoTag {
                    package: package.to_string(),
                    tag: tag.clone(),
                }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        RegistryError,
        domain::{hash::Hash, release::HeadEntries},
    };

    fn base() -> Base {
        let mut base = Base {
            name: "web".parse().unwrap(),
            seq: 1,
            prev: Vec::new(),
            entries: HeadEntries::default(),
            older: None,
            complete: true,
            handle: None,
            tags: BTreeMap::new(),
        };
        for version in ["1.0.0", "2.0.0"] {
            let hash = Hash::of(version.as_bytes());
            let version = version.parse().unwrap();
            base.entries.add(&Ecosystem::Generic, &version, hash);
        }
        base
    }

    fn applied(base: &mut Base, change: &Change, files: &[&str]) -> Result<String, RegistryError> {
        let files: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
        let package = "alice/web".parse().unwrap();
        let about = apply(change, &package, &Ecosystem::Generic, base, &files)?;
        Ok(about.to_string())
    }

    fn entry<'a>(base: &'a Base, version: &str) -> &'a ReleaseEntry {
        let version = version.parse().unwrap();
        release::find(&Ecosystem::Generic, &base.entries.all, &version).unwrap()
    }

    fn yank(version: &str, file: Option<&str>) -> Change {
        Change::Yank {
            version: version.parse().unwrap(),
            file: file.map(str::to_owned),
            why: "broken".to_owned(),
        }
    }

    #[test]
    fn a_yank_is_said_of_one_version_and_taken_back() {
        let mut base = base();
        assert_eq!(
            applied(&mut base, &yank("1.0.0", None), &[]).unwrap(),
            "1.0.0"
        );
        assert_eq!(entry(&base, "1.0.0").yanked.as_deref(), Some("broken"));
        assert_eq!(entry(&base, "2.0.0").yanked, None);
        let back = Change::Unyank {
            version: "1.0.0".parse().unwrap(),
            file: None,
        };
        applied(&mut base, &back, &[]).unwrap();
        assert_eq!(entry(&base, "1.0.0").yanked, None);
    }

    #[test]
    fn nothing_is_said_of_a_version_that_is_not_there() {
        let missing = "3.0.0".parse().unwrap();
        for change in [
            yank("3.0.0", None),
            yank("3.0.0", Some("file")),
            Change::Tag {
                tag: "next".to_owned(),
                version: Some(missing),
            },
        ] {
            let error = applied(&mut base(), &change, &["file"]).unwrap_err();
            assert!(matches!(error, RegistryError::NoVersion { .. }), "{error}");
        }
    }

    #[test]
    fn a_file_is_yanked_once_and_only_one_that_is_there() {
        let mut base = base();
        let error = applied(&mut base, &yank("1.0.0", Some("x")), &["a", "b"]).unwrap_err();
        assert!(
            error.to_string().contains("has no file x; it has a, b"),
            "{error}"
        );
        for _ in 0..2 {
            applied(&mut base, &yank("1.0.0", Some("a")), &["a", "b"]).unwrap();
            assert_eq!(entry(&base, "1.0.0").yanked_files.len(), 1);
        }
    }

    #[test]
    fn so_many_files_of_a_version_are_yanked_and_no_more() {
        let mut base = base();
        let names: Vec<String> = (0..=MAX_YANKED_FILES).map(|n| format!("file{n}")).collect();
        let files: Vec<&str> = names.iter().map(String::as_str).collect();
        for file in &files[..MAX_YANKED_FILES] {
            applied(&mut base, &yank("1.0.0", Some(file)), &files).unwrap();
        }
        let last = yank("1.0.0", Some(files[MAX_YANKED_FILES]));
        let error = applied(&mut base, &last, &files).unwrap_err();
        assert!(error.to_string().contains("which is the most"), "{error}");
        applied(&mut base, &yank("1.0.0", Some(files[0])), &files).expect("it is among them");
    }

    #[test]
    fn a_tag_is_set_moved_and_taken_off() {
        let mut base = base();
        let tag = |version: Option<&str>| Change::Tag {
            tag: "next".to_owned(),
            version: version.map(|version| version.parse().unwrap()),
        };
        applied(&mut base, &tag(Some("1.0.0")), &[]).unwrap();
        applied(&mut base, &tag(Some("2.0.0")), &[]).unwrap();
        assert_eq!(base.tags["next"].to_string(), "2.0.0");
        assert_eq!(
            applied(&mut base, &tag(None), &[]).unwrap(),
            "2.0.0",
            "what it was about"
        );
        let error = applied(&mut base, &tag(None), &[]).unwrap_err();
        assert!(error.to_string().contains("has no tag next"), "{error}");
    }
}
