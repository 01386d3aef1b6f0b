//! The kernels' text, and the numbers that fit it to a model.

use super::angular;
use nepal_core::backend::Precision;
use nepal_core::model::{Electrostatics, Kind, Model};
use std::fmt::Write;

/// Sources that several programs begin with.
pub(super) const DIALECT: (&str, &str) = ("dialect.cuh", include_str!("kernels/dialect.cuh"));
pub(super) const INVARIANTS: (&str, &str) =
    ("invariants.cuh", include_str!("kernels/invariants.cuh"));

const REDUCE: (&str, &str) = ("reduce.cu", include_str!("kernels/reduce.cu"));

/// The device sources in the order in which they are joined, before and after the angular functions.
const HEAD: [(&str, &str); 3] = [
    DIALECT,
    ("args.cuh", include_str!("kernels/args.cuh")),
    ("radial.cuh", include_str!("kernels/radial.cuh")),
];
const FILES: [(&str, &str); 10] = [
    INVARIANTS,
    ("places.cu", include_str!("kernels/places.cu")),
    ("lists.cu", include_str!("kernels/lists.cu")),
    ("descriptor.cu", include_str!("kernels/descriptor.cu")),
    ("network.cu", include_str!("kernels/network.cu")),
    ("partial.cu", include_str!("kernels/partial.cu")),
    ("far.cuh", include_str!("kernels/far.cuh")),
    ("forces.cu", include_str!("kernels/forces.cu")),
    REDUCE,
    ("peaks.cu", include_str!("kernels/peaks.cu")),
];

/// What models with charges or dispersion have beside these.
const FAR: [(&str, &str); 2] = [
    ("far.cu", include_str!("kernels/far.cu")),
    ("mesh.cu", include_str!("kernels/mesh.cu")),
];

/// The sources of the grades' kernels.
const GRADE_FILES: [(&str, &str); 4] = [
    DIALECT,
    ("warp.cuh", include_str!("kernels/warp.cuh")),
    ("grade_args.cuh", include_str!("kernels/grade_args.cuh")),
    ("grades.cu", include_str!("kernels/grades.cu")),
];

/// Angular sums that a thread holds at once: more do not fit its registers beside the rest.
const SUMS_AT_ONCE: usize = 48;

/// The sizes of a model that the kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub precision: Precision,
    pub kind: Kind,
    /// Radial functions and basis functions, radial and angular.
    pub n_radial: [usize; 2],
    pub n_basis: [usize; 2],
    pub l_max: usize,
    pub many_body: [bool; 6],
    pub neurons: [usize; 2],
    pub dim: usize,
    pub zbl: bool,
    /// Only one type is present.
    pub single: bool,
}

impl Shape {
    /// The shape of a model for a system with so many types.
    pub fn new(model: &Model, precision: Precision, n_types: usize) -> Self {
        let (header, layout) = (model.header(), model.layout());
        Self {
            precision,
            kind: model.kind(),
            n_radial: layout.n_radial,
            n_basis: layout.n_basis,
            l_max: header.l_max,
            many_body: header.many_body.flags(),
            neurons: header.neurons,
            dim: layout.dim,
            zbl: header.zbl.is_some(),
            single: n_types == 1,
        }
    }

    /// Number of angular functions.
    pub fn n_lm(&self) -> usize {
        self.l_max * (self.l_max + 2)
    }

    /// Angular radial functions that a thread handles at once.
    pub fn at_once(&self) -> usize {
        (SUMS_AT_ONCE / self.n_lm()).clamp(1, self.n_radial[1])
    }

    /// Angular radial functions, padded.
    pub fn n_angular_padded(&self) -> usize {
        self.n_radial[1].next_multiple_of(self.at_once())
    }

    /// Radial basis functions, padded.
    pub fn n_basis_padded(&self) -> usize {
        self.n_basis[0].next_multiple_of(4)
    }

    /// Length of the descriptor, padded.
    pub fn dim_padded(&self) -> usize {
        self.dim.next_multiple_of(8)
    }

    /// Neurons of the first layer, padded.
    pub fn neurons_padded(&self) -> usize {
        self.neurons[0].next_multiple_of(8)
    }

    /// Outputs of the network beside the energy.
    pub fn heads(&self) -> usize {
        let charges = usize::from(self.kind.electrostatics().is_some());
        charges + usize::from(self.kind.has_dispersion())
    }

    fn definitions(&self) -> Vec<(&'static str, usize)> {
        let [f222, f1111, f112, f123, f233, f134] = self.many_body.map(usize::from);
        let tensor = match self.kind {
            Kind::Dipole => 1,
            Kind::Polarizability => 2,
            _ => 0,
        };
        let charges = match self.kind.electrostatics() {
            None => 0,
            Some(Electrostatics::Full) => 1,
            Some(Electrostatics::Reciprocal) => 2,
            Some(Electrostatics::RealSpace) => 3,
        };
        let blocks = self.l_max + self.many_body.iter().filter(|&&on| on).count();
        vec![
            (
                "NEPAL_DOUBLE",
                usize::from(self.precision == Precision::F64),
            ),
            ("NR", self.n_radial[0]),
            ("KR", self.n_basis[0]),
            ("KRP", self.n_basis_padded()),
            ("NA", self.n_radial[1]),
            ("KA", self.n_basis[1]),
            ("NC", self.at_once()),
            ("NAP", self.n_angular_padded()),
            ("LMAX", self.l_max),
            ("BLOCKS", blocks),
            ("F222", f222),
            ("F1111", f1111),
            ("F112", f112),
            ("F123", f123),
            ("F233", f233),
            ("F134", f134),
            ("DIM", self.dim),
            ("DIMP", self.dim_padded()),
            ("N1", self.neurons[0]),
            ("N1P", self.neurons_padded()),
            ("N2", self.neurons[1]),
            ("ZBL", usize::from(self.zbl)),
            ("SINGLE", usize::from(self.single)),
            ("TEMPERATURE", usize::from(self.kind == Kind::Temperature)),
            ("TENSOR", tensor),
            ("HEADS", self.heads()),
            ("CHARGES", charges),
            ("DISPERSION", usize::from(self.kind.has_dispersion())),
        ]
    }

    /// The text that is compiled.
    pub fn source(&self) -> String {
        let angular = angular::text(self.l_max);
        let mut files = with_angular(&HEAD, &angular, &FILES);
        if self.heads() > 0 {
            files.extend(FAR);
        }
        text(&self.definitions(), &files)
    }

    /// The text of the grades' kernels.
    pub fn grade_source(&self) -> String {
        let double = usize::from(self.precision == Precision::F64);
        let definitions = [
            ("NEPAL_DOUBLE", double),
            ("DIM", self.dim),
            ("N1", self.neurons[0]),
        ];
        text(&definitions, &GRADE_FILES)
    }
}

/// The text of the kernels that copy from and to a caller's arrays, the same for all models.
pub(super) fn exchange() -> String {
    let file = ("exchange.cu", include_str!("kernels/exchange.cu"));
    text(&[("NEPAL_DOUBLE", 1)], &[HEAD[0], HEAD[1], REDUCE, file])
}

/// The text of D3's kernels, the same for all models, with those of its lists.
pub(super) fn correction() -> String {
    let own = ("d3.cu", include_str!("kernels/d3.cu"));
    let [_, places, lists, _, _, _, far, .., copy] = FILES;
    let files = [
        HEAD[0], HEAD[1], HEAD[2], far, places, lists, REDUCE, copy, own,
    ];
    text(&[("NEPAL_DOUBLE", 1), ("CHARGES", 0)], &files)
}

/// The text of MaxVol's kernels, the same for all models.
pub(super) fn volume() -> String {
    let files = [
        DIALECT,
        GRADE_FILES[1],
        ("volume_args.cuh", include_str!("kernels/volume_args.cuh")),
        ("volume.cu", include_str!("kernels/volume.cu")),
    ];
    text(&[("NEPAL_DOUBLE", 1)], &files)
}

/// Sources with the angular functions between them.
pub(super) fn with_angular<'a>(
    head: &[(&'a str, &'a str)],
    angular: &'a str,
    rest: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    [head, &[("angular", angular)], rest].concat()
}

/// Definitions and sources as one text.
pub(super) fn text(definitions: &[(&str, usize)], files: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in definitions {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "#define {name} {value}");
    }
    for (name, content) in files {
        let _ = writeln!(text, "#line 1 \"kernels/{name}\"");
        text.push_str(content);
    }
    text
}
