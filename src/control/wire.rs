//! Errors of the control socket, and the few values in JSON that are not the registry's or the
//! bus's own.

use std::time::Duration;

use axum::http::StatusCode;
use libp2p::PeerId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    RegistryError,
    domain::{manifest::Draft, transfer::Wanted},
    registry::{Artifacts, Bundle},
};

/// In every answer: the version of what is spoken.
pub const VERSION_HEADER: &str = "swarmdex-protocol";

/// Longest wait that a client may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A deadline as whole milliseconds. The node waits for a minute at most.
pub mod millis {
    use super::*;

    pub fn serialize<S: Serializer>(most: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(most.as_millis()).unwrap_or(u64::MAX))
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(|millis| Duration::from_millis(millis).min(LONGEST_WAIT))
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Publish {
    pub draft: Draft,
    /// Root and size of the content, and what else there is of it.
    #[serde(rename = "content")]
    pub artifacts: Artifacts,
}

/// Content as it comes, from an offset on.
#[derive(Debug, Serialize, Deserialize)]
pub struct Stream {
    #[serde(flatten)]
    pub wanted: Wanted,
    #[serde(default)]
    pub from: u64,
}

/// Many small releases at once.
#[derive(Debug, Serialize, Deserialize)]
pub struct Batch {
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

/// A line of the answer to a call that tells how far it is: a publish has steps, and a fetch has
/// progress.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Told<P, D> {
    Step(P),
    Progress(P),
    Done(D),
    Error(Fault),
}

#[derive(Debug, Serialize, Deserialize)]
pub struct OfPeer {
    pub peer: PeerId,
}

impl From<PeerId> for OfPeer {
    fn from(peer: PeerId) -> Self {
        Self { peer }
    }
}

impl From<OfPeer> for PeerId {
    fn from(OfPeer { peer }: OfPeer) -> Self {
        peer
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Filter {
    pub filter: String,
}

impl From<String> for Filter {
    fn from(filter: String) -> Self {
        Self { filter }
    }
}

impl From<Filter> for String {
    fn from(Filter { filter }: Filter) -> Self {
        filter
    }
}

/// An answer of one yes or no.
#[derive(Debug, Serialize, Deserialize)]
pub struct Done {
    pub done: bool,
}

impl From<bool> for Done {
    fn from(done: bool) -> Self {
        Self { done }
    }
}

impl From<Done> for bool {
    fn from(Done { done }: Done) -> Self {
        done
    }
}

impl From<()> for Done {
    fn from((): ()) -> Self {
        Self { done: true }
    }
}

impl From<Done> for () {
    fn from(_: Done) {}
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
