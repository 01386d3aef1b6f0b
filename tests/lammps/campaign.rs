//! A campaign whose exploration runs in LAMMPS: the user's input, two walkers, two ranks.

use crate::host::lammps;
use nepal::system::xyz;
use nepal_loop::campaign::{Campaign, Silent};
use nepal_loop::label::StopFlag;

const CAMPAIGN: &str = r#"
title = "LAMMPS explores"
seed = 5
threads = 1
[model]
first_epochs = 60
epochs = 20
nep_in = """
type 1 Si
cutoff 4.5 4
n_max 3 2
basis_size 4 4
l_max 2 0 0
neuron 6
"""
[label]
kind = "stillinger-weber"
[[initial]]
prototype = "diamond"
elements = ["Si"]
lattice = 5.43
strain = 0.03
rattle = 0.1
count = 6
[grade]
save = 1.5
break = 50.0
spacing = 20
[[explore]]
name = "mine"
start = { prototype = "diamond", elements = ["Si"], lattice = 5.43, repeat = [2, 2, 2] }
ensemble = "svr"
temperature = [300, 1200]
timestep = 0.001
steps = 100
replicas = 2
ladder = [{ temperature = [1200, 1200] }]
engine = { kind = "lammps", command = ["@MPIEXEC@", "-n", "2", "@LMP@"], input = "in.mine", plugin = "@PLUGIN@", cores = 2, timeout = 120, env = { LD_LIBRARY_PATH = "@LIBRARIES@" } }
[select]
max_structures = 3
[stop]
max_rounds = 2
"#;

const INPUT: &str = "# my own input\nunits metal\nboundary p p p\nread_data @DATA@\n@POTENTIAL@\n\
    velocity all create @TEMPERATURE@ @SEED@\nfix mine all nve\nfix bath all langevin @TEMPERATURE@ @TEMPERATURE_END@ 0.1 @SEED@\n\
    timestep @TIMESTEP@\n@GRADES@\nthermo 50\nrun @STEPS@\n";

#[test]
fn lammps_explores_in_a_campaign() {
    let lammps = lammps();
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let text = CAMPAIGN
        .replace("@MPIEXEC@", &lammps.mpiexec().display().to_string())
        .replace("@LMP@", &lammps.program().display().to_string())
        .replace("@PLUGIN@", &lammps.plugin().display().to_string())
        .replace("@LIBRARIES@", &lammps.libraries().display().to_string());
    std::fs::write(at("c.toml"), text).expect("written");
    std::fs::write(at("in.mine"), INPUT).expect("written");
    let campaign =
        Campaign::load(&at("c.toml"), StopFlag::default()).unwrap_or_else(|e| panic!("{e}"));
    let outcome = campaign
        .run(&mut Silent::default())
        .unwrap_or_else(|e| panic!("{e}"))
        .expect("not interrupted");
    assert!(outcome.report.exists());
    let rounds = campaign.rounds().expect("records");
    assert_eq!(rounds.len(), 2);
    for run in &rounds[0].explore {
        // A step at the start and one each ten.
        assert_eq!(run.trace.len(), 11, "{}", run.name);
        assert!(run.finished && run.steps == 100 && run.stages_left == 1);
        let own = at(&format!("work/round-00/explore/{}/0/in.explore", run.name));
        let written = std::fs::read_to_string(own).expect("an input");
        for line in INPUT.lines().filter(|l| !l.contains('@')) {
            assert!(written.contains(line), "{line} in\n{written}");
        }
    }
    let names: Vec<&str> = rounds[0].explore.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["mine.0", "mine.1"]);
    // A start this poor leaves known ground, and what is kept is what LAMMPS saw.
    let frames = xyz::read_frames(at("work/round-00/candidates.xyz")).expect("candidates");
    assert!(!frames.is_empty());
    assert!(
        frames
            .iter()
            .all(|f| f.len() == 64 && f.info["scenario"].starts_with("mine."))
    );
    let worst = rounds[0]
        .explore
        .iter()
        .map(|e| e.max_grade)
        .fold(0.0, f64::max);
    for frame in &frames {
        let grade: f64 = frame.info["grade"].parse().expect("a grade");
        assert!(grade >= 1.5 && grade <= worst * (1.0 + 1e-6), "{grade}");
        // The column of the dump is what the trace of LAMMPS says of the same step.
        let column = &frame.real_column("grade").expect("grades").0;
        let largest = column.iter().copied().fold(0.0, f64::max);
        assert!((largest - grade).abs() < 1e-6 * grade, "{largest} {grade}");
    }
    let chosen = &rounds[0].selection.as_ref().expect("chosen").selected;
    assert!(!chosen.is_empty() && chosen.len() <= 3);
}
