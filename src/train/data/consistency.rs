//! Energies, forces and virials of a whole set that do not go with one another: another unit, or a
//! sign.
//!
//! One pair potential is fitted to energies and forces at once, the forces divided by a trial factor:
//! the true factor leaves the smallest residual. Virials are then compared with those of the fit.
//! Energies and virials count relative to what the composition alone explains.

use super::COMPONENTS;
use super::pairs::{self, Rows};
use super::units::{FEWEST, Suspects};
use nalgebra::{DMatrix, DVector};
use nepal::model::Header;
use nepal::system::{Cell, Frame};
use nepal::units::{BOHR, EV_PER_A3_IN_GPA, HARTREE};

const KCAL: f64 = 23.060_548;
const KJ: f64 = 96.485_332;
const BOHR3: f64 = BOHR * BOHR * BOHR;

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

/// What a number that should be a virial is by.
#[derive(Clone, Copy)]
enum By {
    Cell,
    Atom,
    Volume,
}

/// Factors of the virials against the energies, and what has them.
const VIRIALS: [(f64, By, &str); 14] = [
    (1.0, By::Cell, "the virial or stress"),
    (EV_PER_A3_IN_GPA, By::Cell, "a stress in GPa"),
    (10.0 * EV_PER_A3_IN_GPA, By::Cell, "a stress in kbar"),
    (BOHR3 / HARTREE, By::Cell, "a stress in hartree/bohr³"),
    (2.0 * BOHR3 / HARTREE, By::Cell, "a stress in rydberg/bohr³"),
    (1.0 / HARTREE, By::Cell, "virials in hartree"),
    (2.0 / HARTREE, By::Cell, "virials in rydberg"),
    (KCAL, By::Cell, "virials in kcal/mol"),
    (KJ, By::Cell, "virials in kJ/mol"),
    (
        HARTREE,
        By::Cell,
        "energies in hartree beside virials in eV",
    ),
    (
        1.0,
        By::Atom,
        "virials per atom instead of those of the cell",
    ),
    (-1.0, By::Volume, "a stress in eV/Å³ given as virial"),
    (
        -EV_PER_A3_IN_GPA,
        By::Volume,
        "a stress in GPa given as virial",
    ),
    (
        -10.0 * EV_PER_A3_IN_GPA,
        By::Volume,
        "a stress in kbar given as virial",
    ),
];

/// A factor counts if its residual is below this part of that of forces taken as they are,
const BETTER: f64 = 0.35;
/// and it is at least this far from 1: fits of pair potentials are off by less.
const APART: f64 = 1.6;
/// A unit fits if its factor is this near.
const NEAR: f64 = 1.45;
/// Virials are judged where they are this alike, and right within this factor.
const ALIKE: f64 = 0.7;
const RIGHT: f64 = 2.5;
/// A unit of virials fits if its factor is this near, others as well if they are nearly as near.
const VIRIAL_NEAR: f64 = 1.7;
const AS_NEAR: f64 = 1.2;

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
        let detail = told(factor, blame);
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
        }];
    }
    let Some(name) = virials.and_then(|v| v.unit(&coefficients)) else {
        return Vec::new();
    };
    vec![Suspects {
        what: "virials (or stresses) that do not go with energies and forces".into(),
        frames: all(&|f| f.virial.is_some(), format!("they look like {name}")),
        virial: true,
    }]
}

/// Whether two factors of one sign are the same within a factor.
fn near(a: f64, b: f64, slack: f64) -> bool {
    a * b > 0.0 && (a / b).ln().abs() < slack.ln()
}

/// Which units have a factor of the forces.
fn names(factor: f64) -> Vec<&'static str> {
    let fits = FORCES.iter().filter(|(f, _)| near(factor.abs(), *f, NEAR));
    fits.map(|(_, name)| *name).collect()
}

fn told(factor: f64, blame: &str) -> String {
    let mut names = names(factor);
    if names.iter().any(|n| n.starts_with(blame)) {
        names.retain(|n| n.starts_with(blame));
    }
    let mut text = format!("the forces are {factor:.3} times what the energies say: as ");
    if factor < 0.0 {
        names.push("gradients, which have the other sign");
    }
    text.push_str(&names.join(if factor < 0.0 {
        ", and as "
    } else {
        ", or as "
    }));
    text
}

/// Columns of the composition of frames.
fn composition(header: &Header, frames: &[Frame], places: &[usize]) -> DMatrix<f64> {
    DMatrix::from_fn(places.len(), header.n_types(), |k, t| {
        let s = &frames[places[k]].structure;
        let of_type = s.elements.iter().filter(|e| **e == header.elements[t]);
        of_type.count() as f64 / s.len() as f64
    })
}

/// Takes off each column what the composition explains.
fn relative(mut values: DMatrix<f64>, composition: &DMatrix<f64>) -> Option<DMatrix<f64>> {
    let matrix = composition.tr_mul(composition);
    for mut column in values.column_iter_mut() {
        let share = pairs::solve(matrix.clone(), &composition.tr_mul(&column))?;
        column -= composition * share;
    }
    Some(values)
}

/// Energies and forces as one linear problem, each relative to its size.
struct Fit {
    energy: Option<(DMatrix<f64>, DVector<f64>)>,
    force: (DMatrix<f64>, DVector<f64>),
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
            energy: Self::energies(header, frames, rows),
            force: (matrix / size, right / size),
        })
    }

    /// The part of the energies; none where they are too few or do not vary.
    fn energies(
        header: &Header,
        frames: &[Frame],
        rows: &[Rows],
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
            frame.energy.unwrap_or(0.0) / frame.len() as f64
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
        let (mut matrix, mut right) = (&self.force.0 * factor.powi(2), &self.force.1 * factor);
        let mut size = 1.0;
        if let Some((m, r)) = &self.energy {
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
        let trials = [1.0, -1.0]
            .into_iter()
            .flat_map(|sign| (-100..=100).map(move |k| sign * (0.05 * f64::from(k)).exp()));
        let best = trials
            .filter_map(|factor| Some((factor, self.residual(factor)?)))
            .min_by(|a, b| a.1.0.total_cmp(&b.1.0));
        match best {
            Some((factor, (residual, other)))
                if residual < BETTER * plain
                    && !near(factor, 1.0, APART)
                    && (!names(factor).is_empty() || near(factor, -1.0, APART)) =>
            {
                (factor, other)
            }
            _ => (1.0, coefficients),
        }
    }
}

/// Virials of labels and of the potential, eV/atom.
struct Virials<'a> {
    composition: DMatrix<f64>,
    rows: Vec<&'a Rows>,
    labels: DMatrix<f64>,
    /// Numbers that belong to the cell are by these more than those by atom and by volume.
    sizes: [Vec<f64>; 3],
}

impl<'a> Virials<'a> {
    fn of(header: &Header, frames: &[Frame], rows: &'a [Rows]) -> Option<Self> {
        let rows: Vec<&Rows> = rows
            .iter()
            .filter(|r| frames[r.frame].virial.is_some())
            .collect();
        if rows.len() < FEWEST + header.n_types() {
            return None;
        }
        let places: Vec<usize> = rows.iter().map(|r| r.frame).collect();
        let labels = DMatrix::from_fn(rows.len(), 6, |k, c| {
            let frame = &frames[places[k]];
            let [a, b] = COMPONENTS[c];
            frame.virial.map_or(0.0, |w| 0.5 * (w[a] + w[b])) / frame.len() as f64
        });
        let each =
            |size: &dyn Fn(&Frame) -> f64| places.iter().map(|&i| size(&frames[i])).collect();
        let volume = |f: &Frame| {
            let cell = &f.structure.cell;
            if *cell == Cell::isolated() {
                f64::NAN
            } else {
                cell.volume()
            }
        };
        let sizes = [each(&|_| 1.0), each(&|f| f.len() as f64), each(&volume)];
        Some(Self {
            composition: composition(header, frames, &places),
            rows,
            labels,
            sizes,
        })
    }

    /// How many times larger the labels, taken for the unit of that number, are than the potential's
    /// virials times a scale; none where they are not alike.
    fn against(&self, coefficients: &DVector<f64>, scale: f64, unit: usize) -> Option<f64> {
        let (factor, by, _) = VIRIALS[unit];
        let sizes = &self.sizes[by as usize];
        let labels = DMatrix::from_fn(self.rows.len(), 6, |k, c| {
            self.labels[(k, c)] * sizes[k] / factor
        });
        let mut fitted = DMatrix::zeros(self.rows.len(), 6);
        for (k, row) in self.rows.iter().enumerate() {
            fitted.set_row(k, &(&row.virial * coefficients * scale).transpose());
        }
        let labels = relative(labels, &self.composition)?;
        let fitted = relative(fitted, &self.composition)?;
        let product = labels.dot(&fitted);
        let alike = product / (labels.norm() * fitted.norm());
        (alike.abs() > ALIKE).then(|| product / fitted.norm_squared())
    }

    /// What the labels look like, if they are no virials in eV.
    fn unit(&self, coefficients: &DVector<f64>) -> Option<String> {
        let plain = self.against(coefficients, 1.0, 0);
        if plain.is_some_and(|slope| near(slope, 1.0, RIGHT)) {
            return None;
        }
        let mut fitting: Vec<(f64, String)> = Vec::new();
        for (unit, (_, _, name)) in VIRIALS.iter().enumerate() {
            let Some(slope) = self.against(coefficients, 1.0, unit) else {
                continue;
            };
            if near(slope.abs(), 1.0, VIRIAL_NEAR) {
                let sign = if slope < 0.0 {
                    ", with the wrong sign"
                } else {
                    ""
                };
                fitting.push((slope.abs().ln().abs(), format!("{name}{sign}")));
            }
        }
        fitting.sort_by(|a, b| a.0.total_cmp(&b.0));
        let limit = fitting.first()?.0 + AS_NEAR.ln();
        let names: Vec<String> = fitting
            .into_iter()
            .filter(|(distance, _)| *distance <= limit)
            .map(|(_, name)| name)
            .collect();
        Some(names.join(", or "))
    }
}
