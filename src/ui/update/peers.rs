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
            peers::{Deed, handle},
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
            deed: Deed::Judge(Ruling::Unban),
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
        "Disconnect {name}? It may reconnect; to prevent that, ban it ({}).",
        model.key(Action::BanPeer, Screen::Peers)
    );
    ask(model, "Disconnect", text, id, name, Deed::Disconnect);
}

fn ask(model: &mut Model, title: &'static str, text: String, id: PeerId, name: String, deed: Deed) {
    let on_yes = OnYes::Run(Effect::Peer { id, name, deed });
    model.open(ConfirmWindow {
        title,
        text,
        on_yes,
    });
}

/// Shows the result of an action on a peer.
pub fn done(model: &mut Model, name: &str, deed: Deed, result: Result<bool>) {
    let key = |action| model.key(action, Screen::Peers);
    let (level, text) = match (result, deed) {
        (Err(error), _) => (Level::Error, format!("{name}: {error}")),
        (Ok(_), Deed::Judge(Ruling::Ban { .. })) => (
            Level::Info,
            format!("banned {name} ({}: unban)", key(Action::BanPeer)),
        ),
        (Ok(_), Deed::Judge(Ruling::Unban)) => (Level::Info, format!("unbanned {name}")),
        (Ok(_), Deed::Judge(Ruling::Protect)) => (
            Level::Info,
            format!("protected {name} ({}: unprotect)", key(Action::ProtectPeer)),
        ),
        (Ok(_), Deed::Judge(Ruling::Unprotect)) => {
            (Level::Info, format!("no longer protected: {name}"))
        }
        (Ok(true), Deed::Disconnect) => (
            Level::Info,
            format!("disconnected {name}; it may reconnect"),
        ),
        (Ok(false), Deed::Disconnect) => (Level::Info, format!("{name} was not connected")),
    };
    model.answer(level, text);
}
