use std::net::Ipv4Addr;

use proptest::prelude::*;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;
use crate::domain::allowance::Allowance;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const BAN_TIME: Duration = Duration::from_secs(1_800);

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn ledger() -> PenaltyLedger {
    PenaltyLedger::new([], BAN_TIME, NOW)
}

#[test]
fn silences_fade_like_everything_else_and_a_right_answer_makes_up_for_no_more() {
    let (mut ledger, peer) = (ledger(), PeerId::random());
    ledger.note(peer, PeerFault::ForgedRecord, None, &[], NOW);
    for _ in 0..4 {
        ledger.note(peer, PeerFault::Stalling, None, &[], NOW);
    }
    let later = NOW.after(DECAYS_AFTER + HALF_LIFE);
    assert!(ledger.amend(&peer, later));
    assert_eq!(
        ledger.sheet(&peer).unwrap().points(later).round(),
        25.0,
        "half of the forged record's 50"
    );
}

#[test]
fn who_makes_room_is_told_of_and_what_a_person_said_stays() {
    let kept = PeerId::random();
    let mut ledger = ledger();
    ledger.apply(kept, Ruling::Protect, NOW);
    for _ in 0..MAX_PEERS {
        ledger.note(PeerId::random(), PeerFault::Stalling, None, &[], NOW);
    }
    assert_eq!(ledger.settle(NOW).len(), 1, "one was too many");
    let all: Vec<(PeerId, PenaltyRecord)> = ledger
        .all()
        .map(|(peer, sheet)| (*peer, sheet.clone()))
        .collect();
    let more = (0..9).map(|_| {
        (
            PeerId::random(),
            PenaltyRecord {
                points: 90.0,
                at: NOW,
                ..PenaltyRecord::default()
            },
        )
    });
    let mut again = PenaltyLedger::new(more.chain(all), BAN_TIME, NOW);
    assert!(again.is_protected(&kept));
    assert_eq!(
        (again.all().count(), again.settle(NOW).len()),
        (MAX_PEERS, 9)
    );
}

fn until_banned(
    ledger: &mut PenaltyLedger,
    peer: PeerId,
    prefix: Option<Prefix>,
    now: Timestamp,
) -> PeerBan {
    (0..20)
        .find_map(
            |_| match ledger.note(peer, PeerFault::ForgedRecord, prefix, &[], now) {
                Penalty::Ban(ban) => Some(ban),
                _ => None,
            },
        )
        .unwrap()
}

#[test]
fn faults_disconnect_then_ban_then_are_forgiven_and_the_next_ban_is_longer() {
    let (mut ledger, liar) = (ledger(), PeerId::random());
    let sentences: Vec<Penalty> = (0..4)
        .map(|_| ledger.note(liar, PeerFault::WrongAnswer, None, &[], NOW))
        .collect();
    let ban = PeerBan {
        by: BanOrigin::Points,
        since: NOW,
        until: Some(NOW.after(BAN_TIME)),
    };
    let expected = [
        Penalty::Noted,
        Penalty::Noted,
        Penalty::Disconnect,
        Penalty::Ban(ban),
    ];
    assert_eq!(sentences, expected);
    assert_eq!(
        ledger.note(liar, PeerFault::WrongAnswer, None, &[], NOW),
        Penalty::Noted,
        "banned already"
    );
    assert_eq!(
        ledger.ban(&liar, NOW.after(BAN_TIME - seconds(1))),
        Some(ban)
    );
    let later = NOW.after(BAN_TIME);
    assert_eq!(ledger.ban(&liar, later), None);
    assert!(
        ledger.sheet(&liar).unwrap().points(later) < DISCONNECT,
        "forgiven, mostly"
    );
    let second = until_banned(&mut ledger, liar, None, later);
    assert_eq!(second.until, Some(later.after(2 * BAN_TIME)));
}

#[test]
fn a_person_has_the_last_word() {
    let (mut ledger, peer) = (ledger(), PeerId::random());
    assert!(ledger.apply(peer, Ruling::Ban { seconds: None }, NOW));
    assert!(
        ledger.ban(&peer, NOW.after(seconds(1 << 30))).is_some(),
        "for good"
    );
    assert!(ledger.apply(peer, Ruling::Unban, NOW) && !ledger.apply(peer, Ruling::Unban, NOW));
    until_banned(&mut ledger, peer, None, NOW);
    assert!(ledger.apply(peer, Ruling::Protect, NOW) && !ledger.apply(peer, Ruling::Protect, NOW));
    assert_eq!(ledger.ban(&peer, NOW), None);
    let noted = (0..50)
        .all(|_| ledger.note(peer, PeerFault::HashMismatch, None, &[], NOW) == Penalty::Noted);
    assert!(noted, "whatever it does");
    ledger.apply(peer, Ruling::Ban { seconds: Some(5) }, NOW);
    assert!(!ledger.is_protected(&peer), "the later word");
}

#[test]
fn a_public_prefix_is_doubtful_after_three_identities_and_a_private_one_never() {
    let mut ledger = ledger();
    let public = Prefix::of(Ipv4Addr::new(81, 2, 69, 1).into());
    let (first, second, third) = (PeerId::random(), PeerId::random(), PeerId::random());
    until_banned(&mut ledger, first, public, NOW);
    until_banned(&mut ledger, second, public, NOW.after(seconds(10)));
    assert!(ledger.doubtful(NOW.after(seconds(10))).is_empty());
    until_banned(&mut ledger, third, public, NOW.after(seconds(20)));
    let now = NOW.after(seconds(20));
    let opens = NOW.after(BAN_TIME);
    assert_eq!(
        ledger.doubtful(now).into_iter().collect::<Vec<_>>(),
        [(public.unwrap(), opens)]
    );
    assert!(
        ledger.doubtful(opens).is_empty(),
        "with the first of the three"
    );
    for _ in 0..10 {
        until_banned(&mut ledger, PeerId::random(), None, now);
    }
    assert_eq!(ledger.doubtful(now).len(), 1);
    ledger.apply(third, Ruling::Unban, now);
    assert!(ledger.doubtful(now).is_empty());
}

/// Simulates a bad day of an honest node as another sees it that pings it every 15 s and sends it
/// requests: it hangs every hour or two for up to a minute and a half, a request is lost now and
/// then, its memory flips a bit once a week, and after a cut it forwards what it missed. Returns
/// the most points it had.
fn honest_day(seed: u64) -> f64 {
    let (mut dice, peer) = (StdRng::seed_from_u64(seed), PeerId::random());
    let (mut ledger, mut allowance, mut worst) = (ledger(), Allowance::received(NOW), 0.0f64);
    let mut hangs_until = NOW;
    for ping in 0..86_400 / 15 {
        let now = NOW.after(seconds(ping * 15));
        if dice.random_ratio(1, 400) && now.since(hangs_until) > seconds(120) {
            hangs_until = now.after(seconds(dice.random_range(1..=90)));
        }
        let asked = dice.random_bool(0.5);
        if now < hangs_until && dice.random_bool(0.9) || asked && dice.random_ratio(1, 200) {
            ledger.note(peer, PeerFault::Stalling, None, &[], now);
        } else if asked && now >= hangs_until {
            ledger.amend(&peer, now);
        }
        if dice.random_ratio(1, 40_000) {
            ledger.note(peer, PeerFault::HashMismatch, None, &[], now);
        }
        if dice.random_ratio(1, 1_000) {
            for _ in 0..dice.random_range(50..500) {
                if !allowance.take(now) {
                    ledger.note(peer, PeerFault::Flooding, None, &[], now);
                }
            }
        }
        assert_eq!(ledger.ban(&peer, now), None, "seed {seed}");
        worst = worst.max(ledger.sheet(&peer).map_or(0.0, |sheet| sheet.points(now)));
    }
    worst
}

#[test]
fn an_honest_node_is_never_banned() {
    let worst = (0..1_000).map(honest_day).fold(0.0, f64::max);
    assert!(
        (DISCONNECT..BAN).contains(&worst),
        "it is tried hard: {worst}"
    );
}

/// `n` peers, each behind a public prefix of its own.
fn peers(n: u8) -> Vec<(PeerId, Option<Prefix>)> {
    (0..n)
        .map(|n| {
            (
                PeerId::random(),
                Prefix::of(Ipv4Addr::new(81, 2, n, 1).into()),
            )
        })
        .collect()
}

#[test]
fn a_rule_bans_no_more_than_a_third_of_ones_peers_and_the_others_are_doubted() {
    let (mut ledger, peers) = (ledger(), peers(9));
    let mut sentences = Vec::new();
    for (peer, prefix) in &peers {
        let last = (0..4)
            .map(|_| ledger.note(*peer, PeerFault::WrongAnswer, *prefix, &peers, NOW))
            .last()
            .unwrap();
        sentences.push(last);
    }
    let banned = sentences
        .iter()
        .filter(|sentence| matches!(sentence, Penalty::Ban(_)))
        .count();
    let spared = sentences
        .iter()
        .filter(|sentence| **sentence == Penalty::Spared)
        .count();
    assert_eq!((banned, spared), (3, 6));
    assert_eq!(ledger.doubted(NOW).len(), 6);
    let told = ledger.sheet(&peers[8].0).unwrap().describe(NOW);
    assert!(told.contains("counted in no quorum"), "{told}");
    // Faults that rest on bytes made or altered by the peer itself have no share.
    for (peer, prefix) in &peers {
        for _ in 0..2 {
            ledger.note(*peer, PeerFault::ForgedRecord, *prefix, &peers, NOW);
        }
        assert!(ledger.ban(peer, NOW).is_some());
    }
    let later = NOW.after(SHARE_WINDOW);
    assert!(ledger.doubted(later).is_empty(), "for an hour");
}

#[test]
fn one_may_always_be_banned_and_what_is_behind_one_prefix_is_one() {
    let (mut ledger, prefix) = (ledger(), Prefix::of(Ipv4Addr::new(81, 2, 69, 1).into()));
    let liars: Vec<PeerId> = (0..4).map(|_| PeerId::random()).collect();
    for liar in &liars {
        for _ in 0..4 {
            ledger.note(*liar, PeerFault::WrongAnswer, prefix, &[], NOW);
        }
        assert!(ledger.ban(liar, NOW).is_some());
    }
    let honest = PeerId::random();
    for _ in 0..4 {
        ledger.note(honest, PeerFault::WrongAnswer, None, &[], NOW);
    }
    assert!(ledger.ban(&honest, NOW).is_none() && ledger.doubted(NOW).contains(&honest));
    assert!(
        ledger.apply(honest, Ruling::Unban, NOW) && ledger.doubted(NOW).is_empty(),
        "a person knows better"
    );
}

#[test]
fn faults_by_a_rule_make_up_for_no_other() {
    let (mut ledger, framed) = (ledger(), PeerId::random());
    let peers: Vec<_> = (0..9)
        .map(|_| (PeerId::random(), None))
        .chain([(framed, None)])
        .collect();
    for _ in 0..3 {
        ledger.note(framed, PeerFault::WrongAnswer, None, &peers, NOW);
    }
    assert_eq!(
        ledger.note(framed, PeerFault::Flooding, None, &peers, NOW),
        Penalty::Disconnect,
        "100 points, 25 its own"
    );
    assert!(ledger.ban(&framed, NOW).is_none());
    let last = (0..3)
        .map(|_| ledger.note(framed, PeerFault::Flooding, None, &peers, NOW))
        .last();
    assert!(matches!(last, Some(Penalty::Ban(_))), "{last:?}");
}

proptest! {
    #[test]
    fn whatever_is_signed_by_others_most_of_ones_peers_stay(
        faults in prop::collection::vec((0usize..12, 0usize..2, 0u64..120), 0..200), alone in any::<bool>(),
    ) {
        let mut ledger = ledger();
        let all = if alone { peers(12).into_iter().map(|(peer, _)| (peer, None)).collect() } else { peers(12) };
        let mut now = NOW;
        for (who, kind, pause) in faults {
            now = now.after(seconds(pause));
            let (peer, prefix) = all[who];
            ledger.note(peer, [PeerFault::WrongAnswer, PeerFault::UnfitRecord][kind], prefix, &all, now);
            for fault in [PeerFault::WrongAnswer, PeerFault::UnfitRecord] {
                let lately = |sheet: &&PenaltyRecord| {
                    sheet.by_rule == Some(fault) && sheet.ban.is_some_and(|ban| now.since(ban.since) < SHARE_WINDOW)
                };
                let banned = all.iter().filter_map(|(peer, _)| ledger.sheet(peer)).filter(lately).count();
                prop_assert!(banned <= all.len() / SHARE, "{banned}");
            }
        }
    }

    #[test]
    fn points_are_bounded_fade_and_a_ban_always_ends(
        faults in proptest::collection::vec((0usize..5, 0u64..2_000), 1..100),
    ) {
        let (mut ledger, peer, mut now) = (ledger(), PeerId::random(), NOW);
        for (kind, later) in faults {
            now = now.after(seconds(later));
            let before = ledger.sheet(&peer).map_or(0.0, |sheet| sheet.points(now));
            let sentence = ledger.note(peer, PeerFault::ALL[kind], None, &[], now);
            let sheet = ledger.sheet(&peer).unwrap();
            // Points by a rule and other points are bounded separately.
            prop_assert!(sheet.points(now) <= 2.0 * (BAN + 50.0) && sheet.log.len() <= KEPT);
            prop_assert!(sheet.points(now) > before || before > BAN);
            if let Penalty::Ban(ban) = sentence {
                prop_assert!(ban.until.unwrap().since(now) <= LONGEST_BAN);
            }
        }
        let much_later = now.after(3 * LONGEST_BAN);
        prop_assert_eq!(ledger.ban(&peer, much_later), None);
        prop_assert_eq!(ledger.settle(much_later), vec![peer]);
    }
}

#[test]
fn the_ledger_is_bounded_and_keeps_what_people_said() {
    let (mut ledger, friend) = (ledger(), PeerId::random());
    ledger.apply(friend, Ruling::Protect, NOW);
    for _ in 0..MAX_PEERS + 10 {
        ledger.note(PeerId::random(), PeerFault::Stalling, None, &[], NOW);
    }
    assert_eq!(ledger.all().count(), MAX_PEERS);
    assert!(ledger.is_protected(&friend));
}
