//! Tests of package managers at the gateway: their runs and requests.

use super::*;
use crate::domain::request::{BytesOrigin, ClientRequest, RequestPurpose};

const MIB: u64 = 1 << 20;

fn request(id: u64, run: u64, client: &str, path: &str) -> ClientRequest {
    ClientRequest {
        id,
        run,
        at: NOW.before(seconds(40_u64.saturating_sub(id))),
        client: client.to_owned(),
        from: "127.0.0.1".to_owned(),
        method: "GET".to_owned(),
        path: path.to_owned(),
        purpose: RequestPurpose::Read,
        package: None,
        version: None,
        owner: None,
        status: 200,
        bytes: 812,
        length: Some(812),
        origin: BytesOrigin {
            here: 812,
            peers: Vec::new(),
        },
        waited: 2,
        millis: Some(3),
        refusal: None,
    }
}

fn file(id: u64, run: u64, package: &str, version: &str, given: &[(u8, u64)]) -> ClientRequest {
    let bytes: u64 = given.iter().map(|(_, bytes)| bytes).sum();
    let peers = given
        .iter()
        .map(|(peer, bytes)| (peer_id(*peer), *bytes))
        .collect();
    ClientRequest {
        purpose: RequestPurpose::File,
        package: Some(package.parse().unwrap()),
        version: Some(version.parse().unwrap()),
        owner: Some(publisher(1)),
        bytes,
        length: Some(bytes),
        origin: BytesOrigin { here: 0, peers },
        waited: 40,
        millis: Some(310),
        ..request(
            id,
            run,
            "cargo 1.95.0",
            &format!("/cargo/api/v1/crates/{package}/{version}/download"),
        )
    }
}

fn several() -> Vec<ClientRequest> {
    let clash = "cargo:clash is claimed by two keys; `swarmdex names set cargo:clash 12D3KooW…` \
                 says which is meant";
    vec![
        request(1, 1, "cargo 1.95.0", "/cargo/config.json"),
        ClientRequest {
            package: Some("cargo:serde".parse().unwrap()),
            ..request(2, 1, "cargo 1.95.0", "/cargo/se/rd/serde")
        },
        file(3, 1, "cargo:serde", "1.0.219", &[(1, MIB), (2, 2 * MIB)]),
        ClientRequest {
            millis: None,
            bytes: MIB / 2,
            ..file(4, 1, "cargo:itoa", "1.0.15", &[(2, MIB)])
        },
        ClientRequest {
            status: 404,
            refusal: Some(clash.to_owned()),
            package: Some("cargo:clash".parse().unwrap()),
            ..request(5, 5, "cargo 1.94.1", "/cargo/cl/as/clash")
        },
        ClientRequest {
            bytes: MIB,
            ..file(6, 6, "pypi:demo-pkg", "2.0", &[(4, 3 * MIB)])
        },
        ClientRequest {
            purpose: RequestPurpose::Change,
            package: Some("npm:@lab/ui".parse().unwrap()),
            version: Some("1.2.0".parse().unwrap()),
            ..request(7, 7, "npm 11.19.1", "/npm/@lab%2fui")
        },
    ]
}

pub fn on_clients(size: (u16, u16)) -> Model {
    let mut model = full(size);
    press(&mut model, "6v");
    let requests = several();
    model.apply(
        Batch {
            events: requests.len() as u64,
            requests,
            ..Batch::default()
        },
        NOW,
    );
    update::settle(&mut model);
    model
}

pub fn opened(size: (u16, u16), run: u64) -> Model {
    let mut model = on_clients(size);
    model.clients.table.selection.selected = Some(run);
    press_code(&mut model, KeyCode::Enter);
    model
}

#[test]
fn a_request_that_changes_is_counted_once_and_a_run_is_one_row() {
    let mut model = on_clients((160, 50));
    assert_eq!(model.clients.table.rows().len(), 4);
    let done = file(4, 1, "cargo:itoa", "1.0.15", &[(2, MIB)]);
    for _ in 0..2 {
        model.apply(
            Batch {
                events: 1,
                requests: vec![done.clone()],
                ..Batch::default()
            },
            NOW,
        );
    }
    let run = model.clients.table.get(&1).unwrap();
    let sum = run.sum();
    assert_eq!(
        (run.asked(), sum.files, sum.refused, sum.fetched()),
        (4, 2, 0, 4 * MIB)
    );
    assert_eq!(sum.peers.len(), 2);
}

#[test]
fn transfers_and_clients_change_places_and_fetches_are_told_only_where_they_are_shown() {
    let mut model = on_clients((80, 24));
    press(&mut model, "x");
    assert!(model.popups.is_empty(), "no fetch is selected here");
    press(&mut model, "v");
    assert!(!model.clients.shown);
    press(&mut model, "v");
    assert!(model.clients.shown);
}

#[test]
fn a_long_run_is_bounded_and_still_counted_whole() {
    let mut model = on_clients((160, 50));
    for id in 100..1_700 {
        let requests = vec![file(id, 100, "cargo:serde", "1.0.219", &[(1, 10)])];
        model.apply(
            Batch {
                events: 1,
                requests,
                ..Batch::default()
            },
            NOW,
        );
    }
    let run = model.clients.table.get(&100).unwrap();
    let sum = run.sum();
    assert_eq!(
        (run.asked(), sum.files, sum.fetched()),
        (1_600, 1_600, 16_000)
    );
    assert!(run.requests.len() <= 500, "{}", run.requests.len());
}
