//! Typing into the focused text field.

use tui_input::{Input, InputRequest};

use super::{publish, search, settle};
use crate::{
    bus::Level,
    domain::{
        text::{is_joiner, is_unsafe_char, printable},
        time::Timestamp,
    },
    ui::{
        action::{Edit, KeyPlace, Screen},
        effect::Effect,
        model::{Model, form::MAX_FIELD},
    },
};

/// Longest text of a filter or the search field, in characters.
const MAX_INPUT: usize = 200;

/// Inserts pasted text: one line of it, without control characters.
pub fn on_paste(model: &mut Model, text: &str, now: Timestamp) -> Vec<Effect> {
    if !model.typing() {
        return Vec::new();
    }
    model.now = now;
    model.dirty = true;
    // Cut a huge text before looking at each character.
    let most = most_of(model);
    let start: String = text.chars().take(most * 2).collect();
    let room =
        most.saturating_sub(field(model).map_or(most, |field| field.value().chars().count()));
    let whole = printable(&start);
    let pasted: String = whole.chars().take(room).collect();
    let Some(field) = field(model) else {
        return Vec::new();
    };
    for c in pasted.chars() {
        field.handle(InputRequest::InsertChar(c));
    }
    let effects = if pasted.is_empty() {
        Vec::new()
    } else {
        edited(model)
    };
    if pasted.len() < whole.len() {
        model.answer(
            Level::Warning,
            format!("only the first {} characters fit", pasted.chars().count()),
        );
    }
    settle(model);
    effects
}

pub(super) fn edit_kind(model: &mut Model, kind: Edit) -> Vec<Effect> {
    match kind {
        Edit::Clear => {
            let Some(field) = field(model) else {
                return Vec::new();
            };
            *field = Input::default();
            edited(model)
        }
        Edit::Right => match publish::take_proposal(model) {
            Some(effects) => effects,
            None => edit(model, InputRequest::GoToNextChar),
        },
        Edit::DeleteBefore => edit(model, InputRequest::DeletePrevChar),
        Edit::DeleteAfter => edit(model, InputRequest::DeleteNextChar),
        Edit::DeleteWord => edit(model, InputRequest::DeletePrevWord),
        Edit::Left => edit(model, InputRequest::GoToPrevChar),
        Edit::Start => edit(model, InputRequest::GoToStart),
        Edit::End => edit(model, InputRequest::GoToEnd),
    }
}

pub(super) fn leave_field(model: &mut Model) -> Vec<Effect> {
    if model.popups.pop().is_some() {
        return Vec::new();
    }
    match model.place() {
        KeyPlace::Form => return publish::leave_form(model),
        KeyPlace::Screen(Screen::Search) => {
            model.search.typing = false;
            return search::remember(model, true);
        }
        _ => model.table_mut().filter_mut().typing = false,
    }
    Vec::new()
}

/// Returns the focused text field.
pub(super) fn field(model: &mut Model) -> Option<&mut Input> {
    if !model.typing() {
        return None;
    }
    match model.place() {
        KeyPlace::Form => model.publish.form.as_mut().map(|form| form.focused_input()),
        KeyPlace::Screen(Screen::Search) => Some(&mut model.search.input),
        KeyPlace::Screen(_) => Some(&mut model.table_mut().filter_mut().input),
        _ => model.popups.last_mut()?.window.input(),
    }
}

/// Returns the character limit of the focused text field.
pub(super) fn most_of(model: &Model) -> usize {
    match model.place() {
        KeyPlace::Form | KeyPlace::Export => MAX_FIELD,
        _ => MAX_INPUT,
    }
}

pub(super) fn edit(model: &mut Model, request: InputRequest) -> Vec<Effect> {
    let most = most_of(model);
    let Some(field) = field(model) else {
        return Vec::new();
    };
    if let InputRequest::InsertChar(c) = request
        && (field.value().chars().count() >= most || is_unsafe_char(c) && !is_joiner(c))
    {
        return Vec::new();
    }
    let before = field.value().to_owned();
    field.handle(request);
    if field.value() == before {
        Vec::new()
    } else {
        edited(model)
    }
}

/// Handles a changed text in the focused field.
pub(super) fn edited(model: &mut Model) -> Vec<Effect> {
    let now = model.now;
    match model.place() {
        KeyPlace::Form => return publish::edited(model),
        KeyPlace::Screen(Screen::Search) => return search::edited(model),
        KeyPlace::Screen(_) => model.table_mut().filtered(now),
        _ => {
            if let Some(popup) = model.popups.last_mut() {
                popup.at = 0;
                popup.window.edited();
            }
        }
    }
    Vec::new()
}
