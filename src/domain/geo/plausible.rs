//! Checks a peer's claimed location against the round trips of its answers.
//!
//! Light in fibre covers about 200 km in a millisecond, so there and back about 100 km for each
//! millisecond of round trip (ITU-T G.652 fibre has a group index of 1.468: 102 km). No cable is
//! straight and no router takes no time, so honest round trips are longer. A claim that is farther
//! away than light gets is therefore false. One that is nearer than the round trip allows may be
//! true, because anybody can answer late; for the bonus, the round trip has to support it.

use serde::{Deserialize, Serialize};

/// Kilometres that light in fibre covers there and back in a millisecond.
pub const LIGHT_KM_PER_MS: f64 = 100.0;
/// Rounding error of two locations in kilometres. Each is off by up to 0.05 degrees both ways, 7.9
/// km, and the two by 15.8 km.
pub const SLACK_KM: f64 = 16.0;
/// Distances are those on a sphere, up to this share longer than on the ellipsoid.
const SPHERE_SLACK: f64 = 0.006;
/// A round trip supports a location if it is below this many milliseconds, for the delay of a home
/// line, plus one for each [`BONUS_KM_PER_MS`], half as fast as light.
pub const BONUS_BASE_MS: f64 = 5.0;
/// Kilometres for which a round trip may take one millisecond more.
pub const BONUS_KM_PER_MS: f64 = 50.0;

/// The verdict of the round trip on a location.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plausibility {
    /// No round trip was measured, no distance is known, or the place is only approximate.
    #[default]
    Unjudged,
    /// It is farther away than light gets in that time.
    Implausible,
    /// It may be there, or nearer, or farther away.
    Possible,
    /// The round trip is about as short as one to that location would be.
    Supported,
}

impl Plausibility {
    /// Judges a distance in km by the smallest of the recent round trips in milliseconds.
    pub fn of(distance_km: Option<f64>, round_trip_ms: Option<f64>) -> Self {
        match (distance_km, round_trip_ms) {
            (Some(km), Some(ms)) if km.is_finite() && ms.is_finite() && ms >= 0.0 => {
                if km > reach_km(ms) {
                    Self::Implausible
                } else if ms < BONUS_BASE_MS + km / BONUS_KM_PER_MS {
                    Self::Supported
                } else {
                    Self::Possible
                }
            }
            _ => Self::Unjudged,
        }
    }
}

/// Returns the greatest distance in km, as
/// [`GeoLocation::distance_km`](super::GeoLocation::distance_km) computes it between rounded
/// locations, of a peer that answers within `round_trip_ms`.
pub fn reach_km(round_trip_ms: f64) -> f64 {
    round_trip_ms * LIGHT_KM_PER_MS * (1.0 + SPHERE_SLACK) + SLACK_KM
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::geo::GeoLocation;
    use proptest::prelude::*;

    fn of(km: f64, ms: f64) -> Plausibility {
        Plausibility::of(Some(km), Some(ms))
    }

    #[test]
    fn places_are_judged_by_the_round_trip() {
        // Berlin and Paris, 878 km: a good line takes 18 ms.
        assert_eq!(of(878.0, 18.0), Plausibility::Supported);
        assert_eq!(of(878.0, 40.0), Plausibility::Possible);
        assert_eq!(of(878.0, 1.0), Plausibility::Implausible);
        // Peers that claim to be next door but answer from far away or late.
        assert_eq!(of(3.0, 80.0), Plausibility::Possible);
        assert_eq!(of(3.0, 0.4), Plausibility::Supported);
        // Within the rounding error.
        assert_eq!(of(15.0, 0.0), Plausibility::Supported);
        for (km, ms) in [
            (None, Some(1.0)),
            (Some(1.0), None),
            (Some(f64::NAN), Some(1.0)),
            (Some(1.0), Some(-1.0)),
        ] {
            assert_eq!(Plausibility::of(km, ms), Plausibility::Unjudged);
        }
    }

    proptest! {
        #[test]
        fn what_earns_the_bonus_is_never_implausible(km in 0.0..20_016.0f64, ms in 0.0..1_000.0f64) {
            let implausible = km > reach_km(ms);
            let near = ms < BONUS_BASE_MS + km / BONUS_KM_PER_MS;
            let judged = of(km, ms);
            prop_assert_eq!(judged == Plausibility::Implausible, implausible);
            prop_assert_eq!(judged == Plausibility::Supported, near && !implausible);
        }

        #[test]
        fn farther_or_faster_is_never_less_implausible(
            km in 0.0..20_016.0f64, ms in 0.0..300.0f64, farther in 0.0..5_000.0f64, faster in 0.0..1.0f64,
        ) {
            if of(km, ms) == Plausibility::Implausible {
                prop_assert_eq!(of(km + farther, ms * faster), Plausibility::Implausible);
            }
            // For a plausible location, a shorter round trip is stronger support.
            if of(km, ms) == Plausibility::Supported && of(km, ms * faster) != Plausibility::Implausible {
                prop_assert_eq!(of(km, ms * faster), Plausibility::Supported);
            }
            if of(km, ms) == Plausibility::Supported && of(km + farther, ms) != Plausibility::Implausible {
                prop_assert_eq!(of(km + farther, ms), Plausibility::Supported);
            }
        }

        /// Holds for every rounding of both locations.
        #[test]
        fn an_honest_peer_is_never_implausible(
            a in (-90.0..90.0f64, -180.0..180.0f64), b in (-90.0..90.0f64, -180.0..180.0f64), late in 0.0..500.0f64,
        ) {
            let exact = |(latitude, longitude)| GeoLocation { latitude, longitude, place: None };
            let km = exact(a).distance_km(&exact(b));
            let told = |(latitude, longitude)| GeoLocation::new(latitude, longitude, None).unwrap();
            let told_km = told(a).distance_km(&told(b));
            prop_assert_ne!(of(told_km, km / LIGHT_KM_PER_MS + late), Plausibility::Implausible);
        }
    }
}
