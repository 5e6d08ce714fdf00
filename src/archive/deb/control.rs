//! Reads a control paragraph (Debian Policy 5.3). Package, version and architecture must be right, and every field be there
//! once.

use std::collections::BTreeMap;

use crate::{
    domain::text::{fit, printable},
    ecosystem::Ecosystem,
};

/// One field of relations to other packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    pub kind: RelationKind,
    /// The field's value on one line: `libc6 (>= 2.36), perl | awk`.
    pub packages: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationKind {
    PreDepends,
    Depends,
    Recommends,
    Suggests,
    Enhances,
    Breaks,
    Conflicts,
    Replaces,
    Provides,
}

#[derive(Debug)]
pub(super) struct Paragraph {
    pub name: String,
    pub version: String,
    pub architecture: String,
    pub summary: Option<String>,
    pub details: Option<String>,
    pub maintainer: Option<String>,
    pub homepage: Option<String>,
    pub section: Option<String>,
    pub priority: Option<String>,
    pub source: Option<String>,
    pub relations: Vec<Relation>,
}

impl Paragraph {
    pub fn parse(text: &str) -> Result<Self, String> {
        let fields = fields(text)?;
        let field = |name: &str| fields.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
        let own = |name: &str| field(name).map(str::to_owned);
        let needed = |name: &str| own(&name.to_ascii_lowercase()).ok_or_else(|| format!("it has no {name}"));

        let name = needed("Package")?;
        Ecosystem::Debian.normalise(&name).map_err(|why| format!("its name {why}"))?;
        let version = needed("Version")?;
        Ecosystem::Debian.version(&version).map_err(|why| format!("its version {why}"))?;
        let architecture = needed("Architecture")?;
        if architecture.len() > 64 || !architecture.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err("its architecture is not a word".to_owned());
        }
        let (summary, details) = match field("description").map(|value| value.split_once('\n').unwrap_or((value, ""))) {
            Some((summary, details)) => (Some(summary.trim().to_owned()), Some(details.to_owned())),
            None => (None, None),
        };
        Ok(Self {
            name,
            version,
            architecture,
            summary: summary.filter(|text| !text.is_empty()),
            details: details.filter(|text| !text.is_empty()),
            maintainer: own("maintainer"),
            homepage: own("homepage"),
            section: own("section"),
            priority: own("priority"),
            source: own("source"),
            relations: relations(field),
        })
    }
}

fn relations<'a>(field: impl Fn(&str) -> Option<&'a str>) -> Vec<Relation> {
    let kinds = [
        ("pre-depends", RelationKind::PreDepends),
        ("depends", RelationKind::Depends),
        ("recommends", RelationKind::Recommends),
        ("suggests", RelationKind::Suggests),
        ("enhances", RelationKind::Enhances),
        ("breaks", RelationKind::Breaks),
        ("conflicts", RelationKind::Conflicts),
        ("replaces", RelationKind::Replaces),
        ("provides", RelationKind::Provides),
    ];
    let relation = |(name, kind)| {
        let packages = field(name)?.split_whitespace().collect::<Vec<_>>().join(" ");
        Some(Relation { kind, packages })
    };
    kinds.into_iter().filter_map(relation).collect()
}

/// The fields by their names, of which the case does not count (Policy 5.1). A line that begins with a space goes on with the
/// field before it. A field that is there twice is read by some programs as the first, by others as the last: it is neither.
fn fields(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    let mut last: Option<String> = None;
    let shown = |text: &str| fit(&printable(text), 40);
    for line in text.lines() {
        if line.starts_with([' ', '\t']) {
            let value = last.as_ref().and_then(|name| fields.get_mut(name)).ok_or("it begins with a space")?;
            value.push('\n');
            value.push_str(line);
            continue;
        }
        if line.is_empty() {
            return Err("it has an empty line in it: one package has one paragraph".to_owned());
        }
        let (name, value) = line
            .split_once(':')
            .filter(|(name, _)| !name.is_empty() && !name.contains(char::is_whitespace))
            .ok_or_else(|| format!("it has a line that is no field: \"{}\"", shown(line)))?;
        let key = name.to_ascii_lowercase();
        if fields.insert(key.clone(), value.to_owned()).is_some() {
            return Err(format!("it has the field {} twice", shown(name)));
        }
        last = Some(key);
    }
    Ok(fields)
}
