//! Handles that several keys claim, and peers that lied: what every list and window says of them.

use super::{
    search::answer_hits,
    transfers::{finished, tell},
    *,
};
use crate::{
    domain::{name::Handle, reputation::LIAR_CAP, transfer::Transfer},
    registry::OwnPackages,
    ui::{model::peers::lied, theme::Depth},
};

fn carol() -> Handle {
    "carol".parse().unwrap()
}

/// Two keys that use one handle, with a node and an announcement each.
fn contested(size: (u16, u16)) -> Model {
    let mut model = model(size);
    let owned = |n: u8| PeerSnapshot {
        owner: Some(NodeOwner {
            publisher: publisher(n),
            handle: carol(),
        }),
        ..peer(n)
    };
    let one = |n: u8| ReceivedAnnouncement {
        handle: Some(carol()),
        trust: Trust::Unknown,
        ..announced(n, 1)
    };
    model.apply(
        Batch {
            node: Some(node(2)),
            peers: vec![owned(1), owned(2), peer(5)],
            announcements: vec![one(1), one(2), announced(4, 1)],
            events: 6,
            ..Batch::default()
        },
        NOW,
    );
    update::settle(&mut model);
    model
}

fn signs(model: &Model) -> [bool; 2] {
    let picture = picture(model);
    [1, 2].map(|n| picture.contains(&format!("! {}", publisher(n).fingerprint())))
}

#[test]
fn a_contested_handle_is_signed_on_every_row_with_its_fingerprint() {
    for size in [(80, 24), (120, 36), (200, 60)] {
        let mut model = contested(size);
        assert_eq!(signs(&model), [true, true], "{size:?} {}", picture(&model));
        press(&mut model, "3");
        assert_eq!(signs(&model), [true, true], "{size:?} {}", picture(&model));
        let alone = format!("! {}", publisher(4).fingerprint());
        assert!(
            !picture(&model).contains(&alone),
            "nobody else claims that one"
        );
        press(&mut model, "4");
        answer_hits(&mut model, &[(1, carol()), (2, carol())]);
        assert_eq!(signs(&model), [true, true], "{size:?} {}", picture(&model));
    }
    // The sign is text, so that it needs no colour.
    let model = contested((80, 24));
    let look = FrameLook {
        themes: Themes::load("dark", None, Depth::None).unwrap(),
        ascii: true,
    };
    let mut surface = Memory::new(model.size);
    surface.draw(|frame| look.draw(frame, &model)).unwrap();
    let text = surface.0.backend().to_string();
    assert!(
        text.contains(&format!("! {}", publisher(1).fingerprint())),
        "{text}"
    );
}

#[test]
fn a_transfer_of_a_contested_handle_is_signed_until_the_handle_is_pinned() {
    let mut model = contested((120, 36));
    let what = format!("carol/tool ({}) 1.0.0", publisher(2).fingerprint());
    let transfer = Transfer {
        what: what.clone(),
        ..finished(1)
    };
    tell(&mut model, vec![transfer]);
    press(&mut model, "6");
    assert!(
        picture(&model).contains("! carol/tool"),
        "{}",
        picture(&model)
    );
    assert_eq!(model.signed_title("carol/tool 1.0.0"), "carol/tool 1.0.0");
    assert_eq!(
        model.signed_title("other/tool (x) 1.0.0"),
        "other/tool (x) 1.0.0"
    );
}

#[test]
fn looking_pins_nothing_and_a_pin_clears_the_sign_of_one_key_only() {
    let mut model = contested((120, 36));
    press(&mut model, "3");
    for keys in ["j", "k", "g", "G"] {
        assert_eq!(press(&mut model, keys), []);
    }
    let effects = press_code(&mut model, KeyCode::Enter);
    assert!(
        matches!(effects.as_slice(), [Effect::GetPackage { .. }]),
        "{effects:?}"
    );
    press_code(&mut model, KeyCode::Esc);
    assert_eq!(signs(&model), [true, true]);
    let pinned = EffectResult::Trust {
        what: String::new(),
        publisher: publisher(1),
        handle: Some(carol()),
        trust: Trust::Pinned,
        result: Box::new(Ok(())),
    };
    update::on_message(&mut model, pinned, NOW);
    assert_eq!(signs(&model), [false, true], "{}", picture(&model));
}

#[test]
fn the_window_says_what_is_true_for_this_key() {
    let shown = |owner: u8, trust| {
        let mut model = contested((120, 50));
        press(&mut model, "3");
        let effects = press_code(&mut model, KeyCode::Enter);
        let Some(Effect::GetPackage { generation, .. }) = effects.first() else {
            panic!("{effects:?}")
        };
        let package = Package {
            id: package_id(owner, "tool"),
            handle: Some(carol()),
            trust,
            ..package()
        };
        let found = EffectResult::Package {
            generation: *generation,
            result: Box::new(Ok(package)),
        };
        update::on_message(&mut model, found, NOW);
        model
    };
    let unpinned = picture(&shown(1, Trust::Unknown));
    assert!(
        unpinned.contains("! contested: another key claims it"),
        "{unpinned}"
    );
    let pinned = picture(&shown(1, Trust::Pinned));
    assert!(pinned.contains("the handle means this key"), "{pinned}");
    assert!(!pinned.contains("contested"), "{pinned}");
    let mut own = shown(1, Trust::Own);
    let text = picture(&own);
    assert!(
        text.contains("your own key; another key claims it too"),
        "{text}"
    );
    assert_eq!(press(&mut own, "t"), [], "one's own key is not asked about");
    assert!(own.window::<ConfirmWindow>().is_none());
}

#[test]
fn ones_own_handle_is_not_contested_for_oneself() {
    let mut model = contested((120, 36));
    let own = crate::ui::tests::publish::own_of(1, carol());
    let packages = OwnPackages {
        publisher: Some(publisher(1)),
        key: "key".into(),
        packages: vec![own],
    };
    update::on_message(&mut model, EffectResult::Own(Box::new(Ok(packages))), NOW);
    assert_eq!(signs(&model), [false, true]);
}

fn with_liar(size: (u16, u16)) -> Model {
    let mut model = full(size);
    let mut liar = peer(7);
    liar.basis.lies = 2;
    liar.score.total = LIAR_CAP;
    liar.evidence.push(PeerEvidence::new(
        Outcome::ContentWrong,
        NOW.before(seconds(5)),
    ));
    assert!(lied(&liar) && !lied(&peer(7)));
    let batch = Batch {
        peers: vec![liar],
        events: 1,
        ..Batch::default()
    };
    model.apply(batch, NOW);
    let mut transfer = finished(3);
    transfer.peers[0].peer = peer_id(7);
    transfer.peers[0].part = crate::domain::transfer::Part::Lied;
    tell(&mut model, vec![transfer]);
    update::settle(&mut model);
    model
}

#[test]
fn a_liar_is_said_in_its_state_at_every_size() {
    for size in [(40, 12), (80, 24), (120, 36), (200, 60)] {
        let mut model = with_liar(size);
        let text = picture(&model);
        let row = text.lines().find(|line| line.contains("✗ lied"));
        let row = row.unwrap_or_else(|| panic!("{text}"));
        assert!(
            size.0 < 80 || row.contains("team-7"),
            "with its handle: {row}"
        );
        press(&mut model, "6");
        let text = picture(&model);
        assert!(text.contains("✗ LIED"), "{text}");
        press(&mut model, "/");
        press(&mut model, "state:lied");
        assert_eq!(model.transfers.table.rows().len(), 1);
    }
}

#[test]
fn what_a_liar_sent_was_discarded_and_its_window_says_so() {
    let mut model = with_liar((120, 60));
    model.peers.selection.selected = Some(peer_id(7));
    press_code(&mut model, KeyCode::Enter);
    model.served = Some(crate::ui::model::peers::PeerPackages {
        peer: peer_id(7),
        names: Vec::new(),
        total: 0,
    });
    let text = picture(&model);
    assert!(text.contains("It LIED 2 times"), "{text}");
    assert!(
        text.contains("for bob/json 0.3.1: false data (LIED), which was"),
        "{text}"
    );
}
