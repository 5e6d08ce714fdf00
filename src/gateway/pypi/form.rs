//! The form of an upload (`multipart/form-data`), read as it arrives: the file is written to the
//! disk, and only the text fields that matter here are kept.

use std::{
    collections::HashMap,
    path::Path,
    pin::Pin,
    task::{Context, Poll, ready},
};

use blake2::{Blake2b, digest::consts::U32};
use data_encoding::HEXLOWER;
use futures::Stream;
use md5::Md5;
use multer::{Constraints, Error, Field, Multipart, SizeLimit};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio_util::io::ReaderStream;

use crate::{
    RegistryError,
    gateway::{
        policy::Refused,
        upload::{cut, too_large},
    },
};

/// Text fields that matter. The metadata of an archive is read from the archive.
const KEPT: [&str; 8] = [
    ":action",
    "protocol_version",
    "name",
    "version",
    "filetype",
    "sha256_digest",
    "blake2_256_digest",
    "md5_digest",
];
/// Most bytes of one of them.
const WORD: usize = 4 << 10;
/// Bytes read at once.
const PIECE: usize = 128 << 10;
/// Most bytes of a form besides its file: a description may have 1 MiB and be sent in several ways.
pub(super) const WORDS: u64 = 4 << 20;

/// An upload's form. Its file is on the disk.
#[derive(Debug)]
pub(super) struct Form {
    texts: HashMap<String, String>,
    /// The file name given by the client.
    pub file: String,
    pub digests: Digests,
}

impl Form {
    pub fn text(&self, field: &str) -> Option<&str> {
        self.texts.get(field).map(String::as_str)
    }
}

/// Digests of a file as given by clients, in lower-case hexadecimal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Digests {
    pub sha256: String,
    pub blake2_256: String,
    pub md5: String,
}

/// Computes the digests of the bytes that pass.
#[derive(Default)]
struct Digesting {
    sha256: Sha256,
    blake2_256: Blake2b<U32>,
    md5: Md5,
}

impl Digesting {
    fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        blake2::Digest::update(&mut self.blake2_256, bytes);
        self.md5.update(bytes);
    }

    fn finish(self) -> Digests {
        Digests {
            sha256: HEXLOWER.encode(&self.sha256.finalize()),
            blake2_256: HEXLOWER.encode(&blake2::Digest::finalize(self.blake2_256)),
            md5: HEXLOWER.encode(&self.md5.finalize()),
        }
    }
}

/// A stream that pauses after each item. multer 3.1.0 buffers all that it is given without a pause,
/// which is the whole body if that arrives faster than it is written to the disk.
struct OneByOne<S> {
    stream: S,
    gave: bool,
}

impl<S: Stream + Unpin> Stream for OneByOne<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        if std::mem::take(&mut self.gave) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let item = ready!(Pin::new(&mut self.stream).poll_next(cx));
        self.gave = item.is_some();
        Poll::Ready(item)
    }
}

/// Reads a form whose file has at most `most` bytes, and writes the file to the path.
pub(super) async fn read(
    bytes: &mut (impl AsyncRead + Unpin + Send),
    content_type: &str,
    (path, most): (&Path, u64),
) -> Result<Form, Refused> {
    let boundary = multer::parse_boundary(content_type)
        .map_err(|_| Refused::wrong("an upload must be a form (multipart/form-data)"))?;
    let limits = SizeLimit::new()
        .whole_stream(most.saturating_add(WORDS))
        .per_field(WORDS)
        .for_field("content", most);
    let stream = OneByOne {
        stream: ReaderStream::with_capacity(bytes, PIECE),
        gave: false,
    };
    let mut form =
        Multipart::with_constraints(stream, boundary, Constraints::new().size_limit(limits));
    let failed = |error| failed(error, most);
    let (mut texts, mut file) = (HashMap::new(), None);
    while let Some(mut field) = form.next_field().await.map_err(failed)? {
        let name = field.name().unwrap_or_default().to_owned();
        let twice = || Refused::wrong(format!("the form has the field {name} twice"));
        if name == "content" {
            let called = field.file_name().unwrap_or_default().to_owned();
            let digests = written(&mut field, path, most).await?;
            file.replace((called, digests))
                .map_or(Ok(()), |_| Err(twice()))?;
        } else if KEPT.contains(&&*name) {
            let mut text = Vec::new();
            while let Some(piece) = field.chunk().await.map_err(failed)? {
                text.extend_from_slice(&piece);
                if text.len() > WORD {
                    return Err(Refused::wrong(format!(
                        "the form's {name} is longer than {WORD} bytes"
                    )));
                }
            }
            let text = String::from_utf8(text)
                .map_err(|_| Refused::wrong(format!("the form's {name} is not UTF-8")))?;
            texts
                .insert(name.clone(), text)
                .map_or(Ok(()), |_| Err(twice()))?;
        } else {
            while field.chunk().await.map_err(failed)?.is_some() {}
        }
    }
    match file {
        Some((file, digests)) => Ok(Form {
            texts,
            file,
            digests,
        }),
        None => Err(Refused::wrong(
            "the form has no file; send it in the field content",
        )),
    }
}

/// Writes a field to the disk as it arrives.
async fn written(field: &mut Field<'_>, path: &Path, most: u64) -> Result<Digests, Refused> {
    let unwritten = |error| RegistryError::file(path, "written")(error);
    let mut file = tokio::fs::File::create(path).await.map_err(unwritten)?;
    let mut digests = Digesting::default();
    while let Some(piece) = field.chunk().await.map_err(|error| failed(error, most))? {
        digests.update(&piece);
        file.write_all(&piece).await.map_err(unwritten)?;
    }
    file.flush().await.map_err(unwritten)?;
    Ok(digests.finish())
}

fn failed(error: Error, most: u64) -> Refused {
    match error {
        Error::StreamSizeExceeded { .. } => too_large(most),
        Error::FieldSizeExceeded { field_name, .. } if field_name.as_deref() == Some("content") => {
            too_large(most)
        }
        Error::StreamReadFailed(error) => cut(&std::io::Error::other(error)),
        Error::IncompleteStream | Error::IncompleteFieldData { .. } | Error::IncompleteHeaders => {
            cut(&std::io::ErrorKind::UnexpectedEof.into())
        }
        error => Refused::wrong(format!("the form cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;
    use bytes::Bytes;
    use futures::{StreamExt, stream};
    use proptest::prelude::*;
    use tokio_util::io::StreamReader;

    const TYPE: &str = "multipart/form-data; boundary=b";

    fn form(fields: &[(&str, &[u8])], file: &[u8]) -> Vec<u8> {
        let mut form = Vec::new();
        for (name, text) in fields {
            form.extend(
                format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n").bytes(),
            );
            form.extend_from_slice(text);
            form.extend(b"\r\n");
        }
        let head = "--b\r\nContent-Disposition: form-data; name=\"content\"; filename=\"a-1.tar.gz\"\r\n\
                    Content-Type: application/octet-stream\r\n\r\n";
        form.extend(head.bytes());
        form.extend_from_slice(file);
        form.extend(b"\r\n--b--\r\n");
        form
    }

    async fn taken(bytes: &[u8], most: u64) -> Result<(Form, Vec<u8>), String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("content");
        match read(&mut &bytes[..], TYPE, (&path, most)).await {
            Ok(form) => Ok((form, std::fs::read(&path).unwrap())),
            Err(Refused::Because(status, text)) => Err(format!("{status} {text}")),
            Err(Refused::TooEarly) => unreachable!(),
        }
    }

    #[tokio::test]
    async fn what_counts_of_a_form_is_kept_and_its_file_written() {
        let long = vec![b'x'; 1 << 20];
        let fields: [(&str, &[u8]); 3] = [
            (":action", b"file_upload"),
            ("description", &long),
            ("name", b"a"),
        ];
        let (form_read, file) = taken(&form(&fields, b"abc"), 100).await.unwrap();
        assert_eq!(
            (form_read.text(":action"), form_read.text("name")),
            (Some("file_upload"), Some("a"))
        );
        assert_eq!(
            (
                form_read.text("description"),
                form_read.file.as_str(),
                &file[..]
            ),
            (None, "a-1.tar.gz", &b"abc"[..])
        );
        // Computed by sha256sum, b2sum -l 256 and md5sum.
        assert_eq!(
            form_read.digests.sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            form_read.digests.blake2_256,
            "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"
        );
        assert_eq!(form_read.digests.md5, "900150983cd24fb0d6963f7d28e17f72");
    }

    #[tokio::test]
    async fn what_is_no_upload_is_refused_with_a_reason() {
        let whole = form(&[("name", b"a")], b"abc");
        let why = async |bytes: &[u8], most| taken(bytes, most).await.unwrap_err();
        assert!(why(&whole, 2).await.starts_with("413"), "over the limit");
        assert!(
            why(&form(&[("name", b"a"), ("name", b"b")], b"abc"), 9)
                .await
                .contains("name twice")
        );
        assert!(
            why(&form(&[("version", &[b'1'; WORD + 1])], b"abc"), 9)
                .await
                .contains("longer")
        );
        assert!(
            why(&form(&[("version", &[0xff])], b"abc"), 9)
                .await
                .contains("UTF-8")
        );
        assert!(
            why(
                b"--b\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\na\r\n--b--\r\n",
                9
            )
            .await
            .contains("no file")
        );
        let mut rest = &whole[..];
        let none = read(&mut rest, "application/json", (Path::new("/nowhere"), 9)).await;
        assert!(matches!(none, Err(Refused::Because(_, text)) if text.contains("form")));
    }

    #[tokio::test]
    async fn a_form_that_comes_quicker_than_it_is_written_is_not_held() {
        const PIECES: usize = 256;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("content");
        let body = form(&[], &vec![7; PIECES * PIECE]);
        let given = Arc::new(AtomicUsize::new(0));
        let most_ahead = Arc::new(AtomicUsize::new(0));
        let counted = {
            let (given, most_ahead, path) = (given.clone(), most_ahead.clone(), path.clone());
            stream::iter(
                body.chunks(PIECE)
                    .map(Bytes::copy_from_slice)
                    .collect::<Vec<_>>(),
            )
            .map(move |piece| {
                let written = std::fs::metadata(&path).map_or(0, |about| about.len() as usize);
                let ahead = (given.fetch_add(piece.len(), Ordering::Relaxed) + piece.len())
                    .saturating_sub(written);
                most_ahead.fetch_max(ahead, Ordering::Relaxed);
                std::io::Result::Ok(piece)
            })
        };
        let mut reader = StreamReader::new(counted);
        let form = read(&mut reader, TYPE, (&path, u64::MAX))
            .await
            .map_err(|_| "refused")
            .unwrap();
        assert_eq!(form.file, "a-1.tar.gz");
        assert_eq!(
            std::fs::metadata(&path).unwrap().len() as usize,
            PIECES * PIECE
        );
        let most_ahead = most_ahead.load(Ordering::Relaxed);
        // Writing to a file with tokio uses a buffer of 2 MiB.
        assert!(
            most_ahead < 4 << 20,
            "{most_ahead} of {} bytes were in memory",
            PIECES * PIECE
        );
    }

    proptest! {
        #[test]
        fn what_is_cut_anywhere_is_refused(file in prop::collection::vec(any::<u8>(), 0..300), at in 0.0..1.0f64) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let whole = form(&[("name", b"a")], &file);
            let (_, back) = runtime.block_on(taken(&whole, 1_000)).unwrap();
            prop_assert_eq!(back, file);
            // The line end after the last boundary is optional.
            let end = ((whole.len() - 2) as f64 * at) as usize;
            prop_assert!(runtime.block_on(taken(&whole[..end], 1_000)).is_err());
        }

        #[test]
        fn any_bytes_are_a_form_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let body = [b"--b\r\n", &bytes[..]].concat();
            prop_assert!(runtime.block_on(taken(&body, 1_000)).is_err());
        }
    }
}
