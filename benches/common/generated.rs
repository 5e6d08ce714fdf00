//! Packages generated for a bench, the same ones each time.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{fs, io::Write, path::Path};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Returns incompressible bytes derived from a name.
pub fn noise(name: &str, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    blake3::Hasher::new_derive_key("swarmdex bench")
        .update(name.as_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

pub fn version(at: usize) -> String {
    format!("{}.{}.{}", at / 100, at / 10 % 10, at % 10)
}

fn tar_gz(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        archive
            .append_data(&mut header, path, bytes.as_slice())
            .unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

/// Returns the `package.json` of a package, about as long as those of real packages.
pub fn package_json(name: &str, version: &str, needs: &[String]) -> Value {
    let drawn = noise(&format!("{name} {version}"), 16);
    let other = |kind: &str, at: usize| {
        (
            format!("{kind}-{at}"),
            json!(format!("^{}.{}.0", drawn[at], drawn[at + 8])),
        )
    };
    let dev: serde_json::Map<String, Value> = (0..8).map(|at| other("dev", at)).collect();
    let needs: serde_json::Map<String, Value> = needs
        .iter()
        .map(|name| (name.clone(), json!("^1.0.0")))
        .collect();
    json!({
        "name": name, "version": version, "description": "A package that was made for a bench", "license": "MIT",
        "main": "index.js", "author": { "name": "A Person", "email": "person@example.org" },
        "repository": { "type": "git", "url": "git+https://example.org/many.git" }, "keywords": ["bench", "made"],
        "scripts": { "test": "node test.js", "build": "tsc -p ." }, "engines": { "node": ">=14" },
        "dependencies": needs, "devDependencies": dev,
    })
}

/// Returns an npm tarball with `size` incompressible bytes.
pub fn tarball(name: &str, version: &str, needs: &[String], size: usize) -> Vec<u8> {
    let package = package_json(name, version, needs).to_string().into_bytes();
    let code = noise(&format!("{name}-{version}"), size);
    tar_gz(&[
        ("package/package.json".to_owned(), package),
        ("package/index.js".to_owned(), code),
    ])
}

/// Returns a crate.
pub fn crate_file(name: &str, version: &str) -> Vec<u8> {
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2021\"\nlicense = \
         \"MIT\"\ndescription = \"Made\"\n\
         [dependencies]\nserde = \"1\"\nlog = \"0.4\"\n[features]\ndefault = []\nstd = \
         [\"serde/std\"]\n"
    );
    let stem = format!("{name}-{version}");
    tar_gz(&[
        (format!("{stem}/Cargo.toml"), manifest.into_bytes()),
        (format!("{stem}/src/lib.rs"), b"//! Made\n".to_vec()),
    ])
}

/// Returns the name of a wheel and its bytes, of which `size` are incompressible.
pub fn wheel(name: &str, version: &str, size: usize) -> (String, Vec<u8>) {
    let info = format!("{name}-{version}.dist-info");
    let metadata = format!(
        "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: A package that was \
         made for a bench\n\
         Requires-Python: >=3.8\nLicense: MIT\n\n# {name}\n\nIt was made for a bench.\n"
    );
    let tag = "Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    let files = [
        (
            format!("{name}/__init__.py"),
            format!("VERSION = '{version}'\n").into_bytes(),
        ),
        (
            format!("{name}/data.bin"),
            noise(&format!("{name}-{version}"), size),
        ),
        (format!("{info}/METADATA"), metadata.into_bytes()),
        (format!("{info}/WHEEL"), tag.as_bytes().to_vec()),
        (format!("{info}/RECORD"), Vec::new()),
    ];
    (format!("{name}-{version}-py3-none-any.whl"), stored(&files))
}

/// Returns a zip archive of uncompressed files.
fn stored(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut zip, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in files {
        let (at, size, crc) = (zip.len() as u32, bytes.len() as u32, crc(bytes));
        let mut about = Vec::new();
        about.extend([20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0x58]);
        for number in [crc, size, size] {
            about.extend(number.to_le_bytes());
        }
        about.extend((name.len() as u16).to_le_bytes());
        about.extend([0, 0]);
        zip.extend(*b"PK\x03\x04");
        zip.extend(&about);
        zip.extend(name.as_bytes());
        zip.extend(bytes);
        directory.extend(*b"PK\x01\x02\x14\x03");
        directory.extend(&about);
        directory.extend([0; 6]);
        directory.extend([0, 0, 0xa4, 0x81]);
        directory.extend(at.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (at, size, count) = (zip.len() as u32, directory.len() as u32, files.len() as u16);
    zip.extend(&directory);
    zip.extend(*b"PK\x05\x06\0\0\0\0");
    zip.extend(count.to_le_bytes());
    zip.extend(count.to_le_bytes());
    zip.extend(size.to_le_bytes());
    zip.extend(at.to_le_bytes());
    zip.extend([0, 0]);
    zip
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Returns the body of twine's upload of a wheel, and its content type.
pub fn form(name: &str, version: &str, file: &str, bytes: &[u8]) -> (String, Vec<u8>) {
    let boundary = "made-for-a-bench";
    let mut body = Vec::new();
    let digest = sha256(bytes);
    let fields = [
        (":action", "file_upload"),
        ("protocol_version", "1"),
        ("metadata_version", "2.1"),
        ("name", name),
        ("version", version),
        ("filetype", "bdist_wheel"),
        ("pyversion", "py3"),
        ("sha256_digest", &digest),
    ];
    for (key, value) in fields {
        write!(
            body,
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{key}\"\r\n\r\n{value}\r\n"
        )
        .unwrap();
    }
    write!(
        body,
        "--{boundary}\r\nContent-Disposition: form-data; name=\"content\"; \
         filename=\"{file}\"\r\nContent-Type: \
         application/octet-stream\r\n\r\n"
    )
    .unwrap();
    body.extend_from_slice(bytes);
    write!(body, "\r\n--{boundary}--\r\n").unwrap();
    (format!("multipart/form-data; boundary={boundary}"), body)
}

/// Writes a file, and creates its directories.
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}
