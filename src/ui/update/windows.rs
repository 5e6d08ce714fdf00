//! The palette, and exports to files.

use tui_input::Input;

use crate::{
    bus::Level,
    domain::text::printable,
    ui::{
        model::{Model, palette::Palette},
        popup::{export::ExportWindow, palette::PaletteWindow},
    },
};

pub fn palette(model: &mut Model) {
    let palette = Palette::new(&model.keymap, model.place());
    model.open(PaletteWindow {
        input: Input::default(),
        palette,
    });
}

/// Opens the export prompt, with a name that has the table and the time.
pub fn export(model: &mut Model) {
    let time = crate::clock::here(model.now).replace(':', "");
    let rows = model.table().export(model.now).rows.len();
    let input = Input::new(format!("{}-{time}.csv", model.table().name()));
    model.open(ExportWindow {
        input,
        rows,
        evidence: None,
        problem: None,
    });
}

/// Handles the end of an export. The window stays open with its text until the file exists.
pub fn exported(model: &mut Model, path: &str, result: Result<usize, String>) {
    let text = |rows: usize| {
        let rows = if rows == 1 {
            "1 row".to_owned()
        } else {
            format!("{rows} rows")
        };
        format!("wrote {rows} to {}", printable(path))
    };
    written(model, result.map(text));
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
    match result {
        Ok(text) => {
            if model.window::<ExportWindow>().is_some() {
                model.popups.pop();
            }
            model.answer(Level::Info, text);
        }
        Err(why) => match model.window_mut::<ExportWindow>() {
            Some(window) => {
                window.problem = Some(why);
                model.dirty = true;
            }
            None => model.answer(Level::Error, why),
        },
    }
}
