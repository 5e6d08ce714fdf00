//! The manifest as it will be signed.

use ratatui::text::{Line, Span};

use super::{field, heading};
use crate::{
    domain::text::printable,
    ui::{
        model::{
            Model,
            publish::{Hashed, Review},
        },
        theme::Theme,
        widget::wrap::wrap,
    },
};

pub fn lines(model: &Model, review: &Review, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let (content, style) = match &review.hashed {
        Hashed::Packing { size: 0, .. } => ("packing the directory…".to_owned(), theme.dim()),
        Hashed::Packing { done, size } => (format!("packing the directory: {} %", done * 100 / size), theme.dim()),
        Hashed::Reading { size: 0, .. } => ("reading the file…".to_owned(), theme.dim()),
        Hashed::Reading { done, size } => (format!("reading the file: {} %", done * 100 / size), theme.dim()),
        Hashed::Is(content) => (format!("{} ({} bytes)", content.root, content.size), theme.text()),
        Hashed::Wrong(why) => (why.clone(), theme.bad()),
    };
    let hint = match &review.hashed {
        Hashed::Is(_) => {
            ("Enter signs and publishes this. It cannot be deleted afterwards, only yanked.", theme.strong())
        }
        Hashed::Packing { .. } => ("A moment: the directory is being packed.", theme.dim()),
        Hashed::Reading { .. } => ("A moment: the file is being read.", theme.dim()),
        Hashed::Wrong(_) => ("Esc goes back to the form.", theme.strong()),
    };
    lines.extend(wrap(hint.0, width).into_iter().map(|line| Line::from(Span::styled(line, hint.1))));
    if let Some(path) = model.publish.key.as_ref().filter(|_| !model.publish.has_key) {
        let path = path.display();
        let text = format!("This is your first publish: your key will be made, in {path}. Back it up afterwards.");
        lines.extend(wrap(&text, width).into_iter().map(|line| Line::from(Span::styled(line, theme.fair()))));
    }
    let Some(draft) = &review.checked.draft else { return lines };
    heading(&mut lines, "The manifest as it will be signed", theme);
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let handle =
        draft.handle.as_ref().map_or("none: a short form of your key is shown".to_owned(), ToString::to_string);
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
            field(&mut lines, label, &printable(&value), theme.text(), width, theme);
        }
    }
    for needed in &draft.dependencies {
        let optional = if needed.optional { " (optional)" } else { "" };
        let text = format!("{} {}{optional}", needed.package, needed.requirement);
        field(&mut lines, "needs", &printable(&text), theme.text(), width, theme);
    }
    field(&mut lines, "content", &content, style, width, theme);
    if let Some(left) = review.checked.left {
        field(&mut lines, "size", &format!("{left} bytes of 8192 are left"), theme.dim(), width, theme);
    }
    lines
}
