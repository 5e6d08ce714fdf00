//! Where an address is: in the person's own database, else in the embedded table of countries.
//!
//! Nothing here asks anybody: both are files.

mod database;
mod table;

use std::{
    net::IpAddr,
    sync::{Arc, Once, OnceLock},
};

pub use database::{Database, probe};
pub use table::{Malformed, Table};

use crate::domain::geo::{GeoLocation, address, provenance::Source};

/// What is known of an address.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// It is one of a local network: there is nothing to look up.
    Local,
    /// Nobody knows where it is.
    Nowhere,
    At {
        location: GeoLocation,
        source: Source,
        /// The place stands for a whole country or region.
        approximate: bool,
    },
}

/// The embedded table, once for all nodes of the process; `None` in it if it is damaged.
static TABLE: OnceLock<Option<Table>> = OnceLock::new();

/// All that places are looked up in. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Atlas {
    database: Option<Arc<Database>>,
}

impl Atlas {
    /// With a database of the person's own, which goes before the embedded table: it is the better
    /// one.
    pub fn new(database: Option<Database>) -> Self {
        Self {
            database: database.map(Arc::new),
        }
    }

    /// Looks an address up, which takes about a microsecond. `None` while the embedded table is
    /// still being read: the first look-up begins that, on a thread of its own, and it takes some
    /// milliseconds.
    pub fn find(&self, of: IpAddr) -> Option<Found> {
        let of = address::plain(of);
        if address::is_local(of) {
            return Some(Found::Local);
        }
        let told = self
            .database
            .as_ref()
            .and_then(|database| Some((database, database.find(of)?)));
        if let Some((
            database,
            database::Place {
                location: Some(location),
                city: true,
                ..
            },
        )) = &told
        {
            return Some(Found::At {
                location: location.clone(),
                source: database.source(),
                approximate: false,
            });
        }
        let table = begin()?;
        let by_database = told.and_then(|(database, place)| {
            let country = place.country.and_then(|code| table?.country(code));
            // Coordinates without a city are the middle of something large.
            let location = match (place.location, &country) {
                (Some(at), Some(country)) if at.place.is_none() => GeoLocation {
                    place: country.place.clone(),
                    ..at
                },
                (at, _) => at.or(country)?,
            };
            Some(Found::At {
                location,
                source: database.source(),
                approximate: true,
            })
        });
        let by_table = || {
            let (table, location) = (table?, table?.find(of)?);
            Some(Found::At {
                location,
                source: Source::Country {
                    date: table.date().to_owned(),
                },
                approximate: true,
            })
        };
        Some(by_database.or_else(by_table).unwrap_or(Found::Nowhere))
    }

    /// Whether look-ups are answered at once.
    pub fn is_ready(&self) -> bool {
        TABLE.get().is_some()
    }
}

/// The table; before it is there, begins to read it.
fn begin() -> Option<Option<&'static Table>> {
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
            // Without a thread it takes a moment here.
            read();
        }
    });
    TABLE.get().map(Option::as_ref)
}

fn embedded() -> Option<Table> {
    Table::embedded()
        .inspect_err(|error| tracing::error!("the embedded table of countries {error}"))
        .ok()
}

#[cfg(test)]
mod tests;
