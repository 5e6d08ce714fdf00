//! The search: starts at every key, is narrowed by facets, and is remembered if it was meant.

use std::time::Duration;

use tui_input::Input;

use crate::{
    bus::Level,
    domain::{query::MAX_TEXT, time::Timestamp},
    ui::{
        action::Screen,
        effect::Effect,
        model::{
            Model,
            facets::{self, FacetId},
        },
        popup::{
            facets::{FacetsWindow, ids},
            recent::RecentWindow,
        },
    },
};

/// A text that stays unchanged for this long is remembered.
const SETTLED: Duration = Duration::from_secs(1);

/// Starts a new search, in place of the running one.
pub fn start(model: &mut Model) -> Vec<Effect> {
    let generation = model.next_generation();
    model.search.started(generation);
    vec![Effect::Search {
        generation,
        text: model.search.input.value().to_owned(),
    }]
}

/// Searches for the same again. The cursor stays on its package.
pub fn again(model: &mut Model) -> Vec<Effect> {
    let selected = model.search.hits.selection.selected.clone();
    let effects = start(model);
    model.search.hits.selection.selected = selected;
    effects
}

/// Handles a changed text.
pub fn edited(model: &mut Model) -> Vec<Effect> {
    model.search.edited_at = model.now;
    start(model)
}

pub fn search_for(model: &mut Model, text: String) -> Vec<Effect> {
    model.search.input = Input::new(text);
    edited(model)
}

/// Adds the text to the recent searches; one that has not `ended` may still grow.
pub fn remember(model: &mut Model, ended: bool) -> Vec<Effect> {
    let search = &mut model.search;
    if search.recent.note(search.input.value(), ended) {
        vec![Effect::SaveSearches(search.recent.to_texts())]
    } else {
        Vec::new()
    }
}

/// Handles the passing of a second.
pub fn on_tick(model: &mut Model, now: Timestamp) -> Vec<Effect> {
    let settled = model.screen == Screen::Search && now.since(model.search.edited_at) >= SETTLED;
    if settled {
        remember(model, false)
    } else {
        Vec::new()
    }
}

/// Moves the focus from the list or the field to the facets.
pub fn to_facets(model: &mut Model) {
    let ids = ids(model);
    let facet = &mut model.search.facet;
    facet.selected = facet.current(&ids);
    model.open(FacetsWindow);
}

/// Adds a value to the search, or removes it.
pub fn toggle(model: &mut Model, id: FacetId) -> Vec<Effect> {
    let text = facets::toggled(model.search.input.value(), &model.search.facets, &id);
    model.search.facet.selected = Some(id);
    match text {
        Some(text) if text.len() <= MAX_TEXT => search_for(model, text),
        Some(_) => {
            model.answer(
                Level::Warning,
                format!("a search has at most {MAX_TEXT} bytes; remove something first"),
            );
            Vec::new()
        }
        None => {
            model.answer(
                Level::Warning,
                "the search language cannot express that".to_owned(),
            );
            Vec::new()
        }
    }
}

pub fn recent(model: &mut Model) -> Vec<Effect> {
    // Add the current text to the list too.
    let effects = remember(model, false);
    model.open(RecentWindow::default());
    effects
}
