//! Nothing but the reason of a failure.

use super::Output;
use nepal_loop::campaign::Event;
use serde_json::Value;

/// The voice of `--output-mode quiet`.
pub struct Quiet;

impl Output for Quiet {
    fn result(&mut self, _kind: &str, _text: &str, _data: Value) {}

    fn event(&mut self, _event: Event) {}

    fn error(&mut self, error: &nepal::Error) {
        super::mention(&format!("error: {error}"));
    }
}
