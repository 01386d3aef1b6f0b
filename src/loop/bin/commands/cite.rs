//! `cite`: what a paper that used nepal cites, as BibTeX.

use crate::cli::CiteArgs;
use crate::output::Output;
use nepal::Result;
use nepal_loop::campaign::{Config, cite};
use serde_json::json;
use std::process::ExitCode;

/// Prints BibTeX entries, each with what it is for.
pub fn run(args: &CiteArgs, output: &mut dyn Output) -> Result<ExitCode> {
    let config = args
        .campaign
        .as_ref()
        .map(|path| Config::load(path))
        .transpose()?;
    let works = cite::works(config.as_ref());
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!(
        "% the program\n@software{{nepal, title = {{nepal}}, version = {{{version}}}, note = {{commit {}}}}}\n",
        env!("NEPAL_COMMIT")
    );
    for work in &works {
        text.push_str(&format!("% {}\n{}\n", work.reason, work.bibtex()));
    }
    output.result("cite", &text, json!({ "version": version, "works": works }));
    Ok(ExitCode::SUCCESS)
}
