//! Reasons why a package, or the key behind a name, cannot be had.

use crate::{
    RegistryError,
    domain::{
        name::{Handle, NameError, PackageId, PublisherId, WrittenName},
        names::NamePattern,
        trust::HandleError,
        version::{RequirementText, VersionText},
    },
};

/// A failure of [`Packages`](super::Packages). [`RegistryError`] has its sentences.
#[derive(Debug)]
pub enum PackagesError {
    /// No peer that was asked has it.
    NotFound { package: String, asked: usize },
    /// No release matches the requirement; `instead` lists others.
    NoMatch {
        package: String,
        requirement: RequirementText,
        instead: Vec<VersionText>,
    },
    /// Packages of several ecosystems have the name.
    AmbiguousName {
        name: WrittenName,
        packages: Vec<PackageId>,
    },
    /// The handle stands for no key here.
    Handle(HandleError),
    /// The key claims as many handles as others accept.
    TooManyHandles {
        handle: Handle,
        handles: Vec<Handle>,
    },
    /// One's own handle cannot mean another key.
    OwnHandle {
        handle: Handle,
        publisher: PublisherId,
    },
    /// The settings give the names to another key.
    NameInSettings {
        pattern: NamePattern,
        owner: PublisherId,
    },
    /// A distrusted publisher gets no names.
    Distrusted(PublisherId),
    /// A name or requirement that breaks a rule.
    Name(NameError),
    /// The store or the network failed, or the node ends.
    Node(Box<RegistryError>),
}

impl From<HandleError> for PackagesError {
    fn from(error: HandleError) -> Self {
        Self::Handle(error)
    }
}

impl From<NameError> for PackagesError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

impl From<RegistryError> for PackagesError {
    fn from(error: RegistryError) -> Self {
        Self::Node(Box::new(error))
    }
}

impl From<PackagesError> for RegistryError {
    fn from(error: PackagesError) -> Self {
        use PackagesError as Error;
        match error {
            Error::NotFound { package, asked } => Self::NotFound { package, asked },
            Error::NoMatch {
                package,
                requirement,
                instead,
            } => Self::NoMatch {
                package,
                requirement,
                instead,
            },
            Error::AmbiguousName { name, packages } => Self::AmbiguousName { name, packages },
            Error::Handle(error) => error.into(),
            Error::TooManyHandles { handle, handles } => Self::TooManyHandles { handle, handles },
            Error::OwnHandle { handle, publisher } => Self::OwnHandle { handle, publisher },
            Error::NameInSettings { pattern, owner } => Self::NameInSettings {
                pattern: Box::new(pattern),
                owner,
            },
            Error::Distrusted(publisher) => Self::Distrusted(publisher),
            Error::Name(error) => error.into(),
            Error::Node(error) => *error,
        }
    }
}
