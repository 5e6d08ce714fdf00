//! What the targets share: where a file is put that is read by its path, and payloads behind a
//! signature that holds.

use std::{
    path::{Path, PathBuf},
    sync::LazyLock,
};

use libp2p::{core::SignedEnvelope, identity::Keypair};
use swarmdex::domain::{
    record::{Payload, Signed},
    time::Timestamp,
};

/// The time at which records are looked at.
pub const NOW: Timestamp = Timestamp(1_790_000_000_000);

static DIR: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a directory for files"));
static KEY: LazyLock<Keypair> =
    LazyLock::new(|| Keypair::ed25519_from_bytes([7; 32]).expect("a key"));

/// The directory in which files are put.
pub fn dir() -> &'static Path {
    DIR.path()
}

/// A file with these bytes.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir().join(name);
    std::fs::write(&path, bytes).expect("the file is written");
    path
}

/// Verifies a payload that was signed as it is, as no honest publisher would. What is taken has to
/// come out of its own envelope again.
pub fn signed<T: Payload>(payload: &[u8]) {
    let kind = format!("{}/{}", T::TYPE, T::FORMAT).into_bytes();
    let envelope = SignedEnvelope::new(&KEY, T::DOMAIN.to_owned(), kind, payload.to_vec())
        .expect("it is signed");
    let bytes = envelope.into_protobuf_encoding();
    if let Ok(record) = Signed::<T>::verify(&bytes) {
        let again =
            Signed::<T>::verify(record.envelope()).expect("what was taken once is taken again");
        assert_eq!(again.hash(), record.hash());
    }
}
