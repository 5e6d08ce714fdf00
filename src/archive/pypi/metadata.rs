//! Parses core metadata of Python packages (`METADATA`, `PKG-INFO`): mail headers followed by a
//! text. It follows Python's `email`, so that the result is what pip sees.

use std::borrow::Cow;

use crate::{domain::text::printable, ecosystem::pypi::dependency::PypiDependency};

/// A package's metadata. Texts are as written, except that invalid UTF-8 is replaced and
/// placeholders such as distutils' `UNKNOWN` are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoreMetadata {
    /// The format version, such as `2.1`; `None` in files older than the field.
    pub metadata_version: Option<String>,
    pub name: String,
    pub version: String,
    pub summary: Option<String>,
    pub description: Option<DescriptionText>,
    /// `License-Expression`: an SPDX expression.
    pub license_expression: Option<String>,
    /// `License`: free text, often a whole license.
    pub license: Option<String>,
    /// `Author`, or the senders in `Author-email`, otherwise the maintainers, with their addresses
    /// if given.
    pub authors: Vec<String>,
    /// Label and URL of each `Project-URL`.
    pub project_urls: Vec<(String, String)>,
    pub homepage: Option<String>,
    pub repository: Option<String>,
    pub keywords: Vec<String>,
    pub classifiers: Vec<String>,
    pub requires_python: Option<String>,
    /// Dependencies. In a source distribution with metadata older than 2.2, or with the field among
    /// the dynamic ones, only the wheel built from it decides.
    pub requires_dist: Vec<RequiresDist>,
    pub provides_extra: Vec<String>,
    /// Fields, in lower case, that may differ in a wheel built from this.
    pub dynamic: Vec<String>,
}

/// A readme and its content type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptionText {
    /// The bytes of the body, or of a `Description` header without its indentation.
    pub bytes: Vec<u8>,
    /// Such as `text/markdown; charset=UTF-8`; reStructuredText if absent.
    pub content_type: Option<String>,
}

/// A `Requires-Dist` field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiresDist {
    pub text: String,
    /// `None` if `packaging` rejects the text; pip then refuses to install the release.
    pub dependency: Option<PypiDependency>,
}

/// The latest major version of the format that is supported.
const MAJOR: &str = "2";

impl CoreMetadata {
    /// Parses the metadata.
    ///
    /// # Errors
    /// Name or version is missing or duplicated, or the format is too new.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let message = MailMessage::parse(bytes);
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
                (Some(_), Some(_)) => Err(format!("has its {name} twice")),
                _ => Err(format!("has no {name}")),
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
            let dependency = PypiDependency::parse(&text).ok();
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

/// Returns false for empty text and for `UNKNOWN`, which distutils wrote for missing values.
fn is_said(text: &str) -> bool {
    !matches!(text.trim(), "" | "UNKNOWN")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Parses `Label, https://…`; the label may be empty.
fn labelled(text: &str) -> Option<(String, String)> {
    let (label, url) = text.split_once(',')?;
    let (label, url) = (label.trim(), url.trim());
    is_said(url).then(|| (label.to_owned(), url.to_owned()))
}

/// Normalises a label as PEP 753 does: without punctuation, spaces and capitals.
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

/// Splits `"Ann, B" <ann@example.org>, C <c@example.org>` into two, without the quotes.
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
struct MailMessage<'a> {
    /// Names in lower case, with the lines of their values.
    headers: Vec<(String, Vec<&'a [u8]>)>,
    body: &'a [u8],
}

impl<'a> MailMessage<'a> {
    /// Parses a message. The headers end with an empty line or before a line that is no header,
    /// which begins the body, as in `email`.
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
                // A mailbox separator, or a header without a name, is skipped with its continuation
                // lines.
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

    /// Returns the first value that is not empty.
    fn first(&self, name: &'static str) -> Option<String> {
        self.all(name)
            .find(|text| is_said(text))
            .map(|text| text.trim().to_owned())
    }

    /// Returns the body, otherwise the `Description` header.
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

/// Splits off a line. As in `email`, `\r` alone ends one too.
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

/// Parses a header into its name in lower case and its value.
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

/// Removes the indentation that distutils and setuptools add to continuation lines of a
/// description: eight spaces, or seven and a bar.
fn unindented(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"       |")
        .or_else(|| line.strip_prefix(b"        "))
        .unwrap_or(line)
}
