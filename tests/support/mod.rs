//! What test programs share: reference data, backends under test, comparison of numbers.
//!
//! Each test program includes this folder by path and uses what it needs.
#![allow(dead_code)]

pub mod close;
pub mod gas;
pub mod harness;
pub mod lammps;
pub mod needs;
pub mod npy;
pub mod reference;

use needs::Need;
use nepal::backend::{Conditions, Dispersion, Sums};
use nepal::{BackendKind, Calculator, Model, Precision};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Root of the repository: not the folder of each package that has tests.
pub fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut above = package.ancestors();
    let found = above.find(|folder| folder.join("tests/support").is_dir());
    found.expect("packages lie in the repository")
}

/// A file of `tests/data`, or of `NEPAL_TEST_DATA` where the tests run without the repository.
pub fn data(name: &str) -> PathBuf {
    let folder = match std::env::var_os("NEPAL_TEST_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => root().join("tests/data"),
    };
    folder.join(name)
}

/// The bytes of a data file; one that is stored as `name.gz` is unpacked.
pub fn read_bytes(name: &str) -> Vec<u8> {
    let plain = data(name);
    if plain.exists() {
        return std::fs::read(&plain).unwrap_or_else(|e| panic!("{}: {e}", plain.display()));
    }
    let packed = data(&format!("{name}.gz"));
    let file = std::fs::File::open(&packed).unwrap_or_else(|e| panic!("{}: {e}", packed.display()));
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(file)
        .read_to_end(&mut bytes)
        .unwrap_or_else(|e| panic!("{}: {e}", packed.display()));
    bytes
}

/// The text of a data file, unpacked if need be.
pub fn read_text(name: &str) -> String {
    String::from_utf8(read_bytes(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The model of a data folder.
pub fn model(folder: &str) -> Arc<Model> {
    let name = format!("{folder}/nep.txt");
    let model = Model::parse(read_bytes(&name).as_slice(), &name);
    Arc::new(model.unwrap_or_else(|e| panic!("{e}")))
}

/// A backend in a precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    pub kind: BackendKind,
    pub precision: Precision,
}

impl Machine {
    /// True if pairs are in single precision.
    pub fn is_single(self) -> bool {
        self.kind == BackendKind::Cuda || self.precision == Precision::Mixed
    }
}

impl From<BackendKind> for Machine {
    fn from(kind: BackendKind) -> Self {
        let precision = Precision::F64;
        Self { kind, precision }
    }
}

/// The threaded backend with pairs in single precision.
pub const MIXED: Machine = Machine {
    kind: BackendKind::Cpu,
    precision: Precision::Mixed,
};

/// The backends that every numerics check runs over. A GPU joins when `NEPAL_REQUIRE` names `cuda`.
pub fn backends() -> Vec<Machine> {
    let mut all = vec![BackendKind::Reference.into()];
    if BackendKind::default_for_build() == BackendKind::Cpu {
        all.extend([BackendKind::Cpu.into(), MIXED]);
    }
    if needs::required(Need::Cuda) {
        all.push(BackendKind::Cuda.into());
    }
    all
}

/// What models are asked at.
pub const CONDITIONS: Conditions = Conditions {
    temperature: Some(700.0),
    charge: 0.0,
    sums: Sums::Chosen,
    dispersion: Dispersion::Complete,
};

/// A calculator of a model on a backend, at a temperature where that is an input.
pub fn calculator(model: &Arc<Model>, backend: impl Into<Machine>) -> Calculator {
    let Machine { kind, precision } = backend.into();
    let mut made = Calculator::with_precision(Arc::clone(model), kind, precision)
        .unwrap_or_else(|e| panic!("{kind:?}, {precision:?}: {e}"));
    made.set_conditions(CONDITIONS);
    made
}

/// Data folders of all models that nepal evaluates and that have results of another program.
pub const POTENTIALS: [&str; 23] = [
    "c_2024_nep4",
    "si_2022_nep4_3body",
    "si_2022_nep4_5body",
    "unep_v1_16_metals",
    "bazro3_nep4",
    "mo_w_se_nep3",
    "c_2022_nep3_dftd3",
    "nep_cpu_test_nep",
    "pbte_nep_train",
    "synthetic_variants/nep3_zbl",
    "synthetic_variants/nep4_1111_without_222",
    "synthetic_variants/nep4_222_112_233_gpumd_style",
    "synthetic_variants/nep4_all_higher_body",
    "synthetic_variants/nep4_lmax8",
    "synthetic_variants/nep4_maximal_dim",
    "synthetic_variants/nep4_minimal",
    "synthetic_variants/nep4_two_hidden_layers",
    "synthetic_variants/nep4_typewise_cutoffs",
    "synthetic_variants/nep4_zbl_flexible",
    "synthetic_variants/nep4_zbl_typewise",
    "synthetic_variants/nep5",
    "synthetic_variants/nep5_zbl",
    "active_set_pbte",
];

/// Data folders of models of energies with charges, dispersion or a temperature.
pub const EXTENDED: [&str; 8] = [
    "water_qnep_mode1",
    "synthetic_variants/nep4_charge2",
    "synthetic_variants/nep4_charge3",
    "synthetic_variants/nep4_charge_vdw",
    "synthetic_variants/nep4_temperature",
    "synthetic_variants/nep4_vdw",
    "synthetic_variants/nep4_zbl_charge1",
    "synthetic_variants/nep4_zbl_temperature",
];

/// Data folders of models of tensors.
pub const TENSORS: [&str; 5] = [
    "bazro3_polarizability_nep4",
    "water_dipole_nep4",
    "synthetic_variants/nep3_dipole",
    "synthetic_variants/nep3_polarizability",
    "synthetic_variants/nep4_dipole_typewise_cutoffs",
];

/// Data folders of all models of energies.
pub fn energy_models() -> impl Iterator<Item = &'static str> {
    POTENTIALS.iter().chain(&EXTENDED).copied()
}

/// A small structure for a model: the first one of its data folder, or atoms near the points of a
/// grid.
pub fn sample(folder: &str, model: &Model) -> nepal::Structure {
    reference::frames(folder)
        .into_iter()
        .map(|frame| frame.structure)
        .find(|structure| (4..=16).contains(&structure.len()))
        .unwrap_or_else(|| gas::rattled(model.elements(), [2, 2, 2], 3.1, [true; 3]))
}
