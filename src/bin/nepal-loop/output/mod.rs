//! One trait, three voices: everything the program can say.
//!
//! Results go to standard output, all else to standard error.

mod json;
mod quiet;
mod text;

use crate::cli::OutputMode;
use nepal::campaign::Event;
use serde_json::Value;

/// Version of the JSON that is printed.
pub const SCHEMA: u32 = 1;

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
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}
