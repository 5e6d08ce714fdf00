//! Whose package is meant, and which of those that are called so.

use futures::future::join_all;

use super::Packages;
use crate::{
    RegistryError, Result,
    domain::name::{Asked, Owner, PackageId, PackageName, PackageRef, PublisherId, WrittenName},
    ecosystem::Ecosystem,
};

impl Packages {
    /// Whose package is meant.
    pub async fn resolve(&self, package: &PackageRef) -> Result<PackageId> {
        let owner = match &package.owner {
            Owner::Publisher(publisher) => *publisher,
            Owner::Handle(handle) => self.publisher_called(handle).await?,
        };
        match &package.name {
            Asked::Exactly(name) => Ok(PackageId {
                owner,
                name: name.clone(),
            }),
            Asked::Bare(name) => self.only_one(owner, name).await,
        }
    }

    /// The only package of an owner that is called so, in whatever ecosystem: by what is held, else
    /// by what the network has. Where there is none, it is one of `generic` that nobody has.
    async fn only_one(&self, owner: PublisherId, name: &WrittenName) -> Result<PackageId> {
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

    /// Names a package that is not there, and those that the same owner has under that name in
    /// other ecosystems: an id without one means `generic`.
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

/// The only one of the packages that are there and called so. Where there is none, it is one of
/// `generic` that nobody has.
///
/// # Errors
/// [`RegistryError::AmbiguousName`] where there are several.
fn one_of(there: Vec<PackageId>, owner: PublisherId, name: &WrittenName) -> Result<PackageId> {
    match <[PackageId; 1]>::try_from(there) {
        Ok([only]) => Ok(only),
        Err(there) if there.is_empty() => {
            let name = PackageName::of(&Ecosystem::Generic, name)?;
            Ok(PackageId { owner, name })
        }
        Err(packages) => Err(RegistryError::AmbiguousName {
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
        let Err(RegistryError::AmbiguousName { packages, .. }) = one(&[&cargo, &npm]) else {
            panic!("two are called so");
        };
        assert_eq!(packages, [cargo, npm]);
    }
}
