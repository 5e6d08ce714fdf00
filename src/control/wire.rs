//! Requests and errors of the control socket; other values are the registry's and the bus's own.

use axum::http::StatusCode;
use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use super::Wait;
use crate::{
    RegistryError,
    domain::{
        conflict::ConflictId,
        faults::Ruling,
        hash::{ContentRoot, Hash},
        lookup::Sought,
        manifest::Draft,
        name::{Handle, PackageId, PackageName, PublisherId},
        transfer::{Transfer, TransferId},
        version::{RequirementText, VersionText},
    },
    registry::{Artifacts, Bundle, Change, Fetched, Order, PublishStep, Receipt, Wanted},
};

/// In every answer: the version of what is spoken.
pub const VERSION_HEADER: &str = "swarmdex-protocol";

/// A package as a person writes it: `handle/name`, or `publisher-id/name`.
#[derive(Debug, Serialize, Deserialize)]
pub struct OfPackage {
    pub package: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct OfRelease {
    pub package: String,
    pub requirement: RequirementText,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct OfVersion {
    pub package: String,
    pub version: VersionText,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ChangeOf {
    pub package: String,
    pub change: Change,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Publish {
    pub draft: Draft,
    /// Root and size of the content, and what else there is of it.
    #[serde(rename = "content")]
    pub artifacts: Artifacts,
}

/// Many small releases at once.
#[derive(Debug, Serialize, Deserialize)]
pub struct Import {
    pub batch: Vec<Bundle>,
    /// Asked for by those who once could ask for something else; nothing else is understood.
    #[serde(default)]
    pub how: ImportAs,
}

/// The one thing that becomes of a batch.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImportAs {
    /// It is signed as the node's own.
    #[default]
    Sign,
}

/// A line of the answer to [`Publish`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Publishing {
    Step(PublishStep),
    Done(Box<Receipt>),
    Error(Fault),
}

#[derive(Debug, Serialize, Deserialize)]
pub struct OfHandle {
    pub handle: Handle,
    /// Peers are asked who claims it.
    #[serde(default)]
    pub ask: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Called {
    pub name: PackageName,
    /// The owner of the package; none means that the node is to publish it.
    #[serde(default)]
    pub publisher: Option<PublisherId>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Named {
    pub name: PackageName,
    /// The owner of a package that needs one of this name.
    pub beside: PublisherId,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct OfPublisher {
    pub publisher: PublisherId,
    #[serde(default)]
    pub handle: Option<Handle>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Dial {
    /// With `/p2p/` and the peer's id at its end.
    pub address: String,
    #[serde(default)]
    pub keep: bool,
    pub timeout_ms: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Look {
    #[serde(flatten)]
    pub sought: Sought,
    /// Its purpose, for people.
    #[serde(default)]
    pub what: Option<String>,
    pub timeout_ms: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct OfPeer {
    pub peer: PeerId,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Judge {
    pub peer: PeerId,
    pub ruling: Ruling,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Waiting {
    pub what: Wait,
    pub timeout_ms: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct OfContent {
    pub root: ContentRoot,
}

/// Content as it comes, from an offset on.
#[derive(Debug, Serialize, Deserialize)]
pub struct Stream {
    #[serde(flatten)]
    pub wanted: Wanted,
    #[serde(default)]
    pub from: u64,
}

/// One manifest that a package's head lists.
#[derive(Debug, Serialize, Deserialize)]
pub struct OfManifest {
    pub package: PackageId,
    pub hash: Hash,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Keep {
    pub root: ContentRoot,
    /// For which release; a pin for none in particular is one of its own.
    #[serde(default)]
    pub release: String,
    pub pinned: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct CleanUp {
    #[serde(default)]
    pub all: bool,
}

/// A line of the answer to a fetch.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fetching {
    Progress(Box<Transfer>),
    Done(Box<Fetched>),
    Error(Fault),
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Direct {
    pub id: TransferId,
    pub order: Order,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Filter {
    pub filter: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct OfConflict {
    pub id: ConflictId,
}

/// An answer of one yes or no.
#[derive(Debug, Serialize, Deserialize)]
pub struct Done {
    pub done: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Failure {
    pub error: Fault,
}

/// An error: a word for programs and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub code: String,
    /// True if the request makes no sense as it was written, rather than having failed.
    pub usage: bool,
    pub message: String,
}

impl From<&RegistryError> for Fault {
    fn from(error: &RegistryError) -> Self {
        Self {
            code: error.code().to_owned(),
            usage: error.is_usage(),
            message: error.to_string(),
        }
    }
}

impl From<Fault> for RegistryError {
    fn from(
        Fault {
            code,
            usage,
            message,
        }: Fault,
    ) -> Self {
        Self::Remote {
            code,
            usage,
            message,
        }
    }
}

/// The status that goes with an error.
pub fn status_of(error: &RegistryError) -> StatusCode {
    match error.code() {
        "not_found" | "no_content" | "no_conflict" | "no_match" | "no_version"
        | "unknown_handle" => StatusCode::NOT_FOUND,
        "history_unknown" | "version_taken" | "ambiguous_handle" | "unpinned_handle"
        | "unresolvable" | "one_sided" => StatusCode::CONFLICT,
        "not_yours" => StatusCode::FORBIDDEN,
        "timeout" | "unreached" => StatusCode::GATEWAY_TIMEOUT,
        "too_large" => StatusCode::PAYLOAD_TOO_LARGE,
        "store_full" => StatusCode::INSUFFICIENT_STORAGE,
        "busy" | "closed" => StatusCode::SERVICE_UNAVAILABLE,
        _ if error.is_usage() => StatusCode::BAD_REQUEST,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
