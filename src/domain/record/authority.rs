//! From a signer to the owner of a package: decides who may sign for an owner.
//!
//! A record is verified in two steps, each with a type of its own, so that holding a value is the
//! proof: [`Signed`] says which key signed the bytes, [`Authorised`] that this key may sign for the
//! owner they name. Today every owner signs for itself. Delegation to other keys can be added as a
//! chain without changing the format.

use libp2p::identity::Keypair;

use super::{Envelope, Payload, Refusal, Signed};
use crate::{
    domain::name::{PackageId, PackageName, PublisherId, WrittenName},
    ecosystem::Ecosystem,
};

/// A payload that belongs to an owner's package.
pub trait Owned: Payload {
    /// Returns the owner of the package.
    fn owner(&self) -> PublisherId;
    /// Returns the ecosystem of the package.
    fn ecosystem(&self) -> &Ecosystem;
    /// Returns the name as written.
    fn name(&self) -> &WrittenName;
}

/// A record by which an owner delegates signing to another key. There is none yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authority {}

/// A signed record whose signer may sign for the owner of its package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorised<T> {
    signed: Signed<T>,
    package: PackageId,
    /// Delegations from the owner to the signer; empty if they are the same.
    chain: Vec<Authority>,
}

impl<T: Owned> Authorised<T> {
    /// Performs the second step, for a record whose signature has been verified.
    ///
    /// # Errors
    /// [`Refusal::Unauthorised`] if the chain does not lead from the owner to the signer,
    /// [`Refusal::BadField`] if the ecosystem does not allow the name.
    pub fn by(signed: Signed<T>, chain: Vec<Authority>) -> Result<Self, Refusal> {
        // There are no delegations to follow yet.
        if signed.owner() != signed.signer() {
            return Err(Refusal::Unauthorised);
        }
        let name =
            PackageName::of(signed.ecosystem(), signed.name()).map_err(|_| Refusal::BadField)?;
        let package = PackageId {
            owner: signed.owner(),
            name,
        };
        Ok(Self {
            signed,
            package,
            chain,
        })
    }

    /// Performs both steps on untrusted bytes.
    ///
    /// # Errors
    /// Those of [`Signed::verify`] and [`Self::by`].
    pub fn verify(bytes: &[u8]) -> Result<Self, Refusal> {
        Self::by(Signed::verify(bytes)?, Vec::new())
    }

    /// As [`Self::verify`] for an envelope whose signature may have been checked with others'.
    ///
    /// # Errors
    /// Those of [`Self::verify`].
    pub fn verify_checked(envelope: &Envelope<'_>) -> Result<Self, Refusal> {
        Self::by(Signed::verify_checked(envelope)?, Vec::new())
    }

    /// Signs a record.
    ///
    /// # Errors
    /// Those of [`Signed::sign`] and [`Self::by`].
    pub fn sign(key: &Keypair, value: T) -> Result<Self, Refusal> {
        Self::by(Signed::sign(key, value)?, Vec::new())
    }
}

impl<T> Authorised<T> {
    /// Returns the owner of the package.
    pub fn owner(&self) -> PublisherId {
        self.package.owner
    }

    /// Returns the package that it is about.
    pub fn package(&self) -> &PackageId {
        &self.package
    }

    /// Returns the delegations from the owner to the signer.
    pub fn chain(&self) -> &[Authority] {
        &self.chain
    }

    /// Returns the payload.
    pub fn into_value(self) -> T {
        self.signed.into_value()
    }

    /// See [`Signed::hash`].
    pub fn hash(&self) -> crate::domain::hash::Hash {
        self.signed.hash()
    }
}

impl<T> std::ops::Deref for Authorised<T> {
    type Target = Signed<T>;

    fn deref(&self) -> &Signed<T> {
        &self.signed
    }
}

macro_rules! owned {
    ($type:ty) => {
        impl Owned for $type {
            fn owner(&self) -> PublisherId {
                self.owner
            }

            fn ecosystem(&self) -> &Ecosystem {
                &self.ecosystem
            }

            fn name(&self) -> &WrittenName {
                &self.name
            }
        }
    };
}

owned!(super::Head);
owned!(super::Page);
owned!(crate::domain::manifest::Manifest);
