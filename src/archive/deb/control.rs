//! Parses a control paragraph (Debian Policy 5.3). Package, version and architecture must be valid,
//! and every field must be unique.

use crate::{archive::debian::fields, ecosystem::Ecosystem};

/// A field with relations to other packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlRelation {
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
    pub relations: Vec<ControlRelation>,
}

impl Paragraph {
    pub fn parse(text: &str) -> Result<Self, String> {
        let fields = fields(text.trim_end_matches(['\r', '\n'])).map_err(|why| why.to_string())?;
        let field = |name: &str| fields.get(name).copied().filter(|value| !value.is_empty());
        let own = |name: &str| field(name).map(str::to_owned);
        let needed =
            |name: &str| own(&name.to_ascii_lowercase()).ok_or_else(|| format!("it has no {name}"));

        let name = needed("Package")?;
        Ecosystem::Debian
            .normalise(&name)
            .map_err(|why| format!("its name {why}"))?;
        let version = needed("Version")?;
        Ecosystem::Debian
            .version(&version)
            .map_err(|why| format!("its version {why}"))?;
        let architecture = needed("Architecture")?;
        if architecture.len() > 64
            || !architecture
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        {
            return Err("its architecture is not a word".to_owned());
        }
        let (summary, details) = match field("description")
            .map(|value| value.split_once('\n').unwrap_or((value, "")))
        {
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

fn relations<'a>(field: impl Fn(&str) -> Option<&'a str>) -> Vec<ControlRelation> {
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
        let packages = field(name)?
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        Some(ControlRelation { kind, packages })
    };
    kinds.into_iter().filter_map(relation).collect()
}
