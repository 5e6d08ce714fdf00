//! The file picker.

use ratatui::text::{Line, Span};

use crate::{
    domain::text::{fit, printable},
    ui::{model::picker::Picker, theme::Theme},
};

/// Lines above the first entry.
pub const ABOVE: usize = 2;

pub fn lines(picker: &Picker, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let dir = printable(&picker.dir.to_string_lossy());
    let mut lines = vec![
        Line::from(Span::styled(fit(&dir, width), theme.strong())),
        Line::default(),
    ];
    let mut row = |number: usize, name: String, size: String, is_dir: bool| {
        let name = fit(&name, width.saturating_sub(14));
        let text = format!("{name:<room$}{size:>14}", room = width.saturating_sub(14));
        let style = match (number == picker.at, is_dir) {
            (true, _) => theme.selected(),
            (false, true) => theme.link(),
            (false, false) => theme.text(),
        };
        lines.push(Line::from(Span::styled(text, style)));
    };
    row(0, "..".to_owned(), String::new(), true);
    match &picker.entries {
        None => lines.push(Line::from(Span::styled("reading…", theme.dim()))),
        Some(Err(why)) => lines.push(Line::from(Span::styled(fit(why, width), theme.bad()))),
        Some(Ok(entries)) => {
            for (number, entry) in entries.iter().enumerate() {
                let name = printable(&entry.name);
                let (name, size) = if entry.is_dir {
                    (format!("{name}/"), String::new())
                } else {
                    (name, format!("{} bytes", entry.size))
                };
                row(number + 1, name, size, entry.is_dir);
            }
        }
    }
    lines
}
