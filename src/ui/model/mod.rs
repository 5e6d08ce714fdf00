//! What the explorer knows and shows. Built of batches and of what effects found; everything in it
//! is bounded.

pub mod clients;
pub mod conflicts;
pub mod facets;
pub mod feed;
pub mod form;
pub mod health;
pub mod logs;
pub mod lookups;
pub mod map;
pub mod notices;
pub mod package;
pub mod palette;
pub mod peers;
pub mod picker;
pub mod publish;
pub mod readme;
pub mod recent;
pub mod said;
pub mod search;
pub mod transfers;

use std::{collections::VecDeque, path::PathBuf, time::Duration};

use libp2p::PeerId;
use tui_input::Input;

use self::{
    clients::{Clients, Run},
    conflicts::Conflicts,
    health::{Health, HealthRow},
    logs::{LogLine, Logs},
    lookups::Lookups,
    map::MapView,
    notices::Notices,
    package::PackageView,
    palette::Palette,
    peers::{Deed, Served},
    picker::Picker,
    publish::{Publish, Review},
    recent::RecentWindow,
    search::SearchView,
    transfers::Transfers,
};
use super::{
    action::{Place, Screen},
    keymap::Keymap,
    table::{AnyTable, Entry, Table, column::Column},
};
use crate::{
    bus::{Batch, Counters, Level, NodeSnapshot, Notice, PeerSnapshot},
    control::Link,
    domain::{
        conflict::{Case, ConflictId},
        health::HealthState,
        lookup::Trace,
        name::{Handle, PackageRef, PublisherId},
        time::Timestamp,
        transfer::{Transfer, TransferId, TransferState},
        version::VersionText,
    },
    registry::{Hit, OwnPackage, ReceivedAnnouncement},
};

/// What "a minute" is measured over.
const MINUTE: Duration = Duration::from_secs(60);
/// A clock that is further off than this is warned of.
pub const CLOCK_LIMIT_MS: i64 = 120_000;

/// The tables by what they are called in the settings.
pub const TABLES: [(&str, &[Column]); 10] = [
    (PeerSnapshot::NAME, PeerSnapshot::COLUMNS),
    (ReceivedAnnouncement::NAME, ReceivedAnnouncement::COLUMNS),
    (Hit::NAME, Hit::COLUMNS),
    (OwnPackage::NAME, OwnPackage::COLUMNS),
    (Transfer::NAME, Transfer::COLUMNS),
    (Run::NAME, Run::COLUMNS),
    (Trace::NAME, Trace::COLUMNS),
    (HealthRow::NAME, HealthRow::COLUMNS),
    (Case::NAME, Case::COLUMNS),
    (LogLine::NAME, LogLine::COLUMNS),
];

/// What a yes would do.
#[derive(Clone, Debug, PartialEq)]
pub enum Consent {
    Yank {
        package: PackageRef,
        version: VersionText,
        yank: bool,
        name: String,
    },
    /// Another form in place of the draft that is there.
    Replace(Box<Replacement>),
    Peer {
        id: PeerId,
        name: String,
        deed: Deed,
    },
    CancelFetch {
        id: TransferId,
        what: String,
    },
    /// Believing a key, under a handle where it has one; what is told then.
    Trust {
        publisher: PublisherId,
        handle: Option<Handle>,
        name: String,
    },
    Distrust {
        publisher: PublisherId,
        name: String,
    },
    Quit,
}

/// What a form is filled with.
#[derive(Clone, Debug, PartialEq)]
pub enum Replacement {
    New,
    Following(crate::domain::name::PackageId),
}

/// A question that is answered with yes or no.
#[derive(Clone, Debug)]
pub struct Question {
    pub title: &'static str,
    pub text: String,
    pub consent: Consent,
}

/// Where a view is to be written.
#[derive(Clone, Debug)]
pub struct Export {
    pub input: Input,
    pub rows: usize,
    /// The evidence of a conflict, and no rows.
    pub evidence: Option<ConflictId>,
    /// Why it could not be written under this name.
    pub problem: Option<String>,
}

/// A window over a screen.
#[derive(Clone, Debug)]
pub enum Popup {
    Help {
        scroll: usize,
    },
    About {
        scroll: usize,
    },
    /// A text to read.
    Text {
        title: String,
        text: String,
        scroll: usize,
    },
    Peer {
        id: PeerId,
        scroll: usize,
    },
    Package(Box<PackageView>),
    Transfer {
        id: TransferId,
        scroll: usize,
    },
    Conflict {
        id: ConflictId,
        scroll: usize,
    },
    Lookup {
        id: u64,
        scroll: usize,
    },
    /// A run of a package manager.
    Run {
        id: u64,
        scroll: usize,
    },
    /// The routing table.
    Buckets {
        scroll: usize,
    },
    Columns {
        at: usize,
    },
    Palette(Palette),
    Confirm(Box<Question>),
    Review(Box<Review>),
    Picker(Picker),
    Export(Export),
    /// What was found is told apart by; also where it is beside the list, and has the keys.
    Facets,
    Recent(RecentWindow),
}

impl Popup {
    /// How far it is scrolled, for one that is read.
    pub fn scroll_mut(&mut self) -> Option<&mut usize> {
        match self {
            Self::Help { scroll }
            | Self::About { scroll }
            | Self::Text { scroll, .. }
            | Self::Peer { scroll, .. }
            | Self::Transfer { scroll, .. }
            | Self::Conflict { scroll, .. }
            | Self::Lookup { scroll, .. }
            | Self::Run { scroll, .. }
            | Self::Buckets { scroll } => Some(scroll),
            Self::Package(view) => Some(&mut view.scroll),
            Self::Review(review) => Some(&mut review.scroll),
            Self::Columns { .. }
            | Self::Palette(_)
            | Self::Confirm(_)
            | Self::Picker(_)
            | Self::Export(_)
            | Self::Facets
            | Self::Recent(_) => None,
        }
    }

    pub fn place(&self) -> Place {
        match self {
            Self::Help { .. }
            | Self::About { .. }
            | Self::Text { .. }
            | Self::Run { .. }
            | Self::Buckets { .. } => Place::Window,
            Self::Peer { .. } => Place::Peer,
            Self::Lookup { .. } => Place::Lookup,
            Self::Package(_) => Place::Package,
            Self::Transfer { .. } => Place::Transfer,
            Self::Conflict { .. } => Place::Conflict,
            Self::Columns { .. } => Place::Columns,
            Self::Palette(_) => Place::Palette,
            Self::Confirm(_) => Place::Confirm,
            Self::Review(_) => Place::Review,
            Self::Picker(_) => Place::Picker,
            Self::Export(_) => Place::Export,
            Self::Facets => Place::Facets,
            Self::Recent(_) => Place::Recent,
        }
    }
}

/// Where things are on this machine, for the About window and for what is written.
#[derive(Clone, Debug, Default)]
pub struct Places {
    pub data: PathBuf,
    pub config: PathBuf,
    pub logs: PathBuf,
    /// The node's directories, which are never published.
    pub of_the_node: Vec<PathBuf>,
}

pub struct Model {
    pub title: String,
    pub demo: bool,
    /// The node ends with the explorer, and its next start goes on with what is unfinished.
    pub ends_node: bool,
    /// The node has started.
    pub running: bool,
    /// Whether it is there.
    pub link: Link,
    pub now: Timestamp,
    pub size: (u16, u16),
    pub keymap: Keymap,
    pub places: Places,
    /// Every sign of ours is spelt in ASCII.
    pub ascii: bool,
    /// Clicks and the wheel come to us, and not to the terminal.
    pub mouse: bool,
    pub node: Option<NodeSnapshot>,
    pub counters: Counters,
    /// Announcements and notices this explorer lost because it was slower than they came.
    pub dropped: u64,
    rate: VecDeque<(Timestamp, u64)>,
    pub notices: Notices,
    pub screen: Screen,
    pub popups: Vec<Popup>,
    pub peers: Table<PeerSnapshot>,
    /// Of the peer that was opened last.
    pub served: Option<Served>,
    pub map: MapView,
    pub feed: Table<ReceivedAnnouncement>,
    pub search: SearchView,
    pub publish: Publish,
    pub transfers: Transfers,
    pub clients: Clients,
    pub lookups: Lookups,
    pub health: Health,
    pub conflicts: Conflicts,
    pub logs: Logs,
    /// Something that is shown has changed since the last frame.
    pub dirty: bool,
    pub quit: bool,
    /// Numbers what is asked of the registry, so that an answer that comes too late is known for
    /// one.
    generation: u64,
}

impl Model {
    pub fn new(title: String, demo: bool, size: (u16, u16), now: Timestamp) -> Self {
        Self {
            title,
            demo,
            ends_node: false,
            running: false,
            link: Link::Here,
            now,
            size,
            keymap: Keymap::default(),
            places: Places::default(),
            ascii: false,
            mouse: true,
            node: None,
            counters: Counters::default(),
            dropped: 0,
            rate: VecDeque::new(),
            notices: Notices::default(),
            screen: Screen::Peers,
            popups: Vec::new(),
            peers: Table::default(),
            served: None,
            map: MapView::default(),
            feed: Table::default(),
            search: SearchView::default(),
            publish: Publish::default(),
            transfers: Transfers::default(),
            clients: Clients::default(),
            lookups: Lookups::default(),
            health: Health::default(),
            conflicts: Conflicts::default(),
            logs: Logs::default(),
            dirty: true,
            quit: false,
            generation: 0,
        }
    }

    /// The table of the screen that is shown.
    pub fn table(&self) -> &dyn AnyTable {
        match self.screen {
            Screen::Peers | Screen::Map => &self.peers,
            Screen::Feed => &self.feed,
            Screen::Search => &self.search.hits,
            Screen::Publish => &self.publish.mine,
            Screen::Transfers if self.clients.shown => &self.clients.table,
            Screen::Transfers => &self.transfers.table,
            Screen::Lookups => &self.lookups.table,
            Screen::Health => &self.health.table,
            Screen::Conflicts => &self.conflicts.table,
            Screen::Logs => &self.logs.table,
        }
    }

    pub fn table_mut(&mut self) -> &mut dyn AnyTable {
        let screen = self.screen;
        self.table_of_mut(screen)
    }

    pub fn table_of_mut(&mut self, screen: Screen) -> &mut dyn AnyTable {
        match screen {
            Screen::Peers | Screen::Map => &mut self.peers,
            Screen::Feed => &mut self.feed,
            Screen::Search => &mut self.search.hits,
            Screen::Publish => &mut self.publish.mine,
            Screen::Transfers if self.clients.shown => &mut self.clients.table,
            Screen::Transfers => &mut self.transfers.table,
            Screen::Lookups => &mut self.lookups.table,
            Screen::Health => &mut self.health.table,
            Screen::Conflicts => &mut self.conflicts.table,
            Screen::Logs => &mut self.logs.table,
        }
    }

    /// The transfer that is opened, else the one that is selected.
    pub fn shown_transfer(&self) -> Option<&Transfer> {
        match self.popups.last() {
            Some(Popup::Transfer { id, .. }) => self.transfers.table.get(id),
            _ if self.clients.shown => None,
            _ => self.transfers.table.current(),
        }
    }

    /// The conflict that is opened, else the one that is selected.
    pub fn shown_conflict(&self) -> Option<&Case> {
        match self.popups.last() {
            Some(Popup::Conflict { id, .. }) => self.conflicts.table.get(id),
            _ => self.conflicts.table.current(),
        }
    }

    /// Where keys go now.
    pub fn place(&self) -> Place {
        match self.popups.last() {
            Some(popup) => popup.place(),
            None if self.screen == Screen::Publish
                && self.publish.typing
                && self.publish.form.is_some() =>
            {
                Place::Form
            }
            None => Place::Screen(self.screen),
        }
    }

    /// A text field has the focus.
    pub fn typing(&self) -> bool {
        match self.place() {
            Place::Form | Place::Palette | Place::Export | Place::Recent => true,
            Place::Screen(Screen::Search) if self.search.typing => true,
            Place::Screen(_) => self.table().filter().typing,
            _ => false,
        }
    }

    /// The package that was opened under this number, as far as it still is.
    pub fn package_view(&mut self, generation: u64) -> Option<&mut PackageView> {
        let view = self.popups.iter_mut().find_map(|popup| match popup {
            Popup::Package(view) if view.generation == generation => Some(&mut **view),
            _ => None,
        })?;
        self.dirty = true;
        Some(view)
    }

    pub fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    pub fn apply(&mut self, batch: Batch, now: Timestamp) {
        self.now = now;
        self.dirty |= self.shows(&batch, now);
        self.dropped = batch.dropped;
        if let Some(node) = batch.node {
            self.node = Some(node);
        }
        if let Some(counters) = batch.counters {
            self.rate.push_back((now, counters.announcements));
            self.counters = counters;
        }
        self.forget_old_rates(now);
        batch
            .notices
            .into_iter()
            .for_each(|notice| self.notices.tell(notice, now));
        self.notices.pass(now);
        self.peers.remove(&batch.gone);
        self.peers.put(batch.peers, now);
        self.feed.put(batch.announcements, now);
        self.take_transfers(batch.transfers, now);
        self.clients.put(batch.requests, now);
        for case in &batch.conflicts {
            self.notices.tell(conflicts::notice(case, now), now);
            self.conflicts.ask_again();
        }
        self.lookups.table.put(batch.lookups, now);
        if let Some(sample) = &batch.health {
            let first = self.health.history.verdict().is_none();
            if self.health.apply(sample, now) {
                self.tell_verdict(now);
            }
            self.dirty |= first;
        }
    }

    /// Whether anything in a batch may change what is shown. Samples come every other second,
    /// transfers and lookups several times a second each, and most of them are to be seen on one
    /// screen only.
    fn shows(&self, batch: &Batch, now: Timestamp) -> bool {
        let of_few_screens = batch.node.is_none()
            && batch.announcements.is_empty()
            && batch.notices.is_empty()
            && batch.conflicts.is_empty()
            && batch.counters.is_none()
            && batch.dropped == self.dropped;
        let of_one_screen = of_few_screens && batch.peers.is_empty() && batch.gone.is_empty();
        if of_few_screens && self.map_stays(batch, now) {
            return false;
        }
        !of_one_screen
            || batch.health.is_some() && self.screen == Screen::Health
            || !batch.transfers.is_empty() && self.shows_transfers()
            || !batch.lookups.is_empty() && self.shows_lookups()
            || !batch.requests.is_empty() && self.shows_clients()
    }

    fn shows_clients(&self) -> bool {
        self.screen == Screen::Transfers && self.clients.shown
    }

    fn shows_lookups(&self) -> bool {
        self.screen == Screen::Lookups || matches!(self.popups.last(), Some(Popup::Lookup { .. }))
    }

    fn shows_transfers(&self) -> bool {
        matches!(self.screen, Screen::Transfers | Screen::Map)
            || matches!(
                self.popups.last(),
                Some(Popup::Package(_) | Popup::Transfer { .. })
            )
    }

    fn take_transfers(&mut self, transfers: Vec<Transfer>, now: Timestamp) {
        for transfer in transfers
            .iter()
            .filter(|transfer| transfer.state == TransferState::Done)
        {
            let TransferId::Fetch { root } = transfer.id else {
                continue;
            };
            for popup in &mut self.popups {
                if let Popup::Package(view) = popup {
                    view.came(root);
                }
            }
        }
        for (notice, answers) in self.transfers.put(transfers, now) {
            if answers {
                self.notices.answer(notice, now);
            } else {
                self.notices.tell(notice, now);
            }
            self.dirty = true;
        }
    }

    /// A second went by. Dirty only when something that is shown says something else now.
    /// `page` rows of the table are in view.
    pub fn tick(&mut self, now: Timestamp, page: usize) {
        let shown = |model: &Self| {
            let notice = model.notices.shown().map(|notice| notice.at);
            let map = model.screen == Screen::Map;
            // Ages are not on the map, and what was exchanged lately is nowhere else.
            let ages = if map {
                Vec::new()
            } else {
                model.table().ages(page, model.now)
            };
            let traffic = if map {
                model.traffic()
            } else {
                Default::default()
            };
            (notice, model.announcements_a_minute(), ages, traffic)
        };
        let before = shown(self);
        self.now = now;
        self.forget_old_rates(now);
        self.notices.pass(now);
        let sorted = self.table_mut().sort_if_due(now);
        self.dirty |= sorted || before != shown(self);
    }

    /// A change of the verdict shows on every screen.
    fn tell_verdict(&mut self, now: Timestamp) {
        let Some(verdict) = self.health.history.verdict() else {
            return;
        };
        let level = match verdict.state {
            HealthState::Good => Level::Info,
            HealthState::Degraded => Level::Warning,
            HealthState::Bad => Level::Error,
        };
        let text = format!(
            "health is {} now: {}; 8 shows it",
            verdict.state.label(),
            verdict.cause
        );
        self.notices.tell(
            Notice {
                at: now,
                level,
                text,
            },
            now,
        );
        self.dirty = true;
    }

    /// Answers what the person just did.
    pub fn answer(&mut self, level: Level, text: String) {
        self.notices.answer(
            Notice {
                at: self.now,
                level,
                text,
            },
            self.now,
        );
        self.dirty = true;
    }

    fn forget_old_rates(&mut self, now: Timestamp) {
        // One from before the minute stays: it is what the minute is counted from.
        while self
            .rate
            .get(1)
            .is_some_and(|(at, _)| now.since(*at) >= MINUTE)
        {
            self.rate.pop_front();
        }
        // One a tenth of a second at most; the middle ones are not needed.
        if self.rate.len() > 700 {
            self.rate.remove(1);
        }
    }

    /// Announcements in the last minute.
    pub fn announcements_a_minute(&self) -> u64 {
        match (self.rate.front(), self.rate.back()) {
            (Some((_, first)), Some((_, last))) if self.rate.len() > 1 => {
                last.saturating_sub(*first)
            }
            (Some(_), Some((at, last))) if self.now.since(*at) < MINUTE => *last,
            _ => 0,
        }
    }

    /// Bytes that were refused, whatever the reason.
    pub fn refused(&self) -> u64 {
        self.counters.refused.values().sum()
    }
}
