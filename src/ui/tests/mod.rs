//! Tests of the explorer without a terminal: keys in, frames out. This file has the fixtures.

mod clients;
mod conflicts;
mod keys;
mod lookups;
mod map;
mod publish;
mod running;
mod screens;
mod search;
mod transfers;
mod trust;

use std::{io, path::Path, time::Duration};

use crossterm::event::{
    Event as Input, KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use futures::stream;
use libp2p::{PeerId, identity::Keypair};
use ratatui::{Frame, Terminal, backend::TestBackend};
use tokio::{sync::mpsc, time::Instant};

use self::search::on_search;
use super::{
    action::Screen,
    effect::{Effect, EffectResult},
    execute::Executor,
    keymap::Chord,
    model::{
        ExplorerPaths, Model,
        logs::{LogLevel, LogLine},
        package::PackageState,
    },
    popup::{
        confirm::ConfirmWindow, conflict::ConflictWindow, package::PackageWindow, peer::PeerWindow,
    },
    runtime::{Explorer, FRAME, FrameLook, FramePace, LoopTurn, Sources, messages},
    screen,
    table::TableEntry,
    terminal::Surface,
    theme::{Depth, Themes},
    update,
};
use crate::{
    RegistryError,
    bus::{
        Batch, Bus, BusEvent, Connection, Counters, Direction, Level, NodeSnapshot, Notice,
        PeerSnapshot, RING,
    },
    domain::{
        freshness::Freshness,
        geo::{
            plausible::Plausibility,
            provenance::{LocationProvenance, LocationSource as PlaceSource},
        },
        hash::{ContentRoot, Hash},
        health::Sample,
        manifest::{Draft, Ecosystem, File},
        name::{PackageId, PublisherId},
        record::Refusal,
        release::ReleaseEntry,
        reputation::{Basis, Outcome, PeerEvidence, Population, Score},
        time::Timestamp,
        trust::Trust,
    },
    registry::{Content, Coverage, NodeOwner, Package, ReceivedAnnouncement, Source},
};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const SIZES: [(u16, u16); 4] = [(40, 12), (80, 24), (120, 36), (160, 50)];

/// A terminal in memory.
struct Memory(Terminal<TestBackend>);

impl Memory {
    fn new((width, height): (u16, u16)) -> Self {
        Self(Terminal::new(TestBackend::new(width, height)).unwrap())
    }
}

impl Surface for Memory {
    fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.0
            .draw(render)
            .map(drop)
            .map_err(|error| match error {})
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

fn look() -> FrameLook {
    FrameLook {
        themes: Themes::load("dark", None, Depth::True).unwrap(),
        ascii: false,
    }
}

fn key_of(n: u8) -> Keypair {
    Keypair::ed25519_from_bytes([n; 32]).unwrap()
}

fn peer_id(n: u8) -> PeerId {
    key_of(n).public().to_peer_id()
}

fn publisher(n: u8) -> PublisherId {
    PublisherId::of(&key_of(100 + n).public())
}

fn package_id(n: u8, name: &str) -> PackageId {
    PackageId {
        owner: publisher(n),
        name: name.parse().unwrap(),
    }
}

fn peer(n: u8) -> PeerSnapshot {
    let cities = ["52.5,13.4,Berlin", "35.7,139.7,Tokyo", "-33.9,151.2,Sydney"];
    let address = format!("/ip4/192.168.1.{n}/tcp/4807");
    PeerSnapshot {
        id: peer_id(n),
        owner: (!n.is_multiple_of(3)).then(|| NodeOwner {
            publisher: publisher(n),
            handle: format!("team-{n}").parse().unwrap(),
        }),
        agent: Some("swarmdex/0.1.0".to_owned()),
        connection: (!n.is_multiple_of(4)).then(|| Connection {
            address: address.clone(),
            direction: if n.is_multiple_of(2) {
                Direction::Inbound
            } else {
                Direction::Outbound
            },
            since: NOW.before(Duration::from_secs(90)),
        }),
        addresses: vec![address, format!("/ip4/192.168.1.{n}/udp/4807/quic-v1")],
        protocols: vec![
            "/swarmdex/lab/kad/1.0.0".to_owned(),
            "/meshsub/1.1.0".to_owned(),
        ],
        rtts_ms: (0..12)
            .map(|step| f32::from(n) + (step as f32 * 1.3).sin())
            .collect(),
        score: Score {
            total: 0.1 * f64::from(n) + 0.05,
            success: 0.03 * f64::from(n),
            response: 0.1,
            availability: 0.05,
            recency: 0.1,
            proximity: 0.0,
        },
        location: (!n.is_multiple_of(5)).then(|| cities[usize::from(n) % 3].parse().unwrap()),
        distance_km: (!n.is_multiple_of(5)).then_some(f64::from(n) * 731.0),
        provenance: provenance(n),
        packages: Some(u64::from(n) * 11),
        room: 0,
        first_seen: NOW.before(Duration::from_secs(7_200)),
        last_seen: NOW.before(Duration::from_secs(30 * u64::from(n))),
        evidence: vec![
            PeerEvidence {
                count: 12,
                bytes: 0,
                ..PeerEvidence::new(Outcome::AnswerRight, NOW.before(Duration::from_secs(60)))
            },
            PeerEvidence::new(Outcome::AnswerLate, NOW.before(Duration::from_secs(20))),
        ],
        in_mesh: n % 3 == 1,
        basis: Basis {
            successes: f64::from(n) * 3.0,
            failures: 1.0,
            rtt_ms: Some(f64::from(n)),
            answer_ms: Some(f64::from(n) * 2.0),
            rate: None,
            population: Population {
                rtt_ms: Some(4.0),
                answer_ms: Some(8.0),
                rate: None,
            },
            uptime: 0.5,
            served: u64::from(n) * 3,
            unseen: Duration::ZERO,
            distance_km: None,
            lies: 0,
        },
        gossip_score: Some(f64::from(n) - 2.0),
        traffic: crate::bus::PeerTraffic {
            announcements_in: 30_000,
            answers_in: 12_000,
            answers_out: 400,
            content_in: 5 << 20,
        },
        sheet: None,
    }
}

/// Returns the source of a peer's location: most declare it, two of them falsely; some are looked
/// up by address.
fn provenance(n: u8) -> Option<LocationProvenance> {
    let told = LocationProvenance::declared();
    Some(match n {
        2 => LocationProvenance {
            plausibility: Plausibility::Implausible,
            round_trip_ms: Some(1.2),
            ..told
        },
        3 => LocationProvenance {
            source: PlaceSource::Country {
                date: "2026-06".to_owned(),
            },
            approximate: true,
            ..told
        },
        4 => {
            let source = PlaceSource::Database {
                file: "home.mmdb".to_owned(),
                date: "2026-10".to_owned(),
            };
            LocationProvenance { source, ..told }
        }
        5 => LocationProvenance {
            source: PlaceSource::Local,
            ..told
        },
        6 => return None,
        _ => LocationProvenance {
            plausibility: Plausibility::Possible,
            round_trip_ms: Some(f64::from(n)),
            ..told
        },
    })
}

fn announced(n: u8, seq: u64) -> ReceivedAnnouncement {
    ReceivedAnnouncement {
        at: NOW.before(Duration::from_secs(u64::from(n))),
        package: package_id(n, &format!("package-{n}")),
        handle: (n != 2).then(|| format!("team-{n}").parse().unwrap()),
        trust: if n == 1 {
            Trust::Pinned
        } else {
            Trust::Unknown
        },
        version: format!("1.{n}.0").parse().unwrap(),
        summary: "Parses configuration files, and says what is wrong with them".to_owned(),
        yanked: n == 3,
        via: (n != 4).then(|| peer_id(n)),
        delay: Duration::from_millis(7 * u64::from(n)),
        travelled: Duration::from_millis(5),
        seq,
    }
}

fn node(connected: usize) -> NodeSnapshot {
    NodeSnapshot {
        peer_id: peer_id(200),
        network: "lab".to_owned(),
        addresses: vec![format!("/ip4/192.168.1.7/tcp/4807/p2p/{}", peer_id(200))],
        handle: Some("alice".to_owned()),
        connected,
        known_peers: connected + 1,
        packages: 61,
        dht_records: 12,
        dht_server: true,
        mdns: true,
        mesh: connected.min(8),
        clock_offset_ms: Some(12),
        location: Some("48.9,2.4,Paris".parse().unwrap()),
        started_at: NOW.before(Duration::from_secs(600)),
    }
}

fn batch() -> Batch {
    Batch {
        node: Some(node(6)),
        peers: (1..=8).map(peer).collect(),
        announcements: (1..=4).rev().map(|n| announced(n, 1)).collect(),
        counters: Some(Counters {
            announcements: 42,
            refused: [(Refusal::BadSignature, 2)].into(),
            ..Counters::default()
        }),
        events: 20,
        ..Batch::default()
    }
}

fn model(size: (u16, u16)) -> Model {
    let mut model = Model::new("swarmdex".to_owned(), false, size, NOW);
    model.running = true;
    model.places = ExplorerPaths {
        data: "/home/alice/.local/share/swarmdex".into(),
        config: "/home/alice/.config/swarmdex/config.toml".into(),
        logs: "/home/alice/.local/state/swarmdex/logs".into(),
        of_the_node: Vec::new(),
    };
    model
}

fn full(size: (u16, u16)) -> Model {
    let mut model = model(size);
    model.apply(batch(), NOW);
    update::settle(&mut model);
    model
}

fn package() -> Package {
    let draft: Draft = toml::from_str(
        "name = \"parser-1\"\nversion = \"2.1.0\"\ntitle = \"A parser\"\ndescription = \"Parses \
         configuration files, and says in words a person understands what is wrong with them and \
         where.\"\nlicense = \"MIT\"\ntags = [\"config\", \"parser\"]\nrepository \
         = \"https://example.org/parser\"\ndependencies = [{ package = \"team-3/words\", \
         requirement = \"^1.2\" }]",
    )
    .unwrap();
    let release = |version: &str, yanked: bool| ReleaseEntry {
        yanked: yanked.then(String::new),
        ..ReleaseEntry::new(version.parse().unwrap(), Hash::of(version.as_bytes()))
    };
    Package {
        id: package_id(1, "parser-1"),
        handle: Some("team-1".parse().unwrap()),
        trust: Trust::Unknown,
        seq: 3,
        signed_at: NOW.before(Duration::from_secs(4_000)),
        freshness: Freshness {
            own: false,
            received_at: NOW.before(Duration::from_secs(3_900)),
            confirmed_at: Some(NOW.before(Duration::from_secs(30))),
            confirmed_by: 3,
            expires: NOW.after(Duration::from_secs(80 * 86_400)),
        },
        releases: vec![
            ReleaseEntry {
                deprecated: Some("use 2.1.0, which reads both".to_owned()),
                ..release("1.0.0", false)
            },
            release("2.0.0", true),
            release("2.1.0", false),
        ]
        .into(),
        tags: [("stable".to_owned(), "2.1.0".parse().unwrap())].into(),
        complete: true,
        latest: Some(
            draft
                .into_manifest(
                    PublisherId::nobody(),
                    File {
                        root: ContentRoot::of(b"bytes"),
                        size: 4_321,
                        ..File::of(&Ecosystem::Generic, "parser-1-2.1.0", b"")
                    },
                    NOW,
                )
                .unwrap(),
        ),
        conflicts: vec![],
        source: Source::Peer(peer_id(5)),
    }
}

fn press(model: &mut Model, keys: &str) -> Vec<Effect> {
    keys.chars()
        .flat_map(|c| press_code(model, KeyCode::Char(c)))
        .collect()
}

fn press_code(model: &mut Model, code: KeyCode) -> Vec<Effect> {
    update::on_key(
        model,
        Chord {
            code,
            ctrl: false,
            alt: false,
        },
        model.now,
    )
}

fn press_ctrl(model: &mut Model, c: char) -> Vec<Effect> {
    update::on_key(
        model,
        Chord {
            code: KeyCode::Char(c),
            ctrl: true,
            alt: false,
        },
        model.now,
    )
}

fn mouse(model: &mut Model, kind: MouseEventKind, column: u16, row: u16) -> Vec<Effect> {
    let event = MouseEvent {
        kind,
        column,
        row,
        modifiers: KeyModifiers::NONE,
    };
    update::on_mouse(model, event, model.now)
}

fn click(model: &mut Model, column: u16, row: u16) -> Vec<Effect> {
    mouse(model, MouseEventKind::Down(MouseButton::Left), column, row)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Returns measurements of a healthy node.
fn sample() -> Sample {
    Sample {
        running_for: seconds(60),
        peers_in: 3,
        peers_out: 3,
        known_peers: 7,
        announce_mesh: 6,
        announce_subscribers: 6,
        presence_mesh: 6,
        routing_table: 6,
        lookups: 40,
        lookup_p50_ms: Some(8.0),
        lookup_p95_ms: Some(31.0),
        announced_a_minute: 42,
        gossip_p50_ms: Some(5.0),
        gossip_p95_ms: Some(22.0),
        messages: 50,
        dials: 6,
        bytes_in: Some(12_000.0),
        bytes_out: Some(3_400.0),
        store_p95_ms: Some(1.9),
        memory: Some(31 << 20),
        descriptors: Some((88, 1_024)),
        clock_offset_ms: Some(0),
        ..Sample::default()
    }
}

fn picture(model: &Model) -> String {
    let mut surface = Memory::new(model.size);
    surface.draw(|frame| look().draw(frame, model)).unwrap();
    surface.0.backend().to_string()
}

fn on_package(size: (u16, u16)) -> Model {
    let mut model = on_search(size);
    let effects = press_code(&mut model, KeyCode::Enter);
    let Some(Effect::GetPackage { generation, .. }) = effects.first() else {
        panic!("{effects:?}")
    };
    let result = Box::new(Ok(package()));
    update::on_message(
        &mut model,
        EffectResult::Package {
            generation: *generation,
            result,
        },
        NOW,
    );
    model
}
