//! Atoms and results in the caller's arrays on the device, on the stand-in a device array is any
//! array.
#![allow(unsafe_code)]

use crate::support::close::assert_close;
use crate::support::gas::Uniform;
use crate::support::{self, gas};
use crate::variants::backend;
use nepal::grade::{ActiveSet, BuildOptions, Effort, Features};
use nepal::{BackendKind, Evaluation, Precision, Request, Structure};
use nepal_cuda::{DeviceAtoms, DeviceResults, Strided};
use std::sync::Arc;

/// Arrays in a layout: one atom after another, or one number after another.
pub struct Arrays {
    by_atom: bool,
    pub positions: Vec<f64>,
    pub energies: Vec<f64>,
    pub forces: Vec<f64>,
    pub virials: Vec<f64>,
    pub grades: [Vec<f64>; 3],
}

impl Arrays {
    pub fn new(structure: &Structure, by_atom: bool) -> Self {
        let n = structure.len();
        let mut new = Self {
            by_atom,
            positions: vec![0.0; 3 * n],
            energies: vec![1.0; n],
            forces: vec![1.0; 3 * n],
            virials: vec![1.0; 9 * n],
            grades: [0; 3].map(|_| vec![0.0; n]),
        };
        new.place(structure);
        new
    }

    pub fn strides(&self, width: usize) -> [usize; 2] {
        match self.by_atom {
            true => [width, 1],
            false => [1, self.energies.len()],
        }
    }

    pub fn place(&mut self, structure: &Structure) {
        let [row, column] = self.strides(3);
        for (i, r) in structure.positions.iter().enumerate() {
            for (c, x) in r.iter().enumerate() {
                self.positions[i * row + c * column] = *x;
            }
        }
    }

    /// Atoms whose types are new.
    pub fn atoms<'a>(&self, structure: &'a Structure, types: &[i32]) -> DeviceAtoms<'a> {
        DeviceAtoms {
            n_atoms: structure.len(),
            positions: Strided {
                address: self.positions.as_ptr() as u64,
                strides: self.strides(3),
            },
            types: types.as_ptr() as u64,
            type_map: None,
            list: None,
            new_types: true,
            compare_types: false,
            still: false,
            ahead: false,
            cell: &structure.cell,
            stream: std::ptr::null_mut(),
        }
    }

    pub fn results(&mut self, adding: bool, grades: bool) -> DeviceResults {
        let [forces, virials] = [self.strides(3), self.strides(9)];
        let mut own = self.grades.each_mut().map(|g| g.as_mut_ptr() as u64);
        if !grades {
            own = [0; 3];
        }
        DeviceResults {
            energies: self.energies.as_mut_ptr() as u64,
            forces: Strided {
                address: self.forces.as_mut_ptr() as u64,
                strides: forces,
            },
            virials: Strided {
                address: self.virials.as_mut_ptr() as u64,
                strides: virials,
            },
            adding,
            gamma: own[0],
            rho: own[1],
            grade: own[2],
            ..DeviceResults::default()
        }
    }

    pub fn check(&self, name: &str, expected: &Evaluation, before: f64) {
        let rows = |values: &[f64], width: usize| -> Vec<f64> {
            let [row, column] = self.strides(width);
            let n = self.energies.len();
            (0..n * width)
                .map(|k| values[k / width * row + k % width * column] - before)
                .collect()
        };
        assert_close(name, &rows(&self.energies, 1), &expected.energies, 1e-10);
        assert_close(
            name,
            &rows(&self.forces, 3),
            expected.forces.as_flattened(),
            1e-10,
        );
        assert_close(
            name,
            &rows(&self.virials, 9),
            expected.virials.as_flattened(),
            1e-10,
        );
    }
}

#[test]
fn arrays_of_the_caller_give_what_a_structure_gives() {
    let model = support::model("active_set_pbte");
    let mut cuda = backend(Precision::F64);
    let mut cpu = support::calculator(&model, BackendKind::Reference);
    let mut structure = gas::rattled(model.elements(), [4, 3, 3], 3.1, [true, true, false]);
    let features = {
        let mut cpu = BackendKind::default_for_build().create().unwrap();
        Features::collect(&model, cpu.as_mut(), [&structure]).unwrap()
    };
    let set = ActiveSet::build(&model, &features, &BuildOptions::default()).unwrap();
    let set = Arc::new(set.0);
    cpu.set_active_set(Some(Arc::clone(&set))).unwrap();
    let wanted = Request::FORCES | Request::VIRIALS | Request::GRADES;
    let mut random = Uniform(5);
    for (by_atom, ahead) in [(true, false), (false, false), (true, true), (false, true)] {
        let mut arrays = Arrays::new(&structure, by_atom);
        let mut types: Vec<i32> = Vec::new();
        for step in 0..6 {
            for r in &mut structure.positions {
                let shift = random.vector(if ahead { 0.02 } else { 0.05 });
                *r = std::array::from_fn(|d| r[d] + shift[d]);
            }
            let new_types = step == 3;
            if new_types {
                structure.elements.reverse();
            }
            arrays.place(&structure);
            let own = model.types_of(&structure.elements).unwrap();
            types.clear();
            types.extend(own.iter().map(|&t| t as i32));
            let atoms = DeviceAtoms {
                // Another layout stands for another system.
                new_types: new_types || step == 0,
                still: step == 2,
                ahead,
                ..arrays.atoms(&structure, &types)
            };
            let (adding, grades) = (step == 1, step > 3);
            let before = match adding {
                true => {
                    for array in [
                        &mut arrays.energies,
                        &mut arrays.forces,
                        &mut arrays.virials,
                    ] {
                        array.fill(0.5);
                    }
                    0.5
                }
                false => 0.0,
            };
            let results = arrays.results(adding, grades);
            let expected = cpu.compute(&structure, wanted).unwrap();
            let mut sorted = expected.grade.clone();
            sorted.sort_by(f64::total_cmp);
            let threshold = sorted[sorted.len() / 2] * (1.0 + 1e-6);
            let effort = match step {
                4 => Effort::Above(threshold),
                _ => Effort::Full,
            };
            // SAFETY: on the stand-in a device array is any array, and these are as large as said.
            unsafe {
                cuda.compute_on_device(&model, Some((&set, effort)), &atoms, &results)
                    .unwrap();
                cuda.finish(&model).unwrap();
            }
            arrays.check(&format!("{by_atom} {step}"), expected, before);
            if !grades {
                continue;
            }
            let columns = [&expected.gamma, &expected.rho, &expected.grade];
            let above: Vec<bool> = expected.grade.iter().map(|g| *g > threshold).collect();
            assert!(above.contains(&true) && above.contains(&false));
            for (found, expected) in arrays.grades.iter().zip(columns) {
                for (k, (f, e)) in found.iter().zip(expected).enumerate() {
                    if effort == Effort::Full || above[k] {
                        assert!((f - e).abs() <= 1e-6 * (0.1 + e), "{step} {k}: {f} {e}");
                    } else {
                        assert!(*f <= threshold, "{step} {k}: {f} {e}");
                    }
                }
            }
        }
    }
    // A type that the model does not know is refused, and the next call is right again.
    let mut arrays = Arrays::new(&structure, true);
    let own = model.types_of(&structure.elements).unwrap();
    let mut types: Vec<i32> = own.iter().map(|&t| t as i32).collect();
    for wrong in [7, -1, own[2] as i32] {
        types[2] = wrong;
        let atoms = arrays.atoms(&structure, &types);
        let results = arrays.results(false, false);
        // SAFETY: as above.
        let done = unsafe { cuda.compute_on_device(&model, None, &atoms, &results) };
        assert_eq!(done.is_ok(), wrong == own[2] as i32, "{done:?}");
        types[2] = own[2] as i32;
    }
    let expected = cpu.compute(&structure, wanted).unwrap();
    arrays.check("after an error", expected, 0.0);
}

/// What GPUMD needs: types that the device compares, the largest grade, virials in its order.
#[test]
fn the_device_looks_at_types_and_at_the_largest_grade() {
    let model = support::model("active_set_pbte");
    let mut cuda = backend(Precision::F64);
    let mut cpu = support::calculator(&model, BackendKind::Reference);
    let mut structure = gas::rattled(model.elements(), [4, 3, 3], 3.1, [true; 3]);
    let known = gas::rattled(model.elements(), [3, 3, 3], 3.1, [true; 3]);
    let mut features = BackendKind::default_for_build().create().unwrap();
    let features = Features::collect(&model, features.as_mut(), [&known]).unwrap();
    let built = ActiveSet::build(&model, &features, &BuildOptions::default());
    let set = Arc::new(built.unwrap().0);
    cpu.set_active_set(Some(Arc::clone(&set))).unwrap();
    let mut arrays = Arrays::new(&structure, false);
    let mut types = vec![0i32; structure.len()];
    for step in 0..4 {
        if step == 2 {
            structure.elements.swap(3, 4);
        }
        structure.positions[5][1] += 0.02;
        arrays.place(&structure);
        for (to, from) in types
            .iter_mut()
            .zip(model.types_of(&structure.elements).unwrap())
        {
            *to = from as i32;
        }
        let atoms = DeviceAtoms {
            new_types: false,
            compare_types: true,
            ..arrays.atoms(&structure, &types)
        };
        let mut largest = -1.0f64;
        let results = DeviceResults {
            diagonal_first: true,
            gamma: 0,
            rho: 0,
            largest: &raw mut largest as u64,
            ..arrays.results(false, true)
        };
        // SAFETY: on the stand-in a device array is any array, and these are as large as said.
        unsafe { cuda.compute_on_device(&model, Some((&set, Effort::Full)), &atoms, &results) }
            .unwrap();
        let wanted = Request::FORCES | Request::VIRIALS | Request::GRADES;
        let expected = cpu.compute(&structure, wanted).unwrap();
        let found = arrays.grades[2].iter().fold(0.0f64, |a, &b| a.max(b));
        assert_eq!(largest, found, "{step}");
        assert_close("grades", &arrays.grades[2], &expected.grade, 1e-6);
        const ORDER: [usize; 9] = [0, 4, 8, 1, 2, 5, 3, 6, 7]; // xx yy zz xy xz yz yx zx zy
        let n = structure.len();
        let ordered: Vec<f64> = (0..9 * n)
            .map(|k| expected.virials[k % n][ORDER[k / n]])
            .collect();
        assert_close("virials", &arrays.virials, &ordered, 1e-10);
    }
}
