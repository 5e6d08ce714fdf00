//! The window of a package: description, owner, source, and freshness.

use std::time::Duration;

use ratatui::{style::Style, text::Span};

use super::{Page, Reply, Window};
use crate::{
    domain::{
        hash::ContentRoot,
        manifest::{File, Manifest},
        name::{PackageId, short_id},
        release::{self, ReleaseEntry},
        size::Size,
        text::{fit, printable},
        time::{Ago, Timestamp, Took},
        transfer::TransferState,
        trust::Trust,
    },
    registry::{Held, Package, ReleaseFile, ReleaseState, Source},
    ui::{
        action::{Action, KeyPlace},
        effect::Effect,
        model::{
            Model,
            package::{ContentState, PackageState, ReadmeState, ReleaseFiles},
            readme::{ReadmeBlock, ReadmeText},
            transfers::percent,
        },
        theme::Theme,
    },
};

pub struct PackageWindow {
    pub id: PackageId,
    /// The title, as the package was called where it was opened.
    pub title: String,
    pub generation: u64,
    pub state: PackageState,
    /// Files of the latest release, once all its manifests were looked up; `None` if the first
    /// manifest lists them all.
    pub files: Option<ReleaseFiles>,
    pub content: ContentState,
    pub readme: ReadmeState,
}

impl PackageWindow {
    /// Opens the window of a package, and returns the effect that looks it up.
    pub fn open(model: &mut Model, package: PackageId, title: String) -> Vec<Effect> {
        let generation = model.next_generation();
        model.open(Self {
            id: package.clone(),
            title,
            generation,
            state: PackageState::Looking,
            files: None,
            content: ContentState::default(),
            readme: ReadmeState::default(),
        });
        vec![Effect::GetPackage {
            generation,
            package,
        }]
    }

    /// Notes that a content is on this node now.
    pub fn downloaded(&mut self, root: ContentRoot) {
        let PackageState::Found(package) = &self.state else {
            return;
        };
        if package
            .latest
            .as_ref()
            .is_some_and(|manifest| manifest.content().root == root)
        {
            self.content = ContentState::Here(None);
        }
    }
}

impl Window for PackageWindow {
    fn place(&self) -> KeyPlace {
        KeyPlace::Package
    }

    fn title(&self) -> &str {
        &self.title
    }

    fn lines(&self, model: &Model, page: &mut Page) {
        let theme = page.theme;
        match &self.state {
            PackageState::Looking => {
                page.line("looking on this node, in the DHT, and at other peers…");
            }
            PackageState::Failed(why) => {
                page.styled("Cannot load this package", theme.bad());
                page.text(why, theme.text());
                page.blank();
                page.styled(format!("{}: retry", again(model)), theme.dim());
            }
            PackageState::Found(package) => {
                release(page, model, self, package);
                publisher(page, model, package);
                source(page, model, package);
                releases(page, model, package);
                dependencies(page, package);
                conflicts(page, package);
                readme(page, model, &self.readme);
            }
        }
    }

    fn keys(&self) -> &'static [(Action, &'static str)] {
        &[(Action::Refresh, "reload"), (Action::Back, "back")]
    }

    fn act(&mut self, model: &mut Model, _at: &mut usize, action: Action) -> Reply {
        if action != Action::Refresh {
            return Reply::Pass;
        }
        Reply::Close(Self::open(model, self.id.clone(), self.title.clone()))
    }
}

/// Adds the latest release, with the state of its content.
fn release(page: &mut Page, model: &Model, window: &PackageWindow, package: &Package) {
    let theme = page.theme;
    match &package.latest {
        Some(manifest) => {
            for (label, text) in [
                ("latest", manifest.version.to_string()),
                ("title", manifest.title.clone().unwrap_or_default()),
                ("description", manifest.description.clone()),
                ("license", manifest.license.clone().unwrap_or_default()),
                ("categories", manifest.categories.join(", ")),
                ("tags", manifest.tags.join(", ")),
                ("authors", manifest.authors.join(", ")),
                (
                    "repository",
                    manifest.repository.clone().unwrap_or_default(),
                ),
                ("homepage", manifest.homepage.clone().unwrap_or_default()),
            ] {
                if !text.is_empty() {
                    page.field(label, &printable(&text));
                }
            }
            content(page, model, window, manifest);
        }
        None => {
            let yanked = package.releases.iter().all(|entry| entry.is_yanked()) && package.complete;
            let text = if yanked {
                "none: every release is yanked, but can still be downloaded by its version"
                    .to_owned()
            } else {
                format!("its manifest was not found ({}: retry)", again(model))
            };
            page.field_in("latest", &text, theme.fair());
        }
    }
}

fn publisher(page: &mut Page, model: &Model, package: &Package) {
    let theme = page.theme;
    page.heading("Publisher");
    let handle = package
        .handle
        .as_ref()
        .map_or("none", |handle| handle.as_str());
    page.field_in("handle", handle, theme.strong());
    page.field_in(
        "fingerprint",
        &package.id.owner.fingerprint(),
        theme.strong(),
    );
    page.field("id", &package.id.owner.to_string());
    let pin = model.key(Action::TrustPublisher, KeyPlace::Package);
    let owner = &package.id.owner;
    let claimed = package.handle.as_ref();
    let contested = claimed.and_then(|handle| model.contested(handle, owner));
    let others = claimed.map_or(0, |handle| model.claims.others(handle, owner));
    let others = match others {
        0 => String::new(),
        1 => "; another key claims it too, which changes nothing".to_owned(),
        others => format!("; {others} other keys claim it too, which changes nothing"),
    };
    let (trust, style) = match (package.trust, contested) {
        (Trust::Own, _) => (format!("your own key{others}"), theme.good()),
        (Trust::Pinned, _) => (
            format!("pinned: on this node the handle means this key{others}"),
            theme.good(),
        ),
        (Trust::Unknown, Some(why)) => (
            format!("! contested: {why}; unpinned ({pin}: pin the handle to this key)"),
            theme.bad(),
        ),
        (Trust::Unknown, None) if claimed.is_some() => (
            format!("unpinned: anyone may claim the handle ({pin}: pin it to this key)"),
            theme.text(),
        ),
        (Trust::Unknown, None) => ("unpinned: it has no handle".to_owned(), theme.text()),
        (Trust::Distrusted, _) => (
            "distrusted: its releases are hidden".to_owned(),
            theme.bad(),
        ),
    };
    page.field_in("trust", &trust, style);
}

fn source(page: &mut Page, model: &Model, package: &Package) {
    let (theme, now) = (page.theme, model.now);
    page.heading("Source and freshness");
    let source = match package.source {
        Source::Cache => "this node's cache".to_owned(),
        Source::Local => "this node's own catalogue".to_owned(),
        Source::Dht => "the DHT".to_owned(),
        Source::Peer(peer) => format!("peer {}", short_id(&peer)),
    };
    page.field("found in", &source);
    let signed = format!(
        "{} ago, revision {}",
        Ago(now.since(package.signed_at)),
        package.seq
    );
    page.field("signed", &signed);
    let style = if package.freshness.is_fresh(now) {
        theme.text()
    } else {
        theme.fair()
    };
    page.field_in("state", &package.freshness.describe(now).to_string(), style);
}

fn releases(page: &mut Page, model: &Model, package: &Package) {
    page.heading(&format!("Releases ({})", package.releases.len()));
    let mut releases = release::read(package.id.name.ecosystem(), &package.releases);
    releases.sort_by(|(a, _), (b, _)| b.cmp(a));
    for (_, entry) in releases {
        release_entry(page, package, entry);
    }
    if !package.complete {
        let text = format!("older ones could not be loaded ({}: retry)", again(model));
        page.styled(text, page.theme.fair());
    }
}

fn dependencies(page: &mut Page, package: &Package) {
    let needs = package
        .latest
        .iter()
        .flat_map(|manifest| &manifest.dependencies);
    let needs: Vec<String> = needs
        .map(|needed| {
            printable(&format!(
                "{} {}{}",
                needed.called(),
                needed.requirement,
                needed.circumstances()
            ))
        })
        .collect();
    page.heading(&format!("Dependencies ({})", needs.len()));
    for needed in needs {
        page.text(&needed, page.theme.text());
    }
}

fn conflicts(page: &mut Page, package: &Package) {
    if package.conflicts.is_empty() {
        return;
    }
    page.heading("Conflicts: changed manifests that were refused");
    for conflict in &package.conflicts {
        let (kept, offered) = (conflict.kept.fingerprint(), conflict.offered.fingerprint());
        let text = format!("{}: kept {kept}, refused {offered}", conflict.version);
        page.text(&text, page.theme.bad());
    }
}

/// Adds a release in one line, and below it the owner's notice about it.
fn release_entry(page: &mut Page, package: &Package, entry: &ReleaseEntry) {
    let theme = page.theme;
    let manifest = entry
        .first()
        .map_or_else(|| "unknown".to_owned(), |first| first.fingerprint());
    let more = match entry.manifests.len() {
        0 | 1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    let state = ReleaseState::of(entry);
    let tags = printable(&package.tags_of(&entry.version).join(", "));
    let marks = [
        (state.yanked, "yanked", theme.fair()),
        (state.deprecated.is_some(), "deprecated", theme.fair()),
        (!tags.is_empty(), tags.as_str(), theme.link()),
    ];
    let mut spans = vec![
        Span::raw(format!("{:<16}", entry.version.to_string())),
        Span::styled(format!("manifest {manifest}{more}"), theme.dim()),
    ];
    let marks = marks.into_iter().filter(|(is_so, ..)| *is_so);
    spans.extend(marks.map(|(_, word, style)| Span::styled(format!("  {word}"), style)));
    page.line(spans);
    if state.has_words() {
        for warning in state.warnings() {
            page.entry(2, Span::raw(""), &warning, theme.fair());
        }
    }
}

/// Adds the state of the latest release's content.
fn content(page: &mut Page, model: &Model, window: &PackageWindow, manifest: &Manifest) {
    let theme = page.theme;
    if !manifest.ecosystem.is_generic() {
        page.field("ecosystem", manifest.ecosystem.as_str());
    }
    match &window.files {
        Some(ReleaseFiles::Are(files, missing)) => {
            for one in files {
                let style = if one.yanked.is_some() {
                    theme.fair()
                } else {
                    theme.text()
                };
                page.field_in("file", &file_text(&one.file, Some((one, model.now))), style);
            }
            if *missing > 0 {
                page.field_in(
                    "",
                    &format!(
                        "{missing} of its manifests could not be loaded, so files are missing ({}: \
                         retry)",
                        again(model)
                    ),
                    theme.fair(),
                );
            }
        }
        others => {
            manifest
                .files
                .iter()
                .for_each(|file| page.field("file", &file_text(file, None)));
            match others {
                Some(ReleaseFiles::Failed(why)) => page.field_in(
                    "",
                    &format!("other files could not be loaded: {}", printable(why)),
                    theme.fair(),
                ),
                Some(_) => {
                    page.field_in("", "looking for files that were added later…", theme.dim())
                }
                None => {}
            }
        }
    }
    let root = manifest.content().root;
    page.field("content", &root.to_string());
    let (text, style) = presence(model, &window.content, root, theme);
    page.field_in("here", &text, style);
}

/// Describes a file in a line. A file that was added after the release has its time and the owner's
/// notice about it too.
fn file_text(file: &File, listed: Option<(&ReleaseFile, Timestamp)>) -> String {
    let text = format!(
        "{}, {} ({} bytes)",
        printable(&file.name),
        Size(file.size),
        file.size
    );
    let Some((listed, now)) = listed else {
        return text;
    };
    let yanked = match listed.yanked.as_deref() {
        None => String::new(),
        Some("") => ", yanked".to_owned(),
        Some(why) => format!(", yanked: {}", printable(why)),
    };
    format!(
        "{text}, signed {} ago{yanked}",
        Ago(now.since(listed.signed_at))
    )
}

fn presence(
    model: &Model,
    presence: &ContentState,
    root: ContentRoot,
    theme: Theme,
) -> (String, Style) {
    if let ContentState::Here(held) = presence {
        return (
            held.as_deref()
                .map_or_else(|| "yes, verified".to_owned(), sources),
            theme.good(),
        );
    }
    let fetch = model.key(Action::Download, KeyPlace::Package);
    if let Some(transfer) = model.transfers.fetch(root) {
        let percent = percent(transfer);
        match &transfer.state {
            TransferState::Waiting | TransferState::Running => {
                return (format!("downloading: {percent} %"), theme.link());
            }
            TransferState::Paused => {
                return (
                    format!("paused at {percent} % ({fetch}: resume)"),
                    theme.fair(),
                );
            }
            TransferState::Failed(why) => {
                return (
                    format!("no: {} ({fetch}: retry)", printable(why)),
                    theme.bad(),
                );
            }
            TransferState::Done | TransferState::Cancelled => {}
        }
    }
    match presence {
        ContentState::Unknown(why) => (format!("unknown: {}", printable(why)), theme.fair()),
        ContentState::NotHere => (format!("no ({fetch}: download)"), theme.fair()),
        ContentState::Asking | ContentState::Here(_) => ("looking…".to_owned(), theme.dim()),
    }
}

/// Describes who sent a content that is here, the biggest sender first.
fn sources(held: &Held) -> String {
    let Some(origin) = held
        .origin
        .as_ref()
        .filter(|origin| !origin.shares.is_empty())
    else {
        let of = if held.own {
            "your own"
        } else {
            "added on this machine"
        };
        return format!("yes, verified: {of}");
    };
    let mut shares: Vec<_> = origin
        .shares
        .iter()
        .filter(|share| share.bytes > 0)
        .collect();
    shares.sort_by_key(|share| (std::cmp::Reverse(share.bytes), share.peer));
    let all = held.content.size.max(1);
    let senders: Vec<String> = shares
        .iter()
        .map(|share| format!("{} ({} %)", short_id(&share.peer), share.bytes * 100 / all))
        .collect();
    let time = Took(Duration::from_millis(origin.millis));
    format!("yes, verified: from {} in {time}", senders.join(", "))
}

/// Returns the key that reloads the window.
fn again(model: &Model) -> String {
    model.key(Action::Refresh, KeyPlace::Package)
}

fn readme(page: &mut Page, model: &Model, readme: &ReadmeState) {
    let theme = page.theme;
    if matches!(readme, ReadmeState::None) {
        return;
    }
    page.heading("Readme");
    match readme {
        ReadmeState::None => {}
        ReadmeState::Loading => page.styled("downloading…", theme.dim()),
        ReadmeState::Failed(why) => {
            let text = format!("{} ({}: retry)", printable(why), again(model));
            page.text(&text, theme.fair());
        }
        ReadmeState::Is(ReadmeText { blocks, cut }) => {
            if blocks.is_empty() {
                page.styled("empty", theme.dim());
            }
            blocks.iter().for_each(|one| block(page, one));
            if *cut {
                page.styled("… the rest is not shown", theme.dim());
            }
        }
    }
}

fn block(page: &mut Page, block: &ReadmeBlock) {
    let theme = page.theme;
    match block {
        ReadmeBlock::Gap => page.blank(),
        ReadmeBlock::Heading(text) => page.text(text, theme.strong()),
        ReadmeBlock::Text(text) => page.text(text, theme.text()),
        ReadmeBlock::Code(text) => page.styled(fit(text, page.width), theme.dim()),
        ReadmeBlock::Bullet(indent, text) => {
            let bullet = format!("{}• ", " ".repeat(*indent));
            page.entry(indent + 2, Span::raw(bullet), text, theme.text());
        }
    }
}
