//! Gossipsub: topics, message ids, limits and scoring.

use std::time::Duration;

use libp2p::{
    gossipsub::{
        Behaviour, Config, ConfigBuilder, IdentTopic, Message, MessageAuthenticity, MessageId,
        MetricsConfig, PeerScoreParams, PeerScoreThresholds, TopicScoreParams, ValidationMode,
        score_parameter_decay,
    },
    identity::Keypair,
    metrics::Registry,
};

use crate::{
    RegistryError, Result,
    domain::{
        hash::Hash,
        health,
        name::NetworkName,
        record::{MAX_ANNOUNCEMENT, VALIDITY},
    },
};

/// The network's two topics.
#[derive(Clone, Debug)]
pub struct Topics {
    pub announce: IdentTopic,
    pub presence: IdentTopic,
}

impl Topics {
    pub fn of(network: &NetworkName) -> Self {
        let topic = |kind| IdentTopic::new(format!("/swarmdex/{network}/{kind}/3"));
        Self {
            announce: topic("announce"),
            presence: topic("presence"),
        }
    }
}

/// Longer than twice the validity, so that an announcement is forgotten only when a replay of it
/// has expired. A presence is valid for longer, but a replay changes nothing: the newest one
/// counts.
const DUPLICATE_CACHE: Duration = Duration::from_secs(2 * VALIDITY.as_secs() + 300);

/// Scoring for topics with few messages. The values are Filecoin's where it has them
/// (<https://github.com/filecoin-project/lotus/blob/master/node/modules/lp2p/pubsub.go>).
pub mod scoring {
    use std::time::Duration;

    pub const GOSSIP_THRESHOLD: f64 = -500.0;
    pub const PUBLISH_THRESHOLD: f64 = -1_000.0;
    pub const GRAYLIST_THRESHOLD: f64 = -2_500.0;
    pub const ACCEPT_PX_THRESHOLD: f64 = 1_000.0;
    pub const OPPORTUNISTIC_GRAFT_THRESHOLD: f64 = 3.5;
    pub const RETAIN: Duration = Duration::from_secs(6 * 3_600);
    pub const BEHAVIOUR_PENALTY_THRESHOLD: f64 = 6.0;
    pub const BEHAVIOUR_PENALTY_WEIGHT: f64 = -10.0;
    pub const BEHAVIOUR_PENALTY_DECAY: Duration = Duration::from_secs(3_600);
    /// Off: containers, NAT and loopback make honest peers share one address.
    pub const COLOCATION_WEIGHT: f64 = 0.0;
    pub const COLOCATION_THRESHOLD: f64 = 5.0;
    /// P1: at most one point for an hour in the mesh.
    pub const TIME_IN_MESH_WEIGHT: f64 = 0.000_277_8;
    pub const TIME_IN_MESH_QUANTUM: Duration = Duration::from_secs(1);
    pub const TIME_IN_MESH_CAP: f64 = 3_600.0;
    /// P2: first deliveries, at most 50 points.
    pub const FIRST_DELIVERIES_WEIGHT: f64 = 0.5;
    pub const FIRST_DELIVERIES_DECAY: Duration = Duration::from_secs(3_600);
    pub const FIRST_DELIVERIES_CAP: f64 = 100.0;
    /// P4: messages that every honest node refuses.
    pub const INVALID_WEIGHT: f64 = -1_000.0;
    pub const INVALID_DECAY: Duration = Duration::from_secs(3_600);
}

/// The hash of the topic and all of the data. libp2p's default, source and sequence number, lets a
/// replay flood the network; without the signatures in the data, a forger's copy would make the
/// honest message look like a duplicate.
fn message_id(message: &Message) -> MessageId {
    MessageId::from(
        Hash::of_parts(&[message.topic.as_str().as_bytes(), &message.data])
            .0
            .to_vec(),
    )
}

/// Returns gossipsub's configuration, including the values that are libp2p's defaults.
pub fn config() -> Result<Config> {
    ConfigBuilder::default()
        .validation_mode(ValidationMode::Strict)
        .validate_messages()
        .message_id_fn(message_id)
        .duplicate_cache_time(DUPLICATE_CACHE)
        .max_transmit_size(MAX_ANNOUNCEMENT + 2 * 1024)
        .heartbeat_initial_delay(Duration::from_millis(200))
        .mesh_n(8)
        .mesh_n_low(health::MESH_LOW)
        .mesh_n_high(12)
        .mesh_outbound_min(2)
        .build()
        .map_err(|error| RegistryError::Internal {
            what: "configuring gossip",
            why: error.to_string(),
        })
}

fn topic_params() -> TopicScoreParams {
    TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: scoring::TIME_IN_MESH_WEIGHT,
        time_in_mesh_quantum: scoring::TIME_IN_MESH_QUANTUM,
        time_in_mesh_cap: scoring::TIME_IN_MESH_CAP,
        first_message_deliveries_weight: scoring::FIRST_DELIVERIES_WEIGHT,
        first_message_deliveries_decay: score_parameter_decay(scoring::FIRST_DELIVERIES_DECAY),
        first_message_deliveries_cap: scoring::FIRST_DELIVERIES_CAP,
        // P3 and P3b punish a silent mesh, and this one is silent most of the time.
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: scoring::INVALID_WEIGHT,
        invalid_message_deliveries_decay: score_parameter_decay(scoring::INVALID_DECAY),
        ..TopicScoreParams::default()
    }
}

fn score_params(topics: &Topics) -> PeerScoreParams {
    PeerScoreParams {
        topics: [&topics.announce, &topics.presence]
            .into_iter()
            .map(|topic| (topic.hash(), topic_params()))
            .collect(),
        topic_score_cap: 0.0,
        ip_colocation_factor_weight: scoring::COLOCATION_WEIGHT,
        ip_colocation_factor_threshold: scoring::COLOCATION_THRESHOLD,
        behaviour_penalty_weight: scoring::BEHAVIOUR_PENALTY_WEIGHT,
        behaviour_penalty_threshold: scoring::BEHAVIOUR_PENALTY_THRESHOLD,
        behaviour_penalty_decay: score_parameter_decay(scoring::BEHAVIOUR_PENALTY_DECAY),
        retain_score: scoring::RETAIN,
        ..PeerScoreParams::default()
    }
}

/// Creates the behaviour. Gossipsub counts what it receives in `counts`.
pub fn behaviour(key: &Keypair, topics: &Topics, counts: &mut Registry) -> Result<Behaviour> {
    let internal = |why: String| RegistryError::Internal {
        what: "starting gossip",
        why,
    };
    let mut gossip = Behaviour::new(MessageAuthenticity::Signed(key.clone()), config()?)
        .map_err(|why| internal(why.to_owned()))?;
    gossip = gossip.with_metrics(counts, MetricsConfig::default());
    let thresholds = PeerScoreThresholds {
        gossip_threshold: scoring::GOSSIP_THRESHOLD,
        publish_threshold: scoring::PUBLISH_THRESHOLD,
        graylist_threshold: scoring::GRAYLIST_THRESHOLD,
        accept_px_threshold: scoring::ACCEPT_PX_THRESHOLD,
        opportunistic_graft_threshold: scoring::OPPORTUNISTIC_GRAFT_THRESHOLD,
    };
    gossip
        .with_peer_score(score_params(topics), thresholds)
        .map_err(internal)?;
    for topic in [&topics.announce, &topics.presence] {
        gossip
            .subscribe(topic)
            .map_err(|error| internal(error.to_string()))?;
    }
    Ok(gossip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_valid_and_ids_depend_on_topic_and_every_byte() {
        let topics = Topics::of(&"lab".parse().unwrap());
        behaviour(
            &Keypair::generate_ed25519(),
            &topics,
            &mut Registry::default(),
        )
        .unwrap();
        let message = |topic: &IdentTopic, data: &[u8], sequence_number| Message {
            source: None,
            data: data.to_vec(),
            sequence_number: Some(sequence_number),
            topic: topic.hash(),
        };
        let id = message_id(&message(&topics.announce, b"a", 1));
        assert_eq!(
            id,
            message_id(&message(&topics.announce, b"a", 2)),
            "a replay under a new number is the same"
        );
        assert_ne!(id, message_id(&message(&topics.announce, b"b", 1)));
        assert_ne!(id, message_id(&message(&topics.presence, b"a", 1)));
    }
}
