//! Peers: who is there, and how good they are to ask.

use ratatui::{
    Frame,
    text::{Line, Span},
};

use super::{Areas, field, sentences, status};
use crate::{
    bus::{Direction, PeerSnapshot},
    domain::name::short_id,
    ui::{
        layout,
        model::{
            Model,
            peers::{SortBy, address, handle, seen},
        },
        theme::Theme,
        widget::{
            bar::{bar, sparkline},
            table::{Cell, Column, Table},
        },
    },
};

const SPARK: usize = 10;

/// The first column is the sign; the others follow [`SortBy::ALL`], with the sparkline beside the round trip.
const COLUMNS: [Column; 13] = [
    Column::new("", 1, 0),
    Column::new("peer", 12, 0),
    Column::new("handle", 14, 2).up_to(24),
    Column::new("round trip", 10, 1).right(),
    Column::new("", SPARK, 5),
    Column::new("score", 10, 0),
    Column::new("place", 12, 4).up_to(16),
    Column::new("distance", 9, 5).right(),
    Column::new("packages", 8, 3).right(),
    Column::new("seen", 6, 3).right(),
    Column::new("dir", 3, 6),
    Column::new("agent", 14, 8).up_to(20),
    Column::new("address", 24, 7).up_to(60),
];

/// Where the column of a sort is in the table.
fn column_of(sort: SortBy) -> usize {
    match sort {
        SortBy::Id => 1,
        SortBy::Handle => 2,
        SortBy::Rtt => 3,
        SortBy::Score => 5,
        SortBy::Location => 6,
        SortBy::Distance => 7,
        SortBy::Packages => 8,
        SortBy::Seen => 9,
        SortBy::Direction => 10,
        SortBy::Agent => 11,
        SortBy::Address => 12,
    }
}

pub fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme, areas: &Areas) {
    let peers = &model.peers;
    field(frame, areas.field, "filter: ", &peers.filter.input, peers.filter.typing, theme);
    if peers.is_empty() {
        alone(frame, model, theme, areas);
        return;
    }
    let page = layout::page(model);
    let selected = peers.selection.index(&peers.rows).and_then(|index| index.checked_sub(peers.selection.offset));
    let shown = peers.rows.iter().skip(peers.selection.offset).take(page);
    let rows = shown.filter_map(|id| Some(row(model, peers.get(id)?, theme))).collect();
    let table = Table {
        columns: &COLUMNS,
        rows,
        selected,
        sorted: Some((column_of(peers.sort), peers.is_descending())),
        theme,
    };
    frame.render_widget(table, areas.body);
    if peers.rows.is_empty() {
        let text = "No peer has this text. Esc in the list takes the filter off.";
        sentences(frame, areas.body, vec![Line::default(), Line::from(text)]);
    }
    let way = if peers.is_descending() { "highest first" } else { "lowest first" };
    let hidden = peers.len() - peers.rows.len();
    let hidden = if hidden > 0 { format!(", {hidden} hidden by the filter") } else { String::new() };
    let text = format!("{} peers{hidden}, by {}, {way}", peers.rows.len(), peers.sort.name());
    status(frame, model, areas, &text, theme.dim());
}

fn row(model: &Model, peer: &PeerSnapshot, theme: Theme) -> Vec<Cell> {
    let here = peer.connection.is_some();
    let plain = if here { theme.text() } else { theme.dim() };
    let sign = match (here, peer.in_mesh) {
        (true, true) => ("◆", theme.good()),
        (true, false) => ("●", theme.good()),
        (false, _) => ("○", theme.dim()),
    };
    let direction = match peer.connection.as_ref().map(|connection| connection.direction) {
        Some(Direction::Inbound) => "in",
        Some(Direction::Outbound) => "out",
        None => "",
    };
    let rtt = peer.rtts_ms.last().filter(|_| here).map_or(String::new(), |ms| format!("{ms:.1} ms"));
    let score = peer.score.total;
    let shown_score = format!("{} {score:.2}", bar(score, 5));
    let place = peer.location.as_ref().map(ToString::to_string).unwrap_or_default();
    let distance = peer.distance_km.map_or(String::new(), |km| format!("{km:.0} km"));
    vec![
        (sign.0.to_owned(), sign.1),
        (short_id(&peer.id), plain),
        (handle(peer).to_owned(), if here { theme.strong() } else { theme.dim() }),
        (rtt, plain),
        (if here { sparkline(&peer.rtts_ms, SPARK) } else { String::new() }, theme.link()),
        (shown_score, if here { theme.share(score) } else { theme.dim() }),
        (place, plain),
        (distance, plain),
        (peer.packages.map_or(String::new(), |count| count.to_string()), plain),
        (seen(peer, model.now), plain),
        (direction.to_owned(), plain),
        (peer.agent.clone().unwrap_or_default(), theme.dim()),
        (address(peer).to_owned(), theme.dim()),
    ]
}

/// Nobody there: what that means, and what to do about it.
fn alone(frame: &mut Frame<'_>, model: &Model, theme: Theme, areas: &Areas) {
    let strong = |text: String| Line::from(Span::styled(text, theme.strong()));
    let mut lines = Vec::new();
    match &model.node {
        None => lines.push(Line::from("The node is starting…")),
        Some(_) if model.demo => {
            lines.push(Line::from("The other nodes of the demo are starting; they appear here in a moment."))
        }
        Some(node) => {
            lines.push(strong("Nobody else is here yet.".to_owned()));
            lines.push(Line::default());
            lines.push(Line::from("On another machine, join this one with"));
            for address in node.addresses.iter().take(1) {
                lines.push(Line::from(Span::styled(format!("swarmdex --bootstrap {address}"), theme.key())));
            }
            lines.push(Line::default());
            lines.push(Line::from("or start this one with --bootstrap and an address of another node."));
            lines.push(Line::from("Nodes on the same local network find each other by themselves (mDNS)."));
            lines.push(Line::default());
            lines.push(Line::from("To see a whole swarm at work on this machine: swarmdex demo"));
        }
    }
    sentences(frame, areas.body, lines);
}
