//! The Publish screen: this node's packages, and the form for a release.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{Areas, field, line, sentences, table_status};
use crate::{
    domain::{text::fit, time::Ago},
    registry::{OwnPackage, Steps, claimed, on_other_nodes},
    ui::{
        layout::{self, FormLine, LABEL},
        model::{
            Model,
            form::{Checked, Field, FileState, Form},
            publish::{Progress, state},
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
            (Some(progress), ..) => steps(frame, progress, theme, areas.side),
            (None, Some(form), Some(checked)) => {
                draw_form(frame, model, form, &checked, theme, areas.side)
            }
            _ => about_publishing(frame, theme, areas.side),
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
            "You have published nothing yet.",
            theme.strong(),
        )));
        lines.push(Line::default());
        lines.push(Line::from(
            "n begins a package: a name, a version, what it is, and a file or directory.",
        ));
    } else {
        lines.push(Line::from("The node is starting…"));
    }
    if model.publish.form.is_some() {
        lines.push(Line::default());
        lines.push(Line::from("d goes on with the draft that is there."));
    }
    sentences(frame, area, lines);
}

fn about_publishing(frame: &mut Frame<'_>, theme: Theme, area: Rect) {
    let key = |key: &'static str, text: &'static str| {
        Line::from(vec![
            Span::styled(format!("{key}  "), theme.key()),
            Span::raw(text),
        ])
    };
    let lines = vec![
        Line::default(),
        key("n", "a new package"),
        key(
            "e",
            "a new release of the selected package, filled in from the last",
        ),
        key("x", "yank its latest release, or take the yank back"),
        Line::default(),
        Line::from(Span::styled(
            "A release is signed with your key, stored here, put into the DHT, read back from other peers and \
             announced. It is never deleted, only yanked.",
            theme.dim(),
        )),
    ];
    sentences(frame, area, lines);
}

fn steps(frame: &mut Frame<'_>, progress: &Progress, theme: Theme, area: Rect) {
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
    match &progress.ended {
        None => match progress.taken {
            (done, size) if progress.steps.is_empty() && size > 0 => {
                say(
                    &format!("… the node takes its bytes: {} %", done * 100 / size),
                    theme.dim(),
                );
            }
            _ => say("… the next step is on its way", theme.dim()),
        },
        Some(Ok(receipt)) => {
            say("", theme.text());
            if receipt.pending {
                say(
                    "Published here. The network has not taken all of it yet; the node goes on until it has.",
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
                    "Its bytes are {there}, of {copies_wanted} that are to have them. The node goes on: keep it running \
                     until they have them."
                );
                say(&text, theme.fair());
            } else if copies_wanted > 0 {
                say(
                    &format!("Its bytes are {there}: this machine may leave."),
                    theme.good(),
                );
            }
            say(
                &format!("Others get it with: swarmdex get {}", receipt.id),
                theme.text(),
            );
            if let Some(path) = &receipt.new_key {
                say("", theme.text());
                let text = format!(
                    "Your publisher key is new, in {}. Back it up: without it you cannot publish in your name, and whoever \
                     has it can.",
                    path.display()
                );
                say(&text, theme.fair());
            }
            say("", theme.text());
            say("Esc closes this.", theme.dim());
        }
        Some(Err(why)) => {
            say("", theme.text());
            if progress.is_stored() {
                say(
                    &format!("Published here, and not yet in the network: {why}"),
                    theme.bad(),
                );
                say("Nothing is lost: the node goes on with it.", theme.text());
            } else {
                say(&format!("Not published: {why}"), theme.bad());
                say(
                    "The draft is kept: d goes back to it. Esc closes this.",
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
    form: &Form,
    checked: &Checked,
    theme: Theme,
    side: Rect,
) {
    let typing = model.publish.typing && model.popups.is_empty();
    let mut heading = vec![Span::styled("Release", theme.title())];
    if model.publish.found {
        heading.push(Span::styled("  the draft from last time", theme.fair()));
    } else if !typing {
        heading.push(Span::styled("  d goes on with this draft", theme.dim()));
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
                        proposal(frame, form, place, theme);
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
        vec![summary(form, checked, theme, usize::from(side.width))],
    );
}

/// Draws the completion of the path after the typed text.
fn proposal(frame: &mut Frame<'_>, form: &Form, place: Rect, theme: Theme) {
    let input = form.input(Field::File);
    let at_end = input.cursor() >= input.value().chars().count();
    let Some(rest) = form.proposed().filter(|_| at_end) else {
        return;
    };
    let x = input.visual_cursor() as u16;
    if x + 4 >= place.width {
        return;
    }
    let area = Rect {
        x: place.x + x,
        width: place.width - x,
        ..place
    };
    line(
        frame,
        area,
        vec![Span::styled(
            fit(&format!("{rest}  → takes it"), usize::from(area.width)),
            theme.dim(),
        )],
    );
}

fn summary<'a>(form: &Form, checked: &Checked, theme: Theme, width: usize) -> Span<'a> {
    if let Some(claimed) = &form.claimed {
        return Span::styled(fit(&format!("! {claimed}"), width), theme.fair());
    }
    let file = match &form.file {
        FileState::Is { size } => format!(" · file of {size} bytes"),
        FileState::Directory => " · directory, packed".to_owned(),
        _ => String::new(),
    };
    let left = checked
        .left
        .map(|left| format!(" · {left} bytes of the manifest's 8192 left"))
        .unwrap_or_default();
    match checked.problems.len() {
        0 => Span::styled(
            fit(
                &format!("Ready: Ctrl-s shows it as it will be signed{file}{left}"),
                width,
            ),
            theme.good(),
        ),
        count => Span::styled(
            fit(
                &format!("{count} to fill in or put right{file}{left}"),
                width,
            ),
            theme.dim(),
        ),
    }
}
