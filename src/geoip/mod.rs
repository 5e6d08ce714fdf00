//! Locates addresses by the person's own database, otherwise by the embedded table of countries.
//!
//! Both are files, so a look-up asks nobody.

mod database;
mod table;

use std::{
    net::IpAddr,
    sync::{Arc, Once, OnceLock},
};

pub use database::{Database, probe};
pub use table::{CountryTable, Malformed};

use crate::domain::geo::{GeoLocation, address, provenance::LocationSource};

/// The result of looking up an address.
#[derive(Clone, Debug, PartialEq)]
pub enum Located {
    /// A local address: there is nothing to look up.
    Local,
    /// The location is unknown.
    Nowhere,
    At {
        location: GeoLocation,
        source: LocationSource,
        /// The location stands for a whole country or region.
        approximate: bool,
    },
}

/// The embedded table, shared by all nodes of the process; `None` inside if it is damaged.
static TABLE: OnceLock<Option<CountryTable>> = OnceLock::new();

/// The sources of locations. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Atlas {
    database: Option<Arc<Database>>,
}

impl Atlas {
    /// Creates an atlas. The person's own database takes precedence over the embedded table,
    /// because it is usually better.
    pub fn new(database: Option<Database>) -> Self {
        Self {
            database: database.map(Arc::new),
        }
    }

    /// Looks an address up in about a microsecond. Returns `None` while the embedded table is being
    /// loaded: the first look-up starts that on a thread of its own, for some milliseconds.
    pub fn find(&self, of: IpAddr) -> Option<Located> {
        let of = address::plain(of);
        if address::is_local(of) {
            return Some(Located::Local);
        }
        let told = self
            .database
            .as_ref()
            .and_then(|database| Some((database, database.find(of)?)));
        if let Some((
            database,
            database::PlaceRecord {
                location: Some(location),
                city: true,
                ..
            },
        )) = &told
        {
            return Some(Located::At {
                location: location.clone(),
                source: database.source(),
                approximate: false,
            });
        }
        let table = begin()?;
        let by_database = told.and_then(|(database, place)| {
            let country = place.country.and_then(|code| table?.country(code));
            // Coordinates without a city are the centre of a large area.
            let location = match (place.location, &country) {
                (Some(at), Some(country)) if at.place.is_none() => GeoLocation {
                    place: country.place.clone(),
                    ..at
                },
                (at, _) => at.or(country)?,
            };
            Some(Located::At {
                location,
                source: database.source(),
                approximate: true,
            })
        });
        let by_table = || {
            let (table, location) = (table?, table?.find(of)?);
            Some(Located::At {
                location,
                source: LocationSource::Country {
                    date: table.date().to_owned(),
                },
                approximate: true,
            })
        };
        Some(by_database.or_else(by_table).unwrap_or(Located::Nowhere))
    }

    /// Returns true if look-ups are answered at once.
    pub fn is_ready(&self) -> bool {
        TABLE.get().is_some()
    }
}

/// Returns the table, or starts loading it.
fn begin() -> Option<Option<&'static CountryTable>> {
    static READING: Once = Once::new();
    if let Some(table) = TABLE.get() {
        return Some(table.as_ref());
    }
    READING.call_once(|| {
        let read = || drop(TABLE.set(embedded()));
        if std::thread::Builder::new()
            .name("countries".to_owned())
            .spawn(read)
            .is_err()
        {
            // Without a thread, load it here.
            read();
        }
    });
    TABLE.get().map(Option::as_ref)
}

fn embedded() -> Option<CountryTable> {
    CountryTable::embedded()
        .inspect_err(|error| tracing::error!("the embedded table of countries {error}"))
        .ok()
}

#[cfg(test)]
mod tests;
