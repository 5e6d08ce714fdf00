//! Writing lookups down while they run, and keeping the last of them.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::Hash as Hashes,
    time::{Duration, Instant},
};

use libp2p::PeerId;

use super::{Answer, Ask, Failure, Hop, Kind, State, Trace, distance_bits, position};
use crate::domain::{hash::Hash, time::Timestamp};

/// Hops kept of a lookup; those beyond are counted. A bootstrap of a hundred nodes has as many.
pub const MAX_HOPS: usize = 128;
/// Lookups kept that have ended.
pub const MAX_PAST: usize = 200;
/// Hops kept of all of these together, half a megabyte: what two hundred lookups usually have.
const MAX_PAST_HOPS: usize = 5_000;
/// Lookups written down at once: more than may be asked for.
const MAX_RUNNING: usize = 1_024;
/// Peers of a lookup that are told from new ones.
const MAX_NAMED: usize = 1_024;

struct Running {
    trace: Trace,
    began: Instant,
    named: HashSet<PeerId>,
    /// What a provider search found, each once.
    providers: HashSet<PeerId>,
    dirty: bool,
}

impl Running {
    fn since(&self, at: Instant) -> u32 {
        micros(at.saturating_duration_since(self.began))
    }

    /// The request of a peer that has not been answered.
    fn open(&mut self, peer: &PeerId) -> Option<&mut Hop> {
        self.trace
            .hops
            .iter_mut()
            .rev()
            .find(|hop| hop.peer == *peer && hop.answer == Answer::Waiting)
    }
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

fn few(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

/// Why a lookup ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It has what it wanted.
    Enough,
    /// Nobody is left to ask.
    Exhausted,
    /// Its time was up.
    Deadline,
}

/// The lookups that run, by the id Kademlia gave them, and the last that ended.
pub struct Traces<Id> {
    running: HashMap<Id, Running>,
    /// The oldest first.
    past: VecDeque<Trace>,
    past_hops: usize,
    next: u64,
    /// Lookups that ended since the last were taken.
    untold: usize,
}

impl<Id: Copy + Eq + Hashes> Default for Traces<Id> {
    fn default() -> Self {
        Self {
            running: HashMap::new(),
            past: VecDeque::new(),
            past_hops: 0,
            next: 1,
            untold: 0,
        }
    }
}

impl<Id: Copy + Eq + Hashes> Traces<Id> {
    /// A lookup begins. What is begun already stays; `None` also when too many run.
    pub fn begin(
        &mut self,
        id: Id,
        kind: Kind,
        key: String,
        target: Hash,
        now: Timestamp,
        at: Instant,
    ) -> Option<u64> {
        if self.running.len() >= MAX_RUNNING || self.running.contains_key(&id) {
            return None;
        }
        let number = self.next;
        self.next += 1;
        let trace = Trace {
            id: number,
            kind,
            key,
            target,
            what: None,
            state: State::Running,
            found: 0,
            own: false,
            started_at: now,
            took_us: None,
            hops: Vec::new(),
            more_hops: 0,
        };
        let (named, providers) = (HashSet::new(), HashSet::new());
        self.running.insert(
            id,
            Running {
                trace,
                began: at,
                named,
                providers,
                dirty: true,
            },
        );
        Some(number)
    }

    /// Says what a lookup is for.
    pub fn name(&mut self, id: &Id, what: String) {
        if let Some(running) = self.running.get_mut(id) {
            running.trace.what = Some(what);
        }
    }

    /// The number of one that runs.
    pub fn number(&self, id: &Id) -> Option<u64> {
        self.running.get(id).map(|running| running.trace.id)
    }

    pub fn is_running(&self, id: &Id) -> bool {
        self.running.contains_key(id)
    }

    /// A request leaves; `target` is what it asks for, which a bootstrap changes as it goes.
    pub fn asked(&mut self, id: &Id, peer: PeerId, ask: Ask, target: &Hash, at: Instant) {
        self.ask(id, peer, ask, target, at, false);
    }

    /// A peer is dialled for a request. Kademlia does not say for which lookup, so it is taken for
    /// the one that knows of the peer, else for the youngest; an answer or a failure puts that
    /// right.
    pub fn dialling(&mut self, peer: PeerId, at: Instant) {
        let may = |running: &&Running| !running.trace.hops.iter().any(|hop| hop.peer == peer);
        let youngest = |named: bool| {
            let waits = self.running.iter().filter(|(_, running)| may(running));
            let waits = waits.filter(|(_, running)| !named || running.named.contains(&peer));
            waits
                .max_by_key(|(_, running)| running.trace.id)
                .map(|(id, _)| *id)
        };
        let Some(id) = youngest(true).or_else(|| youngest(false)) else {
            return;
        };
        let Some(running) = self.running.get(&id) else {
            return;
        };
        let ask = match running.trace.kind {
            Kind::Get => Ask::Get,
            Kind::Providers => Ask::Providers,
            Kind::Put | Kind::Provide | Kind::Closest | Kind::Bootstrap => Ask::Find,
        };
        let target = running.trace.target;
        self.ask(&id, peer, ask, &target, at, true);
    }

    fn ask(&mut self, id: &Id, peer: PeerId, ask: Ask, target: &Hash, at: Instant, dialled: bool) {
        let Some(running) = self.running.get_mut(id) else {
            return;
        };
        running.dirty = true;
        running.named.insert(peer);
        if running.trace.hops.len() >= MAX_HOPS {
            running.trace.more_hops = running.trace.more_hops.saturating_add(1);
            return;
        }
        // There is no answer to being told.
        let told = ask == Ask::Provide;
        if told {
            running.trace.found += 1;
        }
        let hop = Hop {
            peer,
            ask,
            bits: distance_bits(&position(&peer), target),
            after_us: running.since(at),
            took_us: None,
            dialled,
            answer: if told { Answer::Told } else { Answer::Waiting },
            closer: 0,
            new: 0,
        };
        running.trace.hops.push(hop);
    }

    /// A peer answered: what it gave besides closer peers, and these.
    pub fn answered<'a>(
        &mut self,
        id: &Id,
        peer: PeerId,
        answer: Answer,
        closer: impl ExactSizeIterator<Item = &'a PeerId>,
        at: Instant,
    ) {
        let since = self.claim(id, &peer, at);
        let Some(running) = self.running.get_mut(id) else {
            return;
        };
        running.dirty = true;
        let (count, mut new) = (closer.len(), 0);
        for peer in closer {
            if running.named.len() < MAX_NAMED && running.named.insert(*peer) {
                new += 1;
            }
        }
        match answer {
            Answer::Record | Answer::Stored => running.trace.found += 1,
            _ if matches!(running.trace.kind, Kind::Closest | Kind::Bootstrap) => {
                running.trace.found += 1
            }
            _ => {}
        }
        let Some(hop) = running.open(&peer) else {
            return;
        };
        hop.took_us = since.map(|since| since.saturating_sub(hop.after_us));
        hop.answer = if answer == Answer::Closer && count == 0 {
            Answer::Nothing
        } else {
            answer
        };
        (hop.closer, hop.new) = (few(count), new);
    }

    /// Providers that a lookup was told of.
    pub fn provided<'a>(&mut self, id: &Id, providers: impl Iterator<Item = &'a PeerId>) {
        let Some(running) = self.running.get_mut(id) else {
            return;
        };
        for peer in providers {
            if running.providers.len() < MAX_NAMED && running.providers.insert(*peer) {
                running.trace.found += 1;
                running.dirty = true;
            }
        }
    }

    /// This node has a copy of the record that is looked for.
    pub fn has_own(&mut self, id: &Id) {
        if let Some(running) = self.running.get_mut(id) {
            (running.trace.own, running.dirty) = (true, true);
        }
    }

    /// What a peer gave does not verify.
    pub fn wrong(&mut self, id: &Id, peer: Option<&PeerId>) {
        let Some(running) = self.running.get_mut(id) else {
            return;
        };
        running.dirty = true;
        let Some(peer) = peer else {
            running.trace.own = false;
            return;
        };
        let given = running
            .trace
            .hops
            .iter_mut()
            .find(|hop| hop.peer == *peer && hop.answer == Answer::Record);
        if let Some(hop) = given {
            hop.answer = Answer::Wrong;
            running.trace.found = running.trace.found.saturating_sub(1);
        }
    }

    pub fn failed(&mut self, id: &Id, peer: PeerId, why: Failure, at: Instant) {
        let since = self.claim(id, &peer, at);
        let Some(running) = self.running.get_mut(id) else {
            return;
        };
        let Some(hop) = running.open(&peer) else {
            return;
        };
        hop.took_us = since.map(|since| since.saturating_sub(hop.after_us));
        hop.answer = Answer::Failed(why);
        running.dirty = true;
    }

    /// Nobody waits for a dial of this peer any more, whichever lookup it was taken for.
    pub fn not_dialled(&mut self, peer: &PeerId) {
        for running in self.running.values_mut() {
            let before = running.trace.hops.len();
            running
                .trace
                .hops
                .retain(|hop| !(hop.peer == *peer && hop.dialled && hop.answer == Answer::Waiting));
            running.dirty |= running.trace.hops.len() < before;
        }
    }

    /// Moves a dial that was taken for another lookup's to the one that has its answer. Returns the
    /// time since that lookup began.
    fn claim(&mut self, id: &Id, peer: &PeerId, at: Instant) -> Option<u32> {
        let running = self.running.get_mut(id)?;
        let since = running.since(at);
        if running.open(peer).is_some() {
            return Some(since);
        }
        let (began, target, full) = (
            running.began,
            running.trace.target,
            running.trace.hops.len() >= MAX_HOPS,
        );
        let others = self.running.iter_mut().filter(|(other, _)| *other != id);
        let moved = others.into_iter().find_map(|(_, other)| {
            let at = other.trace.hops.iter().position(|hop| {
                hop.peer == *peer && hop.dialled && hop.answer == Answer::Waiting
            })?;
            let hop = other.trace.hops.remove(at);
            other.dirty = true;
            Some((
                other.began + Duration::from_micros(u64::from(hop.after_us)),
                hop,
            ))
        });
        if let Some((asked, hop)) = moved.filter(|_| !full)
            && let Some(running) = self.running.get_mut(id)
        {
            let after_us = micros(asked.saturating_duration_since(began));
            running.trace.hops.push(Hop {
                after_us,
                bits: distance_bits(&position(peer), &target),
                ..hop
            });
            running.trace.hops.sort_by_key(|hop| hop.after_us);
        }
        Some(since)
    }

    /// A lookup ends, once. What had not been answered is left so, with why.
    pub fn end(&mut self, id: &Id, end: End, at: Instant) {
        let Some(running) = self.running.remove(id) else {
            return;
        };
        let took = running.since(at);
        let Running { mut trace, .. } = running;
        let left = if end == End::Deadline {
            Answer::Failed(Failure::TimedOut)
        } else {
            Answer::NotAwaited
        };
        let answered = trace.hops.iter().any(|hop| hop.answer.came()) || trace.more_hops > 0;
        trace.state = match end {
            _ if trace.found > 0 || trace.own && trace.kind == Kind::Get => State::Done,
            End::Enough => State::Done,
            _ if !answered => State::Unanswered,
            End::Deadline => State::Late,
            End::Exhausted => State::Missing,
        };
        trace
            .hops
            .iter_mut()
            .filter(|hop| hop.answer == Answer::Waiting)
            .for_each(|hop| hop.answer = left);
        trace.hops.shrink_to_fit();
        trace.took_us = Some(took);
        self.past_hops += trace.hops.len();
        self.past.push_back(trace);
        while self.past.len() > MAX_PAST || self.past_hops > MAX_PAST_HOPS && self.past.len() > 1 {
            let Some(oldest) = self.past.pop_front() else {
                break;
            };
            self.past_hops -= oldest.hops.len();
        }
        self.untold = (self.untold + 1).min(self.past.len());
    }

    /// Every lookup that runs or is kept, the newest first.
    pub fn list(&self) -> Vec<Trace> {
        let running = self.running.values().map(|running| &running.trace);
        let mut all: Vec<Trace> = running.chain(&self.past).cloned().collect();
        all.sort_unstable_by_key(|trace| std::cmp::Reverse(trace.id));
        all
    }

    /// One of them by its number.
    pub fn get(&self, number: u64) -> Option<Trace> {
        let running = self.running.values().map(|running| &running.trace);
        self.past
            .iter()
            .rev()
            .chain(running)
            .find(|trace| trace.id == number)
            .cloned()
    }

    /// What changed since it was last asked for.
    pub fn take_changes(&mut self) -> Vec<Trace> {
        let ended = self
            .past
            .len()
            .saturating_sub(std::mem::take(&mut self.untold));
        let mut changed: Vec<Trace> = self.past.iter().skip(ended).cloned().collect();
        for running in self.running.values_mut().filter(|running| running.dirty) {
            running.dirty = false;
            changed.push(running.trace.clone());
        }
        changed
    }

    /// Makes the next changes contain everything: for a reader that is new.
    pub fn touch_all(&mut self) {
        self.untold = self.past.len();
        self.running
            .values_mut()
            .for_each(|running| running.dirty = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn target() -> Hash {
        Hash::of(b"key")
    }

    fn begun(traces: &mut Traces<u8>, id: u8, kind: Kind, at: Instant) -> u64 {
        traces
            .begin(id, kind, "key".to_owned(), target(), NOW, at)
            .unwrap()
    }

    fn peers<const N: usize>() -> [PeerId; N] {
        std::array::from_fn(|_| PeerId::random())
    }

    #[test]
    fn a_get_is_followed_from_peer_to_peer() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let [near, far, silent, late] = peers();
        let mut traces = Traces::default();
        let number = begun(&mut traces, 1, Kind::Get, start);
        traces.name(&1, "head of alice/web".to_owned());
        traces.asked(&1, far, Ask::Get, &target(), start + ms(1));
        traces.asked(&1, silent, Ask::Get, &target(), start + ms(2));
        traces.answered(
            &1,
            far,
            Answer::Closer,
            [near, silent].iter(),
            start + ms(11),
        );
        traces.asked(&1, near, Ask::Get, &target(), start + ms(12));
        traces.failed(&1, silent, Failure::Lost, start + ms(13));
        traces.asked(&1, late, Ask::Get, &target(), start + ms(13));
        assert!(traces.get(number).unwrap().is_open());
        traces.answered(&1, near, Answer::Record, [far].iter(), start + ms(15));
        traces.end(&1, End::Enough, start + ms(15));
        let trace = traces.get(number).unwrap();
        let said: Vec<String> = trace.hops.iter().map(Hop::said).collect();
        assert_eq!(
            said,
            [
                "2 peers, 1 new",
                "error: the connection was lost",
                "THE RECORD; 1 peer, none new",
                "not waited for"
            ]
        );
        assert_eq!(trace.hops[0].took_us, Some(10_000));
        assert_eq!((trace.word(), trace.came().as_str()), ("found", "1 copy"));
        assert_eq!(
            (trace.took_us, trace.answered(), trace.failed()),
            (Some(15_000), 2, 1)
        );
        for hop in &trace.hops {
            assert_eq!(hop.bits, distance_bits(&position(&hop.peer), &target()));
        }
    }

    #[test]
    fn what_does_not_verify_was_not_found() {
        let at = Instant::now();
        let [liar] = peers();
        let mut traces = Traces::default();
        let number = begun(&mut traces, 1, Kind::Get, at);
        traces.asked(&1, liar, Ask::Get, &target(), at);
        traces.answered(&1, liar, Answer::Record, [].iter(), at);
        traces.wrong(&1, Some(&liar));
        traces.end(&1, End::Exhausted, at);
        let trace = traces.get(number).unwrap();
        assert_eq!(
            (trace.state, trace.found, trace.hops[0].answer),
            (State::Missing, 0, Answer::Wrong)
        );
    }

    #[test]
    fn a_dial_ends_up_where_its_answer_comes() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let [peer] = peers();
        let mut traces = Traces::default();
        let first = begun(&mut traces, 1, Kind::Get, start);
        let second = begun(&mut traces, 2, Kind::Get, start + ms(5));
        traces.dialling(peer, start + ms(7));
        assert_eq!(
            traces.get(second).unwrap().hops.len(),
            1,
            "taken for the youngest"
        );
        traces.answered(&1, peer, Answer::Closer, [].iter(), start + ms(20));
        assert!(traces.get(second).unwrap().hops.is_empty());
        let hop = traces.get(first).unwrap().hops[0].clone();
        assert_eq!(
            (hop.after_us, hop.took_us, hop.dialled),
            (7_000, Some(13_000), true)
        );
        assert_eq!(hop.answer, Answer::Nothing);
    }

    #[test]
    fn only_what_changed_is_told_again() {
        let at = Instant::now();
        let mut traces = Traces::default();
        begun(&mut traces, 1, Kind::Put, at);
        assert_eq!(traces.take_changes().len(), 1);
        assert!(traces.take_changes().is_empty());
        traces.end(&1, End::Exhausted, at);
        assert_eq!(traces.take_changes()[0].state, State::Unanswered);
        assert!(traces.take_changes().is_empty());
        traces.touch_all();
        assert_eq!(traces.take_changes().len(), 1);
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Begin(u8),
        Ask(u8, u8),
        Dial(u8),
        Answer(u8, u8, u8),
        Wrong(u8, u8),
        Fail(u8, u8),
        NotDialled(u8),
        End(u8, u8),
        Take,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            2 => (0u8..4).prop_map(Step::Begin),
            6 => (0u8..4, 0u8..12).prop_map(|(id, peer)| Step::Ask(id, peer)),
            2 => (0u8..12).prop_map(Step::Dial),
            5 => (0u8..4, 0u8..12, 0u8..4).prop_map(|(id, peer, what)| Step::Answer(id, peer, what)),
            1 => (0u8..4, 0u8..12).prop_map(|(id, peer)| Step::Wrong(id, peer)),
            2 => (0u8..4, 0u8..12).prop_map(|(id, peer)| Step::Fail(id, peer)),
            1 => (0u8..12).prop_map(Step::NotDialled),
            1 => (0u8..4, 0u8..3).prop_map(|(id, end)| Step::End(id, end)),
            1 => Just(Step::Take),
        ]
    }

    proptest! {
        #[test]
        fn in_whatever_order_things_come_a_lookup_ends_once_and_stays_bounded(
            steps in proptest::collection::vec(step(), 0..800),
        ) {
            let known: [PeerId; 12] = peers();
            let peer = |n: u8| known[usize::from(n)];
            let start = Instant::now();
            let mut traces: Traces<u8> = Traces::default();
            let mut ended: HashMap<u64, Trace> = HashMap::new();
            for (n, step) in steps.into_iter().enumerate() {
                let at = start + Duration::from_micros(n as u64);
                match step {
                    Step::Begin(id) => drop(traces.begin(id, Kind::ALL[usize::from(id)], String::new(), target(), NOW, at)),
                    Step::Ask(id, n) => traces.asked(&id, peer(n), Ask::Find, &target(), at),
                    Step::Dial(n) => traces.dialling(peer(n), at),
                    Step::Answer(id, n, what) => {
                        let answer = [Answer::Closer, Answer::Record, Answer::Stored, Answer::Providers(1)][usize::from(what)];
                        traces.answered(&id, peer(n), answer, known.iter(), at);
                    }
                    Step::Wrong(id, n) => traces.wrong(&id, Some(&peer(n))),
                    Step::Fail(id, n) => traces.failed(&id, peer(n), Failure::Lost, at),
                    Step::NotDialled(n) => traces.not_dialled(&peer(n)),
                    Step::End(id, end) => {
                        let end = [End::Enough, End::Exhausted, End::Deadline][usize::from(end)];
                        let number = traces.number(&id);
                        traces.end(&id, end, at);
                        prop_assert!(traces.number(&id).is_none());
                        if let Some(trace) = number.and_then(|number| traces.get(number)) {
                            prop_assert!(ended.insert(trace.id, trace).is_none(), "it ends once");
                        }
                    }
                    Step::Take => drop(traces.take_changes()),
                }
            }
            for trace in traces.list() {
                prop_assert!(trace.hops.len() <= MAX_HOPS);
                prop_assert!(trace.hops.is_sorted_by_key(|hop| hop.after_us), "in order of time");
                prop_assert_eq!(trace.is_open(), trace.took_us.is_none());
                if let Some(then) = ended.get(&trace.id) {
                    prop_assert_eq!(then, &trace, "nothing changes after the end");
                    prop_assert!(trace.hops.iter().all(|hop| hop.answer != Answer::Waiting));
                }
            }
        }
    }

    #[test]
    fn so_many_are_kept_and_no_more() {
        let at = Instant::now();
        let [peer] = peers();
        let mut traces: Traces<usize> = Traces::default();
        for n in 0..3 * MAX_PAST {
            traces.begin(n, Kind::Get, String::new(), target(), NOW, at);
            for _ in 0..if n < 2 * MAX_PAST { 1 } else { 2 * MAX_HOPS } {
                traces.asked(&n, peer, Ask::Get, &target(), at);
            }
            traces.end(&n, End::Exhausted, at);
            let kept = traces.list();
            assert!(kept.len() <= MAX_PAST);
            assert!(kept.iter().map(|trace| trace.hops.len()).sum::<usize>() <= MAX_PAST_HOPS);
            assert_eq!(kept[0].id as usize, n + 1, "the newest is");
        }
        assert_eq!(traces.list()[0].more_hops as usize, MAX_HOPS);
        for n in 0..2 * MAX_RUNNING {
            traces.begin(n, Kind::Get, String::new(), target(), NOW, at);
        }
        assert!(traces.running.len() <= MAX_RUNNING);
    }
}
