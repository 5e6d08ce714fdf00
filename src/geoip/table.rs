//! The embedded table of countries by address. `assets/geo/make.py` defines its format and creates
//! it.

use std::{fmt, io::Read, net::IpAddr, ops::Range};

use crate::domain::geo::GeoLocation;

const ASSET: &[u8] = include_bytes!("../../assets/geo/countries.zst");
const MAGIC: &[u8] = b"SDXGEO1\0";
/// Largest unpacked table, in bytes.
const MOST: u64 = 8 << 20;
/// Ranges between two index entries: at most this many steps are decoded in a look-up.
const BLOCK: usize = 32;

/// Countries and their address ranges, about 3 MiB.
#[derive(Debug)]
pub struct CountryTable {
    bytes: Vec<u8>,
    date: String,
    countries: Vec<Country>,
    v4: Ranges,
    v6: Ranges,
}

#[derive(Debug)]
struct Country {
    code: [u8; 2],
    location: GeoLocation,
}

/// The positions of one address family's parts in the table's bytes.
#[derive(Debug, Default)]
struct Ranges {
    steps: Range<usize>,
    countries: Range<usize>,
    /// The beginning of every [`BLOCK`]th range, with the position of the step to the next one.
    index: Vec<(u64, usize)>,
}

/// The reason why bytes are no valid table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(&'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "is damaged: {}", self.0)
    }
}

impl CountryTable {
    /// Loads the table embedded in the program.
    ///
    /// # Errors
    /// It is damaged.
    pub fn embedded() -> Result<Self, Malformed> {
        Self::unpack(ASSET)
    }

    fn unpack(packed: &[u8]) -> Result<Self, Malformed> {
        let mut bytes = Vec::new();
        let unpacked = zstd::stream::Decoder::new(packed).and_then(|unpacking| {
            let mut unpacking = unpacking.take(MOST + 1);
            unpacking.read_to_end(&mut bytes)
        });
        unpacked.map_err(|_| Malformed("it does not unpack"))?;
        if bytes.len() as u64 > MOST {
            return Err(Malformed("it is too large"));
        }
        bytes.shrink_to_fit();
        Self::decode(bytes)
    }

    fn decode(bytes: Vec<u8>) -> Result<Self, Malformed> {
        let mut reader = TableReader {
            bytes: &bytes,
            at: 0,
        };
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(Malformed("it is not a table of countries"));
        }
        let date = std::str::from_utf8(reader.take(7)?)
            .map_err(|_| Malformed("its date is no text"))?
            .to_owned();
        let count = reader.array().map(u16::from_le_bytes)?;
        let countries = (0..count)
            .map(|_| reader.country())
            .collect::<Result<Vec<_>, _>>()?;
        // The country of a range is one byte, of which 0 means none.
        if countries.len() > usize::from(u8::MAX) {
            return Err(Malformed("it has too many countries"));
        }
        let v4 = reader.ranges(countries.len(), u64::from(u32::MAX))?;
        let v6 = reader.ranges(countries.len(), u64::MAX)?;
        if reader.at != bytes.len() {
            return Err(Malformed("something follows it"));
        }
        Ok(Self {
            date,
            countries,
            v4,
            v6,
            bytes,
        })
    }

    /// Returns the month of the data, `YYYY-MM`.
    pub fn date(&self) -> &str {
        &self.date
    }

    /// Returns the location of the country that an address belongs to: its capital or largest city,
    /// with the country's name.
    pub fn find(&self, address: IpAddr) -> Option<GeoLocation> {
        let number = match address {
            IpAddr::V4(v4) => self.country_of(&self.v4, u64::from(v4.to_bits())),
            IpAddr::V6(v6) => self.country_of(&self.v6, (v6.to_bits() >> 64) as u64),
        };
        let country = self.countries.get(usize::from(number?.checked_sub(1)?))?;
        Some(country.location.clone())
    }

    /// Returns the location of a country, given its ISO 3166-1 code.
    pub fn country(&self, code: [u8; 2]) -> Option<GeoLocation> {
        let at = self
            .countries
            .binary_search_by_key(&code, |country| country.code)
            .ok()?;
        self.countries
            .get(at)
            .map(|country| country.location.clone())
    }

    /// Returns the country byte of the range of `address`: the last range that does not begin after
    /// it.
    fn country_of(&self, ranges: &Ranges, address: u64) -> Option<u8> {
        let block = ranges
            .index
            .partition_point(|(beginning, _)| *beginning <= address)
            .checked_sub(1)?;
        let (mut beginning, at) = *ranges.index.get(block)?;
        let mut reader = TableReader {
            bytes: self.bytes.get(..ranges.steps.end)?,
            at,
        };
        let mut range = block * BLOCK;
        let most = ranges.countries.len().min(range + BLOCK);
        while range + 1 < most {
            beginning = beginning.saturating_add(reader.varint().ok()?);
            if beginning > address {
                break;
            }
            range += 1;
        }
        self.bytes
            .get(ranges.countries.clone())?
            .get(range)
            .copied()
    }
}

struct TableReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> TableReader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(count);
        let taken = end
            .and_then(|end| self.bytes.get(self.at..end))
            .ok_or(Malformed("it ends too early"))?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?
            .try_into()
            .map_err(|_| Malformed("it ends too early"))
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let group = u64::from(byte & 0x7f);
            if group << shift >> shift != group {
                break;
            }
            number |= group << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed("a step is too large"))
    }

    fn country(&mut self) -> Result<Country, Malformed> {
        let code = self.array()?;
        let mut degrees = || Ok(f64::from(self.array().map(i16::from_le_bytes)?) / 10.0);
        let (latitude, longitude) = (degrees()?, degrees()?);
        let [length] = self.array()?;
        let name = std::str::from_utf8(self.take(usize::from(length))?)
            .map_err(|_| Malformed("a name is no text"))?;
        let location = GeoLocation::new(latitude, longitude, Some(name))
            .ok_or(Malformed("a country is nowhere"))?;
        Ok(Country { code, location })
    }

    /// Reads and checks every range once, so that look-ups need not.
    fn ranges(&mut self, countries: usize, most: u64) -> Result<Ranges, Malformed> {
        let count = self.array().map(u32::from_le_bytes)? as usize;
        let length = self.array().map(u32::from_le_bytes)? as usize;
        let start = self.at;
        self.take(length)?;
        let steps = start..self.at;
        let numbers = self.take(count)?;
        if numbers
            .iter()
            .any(|number| usize::from(*number) > countries)
        {
            return Err(Malformed("a range is of no country"));
        }
        let countries = steps.end..self.at;
        let within = self.bytes.get(..steps.end).unwrap_or_default();
        let mut reader = TableReader {
            bytes: within,
            at: steps.start,
        };
        let mut index = Vec::with_capacity(count.div_ceil(BLOCK));
        let mut beginning = 0u64;
        for range in 0..count {
            let step = reader.varint()?;
            if step == 0 && range > 0 {
                return Err(Malformed("two ranges begin at once"));
            }
            let next = beginning.checked_add(step).filter(|next| *next <= most);
            beginning = next.ok_or(Malformed("a range is beyond the last address"))?;
            if range % BLOCK == 0 {
                index.push((beginning, reader.at));
            }
        }
        if reader.at != steps.end {
            return Err(Malformed("it has more steps than ranges"));
        }
        Ok(Ranges {
            steps,
            countries,
            index,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use proptest::prelude::*;

    const NAMES: [&str; 3] = ["Aland", "Beland", "Celand"];

    /// Encodes a table like `make.py`.
    fn encode(v4: &[(u64, u8)], v6: &[(u64, u8)]) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(b"2026-06");
        out.extend(3u16.to_le_bytes());
        for (n, name) in (0i16..).zip(NAMES) {
            out.extend([b'A' + n as u8, b'A']);
            out.extend((n * 100).to_le_bytes());
            out.extend((n * -200).to_le_bytes());
            out.push(name.len() as u8);
            out.extend(name.bytes());
        }
        for ranges in [v4, v6] {
            let (mut steps, mut before) = (Vec::new(), 0);
            for (at, _) in ranges {
                let mut step = at - before;
                before = *at;
                while step >= 128 {
                    steps.push(step as u8 | 128);
                    step >>= 7;
                }
                steps.push(step as u8);
            }
            out.extend((ranges.len() as u32).to_le_bytes());
            out.extend((steps.len() as u32).to_le_bytes());
            out.extend(steps);
            out.extend(ranges.iter().map(|(_, country)| *country));
        }
        out
    }

    /// Scans from the first range to the last.
    fn naive(ranges: &[(u64, u8)], address: u64) -> Option<&'static str> {
        let (_, country) = ranges.iter().rev().find(|(at, _)| *at <= address)?;
        NAMES.get(usize::from(country.checked_sub(1)?)).copied()
    }

    fn ranges(most: u64) -> impl Strategy<Value = Vec<(u64, u8)>> {
        // Some close together, some far apart, one at either end.
        let beginning = prop_oneof![
            0..=most,
            0..=most.min(4_000),
            Just(0),
            Just(most),
            (most - 300)..=most
        ];
        prop::collection::btree_map(beginning, 0u8..=3, 0..300)
            .prop_map(|map| map.into_iter().collect())
    }

    proptest! {
        #[test]
        fn look_ups_agree_with_a_scan(
            v4 in ranges(u64::from(u32::MAX)), v6 in ranges(u64::MAX), at in prop::collection::vec(any::<u64>(), 40),
        ) {
            let table = CountryTable::decode(encode(&v4, &v6)).unwrap();
            let name = |address: IpAddr| table.find(address).and_then(|location| location.place);
            let near = |ranges: &[(u64, u8)]| -> Vec<u64> {
                let edges = ranges.iter().flat_map(|(at, _)| [at.saturating_sub(1), *at, at.saturating_add(1)]);
                edges.chain(at.iter().copied()).chain([0, u64::MAX]).collect()
            };
            for address in near(&v4) {
                let address = address as u32;
                let found = name(Ipv4Addr::from_bits(address).into());
                prop_assert_eq!(found.as_deref(), naive(&v4, address.into()));
            }
            for address in near(&v6) {
                let whole = Ipv6Addr::from_bits(u128::from(address) << 64 | u128::from(address.reverse_bits()));
                let found = name(whole.into());
                prop_assert_eq!(found.as_deref(), naive(&v6, address));
            }
        }

        #[test]
        fn damaged_tables_are_errors_or_at_least_answer(
            v4 in ranges(u64::from(u32::MAX)), v6 in ranges(u64::MAX), cut in any::<prop::sample::Index>(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), at in any::<u128>(),
        ) {
            let whole = encode(&v4, &v6);
            prop_assert!(CountryTable::decode(whole[..cut.index(whole.len())].to_vec()).is_err());
            let mut changed = whole;
            for (place, byte) in changes {
                let place = place.index(changed.len());
                changed[place] = byte;
            }
            if let Ok(table) = CountryTable::decode(changed) {
                table.find(Ipv6Addr::from_bits(at).into());
                table.find(Ipv4Addr::from_bits(at as u32).into());
            }
        }

        #[test]
        fn what_is_no_table_is_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(CountryTable::unpack(&bytes).is_err());
            prop_assert!(CountryTable::decode(bytes).is_err());
        }
    }

    #[test]
    fn a_table_larger_than_any_is_refused_before_it_fills_the_memory() {
        let bomb = zstd::bulk::compress(&vec![0u8; 64 << 20], 1).unwrap();
        assert_eq!(
            CountryTable::unpack(&bomb).unwrap_err(),
            Malformed("it is too large")
        );
    }

    #[test]
    fn the_embedded_table_knows_the_world() {
        let table = CountryTable::embedded().unwrap();
        assert!(ASSET.len() < 700_000, "{} bytes", ASSET.len());
        let (year, month) = table.date().split_once('-').unwrap();
        assert!(
            year.parse::<u32>().unwrap() >= 2026
                && (1..=12).contains(&month.parse::<u32>().unwrap())
        );
        let notice = include_str!("../../NOTICE");
        assert!(
            notice.contains(&format!("database of {}", table.date())),
            "NOTICE has the date of the data"
        );
        let place = |address: &str| table.find(address.parse().unwrap()).and_then(|at| at.place);
        for (address, country) in [
            ("8.8.8.8", "United States"),
            ("193.0.6.139", "Netherlands"),
            ("130.149.7.201", "Germany"),
            ("133.11.0.1", "Japan"),
            ("2001:638::1", "Germany"),
            ("2001:67c:2e8:22::c100:68b", "Netherlands"),
            ("2001:200::1", "Japan"),
        ] {
            assert_eq!(place(address).as_deref(), Some(country), "{address}");
        }
        // Unassigned addresses, and those that say nothing about a host's location.
        for address in [
            "192.0.2.1",
            "198.51.100.7",
            "240.0.0.1",
            "224.0.0.1",
            "2001:db8::1",
            "2002::1",
            "ff02::1",
        ] {
            assert_eq!(place(address), None, "{address}");
        }
        let germany = table.country(*b"DE").unwrap();
        assert_eq!(
            (germany.latitude, germany.longitude, germany.to_string()),
            (52.5, 13.4, "Germany".to_owned())
        );
        assert_eq!(table.country(*b"ZZ"), None);
        let longest = table
            .countries
            .iter()
            .map(|country| country.location.to_string().len())
            .max();
        assert!(table.countries.len() > 240 && longest <= Some(40));
    }

    /// Checks the index against every range of the real table.
    #[test]
    fn the_embedded_table_agrees_with_a_scan_of_itself() {
        let table = CountryTable::embedded().unwrap();
        for ranges in [&table.v4, &table.v6] {
            let mut reader = TableReader {
                bytes: &table.bytes,
                at: ranges.steps.start,
            };
            let (mut at, mut before) = (0, None);
            for range in 0..ranges.countries.len() {
                at += reader.varint().unwrap();
                let country = table.bytes[ranges.countries.start + range];
                assert_eq!(table.country_of(ranges, at), Some(country));
                assert_eq!(
                    at.checked_sub(1)
                        .and_then(|last| table.country_of(ranges, last)),
                    before
                );
                before = Some(country);
            }
        }
    }
}
