//! What of a peer's answer holds, and what that says of the peer.
//!
//! What others signed is no peer's doing: an item that breaks a rule is left out, and costs the
//! peer only where most of its answer is like that. A signature that does not match its bytes is
//! its doing, because no honest node takes, keeps or sends one. The rules are those by which every
//! node takes what it then sends: see [`consistent`] and [`could_match`].

use std::collections::HashSet;

use crate::{
    domain::{
        hash::Hash,
        manifest::Manifest,
        query::{SearchTerms, could_match},
        record::{Authorised, Class, Envelope, Head, Horizon, Keys, Owned, Refusal, consistent},
        reputation::Outcome,
    },
    net::protocol::Item,
};

/// An answer, item by item.
#[derive(Debug)]
pub struct Judged<T> {
    pub right: Vec<T>,
    /// Why the others are left out.
    pub refused: Vec<Refusal>,
}

impl<T> Judged<T> {
    fn of(items: impl Iterator<Item = Result<T, Refusal>>) -> Self {
        let mut judged = Self {
            right: Vec::new(),
            refused: Vec::new(),
        };
        for item in items {
            match item {
                Ok(item) => judged.right.push(item),
                Err(refusal) => judged.refused.push(refusal),
            }
        }
        judged
    }

    /// How many items came, and how many of them break a rule.
    pub fn sent(&self) -> usize {
        self.right.len() + self.refused.len()
    }

    pub fn wrong(&self) -> usize {
        self.refused
            .iter()
            .filter(|refusal| refusal.class() == Class::Reject)
            .count()
    }

    /// What the peer did. `None` where it sent nothing, or nothing that says anything of it.
    pub fn outcome(&self) -> Option<Outcome> {
        if self.refused.iter().any(|refusal| refusal.is_proven()) {
            Some(Outcome::RecordInvalid)
        } else if is_mostly_wrong(self.wrong(), self.sent()) {
            Some(Outcome::AnswerWrong)
        } else {
            (!self.right.is_empty()).then_some(Outcome::AnswerRight)
        }
    }
}

/// Whether more than half of what was sent breaks a rule.
pub fn is_mostly_wrong(wrong: usize, sent: usize) -> bool {
    wrong.saturating_mul(2) > sent
}

/// Envelopes of one kind, each of which must be what was asked for.
pub fn envelopes<'a, T: Owned>(
    envelopes: impl Iterator<Item = &'a [u8]>,
    is_asked_for: impl Fn(&Authorised<T>) -> bool,
) -> Judged<Authorised<T>> {
    Judged::of(envelopes.map(|envelope| {
        let signed = Authorised::<T>::verify(envelope)?;
        if is_asked_for(&signed) {
            Ok(signed)
        } else {
            Err(Refusal::Mismatch)
        }
    }))
}

/// Hits of a search.
pub fn hits(
    items: Vec<Item>,
    limit: usize,
    terms: &SearchTerms,
    horizon: Horizon,
) -> Judged<(Authorised<Head>, Authorised<Manifest>)> {
    Judged::of(items.into_iter().take(limit).map(|item| {
        let head = Authorised::<Head>::verify(&item.head)?;
        let manifest =
            Authorised::<Manifest>::verify(item.manifest.as_ref().ok_or(Refusal::Malformed)?)?;
        consistent(&head, &manifest)?;
        if !could_match(terms, &head, &manifest) {
            return Err(Refusal::Irrelevant);
        }
        horizon.check(&head)?;
        horizon.check_time(manifest.signed_at)?;
        Ok((head, manifest))
    }))
}

/// Records of a comparison of catalogues, of those that were asked for; `keys` has the tables of
/// whoever signed many of them.
pub fn records(
    items: &[Item],
    asked: &HashSet<Hash>,
    horizon: Horizon,
    keys: &Keys,
) -> Judged<(Authorised<Head>, Option<Authorised<Manifest>>)> {
    let (mut heads, mut manifests): (Vec<Envelope<'_>>, Vec<Option<Envelope<'_>>>) = items
        .iter()
        .map(|item| {
            let manifest = item.manifest.as_ref();
            (
                Envelope::of::<Head>(&item.head),
                manifest.map(|bytes| Envelope::of::<Manifest>(bytes)),
            )
        })
        .unzip();
    keys.check(heads.iter_mut().chain(manifests.iter_mut().flatten()));
    Judged::of(heads.iter().zip(&manifests).map(|(head, manifest)| {
        let head = Authorised::<Head>::verify_checked(head)?;
        if !asked.contains(&head.hash()) {
            return Err(Refusal::Irrelevant);
        }
        let manifest = manifest
            .as_ref()
            .map(Authorised::<Manifest>::verify_checked)
            .transpose()?;
        manifest
            .as_ref()
            .map_or(Ok(()), |manifest| consistent(&head, manifest))?;
        horizon.check(&head)?;
        manifest
            .as_ref()
            .map_or(Ok(()), |manifest| horizon.check_time(manifest.signed_at))?;
        Ok((head, manifest))
    }))
}

#[cfg(test)]
mod tests;
