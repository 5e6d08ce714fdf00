use proptest::prelude::*;

use super::*;

fn well(peers: usize) -> Sample {
    Sample {
        running_for: Duration::from_secs(600),
        peers_in: peers / 2,
        peers_out: peers - peers / 2,
        known_peers: peers,
        announce_mesh: peers.min(8),
        announce_subscribers: peers,
        presence_mesh: peers.min(8),
        routing_table: peers,
        lookups: 40,
        lookup_p50_ms: Some(8.0),
        lookup_p95_ms: Some(30.0),
        announced_a_minute: 60,
        gossip_p50_ms: Some(5.0),
        gossip_p95_ms: Some(20.0),
        messages: 100,
        dials: 10,
        dials_failed: 2,
        store_p95_ms: Some(2.0),
        memory: Some(40 << 20),
        descriptors: Some((100, 1_024)),
        clock_offset_ms: Some(15),
        ..Sample::default()
    }
}

#[test]
fn situations_and_their_verdicts() {
    let alone = Sample {
        running_for: Duration::from_secs(60),
        ..Sample::default()
    };
    for (situation, sample, state, said) in [
        (
            "just started",
            Sample::default(),
            HealthState::Good,
            "starting",
        ),
        ("alone", alone.clone(), HealthState::Degraded, "nobody"),
        (
            "alone with lookups",
            Sample {
                lookups: 9,
                lookups_failed: 9,
                ..alone
            },
            HealthState::Degraded,
            "nobody",
        ),
        ("two nodes", well(1), HealthState::Good, "1 peer"),
        ("three nodes", well(2), HealthState::Good, "2 peers"),
        ("a hundred nodes", well(99), HealthState::Good, "99 peers"),
        (
            "mesh empty",
            Sample {
                announce_mesh: 0,
                ..well(5)
            },
            HealthState::Bad,
            "5 peers are connected",
        ),
        (
            "mesh empty, and forming",
            Sample {
                announce_mesh: 0,
                running_for: Duration::from_secs(5),
                ..well(5)
            },
            HealthState::Good,
            "",
        ),
        (
            "mesh thin",
            Sample {
                announce_mesh: 1,
                ..well(50)
            },
            HealthState::Degraded,
            "only 1",
        ),
        (
            "lookups failing",
            Sample {
                lookups_failed: 30,
                ..well(5)
            },
            HealthState::Bad,
            "30 of 40 lookups",
        ),
        (
            "some lookups failing",
            Sample {
                lookups_failed: 8,
                ..well(5)
            },
            HealthState::Degraded,
            "8 of 40 lookups",
        ),
        (
            "one lookup failed",
            Sample {
                lookups: 1,
                lookups_failed: 1,
                ..well(5)
            },
            HealthState::Good,
            "",
        ),
        (
            "slow lookups",
            Sample {
                lookup_p95_ms: Some(4_000.0),
                ..well(5)
            },
            HealthState::Degraded,
            "4.0 s",
        ),
        (
            "no servers",
            Sample {
                routing_table: 0,
                ..well(5)
            },
            HealthState::Bad,
            "no peer can be asked",
        ),
        (
            "invalid gossip",
            Sample {
                messages_refused: 80,
                ..well(5)
            },
            HealthState::Bad,
            "80 of 100",
        ),
        (
            "some invalid gossip",
            Sample {
                messages_refused: 10,
                ..well(5)
            },
            HealthState::Degraded,
            "10 of 100",
        ),
        (
            "late gossip",
            Sample {
                gossip_p95_ms: Some(9_000.0),
                ..well(5)
            },
            HealthState::Degraded,
            "9.0 s",
        ),
        (
            "dials fail",
            Sample {
                dials_failed: 9,
                peers_out: 0,
                ..well(5)
            },
            HealthState::Degraded,
            "9 of 10",
        ),
        (
            "dials fail where others come",
            Sample {
                dials_failed: 9,
                peers_out: 0,
                ..well(9)
            },
            HealthState::Good,
            "4 peers",
        ),
        (
            "dials to peers that are gone",
            Sample {
                dials_failed: 10,
                ..well(5)
            },
            HealthState::Good,
            "5 peers",
        ),
        (
            "a twin",
            Sample {
                twin: Some("it answers at /ip4/10.0.0.1/tcp/1".to_owned()),
                ..well(5)
            },
            HealthState::Degraded,
            "another node runs with this node's key (it answers at /ip4/10.0.0.1/tcp/1)",
        ),
        (
            "another bootstrap, and nobody else",
            Sample {
                strange: Some(("/ip4/10.0.0.1/tcp/1".to_owned(), "12D3".to_owned())),
                running_for: Duration::from_secs(60),
                ..Sample::default()
            },
            HealthState::Degraded,
            "the node at the bootstrap address /ip4/10.0.0.1/tcp/1 is another one than was named: \
            12D3",
        ),
        (
            "no interface",
            Sample {
                listening: Some(Vec::new()),
                running_for: Duration::from_secs(60),
                ..Sample::default()
            },
            HealthState::Degraded,
            "no network interface is up",
        ),
        (
            "one that is off",
            Sample {
                dials: 1,
                dials_failed: 1,
                peers_out: 0,
                ..well(2)
            },
            HealthState::Good,
            "1 peer",
        ),
        (
            "slow disk",
            Sample {
                store_p95_ms: Some(400.0),
                ..well(5)
            },
            HealthState::Degraded,
            "400 ms",
        ),
        (
            "dead disk",
            Sample {
                store_p95_ms: Some(9_000.0),
                ..well(5)
            },
            HealthState::Bad,
            "9.0 s",
        ),
        (
            "descriptors",
            Sample {
                descriptors: Some((1_000, 1_024)),
                ..well(5)
            },
            HealthState::Bad,
            "1000 of 1024",
        ),
        (
            "clock",
            Sample {
                clock_offset_ms: Some(-300_000),
                ..well(5)
            },
            HealthState::Bad,
            "5 minutes behind",
        ),
        (
            "split",
            Sample {
                lost: 6,
                left: 6,
                ..well(3)
            },
            HealthState::Degraded,
            "6 of 9 peers were lost at once: the network may be split",
        ),
        (
            "some left",
            Sample {
                lost: 3,
                left: 3,
                ..well(9)
            },
            HealthState::Good,
            "9 peers",
        ),
        (
            "disk full",
            Sample {
                disk: Some((9 << 20, 1 << 40)),
                ..well(5)
            },
            HealthState::Bad,
            "the disk is full",
        ),
        (
            "disk nearly full",
            Sample {
                disk: Some((300 << 20, 1 << 40)),
                ..well(5)
            },
            HealthState::Degraded,
            "300 MiB are free",
        ),
        (
            "endangered packages",
            Sample {
                own: Some(70),
                endangered: 2,
                endangered_named: vec!["alice/web".to_owned(), "alice/db".to_owned()],
                ..well(5)
            },
            HealthState::Degraded,
            "alice/web and 1 more would be lost",
        ),
        (
            "releases that nobody takes",
            Sample {
                copies: CopyFigures {
                    waiting: 3,
                    kept: 5,
                    room: 9,
                },
                ..well(5)
            },
            HealthState::Degraded,
            "3 releases of yours are on too few other nodes",
        ),
        (
            "own packages that others have",
            Sample {
                own: Some(7),
                ..well(5)
            },
            HealthState::Good,
            "5 peers",
        ),
        (
            "a table that nobody refreshes",
            Sample {
                refreshed_ago: Some(Duration::from_secs(3_600)),
                ..well(5)
            },
            HealthState::Degraded,
            "60 min ago",
        ),
        (
            "far peers",
            Sample {
                rtt_p50_ms: Some(300.0),
                rtt_p95_ms: Some(3_000.0),
                ..well(9)
            },
            HealthState::Degraded,
            "3.0 s",
        ),
        (
            "peers that gossip avoids",
            Sample {
                negative: 4,
                ..well(9)
            },
            HealthState::Degraded,
            "4 of 9 peers",
        ),
        (
            "overloaded",
            Sample {
                overloaded: 3,
                ..well(5)
            },
            HealthState::Degraded,
            "3 messages",
        ),
    ] {
        let verdict = verdict(&sample);
        assert_eq!(verdict.state, state, "{situation}: {verdict:?}");
        assert!(verdict.cause.contains(said), "{situation}: {verdict:?}");
        assert_eq!(
            verdict.remedy.is_empty(),
            state == HealthState::Good,
            "{situation}: {verdict:?}"
        );
    }
}

#[test]
fn a_change_for_the_better_must_hold() {
    let verdict = |state| HealthVerdict {
        state,
        cause: format!("{state:?}"),
        remedy: String::new(),
    };
    let mut history = History::default();
    let mut at = 0;
    let mut take = |history: &mut History, state| {
        at += 1;
        history.take(verdict(state), Timestamp(at))
    };
    assert!(!take(&mut history, HealthState::Good));
    assert!(take(&mut history, HealthState::Degraded), "at once");
    assert!(
        !take(&mut history, HealthState::Good),
        "one sample is a flicker"
    );
    assert!(!take(&mut history, HealthState::Degraded));
    assert!(take(&mut history, HealthState::Bad), "at once");
    assert!(!take(&mut history, HealthState::Good));
    assert_eq!(history.verdict().unwrap().state, HealthState::Bad);
    assert!(take(&mut history, HealthState::Good));
    let changes: Vec<_> = history
        .changes()
        .map(|change| (change.from, change.to.state))
        .collect();
    assert_eq!(
        changes,
        [
            (HealthState::Bad, HealthState::Good),
            (HealthState::Degraded, HealthState::Bad),
            (HealthState::Good, HealthState::Degraded)
        ]
    );
    for _ in 0..100 {
        take(&mut history, HealthState::Bad);
        take(&mut history, HealthState::Good);
        take(&mut history, HealthState::Good);
    }
    assert_eq!(history.changes().count(), MOST_CHANGES);
}

proptest! {
    #[test]
    fn the_verdict_is_the_worst_row(
        counts in proptest::collection::vec(any::<u64>(), 12),
        floats in proptest::collection::vec(proptest::option::of(any::<f64>()), 7),
        offset in proptest::option::of(any::<i64>()),
    ) {
        let small = |at: usize| (counts[at] % 300) as usize;
        let sample = Sample {
            refused: Default::default(),
            running_for: Duration::from_secs(counts[0] % 100),
            peers_in: small(1),
            peers_out: small(2),
            known_peers: small(3),
            announce_mesh: small(4),
            announce_subscribers: small(5),
            presence_mesh: small(6),
            routing_table: small(7) % 3,
            lookups: counts[8],
            lookups_failed: counts[9],
            lookup_p50_ms: floats[0],
            lookup_p95_ms: floats[1],
            announced_a_minute: counts[10],
            gossip_p50_ms: floats[2],
            gossip_p95_ms: floats[3],
            messages: counts[11],
            messages_refused: counts[0],
            dials: counts[1],
            dials_failed: counts[2],
            bytes_in: floats[4],
            bytes_out: floats[5],
            store_p95_ms: floats[6],
            memory: Some(counts[3]),
            descriptors: Some((counts[4], counts[5])),
            overloaded: counts[6],
            clock_offset_ms: offset,
            tcp: small(0),
            quic: small(8),
            dht_server: counts[7] % 2 == 0,
            rtt_p50_ms: floats[0],
            rtt_p95_ms: floats[3],
            negative: small(9),
            banned: small(10),
            doubted: small(3),
            clock_behind: small(10) == 0,
            refreshed_ago: floats[1].map(|_| Duration::from_secs(counts[8])),
            dial_errors: [("refused".to_owned(), counts[3])].into(),
            gets: [counts[0] >> 3, counts[1] >> 3, counts[2] >> 3, counts[3] >> 3],
            duplicates: floats[5],
            announcement_copies: (0, 0),
            joined: small(11),
            left: small(1),
            lost: small(2) % 9,
            dead: small(2) % 3,
            listening: (small(6) > 0).then(|| (1..small(6) % 3).map(|n| n.to_string()).collect()),
            gateway: (small(5) % 2 == 0).then(|| match small(5) % 4 {
                0 => GatewayHealth::Open("http://127.0.0.1:4810".to_owned()),
                _ => GatewayHealth::Failed { address: "127.0.0.1:4810".to_owned(), why: "it is \
                    taken".to_owned() },
            }),
            twin: (small(7) == 0).then(|| "it answers".to_owned()),
            strange: (small(8) == 0).then(|| ("there".to_owned(), "somebody".to_owned())),
            agents: [("swarmdex/1".to_owned(), small(4))].into(),
            own: Some(counts[5] % 3),
            endangered: counts[6] % 4,
            endangered_named: (0..counts[6] % 4).map(|n| format!("alice/{n}")).collect(),
            copies: CopyFigures { waiting: counts[6] % 3, kept: counts[7], room: counts[7] % 2 },
            disk: floats[6].map(|_| (counts[9], counts[10])),
        };
        let rows = rows(&sample);
        prop_assert_eq!(rows.len(), Measure::ALL.len());
        let worst = rows.iter().filter_map(|row| row.state).max().unwrap_or_default();
        let verdict = verdict(&sample);
        prop_assert_eq!(verdict.state, worst);
        for row in &rows {
            prop_assert!(!row.shown.is_empty());
            prop_assert_eq!(row.complaint().is_some(), row.state > Some(HealthState::Good));
        }
    }
}
