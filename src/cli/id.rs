//! Parses packages on the command line, with a requirement or with an exact version.

use std::str::FromStr;

use crate::{
    domain::{
        name::{NameError, NameRef, PackageRef},
        version::{RequirementText, VersionText},
    },
    ecosystem::Ecosystem,
};

/// `owner/name[@requirement]`. A full version means exactly that version, so that the id on a
/// receipt gets the same release; a partial version means what it means in a list of dependencies.
#[derive(Clone, Debug)]
pub(super) struct PackageArg(pub PackageRef);

impl FromStr for PackageArg {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        // Try a full version first: a requirement allows build metadata only after `=`.
        if let Some((package, version)) = text
            .rsplit_once('@')
            .filter(|(package, _)| !package.ends_with(['/', ':']))
            && let Ok(version) = version.parse::<VersionText>()
        {
            let package: PackageRef = package.parse()?;
            let ecosystem = match &package.name {
                NameRef::Exactly(name) => name.ecosystem(),
                NameRef::Bare(_) => &Ecosystem::Generic,
            };
            if version.read(ecosystem).is_ok() {
                let requirement = Some(RequirementText::exactly(ecosystem, &version));
                return Ok(Self(PackageRef {
                    requirement,
                    ..package
                }));
            }
        }
        text.parse().map(Self)
    }
}

/// `owner/name@version`.
#[derive(Clone, Debug)]
pub(super) struct OneRelease {
    pub package: PackageRef,
    pub version: VersionText,
}

impl FromStr for OneRelease {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (package, version) = text
            .rsplit_once('@')
            .filter(|(package, _)| !package.ends_with(['/', ':']))
            .ok_or("the version is missing; write owner/name@1.2.3")?;
        let package: PackageRef = package
            .parse()
            .map_err(|error: NameError| error.to_string())?;
        let said = |error: NameError| format!("{error}; write the full version, such as 1.2.3");
        let version: VersionText = version.parse().map_err(said)?;
        // If only a name was given, the node knows the ecosystem and checks the version.
        let known = |ecosystem: &Ecosystem| version.read(ecosystem).map(drop);
        match &package.name {
            NameRef::Exactly(name) => known(name.ecosystem()).map_err(said)?,
            NameRef::Bare(_) if Ecosystem::KNOWN.iter().any(|one| known(one).is_ok()) => {}
            NameRef::Bare(_) => known(&Ecosystem::Generic).map_err(said)?,
        }
        Ok(Self { package, version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_version_is_wanted_exactly_and_a_part_of_one_is_a_requirement() {
        let requirement = |text: &str| {
            let wanted = text.parse::<PackageArg>().unwrap().0;
            wanted
                .requirement
                .map(|requirement| requirement.to_string())
        };
        assert_eq!(requirement("alice/web"), None);
        assert_eq!(requirement("alice/web@1.2").as_deref(), Some("1.2"));
        assert_eq!(requirement("alice/web@1.2.3").as_deref(), Some("=1.2.3"));
        assert_eq!(
            requirement("alice/web@2.0.0-rc.1").as_deref(),
            Some("=2.0.0-rc.1")
        );
        assert_eq!(
            requirement("alice/web@1.2.3+b2").as_deref(),
            Some("=1.2.3+b2")
        );
        assert_eq!(
            requirement("alice/web@=1.2.3+b2").as_deref(),
            Some("=1.2.3+b2")
        );
        assert!("alice/generic:web@^1.2.3+b2".parse::<PackageArg>().is_err());
        assert!(
            "alice/web@not".parse::<PackageArg>().is_err() && "web".parse::<PackageArg>().is_err()
        );
        assert_eq!(
            requirement("alice/cargo:web@1.2.3").as_deref(),
            Some("===1.2.3")
        );
        assert_eq!(
            requirement("alice/npm:@scope/web@1.2.3").as_deref(),
            Some("===1.2.3")
        );
        assert_eq!(requirement("alice/npm:@scope/web"), None);
    }

    #[test]
    fn one_release_is_named_by_all_of_its_version() {
        let release: OneRelease = "alice/web@1.2.3+build.7".parse().unwrap();
        assert_eq!(
            (
                release.package.to_string().as_str(),
                release.version.to_string().as_str()
            ),
            ("alice/web", "1.2.3+build.7")
        );
        for bad in [
            "alice/web",
            "alice/generic:web@1.2",
            "alice/npm:@scope/web",
            "alice/web@",
            "web@1.2.3",
            "alice/web@^1.2.3",
        ] {
            assert!(bad.parse::<OneRelease>().is_err(), "{bad}");
        }
    }
}
