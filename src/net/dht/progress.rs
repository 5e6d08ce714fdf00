//! Translates Kademlia's query results to events of [`Queries`](super::queries::Queries).

use libp2p::{
    PeerId,
    kad::{
        GetClosestPeersError, GetClosestPeersOk, GetProvidersOk, GetRecordError, GetRecordOk,
        PeerRecord, PutRecordError, QueryId, QueryResult,
    },
};

use super::{
    lookups::Ended,
    queries::{Event, PUT_QUORUM},
};

/// Returns the events of a query result, in order. `asked` is the number of peers asked so far;
/// `last` is true for the query's last result.
pub fn events(id: QueryId, result: QueryResult, asked: usize, last: bool) -> Vec<Event<QueryId>> {
    let mut events = vec![Event::Asked(id, asked)];
    match result {
        QueryResult::GetRecord(result) => {
            let mut ended = Ended::Exhausted;
            match result {
                Ok(GetRecordOk::FoundRecord(PeerRecord { peer, record })) => {
                    events.push(Event::Found(id, peer, record.value));
                }
                Ok(GetRecordOk::FinishedWithNoAdditionalRecord { cache_candidates }) => {
                    events.push(Event::Missing(cache_candidates.into_values().collect()));
                }
                Err(GetRecordError::Timeout { .. }) => ended = Ended::TimedOut,
                Err(GetRecordError::NotFound { .. }) => {}
            }
            events.extend(last.then_some(Event::LookedUp(id, ended)));
        }
        QueryResult::PutRecord(result) => {
            let acknowledged = match result {
                Ok(_) => PUT_QUORUM,
                Err(
                    PutRecordError::QuorumFailed { success, .. }
                    | PutRecordError::Timeout { success, .. },
                ) => success.len(),
            };
            events.push(Event::Put(id, acknowledged));
        }
        QueryResult::GetProviders(Ok(GetProvidersOk::FoundProviders { providers, .. })) => {
            events.push(Event::Providers(id, providers.into_iter().collect()));
        }
        QueryResult::GetClosestPeers(
            Ok(GetClosestPeersOk { peers, .. }) | Err(GetClosestPeersError::Timeout { peers, .. }),
        ) => {
            let closest: Vec<PeerId> = peers.into_iter().map(|peer| peer.peer_id).collect();
            events.push(Event::Closest(id, closest));
        }
        QueryResult::StartProviding(_) => events.push(Event::Provided(id)),
        _ => {}
    }
    events.extend(last.then_some(Event::Last(id)));
    events
}
