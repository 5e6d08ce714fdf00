//! Styles by meaning. Colours come from a theme; without colour, weight and reverse video are used.

use std::{fs, path::Path};

use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;

use crate::{RegistryError, Result, bus::Level, error::toml_error};

/// The built-in themes, in the order of the key that steps through them.
const BUILT_IN: [(&str, &str); 4] = [
    ("dark", include_str!("../../assets/themes/dark.toml")),
    ("light", include_str!("../../assets/themes/light.toml")),
    (
        "contrast",
        include_str!("../../assets/themes/contrast.toml"),
    ),
    (
        "colour-blind",
        include_str!("../../assets/themes/colour-blind.toml"),
    ),
];

/// Least contrast of text to background: level AA of
/// <https://www.w3.org/TR/WCAG22/#contrast-minimum>.
const CONTRAST: f64 = 4.5;

/// A 24-bit colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Rgb([u8; 3]);

impl TryFrom<String> for Rgb {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a colour; an example is \"#62c4dc\"");
        let hex = text
            .strip_prefix('#')
            .filter(|hex| hex.len() == 6 && hex.is_ascii())
            .ok_or_else(wrong)?;
        let number = u32::from_str_radix(hex, 16).map_err(|_| wrong())?;
        let [_, r, g, b] = number.to_be_bytes();
        Ok(Self([r, g, b]))
    }
}

impl Rgb {
    /// Returns the relative luminance, from 0 to 1:
    /// <https://www.w3.org/TR/WCAG22/#dfn-relative-luminance>.
    fn luminance(self) -> f64 {
        let [r, g, b] = self.0.map(|channel| {
            let share = f64::from(channel) / 255.0;
            if share <= 0.04045 {
                share / 12.92
            } else {
                ((share + 0.055) / 1.055).powf(2.4)
            }
        });
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    /// Returns the contrast ratio, from 1 to 21:
    /// <https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio>.
    fn contrast(self, other: Self) -> f64 {
        let (a, b) = (self.luminance(), other.luminance());
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// Returns the nearest of xterm's 256 colours, from the 6 × 6 × 6 cube or the greys.
    fn to_256(self) -> u8 {
        const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];
        let nearest = |channel: u8| {
            (0u8..6)
                .min_by_key(|step| {
                    STEPS
                        .get(usize::from(*step))
                        .map_or(255, |at| at.abs_diff(channel))
                })
                .unwrap_or(0)
        };
        let distance = |[r, g, b]: [u8; 3]| {
            self.0
                .iter()
                .zip([r, g, b])
                .map(|(a, b)| u32::from(a.abs_diff(b)).pow(2))
                .sum::<u32>()
        };
        let cube = self.0.map(nearest);
        let in_cube = cube.map(|step| STEPS.get(usize::from(step)).copied().unwrap_or(0));
        let grey = (0u8..24)
            .min_by_key(|step| distance([8 + 10 * step; 3]))
            .unwrap_or(0);
        let [r, g, b] = cube;
        if distance([8 + 10 * grey; 3]) < distance(in_cube) {
            232 + grey
        } else {
            16 + 36 * r + 6 * g + b
        }
    }
}

/// The content of a theme file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct ThemeColours {
    background: Rgb,
    text: Rgb,
    dim: Rgb,
    title: Rgb,
    key: Rgb,
    good: Rgb,
    fair: Rgb,
    bad: Rgb,
    link: Rgb,
    selected_background: Rgb,
    selected_text: Rgb,
}

impl ThemeColours {
    /// Lists the pairs of colours with too little contrast.
    fn unreadable(&self) -> Vec<String> {
        let on_ground = [
            ("text", self.text),
            ("dim", self.dim),
            ("title", self.title),
            ("key", self.key),
            ("good", self.good),
            ("fair", self.fair),
            ("bad", self.bad),
            ("link", self.link),
        ];
        let pairs = on_ground
            .into_iter()
            .map(|(name, colour)| (name, colour, "background", self.background));
        let selected = (
            "selected_text",
            self.selected_text,
            "selected_background",
            self.selected_background,
        );
        pairs
            .chain([selected])
            .map(|(name, colour, on, ground)| (name, on, colour.contrast(ground)))
            .filter(|(_, _, contrast)| *contrast < CONTRAST)
            .map(|(name, on, contrast)| {
                format!(
                    "{name} on {on} has a contrast of {contrast:.1}, below the minimum of \
                         {CONTRAST}"
                )
            })
            .collect()
    }
}

/// The number of colours that the terminal supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Colours are not wanted, or not supported.
    None,
    Colours256,
    True,
}

#[derive(Clone, Copy, Debug)]
pub struct Theme {
    palette: Option<ThemeColours>,
    depth: Depth,
}

/// A theme with its name.
#[derive(Clone, Debug)]
struct NamedTheme {
    name: String,
    palette: ThemeColours,
}

/// The available themes, and the current one.
#[derive(Clone, Debug)]
pub struct Themes {
    all: Vec<NamedTheme>,
    at: usize,
    depth: Depth,
}

impl Themes {
    /// Loads the built-in themes and each `NAME.toml` in `dir`, and selects `chosen`.
    ///
    /// # Errors
    /// [`RegistryError::Usage`] if `chosen` does not exist, or if its file is wrong or its colours
    /// have too little contrast.
    pub fn load(chosen: &str, dir: Option<&Path>, depth: Depth) -> Result<Self> {
        let mut all = Vec::new();
        for (name, text) in BUILT_IN {
            let palette = toml::from_str(text).map_err(|error| RegistryError::Internal {
                what: "reading a theme",
                why: error.to_string(),
            })?;
            all.push(NamedTheme {
                name: name.to_owned(),
                palette,
            });
        }
        let own = dir
            .and_then(|dir| fs::read_dir(dir).ok())
            .into_iter()
            .flatten()
            .flatten();
        let mut paths: Vec<_> = own.map(|entry| entry.path()).collect();
        paths.retain(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        });
        paths.sort();
        for path in paths {
            let Some(name) = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .map(str::to_owned)
            else {
                continue;
            };
            // A broken theme that is not selected must not keep the explorer from starting.
            match own_theme(&path) {
                Ok(palette) => all.push(NamedTheme { name, palette }),
                Err(error) if name == chosen => return Err(error),
                Err(error) => tracing::warn!(%error, "skipping a theme"),
            }
        }
        let at = all
            .iter()
            .position(|theme| theme.name == chosen)
            .ok_or_else(|| {
                let known: Vec<&str> = all.iter().map(|theme| theme.name.as_str()).collect();
                RegistryError::Usage(format!(
                    "there is no theme {chosen}; choose from {}",
                    known.join(", ")
                ))
            })?;
        Ok(Self { all, at, depth })
    }

    /// Selects the next theme and returns its name.
    pub fn step(&mut self) -> String {
        self.at = (self.at + 1) % self.all.len().max(1);
        match self.depth {
            Depth::None => {
                "no theme: colours are off (NO_COLOR is set, or the terminal has none)".to_owned()
            }
            _ => format!(
                "theme {}",
                self.all
                    .get(self.at)
                    .map_or("", |theme| theme.name.as_str())
            ),
        }
    }

    pub fn current(&self) -> Theme {
        Theme {
            palette: self.all.get(self.at).map(|theme| theme.palette),
            depth: self.depth,
        }
    }
}

fn own_theme(path: &Path) -> Result<ThemeColours> {
    let text = fs::read_to_string(path).map_err(RegistryError::file(path, "read"))?;
    let palette: ThemeColours =
        toml::from_str(&text).map_err(|error| toml_error(path, &text, &error))?;
    let unreadable = palette.unreadable();
    if unreadable.is_empty() {
        return Ok(palette);
    }
    Err(RegistryError::Usage(format!(
        "{}: {}; choose colours further apart",
        path.display(),
        unreadable.join("; ")
    )))
}

impl Theme {
    /// Returns a theme without colours, which uses weight and reverse video only.
    pub fn plain() -> Self {
        Self {
            palette: None,
            depth: Depth::None,
        }
    }

    fn colour(self, of: impl Fn(&ThemeColours) -> Rgb) -> Option<Color> {
        let colour = of(self.palette.as_ref()?);
        match self.depth {
            Depth::None => None,
            Depth::Colours256 => Some(Color::Indexed(colour.to_256())),
            Depth::True => {
                let [r, g, b] = colour.0;
                Some(Color::Rgb(r, g, b))
            }
        }
    }

    fn with(self, of: impl Fn(&ThemeColours) -> Rgb, modifier: Modifier) -> Style {
        Style {
            fg: self.colour(of),
            ..Style::new()
        }
        .add_modifier(modifier)
    }

    /// Style of everything without a style of its own.
    pub fn ground(self) -> Style {
        Style {
            fg: self.colour(|p| p.text),
            bg: self.colour(|p| p.background),
            ..Style::new()
        }
    }

    pub fn text(self) -> Style {
        Style::new()
    }

    pub fn title(self) -> Style {
        self.with(|p| p.title, Modifier::BOLD)
    }

    /// A name or value to notice.
    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Labels, and things that are not available now.
    pub fn dim(self) -> Style {
        match self.colour(|p| p.dim) {
            Some(colour) => Style::new().fg(colour),
            None => Style::new().add_modifier(Modifier::DIM),
        }
    }

    pub fn good(self) -> Style {
        self.with(|p| p.good, Modifier::empty())
    }

    pub fn fair(self) -> Style {
        self.with(|p| p.fair, Modifier::empty())
    }

    pub fn bad(self) -> Style {
        self.with(|p| p.bad, Modifier::BOLD)
    }

    pub fn link(self) -> Style {
        self.with(|p| p.link, Modifier::empty())
    }

    pub fn selected(self) -> Style {
        match (
            self.colour(|p| p.selected_text),
            self.colour(|p| p.selected_background),
        ) {
            (Some(text), Some(ground)) => Style::new().fg(text).bg(ground),
            _ => Style::new().add_modifier(Modifier::REVERSED),
        }
    }

    /// A marked row: underlined, so that it is visible without colour.
    pub fn marked(self) -> Style {
        self.with(|p| p.title, Modifier::UNDERLINED)
    }

    /// A key in the footer.
    pub fn key(self) -> Style {
        self.with(|p| p.key, Modifier::BOLD)
    }

    /// Colours a share from 0 to 1 where more is better: good from 0.5, fair from 0.15.
    pub fn share(self, share: f64) -> Style {
        match share {
            share if share >= 0.5 => self.good(),
            share if share >= 0.15 => self.fair(),
            _ => self.bad(),
        }
    }

    pub fn level(self, level: Level) -> Style {
        match level {
            Level::Info => self.text(),
            Level::Warning => self.fair(),
            Level::Error => self.bad(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_themes_can_be_read() {
        let themes = Themes::load("dark", None, Depth::True).unwrap();
        assert_eq!(themes.all.len(), BUILT_IN.len());
        for theme in &themes.all {
            assert_eq!(
                theme.palette.unreadable(),
                Vec::<String>::new(),
                "{}",
                theme.name
            );
        }
        let highest = themes
            .all
            .iter()
            .find(|theme| theme.name == "contrast")
            .unwrap();
        assert!(highest.palette.text.contrast(highest.palette.background) > 20.9);
    }

    #[test]
    fn own_themes_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        let (_, dark) = BUILT_IN[0];
        fs::write(
            dir.path().join("mine.toml"),
            dark.replace("#d5dae3", "#eeeeee"),
        )
        .unwrap();
        fs::write(
            dir.path().join("mud.toml"),
            dark.replace("#d5dae3", "#222222"),
        )
        .unwrap();
        fs::write(dir.path().join("typo.toml"), dark.replace("#d5dae3", "red")).unwrap();
        let load = |name| Themes::load(name, Some(dir.path()), Depth::True);
        let mut themes = load("mine").unwrap();
        assert_eq!(
            themes.step(),
            "theme dark",
            "round to the first, without those that are wrong"
        );
        assert!(
            load("mud")
                .unwrap_err()
                .to_string()
                .contains("text on background has a contrast of 1.1")
        );
        assert!(
            load("typo")
                .unwrap_err()
                .to_string()
                .contains("is not a colour")
        );
        assert!(
            load("none")
                .unwrap_err()
                .to_string()
                .contains("there are dark, light, contrast, colour-blind, mine")
        );
    }

    #[test]
    fn colours_are_reduced_to_what_the_terminal_has() {
        let rgb = |text: &str| Rgb::try_from(text.to_owned()).unwrap();
        assert_eq!(rgb("#000000").to_256(), 16);
        assert_eq!(rgb("#ffffff").to_256(), 231);
        assert_eq!(rgb("#ff0000").to_256(), 196);
        assert_eq!(rgb("#080808").to_256(), 232);
        assert_eq!(
            Themes::load("dark", None, Depth::None)
                .unwrap()
                .current()
                .good()
                .fg,
            None
        );
    }
}
