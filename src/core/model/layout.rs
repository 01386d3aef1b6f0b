//! All index arithmetic of the parameter vector, in the order of `nep.txt`.

use super::header::{Header, Version};
use super::kind::Kind;

/// Where each parameter of a model lies in its parameter vector.
///
/// The vector holds the networks, with charges √ε∞, the common bias, for polarizabilities the scalar
/// networks and their bias, the radial and the angular coefficients: the order of the file, without
/// `q_scaler` and flexible ZBL rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Length of the descriptor.
    pub dim: usize,
    /// Neurons of the two hidden layers.
    pub neurons: [usize; 2],
    /// Number of types.
    pub n_types: usize,
    /// Number of networks: one for nep3, one per type otherwise.
    pub n_networks: usize,
    /// Parameters of one network, without the common bias.
    pub network_len: usize,
    /// Radial functions, radial and angular part (`n_max + 1`).
    pub n_radial: [usize; 2],
    /// Basis functions, radial and angular part (`basis_size + 1`).
    pub n_basis: [usize; 2],
    /// Output weights of the only hidden layer: energy, then charge, then C6, as far as there are.
    pub n_outputs: usize,
    type_bias: bool,
    has_charges: bool,
    has_scalar: bool,
}

impl Layout {
    /// The layout that belongs to a header.
    pub fn new(header: &Header) -> Self {
        let dim = header.dim();
        let [n1, n2] = header.neurons;
        let type_bias = header.version == Version::Nep5;
        let has_charges = header.kind.electrostatics().is_some();
        let n_outputs = 1 + usize::from(has_charges) + usize::from(header.kind.has_dispersion());
        let plain = if n2 == 0 {
            (dim + 1 + n_outputs) * n1
        } else {
            (dim + 1) * n1 + (n1 + 2) * n2
        };
        Self {
            dim,
            neurons: header.neurons,
            n_types: header.n_types(),
            n_networks: if header.version == Version::Nep3 {
                1
            } else {
                header.n_types()
            },
            network_len: plain + usize::from(type_bias),
            n_radial: header.n_max.map(|n| n + 1),
            n_basis: header.basis_size.map(|k| k + 1),
            n_outputs,
            type_bias,
            has_charges,
            has_scalar: header.kind == Kind::Polarizability,
        }
    }

    /// First parameter of the network that serves a type.
    pub fn network(&self, t: usize) -> usize {
        if self.n_networks == 1 {
            0
        } else {
            t * self.network_len
        }
    }

    /// First weight of neuron `mu` of the first layer, `dim` of them.
    pub fn w0(&self, t: usize, mu: usize) -> usize {
        self.network(t) + mu * self.dim
    }

    /// First bias of the first layer.
    pub fn b0(&self, t: usize) -> usize {
        self.network(t) + self.neurons[0] * self.dim
    }

    /// First of the weights that follow the first layer: the output weights, or with two hidden
    /// layers the second layer's matrix (row: second-layer neuron).
    pub fn w1(&self, t: usize) -> usize {
        self.b0(t) + self.neurons[0]
    }

    /// First bias of the second hidden layer.
    pub fn b1(&self, t: usize) -> usize {
        self.w1(t) + self.neurons[0] * self.neurons[1]
    }

    /// First output weight of the second hidden layer.
    pub fn w2(&self, t: usize) -> usize {
        self.b1(t) + self.neurons[1]
    }

    /// The extra bias of a type, for nep5.
    pub fn type_bias(&self, t: usize) -> Option<usize> {
        self.type_bias
            .then(|| self.network(t) + self.network_len - 1)
    }

    /// First weight of an output beside the first one, of models with one hidden layer.
    pub fn output(&self, t: usize, output: usize) -> usize {
        self.w1(t) + output * self.neurons[0]
    }

    /// √ε∞, which scales Born charges, of models with charges.
    pub fn dielectric(&self) -> Option<usize> {
        (self.has_charges).then_some(self.n_networks * self.network_len)
    }

    /// The common bias.
    pub fn common_bias(&self) -> usize {
        self.n_networks * self.network_len + usize::from(self.has_charges)
    }

    /// How far behind the networks of the tensor those of the scalar part lie, with their common
    /// bias, in models of polarizabilities.
    pub fn scalar(&self) -> Option<usize> {
        self.has_scalar.then_some(self.common_bias() + 1)
    }

    /// First coefficient of the radial (0) or angular (1) part.
    pub fn coefficients(&self, part: usize) -> usize {
        let radial = (self.common_bias() + 1) * (1 + usize::from(self.has_scalar));
        if part == 0 {
            radial
        } else {
            radial + self.coefficient_count(0)
        }
    }

    /// Number of coefficients of the radial (0) or angular (1) part.
    pub fn coefficient_count(&self, part: usize) -> usize {
        self.n_types * self.n_types * self.n_radial[part] * self.n_basis[part]
    }

    /// The coefficient c_nk of a centre and a neighbour type.
    pub fn coefficient(
        &self,
        part: usize,
        n: usize,
        k: usize,
        center: usize,
        other: usize,
    ) -> usize {
        self.coefficients(part)
            + ((n * self.n_basis[part] + k) * self.n_types + center) * self.n_types
            + other
    }

    /// Length of the parameter vector.
    pub fn len(&self) -> usize {
        self.coefficients(1) + self.coefficient_count(1)
    }

    /// Never true: every model has parameters.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Length of the B projection of an atom (one hidden layer).
    pub fn projection_len(&self) -> usize {
        self.neurons[0] * (self.dim + 2)
    }
}
