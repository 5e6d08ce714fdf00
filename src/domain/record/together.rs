//! Checks the signatures of many envelopes together, by the same rule as one by itself.
//!
//! Many records of an answer are signed by one key, as those of whoever imported a distribution
//! are.
//! Of a key that signed enough of them a table is made, and each signature is then checked with
//! additions only (see `comb.rs`). It is the very equation that ed25519-dalek's `verify` computes,
//! and R is compared by its bytes as there. A random combination of all signatures, as in
//! `verify_batch`, would be about as fast and accept others: with a part of small order in R or the
//! key it holds now and then where the signature by itself does not, and so one node would keep,
//! and send, what another takes for a proof that it was altered.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use curve25519_dalek::{
    EdwardsPoint, Scalar, constants::ED25519_BASEPOINT_POINT, edwards::CompressedEdwardsY,
    traits::Identity,
};
use parking_lot::Mutex;
use sha2::{Digest, Sha512};

use super::{Payload, comb::Comb, payload_type};
use crate::domain::name::PublisherId;

/// Signatures of one key in one answer from which on its table pays, twice over.
const WORTH_A_TABLE: usize = 64;
/// Tables that are kept, of 640 KiB each.
const KEPT: usize = 8;
/// Signatures whose last step, an inversion, is shared.
const AT_ONCE: usize = 32;

type PublicKeyBytes = [u8; 32];

static BASE: LazyLock<Comb> = LazyLock::new(|| Comb::of(ED25519_BASEPOINT_POINT));

/// An envelope of some kind, whose signature may be checked beside others.
pub struct Envelope<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) domain: &'static str,
    /// Its fields, where it is written as every node of ours writes one.
    fields: Option<Fields<'a>>,
    /// The signature holds, or does not; none where it was not checked.
    holds: Option<bool>,
}

#[derive(Clone, Copy)]
struct Fields<'a> {
    /// As protobuf, from which the signer's id is made.
    key: &'a [u8],
    payload_type: &'a [u8],
    payload: &'a [u8],
    signature: &'a [u8; 64],
}

impl<'a> Envelope<'a> {
    /// Looks at the fields and checks nothing. What is too large, of another kind, by a key that is
    /// not ed25519 or written in another order is left to [`super::Signed::verify`].
    pub fn of<T: Payload>(bytes: &'a [u8]) -> Self {
        let fields = fields(bytes).filter(|fields| {
            bytes.len() <= T::MAX_ENVELOPE && fields.payload_type == payload_type::<T>()
        });
        Self {
            bytes,
            domain: T::DOMAIN,
            fields,
            holds: None,
        }
    }

    /// The payload and who signed it, or that the signature does not hold; none where it was not
    /// checked.
    pub(super) fn checked(&self) -> Option<Result<(&'a [u8], PublisherId), ()>> {
        let fields = self.fields?;
        match self.holds? {
            true => Some(Ok((fields.payload, publisher(fields.key)?))),
            false => Some(Err(())),
        }
    }

    fn key(&self) -> Option<PublicKeyBytes> {
        self.fields?.key.last_chunk().copied()
    }

    /// The R that a signature which holds has; none where its scalar is out of range.
    fn expected(&self, key: &PublicKeyBytes, negated: &Comb) -> Option<EdwardsPoint> {
        let fields = self.fields?;
        let scalar = Scalar::from_canonical_bytes(*fields.signature.last_chunk()?);
        let scalar = Option::<Scalar>::from(scalar)?;
        let r: &PublicKeyBytes = fields.signature.first_chunk()?;
        let mut hasher = Sha512::new().chain_update(r).chain_update(key);
        // The signed bytes of RFC 0002: each part after its length.
        for part in [self.domain.as_bytes(), fields.payload_type, fields.payload] {
            let (length, used) = varint(part.len());
            hasher.update(length.get(..used)?);
            hasher.update(part);
        }
        let hash = Scalar::from_bytes_mod_order_wide(&hasher.finalize().into());
        let sum = negated.add_to(EdwardsPoint::identity(), &hash);
        Some(BASE.add_to(sum, &scalar))
    }
}

/// The tables of keys that signed many of the records that came lately. Cheap to clone.
#[derive(Clone, Default)]
pub struct Keys(Arc<Mutex<KeyTables>>);

type KeyTables = Vec<(PublicKeyBytes, Arc<Comb>)>;

impl Keys {
    /// Checks the signatures of those keys that signed many of these; the others are left to be
    /// checked one by one. Costs no more than that would.
    pub fn check<'a, 'b: 'a>(&self, envelopes: impl Iterator<Item = &'a mut Envelope<'b>>) {
        let mut of_key: HashMap<PublicKeyBytes, Vec<&mut Envelope<'_>>> = HashMap::new();
        for envelope in envelopes {
            if let Some(key) = envelope.key() {
                of_key.entry(key).or_default().push(envelope);
            }
        }
        for (key, mut envelopes) in of_key {
            let Some(table) = self.table(&key, envelopes.len()) else {
                continue;
            };
            for some in envelopes.chunks_mut(AT_ONCE) {
                check_some(&key, &table, some);
            }
        }
    }

    /// The negated key's table, which is made where so many signatures are worth it.
    fn table(&self, key: &PublicKeyBytes, signatures: usize) -> Option<Arc<Comb>> {
        let lock = || self.0.lock();
        let kept = lock().iter().find(|(kept, _)| kept == key).cloned();
        if let Some((_, table)) = kept {
            return Some(table);
        }
        if signatures < WORTH_A_TABLE {
            return None;
        }
        let table = Arc::new(Comb::of(-CompressedEdwardsY(*key).decompress()?));
        let mut tables = lock();
        if tables.len() >= KEPT {
            tables.remove(0);
        }
        tables.push((*key, table.clone()));
        Some(table)
    }
}

fn check_some(key: &PublicKeyBytes, table: &Comb, envelopes: &mut [&mut Envelope<'_>]) {
    let mut points = [EdwardsPoint::identity(); AT_ONCE];
    for (envelope, point) in envelopes.iter_mut().zip(&mut points) {
        let expected = envelope.expected(key, table);
        envelope.holds = Some(expected.is_some());
        *point = expected.unwrap_or_default();
    }
    let expected = EdwardsPoint::compress_batch(&points);
    for (envelope, expected) in envelopes.iter_mut().zip(&expected) {
        let is_it = |fields: &Fields<'_>| fields.signature.starts_with(expected.as_bytes());
        envelope.holds = envelope
            .holds
            .map(|in_range| in_range && envelope.fields.as_ref().is_some_and(is_it));
    }
}

/// The fields of an envelope (RFC 0002 of libp2p) that is written as protobuf encoders write it:
/// each field once, in order, and no length longer than it must be. Any decoder reads that so.
fn fields(bytes: &[u8]) -> Option<Fields<'_>> {
    /// An ed25519 key as protobuf: its type, and the length of what follows.
    const ED25519: [u8; 4] = [0x08, 0x01, 0x12, 0x20];
    let (key, rest) = field(0x0a, bytes)?;
    let (payload_type, rest) = field(0x12, rest)?;
    let (payload, rest) = field(0x1a, rest)?;
    let (signature, rest) = field(0x2a, rest)?;
    let is_plain = key.len() == 36 && key.starts_with(&ED25519) && rest.is_empty();
    is_plain.then_some(Fields {
        key,
        payload_type,
        payload,
        signature: signature.try_into().ok()?,
    })
}

/// A field with this tag, and what comes after it.
fn field(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (length, rest) = match rest {
        [length @ 0..0x80, rest @ ..] => (usize::from(*length), rest),
        [low @ 0x80..=0xff, high @ 1..0x80, rest @ ..] => {
            (usize::from(low & 0x7f) | usize::from(*high) << 7, rest)
        }
        _ => return None,
    };
    (*found == tag).then_some(())?;
    rest.split_at_checked(length)
}

/// A length as the signed bytes have it, and how many of these it takes.
fn varint(length: usize) -> ([u8; 10], usize) {
    let (mut bytes, mut rest, mut used) = ([0; 10], length, 0);
    for byte in &mut bytes {
        used += 1;
        *byte = (rest & 0x7f) as u8;
        rest >>= 7;
        if rest == 0 {
            break;
        }
        *byte |= 0x80;
    }
    (bytes, used)
}

/// The id of an ed25519 key's publisher: a multihash that is the key as protobuf itself.
fn publisher(key: &[u8]) -> Option<PublisherId> {
    PublisherId::from_bytes(&[&[0x00, 0x24], key].concat())
}

#[cfg(test)]
mod tests;
