//! Signed records: their kinds, their verification, and the choice between conflicting ones.
//!
//! Every signed thing is a libp2p signed envelope ([RFC
//! 0002](https://github.com/libp2p/specs/blob/master/RFC/0002-signed-envelopes.md)) with a domain
//! string and a format number of its kind, so that a signature of one kind never passes for
//! another. The kinds `successor` and `revoked` (of a publisher's key) are reserved.

mod announcement;
mod authority;
mod bounds;
mod claim;
mod comb;
mod consistent;
mod ext;
mod head;
mod key;
mod peek;
mod select;
mod together;

pub use announcement::{Announcement, HeadNotice, MAX_ANNOUNCEMENT, VALIDITY};
pub use authority::{Authorised, Authority, Owned};
pub use bounds::{Horizon, MAX_AHEAD, MAX_JUMP, MAX_NUMBER, check_time};
pub use claim::{NodeClaim, Presence};
pub use consistent::{consistent, is_of};
pub use ext::{Ext, MAX_EXT};
pub use head::{DEFAULT_LIFE, Head, HeadState, MAX_PREV, MAX_TAG, MAX_TAGS, Page, check_tag};
pub use key::DhtKey;
pub use select::{Admission, HeadMark, admit, prefer, select};
pub use together::{Envelope, Keys};

use bytes::Bytes;
use libp2p::{
    core::{SignedEnvelope, signed_envelope::ReadPayloadError},
    identity::{KeyType, Keypair},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{hash::Hash, manifest::Manifest, name::PublisherId};

/// The severity of a failed check, which decides the gossip validation result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Every honest node refuses it from the bytes alone, so the sender is at fault.
    Reject,
    /// An honest peer may have sent it: it is dropped without a penalty.
    Ignore,
}

/// The reason why a record was refused.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    thiserror::Error,
    Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// Larger than allowed for its kind.
    #[error("larger than allowed for its kind")]
    TooLarge,
    /// Bytes that do not decode.
    #[error("bytes that do not decode")]
    Malformed,
    /// A signature that does not match.
    #[error("a signature that does not match")]
    BadSignature,
    /// A signer that may not sign for the owner.
    #[error("signed by a key that may not sign for the owner it names")]
    Unauthorised,
    /// A key that is not ed25519.
    #[error("a key that is not ed25519")]
    WrongKeyType,
    /// A field that breaks a rule.
    #[error("a field that breaks a rule")]
    BadField,
    /// Stored under another record's key.
    #[error("stored under a key that is not its own")]
    WrongKey,
    /// Parts that do not belong together.
    #[error("an announcement whose parts do not belong together")]
    Mismatch,
    /// A format of a later version.
    #[error("a format this version does not know")]
    UnknownFormat,
    /// Expired.
    #[error("expired")]
    Expired,
    /// Outside its time of validity.
    #[error("outside its time of validity")]
    OutOfTime,
    /// Dated or numbered too far ahead.
    #[error(
        "dated more than a day ahead of this machine's clock, or numbered far beyond what was seen"
    )]
    Ahead,
    /// Older than the record held.
    #[error("older than what is held")]
    Superseded,
    /// Another manifest for a known version.
    #[error("another manifest for a version already seen")]
    Conflict,
    /// A release that lists a foreign manifest.
    #[error("a release that lists a manifest of another version or package")]
    Inconsistent,
    /// A hit unrelated to the query.
    #[error("a hit unrelated to the query")]
    Irrelevant,
    /// A catalogue comparison that does not converge.
    #[error("a catalogue comparison that does not converge")]
    Endless,
    /// Content that does not match its root.
    #[error("content that does not match its root")]
    Content,
    /// Signed by a distrusted publisher.
    #[error("a distrusted publisher")]
    Distrusted,
    /// Over a quota.
    #[error("over a quota")]
    OverQuota,
    /// Too busy to verify it.
    #[error("too busy to verify it")]
    Busy,
}

impl Refusal {
    /// Returns true if the refusal is proven by bytes that the sender made or altered, and does not
    /// rest on a rule about others' records.
    pub fn is_proven(self) -> bool {
        matches!(self, Self::BadSignature | Self::Content)
    }

    /// Returns the severity.
    pub fn class(self) -> Class {
        match self {
            Self::TooLarge
            | Self::Malformed
            | Self::BadSignature
            | Self::Unauthorised
            | Self::WrongKeyType
            | Self::BadField
            | Self::WrongKey
            | Self::Content
            | Self::Irrelevant
            | Self::Endless
            | Self::Mismatch => Class::Reject,
            Self::UnknownFormat
            | Self::Expired
            | Self::OutOfTime
            | Self::Ahead
            | Self::Superseded
            | Self::Conflict
            | Self::Inconsistent
            | Self::Distrusted
            | Self::OverQuota
            | Self::Busy => Class::Ignore,
        }
    }

    /// Every reason, for counters that are shown even at zero.
    pub const ALL: [Self; 21] = [
        Self::Irrelevant,
        Self::Endless,
        Self::Content,
        Self::TooLarge,
        Self::Malformed,
        Self::BadSignature,
        Self::Unauthorised,
        Self::WrongKeyType,
        Self::BadField,
        Self::WrongKey,
        Self::Mismatch,
        Self::UnknownFormat,
        Self::Expired,
        Self::OutOfTime,
        Self::Ahead,
        Self::Superseded,
        Self::Conflict,
        Self::Inconsistent,
        Self::Distrusted,
        Self::OverQuota,
        Self::Busy,
    ];
}

/// A kind of signed payload.
pub trait Payload: Serialize + DeserializeOwned {
    /// Domain separation string of the kind.
    const DOMAIN: &'static str;
    /// Payload type without its format number.
    const TYPE: &'static str;
    /// The format number that this version reads and writes.
    const FORMAT: u32 = 3;
    /// Largest envelope of the kind, in bytes.
    const MAX_ENVELOPE: usize;

    /// Checks the rules that hold for every record of the kind, from its fields alone.
    ///
    /// # Errors
    /// The first rule that is broken.
    fn check(&self) -> Result<(), Refusal>;
}

fn payload_type<T: Payload>() -> Vec<u8> {
    format!("{}/{}", T::TYPE, T::FORMAT).into_bytes()
}

/// A payload whose signature, size, format and fields have been verified.
///
/// Only signing and verifying create one, so holding one is the proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<T> {
    value: T,
    signer: PublisherId,
    hash: Hash,
    envelope: Bytes,
}

impl<T: Payload> Signed<T> {
    /// Signs `value`.
    ///
    /// # Errors
    /// It breaks a rule of its kind, so no node of ours sends a record that others refuse.
    pub fn sign(key: &Keypair, value: T) -> Result<Self, Refusal> {
        value.check()?;
        let payload = encode(&value)?;
        let signer = PublisherId::of(&key.public());
        let hash = identity::<T>(&signer, &payload);
        let envelope = SignedEnvelope::new(key, T::DOMAIN.to_owned(), payload_type::<T>(), payload)
            .map_err(|_| Refusal::WrongKeyType)?
            .into_protobuf_encoding();
        if envelope.len() > T::MAX_ENVELOPE {
            return Err(Refusal::TooLarge);
        }
        Ok(Self {
            value,
            signer,
            hash,
            envelope: envelope.into(),
        })
    }

    /// Verifies untrusted bytes.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn verify(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > T::MAX_ENVELOPE {
            return Err(Refusal::TooLarge);
        }
        let envelope =
            SignedEnvelope::from_protobuf_encoding(bytes).map_err(|_| Refusal::Malformed)?;
        let (payload, key) = envelope
            .payload_and_signing_key(T::DOMAIN.to_owned(), &payload_type::<T>())
            .map_err(|error| match error {
                ReadPayloadError::InvalidSignature => Refusal::BadSignature,
                ReadPayloadError::UnexpectedPayloadType { got, .. } => unexpected_type::<T>(&got),
            })?;
        if key.key_type() != KeyType::Ed25519 {
            return Err(Refusal::WrongKeyType);
        }
        Self::read(payload, PublisherId::of(key), bytes)
    }

    /// As [`Self::verify`] for an envelope whose signature may have been checked with others'.
    pub fn verify_checked(envelope: &Envelope<'_>) -> Result<Self, Refusal> {
        match envelope.checked().filter(|_| envelope.domain == T::DOMAIN) {
            Some(Ok((payload, signer))) => Self::read(payload, signer, envelope.bytes),
            Some(Err(())) => Err(Refusal::BadSignature),
            None => Self::verify(envelope.bytes),
        }
    }

    /// Reads the payload of an envelope whose signature holds.
    fn read(payload: &[u8], signer: PublisherId, bytes: &[u8]) -> Result<Self, Refusal> {
        let value: T = decode(payload)?;
        value.check()?;
        Ok(Self {
            value,
            signer,
            hash: identity::<T>(&signer, payload),
            envelope: Bytes::copy_from_slice(bytes),
        })
    }
}

/// Returns the SHA-256 over the kind, the signer and the payload. With the payload alone, anybody
/// could sign a copy of a manifest and occupy its publisher's DHT key. Without the kind, a payload
/// that parses both as a manifest and as a page would have one hash, and a peer that answers with
/// either would seem to lie.
fn identity<T: Payload>(signer: &PublisherId, payload: &[u8]) -> Hash {
    Hash::of_parts(&[T::DOMAIN.as_bytes(), &signer.to_bytes(), payload])
}

/// A later format of the same kind is nobody's fault; another kind is the sender's.
fn unexpected_type<T: Payload>(got: &[u8]) -> Refusal {
    let number = got
        .strip_prefix(T::TYPE.as_bytes())
        .and_then(|rest| rest.strip_prefix(b"/"));
    match number {
        Some(number) if !number.is_empty() && number.iter().all(u8::is_ascii_digit) => {
            Refusal::UnknownFormat
        }
        _ => Refusal::Malformed,
    }
}

impl<T> Signed<T> {
    /// Returns the key that signed it. Only [`Authorised`] says that this key may sign for the
    /// owner.
    pub fn signer(&self) -> PublisherId {
        self.signer
    }

    /// Returns the SHA-256 over the kind, the signer and the payload, by which other records refer
    /// to it.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Returns the envelope's bytes, as sent.
    pub fn envelope(&self) -> &Bytes {
        &self.envelope
    }

    /// Returns the payload.
    pub fn into_value(self) -> T {
        self.value
    }
}

impl<T> std::ops::Deref for Signed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Largest signed manifest in bytes: a DHT record carries it with room to spare.
pub const MAX_MANIFEST: usize = 8 * 1024;

/// Returns an upper estimate of a manifest's size in bytes once it is signed.
pub fn signed_len(manifest: &Manifest) -> usize {
    /// Key, signature, domain and length prefixes.
    const ENVELOPE: usize = 144;
    encode(manifest).map_or(usize::MAX, |payload| payload.len() + ENVELOPE)
}

/// Encodes a value of the domain as CBOR.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Refusal> {
    cbor4ii::serde::to_vec(Vec::new(), value).map_err(|_| Refusal::Malformed)
}

/// Decodes untrusted CBOR. The caller has bounded its length.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    cbor4ii::serde::from_slice(bytes).map_err(|_| Refusal::Malformed)
}

impl Payload for Manifest {
    const DOMAIN: &'static str = "swarmdex-manifest";
    const TYPE: &'static str = "/swarmdex/manifest";
    /// DHT records over about 15 KiB are not transmitted; a manifest takes half of that.
    const MAX_ENVELOPE: usize = MAX_MANIFEST;

    fn check(&self) -> Result<(), Refusal> {
        check_time(self.signed_at)?;
        self.ext.check()?;
        if self.field_errors().is_empty() && self.is_by_key() {
            Ok(())
        } else {
            Err(Refusal::BadField)
        }
    }
}

/// A record of one of the kinds that the DHT carries.
// Only a handful exist at a time, so boxing is not worth it.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The head of a package.
    Head(Authorised<Head>),
    /// A page of older releases.
    Page(Authorised<Page>),
    /// A manifest of a release.
    Manifest(Authorised<Manifest>),
}

impl Record {
    /// Verifies a DHT value against the key under which it was stored or found.
    ///
    /// # Errors
    /// The first check that fails, [`Refusal::WrongKey`] among them.
    pub fn verify(key: &DhtKey, bytes: &[u8]) -> Result<Self, Refusal> {
        let record = match Authorised::<Head>::verify(bytes) {
            Ok(head) => Self::Head(head),
            Err(Refusal::Malformed) => match Authorised::<Manifest>::verify(bytes) {
                Ok(manifest) => Self::Manifest(manifest),
                Err(Refusal::Malformed) => Self::Page(Authorised::<Page>::verify(bytes)?),
                Err(refusal) => return Err(refusal),
            },
            Err(refusal) => return Err(refusal),
        };
        if record.key() == *key {
            Ok(record)
        } else {
            Err(Refusal::WrongKey)
        }
    }

    /// Returns the DHT key of the record.
    pub fn key(&self) -> DhtKey {
        match self {
            Self::Head(head) => DhtKey::of_head(head.package()),
            Self::Page(page) => DhtKey::of_page(&page.hash()),
            Self::Manifest(manifest) => DhtKey::of_manifest(&manifest.hash()),
        }
    }

    /// Returns the envelope's bytes, as sent.
    pub fn envelope(&self) -> &Bytes {
        match self {
            Self::Head(head) => head.envelope(),
            Self::Page(page) => page.envelope(),
            Self::Manifest(manifest) => manifest.envelope(),
        }
    }

    /// Returns the owner of the package.
    pub fn owner(&self) -> PublisherId {
        match self {
            Self::Head(head) => head.owner(),
            Self::Page(page) => page.owner(),
            Self::Manifest(manifest) => manifest.owner(),
        }
    }

    /// Returns the hash by which other records refer to it.
    pub fn hash(&self) -> Hash {
        match self {
            Self::Head(head) => head.hash(),
            Self::Page(page) => page.hash(),
            Self::Manifest(manifest) => manifest.hash(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
