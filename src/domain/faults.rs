//! Misdeeds of peers, and what they lead to: being disconnected, being banned, and being forgiven.
//!
//! The score says whom to ask; this ledger says whom to have nothing to do with. Only what an
//! honest node does not do is a fault, but for one: a node that answers pings and no questions.
//! That happens to honest ones too, so it takes many in a row, and the first right answer makes up
//! for them.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    time::Duration,
};

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use super::{
    prefix::Prefix,
    reputation::Outcome,
    time::{Ago, Timestamp},
};

/// Points count half after this long without a fault.
pub const HALF_LIFE: Duration = Duration::from_secs(600);
/// They begin to do so this long after the last one: whoever goes on is not forgiven meanwhile.
pub const DECAYS_AFTER: Duration = Duration::from_secs(60);
/// Whoever has so many points is disconnected at the next misdeed, and may come back.
pub const DISCONNECT: f64 = 60.0;
/// Whoever has so many is banned.
pub const BAN: f64 = 100.0;
/// A prefix is doubtful while so many of its identities are banned.
pub const IDENTITIES: usize = 3;
/// The longest ban that comes about by itself: each is twice as long as the one before.
pub const LONGEST_BAN: Duration = Duration::from_secs(24 * 3_600);
/// Faults kept per peer for the person to read.
pub const KEPT: usize = 16;
/// How long a ban by a rule counts against the share below, and a peer that only the share spared
/// is doubted.
pub const SHARE_WINDOW: Duration = Duration::from_secs(3_600);
/// One in so many of one's peers may be banned within [`SHARE_WINDOW`] for the same fault by a
/// rule. Where more of them seem to break it, the rule is wrong, or this node applies it wrongly:
/// somebody who signs what honest nodes pass on cannot set them against one another.
pub const SHARE: usize = 3;
/// Peers in the ledger; those with least against them make room.
pub const MAX_PEERS: usize = 4_096;

/// What an honest node does not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// It passed on, or wanted stored, a record whose signature does not match its bytes: it made
    /// or altered them itself.
    ForgedRecord,
    /// It passed on, or wanted stored, a record that is signed and breaks a rule: what somebody
    /// else made.
    UnfitRecord,
    /// It answered a question with what does not verify, or was not asked for.
    WrongAnswer,
    /// It gave bytes that are not the content's.
    HashMismatch,
    /// It sent far more than anybody needs.
    Flooding,
    /// It answers pings, and not what it is asked.
    Stalling,
}

impl Fault {
    pub const ALL: [Self; 6] = [
        Self::ForgedRecord,
        Self::UnfitRecord,
        Self::WrongAnswer,
        Self::HashMismatch,
        Self::Flooding,
        Self::Stalling,
    ];

    /// Whether it rests on a rule about what third parties made, and not on bytes that the peer
    /// itself made or altered. Such faults ban no more than a share of one's peers.
    pub fn is_by_rule(self) -> bool {
        matches!(self, Self::UnfitRecord | Self::WrongAnswer)
    }

    /// Two forged records ban: gossip itself leaves whoever sends that many alone, so that more are
    /// not seen. It takes four wrong answers, or three damaged contents, each of which cost a
    /// transfer; and ten silences in a row, of which one is counted for each ping.
    pub fn points(self) -> f64 {
        match self {
            Self::ForgedRecord | Self::UnfitRecord => 50.0,
            Self::WrongAnswer | Self::Flooding => 25.0,
            Self::HashMismatch => 35.0,
            Self::Stalling => 10.0,
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::ForgedRecord => "forged record",
            Self::UnfitRecord => "unfit record",
            Self::WrongAnswer => "wrong answer",
            Self::HashMismatch => "wrong content",
            Self::Flooding => "flooding",
            Self::Stalling => "stalling",
        }
    }

    /// For the person to whom the word is new.
    pub fn hint(self) -> &'static str {
        match self {
            Self::ForgedRecord => {
                "it passed on a record whose signature does not match, which no honest node lets through"
            }
            Self::UnfitRecord => {
                "it passed on a record that is signed, and breaks a rule of its kind"
            }
            Self::WrongAnswer => {
                "it answered with something that does not verify, or that nobody asked for"
            }
            Self::HashMismatch => "it gave bytes that are not what the manifest's hash says",
            Self::Flooding => "it sent far more messages than anybody needs",
            Self::Stalling => "it answers pings, and not what it is asked",
        }
    }

    /// The fault that an outcome is by itself. Silence becomes one only when the peer answers pings
    /// all the same.
    pub fn of(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::RecordInvalid => Some(Self::ForgedRecord),
            Outcome::RecordUnfit => Some(Self::UnfitRecord),
            Outcome::AnswerWrong => Some(Self::WrongAnswer),
            Outcome::ContentWrong => Some(Self::HashMismatch),
            _ => None,
        }
    }
}

/// A fault and when it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub at: Timestamp,
    pub fault: Fault,
}

/// Who banned a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Judge {
    /// The ledger, for its points.
    Points,
    /// A person.
    Person,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    pub by: Judge,
    pub since: Timestamp,
    /// `None`: until a person takes it back.
    pub until: Option<Timestamp>,
}

impl Ban {
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

/// What is held against one peer, or for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sheet {
    /// As of `at`.
    points: f64,
    /// Since when they fade: the last fault, or the answer that made up for some.
    at: Timestamp,
    /// Of the points, those for silence since the last right answer, and those that rest on a rule.
    #[serde(default)]
    silent: f64,
    #[serde(default)]
    ruled: f64,
    /// How often each was seen, ever.
    pub counts: BTreeMap<Fault, u32>,
    /// The newest faults, newest last.
    pub log: VecDeque<Entry>,
    pub ban: Option<Ban>,
    /// The fault that the ban rests on, where that is one by a rule.
    #[serde(default)]
    pub by_rule: Option<Fault>,
    /// When it would have been banned, but for the share of peers that a rule may ban.
    #[serde(default)]
    pub spared: Option<Timestamp>,
    /// Bans that came about by points, ever: each is longer than the one before.
    pub bans: u32,
    /// A person wants it kept whatever it does.
    pub protected: bool,
    /// Where it was when it was banned.
    pub prefix: Option<Prefix>,
}

impl Sheet {
    /// What is left of its points.
    pub fn points(&self, now: Timestamp) -> f64 {
        let decaying = now
            .since(self.at)
            .saturating_sub(DECAYS_AFTER)
            .as_secs_f64();
        let left = self.points * 0.5f64.powf(decaying / HALF_LIFE.as_secs_f64());
        if left < 0.5 { 0.0 } else { left }
    }

    /// Brings the points to now: those for silence fade with the others.
    fn fade(&mut self, now: Timestamp) {
        let left = self.points(now);
        let kept = if self.points > 0.0 {
            left / self.points
        } else {
            0.0
        };
        (self.silent, self.ruled) = (self.silent * kept, self.ruled * kept);
        (self.points, self.at) = (left, self.at.max(now));
    }

    pub fn ban(&self, now: Timestamp) -> Option<Ban> {
        self.ban.filter(|ban| ban.holds(now))
    }

    /// Whether only the share of peers that a rule may ban spares it: it is asked last, and counts
    /// in no quorum.
    pub fn is_doubted(&self, now: Timestamp) -> bool {
        self.spared
            .is_some_and(|since| now.since(since) < SHARE_WINDOW)
    }

    fn is_by_hand(&self, now: Timestamp) -> bool {
        self.protected || self.ban(now).is_some_and(|ban| ban.by == Judge::Person)
    }

    /// All of it in a sentence.
    pub fn told(&self, now: Timestamp) -> String {
        let counts: Vec<String> = self
            .counts
            .iter()
            .map(|(fault, n)| format!("{n} × {}", fault.label()))
            .collect();
        let mut parts = vec![match self.points(now) {
            0.0 if self.protected || self.ban(now).is_some() => String::new(),
            points => format!("{points:.0} of {BAN:.0} points"),
        }];
        parts.push(match self.ban(now) {
            None => String::new(),
            Some(ban) => {
                let by = if ban.by == Judge::Person {
                    "by hand"
                } else {
                    "for its faults"
                };
                match ban.until {
                    Some(until) => format!("banned {by}, for {} more", Ago(until.since(now))),
                    None => format!("banned {by}, until that is taken back"),
                }
            }
        });
        parts.push(if self.protected {
            "protected: kept whatever it does".to_owned()
        } else {
            String::new()
        });
        let doubted = "not banned, because too many peers would be for the same: asked last, and counted in no quorum";
        parts.push(if self.is_doubted(now) {
            doubted.to_owned()
        } else {
            String::new()
        });
        parts.push(counts.join(", "));
        parts.retain(|part| !part.is_empty());
        parts.join("; ")
    }

    /// Nothing is to be said of it any more.
    fn is_blank(&self, now: Timestamp) -> bool {
        // That it was banned is remembered as long as the next ban is longer for it.
        let remembered = self.bans > 0 && now.since(self.at) < 2 * LONGEST_BAN;
        self.points(now) == 0.0
            && self.ban(now).is_none()
            && !self.protected
            && !remembered
            && !self.is_doubted(now)
    }
}

/// What a person says about a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ruling {
    /// It is disconnected, and not let in for a time, or until that is taken back. Its protection
    /// ends.
    Ban {
        seconds: Option<u64>,
    },
    /// A ban is taken back, and the points that led to it.
    Unban,
    /// It is kept whatever it does; a ban of it ends.
    Protect,
    Unprotect,
}

/// What a fault led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sentence {
    Noted,
    Disconnect,
    Ban(Ban),
    /// A ban, but for the share of peers that a rule may ban: it is disconnected, and doubted for
    /// an hour.
    Spared,
}

/// One's peers as they are counted: what is behind one public prefix is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Counted {
    Prefix(Prefix),
    Peer(PeerId),
}

impl Counted {
    fn of(peer: PeerId, prefix: Option<Prefix>) -> Self {
        prefix.map_or(Self::Peer(peer), Self::Prefix)
    }
}

/// What is held against peers.
#[derive(Clone, Debug)]
pub struct Ledger {
    sheets: HashMap<PeerId, Sheet>,
    /// Those that made room for others since it was settled last.
    dropped: Vec<PeerId>,
    /// Of the first ban.
    ban_time: Duration,
}

impl Ledger {
    /// `ban_time` is the length of a peer's first ban. Where there are too many sheets, what a
    /// person said is kept.
    pub fn new(
        sheets: impl IntoIterator<Item = (PeerId, Sheet)>,
        ban_time: Duration,
        now: Timestamp,
    ) -> Self {
        let mut sheets: Vec<(PeerId, Sheet)> = sheets.into_iter().collect();
        sheets.sort_by_key(|(_, sheet)| (!sheet.is_by_hand(now), sheet.ban(now).is_none()));
        let dropped = sheets
            .iter()
            .skip(MAX_PEERS)
            .map(|(peer, _)| *peer)
            .collect();
        Self {
            sheets: sheets.into_iter().take(MAX_PEERS).collect(),
            dropped,
            ban_time,
        }
    }

    pub fn sheet(&self, peer: &PeerId) -> Option<&Sheet> {
        self.sheets.get(peer)
    }

    pub fn all(&self) -> impl Iterator<Item = (&PeerId, &Sheet)> {
        self.sheets.iter()
    }

    /// The ban that holds for a peer, its own or its prefix's.
    pub fn ban(&self, peer: &PeerId, now: Timestamp) -> Option<Ban> {
        self.sheets.get(peer)?.ban(now)
    }

    pub fn is_protected(&self, peer: &PeerId) -> bool {
        self.sheets.get(peer).is_some_and(|sheet| sheet.protected)
    }

    /// Notes a fault of a peer, which was at an address of `prefix`, and says what follows from it.
    /// `peers` are those that this node is connected to, with theirs.
    pub fn note(
        &mut self,
        peer: PeerId,
        fault: Fault,
        prefix: Option<Prefix>,
        peers: &[(PeerId, Option<Prefix>)],
        now: Timestamp,
    ) -> Sentence {
        let ban_time = self.ban_time;
        let has_share = !fault.is_by_rule() || self.has_share(peer, fault, prefix, peers, now);
        let sheet = self.entry(peer, now);
        sheet.fade(now);
        sheet.silent += if fault == Fault::Stalling {
            fault.points()
        } else {
            0.0
        };
        // Not beyond what a ban takes: what was on its way when it came about makes forgiveness no
        // longer.
        let most = BAN + fault.points();
        let mut others = sheet.points - sheet.ruled;
        if fault.is_by_rule() {
            sheet.ruled = (sheet.ruled + fault.points()).min(most);
        } else {
            others = (others + fault.points()).min(most);
        }
        sheet.points = others + sheet.ruled;
        let count = sheet.counts.entry(fault).or_default();
        *count = count.saturating_add(1);
        if sheet.log.len() >= KEPT {
            sheet.log.pop_front();
        }
        sheet.log.push_back(Entry { at: now, fault });
        if sheet.protected || sheet.ban(now).is_some() {
            return Sentence::Noted;
        }
        if sheet.points < BAN {
            // One that is silent may be in trouble, and is not helped by having to connect again.
            let stays = sheet.points < DISCONNECT || fault == Fault::Stalling;
            return if stays {
                Sentence::Noted
            } else {
                Sentence::Disconnect
            };
        }
        let by_rule = sheet.points - sheet.ruled < BAN;
        match (by_rule, fault.is_by_rule()) {
            (true, true) if !has_share => {
                sheet.spared = Some(now);
                return Sentence::Spared;
            }
            // Faults by a rule make up for none of the others.
            (true, false) if fault == Fault::Stalling => return Sentence::Noted,
            (true, false) => return Sentence::Disconnect,
            _ => {}
        }
        let time = ban_time.saturating_mul(2u32.saturating_pow(sheet.bans.min(16)));
        let ban = Ban {
            by: Judge::Points,
            since: now,
            until: Some(now.after(time.min(LONGEST_BAN.max(ban_time)))),
        };
        sheet.bans = sheet.bans.saturating_add(1);
        (sheet.ban, sheet.prefix) = (Some(ban), prefix.or(sheet.prefix));
        sheet.by_rule = by_rule.then_some(fault);
        Sentence::Ban(ban)
    }

    /// Whether the peer may be banned for a fault by a rule: whether those who are, within
    /// [`SHARE_WINDOW`], are still no more than one in [`SHARE`] with it. One always may.
    fn has_share(
        &self,
        peer: PeerId,
        fault: Fault,
        prefix: Option<Prefix>,
        peers: &[(PeerId, Option<Prefix>)],
        now: Timestamp,
    ) -> bool {
        let is_banned = |sheet: &Sheet| {
            let lately = sheet
                .ban
                .is_some_and(|ban| ban.by == Judge::Points && now.since(ban.since) < SHARE_WINDOW);
            lately && sheet.by_rule == Some(fault)
        };
        let mut banned: HashSet<Counted> = self
            .sheets
            .iter()
            .filter(|(_, sheet)| is_banned(sheet))
            .map(|(peer, sheet)| Counted::of(*peer, sheet.prefix))
            .collect();
        banned.insert(Counted::of(peer, prefix));
        let all: HashSet<Counted> = peers
            .iter()
            .map(|(peer, prefix)| Counted::of(*peer, *prefix))
            .chain(banned.iter().copied())
            .collect();
        banned.len() <= (all.len() / SHARE).max(1)
    }

    /// Peers that only the share spares now.
    pub fn doubted(&self, now: Timestamp) -> HashSet<PeerId> {
        self.sheets
            .iter()
            .filter(|(_, sheet)| sheet.is_doubted(now))
            .map(|(peer, _)| *peer)
            .collect()
    }

    /// A peer answered rightly, which makes up for its silences. False when there were none.
    pub fn amend(&mut self, peer: &PeerId, now: Timestamp) -> bool {
        let Some(sheet) = self.sheets.get_mut(peer).filter(|sheet| sheet.silent > 0.0) else {
            return false;
        };
        sheet.fade(now);
        (sheet.points, sheet.silent) = ((sheet.points - sheet.silent).max(0.0), 0.0);
        true
    }

    /// A person has said something about a peer; false when it changes nothing.
    pub fn obey(&mut self, peer: PeerId, ruling: Ruling, now: Timestamp) -> bool {
        let before = self.sheets.get(&peer).cloned().unwrap_or_default();
        if ruling == Ruling::Unban && before.ban(now).is_none() && !before.is_doubted(now) {
            return false;
        }
        let sheet = self.entry(peer, now);
        match ruling {
            Ruling::Ban { seconds } => {
                let until = seconds.map(|seconds| now.after(Duration::from_secs(seconds)));
                (sheet.ban, sheet.protected) = (
                    Some(Ban {
                        by: Judge::Person,
                        since: now,
                        until,
                    }),
                    false,
                );
            }
            Ruling::Unban | Ruling::Protect => {
                (sheet.ban, sheet.prefix, sheet.spared, sheet.by_rule) = (None, None, None, None);
                (sheet.points, sheet.ruled, sheet.silent) = (0.0, 0.0, 0.0);
                sheet.protected |= ruling == Ruling::Protect;
            }
            Ruling::Unprotect => sheet.protected = false,
        }
        match ruling {
            Ruling::Protect | Ruling::Unprotect => sheet.protected != before.protected,
            Ruling::Ban { .. } | Ruling::Unban => true,
        }
    }

    /// Prefixes of which so many identities are banned that unknown ones have little there, each
    /// with when that ends. Known good ones are as they were: behind one address there is a whole
    /// site, and three bans cost nobody much.
    pub fn doubtful(&self, now: Timestamp) -> BTreeMap<Prefix, Timestamp> {
        let mut ends: BTreeMap<Prefix, Vec<Timestamp>> = BTreeMap::new();
        for sheet in self.sheets.values() {
            // Those that a person banned say nothing about their neighbours.
            let ban = sheet.ban(now).filter(|ban| ban.by == Judge::Points);
            if let (Some(prefix), Some(until)) = (sheet.prefix, ban.and_then(|ban| ban.until)) {
                ends.entry(prefix).or_default().push(until);
            }
        }
        let doubtful = ends.into_iter().filter_map(|(prefix, mut ends)| {
            ends.sort_unstable_by(|a, b| b.cmp(a));
            // It ends when only two of the bans are left.
            ends.get(IDENTITIES - 1).map(|opens| (prefix, *opens))
        });
        doubtful.collect()
    }

    /// Forgets those of whom nothing is to be said any more; returns whom, and who was forgotten
    /// for want of room.
    pub fn settle(&mut self, now: Timestamp) -> Vec<PeerId> {
        let blank: Vec<PeerId> = self
            .sheets
            .iter()
            .filter(|(_, sheet)| sheet.is_blank(now))
            .map(|(peer, _)| *peer)
            .collect();
        blank.iter().for_each(|peer| drop(self.sheets.remove(peer)));
        blank
            .into_iter()
            .chain(std::mem::take(&mut self.dropped))
            .collect()
    }

    fn entry(&mut self, peer: PeerId, now: Timestamp) -> &mut Sheet {
        if self.sheets.len() >= MAX_PEERS && !self.sheets.contains_key(&peer) {
            let least = self
                .sheets
                .iter()
                .filter(|(_, sheet)| !sheet.is_by_hand(now))
                .min_by(|(_, a), (_, b)| {
                    let weight = |sheet: &Sheet| (sheet.ban(now).is_some(), sheet.points(now));
                    let (a, b) = (weight(a), weight(b));
                    a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
                });
            if let Some(least) = least.map(|(peer, _)| *peer) {
                self.sheets.remove(&least);
                self.dropped.push(least);
            }
        }
        self.sheets.entry(peer).or_insert_with(|| Sheet {
            at: now,
            ..Sheet::default()
        })
    }
}

#[cfg(test)]
mod tests;
