//! The one error of the library. Every message says what happened, to what, and what to do about
//! it.

mod toml_file;
mod trouble;

pub(crate) use toml_file::{broken, line_of, toml_error};
pub use trouble::Trouble;

use std::path::{Path, PathBuf};

use crate::{
    clock,
    domain::{
        hash::ContentRoot,
        manifest::FieldError,
        name::{Handle, NameError, PackageId, PackageName, PublisherId, WrittenName},
        names::NamePattern,
        record::Refusal,
        release::MAX_YANKED_FILES,
        secret::Role,
        text::printable,
        trust::{Claimant, HandleError, MAX_HANDLES},
        version::{RequirementText, VersionText},
    },
};

/// A result whose error is the library's.
pub type Result<T, E = RegistryError> = std::result::Result<T, E>;

/// An error of the library. Its message says what happened, to what, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // Messages say what the fields of their variants are.
pub enum RegistryError {
    /// A name, handle, version or id that cannot be one.
    #[error("{0}")]
    Name(#[from] NameError),

    /// A draft with fields that break a rule.
    #[error("the draft of {package} cannot be signed: {}; correct it and publish again", list(.errors))]
    Draft {
        package: WrittenName,
        errors: Vec<FieldError>,
    },

    /// No peer that was asked has it.
    #[error(
        "{package} was not found: {asked} peers were asked; check the spelling, or `search` for a part of the name"
    )]
    NotFound { package: String, asked: usize },

    /// No release matches the requirement. `instead` is what there is of it, as far as it helps.
    #[error("{package} has no release that matches {requirement}; {}`versions {package}` lists what there is", has(.instead))]
    NoMatch {
        package: String,
        requirement: RequirementText,
        instead: Vec<VersionText>,
    },

    /// The package has no such release.
    #[error("{package} {version} is not a release; `versions {package}` lists what there is")]
    NoVersion {
        package: String,
        version: VersionText,
    },

    /// No set of releases satisfies what was asked for, or none was found within bounds: the whole
    /// explanation.
    #[error("{explanation}")]
    Unresolvable { explanation: String },

    /// A lock file that cannot be read, or does not match.
    #[error("the lock file {} {why}", .path.display())]
    Lock { path: PathBuf, why: String },

    /// An error of something that was needed on the way.
    #[error("{by} needs what could not be had: {error}")]
    Needed {
        by: String,
        error: Box<RegistryError>,
    },

    /// No known peer has such an id.
    #[error("no peer is known whose id begins or ends with \"{0}\"; `peers` lists them")]
    NoPeer(String),

    /// Nobody known claims the handle.
    #[error("nobody known calls itself \"{0}\"; check the spelling, or write publisher-id/name")]
    UnknownHandle(Handle),

    /// Several keys claim the handle, and none of them is bound here.
    #[error(
        "several publishers call themselves \"{handle}\": {}; write publisher-id/name for the one you mean, or pin it with \
         `trust ID --as {handle}`",
        several(.claimants)
    )]
    AmbiguousHandle {
        handle: Handle,
        claimants: Vec<Claimant>,
    },

    /// Several packages have this name in different ecosystems.
    #[error("{name} is several packages: {}; write the one you mean", list(.packages))]
    AmbiguousName {
        name: WrittenName,
        packages: Vec<PackageId>,
    },

    /// One key claims the handle, and a person has to agree to it first.
    #[error(
        "\"{handle}\" is pinned to no key here; the only one known to claim it is {publisher} (fingerprint {}): pin it with \
         `trust {handle}`, or write {publisher}/name",
        .publisher.fingerprint()
    )]
    UnpinnedHandle {
        handle: Handle,
        publisher: PublisherId,
    },

    /// The key claims as many handles as others accept.
    #[error(
        "your key calls itself {} already, and others take {MAX_HANDLES} handles of one key at most, so {handle} would be one \
         too many; publish under one of these",
        list(.handles)
    )]
    TooManyHandles {
        handle: Handle,
        handles: Vec<Handle>,
    },

    /// One's own handle, and the key of another.
    #[error(
        "{handle} is your own handle and means your own key here; pin {publisher} under another handle"
    )]
    OwnHandle {
        handle: Handle,
        publisher: PublisherId,
    },

    /// The settings give the names to another key.
    #[error(
        "the settings say that {pattern} is {owner}; change it there, under [names], and restart the node"
    )]
    NameInSettings {
        pattern: Box<NamePattern>,
        owner: PublisherId,
    },

    /// The publisher is distrusted on this node.
    #[error("{0} is distrusted here; `swarmdex trust {0}` takes that back")]
    Distrusted(PublisherId),

    /// A text of a change that breaks a rule.
    #[error("the {what} {why}")]
    Text { what: String, why: String },

    /// The release has no such file.
    #[error("{package} {version} has no file {}; it has {}", printable(.file), names(.files))]
    NoFile {
        package: String,
        version: VersionText,
        file: String,
        files: Vec<String>,
    },

    /// As many files of the release are yanked as may be.
    #[error(
        "{MAX_YANKED_FILES} files of {package} {version} are yanked, which is the most; yank the version"
    )]
    TooManyYankedFiles {
        package: String,
        version: VersionText,
    },

    /// The package has no such tag.
    #[error("{package} has no tag {}; `show` lists those it has", printable(.tag))]
    NoTag { package: String, tag: String },

    /// More releases than one batch may have.
    #[error("the batch has {given} releases; at most {most} are allowed")]
    BatchTooLarge { given: usize, most: usize },

    /// Some earlier releases are unknown, so that the version may have been published.
    #[error(
        "the oldest releases of {package} could not be had, so that nobody here knows whether there has been a {given}; publish a \
         version above {latest}, or try again when more peers are connected"
    )]
    HistoryUnknown {
        package: PackageName,
        given: VersionText,
        latest: VersionText,
    },

    /// The version has been published.
    #[error(
        "{package} {version} has been published already and a release never changes; choose another version"
    )]
    VersionTaken {
        package: PackageName,
        version: VersionText,
    },

    /// The release has a file of this name.
    #[error(
        "the file {file} of {package} {version} already exists, and a release never changes; choose another version, or another \
         name for the file"
    )]
    FileTaken {
        package: PackageName,
        version: VersionText,
        file: String,
    },

    /// No such conflict is known.
    #[error("no conflict {0} is known here; `conflicts` lists those that are")]
    NoConflict(String),

    /// The conflict cannot be proven any more.
    #[error(
        "what is held of the conflict of {what} is one-sided: the record in which the first was signed is not here any more, \
         so that it would prove nothing to others, and is not exported"
    )]
    OneSided { what: String },

    /// The package belongs to another key.
    #[error(
        "{package} is not yours: it is published by {publisher}, and only that key can change it"
    )]
    NotYours {
        package: String,
        publisher: PublisherId,
    },

    /// A record breaks a rule, or its signature is wrong.
    #[error("the record of {what} was refused: {refusal}")]
    Refused { what: String, refusal: Refusal },

    /// A peer did not let its catalogue be compared with this node's.
    #[error("the catalogues were not compared: {why}; try another peer")]
    NotCompared { why: String },

    /// No answer came in time.
    #[error(
        "{what} did not answer within {millis} ms; raise --timeout, or check `status` for peers"
    )]
    Timeout { what: String, millis: u128 },

    /// No peer of this network answered at the address in time.
    #[error(
        "nobody of this network answered at {address} within {millis} ms; check that it runs there, and its --network"
    )]
    Unreached { address: String, millis: u128 },

    /// No node runs on the data directory.
    #[error("no node runs on the data directory {}; `swarmdex node start` starts one", .0.display())]
    NoNode(PathBuf),

    /// The control socket failed.
    #[error("the node at {socket} {why}")]
    Control { socket: String, why: String },

    /// The error that a node answered over its control socket, in its own words.
    #[error("{message}")]
    Remote {
        code: String,
        usage: bool,
        message: String,
    },

    /// A change, in a program that was started with `--readonly`.
    #[error("{what} changes something, and --readonly was given; leave that out to do it")]
    ReadOnly { what: &'static str },

    /// A recording can only be watched.
    #[error("{what} is nothing that can be done with a recording; it can only be watched")]
    Recorded { what: &'static str },

    /// Too many operations of this kind are running.
    #[error("{what} is too busy: {limit} are running already; try again in a moment")]
    Busy { what: &'static str, limit: usize },

    /// The node is shutting down, or has ended.
    #[error("this node is shutting down; nothing was lost, start it again")]
    Closed,

    /// Another process uses the data directory.
    #[error(
        "the data directory {} is in use by another Swarmdex{}; `swarmdex node stop` ends a node that stays, or give \
         --data-dir another directory",
        .data_dir.display(), named(*.pid)
    )]
    DataDirInUse { data_dir: PathBuf, pid: Option<u32> },

    /// Another process uses the data directory and does not answer.
    #[error(
        "the data directory {} is in use by another Swarmdex{}, which does not answer on a control socket; wait until it \
         ends, or end {} yourself",
        .data_dir.display(), named(*.pid), .pid.map_or_else(|| "it".to_owned(), |pid| format!("process {pid}"))
    )]
    NoSocket { data_dir: PathBuf, pid: Option<u32> },

    /// A file could not be read or written.
    #[error("{} cannot be {doing}: {source}; {}", .path.display(), advice(.source))]
    File {
        path: PathBuf,
        doing: &'static str,
        source: std::io::Error,
    },

    /// A key file is damaged.
    #[error("the key file {} is damaged: {why}; restore it from a backup, or move it away to start with a new key", .path.display())]
    Key { path: PathBuf, why: String },

    /// A key file that was there before is missing.
    #[error("{}", lost_key(*.role, .path, .id))]
    LostKey {
        role: Role,
        path: PathBuf,
        id: String,
    },

    /// A backup is damaged.
    #[error("the backup {} is damaged: {why}; nothing was restored, take another backup", .path.display())]
    Backup { path: PathBuf, why: String },

    /// A sealed key could not be opened.
    #[error("the key in {} stays sealed: {why}", .path.display())]
    Sealed { path: PathBuf, why: String },

    /// A person interrupted it.
    #[error("interrupted; nothing was changed")]
    Interrupted,

    /// The database is of a newer version of the program.
    #[error("the database {} was written by a newer Swarmdex (schema {found}, this one knows {known}); use that version", .path.display())]
    NewerSchema {
        path: PathBuf,
        found: i64,
        known: i64,
    },

    /// The database is too old to be read.
    #[error(
        "the database {} is of an earlier Swarmdex (schema {found}, this one reads {known}), whose records no longer verify; \
         use another data directory, and take your key over with `swarmdex key import {}`",
        .path.display(), .path.with_file_name("publisher.key").display()
    )]
    OlderSchema {
        path: PathBuf,
        found: i64,
        known: i64,
    },

    /// No quorum of peers confirmed the state of the package.
    #[error(
        "nobody could confirm that what is known of {package} is its current state ({told}); try again with more peers, or without --fresh"
    )]
    NotFresh { package: String, told: String },

    /// The database failed.
    #[error("the database failed: {said}; {}", .trouble.advice())]
    Database { trouble: Trouble, said: String },

    /// A transaction failed, and nothing of it was kept.
    #[error("the database could not commit, and nothing of it was kept: {said}; {}", .trouble.advice())]
    Commit { trouble: Trouble, said: String },

    /// An address cannot be listened on.
    #[error(
        "cannot listen on {address}: {why}; choose another address with --listen, or leave it out to use any free port"
    )]
    Listen { address: String, why: String },

    /// An address cannot be understood.
    #[error(
        "\"{given}\" is not a peer's address: {why}; write it like /ip4/192.0.2.7/tcp/4807/p2p/12D3KooW…"
    )]
    Address { given: String, why: String },

    /// The content is not here.
    #[error("the bytes of {0} are not on this node; `get` fetches them")]
    NoContent(ContentRoot),

    /// The content is damaged.
    #[error("the stored bytes of {0} were damaged, and are dropped; `get` fetches them again")]
    ContentDamaged(ContentRoot),

    /// The content of a release was not put here before.
    #[error(
        "the bytes of {0} are not on this node, so that nobody could fetch them; put them there first"
    )]
    NotPut(ContentRoot),

    /// The content is larger than the settings allow.
    #[error(
        "{size} bytes are more than {most}, which is the most that is taken; raise max_content_mb"
    )]
    TooLarge { size: u64, most: u64 },

    /// There is no room for the content.
    #[error(
        "{needed} bytes do not fit into the content store: {kept} bytes of {quota} are your own or pinned; raise \
         content_mb, or `unpin` something"
    )]
    StoreFull { needed: u64, kept: u64, quota: u64 },

    /// A fetch failed.
    #[error("{what} could not be fetched: {why}{}", kept(*.done, *.size))]
    Fetch {
        what: String,
        why: String,
        done: u64,
        size: u64,
    },

    /// A fetch was cancelled.
    #[error("fetching {what} was cancelled, and what came of it thrown away")]
    Cancelled { what: String },

    /// A person stopped the fetch.
    #[error("fetching {what} was {how}; what came is kept, and `get` goes on from there")]
    Stopped { what: String, how: &'static str },

    /// A bare name that means nobody's package here, and the command that decides.
    #[error("{0}")]
    NameRefused(String),

    /// The request makes no sense as it was written.
    #[error("{0}")]
    Usage(String),

    /// A defect of this program.
    #[error("{what} failed: {why}; this is a defect, please report it with the log file")]
    Internal { what: &'static str, why: String },
}

impl RegistryError {
    /// Tells if the request makes no sense as it was written, rather than having failed: exit code
    /// 2.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Name(_)
            | Self::Draft { .. }
            | Self::Address { .. }
            | Self::Usage(_)
            | Self::OwnHandle { .. }
            | Self::NameInSettings { .. }
            | Self::Distrusted(_)
            | Self::Text { .. }
            | Self::NoFile { .. }
            | Self::TooManyYankedFiles { .. }
            | Self::NoTag { .. }
            | Self::BatchTooLarge { .. }
            | Self::ReadOnly { .. }
            | Self::NotPut(_) => true,
            Self::AmbiguousHandle { .. }
            | Self::AmbiguousName { .. }
            | Self::UnpinnedHandle { .. }
            | Self::TooManyHandles { .. } => true,
            Self::Remote { usage, .. } => *usage,
            Self::Needed { error, .. } => error.is_usage(),
            _ => false,
        }
    }

    /// A word for programs, which stays the same when the sentence is put better.
    pub fn code(&self) -> &str {
        match self {
            Self::Name(_) => "name",
            Self::Draft { .. } => "draft",
            Self::NotFound { .. } => "not_found",
            Self::NoMatch { .. } => "no_match",
            Self::NoVersion { .. } => "no_version",
            Self::Unresolvable { .. } => "unresolvable",
            Self::Lock { .. } => "lock",
            Self::NoPeer(_) => "no_peer",
            Self::UnknownHandle(_) => "unknown_handle",
            Self::AmbiguousHandle { .. } => "ambiguous_handle",
            Self::AmbiguousName { .. } => "ambiguous_name",
            Self::UnpinnedHandle { .. } => "unpinned_handle",
            Self::TooManyHandles { .. } => "too_many_handles",
            Self::HistoryUnknown { .. } => "history_unknown",
            Self::VersionTaken { .. } => "version_taken",
            Self::FileTaken { .. } => "file_taken",
            Self::NotYours { .. } => "not_yours",
            Self::NoConflict(_) => "no_conflict",
            Self::OneSided { .. } => "one_sided",
            Self::Refused { .. } => "refused",
            Self::NotCompared { .. } => "not_compared",
            Self::Timeout { .. } => "timeout",
            Self::Unreached { .. } => "unreached",
            Self::NoNode(_) => "no_node",
            Self::Control { .. } => "control",
            Self::ReadOnly { .. } | Self::Recorded { .. } => "read_only",
            Self::Busy { .. } => "busy",
            Self::Closed => "closed",
            Self::DataDirInUse { .. } => "data_dir_in_use",
            Self::NoSocket { .. } => "no_socket",
            Self::File { .. } => "file",
            Self::Key { .. } => "key",
            Self::LostKey { .. } => "lost_key",
            Self::Backup { .. } => "backup",
            Self::Sealed { .. } => "sealed",
            Self::Interrupted => "interrupted",
            Self::NewerSchema { .. } => "newer_schema",
            Self::OlderSchema { .. } => "older_schema",
            Self::NotFresh { .. } => "not_fresh",
            Self::Database { trouble, .. } => trouble.code().unwrap_or("database"),
            Self::Commit { trouble, .. } => trouble.code().unwrap_or("commit"),
            Self::Listen { .. } => "listen",
            Self::Address { .. } => "address",
            Self::NoContent(_) => "no_content",
            Self::ContentDamaged(_) => "content_damaged",
            Self::NotPut(_) => "not_put",
            Self::TooLarge { .. } => "too_large",
            Self::StoreFull { .. } => "store_full",
            Self::Fetch { .. } => "fetch",
            Self::Stopped { .. } | Self::Cancelled { .. } => "stopped",
            Self::NameRefused(_) => "name_refused",
            Self::Usage(_)
            | Self::OwnHandle { .. }
            | Self::NameInSettings { .. }
            | Self::Distrusted(_)
            | Self::Text { .. }
            | Self::NoFile { .. }
            | Self::TooManyYankedFiles { .. }
            | Self::NoTag { .. }
            | Self::BatchTooLarge { .. } => "usage",
            Self::Internal { .. } => "internal",
            Self::Remote { code, .. } => code,
            Self::Needed { error, .. } => error.code(),
        }
    }

    /// The word for it in the log and in the metrics.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Needed { error, .. } => error.outcome(),
            _ if self.is_missing() => "missing",
            Self::Timeout { .. } => "timeout",
            Self::Name(_)
            | Self::Draft { .. }
            | Self::AmbiguousHandle { .. }
            | Self::AmbiguousName { .. }
            | Self::UnpinnedHandle { .. }
            | Self::TooManyHandles { .. }
            | Self::HistoryUnknown { .. }
            | Self::VersionTaken { .. }
            | Self::FileTaken { .. }
            | Self::NotYours { .. }
            | Self::Refused { .. }
            | Self::Unresolvable { .. }
            | Self::Busy { .. }
            | Self::TooLarge { .. }
            | Self::StoreFull { .. } => "refused",
            _ => "error",
        }
    }

    /// Tells if the thing that was looked for does not exist, as far as could be found out.
    pub(crate) fn is_missing(&self) -> bool {
        // By the code, which an error from the other side of the control socket has as well.
        matches!(
            self.code(),
            "no_content"
                | "no_conflict"
                | "not_found"
                | "no_match"
                | "no_version"
                | "unknown_handle"
        )
    }

    /// Says who needs that with which this went wrong: a person never asked for it. `None` is that
    /// they did.
    pub(crate) fn needed_by(self, by: Option<String>) -> Self {
        match (self, by) {
            (ended @ (Self::Closed | Self::Interrupted | Self::Needed { .. }), _)
            | (ended, None) => ended,
            (error, Some(by)) => Self::Needed {
                by,
                error: Box::new(error),
            },
        }
    }

    pub(crate) fn file(
        path: impl Into<PathBuf>,
        doing: &'static str,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            path,
            doing,
            source,
        }
    }
}

impl From<HandleError> for RegistryError {
    fn from(error: HandleError) -> Self {
        match error {
            HandleError::Unknown(handle) => Self::UnknownHandle(handle),
            HandleError::Ambiguous { handle, claimants } => {
                Self::AmbiguousHandle { handle, claimants }
            }
            HandleError::Unpinned { handle, publisher } => {
                Self::UnpinnedHandle { handle, publisher }
            }
        }
    }
}

/// Advice about a file that could not be read or written.
fn advice(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind as Kind;
    match error.kind() {
        Kind::NotFound => "check the path: it, or a directory above it, is not there",
        Kind::PermissionDenied => "check that it, and its directory, are yours",
        Kind::AlreadyExists => "choose another name, or move what is there away",
        Kind::StorageFull | Kind::QuotaExceeded => {
            "its disk is full: free some space and try again"
        }
        Kind::ReadOnlyFilesystem => {
            "its disk is mounted read-only: choose another place, or mount it for writing"
        }
        _ => "check that it exists, is yours and is not full",
    }
}

fn lost_key(role: Role, path: &Path, id: &str) -> String {
    let path = path.display();
    match role {
        Role::Publisher => format!(
            "the publisher's key {path} is gone, and {id} has published from here; stop the node and take the key from its \
             backup with `swarmdex key import FILE`, or make another one with `swarmdex key new`, which can never change \
             what that one published"
        ),
        Role::Identity => format!(
            "the node's own key {path} is gone, and this was the node {id}; put the file back from a backup, or be another \
             node from now on with `swarmdex key new --identity`"
        ),
    }
}

fn named(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(", process {pid}"))
}

fn kept(done: u64, size: u64) -> String {
    match done {
        0 => String::new(),
        done => format!("; {done} of {size} bytes are here and kept, so `get` goes on from there"),
    }
}

/// Lists file names, cleaned.
fn names(files: &[String]) -> String {
    let names: Vec<String> = files.iter().map(|name| printable(name)).collect();
    names.join(", ")
}

fn list<T: ToString>(all: &[T]) -> String {
    all.iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Lists the versions there are instead, as the middle of a sentence.
fn has(instead: &[VersionText]) -> String {
    match instead.iter().map(ToString::to_string).collect::<Vec<_>>() {
        instead if instead.is_empty() => String::new(),
        instead => format!("it has {}; ", instead.join(", ")),
    }
}

/// The first seen first, with since when; a flood of others is only counted.
fn several(claimants: &[Claimant]) -> String {
    /// Claimants that are named.
    const NAMED: usize = 5;
    let one = |Claimant { publisher, since }: &Claimant| {
        format!(
            "{publisher} (fingerprint {}, first seen {})",
            publisher.fingerprint(),
            clock::day(*since)
        )
    };
    let named: Vec<String> = claimants.iter().take(NAMED).map(one).collect();
    match claimants.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}
