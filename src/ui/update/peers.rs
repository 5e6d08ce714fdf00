//! Banning, protecting and disconnecting peers.

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

/// Returns the opened peer, or else the marked ones or the selected one.
fn shown(model: &Model) -> Vec<&PeerSnapshot> {
    match model.window::<PeerWindow>() {
        Some(window) => model.peers.get(&window.id).into_iter().collect(),
        None if !model.popups.is_empty() => Vec::new(),
        None if matches!(model.screen, Screen::Peers | Screen::Map) => model.peers.chosen(),
        None => Vec::new(),
    }
}

/// Names a peer by its handle and its id, because a handle is only a claim.
pub fn name(peer: &PeerSnapshot) -> String {
    match handle(peer) {
        "" => short_id(&peer.id),
        handle => format!("{handle} ({})", short_id(&peer.id)),
    }
}

/// Names peers for a question: one by its name, several with their number.
fn names(peers: &[&PeerSnapshot]) -> String {
    const MOST: usize = 6;
    let named: Vec<String> = peers.iter().take(MOST).map(|peer| name(peer)).collect();
    let named = named.join(", ");
    match peers.len() {
        1 => named,
        count if count <= MOST => format!("{count} peers, {named}"),
        count => format!("{count} peers, {named} and {} more", count - MOST),
    }
}

fn effects(peers: &[&PeerSnapshot], action: PeerAction) -> Vec<Effect> {
    let effect = |peer: &&PeerSnapshot| Effect::Peer {
        id: peer.id,
        name: name(peer),
        action,
    };
    peers.iter().map(effect).collect()
}

/// Asks before banning peers; lifts existing bans at once, if all are banned.
pub fn ban(model: &mut Model) -> Vec<Effect> {
    let (banned, others): (Vec<_>, Vec<_>) = shown(model)
        .into_iter()
        .partition(|peer| peer.ban(model.now).is_some());
    if others.is_empty() {
        return effects(&banned, PeerAction::Rule(Ruling::Unban));
    }
    let it = if others.len() == 1 { "it" } else { "them" };
    let text = format!(
        "Ban {}? This node disconnects and ignores {it} until you unban {it}. Other nodes are not \
         affected.",
        names(&others)
    );
    let run = effects(&others, PeerAction::Rule(Ruling::Ban { seconds: None }));
    ask(model, "Ban", text, run);
    Vec::new()
}

/// Protects peers, or stops protecting them if all are protected.
pub fn protect(model: &mut Model) -> Vec<Effect> {
    let (protected, others): (Vec<_>, Vec<_>) = shown(model)
        .into_iter()
        .partition(|peer| peer.sheet.as_ref().is_some_and(|sheet| sheet.protected));
    if others.is_empty() {
        effects(&protected, PeerAction::Rule(Ruling::Unprotect))
    } else {
        effects(&others, PeerAction::Rule(Ruling::Protect))
    }
}

pub fn disconnect(model: &mut Model) {
    let peers = shown(model);
    let Some(first) = peers.first() else { return };
    let first = name(first);
    let connected: Vec<_> = peers
        .into_iter()
        .filter(|peer| peer.connection.is_some())
        .collect();
    if connected.is_empty() {
        return model.answer(Level::Info, format!("{first} is not connected"));
    }
    let (it, verb) = match connected.len() {
        1 => ("It", "it"),
        _ => ("They", "them"),
    };
    let text = format!(
        "Disconnect {}? {it} may reconnect; to prevent that, ban {verb} ({}).",
        names(&connected),
        model.key(Action::BanPeer, Screen::Peers)
    );
    let run = effects(&connected, PeerAction::Disconnect);
    ask(model, "Disconnect", text, run);
}

fn ask(model: &mut Model, title: &'static str, text: String, run: Vec<Effect>) {
    model.open(ConfirmWindow {
        title,
        text,
        on_yes: OnYes::Run(run),
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
