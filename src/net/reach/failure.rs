//! Interprets a failed dial: what it says about the peer.

use std::io::ErrorKind;

use libp2p::{Multiaddr, TransportError, swarm::DialError};

/// A reason why a peer was not reached that does not lie with this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerFailure {
    /// A word or two for display.
    pub why: &'static str,
    /// True if the address was named by the peer itself. An address that others claim may simply be
    /// wrong.
    pub is_unreachable: bool,
}

impl PeerFailure {
    /// Interprets a dial error; `None` if this node's own limits or a race ended the dial.
    /// `is_named` returns true if the peer itself or this node's person named the address.
    pub fn of(error: &DialError, is_named: impl Fn(&Multiaddr) -> bool) -> Option<Self> {
        match error {
            DialError::Transport(tried) => Some(Self {
                why: why(tried, error),
                is_unreachable: tried.iter().any(|(address, _)| is_named(address)),
            }),
            DialError::WrongPeerId { .. } => Some(Self {
                why: "another identity",
                is_unreachable: false,
            }),
            _ => None,
        }
    }
}

fn why(tried: &[(Multiaddr, TransportError<std::io::Error>)], error: &DialError) -> &'static str {
    let kind = tried.iter().find_map(|(_, error)| match error {
        TransportError::Other(error) => Some(error.kind()),
        TransportError::MultiaddrNotSupported(_) => None,
    });
    match kind {
        Some(ErrorKind::ConnectionRefused) => "refused",
        Some(ErrorKind::TimedOut) => "timed out",
        Some(ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable) => "no route",
        // libp2p wraps most of the system's errors.
        Some(_) if error.to_string().to_lowercase().contains("refused") => "refused",
        Some(_) if error.to_string().to_lowercase().contains("timeout") => "timed out",
        Some(_) => "failed",
        None => "not supported",
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use libp2p::PeerId;

    use super::*;

    fn failed(kind: ErrorKind, text: &str) -> DialError {
        let address = "/ip4/10.0.0.1/tcp/1".parse().unwrap();
        let error = io::Error::new(kind, text.to_owned());
        DialError::Transport(vec![(address, TransportError::Other(error))])
    }

    #[test]
    fn the_reason_is_in_the_words_of_the_system_or_in_those_of_libp2p() {
        let why = |kind, text| PeerFailure::of(&failed(kind, text), |_| true).map(|one| one.why);
        assert_eq!(why(ErrorKind::ConnectionRefused, ""), Some("refused"));
        assert_eq!(why(ErrorKind::Other, "Connection refused"), Some("refused"));
        assert_eq!(why(ErrorKind::TimedOut, ""), Some("timed out"));
        assert_eq!(why(ErrorKind::Other, "Timeout"), Some("timed out"));
        assert_eq!(why(ErrorKind::NetworkUnreachable, ""), Some("no route"));
        assert_eq!(why(ErrorKind::Other, "broken"), Some("failed"));
    }

    #[test]
    fn only_where_it_says_itself_that_it_is_a_peer_can_be_missed() {
        let error = failed(ErrorKind::ConnectionRefused, "");
        let missed = |named| PeerFailure::of(&error, |_| named).unwrap().is_unreachable;
        assert!(missed(true));
        assert!(!missed(false));
        let other = DialError::WrongPeerId {
            obtained: PeerId::random(),
            address: "/ip4/10.0.0.1/tcp/1".parse().unwrap(),
        };
        let failure = PeerFailure::of(&other, |_| true).unwrap();
        assert_eq!(failure.why, "another identity");
        assert!(!failure.is_unreachable);
    }

    #[test]
    fn what_this_node_itself_ended_says_nothing() {
        assert_eq!(PeerFailure::of(&DialError::Aborted, |_| true), None);
        assert_eq!(PeerFailure::of(&DialError::NoAddresses, |_| true), None);
    }
}
