//! A tiny run of each thing that was found: what is there need not work.

use nepal::calculator::Potential;
use nepal::system::{Cell, Frame, Structure};
use nepal::{BackendKind, Element, Error, Result};
use nepal_loop::label::{Call, Ending, StillingerWeber, StopFlag};
use nepal_train::{NepIn, TrainOptions};
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest time of a run.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What is tried with each program: files that it finds in its folder, and its arguments.
type Trial = (
    &'static [(&'static str, &'static str)],
    &'static [&'static str],
);

/// Two argon atoms.
const LAMMPS: Trial = (
    &[(
        "in",
        "units metal\nregion all block 0 12 0 12 0 12\ncreate_box 1 all\ncreate_atoms 1 single 2 2 2\n\
         create_atoms 1 single 5.8 2 2\nmass 1 39.95\npair_style lj/cut 5\npair_coeff 1 1 0.0103 3.4\nrun 2\n",
    )],
    &["-in", "in", "-log", "none"],
);
/// The same, without a basis or a pseudopotential.
const CP2K: Trial = (
    &[(
        "a.inp",
        "&GLOBAL\nRUN_TYPE ENERGY_FORCE\n&END\n&FORCE_EVAL\nMETHOD FIST\n&MM\n&FORCEFIELD\n\
         &CHARGE\nATOM Ar\nCHARGE 0\n&END\n\
         &NONBONDED\n&LENNARD-JONES\nATOMS Ar Ar\nEPSILON 119.8\nSIGMA 3.4\nRCUT 5\n&END\n&END\n&END\n\
         &POISSON\n&EWALD\nEWALD_TYPE NONE\n&END\n&END\n&END\n\
         &SUBSYS\n&CELL\nABC 12 12 12\n&END\n&COORD\nAr 2 2 2\nAr 5.8 2 2\n&END\n&END\n&END\n",
    )],
    &["-i", "a.inp"],
);
/// A hydrogen molecule.
const XTB: Trial = (
    &[("h2.xyz", "2\n\nH 0 0 0\nH 0 0 0.74\n")],
    &["h2.xyz", "--gfn", "1"],
);
const MPI: Trial = (&[], &["-n", "1", "true"]);
const COMPILER: Trial = (
    &[("a.c", "int main(void) { return 0; }\n")],
    &["a.c", "-o", "a"],
);
const ASE: Trial = (
    &[(
        "a.py",
        "from ase.build import bulk\nfrom ase.calculators.emt import EMT\na = bulk('Cu')\na.calc = EMT()\na.get_forces()\n",
    )],
    &["a.py"],
);

/// Runs what a program is known to do; `None` where it needs files that only the user has.
pub fn of_program(what: &str, program: &Path, stop: &StopFlag) -> Option<Result<String>> {
    let (files, arguments) = match what {
        "CP2K" => CP2K,
        "LAMMPS" => LAMMPS,
        "xtb" => XTB,
        "MPI" => MPI,
        "C compiler" => COMPILER,
        "ASE" => ASE,
        _ => return None,
    };
    Some(run(files, program, arguments, stop))
}

fn run(
    files: &[(&str, &str)],
    program: &Path,
    arguments: &[&str],
    stop: &StopFlag,
) -> Result<String> {
    let folder = tempfile::tempdir().map_err(|e| Error::io("make", "a temporary folder", e))?;
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::write(&path, text).map_err(|e| Error::io("write", &path, e))?;
    }
    let program = program.to_string_lossy().into_owned();
    let arguments = arguments.iter().map(|&a| a.to_owned());
    // Open MPI as root, as in containers; one thread is enough.
    let set = [
        ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
        ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
        ("OMP_NUM_THREADS", "1"),
    ];
    let call = Call {
        command: std::iter::once(program).chain(arguments).collect(),
        env: set.map(|(name, value)| (name.into(), value.into())).into(),
        folder: folder.path().to_owned(),
        output: "said".into(),
        timeout: TIMEOUT,
    };
    let start = Instant::now();
    match call.run(stop)? {
        Ending::Exited(0) => Ok(format!("ran in {:.1} s", start.elapsed().as_secs_f64())),
        ending => {
            let said = std::fs::read(folder.path().join("said")).unwrap_or_default();
            let said = String::from_utf8_lossy(&said).into_owned();
            let last = said.lines().rev().find(|l| !l.trim().is_empty());
            Err(Error::Failed(format!(
                "{}; it said: {}",
                ending.failure(TIMEOUT).unwrap_or_default(),
                last.unwrap_or("nothing").trim()
            )))
        }
    }
}

/// Labels silicon by the built-in potential, trains a model, and evaluates it on the processor and, if there
/// is one, on the GPU. A result for each of the two.
pub fn of_nepal(gpu: bool) -> (Result<String>, Option<Result<String>>) {
    let start = Instant::now();
    let trained = frames().and_then(|frames| {
        let nep_in = NepIn::parse(
            "type 1 Si\ncutoff 4 4\nn_max 4 4\nbasis_size 4 4\nl_max 4 0 0\nneuron 4\n",
            "doctor",
        )?;
        let options = TrainOptions {
            threads: Some(1),
            epochs: Some(5),
            ..TrainOptions::default()
        };
        let model = nepal_train::train(&nep_in, &frames, &[], options)?.model;
        let errors = nepal_train::errors(&model, &frames, BackendKind::Cpu)?;
        Ok((model, frames, errors.force_rmse.unwrap_or(f64::NAN)))
    });
    let (model, frames, error) = match trained {
        Ok(trained) => trained,
        Err(error) => return (Err(error), None),
    };
    let here = format!(
        "labelled {} cells, trained and evaluated in {:.1} s",
        frames.len(),
        start.elapsed().as_secs_f64()
    );
    let there = gpu.then(|| {
        let start = Instant::now();
        let found = nepal_train::errors(&model, &frames, BackendKind::Cuda)?;
        let found = found.force_rmse.unwrap_or(f64::NAN);
        // Single precision inside.
        if (found - error).abs() > 1e-3 * error {
            return Err(Error::Failed(format!(
                "it finds a force error of {found} eV/Å, the processor {error}"
            )));
        }
        let seconds = start.elapsed().as_secs_f64();
        Ok(format!("evaluated as on the processor, in {seconds:.1} s"))
    });
    (Ok(here), there)
}

/// Diamond cells, shaken by fixed amounts.
fn frames() -> Result<Vec<Frame>> {
    const LATTICE: f64 = 5.431;
    const SITES: [[f64; 3]; 8] = [
        [0.0, 0.0, 0.0],
        [0.0, 0.5, 0.5],
        [0.5, 0.0, 0.5],
        [0.5, 0.5, 0.0],
        [0.25, 0.25, 0.25],
        [0.25, 0.75, 0.75],
        [0.75, 0.25, 0.75],
        [0.75, 0.75, 0.25],
    ];
    let silicon = Element::from_symbol("Si")?;
    let one = |number: usize| {
        let edge = LATTICE * (1.0 + 0.01 * number as f64);
        let cell = Cell::orthorhombic([edge; 3])?;
        let place = |(i, site): (usize, &[f64; 3])| {
            std::array::from_fn(|c| {
                edge * site[c] + 0.1 * f64::sin((7 * i + 3 * c + number) as f64)
            })
        };
        let positions = SITES.iter().enumerate().map(place).collect();
        let structure = Structure::new(cell, vec![silicon; SITES.len()], positions)?;
        let (energy, forces, virial) = StillingerWeber.energy_forces_virial(&structure)?;
        let mut frame = Frame::new(structure);
        (frame.energy, frame.forces, frame.virial) = (Some(energy), Some(forces), Some(virial));
        Ok(frame)
    };
    (0..4).map(one).collect()
}
