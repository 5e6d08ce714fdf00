//! What an update wants done, and the messages of what came of it.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use libp2p::PeerId;

use super::{
    model::{
        form::FileState,
        peers::{Deed, Served},
        picker::FileEntry,
        publish::Hashed,
        readme::Readme,
    },
    table::export::Sheet,
};
use crate::{
    Result,
    archive::pack::PackListing,
    bus::Level,
    control::{Control, Link, Logged},
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
    Look {
        generation: u64,
        package: PackageId,
    },
    /// Reads every manifest of a release, for its files.
    Files {
        generation: u64,
        package: PackageId,
        version: VersionText,
    },
    /// Whether a content is on the node.
    Held {
        generation: u64,
        root: ContentRoot,
    },
    /// Fetches a readme where it is not here, and reads it.
    Readme {
        generation: u64,
        wanted: Box<Wanted>,
    },
    /// Fetches the content of a release into the node, and what travels beside it.
    Download {
        package: PackageId,
        version: VersionText,
        title: String,
    },
    /// Tells a fetch what to do.
    Direct {
        id: TransferId,
        order: Order,
        what: String,
    },
    /// Asks for this node's publisher and its packages.
    Own,
    /// Looks at the file that a path names, and how the path could go on.
    Stat {
        generation: u64,
        path: String,
    },
    /// Asks who else claims a handle: this node, or with `ask` its peers.
    Claimed {
        handle: Handle,
        ask: bool,
    },
    List {
        generation: u64,
        dir: PathBuf,
    },
    /// Reads a file, or packs a directory as this draft, and hashes it.
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
    /// Keeps the draft, or forgets it.
    SaveDraft(Option<BTreeMap<String, String>>),
    /// Keeps the searches that were made, the newest first.
    SaveSearches(Vec<String>),
    /// Keeps a table's columns in the settings.
    SaveColumns {
        table: &'static str,
        words: Vec<String>,
    },
    Peer {
        id: PeerId,
        name: String,
        deed: Deed,
    },
    /// Looks for what a peer's publisher has, as far as it is known here.
    PackagesOf {
        peer: PeerId,
        publisher: PublisherId,
    },
    /// Offers own content to others again.
    Offer,
    Export {
        path: String,
        sheet: Sheet,
    },
    /// Asks for what does not go together.
    Conflicts,
    /// Writes the evidence of a conflict.
    ExportEvidence {
        path: String,
        id: ConflictId,
    },
    /// Believes a key, or not any more; what is told then.
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
    /// Asks for the entries of the log from this number on.
    Logs {
        since: u64,
    },
    /// The rest is the runtime's, which has the terminal.
    Copy {
        text: String,
        things: usize,
    },
    Pager(PathBuf),
    Mouse(bool),
    Theme,
    Suspend,
}

/// What an effect brings back.
pub enum Message {
    Started(Box<Result<Arc<dyn Control>>>),
    Search {
        generation: u64,
        update: SearchUpdate,
        after: Duration,
    },
    Looked {
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
        result: Result<Readme, String>,
    },
    Download(Download),
    Directed {
        what: String,
        order: Order,
        result: Box<Result<bool>>,
    },
    Peer {
        name: String,
        deed: Deed,
        result: Box<Result<bool>>,
    },
    Served(Served),
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
        entries: Result<Vec<FileEntry>, String>,
    },
    Hashed {
        generation: u64,
        hashed: Hashed,
    },
    /// The contents of a release, before it is packed.
    Listing {
        generation: u64,
        listing: Box<PackListing>,
    },
    /// The node takes the bytes of what is to be published: so many of so many.
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
    /// How many rows were written, or why none.
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
    /// A key is believed now, or not any more.
    Said {
        what: String,
        publisher: PublisherId,
        handle: Option<Handle>,
        /// The standing that it has from now on.
        trust: Trust,
        result: Box<Result<()>>,
    },
    /// The connection to the node was lost, or is there again.
    Link(Link),
    /// Something to tell the person.
    Told(Level, String),
}

/// What becomes of a download.
pub enum Download {
    /// The release was found; the files that are missing here come.
    Found {
        release: Box<Release>,
        missing: Vec<Wanted>,
        looks_like: Option<LookAlike>,
    },
    /// With its content, if it came as far as that.
    Failed {
        root: Option<ContentRoot>,
        what: String,
        why: String,
    },
}

/// Messages waiting; an effect that has more waits with them.
pub const MESSAGES: usize = 64;
