//! All index arithmetic of the parameter vector, in the order of `nep.txt`.

use super::header::{Header, Version};

/// Where each parameter of a model lies in its parameter vector.
///
/// The vector holds the networks, the common bias, the radial and the angular coefficients: the
/// order of the file, without `q_scaler` and flexible ZBL rows.
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
    type_bias: bool,
}

impl Layout {
    /// The layout that belongs to a header.
    pub fn new(header: &Header) -> Self {
        let dim = header.dim();
        let [n1, n2] = header.neurons;
        let type_bias = header.version == Version::Nep5;
        let plain = if n2 == 0 {
            (dim + 2) * n1
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
            type_bias,
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

    /// The common bias.
    pub fn common_bias(&self) -> usize {
        self.n_networks * self.network_len
    }

    /// First coefficient of the radial (0) or angular (1) part.
    pub fn coefficients(&self, part: usize) -> usize {
        let radial = self.common_bias() + 1;
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
