//! The two hashes of the registry: SHA-256 of signed payloads and DHT keys, BLAKE3 of content.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest, Sha256};

/// SHA-256 of a signed payload: what `prev`, `older` and a release's `manifest` point at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// SHA-256 over the parts, each preceded by its length, so that no two lists of parts share a preimage.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// Twelve hexadecimal characters, for eyes only: never compare or look up by them.
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
            String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
        } else {
            let bytes = serde_bytes::ByteArray::<32>::deserialize(deserializer)?;
            Ok(Self(bytes.into_array()))
        }
    }
}

/// The BLAKE3 root of a content, written as a CIDv1 (codec `raw`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentRoot(pub [u8; 32]);

/// Multicodec `raw` and multihash `blake3`, <https://github.com/multiformats/multicodec/blob/master/table.csv>.
const RAW: u64 = 0x55;
const BLAKE3: u64 = 0x1e;

impl ContentRoot {
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    fn cid(&self) -> Option<cid::Cid> {
        cid::multihash::Multihash::wrap(BLAKE3, &self.0).ok().map(|hash| cid::Cid::new_v1(RAW, hash))
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
            String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
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
        assert_ne!(Hash::of_parts(&[b"ab", b"c"]), Hash::of_parts(&[b"a", b"bc"]));
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
        assert!("bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi".parse::<ContentRoot>().is_err());
    }

    #[test]
    fn binary_forms_come_back() {
        let value = (Hash::of(b"a"), ContentRoot::of(b"b"));
        let bytes = cbor4ii::serde::to_vec(Vec::new(), &value).unwrap();
        assert_eq!(cbor4ii::serde::from_slice::<(Hash, ContentRoot)>(&bytes).unwrap(), value);
        assert!(bytes.len() < 72, "as byte strings, not as arrays of numbers");
    }
}
