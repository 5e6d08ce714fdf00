//! `config show|path|validate|edit`.

mod edit;
mod start;

use std::{fs, path::Path, path::PathBuf};

use serde::Serialize;

use super::{DONE, USAGE, global::Global, print};
use crate::{
    RegistryError, Result,
    config::{Problem, Settings, problems},
    ui::settings_problems,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Every setting in force, and the layer it came from
    Show {
        /// Print them as one JSON array
        #[arg(long)]
        json: bool,
        /// Say what each is for
        #[arg(long)]
        explain: bool,
    },
    /// Where the settings file is, or would be
    Path {
        /// Print every path as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Say whether the settings file can be used, or every error in it with its line
    Validate {
        /// Another file than the one in force
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// Print the file, whether it is valid, and the errors as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Open the settings file in an editor; what cannot be used does not replace it
    ///
    /// The editor is $VISUAL, else $EDITOR, with its arguments if it has any ("code --wait"). It
    /// gets a copy; when it ends, the copy is validated and takes the file's place, or is kept
    /// beside it with every error said. A file that does not exist begins as a list of every key
    /// with its default, all of it commented out.
    Edit,
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<u8> {
    match &args.what {
        What::Show { json: true, .. } => print::json(&global.settings()?.shown())?,
        What::Show { explain, .. } => {
            let settings = global.settings()?;
            print::lines(&settings.to_toml(*explain))?;
            // Shown as they are, and the explorer would not start with them.
            super::explorer::check(global, &settings)?;
        }
        What::Path { json: true } => print::json(&global.settings()?.paths)?,
        // Also for a file that cannot be used: whoever wants to mend it has to find it.
        What::Path { .. } => print::lines(&global.settings_file()?.path.to_string_lossy())?,
        What::Validate { file, json } => return validate(global, file.as_deref(), *json),
        What::Edit => return edit::run(&global.settings_file()?).await,
    }
    Ok(DONE)
}

#[derive(Serialize)]
struct Verdict {
    file: PathBuf,
    exists: bool,
    valid: bool,
    errors: Vec<Complaint>,
}

#[derive(Serialize)]
struct Complaint {
    /// 0 for what the file does not say: a variable, a flag or a default.
    line: usize,
    error: String,
}

fn validate(global: &Global, asked: Option<&Path>, json: bool) -> Result<u8> {
    let (path, text) = match asked {
        Some(path) => (path.to_owned(), Some(read(path)?)),
        None => {
            let found = global.settings_file()?;
            match found.text {
                None if found.named => (found.path.clone(), Some(read(&found.path)?)),
                text => (found.path, text),
            }
        }
    };
    let refused =
        |settings: &Settings| [settings_problems(settings), start::problems(settings)].concat();
    let mut wrong = problems(&path, text.as_deref().unwrap_or_default(), refused)?;
    if asked.is_none() && wrong.is_empty() {
        wrong = beside(global);
    }
    if json {
        let complaint = |problem: &Problem| Complaint {
            line: problem.line,
            error: problem.error.to_string(),
        };
        let errors = wrong.iter().map(complaint).collect();
        print::json(&Verdict {
            file: path,
            exists: text.is_some(),
            valid: wrong.is_empty(),
            errors,
        })?;
    } else if !wrong.is_empty() {
        say(&wrong);
    } else if text.is_none() {
        print::lines(&format!(
            "there is no settings file {}, so the defaults are in force; `swarmdex config edit` makes one",
            path.display()
        ))?;
    } else {
        print::lines(&format!("{} is valid", path.display()))?;
    }
    Ok(if wrong.is_empty() { DONE } else { USAGE })
}

/// Finds what is wrong with the rest of the settings in force: the environment, flags, and the
/// directories that nobody chose.
fn beside(global: &Global) -> Vec<Problem> {
    let refused = match global.settings() {
        Ok(settings) => start::problems(&settings)
            .into_iter()
            .map(RegistryError::Usage)
            .collect(),
        Err(error) => vec![error],
    };
    refused
        .into_iter()
        .map(|error| Problem { line: 0, error })
        .collect()
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| {
        RegistryError::Usage(format!(
            "{} cannot be read: {error}; check the name of the file",
            path.display()
        ))
    })
}

fn say(wrong: &[Problem]) {
    for problem in wrong {
        print::note(format!("error: {}", problem.error));
    }
}
