use libp2p::PeerId;
use serde_json::Value;

use super::*;
use crate::bus::NodeSnapshot;

fn status() -> Status {
    let node = NodeSnapshot {
        peer_id: PeerId::random(),
        network: "lab".to_owned(),
        addresses: vec![],
        handle: None,
        connected: 0,
        known_peers: 0,
        packages: 0,
        dht_records: 0,
        dht_server: true,
        mdns: false,
        mesh: 0,
        clock_offset_ms: None,
        location: None,
        started_at: Timestamp(1_000),
    };
    Status {
        node,
        version: "0.1.0".to_owned(),
        protocol: 1,
        pid: 1,
        data_dir: "/x".into(),
        socket: None,
        gateway: None,
    }
}

fn notice(text: &str) -> Batch {
    let notice = Notice {
        at: Timestamp(5),
        level: Level::Info,
        text: text.to_owned(),
    };
    Batch {
        notices: vec![notice],
        node: Some(status().node),
        events: 2,
        ..Batch::default()
    }
}

#[test]
fn what_is_played_happens_now() {
    let moved = moved(notice("an hour ago"), Duration::from_secs(3_600));
    assert_eq!(moved.notices[0].at, Timestamp(3_600_005));
    assert_eq!(moved.node.unwrap().started_at, Timestamp(3_601_000));
}

#[tokio::test]
async fn a_recording_of_an_hour_ago_is_moved_by_an_hour() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.jsonl");
    let mut recorder = Recorder::create(&path, status()).unwrap();
    recorder.record(&notice("first")).unwrap();
    drop(recorder);
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once('\n').unwrap();
    let mut head: Value = serde_json::from_str(head).unwrap();
    let hour = 3_600_000;
    head["started"] = (head["started"].as_u64().unwrap() - hour).into();
    std::fs::write(&path, format!("{head}\n{rest}")).unwrap();
    let mut played = Replay::open(&path, 1.0).unwrap().subscribe();
    let at = played.recv().await.unwrap().notices[0].at.0 - 5;
    assert!((hour..2 * hour).contains(&at), "{at}");
}

async fn played(path: &Path) -> Vec<String> {
    let mut batches = Replay::open(path, 1_000.0).unwrap().subscribe();
    let mut texts = Vec::new();
    while let Ok(Some(batch)) = tokio::time::timeout(Duration::from_secs(2), batches.recv()).await {
        texts.extend(batch.notices.into_iter().map(|notice| notice.text));
    }
    texts
}

#[tokio::test]
async fn what_was_recorded_is_played_and_what_is_cut_off_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.jsonl");
    let mut recorder = Recorder::create(&path, status()).unwrap();
    recorder.record(&notice("first")).unwrap();
    recorder.record(&notice("second")).unwrap();
    drop(recorder);
    assert!(
        Recorder::create(&path, status()).is_err(),
        "nothing is written over"
    );
    assert_eq!(
        played(&path).await,
        ["first", "second", "the recording is over"]
    );
    assert_eq!(
        Replay::open(&path, 1.0).unwrap().batches().unwrap().len(),
        2
    );

    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
    let texts = played(&path).await;
    assert_eq!(texts[0], "first");
    assert!(texts[1].contains("line 3 is cut off"), "{texts:?}");
    let text = String::from_utf8(whole)
        .unwrap()
        .replace("\"first\"", "first");
    std::fs::write(&path, text).unwrap();
    assert!(played(&path).await[0].contains("line 2 is damaged"));
}

#[test]
fn what_is_no_recording_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b");
    for (text, said) in [
        ("", "no first line"),
        ("\n", "not JSON"),
        ("{}\n", "does not say so"),
        ("{\"swarmdex_recording\": 9}\n", "newer release"),
        ("{\"swarmdex_recording\": 2}\n", "missing field"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = Replay::open(&path, 1.0).err().unwrap();
        assert!(
            error.is_usage() && error.to_string().contains(said),
            "{error}"
        );
    }
    assert!(Replay::open(Path::new("/nowhere"), 1.0).is_err());
}
