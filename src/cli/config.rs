//! `config show|path`.

use super::{DONE, global::Global, print};
use crate::Result;

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
}

pub(super) fn run(global: &Global, args: &Args) -> Result<u8> {
    let settings = global.settings()?;
    match args.what {
        What::Show { json: true, .. } => print::json(&settings.shown())?,
        What::Show { explain, .. } => print::lines(&settings.to_toml(explain))?,
        What::Path { json: true } => print::json(&settings.paths)?,
        What::Path { .. } => print::lines(&settings.paths.config.to_string_lossy())?,
    }
    Ok(DONE)
}
