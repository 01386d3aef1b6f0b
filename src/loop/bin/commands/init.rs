//! `init`: a commented campaign file to start from, by flags or by a few questions.

use super::{Strategy, generators, methods, shown};
use crate::cli::InitArgs;
use crate::output::Output;
use nepal::{Element, Error, Frame, Result};
use nepal_loop::campaign::Campaign;
use nepal_loop::explore::generate::crystal;
use nepal_loop::explore::prototypes::names;
use serde_json::json;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const TEMPLATE: &str = include_str!("campaign.template.toml");
/// Where labels can run.
const SCHEDULERS: [&str; 5] = ["local", "slurm", "pbs", "lsf", "hyperqueue"];

/// Writes the file, checks that it is a valid campaign, and refuses to overwrite anything.
pub fn run(args: &InitArgs, output: &mut dyn Output) -> Result<ExitCode> {
    let mut ask: Ask = if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        Box::new(ask_terminal)
    } else {
        Box::new(|_, flag, _| {
            Err(Error::invalid(format!(
                "{flag} is not given, and there is no terminal to ask on; see nepal-loop init --help"
            )))
        })
    };
    let start = args.structure.as_deref().map(start).transpose()?;
    let text = campaign(args, start.as_ref(), &mut ask)?;
    if let Some((frame, true)) = &start {
        let beside = converted(args);
        if beside.exists() {
            return Err(Error::invalid(format!(
                "{} is there already; the structure would be written into it",
                beside.display()
            )));
        }
        nepal::system::xyz::write_frames(&beside, [frame])?;
    }
    let mut file = std::fs::File::create_new(&args.campaign)
        .map_err(|e| Error::io("create", &args.campaign, e))?;
    file.write_all(text.as_bytes())
        .map_err(|e| Error::io("write", &args.campaign, e))?;
    Campaign::load(&args.campaign, super::stop_flag().into())?;
    output.result(
        "init",
        &format!(
            "wrote {}; read it, adapt it, then: nepal-loop run {}",
            args.campaign.display(),
            args.campaign.display()
        ),
        json!({ "campaign": shown(&args.campaign) }),
    );
    Ok(ExitCode::SUCCESS)
}

/// Gives the answer to a question: its text, the flag that says the same, and what an empty answer means.
type Ask = Box<dyn FnMut(&str, &str, &str) -> Result<String>>;

/// Asks on the terminal; the question goes to standard error, where progress goes as well.
fn ask_terminal(question: &str, _flag: &str, default: &str) -> Result<String> {
    let hint = if default.is_empty() {
        String::new()
    } else {
        format!(" [{default}]")
    };
    eprint!("{question}{hint}: ");
    let mut line = String::new();
    let read = std::io::stdin()
        .read_line(&mut line)
        .map_err(|e| Error::io("read", "the terminal", e))?;
    let answer = line.trim();
    match (read, answer, default) {
        (0, _, _) => Err(Error::Failed("no answer came".into())),
        (_, "", "") => ask_terminal(question, _flag, default),
        (_, "", default) => Ok(default.to_owned()),
        (_, answer, _) => Ok(answer.to_owned()),
    }
}

/// The structure to start from, and whether it was read from another format than extended XYZ.
fn start(path: &Path) -> Result<(Frame, bool)> {
    let mut frame = super::read_frames(path)?.swap_remove(0);
    let own = path
        .extension()
        .is_some_and(|e| e == "xyz" || e == "extxyz");
    if !own {
        frame = Frame::new(frame.structure);
    }
    Ok((frame, !own))
}

/// Where a structure of another format is written as extended XYZ: beside the campaign file.
fn converted(args: &InitArgs) -> PathBuf {
    args.campaign.with_extension("start.xyz")
}

/// The text of the campaign file.
fn campaign(args: &InitArgs, start: Option<&(Frame, bool)>, ask: &mut Ask) -> Result<String> {
    let mut elements = args.elements.clone();
    elements.retain(|e| !e.is_empty());
    if let (true, Some((frame, _))) = (elements.is_empty(), start) {
        for element in &frame.structure.elements {
            if !elements.iter().any(|e| e == element.symbol()) {
                elements.push(element.symbol().to_owned());
            }
        }
    }
    if elements.is_empty() {
        let answer = ask("Elements, such as: Na Cl", "--elements", "")?;
        let words = answer.split(|c: char| c.is_whitespace() || c == ',');
        elements = words.filter(|w| !w.is_empty()).map(str::to_owned).collect();
    }
    let known = elements
        .iter()
        .map(|symbol| Element::from_symbol(symbol))
        .collect::<Result<Vec<_>>>()?;
    let (start, cells) = match (&args.structure, &args.prototype) {
        (Some(path), _) => {
            let first = start.map(|s| &s.0.structure);
            let first = first.ok_or_else(|| Error::Internal("no structure was read".into()))?;
            let cells = generators::Cells::of(first, None);
            let beside = converted(args);
            let name = Path::new(beside.file_name().unwrap_or_default());
            let path = if start.is_some_and(|s| s.1) {
                name
            } else {
                path
            };
            (generators::Start::File(path.display().to_string()), cells)
        }
        (None, prototype) => {
            let prototype = match prototype {
                Some(name) => name.clone(),
                None => ask(
                    &format!("Crystal ({})", names().collect::<Vec<_>>().join(", ")),
                    "--prototype",
                    if elements.len() == 2 {
                        "rocksalt"
                    } else {
                        "fcc"
                    },
                )?,
            };
            let lattice = match args.lattice {
                Some(a) => a,
                None => {
                    let answer = ask("Lattice constant in Å", "--lattice", "")?;
                    answer.parse().map_err(|_| {
                        Error::invalid(format!(
                            "expected a lattice constant in Å, found {answer:?}"
                        ))
                    })?
                }
            };
            let mixed = args.strategy == Strategy::Composition;
            let on_sites = &known[..if mixed {
                known.len().min(1)
            } else {
                known.len()
            }];
            // What `run` would refuse.
            let made = crystal(&prototype, on_sites, lattice, [1; 3])
                .map_err(|e| Error::invalid(format!("--prototype: {e}")))?;
            let cells = generators::Cells::of(&made, Some(&prototype));
            let start = match mixed {
                true => generators::Start::Alloy { prototype, lattice },
                false => generators::Start::Crystal { prototype, lattice },
            };
            (start, cells)
        }
    };
    let label = match &args.label {
        Some(label) => label.clone(),
        None => {
            let known: Vec<&str> = methods::METHODS.iter().map(|(name, _)| *name).collect();
            let question = format!("Reference method ({})", known.join(", "));
            // Without a terminal the flag has a default, as it always had.
            ask(&question, "--label", "cp2k").unwrap_or_else(|_| "cp2k".into())
        }
    };
    let table = methods::table(&label, &elements).ok_or_else(|| {
        let known: Vec<&str> = methods::METHODS.iter().map(|(name, _)| *name).collect();
        Error::invalid(format!(
            "--label is {label:?}; allowed are {}",
            known.join(", ")
        ))
    })?;
    let scheduler = match &args.scheduler {
        Some(scheduler) => scheduler.clone(),
        None => {
            let question = format!("Where labels run ({})", SCHEDULERS.join(", "));
            ask(&question, "--scheduler", SCHEDULERS[0]).unwrap_or_else(|_| SCHEDULERS[0].into())
        }
    };
    if !SCHEDULERS.contains(&scheduler.as_str()) {
        return Err(Error::invalid(format!(
            "--scheduler is {scheduler:?}; allowed are {}",
            SCHEDULERS.join(", ")
        )));
    }
    let positive = match &start {
        generators::Start::Crystal { lattice, .. } | generators::Start::Alloy { lattice, .. } => {
            *lattice > 0.0
        }
        generators::Start::File(_) => true,
    };
    if !positive || !(args.temperature > 0.0) {
        return Err(Error::invalid(
            "--lattice (Å) and --temperature (K) must be positive",
        ));
    }
    let melt = args
        .melt_potential
        .as_ref()
        .map(|p| p.display().to_string());
    let initial = generators::initial(
        &start,
        &cells,
        &elements,
        &args.with,
        args.cutoff[0],
        args.temperature,
        melt.as_deref(),
    )?;
    let scenarios = (args.strategy)
        .scenarios(&start, &cells, &elements, args.temperature)
        .map_err(Error::invalid)?;
    let charges: Vec<String> = elements.iter().map(|e| format!("{e} = 0")).collect();
    let quoted: Vec<String> = elements.iter().map(|e| format!("\"{e}\"")).collect();
    Ok(TEMPLATE
        .replace("@LABEL@", &table)
        .replace("@SCHEDULER@", methods::scheduler(&scheduler))
        .replace("@INITIAL@", &initial)
        .replace("@GOAL@", args.strategy.goal())
        // Eight in all.
        .replace(
            "@FRAMES@",
            if args.strategy == Strategy::Dynamics {
                "8"
            } else {
                "4"
            },
        )
        .replace("@EXPLORE@", scenarios.trim_end())
        .replace("@START@", &start.inline(&elements))
        .replace("@CHARGES@", &charges.join(", "))
        .replace("@SYMBOLS@", &elements.join(" "))
        .replace("@COUNT@", &elements.len().to_string())
        .replace("@ELEMENTS@", &quoted.join(", "))
        .replace("@TEMPERATURE@", &args.temperature.to_string())
        .replace(
            "@CUTOFF@",
            &format!("{} {}", args.cutoff[0], args.cutoff[1]),
        ))
}

#[cfg(test)]
mod tests;
