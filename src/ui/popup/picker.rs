//! The file picker of the form.

use std::path::PathBuf;

use ratatui::layout::Rect;

use super::{Page, Reply, Window, boxed};
use crate::{
    domain::text::{fit, printable},
    ui::{
        action::{Action, KeyPlace},
        effect::Effect,
        model::{Model, picker::PickerEntry},
        update::publish,
    },
};

/// Lines above the first entry.
const ABOVE: usize = 2;
/// Width of the column of sizes.
const SIZE: usize = 14;

pub struct PickerWindow {
    pub generation: u64,
    pub dir: PathBuf,
    /// `None` until the directory was read.
    pub entries: Option<Result<Vec<PickerEntry>, String>>,
}

impl PickerWindow {
    /// Returns a picker for a directory, and the effect that reads it.
    pub fn of(model: &mut Model, dir: PathBuf) -> (Self, Effect) {
        let generation = model.next_generation();
        let picker = Self {
            generation,
            dir: dir.clone(),
            entries: None,
        };
        (picker, Effect::List { generation, dir })
    }

    fn entries(&self) -> &[PickerEntry] {
        match &self.entries {
            Some(Ok(entries)) => entries,
            _ => &[],
        }
    }

    /// Returns the path of a row, and true if it is a directory. The first row is the parent
    /// directory.
    fn path(&self, row: usize) -> Option<(PathBuf, bool)> {
        let Some(row) = row.checked_sub(1) else {
            return Some((self.dir.parent().unwrap_or(&self.dir).to_owned(), true));
        };
        let entry = self.entries().get(row)?;
        Some((self.dir.join(&entry.name), entry.is_dir))
    }
}

impl Window for PickerWindow {
    fn place(&self) -> KeyPlace {
        KeyPlace::Picker
    }

    fn title(&self) -> &str {
        "Choose a file or directory"
    }

    fn lines(&self, _model: &Model, page: &mut Page) {
        let theme = page.theme;
        let dir = printable(&self.dir.to_string_lossy());
        page.styled(fit(&dir, page.width), theme.strong());
        page.blank();
        page.styled("..", theme.link());
        match &self.entries {
            None => page.styled("reading…", theme.dim()),
            Some(Err(why)) => page.styled(fit(why, page.width), theme.bad()),
            Some(Ok(_)) => {}
        }
        let room = page.width.saturating_sub(SIZE);
        for entry in self.entries() {
            let name = printable(&entry.name);
            let (name, size, style) = if entry.is_dir {
                (format!("{name}/"), String::new(), theme.link())
            } else {
                (name, format!("{} bytes", entry.size), theme.text())
            };
            let name = fit(&name, room);
            page.styled(format!("{name:<room$}{size:>SIZE$}"), style);
        }
    }

    fn area(&self, model: &Model) -> Rect {
        boxed(model, 84, 30)
    }

    fn keys(&self) -> &'static [(Action, &'static str)] {
        &[
            (Action::Open, "open"),
            (Action::TakeDirectory, "choose"),
            (Action::Back, "back"),
        ]
    }

    fn rows(&self, _model: &Model) -> Option<Vec<usize>> {
        Some((ABOVE..=ABOVE + self.entries().len()).collect())
    }

    fn click(&self, again: bool) -> Option<Action> {
        again.then_some(Action::Open)
    }

    /// Enters the selected directory, or chooses the selected file; a directory can be chosen too.
    fn act(&mut self, model: &mut Model, at: &mut usize, action: Action) -> Reply {
        let path = match (action, self.path(*at)) {
            (Action::Open, Some((dir, true))) => {
                let (picker, effect) = Self::of(model, dir);
                (*self, *at) = (picker, 0);
                return Reply::Stay(vec![effect]);
            }
            // The first row stands for the directory that is shown.
            (Action::TakeDirectory, _) if *at == 0 => self.dir.clone(),
            (Action::Open | Action::TakeDirectory, Some((path, _))) => path,
            (Action::Open | Action::TakeDirectory, None) => return Reply::Stay(Vec::new()),
            _ => return Reply::Pass,
        };
        Reply::Close(publish::take_path(model, &path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_row_is_the_parent_directory() {
        let entry = |name: &str, is_dir| PickerEntry {
            name: name.to_owned(),
            is_dir,
            size: 5,
        };
        let picker = PickerWindow {
            generation: 1,
            dir: "/home/alice".into(),
            entries: Some(Ok(vec![entry("sub", true), entry("web-1.tar", false)])),
        };
        assert_eq!(picker.path(0), Some(("/home".into(), true)));
        assert_eq!(picker.path(1), Some(("/home/alice/sub".into(), true)));
        assert_eq!(
            picker.path(2),
            Some(("/home/alice/web-1.tar".into(), false))
        );
        assert_eq!(picker.path(3), None);
    }
}
