//! Decides which problems a person is told of once instead of at every check: unreachable bootstrap
//! peers and conflicting identities. A state machine without I/O.

use std::collections::HashSet;

use libp2p::Multiaddr;

/// The problems that the person was told of.
#[derive(Default)]
pub struct ToldTroubles {
    unreachable: HashSet<Multiaddr>,
    identity: Option<String>,
}

impl ToldTroubles {
    /// Returns the message about an unreachable bootstrap address the first time, and `None` after
    /// that.
    pub fn unreachable(&mut self, address: Multiaddr) -> Option<String> {
        let text = format!(
            "the bootstrap peer {address} cannot be reached; check its address and that it runs \
             (still trying)"
        );
        self.unreachable.insert(address).then_some(text)
    }

    /// Returns the message about identities if it differs from the last one.
    pub fn identity(&mut self, complaint: Option<String>) -> Option<String> {
        let is_news = self.identity != complaint;
        if is_news {
            self.identity.clone_from(&complaint);
        }
        complaint.filter(|_| is_news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_is_told_once() {
        let (mut told, address) = (
            ToldTroubles::default(),
            "/ip4/127.0.0.1/tcp/1".parse::<Multiaddr>(),
        );
        let address = address.unwrap();
        assert!(told.unreachable(address.clone()).is_some());
        assert_eq!(told.unreachable(address), None);
    }

    #[test]
    fn a_complaint_is_told_when_it_changes_and_again_after_it_was_gone() {
        let mut told = ToldTroubles::default();
        let twins = || Some("two nodes have one key".to_owned());
        assert_eq!(told.identity(twins()), twins());
        assert_eq!(told.identity(twins()), None);
        assert_eq!(told.identity(None), None);
        assert_eq!(told.identity(twins()), twins());
    }
}
