//! The two percentiles that describe the usual and the nearly worst case.

/// Returns the 50th and the 95th percentile, or `None` without values.
pub fn percentiles(mut values: Vec<f64>) -> Option<(f64, f64)> {
    values.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| {
        values
            .get(((values.len() as f64 * share) as usize).min(values.len().saturating_sub(1)))
            .copied()
    };
    Some((at(0.5)?, at(0.95)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_and_all_but_a_twentieth() {
        assert_eq!(
            percentiles((0..100).rev().map(f64::from).collect()),
            Some((50.0, 95.0))
        );
        assert_eq!(percentiles(vec![7.0]), Some((7.0, 7.0)));
        assert_eq!(percentiles(Vec::new()), None);
    }
}
