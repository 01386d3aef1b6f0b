//! One JSON object a line.

use super::{Output, SCHEMA, say};
use nepal_loop::campaign::Event;
use serde_json::{Value, json};

/// The voice of `--output-mode json`.
pub struct Json;

fn tell(value: &Value) {
    super::mention(&value.to_string());
}

impl Output for Json {
    fn result(&mut self, kind: &str, _text: &str, data: Value) {
        say(&json!({ "schema": SCHEMA, "kind": kind, "data": data }).to_string());
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Step {
                round,
                step,
                cached,
            } => tell(&json!({
                "schema": SCHEMA, "kind": "step", "round": round, "step": step, "cached": cached
            })),
            Event::Progress {
                what,
                done,
                total,
                detail,
            } => tell(&json!({
                "schema": SCHEMA, "kind": "progress", "what": what, "done": done, "total": total,
                "detail": detail
            })),
            Event::Info(text) => tell(&json!({ "schema": SCHEMA, "kind": "info", "text": text })),
            Event::Warning(text) => {
                tell(&json!({ "schema": SCHEMA, "kind": "warning", "text": text }));
            }
            _ => {}
        }
    }

    fn error(&mut self, error: &nepal::Error) {
        use nepal::Error::*;
        let class = match error {
            InvalidArgument(_) | BufferTooSmall { .. } => "invalid-argument",
            Io { .. } => "io",
            Parse { .. } => "parse",
            Unsupported(_) => "unsupported",
            Backend(_) => "backend",
            Failed(_) | Callback(_) => "failed",
            Internal(_) => "internal",
        };
        tell(&json!({
            "schema": SCHEMA, "kind": "error", "class": class, "text": error.to_string()
        }));
    }
}
