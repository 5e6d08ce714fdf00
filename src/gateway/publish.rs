//! Publishes a release that a client uploaded.

use std::{path::Path, time::Duration};

use super::{policy::Refused, request_log, service::Service};
use crate::{
    Result,
    archive::inspect,
    domain::{
        manifest::{File, PutFile},
        name::PackageId,
        release,
        version::VersionText,
    },
    prepare::Prepared,
    registry::{Receipt, Replicas, replicated},
};

/// Most suspicious files named in a warning.
const NAMED: usize = 3;
/// Longest wait for others to have the release.
const AS_SAFE: Duration = Duration::from_secs(60);

/// Warns of files in an archive that are named like keys or look like them. The archive is
/// published unchanged, because its digest is fixed.
async fn doubtful(path: &Path) -> Vec<String> {
    let path = path.to_owned();
    let look = move || inspect::doubtful(&mut std::fs::File::open(path)?);
    let Ok(Ok(paths)) = tokio::task::spawn_blocking(look).await else {
        return Vec::new();
    };
    if paths.is_empty() {
        return Vec::new();
    }
    let named = paths
        .iter()
        .take(NAMED)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    let more = match paths.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    vec![format!(
        "the archive has files that look like private keys, which are published too: {named}{more}"
    )]
}

/// Publishes an archive, or finds that the same bytes are published already. Returns messages for
/// its publisher. `left_out` lists what did not fit into the manifest.
pub async fn publish(
    service: &Service,
    id: &PackageId,
    prepared: Prepared,
    left_out: &[String],
    archive: &Path,
) -> Result<Vec<String>, Refused> {
    let version = prepared.draft.version.clone();
    request_log::version(&version);
    let mut warnings = doubtful(archive).await;
    warnings.extend(
        left_out
            .iter()
            .map(|left| format!("its manifest does not say that it needs {left}")),
    );
    if let Some(alike) = service.registry().look_alike(&id.name, None).await? {
        warnings.push(format!("{} looks like {alike}", id.name));
    }
    if let Some(receipt) = published(service, id, &version, prepared).await? {
        warnings.extend(missing(service, &receipt).await?);
    }
    for warning in &warnings {
        tracing::warn!(package = %id, %version, "{warning}");
    }
    Ok(warnings)
}

/// Waits until a release has the replicas that the settings ask for. Returns a message if it does
/// not.
async fn missing(service: &Service, receipt: &Receipt) -> Result<Option<String>> {
    let wanted = service.options.replicas;
    if wanted == 0 {
        return Ok(None);
    }
    let Replicas {
        records,
        copies,
        enough,
    } = replicated(&*service.registry(), receipt, wanted, AS_SAFE).await?;
    let time = AS_SAFE.as_secs();
    let text = format!(
        "after {time} s, {records} of {wanted} peers have its records and {copies} its bytes; it \
         is published all the same, and the node continues"
    );
    Ok((!enough).then_some(text))
}

/// Publishes and returns the receipt; `None` if the same bytes are published already.
async fn published(
    service: &Service,
    id: &PackageId,
    version: &VersionText,
    prepared: Prepared,
) -> Result<Option<Receipt>, Refused> {
    let (draft, artifacts) = prepared.put(&*service.contents(), |_| {}).await?;
    let files = artifacts.files.clone();
    match service.registry().publish(draft, artifacts, None).await {
        Ok(receipt) => {
            tracing::info!(id = receipt.id, "published through the gateway");
            Ok(Some(receipt))
        }
        Err(error)
            if matches!(error.code(), "version_taken" | "file_taken")
                && has_all(service, id, version, &files).await? =>
        {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns true if each of the files belongs to a published version; where a version may have
/// several, the names must match, too.
async fn has_all(
    service: &Service,
    id: &PackageId,
    version: &VersionText,
    files: &[PutFile],
) -> Result<bool> {
    let ecosystem = id.name.ecosystem();
    let package = service
        .registry()
        .get_package(&id.to_string().parse()?)
        .await?;
    let mut published = Vec::new();
    for hash in release::find(ecosystem, &package.releases, version)
        .iter()
        .flat_map(|entry| &entry.manifests)
    {
        published.extend(service.registry().manifest_of(id, hash).await?.files);
    }
    let is_it = |file: &PutFile, one: &File| {
        one.root == file.content.root
            && (!ecosystem.grows() || file.name.as_ref() == Some(&one.name))
    };
    Ok(files
        .iter()
        .all(|file| published.iter().any(|one| is_it(file, one))))
}
