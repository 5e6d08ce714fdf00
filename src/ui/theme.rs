//! Colours, and what stands for them where there are none. Nothing is said by colour alone.

use ratatui::style::{Color, Modifier, Style};

use crate::bus::Level;

#[derive(Clone, Copy, Debug)]
pub struct Theme {
    colour: bool,
}

impl Theme {
    pub fn new(colour: bool) -> Self {
        Self { colour }
    }

    fn with(self, colour: Color, modifier: Modifier) -> Style {
        let style = Style::new().add_modifier(modifier);
        if self.colour { style.fg(colour) } else { style }
    }

    pub fn text(self) -> Style {
        Style::new()
    }

    pub fn title(self) -> Style {
        self.with(Color::Cyan, Modifier::BOLD)
    }

    /// A name or value to look at.
    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Labels, and what is not there now.
    pub fn dim(self) -> Style {
        if self.colour { Style::new().fg(Color::DarkGray) } else { Style::new().add_modifier(Modifier::DIM) }
    }

    pub fn good(self) -> Style {
        self.with(Color::Green, Modifier::empty())
    }

    pub fn fair(self) -> Style {
        self.with(Color::Yellow, Modifier::empty())
    }

    pub fn bad(self) -> Style {
        self.with(Color::Red, Modifier::BOLD)
    }

    pub fn link(self) -> Style {
        self.with(Color::Blue, Modifier::empty())
    }

    pub fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// A key in the footer.
    pub fn key(self) -> Style {
        self.with(Color::Cyan, Modifier::BOLD)
    }

    /// A share from 0 to 1, the more the better. A newcomer is neither good nor bad.
    pub fn share(self, share: f64) -> Style {
        match share {
            share if share >= 0.5 => self.good(),
            share if share >= 0.15 => self.fair(),
            _ => self.bad(),
        }
    }

    pub fn level(self, level: Level) -> Style {
        match level {
            Level::Info => self.text(),
            Level::Warning => self.fair(),
            Level::Error => self.bad(),
        }
    }
}
