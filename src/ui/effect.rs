//! Effects that an update asks for, and the messages that carry their results.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use libp2p::PeerId;

use super::{
    Shown,
    model::{
        form::FileState,
        peers::{PeerAction, PeerPackages},
        picker::PickerEntry,
        publish::Hashed,
        readme::ReadmeText,
    },
    table::export::ExportSheet,
};
use crate::{
    Result,
    archive::pack::PackListing,
    bus::Level,
    control::{Link, Logged},
    domain::{
        conflict::{ConflictId, ConflictList},
        hash::ContentRoot,
        lookup::RoutingTable,
        manifest::Draft,
        name::{Handle, PackageId, PackageRef, PublisherId},
        transfer::TransferId,
        trust::{Claims, Trust},
        version::VersionText,
    },
    registry::{
        Content, Held, LookAlike, Order, OwnPackages, Package, PublishStep, Receipt, Release,
        SearchUpdate, Wanted,
    },
};

#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    Search {
        generation: u64,
        text: String,
    },
    GetPackage {
        generation: u64,
        package: PackageId,
    },
    /// Reads every manifest of a release, to list its files.
    Files {
        generation: u64,
        package: PackageId,
        version: VersionText,
    },
    /// Asks whether the node holds a content.
    Held {
        generation: u64,
        root: ContentRoot,
    },
    /// Downloads a readme if the node does not hold it, and reads it.
    Readme {
        generation: u64,
        wanted: Box<Wanted>,
    },
    /// Has the node download a release's files, with readme and metadata.
    Download {
        package: PackageId,
        version: VersionText,
        title: String,
    },
    /// Pauses, resumes or cancels a download.
    Direct {
        id: TransferId,
        order: Order,
        what: String,
    },
    /// Asks for this node's publisher key and its packages.
    Own,
    /// Checks the file that a path names, and lists completions of the path.
    Stat {
        generation: u64,
        path: String,
    },
    /// Asks this node who else claims a handle; with `ask`, asks its peers as well.
    Claimed {
        handle: Handle,
        ask: bool,
    },
    List {
        generation: u64,
        dir: PathBuf,
    },
    /// Reads a file, or packs a directory for this draft, and hashes the result.
    Hash {
        generation: u64,
        path: PathBuf,
        draft: Option<Box<Draft>>,
    },
    Publish {
        generation: u64,
        draft: Box<Draft>,
        content: Content,
        path: PathBuf,
    },
    Yank {
        package: PackageRef,
        version: VersionText,
        yank: bool,
        name: String,
    },
    /// Saves the draft; `None` deletes it.
    SaveDraft(Option<BTreeMap<String, String>>),
    /// Saves the recent searches, newest first.
    SaveSearches(Vec<String>),
    /// Saves a table's columns in the settings.
    SaveColumns {
        table: &'static str,
        words: Vec<String>,
    },
    Peer {
        id: PeerId,
        name: String,
        action: PeerAction,
    },
    /// Looks up the packages of a peer's publisher in the local catalogue.
    PackagesOf {
        peer: PeerId,
        publisher: PublisherId,
    },
    /// Announces this node's own content again.
    Reannounce,
    Export {
        path: String,
        sheet: ExportSheet,
    },
    /// Asks for the known conflicts.
    Conflicts,
    /// Writes the evidence of a conflict to a file.
    ExportEvidence {
        path: String,
        id: ConflictId,
    },
    /// Pins a publisher's key or unpins it; `name` is for the message about it.
    Trust {
        publisher: PublisherId,
        handle: Option<Handle>,
        what: String,
    },
    Distrust {
        publisher: PublisherId,
        what: String,
    },
    /// Asks for the routing table.
    Routing,
    /// Asks for the log entries from this number on.
    Logs {
        since: u64,
    },
    /// Copies a text to the clipboard; this and the following effects need the terminal.
    Copy {
        text: String,
        things: usize,
    },
    Pager(PathBuf),
    Mouse(bool),
    Theme,
    Suspend,
}

/// The result of an effect.
pub enum EffectResult {
    Started(Box<Result<Shown>>),
    Search {
        generation: u64,
        update: SearchUpdate,
        after: Duration,
    },
    Package {
        generation: u64,
        result: Box<Result<Package>>,
    },
    Files {
        generation: u64,
        result: Box<Result<Release>>,
    },
    Held {
        generation: u64,
        result: Box<Result<Option<Held>>>,
    },
    Readme {
        generation: u64,
        result: Result<ReadmeText, String>,
    },
    Download(Download),
    Directed {
        what: String,
        order: Order,
        result: Box<Result<bool>>,
    },
    Peer {
        name: String,
        action: PeerAction,
        result: Box<Result<bool>>,
    },
    Served(PeerPackages),
    Own(Box<Result<OwnPackages>>),
    Routing(Box<Result<RoutingTable>>),
    Stat {
        generation: u64,
        state: FileState,
        proposals: Vec<String>,
    },
    Claimed(Box<Claims>),
    Listed {
        generation: u64,
        entries: Result<Vec<PickerEntry>, String>,
    },
    Hashed {
        generation: u64,
        hashed: Hashed,
    },
    /// The list of files in a release, known before it is packed.
    Listing {
        generation: u64,
        listing: Box<PackListing>,
    },
    /// The node is storing the bytes of a release: how many so far, of how many.
    Putting {
        generation: u64,
        taken: (u64, u64),
    },
    Step {
        generation: u64,
        step: PublishStep,
        after: Duration,
    },
    Published {
        generation: u64,
        result: Box<Result<Receipt>>,
    },
    Yanked {
        what: String,
        result: Box<Result<Receipt>>,
    },
    /// The number of rows that were exported, or the reason why none were.
    Exported {
        path: String,
        result: Result<usize, String>,
    },
    Logs(Box<Result<Logged>>),
    Conflicts(Box<Result<ConflictList>>),
    ExportedEvidence {
        path: String,
        result: Result<(), String>,
    },
    /// A key was pinned or unpinned.
    Trust {
        what: String,
        publisher: PublisherId,
        handle: Option<Handle>,
        /// Its trust from now on.
        trust: Trust,
        result: Box<Result<()>>,
    },
    /// The connection to the node was lost or restored.
    Link(Link),
    /// A message for the status row.
    Notice(Level, String),
}

/// The progress of a download that was asked for.
pub enum Download {
    /// The release was found, and the download of its missing files begins.
    Found {
        release: Box<Release>,
        missing: Vec<Wanted>,
        looks_like: Option<LookAlike>,
    },
    /// The download failed; `root` is its content, if that was known by then.
    Failed {
        root: Option<ContentRoot>,
        what: String,
        why: String,
    },
}

/// Messages that may wait; an effect that sends more than this waits too.
pub const MESSAGES: usize = 64;
