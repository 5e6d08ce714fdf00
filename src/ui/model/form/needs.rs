//! Converts the rows of the form into dependencies.

use std::collections::BTreeMap;

use super::{DependencyColumn, Field, ParsedFields, ReleaseForm};
use crate::domain::{
    manifest::{Dependency, Ecosystem},
    name::{PackageName, PackageRef, WrittenName},
    version::RequirementText,
};

/// Key of a saved draft that holds the dependencies that filled the rows.
pub(super) const KEPT: &str = "dependencies.kept";

/// Returns the dependencies of a saved draft; an unreadable list is dropped.
pub(super) fn kept(texts: &BTreeMap<String, String>) -> Vec<Dependency> {
    texts
        .get(KEPT)
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

impl ReleaseForm {
    pub(super) fn dependencies(
        &self,
        ecosystem: &Ecosystem,
        parsed: &mut ParsedFields<'_>,
    ) -> Vec<Dependency> {
        let mut out = Vec::new();
        let mut kept: Vec<&Dependency> = self.kept.iter().collect();
        for row in 0..self.needs {
            let [package, requirement, optional] = DependencyColumn::ALL
                .map(|part| self.text(Field::Needs(row, part)).trim().to_owned());
            if package.is_empty() && requirement.is_empty() && optional.is_empty() {
                continue;
            }
            let field = Field::Needs(row, DependencyColumn::Package);
            let on = on(&package, ecosystem)
                .map_err(|why| parsed.refuse(field, &why))
                .ok();
            // An empty requirement allows any version.
            let wanted = if requirement.is_empty() {
                "*"
            } else {
                requirement.as_str()
            };
            let field = Field::Needs(row, DependencyColumn::Requirement);
            let wrong = "is not a version requirement (example: ^1.2)";
            let requirement = parsed.take_as::<RequirementText>(field, wanted, wrong);
            let ecosystem = on.as_ref().map_or(ecosystem, |(_, ecosystem)| ecosystem);
            if requirement
                .as_ref()
                .is_some_and(|requirement| requirement.read(ecosystem).is_err())
            {
                parsed.refuse(field, wrong);
            }
            let optional = match optional.to_lowercase().as_str() {
                "" | "n" | "no" => false,
                "y" | "yes" => true,
                _ => {
                    parsed.refuse(
                        Field::Needs(row, DependencyColumn::Optional),
                        "enter yes or leave it empty",
                    );
                    false
                }
            };
            let (Some((fresh, _)), Some(requirement)) = (on, requirement) else {
                continue;
            };
            // Keep the details without a field: extras, markers, platforms.
            let known = kept
                .iter()
                .position(|one| one.written() == package)
                .map(|at| kept.remove(at).clone());
            out.push(Dependency {
                requirement,
                optional,
                ..known.unwrap_or(fresh)
            });
        }
        out
    }
}

/// Parses the package of a row and returns its ecosystem too: `handle/name`, `publisher-id/name`,
/// or a name alone, which is in the draft's ecosystem.
fn on(package: &str, ecosystem: &Ecosystem) -> Result<(Dependency, Ecosystem), String> {
    // The slash after an npm scope does not separate a handle.
    if package.contains('/') && !package.starts_with('@') {
        let needed: PackageRef = package
            .parse()
            .map_err(|error: crate::domain::name::NameError| error.to_string())?;
        let name = needed
            .name
            .within(ecosystem)
            .map_err(|error| error.to_string())?;
        return Ok((Dependency::on(package, any()?), name.ecosystem().clone()));
    }
    let written: WrittenName = package
        .parse()
        .map_err(|error: crate::domain::name::NameError| error.to_string())?;
    PackageName::of(ecosystem, &written).map_err(|error| error.to_string())?;
    Ok((Dependency::bare(written, any()?), ecosystem.clone()))
}

fn any() -> Result<RequirementText, String> {
    "*".parse()
        .map_err(|error: crate::domain::name::NameError| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::dependency::DependencyOn;

    fn dependencies(form: &ReleaseForm) -> Vec<Dependency> {
        let mut problems = BTreeMap::new();
        let found = form.dependencies(
            &Ecosystem::Pypi,
            &mut ParsedFields {
                problems: &mut problems,
            },
        );
        assert!(problems.is_empty(), "{problems:?}");
        found
    }

    #[test]
    fn a_name_alone_is_one_of_the_ecosystems() {
        let mut form = ReleaseForm::new(None);
        form.set(Field::Needs(0, DependencyColumn::Package), "Zope.Interface");
        form.set(Field::Needs(0, DependencyColumn::Requirement), ">=5");
        form.set(Field::Needs(1, DependencyColumn::Package), "alice/pypi:six");
        let found = dependencies(&form);
        assert!(
            matches!(&found[0].on, DependencyOn::Bare(name) if name.as_str() == "Zope.Interface")
        );
        assert!(
            matches!(&found[1].on, DependencyOn::Package { package, .. } if package == "alice/pypi:six")
        );
        assert_eq!(
            on("@scope/name", &Ecosystem::Npm).unwrap().1,
            Ecosystem::Npm
        );
        assert!(on("a//b", &Ecosystem::Npm).is_err() && on("a b", &Ecosystem::Cargo).is_err());
    }

    #[test]
    fn what_there_are_no_fields_for_stays_through_a_draft() {
        let of = |marker: &str| Dependency {
            extras: vec!["socks".to_owned()],
            marker: Some(marker.to_owned()),
            ..Dependency::bare("requests".parse().unwrap(), ">=2".parse().unwrap())
        };
        let mut form = ReleaseForm::new(None);
        form.kept = vec![of("os_name == 'nt'"), of("os_name == 'posix'")];
        for row in 0..2 {
            form.set(Field::Needs(row, DependencyColumn::Package), "requests");
            form.set(Field::Needs(row, DependencyColumn::Requirement), ">=3");
        }
        form.set(Field::Needs(2, DependencyColumn::Package), "requests");
        let form = ReleaseForm::from_texts(&form.to_texts());
        let found = dependencies(&form);
        assert_eq!(
            found
                .iter()
                .map(|one| one.marker.clone())
                .collect::<Vec<_>>(),
            [
                Some("os_name == 'nt'".to_owned()),
                Some("os_name == 'posix'".to_owned()),
                None,
            ]
        );
        assert!(
            found[..2]
                .iter()
                .all(|one| one.extras == ["socks"] && one.requirement.as_str() == ">=3")
        );
    }
}
