//! The layout of the terminal, shared by drawing, scrolling and the mouse.

use ratatui::layout::Rect;
use tui_input::Input;
use unicode_width::UnicodeWidthStr;

use super::{
    action::{Action, Screen},
    model::{
        Model,
        form::{Checked, DependencyColumn, Field, ReleaseForm},
        health::Health,
        map,
    },
    screen,
    widget::wrap::wrap,
};

/// Smallest usable terminal in columns and rows; below it, only a message is shown.
pub const LEAST: (u16, u16) = (40, 12);
/// Columns from which two panes fit side by side.
pub const WIDE: u16 = 100;
/// Rows from which the header takes two.
const TALL: u16 = 16;
/// Rows from which a blank search shows examples of the search language.
const TAUGHT: u16 = 20;
/// Columns of the pane of facets beside the search results.
const FACETS: u16 = 26;
/// Label of the search field.
pub const SEARCH_LABEL: &str = "search: ";
/// Rows from which Health shows the history of verdicts.
const ROOMY: u16 = 30;
/// Most rows of text below the map.
const MAP_WORDS: u16 = 13;

pub struct Areas {
    pub header: Rect,
    pub tabs: Rect,
    /// The filter or search field with the messages below it; height 0 if there is none.
    pub field: Rect,
    /// The table of the screen, with its header.
    pub body: Rect,
    /// The pane beside the table, or in its place: the form, a publish in progress, or the facets.
    pub side: Rect,
    /// The area above the table: the verdict, or examples for searching.
    pub top: Rect,
    /// The area below the table: the history of verdicts, or the legend of the map.
    pub below: Rect,
    pub status: Rect,
    pub footer: Rect,
}

pub fn areas(model: &Model) -> Areas {
    let (width, height) = model.size;
    let header = if height >= TALL { 2 } else { 1 };
    let field = match model.screen {
        // Messages take at most a sixth of the height; results need the rest.
        Screen::Search => {
            1 + (model.search.messages(usize::from(width)).len() as u16).min(height / 6)
        }
        _ => u16::from(model.table().filter().is_shown()),
    };
    let row = |y: u16, height: u16| Rect {
        x: 0,
        y,
        width,
        height,
    };
    let rest = height.saturating_sub(header + 1 + field + 2);
    let mut body = row(header + 1 + field, rest);
    let none = Rect {
        height: 0,
        width: 0,
        ..body
    };
    let (mut side, mut top, mut below) = (none, none, none);
    match model.screen {
        Screen::Health => {
            let lines = verdict_lines(&model.health, usize::from(width)).len();
            // Leave at least half of the height to the table.
            let verdict = (lines as u16 + u16::from(height >= TALL)).min(rest / 2);
            let changes = if height >= ROOMY {
                (rest / 4).min(9)
            } else {
                0
            };
            top = Rect {
                height: verdict.min(rest),
                ..body
            };
            body = Rect {
                y: body.y + top.height,
                height: rest.saturating_sub(top.height + changes),
                ..body
            };
            below = Rect {
                y: body.bottom(),
                height: changes,
                ..body
            };
        }
        Screen::Map if map::is_drawn(model) => {
            // A world map of this width is a fifth as high; the rest is for text.
            let world = (f64::from(width) * 0.2).ceil() as u16;
            let words = rest.saturating_sub(world).clamp(3, MAP_WORDS).min(rest);
            body = Rect {
                height: rest - words,
                ..body
            };
            below = Rect {
                y: body.bottom(),
                height: words,
                ..body
            };
        }
        Screen::Search => {
            if width >= WIDE {
                side = Rect {
                    x: width - FACETS,
                    width: FACETS,
                    ..body
                };
                body.width -= FACETS + 1;
            }
            if model.search.is_blank() && height >= TAUGHT {
                top = Rect {
                    height: screen::search::lesson_height(body.width).min(rest / 2),
                    ..body
                };
                body = Rect {
                    y: top.bottom(),
                    height: rest.saturating_sub(top.height),
                    ..body
                };
            }
        }
        Screen::Lookups => {
            let summary = model.lookups.summary(usize::from(width)).len() as u16;
            let summary = if height >= TALL {
                summary.min(rest / 4)
            } else {
                0
            };
            top = Rect {
                height: summary,
                ..body
            };
            body = Rect {
                y: top.bottom(),
                height: rest.saturating_sub(summary),
                ..body
            };
        }
        Screen::Publish if width >= WIDE => {
            let list = width * 2 / 5;
            side = Rect {
                x: list + 2,
                width: width.saturating_sub(list + 2),
                ..body
            };
            body.width = list;
        }
        // Without room for both panes, the active one takes all of it.
        Screen::Publish if model.publish.typing || model.publish.progress.is_some() => {
            side = body;
            body = none;
        }
        _ => {}
    }
    Areas {
        header: row(0, header),
        tabs: row(header, 1),
        field: row(header + 1, field),
        body,
        side,
        top,
        below,
        status: row(height.saturating_sub(2), 1),
        footer: row(height.saturating_sub(1), 1),
    }
}

/// Returns the visible rows of the screen's table, without its header.
pub fn page(model: &Model) -> usize {
    usize::from(areas(model).body.height.saturating_sub(1))
}

/// Returns the columns for the text of a field beside its label, and the columns of the text that
/// are scrolled off to the left.
pub fn field_view(width: usize, label: &str, input: &Input) -> (usize, usize) {
    let room = width.saturating_sub(label.width() + 1).max(1);
    (room, input.visual_scroll(room.saturating_sub(1)))
}

/// Returns the verdict as lines: its state, its cause, and advice.
pub fn verdict_lines(health: &Health, width: usize) -> Vec<String> {
    let Some(verdict) = health.history.verdict() else {
        return vec![String::new()];
    };
    let head = match health.starting {
        true => verdict.cause.replacen("starting", "STARTING", 1),
        false => format!(
            "{}: {}",
            verdict.state.label().to_uppercase(),
            verdict.cause
        ),
    };
    // The sign before the state takes two columns.
    let mut lines = wrap(&head, width.saturating_sub(2));
    if !verdict.remedy.is_empty() {
        lines.extend(wrap(&format!("What to do: {}", verdict.remedy), width));
    }
    lines
}

/// Returns the tabs with their labels and areas.
pub fn tabs(model: &Model) -> Vec<(Screen, String, Rect)> {
    let area = areas(model).tabs;
    let key = |screen: Screen| model.key(Action::Go(screen), screen);
    let long = |screen: Screen| format!(" {} {} ", key(screen), screen.name());
    let all: usize = Screen::ALL
        .into_iter()
        .map(|screen| long(screen).width() + 1)
        .sum();
    let mut x = area.x;
    let mut out = Vec::new();
    for screen in Screen::ALL {
        let name = if screen == model.screen || all <= usize::from(area.width) {
            long(screen)
        } else {
            format!(" {} ", key(screen))
        };
        let width = name.width() as u16;
        out.push((screen, name, Rect { x, width, ..area }));
        x += width + 1;
    }
    out
}

/// One line of the form.
#[derive(Clone, Debug, PartialEq)]
pub enum FormLine {
    /// Fields in a row, each with the column where its text begins and its width.
    Fields(Vec<(Field, u16, u16)>),
    Heading(String),
    /// A problem with a field.
    Problem(String),
    Hint(String),
}

/// Width of the form's labels, in columns.
pub const LABEL: u16 = 13;

/// Lays out the form as lines of `width` columns. Problems are shown for fields with a text, and
/// for all of them after an attempt to publish.
pub fn form_lines(
    form: &ReleaseForm,
    checked: &Checked,
    typing: bool,
    width: u16,
) -> Vec<FormLine> {
    let mut lines = Vec::new();
    let focused = typing.then(|| form.focused());
    let say = |lines: &mut Vec<FormLine>, field: Field| {
        let is_shown = form.tried || !form.text(field).is_empty();
        // A path that can be completed is not wrong yet.
        let goes_on = field == Field::File && focused == Some(field) && form.proposed().is_some();
        let problem = checked
            .problems
            .get(&field)
            .filter(|_| is_shown && !goes_on);
        let named = match field {
            Field::Needs(..) => format!("{}: ", field.name()),
            _ => String::new(),
        };
        let room = usize::from(width.saturating_sub(LABEL + 2)).max(16);
        if let Some(problem) = problem {
            lines.extend(
                wrap(&format!("{named}{problem}"), room)
                    .into_iter()
                    .map(FormLine::Problem),
            );
        } else if focused == Some(field) {
            lines.extend(wrap(field.hint(), room).into_iter().map(FormLine::Hint));
        }
    };
    let mut table = false;
    for field in form.fields() {
        match field {
            Field::Needs(row, DependencyColumn::Package) => {
                let room = width.saturating_sub(LABEL);
                let package = (room / 2).max(8);
                let requirement = (room / 4).max(9);
                let rest = room.saturating_sub(package + requirement + 2).max(3);
                if !table {
                    let optional = if rest < 8 { "opt" } else { "optional" };
                    let (label, package, requirement) = (
                        usize::from(LABEL),
                        usize::from(package) + 1,
                        usize::from(requirement) + 1,
                    );
                    let head = format!(
                        "{:<label$}{:<package$}{:<requirement$}{optional}",
                        "needs", "package", "versions"
                    );
                    lines.push(FormLine::Heading(head));
                    table = true;
                }
                lines.push(FormLine::Fields(vec![
                    (Field::Needs(row, DependencyColumn::Package), LABEL, package),
                    (
                        Field::Needs(row, DependencyColumn::Requirement),
                        LABEL + package + 1,
                        requirement,
                    ),
                    (
                        Field::Needs(row, DependencyColumn::Optional),
                        LABEL + package + requirement + 2,
                        rest,
                    ),
                ]));
                DependencyColumn::ALL
                    .iter()
                    .for_each(|part| say(&mut lines, Field::Needs(row, *part)));
            }
            Field::Needs(..) => {}
            field => {
                lines.push(FormLine::Fields(vec![(
                    field,
                    LABEL,
                    width.saturating_sub(LABEL),
                )]));
                say(&mut lines, field);
            }
        }
    }
    lines
}

/// Returns the first visible line of the form, such that the focused field is in view.
pub fn form_offset(form: &ReleaseForm, lines: &[FormLine], height: u16) -> usize {
    let focused = form.focused();
    let has = |line: &FormLine| matches!(line, FormLine::Fields(fields) if fields.iter().any(|(field, ..)| *field == focused));
    let at = lines.iter().position(has).unwrap_or(0);
    let height = usize::from(height).max(1);
    // Keep the problem or hint below the field in view too.
    (at + 3)
        .saturating_sub(height)
        .min(lines.len().saturating_sub(height))
}

/// Returns the part of the pane that holds the form's fields.
pub fn form_area(side: Rect) -> Rect {
    Rect {
        y: side.y + 1.min(side.height),
        height: side.height.saturating_sub(2),
        ..side
    }
}
