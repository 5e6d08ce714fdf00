//! Reasons why a release or a change is not published.

use super::super::packages::PackagesError;
use crate::{
    RegistryError,
    domain::{
        hash::ContentRoot,
        manifest::FieldError,
        name::{NameError, PackageName, PublisherId, WrittenName},
        record::Refusal,
        version::VersionText,
    },
};

/// A failure of the [`Publisher`](super::Publisher). [`RegistryError`] has its sentences.
#[derive(Debug)]
pub(crate) enum PublisherError {
    /// Fields of the draft break rules.
    Draft {
        package: WrittenName,
        errors: Vec<FieldError>,
    },
    /// A content of the release was not put here before.
    NotPut(ContentRoot),
    /// The package belongs to another key.
    NotYours {
        package: String,
        publisher: PublisherId,
    },
    /// A record of this node's own breaks a rule.
    Refused { what: String, refusal: Refusal },
    /// The batch has too many releases.
    BatchTooLarge { given: usize, most: usize },
    /// The release or file may not be added.
    Addition(AdditionError),
    /// The change does not fit the package.
    Change(ChangeError),
    /// Something about other packages or handles is missing.
    Packages(PackagesError),
    /// A name that breaks a rule.
    Name(NameError),
    /// The store or the network failed, or the node ends.
    Node(Box<RegistryError>),
}

/// The reason why a release or a file may not be added to a package.
#[derive(Debug)]
pub(crate) enum AdditionError {
    /// The version has been published.
    VersionTaken {
        package: PackageName,
        version: VersionText,
    },
    /// The release has a file of this name.
    FileTaken {
        package: PackageName,
        version: VersionText,
        file: String,
    },
    /// Some earlier releases are unknown, so that the version may have been published.
    HistoryUnknown {
        package: PackageName,
        given: VersionText,
        latest: VersionText,
    },
    /// The version cannot be read.
    Name(NameError),
}

/// The reason why a change does not fit the package.
#[derive(Debug)]
pub(crate) enum ChangeError {
    /// A text breaks a rule.
    Text { what: String, why: String },
    /// The package has no such release.
    NoVersion {
        package: String,
        version: VersionText,
    },
    /// The release has no such file.
    NoFile {
        package: String,
        version: VersionText,
        file: String,
        files: Vec<String>,
    },
    /// As many files of the release are yanked as may be.
    TooManyYankedFiles {
        package: String,
        version: VersionText,
    },
    /// The package has no such tag.
    NoTag { package: String, tag: String },
}

impl From<AdditionError> for PublisherError {
    fn from(error: AdditionError) -> Self {
        Self::Addition(error)
    }
}

impl From<ChangeError> for PublisherError {
    fn from(error: ChangeError) -> Self {
        Self::Change(error)
    }
}

impl From<PackagesError> for PublisherError {
    fn from(error: PackagesError) -> Self {
        Self::Packages(error)
    }
}

impl From<NameError> for PublisherError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

impl From<RegistryError> for PublisherError {
    fn from(error: RegistryError) -> Self {
        Self::Node(Box::new(error))
    }
}

impl From<NameError> for AdditionError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

impl From<PublisherError> for RegistryError {
    fn from(error: PublisherError) -> Self {
        use PublisherError as Error;
        match error {
            Error::Draft { package, errors } => Self::Draft { package, errors },
            Error::NotPut(root) => Self::NotPut(root),
            Error::NotYours { package, publisher } => Self::NotYours { package, publisher },
            Error::Refused { what, refusal } => Self::Refused { what, refusal },
            Error::BatchTooLarge { given, most } => Self::BatchTooLarge { given, most },
            Error::Addition(error) => error.into(),
            Error::Change(error) => error.into(),
            Error::Packages(error) => error.into(),
            Error::Name(error) => error.into(),
            Error::Node(error) => *error,
        }
    }
}

impl From<AdditionError> for RegistryError {
    fn from(error: AdditionError) -> Self {
        use AdditionError as Error;
        match error {
            Error::VersionTaken { package, version } => Self::VersionTaken { package, version },
            Error::FileTaken {
                package,
                version,
                file,
            } => Self::FileTaken {
                package,
                version,
                file,
            },
            Error::HistoryUnknown {
                package,
                given,
                latest,
            } => Self::HistoryUnknown {
                package,
                given,
                latest,
            },
            Error::Name(error) => error.into(),
        }
    }
}

impl From<ChangeError> for RegistryError {
    fn from(error: ChangeError) -> Self {
        use ChangeError as Error;
        match error {
            Error::Text { what, why } => Self::Text { what, why },
            Error::NoVersion { package, version } => Self::NoVersion { package, version },
            Error::NoFile {
                package,
                version,
                file,
                files,
            } => Self::NoFile {
                package,
                version,
                file,
                files,
            },
            Error::TooManyYankedFiles { package, version } => {
                Self::TooManyYankedFiles { package, version }
            }
            Error::NoTag { package, tag } => Self::NoTag { package, tag },
        }
    }
}
