//! Locations and distances, declared or looked up, with their provenance and plausibility.

pub mod address;
pub mod plausible;
pub mod provenance;

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use super::text::{is_unsafe_char, printable};

/// Longest place name, in characters.
pub const MAX_PLACE: usize = 40;

/// A location on the globe, in degrees, rounded to a tenth (about 11 km) before it leaves the node
/// that declares it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeoLocation {
    /// Degrees north, -90 to 90.
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    pub longitude: f64,
    /// The name of the place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

impl GeoLocation {
    /// Creates a location, rounded to a tenth of a degree; `None` if it is invalid.
    pub fn new(latitude: f64, longitude: f64, place: Option<&str>) -> Option<Self> {
        let tenth = |degrees: f64| (degrees * 10.0).round() / 10.0;
        let place = place.map(printable).filter(|place| !place.is_empty());
        let location = Self {
            latitude: tenth(latitude),
            longitude: tenth(longitude),
            place,
        };
        location.is_valid().then_some(location)
    }

    /// Returns true if coordinates and name are within their limits.
    pub fn is_valid(&self) -> bool {
        let named = self.place.as_ref().is_none_or(|place| {
            place.chars().count() <= MAX_PLACE && !place.chars().any(is_unsafe_char)
        });
        (-90.0..=90.0).contains(&self.latitude)
            && (-180.0..=180.0).contains(&self.longitude)
            && named
    }

    /// Great-circle distance in kilometres, by the haversine formula on a sphere of the mean Earth
    /// radius (R. W. Sinnott, "Virtues of the Haversine", Sky and Telescope 68, 1984). Within 0.6 %
    /// of the ellipsoid.
    pub fn distance_km(&self, other: &Self) -> f64 {
        const EARTH_RADIUS_KM: f64 = 6_371.008_8;
        let (lat_a, lat_b) = (self.latitude.to_radians(), other.latitude.to_radians());
        let half_lat = (lat_b - lat_a) / 2.0;
        let half_lon = (other.longitude - self.longitude).to_radians() / 2.0;
        let a = half_lat.sin().powi(2) + lat_a.cos() * lat_b.cos() * half_lon.sin().powi(2);
        2.0 * EARTH_RADIUS_KM * a.clamp(0.0, 1.0).sqrt().asin()
    }

    /// Returns the shortest one-way time for bytes: light covers about 200 km of glass fibre in a
    /// millisecond (refractive index about 1.47), plus half a millisecond for the way to the cable
    /// and off it. That is 0.5 ms to 101 ms; cables take detours, so the Internet is slower.
    pub fn one_way(&self, other: &Self) -> Duration {
        const KM_PER_MS: f64 = 200.0;
        const BASE_MS: f64 = 0.5;
        Duration::from_secs_f64((BASE_MS + self.distance_km(other) / KM_PER_MS) / 1_000.0)
    }
}

impl fmt::Display for GeoLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => f.write_str(place),
            None => write!(f, "{:.1},{:.1}", self.latitude, self.longitude),
        }
    }
}

impl FromStr for GeoLocation {
    type Err = String;

    /// Reads `LATITUDE,LONGITUDE[,PLACE]`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, ',').map(str::trim);
        let mut degrees = || parts.next().and_then(|part| part.parse::<f64>().ok());
        let location = match (degrees(), degrees()) {
            (Some(latitude), Some(longitude)) => Self::new(latitude, longitude, parts.next()),
            _ => None,
        };
        location.ok_or_else(|| {
            format!(
                "\"{}\" is not a location: use latitude,longitude[,place] in degrees, such as \
                52.5,13.4,Berlin",
                printable(text)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> GeoLocation {
        text.parse().unwrap()
    }

    #[test]
    fn known_distances_between_cities() {
        // Great-circle distances of the cities' centres, km.
        for (a, b, km) in [
            ("52.52,13.405", "48.857,2.352", 878.0),      // Berlin, Paris
            ("40.713,-74.006", "51.507,-0.128", 5_570.0), // New York, London
            ("35.677,139.65", "-33.869,151.209", 7_823.0), // Tokyo, Sydney
            ("64.147,-21.943", "-54.807,-68.304", 13_930.0), // Reykjavik, Ushuaia
        ] {
            let distance = at(a).distance_km(&at(b));
            assert!(
                (distance - km).abs() < km * 0.02,
                "{a} to {b}: {distance:.0} km, not {km}"
            );
        }
    }

    #[test]
    fn bytes_take_as_long_as_light_in_a_cable() {
        for (a, b, ms) in [
            ("52.5,13.4", "52.5,13.4", 0.5),
            ("40.7,-74.0", "51.5,-0.1", 28.4),
            ("90,0", "-90,0", 100.6),
        ] {
            let took = at(a).one_way(&at(b)).as_secs_f64() * 1_000.0;
            assert!(
                (took - ms).abs() < 0.3,
                "{a} to {b}: {took:.1} ms, not {ms}"
            );
            assert_eq!(at(a).one_way(&at(b)), at(b).one_way(&at(a)));
        }
    }

    #[test]
    fn locations_are_rounded_and_checked() {
        let berlin = at("52.5234, 13.4114, Berlin");
        assert_eq!((berlin.latitude, berlin.longitude), (52.5, 13.4));
        assert_eq!(berlin.to_string(), "Berlin");
        assert_eq!(at("-1.26,36.8").to_string(), "-1.3,36.8");
        for bad in [
            "",
            "52.5",
            "91,0",
            "0,181",
            "NaN,0",
            "a,b",
            &format!("0,0,{}", "x".repeat(41)),
        ] {
            assert!(bad.parse::<GeoLocation>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn distance_is_a_metric_on_the_globe(
            a in (-90.0..90.0f64, -180.0..180.0f64),
            b in (-90.0..90.0f64, -180.0..180.0f64),
            c in (-90.0..90.0f64, -180.0..180.0f64),
        ) {
            let place = |(lat, lon)| GeoLocation { latitude: lat, longitude: lon, place: None };
            let (a, b, c) = (place(a), place(b), place(c));
            let ab = a.distance_km(&b);
            prop_assert!((0.0..=20_016.0).contains(&ab));
            prop_assert!((ab - b.distance_km(&a)).abs() < 1e-6);
            prop_assert!(a.distance_km(&a) < 1e-6);
            prop_assert!(ab <= a.distance_km(&c) + c.distance_km(&b) + 1e-3);
        }
    }
}
