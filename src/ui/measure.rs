//! Measures the time of frames and key presses, for the benches.

use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};

use crossterm::event::{Event as Input, KeyCode, KeyEvent, KeyModifiers};
use futures::stream;
use libp2p::PeerId;
use ratatui::{Frame, Terminal, backend::TestBackend};
use tokio::sync::mpsc;

use super::{
    action::Screen,
    execute::Executor,
    model::Model,
    runtime::{self, Explorer, FrameLook, Sources},
    terminal::Surface,
    theme::{Depth, Themes},
    update,
};
use crate::{
    Result,
    bus::{Batch, Bus, BusEvent, Connection, Direction, NodeSnapshot, PeerSnapshot},
    clock,
    domain::{geo::GeoLocation, reputation::Score},
};

/// Peers that change between two frames.
const CHANGED: usize = 100;

fn look() -> Result<FrameLook> {
    Ok(FrameLook {
        themes: Themes::load("dark", None, Depth::True)?,
        ascii: false,
    })
}

/// Measures `frames` frames of a table of `peers` peers, in milliseconds each. Before each frame, a
/// hundred peers change; the time includes applying the batch, filtering, sorting when due, and
/// drawing.
///
/// # Errors
/// None in practice: the themes are built in.
pub fn time_frames(width: u16, height: u16, peers: usize, frames: usize) -> Result<Vec<f64>> {
    time(Screen::Peers, (width, height), peers, frames, snapshot)
}

/// Measures `frames` frames of the map, in milliseconds each, with a line to each of `peers`
/// connected peers all over the world.
///
/// # Errors
/// None in practice: the themes are built in.
pub fn time_map_frames(width: u16, height: u16, peers: usize, frames: usize) -> Result<Vec<f64>> {
    time(Screen::Map, (width, height), peers, frames, |id, n| {
        let connection = Connection {
            address: format!("/ip4/127.0.0.1/tcp/{n}"),
            direction: Direction::Inbound,
            since: clock::now(),
        };
        // Derive the place from the id, so that a peer does not move between frames.
        let place = id.to_bytes().iter().rev().fold(0u32, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add((*byte).into())
        });
        let location = GeoLocation::new(
            f64::from(place % 120) - 50.0,
            f64::from(place / 120 % 360) - 180.0,
            Some("Somewhere"),
        );
        PeerSnapshot {
            connection: Some(connection),
            location,
            ..snapshot(id, n)
        }
    })
}

fn time(
    screen: Screen,
    (width, height): (u16, u16),
    peers: usize,
    frames: usize,
    snapshot: impl Fn(PeerId, usize) -> PeerSnapshot,
) -> Result<Vec<f64>> {
    let ids: Vec<PeerId> = (0..peers).map(|_| PeerId::random()).collect();
    let mut model = Model::new("swarmdex".to_owned(), false, (width, height), clock::now());
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    let look = look()?;
    let all = ids
        .iter()
        .enumerate()
        .map(|(n, id)| snapshot(*id, n))
        .collect();
    let node = NodeSnapshot {
        peer_id: PeerId::random(),
        network: "bench".to_owned(),
        addresses: Vec::new(),
        handle: None,
        connected: peers,
        known_peers: peers,
        packages: 0,
        dht_records: 0,
        dht_server: true,
        mdns: false,
        mesh: 0,
        clock_offset_ms: None,
        location: GeoLocation::new(52.5, 13.4, Some("Berlin")),
        started_at: clock::now(),
    };
    model.apply(
        Batch {
            node: Some(node),
            peers: all,
            events: 1,
            ..Batch::default()
        },
        clock::now(),
    );
    model.screen = screen;
    let frame = |number: usize| {
        let changed = ids
            .iter()
            .enumerate()
            .cycle()
            .skip(number * CHANGED % peers.max(1))
            .take(CHANGED.min(peers));
        let peers = changed.map(|(n, id)| snapshot(*id, n + number)).collect();
        let started = Instant::now();
        model.apply(
            Batch {
                peers,
                events: 1,
                ..Batch::default()
            },
            clock::now(),
        );
        update::settle(&mut model);
        let Ok(_) = terminal.draw(|frame| look.draw(frame, &model));
        started.elapsed().as_secs_f64() * 1_000.0
    };
    Ok((0..frames).map(frame).collect())
}

/// A terminal in memory that reports each frame and the screen that it shows.
struct Timed {
    terminal: Terminal<TestBackend>,
    drawn: mpsc::UnboundedSender<(Instant, bool)>,
}

impl Surface for Timed {
    fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        let Ok(_) = self.terminal.draw(render);
        // The feed's table header begins with the age, the peers' with a sign.
        let feed = self
            .terminal
            .backend()
            .buffer()
            .cell((0, 3))
            .is_some_and(|cell| cell.symbol() == "t");
        self.drawn
            .send((Instant::now(), feed))
            .map_err(io::Error::other)
    }

    fn suspend(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn copy(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn mouse(&mut self, _: bool) -> io::Result<()> {
        Ok(())
    }

    fn page(&mut self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

/// Measures the time from each of `keys` key presses to the frame that shows its effect, in
/// milliseconds, while another thread puts `a_second` changes of peers on the bus every second.
///
/// # Errors
/// None in practice: the themes are built in.
pub async fn time_keys(keys: usize, a_second: usize) -> Result<Vec<f64>> {
    const SIZE: (u16, u16) = (200, 60);
    let bus = Bus::default();
    let batches = Some(bus.subscribe());
    let flood = std::thread::spawn(move || {
        let ids: Vec<PeerId> = (0..500).map(|_| PeerId::random()).collect();
        let a_slice = a_second / 100;
        for round in 0.. {
            for (n, id) in ids.iter().cycle().take(a_slice).enumerate() {
                bus.emit(BusEvent::Peer(Box::new(snapshot(*id, n + round))));
            }
            if !bus.has_readers() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let (drawn, mut frames) = mpsc::unbounded_channel();
    let (press, pressed) = mpsc::channel::<io::Result<Input>>(1);
    let (sender, messages) = runtime::messages();
    let (_signal, signals) = mpsc::channel(1);
    let Ok(terminal) = Terminal::new(TestBackend::new(SIZE.0, SIZE.1));
    let mut explorer = Explorer {
        model: Model::new("swarmdex".to_owned(), false, SIZE, clock::now()),
        surface: Timed { terminal, drawn },
        look: look()?,
        executor: Executor::new(sender),
        frames: 0,
    };
    let inputs = Box::pin(stream::unfold(pressed, async |mut keys| {
        Some((keys.recv().await?, keys))
    }));
    let mut sources = Sources {
        inputs,
        signals,
        messages,
        batches,
        next_tick: tokio::time::Instant::now(),
    };
    let running = tokio::spawn(async move { explorer.run(&mut sources).await });
    let mut times = Vec::new();
    for number in 0..keys {
        let to_feed = number % 2 == 0;
        let key = KeyCode::Char(if to_feed { '3' } else { '1' });
        // Vary the pause, so that keys do not fall in step with frames.
        tokio::time::sleep(Duration::from_millis(20 + number as u64 * 7 % 31)).await;
        let started = Instant::now();
        if press
            .send(Ok(Input::Key(KeyEvent::new(key, KeyModifiers::NONE))))
            .await
            .is_err()
        {
            break;
        }
        while let Some((at, feed)) = frames.recv().await {
            if at > started && feed == to_feed {
                times.push((at - started).as_secs_f64() * 1_000.0);
                break;
            }
        }
    }
    drop(press);
    // Ending the input ends the explorer, which drops its reader and so stops the flood.
    let _ = running.await;
    let _ = flood.join();
    Ok(times)
}

fn snapshot(id: PeerId, n: usize) -> PeerSnapshot {
    let now = clock::now();
    PeerSnapshot {
        basis: Default::default(),
        gossip_score: None,
        traffic: Default::default(),
        sheet: None,
        id,
        owner: None,
        agent: Some("swarmdex/0.1.0".to_owned()),
        connection: None,
        addresses: vec![format!("/ip4/127.0.0.1/tcp/{n}")],
        protocols: Vec::new(),
        rtts_ms: (0..12).map(|step| ((n + step) % 17) as f32).collect(),
        score: Score {
            total: (n % 100) as f64 / 100.0,
            ..Score::default()
        },
        location: None,
        distance_km: Some(n as f64),
        provenance: None,
        packages: Some(n as u64),
        room: 0,
        first_seen: now,
        last_seen: now,
        evidence: Vec::new(),
        in_mesh: false,
    }
}
