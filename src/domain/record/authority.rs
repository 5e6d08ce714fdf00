//! From a signer to the owner of a package: who may speak for whom.
//!
//! A record is verified in two steps, each with a type of its own, so that holding one is the
//! proof: [`Signed`] says which key signed these bytes, [`Authorised`] that this key may speak for
//! the owner whom they name. Today every owner signs itself. Records by which an owner lets other
//! keys sign can come without another format: the chain of them has its place here.

use libp2p::identity::Keypair;

use super::{Envelope, Payload, Refusal, Signed};
use crate::{
    domain::name::{PackageId, PackageName, PublisherId, WrittenName},
    ecosystem::Ecosystem,
};

/// A payload of an owner's package.
pub trait Owned: Payload {
    fn owner(&self) -> PublisherId;
    fn ecosystem(&self) -> &Ecosystem;
    fn name(&self) -> &WrittenName;
}

/// A record by which an owner lets another key speak for it. There is none yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authority {}

/// A signed record whose signer may speak for the owner of the package that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorised<T> {
    signed: Signed<T>,
    package: PackageId,
    /// From the owner to the signer; empty where they are one.
    chain: Vec<Authority>,
}

impl<T: Owned> Authorised<T> {
    /// The second step, for a record whose signature has been checked.
    ///
    /// # Errors
    /// [`Refusal::Unauthorised`] where the chain does not lead from the owner to the signer,
    /// [`Refusal::BadField`] where the ecosystem has no such name.
    pub fn by(signed: Signed<T>, chain: Vec<Authority>) -> Result<Self, Refusal> {
        // Each link of a chain would hand on the owner's word; there are none to follow yet.
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

    /// Both steps, for bytes from anywhere.
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

    /// # Errors
    /// Those of [`Signed::sign`] and [`Self::by`].
    pub fn sign(key: &Keypair, value: T) -> Result<Self, Refusal> {
        Self::by(Signed::sign(key, value)?, Vec::new())
    }
}

impl<T> Authorised<T> {
    /// Whose package it is of.
    pub fn owner(&self) -> PublisherId {
        self.package.owner
    }

    /// The package that it is about.
    pub fn package(&self) -> &PackageId {
        &self.package
    }

    pub fn chain(&self) -> &[Authority] {
        &self.chain
    }

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
