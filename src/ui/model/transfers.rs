//! The Transfers screen: downloads and uploads, and the notices about them.

use std::collections::{BTreeMap, HashSet};

use crate::{
    bus::{Level, Notice},
    domain::{
        hash::ContentRoot,
        size::{Rate, Size},
        text::printable,
        time::{Ago, Timestamp, Took},
        transfer::{Part, Transfer, TransferId, TransferPeer, TransferState},
    },
    ui::table::{Table, TableEntry, column::Column, filter::CellValue},
};

/// Width of a progress bar in the table, in columns.
pub const BAR: usize = 5;

impl TableEntry for Transfer {
    type Id = TransferId;
    const NAME: &'static str = "transfers";
    const COLUMNS: &'static [Column] = &[
        Column::new("sign", "", 1, 0).picture(),
        Column::new("dir", "dir", 5, 6),
        Column::new("package", "package", 16, 0)
            .rather(22)
            .up_to(40)
            .title_of_package(),
        Column::new("progress", "progress", BAR + 6, 1).unit("percent"),
        Column::new("size", "size", 8, 4)
            .right()
            .highest_first()
            .unit("bytes"),
        Column::new("rate", "rate", 10, 2)
            .right()
            .highest_first()
            .unit("bytes_s"),
        Column::new("left", "left", 6, 3).right().unit("s"),
        Column::new("peers", "peers", 5, 4).right().highest_first(),
        Column::new("state", "state", 9, 0).rather(12).up_to(15),
        Column::new("age", "age", 6, 5).right().unit("s_ago"),
        Column::new("note", "result", 36, 7).up_to(200),
    ];
    /// More than a node keeps.
    const MOST: usize = 1_000;
    const SORT: Option<&'static str> = Some("age");
    const LEADING: &'static str = ", open first";

    fn id(&self) -> TransferId {
        self.id
    }

    fn value(&self, column: &'static str, now: Timestamp) -> CellValue {
        match column {
            "dir" => CellValue::text(direction(self)),
            "package" => CellValue::text(printable(&self.what)),
            "progress" => CellValue::Number(percent(self) as f64),
            "size" => CellValue::Number(self.size as f64),
            "rate" => CellValue::Number(self.rate.round()),
            "left" => CellValue::number(remaining(self).map(f64::round)),
            "peers" => CellValue::Number(self.active() as f64),
            "state" => CellValue::text(state(self).as_str()),
            "age" => CellValue::Number(now.since(self.started_at).as_secs_f64().round()),
            "note" => CellValue::text(note(self)),
            _ => CellValue::Nothing,
        }
    }

    fn copied(&self) -> String {
        self.id.root().to_string()
    }

    fn leads(&self) -> bool {
        self.state.is_open()
    }

    fn age(&self, now: Timestamp) -> Option<String> {
        Some(Ago(now.since(self.started_at)).to_string())
    }
}

pub fn direction(transfer: &Transfer) -> &'static str {
    match transfer.id {
        TransferId::Fetch { .. } => "fetch",
        TransferId::Serve { .. } => "serve",
    }
}

/// Returns the seconds left of a download. For an upload that is unknown: the peer may get the rest
/// from others.
pub fn remaining(transfer: &Transfer) -> Option<f64> {
    transfer
        .remaining()
        .filter(|_| matches!(transfer.id, TransferId::Fetch { .. }))
}

/// Returns the progress in whole percent; 100 only if the transfer is complete.
pub fn percent(transfer: &Transfer) -> u64 {
    let percent = (transfer.share().clamp(0.0, 1.0) * 100.0) as u64;
    if transfer.done < transfer.size {
        percent.min(99)
    } else {
        percent
    }
}

/// Returns true for a download that is running or can be resumed.
pub fn can_be_told(transfer: &Transfer) -> bool {
    let goes_on = transfer.state.is_open() || matches!(transfer.state, TransferState::Failed(_));
    goes_on && matches!(transfer.id, TransferId::Fetch { .. })
}

/// Returns the number of peers that sent false data for a transfer.
pub fn liars(transfer: &Transfer) -> usize {
    let lied = |peer: &&TransferPeer| peer.part == Part::Lied;
    transfer.peers.iter().filter(lied).count()
}

/// Returns the words of the state column. A lie comes first, because a narrow column cuts off the
/// end.
pub fn state(transfer: &Transfer) -> String {
    match liars(transfer) {
        0 => transfer.state.label().to_owned(),
        _ => format!("LIED, {}", transfer.state.label()),
    }
}

/// Returns a remark on a transfer beside its figures.
pub fn note(transfer: &Transfer) -> String {
    match (&transfer.state, liars(transfer)) {
        (TransferState::Failed(why), _) => printable(why),
        (_, 0) => String::new(),
        (_, 1) => "1 peer LIED and was caught; open for details".to_owned(),
        (_, count) => format!("{count} peers LIED and were caught; open for details"),
    }
}

/// Returns the duration of a transfer, up to now if it is running.
pub fn took(transfer: &Transfer, now: Timestamp) -> Took {
    Took(transfer.ended_at.unwrap_or(now).since(transfer.started_at))
}

struct UnderWay {
    what: String,
    /// The user of this explorer asked for it, so that its end is shown as an answer.
    asked: bool,
}

#[derive(Default)]
pub struct Transfers {
    pub table: Table<Transfer>,
    /// Downloads that are running or were asked for here; their end is reported.
    under_way: BTreeMap<ContentRoot, UnderWay>,
    /// Readmes and metadata that are downloaded along with a release, which are not reported.
    quiet: HashSet<ContentRoot>,
}

impl Transfers {
    /// Notes that the user asked for this download.
    pub fn asked(&mut self, root: ContentRoot, what: String) {
        self.under_way.insert(root, UnderWay { what, asked: true });
    }

    /// Forgets a download that did not start.
    pub fn forget(&mut self, root: &ContentRoot) {
        self.under_way.remove(root);
    }

    /// Suppresses the notices about these contents.
    pub fn keep_quiet(&mut self, roots: impl IntoIterator<Item = ContentRoot>) {
        if self.quiet.len() >= Transfer::MOST {
            self.quiet.clear();
        }
        self.quiet.extend(roots);
    }

    pub fn fetch(&self, root: ContentRoot) -> Option<&Transfer> {
        self.table.get(&TransferId::Fetch { root })
    }

    /// Returns the names of the running downloads.
    pub fn under_way(&self) -> impl Iterator<Item = &str> {
        self.under_way.values().map(|one| one.what.as_str())
    }

    /// Adds or updates transfers. Returns notices, each with true if it answers the user; `key`
    /// opens the screen of transfers.
    pub fn put(
        &mut self,
        changed: Vec<Transfer>,
        key: &str,
        now: Timestamp,
    ) -> Vec<(Notice, bool)> {
        let notices = changed
            .iter()
            .filter_map(|transfer| self.ended(transfer, key, now))
            .collect();
        // Hide the readme of a replica that this node keeps for others, unless its download fails.
        let is_told = |one: &Transfer| {
            let is_part =
                one.for_others && one.beside && !matches!(one.state, TransferState::Failed(_));
            !is_part || self.table.get(&one.id).is_some()
        };
        let rows: Vec<Transfer> = changed.into_iter().filter(is_told).collect();
        self.table.put(rows, now);
        notices
    }

    /// Returns the notice about the end of a download. It begins with the result, because a narrow
    /// row cuts off its end.
    fn ended(&mut self, transfer: &Transfer, key: &str, now: Timestamp) -> Option<(Notice, bool)> {
        let TransferId::Fetch { root } = transfer.id else {
            return None;
        };
        let asked = self.under_way.get(&root).is_some_and(|one| one.asked);
        if self.quiet.contains(&root) || (transfer.for_others && !asked) {
            return None;
        }
        if matches!(
            transfer.state,
            TransferState::Waiting | TransferState::Running
        ) {
            if self.under_way.len() < Transfer::MOST {
                let what = printable(&transfer.what);
                self.under_way
                    .entry(root)
                    .or_insert(UnderWay { what, asked: false });
            }
            return None;
        }
        let UnderWay { what, asked } = self.under_way.remove(&root)?;
        let (level, text) = match &transfer.state {
            TransferState::Done => {
                let peers = match transfer.peers.iter().filter(|peer| peer.bytes > 0).count() {
                    1 => "1 peer".to_owned(),
                    count => format!("{count} peers"),
                };
                let (size, time) = (Size(transfer.size), took(transfer, now));
                let (level, lied) = match liars(transfer) {
                    0 => (Level::Info, String::new()),
                    1 => (Level::Warning, ", although 1 peer LIED,".to_owned()),
                    liars => (Level::Warning, format!(", although {liars} peers LIED,")),
                };
                (
                    level,
                    format!(
                        "downloaded and verified{lied} {what}: {size} from {peers} in {time} \
                         (details: {key})"
                    ),
                )
            }
            TransferState::Failed(why) => (
                Level::Error,
                format!(
                    "cannot download {what} (details: {key}): {}",
                    printable(why)
                ),
            ),
            _ => return None,
        };
        Some((
            Notice {
                at: now,
                level,
                text,
            },
            asked,
        ))
    }

    /// Returns the number of running transfers in a direction and their total rate in bytes a
    /// second.
    fn running(&self, fetches: bool) -> (usize, f64) {
        let is_one = |transfer: &&Transfer| {
            transfer.state == TransferState::Running
                && matches!(transfer.id, TransferId::Fetch { .. }) == fetches
        };
        self.table
            .all()
            .filter(is_one)
            .fold((0, 0.0), |(count, rate), one| (count + 1, rate + one.rate))
    }

    /// Returns the number of uploads that are running.
    pub fn uploads(&self) -> usize {
        self.running(false).0
    }

    /// Summarises the running transfers in both directions.
    pub fn summary(&self) -> String {
        let part = |sign: &str, fetches: bool| {
            let (count, rate) = self.running(fetches);
            (count > 0).then(|| format!("{sign} {count} at {}", Rate(rate)))
        };
        let parts: Vec<String> = [part("↓", true), part("↑", false)]
            .into_iter()
            .flatten()
            .collect();
        if parts.is_empty() {
            "idle".to_owned()
        } else {
            parts.join(" · ")
        }
    }
}
