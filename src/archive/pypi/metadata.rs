//! Core metadata of Python packages (`METADATA`, `PKG-INFO`): headers as in mail, and a text behind
//! them. Read as Python's `email` reads them, because that is what pip sees.

use std::borrow::Cow;

use crate::{domain::text::printable, ecosystem::pypi::dependency::Dependency};

/// What a package says of itself. Texts are as somebody wrote them, except that bytes that are no
/// UTF-8 are replaced, and what stands for nothing, such as distutils' `UNKNOWN`, is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoreMetadata {
    /// `2.1`; none in files that are older than the field.
    pub metadata_version: Option<String>,
    pub name: String,
    pub version: String,
    pub summary: Option<String>,
    pub description: Option<DescriptionText>,
    /// `License-Expression`: an SPDX expression.
    pub license_expression: Option<String>,
    /// `License`: anything, often the whole text of one.
    pub license: Option<String>,
    /// `Author`, or the senders in `Author-email`; else the maintainers. With their addresses, if
    /// they are written.
    pub authors: Vec<String>,
    /// Label and address of each `Project-URL`.
    pub project_urls: Vec<(String, String)>,
    pub homepage: Option<String>,
    pub repository: Option<String>,
    pub keywords: Vec<String>,
    pub classifiers: Vec<String>,
    pub requires_python: Option<String>,
    /// Of a source distribution whose metadata is older than 2.2, or that has the field among the
    /// dynamic ones, it is for the wheel built of it to say.
    pub requires_dist: Vec<RequiresDist>,
    pub provides_extra: Vec<String>,
    /// Fields, in lower case, that a wheel built of this may say otherwise.
    pub dynamic: Vec<String>,
}

/// A readme and how it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptionText {
    /// As they are in the body; of a `Description` header without what indents it.
    pub bytes: Vec<u8>,
    /// `text/markdown; charset=UTF-8`; where nothing is said it is reStructuredText.
    pub content_type: Option<String>,
}

/// A `Requires-Dist`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiresDist {
    pub text: String,
    /// None where the text is none that `packaging` takes: pip refuses to install such a release.
    pub dependency: Option<Dependency>,
}

/// The newest version of the metadata's format that this reads.
const MAJOR: &str = "2";

impl CoreMetadata {
    /// # Errors
    /// When name or version is missing or said twice, or the format is too new.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let message = Message::parse(bytes);
        let one = |name: &'static str| message.first(name);
        let all = |name: &'static str| {
            message
                .all(name)
                .map(|text| one_line(&text))
                .filter(|text| is_said(text))
        };
        let required = |name: &'static str| {
            let mut values = message.all(name);
            match (values.next(), values.next()) {
                (Some(value), None) if is_said(&value) => Ok(value.trim().to_owned()),
                (Some(_), Some(_)) => Err(format!("says its {name} twice")),
                _ => Err(format!("says no {name}")),
            }
        };
        let metadata_version = one("metadata-version");
        let major = metadata_version
            .as_deref()
            .map(|text| text.split('.').next().unwrap_or_default());
        if let Some(major) = major.filter(|major| !matches!(*major, "1" | MAJOR)) {
            return Err(format!(
                "has the version {} of its format, of which {MAJOR} is the newest known",
                printable(major)
            ));
        }
        let project_urls: Vec<(String, String)> = all("project-url")
            .filter_map(|text| labelled(&text))
            .collect();
        let called = |labels: &[&str]| {
            let found = project_urls
                .iter()
                .find(|(label, _)| labels.contains(&well_known(label).as_str()));
            found.map(|(_, url)| url.clone())
        };
        let requires_dist = all("requires-dist").map(|text| {
            let dependency = Dependency::parse(&text).ok();
            RequiresDist { text, dependency }
        });
        Ok(Self {
            name: required("name")?,
            version: required("version")?,
            summary: one("summary").map(|text| one_line(&text)),
            description: message.description(),
            license_expression: one("license-expression").map(|text| one_line(&text)),
            license: one("license"),
            authors: authors(&one),
            homepage: called(&["homepage"]).or_else(|| one("home-page")),
            repository: called(&["source", "repository", "sourcecode", "github"]),
            keywords: one("keywords")
                .map(|text| keywords(&text))
                .unwrap_or_default(),
            classifiers: all("classifier").collect(),
            requires_python: one("requires-python").map(|text| one_line(&text)),
            requires_dist: requires_dist.collect(),
            provides_extra: all("provides-extra").collect(),
            dynamic: all("dynamic")
                .map(|field| field.to_ascii_lowercase())
                .collect(),
            project_urls,
            metadata_version,
        })
    }
}

/// distutils wrote `UNKNOWN` for what nobody had told it.
fn is_said(text: &str) -> bool {
    !matches!(text.trim(), "" | "UNKNOWN")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `Label, https://…`; the label may be missing.
fn labelled(text: &str) -> Option<(String, String)> {
    let (label, url) = text.split_once(',')?;
    let (label, url) = (label.trim(), url.trim());
    is_said(url).then(|| (label.to_owned(), url.to_owned()))
}

/// A label without punctuation, spaces and capitals, as PEP 753 compares them.
fn well_known(label: &str) -> String {
    let letters = label
        .chars()
        .filter(|c| !c.is_ascii_punctuation() && !c.is_whitespace());
    letters.flat_map(char::to_lowercase).collect()
}

fn keywords(text: &str) -> Vec<String> {
    let words: Vec<&str> = if text.contains(',') {
        text.split(',').collect()
    } else {
        text.split_whitespace().collect()
    };
    words
        .into_iter()
        .map(one_line)
        .filter(|word| is_said(word))
        .collect()
}

fn authors(one: &impl Fn(&'static str) -> Option<String>) -> Vec<String> {
    let who = |name: &'static str, address: &'static str| {
        let names = one(name).map(|name| vec![one_line(&name)]);
        names
            .or_else(|| one(address).map(|text| senders(&text)))
            .filter(|authors| !authors.is_empty())
    };
    who("author", "author-email")
        .or_else(|| who("maintainer", "maintainer-email"))
        .unwrap_or_default()
}

/// `"Ann, B" <ann@example.org>, C <c@example.org>` as two, without the quotes.
fn senders(text: &str) -> Vec<String> {
    let mut senders = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match (c, senders.last_mut()) {
            ('"', _) => quoted = !quoted,
            (',', _) if !quoted => senders.push(String::new()),
            (_, Some(sender)) => sender.push(c),
            (_, None) => {}
        }
    }
    senders
        .iter()
        .map(|sender| one_line(sender))
        .filter(|sender| is_said(sender))
        .collect()
}

/// Headers and body.
struct Message<'a> {
    /// Name in lower case, and value with the lines that belong to it.
    headers: Vec<(String, Vec<&'a [u8]>)>,
    body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The headers end with an empty line, or before one that is no header: what is behind is the
    /// body then, as in `email`.
    fn parse(bytes: &'a [u8]) -> Self {
        let mut headers: Vec<(String, Vec<&'a [u8]>)> = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (line, behind) = split_line(rest);
            if line.is_empty() {
                rest = behind;
                break;
            }
            match line {
                [b' ' | b'\t', ..] => headers
                    .last_mut()
                    .into_iter()
                    .for_each(|(_, lines)| lines.push(line)),
                // What mailboxes put before a message, and a header without a name, are passed over
                // with all that belongs to them.
                [b'F', b'r', b'o', b'm', b' ', ..] | [b':', ..] => {
                    headers.push((String::new(), Vec::new()))
                }
                _ => match header(line) {
                    Some((name, value)) => headers.push((name, vec![value])),
                    None => break,
                },
            }
            rest = behind;
        }
        Self {
            headers,
            body: rest,
        }
    }

    fn all(&self, name: &'static str) -> impl Iterator<Item = Cow<'a, str>> {
        let found = self
            .headers
            .iter()
            .filter(move |(header, _)| header == name);
        found.map(|(_, lines)| match lines.as_slice() {
            [line] => String::from_utf8_lossy(line),
            lines => String::from_utf8_lossy(&lines.join(&b'\n'))
                .into_owned()
                .into(),
        })
    }

    /// The first that says something.
    fn first(&self, name: &'static str) -> Option<String> {
        self.all(name)
            .find(|text| is_said(text))
            .map(|text| text.trim().to_owned())
    }

    /// The body, or else the header of that name.
    fn description(&self) -> Option<DescriptionText> {
        let is_text =
            |bytes: &[u8]| !bytes.trim_ascii().is_empty() && bytes.trim_ascii() != b"UNKNOWN";
        let header = || {
            let (_, lines) = self
                .headers
                .iter()
                .find(|(name, _)| name == "description")?;
            Some(
                lines
                    .iter()
                    .map(|line| unindented(line))
                    .collect::<Vec<_>>()
                    .join(&b'\n'),
            )
        };
        let body = Some(self.body.to_owned()).filter(|body| is_text(body));
        let bytes = body.or_else(|| header().filter(|text| is_text(text)))?;
        Some(DescriptionText {
            bytes,
            content_type: self
                .first("description-content-type")
                .map(|text| one_line(&text)),
        })
    }
}

/// A line without its end, and what follows. `email` ends one with `\r` alone, too.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some((line, behind)) = bytes
        .iter()
        .position(|byte| matches!(byte, b'\n' | b'\r'))
        .and_then(|end| bytes.split_at_checked(end))
    else {
        return (bytes, &[]);
    };
    let behind = behind.strip_prefix(b"\r\n").or_else(|| behind.get(1..));
    (line, behind.unwrap_or_default())
}

/// The name in lower case, and the value without the spaces before it.
fn header(line: &[u8]) -> Option<(String, &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at_checked(colon)?;
    let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    let name = is_name.then(|| String::from_utf8_lossy(name).to_ascii_lowercase())?;
    Some((
        name,
        value.strip_prefix(b":").unwrap_or(value).trim_ascii_start(),
    ))
}

/// What distutils and setuptools put before each further line of a description: eight spaces, or
/// seven and a bar.
fn unindented(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"       |")
        .or_else(|| line.strip_prefix(b"        "))
        .unwrap_or(line)
}
