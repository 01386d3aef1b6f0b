//! Tests of the way.

use super::*;
use crate::explore::Way;
use crate::explore::explore_with;
use crate::explore::potential::{Grades, Labels};
use crate::explore::testing::argon_grid;
use nepal::calculator::Potential;
use nepal::system::cell::sub;
use nepal::system::{Cell, Frame as XyzFrame};

/// Müller and Brown's surface (Theor. Chim. Acta 53, 75 (1979)) in hundredths of an eV for x and y of one atom from
/// another, 4 Å away along z by a spring.
struct MuellerBrown;

impl Potential for MuellerBrown {
    fn energy_forces_virial(&mut self, s: &Structure) -> Result<Labels> {
        let [x, y, z] = sub(s.positions[0], s.positions[1]);
        let terms = [
            (-200.0, -1.0, 0.0, -10.0, 1.0, 0.0),
            (-100.0, -1.0, 0.0, -10.0, 0.0, 0.5),
            (-170.0, -6.5, 11.0, -6.5, -0.5, 1.5),
            (15.0, 0.7, 0.6, 0.7, -1.0, 1.0),
        ];
        let (mut e, mut f) = (0.5 * (z - 4.0) * (z - 4.0), [0.0, 0.0, 4.0 - z]);
        for (h, a, b, c, x0, y0) in terms {
            let (dx, dy) = (x - x0, y - y0);
            let v = 0.01 * h * (a * dx * dx + b * dx * dy + c * dy * dy).exp();
            e += v;
            f[0] -= v * (2.0 * a * dx + b * dy);
            f[1] -= v * (b * dx + 2.0 * c * dy);
        }
        Ok((e, vec![f, f.map(|x| -x)], [0.0; 9]))
    }
}

/// A double well in the edge of the cell along x: E = h ((ln(Lx/5)/s)² - 1)², h = 0.3 eV, s = 0.1.
struct CellWell;

impl Potential for CellWell {
    fn energy_forces_virial(&mut self, s: &Structure) -> Result<Labels> {
        let x = norm(s.cell.vectors()[0]).ln() - 5f64.ln();
        let (h, w) = (0.3, 0.1);
        let q = (x / w).powi(2) - 1.0;
        let mut virial = [0.0; 9];
        virial[0] = -h * 2.0 * q * 2.0 * x / (w * w);
        Ok((h * q * q, vec![[0.0; 3]; s.len()], virial))
    }
}

macro_rules! graded {
    ($name:ty, $grade:expr) => {
        impl GradedPotential for $name {
            fn energy_forces_virial_grades(&mut self, s: &Structure) -> Result<(Labels, Grades)> {
                let gamma = vec![$grade(s); s.len()];
                let rho = vec![0.0; gamma.len()];
                let grades = Grades {
                    grade: gamma.clone(),
                    gamma,
                    rho,
                };
                Ok((self.energy_forces_virial(s)?, grades))
            }
        }
    };
}
// Grades rise towards the saddle, at y = 0.624.
graded!(MuellerBrown, |s: &Structure| {
    2.0 - 2.0 * (s.positions[0][1] - s.positions[1][1] - 0.624).abs()
});
graded!(CellWell, |_| 0.5);

fn at(x: f64, y: f64) -> Structure {
    let argon = argon_grid(1, 5.0).elements[0];
    let cell = Cell::orthorhombic([8.0; 3]).unwrap();
    Structure::new(
        cell,
        vec![argon; 2],
        vec![[2.0 + x, 2.0 + y, 6.0], [2.0; 3]],
    )
    .unwrap()
}

fn run(
    potential: &mut dyn GradedPotential,
    ends: [Structure; 2],
    way: Path,
) -> Result<Exploration> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("end.xyz");
    let [start, end] = ends;
    xyz::write_frames(&file, [&XyzFrame::new(end)]).unwrap();
    let mut options = ExploreOptions {
        way: Way::Path(Path {
            end: Some(file),
            tolerance: 1e-3,
            ..way
        }),
        ..ExploreOptions::default()
    };
    options.md.steps = 2000;
    options.grade_every = 100;
    explore_with(potential, &start, &options, &mut |_, _| {
        ControlFlow::Continue(())
    })
}

#[test]
fn the_saddle_of_a_known_surface_is_found() {
    let way = Path {
        images: 9,
        ..Path::default()
    };
    let found = run(
        &mut MuellerBrown,
        [at(-0.55, 1.4), at(0.6, 0.0)],
        way.clone(),
    )
    .unwrap();
    // Saddle less minimum as they are in the literature: -40.665 and -146.700.
    let barrier = found.series["barrier (eV)"].last().unwrap();
    assert!(found.found && (barrier - 1.06035).abs() < 1e-4, "{barrier}");
    let [x, y, _] = sub(found.last.positions[0], found.last.positions[1]);
    assert!(
        (x + 0.822).abs() < 2e-3 && (y - 0.624).abs() < 2e-3,
        "{x} {y}"
    );
    // The images around it are what is not known.
    assert!(!found.candidates.is_empty() && found.candidates.len() < 9);
    assert!(
        found
            .candidates
            .iter()
            .all(|c| c.why == "image" && c.grade >= 1.5)
    );
    let error = run(&mut MuellerBrown, [at(-0.55, 1.4), at(-0.5, 1.45)], way).unwrap_err();
    assert!(
        error.to_string().contains("its end is the start"),
        "{error}"
    );
}

#[test]
fn the_cell_climbs_over_its_barrier() {
    let cell = |x: f64| {
        argon_grid(1, 5.0)
            .strained(&[[x, 0.0, 0.0], [0.0; 3], [0.0; 3]])
            .unwrap()
    };
    let ends = || [cell(-0.09), cell(0.1)];
    let way = Path {
        cell: true,
        images: 5,
        ..Path::default()
    };
    let found = run(&mut CellWell, ends(), way).unwrap();
    let barrier = found.series["barrier (eV)"].last().unwrap();
    assert!(found.found && (barrier - 0.3).abs() < 1e-4, "{barrier}");
    assert!((found.last.cell.vectors()[0][0] - 5.0).abs() < 1e-3);
    let fixed = run(
        &mut CellWell,
        ends(),
        Path {
            relax: false,
            ..Path::default()
        },
    );
    assert!(fixed.unwrap_err().to_string().contains("cell = true"));
}
