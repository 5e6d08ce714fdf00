//! Tests of the map: keys, the mouse, and redrawing.

use std::collections::BTreeSet;

use super::*;
use crate::{
    domain::{
        geo::{self, GeoLocation, plausible::Plausibility, provenance::LocationProvenance},
        transfer::{Part, Transfer, TransferId, TransferPeer, TransferState},
    },
    ui::{layout, model::map::chart::Chart},
};

const MAP: (u16, u16) = (160, 50);

fn transfer(bytes: u64, peer: PeerId, ended: Option<Timestamp>) -> Transfer {
    let root = ContentRoot::of(b"bytes");
    Transfer {
        id: TransferId::Fetch { root },
        what: "team-1/parser-1 1.0.0".to_owned(),
        size: 8 << 20,
        done: bytes,
        resumed: 0,
        rate: 0.0,
        state: if ended.is_some() {
            TransferState::Done
        } else {
            TransferState::Running
        },
        peers: vec![TransferPeer {
            part: Part::Giving,
            bytes,
            ..TransferPeer::new(peer)
        }],
        started_at: NOW,
        ended_at: ended,
        for_others: false,
        beside: false,
    }
}

/// Returns a map with six peers at distinct places, one without a location, and one that sends
/// bytes.
pub fn on_map(size: (u16, u16), keys: &str) -> Model {
    let mut model = full(size);
    let places = [
        "40.7,-74,New York",
        "35.7,139.7,Tokyo",
        "-33.9,151.2,Sydney",
        "-17.7,178,Suva",
        "-13.8,-171.8,Apia",
        "-33.9,18.4,Cape Town",
    ];
    let placed = (9..).zip(places).map(|(n, place)| PeerSnapshot {
        location: Some(place.parse().unwrap()),
        score: Score {
            total: 0.08 * f64::from(n) - 0.6,
            ..peer(n).score
        },
        ..peer(n)
    });
    let transfers = vec![transfer(3 << 20, peer_id(9), None)];
    model.apply(
        Batch {
            peers: placed.collect(),
            transfers,
            events: 7,
            ..Batch::default()
        },
        NOW,
    );
    update::settle(&mut model);
    press(&mut model, "2");
    press(&mut model, keys);
    model
}

pub fn of_nobody(size: (u16, u16)) -> Model {
    let mut model = model(size);
    let peers = (1..=6)
        .map(|n| PeerSnapshot {
            location: None,
            distance_km: None,
            ..peer(n)
        })
        .collect();
    let node = NodeSnapshot {
        location: None,
        ..node(6)
    };
    model.apply(
        Batch {
            node: Some(node),
            peers,
            events: 2,
            ..Batch::default()
        },
        NOW,
    );
    press(&mut model, "2");
    model
}

fn chart(model: &Model) -> Chart {
    Chart::of(model, layout::areas(model).body).unwrap()
}

fn selected(model: &Model) -> PeerId {
    model.peers.current().unwrap().id
}

fn select(model: &mut Model, id: PeerId) {
    model.peers.selection.selected = Some(id);
}

#[test]
fn directions_lead_to_what_is_there_and_the_table_follows() {
    let mut model = on_map(MAP, "");
    select(&mut model, peer_id(9));
    press_code(&mut model, KeyCode::Right);
    let point = chart(&model).point(&selected(&model)).unwrap();
    assert_eq!(
        (point.north, point.east),
        (52.5, 13.4),
        "from New York to Berlin"
    );
    press(&mut model, "j");
    assert_eq!(selected(&model), peer_id(14), "down to Cape Town");
    press(&mut model, "1");
    assert_eq!(
        selected(&model),
        peer_id(14),
        "one selection for both screens"
    );
    press(&mut model, "g2");
    assert_eq!(Some(&selected(&model)), model.peers.rows().first());
}

#[test]
fn next_and_previous_go_through_all_of_them() {
    let mut model = on_map(MAP, "");
    let mut seen = BTreeSet::new();
    let start = selected(&model);
    for _ in 0..model.peers.rows().len() {
        seen.insert(selected(&model));
        press(&mut model, "n");
    }
    assert_eq!(
        (seen.len(), selected(&model)),
        (14, start),
        "also those that are not on the map"
    );
    press(&mut model, "Nn");
    assert_eq!(selected(&model), start);
}

#[test]
fn the_view_follows_the_selection_and_z_shows_all() {
    let mut model = on_map(MAP, "");
    select(&mut model, peer_id(9));
    press(&mut model, "+++");
    let chart_of = chart(&model);
    assert!(
        chart_of.cluster_of(&peer_id(9)).is_some(),
        "closer at what is selected"
    );
    assert!(chart_of.in_view() < 12, "and not at the others");
    press(&mut model, "hlhh");
    assert!(chart(&model).cluster_of(&selected(&model)).is_some());
    press(&mut model, "z");
    assert_eq!(chart(&model).in_view(), 13);
    press(&mut model, "z/place:sydney");
    press_code(&mut model, KeyCode::Enter);
    press(&mut model, "z");
    let chart = chart(&model);
    assert_eq!((chart.peers.len(), chart.in_view()), (3, 3));
    assert!(picture(&model).contains("hidden by the filter"));
}

#[test]
fn panning_goes_round_the_world_and_not_over_the_poles() {
    let mut model = on_map(MAP, "+");
    let start = model.map.view;
    press(&mut model, &"L".repeat(16));
    assert!(
        (model.map.view.middle.east - start.middle.east).abs() < 4.0,
        "{:?}",
        model.map.view
    );
    press(&mut model, &"K".repeat(60));
    assert!(chart(&model).grid.top <= 90.0 + 1e-6);
    press_code(&mut model, KeyCode::PageDown);
    assert!(chart(&model).grid.top < 90.0);
}

#[test]
fn the_mouse_selects_opens_zooms_and_drags() {
    let mut model = on_map(MAP, "");
    let at = |model: &Model, id| {
        let chart = chart(model);
        let cluster = chart.cluster_of(&id).unwrap();
        (chart.area.x + cluster.column, chart.area.y + cluster.row)
    };
    let (x, y) = at(&model, peer_id(14));
    click(&mut model, x + 1, y);
    assert_eq!(selected(&model), peer_id(14), "a cell beside it will do");
    let before = chart(&model).grid;
    mouse(
        &mut model,
        MouseEventKind::Drag(MouseButton::Left),
        x + 11,
        y,
    );
    let dragged = chart(&model).grid;
    assert!(
        (before.left - dragged.left - 10.0 * before.scale).abs() < 1e-6,
        "the world comes along"
    );
    mouse(&mut model, MouseEventKind::Up(MouseButton::Left), x + 11, y);
    mouse(&mut model, MouseEventKind::Drag(MouseButton::Left), x, y);
    assert_eq!(chart(&model).grid, dragged, "not held any more");
    let (x, y) = at(&model, peer_id(14));
    mouse(&mut model, MouseEventKind::ScrollUp, x, y);
    assert_eq!(model.map.view.zoom, 2.0);
    let near = at(&model, peer_id(14));
    assert!(
        near.0.abs_diff(x) <= 1 && near.1.abs_diff(y) <= 1,
        "{near:?} was at {x}, {y}"
    );
    click(&mut model, near.0, near.1);
    assert_eq!(model.window::<PeerWindow>().unwrap().id, peer_id(14));
}

#[test]
fn nobody_is_hidden_and_doubt_has_words() {
    let model = on_map((80, 24), "");
    let text = picture(&model);
    assert!(
        text.contains("Unknown location (1)") && text.contains("team-5"),
        "{text}"
    );
    let chart = chart(&model);
    assert_eq!(chart.in_view() + 1, model.peers.rows().len());
    let list = picture(&on_map((79, 24), ""));
    assert!(
        list.contains("unknown") && list.contains("New York"),
        "{list}"
    );
    let mut spelt = on_map((160, 50), "");
    spelt.ascii = true;
    assert!(
        picture(&spelt).contains("Round trip"),
        "a list where dots cannot be spelt"
    );
    assert!(picture(&of_nobody((100, 30))).contains("location = \"52.5,13.4,Berlin\""));
}

#[test]
fn what_is_doubtful_has_a_sign_and_its_words() {
    let mut model = on_map(MAP, "");
    let false_claim = LocationProvenance {
        plausibility: Plausibility::Implausible,
        round_trip_ms: Some(0.5),
        ..LocationProvenance::declared()
    };
    let country = LocationProvenance {
        source: geo::provenance::LocationSource::Country {
            date: "2026-06".to_owned(),
        },
        approximate: true,
        ..LocationProvenance::default()
    };
    let mut doubtful = [9, 14].map(|n| model.peers.get(&peer_id(n)).unwrap().clone());
    doubtful[0].provenance = Some(false_claim);
    doubtful[1].provenance = Some(country);
    model.apply(
        Batch {
            peers: doubtful.to_vec(),
            events: 2,
            ..Batch::default()
        },
        NOW,
    );
    select(&mut model, peer_id(9));
    let text = picture(&model);
    assert!(
        text.contains("((✗))")
            && text.contains("✗ New York")
            && text.contains("impossible at this ping"),
        "{text}"
    );
    select(&mut model, peer_id(14));
    let text = picture(&model);
    assert!(
        text.contains("~Cape Town") && text.contains("approximate: country only"),
        "{text}"
    );
}

#[test]
fn places_from_the_network_that_are_none_are_left_out() {
    let mut model = on_map(MAP, "");
    let nowhere = GeoLocation {
        latitude: f64::NAN,
        longitude: 1e300,
        place: None,
    };
    let liar = PeerSnapshot {
        location: Some(nowhere),
        ..peer(9)
    };
    model.apply(
        Batch {
            peers: vec![liar],
            events: 1,
            ..Batch::default()
        },
        NOW,
    );
    assert_eq!(chart(&model).point(&peer_id(9)), None);
    picture(&model);
}

#[test]
fn a_frame_is_owed_only_for_what_is_seen() {
    let mut model = on_map(MAP, "");
    select(&mut model, peer_id(9));
    let owes = |model: &mut Model, batch: Batch| {
        model.dirty = false;
        model.apply(batch, model.now);
        std::mem::take(&mut model.dirty)
    };
    let changed = |n: u8, change: fn(&mut PeerSnapshot)| {
        let model = on_map(MAP, "");
        let mut one = model.peers.get(&peer_id(n)).unwrap().clone();
        change(&mut one);
        Batch {
            peers: vec![one],
            events: 1,
            ..Batch::default()
        }
    };
    let quiet = |peer: &mut PeerSnapshot| peer.rtts_ms = vec![999.0];
    assert!(
        !owes(&mut model, changed(11, quiet)),
        "a round trip is told of the selected one only"
    );
    assert!(owes(&mut model, changed(9, quiet)));
    assert!(owes(&mut model, changed(11, |peer| peer.connection = None)));
    assert!(owes(&mut model, changed(13, |peer| peer.location = None)));
    let bytes = |bytes, ended| Batch {
        transfers: vec![transfer(bytes, peer_id(9), ended)],
        events: 1,
        ..Batch::default()
    };
    assert!(!owes(&mut model, bytes(5 << 20, None)), "much is much");
    assert!(
        owes(&mut model, bytes(5 << 20, Some(NOW))),
        "its end is told"
    );
    assert!(picture(&model).contains("(("));
    update::on_tick(&mut model, NOW.after(seconds(30)));
    model.dirty = false;
    update::on_tick(&mut model, NOW.after(seconds(40)));
    assert!(!model.dirty, "time alone shows nowhere");
    update::on_tick(&mut model, NOW.after(seconds(61)));
    assert!(
        model.dirty
            && !picture(&model)
                .lines()
                .take(38)
                .any(|line| line.contains("((")),
        "and is over"
    );
}
