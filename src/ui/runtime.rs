//! The event loop: decides what is handled first, and when a frame is drawn.

use std::time::Duration;

use crossterm::event::{Event as Input, KeyEventKind};
use futures::{Stream, StreamExt};
use ratatui::Frame;
use tokio::{sync::mpsc, time::Instant};

use super::{
    Shown, ascii,
    effect::{Effect, EffectResult, MESSAGES},
    execute::Executor,
    keymap::Chord,
    model::Model,
    screen,
    terminal::Surface,
    theme::Themes,
    update,
};
use crate::{
    RegistryError, Result,
    bus::{Batch, Level},
    clock,
    domain::text::fit,
};

/// Least time between two frames: 60 frames a second.
pub const FRAME: Duration = Duration::from_millis(16);
/// Interval at which ages and rates are updated.
const TICK: Duration = Duration::from_secs(1);

/// The next thing to handle.
pub enum LoopTurn {
    Input(Input),
    Message(EffectResult),
    Batch(Box<Batch>),
    /// A pending frame is due.
    Frame,
    Tick,
    /// The terminal is gone, or a signal asks the explorer to quit.
    End,
}

/// Everything the loop waits for.
pub struct Sources<I> {
    pub inputs: I,
    pub signals: mpsc::Receiver<()>,
    pub messages: mpsc::Receiver<EffectResult>,
    pub batches: Option<mpsc::Receiver<Batch>>,
    pub next_tick: Instant,
}

impl<I: Stream<Item = std::io::Result<Input>> + Unpin> Sources<I> {
    /// Waits for the next thing to handle. Input always comes first.
    pub async fn next(&mut self, frame_at: Option<Instant>) -> LoopTurn {
        let batch = async {
            match &mut self.batches {
                Some(batches) => batches.recv().await,
                None => std::future::pending().await,
            }
        };
        let frame = async {
            match frame_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            input = self.inputs.next() => match input {
                Some(Ok(input)) => LoopTurn::Input(input),
                Some(Err(_)) | None => LoopTurn::End,
            },
            Some(()) = self.signals.recv() => LoopTurn::End,
            () = frame => LoopTurn::Frame,
            Some(message) = self.messages.recv() => LoopTurn::Message(message),
            batch = batch => match batch {
                Some(batch) => LoopTurn::Batch(Box::new(batch)),
                None => {
                    self.batches = None;
                    LoopTurn::Tick
                }
            },
            () = tokio::time::sleep_until(self.next_tick) => {
                self.next_tick = Instant::now() + TICK;
                LoopTurn::Tick
            }
        }
    }
}

/// Decides when the next frame may be drawn: at most 60 a second. After a key, a frame may come
/// half an interval early, and the following ones make up for it.
#[derive(Clone, Copy, Debug)]
pub struct FramePace {
    not_before: Instant,
    /// True while drawing a frame takes less than the interval.
    keeps_up: bool,
}

impl FramePace {
    pub fn new(now: Instant) -> Self {
        Self {
            not_before: now,
            keeps_up: true,
        }
    }

    /// Returns when to draw a pending frame; `pressed` is true if it shows the effect of a key.
    pub fn due(self, dirty: bool, pressed: bool, now: Instant) -> Option<Instant> {
        let sooner = if pressed && self.keeps_up {
            FRAME / 2
        } else {
            Duration::ZERO
        };
        dirty.then(|| self.not_before.checked_sub(sooner).unwrap_or(now).max(now))
    }

    /// Notes a drawn frame. After a slow write, the terminal gets twice that time to catch up.
    pub fn drawn(&mut self, started: Instant, ended: Instant) {
        let took = ended.duration_since(started);
        self.keeps_up = took <= FRAME;
        self.not_before = if self.keeps_up {
            started.max(self.not_before) + FRAME
        } else {
            ended + took * 2
        };
    }
}

/// The running explorer: model, terminal, and effects.
pub struct Explorer<S> {
    pub model: Model,
    pub surface: S,
    pub look: FrameLook,
    pub executor: Executor,
    pub frames: u64,
}

/// The look of frames.
#[derive(Clone, Debug)]
pub struct FrameLook {
    pub themes: Themes,
    /// Symbols are replaced with ASCII characters.
    pub ascii: bool,
}

impl FrameLook {
    pub fn draw(&self, frame: &mut Frame<'_>, model: &Model) {
        screen::draw(frame, model, self.themes.current());
        if self.ascii {
            ascii::spell(frame.buffer_mut());
        }
    }
}

impl<S: Surface> Explorer<S> {
    /// Runs until the user quits, a signal arrives, or the node fails to start.
    pub async fn run<I>(&mut self, sources: &mut Sources<I>) -> Result<()>
    where
        I: Stream<Item = std::io::Result<Input>> + Unpin,
    {
        let mut pace = FramePace::new(Instant::now());
        // Draw first, so that there is something to look at.
        self.draw(&mut pace)?;
        let mut pressed = false;
        while !self.model.quit {
            let frame_at = pace.due(self.model.dirty, pressed, Instant::now());
            let turn = sources.next(frame_at).await;
            pressed |= matches!(turn, LoopTurn::Input(_));
            match turn {
                LoopTurn::End => break,
                // Some terminals disappear without an error, so check for that too.
                LoopTurn::Tick if !self.surface.is_there() => break,
                LoopTurn::Frame => {
                    self.draw(&mut pace)?;
                    pressed = false;
                }
                LoopTurn::Message(EffectResult::Started(started)) => {
                    sources.batches = Some(self.connect(*started)?)
                }
                turn => self.serve(turn)?,
            }
        }
        Ok(())
    }

    fn connect(&mut self, started: Result<Shown>) -> Result<mpsc::Receiver<Batch>> {
        let shown = started?;
        let events = shown.watch().subscribe();
        self.executor.connect(shown);
        self.model.running = true;
        self.model.dirty = true;
        let mut effects = vec![Effect::Own];
        // A search may have been typed before the node was there to answer it.
        if self.model.search.generation > 0 {
            effects.extend(update::search::start(&mut self.model));
        }
        self.act(effects)?;
        Ok(events)
    }

    pub fn serve(&mut self, turn: LoopTurn) -> Result<()> {
        let now = clock::now();
        let effects = match turn {
            LoopTurn::Input(Input::Key(key)) if key.kind != KeyEventKind::Release => {
                update::on_key(&mut self.model, Chord::of(&key), now)
            }
            LoopTurn::Input(Input::Mouse(event)) if self.model.mouse => {
                update::on_mouse(&mut self.model, event, now)
            }
            LoopTurn::Input(Input::Paste(text)) => update::on_paste(&mut self.model, &text, now),
            LoopTurn::Input(Input::Resize(width, height)) => {
                update::on_resize(&mut self.model, (width, height));
                Vec::new()
            }
            LoopTurn::Message(message) => update::on_message(&mut self.model, message, now),
            LoopTurn::Batch(batch) => {
                self.model.apply(*batch, now);
                update::settle(&mut self.model);
                Vec::new()
            }
            LoopTurn::Tick => update::on_tick(&mut self.model, now),
            LoopTurn::Input(_) | LoopTurn::Frame | LoopTurn::End => Vec::new(),
        };
        self.act(effects)
    }

    fn act(&mut self, effects: Vec<Effect>) -> Result<()> {
        for effect in effects {
            match effect {
                Effect::Suspend => {
                    self.surface.suspend().map_err(terminal_error)?;
                    self.model.dirty = true;
                }
                Effect::Theme => {
                    let text = self.look.themes.step();
                    self.model.answer(Level::Info, text);
                }
                Effect::Mouse(on) => self.surface.mouse(on).map_err(terminal_error)?,
                Effect::Copy { text, things } => {
                    self.surface.copy(&text).map_err(terminal_error)?;
                    let what = if things == 1 {
                        fit(&text, 60)
                    } else {
                        format!("{things} rows")
                    };
                    self.model.answer(
                        Level::Info,
                        format!("copied {what} (with OSC 52, if the terminal supports it)"),
                    );
                }
                Effect::Pager(path) => {
                    if let Err(error) = self.surface.page(&path) {
                        self.model.answer(Level::Error, error.to_string());
                    }
                    self.model.dirty = true;
                }
                effect => self.executor.run(effect),
            }
        }
        Ok(())
    }

    pub fn draw(&mut self, pace: &mut FramePace) -> Result<()> {
        let started = Instant::now();
        let Self {
            model,
            surface,
            look,
            ..
        } = self;
        surface
            .draw(|frame| look.draw(frame, model))
            .map_err(terminal_error)?;
        self.model.dirty = false;
        self.frames += 1;
        pace.drawn(started, Instant::now());
        Ok(())
    }
}

fn terminal_error(error: std::io::Error) -> RegistryError {
    RegistryError::file("the terminal", "written to")(error)
}

/// Returns a channel for the results of effects.
pub fn messages() -> (mpsc::Sender<EffectResult>, mpsc::Receiver<EffectResult>) {
    mpsc::channel(MESSAGES)
}
