//! Windows that choose, ask and export.

use tui_input::Input;

use super::{act, publish, search};
use crate::{
    bus::Level,
    domain::text::printable,
    registry::Order,
    ui::{
        effect::Effect,
        model::{Consent, Export, Model, Popup, palette::Palette},
        table::column::Columns,
    },
};

/// A change to a column.
#[derive(Clone, Copy, Debug)]
pub enum ColumnChange {
    Toggle,
    Shift { right: bool },
    Widen(i16),
    Reset,
}

pub fn palette(model: &mut Model) {
    let palette = Palette::new(&model.keymap, model.place());
    model.popups.push(Popup::Palette(palette));
}

/// Opens the export prompt, with a name that has the table and the time.
pub fn export(model: &mut Model) {
    let time = crate::clock::here(model.now).replace(':', "");
    let rows = model.table().export(model.now).rows.len();
    let input = Input::new(format!("{}-{time}.csv", model.table().name()));
    model.popups.push(Popup::Export(Export {
        input,
        rows,
        evidence: None,
        problem: None,
    }));
}

/// Changes the selected column in the window of columns, and saves the columns.
pub fn change_column(model: &mut Model, change: ColumnChange) -> Vec<Effect> {
    let Some(Popup::Columns { at }) = model.popups.last().cloned() else {
        return Vec::new();
    };
    let table = model.table_mut();
    let mut to = at;
    match change {
        ColumnChange::Toggle => table.columns_mut().toggle(at),
        ColumnChange::Shift { right } => to = table.columns_mut().shift(at, right),
        ColumnChange::Widen(by) => table.columns_mut().widen(at, by),
        ColumnChange::Reset => *table.columns_mut() = Columns::new(table.known_columns()),
    }
    // Default columns are removed from the settings.
    let words = if matches!(change, ColumnChange::Reset) {
        Vec::new()
    } else {
        table.columns().to_words()
    };
    let effect = Effect::SaveColumns {
        table: table.name(),
        words,
    };
    if let Some(Popup::Columns { at }) = model.popups.last_mut() {
        *at = to;
    }
    vec![effect]
}

/// Accepts the open window.
pub fn accept(model: &mut Model) -> Vec<Effect> {
    if matches!(model.popups.last(), Some(Popup::Review(_))) {
        return publish::publish_now(model);
    }
    if let Some(Popup::Export(export)) = model.popups.last() {
        let path = export.input.value().trim().to_owned();
        if let Some(id) = export.evidence.filter(|_| !path.is_empty()) {
            return vec![Effect::ExportEvidence { path, id }];
        }
        let sheet = model.table().export(model.now);
        return if path.is_empty() {
            Vec::new()
        } else {
            vec![Effect::Export { path, sheet }]
        };
    }
    match model.popups.pop() {
        Some(Popup::Palette(palette)) => palette
            .chosen()
            .map_or_else(Vec::new, |action| act(model, action)),
        Some(Popup::Recent(window)) => search::take_recent(model, &window),
        Some(Popup::Confirm(question)) => match question.consent {
            Consent::Yank {
                package,
                version,
                yank,
                name,
            } => vec![Effect::Yank {
                package,
                version,
                yank,
                name,
            }],
            Consent::CancelFetch { id, what } => vec![Effect::Direct {
                id,
                order: Order::Cancel,
                what,
            }],
            Consent::Peer { id, name, deed } => vec![Effect::Peer { id, name, deed }],
            Consent::Replace(with) => publish::fill_form(model, *with),
            Consent::Trust {
                publisher,
                handle,
                name,
            } => vec![Effect::Trust {
                publisher,
                handle,
                what: name,
            }],
            Consent::Distrust { publisher, name } => vec![Effect::Distrust {
                publisher,
                what: name,
            }],
            Consent::Quit => {
                model.quit = true;
                Vec::new()
            }
        },
        _ => Vec::new(),
    }
}

/// Handles the end of an export. The window stays open with its text until the file exists.
pub fn exported(model: &mut Model, path: &str, result: Result<usize, String>) {
    let told = |rows: usize| {
        let rows = if rows == 1 {
            "1 row".to_owned()
        } else {
            format!("{rows} rows")
        };
        format!("wrote {rows} to {}", printable(path))
    };
    written(model, result.map(told));
}

pub fn exported_evidence(model: &mut Model, path: &str, result: Result<(), String>) {
    let path = printable(path);
    written(
        model,
        result.map(|()| format!("wrote {path}; verify it with: swarmdex conflict verify {path}")),
    );
}

/// Closes the window and shows a message if the file was written.
fn written(model: &mut Model, result: Result<String, String>) {
    let open = matches!(model.popups.last(), Some(Popup::Export(_)));
    match (result, model.popups.last_mut()) {
        (Ok(told), _) => {
            if open {
                model.popups.pop();
            }
            model.answer(Level::Info, told);
        }
        (Err(why), Some(Popup::Export(export))) => {
            export.problem = Some(why);
            model.dirty = true;
        }
        (Err(why), _) => model.answer(Level::Error, why),
    }
}
