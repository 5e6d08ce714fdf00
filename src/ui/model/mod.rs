//! What the explorer knows and shows. Built of batches and of what effects found; everything in it is bounded.

pub mod feed;
pub mod package;
pub mod peers;
pub mod search;

use std::{collections::VecDeque, time::Duration};

use libp2p::PeerId;

use self::{feed::Feed, package::PackageView, peers::Peers, search::SearchView};
use super::action::Screen;
use crate::{
    bus::{Batch, Counters, NodeSnapshot, Notice},
    domain::time::Timestamp,
};

/// How long a notice is shown.
pub const NOTICE_TIME: Duration = Duration::from_secs(12);
/// Notices waiting to be shown.
const MAX_NOTICES: usize = 16;
/// What "a minute" is measured over.
const MINUTE: Duration = Duration::from_secs(60);
/// A clock that is further off than this is warned of.
pub const CLOCK_LIMIT_MS: i64 = 120_000;

/// A window over a screen.
#[derive(Clone, Debug)]
pub enum Popup {
    Help { scroll: usize },
    Peer { id: PeerId, scroll: usize },
    Package(Box<PackageView>),
}

impl Popup {
    pub fn scroll_mut(&mut self) -> &mut usize {
        match self {
            Self::Help { scroll } | Self::Peer { scroll, .. } => scroll,
            Self::Package(view) => &mut view.scroll,
        }
    }

    pub fn scroll(&self) -> usize {
        match self {
            Self::Help { scroll } | Self::Peer { scroll, .. } => *scroll,
            Self::Package(view) => view.scroll,
        }
    }
}

pub struct Model {
    pub title: String,
    pub demo: bool,
    /// The node has started.
    pub running: bool,
    pub now: Timestamp,
    pub size: (u16, u16),
    pub node: Option<NodeSnapshot>,
    pub counters: Counters,
    /// Announcements and notices this explorer lost because it was slower than they came.
    pub dropped: u64,
    rate: VecDeque<(Timestamp, u64)>,
    notices: VecDeque<(Notice, Option<Timestamp>)>,
    pub screen: Screen,
    pub popups: Vec<Popup>,
    pub peers: Peers,
    pub feed: Feed,
    pub search: SearchView,
    /// Something that is shown has changed since the last frame.
    pub dirty: bool,
    pub quit: bool,
    /// Numbers what is asked of the registry, so that an answer that comes too late is known for one.
    generation: u64,
}

impl Model {
    pub fn new(title: String, demo: bool, size: (u16, u16), now: Timestamp) -> Self {
        Self {
            title,
            demo,
            running: false,
            now,
            size,
            node: None,
            counters: Counters::default(),
            dropped: 0,
            rate: VecDeque::new(),
            notices: VecDeque::new(),
            screen: Screen::Peers,
            popups: Vec::new(),
            peers: Peers::default(),
            feed: Feed::default(),
            search: SearchView::default(),
            dirty: true,
            quit: false,
            generation: 0,
        }
    }

    pub fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    /// A text field has the focus.
    pub fn typing(&self) -> bool {
        self.popups.is_empty()
            && match self.screen {
                Screen::Peers => self.peers.filter.typing,
                Screen::Feed => self.feed.filter.typing,
                Screen::Search => self.search.typing,
            }
    }

    pub fn apply(&mut self, batch: Batch, now: Timestamp) {
        self.now = now;
        self.dirty |= batch.events > 0;
        self.dropped = batch.dropped;
        if let Some(node) = batch.node {
            self.node = Some(node);
        }
        if let Some(counters) = batch.counters {
            self.rate.push_back((now, counters.announcements));
            self.counters = counters;
        }
        self.forget_old_rates(now);
        for notice in batch.notices {
            if self.notices.len() >= MAX_NOTICES {
                self.notices.pop_front();
            }
            self.notices.push_back((notice, None));
        }
        self.show_next_notice(now);
        self.peers.apply(batch.peers, &batch.gone, now);
        self.feed.apply(batch.announcements);
    }

    /// A second went by. Dirty only when something that is shown says something else now.
    pub fn tick(&mut self, now: Timestamp) {
        let before = (self.notice().map(|notice| notice.at), self.announcements_a_minute(), self.peers.ages(self.now));
        self.now = now;
        self.forget_old_rates(now);
        self.show_next_notice(now);
        let sorted = self.peers.sort_if_due(now);
        let after = (self.notice().map(|notice| notice.at), self.announcements_a_minute(), self.peers.ages(now));
        self.dirty |= sorted || before != after;
    }

    fn forget_old_rates(&mut self, now: Timestamp) {
        // One from before the minute stays: it is what the minute is counted from.
        while self.rate.get(1).is_some_and(|(at, _)| now.since(*at) >= MINUTE) {
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
            (Some((_, first)), Some((_, last))) if self.rate.len() > 1 => last.saturating_sub(*first),
            (Some(_), Some((at, last))) if self.now.since(*at) < MINUTE => *last,
            _ => 0,
        }
    }

    fn show_next_notice(&mut self, now: Timestamp) {
        let alone = self.notices.len() == 1;
        while let Some((_, shown)) = self.notices.front_mut() {
            match shown {
                None => {
                    *shown = Some(now);
                    return;
                }
                // The next one does not wait for all of the time.
                Some(since) if now.since(*since) < NOTICE_TIME && alone => return,
                Some(since) if now.since(*since) < NOTICE_TIME / 4 => return,
                Some(_) => drop(self.notices.pop_front()),
            }
        }
    }

    pub fn notice(&self) -> Option<&Notice> {
        self.notices.front().map(|(notice, _)| notice)
    }

    /// Bytes that were refused, whatever the reason.
    pub fn refused(&self) -> u64 {
        self.counters.refused.values().sum()
    }
}
