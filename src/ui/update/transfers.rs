//! Content: downloading it, controlling downloads, and the state in a package's window.

use crate::{
    bus::Level,
    domain::{
        name::PackageId,
        size::Size,
        text::printable,
        transfer::{Transfer, TransferId, TransferState},
        version::VersionText,
    },
    registry::{Hit, LookAlike, Order, ReceivedAnnouncement, Release, Wanted, title},
    ui::{
        action::{Action, KeyPlace, Screen},
        effect::{Download, Effect, EffectResult},
        model::{
            Model,
            package::{ContentState, PackageState, ReadmeState, ReleaseFiles},
            transfers::can_be_told,
        },
        popup::{
            confirm::{ConfirmWindow, OnYes},
            package::PackageWindow,
        },
    },
};

/// Asks for the state of an opened package's content, and for its readme.
pub fn check_content(model: &mut Model, generation: u64, release: &Release) -> Vec<Effect> {
    let manifest = &release.manifest;
    let mut effects = vec![Effect::Held {
        generation,
        root: manifest.content().root,
    }];
    if release.missing > 0
        && let Some(window) = model.package_window(generation)
    {
        window.files = Some(ReleaseFiles::Looking);
        let (package, version) = (release.package.clone(), manifest.version.clone());
        effects.push(Effect::Files {
            generation,
            package,
            version,
        });
    }
    let readme = Wanted::beside(release)
        .into_iter()
        .find(|other| Some(other.content) == manifest.readme);
    let Some(wanted) = readme else { return effects };
    if let Some(window) = model.package_window(generation) {
        window.readme = ReadmeState::Loading;
    }
    model.transfers.keep_quiet([wanted.content.root]);
    effects.push(Effect::Readme {
        generation,
        wanted: Box::new(wanted),
    });
    effects
}

/// Downloads the selected release, or the latest release of the opened package.
pub fn download(model: &mut Model) -> Vec<Effect> {
    let chosen = chosen(model);
    if chosen.is_empty() {
        if let Some(window) = model.window::<PackageWindow>() {
            let why = match window.state {
                PackageState::Looking => "still looking for it".to_owned(),
                _ => format!(
                    "it has no release to download ({}: look again)",
                    model.key(Action::Refresh, KeyPlace::Package)
                ),
            };
            model.answer(Level::Warning, why);
        }
        return Vec::new();
    }
    let text = match chosen.as_slice() {
        [(_, version, title)] => format!("downloading {title} {version}…"),
        several => format!("downloading {} packages…", several.len()),
    };
    model.answer(Level::Info, text);
    let effect = |(package, version, title)| Effect::Download {
        package,
        version,
        title,
    };
    chosen.into_iter().map(effect).collect()
}

/// Returns the releases to download, and the names of their packages: the opened one, or else the
/// marked ones or the selected one.
fn chosen(model: &Model) -> Vec<(PackageId, VersionText, String)> {
    if !model.popups.is_empty() {
        return opened(model).into_iter().collect();
    }
    match model.screen {
        Screen::Feed => {
            let release = |one: &ReceivedAnnouncement| {
                let title = title(&one.package, one.handle.as_ref(), one.trust);
                (one.package.clone(), one.version.clone(), title)
            };
            model.feed.chosen().into_iter().map(release).collect()
        }
        Screen::Search => {
            let release = |hit: &Hit| (hit.package.clone(), hit.version.clone(), hit.title());
            model
                .search
                .hits
                .chosen()
                .into_iter()
                .map(release)
                .collect()
        }
        _ => Vec::new(),
    }
}

fn opened(model: &Model) -> Option<(PackageId, VersionText, String)> {
    let PackageState::Found(package) = &model.window::<PackageWindow>()?.state else {
        return None;
    };
    let version = package.latest.as_ref()?.version.clone();
    Some((package.id.clone(), version, package.title()))
}

/// Returns the marked downloads that can be paused, resumed or cancelled; `None` if nothing is
/// marked, or if a transfer is open.
fn marked(model: &Model) -> Option<Vec<&Transfer>> {
    let table = &model.transfers.table;
    let marks = model.popups.is_empty() && !model.clients.shown && !table.marked.is_empty();
    marks.then(|| {
        let mut chosen = table.chosen();
        chosen.retain(|one| can_be_told(one));
        chosen
    })
}

fn orders(transfers: &[&Transfer], order: Order) -> Vec<Effect> {
    let effect = |transfer: &&Transfer| Effect::Direct {
        id: transfer.id,
        order,
        what: printable(&transfer.what),
    };
    transfers.iter().map(effect).collect()
}

/// Pauses or resumes a download.
pub fn pause(model: &mut Model) -> Vec<Effect> {
    if let Some(marked) = marked(model) {
        let runs =
            |one: &&Transfer| matches!(one.state, TransferState::Waiting | TransferState::Running);
        let (running, paused): (Vec<_>, Vec<_>) = marked.into_iter().partition(runs);
        return if running.is_empty() {
            orders(&paused, Order::Resume)
        } else {
            orders(&running, Order::Pause)
        };
    }
    let Some(transfer) = model.shown_transfer() else {
        return Vec::new();
    };
    let what = printable(&transfer.what);
    let order = match (&transfer.id, &transfer.state) {
        (TransferId::Serve { .. }, _) => Err("only the other side can stop an upload".to_owned()),
        (_, TransferState::Waiting | TransferState::Running) => Ok(Order::Pause),
        (_, TransferState::Paused | TransferState::Failed(_)) => Ok(Order::Resume),
        (_, TransferState::Done) => Err(format!("{what} is complete")),
        (_, TransferState::Cancelled) => Err(format!(
            "{what} was cancelled; press {} on its package to download it again",
            model.key(Action::Download, Screen::Search)
        )),
    };
    match order {
        Ok(order) => vec![Effect::Direct {
            id: transfer.id,
            order,
            what,
        }],
        Err(why) => {
            model.answer(Level::Info, why);
            Vec::new()
        }
    }
}

pub fn ask_to_cancel(model: &mut Model) {
    if let Some(marked) = marked(model) {
        if marked.is_empty() {
            let why = "no marked transfer can be cancelled".to_owned();
            return model.answer(Level::Info, why);
        }
        let names: Vec<String> = marked.iter().map(|one| printable(&one.what)).collect();
        let run = orders(&marked, Order::Cancel);
        return model.open(ConfirmWindow {
            title: "Cancel the downloads",
            text: format!(
                "Cancel {} downloads ({})? Their data is discarded.",
                names.len(),
                names.join(", ")
            ),
            on_yes: OnYes::Run(run),
        });
    }
    let Some(transfer) = model.shown_transfer() else {
        return;
    };
    let what = printable(&transfer.what);
    if !can_be_told(transfer) {
        let why = match transfer.id {
            TransferId::Serve { .. } => "only the other side can stop an upload".to_owned(),
            TransferId::Fetch { .. } => format!("{what} has ended"),
        };
        return model.answer(Level::Info, why);
    }
    let came = match transfer.done {
        0 => "Its data".to_owned(),
        done => format!("Its data ({} of {})", Size(done), Size(transfer.size)),
    };
    let text = format!(
        "Cancel the download of {what}? {came} is discarded. (To keep it, pause instead: {}.)",
        model.key(Action::Pause, Screen::Transfers)
    );
    let on_yes = OnYes::Run(vec![Effect::Direct {
        id: transfer.id,
        order: Order::Cancel,
        what,
    }]);
    model.open(ConfirmWindow {
        title: "Cancel the download",
        text,
        on_yes,
    });
}

/// Describes the work that quitting would interrupt.
pub fn unfinished(model: &Model) -> Option<String> {
    let mut under_way = model.transfers.under_way().filter(|_| model.ends_node);
    let first = under_way.next()?;
    Some(match under_way.count() {
        0 => format!("{first} is being downloaded."),
        more => format!("{first} and {more} more are being downloaded."),
    })
}

pub fn on_message(model: &mut Model, message: EffectResult) -> Vec<Effect> {
    match message {
        EffectResult::Held { generation, result } => {
            let Some(window) = model.package_window(generation) else {
                return Vec::new();
            };
            // The content may have arrived in the meantime.
            if !matches!(window.content, ContentState::Here(_)) {
                window.content = match *result {
                    Ok(Some(held)) => ContentState::Here(Some(Box::new(held))),
                    Ok(None) => ContentState::NotHere,
                    Err(error) => ContentState::Unknown(error.to_string()),
                };
            }
        }
        EffectResult::Files { generation, result } => {
            let Some(window) = model.package_window(generation) else {
                return Vec::new();
            };
            window.files = Some(match *result {
                Ok(Release { files, missing, .. }) => ReleaseFiles::Are(files, missing),
                Err(error) => ReleaseFiles::Failed(error.to_string()),
            });
        }
        EffectResult::Readme { generation, result } => {
            let Some(window) = model.package_window(generation) else {
                return Vec::new();
            };
            window.readme = match result {
                Ok(readme) => ReadmeState::Is(readme),
                Err(why) => ReadmeState::Failed(why),
            };
        }
        EffectResult::Download(Download::Found {
            release,
            missing,
            looks_like,
        }) => {
            found(model, &release, &missing, looks_like.as_ref());
        }
        EffectResult::Download(Download::Failed { root, what, why }) => {
            root.iter().for_each(|root| model.transfers.forget(root));
            model.answer(Level::Error, format!("cannot download {what}: {why}"));
        }
        EffectResult::Directed {
            what,
            order,
            result,
        } => {
            let key = |action, screen| model.key(action, screen);
            let (level, text) = match (*result, order) {
                (Ok(true), Order::Pause) => (
                    Level::Info,
                    format!(
                        "paused {what} ({}: resume)",
                        key(Action::Pause, Screen::Transfers)
                    ),
                ),
                (Ok(true), Order::Resume) => (Level::Info, format!("resumed {what}")),
                (Ok(true), Order::Cancel) => (
                    Level::Info,
                    format!("cancelled {what} and discarded its data"),
                ),
                (Ok(false), _) => (
                    Level::Warning,
                    format!("nothing to do: {what} has ended or not started"),
                ),
                (Err(error), _) => (Level::Error, error.to_string()),
            };
            model.answer(level, text);
        }
        _ => {}
    }
    Vec::new()
}

fn found(model: &mut Model, release: &Release, missing: &[Wanted], looks_like: Option<&LookAlike>) {
    let what = Wanted::of(release).what;
    model.transfers.keep_quiet(
        Wanted::beside(release)
            .iter()
            .map(|other| other.content.root),
    );
    let text = if missing.is_empty() {
        format!("{what} is on this node already")
    } else {
        for file in missing {
            model.transfers.asked(file.content.root, file.what.clone());
        }
        let files = match missing.len() {
            1 => String::new(),
            count => format!(", {count} files"),
        };
        let yanked = if release.state.yanked {
            ", yanked by its publisher"
        } else {
            ""
        };
        format!(
            "downloading {what}{files}{yanked} (details: {})",
            model.key(Action::Go(Screen::Transfers), model.screen)
        )
    };
    match looks_like {
        Some(other) => model.answer(
            Level::Warning,
            format!("{text}; it looks like {}", printable(&other.to_string())),
        ),
        None => model.answer(Level::Info, text),
    }
}
