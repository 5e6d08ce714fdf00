//! Parses file names of wheels and source distributions as strictly as `packaging` does. In
//! addition, a file name must be visible ASCII without slashes, and the package's name in it must
//! be valid.

use super::{
    super::{Ecosystem, InvalidText, Version},
    normalise,
};

/// Longest file name in bytes, as on most file systems.
const MAX_FILE_NAME: usize = 255;

/// A built distribution: `name-version(-build)?-python-abi-platform.whl`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wheel {
    /// The name in the file name, which may differ from the package's: `zope_interface` for
    /// `zope.interface`.
    pub name: String,
    pub version: Version,
    pub build: Option<Build>,
    /// Interpreters, such as `py3` or `cp312`. The wheel supports each of them with each ABI and
    /// each platform.
    pub pythons: Vec<String>,
    pub abis: Vec<String>,
    pub platforms: Vec<String>,
}

/// The tie-breaker between otherwise equal wheels: the higher number, then the text after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// Decimal digits of any length, without leading zeros.
    pub number: String,
    pub suffix: String,
}

/// A source distribution: `name-version.tar.gz`, or `.zip` in the past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// The name in the file name.
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
    /// Parses the name of a wheel or a source distribution.
    ///
    /// # Errors
    /// It is neither.
    pub fn parse(name: &str) -> Result<Self, InvalidText> {
        if name.ends_with(".whl") {
            Wheel::parse(name).map(Self::Wheel)
        } else {
            SourceFile::parse(name).map(Self::Source)
        }
    }

    /// Returns the package's name as in the file name.
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
    /// Parses the name of a wheel.
    ///
    /// # Errors
    /// It is no such name.
    pub fn parse(name: &str) -> Result<Self, InvalidText> {
        check_characters(name)?;
        let stem = name
            .strip_suffix(".whl")
            .ok_or_else(|| InvalidText::because("must end with .whl"))?;
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
                return Err(InvalidText::because(
                    "must have five parts with hyphens between them, or six with a build tag, as \
                    name-1.0-py3-none-any.whl has",
                ));
            }
        };
        if name.contains("__") {
            return Err(InvalidText::because(
                "has two underscores in a row in the package's name",
            ));
        }
        let pythons = tags(pythons)?;
        let is_identifier = |tag: &String| {
            !tag.starts_with(|c: char| c.is_ascii_digit()) && tag.bytes().all(is_word)
        };
        if !pythons.iter().all(is_identifier) {
            return Err(InvalidText::because(
                "has an interpreter tag that is not an identifier",
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
    fn parse(text: &str) -> Result<Self, InvalidText> {
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
            _ => Err(InvalidText::because(
                "has a build tag that does not start with a digit",
            )),
        }
    }
}

impl SourceFile {
    /// Parses the name of a source distribution.
    ///
    /// # Errors
    /// It is no such name.
    pub fn parse(name: &str) -> Result<Self, InvalidText> {
        check_characters(name)?;
        let packings = [(".tar.gz", Packing::TarGz), (".zip", Packing::Zip)];
        let found = packings
            .iter()
            .find_map(|(suffix, packing)| Some((name.strip_suffix(suffix)?, *packing)));
        let (stem, packing) =
            found.ok_or_else(|| InvalidText::because("must end with .whl, .tar.gz or .zip"))?;
        // A name may have a hyphen, but a version may not.
        let (name, version) = stem
            .rsplit_once('-')
            .ok_or_else(|| InvalidText::because("must be named like name-1.0.tar.gz"))?;
        let (name, version) = release(name, version)?;
        Ok(Self {
            name,
            version,
            packing,
        })
    }
}

fn check_characters(name: &str) -> Result<(), InvalidText> {
    if name.len() > MAX_FILE_NAME {
        return Err(InvalidText(format!("is longer than {MAX_FILE_NAME} bytes")));
    }
    if !name
        .bytes()
        .all(|b| b.is_ascii_graphic() && !b"/\\".contains(&b))
    {
        return Err(InvalidText::because(
            "may only have visible ASCII characters except slashes",
        ));
    }
    Ok(())
}

fn release(name: &str, version: &str) -> Result<(String, Version), InvalidText> {
    normalise(name).map_err(|why| InvalidText(format!("has a name of a package that {why}")))?;
    let version = Ecosystem::Pypi
        .version(version)
        .map_err(|why| InvalidText(format!("has a version that {why}")))?;
    Ok((name.to_owned(), version))
}

/// Splits a compressed tag set, in lower case.
fn tags(text: &str) -> Result<Vec<String>, InvalidText> {
    if text.split('.').any(str::is_empty) {
        return Err(InvalidText::because("has an empty tag"));
    }
    Ok(text.split('.').map(str::to_ascii_lowercase).collect())
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}
