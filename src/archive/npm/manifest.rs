//! Parses `package.json` in all the forms that npm has accepted over the years. Name and version
//! must be valid; a field in an unknown form is ignored.

use serde_json::{Map, Value};

use crate::ecosystem::Ecosystem;

/// An author, maintainer or contributor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    pub name: String,
    pub email: Option<String>,
    pub url: Option<String>,
}

/// A dependency as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NpmDependency {
    /// The name in imports; `requirement` tells if it is published under another name.
    pub name: String,
    /// As written: a range, a tag, `npm:other@^1`, a URL or a path.
    pub requirement: String,
    pub kind: NpmDependencyKind,
    /// It may be missing: an optional dependency, or a peer marked so in `peerDependenciesMeta`.
    pub optional: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NpmDependencyKind {
    Normal,
    Peer,
    Optional,
    Dev,
}

#[derive(Debug)]
pub(super) struct PackageJson {
    pub name: String,
    pub version: String,
    pub description: Option<String>,
    pub license: Option<String>,
    pub author: Option<Person>,
    pub maintainers: Vec<Person>,
    pub contributors: Vec<Person>,
    pub homepage: Option<String>,
    pub repository: Option<String>,
    pub keywords: Vec<String>,
    pub dependencies: Vec<NpmDependency>,
    pub deprecated: Option<String>,
}

impl PackageJson {
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let fields = fields(bytes)?;
        let field = |key: &str| fields.get(key);
        let string = |key: &str| field(key).and_then(text_of);
        let people = |key: &str| list(field(key)).into_iter().filter_map(person).collect();

        let name = field("name")
            .and_then(Value::as_str)
            .ok_or("it has no name")?;
        let name = Ecosystem::Npm
            .normalise(name)
            .map_err(|why| format!("its name {why}"))?;
        let version = field("version")
            .and_then(Value::as_str)
            .ok_or("it has no version")?;
        // npm removes these when it publishes.
        let version = version.trim().trim_start_matches(['v', '=', ' ']);
        let version = Ecosystem::Npm
            .version(version)
            .map_err(|why| format!("its version {why}"))?;
        Ok(Self {
            name,
            version: version.key(),
            description: string("description"),
            license: license(
                field("license")
                    .or_else(|| field("licenses"))
                    .or_else(|| field("licence")),
            ),
            author: field("author").and_then(person),
            maintainers: people("maintainers"),
            contributors: people("contributors"),
            homepage: string("homepage"),
            repository: field("repository").and_then(repository),
            keywords: keywords(field("keywords")),
            dependencies: dependencies(&fields),
            deprecated: string("deprecated"),
        })
    }
}

/// Returns this version's entry in a packument, except for its location: `package.json` with npm's
/// normal name and version, programs as a table, and no readme, which old ones include. Returns no
/// bytes if the JSON is invalid.
pub fn packument(found: &super::NpmTarball) -> Vec<u8> {
    let Ok(mut fields) = fields(&found.package_json) else {
        return Vec::new();
    };
    fields.insert("name".to_owned(), found.name.clone().into());
    fields.insert("version".to_owned(), found.version.clone().into());
    ["readme", "readmeFilename"]
        .into_iter()
        .for_each(|field| drop(fields.remove(field)));
    if let Some(Value::String(path)) = fields.get("bin") {
        let own = found.name.rsplit('/').next().unwrap_or_default().to_owned();
        let table = Map::from_iter([(own, Value::String(path.clone()))]);
        fields.insert("bin".to_owned(), table.into());
    }
    serde_json::to_vec(&fields).unwrap_or_default()
}

/// Parses JSON, replacing invalid UTF-8 as npm does. The parser bounds nesting.
fn fields(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn text_of(value: &Value) -> Option<String> {
    value
        .as_str()
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// Returns the values of a list, or the single value in place of one.
fn list(value: Option<&Value>) -> Vec<&Value> {
    match value {
        Some(Value::Array(values)) => values.iter().collect(),
        Some(value) => vec![value],
        None => Vec::new(),
    }
}

/// Parses `{"name": …, "email": …, "url": …}`, or `Name <email> (url)`.
fn person(value: &Value) -> Option<Person> {
    let person = match value {
        Value::Object(fields) => {
            let field = |keys: [&str; 2]| {
                keys.iter()
                    .find_map(|key| fields.get(*key).and_then(text_of))
            };
            Person {
                name: field(["name", "name"]).unwrap_or_default(),
                email: field(["email", "mail"]),
                url: field(["url", "web"]),
            }
        }
        _ => {
            let text = value.as_str()?;
            let between = |open, close| {
                text.split_once(open)?
                    .1
                    .split_once(close)
                    .map(|(inner, _)| inner.trim().to_owned())
            };
            let name = text
                .split(['<', '('])
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned();
            let some = |text: &String| !text.is_empty();
            Person {
                name,
                email: between('<', '>').filter(some),
                url: between('(', ')').filter(some),
            }
        }
    };
    (person != Person::default()).then_some(person)
}

/// Parses `"MIT"`, `{"type": "MIT"}`, or a list of these.
fn license(value: Option<&Value>) -> Option<String> {
    let one = |value: &Value| {
        text_of(value).or_else(|| {
            ["type", "name"]
                .iter()
                .find_map(|key| text_of(value.get(*key)?))
        })
    };
    let licenses: Vec<String> = list(value).into_iter().filter_map(one).collect();
    match licenses.as_slice() {
        [] => None,
        [only] => Some(only.clone()),
        // An expression nested in another needs parentheses.
        _ => {
            let grouped = licenses.iter().map(|text| {
                if text.contains(' ') {
                    format!("({text})")
                } else {
                    text.clone()
                }
            });
            Some(grouped.collect::<Vec<_>>().join(" OR "))
        }
    }
}

/// Parses `{"url": …}` or a text, which may be a short form.
fn repository(value: &Value) -> Option<String> {
    let url = text_of(value).or_else(|| text_of(value.get("url")?))?;
    Some(address(&url))
}

/// Expands a short form or a git-only URL to an https URL. Anything else stays as it is.
fn address(text: &str) -> String {
    const HOSTS: [(&str, &str); 4] = [
        ("github", "https://github.com/"),
        ("gitlab", "https://gitlab.com/"),
        ("bitbucket", "https://bitbucket.org/"),
        ("gist", "https://gist.github.com/"),
    ];
    for (short, host) in HOSTS {
        if let Some(path) = text
            .strip_prefix(short)
            .and_then(|rest| rest.strip_prefix(':'))
        {
            return format!("{host}{path}");
        }
    }
    let git = text.strip_prefix("git+").unwrap_or(text);
    let git = git
        .strip_prefix("git://")
        .or_else(|| git.strip_prefix("ssh://"));
    let user = |rest: &str| rest.strip_prefix("git@").unwrap_or(rest).to_owned();
    if let Some(rest) = git {
        return format!("https://{}", user(rest));
    }
    // Such as git@github.com:owner/name.git.
    if let Some((host, path)) = text
        .strip_prefix("git@")
        .and_then(|rest| rest.split_once(':'))
    {
        return format!("https://{host}/{path}");
    }
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.#".contains(&b))
    };
    match text.split_once('/') {
        Some((owner, name)) if part(owner) && part(name) => {
            format!("https://github.com/{owner}/{name}")
        }
        _ => text.strip_prefix("git+").unwrap_or(text).to_owned(),
    }
}

fn keywords(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => text
            .split([',', ' ', '\t', '\n'])
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect(),
        Some(Value::Array(words)) => words.iter().filter_map(text_of).collect(),
        _ => Vec::new(),
    }
}

/// Returns each name once for each kind. A name in `optionalDependencies` is optional even if other
/// sections list it too, as in npm.
fn dependencies(fields: &Map<String, Value>) -> Vec<NpmDependency> {
    let section = |key: &str| fields.get(key).and_then(Value::as_object);
    let optional = section("optionalDependencies");
    let may_be_missing = |name: &str| {
        section("peerDependenciesMeta")
            .and_then(|meta| meta.get(name)?.get("optional")?.as_bool())
            .unwrap_or_default()
    };
    let kinds = [
        ("dependencies", NpmDependencyKind::Normal),
        ("peerDependencies", NpmDependencyKind::Peer),
        ("optionalDependencies", NpmDependencyKind::Optional),
        ("devDependencies", NpmDependencyKind::Dev),
    ];
    let mut all = Vec::new();
    for (key, kind) in kinds {
        for (name, requirement) in section(key).into_iter().flatten() {
            let Some(requirement) = requirement.as_str() else {
                continue;
            };
            if kind == NpmDependencyKind::Normal
                && optional.is_some_and(|optional| optional.contains_key(name))
            {
                continue;
            }
            all.push(NpmDependency {
                name: name.clone(),
                requirement: requirement.trim().to_owned(),
                kind,
                optional: kind == NpmDependencyKind::Optional
                    || kind == NpmDependencyKind::Peer && may_be_missing(name),
            });
        }
    }
    all
}
