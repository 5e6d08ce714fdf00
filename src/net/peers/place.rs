//! Where one peer is: what it declares, what its address says, and what its round trips allow.

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

/// What is known of where a peer is.
#[derive(Debug, Default)]
pub struct Whereabouts {
    declared: Option<(GeoLocation, Timestamp)>,
    /// By its own clock, when it said last where it is, or that it does not say.
    said_at: Timestamp,
    /// Of the connection, or of the last one there was: nothing that it can choose.
    remote: Option<IpAddr>,
    /// The first of those it lists that can be looked up, for want of a connection.
    listed: Option<IpAddr>,
    /// What the address in use says, once it was looked up.
    found: OnceLock<Located>,
    /// Round trips in milliseconds since it connected, the newest last.
    round_trips_ms: VecDeque<f64>,
}

/// Where a peer is as far as anybody can say.
#[derive(Debug)]
pub struct Placed<'a> {
    pub location: Option<&'a GeoLocation>,
    pub provenance: LocationProvenance,
    /// From where this node says it is.
    pub distance_km: Option<f64>,
}

impl Placed<'_> {
    /// The distance for which there is a bonus: only that to a place of which the round trip is a
    /// witness.
    pub fn bonus_km(&self) -> Option<f64> {
        self.distance_km
            .filter(|_| self.provenance.plausibility == Plausibility::Supported)
    }
}

/// What places are judged by.
#[derive(Clone, Debug)]
pub struct Bearings {
    pub atlas: Atlas,
    /// Where this node says it is.
    pub here: Option<GeoLocation>,
    /// Round trips say something of places: not where nodes on one machine play to be elsewhere,
    /// without the delays for it.
    pub judged: bool,
}

impl Whereabouts {
    /// Of the connection, or of the last one there was.
    pub fn remote(&self) -> Option<IpAddr> {
        self.remote
    }

    /// A connection was made; `first` when there was none before.
    pub fn connected(&mut self, address: &Multiaddr, first: bool) {
        if first {
            // It may come from somewhere else now, and so may this node.
            self.round_trips_ms.clear();
            let remote = ip_of(address);
            if self.remote != remote {
                self.remote = remote;
                self.found = OnceLock::new();
            }
        }
    }

    /// Takes the addresses that the peer gave, for when there is no connection to see one at.
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

    /// What it says in a hello, which nobody passes on: it holds whatever was said before.
    pub fn hello(&mut self, location: Option<GeoLocation>, at: Timestamp, now: Timestamp) {
        self.said_at = at;
        self.declared = location
            .filter(GeoLocation::is_valid)
            .map(|location| (location, now.after(Presence::LIFE)));
    }

    /// What it says in a presence message. One that was long on its way brings nothing back that
    /// was withdrawn since.
    pub fn presence(&mut self, presence: Presence) {
        if presence.at < self.said_at {
            return;
        }
        self.said_at = presence.at;
        // From the sender's time: a message that was kept back does not make an old place new.
        let until = presence.at.after(Presence::LIFE);
        self.declared = presence.location.map(|location| (location, until));
    }

    /// Where it is: declared, else by its address.
    pub fn placed(&self, bearings: &Bearings, now: Timestamp) -> Placed<'_> {
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
        // A country may reach to next door from wherever its capital is.
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

    /// What its address says; not yet, while the table is being read.
    fn found(&self, atlas: &Atlas) -> Option<&Located> {
        let address = self.remote.or(self.listed)?;
        if self.found.get().is_none() {
            let _ = self.found.set(atlas.find(address)?);
        }
        self.found.get()
    }
}

/// The peer's own address in `address`; `None` for a name, and for one behind a relay, whose
/// address it would be.
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

    fn bearings(here: Option<&str>) -> Bearings {
        Bearings {
            atlas: Atlas::default(),
            here: here.map(|text| text.parse().unwrap()),
            judged: true,
        }
    }

    /// Once the table is there.
    fn placed<'a>(peer: &'a Whereabouts, bearings: &Bearings) -> Placed<'a> {
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
        // What it declares goes before.
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
        // From another place.
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
        // Known from before, and not connected: what it lists is all there is.
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
        // It says nothing of where the peer connects from next, and is forgotten in time.
        let mut stays = connected("/ip4/127.0.0.1/tcp/4807");
        std::mem::swap(&mut stays, &mut peer);
        stays.connected(&"/ip4/127.0.0.1/tcp/4807".parse().unwrap(), false);
        assert_eq!(judged(&stays), Plausibility::Implausible);
        (0..RTT_HISTORY).for_each(|_| stays.round_trip(ms(60.0)));
        assert_eq!(judged(&stays), Plausibility::Possible);
        stays.round_trip(ms(0.4));
        stays.connected(&"/ip4/127.0.0.1/tcp/4807".parse().unwrap(), true);
        assert_eq!(judged(&stays), Plausibility::Unjudged);
        // A demo's nodes play to be elsewhere.
        stays.round_trip(ms(0.4));
        let demo = Bearings {
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
        // A clock that was set back: what it says itself holds.
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
