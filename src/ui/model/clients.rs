//! Package managers that use this node's gateway: the requests of each run of a client, and their
//! results.

use std::collections::{BTreeMap, BTreeSet};

use libp2p::PeerId;

use crate::{
    domain::{
        request::{ClientRequest, RequestPurpose, SAME_RUN},
        size::Size,
        text::printable,
        time::{Ago, Timestamp},
    },
    ui::table::{Table, TableEntry, column::Column, filter::CellValue},
};

/// Requests kept of one run; the oldest are dropped first.
const MOST_REQUESTS: usize = 500;
/// Packages of one run that are remembered and named in its row.
const NAMED: usize = 3;
const MOST_NAMED: usize = 1_000;

/// The requests that a client made in one go.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientRun {
    pub id: u64,
    /// Its requests, by number.
    pub requests: BTreeMap<u64, ClientRequest>,
    /// Totals of the requests that were dropped, and their number.
    pub before: Sum,
    pub more: u64,
}

/// Totals of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sum {
    pub files: u64,
    pub changes: u64,
    pub refused: u64,
    pub broken_off: u64,
    /// Bytes sent in all answers, and the part of them that was already on the node.
    pub bytes: u64,
    pub here: u64,
    /// Bytes downloaded for the run, by the peer that sent them.
    pub peers: BTreeMap<PeerId, u64>,
    pub packages: BTreeSet<String>,
    /// The reason given in the last refusal.
    pub refusal: Option<String>,
}

impl Sum {
    fn add(&mut self, request: &ClientRequest) {
        self.files += u64::from(request.purpose == RequestPurpose::File && !request.is_refused());
        self.changes +=
            u64::from(request.purpose == RequestPurpose::Change && !request.is_refused());
        self.refused += u64::from(request.is_refused());
        self.broken_off += u64::from(request.is_broken_off());
        self.bytes += request.bytes;
        self.here += request.origin.here;
        for (peer, bytes) in &request.origin.peers {
            *self.peers.entry(*peer).or_default() += bytes;
        }
        if let Some(package) = request
            .package
            .as_ref()
            .filter(|_| self.packages.len() < MOST_NAMED)
        {
            self.packages.insert(package.to_string());
        }
        if request.is_refused() && request.refusal.is_some() {
            self.refusal.clone_from(&request.refusal);
        }
    }

    pub fn fetched(&self) -> u64 {
        self.peers.values().sum()
    }
}

impl ClientRun {
    pub fn first(&self) -> Option<&ClientRequest> {
        self.requests.values().next()
    }

    fn last(&self) -> Option<&ClientRequest> {
        self.requests.values().next_back()
    }

    pub fn client(&self) -> String {
        self.first()
            .map_or_else(String::new, |first| printable(&first.client))
    }

    pub fn from(&self) -> String {
        self.first()
            .map_or_else(String::new, |first| printable(&first.from))
    }

    pub fn began(&self) -> Timestamp {
        self.first().map_or(Timestamp(self.id), |first| first.at)
    }

    /// Returns true while an answer is being sent or was sent a moment ago.
    pub fn is_open(&self, now: Timestamp) -> bool {
        let lately = |request: &ClientRequest| now.since(request.at) <= SAME_RUN;
        self.requests.values().any(ClientRequest::is_open) || self.last().is_some_and(lately)
    }

    pub fn asked(&self) -> u64 {
        self.more + self.requests.len() as u64
    }

    pub fn sum(&self) -> Sum {
        let mut sum = self.before.clone();
        self.requests.values().for_each(|request| sum.add(request));
        sum
    }

    fn put(&mut self, request: ClientRequest) {
        self.requests.insert(request.id, request);
        if self.requests.len() <= MOST_REQUESTS {
            return;
        }
        // A request in progress is reported again when it ends: counting it now would count it
        // twice.
        let ended = self
            .requests
            .values()
            .find(|request| !request.is_open())
            .map(|request| request.id);
        if let Some(request) = ended.and_then(|id| self.requests.remove(&id)) {
            self.before.add(&request);
            self.more += 1;
        }
    }
}

/// Joins the names of a few packages and the number of the others.
fn named(packages: &BTreeSet<String>) -> String {
    let first = packages
        .iter()
        .take(NAMED)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    match packages.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// Returns the most important fact about a run.
pub fn note(sum: &Sum) -> String {
    match (&sum.refusal, sum.refused, sum.broken_off) {
        (Some(why), ..) => printable(why),
        (None, 1.., _) => format!("{} failed; open for details", sum.refused),
        (None, 0, 1..) => format!("{} broken off; open for details", sum.broken_off),
        (None, 0, 0) => named(&sum.packages),
    }
}

impl TableEntry for ClientRun {
    type Id = u64;
    const NAME: &'static str = "clients";
    const COLUMNS: &'static [Column] = &[
        Column::new("client", "client", 12, 0).up_to(20),
        Column::new("from", "from", 9, 6).up_to(20),
        Column::new("asked", "asked", 5, 1).right().highest_first(),
        Column::new("files", "files", 5, 2).right().highest_first(),
        Column::new("changes", "changes", 7, 7)
            .right()
            .highest_first(),
        Column::new("refused", "failed", 7, 0)
            .right()
            .highest_first(),
        Column::new("sent", "sent", 8, 3)
            .right()
            .highest_first()
            .unit("bytes"),
        Column::new("peers", "fetched", 8, 0)
            .right()
            .highest_first()
            .unit("bytes"),
        Column::new("age", "age", 6, 4).right().unit("s_ago"),
        Column::new("note", "result", 24, 0).up_to(200),
    ];
    const MOST: usize = 100;
    const SORT: Option<&'static str> = Some("age");

    fn id(&self) -> u64 {
        self.id
    }

    fn value(&self, column: &'static str, now: Timestamp) -> CellValue {
        let sum = self.sum();
        match column {
            "client" => CellValue::text(self.client()),
            "from" => CellValue::text(self.from()),
            "asked" => CellValue::Number(self.asked() as f64),
            "files" => CellValue::Number(sum.files as f64),
            "changes" => CellValue::Number(sum.changes as f64),
            "refused" => CellValue::Number(sum.refused as f64),
            "sent" => CellValue::Number(sum.bytes as f64),
            "peers" => CellValue::Number(sum.fetched() as f64),
            "age" => CellValue::Number(now.since(self.began()).as_secs_f64().round()),
            "note" => CellValue::text(note(&sum)),
            _ => CellValue::Nothing,
        }
    }

    fn copied(&self) -> String {
        self.sum()
            .packages
            .into_iter()
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn age(&self, now: Timestamp) -> Option<String> {
        Some(Ago(now.since(self.began())).to_string())
    }
}

#[derive(Default)]
pub struct Clients {
    pub table: Table<ClientRun>,
    /// True if this table is shown in place of the transfers.
    pub shown: bool,
}

impl Clients {
    /// Adds or updates requests.
    pub fn put(&mut self, changed: Vec<ClientRequest>, now: Timestamp) {
        let mut runs: BTreeMap<u64, ClientRun> = BTreeMap::new();
        for request in changed {
            let known = || self.table.get(&request.run).cloned();
            let run = runs.entry(request.run).or_insert_with(|| {
                known().unwrap_or(ClientRun {
                    id: request.run,
                    requests: BTreeMap::new(),
                    before: Sum::default(),
                    more: 0,
                })
            });
            run.put(request);
        }
        self.table.put(runs.into_values(), now);
    }

    /// Returns the number of package managers that wait for an answer.
    pub fn open(&self) -> usize {
        let waits = |run: &&ClientRun| run.requests.values().any(|one| one.millis.is_none());
        self.table.all().filter(waits).count()
    }

    /// Summarises all requests.
    pub fn summary(&self) -> String {
        let (mut bytes, mut from_peers, mut refused) = (0, 0, 0);
        for sum in self.table.all().map(ClientRun::sum) {
            bytes += sum.bytes;
            from_peers += sum.fetched();
            refused += sum.refused;
        }
        let sent = format!(
            "{} sent · {} downloaded from peers",
            Size(bytes),
            Size(from_peers)
        );
        if refused == 0 {
            sent
        } else {
            format!("{sent} · {refused} failed")
        }
    }
}
