//! The facets of search results, in a window or in the pane beside the results.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::{Block, BorderType, Padding, Paragraph},
};
use unicode_width::UnicodeWidthStr;

use crate::{
    domain::text::fit,
    ui::{
        action::Action,
        lines::inside,
        model::{
            Model,
            facets::{self, FacetId, FacetLine, FacetMode},
        },
        theme::Theme,
        widget::number::grouped,
    },
};

/// Least values shown of each facet in the pane.
const LEAST: usize = 2;

/// Returns all lines, for the facets that have the focus.
pub fn all(model: &Model) -> Vec<FacetLine> {
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
pub fn at_a_glance(model: &Model, height: usize) -> Vec<FacetLine> {
    let fitting = |most: &usize| {
        facets::lines(&model.search.facets, &model.search.terms, *most).len() <= height
    };
    let most = (LEAST..=height).take_while(fitting).last().unwrap_or(LEAST);
    facets::lines(&model.search.facets, &model.search.terms, most)
}

/// Returns the first visible line, such that the selected one is in view.
pub fn offset(model: &Model, lines: &[FacetLine], height: usize) -> usize {
    let at = selected(model, lines).unwrap_or(0);
    (at + 1)
        .saturating_sub(height)
        .min(lines.len().saturating_sub(height))
}

/// Returns the line of the selected value.
fn selected(model: &Model, lines: &[FacetLine]) -> Option<usize> {
    let ids: Vec<FacetId> = lines.iter().filter_map(FacetLine::id).cloned().collect();
    let selected = model.search.facet.current(&ids)?;
    lines.iter().position(|line| line.id() == Some(&selected))
}

/// Renders the lines of the window.
pub fn lines(model: &Model, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let lines = all(model);
    let selected = selected(model, &lines);
    written(model, &lines, selected, width, theme)
}

/// Draws the pane beside the results, with the same frame as the window.
pub fn pane(frame: &mut Frame<'_>, model: &Model, theme: Theme, area: Rect) {
    let (width, height) = inside(area.width, area.height);
    let lines = written(model, &at_a_glance(model, height), None, width, theme);
    let key = model
        .keymap
        .key_for(Action::Facets, model.typing(), model.place());
    let hint = key.map_or(String::new(), |key| format!(" {key}: narrow "));
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(theme.dim())
        .title(Span::styled(" Narrow by ", theme.dim()))
        .title_bottom(Line::from(Span::styled(fit(&hint, width), theme.dim())).right_aligned())
        .padding(Padding::horizontal(1));
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn written(
    model: &Model,
    lines: &[FacetLine],
    selected: Option<usize>,
    width: usize,
    theme: Theme,
) -> Vec<Line<'static>> {
    if lines.is_empty() {
        return vec![Line::from(Span::styled("no facets", theme.dim()))];
    }
    let about = if model.search.facets.sampled { "~" } else { "" };
    let line = |(number, line): (usize, &FacetLine)| match line {
        FacetLine::Heading(facet) => Line::from(Span::styled(facets::name(*facet), theme.title())),
        FacetLine::More(more) => Line::from(Span::styled(
            format!("  {} more", grouped(*more as u64)),
            theme.dim(),
        )),
        FacetLine::Value {
            shown,
            packages,
            asked,
            ..
        } => {
            let count = packages.map_or("none".to_owned(), |packages| {
                format!("{about}{}", grouped(packages))
            });
            let (sign, style) = match asked {
                FacetMode::No => ("○", theme.text()),
                FacetMode::Yes => ("●", theme.strong()),
                FacetMode::Not => ("✗", theme.strong()),
            };
            let room = width.saturating_sub(count.width() + 3);
            let name = fit(shown, room);
            let pad = " ".repeat(room.saturating_sub(name.width()));
            if selected == Some(number) {
                return Line::from(Span::styled(
                    format!("{sign} {name}{pad} {count}"),
                    theme.selected(),
                ));
            }
            Line::from(vec![
                Span::styled(format!("{sign} {name}{pad} "), style),
                Span::styled(
                    count,
                    if *asked == FacetMode::No {
                        theme.dim()
                    } else {
                        style
                    },
                ),
            ])
        }
    };
    lines.iter().enumerate().map(line).collect()
}
