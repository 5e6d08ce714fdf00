//! The rows: every key there is.

use crossterm::event::KeyCode;

use super::{
    Chord,
    On::{self, All, In, Lists, Screens, ScreensAnd, ScreensBut},
    Row,
    When::{self, Anywhere, Browsing, Typing},
};
use crate::ui::action::{
    Action::{self, *},
    Edit::*,
    Move::{self, Down, First, HalfDown, HalfUp, Last, PageDown, PageUp, Up},
    Pan, Place, Screen,
};

const fn key(code: KeyCode) -> Chord {
    Chord { code, ctrl: false, alt: false }
}

pub(super) const fn c(c: char) -> Chord {
    key(KeyCode::Char(c))
}

const fn ctrl(c: char) -> Chord {
    Chord { code: KeyCode::Char(c), ctrl: true, alt: false }
}

const fn ctrl_key(code: KeyCode) -> Chord {
    Chord { code, ctrl: true, alt: false }
}

const fn alt(c: char) -> Chord {
    Chord { code: KeyCode::Char(c), ctrl: false, alt: true }
}

const fn row(
    id: &'static str,
    when: When,
    on: On,
    keys: &'static [Chord],
    action: Action,
    short: &'static str,
    help: &'static str,
) -> Row {
    Row { id, when, on, keys, action, short, help }
}

const PUBLISH: On = In(&[Place::Screen(Screen::Publish)]);
const CONFLICTS: On = In(&[Place::Screen(Screen::Conflicts), Place::Conflict]);
const TRANSFERS: On = In(&[Place::Screen(Screen::Transfers), Place::Transfer]);
const LOOKUPS: On = In(&[Place::Screen(Screen::Lookups), Place::Lookup]);
/// Where a package is selected, or opened.
const PACKAGES: On = In(&[Place::Screen(Screen::Feed), Place::Screen(Screen::Search), Place::Package]);
/// Where a peer is selected, or opened.
const PEERS: On = In(&[Place::Screen(Screen::Peers), Place::Screen(Screen::Map), Place::Peer]);
const LOGS: On = In(&[Place::Screen(Screen::Logs)]);
const MAP: On = In(&[Place::Screen(Screen::Map)]);
const HEALTH: On = In(&[Place::Screen(Screen::Health)]);
const FORM: On = In(&[Place::Form]);
const COLUMNS: On = In(&[Place::Columns]);
const REVIEW: On = In(&[Place::Review]);
const CONFIRM: On = In(&[Place::Confirm]);
const SEARCH: On = In(&[Place::Screen(Screen::Search)]);
/// Screens whose list has a filter.
const FILTERS: On = ScreensBut(&[Screen::Search]);
/// Text fields that belong to a list, which Tab goes to.
const FIELDS: On = Screens;
const PALETTE: On = In(&[Place::Palette]);
const PICKER: On = In(&[Place::Picker]);
const EXPORT: On = In(&[Place::Export]);
const FACETS: On = In(&[Place::Facets]);
const RECENT: On = In(&[Place::Recent]);

const MOVE_LEFT: Action = Action::Move(Move::Left);
const MOVE_RIGHT: Action = Action::Move(Move::Right);
const PAN_LEFT: Action = Action::Pan(Pan { right: -1, down: 0 });
const PAN_RIGHT: Action = Action::Pan(Pan { right: 1, down: 0 });
const PAN_UP: Action = Action::Pan(Pan { right: 0, down: -1 });
const PAN_DOWN: Action = Action::Pan(Pan { right: 0, down: 1 });

pub static KEYS: &[Row] = &[
    row("help", Browsing, All, &[c('?')], Help, "help", "Show every key"),
    row("palette", Browsing, Screens, &[c(':')], Palette, "palette", "Find any action or screen by its name"),
    row("quit", Browsing, All, &[c('q')], Quit, "quit", "Quit; closes a window that is open first"),
    row("help-anywhere", Anywhere, All, &[key(KeyCode::F(1))], Help, "help", "Show every key, from anywhere"),
    row("peers", Browsing, All, &[c('1')], Go(Screen::Peers), "", "Peers: who is there, and how good they are to ask"),
    row("map", Browsing, All, &[c('2')], Go(Screen::Map), "", "Map: where peers are, and who exchanges bytes"),
    row("feed", Browsing, All, &[c('3')], Go(Screen::Feed), "", "Feed: announcements as they arrive"),
    row("search", Browsing, All, &[c('4')], Go(Screen::Search), "", "Search: packages, here and at other peers"),
    row(
        "publish",
        Browsing,
        All,
        &[c('5')],
        Go(Screen::Publish),
        "",
        "Publish: your packages, and the form for a release",
    ),
    row(
        "transfers",
        Browsing,
        All,
        &[c('6')],
        Go(Screen::Transfers),
        "",
        "Transfers: what is fetched and served, and from whom it came",
    ),
    row(
        "lookups",
        Browsing,
        All,
        &[c('7')],
        Go(Screen::Lookups),
        "",
        "Lookups: what is looked for in the DHT, hop by hop, and the routing table",
    ),
    row("health", Browsing, All, &[c('8')], Go(Screen::Health), "", "Health: whether the network works, and why not"),
    row(
        "conflicts",
        Browsing,
        All,
        &[c('9')],
        Go(Screen::Conflicts),
        "",
        "Conflicts: what does not go together, with evidence",
    ),
    row("logs", Browsing, All, &[c('0')], Go(Screen::Logs), "", "Logs: what the node writes down"),
    row("peers-anywhere", Anywhere, All, &[alt('1')], Go(Screen::Peers), "", "Peers, from anywhere"),
    row("map-anywhere", Anywhere, All, &[alt('2')], Go(Screen::Map), "", "Map, from anywhere"),
    row("feed-anywhere", Anywhere, All, &[alt('3')], Go(Screen::Feed), "", "Feed, from anywhere"),
    row("search-anywhere", Anywhere, All, &[alt('4')], Go(Screen::Search), "", "Search, from anywhere"),
    row("publish-anywhere", Anywhere, All, &[alt('5')], Go(Screen::Publish), "", "Publish, from anywhere"),
    row("transfers-anywhere", Anywhere, All, &[alt('6')], Go(Screen::Transfers), "", "Transfers, from anywhere"),
    row("lookups-anywhere", Anywhere, All, &[alt('7')], Go(Screen::Lookups), "", "Lookups, from anywhere"),
    row("health-anywhere", Anywhere, All, &[alt('8')], Go(Screen::Health), "", "Health, from anywhere"),
    row("conflicts-anywhere", Anywhere, All, &[alt('9')], Go(Screen::Conflicts), "", "Conflicts, from anywhere"),
    row("logs-anywhere", Anywhere, All, &[alt('0')], Go(Screen::Logs), "", "Logs, from anywhere"),
    row("next-screen", Browsing, Screens, &[key(KeyCode::Tab), c(']')], Step(1), "", "Next screen"),
    row("previous-screen", Browsing, Screens, &[key(KeyCode::BackTab), c('[')], Step(-1), "", "Previous screen"),
    row("new", Browsing, PUBLISH, &[c('n')], NewPackage, "new", "Fill the form for a new package"),
    row(
        "edit",
        Browsing,
        PUBLISH,
        &[c('e')],
        NewRelease,
        "new release",
        "Fill the form for the next release of the selected package",
    ),
    row("draft", Browsing, PUBLISH, &[c('d')], GoOn, "draft", "Go on with the draft"),
    row(
        "yank",
        Browsing,
        PUBLISH,
        &[c('x')],
        Yank,
        "yank",
        "Yank the latest release of the selected package, or take its yank back",
    ),
    row("download", Browsing, PACKAGES, &[c('d')], Download, "download", "Fetch the content of the package's release"),
    row(
        "trust-publisher",
        Browsing,
        PACKAGES,
        &[c('t')],
        TrustPublisher,
        "trust",
        "Trust the key of the package's publisher: its handle means that key from now on",
    ),
    row(
        "clients",
        Browsing,
        In(&[Place::Screen(Screen::Transfers)]),
        &[c('v')],
        Clients,
        "clients",
        "What package managers ask of this node, and back to the transfers",
    ),
    row("pause", Browsing, TRANSFERS, &[c('p')], Pause, "pause", "Pause the fetch, or let it go on"),
    row("cancel", Browsing, TRANSFERS, &[c('x')], Cancel, "cancel", "Cancel the fetch, and throw away what came of it"),
    row(
        "trust",
        Browsing,
        CONFLICTS,
        &[c('t')],
        Trust,
        "trust",
        "Trust the key: the handle means it from now on, and a distrust is taken back",
    ),
    row(
        "distrust",
        Browsing,
        CONFLICTS,
        &[c('x')],
        Distrust,
        "distrust",
        "Distrust the key: its packages are hidden here",
    ),
    row("next-key", Browsing, CONFLICTS, &[c('n')], NextKey, "next key", "Choose the next key that claims the handle"),
    row("evidence", Browsing, CONFLICTS, &[c('e')], Evidence, "evidence", "Write evidence that others can verify"),
    row(
        "buckets",
        Browsing,
        LOOKUPS,
        &[c('b')],
        Buckets,
        "buckets",
        "The routing table: whom Kademlia knows, by distance",
    ),
    row(
        "changes",
        Browsing,
        HEALTH,
        &[c('v')],
        Changes,
        "changes",
        "The last changes of the verdict, with time and cause",
    ),
    row(
        "offer",
        Browsing,
        HEALTH,
        &[c('P')],
        Offer,
        "offer again",
        "Tell the network again of everything that is here, and look who else has what is yours",
    ),
    row("log-level", Browsing, LOGS, &[c('l')], LogLevel, "level", "Show entries from the next level on"),
    row("open-log", Browsing, LOGS, &[c('o')], OpenLog, "open file", "Open the log file in $PAGER"),
    row("down", Browsing, Lists, &[c('j'), key(KeyCode::Down)], Move(Down), "", "Down"),
    row("up", Browsing, Lists, &[c('k'), key(KeyCode::Up)], Move(Up), "", "Up"),
    row("first", Browsing, Lists, &[c('g'), key(KeyCode::Home)], Move(First), "", "To the first row"),
    row("last", Browsing, Lists, &[c('G'), key(KeyCode::End)], Move(Last), "", "To the last row"),
    row("half-page-down", Browsing, Lists, &[ctrl('d')], Move(HalfDown), "", "Half a page down"),
    row("half-page-up", Browsing, Lists, &[ctrl('u')], Move(HalfUp), "", "Half a page up"),
    row("page-down", Browsing, Lists, &[key(KeyCode::PageDown)], Move(PageDown), "", "A page down"),
    row("page-up", Browsing, Lists, &[key(KeyCode::PageUp)], Move(PageUp), "", "A page up"),
    row("map-left", Browsing, MAP, &[c('h'), key(KeyCode::Left)], MOVE_LEFT, "", "To the nearest peer on the left"),
    row("map-right", Browsing, MAP, &[c('l'), key(KeyCode::Right)], MOVE_RIGHT, "", "To the nearest peer on the right"),
    row(
        "next-peer",
        Browsing,
        MAP,
        &[c('n')],
        NextPeer(1),
        "next",
        "To the next peer to the east, through all of them",
    ),
    row(
        "previous-peer",
        Browsing,
        MAP,
        &[c('N')],
        NextPeer(-1),
        "",
        "To the next peer to the west, through all of them",
    ),
    row("closer", Browsing, MAP, &[c('+'), c('=')], Zoom { closer: true }, "closer", "Closer"),
    row("farther", Browsing, MAP, &[c('-')], Zoom { closer: false }, "farther", "Farther off"),
    row("fit", Browsing, MAP, &[c('z')], Fit, "fit", "As close as all peers are seen, or the whole world"),
    row("pan-left", Browsing, MAP, &[c('H'), ctrl_key(KeyCode::Left)], PAN_LEFT, "pan", "The map to the west"),
    row("pan-right", Browsing, MAP, &[c('L'), ctrl_key(KeyCode::Right)], PAN_RIGHT, "", "The map to the east"),
    row("pan-up", Browsing, MAP, &[c('K'), ctrl_key(KeyCode::Up)], PAN_UP, "", "The map to the north"),
    row("pan-down", Browsing, MAP, &[c('J'), ctrl_key(KeyCode::Down)], PAN_DOWN, "", "The map to the south"),
    row("open", Browsing, ScreensAnd(&[Place::Picker]), &[key(KeyCode::Enter)], Open, "open", "Open what is selected"),
    row("back", Browsing, All, &[key(KeyCode::Esc)], Back, "back", "Close a window, take the filter off, or the marks"),
    row(
        "filter",
        Browsing,
        FILTERS,
        &[c('/')],
        Filter,
        "filter",
        "Show only rows with these words, such as berlin score:<0.4 -agent:old",
    ),
    row(
        "ban",
        Browsing,
        PEERS,
        &[c('b')],
        BanPeer,
        "ban",
        "Ban the peer until that is taken back, or take its ban back",
    ),
    row(
        "protect",
        Browsing,
        PEERS,
        &[c('p')],
        ProtectPeer,
        "protect",
        "Keep the peer whatever it does, or treat it like any other again",
    ),
    row("disconnect", Browsing, PEERS, &[c('x')], DisconnectPeer, "disconnect", "End the connection with the peer"),
    row("type", Browsing, SEARCH, &[c('/')], Filter, "type", "Go to the search field"),
    row(
        "facets",
        Browsing,
        SEARCH,
        &[c('F')],
        Facets,
        "narrow",
        "Narrow the search by category, tag, license, ecosystem or publisher",
    ),
    row(
        "toggle-facet",
        Browsing,
        FACETS,
        &[c(' '), key(KeyCode::Enter)],
        ToggleFacet,
        "on/off",
        "Search only for what has it, or not any more: the search field says so",
    ),
    row("leave-facets", Browsing, FACETS, &[c('F')], Back, "", "Back to what was found"),
    row("sort", Browsing, Screens, &[c('s')], Sort, "sort", "Sort by the next column"),
    row("reverse", Browsing, Screens, &[c('S')], Reverse, "reverse", "Turn the order round"),
    row("mark", Browsing, Screens, &[c(' ')], Mark, "", "Mark the row, for copying and exporting"),
    row("copy", Browsing, Screens, &[c('y')], Copy, "", "Copy what is marked, or the row, to the terminal's clipboard"),
    row("copy-peer", Browsing, In(&[Place::Peer]), &[c('y')], Copy, "copy", "Copy the address to reach the peer by"),
    row("export", Browsing, Screens, &[c('w')], Export, "", "Write the rows to a CSV or JSON file"),
    row("columns", Browsing, Screens, &[c('c')], Columns, "", "Choose, order and widen the columns"),
    row("freeze", Browsing, Screens, &[c('f')], Freeze, "freeze", "Hold the rows still, and let them go on"),
    row(
        "refresh",
        Browsing,
        ScreensAnd(&[Place::Window, Place::Peer, Place::Package, Place::Conflict]),
        &[c('R')],
        Refresh,
        "",
        "Sort again, or ask again, now",
    ),
    row("theme", Browsing, All, &[c('T')], Theme, "", "The next theme"),
    row("mouse", Browsing, All, &[c('M')], Mouse, "", "Mouse off and on; off, the terminal selects text by itself"),
    row("about", Browsing, Screens, &[c('A')], About, "", "Version, paths and licences"),
    row(
        "toggle-column",
        Browsing,
        COLUMNS,
        &[c(' '), key(KeyCode::Enter)],
        ToggleColumn,
        "hide/show",
        "Hide or show the column",
    ),
    row(
        "shift-column-left",
        Browsing,
        COLUMNS,
        &[c('<'), c('h')],
        ShiftColumn { right: false },
        "earlier",
        "Move the column to the left",
    ),
    row(
        "shift-column-right",
        Browsing,
        COLUMNS,
        &[c('>'), c('l')],
        ShiftColumn { right: true },
        "later",
        "Move the column to the right",
    ),
    row(
        "widen-column",
        Browsing,
        COLUMNS,
        &[c('+'), key(KeyCode::Right)],
        WidenColumn { wider: true },
        "wider",
        "Make the column wider",
    ),
    row(
        "narrow-column",
        Browsing,
        COLUMNS,
        &[c('-'), key(KeyCode::Left)],
        WidenColumn { wider: false },
        "narrower",
        "Make the column narrower",
    ),
    row(
        "reset-columns",
        Browsing,
        COLUMNS,
        &[c('d')],
        ResetColumns,
        "defaults",
        "Every column as it is without settings",
    ),
    row(
        "take-directory",
        Browsing,
        PICKER,
        &[c(' ')],
        TakeDirectory,
        "take",
        "Take what is selected, also a directory; on .. the one that is shown",
    ),
    row("yes", Browsing, CONFIRM, &[c('y')], Accept, "yes", "Yes, do what the question says"),
    row("no", Browsing, CONFIRM, &[c('n')], Back, "no", "No, change nothing"),
    row("publish-now", Browsing, REVIEW, &[key(KeyCode::Enter)], Accept, "publish", "Sign and publish what is shown"),
    row("quit-now", Anywhere, All, &[ctrl('c')], QuitNow, "", "Quit at once, from anywhere; drafts are kept"),
    row("suspend", Anywhere, All, &[ctrl('z')], Suspend, "", "Back to the shell; `fg` returns here"),
    row("leave", Typing, All, &[key(KeyCode::Esc)], LeaveField, "leave", "Leave the field and keep its text"),
    row(
        "to-list",
        Typing,
        FIELDS,
        &[key(KeyCode::Tab), key(KeyCode::BackTab)],
        LeaveField,
        "",
        "From the field to the list",
    ),
    row(
        "keep-filter",
        Typing,
        FILTERS,
        &[key(KeyCode::Enter)],
        LeaveField,
        "keep",
        "Keep the filter, and go to the list",
    ),
    row("open-typing", Typing, SEARCH, &[key(KeyCode::Enter)], Open, "open", "Open what is selected in the list"),
    row("facets-typing", Typing, SEARCH, &[ctrl('f')], Facets, "narrow", "From the field to what narrows the search"),
    row("take-search", Typing, RECENT, &[key(KeyCode::Enter)], Accept, "search", "Search for what is selected"),
    row("run", Typing, PALETTE, &[key(KeyCode::Enter)], Accept, "run", "Do what is selected"),
    row("write", Typing, EXPORT, &[key(KeyCode::Enter)], Accept, "write", "Write the file"),
    row(
        "up-typing",
        Typing,
        ScreensAnd(&[Place::Palette, Place::Recent]),
        &[key(KeyCode::Up)],
        Move(Up),
        "select",
        "Selection of the list up",
    ),
    row(
        "down-typing",
        Typing,
        ScreensAnd(&[Place::Palette, Place::Recent]),
        &[key(KeyCode::Down)],
        Move(Down),
        "",
        "Selection of the list down",
    ),
    row("recent", Anywhere, SEARCH, &[ctrl('r')], Recent, "again", "Choose one of the searches that were made before"),
    row(
        "next-field",
        Typing,
        FORM,
        &[key(KeyCode::Tab), key(KeyCode::Down), key(KeyCode::Enter)],
        NextField,
        "next",
        "Next field",
    ),
    row(
        "previous-field",
        Typing,
        FORM,
        &[key(KeyCode::BackTab), key(KeyCode::Up)],
        PreviousField,
        "",
        "Previous field",
    ),
    row("pick-file", Typing, FORM, &[ctrl('o')], PickFile, "choose file", "Choose the file from a list"),
    row(
        "review",
        Typing,
        FORM,
        &[ctrl('s')],
        Review,
        "publish",
        "See the manifest as it will be signed, and publish it",
    ),
    row(
        "review-browsing",
        Browsing,
        PUBLISH,
        &[ctrl('s')],
        Review,
        "",
        "See the draft as it will be signed, and publish it",
    ),
    row("clear", Typing, All, &[ctrl('u')], Edit(Clear), "clear", "Clear the field"),
    row("delete-word", Typing, All, &[ctrl('w')], Edit(DeleteWord), "", "Delete the word before"),
    row(
        "delete-before",
        Typing,
        All,
        &[key(KeyCode::Backspace)],
        Edit(DeleteBefore),
        "",
        "Delete the character before",
    ),
    row("delete-after", Typing, All, &[key(KeyCode::Delete)], Edit(DeleteAfter), "", "Delete the character after"),
    row("left", Typing, All, &[key(KeyCode::Left)], Edit(Left), "", "Left in the text"),
    row(
        "right",
        Typing,
        All,
        &[key(KeyCode::Right)],
        Edit(Right),
        "",
        "Right in the text; at its end, takes what is proposed",
    ),
    row("start", Typing, All, &[key(KeyCode::Home)], Edit(Start), "", "To the start of the text"),
    row("end", Typing, All, &[key(KeyCode::End)], Edit(End), "", "To the end of the text"),
];
