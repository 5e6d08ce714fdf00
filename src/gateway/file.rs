//! Files of releases: streamed while they are fetched, and withheld if they do not match the
//! release.

use std::{collections::HashMap, ops::Range, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::stream;
use parking_lot::Mutex;
use tokio::{sync::mpsc, time::timeout};

use super::{
    answer::{self, sentence},
    range, request_log,
    service::{Client, Service},
};
use crate::{
    RegistryError, Result,
    domain::{
        hash::{ContentRoot, Digester, FileDigests, Sha1Digest, Sha512Digest},
        name::PackageId,
        version::VersionText,
    },
    ecosystem::Ecosystem,
    registry::Wanted,
};

/// A smaller file is verified before its first byte is sent, so that an error can still be
/// explained.
const SMALL: u64 = 1 << 20;
/// Most files remembered as having the right digest.
const REMEMBERED: usize = 65_536;

/// Files that were once sent as a whole, with their digests.
#[derive(Default)]
pub struct SentFiles(Mutex<HashMap<ContentRoot, String>>);

impl SentFiles {
    fn is_right(&self, file: &ServedFile) -> bool {
        let held = self.0.lock();
        held.get(&file.wanted.content.root)
            .is_some_and(|known| *known == file.digests())
    }

    fn note(&self, file: &ServedFile) {
        let mut held = self.0.lock();
        if held.len() >= REMEMBERED {
            held.clear();
        }
        held.insert(file.wanted.content.root, file.digests());
    }
}

/// A requested file of a release.
#[derive(Clone)]
pub struct ServedFile {
    pub wanted: Wanted,
    /// SHA-256 digest in lower-case hexadecimal, as the release's signer states it.
    pub digest: String,
    pub others: Others,
    pub package: PackageId,
    pub version: VersionText,
    /// Its name, if its version may have other files, too.
    pub name: Option<String>,
    pub kind: &'static str,
    /// True if its URL contains its digest.
    pub fixed: bool,
}

/// Further digests stated by a release's signer, because clients compare them.
#[derive(Clone, Default)]
pub struct Others {
    pub sha512: Option<Sha512Digest>,
    pub sha1: Option<Sha1Digest>,
}

impl ServedFile {
    /// Returns all stated digests, as one text.
    fn digests(&self) -> String {
        let Self {
            digest,
            others: Others { sha512, sha1 },
            ..
        } = self;
        format!("{digest} {sha512:?} {sha1:?}")
    }

    fn digester(&self) -> Digester {
        let Others { sha512, sha1 } = &self.others;
        // Only npm's files have the others.
        if sha512.is_some() || sha1.is_some() {
            Digester::of(&Ecosystem::Npm)
        } else {
            Digester::default()
        }
    }

    /// Returns the first digest that differs from the signer's: its name, the stated value, and the
    /// actual one.
    fn differs(&self, found: &FileDigests) -> Option<(&'static str, String, String)> {
        let Others { sha512, sha1 } = &self.others;
        let all = [
            (
                "SHA-256",
                Some(self.digest.clone()),
                Some(found.sha256.to_string()),
            ),
            (
                "SHA-512",
                sha512.map(|said| said.to_string()),
                found.sha512.map(|found| found.to_string()),
            ),
            (
                "SHA-1",
                sha1.map(|said| said.to_string()),
                found.sha1.map(|found| found.to_string()),
            ),
        ];
        let differs = |(_, said, found): &(_, String, String)| said != found;
        all.into_iter()
            .find_map(|(name, said, found)| Some((name, said?, found?)).filter(differs))
    }

    fn size(&self) -> u64 {
        self.wanted.content.size
    }

    fn etag(&self) -> String {
        format!("\"{}\"", self.digest)
    }
}

/// Answers with the file, or the requested part of it.
pub async fn answer(
    service: &std::sync::Arc<Service>,
    file: ServedFile,
    method: &Method,
    headers: &HeaderMap,
    client: Client,
) -> Response {
    let etag = file.etag();
    request_log::version(&file.version);
    if range::is_known(headers, &etag) {
        return fields(StatusCode::NOT_MODIFIED.into_response(), &file, None);
    }
    let part = match range::wanted(headers, file.size(), &etag) {
        range::WantedRange::All => None,
        range::WantedRange::Part(part) => Some(part),
        range::WantedRange::None => {
            let mut response = sentence(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "the file is shorter than that",
            );
            if let Ok(value) = HeaderValue::from_str(&format!("bytes */{}", file.size())) {
                response.headers_mut().insert(header::CONTENT_RANGE, value);
            }
            return response;
        }
    };
    if *method == Method::HEAD {
        return fields(StatusCode::OK.into_response(), &file, part);
    }
    let root = file.wanted.content.root;
    // If the disk fails here, sending the file fails, too.
    request_log::file(
        root,
        service
            .contents()
            .held(root)
            .await
            .is_ok_and(|held| held.is_some()),
    );
    let is_right = service.files.is_right(&file);
    // A part cannot be verified by itself, so the whole file is verified once before.
    let whole_first = file.size() < SMALL || part.is_some() && !is_right;
    let from = part.as_ref().map_or(0, |part| part.start);
    let pieces = match whole_first && !is_right {
        true => checked(service, &file, from).await,
        false => begin(service, &file, from).await,
    };
    let (first, pieces) = match pieces {
        Ok(pieces) => pieces,
        Err(error) => {
            tracing::warn!(what = %file.wanted.what, %error, "a file could not be sent");
            return sentence(answer::status_of(&error), &error.to_string());
        }
    };
    let length = part
        .as_ref()
        .map_or(file.size(), |part| part.end - part.start);
    let sending = Sending {
        digest: (part.is_none() && !is_right && !whole_first).then(|| file.digester()),
        service: service.clone(),
        file: file.clone(),
        left: length,
        held: None,
        first,
        pieces,
        client,
    };
    let body = Body::from_stream(stream::unfold(Some(sending), Sending::next));
    fields(body.into_response(), &file, part)
}

/// Sets the headers of an answer with the file or a part of it.
fn fields(mut response: Response, file: &ServedFile, part: Option<Range<u64>>) -> Response {
    let size = file.size();
    if let Some(part) = &part {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let range = format!("bytes {}-{}/{size}", part.start, part.end.saturating_sub(1));
        if let Ok(value) = HeaderValue::from_str(&range) {
            response.headers_mut().insert(header::CONTENT_RANGE, value);
        }
    }
    let fields = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(&file.etag()) {
        fields.insert(header::ETAG, etag);
    }
    fields.insert(header::CACHE_CONTROL, answer::CHANGES);
    if file.fixed {
        answer::never_changes(&mut response);
    }
    if response.status() == StatusCode::NOT_MODIFIED {
        return response;
    }
    let length = part.map_or(size, |part| part.end - part.start);
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    fields.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.kind));
    response
}

type Pieces = mpsc::Receiver<Result<Bytes>>;

fn late(what: &str, wait: Duration) -> RegistryError {
    let why = format!(
        "nobody gave the next bytes within {} s; `transfers` shows who was asked",
        wait.as_secs_f64()
    );
    RegistryError::Fetch {
        what: what.to_owned(),
        why,
        done: 0,
        size: 0,
    }
}

/// Returns the next piece if it arrives in time; `None` at the end.
async fn next(pieces: &mut Pieces, what: &str, wait: Duration) -> Result<Option<Bytes>> {
    match timeout(wait, pieces.recv()).await {
        Ok(piece) => piece.transpose(),
        Err(_) => Err(late(what, wait)),
    }
}

/// Returns the first piece from `from` on, and the stream of those after it.
async fn begin(service: &Service, file: &ServedFile, from: u64) -> Result<(Option<Bytes>, Pieces)> {
    let mut pieces = service.contents().stream(file.wanted.clone(), from).await?;
    let first = next(&mut pieces, &file.wanted.what, service.options.wait).await?;
    Ok((first, pieces))
}

/// Reads the whole file, compares it with the signer's digests, and returns it from `from` on. A
/// small file is not read again for that.
async fn checked(
    service: &Service,
    file: &ServedFile,
    from: u64,
) -> Result<(Option<Bytes>, Pieces)> {
    let (mut piece, mut pieces) = begin(service, file, 0).await?;
    let (mut digest, mut whole) = (file.digester(), Vec::new());
    while let Some(bytes) = piece {
        digest.update(&bytes);
        if file.size() < SMALL {
            whole.push(bytes);
        }
        piece = next(&mut pieces, &file.wanted.what, service.options.wait).await?;
    }
    settle(service, file, digest).await?;
    if file.size() >= SMALL {
        return begin(service, file, from).await;
    }
    let whole = match <[Bytes; 1]>::try_from(whole) {
        Ok([whole]) => whole,
        Err(pieces) => pieces.concat().into(),
    };
    let from = usize::try_from(from).unwrap_or(usize::MAX).min(whole.len());
    Ok((Some(whole.slice(from..)), pieces))
}

/// Records the digests of a whole file. A file that differs from the signer's digests is not served
/// again.
async fn settle(service: &Service, file: &ServedFile, digest: Digester) -> Result<()> {
    let Some((kind, said, found)) = file.differs(&digest.finish()) else {
        service.files.note(file);
        return Ok(());
    };
    let ServedFile {
        package,
        version,
        name,
        ..
    } = file;
    let why = format!(
        "{} signed that {} has the {kind} {said}, and it has {found}; what was signed is to \
         blame, and no peer",
        package.owner,
        name.as_deref().unwrap_or("its file")
    );
    tracing::error!(%package, %version, "{why}");
    service
        .node()
        .names()
        .block(
            package.name.clone(),
            Some(version.clone()),
            name.clone(),
            why.clone(),
        )
        .await?;
    Err(RegistryError::Fetch {
        what: file.wanted.what.clone(),
        why,
        done: 0,
        size: 0,
    })
}

/// A file on its way to a client.
struct Sending {
    service: std::sync::Arc<Service>,
    file: ServedFile,
    client: Client,
    pieces: Pieces,
    first: Option<Bytes>,
    /// The bytes held back, because they may be the last.
    held: Option<Bytes>,
    /// Bytes still to come.
    left: u64,
    digest: Option<Digester>,
}

impl Sending {
    async fn next(sending: Option<Self>) -> Option<(Result<Bytes>, Option<Self>)> {
        let mut sending = sending?;
        match sending.piece().await {
            Ok(piece) => Some((Ok(piece?), Some(sending))),
            Err(error) => {
                tracing::warn!(what = %sending.file.wanted.what, %error, "a file is broken off");
                // The body must not end normally, or the client would take a part for the whole.
                sending.client.reset.set();
                Some((Err(error), None))
            }
        }
    }

    async fn piece(&mut self) -> Result<Option<Bytes>> {
        loop {
            if self.left == 0 {
                if let Some(digest) = self.digest.take() {
                    settle(&self.service, &self.file, digest).await?;
                }
                return Ok(self.held.take());
            }
            let (what, wait) = (&self.file.wanted.what, self.service.options.wait);
            let piece = match self.first.take() {
                Some(first) => Some(first),
                None => next(&mut self.pieces, what, wait).await?,
            };
            let Some(piece) = piece else {
                return Err(late(what, wait));
            };
            let piece = piece.slice(
                ..piece
                    .len()
                    .min(usize::try_from(self.left).unwrap_or(usize::MAX)),
            );
            self.left -= piece.len() as u64;
            match &mut self.digest {
                Some(digest) => digest.update(&piece),
                None => return Ok(Some(piece)),
            }
            if let Some(before) = self.held.replace(piece) {
                return Ok(Some(before));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::domain::{hash::Digest, manifest::Content, name::PublisherId};

    #[test]
    fn every_digest_that_its_signer_says_must_be_right() {
        let (bytes, other) = (b"bytes", b"other");
        let found = |bytes: &[u8]| {
            let mut digester = Digester::of(&Ecosystem::Npm);
            digester.update(bytes);
            digester.finish()
        };
        let right = found(bytes);
        let file = |sha256: FileDigests, sha512, sha1| {
            let package = PackageId {
                owner: PublisherId::nobody(),
                name: "npm:a".parse().unwrap(),
            };
            let content = Content {
                root: ContentRoot::of(bytes),
                size: bytes.len() as u64,
            };
            ServedFile {
                wanted: Wanted {
                    content,
                    what: "a".to_owned(),
                    package: Some(package.clone()),
                    beside: None,
                    for_others: false,
                },
                digest: sha256.sha256.to_string(),
                others: Others { sha512, sha1 },
                package,
                version: "1.0.0".parse().unwrap(),
                name: None,
                kind: "application/octet-stream",
                fixed: false,
            }
        };
        let wrong = |file: ServedFile| {
            let mut digester = file.digester();
            digester.update(bytes);
            file.differs(&digester.finish()).map(|(kind, ..)| kind)
        };
        assert_eq!(wrong(file(right, right.sha512, right.sha1)), None);
        assert_eq!(wrong(file(right, None, None)), None);
        assert_eq!(
            wrong(file(found(other), right.sha512, None)),
            Some("SHA-256")
        );
        assert_eq!(
            wrong(file(right, found(other).sha512, right.sha1)),
            Some("SHA-512")
        );
        assert_eq!(
            wrong(file(right, None, Some(Digest([0; 20])))),
            Some("SHA-1")
        );
        // A file that matched one digest is not known to match others.
        let files = SentFiles::default();
        files.note(&file(right, None, None));
        assert!(
            files.is_right(&file(right, None, None))
                && !files.is_right(&file(right, found(other).sha512, None))
        );
    }
}
