//! Pinning. In the explorer, only the trust key pins: it pins the publisher of the selected or
//! opened package.

use crate::{
    bus::Level,
    domain::{
        name::{Handle, PublisherId},
        trust::Trust,
    },
    registry::{Hit, ReceivedAnnouncement},
    ui::{
        action::{Action, Screen},
        effect::Effect,
        model::{Model, package::PackageState},
        popup::{
            confirm::{ConfirmWindow, OnYes},
            package::PackageWindow,
        },
    },
};

/// Returns the publisher of the selected or opened package, with its handle and trust.
fn selected(model: &Model) -> Option<(PublisherId, Option<Handle>, Trust)> {
    if !model.popups.is_empty() {
        let PackageState::Found(package) = &model.window::<PackageWindow>()?.state else {
            return None;
        };
        return Some((package.id.owner, package.handle.clone(), package.trust));
    }
    match model.screen {
        Screen::Feed => model
            .feed
            .current()
            .map(|one| (one.package.owner, one.handle.clone(), one.trust)),
        Screen::Search => model
            .search
            .hits
            .current()
            .map(|hit| (hit.package.owner, hit.handle.clone(), hit.trust)),
        _ => None,
    }
}

pub fn ask(model: &mut Model) {
    let Some((publisher, handle, trust)) = selected(model) else {
        return model.answer(Level::Info, "select a package first".to_owned());
    };
    let short = publisher.fingerprint();
    let back = match trust {
        Trust::Own => return model.answer(Level::Info, format!("{short} is your own key")),
        Trust::Pinned => return model.answer(Level::Info, format!("{short} is pinned already")),
        Trust::Distrusted => " Its packages will be visible again.",
        Trust::Unknown => "",
    };
    let Some(handle) = handle else {
        return model.answer(Level::Info, format!("{short} has no handle to pin"));
    };
    let text = format!(
        "Trust the key {publisher} (fingerprint {short}) as {handle}? Compare the fingerprint with \
         the one that the publisher gave you: anyone can claim a \
         handle. From now on, {handle} means this key on this node, whatever it meant before.{back}"
    );
    let name = format!("{handle} now means {short}");
    let on_yes = OnYes::Run(vec![Effect::Trust {
        publisher,
        handle: Some(handle),
        what: name,
    }]);
    model.open(ConfirmWindow {
        title: "Trust",
        text,
        on_yes,
    });
}

/// Shows a key's new trust in all lists, and reloads an opened package of that key.
pub fn changed(
    model: &mut Model,
    of: PublisherId,
    handle: Option<&Handle>,
    to: Trust,
) -> Vec<Effect> {
    let now = model.now;
    model.claims.decided(of, handle, to);
    let trust = |publisher: PublisherId, claim: Option<&Handle>, before: Trust| match to {
        Trust::Pinned if claim.is_some() && claim == handle && publisher == of => Trust::Pinned,
        // The handle was pinned to this key until now.
        Trust::Pinned if claim.is_some() && claim == handle && before == Trust::Pinned => {
            Trust::Unknown
        }
        Trust::Distrusted if publisher == of => Trust::Distrusted,
        Trust::Pinned | Trust::Unknown if publisher == of && before == Trust::Distrusted => {
            Trust::Unknown
        }
        _ => before,
    };
    let announced = model.feed.all().filter_map(|one| {
        let trust = trust(one.package.owner, one.handle.as_ref(), one.trust);
        (trust != one.trust).then(|| ReceivedAnnouncement {
            trust,
            ..one.clone()
        })
    });
    let announced: Vec<ReceivedAnnouncement> = announced.collect();
    model.feed.put(announced, now);
    let hits = model.search.hits.all().filter_map(|hit| {
        let trust = trust(hit.package.owner, hit.handle.as_ref(), hit.trust);
        (trust != hit.trust).then(|| Hit {
            trust,
            ..hit.clone()
        })
    });
    let hits: Vec<Hit> = hits.collect();
    model.search.hits.put(hits, now);
    match model.window::<PackageWindow>() {
        Some(window) if window.id.owner == of => super::act(model, Action::Refresh),
        _ => Vec::new(),
    }
}
