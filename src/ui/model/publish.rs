//! The Publish screen: this node's packages, the form, and a publish in progress.

use std::{path::PathBuf, time::Duration};

use super::form::{Checked, Previous, ReleaseForm};
use crate::{
    domain::{
        name::{PackageId, PublisherId, short_id},
        text::printable,
        time::Timestamp,
    },
    registry::{Content, OwnPackage, PublishStep, Receipt, claimed},
    ui::table::{Table, TableEntry, column::Column, filter::CellValue},
};

impl TableEntry for OwnPackage {
    type Id = PackageId;
    const NAME: &'static str = "publish";
    const COLUMNS: &'static [Column] = &[
        Column::new("package", "package", 16, 0)
            .up_to(34)
            .title_of_package(),
        Column::new("version", "latest", 8, 0).up_to(16),
        Column::new("state", "state", 17, 1).up_to(40),
        Column::new("replicas", "replicas", 8, 2).right(),
        Column::new("copies", "copies", 6, 2).right(),
        Column::new("releases", "releases", 8, 4).right(),
        Column::new("signed", "signed", 6, 3).right().unit("s_ago"),
    ];
    const WAITS_ABOVE: bool = false;
    const MOST: usize = 10_000;
    const SORT: Option<&'static str> = Some("package");

    fn id(&self) -> PackageId {
        self.id.clone()
    }

    fn value(&self, column: &'static str, now: Timestamp) -> CellValue {
        match column {
            "package" => CellValue::text(claimed(&self.id, self.handle.as_ref())),
            "version" => CellValue::text(
                self.latest
                    .as_ref()
                    .map(|entry| entry.version.to_string())
                    .unwrap_or_default(),
            ),
            "state" => CellValue::text(state(self)),
            "copies" => CellValue::Number(self.copies as f64),
            "replicas" => CellValue::number(self.replicas.map(|count| count as f64)),
            "releases" => CellValue::Number(self.releases as f64),
            "signed" => CellValue::Number(now.since(self.signed_at).as_secs_f64().round()),
            _ => CellValue::Nothing,
        }
    }

    fn exported(&self, column: &'static str, now: Timestamp) -> CellValue {
        match column {
            "package" => CellValue::text(self.id.to_string()),
            column => self.value(column, now),
        }
    }

    fn copied(&self) -> String {
        match &self.latest {
            Some(entry) => format!("{}@{}", self.id, entry.version),
            None => self.id.to_string(),
        }
    }

    fn age(&self, now: Timestamp) -> Option<String> {
        Some(crate::domain::time::Ago(now.since(self.signed_at)).to_string())
    }
}

/// Describes the pending delivery of a package.
pub fn state(package: &OwnPackage) -> String {
    if package
        .latest
        .as_ref()
        .is_some_and(|entry| entry.is_yanked())
    {
        return "yanked".to_owned();
    }
    match (package.pending, package.replicas, package.announced) {
        (true, Some(0), Some(0)) => "waiting for peers".to_owned(),
        (true, Some(0), _) => "not replicated yet".to_owned(),
        (true, _, _) => "not announced yet".to_owned(),
        (false, None, _) => "by another node".to_owned(),
        (false, _, Some(peers)) => format!("announced to {peers}"),
        (false, _, None) => "published".to_owned(),
    }
}

/// A publish that is running, or the last one.
#[derive(Clone, Debug)]
pub struct PublishProgress {
    pub generation: u64,
    pub title: String,
    /// Bytes that the node has stored, and their total.
    pub taken: (u64, u64),
    pub steps: Vec<(PublishStep, Duration)>,
    pub ended: Option<Result<Receipt, String>>,
}

impl PublishProgress {
    /// Returns true once the release is stored on this node and cannot be lost.
    pub fn is_stored(&self) -> bool {
        self.steps
            .iter()
            .any(|(step, _)| matches!(step, PublishStep::Stored))
    }
}

/// State of reading the file to publish.
#[derive(Clone, Debug)]
pub enum Hashed {
    /// A directory is being packed.
    Packing {
        done: u64,
        size: u64,
    },
    Reading {
        done: u64,
        size: u64,
    },
    Is(Content),
    Wrong(String),
}

/// The content of a form that replaces a draft.
#[derive(Clone, Debug, PartialEq)]
pub enum Replacement {
    New,
    Following(PackageId),
}

#[derive(Default)]
pub struct PublishView {
    pub mine: Table<OwnPackage>,
    /// True once the node has sent the list.
    pub known: bool,
    /// The node's publisher key if there is one, and the path of its key file.
    pub own: Option<PublisherId>,
    pub key: Option<PathBuf>,
    pub form: Option<ReleaseForm>,
    pub typing: bool,
    pub progress: Option<PublishProgress>,
    /// The draft was saved by an earlier run.
    pub found: bool,
    /// Number of the file check whose answer counts.
    pub stat: u64,
}

impl PublishView {
    /// Returns the existing releases of each package, which the next one must not repeat.
    pub fn previous(&self) -> Vec<Previous> {
        let previous = |package: &OwnPackage| Previous {
            name: package.id.name.clone(),
            versions: package.versions.clone(),
        };
        self.mine.all().map(previous).collect()
    }

    pub fn check(&self) -> Option<Checked> {
        self.form.as_ref().map(|form| form.check(&self.previous()))
    }

    /// Returns true while a publish is in progress.
    pub fn is_running(&self) -> bool {
        self.progress
            .as_ref()
            .is_some_and(|progress| progress.ended.is_none())
    }
}

/// Names a package for use in a question.
pub fn named(package: &OwnPackage) -> String {
    let version = package
        .latest
        .as_ref()
        .map(|entry| format!("@{}", entry.version))
        .unwrap_or_default();
    let publisher = short_id(package.id.owner.as_peer_id());
    printable(&format!(
        "{}{version} (publisher {publisher})",
        claimed(&package.id, package.handle.as_ref())
    ))
}
