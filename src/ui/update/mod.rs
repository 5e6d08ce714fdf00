//! Changes of the model by keys, clicks, batches and results. Nothing here draws, blocks or does
//! I/O: functions return effects.

mod conflicts;
mod map;
mod mouse;
pub mod peers;
mod publish;
pub mod search;
mod transfers;
mod trust;
mod typing;
mod windows;

use tui_input::{Input, InputRequest};

pub use mouse::on_mouse;
pub use publish::restore;
pub use typing::on_paste;
use typing::{edit, edit_kind, leave_field};

use super::{
    action::{Action, CursorMove, Screen},
    effect::{Effect, EffectResult},
    keymap::Chord,
    layout, lines,
    model::{
        Consent, Model, Popup, YesNoQuestion,
        package::{ContentState, PackageState, PackageView, ReadmeState},
    },
    popup,
    table::TableEntry,
    widget::list::target,
};
use crate::{
    bus::{Level, Notice},
    control::Link,
    domain::{name::PackageId, time::Timestamp},
    registry::{claimed, title},
};

pub fn on_key(model: &mut Model, chord: Chord, now: Timestamp) -> Vec<Effect> {
    model.now = now;
    model.notices.go_on(now);
    model.table_mut().touched(now);
    let typing = model.typing();
    let effects = match model.keymap.find(chord, typing, model.place()) {
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

pub fn on_resize(model: &mut Model, size: (u16, u16)) {
    model.size = size;
    model.dirty = true;
    settle(model);
}

/// Handles the passing of a second.
pub fn on_tick(model: &mut Model, now: Timestamp) -> Vec<Effect> {
    let page = layout::page(model);
    model.tick(now, page);
    settle(model);
    if let Some(Popup::Buckets { .. }) = model.popups.last() {
        return vec![Effect::Routing];
    }
    match model.screen {
        // The network accepts a release in the background, so ask for its state.
        Screen::Publish if model.running => vec![Effect::Own],
        Screen::Logs if model.running => vec![Effect::Logs {
            since: model.logs.next,
        }],
        Screen::Search => search::on_tick(model, now),
        Screen::Conflicts => conflicts::on_tick(model),
        _ => Vec::new(),
    }
}

/// Applies the result of an effect. The runtime handles the start itself.
pub fn on_message(model: &mut Model, message: EffectResult, now: Timestamp) -> Vec<Effect> {
    model.now = now;
    let effects = match message {
        EffectResult::Started(_) => Vec::new(),
        EffectResult::Search {
            generation,
            update,
            after,
        } => {
            if generation == model.search.generation {
                model.search.update(update, after, now);
                model.dirty = true;
            }
            Vec::new()
        }
        EffectResult::Looked { generation, result } => looked(model, generation, *result),
        EffectResult::Exported { path, result } => {
            windows::exported(model, &path, result);
            Vec::new()
        }
        EffectResult::Logs(result) => {
            match *result {
                Ok(logged) => {
                    model.dirty |= model.logs.take(logged, now) && model.screen == Screen::Logs
                }
                // The state of the connection is shown elsewhere if this lasts.
                Err(error) => tracing::debug!(%error, "the log could not be read"),
            }
            Vec::new()
        }
        EffectResult::Routing(result) => {
            model.lookups.routing = Some(result.map_err(|error| error.to_string()));
            model.dirty |= matches!(model.popups.last(), Some(Popup::Buckets { .. }));
            Vec::new()
        }
        EffectResult::Link(link) => {
            if link == Link::Here && model.link != Link::Here {
                model.answer(Level::Info, "the node is back".to_owned());
            }
            model.link = link;
            model.dirty = true;
            Vec::new()
        }
        EffectResult::Told(level, text) => {
            model.notices.tell(
                Notice {
                    at: now,
                    level,
                    text,
                },
                now,
            );
            model.dirty = true;
            Vec::new()
        }
        EffectResult::Peer { name, deed, result } => {
            peers::done(model, &name, deed, *result);
            Vec::new()
        }
        EffectResult::Served(served) => {
            model.served = Some(served);
            model.dirty |= matches!(model.popups.last(), Some(Popup::Peer { .. }));
            Vec::new()
        }
        EffectResult::Held { .. }
        | EffectResult::Files { .. }
        | EffectResult::Readme { .. }
        | EffectResult::Download(_)
        | EffectResult::Directed { .. } => transfers::on_message(model, message),
        EffectResult::ExportedEvidence { path, result } => {
            windows::exported_evidence(model, &path, result);
            Vec::new()
        }
        EffectResult::Conflicts(_) | EffectResult::Said { .. } => {
            conflicts::on_message(model, message)
        }
        message => publish::on_message(model, message),
    };
    settle(model);
    effects
}

/// Scrolls every list to its selected row.
pub fn settle(model: &mut Model) {
    let page = layout::page(model);
    model.table_mut().settle(page);
}

pub fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    let now = model.now;
    match action {
        Action::Go(screen) => return go(model, screen),
        Action::Step(steps) => return go(model, model.screen.step(steps)),
        Action::Move(step) => step_list(model, step),
        Action::Filter => match model.screen {
            Screen::Search => model.search.typing = true,
            _ => model.table_mut().filter_mut().typing = true,
        },
        Action::Sort => model.table_mut().sort_next(now),
        Action::Reverse => model.table_mut().reverse(now),
        Action::Mark => {
            let page = layout::page(model);
            model.table_mut().toggle_mark(page);
        }
        Action::Copy => return copy(model),
        Action::Export => windows::export(model),
        Action::Columns => model.popups.push(Popup::Columns { at: 0 }),
        Action::ToggleColumn => {
            return windows::change_column(model, windows::ColumnChange::Toggle);
        }
        Action::ShiftColumn { right } => {
            return windows::change_column(model, windows::ColumnChange::Shift { right });
        }
        Action::WidenColumn { wider } => {
            return windows::change_column(
                model,
                windows::ColumnChange::Widen(if wider { 1 } else { -1 }),
            );
        }
        Action::ResetColumns => return windows::change_column(model, windows::ColumnChange::Reset),
        Action::Freeze => model.table_mut().toggle_frozen(now),
        Action::Refresh => return refresh(model),
        Action::Open => return open(model),
        Action::Back => return back(model),
        Action::Palette => windows::palette(model),
        Action::Theme => return vec![Effect::Theme],
        Action::Mouse => {
            model.mouse = !model.mouse;
            let key = model.key(Action::Mouse, model.screen);
            let text = if model.mouse {
                format!("the mouse is on ({key}: off)")
            } else {
                format!("the mouse is off, so that the terminal can select text ({key}: on)")
            };
            model.answer(Level::Info, text);
            return vec![Effect::Mouse(model.mouse)];
        }
        Action::About => model.popups.push(Popup::About { scroll: 0 }),
        Action::NewPackage => return publish::new_form(model, super::model::Replacement::New),
        Action::NewRelease => return publish::new_release(model),
        Action::GoOn => return publish::go_on(model),
        Action::Yank => publish::ask_to_yank(model),
        Action::Download => return transfers::download(model),
        Action::Buckets => {
            model.popups.push(Popup::Buckets { scroll: 0 });
            return vec![Effect::Routing];
        }
        Action::Clients => model.clients.shown = !model.clients.shown,
        Action::Pause => return transfers::pause(model),
        Action::Cancel => transfers::ask_to_cancel(model),
        Action::Trust => conflicts::ask_to_trust(model),
        Action::TrustPublisher => trust::ask(model),
        Action::Distrust => conflicts::ask_to_distrust(model),
        Action::NextKey => conflicts::next_key(model),
        Action::Evidence => conflicts::export(model),
        Action::NextField => return publish::step_field(model, true),
        Action::PreviousField => return publish::step_field(model, false),
        Action::PickFile => return publish::pick_file(model),
        Action::TakeDirectory => return publish::take_directory(model),
        Action::Review => return publish::review(model),
        Action::Accept => return windows::accept(model),
        Action::Facets => search::to_facets(model),
        Action::ToggleFacet => return search::toggle_selected(model),
        Action::Recent => return search::recent(model),
        Action::Zoom { closer } => map::zoom(model, closer, None),
        Action::Pan(pan) => drop(map::pan(model, pan, 8)),
        Action::Fit => map::fit(model),
        Action::NextPeer(steps) => map::next_peer(model, steps),
        Action::LogLevel => model.logs.next_level(now),
        Action::Changes => {
            let text = model.health.changes();
            model.popups.push(Popup::Text {
                title: "Health history".to_owned(),
                text,
                scroll: 0,
            });
        }
        Action::OpenLog => match &model.logs.path {
            Some(path) => return vec![Effect::Pager(path.clone())],
            None => model.answer(Level::Warning, "there is no log file yet".to_owned()),
        },
        Action::Offer => return vec![Effect::Offer],
        Action::BanPeer => return peers::ban(model),
        Action::ProtectPeer => return peers::protect(model),
        Action::DisconnectPeer => peers::disconnect(model),
        Action::Edit(kind) => return edit_kind(model, kind),
        Action::LeaveField => return leave_field(model),
        Action::Help => {
            if !matches!(model.popups.last(), Some(Popup::Help { .. })) {
                model.popups.push(Popup::Help { scroll: 0 });
            }
        }
        Action::Suspend => return vec![Effect::Suspend],
        Action::Quit => {
            if model.popups.pop().is_none() {
                quit(model);
            }
        }
        Action::QuitNow => model.quit = true,
    }
    Vec::new()
}

fn quit(model: &mut Model) {
    let text = if model.publish.is_running() {
        "A publish is in progress. Nothing is lost: if it is saved already, the next start resumes \
         it, and otherwise the draft is kept. Quit anyway?"
            .to_owned()
    } else if let Some(unfinished) = transfers::unfinished(model) {
        format!("{unfinished} The data so far is kept, and the next start resumes. Quit anyway?")
    } else {
        model.quit = true;
        return;
    };
    let question = YesNoQuestion {
        title: "Quit",
        text,
        consent: Consent::Quit,
    };
    model.popups.push(Popup::Confirm(Box::new(question)));
}

fn go(model: &mut Model, screen: Screen) -> Vec<Effect> {
    let left = model.screen == Screen::Search && screen != Screen::Search;
    let mut effects = if left {
        search::remember(model, true)
    } else {
        Vec::new()
    };
    model.popups.clear();
    model.screen = screen;
    match screen {
        Screen::Search if model.search.generation == 0 => {
            // On the first visit there is nothing to do but type.
            model.search.typing = true;
            effects.extend(search::start(model));
        }
        // Bring a peer that was selected elsewhere into view.
        Screen::Map => map::show_selected(model),
        Screen::Publish => effects.push(Effect::Own),
        Screen::Conflicts => effects.push(Effect::Conflicts),
        Screen::Logs => effects.push(Effect::Logs {
            since: model.logs.next,
        }),
        _ => {}
    }
    effects
}

fn step_list(model: &mut Model, step: CursorMove) {
    let Some(popup) = model.popups.last() else {
        if model.screen == Screen::Map && map::step(model, step) {
            return;
        }
        let page = layout::page(model);
        return model.table_mut().step(step, page);
    };
    let (len, page) = lines::extent(model, popup);
    let columns = model.table().columns().slots().len();
    if let Popup::Facets = popup {
        let ids = popup::facets::ids(model);
        return model.search.facet.step(step, &ids, page);
    }
    let Some(popup) = model.popups.last_mut() else {
        return;
    };
    match popup {
        Popup::Columns { at } => *at = target(step, *at, columns, page),
        Popup::Palette(palette) => {
            palette.at = target(step, palette.at, palette.found().len(), page)
        }
        Popup::Picker(picker) => picker.at = target(step, picker.at, picker.len(), page),
        Popup::Recent(window) => {
            let found = model.search.recent.found(window.input.value()).len();
            window.at = target(step, window.at, found, page);
        }
        popup => {
            let most = len.saturating_sub(page);
            let Some(scroll) = popup.scroll_mut() else {
                return;
            };
            let here = (*scroll).min(most);
            *scroll = match step {
                CursorMove::Last => most,
                step => target(step, here, len.max(1), page).min(most),
            };
        }
    }
}

fn copy(model: &mut Model) -> Vec<Effect> {
    if let Some(Popup::Peer { id, .. }) = model.popups.last() {
        let copied = model.peers.get(id).map(TableEntry::copied);
        return copied.map_or_else(Vec::new, |text| vec![Effect::Copy { text, things: 1 }]);
    }
    let (text, things) = model.table().copied();
    if things == 0 {
        Vec::new()
    } else {
        vec![Effect::Copy { text, things }]
    }
}

fn open(model: &mut Model) -> Vec<Effect> {
    if let Some(Popup::Picker(_)) = model.popups.last() {
        return publish::picked(model);
    }
    if !model.popups.is_empty() {
        return Vec::new();
    }
    if model.screen != Screen::Search {
        model.table_mut().filter_mut().typing = false;
    }
    match model.screen {
        Screen::Peers | Screen::Map => {
            let Some(peer) = model.peers.current() else {
                return Vec::new();
            };
            let (id, owner) = (peer.id, peer.owner.as_ref().map(|owner| owner.publisher));
            model.popups.push(Popup::Peer { id, scroll: 0 });
            return owner.map_or_else(Vec::new, |publisher| {
                vec![Effect::PackagesOf {
                    peer: id,
                    publisher,
                }]
            });
        }
        Screen::Feed => {
            let opened = model.feed.current().map(|one| {
                (
                    one.package.clone(),
                    title(&one.package, one.handle.as_ref(), one.trust),
                )
            });
            return opened.map_or_else(Vec::new, |(package, title)| {
                open_package(model, package, title)
            });
        }
        Screen::Search => {
            // The rows are still those of the search before, so wait for the new ones.
            if model.search.running && !model.search.answered {
                return Vec::new();
            }
            let Some(hit) = model.search.hits.current() else {
                return Vec::new();
            };
            let (package, title) = (hit.package.clone(), hit.title());
            let mut effects = open_package(model, package, title);
            effects.extend(search::remember(model, true));
            return effects;
        }
        Screen::Publish => {
            let opened = model
                .publish
                .mine
                .current()
                .map(|one| (one.id.clone(), claimed(&one.id, one.handle.as_ref())));
            return opened.map_or_else(Vec::new, |(package, title)| {
                open_package(model, package, title)
            });
        }
        Screen::Transfers if model.clients.shown => {
            if let Some(id) = model.clients.table.current().map(|run| run.id) {
                model.popups.push(Popup::Run { id, scroll: 0 });
            }
        }
        Screen::Transfers => {
            if let Some(id) = model.transfers.table.current().map(|transfer| transfer.id) {
                model.popups.push(Popup::Transfer { id, scroll: 0 });
            }
        }
        Screen::Conflicts => {
            if let Some(id) = model.conflicts.table.current().map(|case| case.id) {
                model.popups.push(Popup::Conflict { id, scroll: 0 });
            }
        }
        Screen::Lookups => {
            if let Some(id) = model.lookups.table.current().map(|trace| trace.id) {
                model.popups.push(Popup::Lookup { id, scroll: 0 });
            }
        }
        Screen::Health => {
            if let Some((title, text)) = model.health.explained() {
                model.popups.push(Popup::Text {
                    title,
                    text,
                    scroll: 0,
                });
            }
        }
        Screen::Logs => {
            if let Some(line) = model.logs.table.current() {
                let title = format!("{} {}", line.level.name(), crate::clock::here(line.at));
                let text = format!("{}\n{}", line.target, line.text);
                model.popups.push(Popup::Text {
                    title,
                    text,
                    scroll: 0,
                });
            }
        }
    }
    Vec::new()
}

fn open_package(model: &mut Model, package: PackageId, title: String) -> Vec<Effect> {
    let generation = model.next_generation();
    let view = PackageView {
        id: package.clone(),
        title,
        generation,
        state: PackageState::Looking,
        files: None,
        content: ContentState::default(),
        readme: ReadmeState::default(),
        scroll: 0,
    };
    model.popups.push(Popup::Package(Box::new(view)));
    vec![Effect::Look {
        generation,
        package,
    }]
}

fn looked(
    model: &mut Model,
    generation: u64,
    result: crate::Result<crate::registry::Package>,
) -> Vec<Effect> {
    let Some(view) = model.package_view(generation) else {
        return Vec::new();
    };
    match result {
        Ok(package) => {
            let release = package.latest_release();
            // The row that it was opened from may have had an older title.
            view.title = package.title();
            view.state = PackageState::Found(Box::new(package));
            release.map_or_else(Vec::new, |release| {
                transfers::look_at_content(model, generation, &release)
            })
        }
        Err(error) => {
            view.state = PackageState::Failed(error.to_string());
            Vec::new()
        }
    }
}

fn back(model: &mut Model) -> Vec<Effect> {
    if let Some(popup) = model.popups.pop() {
        // Closing the review leads back to the form.
        model.publish.typing |= matches!(popup, Popup::Review(_)) && model.publish.form.is_some();
        return Vec::new();
    }
    if model.screen == Screen::Publish
        && model
            .publish
            .progress
            .as_ref()
            .is_some_and(|one| one.ended.is_some())
    {
        model.publish.progress = None;
        return Vec::new();
    }
    let now = model.now;
    let table = model.table_mut();
    if !table.unmark() {
        table.filter_mut().input = Input::default();
        table.filtered(now);
    }
    Vec::new()
}

fn refresh(model: &mut Model) -> Vec<Effect> {
    if let Some(Popup::Package(view)) = model.popups.last().cloned() {
        model.popups.pop();
        return open_package(model, view.id, view.title);
    }
    if let Some(Popup::Buckets { .. }) = model.popups.last() {
        return vec![Effect::Routing];
    }
    let now = model.now;
    match model.screen {
        Screen::Search => search::start(model),
        Screen::Publish => vec![Effect::Own],
        Screen::Conflicts => {
            model.table_mut().sort_again(now);
            vec![Effect::Conflicts]
        }
        _ => {
            model.table_mut().sort_again(now);
            Vec::new()
        }
    }
}
