//! Tests of the event loop: its order, and the number of frames.

use super::*;

#[test]
fn a_second_that_changes_nothing_costs_no_frame() {
    let mut model = model((80, 24));
    let connected = Batch {
        node: Some(node(1)),
        peers: vec![peer(1)],
        events: 2,
        ..Batch::default()
    };
    model.apply(connected, NOW);
    update::on_tick(&mut model, NOW);
    model.dirty = false;
    for second in 1..50 {
        update::on_tick(&mut model, NOW.after(Duration::from_secs(second)));
        assert!(!model.dirty, "second {second}");
    }
    let away = PeerSnapshot {
        connection: None,
        ..peer(1)
    };
    model.apply(
        Batch {
            peers: vec![away],
            events: 1,
            ..Batch::default()
        },
        NOW.after(Duration::from_secs(50)),
    );
    model.dirty = false;
    update::on_tick(&mut model, NOW.after(Duration::from_secs(51)));
    assert!(model.dirty, "an age that is shown reads differently");
}

#[test]
fn frames_keep_their_distance_and_a_slow_terminal_gets_time() {
    let start = Instant::now();
    let mut pace = FramePace::new(start);
    assert_eq!(pace.due(false, true, start), None);
    assert_eq!(pace.due(true, false, start), Some(start));
    pace.drawn(start, start + Duration::from_millis(2));
    assert_eq!(
        pace.due(true, false, start + Duration::from_millis(3)),
        Some(start + FRAME)
    );
    assert_eq!(
        pace.due(true, true, start + Duration::from_millis(3)),
        Some(start + FRAME / 2),
        "a key sooner"
    );
    // Endless keys cause at most 60 frames a second.
    let mut at = start;
    let mut frames = 0;
    while at < start + Duration::from_secs(1) {
        at = pace.due(true, true, at).unwrap();
        pace.drawn(at, at + Duration::from_millis(1));
        at += Duration::from_millis(1);
        frames += 1;
    }
    assert!(frames <= 63, "{frames}");
    let slow = Duration::from_millis(100);
    pace.drawn(at, at + slow);
    assert_eq!(
        pace.due(true, true, at + slow),
        Some(at + slow * 3),
        "nor sooner than the terminal can"
    );
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
    // The key arrives together with everything else.
    for n in 0..FLOOD / 2 {
        bus.emit(BusEvent::Announced(Box::new(announced(1, n as u64))));
        bus.emit(BusEvent::Peer(Box::new(peer((n % 100) as u8))));
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
        frames: 0,
    };
    let first = sources.next(Some(Instant::now())).await;
    assert!(
        matches!(first, LoopTurn::Input(_)),
        "the key, before frames, batches and ticks"
    );
    explorer.serve(first).unwrap();
    assert_eq!(explorer.model.screen, Screen::Feed);

    let (mut events, mut batches) = (0, 0);
    while events < FLOOD as u64 {
        if let LoopTurn::Batch(batch) = sources.next(None).await {
            assert!(batch.announcements.len() <= RING && batch.peers.len() <= 100);
            events += batch.events;
            batches += 1;
            explorer.serve(LoopTurn::Batch(batch)).unwrap();
        }
    }
    assert!(
        batches <= 10,
        "merged: {batches} batches for {FLOOD} events"
    );
    assert_eq!(
        explorer.model.feed.rows().to_vec().len(),
        <ReceivedAnnouncement as TableEntry>::MOST
    );
    assert_eq!(
        explorer.model.dropped,
        (FLOOD / 2 - RING) as u64,
        "and what was lost is known"
    );
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
    sender
        .send(EffectResult::Started(Box::new(Err(RegistryError::Closed))))
        .await
        .ok()
        .unwrap();
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
        frames: 0,
    };
    assert!(matches!(
        explorer.run(&mut sources).await,
        Err(RegistryError::Closed)
    ));
}
