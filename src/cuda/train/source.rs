//! The text of the kernels of training, and the numbers that fit it to a model.

use crate::angular;
use crate::source::{self, DIALECT};
use nepal_core::model::{Header, Layout, Version};

/// Before and after the angular functions.
const HEAD: [(&str, &str); 2] = [DIALECT, ("twin.cuh", include_str!("../kernels/twin.cuh"))];
const FILES: [(&str, &str); 5] = [
    source::INVARIANTS,
    ("train_args.cuh", include_str!("../kernels/train_args.cuh")),
    (
        "train_forward.cu",
        include_str!("../kernels/train_forward.cu"),
    ),
    (
        "train_reverse.cu",
        include_str!("../kernels/train_reverse.cu"),
    ),
    ("train_sums.cu", include_str!("../kernels/train_sums.cu")),
];

/// The sizes of a model that the kernels of training are compiled for.
#[derive(Clone, Debug)]
pub struct TrainShape {
    /// Radial functions and basis functions, radial and angular.
    pub n_radial: [usize; 2],
    pub n_basis: [usize; 2],
    /// Number of angular functions.
    pub n_lm: usize,
    l_max: usize,
    many_body: [bool; 6],
    pub neurons: [usize; 2],
    pub dim: usize,
    pub n_types: usize,
    /// Numbers from one type's network to the next; 0 if one serves all.
    network: usize,
    type_bias: bool,
    common_bias: usize,
}

impl TrainShape {
    /// The shape of a model.
    pub fn new(header: &Header, layout: &Layout) -> Self {
        Self {
            n_radial: layout.n_radial,
            n_basis: layout.n_basis,
            n_lm: header.l_max * (header.l_max + 2),
            l_max: header.l_max,
            many_body: header.many_body.flags(),
            neurons: layout.neurons,
            dim: layout.dim,
            n_types: layout.n_types,
            network: if layout.n_networks == 1 {
                0
            } else {
                layout.network_len
            },
            type_bias: header.version == Version::Nep5,
            common_bias: layout.common_bias(),
        }
    }

    /// Numbers of a network without its type's bias.
    pub fn own(&self) -> usize {
        let [n1, n2] = self.neurons;
        if n2 == 0 {
            (self.dim + 2) * n1
        } else {
            (self.dim + 1) * n1 + (n1 + 2) * n2
        }
    }

    /// Numbers of a result: network, type's bias, coefficients by neighbour, k, n.
    pub fn part(&self) -> usize {
        let pairs: usize = (0..2).map(|p| self.n_radial[p] * self.n_basis[p]).sum();
        self.own() + 1 + self.n_types * pairs
    }

    /// The text that is compiled.
    pub fn source(&self) -> String {
        let [f222, f1111, f112, f123, f233, f134] = self.many_body.map(usize::from);
        let blocks = self.l_max + self.many_body.iter().filter(|&&on| on).count();
        source::text(
            &[
                ("NEPAL_DOUBLE", 1),
                ("NR", self.n_radial[0]),
                ("KR", self.n_basis[0]),
                ("NA", self.n_radial[1]),
                ("KA", self.n_basis[1]),
                ("LMAX", self.l_max),
                ("BLOCKS", blocks),
                ("F222", f222),
                ("F1111", f1111),
                ("F112", f112),
                ("F123", f123),
                ("F233", f233),
                ("F134", f134),
                ("DIM", self.dim),
                ("N1", self.neurons[0]),
                ("N2", self.neurons[1]),
                ("TYPES", self.n_types),
                ("NETWORK", self.network),
                ("TYPE_BIAS", usize::from(self.type_bias)),
                ("COMMON_BIAS", self.common_bias),
            ],
            &source::with_angular(&HEAD, &angular::text(self.l_max), &FILES),
        )
    }
}
