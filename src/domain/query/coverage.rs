//! The share of the network's packages that a search has covered.

/// Estimates the number of packages from the counts that this node and its peers report. With
/// several peers, two must agree on at least as many: a single one could report anything.
pub fn estimate(own: u64, others: &[u64]) -> u64 {
    let mut others = others.to_vec();
    others.sort_unstable_by_key(|count| std::cmp::Reverse(*count));
    let believed = if others.len() > 1 {
        others.get(1)
    } else {
        others.first()
    };
    believed.copied().unwrap_or_default().max(own)
}

/// Returns the share of the packages in the largest of the searched catalogues, 0 to 1. That is a
/// lower bound, because another catalogue may have those it lacks. `None` if there are no packages.
pub fn share(estimate: u64, searched: impl IntoIterator<Item = u64>) -> Option<f64> {
    let most = searched.into_iter().max().unwrap_or_default();
    (estimate > 0).then(|| most.min(estimate) as f64 / estimate as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_peer_alone_is_not_believed_where_there_are_others() {
        assert_eq!(estimate(100, &[]), 100);
        assert_eq!(estimate(10, &[63_666]), 63_666);
        assert_eq!(estimate(100, &[1_000_000, 110, 90]), 110);
        assert_eq!(share(200, [100, 150]), Some(0.75));
        assert_eq!(share(0, [5]), None);
    }

    proptest! {
        #[test]
        fn a_share_is_one(own in any::<u64>(), others in proptest::collection::vec(any::<u64>(), 0..8)) {
            let of = estimate(own, &others);
            let share = share(of, others.into_iter().chain([own]));
            prop_assert!(share.is_none_or(|share| (0.0..=1.0).contains(&share)));
        }
    }
}
