//! Warnings of the library, which tells them as `tracing` events: lines on standard error.

use super::{SCHEMA, mention};
use crate::cli::OutputMode;
use serde_json::json;
use std::fmt::{Debug, Write};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry};

/// Shows warnings and errors, or what `RUST_LOG` asks for; nothing in quiet mode.
pub fn hear_warnings(mode: OutputMode) {
    if mode == OutputMode::Quiet {
        return;
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let heard = tracing_subscriber::registry().with(Teller { mode }.with_filter(filter));
    // A second call, in tests, hears nothing new.
    let _ = heard.try_init();
}

struct Teller {
    mode: OutputMode,
}

impl Layer<Registry> for Teller {
    fn on_event(&self, event: &tracing::Event<'_>, _context: Context<'_, Registry>) {
        let mut text = Text::default();
        event.record(&mut text);
        let level = event.metadata().level().as_str().to_lowercase();
        let level = if level == "warn" { "warning" } else { &level };
        mention(&match self.mode {
            OutputMode::Json => {
                json!({ "schema": SCHEMA, "kind": level, "text": text.0 }).to_string()
            }
            _ => format!("  {level}: {}", text.0),
        });
    }
}

/// An event in words: its message, and what else it carries.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
