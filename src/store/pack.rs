//! Packs envelopes for rows, with a dictionary of what records have in common. Field names are half
//! of a record, and a single record is too short to compress by itself. Envelopes are sent and
//! verified as they were signed.

use std::{borrow::Cow, cell::RefCell, io, sync::LazyLock};

use rusqlite::{
    ToSql,
    types::{ToSqlOutput, ValueRef},
};
use zstd::{
    bulk::{Compressor, Decompressor},
    dict::{DecoderDictionary, EncoderDictionary},
    zstd_safe::CParameter,
};

/// Trained on heads and manifests of each ecosystem, by `zstd --train`. It is needed to read what
/// was packed with it, so another dictionary gets another number.
static DICTIONARY: &[u8] = include_bytes!("../../assets/envelopes.zdict");
/// The first byte of data packed with [`DICTIONARY`]. No envelope begins with it, because protobuf
/// has no field number 0.
const PACKED: u8 = 1;
/// The beginning of every zstd frame, which is not stored: RFC 8878, 3.1.1.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Longest envelope, of a head or page, in bytes.
const LONGEST: usize = 14 * 1_024;
const LEVEL: i32 = 3;

static ENCODER: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(DICTIONARY, LEVEL));
static DECODER: LazyLock<DecoderDictionary<'static>> =
    LazyLock::new(|| DecoderDictionary::copy(DICTIONARY));

thread_local! {
    static PACKER: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static UNPACKER: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// An envelope for a row, packed if that makes it shorter.
pub(super) struct PackedEnvelope<'a>(Cow<'a, [u8]>);

impl<'a> PackedEnvelope<'a> {
    pub(super) fn of(envelope: &'a [u8]) -> Self {
        Self(match packed(envelope) {
            Ok(packed) if packed.len() < envelope.len() => packed.into(),
            _ => envelope.into(),
        })
    }
}

impl ToSql for PackedEnvelope<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(&self.0)))
    }
}

fn packed(envelope: &[u8]) -> io::Result<Vec<u8>> {
    PACKER.with_borrow_mut(|packer| {
        let packer = match packer {
            Some(packer) => packer,
            None => packer.insert(compressor()?),
        };
        let mut packed = packer.compress(envelope)?;
        if !packed.starts_with(&MAGIC) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        packed.splice(..MAGIC.len(), [PACKED]);
        Ok(packed)
    })
}

/// Leaves out what is known anyway: the dictionary's id, and the length, which is bounded.
fn compressor() -> io::Result<Compressor<'static>> {
    let mut packer = Compressor::with_prepared_dictionary(&ENCODER)?;
    packer.set_parameter(CParameter::DictIdFlag(false))?;
    packer.set_parameter(CParameter::ContentSizeFlag(false))?;
    packer.set_parameter(CParameter::ChecksumFlag(false))?;
    Ok(packer)
}

/// Returns the envelope in a row, packed or not; `None` if it is damaged.
pub(super) fn unpack(held: &[u8]) -> Option<Cow<'_, [u8]>> {
    let frame = match held {
        [PACKED, frame @ ..] => [&MAGIC, frame].concat(),
        envelope => return Some(envelope.into()),
    };
    UNPACKER.with_borrow_mut(|unpacker| {
        let unpacker = match unpacker {
            Some(unpacker) => unpacker,
            None => unpacker.insert(Decompressor::with_prepared_dictionary(&DECODER).ok()?),
        };
        unpacker.decompress(&frame, LONGEST).ok().map(Cow::from)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::record::{MAX_MANIFEST, tests::head_record};

    fn round(envelope: &[u8]) -> usize {
        let held = PackedEnvelope::of(envelope);
        assert_eq!(unpack(&held.0).as_deref(), Some(envelope));
        assert!(held.0.len() <= envelope.len());
        held.0.len()
    }

    #[test]
    fn a_record_takes_two_thirds_of_its_bytes_and_comes_back_as_it_was_signed() {
        let record = head_record("web");
        let length = record.envelope().len();
        assert!(round(record.envelope()) * 3 < length * 2);
        round(&[0x0a; LONGEST]);
        const { assert!(MAX_MANIFEST <= LONGEST) };
    }

    #[test]
    fn what_was_packed_by_this_dictionary_can_be_read_for_good() {
        let hash = crate::domain::hash::Hash::of(DICTIONARY).to_string();
        assert_eq!(
            hash, "db11485279914f2cb790a8d6e5488fc9d4eab5387d7c7ede3c9afa97cac8c9ff",
            "rows hold what was packed with it: a new one needs another number beside it"
        );
    }

    #[test]
    fn damage_is_no_envelope() {
        let record = head_record("web");
        let held = packed(record.envelope()).unwrap();
        assert_eq!(unpack(&held[..held.len() - 1]), None);
        assert_eq!(unpack(&[PACKED]), None);
        assert_eq!(unpack(&[]).as_deref(), Some(&[][..]));
    }

    proptest! {
        #[test]
        fn whatever_is_no_packed_row_is_kept_as_it_is(
            first in 0x08u8.., rest in prop::collection::vec(any::<u8>(), 0..2_000),
        ) {
            round(&[&[first][..], &rest].concat());
        }
    }
}
