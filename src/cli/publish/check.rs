//! Checks that a publish would succeed, without publishing.

use serde::Serialize;

use super::{Inspected, blocking, handle_of, listing, with_handle};
use crate::{
    RegistryError, Result,
    archive::pack::PackListing,
    cli::{
        DONE,
        global::Global,
        names::{self, Agreement},
        print, session,
    },
    control::Control,
    domain::{
        name::{PackageId, PackageRef, WrittenName},
        version::RequirementText,
    },
    prepare::Prepared,
    registry::{AdditionError, check_files, check_version},
};

/// A draft compared with its publisher's releases.
pub(super) struct DraftCheck {
    /// No release of this package is known.
    pub is_first: bool,
}

impl DraftCheck {
    /// Compares a draft with the known releases.
    ///
    /// # Errors
    /// The version cannot be published, with the error that publishing would give.
    pub async fn of(node: &dyn Control, Prepared { draft, file, .. }: &Prepared) -> Result<Self> {
        let registry = node.registry();
        let own = registry.own().await?;
        let Some(publisher) = own.publisher else {
            return Ok(Self { is_first: true });
        };
        let id = PackageId {
            owner: publisher,
            name: draft.package()?,
        };
        match registry.get_package(&PackageRef::of(&id)).await {
            Ok(package) => {
                let checked = check_version(
                    &id.name,
                    &draft.version,
                    &package.releases,
                    package.complete,
                );
                if matches!(checked, Err(AdditionError::VersionTaken { .. }))
                    && id.name.ecosystem().grows()
                {
                    let exactly = RequirementText::exactly(id.name.ecosystem(), &draft.version);
                    let there = registry
                        .get_package_version(&PackageRef::of(&id), &exactly)
                        .await?;
                    check_files(
                        &id.name,
                        &draft.version,
                        &there.files,
                        std::iter::once(file.as_str()),
                    )?;
                } else {
                    checked?;
                }
                Ok(Self { is_first: false })
            }
            // The network does not answer now; the publish itself will ask again.
            Err(_) => Ok(Self {
                is_first: !own.packages.iter().any(|package| package.id == id),
            }),
        }
    }
}

/// The output of `--dry-run --json`.
#[derive(Serialize)]
struct DryRunOutput<'a> {
    package: &'a WrittenName,
    version: String,
    #[serde(flatten)]
    listing: &'a PackListing,
    /// Number and total bytes of the included files.
    files: u64,
    bytes: u64,
    /// Bytes of the archive; `None` if there would be none.
    archive: Option<u64>,
    would_succeed: bool,
    first_publish: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Runs all steps of a publish up to the first that has an effect.
pub(super) async fn dry_run(
    global: &Global,
    looked: Inspected,
    json: bool,
    trust_new: bool,
) -> Result<u8> {
    let (listing, draft) = (looked.listing().clone(), looked.draft().clone());
    if !json {
        print::lines(&listing::whole(&listing))?;
    }
    let prepared = blocking(move || looked.prepare()).await;
    let archive = prepared.as_ref().ok().map(|prepared| prepared.size);
    let checked = match prepared {
        Ok(prepared) => on_a_node(global, &prepared, trust_new).await,
        Err(error) => Err(error),
    };
    let (files, bytes) = listing.files();
    if json {
        let standing = checked
            .as_ref()
            .ok()
            .and_then(|(standing, _)| standing.as_ref());
        print::json(&DryRunOutput {
            package: &draft.name,
            version: draft.version.to_string(),
            listing: &listing,
            files,
            bytes,
            archive,
            would_succeed: standing.is_some(),
            first_publish: standing.map(|standing| standing.is_first),
            error: checked.as_ref().err().map(ToString::to_string),
        })?;
    }
    let (standing, code) = checked?;
    if !json && standing.is_some() {
        let (name, version) = (&draft.name, &draft.version);
        let size = archive.unwrap_or_default();
        print::lines(&format!(
            "{name} {version} would be published: {files} files of {bytes} bytes, as {size} bytes"
        ))?;
    }
    Ok(code)
}

/// Asks the node that would publish. Returns no answer but an exit code if the user interrupts it.
async fn on_a_node(
    global: &Global,
    prepared: &Prepared,
    trust_new: bool,
) -> Result<(Option<DraftCheck>, u8)> {
    if global.readonly {
        return Err(RegistryError::ReadOnly { what: "publish" });
    }
    let most = global.settings()?.node.content.max;
    if prepared.size > most {
        return Err(RegistryError::TooLarge {
            size: prepared.size,
            most,
        });
    }
    let mut standing = None;
    let code = session::with(global, async |node, settings| {
        let there = DraftCheck::of(node, prepared).await?;
        let draft = with_handle(prepared.draft.clone(), settings);
        let called = handle_of(node, &draft).await?;
        let agreement = if trust_new {
            Agreement::Given
        } else {
            Agreement::Foreseen
        };
        names::agree_on_dependencies(&*node.registry(), draft, called.as_ref(), agreement).await?;
        standing = Some(there);
        Ok(DONE)
    });
    let code = code.await?;
    Ok((standing, code))
}
