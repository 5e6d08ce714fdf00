//! `replay FILE`: the explorer on a recording.

use std::{path::PathBuf, sync::Arc};

use super::{DONE, explorer, global::Global};
use crate::{
    Result,
    control::Replay,
    ui::{self, Shown},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// File that `events --record` wrote
    file: PathBuf,
    /// Speed of the replay, as a multiple of real time
    #[arg(long, default_value_t = 1.0, value_name = "N", value_parser = speed)]
    speed: f64,
}

fn speed(text: &str) -> Result<f64, &'static str> {
    text.parse()
        .ok()
        .filter(|speed| (0.01..=1_000.0).contains(speed))
        .ok_or("write a number from 0.01 to 1000")
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    let settings = global.settings()?;
    let replay = Shown::Recording(Arc::new(Replay::open(&args.file, args.speed)?));
    ui::check_terminal()?;
    explorer::check(global, &settings)?;
    let mut shown = explorer::ui_options("recording".to_owned(), &settings);
    // The recording must not change the user's settings.
    shown.kept.settings = None;
    let own = |what: &str| {
        std::env::temp_dir().join(format!(
            "swarmdex-replay-{what}-{}.json",
            std::process::id()
        ))
    };
    (shown.kept.draft, shown.kept.searches) = (own("draft"), own("searches"));
    ui::run(async { Ok(replay) }, shown).await.map(|()| DONE)
}
