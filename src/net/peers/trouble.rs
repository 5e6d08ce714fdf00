//! What a person is told once and not at every look: bootstrap peers that cannot be reached, and
//! what is wrong with identities. A machine without I/O.

use std::collections::HashSet;

use libp2p::Multiaddr;

/// What a person was told.
#[derive(Default)]
pub struct Told {
    unreachable: HashSet<Multiaddr>,
    identity: Option<String>,
}

impl Told {
    /// Returns the sentence about a bootstrap address that cannot be reached, the first time.
    pub fn unreachable(&mut self, address: Multiaddr) -> Option<String> {
        let text = format!(
            "the bootstrap peer {address} cannot be reached; check that it runs, and the address; trying on"
        );
        self.unreachable.insert(address).then_some(text)
    }

    /// Returns a complaint about identities when it is another one than last time.
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
        let (mut told, address) = (Told::default(), "/ip4/127.0.0.1/tcp/1".parse::<Multiaddr>());
        let address = address.unwrap();
        assert!(told.unreachable(address.clone()).is_some());
        assert_eq!(told.unreachable(address), None);
    }

    #[test]
    fn a_complaint_is_told_when_it_changes_and_again_after_it_was_gone() {
        let mut told = Told::default();
        let twins = || Some("two nodes have one key".to_owned());
        assert_eq!(told.identity(twins()), twins());
        assert_eq!(told.identity(twins()), None);
        assert_eq!(told.identity(None), None);
        assert_eq!(told.identity(twins()), twins());
    }
}
