//! Keeps the catalogue complete: compares it with a few peers after joining, at intervals, and
//! after sleep.

mod compare;
pub mod schedule;

use std::{collections::HashSet, sync::Arc, time::Instant};

use libp2p::PeerId;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::Catalogue;
use crate::domain::catalogue::CatalogueScope;
pub use compare::SyncReport;
use schedule::{GAP, GOOD, LOOK, SETTLE, Schedule, jittered};

/// Most messages about first answers that wait: more than comparisons run at once.
const ANSWERS: usize = 8;

impl Catalogue {
    /// Runs until `stop` is cancelled. `lacking` receives the peers that have what this node lacks.
    pub async fn run_sync(
        self: Arc<Self>,
        mut lacking: mpsc::Receiver<PeerId>,
        stop: CancellationToken,
    ) {
        let core = &self.core;
        if core.options.catalogue == CatalogueScope::Partial {
            return;
        }
        let next_round = || {
            let every = core.options.sync_every;
            Instant::now() + jittered(every, core.chance().share())
        };
        let mut joined = core.net.joined();
        let mut look = tokio::time::interval(LOOK);
        let mut schedule = Schedule::new(Instant::now(), core.now());
        let mut round_at = next_round();
        let mut running = JoinSet::new();
        let (answered, mut answers) = mpsc::channel(ANSWERS);
        loop {
            tokio::select! {
                () = stop.cancelled() => return running.shutdown().await,
                // Those that joined before have their turn first.
                changed = joined.changed(), if schedule.is_empty() => {
                    if changed.is_err() {
                        return;
                    }
                    tokio::time::sleep(SETTLE).await;
                    self.add_fresh(&mut schedule).await;
                }
                Some(peer) = lacking.recv() => {
                    // If the peer was asked just before, wait until it may be asked again.
                    tokio::time::sleep(schedule.wait_for(&peer, Instant::now())).await;
                    schedule.add(peer);
                }
                () = tokio::time::sleep_until(round_at.into()) => {
                    round_at = next_round();
                    self.add_round(&mut schedule).await;
                }
                () = self.imported.notified() => {
                    // Peers that are asked notice that they lack something, and ask in return.
                    tokio::time::sleep(GAP).await;
                    self.add_round(&mut schedule).await;
                }
                () = sleep_until(schedule.wakes_at(Instant::now())) => {
                    schedule.add_due(Instant::now());
                }
                Some(peer) = answers.recv() => schedule.answered(&peer),
                Some(ended) = running.join_next() => match ended {
                    Ok((peer, failed, compared)) => {
                        schedule.ended(&peer);
                        if let Err(error) = compared {
                            tracing::debug!(%peer, %error, "catalogues could not be compared");
                            schedule.failed(peer, failed, Instant::now());
                        }
                    }
                    Err(error) => {
                        if let Ok(panic) = error.try_into_panic() {
                            std::panic::resume_unwind(panic);
                        }
                    }
                },
                _ = look.tick() => {
                    core.net.heads().sweep();
                    if schedule.slept(Instant::now(), core.now()) {
                        tracing::info!("this machine slept: the catalogue is compared");
                        self.add_round(&mut schedule).await;
                    }
                }
            }
            while let Some((peer, failed)) = schedule.begin(Instant::now()) {
                let (catalogue, answered) = (self.clone(), answered.clone());
                running.spawn(async move {
                    let tell = || {
                        answered.try_send(peer).ok();
                    };
                    let compared = catalogue.sync_telling(peer, tell).await;
                    (peer, failed, compared.map_err(crate::RegistryError::from))
                });
            }
        }
    }

    /// Adds a few of the peers that joined: usually each of them has everything.
    async fn add_fresh(&self, schedule: &mut Schedule) {
        let net = &self.core.net;
        let here = net.catalogues().await.unwrap_or_default();
        let here: HashSet<PeerId> = here.into_iter().map(|(peer, _)| peer).collect();
        let best = net.best_peers(0.0, usize::MAX).await.unwrap_or_default();
        schedule.add_fresh(&best, &here);
    }

    async fn add_round(&self, schedule: &mut Schedule) {
        let net = &self.core.net;
        let good = net.best_peers(0.0, GOOD).await.unwrap_or_default();
        let others = net.catalogues().await.unwrap_or_default();
        let others = others.into_iter().map(|(peer, _)| peer).collect();
        let draw = |count: usize| self.core.chance().below(0..count as u64) as usize;
        schedule.add_round(good, others, draw);
    }
}

/// Waits forever if there is nothing to wait for.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
