//! The window of a transfer: its progress, and the part of each peer.

use std::cmp::Reverse;

use super::{Page, Window};
use crate::{
    clock,
    domain::{
        name::short_id,
        size::{Rate, Size},
        text::printable,
        transfer::{Part, Transfer, TransferId, TransferPeer, TransferState, rate},
    },
    ui::{
        action::{Action, KeyPlace},
        model::{
            Model,
            transfers::{liars, remaining, state, took},
        },
        screen::transfers::{gauge, left, sign, style},
        table::column::Column,
    },
};

/// Columns of the table of peers.
const COLUMNS: [Column; 7] = [
    Column::new("peer", "peer", 12, 0),
    Column::new("handle", "handle", 20, 1).up_to(27),
    Column::new("part", "part", 9, 0),
    Column::new("bytes", "bytes", 8, 2).right(),
    Column::new("share", "share", 5, 0).right(),
    Column::new("rate", "rate", 10, 3).right(),
    Column::new("refused", "refused", 7, 4).right(),
];

pub struct TransferWindow {
    pub id: TransferId,
}

impl Window for TransferWindow {
    fn place(&self) -> KeyPlace {
        KeyPlace::Transfer
    }

    fn title(&self) -> &str {
        "Transfer"
    }

    fn lines(&self, model: &Model, page: &mut Page) {
        let theme = page.theme;
        let Some(transfer) = model.transfers.table.get(&self.id) else {
            return page.line("This transfer is no longer known.");
        };
        let fetch = is_fetch(transfer);
        let label = match (fetch, transfer.ended_at.is_some()) {
            (true, false) => "downloading",
            (true, true) => "downloaded",
            (false, false) => "uploading",
            (false, true) => "uploaded",
        };
        let what = model.signed_title(&printable(&transfer.what));
        let what = format!("{} {what}", sign(transfer));
        page.field_in(label, &what, theme.strong());
        page.field("content", &self.id.root().to_string());
        let size = format!("{} ({} bytes)", Size(transfer.size), transfer.size);
        page.field("size", &size);
        let bar = if page.width >= 36 { 16 } else { 8 };
        let state = format!("{} {}", gauge(transfer, bar), state(transfer));
        let looks = match liars(transfer) {
            0 => style(transfer, theme),
            _ => theme.bad(),
        };
        page.field_in("state", &state, looks);
        if let TransferState::Failed(why) = &transfer.state {
            page.field_in("why", &printable(why), theme.bad());
            let key = model.key(Action::Pause, KeyPlace::Transfer);
            let hint = format!("{key}: retry and keep what is here");
            page.field_in("", &hint, theme.dim());
        }
        let (label, style) = match (fetch, &transfer.state) {
            (true, TransferState::Done) => ("verified", theme.good()),
            (true, _) => ("verified", theme.text()),
            (false, _) => ("sent", theme.text()),
        };
        page.field_in(label, &done(transfer), style);
        if transfer.resumed > 0 {
            let kept = Size(transfer.resumed);
            page.field("resumed", &format!("{kept} kept from an earlier attempt"));
        }
        let from = clock::here(transfer.started_at);
        let time = match transfer.ended_at {
            Some(at) => format!("{from} to {}, {}", clock::here(at), took(transfer, at)),
            None => format!("started at {from}"),
        };
        page.field("time", &time);
        page.field("rate", &rates(model, transfer));
        peers(page, model, transfer);
    }
}

fn is_fetch(transfer: &Transfer) -> bool {
    matches!(transfer.id, TransferId::Fetch { .. })
}

/// Describes how much was transferred.
fn done(transfer: &Transfer) -> String {
    let done = Size(transfer.done);
    match (is_fetch(transfer), &transfer.state) {
        (true, TransferState::Done) => {
            format!("hash verified: BLAKE3 of all {} bytes", transfer.size)
        }
        // An earlier run of the node left this transfer unfinished.
        (true, TransferState::Paused | TransferState::Waiting) if transfer.done == 0 => {
            "earlier data is counted once it resumes".to_owned()
        }
        (true, _) => format!("{done} so far; every 16 KiB is verified on arrival"),
        (false, _) => done.to_string(),
    }
}

fn rates(model: &Model, transfer: &Transfer) -> String {
    let end = transfer.ended_at.unwrap_or(model.now);
    let millis = u64::try_from(end.since(transfer.started_at).as_millis()).unwrap_or(u64::MAX);
    let average = Rate(rate(transfer.done.saturating_sub(transfer.resumed), millis));
    if transfer.ended_at.is_some() {
        return format!("{average} on average");
    }
    let left =
        remaining(transfer).map_or(String::new(), |seconds| format!(", {} left", left(seconds)));
    format!("{} now, {average} on average{left}", Rate(transfer.rate))
}

/// Describes a peer's part, in a word that is still right once the transfer has ended.
fn part(transfer: &Transfer, peer: &TransferPeer) -> &'static str {
    let over = transfer.ended_at.is_some();
    match (&transfer.id, peer.part) {
        (TransferId::Fetch { .. }, Part::Giving | Part::Idle) if over && peer.bytes > 0 => "sent",
        (TransferId::Fetch { .. }, part) => part.label(),
        (TransferId::Serve { .. }, _) if over => "received",
        (TransferId::Serve { .. }, _) => "receiving",
    }
}

fn peers(page: &mut Page, model: &Model, transfer: &Transfer) {
    let (theme, fetch) = (page.theme, is_fetch(transfer));
    page.heading(if fetch {
        "Peers that sent data"
    } else {
        "Peers that received data"
    });
    if transfer.peers.is_empty() && transfer.resumed == 0 {
        return page.styled(if fetch { "none yet" } else { "none" }, theme.dim());
    }
    let refused = transfer.peers.iter().any(|peer| peer.refused > 0);
    let is_useful = |column: &Column| match column.key {
        "refused" => refused,
        "share" | "rate" => fetch,
        _ => true,
    };
    let columns: Vec<Column> = COLUMNS.into_iter().filter(is_useful).collect();
    // Resumed bytes came from peers of an earlier attempt that are no longer known.
    let all = transfer.resumed + transfer.peers.iter().map(|peer| peer.bytes).sum::<u64>();
    let share = |bytes: u64| {
        (bytes * 100)
            .checked_div(all)
            .map_or(String::new(), |share| format!("{share} %"))
    };
    let mut peers: Vec<&TransferPeer> = transfer.peers.iter().collect();
    peers.sort_by_key(|peer| (Reverse(peer.bytes), peer.peer));
    let earlier = (transfer.resumed > 0).then_some(None);
    let rows = peers.into_iter().map(Some).chain(earlier);
    page.table(&columns, rows, |row, key, _| {
        let Some(peer) = row else {
            return match key {
                "peer" => ("earlier".to_owned(), theme.dim()),
                "bytes" => (Size(transfer.resumed).to_string(), theme.text()),
                "share" => (share(transfer.resumed), theme.text()),
                _ => (String::new(), theme.text()),
            };
        };
        let style = match peer.part {
            Part::Giving => theme.good(),
            Part::Slow | Part::Lost => theme.fair(),
            Part::Lied => theme.bad(),
            Part::Asked | Part::Idle => theme.text(),
        };
        match key {
            "peer" => (short_id(&peer.peer), theme.strong()),
            "handle" => (
                model
                    .peers
                    .get(&peer.peer)
                    .map_or(String::new(), |peer| model.owner_of(peer)),
                theme.text(),
            ),
            "part" => (part(transfer, peer).to_owned(), style),
            "bytes" => (Size(peer.bytes).to_string(), theme.text()),
            "share" => (share(peer.bytes), theme.text()),
            "rate" if peer.millis > 0 => (Rate(peer.rate()).to_string(), theme.text()),
            "refused" if peer.refused > 0 => (peer.refused.to_string(), theme.bad()),
            _ => (String::new(), theme.text()),
        }
    });
    if transfer.peers.iter().any(|peer| peer.part == Part::Lied) {
        page.blank();
        let text = "LIED: it sent data that does not match the manifest's hash. That data was \
                    discarded and requested from other peers, and this peer is not asked again.";
        page.text(text, theme.bad());
    }
}
