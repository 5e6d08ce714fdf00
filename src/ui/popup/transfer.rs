//! The window of a transfer: its progress, and the part of each peer.

use std::cmp::Reverse;

use ratatui::{
    style::Style,
    text::{Line, Span},
};

use super::{field, heading};
use crate::{
    domain::{
        name::short_id,
        size::{Rate, Size},
        text::{fit, printable},
        transfer::{Part, Transfer, TransferId, TransferPeer, TransferState, rate},
    },
    ui::{
        action::{Action, KeyPlace},
        model::{
            Model,
            peers::called,
            transfers::{remaining, took},
        },
        screen::transfers::{gauge, left, sign, style},
        table::column::{Column, columns_in},
        theme::Theme,
        widget::wrap::wrap,
    },
};

/// Columns of the table of peers.
const COLUMNS: [Column; 7] = [
    Column::new("peer", "peer", 12, 0),
    Column::new("handle", "handle", 20, 4).up_to(25),
    Column::new("part", "part", 8, 0),
    Column::new("bytes", "bytes", 8, 1).right(),
    Column::new("share", "share", 5, 0).right(),
    Column::new("rate", "rate", 10, 2).right(),
    Column::new("refused", "refused", 7, 3).right(),
];

pub fn lines(model: &Model, id: &TransferId, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let Some(transfer) = model.transfers.table.get(id) else {
        return vec![Line::from("This transfer is no longer known.")];
    };
    let fetch = matches!(id, TransferId::Fetch { .. });
    let mut lines = Vec::new();
    let mut say =
        |label: &str, text: &str, style: Style| field(&mut lines, label, text, style, width, theme);
    let what = format!("{} {}", sign(transfer), printable(&transfer.what));
    let doing = match (fetch, transfer.ended_at.is_some()) {
        (true, false) => "downloading",
        (true, true) => "downloaded",
        (false, false) => "uploading",
        (false, true) => "uploaded",
    };
    say(doing, &what, theme.strong());
    say("content", &id.root().to_string(), theme.text());
    say(
        "size",
        &format!("{} ({} bytes)", Size(transfer.size), transfer.size),
        theme.text(),
    );
    let bar = if width >= 36 { 16 } else { 8 };
    say(
        "state",
        &format!("{} {}", gauge(transfer, bar), transfer.state.label()),
        style(transfer, theme),
    );
    if let TransferState::Failed(why) = &transfer.state {
        say("why", &printable(why), theme.bad());
        say(
            "",
            &format!(
                "{}: retry and keep what is here",
                model.key(Action::Pause, KeyPlace::Transfer)
            ),
            theme.dim(),
        );
    }
    let done = match (fetch, &transfer.state) {
        (true, TransferState::Done) => {
            format!("hash verified: BLAKE3 of all {} bytes", transfer.size)
        }
        // An earlier run of the node left this transfer unfinished.
        (true, TransferState::Paused | TransferState::Waiting) if transfer.done == 0 => {
            "earlier data is counted once it resumes".to_owned()
        }
        (true, _) => format!(
            "{} so far; every 16 KiB is verified on arrival",
            Size(transfer.done)
        ),
        (false, _) => Size(transfer.done).to_string(),
    };
    let style = if fetch && transfer.state == TransferState::Done {
        theme.good()
    } else {
        theme.text()
    };
    say(if fetch { "verified" } else { "sent" }, &done, style);
    if transfer.resumed > 0 {
        say(
            "resumed",
            &format!("{} kept from an earlier attempt", Size(transfer.resumed)),
            theme.text(),
        );
    }
    let time = match transfer.ended_at {
        Some(at) => {
            let (from, to) = (
                crate::clock::here(transfer.started_at),
                crate::clock::here(at),
            );
            format!("{from} to {to}, {}", took(transfer, at))
        }
        None => format!("started at {}", crate::clock::here(transfer.started_at)),
    };
    say("time", &time, theme.text());
    say("rate", &rates(model, transfer), theme.text());
    peers(&mut lines, model, transfer, width, theme);
    lines
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
        (TransferId::Fetch { .. }, Part::Giving | Part::Idle) if over && peer.bytes > 0 => "gave",
        (TransferId::Fetch { .. }, part) => part.label(),
        (TransferId::Serve { .. }, _) if over => "took",
        (TransferId::Serve { .. }, _) => "takes",
    }
}

fn peers(
    lines: &mut Vec<Line<'static>>,
    model: &Model,
    transfer: &Transfer,
    width: usize,
    theme: Theme,
) {
    let fetch = matches!(transfer.id, TransferId::Fetch { .. });
    heading(
        lines,
        if fetch {
            "Peers that sent data"
        } else {
            "Peers that received data"
        },
        theme,
    );
    if transfer.peers.is_empty() && transfer.resumed == 0 {
        let text = if fetch { "none yet" } else { "none" };
        lines.push(Line::from(Span::styled(text, theme.dim())));
        return;
    }
    let refused = transfer.peers.iter().any(|peer| peer.refused > 0);
    let says = |column: &&Column| match column.key {
        "refused" => refused,
        "share" | "rate" => fetch,
        _ => true,
    };
    let columns: Vec<Column> = COLUMNS.iter().filter(says).copied().collect();
    let columns = columns_in(&columns, width);
    let row = |cell: &dyn Fn(&'static str) -> (String, Style)| {
        let mut spans = Vec::new();
        for (column, width) in &columns {
            let (text, style) = cell(column.key);
            let text = fit(&text, *width);
            let text = if column.right {
                format!("{text:>width$}")
            } else {
                format!("{text:<width$}")
            };
            spans.extend([Span::styled(text, style), Span::raw(" ")]);
        }
        spans.pop();
        Line::from(spans)
    };
    let title = |key| {
        COLUMNS
            .iter()
            .find(|column| column.key == key)
            .map_or("", |column| column.title)
    };
    lines.push(row(&|key| (title(key).to_owned(), theme.dim())));
    // Resumed bytes came from peers of an earlier attempt that are no longer known.
    let all = transfer.resumed + transfer.peers.iter().map(|peer| peer.bytes).sum::<u64>();
    let share = |bytes: u64| {
        (bytes * 100)
            .checked_div(all)
            .map_or(String::new(), |share| format!("{share} %"))
    };
    let mut given: Vec<&TransferPeer> = transfer.peers.iter().collect();
    given.sort_by_key(|peer| (Reverse(peer.bytes), peer.peer));
    for peer in given {
        let style = match peer.part {
            Part::Giving => theme.good(),
            Part::Slow | Part::Lost => theme.fair(),
            Part::Lied => theme.bad(),
            Part::Asked | Part::Idle => theme.text(),
        };
        lines.push(row(&|key| match key {
            "peer" => (short_id(&peer.peer), theme.strong()),
            "handle" => (
                model.peers.get(&peer.peer).map_or(String::new(), called),
                theme.text(),
            ),
            "part" => (part(transfer, peer).to_owned(), style),
            "bytes" => (Size(peer.bytes).to_string(), theme.text()),
            "share" => (share(peer.bytes), theme.text()),
            "rate" if peer.millis > 0 => (Rate(peer.rate()).to_string(), theme.text()),
            "refused" if peer.refused > 0 => (peer.refused.to_string(), theme.bad()),
            _ => (String::new(), theme.text()),
        }));
    }
    if transfer.resumed > 0 {
        lines.push(row(&|key| match key {
            "peer" => ("earlier".to_owned(), theme.dim()),
            "bytes" => (Size(transfer.resumed).to_string(), theme.text()),
            "share" => (share(transfer.resumed), theme.text()),
            _ => (String::new(), theme.text()),
        }));
    }
    if transfer.peers.iter().any(|peer| peer.part == Part::Lied) {
        lines.push(Line::default());
        let text = "LIED: it sent data that does not match the manifest's hash. That data was \
                    discarded and \
                    requested from other peers, and this peer is not asked again.";
        lines.extend(
            wrap(text, width)
                .into_iter()
                .map(|line| Line::from(Span::styled(line, theme.bad()))),
        );
    }
}
