//! Traffic with each peer.

use std::{collections::BTreeMap, time::Duration};

use libp2p::PeerId;

use crate::domain::{
    time::Timestamp,
    transfer::{Transfer, TransferState},
};

/// Transfers that ended longer ago than this do not count.
const LATELY: Duration = Duration::from_secs(60);
/// Bytes from which traffic counts as much.
const MUCH: u64 = 1 << 20;

/// Amount of data exchanged with a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrafficLevel {
    #[default]
    None,
    Some,
    /// One MiB or more.
    Much,
}

/// Returns the traffic with each peer, in both directions, of transfers that are running or ended
/// within the last minute. All bytes of a running transfer count, because their times are not
/// known. Peers without traffic are left out.
pub fn traffic<'a>(
    transfers: impl IntoIterator<Item = &'a Transfer>,
    now: Timestamp,
) -> BTreeMap<PeerId, TrafficLevel> {
    let mut bytes: BTreeMap<PeerId, u64> = BTreeMap::new();
    for transfer in transfers {
        let is_now = match transfer.ended_at {
            Some(ended) => now.since(ended) < LATELY,
            None => transfer.state == TransferState::Running,
        };
        for peer in transfer
            .peers
            .iter()
            .filter(|peer| is_now && peer.bytes > 0)
        {
            let sum = bytes.entry(peer.peer).or_default();
            *sum = sum.saturating_add(peer.bytes);
        }
    }
    let level = |bytes| {
        if bytes >= MUCH {
            TrafficLevel::Much
        } else {
            TrafficLevel::Some
        }
    };
    bytes
        .into_iter()
        .map(|(peer, bytes)| (peer, level(bytes)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        hash::ContentRoot,
        transfer::{TransferId, TransferPeer},
    };

    const NOW: Timestamp = Timestamp(1_000_000);

    fn transfer(peers: &[(PeerId, u64)], state: TransferState, ended: Option<u64>) -> Transfer {
        Transfer {
            id: TransferId::Fetch {
                root: ContentRoot::of(b"bytes"),
            },
            what: "alice/db 1.0.0".to_owned(),
            size: 4 << 20,
            done: 0,
            resumed: 0,
            rate: 0.0,
            state,
            peers: peers
                .iter()
                .map(|(peer, bytes)| TransferPeer {
                    bytes: *bytes,
                    ..TransferPeer::new(*peer)
                })
                .collect(),
            started_at: Timestamp(0),
            ended_at: ended.map(|ago| NOW.before(Duration::from_secs(ago))),
            for_others: false,
            beside: false,
        }
    }

    #[test]
    fn what_runs_and_what_ended_within_the_minute_is_summed_by_peer() {
        let [a, b, c] = [PeerId::random(), PeerId::random(), PeerId::random()];
        let transfers = [
            transfer(&[(a, 700 << 10), (b, 10)], TransferState::Running, None),
            transfer(&[(a, 400 << 10)], TransferState::Done, Some(59)),
            transfer(&[(b, 9 << 20), (c, 9 << 20)], TransferState::Done, Some(60)),
            transfer(&[(c, 9 << 20)], TransferState::Paused, None),
            transfer(&[(c, 0)], TransferState::Running, None),
        ];
        let found = traffic(&transfers, NOW);
        assert_eq!(
            found,
            BTreeMap::from([(a, TrafficLevel::Much), (b, TrafficLevel::Some)])
        );
        assert!(
            traffic(&transfers, NOW.after(LATELY)).contains_key(&a),
            "what runs goes on counting"
        );
        assert_eq!(traffic([], NOW), BTreeMap::new());
    }
}
