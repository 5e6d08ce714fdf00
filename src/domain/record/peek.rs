//! Reads a message's signer before its signature is verified.

use libp2p::identity::PublicKey;

use crate::domain::name::PublisherId;

/// Returns the signer that an envelope names (libp2p RFC 0002: the public key is field 1 of the
/// protobuf message). Anybody can write any name there; a false one fails verification, which
/// penalises the sender.
pub(super) fn signer(envelope: &[u8]) -> Option<PublisherId> {
    /// The tag of field 1, followed by its length.
    const PUBLIC_KEY: u8 = 0x0a;
    let [PUBLIC_KEY, length, rest @ ..] = envelope else {
        return None;
    };
    let key = rest
        .get(..usize::from(*length))
        .filter(|_| *length < 0x80)?;
    PublicKey::try_decode_protobuf(key)
        .ok()
        .map(|key| PublisherId::of(&key))
}
