//! The search: asked anew at every key, narrowed by facets, remembered once it has come to
//! something.

use std::time::Duration;

use tui_input::Input;

use crate::{
    bus::Level,
    domain::{query::MAX_TEXT, time::Timestamp},
    ui::{
        action::Screen,
        effect::Effect,
        model::{
            Model, Popup,
            facets::{self, FacetId},
            recent::RecentWindow,
        },
        popup,
    },
};

/// A text that was left alone for this long was meant.
const MEANT: Duration = Duration::from_secs(1);

/// Starts the search anew; the running one is dropped.
pub fn start(model: &mut Model) -> Vec<Effect> {
    let generation = model.next_generation();
    model.search.started(generation);
    vec![Effect::Search {
        generation,
        text: model.search.input.value().to_owned(),
    }]
}

/// The text is another one.
pub fn edited(model: &mut Model) -> Vec<Effect> {
    model.search.edited_at = model.now;
    start(model)
}

fn search_for(model: &mut Model, text: String) -> Vec<Effect> {
    model.search.input = Input::new(text);
    edited(model)
}

/// Notes the text among the recent searches; one that has not `ended` may still grow.
pub fn remember(model: &mut Model, ended: bool) -> Vec<Effect> {
    let search = &mut model.search;
    if search.recent.note(search.input.value(), ended) {
        vec![Effect::SaveSearches(search.recent.to_texts())]
    } else {
        Vec::new()
    }
}

/// A second went by.
pub fn on_tick(model: &mut Model, now: Timestamp) -> Vec<Effect> {
    let meant = model.screen == Screen::Search && now.since(model.search.edited_at) >= MEANT;
    if meant {
        remember(model, false)
    } else {
        Vec::new()
    }
}

/// To the facets, from the list or from the field.
pub fn to_facets(model: &mut Model) {
    let ids = popup::facets::ids(model);
    let facet = &mut model.search.facet;
    facet.selected = facet.current(&ids);
    model.popups.push(Popup::Facets);
}

/// Asks for what is selected among the facets, or not any more.
pub fn toggle_selected(model: &mut Model) -> Vec<Effect> {
    let selected = model.search.facet.current(&popup::facets::ids(model));
    selected.map_or_else(Vec::new, |id| toggle(model, id))
}

pub fn toggle(model: &mut Model, id: FacetId) -> Vec<Effect> {
    let text = facets::toggled(model.search.input.value(), &model.search.facets, &id);
    model.search.facet.selected = Some(id);
    match text {
        Some(text) if text.len() <= MAX_TEXT => search_for(model, text),
        Some(_) => {
            model.answer(
                Level::Warning,
                format!("a search has {MAX_TEXT} bytes at most; take something else away first"),
            );
            Vec::new()
        }
        None => {
            model.answer(
                Level::Warning,
                "the language of searches has no way to ask for that".to_owned(),
            );
            Vec::new()
        }
    }
}

pub fn recent(model: &mut Model) -> Vec<Effect> {
    // What is in the field now is one of them.
    let effects = remember(model, false);
    model.popups.push(Popup::Recent(RecentWindow::default()));
    effects
}

/// Searches for what was selected in the window of recent searches; the window is gone already.
pub fn take_recent(model: &mut Model, window: &RecentWindow) -> Vec<Effect> {
    let found = model.search.recent.found(window.input.value());
    let Some(text) = found.get(window.at).map(|text| (*text).to_owned()) else {
        return Vec::new();
    };
    model.search.typing = true;
    search_for(model, text)
}
