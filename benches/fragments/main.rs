//! How good fragments are: targets in several materials, each way to cut them, what the boundary
//! looks like.
//!
//!     cargo bench --bench fragments -- --material pbte --targets 40 --cache DIR --out rows.tsv
//!     cargo bench --bench fragments -- --summary rows.tsv

mod parents;
mod table;

use nepal::fragment::{FragmentOptions, Mode, Outcome, Shape, carve, extract};
use nepal::{BackendKind, Calculator, NeighborList, Request, Result, Structure};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use table::Row;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = args.iter().position(|a| a == name)?;
        args.get(at + 1).cloned()
    };
    if let Some(file) = value("--summary") {
        print!("{}", table::summary(&table::read(&file)?));
        return Ok(());
    }
    let cache = PathBuf::from(value("--cache").unwrap_or_else(|| "target/fragments".into()));
    std::fs::create_dir_all(&cache)
        .map_err(|e| nepal::Error::Failed(format!("{}: {e}", cache.display())))?;
    let count: usize = value("--targets").map_or(Ok(4), |n| n.parse()).unwrap_or(4);
    let skip: usize = value("--skip").map_or(Ok(0), |n| n.parse()).unwrap_or(0);
    let out = value("--out").map(PathBuf::from);
    let only = value("--material");
    let mode: Mode = value("--mode").map_or(Ok(Mode::Exact), |m| m.parse())?;
    let full = !args.iter().any(|a| a == "--ours-only");
    for name in parents::MATERIALS {
        if only.as_ref().is_some_and(|m| m != name) {
            continue;
        }
        let material = parents::material(name, &cache)?;
        let mut study = Study::new(name, &material)?;
        for target in study.targets(skip + count).into_iter().skip(skip) {
            let row = study.row(target, mode, full)?;
            println!("{}", row.line());
            if let Some(path) = &out {
                let file = std::fs::OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(path);
                let written = file.and_then(|mut f| writeln!(f, "{}", row.line()));
                written.map_err(|e| nepal::Error::Failed(format!("{}: {e}", path.display())))?;
            }
        }
    }
    Ok(())
}

/// One parent under study.
struct Study<'a> {
    name: &'a str,
    material: &'a parents::Material,
    graded: Calculator,
    plain: Calculator,
    grades: Vec<f64>,
    descriptors: Vec<f64>,
}

impl<'a> Study<'a> {
    fn new(name: &'a str, material: &'a parents::Material) -> Result<Self> {
        let mut graded = Calculator::new(Arc::clone(&material.model), BackendKind::Cpu)?;
        graded.set_active_set(Some(Arc::clone(&material.set)))?;
        let request = Request::GRADES | Request::DESCRIPTORS;
        let found = graded.compute(&material.parent, request)?;
        let (grades, descriptors) = (found.grade.clone(), found.descriptors.clone());
        let mut sorted = grades.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share) as usize];
        eprintln!(
            "{name}: {} atoms, grade 50 % {:.2}, 90 % {:.2}, 99 % {:.2}, largest {:.2}",
            sorted.len(),
            at(0.5),
            at(0.9),
            at(0.99),
            at(1.0)
        );
        Ok(Self {
            name,
            material,
            graded,
            plain: Calculator::new(Arc::clone(&material.model), BackendKind::Cpu)?,
            grades,
            descriptors,
        })
    }

    /// The atoms of largest grade that are not near a chosen one.
    fn targets(&self, count: usize) -> Vec<usize> {
        let parent = &self.material.parent;
        let mut order: Vec<usize> = (0..parent.len()).collect();
        order.sort_by(|&a, &b| self.grades[b].total_cmp(&self.grades[a]));
        let mut chosen: Vec<usize> = Vec::new();
        for atom in order {
            let apart = |&other: &usize| {
                let d =
                    std::array::from_fn(|x| parent.positions[atom][x] - parent.positions[other][x]);
                let s = parent.cell.fractional(d);
                let periodic = parent.cell.periodic();
                let s = std::array::from_fn(|x| {
                    if periodic[x] {
                        s[x] - s[x].round()
                    } else {
                        s[x]
                    }
                });
                let r: [f64; 3] = parent.cell.cartesian(s);
                r.iter().map(|x| x * x).sum::<f64>().sqrt() > 4.0
            };
            if chosen.iter().all(apart) {
                chosen.push(atom);
            }
            if chosen.len() == count {
                break;
            }
        }
        chosen
    }

    fn row(&mut self, target: usize, mode: Mode, full: bool) -> Result<Row> {
        let parent = &self.material.parent;
        let mut row = Row {
            material: self.name.to_owned(),
            target,
            grade: self.grades[target],
            parent_atoms: parent.len(),
            ..Row::default()
        };
        let options = FragmentOptions {
            mode,
            seed: target as u64,
            ..FragmentOptions::default()
        };
        if full {
            self.naive(target, &mut row)?;
        }
        let start = cpu_seconds();
        let outcome = extract(&mut self.graded, parent, target, &options)?;
        row.seconds = cpu_seconds() - start;
        match outcome {
            Outcome::Fragment(fragment) => {
                row.atoms = fragment.len();
                row.evaluations = fragment.report.evaluations;
                row.shape = fragment.report.shape.map_or("", Shape::name).to_owned();
                row.carved = fragment.report.stages[0].grade_max;
                row.optimised = boundary(&mut self.graded, &fragment.structure, &fragment.core)?;
                row.exact = self.exact(target, &fragment.structure, fragment.target)?;
                row.outcome = format!(
                    "ok cells {} {}",
                    fragment.report.cells_tried,
                    fragment
                        .report
                        .stages
                        .iter()
                        .map(|s| format!(
                            "{}:{:.2}/{:.0}%/f{:.1}/e{:.2}/{}",
                            s.name,
                            s.grade_max,
                            100.0 * s.share_over,
                            s.force_max,
                            s.energy,
                            s.steps
                        ))
                        .collect::<Vec<_>>()
                        .join(" ")
                );
            }
            other => row.outcome = other.to_string(),
        }
        Ok(row)
    }

    /// A cube of the smallest size that keeps cores apart, along the axes, overlaps removed; and
    /// the same relaxed.
    fn naive(&mut self, target: usize, row: &mut Row) -> Result<()> {
        let parent = &self.material.parent;
        let model = &self.material.model;
        let size = 2.0 * model.cutoff() + 2.5;
        let options = FragmentOptions {
            shapes: vec![Shape::Cube],
            orientations: 0,
            min_size: Some(size),
            max_size: Some(size),
            cells: 1,
            n_max: 2000,
            composition_tolerance: 1.0,
            density: [0.0, 10.0],
            f_max: 1e6,
            gamma_b: 1e9,
            kicks: 0,
            max_strain: 0.0,
            relax_steps: 150,
            ..FragmentOptions::default()
        };
        if let Outcome::Fragment(cut) = carve(model, parent, target, &options)? {
            row.naive_atoms = cut.len();
            row.naive = boundary(&mut self.graded, &cut.structure, &cut.core)?;
            row.naive_exact = self.exact(target, &cut.structure, cut.target)?;
        }
        if let Outcome::Fragment(cut) = extract(&mut self.plain, parent, target, &options)? {
            row.relaxed = boundary(&mut self.graded, &cut.structure, &cut.core)?;
        }
        Ok(())
    }

    /// Whether the target's descriptors and its neighbours are those it has in the parent; found
    /// without the library's own verification.
    fn exact(&mut self, target: usize, structure: &Structure, at: usize) -> Result<bool> {
        let dim = self.material.model.dim();
        let cutoff = self.material.model.cutoff();
        let parent = &self.material.parent;
        let found = self.plain.compute(structure, Request::DESCRIPTORS)?;
        let here = &found.descriptors[at * dim..][..dim];
        let there = &self.descriptors[target * dim..][..dim];
        let largest = there.iter().fold(0.0f64, |m, q| m.max(q.abs()));
        let same = here
            .iter()
            .zip(there)
            .all(|(a, b)| (a - b).abs() < 1e-9 * largest);
        let count = |s: &Structure, atom: usize| -> Result<usize> {
            Ok(NeighborList::build(&s.cell, &s.positions, cutoff - 1e-6)?.count(atom))
        };
        Ok(same && count(structure, at)? == count(parent, target)?)
    }
}

/// Largest and median grade of the atoms outside the core, and their share above 2.
fn boundary(calculator: &mut Calculator, structure: &Structure, core: &[bool]) -> Result<f64> {
    let found = calculator.compute(structure, Request::GRADES)?;
    let grades = found.grade.iter().zip(core).filter(|(_, core)| !**core);
    Ok(grades.map(|(g, _)| *g).fold(0.0, f64::max))
}

/// Processor time of this process, s: what others do on the machine does not count.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name in parentheses, user and system time are the 12th and 13th words, in 1/100 s.
    let words = text.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = words
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|w| w.parse::<f64>().ok())
        .sum();
    0.01 * ticks
}
