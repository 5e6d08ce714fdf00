//! What a key can mean.

/// A screen. Numbers are for good: those between belong to screens that are not there yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Screen {
    #[default]
    Peers,
    Map,
    Feed,
    Search,
    Publish,
    Transfers,
    Lookups,
    Health,
    Conflicts,
    Logs,
}

impl Screen {
    pub const ALL: [Self; 10] = [
        Self::Peers,
        Self::Map,
        Self::Feed,
        Self::Search,
        Self::Publish,
        Self::Transfers,
        Self::Lookups,
        Self::Health,
        Self::Conflicts,
        Self::Logs,
    ];

    pub fn digit(self) -> char {
        match self {
            Self::Peers => '1',
            Self::Map => '2',
            Self::Feed => '3',
            Self::Search => '4',
            Self::Publish => '5',
            Self::Transfers => '6',
            Self::Lookups => '7',
            Self::Health => '8',
            Self::Conflicts => '9',
            Self::Logs => '0',
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Peers => "Peers",
            Self::Map => "Map",
            Self::Feed => "Feed",
            Self::Search => "Search",
            Self::Publish => "Publish",
            Self::Transfers => "Transfers",
            Self::Lookups => "Lookups",
            Self::Health => "Health",
            Self::Conflicts => "Conflicts",
            Self::Logs => "Logs",
        }
    }

    /// The screen `steps` further on, round and round.
    pub fn step(self, steps: isize) -> Self {
        let here = Self::ALL
            .iter()
            .position(|screen| *screen == self)
            .unwrap_or(0);
        let there = (here as isize + steps).rem_euclid(Self::ALL.len() as isize) as usize;
        Self::ALL.get(there).copied().unwrap_or_default()
    }
}

/// Where a key is pressed: a screen, or the window over it that has the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Screen(Screen),
    /// The form of the Publish screen.
    Form,
    /// A window to read.
    Window,
    /// A peer that is opened.
    Peer,
    /// A package that is opened.
    Package,
    /// A transfer that is opened.
    Transfer,
    /// A conflict that is opened.
    Conflict,
    /// A lookup that is opened.
    Lookup,
    Columns,
    Palette,
    /// A question to be answered with yes or no.
    Confirm,
    /// The manifest as it will be signed.
    Review,
    /// The files of a directory.
    Picker,
    /// The name of the file to export to.
    Export,
    /// What the packages that were found are told apart by.
    Facets,
    /// Searches that were made before.
    Recent,
}

impl Place {
    pub fn all() -> impl Iterator<Item = Self> {
        let windows = [
            Self::Form,
            Self::Window,
            Self::Peer,
            Self::Package,
            Self::Transfer,
            Self::Conflict,
            Self::Lookup,
            Self::Columns,
            Self::Palette,
            Self::Confirm,
            Self::Review,
            Self::Picker,
            Self::Export,
            Self::Facets,
            Self::Recent,
        ];
        Screen::ALL.into_iter().map(Self::Screen).chain(windows)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Screen(screen) => screen.name(),
            Self::Form => "form",
            Self::Window => "window",
            Self::Peer => "peer",
            Self::Package => "package",
            Self::Transfer => "transfer",
            Self::Conflict => "conflict",
            Self::Lookup => "lookup",
            Self::Columns => "columns",
            Self::Palette => "palette",
            Self::Confirm => "question",
            Self::Review => "review",
            Self::Picker => "files",
            Self::Export => "export",
            Self::Facets => "narrowing",
            Self::Recent => "recent searches",
        }
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
    /// Where there is something beside one another.
    Left,
    Right,
}

/// A move of what is shown of the map: -1, 0 or 1 each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pan {
    pub right: i8,
    pub down: i8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Go(Screen),
    Step(isize),
    Move(Move),
    Filter,
    Sort,
    Reverse,
    Mark,
    Copy,
    Export,
    Columns,
    Freeze,
    Refresh,
    Open,
    Back,
    Palette,
    Theme,
    Mouse,
    About,
    /// The form: a package that is new, a release that follows, the draft as it was left.
    NewPackage,
    NewRelease,
    GoOn,
    Yank,
    /// Fetches the content of what is selected, or opened.
    Download,
    /// The routing table.
    Buckets,
    /// A fetch: halt it, or let it go on.
    Pause,
    Cancel,
    /// A peer: ban it or take its ban back, protect it or do so no more, disconnect it.
    BanPeer,
    ProtectPeer,
    DisconnectPeer,
    /// A conflict: whom to believe, and what to show others.
    Trust,
    TrustPublisher,
    Distrust,
    NextKey,
    Evidence,
    NextField,
    PreviousField,
    PickFile,
    /// In the list of files: what is selected, also a directory.
    TakeDirectory,
    Review,
    /// Yes to what a window asks.
    Accept,
    /// In the window of columns.
    ToggleColumn,
    ShiftColumn {
        right: bool,
    },
    WidenColumn {
        wider: bool,
    },
    ResetColumns,
    /// To what the packages that were found are told apart by.
    Facets,
    /// Asks for what is selected there, or not any more.
    ToggleFacet,
    /// The searches that were made before.
    Recent,
    /// On the map.
    Zoom {
        closer: bool,
    },
    Pan(Pan),
    /// All peers at once, or the whole world.
    Fit,
    /// The peer so many rows further on.
    NextPeer(isize),
    /// From the transfers to what package managers ask, and back.
    Clients,
    /// In the logs.
    LogLevel,
    OpenLog,
    /// Own content is offered to others again.
    Offer,
    /// The changes of the verdict.
    Changes,
    Edit(Edit),
    LeaveField,
    Help,
    Suspend,
    Quit,
    QuitNow,
}
