//! Implements `--dht auto`: the node is a DHT server until dial-backs show that others cannot reach
//! it.

use std::{collections::HashSet, time::Duration};

use libp2p::{
    PeerId,
    autonat::v1::{Behaviour, Config, OutboundProbeError, OutboundProbeEvent, ResponseError},
    kad::Mode,
};

/// Number of different peers that must fail to dial back before this node considers itself
/// unreachable. On an isolated network no peer may ever try, and then it stays a server.
const FAILURES: usize = 3;
/// Most servers remembered.
const MAX_SERVERS: usize = 64;

/// Creates the behaviour that asks peers to dial back and dials back for them. It is AutoNAT v1: v2
/// tests each address once, by one server, whose result stands for as long as the node runs.
pub fn behaviour(me: PeerId, every: Duration) -> Behaviour {
    let config = Config {
        // A dial-back tries one address after the other, and a dead QUIC address takes five
        // seconds.
        timeout: Duration::from_secs(60),
        boot_delay: every,
        retry_interval: every,
        confidence_max: FAILURES,
        // An isolated network has no global addresses.
        only_global_ips: false,
        ..Config::default()
    };
    Behaviour::new(me, config)
}

/// Returns the server that tried to dial back and whether it succeeded; `None` if it did not try.
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
pub struct DialBackOutcomes {
    failed: HashSet<PeerId>,
}

impl DialBackOutcomes {
    /// Records a dial-back. Returns the mode to change to: one success is enough to be a server.
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
        let mut reach = DialBackOutcomes::default();
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
