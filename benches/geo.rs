//! Measures the cost of locating addresses: `cargo bench --bench geo`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Instant,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use swarmdex::geoip::CountryTable;

const LOOKUPS: u32 = 1_000_000;

fn main() {
    let times: Vec<f64> = (0..10)
        .map(|_| {
            let begun = Instant::now();
            black_box(CountryTable::embedded().unwrap());
            begun.elapsed().as_secs_f64() * 1_000.0
        })
        .collect();
    let best = times.iter().copied().fold(f64::MAX, f64::min);
    println!(
        "reading the embedded table: {:.1} ms at first, {best:.1} ms at best",
        times[0]
    );
    let table = CountryTable::embedded().unwrap();
    let mut rng = StdRng::seed_from_u64(7);
    let v4: Vec<IpAddr> = (0..LOOKUPS)
        .map(|_| Ipv4Addr::from_bits(rng.random()).into())
        .collect();
    // In 2000::/4, which has nearly all addresses.
    let v6 = (0..LOOKUPS)
        .map(|_| Ipv6Addr::from_bits(rng.random::<u128>() >> 4 | 2 << 124).into())
        .collect();
    for (family, addresses) in [("IPv4", v4), ("IPv6", v6)] {
        let begun = Instant::now();
        let found = addresses
            .iter()
            .filter(|address| table.find(**address).is_some())
            .count();
        let each = begun.elapsed() / LOOKUPS;
        println!(
            "{family}: {} ns a look-up, {:.0} % found",
            each.as_nanos(),
            100.0 * found as f64 / f64::from(LOOKUPS)
        );
    }
}
