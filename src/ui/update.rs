//! What a key, a batch or an answer changes. Nothing here draws, waits or asks: it returns what is to be done.

use tui_input::{Input, InputRequest};

use super::{
    action::{Action, Edit, Move, Screen},
    effect::{Effect, Message},
    keymap::{self, Chord},
    layout, lines,
    model::{
        Model, Popup,
        package::{Looked, PackageView},
    },
    widget::list::target,
};
use crate::{
    bus::{Level, Notice},
    domain::{name::PackageId, text::printable, time::Timestamp, trust::Trust},
    registry::title,
};

/// Longest text in a field, in characters.
const MAX_INPUT: usize = 200;

pub fn on_key(model: &mut Model, chord: Chord, now: Timestamp) -> Vec<Effect> {
    model.now = now;
    model.peers.touched(now);
    let typing = model.typing();
    let effects = match keymap::find(chord, typing, model.screen) {
        Some(action) => act(model, action),
        None => match chord.text().filter(|_| typing) {
            Some(c) => edit(model, InputRequest::InsertChar(c)),
            None => return Vec::new(),
        },
    };
    model.dirty = true;
    settle(model);
    effects
}

/// Text from the terminal's clipboard: one line, and nothing that a terminal would obey.
pub fn on_paste(model: &mut Model, text: &str, now: Timestamp) -> Vec<Effect> {
    if !model.typing() {
        return Vec::new();
    }
    model.now = now;
    model.dirty = true;
    let mut effects = Vec::new();
    for c in printable(text).chars().take(MAX_INPUT) {
        effects = edit(model, InputRequest::InsertChar(c));
    }
    settle(model);
    effects
}

pub fn on_resize(model: &mut Model, size: (u16, u16)) {
    model.size = size;
    model.dirty = true;
    settle(model);
}

/// What an effect brought. The start itself is the runtime's.
pub fn on_message(model: &mut Model, message: Message, now: Timestamp) -> Vec<Effect> {
    model.now = now;
    match message {
        Message::Started(_) => {}
        Message::Search { generation, update, after } => {
            if generation == model.search.generation {
                model.search.update(update, after);
                model.dirty = true;
            }
        }
        Message::Looked { generation, result } => return looked(model, generation, *result),
        Message::Pinned { handle, result } => {
            if let Err(error) = *result {
                let text = format!("the handle {handle} could not be pinned: {error}");
                say(model, Level::Error, text);
            }
        }
    }
    settle(model);
    Vec::new()
}

/// Scrolls every list to what is selected.
pub fn settle(model: &mut Model) {
    let page = layout::page(model);
    let Model { peers, feed, search, .. } = model;
    peers.selection.settle(&peers.rows, page);
    let ids = feed.ids();
    feed.selection.settle(&ids, page);
    let ids = search.ids();
    search.selection.settle(&ids, page);
}

fn say(model: &mut Model, level: Level, text: String) {
    let now = model.now;
    let batch = crate::bus::Batch {
        notices: vec![Notice { at: now, level, text }],
        dropped: model.dropped,
        events: 1,
        ..crate::bus::Batch::default()
    };
    model.apply(batch, now);
}

fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    match action {
        Action::Go(screen) => go(model, screen),
        Action::Step(steps) => go(model, model.screen.step(steps)),
        Action::Move(step) => {
            step_list(model, step);
            Vec::new()
        }
        Action::Filter => {
            match model.screen {
                Screen::Peers => model.peers.filter.typing = true,
                Screen::Feed => model.feed.filter.typing = true,
                Screen::Search => model.search.typing = true,
            }
            Vec::new()
        }
        Action::Sort => {
            model.peers.sort = model.peers.sort.next();
            model.peers.reversed = false;
            model.peers.sort_now(model.now);
            Vec::new()
        }
        Action::Reverse => {
            model.peers.reversed = !model.peers.reversed;
            model.peers.sort_now(model.now);
            Vec::new()
        }
        Action::Open => open(model),
        Action::Back => back(model),
        Action::Freeze => {
            model.feed.toggle_frozen();
            Vec::new()
        }
        Action::Refresh => refresh(model),
        Action::Edit(kind) => match kind {
            Edit::Clear => {
                let Some(field) = field(model) else { return Vec::new() };
                *field = Input::default();
                edited(model)
            }
            Edit::DeleteBefore => edit(model, InputRequest::DeletePrevChar),
            Edit::DeleteAfter => edit(model, InputRequest::DeleteNextChar),
            Edit::DeleteWord => edit(model, InputRequest::DeletePrevWord),
            Edit::Left => edit(model, InputRequest::GoToPrevChar),
            Edit::Right => edit(model, InputRequest::GoToNextChar),
            Edit::Start => edit(model, InputRequest::GoToStart),
            Edit::End => edit(model, InputRequest::GoToEnd),
        },
        Action::LeaveField => {
            model.peers.filter.typing = false;
            model.feed.filter.typing = false;
            model.search.typing = false;
            Vec::new()
        }
        Action::Help => {
            if !matches!(model.popups.last(), Some(Popup::Help { .. })) {
                model.popups.push(Popup::Help { scroll: 0 });
            }
            Vec::new()
        }
        Action::Suspend => vec![Effect::Suspend],
        Action::Quit => {
            if model.popups.pop().is_none() {
                model.quit = true;
            }
            Vec::new()
        }
        Action::QuitNow => {
            model.quit = true;
            Vec::new()
        }
    }
}

fn go(model: &mut Model, screen: Screen) -> Vec<Effect> {
    model.popups.clear();
    model.screen = screen;
    if screen == Screen::Search && model.search.generation == 0 {
        // The first time here there is nothing else to do than to type.
        model.search.typing = true;
        return search(model);
    }
    Vec::new()
}

fn step_list(model: &mut Model, step: Move) {
    let page = layout::page(model);
    if let Some(popup) = model.popups.last() {
        let (len, page) = lines::extent(model, popup);
        let most = len.saturating_sub(page);
        let scroll = popup.scroll().min(most);
        let next = match step {
            Move::Last => most,
            step => target(step, scroll, len.max(1), page).min(most),
        };
        if let Some(popup) = model.popups.last_mut() {
            *popup.scroll_mut() = next;
        }
        return;
    }
    match model.screen {
        Screen::Peers => model.peers.selection.step(step, &model.peers.rows, page),
        Screen::Feed => {
            let ids = model.feed.ids();
            model.feed.selection.step(step, &ids, page);
            // At the top again: follow what arrives.
            if model.feed.selection.selected.as_ref() == ids.first() {
                model.feed.selection.selected = None;
            }
        }
        Screen::Search => {
            let ids = model.search.ids();
            model.search.selection.step(step, &ids, page);
        }
    }
}

fn open(model: &mut Model) -> Vec<Effect> {
    if !model.popups.is_empty() {
        return Vec::new();
    }
    match model.screen {
        Screen::Peers => {
            model.peers.filter.typing = false;
            if let Some(id) = model.peers.selection.current(&model.peers.rows) {
                model.popups.push(Popup::Peer { id, scroll: 0 });
            }
            Vec::new()
        }
        Screen::Feed => {
            model.feed.filter.typing = false;
            let id = model.feed.selection.current(&model.feed.ids());
            let announced = id.and_then(|id| model.feed.get(&id));
            let opened = announced.map(|one| (one.package.clone(), title(&one.package, one.handle.as_ref())));
            opened.map_or_else(Vec::new, |(package, title)| open_package(model, package, title))
        }
        Screen::Search => {
            let id = model.search.selection.current(&model.search.ids());
            let hit = id.and_then(|id| model.search.hits.iter().find(|hit| hit.package == id));
            let opened = hit.map(|hit| (hit.package.clone(), hit.title()));
            opened.map_or_else(Vec::new, |(package, title)| open_package(model, package, title))
        }
    }
}

fn open_package(model: &mut Model, package: PackageId, title: String) -> Vec<Effect> {
    let generation = model.next_generation();
    let view = PackageView { id: package.clone(), title, generation, state: Looked::Looking, scroll: 0 };
    model.popups.push(Popup::Package(Box::new(view)));
    vec![Effect::Look { generation, package }]
}

fn looked(model: &mut Model, generation: u64, result: crate::Result<crate::registry::Package>) -> Vec<Effect> {
    let view = model.popups.iter_mut().find_map(|popup| match popup {
        Popup::Package(view) if view.generation == generation => Some(view),
        _ => None,
    });
    let Some(view) = view else { return Vec::new() };
    model.dirty = true;
    match result {
        Ok(package) => {
            // To open a package is a person's act: its handle means this key from now on, unless it means another.
            let pin = package.handle.clone().filter(|_| package.trust == Trust::Unknown);
            let publisher = package.id.publisher;
            view.state = Looked::Found(Box::new(package));
            pin.map(|handle| Effect::Pin { handle, publisher }).into_iter().collect()
        }
        Err(error) => {
            view.state = Looked::Failed(error.to_string());
            Vec::new()
        }
    }
}

fn back(model: &mut Model) -> Vec<Effect> {
    if model.popups.pop().is_some() {
        return Vec::new();
    }
    match model.screen {
        Screen::Peers => {
            model.peers.filter.input = Input::default();
            model.peers.sort_now(model.now);
        }
        Screen::Feed => model.feed.filter.input = Input::default(),
        Screen::Search => {}
    }
    Vec::new()
}

fn refresh(model: &mut Model) -> Vec<Effect> {
    if let Some(Popup::Package(view)) = model.popups.last().cloned() {
        model.popups.pop();
        return open_package(model, view.id, view.title);
    }
    match model.screen {
        Screen::Peers => {
            model.peers.sort_now(model.now);
            Vec::new()
        }
        Screen::Feed => Vec::new(),
        Screen::Search => search(model),
    }
}

/// The field that has the focus.
fn field(model: &mut Model) -> Option<&mut Input> {
    if !model.typing() {
        return None;
    }
    Some(match model.screen {
        Screen::Peers => &mut model.peers.filter.input,
        Screen::Feed => &mut model.feed.filter.input,
        Screen::Search => &mut model.search.input,
    })
}

fn edit(model: &mut Model, request: InputRequest) -> Vec<Effect> {
    let Some(field) = field(model) else { return Vec::new() };
    if matches!(request, InputRequest::InsertChar(_)) && field.value().chars().count() >= MAX_INPUT {
        return Vec::new();
    }
    let before = field.value().to_owned();
    field.handle(request);
    if field.value() == before { Vec::new() } else { edited(model) }
}

fn edited(model: &mut Model) -> Vec<Effect> {
    match model.screen {
        Screen::Peers => {
            model.peers.sort_now(model.now);
            Vec::new()
        }
        Screen::Feed => Vec::new(),
        Screen::Search => search(model),
    }
}

/// Starts the search anew; the running one is dropped.
pub fn search(model: &mut Model) -> Vec<Effect> {
    let generation = model.next_generation();
    model.search.started(generation);
    model.search.selection.selected = None;
    vec![Effect::Search { generation, text: model.search.input.value().to_owned() }]
}
