//! The Peers screen: known peers and their scores.

use ratatui::{
    Frame,
    text::{Line, Span},
};

use super::{Areas, no_match, sentences, status, table_status};
use crate::{
    bus::PeerSnapshot,
    domain::{geo::provenance::LocationSource, name::short_id},
    ui::{
        action::{Action, Screen},
        model::{
            Model,
            peers::{SPARK, address, direction, lied, seen, state},
        },
        theme::Theme,
        widget::{
            bar::{bar, sparkline},
            table::{self, Cell},
        },
    },
};

pub fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme, areas: &Areas) {
    let peers = &model.peers;
    if peers.is_empty() {
        alone(frame, model, theme, areas);
        return status(frame, model, areas, "", theme);
    }
    table::draw(
        frame.buffer_mut(),
        areas.body,
        peers,
        theme,
        |peer, column| cell(model, peer, column, theme),
    );
    if peers.rows().is_empty() {
        let text = no_match(model, "peer");
        sentences(frame, areas.body, vec![Line::default(), Line::from(text)]);
    }
    table_status(frame, model, areas, ["peer", "peers"], theme);
}

pub(super) fn cell(model: &Model, peer: &PeerSnapshot, column: &str, theme: Theme) -> Cell {
    let here = peer.connection.is_some();
    let plain = if here { theme.text() } else { theme.dim() };
    let liar = lied(peer);
    match column {
        "state" => {
            let (sign, style) = match (here, peer.in_mesh) {
                _ if liar => ("✗", theme.bad()),
                _ if peer.ban(model.now).is_some() => ("⊘", theme.bad()),
                (true, true) => ("◆", theme.good()),
                (true, false) => ("●", theme.good()),
                (false, _) => ("○", theme.dim()),
            };
            (format!("{sign} {}", state(peer, model.now)), style)
        }
        "peer" if liar => (short_id(&peer.id), theme.bad()),
        "peer" => (short_id(&peer.id), plain),
        "handle" => {
            let text = model.owner_of(peer);
            let style = match here {
                _ if liar || text.starts_with('!') => theme.bad(),
                true => theme.strong(),
                false => theme.dim(),
            };
            (text, style)
        }
        "rtt" => (
            peer.rtts_ms
                .last()
                .filter(|_| here)
                .map_or(String::new(), |ms| format!("{ms:.1} ms")),
            plain,
        ),
        "trend" => (
            if here {
                sparkline(&peer.rtts_ms, SPARK)
            } else {
                String::new()
            },
            theme.link(),
        ),
        "score" if peer.ban(model.now).is_some() => ("banned".to_owned(), theme.bad()),
        "score" => {
            let score = peer.score.total;
            (
                format!("{} {score:.2}", bar(score, 5)),
                match here {
                    _ if liar => theme.bad(),
                    true => theme.share(score),
                    false => theme.dim(),
                },
            )
        }
        "place" => match (&peer.location, peer.provenance()) {
            (Some(_), from) if from.is_implausible() => ("✗ impossible".to_owned(), theme.bad()),
            (Some(place), from) => (from.mark(place), plain),
            (None, from) if from.source == LocationSource::Local => {
                ("local".to_owned(), theme.dim())
            }
            (None, _) => (String::new(), plain),
        },
        "distance" => {
            let about = if peer.provenance().approximate {
                "~"
            } else {
                ""
            };
            (
                peer.distance_km
                    .map_or(String::new(), |km| format!("{about}{km:.0} km")),
                plain,
            )
        }
        "packages" => (
            peer.packages
                .map_or(String::new(), |count| count.to_string()),
            plain,
        ),
        "seen" => (seen(peer, model.now), plain),
        "direction" => (direction(peer).to_owned(), plain),
        "agent" => (peer.agent.clone().unwrap_or_default(), theme.dim()),
        _ => (address(peer).to_owned(), theme.dim()),
    }
}

/// Draws the screen of a node without peers: its own identity, and three suggestions.
pub(super) fn alone(frame: &mut Frame<'_>, model: &Model, theme: Theme, areas: &Areas) {
    let strong = |text: String| Line::from(Span::styled(text, theme.strong()));
    let mut lines = Vec::new();
    match &model.node {
        None => lines.push(Line::from("The node is starting…")),
        Some(_) if model.demo => lines.push(Line::from(
            "The other nodes of the demo are starting; they appear here in a moment.",
        )),
        Some(node) => {
            let me = node
                .handle
                .as_ref()
                .map_or_else(|| short_id(&node.peer_id), ToString::to_string);
            lines.push(strong(format!(
                "You are {me} in network {}. No other peer is connected yet.",
                node.network
            )));
            lines.push(Line::default());
            // Addresses that others can reach come first.
            let address = node.addresses.first();
            let here_only = address.is_some_and(|address| {
                address.contains("/127.") || address.starts_with("/ip6/::1/")
            });
            let from = if here_only {
                "this machine"
            } else {
                "elsewhere"
            };
            if node.mdns && !here_only {
                lines.push(Line::from(
                    "1  Meet other nodes. On a local network they find each other (mDNS);",
                ));
                lines.push(Line::from("   from elsewhere, they can join this one:"));
            } else {
                lines.push(Line::from(format!(
                    "1  Meet other nodes. From {from}, they can join this one:"
                )));
            }
            if let Some(address) = address {
                lines.push(Line::from(Span::styled(
                    format!("swarmdex --bootstrap {address}"),
                    theme.key(),
                )));
            }
            lines.push(Line::default());
            let key = |action, screen| model.key(action, screen);
            lines.push(Line::from(format!(
                "2  Publish something: press {}, then {}. It is announced once a peer connects.",
                key(Action::Go(Screen::Publish), model.screen),
                key(Action::NewPackage, Screen::Publish)
            )));
            lines.push(Line::default());
            lines.push(Line::from(format!(
                "3  See a whole swarm on this machine: press {}, then run swarmdex demo",
                key(Action::Quit, model.screen)
            )));
        }
    }
    sentences(frame, areas.body, lines);
}
