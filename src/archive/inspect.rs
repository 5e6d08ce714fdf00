//! Searches archives packed by others for private keys.

use std::io::{self, Read, Seek, SeekFrom};

use flate2::read::GzDecoder;
use zstd::stream::read::Decoder;

use super::{
    ArchiveKind,
    pack::{RefusedFile, find_key, private},
};
use crate::domain::text::printable;

/// The most bytes unpacked in search of keys: twice the limit for extracting an archive.
const MAX_UNPACKED: u64 = 4 << 30;
/// The most entries searched.
const MAX_ENTRIES: usize = 200_000;
/// The most findings kept, for a person to read.
const MAX_FOUND: usize = 100;

/// Returns the files with private keys in an archive; none if it is no archive or is damaged. The
/// file is read from its start.
///
/// # Errors
/// The file itself cannot be read.
pub fn keys(file: &mut (impl Read + Seek)) -> io::Result<Vec<RefusedFile>> {
    Ok(look(file)?.0)
}

/// Returns the files in an archive that have private keys or names that are private by convention.
///
/// # Errors
/// As [`keys`].
pub fn doubtful(file: &mut (impl Read + Seek)) -> io::Result<Vec<String>> {
    let (keys, names) = look(file)?;
    let mut paths: Vec<String> = keys.into_iter().map(|refused| refused.path).collect();
    paths.extend(names);
    paths.sort();
    paths.dedup();
    Ok(paths)
}

fn look(file: &mut (impl Read + Seek)) -> io::Result<(Vec<RefusedFile>, Vec<String>)> {
    let Some(kind) = ArchiveKind::of(file)? else {
        return Ok((Vec::new(), Vec::new()));
    };
    file.seek(SeekFrom::Start(0))?;
    let mut found = (Vec::new(), Vec::new());
    // Damage further on is the concern of whoever unpacks it.
    let _ = match kind {
        ArchiveKind::Tar => entries(file, &mut found),
        ArchiveKind::Gzip => entries(GzDecoder::new(file), &mut found),
        ArchiveKind::Zstd => Decoder::new(file).and_then(|unpacked| entries(unpacked, &mut found)),
    };
    Ok(found)
}

fn entries(
    unpacked: impl Read,
    (keys, names): &mut (Vec<RefusedFile>, Vec<String>),
) -> io::Result<()> {
    let mut archive = tar::Archive::new(unpacked.take(MAX_UNPACKED));
    for entry in archive.entries()?.take(MAX_ENTRIES) {
        let entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = printable(&String::from_utf8_lossy(&entry.path_bytes()));
        let name = path.rsplit('/').next().unwrap_or_default();
        if keys.len() >= MAX_FOUND || names.len() >= MAX_FOUND {
            return Ok(());
        }
        if private(name, false).is_some() {
            names.push(path.clone());
        }
        let size = entry.size();
        if let Some(key) = find_key(entry, size)? {
            keys.push(RefusedFile { path, key });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::*;
    use crate::archive::pack::FoundKey;

    fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            archive.append_data(&mut header, path, *bytes).unwrap();
        }
        archive.into_inner().unwrap()
    }

    #[test]
    fn keys_are_found_in_every_kind_of_archive_and_in_what_is_left_of_one() {
        let own = libp2p::identity::Keypair::generate_ed25519()
            .to_protobuf_encoding()
            .unwrap();
        let pem = b"-----BEGIN PRIVATE KEY-----\nnot really\n";
        let tar = tar(&[
            ("a/readme", b"words"),
            ("a/deep/er", &own),
            ("a/.env", b"A=1"),
            ("a/tls", pem),
            ("z", &[0; 9_000]),
        ]);
        let gzip = {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&tar).unwrap();
            encoder.finish().unwrap()
        };
        let cut = tar[..tar.len() - 9_000].to_vec();
        for archive in [
            tar.clone(),
            gzip,
            zstd::encode_all(tar.as_slice(), 1).unwrap(),
            cut,
        ] {
            let mut file = Cursor::new(archive);
            let keys = keys(&mut file).unwrap();
            assert_eq!(
                keys[0],
                RefusedFile {
                    path: "a/deep/er".to_owned(),
                    key: FoundKey::Own
                }
            );
            assert_eq!((keys.len(), keys[1].path.as_str()), (2, "a/tls"));
            assert_eq!(
                doubtful(&mut file).unwrap(),
                ["a/.env", "a/deep/er", "a/tls"]
            );
        }
        assert!(
            keys(&mut Cursor::new(b"no archive".to_vec()))
                .unwrap()
                .is_empty()
        );
    }
}
