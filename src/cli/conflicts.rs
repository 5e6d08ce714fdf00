//! `conflicts` and `conflict`: conflicting claims, with evidence that others can verify.

use std::{fs::File, io::Read, path::PathBuf};

use clap::Subcommand;

use super::{DONE, FAILED, global::Global, print, session};
use crate::{
    RegistryError, Result, clock,
    control::Control,
    disk,
    domain::{
        conflict::{Case, ConflictSide, Evidence, Flaw, MAX_EVIDENCE, VerifiedEvidence},
        time::Ago,
    },
};

/// Shortest prefix of an id that is accepted.
const LEAST: usize = 4;

#[derive(Debug, clap::Args)]
pub(super) struct ConflictsArgs {
    /// Print them as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: ConflictVerb,
}

#[derive(Debug, Subcommand)]
enum ConflictVerb {
    /// Show one conflict in full
    Show {
        /// Id from `conflicts`, or its beginning
        id: String,
        /// Print it as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Export the evidence, which anyone can verify without trusting this node
    Export {
        /// Id from `conflicts`, or its beginning
        id: String,
        /// File to write [default: stdout]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Verify exported evidence and say what it proves; needs no node and no network
    Verify {
        /// File with the evidence; `-` for stdin
        file: PathBuf,
        /// Print the result as one JSON object
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn list(global: &Global, args: ConflictsArgs) -> Result<u8> {
    session::with(global, async |node, _| {
        let conflicts = node.registry().conflicts().await?;
        if args.json {
            print::json(&conflicts)?;
            return Ok(DONE);
        }
        let now = clock::now();
        let row = |case: &Case| {
            let keys: Vec<String> = case
                .keys()
                .iter()
                .map(|side| side.publisher.fingerprint())
                .collect();
            vec![
                case.id.short(),
                case.kind.label().to_owned(),
                case.about(),
                keys.join(", "),
                case.in_force_label().to_owned(),
                case.standing().to_owned(),
                if case.is_provable() {
                    "both sides"
                } else {
                    "one side"
                }
                .to_owned(),
                format!("{} ago", Ago(now.since(case.seen_at))),
            ]
        };
        if conflicts.cases.is_empty() {
            print::note("no conflicts");
        } else {
            print::table(
                &[
                    "ID", "KIND", "WHAT", "KEYS", "IN FORCE", "TRUST", "EVIDENCE", "SEEN",
                ],
                conflicts.cases.iter().map(row).collect(),
            )?;
        }
        if conflicts.forgotten > 0 {
            print::note(format!("{} older ones were dropped", conflicts.forgotten));
        }
        Ok(DONE)
    })
    .await
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    match args.what {
        ConflictVerb::Show { id, json } => {
            session::with(global, async |node, _| {
                let case = find(node, &id).await?;
                if json {
                    print::json(&case)?
                } else {
                    show(&case)?
                }
                Ok(DONE)
            })
            .await
        }
        ConflictVerb::Export { id, output } => {
            session::with(global, async |node, _| {
                let case = find(node, &id).await?;
                let text = node.registry().conflict_evidence(case.id).await?.to_text();
                match &output {
                    None => print::lines(&text)?,
                    Some(path) => {
                        disk::replace(path, text.as_bytes())
                            .map_err(RegistryError::file(path, "written"))?;
                        let path = path.display();
                        print::note(format!(
                            "wrote {path}; verify it with `swarmdex conflict verify {path}`"
                        ));
                    }
                }
                Ok(DONE)
            })
            .await
        }
        ConflictVerb::Verify { file, json } => verify(&file, json),
    }
}

/// Returns the only conflict whose id begins with `id`.
async fn find(node: &dyn Control, id: &str) -> Result<Case> {
    let wrong = |why: String| Err(RegistryError::Usage(why));
    let id = id.to_lowercase();
    if id.len() < LEAST || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return wrong(format!(
            "a conflict id is hexadecimal, with at least {LEAST} digits; `swarmdex conflicts` \
             lists them"
        ));
    }
    let cases = node.registry().conflicts().await?.cases;
    let mut meant = cases
        .into_iter()
        .filter(|case| case.id.to_string().starts_with(&id));
    match (meant.next(), meant.count()) {
        (None, _) => Err(RegistryError::NoConflict(id)),
        (Some(case), 0) => Ok(case),
        (Some(_), more) => wrong(format!(
            "{} conflicts have ids that begin like this; give more digits",
            more + 1
        )),
    }
}

fn show(case: &Case) -> Result<()> {
    let evidence = if case.is_provable() {
        format!(
            "both signed sides; export them with `swarmdex conflict export {}`",
            case.id.short()
        )
    } else {
        "one-sided: this node no longer has what was signed first, so it proves nothing to others"
            .to_owned()
    };
    let names = ["first", "then"];
    let label = |number: usize| match case.package {
        Some(_) => names.get(number).copied().unwrap_or_default().to_owned(),
        None => format!("key {}", number + 1),
    };
    let sides = case
        .sides
        .iter()
        .enumerate()
        .map(|(number, side)| (label(number), told(side)));
    let mut fields = vec![
        ("id".to_owned(), case.id.to_string()),
        ("kind".to_owned(), case.kind.label().to_owned()),
        ("what".to_owned(), case.about()),
        ("seen".to_owned(), clock::stamp(case.seen_at)),
    ];
    fields.extend(sides);
    if case.more > 0 {
        fields.push((
            "more".to_owned(),
            format!("{} more keys claim it", case.more),
        ));
    }
    fields.extend([
        ("in force".to_owned(), case.why_in_force()),
        ("meaning".to_owned(), case.meaning()),
        ("to do".to_owned(), case.remedy().to_owned()),
        ("evidence".to_owned(), evidence),
    ]);
    let fields: Vec<(&str, String)> = fields
        .iter()
        .map(|(name, text)| (name.as_str(), text.clone()))
        .collect();
    print::fields(&fields)
}

fn told(side: &ConflictSide) -> String {
    let key = format!(
        "key {} ({}), {}",
        side.publisher,
        side.publisher.fingerprint(),
        side.trust.label()
    );
    let seq = side
        .seq
        .map_or(String::new(), |seq| format!(", in revision {seq}"));
    let at = side.signed_at.map_or(String::new(), |at| {
        format!(", signed at {}", clock::stamp(at))
    });
    let held = if side.held {
        ""
    } else {
        ", no longer on this node"
    };
    match &side.package {
        Some(package) => {
            let since = side.since.map_or(String::new(), |since| {
                format!(", first seen {}", clock::stamp(since))
            });
            format!("{key}{since}, for {package}{seq}{at}")
        }
        None => format!("{}{seq}{at}{held}; {key}", side.hash),
    }
}

/// Verifies evidence offline: the file contains all it takes.
fn verify(path: &PathBuf, json: bool) -> Result<u8> {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "lowercase")]
    enum EvidenceOutput<'a> {
        Holds(&'a VerifiedEvidence),
        Fails(String),
    }
    let bytes = read(path).map_err(RegistryError::file(path, "read"))?;
    let verdict: Result<VerifiedEvidence, Flaw> =
        Evidence::read(&bytes).and_then(|evidence| evidence.verify());
    if json {
        print::json(&match &verdict {
            Ok(proof) => EvidenceOutput::Holds(proof),
            Err(flaw) => EvidenceOutput::Fails(flaw.to_string()),
        })?;
    }
    match verdict {
        Ok(proof) => {
            if !json {
                print::lines(&proof.sentences(clock::stamp).join("\n"))?;
            }
            Ok(DONE)
        }
        Err(flaw) => {
            print::note(format!("error: {} proves nothing: {flaw}", path.display()));
            Ok(FAILED)
        }
    }
}

/// Reads at most one byte over the limit, which is enough to detect a file that is too large.
fn read(path: &PathBuf) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = MAX_EVIDENCE as u64 + 1;
    if path.as_os_str() == "-" {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes)?;
    } else {
        File::open(path)?.take(most).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}
