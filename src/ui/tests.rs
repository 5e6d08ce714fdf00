//! The explorer without a terminal: keys in, frames out.

use std::{io, path::Path, time::Duration};

use crossterm::event::{Event as Input, KeyCode, KeyEvent, KeyModifiers};
use futures::stream;
use libp2p::{PeerId, identity::Keypair};
use ratatui::{Frame, Terminal, backend::TestBackend};
use tokio::{sync::mpsc, time::Instant};

use super::{
    action::Screen,
    effect::{Effect, Executor, Message},
    keymap::Chord,
    model::{Model, Popup, package::Looked},
    runtime::{Explorer, FRAME, Look, Pace, Sources, Turn, messages},
    screen,
    table::Entry,
    terminal::Surface,
    theme::{Depth, Themes},
    update,
};
use crate::{
    RegistryError,
    bus::{Batch, Bus, Connection, Counters, Direction, Event, Level, NodeSnapshot, Notice, PeerSnapshot, RING},
    domain::{
        hash::{ContentRoot, Hash},
        manifest::Draft,
        name::{PackageId, PublisherId},
        record::Refusal,
        release::ReleaseEntry,
        reputation::{Evidence, Outcome, Score},
        time::Timestamp,
        trust::Trust,
    },
    registry::{Announced, Coverage, Hit, NodeOwner, Package, SearchUpdate, Source},
};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const SIZES: [(u16, u16); 3] = [(40, 12), (80, 24), (160, 50)];

/// A terminal in memory.
struct Memory(Terminal<TestBackend>);

impl Memory {
    fn new((width, height): (u16, u16)) -> Self {
        Self(Terminal::new(TestBackend::new(width, height)).unwrap())
    }
}

impl Surface for Memory {
    fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.0.draw(render).map(drop).map_err(|error| match error {})
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

fn look() -> Look {
    Look { themes: Themes::load("dark", None, Depth::True).unwrap(), ascii: false }
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
    PackageId { publisher: publisher(n), name: name.parse().unwrap() }
}

fn peer(n: u8) -> PeerSnapshot {
    let cities = ["52.5,13.4,Berlin", "35.7,139.7,Tokyo", "-33.9,151.2,Sydney"];
    let address = format!("/ip4/192.168.1.{n}/tcp/4807");
    PeerSnapshot {
        id: peer_id(n),
        owner: (!n.is_multiple_of(3))
            .then(|| NodeOwner { publisher: publisher(n), handle: format!("team-{n}").parse().unwrap() }),
        agent: Some("swarmdex/0.1.0".to_owned()),
        connection: (!n.is_multiple_of(4)).then(|| Connection {
            address: address.clone(),
            direction: if n.is_multiple_of(2) { Direction::Inbound } else { Direction::Outbound },
            since: NOW.before(Duration::from_secs(90)),
        }),
        addresses: vec![address, format!("/ip4/192.168.1.{n}/udp/4807/quic-v1")],
        protocols: vec!["/swarmdex/lab/kad/1.0.0".to_owned(), "/meshsub/1.1.0".to_owned()],
        rtts_ms: (0..12).map(|step| f32::from(n) + (step as f32 * 1.3).sin()).collect(),
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
        packages: Some(u64::from(n) * 11),
        first_seen: NOW.before(Duration::from_secs(7_200)),
        last_seen: NOW.before(Duration::from_secs(30 * u64::from(n))),
        evidence: vec![
            Evidence { at: NOW.before(Duration::from_secs(60)), outcome: Outcome::AnswerRight },
            Evidence { at: NOW.before(Duration::from_secs(20)), outcome: Outcome::AnswerLate },
        ],
        in_mesh: n % 3 == 1,
    }
}

fn announced(n: u8, seq: u64) -> Announced {
    Announced {
        at: NOW.before(Duration::from_secs(u64::from(n))),
        package: package_id(n, &format!("package-{n}")),
        handle: (n != 2).then(|| format!("team-{n}").parse().unwrap()),
        trust: if n == 1 { Trust::Pinned } else { Trust::Unknown },
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
        mesh: connected.min(8),
        clock_offset_ms: Some(12),
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
    model
}

fn full(size: (u16, u16)) -> Model {
    let mut model = model(size);
    model.apply(batch(), NOW);
    update::settle(&mut model);
    model
}

fn hit(n: u8, source: Source) -> Hit {
    Hit {
        package: package_id(n, &format!("parser-{n}")),
        handle: (n != 2).then(|| format!("team-{n}").parse().unwrap()),
        trust: if n == 1 { Trust::Pinned } else { Trust::Unknown },
        version: "2.1.0".parse().unwrap(),
        summary: "Parses configuration files".to_owned(),
        categories: vec![],
        tags: vec![],
        license: None,
        signed_at: NOW.before(Duration::from_secs(4_000)),
        source,
    }
}

fn package() -> Package {
    let draft: Draft = toml::from_str(
        "name = \"parser-1\"\nversion = \"2.1.0\"\ntitle = \"A parser\"\ndescription = \"Parses configuration files, and says in words a person understands what is wrong with them and where.\"\nlicense = \"MIT\"\ntags = [\"config\", \"parser\"]\nrepository = \"https://example.org/parser\"\ndependencies = [{ package = \"team-3/words\", requirement = \"^1.2\" }]",
    )
    .unwrap();
    let release = |version: &str, yanked| ReleaseEntry {
        version: version.parse().unwrap(),
        manifest: Hash::of(version.as_bytes()),
        yanked,
    };
    Package {
        id: package_id(1, "parser-1"),
        handle: Some("team-1".parse().unwrap()),
        trust: Trust::Unknown,
        seq: 3,
        signed_at: NOW.before(Duration::from_secs(4_000)),
        expires: NOW.after(Duration::from_secs(80 * 86_400)),
        confirmed_at: Some(NOW.before(Duration::from_secs(30))),
        releases: vec![release("1.0.0", false), release("2.0.0", true), release("2.1.0", false)],
        complete: true,
        latest: Some(draft.into_manifest(ContentRoot::of(b"bytes"), 4_321, NOW).unwrap()),
        conflicts: vec![],
        source: Source::Peer(peer_id(5)),
    }
}

fn press(model: &mut Model, keys: &str) -> Vec<Effect> {
    keys.chars().flat_map(|c| press_code(model, KeyCode::Char(c))).collect()
}

fn press_code(model: &mut Model, code: KeyCode) -> Vec<Effect> {
    update::on_key(model, Chord { code, ctrl: false, alt: false }, model.now)
}

fn picture(model: &Model) -> String {
    let mut surface = Memory::new(model.size);
    surface
        .draw(|frame| screen::draw(frame, model, Themes::load("dark", None, Depth::True).unwrap().current()))
        .unwrap();
    surface.0.backend().to_string()
}

fn snap(name: &str, build: impl Fn((u16, u16)) -> Model) {
    for size in SIZES {
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(format!("{name}_{}x{}", size.0, size.1), picture(&build(size)));
        });
    }
}

fn on_search(size: (u16, u16)) -> Model {
    let mut model = full(size);
    press(&mut model, "4par");
    let generation = model.search.generation;
    let updates = [
        SearchUpdate::Hits { hits: vec![hit(1, Source::Local), hit(2, Source::Local)], coverage: Coverage::default() },
        SearchUpdate::Hits {
            hits: vec![hit(3, Source::Peer(peer_id(3))), hit(4, Source::Dht)],
            coverage: Coverage { asked: 5, answered: 3 },
        },
    ];
    for update in updates {
        let after = Duration::from_micros(1_700);
        update::on_message(&mut model, Message::Search { generation, update, after }, NOW);
    }
    model
}

fn on_package(size: (u16, u16)) -> Model {
    let mut model = on_search(size);
    let effects = press_code(&mut model, KeyCode::Enter);
    let Some(Effect::Look { generation, .. }) = effects.first() else { panic!("{effects:?}") };
    let result = Box::new(Ok(package()));
    update::on_message(&mut model, Message::Looked { generation: *generation, result }, NOW);
    model
}

#[test]
fn screens_look_as_they_should() {
    snap("starting", |size| Model::new("swarmdex".to_owned(), false, size, NOW));
    snap("alone", |size| {
        let mut model = model(size);
        model.apply(Batch { node: Some(node(0)), events: 1, ..Batch::default() }, NOW);
        model
    });
    snap("peers", full);
    snap("peers_filtered", |size| {
        let mut model = full(size);
        press(&mut model, "/tokyo");
        model
    });
    snap("peer", |size| {
        let mut model = full(size);
        press_code(&mut model, KeyCode::Enter);
        model
    });
    snap("help", |size| {
        let mut model = full(size);
        press(&mut model, "?");
        model
    });
    snap("search", on_search);
    snap("package", on_package);
    snap("notice", |size| {
        let mut model = full(size);
        let text = "port 4807 cannot be used, so another one was taken".to_owned();
        let notices = vec![Notice { at: NOW, level: Level::Warning, text }];
        model.apply(Batch { notices, dropped: 3, events: 1, ..Batch::default() }, NOW);
        model
    });
}

#[test]
fn the_feed_looks_as_it_should() {
    // The clock's column is in the machine's own zone.
    for size in SIZES {
        let mut model = full(size);
        press(&mut model, "3f");
        model.apply(Batch { announcements: vec![announced(9, 1)], events: 1, ..Batch::default() }, NOW);
        insta::with_settings!({
            omit_expression => true,
            prepend_module_to_snapshot => false,
            filters => [(r"\d\d:\d\d:\d\d", "hh:mm:ss")],
        }, {
            insta::assert_snapshot!(format!("feed_{}x{}", size.0, size.1), picture(&model));
        });
    }
}

#[test]
fn below_the_least_size_there_is_one_sentence() {
    let text = picture(&full((30, 8)));
    assert!(text.contains("needs 40 columns"), "{text}");
}

#[test]
fn nothing_breaks_at_any_size() {
    for width in [1, 2, 39, 40, 41, 63, 99, 100, 250] {
        for height in [1, 5, 12, 13, 16, 80] {
            for build in [full, on_search, on_package] {
                picture(&build((width, height)));
            }
        }
    }
}

#[test]
fn hostile_text_stays_in_its_cell() {
    let mut model = model((80, 24));
    let mut evil = announced(1, 1);
    evil.summary = "\u{1b}[2J\u{202e}日本語\r\n".repeat(2_000);
    let mut liar = peer(1);
    liar.agent = Some("日".repeat(5_000));
    model.apply(Batch { peers: vec![liar], announcements: vec![evil], events: 2, ..Batch::default() }, NOW);
    for keys in ["1", "3"] {
        press(&mut model, keys);
        let text = picture(&model);
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'));
        assert_eq!(text.lines().count(), 24);
    }
}

#[test]
fn typing_is_text_and_browsing_is_commands() {
    let mut model = full((80, 24));
    assert!(press(&mut model, "4").iter().any(|effect| matches!(effect, Effect::Search { .. })));
    assert!(model.typing(), "there is nothing else to do there at first");
    let effects = press(&mut model, "q1?");
    assert!(!model.quit && model.popups.is_empty() && model.screen == Screen::Search);
    assert_eq!(model.search.input.value(), "q1?");
    assert_eq!(effects.len(), 3, "a search at every key");
    press_code(&mut model, KeyCode::Esc);
    assert_eq!((model.typing(), model.search.input.value()), (false, "q1?"), "Esc keeps the text");
    press(&mut model, "/");
    update::on_key(&mut model, Chord { code: KeyCode::Char('u'), ctrl: true, alt: false }, NOW);
    assert_eq!((model.typing(), model.search.input.value()), (true, ""));
    update::on_key(&mut model, Chord { code: KeyCode::Char('3'), ctrl: false, alt: true }, NOW);
    assert_eq!(model.screen, Screen::Feed, "Alt-digit works from anywhere");
    press(&mut model, "q");
    assert!(model.quit);
}

#[test]
fn pasted_text_is_one_harmless_line() {
    let mut model = full((80, 24));
    press(&mut model, "4");
    update::on_paste(&mut model, "web\nserver\u{1b}[31m", NOW);
    assert_eq!(model.search.input.value(), "web server [31m");
}

#[test]
fn answers_to_an_earlier_search_are_not_shown() {
    let mut model = on_search((80, 24));
    let old = model.search.generation;
    press(&mut model, "s");
    let update = SearchUpdate::Hits { hits: vec![hit(9, Source::Local)], coverage: Coverage::default() };
    update::on_message(&mut model, Message::Search { generation: old, update, after: Duration::ZERO }, NOW);
    assert!(model.search.hits.all().all(|hit| hit.package != package_id(9, "parser-9")));
}

#[test]
fn the_selection_stays_on_its_peer_while_rows_move() {
    let mut model = full((80, 24));
    press(&mut model, "jj");
    let selected = model.peers.selection.selected.unwrap();
    let mut best = peer(1);
    best.score.total = 0.99;
    let later = NOW.after(Duration::from_secs(1));
    model.apply(Batch { peers: vec![best.clone()], events: 1, ..Batch::default() }, later);
    assert_ne!(model.peers.rows().first(), Some(&best.id), "not within two seconds of a key");
    model.tick(NOW.after(Duration::from_secs(3)));
    assert_eq!(model.peers.rows().first(), Some(&best.id));
    assert_eq!(model.peers.selection.selected, Some(selected));
}

#[test]
fn every_column_can_be_sorted_by_and_turned_round() {
    let mut model = full((160, 50));
    for _ in 0..<PeerSnapshot as Entry>::COLUMNS.len() {
        press(&mut model, "s");
        let before = model.peers.rows().to_vec();
        assert_eq!(before.len(), 8);
        press(&mut model, "SS");
        assert_eq!(model.peers.rows(), before, "twice round is as before");
    }
}

#[test]
fn a_frozen_feed_waits_and_is_bounded() {
    let mut model = full((80, 24));
    press(&mut model, "3f");
    let shown = model.feed.rows().to_vec();
    let many = (0..3_000).map(|seq| announced(7, seq)).collect();
    model.apply(Batch { announcements: many, events: 3_000, ..Batch::default() }, NOW);
    assert_eq!(
        (model.feed.rows().to_vec(), model.feed.waiting(), model.feed.lost),
        (shown, <Announced as Entry>::MOST, 2_000)
    );
    press(&mut model, "f");
    assert_eq!(model.feed.rows().to_vec().len(), <Announced as Entry>::MOST);
    assert_eq!(model.feed.rows().to_vec().first().unwrap().1, 2_999, "newest first");
}

#[test]
fn opening_a_package_is_what_pins_its_handle() {
    let mut model = on_search((80, 24));
    let effects = press_code(&mut model, KeyCode::Enter);
    let [Effect::Look { generation, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    let result = Box::new(Ok(package()));
    let effects = update::on_message(&mut model, Message::Looked { generation: *generation, result }, NOW);
    let pin = Effect::Pin { handle: "team-1".parse().unwrap(), publisher: publisher(1) };
    assert_eq!(effects, [pin]);
    // Closed before the answer came: nothing is pinned.
    press(&mut model, "q");
    let result = Box::new(Ok(package()));
    assert!(update::on_message(&mut model, Message::Looked { generation: *generation, result }, NOW).is_empty());
}

#[test]
fn a_failure_is_shown_with_its_remedy_and_tried_again() {
    let mut model = on_search((80, 24));
    let effects = press_code(&mut model, KeyCode::Enter);
    let [Effect::Look { generation, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    let result = Box::new(Err(RegistryError::Closed));
    update::on_message(&mut model, Message::Looked { generation: *generation, result }, NOW);
    assert!(matches!(model.popups.last(), Some(Popup::Package(view)) if matches!(view.state, Looked::Failed(_))));
    assert!(picture(&model).contains("start it again"));
    assert!(matches!(press(&mut model, "R").as_slice(), [Effect::Look { .. }]));
}

#[test]
fn a_second_that_changes_nothing_costs_no_frame() {
    let mut model = model((80, 24));
    let connected = Batch { node: Some(node(1)), peers: vec![peer(1)], events: 2, ..Batch::default() };
    model.apply(connected, NOW);
    model.tick(NOW);
    model.dirty = false;
    for second in 1..50 {
        model.tick(NOW.after(Duration::from_secs(second)));
        assert!(!model.dirty, "second {second}");
    }
    let away = PeerSnapshot { connection: None, ..peer(1) };
    model.apply(Batch { peers: vec![away], events: 1, ..Batch::default() }, NOW.after(Duration::from_secs(50)));
    model.dirty = false;
    model.tick(NOW.after(Duration::from_secs(51)));
    assert!(model.dirty, "an age that is shown reads differently");
}

#[test]
fn frames_keep_their_distance_and_a_slow_terminal_gets_time() {
    let start = Instant::now();
    let mut pace = Pace::new(start);
    assert_eq!(pace.due(false, start), None);
    assert_eq!(pace.due(true, start), Some(start));
    pace.drawn(start, start + Duration::from_millis(2));
    assert_eq!(pace.due(true, start + Duration::from_millis(3)), Some(start + FRAME));
    let slow = Duration::from_millis(100);
    pace.drawn(start, start + slow);
    assert_eq!(pace.due(true, start + slow), Some(start + slow * 3));
}

fn key_event(c: char) -> Input {
    Input::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE))
}

#[tokio::test(start_paused = true)]
async fn a_flood_stays_bounded_and_the_key_is_served_first() {
    const FLOOD: usize = 100_000;
    let bus = Bus::default();
    let batches = bus.subscribe();
    let (sender, receiver) = messages();
    let (_signals, signals) = mpsc::channel(1);
    // The key is there together with everything else.
    for n in 0..FLOOD / 2 {
        bus.emit(Event::Announced(Box::new(announced(1, n as u64))));
        bus.emit(Event::Peer(Box::new(peer((n % 100) as u8))));
    }
    tokio::task::yield_now().await;
    let inputs = stream::iter([Ok(key_event('3'))]);
    let inputs = futures::StreamExt::chain(inputs, stream::pending());
    let mut sources = Sources {
        inputs: Box::pin(inputs),
        signals,
        messages: receiver,
        batches: Some(batches),
        next_tick: Instant::now(),
    };
    let mut explorer = Explorer {
        model: model((80, 24)),
        surface: Memory::new((80, 24)),
        look: look(),
        executor: Executor::new(sender),
        logs: None,
        frames: 0,
    };
    let first = sources.next(Some(Instant::now())).await;
    assert!(matches!(first, Turn::Input(_)), "the key, before frames, batches and ticks");
    explorer.serve(first).unwrap();
    assert_eq!(explorer.model.screen, Screen::Feed);

    let (mut events, mut batches) = (0, 0);
    while events < FLOOD as u64 {
        if let Turn::Batch(batch) = sources.next(None).await {
            assert!(batch.announcements.len() <= RING && batch.peers.len() <= 100);
            events += batch.events;
            batches += 1;
            explorer.serve(Turn::Batch(batch)).unwrap();
        }
    }
    assert!(batches <= 10, "merged: {batches} batches for {FLOOD} events");
    assert_eq!(explorer.model.feed.rows().to_vec().len(), <Announced as Entry>::MOST);
    assert_eq!(explorer.model.dropped, (FLOOD / 2 - RING) as u64, "and what was lost is known");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_swarm_costs_no_frames() {
    let (sender, receiver) = messages();
    let (signals, signal_receiver) = mpsc::channel(1);
    let mut sources = Sources {
        inputs: Box::pin(stream::pending()),
        signals: signal_receiver,
        messages: receiver,
        batches: None,
        next_tick: Instant::now(),
    };
    let mut explorer = Explorer {
        model: model((80, 24)),
        surface: Memory::new((80, 24)),
        look: look(),
        executor: Executor::new(sender),
        logs: None,
        frames: 0,
    };
    let ended = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(600)).await;
        signals.send(()).await
    });
    explorer.run(&mut sources).await.unwrap();
    ended.await.unwrap().unwrap();
    assert_eq!(explorer.frames, 1, "the first one, in ten minutes");
}

#[tokio::test]
async fn a_node_that_cannot_start_ends_the_explorer_with_its_error() {
    let (sender, receiver) = messages();
    let (_signals, signals) = mpsc::channel(1);
    sender.send(Message::Started(Box::new(Err(RegistryError::Closed)))).await.ok().unwrap();
    let mut sources = Sources {
        inputs: Box::pin(stream::pending()),
        signals,
        messages: receiver,
        batches: None,
        next_tick: Instant::now(),
    };
    let mut explorer = Explorer {
        model: model((80, 24)),
        surface: Memory::new((80, 24)),
        look: look(),
        executor: Executor::new(sender),
        logs: None,
        frames: 0,
    };
    assert!(matches!(explorer.run(&mut sources).await, Err(RegistryError::Closed)));
}
