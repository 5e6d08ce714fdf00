//! The state of the explorer, built from batches of events and the results of effects. Everything
//! in it is bounded.

pub mod clients;
pub mod conflicts;
pub mod facets;
pub mod feed;
pub mod form;
pub mod health;
pub mod logs;
pub mod lookups;
pub mod map;
pub mod messages;
pub mod notices;
pub mod package;
pub mod palette;
pub mod peers;
pub mod picker;
pub mod publish;
pub mod readme;
pub mod recent;
pub mod search;
pub mod transfers;

use std::{collections::VecDeque, path::PathBuf, time::Duration};

use self::{
    clients::{ClientRun, Clients},
    conflicts::ConflictsView,
    health::{Health, HealthRow},
    logs::{LogLine, LogsView},
    lookups::LookupsView,
    map::MapView,
    notices::NoticeQueue,
    peers::PeerPackages,
    publish::PublishView,
    search::SearchView,
    transfers::Transfers,
};
use super::{
    action::{Action, KeyPlace, Screen},
    keymap::Keymap,
    popup::{
        Popup, Window, conflict::ConflictWindow, package::PackageWindow, transfer::TransferWindow,
    },
    table::{AnyTable, Table, TableEntry, column::Column},
};
use crate::{
    bus::{Batch, Counters, Level, NodeSnapshot, Notice, PeerSnapshot},
    control::Link,
    domain::{
        conflict::Case,
        health::HealthState,
        lookup::Trace,
        name::{Handle, PublisherId},
        time::{Ago, Timestamp},
        transfer::{Transfer, TransferId, TransferState},
        trust::SeenClaims,
    },
    registry::{Hit, OwnPackage, ReceivedAnnouncement},
};

/// Period over which announcements per minute are counted.
const MINUTE: Duration = Duration::from_secs(60);
/// Clock offset, in milliseconds, above which the user is warned.
pub const CLOCK_LIMIT_MS: i64 = 120_000;

/// The tables by their name in the settings.
pub const TABLES: [(&str, &[Column]); 10] = [
    (PeerSnapshot::NAME, PeerSnapshot::COLUMNS),
    (ReceivedAnnouncement::NAME, ReceivedAnnouncement::COLUMNS),
    (Hit::NAME, Hit::COLUMNS),
    (OwnPackage::NAME, OwnPackage::COLUMNS),
    (Transfer::NAME, Transfer::COLUMNS),
    (ClientRun::NAME, ClientRun::COLUMNS),
    (Trace::NAME, Trace::COLUMNS),
    (HealthRow::NAME, HealthRow::COLUMNS),
    (Case::NAME, Case::COLUMNS),
    (LogLine::NAME, LogLine::COLUMNS),
];

/// Paths on this machine, for the About window and for exports.
#[derive(Clone, Debug, Default)]
pub struct ExplorerPaths {
    pub data: PathBuf,
    pub config: PathBuf,
    pub logs: PathBuf,
    /// The node's own directories, which are never published.
    pub of_the_node: Vec<PathBuf>,
}

pub struct Model {
    pub title: String,
    pub demo: bool,
    /// The node stops when the explorer quits; its next start resumes unfinished work.
    pub ends_node: bool,
    /// The node has started.
    pub running: bool,
    /// The state of the connection to the node.
    pub link: Link,
    /// The time at which the connection was lost; `None` while there is one.
    pub lost_at: Option<Timestamp>,
    /// The explorer was started to watch only: the node refuses every change.
    pub readonly: bool,
    pub now: Timestamp,
    pub size: (u16, u16),
    pub keymap: Keymap,
    pub places: ExplorerPaths,
    /// Symbols are replaced with ASCII characters.
    pub ascii: bool,
    /// The explorer handles the mouse, not the terminal.
    pub mouse: bool,
    pub node: Option<NodeSnapshot>,
    pub counters: Counters,
    /// Announcements and notices that were dropped because the explorer was too slow.
    pub dropped: u64,
    rate: VecDeque<(Timestamp, u64)>,
    pub notices: NoticeQueue,
    pub screen: Screen,
    pub popups: Vec<Popup>,
    pub peers: Table<PeerSnapshot>,
    /// The packages of the peer that was opened last.
    pub served: Option<PeerPackages>,
    pub map: MapView,
    pub feed: Table<ReceivedAnnouncement>,
    pub search: SearchView,
    pub publish: PublishView,
    pub transfers: Transfers,
    pub clients: Clients,
    pub lookups: LookupsView,
    pub health: Health,
    pub conflicts: ConflictsView,
    /// The keys that claim each handle, as far as the explorer has seen.
    pub claims: SeenClaims,
    pub logs: LogsView,
    /// True if the next frame would differ from the last one.
    pub dirty: bool,
    pub quit: bool,
    /// Number of the last request to the registry; answers to earlier ones are ignored.
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
            lost_at: None,
            readonly: false,
            now,
            size,
            keymap: Keymap::default(),
            places: ExplorerPaths::default(),
            ascii: false,
            mouse: true,
            node: None,
            counters: Counters::default(),
            dropped: 0,
            rate: VecDeque::new(),
            notices: NoticeQueue::default(),
            screen: Screen::Peers,
            popups: Vec::new(),
            peers: Table::default(),
            served: None,
            map: MapView::default(),
            feed: Table::default(),
            search: SearchView::default(),
            publish: PublishView::default(),
            transfers: Transfers::default(),
            clients: Clients::default(),
            lookups: LookupsView::default(),
            health: Health::default(),
            conflicts: ConflictsView::default(),
            claims: SeenClaims::default(),
            logs: LogsView::default(),
            dirty: true,
            quit: false,
            generation: 0,
        }
    }

    /// Returns the table of the current screen.
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

    /// Returns the opened transfer, or else the selected one.
    pub fn shown_transfer(&self) -> Option<&Transfer> {
        match self.window::<TransferWindow>() {
            Some(window) => self.transfers.table.get(&window.id),
            None if self.clients.shown => None,
            None => self.transfers.table.current(),
        }
    }

    /// Returns the opened conflict, or else the selected one.
    pub fn shown_conflict(&self) -> Option<&Case> {
        match self.window::<ConflictWindow>() {
            Some(window) => self.conflicts.table.get(&window.id),
            None => self.conflicts.table.current(),
        }
    }

    /// Returns the key for `action` in a place, for texts that mention it.
    pub fn key(&self, action: Action, place: impl Into<KeyPlace>) -> String {
        self.keymap.hint(action, place.into())
    }

    /// Returns the place that receives keys.
    pub fn place(&self) -> KeyPlace {
        match self.popups.last() {
            Some(popup) => popup.window.place(),
            None if self.screen == Screen::Publish
                && self.publish.typing
                && self.publish.form.is_some() =>
            {
                KeyPlace::Form
            }
            None => KeyPlace::Screen(self.screen),
        }
    }

    /// Returns true if a text field has the focus.
    pub fn typing(&self) -> bool {
        match (self.popups.last(), self.place()) {
            (Some(popup), _) => popup.window.cursor().is_some(),
            (None, KeyPlace::Form) => true,
            (None, _) if self.screen == Screen::Search && self.search.typing => true,
            (None, _) => self.table().filter().typing,
        }
    }

    /// Opens a window over the others.
    pub fn open(&mut self, window: impl Window) {
        self.popups.push(Popup {
            window: Box::new(window),
            at: 0,
        });
    }

    /// Returns the top window if it is of this type.
    pub fn window<W: Window>(&self) -> Option<&W> {
        self.popups.last()?.get()
    }

    pub fn window_mut<W: Window>(&mut self) -> Option<&mut W> {
        self.popups.last_mut()?.get_mut()
    }

    /// Returns the window of the package opened under this number, if it is still open.
    pub fn package_window(&mut self, generation: u64) -> Option<&mut PackageWindow> {
        let mut packages = self.popups.iter_mut().filter_map(Popup::get_mut);
        let window =
            packages.find(|window: &&mut PackageWindow| window.generation == generation)?;
        self.dirty = true;
        Some(window)
    }

    pub fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    pub fn apply(&mut self, batch: Batch, now: Timestamp) {
        self.now = now;
        self.dirty |= self.shows(&batch, now);
        self.dropped = batch.dropped;
        batch.note_claims(&mut self.claims);
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
            .for_each(|notice| self.notices.push(notice, now));
        self.notices.pass(now);
        self.peers.remove(&batch.gone);
        self.peers.put(batch.peers, now);
        for one in &batch.announcements {
            self.dirty |= self.search.announced(one) && self.screen == Screen::Search;
        }
        self.feed.put(batch.announcements, now);
        self.take_transfers(batch.transfers, now);
        self.clients.put(batch.requests, now);
        for case in &batch.conflicts {
            let key = self.key(Action::Go(Screen::Conflicts), self.screen);
            self.notices.push(conflicts::notice(case, &key, now), now);
            self.conflicts.ask_again();
        }
        self.lookups.table.put(batch.lookups, now);
        if let Some(sample) = &batch.health {
            let first = self.health.history.verdict().is_none();
            if self.health.apply(sample, now) {
                self.notify_verdict(now);
            }
            self.dirty |= first;
        }
    }

    /// Names a peer's owner by handle and fingerprint. A handle that other keys claim too is
    /// signed, and its fingerprint comes first: a narrow column cuts off the end.
    pub fn owner_of(&self, peer: &PeerSnapshot) -> String {
        match &peer.owner {
            Some(owner) if self.claims.is_contested(&owner.handle, &owner.publisher) => {
                format!("! {} {}", owner.publisher.fingerprint(), owner.handle)
            }
            _ => peers::name_and_key(peer),
        }
    }

    /// Says that other keys claim the handle too and where to compare them; `None` if none do, or
    /// if the handle is bound to this key.
    pub fn contested(&self, handle: &Handle, publisher: &PublisherId) -> Option<String> {
        self.claims.is_contested(handle, publisher).then(|| {
            let others = match self.claims.others(handle, publisher) {
                1 => "another key claims it too".to_owned(),
                others => format!("{others} other keys claim it too"),
            };
            let key = self.key(Action::Go(Screen::Conflicts), self.screen);
            format!("{others} ({key}: compare)")
        })
    }

    /// Signs the title of a package, as the node gave it, if other keys claim its handle too.
    pub fn signed_title(&self, title: &str) -> String {
        // The title has a fingerprint only if the handle is not bound to the key.
        let contested = || {
            let (handle, rest) = title.split_once('/')?;
            let (_, rest) = rest.split_once(" (")?;
            let (fingerprint, _) = rest.split_once(')')?;
            let handle = handle.parse().ok()?;
            self.claims.others_than(&handle, fingerprint).then_some(())
        };
        match contested() {
            Some(()) => format!("! {title}"),
            None => title.to_owned(),
        }
    }

    /// Returns true if a batch may change what is on screen. Samples come every two seconds,
    /// transfers and lookups several times a second, and most of them appear on one screen only.
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
        self.screen == Screen::Lookups
    }

    fn shows_transfers(&self) -> bool {
        matches!(self.screen, Screen::Transfers | Screen::Map)
            || self.window::<PackageWindow>().is_some()
    }

    fn take_transfers(&mut self, transfers: Vec<Transfer>, now: Timestamp) {
        for transfer in transfers
            .iter()
            .filter(|transfer| transfer.state == TransferState::Done)
        {
            let TransferId::Fetch { root } = transfer.id else {
                continue;
            };
            let packages = self.popups.iter_mut().filter_map(Popup::get_mut);
            packages.for_each(|window: &mut PackageWindow| window.downloaded(root));
        }
        let key = self.key(Action::Go(Screen::Transfers), self.screen);
        for (notice, answers) in self.transfers.put(transfers, &key, now) {
            if answers {
                self.notices.answer(notice, now);
            } else {
                self.notices.push(notice, now);
            }
            self.dirty = true;
        }
    }

    /// Advances the time. Marks the model dirty only if some visible text changes; `page` rows of
    /// the table are in view.
    pub fn tick(&mut self, now: Timestamp, page: usize) {
        let shown = |model: &Self| {
            let notice = model.notices.shown().map(|notice| notice.at);
            let lost = model.lost_at.map(|at| model.now.since(at).as_secs());
            let map = model.screen == Screen::Map;
            // The map shows no ages, and recent traffic is shown nowhere else.
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
            let newer = model.search.newer(model.known_packages());
            (
                notice,
                model.announcements_a_minute(),
                ages,
                traffic,
                lost,
                newer,
            )
        };
        let before = shown(self);
        self.now = now;
        self.forget_old_rates(now);
        self.notices.pass(now);
        let sorted = self.table_mut().sort_if_due(now);
        self.dirty |= sorted || before != shown(self);
    }

    /// Notes that the connection to the node was lost or restored.
    pub fn set_link(&mut self, link: Link) {
        let now = self.now;
        match (&link, self.lost_at) {
            (Link::Lost { why }, None) => {
                self.lost_at = Some(now);
                self.health.lost(why, now);
            }
            (Link::Here, Some(at)) => {
                self.lost_at = None;
                let away = Ago(now.since(at));
                self.health
                    .back(&format!("the node answers again, after {away}"), now);
                self.answer(Level::Info, format!("the node is back, after {away}"));
            }
            _ => {}
        }
        self.link = link;
        self.dirty = true;
    }

    /// Returns why an action cannot be done now, however the node is; `None` if it can be tried.
    pub fn refusal(&self, action: Action) -> Option<&'static str> {
        if self.readonly && action.is_change() {
            Some("this explorer only watches (--readonly)")
        } else if self.lost_at.is_some() && action.needs_node() {
            Some("the node does not answer; try again once the connection is back")
        } else {
            None
        }
    }

    /// Reports a change of the verdict, whatever screen is open.
    fn notify_verdict(&mut self, now: Timestamp) {
        let Some(verdict) = self.health.history.verdict() else {
            return;
        };
        let level = match verdict.state {
            HealthState::Good => Level::Info,
            HealthState::Degraded => Level::Warning,
            HealthState::Bad => Level::Error,
        };
        let text = format!(
            "health is now {}: {} (details: {})",
            verdict.state.label(),
            verdict.cause,
            self.key(Action::Go(Screen::Health), self.screen)
        );
        self.notices.push(
            Notice {
                at: now,
                level,
                text,
            },
            now,
        );
        self.dirty = true;
    }

    /// Shows a message about the user's last action.
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
        // Keep one count from before the minute: the difference is taken from it.
        while self
            .rate
            .get(1)
            .is_some_and(|(at, _)| now.since(*at) >= MINUTE)
        {
            self.rate.pop_front();
        }
        // Counts come at most ten times a second. Thin them out in the middle.
        if self.rate.len() > 700 {
            self.rate.remove(1);
        }
    }

    /// Returns the number of announcements in the last minute.
    pub fn announcements_a_minute(&self) -> u64 {
        match (self.rate.front(), self.rate.back()) {
            (Some((_, first)), Some((_, last))) if self.rate.len() > 1 => {
                last.saturating_sub(*first)
            }
            (Some(_), Some((at, last))) if self.now.since(*at) < MINUTE => *last,
            _ => 0,
        }
    }

    /// Returns the number of packages that the node knows.
    pub fn known_packages(&self) -> u64 {
        self.node.as_ref().map_or(0, |node| node.packages)
    }

    /// Returns how much data from peers failed a check since the node started.
    pub fn refused(&self) -> u64 {
        self.counters.refused.values().sum()
    }
}
