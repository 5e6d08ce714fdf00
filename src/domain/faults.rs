//! Penalties: faults of peers, the points they cost, and disconnects, bans and forgiveness.
//!
//! The peer score says which peers to ask; this ledger says which peers to avoid. An honest node
//! commits none of these faults except one: it answers pings but no requests. That happens to
//! honest nodes as well, so it takes many in a row, and the first right answer clears them.

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

/// Points halve in this time without a fault.
pub const HALF_LIFE: Duration = Duration::from_secs(600);
/// Points begin to fade this long after the last fault, so that a peer that continues is not
/// forgiven meanwhile.
pub const DECAYS_AFTER: Duration = Duration::from_secs(60);
/// A peer with this many points is disconnected at its next fault; it may reconnect.
pub const DISCONNECT: f64 = 60.0;
/// A peer with this many points is banned.
pub const BAN: f64 = 100.0;
/// A prefix is doubtful while this many of its identities are banned.
pub const IDENTITIES: usize = 3;
/// The longest automatic ban; each ban is twice as long as the one before.
pub const LONGEST_BAN: Duration = Duration::from_secs(24 * 3_600);
/// Faults kept for each peer, for display.
pub const KEPT: usize = 16;
/// A ban by a rule counts against [`SHARE`], and a spared peer is doubted, for this long.
pub const SHARE_WINDOW: Duration = Duration::from_secs(3_600);
/// One in this many peers may be banned within [`SHARE_WINDOW`] for the same fault by a rule. If
/// more seem to break it, the rule is wrong or wrongly applied here, or somebody signs records to
/// set honest nodes against one another.
pub const SHARE: usize = 3;
/// The most peers in the ledger; those with the fewest points are dropped first.
pub const MAX_PEERS: usize = 4_096;

/// Behaviour that an honest node does not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerFault {
    /// It forwarded or stored a record whose signature does not match: it altered the bytes itself.
    ForgedRecord,
    /// It forwarded or stored a record that is signed but breaks a rule. Somebody else made it.
    UnfitRecord,
    /// It answered a request with something that does not verify or that was not asked for.
    WrongAnswer,
    /// It sent bytes that do not match the content's hash.
    HashMismatch,
    /// It sent far more messages than any use needs.
    Flooding,
    /// It answers pings but no requests.
    Stalling,
}

impl PeerFault {
    /// All faults.
    pub const ALL: [Self; 6] = [
        Self::ForgedRecord,
        Self::UnfitRecord,
        Self::WrongAnswer,
        Self::HashMismatch,
        Self::Flooding,
        Self::Stalling,
    ];

    /// Returns true if the fault rests on a rule about records of third parties and not on bytes
    /// that the peer itself made or altered. Such faults ban only a share of this node's peers.
    pub fn is_by_rule(self) -> bool {
        matches!(self, Self::UnfitRecord | Self::WrongAnswer)
    }

    /// Returns the points of the fault. A ban takes two forged records, after which gossip itself
    /// drops the sender; four wrong answers; three damaged contents; or ten silences, one for each
    /// ping.
    pub fn points(self) -> f64 {
        match self {
            Self::ForgedRecord | Self::UnfitRecord => 50.0,
            Self::WrongAnswer | Self::Flooding => 25.0,
            Self::HashMismatch => 35.0,
            Self::Stalling => 10.0,
        }
    }

    /// Returns a short name for display.
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

    /// Returns an explanation for a person who does not know the word.
    pub fn hint(self) -> &'static str {
        match self {
            Self::ForgedRecord => {
                "it forwarded a record whose signature does not match, which no honest node does"
            }
            Self::UnfitRecord => "it forwarded a signed record that breaks a rule",
            Self::WrongAnswer => {
                "it answered with something that does not verify or was not asked for"
            }
            Self::HashMismatch => "it sent bytes that do not match the hash in the manifest",
            Self::Flooding => "it sent far more messages than anybody needs",
            Self::Stalling => "it answers pings but no requests",
        }
    }

    /// Returns the fault that an outcome is by itself. Silence is one only if pings are answered.
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

/// A fault and the time at which it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoggedFault {
    /// The time of the fault.
    pub at: Timestamp,
    /// The fault.
    pub fault: PeerFault,
}

/// The origin of a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BanOrigin {
    /// The ledger, because of the peer's points.
    Points,
    /// A person.
    Person,
}

/// A ban of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerBan {
    /// The origin of the ban.
    pub by: BanOrigin,
    /// The beginning of the ban.
    pub since: Timestamp,
    /// The end of the ban; `None` if it lasts until a person lifts it.
    pub until: Option<Timestamp>,
}

impl PeerBan {
    /// Returns true if the ban is in force.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

/// The record of one peer: its faults, its ban and a person's rulings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PenaltyRecord {
    /// Points as of `at`.
    points: f64,
    /// The time from which points fade: that of the last fault, or of the answer that cleared some.
    at: Timestamp,
    /// The points for silence since the last right answer, and the points for faults by a rule.
    #[serde(default)]
    silent: f64,
    #[serde(default)]
    ruled: f64,
    /// The number of times each fault was seen.
    pub counts: BTreeMap<PeerFault, u32>,
    /// The latest faults, newest last.
    pub log: VecDeque<LoggedFault>,
    /// The latest ban, in force or not.
    pub ban: Option<PeerBan>,
    /// The fault by a rule that the ban rests on, if it is one.
    #[serde(default)]
    pub by_rule: Option<PeerFault>,
    /// The time at which only the share of peers that a rule may ban spared it.
    #[serde(default)]
    pub spared: Option<Timestamp>,
    /// The number of automatic bans so far; each is longer than the one before.
    pub bans: u32,
    /// A person protects it from penalties.
    pub protected: bool,
    /// The prefix of its address at the time of the ban.
    pub prefix: Option<Prefix>,
}

impl PenaltyRecord {
    /// Returns the points that have not faded yet.
    pub fn points(&self, now: Timestamp) -> f64 {
        let decaying = now
            .since(self.at)
            .saturating_sub(DECAYS_AFTER)
            .as_secs_f64();
        let left = self.points * 0.5f64.powf(decaying / HALF_LIFE.as_secs_f64());
        if left < 0.5 { 0.0 } else { left }
    }

    /// Lets the points fade up to now, those for silence and by a rule in proportion.
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

    /// Returns the ban in force.
    pub fn ban(&self, now: Timestamp) -> Option<PeerBan> {
        self.ban.filter(|ban| ban.holds(now))
    }

    /// Returns true if only the share of peers that a rule may ban spares it. It is then asked last
    /// and counts in no quorum.
    pub fn is_doubted(&self, now: Timestamp) -> bool {
        self.spared
            .is_some_and(|since| now.since(since) < SHARE_WINDOW)
    }

    fn is_by_hand(&self, now: Timestamp) -> bool {
        self.protected || self.ban(now).is_some_and(|ban| ban.by == BanOrigin::Person)
    }

    /// Returns a sentence about the whole record.
    pub fn describe(&self, now: Timestamp) -> String {
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
                let by = if ban.by == BanOrigin::Person {
                    "by hand"
                } else {
                    "for its faults"
                };
                match ban.until {
                    Some(until) => format!("banned {by}, for {} more", Ago(until.since(now))),
                    None => format!("banned {by}, until it is unbanned"),
                }
            }
        });
        parts.push(if self.protected {
            "protected from penalties".to_owned()
        } else {
            String::new()
        });
        let doubted = "not banned, because too many peers would be banned for the same fault: \
            asked last and counted in no quorum";
        parts.push(if self.is_doubted(now) {
            doubted.to_owned()
        } else {
            String::new()
        });
        parts.push(counts.join(", "));
        parts.retain(|part| !part.is_empty());
        parts.join("; ")
    }

    /// Returns true if nothing about the peer is worth keeping.
    fn is_blank(&self, now: Timestamp) -> bool {
        // Earlier bans are remembered for as long as they make the next one longer.
        let remembered = self.bans > 0 && now.since(self.at) < 2 * LONGEST_BAN;
        self.points(now) == 0.0
            && self.ban(now).is_none()
            && !self.protected
            && !remembered
            && !self.is_doubted(now)
    }
}

/// A person's decision about a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ruling {
    /// Disconnects it and keeps it out for some seconds, or until the ban is lifted. Its protection
    /// ends.
    Ban {
        /// Length of the ban; `None` has no end.
        seconds: Option<u64>,
    },
    /// Lifts a ban and clears the points that led to it.
    Unban,
    /// Protects it from penalties and lifts a ban.
    Protect,
    /// Ends the protection.
    Unprotect,
}

/// The consequence of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Penalty {
    /// It is only noted.
    Noted,
    /// The peer is disconnected.
    Disconnect,
    /// The peer is banned.
    Ban(PeerBan),
    /// Only the share of peers that a rule may ban spares it from a ban: it is disconnected, and
    /// doubted for an hour.
    Spared,
}

/// The unit in which peers are counted: all peers behind one public prefix count as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum PeerGroup {
    Prefix(Prefix),
    Peer(PeerId),
}

impl PeerGroup {
    fn of(peer: PeerId, prefix: Option<Prefix>) -> Self {
        prefix.map_or(Self::Peer(peer), Self::Prefix)
    }
}

/// The penalties of all peers.
#[derive(Clone, Debug)]
pub struct PenaltyLedger {
    sheets: HashMap<PeerId, PenaltyRecord>,
    /// Peers dropped for room since the last [`settle`](Self::settle).
    dropped: Vec<PeerId>,
    /// The length of a first ban.
    ban_time: Duration,
}

impl PenaltyLedger {
    /// Creates a ledger. `ban_time` is the length of a peer's first ban. If there are too many
    /// records, a person's rulings are kept.
    pub fn new(
        sheets: impl IntoIterator<Item = (PeerId, PenaltyRecord)>,
        ban_time: Duration,
        now: Timestamp,
    ) -> Self {
        let mut sheets: Vec<(PeerId, PenaltyRecord)> = sheets.into_iter().collect();
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

    /// Returns the record of a peer.
    pub fn sheet(&self, peer: &PeerId) -> Option<&PenaltyRecord> {
        self.sheets.get(peer)
    }

    /// Returns all records.
    pub fn all(&self) -> impl Iterator<Item = (&PeerId, &PenaltyRecord)> {
        self.sheets.iter()
    }

    /// Returns the ban of a peer that is in force.
    pub fn ban(&self, peer: &PeerId, now: Timestamp) -> Option<PeerBan> {
        self.sheets.get(peer)?.ban(now)
    }

    /// Returns true if a person protects the peer from penalties.
    pub fn is_protected(&self, peer: &PeerId) -> bool {
        self.sheets.get(peer).is_some_and(|sheet| sheet.protected)
    }

    /// Notes a fault of a peer at an address in `prefix`, and returns its consequence. `peers` are
    /// the connected peers with their prefixes.
    pub fn note(
        &mut self,
        peer: PeerId,
        fault: PeerFault,
        prefix: Option<Prefix>,
        peers: &[(PeerId, Option<Prefix>)],
        now: Timestamp,
    ) -> Penalty {
        let ban_time = self.ban_time;
        let has_share = !fault.is_by_rule() || self.has_share(peer, fault, prefix, peers, now);
        let sheet = self.entry(peer, now);
        sheet.fade(now);
        sheet.silent += if fault == PeerFault::Stalling {
            fault.points()
        } else {
            0.0
        };
        // Points stop at a little over a ban: faults already in transit when it came must not delay
        // forgiveness.
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
        sheet.log.push_back(LoggedFault { at: now, fault });
        if sheet.protected || sheet.ban(now).is_some() {
            return Penalty::Noted;
        }
        if sheet.points < BAN {
            // A silent peer may be in trouble, and reconnecting would not help it.
            let stays = sheet.points < DISCONNECT || fault == PeerFault::Stalling;
            return if stays {
                Penalty::Noted
            } else {
                Penalty::Disconnect
            };
        }
        let by_rule = sheet.points - sheet.ruled < BAN;
        match (by_rule, fault.is_by_rule()) {
            (true, true) if !has_share => {
                sheet.spared = Some(now);
                return Penalty::Spared;
            }
            // Faults by a rule do not bring about a ban for other faults.
            (true, false) if fault == PeerFault::Stalling => return Penalty::Noted,
            (true, false) => return Penalty::Disconnect,
            _ => {}
        }
        let time = ban_time.saturating_mul(2u32.saturating_pow(sheet.bans.min(16)));
        let ban = PeerBan {
            by: BanOrigin::Points,
            since: now,
            until: Some(now.after(time.min(LONGEST_BAN.max(ban_time)))),
        };
        sheet.bans = sheet.bans.saturating_add(1);
        (sheet.ban, sheet.prefix) = (Some(ban), prefix.or(sheet.prefix));
        sheet.by_rule = by_rule.then_some(fault);
        Penalty::Ban(ban)
    }

    /// Returns true if the peer may be banned for a fault by a rule: with it, those banned for it
    /// within [`SHARE_WINDOW`] are at most one in [`SHARE`] of all peers. One always may.
    fn has_share(
        &self,
        peer: PeerId,
        fault: PeerFault,
        prefix: Option<Prefix>,
        peers: &[(PeerId, Option<Prefix>)],
        now: Timestamp,
    ) -> bool {
        let is_banned = |sheet: &PenaltyRecord| {
            let lately = sheet.ban.is_some_and(|ban| {
                ban.by == BanOrigin::Points && now.since(ban.since) < SHARE_WINDOW
            });
            lately && sheet.by_rule == Some(fault)
        };
        let mut banned: HashSet<PeerGroup> = self
            .sheets
            .iter()
            .filter(|(_, sheet)| is_banned(sheet))
            .map(|(peer, sheet)| PeerGroup::of(*peer, sheet.prefix))
            .collect();
        banned.insert(PeerGroup::of(peer, prefix));
        let all: HashSet<PeerGroup> = peers
            .iter()
            .map(|(peer, prefix)| PeerGroup::of(*peer, *prefix))
            .chain(banned.iter().copied())
            .collect();
        banned.len() <= (all.len() / SHARE).max(1)
    }

    /// Returns the peers that only the share spares now.
    pub fn doubted(&self, now: Timestamp) -> HashSet<PeerId> {
        self.sheets
            .iter()
            .filter(|(_, sheet)| sheet.is_doubted(now))
            .map(|(peer, _)| *peer)
            .collect()
    }

    /// Clears the points for silence after a right answer. Returns false if there were none.
    pub fn amend(&mut self, peer: &PeerId, now: Timestamp) -> bool {
        let Some(sheet) = self.sheets.get_mut(peer).filter(|sheet| sheet.silent > 0.0) else {
            return false;
        };
        sheet.fade(now);
        (sheet.points, sheet.silent) = ((sheet.points - sheet.silent).max(0.0), 0.0);
        true
    }

    /// Applies a person's ruling. Returns false if it changes nothing.
    pub fn apply(&mut self, peer: PeerId, ruling: Ruling, now: Timestamp) -> bool {
        let before = self.sheets.get(&peer).cloned().unwrap_or_default();
        if ruling == Ruling::Unban && before.ban(now).is_none() && !before.is_doubted(now) {
            return false;
        }
        let sheet = self.entry(peer, now);
        match ruling {
            Ruling::Ban { seconds } => {
                let until = seconds.map(|seconds| now.after(Duration::from_secs(seconds)));
                (sheet.ban, sheet.protected) = (
                    Some(PeerBan {
                        by: BanOrigin::Person,
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

    /// Returns the prefixes with so many banned identities that unknown ones get little there, and
    /// the end of that. Peers with a good record are unaffected: a whole site may share one
    /// address.
    pub fn doubtful(&self, now: Timestamp) -> BTreeMap<Prefix, Timestamp> {
        let mut ends: BTreeMap<Prefix, Vec<Timestamp>> = BTreeMap::new();
        for sheet in self.sheets.values() {
            // Bans by a person say nothing about the neighbours.
            let ban = sheet.ban(now).filter(|ban| ban.by == BanOrigin::Points);
            if let (Some(prefix), Some(until)) = (sheet.prefix, ban.and_then(|ban| ban.until)) {
                ends.entry(prefix).or_default().push(until);
            }
        }
        let doubtful = ends.into_iter().filter_map(|(prefix, mut ends)| {
            ends.sort_unstable_by(|a, b| b.cmp(a));
            // It ends as soon as only two of the bans are left.
            ends.get(IDENTITIES - 1).map(|opens| (prefix, *opens))
        });
        doubtful.collect()
    }

    /// Forgets peers with nothing worth keeping. Returns these and those dropped for room.
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

    fn entry(&mut self, peer: PeerId, now: Timestamp) -> &mut PenaltyRecord {
        if self.sheets.len() >= MAX_PEERS && !self.sheets.contains_key(&peer) {
            let least = self
                .sheets
                .iter()
                .filter(|(_, sheet)| !sheet.is_by_hand(now))
                .min_by(|(_, a), (_, b)| {
                    let weight =
                        |sheet: &PenaltyRecord| (sheet.ban(now).is_some(), sheet.points(now));
                    let (a, b) = (weight(a), weight(b));
                    a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
                });
            if let Some(least) = least.map(|(peer, _)| *peer) {
                self.sheets.remove(&least);
                self.dropped.push(least);
            }
        }
        self.sheets.entry(peer).or_insert_with(|| PenaltyRecord {
            at: now,
            ..PenaltyRecord::default()
        })
    }
}

#[cfg(test)]
mod tests;
