//! Chooses the peers that this node greets. A state machine without I/O.

use libp2p::PeerId;

use crate::net::Greeting;

/// The greeting sent last.
#[derive(Default)]
pub struct Greeter(Greeting);

impl Greeter {
    /// Returns the peers to greet among those that this node dialled, each given with whether it
    /// has answered a hello. All of them are greeted if `for_all` is true or the greeting changed,
    /// else only those that have not answered.
    pub fn due(
        &mut self,
        for_all: bool,
        now: &Greeting,
        dialled: impl Iterator<Item = (PeerId, bool)>,
    ) -> Vec<PeerId> {
        let is_news = self.0 != *now;
        if is_news {
            self.0 = now.clone();
        }
        dialled
            .filter(|(_, answered)| for_all || is_news || !answered)
            .map(|(peer, _)| peer)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_go_to_all_and_else_only_silent_peers_are_asked_again() {
        let (answered, silent) = (PeerId::random(), PeerId::random());
        let dialled = || [(answered, true), (silent, false)].into_iter();
        let mut greeter = Greeter::default();
        let old = Greeting::default();
        let new = Greeting {
            packages: 1,
            ..Greeting::default()
        };
        assert_eq!(greeter.due(false, &old, dialled()), [silent]);
        assert_eq!(greeter.due(true, &old, dialled()), [answered, silent]);
        assert_eq!(greeter.due(false, &new, dialled()), [answered, silent]);
        assert_eq!(greeter.due(false, &new, dialled()), [silent], "told");
    }
}
