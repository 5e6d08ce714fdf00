//! Timing frames, for the bench.

use std::time::Instant;

use libp2p::PeerId;
use ratatui::{Terminal, backend::TestBackend};

use super::{model::Model, screen, theme::Theme, update};
use crate::{
    bus::{Batch, PeerSnapshot},
    clock,
    domain::reputation::Score,
};

/// Milliseconds of each of `frames` frames of the table of peers, every row of which changes between two frames.
pub fn time_frames(width: u16, height: u16, peers: usize, frames: usize) -> Vec<f64> {
    let ids: Vec<PeerId> = (0..peers).map(|_| PeerId::random()).collect();
    let mut model = Model::new("swarmdex".to_owned(), false, (width, height), clock::now());
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    (0..frames)
        .map(|frame| {
            let started = Instant::now();
            let peers = ids.iter().enumerate().map(|(n, id)| snapshot(*id, n + frame)).collect();
            model.apply(Batch { peers, events: 1, ..Batch::default() }, clock::now());
            update::settle(&mut model);
            let Ok(_) = terminal.draw(|frame| screen::draw(frame, &model, Theme::plain()));
            started.elapsed().as_secs_f64() * 1_000.0
        })
        .collect()
}

fn snapshot(id: PeerId, n: usize) -> PeerSnapshot {
    let now = clock::now();
    PeerSnapshot {
        id,
        owner: None,
        agent: Some("swarmdex/0.1.0".to_owned()),
        connection: None,
        addresses: vec![format!("/ip4/127.0.0.1/tcp/{n}")],
        protocols: Vec::new(),
        rtts_ms: (0..12).map(|step| ((n + step) % 17) as f32).collect(),
        score: Score { total: (n % 100) as f64 / 100.0, ..Score::default() },
        location: None,
        distance_km: Some(n as f64),
        packages: Some(n as u64),
        first_seen: now,
        last_seen: now,
        evidence: Vec::new(),
        in_mesh: false,
    }
}
