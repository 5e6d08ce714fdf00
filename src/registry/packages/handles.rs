//! Handles on this node: their claimants, their meaning, and dependencies by key.

use super::{Packages, PackagesError};
use crate::{
    Result,
    domain::{
        dependency::{Dependency, DependencyOn, labelled},
        manifest::{Draft, Manifest},
        name::{Handle, PackageId, PackageName, PublisherId},
        query::{LookAlike, name_publishers},
        record::{Authorised, Head},
        trust::{self, Bound, Claims, HandleError, HandleMeaning, MAX_HANDLES},
    },
    net::protocol::{Request, Response},
};

impl Packages {
    /// Collects the known claimants of a handle; with `ask`, peers are asked for claimants first.
    pub async fn claims_of(&self, handle: &Handle, ask: bool) -> Result<Claims> {
        let bound = self.bound(handle)?;
        let (answered, needed) = if ask {
            self.ask_for_claimants(handle).await?
        } else {
            (0, 0)
        };
        let (own, claimants) = (self.core.publisher_id(), self.core.store.claimants(handle)?);
        let published = own.map_or(Ok(false), |own| self.core.store.claims(&own, handle))?;
        Ok(Claims {
            handle: handle.clone(),
            bound,
            own,
            published,
            claimants,
            answered,
            needed,
        })
    }

    /// Returns the key that a handle is bound to here, whatever others claim. One's own handle is
    /// always bound to one's own key.
    fn bound(&self, handle: &Handle) -> Result<Option<(PublisherId, Bound)>> {
        if let Some(own) = self.core.publisher_id()
            && (self.core.options.handle.as_ref() == Some(handle)
                || self.core.store.claims(&own, handle)?)
        {
            return Ok(Some((own, Bound::Own)));
        }
        Ok(self
            .core
            .store
            .pin_of(handle)?
            .map(|publisher| (publisher, Bound::Pinned)))
    }

    /// Replaces bound handles in a search's text by their keys.
    pub fn name_publishers(&self, text: &str) -> String {
        name_publishers(text, |handle| {
            let bound = self.bound(&handle.parse().ok()?).ok().flatten();
            bound.map(|(publisher, _)| publisher.to_string())
        })
    }

    /// Refuses to bind one's own handle to another key.
    fn not_own(&self, handle: &Handle, publisher: PublisherId) -> Result<(), PackagesError> {
        match self.bound(handle)? {
            Some((own, Bound::Own)) if own != publisher => Err(PackagesError::OwnHandle {
                handle: handle.clone(),
                publisher,
            }),
            _ => Ok(()),
        }
    }

    /// Resolves a handle to a key for display; pins nothing.
    pub async fn publisher_called(&self, handle: &Handle) -> Result<PublisherId, PackagesError> {
        let mut claims = self.claims_of(handle, false).await?;
        if claims.meaning() == HandleMeaning::Nobody {
            claims = self.claims_of(handle, true).await?;
        }
        Ok(claims.only_key()?)
    }

    /// Asks peers for the claimants of a handle, and accepts those with proof. Returns the number
    /// of peers that answered, and the number required for the answer to count.
    async fn ask_for_claimants(&self, handle: &Handle) -> Result<(usize, usize)> {
        let now = self.core.now();
        let needed = trust::needed(*self.core.net.joined().borrow());
        let mut answered = 0;
        let mut answers = self.ask_best(Request::Handle(handle.clone())).await?;
        while let Some((peer, response)) = answers.next().await {
            let Ok(Response::Heads(heads)) = response else {
                continue;
            };
            let shown = heads.len();
            let heads = self.catalogue.verified::<Head>(
                peer,
                heads.iter().map(|head| head.as_slice()),
                |head| head.handle.as_ref() == Some(handle),
            );
            // A peer that returns anything else has not answered.
            answered += usize::from(heads.len() == shown && self.core.net.counts(&peer));
            for head in heads {
                self.take_claim(head, now).await?;
            }
        }
        Ok((answered, needed))
    }

    async fn take_claim(
        &self,
        head: Authorised<Head>,
        now: crate::domain::time::Timestamp,
    ) -> Result<()> {
        if let Some(refusal) = self
            .catalogue
            .accept_head(head, Vec::new(), now)
            .await?
            .refusal()
        {
            self.core.tally.refused(refusal);
        }
        Ok(())
    }

    /// Replaces the handles in a draft's dependencies by keys. One's own handle is one's own key,
    /// and the handles in the package's last release keep their keys.
    ///
    /// # Errors
    /// [`HandleError`] if a handle stands for no key here, or if a person must first agree to it.
    pub async fn by_key(
        &self,
        draft: Draft,
        own: (&PublisherId, Option<&Handle>),
        last: Option<&Manifest>,
    ) -> Result<Draft, PackagesError> {
        let mut dependencies = Vec::with_capacity(draft.dependencies.len());
        for dependency in draft.dependencies {
            let meant = match dependency.named_by() {
                Some(handle) => Some(self.meant_by(&handle, own, last).await?),
                None => None,
            };
            let mut by_key = dependency.by_key(&draft.ecosystem, |handle| {
                meant.ok_or_else(|| HandleError::Unknown(handle.clone()))
            })?;
            keep_label(&mut by_key, last);
            dependencies.push(by_key);
        }
        Ok(Draft {
            dependencies,
            ..draft
        })
    }

    async fn meant_by(
        &self,
        handle: &Handle,
        own: (&PublisherId, Option<&Handle>),
        last: Option<&Manifest>,
    ) -> Result<PublisherId, PackagesError> {
        let mut claims = self.claims_of(handle, false).await?;
        if let Some(publisher) = agreed(handle, own, &claims.meaning(), last) {
            return Ok(publisher);
        }
        if claims.meaning() == HandleMeaning::Nobody {
            claims = self.claims_of(handle, true).await?;
        }
        // Peers may have told of a claim that is bound, but a person agreed to none before.
        Err(not_agreed(claims).into())
    }

    /// Checks, before anything is signed under a handle, whether the key may claim one more.
    pub fn check_handles(
        &self,
        own: &PublisherId,
        handle: Option<&Handle>,
    ) -> Result<(), PackagesError> {
        let Some(handle) = handle else { return Ok(()) };
        let handles = self.core.store.handles_of(own)?;
        if handles.len() < MAX_HANDLES || handles.contains(handle) {
            return Ok(());
        }
        Err(PackagesError::TooManyHandles {
            handle: handle.clone(),
            handles,
        })
    }

    /// Returns a package known to this node's person that one called `name` could be mistaken for.
    /// The new package is of `publisher`, or one that this node is about to publish.
    pub fn look_alike(
        &self,
        name: &PackageName,
        publisher: Option<PublisherId>,
    ) -> Result<Option<LookAlike>> {
        let (store, own) = (&self.core.store, self.core.publisher_id());
        let id = |owner| PackageId {
            owner,
            name: name.clone(),
        };
        match publisher.filter(|publisher| own != Some(*publisher)) {
            Some(publisher) => store.look_alike(&id(publisher)),
            None => match own.map(id) {
                // A package that was published before keeps its name.
                Some(own) if store.mark(&own)?.is_some() => Ok(None),
                _ => store.look_alike_of_own(name),
            },
        }
    }

    /// Binds a handle to a key on this node.
    pub async fn pin(&self, handle: &Handle, publisher: PublisherId) -> Result<(), PackagesError> {
        self.not_own(handle, publisher)?;
        let core = &self.core;
        core.store.pin(handle, publisher, core.now()).await?;
        Ok(self.judge_anew().await?)
    }

    /// Removes a distrust; with a handle, also binds the handle to this key on this node.
    pub async fn trust(
        &self,
        publisher: PublisherId,
        handle: Option<&Handle>,
    ) -> Result<(), PackagesError> {
        handle
            .map(|handle| self.not_own(handle, publisher))
            .transpose()?;
        let core = &self.core;
        core.store
            .trust_again(publisher, handle, core.now())
            .await?;
        Ok(self.judge_anew().await?)
    }

    /// Hides a publisher's packages on this node.
    pub async fn distrust(&self, publisher: PublisherId) -> Result<()> {
        let core = &self.core;
        core.store.distrust(publisher, core.now()).await?;
        self.judge_anew().await
    }

    /// Drops cached answers, which contain the old trust.
    async fn judge_anew(&self) -> Result<()> {
        self.core.cache().clear();
        self.catalogue.know().await
    }
}

/// Returns the key that a handle in a draft means without asking a person: one's own key, the key
/// that it is bound to here, or the key that the package's last release used it for.
fn agreed(
    handle: &Handle,
    (own, called): (&PublisherId, Option<&Handle>),
    meaning: &HandleMeaning,
    last: Option<&Manifest>,
) -> Option<PublisherId> {
    if called == Some(handle) {
        return Some(*own);
    }
    match meaning {
        HandleMeaning::Bound(publisher) => Some(*publisher),
        _ => last.and_then(|last| labelled(&last.dependencies, handle)),
    }
}

/// Returns the error for a handle whose key a person must agree to before a dependency is signed
/// under it.
fn not_agreed(claims: Claims) -> HandleError {
    let bound = claims.bound_key();
    bound.map_or_else(
        |error| error,
        |publisher| HandleError::Unpinned {
            handle: claims.handle,
            publisher,
        },
    )
}

/// Gives a dependency the handle that the last release used for its key. A form that is filled in
/// from the last release has keys without handles.
fn keep_label(dependency: &mut Dependency, last: Option<&Manifest>) {
    let before = last.and_then(|last| {
        let mut known = last.dependencies.iter();
        known.find(|one| one.written() == dependency.written())
    });
    if let DependencyOn::Package { handle: label, .. } = &mut dependency.on
        && label.is_none()
    {
        *label = before.and_then(|before| before.label().cloned());
    }
}

#[cfg(test)]
mod tests {
    use libp2p::PeerId;

    use super::*;
    use crate::{
        domain::{manifest::File, time::Timestamp, trust::Claimant},
        ecosystem::Ecosystem,
    };

    fn handle(text: &str) -> Handle {
        text.parse().unwrap()
    }

    fn somebody() -> PublisherId {
        PublisherId::from(PeerId::random())
    }

    /// Returns a release that depends on a package of this key, under the handle `bob`.
    fn release_with(bob: PublisherId) -> Manifest {
        let mut draft = Draft::of(
            Ecosystem::Generic,
            "web".parse().unwrap(),
            "1.0.0".parse().unwrap(),
        );
        let lib = Dependency::on("bob/lib", "^1".parse().unwrap())
            .by_key(&Ecosystem::Generic, |_| Ok::<_, ()>(bob))
            .unwrap();
        draft.dependencies = vec![lib];
        let file = File::of(&Ecosystem::Generic, "web.tar", b"bytes");
        draft.into_manifest(somebody(), file, Timestamp(1)).unwrap()
    }

    #[test]
    fn a_handle_means_oneself_then_what_is_bound_then_what_the_last_release_called_so() {
        let (own, bound, before) = (somebody(), somebody(), somebody());
        let (alice, bob) = (handle("alice"), handle("bob"));
        let last = release_with(before);
        let agreed = |handle: &Handle, meaning: HandleMeaning, last: Option<&Manifest>| {
            agreed(handle, (&own, Some(&alice)), &meaning, last)
        };
        assert_eq!(agreed(&alice, HandleMeaning::Bound(bound), None), Some(own));
        assert_eq!(
            agreed(&bob, HandleMeaning::Bound(bound), Some(&last)),
            Some(bound)
        );
        assert_eq!(
            agreed(&bob, HandleMeaning::One(bound), Some(&last)),
            Some(before)
        );
        assert_eq!(agreed(&bob, HandleMeaning::One(bound), None), None);
        assert_eq!(
            agreed(&handle("carol"), HandleMeaning::Nobody, Some(&last)),
            None
        );
    }

    #[test]
    fn a_person_is_asked_for_a_handle_that_one_or_several_claim() {
        let bob = handle("bob");
        let claimant = || Claimant {
            publisher: somebody(),
            since: Timestamp(1),
        };
        let error = |claimants| {
            not_agreed(Claims {
                handle: bob.clone(),
                bound: None,
                own: None,
                published: false,
                claimants,
                answered: 0,
                needed: 0,
            })
        };
        assert!(matches!(
            error(vec![claimant()]),
            HandleError::Unpinned { .. }
        ));
        assert!(matches!(
            error(vec![claimant(), claimant()]),
            HandleError::Ambiguous { .. }
        ));
        assert_eq!(error(vec![]), HandleError::Unknown(bob.clone()));
    }

    #[test]
    fn a_key_keeps_the_handle_that_the_last_release_called_it_by() {
        let bob = somebody();
        let last = release_with(bob);
        let written = last.dependencies[0].written().to_owned();
        let mut same = Dependency::on(written, "^2".parse().unwrap());
        keep_label(&mut same, Some(&last));
        assert_eq!(same.label(), Some(&handle("bob")));
        let mut other = Dependency::on(format!("{}/lib", somebody()), "^2".parse().unwrap());
        keep_label(&mut other, Some(&last));
        assert_eq!(other.label(), None);
    }
}
