//! Models of other kinds than potentials: the same bits again, ghosts of a host, grades, what is refused,
//! arrays of a caller on the device.
#![allow(unsafe_code)]

use crate::motion::ghosts;
use crate::resident::Arrays;
use crate::support::close::assert_close;
use crate::support::{self, gas};
use crate::variants::{assert_same, backend, calculator, tolerance};
use nepal::backend::{Backend, Conditions, Dispersion, Peers, Sums, System, Whole, available};
use nepal::grade::{ActiveSet, BuildOptions, Effort, Features};
use nepal::nep::d3::D3;
use nepal::system::Cell;
use nepal::{BackendKind, Calculator, Evaluation, Model, NeighborList, Precision, Request};
use nepal_cuda::{DeviceList, DeviceResults, Strided};
use std::sync::Arc;

/// One model of each kind.
const KINDS: [&str; 7] = [
    "synthetic_variants/nep4_zbl_temperature",
    "synthetic_variants/nep4_dipole_typewise_cutoffs",
    "synthetic_variants/nep3_polarizability",
    "synthetic_variants/nep4_zbl_charge1",
    "synthetic_variants/nep4_charge2",
    "synthetic_variants/nep4_charge3",
    "synthetic_variants/nep4_charge_vdw",
];

/// The atoms of a structure whose images are ghosts: they are all that there are, on one process or many.
struct Images(Vec<usize>);

impl Peers for Images {
    fn count(&self) -> usize {
        1
    }

    fn sum(&self, numbers: Vec<f64>) -> nepal::Result<Vec<f64>> {
        Ok(numbers)
    }

    fn with_ghosts(&self, numbers: Vec<f64>) -> nepal::Result<Vec<f64>> {
        Ok(self.0.iter().map(|&i| numbers[i]).collect())
    }
}

#[test]
fn a_repeat_gives_the_same_bits() {
    for folder in KINDS {
        let model = support::model(folder);
        let structure = gas::rattled(model.elements(), [3, 4, 3], 3.0, [true; 3]);
        for precision in [Precision::F64, Precision::Mixed] {
            let found = || {
                let mut cuda = calculator(&model, precision);
                let twice = [0; 2].map(|_| {
                    let found = cuda.compute(&structure, available(&model)).unwrap();
                    format!("{found:?}")
                });
                assert!(twice[0] == twice[1], "{folder} {precision:?}");
                twice[0].clone()
            };
            assert!(found() == found(), "{folder} {precision:?}");
        }
    }
}

#[test]
fn ghosts_of_a_host_get_their_share() {
    for folder in KINDS {
        let model = support::model(folder);
        let structure = gas::rattled(model.elements(), [3, 3, 2], 3.0, [true; 3]);
        let (positions, owner, neighbors) = ghosts(&structure, model.cutoff() + 0.5);
        let own = model.types_of(&structure.elements).unwrap();
        let types: Vec<u32> = owner.iter().map(|&i| own[i]).collect();
        let system = System {
            cell: &Calculator::host_cell(),
            positions: &positions,
            types: &types,
            neighbors: &neighbors,
            whole: Some(Whole {
                cell: Some(&structure.cell),
                peers: &Images(owner),
            }),
        };
        let mut reference = support::calculator(&model, BackendKind::Reference);
        let expected = reference.compute(system, available(&model)).unwrap();
        for precision in [Precision::F64, Precision::Mixed] {
            let mut cuda = calculator(&model, precision);
            let found = cuda.compute(system, available(&model)).unwrap();
            let name = format!("{folder} {precision:?}");
            assert_same(&name, found, expected, tolerance(precision));
        }
    }
}

/// An active set of a structure.
fn set(model: &Arc<Model>, conditions: Conditions) -> Arc<ActiveSet> {
    let mut cpu = BackendKind::default_for_build().create().unwrap();
    cpu.set_conditions(conditions);
    let structure = gas::rattled(model.elements(), [2, 2, 2], 3.1, [true; 3]);
    let features = Features::collect(model, cpu.as_mut(), [&structure]).unwrap();
    let built = ActiveSet::build(model, &features, &BuildOptions::default());
    Arc::new(built.unwrap().0)
}

#[test]
fn grades_are_those_of_the_processor() {
    for folder in KINDS {
        let model = support::model(folder);
        let set = set(&model, support::CONDITIONS);
        let structure = gas::rattled(model.elements(), [3, 2, 3], 2.9, [true; 3]);
        let mut reference = support::calculator(&model, BackendKind::Reference);
        let mut cuda = calculator(&model, Precision::F64);
        for calculator in [&mut reference, &mut cuda] {
            calculator.set_active_set(Some(Arc::clone(&set))).unwrap();
        }
        for effort in [Effort::Full, Effort::Above(1.5)] {
            cuda.set_grade_effort(effort);
            reference.set_grade_effort(effort);
            let wanted = available(&model) | Request::GRADES;
            let expected = reference.compute(&structure, wanted).unwrap();
            let found = cuda.compute(&structure, wanted).unwrap();
            assert_close(folder, &found.grade, &expected.grade, 1e-7);
            assert!(expected.grade.iter().any(|&g| g > 1.0), "{folder}");
        }
    }
}

#[test]
fn what_a_model_needs_is_told_as_by_the_processor() {
    let temperature = Conditions::default();
    let negative = Conditions {
        temperature: Some(-1.0),
        ..support::CONDITIONS
    };
    let charged = Conditions {
        charge: 1.0,
        ..support::CONDITIONS
    };
    let usual = support::CONDITIONS;
    for (folder, periodic, conditions, words) in [
        (KINDS[0], true, temperature, "say which, in K"),
        (KINDS[0], true, negative, "-1 K"),
        (KINDS[1], true, charged, "has no charges"),
        (KINDS[3], false, usual, "20 Å of vacuum"),
    ] {
        let model = support::model(folder);
        let structure = gas::rattled(model.elements(), [2; 3], 3.0, [true, true, periodic]);
        let told = |mut calculator: Calculator| {
            calculator.set_conditions(conditions);
            let error = calculator.compute(&structure, available(&model));
            error.unwrap_err().to_string()
        };
        let found = told(calculator(&model, Precision::F64));
        assert!(found.contains(words), "{folder}: {found}");
        let reference = support::calculator(&model, BackendKind::Reference);
        assert_eq!(found, told(reference), "{folder}");
    }
}

/// Charges of a cell that is not neutral, both forms of dispersion, many waves and atoms in parts.
#[test]
fn conditions_reach_the_sums() {
    for folder in [KINDS[3], KINDS[4], KINDS[5], KINDS[6]] {
        let model = support::model(folder);
        let structure = gas::rattled(model.elements(), [6, 5, 6], 2.8, [true; 3]);
        let conditions = Conditions {
            charge: 1.5,
            dispersion: Dispersion::Bare,
            sums: Sums::Ewald,
            ..support::CONDITIONS
        };
        let mut reference = support::calculator(&model, BackendKind::Reference);
        reference.set_conditions(conditions);
        let expected = reference.compute(&structure, available(&model)).unwrap();
        for precision in [Precision::F64, Precision::Mixed] {
            let mut cuda = calculator(&model, precision);
            cuda.set_conditions(conditions);
            let found = cuda.compute(&structure, available(&model)).unwrap();
            let name = format!("{folder} {precision:?}");
            assert_same(&name, found, expected, tolerance(precision));
            let sum: f64 = found.charges.iter().sum();
            assert!((sum - 1.5).abs() < 1e-9, "{name}: {sum}");
        }
    }
}

#[test]
fn arrays_on_the_device_get_what_a_structure_gives() {
    let features = Request::DESCRIPTORS | Request::NEURONS | Request::PROJECTIONS;
    for folder in KINDS {
        let model = support::model(folder);
        let mut structure = gas::rattled(model.elements(), [3, 2, 3], 3.1, [true; 3]);
        let types = model.types_of(&structure.elements).unwrap();
        let types: Vec<i32> = types.iter().map(|&t| t as i32).collect();
        let wanted = available(&model) - features;
        let mut reference = support::calculator(&model, BackendKind::Reference);
        let mut cuda = backend(Precision::F64);
        cuda.set_conditions(support::CONDITIONS);
        let n = structure.len();
        for step in 0..3 {
            structure.positions[step][1] += 0.03;
            let mut arrays = Arrays::new(&structure, step == 1);
            let mut found = Evaluation {
                dipoles: vec![[0.0; 3]; n],
                polarizabilities: vec![[0.0; 9]; n],
                charges: vec![0.0; n],
                born_charges: vec![[0.0; 9]; n],
                ..Evaluation::default()
            };
            let given = |part: Request, address: u64| match wanted.contains(part) {
                true => address,
                false => 0,
            };
            let mut results = arrays.results(true, false);
            if model.kind().is_tensor() {
                results = DeviceResults::default();
            }
            results.charges = given(Request::CHARGES, found.charges.as_mut_ptr() as u64);
            results.born_charges = given(
                Request::BORN_CHARGES,
                found.born_charges.as_mut_ptr() as u64,
            );
            results.dipole = given(Request::DIPOLE, found.dipole.as_mut_ptr() as u64);
            results.dipoles = given(Request::DIPOLE, found.dipoles.as_mut_ptr() as u64);
            let tensor = found.polarizability.as_mut_ptr() as u64;
            results.polarizability = given(Request::POLARIZABILITY, tensor);
            let tensors = found.polarizabilities.as_mut_ptr() as u64;
            results.polarizabilities = given(Request::POLARIZABILITY, tensors);
            let mut atoms = arrays.atoms(&structure, &types);
            atoms.ahead = step == 2;
            // SAFETY: on the stand-in a device array is any array, and these are as large as said.
            let mut done = |results| unsafe {
                cuda.compute_on_device(&model, None, &atoms, results)
                    .and_then(|()| cuda.finish(&model))
            };
            done(&results).unwrap_or_else(|e| panic!("{folder}: {e}"));
            let expected = reference.compute(&structure, wanted).unwrap().clone();
            if model.kind().is_tensor() {
                let refused = done(&arrays.results(false, false)).unwrap_err();
                assert!(refused.to_string().contains("energies"), "{refused}");
            } else {
                arrays.check(folder, &expected, 1.0);
            }
            let name = format!("{folder}, step {step}");
            let parts = [&found.charges, &expected.charges];
            assert_close(&name, &parts[0][..parts[1].len()], parts[1], 1e-10);
            for [a, b] in [
                [&found.born_charges, &expected.born_charges],
                [&found.polarizabilities, &expected.polarizabilities],
            ] {
                let (a, b) = (a.as_flattened(), b.as_flattened());
                assert_close(&name, &a[..b.len()], b, 1e-10);
            }
            let b = expected.dipoles.as_flattened();
            assert_close(&name, &found.dipoles.as_flattened()[..b.len()], b, 1e-10);
            assert_close(&name, &found.dipole, &expected.dipole, 1e-10);
            assert_close(
                &name,
                &found.polarizability,
                &expected.polarizability,
                1e-10,
            );
        }
    }
}

#[test]
fn d3_is_added_where_neighbours_are_found() {
    let model = support::model("active_set_pbte");
    let d3 = || Some("pbe,9,6".parse::<D3>().unwrap());
    let mut structure = gas::rattled(model.elements(), [4, 3, 3], 3.1, [true, true, false]);
    let wanted = Request::FORCES | Request::VIRIAL | Request::VIRIALS;
    let mut reference = support::calculator(&model, BackendKind::Reference);
    reference.set_dispersion(d3()).unwrap();
    for precision in [Precision::F64, Precision::Mixed] {
        let close = tolerance(precision);
        let mut cuda = calculator(&model, precision);
        cuda.set_dispersion(d3()).unwrap();
        for step in 0..4 {
            for (k, r) in structure.positions.iter_mut().enumerate() {
                r[step % 3] += 0.2 * (k as f64).sin();
            }
            if step == 2 {
                structure.elements.swap(0, 1);
            }
            let name = format!("D3 {precision:?} {step}");
            let expected = reference.compute(&structure, wanted).unwrap().clone();
            let found = cuda.compute(&structure, wanted).unwrap().clone();
            assert_same(&name, &found, &expected, close);
            let again = cuda.compute(&structure, wanted).unwrap();
            assert!(format!("{again:?}") == format!("{found:?}"), "{name}");
            // Energies alone, a host's list, and atoms on the device.
            let energy = cuda.compute(&structure, Request::empty()).unwrap().energy;
            assert_eq!(energy, found.energy, "{name}");
            let types = model.types_of(&structure.elements).unwrap();
            let list = NeighborList::build(&structure.cell, &structure.positions, 9.0);
            let system = System {
                cell: &structure.cell,
                positions: &structure.positions,
                types: &types,
                neighbors: &list.unwrap(),
                whole: None,
            };
            let listed = cuda.compute(system, wanted).unwrap();
            assert_same(&name, listed, &expected, close);
            let types: Vec<i32> = types.iter().map(|&t| t as i32).collect();
            let mut arrays = Arrays::new(&structure, true);
            let results = arrays.results(true, false);
            let mut atoms = arrays.atoms(&structure, &types);
            // SAFETY: as above.
            unsafe { cuda.compute_device(&atoms, &results) }.unwrap();
            if precision == Precision::F64 {
                arrays.check(&name, &expected, 1.0);
            }
            let counts = vec![0; types.len()];
            atoms.list = Some(DeviceList {
                n_ghosts: 0,
                counts: counts.as_ptr() as u64,
                neighbors: Strided::default(),
                mask: u32::MAX,
                generation: 1,
            });
            // SAFETY: as above.
            let refused = unsafe { cuda.compute_device(&atoms, &results) };
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains("no list"), "{refused}");
        }
        cuda.set_dispersion(None).unwrap();
        reference.set_dispersion(None).unwrap();
        let without = reference.compute(&structure, wanted).unwrap().clone();
        let found = cuda.compute(&structure, wanted).unwrap();
        assert_same("without D3", found, &without, close);
        reference.set_dispersion(d3()).unwrap();
    }
}

/// The error of a mesh is below the part of the forces that it is asked for, as on the processor; energies and virials
/// follow, and a repeat gives the same bits.
#[test]
fn a_mesh_keeps_to_its_error() {
    for (folder, error) in [
        ("synthetic_variants/nep4_zbl_charge1", 1e-6),
        ("synthetic_variants/nep4_charge_vdw", 1e-8),
        ("synthetic_variants/nep4_charge_vdw", 1e-3),
    ] {
        let model = support::model(folder);
        // An oblique cell with sides of 2, 3 and 4 in proportion.
        let mut structure = gas::rattled(model.elements(), [2, 3, 4], 3.0, [true; 3]);
        let [a, b, c] = *structure.cell.vectors();
        let sheared = [
            a,
            [b[0] + 0.3 * a[0], b[1], b[2]],
            [c[0], c[1] + 0.2 * b[1], c[2]],
        ];
        structure.cell = Cell::new(sheared, [true; 3]).unwrap();
        let wanted = available(&model);
        let with = |precision: Precision, sums: Sums| -> Evaluation {
            let mut cuda = calculator(&model, precision);
            cuda.set_conditions(Conditions {
                sums,
                ..support::CONDITIONS
            });
            let once = cuda.compute(&structure, wanted).unwrap().clone();
            let again = format!("{:?}", cuda.compute(&structure, wanted).unwrap());
            assert!(format!("{once:?}") == again, "{folder} {sums:?}");
            once
        };
        for precision in [Precision::F64, Precision::Mixed] {
            let plain = with(precision, Sums::Ewald);
            let mesh = with(precision, Sums::Mesh(error));
            let rms = |v: &[f64]| (v.iter().map(|x| x * x).sum::<f64>() / v.len() as f64).sqrt();
            let apart = |a: &[f64], b: &[f64]| {
                let both: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
                rms(&both) / rms(b)
            };
            // Single precision takes its own part of the networks' slopes.
            let floor = if precision == Precision::F64 {
                1e-11
            } else {
                3e-6
            };
            let most = error + floor;
            for (what, found, expected) in [
                (
                    "forces",
                    mesh.forces.as_flattened(),
                    plain.forces.as_flattened(),
                ),
                ("virial", &mesh.virial, &plain.virial),
                (
                    "virials",
                    mesh.virials.as_flattened(),
                    plain.virials.as_flattened(),
                ),
                ("energies", &mesh.energies, &plain.energies),
            ] {
                let apart = apart(found, expected);
                assert!(
                    apart < most,
                    "{folder} {precision:?} {error:e} {what} {apart:e}"
                );
            }
            assert!(mesh.forces != plain.forces, "no mesh was used");
        }
    }
}
