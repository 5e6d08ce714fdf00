//! The window of a peer.

use libp2p::PeerId;
use ratatui::{style::Style, text::Span};

use super::{Page, Reply, Window};
use crate::{
    bus::{Direction, PeerSnapshot, PeerTraffic},
    domain::{
        faults::{BAN, DISCONNECT},
        reputation::{LIAR_CAP, LIE_LASTS, Outcome},
        size::Size,
        text::{printable, quantity},
        time::Ago,
        transfer::{Part, Transfer, TransferId},
    },
    ui::{
        action::{Action, KeyPlace},
        effect::Effect,
        model::{Model, peers::lied},
        table::TableEntry,
        widget::bar::sparkline,
    },
};

pub struct PeerWindow {
    pub id: PeerId,
}

impl Window for PeerWindow {
    fn place(&self) -> KeyPlace {
        KeyPlace::Peer
    }

    fn title(&self) -> &str {
        "Peer"
    }

    fn lines(&self, model: &Model, page: &mut Page) {
        let Some(peer) = model.peers.get(&self.id) else {
            let text = format!("{} is no longer known", self.id);
            return page.text(&text, page.theme.text());
        };
        score(page, peer);
        faults(page, model, peer);
        identity(page, model, peer);
        rtt(page, peer);
        gossip(page, peer);
        traffic(page, model, peer);
        packages(page, model, peer);
        evidence(page, model, peer);
        addresses(page, peer);
    }

    fn act(&mut self, model: &mut Model, _at: &mut usize, action: Action) -> Reply {
        if action != Action::Copy {
            return Reply::Pass;
        }
        let text = model.peers.get(&self.id).map(TableEntry::copied);
        let copy = |text| Effect::Copy { text, things: 1 };
        Reply::Stay(text.into_iter().map(copy).collect())
    }
}

fn identity(page: &mut Page, model: &Model, peer: &PeerSnapshot) {
    let ago = |at| format!("{} ago", Ago(model.now.since(at)));
    page.heading("Identity and location");
    page.field("peer id", &peer.id.to_string());
    match &peer.owner {
        Some(owner) => {
            match model.contested(&owner.handle, &owner.publisher) {
                Some(why) => {
                    let text = format!("! {}: {why}", owner.handle);
                    page.field_in("handle", &text, page.theme.bad());
                }
                None => page.field("handle", owner.handle.as_str()),
            }
            page.field("fingerprint", &owner.publisher.fingerprint());
            page.field("publisher", &owner.publisher.to_string());
        }
        None => page.field("handle", "none: no publisher claims this node"),
    }
    page.field("agent", peer.agent.as_deref().unwrap_or("not known yet"));
    let connection = match &peer.connection {
        Some(connection) => {
            let from = match connection.direction {
                Direction::Inbound => "inbound",
                Direction::Outbound => "outbound",
            };
            format!("{} ({from}, {})", connection.address, ago(connection.since))
        }
        None => format!("none; last seen {}", ago(peer.last_seen)),
    };
    page.field("connection", &connection);
    page.field("known since", &ago(peer.first_seen));
    page.field("location", &place(peer));
    let packages = peer.packages.map_or("unknown".to_owned(), |count| {
        format!("{count} (self-reported)")
    });
    page.field("packages", &packages);
}

/// Adds the score as a bar of its parts, and the numbers behind each part.
fn score(page: &mut Page, peer: &PeerSnapshot) {
    /// Patterns that tell the parts apart without colour.
    const SIGNS: [char; 5] = ['█', '▓', '▒', '░', '+'];
    let (theme, score) = (page.theme, &peer.score);
    let styles = [
        theme.good(),
        theme.link(),
        theme.title(),
        theme.text(),
        theme.fair(),
    ];
    page.line(vec![
        Span::styled(format!("Score {:.2}", score.total), theme.title()),
        Span::styled(" of 1: reliability", theme.dim()),
    ]);
    if lied(peer) {
        let lies = peer.evidence.iter().filter(|one| one.outcome.is_lie());
        let lies = peer.basis.lies.max(lies.map(|one| one.count).sum());
        let text = format!(
            "✗ It LIED {}: it sent data that does not match its hash or signature. All of that \
             was discarded, and its score is at most {LIAR_CAP:.2} for {} days after a lie.",
            quantity(lies as usize, "time"),
            LIE_LASTS.as_secs() / 86_400
        );
        page.text(&text, theme.bad());
    }
    let room = page.width.saturating_sub(2).min(60);
    let mut spans = vec![Span::raw("▕")];
    let (mut sum, mut used) = (0.0, 0);
    for (((_, value), sign), style) in score.parts().into_iter().zip(SIGNS).zip(styles) {
        // Round the running sum, so that the whole bar is as long as the score says.
        sum += value;
        let end = ((sum.min(score.total) * room as f64).round() as usize).max(used);
        spans.push(Span::styled(sign.to_string().repeat(end - used), style));
        used = end;
    }
    spans.push(Span::raw(" ".repeat(room.saturating_sub(used))));
    spans.push(Span::raw("▏"));
    page.line(spans);
    for (((name, value), sign), style) in score.parts().into_iter().zip(SIGNS).zip(styles) {
        let mut page_of_part = Page::new(page.width.saturating_sub(2), theme);
        let head = format!("{name:<12} {value:.3}  ");
        let indent = head.chars().count();
        let text = peer.basis.describe(name);
        page_of_part.entry(indent, Span::raw(head), &text, theme.dim());
        for (number, mut line) in page_of_part.lines.into_iter().enumerate() {
            let sign = if number == 0 { sign } else { ' ' };
            line.spans
                .insert(0, Span::styled(format!("{sign} "), style));
            page.line(line);
        }
    }
}

/// Adds the peer's penalties and the time when they end.
fn faults(page: &mut Page, model: &Model, peer: &PeerSnapshot) {
    let theme = page.theme;
    let Some(sheet) = &peer.sheet else { return };
    let title =
        format!("Penalties (disconnect at {DISCONNECT} points, ban at {BAN}; halves every 10 min)");
    page.heading(&title);
    let style = if peer.ban(model.now).is_some() {
        theme.bad()
    } else {
        theme.fair()
    };
    page.text(&sheet.describe(model.now), style);
    for entry in sheet.log.iter().rev() {
        let ago = format!("{:>8} ago", Ago(model.now.since(entry.at)).to_string());
        let what = format!(
            "+{:.0}  {}: {}",
            entry.fault.points(),
            entry.fault.label(),
            entry.fault.hint()
        );
        timed(page, &ago, &what, theme.text());
    }
}

/// Adds an event with its time, wrapped if it is longer than the row.
fn timed(page: &mut Page, when: &str, what: &str, style: Style) {
    const WHEN: usize = 14;
    let when = Span::styled(when.to_owned(), page.theme.dim());
    page.entry(WHEN, when, what, style);
}

fn gossip(page: &mut Page, peer: &PeerSnapshot) {
    let mesh = if peer.in_mesh {
        "in the mesh: relays announcements at once"
    } else {
        "not in the mesh: gets message ids only"
    };
    let score = peer.gossip_score.map_or(String::new(), |score| {
        format!("; gossip score {score:.1} (excluded below 0)")
    });
    page.field("gossip", &format!("{mesh}{score}"));
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
    page.field_in("", &lately, page.theme.dim());
}

fn traffic(page: &mut Page, model: &Model, peer: &PeerSnapshot) {
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
    page.field("bytes", &text);
}

/// Adds the packages of the peer's publisher, as far as they are known here.
fn packages(page: &mut Page, model: &Model, peer: &PeerSnapshot) {
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
    page.field("publishes", &text);
    let sent = model
        .transfers
        .table
        .all()
        .filter(|one| matches!(one.id, TransferId::Fetch { .. }));
    let parts = sent.flat_map(|one| {
        let parts = one.peers.iter().filter(|part| part.peer == peer.id);
        parts.map(move |part| (one, part.part == Part::Lied, part.bytes))
    });
    let (lies, sent): (Vec<_>, Vec<_>) = parts.partition(|(_, lied, _)| *lied);
    let names = |parts: &mut dyn Iterator<Item = &Transfer>| {
        let names: Vec<String> = parts.take(8).map(|one| printable(&one.what)).collect();
        names.join(", ")
    };
    let mut good = sent.iter().filter(|(.., bytes)| *bytes > 0);
    let text = names(&mut good.by_ref().map(|(one, ..)| *one));
    if !text.is_empty() {
        page.field("sent you", &text);
    }
    let text = names(&mut lies.iter().map(|(one, ..)| *one));
    if !text.is_empty() {
        let text = format!("for {text}: false data (LIED), which was discarded");
        page.field_in("sent you", &text, page.theme.bad());
    }
}

fn evidence(page: &mut Page, model: &Model, peer: &PeerSnapshot) {
    let theme = page.theme;
    page.heading("Evidence, newest first");
    if peer.evidence.is_empty() {
        page.styled("none yet: it has not been asked anything", theme.dim());
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
        timed(page, &ago, &evidence.describe(), style);
    }
}

fn addresses(page: &mut Page, peer: &PeerSnapshot) {
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
        page.heading(title);
        if entries.is_empty() {
            page.styled("none known yet", page.theme.dim());
        }
        for entry in entries {
            page.text(&entry, page.theme.text());
        }
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

fn rtt(page: &mut Page, peer: &PeerSnapshot) {
    match peer.rtts_ms.last() {
        Some(last) => {
            let line = sparkline(&peer.rtts_ms, page.width.saturating_sub(30).min(24));
            page.field("round trip", &format!("{last:.2} ms {line}"));
        }
        None => page.field("round trip", "not measured yet"),
    }
}
