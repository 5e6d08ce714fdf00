//! The manifest, shown for a last review before it is signed.

use ratatui::text::{Line, Span};

use super::{field, heading};
use crate::{
    archive::pack::PackListing,
    domain::{size::Size, text::printable},
    ui::{
        action::{Action, KeyPlace},
        model::{
            Model,
            publish::{Hashed, Review},
        },
        theme::Theme,
        widget::wrap::wrap,
    },
};

/// Most rows of a list; longer ones are folded or only counted.
const MOST_ROWS: usize = 200;

pub fn lines(model: &Model, review: &Review, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let (content, style) = match &review.hashed {
        Hashed::Packing { size: 0, .. } => ("packing the directory…".to_owned(), theme.dim()),
        Hashed::Packing { done, size } => (
            format!("packing the directory: {} %", done * 100 / size),
            theme.dim(),
        ),
        Hashed::Reading { size: 0, .. } => ("reading the file…".to_owned(), theme.dim()),
        Hashed::Reading { done, size } => (
            format!("reading the file: {} %", done * 100 / size),
            theme.dim(),
        ),
        Hashed::Is(content) => (
            format!("{} ({} bytes)", content.root, content.size),
            theme.text(),
        ),
        Hashed::Wrong(why) => (why.clone(), theme.bad()),
    };
    let hint = match &review.hashed {
        Hashed::Is(_) => (
            format!(
                "Press {} to sign and publish this. It cannot be deleted afterwards, only yanked.",
                model.key(Action::Accept, KeyPlace::Review)
            ),
            theme.strong(),
        ),
        Hashed::Packing { .. } => ("The directory is being packed…".to_owned(), theme.dim()),
        Hashed::Reading { .. } => ("The file is being read…".to_owned(), theme.dim()),
        Hashed::Wrong(_) => (
            format!(
                "Press {} to go back to the form.",
                model.key(Action::Back, KeyPlace::Review)
            ),
            theme.strong(),
        ),
    };
    lines.extend(
        wrap(&hint.0, width)
            .into_iter()
            .map(|line| Line::from(Span::styled(line, hint.1))),
    );
    if let Some(path) = model
        .publish
        .key
        .as_ref()
        .filter(|_| model.publish.own.is_none())
    {
        let path = path.display();
        let text = format!(
            "This is your first publish: your key will be created in {path}. Back it up afterwards."
        );
        lines.extend(
            wrap(&text, width)
                .into_iter()
                .map(|line| Line::from(Span::styled(line, theme.fair()))),
        );
    }
    if let Some(claimed) = model
        .publish
        .form
        .as_ref()
        .and_then(|form| form.claimed.as_ref())
    {
        let text = format!("This handle is also claimed by another key: {claimed}.");
        lines.extend(
            wrap(&text, width)
                .into_iter()
                .map(|line| Line::from(Span::styled(line, theme.fair()))),
        );
    }
    // Totals come before the list, which may be longer than the screen.
    for (text, style) in review.listing.iter().flat_map(|listing| {
        let refused = listing
            .refused
            .iter()
            .map(|refused| (refused.to_string(), theme.bad()));
        refused.chain(
            listing
                .warnings
                .iter()
                .map(|warning| (format!("! {warning}"), theme.fair())),
        )
    }) {
        lines.extend(
            wrap(&text, width)
                .into_iter()
                .map(|line| Line::from(Span::styled(line, style))),
        );
    }
    let Some(draft) = &review.checked.draft else {
        return lines;
    };
    heading(&mut lines, "Manifest", theme);
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let handle = draft.handle.as_ref().map_or(
        "none: your fingerprint is shown instead".to_owned(),
        ToString::to_string,
    );
    for (label, value) in [
        ("handle", handle),
        ("name", draft.name.to_string()),
        ("version", draft.version.to_string()),
        ("title", text(&draft.title)),
        ("description", draft.description.clone()),
        ("categories", draft.categories.join(", ")),
        ("tags", draft.tags.join(", ")),
        ("license", text(&draft.license)),
        ("repository", text(&draft.repository)),
        ("homepage", text(&draft.homepage)),
    ] {
        if !value.is_empty() {
            field(
                &mut lines,
                label,
                &printable(&value),
                theme.text(),
                width,
                theme,
            );
        }
    }
    for needed in &draft.dependencies {
        let text = format!(
            "{} {}{}",
            needed.written(),
            needed.requirement,
            needed.circumstances()
        );
        field(
            &mut lines,
            "needs",
            &printable(&text),
            theme.text(),
            width,
            theme,
        );
    }
    field(&mut lines, "content", &content, style, width, theme);
    if let Some(left) = review.checked.left {
        field(
            &mut lines,
            "size",
            &format!("{left} of 8192 bytes left"),
            theme.dim(),
            width,
            theme,
        );
    }
    if let Some(listing) = &review.listing {
        files(&mut lines, listing, width, theme);
    }
    lines
}

/// Lists the files that are included and those that are left out.
fn files(lines: &mut Vec<Line<'static>>, listing: &PackListing, width: usize, theme: Theme) {
    let (count, bytes) = listing.files();
    let what = if count == 1 { "file" } else { "files" };
    let out = match listing.left_out.len() as u64 + listing.left_out_more {
        0 => String::new(),
        1 => "; 1 left out".to_owned(),
        count => format!("; {count} left out"),
    };
    heading(
        lines,
        &format!("Included: {count} {what}, {}{out}", Size(bytes)),
        theme,
    );
    for row in listing.folded(MOST_ROWS) {
        let count = if row.files > 1 {
            format!(" ({} files)", row.files)
        } else {
            String::new()
        };
        let path = format!("{}{count}", printable(&row.path));
        field(
            lines,
            &Size(row.size).to_string(),
            &path,
            theme.text(),
            width,
            theme,
        );
    }
    if listing.entries.is_empty() {
        lines.push(Line::from(Span::styled("nothing", theme.fair())));
    }
    if listing.left_out.is_empty() {
        return;
    }
    heading(lines, "Left out", theme);
    for left in listing.left_out.iter().take(MOST_ROWS) {
        let size = left
            .size
            .map(|bytes| Size(bytes).to_string())
            .unwrap_or_default();
        field(
            lines,
            &size,
            &format!("{}: {}", left.path, left.why),
            theme.dim(),
            width,
            theme,
        );
    }
    let more = listing.left_out.len().saturating_sub(MOST_ROWS) as u64 + listing.left_out_more;
    if more > 0 {
        let text = format!("and {more} more, listed by `swarmdex publish --dry-run`");
        lines.extend(
            wrap(&text, width)
                .into_iter()
                .map(|line| Line::from(Span::styled(line, theme.dim()))),
        );
    }
}
