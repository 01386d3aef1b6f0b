//! `doctor`: what this machine has, what is missing for what, and whether what is there works.

mod trial;

use crate::cli::DoctorArgs;
use crate::output::Output;
use nepal::Result;
use nepal_loop::campaign::Campaign;
use nepal_loop::label::find_program;
use nepal_loop::schedule::{SchedulerConfig, SchedulerKind};
use serde_json::json;
use std::process::ExitCode;

/// One thing that a user may want, and whether it is there.
struct Finding {
    what: &'static str,
    found: bool,
    detail: String,
    /// What a tiny run of it gave; `None` where none was made.
    tried: Option<Result<String>>,
}

/// Looks for what nepal can use. Nothing here is required, so the command succeeds unless a campaign is
/// named whose scheduler does not answer.
pub fn run(args: &DoctorArgs, output: &mut dyn Output) -> Result<ExitCode> {
    let stop = super::stop_flag().into();
    let mut findings = vec![processor(), gpu()];
    let (here, there) = trial::of_nepal(findings[1].found);
    (findings[0].tried, findings[1].tried) = (Some(here), there);
    let mut code = ExitCode::SUCCESS;
    if let Some(path) = &args.campaign {
        let campaign = Campaign::load(path, super::stop_flag().into())?;
        let finding = scheduler("scheduler", &campaign.config().scheduler);
        if !finding.found {
            code = ExitCode::from(1);
        }
        findings.push(finding);
    }
    const PROGRAMS: [(&str, &[&str], &str); 10] = [
        (
            "CP2K",
            &["cp2k", "cp2k.psmp", "cp2k.ssmp", "cp2k.popt"],
            "labels by density functional theory: install the package cp2k",
        ),
        ("Quantum ESPRESSO", &["pw.x"], "labels: kind = \"qe\""),
        ("VASP", &["vasp_std", "vasp_gam"], "labels: kind = \"vasp\""),
        ("ABINIT", &["abinit"], "labels: kind = \"abinit\""),
        (
            "xtb",
            &["xtb"],
            "labels of the tblite package: kind = \"ase\"; the program itself through kind = \"command\"",
        ),
        (
            "LAMMPS",
            &["lmp", "lmp_mpi", "lmp_serial"],
            "labels with any of its pair styles: kind = \"lammps\"",
        ),
        (
            "GPUMD",
            &["gpumd"],
            "reads the .asi files of `active-set --compat`",
        ),
        (
            "MPI",
            &["mpirun", "mpiexec", "srun"],
            "starts parallel labelling programs",
        ),
        (
            "ASE",
            &["python3", "python"],
            "labels by its calculators, CIF and other files",
        ),
        (
            "C compiler",
            &["cc", "gcc", "clang"],
            "builds the C example",
        ),
    ];
    for (what, names, use_) in PROGRAMS {
        let missing = |why: &str| Finding {
            what,
            found: false,
            detail: format!("not found ({why}); {use_}"),
            tried: None,
        };
        findings.push(match find_program(names) {
            Some((path, version)) => match trial::of_program(what, &path, &stop) {
                // A language is there, its package is not.
                Some(Err(error)) if error.to_string().contains("No module named") => {
                    missing(&format!("{} does not have it", path.display()))
                }
                tried => Finding {
                    what,
                    found: true,
                    detail: format!("{} ({version})", path.display()),
                    tried,
                },
            },
            None => missing(&format!("tried {}", names.join(", "))),
        });
    }
    for (what, kind, name) in [
        ("Slurm", SchedulerKind::Slurm, "sbatch"),
        ("PBS", SchedulerKind::Pbs, "qsub"),
        ("LSF", SchedulerKind::Lsf, "bsub"),
        ("HyperQueue", SchedulerKind::HyperQueue, "hq"),
    ] {
        let config = SchedulerConfig {
            kind,
            ..SchedulerConfig::default()
        };
        findings.push(match find_program(&[name]) {
            Some(_) => scheduler(what, &config),
            None => Finding {
                what,
                found: false,
                detail: format!("not found (tried {name}); labels as its jobs"),
                tried: None,
            },
        });
    }
    let mut text = format!("nepal {}\n", env!("CARGO_PKG_VERSION"));
    for f in &findings {
        let mark = if f.found { "yes" } else { "no " };
        text.push_str(&format!("{mark}  {:<17} {}\n", f.what, f.detail));
    }
    text.push_str("\nA tiny run of each:\n");
    for f in findings.iter().filter(|f| f.found) {
        let (mark, told) = match &f.tried {
            Some(Ok(told)) => ("ok ", told.clone()),
            Some(Err(error)) => ("BAD", error.to_string()),
            None => ("-  ", "not tried: it needs files or an allocation of yours; `nepal-loop label` tries a method".into()),
        };
        text.push_str(&format!("{mark}  {:<17} {told}\n", f.what));
    }
    let data: Vec<_> = findings
        .iter()
        .map(|f| {
            let (works, told) = match &f.tried {
                Some(Ok(told)) => (Some(true), Some(told.clone())),
                Some(Err(error)) => (Some(false), Some(error.to_string())),
                None => (None, None),
            };
            json!({ "what": f.what, "found": f.found, "detail": f.detail, "works": works, "tried": told })
        })
        .collect();
    output.result(
        "doctor",
        &text,
        json!({ "version": env!("CARGO_PKG_VERSION"), "findings": data }),
    );
    Ok(code)
}

/// Whether a scheduler answers.
fn scheduler(what: &'static str, config: &SchedulerConfig) -> Finding {
    let (found, detail) = match config.probe() {
        Ok(line) => (true, line),
        Err(refusal) => (false, refusal.to_string()),
    };
    Finding {
        what,
        found,
        detail,
        tried: None,
    }
}

fn processor() -> Finding {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (found, runs) = match nepal::simd::instructions() {
        Ok((name, _)) => (true, format!("models run on {name}")),
        Err(refusal) => (false, refusal.to_string()),
    };
    let has: Vec<&str> = nepal::simd::known().iter().map(|(name, _)| *name).collect();
    Finding {
        what: "processor",
        found,
        detail: format!(
            "{cores} core(s), {} with {}; {runs}",
            std::env::consts::ARCH,
            has.join(", ")
        ),
        tried: None,
    }
}

#[cfg(feature = "cuda")]
fn gpu() -> Finding {
    match nepal_cuda::devices() {
        Ok(names) => Finding {
            what: "GPU",
            found: true,
            detail: names.join(", "),
            tried: None,
        },
        Err(e) => Finding {
            what: "GPU",
            found: false,
            detail: e.to_string(),
            tried: None,
        },
    }
}

#[cfg(not(feature = "cuda"))]
fn gpu() -> Finding {
    Finding {
        what: "GPU",
        found: false,
        detail: "this build does not look for one (feature `cuda` is off)".into(),
        tried: None,
    }
}
