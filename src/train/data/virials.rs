//! Virials that do not go with energies and forces: of all frames, or of some.
//!
//! Those of a pair potential that was fitted to energies and forces tell the unit and the sign.

use super::COMPONENTS;
use super::pairs::{self, Rows};
use super::units::{FEWEST, KCAL, KJ};
use nalgebra::{DMatrix, DVector, RowDVector};
use nepal::model::Header;
use nepal::system::{Cell, Frame};
use nepal::units::{BOHR, EV_PER_A3_IN_GPA, HARTREE};

const BOHR3: f64 = BOHR * BOHR * BOHR;

/// What a number that should be a virial is by.
#[derive(Clone, Copy)]
enum By {
    Cell,
    Atom,
    Volume,
}

/// Factors of the virials against the energies, and what has them.
const VIRIALS: [(f64, By, &str); 18] = [
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
    // Those that are rare.
    (1e3 * EV_PER_A3_IN_GPA, By::Cell, "a stress in MPa"),
    (1e4 * EV_PER_A3_IN_GPA, By::Cell, "a stress in bar"),
    (
        -1e3 * EV_PER_A3_IN_GPA,
        By::Volume,
        "a stress in MPa given as virial",
    ),
    (
        -1e4 * EV_PER_A3_IN_GPA,
        By::Volume,
        "a stress in bar given as virial",
    ),
];

/// From here on units are named only where none before fits.
const RARE: usize = 14;

/// Virials are judged where they are this alike, and right within this factor.
const ALIKE: f64 = 0.7;
pub(super) const RIGHT: f64 = 2.5;
/// A unit of virials fits if its factor is this near, others as well if they are nearly as near.
const VIRIAL_NEAR: f64 = 1.7;
const AS_NEAR: f64 = 1.2;
/// What no unit fits is told if it is off by more than this factor.
const FAR: f64 = 5.0;

/// A virial is odd from this many times the usual distance on, half of which may be left in the right unit,
const ODD: f64 = 6.0;
/// and beyond all others if it is off by so many times what is expected.
const BEYOND: f64 = 20.0;
/// Frames that tell of a unit together, of which none would alone.
const SEVERAL: usize = 3;
/// Rounds of a fit in which far frames count ever less.
const ROUNDS: usize = 25;

/// Whether two factors of one sign are the same within a factor.
pub(super) fn near(a: f64, b: f64, slack: f64) -> bool {
    a * b > 0.0 && (a / b).ln().abs() < slack.ln()
}

/// Columns of the composition of frames.
pub(super) fn composition(header: &Header, frames: &[Frame], places: &[usize]) -> DMatrix<f64> {
    DMatrix::from_fn(places.len(), header.n_types(), |k, t| {
        let s = &frames[places[k]].structure;
        let of_type = s.elements.iter().filter(|e| **e == header.elements[t]);
        of_type.count() as f64 / s.len() as f64
    })
}

/// Takes off each column what the composition explains.
pub(super) fn relative(
    mut values: DMatrix<f64>,
    composition: &DMatrix<f64>,
) -> Option<DMatrix<f64>> {
    let matrix = composition.tr_mul(composition);
    for mut column in values.column_iter_mut() {
        let share = pairs::solve(matrix.clone(), &composition.tr_mul(&column))?;
        column -= composition * share;
    }
    Some(values)
}

/// Virials of labels and of the potential, eV/atom.
pub(super) struct Virials<'a> {
    composition: DMatrix<f64>,
    rows: Vec<&'a Rows>,
    labels: DMatrix<f64>,
    /// Numbers that belong to the cell are by these more than those by atom and by volume.
    sizes: [Vec<f64>; 3],
}

impl<'a> Virials<'a> {
    pub fn of(header: &Header, frames: &[Frame], rows: &'a [Rows]) -> Option<Self> {
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
    pub fn against(&self, coefficients: &DVector<f64>, scale: f64, unit: usize) -> Option<f64> {
        let (factor, by, _) = VIRIALS[unit];
        let sizes = &self.sizes[by as usize];
        let labels = DMatrix::from_fn(self.rows.len(), 6, |k, c| {
            self.labels[(k, c)] * sizes[k] / factor
        });
        let labels = relative(labels, &self.composition)?;
        let fitted = relative(self.fitted(coefficients) * scale, &self.composition)?;
        let product = labels.dot(&fitted);
        let alike = product / (labels.norm() * fitted.norm());
        (alike.abs() > ALIKE).then(|| product / fitted.norm_squared())
    }

    /// What the labels look like, if they are no virials in eV.
    pub fn unit(&self, coefficients: &DVector<f64>) -> Option<String> {
        let plain = self.against(coefficients, 1.0, 0);
        if plain.is_some_and(|slope| near(slope, 1.0, RIGHT)) {
            return None;
        }
        let mut fitting: Vec<(f64, String)> = Vec::new();
        for (unit, (_, _, name)) in VIRIALS.iter().enumerate() {
            if unit == RARE && !fitting.is_empty() {
                break;
            }
            let Some(slope) = self.against(coefficients, 1.0, unit) else {
                continue;
            };
            if near(slope.abs(), 1.0, VIRIAL_NEAR) {
                fitting.push((slope.abs().ln().abs(), format!("{name}{}", signed(slope))));
            }
        }
        fitting.sort_by(|a, b| a.0.total_cmp(&b.0));
        let Some((nearest, _)) = fitting.first() else {
            let slope = plain.filter(|slope| !near(*slope, 1.0, FAR))?;
            return Some(format!(
                "{slope:.3e} times the virials in eV, in no unit that nepal knows"
            ));
        };
        let limit = nearest + AS_NEAR.ln();
        let names: Vec<String> = fitting
            .into_iter()
            .filter(|(distance, _)| *distance <= limit)
            .map(|(_, name)| name)
            .collect();
        Some(names.join(", or "))
    }
    /// The potential's virials.
    fn fitted(&self, coefficients: &DVector<f64>) -> DMatrix<f64> {
        let mut fitted = DMatrix::zeros(self.rows.len(), 6);
        for (k, row) in self.rows.iter().enumerate() {
            fitted.set_row(k, &(&row.virial * coefficients).transpose());
        }
        fitted
    }

    /// Frames whose virial is not what the potential and the other frames let expect, and would be in another unit
    /// or with the other sign; none where that is true of most, which are then right in their own way.
    pub fn odd(&self, coefficients: &DVector<f64>) -> Vec<(usize, String)> {
        let Some((expected, scatter)) = self.expected(coefficients) else {
            return Vec::new();
        };
        let mut found: Vec<(usize, (usize, bool), bool)> = Vec::new();
        for (k, row) in self.rows.iter().enumerate() {
            let (label, expected) = (self.labels.row(k), expected.row(k));
            let off = (label - expected).norm();
            if off < ODD * scatter {
                continue;
            }
            let size = expected.norm();
            // What is far beyond anything expected has no direction to compare.
            let beyond = off > BEYOND * (scatter + size);
            let alike = |in_unit: &RowDVector<f64>| {
                in_unit.dot(&expected) > ALIKE * in_unit.norm() * size
                    && near(in_unit.norm(), size, 2.0)
            };
            let best = VIRIALS
                .iter()
                .enumerate()
                .flat_map(|(unit, _)| [(unit, 1.0), (unit, -1.0)])
                .filter(|&(unit, sign)| (unit, sign) != (0, 1.0))
                .filter_map(|(unit, sign)| {
                    let (factor, by, _) = VIRIALS[unit];
                    let times = sign * self.sizes[by as usize][k] / factor;
                    // What hardly changes the number explains nothing.
                    if near(times, 1.0, RIGHT) {
                        return None;
                    }
                    let in_unit = label * times;
                    let left = (&in_unit - expected).norm();
                    let alike = alike(&in_unit);
                    let key = (unit, sign < 0.0);
                    (left < 0.5 * ODD * scatter && (beyond || alike)).then_some((
                        (unit >= RARE, left),
                        key,
                        alike && size > ODD * scatter,
                    ))
                })
                .min_by(|a, b| a.0.0.cmp(&b.0.0).then(a.0.1.total_cmp(&b.0.1)));
            if let Some((_, key, sure)) = best {
                found.push((row.frame, key, sure));
            }
        }
        if 2 * found.len() >= self.rows.len() {
            return Vec::new();
        }
        // Where little is expected any number is near it in a unit that is large enough, and its direction is chance:
        // it takes several frames to tell of one.
        let of_unit = |key| found.iter().filter(|f| f.1 == key).count();
        let told = found
            .iter()
            .filter(|(_, key, sure)| *sure || of_unit(*key) >= SEVERAL);
        told.map(|&(frame, (unit, negative), _)| {
            let sign = signed(if negative { -1.0 } else { 1.0 });
            (frame, format!("it looks like {}{sign}", VIRIALS[unit].2))
        })
        .collect()
    }

    /// The virials to expect, and how far usual labels are from them: the potential's times a factor and with a share
    /// by composition, fitted so that frames that are far off do not count. None where the potential tells little.
    fn expected(&self, coefficients: &DVector<f64>) -> Option<(DMatrix<f64>, f64)> {
        let fitted = self.fitted(coefficients);
        let (n, types) = self.composition.shape();
        let columns = 1 + 6 * types;
        let row = |k: usize, c: usize| {
            let mut row = DVector::zeros(columns);
            row[0] = fitted[(k, c)];
            for t in 0..types {
                row[1 + 6 * t + c] = self.composition[(k, t)];
            }
            row
        };
        let middle: Vec<f64> = (0..6)
            .map(|c| median(self.labels.column(c).iter().copied()))
            .collect();
        let middle = DMatrix::from_fn(n, 6, |_, c| middle[c]);
        let distances = |expected: &DMatrix<f64>| -> Vec<f64> {
            let off = &self.labels - expected;
            off.row_iter().map(|row| row.norm()).collect()
        };
        let (mut expected, mut solution) = (middle, DVector::zeros(columns));
        for _ in 0..ROUNDS {
            let far = distances(&expected);
            let least = 1e-3 * median(far.iter().copied()) + 1e-12;
            let mut matrix = DMatrix::zeros(columns, columns);
            let mut right = DVector::zeros(columns);
            for (k, c) in (0..n).flat_map(|k| (0..6).map(move |c| (k, c))) {
                let (row, weight) = (row(k, c), 1.0 / far[k].max(least));
                matrix.ger(weight, &row, &row, 1.0);
                right.axpy(weight * self.labels[(k, c)], &row, 1.0);
            }
            solution = pairs::solve(matrix, &right)?;
            expected = DMatrix::from_fn(n, 6, |k, c| row(k, c).dot(&solution));
        }
        let scatter = median(distances(&expected).into_iter());
        let usual = median((&fitted * solution[0]).row_iter().map(|row| row.norm()));
        (near(solution[0], 1.0, RIGHT) && 2.0 * scatter < usual).then_some((expected, scatter))
    }
}

fn signed(sign: f64) -> &'static str {
    if sign < 0.0 {
        ", with the wrong sign"
    } else {
        ""
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
