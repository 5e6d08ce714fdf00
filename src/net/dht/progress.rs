//! Translates Kademlia's query results to events of [`Queries`](super::queries::Queries).

use libp2p::{
    PeerId,
    kad::{
        GetClosestPeersError, GetClosestPeersOk, GetProvidersOk, GetRecordError, GetRecordOk,
        PeerRecord, PutRecordError, QueryId, QueryResult,
    },
};

use super::{
    lookups::LookupEnd,
    queries::{DhtEvent, PUT_QUORUM},
};

/// Returns the events of a query result, in order. `asked` is the number of peers asked so far;
/// `last` is true for the query's last result.
pub fn events(
    id: QueryId,
    result: QueryResult,
    asked: usize,
    last: bool,
) -> Vec<DhtEvent<QueryId>> {
    let mut events = vec![DhtEvent::Asked(id, asked)];
    match result {
        QueryResult::GetRecord(result) => {
            let mut ended = LookupEnd::Exhausted;
            match result {
                Ok(GetRecordOk::FoundRecord(PeerRecord { peer, record })) => {
                    events.push(DhtEvent::Found(id, peer, record.value));
                }
                Ok(GetRecordOk::FinishedWithNoAdditionalRecord { cache_candidates }) => {
                    events.push(DhtEvent::Missing(cache_candidates.into_values().collect()));
                }
                Err(GetRecordError::Timeout { .. }) => ended = LookupEnd::TimedOut,
                Err(GetRecordError::NotFound { .. }) => {}
            }
            events.extend(last.then_some(DhtEvent::LookedUp(id, ended)));
        }
        QueryResult::PutRecord(result) => {
            let acknowledged = match result {
                Ok(_) => PUT_QUORUM,
                Err(
                    PutRecordError::QuorumFailed { success, .. }
                    | PutRecordError::Timeout { success, .. },
                ) => success.len(),
            };
            events.push(DhtEvent::Put(id, acknowledged));
        }
        QueryResult::GetProviders(Ok(GetProvidersOk::FoundProviders { providers, .. })) => {
            events.push(DhtEvent::Providers(id, providers.into_iter().collect()));
        }
        QueryResult::GetClosestPeers(
            Ok(GetClosestPeersOk { peers, .. }) | Err(GetClosestPeersError::Timeout { peers, .. }),
        ) => {
            let closest: Vec<PeerId> = peers.into_iter().map(|peer| peer.peer_id).collect();
            events.push(DhtEvent::Closest(id, closest));
        }
        QueryResult::StartProviding(_) => events.push(DhtEvent::Provided(id)),
        _ => {}
    }
    events.extend(last.then_some(DhtEvent::Last(id)));
    events
}
