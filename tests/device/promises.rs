//! Lists that outlive calls: by the caller's word, and while the cell changes.
#![allow(unsafe_code)]

use crate::resident::Arrays;
use crate::support::gas::Uniform;
use crate::support::{self, gas};
use crate::variants::backend;
use nepal::{BackendKind, Calculator, Cell, Model, Precision, Request, Structure};
use nepal_cuda::{Cuda, DeviceAtoms, Strided};
use std::sync::Arc;

/// A structure in the caller's arrays, evaluated on the device and compared with the reference.
struct Run {
    model: Arc<Model>,
    cuda: Cuda,
    reference: Calculator,
    structure: Structure,
    arrays: Arrays,
    types: Vec<i32>,
}

/// What one call did on the device.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Done {
    /// Neighbour lists were made.
    listed: bool,
    /// The device was asked how far atoms moved.
    asked: bool,
}

impl Run {
    fn new(periodic: [bool; 3]) -> Self {
        let model = support::model("synthetic_variants/nep5_zbl");
        let mut cuda = backend(Precision::F64);
        cuda.time_kernels(true);
        let structure = gas::rattled(model.elements(), [4, 4, 3], 2.8, periodic);
        let types = model.types_of(&structure.elements).unwrap();
        Self {
            cuda,
            reference: support::calculator(&model, BackendKind::Reference),
            arrays: Arrays::new(&structure, true),
            types: types.into_iter().map(|t| t as i32).collect(),
            structure,
            model,
        }
    }

    fn call(&mut self, name: &str, still: bool, ahead: bool) -> Done {
        self.arrays.place(&self.structure);
        let atoms = DeviceAtoms {
            n_atoms: self.structure.len(),
            positions: Strided {
                address: self.arrays.positions.as_ptr() as u64,
                strides: self.arrays.strides(3),
            },
            types: self.types.as_ptr() as u64,
            type_map: None,
            list: None,
            new_types: false,
            compare_types: false,
            still,
            ahead,
            cell: &self.structure.cell,
            stream: std::ptr::null_mut(),
        };
        let results = self.arrays.results(false, false);
        // SAFETY: on the stand-in a device array is any array, and these are as large as said.
        unsafe {
            self.cuda
                .compute_on_device(&self.model, None, &atoms, &results)
                .unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        let wanted = Request::FORCES | Request::VIRIALS;
        let expected = self.reference.compute(&self.structure, wanted).unwrap();
        self.arrays.check(name, expected, 0.0);
        let times = self.cuda.kernel_times().unwrap();
        let ran = |kernel: &str| times.iter().any(|(name, _)| *name == kernel);
        Done {
            listed: ran("nepal_fill"),
            asked: ran("nepal_moved"),
        }
    }

    fn displace(&mut self, from: &[[f64; 3]], shifts: &[[f64; 3]], by: f64) {
        for ((r, from), s) in self.structure.positions.iter_mut().zip(from).zip(shifts) {
            *r = std::array::from_fn(|d| from[d] + by * s[d]);
        }
    }
}

/// Directions of length 1.
fn directions(random: &mut Uniform, count: usize) -> Vec<[f64; 3]> {
    let one = |_| {
        let v = random.vector(1.0);
        let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        v.map(|x| x / length)
    };
    (0..count).map(one).collect()
}

/// What a caller promises is counted from its last call without a promise: lists without a skin, lists
/// that atoms had moved from before, and lists made between are no good for it.
#[test]
fn a_promise_of_little_motion_loses_no_neighbour() {
    for ahead in [false, true] {
        let mut run = Run::new([true; 3]);
        let mut random = Uniform(17);
        let count = run.structure.len();
        let start = run.structure.positions.clone();
        // The first lists have no skin.
        let shifts = directions(&mut random, count);
        run.call("first", false, false);
        run.displace(&start, &shifts, 0.28);
        run.call("after the first", true, false);
        // Later bases drift away from where the lists were made.
        let mut base = run.structure.positions.clone();
        for round in 0..8 {
            let shifts = directions(&mut random, count);
            run.displace(&base, &shifts, 0.13);
            base = run.structure.positions.clone();
            run.call(&format!("base {round}"), false, ahead && round > 0);
            for step in 0..3 {
                let shifts = directions(&mut random, count);
                // Without waiting, steps must be small beside the skin.
                let by = if ahead { 0.04 } else { 0.29 };
                run.displace(&base, &shifts, by);
                run.call(&format!("step {step} of {round}"), true, ahead);
            }
        }
    }
}

/// The promise saves the question where lists were made at the call that it counts from.
#[test]
fn a_promise_saves_a_question() {
    let mut run = Run::new([true; 3]);
    let mut random = Uniform(3);
    let start = run.structure.positions.clone();
    let shifts = directions(&mut random, start.len());
    run.call("first", false, false);
    run.displace(&start, &shifts, 0.05);
    assert!(run.call("lists with a skin", false, false).listed);
    run.displace(&start, &shifts, 0.3);
    let done = run.call("promised", true, false);
    assert!(!done.listed && !done.asked, "{done:?}");
}

/// Cells breathe, shear and are cut open; lists are made now and then, and never too late.
#[test]
fn lists_outlive_small_changes_of_the_cell() {
    for (periodic, ahead) in [
        ([true; 3], false),
        ([true; 3], true),
        ([true, false, true], false),
    ] {
        let mut run = Run::new(periodic);
        let mut random = Uniform(29);
        let mut made = 0;
        let steps = 40;
        for step in 0..steps {
            let t = f64::from(step);
            let (old, new) = (run.structure.cell.clone(), {
                let rate = 4e-4 * (0.3 * t).cos();
                let strain = [
                    [rate, 2e-4, 0.0],
                    [0.0, -rate, 0.0],
                    [-1e-4, 0.0, 1.5 * rate],
                ];
                run.structure.cell.strained(&strain).unwrap()
            });
            for r in &mut run.structure.positions {
                let noise = random.vector(0.004);
                let carried = new.cartesian(old.fractional(*r));
                *r = std::array::from_fn(|d| carried[d] + noise[d]);
            }
            run.structure.cell = new;
            let name = format!("{periodic:?} {ahead} {step}");
            made += i32::from(run.call(&name, false, ahead && step > 1).listed);
        }
        assert!(
            (2..8).contains(&made),
            "lists were made {made} times in {steps} steps"
        );
        // A jump of the cell is no small change.
        let rows = run
            .structure
            .cell
            .vectors()
            .map(|row| row.map(|x| 1.06 * x));
        run.structure.cell = Cell::new(rows, periodic).unwrap();
        for r in &mut run.structure.positions {
            *r = r.map(|x| 1.06 * x);
        }
        assert!(run.call("a jump", false, false).listed);
        let rows = *run.structure.cell.vectors();
        run.structure.cell = Cell::new(rows, [true, true, false]).unwrap();
        assert!(run.call("cut open", false, false).listed);
    }
}
