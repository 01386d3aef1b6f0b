//! Arrays that lie on the device, as a simulator's do: whether results are right in both layouts, in the default
//! stream and in another, and how long steps take that bring nothing to the host.

use super::systems::{Random, System};
use super::{LIMIT, STEPS, THRESHOLD, WARM};
use libloading::{Library, Symbol};
use nepal::grade::{ActiveSet, Effort};
use nepal::{BackendKind, Calculator, Precision, Request};
use nepal_cuda::{Cuda, DeviceAtoms, DeviceResults, Options, Strided};
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;
use std::time::Instant;

type Handle = *mut c_void;

/// What a simulator asks of the driver itself.
struct Driver(Library);

/// Calls a function of the driver, which must succeed.
macro_rules! call {
    ($driver:expr, $name:literal, $($argument:expr => $kind:ty),+) => {{
        // SAFETY: the types are those of cuda.h; addresses and handles are live.
        unsafe {
            let function: Symbol<'_, unsafe extern "C" fn($($kind),+) -> i32> =
                $driver.0.get($name.as_bytes()).expect($name);
            let status = function($($argument),+);
            assert_eq!(status, 0, "{}", $name);
        }
    }};
}

impl Driver {
    /// With the device's primary context current in this thread.
    fn open() -> Self {
        let file = Options::from_environment(0).driver;
        let file = file.unwrap_or_else(|| "libcuda.so.1".into());
        // SAFETY: the driver's library, which the backend opens too.
        let driver = Self(unsafe { Library::new(file) }.expect("the driver"));
        let (mut device, mut context) = (0, ptr::null_mut());
        call!(driver, "cuInit", 0 => u32);
        call!(driver, "cuDeviceGet", &mut device => *mut i32, 0 => i32);
        call!(driver, "cuDevicePrimaryCtxRetain", &mut context => *mut Handle, device => i32);
        call!(driver, "cuCtxPushCurrent_v2", context => Handle);
        driver
    }

    fn stream(&self) -> Handle {
        const NON_BLOCKING: u32 = 1;
        let mut stream = ptr::null_mut();
        call!(self, "cuStreamCreate", &mut stream => *mut Handle, NON_BLOCKING => u32);
        stream
    }

    fn wait(&self, stream: Handle) {
        call!(self, "cuStreamSynchronize", stream => Handle);
    }
}

/// Numbers on the device.
struct Array<'a> {
    driver: &'a Driver,
    stream: Handle,
    address: u64,
    bytes: usize,
}

impl<'a> Array<'a> {
    fn new<T>(driver: &'a Driver, stream: Handle, len: usize) -> Self {
        let (mut address, bytes) = (0, len * size_of::<T>());
        call!(driver, "cuMemAlloc_v2", &mut address => *mut u64, bytes => usize);
        Self {
            driver,
            stream,
            address,
            bytes,
        }
    }

    fn put<T: Copy>(&self, values: &[T]) {
        assert!(size_of_val(values) <= self.bytes);
        let (from, bytes) = (values.as_ptr().cast(), size_of_val(values));
        call!(self.driver, "cuMemcpyHtoDAsync_v2", self.address => u64, from => *const c_void, bytes => usize, self.stream => Handle);
        self.driver.wait(self.stream);
    }

    fn get(&self) -> Vec<f64> {
        let mut values = vec![0.0; self.bytes / size_of::<f64>()];
        let to = values.as_mut_ptr().cast();
        call!(self.driver, "cuMemcpyDtoHAsync_v2", to => *mut c_void, self.address => u64, self.bytes => usize, self.stream => Handle);
        self.driver.wait(self.stream);
        values
    }
}

impl Drop for Array<'_> {
    fn drop(&mut self) {
        // A device that was lost has nothing to give back.
        if std::thread::panicking() {
            return;
        }
        call!(self.driver, "cuMemFree_v2", self.address => u64);
    }
}

/// Rows of `width` numbers as columns.
fn columns(rows: &[f64], width: usize) -> Vec<f64> {
    let n = rows.len() / width;
    (0..rows.len())
        .map(|k| rows[k % n * width + k / n])
        .collect()
}

/// Compares with the CPU backend; gives the largest difference, relative to the largest number of an array.
pub fn check(
    system: &System,
    set: Option<&Arc<ActiveSet>>,
    precision: Precision,
) -> nepal::Result<String> {
    let (driver, model) = (Driver::open(), &system.model);
    let mut structure = system.crystal(200);
    let types = system.types(&structure);
    let n = structure.len();
    let mut cpu = Calculator::new(Arc::clone(model), BackendKind::Cpu)?;
    cpu.set_active_set(set.cloned())?;
    let effort = Effort::Above(THRESHOLD);
    let mut random = Random(5);
    let stream = driver.stream();
    let (mut worst, mut steps) = (0.0f64, 0);
    for by_atom in [true, false] {
        for caller in [ptr::null_mut(), stream] {
            let mut cuda = Cuda::new(Options::from_environment(0), precision)?;
            let array = |width: usize| Array::new::<f64>(&driver, stream, width * n);
            let (x, e, f, v, g) = (array(3), array(1), array(3), array(9), array(1));
            let kinds = Array::new::<u32>(&driver, stream, n);
            kinds.put(&types);
            let strided = |array: &Array<'_>, width: usize| Strided {
                address: array.address,
                strides: if by_atom { [width, 1] } else { [1, n] },
            };
            for step in 0..5 {
                for x in structure.positions.as_flattened_mut() {
                    *x += 0.04 * (random.next() - 0.5);
                }
                let rows = structure.positions.as_flattened();
                x.put(&if by_atom {
                    rows.to_vec()
                } else {
                    columns(rows, 3)
                });
                let atoms = DeviceAtoms {
                    n_atoms: n,
                    positions: strided(&x, 3),
                    types: kinds.address,
                    type_map: None,
                    list: None,
                    new_types: step == 0,
                    compare_types: false,
                    still: false,
                    ahead: step > 1,
                    cell: &structure.cell,
                    stream: caller,
                };
                let results = DeviceResults {
                    energies: e.address,
                    forces: strided(&f, 3),
                    virials: strided(&v, 9),
                    grade: if set.is_some() { g.address } else { 0 },
                    ..DeviceResults::default()
                };
                // SAFETY: arrays and stream of this device's primary context, as large as said.
                unsafe {
                    cuda.compute_on_device(model, set.map(|set| (set, effort)), &atoms, &results)?;
                    cuda.finish(model)?;
                }
                let mut wanted = Request::FORCES | Request::VIRIALS;
                wanted.set(Request::GRADES, set.is_some());
                let expected = cpu.compute(&structure, wanted)?;
                let rows = |array: &Array<'_>, width: usize| {
                    let values = array.get();
                    if by_atom { values } else { columns(&values, n) }
                        .into_iter()
                        .take(width * n)
                        .collect::<Vec<f64>>()
                };
                for (found, expected) in [
                    (e.get(), &expected.energies[..]),
                    (rows(&f, 3), expected.forces.as_flattened()),
                    (rows(&v, 9), expected.virials.as_flattened()),
                ] {
                    let scale = expected.iter().fold(1.0f64, |m, x| m.max(x.abs()));
                    let errors = found
                        .iter()
                        .zip(expected)
                        .map(|(a, b)| (a - b).abs() / scale);
                    // NaN is as wrong as can be.
                    worst = errors.fold(worst, |m, x| if x.is_nan() { x } else { m.max(x) });
                }
                if set.is_some() {
                    let found = g.get().into_iter().map(|grade| grade > THRESHOLD);
                    let expected = expected.grade.iter().map(|grade| *grade > THRESHOLD);
                    assert!(found.eq(expected), "other atoms are above {THRESHOLD}");
                }
                steps += 1;
            }
        }
    }
    let allowed = match precision {
        Precision::F64 => 1e-10,
        _ => 1e-4,
    };
    assert!(
        worst <= allowed,
        "differs by {worst:.1e}, allowed are {allowed:.0e}"
    );
    Ok(format!("{steps} steps differ by {worst:.1e} at most"))
}

/// What a timed step is asked for.
pub const CASES: [&str; 4] = ["forces", "virials", "cells", "grades"];

/// Milliseconds of a step of about so many atoms that move to and fro.
pub fn time(
    system: &System,
    set: &Arc<ActiveSet>,
    size: usize,
    case: &str,
    quick: bool,
) -> nepal::Result<(usize, f64)> {
    let driver = Driver::open();
    let structure = system.crystal(size);
    let n = structure.len();
    let stream = driver.stream();
    let array = |len: usize| Array::new::<f64>(&driver, stream, len);
    let kinds = Array::new::<u32>(&driver, stream, n);
    kinds.put(&system.types(&structure));
    // Four places on the way, an eighth of an Å apart at most.
    let mut random = Random(9);
    let home = columns(structure.positions.as_flattened(), 3);
    let way: Vec<f64> = home.iter().map(|_| 0.12 * (random.next() - 0.5)).collect();
    let places: Vec<Array<'_>> = [0.0, 1.0, 2.0, 1.0]
        .map(|t| {
            let moved: Vec<f64> = home.iter().zip(&way).map(|(x, d)| x + t * d).collect();
            let place = array(3 * n);
            place.put(&moved);
            place
        })
        .into();
    let (e, f, v, g) = (array(n), array(3 * n), array(9 * n), array(n));
    let strided = |address: u64| Strided {
        address,
        strides: [1, n],
    };
    let mut cuda = Cuda::new(Options::from_environment(0), Precision::Mixed)?;
    let (steps, mut start, mut timed) = (if quick { 3 } else { STEPS }, Instant::now(), 0);
    for step in 0..WARM + steps {
        if step == WARM {
            driver.wait(stream);
            start = Instant::now();
        }
        let cell = match case {
            "cells" => nepal::Cell::orthorhombic(std::array::from_fn(|d| {
                structure.cell.vectors()[d][d] * (1.0 + 1e-6 * step as f64)
            }))?,
            _ => structure.cell.clone(),
        };
        let atoms = DeviceAtoms {
            n_atoms: n,
            positions: strided(places[step % places.len()].address),
            types: kinds.address,
            type_map: None,
            list: None,
            new_types: step == 0,
            compare_types: false,
            still: false,
            ahead: step > 1,
            cell: &cell,
            stream,
        };
        let results = DeviceResults {
            energies: e.address,
            forces: strided(f.address),
            virials: strided(if matches!(case, "virials" | "cells") {
                v.address
            } else {
                0
            }),
            grade: if case == "grades" { g.address } else { 0 },
            ..DeviceResults::default()
        };
        // SAFETY: as in `check`.
        unsafe {
            let graded = Some((set, Effort::Above(THRESHOLD)));
            cuda.compute_on_device(&system.model, graded, &atoms, &results)?;
        }
        timed = (step + 1).saturating_sub(WARM);
        if timed > 0 && start.elapsed().as_secs_f64() > LIMIT {
            break;
        }
    }
    // SAFETY: as in `check`.
    unsafe { cuda.finish(&system.model)? };
    driver.wait(stream);
    Ok((n, start.elapsed().as_secs_f64() * 1e3 / timed as f64))
}
