//! Results of other programs, reproduced.

use crate::support::close::{assert_close, assert_rows_close};
use crate::support::{self, Machine, lammps, reference};
use nepal::backend::{Conditions, Dispersion, available};
use nepal::model::{Electrostatics, Kind};
use nepal::{BackendKind, Calculator, Evaluation, Model, Request, Structure};
use std::sync::Arc;

/// How far a backend may be from double-precision results of another program, relative to the
/// largest number of the array (or to 1).
struct Tolerance {
    energy: f64,
    force: f64,
    descriptor: f64,
    projection: f64,
}

impl Tolerance {
    fn of(backend: Machine) -> Self {
        match backend.is_single() {
            // Pairs in single precision on a device: the noise that GPUMD has as well.
            true => Self {
                energy: 1e-5,
                force: 5e-5,
                descriptor: 1e-5,
                projection: 1e-4,
            },
            // Double precision on both sides: the reference backend is within 1e-13 everywhere.
            // The rest leaves room for other orders of summation and for fitted polynomials.
            false => Self {
                energy: 1e-10,
                force: 1e-10,
                descriptor: 1e-10,
                projection: 1e-10,
            },
        }
    }
}

/// GPUMD gives the six independent components in the order xx yy zz xy yz zx.
fn six(virial: &[f64; 9]) -> [f64; 6] {
    [0, 4, 8, 1, 5, 6].map(|index| virial[index])
}

fn check_frame(calculator: &mut Calculator, frame: &reference::Frame, tolerance: &Tolerance) {
    let name = |what: &str| format!("{} {what}", frame.name);
    let kind = calculator.model().kind();
    let request = available(calculator.model());
    calculator.set_conditions(Conditions {
        temperature: frame.temperature,
        // The only program with both heads has the older sum.
        dispersion: match kind {
            Kind::ChargesAndDispersion => Dispersion::Bare,
            _ => Dispersion::Complete,
        },
        ..Conditions::default()
    });
    let types = calculator.model().types_of(&frame.structure.elements);
    assert_eq!(types.unwrap(), frame.types, "{}", name("types"));
    let found = calculator.compute(&frame.structure, request).unwrap();
    check_features(found, frame, tolerance);
    assert_close(
        &name("charges"),
        &found.charges,
        &frame.charges,
        tolerance.energy,
    );
    assert_rows_close(
        &name("Born charges"),
        &found.born_charges,
        &frame.born_charges,
        tolerance.force,
    );
    if kind.is_tensor() {
        if kind == Kind::Dipole {
            assert_close(
                &name("dipole"),
                &found.dipole,
                &frame.dipole,
                tolerance.force,
            );
        } else {
            let found = six(&found.polarizability);
            assert_close(
                &name("polarizability"),
                &found,
                &frame.polarizability,
                tolerance.force,
            );
        }
        return;
    }
    let energy = frame.energy.unwrap();
    assert_close(
        &name("energy"),
        &[found.energy],
        &[energy],
        tolerance.energy,
    );
    assert_close(
        &name("energies"),
        &found.energies,
        &frame.energies,
        tolerance.energy,
    );
    if kind == Kind::Charges(Electrostatics::RealSpace) {
        // The forces of that program are not the derivatives of its energy; ours are, see derivatives.
        return;
    }
    assert_rows_close(
        &name("forces"),
        &found.forces,
        &frame.forces,
        tolerance.force,
    );
    assert_rows_close(
        &name("virials"),
        &found.virials,
        &frame.virials,
        tolerance.force,
    );
    if frame.virial.len() == 6 {
        assert_close(
            &name("virial"),
            &six(&found.virial),
            &frame.virial,
            tolerance.force,
        );
    } else {
        assert_close(
            &name("virial"),
            &found.virial,
            &frame.virial,
            tolerance.force,
        );
    }
}

fn check_features(found: &Evaluation, frame: &reference::Frame, tolerance: &Tolerance) {
    let name = |what: &str| format!("{} {what}", frame.name);
    assert_close(
        &name("descriptors"),
        &found.descriptors,
        &frame.descriptors,
        tolerance.descriptor,
    );
    if let Some([atoms, length]) = frame.projection_shape {
        assert_eq!(found.projections.len(), atoms * length, "{}", name("B"));
        let head = &frame.projection_head;
        assert!(!head.is_empty());
        assert_close(
            &name("first B"),
            &found.projections[..head.len()],
            head,
            tolerance.projection,
        );
    }
    if let Some(all) = &frame.projections {
        assert_close(&name("B"), &found.projections, all, tolerance.projection);
    }
}

#[test]
fn models_reproduce_the_results_of_other_programs() {
    for backend in support::backends() {
        let tolerance = Tolerance::of(backend);
        let (mut frames, mut with_all_projections) = (0, 0);
        for folder in support::energy_models().chain(support::TENSORS) {
            let mut calculator = support::calculator(&support::model(folder), backend);
            for frame in reference::frames(folder) {
                check_frame(&mut calculator, &frame, &tolerance);
                frames += 1;
                with_all_projections += usize::from(frame.projections.is_some());
            }
        }
        // The list of folders must not shrink unnoticed.
        assert_eq!((frames, with_all_projections), (75, 31), "{backend:?}");
    }
}

/// 1 eV/Å³ in bar.
const BAR: f64 = 1.602176634e6;

/// Energy and pressure printed by LAMMPS with 8 digits, and NEP_CPU's own values with more.
fn check_lammps(model: Arc<Model>, structure: &Structure, energy: f64, pressure: f64) {
    for backend in support::backends() {
        let mut calculator = support::calculator(&model, backend);
        let found = calculator
            .compute(structure, Request::VIRIAL | Request::FORCES)
            .unwrap();
        let virial = found.virial;
        let trace = virial[0] + virial[4] + virial[8];
        let found_pressure = trace / (3.0 * structure.cell.volume()) * BAR;
        // Half a unit of the last digit given.
        let (digit, bar) = match backend.is_single() {
            true => (1e-5 * structure.len() as f64, 1.0),
            false => (1e-6, 1e-5),
        };
        assert!((found.energy - energy).abs() < digit, "{}", found.energy);
        assert!((found_pressure - pressure).abs() < bar, "{found_pressure}");
    }
}

#[test]
fn graphene_of_the_lammps_tests_is_reproduced() {
    let model = support::model("c_2024_nep4");
    let monolayer = lammps::data_file("lammps_carbon/C.monolayer.data", "C");
    assert_eq!(monolayer.len(), 2304);
    check_lammps(Arc::clone(&model), &monolayer, -18322.774803, 244.43118);
    let bilayer = lammps::data_file("lammps_carbon/C.bilayer.data", "C");
    assert_eq!(bilayer.len(), 1600);
    check_lammps(model, &bilayer, -12761.654629, 809.11539);
}

#[test]
fn diamond_of_the_lammps_tests_is_reproduced_with_an_old_header() {
    let text = support::read_text("c_2022_nep3_dftd3/nep.txt");
    let old = text.replacen("cutoff 4.2 3.7 80 47\n", "cutoff 4.2 3.7\n", 1);
    assert_ne!(old, text);
    let model = Arc::new(Model::parse(old.as_bytes(), "old header").unwrap());
    let diamond = lammps::data_file("lammps_carbon/C.diamond.data", "C");
    check_lammps(Arc::clone(&model), &diamond, -3011.584442, -35399.25810);
    // The dump has six significant digits, and so have its positions; forces are below 20 eV/Å.
    let expected = lammps::dump_forces("lammps_carbon/diamond_forces.dump");
    let mut calculator = support::calculator(&model, BackendKind::Reference);
    let found = calculator.compute(&diamond, Request::FORCES).unwrap();
    assert_rows_close("forces", &found.forces, &expected, 1e-5);
}

/// The original single-precision results of the GPU program, on the same atoms as `nep_cpu_test_nep`.
#[test]
fn forces_agree_with_the_gpu_program() {
    let frame = reference::frames("nep_cpu_test_nep").remove(0);
    let expected: Vec<f64> = support::read_text("nep_cpu_test_nep/force_gpu.out")
        .split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect();
    let mut calculator =
        support::calculator(&support::model("nep_cpu_test_nep"), BackendKind::Reference);
    let found = calculator
        .compute(&frame.structure, Request::FORCES)
        .unwrap();
    assert_close("forces", found.forces.as_flattened(), &expected, 1e-5);
}

/// The four systems of the benchmarks, with forces that NEP_CPU printed to nine decimals.
#[test]
#[cfg(feature = "cpu")]
fn the_systems_of_the_benchmarks_are_reproduced() {
    let systems = [
        ("c_diamond_4096", "c_2024_nep4"),
        ("pbte_8000", "pbte_nep_train"),
        ("unep_alloy_4000", "unep_v1_16_metals"),
        ("si_diamond_4096", "si_2022_nep4_5body"),
    ];
    for (system, folder) in systems {
        let text = support::read_text(&format!("../../benches/data/{system}.xyz"));
        let mut frames = nepal::system::xyz::FrameReader::new(text.as_bytes(), system);
        let frame = frames.next().unwrap().unwrap();
        let mut calculator = support::calculator(&support::model(folder), BackendKind::Cpu);
        let request = Request::FORCES | Request::VIRIAL;
        let found = calculator.compute(&frame.structure, request).unwrap();
        // The energy has eight decimals, the forces have nine.
        assert!(
            (found.energy - frame.energy.unwrap()).abs() < 2e-8,
            "{system}: {}",
            found.energy
        );
        assert_rows_close(system, &found.forces, &frame.forces.unwrap(), 2e-9);
        assert_close(system, &found.virial, &frame.virial.unwrap(), 1e-9);
    }
}
