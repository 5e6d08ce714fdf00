//! Clicks and the wheel, by the same areas that are drawn.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

use super::{act, map, open, search, settle, step_list};
use crate::{
    domain::time::Timestamp,
    ui::{
        action::{Action, CursorMove, Screen},
        effect::Effect,
        layout::{self, FormLine},
        model::{
            Model,
            facets::FacetLine,
            map::{LIST, is_drawn},
        },
        popup,
        table::column::{GAP, columns_in},
    },
};

/// Rows for one notch of the wheel.
const NOTCH: usize = 3;

pub fn on_mouse(model: &mut Model, event: MouseEvent, now: Timestamp) -> Vec<Effect> {
    let at = Position {
        x: event.column,
        y: event.row,
    };
    let effects = match event.kind {
        MouseEventKind::Down(MouseButton::Left) => click(model, at, now),
        MouseEventKind::ScrollUp => wheel(model, CursorMove::Up, at),
        MouseEventKind::ScrollDown => wheel(model, CursorMove::Down, at),
        MouseEventKind::Drag(MouseButton::Left) if on_map(model, at) && map::drag(model, at) => {
            Vec::new()
        }
        MouseEventKind::Up(MouseButton::Left) => {
            model.map.held = None;
            return Vec::new();
        }
        _ => return Vec::new(),
    };
    model.now = now;
    model.table_mut().touched(now);
    model.dirty = true;
    settle(model);
    effects
}

/// Returns true if a position is on the map, with no window over it.
fn on_map(model: &Model, at: Position) -> bool {
    model.screen == Screen::Map
        && model.popups.is_empty()
        && layout::areas(model).body.contains(at)
        && is_drawn(model)
}

fn wheel(model: &mut Model, step: CursorMove, at: Position) -> Vec<Effect> {
    if on_map(model, at) {
        map::zoom(model, step == CursorMove::Up, Some(at));
        return Vec::new();
    }
    (0..NOTCH).for_each(|_| step_list(model, step));
    Vec::new()
}

fn click(model: &mut Model, at: Position, now: Timestamp) -> Vec<Effect> {
    if let Some((screen, ..)) = layout::tabs(model)
        .into_iter()
        .find(|(.., area)| area.contains(at))
    {
        return act(model, Action::Go(screen));
    }
    if let Some(popup) = model.popups.last() {
        if !popup.window.area(model).contains(at) {
            return act(model, Action::Back);
        }
        let action = popup::click(model, at);
        return action.map_or_else(Vec::new, |action| act(model, action));
    }
    let areas = layout::areas(model);
    if areas.field.contains(at) {
        return act(model, Action::Filter);
    }
    if areas.side.contains(at) {
        return match model.screen {
            Screen::Search => click_facet(model, areas.side, at),
            _ => click_form(model, areas.side, at),
        };
    }
    if !areas.body.contains(at) {
        return Vec::new();
    }
    // A click on the list takes the focus from the field.
    let mut effects = Vec::new();
    if model.screen == Screen::Search && model.search.typing {
        model.search.typing = false;
        effects = search::remember(model, true);
    }
    model.publish.typing = false;
    model.table_mut().filter_mut().typing = false;
    if let Some(effects) = Some(model.screen == Screen::Map)
        .filter(|map| *map)
        .and_then(|_| map::click(model, at))
    {
        return effects;
    }
    if at.y == areas.body.y {
        let wanted = match model.screen {
            Screen::Map => LIST.to_vec(),
            _ => model.table().columns().wanted(),
        };
        let columns = columns_in(&wanted, usize::from(areas.body.width));
        let mut x = usize::from(areas.body.x);
        for (column, width) in columns {
            if (x..x + width + GAP).contains(&usize::from(at.x)) && !column.picture {
                model.table_mut().sort_by(column.key, now);
                break;
            }
            x += width + GAP;
        }
        return effects;
    }
    let row = usize::from(at.y - areas.body.y - 1);
    // A second click on the same row opens it.
    if model.table_mut().select_in_view(row) {
        effects.extend(open(model));
    }
    effects
}

/// Handles a click in the pane of facets, which needs no window to be opened first.
fn click_facet(model: &mut Model, side: Rect, at: Position) -> Vec<Effect> {
    let line = popup::facets::pane_line(model, side, at);
    if let Some(FacetLine::More(_)) = line {
        search::to_facets(model);
        return Vec::new();
    }
    let id = line.as_ref().and_then(FacetLine::id).cloned();
    id.map_or_else(Vec::new, |id| search::toggle(model, id))
}

fn click_form(model: &mut Model, side: Rect, at: Position) -> Vec<Effect> {
    let Some(checked) = model.publish.check() else {
        return Vec::new();
    };
    if model.publish.progress.is_some() {
        return Vec::new();
    }
    let typing = model.publish.typing;
    let Some(form) = &mut model.publish.form else {
        return Vec::new();
    };
    let area = layout::form_area(side);
    let lines = layout::form_lines(form, &checked, typing, area.width);
    let row =
        usize::from(at.y.saturating_sub(area.y)) + layout::form_offset(form, &lines, area.height);
    if let Some(FormLine::Fields(fields)) = lines.get(row) {
        let x = at.x.saturating_sub(area.x);
        let chosen = fields
            .iter()
            .rev()
            .find(|(_, from, _)| x >= *from)
            .or(fields.first());
        if let Some((field, ..)) = chosen {
            form.focus_on(*field);
        }
    }
    model.publish.typing = true;
    Vec::new()
}
