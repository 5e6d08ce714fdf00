//! Text below the map: the selected peer, peers without a location, and the legend.

use ratatui::{Frame, layout::Rect, style::Style, text::Span};
use unicode_width::UnicodeWidthStr;

use super::{
    super::{fitting, line},
    ME, tone_style,
};
use crate::{
    bus::PeerSnapshot,
    domain::text::fit,
    ui::{
        action::{Action, Screen},
        model::{
            Model,
            map::{
                IMPLAUSIBLE, Tone, chart::Chart, distance, name, place, round_trip, sign,
                traffic::TrafficLevel,
            },
        },
        theme::Theme,
        widget::{bar::bar, number::count},
    },
};

/// Columns and rows from which the text is set in columns.
const ROOMY: (u16, u16) = (100, 7);

/// Draws the text below the map.
pub fn draw(frame: &mut Frame<'_>, model: &Model, chart: &Chart, theme: Theme, area: Rect) {
    let unplaced: Vec<&PeerSnapshot> = (model.peers.rows().iter())
        .filter_map(|id| model.peers.get(id))
        .filter(|peer| peer.location.is_none())
        .collect();
    if area.width >= ROOMY.0 && area.height >= ROOMY.1 {
        return in_columns(frame, model, chart, &unplaced, theme, area);
    }
    let row = |n: u16| Rect {
        y: area.bottom().saturating_sub(n),
        height: 1,
        ..area
    };
    let width = usize::from(area.width);
    if let Some(peer) = model.peers.current() {
        let facts = facts(model, chart, peer)
            .into_iter()
            .map(|(label, text)| match label {
                "state" => text,
                label => format!("{label} {text}"),
            });
        let tone = Tone::of(peer, model.now);
        let mut spans = vec![(
            format!("{} {}", sign(peer, model.now), name(peer)),
            theme.strong(),
        )];
        spans.extend(
            (tone != Tone::Away).then(|| (tone.label().to_owned(), tone_style(tone, theme))),
        );
        spans.extend(facts.map(|fact| (fact, theme.text())));
        line(frame, row(3), fitting(spans, width, " · "));
    }
    let text = if unplaced.is_empty() {
        String::new()
    } else {
        format!("Unknown location ({}): ", unplaced.len())
    };
    let mut spans = vec![(text, theme.dim())];
    spans.extend(named(model, &unplaced, width.saturating_sub(24), theme));
    line(
        frame,
        row(2),
        spans
            .into_iter()
            .map(|(text, style)| Span::styled(text, style))
            .collect(),
    );
    let signs = legend(model, chart, true, theme)
        .into_iter()
        .map(|(sign, style, text)| vec![(sign, style), (text, theme.dim())]);
    let mut spans = Vec::new();
    let mut left = width;
    for sign in signs {
        let needed = sign.iter().map(|(text, _)| text.width() + 1).sum::<usize>() + 1;
        if needed > left + 2 {
            continue;
        }
        left = left.saturating_sub(needed);
        for (text, style) in sign {
            spans.push(Span::styled(text, style));
            spans.push(Span::raw(" "));
        }
        spans.push(Span::raw(" "));
    }
    line(frame, row(1), spans);
}

/// Lists as many names as fit, and counts the others.
fn named(
    model: &Model,
    peers: &[&PeerSnapshot],
    room: usize,
    theme: Theme,
) -> Vec<(String, Style)> {
    let selected = model.peers.current().map(|peer| peer.id);
    let (mut out, mut left) = (Vec::new(), room);
    for (at, peer) in peers.iter().enumerate() {
        let text = fit(&format!("{} {}", sign(peer, model.now), name(peer)), 28);
        let more = format!("and {} more", peers.len() - at);
        let last = at + 1 == peers.len();
        if text.width() + 2 + if last { 0 } else { more.width() + 2 } > left {
            out.push((more, theme.dim()));
            break;
        }
        left -= text.width() + 2;
        out.push((
            text,
            if selected == Some(peer.id) {
                theme.selected()
            } else {
                tone_style(Tone::of(peer, model.now), theme)
            },
        ));
        if !last {
            out.push(("  ".to_owned(), theme.text()));
        }
    }
    out
}

/// Lists the known facts about a peer, each with a label.
fn facts(model: &Model, chart: &Chart, peer: &PeerSnapshot) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    if let Some(cluster) = chart
        .cluster_of(&peer.id)
        .filter(|cluster| cluster.peers.len() > 1)
    {
        let next = model.key(Action::NextPeer(1), Screen::Map);
        out.push((
            "cluster",
            format!("{} peers here; {next}: next", cluster.peers.len()),
        ));
    }
    let state = match (peer.connection.is_some(), peer.in_mesh) {
        (true, true) => "connected, in the gossip mesh",
        (true, false) => "connected",
        (false, _) => "not connected",
    };
    out.push(("state", state.to_owned()));
    if let Some(packages) = peer.packages {
        out.push(("has", count(packages, "package", "packages")));
    }
    let traffic = model.traffic();
    out.push(match traffic.get(&peer.id) {
        None | Some(TrafficLevel::None) => ("bytes", "none in the last minute".to_owned()),
        Some(TrafficLevel::Some) => ("bytes", "< 1 MiB/min".to_owned()),
        Some(TrafficLevel::Much) => ("bytes", "≥ 1 MiB/min".to_owned()),
    });
    out
}

/// Explains each sign on the map, in shorter words if there is little room.
fn legend(model: &Model, chart: &Chart, short: bool, theme: Theme) -> Vec<(String, Style, String)> {
    let mut out = Vec::new();
    let mut say = |sign: &str, style: Style, long: &str, brief: &str| {
        out.push((
            sign.to_owned(),
            style,
            if short { brief } else { long }.to_owned(),
        ));
    };
    if chart.home.is_some() {
        say(ME, theme.title(), "you", "you");
    }
    let some = |test: &dyn Fn(&PeerSnapshot) -> bool| {
        model
            .peers
            .rows()
            .iter()
            .filter_map(|id| model.peers.get(id))
            .any(test)
    };
    let banned = some(&|peer| Tone::of(peer, model.now) == Tone::Banned);
    for tone in Tone::ALL
        .into_iter()
        .filter(|tone| *tone != Tone::Banned || banned)
    {
        let long = match tone {
            Tone::Good => "reliable: score 0.50 or more",
            Tone::Fair => "fair: 0.15 or more",
            Tone::Poor => "poor: below 0.15",
            Tone::Away => "known, not connected",
            Tone::Banned => "banned",
        };
        let brief = if tone == Tone::Away {
            "away"
        } else {
            tone.label()
        };
        say(tone.sign(), tone_style(tone, theme), long, brief);
    }
    // Explain rare signs only if they are in view.
    if some(&|peer| peer.location.is_some() && peer.provenance().is_implausible()) {
        say(
            IMPLAUSIBLE,
            theme.bad(),
            "claimed location impossible at this ping",
            "impossible",
        );
    }
    if some(&|peer| peer.location.is_some() && peer.provenance().approximate) {
        say(
            "~",
            theme.strong(),
            "approximate: country only",
            "approximate",
        );
    }
    say("3", theme.strong(), "number of peers here", "peers");
    say(
        "(●)",
        theme.strong(),
        "traffic with you: < 1 MiB/min",
        "bytes",
    );
    if !short {
        say("((●))", theme.strong(), "traffic with you: ≥ 1 MiB/min", "");
    }
    if chart.home.is_some() {
        say("⠤⠤", theme.link(), "connected to you", "connected");
    }
    out
}

fn in_columns(
    frame: &mut Frame<'_>,
    model: &Model,
    chart: &Chart,
    unplaced: &[&PeerSnapshot],
    theme: Theme,
    area: Rect,
) {
    let area = Rect {
        y: area.y + 1,
        height: area.height - 1,
        ..area
    };
    let gap = 3;
    let signs = 46.min(area.width / 2);
    let each = (area.width - signs - 2 * gap) / 2;
    let column = |x: u16, width: u16| Rect {
        x: area.x + x,
        width,
        ..area
    };
    let mut put = |area: Rect, lines: Vec<Vec<(String, Style)>>| {
        for (y, spans) in (area.y..area.bottom()).zip(lines) {
            let mut left = usize::from(area.width);
            let spans = spans.into_iter().map(|(text, style)| {
                let text = fit(&text, left);
                left -= text.width();
                Span::styled(text, style)
            });
            line(
                frame,
                Rect {
                    y,
                    height: 1,
                    ..area
                },
                spans.collect(),
            );
        }
    };

    let mut about = Vec::new();
    if let Some(peer) = model.peers.current() {
        let field = |label: &str, text: String, style: Style| {
            vec![(format!("{label:<12}"), theme.dim()), (text, style)]
        };
        about.push(vec![
            (name(peer), theme.strong()),
            (
                format!("   {}: details", model.key(Action::Open, Screen::Map)),
                theme.dim(),
            ),
        ]);
        let far = distance(peer)
            .map(|far| format!(", {far} from you"))
            .unwrap_or_default();
        let from = peer
            .location
            .as_ref()
            .map(|_| format!(" ({})", peer.provenance().brief()))
            .unwrap_or_default();
        let place = place(peer).map_or("unknown".to_owned(), |place| format!("{place}{far}{from}"));
        about.push(field("location", place, theme.text()));
        let (score, tone) = (peer.score.total, Tone::of(peer, model.now));
        let word = if tone == Tone::Away { "" } else { tone.label() };
        about.push(field(
            "score",
            format!("{} {score:.2} {word}", bar(score, 10)),
            tone_style(tone, theme),
        ));
        let trip = round_trip(peer).unwrap_or_else(|| "none".to_owned());
        about.push(field("round trip", trip, theme.text()));
        about.extend(
            facts(model, chart, peer)
                .into_iter()
                .map(|(label, text)| field(label, text, theme.text())),
        );
    }
    put(column(0, each), about);

    let mut names = vec![match unplaced.len() {
        0 => vec![(String::new(), theme.dim())],
        count => vec![(format!("Unknown location ({count}):"), theme.strong())],
    }];
    let room = usize::from(area.height.saturating_sub(2));
    let selected = model.peers.current().map(|peer| peer.id);
    let fits = if unplaced.len() <= room {
        unplaced.len()
    } else {
        room.saturating_sub(1)
    };
    // The selected peer is always among those named.
    let at = unplaced
        .iter()
        .position(|peer| Some(peer.id) == selected)
        .unwrap_or(0);
    let first = (at + 1).saturating_sub(fits.max(1));
    for peer in unplaced.iter().skip(first).take(fits) {
        let tone = Tone::of(peer, model.now);
        let style = if selected == Some(peer.id) {
            theme.selected()
        } else {
            tone_style(tone, theme)
        };
        names.push(vec![(
            format!("{} {}", sign(peer, model.now), name(peer)),
            style,
        )]);
    }
    if fits < unplaced.len() {
        names.push(vec![(
            format!(
                "and {} more ({} and {}: step through all)",
                unplaced.len() - fits,
                model.key(Action::NextPeer(1), Screen::Map),
                model.key(Action::NextPeer(-1), Screen::Map)
            ),
            theme.dim(),
        )]);
    }
    put(column(each + gap, each), names);

    let signs_of = |(sign, style, text): (String, Style, String)| {
        let pad = " ".repeat(6usize.saturating_sub(sign.width()));
        vec![(sign, style), (format!("{pad}{text}"), theme.dim())]
    };
    put(
        column(2 * (each + gap), signs),
        legend(model, chart, false, theme)
            .into_iter()
            .map(signs_of)
            .collect(),
    );
}
