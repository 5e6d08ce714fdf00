//! The provenance of a location, in words.

use serde::{Deserialize, Serialize};

use super::{
    GeoLocation,
    plausible::{Plausibility, reach_km},
};
use crate::domain::text::printable;

/// The source of a peer's location.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "source")]
pub enum LocationSource {
    /// None: the peer declares nothing, and its address is unknown or in no table.
    #[default]
    Unknown,
    /// None: its address belongs to a local network.
    Local,
    /// The peer itself, within the last hour.
    Declared,
    /// The embedded DB-IP table, by its address.
    Country {
        /// The date of the data, `YYYY-MM`.
        date: String,
    },
    /// The person's own database, by its address.
    Database {
        /// The name of its file.
        file: String,
        /// The date of the data, `YYYY-MM`.
        date: String,
    },
}

/// The source of a location and the evidence for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LocationProvenance {
    /// The source of the location.
    #[serde(flatten)]
    pub source: LocationSource,
    /// The location stands for a whole country.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approximate: bool,
    /// The verdict of the round trip.
    #[serde(default)]
    pub plausibility: Plausibility,
    /// The smallest recent round trip in milliseconds, on which `plausibility` rests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<f64>,
}

impl LocationProvenance {
    /// Returns the provenance of a bare location: older nodes report declared ones only.
    pub fn declared() -> Self {
        Self {
            source: LocationSource::Declared,
            ..Self::default()
        }
    }

    /// Returns true if the peer cannot be there.
    pub fn is_implausible(&self) -> bool {
        self.plausibility == Plausibility::Implausible
    }

    /// Returns a few words: `declared`, `country, approximate (DB-IP 2026-06)`, `from home.mmdb
    /// (2026-10)`, `implausible, …`, `local address`.
    pub fn brief(&self) -> String {
        let who = match &self.source {
            LocationSource::Unknown => "not known".to_owned(),
            LocationSource::Local => "local address".to_owned(),
            LocationSource::Declared => "declared".to_owned(),
            LocationSource::Country { date } => {
                format!("country, approximate (DB-IP {})", printable(date))
            }
            LocationSource::Database { file, date } => {
                let what = if self.approximate {
                    "country, approximate, "
                } else {
                    ""
                };
                format!("{what}from {} ({})", printable(file), printable(date))
            }
        };
        if self.is_implausible() {
            format!("implausible, {who}")
        } else {
            who
        }
    }

    /// Returns the same, with the reason if the location is implausible.
    pub fn full(&self) -> String {
        match self.round_trip_ms.filter(|_| self.is_implausible()) {
            Some(ms) => {
                format!(
                    "{}: light travels {:.0} km there and back in {ms:.1} ms",
                    self.brief(),
                    reach_km(ms)
                )
            }
            None => self.brief(),
        }
    }

    /// Returns the place name with a warning sign: `✗` for implausible, `~` for approximate.
    pub fn mark(&self, place: &GeoLocation) -> String {
        match (self.is_implausible(), self.approximate) {
            (true, _) => format!("✗ {place}"),
            (false, true) => format!("~{place}"),
            (false, false) => place.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_says_from_where_it_is_known() {
        let berlin: GeoLocation = "52.5,13.4,Berlin".parse().unwrap();
        let declared = LocationProvenance::declared();
        assert_eq!(
            (declared.brief().as_str(), declared.mark(&berlin).as_str()),
            ("declared", "Berlin")
        );
        let country = LocationProvenance {
            source: LocationSource::Country {
                date: "2026-06".to_owned(),
            },
            approximate: true,
            ..declared.clone()
        };
        assert_eq!(country.brief(), "country, approximate (DB-IP 2026-06)");
        assert_eq!(country.mark(&berlin), "~Berlin");
        let source = LocationSource::Database {
            file: "home.mmdb".to_owned(),
            date: "2026-10".to_owned(),
        };
        let own = LocationProvenance {
            source,
            ..declared.clone()
        };
        assert_eq!(own.brief(), "from home.mmdb (2026-10)");
        let false_claim = LocationProvenance {
            plausibility: Plausibility::Implausible,
            round_trip_ms: Some(0.5),
            ..declared.clone()
        };
        assert_eq!(
            false_claim.full(),
            "implausible, declared: light travels 66 km there and back in 0.5 ms"
        );
        assert_eq!(false_claim.mark(&berlin), "✗ Berlin");
        assert_eq!(LocationProvenance::default().brief(), "not known");
    }

    #[test]
    fn provenance_survives_json() {
        for source in [
            LocationSource::Unknown,
            LocationSource::Local,
            LocationSource::Declared,
            LocationSource::Country {
                date: "2026-06".to_owned(),
            },
            LocationSource::Database {
                file: "a.mmdb".to_owned(),
                date: "2026-10".to_owned(),
            },
        ] {
            let whole = LocationProvenance {
                source,
                approximate: true,
                plausibility: Plausibility::Possible,
                round_trip_ms: Some(1.5),
            };
            let json = serde_json::to_string(&whole).unwrap();
            assert_eq!(
                serde_json::from_str::<LocationProvenance>(&json).unwrap(),
                whole,
                "{json}"
            );
        }
    }
}
