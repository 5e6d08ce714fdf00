//! The facets of search results, in a window or in the pane beside the results.

use ratatui::{
    Frame,
    layout::{Position, Rect},
    text::{Line, Span},
    widgets::Paragraph,
};
use unicode_width::UnicodeWidthStr;

use super::{Page, Reply, Window, frame, inside};
use crate::{
    domain::{
        name::{Handle, PublisherId},
        query::Facet,
        text::fit,
    },
    ui::{
        action::{Action, KeyPlace},
        layout::{self, Areas},
        model::{
            Model,
            facets::{self, FacetId, FacetLine, FacetMode},
        },
        theme::Theme,
        update::search,
        widget::number::grouped,
    },
};

const TITLE: &str = "Narrow by";
/// Least values shown of each facet in the pane.
const LEAST: usize = 2;

/// The facets with the focus: a window, or the pane if it is visible. The selection is in the
/// model, because the facets change with every result.
pub struct FacetsWindow;

impl Window for FacetsWindow {
    fn place(&self) -> KeyPlace {
        KeyPlace::Facets
    }

    fn title(&self) -> &str {
        TITLE
    }

    fn lines(&self, model: &Model, page: &mut Page) {
        write(model, &all(model), page);
    }

    fn area(&self, model: &Model) -> Rect {
        let Areas {
            side,
            field,
            status,
            ..
        } = layout::areas(model);
        if side.height > 0 {
            return side;
        }
        // Leave the search field visible: it changes along with the facets.
        let lines = u16::try_from(all(model).len().max(3)).unwrap_or(u16::MAX);
        let room = status.y.saturating_sub(field.bottom());
        let width = 44.min(field.width);
        Rect {
            x: field.right() - width,
            y: field.bottom(),
            width,
            height: room.min(lines.saturating_add(2)),
        }
    }

    fn keys(&self) -> &'static [(Action, &'static str)] {
        &[(Action::ToggleFacet, "select"), (Action::Back, "back")]
    }

    fn rows(&self, model: &Model) -> Option<Vec<usize>> {
        let lines = all(model).into_iter().enumerate();
        let values = lines.filter(|(_, line)| line.id().is_some());
        Some(values.map(|(number, _)| number).collect())
    }

    fn selected(&self, model: &Model, _at: usize) -> usize {
        model.search.facet.index(&ids(model)).unwrap_or(0)
    }

    fn select(&self, model: &mut Model, row: usize) -> usize {
        model.search.facet.selected = ids(model).get(row).cloned();
        row
    }

    fn click(&self, _again: bool) -> Option<Action> {
        Some(Action::ToggleFacet)
    }

    fn act(&mut self, model: &mut Model, _at: &mut usize, action: Action) -> Reply {
        if action != Action::ToggleFacet {
            return Reply::Pass;
        }
        let selected = model.search.facet.current(&ids(model));
        Reply::Stay(selected.map_or_else(Vec::new, |id| search::toggle(model, id)))
    }
}

/// Returns all lines, for the facets that have the focus.
fn all(model: &Model) -> Vec<FacetLine> {
    facets::lines(&model.search.facets, &model.search.terms, usize::MAX)
}

/// Returns the values that can be selected, in order.
pub fn ids(model: &Model) -> Vec<FacetId> {
    all(model)
        .iter()
        .filter_map(FacetLine::id)
        .cloned()
        .collect()
}

/// Returns as many values of each facet as fit in `height` lines, for the pane without the focus.
fn at_a_glance(model: &Model, height: usize) -> Vec<FacetLine> {
    let fitting = |most: &usize| {
        facets::lines(&model.search.facets, &model.search.terms, *most).len() <= height
    };
    let most = (LEAST..=height).take_while(fitting).last().unwrap_or(LEAST);
    facets::lines(&model.search.facets, &model.search.terms, most)
}

/// Returns the line of the pane without the focus at a position.
pub fn pane_line(model: &Model, side: Rect, at: Position) -> Option<FacetLine> {
    let (_, height) = inside(side);
    let row = usize::from(at.y.checked_sub(side.y + 1)?);
    let lines = at_a_glance(model, height).into_iter();
    lines.take(height).nth(row)
}

/// Draws the pane beside the results, with the same frame as the window.
pub fn pane(frame: &mut Frame<'_>, model: &Model, theme: Theme, area: Rect) {
    let (width, height) = inside(area);
    let mut page = Page::new(width, theme);
    write(model, &at_a_glance(model, height), &mut page);
    let key = model
        .keymap
        .key_for(Action::Facets, model.typing(), model.place());
    let hint = key.map_or(String::new(), |key| format!(" {key}: narrow "));
    let title = Span::styled(format!(" {TITLE} "), theme.dim());
    let block = self::frame(title, &hint, width, theme);
    frame.render_widget(Paragraph::new(page.lines).block(block), area);
}

/// Returns the text of a value. A publisher's handle that other keys claim too is signed, with the
/// key's fingerprint in front; then the second part is true.
fn publisher(model: &Model, (facet, value): &FacetId, shown: &str) -> (String, bool) {
    let parsed = (
        shown.parse::<Handle>().ok(),
        value.parse::<PublisherId>().ok(),
    );
    match parsed {
        (Some(handle), Some(key))
            if *facet == Facet::Publisher && model.claims.is_contested(&handle, &key) =>
        {
            (format!("! {} {shown}", key.fingerprint()), true)
        }
        _ => (shown.to_owned(), false),
    }
}

fn write(model: &Model, lines: &[FacetLine], page: &mut Page) {
    let theme = page.theme;
    if lines.is_empty() {
        return page.styled("no results to narrow", theme.dim());
    }
    let about = if model.search.facets.sampled { "~" } else { "" };
    for line in lines {
        page.line(match line {
            FacetLine::Heading(facet) => {
                Line::from(Span::styled(facets::name(*facet), theme.title()))
            }
            FacetLine::More(more) => Line::from(Span::styled(
                format!("  {} more", grouped(*more as u64)),
                theme.dim(),
            )),
            FacetLine::Value {
                id,
                shown,
                packages,
                asked,
            } => {
                let (shown, contested) = publisher(model, id, shown);
                let count = packages.map_or("none".to_owned(), |packages| {
                    format!("{about}{}", grouped(packages))
                });
                let (sign, style, count_style) = match asked {
                    FacetMode::No => ("○", theme.text(), theme.dim()),
                    FacetMode::Yes => ("●", theme.strong(), theme.strong()),
                    FacetMode::Not => ("✗", theme.strong(), theme.strong()),
                };
                let style = if contested { theme.bad() } else { style };
                let room = page.width.saturating_sub(count.width() + 3);
                let name = fit(&shown, room);
                let pad = " ".repeat(room.saturating_sub(name.width()));
                Line::from(vec![
                    Span::styled(format!("{sign} {name}{pad} "), style),
                    Span::styled(count, count_style),
                ])
            }
        });
    }
}
