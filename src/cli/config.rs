//! `config show`, `path`, `validate` and `edit`.

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
    what: ConfigVerb,
}

#[derive(Debug, clap::Subcommand)]
enum ConfigVerb {
    /// Show every setting in force and where it comes from
    Show {
        /// Print them as one JSON array
        #[arg(long)]
        json: bool,
        /// Explain each setting
        #[arg(long)]
        explain: bool,
    },
    /// Print the path of the settings file, whether it exists or not
    Path {
        /// Print all paths as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Check the settings file, and report every error with its line
    Validate {
        /// File to check instead of the one in force
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// Print the path, validity and errors as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Open the settings file in an editor, and check it before it is replaced
    ///
    /// The editor is $VISUAL, or else $EDITOR, with arguments if it has any ("code --wait"). It
    /// gets a copy of the file. If the copy is valid when the editor ends, it replaces the file; if
    /// not, it is kept beside it and every error is reported. A new file starts as a list of every
    /// key with its default, all commented out.
    Edit,
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<u8> {
    match &args.what {
        ConfigVerb::Show { json: true, .. } => print::json(&global.settings()?.shown())?,
        ConfigVerb::Show { explain, .. } => {
            let settings = global.settings()?;
            print::lines(&settings.to_toml(*explain))?;
            // These values are shown, but the explorer would refuse to start with them.
            super::explorer::check(global, &settings)?;
        }
        ConfigVerb::Path { json: true } => print::json(&global.settings()?.paths)?,
        // Print the path even if the file is invalid: the user must find it to fix it.
        ConfigVerb::Path { .. } => print::lines(&global.settings_file()?.path.to_string_lossy())?,
        ConfigVerb::Validate { file, json } => return validate(global, file.as_deref(), *json),
        ConfigVerb::Edit => return edit::run(&global.settings_file()?).await,
    }
    Ok(DONE)
}

#[derive(Serialize)]
struct ConfigOutput {
    file: PathBuf,
    exists: bool,
    valid: bool,
    errors: Vec<Complaint>,
}

#[derive(Serialize)]
struct Complaint {
    /// 0 for a problem that is not in the file: in a variable, a flag or a default.
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
        print::json(&ConfigOutput {
            file: path,
            exists: text.is_some(),
            valid: wrong.is_empty(),
            errors,
        })?;
    } else if !wrong.is_empty() {
        say(&wrong);
    } else if text.is_none() {
        print::lines(&format!(
            "there is no settings file {}, so the defaults apply; `swarmdex config edit` creates \
             one",
            path.display()
        ))?;
    } else {
        print::lines(&format!("{} is valid", path.display()))?;
    }
    Ok(if wrong.is_empty() { DONE } else { USAGE })
}

/// Checks the other settings in force: environment variables, flags, and default directories.
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
            "cannot read {}: {error}; check the file name",
            path.display()
        ))
    })
}

fn say(wrong: &[Problem]) {
    for problem in wrong {
        print::note(format!("error: {}", problem.error));
    }
}
