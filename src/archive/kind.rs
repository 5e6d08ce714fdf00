//! Detects an archive's compression by its first bytes: the name of untrusted content means
//! nothing.

use std::io::{self, Read, Seek, SeekFrom};

/// The compression of a tar archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveKind {
    Zstd,
    Gzip,
    Tar,
}

impl ArchiveKind {
    /// Bytes needed to decide: up to the end of the magic in a tar header.
    pub const SNIFFED: usize = 262;

    /// Returns the kind of an archive from its first bytes, or `None` if it cannot be unpacked.
    pub fn sniff(first: &[u8]) -> Option<Self> {
        // RFC 8878 section 3.1.1, RFC 1952 section 2.3.1 (deflate is the only method there is),
        // POSIX pax "ustar".
        if first.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Some(Self::Zstd)
        } else if first.starts_with(&[0x1f, 0x8b, 0x08]) {
            Some(Self::Gzip)
        } else {
            (first.get(257..Self::SNIFFED) == Some(b"ustar")).then_some(Self::Tar)
        }
    }

    /// Detects the kind from the start of a file, and rewinds it.
    ///
    /// # Errors
    /// The file cannot be read or rewound.
    pub fn of(file: &mut (impl Read + Seek)) -> io::Result<Option<Self>> {
        file.seek(SeekFrom::Start(0))?;
        let mut first = Vec::with_capacity(Self::SNIFFED);
        file.by_ref()
            .take(Self::SNIFFED as u64)
            .read_to_end(&mut first)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Self::sniff(&first))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn archives_are_known_by_their_first_bytes() {
        let mut header = tar::Header::new_ustar();
        header.set_path("a").unwrap();
        header.set_cksum();
        let gzip = {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            io::Write::write_all(&mut encoder, b"x").unwrap();
            encoder.finish().unwrap()
        };
        for (bytes, kind) in [
            (
                zstd::encode_all(&b"x"[..], 1).unwrap(),
                Some(ArchiveKind::Zstd),
            ),
            (gzip, Some(ArchiveKind::Gzip)),
            (header.as_bytes().to_vec(), Some(ArchiveKind::Tar)),
            (
                tar::Header::new_gnu().as_bytes().to_vec(),
                Some(ArchiveKind::Tar),
            ),
            (b"PK\x03\x04".to_vec(), None),
            (vec![0; 512], None),
            (Vec::new(), None),
        ] {
            let mut file = Cursor::new(bytes);
            file.set_position(3);
            assert_eq!(ArchiveKind::of(&mut file).unwrap(), kind);
            assert_eq!(file.position(), 0);
        }
    }
}
