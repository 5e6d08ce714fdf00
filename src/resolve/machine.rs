//! Decides which dependencies of a release count on this machine.
//!
//! Dependencies needed to use a release are followed, if they apply always or on a machine such as
//! this one. Undecidable conditions count as true, except that dependencies of extras are left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    env::consts::{ARCH, FAMILY, OS},
    iter,
};

use crate::{
    domain::manifest::{Dependency, DependencyKind},
    ecosystem::{Ecosystem, InvalidText, pypi::marker::Marker},
};

/// The facts that conditions of dependencies refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    arch: &'static str,
    os: &'static str,
    /// The known variables of PEP 508.
    python: BTreeMap<String, String>,
}

impl Machine {
    /// Returns the machine that this program was built for. Its Python is unknown.
    pub fn here() -> Self {
        Self::of(ARCH, OS, FAMILY)
    }

    fn of(arch: &'static str, os: &'static str, family: &str) -> Self {
        let is_windows = family == "windows";
        let (platform, system) = match os {
            "macos" => ("darwin", "Darwin"),
            "windows" => ("win32", "Windows"),
            "linux" => ("linux", "Linux"),
            other => (other, other),
        };
        // As Python reports it.
        let machine = match (arch, os) {
            ("x86_64", "windows") => "AMD64",
            ("aarch64", "macos") => "arm64",
            ("aarch64", "windows") => "ARM64",
            ("x86", _) => "i686",
            _ => arch,
        };
        let python = [
            ("os_name", if is_windows { "nt" } else { "posix" }),
            ("sys_platform", platform),
            ("platform_system", system),
            ("platform_machine", machine),
        ];
        Self {
            arch,
            os,
            python: python
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        }
    }

    /// Sets the Python version, such as `3.11` or `3.11.7`.
    ///
    /// # Errors
    /// The text is not a version.
    pub fn with_python(mut self, version: &str) -> Result<Self, InvalidText> {
        Ecosystem::Pypi.version(version)?;
        let parts: Vec<&str> = version.split('.').collect();
        let (Some(major), Some(minor)) = (parts.first(), parts.get(1)) else {
            return Err(InvalidText(
                "needs two numbers at least, as 3.11 has".to_owned(),
            ));
        };
        self.python
            .insert("python_version".to_owned(), format!("{major}.{minor}"));
        if parts.len() > 2 {
            self.python
                .insert("python_full_version".to_owned(), version.to_owned());
        }
        Ok(self)
    }

    /// Returns the reason why a dependency of a release of `ecosystem` is not followed; `None` if
    /// it is.
    pub fn leaves_out(&self, dependency: &Dependency, ecosystem: &Ecosystem) -> Option<String> {
        let Dependency {
            kind,
            optional,
            under,
            marker,
            platform,
            ..
        } = dependency;
        if *kind != DependencyKind::Runtime {
            return Some(format!("it is of the kind {kind}"));
        }
        if let Some(under) = under {
            return Some(format!("only its feature or extra {under} needs it"));
        }
        if *optional {
            return Some("it is optional".to_owned());
        }
        match (ecosystem, platform, marker) {
            (Ecosystem::Cargo, Some(platform), _) if self.is_target(platform) == Some(false) => {
                Some(format!("it is for {platform}"))
            }
            (Ecosystem::Pypi, _, Some(marker)) => self.python_leaves_out(marker),
            _ => None,
        }
    }

    fn python_leaves_out(&self, text: &str) -> Option<String> {
        let marker = Marker::parse(text).ok()?;
        match marker.holds(&self.python, &BTreeSet::new()) {
            Ok(true) => None,
            Ok(false) => Some(format!("it is for {text}")),
            Err(_) if marker.asks_for_extra() => {
                Some(format!("it is for {text}, of which an extra is a part"))
            }
            // It may also be false for every existing Python.
            Err(_) => match self
                .pythons()
                .all(|python| marker.holds(&python, &BTreeSet::new()) == Ok(false))
            {
                true => Some(format!("it is for {text}")),
                false => None,
            },
        }
    }

    /// Returns the environments of all Pythons that this machine may have.
    fn pythons(&self) -> impl Iterator<Item = BTreeMap<String, String>> {
        let versions = iter::once((2, 7)).chain((0..=20).map(|minor| (3, minor)));
        let each = versions.flat_map(|version| {
            [("cpython", "CPython"), ("pypy", "PyPy")].map(|kind| (version, kind))
        });
        each.map(|((major, minor), (name, implementation))| {
            let mut python = self.python.clone();
            for (key, value) in [
                ("python_version", format!("{major}.{minor}")),
                ("python_full_version", format!("{major}.{minor}.0")),
                ("implementation_version", format!("{major}.{minor}.0")),
                ("implementation_name", name.to_owned()),
                ("platform_python_implementation", implementation.to_owned()),
            ] {
                python.entry(key.to_owned()).or_insert(value);
            }
            python
        })
    }

    /// Evaluates a cargo target, which is a triple or `cfg(…)`, for this machine; `None` if
    /// undecidable.
    fn is_target(&self, text: &str) -> Option<bool> {
        let Some(condition) = text
            .strip_prefix("cfg(")
            .and_then(|rest| rest.strip_suffix(')'))
        else {
            let os = if self.os == "macos" {
                "darwin"
            } else {
                self.os
            };
            let mut parts = text.split('-');
            return Some(parts.next() == Some(self.arch) && parts.any(|part| part == os));
        };
        let mut rest = condition;
        let holds = self.condition(&mut rest, 0)?;
        if rest.trim().is_empty() {
            holds.known()
        } else {
            None
        }
    }

    /// Parses and evaluates a condition at the front of a text; `None` if it cannot be parsed.
    fn condition(&self, rest: &mut &str, depth: usize) -> Option<Holds> {
        /// Deepest nesting of parentheses.
        const MAX_DEPTH: usize = 16;
        let text = rest.trim_start();
        let end = text
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(text.len());
        let (word, behind) = text
            .split_at_checked(end)
            .filter(|(word, _)| !word.is_empty() && depth < MAX_DEPTH)?;
        let behind = behind.trim_start();
        if let Some(list) = behind.strip_prefix('(') {
            *rest = list;
            let mut held = Vec::new();
            loop {
                *rest = rest.trim_start();
                if let Some(behind) = rest.strip_prefix(')') {
                    *rest = behind;
                    break;
                }
                held.push(self.condition(rest, depth + 1)?);
                *rest = rest.trim_start();
                *rest = match rest.strip_prefix(',') {
                    Some(behind) => behind,
                    None => rest.starts_with(')').then_some(*rest)?,
                };
            }
            return match (word, held.as_slice()) {
                ("all", held) => Some(held.iter().copied().min().unwrap_or(Holds::Yes)),
                ("any", held) => Some(held.iter().copied().max().unwrap_or(Holds::No)),
                ("not", [holds]) => Some(holds.not()),
                _ => None,
            };
        }
        if let Some(value) = behind.strip_prefix('=') {
            let (value, behind) = value.trim_start().strip_prefix('"')?.split_once('"')?;
            *rest = behind;
            return Some(self.is_set(word, Some(value)));
        }
        *rest = behind;
        Some(self.is_set(word, None))
    }

    fn is_set(&self, key: &str, value: Option<&str>) -> Holds {
        let is_windows = self.os == "windows";
        let holds = match (key, value) {
            ("unix", None) => !is_windows,
            ("windows", None) => is_windows,
            ("target_os", Some(os)) => os == self.os,
            ("target_arch", Some(arch)) => arch == self.arch,
            ("target_family", Some(family)) => {
                family == if is_windows { "windows" } else { "unix" }
            }
            ("target_pointer_width", Some(bits)) => bits == usize::BITS.to_string(),
            ("target_endian", Some(endian)) => {
                (endian == "little") == cfg!(target_endian = "little")
            }
            // Only Windows has it.
            ("target_env", Some("msvc")) if !is_windows => false,
            // Other options are only set by people who build it by hand.
            _ if key.starts_with("target_") || matches!(key, "panic" | "feature") => {
                return Holds::Unknown;
            }
            _ => false,
        };
        if holds { Holds::Yes } else { Holds::No }
    }
}

/// A truth value of which `all` is the minimum and `any` the maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Holds {
    No,
    Unknown,
    Yes,
}

impl Holds {
    fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
            Self::Yes => Self::No,
        }
    }

    fn known(self) -> Option<bool> {
        match self {
            Self::No => Some(false),
            Self::Unknown => None,
            Self::Yes => Some(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::version::RequirementText;

    fn linux() -> Machine {
        Machine::of("x86_64", "linux", "unix")
    }

    fn lib() -> Dependency {
        Dependency::bare("lib".parse().unwrap(), RequirementText::any())
    }

    #[test]
    fn targets_are_those_of_cargo() {
        for (target, holds) in [
            ("cfg(unix)", Some(true)),
            ("cfg(windows)", Some(false)),
            ("cfg(not(windows))", Some(true)),
            ("cfg(all(unix, target_arch = \"x86_64\"))", Some(true)),
            (
                "cfg(any(target_os=\"macos\",target_os = \"ios\",))",
                Some(false),
            ),
            ("cfg(all())", Some(true)),
            ("cfg(any())", Some(false)),
            ("cfg(target_env = \"gnu\")", None),
            ("cfg(tokio_unstable)", Some(false)),
            ("cfg(any(unix, target_env = \"musl\"))", Some(true)),
            (
                "cfg(all(target_arch = \"x86_64\", target_env = \"msvc\", not(windows_raw_dylib)))",
                Some(false),
            ),
            ("cfg(not(target_feature = \"sse4\"))", None),
            ("cfg(getrandom_backend = \"custom\")", Some(false)),
            ("cfg(unix windows)", None),
            ("cfg(not())", None),
            ("cfg(unix", Some(false)),
            ("x86_64-unknown-linux-gnu", Some(true)),
            ("x86_64-pc-windows-msvc", Some(false)),
            ("aarch64-unknown-linux-gnu", Some(false)),
        ] {
            assert_eq!(linux().is_target(target), holds, "{target}");
        }
        let windows = Machine::of("x86_64", "windows", "windows");
        assert_eq!(
            windows.is_target("cfg(all(windows, not(unix)))"),
            Some(true)
        );
    }

    #[test]
    fn markers_are_those_of_python_and_what_is_not_known_is_taken() {
        let out = |machine: &Machine, marker: &str| {
            let dependency = Dependency {
                marker: Some(marker.to_owned()),
                ..lib()
            };
            machine.leaves_out(&dependency, &Ecosystem::Pypi).is_some()
        };
        let old = linux().with_python("3.9.1").unwrap();
        for (marker, here, with_old) in [
            ("sys_platform == 'win32'", true, true),
            (
                "sys_platform == 'linux' and platform_machine == 'x86_64'",
                false,
                false,
            ),
            ("python_version < '3.11'", false, false),
            ("python_version >= '3.11'", false, true),
            ("python_full_version >= '3.9.2'", false, true),
            ("extra == 'docs'", true, true),
            ("extra == 'docs' and python_version < '3.11'", true, true),
            ("implementation_name == 'pypy'", false, false),
            (
                "sys_platform == 'win32' and python_version < '3.8'",
                true,
                true,
            ),
            ("python_version < '2.0'", true, true),
            (
                "sys_platform == 'linux' and platform_release == '6'",
                false,
                false,
            ),
        ] {
            assert_eq!(
                (out(&linux(), marker), out(&old, marker)),
                (here, with_old),
                "{marker}"
            );
        }
        assert!(linux().with_python("3").is_err() && linux().with_python("three").is_err());
    }

    #[test]
    fn what_is_needed_to_use_it_is_followed() {
        let fine = lib();
        assert_eq!(linux().leaves_out(&fine, &Ecosystem::Cargo), None);
        for other in [
            Dependency {
                optional: true,
                ..fine.clone()
            },
            Dependency {
                kind: DependencyKind::Build,
                ..fine.clone()
            },
            Dependency {
                kind: "post-install".parse().unwrap(),
                ..fine.clone()
            },
            Dependency {
                under: Some("tls".to_owned()),
                ..fine.clone()
            },
            Dependency {
                platform: Some("cfg(windows)".to_owned()),
                ..fine
            },
        ] {
            assert!(
                linux().leaves_out(&other, &Ecosystem::Cargo).is_some(),
                "{other:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_condition_is_read_without_panic(text in "\\PC{0,80}|cfg\\(((all|any|not|unix|target_os)[(), =\"a]{0,3}){0,40}\\)") {
            let _ = linux().is_target(&text);
        }
    }
}
