//! This node's own questions to the DHT who has a content. What it holds for others is in
//! `claims.rs`.

use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

use libp2p::{
    PeerId,
    kad::{self, QueryId},
};
use tokio::sync::mpsc;

/// A question to the DHT who has a content.
pub struct Finding {
    pub deadline: Instant,
    /// Dropped at the end, which is how the asker knows.
    pub found: mpsc::Sender<PeerId>,
    told: HashSet<PeerId>,
}

/// The questions that run.
#[derive(Default)]
pub struct Findings(HashMap<QueryId, Finding>);

impl Findings {
    pub fn start(&mut self, id: QueryId, deadline: Instant, found: mpsc::Sender<PeerId>) {
        self.0.insert(
            id,
            Finding {
                deadline,
                found,
                told: HashSet::new(),
            },
        );
    }

    /// Hands on what Kademlia found; returns those that were not known before.
    pub fn progress(
        &mut self,
        id: QueryId,
        result: &kad::GetProvidersResult,
        last: bool,
    ) -> Vec<PeerId> {
        let mut new = Vec::new();
        if let (Some(finding), Ok(kad::GetProvidersOk::FoundProviders { providers, .. })) =
            (self.0.get_mut(&id), result)
        {
            for peer in providers {
                // The channel has room for more providers than a fetch ever wants.
                if finding.told.insert(*peer) && finding.found.try_send(*peer).is_ok() {
                    new.push(*peer);
                }
            }
        }
        if last {
            self.0.remove(&id);
        }
        new
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.0.values().map(|finding| finding.deadline).min()
    }

    /// Ends what is past its deadline or that nobody waits for; Kademlia can stop these.
    pub fn expire(&mut self, now: Instant) -> Vec<QueryId> {
        let over = |finding: &Finding| finding.deadline <= now || finding.found.is_closed();
        let ids: Vec<QueryId> = self
            .0
            .iter()
            .filter(|(_, finding)| over(finding))
            .map(|(id, _)| *id)
            .collect();
        for id in &ids {
            self.0.remove(id);
        }
        ids
    }
}
