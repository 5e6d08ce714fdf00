//! Conflicts: refreshing the list, and trusting or distrusting a key.

use tui_input::Input;

use crate::{
    bus::Level,
    domain::{conflict::Case, trust::Trust},
    ui::{
        action::{Action, Screen},
        effect::{Effect, EffectResult},
        model::{Model, conflicts::refused},
        popup::{
            confirm::{ConfirmWindow, OnYes},
            export::ExportWindow,
        },
    },
};

/// Refreshes the list if it is due, or if the node has refused another conflicting message.
pub fn on_tick(model: &mut Model) -> Vec<Effect> {
    // The other screens need it for the signs of contested handles only.
    let wanted = model.screen == Screen::Conflicts || model.conflicts.is_unasked();
    let due =
        wanted && model.running && model.conflicts.is_due(refused(&model.counters), model.now);
    if due {
        vec![Effect::Conflicts]
    } else {
        Vec::new()
    }
}

/// Returns the opened conflict, or else the selected one; shows a message if there is none.
fn selected(model: &mut Model) -> Option<Case> {
    let case = model.shown_conflict().cloned();
    if case.is_none() {
        model.answer(Level::Info, "no conflict is selected".to_owned());
    }
    case
}

pub fn next_key(model: &mut Model) {
    let Some(case) = selected(model) else { return };
    if !model.conflicts.next_key(case.id) {
        return model.answer(Level::Info, "there is only one key".to_owned());
    }
    if let Some(side) = model.conflicts.key(&case) {
        let key = side.publisher.fingerprint();
        model.answer(
            Level::Info,
            format!(
                "selected {key} ({}: trust, {}: distrust)",
                model.key(Action::Trust, Screen::Conflicts),
                model.key(Action::Distrust, Screen::Conflicts)
            ),
        );
    }
}

pub fn ask_to_trust(model: &mut Model) {
    let Some(case) = selected(model) else { return };
    let Some(side) = model.conflicts.key(&case) else {
        return;
    };
    let (publisher, short) = (side.publisher, side.publisher.fingerprint());
    let back = match side.trust {
        Trust::Pinned => return model.answer(Level::Info, format!("{short} is pinned already")),
        Trust::Own => return model.answer(Level::Info, format!("{short} is your own key")),
        Trust::Distrusted => " Its packages will be visible again.",
        Trust::Unknown => "",
    };
    let (text, name) = match &case.handle {
        Some(handle) => (
            format!(
                "Trust the key {publisher} (fingerprint {short}) as {handle}? From now on, \
                 {handle} means \
                 this key on this node, whatever it meant before.{back}"
            ),
            format!("{handle} now means {short}"),
        ),
        None if side.trust == Trust::Unknown => {
            return model.answer(Level::Info, format!("{short} has no handle to pin"));
        }
        None => (
            format!("Stop distrusting the key {publisher} (fingerprint {short})?{back}"),
            format!("{short} is no longer distrusted"),
        ),
    };
    let on_yes = OnYes::Run(vec![Effect::Trust {
        publisher,
        handle: case.handle.clone(),
        what: name,
    }]);
    model.open(ConfirmWindow {
        title: "Trust",
        text,
        on_yes,
    });
}

pub fn ask_to_distrust(model: &mut Model) {
    let Some(case) = selected(model) else { return };
    let Some(side) = model.conflicts.key(&case) else {
        return;
    };
    let (publisher, short) = (side.publisher, side.publisher.fingerprint());
    if side.trust == Trust::Distrusted {
        return model.answer(
            Level::Info,
            format!(
                "{short} is distrusted already ({}: trust it)",
                model.key(Action::Trust, Screen::Conflicts)
            ),
        );
    }
    let called = case
        .handle
        .as_ref()
        .map_or(String::new(), |handle| format!(", which claims {handle}"));
    let text = format!(
        "Distrust the key {publisher} (fingerprint {short}){called}? All its packages are hidden \
         on this node, and \
         its announcements are refused."
    );
    let on_yes = OnYes::Run(vec![Effect::Distrust {
        publisher,
        what: format!("{short} is distrusted"),
    }]);
    model.open(ConfirmWindow {
        title: "Distrust",
        text,
        on_yes,
    });
}

/// Opens the prompt for the file with evidence, with a proposed name.
pub fn export(model: &mut Model) {
    let Some(case) = selected(model) else { return };
    if !case.is_provable() {
        let why = "one-sided: this node no longer has what was signed first, so a file would prove \
                   nothing";
        return model.answer(Level::Warning, why.to_owned());
    }
    let input = Input::new(format!("conflict-{}.json", case.id.short()));
    model.open(ExportWindow {
        input,
        rows: 0,
        evidence: Some(case.id),
        problem: None,
    });
}

pub fn on_message(model: &mut Model, message: EffectResult) -> Vec<Effect> {
    match message {
        EffectResult::Conflicts(result) => match *result {
            Ok(known) => {
                let now = model.now;
                for case in &known.cases {
                    case.note_claims(&mut model.claims);
                }
                model.conflicts.take(known, now);
                model.dirty |= model.screen == Screen::Conflicts;
            }
            // The state of the connection is shown elsewhere if this lasts.
            Err(error) => tracing::debug!(%error, "the conflicts could not be read"),
        },
        EffectResult::Trust {
            what,
            publisher,
            handle,
            trust,
            result,
        } => {
            let mut effects = vec![Effect::Conflicts];
            match *result {
                Ok(()) => {
                    effects.extend(super::trust::changed(
                        model,
                        publisher,
                        handle.as_ref(),
                        trust,
                    ));
                    model.answer(Level::Info, what);
                }
                Err(error) => model.answer(Level::Error, error.to_string()),
            }
            return effects;
        }
        _ => {}
    }
    Vec::new()
}
