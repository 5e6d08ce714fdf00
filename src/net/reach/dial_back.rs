//! `--dht auto`: a server until dial-backs show that others cannot reach this node.

use std::{collections::HashSet, time::Duration};

use libp2p::{
    PeerId,
    autonat::v1::{Behaviour, Config, OutboundProbeError, OutboundProbeEvent, ResponseError},
    kad::Mode,
};

/// Different peers that must have failed to dial back before this node takes itself for
/// unreachable. On an isolated network nobody may ever try, and then it serves.
const FAILURES: usize = 3;
/// Servers remembered.
const MAX_SERVERS: usize = 64;

/// Asks peers to dial back, and does it for them. AutoNAT v1 and not v2: v2 tests each address
/// once, by one server, and what that one says stands for as long as the node runs.
pub fn behaviour(me: PeerId, every: Duration) -> Behaviour {
    let config = Config {
        // A dial-back tries one address after the other, and a QUIC address where nobody is takes
        // five seconds.
        timeout: Duration::from_secs(60),
        boot_delay: every,
        retry_interval: every,
        confidence_max: FAILURES,
        // An isolated network has no others.
        only_global_ips: false,
        ..Config::default()
    };
    Behaviour::new(me, config)
}

/// Who tried to dial back, and whether they got through; nothing when it was not tried.
pub fn outcome(probe: &OutboundProbeEvent) -> Option<(PeerId, bool)> {
    match probe {
        OutboundProbeEvent::Response { peer, .. } => Some((*peer, true)),
        OutboundProbeEvent::Error {
            peer: Some(peer),
            error: OutboundProbeError::Response(ResponseError::DialError),
            ..
        } => Some((*peer, false)),
        _ => None,
    }
}

#[derive(Default)]
pub struct Reach {
    failed: HashSet<PeerId>,
}

impl Reach {
    /// Notes a dial-back, and what it says of the mode: one success is enough to serve.
    pub fn dialled_back(&mut self, server: PeerId, reached: bool) -> Option<Mode> {
        if reached {
            self.failed.clear();
            return Some(Mode::Server);
        }
        if self.failed.len() < MAX_SERVERS {
            self.failed.insert(server);
        }
        (self.failed.len() >= FAILURES).then_some(Mode::Client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_must_fail_and_one_success_is_enough() {
        let mut reach = Reach::default();
        let servers: Vec<PeerId> = (0..FAILURES).map(|_| PeerId::random()).collect();
        for _ in 0..10 {
            assert_eq!(
                reach.dialled_back(servers[0], false),
                None,
                "the same server again says nothing new"
            );
        }
        assert_eq!(reach.dialled_back(servers[1], false), None);
        assert_eq!(reach.dialled_back(servers[2], false), Some(Mode::Client));
        assert_eq!(reach.dialled_back(servers[0], true), Some(Mode::Server));
        assert_eq!(
            reach.dialled_back(servers[1], false),
            None,
            "and it counts from the start"
        );
    }
}
