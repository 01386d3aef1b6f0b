//! `nepal-loop`: the command line of nepal. Knows nothing but the public Rust API.

mod cli;
mod commands;
mod output;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut output = output::create(cli.output_mode);
    output::hear_warnings(cli.output_mode);
    let result = match &cli.command {
        Command::Init(args) => commands::init::run(args, &mut *output),
        Command::Run(args) => commands::campaign::run(args, &mut *output),
        Command::Step(args) => commands::campaign::step(args, &mut *output),
        Command::Status(args) => commands::status::run(args, &mut *output),
        Command::Resume(args) => commands::campaign::resume(args, &mut *output),
        Command::Report(args) => commands::report::run(args, &mut *output),
        Command::Import(args) => commands::import::run(args, &mut *output),
        Command::Export(args) => commands::export::run(args, &mut *output),
        Command::Predict(args) => commands::predict::run(args, &mut *output),
        Command::ActiveSet(args) => commands::active_set::run(args, &mut *output),
        Command::Select(args) => commands::select::run(args, &mut *output),
        Command::Fragment(args) => commands::fragment::run(args, &mut *output),
        Command::Label(args) => commands::label::run(args, &mut *output),
        Command::Train(args) => commands::train::run(args, &mut *output),
        Command::LearningCurve(args) => commands::study::learning_curve(args, &mut *output),
        Command::Search(args) => commands::study::search(args, &mut *output),
        Command::Audit(args) => commands::audit::run(args, &mut *output),
        Command::Explore(args) => commands::explore::run(args, &mut *output),
        Command::Doctor(args) => commands::doctor::run(args, &mut *output),
        Command::Cite(args) => commands::cite::run(args, &mut *output),
        Command::Completions(args) => commands::shell::completions(args, &mut *output),
        Command::Man(args) => commands::shell::man(args, &mut *output),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            output.error(&error);
            ExitCode::from(1)
        }
    }
}
