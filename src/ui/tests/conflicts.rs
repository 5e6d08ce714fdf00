//! Tests of conflicts: the notice, both sides on screen, and the actions.

use super::*;
use crate::domain::conflict::{Case, ConflictId, ConflictList, ConflictSide, InForce, Kind};

fn side(n: u8, byte: u8, trust: Trust) -> ConflictSide {
    ConflictSide {
        publisher: publisher(n),
        trust,
        hash: Hash([byte; 32]),
        seq: Some(u64::from(byte)),
        signed_at: Some(NOW.before(seconds(u64::from(100 - byte) * 60))),
        since: None,
        package: None,
        held: true,
        manifest: true,
    }
}

fn changed() -> Case {
    Case {
        id: ConflictId([0xa1; 16]),
        kind: Kind::Version,
        handle: Some("alice".parse().unwrap()),
        package: Some("parser".parse().unwrap()),
        version: Some("2.1.0".parse().unwrap()),
        file: None,
        sides: vec![side(1, 7, Trust::Pinned), side(1, 9, Trust::Pinned)],
        more: 0,
        in_force: InForce::FirstSeen,
        seen_at: NOW.before(seconds(130)),
    }
}

fn one_sided() -> Case {
    let first = ConflictSide {
        seq: None,
        signed_at: None,
        held: false,
        manifest: false,
        ..side(4, 3, Trust::Distrusted)
    };
    Case {
        id: ConflictId([0xb2; 16]),
        handle: None,
        sides: vec![first, side(4, 5, Trust::Distrusted)],
        seen_at: NOW.before(seconds(9_000)),
        ..changed()
    }
}

fn fork(settled: bool) -> Case {
    Case {
        id: ConflictId([if settled { 0xc3 } else { 0xc4 }; 16]),
        kind: Kind::Fork,
        handle: Some("bob".parse().unwrap()),
        version: None,
        file: None,
        sides: vec![side(2, 4, Trust::Unknown), side(2, 4, Trust::Unknown)],
        in_force: if settled {
            InForce::Superseded
        } else {
            InForce::Preferred
        },
        seen_at: NOW.before(seconds(if settled { 500 } else { 40 })),
        ..changed()
    }
}

fn handle() -> Case {
    let claim = |n: u8| ConflictSide {
        package: Some("tool".parse().unwrap()),
        manifest: false,
        ..side(n, n, Trust::Unknown)
    };
    Case {
        id: ConflictId([0xd5; 16]),
        kind: Kind::Handle,
        handle: Some("carol".parse().unwrap()),
        package: None,
        version: None,
        file: None,
        sides: vec![claim(5), claim(6), claim(7)],
        more: 0,
        in_force: InForce::Nobody,
        seen_at: NOW.before(seconds(3_000)),
    }
}

fn tell(model: &mut Model, cases: Vec<Case>, forgotten: u64) {
    let known = ConflictList { cases, forgotten };
    update::on_message(model, EffectResult::Conflicts(Box::new(Ok(known))), NOW);
}

pub fn none(size: (u16, u16)) -> Model {
    let mut model = full(size);
    press(&mut model, "9");
    tell(&mut model, vec![], 0);
    model
}

pub fn on_conflicts(size: (u16, u16)) -> Model {
    let mut model = none(size);
    tell(
        &mut model,
        vec![fork(false), changed(), fork(true), handle(), one_sided()],
        3,
    );
    update::settle(&mut model);
    model
}

fn on(size: (u16, u16), case: &Case) -> Model {
    let mut model = on_conflicts(size);
    model.conflicts.table.selection.selected = Some(case.id);
    model
}

fn opened(size: (u16, u16), case: &Case) -> Model {
    let mut model = on(size, case);
    press_code(&mut model, KeyCode::Enter);
    model
}

pub fn opened_version(size: (u16, u16)) -> Model {
    opened(size, &changed())
}

pub fn opened_handle(size: (u16, u16)) -> Model {
    opened(size, &handle())
}

pub fn asked_to_distrust(size: (u16, u16)) -> Model {
    let mut model = opened(size, &changed());
    press(&mut model, "x");
    model
}

pub fn exporting(size: (u16, u16)) -> Model {
    let mut model = opened(size, &changed());
    press(&mut model, "e");
    model
}

#[test]
fn they_are_asked_for_when_shown_again_and_when_another_is_refused() {
    let mut model = full((100, 30));
    model.running = true;
    assert_eq!(press(&mut model, "9"), [Effect::Conflicts]);
    assert_eq!(press(&mut model, "R"), [Effect::Conflicts]);
    assert_eq!(update::on_tick(&mut model, NOW), [Effect::Conflicts]);
    assert_eq!(update::on_tick(&mut model, NOW.after(seconds(1))), []);
    let counters = Counters {
        refused: [(Refusal::Conflict, 1)].into(),
        ..Counters::default()
    };
    model.apply(
        Batch {
            counters: Some(counters),
            events: 1,
            ..Batch::default()
        },
        NOW.after(seconds(1)),
    );
    assert_eq!(
        update::on_tick(&mut model, NOW.after(seconds(2))),
        [Effect::Conflicts]
    );
    assert_eq!(update::on_tick(&mut model, NOW.after(seconds(3))), []);
    assert_eq!(
        update::on_tick(&mut model, NOW.after(seconds(8))),
        [Effect::Conflicts]
    );
    let seen = Batch {
        conflicts: vec![changed()],
        events: 1,
        ..Batch::default()
    };
    model.apply(seen, NOW.after(seconds(8)));
    assert!(
        picture(&model)
            .contains("changed by its publisher and refused: alice/parser 2.1.0 (details: 9)")
    );
    assert_eq!(
        update::on_tick(&mut model, NOW.after(seconds(9))),
        [Effect::Conflicts],
        "one was told"
    );
    press(&mut model, "1");
    assert_eq!(
        update::on_tick(&mut model, NOW.after(seconds(60))),
        [],
        "nobody looks"
    );
}

#[test]
fn the_open_come_first_and_both_sides_are_shown() {
    let model = on_conflicts((160, 50));
    let order: Vec<ConflictId> = [
        &fork(false),
        &changed(),
        &handle(),
        &fork(true),
        &one_sided(),
    ]
    .map(|c| c.id)
    .into();
    assert_eq!(model.conflicts.table.rows(), order);
    assert!(picture(&model).contains("3 older ones dropped"));
    let text = picture(&opened((80, 60), &changed()));
    for part in [
        "Seen first: in force",
        "Seen later: refused",
        "What to do",
        "fingerprint",
        &"07".repeat(16),
        &"09".repeat(16),
    ] {
        assert!(
            text.to_lowercase().contains(&part.to_lowercase()),
            "{part} is missing: {text}"
        );
    }
    let text = picture(&opened((80, 60), &one_sided()));
    assert!(
        text.contains("one-sided") && text.contains("no longer on this node"),
        "{text}"
    );
}

#[test]
fn trust_and_distrust_are_confirmed_and_name_the_key_that_was_chosen() {
    let mut model = on((100, 40), &handle());
    assert_eq!(press(&mut model, "nt"), []);
    let text = picture(&model);
    assert!(
        text.contains(&publisher(6).fingerprint()) && text.contains("carol"),
        "{text}"
    );
    let effects = press(&mut model, "y");
    let [
        Effect::Trust {
            publisher: key,
            handle: Some(called),
            what,
        },
    ] = effects.as_slice()
    else {
        panic!("{effects:?}")
    };
    assert_eq!((*key, called.as_str()), (publisher(6), "carol"));
    let said = EffectResult::Trust {
        what: what.clone(),
        publisher: *key,
        handle: Some(called.clone()),
        trust: Trust::Pinned,
        result: Box::new(Ok(())),
    };
    assert_eq!(
        update::on_message(&mut model, said, NOW),
        [Effect::Conflicts]
    );
    assert!(picture(&model).contains("carol now means"));

    let mut model = on((100, 40), &changed());
    press(&mut model, "t");
    assert!(model.popups.is_empty() && picture(&model).contains("pinned already"));
    press(&mut model, "xn");
    assert!(model.popups.is_empty(), "no changes nothing");
    press(&mut model, "x");
    let effects = press(&mut model, "y");
    assert!(
        matches!(effects.as_slice(), [Effect::Distrust { publisher: key, .. }] if *key == publisher(1))
    );
    let mut model = on((100, 40), &one_sided());
    press(&mut model, "t");
    let effects = press(&mut model, "y");
    assert!(
        matches!(effects.as_slice(), [Effect::Trust { handle: None, .. }]),
        "{effects:?}"
    );
}

#[test]
fn evidence_is_written_to_a_file_that_is_named_or_said_to_be_one_sided() {
    let mut model = exporting((100, 40));
    let effects = press_code(&mut model, KeyCode::Enter);
    let path = format!("conflict-{}.json", changed().id.short());
    assert_eq!(
        effects,
        [Effect::ExportEvidence {
            path: path.clone(),
            id: changed().id
        }]
    );
    let failed = EffectResult::ExportedEvidence {
        path: path.clone(),
        result: Err("it is there already".to_owned()),
    };
    update::on_message(&mut model, failed, NOW);
    assert!(picture(&model).contains("it is there already"));
    update::on_message(
        &mut model,
        EffectResult::ExportedEvidence {
            path,
            result: Ok(()),
        },
        NOW,
    );
    assert!(
        model.window::<ConflictWindow>().is_some(),
        "back to what it is about"
    );
    assert!(picture(&model).contains("swarmdex conflict verify"));
    let mut model = on((100, 40), &one_sided());
    press(&mut model, "e");
    assert!(model.popups.is_empty() && picture(&model).contains("prove nothing"));
}
