//! Cities in which the demo's nodes are located.

use serde::Deserialize;

use crate::{RegistryError, Result, domain::geo::GeoLocation};

/// A city.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct City {
    pub name: String,
    /// Latitude in degrees north.
    pub latitude: f64,
    /// Longitude in degrees east.
    pub longitude: f64,
}

impl City {
    /// Returns the name for use in a handle: lower case, with hyphens for other characters.
    pub fn slug(&self) -> String {
        self.name
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() {
                    c.to_ascii_lowercase()
                } else {
                    '-'
                }
            })
            .collect()
    }

    /// Returns a location `north` and `east` degrees from the centre, with the city's name.
    pub fn near(&self, north: f64, east: f64) -> Option<GeoLocation> {
        GeoLocation::new(
            self.latitude + north,
            self.longitude + east,
            Some(&self.name),
        )
    }
}

/// Returns the embedded cities.
pub fn cities() -> Result<Vec<City>> {
    #[derive(Deserialize)]
    struct Cities {
        city: Vec<City>,
    }
    toml::from_str(include_str!("../../assets/cities.toml"))
        .map(|cities: Cities| cities.city)
        .map_err(|error| RegistryError::Internal {
            what: "reading the list of cities",
            why: error.to_string(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cities_are_apart_and_on_the_globe() {
        let cities = cities().unwrap();
        assert_eq!(cities.len(), 24);
        let places: Vec<_> = cities
            .iter()
            .map(|city| city.near(0.0, 0.0).unwrap())
            .collect();
        for (n, place) in places.iter().enumerate() {
            assert!(
                places[..n]
                    .iter()
                    .all(|other| other.distance_km(place) > 300.0),
                "{place}"
            );
        }
        assert_eq!(cities[5].slug(), "buenos-aires");
    }
}
