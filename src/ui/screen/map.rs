//! Map: where peers are, how good they are to ask, and who exchanges bytes. Without room for it, the same as a list.

use ratatui::{
    Frame,
    buffer::Buffer,
    layout::{Position, Rect},
    style::{Color, Modifier, Style},
    symbols::Marker,
    text::{Line, Span},
    widgets::{
        Widget,
        canvas::{self, Canvas, Context, MapResolution},
    },
};
use unicode_width::UnicodeWidthStr;

use super::{Areas, fitting, line, peers, sentences, status};
use crate::{
    bus::PeerSnapshot,
    domain::text::fit,
    ui::{
        model::{
            Model,
            map::{
                LIST, Tone,
                chart::Chart,
                cluster::Cluster,
                distance, label, name, place, round_trip,
                traffic::Traffic,
                view::{Point, View},
            },
        },
        theme::Theme,
        widget::{
            bar::bar,
            number::count,
            table::{self, Cell},
        },
    },
};

/// This node's own sign.
const ME: &str = "★";
/// Columns and rows of words from which on they stand in columns.
const ROOMY: (u16, u16) = (100, 7);
/// The first of the characters that have eight dots, in Unicode.
const DOTS: u32 = 0x2800;

pub fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme, areas: &Areas) {
    if model.peers.is_empty() {
        peers::alone(frame, model, theme, areas);
        return status(frame, model, areas, "", theme);
    }
    let Some(chart) = Chart::of(model, areas.body) else { return as_list(frame, model, theme, areas) };
    if model.peers.all().all(|peer| peer.location.is_none()) {
        nobody_says(frame, model, theme, areas.body);
    } else {
        world(frame.buffer_mut(), model, &chart, theme);
        if model.peers.rows().is_empty() {
            let text = " No peer has these words. Esc takes the filter off. ";
            let x = areas.body.x + areas.body.width.saturating_sub(text.width() as u16) / 2;
            let y = areas.body.y + areas.body.height / 2;
            frame.buffer_mut().set_string(x, y, text, theme.selected());
        }
    }
    words(frame, model, &chart, theme, areas.below);
    status(frame, model, areas, &figures(model, Some(&chart)), theme);
}

/// How many peers there are, and how many of them one sees.
fn figures(model: &Model, chart: Option<&Chart>) -> String {
    let rows = || model.peers.rows().iter().filter_map(|id| model.peers.get(id));
    let (known, shown) = (model.peers.len(), model.peers.rows().len());
    let placed = rows().filter(|peer| peer.location.is_some()).count();
    let mut parts = vec![count(shown as u64, "peer", "peers")];
    match known.saturating_sub(shown) {
        0 => {}
        hidden => parts.push(format!("{hidden} hidden by the filter")),
    }
    match shown.saturating_sub(placed) {
        0 => {}
        unknown => parts.push(format!("{unknown} with no known place")),
    }
    let mut text = parts.join(", ");
    if let Some(chart) = chart {
        let view = model.map.view.zoom;
        let seen = chart.in_view();
        if seen < placed {
            text.push_str(&format!(" · {seen} of {placed} in view, z shows all"));
        } else if view > View::WORLD.zoom {
            text.push_str(" · all of them in view, z shows the world");
        }
        if chart.home.is_none() && placed > 0 {
            text.push_str(" · where you are is not set: location in the settings");
        }
    }
    text
}

/// Peers are there, and none says where.
fn nobody_says(frame: &mut Frame<'_>, model: &Model, theme: Theme, area: Rect) {
    let key = |text: &str| Line::from(Span::styled(text.to_owned(), theme.key()));
    let own = model.node.as_ref().and_then(|node| node.location.as_ref());
    let mut lines = vec![
        Line::from(Span::styled("No peer says where it is, so there is nothing to draw.", theme.strong())),
        Line::default(),
        Line::from("A node tells its place only where its person wants it to: with this in its settings file"),
        key("location = \"52.5,13.4,Berlin\""),
        Line::from("or, for one run, with"),
        key("swarmdex --location 52.5,13.4,Berlin"),
        Line::default(),
    ];
    lines.push(Line::from(match own {
        Some(own) => format!("You tell that you are in {own}. Others appear once they tell theirs."),
        None => "It is rounded to about 11 km. All peers are on screen 1.".to_owned(),
    }));
    sentences(frame, area, lines);
}

/// The coast, the connections, the peers, and what is said of the selected one.
fn world(buffer: &mut Buffer, model: &Model, chart: &Chart, theme: Theme) {
    let traffic = model.traffic();
    coast(buffer, chart, theme);
    if let Some(home) = chart.home {
        let mut quiet = Vec::new();
        let mut busy = Vec::new();
        for (id, point) in &chart.peers {
            if model.peers.get(id).is_some_and(|peer| peer.connection.is_some()) {
                let of = if traffic.contains_key(id) { &mut busy } else { &mut quiet };
                of.push((home, *point));
            }
        }
        lines(buffer, chart, &quiet, theme.link(), theme);
        lines(buffer, chart, &busy, theme.title(), theme);
    }
    let selected = model.peers.current();
    let mut taken = Vec::new();
    for cluster in &chart.clusters {
        let peers: Vec<&PeerSnapshot> = chart.members(cluster).filter_map(|id| model.peers.get(&id)).collect();
        let level = peers.iter().filter_map(|peer| traffic.get(&peer.id)).max().copied().unwrap_or_default();
        let is_selected = selected.is_some_and(|one| peers.iter().any(|peer| peer.id == one.id));
        let is_marked = peers.iter().any(|peer| model.peers.marked.contains(&peer.id));
        taken.push(sign(buffer, chart, cluster, &peers, level, (is_selected, is_marked), theme));
    }
    if let Some((peer, cluster)) = selected.and_then(|peer| Some((peer, chart.cluster_of(&peer.id)?))) {
        beside(buffer, chart, cluster, &taken, &label(peer), theme);
    }
}

fn colour(style: Style) -> Color {
    style.fg.unwrap_or(Color::Reset)
}

/// Bounds of the canvas, so many turns of the globe to the west of the chart.
fn bounds(chart: &Chart, turns: f64) -> ([f64; 2], [f64; 2]) {
    let (grid, west) = (&chart.grid, chart.grid.left + turns * 360.0);
    ([west, west + grid.width()], [grid.top - grid.height(), grid.top])
}

/// Draws on the chart's cells, as often as the globe comes into view.
fn paint(buffer: &mut Buffer, chart: &Chart, theme: Theme, shapes: impl Fn(&mut Context<'_>)) {
    for turns in [-1.0, 0.0, 1.0] {
        let (x, y) = bounds(chart, turns);
        Canvas::default()
            .marker(Marker::Braille)
            .background_color(theme.ground().bg.unwrap_or(Color::Reset))
            .x_bounds(x)
            .y_bounds(y)
            .paint(&shapes)
            .render(chart.area, buffer);
    }
}

fn coast(buffer: &mut Buffer, chart: &Chart, theme: Theme) {
    let map = canvas::Map { resolution: MapResolution::High, color: colour(theme.dim()) };
    paint(buffer, chart, theme, |context| context.draw(&map));
    // Without colours it is the weight that tells the coast from a connection.
    buffer.set_style(chart.area, Style::new().add_modifier(theme.dim().add_modifier));
}

/// Straight lines, the short way round the globe, through the coast and not in its place.
fn lines(buffer: &mut Buffer, chart: &Chart, ends: &[(Point, Point)], style: Style, theme: Theme) {
    if ends.is_empty() {
        return;
    }
    let mut drawn = Buffer::empty(chart.area);
    paint(&mut drawn, chart, theme, |context| {
        for (from, to) in ends {
            let (east, north) = from.to(*to);
            // From either end, because the two may be in view on different turns of the globe.
            for (start, way) in [(from, 1.0), (to, -1.0)] {
                let (x, y) = (start.east, start.north);
                context.draw(&canvas::Line::new(x, y, x + way * east, y + way * north, colour(style)));
            }
        }
    });
    for position in chart.area.positions() {
        let Some(line) = drawn.cell(position).and_then(|cell| dots(cell.symbol())) else { continue };
        let Some(cell) = buffer.cell_mut(position) else { continue };
        let both = line | dots(cell.symbol()).unwrap_or(0);
        if let Some(symbol) = char::from_u32(DOTS + both) {
            cell.modifier.remove(Modifier::DIM);
            cell.set_char(symbol).set_style(style);
        }
    }
}

/// Which of its eight dots a character has.
fn dots(symbol: &str) -> Option<u32> {
    let c = symbol.chars().next().map_or(0, u32::from);
    c.checked_sub(DOTS).filter(|dots| *dots < 256)
}

pub(in crate::ui) fn tone_style(tone: Tone, theme: Theme) -> Style {
    match tone {
        Tone::Good => theme.good(),
        Tone::Fair => theme.fair(),
        Tone::Poor => theme.bad(),
        Tone::Away => theme.dim(),
    }
}

/// What stands before and after a sign, the more the more is exchanged.
fn brackets(level: Traffic) -> (&'static str, &'static str) {
    match level {
        Traffic::None => ("", ""),
        Traffic::Some => ("(", ")"),
        Traffic::Much => ("((", "))"),
    }
}

/// Draws one cluster; returns the cells it takes.
fn sign(
    buffer: &mut Buffer,
    chart: &Chart,
    cluster: &Cluster,
    peers: &[&PeerSnapshot],
    level: Traffic,
    (is_selected, is_marked): (bool, bool),
    theme: Theme,
) -> Rect {
    let (mut x, y) = (chart.area.x + cluster.column, chart.area.y + cluster.row);
    let mut put = |x: u16, text: &str, style: Style| {
        let style = style.remove_modifier(Modifier::DIM);
        for (at, c) in (x..chart.area.right()).zip(text.chars()) {
            if let Some(cell) = buffer.cell_mut(Position { x: at, y }) {
                cell.reset();
                cell.set_char(c).set_style(theme.ground()).set_style(style);
            }
        }
    };
    let start = x;
    if cluster.me {
        put(x, ME, theme.title());
        x += 1;
    }
    // How good this place is to ask is how good its best peer is.
    let tone = peers.iter().map(|peer| Tone::of(peer)).max().unwrap_or(Tone::Away);
    let text = match peers.len() {
        0 => String::new(),
        1 => tone.sign().to_owned(),
        count => count.to_string(),
    };
    let style = match (is_selected, is_marked) {
        (true, _) => theme.selected().add_modifier(Modifier::BOLD),
        (false, true) => theme.marked(),
        _ if tone == Tone::Away => theme.text(),
        _ => tone_style(tone, theme).add_modifier(Modifier::BOLD),
    };
    put(x, &text, style);
    let end = x + text.width() as u16;
    // Brackets only where nobody else is: no peer is hidden by how busy another one is.
    let free = |x: u16| {
        x.checked_sub(chart.area.x).is_some_and(|column| {
            column < chart.grid.columns && !chart.clusters.iter().any(|one| one.covers((column, cluster.row)))
        })
    };
    let (before, after) = brackets(level);
    let (mut from, mut to) = (start, end);
    let wide = before.len() as u16;
    if wide > 0 && (1..=wide).all(|n| start.checked_sub(n).is_some_and(free)) && (0..wide).all(|n| free(end + n)) {
        put(start - wide, before, style);
        put(end, after, style);
        (from, to) = (start - wide, end + wide);
    }
    Rect { x: from, y, width: to.saturating_sub(from), height: 1 }
}

/// Writes `text` beside a cluster: where it hides no other if there is such a place.
fn beside(buffer: &mut Buffer, chart: &Chart, cluster: &Cluster, taken: &[Rect], text: &str, theme: Theme) {
    let area = chart.area;
    let text = format!(" {text} ");
    let width = (text.width() as u16).min(area.width);
    let own = Rect { x: area.x + cluster.column, y: area.y + cluster.row, width: cluster.width(), height: 1 };
    let own = taken.iter().find(|rect| rect.y == own.y && rect.intersects(own)).copied().unwrap_or(own);
    let (right, left) = (own.right() + 1, own.x.checked_sub(width + 1));
    let level = [(Some(right), 0), (left, 0)];
    let aside = [1i32, -1, 2, -2].into_iter().flat_map(|rows| {
        let middle = own.x.saturating_sub(width / 2).clamp(area.x, area.right() - width);
        [(Some(right), rows), (left, rows), (Some(middle), rows)]
    });
    let places: Vec<Rect> = (level.into_iter().chain(aside))
        .filter_map(|(x, rows)| {
            let place = Rect { x: x?, y: u16::try_from(i32::from(own.y) + rows).ok()?, width, height: 1 };
            (area.union(place) == area).then_some(place)
        })
        .collect();
    let hides = |place: &&Rect| taken.iter().filter(|rect| rect.intersects(**place)).count();
    let Some(place) = places.iter().min_by_key(hides) else { return };
    let text = fit(&text, usize::from(place.width));
    for position in place.positions() {
        if let Some(cell) = buffer.cell_mut(position) {
            cell.reset();
        }
    }
    buffer.set_string(place.x, place.y, text, theme.selected());
}

/// Below the map: the selected peer, those whose place is not known, and what the signs mean.
fn words(frame: &mut Frame<'_>, model: &Model, chart: &Chart, theme: Theme, area: Rect) {
    let unplaced: Vec<&PeerSnapshot> = (model.peers.rows().iter())
        .filter_map(|id| model.peers.get(id))
        .filter(|peer| peer.location.is_none())
        .collect();
    if area.width >= ROOMY.0 && area.height >= ROOMY.1 {
        return in_columns(frame, model, chart, &unplaced, theme, area);
    }
    let row = |n: u16| Rect { y: area.bottom().saturating_sub(n), height: 1, ..area };
    let width = usize::from(area.width);
    if let Some(peer) = model.peers.current() {
        let facts = facts(model, chart, peer).into_iter().map(|(label, text)| match label {
            "state" => text,
            label => format!("{label} {text}"),
        });
        let tone = Tone::of(peer);
        let mut spans = vec![(format!("{} {}", tone.sign(), name(peer)), theme.strong())];
        spans.extend((tone != Tone::Away).then(|| (tone.label().to_owned(), tone_style(tone, theme))));
        spans.extend(facts.map(|fact| (fact, theme.text())));
        line(frame, row(3), fitting(spans, width, " · "));
    }
    let text = if unplaced.is_empty() {
        "The place of every peer is known.".to_owned()
    } else {
        format!("Place not known of {}: ", unplaced.len())
    };
    let mut spans = vec![(text, theme.dim())];
    spans.extend(named(model, &unplaced, width.saturating_sub(24), theme));
    line(frame, row(2), spans.into_iter().map(|(text, style)| Span::styled(text, style)).collect());
    let signs =
        legend(chart, true, theme).into_iter().map(|(sign, style, text)| vec![(sign, style), (text, theme.dim())]);
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

/// Names one after the other, as many as there is room for, and how many more there are.
fn named(model: &Model, peers: &[&PeerSnapshot], room: usize, theme: Theme) -> Vec<(String, Style)> {
    let selected = model.peers.current().map(|peer| peer.id);
    let (mut out, mut left) = (Vec::new(), room);
    for (at, peer) in peers.iter().enumerate() {
        let text = fit(&format!("{} {}", Tone::of(peer).sign(), name(peer)), 26);
        let more = format!("and {} more", peers.len() - at);
        let last = at + 1 == peers.len();
        if text.width() + 2 + if last { 0 } else { more.width() + 2 } > left {
            out.push((more, theme.dim()));
            break;
        }
        left -= text.width() + 2;
        out.push((text, if selected == Some(peer.id) { theme.selected() } else { tone_style(Tone::of(peer), theme) }));
        if !last {
            out.push(("  ".to_owned(), theme.text()));
        }
    }
    out
}

/// What is known of a peer, each with what it is.
fn facts(model: &Model, chart: &Chart, peer: &PeerSnapshot) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    if let Some(cluster) = chart.cluster_of(&peer.id).filter(|cluster| cluster.peers.len() > 1) {
        out.push(("one of", format!("{} here, n steps on", cluster.peers.len())));
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
        None | Some(Traffic::None) => ("bytes", "none lately".to_owned()),
        Some(Traffic::Some) => ("bytes", "some in the last minute".to_owned()),
        Some(Traffic::Much) => ("bytes", "over 1 MiB in the last minute".to_owned()),
    });
    out
}

/// Each sign with what it means; the shorter words where there is little room.
fn legend(chart: &Chart, short: bool, theme: Theme) -> Vec<(String, Style, String)> {
    let mut out = Vec::new();
    let mut say = |sign: &str, style: Style, long: &str, brief: &str| {
        out.push((sign.to_owned(), style, if short { brief } else { long }.to_owned()));
    };
    if chart.home.is_some() {
        say(ME, theme.title(), "you", "you");
    }
    for tone in Tone::ALL {
        let long = match tone {
            Tone::Good => "good to ask: score 0.50 and more",
            Tone::Fair => "fair: 0.15 and more",
            Tone::Poor => "poor: below 0.15",
            Tone::Away => "known, not connected",
        };
        let brief = if tone == Tone::Away { "away" } else { tone.label() };
        say(tone.sign(), tone_style(tone, theme), long, brief);
    }
    say("3", theme.strong(), "so many peers in one place", "peers");
    say("(●)", theme.strong(), "bytes to or from you in the last minute", "bytes");
    if !short {
        say("((●))", theme.strong(), "over 1 MiB of them", "");
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
    let area = Rect { y: area.y + 1, height: area.height - 1, ..area };
    let gap = 3;
    let signs = 46.min(area.width / 2);
    let each = (area.width - signs - 2 * gap) / 2;
    let column = |x: u16, width: u16| Rect { x: area.x + x, width, ..area };
    let mut put = |area: Rect, lines: Vec<Vec<(String, Style)>>| {
        for (y, spans) in (area.y..area.bottom()).zip(lines) {
            let mut left = usize::from(area.width);
            let spans = spans.into_iter().map(|(text, style)| {
                let text = fit(&text, left);
                left -= text.width();
                Span::styled(text, style)
            });
            line(frame, Rect { y, height: 1, ..area }, spans.collect());
        }
    };

    let mut about = Vec::new();
    if let Some(peer) = model.peers.current() {
        let field =
            |label: &str, text: String, style: Style| vec![(format!("{label:<12}"), theme.dim()), (text, style)];
        about.push(vec![(name(peer), theme.strong()), ("   Enter tells all of it".to_owned(), theme.dim())]);
        let far = distance(peer).map(|far| format!(", {far} from you")).unwrap_or_default();
        let place = place(peer).map_or("not known".to_owned(), |place| format!("{place}{far}"));
        about.push(field("place", place, theme.text()));
        let (score, tone) = (peer.score.total, Tone::of(peer));
        let word = if tone == Tone::Away { "" } else { tone.label() };
        about.push(field("score", format!("{} {score:.2} {word}", bar(score, 10)), tone_style(tone, theme)));
        let trip = round_trip(peer).unwrap_or_else(|| "none".to_owned());
        about.push(field("round trip", trip, theme.text()));
        about.extend(facts(model, chart, peer).into_iter().map(|(label, text)| field(label, text, theme.text())));
    }
    put(column(0, each), about);

    let mut names = vec![match unplaced.len() {
        0 => vec![("The place of every peer is known.".to_owned(), theme.dim())],
        count => vec![(format!("Place not known of {count}:"), theme.strong())],
    }];
    let room = usize::from(area.height.saturating_sub(2));
    let selected = model.peers.current().map(|peer| peer.id);
    let fits = if unplaced.len() <= room { unplaced.len() } else { room.saturating_sub(1) };
    // The selected one is always among those that are named.
    let at = unplaced.iter().position(|peer| Some(peer.id) == selected).unwrap_or(0);
    let first = (at + 1).saturating_sub(fits.max(1));
    for peer in unplaced.iter().skip(first).take(fits) {
        let tone = Tone::of(peer);
        let style = if selected == Some(peer.id) { theme.selected() } else { tone_style(tone, theme) };
        names.push(vec![(format!("{} {}", tone.sign(), name(peer)), style)]);
    }
    if fits < unplaced.len() {
        names.push(vec![(format!("and {} more: n and p step through all", unplaced.len() - fits), theme.dim())]);
    }
    put(column(each + gap, each), names);

    let signs_of = |(sign, style, text): (String, Style, String)| {
        let pad = " ".repeat(6usize.saturating_sub(sign.width()));
        vec![(sign, style), (format!("{pad}{text}"), theme.dim())]
    };
    put(column(2 * (each + gap), signs), legend(chart, false, theme).into_iter().map(signs_of).collect());
}

/// The same as rows of a table.
fn as_list(frame: &mut Frame<'_>, model: &Model, theme: Theme, areas: &Areas) {
    let list = &model.peers;
    let cell = |peer: &PeerSnapshot, column: &'static str| in_list(model, peer, column, theme);
    table::draw_columns(frame.buffer_mut(), areas.body, list, &LIST, theme, cell, |_, _| Vec::new());
    if list.rows().is_empty() {
        let text = "No peer has these words. Esc in the list takes the filter off.";
        sentences(frame, areas.body, vec![Line::default(), Line::from(text)]);
    }
    status(frame, model, areas, &figures(model, None), theme);
}

fn in_list(model: &Model, peer: &PeerSnapshot, column: &'static str, theme: Theme) -> Cell {
    let here = peer.connection.is_some();
    match column {
        "peer" => (name(peer), if here { theme.strong() } else { theme.dim() }),
        "place" => match place(peer) {
            Some(place) => (place, if here { theme.text() } else { theme.dim() }),
            None => ("not known".to_owned(), theme.dim()),
        },
        column => peers::cell(model, peer, column, theme),
    }
}
