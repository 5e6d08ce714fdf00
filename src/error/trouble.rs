//! Reasons for which the database fails, as SQLite gives them, and what a person can do about each.

/// A reason for which the database failed. Result codes are those of
/// <https://sqlite.org/rescode.html>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Another program holds it.
    Locked,
    /// The bytes in the file are not those that were written.
    Damaged,
    /// There is no room on its disk.
    Full,
    /// It may be read and not written.
    ReadOnly,
    /// Its file, or one beside it, cannot be opened.
    Unopened,
    /// The system could not read or write it; also where a limit or quota keeps the file from
    /// growing.
    Disk,
    /// A read was ended because its time was up.
    Interrupted,
    /// Anything else is a defect of this program.
    Other,
}

impl Trouble {
    /// The word for programs; `None` where the failure has no kind of its own.
    pub fn code(self) -> Option<&'static str> {
        match self {
            Self::Locked => Some("database_locked"),
            Self::Damaged => Some("database_damaged"),
            Self::Full => Some("disk_full"),
            Self::ReadOnly => Some("database_read_only"),
            Self::Unopened | Self::Disk | Self::Interrupted | Self::Other => None,
        }
    }

    /// The end of a sentence: what to do.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Locked => {
                "another program has it open: end that (a backup, or sqlite3), and try again"
            }
            Self::Damaged => {
                "it is damaged: bring back a backup with `swarmdex restore DIR --replace`, or move swarmdex.db away to begin with an empty \
                 one; the keys are in files of their own and stay"
            }
            Self::Full => {
                "its disk is full: free some space and try again; `swarmdex gc` removes content that is not yours"
            }
            Self::ReadOnly => {
                "it cannot be written to: check that its disk is not mounted read-only, and that swarmdex.db and the \
                 directory are yours"
            }
            Self::Unopened => {
                "check that its directory is there and yours, and that enough files may be open (ulimit -n)"
            }
            Self::Disk => {
                "the system cannot read or write it: check the free space and quota of its disk, and the disk itself (dmesg)"
            }
            Self::Interrupted => "it took too long: try again, and ask for less at once",
            Self::Other => "this is a defect, please report it with the log file",
        }
    }
}
