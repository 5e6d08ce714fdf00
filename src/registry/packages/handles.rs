//! Handles on this node: their claimants, their meaning, and dependencies by key.

use super::Packages;
use crate::{
    RegistryError, Result,
    domain::{
        dependency::{Dependency, On, labelled},
        manifest::{Draft, Manifest},
        name::{Handle, PackageId, PackageName, PublisherId},
        query::{LookAlike, name_publishers},
        record::{Authorised, Head},
        trust::{self, Bound, Claims, MAX_HANDLES, Meaning},
    },
    net::protocol::{Request, Response},
};

impl Packages {
    /// Collects what is known of a handle; with `ask`, peers are asked first who claims it.
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

    /// The key that a handle means here whatever others claim: one's own handle always means one's
    /// own key.
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

    /// A search's text with the publishers that are bound here named by their keys.
    pub fn name_publishers(&self, text: &str) -> String {
        name_publishers(text, |handle| {
            let bound = self.bound(&handle.parse().ok()?).ok().flatten();
            bound.map(|(publisher, _)| publisher.to_string())
        })
    }

    /// Refuses to bind one's own handle to somebody else's key.
    fn not_own(&self, handle: &Handle, publisher: PublisherId) -> Result<()> {
        match self.bound(handle)? {
            Some((own, Bound::Own)) if own != publisher => Err(RegistryError::Usage(format!(
                "{handle} is what you call yourself, and means your own key here; pin {publisher} under another handle"
            ))),
            _ => Ok(()),
        }
    }

    /// Resolves a handle that somebody looks at to a key; pins nothing.
    pub async fn publisher_called(&self, handle: &Handle) -> Result<PublisherId> {
        let mut claims = self.claims_of(handle, false).await?;
        if claims.meaning() == Meaning::Nobody {
            claims = self.claims_of(handle, true).await?;
        }
        match claims.meaning() {
            Meaning::Bound(publisher) | Meaning::One(publisher) => Ok(publisher),
            Meaning::Several(claimants) => Err(RegistryError::AmbiguousHandle {
                handle: handle.clone(),
                claimants,
            }),
            Meaning::Nobody => Err(RegistryError::UnknownHandle(handle.clone())),
        }
    }

    /// Asks peers who claims a handle, and takes what they show. Returns how many different ones
    /// have answered, and how many had to for the answer to count.
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
            // A peer that shows something else has not answered.
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

    /// Names the dependencies of a draft by key. One's own handle is one's own key, and what the
    /// package's last release called a key it still means in the next.
    ///
    /// # Errors
    /// [`RegistryError::AmbiguousHandle`], [`RegistryError::UnknownHandle`], or
    /// [`RegistryError::UnpinnedHandle`] for one that a person has to agree to first.
    pub async fn by_key(
        &self,
        draft: Draft,
        own: (&PublisherId, Option<&Handle>),
        last: Option<&Manifest>,
    ) -> Result<Draft> {
        let mut dependencies = Vec::with_capacity(draft.dependencies.len());
        for dependency in draft.dependencies {
            let meant = match dependency.named_by() {
                Some(handle) => Some(self.meant_by(&handle, own, last).await?),
                None => None,
            };
            let unknown = |handle: &Handle| RegistryError::UnknownHandle(handle.clone());
            let mut by_key = dependency.by_key(&draft.ecosystem, |handle| {
                meant.ok_or_else(|| unknown(handle))
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
    ) -> Result<PublisherId> {
        let mut claims = self.claims_of(handle, false).await?;
        if let Some(publisher) = agreed(handle, own, &claims.meaning(), last) {
            return Ok(publisher);
        }
        if claims.meaning() == Meaning::Nobody {
            claims = self.claims_of(handle, true).await?;
        }
        Err(not_agreed(handle, claims.meaning()))
    }

    /// Before anything is signed under a handle: whether the key may claim one more, if it is one
    /// more.
    pub fn check_handles(&self, own: &PublisherId, handle: Option<&Handle>) -> Result<()> {
        let Some(handle) = handle else { return Ok(()) };
        let handles = self.core.store.handles_of(own)?;
        if handles.len() < MAX_HANDLES || handles.contains(handle) {
            return Ok(());
        }
        Err(RegistryError::TooManyHandles {
            handle: handle.clone(),
            handles,
        })
    }

    /// The package that this node's person knows and that one called `name` may be taken for; one of
    /// `publisher`, or one that this node is to publish.
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
    pub async fn pin(&self, handle: &Handle, publisher: PublisherId) -> Result<()> {
        self.not_own(handle, publisher)?;
        let core = &self.core;
        core.store.pin(handle, publisher, core.now()).await?;
        self.judge_anew().await
    }

    /// Takes a distrust back; with a handle, that means this key on this node from now on.
    pub async fn trust(&self, publisher: PublisherId, handle: Option<&Handle>) -> Result<()> {
        handle
            .map(|handle| self.not_own(handle, publisher))
            .transpose()?;
        let core = &self.core;
        core.store
            .trust_again(publisher, handle, core.now())
            .await?;
        self.judge_anew().await
    }

    /// Hides a publisher's packages on this node.
    pub async fn distrust(&self, publisher: PublisherId) -> Result<()> {
        let core = &self.core;
        core.store.distrust(publisher, core.now()).await?;
        self.judge_anew().await
    }

    /// Forgets answers that say whom a person trusted before.
    async fn judge_anew(&self) -> Result<()> {
        self.core.cache().clear();
        self.catalogue.know().await
    }
}

/// The key that a handle in a draft means without anybody's being asked: one's own for one's own
/// handle, the one that is bound here, or the one that the package's last release called so.
fn agreed(
    handle: &Handle,
    (own, called): (&PublisherId, Option<&Handle>),
    meaning: &Meaning,
    last: Option<&Manifest>,
) -> Option<PublisherId> {
    if called == Some(handle) {
        return Some(*own);
    }
    match meaning {
        Meaning::Bound(publisher) => Some(*publisher),
        _ => last.and_then(|last| labelled(&last.dependencies, handle)),
    }
}

/// The error for a handle that a person has to agree to before a dependency is signed under it.
fn not_agreed(handle: &Handle, meaning: Meaning) -> RegistryError {
    let handle = handle.clone();
    match meaning {
        Meaning::Several(claimants) => RegistryError::AmbiguousHandle { handle, claimants },
        Meaning::Bound(publisher) | Meaning::One(publisher) => {
            RegistryError::UnpinnedHandle { handle, publisher }
        }
        Meaning::Nobody => RegistryError::UnknownHandle(handle),
    }
}

/// Gives a dependency by key the handle that the last release called that key by. A form that
/// starts from the last release has its keys, and not its handles.
fn keep_label(dependency: &mut Dependency, last: Option<&Manifest>) {
    let before = last.and_then(|last| {
        let mut known = last.dependencies.iter();
        known.find(|one| one.written() == dependency.written())
    });
    if let On::Package { handle: label, .. } = &mut dependency.on
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

    /// A release that depends on a package of this key, which it calls `bob`.
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
        let agreed = |handle: &Handle, meaning: Meaning, last: Option<&Manifest>| {
            agreed(handle, (&own, Some(&alice)), &meaning, last)
        };
        assert_eq!(agreed(&alice, Meaning::Bound(bound), None), Some(own));
        assert_eq!(
            agreed(&bob, Meaning::Bound(bound), Some(&last)),
            Some(bound)
        );
        assert_eq!(agreed(&bob, Meaning::One(bound), Some(&last)), Some(before));
        assert_eq!(agreed(&bob, Meaning::One(bound), None), None);
        assert_eq!(agreed(&handle("carol"), Meaning::Nobody, Some(&last)), None);
    }

    #[test]
    fn a_person_is_asked_for_a_handle_that_one_or_several_claim() {
        let bob = handle("bob");
        let claimant = || Claimant {
            publisher: somebody(),
            since: Timestamp(1),
        };
        let code = |meaning| not_agreed(&bob, meaning).code().to_owned();
        assert_eq!(code(Meaning::One(somebody())), "unpinned_handle");
        let several = Meaning::Several(vec![claimant(), claimant()]);
        assert_eq!(code(several), "ambiguous_handle");
        assert_eq!(code(Meaning::Nobody), "unknown_handle");
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
