//! Banning, protecting and disconnecting peers.

use libp2p::PeerId;

use crate::{
    Result,
    bus::{Level, PeerSnapshot},
    domain::{faults::Ruling, name::short_id},
    ui::{
        action::{Action, Screen},
        effect::Effect,
        model::{
            Model,
            peers::{PeerAction, handle},
        },
        popup::{
            confirm::{ConfirmWindow, OnYes},
            peer::PeerWindow,
        },
    },
};

/// Returns the opened peer, or else the selected one.
fn shown(model: &Model) -> Option<&PeerSnapshot> {
    match model.window::<PeerWindow>() {
        Some(window) => model.peers.get(&window.id),
        None if !model.popups.is_empty() => None,
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
            action: PeerAction::Rule(Ruling::Unban),
        }];
    }
    let text = format!(
        "Ban {name}? This node disconnects and ignores it until you unban it. Other nodes are not \
         affected."
    );
    ask(
        model,
        "Ban",
        text,
        id,
        name,
        PeerAction::Rule(Ruling::Ban { seconds: None }),
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
        action: PeerAction::Rule(ruling),
    }]
}

pub fn disconnect(model: &mut Model) {
    let Some(peer) = shown(model) else { return };
    let (id, name) = (peer.id, name(peer));
    if peer.connection.is_none() {
        return model.answer(Level::Info, format!("{name} is not connected"));
    }
    let text = format!(
        "Disconnect {name}? It may reconnect; to prevent that, ban it ({}).",
        model.key(Action::BanPeer, Screen::Peers)
    );
    ask(model, "Disconnect", text, id, name, PeerAction::Disconnect);
}

fn ask(
    model: &mut Model,
    title: &'static str,
    text: String,
    id: PeerId,
    name: String,
    action: PeerAction,
) {
    let on_yes = OnYes::Run(Effect::Peer { id, name, action });
    model.open(ConfirmWindow {
        title,
        text,
        on_yes,
    });
}

/// Shows the result of an action on a peer.
pub fn done(model: &mut Model, name: &str, action: PeerAction, result: Result<bool>) {
    let key = |action| model.key(action, Screen::Peers);
    let (level, text) = match (result, action) {
        (Err(error), _) => (Level::Error, format!("{name}: {error}")),
        (Ok(_), PeerAction::Rule(Ruling::Ban { .. })) => (
            Level::Info,
            format!("banned {name} ({}: unban)", key(Action::BanPeer)),
        ),
        (Ok(_), PeerAction::Rule(Ruling::Unban)) => (Level::Info, format!("unbanned {name}")),
        (Ok(_), PeerAction::Rule(Ruling::Protect)) => (
            Level::Info,
            format!("protected {name} ({}: unprotect)", key(Action::ProtectPeer)),
        ),
        (Ok(_), PeerAction::Rule(Ruling::Unprotect)) => {
            (Level::Info, format!("no longer protected: {name}"))
        }
        (Ok(true), PeerAction::Disconnect) => (
            Level::Info,
            format!("disconnected {name}; it may reconnect"),
        ),
        (Ok(false), PeerAction::Disconnect) => (Level::Info, format!("{name} was not connected")),
    };
    model.answer(level, text);
}
