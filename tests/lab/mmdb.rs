//! Writes small databases in MaxMind's format (<https://maxmind.github.io/MaxMind-DB/>, version
//! 2.0), for tests.

use std::net::IpAddr;

/// A value of a record.
#[derive(Clone, Debug)]
pub enum Value {
    Text(&'static str),
    Double(f64),
    Map(Vec<(&'static str, Value)>),
}

/// Returns a map.
pub fn map<const N: usize>(entries: [(&'static str, Value); N]) -> Value {
    Value::Map(entries.into())
}

/// Returns a record as in the ip-location-db packages: country, city, latitude and longitude side
/// by side.
pub fn flat(country: &'static str, city: &'static str, latitude: f64, longitude: f64) -> Value {
    map([
        ("city", Value::Text(city)),
        ("country_code", Value::Text(country)),
        ("latitude", Value::Double(latitude)),
        ("longitude", Value::Double(longitude)),
    ])
}

/// Returns a record as in MaxMind's own databases.
pub fn nested(country: &'static str, city: &'static str, latitude: f64, longitude: f64) -> Value {
    map([
        (
            "city",
            map([(
                "names",
                map([("de", Value::Text("Stadt")), ("en", Value::Text(city))]),
            )]),
        ),
        ("country", map([("iso_code", Value::Text(country))])),
        (
            "location",
            map([
                ("latitude", Value::Double(latitude)),
                ("longitude", Value::Double(longitude)),
            ]),
        ),
    ])
}

/// Returns the bytes of a database built at `built`, in seconds since the epoch.
pub fn database(built: u64, records: &[(&str, Value)]) -> Vec<u8> {
    let mut data = Vec::new();
    // Each node has two records: another node, data, or nothing.
    let mut nodes: Vec<[Record; 2]> = vec![[Record::Nothing; 2]];
    for (network, value) in records {
        let at = data.len();
        encode(value, &mut data);
        insert(&mut nodes, network, at);
    }
    let count = nodes.len() as u32;
    let mut out = Vec::new();
    for record in nodes.into_iter().flatten() {
        let number = match record {
            Record::Nothing => count,
            Record::Node(node) => node as u32,
            Record::Data(at) => count + 16 + at as u32,
        };
        out.extend(number.to_be_bytes());
    }
    out.extend([0; 16]);
    out.extend(data);
    out.extend(b"\xab\xcd\xefMaxMind.com");
    let text = |text: &str, out: &mut Vec<u8>| string(text, out);
    out.push(7 << 5 | 9);
    for (key, ty, value) in [
        ("binary_format_major_version", 5, 2),
        ("binary_format_minor_version", 5, 0),
        ("build_epoch", 9, built),
        ("ip_version", 5, 6),
        ("node_count", 6, u64::from(count)),
        ("record_size", 5, 32),
    ] {
        text(key, &mut out);
        unsigned(ty, value, &mut out);
    }
    text("database_type", &mut out);
    text("Test", &mut out);
    text("description", &mut out);
    out.push(7 << 5);
    text("languages", &mut out);
    // An empty array, which is an extended type.
    out.extend([0, 11 - 7]);
    out
}

#[derive(Clone, Copy)]
enum Record {
    Nothing,
    Node(usize),
    Data(usize),
}

fn insert(nodes: &mut Vec<[Record; 2]>, network: &str, at: usize) {
    let (address, length) = network.split_once('/').unwrap();
    let length: u32 = length.parse().unwrap();
    // IPv4 addresses are at the same numbers in the IPv6 tree.
    let (bits, length) = match address.parse().unwrap() {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), length + 96),
        IpAddr::V6(v6) => (v6.to_bits(), length),
    };
    let mut node = 0;
    for depth in 0..length {
        let side = (bits >> (127 - depth) & 1) as usize;
        if depth + 1 == length {
            nodes[node][side] = Record::Data(at);
        } else if let Record::Node(next) = nodes[node][side] {
            node = next;
        } else {
            nodes.push([Record::Nothing; 2]);
            let next = nodes.len() - 1;
            nodes[node][side] = Record::Node(next);
            node = next;
        }
    }
}

fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Text(text) => string(text, out),
        Value::Double(number) => {
            out.push(3 << 5 | 8);
            out.extend(number.to_be_bytes());
        }
        Value::Map(entries) => {
            out.push(7 << 5 | entries.len() as u8);
            for (key, value) in entries {
                string(key, out);
                encode(value, out);
            }
        }
    }
}

fn string(text: &str, out: &mut Vec<u8>) {
    match text.len() {
        length @ ..29 => out.push(2 << 5 | length as u8),
        length => out.extend([2 << 5 | 29, (length - 29) as u8]),
    }
    out.extend(text.bytes());
}

fn unsigned(ty: u8, value: u64, out: &mut Vec<u8>) {
    let bytes: Vec<u8> = value
        .to_be_bytes()
        .into_iter()
        .skip_while(|byte| *byte == 0)
        .collect();
    match ty {
        ..8 => out.push(ty << 5 | bytes.len() as u8),
        _ => out.extend([bytes.len() as u8, ty - 7]),
    }
    out.extend(bytes);
}
