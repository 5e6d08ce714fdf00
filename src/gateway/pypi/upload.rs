//! Uploads: a wheel or a source distribution is prepared as by `import`, and then published.

use std::{path::Path, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use hyper::ext::ReasonPhrase;
use tokio::io::AsyncRead;

use super::form::{self, Form};
use crate::{
    RegistryError, Result,
    archive::release::{self, ArchivedRelease},
    clock,
    domain::text::fit,
    ecosystem::{Ecosystem, pypi::file::FileName},
    gateway::{
        answer::sentence,
        policy::{Refused, may_change, may_publish, name_of},
        publish::publish,
        service::{Asked, ChangePermission, Service},
        upload,
    },
    prepare,
};

/// Most characters in the phrase of a status line: one or two lines of a terminal.
const PHRASE: usize = 200;
/// Most bytes after the end of a form.
const BEHIND: u64 = 64 << 10;

/// Accepts an upload, if it is allowed.
pub(super) async fn take(
    service: &Arc<Service>,
    asked: &Asked,
    body: Body,
) -> Result<Response, Refused> {
    let most = service.options.upload.saturating_add(form::WORDS);
    let mut bytes = upload::coming(&asked.headers, body, most)?;
    let taken = match allowed(asked) {
        Ok(()) => take_all(service, asked, &mut bytes).await,
        Err(refused) => Err(refused),
    };
    upload::hear_out(bytes, if taken.is_ok() { BEHIND } else { most }).await;
    taken
}

/// Returns a refusal whose reason clients display: twine shows the phrase of the status line, uv
/// and poetry the body.
pub(super) fn refused(refused: Refused) -> Response {
    refused.shown(|status, text| {
        let mut response = sentence(status, text);
        if let Ok(phrase) = ReasonPhrase::try_from(phrase(text).into_bytes()) {
            response.extensions_mut().insert(phrase);
        }
        if status == StatusCode::UNAUTHORIZED {
            let ask = HeaderValue::from_static("Basic realm=\"swarmdex\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, ask);
        }
        response
    })
}

/// Returns a sentence in the form that a status line allows.
fn phrase(text: &str) -> String {
    let ascii = |c: char| {
        if c.is_ascii_graphic() || c == ' ' {
            c
        } else {
            '?'
        }
    };
    fit(&text.chars().map(ascii).collect::<String>(), PHRASE).replace('…', "...")
}

fn allowed(asked: &Asked) -> Result<(), Refused> {
    let how = "the user is __token__, and the token the password; `swarmdex setup pip` prints both";
    match asked.change {
        // Ask a client without credentials for them.
        ChangePermission::NoToken if !asked.headers.contains_key(header::AUTHORIZATION) => {
            let text = format!(
                "publishing here takes the token in gateway.token in the node's data directory; \
                 {how}"
            );
            Err(Refused::Because(StatusCode::UNAUTHORIZED, text))
        }
        change => may_change(change, how),
    }
}

async fn take_all(
    service: &Arc<Service>,
    asked: &Asked,
    bytes: &mut (impl AsyncRead + Unpin + Send),
) -> Result<Response, Refused> {
    let _place = service
        .uploading
        .acquire()
        .await
        .map_err(|_| RegistryError::Closed)?;
    let dir = tempfile::tempdir_in(&service.uploads)
        .map_err(RegistryError::file(&service.uploads, "written to"))?;
    let content_type = asked
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let coming = dir.path().join("coming");
    let form = form::read(
        bytes,
        content_type.unwrap_or_default(),
        (&coming, service.options.upload),
    )
    .await?;
    let file = check(&form)?;
    let name = name_of(&Ecosystem::Pypi, file.name())?;
    let id = may_publish(service, None, &name).await?;
    let path = dir.path().join(&form.file);
    std::fs::rename(&coming, &path).map_err(RegistryError::file(&path, "written"))?;
    let release = read(&path, &form).await?;
    let version = release.draft.version.clone();
    let left_out = release.left_out.clone();
    let warnings = publish(service, &id, prepare::release(release)?, &left_out, &path).await?;
    let mut text = format!("{} is published as {id} {version}", form.file);
    for warning in &warnings {
        text.push_str(&format!("\nwarning: {warning}"));
    }
    Ok(sentence(StatusCode::OK, &text))
}

/// Checks the form against its file, as far as possible without opening it.
fn check(form: &Form) -> Result<FileName, Refused> {
    let wrong = |text: String| Refused::wrong(text);
    match form.text(":action") {
        None | Some("file_upload") => {}
        Some(_) => {
            return Err(wrong(
                "only files are taken here; projects need not be registered".to_owned(),
            ));
        }
    }
    if let Some(version) = form
        .text("protocol_version")
        .filter(|version| *version != "1")
    {
        return Err(wrong(format!(
            "the form has protocol version {version}, and only 1 is supported"
        )));
    }
    let file =
        FileName::parse(&form.file).map_err(|why| wrong(format!("the name of the file {why}")))?;
    let expected = match file {
        FileName::Wheel(_) => "bdist_wheel",
        FileName::Source(_) => "sdist",
    };
    if let Some(kind) = form.text("filetype").filter(|kind| *kind != expected) {
        return Err(wrong(format!(
            "{} is sent as {kind}, and is {expected} by its name",
            form.file
        )));
    }
    let digests = &form.digests;
    for (field, is) in [
        ("sha256_digest", &digests.sha256),
        ("blake2_256_digest", &digests.blake2_256),
        ("md5_digest", &digests.md5),
    ] {
        let said = form.text(field).filter(|said| !said.is_empty());
        if let Some(said) = said.filter(|said| !said.eq_ignore_ascii_case(is)) {
            return Err(wrong(format!(
                "{} came with the {field} {is}, and is sent with {said}; upload it again",
                form.file
            )));
        }
    }
    Ok(file)
}

/// Reads the archive and checks the form against it.
async fn read(path: &Path, form: &Form) -> Result<ArchivedRelease, Refused> {
    let archive = path.to_owned();
    let read = tokio::task::spawn_blocking(move || release::read(&archive, clock::now())).await;
    let read = read.map_err(|error| RegistryError::Internal {
        what: "reading an upload",
        why: error.to_string(),
    })?;
    let release =
        read.map_err(|why| Refused::wrong(format!("{} cannot be taken: {why}", form.file)))?;
    let draft = &release.draft;
    let (name, version) = (draft.name.as_str(), draft.version.as_str());
    let normal = |name: &str| Ecosystem::Pypi.normalise(name).ok();
    let read = |version: &str| Ecosystem::Pypi.version(version).ok();
    let is_said = form
        .text("name")
        .is_none_or(|said| normal(said) == normal(name))
        && form
            .text("version")
            .is_none_or(|said| read(said) == read(version));
    if is_said {
        return Ok(release);
    }
    let said = |field| form.text(field).unwrap_or_default();
    let text = format!(
        "{} holds {name} {version}, and is sent as {} {}",
        form.file,
        said("name"),
        said("version")
    );
    Err(Refused::wrong(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_sentence_is_a_phrase(text in ".{0,400}") {
            let phrase = phrase(&text);
            prop_assert!(phrase.len() <= PHRASE + 3 && phrase.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert!(ReasonPhrase::try_from(phrase.into_bytes()).is_ok());
        }
    }
}
