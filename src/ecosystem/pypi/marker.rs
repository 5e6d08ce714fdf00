//! PEP 508 markers (`python_version < "3.9" and extra == "docs"`), parsed and evaluated as
//! `packaging` does.

use std::collections::{BTreeMap, BTreeSet};

use super::{super::InvalidText, collapsed, specifier::Requirement};

/// Deepest nesting of parentheses that `packaging` accepts.
const MAX_DEPTH: usize = 200;

/// The variables in their current spelling.
const VARIABLES: [&str; 14] = [
    "python_version",
    "python_full_version",
    "os_name",
    "sys_platform",
    "platform_release",
    "platform_system",
    "platform_version",
    "platform_machine",
    "platform_python_implementation",
    "implementation_name",
    "implementation_version",
    "extra",
    "extras",
    "dependency_groups",
];
/// Deprecated spellings.
const OLD_NAMES: [(&str, &str); 6] = [
    ("os.name", "os_name"),
    ("sys.platform", "sys_platform"),
    ("platform.version", "platform_version"),
    ("platform.machine", "platform_machine"),
    (
        "platform.python_implementation",
        "platform_python_implementation",
    ),
    ("python_implementation", "platform_python_implementation"),
];
/// Variables that are compared as versions if both sides are versions.
const VERSIONS: [&str; 4] = [
    "python_version",
    "python_full_version",
    "implementation_version",
    "platform_release",
];

/// A marker: comparisons joined by `and`, `or` and parentheses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    text: String,
    /// In evaluation order: both operands before the operator.
    steps: Vec<MarkerStep>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum MarkerStep {
    Comparison(Comparison),
    Join(Join),
}

/// The operator that binds tighter is the greater one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Join {
    Or,
    And,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Comparison {
    left: Operand,
    operator: &'static str,
    right: Operand,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operand {
    Variable(&'static str),
    Text(String),
}

impl Operand {
    fn as_str(&self) -> &str {
        match self {
            Self::Variable(name) => name,
            Self::Text(text) => text,
        }
    }
}

impl Marker {
    /// Parses a marker.
    ///
    /// # Errors
    /// `packaging` rejects it, or a quoted text has a backslash or a control character.
    pub fn parse(text: &str) -> Result<Self, InvalidText> {
        let mut scanner = MarkerScanner {
            rest: text,
            before: None,
        };
        let mut steps = Vec::new();
        // Operators still to be applied; `None` marks an open parenthesis.
        let mut pending: Vec<Option<Join>> = Vec::new();
        loop {
            scanner.blanks();
            if scanner.sign("(") {
                pending.push(None);
                if pending.iter().filter(|join| join.is_none()).count() > MAX_DEPTH {
                    return Err(InvalidText(format!(
                        "has brackets nested more than {MAX_DEPTH} deep"
                    )));
                }
                continue;
            }
            steps.push(MarkerStep::Comparison(scanner.comparison()?));
            scanner.blanks();
            while scanner.rest.starts_with(')') {
                work_off(&mut pending, &mut steps, Join::Or);
                if pending.pop().is_none() {
                    return Err(InvalidText::because(
                        "has a closing bracket without an opening one",
                    ));
                }
                scanner.sign(")");
                scanner.blanks();
            }
            let join = match scanner.word(&["and", "or"]) {
                Some("and") => Join::And,
                Some(_) => Join::Or,
                None => break,
            };
            work_off(&mut pending, &mut steps, join);
            pending.push(Some(join));
        }
        if !scanner.rest.is_empty() {
            return Err(InvalidText::because(
                "has something other than `and` or `or` after a condition",
            ));
        }
        work_off(&mut pending, &mut steps, Join::Or);
        if !pending.is_empty() {
            return Err(InvalidText::because(
                "has an opening bracket without a closing one",
            ));
        }
        Ok(Self {
            text: text.to_owned(),
            steps,
        })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns true if it depends on the requested extras.
    pub fn asks_for_extra(&self) -> bool {
        let is_extra = |side: &Operand| *side == Operand::Variable("extra");
        self.steps.iter().any(|step| match step {
            MarkerStep::Comparison(comparison) => {
                is_extra(&comparison.left) || is_extra(&comparison.right)
            }
            MarkerStep::Join(_) => false,
        })
    }

    /// Evaluates the marker in an environment (`python_version`, `sys_platform`, …) with these
    /// requested extras in normal form.
    ///
    /// # Errors
    /// It compares values that cannot be compared, or uses a variable missing from the environment,
    /// even if the result did not depend on it.
    pub fn holds(
        &self,
        environment: &BTreeMap<String, String>,
        extras: &BTreeSet<String>,
    ) -> Result<bool, InvalidText> {
        let mut values = Vec::new();
        for step in &self.steps {
            let value = match step {
                MarkerStep::Comparison(comparison) => comparison.holds(environment, extras)?,
                MarkerStep::Join(join) => {
                    let (right, left) = (
                        values.pop().unwrap_or_default(),
                        values.pop().unwrap_or_default(),
                    );
                    if *join == Join::And {
                        left && right
                    } else {
                        left || right
                    }
                }
            };
            values.push(value);
        }
        Ok(values.pop().unwrap_or_default())
    }
}

/// Applies pending operators that bind at least as tightly as `join`, back to the last open
/// parenthesis.
fn work_off(pending: &mut Vec<Option<Join>>, steps: &mut Vec<MarkerStep>, join: Join) {
    while let Some(earlier) =
        pending.pop_if(|earlier| earlier.is_some_and(|earlier| earlier >= join))
    {
        steps.extend(earlier.map(MarkerStep::Join));
    }
}

impl Comparison {
    fn holds(
        &self,
        environment: &BTreeMap<String, String>,
        extras: &BTreeSet<String>,
    ) -> Result<bool, InvalidText> {
        let is_left = matches!(self.left, Operand::Variable(_));
        // If neither side is a variable, `packaging` takes the right one for a variable's name.
        let (key, text) = if is_left {
            (&self.left, &self.right)
        } else {
            (&self.right, &self.left)
        };
        let (key, text) = (key.as_str(), text.as_str());
        let value = match key {
            "extra" if !extras.is_empty() => return self.asks_of(extras, text),
            "extra" => String::new(),
            "extras" | "dependency_groups" => {
                return Err(InvalidText(format!(
                    "asks for {key}, which only lock files know"
                )));
            }
            _ => environment.get(key).cloned().ok_or_else(|| {
                InvalidText(format!("asks for {}, which is unknown", key.escape_debug()))
            })?,
        };
        // Python appends `+` if it was built between two releases.
        let value = if key == "python_full_version" && value.ends_with('+') {
            value + "local"
        } else {
            value
        };
        let (left, right) = if is_left {
            (value.as_str(), text)
        } else {
            (text, value.as_str())
        };
        if VERSIONS.contains(&key)
            && let Ok(asked) = Requirement::one(&format!("{}{right}", self.operator))
        {
            return Ok(asked.matches_text(left));
        }
        // Texts have no order.
        match self.operator {
            "==" | "<=" | ">=" => Ok(left == right),
            "!=" => Ok(left != right),
            "<" | ">" => Ok(false),
            "in" => Ok(right.contains(left)),
            "not in" => Ok(!right.contains(left)),
            operator => Err(InvalidText(format!(
                "compares with {operator} something that is not a version"
            ))),
        }
    }

    fn asks_of(&self, extras: &BTreeSet<String>, text: &str) -> Result<bool, InvalidText> {
        match self.operator {
            "==" => Ok(extras.contains(text)),
            "!=" => Ok(!extras.contains(text)),
            operator => Err(InvalidText(format!(
                "compares an extra with {operator}; only == and != are allowed"
            ))),
        }
    }
}

struct MarkerScanner<'a> {
    rest: &'a str,
    /// The character before `rest`.
    before: Option<char>,
}

impl MarkerScanner<'_> {
    fn comparison(&mut self) -> Result<Comparison, InvalidText> {
        let mut left = self.side()?;
        self.blanks();
        let operator = self.operator()?;
        self.blanks();
        let mut right = self.side()?;
        match (&mut left, &mut right) {
            (Operand::Variable("extra"), Operand::Text(text))
            | (Operand::Text(text), Operand::Variable("extra")) => {
                *text = collapsed(text);
            }
            _ => {}
        }
        Ok(Comparison {
            left,
            operator,
            right,
        })
    }

    fn side(&mut self) -> Result<Operand, InvalidText> {
        if let Some(name) = self.word(&VARIABLES) {
            return Ok(Operand::Variable(name));
        }
        let old = OLD_NAMES.map(|(old, _)| old);
        if let Some(name) = self.word(&old) {
            let today = OLD_NAMES.iter().find(|(old, _)| *old == name);
            return Ok(Operand::Variable(today.map_or(name, |(_, today)| today)));
        }
        for quote in ["'", "\""] {
            if !self.sign(quote) {
                continue;
            }
            let (text, rest) = self
                .rest
                .split_once(quote)
                .ok_or_else(|| InvalidText::because("has a quoted text without an end"))?;
            if text.chars().any(|c| c == '\\' || c.is_control()) {
                return Err(InvalidText::because(
                    "has a backslash or a control character in a quoted text",
                ));
            }
            (self.rest, self.before) = (rest, quote.chars().next());
            return Ok(Operand::Text(text.to_owned()));
        }
        Err(InvalidText::because(
            "must compare a variable such as python_version or extra with a quoted text",
        ))
    }

    fn operator(&mut self) -> Result<&'static str, InvalidText> {
        if self.word(&["in"]).is_some() {
            return Ok("in");
        }
        if self.word(&["not"]).is_some() {
            let is_apart = self.blanks();
            return match self.word(&["in"]) {
                Some(_) if is_apart => Ok("not in"),
                _ => Err(InvalidText::because("must have `in` after `not`")),
            };
        }
        let found = ["===", "==", "~=", "!=", "<=", ">=", "<", ">"]
            .into_iter()
            .find(|sign| self.sign(sign));
        found.ok_or_else(|| {
            InvalidText::because("must compare with one of == != <= >= < > ~= === in and not in")
        })
    }

    /// Consumes one of the words if it comes next as a whole.
    fn word(&mut self, words: &[&'static str]) -> Option<&'static str> {
        if self.before.is_some_and(is_word) {
            return None;
        }
        let is_whole = |word: &&&str| {
            self.rest
                .strip_prefix(**word)
                .is_some_and(|rest| !rest.starts_with(is_word))
        };
        let word = *words.iter().find(is_whole)?;
        self.sign(word);
        Some(word)
    }

    fn sign(&mut self, sign: &str) -> bool {
        let rest = self.rest.strip_prefix(sign);
        if let Some(rest) = rest {
            (self.rest, self.before) = (rest, sign.chars().next_back());
        }
        rest.is_some()
    }

    fn blanks(&mut self) -> bool {
        let rest = self.rest.trim_start_matches([' ', '\t']);
        let found = rest.len() < self.rest.len();
        if found {
            (self.rest, self.before) = (rest, Some(' '));
        }
        found
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
