//! Windows over a screen. Each is a file with one type that implements [`Window`]; drawing,
//! moving, typing and the mouse use the trait only.

pub mod about;
pub mod buckets;
pub mod columns;
pub mod confirm;
pub mod conflict;
pub mod export;
pub mod facets;
pub mod help;
pub mod lookup;
pub mod package;
pub mod page;
pub mod palette;
pub mod peer;
pub mod picker;
pub mod recent;
pub mod review;
pub mod run;
pub mod text;
pub mod transfer;

use std::any::Any;

use ratatui::{
    Frame,
    layout::{Position, Rect},
    text::{Line, Span},
    widgets::{Block, BorderType, Clear, Padding, Paragraph},
};
use tui_input::Input;
use unicode_width::UnicodeWidthStr;

pub use self::page::Page;
use super::{
    action::{Action, CursorMove, KeyPlace},
    effect::Effect,
    layout::{self, Areas, WIDE},
    model::Model,
    theme::Theme,
    widget::list::target,
};
use crate::domain::text::fit;

/// A window over a screen: a text that scrolls, or a list with a selected row.
///
/// The position in it, `at`, is the first visible line of a text or the selected row of a list.
pub trait Window: Any + Send {
    /// Returns the place whose keys work in it. The default has no keys of its own.
    fn place(&self) -> KeyPlace {
        KeyPlace::Window
    }

    fn title(&self) -> &str;

    /// Writes its lines.
    fn lines(&self, model: &Model, page: &mut Page);

    /// Returns its area: the drawer, unless it chooses another.
    fn area(&self, model: &Model) -> Rect {
        drawer(model)
    }

    /// Returns the keys to name in its frame, each with a verb.
    fn keys(&self) -> &'static [(Action, &'static str)] {
        &[(Action::Back, "back")]
    }

    /// Returns the lines of a list that can be selected, in order; `None` for a text.
    fn rows(&self, _model: &Model) -> Option<Vec<usize>> {
        None
    }

    /// Returns the selected row of a list.
    fn selected(&self, _model: &Model, at: usize) -> usize {
        at
    }

    /// Selects a row of a list, and returns the new `at`.
    fn select(&self, _model: &mut Model, row: usize) -> usize {
        row
    }

    /// Returns the action of a click on a row, which is selected by now; `again` is true if it was
    /// selected before.
    fn click(&self, _again: bool) -> Option<Action> {
        None
    }

    /// Returns the column and line of the cursor in its text field.
    fn cursor(&self) -> Option<(usize, usize)> {
        None
    }

    fn input(&mut self) -> Option<&mut Input> {
        None
    }

    /// Handles a changed text in its field.
    fn edited(&mut self) {}

    /// Handles an action before the screen does. The window is off the model meanwhile.
    fn act(&mut self, _model: &mut Model, _at: &mut usize, _action: Action) -> Reply {
        Reply::Pass
    }

    /// Names its type, for the test that every window has snapshots.
    #[cfg(test)]
    fn type_name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }

    /// Handles the passing of a second.
    fn tick(&self) -> Vec<Effect> {
        Vec::new()
    }
}

/// A window's reply to an action.
pub enum Reply {
    /// Nothing: the action has its usual meaning.
    Pass,
    /// It stays open.
    Stay(Vec<Effect>),
    /// It closes.
    Close(Vec<Effect>),
}

/// An open window, and the position in it.
pub struct Popup {
    pub window: Box<dyn Window>,
    pub at: usize,
}

/// The inside of a window as it is drawn.
struct View {
    area: Rect,
    width: usize,
    height: usize,
    lines: Vec<Line<'static>>,
    rows: Option<Vec<usize>>,
    /// First visible line.
    first: usize,
    /// Highest first line.
    most: usize,
}

impl Popup {
    /// Returns the window if it is of this type.
    pub fn get<W: Window>(&self) -> Option<&W> {
        let window: &dyn Any = &*self.window;
        window.downcast_ref()
    }

    pub fn get_mut<W: Window>(&mut self) -> Option<&mut W> {
        let window: &mut dyn Any = &mut *self.window;
        window.downcast_mut()
    }

    fn view(&self, model: &Model, theme: Theme) -> View {
        let area = self.window.area(model);
        let (width, height) = inside(area);
        let mut page = Page::new(width, theme);
        self.window.lines(model, &mut page);
        let (lines, rows) = (page.lines, self.window.rows(model));
        let most = lines.len().saturating_sub(height);
        let first = match &rows {
            Some(rows) => {
                let at = self.window.selected(model, self.at);
                // Keep the selected row in view, together with the lines above the list.
                rows.get(at)
                    .map_or(0, |line| (line + 1).saturating_sub(height))
            }
            None => self.at,
        };
        View {
            area,
            width,
            height,
            lines,
            rows,
            first: first.min(most),
            most,
        }
    }

    /// Returns the position that a move leads to.
    fn target(&self, model: &Model, step: CursorMove) -> usize {
        let view = self.view(model, Theme::plain());
        match (view.rows, step) {
            (Some(rows), _) => {
                let here = self.window.selected(model, self.at);
                target(step, here, rows.len(), view.height)
            }
            (None, CursorMove::Last) => view.most,
            (None, _) => {
                target(step, view.first, view.lines.len().max(1), view.height).min(view.most)
            }
        }
    }

    /// Returns the text at the bottom of the frame: the position if not all is visible, and keys.
    fn hint(&self, model: &Model, view: &View) -> String {
        let place = self.window.place();
        let keys = self.window.keys().iter();
        let keys: Vec<String> = keys
            .map(|(action, verb)| format!("{}: {verb}", model.key(*action, place)))
            .collect();
        let mut words = vec![keys.join(" · ")];
        match &view.rows {
            _ if view.most == 0 => {}
            Some(rows) => {
                let at = self.window.selected(model, self.at) + 1;
                if at <= rows.len() {
                    words.insert(0, format!("{at} of {}", rows.len()));
                }
            }
            None if self.window.cursor().is_some() => {}
            None => {
                let at = view.first + view.height;
                words.insert(0, format!("{at} of {}", view.lines.len()));
                let [down, up] = [CursorMove::Down, CursorMove::Up]
                    .map(|step| model.key(Action::Move(step), place));
                words.insert(1, format!("{down} {up}: scroll"));
            }
        }
        // In a narrow frame, the keys of this window are worth more than the common ones.
        let is_too_wide = |words: &[String]| words.join(" · ").width() + 2 > view.width;
        while words.len() > 1 && is_too_wide(&words) {
            words.remove(words.len() - 2);
        }
        format!(" {} ", words.join(" · "))
    }

    pub fn draw(&self, frame: &mut Frame<'_>, model: &Model, theme: Theme) {
        let mut view = self.view(model, theme);
        let selected = view.rows.as_ref().and_then(|rows| {
            let at = self.window.selected(model, self.at);
            view.lines.get_mut(*rows.get(at)?)
        });
        if let Some(line) = selected {
            let gap = " ".repeat(view.width.saturating_sub(line.width()));
            *line = Line::from(Span::styled(format!("{line}{gap}"), theme.selected()));
        }
        let hint = self.hint(model, &view);
        let title = Span::styled(
            format!(
                " {} ",
                fit(self.window.title(), view.width.saturating_sub(2))
            ),
            theme.title(),
        );
        let shown: Vec<Line<'_>> = view
            .lines
            .into_iter()
            .skip(view.first)
            .take(view.height)
            .collect();
        frame.render_widget(Clear, view.area);
        frame.render_widget(
            Paragraph::new(shown)
                .style(theme.ground())
                .block(self::frame(title, &hint, view.width, theme).style(theme.ground())),
            view.area,
        );
        if let Some((x, line)) = self.window.cursor() {
            let x = x.min(view.width.saturating_sub(1)) as u16;
            frame.set_cursor_position((view.area.x + 2 + x, view.area.y + 1 + line as u16));
        }
    }
}

/// Returns the frame of a window, with `hint` at its bottom.
pub fn frame<'a>(title: Span<'a>, hint: &str, width: usize, theme: Theme) -> Block<'a> {
    Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(theme.dim())
        .title(title)
        .title_bottom(Line::from(Span::styled(fit(hint, width), theme.dim())).right_aligned())
        .padding(Padding::horizontal(1))
}

/// Lets the top window handle an action; `None` if it does nothing about it.
pub fn act(model: &mut Model, action: Action) -> Option<Vec<Effect>> {
    let mut popup = model.popups.pop()?;
    let depth = model.popups.len();
    let reply = popup.window.act(model, &mut popup.at, action);
    if !matches!(reply, Reply::Close(_)) {
        // The action may have opened another window, or closed all of them.
        model.popups.insert(depth.min(model.popups.len()), popup);
    }
    match reply {
        Reply::Pass => None,
        Reply::Stay(effects) | Reply::Close(effects) => Some(effects),
    }
}

/// Moves in the top window.
pub fn step(model: &mut Model, step: CursorMove) {
    if let Some(popup) = model.popups.last() {
        let to = popup.target(model, step);
        move_to(model, to);
    }
}

/// Scrolls the top window to a line, or selects a row of its list.
fn move_to(model: &mut Model, to: usize) {
    if let Some(mut popup) = model.popups.pop() {
        popup.at = popup.window.select(model, to);
        model.popups.push(popup);
    }
}

/// Handles a click on the top window: selects the row there, and returns the action of that.
pub fn click(model: &mut Model, at: Position) -> Option<Action> {
    let popup = model.popups.last()?;
    let view = popup.view(model, Theme::plain());
    let y = usize::from(at.y.checked_sub(view.area.y + 1)?);
    if y >= view.height {
        return None;
    }
    let row = view
        .rows?
        .into_iter()
        .position(|line| line == view.first + y)?;
    let again = popup.window.selected(model, popup.at) == row;
    move_to(model, row);
    model.popups.last()?.window.click(again)
}

/// Returns the columns and rows inside a window's frame.
pub fn inside(area: Rect) -> (usize, usize) {
    (
        usize::from(area.width.saturating_sub(4)),
        usize::from(area.height.saturating_sub(2)),
    )
}

/// Returns the area between the tabs and the status row.
fn body(model: &Model) -> Rect {
    let Areas { tabs, status, .. } = layout::areas(model);
    Rect {
        y: tabs.bottom(),
        height: status.y.saturating_sub(tabs.bottom()),
        ..tabs
    }
}

/// Returns the area of a drawer: the right part of the body if it is wide enough, else all of it.
fn drawer(model: &Model) -> Rect {
    let body = body(model);
    if body.width < WIDE {
        return body;
    }
    let width = (body.width * 3 / 5).max(64);
    Rect {
        x: body.right().saturating_sub(width),
        width,
        ..body
    }
}

/// Returns the area of a box as high as the text of a window.
fn fitting(model: &Model, window: &impl Window, width: u16) -> Rect {
    let (width_inside, _) = inside(boxed(model, width, 0));
    let mut page = Page::new(width_inside, Theme::plain());
    window.lines(model, &mut page);
    boxed(model, width, page.lines.len())
}

/// Returns the area of a box with room for `lines`, centred in the upper part of the body.
fn boxed(model: &Model, width: u16, lines: usize) -> Rect {
    let body = body(model);
    let height = u16::try_from(lines).unwrap_or(u16::MAX).saturating_add(2);
    let (width, height) = (width.min(body.width), height.min(body.height));
    Rect {
        x: body.x + (body.width - width) / 2,
        y: body.y + (body.height - height) / 3,
        width,
        height,
    }
}
