//! The documents say what the program does: generated parts are generated anew and compared, links
//! lead somewhere, commands are taken by the command line, and files that are shown whole are read.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use cbor4ii::core::{Value, dec::Decode, utils::SliceReader};
use serde::Serialize;
use serde_bytes::ByteBuf;
use swarmdex::{
    archive::project,
    domain::{
        hash::Hash,
        name::{PackageId, PublisherId},
        query::Query,
        time::Timestamp,
    },
    net::protocol::{
        Hello, Item, Keeping, MAX_HEADS, MAX_OBJECTS, MAX_PACKAGES, MAX_REQUEST, MAX_RESPONSE,
        Request, Response,
    },
};

/// Most bytes of the two pages that somebody new reads to their end.
const MOST: [(&str, usize); 2] = [("README.md", 9 << 10), ("ARCHITECTURE.md", 12 << 10)];
/// A peer's id for placeholders in commands.
const PEER: &str = "12D3KooWQwK7E5ngNcQsz2qvQRu67JGsRZVQQECYqJGLXKK5RWCe";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compares the generated part of a document with what the program says.
/// `UPDATE_DOCS=1 cargo test --test it docs` writes it there instead.
fn same(document: &str, name: &str, generated: &str) {
    let path = root().join(document);
    let text = fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = text
        .split_once(&begin)
        .unwrap_or_else(|| panic!("{document} has no {begin}"));
    let (section, after) = rest
        .split_once(&end)
        .unwrap_or_else(|| panic!("{document} has no {end}"));
    let generated = generated.trim();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path, format!("{before}{begin}{generated}\n{end}{after}")).unwrap();
    } else {
        assert_eq!(
            section.trim(),
            generated,
            "the {name} of {document} are not the program's; \
             UPDATE_DOCS=1 cargo test --test it docs writes them"
        );
    }
}

/// Every document for people, by its path from the root.
fn documents() -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for dir in ["", "docs", "docs/protocols", "findings", "tests/clients"] {
        for entry in fs::read_dir(root().join(dir)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ext| ext == "md") {
                let name = path.strip_prefix(root()).unwrap().to_owned();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    assert!(found.len() > 15, "the documents were not found");
    found
}

/// The lines of a document's fenced blocks, each with the language of its block, and all others
/// with none.
fn lines(text: &str) -> impl Iterator<Item = (Option<&str>, &str)> {
    let mut language = None;
    text.lines().filter_map(move |line| {
        match (line.strip_prefix("```"), language) {
            (Some(_), Some(_)) => language = None,
            (Some(begun), None) => language = Some(begun),
            (None, _) => return Some((language, line)),
        }
        None
    })
}

/// The fenced blocks of one language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    let after = text.split(&begin).skip(1);
    after
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn keys_settings_and_calls_are_the_programs() {
    same("docs/keys.md", "keys", &swarmdex::ui::keys_markdown());
    same(
        "docs/settings.md",
        "settings",
        &swarmdex::config::keys_markdown(),
    );
    same(
        "docs/control.md",
        "calls",
        &swarmdex::control::calls_markdown(),
    );
}

/// CBOR in the diagnostic notation of RFC 8949, section 8.
fn diagnostic(value: &Value) -> String {
    let all = |values: &[Value]| values.iter().map(diagnostic).collect::<Vec<_>>().join(", ");
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(bool) => bool.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Bytes(bytes) => format!("h'{}'", hex(bytes)),
        Value::Text(text) => format!("{text:?}"),
        Value::Array(values) => format!("[{}]", all(values)),
        Value::Map(pairs) => {
            let pair = |(key, value): &(Value, Value)| {
                format!("{}: {}", diagnostic(key), diagnostic(value))
            };
            let pairs: Vec<String> = pairs.iter().map(pair).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        other => panic!("no protocol of ours has {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn example(out: &mut String, value: &impl Serialize) {
    let bytes = cbor4ii::serde::to_vec(Vec::new(), value).unwrap();
    let decoded = Value::decode(&mut SliceReader::new(&bytes)).unwrap();
    out.push_str(&format!("{}\n  {}\n", diagnostic(&decoded), hex(&bytes)));
}

#[test]
fn the_examples_and_limits_of_the_query_protocol_are_what_is_spoken() {
    let owner: PublisherId = PEER.parse().unwrap();
    let package = PackageId {
        owner,
        name: "cargo:serde".parse().unwrap(),
    };
    let envelope = || ByteBuf::from([0x0a, 0x24]);
    let mut out = "```\n".to_owned();
    for request in [
        Request::Head(package.clone()),
        Request::Heads(vec![package]),
        Request::Objects(vec![Hash([7; 32])]),
        Request::Handle("alice".parse().unwrap()),
        Request::Keep(envelope()),
        Request::Search(Query {
            limit: 20,
            ..Query::text("web")
        }),
    ] {
        example(&mut out, &request);
    }
    let item = Item {
        head: envelope(),
        manifest: None,
    };
    for response in [
        Response::Hello(Hello {
            at: Timestamp(1_796_067_312_653),
            packages: 61,
            ..Hello::default()
        }),
        Response::Packages {
            items: vec![item],
            more: false,
        },
        Response::Keeping(Keeping::Fetching { done: 1_024 }),
        Response::Busy,
    ] {
        example(&mut out, &response);
    }
    same("docs/protocols/query.md", "examples", &(out + "```"));
    let limits = format!(
        "| | Limit |\n|---|---|\n| request | {} KiB |\n| response | {} KiB |\n\
         | hashes in `Objects` | {MAX_OBJECTS} |\n| heads in an answer to `Handle` | {MAX_HEADS} |\n\
         | packages in `Heads` | {MAX_PACKAGES} |\n",
        MAX_REQUEST / 1_024,
        MAX_RESPONSE / 1_024,
    );
    same("docs/protocols/query.md", "limits", &limits);
}

#[test]
fn pages_for_somebody_new_are_short() {
    let documents = documents();
    for (name, most) in MOST {
        let length = documents[Path::new(name)].len();
        assert!(length <= most, "{name} has {length} bytes, of {most}");
    }
}

/// Every file below a directory of the project.
fn below(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            below(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn files_of_the_code_that_are_named_are_there() {
    let mut files = Vec::new();
    for dir in ["src", "tests", "benches", "fuzz/fuzz_targets"] {
        below(&root().join(dir), &mut files);
    }
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for (name, text) in documents() {
        // The changelog tells of the past.
        if name == Path::new("CHANGELOG.md") {
            continue;
        }
        let quoted = text.split('`').skip(1).step_by(2);
        for file in
            quoted.filter(|file| file.ends_with(".rs") && !file.contains(char::is_whitespace))
        {
            seen += 1;
            if !files.iter().any(|path| path.ends_with(file)) {
                wrong.push(format!("{}: {file}", name.display()));
            }
        }
    }
    assert!(seen > 50, "only {seen} files were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .replace(' ', "-");
    kept.chars()
        .filter(|c| c.is_alphanumeric() || "-_".contains(*c))
        .collect()
}

/// The targets of a document's links.
fn links(text: &str) -> Vec<&str> {
    let prose = lines(text).filter(|(language, _)| language.is_none());
    let targets = prose.flat_map(|(_, line)| line.split("](").skip(1));
    targets
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
        .collect()
}

#[test]
fn links_lead_somewhere() {
    let documents = documents();
    let mut broken = Vec::new();
    for (name, text) in &documents {
        for link in links(text).into_iter().filter(|link| !link.contains("://")) {
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => root().join(name),
                path => root().join(name).parent().unwrap().join(path),
            };
            let Ok(found) = target.canonicalize() else {
                broken.push(format!("{}: {link}", name.display()));
                continue;
            };
            let text = fs::read_to_string(&found).unwrap_or_default();
            let headings = lines(&text).filter(|(language, _)| language.is_none());
            let mut headings = headings.filter(|(_, line)| line.starts_with('#'));
            if !heading.is_empty() && !headings.any(|(_, line)| anchor(line) == heading) {
                broken.push(format!("{}: {link}", name.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// A command's words, up to what belongs to the shell. Placeholders stand for something that can
/// be parsed.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars().chain([' ']) {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    let shell = ["#", "|", ">", ">>", "&&"];
    let end = words
        .iter()
        .position(|word| shell.contains(&word.as_str()))
        .unwrap_or(words.len());
    words.truncate(end);
    let filled = |word: String| match word.as_str() {
        "ADDRESS" => format!("/ip4/192.0.2.7/tcp/4807/p2p/{PEER}"),
        "PEER" => PEER.to_owned(),
        _ => word.replace("12D3KooW…", PEER),
    };
    words.into_iter().map(filled).collect()
}

#[test]
fn commands_are_taken_by_the_command_line() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for (name, text) in documents() {
        let shell = ["sh", "console", ""];
        let commands = lines(&text).filter_map(|(language, line)| {
            let line = line.strip_prefix("$ ").unwrap_or(line);
            let line = line.strip_prefix("sudo -u swarmdex ").unwrap_or(line);
            line.strip_prefix("swarmdex ")
                .filter(|_| language.is_some_and(|language| shell.contains(&language)))
        });
        for line in commands.filter(|line| !line.starts_with("demo, ")) {
            seen += 1;
            // With `--help` behind them, words are parsed and nothing is done.
            let parsed = Command::new(env!("CARGO_BIN_EXE_swarmdex"))
                .args(words(line))
                .arg("--help")
                .output()
                .unwrap();
            if !parsed.status.success() {
                let why = String::from_utf8_lossy(&parsed.stderr).into_owned();
                wrong.push(format!("{}: {line}\n{why}", name.display()));
            }
        }
    }
    assert!(seen > 60, "only {seen} commands were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_that_are_shown_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let (mut projects, mut settings) = (0, 0);
    fs::write(dir.path().join("README.md"), "read me").unwrap();
    for (name, text) in documents() {
        for block in blocks(&text, "toml") {
            if block.starts_with("name = ") {
                projects += 1;
                fs::write(dir.path().join(project::FILE), &block).unwrap();
                let read = project::read(dir.path());
                read.unwrap_or_else(|error| panic!("{}: {error}", name.display()));
            } else {
                settings += 1;
                let file = dir.path().join("settings.toml");
                fs::write(&file, block.replace("12D3KooW…", PEER)).unwrap();
                let valid = Command::new(env!("CARGO_BIN_EXE_swarmdex"))
                    .args(["config", "validate", "--config"])
                    .arg(&file)
                    .output()
                    .unwrap();
                let why = String::from_utf8_lossy(&valid.stderr);
                assert!(valid.status.success(), "{}: {why}", name.display());
            }
        }
    }
    assert!(projects >= 2 && settings >= 3, "{projects}, {settings}");
}

#[test]
fn the_services_environment_is_of_settings() {
    let unit = fs::read_to_string(root().join("assets/systemd/swarmdex.service")).unwrap();
    let known: Vec<String> = swarmdex::config::KEYS
        .iter()
        .map(|key| key.variable())
        .chain(["SWARMDEX_CONFIG".to_owned()])
        .collect();
    let set: Vec<&str> = unit
        .lines()
        .filter_map(|line| line.strip_prefix("Environment=")?.split('=').next())
        .collect();
    assert!(!set.is_empty());
    for variable in set {
        assert!(known.iter().any(|one| one == variable), "{variable}");
    }
}
