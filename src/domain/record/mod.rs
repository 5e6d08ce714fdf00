//! Signed records: what publishers sign, how it is checked, and which of two records wins.
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

pub use announcement::{Announcement, MAX_ANNOUNCEMENT, Notice, VALIDITY};
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

/// How serious a failed check is, which decides what a gossip message with it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Every honest node must refuse it from the bytes alone: whoever sent it is at fault.
    Reject,
    /// An honest peer may well have sent it: dropped, and nobody pays.
    Ignore,
}

/// Why a record was not taken.
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
    #[error("larger than its kind may be")]
    TooLarge,
    #[error("bytes that do not decode")]
    Malformed,
    #[error("a signature that does not match")]
    BadSignature,
    #[error("signed by a key that may not speak for the owner it names")]
    Unauthorised,
    #[error("a key that is not ed25519")]
    WrongKeyType,
    #[error("a field that breaks a rule")]
    BadField,
    #[error("stored under a key that is not its own")]
    WrongKey,
    #[error("an announcement whose parts do not belong together")]
    Mismatch,
    #[error("a format this version does not know")]
    UnknownFormat,
    #[error("expired")]
    Expired,
    #[error("outside the time it is valid for")]
    OutOfTime,
    #[error(
        "dated more than a day ahead of this machine's clock, or numbered far beyond what was seen"
    )]
    Ahead,
    #[error("older than what is held")]
    Superseded,
    #[error("another manifest for a version already seen")]
    Conflict,
    #[error("a release that lists a manifest of another version or package")]
    Inconsistent,
    #[error("a hit that has nothing to do with what was asked for")]
    Irrelevant,
    #[error("a comparison of catalogues that leads nowhere")]
    Endless,
    #[error("content that is not what its root says")]
    Content,
    #[error("a distrusted publisher")]
    Distrusted,
    #[error("over a quota")]
    OverQuota,
    #[error("too busy to check it")]
    Busy,
}

impl Refusal {
    /// Whether it is proven by bytes that whoever sent them made or altered, and rests on no rule
    /// about what others signed.
    pub fn is_proven(self) -> bool {
        matches!(self, Self::BadSignature | Self::Content)
    }

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

/// What can be signed: one implementation per kind.
pub trait Payload: Serialize + DeserializeOwned {
    /// Domain separation string of the kind.
    const DOMAIN: &'static str;
    /// Payload type without its format number.
    const TYPE: &'static str;
    /// Format number this version reads and writes.
    const FORMAT: u32 = 3;
    /// Largest envelope of the kind, in bytes.
    const MAX_ENVELOPE: usize;

    /// Rules that hold for every record of the kind, from its fields alone.
    fn check(&self) -> Result<(), Refusal>;
}

fn payload_type<T: Payload>() -> Vec<u8> {
    format!("{}/{}", T::TYPE, T::FORMAT).into_bytes()
}

/// A payload whose signature, size, format and fields have been checked.
///
/// The only ways to get one are signing it and verifying it, so holding one is the proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<T> {
    value: T,
    signer: PublisherId,
    hash: Hash,
    envelope: Bytes,
}

impl<T: Payload> Signed<T> {
    /// Signs `value`; fails when it breaks a rule of its kind, so that no node of ours sends what
    /// others refuse.
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

    /// Checks bytes from anywhere.
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

/// SHA-256 over the kind, the signer and the payload. With the payload alone, anybody could sign a
/// copy of a manifest and occupy the DHT key that its publisher's is looked for under. Without the
/// kind, one payload that reads as a manifest and as a page would have one hash, and a peer that
/// answers with either would seem to lie.
fn identity<T: Payload>(signer: &PublisherId, payload: &[u8]) -> Hash {
    Hash::of_parts(&[T::DOMAIN.as_bytes(), &signer.to_bytes(), payload])
}

/// A later format of the same kind is nobody's fault; another kind in this place is.
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
    /// The key that signed it. Whether that may speak for the owner of a package says
    /// [`Authorised`].
    pub fn signer(&self) -> PublisherId {
        self.signer
    }

    /// SHA-256 over the kind, the signer and the signed payload: what others refer to it by.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The envelope's bytes, as they travel.
    pub fn envelope(&self) -> &Bytes {
        &self.envelope
    }

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

/// Most bytes of a signed manifest: what a DHT value carries, with room to spare.
pub const MAX_MANIFEST: usize = 8 * 1024;

/// Bytes that a manifest will take once it is signed, a few too many rather than too few.
pub fn signed_len(manifest: &Manifest) -> usize {
    /// Key, signature, domain and the lengths before them.
    const ENVELOPE: usize = 144;
    encode(manifest).map_or(usize::MAX, |payload| payload.len() + ENVELOPE)
}

/// CBOR of a value the domain defines.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Refusal> {
    cbor4ii::serde::to_vec(Vec::new(), value).map_err(|_| Refusal::Malformed)
}

/// Decodes CBOR from anywhere: the caller has bounded its length.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    cbor4ii::serde::from_slice(bytes).map_err(|_| Refusal::Malformed)
}

impl Payload for Manifest {
    const DOMAIN: &'static str = "swarmdex-manifest";
    const TYPE: &'static str = "/swarmdex/manifest";
    /// DHT values over about 15 KiB do not travel; a manifest takes half of that.
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

/// A record as the DHT carries it: one of the kinds that have a DHT key.
// A handful exist at a time; a box would only be one more thing to open.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    Head(Authorised<Head>),
    Page(Authorised<Page>),
    Manifest(Authorised<Manifest>),
}

impl Record {
    /// Checks a DHT value against the key it was stored or found under.
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

    pub fn key(&self) -> DhtKey {
        match self {
            Self::Head(head) => DhtKey::of_head(head.package()),
            Self::Page(page) => DhtKey::of_page(&page.hash()),
            Self::Manifest(manifest) => DhtKey::of_manifest(&manifest.hash()),
        }
    }

    pub fn envelope(&self) -> &Bytes {
        match self {
            Self::Head(head) => head.envelope(),
            Self::Page(page) => page.envelope(),
            Self::Manifest(manifest) => manifest.envelope(),
        }
    }

    pub fn owner(&self) -> PublisherId {
        match self {
            Self::Head(head) => head.owner(),
            Self::Page(page) => page.owner(),
            Self::Manifest(manifest) => manifest.owner(),
        }
    }

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
