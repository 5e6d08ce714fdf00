//! Another package that a release needs: as a person writes it, and by key as it is signed.

use serde::{Deserialize, Serialize};

use super::{
    name::{Handle, Owner, PackageId, PackageRef, PublisherId},
    version::RequirementText,
};
use crate::ecosystem::Ecosystem;

/// Another package that a release needs. A draft may name it by handle; what is signed names it by key, because anybody
/// may claim a handle, and each node knows other claims.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dependency {
    /// `handle/name` or `publisher-id/name` in a draft, always the latter in a manifest.
    pub package: String,
    /// The author of the manifest calls that key so: a label for eyes, which decides nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle: Option<Handle>,
    pub requirement: RequirementText,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

impl Dependency {
    /// The package, if it is named by key and written as every node writes it.
    pub fn id(&self) -> Option<PackageId> {
        self.package.parse::<PackageId>().ok().filter(|id| id.to_string() == self.package)
    }

    /// The handle that it is named by, if it is.
    pub fn named_by(&self) -> Option<Handle> {
        match self.package.parse::<PackageRef>().ok()?.owner {
            Owner::Handle(handle) => Some(handle),
            Owner::Publisher(_) => None,
        }
    }

    /// Names the package by key; a handle that it was named by stays as the label, and a requirement within the reference becomes
    /// the dependency's. A name without an ecosystem is one of `ecosystem`, the draft's. What is no reference to a package, or has
    /// two requirements, stays as it is, for others to refuse.
    ///
    /// # Errors
    /// Those of `meaning`, which says whose a handle is.
    pub fn by_key<E>(
        self,
        ecosystem: &Ecosystem,
        meaning: impl FnOnce(&Handle) -> Result<PublisherId, E>,
    ) -> Result<Self, E> {
        let Ok(PackageRef { owner, name, requirement: within }) = self.package.parse() else { return Ok(self) };
        let Ok(name) = name.within(ecosystem) else { return Ok(self) };
        let requirement = match within {
            Some(within) if self.requirement == RequirementText::any() => within,
            Some(_) => return Ok(self),
            None => self.requirement,
        };
        let (owner, handle) = match owner {
            Owner::Publisher(owner) => (owner, self.handle),
            Owner::Handle(handle) => (meaning(&handle)?, Some(handle)),
        };
        Ok(Self { package: PackageId { owner, name }.to_string(), handle, requirement, optional: self.optional })
    }

    /// For eyes: the label, with the fingerprint of the key that counts.
    pub fn called(&self) -> String {
        match (self.id(), &self.handle) {
            (Some(PackageId { owner, name }), Some(handle)) => format!("{handle}/{name} ({})", owner.fingerprint()),
            (Some(PackageId { owner, name }), None) => format!("{}/{name}", owner.fingerprint()),
            (None, _) => self.package.clone(),
        }
    }
}

/// The key that a release's dependencies call so; `None` where they call several keys so, or none.
pub fn labelled(dependencies: &[Dependency], handle: &Handle) -> Option<PublisherId> {
    let called = dependencies.iter().filter(|dependency| dependency.handle.as_ref() == Some(handle));
    let mut keys = called.filter_map(|dependency| Some(dependency.id()?.owner));
    let first = keys.next()?;
    keys.all(|key| key == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::identity::Keypair;
    use proptest::prelude::*;

    fn dependency(package: String) -> Dependency {
        Dependency { package, handle: None, requirement: "^1".parse().unwrap(), optional: true }
    }

    #[test]
    fn a_handle_becomes_a_key_and_stays_as_the_label() {
        let bob = PublisherId::of(&Keypair::generate_ed25519().public());
        let typed = dependency("bob/lib".to_owned());
        assert_eq!((typed.id(), typed.named_by().unwrap().as_str()), (None, "bob"));
        let signed = typed
            .by_key(&Ecosystem::Generic, |handle| if handle.as_str() == "bob" { Ok(bob) } else { Err(()) })
            .unwrap();
        assert_eq!(signed.package, format!("{bob}/lib"));
        assert_eq!((signed.requirement.to_string().as_str(), signed.optional), ("^1", true));
        assert_eq!(signed.called(), format!("bob/lib ({})", bob.fingerprint()));
        assert_eq!(signed.clone().by_key(&Ecosystem::Generic, |_| Err("nobody is asked")), Ok(signed));
        assert_eq!(dependency("bob/lib".to_owned()).by_key(&Ecosystem::Generic, |_| Err("unknown")), Err("unknown"));
        for refused in ["lib", "bob/lib@<1.5", "bob/cargo:1a"] {
            assert_eq!(
                dependency(refused.to_owned()).by_key(&Ecosystem::Generic, |_| Err(())).unwrap().package,
                refused
            );
        }
    }

    #[test]
    fn a_requirement_may_stand_in_the_reference_and_a_name_alone_is_one_of_the_drafts_ecosystem() {
        let bob = PublisherId::of(&Keypair::generate_ed25519().public());
        let mut typed = dependency("bob/Lib@<1.5".to_owned());
        typed.requirement = RequirementText::any();
        let signed = typed.by_key(&Ecosystem::Cargo, |_| Ok::<_, ()>(bob)).unwrap();
        assert_eq!((signed.package, signed.requirement.as_str()), (format!("{bob}/cargo:lib"), "<1.5"));
    }

    proptest! {
        #[test]
        fn whatever_a_reference_says_what_comes_of_it_is_by_key(
            name in "[a-z0-9][a-z0-9._-]{0,63}", handle in "[a-z0-9][a-z0-9._-]{0,63}", seed in any::<[u8; 32]>()
        ) {
            let publisher = PublisherId::of(&Keypair::ed25519_from_bytes(seed).unwrap().public());
            for owner in [handle.clone(), publisher.to_string()] {
                let signed = dependency(format!("{owner}/{name}")).by_key(&Ecosystem::Generic, |_| Ok::<_, ()>(publisher)).unwrap();
                let id = signed.id().unwrap();
                prop_assert_eq!((id.owner, id.name.as_str()), (publisher, name.as_str()));
                prop_assert_eq!(signed.named_by(), None);
            }
        }
    }
}
