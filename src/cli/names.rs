//! Handles and names that the user typed: resolves and pins handles, and warns about look-alikes.

use std::collections::BTreeMap;

use super::{ask, print};
use crate::{
    RegistryError, Result,
    domain::{
        dependency::labelled,
        manifest::Draft,
        name::{Handle, Owner, PackageId, PackageName, PackageRef, PublisherId},
        trust::{Claimant, Claims},
    },
    registry::{Registry, Release},
};

/// A package that the user named, resolved to a key.
pub(super) struct ResolvedPackage {
    pub package: PackageRef,
    /// The key and the claims to the handle, if the handle is not bound to a key here.
    unbound: Option<(PublisherId, Claims)>,
}

/// Resolves the reference that a user typed. This does not pin anything: see
/// [`ResolvedPackage::settle`].
///
/// # Errors
/// The handle is claimed by several keys, or by none.
pub(super) async fn typed(
    registry: &dyn Registry,
    package: &PackageRef,
) -> Result<ResolvedPackage> {
    let Owner::Handle(handle) = &package.owner else {
        return Ok(ResolvedPackage {
            package: package.clone(),
            unbound: None,
        });
    };
    let mut claims = registry.claims(handle, false).await?;
    if claims.bound.is_none() {
        claims = registry.claims(handle, true).await?;
    }
    let publisher = claims.only_key()?;
    let package = PackageRef {
        owner: Owner::Publisher(publisher),
        ..package.clone()
    };
    Ok(ResolvedPackage {
        package,
        unbound: claims.bound.is_none().then_some((publisher, claims)),
    })
}

fn key(publisher: &PublisherId) -> String {
    format!(
        "the key {publisher} (fingerprint {})",
        publisher.fingerprint()
    )
}

impl ResolvedPackage {
    /// Pins the handle to the only key that claims it, if it was typed at a terminal or `trust_new`
    /// was given, and if enough peers have answered. Reports the result; returns true if the handle
    /// is pinned now.
    pub async fn settle(&self, registry: &dyn Registry, trust_new: bool) -> Result<bool> {
        let Some((publisher, claims)) = &self.unbound else {
            return Ok(false);
        };
        let (handle, key) = (&claims.handle, key(publisher));
        if !trust_new && !ask::is_terminal() {
            print::note(format!(
                "warning: {handle} is not pinned; using the only key known to claim it: {key}; pin \
                 it with `swarmdex trust {handle}` or --trust-new"
            ));
            return Ok(false);
        }
        pin(registry, *publisher, claims).await
    }
}

/// Pins a handle if enough peers have answered. Reports the result; returns true if it is pinned.
pub(super) async fn pin(
    registry: &dyn Registry,
    publisher: PublisherId,
    claims: &Claims,
) -> Result<bool> {
    let (handle, key) = (&claims.handle, key(&publisher));
    match claims.is_sure() {
        Ok(()) => {
            registry.pin(handle, publisher).await?;
            print::note(format!(
                "pinned {handle}: from now on it means {key} on this node"
            ));
            Ok(true)
        }
        Err(unsure) => {
            print::note(format!(
                "warning: {handle} is not pinned, because {unsure}; using {key}"
            ));
            Ok(false)
        }
    }
}

/// Asks peers who claims a handle; for `trust`.
pub(super) async fn ask_whose(
    registry: &dyn Registry,
    handle: &Handle,
) -> Result<(PublisherId, Claims)> {
    let claims = registry.claims(handle, true).await?;
    Ok((Claims::only_key(&claims)?, claims))
}

/// Warns if a release's name looks like that of a package the user knows.
pub(super) async fn warn_of_look_alike(registry: &dyn Registry, release: &Release) -> Result<()> {
    if release.trust.is_bound() {
        return Ok(());
    }
    let (name, publisher) = (&release.package.name, release.package.owner);
    if let Some(other) = registry.look_alike(name, Some(publisher)).await? {
        print::note(format!(
            "warning: {} looks like {other}; make sure that it is the one you mean",
            release.title()
        ));
    }
    Ok(())
}

/// The way in which the user agrees to an unknown handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agreement {
    /// In advance, with `--trust-new`.
    Given,
    /// At a terminal.
    Asked,
    /// Not at all: a dry run only prints the question.
    Foreseen,
}

/// Resolves handles among the dependencies of a draft that need the user's agreement: those that
/// are neither bound here nor used in the package's last release. The user agrees at a terminal or
/// with `trust_new`.
///
/// # Errors
/// A handle that the user did not agree to, or that is claimed by several keys or by none.
pub(super) async fn agree_on_dependencies(
    registry: &dyn Registry,
    draft: Draft,
    called: Option<&Handle>,
    agreement: Agreement,
) -> Result<Draft> {
    let (mut agreed, name) = (BTreeMap::<Handle, PublisherId>::new(), draft.package()?);
    for handle in draft
        .dependencies
        .iter()
        .filter_map(|dependency| dependency.named_by())
    {
        if Some(&handle) == called || agreed.contains_key(&handle) {
            continue;
        }
        let claims = registry.claims(&handle, false).await?;
        if claims.bound.is_some() || called_before(registry, claims.own, &name, &handle).await? {
            continue;
        }
        let claims = registry.claims(&handle, true).await?;
        let publisher = claims.only_key()?;
        agree(&handle, publisher, &claims, agreement).await?;
        agreed.insert(handle, publisher);
    }
    // The node resolves the other handles itself.
    let by_key = draft.dependencies.into_iter().map(|dependency| {
        let whose = dependency
            .named_by()
            .and_then(|handle| agreed.get(&handle))
            .copied();
        match whose {
            Some(publisher) => {
                dependency.by_key(&draft.ecosystem, |_| Ok::<_, RegistryError>(publisher))
            }
            None => Ok(dependency),
        }
    });
    let dependencies = by_key.collect::<Result<_>>()?;
    Ok(Draft {
        dependencies,
        ..draft
    })
}

/// Returns true if the last release of the user's package used the handle.
async fn called_before(
    registry: &dyn Registry,
    own: Option<PublisherId>,
    name: &PackageName,
    handle: &Handle,
) -> Result<bool> {
    let Some(publisher) = own else {
        return Ok(false);
    };
    let package = PackageRef::of(&PackageId {
        owner: publisher,
        name: name.clone(),
    });
    match registry.get_package(&package).await {
        Ok(last) => Ok(last
            .latest
            .is_some_and(|last| labelled(&last.dependencies, handle).is_some())),
        Err(error) if error.code() == "not_found" => Ok(false),
        Err(error) => Err(error),
    }
}

async fn agree(
    handle: &Handle,
    publisher: PublisherId,
    claims: &Claims,
    agreement: Agreement,
) -> Result<()> {
    let key = key(&publisher);
    let unsure = claims
        .is_sure()
        .err()
        .map_or(String::new(), |unsure| format!(", and {unsure}"));
    if agreement == Agreement::Given {
        print::note(format!(
            "warning: dependencies of {handle} use {key}, which is not pinned{unsure}"
        ));
        return Ok(());
    }
    let question = format!(
        "The release needs packages of {handle}, which is not pinned. The only key known to claim \
         it is {key}{unsure}. Is that the one you mean?"
    );
    if agreement == Agreement::Foreseen && ask::is_terminal() {
        print::note(format!("publish would ask: {question}"));
        return Ok(());
    }
    if agreement == Agreement::Asked && ask::is_terminal() && ask::yes(&question).await? {
        return Ok(());
    }
    Err(RegistryError::UnpinnedHandle {
        handle: handle.clone(),
        publisher,
    })
}

/// Warns about other keys that claim the user's handle. Before the first publish under it, asks at
/// a terminal unless `yes` is set. Returns true to go on.
pub(super) async fn may_publish_under(
    registry: &dyn Registry,
    handle: &Handle,
    yes: bool,
) -> Result<bool> {
    /// Other keys that are named.
    const NAMED: usize = 3;
    let claims = registry.claims(handle, true).await?;
    let others: Vec<&Claimant> = claims.others().collect();
    if others.is_empty() {
        return Ok(true);
    }
    for Claimant { publisher, since } in others.iter().take(NAMED) {
        let since = crate::clock::day(*since);
        print::note(format!(
            "warning: {} also claims {handle}, first seen {since}",
            key(publisher)
        ));
    }
    if others.len() > NAMED {
        print::note(format!(
            "warning: and so do {} more keys",
            others.len() - NAMED
        ));
    }
    if claims.published || yes || !ask::is_terminal() {
        return Ok(true);
    }
    if ask::yes(&format!(
        "People will have to use your key instead of the handle. Publish as {handle}?"
    ))
    .await?
    {
        return Ok(true);
    }
    print::note("nothing was published; choose another handle with --handle");
    Ok(false)
}
