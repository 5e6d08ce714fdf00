//! The actions that keys trigger, and the screens and windows in which they do.

/// A screen of the explorer.
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

    /// Returns the screen `steps` tabs further on, wrapping around.
    pub fn step(self, steps: isize) -> Self {
        let here = Self::ALL
            .iter()
            .position(|screen| *screen == self)
            .unwrap_or(0);
        let there = (here as isize + steps).rem_euclid(Self::ALL.len() as isize) as usize;
        Self::ALL.get(there).copied().unwrap_or_default()
    }
}

/// The place that receives keys: a screen, or the window on top of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    Screen(Screen),
    /// The form of the Publish screen.
    Form,
    /// A window with text to read.
    Window,
    /// The window of one peer.
    Peer,
    /// The window of one package.
    Package,
    /// The window of one transfer.
    Transfer,
    /// The window of one conflict.
    Conflict,
    /// The window of one lookup.
    Lookup,
    Columns,
    Palette,
    /// A yes-or-no question.
    Confirm,
    /// The manifest, shown for a last review before it is signed.
    Review,
    /// The file picker.
    Picker,
    /// The prompt for the name of an exported file.
    Export,
    /// The facets of the search results.
    Facets,
    /// The list of recent searches.
    Recent,
}

impl From<Screen> for KeyPlace {
    fn from(screen: Screen) -> Self {
        Self::Screen(screen)
    }
}

impl KeyPlace {
    /// The places beside screens, by the names that the help gives them.
    const NAMED: [(Self, &'static str); 15] = [
        (Self::Form, "form"),
        (Self::Window, "window"),
        (Self::Peer, "peer"),
        (Self::Package, "package"),
        (Self::Transfer, "transfer"),
        (Self::Conflict, "conflict"),
        (Self::Lookup, "lookup"),
        (Self::Columns, "columns"),
        (Self::Palette, "palette"),
        (Self::Confirm, "question"),
        (Self::Review, "review"),
        (Self::Picker, "files"),
        (Self::Export, "export"),
        (Self::Facets, "facets"),
        (Self::Recent, "recent searches"),
    ];

    pub fn all() -> impl Iterator<Item = Self> {
        let named = Self::NAMED.into_iter().map(|(place, _)| place);
        Screen::ALL.into_iter().map(Self::Screen).chain(named)
    }

    pub fn name(self) -> &'static str {
        let mut named = Self::NAMED.into_iter();
        match (self, named.find(|(place, _)| *place == self)) {
            (Self::Screen(screen), _) => screen.name(),
            (_, Some((_, name))) => name,
            (_, None) => "window",
        }
    }
}

/// An edit of the focused text field.
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

/// A move of the cursor in a list, or a scroll of a long text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CursorMove {
    Up,
    Down,
    HalfUp,
    HalfDown,
    PageUp,
    PageDown,
    First,
    Last,
    /// Moves sideways, on the map and between fields in a row.
    Left,
    Right,
}

/// A scroll of the map; each component is -1, 0 or 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pan {
    pub right: i8,
    pub down: i8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Go(Screen),
    Step(isize),
    Move(CursorMove),
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
    /// Opens the form: for a new package, for the next release, or with the saved draft.
    NewPackage,
    NewRelease,
    ContinueDraft,
    Yank,
    /// Downloads the selected or opened release.
    Download,
    /// Opens the routing table.
    Buckets,
    /// Pauses or resumes a download.
    Pause,
    Cancel,
    /// Bans or unbans a peer; the next two protect or unprotect it and disconnect it.
    BanPeer,
    ProtectPeer,
    DisconnectPeer,
    /// Trusts a side of a conflict, or pins a publisher; the next ones take trust back and show
    /// evidence.
    Trust,
    TrustPublisher,
    Distrust,
    NextKey,
    Evidence,
    NextField,
    PreviousField,
    PickFile,
    /// Chooses the selected entry of the file picker, directories included.
    TakeDirectory,
    Review,
    /// Answers the open window with yes; the next one with no.
    Accept,
    Decline,
    /// Shows or hides a column, in the window of columns.
    ToggleColumn,
    ShiftColumn {
        right: bool,
    },
    WidenColumn {
        wider: bool,
    },
    ResetColumns,
    /// Moves the focus to the facets.
    Facets,
    /// Adds the selected facet to the search, or removes it.
    ToggleFacet,
    /// Opens the list of recent searches.
    Recent,
    /// Zooms the map in or out.
    Zoom {
        closer: bool,
    },
    Pan(Pan),
    /// Fits all peers on the map; pressed again, shows the whole world.
    Fit,
    /// Selects the peer this many rows further on, wrapping around.
    NextPeer(isize),
    /// Switches between transfers and package managers' requests.
    Clients,
    /// Steps through the least level of log entries to show.
    LogLevel,
    OpenLog,
    /// Announces this node's own content again.
    Reannounce,
    /// Opens the history of health verdicts.
    Changes,
    Edit(Edit),
    LeaveField,
    /// Shows the log lines about refused data.
    Refused,
    /// Sorts by the column of this letter; again reverses the order.
    SortBy(char),
    Help,
    Suspend,
    Quit,
    QuitNow,
}

impl Action {
    /// Returns true for an action that changes something on the node.
    pub fn is_change(self) -> bool {
        matches!(
            self,
            Self::NewPackage
                | Self::NewRelease
                | Self::ContinueDraft
                | Self::Yank
                | Self::Download
                | Self::Pause
                | Self::Cancel
                | Self::BanPeer
                | Self::ProtectPeer
                | Self::DisconnectPeer
                | Self::Trust
                | Self::TrustPublisher
                | Self::Distrust
                | Self::Review
                | Self::Reannounce
        )
    }

    /// Returns true for an action that does nothing without the node. A draft can be written.
    pub fn needs_node(self) -> bool {
        let draft = matches!(
            self,
            Self::NewPackage | Self::NewRelease | Self::ContinueDraft
        );
        self == Self::Buckets || self.is_change() && !draft
    }

    /// Returns true for an action that is decided for one row at a time, never for marked ones.
    pub fn is_on_one(self) -> bool {
        matches!(
            self,
            Self::Trust
                | Self::TrustPublisher
                | Self::Distrust
                | Self::NextKey
                | Self::Evidence
                | Self::Yank
                | Self::NewRelease
        )
    }

    /// Returns true for an action on the selected row, which must be the one that a person saw.
    pub fn is_on_row(self) -> bool {
        self.is_change()
            || matches!(
                self,
                Self::Move(_)
                    | Self::Open
                    | Self::Mark
                    | Self::Copy
                    | Self::NextKey
                    | Self::Evidence
                    | Self::Palette
            )
    }
}
