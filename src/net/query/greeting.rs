//! Which peers this node greets, and when. A machine without I/O.

use libp2p::PeerId;

use crate::net::Greeting;

/// What was told in the last round of hellos.
#[derive(Default)]
pub struct Greeter(Greeting);

impl Greeter {
    /// The peers to greet, of those that this node dialled, each with whether it has answered a
    /// hello: all of them in a round for all and where there is something new to tell, else those
    /// that have not answered.
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
