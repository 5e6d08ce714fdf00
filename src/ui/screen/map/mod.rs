//! The Map screen: the locations, scores and traffic of peers. Without room for a map, it is a
//! list.

mod words;

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

use super::{Areas, no_match, peers, sentences, status};
use crate::{
    bus::PeerSnapshot,
    domain::text::fit,
    ui::{
        action::{Action, Screen},
        model::{
            Model,
            map::{
                IMPLAUSIBLE, LIST, Tone,
                chart::Chart,
                cluster::Cluster,
                label, name, place, sign,
                traffic::TrafficLevel,
                view::{Point, View},
            },
        },
        theme::Theme,
        widget::{
            number::count,
            table::{self, Cell},
        },
    },
};

/// Sign of this node.
const ME: &str = "★";
/// First of Unicode's braille patterns, each of which has up to eight dots.
const DOTS: u32 = 0x2800;

pub fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme, areas: &Areas) {
    if model.peers.is_empty() {
        peers::alone(frame, model, theme, areas);
        return status(frame, model, areas, "", theme);
    }
    let Some(chart) = Chart::of(model, areas.body) else {
        return as_list(frame, model, theme, areas);
    };
    if model.peers.all().all(|peer| peer.location.is_none()) {
        nobody_says(frame, model, theme, areas.body);
    } else {
        world(frame.buffer_mut(), model, &chart, theme);
        if model.peers.rows().is_empty() {
            let text = format!(" {} ", no_match(model, "peer"));
            let x = areas.body.x + areas.body.width.saturating_sub(text.width() as u16) / 2;
            let y = areas.body.y + areas.body.height / 2;
            frame.buffer_mut().set_string(x, y, &text, theme.selected());
        }
    }
    words::draw(frame, model, &chart, theme, areas.below);
    status(frame, model, areas, &figures(model, Some(&chart)), theme);
}

/// Counts the peers, and those in view.
fn figures(model: &Model, chart: Option<&Chart>) -> String {
    let rows = || {
        model
            .peers
            .rows()
            .iter()
            .filter_map(|id| model.peers.get(id))
    };
    let (known, shown) = (model.peers.len(), model.peers.rows().len());
    let placed = rows().filter(|peer| peer.location.is_some()).count();
    let mut parts = vec![count(shown as u64, "peer", "peers")];
    match known.saturating_sub(shown) {
        0 => {}
        hidden => parts.push(format!("{hidden} hidden by the filter")),
    }
    match shown.saturating_sub(placed) {
        0 => {}
        unknown => parts.push(format!("{unknown} without a location")),
    }
    let mut text = parts.join(", ");
    if let Some(chart) = chart {
        let view = model.map.view.zoom;
        let fit = model.key(Action::Fit, Screen::Map);
        let seen = chart.in_view();
        if seen < placed {
            text.push_str(&format!(" · {seen} of {placed} in view, {fit} shows all"));
        } else if view > View::WORLD.zoom {
            text.push_str(&format!(" · all in view, {fit} shows the world"));
        }
        if chart.home.is_none() && placed > 0 {
            text.push_str(" · your location is not set (setting: location)");
        }
    }
    text
}

/// Explains an empty map: there are peers, but their locations are unknown.
fn nobody_says(frame: &mut Frame<'_>, model: &Model, theme: Theme, area: Rect) {
    let key = |text: &str| Line::from(Span::styled(text.to_owned(), theme.key()));
    let own = model.node.as_ref().and_then(|node| node.location.as_ref());
    let mut lines = vec![
        Line::from(Span::styled(
            "No peer has declared its location, so the map is empty.",
            theme.strong(),
        )),
        Line::default(),
        Line::from("A node declares its location only if you ask it to, in the settings file:"),
        key("location = \"52.5,13.4,Berlin\""),
        Line::from("or, for one run:"),
        key("swarmdex --location 52.5,13.4,Berlin"),
        Line::default(),
    ];
    lines.push(Line::from(match own {
        Some(own) => {
            format!("Your location is {own}. Other peers appear once they declare theirs.")
        }
        None => format!(
            "It is rounded to about 11 km. {} lists all peers.",
            model.key(Action::Go(Screen::Peers), Screen::Map)
        ),
    }));
    sentences(frame, area, lines);
}

/// Draws the coast, connections, peers, and the label of the selected peer.
fn world(buffer: &mut Buffer, model: &Model, chart: &Chart, theme: Theme) {
    let traffic = model.traffic();
    coast(buffer, chart, theme);
    if let Some(home) = chart.home {
        let mut quiet = Vec::new();
        let mut busy = Vec::new();
        for (id, point) in &chart.peers {
            if model
                .peers
                .get(id)
                .is_some_and(|peer| peer.connection.is_some())
            {
                let of = if traffic.contains_key(id) {
                    &mut busy
                } else {
                    &mut quiet
                };
                of.push((home, *point));
            }
        }
        lines(buffer, chart, &quiet, theme.link(), theme);
        lines(buffer, chart, &busy, theme.title(), theme);
    }
    let selected = model.peers.current();
    let mut taken = Vec::new();
    for cluster in &chart.clusters {
        let peers: Vec<&PeerSnapshot> = chart
            .members(cluster)
            .filter_map(|id| model.peers.get(&id))
            .collect();
        let level = peers
            .iter()
            .filter_map(|peer| traffic.get(&peer.id))
            .max()
            .copied()
            .unwrap_or_default();
        taken.push(put(
            buffer,
            chart,
            cluster,
            looks(model, &peers, theme),
            level,
            theme,
        ));
    }
    if let Some((peer, cluster)) =
        selected.and_then(|peer| Some((peer, chart.cluster_of(&peer.id)?)))
    {
        label_beside(buffer, chart, cluster, &taken, &label(peer), theme);
    }
}

fn colour(style: Style) -> Color {
    style.fg.unwrap_or(Color::Reset)
}

/// Returns the bounds of a canvas that is `turns` times around the globe to the west of the chart.
fn bounds(chart: &Chart, turns: f64) -> ([f64; 2], [f64; 2]) {
    let (grid, west) = (&chart.grid, chart.grid.left + turns * 360.0);
    (
        [west, west + grid.width()],
        [grid.top - grid.height(), grid.top],
    )
}

/// Draws shapes on the chart's cells, once for each time that the globe comes into view.
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
    let map = canvas::Map {
        resolution: MapResolution::High,
        color: colour(theme.dim()),
    };
    paint(buffer, chart, theme, |context| context.draw(&map));
    // Without colours, weight distinguishes the coast from connections.
    buffer.set_style(
        chart.area,
        Style::new().add_modifier(theme.dim().add_modifier),
    );
}

/// Draws straight lines, the short way around the globe, on top of the coast's dots.
fn lines(buffer: &mut Buffer, chart: &Chart, ends: &[(Point, Point)], style: Style, theme: Theme) {
    if ends.is_empty() {
        return;
    }
    let mut drawn = Buffer::empty(chart.area);
    paint(&mut drawn, chart, theme, |context| {
        for (from, to) in ends {
            let (east, north) = from.to(*to);
            // Draw from both ends: they may be in view on different turns of the globe.
            for (start, way) in [(from, 1.0), (to, -1.0)] {
                let (x, y) = (start.east, start.north);
                context.draw(&canvas::Line::new(
                    x,
                    y,
                    x + way * east,
                    y + way * north,
                    colour(style),
                ));
            }
        }
    });
    for position in chart.area.positions() {
        let Some(line) = drawn.cell(position).and_then(|cell| dots(cell.symbol())) else {
            continue;
        };
        let Some(cell) = buffer.cell_mut(position) else {
            continue;
        };
        let both = line | dots(cell.symbol()).unwrap_or(0);
        if let Some(symbol) = char::from_u32(DOTS + both) {
            cell.modifier.remove(Modifier::DIM);
            cell.set_char(symbol).set_style(style);
        }
    }
}

/// Returns the dots of a braille pattern as bits.
fn dots(symbol: &str) -> Option<u32> {
    let c = symbol.chars().next().map_or(0, u32::from);
    c.checked_sub(DOTS).filter(|dots| *dots < 256)
}

fn tone_style(tone: Tone, theme: Theme) -> Style {
    match tone {
        Tone::Good => theme.good(),
        Tone::Fair => theme.fair(),
        Tone::Poor | Tone::Banned => theme.bad(),
        Tone::Away => theme.dim(),
    }
}

/// Returns the brackets around a sign; more traffic gives stronger ones.
fn brackets(level: TrafficLevel) -> (&'static str, &'static str) {
    match level {
        TrafficLevel::None => ("", ""),
        TrafficLevel::Some => ("(", ")"),
        TrafficLevel::Much => ("((", "))"),
    }
}

/// Returns the sign of a cluster of peers, and its style.
fn looks(model: &Model, peers: &[&PeerSnapshot], theme: Theme) -> (String, Style) {
    let selected = model.peers.current().map(|peer| peer.id);
    // A cluster is as good as its best peer.
    let tone = peers
        .iter()
        .map(|peer| Tone::of(peer, model.now))
        .max()
        .unwrap_or(Tone::Away);
    let text = match peers {
        [] => String::new(),
        [peer] => sign(peer, model.now).to_owned(),
        peers => peers.len().to_string(),
    };
    let style = if peers.iter().any(|peer| Some(peer.id) == selected) {
        theme.selected().add_modifier(Modifier::BOLD)
    } else if peers
        .iter()
        .any(|peer| model.peers.marked.contains(&peer.id))
    {
        theme.marked()
    } else if text == IMPLAUSIBLE {
        theme.bad()
    } else if tone == Tone::Away {
        theme.text()
    } else {
        tone_style(tone, theme).add_modifier(Modifier::BOLD)
    };
    (text, style)
}

/// Draws a cluster, and returns the cells that it covers.
fn put(
    buffer: &mut Buffer,
    chart: &Chart,
    cluster: &Cluster,
    (text, style): (String, Style),
    level: TrafficLevel,
    theme: Theme,
) -> Rect {
    let (mut x, y) = (chart.area.x + cluster.column, chart.area.y + cluster.row);
    let mut write = |x: u16, text: &str, style: Style| {
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
        write(x, ME, theme.title());
        x += 1;
    }
    write(x, &text, style);
    let end = x + text.width() as u16;
    // Draw brackets only on free cells: traffic must not hide another peer.
    let free = |x: u16| {
        x.checked_sub(chart.area.x).is_some_and(|column| {
            column < chart.grid.columns
                && !chart
                    .clusters
                    .iter()
                    .any(|one| one.covers((column, cluster.row)))
        })
    };
    let (before, after) = brackets(level);
    let (mut from, mut to) = (start, end);
    let wide = before.len() as u16;
    if wide > 0
        && (1..=wide).all(|n| start.checked_sub(n).is_some_and(free))
        && (0..wide).all(|n| free(end + n))
    {
        write(start - wide, before, style);
        write(end, after, style);
        (from, to) = (start - wide, end + wide);
    }
    Rect {
        x: from,
        y,
        width: to.saturating_sub(from),
        height: 1,
    }
}

/// Writes `text` beside a cluster, where it hides no other cluster if possible.
fn label_beside(
    buffer: &mut Buffer,
    chart: &Chart,
    cluster: &Cluster,
    taken: &[Rect],
    text: &str,
    theme: Theme,
) {
    let area = chart.area;
    let text = format!(" {text} ");
    let width = (text.width() as u16).min(area.width);
    let own = Rect {
        x: area.x + cluster.column,
        y: area.y + cluster.row,
        width: cluster.width(),
        height: 1,
    };
    let own = taken
        .iter()
        .find(|rect| rect.y == own.y && rect.intersects(own))
        .copied()
        .unwrap_or(own);
    let (right, left) = (own.right() + 1, own.x.checked_sub(width + 1));
    let level = [(Some(right), 0), (left, 0)];
    let aside = [1i32, -1, 2, -2].into_iter().flat_map(|rows| {
        let middle = own
            .x
            .saturating_sub(width / 2)
            .clamp(area.x, area.right() - width);
        [(Some(right), rows), (left, rows), (Some(middle), rows)]
    });
    let places: Vec<Rect> = (level.into_iter().chain(aside))
        .filter_map(|(x, rows)| {
            let place = Rect {
                x: x?,
                y: u16::try_from(i32::from(own.y) + rows).ok()?,
                width,
                height: 1,
            };
            (area.union(place) == area).then_some(place)
        })
        .collect();
    let hides = |place: &&Rect| taken.iter().filter(|rect| rect.intersects(**place)).count();
    let Some(place) = places.iter().min_by_key(hides) else {
        return;
    };
    let text = fit(&text, usize::from(place.width));
    for position in place.positions() {
        if let Some(cell) = buffer.cell_mut(position) {
            cell.reset();
        }
    }
    buffer.set_string(place.x, place.y, text, theme.selected());
}

/// Draws the peers as a table.
fn as_list(frame: &mut Frame<'_>, model: &Model, theme: Theme, areas: &Areas) {
    let list = &model.peers;
    let cell = |peer: &PeerSnapshot, column: &'static str| in_list(model, peer, column, theme);
    table::draw_columns(
        frame.buffer_mut(),
        areas.body,
        list,
        &LIST,
        theme,
        cell,
        |_, _| Vec::new(),
    );
    if list.rows().is_empty() {
        let text = no_match(model, "peer");
        sentences(frame, areas.body, vec![Line::default(), Line::from(text)]);
    }
    status(frame, model, areas, &figures(model, None), theme);
}

fn in_list(model: &Model, peer: &PeerSnapshot, column: &'static str, theme: Theme) -> Cell {
    let here = peer.connection.is_some();
    match column {
        "peer" if model.owner_of(peer).starts_with('!') => (model.owner_of(peer), theme.bad()),
        "peer" => (name(peer), if here { theme.strong() } else { theme.dim() }),
        "place" => match place(peer) {
            Some(place) => (place, if here { theme.text() } else { theme.dim() }),
            None => ("unknown".to_owned(), theme.dim()),
        },
        column => peers::cell(model, peer, column, theme),
    }
}
