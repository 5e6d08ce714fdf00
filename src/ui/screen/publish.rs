//! The Publish screen: this node's packages, and the form for a release.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{Areas, field, line, sentences, table_status};
use crate::{
    domain::{size::Size, text::fit, time::Ago},
    registry::{OwnPackage, Steps, claimed, on_other_nodes},
    ui::{
        action::{Action, Edit, KeyPlace, Screen},
        layout::{self, FormLine, LABEL},
        model::{
            Model,
            form::{Checked, Field, FileState, ReleaseForm},
            publish::{PublishProgress, state},
        },
        theme::Theme,
        widget::{
            table::{self, Cell},
            wrap::wrap,
        },
    },
};

pub fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme, areas: &Areas) {
    let publish = &model.publish;
    if areas.body.height > 0 {
        table::draw(
            frame.buffer_mut(),
            areas.body,
            &publish.mine,
            theme,
            |one, column| cell(model, one, column, theme),
        );
        if publish.mine.is_empty() {
            nothing_yet(frame, model, theme, areas.body);
        }
    }
    if areas.side.height > 0 {
        match (&publish.progress, &publish.form, publish.check()) {
            (Some(progress), ..) => steps(frame, model, progress, theme, areas.side),
            (None, Some(form), Some(checked)) => {
                draw_form(frame, model, form, &checked, theme, areas.side)
            }
            _ => about_publishing(frame, model, theme, areas.side),
        }
    }
    table_status(
        frame,
        model,
        areas,
        ["package of yours", "packages of yours"],
        theme,
    );
}

fn cell(model: &Model, one: &OwnPackage, column: &str, theme: Theme) -> Cell {
    match column {
        "package" => (claimed(&one.id, one.handle.as_ref()), theme.strong()),
        "version" => (
            one.latest
                .as_ref()
                .map_or(String::new(), |entry| entry.version.to_string()),
            theme.text(),
        ),
        "state" => {
            let yanked = one.latest.as_ref().is_some_and(|entry| entry.is_yanked());
            (
                state(one),
                if one.pending || yanked {
                    theme.fair()
                } else {
                    theme.good()
                },
            )
        }
        "copies" => (one.copies.to_string(), theme.text()),
        "replicas" => (
            one.replicas
                .map_or(String::new(), |count| count.to_string()),
            theme.text(),
        ),
        "releases" => (one.releases.to_string(), theme.text()),
        _ => (Ago(model.now.since(one.signed_at)).to_string(), theme.dim()),
    }
}

fn nothing_yet(frame: &mut Frame<'_>, model: &Model, theme: Theme, area: Rect) {
    let mut lines = vec![Line::default()];
    if model.publish.known {
        lines.push(Line::from(Span::styled(
            "You have not published anything yet.",
            theme.strong(),
        )));
        lines.push(Line::default());
        lines.push(Line::from(format!(
            "Press {} to start a package: a name, a version, a description, and a file or \
             directory.",
            model.key(Action::NewPackage, Screen::Publish)
        )));
    } else {
        lines.push(Line::from("The node is starting…"));
    }
    if model.publish.form.is_some() {
        lines.push(Line::default());
        lines.push(Line::from(format!(
            "Press {} to continue the draft.",
            model.key(Action::ContinueDraft, Screen::Publish)
        )));
    }
    sentences(frame, area, lines);
}

fn about_publishing(frame: &mut Frame<'_>, model: &Model, theme: Theme, area: Rect) {
    let key = |action: Action, text: &'static str| {
        let key = model.key(action, Screen::Publish);
        Line::from(vec![
            Span::styled(format!("{key}  "), theme.key()),
            Span::raw(text),
        ])
    };
    let lines = vec![
        Line::default(),
        key(Action::NewPackage, "new package"),
        key(Action::NewRelease, "new release of the selected package"),
        key(Action::Yank, "yank or un-yank its latest release"),
        Line::default(),
        Line::from(Span::styled(
            "A release is signed with your key, saved here, replicated to other peers and \
             announced. \
             It can never be deleted, only yanked.",
            theme.dim(),
        )),
    ];
    sentences(frame, area, lines);
}

fn steps(
    frame: &mut Frame<'_>,
    model: &Model,
    progress: &PublishProgress,
    theme: Theme,
    area: Rect,
) {
    let width = usize::from(area.width.saturating_sub(4)).max(8);
    let mut lines = vec![
        Line::from(Span::styled(
            format!("Publishing {}", progress.title),
            theme.title(),
        )),
        Line::default(),
    ];
    let steps = progress
        .steps
        .iter()
        .map(|(step, after)| (step.to_string(), Some(*after)));
    for (text, after) in steps {
        let after = after.map_or(String::new(), |after| {
            format!("{:>9.1} ms", after.as_secs_f64() * 1_000.0)
        });
        let text = format!(
            "{:<room$}",
            fit(&text, width.saturating_sub(16)),
            room = width.saturating_sub(16)
        );
        lines.push(Line::from(vec![
            Span::styled("✓ ", theme.good()),
            Span::raw(text),
            Span::styled(format!(" {after}"), theme.dim()),
        ]));
    }
    let mut say = |text: &str, style| {
        lines.extend(
            wrap(text, width)
                .into_iter()
                .map(|line| Line::from(Span::styled(line, style))),
        );
    };
    let close = model.key(Action::Back, Screen::Publish);
    match &progress.ended {
        None => match progress.taken {
            (done, size) if progress.steps.is_empty() && size > 0 => {
                say(
                    &format!("… storing the content: {} %", done * 100 / size),
                    theme.dim(),
                );
            }
            _ => say("… in progress", theme.dim()),
        },
        Some(Ok(receipt)) => {
            say("", theme.text());
            if receipt.pending {
                say(
                    "Published on this node. Delivery to the network continues in the background.",
                    theme.fair(),
                );
            } else {
                say("Published.", theme.good());
            }
            let Steps {
                copies,
                copies_wanted,
                ..
            } = receipt.steps;
            let there = on_other_nodes(copies);
            if copies < copies_wanted {
                let text = format!(
                    "The content is {there}, of {copies_wanted} wanted. Keep the node running \
                     until \
                     the others have it."
                );
                say(&text, theme.fair());
            } else if copies_wanted > 0 {
                say(
                    &format!("The content is {there}: this machine may go offline."),
                    theme.good(),
                );
            }
            say(
                &format!("Others can get it with: swarmdex get {}", receipt.id),
                theme.text(),
            );
            if let Some(path) = &receipt.new_key {
                say("", theme.text());
                let text = format!(
                    "Your new publisher key is in {}. Back it up: without it you can never update \
                     your \
                     packages, and anyone who has it can.",
                    path.display()
                );
                say(&text, theme.fair());
            }
            say("", theme.text());
            say(&format!("{close}: close"), theme.dim());
        }
        Some(Err(why)) => {
            say("", theme.text());
            if progress.is_stored() {
                say(
                    &format!("Published on this node, but not in the network yet: {why}"),
                    theme.bad(),
                );
                say("Nothing is lost: the node keeps trying.", theme.text());
            } else {
                say(&format!("Not published: {why}"), theme.bad());
                say(
                    &format!(
                        "The draft is kept. {}: edit it, {close}: close",
                        model.key(Action::ContinueDraft, Screen::Publish)
                    ),
                    theme.text(),
                );
            }
        }
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn draw_form(
    frame: &mut Frame<'_>,
    model: &Model,
    form: &ReleaseForm,
    checked: &Checked,
    theme: Theme,
    side: Rect,
) {
    let typing = model.publish.typing && model.popups.is_empty();
    let mut heading = vec![Span::styled("Release", theme.title())];
    if model.publish.found {
        heading.push(Span::styled("  saved draft", theme.fair()));
    } else if !typing {
        let text = format!(
            "  {}: continue",
            model.key(Action::ContinueDraft, Screen::Publish)
        );
        heading.push(Span::styled(text, theme.dim()));
    }
    let area = layout::form_area(side);
    let lines = layout::form_lines(form, checked, typing, area.width);
    let offset = layout::form_offset(form, &lines, area.height);
    let (first, last) = (
        offset + 1,
        (offset + usize::from(area.height)).min(lines.len()),
    );
    if last - offset < lines.len() {
        heading.push(Span::styled(
            format!("  lines {first}-{last} of {}", lines.len()),
            theme.dim(),
        ));
    }
    line(frame, side, heading);
    let focused = typing.then(|| form.focused());
    for (y, form_line) in (area.y..area.bottom()).zip(lines.iter().skip(offset)) {
        let row = Rect {
            y,
            height: 1,
            ..area
        };
        match form_line {
            FormLine::Fields(fields) => {
                let label = match fields.as_slice() {
                    [(field, ..)] => field.name(),
                    _ => "",
                };
                let is_focused = fields.iter().any(|(field, ..)| focused == Some(*field));
                let style = if is_focused { theme.key() } else { theme.dim() };
                line(
                    frame,
                    row,
                    vec![Span::styled(fit(label, usize::from(LABEL)), style)],
                );
                for (one, x, width) in fields {
                    let place = Rect {
                        x: row.x + x,
                        width: *width,
                        ..row
                    }
                    .intersection(row);
                    let focus = focused == Some(*one);
                    if !focus && form.text(*one).is_empty() {
                        let room = "·".repeat(usize::from(place.width).min(24));
                        line(frame, place, vec![Span::styled(room, theme.dim())]);
                    } else {
                        field(frame, place, "", &form.input(*one), focus, theme);
                    }
                    if focus && *one == Field::File {
                        proposal(frame, model, form, place, theme);
                    }
                }
            }
            FormLine::Heading(text) => {
                line(
                    frame,
                    row,
                    vec![Span::styled(fit(text, usize::from(row.width)), theme.dim())],
                );
            }
            FormLine::Problem(text) => {
                let text = fit(
                    &format!("{:>width$}! {text}", "", width = usize::from(LABEL)),
                    usize::from(row.width),
                );
                line(frame, row, vec![Span::styled(text, theme.bad())]);
            }
            FormLine::Hint(text) => {
                let text = fit(
                    &format!("{:>width$}{text}", "", width = usize::from(LABEL)),
                    usize::from(row.width),
                );
                line(frame, row, vec![Span::styled(text, theme.dim())]);
            }
        }
    }
    let bottom = Rect {
        y: side.bottom().saturating_sub(1),
        height: 1,
        ..side
    };
    line(
        frame,
        bottom,
        vec![summary(
            model,
            form,
            checked,
            theme,
            usize::from(side.width),
        )],
    );
}

/// Draws the completion of the path after the typed text.
fn proposal(frame: &mut Frame<'_>, model: &Model, form: &ReleaseForm, place: Rect, theme: Theme) {
    let input = form.input(Field::File);
    let at_end = input.cursor() >= input.value().chars().count();
    let Some(rest) = form.proposed().filter(|_| at_end) else {
        return;
    };
    let x = input.visual_cursor() as u16;
    if x + 4 >= place.width {
        return;
    }
    let key = model.key(Action::Edit(Edit::Right), KeyPlace::Form);
    let text = format!("{rest}  {key}: complete");
    let area = Rect {
        x: place.x + x,
        width: place.width - x,
        ..place
    };
    line(
        frame,
        area,
        vec![Span::styled(
            fit(&text, usize::from(area.width)),
            theme.dim(),
        )],
    );
}

fn summary<'a>(
    model: &Model,
    form: &ReleaseForm,
    checked: &Checked,
    theme: Theme,
    width: usize,
) -> Span<'a> {
    if let Some(claimed) = &form.claimed {
        return Span::styled(fit(&format!("! {claimed}"), width), theme.fair());
    }
    let file = match &form.file {
        FileState::Is { size } => format!(" · {}", Size(*size)),
        FileState::Directory => " · directory".to_owned(),
        _ => String::new(),
    };
    let left = checked
        .left
        .map(|left| format!(" · {left} of 8192 bytes left for the manifest"))
        .unwrap_or_default();
    match checked.problems.len() {
        0 => Span::styled(
            fit(
                &format!(
                    "Ready: {} to review{file}{left}",
                    model.key(Action::Review, KeyPlace::Form)
                ),
                width,
            ),
            theme.good(),
        ),
        count => Span::styled(
            fit(
                &format!("{count} fields missing or wrong{file}{left}"),
                width,
            ),
            theme.dim(),
        ),
    }
}
