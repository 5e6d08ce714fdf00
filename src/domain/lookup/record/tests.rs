use super::*;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn target() -> Hash {
    Hash::of(b"key")
}

fn begun(traces: &mut Traces<u8>, id: u8, kind: LookupKind, at: Instant) -> u64 {
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
    let number = begun(&mut traces, 1, LookupKind::Get, start);
    traces.name(&1, "head of alice/web".to_owned());
    traces.asked(&1, far, HopRequest::Get, &target(), start + ms(1));
    traces.asked(&1, silent, HopRequest::Get, &target(), start + ms(2));
    traces.answered(
        &1,
        far,
        HopAnswer::Closer,
        [near, silent].iter(),
        start + ms(11),
    );
    traces.asked(&1, near, HopRequest::Get, &target(), start + ms(12));
    traces.failed(&1, silent, HopFailure::Lost, start + ms(13));
    traces.asked(&1, late, HopRequest::Get, &target(), start + ms(13));
    assert!(traces.get(number).unwrap().is_open());
    traces.answered(&1, near, HopAnswer::Record, [far].iter(), start + ms(15));
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
    let number = begun(&mut traces, 1, LookupKind::Get, at);
    traces.asked(&1, liar, HopRequest::Get, &target(), at);
    traces.answered(&1, liar, HopAnswer::Record, [].iter(), at);
    traces.wrong(&1, Some(&liar));
    traces.end(&1, End::Exhausted, at);
    let trace = traces.get(number).unwrap();
    assert_eq!(
        (trace.state, trace.found, trace.hops[0].answer),
        (LookupState::Missing, 0, HopAnswer::Wrong)
    );
}

#[test]
fn a_dial_ends_up_where_its_answer_comes() {
    let (start, ms) = (Instant::now(), Duration::from_millis);
    let [peer] = peers();
    let mut traces = Traces::default();
    let first = begun(&mut traces, 1, LookupKind::Get, start);
    let second = begun(&mut traces, 2, LookupKind::Get, start + ms(5));
    traces.dialling(peer, start + ms(7));
    assert_eq!(
        traces.get(second).unwrap().hops.len(),
        1,
        "taken for the youngest"
    );
    traces.answered(&1, peer, HopAnswer::Closer, [].iter(), start + ms(20));
    assert!(traces.get(second).unwrap().hops.is_empty());
    let hop = traces.get(first).unwrap().hops[0].clone();
    assert_eq!(
        (hop.after_us, hop.took_us, hop.dialled),
        (7_000, Some(13_000), true)
    );
    assert_eq!(hop.answer, HopAnswer::Nothing);
}

#[test]
fn only_what_changed_is_told_again() {
    let at = Instant::now();
    let mut traces = Traces::default();
    begun(&mut traces, 1, LookupKind::Put, at);
    assert_eq!(traces.take_changes().len(), 1);
    assert!(traces.take_changes().is_empty());
    traces.end(&1, End::Exhausted, at);
    assert_eq!(traces.take_changes()[0].state, LookupState::Unanswered);
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
                Step::Begin(id) => drop(traces.begin(id, LookupKind::ALL[usize::from(id)], String::new(), target(), NOW, at)),
                Step::Ask(id, n) => traces.asked(&id, peer(n), HopRequest::Find, &target(), at),
                Step::Dial(n) => traces.dialling(peer(n), at),
                Step::Answer(id, n, what) => {
                    let answer = [HopAnswer::Closer, HopAnswer::Record, HopAnswer::Stored, HopAnswer::Providers(1)][usize::from(what)];
                    traces.answered(&id, peer(n), answer, known.iter(), at);
                }
                Step::Wrong(id, n) => traces.wrong(&id, Some(&peer(n))),
                Step::Fail(id, n) => traces.failed(&id, peer(n), HopFailure::Lost, at),
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
                prop_assert!(trace.hops.iter().all(|hop| hop.answer != HopAnswer::Waiting));
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
        traces.begin(n, LookupKind::Get, String::new(), target(), NOW, at);
        for _ in 0..if n < 2 * MAX_PAST { 1 } else { 2 * MAX_HOPS } {
            traces.asked(&n, peer, HopRequest::Get, &target(), at);
        }
        traces.end(&n, End::Exhausted, at);
        let kept = traces.list();
        assert!(kept.len() <= MAX_PAST);
        assert!(kept.iter().map(|trace| trace.hops.len()).sum::<usize>() <= MAX_PAST_HOPS);
        assert_eq!(kept[0].id as usize, n + 1, "the newest is");
    }
    assert_eq!(traces.list()[0].more_hops as usize, MAX_HOPS);
    for n in 0..2 * MAX_RUNNING {
        traces.begin(n, LookupKind::Get, String::new(), target(), NOW, at);
    }
    assert!(traces.running.len() <= MAX_RUNNING);
}
