//! The window to show, hide, reorder and resize the columns of the table below it.

use ratatui::layout::Rect;

use super::{Page, Reply, Window, boxed};
use crate::ui::{
    action::{Action, KeyPlace},
    effect::Effect,
    model::Model,
    table::column::Columns,
};

pub struct ColumnsWindow;

impl Window for ColumnsWindow {
    fn place(&self) -> KeyPlace {
        KeyPlace::Columns
    }

    fn title(&self) -> &str {
        "Columns"
    }

    fn lines(&self, model: &Model, page: &mut Page) {
        for slot in model.table().columns().slots() {
            let (sign, style) = if slot.hidden {
                ("○", page.theme.dim())
            } else {
                ("●", page.theme.text())
            };
            let extra = match slot.extra {
                0 => String::new(),
                extra => format!("{extra:+}"),
            };
            let (key, title) = (slot.column.key, slot.column.title);
            let title = if title == key { "" } else { title };
            page.styled(format!("{sign} {key:<10} {title:<12}{extra:>4}"), style);
        }
        let kept = if model.demo {
            "Changes last for this run only: a demo does not change your settings.".to_owned()
        } else {
            format!("Changes are saved in {}", model.places.config.display())
        };
        page.blank();
        page.text(&kept, page.theme.dim());
    }

    fn area(&self, model: &Model) -> Rect {
        boxed(model, 64, model.table().columns().slots().len() + 5)
    }

    fn rows(&self, model: &Model) -> Option<Vec<usize>> {
        Some((0..model.table().columns().slots().len()).collect())
    }

    fn click(&self, _again: bool) -> Option<Action> {
        Some(Action::ToggleColumn)
    }

    /// Changes the selected column, and saves the columns.
    fn act(&mut self, model: &mut Model, at: &mut usize, action: Action) -> Reply {
        let table = model.table_mut();
        let known = table.known_columns();
        let columns = table.columns_mut();
        match action {
            Action::ToggleColumn => columns.toggle(*at),
            Action::ShiftColumn { right } => *at = columns.shift(*at, right),
            Action::WidenColumn { wider } => columns.widen(*at, if wider { 1 } else { -1 }),
            Action::ResetColumns => *columns = Columns::new(known),
            _ => return Reply::Pass,
        }
        // Default columns are removed from the settings.
        let words = if action == Action::ResetColumns {
            Vec::new()
        } else {
            table.columns().to_words()
        };
        Reply::Stay(vec![Effect::SaveColumns {
            table: table.name(),
            words,
        }])
    }
}
