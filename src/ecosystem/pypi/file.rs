//! What the names of wheels and source distributions say, read as strictly as `packaging` does.
//! Beyond that, a name of a file is visible ASCII without slashes, and the package's name in it one
//! that a package may have.

use super::{
    super::{Ecosystem, Refused, Version},
    normalise,
};

/// Longest name of a file, in bytes: what file systems take.
const MAX_FILE_NAME: usize = 255;

/// A built distribution: `name-version(-build)?-python-abi-platform.whl`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wheel {
    /// As it is written there, which is not how the package writes it: `zope_interface` for
    /// `zope.interface`.
    pub name: String,
    pub version: Version,
    pub build: Option<Build>,
    /// Interpreters, such as `py3` or `cp312`; the wheel is for each of them with each ABI and each
    /// platform.
    pub pythons: Vec<String>,
    pub abis: Vec<String>,
    pub platforms: Vec<String>,
}

/// What decides between two wheels that are otherwise alike: the higher number, then the text
/// behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// Decimal digits, without leading zeros, of any length.
    pub number: String,
    pub suffix: String,
}

/// A source distribution: `name-version.tar.gz`, or `.zip` as there used to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// As it is written there.
    pub name: String,
    pub version: Version,
    pub packing: Packing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    TarGz,
    Zip,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileName {
    Wheel(Wheel),
    Source(SourceFile),
}

impl FileName {
    /// # Errors
    /// When it is the name of neither a wheel nor a source distribution.
    pub fn parse(name: &str) -> Result<Self, Refused> {
        if name.ends_with(".whl") {
            Wheel::parse(name).map(Self::Wheel)
        } else {
            SourceFile::parse(name).map(Self::Source)
        }
    }

    /// The package's name as the file's name has it.
    pub fn name(&self) -> &str {
        match self {
            Self::Wheel(wheel) => &wheel.name,
            Self::Source(source) => &source.name,
        }
    }

    pub fn version(&self) -> &Version {
        match self {
            Self::Wheel(wheel) => &wheel.version,
            Self::Source(source) => &source.version,
        }
    }
}

impl Wheel {
    /// # Errors
    /// When it is no name of a wheel.
    pub fn parse(name: &str) -> Result<Self, Refused> {
        check_characters(name)?;
        let stem = name
            .strip_suffix(".whl")
            .ok_or_else(|| Refused::because("must end with .whl"))?;
        let parts: Vec<&str> = stem.split('-').collect();
        let (name, version, build, [pythons, abis, platforms]) = match parts.as_slice() {
            [name, version, pythons, abis, platforms] => {
                (*name, *version, None, [*pythons, *abis, *platforms])
            }
            [name, version, build, pythons, abis, platforms] => (
                *name,
                *version,
                Some(Build::parse(build)?),
                [*pythons, *abis, *platforms],
            ),
            _ => {
                return Err(Refused::because(
                    "must have five parts with hyphens between them, or six with a build tag, as name-1.0-py3-none-any.whl has",
                ));
            }
        };
        if name.contains("__") {
            return Err(Refused::because(
                "has two underscores in a row in the package's name",
            ));
        }
        let pythons = tags(pythons)?;
        let is_identifier = |tag: &String| {
            !tag.starts_with(|c: char| c.is_ascii_digit()) && tag.bytes().all(is_word)
        };
        if !pythons.iter().all(is_identifier) {
            return Err(Refused::because(
                "has a tag for an interpreter that is no identifier",
            ));
        }
        let (name, version) = release(name, version)?;
        Ok(Self {
            name,
            version,
            build,
            pythons,
            abis: tags(abis)?,
            platforms: tags(platforms)?,
        })
    }
}

impl Build {
    fn parse(text: &str) -> Result<Self, Refused> {
        let end = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        match text.split_at_checked(end) {
            Some((digits, suffix)) if !digits.is_empty() => {
                let number = match digits.trim_start_matches('0') {
                    "" => "0",
                    number => number,
                };
                Ok(Self {
                    number: number.to_owned(),
                    suffix: suffix.to_owned(),
                })
            }
            _ => Err(Refused::because(
                "has a build tag that does not start with a digit",
            )),
        }
    }
}

impl SourceFile {
    /// # Errors
    /// When it is no name of a source distribution.
    pub fn parse(name: &str) -> Result<Self, Refused> {
        check_characters(name)?;
        let packings = [(".tar.gz", Packing::TarGz), (".zip", Packing::Zip)];
        let found = packings
            .iter()
            .find_map(|(suffix, packing)| Some((name.strip_suffix(suffix)?, *packing)));
        let (stem, packing) =
            found.ok_or_else(|| Refused::because("must end with .whl, .tar.gz or .zip"))?;
        // A name may have a hyphen, a version none.
        let (name, version) = stem
            .rsplit_once('-')
            .ok_or_else(|| Refused::because("must be named like name-1.0.tar.gz"))?;
        let (name, version) = release(name, version)?;
        Ok(Self {
            name,
            version,
            packing,
        })
    }
}

fn check_characters(name: &str) -> Result<(), Refused> {
    if name.len() > MAX_FILE_NAME {
        return Err(Refused(format!("is longer than {MAX_FILE_NAME} bytes")));
    }
    if !name
        .bytes()
        .all(|b| b.is_ascii_graphic() && !b"/\\".contains(&b))
    {
        return Err(Refused::because(
            "may have visible ASCII characters without slashes only",
        ));
    }
    Ok(())
}

fn release(name: &str, version: &str) -> Result<(String, Version), Refused> {
    normalise(name).map_err(|why| Refused(format!("has a name of a package that {why}")))?;
    let version = Ecosystem::Pypi
        .version(version)
        .map_err(|why| Refused(format!("has a version that {why}")))?;
    Ok((name.to_owned(), version))
}

/// The tags of a set that is written as one, in lower case.
fn tags(text: &str) -> Result<Vec<String>, Refused> {
    if text.split('.').any(str::is_empty) {
        return Err(Refused::because("has an empty tag"));
    }
    Ok(text.split('.').map(str::to_ascii_lowercase).collect())
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}
