use std::{
    net::IpAddr,
    path::Path,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::*;

#[path = "../../tests/lab/mmdb.rs"]
mod mmdb;

use mmdb::{Value, flat, map, nested};

/// The middle of October 2026.
const BUILT: u64 = 1_792_000_000;

fn open(bytes: &[u8]) -> crate::Result<Database> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("home.mmdb");
    std::fs::write(&path, bytes).unwrap();
    Database::open(&path)
}

/// Longest wait for the table, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks an address up once the table is loaded.
fn find(atlas: &Atlas, address: &str) -> Located {
    let (address, begun) = (address.parse().unwrap(), Instant::now());
    loop {
        match atlas.find(address) {
            Some(found) => return found,
            None => std::thread::sleep(Duration::from_millis(1)),
        }
        assert!(begun.elapsed() < PATIENCE, "the table is not there");
    }
}

fn told(found: Located) -> (String, String) {
    let Located::At {
        location,
        source,
        approximate,
    } = found
    else {
        panic!("{found:?}")
    };
    let provenance = crate::domain::geo::provenance::LocationProvenance {
        source,
        approximate,
        ..Default::default()
    };
    (
        format!(
            "{location} {:.1},{:.1}",
            location.latitude, location.longitude
        ),
        provenance.brief(),
    )
}

#[test]
fn without_a_database_the_country_is_known() {
    let atlas = Atlas::default();
    for local in [
        "127.0.0.1",
        "192.168.7.7",
        "100.64.0.1",
        "fe80::1",
        "fd12::1",
        "::ffff:10.0.0.1",
    ] {
        assert_eq!(
            atlas.find(local.parse().unwrap()),
            Some(Located::Local),
            "at once: {local}"
        );
    }
    let (place, source) = told(find(&atlas, "130.149.7.201"));
    assert_eq!(place, "Germany 52.5,13.4");
    assert!(
        source.starts_with("country, approximate (DB-IP 20"),
        "{source}"
    );
    assert_eq!(told(find(&atlas, "::ffff:130.149.7.201")).0, place);
    assert_eq!(told(find(&atlas, "64:ff9b::8295:7c9")).0, place);
    assert_eq!(find(&atlas, "192.0.2.1"), Located::Nowhere);
    assert!(atlas.is_ready());
}

#[test]
fn a_persons_database_goes_first_in_either_schema() {
    for record in [flat, nested] {
        let bytes = mmdb::database(
            BUILT,
            &[
                ("192.0.2.0/24", record("JP", "Osaka", 34.69, 135.5)),
                ("2001:db8::/32", record("KE", "Nairobi", -1.29, 36.82)),
                // Addresses that the embedded table places elsewhere.
                ("130.149.0.0/16", record("FR", "Lyon", 45.76, 4.84)),
                ("192.168.0.0/16", record("FR", "Lyon", 45.76, 4.84)),
            ],
        );
        let atlas = Atlas::new(Some(open(&bytes).unwrap()));
        let from = "from home.mmdb (2026-10)".to_owned();
        assert_eq!(
            told(find(&atlas, "192.0.2.77")),
            ("Osaka 34.7,135.5".to_owned(), from.clone())
        );
        assert_eq!(
            told(find(&atlas, "2001:db8:9::1")),
            ("Nairobi -1.3,36.8".to_owned(), from.clone())
        );
        assert_eq!(
            told(find(&atlas, "130.149.7.201")),
            ("Lyon 45.8,4.8".to_owned(), from)
        );
        assert_eq!(
            find(&atlas, "192.168.0.1"),
            Located::Local,
            "whatever a database says"
        );
        assert_eq!(
            told(find(&atlas, "193.0.6.139")).0,
            "Netherlands 52.4,4.9",
            "what it has not is in the table"
        );
        assert_eq!(find(&atlas, "198.51.100.1"), Located::Nowhere);
    }
}

#[test]
fn what_a_database_has_less_of_is_approximate() {
    let code = Value::Text("DE");
    let location = |latitude, longitude| {
        map([
            ("latitude", Value::Double(latitude)),
            ("longitude", Value::Double(longitude)),
        ])
    };
    let country = || map([("iso_code", Value::Text("DE"))]);
    let bytes = mmdb::database(
        BUILT,
        &[
            ("192.0.2.0/28", map([("country_code", code.clone())])),
            ("192.0.2.16/28", map([("country", country())])),
            ("192.0.2.32/28", map([("country", code.clone())])),
            (
                "192.0.2.48/28",
                map([("country", country()), ("location", location(51.3, 9.5))]),
            ),
            // Unknown in two ways, out of bounds, and useless.
            (
                "192.0.2.64/28",
                map([("country", country()), ("location", location(0.0, 0.0))]),
            ),
            (
                "192.0.2.80/28",
                map([
                    ("country_code", code),
                    ("latitude", Value::Text("")),
                    ("city", Value::Text("")),
                ]),
            ),
            (
                "192.0.2.96/28",
                map([
                    ("country", country()),
                    ("location", location(900.0, f64::NAN)),
                ]),
            ),
            ("192.0.2.112/28", map([("asn", Value::Text("AS64496"))])),
            (
                "192.0.2.128/28",
                map([("country_code", Value::Text("Q\u{1b}["))]),
            ),
            ("192.0.2.144/28", Value::Text("DE")),
            // Numbers as texts, and a malicious name.
            (
                "192.0.2.160/28",
                map([
                    (
                        "city",
                        Value::Text(
                            "Ber\u{1b}[2Jlin, of which the name is longer than any place may be \
                            called",
                        ),
                    ),
                    ("lat", Value::Text("52.5")),
                    ("lon", Value::Text("13.4")),
                ]),
            ),
        ],
    );
    let atlas = Atlas::new(Some(open(&bytes).unwrap()));
    let approximate = "country, approximate, from home.mmdb (2026-10)";
    for (address, place) in [
        ("192.0.2.1", "Germany 52.5,13.4"),
        ("192.0.2.17", "Germany 52.5,13.4"),
        ("192.0.2.33", "Germany 52.5,13.4"),
        ("192.0.2.49", "Germany 51.3,9.5"),
        ("192.0.2.65", "Germany 52.5,13.4"),
        ("192.0.2.81", "Germany 52.5,13.4"),
        ("192.0.2.97", "Germany 52.5,13.4"),
    ] {
        let found = told(find(&atlas, address));
        assert_eq!(
            (found.0.as_str(), found.1.as_str()),
            (place, approximate),
            "{address}"
        );
    }
    for address in ["192.0.2.113", "192.0.2.129", "192.0.2.145"] {
        assert_eq!(find(&atlas, address), Located::Nowhere, "{address}");
    }
    let (place, source) = told(find(&atlas, "192.0.2.161"));
    assert!(
        !place.contains('\u{1b}') && place.ends_with(" 52.5,13.4") && source.starts_with("from "),
        "{place}"
    );
}

#[test]
fn a_file_that_is_no_database_is_named() {
    let missing = Database::open(Path::new("/nowhere/at-all.mmdb")).unwrap_err();
    assert!(missing.is_usage());
    let text = missing.to_string();
    assert!(
        text.contains("/nowhere/at-all.mmdb") && text.contains("give the path of an .mmdb file"),
        "{text}"
    );
    let dir = tempfile::tempdir().unwrap();
    assert!(Database::open(dir.path()).is_err(), "a directory");
    for bytes in [
        &b""[..],
        b"PNG",
        &[0; 300_000],
        b"\xab\xcd\xefMaxMind.com",
        b"\xab\xcd\xefMaxMind.com\xe1",
    ] {
        let text = open(bytes).unwrap_err().to_string();
        assert!(text.contains("home.mmdb") && !text.contains('\n'), "{text}");
    }
}

proptest! {
    #[test]
    fn damaged_databases_are_errors_or_at_least_answer(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        address in prop_oneof![any::<u32>().prop_map(|bits| IpAddr::V4(bits.into())), any::<u128>().prop_map(|bits| IpAddr::V6(bits.into()))],
    ) {
        let mut bytes = mmdb::database(
            BUILT,
            &[("0.0.0.0/1", nested("DE", "Berlin", 52.5, 13.4)), ("128.0.0.0/1", flat("FR", "Paris", 48.9, 2.4)), ("8000::/1", flat("US", "Boise", 43.6, -116.2))],
        );
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let reader = open(&bytes);
        if let Ok(database) = reader {
            database.find(address);
            database.find("10.0.0.1".parse().unwrap());
            database.find("200.0.0.1".parse().unwrap());
        }
    }
}
