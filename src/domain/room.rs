//! Eviction from a full catalogue: a rule on numbers alone.

use super::time::Timestamp;

/// A publisher is known once it was first seen this long ago. Keys cost nothing, but a history
/// cannot be bought.
pub const KNOWN_AFTER: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 3_600);
/// All unknown publishers together keep at most one part in this many of a full catalogue.
pub const OF_UNKNOWN: u64 = 4;
/// Publishers with less than this many bytes count as equals, and the one not heard of for longest
/// is evicted first. Otherwise the longest description would decide.
pub const EVEN: u64 = 32 * 1024;

/// A publisher's standing with this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PublisherStanding {
    /// Neither pinned nor this node's own, and first seen less than [`KNOWN_AFTER`] ago, or
    /// distrusted.
    Unknown,
    /// First seen at least [`KNOWN_AFTER`] ago.
    Known,
    /// Pinned by this node's person, or this node's own: never evicted.
    Kept,
}

/// A publisher's use of the catalogue, in bytes or in packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// The publisher's standing.
    pub standing: PublisherStanding,
    /// The amount it uses.
    pub amount: u64,
    /// The time at which it was last heard of.
    pub last_seen: Timestamp,
}

/// The amounts to evict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EvictionNeed {
    /// The amount from unknown publishers.
    pub unknown: u64,
    /// The amount from known publishers, if unknown ones do not have enough.
    pub known: u64,
}

/// Returns the amounts to evict from a catalogue of `total`, above `limit`, to bring it down to
/// `target`, unknown publishers first. With `quarter`, these keep at most one part in
/// [`OF_UNKNOWN`] of the limit.
pub fn owed(
    tenants: &[Tenant],
    total: u64,
    target: u64,
    limit: u64,
    quarter: bool,
) -> EvictionNeed {
    let of_unknown: u64 = tenants
        .iter()
        .filter(|tenant| tenant.standing == PublisherStanding::Unknown)
        .map(|tenant| tenant.amount)
        .sum();
    let over = total.saturating_sub(target);
    let beyond = if quarter {
        of_unknown.saturating_sub(limit / OF_UNKNOWN)
    } else {
        0
    };
    let unknown = over.max(beyond).min(of_unknown);
    EvictionNeed {
        unknown,
        known: over.saturating_sub(unknown),
    }
}

/// Returns the amount that each publisher gives up, by its index in `tenants`: the largest first,
/// down to the level of the next. Those below `even` count as equals and give up everything, the
/// one not heard of for longest first.
pub fn to_free(tenants: &[Tenant], owed: EvictionNeed, even: u64) -> Vec<(usize, u64)> {
    let mut all = level(tenants, PublisherStanding::Unknown, owed.unknown, even);
    all.extend(level(tenants, PublisherStanding::Known, owed.known, even));
    all
}

fn level(
    tenants: &[Tenant],
    standing: PublisherStanding,
    need: u64,
    even: u64,
) -> Vec<(usize, u64)> {
    if need == 0 {
        return Vec::new();
    }
    let mut of: Vec<(usize, &Tenant)> = tenants
        .iter()
        .enumerate()
        .filter(|(_, tenant)| tenant.standing == standing)
        .collect();
    of.sort_by_key(|(at, tenant)| (std::cmp::Reverse(tenant.amount), tenant.last_seen, *at));
    // Find, from the top, the level to which the largest are cut.
    let (mut level, mut sum) = (0, 0u64);
    for (count, (_, tenant)) in (1u64..).zip(&of) {
        sum = sum.saturating_add(tenant.amount);
        let next = of.get(count as usize).map_or(0, |(_, next)| next.amount);
        if sum.saturating_sub(count.saturating_mul(next)) >= need {
            level = sum.saturating_sub(need).checked_div(count).unwrap_or(0);
            break;
        }
    }
    let level = level.max(even);
    let mut left = need;
    let mut free = Vec::new();
    for (at, tenant) in &of {
        let one = tenant.amount.saturating_sub(level).min(left);
        if one > 0 {
            left -= one;
            free.push((*at, one));
        }
    }
    if left > 0 {
        of.sort_by_key(|(at, tenant)| (tenant.last_seen, *at));
        for (at, tenant) in of {
            let one = tenant.amount.min(level).min(left);
            if one > 0 {
                left -= one;
                free.push((at, one));
            }
        }
    }
    free
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tenant(standing: PublisherStanding, amount: u64, seen: u64) -> Tenant {
        Tenant {
            standing,
            amount,
            last_seen: Timestamp(seen),
        }
    }

    #[test]
    fn many_new_keys_displace_each_other_and_nobody_else() {
        let mut tenants = vec![
            tenant(PublisherStanding::Known, 700_000, 1),
            tenant(PublisherStanding::Kept, 100_000, 1),
        ];
        tenants.extend((0..300).map(|n| tenant(PublisherStanding::Unknown, 1_000, n)));
        let owed = owed(&tenants, 1_100_000, 1_000_000, 1_000_000, true);
        assert_eq!(
            owed,
            EvictionNeed {
                unknown: 100_000,
                known: 0
            }
        );
        let free = to_free(&tenants, owed, EVEN);
        assert_eq!(
            free,
            (2..102).map(|at| (at, 1_000)).collect::<Vec<_>>(),
            "those heard of longest ago"
        );
    }

    #[test]
    fn unknown_ones_are_left_with_a_quarter_and_where_they_have_not_enough_known_ones_free_too() {
        let tenants = [
            tenant(PublisherStanding::Known, 100, 1),
            tenant(PublisherStanding::Unknown, 1_000, 1),
        ];
        assert_eq!(
            owed(&tenants, 1_100, 1_000, 1_000, true),
            EvictionNeed {
                unknown: 750,
                known: 0
            }
        );
        assert_eq!(
            owed(&tenants, 1_100, 1_000, 1_000, false),
            EvictionNeed {
                unknown: 100,
                known: 0
            }
        );
        let tenants = [
            tenant(PublisherStanding::Known, 900, 1),
            tenant(PublisherStanding::Known, 500, 1),
            tenant(PublisherStanding::Unknown, 50, 1),
        ];
        let owed = owed(&tenants, 1_450, 1_000, 1_000, true);
        assert_eq!(
            owed,
            EvictionNeed {
                unknown: 50,
                known: 400
            }
        );
        assert_eq!(
            to_free(&tenants, owed, 0),
            [(2, 50), (0, 400)],
            "whoever has most"
        );
    }

    proptest! {
        #[test]
        fn what_is_owed_is_freed_by_whoever_has_most(
            list in prop::collection::vec((0u8..3, 0u64..5_000, 0u64..50), 0..60),
            limit in 1u64..100_000,
            below in 0u64..1_000,
            even in prop::sample::select(vec![0, 1, 500]),
            quarter: bool,
        ) {
            let standing = |n| [PublisherStanding::Unknown, PublisherStanding::Known, PublisherStanding::Kept][usize::from(n)];
            let tenants: Vec<Tenant> =
                list.iter().map(|(kind, amount, seen)| tenant(standing(*kind), *amount, *seen)).collect();
            let sum = |standing| tenants.iter().filter(|one| one.standing == standing).map(|one| one.amount).sum::<u64>();
            let total: u64 = tenants.iter().map(|one| one.amount).sum();
            prop_assume!(total > limit);
            let target = limit.saturating_sub(below);
            let owed = owed(&tenants, total, target, limit, quarter);
            let free = to_free(&tenants, owed, even);
            let mut after: Vec<u64> = tenants.iter().map(|one| one.amount).collect();
            for (at, amount) in &free {
                prop_assert!(tenants[*at].standing != PublisherStanding::Kept && after[*at] >= *amount);
                after[*at] -= amount;
            }
            let left: u64 = after.iter().sum();
            // As far as evictable entries suffice.
            prop_assert!(left <= target || left == sum(PublisherStanding::Kept));
            let has = |wanted| tenants.iter().zip(&after).filter(move |(one, _)| one.standing == wanted);
            let unknown: u64 = has(PublisherStanding::Unknown).map(|(_, left)| *left).sum();
            if quarter {
                prop_assert!(unknown <= limit / OF_UNKNOWN);
            }
            let lost = |standing| has(standing).any(|(one, left)| one.amount != *left);
            prop_assert!(!lost(PublisherStanding::Known) || unknown == 0, "known ones lose \
                nothing while unknown ones have something");
            for standing in [PublisherStanding::Unknown, PublisherStanding::Known] {
                // Nobody is cut below the level that somebody else keeps, except among equals,
                // which are evicted whole one by one, and for rounding.
                let lowest = has(standing).filter(|(one, left)| one.amount != **left).map(|(_, left)| *left).min();
                let highest = has(standing).map(|(_, left)| *left).max();
                if let (Some(lowest), Some(highest)) = (lowest, highest) {
                    prop_assert!(highest <= lowest.max(even) + list.len() as u64, "{highest} \
                        {lowest}");
                }
            }
            // No more is evicted than needed.
            let freed: u64 = free.iter().map(|(_, amount)| amount).sum();
            prop_assert!(freed <= owed.unknown + owed.known);
        }
    }
}
