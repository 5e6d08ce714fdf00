//! The Publish screen: the form, the checks behind it, and a publish in progress.

use std::{collections::BTreeMap, path::PathBuf};

use crate::{
    bus::Level,
    domain::{name::PackageRef, trust::Trust},
    registry::{OwnPackage, OwnPackages, PublishStep},
    ui::{
        action::{Action, Screen},
        effect::{Effect, EffectResult},
        model::{
            Model,
            form::{Field, FileState, ReleaseForm},
            publish::{Hashed, PublishProgress, Replacement, named},
        },
        popup::{
            Reply,
            confirm::{ConfirmWindow, OnYes},
            picker::PickerWindow,
            review::ReviewWindow,
        },
    },
};

/// Offers the draft that an earlier run saved.
pub fn restore(model: &mut Model, texts: &BTreeMap<String, String>) {
    let form = ReleaseForm::from_texts(texts);
    if form.is_empty() {
        return;
    }
    let name = form.text(Field::Name).to_owned();
    model.publish.form = Some(form);
    model.publish.found = true;
    let what = if name.is_empty() {
        "unfinished draft".to_owned()
    } else {
        format!("unfinished draft: {name}")
    };
    let text = format!(
        "{what} (press {}, then {})",
        model.key(Action::Go(Screen::Publish), model.screen),
        model.key(Action::ContinueDraft, Screen::Publish)
    );
    model.answer(Level::Info, text);
}

/// Forgets a saved draft that became a release before the earlier run ended.
fn forget_published(model: &mut Model) -> Vec<Effect> {
    let Some(form) = model.publish.form.as_ref().filter(|_| model.publish.found) else {
        return Vec::new();
    };
    let (name, version) = (
        form.text(Field::Name).trim(),
        form.text(Field::Version).trim(),
    );
    let is_it = |package: &OwnPackage| {
        let latest = package
            .latest
            .as_ref()
            .map(|latest| latest.version.to_string());
        package.id.name.as_str() == name && latest.as_deref() == Some(version)
    };
    if !model.publish.mine.all().any(is_it) {
        return Vec::new();
    }
    model.publish.form = None;
    model.publish.found = false;
    model.notices.forget_answer();
    model.dirty = true;
    vec![Effect::SaveDraft(None)]
}

/// Opens another form; asks first if a draft would be lost.
pub fn new_form(model: &mut Model, with: Replacement) -> Vec<Effect> {
    if model.publish.is_running() {
        model.answer(
            Level::Warning,
            "another publish is still in progress".to_owned(),
        );
        return Vec::new();
    }
    match &model.publish.form {
        Some(form) if !form.is_empty() => {
            let name = form.text(Field::Name);
            let what = if name.is_empty() {
                "The draft".to_owned()
            } else {
                format!("The draft of {name}")
            };
            let text = format!("{what} would be lost. Replace it?");
            let on_yes = OnYes::Replace(with);
            model.open(ConfirmWindow {
                title: "Replace the draft",
                text,
                on_yes,
            });
            Vec::new()
        }
        _ => fill_form(model, with),
    }
}

pub fn new_release(model: &mut Model) -> Vec<Effect> {
    match model
        .publish
        .mine
        .current()
        .map(|package| package.id.clone())
    {
        Some(id) => new_form(model, Replacement::Following(id)),
        None => {
            model.answer(
                Level::Info,
                format!(
                    "you have no packages yet ({}: new)",
                    model.key(Action::NewPackage, Screen::Publish)
                ),
            );
            Vec::new()
        }
    }
}

pub fn fill_form(model: &mut Model, with: Replacement) -> Vec<Effect> {
    let form = match with {
        Replacement::New => {
            let handle = model
                .publish
                .mine
                .all()
                .find_map(|package| package.handle.clone())
                .map(|h| h.to_string());
            let handle =
                handle.or_else(|| model.node.as_ref().and_then(|node| node.handle.clone()));
            ReleaseForm::new(handle.as_deref())
        }
        Replacement::Following(id) => match model.publish.mine.get(&id) {
            Some(package) => ReleaseForm::following(package),
            None => ReleaseForm::new(None),
        },
    };
    model.publish.progress = None;
    model.publish.form = Some(form);
    model.publish.typing = true;
    model.publish.found = false;
    let mut effects = ask_for_claims(model, false);
    effects.push(save_draft(model));
    effects
}

pub fn continue_draft(model: &mut Model) -> Vec<Effect> {
    if model.publish.form.is_none() {
        model.answer(Level::Info, no_draft(model));
        return Vec::new();
    }
    model.publish.typing = true;
    model.publish.progress = model
        .publish
        .progress
        .take()
        .filter(|progress| progress.ended.is_none());
    let mut effects = check_file(model);
    effects.extend(ask_for_claims(model, false));
    effects
}

/// Returns the message for a missing draft.
fn no_draft(model: &Model) -> String {
    format!(
        "there is no draft ({}: new package, {}: new release)",
        model.key(Action::NewPackage, Screen::Publish),
        model.key(Action::NewRelease, Screen::Publish)
    )
}

/// Returns the effect that saves the current draft.
fn save_draft(model: &Model) -> Effect {
    let form = model.publish.form.as_ref().filter(|form| !form.is_empty());
    Effect::SaveDraft(form.map(ReleaseForm::to_texts))
}

/// Checks the file that the path names, and other publishers' claims to the handle.
fn check_file(model: &mut Model) -> Vec<Effect> {
    let generation = model.next_generation();
    model.publish.stat = generation;
    let Some(form) = &mut model.publish.form else {
        return Vec::new();
    };
    form.file = FileState::Unknown;
    let path = form.text(Field::File).to_owned();
    if path.is_empty() {
        Vec::new()
    } else {
        vec![Effect::Stat { generation, path }]
    }
}

/// Asks who else claims the handle: this node at every key, and its peers before signing.
fn ask_for_claims(model: &mut Model, ask: bool) -> Vec<Effect> {
    let Some(form) = &mut model.publish.form else {
        return Vec::new();
    };
    if !ask {
        form.claimed = None;
    }
    match form.text(Field::Handle).trim().parse() {
        Ok(handle) => vec![Effect::Claimed { handle, ask }],
        Err(_) => Vec::new(),
    }
}

pub fn edited(model: &mut Model) -> Vec<Effect> {
    let Some(form) = &mut model.publish.form else {
        return Vec::new();
    };
    form.grow();
    let field = form.focused();
    model.publish.found = false;
    let mut effects = match field {
        Field::File => check_file(model),
        Field::Handle => ask_for_claims(model, false),
        _ => Vec::new(),
    };
    effects.push(save_draft(model));
    effects
}

pub fn step_field(model: &mut Model, forward: bool) -> Vec<Effect> {
    let Some(form) = &mut model.publish.form else {
        return Vec::new();
    };
    form.step(forward);
    // Put the cursor at the end of the text.
    let input = form.focused_input();
    *input = tui_input::Input::new(input.value().to_owned());
    if form.focused() == Field::File {
        check_file(model)
    } else {
        Vec::new()
    }
}

pub fn leave_form(model: &mut Model) -> Vec<Effect> {
    model.publish.typing = false;
    match &model.publish.form {
        Some(form) if form.is_empty() => model.publish.form = None,
        _ => model.answer(
            Level::Info,
            format!(
                "draft saved ({}: continue)",
                model.key(Action::ContinueDraft, Screen::Publish)
            ),
        ),
    }
    vec![save_draft(model)]
}

/// Accepts the completion of the path, if the cursor is at its end.
pub fn take_proposal(model: &mut Model) -> Option<Vec<Effect>> {
    if model.place() != crate::ui::action::KeyPlace::Form {
        return None;
    }
    let form = model
        .publish
        .form
        .as_mut()
        .filter(|form| form.focused() == Field::File)?;
    let input = form.input(Field::File);
    if input.cursor() < input.value().chars().count() {
        return None;
    }
    let proposed = form.proposed()?.to_owned();
    let path = format!("{}{proposed}", form.text(Field::File));
    form.set(Field::File, &path);
    Some(edited(model))
}

pub fn pick_file(model: &mut Model) -> Vec<Effect> {
    let typed = model
        .publish
        .form
        .as_ref()
        .map_or("", |form| form.text(Field::File));
    let here = || std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let dir = match typed.rfind('/') {
        Some(at) => PathBuf::from(typed.get(..=at).unwrap_or("/")),
        None => here(),
    };
    let dir = if dir.is_absolute() {
        dir
    } else {
        here().join(dir)
    };
    let (picker, effect) = PickerWindow::of(model, dir);
    model.open(picker);
    vec![effect]
}

/// Puts a path that was picked into the form.
pub fn take_path(model: &mut Model, path: &std::path::Path) -> Vec<Effect> {
    let Some(form) = &mut model.publish.form else {
        return Vec::new();
    };
    form.set(Field::File, &path.to_string_lossy());
    form.focus_on(Field::File);
    edited(model)
}

/// Shows the manifest for review, or the problems to correct before that.
pub fn review(model: &mut Model) -> Vec<Effect> {
    if model.publish.is_running() {
        model.answer(
            Level::Warning,
            "another publish is still in progress".to_owned(),
        );
        return Vec::new();
    }
    let Some(checked) = model.publish.check() else {
        model.answer(Level::Info, no_draft(model));
        return Vec::new();
    };
    let generation = model.next_generation();
    let Some(form) = &mut model.publish.form else {
        return Vec::new();
    };
    form.tried = true;
    if checked.draft.is_none() {
        let first = form
            .fields()
            .into_iter()
            .find(|field| checked.problems.contains_key(field));
        if let Some(first) = first {
            form.focus_on(first);
        }
        model.publish.typing = true;
        let count = checked.problems.len();
        let what = if count == 1 {
            "1 field is".to_owned()
        } else {
            format!("{count} fields are")
        };
        model.answer(Level::Warning, format!("{what} missing or wrong"));
        return Vec::new();
    }
    let path = PathBuf::from(form.text(Field::File));
    let checked_draft = checked.draft.clone();
    let hashed = match form.file {
        FileState::Directory => Hashed::Packing { done: 0, size: 0 },
        _ => Hashed::Reading { done: 0, size: 0 },
    };
    model.open(ReviewWindow {
        generation,
        checked,
        path: path.clone(),
        hashed,
        listing: None,
    });
    let draft = checked_draft.map(Box::new);
    let mut effects = vec![Effect::Hash {
        generation,
        path,
        draft,
    }];
    effects.extend(ask_for_claims(model, true));
    effects
}

/// Publishes the reviewed release, unless its file is still being read.
pub fn publish(model: &mut Model, review: &ReviewWindow) -> Reply {
    let Hashed::Is(content) = review.hashed else {
        model.answer(
            Level::Info,
            "it is still being read; wait a moment".to_owned(),
        );
        return Reply::Stay(Vec::new());
    };
    let Some(draft) = review.checked.draft.clone() else {
        return Reply::Stay(Vec::new());
    };
    let title = format!("{} {}", draft.name, draft.version);
    if !model.running {
        model.answer(
            Level::Warning,
            "the node is still starting; the draft is kept; try again in a moment".to_owned(),
        );
        return Reply::Close(Vec::new());
    }
    let generation = model.next_generation();
    model.publish.typing = false;
    model.publish.progress = Some(PublishProgress {
        generation,
        title,
        taken: (0, content.size),
        steps: Vec::new(),
        ended: None,
    });
    Reply::Close(vec![Effect::Publish {
        generation,
        draft: Box::new(draft),
        content,
        path: review.path.clone(),
    }])
}

pub fn ask_to_yank(model: &mut Model) {
    let Some(package) = model.publish.mine.current() else {
        return model.answer(Level::Info, "you have no packages yet".to_owned());
    };
    let Some(latest) = &package.latest else {
        return;
    };
    let (name, yank) = (named(package), !latest.is_yanked());
    let text = if yank {
        format!(
            "Yank {name}? It can still be downloaded by its version, but is no longer resolved. \
             You can \
             un-yank it."
        )
    } else {
        format!("Un-yank {name}? It can be resolved again.")
    };
    let on_yes = OnYes::Run(vec![Effect::Yank {
        package: PackageRef::of(&package.id),
        version: latest.version.clone(),
        yank,
        name,
    }]);
    let title = if yank { "Yank" } else { "Un-yank" };
    model.open(ConfirmWindow {
        title,
        text,
        on_yes,
    });
}

pub fn on_message(model: &mut Model, message: EffectResult) -> Vec<Effect> {
    let now = model.now;
    match message {
        EffectResult::Own(result) => match *result {
            Ok(OwnPackages {
                publisher,
                key,
                packages,
            }) => {
                (model.publish.own, model.publish.key) = (publisher, Some(key));
                for package in &packages {
                    if let (Some(handle), Some(own)) = (&package.handle, publisher) {
                        model.claims.saw(handle, own, Some(Trust::Own));
                    }
                }
                let same = model.publish.known
                    && packages.len() == model.publish.mine.len()
                    && packages
                        .iter()
                        .all(|package| model.publish.mine.get(&package.id) == Some(package));
                if !same {
                    model.publish.known = true;
                    model.publish.mine.replace(packages, now);
                    model.dirty |= model.screen == Screen::Publish;
                }
                return forget_published(model);
            }
            Err(error) => model.answer(Level::Error, format!("cannot list your packages: {error}")),
        },
        EffectResult::Stat {
            generation,
            state,
            proposals,
        } => {
            if generation == model.publish.stat
                && let Some(form) = &mut model.publish.form
            {
                form.file = state;
                form.proposals = proposals;
                model.dirty = true;
            }
        }
        EffectResult::Claimed(claims) => {
            if let Some(form) = &mut model.publish.form
                && form.text(Field::Handle).trim() == claims.handle.as_str()
            {
                form.claimed = claims.others().next().map(|other| {
                    format!(
                        "the key {} has claimed {} since {}: people would have to use your id; \
                         choose \
                         another handle",
                        other.publisher.fingerprint(),
                        claims.handle,
                        crate::clock::day(other.since),
                    )
                });
                model.dirty = true;
            }
        }
        EffectResult::Listed {
            generation,
            entries,
        } => {
            if let Some(picker) = model.window_mut::<PickerWindow>()
                && picker.generation == generation
            {
                picker.entries = Some(entries);
                model.dirty = true;
            }
        }
        EffectResult::Hashed { generation, hashed } => hashed_now(model, generation, hashed),
        EffectResult::Listing {
            generation,
            listing,
        } => {
            if let Some(review) = model.window_mut::<ReviewWindow>()
                && review.generation == generation
            {
                review.listing = Some(listing);
                model.dirty = true;
            }
        }
        EffectResult::Putting { generation, taken } => {
            if let Some(progress) = model
                .publish
                .progress
                .as_mut()
                .filter(|one| one.generation == generation)
            {
                progress.taken = taken;
                model.dirty = true;
            }
        }
        EffectResult::Step {
            generation,
            step,
            after,
        } => {
            if let Some(progress) = model
                .publish
                .progress
                .as_mut()
                .filter(|one| one.generation == generation)
            {
                let stored = matches!(step, PublishStep::Stored);
                progress.steps.push((step, after));
                model.dirty = true;
                // The release is stored, so its draft is done.
                if stored {
                    return vec![Effect::SaveDraft(None)];
                }
            }
        }
        EffectResult::Published { generation, result } => {
            return published(model, generation, *result);
        }
        EffectResult::Yanked { what, result } => {
            match *result {
                Ok(receipt) if receipt.pending => {
                    model.answer(Level::Info, format!("{what}; it will be announced"))
                }
                Ok(_) => model.answer(Level::Info, what),
                Err(error) => model.answer(Level::Error, error.to_string()),
            }
            return vec![Effect::Own];
        }
        _ => {}
    }
    Vec::new()
}

fn hashed_now(model: &mut Model, generation: u64, hashed: Hashed) {
    let Some(review) = model.window_mut::<ReviewWindow>() else {
        return;
    };
    if review.generation != generation {
        return;
    }
    review.hashed = hashed.clone();
    if let (Hashed::Wrong(why), Some(form)) = (hashed, &mut model.publish.form) {
        form.file = FileState::Wrong(why);
    }
    model.dirty = true;
}

fn published(
    model: &mut Model,
    generation: u64,
    result: crate::Result<crate::registry::Receipt>,
) -> Vec<Effect> {
    model.dirty = true;
    let Some(progress) = model
        .publish
        .progress
        .as_mut()
        .filter(|one| one.generation == generation)
    else {
        return vec![Effect::Own];
    };
    match result {
        Ok(receipt) => {
            progress.ended = Some(Ok(receipt));
            model.publish.form = None;
            vec![Effect::SaveDraft(None), Effect::Own]
        }
        Err(error) => {
            progress.ended = Some(Err(error.to_string()));
            if progress.is_stored() {
                model.publish.form = None;
            }
            vec![save_draft(model), Effect::Own]
        }
    }
}
