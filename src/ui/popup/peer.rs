//! The window of a peer.

use libp2p::PeerId;
use ratatui::{
    style::Style,
    text::{Line, Span},
};

use super::{field, heading};
use crate::{
    bus::{Direction, PeerSnapshot, PeerTraffic},
    domain::{
        faults::{BAN, DISCONNECT},
        reputation::Outcome,
        size::Size,
        text::printable,
        time::Ago,
        transfer::TransferId,
    },
    ui::{
        model::Model,
        theme::Theme,
        widget::{bar::sparkline, wrap::wrap},
    },
};

pub fn lines(model: &Model, id: &PeerId, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let Some(peer) = model.peers.get(id) else {
        return wrap(&format!("{id} is no longer known"), width)
            .into_iter()
            .map(Line::from)
            .collect();
    };
    let mut lines = Vec::new();
    score(&mut lines, peer, width, theme);
    faults(&mut lines, model, peer, width, theme);
    heading(&mut lines, "Identity and location", theme);
    let mut say =
        |label: &str, text: &str| field(&mut lines, label, text, theme.text(), width, theme);
    say("peer id", &peer.id.to_string());
    match &peer.owner {
        Some(owner) => {
            say("handle", owner.handle.as_str());
            say("publisher", &owner.publisher.to_string());
        }
        None => say("handle", "none: no publisher claims this node"),
    }
    say("agent", peer.agent.as_deref().unwrap_or("not known yet"));
    match &peer.connection {
        Some(connection) => {
            let from = match connection.direction {
                Direction::Inbound => "inbound",
                Direction::Outbound => "outbound",
            };
            let since = Ago(model.now.since(connection.since));
            say(
                "connection",
                &format!("{} ({from}, {since} ago)", connection.address),
            );
        }
        None => say(
            "connection",
            &format!(
                "none; last seen {} ago",
                Ago(model.now.since(peer.last_seen))
            ),
        ),
    }
    say(
        "known since",
        &format!("{} ago", Ago(model.now.since(peer.first_seen))),
    );
    say("location", &place(peer));
    say(
        "packages",
        &peer.packages.map_or("unknown".to_owned(), |count| {
            format!("{count} (self-reported)")
        }),
    );
    rtt(&mut lines, peer, width, theme);
    gossip(&mut lines, peer, width, theme);
    traffic(&mut lines, model, peer, width, theme);
    packages(&mut lines, model, peer, width, theme);
    evidence(&mut lines, model, peer, width, theme);
    addresses(&mut lines, peer, width, theme);
    lines
}

/// Adds the score as a bar of its parts, and the numbers behind each part.
fn score(lines: &mut Vec<Line<'static>>, peer: &PeerSnapshot, width: usize, theme: Theme) {
    /// Patterns that tell the parts apart without colour.
    const SIGNS: [char; 5] = ['█', '▓', '▒', '░', '+'];
    let score = &peer.score;
    let styles = [
        theme.good(),
        theme.link(),
        theme.title(),
        theme.text(),
        theme.fair(),
    ];
    lines.push(Line::from(vec![
        Span::styled(format!("Score {:.2}", score.total), theme.title()),
        Span::styled(" of 1: reliability", theme.dim()),
    ]));
    let room = width.saturating_sub(2).min(60);
    let mut spans = vec![Span::raw("▕")];
    let (mut sum, mut used) = (0.0, 0);
    for (((_, value), sign), style) in score.parts().into_iter().zip(SIGNS).zip(styles) {
        // Round the running sum, so that the whole bar is as long as the score says.
        sum += value;
        let end = ((sum.min(1.0) * room as f64).round() as usize).max(used);
        spans.push(Span::styled(sign.to_string().repeat(end - used), style));
        used = end;
    }
    spans.push(Span::raw(" ".repeat(room.saturating_sub(used))));
    spans.push(Span::raw("▏"));
    lines.push(Line::from(spans));
    for (((name, value), sign), style) in score.parts().into_iter().zip(SIGNS).zip(styles) {
        let head = format!("{name:<12} {value:.3}  ");
        let beside = head.chars().count() + 2;
        let told = wrap(
            &peer.basis.describe(name),
            width.saturating_sub(beside).max(16),
        );
        for (number, part) in told.into_iter().enumerate() {
            let (sign, head) = if number == 0 {
                (sign, head.clone())
            } else {
                (' ', " ".repeat(beside - 2))
            };
            let spans = [
                Span::styled(format!("{sign} "), style),
                Span::raw(head),
                Span::styled(part, theme.dim()),
            ];
            lines.push(Line::from(spans.to_vec()));
        }
    }
}

/// Adds the peer's penalties and the time when they end.
fn faults(
    lines: &mut Vec<Line<'static>>,
    model: &Model,
    peer: &PeerSnapshot,
    width: usize,
    theme: Theme,
) {
    let Some(sheet) = &peer.sheet else { return };
    let title =
        format!("Penalties (disconnect at {DISCONNECT} points, ban at {BAN}; halves every 10 min)");
    heading(lines, &title, theme);
    let style = if peer.ban(model.now).is_some() {
        theme.bad()
    } else {
        theme.fair()
    };
    lines.extend(
        wrap(&sheet.describe(model.now), width)
            .into_iter()
            .map(|line| Line::from(Span::styled(line, style))),
    );
    for entry in sheet.log.iter().rev() {
        let ago = format!("{:>8} ago", Ago(model.now.since(entry.at)).to_string());
        let what = format!(
            "+{:.0}  {}: {}",
            entry.fault.points(),
            entry.fault.label(),
            entry.fault.hint()
        );
        timed(lines, &ago, &what, theme.text(), width, theme);
    }
}

/// Adds an event with its time, wrapped if it is longer than the row.
fn timed(
    lines: &mut Vec<Line<'static>>,
    when: &str,
    what: &str,
    style: Style,
    width: usize,
    theme: Theme,
) {
    const WHEN: usize = 14;
    for (number, part) in wrap(what, width.saturating_sub(WHEN).max(12))
        .into_iter()
        .enumerate()
    {
        let when = if number == 0 { when } else { "" };
        lines.push(Line::from(vec![
            Span::styled(format!("{when:<WHEN$}"), theme.dim()),
            Span::styled(part, style),
        ]));
    }
}

fn gossip(lines: &mut Vec<Line<'static>>, peer: &PeerSnapshot, width: usize, theme: Theme) {
    let mesh = if peer.in_mesh {
        "in the mesh: relays announcements at once"
    } else {
        "not in the mesh: gets message ids only"
    };
    let score = peer.gossip_score.map_or(String::new(), |score| {
        format!("; gossip score {score:.1} (excluded below 0)")
    });
    field(
        lines,
        "gossip",
        &format!("{mesh}{score}"),
        theme.text(),
        width,
        theme,
    );
    let counted = |outcome| {
        peer.evidence
            .iter()
            .filter(|one| one.outcome == outcome)
            .map(|one| one.count)
            .sum::<u32>()
    };
    let lately = format!(
        "recent messages: {} new, {} duplicate, {} rejected",
        counted(Outcome::RecordValid),
        counted(Outcome::RecordIgnored),
        counted(Outcome::RecordInvalid) + counted(Outcome::RecordUnfit)
    );
    field(lines, "", &lately, theme.dim(), width, theme);
}

fn traffic(
    lines: &mut Vec<Line<'static>>,
    model: &Model,
    peer: &PeerSnapshot,
    width: usize,
    theme: Theme,
) {
    let PeerTraffic {
        announcements_in,
        answers_in,
        answers_out,
        content_in,
    } = peer.traffic;
    let served = model
        .transfers
        .table
        .all()
        .filter(|one| matches!(one.id, TransferId::Serve { .. }));
    let served = served
        .flat_map(|one| &one.peers)
        .filter(|one| one.peer == peer.id)
        .map(|one| one.bytes)
        .sum();
    let text = format!(
        "content {} in, {} out; answers {} in, {} out; announcements {} in",
        Size(content_in),
        Size(served),
        Size(answers_in),
        Size(answers_out),
        Size(announcements_in)
    );
    field(lines, "bytes", &text, theme.text(), width, theme);
}

/// Adds the packages of the peer's publisher, as far as they are known here.
fn packages(
    lines: &mut Vec<Line<'static>>,
    model: &Model,
    peer: &PeerSnapshot,
    width: usize,
    theme: Theme,
) {
    let Some(served) = model
        .served
        .as_ref()
        .filter(|served| served.peer == peer.id)
    else {
        return;
    };
    let more = served.total.saturating_sub(served.names.len() as u64);
    let text = match (served.names.is_empty(), more) {
        (true, _) => "none known here".to_owned(),
        (false, 0) => served.names.join(", "),
        (false, more) => format!("{}, and {more} more", served.names.join(", ")),
    };
    field(lines, "publishes", &text, theme.text(), width, theme);
    let gave = model
        .transfers
        .table
        .all()
        .filter(|one| matches!(one.id, TransferId::Fetch { .. }));
    let gave = gave.filter(|one| {
        one.peers
            .iter()
            .any(|part| part.peer == peer.id && part.bytes > 0)
    });
    let gave: Vec<String> = gave.take(8).map(|one| printable(&one.what)).collect();
    if !gave.is_empty() {
        field(
            lines,
            "sent you",
            &gave.join(", "),
            theme.text(),
            width,
            theme,
        );
    }
}

fn evidence(
    lines: &mut Vec<Line<'static>>,
    model: &Model,
    peer: &PeerSnapshot,
    width: usize,
    theme: Theme,
) {
    heading(lines, "Evidence, newest first", theme);
    if peer.evidence.is_empty() {
        lines.push(Line::from(Span::styled(
            "none yet: it has not been asked anything",
            theme.dim(),
        )));
    }
    for evidence in peer.evidence.iter().rev() {
        let style = match evidence.outcome {
            Outcome::AnswerRight | Outcome::ContentRight => theme.good(),
            Outcome::AnswerWrong
            | Outcome::RecordInvalid
            | Outcome::RecordUnfit
            | Outcome::ContentWrong => theme.bad(),
            Outcome::AnswerLate
            | Outcome::AnswerSlow
            | Outcome::Unreachable
            | Outcome::ContentLate
            | Outcome::ContentSlow => theme.fair(),
            Outcome::AnswerMissing
            | Outcome::RecordValid
            | Outcome::RecordIgnored
            | Outcome::ConnectionLost => theme.text(),
        };
        let ago = format!("{:>8} ago", Ago(model.now.since(evidence.at)).to_string());
        timed(lines, &ago, &evidence.describe(), style, width, theme);
    }
}

fn addresses(lines: &mut Vec<Line<'static>>, peer: &PeerSnapshot, width: usize, theme: Theme) {
    let used = peer
        .connection
        .as_ref()
        .map(|connection| connection.address.as_str());
    let addresses = peer
        .addresses
        .iter()
        .map(|address| match used == Some(address.as_str()) {
            true => format!("{address} (used now)"),
            false => address.clone(),
        });
    for (title, entries) in [
        ("Addresses", addresses.collect::<Vec<_>>()),
        ("Protocols", peer.protocols.clone()),
    ] {
        heading(lines, title, theme);
        if entries.is_empty() {
            lines.push(Line::from(Span::styled("none known yet", theme.dim())));
        }
        lines.extend(
            entries
                .iter()
                .flat_map(|entry| wrap(entry, width))
                .map(Line::from),
        );
    }
}

fn place(peer: &PeerSnapshot) -> String {
    let from = peer.provenance();
    let about = if from.approximate { "about " } else { "" };
    match (&peer.location, peer.distance_km) {
        (Some(place), Some(km)) => format!(
            "{}, {about}{km:.0} km from here ({})",
            from.mark(place),
            from.full()
        ),
        (Some(place), None) => format!("{} ({})", from.mark(place), from.full()),
        (None, _) => format!("not declared ({})", from.full()),
    }
}

fn rtt(lines: &mut Vec<Line<'static>>, peer: &PeerSnapshot, width: usize, theme: Theme) {
    match peer.rtts_ms.last() {
        Some(last) => {
            let line = sparkline(&peer.rtts_ms, width.saturating_sub(30).min(24));
            field(
                lines,
                "round trip",
                &format!("{last:.2} ms {line}"),
                theme.text(),
                width,
                theme,
            );
        }
        None => field(
            lines,
            "round trip",
            "not measured yet",
            theme.text(),
            width,
            theme,
        ),
    }
}
