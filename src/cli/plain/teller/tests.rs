use std::collections::BTreeMap;

use super::*;
use crate::{
    bus::Connection,
    domain::{
        name::{PackageId, PublisherId},
        record::Refusal,
        reputation::Score,
        transfer::TransferPeer,
    },
    registry::NodeOwner,
};

/// 12:00:00 UTC.
const NOON: Timestamp = Timestamp(1_795_435_200_000);

fn later(ms: u64) -> Timestamp {
    Timestamp(NOON.0 + ms)
}

fn teller() -> Narrator {
    Narrator::in_zone(NOON, TimeZone::UTC)
}

fn node(peers: usize, packages: u64) -> NodeSnapshot {
    NodeSnapshot {
        peer_id: PeerId::random(),
        network: "lab".to_owned(),
        addresses: vec!["/ip4/127.0.0.1/tcp/1".to_owned()],
        handle: Some("alice".to_owned()),
        connected: peers,
        known_peers: peers,
        packages,
        dht_records: 0,
        dht_server: true,
        mdns: true,
        mesh: 0,
        clock_offset_ms: None,
        location: None,
        started_at: NOON,
    }
}

fn peer(id: PeerId, connected: bool) -> PeerSnapshot {
    let connection = Connection {
        address: "/ip4/127.0.0.1/tcp/2".to_owned(),
        direction: Direction::Inbound,
        since: NOON,
    };
    PeerSnapshot {
        id,
        owner: None,
        agent: None,
        connection: connected.then_some(connection),
        addresses: Vec::new(),
        protocols: Vec::new(),
        rtts_ms: Vec::new(),
        score: Score::default(),
        location: None,
        distance_km: None,
        provenance: None,
        packages: None,
        room: 0,
        first_seen: NOON,
        last_seen: NOON,
        evidence: Vec::new(),
        in_mesh: false,
        basis: crate::domain::reputation::Basis::default(),
        gossip_score: None,
        traffic: crate::bus::PeerTraffic::default(),
        sheet: None,
    }
}

fn package() -> ReceivedAnnouncement {
    let publisher = PublisherId::of(&libp2p::identity::Keypair::generate_ed25519().public());
    ReceivedAnnouncement {
        at: NOON,
        package: PackageId {
            owner: publisher,
            name: "web".parse().unwrap(),
        },
        handle: Some("bob".parse().unwrap()),
        trust: Trust::Unknown,
        version: "1.2.3".parse().unwrap(),
        summary: "A \u{1b}[31mweb\nserver.".to_owned(),
        yanked: false,
        via: Some(PeerId::random()),
        delay: Duration::from_millis(12),
        travelled: Duration::from_millis(3),
        seq: 1,
    }
}

fn peers(peers: Vec<PeerSnapshot>) -> Batch {
    Batch {
        peers,
        events: 1,
        ..Batch::default()
    }
}

#[test]
fn it_begins_with_who_and_where() {
    let node = node(0, 0);
    let said = teller().begin(&node, &["a demo".to_owned()]);
    let you = format!(
        "12:00:00 you are alice, node {} in network lab",
        node.peer_id
    );
    assert_eq!(
        said,
        [
            "12:00:00 a demo",
            &you,
            "12:00:00 listening on /ip4/127.0.0.1/tcp/1"
        ]
    );
}

#[test]
fn a_peer_is_told_of_when_it_comes_goes_and_is_somebodys() {
    let (mut teller, a, b) = (teller(), PeerId::random(), PeerId::random());
    let (short_a, short_b) = (short_id(&a), short_id(&b));
    let mut tell = |batch| teller.batch(batch, later(61_000)).join("; ");
    let at = "/ip4/127.0.0.1/tcp/2, inbound";
    let joined = tell(peers(vec![peer(a, true)]));
    assert_eq!(
        joined,
        format!("12:01:01 joined: {short_a} is connected at {at}")
    );
    assert_eq!(
        tell(peers(vec![peer(a, true)])),
        "",
        "a new round trip is nothing to be told of"
    );
    assert_eq!(
        tell(peers(vec![peer(b, false)])),
        "",
        "nor is one that is only known"
    );
    assert_eq!(
        tell(peers(vec![peer(b, true)])),
        format!("12:01:01 peer connected: {short_b} at {at}")
    );
    let owner = NodeOwner {
        publisher: package().package.owner,
        handle: "bob".parse().unwrap(),
    };
    let bob = format!("bob ({})", owner.publisher.fingerprint());
    let owned = PeerSnapshot {
        owner: Some(owner),
        ..peer(b, true)
    };
    assert_eq!(
        tell(peers(vec![owned])),
        format!("12:01:01 peer {short_b} is {bob}'s {short_b}")
    );
    assert_eq!(
        tell(peers(vec![peer(a, false)])),
        format!("12:01:01 peer gone: {short_a}")
    );
    let forgotten = Batch {
        gone: vec![a, b],
        events: 2,
        ..Batch::default()
    };
    assert_eq!(
        tell(forgotten),
        format!("12:01:01 peer gone: {bob}'s {short_b}; no peers left")
    );
}

#[test]
fn a_storm_of_peers_is_twenty_lines_a_second_and_a_count() {
    let mut teller = teller();
    let storm = || peers((0..50).map(|_| peer(PeerId::random(), true)).collect());
    assert_eq!(teller.batch(storm(), later(100)).len(), PEER_LINES);
    assert!(
        teller.batch(storm(), later(900)).is_empty(),
        "the same second"
    );
    assert!(teller.tick(later(950)).is_empty());
    assert_eq!(
        teller.tick(later(1_100)),
        ["12:00:01 and 80 more peers changed"]
    );
    assert_eq!(
        teller.batch(storm(), later(1_200)).len(),
        PEER_LINES,
        "a new second has room again"
    );
    let mut next = teller.batch(storm(), later(2_300));
    assert_eq!(
        next.remove(0),
        "12:00:02 and 30 more peers changed",
        "also without a tick in between"
    );
    assert_eq!(next.len(), PEER_LINES);
}

#[test]
fn announcements_and_notices_are_one_harmless_line_each() {
    let mut teller = teller();
    let (first, own) = (
        package(),
        ReceivedAnnouncement {
            via: None,
            yanked: true,
            trust: Trust::Pinned,
            ..package()
        },
    );
    let slow = ReceivedAnnouncement {
        delay: Duration::from_secs(90),
        summary: String::new(),
        ..package()
    };
    let from = first.via.map(|peer| short_id(&peer)).unwrap();
    let [key, slow_key] = [&first, &slow].map(|one| one.package.owner.fingerprint());
    let notices = vec![Notice {
        at: NOON,
        level: Level::Warning,
        text: "disk\r\u{202e}full".to_owned(),
    }];
    let batch = Batch {
        announcements: vec![first, own, slow],
        notices,
        events: 4,
        ..Batch::default()
    };
    let said = teller.batch(batch, later(5_000));
    assert_eq!(
        said[0],
        format!(
            "12:00:05 announced ! bob/web ({key}) 1.2.3: A [31mweb server, via {from}, delay 12 ms"
        )
    );
    assert_eq!(
        said[1],
        "12:00:05 yanked bob/web 1.2.3: A [31mweb server, by you, pinned"
    );
    assert!(
        said[2].contains(&format!("announced ! bob/web ({slow_key}) 1.2.3, via"))
            && said[2].ends_with("delay 90 s"),
        "{}",
        said[2]
    );
    assert_eq!(said[3], "12:00:05 warning: disk full");
}

#[test]
fn a_summary_comes_once_a_minute_and_only_when_something_changed() {
    let mut teller = teller();
    let addresses = node(0, 0).addresses;
    teller.begin(&node(0, 0), &[]);
    assert!(teller.tick(later(60_000)).is_empty(), "nothing has changed");
    let refused: BTreeMap<_, _> = [(Refusal::BadSignature, 2)].into();
    let counters = Some(Counters {
        refused,
        overloaded: 3,
        ..Counters::default()
    });
    let node = Some(NodeSnapshot {
        addresses,
        ..node(1, 12)
    });
    let batch = Batch {
        node,
        counters,
        dropped: 4,
        events: 2,
        ..Batch::default()
    };
    assert!(teller.batch(batch, later(61_000)).is_empty());
    assert!(
        teller.tick(later(119_000)).is_empty(),
        "its time has not come"
    );
    assert_eq!(
        teller.tick(later(120_000)),
        ["12:02:00 1 peer, 12 packages, 2 refused, 7 dropped"]
    );
    assert!(teller.tick(later(180_000)).is_empty());
}

#[test]
fn addresses_that_come_and_go_are_told() {
    let mut teller = teller();
    teller.begin(&node(0, 0), &[]);
    let moved = NodeSnapshot {
        addresses: vec!["/ip4/127.0.0.1/tcp/9".to_owned()],
        ..node(0, 0)
    };
    let said = teller.batch(
        Batch {
            node: Some(moved),
            events: 1,
            ..Batch::default()
        },
        NOON,
    );
    assert_eq!(
        said,
        [
            "12:00:00 listening on /ip4/127.0.0.1/tcp/9",
            "12:00:00 no longer listening on /ip4/127.0.0.1/tcp/1"
        ]
    );
}

#[test]
fn a_fetch_is_told_when_it_begins_ends_and_somebody_lies() {
    let (mut teller, liar) = (teller(), PeerId::random());
    let giver = |part, bytes| TransferPeer {
        part,
        bytes,
        ..TransferPeer::new(PeerId::random())
    };
    let fetch = |root: &[u8], state, ended: Option<u64>| Transfer {
        id: TransferId::Fetch {
            root: ContentRoot::of(root),
        },
        what: "bob/web 1.2.3".to_owned(),
        size: 3 << 20,
        done: 1 << 20,
        resumed: 0,
        rate: 0.0,
        state,
        peers: vec![
            giver(Part::Giving, 1),
            giver(Part::Idle, 1),
            giver(Part::Slow, 0),
        ],
        started_at: NOON,
        ended_at: ended.map(later),
        for_others: false,
        beside: false,
    };
    let mut tell = |transfer: Transfer, at| {
        teller
            .batch(
                Batch {
                    transfers: vec![transfer],
                    events: 1,
                    ..Batch::default()
                },
                later(at),
            )
            .join("; ")
    };
    let (waiting, running) = (TransferState::Waiting, TransferState::Running);
    assert_eq!(
        tell(fetch(b"a", waiting, None), 0),
        "12:00:00 downloading bob/web 1.2.3, 3.0 MiB"
    );
    assert_eq!(
        tell(fetch(b"a", running.clone(), None), 100),
        "",
        "it goes on"
    );
    let mut lied = fetch(b"a", running.clone(), None);
    lied.peers.push(TransferPeer {
        part: Part::Lied,
        refused: 1,
        ..TransferPeer::new(liar)
    });
    let said = tell(lied.clone(), 200);
    let short = short_id(&liar);
    assert!(
        said.ends_with("discarded") && said.contains(&format!("peer {short} lied: its data")),
        "{said}"
    );
    assert_eq!(tell(lied.clone(), 300), "", "once");
    let done = Transfer {
        state: TransferState::Done,
        ended_at: Some(later(4_200)),
        resumed: 1 << 20,
        ..lied
    };
    let all = "12:00:04 downloaded bob/web 1.2.3: 3.0 MiB from 2 peers in 4.2 s, 1.0 MiB kept from \
               an earlier attempt";
    assert_eq!(tell(done.clone(), 4_200), all);
    assert_eq!(tell(done, 60_000), "", "another listener came");
    let why = || TransferState::Failed("nobody has it".to_owned());
    assert_eq!(
        tell(fetch(b"b", why(), Some(0)), 60_000),
        "",
        "what ended before is no news"
    );
    assert_eq!(
        tell(fetch(b"c", why(), Some(60_000)), 60_000),
        "12:01:00 download of bob/web 1.2.3 failed: nobody has it"
    );
    assert_eq!(
        tell(fetch(b"c", running, None), 61_000),
        "12:01:01 downloading bob/web 1.2.3, 3.0 MiB",
        "tried again"
    );
    assert!(
        tell(fetch(b"c", TransferState::Paused, Some(62_000)), 62_000)
            .ends_with("paused at 1.0 MiB of 3.0 MiB")
    );
    let served = TransferId::Serve {
        root: ContentRoot::of(b"a"),
        peer: liar,
    };
    assert_eq!(
        tell(
            Transfer {
                id: served,
                ..fetch(b"d", TransferState::Running, None)
            },
            63_000
        ),
        ""
    );
}

#[test]
fn health_is_told_when_it_is_another() {
    let mut teller = teller();
    let health = |sample: Sample| Batch {
        health: Some(sample),
        events: 1,
        ..Batch::default()
    };
    let alone = Sample {
        running_for: Duration::from_secs(60),
        ..Sample::default()
    };
    let said = teller.batch(health(alone.clone()), NOON);
    assert!(
        said[0].contains("health is degraded: nobody") && said[0].contains("what to do: start"),
        "{said:?}"
    );
    assert!(teller.batch(health(alone), later(2_000)).is_empty(), "once");
    let well = Sample {
        running_for: Duration::from_secs(60),
        peers_in: 1,
        announce_mesh: 1,
        announce_subscribers: 1,
        routing_table: 1,
        ..Sample::default()
    };
    assert!(
        teller.batch(health(well.clone()), later(4_000)).is_empty(),
        "it must hold"
    );
    let said = teller.batch(health(well), later(6_000));
    assert!(
        said[0].contains("health is good: connected to 1 peer"),
        "{said:?}"
    );
}

#[test]
fn an_outage_and_its_end_are_a_sentence_each() {
    let mut teller = teller();
    let lost = Link::Lost {
        why: "no answer".to_owned(),
    };
    assert_eq!(
        teller.link(&lost, later(1_000)),
        ["12:00:01 the node does not answer: no answer; reconnecting"]
    );
    assert!(teller.link(&lost, later(2_000)).is_empty(), "said once");
    assert_eq!(
        teller.link(&Link::Here, later(9_000)),
        ["12:00:09 the node answers again, after 8 s"]
    );
}
