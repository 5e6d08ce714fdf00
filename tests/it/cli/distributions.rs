//! Wheels, source distributions and crates made without any tool, and the forms in which tools
//! upload them.

use std::io::{Cursor, Write};

use sha2::{Digest, Sha256};

fn normal(name: &str) -> String {
    name.to_lowercase().replace(['-', '.'], "_")
}

/// Returns the digest by which clients of the index know a file.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn metadata(name: &str, version: &str, more: &str) -> String {
    format!(
        "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: A {name}\n{more}\nread \
         me\n"
    )
}

/// Returns the file name and bytes of a wheel for every Python; `inside` is the name in its
/// metadata.
pub fn wheel_of(name: &str, inside: &str, version: &str, more: &str) -> (String, Vec<u8>) {
    let (module, mut bytes) = (normal(name), Cursor::new(Vec::new()));
    let info = format!("{}-{version}.dist-info", normal(inside));
    let mut zip = zip::ZipWriter::new(&mut bytes);
    let mut put = |path: String, text: &str| {
        zip.start_file(path, zip::write::SimpleFileOptions::default())
            .unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    };
    put(
        format!("{module}/__init__.py"),
        &format!("V = '{version}'\n"),
    );
    put(format!("{info}/METADATA"), &metadata(inside, version, more));
    put(
        format!("{info}/WHEEL"),
        "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    );
    put(
        format!("{info}/RECORD"),
        &format!("{module}/__init__.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"),
    );
    zip.finish().unwrap();
    (
        format!("{module}-{version}-py3-none-any.whl"),
        bytes.into_inner(),
    )
}

/// Returns an ordinary wheel.
pub fn wheel(name: &str, version: &str) -> (String, Vec<u8>) {
    wheel_of(name, name, version, "Requires-Python: >=3.7\n")
}

/// Returns a source distribution that builds itself, without any other package.
pub fn sdist(name: &str, version: &str) -> (String, Vec<u8>) {
    const BACKEND: &str = "import os\n\
        def prepare_metadata_for_build_wheel(directory, config_settings=None):\n    \
            info = 'TOP.dist-info'\n    \
            os.makedirs(os.path.join(directory, info))\n    \
            open(os.path.join(directory, info, 'METADATA'), \
            'w').write(open('PKG-INFO').read())\n    \
            return info\n";
    let top = format!("{}-{version}", normal(name));
    let files = [
        (
            "PKG-INFO",
            &*metadata(name, version, "Requires-Python: >=3.7\n"),
        ),
        (
            "pyproject.toml",
            "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n",
        ),
        ("backend.py", &BACKEND.replace("TOP", &top)),
    ];
    (format!("{top}.tar.gz"), gzipped(&top, &files))
}

/// Returns a .crate file; `more` follows the package section of its manifest.
pub fn krate(name: &str, version: &str, more: &str) -> Vec<u8> {
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2024\"\n{more}"
    );
    gzipped(
        &format!("{name}-{version}"),
        &[("Cargo.toml", &manifest), ("src/lib.rs", "")],
    )
}

/// Returns a gzipped tar archive with files in one folder.
pub fn gzipped(top: &str, files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(
        Vec::new(),
        flate2::Compression::fast(),
    ));
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("{top}/{path}"), text.as_bytes())
            .unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// Returns a form as twine 7.0.0 sends it, with the fields before the file.
pub fn form(fields: &[(&str, &str)], file: &str, bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend(
            format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            )
            .bytes(),
        );
    }
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"content\"; filename=\"{file}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    body.extend(head.bytes());
    body.extend_from_slice(bytes);
    body.extend(format!("\r\n--{BOUNDARY}--\r\n").bytes());
    body
}

pub const BOUNDARY: &str = "bfb8263afbe14b48a892a9e78bd0b797";
