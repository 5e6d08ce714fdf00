//! Banning, protecting and disconnecting peers.

use libp2p::PeerId;

use crate::{
    Result,
    bus::{Level, PeerSnapshot},
    domain::{faults::Ruling, name::short_id},
    ui::{
        action::Screen,
        effect::Effect,
        model::{
            Consent, Model, Popup, Question,
            peers::{Deed, handle},
        },
    },
};

/// Returns the opened peer, or else the selected one.
fn shown(model: &Model) -> Option<&PeerSnapshot> {
    match model.popups.last() {
        Some(Popup::Peer { id, .. }) => model.peers.get(id),
        Some(_) => None,
        None => matches!(model.screen, Screen::Peers | Screen::Map)
            .then(|| model.peers.current())
            .flatten(),
    }
}

/// Names a peer by its handle and its id, because a handle is only a claim.
pub fn name(peer: &PeerSnapshot) -> String {
    match handle(peer) {
        "" => short_id(&peer.id),
        handle => format!("{handle} ({})", short_id(&peer.id)),
    }
}

/// Asks before banning a peer; lifts an existing ban at once.
pub fn ban(model: &mut Model) -> Vec<Effect> {
    let Some(peer) = shown(model) else {
        return Vec::new();
    };
    let (id, name) = (peer.id, name(peer));
    if peer.ban(model.now).is_some() {
        return vec![Effect::Peer {
            id,
            name,
            deed: Deed::Judge(Ruling::Unban),
        }];
    }
    let text = format!(
        "Ban {name}? It is disconnected, and this node has nothing to do with it until b takes that back. Others are not told."
    );
    ask(
        model,
        "Ban",
        text,
        id,
        name,
        Deed::Judge(Ruling::Ban { seconds: None }),
    );
    Vec::new()
}

/// Protects a peer, or stops protecting it.
pub fn protect(model: &mut Model) -> Vec<Effect> {
    let Some(peer) = shown(model) else {
        return Vec::new();
    };
    let protected = peer.sheet.as_ref().is_some_and(|sheet| sheet.protected);
    let ruling = if protected {
        Ruling::Unprotect
    } else {
        Ruling::Protect
    };
    vec![Effect::Peer {
        id: peer.id,
        name: name(peer),
        deed: Deed::Judge(ruling),
    }]
}

pub fn disconnect(model: &mut Model) {
    let Some(peer) = shown(model) else { return };
    let (id, name) = (peer.id, name(peer));
    if peer.connection.is_none() {
        return model.answer(Level::Info, format!("{name} is not connected"));
    }
    let text = format!(
        "Disconnect from {name}? Either side may connect again; b bans it, so that it may not."
    );
    ask(model, "Disconnect", text, id, name, Deed::Disconnect);
}

fn ask(model: &mut Model, title: &'static str, text: String, id: PeerId, name: String, deed: Deed) {
    let consent = Consent::Peer { id, name, deed };
    model.popups.push(Popup::Confirm(Box::new(Question {
        title,
        text,
        consent,
    })));
}

/// Shows the result of an action on a peer.
pub fn done(model: &mut Model, name: &str, deed: Deed, result: Result<bool>) {
    let (level, text) = match (result, deed) {
        (Err(error), _) => (
            Level::Error,
            format!("nothing was done about {name}: {error}"),
        ),
        (Ok(_), Deed::Judge(Ruling::Ban { .. })) => {
            (Level::Info, format!("banned: {name}; b takes it back"))
        }
        (Ok(_), Deed::Judge(Ruling::Unban)) => {
            (Level::Info, format!("not banned any more: {name}"))
        }
        (Ok(_), Deed::Judge(Ruling::Protect)) => (
            Level::Info,
            format!("protected: {name} is kept whatever it does; p takes it back"),
        ),
        (Ok(_), Deed::Judge(Ruling::Unprotect)) => {
            (Level::Info, format!("not protected any more: {name}"))
        }
        (Ok(true), Deed::Disconnect) => (
            Level::Info,
            format!("disconnected: {name}; either side may connect again"),
        ),
        (Ok(false), Deed::Disconnect) => (Level::Info, format!("{name} was not connected")),
    };
    model.answer(level, text);
}
