//! The file list of a release as text.

use crate::{
    archive::pack::{EntryKind, LeftOutFile, LeftOutReason, PackListing},
    domain::{size::Size, text::printable},
};

/// Most rows to show before a question.
const FOLDED: usize = 20;
/// Files left out that are named when publishing; `--dry-run` names more.
const REMARKS: usize = 20;
/// Columns for a size, such as `1023 B` and `99.9 MiB`.
const SIZE: usize = 9;

/// Returns the full list, for `--dry-run`.
pub(super) fn whole(listing: &PackListing) -> String {
    let mut lines = vec!["goes in:".to_owned()];
    for entry in &listing.entries {
        let path = printable(&entry.path);
        lines.push(match entry.kind {
            EntryKind::File => row(Some(entry.size), &path),
            EntryKind::Directory => row(None, &format!("{path}/")),
            EntryKind::Link => row(None, &format!("{path} (link)")),
        });
    }
    if listing.entries.is_empty() {
        lines.push(row(None, "nothing"));
    }
    if !listing.left_out.is_empty() {
        lines.push("stays out:".to_owned());
        lines.extend(listing.left_out.iter().map(left_out));
    }
    lines.extend(more_left_out(listing.left_out_more));
    lines.extend(
        listing
            .warnings
            .iter()
            .map(|warning| format!("warning: {warning}")),
    );
    lines.join("\n")
}

/// Returns the included files, folded into few enough rows for a question.
pub(super) fn folded(listing: &PackListing) -> Vec<String> {
    let file = |row_of: &crate::archive::pack::ListingRow| {
        let path = printable(&row_of.path);
        if row_of.files > 1 {
            row(
                Some(row_of.size),
                &format!("{path} ({} files)", row_of.files),
            )
        } else {
            row(Some(row_of.size), &path)
        }
    };
    let mut lines: Vec<String> = listing.folded(FOLDED).iter().map(file).collect();
    let (files, bytes) = listing.files();
    lines.push(row(
        Some(bytes),
        &format!("in {files} files; `publish --dry-run` lists each"),
    ));
    lines
}

/// Returns the warnings, and the files left out by default. Files left out by `exclude` or a
/// `.gitignore` are not repeated.
pub(super) fn remarks(listing: &PackListing) -> Vec<String> {
    let unasked = |left: &&LeftOutFile| {
        matches!(
            left.why,
            LeftOutReason::Node | LeftOutReason::Private { .. }
        )
    };
    let mut lines: Vec<String> = listing
        .left_out
        .iter()
        .filter(unasked)
        .take(REMARKS)
        .map(said)
        .collect();
    let more = listing
        .left_out
        .iter()
        .filter(unasked)
        .count()
        .saturating_sub(REMARKS) as u64;
    lines.extend(more_left_out(more));
    lines.extend(
        listing
            .warnings
            .iter()
            .map(|warning| format!("warning: {warning}")),
    );
    lines
}

fn said(left: &LeftOutFile) -> String {
    format!("left out: {} ({})", left.path, left.why)
}

fn left_out(left: &LeftOutFile) -> String {
    row(left.size, &format!("{}: {}", left.path, left.why))
}

fn more_left_out(more: u64) -> Option<String> {
    (more > 0).then(|| format!("left out: {more} more; `publish --dry-run` names them"))
}

fn row(size: Option<u64>, text: &str) -> String {
    let size = size
        .map(|bytes| Size(bytes).to_string())
        .unwrap_or_default();
    format!("{size:>SIZE$}  {text}")
}
