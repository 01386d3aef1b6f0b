//! `completions` and `man`: what shells and `man` read, from the command line itself.

use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::output::Output;
use clap::CommandFactory;
use nepal::{Error, Result};
use serde_json::json;
use std::process::ExitCode;

/// Prints the completions of a shell.
pub fn completions(args: &CompletionsArgs, output: &mut dyn Output) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "nepal-loop", &mut script);
    let script = String::from_utf8_lossy(&script);
    let data = json!({ "shell": args.shell.to_string(), "script": script });
    output.result("completions", &script, data);
    Ok(ExitCode::SUCCESS)
}

/// Writes a man page for each command.
pub fn man(args: &ManArgs, output: &mut dyn Output) -> Result<ExitCode> {
    std::fs::create_dir_all(&args.folder).map_err(|e| Error::io("create", &args.folder, e))?;
    clap_mangen::generate_to(Cli::command(), &args.folder)
        .map_err(|e| Error::io("write into", &args.folder, e))?;
    let folder = super::shown(&args.folder);
    output.result(
        "man",
        &format!(
            "wrote man pages into {folder}; `man nepal-loop` finds those in ~/.local/share/man/man1"
        ),
        json!({ "folder": folder }),
    );
    Ok(ExitCode::SUCCESS)
}
