//! Everything known of a peer.

use libp2p::PeerId;
use ratatui::text::{Line, Span};

use super::{field, heading};
use crate::{
    bus::{Direction, PeerSnapshot},
    domain::{reputation::Outcome, time::Ago},
    ui::{
        model::Model,
        theme::Theme,
        widget::{
            bar::{bar, sparkline},
            wrap::wrap,
        },
    },
};

pub fn lines(model: &Model, id: &PeerId, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let Some(peer) = model.peers.get(id) else {
        return wrap(&format!("{id} is not known any more"), width).into_iter().map(Line::from).collect();
    };
    let mut lines = Vec::new();
    let mut say = |label: &str, text: &str| field(&mut lines, label, text, theme.text(), width, theme);
    say("peer id", &id.to_string());
    match &peer.owner {
        Some(owner) => {
            say("handle", owner.handle.as_str());
            say("publisher", &owner.publisher.to_string());
        }
        None => say("handle", "none: no publisher has signed that this node is its own"),
    }
    say("agent", peer.agent.as_deref().unwrap_or("not told yet"));
    match &peer.connection {
        Some(connection) => {
            let from = match connection.direction {
                Direction::Inbound => "it connected to us",
                Direction::Outbound => "we connected to it",
            };
            let since = Ago(model.now.since(connection.since));
            say("connection", &format!("{} ({from}, {since} ago)", connection.address));
        }
        None => say("connection", &format!("none; last seen {} ago", Ago(model.now.since(peer.last_seen)))),
    }
    say("gossip mesh", if peer.in_mesh { "yes" } else { "no" });
    say("known since", &format!("{} ago", Ago(model.now.since(peer.first_seen))));
    say("packages", &peer.packages.map_or("not told".to_owned(), |count| format!("{count}, by its own word")));
    say("location", &place(peer));
    rtt(&mut lines, peer, width, theme);
    score(&mut lines, peer, width, theme);

    heading(&mut lines, "Evidence, newest first", theme);
    if peer.evidence.is_empty() {
        lines.push(Line::from(Span::styled("none yet: it was asked nothing", theme.dim())));
    }
    for evidence in peer.evidence.iter().rev() {
        let ago = Ago(model.now.since(evidence.at)).to_string();
        let style = match evidence.outcome {
            Outcome::AnswerRight | Outcome::ContentRight => theme.good(),
            Outcome::AnswerWrong | Outcome::RecordInvalid | Outcome::ContentWrong => theme.bad(),
            Outcome::AnswerLate | Outcome::Unreachable | Outcome::ContentLate | Outcome::ContentSlow => theme.fair(),
            Outcome::AnswerMissing | Outcome::RecordValid | Outcome::RecordIgnored | Outcome::ConnectionLost => {
                theme.text()
            }
        };
        let ago = format!("{ago:>8} ago");
        lines.push(Line::from(vec![
            Span::styled(format!("{ago:<14}"), theme.dim()),
            Span::styled(evidence.outcome.label(), style),
        ]));
    }
    for (title, entries) in [("Addresses", &peer.addresses), ("Protocols", &peer.protocols)] {
        heading(&mut lines, title, theme);
        if entries.is_empty() {
            lines.push(Line::from(Span::styled("none told yet", theme.dim())));
        }
        lines.extend(entries.iter().flat_map(|entry| wrap(entry, width)).map(Line::from));
    }
    lines
}

fn place(peer: &PeerSnapshot) -> String {
    let from = peer.provenance();
    let about = if from.approximate { "about " } else { "" };
    match (&peer.location, peer.distance_km) {
        (Some(place), Some(km)) => format!("{}, {about}{km:.0} km from here ({})", from.mark(place), from.full()),
        (Some(place), None) => format!("{} ({})", from.mark(place), from.full()),
        (None, _) => format!("not declared ({})", from.full()),
    }
}

fn rtt(lines: &mut Vec<Line<'static>>, peer: &PeerSnapshot, width: usize, theme: Theme) {
    match peer.rtts_ms.last() {
        Some(last) => {
            let line = sparkline(&peer.rtts_ms, width.saturating_sub(30).min(24));
            field(lines, "round trip", &format!("{last:.2} ms {line}"), theme.text(), width, theme);
        }
        None => field(lines, "round trip", "not measured yet", theme.text(), width, theme),
    }
}

fn score(lines: &mut Vec<Line<'static>>, peer: &PeerSnapshot, width: usize, theme: Theme) {
    let score = &peer.score;
    heading(lines, &format!("Score {:.2}, from 0 to 1: how good it is to ask", score.total), theme);
    let parts = [
        ("success", score.success, 0.50, "cautious share of right answers"),
        ("response", score.response, 0.25, "round trip against the others'"),
        ("availability", score.availability, 0.15, "time connected, answers served"),
        ("recency", score.recency, 0.10, "seen lately"),
        ("proximity", score.proximity, 0.10, "bonus for being near"),
    ];
    for (name, value, most, why) in parts {
        let mut spans = vec![
            Span::styled(format!("{name:<13}"), theme.dim()),
            Span::styled(bar(value / most, 10), theme.share(value / most)),
            Span::raw(format!(" {value:.3}")),
        ];
        if width >= 62 {
            spans.push(Span::styled(format!("  {why}"), theme.dim()));
        }
        lines.push(Line::from(spans));
    }
}
