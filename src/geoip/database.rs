//! A person's own database in MaxMind's format (<https://maxmind.github.io/MaxMind-DB/>), in either
//! common schema.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    net::IpAddr,
    path::Path,
};

use maxminddb::{LookupResult, PathElement, Reader};

use crate::{
    RegistryError, Result,
    domain::{
        geo::{GeoLocation, MAX_PLACE, provenance::LocationSource},
        text::printable,
    },
};

/// The start marker of a database's metadata, which lies within the last 128 KiB of the file.
const MARK: &[u8] = b"\xab\xcd\xefMaxMind.com";
const TAIL: u64 = 128 << 10;
/// Largest file read, in bytes: databases with cities have about 130 MB.
const MOST: u64 = 1 << 30;

/// Checks that a file may be a database, without reading all of it.
///
/// # Errors
/// The problem and the remedy.
pub fn probe(path: &Path) -> Result<(), String> {
    let unreadable = |error: std::io::Error| {
        format!("it cannot be read ({error}); give the path of an .mmdb file")
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(TAIL)))
        .map_err(unreadable)?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail).map_err(unreadable)?;
    if !tail.windows(MARK.len()).any(|window| window == MARK) {
        return Err(
            "it is not a database in MaxMind's format; give the path of an .mmdb file".to_owned(),
        );
    }
    if size > MOST {
        return Err(
            "it is larger than 1 GiB; give the path of an .mmdb file with cities or countries"
                .to_owned(),
        );
    }
    Ok(())
}

/// An open database, completely in memory.
#[derive(Debug)]
pub struct Database {
    reader: Reader<Vec<u8>>,
    source: LocationSource,
}

/// The content of a record.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct PlaceRecord {
    /// The location, with the name of the city if there is one.
    pub location: Option<GeoLocation>,
    /// True if the coordinates are those of a named city.
    pub city: bool,
    /// ISO 3166-1 code.
    pub country: Option<[u8; 2]>,
}

impl Database {
    /// Reads a file. Blocks.
    ///
    /// Nothing is verified: that would read every record, and many a database in use fails. Records
    /// that do not decode are ignored when they are looked up.
    ///
    /// # Errors
    /// [`RegistryError::Usage`] with the file's name if it cannot be read or is no database.
    pub fn open(path: &Path) -> Result<Self> {
        let wrong = |why: String| {
            let path = printable(&path.to_string_lossy());
            RegistryError::Usage(format!(
                "the geoip database {path} cannot be used: {why}, or leave geoip_db out"
            ))
        };
        probe(path).map_err(wrong)?;
        let bytes = std::fs::read(path)
            .map_err(|error| wrong(format!("{error}; give another .mmdb file")))?;
        let reader = Reader::from_source(bytes)
            .map_err(|error| wrong(format!("it is damaged ({error}); download it again")))?;
        let file = path
            .file_name()
            .map_or_else(String::new, |name| printable(&name.to_string_lossy()));
        let source = LocationSource::Database {
            file,
            date: month(reader.metadata().build_epoch),
        };
        Ok(Self { reader, source })
    }

    pub fn source(&self) -> LocationSource {
        self.source.clone()
    }

    /// Returns the record of an address, or `None` if there is none or it has nothing useful.
    pub(super) fn find(&self, address: IpAddr) -> Option<PlaceRecord> {
        let record = self
            .reader
            .lookup(address)
            .ok()
            .filter(LookupResult::has_data)?;
        let text = |path: &[PathElement<'_>]| record.decode_path::<&str>(path).ok().flatten();
        let number = |path: &[PathElement<'_>]| match record.decode_path::<f64>(path) {
            Ok(number) => number,
            // Some databases write numbers as texts.
            Err(_) => text(path)?.parse().ok(),
        };
        // MaxMind's nested schema, the flat one of ip-location-db, and another common flat one.
        let country = text(&keys(["country", "iso_code"]))
            .or_else(|| text(&keys(["country_code"])))
            .or_else(|| text(&keys(["country"])));
        let country =
            country.and_then(|code| code.to_ascii_uppercase().into_bytes().try_into().ok());
        let city = text(&keys(["city", "names", "en"])).or_else(|| text(&keys(["city"])));
        let city = city.map(|name| {
            printable(name)
                .trim()
                .chars()
                .take(MAX_PLACE)
                .collect::<String>()
        });
        let city = city.filter(|name| !name.is_empty());
        let degrees = |nested: &str, flat: &str, short: &str| {
            number(&keys(["location", nested]))
                .or_else(|| number(&keys([flat])))
                .or_else(|| number(&keys([short])))
        };
        let coordinates =
            degrees("latitude", "latitude", "lat").zip(degrees("longitude", "longitude", "lon"));
        // Some databases write zeros for unknown coordinates, which are a place in the sea.
        let coordinates =
            coordinates.filter(|(latitude, longitude)| *latitude != 0.0 || *longitude != 0.0);
        let location =
            coordinates.and_then(|(north, east)| GeoLocation::new(north, east, city.as_deref()));
        let place = PlaceRecord {
            city: city.is_some() && location.is_some(),
            location,
            country,
        };
        (place.location.is_some() || place.country.is_some()).then_some(place)
    }
}

fn keys<const N: usize>(names: [&str; N]) -> [PathElement<'_>; N] {
    names.map(PathElement::Key)
}

/// Converts seconds since the epoch to a month, `YYYY-MM`.
fn month(seconds: u64) -> String {
    let at = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    at.map_or_else(
        || "date unknown".to_owned(),
        |at| at.strftime("%Y-%m").to_string(),
    )
}
