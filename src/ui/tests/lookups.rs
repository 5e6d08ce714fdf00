//! Tests of lookups, their requests, and the routing table.

use super::*;
use crate::domain::lookup::{
    Bucket, Hop, HopAnswer, HopFailure, HopRequest, LookupKind, LookupState, RoutingTable, Trace,
    distance_bits, position,
};

fn target(n: u8) -> Hash {
    Hash::of(&[n])
}

fn hop(
    n: u8,
    of: u8,
    after_ms: u32,
    took_ms: Option<u32>,
    answer: HopAnswer,
    closer: (u16, u16),
) -> Hop {
    let peer = peer_id(n);
    Hop {
        peer,
        ask: HopRequest::Get,
        bits: distance_bits(&position(&peer), &target(of)),
        after_us: after_ms * 1_000 + 312,
        took_us: took_ms.map(|ms| ms * 1_000 + 450),
        dialled: false,
        answer,
        closer: closer.0,
        new: closer.1,
    }
}

fn trace(n: u8, kind: LookupKind, what: Option<&str>, state: LookupState) -> Trace {
    Trace {
        id: u64::from(n),
        kind,
        key: Hash::of(&[n, n]).to_string(),
        target: target(n),
        what: what.map(str::to_owned),
        state,
        found: u32::from(state == LookupState::Done) * 3,
        own: false,
        started_at: NOW.before(seconds(u64::from(n) * 7)),
        took_us: (state != LookupState::Running).then_some(u32::from(n) * 11_400),
        hops: Vec::new(),
        more_hops: 0,
    }
}

fn get() -> Trace {
    let hops = vec![
        hop(1, 1, 0, Some(18), HopAnswer::Closer, (20, 17)),
        hop(2, 1, 0, Some(31), HopAnswer::Closer, (20, 4)),
        hop(
            3,
            1,
            1,
            None,
            HopAnswer::Failed(HopFailure::Unreachable),
            (0, 0),
        ),
        Hop {
            dialled: true,
            ..hop(4, 1, 19, Some(64), HopAnswer::Record, (20, 0))
        },
        hop(5, 1, 32, Some(12), HopAnswer::Nothing, (0, 0)),
        hop(6, 1, 45, Some(20), HopAnswer::Wrong, (3, 1)),
        hop(7, 1, 66, None, HopAnswer::NotAwaited, (0, 0)),
    ];
    Trace {
        hops,
        found: 1,
        own: true,
        took_us: Some(83_900),
        ..trace(
            1,
            LookupKind::Get,
            Some("head of alice/web"),
            LookupState::Done,
        )
    }
}

fn running() -> Trace {
    let hops = vec![
        hop(8, 2, 0, Some(5), HopAnswer::Providers(2), (12, 12)),
        Hop {
            dialled: true,
            ..hop(9, 2, 6, None, HopAnswer::Waiting, (0, 0))
        },
    ];
    let what = Some("content of bob/json 0.3.1");
    Trace {
        hops,
        found: 2,
        started_at: NOW.before(seconds(1)),
        ..trace(2, LookupKind::Providers, what, LookupState::Running)
    }
}

fn several() -> Vec<Trace> {
    let silent = vec![hop(
        3,
        5,
        0,
        None,
        HopAnswer::Failed(HopFailure::TimedOut),
        (0, 0),
    )];
    let many = (1..=10).map(|n| Hop {
        ask: HopRequest::Find,
        ..hop(n, 7, u32::from(n) * 3, Some(4), HopAnswer::Closer, (20, 2))
    });
    vec![
        get(),
        running(),
        Trace {
            found: 3,
            ..trace(
                3,
                LookupKind::Put,
                Some("head of carol/nine"),
                LookupState::Done,
            )
        },
        Trace {
            hops: vec![hop(2, 4, 0, Some(9), HopAnswer::Nothing, (0, 0))],
            ..trace(4, LookupKind::Get, None, LookupState::Missing)
        },
        Trace {
            hops: silent,
            ..trace(
                5,
                LookupKind::Get,
                Some("manifest of dave/much"),
                LookupState::Unanswered,
            )
        },
        trace(6, LookupKind::Provide, None, LookupState::Done),
        Trace {
            hops: many.collect(),
            more_hops: 31,
            ..trace(7, LookupKind::Bootstrap, None, LookupState::Done)
        },
    ]
}

fn tell(model: &mut Model, lookups: Vec<Trace>) {
    model.apply(
        Batch {
            events: lookups.len() as u64,
            lookups,
            ..Batch::default()
        },
        NOW,
    );
    update::settle(model);
}

pub fn on_lookups(size: (u16, u16)) -> Model {
    let mut model = full(size);
    press(&mut model, "7");
    tell(&mut model, several());
    model
}

pub fn opened(size: (u16, u16), id: u64) -> Model {
    let mut model = on_lookups(size);
    model.lookups.table.selection.selected = Some(id);
    press_code(&mut model, KeyCode::Enter);
    model
}

pub fn buckets(size: (u16, u16)) -> Model {
    let mut model = on_lookups(size);
    assert_eq!(press(&mut model, "b"), [Effect::Routing]);
    let bucket = |bits: u16, peers: u16, pending: bool| Bucket {
        bits,
        peers,
        connected: peers / 2,
        pending,
        oldest_contact: Some(NOW.before(seconds(u64::from(peers) * 40))),
        refreshed: (bits > 253).then(|| NOW.before(seconds(u64::from(256 - bits) * 90))),
    };
    let buckets = vec![
        bucket(256, 20, true),
        bucket(255, 17, false),
        bucket(254, 9, false),
        bucket(251, 1, false),
    ];
    let table = RoutingTable {
        me: peer_id(0),
        room: 20,
        buckets,
    };
    update::on_message(&mut model, EffectResult::Routing(Box::new(Ok(table))), NOW);
    model
}

#[test]
fn a_lookup_that_runs_is_on_top_and_its_trace_goes_on_while_it_is_open() {
    let mut model = on_lookups((160, 50));
    assert_eq!(model.lookups.table.rows().first(), Some(&2));
    press_code(&mut model, KeyCode::Enter);
    assert!(picture(&model).contains("dialled, waiting"));
    model.dirty = false;
    let mut hops = running().hops;
    hops[1] = Hop {
        took_us: Some(44_000),
        answer: HopAnswer::Providers(1),
        ..hops[1].clone()
    };
    tell(
        &mut model,
        vec![Trace {
            hops,
            state: LookupState::Done,
            took_us: Some(50_100),
            ..running()
        }],
    );
    assert!(model.dirty);
    assert!(
        picture(&model).contains("dialled; 1 PROVIDER"),
        "{}",
        picture(&model)
    );
}

#[test]
fn lookups_cost_a_frame_only_where_they_are_shown() {
    let mut model = full((100, 30));
    model.dirty = false;
    tell(&mut model, several());
    assert!(!model.dirty, "on Peers nobody sees them");
    press(&mut model, "7");
    model.dirty = false;
    tell(&mut model, vec![running()]);
    assert!(model.dirty);
}

#[test]
fn they_filter_by_what_they_are() {
    let mut model = on_lookups((160, 50));
    press(&mut model, "/kind:get state:found");
    assert_eq!(model.lookups.table.rows(), [1]);
    press_ctrl(&mut model, 'u');
    press(&mut model, "nothing-like-that");
    assert!(picture(&model).contains("No lookup matches the filter"));
}

#[test]
fn the_routing_table_is_asked_for_again_while_it_is_open() {
    let mut model = buckets((100, 30));
    assert_eq!(
        update::on_tick(&mut model, NOW),
        [Effect::Routing, Effect::Conflicts],
        "who claims which handle is asked for once"
    );
    assert_eq!(update::on_tick(&mut model, NOW), [Effect::Routing]);
    assert_eq!(press(&mut model, "R"), [Effect::Routing]);
    let failed = Err(crate::RegistryError::Closed);
    update::on_message(&mut model, EffectResult::Routing(Box::new(failed)), NOW);
    assert!(picture(&model).contains("Cannot show the routing table"));
    press_code(&mut model, KeyCode::Esc);
    assert!(update::on_tick(&mut model, NOW).is_empty());
}
