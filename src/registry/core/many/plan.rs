//! Decides which peer is asked for which of many things. Pure.

use libp2p::PeerId;

/// A wanted thing.
#[derive(Clone, Default)]
struct Thing {
    here: bool,
    /// The peers that were asked for it, and whether each answer is outstanding.
    asked: Vec<(PeerId, bool)>,
}

impl Thing {
    fn was_asked_of(&self, peer: &PeerId) -> bool {
        self.asked.iter().any(|(asked, _)| asked == peer)
    }

    fn is_owed(&self) -> bool {
        self.asked.iter().any(|(_, open)| *open)
    }
}

/// The things by number. Each is requested from one peer after the other, and never twice from the
/// same.
pub(super) struct RequestPlan {
    things: Vec<Thing>,
    missing: usize,
}

impl RequestPlan {
    pub fn new(count: usize) -> Self {
        Self {
            things: vec![Thing::default(); count],
            missing: count,
        }
    }

    pub fn is_over(&self) -> bool {
        self.missing == 0
    }

    /// Returns up to `most` things to request from the peer: those that it was not asked for yet
    /// and that no peer owes.
    pub fn next(&mut self, peer: &PeerId, most: usize) -> Vec<usize> {
        self.hand_out(peer, most, |thing| !thing.is_owed())
    }

    /// As [`Self::next`], but of the things that other peers owe and may never supply.
    pub fn owed(&mut self, peer: &PeerId, most: usize) -> Vec<usize> {
        self.hand_out(peer, most, Thing::is_owed)
    }

    fn hand_out(
        &mut self,
        peer: &PeerId,
        most: usize,
        is_one: impl Fn(&Thing) -> bool,
    ) -> Vec<usize> {
        let is_wanted = |thing: &Thing| !thing.here && !thing.was_asked_of(peer) && is_one(thing);
        let wanted = self
            .things
            .iter_mut()
            .enumerate()
            .filter(|(_, thing)| is_wanted(thing))
            .take(most);
        wanted
            .map(|(at, thing)| {
                thing.asked.push((*peer, true));
                at
            })
            .collect()
    }

    /// Returns true if the peer can be asked for anything, now or once other peers fail to supply
    /// what they owe.
    pub fn has_work(&self, peer: &PeerId) -> bool {
        self.things
            .iter()
            .any(|thing| !thing.here && !thing.was_asked_of(peer))
    }

    /// Notes that a thing has arrived.
    pub fn got(&mut self, at: usize) {
        if let Some(thing) = self.things.get_mut(at).filter(|thing| !thing.here) {
            thing.here = true;
            self.missing -= 1;
        }
    }

    /// Notes that a peer supplies no more of these.
    pub fn answered(&mut self, peer: &PeerId, things: &[usize]) {
        for at in things {
            let asked = self
                .things
                .get_mut(*at)
                .into_iter()
                .flat_map(|thing| &mut thing.asked);
            asked
                .filter(|(asked, _)| asked == peer)
                .for_each(|(_, open)| *open = false);
        }
    }

    /// Notes that a busy peer may be asked for these again.
    pub fn put_off(&mut self, peer: &PeerId, things: &[usize]) {
        for at in things {
            if let Some(thing) = self.things.get_mut(*at) {
                thing.asked.retain(|(asked, _)| asked != peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_one_owes_is_asked_of_another_only_as_that() {
        let (silent, good) = (PeerId::random(), PeerId::random());
        let mut plan = RequestPlan::new(3);
        assert_eq!(plan.next(&silent, 2), [0, 1]);
        assert_eq!(plan.next(&good, 2), [2]);
        assert_eq!(plan.next(&good, 2), [0; 0]);
        assert!(plan.has_work(&good));
        assert_eq!(plan.owed(&good, 2), [0, 1]);
        assert!(!plan.has_work(&good));
        (0..3).for_each(|at| plan.got(at));
        assert!(plan.is_over() && !plan.has_work(&silent));
    }

    #[test]
    fn who_is_busy_is_asked_again() {
        let peer = PeerId::random();
        let mut plan = RequestPlan::new(2);
        assert_eq!(plan.next(&peer, 2), [0, 1]);
        plan.put_off(&peer, &[0, 1]);
        assert_eq!(plan.next(&peer, 2), [0, 1]);
        plan.answered(&peer, &[0, 1]);
        assert_eq!(
            (plan.next(&peer, 2), plan.has_work(&peer)),
            (Vec::new(), false),
            "it has neither"
        );
    }

    proptest! {
        #[test]
        fn one_that_has_all_gives_all_whatever_others_do(
            count in 1usize..200,
            steps in proptest::collection::vec((0usize..4, 0u8..4, 1usize..20), 0..100),
        ) {
            let mut plan = RequestPlan::new(count);
            let peers: Vec<PeerId> = (0..4).map(|_| PeerId::random()).collect();
            let mut times: HashMap<(PeerId, usize), usize> = HashMap::new();
            for (who, what, most) in steps {
                let peer = &peers[who];
                let things = if what == 3 { plan.owed(peer, most) } else { plan.next(peer, most) };
                prop_assert!(things.len() <= most);
                for at in &things {
                    *times.entry((*peer, *at)).or_default() += 1;
                }
                match what {
                    // It has every second one of them.
                    1 => {
                        things.iter().filter(|at| **at % 2 == 0).for_each(|at| plan.got(*at));
                        plan.answered(peer, &things);
                    }
                    2 => {
                        things.iter().for_each(|at| { times.remove(&(*peer, *at)); });
                        plan.put_off(peer, &things);
                    }
                    // It never answers.
                    _ => {}
                }
            }
            prop_assert!(times.values().all(|times| *times == 1), "nobody is asked twice for one thing");
            let seed = PeerId::random();
            while !plan.is_over() {
                prop_assert!(plan.has_work(&seed));
                let mut things = plan.next(&seed, 7);
                if things.is_empty() {
                    things = plan.owed(&seed, 7);
                }
                prop_assert!(!things.is_empty());
                things.iter().for_each(|at| plan.got(*at));
                plan.answered(&seed, &things);
            }
        }
    }
}
