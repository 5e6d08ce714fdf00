//! The explorer on a recording, which can be watched and not asked: the results that effects have
//! there.

use std::{path::PathBuf, time::Duration};

use super::{
    effect::{Download, Effect, EffectResult},
    model::peers::PeerAction,
};
use crate::{
    RegistryError, Result,
    bus::Level,
    control::Logged,
    domain::{conflict::ConflictList, trust::Trust},
    registry::{Coverage, OwnPackages, SearchUpdate},
};

/// Returns the result of an effect that needs a node: nothing for what the explorer asks by itself,
/// and an error for what a person asks or orders. `None` if no result is awaited.
pub fn result_of(effect: Effect) -> Option<EffectResult> {
    fn refused<T>(what: &'static str) -> Result<T> {
        Err(RegistryError::Recorded { what })
    }
    fn sentence<T>(what: &'static str) -> Result<T, String> {
        Err(RegistryError::Recorded { what }.to_string())
    }
    const PACKAGE: &str = "looking into a package";
    Some(match effect {
        Effect::Search { generation, .. } => EffectResult::Search {
            generation,
            update: SearchUpdate::Done {
                coverage: Coverage::default(),
                elapsed: Duration::ZERO,
                truncated: false,
            },
            after: Duration::ZERO,
        },
        Effect::GetPackage { generation, .. } => EffectResult::Package {
            generation,
            result: Box::new(refused(PACKAGE)),
        },
        Effect::Files { generation, .. } => EffectResult::Files {
            generation,
            result: Box::new(refused(PACKAGE)),
        },
        Effect::Held { generation, .. } => EffectResult::Held {
            generation,
            result: Box::new(Ok(None)),
        },
        Effect::Readme { generation, .. } => EffectResult::Readme {
            generation,
            result: sentence("fetching"),
        },
        Effect::Download { version, title, .. } => EffectResult::Download(Download::Failed {
            root: None,
            what: format!("{title} {version}"),
            why: RegistryError::Recorded { what: PACKAGE }.to_string(),
        }),
        Effect::Direct { order, what, .. } => EffectResult::Directed {
            what,
            order,
            result: Box::new(refused("changing a transfer")),
        },
        Effect::Peer { name, action, .. } => EffectResult::Peer {
            name,
            result: Box::new(refused(match action {
                PeerAction::Rule(_) => "judging a peer",
                PeerAction::Disconnect => "disconnecting",
            })),
            action,
        },
        Effect::Reannounce => {
            let error = RegistryError::Recorded {
                what: "offering content",
            };
            EffectResult::Notice(Level::Error, format!("not re-announced: {error}"))
        }
        Effect::Own => EffectResult::Own(Box::new(Ok(OwnPackages {
            publisher: None,
            key: PathBuf::new(),
            packages: Vec::new(),
        }))),
        Effect::Routing => EffectResult::Routing(Box::new(refused("asking for the routing table"))),
        Effect::Logs { .. } => EffectResult::Logs(Box::new(Ok(Logged::default()))),
        Effect::Conflicts => EffectResult::Conflicts(Box::new(Ok(ConflictList::default()))),
        Effect::ExportEvidence { path, .. } => EffectResult::ExportedEvidence {
            path,
            result: sentence("exporting evidence"),
        },
        Effect::Trust {
            publisher,
            handle,
            what,
        } => EffectResult::Trust {
            what,
            publisher,
            handle,
            trust: Trust::Unknown,
            result: Box::new(refused("trusting")),
        },
        Effect::Distrust { publisher, what } => EffectResult::Trust {
            what,
            publisher,
            handle: None,
            trust: Trust::Unknown,
            result: Box::new(refused("distrusting")),
        },
        Effect::Yank { name, .. } => EffectResult::Yanked {
            what: name,
            result: Box::new(refused("changing what is said of a release")),
        },
        Effect::Publish { generation, .. } => EffectResult::Published {
            generation,
            result: Box::new(refused("publishing")),
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use libp2p::PeerId;

    use super::*;
    use crate::domain::faults::Ruling;

    #[test]
    fn an_order_is_refused_in_words_and_a_list_is_empty() {
        let action = PeerAction::Rule(Ruling::Protect);
        let (id, name) = (PeerId::random(), "bob".to_owned());
        let Some(EffectResult::Peer { result, .. }) = result_of(Effect::Peer { id, name, action })
        else {
            panic!("no result")
        };
        let error = result.unwrap_err();
        assert_eq!(error.code(), "read_only");
        assert!(error.to_string().starts_with("judging a peer"), "{error}");
        let Some(EffectResult::Own(own)) = result_of(Effect::Own) else {
            panic!("no result")
        };
        assert!(own.unwrap().packages.is_empty());
        assert!(result_of(Effect::Theme).is_none());
    }
}
