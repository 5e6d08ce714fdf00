//! The registry's two hashes, SHA-256 of signed payloads and DHT keys and BLAKE3 of content, and
//! the digests by which ecosystems' clients know files.

use std::{fmt, str::FromStr};

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};

use crate::ecosystem::Ecosystem;

/// SHA-256 of a signed payload: the target of `prev`, `older` and a release's `manifest`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Returns the SHA-256 of the bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Returns the SHA-256 over the parts, each preceded by its length, so that no two lists of
    /// parts share a preimage.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// Returns twelve hexadecimal characters, for display only: never compare or look up by them.
    pub fn fingerprint(&self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({})", self.fingerprint())
    }
}

impl FromStr for Hash {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "expected 64 hexadecimal characters";
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong);
        }
        let mut out = [0; 32];
        for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong)?;
        }
        Ok(Self(out))
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serde_bytes::Bytes::new(&self.0).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?
                .parse()
                .map_err(D::Error::custom)
        } else {
            let bytes = serde_bytes::ByteArray::<32>::deserialize(deserializer)?;
            Ok(Self(bytes.into_array()))
        }
    }
}

/// A digest of a file that an ecosystem's clients compute themselves: SHA-256, SHA-512 or SHA-1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest<const N: usize>(pub [u8; N]);

/// A SHA-256 digest.
pub type Sha256Digest = Digest<32>;
/// A SHA-512 digest.
pub type Sha512Digest = Digest<64>;
/// A SHA-1 digest.
pub type Sha1Digest = Digest<20>;

impl<const N: usize> fmt::Display for Digest<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl<const N: usize> fmt::Debug for Digest<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl<const N: usize> FromStr for Digest<N> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = HEXLOWER_PERMISSIVE
            .decode(text.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok());
        bytes
            .map(Self)
            .ok_or_else(|| format!("expected {} hexadecimal characters", 2 * N))
    }
}

impl<const N: usize> Serialize for Digest<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serde_bytes::Bytes::new(&self.0).serialize(serializer)
        }
    }
}

impl<'de, const N: usize> Deserialize<'de> for Digest<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?
                .parse()
                .map_err(D::Error::custom)
        } else {
            serde_bytes::ByteArray::<N>::deserialize(deserializer)
                .map(|bytes| Self(bytes.into_array()))
        }
    }
}

/// Computes the digests that a registry of the ecosystem would state, while the bytes stream past.
#[derive(Clone, Default)]
pub struct Digester {
    sha256: Sha256,
    more: Option<(Sha512, Sha1)>,
}

/// The digests of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileDigests {
    /// The SHA-256 digest.
    pub sha256: Sha256Digest,
    /// The SHA-512 digest, if the ecosystem uses it.
    pub sha512: Option<Sha512Digest>,
    /// The SHA-1 digest, if the ecosystem uses it.
    pub sha1: Option<Sha1Digest>,
}

impl Digester {
    /// Creates a digester for an ecosystem. SHA-512 and SHA-1 are computed for npm, whose clients
    /// check them.
    pub fn of(ecosystem: &Ecosystem) -> Self {
        Self {
            sha256: Sha256::new(),
            more: (*ecosystem == Ecosystem::Npm).then(Default::default),
        }
    }

    /// Adds the next bytes of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some((sha512, sha1)) = &mut self.more {
            sha512.update(bytes);
            sha1.update(bytes);
        }
    }

    /// Returns the digests of all bytes added.
    pub fn finish(self) -> FileDigests {
        let (sha512, sha1) = self.more.unzip();
        FileDigests {
            sha256: Digest(self.sha256.finalize().into()),
            sha512: sha512.map(|sha512| Digest(sha512.finalize().into())),
            sha1: sha1.map(|sha1| Digest(sha1.finalize().into())),
        }
    }
}

/// The BLAKE3 root of a content, written as a CIDv1 (codec `raw`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentRoot(pub [u8; 32]);

/// Multicodec `raw` and multihash `blake3`,
/// <https://github.com/multiformats/multicodec/blob/master/table.csv>.
const RAW: u64 = 0x55;
const BLAKE3: u64 = 0x1e;

impl ContentRoot {
    /// Returns the BLAKE3 root of the bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    fn cid(&self) -> Option<cid::Cid> {
        cid::multihash::Multihash::wrap(BLAKE3, &self.0)
            .ok()
            .map(|hash| cid::Cid::new_v1(RAW, hash))
    }
}

impl From<blake3::Hash> for ContentRoot {
    fn from(hash: blake3::Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

impl fmt::Display for ContentRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cid().map_or(Err(fmt::Error), |cid| cid.fmt(f))
    }
}

impl fmt::Debug for ContentRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentRoot({self})")
    }
}

impl FromStr for ContentRoot {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "expected a CIDv1 of raw bytes hashed with BLAKE3";
        let cid = cid::Cid::try_from(text).map_err(|_| wrong)?;
        if cid.codec() != RAW || cid.hash().code() != BLAKE3 {
            return Err(wrong);
        }
        cid.hash().digest().try_into().map(Self).map_err(|_| wrong)
    }
}

impl Serialize for ContentRoot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serde_bytes::Bytes::new(&self.0).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for ContentRoot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?
                .parse()
                .map_err(D::Error::custom)
        } else {
            let bytes = serde_bytes::ByteArray::<32>::deserialize(deserializer)?;
            Ok(Self(bytes.into_array()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(
            Hash::of_parts(&[b"ab", b"c"]),
            Hash::of_parts(&[b"a", b"bc"])
        );
    }

    #[test]
    fn text_forms_come_back() {
        let hash = Hash::of(b"x");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert!("zz".parse::<Hash>().is_err());
        assert!("é".repeat(32).parse::<Hash>().is_err());
        let root = ContentRoot::of(b"x");
        assert_eq!(root.to_string().parse(), Ok(root));
        assert!(root.to_string().starts_with("bafkr4i"), "{root}");
        assert!(
            "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
                .parse::<ContentRoot>()
                .is_err()
        );
    }

    #[test]
    fn a_file_has_the_digests_that_its_clients_check() {
        let digests = |ecosystem| {
            let mut digester = Digester::of(&ecosystem);
            b"abc".iter().for_each(|byte| digester.update(&[*byte]));
            digester.finish()
        };
        // The examples of FIPS 180-4.
        let npm = digests(Ecosystem::Npm);
        assert!(
            npm.sha256
                .to_string()
                .starts_with("ba7816bf8f01cfea414140de5dae2223"),
            "{npm:?}"
        );
        assert!(
            npm.sha512
                .unwrap()
                .to_string()
                .starts_with("ddaf35a193617abacc417349ae204131"),
            "{npm:?}"
        );
        assert_eq!(
            npm.sha1.unwrap().to_string(),
            "a9993e364706816aba3e25717850c26c9cd0d89d"
        );
        assert_eq!(
            digests(Ecosystem::Cargo),
            FileDigests {
                sha512: None,
                sha1: None,
                ..npm
            }
        );
        assert_eq!(
            npm.sha1.unwrap().to_string().to_uppercase().parse(),
            Ok(npm.sha1.unwrap())
        );
        assert!("00".parse::<Sha1Digest>().is_err());
    }

    #[test]
    fn binary_forms_come_back() {
        let value = (Hash::of(b"a"), ContentRoot::of(b"b"));
        let bytes = cbor4ii::serde::to_vec(Vec::new(), &value).unwrap();
        assert_eq!(
            cbor4ii::serde::from_slice::<(Hash, ContentRoot)>(&bytes).unwrap(),
            value
        );
        assert!(
            bytes.len() < 72,
            "as byte strings, not as arrays of numbers"
        );
    }
}
