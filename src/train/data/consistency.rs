//! Energies, forces and virials of a whole set that do not go with one another: another unit, or a
//! sign.
//!
//! One pair potential is fitted to energies and forces at once, the forces divided by a trial factor:
//! the true factor leaves the smallest residual. Virials are then compared with those of the fit.
//! Energies and virials count relative to what the composition alone explains.

use super::pairs::{self, Rows};
use super::units::{FEWEST, KCAL, KJ, Suspects};
use super::virials::{RIGHT, Virials, composition, near, relative};
use nalgebra::{DMatrix, DVector};
use nepal::model::Header;
use nepal::system::Frame;
use nepal::units::{BOHR, HARTREE};

/// Factors of the forces against the energies, and what has them.
const FORCES: [(f64, &str); 9] = [
    (BOHR / HARTREE, "forces in hartree/bohr"),
    (2.0 * BOHR / HARTREE, "forces in rydberg/bohr"),
    (KCAL, "forces in kcal/mol/Å"),
    (KJ, "forces in kJ/mol/Å"),
    (HARTREE, "energies in hartree"),
    (HARTREE / 2.0, "energies in rydberg"),
    (1.0 / KCAL, "energies in kcal/mol"),
    (1.0 / KJ, "energies in kJ/mol"),
    (
        BOHR,
        "energies in hartree and forces in hartree/bohr, or forces in eV/bohr",
    ),
];

/// A factor counts if its residual is below this part of that of forces taken as they are,
const BETTER: f64 = 0.35;
/// and it is at least this far from 1: fits of pair potentials are off by less.
const APART: f64 = 1.6;
/// Both in atomic units are so near to eV and eV/Å that a fit decides only where it is good. In sets of labels of Li,
/// Si, Ge and PbTe residuals fell to 0.16, 0.45, 0.55 and 0.49 for them, to 0.97, 0.85, 0.89 and 1 without a fault.
const DOUBT: f64 = 0.7;
/// How near the factor is then.
const ATOMIC: f64 = 1.8;
/// A unit fits if its factor is this near, or if it is the nearest and not farther than that.
const NEAR: [f64; 2] = [1.45, 2.2];
/// From here on a factor is told although no unit has it: it leaves no doubt that something is wrong.
const ANY: f64 = 3.0;
/// Of few energies only factors beyond this are believed.
const FAR: f64 = 4.0;

/// What of a set does not go with the rest of it.
pub(super) fn suspects(
    header: &Header,
    frames: &[Frame],
    rows: &[Rows],
    used: &[usize],
) -> Vec<Suspects> {
    let Some(fit) = Fit::of(header, frames, rows) else {
        return Vec::new();
    };
    let (factor, coefficients) = fit.best();
    let virials = Virials::of(header, frames, rows);
    let all = |has: &dyn Fn(&Frame) -> bool, detail: String| -> Vec<(usize, String)> {
        let some = used.iter().filter(|&&i| has(&frames[i]));
        some.map(|&i| (i, detail.clone())).collect()
    };
    if factor != 1.0 {
        // Virials say whether energies or forces are to blame.
        let agree = |scale: f64| {
            let right = virials
                .as_ref()
                .and_then(|v| v.against(&coefficients, scale, 0));
            right.is_some_and(|slope| near(slope, 1.0, RIGHT))
        };
        let blame = match (agree(1.0), agree(factor)) {
            (true, false) => "forces",
            (false, true) => "energies",
            _ => "",
        };
        let detail = match fit.per_atom() {
            true => format!("the energies look like {PER_ATOM}"),
            false => told(factor, blame, fit.atoms),
        };
        let (what, has): (_, &dyn Fn(&Frame) -> bool) = if blame == "energies" {
            ("energies that do not go with forces and virials", &|f| {
                f.energy.is_some()
            })
        } else {
            ("forces that do not go with the energies", &|f| {
                f.forces.is_some()
            })
        };
        return vec![Suspects {
            what: what.into(),
            frames: all(has, detail),
            virial: false,
            // Atomic units are the only ones so near to others.
            vague: fit.few && near(factor, 1.0, FAR),
        }];
    }
    let Some(virials) = virials else {
        let atomic = fit.atomic();
        let detail = |factor: f64| {
            let name = "energies in hartree and forces in hartree/bohr";
            format!(
                "the forces are about {factor:.2} times what the energies say: are these {name}?"
            )
        };
        return Vec::from_iter(atomic.map(|factor| Suspects {
            what: "energies and forces that would go together better in atomic units".into(),
            frames: all(
                &|f| f.energy.is_some() && f.forces.is_some(),
                detail(factor),
            ),
            virial: false,
            vague: true,
        }));
    };
    let odd = virials.odd(&coefficients);
    let found = match virials.unit(&coefficients) {
        _ if !odd.is_empty() => odd,
        Some(name) => all(&|f| f.virial.is_some(), format!("they look like {name}")),
        None => return Vec::new(),
    };
    vec![Suspects {
        what: "virials (or stresses) that do not go with energies and forces".into(),
        frames: found,
        virial: true,
        vague: false,
    }]
}

/// What energies are that belong to one atom.
const PER_ATOM: &str = "energies per atom instead of those of the cell";

/// Which units have a factor of the forces.
fn names(factor: f64) -> Vec<&'static str> {
    let fits = FORCES
        .iter()
        .filter(|(f, _)| near(factor.abs(), *f, NEAR[0]));
    let fits: Vec<&str> = fits.map(|(_, name)| *name).collect();
    let distance = |f: f64| (factor.abs() / f).ln().abs();
    let nearest = FORCES
        .iter()
        .min_by(|a, b| distance(a.0).total_cmp(&distance(b.0)));
    match nearest {
        Some((f, name)) if fits.is_empty() && near(factor.abs(), *f, NEAR[1]) => vec![name],
        _ => fits,
    }
}

fn told(factor: f64, blame: &str, atoms: [f64; 2]) -> String {
    let mut names = names(factor);
    if near(factor.abs(), atoms[1], NEAR[0]) {
        names.push(PER_ATOM);
    }
    if names.iter().any(|n| n.starts_with(blame)) {
        names.retain(|n| n.starts_with(blame));
    }
    let mut text = format!("the forces are {factor:.3} times what the energies say: as ");
    if factor < 0.0 {
        names.push("gradients, which have the other sign");
    }
    if names.is_empty() {
        names.push("in no unit that nepal knows");
    }
    text.push_str(&names.join(if factor < 0.0 {
        ", and as "
    } else {
        ", or as "
    }));
    text
}

/// Energies and forces as one linear problem, each relative to its size.
struct Fit {
    energy: Option<(DMatrix<f64>, DVector<f64>)>,
    /// The same if the numbers are energies per atom.
    per_atom: Option<(DMatrix<f64>, DVector<f64>)>,
    /// Fewest and most atoms of a frame.
    atoms: [f64; 2],
    force: (DMatrix<f64>, DVector<f64>),
    /// Whether a potential can have all energies as it likes, so that what they say with the forces is no proof.
    few: bool,
}

impl Fit {
    fn of(header: &Header, frames: &[Frame], rows: &[Rows]) -> Option<Self> {
        let columns = pairs::columns(header);
        let square = |row: &Rows| {
            let forces = frames[row.frame].forces.as_deref()?.as_flattened();
            let sum: f64 = forces.iter().map(|f| f * f).sum();
            Some(sum / forces.len() as f64).filter(|s| *s > 1e-8)
        };
        let mut squares: Vec<f64> = rows.iter().filter_map(square).collect();
        if squares.len() < FEWEST {
            return None;
        }
        squares.sort_by(f64::total_cmp);
        let usual = squares[squares.len() / 2];
        let (mut matrix, mut right) = (DMatrix::zeros(columns, columns), DVector::zeros(columns));
        let mut size = 0.0;
        for row in rows {
            let (Some(square), Some(label)) = (square(row), &frames[row.frame].forces) else {
                continue;
            };
            // Large forces count, but not those of one frame alone.
            let weight = 1.0 / (usual + square);
            let label = DVector::from_column_slice(label.as_flattened());
            matrix += row.forces.tr_mul(&row.forces) * weight;
            right += row.forces.tr_mul(&label) * weight;
            size += label.norm_squared() * weight;
        }
        Some(Self {
            energy: Self::energies(header, frames, rows, &|frame| 1.0 / frame.len() as f64),
            per_atom: Self::energies(header, frames, rows, &|_| 1.0),
            atoms: rows.iter().fold([f64::MAX, 1.0], |[least, most], row| {
                let n = frames[row.frame].len() as f64;
                [least.min(n), most.max(n)]
            }),
            force: (matrix / size, right / size),
            few: {
                let with = rows.iter().filter(|r| frames[r.frame].energy.is_some());
                with.count() < columns + header.n_types()
            },
        })
    }

    /// The part of the energies; none where they are too few or do not vary.
    fn energies(
        header: &Header,
        frames: &[Frame],
        rows: &[Rows],
        scale: &dyn Fn(&Frame) -> f64,
    ) -> Option<(DMatrix<f64>, DVector<f64>)> {
        let with: Vec<&Rows> = rows
            .iter()
            .filter(|r| frames[r.frame].energy.is_some())
            .collect();
        if with.len() < FEWEST + header.n_types() {
            return None;
        }
        let places: Vec<usize> = with.iter().map(|r| r.frame).collect();
        let composition = composition(header, frames, &places);
        let label = DMatrix::from_fn(places.len(), 1, |k, _| {
            let frame = &frames[places[k]];
            frame.energy.unwrap_or(0.0) * scale(frame)
        });
        let design = DMatrix::from_fn(places.len(), pairs::columns(header), |k, c| {
            with[k].energy[c]
        });
        let (label, design) = (
            relative(label, &composition)?,
            relative(design, &composition)?,
        );
        let size = label.norm_squared();
        if size / (places.len() as f64) < 1e-10 {
            return None;
        }
        let right = design.tr_mul(&label.column(0)) / size;
        Some((design.tr_mul(&design) / size, right))
    }

    /// The residual where forces are `factor` times what energies say, and the potential of the
    /// energies; both parts would be 1 without any potential.
    fn residual(&self, factor: f64) -> Option<(f64, DVector<f64>)> {
        self.residual_with(&self.energy, factor)
    }

    fn residual_with(
        &self,
        energy: &Option<(DMatrix<f64>, DVector<f64>)>,
        factor: f64,
    ) -> Option<(f64, DVector<f64>)> {
        let (mut matrix, mut right) = (&self.force.0 * factor.powi(2), &self.force.1 * factor);
        let mut size = 1.0;
        if let Some((m, r)) = energy {
            matrix += m;
            right += r;
            size += 1.0;
        }
        let coefficients = pairs::solve(matrix, &right)?;
        Some((size - right.dot(&coefficients), coefficients))
    }

    /// The factor of the forces, 1 unless there is no doubt about another, and the potential.
    fn best(&self) -> (f64, DVector<f64>) {
        let Some((plain, coefficients)) = self.residual(1.0) else {
            return (1.0, DVector::zeros(self.force.1.len()));
        };
        if self.energy.is_none() {
            return (1.0, coefficients);
        }
        // Where sizes differ, no one factor of the forces puts energies per atom right.
        if self.per_atom() {
            let factor = self.tried().map_or(1.0, |(factor, _)| factor);
            if !near(factor, 1.0, APART) {
                return (factor, coefficients);
            }
        }
        match self.tried() {
            Some((factor, (residual, other)))
                if residual < BETTER * plain
                    && !near(factor, 1.0, APART)
                    && (!names(factor).is_empty()
                        || near(factor, -1.0, APART)
                        || factor.ln().abs() > ANY.ln()) =>
            {
                (factor, other)
            }
            _ => (1.0, coefficients),
        }
    }

    /// Whether all go together as they are once the energies are taken for those per atom.
    fn per_atom(&self) -> bool {
        // Where all frames have as many atoms it is a factor as others are.
        if self.atoms[1] < 1.5 * self.atoms[0] {
            return false;
        }
        let found = self.residual_with(&self.per_atom, 1.0);
        let other = self.tried().map(|(_, (residual, _))| residual);
        match (self.residual(1.0), found) {
            (Some(plain), Some(found)) => {
                found.0 < BETTER * plain.0 && other.is_none_or(|other| found.0 < 1.2 * other)
            }
            _ => false,
        }
    }

    /// The factor with the smallest residual.
    fn tried(&self) -> Option<(f64, (f64, DVector<f64>))> {
        let trials = [1.0, -1.0]
            .into_iter()
            .flat_map(|sign| (-125..=125).map(move |k| sign * (0.06 * f64::from(k)).exp()));
        trials
            .filter_map(|factor| Some((factor, self.residual(factor)?)))
            .min_by(|a, b| a.1.0.total_cmp(&b.1.0))
    }

    /// The factor of the forces where energies and forces may be in atomic units, both of them.
    fn atomic(&self) -> Option<f64> {
        self.energy.as_ref()?;
        let (factor, (residual, _)) = self.tried()?;
        let plain = self.residual(1.0)?.0;
        (near(factor, BOHR, ATOMIC) && residual < DOUBT * plain).then_some(factor)
    }
}
