//! Changes of the model by keys, clicks, batches and results. Nothing here draws, blocks or does
//! I/O: functions return effects.

mod conflicts;
mod map;
mod mouse;
pub mod peers;
pub mod publish;
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
    layout,
    model::{Model, package::PackageState, publish::Replacement},
    popup::{
        self,
        about::AboutWindow,
        buckets::BucketsWindow,
        columns::ColumnsWindow,
        confirm::{ConfirmWindow, OnYes},
        conflict::ConflictWindow,
        help::HelpWindow,
        lookup::LookupWindow,
        package::PackageWindow,
        peer::PeerWindow,
        run::RunWindow,
        text::TextWindow,
        transfer::TransferWindow,
    },
    widget::number::count,
};
use crate::{
    bus::{Level, Notice, REFUSED},
    domain::time::Timestamp,
    registry::{SearchUpdate, claimed, title},
};

pub fn on_key(model: &mut Model, chord: Chord, now: Timestamp) -> Vec<Effect> {
    model.now = now;
    model.notices.dismiss_answer(now);
    model.table_mut().touched(now);
    let typing = model.typing();
    let found = model.keymap.find(chord, typing, model.place());
    if found.is_some_and(Action::is_on_row) && model.popups.is_empty() {
        model.table_mut().hold(now);
    }
    let effects = match found.or_else(|| screen_key(model, chord)) {
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

/// Returns the screen that a key leads to from an empty search field, where a person wants to go on
/// more often than to search for a digit. A space before the digit makes it text.
fn screen_key(model: &Model, chord: Chord) -> Option<Action> {
    let search = model.screen == Screen::Search && model.popups.is_empty();
    let empty = search && model.search.typing && model.search.input.value().is_empty();
    model
        .keymap
        .find(chord, false, model.place())
        .filter(|action| empty && matches!(action, Action::Go(_)))
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
    let mut effects = model
        .popups
        .last()
        .map_or_else(Vec::new, |popup| popup.window.tick());
    effects.extend(match model.screen {
        // The network accepts a release in the background, so ask for its state.
        Screen::Publish if model.running => vec![Effect::Own],
        Screen::Logs if model.running => vec![Effect::Logs {
            since: model.logs.next,
        }],
        Screen::Search => search::on_tick(model, now),
        _ => Vec::new(),
    });
    effects.extend(conflicts::on_tick(model));
    effects
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
                if let SearchUpdate::Hits { hits, .. } = &update {
                    for hit in hits {
                        if let Some(handle) = &hit.handle {
                            let owner = hit.package.owner;
                            model.claims.saw(handle, owner, Some(hit.trust));
                        }
                    }
                }
                model.search.update(update, after, now);
                let known = model.known_packages();
                model.search.answered_with(known);
                model.dirty = true;
            }
            Vec::new()
        }
        EffectResult::Package { generation, result } => package_found(model, generation, *result),
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
            model.dirty |= model.window::<BucketsWindow>().is_some();
            Vec::new()
        }
        EffectResult::Link(link) => {
            model.set_link(link);
            Vec::new()
        }
        EffectResult::Notice(level, text) => {
            model.notices.push(
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
        EffectResult::Peer {
            name,
            action,
            result,
        } => {
            peers::done(model, &name, action, *result);
            Vec::new()
        }
        EffectResult::Served(served) => {
            model.served = Some(served);
            model.dirty |= model.window::<PeerWindow>().is_some();
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
        EffectResult::Conflicts(_) | EffectResult::Trust { .. } => {
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
    if let Some(why) = model.refusal(action) {
        model.answer(Level::Warning, why.to_owned());
        return Vec::new();
    }
    let marked = model.table().marked();
    if marked > 0 && action.is_on_one() && model.popups.is_empty() {
        let key = model.key(Action::Back, model.screen);
        let text = format!("{marked} marked, and this is for one at a time ({key}: unmark)");
        model.answer(Level::Warning, text);
        return Vec::new();
    }
    if let Some(effects) = popup::act(model, action) {
        return effects;
    }
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
        Action::Columns => model.open(ColumnsWindow),
        Action::Freeze => model.table_mut().toggle_frozen(now),
        Action::Refresh => return refresh(model),
        Action::Open => return open(model),
        Action::Back => back(model),
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
        Action::About => model.open(AboutWindow),
        Action::NewPackage => return publish::new_form(model, Replacement::New),
        Action::NewRelease => return publish::new_release(model),
        Action::ContinueDraft => return publish::continue_draft(model),
        Action::Yank => publish::ask_to_yank(model),
        Action::Download => return transfers::download(model),
        Action::Buckets => {
            model.open(BucketsWindow);
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
        Action::Review => return publish::review(model),
        Action::Facets => search::to_facets(model),
        Action::Recent => return search::recent(model),
        Action::Zoom { closer } => map::zoom(model, closer, None),
        Action::Pan(pan) => drop(map::pan(model, pan, 8)),
        Action::Fit => map::fit(model),
        Action::NextPeer(steps) => map::next_peer(model, steps),
        Action::LogLevel => model.logs.next_level(now),
        Action::Changes => {
            let text = model.health.changes();
            model.open(TextWindow {
                title: "Health history".to_owned(),
                text,
            });
        }
        Action::OpenLog => match &model.logs.path {
            Some(path) => return vec![Effect::Pager(path.clone())],
            None => model.answer(Level::Warning, "there is no log file yet".to_owned()),
        },
        Action::Reannounce => return vec![Effect::Reannounce],
        Action::BanPeer => return peers::ban(model),
        Action::ProtectPeer => return peers::protect(model),
        Action::DisconnectPeer => peers::disconnect(model),
        Action::Edit(kind) => return edit_kind(model, kind),
        Action::LeaveField => return leave_field(model),
        Action::Refused => return refused(model),
        Action::SortBy(letter) => {
            if let Some(column) = model.table().column_of(letter) {
                model.table_mut().sort_by(column, now);
            }
        }
        Action::Help => model.open(HelpWindow),
        Action::Suspend => return vec![Effect::Suspend],
        Action::Quit => {
            if model.popups.pop().is_none() {
                quit(model);
            }
        }
        Action::QuitNow => model.quit = true,
        // Their windows have handled these.
        Action::ToggleColumn
        | Action::ShiftColumn { .. }
        | Action::WidenColumn { .. }
        | Action::ResetColumns
        | Action::ToggleFacet
        | Action::TakeDirectory
        | Action::Accept
        | Action::Decline => {}
    }
    Vec::new()
}

/// Says what ends with this explorer, if others use the node that it runs.
fn served(model: &Model) -> Option<String> {
    let node = model.node.as_ref().filter(|_| model.ends_node)?;
    let mut users = Vec::new();
    if node.connected > 0 {
        users.push(count(node.connected as u64, "peer is", "peers are") + " connected");
    }
    match model.transfers.uploads() {
        0 => {}
        uploads => users.push(count(uploads as u64, "upload is", "uploads are") + " running"),
    }
    match model.clients.open() {
        0 => {}
        clients => users.push(
            count(
                clients as u64,
                "package manager waits",
                "package managers wait",
            ) + " for it",
        ),
    }
    let text = "This explorer runs your node, and quitting ends it";
    (!users.is_empty()).then(|| {
        format!(
            "{text}: {}. (`swarmdex node` runs one without an explorer.)",
            users.join(", ")
        )
    })
}

fn quit(model: &mut Model) {
    let served = served(model);
    let text = if model.publish.is_running() {
        "A publish is in progress. Nothing is lost: if it is saved already, the next start resumes \
         it, and otherwise the draft is kept. Quit anyway?"
            .to_owned()
    } else if let Some(unfinished) = transfers::unfinished(model) {
        format!("{unfinished} The data so far is kept, and the next start resumes. Quit anyway?")
    } else if served.is_some() {
        "Quit anyway?".to_owned()
    } else {
        model.quit = true;
        return;
    };
    let text = match served {
        Some(served) => format!("{served} {text}"),
        None => text,
    };
    model.open(ConfirmWindow {
        title: "Quit",
        text,
        on_yes: OnYes::Quit,
    });
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
    // A screen always begins in the same mode, with its rows in order.
    let now = model.now;
    model.publish.typing = false;
    model.search.typing = screen == Screen::Search;
    let table = model.table_mut();
    table.filter_mut().typing = false;
    table.catch_up(now);
    match screen {
        Screen::Search if model.search.generation == 0 => effects.extend(search::start(model)),
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

/// Shows the log lines of refused data, which the header and Health count.
fn refused(model: &mut Model) -> Vec<Effect> {
    let effects = go(model, Screen::Logs);
    let now = model.now;
    model.logs.show_all(now);
    let table = model.table_mut();
    table.filter_mut().input = Input::new(format!("target:{REFUSED}"));
    table.filtered(now);
    effects
}

fn step_list(model: &mut Model, step: CursorMove) {
    if !model.popups.is_empty() {
        return popup::step(model, step);
    }
    if model.screen == Screen::Map && map::step(model, step) {
        return;
    }
    let page = layout::page(model);
    model.table_mut().step(step, page);
}

fn copy(model: &Model) -> Vec<Effect> {
    let (text, things) = model.table().copied();
    if things == 0 {
        Vec::new()
    } else {
        vec![Effect::Copy { text, things }]
    }
}

fn open(model: &mut Model) -> Vec<Effect> {
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
            model.open(PeerWindow { id });
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
                PackageWindow::open(model, package, title)
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
            let mut effects = PackageWindow::open(model, package, title);
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
                PackageWindow::open(model, package, title)
            });
        }
        Screen::Transfers if model.clients.shown => {
            if let Some(id) = model.clients.table.current().map(|run| run.id) {
                model.open(RunWindow { id });
            }
        }
        Screen::Transfers => {
            if let Some(id) = model.transfers.table.current().map(|transfer| transfer.id) {
                model.open(TransferWindow { id });
            }
        }
        Screen::Conflicts => {
            if let Some(id) = model.conflicts.table.current().map(|case| case.id) {
                model.open(ConflictWindow { id });
            }
        }
        Screen::Lookups => {
            if let Some(id) = model.lookups.table.current().map(|trace| trace.id) {
                model.open(LookupWindow { id });
            }
        }
        Screen::Health => {
            let key = model.key(Action::Refused, Screen::Health);
            if let Some((title, text)) = model.health.explained(&key) {
                model.open(TextWindow { title, text });
            }
        }
        Screen::Logs => {
            if let Some(line) = model.logs.table.current() {
                let title = format!("{} {}", line.level.name(), crate::clock::here(line.at));
                let text = format!("{}\n{}", line.target, line.text);
                model.open(TextWindow { title, text });
            }
        }
    }
    Vec::new()
}

fn package_found(
    model: &mut Model,
    generation: u64,
    result: crate::Result<crate::registry::Package>,
) -> Vec<Effect> {
    if let Ok(package) = &result
        && let Some(handle) = &package.handle
    {
        model
            .claims
            .saw(handle, package.id.owner, Some(package.trust));
    }
    let Some(window) = model.package_window(generation) else {
        return Vec::new();
    };
    match result {
        Ok(package) => {
            let release = package.latest_release();
            // The row that it was opened from may have had an older title.
            window.title = package.title();
            window.state = PackageState::Found(Box::new(package));
            release.map_or_else(Vec::new, |release| {
                transfers::check_content(model, generation, &release)
            })
        }
        Err(error) => {
            window.state = PackageState::Failed(error.to_string());
            Vec::new()
        }
    }
}

fn back(model: &mut Model) {
    if model.popups.pop().is_some() {
        return;
    }
    if model.screen == Screen::Publish
        && model
            .publish
            .progress
            .as_ref()
            .is_some_and(|one| one.ended.is_some())
    {
        model.publish.progress = None;
        return;
    }
    let now = model.now;
    let table = model.table_mut();
    if !table.unmark() {
        table.filter_mut().input = Input::default();
        table.filtered(now);
    }
}

fn refresh(model: &mut Model) -> Vec<Effect> {
    let now = model.now;
    match model.screen {
        Screen::Search => search::again(model),
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
