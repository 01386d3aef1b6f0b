//! Text for people: progress bars on a terminal, plain lines elsewhere.

use super::{Output, say};
use indicatif::{ProgressBar, ProgressStyle};
use nepal_loop::campaign::Event;
use serde_json::Value;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Between two plain progress lines.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// The voice of `--output-mode cli`.
pub struct Text {
    terminal: bool,
    bar: Option<(String, ProgressBar)>,
    last_plain: Option<Instant>,
}

impl Text {
    /// A voice for this process's standard error.
    pub fn new() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            bar: None,
            last_plain: None,
        }
    }

    fn line(&mut self, line: &str) {
        match &self.bar {
            Some((_, bar)) => bar.suspend(|| super::mention(line)),
            None => super::mention(line),
        }
    }

    fn finish_bar(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn progress(&mut self, what: &str, done: u64, total: u64, detail: &str) {
        if self.terminal {
            if self.bar.as_ref().is_none_or(|(name, _)| name != what) {
                self.finish_bar();
                let bar = ProgressBar::new(total);
                if let Ok(style) = ProgressStyle::with_template(
                    "  {prefix:<12} [{bar:30}] {pos}/{len} {elapsed} eta {eta}  {msg}",
                ) {
                    bar.set_style(style.progress_chars("=> "));
                }
                bar.set_prefix(what.to_owned());
                self.bar = Some((what.to_owned(), bar));
            }
            if let Some((_, bar)) = &self.bar {
                bar.set_length(total);
                bar.set_position(done);
                bar.set_message(detail.to_owned());
            }
            if done >= total {
                self.finish_bar();
            }
            return;
        }
        let due = self
            .last_plain
            .is_none_or(|last| last.elapsed() >= PLAIN_INTERVAL);
        if due {
            self.last_plain = Some(Instant::now());
            super::mention(&format!("  {what}: {done}/{total}  {detail}"));
        }
    }
}

impl Output for Text {
    fn result(&mut self, _kind: &str, text: &str, _data: Value) {
        self.finish_bar();
        say(text.trim_end());
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Step {
                round,
                step,
                cached,
            } => {
                self.finish_bar();
                self.last_plain = Some(Instant::now());
                if !cached {
                    super::mention(&format!("round {round}: {step}"));
                }
            }
            Event::Progress {
                what,
                done,
                total,
                detail,
            } => self.progress(&what, done, total, &detail),
            Event::Info(text) => self.line(&format!("  {text}")),
            Event::Warning(text) => self.line(&format!("  warning: {text}")),
            _ => {}
        }
    }

    fn error(&mut self, error: &nepal::Error) {
        self.finish_bar();
        super::mention(&format!("error: {error}"));
    }
}
