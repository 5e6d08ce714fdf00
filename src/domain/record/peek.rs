//! A message names its signer before its signatures are verified.

use libp2p::identity::PublicKey;

use crate::domain::name::PublisherId;

/// The signer that an envelope names (RFC 0002 of libp2p: the public key is field 1 of the protobuf
/// message). Anybody can write any name there; a wrong one does not verify, which costs whoever
/// sent it.
pub(super) fn signer(envelope: &[u8]) -> Option<PublisherId> {
    /// Field 1, with its length before it.
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
