//! The manifest, shown for a last review before it is signed.

use std::path::PathBuf;

use ratatui::style::Style;

use super::{Page, Reply, Window};
use crate::{
    archive::pack::PackListing,
    domain::{manifest::Draft, size::Size, text::printable},
    ui::{
        action::{Action, KeyPlace},
        model::{Model, form::Checked, publish::Hashed},
        theme::Theme,
        update::publish,
        widget::number::count,
    },
};

/// Most rows of a list; longer ones are folded or only counted.
const MOST_ROWS: usize = 200;

pub struct ReviewWindow {
    pub generation: u64,
    pub checked: Checked,
    pub path: PathBuf,
    pub hashed: Hashed,
    /// The files of the release, once known.
    pub listing: Option<Box<PackListing>>,
}

impl Window for ReviewWindow {
    fn place(&self) -> KeyPlace {
        KeyPlace::Review
    }

    fn title(&self) -> &str {
        "Publish this?"
    }

    fn lines(&self, model: &Model, page: &mut Page) {
        let theme = page.theme;
        self.hint(model, page);
        let key = model.publish.key.as_ref();
        if let Some(path) = key.filter(|_| model.publish.own.is_none()) {
            let text = format!(
                "This is your first publish: your key will be created in {}. Back it up \
                 afterwards.",
                path.display()
            );
            page.text(&text, theme.fair());
        }
        let form = model.publish.form.as_ref();
        if let Some(claimed) = form.and_then(|form| form.claimed.as_ref()) {
            let text = format!("This handle is also claimed by another key: {claimed}.");
            page.text(&text, theme.fair());
        }
        // Totals come before the list, which may be longer than the screen.
        if let Some(listing) = &self.listing {
            for refused in &listing.refused {
                page.text(&refused.to_string(), theme.bad());
            }
            for warning in &listing.warnings {
                page.text(&format!("! {warning}"), theme.fair());
            }
        }
        if let Some(draft) = &self.checked.draft {
            self.manifest(draft, page);
            if let Some(listing) = &self.listing {
                files(page, listing);
            }
        }
    }

    fn keys(&self) -> &'static [(Action, &'static str)] {
        &[(Action::Accept, "publish"), (Action::Back, "back")]
    }

    fn act(&mut self, model: &mut Model, _at: &mut usize, action: Action) -> Reply {
        let wrong = matches!(self.hashed, Hashed::Wrong(_));
        match action {
            Action::Accept if !wrong => publish::publish(model, self),
            // Closing the review leads back to the form.
            Action::Accept | Action::Back => {
                model.publish.typing |= model.publish.form.is_some();
                Reply::Close(Vec::new())
            }
            _ => Reply::Pass,
        }
    }
}

impl ReviewWindow {
    fn hint(&self, model: &Model, page: &mut Page) {
        let theme = page.theme;
        let key = |action| model.key(action, KeyPlace::Review);
        let (hint, style) = match &self.hashed {
            Hashed::Is(_) => (
                format!(
                    "Press {} to sign and publish this. It cannot be deleted afterwards, only \
                     yanked.",
                    key(Action::Accept)
                ),
                theme.strong(),
            ),
            Hashed::Packing { .. } => ("The directory is being packed…".to_owned(), theme.dim()),
            Hashed::Reading { .. } => ("The file is being read…".to_owned(), theme.dim()),
            Hashed::Wrong(_) => (
                format!("Press {} to go back to the form.", key(Action::Back)),
                theme.strong(),
            ),
        };
        page.text(&hint, style);
    }

    fn manifest(&self, draft: &Draft, page: &mut Page) {
        let theme = page.theme;
        page.heading("Manifest");
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
                page.field(label, &printable(&value));
            }
        }
        for needed in &draft.dependencies {
            let (name, range) = (needed.written(), &needed.requirement);
            let text = format!("{name} {range}{}", needed.circumstances());
            page.field("needs", &printable(&text));
        }
        let (content, style) = content(&self.hashed, theme);
        page.field_in("content", &content, style);
        if let Some(left) = self.checked.left {
            page.field_in(
                "manifest",
                &format!("{left} of 8192 bytes left"),
                theme.dim(),
            );
        }
    }
}

fn content(hashed: &Hashed, theme: Theme) -> (String, Style) {
    let progress = |what: &str, done: u64, size: u64| match (done * 100).checked_div(size) {
        Some(percent) => (format!("{what}: {percent} %"), theme.dim()),
        None => (format!("{what}…"), theme.dim()),
    };
    match hashed {
        Hashed::Packing { done, size } => progress("packing the directory", *done, *size),
        Hashed::Reading { done, size } => progress("reading the file", *done, *size),
        Hashed::Is(content) => (
            format!("{} ({} bytes)", content.root, content.size),
            theme.text(),
        ),
        Hashed::Wrong(why) => (why.clone(), theme.bad()),
    }
}

/// Lists the files that are included and those that are left out.
fn files(page: &mut Page, listing: &PackListing) {
    let theme = page.theme;
    let (included, bytes) = listing.files();
    let out = match listing.left_out.len() as u64 + listing.left_out_more {
        0 => String::new(),
        count => format!("; {count} left out"),
    };
    page.heading(&format!(
        "Included: {}, {}{out}",
        count(included, "file", "files"),
        Size(bytes)
    ));
    for row in listing.folded(MOST_ROWS) {
        let count = if row.files > 1 {
            format!(" ({} files)", row.files)
        } else {
            String::new()
        };
        let path = format!("{}{count}", printable(&row.path));
        page.field(&Size(row.size).to_string(), &path);
    }
    if listing.entries.is_empty() {
        page.styled("nothing", theme.fair());
    }
    if listing.left_out.is_empty() {
        return;
    }
    page.heading("Left out");
    for left in listing.left_out.iter().take(MOST_ROWS) {
        let size = left
            .size
            .map_or(String::new(), |bytes| Size(bytes).to_string());
        page.field_in(&size, &format!("{}: {}", left.path, left.why), theme.dim());
    }
    let more = listing.left_out.len().saturating_sub(MOST_ROWS) as u64 + listing.left_out_more;
    if more > 0 {
        let text = format!("and {more} more, listed by `swarmdex publish --dry-run`");
        page.text(&text, theme.dim());
    }
}
