//! The location of one peer: the one it declares, the one of its address, and the bounds that its
//! round trips set.

use std::{collections::VecDeque, net::IpAddr, sync::OnceLock, time::Duration};

use libp2p::{Multiaddr, multiaddr::Protocol};

use crate::{
    bus::RTT_HISTORY,
    domain::{
        geo::{
            GeoLocation, address,
            plausible::Plausibility,
            provenance::{LocationProvenance, LocationSource},
        },
        record::Presence,
        time::Timestamp,
    },
    geoip::{Atlas, Located},
};

/// The evidence for a peer's location.
#[derive(Debug, Default)]
pub struct Whereabouts {
    declared: Option<(GeoLocation, Timestamp)>,
    /// The time, by the peer's clock, of its latest declaration or withdrawal.
    said_at: Timestamp,
    /// The remote address of the current or last connection, which a peer cannot choose freely.
    remote: Option<IpAddr>,
    /// The first of its listed addresses that can be located, used while there was no connection.
    listed: Option<IpAddr>,
    /// The location of the address in use, once looked up.
    found: OnceLock<Located>,
    /// Round trips in milliseconds since it connected, newest last.
    round_trips_ms: VecDeque<f64>,
}

/// The best known location of a peer.
#[derive(Debug)]
pub struct Placed<'a> {
    pub location: Option<&'a GeoLocation>,
    pub provenance: LocationProvenance,
    /// Distance from this node's declared location.
    pub distance_km: Option<f64>,
}

impl Placed<'_> {
    /// Returns the distance that may earn a bonus: only one to a location that round trips confirm.
    pub fn bonus_km(&self) -> Option<f64> {
        self.distance_km
            .filter(|_| self.provenance.plausibility == Plausibility::Supported)
    }
}

/// The inputs to locate and judge peers.
#[derive(Clone, Debug)]
pub struct PlacingContext {
    pub atlas: Atlas,
    /// This node's declared location.
    pub here: Option<GeoLocation>,
    /// True if round trips are held against declared locations. False where nodes on one machine
    /// pretend to be elsewhere without the delays.
    pub judged: bool,
}

impl Whereabouts {
    /// Returns the remote address of the current or last connection.
    pub fn remote(&self) -> Option<IpAddr> {
        self.remote
    }

    /// Notes a new connection; `first` is true if there was none before.
    pub fn connected(&mut self, address: &Multiaddr, first: bool) {
        if first {
            // The peer, or this node, may be somewhere else now.
            self.round_trips_ms.clear();
            let remote = ip_of(address);
            if self.remote != remote {
                self.remote = remote;
                self.found = OnceLock::new();
            }
        }
    }

    /// Sets the peer's listed addresses, which are used while it was never connected.
    pub fn lists(&mut self, addresses: &[Multiaddr]) {
        let all = || addresses.iter().filter_map(ip_of);
        let listed = all()
            .find(|ip| !address::is_local(*ip))
            .or_else(|| all().next());
        if self.listed != listed {
            self.listed = listed;
            if self.remote.is_none() {
                self.found = OnceLock::new();
            }
        }
    }

    pub fn round_trip(&mut self, rtt: Duration) {
        if self.round_trips_ms.len() >= RTT_HISTORY {
            self.round_trips_ms.pop_front();
        }
        self.round_trips_ms.push_back(rtt.as_secs_f64() * 1_000.0);
    }

    /// Sets the location from a hello. No third party passes a hello on, so it always replaces what
    /// was said before.
    pub fn hello(&mut self, location: Option<GeoLocation>, at: Timestamp, now: Timestamp) {
        self.said_at = at;
        self.declared = location
            .filter(GeoLocation::is_valid)
            .map(|location| (location, now.after(Presence::LIFE)));
    }

    /// Sets the location from a presence message, unless a later one is known: a message that was
    /// long in transit must not restore a withdrawn location.
    pub fn presence(&mut self, presence: Presence) {
        if presence.at < self.said_at {
            return;
        }
        self.said_at = presence.at;
        // It expires by the sender's time, so that a message that was held back does not renew an
        // old location.
        let until = presence.at.after(Presence::LIFE);
        self.declared = presence.location.map(|location| (location, until));
    }

    /// Returns the peer's location: the declared one, or else that of its address.
    pub fn placed(&self, bearings: &PlacingContext, now: Timestamp) -> Placed<'_> {
        let declared = self.declared.as_ref().filter(|(_, until)| *until > now);
        let (location, source, approximate) = match (declared, self.found(&bearings.atlas)) {
            (Some((location, _)), _) => (Some(location), LocationSource::Declared, false),
            (
                None,
                Some(Located::At {
                    location,
                    source,
                    approximate,
                }),
            ) => (Some(location), source.clone(), *approximate),
            (None, Some(Located::Local)) => (None, LocationSource::Local, false),
            (None, Some(Located::Nowhere) | None) => (None, LocationSource::Unknown, false),
        };
        let distance_km = bearings
            .here
            .as_ref()
            .zip(location)
            .map(|(here, there)| here.distance_km(there));
        // An approximate location is a country's capital, while the country may reach to next door.
        let exact_km = distance_km.filter(|_| !approximate && bearings.judged);
        let smallest = self.round_trips_ms.iter().copied().min_by(f64::total_cmp);
        let plausibility = Plausibility::of(exact_km, smallest);
        let round_trip_ms = smallest.filter(|_| plausibility != Plausibility::Unjudged);
        let provenance = LocationProvenance {
            source,
            approximate,
            plausibility,
            round_trip_ms,
        };
        Placed {
            location,
            provenance,
            distance_km,
        }
    }

    /// Returns the location of its address, or `None` while the database is loading.
    fn found(&self, atlas: &Atlas) -> Option<&Located> {
        let address = self.remote.or(self.listed)?;
        if self.found.get().is_none() {
            let _ = self.found.set(atlas.find(address)?);
        }
        self.found.get()
    }
}

/// Returns the IP address of the peer in `address`; `None` for a DNS name, and for a relayed
/// address, whose IP is the relay's.
fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    if address.iter().any(|part| part == Protocol::P2pCircuit) {
        return None;
    }
    address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn bearings(here: Option<&str>) -> PlacingContext {
        PlacingContext {
            atlas: Atlas::default(),
            here: here.map(|text| text.parse().unwrap()),
            judged: true,
        }
    }

    /// As [`Whereabouts::placed`], once the database is loaded.
    fn placed<'a>(peer: &'a Whereabouts, bearings: &PlacingContext) -> Placed<'a> {
        while !bearings.atlas.is_ready() {
            let _ = bearings.atlas.find([8, 8, 8, 8].into());
            std::thread::yield_now();
        }
        peer.placed(bearings, NOW)
    }

    fn connected(address: &str) -> Whereabouts {
        let mut peer = Whereabouts::default();
        peer.connected(&address.parse().unwrap(), true);
        peer
    }

    fn ms(ms: f64) -> Duration {
        Duration::from_secs_f64(ms / 1_000.0)
    }

    #[test]
    fn a_peer_that_declares_nothing_is_where_its_connection_comes_from() {
        let berlin = bearings(Some("52.5,13.4,Berlin"));
        let mut peer = connected("/ip4/193.0.6.139/tcp/4807");
        peer.lists(&["/ip4/133.11.0.1/tcp/4807".parse().unwrap()]);
        peer.round_trip(ms(0.1));
        let there = placed(&peer, &berlin);
        assert_eq!(there.location.unwrap().to_string(), "Netherlands");
        assert!(
            there.provenance.approximate
                && matches!(there.provenance.source, LocationSource::Country { .. })
        );
        assert!(
            there
                .distance_km
                .is_some_and(|km| (500.0..700.0).contains(&km))
        );
        assert_eq!(
            there.provenance.plausibility,
            Plausibility::Unjudged,
            "a country is large"
        );
        assert_eq!(there.bonus_km(), None);
        // A declared location takes precedence.
        peer.hello(Some("48.9,2.4,Paris".parse().unwrap()), NOW, NOW);
        let there = placed(&peer, &berlin);
        assert_eq!(
            (there.location.unwrap().to_string(), there.provenance.source),
            ("Paris".to_owned(), LocationSource::Declared)
        );
        peer.hello(None, NOW, NOW);
        assert_eq!(
            placed(&peer, &berlin).location.unwrap().to_string(),
            "Netherlands"
        );
        // It connects from another place.
        peer.connected(&"/ip6/2001:200::1/udp/1/quic-v1".parse().unwrap(), true);
        assert_eq!(
            placed(&peer, &berlin).location.unwrap().to_string(),
            "Japan"
        );
        peer.connected(&"/ip4/8.8.8.8/tcp/1".parse().unwrap(), false);
        assert_eq!(
            placed(&peer, &berlin).location.unwrap().to_string(),
            "Japan",
            "the oldest connection is shown"
        );
    }

    #[test]
    fn what_has_no_place_says_why() {
        let nowhere = bearings(None);
        let source = |peer: &Whereabouts| placed(peer, &nowhere).provenance.source;
        assert_eq!(
            source(&connected("/ip4/192.168.1.7/tcp/4807")),
            LocationSource::Local
        );
        assert_eq!(
            source(&connected("/ip6/fd00::7/tcp/4807")),
            LocationSource::Local
        );
        assert_eq!(
            source(&connected("/ip4/192.0.2.7/tcp/4807")),
            LocationSource::Unknown
        );
        assert_eq!(
            source(&connected("/dns4/example.org/tcp/4807")),
            LocationSource::Unknown
        );
        assert_eq!(source(&Whereabouts::default()), LocationSource::Unknown);
        let relayed = "/ip4/8.8.8.8/tcp/1/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN/p2p-circuit";
        assert_eq!(
            source(&connected(relayed)),
            LocationSource::Unknown,
            "the relay's address is not the peer's"
        );
        // A peer known from before that is not connected: only its listed addresses are known.
        let mut known = Whereabouts::default();
        known.lists(&[
            "/ip4/10.0.0.1/tcp/1".parse().unwrap(),
            "/ip4/133.11.0.1/tcp/1".parse().unwrap(),
        ]);
        assert!(matches!(source(&known), LocationSource::Country { .. }));
        known.lists(&["/ip4/10.0.0.1/tcp/1".parse().unwrap()]);
        assert_eq!(source(&known), LocationSource::Local);
    }

    #[test]
    fn claims_are_judged_by_the_smallest_of_the_recent_round_trips() {
        let berlin = bearings(Some("52.5,13.4,Berlin"));
        let mut peer = connected("/ip4/127.0.0.1/tcp/4807");
        peer.hello(Some("48.9,2.4,Paris".parse().unwrap()), NOW, NOW);
        let judged = |peer: &Whereabouts| placed(peer, &berlin).provenance.plausibility;
        assert_eq!(judged(&peer), Plausibility::Unjudged);
        assert_eq!(placed(&peer, &berlin).bonus_km(), None);
        peer.round_trip(ms(60.0));
        assert_eq!(judged(&peer), Plausibility::Possible);
        peer.round_trip(ms(17.0));
        assert_eq!(judged(&peer), Plausibility::Supported);
        assert!(
            placed(&peer, &berlin)
                .bonus_km()
                .is_some_and(|km| km > 800.0)
        );
        peer.round_trip(ms(0.4));
        peer.round_trip(ms(60.0));
        assert_eq!(judged(&peer), Plausibility::Implausible);
        assert_eq!(placed(&peer, &berlin).provenance.round_trip_ms, Some(0.4));
        assert_eq!(placed(&peer, &berlin).bonus_km(), None);
        // The round trips do not apply to its next address, and expire in time.
        let mut stays = connected("/ip4/127.0.0.1/tcp/4807");
        std::mem::swap(&mut stays, &mut peer);
        stays.connected(&"/ip4/127.0.0.1/tcp/4807".parse().unwrap(), false);
        assert_eq!(judged(&stays), Plausibility::Implausible);
        (0..RTT_HISTORY).for_each(|_| stays.round_trip(ms(60.0)));
        assert_eq!(judged(&stays), Plausibility::Possible);
        stays.round_trip(ms(0.4));
        stays.connected(&"/ip4/127.0.0.1/tcp/4807".parse().unwrap(), true);
        assert_eq!(judged(&stays), Plausibility::Unjudged);
        // The nodes of a demo pretend to be elsewhere.
        stays.round_trip(ms(0.4));
        let demo = PlacingContext {
            judged: false,
            ..berlin.clone()
        };
        assert_eq!(
            placed(&stays, &demo).provenance.plausibility,
            Plausibility::Unjudged
        );
    }

    #[test]
    fn what_was_withdrawn_does_not_come_back_with_a_late_message() {
        let nowhere = bearings(None);
        let paris = || Some("48.9,2.4,Paris".parse::<GeoLocation>().unwrap());
        let source = |peer: &Whereabouts| placed(peer, &nowhere).provenance.source;
        let mut peer = connected("/ip4/127.0.0.1/tcp/4807");
        let said = NOW.before(Duration::from_secs(60));
        peer.presence(Presence {
            at: said,
            location: paris(),
        });
        assert_eq!(source(&peer), LocationSource::Declared);
        peer.hello(None, NOW, NOW);
        assert_eq!(
            source(&peer),
            LocationSource::Local,
            "withdrawn within a hello"
        );
        peer.presence(Presence {
            at: said,
            location: paris(),
        });
        assert_eq!(source(&peer), LocationSource::Local);
        peer.presence(Presence {
            at: NOW.after(Duration::from_secs(1)),
            location: paris(),
        });
        assert_eq!(source(&peer), LocationSource::Declared, "it opted in again");
        peer.presence(Presence {
            at: NOW.after(Duration::from_secs(2)),
            location: None,
        });
        assert_eq!(source(&peer), LocationSource::Local);
        // The peer's clock was set back: its own hello still counts.
        peer.hello(paris(), said, NOW);
        assert_eq!(source(&peer), LocationSource::Declared);
        peer.presence(Presence {
            at: NOW.before(Presence::LIFE),
            location: None,
        });
        assert_eq!(source(&peer), LocationSource::Declared);
        let later = NOW.after(Presence::LIFE);
        assert_eq!(
            peer.placed(&nowhere, later).provenance.source,
            LocationSource::Local,
            "not said again"
        );
    }
}
