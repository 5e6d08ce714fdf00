use curve25519_dalek::constants::EIGHT_TORSION;
use libp2p::identity::Keypair;
use proptest::prelude::*;

use super::*;
use crate::domain::{
    manifest::Manifest,
    record::{Authorised, Head, Refusal, Signed, tests::head},
};

/// More than a table is worth, and no multiple of how many are checked at once.
const MANY: usize = WORTH_A_TABLE + AT_ONCE + 1;

fn envelopes(key: &Keypair, count: usize) -> Vec<Vec<u8>> {
    let one = |at: usize| head(key, at as u64 + 1).envelope().to_vec();
    (0..count).map(one).collect()
}

/// Verifies each envelope after all of them were checked together.
fn together(envelopes: &[Vec<u8>]) -> Vec<Result<Signed<Head>, Refusal>> {
    let mut read: Vec<_> = envelopes
        .iter()
        .map(|bytes| Envelope::of::<Head>(bytes))
        .collect();
    Keys::default().check(read.iter_mut());
    read.iter().map(Signed::verify_checked).collect()
}

fn alone(envelopes: &[Vec<u8>]) -> Vec<Result<Signed<Head>, Refusal>> {
    let one = |bytes: &Vec<u8>| Signed::verify(bytes);
    envelopes.iter().map(one).collect()
}

/// Counts the signatures that were checked with tables.
fn checked(envelopes: &[Vec<u8>]) -> usize {
    let mut read: Vec<_> = envelopes
        .iter()
        .map(|bytes| Envelope::of::<Head>(bytes))
        .collect();
    Keys::default().check(read.iter_mut());
    read.iter().filter(|one| one.checked().is_some()).count()
}

/// An envelope with this signature, and the key that it names, over a head's payload.
fn with(bytes: &[u8], key: &PublicKeyBytes, signature: &[u8; 64]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let end = bytes.len() - signature.len();
    bytes[end..].copy_from_slice(signature);
    bytes[6..38].copy_from_slice(key);
    bytes
}

/// Signs an envelope's payload as the owner of a secret may who wants a part of small order in
/// R, in the key, or in both: the scalar fits all but those parts.
fn signed_with_parts(bytes: &[u8], secret: Scalar, small: [usize; 2]) -> Vec<u8> {
    let part = |at: usize| EIGHT_TORSION[small[at]];
    let key = (ED25519_BASEPOINT_POINT * secret + part(0)).compress().0;
    let nonce = Scalar::from_bytes_mod_order([7; 32]);
    let r = (ED25519_BASEPOINT_POINT * nonce + part(1)).compress().0;
    let bytes = with(bytes, &key, &[0; 64]);
    let fields = fields(&bytes).unwrap();
    let mut hasher = Sha512::new().chain_update(r).chain_update(key);
    for part in [b"swarmdex-head", fields.payload_type, fields.payload] {
        let (length, used) = varint(part.len());
        hasher.update(&length[..used]);
        hasher.update(part);
    }
    let hash = Scalar::from_bytes_mod_order_wide(&hasher.finalize().into());
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&r);
    signature[32..].copy_from_slice((nonce + hash * secret).as_bytes());
    with(&bytes, &key, &signature)
}

#[test]
fn many_of_one_key_are_checked_with_its_table_and_the_bad_ones_are_the_bad_ones() {
    let key = Keypair::generate_ed25519();
    let mut all = envelopes(&key, MANY);
    for at in [0, AT_ONCE - 1, AT_ONCE, MANY - 1] {
        let end = all[at].len();
        all[at][end - 40] ^= 1;
    }
    assert_eq!(checked(&all), MANY);
    let said = together(&all);
    for (at, said) in said.iter().enumerate() {
        let is_bad = [0, AT_ONCE - 1, AT_ONCE, MANY - 1].contains(&at);
        assert_eq!(
            said.as_ref().err(),
            is_bad.then_some(&Refusal::BadSignature)
        );
    }
    assert_eq!(said, alone(&all));
}

#[test]
fn no_table_is_made_of_keys_that_signed_few_and_no_more_are_kept_than_there_is_room_for() {
    let few: Vec<Vec<u8>> = (0..2)
        .flat_map(|_| envelopes(&Keypair::generate_ed25519(), WORTH_A_TABLE - 1))
        .collect();
    assert_eq!(checked(&few), 0);
    assert!(together(&few).iter().all(Result::is_ok));
    let keys = Keys::default();
    for at in 1..=KEPT as u8 + 2 {
        let point = ED25519_BASEPOINT_POINT * Scalar::from(at);
        assert!(keys.table(&point.compress().0, WORTH_A_TABLE).is_some());
    }
    assert_eq!(keys.0.lock().len(), KEPT);
}

#[test]
fn parts_of_small_order_are_judged_as_by_the_library() {
    let secret = Scalar::from_bytes_mod_order([9; 32]);
    let plain = envelopes(&Keypair::generate_ed25519(), WORTH_A_TABLE);
    let (mut held, mut refused) = (0, 0);
    for of_key in 0..8 {
        for of_r in 0..8 {
            let signed = |bytes: &Vec<u8>| signed_with_parts(bytes, secret, [of_key, of_r]);
            let all: Vec<Vec<u8>> = plain.iter().map(signed).collect();
            assert_eq!(checked(&all), all.len());
            // The records name another owner than the key that signed them, which is judged later.
            let (said, alone) = (together(&all), alone(&all));
            assert_eq!(said, alone, "{of_key} {of_r}");
            held += said.iter().filter(|one| one.is_ok()).count();
            refused += said.iter().filter(|one| one.is_err()).count();
        }
    }
    assert!(held > 0 && refused > 0, "{held} held, {refused} refused");
}

#[test]
fn scalars_out_of_range_and_points_written_otherwise_are_judged_as_by_the_library() {
    let key = Keypair::generate_ed25519();
    let all = envelopes(&key, MANY);
    let public: PublicKeyBytes = *all[0][6..38].first_chunk().unwrap();
    let strange: Vec<[u8; 64]> = [[0xff; 64], [0; 64]]
        .into_iter()
        .chain((0..8).map(|at| {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&EIGHT_TORSION[at].compress().0);
            signature
        }))
        .chain((0..20).map(|more| {
            // 2^255 - 19 and more: a y that is not reduced.
            let mut signature = [0xff; 64];
            (signature[0], signature[31]) = (0xed + more % 19, 0x7f | ((more / 19) << 7));
            signature[32..].fill(0);
            signature
        }))
        .collect();
    for signature in strange {
        for key in [public, [0; 32], EIGHT_TORSION[0].compress().0, [0xff; 32]] {
            let all: Vec<Vec<u8>> = all.iter().map(|one| with(one, &key, &signature)).collect();
            assert_eq!(together(&all), alone(&all));
        }
    }
}

#[test]
fn an_envelope_that_is_read_as_another_kind_is_checked_as_that() {
    let key = Keypair::generate_ed25519();
    let all = envelopes(&key, MANY);
    let mut read: Vec<_> = all
        .iter()
        .map(|bytes| Envelope::of::<Head>(bytes))
        .collect();
    Keys::default().check(read.iter_mut());
    for envelope in &read {
        let read = Authorised::<Manifest>::verify_checked(envelope);
        assert_eq!(read, Err(Refusal::Malformed));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_altered_is_judged_as_by_itself(
        changes in prop::collection::vec(
            (0..MANY, any::<bool>(), any::<prop::sample::Index>(), any::<u8>()), 0..40,
        ),
        cut in prop::option::of((0..MANY, any::<prop::sample::Index>())),
    ) {
        let mut all = envelopes(&Keypair::generate_ed25519(), MANY);
        for (at, in_front, position, byte) in changes {
            // Tags, lengths and the key are in front.
            let among = if in_front { 80 } else { all[at].len() };
            let position = position.index(among);
            all[at][position] = byte;
        }
        if let Some((at, length)) = cut {
            let length = length.index(all[at].len());
            all[at].truncate(length);
        }
        prop_assert_eq!(together(&all), alone(&all));
    }
}
