//! The parameters that the energy is linear in.

use crate::model::Model;

/// Output weights and output biases.
///
/// nep5 has one bias per type and its common bias says nothing new; the others have the common bias
/// alone, so that every set of values can be written as a `nep.txt`.
#[derive(Clone, Debug)]
pub struct Columns {
    /// Place of each column in the parameter vector. Weights by network, then biases.
    pub parameters: Vec<usize>,
    /// Output weights of a network.
    pub width: usize,
    /// Networks.
    pub networks: usize,
    /// Bias columns: one per network or one for all.
    biases: usize,
}

impl Columns {
    /// Those of a model.
    pub fn new(model: &Model) -> Self {
        let layout = model.layout();
        let [n1, n2] = layout.neurons;
        let (width, two) = if n2 == 0 { (n1, false) } else { (n2, true) };
        let networks = layout.n_networks;
        let mut parameters = Vec::new();
        for t in 0..networks {
            let start = if two { layout.w2(t) } else { layout.w1(t) };
            parameters.extend(start..start + width);
        }
        let biases = match layout.type_bias(0) {
            Some(_) => {
                parameters.extend((0..networks).filter_map(|t| layout.type_bias(t)));
                networks
            }
            None => {
                parameters.push(layout.common_bias());
                1
            }
        };
        Self {
            parameters,
            width,
            networks,
            biases,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.parameters.len()
    }

    /// Never true: every model has an output.
    pub fn is_empty(&self) -> bool {
        self.parameters.is_empty()
    }

    /// Columns of weights, before those of biases.
    pub fn weights(&self) -> usize {
        self.networks * self.width
    }

    /// The network that serves a type.
    pub fn network(&self, t: usize) -> usize {
        if self.networks == 1 { 0 } else { t }
    }

    /// The bias column of a type.
    pub fn bias(&self, t: usize) -> usize {
        self.weights() + if self.biases == 1 { 0 } else { t }
    }

    /// The columns of a type's atoms: the weights of its network, then its bias.
    pub fn of(&self, t: usize) -> impl Iterator<Item = usize> + use<> {
        let start = self.network(t) * self.width;
        (start..start + self.width).chain([self.bias(t)])
    }
}
