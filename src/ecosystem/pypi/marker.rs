//! PEP 508 markers (`python_version < "3.9" and extra == "docs"`), parsed and evaluated as
//! `packaging` does.

use std::collections::{BTreeMap, BTreeSet};

use super::{super::Refused, collapsed, specifier::Requirement};

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
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
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
    left: Side,
    operator: &'static str,
    right: Side,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Side {
    Variable(&'static str),
    Text(String),
}

impl Side {
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
    pub fn parse(text: &str) -> Result<Self, Refused> {
        let mut scanner = Scanner {
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
                    return Err(Refused(format!(
                        "has brackets nested more than {MAX_DEPTH} deep"
                    )));
                }
                continue;
            }
            steps.push(Step::Comparison(scanner.comparison()?));
            scanner.blanks();
            while scanner.rest.starts_with(')') {
                work_off(&mut pending, &mut steps, Join::Or);
                if pending.pop().is_none() {
                    return Err(Refused::because(
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
            return Err(Refused::because(
                "must have and, or, or nothing behind a condition",
            ));
        }
        work_off(&mut pending, &mut steps, Join::Or);
        if !pending.is_empty() {
            return Err(Refused::because(
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
        let is_extra = |side: &Side| *side == Side::Variable("extra");
        self.steps.iter().any(|step| match step {
            Step::Comparison(comparison) => {
                is_extra(&comparison.left) || is_extra(&comparison.right)
            }
            Step::Join(_) => false,
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
    ) -> Result<bool, Refused> {
        let mut values = Vec::new();
        for step in &self.steps {
            let value = match step {
                Step::Comparison(comparison) => comparison.holds(environment, extras)?,
                Step::Join(join) => {
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
fn work_off(pending: &mut Vec<Option<Join>>, steps: &mut Vec<Step>, join: Join) {
    while let Some(earlier) =
        pending.pop_if(|earlier| earlier.is_some_and(|earlier| earlier >= join))
    {
        steps.extend(earlier.map(Step::Join));
    }
}

impl Comparison {
    fn holds(
        &self,
        environment: &BTreeMap<String, String>,
        extras: &BTreeSet<String>,
    ) -> Result<bool, Refused> {
        let is_left = matches!(self.left, Side::Variable(_));
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
                return Err(Refused(format!(
                    "asks for {key}, which only lock files know"
                )));
            }
            _ => environment.get(key).cloned().ok_or_else(|| {
                Refused(format!(
                    "asks for {}, which the environment does not say",
                    key.escape_debug()
                ))
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
            operator => Err(Refused(format!(
                "compares with {operator} what is no version"
            ))),
        }
    }

    fn asks_of(&self, extras: &BTreeSet<String>, text: &str) -> Result<bool, Refused> {
        match self.operator {
            "==" => Ok(extras.contains(text)),
            "!=" => Ok(!extras.contains(text)),
            operator => Err(Refused(format!(
                "compares an extra with {operator}, where == and != may be"
            ))),
        }
    }
}

struct Scanner<'a> {
    rest: &'a str,
    /// The character before `rest`.
    before: Option<char>,
}

impl Scanner<'_> {
    fn comparison(&mut self) -> Result<Comparison, Refused> {
        let mut left = self.side()?;
        self.blanks();
        let operator = self.operator()?;
        self.blanks();
        let mut right = self.side()?;
        match (&mut left, &mut right) {
            (Side::Variable("extra"), Side::Text(text))
            | (Side::Text(text), Side::Variable("extra")) => {
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

    fn side(&mut self) -> Result<Side, Refused> {
        if let Some(name) = self.word(&VARIABLES) {
            return Ok(Side::Variable(name));
        }
        let old = OLD_NAMES.map(|(old, _)| old);
        if let Some(name) = self.word(&old) {
            let today = OLD_NAMES.iter().find(|(old, _)| *old == name);
            return Ok(Side::Variable(today.map_or(name, |(_, today)| today)));
        }
        for quote in ["'", "\""] {
            if !self.sign(quote) {
                continue;
            }
            let (text, rest) = self
                .rest
                .split_once(quote)
                .ok_or_else(|| Refused::because("has a quoted text that does not end"))?;
            if text.chars().any(|c| c == '\\' || c.is_control()) {
                return Err(Refused::because(
                    "has a backslash or a control character in a quoted text",
                ));
            }
            (self.rest, self.before) = (rest, quote.chars().next());
            return Ok(Side::Text(text.to_owned()));
        }
        Err(Refused::because(
            "must compare such as python_version or extra with a quoted text",
        ))
    }

    fn operator(&mut self) -> Result<&'static str, Refused> {
        if self.word(&["in"]).is_some() {
            return Ok("in");
        }
        if self.word(&["not"]).is_some() {
            let is_apart = self.blanks();
            return match self.word(&["in"]) {
                Some(_) if is_apart => Ok("not in"),
                _ => Err(Refused::because("must have in behind not")),
            };
        }
        let found = ["===", "==", "~=", "!=", "<=", ">=", "<", ">"]
            .into_iter()
            .find(|sign| self.sign(sign));
        found.ok_or_else(|| {
            Refused::because("must compare with one of == != <= >= < > ~= === in and not in")
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
