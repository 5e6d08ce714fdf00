//! Keys and the mouse on the map. If the map is shown as a list, the keys of lists apply.

use ratatui::layout::Position;

use crate::ui::{
    action::{CursorMove, Pan},
    effect::Effect,
    layout,
    model::{
        Model,
        map::{
            chart::{Chart, eastward, everything, ranks},
            is_drawn,
            toward::{Toward, nearest},
            view::View,
        },
    },
};

fn chart(model: &Model) -> Option<Chart> {
    Chart::of(model, layout::areas(model).body)
}

/// Returns the columns and rows of the area for the map.
fn room(model: &Model) -> (u16, u16) {
    let body = layout::areas(model).body;
    (body.width, body.height)
}

/// Moves the selection; returns false if there is no map.
pub fn step(model: &mut Model, step: CursorMove) -> bool {
    let Some(chart) = chart(model) else {
        return false;
    };
    let toward = match step {
        CursorMove::Left => Toward::Left,
        CursorMove::Right => Toward::Right,
        CursorMove::Up => Toward::Up,
        CursorMove::Down => Toward::Down,
        CursorMove::First | CursorMove::Last => {
            model.table_mut().step(step, 1);
            show_selected(model);
            return true;
        }
        CursorMove::PageUp => return pan(model, Pan { right: 0, down: -1 }, 1),
        CursorMove::PageDown => return pan(model, Pan { right: 0, down: 1 }, 1),
        CursorMove::HalfUp => return pan(model, Pan { right: 0, down: -1 }, 2),
        CursorMove::HalfDown => return pan(model, Pan { right: 0, down: 1 }, 2),
    };
    let current = model.peers.current().map(|peer| peer.id);
    let next = match current.and_then(|id| Some((id, chart.point(&id)?))) {
        Some((id, here)) => {
            // One step leaves a cluster; `n` visits the peers in it.
            let same = chart
                .cluster_of(&id)
                .map(|cluster| cluster.peers.as_slice())
                .unwrap_or_default();
            let others = chart
                .peers
                .iter()
                .enumerate()
                .filter(|(number, (other, point))| {
                    *other != id && *point != here && same.binary_search(number).is_err()
                });
            nearest(
                here,
                toward,
                others.map(|(number, (_, point))| (number, *point)),
            )
        }
        // If the selected peer is not on the map, select the first one that is.
        None => {
            let ranks = ranks(model);
            (0..chart.peers.len())
                .min_by_key(|number| chart.peers.get(*number).and_then(|(id, _)| ranks.get(id)))
        }
    };
    if let Some((id, _)) = next.and_then(|number| chart.peers.get(number)) {
        model.peers.selection.selected = Some(*id);
        show_selected(model);
    }
    true
}

/// Selects the next peer to the east, wrapping around. Peers in one place come one after the other;
/// those without a location come last.
pub fn next_peer(model: &mut Model, steps: isize) {
    // A list goes by its rows.
    let order = if is_drawn(model) {
        eastward(model)
    } else {
        model.peers.rows().to_vec()
    };
    let current = model.peers.current().map(|peer| peer.id);
    let Some(here) = order.iter().position(|id| Some(*id) == current) else {
        return;
    };
    let there = (here as isize + steps).rem_euclid(order.len() as isize) as usize;
    model.peers.selection.selected = order.get(there).copied();
    show_selected(model);
}

/// Moves the view, if necessary, so that the selected peer is in it.
pub fn show_selected(model: &mut Model) {
    let Some(chart) = chart(model) else { return };
    let (columns, rows) = room(model);
    if let Some(point) = model.peers.current().and_then(|peer| chart.point(&peer.id)) {
        model.map.view = model.map.view.showing(point, columns, rows);
    }
}

/// Scrolls the map by its size divided by `parts`, at least by one cell; returns false if there is
/// no map.
pub fn pan(model: &mut Model, pan: Pan, parts: u16) -> bool {
    let Some(chart) = chart(model) else {
        return false;
    };
    let (columns, rows) = room(model);
    let part = |length: u16| i32::from((length / parts.max(1)).max(1));
    let (right, down) = (
        part(chart.grid.columns) * i32::from(pan.right),
        part(chart.grid.rows) * i32::from(pan.down),
    );
    model.map.view = model.map.view.panned(right, down, columns, rows);
    true
}

/// Zooms by one step around the pointer, or else around the selected peer.
pub fn zoom(model: &mut Model, closer: bool, at: Option<Position>) {
    let Some(chart) = chart(model) else { return };
    let (columns, rows) = room(model);
    let at = match at {
        Some(at) => chart.cell(at),
        None => model
            .peers
            .current()
            .and_then(|peer| chart.grid.cell(chart.point(&peer.id)?)),
    };
    model.map.view = model.map.view.zoomed(closer, at, columns, rows);
}

/// Zooms in as far as all peers stay in view; if that is the view already, shows the world.
pub fn fit(model: &mut Model) {
    let (columns, rows) = room(model);
    let fitting = View::fitting(&everything(model), columns, rows);
    model.map.view = if model.map.view == fitting {
        View::WORLD
    } else {
        fitting
    };
}

/// Selects the clicked peer; a second click opens it. Returns `None` if there is no map.
pub fn click(model: &mut Model, at: Position) -> Option<Vec<Effect>> {
    let chart = chart(model)?;
    let cell = chart.cell(at)?;
    model.map.held = Some((at.x, at.y));
    let Some(cluster) = chart.hit(cell) else {
        return Some(Vec::new());
    };
    let current = model.peers.current().map(|peer| peer.id);
    if chart.members(cluster).any(|id| Some(id) == current) {
        model.peers.selection.selected = current;
        model.map.held = None;
        return Some(super::open(model));
    }
    let ranks = ranks(model);
    model.peers.selection.selected = chart
        .members(cluster)
        .min_by_key(|id| ranks.get(id).copied());
    Some(Vec::new())
}

/// Scrolls the map with the mouse while its button is held; returns true if it moved.
pub fn drag(model: &mut Model, at: Position) -> bool {
    let Some((x, y)) = model.map.held else {
        return false;
    };
    if chart(model).is_none() || (x, y) == (at.x, at.y) {
        return false;
    }
    let (columns, rows) = room(model);
    let (right, down) = (
        i32::from(x) - i32::from(at.x),
        i32::from(y) - i32::from(at.y),
    );
    model.map.view = model.map.view.panned(right, down, columns, rows);
    model.map.held = Some((at.x, at.y));
    true
}
