//! The scenarios that `init` writes, by the strategy that was asked for.

use super::generators::{Cells, Start};
use clap::ValueEnum;

/// How a campaign explores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Strategy {
    /// Dynamics under the watch of the grade.
    Dynamics,
    /// Hyperactive learning, dynamics biased towards what is uncertain, and plain dynamics beside it: of all ways the
    /// smallest error, or one within its spread, in every world of `benches/results/strategies.md`.
    #[default]
    Hal,
    /// Uncertain and energetically viable frames of strongly anharmonic motion.
    Anharmonic,
    /// Atoms and cell climb the grade.
    Active,
    /// A grid of compositions.
    Composition,
}

impl Strategy {
    /// The stop rule that its campaign ends by.
    pub fn goal(self) -> &'static str {
        match self {
            // What is more uncertain than usual there always is; what counts is that it is predicted.
            Self::Anharmonic => "canary",
            _ => "clean",
        }
    }

    /// The tables `[[explore]]`, each with what it is for.
    ///
    /// **Errors**: in words, where the elements do not suffice.
    pub fn scenarios(
        self,
        start: &Start,
        cells: &Cells,
        elements: &[String],
        temperature: f64,
    ) -> Result<String, String> {
        let inline = start.inline(elements);
        let (repeat, shape) = (cells.repeat, cells.shape());
        // A run that nothing pushes says whether the model is right where it will be used.
        let watch = format!(
            r#"# Plain dynamics at the conditions of use: the campaign ends when it stays on known ground.
[[explore]]
name = "heat"
start = {{ {inline}, repeat = {repeat:?} }}
ensemble = "npt"
{shape}
temperature = [300, {temperature}]
timestep = 0.001
steps = 20000
# ladder = [{{ temperature = [{temperature}, {temperature}] }}]   # stages to go on to once a round is clean
"#
        );
        let swaps = match elements.len() {
            1 => {
                "# moves = { every = 10, swaps = 4 }    # atoms of two elements that change places: not with one"
            }
            _ => {
                "moves = { every = 10, swaps = 4 }    # trials of unlike atoms that change places, every so many steps"
            }
        };
        let own = match self {
            Self::Dynamics => return Ok(watch),
            Self::Hal => format!(
                r#"# Hyperactive learning: the model's own uncertainty pushes the atoms to where it is large, so that what plain
# dynamics meets after a nanosecond is met after picoseconds. A run ends with the first frame worth a label.
[[explore]]
name = "hal"
start = {{ {inline}, repeat = {repeat:?} }}
ensemble = "npt"
{shape}
temperature = [300, {temperature}]
timestep = 0.001
steps = 4000
replicas = 4                  # walkers: labels of a round come from several runs
{swaps}
[explore.way]
kind = "hal"
tau = 0.2                     # mean force of the bias over that of the model; [0.1, 0.3] for a ramp
tolerance = 0.3               # a frame is kept where the force of an atom is uncertain by more than this part
regulariser = 0.2             # added to that force, eV/Å: small forces are no reason
stop = "first"                # or "end"
"#
            ),
            Self::Anharmonic => format!(
                r#"# Strongly anharmonic motion: frames are kept that are uncertain and that the material has the energy to visit. The
# next round goes on from the frames whose labels the model missed by most.
[[explore]]
name = "anharmonic"
start = {{ {inline}, repeat = {repeat:?}, harmonic = {{ temperature = {temperature} }} }}   # displaced along the model's phonons
ensemble = "langevin"         # under constant pressure energies are not asked
temperature = [{temperature}, {temperature}]
timestep = 0.001
steps = 10000
replicas = 4
[explore.way]
kind = "anharmonic"
signal = "sigma"              # the largest deviation of a force, or "grade"
shift = 2.0                   # standard deviations above the usual uncertainty where the probability is 1/2
rule = "figure"               # energies above the usual ones become improbable; "head" as in the code of 2024
"#
            ),
            Self::Active => format!(
                r#"# Active exploration: no dynamics, but all atoms and the cell climb the grade at once, within limits of distance and
# energy. Few labels, each with many new environments; for a broad model rather than one of a single phase.
[[explore]]
name = "active"
start = {{ {inline}, repeat = {repeat:?}, rattle = 0.05 }}
ensemble = "svr"              # not used, nor is the temperature: nothing moves by itself
temperature = [300, 300]
steps = 2000                  # steps of the optimiser, all tries together
replicas = 4
[explore.way]
kind = "active"
energy = 0.5                  # largest change of the energy, eV/atom
strain = 0.1                  # largest component of the cell's strain
"#
            ),
            Self::Composition => {
                if elements.len() < 2 {
                    return Err(
                        "--strategy composition needs at least two elements in --elements".into(),
                    );
                }
                let lines = start.lines(elements);
                // In the file's own table in place of the first labels' coarse one.
                let lines = lines.lines().filter(|l| !l.starts_with("composition"));
                let names: Vec<String> = elements.iter().map(|e| format!("\"{e}\"")).collect();
                format!(
                    r#"# All compositions of the elements on the sites of the crystal, from one to the other; later rounds add walkers where
# the grades were high. The report has the map.
[[explore]]
name = "compositions"
ensemble = "npt"
{shape}
temperature = [300, {temperature}]
timestep = 0.001
steps = 4000
replicas = 1                  # walkers at each composition
[explore.start]
{}
repeat = {repeat:?}
[explore.start.composition]
elements = [{}]
step = 0.125                  # of the grid; or points = 20, spread evenly
adaptive = 2                  # walkers of later rounds where the map is high
"#,
                    lines.collect::<Vec<_>>().join("\n"),
                    names.join(", ")
                )
            }
        };
        Ok(format!("{own}\n{watch}"))
    }
}
