//! Judges a peer's answer: which items are valid, and what that means for the peer.
//!
//! A peer is not to blame for what others signed: an item that breaks a rule is left out, and costs
//! the peer only if most of its answer does. It is to blame for a signature that does not match its
//! bytes, because no honest node accepts, keeps or sends one. Every node accepts records by the
//! same rules before it sends them: see [`consistent`] and [`could_match`].

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

/// An answer, judged item by item.
#[derive(Debug)]
pub struct Judged<T> {
    pub right: Vec<T>,
    /// The reasons for which items were left out.
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

    /// Returns the number of items, and the number of those that break a rule.
    pub fn sent(&self) -> usize {
        self.right.len() + self.refused.len()
    }

    pub fn wrong(&self) -> usize {
        self.refused
            .iter()
            .filter(|refusal| refusal.class() == Class::Reject)
            .count()
    }

    /// Returns the outcome for the peer; `None` if it sent nothing that says anything about it.
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

/// Returns true if more than half of the items break a rule.
pub fn is_mostly_wrong(wrong: usize, sent: usize) -> bool {
    wrong.saturating_mul(2) > sent
}

/// Judges envelopes of one kind, each of which must be one that was requested.
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

/// Judges the hits of a search.
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

/// Judges records from a comparison of catalogues, which must be among those requested; `keys` has
/// the precomputed tables of keys that signed many of them.
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
