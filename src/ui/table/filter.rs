//! The filter language: terms that a row must match.
//!
//! `berlin` in any column · `agent:swarmdex` in one column · `score:<0.4`, `rtt:>=200`,
//! `packages:=12` compare numbers ·
//! `-berlin` excludes · `"two words"` is one term. A row must match all terms.

use tui_input::Input;

use super::column::Column;

/// The value of a row in a column.
#[derive(Clone, Debug, PartialEq)]
pub enum CellValue {
    Text(String),
    Number(f64),
    Nothing,
}

impl CellValue {
    pub fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        if text.is_empty() {
            Self::Nothing
        } else {
            Self::Text(text)
        }
    }

    pub fn number(number: Option<f64>) -> Self {
        number
            .filter(|number| !number.is_nan())
            .map_or(Self::Nothing, Self::Number)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compare {
    Less,
    AtMost,
    More,
    AtLeast,
    Equal,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    Contains(String),
    Number(Compare, f64),
}

#[derive(Clone, Debug, PartialEq)]
struct Term {
    /// `None` for any column.
    column: Option<&'static str>,
    test: Test,
    negated: bool,
}

/// The parsed text of a filter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FilterTerms {
    terms: Vec<Term>,
    /// The first mistake and how to correct it. That term is ignored.
    pub problem: Option<String>,
}

impl FilterTerms {
    pub fn parse(text: &str, columns: &[Column]) -> Self {
        let mut out = Self::default();
        for word in words(text) {
            match term(&word, columns) {
                Ok(Some(term)) => out.terms.push(term),
                Ok(None) => {}
                Err(problem) => drop(out.problem.get_or_insert(problem)),
            }
        }
        out
    }

    /// Returns true if a row matches all terms; `value` returns its value in a column.
    pub fn pass(&self, columns: &[Column], value: impl Fn(&'static str) -> CellValue) -> bool {
        self.terms.iter().all(|term| {
            let holds = match term.column {
                Some(column) => term.test.holds(&value(column)),
                None => columns
                    .iter()
                    .filter(|column| !column.picture)
                    .any(|column| term.test.holds(&value(column.key))),
            };
            holds != term.negated
        })
    }
}

impl Test {
    fn holds(&self, value: &CellValue) -> bool {
        match (self, value) {
            (Self::Contains(wanted), CellValue::Text(text)) => text.to_lowercase().contains(wanted),
            (Self::Contains(wanted), CellValue::Number(number)) => number.to_string() == *wanted,
            (Self::Number(compare, limit), CellValue::Number(number)) => match compare {
                Compare::Less => number < limit,
                Compare::AtMost => number <= limit,
                Compare::More => number > limit,
                Compare::AtLeast => number >= limit,
                Compare::Equal => (number - limit).abs() < 1e-9,
            },
            _ => false,
        }
    }
}

/// Splits at spaces outside quotes.
fn words(text: &str) -> Vec<String> {
    let (mut out, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => {
                if !word.is_empty() {
                    out.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        out.push(word);
    }
    out
}

fn term(word: &str, columns: &[Column]) -> Result<Option<Term>, String> {
    let (negated, word) = match word.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, word),
    };
    if word.is_empty() {
        return Ok(None);
    }
    let anywhere = || Term {
        column: None,
        test: Test::Contains(word.to_lowercase()),
        negated,
    };
    let Some((name, rest)) = word.split_once(':') else {
        return Ok(Some(anywhere()));
    };
    let mut usable = columns.iter().filter(|column| !column.picture);
    let Some(column) = usable
        .clone()
        .find(|column| column.key == name.to_lowercase())
    else {
        // Addresses and times have colons too; only letters before a colon can name a column.
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphabetic()) {
            return Ok(Some(anywhere()));
        }
        let likeness = |column: &&Column| strsim::jaro_winkler(column.key, &name.to_lowercase());
        let nearest = usable
            .by_ref()
            .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        let nearest = nearest.map_or("", |column| column.key);
        return Err(format!(
            "no column is called {name}; did you mean {nearest}? c lists them"
        ));
    };
    const SIGNS: [(&str, Compare); 5] = [
        ("<=", Compare::AtMost),
        (">=", Compare::AtLeast),
        ("<", Compare::Less),
        (">", Compare::More),
        ("=", Compare::Equal),
    ];
    let test = match SIGNS
        .iter()
        .find_map(|(sign, compare)| rest.strip_prefix(sign).map(|rest| (*compare, rest)))
    {
        Some((_, "")) => return Ok(None),
        Some((compare, number)) => match number.parse() {
            Ok(number) => Test::Number(compare, number),
            Err(_) => {
                return Err(format!(
                    "{number} is not a number; write {}:<0.5 or {0}:>200",
                    column.key
                ));
            }
        },
        None if rest.is_empty() => return Ok(None),
        None => Test::Contains(rest.to_lowercase()),
    };
    Ok(Some(Term {
        column: Some(column.key),
        test,
        negated,
    }))
}

/// The text field of a filter.
#[derive(Clone, Debug, Default)]
pub struct RowFilter {
    pub input: Input,
    pub typing: bool,
    pub terms: FilterTerms,
}

impl RowFilter {
    pub fn parse(&mut self, columns: &[Column]) {
        self.terms = FilterTerms::parse(self.input.value(), columns);
    }

    /// Returns true if it needs a row: it has the focus or hides rows.
    pub fn is_shown(&self) -> bool {
        self.typing || !self.input.value().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COLUMNS: [Column; 4] = [
        Column::new("score", "score", 5, 0),
        Column::new("agent", "agent", 5, 0),
        Column::new("address", "address", 5, 0),
        Column::new("trend", "", 5, 0).picture(),
    ];

    fn passes(text: &str) -> bool {
        FilterTerms::parse(text, &COLUMNS).pass(&COLUMNS, |key| match key {
            "score" => CellValue::Number(0.35),
            "agent" => CellValue::text("Swarmdex/0.1.0 in Berlin"),
            "address" => CellValue::text("/ip4/10.0.0.1"),
            _ => CellValue::Nothing,
        })
    }

    #[test]
    fn every_word_must_hold() {
        for text in [
            "",
            "berlin",
            "BERLIN swarm",
            "score:<0.4",
            "score:>=0.35 score:<=0.35",
            "score:=0.35",
            "agent:swarmdex",
            "-tokyo",
            "\"in berlin\"",
            "-score:>0.4",
            "10.0.0.1",
            "score:<",
            "agent:",
            "-",
            "\"",
        ] {
            assert!(passes(text), "{text}");
        }
        for text in [
            "tokyo",
            "score:<0.35",
            "agent:10.0",
            "-berlin",
            "berlin tokyo",
            "agent:<3",
            "\"berlin in\"",
        ] {
            assert!(!passes(text), "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_said_and_hides_nothing() {
        let terms = FilterTerms::parse("scare:>3", &COLUMNS);
        assert_eq!(
            terms.problem.as_deref(),
            Some("no column is called scare; did you mean score? c lists them")
        );
        assert!(terms.terms.is_empty());
        assert!(
            FilterTerms::parse("score:<x", &COLUMNS)
                .problem
                .unwrap()
                .contains("x is not a number")
        );
        assert_eq!(FilterTerms::parse("12:30", &COLUMNS).problem, None);
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in "\\PC*") {
            passes(&text);
        }

        #[test]
        fn a_word_and_its_negation_divide_the_rows(word in "[a-z]{1,4}|score:[<>]0\\.[0-9]") {
            let negated = format!("-{word}");
            prop_assert!(passes(&word) != passes(&negated));
        }
    }
}
