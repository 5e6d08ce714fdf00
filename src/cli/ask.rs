//! Questions to a user at a terminal. Scripts are never asked.

use std::io::{self, IsTerminal, Write};

use tokio::signal::unix::{SignalKind, signal};

use super::print::internal;
use crate::{Result, domain::text::printable};

/// Returns true if there is a user who can read a question and type the answer.
pub(super) fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks until the answer is yes or no. Ctrl-C and end of input mean no.
pub(super) async fn yes(question: &str) -> Result<bool> {
    let mut interrupt =
        signal(SignalKind::interrupt()).map_err(|error| internal("watching signals", error))?;
    let question = printable(question);
    loop {
        // If stderr is closed, nobody reads the question, and end of input answers it.
        let _ = write!(io::stderr(), "{question} (y/n) ").and_then(|()| io::stderr().flush());
        let line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            io::stdin()
                .read_line(&mut line)
                .map(|read| (read > 0).then_some(line))
        });
        let answer = tokio::select! {
            line = line => line.ok().and_then(|read| read.ok().flatten()),
            _ = interrupt.recv() => None,
        };
        match answer.as_deref().map(str::trim) {
            Some("y" | "Y" | "yes" | "Yes") => return Ok(true),
            Some("n" | "N" | "no" | "No") | None => return Ok(false),
            Some(_) => {}
        }
    }
}
