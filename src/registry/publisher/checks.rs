//! Checks that a release or file may be added to a package.

use super::AdditionError;
use crate::domain::{
    name::PackageName,
    package::ReleaseFile,
    release::{self, ReleaseEntry},
    version::VersionText,
};

/// Checks that added files have new names: a file of a release never changes.
pub(crate) fn check_files<'a>(
    package: &PackageName,
    version: &VersionText,
    held: &[ReleaseFile],
    mut names: impl Iterator<Item = &'a str>,
) -> Result<(), AdditionError> {
    match names.find(|name| held.iter().any(|held| held.file.name == *name)) {
        None => Ok(()),
        Some(file) => {
            let (package, version, file) = (package.clone(), version.clone(), file.to_owned());
            Err(AdditionError::FileTaken {
                package,
                version,
                file,
            })
        }
    }
}

/// Checks that a release has a new version; releases may come in any order and never change. If not
/// all of `releases` are known, the version must be higher than all of them to be certainly new.
pub(crate) fn check_version(
    name: &PackageName,
    version: &VersionText,
    releases: &[ReleaseEntry],
    complete: bool,
) -> Result<(), AdditionError> {
    let ecosystem = name.ecosystem();
    let (given, key) = (version.read(ecosystem)?, version.key(ecosystem));
    if releases
        .iter()
        .any(|there| there.version.has_key(ecosystem, &key))
    {
        return Err(AdditionError::VersionTaken {
            package: name.clone(),
            version: version.clone(),
        });
    }
    if complete {
        return Ok(());
    }
    match release::highest(ecosystem, releases) {
        Some(latest) if given < latest.version.read(ecosystem)? => {
            Err(AdditionError::HistoryUnknown {
                package: name.clone(),
                given: version.clone(),
                latest: latest.version.clone(),
            })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        RegistryError,
        domain::{hash::Hash, manifest::File, time::Timestamp},
        ecosystem::Ecosystem,
    };

    fn releases(versions: &[&str]) -> Vec<ReleaseEntry> {
        let entry = |version: &&str| {
            ReleaseEntry::new(version.parse().unwrap(), Hash::of(version.as_bytes()))
        };
        versions.iter().map(entry).collect()
    }

    fn checked(version: &str, there: &[&str], complete: bool) -> String {
        let (name, version) = ("web".parse().unwrap(), version.parse().unwrap());
        match check_version(&name, &version, &releases(there), complete) {
            Ok(()) => "ok".to_owned(),
            Err(error) => RegistryError::from(error).code().to_owned(),
        }
    }

    #[test]
    fn a_version_is_added_in_whatever_order_and_once() {
        assert_eq!(checked("1.0.0", &[], true), "ok");
        assert_eq!(checked("1.0.0", &["1.0.0"], true), "version_taken");
        assert_eq!(
            checked("0.9.0", &["1.0.0"], true),
            "ok",
            "a fix of an older line"
        );
        assert_eq!(checked("0.9.0", &["1.0.0"], false), "history_unknown");
        assert_eq!(
            checked("1.1.0", &["1.0.0"], false),
            "ok",
            "none can be above the highest"
        );
        assert_eq!(checked("1.0.0", &["1.0.0"], false), "version_taken");
    }

    #[test]
    fn a_file_is_added_once() {
        let held = [ReleaseFile {
            manifest: Hash::of(b"1"),
            file: File::of(&Ecosystem::Pypi, "web-1.0.0.tar.gz".to_owned(), b"1"),
            signed_at: Timestamp(0),
            yanked: None,
        }];
        let (name, version) = ("web".parse().unwrap(), "1.0.0".parse().unwrap());
        let check = |names: &[&str]| check_files(&name, &version, &held, names.iter().copied());
        assert!(check(&["web-1.0.0-py3-none-any.whl"]).is_ok());
        let error = check(&["other", "web-1.0.0.tar.gz"]).unwrap_err();
        assert!(matches!(error, AdditionError::FileTaken { .. }));
    }
}
