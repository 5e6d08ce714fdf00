//! Reads the answers of a reference implementation, one JSON object a line, compares them with
//! those of the module `ecosystem`, and prints the differences. `README.md` in the parent folder
//! lists the questions.

#[allow(dead_code)]
#[path = "../../../../src/ecosystem/mod.rs"]
mod ecosystem;

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    error::Error,
    io::{self, BufRead},
    process::ExitCode,
};

use serde::Deserialize;
use serde_json::{Value, json};

use ecosystem::{
    Ecosystem, Requirement, Version,
    pypi::{
        dependency::{PypiDependency, VersionsOrUrl},
        file::FileName,
        marker::Marker,
    },
};

/// Differences that are shown for a question.
const SHOWN: usize = 20;

#[derive(Deserialize)]
struct Row {
    ask: Vec<String>,
    want: Value,
    /// The reason why the two may differ here; the README explains more.
    known: Option<String>,
}

#[derive(Default)]
struct Count {
    rows: usize,
    /// Cases that the reference refused: a run of nothing but these would prove little.
    refused: usize,
    different: usize,
    known: BTreeMap<String, usize>,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    for line in io::stdin().lock().lines() {
        let Row { ask, want, known } = serde_json::from_str(&line?)?;
        let words: Vec<&str> = ask.iter().map(String::as_str).collect();
        let [ecosystem, question, rest @ ..] = words.as_slice() else { return Err("a row asks nothing".into()) };
        let ours = answer(&ecosystem.parse()?, question, rest).ok_or_else(|| format!("nobody knows {ask:?}"))?;
        let count = counts.entry(format!("{ecosystem} {question}")).or_default();
        count.rows += 1;
        count.refused += usize::from(want.is_null() || want == json!(false));
        if ours == want {
            continue;
        }
        if let Some(why) = known {
            *count.known.entry(why).or_default() += 1;
            continue;
        }
        count.different += 1;
        if count.different <= SHOWN {
            println!("{ask:?}: the reference says {want}, we say {ours}");
        }
    }
    let (mut rows, mut different) = (0, 0);
    for (question, count) in &counts {
        println!("{question}: {} rows ({} no or refused), {} differ", count.rows, count.refused, count.different);
        for (why, known) in &count.known {
            println!("    {known} more differ as they are meant to: {why}");
        }
        rows += count.rows;
        different += count.different;
    }
    println!("{rows} rows, {different} differ");
    Ok(if different == 0 && rows > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns our answer; `null` means refused, `None` that the question does not exist here.
fn answer(ecosystem: &Ecosystem, question: &str, of: &[&str]) -> Option<Value> {
    let version = |text: &str| ecosystem.version(text).ok();
    Some(match (question, of) {
        ("name", [name]) => json!(ecosystem.normalise(name).ok()),
        ("version", [text]) => json!(version(text).is_some()),
        ("key", [text]) => json!(version(text).map(|version| version.key())),
        ("pre", [text]) => json!(version(text).map(|version| version.is_pre_release())),
        ("compare", [a, b]) => json!(version(a).zip(version(b)).map(|(a, b)| compared(&a, &b))),
        ("requirement", [text]) => json!(ecosystem.requirement(text).is_ok()),
        ("any", [text]) => json!(ecosystem.requirement(text).ok().map(|asked| asked.is_any())),
        ("matches", [asked, text]) => asked_of(ecosystem, asked, text, Requirement::matches),
        ("includes", [asked, text]) => asked_of(ecosystem, asked, text, Requirement::includes),
        ("names", [asked, text]) => asked_of(ecosystem, asked, text, Requirement::names),
        ("exactly", [asked, text]) => asked_of(ecosystem, asked, text, Requirement::is_exactly),
        ("dependency", [text]) => PypiDependency::parse(text).map_or(Value::Null, |found| {
            let (versions, url) = match found.wanted {
                VersionsOrUrl::Versions(versions) => (versions, None),
                VersionsOrUrl::Url(url) => (String::new(), Some(url)),
            };
            let squeezed = versions.split_whitespace().collect::<String>();
            let versions: BTreeSet<&str> = squeezed.split(',').filter(|part| !part.is_empty()).collect();
            let extras: BTreeSet<String> = found.extras.into_iter().collect();
            json!({ "name": found.name, "extras": extras, "versions": versions, "url": url, "marker": found.marker.is_some() })
        }),
        ("marker", [text]) => json!(Marker::parse(text).is_ok()),
        ("holds", [text, environment, extras @ ..]) => {
            let environment = serde_json::from_str(environment).ok()?;
            let extras = extras.iter().map(ToString::to_string).collect();
            json!(Marker::parse(text).and_then(|marker| marker.holds(&environment, &extras)).ok())
        }
        ("file", [name]) => match FileName::parse(name) {
            Ok(FileName::Wheel(wheel)) => json!({
                "name": ecosystem.normalise(&wheel.name).ok(), "version": wheel.version.key(),
                "build": wheel.build.map(|build| [build.number, build.suffix]),
                "tags": [wheel.pythons, wheel.abis, wheel.platforms],
            }),
            Ok(FileName::Source(source)) => json!({
                "name": ecosystem.normalise(&source.name).ok(), "version": source.version.key(),
            }),
            Err(_) => Value::Null,
        },
        _ => return None,
    })
}

fn compared(a: &Version, b: &Version) -> &'static str {
    let order = a.cmp(b);
    match order {
        _ if order.is_eq() != (a.key() == b.key()) => "the keys say something else than the order",
        _ if order != b.cmp(a).reverse() => "the order depends on which comes first",
        Ordering::Less => "<",
        Ordering::Equal => "=",
        Ordering::Greater => ">",
    }
}

fn asked_of(ecosystem: &Ecosystem, asked: &str, text: &str, is: fn(&Requirement, &Version) -> bool) -> Value {
    let both = ecosystem.requirement(asked).ok().zip(ecosystem.version(text).ok());
    json!(both.map(|(asked, version)| is(&asked, &version)))
}
