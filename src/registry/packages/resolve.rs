//! Resolves package references to ids: by owner, and by ecosystem if the reference leaves it open.

use futures::future::join_all;

use super::{Packages, PackagesError};
use crate::{
    domain::name::{NameRef, Owner, PackageId, PackageName, PackageRef, PublisherId, WrittenName},
    ecosystem::Ecosystem,
};

impl Packages {
    /// Resolves a package reference to an id.
    pub async fn resolve(&self, package: &PackageRef) -> Result<PackageId, PackagesError> {
        let owner = match &package.owner {
            Owner::Publisher(publisher) => *publisher,
            Owner::Handle(handle) => self.publisher_called(handle).await?,
        };
        match &package.name {
            NameRef::Exactly(name) => Ok(PackageId {
                owner,
                name: name.clone(),
            }),
            NameRef::Bare(name) => self.only_one(owner, name).await,
        }
    }

    /// Returns the only package of an owner with this name, in whatever ecosystem: among those
    /// held, else in the network. If there is none, returns an id in `generic` that does not exist.
    async fn only_one(
        &self,
        owner: PublisherId,
        name: &WrittenName,
    ) -> Result<PackageId, PackagesError> {
        let names = Ecosystem::KNOWN
            .iter()
            .filter_map(|ecosystem| PackageName::of(ecosystem, name).ok());
        let ids: Vec<PackageId> = names.map(|name| PackageId { owner, name }).collect();
        let mut there = Vec::new();
        for id in &ids {
            if self.core.store.mark(id)?.is_some() {
                there.push(id.clone());
            }
        }
        if there.is_empty() && ids.len() > 1 {
            let found = join_all(ids.iter().map(|id| self.refresh_head(id))).await;
            there = ids
                .iter()
                .zip(found)
                .filter(|(_, found)| matches!(found, Ok((Some(_), _))))
                .map(|(id, _)| id.clone())
                .collect();
        }
        one_of(there, owner, name)
    }

    /// Names a missing package, and the owner's packages of that name in other ecosystems: an id
    /// without an ecosystem means `generic`.
    pub fn missing(&self, id: &PackageId) -> String {
        let Some(name) = id
            .name
            .bare()
            .parse()
            .ok()
            .filter(|_| id.name.ecosystem().is_generic())
        else {
            return id.to_string();
        };
        let others = Ecosystem::KNOWN
            .iter()
            .filter(|ecosystem| !ecosystem.is_generic());
        let others = others.filter_map(|ecosystem| PackageName::of(ecosystem, &name).ok());
        let others = others.map(|name| PackageId {
            owner: id.owner,
            name,
        });
        let there: Vec<String> = others
            .filter(|other| self.core.store.mark(other).is_ok_and(|mark| mark.is_some()))
            .map(|other| other.to_string())
            .collect();
        match there.as_slice() {
            [] => id.to_string(),
            _ => format!("{id} (there is {})", there.join(", ")),
        }
    }
}

/// Returns the only one of these packages. If there is none, returns an id in `generic` that does
/// not exist.
///
/// # Errors
/// [`PackagesError::AmbiguousName`] if there are several.
fn one_of(
    there: Vec<PackageId>,
    owner: PublisherId,
    name: &WrittenName,
) -> Result<PackageId, PackagesError> {
    match <[PackageId; 1]>::try_from(there) {
        Ok([only]) => Ok(only),
        Err(there) if there.is_empty() => {
            let name = PackageName::of(&Ecosystem::Generic, name)?;
            Ok(PackageId { owner, name })
        }
        Err(packages) => Err(PackagesError::AmbiguousName {
            name: name.clone(),
            packages,
        }),
    }
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;

    use super::*;

    #[test]
    fn a_bare_name_means_the_only_package_of_its_owner() {
        let owner = PublisherId::of(&Keypair::ed25519_from_bytes([1; 32]).unwrap().public());
        let name: WrittenName = "web".parse().unwrap();
        let of = |ecosystem: &Ecosystem| PackageId {
            owner,
            name: PackageName::of(ecosystem, &name).unwrap(),
        };
        let (cargo, npm) = (of(&Ecosystem::Cargo), of(&Ecosystem::Npm));
        let one = |there: &[&PackageId]| {
            one_of(there.iter().map(|id| (*id).clone()).collect(), owner, &name)
        };
        assert_eq!(one(&[&cargo]).unwrap(), cargo);
        assert_eq!(one(&[]).unwrap(), of(&Ecosystem::Generic), "nobody has one");
        let Err(PackagesError::AmbiguousName { packages, .. }) = one(&[&cargo, &npm]) else {
            panic!("two are called so");
        };
        assert_eq!(packages, [cargo, npm]);
    }
}
