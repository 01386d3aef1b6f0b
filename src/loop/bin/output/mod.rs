//! One trait, three voices: everything the program can say.
//!
//! Results go to standard output, all else to standard error.

mod json;
mod quiet;
mod text;
mod warnings;

pub use quiet::Quiet;
pub use warnings::hear_warnings;

use crate::cli::OutputMode;
use nepal::error::printable;
use nepal_loop::campaign::Event;
use serde_json::Value;

/// Version of the JSON that is printed.
pub const SCHEMA: u32 = 1;

/// Puts the cursor at the top of an empty screen: the one thing that a text may begin with and a terminal obeys.
pub const CLEAR: &str = "\x1b[H\x1b[2J";

/// All the program can say.
pub trait Output {
    /// A result: as text for people, as data for programs.
    fn result(&mut self, kind: &str, text: &str, data: Value);
    /// What a running step tells.
    fn event(&mut self, event: Event);
    /// The end of a failed command.
    fn error(&mut self, error: &nepal::Error);
}

/// The voice for a mode.
pub fn create(mode: OutputMode) -> Box<dyn Output> {
    match mode {
        OutputMode::Cli => Box::new(text::Text::new()),
        OutputMode::Json => Box::new(json::Json),
        OutputMode::Quiet => Box::new(quiet::Quiet),
    }
}

/// Writes a line to standard output; a closed pipe ends the program quietly, as other tools do.
fn say(line: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let (clear, line) = match line.strip_prefix(CLEAR) {
        Some(rest) => (CLEAR, rest),
        None => ("", line),
    };
    if let Err(e) = writeln!(out, "{clear}{}", printable(line)).and_then(|()| out.flush()) {
        if e.kind() == std::io::ErrorKind::BrokenPipe {
            std::process::exit(0);
        }
        mention(&format!("error: cannot write to standard output: {e}"));
        std::process::exit(1);
    }
}

/// Writes a line to standard error. Where that goes to a full disk or nowhere the work goes on.
fn mention(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{}", printable(line));
}
