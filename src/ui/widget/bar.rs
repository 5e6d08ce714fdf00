//! Numbers as bars of characters.

const EIGHTHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Draws the last `width` values as bars, scaled between their minimum and maximum.
pub fn sparkline(values: &[f32], width: usize) -> String {
    let shown = values
        .get(values.len().saturating_sub(width)..)
        .unwrap_or_default();
    let low = shown.iter().copied().fold(f32::INFINITY, f32::min);
    let high = shown.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let span = (high - low).max(f32::EPSILON);
    shown
        .iter()
        .map(|value| {
            let step = ((value - low) / span * 7.0).round().clamp(0.0, 7.0) as usize;
            EIGHTHS.get(step).copied().unwrap_or('▁')
        })
        .collect()
}

/// Draws a share from 0 to 1 as a bar of `width` characters.
pub fn bar(share: f64, width: usize) -> String {
    let full = (share.clamp(0.0, 1.0) * width as f64).round() as usize;
    let filled = "█".repeat(full);
    let rest = "░".repeat(width.saturating_sub(full));
    format!("{filled}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_have_their_width_and_lines_their_shape() {
        assert_eq!(bar(0.5, 6), "███░░░");
        assert_eq!(bar(7.0, 3), "███");
        assert_eq!(bar(f64::NAN, 2), "░░");
        assert_eq!(sparkline(&[1.0, 8.0, 4.5], 2), "█▁");
        assert_eq!(sparkline(&[3.0; 4], 8), "▁▁▁▁");
        assert_eq!(sparkline(&[], 8), "");
    }
}
