//! A node's proof that it answers at an address: a nonce signed with its identity.

use data_encoding::HEXLOWER;
use libp2p::{
    PeerId,
    identity::{Keypair, PublicKey},
};
use serde::{Deserialize, Serialize};

/// Prefix of the signed bytes, so that nothing else that a node signs can pass for a proof.
const DOMAIN: &[u8] = b"swarmdex answers here\0";
/// Length of a nonce, in characters.
pub const NONCE: std::ops::RangeInclusive<usize> = 16..=128;

/// Returns true if a text is a valid nonce: 16 to 128 letters, digits, `-` and `_`.
pub fn is_nonce(text: &str) -> bool {
    NONCE.contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn signed(nonce: &str) -> Vec<u8> {
    [DOMAIN, nonce.as_bytes()].concat()
}

/// A node's identity key, used for proofs only.
#[derive(Clone)]
pub struct Prover(Keypair);

impl Prover {
    /// Creates a prover from the node's identity.
    pub fn new(identity: Keypair) -> Self {
        Self(identity)
    }

    /// Signs a nonce. Returns `None` if the text is not a valid nonce.
    pub fn prove(&self, nonce: &str) -> Option<Proof> {
        let signature = is_nonce(nonce).then(|| self.0.sign(&signed(nonce)))?.ok()?;
        let key = HEXLOWER.encode(&self.0.public().encode_protobuf());
        Some(Proof {
            node: self.0.public().to_peer_id(),
            key,
            nonce: nonce.to_owned(),
            signature: HEXLOWER.encode(&signature),
        })
    }
}

/// A nonce, signed by a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The node that signed.
    pub node: PeerId,
    /// The node's public key as libp2p encodes it, in hexadecimal.
    pub key: String,
    /// The nonce.
    pub nonce: String,
    /// The signature in hexadecimal.
    pub signature: String,
}

impl Proof {
    /// Returns true if this node signed this nonce.
    pub fn is_of(&self, node: &PeerId, nonce: &str) -> bool {
        let key = HEXLOWER.decode(self.key.as_bytes()).ok();
        let key = key.and_then(|key| PublicKey::try_decode_protobuf(&key).ok());
        let signature = HEXLOWER
            .decode(self.signature.as_bytes())
            .unwrap_or_default();
        key.is_some_and(|key| key.to_peer_id() == *node && key.verify(&signed(nonce), &signature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_node_and_the_nonce_that_are_meant_are_proved() {
        let (key, other) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
        let (node, nonce) = (key.public().to_peer_id(), "0123456789abcdef");
        let proof = Prover::new(key).prove(nonce).unwrap();
        assert!(proof.is_of(&node, nonce));
        assert!(!proof.is_of(&node, "0123456789abcdeF"));
        assert!(!proof.is_of(&other.public().to_peer_id(), nonce));
        let forged = Prover::new(other).prove(nonce).unwrap();
        assert!(
            !Proof { node, ..forged }.is_of(&node, nonce),
            "who it says it is counts for nothing"
        );
    }

    proptest! {
        #[test]
        fn nothing_but_a_nonce_is_signed(text in ".{0,140}") {
            let proof = Prover::new(Keypair::generate_ed25519()).prove(&text);
            prop_assert_eq!(proof.is_some(), is_nonce(&text));
        }
    }
}
