//! What a key can mean.

/// A screen. Numbers are for good: those between belong to screens that are not there yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Screen {
    #[default]
    Peers,
    Feed,
    Search,
}

impl Screen {
    pub const ALL: [Self; 3] = [Self::Peers, Self::Feed, Self::Search];

    pub fn digit(self) -> char {
        match self {
            Self::Peers => '1',
            Self::Feed => '3',
            Self::Search => '4',
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Peers => "Peers",
            Self::Feed => "Feed",
            Self::Search => "Search",
        }
    }

    /// The screen `steps` further on, round and round.
    pub fn step(self, steps: isize) -> Self {
        let here = Self::ALL.iter().position(|screen| *screen == self).unwrap_or(0);
        let there = (here as isize + steps).rem_euclid(Self::ALL.len() as isize) as usize;
        Self::ALL.get(there).copied().unwrap_or_default()
    }
}

/// A change of the text that has the focus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    DeleteBefore,
    DeleteAfter,
    DeleteWord,
    Left,
    Right,
    Start,
    End,
    Clear,
}

/// A move within a list, or of a text that is longer than its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    Up,
    Down,
    HalfUp,
    HalfDown,
    PageUp,
    PageDown,
    First,
    Last,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Go(Screen),
    Step(isize),
    Move(Move),
    Filter,
    Sort,
    Reverse,
    Open,
    Back,
    Freeze,
    Refresh,
    Edit(Edit),
    LeaveField,
    Help,
    Suspend,
    Quit,
    QuitNow,
}
