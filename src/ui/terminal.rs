//! The terminal: taken, drawn on, and given back whatever happens.

use std::{
    io::{self, Stdout, Write},
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
};

use crossterm::{
    clipboard::CopyToClipboard,
    cursor::Show,
    event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture},
    execute,
    terminal::{
        BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
        LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
    },
};
use ratatui::{Frame, Terminal, backend::CrosstermBackend};

use super::input::Away;

/// Whether the terminal is ours now: it is given back once, by whoever comes first.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Something that frames are drawn on.
pub trait Surface {
    fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()>;

    /// Gives the terminal back to the shell and stops this process, until the shell continues it.
    fn suspend(&mut self) -> io::Result<()>;

    /// Whether the terminal is still there.
    fn is_there(&self) -> bool {
        true
    }

    /// Puts a text on the clipboard of the person's terminal, wherever that is: OSC 52 goes through
    /// ssh.
    fn copy(&mut self, text: &str) -> io::Result<()>;

    /// Whether clicks and the wheel come to us.
    fn mouse(&mut self, on: bool) -> io::Result<()>;

    /// Gives the terminal to a program that shows a file, until it ends.
    fn page(&mut self, path: &Path) -> io::Result<()>;
}

/// The real one.
pub struct Tui {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    mouse: bool,
}

impl Tui {
    pub fn take(mouse: bool) -> io::Result<Self> {
        enter(mouse)?;
        let earlier = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            leave();
            earlier(panic);
        }));
        Ok(Self {
            terminal: Terminal::new(CrosstermBackend::new(io::stdout()))?,
            mouse,
        })
    }

    /// Gives the terminal away for as long as `meanwhile` takes.
    fn away<T>(&mut self, meanwhile: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let away = Away::begin();
        leave();
        let outcome = meanwhile();
        drop(away);
        enter(self.mouse)?;
        // A new one knows nothing of what was on the screen. `Terminal::clear` would ask the
        // terminal for its cursor, and not every terminal answers.
        self.terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        outcome
    }
}

impl Surface for Tui {
    fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        // The terminal shows a frame whole or not at all, where it knows how
        // (https://contour-terminal.org/vt-extensions/synchronized-output/).
        execute!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        let drawn = self.terminal.draw(render).map(drop);
        execute!(self.terminal.backend_mut(), EndSynchronizedUpdate)?;
        drawn
    }

    fn suspend(&mut self) -> io::Result<()> {
        self.away(|| signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTSTP))
    }

    fn is_there(&self) -> bool {
        crossterm::terminal::window_size().is_ok()
    }

    fn copy(&mut self, text: &str) -> io::Result<()> {
        execute!(io::stdout(), CopyToClipboard::to_clipboard_from(text))
    }

    fn mouse(&mut self, on: bool) -> io::Result<()> {
        self.mouse = on;
        if on {
            execute!(io::stdout(), EnableMouseCapture)
        } else {
            execute!(io::stdout(), DisableMouseCapture)
        }
    }

    fn page(&mut self, path: &Path) -> io::Result<()> {
        let pager = std::env::var("PAGER")
            .ok()
            .filter(|pager| !pager.trim().is_empty());
        let pager = pager.unwrap_or_else(|| "less".to_owned());
        let mut words = pager.split_whitespace();
        let program = words.next().unwrap_or("less").to_owned();
        let arguments: Vec<&str> = words.collect();
        self.away(|| {
            Command::new(&program)
                .args(&arguments)
                .arg(path)
                .status()
                .map(drop)
        })
        .map_err(|error| {
            io::Error::new(
                error.kind(),
                format!(
                    "{program} does not start: {error}; set PAGER to a program that shows files"
                ),
            )
        })
    }
}

impl Drop for Tui {
    fn drop(&mut self) {
        leave();
    }
}

fn enter(mouse: bool) -> io::Result<()> {
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::SeqCst);
    execute!(
        io::stdout(),
        EnterAlternateScreen,
        Clear(ClearType::All),
        EnableBracketedPaste
    )?;
    if mouse {
        execute!(io::stdout(), EnableMouseCapture)
    } else {
        Ok(())
    }
}

fn leave() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    // With the terminal gone there is nothing to restore, and nobody to tell.
    let _ = execute!(
        io::stdout(),
        EndSynchronizedUpdate,
        DisableMouseCapture,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        Show
    );
    let _ = disable_raw_mode();
    let _ = io::stdout().flush();
}
