//! Takes the terminal, draws on it, and always restores it.

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

/// True while the explorer has the terminal. Whoever resets it restores the terminal, once.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Something to draw frames on.
pub trait Surface {
    fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()>;

    /// Restores the terminal and stops this process until the shell resumes it.
    fn suspend(&mut self) -> io::Result<()>;

    /// Returns true while the terminal is there.
    fn is_there(&self) -> bool {
        true
    }

    /// Copies a text to the clipboard of the user's terminal with OSC 52, which works over ssh.
    fn copy(&mut self, text: &str) -> io::Result<()>;

    /// Turns mouse events on or off.
    fn mouse(&mut self, on: bool) -> io::Result<()>;

    /// Shows a file in a pager, and waits until that ends.
    fn page(&mut self, path: &Path) -> io::Result<()>;
}

/// The terminal of this process.
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

    /// Restores the terminal while `meanwhile` runs.
    fn away<T>(&mut self, meanwhile: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let away = Away::begin();
        leave();
        let outcome = meanwhile();
        drop(away);
        enter(self.mouse)?;
        // A new `Terminal` repaints everything. `Terminal::clear` would ask for the cursor's
        // position, which not every terminal answers.
        self.terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        outcome
    }
}

impl Surface for Tui {
    fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        // Terminals that support it show the frame at once
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
                format!("cannot start {program}: {error}; set PAGER to another program"),
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
    // If the terminal is gone, there is nothing to restore and nobody to tell.
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
